"""Chapter 6: a data set of one's own, batches, and training with them."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from common.data import DATA

NAME = "06_dataloader"
CPU = torch.device("cpu")


def table(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_it_runs_with_spawned_workers_as_on_macos_and_windows(run_chapter, chapter, tmp_path):
    """sitecustomize is what every Python of this run imports first, workers too."""
    (tmp_path / "sitecustomize.py").write_text(
        "import multiprocessing\nmultiprocessing.set_start_method('spawn', force=True)\n"
    )
    done = run_chapter(NAME, "--epochs", 1, "--output-dir", "out", cwd=tmp_path, startup=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Chapter 6") == 1, "a worker has run the chapter again"
    assert "num_workers=2: " in done.stdout


@pytest.fixture(scope="module")
def default_run(run_chapter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    done = run_chapter(NAME, "--output-dir", "outputs", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "outputs" / f"{NAME}.png").stat().st_size > 10_000
    return done.stdout


def test_it_runs_as_its_docstring_says(default_run, last_lines, chapter):
    last_lines(chapter, default_run)
    for line in [
        "768 samples; the first: inputs (8,), label (1,)",
        "100 samples in batches of 10: 10 iterations, the last of 10",
        "105 samples in batches of 10: 11 iterations, the last of 5",
        "105 samples in batches of 10: 10 iterations, the last of 10, drop_last",
    ]:
        assert f"   {line}\n" in default_run


def test_the_same_seed_gives_the_same_result(chapter, tmp_path):
    flags = ["--epochs", "2", "--batch-size", "32", "--workers", "0", "--device", "cpu"]
    runs = [
        chapter.main([*flags, "--seed", seed, "--output-dir", str(tmp_path)])
        for seed in ("3", "3", "4")
    ]
    assert runs[0] == runs[1] != runs[2]


def test_a_data_set_of_any_number_of_columns(chapter, tmp_path):
    path = table(tmp_path / "a.csv", "# a,b,c\n1,5,0\n3,5,1\n\n5,5,1\n")
    dataset = chapter.MyDataset(path)
    assert len(dataset) == 3
    assert [dataset[i][1].tolist() for i in range(3)] == [[0], [1], [1]]
    # (1, 3, 5) has mean 3 and deviation 2; a constant column tells nothing
    assert [dataset[i][0].tolist() for i in range(3)] == [[-1, 0], [0, 0], [1, 0]]


def test_the_diabetes_data(chapter):
    dataset = chapter.MyDataset(DATA / "diabetes.csv")
    xy = np.loadtxt(DATA / "diabetes.csv", delimiter=",", dtype=np.float32)
    x, y = dataset[5]
    expected = (xy[5, :-1] - xy[:, :-1].mean(axis=0)) / xy[:, :-1].std(axis=0, ddof=1)
    np.testing.assert_allclose(x, expected, rtol=1e-3, atol=1e-4)
    assert y.shape == (1,) and y.item() == xy[5, -1]


def test_a_loader_stacks_samples(chapter):
    dataset = chapter.MyDataset(DATA / "diabetes.csv")
    inputs, labels = next(iter(DataLoader(dataset, batch_size=4)))
    assert inputs.shape == (4, 8) and labels.shape == (4, 1)
    assert torch.equal(inputs[2], dataset[2][0])


def test_epoch_batch_iteration(chapter):
    """The notes: 100 samples in batches of 10 make 10 iterations."""
    assert chapter.batch_sizes(100, 10) == [10] * 10
    assert chapter.batch_sizes(105, 10) == [10] * 10 + [5]
    assert chapter.batch_sizes(105, 10, drop_last=True) == [10] * 10


def test_shuffling_is_seeded(chapter):
    first, second = chapter.shuffled(50, epochs=2, seed=3)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second and first != sorted(first)
    assert chapter.shuffled(50, 2, seed=3) == [first, second]
    assert chapter.shuffled(50, 1, seed=4) != [first]


def test_seconds_per_epoch_asks_for_every_sample(chapter):
    asked = []

    class Dataset(torch.utils.data.Dataset):
        def __len__(self):
            return 7

        def __getitem__(self, idx):
            asked.append(idx)
            return idx

    assert 0 < chapter.seconds_per_epoch(Dataset(), batch_size=3, num_workers=0) < 10
    assert sorted(asked) == list(range(7)) and asked != sorted(asked)


class WhoAsks(torch.utils.data.Dataset):
    """Each sample is the number of the worker that fetched it, -1 for none, left in a file."""

    def __init__(self, path):
        self.path = path

    def __len__(self):
        return 8

    def __getitem__(self, idx):
        info = torch.utils.data.get_worker_info()
        (self.path / str(-1 if info is None else info.id)).touch()
        return idx


@pytest.mark.parametrize("workers, asked", [(0, {"-1"}), (2, {"0", "1"})])
def test_seconds_per_epoch_uses_as_many_workers_as_it_is_told(chapter, tmp_path, workers, asked):
    chapter.seconds_per_epoch(WhoAsks(tmp_path), batch_size=2, num_workers=workers)
    assert {path.name for path in tmp_path.iterdir()} == asked


def test_the_demonstration_changes_nothing_of_the_training(chapter, tmp_path):
    flags = ["--epochs", "1", "--batch-size", "100", "--device", "cpu", "--output-dir", tmp_path]
    with_workers, without = (
        chapter.main([str(flag) for flag in [*flags, "--workers", workers]]) for workers in (1, 0)
    )
    assert with_workers == without


def test_the_training_is_shuffled(chapter, tmp_path, monkeypatch):
    loaders = []
    train = chapter.train
    monkeypatch.setattr(chapter, "train", lambda *args: loaders.append(args[3]) or train(*args))
    chapter.main(["--epochs", "1", "--workers", "0", "--output-dir", str(tmp_path)])
    assert isinstance(loaders[0].sampler, torch.utils.data.RandomSampler)
    assert loaders[0].batch_size == 2


def test_cell_by_cell_no_worker_is_started_that_could_not_find_the_data_set(
    chapter, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(chapter, "workers_can_start", lambda: False)
    chapter.main(["--epochs", "1", "--batch-size", "100", "--output-dir", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "num_workers is not shown" in shown and "num_workers=2" not in shown


def test_the_model_takes_any_number_of_inputs(chapter):
    model = chapter.make_model(3)
    first, last = (layer for layer in model if isinstance(layer, torch.nn.Linear))
    x = torch.randn(5, 3)
    hidden = torch.sigmoid(x @ first.weight.T + first.bias)
    torch.testing.assert_close(model(x), hidden @ last.weight.T + last.bias)
    assert hidden.shape == (5, 16) and model(x).shape == (5, 1)


def test_training_is_mini_batch_gradient_descent(chapter):
    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(10, 3), torch.rand(10, 1).round())
    loader = DataLoader(data, batch_size=4)  # 4, 4 and a short one of 2
    model, expected = chapter.make_model(3), chapter.make_model(3)
    expected.load_state_dict(model.state_dict())
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


def test_the_figure(chapter):
    full = {"epoch": [1, 2], "loss": [0.9, 0.8]}
    mini = {"epoch": [1, 2], "loss": [0.7, 0.5]}
    fig = chapter.draw(full, mini, [0.8, 0.6, 0.4, 0.6], batch_size=5, show=False)
    left, right = fig.axes
    assert [list(line.get_ydata()) for line in left.lines] == [[0.9, 0.8], [0.7, 0.5]]
    each, mean, _ = right.lines
    assert list(each.get_ydata()) == [0.8, 0.6, 0.4, 0.6]
    assert list(mean.get_xdata()) == [2, 4]
    part = {"epoch": [1, 1.25], "loss": [0.7, 0.5]}  # stopped by Ctrl-C: 400 and 100 updates
    fig = chapter.draw(full, part, [0.5] * 500, batch_size=5, show=False)
    assert list(fig.axes[1].lines[1].get_xdata()) == [400, 500]


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
def test_a_table_that_cannot_be_used(text, expected, chapter, tmp_path, fails):
    path = table(tmp_path / "mine.csv", text)
    message = fails(chapter.main, ["--csv", path, "--output-dir", tmp_path / "out"])
    assert expected in message and str(path) in message


def test_a_table_that_cannot_be_read(chapter, tmp_path, fails):
    path = tmp_path / "mine.csv"
    flags = ["--output-dir", tmp_path, "--csv"]
    assert "No such file" in fails(chapter.main, [*flags, path])
    path.write_bytes(b"\xff\xfe1\x00,\x000\x00")
    assert "not text in UTF-8" in fails(chapter.main, [*flags, path])
    assert str(tmp_path) in fails(chapter.main, [*flags, tmp_path])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_in_chinese_where_the_system_knows_none(encoding, run_chapter, tmp_path):
    """Windows' own encoding is another than UTF-8, and Excel puts a mark before the text."""
    path = tmp_path / "数据.csv"
    path.write_text("# 血糖,标签\n1,0\n2,1\n3,1\n", encoding=encoding)
    flags = ["--csv", path, "--epochs", 1, "--workers", 0, "--output-dir", tmp_path]
    done = run_chapter(
        NAME, *flags, cwd=tmp_path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_table_of_ones_own(chapter, tmp_path):
    path = table(tmp_path / "mine.csv", "".join(f"{i % 7},{i % 2}\n" for i in range(40)))
    flags = ["--epochs", "2", "--workers", "0", "--output-dir", str(tmp_path)]
    full, mini = chapter.main(["--csv", str(path), *flags])
    assert len(full["loss"]) == len(mini["loss"]) == 2


def test_too_long_steps_diverge_in_words(chapter, fails, tmp_path):
    flags = ["--lr", 1e38, "--batch-size", 100, "--workers", 0, "--output-dir", tmp_path]
    assert "lower --lr" in fails(chapter.main, flags, status=1)


def test_ctrl_c_ends_all_of_it_with_a_figure(chapter, interrupted, tmp_path):
    flags = ["--epochs", 500, "--output-dir", tmp_path, "--workers", 0, "--batch-size", 100]
    interrupted(chapter.main, flags, epochs=3)
    assert (tmp_path / f"{NAME}.png").exists()
