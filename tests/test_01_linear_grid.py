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
FLAGS = []
X, Y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])
WS = np.arange(0.0, 10.0, 0.1)


def test_it_runs_as_its_docstring_says(ran, outputs, last_lines, chapter):
    last_lines(chapter, ran.out)
    assert "lowest MSE 0.0 at w = 2.0\n" in ran.out
    assert "10000 pairs, the best: w = 2.0 b = 1.0" in ran.out
    assert "as from the loops: True\n" in ran.out
    with Image.open(outputs / f"{NAME}.png") as image:
        assert image.width == 1500


def test_it_starts_without_torch(chapters_folder):
    code = (
        "import sys; from pathlib import Path; from common.chapter import load; "
        "load(Path(sys.argv[1])); "
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
    assert names.w_list == WS.tolist() and len(names.mse_list) == 100
    # (1 + 4 + 9) / 3 = 14 / 3 is the mean of x squared
    assert names.mse_list == pytest.approx([14 / 3 * (w - 2) ** 2 for w in WS])
    assert names.best == pytest.approx(2.0)
    assert names.w == pytest.approx(2.0, abs=0.001)


def test_rounding_may_include_the_end_of_arange():
    assert np.arange(1, 1.3, 0.1)[-1] == pytest.approx(1.3)
    assert len(WS) == 100 and WS[-1] == pytest.approx(9.9)


def test_axes_and_broadcasting_are_as_the_prose_says(ran):
    """axis 0 leaves a number per column, axis 1 one per row; a row plus a column is a table."""
    table = np.array([[0, 1, 2], [3, 4, 5]])
    columns, rows = [(a + b) / 2 for a, b in zip(*table, strict=True)], [sum(r) / 3 for r in table]
    assert f"\n{np.array(columns)}\n{np.array(rows)}\n[[1.]\n [4.]]\n" in ran.out
    assert "[[11 12 13]\n [21 22 23]]\n" in ran.out
    said = re.sub(r"[# \n]+", " ", (ROOT / f"{NAME}.py").read_text(encoding="utf-8"))
    assert "row (3,) 1 2 3 column (2, 1) 10 11 12 13 20 21 22 23" in said


def test_gradient_descent_steps_as_derived_by_hand(ran):
    """The mean gradient is 28 / 3 (w - 2), so each step shrinks w - 2 by 1 - lr 28 / 3."""
    expected = [2 + 7 * (1 - 0.28 / 3) ** n for n in range(101)]
    assert ran.names.w_path == pytest.approx(expected[:100])
    assert ran.names.w == pytest.approx(expected[100])
    assert ran.names.mse_path == pytest.approx([14 / 3 * (v - 2) ** 2 for v in expected[:100]])
    assert "gradient at w = 9: 65.33" in ran.out  # 28 / 3 times 7


def test_the_learning_rates_limit_is_3_14ths(ran):
    """Below it 20 steps end nearer to w = 2 than they began, above it further away."""
    rows = [line.split() for line in ran.out.splitlines() if line.startswith("lr 0.")]
    assert len(rows) == 4
    for row in rows:
        lr, factor, w = float(row[1]), float(row[3]), float(row[5])
        assert factor == pytest.approx(1 - 2 * lr * (1 + 4 + 9) / 3)
        assert w == pytest.approx(2 + 7 * factor**20)
        assert (abs(w - 2) < 7) == (lr < 3 / 14)


def test_forward_and_loss(chapter):
    assert chapter.forward(3.0, 4.0) == 12
    assert chapter.loss(10.0, 13.0) == 9
    assert chapter.loss(13.0, 10.0) == 9


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


def test_the_error_surface_equals_the_loops(ran):
    """A row for each bias, a column for each weight."""
    surface, ws, bs = ran.names.surface, ran.names.ws, ran.names.bs
    assert surface.shape == (100, 100)
    for i, j in [(0, 0), (3, 70), (50, 20), (99, 5)]:
        errors = [(ws[j] * x + bs[i] - y - 1) ** 2 for x, y in zip(X, Y, strict=True)]
        assert surface[i, j] == pytest.approx(sum(errors) / 3)


def test_the_figure(ran):
    fig, names = ran.names.fig, ran.names
    curve, path = fig.axes[0].lines
    assert curve.get_ydata() == pytest.approx(names.mse_list)
    assert path.get_xdata() == pytest.approx(names.w_path)
    ((best_w,), (best_b,)) = fig.axes[1].lines[0].get_data()
    assert (best_w, best_b) == pytest.approx((2, 1))
    assert fig.axes[1].get_xlabel() == "w" and fig.axes[1].get_ylabel() == "b"


def test_too_high_a_learning_rate_diverges_in_words(fails, tmp_path):
    message = fails(NAME, ["--lr", 1000, "--output-dir", tmp_path], status=1)
    assert "lower --lr" in message


def test_ctrl_c_ends_it_with_a_word(interrupted, tmp_path):
    done = interrupted(NAME, ["--output-dir", tmp_path], at="Epoch 20/")
    assert (done.status, done.err) == (130, "\nStopped.\n") and "Epoch 30/" not in done.out
