"""Chapter 3: the model, the five lines of training, the exact solution."""

import numpy as np
import pytest
import torch

NAME = "03_nn_linear"
FLAGS = []
X, Y = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[2.0], [4.0], [6.0]])


def test_it_runs_as_its_docstring_says(ran, outputs, last_lines, chapter):
    last_lines(chapter, ran.out)
    assert (outputs / f"{NAME}.png").stat().st_size > 10_000
    assert "linear.weight Parameter containing:\n" in ran.out
    assert "mat1 and mat2 shapes cannot be multiplied (1x3 and 1x1)\n" in ran.out


def filled(model, w=0.0, b=0.0):
    """The model with these two parameters."""
    with torch.no_grad():
        model.linear.weight.fill_(w)
        model.linear.bias.fill_(b)
    return model


def test_the_model_is_a_line(chapter):
    model = filled(chapter.LinearModel(), 2.0, 1.0)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert shapes == {"linear.weight": (1, 1), "linear.bias": (1,)}
    y_pred = model(X[:2])
    assert y_pred.tolist() == [[3], [5]]
    assert model(-X[:2]).tolist() == [[-1], [-3]]
    y_pred.sum().backward()
    assert (model.linear.weight.grad.item(), model.linear.bias.grad.item()) == (3, 2)


def test_criterion_and_optimizer_are_the_notes(ran):
    model, criterion, optimizer = ran.names.model, ran.names.criterion, ran.names.optimizer
    assert criterion(torch.tensor([1.0, 5.0]), torch.tensor([0.0, 2.0])).item() == 10  # the sum
    assert type(optimizer) is torch.optim.SGD
    (group,) = optimizer.param_groups
    assert group["params"] == list(model.parameters()) and group["lr"] == 0.01


def test_the_mean_is_a_third_of_the_sum(ran):
    section = ran.out.split("4. Loss function and optimizer")[1]
    the_sum, mean = (float(part.split(",")[0]) for part in section.split("tensor(")[1:3])
    assert the_sum == pytest.approx(3 * mean, rel=1e-4)
    assert the_sum == pytest.approx(ran.names.losses[0], rel=1e-4)


def test_training_is_gradient_descent(run, quick_figures, tmp_path):
    """From the start that the seed gives, by hand: dL/dw = sum 2 x e, dL/db = sum 2 e."""
    flags = ["--seed", 5, "--epochs", 7, "--lr", 0.02, "--device", "cpu", "--output-dir", tmp_path]
    names = run(NAME, *flags).names
    torch.manual_seed(5)
    start = torch.nn.Linear(1, 1)
    w, b, losses = start.weight.item(), start.bias.item(), []
    for _ in range(7):
        errors = [w * x + b - y for x, y in [(1, 2), (2, 4), (3, 6)]]
        losses.append(sum(e**2 for e in errors))
        w -= 0.02 * sum(2 * x * e for x, e in zip((1, 2, 3), errors, strict=True))
        b -= 0.02 * sum(2 * e for e in errors)
    assert names.losses == pytest.approx(losses, rel=1e-4)
    assert names.model.linear.weight.item() == pytest.approx(w, rel=1e-4)
    assert names.model.linear.bias.item() == pytest.approx(b, rel=1e-4)


def test_with_more_epochs_the_prediction_for_4_nears_8(ran, run, quick_figures, tmp_path):
    assert 0.1 < abs(ran.names.y_test.item() - 8) < 0.8
    longer = run(NAME, "--epochs", 1000, "--output-dir", tmp_path).names
    assert longer.y_test.item() == pytest.approx(8, abs=0.01)


def test_zero_grad_leaves_none(ran):
    """The gradient of the last epoch, at the parameters before its update; then None."""
    last, none = ran.out.split("5. Training")[1].split("b =")[1].split("\n")[1:3]
    assert last.startswith("tensor([[-0.") and none == "None"


def test_least_squares_is_exact(ran):
    expected = np.polyfit(X.flatten().numpy(), Y.flatten().numpy(), 1)
    assert ran.names.exact.flatten().tolist() == pytest.approx(expected, abs=1e-4)
    assert ran.names.columns.tolist() == [[1, 1], [2, 1], [3, 1]]


def test_the_figure(ran):
    left, right = ran.names.fig.axes
    data, line, prediction = left.lines
    assert data.get_ydata().flatten().tolist() == [2, 4, 6]
    model = ran.names.model
    ends = [model.linear.bias.item(), 4 * model.linear.weight.item() + model.linear.bias.item()]
    assert list(line.get_ydata()) == pytest.approx(ends)
    assert prediction.get_ydata()[0] == pytest.approx(ends[1]) == ran.names.y_test.item()
    assert right.lines[0].get_ydata().tolist() == ran.names.losses
    assert right.get_yscale() == "log"


def test_too_high_a_learning_rate_diverges_in_words(fails, tmp_path):
    assert "lower --lr" in fails(NAME, ["--lr", 10, "--output-dir", tmp_path], status=1)
    assert not any(tmp_path.iterdir())


def test_ctrl_c_ends_it_with_a_word(interrupted, tmp_path):
    done = interrupted(NAME, ["--output-dir", tmp_path], at="Epoch 20/")
    assert (done.status, done.err) == (130, "\nStopped.\n") and "Epoch 30/" not in done.out
