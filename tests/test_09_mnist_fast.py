"""Chapter 9: each rung trains the same network as the notes' loop, or says what it changes."""

import argparse
import contextlib
import itertools
import json
import re
import time
from types import SimpleNamespace

import pytest
import torch
from conftest import hurry, needs_cuda, parameters
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets

from common import data
from common.chapter import load
from common.cli import ROOT

NAME = "09_mnist_fast"
CPU = torch.device("cpu")
mnist = load(ROOT / "07_mnist_mlp.py")


@pytest.fixture(scope="module")
def ran(run, outputs, tmp_path_factory):
    """All rungs in this process, in a hurry, with a compiler that does nothing."""
    folder, compiled = tmp_path_factory.mktemp("numbers"), []
    flags = ["--device", "cpu", "--rounds", 3, "--epochs", 2, "--recipe-epochs", 8]
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        patch.setattr(torch.nn.Module, "compile", lambda model: compiled.append(model))
        done = run(NAME, *flags, "--output-dir", outputs, "--json", folder / "numbers.json")
    assert (done.status, done.err) == (0, "")
    done.numbers = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    done.compiled = compiled
    return done


def results(text):
    """The lines below the heading of the last section: the table's head, its rows, and more."""
    return text.split(". Results\n")[1].splitlines()


def random_images(n=100):
    torch.manual_seed(0)
    return TensorDataset(torch.randn(n, 1, 28, 28), torch.randint(10, (n,)))


def fresh_model(seed=0):
    torch.manual_seed(seed)
    return mnist.MNISTModel()


def notes_parts(model):
    criterion = torch.nn.CrossEntropyLoss()
    return criterion, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)


def expected_training(model, criterion, optimizer, batches, after_update=lambda: None):
    """The oracle: the five lines, written out."""
    for inputs, labels in batches:
        optimizer.zero_grad()
        criterion(model(inputs), labels).backward()
        optimizer.step()
        after_update()
    return parameters(model)


def assert_nearly_equal(in_16_bits, in_32_bits):
    """bfloat16 rounds, so the parameters differ, but not by much."""
    assert not torch.equal(in_16_bits, in_32_bits)
    torch.testing.assert_close(in_16_bits, in_32_bits, atol=1e-3, rtol=0)


# The whole chapter


@pytest.fixture(scope="module")
def digits(chapter):
    """MNIST, transformed."""
    both = []
    for train in (True, False):
        both.append(datasets.MNIST(data.mnist_root(), train=train, transform=chapter.TRANSFORM))
        data.keep_in_memory(both[-1])
    return SimpleNamespace(train=both[0], test=both[1])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_better_recipe_reaches_98_percent_with_each_seed(seed, chapter, digits):
    """And with seed 0 in the book."""
    rung = chapter.recipe_rung(digits.train, CPU, seed, 3)
    chapter.train_and_test(rung, DataLoader(digits.test, 1000), CPU, 3)
    assert rung.history["accuracy"][-1] >= 0.98


def test_what_the_run_says(ran):
    notes, recipe = ran.names.rungs[0], ran.names.recipe_rungs[0]
    assert "rung 6 is skipped: it needs CUDA, and the device is cpu\n" in ran.out
    assert "\n1,000 training images, 500 test images\n" in ran.out
    assert "\nthe first batches of the three loaders are equal: True\n" in ran.out
    faster = notes.history["seconds"][-1] / recipe.history["seconds"][-1]
    last = f"{recipe.speedup(notes):.1f}x the throughput, 8 epochs instead of 2: {faster:.1f}x"
    assert f"\nbetter recipe: {last} faster\n" in ran.out


def test_it_leaves_a_figure(ran, outputs):
    with Image.open(outputs / f"{NAME}.png") as image:
        assert image.width >= 1200
        assert len(set(image.convert("L").resize((100, 100)).tobytes())) > 20, "it is blank"


