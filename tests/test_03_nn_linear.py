"""Chapter 3: the model, the five lines of training, the optimizers."""

import copy
import signal

import numpy as np
import pytest
import torch

NAME = "03_nn_linear"
FLAGS = []
X, Y = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[2.0], [4.0], [6.0]])


def test_it_runs_as_its_docstring_says(ran, outputs, last_lines, chapter):
    last_lines(chapter, ran.out)
    assert (outputs / f"{NAME}.png").stat().st_size > 10_000
    assert "linear.weight (1, 1)" in ran.out and "linear.bias   (1,)" in ran.out


def test_with_more_epochs_the_prediction_for_4_nears_8(ran, chapter):
    """The model that the run leaves is trained on, to 1,000 epochs in all."""
    model, history = ran.names.model, ran.names.history
    assert len(history["loss"]) == 100
    assert ran.names.y_new.item() == model(torch.tensor([[4.0]])).item()
    assert 0.1 < abs(ran.names.y_new.item() - 8) < 0.8
    longer = copy.deepcopy(model)
    chapter.train(longer, *notes_parts(longer), X, Y, epochs=900)
    assert longer(torch.tensor([[4.0]])).item() == pytest.approx(8, abs=0.01)


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
    y_pred.sum().backward()
    assert (model.linear.weight.grad.item(), model.linear.bias.grad.item()) == (3, 2)


def test_criterion_and_optimizer_are_the_notes(ran):
    model, criterion, optimizer = ran.names.model, ran.names.criterion, ran.names.optimizer
    assert criterion(torch.tensor([1.0, 5.0]), torch.tensor([0.0, 2.0])).item() == 10  # the sum
    assert type(optimizer) is torch.optim.SGD
    assert optimizer.param_groups[0]["params"] == list(model.parameters())


def test_the_sums_gradient_is_n_times_the_means(ran):
    rows = [line.split() for line in ran.out.splitlines() if line.startswith("reduction=")]
    (sum_loss, sum_gradient), (mean_loss, mean_gradient) = (
        (float(row[2]), float(row[4])) for row in rows
    )
    assert sum_loss == pytest.approx(3 * mean_loss, rel=1e-3)
    assert sum_gradient == pytest.approx(3 * mean_gradient, rel=1e-3)


def notes_parts(model, lr=0.01):
    return torch.nn.MSELoss(reduction="sum"), torch.optim.SGD(model.parameters(), lr=lr)


def test_two_epochs_by_hand(chapter):
    """From w = 1 the errors are -1 and -2: dw = -2 (1 · 1 + 2 · 2), db = -2 (1 + 2)."""
    model = filled(chapter.LinearModel(), 1.0)
    history = chapter.train(model, *notes_parts(model), X[:2], Y[:2], epochs=2)
    assert history["epoch"] == [1, 2]
    assert history["w"] == pytest.approx([1, 1.1]) and history["b"] == pytest.approx([0, 0.06])
    assert history["loss"] == pytest.approx([5, 0.84**2 + 1.74**2])
    learned = model.linear.weight.item(), model.linear.bias.item()
    assert learned == pytest.approx((1.1864, 0.1116))


def test_training_is_gradient_descent(chapter):
    torch.manual_seed(0)
    model = chapter.LinearModel()
    w, b = model.linear.weight.item(), model.linear.bias.item()
    history = chapter.train(model, *notes_parts(model), X, Y, epochs=7)
    for i in range(7):
        assert (history["w"][i], history["b"][i]) == pytest.approx((w, b), rel=1e-4)
        errors = [w * x + b - y for x, y in [(1, 2), (2, 4), (3, 6)]]
        assert history["loss"][i] == pytest.approx(sum(e**2 for e in errors), rel=1e-4)
        w -= 0.01 * sum(2 * x * e for x, e in zip((1, 2, 3), errors, strict=True))
        b -= 0.01 * sum(2 * e for e in errors)
    assert model.linear.weight.item() == pytest.approx(w, rel=1e-4)
    assert model.linear.bias.item() == pytest.approx(b, rel=1e-4)


