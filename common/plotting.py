"""Figures that look like one hand drew them."""

import functools
import os
import sys
from pathlib import Path

from common.cli import UserError, atomic_write, display_path, summary
from common.language import _, figure_text, language

# Okabe and Ito's colours: told apart by colour-blind readers too. https://jfly.uni-koeln.de/color
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GREY = "#666666"
# Fonts with Chinese characters that systems have, on Linux, macOS and Windows.
CHINESE_FONTS = ["Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "PingFang SC"]
CHINESE_FONTS += ["Hiragino Sans GB", "Heiti TC", "Microsoft YaHei", "SimHei", "WenQuanYi Zen Hei"]
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


@functools.cache  # once per process
def set_up(show: bool = False) -> None:
    """Set backend and style, and draw something: what fails should fail before the training.

    Without `show` no display is needed. The reader's own settings of matplotlib hold, such as a
    font, if they work. Raises UserError if matplotlib can't even be imported with them.
    """
    in_notebook = "ipykernel" in sys.modules  # which shows figures in its own way
    if not in_notebook and not show:
        os.environ["MPLBACKEND"] = "Agg"
    elif not in_notebook and "inline" in os.environ.get("MPLBACKEND", ""):
        del os.environ["MPLBACKEND"]  # a notebook's, from which this program was started
    try:
        import matplotlib.pyplot as plt
    except ValueError as error:  # a backend that is none, a file that isn't UTF-8
        raise UserError(
            "matplotlib can't be imported: {reason}. Look at its settings: the file matplotlibrc, "
            "and MPLBACKEND in the environment.",
            reason=summary(error),
        ) from None
    if not in_notebook and not show:
        plt.switch_backend("Agg")  # if it had been imported before
    try:
        _draw_something()
    except Exception as error:
        plt.close("all")
        plt.rcdefaults()
        plt.switch_backend("Agg")
        _draw_something()
        said = _("matplotlib can't draw with its settings here ({reason}): its own are used.")
        print(said.format(reason=summary(error)), file=sys.stderr)


def _draw_something() -> None:
    import matplotlib.pyplot as plt

    plt.rcParams.update(STYLE)
    fig = plt.figure(figsize=(1, 1))
    fig.text(0, 0, "0")
    fig.canvas.draw()
    plt.close(fig)


def figure(width: float, height: float, show: bool = False):
    """An empty matplotlib figure, sizes in inches. It needs no display unless it is to be shown."""
    import matplotlib.pyplot as plt

    set_up(show)
    return plt.figure(figsize=(width, height))


def finish(fig, path: Path, show: bool = False) -> None:
    """Save the figure, say where, and open it in a window if it is to be shown.

    A notebook has no window, and shows it below the cell without being asked. Where the reader's
    language is Chinese, so are its words. Raises UserError for a curve with numbers that aren't
    finite: training has diverged.
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

    if language() == "zh":
        speak_chinese(fig, path.stem)
    with atomic_write(path) as temporary:
        fig.savefig(temporary)
    print(f"Figure:     {display_path(path)}")
    if show or "inline" in plt.get_backend():
        if plt.get_backend().lower() == "agg":
            message = _("No window can be opened here: look at the file instead.")
            print(message, file=sys.stderr)
        else:
            plt.show()
    if os.environ.get("BOOK_IN_TWO_LANGUAGES") and speak_chinese(fig, path.stem):
        fig.savefig(path.with_suffix(".zh_CN.png"))
    plt.close(fig)


def speak_chinese(fig, name: str) -> bool:
    """Put the figure's words into Chinese, if a font for them is at hand. Returns whether it is."""
    from matplotlib.font_manager import fontManager
    from matplotlib.text import Text

    installed = {font.name for font in fontManager.ttflist}
    font = next(filter(installed.__contains__, CHINESE_FONTS), None)
    if font is None:
        return False
    fig.canvas.draw()  # the names of bars come into being
    for axis in [axis for axes in fig.axes for axis in (axes.xaxis, axes.yaxis)]:
        names = [label.get_text() for label in axis.get_ticklabels()]
        said = [figure_text(one, name) for one in names]
        if said != names:
            axis.set_ticks(axis.get_ticklocs(), labels=said, fontfamily=["sans-serif", font])
    for text in fig.findobj(Text):
        said = figure_text(text.get_text(), name)
        if said != text.get_text():
            text.set(text=said, fontfamily=[*text.get_fontfamily(), font])
    return True