def test_the_machine(ran):
    machine = ran.names.machine
    assert machine["torch"] == str(torch.__version__)
    assert machine["threads"] == str(torch.get_num_threads())
    assert machine["processor"] and "gpu" not in machine
    assert f"Machine: processor {machine['processor']}, threads" in ran.out


def test_the_table(ran):
    rungs = ran.names.rungs
    head, *rows = results(ran.out)
    for rung, row in zip(rungs, rows, strict=False):
        lowest, median, highest = sorted(rung.speeds)
        ratios = [mine / its for mine, its in zip(rung.speeds, rungs[0].speeds, strict=True)]
        numbers = [f"{speed:,.0f}" for speed in (median, lowest, highest)]
        numbers = [rung.number, *numbers, f"{sorted(ratios)[1]:.1f}"]
        if rung.history:
            seconds, accuracies = rung.history["seconds"], rung.history["accuracy"]
            numbers += [f"{seconds[-1]:.1f}", f"{accuracies[-1]:.4f}"]
            assert row.endswith("  not reached") and max(accuracies) < 0.98
            assert len(row) == len(head), "the columns stand in line"
            assert row.index(numbers[6]) + 6 == head.index("accuracy") + 8
        assert re.findall(r"[\d.,]+", row.replace(rung.name, "")) == numbers
        assert row[head.index("speedup") + 6] == "x"


def test_the_rungs_that_train_to_the_end(ran):
    names = ran.names
    trained = [rung for rung in names.rungs if rung.history]
    notes, recipes = trained[:4], trained[4:]
    assert [rung.number for rung in notes] == ["1", "1", "2", "3"]
    assert all(rung.history["epoch"] == [1, 2] for rung in notes)
    assert all(rung.history["epoch"] == list(range(1, 9)) for rung in recipes)
    for rung in trained:
        seconds = [1000 * epoch / rung.speed() for epoch in rung.history["epoch"]]
        assert rung.history["seconds"] == pytest.approx(seconds)
    assert recipes[-1].history["accuracy"] == names.fresh.history["accuracy"]
    accuracy = names.fresh.history["accuracy"][-1]
    assert ran.out.endswith(f"Accuracy: {accuracy:.4f}\n")
    assert ran.out.count("/2, Accuracy: ") == 2
    assert f"\nEpoch 8/8, Accuracy: {accuracy:.4f}\n" in ran.out
    assert names.test_loader.dataset is names.test_set and len(names.test_set) == 500
    assert accuracy == mnist.test(names.fresh.model, names.test_loader, CPU) > 0.2


def test_a_training_with_bf16_only_where_it_is_faster(ran):
    plain, bf16 = ran.names.recipe_rungs
    assert plain.history and (plain.name, bf16.name) == ("better recipe", "better recipe, bf16")
    assert bool(bf16.history) == (bf16.speedup(plain) >= 1)
    assert ("slower with bf16: no training with it" in ran.out) == (not bf16.history)


def test_the_json_file(ran):
    names, written = ran.names, ran.numbers
    assert written["machine"] == names.machine
    assert [row["rung"] for row in written["rungs"]] == list("112345577")
    for row, rung in zip(written["rungs"], names.rungs, strict=True):
        assert (row["rung"], row["name"]) == (rung.number, rung.name)
        assert row["images_per_second"] == sorted(rung.speeds)[1]
        assert row["images_per_second_each_round"] == rung.speeds
        assert row["history"] == rung.history


