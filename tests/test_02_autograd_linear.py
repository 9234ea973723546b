"""Chapter 2: gradients, both loops, and the notes' remarks."""

import numpy as np
import pytest
import torch

NAME = "02_autograd_linear"
XY = torch.tensor([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])


def weight(value=1.0):
    return torch.tensor([[value]], requires_grad=True)


def test_it_runs_as_its_docstring_says(run_chapter, last_lines, chapter, tmp_path):
    done = run_chapter(NAME, "--output-dir", "outputs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    last_lines(chapter, done.stdout)
    assert (tmp_path / "outputs" / f"{NAME}.png").stat().st_size > 10_000
    for line in [
        "the gradient of mean(2 x) by x: tensor([0.6667, 0.6667, 0.6667])",
        "torch.tensor([[1.0, 2.0], [3.0, 4.0]]) has the shape (2, 2)",
        "      SubBackward0",
        "the gradient 2 x (w x - y) is -18 by hand",
        "w.grad is tensor(-18.), w.grad.data the same, w.grad.item() is -18",
        "through w.data:     60.0",
        "grad can be implicitly created only for scalar outputs",
    ]:
        assert line in done.stdout


def test_the_two_ways_take_the_flags_and_differ(chapter, tmp_path):
    flags = ["--epochs", "2", "--lr", "0.02", "--output-dir", str(tmp_path)]
    per_sample, on_sum = chapter.main(flags)
    assert on_sum == pytest.approx(2 - (1 - 28 * 0.02) ** 2)
    shrink = (1 - 0.04) * (1 - 0.16) * (1 - 0.36)  # 1 - 2 lr x squared, for x = 1, 2, 3
    assert per_sample == pytest.approx(2 - shrink**2)


def test_both_ways_reach_2(chapter, tmp_path):
    assert chapter.main(["--output-dir", str(tmp_path)]) == pytest.approx((2.0, 2.0), abs=1e-4)


def test_the_notes_first_example(chapter):
    torch.testing.assert_close(chapter.first_example(), torch.full((3,), 2 / 3))


def test_autograds_gradient_is_the_hand_derived_one_of_chapter_1(chapter, load_chapter):
    by_hand = load_chapter("01_linear_grid").gradient
    for value in (-3.0, 1.0, 2.0, 7.5):
        w = weight(value)
        chapter.loss(chapter.forward(XY[:, 0], w), XY[:, 1]).mean().backward()
        x, y = XY.double().numpy().T
        assert w.grad.item() == pytest.approx(by_hand(x, y, value), rel=1e-5)


def test_an_update_after_every_sample(chapter):
    w, expected, before = weight(), 1.0, []
    history = chapter.train_per_sample(XY, w, lr=0.01, epochs=4)
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


def test_an_update_on_the_sum(chapter):
    """The summed gradient is 28 (w - 2), so each epoch shrinks w - 2 by 1 - 28 lr."""
    w = weight()
    history = chapter.train_on_sum(XY, w, lr=0.01, epochs=4)
    expected = [2 - 0.72**n for n in range(5)]
    assert history["w"] == pytest.approx(expected[:4])
    assert w.item() == pytest.approx(expected[4])
    assert history["loss"] == pytest.approx([14 * (v - 2) ** 2 for v in expected[:4]], rel=1e-4)


@pytest.mark.parametrize("way", ["train_per_sample", "train_on_sum"])
def test_the_update_is_not_recorded(chapter, way):
    w = weight()
    getattr(chapter, way)(XY, w, lr=0.01, epochs=2)
    assert w.is_leaf and w.requires_grad
    assert w.grad is None or w.grad.item() == 0


def test_the_graph_is_walked_from_the_result_to_w(chapter):
    w = weight()
    l = chapter.loss(chapter.forward(torch.tensor(1.0), w), torch.tensor(2.0))
    assert [line.strip() for line in chapter.graph(l.grad_fn)] == [
        "PowBackward0",
        "SubBackward0",
        "MulBackward0",
        "torch::autograd::AccumulateGrad",
    ]
    two_branches = chapter.graph((w + 2 * w).grad_fn)
    indents = [len(line) - len(line.lstrip()) for line in two_branches]
    assert indents == [0, 3, 3, 6]
    assert sum("AccumulateGrad" in line for line in two_branches) == 2


def test_gradients_add_up_unless_zeroed_and_w_stays(chapter):
    assert chapter.gradients_add_up() == [(1, 3), (1, 6), (1, 3)]


def test_data_hides_a_change_and_detach_does_not(chapter):
    assert chapter.change_behind_the_graph("data") == 60  # not 6: w was 3 when y was calculated
    assert "modified by an inplace operation" in chapter.change_behind_the_graph("detach")


def test_torch_refuses_a_recorded_update(chapter):
    assert "leaf Variable that requires grad" in chapter.recorded_update()


def test_only_a_single_number_can_call_backward(chapter):
    assert "only for scalar outputs" in chapter.backward_of_a_vector()


def test_the_figure(chapter):
    histories = [
        chapter.train_per_sample(XY, weight(), 0.01, 3),
        chapter.train_on_sum(XY, weight(), 0.01, 3),
    ]
    fig = chapter.draw(XY, *histories, show=False)
    for axes, history in zip(fig.axes, histories, strict=True):
        _, path = axes.lines
        assert np.asarray(path.get_xdata()) == pytest.approx(history["w"])
        assert np.asarray(path.get_ydata()) == pytest.approx(
            [14 * (w - 2) ** 2 for w in history["w"]], rel=1e-4
        )


def test_too_long_steps_diverge_in_words(chapter, fails, tmp_path):
    message = fails(chapter.main, ["--lr", 10, "--output-dir", tmp_path], status=1)
    assert "lower --lr" in message


def test_ctrl_c_ends_all_of_it_with_a_figure(chapter, interrupted, tmp_path):
    flags = ["--epochs", 500, "--output-dir", tmp_path]
    interrupted(chapter.main, flags, epochs=3)
    assert (tmp_path / f"{NAME}.png").exists()
