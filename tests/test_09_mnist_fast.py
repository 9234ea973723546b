"""Chapter 9: measuring, the same training from faster loaders, the better recipe, CUDA graphs."""

import contextlib
import itertools
import re
import sys
import time
from argparse import Namespace

import pytest
import torch
from conftest import assert_drawn, hurry, layers, needs_cuda, parameters
from torch.utils.data import DataLoader, TensorDataset

from common import data, training
from common.chapter import load
from common.cli import ROOT

NAME = "09_mnist_fast"
pytestmark = pytest.mark.usefixtures("one_thread")
FLAGS = ["--epochs", 4, "--batch-size", 50, "--device", "cpu"]
CPU = torch.device("cpu")
mnist = load(ROOT / "07_mnist_mlp.py")


@pytest.fixture(scope="module")
def ran(run, outputs):
    """With a thousand images, and parts of a few milliseconds."""
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        done = run(NAME, *FLAGS, "--output-dir", outputs)
    assert (done.status, done.err, done.warned) == (0, "", [])
    return done


def random_images(n=100):
    torch.manual_seed(0)
    return torch.randn(n, 1, 28, 28), torch.randint(10, (n,))


def fresh_model(seed=0):
    torch.manual_seed(seed)
    return mnist.MNISTModel()


def notes_parts(model):
    criterion = torch.nn.CrossEntropyLoss()
    return criterion, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)


def expected_training(model, criterion, optimizer, batches, scheduler=None):
    """The oracle: the five lines, written out."""
    for inputs, labels in batches:
        optimizer.zero_grad()
        criterion(model(inputs), labels).backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
    return parameters(model)


# The whole chapter


def test_the_notes_loop_is_the_slowest(ran):
    speeds = ran.names.speeds
    names = ["notes' loop", "whole batches", "no loader", "better recipe", "with bfloat16"]
    assert list(speeds) == names
    assert min(speeds.values()) > 0
    assert f"\nimages per second: {speeds['whole batches']} {speeds['no loader']}\n" in ran.out
    share = speeds["notes' loop"] / sorted(ran.names.alone)[1]
    assert f"\nthe loader's share of the time: {share}\n" in ran.out
    assert speeds["notes' loop"] == sorted(ran.names.trained)[1]
    estimate = 600_000 / speeds["notes' loop"]
    assert f"\nten epochs of the notes' loop, estimated: {estimate} s\n" in ran.out


def test_a_thousand_images_teach_it_something(ran):
    names = ran.names
    assert len(names.accuracies) == len(names.seconds) == 5
    assert names.accuracies[0] < 0.3 < 0.7 < names.accuracies[-1], "the first one is untrained"
    assert names.seconds[0] == 0 and names.seconds == sorted(names.seconds)
    assert f"\nseconds: {names.seconds}\n" in ran.out
    assert ran.out.endswith(f"\nAccuracy: {names.accuracies[-1]:.4f}\n")


def test_the_numbers_in_the_prose(ran):
    """The mean and the median, the formats, the schedule, the lowest loss."""
    assert "\n1. Measuring\n858.0 990.0\n" in ran.out
    assert "\nTrue True\n" in ran.out, "the batches are the same, bit for bit"
    assert "\ntensor(1.0020) tensor(1., dtype=torch.bfloat16)\n" in ran.out
    narrow, wide = torch.finfo(torch.bfloat16), torch.finfo(torch.float32)
    assert narrow.eps == 1 / 128 == 2 ** -(8 - 1) and wide.eps == 2 ** -(24 - 1)
    assert narrow.max == pytest.approx(wide.max, rel=0.01)
    target = torch.tensor([0.91] + 9 * [0.01])
    assert f"{-(target * target.log()).sum():.4f}" == "0.5003" and "\ntensor(0.5003)\n" in ran.out
    rates = ran.names.rates
    assert f"\n{rates[0]} {rates[15]} {rates[30]} {rates[65]} {rates[99]}\n" in ran.out
    assert rates[0] == pytest.approx(0.008) and max(rates) == pytest.approx(0.2)
    ready = ran.names.ready
    assert [len(labels) for _, labels in ready] == [*(15 * [64]), 40]
    assert torch.equal(torch.cat([images for images, _ in ready]), ran.names.images)
    assert "\nskipped: it needs CUDA, and the device is cpu\n" in ran.out


def test_the_rate_as_a_number_is_replaced_and_as_a_tensor_it_is_filled(ran):
    kept = re.findall(r"^kept: (\S+) now: (\S+)$", ran.out, re.MULTILINE)
    assert [float(number) for number in kept[0]] == pytest.approx([0.008, 0.104])
    assert kept[1] == ("tensor(0.1040)", "tensor(0.1040)")
    assert ran.names.rate is ran.names.optimizer.param_groups[0]["lr"] is ran.names.lr
    assert ran.names.optimizer.param_groups[0]["fused"]


