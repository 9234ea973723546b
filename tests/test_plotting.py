"""common/plotting.py: figures."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from common import plotting


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


def test_each_character_is_made_visible():
    assert plotting.visible("a b$é") == ["a", "␣", "b", r"\$", "é"]
    assert plotting.visible("月") == ["□"]


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


def test_a_row_of_images():
    fig = plotting.figure(3, 1)
    images = np.array([[[0, 1]], [[1, 0]]])
    plotting.image_row(fig, images, ["a", "b"], ["black", "red"], "Two")
    assert [axes.get_title() for axes in fig.axes if axes.images] == ["a", "b"]
    assert fig.axes[1].images[0].get_array().tolist() == [[1, 0]]
    assert fig.axes[1].title.get_color() == "red"