def test_the_figure(ran):
    rungs = ran.names.rungs
    dots, curves = ran.names.fig.axes
    points = [line.get_xydata().tolist() for line in dots.lines]
    assert points == [[[sorted(rung.speeds)[1], i]] for i, rung in enumerate(rungs)]
    ranges = [lines.get_segments()[0].tolist() for lines in dots.collections]
    assert ranges == [
        [[min(rung.speeds), i], [max(rung.speeds), i]] for i, rung in enumerate(rungs)
    ]
    assert dots.get_xscale() == curves.get_xscale() == "log"
    names = [label.get_text() for label in dots.get_yticklabels()]
    assert names == [f"{rung.name}   {rung.number}" for rung in rungs]
    assert dots.yaxis_inverted(), "the first row is at the top"
    lines = [line.get_xydata().tolist() for line in curves.lines]
    for rung in rungs:
        drawn = rung.history and rung.name not in ("notes' loop, two workers", "transformed once")
        if drawn:
            values = zip(rung.history["seconds"], rung.history["accuracy"], strict=True)
            assert lines.pop(0) == [list(pair) for pair in values]
    assert lines == [[[0, 0.98], [1, 0.98]]]
    assert curves.get_xlabel() == "estimated seconds of training" and curves.get_legend()


# Measuring


def test_the_throughput_of_a_rung_is_the_median(chapter):
    rung = chapter.Rung("1", "name", [], None, None, speeds=[1.0, 100.0, 3.0])
    assert rung.speed() == 3.0


def test_the_speedup_is_the_median_of_the_rounds_ratios(chapter):
    """A busy moment that hits both doesn't count: the ratio of the medians would be 5 / 4."""
    fast = chapter.Rung("2", "name", [], None, None, speeds=[5.0, 1.0, 100.0])
    slow = chapter.Rung("1", "name", [], None, None, speeds=[4.0, 0.5, 50.0])
    assert fast.speedup(slow) == 2


def test_now_is_in_seconds_and_waits_for_the_device(chapter, monkeypatch):
    monkeypatch.setattr(chapter.time, "perf_counter", lambda: 12.5)
    assert chapter.now(CPU) == 12.5
    waited = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    chapter.now(torch.device("meta"))
    assert waited == [torch.device("meta")]


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
    n = len(list(chapter.part_of(batches, 1.0, sizes)))
    assert n == 5, f"of batches of 0.25 s, {n} come within 1 s; expected are 5, the last one late"
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


def test_climb_measures_a_rung_that_was_chosen(chapter, capsys):
    model = fresh_model()
    before, batches = parameters(model), list(DataLoader(random_images(), batch_size=50))

    def train(some):
        chapter.train(model, *notes_parts(model), some, CPU)

    rungs = ["another"]
    chapter.climb(chapter.Rung("4", "mine", batches, model, train), rungs, ["1", "5"], CPU)
    assert (rungs, capsys.readouterr().out) == (["another"], "mine: not in --rungs\n")
    assert torch.equal(parameters(model), before)
    chapter.climb(chapter.Rung("5", "mine", batches, model, train), rungs, ["1", "5"], CPU)
    assert rungs[0] == "another" and [rung.name for rung in rungs[1:]] == ["mine"]
    assert rungs[1].speeds == [], "that measurement is not one of the rounds"
    assert not torch.equal(parameters(model), before)
    said = capsys.readouterr().out
    assert re.fullmatch(r"mine: [\d,]+ images/s in a first, short measurement\n", said)


# Rungs 1 to 4: the same training


@pytest.mark.parametrize("scheduled", [False, True])
def test_train_on_two_batches(scheduled, chapter):
    """Weights of 0 make p = 1/3 everywhere, so each logit's first gradient is (1/3 - y) / 2."""
    batches = 2 * [[torch.eye(2), torch.tensor([0, 1])]]
    models = [torch.nn.Linear(2, 3, bias=False) for _ in range(2)]
    for model in models:
        torch.nn.init.zeros_(model.weight)
        model.eval()
    model, expected = models
    optimizers = [torch.optim.SGD(model.parameters(), lr=6.0) for model in models]
    schedulers = [torch.optim.lr_scheduler.StepLR(one, 1, gamma=0.5) for one in optimizers]
    criterion = torch.nn.CrossEntropyLoss()
    given = [schedulers[0]] if scheduled else []
    chapter.train(model, criterion, optimizers[0], batches[:1], CPU, *given)
    torch.testing.assert_close(model.weight.T, torch.tensor([[2.0, -1, -1], [-1, 2, -1]]))
    assert model.training
    chapter.train(model, criterion, optimizers[0], batches, CPU, *given)
    after_update = schedulers[1].step if scheduled else lambda: None
    wanted = expected_training(
        expected, criterion, optimizers[1], batches[:1] + batches, after_update
    )
    torch.testing.assert_close(parameters(model), wanted)


