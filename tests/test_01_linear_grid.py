"""Chapter 1: the grid, broadcasting, and gradient descent by hand."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from common.cli import ROOT

NAME = "01_linear_grid"
FLAGS = []
X, Y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])
WS = np.arange(0.0, 10.0, 0.1)


def test_it_runs_as_its_docstring_says(ran, outputs, last_lines, chapter):
    last_lines(chapter, ran.out)
    assert "100 weights, the lowest MSE 0.0000 at w = 2.0" in ran.out
    assert "10,100 pairs, the lowest MSE at w = 2.0, b = 1.0" in ran.out
    with Image.open(outputs / f"{NAME}.png") as image:
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


def test_the_run_leaves_the_notes_names(ran):
    """xy_data is what the notes' comment says; both searches find w = 2."""
    names = ran.names
    assert names.xy_data.tolist() == [[1, 2], [2, 4], [3, 6]]
    assert len(names.w_list) == len(names.mse_list) == 100
    assert names.best == pytest.approx(2.0)
    assert names.w == pytest.approx(2.0, abs=0.001)


def test_the_learning_rates_limit_is_3_14ths(ran):
    """Below it 20 steps end nearer to w = 2 than they began, above it further away."""
    rows = [line.split() for line in ran.out.splitlines() if line.startswith("lr 0.")]
    assert len(rows) == 4
    for row in rows:
        lr, factor, w = float(row[1]), float(row[3]), float(row[-1])
        assert factor == pytest.approx(1 - 2 * lr * (1 + 4 + 9) / 3, abs=1e-4)
        assert w == pytest.approx(2 + 7 * (1 - 28 / 3 * lr) ** 20, rel=1e-3)
        assert (abs(w - 2) < 7) == (lr < 3 / 14)


def test_forward_and_loss(chapter):
    assert chapter.forward(3.0, 4.0) == 12
    assert chapter.loss(10.0, 13.0) == 9
    assert chapter.loss(13.0, 10.0) == 9


def test_grid_search_by_hand(chapter):
    """Errors of w = 0: 2 and 4, of 1: 1 and 2, of 3: 1 and 2."""
    xy_data = np.array([[1.0, 2.0], [2.0, 4.0]])
    w_list, mse_list = chapter.grid_search(xy_data, np.array([0.0, 1.0, 3.0]))
    assert w_list == [0, 1, 3]
    assert mse_list == pytest.approx([10, 2.5, 2.5])


def test_every_w_is_tried_and_2_is_best(chapter):
    w_list, mse_list = chapter.grid_search(np.column_stack((X, Y)), WS)
    assert len(w_list) == len(mse_list) == 100
    assert w_list == WS.tolist()
    assert w_list[int(np.argmin(mse_list))] == pytest.approx(2.0)
    # (1 + 4 + 9) / 3 = 14 / 3 is the mean of x squared
    assert mse_list == pytest.approx([14 / 3 * (w - 2) ** 2 for w in WS])


def test_broadcasting_by_hand(chapter):
    ws = np.array([0.0, 1.0, 3.0])
    mse = chapter.grid_search_by_broadcasting(X[:2], Y[:2], ws)
    np.testing.assert_allclose(mse, [10, 2.5, 2.5])
    assert ws.tolist() == [0, 1, 3], "ws itself is still needed"


def test_broadcasting_equals_the_loops(chapter):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 7))
    _, mse_list = chapter.grid_search(np.column_stack((x, y)), WS)
    np.testing.assert_allclose(chapter.grid_search_by_broadcasting(x, y, WS), mse_list)


def test_the_gradient_by_hand(chapter):
    """The mean of 2 · 1 · (3 - 2) and 2 · 2 · (6 - 4)."""
    x_data = X[:2].copy()
    assert chapter.gradient(x_data, Y[:2], 3.0) == 5
    assert x_data.tolist() == [1, 2], "x_data itself is still needed"


def test_the_gradient_is_the_slope_of_the_error(chapter):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 7))
    for w in (-1.0, 0.5, 9.0):
        h = 1e-5
        above, below = (((x * v - y) ** 2).mean() for v in (w + h, w - h))
        assert chapter.gradient(x, y, w) == pytest.approx((above - below) / (2 * h), rel=1e-6)


def test_two_steps_of_gradient_descent(chapter):
    """The gradient is 5 (w - 2): from 3 to 2.5 to 2.25."""
    w, history = chapter.gradient_descent(X[:2], Y[:2], w=3.0, lr=0.1, epochs=2)
    assert w == pytest.approx(2.25)
    assert history == {"epoch": [1, 2], "loss": [2.5, 0.625], "w": [3, 2.5]}


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


def test_the_figure(ran):
    fig, names = ran.names.fig, ran.names
    curve, path = fig.axes[0].lines
    assert curve.get_ydata() == pytest.approx(names.mse_list)
    assert path.get_xdata() == pytest.approx(names.history["w"])
    ((best_w,), (best_b,)) = fig.axes[1].lines[0].get_data()
    assert (best_w, best_b) == pytest.approx((2, 1))
    assert fig.axes[1].get_xlabel() == "w" and fig.axes[1].get_ylabel() == "b"


def test_too_high_a_learning_rate_diverges_in_words(fails, tmp_path):
    message = fails(NAME, ["--lr", 1000, "--output-dir", tmp_path], status=1)
    assert "lower --lr" in message


def test_ctrl_c_ends_all_of_it_with_a_figure(interrupted, tmp_path):
    interrupted(NAME, ["--epochs", 500, "--output-dir", tmp_path], epochs=3)
    assert (tmp_path / f"{NAME}.png").exists()
