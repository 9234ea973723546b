"""Chapter 6: a dataset of one's own, batches, and training with them."""

import ast
import copy
import multiprocessing
import re

import numpy as np
import pytest
import torch
from conftest import save_empty_figures
from torch.utils.data import DataLoader, TensorDataset

from common import data, device
from common.cli import ROOT

NAME = "06_dataloader"
FLAGS = ["--epochs", 3, "--device", "cpu"]
CPU = torch.device("cpu")


def table(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_start_in_each_way(method, run_chapter, tmp_path):
    """forkserver is Linux's from Python 3.14 on, spawn is that of macOS and Windows.

    sitecustomize is what every Python of this run imports first, workers too.
    """
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    (tmp_path / "sitecustomize.py").write_text(
        f"import multiprocessing\nmultiprocessing.set_start_method({method!r}, force=True)\n"
    )
    done = run_chapter(NAME, "--epochs", 1, "--output-dir", "out", cwd=tmp_path, startup=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for line in ["Chapter 6", "3. A Dataset of your own", "\nwith workers:", "8. Results"]:
        assert done.stdout.count(line) == 1, "a worker has spoken, or trained"


def test_the_guard_stands_before_all_that_starts_workers_or_trains(chapters_folder):
    """What a worker runs once more: imports, definitions, and a few cheap lines."""
    body = ast.parse((chapters_folder / f"{NAME}.py").read_text(encoding="utf-8")).body
    guarded = [ast.unparse(node) for node in body if isinstance(node, ast.If)]
    assert all(code.startswith("if __name__ == '__main__':") for code in guarded)
    loops = [node for node in body if isinstance(node, ast.For)]
    assert not loops and sum("for data in train_loader" in code for code in guarded) == 1
    assert sum("loss.backward()" in code for code in guarded) == 1


def test_it_shows_what_it_tells(ran, outputs):
    assert "\n10\n11\n10\n" in ran.out  # 100 samples in batches of 10, the notes' example; 105
    assert "\n768\n(tensor([ 0.6395," in ran.out
    assert "\n384 iterations per epoch, 2 workers\n" in ran.out
    assert "\nwith workers: " in ran.out and "\nwithout: " in ran.out
    assert (outputs / f"{NAME}.png").stat().st_size > 10_000
    sizes = [len(batch) for batch in DataLoader(range(105), batch_size=10)]
    assert sizes == [10] * 10 + [5]


@pytest.mark.slow
def test_what_counts_is_the_learning_rate_times_the_updates(run, quick_figures, tmp_path):
    """After 30 epochs: many small steps, or few long ones; and many long ones do no harm."""
    names = run(NAME, "--epochs", 30, "--workers", 0, "--output-dir", tmp_path).names
    last = {key: curve[-1] for key, curve in names.curves.items()}
    assert list(last) == [(2, 0.01), (768, 0.01), (768, 3.84), (2, 1.0)]
    assert last[768, 3.84] == pytest.approx(last[2, 0.01], rel=0.03)
    assert last[2, 1.0] < last[2, 0.01] < 0.8 * last[768, 0.01]


def test_shuffling_is_seeded(ran):
    first, second, again = (
        [int(number) for number in re.findall(r"\d+", line)]
        for line in re.findall(r"^\[tensor.*", ran.out, re.MULTILINE)
    )
    assert first == again != second and sorted(first) == sorted(second) == list(range(6))


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
    first, same, other = [run.names.curves for run in runs]
    assert first == same != other
    assert ["epoch, 1 workers\n" in run.out for run in runs] == [False, True, False]


def test_a_dataset_of_any_number_of_columns(chapter, tmp_path):
    path = table(tmp_path / "a.csv", "# a,b,c\n1,6,0\n3,4,1\n\n5,5,1\n")
    dataset = chapter.MyDataset(path)
    of_the_table = "of the rows 1,6,0 and 3,4,1 and 5,5,1"
    assert len(dataset) == 3, f"{of_the_table}, len(dataset) is {len(dataset)}; expected is 3"
    features, labels = ([dataset[i][part] for i in range(3)] for part in (0, 1))
    labels = [one.tolist() for one in labels]
    assert labels == [[0], [1], [1]], f"{of_the_table}, the labels are {labels}; [0], [1], [1]"
    said = f"{of_the_table}, the features are {[one.tolist() for one in features]}; expected are "
    expected = torch.tensor([[-1.0, 1.0], [0.0, -1.0], [1.0, 0.0]])
    said += f"{expected.tolist()}: 1, 3, 5 have mean 3 and std 2; 6, 4, 5 mean 5 and std 1"
    assert torch.stack(features).shape == (3, 2), said
    assert torch.allclose(torch.stack(features).float(), expected), said
    assert features[0].dtype == torch.float32, f"the features are {features[0].dtype}, not float32"


@pytest.mark.page  # practice takes the notes' float32, too
def test_large_numbers_are_told_apart(chapter, tmp_path):
    """Numbers of telephones: a float32 makes the same number of all four."""
    text = "13900000001,0\n13900000101,0\n13900000201,1\n13900000301,1\n"
    dataset = chapter.MyDataset(table(tmp_path / "a.csv", text))
    features = torch.stack([dataset[i][0] for i in range(4)])
    expected = torch.tensor([[-1.5], [-0.5], [0.5], [1.5]]) / (5 / 3) ** 0.5
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)


def test_without_memory_to_share_there_are_no_workers(run, monkeypatch, tmp_path):
    monkeypatch.setattr(device, "can_share_memory", lambda: False)
    done = run(NAME, *FLAGS, "--batch-size", 100, "--output-dir", tmp_path)
    assert done.status == 0 and "8 iterations per epoch, 0 workers\n" in done.out


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
    assert list(names.curves) == [(100, 0.02), (768, 0.02), (768, 0.16), (100, 1.0)]
    x = torch.randn(5, 8)
    first, last = (layer for layer in names.model if isinstance(layer, torch.nn.Linear))
    hidden = torch.sigmoid(x @ first.weight.T + first.bias)  # (5, 16)
    torch.testing.assert_close(names.model(x), hidden @ last.weight.T + last.bias)


def test_all_trainings_start_from_the_same_network(quick):
    """With batches as large as the data, all four begin with the same loss."""
    names = quick("--workers", 0, "--batch-size", 768, "--lr", 0.5).names
    assert len({round(curve[0], 5) for curve in names.curves.values()}) == 1
    assert len(names.curves) == 2  # each with batches of 768, at 0.5 and at 1


def test_one_epoch_by_hand(chapter):
    """Batches of two and of one: from p = 0.5 the first update is lr / 2 of the mean of x."""
    model = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    rows = TensorDataset(torch.tensor([[1.0], [3.0], [0.0]]), torch.tensor([[1.0], [1.0], [0.0]]))
    criterion, optimizer = torch.nn.BCEWithLogitsLoss(), torch.optim.SGD(model.parameters(), lr=0.5)
    losses = chapter.train(model, criterion, optimizer, DataLoader(rows, 2), CPU, epochs=1)
    by_hand = np.log(2), np.log(1 + np.exp(0.25))  # b is 0.25 at the second batch
    assert losses == [pytest.approx((2 * by_hand[0] + by_hand[1]) / 3)]
    assert model.weight.item() == pytest.approx(0.5)


def test_training_is_mini_batch_gradient_descent(chapter):
    torch.manual_seed(0)
    rows = TensorDataset(torch.randn(10, 3), torch.rand(10, 1).round())
    loader = DataLoader(rows, batch_size=4)  # 4, 4 and a short one of 2
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Sigmoid(), torch.nn.Linear(4, 1))
    expected = copy.deepcopy(model)
    criterion = torch.nn.BCEWithLogitsLoss()
    losses = chapter.train(
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
    means = [(4 * a + 4 * b + 2 * c) / 10 for a, b, c in (by_hand[:3], by_hand[3:])]
    assert losses == pytest.approx(means)
    for parameter, other in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(parameter, other)


def test_the_pages_loop_is_that_of_the_function():
    """But for where the device, the epochs and the size come from, and what is printed."""
    page = (ROOT / f"{NAME}.py").read_text(encoding="utf-8")
    loops = [
        node
        for node in ast.walk(ast.parse(page))
        if isinstance(node, ast.For) and ast.unparse(node.target) == "epoch"
    ]
    top, inside = (
        re.sub(
            r"\bargs\.|train_loader\.(?=dataset)", "", "\n".join(map(ast.unparse, loop.body[:3]))
        )
        for loop in loops
    )
    assert top == inside and "optimizer.step()" in top


def test_the_figure(ran):
    curves = list(ran.names.curves.values())
    lines = ran.names.fig.axes[0].lines
    assert [list(line.get_ydata()) for line in lines] == curves


@pytest.mark.parametrize(
    "text, expected",
    [
        ("1,2,0\n3,four,1\n", "line 2: expected a number, got 'four'"),
        ("a,b,label\n1,2,0\n", "line 1: expected a number, got 'a'"),
        ("# a,b\n1,2,0\n\n3,4\n", "line 4: 2 columns, expected 3"),
        ("1,2,0\n3,,1\n", "line 2: expected a number, got ''"),
        ("1,2,0\n3,nan,1\n", "line 2: expected a number, got 'nan'"),
        ("1\n2\n", "line 1: one column"),
        ("1_000,0\n2,1\n", "line 1: expected a number, got '1_000'"),
        ("1,0\n1e300,1\n", "line 2: expected a number, got '1e300'"),
        ('"1","0"\n', "without quotes"),
        ("1;0\n2;1\n", "line 1: one column"),
        ("1,2,0\n", "holds one row"),
        ("", "is empty. Expected a CSV file of numbers"),
        ("# nothing but a comment\n\n", "holds no data"),
        ("1,2,0\n3,4,2\n", "labels 0 and 1, got 2"),
        ("1,2,0\n3,2,1\n", "column 2 holds the same number in every row"),
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
    assert "looks like UTF-16" in fails(NAME, [*flags, path])
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
    assert len(names.dataset) == 40 and len(names.losses) == 2


def test_too_high_a_learning_rate_diverges_in_words(fails, tmp_path):
    flags = ["--lr", 1e37, "--batch-size", 100, "--epochs", 2, "--workers", 0]
    assert "lower --lr" in fails(NAME, [*flags, "--output-dir", tmp_path], status=1)


def test_ctrl_c_ends_it_with_a_word(interrupted, tmp_path):
    flags = ["--workers", 0, "--batch-size", 100, "--output-dir", tmp_path]
    done = interrupted(NAME, flags, at="Epoch 20/")
    assert (done.status, done.err) == (130, "\nStopped.\n") and "Epoch 30/" not in done.out
