"""Chapter 5: tables, hidden layers, training set and test set."""

import re

import numpy as np
import pytest
import torch
from conftest import layers

from common import data

NAME = "05_multilayer"
FLAGS = []
WARNS = ["Using a target size (torch.Size([460, 1])) that is different to the input size"]


@pytest.fixture(scope="module")
def xy():
    return np.loadtxt(data.DATA / "diabetes.csv", delimiter=",", dtype=np.float32)


def test_it_runs_as_its_docstring_says(ran, outputs, last_lines, chapter):
    last_lines(chapter, ran.out)
    assert "one layer: True\n" in ran.out
    assert "(768, 9) (460, 9) (154, 9) (154, 9)\n" in ran.out
    assert (outputs / f"{NAME}.png").stat().st_size > 10_000


def test_the_deep_network_overfits_and_the_plain_one_does_not(ran):
    """Its training loss falls to the end; its validation loss is lowest early, and rises."""
    names = ran.names
    assert len(names.deep_losses) == len(names.plain_losses) == 5000
    assert names.val_epochs == list(range(100, 5001, 100))
    assert names.val_losses.index(min(names.val_losses)) < 10
    assert names.val_losses[-1] > 1.2 * min(names.val_losses)
    assert names.deep_losses[-1] < 0.8 * names.deep_losses[500]
    on_validation_set = names.criterion(names.plain(names.x_val), names.y_val).item()
    assert on_validation_set < 1.05 * names.plain_losses[-1]


def test_early_stopping_puts_the_best_parameters_back(ran):
    names = ran.names
    loss = names.criterion(names.deep(names.x_val), names.y_val).item()
    assert loss == min(names.val_losses)


def test_the_model_with_the_higher_validation_accuracy_is_chosen(ran, chapter):
    names = ran.names
    both = [names.accuracy(model, names.x_val, names.y_val) for model in (names.plain, names.deep)]
    assert names.chosen is (names.plain if both[0] >= both[1] else names.deep)
    both_right, only_plain, only_deep, both_wrong = (
        int(re.search(rf"\b{name} (\d+)", ran.out)[1])
        for name in ("both right", "only one layer", "only deep", "both wrong")
    )
    assert both_right + only_plain + only_deep + both_wrong == 154, "each woman once"
    assert (both_right + only_plain) / 154 == pytest.approx(both[0])
    assert (both_right + only_deep) / 154 == pytest.approx(both[1])
    limit = 2 * (only_plain + only_deep) ** 0.5
    assert f"difference {only_deep - only_plain} by chance up to {limit}\n" in ran.out


def test_equally_good_models_differ_by_less_than_two_roots_of_n_mostly():
    """Each woman for whom only one is right is then a coin toss."""
    heads = np.random.default_rng(0).binomial(36, 0.5, size=100_000)
    assert 0.93 < (np.abs(2 * heads - 36) < 2 * 36**0.5).mean() < 0.97


def test_the_test_set_gives_the_last_number(ran):
    names = ran.names
    assert names.p == names.accuracy(names.chosen, names.x_test, names.y_test) > 0.75
    draws = np.random.default_rng(0).binomial(154, names.p, size=100_000) / 154
    assert names.standard_error == pytest.approx(draws.std(), rel=0.02)
    assert f"baseline {torch.tensor(96 / 154).item()}\n" in ran.out


def test_the_three_sets_are_standardized_alike(ran, xy):
    turn = np.arange(768) % 5
    train, val, test = xy[turn > 1], xy[turn == 1], xy[turn == 0]
    mean, std = train[:, :-1].mean(axis=0), train[:, :-1].std(axis=0, ddof=1)
    names = ran.names
    for mine, x in [(names.x_train, train), (names.x_val, val), (names.x_test, test)]:
        np.testing.assert_allclose(mine.cpu(), (x[:, :-1] - mean) / std, rtol=1e-3, atol=1e-3)
    for labels, y in [(names.y_train, train), (names.y_val, val), (names.y_test, test)]:
        assert labels.tolist() == y[:, -1].tolist() and labels.dtype == torch.int64


def test_the_data_are_what_the_readme_says(xy):
    assert xy.shape == (768, 9)
    assert xy[:, -1].sum() == 268


def test_from_numpy(ran, xy):
    """x_train shares its memory with the array, labels picked by a list do not."""
    assert "torch.Size([460, 8]) torch.Size([460, 1])\nTrue False\n" in ran.out
    zeros = (xy[np.arange(768) % 5 > 1][:, 1:6] == 0).sum(axis=0).tolist()
    assert re.sub(r"\s+", " ", str(torch.tensor(zeros))) in re.sub(r"\s+", " ", ran.out)


