"""Chapter 4: probabilities, their loss, and torchvision's datasets."""

import math
import re

import pytest
import torch

NAME = "04_logistic"
FLAGS = []
X, Y = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[0.0], [0.0], [1.0]])


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def test_it_runs_as_its_docstring_says(ran, outputs, last_lines, chapter):
    last_lines(chapter, ran.out)
    assert (outputs / f"{NAME}.png").stat().st_size > 10_000
    assert "60,000 training and 10,000 test images" in ran.out
    assert "the first: 28 x 28 pixels, label 5" in ran.out
    attribute, in_forward = (
        re.search(rf"{form} +(.*)", ran.out)[1] for form in ("attribute:", "in forward:")
    )
    assert attribute == in_forward
    pair, logits = re.findall(r"BCE(?:WithLogits)?Loss: +(\d\.\d{6})\n", ran.out)
    assert pair == logits
    # -log(1 - sigmoid(200)) is 200, but sigmoid(200) is rounded to 1
    assert "z = 200, y = 0: sigmoid, BCELoss:  loss 100, gradient 0" in ran.out
    assert "z = 200, y = 0: BCEWithLogitsLoss: loss 200, gradient 1" in ran.out


def test_it_learns_who_passes(ran):
    model, history = ran.names.model, ran.names.history
    assert len(history["loss"]) == 1000
    assert history["loss"] == sorted(history["loss"], reverse=True)
    p = model(torch.tensor([[4.0]])).item()
    assert f"after 4 hours: {p:.4f}\n" in ran.out
    failed, also_failed, passed = model(X).flatten().tolist()
    assert failed < also_failed < 0.5 < passed


def test_separable_data_have_no_optimum(ran):
    """w grows to the end, and the boundary moves; both are the model's own."""
    model, history = ran.names.model, ran.names.history
    assert history["w"][200:] == sorted(history["w"][200:])
    assert history["w"][-1] == model.linear.weight.item()
    boundary = -model.linear.bias.item() / model.linear.weight.item()
    assert 2 < boundary < 3 and history["boundary"][-1] == pytest.approx(boundary)
    assert f"Decision boundary: {boundary:.2f} hours" in ran.out


@pytest.mark.parametrize("name", ["LogisticModel", "LogisticModelWithLayer"])
def test_the_model_is_a_sigmoid_of_a_line(chapter, name):
    torch.manual_seed(0)
    models = {one.__name__: one for one in (chapter.LogisticModel, chapter.LogisticModelWithLayer)}
    model = models[name]()
    w, b = model.linear.weight.item(), model.linear.bias.item()
    expected = [sigmoid(w * x + b) for x in (-2.0, 0.0, 3.0)]
    y_pred = model(torch.tensor([[-2.0], [0.0], [3.0]]))
    assert y_pred.flatten().tolist() == pytest.approx(expected)
    slope = [p * (1 - p) for p in expected]  # the derivative of the sigmoid
    y_pred.sum().backward()
    assert model.linear.bias.grad.item() == pytest.approx(sum(slope))


def test_both_forms_are_equal(chapter):
    model, with_layer = chapter.LogisticModel(), chapter.LogisticModelWithLayer()
    with_layer.load_state_dict(model.state_dict())
    x = torch.randn(20, 1)
    torch.testing.assert_close(model(x), with_layer(x))
    assert any(isinstance(module, torch.nn.Sigmoid) for module in with_layer.modules())
    assert not any(isinstance(module, torch.nn.Sigmoid) for module in model.modules())


def test_criterion_and_optimizer_are_the_notes(ran):
    criterion, optimizer = ran.names.criterion, ran.names.optimizer
    by_hand = -math.log(0.9) - math.log(1 - 0.2)
    loss = criterion(torch.tensor([0.9, 0.2]), torch.tensor([1.0, 0.0])).item()
    assert loss == pytest.approx(by_hand)
    assert type(optimizer) is torch.optim.SGD
    assert optimizer.param_groups[0]["params"] == list(ran.names.model.parameters())


def test_binary_cross_entropy_by_hand_is_torchs(ran):
    by_hand, torchs = re.search(r"by hand (\S+), BCELoss (\S+)", ran.out).groups()
    assert by_hand == torchs
    assert ran.names.by_hand.item() == pytest.approx(ran.names.history["loss"][0], rel=1e-5)


def test_at_the_boundary_the_probability_is_one_half(chapter):
    model = chapter.LogisticModel()
    with torch.no_grad():
        model.linear.weight.fill_(2.0)
        model.linear.bias.fill_(-5.0)
    assert chapter.boundary(model) == 2.5 and isinstance(chapter.boundary(model), float)
    assert model(torch.tensor([[2.5]])).item() == 0.5


def test_the_figure(ran):
    names = ran.names
    digits = [axes for axes in names.fig.axes if axes.images]
    assert [axes.get_title() for axes in digits] == list("5041921314")
    left, right = (axes for axes in names.fig.axes if axes.lines)
    curve, data, boundary = left.lines
    x, p = (torch.as_tensor(values).reshape(-1, 1) for values in curve.get_data())
    torch.testing.assert_close(p, names.model(x).detach())
    assert data.get_ydata().flatten().tolist() == [0, 0, 1]
    assert boundary.get_xdata()[0] == pytest.approx(names.boundary(names.model))
    assert right.lines[0].get_ydata().tolist() == names.history["loss"]


def test_ctrl_c_ends_all_of_it_with_a_figure(interrupted, tmp_path):
    done = interrupted(NAME, ["--epochs", 500, "--lr", 0.02, "--output-dir", tmp_path], epochs=3)
    assert done.names.optimizer.param_groups[0]["lr"] == 0.02
    assert (tmp_path / f"{NAME}.png").exists()
