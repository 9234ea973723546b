"""Chapter 3: the model, the five lines of training, the optimizers."""

import numpy as np
import pytest
import torch

NAME = "03_nn_linear"
X, Y = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[2.0], [4.0], [6.0]])


def test_it_runs_as_its_docstring_says(run_chapter, last_lines, chapter, tmp_path):
    done = run_chapter(NAME, "--output-dir", "outputs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    last_lines(chapter, done.stdout)
    assert (tmp_path / "outputs" / f"{NAME}.png").stat().st_size > 10_000
    assert "linear.weight (1, 1)" in done.stdout and "linear.bias   (1,)" in done.stdout


def test_with_more_epochs_the_prediction_for_4_nears_8(chapter, tmp_path):
    predictions = []
    for epochs in (100, 1000):
        model, history = chapter.main(["--epochs", str(epochs), "--output-dir", str(tmp_path)])
        assert len(history["loss"]) == epochs
        predictions.append(model(torch.tensor([[4.0]])).item())
    assert abs(predictions[1] - 8) < abs(predictions[0] - 8) < 0.8
    assert predictions[1] == pytest.approx(8, abs=0.01)


def test_the_model_is_a_line(chapter):
    model = chapter.LinearModel()
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert shapes == {"linear.weight": (1, 1), "linear.bias": (1,)}
    x = torch.randn(5, 1)
    torch.testing.assert_close(model(x), x * model.linear.weight + model.linear.bias)


def test_loss_and_optimizer_are_the_notes(chapter):
    model = chapter.LinearModel()
    criterion, optimizer = chapter.loss_and_optimizer(model, lr=0.03)
    assert criterion(torch.tensor([1.0, 5.0]), torch.tensor([0.0, 2.0])).item() == 10  # the sum
    assert type(optimizer) is torch.optim.SGD
    assert optimizer.param_groups[0]["lr"] == 0.03
    assert optimizer.param_groups[0]["params"] == list(model.parameters())


def test_training_is_gradient_descent(chapter):
    torch.manual_seed(0)
    model = chapter.LinearModel()
    w, b = model.linear.weight.item(), model.linear.bias.item()
    history = chapter.train(model, *chapter.loss_and_optimizer(model, 0.01), X, Y, epochs=7)
    for i in range(7):
        assert (history["w"][i], history["b"][i]) == pytest.approx((w, b), rel=1e-4)
        errors = [w * x + b - y for x, y in [(1, 2), (2, 4), (3, 6)]]
        assert history["loss"][i] == pytest.approx(sum(e**2 for e in errors), rel=1e-4)
        w -= 0.01 * sum(2 * x * e for x, e in zip((1, 2, 3), errors, strict=True))
        b -= 0.01 * sum(2 * e for e in errors)
    assert model.linear.weight.item() == pytest.approx(w, rel=1e-4)
    assert model.linear.bias.item() == pytest.approx(b, rel=1e-4)


def test_least_squares_is_exact(chapter):
    assert chapter.least_squares(X, 3 * X - 1) == pytest.approx((3, -1), abs=1e-4)
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
    torch.manual_seed(0)
    losses = chapter.losses_with("SGD", X, Y, lr=0.01, epochs=5)
    torch.manual_seed(0)
    model = chapter.LinearModel()
    history = chapter.train(model, *chapter.loss_and_optimizer(model, 0.01), X, Y, epochs=5)
    assert losses == pytest.approx(history["loss"])


def test_all_optimizers_start_where_the_model_started(chapter, tmp_path, monkeypatch):
    drawn = []
    draw = chapter.draw
    monkeypatch.setattr(chapter, "draw", lambda *args: drawn.append(args) or draw(*args))
    _, history = chapter.main(["--epochs", "2", "--output-dir", str(tmp_path)])
    losses = drawn[0][4]
    assert set(losses) == set(chapter.OPTIMIZERS)
    for values in losses.values():
        assert values[0] == pytest.approx(history["loss"][0])


def test_ctrl_c_among_the_optimizers_keeps_the_figure(chapter, tmp_path, monkeypatch, capsys):
    def losses_with(name, *rest):
        if name == "Rprop":
            raise KeyboardInterrupt
        return [2.0, 1.0]

    monkeypatch.setattr(chapter, "losses_with", losses_with)
    with pytest.raises(SystemExit) as exit_:
        chapter.main(["--epochs", "2", "--output-dir", str(tmp_path)])
    assert exit_.value.code == 130
    assert "Stopped after 2 of 13 optimizers" in capsys.readouterr().out
    assert (tmp_path / f"{NAME}.png").exists()


def test_each_optimizer_gets_nearer(chapter):
    for name in chapter.OPTIMIZERS:
        torch.manual_seed(0)
        losses = chapter.losses_with(name, X, Y, lr=0.01, epochs=30)
        assert losses[-1] < losses[0], name


def test_the_figure(chapter):
    history = {"epoch": [1, 2], "loss": [9.0, 4.0], "w": [0.0, 1.0], "b": [0.5, 0.0]}
    fig = chapter.draw(
        X, Y, history, (2.0, 0.0), {"SGD": [9.0, 4.0], "Adam": [9.0, 8.0]}, show=False
    )
    left, right, optimizers = fig.axes
    assert [len(line.get_xdata()) for line in left.lines] == [2, 2, 2, 3]
    assert list(left.lines[1].get_ydata()) == [0, 5]  # y = x at x = 0 and 5
    assert list(left.lines[2].get_ydata()) == [0, 10]  # the last one, y = 2 x
    assert right.lines[0].get_ydata().tolist() == [9, 4]
    assert right.get_yscale() == "log"
    assert [text.get_text() for text in optimizers.get_legend().texts] == ["SGD", "Adam"]


def test_too_long_steps_diverge_in_words(chapter, fails, tmp_path):
    message = fails(chapter.main, ["--lr", 10, "--output-dir", tmp_path], status=1)
    assert "lower --lr" in message


def test_ctrl_c_ends_all_of_it_with_a_figure(chapter, interrupted, tmp_path):
    flags = ["--epochs", 500, "--output-dir", tmp_path]
    interrupted(chapter.main, flags, epochs=3)
    assert (tmp_path / f"{NAME}.png").exists()
