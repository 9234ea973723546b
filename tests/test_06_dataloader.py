"""Chapter 6: a dataset of one's own, batches, and training with them."""

import ast
import copy
import re

import numpy as np
import pytest
import torch
from conftest import save_empty_figures
from torch.utils.data import DataLoader

from common import data

NAME = "06_dataloader"
FLAGS = ["--epochs", 3, "--device", "cpu"]
CPU = torch.device("cpu")


def table(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.slow
def test_it_runs_with_spawned_workers_as_on_macos_and_windows(run_chapter, chapter, tmp_path):
    """sitecustomize is what every Python of this run imports first, workers too."""
    (tmp_path / "sitecustomize.py").write_text(
        "import multiprocessing\nmultiprocessing.set_start_method('spawn', force=True)\n"
    )
    done = run_chapter(NAME, "--epochs", 1, "--output-dir", "out", cwd=tmp_path, startup=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Chapter 6") == 1, "a worker has run the chapter again"
    assert "num_workers=2: " in done.stdout


def test_it_shows_what_it_tells(ran, outputs):
    for line in [
        "768 samples; the first: features (8,), label (1,)",
        "a batch: inputs (2, 8), labels (2, 1)",
        f"100 samples, drop_last=False: 10 iterations, sizes {[10] * 10}",  # the notes' example
        f"105 samples, drop_last=False: 11 iterations, sizes {[10] * 10 + [5]}",
        f"105 samples, drop_last=True: 10 iterations, sizes {[10] * 10}",
        "1,152 updates",
    ]:
        assert f"\n{line}\n" in ran.out
    assert "num_workers=0: one epoch takes" in ran.out and "num_workers=2: one epoch" in ran.out
    assert "Training loss of epoch 3 at learning rate 0.01: full batch 0.6" in ran.out
    assert (outputs / f"{NAME}.png").stat().st_size > 10_000


def test_mini_batches_learn_more_from_the_same_epochs(ran):
    """At the same learning rate, and also at a hundred times that of the full batch."""
    losses = [ran.names.mini, ran.names.full[0.01], ran.names.full[1.0]]
    mini, low, high = (one["loss"] for one in losses)
    assert mini == sorted(mini, reverse=True) and low[0] == pytest.approx(high[0])
    assert mini[-1] < high[-1] < low[-1]


def test_shuffling_is_seeded(ran):
    orders = re.findall(r"seed (\d): epoch 1 (\[.*\]), epoch 2 (\[.*\])", ran.out)
    (zero, first, second), again, (one, *other) = orders
    assert (zero, first, second) == again and one == "1" and [first, second] != other
    assert first != second and sorted(ast.literal_eval(first)) == list(range(6))


@pytest.fixture(scope="module")
def quick(run, tmp_path_factory):
    """quick(flags) runs the chapter on the CPU, with few updates."""

    def quick(*flags):
        cheap = ["--epochs", 2, "--batch-size", 100, "--device", "cpu"]
        with pytest.MonkeyPatch.context() as patch:
            save_empty_figures(patch)
            return run(NAME, *cheap, "--output-dir", tmp_path_factory.mktemp("outputs"), *flags)

    return quick


def test_the_same_seed_gives_the_same_result_with_workers_and_without(quick):
    """And the workers are as many as the flag says."""
    runs = [
        quick("--seed", seed, "--workers", workers) for seed, workers in [(3, 0), (3, 1), (4, 0)]
    ]
    first, same, other = [(run.names.mini, run.names.full, run.names.losses) for run in runs]
    assert first == same != other
    assert ["num_workers=1: one epoch takes" in run.out for run in runs] == [False, True, False]
    assert "num_workers=1" not in runs[0].out


def test_a_dataset_of_any_number_of_columns(chapter, tmp_path):
    path = table(tmp_path / "a.csv", "# a,b,c\n1,5,0\n3,5,1\n\n5,5,1\n")
    dataset = chapter.MyDataset(path)
    of_the_table = "of the rows 1,5,0 and 3,5,1 and 5,5,1"
    assert len(dataset) == 3, f"{of_the_table}, len(dataset) is {len(dataset)}; expected is 3"
    features, labels = ([dataset[i][part] for i in range(3)] for part in (0, 1))
    labels = [one.tolist() for one in labels]
    assert labels == [[0], [1], [1]], f"{of_the_table}, the labels are {labels}; [0], [1], [1]"
    said = f"{of_the_table}, the features are {[one.tolist() for one in features]}; expected are "
    expected = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    said += f"{expected.tolist()}: 1, 3, 5 have mean 3 and std 2, and equal numbers become 0"
    assert torch.stack(features).shape == (3, 2), said
    assert torch.allclose(torch.stack(features).float(), expected), said
    assert features[0].dtype == torch.float32, f"the features are {features[0].dtype}, not float32"


def test_the_diabetes_data(chapter):
    dataset = chapter.MyDataset(data.DATA / "diabetes.csv")
    xy = np.loadtxt(data.DATA / "diabetes.csv", delimiter=",", dtype=np.float32)
    x, y = dataset[5]
    expected = (xy[5, :-1] - xy[:, :-1].mean(axis=0)) / xy[:, :-1].std(axis=0, ddof=1)
    np.testing.assert_allclose(x, expected, rtol=1e-3, atol=1e-4)
    assert y.shape == (1,) and y.item() == xy[5, -1]


def test_the_notes_loader_and_loss_are_there(quick):
    names = quick("--workers", 0, "--lr", 0.02).names
    assert isinstance(names.train_loader.sampler, torch.utils.data.RandomSampler)
    assert names.train_loader.batch_size == 100 and names.train_loader.dataset is names.dataset
    assert type(names.criterion) is torch.nn.BCEWithLogitsLoss
    assert list(names.full) == [0.02, 1.0]
    x = torch.randn(5, 8)
    first, last = (layer for layer in names.model if isinstance(layer, torch.nn.Linear))
    hidden = torch.sigmoid(x @ first.weight.T + first.bias)  # (5, 16)
    torch.testing.assert_close(names.model(x), hidden @ last.weight.T + last.bias)


def test_both_trainings_start_from_the_same_network(quick):
    """With batches as large as the data, and one learning rate, they are the same training."""
    names = quick("--workers", 0, "--batch-size", 768, "--lr", 1).names
    assert names.full[1.0]["loss"] == pytest.approx(names.mini["loss"], rel=1e-4)


def test_cell_by_cell_no_worker_is_started_that_could_not_find_the_dataset(quick, monkeypatch):
    monkeypatch.setattr(data, "workers_can_start", lambda: False)
    shown = quick().out
    assert "not shown: in a notebook" in shown and "num_workers=2" not in shown


def test_one_epoch_by_hand(chapter):
    """Batches of two and of one: from p = 0.5 the first update is lr / 2 of the mean of x."""
    model = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    batches = [
        [torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [1.0]])],
        [torch.tensor([[0.0]]), torch.tensor([[0.0]])],
    ]
    criterion, optimizer = torch.nn.BCEWithLogitsLoss(), torch.optim.SGD(model.parameters(), lr=0.5)
    history, losses = chapter.train(model, criterion, optimizer, batches, CPU, epochs=1)
    assert losses == pytest.approx([np.log(2), np.log(1 + np.exp(0.25))])  # b is then 0.25
    assert history["loss"] == [pytest.approx((2 * losses[0] + losses[1]) / 3)]
    assert model.weight.item() == pytest.approx(0.5)


