"""common/plotting.py: figures."""

import matplotlib.pyplot as plt
import pytest
from PIL import Image

from common import plotting
from common.cli import UserError


def test_a_figure_is_saved_for_reading_and_closed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fig = plotting.figure(6, 4)
    fig.subplots().plot([1, 2], [3, 4])
    plotting.finish(fig, tmp_path / "line.png")
    with Image.open(tmp_path / "line.png") as image:
        assert image.size == (900, 600)
        assert round(image.info["dpi"][0]) == 150
    assert capsys.readouterr().out == "Figure:     line.png\n"
    assert not plt.get_fignums()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_curve_that_is_not_finite_means_that_training_has_diverged(value, tmp_path):
    fig = plotting.figure(1, 1)
    fig.subplots().plot([1.0, value, 2.0])
    with pytest.raises(UserError, match=r"diverged.*lower --lr") as error:
        plotting.finish(fig, tmp_path / "line.png")
    assert error.value.status == 1 and not any(tmp_path.iterdir())


def test_show_without_a_display_says_so(tmp_path, capsys):
    fig = plotting.figure(1, 1)
    plotting.finish(fig, tmp_path / "line.png", show=True)
    assert "look at the file instead" in capsys.readouterr().err


def test_show_opens_a_window_where_there_is_a_display(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "get_backend", lambda: "TkAgg")
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    plotting.finish(plotting.figure(1, 1), tmp_path / "line.png", show=True)
    assert shown


@pytest.mark.parametrize("backend", ["inline", "module://matplotlib_inline.backend_inline"])
def test_a_notebook_shows_the_figure_without_being_asked(backend, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "get_backend", lambda: backend)
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    plotting.finish(plotting.figure(1, 1), tmp_path / "line.png")
    assert len(shown) == 1 and len(shown[0]) == 1
    assert not plt.get_fignums(), "the notebook would show it once more"