def test_train_is_the_notes_loop(chapter):
    batches = list(DataLoader(random_images(), batch_size=64))
    model, expected = fresh_model(), fresh_model()
    chapter.train(model, *notes_parts(model), batches, CPU)
    wanted = expected_training(expected, *notes_parts(expected), batches)
    assert torch.equal(parameters(model), wanted)


def test_train_with_bf16_is_the_notes_loop_in_16_bits(chapter):
    batches = list(DataLoader(random_images(), batch_size=64))
    model, expected = fresh_model(), fresh_model()
    formats = []
    model.linear1.register_forward_hook(lambda layer, x, y: formats.append(y.dtype))
    chapter.train(model, *notes_parts(model), batches, CPU, bf16=True)
    assert formats == len(batches) * [torch.bfloat16]
    wanted = expected_training(expected, *notes_parts(expected), batches)
    assert_nearly_equal(parameters(model), wanted)


@pytest.mark.parametrize("bf16", [False, True])
def test_train_with_a_scheduler_changes_the_rate_after_each_update(bf16, chapter):
    batches = list(DataLoader(random_images(), batch_size=50))
    result = []
    for ours in (True, False):
        model = fresh_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, 0.04, total_iters=3)
        criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
        if ours:
            chapter.train(model, criterion, optimizer, batches, CPU, scheduler, bf16)
        else:
            expected_training(model, criterion, optimizer, batches, scheduler.step)
        result.append(parameters(model))
        assert scheduler.last_epoch == len(batches)
    if bf16:
        assert_nearly_equal(*result)
    else:
        assert torch.equal(*result)


def test_notes_recipe_is_the_notes(chapter):
    model = torch.nn.Linear(1, 1)
    criterion, optimizer = chapter.notes_recipe(model)
    assert type(criterion) is torch.nn.CrossEntropyLoss and criterion.label_smoothing == 0
    assert type(optimizer) is torch.optim.SGD
    assert optimizer.param_groups[0]["params"] == list(model.parameters())
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]) == (0.01, 0.5)


@pytest.mark.parametrize("bf16", [False, True])
def test_notes_rung_trains_its_network_with_the_notes_recipe(bf16, chapter):
    batches = list(DataLoader(random_images(), batch_size=64))
    rung = chapter.notes_rung("3", "name", ["its loader"], CPU, 4, bf16)
    assert (rung.number, rung.name, rung.loader) == ("3", "name", ["its loader"])
    expected = fresh_model(4)
    assert torch.equal(parameters(rung.model), parameters(expected))
    rung.train(batches[:1])
    rung.train(batches[1:])  # goes on: the optimizer keeps its velocity
    wanted = expected_training(expected, *notes_parts(expected), batches)
    if bf16:
        assert_nearly_equal(parameters(rung.model), wanted)
    else:
        same = torch.equal(parameters(rung.model), wanted)
        assert same, "the parameters are not those of the notes' recipe over both batches"


