"""Figures that look like one hand drew them."""

import os
import sys
from pathlib import Path

from common.cli import UserError, atomic_write, display_path
from common.language import _

# Okabe and Ito's colours: told apart by colour-blind readers too. https://jfly.uni-koeln.de/color
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GREY = "#666666"
STYLE = {
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.prop_cycle": f"cycler('color', {[BLUE, ORANGE, GREEN, RED]})",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "figure.constrained_layout.use": True,
}


def figure(width: float, height: float, show: bool = False):
    """An empty matplotlib figure, sizes in inches. It needs no display unless it is to be shown."""
    import matplotlib  # here, because training need not wait for it

    if not show and "MPLBACKEND" not in os.environ:  # set by the reader, or by a notebook
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(STYLE)
    return plt.figure(figsize=(width, height))


def finish(fig, path: Path, show: bool = False) -> None:
    """Save the figure, say where, and open it in a window if it is to be shown.

    A notebook has no window, and shows it below the cell without being asked. Raises UserError for
    a curve with numbers that aren't finite: training has diverged.
    """
    import matplotlib.pyplot as plt
    import numpy as np

    curves = [line.get_ydata() for axes in fig.axes for line in axes.lines]
    if not all(np.isfinite(np.asarray(curve, dtype=float)).all() for curve in curves):
        raise UserError(
            "the loss is no longer a finite number: training has diverged. "
            "Try again with a lower --lr.",
            status=1,
        )

    with atomic_write(path) as temporary:
        fig.savefig(temporary)
    print(_("Figure:     {path}").format(path=display_path(path)))
    if show or "inline" in plt.get_backend():
        if plt.get_backend().lower() == "agg":
            message = _("No window can be opened here: look at the file instead.")
            print(message, file=sys.stderr)
        else:
            plt.show()
    plt.close(fig)