def test_least_squares_is_exact(chapter):
    w, b = chapter.least_squares(X, 3 * X - 1)
    assert isinstance(w, float) and isinstance(b, float), "w and b are numbers"
    assert (w, b) == pytest.approx((3, -1), abs=1e-4)
    torch.manual_seed(0)
    x, y = torch.randn(2, 20, 1)
    expected = np.polyfit(x.flatten().numpy(), y.flatten().numpy(), 1)
    assert chapter.least_squares(x, y) == pytest.approx(expected, abs=1e-4)


def test_every_optimizer_that_fits_a_line_is_there(chapter):
    offered = {
        name
        for name, thing in vars(torch.optim).items()
        if isinstance(thing, type) and issubclass(thing, torch.optim.Optimizer)
    }
    assert set(chapter.OPTIMIZERS) <= offered
    assert offered - set(chapter.OPTIMIZERS) <= {"Optimizer", "SparseAdam", "Muon"}


def test_losses_with_sgd_are_those_of_the_loop(chapter):
    model, same = filled(chapter.LinearModel()), filled(chapter.LinearModel())
    criterion, optimizer = notes_parts(same)
    losses = chapter.losses_with(optimizer, same, criterion, X[:2], Y[:2], epochs=3)
    history = chapter.train(model, *notes_parts(model), X[:2], Y[:2], epochs=3)
    assert losses == pytest.approx(history["loss"])


def test_all_optimizers_start_where_the_model_started_and_get_nearer(ran):
    """Each with torch's default learning rate."""
    losses, first = ran.names.losses, ran.names.history["loss"][0]
    assert list(losses) == ran.names.OPTIMIZERS
    for name, values in losses.items():
        assert values[0] == pytest.approx(first)
        assert values[-1] < values[0] and len(values) == 100, name
        weight = torch.nn.Parameter(torch.zeros(1, 1))
        default = getattr(torch.optim, name)([weight]).param_groups[0]["lr"]
        assert f"{name:10} lr {float(default):<6g} last loss {values[-1]:.2e}" in ran.out


def test_ctrl_c_among_the_optimizers_keeps_the_figure(run, tmp_path, monkeypatch, quick_figures):
    adagrad = torch.optim.Adagrad

    def interrupted(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)
        return adagrad(*args, **kwargs)

    monkeypatch.setattr(torch.optim, "Adagrad", interrupted)
    done = run(NAME, "--epochs", 2, "--lr", 0.03, "--output-dir", tmp_path)
    assert done.status == 130 and done.names.optimizer.param_groups[0]["lr"] == 0.03
    assert "Stopped after 5 of 13 optimizers" in done.out
    assert (tmp_path / f"{NAME}.png").exists()


def test_the_figure(ran):
    names = ran.names
    left, right, *panels = names.fig.axes
    first, *_, last, data = left.lines
    assert list(data.get_ydata()) == [2, 4, 6]
    w, b = names.history["w"][0], names.history["b"][0]
    assert list(first.get_ydata()) == pytest.approx([b, 5 * w + b])
    assert list(last.get_ydata()) == pytest.approx([names.b, 5 * names.w + names.b])
    assert right.lines[0].get_ydata().tolist() == names.history["loss"]
    assert right.get_yscale() == "log"
    shown = {panel.get_title(loc="left"): panel.lines[1] for panel in panels if panel.lines}
    assert list(shown) == names.OPTIMIZERS
    for name, line in shown.items():
        assert list(line.get_ydata()) == names.losses[name]


def test_too_high_a_learning_rate_diverges_in_words(fails, tmp_path):
    message = fails(NAME, ["--lr", 10, "--output-dir", tmp_path], status=1)
    assert "lower --lr" in message


def test_ctrl_c_ends_all_of_it_with_a_figure(interrupted, tmp_path):
    interrupted(NAME, ["--epochs", 500, "--output-dir", tmp_path], epochs=3)
    assert (tmp_path / f"{NAME}.png").exists()