def test_the_loader_of_each_rung(ran):
    names = ran.names
    loaders = {rung.name: rung.loader for rung in names.rungs}
    for name, loader in {
        "notes' loop": names.notes_loader,
        "notes' loop, two workers": names.with_workers,
        "transformed once": names.transformed_loader,
        "whole batches": names.whole_loader,
        "no loader (upper bound)": names.batches,
        "whole batches, bf16": names.whole_loader,
        "whole batches, compiled": names.whole_loader,
    }.items():
        assert loaders[name] is loader
    for loader, workers in [(names.notes_loader, 0), (names.with_workers, 2)]:
        assert type(loader) is DataLoader and loader.dataset is names.train_set
        assert (loader.batch_size, loader.num_workers) == (64, workers)
        assert not hasattr(loader.dataset, "__getitems__"), "the notes fetch image by image"
    for loader, dataset, batch_size in [
        (names.transformed_loader, names.transformed, 64),
        (names.whole_loader, names.in_memory, 64),
        *[(rung.loader, names.in_memory, 256) for rung in names.recipe_rungs],
    ]:
        assert type(loader) is DataLoader and loader.dataset is dataset
        assert loader.batch_size == batch_size
    assert not hasattr(names.transformed, "__getitems__"), "one by one, too"
    assert hasattr(names.in_memory, "__getitems__"), "it is asked for whole batches"


def test_rungs_1_to_3_train_on_the_same_batches(ran):
    """A whole epoch, bit for bit."""
    names = ran.names
    torch.manual_seed(1)
    expected = list(DataLoader(names.train_set, batch_size=64, shuffle=True))
    loaders = names.notes_loader, names.with_workers, names.transformed_loader, names.whole_loader
    for loader in loaders:
        torch.manual_seed(1)
        for batch, wanted in zip(loader, expected, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(batch, wanted, strict=True))


def test_the_images_are_normalized_as_in_chapter_7(ran):
    images, labels = ran.names.transformed.tensors
    train_set = ran.names.train_set
    expected = (train_set.data[:, None] / 255 - 0.1307) / 0.3081
    torch.testing.assert_close(images, expected)
    assert torch.equal(labels, train_set.targets)


def test_the_batches_of_rung_4_hold_all_images_once_in_their_order(ran):
    batches = ran.names.batches
    assert [len(labels) for _, labels in batches] == [*(15 * [64]), 40]
    for column, tensor in enumerate(ran.names.transformed.tensors):
        assert torch.equal(torch.cat([batch[column] for batch in batches]), tensor)


# Rung 5


def test_better_recipe_is_a_one_cycle_schedule_with_label_smoothing(chapter):
    model = torch.nn.Linear(1, 1)
    criterion, optimizer, scheduler = chapter.better_recipe(model, lr=0.2, updates=100)
    assert type(criterion) is torch.nn.CrossEntropyLoss and criterion.label_smoothing == 0.1
    assert type(optimizer) is torch.optim.SGD
    assert optimizer.param_groups[0]["params"] == list(model.parameters())
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        momentum = optimizer.param_groups[0]["momentum"]
        assert momentum == 0.9, f"the momentum is {momentum}; expected is 0.9 all the time"
        optimizer.step()
        scheduler.step()
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.2)
    assert 10 <= top <= 50, "the rise is the shorter part"
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[0] < 0.02 and rates[-1] < 0.0001


def test_the_run_shows_the_schedule(ran):
    rates = ran.names.rates
    assert len(rates) == 100 and max(rates) == pytest.approx(0.2)
    shown = ran.out.split("learning rate after 0, 15, 30, 65 and 99 % of the updates: ")[1]
    assert shown.startswith(", ".join(f"{rates[i]:.4f}" for i in (0, 15, 30, 65, 99)) + "\n")


@pytest.mark.parametrize("bf16", [False, True])
def test_recipe_rung_trains_over_one_whole_cycle(bf16, chapter):
    rung = chapter.recipe_rung(random_images(300), CPU, seed=5, epochs=1, bf16=bf16)
    assert (rung.number, rung.name) == ("5", "better recipe" + bf16 * ", bf16")
    assert torch.equal(parameters(rung.model), parameters(fresh_model(5)))
    assert [len(labels) for _, labels in rung.loader] == [256, 44]
    formats = set()
    rung.model.linear1.register_forward_hook(lambda layer, x, y: formats.add(y.dtype))
    rung.train(rung.loader)
    assert formats == {torch.bfloat16 if bf16 else torch.float32}
    assert not torch.equal(parameters(rung.model), parameters(fresh_model(5)))
    with pytest.raises(ValueError, match="total steps is 2"):
        rung.train(rung.loader)


