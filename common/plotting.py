"""Figures that look like one hand drew them."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from common.cli import atomic_write, display_path

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure, SubFigure

# Okabe and Ito's colours: told apart by colour-blind readers too. https://jfly.uni-koeln.de/color
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GREY = "#666666"
STYLE = {
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "figure.constrained_layout.use": True,
}


def figure(width: float, height: float, show: bool = False) -> "Figure":
    """An empty figure, sizes in inches. It needs no display unless it is to be shown."""
    import matplotlib  # here, because training need not wait for it

    if not show and "MPLBACKEND" not in os.environ:  # set by the reader, or by a notebook
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(STYLE)
    return plt.figure(figsize=(width, height))


def finish(fig: "Figure", path: Path, show: bool = False) -> None:
    """Save the figure, say where, and open it in a window if it is to be shown.

    A notebook has no window, and shows it below the cell without being asked.
    """
    import matplotlib.pyplot as plt

    with atomic_write(path) as temporary:
        fig.savefig(temporary)
    print(f"Figure:     {display_path(path)}")
    if show or "inline" in plt.get_backend():
        if plt.get_backend().lower() == "agg":
            print("No window can be opened here: look at the file instead.", file=sys.stderr)
        else:
            plt.show()
    plt.close(fig)


def visible(text: str) -> list[str]:
    """Each character as the default font can draw it: space ␣, newline ↵, what it lacks □."""
    from matplotlib import font_manager

    drawn = font_manager.get_font(font_manager.findfont("monospace")).get_charmap()
    shown = [{" ": "␣", "\n": "↵", "$": r"\$"}.get(character, character) for character in text]
    return [c if ord(c[-1]) in drawn else "□" for c in shown]


def image_row(
    fig: "Figure | SubFigure",
    images: "np.ndarray",
    captions: list[str],
    colors: list[str],
    title: str,
) -> None:
    """Up to ten grey-scale images (N, H, W) in a row, each under its own caption."""
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    for place, (image, caption, color) in enumerate(zip(images, captions, colors, strict=False)):
        axes = fig.add_axes((0.01 + 0.099 * place, 0.02, 0.09, 0.62))  # evenly, whatever is beside
        axes.set_axis_off()
        axes.imshow(image, cmap="gray_r")
        axes.set_title(caption, fontsize=9, color=color, loc="center")