def test_the_same_seed_gives_the_same_accuracies(run, monkeypatch, tmp_path, ran):
    """On the page and with --rungs 5, which needs neither torchvision nor matplotlib."""
    hurry(monkeypatch)
    monkeypatch.setitem(sys.modules, "torchvision", None)  # importing it fails
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run(NAME, "--rungs", 5, *FLAGS, "--output-dir", tmp_path)
    assert (done.status, done.err) == (0, "")
    lines = [f"Accuracy: {accuracy:.4f}" for accuracy in ran.names.accuracies]
    for epoch in (4, 3, 2, 1):
        lines.insert(epoch, f"Epoch {epoch}/4")
    assert done.out.splitlines() == lines
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_the_better_recipe_reaches_98_percent_with_each_seed(seed, chapter):
    torch.manual_seed(seed)
    args = Namespace(epochs=3, lr=0.2, batch_size=256, device=CPU)
    *_, accuracies = chapter.to_98(args)
    assert accuracies[-1] >= 0.98


@pytest.mark.slow
def test_rungs_5_in_a_process_of_its_own(run_chapter, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torchvision'] = None\n")
    done = run_chapter(NAME, "--rungs", "5", "--device", "cpu", cwd=tmp_path, startup=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout.split()[-1]) >= 0.98


def test_the_figure(ran, outputs):
    bars, curve = ran.names.fig.axes
    widths = [bar.get_width() for bar in bars.patches]
    assert widths == list(ran.names.speeds.values()) and bars.yaxis_inverted()
    assert [label.get_text() for label in bars.get_yticklabels()] == list(ran.names.speeds)
    points, limit = (line.get_xydata().tolist() for line in curve.lines)
    pairs = zip(ran.names.seconds, ran.names.accuracies, strict=True)
    assert points == [list(pair) for pair in pairs][1:]
    assert [y for _, y in limit] == [0.98, 0.98]
    assert_drawn(outputs / f"{NAME}.png")


# Measuring


def test_now_is_in_seconds_and_waits_for_the_device(chapter, monkeypatch):
    monkeypatch.setattr(chapter.time, "perf_counter", lambda: 12.5)
    assert chapter.now(CPU) == 12.5
    waited = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    chapter.now(torch.device("meta"))
    assert waited == [torch.device("meta")]


def test_throughput_is_the_median_of_five_parts_after_a_warm_up(chapter, monkeypatch):
    """A part ends with the first batch after 0.1 s: the second one here has three batches."""
    clock, calls = [0.0], []
    seconds = iter([5.0, 0.04, 0.04, 0.04, 0.11, 0.25, 0.15, 0.2])  # that each batch takes
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def step(inputs, labels):
        calls.append((inputs, labels))
        clock[0] += next(seconds)

    batches = [(torch.ones(10, 2), torch.ones(10)), (torch.zeros(10, 2), torch.zeros(10))]
    speed = chapter.throughput(batches, step, CPU)
    assert speed == pytest.approx(10 / 0.15), "the median of 250, 91, 40, 66.7 and 50"
    assert len(calls) == 8, "six parts, the first one the warm-up"
    turns = itertools.cycle(batches)
    for (inputs, labels), (x, y) in zip(calls, turns, strict=False):
        assert torch.equal(inputs, x) and torch.equal(labels, y), "epoch after epoch"


def test_throughput_moves_batches_to_the_device_and_waits_for_it(chapter, monkeypatch):
    waited, devices = [], set()
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    meta, clock = torch.device("meta"), itertools.count(0, 0.07)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    batches = [(torch.ones(3), torch.ones(3))]
    chapter.throughput(batches, lambda *batch: devices.update(one.device for one in batch), meta)
    assert devices == {meta} and len(waited) >= 2 * 6


# The notes' loop


def test_network_is_chapter_7s(chapter):
    torch.manual_seed(3)
    model = chapter.network()
    expected = fresh_model(3)
    assert torch.equal(parameters(model), parameters(expected))
    images, _ = random_images(5)
    assert torch.equal(model(images), expected(images))


def test_update_on_two_batches_by_hand(chapter):
    """Weights of 0 make p = 1/3 everywhere, so each logit's first gradient is (1/3 - y) / 2."""
    model = torch.nn.Linear(2, 3, bias=False)
    torch.nn.init.zeros_(model.weight)
    parts = model, torch.nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=6.0)
    chapter.update(*parts, torch.eye(2), torch.tensor([0, 1]))
    torch.testing.assert_close(model.weight.T, torch.tensor([[2.0, -1, -1], [-1, 2, -1]]))
    chapter.update(*parts, torch.zeros(2, 2), torch.tensor([0, 1]))
    torch.testing.assert_close(model.weight.T, torch.tensor([[2.0, -1, -1], [-1, 2, -1]]))


