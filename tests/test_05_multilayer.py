"""Chapter 5: tables, hidden layers, training set and test set."""

import numpy as np
import pytest
import torch
from conftest import layers

from common import data

NAME = "05_multilayer"
FLAGS = []


@pytest.fixture(scope="module")
def xy():
    return np.loadtxt(data.DATA / "diabetes.csv", delimiter=",", dtype=np.float32)


def test_it_runs_as_its_docstring_says(ran, outputs, last_lines, chapter):
    last_lines(chapter, ran.out)
    assert "y_data[0] = 99, y_copy[0] = 1" in ran.out  # the first woman has diabetes
    assert "two layers without activation equal one: True" in ran.out
    assert "Using a target size (torch.Size([614, 1]))" in ran.out
    assert (outputs / f"{NAME}.png").stat().st_size > 10_000


def test_both_models_beat_the_baseline(ran):
    assert ran.names.baseline == pytest.approx(96 / 154)
    for history in ran.names.histories.values():
        assert history["test accuracy"][-1] > ran.names.baseline + 0.1
        for part, size in [("test accuracy", 154), ("training accuracy", 614)]:
            right = history[part][-1] * size
            assert right == pytest.approx(round(right), abs=1e-3), f"not a share of {size} women"
        assert history["training accuracy"][-1] > 0.74
        assert history["loss"][-1] < 0.5
        assert len(history["loss"]) == 1000


def test_the_standard_error_is_the_binomials(ran):
    p = ran.names.histories["one layer"]["test accuracy"][-1]
    draws = np.random.default_rng(0).binomial(154, p, size=100_000) / 154
    assert ran.names.standard_error == pytest.approx(draws.std(), rel=0.02)


def test_the_training_set_and_the_test_set_are_standardized_alike(ran, xy):
    test, train = xy[::5], np.delete(xy, np.s_[::5], axis=0)
    mean, std = train[:, :-1].mean(axis=0), train[:, :-1].std(axis=0, ddof=1)
    np.testing.assert_allclose(ran.names.x_test, (test[:, :-1] - mean) / std, rtol=1e-3, atol=1e-3)
    assert ran.names.y_train.tolist() == train[:, -1].tolist()


def test_the_data_are_what_the_readme_says(xy):
    assert xy.shape == (768, 9)
    assert xy[:, -1].sum() == 268


def test_from_numpy(ran, xy):
    """Shapes and values of the notes' conversions; the table is intact; zeros are counted."""
    names = ran.names
    assert torch.equal(names.y_data, names.y_copy) and names.x_data.dtype == torch.float32
    assert np.array_equal(names.x_data, xy[:, :-1]) and np.array_equal(names.y_data, xy[:, -1:])
    zeros = (xy[:, 1:6] == 0).sum(axis=0).tolist()
    assert f"thickness, insulin, BMI: {zeros}\n" in ran.out


def test_every_fifth_row_is_for_the_test(chapter):
    rows = np.arange(24).reshape(12, 2)
    train, test = chapter.split(rows)
    assert test[:, 0].tolist() == [0, 10, 20]
    assert sorted([*train[:, 0], *test[:, 0]]) == rows[:, 0].tolist()


def test_standardizing_by_hand(chapter):
    """Means 2 and 20; deviations of -1 and 1 have the standard deviation sqrt(2)."""
    x = torch.tensor([[2.0, 40.0], [4.0, 20.0]])
    scaled = chapter.standardize(x, torch.tensor([[1.0, 10.0], [3.0, 30.0]]))
    torch.testing.assert_close(scaled, torch.tensor([[0.0, 2.0], [2.0, 0.0]]) / 2**0.5)
    assert x.tolist() == [[2, 40], [4, 20]], "x itself is still needed"


def test_features_are_scaled_as_the_training_set_is(chapter):
    torch.manual_seed(0)
    x_train, x_other = 5 + 3 * torch.randn(50, 8), torch.randn(7, 8)
    scaled = chapter.standardize(x_train, x_train)
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(8), atol=1e-6, rtol=0)
    torch.testing.assert_close(scaled.std(dim=0), torch.ones(8))
    mean, std = x_train.mean(dim=0), x_train.std(dim=0)
    torch.testing.assert_close(chapter.standardize(x_other, x_train), (x_other - mean) / std)


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
    assert group["lr"] == 0.5 and group["params"] == list(ran.names.deep.parameters())


def test_accuracy_is_the_share_of_right_predictions(chapter):
    def model(x):  # logits of "yes" above those of "no" where the first column is positive
        assert not torch.is_grad_enabled(), "no gradients are needed here: torch.no_grad()"
        return torch.stack([torch.zeros(len(x)), x[:, 0]], dim=1)

    x = torch.tensor([[1.0], [1.0], [-1.0], [-1.0], [-1.0]])
    accuracy = chapter.accuracy(model, x, torch.tensor([1, 0, 0, 0, 0]))
    assert accuracy == pytest.approx(0.8) and isinstance(accuracy, float)


def test_the_figure(ran):
    left, right = ran.names.fig.axes
    histories = ran.names.histories.values()
    assert [list(line.get_ydata()) for line in left.lines] == [h["loss"] for h in histories]
    *curves, baseline = right.lines
    parts = ("training accuracy", "test accuracy")
    assert [list(line.get_ydata()) for line in curves] == [h[p] for h in histories for p in parts]
    assert baseline.get_ydata()[0] == ran.names.baseline


def test_missing_data(fails, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "DATA", tmp_path)
    assert "diabetes.csv" in fails(NAME, ["--output-dir", tmp_path])


def test_too_high_a_learning_rate_diverges_in_words(fails, tmp_path):
    message = fails(NAME, ["--lr", 1e38, "--output-dir", tmp_path], status=1)
    assert "lower --lr" in message


def test_ctrl_c_ends_all_of_it_with_a_figure(interrupted, tmp_path):
    interrupted(NAME, ["--epochs", 500, "--output-dir", tmp_path], epochs=3)
    assert (tmp_path / f"{NAME}.png").exists()
