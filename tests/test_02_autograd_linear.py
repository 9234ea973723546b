"""Chapter 2: gradients, both loops, and the notes' remarks."""

import numpy as np
import pytest
import torch

from common.chapter import load
from common.cli import ROOT

NAME = "02_autograd_linear"
FLAGS = []
XY = torch.tensor([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])


def weight(value=1.0):
    return torch.tensor([[value]], requires_grad=True)


def test_it_runs_as_its_docstring_says(ran, outputs, last_lines, chapter):
    last_lines(chapter, ran.out)
    assert (outputs / f"{NAME}.png").stat().st_size > 10_000
    for line in [
        "z = 4, x.grad = tensor([0.6667, 0.6667, 0.6667])",
        "torch.tensor([[1.0, 2.0], [3.0, 4.0]]): shape (2, 2), torch.float32",
        "   SubBackward0",
    ]:
        assert line in ran.out


def test_the_two_ways_take_the_flags_and_differ(run, quick_figures, tmp_path):
    names = run(NAME, "--epochs", 2, "--lr", 0.02, "--output-dir", tmp_path).names
    assert names.w_full.item() == pytest.approx(2 - (1 - 28 * 0.02) ** 2)
    shrink = (1 - 0.04) * (1 - 0.16) * (1 - 0.36)  # 1 - 2 lr x squared, for x = 1, 2, 3
    assert names.w.item() == pytest.approx(2 - shrink**2)


def test_both_ways_reach_2(ran):
    assert ran.names.w.item() == pytest.approx(2.0, abs=1e-4)
    assert ran.names.w_full.item() == pytest.approx(2.0, abs=1e-4)


def test_forward_and_loss(chapter):
    w = weight(3.0)
    y_pred = chapter.forward(torch.tensor([1.0, 2.0]), w)
    assert y_pred.tolist() == [[3, 6]]
    assert torch.autograd.grad(y_pred.sum(), w)[0].item() == 3  # the sum of x
    assert chapter.loss(torch.tensor([3.0, 6.0]), torch.tensor([1.0, 7.0])).tolist() == [4, 1]


def test_autograds_gradient_is_the_hand_derived_one_of_chapter_1(chapter):
    by_hand = load(ROOT / "01_linear_grid.py").gradient
    for value in (-3.0, 1.0, 2.0, 7.5):
        w = weight(value)
        chapter.loss(chapter.forward(XY[:, 0], w), XY[:, 1]).mean().backward()
        x, y = XY.double().numpy().T
        assert w.grad.item() == pytest.approx(by_hand(x, y, value), rel=1e-5)


def test_one_epoch_of_two_updates(chapter):
    """The gradient is 2 x (w x - y): -2 at w = 1, then -6.4 at w = 1.2."""
    w = weight()
    history = chapter.train_sgd(XY[:2], w, lr=0.1, epochs=1)
    assert w.item() == pytest.approx(1.84)
    assert history == {"epoch": [1], "loss": [pytest.approx(1 + 1.6**2)], "w": [1]}


def test_an_update_after_every_sample(chapter):
    w, expected, before = weight(), 1.0, []
    history = chapter.train_sgd(XY, w, lr=0.01, epochs=4)
    losses = []
    for _ in range(4):
        before.append(expected)
        losses.append(0.0)
        for x, y in XY.tolist():
            losses[-1] += (x * expected - y) ** 2
            expected -= 0.01 * 2 * x * (x * expected - y)
    assert w.item() == pytest.approx(expected, rel=1e-5)
    assert history["w"] == pytest.approx(before, rel=1e-5)
    assert history["loss"] == pytest.approx(losses, rel=1e-4)


def test_two_epochs_of_one_update(chapter):
    """The summed gradient is 10 (w - 2): -10 at w = 1, then -5 at w = 1.5."""
    w = weight()
    history = chapter.train_full_batch(XY[:2], w, lr=0.05, epochs=2)
    assert w.item() == pytest.approx(1.75)
    assert history == {"epoch": [1, 2], "loss": [5, pytest.approx(1.25)], "w": [1, 1.5]}


def test_an_update_on_the_sum(chapter):
    """The summed gradient is 28 (w - 2), so each epoch shrinks w - 2 by 1 - 28 lr."""
    w = weight()
    history = chapter.train_full_batch(XY, w, lr=0.01, epochs=4)
    expected = [2 - 0.72**n for n in range(5)]
    assert history["w"] == pytest.approx(expected[:4])
    assert w.item() == pytest.approx(expected[4])
    assert history["loss"] == pytest.approx([14 * (v - 2) ** 2 for v in expected[:4]], rel=1e-4)


@pytest.mark.parametrize("way", ["train_sgd", "train_full_batch"])
def test_the_update_is_not_recorded(chapter, way):
    w = weight()
    getattr(chapter, way)(XY, w, lr=0.01, epochs=2)
    assert w.is_leaf and w.requires_grad
    assert w.grad is None or w.grad.item() == 0


def test_the_graph_is_walked_from_the_result_to_w(chapter):
    w = weight()
    l = (torch.tensor(1.0) * w - torch.tensor(2.0)) ** 2
    assert [line.strip() for line in chapter.graph(l.grad_fn)] == [
        "PowBackward0",
        "SubBackward0",
        "MulBackward0",
        "torch::autograd::AccumulateGrad",
    ]
    two_branches = chapter.graph((w + 2 * w).grad_fn)
    indents = [len(line) - len(line.lstrip()) for line in two_branches]
    said = f"the lines {two_branches} are indented by {indents}; expected are [0, 3, 3, 6]"
    assert indents == [0, 3, 3, 6], said
    assert sum("AccumulateGrad" in line for line in two_branches) == 2


def test_what_the_run_shows_of_the_notes_remarks(ran):
    """Each line is the notes' remark, with the number that the remark implies."""
    for line in [
        "backward of 3a once:          a = 1, a.grad = 3",  # the derivative of 3a
        "backward of 3a twice:         a = 1, a.grad = 6",
        "backward of 3a after zero_(): a = 1, a.grad = 3",
        "a -= 0.01 * a.grad:     a leaf Variable that requires grad",
        "before a = a - …:       a.is_leaf is True",
        "after a = a - …:        a.is_leaf is False",
        "b -= … within no_grad:  b.is_leaf is True",
        "changed through a.data:     a.grad is 60, and no warning",  # not 6: a was 3 then
        "changed through a.detach(): one of the variables needed for gradient computation has",
        "(2 * x).backward(): grad can be implicitly created only for scalar outputs",
        "with gradient=[1, 1, 10]: x.grad = [2.0, 2.0, 20.0]",  # 2 times each weight
    ]:
        assert line in ran.out


def test_the_figure(ran):
    names = ran.names
    for axes, history in zip(names.fig.axes, (names.sgd, names.full), strict=True):
        _, path = axes.lines
        assert np.asarray(path.get_xdata()) == pytest.approx(history["w"])
        assert np.asarray(path.get_ydata()) == pytest.approx(
            [14 * (w - 2) ** 2 for w in history["w"]], rel=1e-4, abs=1e-6
        )


def test_too_high_a_learning_rate_diverges_in_words(fails, tmp_path):
    message = fails(NAME, ["--lr", 10, "--output-dir", tmp_path], status=1)
    assert "lower --lr" in message


def test_ctrl_c_ends_all_of_it_with_a_figure(interrupted, tmp_path):
    interrupted(NAME, ["--epochs", 500, "--output-dir", tmp_path], epochs=3)
    assert (tmp_path / f"{NAME}.png").exists()