# Rung 6


def without_gpu(step):
    """What `capture` does, without a GPU: replaying the step is calling it again."""
    return step


def test_capture_warms_up_and_captures_on_one_stream(chapter, monkeypatch):
    """With a stand-in for CUDA: three calls on a stream of its own, then one that is captured."""
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
    replay = chapter.capture(lambda: events.append("step"))
    warm_up = ["wait", "stream begins", "step", "step", "step", "stream ends", "wait"]
    assert events == [*warm_up, "graph begins", "step", "graph ends"]
    replay()
    assert events[-1] == "replay"


def test_captured_train_replays_the_step_for_each_batch(chapter):
    batches = list(DataLoader(random_images(), batch_size=50))
    model, expected = fresh_model(), fresh_model()
    kept = [tensor.clone() for tensor in batches[0]]
    addresses = set()
    model.register_forward_pre_hook(lambda model, given: addresses.add(given[0].data_ptr()))
    loop = chapter.captured_train(model, *notes_parts(model), batches[0], False, without_gpu)
    loop(batches)
    untouched = all(torch.equal(x, y) for x, y in zip(batches[0], kept, strict=True))
    assert untouched, "the first batch itself was overwritten with the others"
    assert len(addresses) == 1, "a graph reads one address: copy each batch to the first one's"
    wanted = expected_training(expected, *notes_parts(expected), batches)
    same = torch.equal(parameters(model), wanted)
    assert same, "the parameters are not those of the same updates without a graph"


def test_captured_train_in_bf16(chapter):
    batches = list(DataLoader(random_images(), batch_size=100))
    results = []
    for bf16 in (True, False):
        model = fresh_model()
        chapter.captured_train(model, *notes_parts(model), batches[0], bf16, without_gpu)(batches)
        results.append(parameters(model))
    assert_nearly_equal(*results)


def test_gpu_rungs_without_a_gpu(chapter):
    rungs = chapter.gpu_rungs(random_images(), CPU, seed=0, capture=without_gpu)
    assert [rung.number for rung in rungs] == ["6", "6", "6"]
    assert len({rung.name for rung in rungs}) == 3
    batches = list(itertools.islice(rungs[0].loader, 3))
    assert [len(labels) for _, labels in batches] == 3 * [64], "a graph has one batch size"
    for rung in rungs:
        rung.model.load_state_dict(fresh_model().state_dict())
        rung.train(batches)
    plain, graph, bf16 = (parameters(rung.model) for rung in rungs)
    assert torch.equal(plain, graph)
    assert_nearly_equal(bf16, graph)


def test_batches_on_device_are_whole_and_shuffled(chapter):
    """Labels that number the images: 130 make two batches in each epoch, and two are left over."""
    images = torch.arange(130.0).view(130, 1, 1, 1).expand(130, 1, 28, 28)
    batches = chapter.batches_on_device(TensorDataset(images, torch.arange(130)), CPU)
    epochs = []
    for _ in range(2):
        epochs.append([])
        for batch, labels in itertools.islice(batches, 2):
            assert batch.shape == (64, 1, 28, 28)
            assert torch.equal(batch[:, 0, 0, 0], labels.float())
            epochs[-1] += labels.tolist()
        assert len(set(epochs[-1])) == 128, "no image comes twice in an epoch"
    assert epochs[0] != epochs[1] != sorted(epochs[1]), "the images come in another order each time"


def test_batches_on_device_are_born_there(chapter):
    batches = chapter.batches_on_device(random_images(), torch.device("meta"))
    assert [tensor.device.type for tensor in next(batches)] == ["meta", "meta"]


