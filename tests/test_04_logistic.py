"""Chapter 4: probabilities, their loss, and torchvision's data sets."""

import math
import re

import pytest
import torch

from common.data import mnist_root

NAME = "04_logistic"
X, Y = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[0.0], [0.0], [1.0]])


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def test_it_runs_as_its_docstring_says(run_chapter, last_lines, chapter, tmp_path):
    done = run_chapter(NAME, "--output-dir", "outputs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    last_lines(chapter, done.stdout)
    assert (tmp_path / "outputs" / f"{NAME}.png").stat().st_size > 10_000
    assert "MNIST's first ten, 28 x 28 pixels: [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]" in done.stdout
    attribute, in_forward = (
        re.search(rf"{form} +(.*)", done.stdout)[1] for form in ("attribute:", "in forward:")
    )
    assert attribute == in_forward
    pair, logits = re.search(r"BCELoss: (\S+) +BCEWithLogitsLoss: (\S+)", done.stdout).groups()
    assert pair == logits
    assert "sigmoid, BCELoss:  loss 100, gradient 0" in done.stdout
    assert "BCEWithLogitsLoss: loss 200, gradient 1" in done.stdout


def test_it_learns_who_passes(chapter, tmp_path, capsys):
    model, history = chapter.main(["--output-dir", str(tmp_path)])
    assert len(history["loss"]) == 1000
    assert history["loss"] == sorted(history["loss"], reverse=True)
    assert 2 < chapter.boundary(model) < 3
    p = model(torch.tensor([[4.0]])).item()
    assert f"after 4 hours: {p:.4f}\n" in capsys.readouterr().out
    failed, also_failed, passed = model(X).flatten().tolist()
    assert failed < also_failed < 0.5 < passed


def test_the_first_digits(chapter):
    pictures, labels = chapter.first_digits(mnist_root(), count=3)
    assert labels == [5, 0, 4]
    assert [picture.size for picture in pictures] == [(28, 28)] * 3
    assert pictures[0].getextrema() == (0, 255)


@pytest.mark.parametrize("name", ["LogisticModel", "LogisticModelWithLayer"])
def test_the_model_is_a_sigmoid_of_a_line(chapter, name):
    model = getattr(chapter, name)()
    w, b = model.linear.weight.item(), model.linear.bias.item()
    expected = [sigmoid(w * x + b) for x in (-2.0, 0.0, 3.0)]
    assert model(torch.tensor([[-2.0], [0.0], [3.0]])).flatten().tolist() == pytest.approx(expected)


def test_both_forms_are_equal(chapter):
    model, with_layer = chapter.LogisticModel(), chapter.LogisticModelWithLayer()
    with_layer.load_state_dict(model.state_dict())
    x = torch.randn(20, 1)
    assert torch.equal(model(x), with_layer(x))
    assert any(isinstance(module, torch.nn.Sigmoid) for module in with_layer.modules())
    assert not any(isinstance(module, torch.nn.Sigmoid) for module in model.modules())


def test_loss_and_optimizer_are_the_notes(chapter):
    model = chapter.LogisticModel()
    criterion, optimizer = chapter.loss_and_optimizer(model, lr=0.02)
    by_hand = -math.log(0.9) - math.log(1 - 0.2)
    assert criterion(torch.tensor([0.9, 0.2]), torch.tensor([1.0, 0.0])).item() == (
        pytest.approx(by_hand)
    )
    assert type(optimizer) is torch.optim.SGD and optimizer.param_groups[0]["lr"] == 0.02
    assert optimizer.param_groups[0]["params"] == list(model.parameters())


def test_the_boundary_has_even_odds(chapter):
    model = chapter.LogisticModel()
    with torch.no_grad():
        model.linear.weight.fill_(2.0)
        model.linear.bias.fill_(-5.0)
    assert chapter.boundary(model) == 2.5
    assert model(torch.tensor([[2.5]])).item() == 0.5


@pytest.mark.parametrize("logit", [-3.0, 0.0, 2.0])
@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("from_logit", [False, True])
def test_both_losses_are_equal_where_nothing_overflows(chapter, logit, y, from_logit):
    loss, gradient = chapter.loss_and_gradient(logit, y, from_logit)
    p = sigmoid(logit)
    assert loss == pytest.approx(-math.log(p if y else 1 - p), rel=1e-5)
    assert gradient == pytest.approx(p - y, abs=1e-6)


def test_only_the_logit_survives_an_overflow(chapter):
    """-log(1 - sigmoid(200)) is 200, but sigmoid(200) is rounded to 1."""
    assert chapter.loss_and_gradient(200.0, 0.0, from_logit=True) == (200, 1)
    assert chapter.loss_and_gradient(200.0, 0.0, from_logit=False) == (100, 0)


def test_the_figure(chapter):
    pictures, labels = chapter.first_digits(mnist_root())
    model = chapter.LogisticModel()
    history = {"epoch": [1, 2], "loss": [3.0, 2.0]}
    fig = chapter.draw(pictures, labels, X, Y, model, history, show=False)
    digits = [axes for axes in fig.axes if axes.images]
    assert [axes.get_title() for axes in digits] == [str(label) for label in labels]
    left, right = (axes for axes in fig.axes if axes.lines)
    curve, data, boundary = left.lines
    x, p = (torch.as_tensor(values).reshape(-1, 1) for values in curve.get_data())
    torch.testing.assert_close(p, model(x).detach())
    assert data.get_ydata().flatten().tolist() == [0, 0, 1]
    assert boundary.get_xdata()[0] == pytest.approx(chapter.boundary(model))
    assert right.lines[0].get_ydata().tolist() == [3, 2]


def test_ctrl_c_ends_all_of_it_with_a_figure(chapter, interrupted, tmp_path):
    flags = ["--epochs", 500, "--output-dir", tmp_path]
    interrupted(chapter.main, flags, epochs=3)
    assert (tmp_path / f"{NAME}.png").exists()
