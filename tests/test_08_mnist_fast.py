"""Chapter 8: each rung trains the same network as the notes' loop, or says what it changes."""

import contextlib
import itertools
import json
import re
from types import SimpleNamespace

import pytest
import torch
from conftest import needs_cuda, parameters
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from common import data, mnist
from common.cli import ROOT

NAME = "08_mnist_fast"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    """MNIST as torchvision gives it, and transformed."""
    train_set, test_set = mnist.load_mnist(data.mnist_root())
    return SimpleNamespace(
        train=train_set, once=mnist.transform_once(train_set), test=mnist.transform_once(test_set)
    )


@pytest.fixture(scope="module")
def short_run(run_chapter, tmp_path_factory):
    """Rungs 1 to 6 as a person climbs them, but timed once, and with one epoch of the notes'."""
    folder = tmp_path_factory.mktemp("somewhere else")
    flags = ["--rungs", "1,2,3,4,5,6", "--rounds", 1, "--epochs", 1, "--json", "numbers.json"]
    done = run_chapter(NAME, *flags, "--device", "cpu", "--output-dir", "outputs", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    numbers = json.loads((folder / "numbers.json").read_text())
    return SimpleNamespace(text=done.stdout, folder=folder, numbers=numbers)


def few_digits(n=200):
    torch.manual_seed(0)
    return TensorDataset(torch.randn(n, 1, 28, 28), torch.randint(10, (n,)))


def fresh_model(seed=0):
    torch.manual_seed(seed)
    return mnist.MNISTModel()


def expected_training(model, optimizer, batches, criterion, after_update=lambda: None):
    """The oracle: the five lines, written out."""
    for inputs, labels in batches:
        optimizer.zero_grad()
        criterion(model(inputs), labels).backward()
        optimizer.step()
        after_update()
    return parameters(model)


# The whole chapter


def test_the_run_ends_as_its_docstring_says(chapter, short_run, last_lines):
    last_lines(chapter, short_run.text)


def test_each_rung_has_its_row_with_speed_and_accuracy(short_run):
    rows = short_run.numbers["rungs"]
    assert [row["rung"] for row in rows] == ["1", "1", "2", "3", "4", "5", "5"]
    table = short_run.text.split("images/s")[1].splitlines()[1 : len(rows) + 1]
    for row, line in zip(rows, table, strict=True):
        assert line.split()[0] == row["rung"] and row["name"] in line
        assert f"{row['images_per_second']:,.0f}" in line
        assert row["images_per_second_each_round"] == [row["images_per_second"]]
        assert f"{row['images_per_second'] / rows[0]['images_per_second']:.1f}x" in line
        if row["history"]:
            assert f"{row['history']['accuracy'][-1]:.4f}" in line
            assert f"{row['history']['seconds'][-1]:.1f} s" in line
    notes = [row["history"]["accuracy"] for row in rows[:4]]
    assert notes == 4 * [notes[0]] and 0.88 < notes[0][0] < 0.93, "one epoch of the notes' recipe"
    assert not rows[4]["history"], "rung 4 is no way to train"


def test_the_seconds_follow_from_the_speed(short_run):
    for row in short_run.numbers["rungs"]:
        if row["history"]:
            epochs = 1 if row["rung"] < "5" else 3
            expected = epochs * 60_000 / row["images_per_second"]
            assert row["history"]["seconds"][-1] == pytest.approx(expected)


def test_at_speed(chapter):
    history = {"epoch": [1, 2.5], "accuracy": [0.8, 0.9]}
    timed = chapter.at_speed(history, speed=20.0, images=100)
    assert timed == history | {"seconds": [5, 12.5]}
    assert "seconds" not in history


def test_the_better_recipe_reaches_98_percent(short_run):
    rung = short_run.numbers["rungs"][5]
    assert rung["history"]["epoch"] == [1, 2, 3]
    assert rung["history"]["accuracy"][-1] >= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("seed", range(1, 5))
def test_it_does_so_with_each_seed(seed, bf16, chapter, digits):
    rung = chapter.recipe_rung(digits.once, CPU, seed, 3, bf16)
    test_loader = data.bulk_loader(digits.test, 1000)
    history = chapter.train_and_test(rung, test_loader, CPU, 3)
    assert history["accuracy"][-1] >= 0.98


def test_what_the_run_says(short_run):
    assert "rung 6 is skipped: it needs CUDA, and this is cpu" in short_run.text
    assert "threads" in short_run.numbers["machine"]
    seconds = [row["history"].get("seconds", [0])[-1] for row in short_run.numbers["rungs"]]
    assert f"The better recipe needs 1/{seconds[0] / seconds[5]:.1f} of" in short_run.text


def test_it_leaves_a_figure_and_nothing_else(short_run):
    assert [path.name for path in (short_run.folder / "outputs").iterdir()] == [f"{NAME}.png"]
    with Image.open(short_run.folder / "outputs" / f"{NAME}.png") as image:
        assert image.width >= 1200
        assert len(set(image.convert("L").resize((100, 100)).tobytes())) > 20, "it is blank"


def test_the_readme_shows_such_a_run(short_run):
    """Its table has these rows; speeds are its machine's own, accuracies everybody's."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.split("What each rung is worth\n")[1].split("```")[0].splitlines()
    head, *rows = [line for line in table if re.match(r"   (\d|rung) ", line)]
    assert head in short_run.text
    shown = [(row[3], row[5:29].strip()) for row in rows if row[3] != "7"]
    assert shown == [(row["rung"], row["name"]) for row in short_run.numbers["rungs"]]
    accuracies = [float(row.split()[-1]) for row in rows if not row.endswith("x")]
    assert accuracies[:4] == 4 * [0.9758]  # chapter 7's, whose README transcript is tested
    recipe = short_run.numbers["rungs"][5]["history"]["accuracy"][-1]
    assert accuracies[4:] == pytest.approx(2 * [recipe], abs=0.002)


# Rungs 1 to 4: the same training


def test_train_is_the_notes_loop(chapter):
    batches = list(DataLoader(few_digits(), batch_size=64))
    model, expected = fresh_model(), fresh_model()
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    chapter.train(model, criterion, optimizer, batches, CPU)
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.1)
    wanted = expected_training(expected, optimizer, batches, torch.nn.CrossEntropyLoss())
    assert torch.equal(parameters(model), wanted)


def test_notes_recipe_is_the_notes(chapter):
    criterion, optimizer = chapter.notes_recipe(torch.nn.Linear(1, 1))
    assert type(criterion) is torch.nn.CrossEntropyLoss and criterion.label_smoothing == 0
    assert type(optimizer) is torch.optim.SGD
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]) == (0.01, 0.5)


def test_notes_loader_is_the_notes(chapter):
    dataset = few_digits()
    loader = chapter.notes_loader(dataset, workers=2)
    assert type(loader) is DataLoader and loader.dataset is dataset
    assert (loader.batch_size, loader.num_workers) == (64, 2)
    assert chapter.notes_loader(dataset).num_workers == 0


@pytest.mark.parametrize("name", ["notes_loader", "transformed_loader", "whole_loader"])
def test_rungs_1_to_3_train_on_the_same_batches(name, chapter):
    dataset = few_digits()
    torch.manual_seed(1)
    expected = list(DataLoader(dataset, batch_size=64, shuffle=True))
    torch.manual_seed(1)
    for batch, wanted in zip(getattr(chapter, name)(dataset), expected, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(batch, wanted, strict=True))


def test_whole_loader_fetches_whole_batches(chapter):
    assert chapter.whole_loader(few_digits()).batch_size is None


def test_cut_batches_hold_all_images_once_in_their_order(chapter):
    dataset = few_digits()
    batches = chapter.cut_batches(dataset)
    assert [len(labels) for _, labels in batches] == [64, 64, 64, 8]
    for column, tensor in enumerate(dataset.tensors):
        assert torch.equal(torch.cat([batch[column] for batch in batches]), tensor)


def test_they_do_so_on_mnist(chapter, digits):
    loaders = [
        chapter.notes_loader(digits.train),
        chapter.transformed_loader(digits.once),
        chapter.whole_loader(digits.once),
    ]
    beginnings = []
    for loader in loaders:
        torch.manual_seed(3)
        beginnings.append([tensor for batch in itertools.islice(loader, 2) for tensor in batch])
    for other in beginnings[1:]:
        assert all(torch.equal(x, y) for x, y in zip(beginnings[0], other, strict=True))


# Rung 5


def test_better_recipe_rises_and_falls(chapter):
    model = torch.nn.Linear(1, 1)
    criterion, optimizer, scheduler = chapter.better_recipe(model, lr=0.2, updates=100)
    assert criterion.label_smoothing == 0.1
    assert type(optimizer) is torch.optim.SGD
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        assert optimizer.param_groups[0]["momentum"] == 0.9
        optimizer.step()
        scheduler.step()
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.2)
    assert 10 <= top <= 50, "the rise is the shorter part"
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[0] < 0.02 and rates[-1] < 0.0001


@pytest.mark.parametrize("bf16", [False, True])
def test_train_one_cycle_changes_the_rate_after_each_update(bf16, chapter):
    batches = list(DataLoader(few_digits(), batch_size=50))
    result = []
    for ours in (True, False):
        model = fresh_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, 0.04, total_iters=3)
        criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
        if ours:
            chapter.train_one_cycle(model, criterion, optimizer, scheduler, batches, CPU, bf16)
        else:
            expected_training(model, optimizer, batches, criterion, scheduler.step)
        result.append(parameters(model))
        assert scheduler.last_epoch == len(batches)
    if bf16:
        assert not torch.equal(*result)
        torch.testing.assert_close(*result, atol=1e-3, rtol=0)
    else:
        assert torch.equal(*result)


def test_recipe_rung_trains_over_one_whole_cycle(chapter):
    once = few_digits(600)
    rung = chapter.recipe_rung(once, CPU, seed=5, epochs=2)
    assert torch.equal(parameters(rung.model), parameters(fresh_model(5)))
    assert [len(labels) for _, labels in rung.loader] == [256, 256, 88]
    rung.train(rung.loader)
    rung.train(rung.loader)
    assert not torch.equal(parameters(rung.model), parameters(fresh_model(5)))
    with pytest.raises(ValueError, match="total steps is 6"):
        rung.train(rung.loader)
    assert chapter.recipe_rung(once, CPU, 5, 2, bf16=True).name != rung.name


# Rung 6


def at_once(step):
    """What `record` does, without a GPU: the step is repeated by asking for it again."""
    return step


def test_recorded_train_repeats_the_step_for_each_batch(chapter):
    batches = list(DataLoader(few_digits(), batch_size=50))
    model, expected = fresh_model(), fresh_model()
    kept = [tensor.clone() for tensor in batches[0]]
    loop = chapter.recorded_train(
        model, *chapter.notes_recipe(model), batches[0], False, record=at_once
    )
    loop(batches)
    _, optimizer = chapter.notes_recipe(expected)
    wanted = expected_training(expected, optimizer, batches, torch.nn.CrossEntropyLoss())
    assert torch.equal(parameters(model), wanted)
    assert all(torch.equal(x, y) for x, y in zip(batches[0], kept, strict=True))


def test_recorded_train_in_bf16(chapter):
    batches = list(DataLoader(few_digits(), batch_size=100))
    results = []
    for bf16 in (False, True):
        model = fresh_model()
        parts = model, *chapter.notes_recipe(model), batches[0]
        chapter.recorded_train(*parts, bf16, record=at_once)(batches)
        results.append(parameters(model))
    assert not torch.equal(*results)
    torch.testing.assert_close(*results, atol=1e-3, rtol=0)


def test_record_warms_up_and_records_on_one_stream(chapter, monkeypatch):
    """With a stand-in for CUDA: three calls on a stream of its own, then one that is recorded."""
    events = []

    class Stream:
        def wait_stream(self, other):
            events.append("wait")

    class Graph:
        def replay(self):
            events.append("replay")

    @contextlib.contextmanager
    def on(kind):
        events.append(f"{kind} begins")
        yield
        events.append(f"{kind} ends")

    side, usual = Stream(), Stream()
    monkeypatch.setattr(torch.cuda, "Stream", lambda: side)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: usual)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: on(stream is side and "stream"))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream: on(stream is side and "graph"))
    repeat = chapter.record(lambda: events.append("step"))
    warm_up = ["wait", "stream begins", "step", "step", "step", "stream ends", "wait"]
    assert events == [*warm_up, "graph begins", "step", "graph ends"]
    repeat()
    assert events[-1] == "replay"


def test_gpu_rungs_without_a_gpu(chapter):
    once = few_digits()
    rungs = chapter.gpu_rungs(once, CPU, seed=0, record=at_once)
    assert [rung.number for rung in rungs] == ["6", "6", "6"]
    assert len({rung.name for rung in rungs}) == 3
    batches = list(rungs[0].loader)
    assert [len(labels) for _, labels in batches] == 3 * [64], "a graph has one batch size"
    for rung in rungs:
        rung.model.load_state_dict(fresh_model().state_dict())
        rung.train(batches)
    plain, graph, bf16 = (parameters(rung.model) for rung in rungs)
    assert torch.equal(plain, graph)
    assert not torch.equal(graph, bf16)
    torch.testing.assert_close(graph, bf16, atol=1e-3, rtol=0)


@needs_cuda
def test_a_recorded_step_learns_what_the_loop_learns(chapter):
    device = torch.device("cuda")
    once = mnist.to_device(few_digits(), device)
    batches = list(data.bulk_loader(once, 50))
    results = []
    for record in (chapter.record, lambda step: [step() for _ in range(3)] and step):
        model = fresh_model().to(device)
        loop = chapter.recorded_train(
            model, *chapter.notes_recipe(model), batches[0], False, record=record
        )
        loop(batches)
        results.append(parameters(model))
    torch.testing.assert_close(*results)


@needs_cuda
def test_rung_6_on_cuda(chapter, tmp_path):
    flags = ["--rungs", "3,6", "--rounds", "2", "--epochs", "1", "--output-dir", str(tmp_path)]
    rungs = chapter.main(flags)
    assert [rung.number for rung in rungs] == ["3", "6", "6", "6"]


# Rung 7


def test_train_bf16_is_the_notes_loop_with_16_bits(chapter):
    batches = list(DataLoader(few_digits(), batch_size=64))
    model, expected = fresh_model(), fresh_model()
    formats = []
    model.linear1.register_forward_hook(lambda layer, x, y: formats.append(y.dtype))
    chapter.train_bf16(model, *chapter.notes_recipe(model), batches, CPU)
    _, optimizer = chapter.notes_recipe(expected)
    wanted = expected_training(expected, optimizer, batches, torch.nn.CrossEntropyLoss())
    assert formats == len(batches) * [torch.bfloat16]
    torch.testing.assert_close(parameters(model), wanted, atol=1e-3, rtol=0)
    assert not torch.equal(parameters(model), wanted)


@pytest.mark.parametrize("works", [True, False])
def test_detours_with_and_without_a_compiler(works, chapter, monkeypatch, capsys):
    """The compiler itself takes too long for a test: this one compiles nothing, or fails."""
    compiled = []

    def compile(model):
        compiled.append(model)
        if not works:
            model.forward = lambda x: (_ for _ in ()).throw(RuntimeError("no C++ compiler\nmore"))

    monkeypatch.setattr(torch.nn.Module, "compile", compile)
    rungs = chapter.detours(few_digits(), CPU, seed=0)
    out = capsys.readouterr().out
    assert [rung.number for rung in rungs] == ["7", "7"][: 1 + works]
    assert len(compiled) == 1
    if works:
        assert rungs[1].model is compiled[0] and "torch.compile took" in out
        assert not torch.equal(parameters(rungs[1].model), parameters(fresh_model()))
    else:
        assert "left out: no C++ compiler\n" in out


# Measuring


def test_the_speed_of_a_rung_is_the_median(chapter):
    rung = chapter.Rung("1", "name", [], None, None, speeds=[1.0, 100.0, 3.0])
    assert rung.speed() == 3.0


def test_times_is_the_median_of_the_rounds_quotients(chapter):
    """A busy moment that hits both doesn't count: the quotient of the medians would be 5 / 4."""
    fast = chapter.Rung("2", "name", [], None, None, speeds=[5.0, 1.0, 100.0])
    slow = chapter.Rung("1", "name", [], None, None, speeds=[4.0, 0.5, 50.0])
    assert fast.times(slow) == 2


def test_now_tells_seconds(chapter, monkeypatch):
    monkeypatch.setattr(chapter.time, "perf_counter", lambda: 12.5)
    assert chapter.now(CPU) == 12.5
    waited = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    chapter.now(torch.device("meta"))
    assert waited == [torch.device("meta")]


def test_notes_rung_trains_its_network_with_the_loop_given(chapter):
    calls = []
    rung = chapter.notes_rung("3", "name", ["batches"], CPU, 4, lambda *parts: calls.append(parts))
    assert (rung.number, rung.name, rung.loader) == ("3", "name", ["batches"])
    assert torch.equal(parameters(rung.model), parameters(fresh_model(4)))
    rung.train("some batches")
    ((model, criterion, optimizer, batches, device),) = calls
    assert type(criterion) is torch.nn.CrossEntropyLoss
    assert model is rung.model and (batches, device) == ("some batches", CPU)
    assert optimizer.param_groups[0]["params"][0] is next(rung.model.parameters())
    assert optimizer.param_groups[0]["momentum"] == 0.5


class Clock:
    """A clock that each batch moves on, by seconds of its own."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time

    def loader(self, seconds, images):
        for _ in itertools.count():
            self.time += seconds
            yield None, torch.zeros(images)


def test_a_part_ends_when_its_time_is_up(chapter, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(chapter.time, "perf_counter", clock)
    batches = clock.loader(seconds=0.25, images=7)
    sizes = []
    assert len(list(chapter.part_of(batches, 1.0, sizes))) == 5
    assert sizes == 5 * [7]
    assert len(list(chapter.part_of(batches, 0.1, sizes))) == 1, "the next ones follow"
    assert sizes == 6 * [7]


def test_measure_takes_turns_and_counts_images(chapter, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(chapter.time, "perf_counter", clock)
    order = []

    def rung(name, seconds, images):
        class Loader:
            def __iter__(self):
                return itertools.islice(clock.loader(seconds, images), 3)  # a short epoch

        def train(batches):
            for _ in batches:
                order.append(name)

        return chapter.Rung("1", name, Loader(), None, train)

    rungs = [rung("slow", 0.5, 10), rung("fast", 0.25, 40)]
    chapter.measure(rungs, CPU, rounds=2, seconds=2.0)
    assert rungs[0].speeds == [20, 20] and rungs[1].speeds == [160, 160]
    assert [name for name, _ in itertools.groupby(order)] == ["slow", "fast", "slow", "fast"]


def test_train_and_test_goes_through_all_batches_and_tests_after_each_epoch(chapter, monkeypatch):
    trained = []

    def test(model, test_loader, device):
        assert (model, test_loader, device) == ("model", "test loader", CPU)
        return len(trained) / 100

    monkeypatch.setattr(chapter, "test", test)
    rung = chapter.Rung("1", "name", ["a", "b", "c"], "model", trained.extend)
    history = chapter.train_and_test(rung, "test loader", CPU, 2)
    assert trained == ["a", "b", "c", "a", "b", "c"]
    assert history == {"epoch": [1, 2], "accuracy": [0.03, 0.06]}


# The command line


def test_rung_numbers(chapter, fails, tmp_path):
    assert chapter.rung_numbers("5, 1,3") == ["5", "1", "3"]
    for wrong in ("8", "one", "", "1;2"):
        message = fails(chapter.main, ["--rungs", wrong, "--output-dir", tmp_path])
        assert "numbers from 1 to 7" in message and repr(wrong) in message


def test_a_json_file_in_no_folder(chapter, fails, tmp_path):
    missing = tmp_path / "missing"
    message = fails(chapter.main, ["--json", missing / "a.json", "--output-dir", tmp_path])
    assert str(missing) in message and "--json" in message


def test_a_ladder_without_rungs(chapter, fails, tmp_path):
    message = fails(
        chapter.main, ["--rungs", "6", "--device", "cpu", "--output-dir", str(tmp_path)]
    )
    assert "--rungs" in message


def test_about_machine(chapter):
    machine = chapter.about_machine(CPU)
    assert machine["torch"] == str(torch.__version__)
    assert machine["threads"] == str(torch.get_num_threads())
    assert machine["processor"] and "gpu" not in machine


@pytest.fixture
def climbed(chapter):
    """A ladder whose rungs have been measured: two of the notes', and the recipe."""
    model = torch.nn.Linear(1, 1)
    histories = {
        "1": {"epoch": [1, 2], "seconds": [50.0, 100.0], "accuracy": [0.9, 0.94]},
        "4": {},
        "5": {"epoch": [1, 2], "seconds": [2.0, 4.0], "accuracy": [0.95, 0.985]},
    }
    speeds = {
        "1": [900.0, 1000.0, 1100.0],
        "4": [4500.0, 4000.0, 3800.0],
        "5": [9000.0, 8000.0, 9500.0],
    }
    return [
        chapter.Rung(number, chapter.RUNGS[number], [], model, None, speeds[number], history)
        for number, history in histories.items()
    ]


def test_the_table(chapter, climbed, capsys):
    chapter.print_table(climbed)
    head, *rows = capsys.readouterr().out.splitlines()
    numbers = [re.findall(r"[\d.,]+", row) for row in rows]
    assert numbers[0] == ["1", "1,000", "900", "1,100", "1.0", "100.0", "0.9400"]
    assert numbers[1] == ["4", "4,000", "3,800", "4,500", "4.0"]
    assert numbers[2] == ["5", "9,000", "8,000", "9,500", "8.6", "4.0", "0.9850"]
    assert head.index("accuracy") + 8 == len(rows[0].rstrip()), "the columns stand in line"


def test_the_json_file(chapter, climbed, tmp_path):
    chapter.write_json(tmp_path / "numbers.json", {"threads": "2"}, climbed)
    written = json.loads((tmp_path / "numbers.json").read_text())
    assert written["machine"] == {"threads": "2"}
    assert [row["rung"] for row in written["rungs"]] == ["1", "4", "5"]
    assert written["rungs"][2]["images_per_second"] == 9000
    assert written["rungs"][2]["images_per_second_each_round"] == [9000, 8000, 9500]
    assert written["rungs"][2]["history"]["accuracy"] == [0.95, 0.985]


def test_the_figure(chapter, climbed):
    fig = chapter.draw(climbed, show=False)
    bars, curves = fig.axes
    assert [patch.get_width() for patch in bars.patches] == [1000, 4000, 9000]
    assert bars.get_xscale() == curves.get_xscale() == "log"
    names = [label.get_text() for label in bars.get_yticklabels()]
    assert [name.split()[-1] for name in names] == ["1", "4", "5"]
    lines = {line.get_label(): line.get_xydata().tolist() for line in curves.lines}
    assert [[2.0, 0.95], [4.0, 0.985]] in lines.values()
    assert [[50.0, 0.9], [100.0, 0.94]] in lines.values()
    assert curves.get_xlabel() == "seconds of training" and curves.get_legend()


# Ctrl-C


def test_ctrl_c_ends_all_of_it_with_a_figure(chapter, interrupted, tmp_path):
    flags = ["--rungs", "3,5", "--rounds", 1, "--epochs", 3, "--output-dir", tmp_path]
    output = interrupted(chapter.main, flags, epochs=1)
    assert "The better recipe" not in output
    assert (tmp_path / f"{NAME}.png").exists()


def test_ctrl_c_while_measuring(chapter, monkeypatch, tmp_path, capsys):
    def press(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(chapter, "measure", press)
    with pytest.raises(SystemExit) as exit_:
        chapter.main(["--rungs", "4", "--output-dir", str(tmp_path)])
    assert exit_.value.code == 130
    assert "Stopped" in capsys.readouterr().err