@needs_cuda
def test_a_captured_step_learns_what_the_loop_learns(chapter):
    device = torch.device("cuda")
    batches = [[tensor.to(device) for tensor in batch] for batch in DataLoader(random_images(), 50)]
    results = []
    for capture in (chapter.capture, lambda step: [step() for _ in range(3)] and step):
        model = fresh_model().to(device)
        loop = chapter.captured_train(model, *notes_parts(model), batches[0], False, capture)
        loop(batches)
        results.append(parameters(model))
    torch.testing.assert_close(*results)


@needs_cuda
def test_rung_6_on_cuda(run, tmp_path):
    flags = ["--rungs", "3,6", "--rounds", 2, "--epochs", 1, "--output-dir", tmp_path]
    done = run(NAME, *flags)
    assert done.status == 0
    assert [rung.number for rung in done.names.rungs] == ["3", "6", "6", "6"]
    assert "gpu" in done.names.machine


# Rung 7


def test_the_compiled_rung(ran):
    """The compiler itself takes too long for a test: this one compiles nothing."""
    bf16, compiled = ran.names.rungs[-2:]
    assert (bf16.number, compiled.number) == ("7", "7")
    assert ran.compiled == [compiled.model] and "torch.compile took" in ran.out
    assert not torch.equal(parameters(compiled.model), parameters(fresh_model()))


def test_without_a_compiler_that_rung_is_left_out(run, monkeypatch, quick_figures, tmp_path):
    """Rung 7 alone is timed in three rounds, and trains nothing to the end."""

    def compile(model):
        model.forward = lambda x: (_ for _ in ()).throw(RuntimeError("no C++ compiler\nmore"))

    hurry(monkeypatch)
    monkeypatch.setattr(torch.nn.Module, "compile", compile)
    done = run(NAME, "--rungs", "7", "--device", "cpu", "--output-dir", tmp_path)
    assert done.status == 0
    assert "left out: no C++ compiler\n" in done.out
    (bf16,) = done.names.rungs
    assert (bf16.number, bf16.name, len(bf16.speeds)) == ("7", "whole batches, bf16", 3)
    formats = set()
    bf16.model.linear1.register_forward_hook(lambda layer, x, y: formats.add(y.dtype))
    bf16.train([done.names.transformed[:64]])
    assert formats == {torch.bfloat16}
    assert "only rungs 1, 2, 3 and 5 train to the end" in done.out and "Accuracy" not in done.out


# Throughput is not yet time


def test_accuracy_of_is_chapter_7s_test_without_a_word(chapter, capsys):
    """Also where the last batch is smaller."""
    loader = DataLoader(random_images(250), batch_size=100)
    model = fresh_model().train()
    accuracy = chapter.accuracy_of(model, loader, CPU)
    assert capsys.readouterr().out == "" and not model.training
    assert accuracy == mnist.test(model, loader, CPU)
    images, labels = loader.dataset.tensors
    assert accuracy == (model(images).argmax(dim=1) == labels).sum().item() / 250


def test_accuracy_of_two_batches(chapter):
    """The logits are the inputs: right are the first, the second and the fourth."""
    batches = [[torch.eye(3), torch.tensor([0, 1, 1])], [torch.eye(3)[:1], torch.tensor([0])]]
    assert chapter.accuracy_of(torch.nn.Identity(), batches, CPU) == 3 / 4


def test_train_and_test_goes_through_all_batches_and_tests_after_each_epoch(chapter, capsys):
    class Model(torch.nn.Module):
        """Right on the images whose number is below that of the batches trained on."""

        trained = ()

        def learn(self, batches):
            self.trained = [*self.trained, *batches]

        def forward(self, images):
            is_right = images < len(self.trained)
            return torch.stack([is_right, ~is_right], dim=1).float()

    model = Model()
    test_loader = [[torch.arange(10.0), torch.zeros(10, dtype=torch.int64)]]
    rung = chapter.Rung("1", "name", ["a", "b", "c"], model, model.learn)
    chapter.train_and_test(rung, test_loader, CPU, 2)
    assert model.trained == ["a", "b", "c", "a", "b", "c"]
    assert rung.history == {"epoch": [1, 2], "accuracy": [0.3, 0.6]}
    said = capsys.readouterr().out
    assert said == "Epoch 1/2, Accuracy: 0.3000\nEpoch 2/2, Accuracy: 0.6000\n"