@pytest.mark.parametrize("bf16", [False, True])
def test_update_is_the_notes_loop(bf16, chapter):
    batches = list(DataLoader(TensorDataset(*random_images()), batch_size=64))
    model, expected = fresh_model(), fresh_model()
    formats, parts = set(), notes_parts(model)
    model.linear1.register_forward_hook(lambda layer, x, y: formats.add(y.dtype))
    for inputs, labels in batches:
        chapter.update(model, *parts, inputs, labels, bf16=bf16)
    assert formats == {torch.bfloat16 if bf16 else torch.float32}
    wanted = expected_training(expected, *notes_parts(expected), batches)
    assert torch.equal(parameters(model), wanted) != bf16, "bfloat16 rounds"
    torch.testing.assert_close(parameters(model), wanted, atol=1e-3, rtol=0)


def test_notes_loader_fetches_image_by_image(chapter, few_images):
    root = data.mnist_root()
    loader = chapter.notes_loader(root)
    assert type(loader) is DataLoader and loader.batch_size == 64 and loader.num_workers == 0
    assert not hasattr(loader.dataset, "__getitems__")
    images, labels = data.read_mnist(root, train=True)
    assert len(loader.dataset) == len(images) == 1000
    assert all(torch.equal(loader.dataset[i][0], images[i]) for i in range(50))
    torch.manual_seed(5)
    wanted = list(DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True))
    torch.manual_seed(5)
    for batch, expected in zip(loader, wanted, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(batch, expected, strict=True))


# Whole batches


def test_whole_batches_are_those_of_the_usual_loader(chapter):
    """Shuffled anew in each epoch, the last one smaller."""
    images, labels = random_images(130)
    usual = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)
    whole = chapter.whole_batches(images, labels, 64)
    torch.manual_seed(2)
    expected = [*usual, *usual]
    torch.manual_seed(2)
    found = [*whole, *whole]
    assert len(whole) == 3 and [len(y) for _, y in found] == 2 * [64, 64, 2]
    for batch, wanted in zip(found, expected, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(batch, wanted, strict=True))


def test_whole_batches_are_fetched_by_one_indexing(chapter, monkeypatch):
    asked = []
    getitem = TensorDataset.__getitem__
    monkeypatch.setattr(
        TensorDataset, "__getitem__", lambda self, i: asked.append(i) or getitem(self, i)
    )
    batches = list(chapter.whole_batches(*random_images(100), 50))
    assert len(batches) == len(asked) == 2
    assert sorted(asked[0] + asked[1]) == list(range(100))


# The better recipe


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
    assert rates[0] == pytest.approx(0.2 / 25) and max(rates) == pytest.approx(0.2)
    top = rates.index(max(rates))
    assert 10 <= top <= 50, "the rise is the shorter part"
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True) and rates[-1] < 0.0001


def test_to_98_trains_over_one_whole_cycle(chapter, monkeypatch, capsys):
    """Of ten updates: the cycle is as long as the training."""
    images, labels = random_images(300)
    test_set = images[:30], labels[:30]
    monkeypatch.setattr(chapter, "mnist_root", lambda: "root")
    both = {True: (images, labels), False: test_set}
    monkeypatch.setattr(chapter, "read_mnist", lambda root, train: both[train])
    args = Namespace(epochs=2, lr=0.1, batch_size=64, device=CPU)
    torch.manual_seed(7)
    model, seconds, accuracies = chapter.to_98(args)
    said = capsys.readouterr().out

    expected = fresh_model(7)
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 10, cycle_momentum=False)
    untrained = training.test(expected, [test_set], CPU)
    wanted = [untrained]
    for _ in range(2):
        batches = list(DataLoader(TensorDataset(images, labels), 64, shuffle=True))
        expected_training(expected, criterion, optimizer, batches, schedule)
        wanted.append(training.test(expected, [test_set], CPU))
    assert torch.equal(parameters(model), parameters(expected))
    assert accuracies == wanted and len(seconds) == 3 and seconds == sorted(seconds)
    assert "Epoch 1/2\nAccuracy: " in said and said.endswith(f"Accuracy: {wanted[-1]:.4f}\n")


# CUDA graphs


