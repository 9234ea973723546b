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
    assert "\n60000 10000\n(<PIL.Image.Image image mode=L size=28x28 at" in ran.out
    in_forward, attribute = re.findall(r"(tensor\(.*\n.*\n.*), grad_fn=<", ran.out)[:2]
    assert attribute == in_forward


def test_it_learns_who_passes(ran):
    model, losses = ran.names.model, ran.names.losses
    assert len(losses) == 1000 and losses == sorted(losses, reverse=True)
    assert f"Epoch 1000/1000, Loss: {losses[-1]:.4f}\n" in ran.out
    p = model(torch.tensor([[4.0]])).item()
    assert f"after 4 hours: {p:.4f}\n" in ran.out
    failed, also_failed, passed = model(X).flatten().tolist()
    assert failed < also_failed < 0.5 < passed


def test_separable_data_have_no_optimum(ran):
    """w grows on, the loss falls on, and the boundary moves towards the middle of the gap."""
    model, longer, boundary = ran.names.model, ran.names.longer, ran.names.boundary
    assert longer.linear.weight.item() > 3 * model.linear.weight.item()
    assert (round(boundary(model), 2), round(boundary(longer), 2)) == (2.42, 2.45)
    assert f"Decision boundary: {boundary(model):.2f} hours" in ran.out


def test_the_loss_is_minus_the_logarithm_of_the_true_classs_probability(ran):
    losses = [-math.log(p) for p in (1, 0.9, 0.5, 0.1, 0.01)]
    assert str(-torch.tensor([1.0, 0.9, 0.5, 0.1, 0.01]).log()) in ran.out
    assert losses == pytest.approx([0, 0.1054, 0.6931, 2.3026, 4.6052], abs=5e-5)


def test_what_a_logit_of_20_does(ran):
    """-log(1 - sigmoid(20)) is 20, but sigmoid(20) is rounded to 1."""
    section = ran.out.split("7. A probability that is rounded to 1")[1]
    one, pair, exact = [line for line in section.splitlines() if line.startswith("tensor")][:3]
    assert one.startswith("tensor(1.,")
    assert pair.startswith("tensor(100.,") and pair.endswith("tensor(0.)")
    assert exact.startswith("tensor(20.,") and exact.endswith("tensor(1.)")
    p = torch.tensor(20.0, dtype=torch.float64).sigmoid()
    assert 1 - p.item() == pytest.approx(2e-9, rel=0.05)
    assert -(1 - p).log().item() == pytest.approx(20)


def check_sigmoid_of_a_line(model):
    w, b = model.linear.weight.item(), model.linear.bias.item()
    expected = [sigmoid(w * x + b) for x in (-2.0, 0.0, 3.0)]
    y_pred = model(torch.tensor([[-2.0], [0.0], [3.0]]))
    assert y_pred.flatten().tolist() == pytest.approx(expected)
    slope = [p * (1 - p) for p in expected]  # the derivative of the sigmoid
    y_pred.sum().backward()
    assert model.linear.bias.grad.item() == pytest.approx(sum(slope))


def test_the_model_is_a_sigmoid_of_a_line(chapter):
    check_sigmoid_of_a_line(chapter.LogisticModel())


def test_the_model_with_a_layer_is_a_sigmoid_of_a_line(chapter):
    check_sigmoid_of_a_line(chapter.LogisticModelWithLayer())


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
    assert ran.names.by_hand.item() == pytest.approx(ran.names.losses[0], rel=1e-5)
    p = torch.tensor([[0.2], [0.3], [0.9]])
    expected = -math.log(0.8) - math.log(0.7) - math.log(0.9)
    assert ran.names.criterion(p, Y).item() == pytest.approx(expected)


def test_at_the_boundary_the_probability_is_one_half(chapter):
    model = chapter.LogisticModel()
    with torch.no_grad():
        model.linear.weight.fill_(2.0)
        model.linear.bias.fill_(-5.0)
    assert chapter.boundary(model) == 2.5 and isinstance(chapter.boundary(model), float)
    assert model(torch.tensor([[2.5]])).item() == 0.5


def test_the_figure(ran):
    names = ran.names
    left, right = names.fig.axes
    curve, data, boundary = left.lines
    x, p = (torch.as_tensor(values).reshape(-1, 1) for values in curve.get_data())
    torch.testing.assert_close(p, names.model(x).detach())
    assert data.get_ydata().flatten().tolist() == [0, 0, 1]
    assert boundary.get_xdata()[0] == pytest.approx(names.boundary(names.model))
    assert right.lines[0].get_ydata().tolist() == names.losses


def test_ctrl_c_ends_it_with_a_word(interrupted, tmp_path):
    done = interrupted(NAME, ["--lr", 0.02, "--output-dir", tmp_path], at="Epoch 300/")
    assert (done.status, done.err) == (130, "\nStopped.\n") and "Epoch 400/" not in done.out
    assert done.names.optimizer.param_groups[0]["lr"] == 0.02
