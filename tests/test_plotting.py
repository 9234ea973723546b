"""common/plotting.py: figures."""

import re
from pathlib import Path

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


# Chinese


@pytest.fixture
def chinese_font(monkeypatch):
    """A font that is at hand stands for one with Chinese characters, which may be missing."""
    monkeypatch.setattr(plotting, "CHINESE_FONTS", ["none", "DejaVu Serif"])


@pytest.fixture
def bars():
    """A figure with words from chapter 9's catalog, and one that is in none."""
    fig = plotting.figure(4, 3)
    axes = fig.subplots()
    axes.barh(["notes' loop", "whole batches"], [1, 2])
    axes.set(title="Throughput", xlabel="images per second", ylabel="unknown words")
    return fig


def test_a_figure_speaks_chinese(bars, chinese_font):
    assert plotting.speak_chinese(bars, "09_mnist_fast")
    said = [text for text in bars.findobj(plt.Text) if re.search("[一-鿿]", text.get_text())]
    assert len({text.get_text() for text in said}) == 4, "title, label, and the names of the bars"
    assert all("DejaVu Serif" in text.get_fontfamily() for text in said)
    assert bars.axes[0].get_ylabel() == "unknown words"


def test_without_a_chinese_font_it_stays_english(bars, monkeypatch):
    """Empty boxes would say nothing at all."""
    monkeypatch.setattr(plotting, "CHINESE_FONTS", ["none"])
    assert not plotting.speak_chinese(bars, "09_mnist_fast")
    assert bars.axes[0].get_title("left") == "Throughput"


@pytest.mark.parametrize("language, book, files", [
    ("en", "", {"09_mnist_fast.png": "Throughput"}),
    ("zh", "", {"09_mnist_fast.png": "吞吐量"}),
    ("en", "1", {"09_mnist_fast.png": "Throughput", "09_mnist_fast.zh_CN.png": "吞吐量"}),
])  # fmt: skip
def test_which_figures_are_saved(language, book, files, bars, chinese_font, tmp_path, monkeypatch):
    monkeypatch.setattr(plotting, "language", lambda: language)
    monkeypatch.setitem(plotting.os.environ, "BOOK_IN_TWO_LANGUAGES", book)
    saved = {}

    def save(fig, path, **how):
        saved[Path(path)] = fig.axes[0].get_title("left")
        Path(path).touch()

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", save)
    plotting.finish(bars, tmp_path / "09_mnist_fast.png")
    assert {path.name for path in tmp_path.iterdir()} == set(files)
    assert sorted(saved.values()) == sorted(files.values())


# What fails at the end is tried at the beginning


@pytest.fixture
def chapter_1(run_chapter, tmp_path):
    """Run chapter 1: (status, first line of stderr, ended before its first section, drew it)."""

    def run(*flags, **environment):
        name, flags = "01_linear_grid", ["--output-dir", tmp_path, *flags]
        done = run_chapter(name, *flags, cwd=tmp_path, **{"MPLBACKEND": ""} | environment)
        assert "Traceback" not in done.stderr
        first = done.stderr.partition("\n")[0]
        at_once = "1. " not in done.stdout
        return done.returncode, first, at_once, (tmp_path / f"{name}.png").exists()

    return run


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
def test_a_backend_that_a_notebook_has_set_is_not_used(backend, chapter_1):
    assert chapter_1(MPLBACKEND=backend) == (0, "", False, True)


def test_a_window_is_asked_for_where_a_notebook_has_set_another_backend(chapter_1):
    backend = "module://matplotlib_inline.backend_inline"
    said = "No window can be opened here: look at the file instead."
    assert chapter_1("--show", MPLBACKEND=backend) == (0, said, False, True)


def test_a_backend_that_is_none_is_told_before_the_training(chapter_1):
    status, said, at_once, drew = chapter_1("--show", MPLBACKEND="nonsense")
    assert (status, at_once, drew) == (2, True, False)
    assert said.startswith("error: matplotlib can't be imported: ") and "MPLBACKEND" in said


def test_settings_that_need_a_program_that_is_not_there(chapter_1, tmp_path):
    """A font of the reader's stays, but TeX may not be installed."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    status, said, _, drew = chapter_1(MATPLOTLIBRC=str(tmp_path), PATH="")
    assert (status, drew) == (0, True) and "its own are used" in said and "latex" in said


def test_settings_that_cannot_be_read(chapter_1, tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"font.family: \xff\xfe\n")
    status, _, at_once, drew = chapter_1(MATPLOTLIBRC=str(tmp_path))
    assert (status, at_once, drew) == (2, True, False)


def test_settings_that_work_stay(monkeypatch):
    monkeypatch.setitem(plt.rcParams, "font.family", ["monospace"])
    plotting.set_up.__wrapped__()
    assert plt.rcParams["font.family"] == ["monospace"]
    assert plt.rcParams["axes.titlelocation"] == "left" and plt.get_backend().lower() == "agg"