def test_each_loss_takes_the_output_and_the_labels_that_the_table_says():
    """And refuses, or warns of, those of another row."""
    numbers, floats, classes = torch.randn(4, 1), torch.ones(4, 1), torch.tensor([0, 1, 1, 0])
    torch.nn.MSELoss()(numbers, floats)
    torch.nn.BCELoss()(numbers.sigmoid(), floats)
    torch.nn.BCEWithLogitsLoss()(numbers, floats)
    torch.nn.CrossEntropyLoss()(torch.randn(4, 2), classes)
    with pytest.raises(RuntimeError):
        torch.nn.BCELoss()(numbers, floats)  # no probabilities
    with pytest.raises(ValueError, match="target size"):
        torch.nn.BCELoss()(numbers.sigmoid(), floats[:, 0])  # another shape than the output's
    with pytest.raises((RuntimeError, ValueError)):
        torch.nn.CrossEntropyLoss()(torch.randn(4, 2), classes[:, None])


def test_the_plain_model_is_one_linear_layer(chapter):
    model = chapter.PlainModel()
    ((weight, bias),) = layers(model)
    shape = tuple(weight.shape)
    assert shape == (2, 8), f"the weight has shape {shape}; Linear(8, 2) has (2, 8)"
    with torch.no_grad():
        weight.copy_(torch.eye(2, 8))  # the logits are the first two features,
        bias.copy_(torch.tensor([0.0, 10.0]))  # the second with 10 more
    x = torch.tensor([[1.0, 2.0, 9, 9, 9, 9, 9, 9], [3.0, 4.0, 9, 9, 9, 9, 9, 9]])
    logits = model(x)
    assert logits.tolist() == [[1, 12], [3, 14]]
    logits.sum().backward()
    assert bias.grad.tolist() == [2, 2]


def test_the_deep_model_by_hand(chapter):
    """Hidden weights of 0 make every unit sigmoid(0) = 0.5; the outputs add up 16 of them."""
    model = chapter.DeepModel()
    with torch.no_grad():
        for weight, bias in layers(model):
            weight.zero_()
            bias.zero_()
        weight[0], weight[1] = 0.25, -0.5
    assert model(torch.ones(1, 8)).tolist() == [[2, -4]]


def test_the_deep_model_is_the_notes(chapter):
    model = chapter.DeepModel()
    parts = layers(model)
    assert [tuple(weight.shape) for weight, _ in parts] == [(16, 8), (16, 16), (2, 16)]
    x = expected = torch.randn(5, 8)
    for weight, bias in parts[:2]:
        expected = torch.sigmoid(expected @ weight.T + bias)
    expected = expected @ parts[2][0].T + parts[2][1]
    logits = model(x)
    torch.testing.assert_close(logits, expected)
    gradients = torch.autograd.grad(logits.sum(), list(model.parameters()))
    assert all(gradient.any() for gradient in gradients)


def test_criterion_and_optimizer(ran):
    logits, labels = torch.tensor([[1.0, 3.0], [2.0, 2.0]]), torch.tensor([1, 0])
    expected = torch.tensor([1 / (1 + np.exp(-2)), 0.5]).log().mean().neg().float()
    torch.testing.assert_close(ran.names.criterion(logits, labels), expected)
    group = ran.names.optimizer.param_groups[0]
    assert group["lr"] == 0.3 and group["params"] == list(ran.names.deep.parameters())


def test_accuracy_is_the_share_of_right_predictions(chapter):
    def model(x):  # logits of "yes" above those of "no" where the first column is positive
        assert not torch.is_grad_enabled(), "no gradients are needed here: torch.no_grad()"
        return torch.stack([torch.zeros(len(x)), x[:, 0]], dim=1)

    x = torch.tensor([[1.0], [1.0], [-1.0], [-1.0], [-1.0]])
    accuracy = chapter.accuracy(model, x, torch.tensor([1, 0, 0, 0, 0]))
    assert accuracy == pytest.approx(0.8) and isinstance(accuracy, float)


def test_the_figure(ran):
    plain, deep, val = ran.names.fig.axes[0].lines
    assert list(plain.get_ydata()) == ran.names.plain_losses
    assert list(deep.get_ydata()) == ran.names.deep_losses
    assert list(val.get_xdata()) == ran.names.val_epochs
    assert list(val.get_ydata()) == ran.names.val_losses


def test_as_many_epochs_as_the_flag_says(run, quick_figures, tmp_path):
    names = run(NAME, "--epochs", 250, "--output-dir", tmp_path).names
    assert len(names.deep_losses) == len(names.plain_losses) == 250
    assert names.val_epochs == [100, 200, 250]


def test_missing_data(fails, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "DATA", tmp_path)
    assert "diabetes.csv" in fails(NAME, ["--output-dir", tmp_path])


def test_too_high_a_learning_rate_diverges_in_words(fails, tmp_path):
    message = fails(NAME, ["--lr", 1e38, "--epochs", 3, "--output-dir", tmp_path], status=1)
    assert "lower --lr" in message


def test_ctrl_c_ends_it_with_a_word(interrupted, tmp_path):
    done = interrupted(NAME, ["--output-dir", tmp_path], at="Epoch 1000/")
    assert (done.status, done.err) == (130, "\nStopped.\n") and "Epoch 2000/" not in done.out