def test_ctrl_c_leaves_the_history_of_whole_epochs(chapter):
    def learn(batches):
        if rung.history:
            raise KeyboardInterrupt

    rung = chapter.Rung("1", "name", [], fresh_model(), learn)
    with pytest.raises(KeyboardInterrupt):
        chapter.train_and_test(rung, DataLoader(random_images(), 100), CPU, 3)
    assert [len(values) for values in rung.history.values()] == [1, 1]


def test_estimated_seconds_are_images_divided_by_throughput(chapter):
    history = {"epoch": [1, 2.5], "accuracy": [0.8, 0.9]}
    timed = chapter.estimated(history, speed=20.0, images=100)
    assert timed == history | {"seconds": [5, 12.5]}
    assert "seconds" not in history


def test_seconds_to_is_when_the_accuracy_is_first_reached(chapter):
    history = {"seconds": [2.0, 4.0, 6.0, 8.0], "accuracy": [0.9, 0.98, 0.97, 0.99]}
    assert chapter.seconds_to(history, 0.98) == 4
    assert chapter.seconds_to(history, 0.985) == 8
    assert chapter.seconds_to(history, 0.995) is None


# The command line


def test_rung_numbers(chapter):
    assert chapter.rung_numbers("5, 1,3") == ["5", "1", "3"]
    with pytest.raises(argparse.ArgumentTypeError):
        chapter.rung_numbers("1,8")


@pytest.mark.parametrize("wrong", ["8", "one", "", "1;2"])
def test_a_rung_that_is_not_there(wrong, fails, tmp_path):
    message = fails(NAME, ["--rungs", wrong, "--output-dir", tmp_path])
    assert "numbers from 1 to 7" in message and repr(wrong) in message


def test_a_json_file_in_no_folder(fails, tmp_path):
    missing = tmp_path / "missing"
    message = fails(NAME, ["--json", missing / "a.json", "--output-dir", tmp_path])
    assert str(missing) in message and "--json" in message


def test_a_ladder_without_rungs(fails, monkeypatch, tmp_path):
    hurry(monkeypatch)
    message = fails(NAME, ["--rungs", "6", "--device", "cpu", "--output-dir", tmp_path])
    assert "--rungs" in message


# Ctrl-C


@pytest.mark.parametrize("at, epochs", [("Epoch 1/3", [1]), ("the notes' recipe:", [])], ids=str)
def test_ctrl_c_ends_all_of_it_with_a_figure(interrupted, monkeypatch, tmp_path, at, epochs):
    hurry(monkeypatch)
    flags = ["--rungs", "3,5", "--rounds", 1, "--epochs", 3, "--device", "cpu"]
    done = interrupted(NAME, [*flags, "--output-dir", tmp_path], at)
    assert (done.status, done.err) == (0, "")
    assert done.out.count("Stopped. What was learned so far is kept.\n") == 1
    assert "the better recipe:" not in done.out and "only rungs" not in done.out
    assert [rung.history.get("epoch", []) for rung in done.names.rungs] == [epochs, [], []]
    if epochs:  # what was learned in them is in the network
        accuracy = mnist.test(done.names.fresh.model, done.names.test_loader, CPU)
        assert done.names.rungs[0].history["accuracy"] == [accuracy]
        assert done.out.endswith(f"\nAccuracy: {accuracy:.4f}\n")
    assert (tmp_path / f"{NAME}.png").exists()


def test_ctrl_c_while_measuring(run, monkeypatch, tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    hurry(monkeypatch)
    monkeypatch.setattr(time, "perf_counter", interrupt)
    done = run(NAME, "--rungs", "4", "--output-dir", tmp_path)
    assert done.status == 130
    assert done.err == "\nStopped.\n" and "images/s" not in done.out