def test_captured_replays_the_step_with_each_batch_at_the_first_ones_address(chapter, monkeypatch):
    """With a stand-in for CUDA: what is captured doesn't run, and a replay runs it."""
    events, recorded = [], []

    class Stream:
        def wait_stream(self, other):
            events.append("wait")

    class Graph:
        def replay(self):
            events.append("replay")
            update(*recorded)

    @contextlib.contextmanager
    def on(kind):
        events.append(f"{kind} begins")
        yield
        events.append(f"{kind} ends")

    side, usual, graphs = Stream(), Stream(), []
    monkeypatch.setattr(torch.cuda, "Stream", lambda: side)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: usual)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: on(stream is side and "stream"))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graphs.append(Graph()) or graphs[0])
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: on(graph is graphs[0] and "graph"))

    model, expected = fresh_model(), fresh_model()
    parts = notes_parts(model)

    def update(inputs, labels):
        parts[1].zero_grad()
        parts[0](model(inputs), labels).backward()
        parts[1].step()

    def step(inputs, labels):
        events.append("step")
        if "graph begins" in events:
            recorded.extend([inputs, labels])
        else:
            update(inputs, labels)

    batches = list(DataLoader(TensorDataset(*random_images()), batch_size=50))
    kept = [tensor.clone() for tensor in batches[0]]
    replay = chapter.captured(step, *batches[0])
    warm_up = ["wait", "stream begins", "step", "step", "step", "stream ends", "wait"]
    assert events == [*warm_up, "graph begins", "step", "graph ends"]
    addresses = [tensor.data_ptr() for tensor in recorded]
    for inputs, labels in batches:
        replay(inputs, labels)
    fixed = addresses == [tensor.data_ptr() for tensor in recorded]
    assert fixed, "a graph reads one address: copy each batch to the first one's"
    assert events[-2:] == ["replay", "replay"]
    untouched = all(torch.equal(x, y) for x, y in zip(batches[0], kept, strict=True))
    assert untouched, "the first batch itself was overwritten with the others"
    assert torch.equal(recorded[0], batches[1][0]) and torch.equal(recorded[1], batches[1][1])
    wanted = expected_training(expected, *notes_parts(expected), 3 * batches[:1] + batches)
    same = torch.equal(parameters(model), wanted)
    assert same, "the parameters are not those of the same updates without a graph"


@needs_cuda
def test_a_captured_update_follows_the_schedule_where_the_rate_is_a_tensor(chapter):
    device = torch.device("cuda")
    batches = [[one.to(device) for one in random_images(50)] for _ in range(4)]
    results = []
    for graph in (False, True):
        model = fresh_model().to(device)
        rate = torch.tensor(0.1, device=device)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, fused=True)
        criterion = torch.nn.CrossEntropyLoss()
        step = chapter.partial(chapter.update, model, criterion, optimizer)
        if graph:
            step = chapter.captured(step, *batches[0])
        else:
            for _ in range(3):
                step(*batches[0])
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        for batch in batches:
            step(*batch)
            scheduler.step()
        results.append(parameters(model))
    torch.testing.assert_close(*results)


@needs_cuda
def test_the_page_on_cuda(run, monkeypatch, tmp_path):
    hurry(monkeypatch)
    done = run(NAME, *FLAGS[:-1], "cuda", "--output-dir", tmp_path)
    assert done.status == 0 and {"data on the GPU", "CUDA graph"} <= set(done.names.speeds)


# The command line


def test_a_rung_that_is_not_there(fails, tmp_path):
    message = fails(NAME, ["--rungs", "8", "--output-dir", tmp_path])
    assert "--rungs" in message and "5" in message


def test_a_training_that_diverges_is_told(fails, monkeypatch, tmp_path):
    hurry(monkeypatch)
    message = fails(NAME, ["--rungs", 5, *FLAGS, "--lr", 1e30], status=1)
    assert "diverged" in message and "lower --lr" in message


@pytest.mark.parametrize("at, epochs", [("Epoch 2/4", 1), ("Epoch 1/4", 0)])
def test_ctrl_c_keeps_what_was_learned(interrupted, monkeypatch, tmp_path, at, epochs):
    hurry(monkeypatch)
    done = interrupted(NAME, [*FLAGS, "--output-dir", tmp_path], at)
    assert (done.status, done.err) == (0, "")
    assert done.out.count("Stopped. What was learned so far is kept.\n") == 1
    assert len(done.names.accuracies) == len(done.names.seconds) == 1 + epochs
    (first, _), *_ = layers(done.names.model)
    assert not torch.equal(first, layers(fresh_model())[0][0])
    assert (tmp_path / f"{NAME}.png").exists()


def test_ctrl_c_while_measuring(run, monkeypatch, tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    hurry(monkeypatch)
    monkeypatch.setattr(time, "perf_counter", interrupt)
    done = run(NAME, *FLAGS, "--output-dir", tmp_path)
    assert done.status == 130
    assert done.err == "\nStopped.\n" and "images per second" not in done.out