def test_training_is_mini_batch_gradient_descent(chapter):
    torch.manual_seed(0)
    rows = torch.utils.data.TensorDataset(torch.randn(10, 3), torch.rand(10, 1).round())
    loader = DataLoader(rows, batch_size=4)  # 4, 4 and a short one of 2
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Sigmoid(), torch.nn.Linear(4, 1))
    expected = copy.deepcopy(model)
    criterion = torch.nn.BCEWithLogitsLoss()
    history, losses = chapter.train(
        model, criterion, torch.optim.SGD(model.parameters(), lr=0.5), loader, CPU, epochs=2
    )
    by_hand = []
    for _ in range(2):
        for inputs, labels in loader:
            loss = criterion(expected(inputs), labels)
            gradients = torch.autograd.grad(loss, list(expected.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(expected.parameters(), gradients, strict=True):
                    parameter -= 0.5 * gradient
            by_hand.append(loss.item())
    assert losses == pytest.approx(by_hand)
    means = [(4 * a + 4 * b + 2 * c) / 10 for a, b, c in (by_hand[:3], by_hand[3:])]
    assert history["loss"] == pytest.approx(means)
    for parameter, other in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(parameter, other)


def test_the_figure(ran):
    names = ran.names
    left, right = names.fig.axes
    curves = [names.mini, *names.full.values()]
    assert [list(line.get_ydata()) for line in left.lines] == [one["loss"] for one in curves]
    each, mean, *_ = right.lines
    assert each.get_ydata().tolist() == [names.losses[x - 1] for x in each.get_xdata()]
    assert list(mean.get_xdata()) == [384, 768, 1152]  # updates: 768 samples make 384 batches


@pytest.mark.parametrize(
    "text, expected",
    [
        ("1,2,0\n3,four,1\n", "line 2: expected a number, got 'four'"),
        ("a,b,label\n1,2,0\n", "line 1: expected a number, got 'a'"),
        ("# a,b\n1,2,0\n\n3,4\n", "line 4: 2 columns, expected 3"),
        ("1,2,0\n3,,1\n", "line 2: expected a number, got ''"),
        ("1,2,0\n3,nan,1\n", "line 2: expected a number, got 'nan'"),
        ("1\n2\n", "line 1: one column"),
        ("1_000,0\n2,1\n", "can't be read as a table"),
        ("1,0\n1e300,1\n", "line 2: expected a number, got '1e300'"),
        ('"1","0"\n', "without quotes"),
        ("1;0\n2;1\n", "line 1: one column"),
        ("1,2,0\n", "holds one row"),
        ("", "holds no data"),
        ("# nothing but a comment\n\n", "holds no data"),
        ("1,2,0\n3,4,2\n", "labels 0 and 1, got 2"),
    ],
)
def test_a_table_that_cannot_be_used(text, expected, tmp_path, fails):
    path = table(tmp_path / "mine.csv", text)
    message = fails(NAME, ["--csv", path, "--output-dir", tmp_path / "out"])
    assert expected in message and str(path) in message


def test_a_table_that_cannot_be_read(tmp_path, fails):
    path = tmp_path / "mine.csv"
    flags = ["--output-dir", tmp_path, "--csv"]
    assert "No such file" in fails(NAME, [*flags, path])
    path.write_bytes(b"\xff\xfe1\x00,\x000\x00")
    assert "not text in UTF-8" in fails(NAME, [*flags, path])
    assert str(tmp_path) in fails(NAME, [*flags, tmp_path])


@pytest.mark.slow
def test_a_table_in_chinese_where_the_system_knows_none(run_chapter, tmp_path):
    """Windows' own encoding is another than UTF-8, and Excel puts a mark before the text."""
    path = tmp_path / "数据.csv"
    path.write_text("# 血糖,标签\n1,0\n2,1\n3,1\n", encoding="utf-8-sig")
    flags = ["--csv", path, "--epochs", 1, "--workers", 0, "--output-dir", tmp_path]
    done = run_chapter(
        NAME, *flags, cwd=tmp_path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_table_of_ones_own(quick, tmp_path):
    path = table(tmp_path / "mine.csv", "".join(f"{i % 7},{i % 2}\n" for i in range(40)))
    names = quick("--csv", path, "--workers", 0).names
    assert len(names.dataset) == 40 and len(names.mini["loss"]) == 2


def test_too_high_a_learning_rate_diverges_in_words(fails, tmp_path):
    flags = ["--lr", 1e38, "--batch-size", 100, "--workers", 0, "--output-dir", tmp_path]
    assert "lower --lr" in fails(NAME, flags, status=1)


def test_ctrl_c_ends_all_of_it_with_a_figure(interrupted, tmp_path):
    flags = ["--epochs", 500, "--output-dir", tmp_path, "--workers", 0, "--batch-size", 100]
    interrupted(NAME, flags, epochs=3)
    assert (tmp_path / f"{NAME}.png").exists()
