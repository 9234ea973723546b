"""Chapter 1: the grid, broadcasting, and gradient descent by hand."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from common.cli import ROOT

NAME = "01_linear_grid"
X, Y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])
WS = np.arange(0.0, 10.0, 0.1)


def test_it_runs_as_its_docstring_says(run_chapter, last_lines, chapter, tmp_path):
    done = run_chapter(NAME, "--output-dir", "outputs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    last_lines(chapter, done.stdout)
    assert "100 weights, the lowest error 0.0000 at w = 2.0" in done.stdout
    assert "10,100 pairs, the lowest error at w = 2.0, b = 1.0" in done.stdout
    with Image.open(tmp_path / "outputs" / f"{NAME}.png") as image:
        assert image.width == 1500


def test_it_starts_without_torch(chapters_folder):
    code = (
        "import sys, runpy; runpy.run_path(sys.argv[1]); "
        "print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, chapters_folder / f"{NAME}.py"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_main_returns_both_answers(chapter, tmp_path):
    best, w = chapter.main(["--output-dir", str(tmp_path)])
    assert best == pytest.approx(2.0)
    assert w == pytest.approx(2.0, abs=0.001)


def test_column_stack_pairs_the_points():
    """The notes' comment: [[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]."""
    assert np.column_stack((X, Y)).tolist() == [[1, 2], [2, 4], [3, 6]]


def test_forward_and_loss(chapter):
    assert chapter.forward(3.0, 4.0) == 12
    assert chapter.loss(10.0, 12.0) == 4
    assert chapter.loss(12.0, 10.0) == 4


def test_every_w_is_tried_and_2_is_best(chapter):
    w_list, mse_list = chapter.grid_search(np.column_stack((X, Y)), WS)
    assert len(w_list) == len(mse_list) == 100
    assert w_list == WS.tolist()
    assert w_list[int(np.argmin(mse_list))] == pytest.approx(2.0)
    # (1 + 4 + 9) / 3 = 14 / 3 is the mean of x squared
    assert mse_list == pytest.approx([14 / 3 * (w - 2) ** 2 for w in WS])


def test_broadcasting_equals_the_loops(chapter):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 7))
    _, mse_list = chapter.grid_search(np.column_stack((x, y)), WS)
    np.testing.assert_allclose(chapter.grid_search_by_broadcasting(x, y, WS), mse_list)


def test_the_gradient_is_the_slope_of_the_error(chapter):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 7))
    for w in (-1.0, 0.5, 9.0):
        h = 1e-5
        above, below = (((x * v - y) ** 2).mean() for v in (w + h, w - h))
        assert chapter.gradient(x, y, w) == pytest.approx((above - below) / (2 * h), rel=1e-6)


def test_gradient_descent_steps_as_derived_by_hand(chapter):
    """The mean gradient is 28 / 3 (w - 2), so each step shrinks w - 2 by 1 - lr 28 / 3."""
    w, history = chapter.gradient_descent(X, Y, w=9.0, lr=0.01, epochs=20)
    expected = [2 + 7 * (1 - 0.28 / 3) ** n for n in range(21)]
    assert history["w"] == pytest.approx(expected[:20])
    assert w == pytest.approx(expected[20])
    assert history["loss"] == pytest.approx([14 / 3 * (v - 2) ** 2 for v in expected[:20]])


def test_the_error_surface_equals_the_loops(chapter):
    ws, bs = np.array([0.0, 1.5, 2.0]), np.array([-1.0, 1.0])
    surface = chapter.error_surface(X, Y + 1, ws, bs)
    expected = [
        [sum((w * x + b - y - 1) ** 2 for x, y in zip(X, Y, strict=True)) / 3 for w in ws]
        for b in bs
    ]
    np.testing.assert_allclose(surface, expected)
    assert surface[1, 2] == 0  # w = 2, b = 1


def test_the_figure(chapter):
    w_list, mse_list = chapter.grid_search(np.column_stack((X, Y)), WS)
    _, history = chapter.gradient_descent(X, Y, 9.0, 0.01, 5)
    surface = chapter.error_surface(X, Y, WS, WS)
    fig = chapter.draw(w_list, mse_list, history, WS, WS, surface, show=False)
    curve, walk = fig.axes[0].lines
    assert curve.get_ydata() == pytest.approx(mse_list)
    assert walk.get_xdata() == pytest.approx(history["w"])
    ((best_w,), (best_b,)) = fig.axes[1].lines[0].get_data()
    assert (best_w, best_b) == pytest.approx((2, 0))
    assert fig.axes[1].get_xlabel() == "w" and fig.axes[1].get_ylabel() == "b"
    assert all(re.search("=", axes.get_title(loc="left")) for axes in fig.axes[:2])


def test_too_long_steps_diverge_in_words(chapter, fails, tmp_path):
    message = fails(chapter.main, ["--lr", 1000, "--output-dir", tmp_path], status=1)
    assert "lower --lr" in message


def test_ctrl_c_ends_all_of_it_with_a_figure(chapter, interrupted, tmp_path):
    flags = ["--epochs", 500, "--output-dir", tmp_path]
    interrupted(chapter.main, flags, epochs=3)
    assert (tmp_path / f"{NAME}.png").exists()
