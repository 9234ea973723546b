"""Chapter 2: gradients, both loops, and the notes' remarks."""

import re

import pytest
import torch

from common.chapter import load
from common.cli import ROOT

NAME = "02_autograd_linear"
FLAGS = []
WARNS = ["The .grad attribute of a Tensor that is not a leaf Tensor is being accessed."]
XY = torch.tensor([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])


def weight(value=1.0):
    return torch.tensor([[value]], requires_grad=True)


def test_it_runs_as_its_docstring_says(ran, outputs, last_lines, chapter):
    last_lines(chapter, ran.out)
    assert (outputs / f"{NAME}.png").stat().st_size > 10_000


def test_the_two_ways_take_the_flags_and_differ(run, quick_figures, tmp_path):
    """A step multiplies w - 2 by 1 - 2 lr x squared; on the sum, by 1 - 28 lr."""
    names = run(NAME, "--epochs", 2, "--lr", 0.02, "--output-dir", tmp_path).names
    assert names.w_full.item() == pytest.approx(2 - (1 - 28 * 0.02) ** 2)
    shrink = (1 - 0.04) * (1 - 0.16) * (1 - 0.36)  # for x = 1, 2, 3
    assert names.w.item() == pytest.approx(2 - shrink**2)


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


def test_sgd_updates_after_every_sample(ran):
    expected, before = 1.0, []
    for _ in range(100):
        before.append(expected)
        for x, y in XY.tolist():
            expected -= 0.01 * 2 * x * (x * expected - y)
    assert ran.names.w_sgd == pytest.approx(before, rel=1e-5)
    assert ran.names.w.item() == pytest.approx(expected, rel=1e-5)


def test_full_batch_updates_on_the_sum(ran):
    """The summed gradient is 28 (w - 2), so each epoch shrinks w - 2 by 1 - 28 lr."""
    expected = [2 - 0.72**n for n in range(101)]
    assert ran.names.w_batch == pytest.approx(expected[:100])
    assert ran.names.w_full.item() == pytest.approx(expected[100])
    loss = 14 * (expected[9] - 2) ** 2
    assert f"Epoch 10/100, Loss: {loss:.4f}, w: {expected[10]:.4f}\n" in ran.out


def test_no_update_is_recorded(ran):
    for w in (ran.names.w, ran.names.w_full):
        assert w.is_leaf and w.requires_grad and w.grad.item() == 0


def test_what_the_run_shows_of_the_notes_remarks(ran):
    """Each line is the notes' remark, with the number that the remark implies."""
    for line in [
        "tensor(4., grad_fn=<MeanBackward0>)\ntensor([0.6667, 0.6667, 0.6667])",  # 2 / 3 each
        "tensor([[4.]], grad_fn=<PowBackward0>)",  # (2 · 1 - 4) squared
        "tensor(1., requires_grad=True) tensor(3.)\n"  # the derivative of 3a
        "tensor(1., requires_grad=True) tensor(6.)\n"  # added up; a is as it was
        "tensor(1., requires_grad=True) tensor(3.)\n",  # after zero_()
        "a leaf Variable that requires grad is being used in an in-place operation.",
        "unsupported operand type(s) for *: 'float' and 'NoneType'",
        "tensor(60.)\n\n10. detach\n",  # through data: not 6, as a was 3 then
        "one of the variables needed for gradient computation has been modified by an inplace",
        "grad can be implicitly created only for scalar outputs\ntensor([ 2.,  2., 20.])",
    ]:
        assert line in ran.out
    assert re.search(
        r"<PowBackward0 .*\n.*<SubBackward0 .*\n<MulBackward0 .*\n.*<AccumulateGrad ", ran.out
    )


def test_the_figure(ran):
    sgd, batch = ran.names.fig.axes[0].lines
    assert list(sgd.get_ydata()) == ran.names.w_sgd
    assert list(batch.get_ydata()) == ran.names.w_batch


def test_too_high_a_learning_rate_diverges_in_words(run, tmp_path):
    done = run(NAME, "--lr", 10, "--output-dir", tmp_path)
    assert done.status == 1 and "lower --lr" in done.err.splitlines()[-1]
    assert not any(tmp_path.iterdir())


def test_ctrl_c_ends_it_with_a_word(interrupted, tmp_path):
    done = interrupted(NAME, ["--output-dir", tmp_path], at="Epoch 20/")
    assert (done.status, done.err) == (130, "\nStopped.\n") and "Epoch 30/" not in done.out
