"""Chapter 5: tables, scaling, a held-out part, hidden layers."""

import numpy as np
import pytest
import torch

from common.data import DATA

NAME = "05_multilayer"


@pytest.fixture(scope="module")
def xy():
    return np.loadtxt(DATA / "diabetes.csv", delimiter=",", dtype=np.float32)


def test_it_runs_as_its_docstring_says(run_chapter, last_lines, chapter, tmp_path):
    done = run_chapter(NAME, "--output-dir", "outputs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    last_lines(chapter, done.stdout)
    assert "unsqueeze(1)  begins 99, it shares the memory" in done.stdout
    assert "xy[:, [-1]]                 begins 0, it is a copy" in done.stdout
    assert (tmp_path / "outputs" / f"{NAME}.png").stat().st_size > 10_000


@pytest.mark.parametrize("seed", [0, 1])
def test_both_models_beat_always_saying_no(chapter, tmp_path, seed):
    histories, always_no = chapter.main(["--seed", str(seed), "--output-dir", str(tmp_path)])
    assert always_no == pytest.approx(96 / 154)
    for history in histories.values():
        assert history["held-out accuracy"][-1] > always_no + 0.1
        for part, size in [("held-out accuracy", 154), ("training accuracy", 614)]:
            right = history[part][-1] * size
            assert right == pytest.approx(round(right), abs=1e-3), f"not a share of {size} women"
        assert history["training accuracy"][-1] > 0.74
        assert history["loss"][-1] < 0.5
        assert len(history["loss"]) == 1000


def test_the_data_are_what_the_readme_says(xy):
    assert xy.shape == (768, 9)
    assert xy[:, -1].sum() == 268


def test_three_ways_from_numpy(chapter, xy):
    x, y, same_y = chapter.three_ways(xy)
    assert (tuple(x.shape), tuple(y.shape)) == ((768, 8), (768, 1))
    assert x.dtype == y.dtype == torch.float32
    assert torch.equal(y, same_y)
    assert np.array_equal(x.numpy(), xy[:, :-1]) and np.array_equal(y[:, 0].numpy(), xy[:, -1])


def test_a_slice_shares_its_memory_and_a_list_of_columns_does_not(chapter, xy):
    mine = xy.copy()
    x, y, same_y = chapter.three_ways(mine)
    mine[0] = 99
    assert x[0].eq(99).all() and y[0].item() == 99
    assert same_y[0].item() == xy[0, -1]


def test_every_fifth_row_is_held_out(chapter):
    rows = np.arange(24).reshape(12, 2)
    train, held_out = chapter.split(rows)
    assert held_out[:, 0].tolist() == [0, 10, 20]
    assert sorted([*train[:, 0], *held_out[:, 0]]) == rows[:, 0].tolist()


def test_columns_are_scaled_as_the_training_part_is(chapter):
    torch.manual_seed(0)
    x_train, x_other = 5 + 3 * torch.randn(50, 8), torch.randn(7, 8)
    scaled = chapter.standardize(x_train, x_train)
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(8), atol=1e-6, rtol=0)
    torch.testing.assert_close(scaled.std(dim=0), torch.ones(8))
    mean, deviation = x_train.mean(dim=0), x_train.std(dim=0)
    torch.testing.assert_close(chapter.standardize(x_other, x_train), (x_other - mean) / deviation)


def test_the_plain_model_is_one_linear_layer(chapter):
    model = chapter.PlainModel()
    assert tuple(model.linear.weight.shape) == (2, 8)
    x = torch.randn(5, 8)
    torch.testing.assert_close(model(x), x @ model.linear.weight.T + model.linear.bias)


def test_the_deep_model_is_the_notes(chapter):
    model = chapter.DeepModel()
    layers = [model.hidden1, model.hidden2, model.output]
    assert [tuple(layer.weight.shape) for layer in layers] == [(16, 8), (16, 16), (2, 16)]
    x = expected = torch.randn(5, 8)
    for layer in layers[:2]:
        expected = torch.sigmoid(expected @ layer.weight.T + layer.bias)
    expected = expected @ model.output.weight.T + model.output.bias
    torch.testing.assert_close(model(x), expected)


def test_loss_and_optimizer(chapter):
    model = chapter.PlainModel()
    criterion, optimizer = chapter.loss_and_optimizer(model, lr=0.2)
    scores, labels = torch.tensor([[1.0, 3.0], [2.0, 2.0]]), torch.tensor([1, 0])
    expected = torch.tensor([1 / (1 + np.exp(-2)), 0.5]).log().mean().neg().float()
    torch.testing.assert_close(criterion(scores, labels), expected)
    assert optimizer.param_groups[0]["lr"] == 0.2
    assert optimizer.param_groups[0]["params"] == list(model.parameters())


def test_accuracy_is_the_share_of_right_answers(chapter):
    def model(x):  # scores of "yes" above those of "no" where the first column is positive
        assert not torch.is_grad_enabled()
        return torch.stack([torch.zeros(len(x)), x[:, 0]], dim=1)

    x = torch.tensor([[1.0], [1.0], [-1.0], [-1.0], [-1.0]])
    assert chapter.accuracy(model, x, torch.tensor([1, 0, 0, 0, 0])) == pytest.approx(0.8)


def test_the_figure(chapter):
    history = {
        "epoch": [1, 2],
        "loss": [0.9, 0.5],
        "training accuracy": [0.6, 0.8],
        "held-out accuracy": [0.5, 0.7],
    }
    fig = chapter.draw({"one layer": history, "three layers": history}, 0.65, show=False)
    left, right = fig.axes
    assert [line.get_ydata().tolist() for line in left.lines] == [[0.9, 0.5]] * 2
    assert [list(line.get_ydata()) for line in right.lines] == [
        *([[0.6, 0.8], [0.5, 0.7]] * 2),
        [0.65, 0.65],
    ]


def test_missing_data(chapter, fails, tmp_path, monkeypatch):
    monkeypatch.setattr(chapter, "DATA", tmp_path)
    assert "diabetes.csv" in fails(chapter.main, ["--output-dir", tmp_path])


def test_too_long_steps_diverge_in_words(chapter, fails, tmp_path):
    message = fails(chapter.main, ["--lr", 1e38, "--output-dir", tmp_path], status=1)
    assert "lower --lr" in message


def test_ctrl_c_ends_all_of_it_with_a_figure(chapter, interrupted, tmp_path):
    flags = ["--epochs", 500, "--output-dir", tmp_path]
    interrupted(chapter.main, flags, epochs=3)
    assert (tmp_path / f"{NAME}.png").exists()
