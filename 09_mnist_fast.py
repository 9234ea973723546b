# %% [markdown]
"""# Chapter 9 · Training faster · 多分类问题 (beyond the notes)

Where does the time of chapter 7 go, what makes training faster and by how much, and how do you
measure that on a computer that also does other things? This chapter is a ladder: the same network,
the same images, and from rung to rung one change (rung 5 changes the whole recipe).

    python 09_mnist_fast.py             climb the ladder
    python 09_mnist_fast.py --rungs 5   only this one: from nothing to 98 %
    python 09_mnist_fast.py --rungs 1,3,5 --json numbers.json

The last lines of a run:

    Figure:     outputs/09_mnist_fast.png
    Accuracy: 0.98…
"""

# %%
import argparse
from pathlib import Path

from common import chapter, cli, plotting

RUNGS = {
    "1": "notes' loop",
    "2": "transformed once",
    "3": "whole batches",
    "4": "no loader (upper bound)",
    "5": "better recipe",
    "6": "on a CUDA GPU",
    "7": "what hardly helps",
}


def rung_numbers(text: str) -> list[str]:
    """The rungs that "1,3,5" picks, for argparse."""
    picked = [number.strip() for number in text.split(",")]
    if not set(picked) <= set(RUNGS):
        expected = f"expected numbers from 1 to {len(RUNGS)}, separated by commas"
        raise argparse.ArgumentTypeError(f"{expected}, got {text!r}")
    return picked


parser = cli.parser(__doc__, epochs=10, device="auto")
what = "the rungs to climb (default: %(default)s)"
parser.add_argument("--rungs", type=rung_numbers, default=",".join(RUNGS), help=what)
what = "how often each rung is timed (default: 9, and 3 for one alone)"
parser.add_argument("--rounds", type=cli.positive_int, help=what)
what = "epochs of the better recipe; --epochs counts those of the notes' (default: %(default)s)"
parser.add_argument("--recipe-epochs", type=cli.positive_int, default=3, help=what)
parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to this file")
args = chapter.begin(parser)
if args.json and not args.json.parent.is_dir():
    raise cli.UserError(f"--json: there is no folder {args.json.parent}. Make it first.")

# %%
import itertools
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
import torchvision
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import transforms
from tqdm import tqdm

from common.data import keep_in_memory, mnist_root

MLP = chapter.load(cli.ROOT / "07_mnist_mlp.py")  # chapter 7's functions and classes
TRANSFORM = transforms.Compose([
    transforms.ToTensor(),
    transforms.Normalize((0.1307,), (0.3081,)),
])

# %% [markdown]
# ## Measuring throughput
#
# **Throughput** is the number of images per second that go through training. A computer is never
# idle, so one measurement says little. Here the rungs take turns, each for half a second per round,
# so that a busy moment hits them all alike; the **median** of the rounds counts, and the
# **speedup** is the median of the rounds' ratios. An untimed **warm-up** comes before every part:
# it fills the caches, and uses up the batches that workers have fetched in advance. A GPU works
# **asynchronously**: the clock is read only after `synchronize` has waited for it.

# %%
SECONDS_PER_PART = 0.5  # for which each rung is timed, in each round


@dataclass
class Rung:
    """A row of the table. `train` takes batches of `loader`, and updates `model` with each."""

    number: str
    name: str
    loader: Iterable
    model: torch.nn.Module
    train: Callable[[Iterable], None]
    speeds: list[float] = field(default_factory=list)  # images per second, one for each round
    history: dict = field(default_factory=dict)  # of a whole training, where there was one

    def speed(self) -> float:
        """Throughput in images per second: the median of the rounds."""
        return statistics.median(self.speeds)

    def speedup(self, other: "Rung") -> float:
        """How many times the other's throughput it has: the median of the rounds' ratios."""
        return statistics.median(
            mine / its for mine, its in zip(self.speeds, other.speeds, strict=True)
        )


def now(device: torch.device) -> float:
    """The time in seconds, once the device has done all it was asked for."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()


def part_of(batches: Iterable, seconds: float, sizes: list[int]) -> Iterator:
    """The next batches, until the time is up; the number of images of each goes into `sizes`."""
    end = time.perf_counter() + seconds
    for inputs, labels in batches:
        sizes.append(len(labels))
        yield inputs, labels
        if time.perf_counter() > end:
            break


def measure(rungs: list[Rung], device: torch.device, rounds: int, seconds: float) -> None:
    """Add to each rung's `speeds` one per round, from a part of an epoch of so many seconds."""
    batches = [itertools.chain.from_iterable(itertools.repeat(rung.loader)) for rung in rungs]
    turns = rounds * list(zip(rungs, batches, strict=True))
    for rung, more in tqdm(turns, unit=" parts", leave=False, disable=None):
        rung.train(part_of(more, seconds / 5, []))
        sizes = []
        start = now(device)
        rung.train(part_of(more, seconds, sizes))
        rung.speeds.append(sum(sizes) / (now(device) - start))


def climb(rung: Rung, rungs: list[Rung], chosen: list[str], device: torch.device) -> None:
    """Add the rung to the others if its number was chosen, and measure it once, briefly."""
    if rung.number in chosen:
        rungs.append(rung)
        measure([rung], device, rounds=1, seconds=SECONDS_PER_PART / 2)
        print(f"{rung.name}: {rung.speeds.pop():,.0f} images/s in a first, short measurement")
    else:
        print(f"{rung.name}: not in --rungs")


device = args.device
if device.type == "cuda":
    torch.cuda.set_device(device.index or 0)  # where CUDA graphs are captured
machine = {
    "processor": platform.processor() or platform.machine(),
    "threads": str(torch.get_num_threads()),
    "system": platform.system(),
    "torch": str(torch.__version__),
}
if hasattr(torch.cpu, "get_capabilities"):  # not in every torch that will do
    capabilities = torch.cpu.get_capabilities()
    machine["processor"] = capabilities.get("cpu_name", machine["processor"])
if device.type == "cuda":
    machine["gpu"] = torch.cuda.get_device_name()
print(f"Machine: {', '.join(f'{name} {value}' for name, value in machine.items())}")
root = mnist_root()
train_set = torchvision.datasets.MNIST(root=root, train=True, transform=TRANSFORM)
test_set = torchvision.datasets.MNIST(root=root, train=False, transform=TRANSFORM)
keep_in_memory(test_set)
test_loader = DataLoader(test_set, batch_size=1000)
print(f"{len(train_set):,} training images, {len(test_set):,} test images")

# %% [markdown]
# ## Rung 1: the notes' loop · 训练过程
#
# Batches of 64 from torch's `DataLoader`, learning rate 0.01, momentum 0.5: the **baseline** that
# all others are compared with. For each image, `MNIST` wraps the pixels as a PIL image, and the
# transforms turn it back into a tensor, in every epoch. Worker processes can do that in parallel,
# if there are idle cores; on two cores they compete with the training itself.


# %%
def train(
    model: torch.nn.Module,
    criterion: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    train_loader: Iterable,
    device: torch.device,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    bf16: bool = False,
) -> None:
    """An update for each of the loader's batches; rungs 5 and 7 use the last two arguments."""
    model.train()
    for i, data in enumerate(train_loader):
        inputs, labels = data
        inputs, labels = inputs.to(device), labels.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            y_pred = model(inputs)
            loss = criterion(y_pred, labels)

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()


def notes_recipe(model: torch.nn.Module) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """The notes' criterion and optimizer: cross-entropy, and SGD with momentum."""
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    return criterion, optimizer


def notes_rung(
    number: str, name: str, loader: Iterable, device: torch.device, seed: int, bf16: bool = False
) -> Rung:
    """The notes' recipe on the loader's batches, from the network that belongs to the seed."""
    torch.manual_seed(seed)
    model = MLP.MNISTModel().to(device)
    parts = model, *notes_recipe(model)
    return Rung(
        number, name, loader, model, lambda batches: train(*parts, batches, device, bf16=bf16)
    )


rungs = []
notes_loader = DataLoader(train_set, batch_size=64, shuffle=True)
rung = notes_rung("1", RUNGS["1"], notes_loader, device, args.seed)
climb(rung, rungs, args.rungs, device)
with_workers = DataLoader(train_set, batch_size=64, shuffle=True, num_workers=2)
rung = notes_rung("1", "notes' loop, two workers", with_workers, device, args.seed)
climb(rung, rungs, args.rungs, device)

# %% [markdown]
# ## Rung 2: transform once
#
# The images never change, so one transformation before training is enough. The loader still fetches
# them one by one and stacks 64 of them into a batch.

# %%
in_memory = torchvision.datasets.MNIST(root=root, train=True, transform=TRANSFORM)
keep_in_memory(in_memory)  # as in chapter 7
images, labels = next(iter(DataLoader(in_memory, batch_size=len(in_memory))))  # all, in one batch
transformed = TensorDataset(images, labels)
transformed_loader = DataLoader(transformed, batch_size=64, shuffle=True)
rung = notes_rung("2", RUNGS["2"], transformed_loader, device, args.seed)
climb(rung, rungs, args.rungs, device)

# %% [markdown]
# ## Rung 3: whole batches
#
# Chapter 7's loader: 64 random indices, one indexing operation, one batch. Under the same seed the
# loaders of rungs 1 to 3 give the same batches, bit for bit, so these rungs learn exactly the same.

# %%
whole_loader = DataLoader(in_memory, batch_size=64, shuffle=True)
rung = notes_rung("3", RUNGS["3"], whole_loader, device, args.seed)
climb(rung, rungs, args.rungs, device)
first_batches = []
for loader in (notes_loader, transformed_loader, whole_loader):
    torch.manual_seed(args.seed)
    first_batches.append(next(iter(loader))[0])  # (64, 1, 28, 28)
equal = all(torch.equal(first_batches[0], first) for first in first_batches)
print(f"the first batches of the three loaders are equal: {equal}")

# %% [markdown]
# ## Rung 4: no loader
#
# Batches that lie ready in memory: no loader can be faster, so this is the **upper bound** for this
# loop. It is not how one should train, since the batches are the same in every epoch. What still
# takes time is the network itself: a faster loader could not save any of that.

# %%
batches = list(zip(images.split(64), labels.split(64), strict=True))
rung = notes_rung("4", RUNGS["4"], batches, device, args.seed)
climb(rung, rungs, args.rungs, device)

# %% [markdown]
# ## Rung 5: a better recipe
#
# This rung changes the training itself, in four things at once; rungs 6 and 7 return to the notes'
# recipe. **Batches of 256** raise the throughput, as fewer updates are made per epoch. **Momentum
# 0.9** and a **one-cycle schedule**, which raises the learning rate to 0.2 and lowers it to nearly
# 0, make each update go further; the small steps at the start keep the untrained network stable,
# those at the end let it settle in a minimum. **Label smoothing** sets the target to 91 % for the
# true class and 1 % for each other, so that no logit has to grow without limit. A second row adds
# **mixed precision** (bfloat16 autocast), which multiplies matrices in 16 bits: faster on
# processors that can, once the batches are large. Source: Leslie N. Smith,
# "Super-convergence", https://arxiv.org/abs/1708.07120


# %%
def better_recipe(
    model: torch.nn.Module, lr: float, updates: int
) -> tuple[torch.nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Label smoothing, momentum 0.9, and a one-cycle schedule up to `lr` over so many updates."""
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=updates, cycle_momentum=False
    )
    return criterion, optimizer, scheduler


def recipe_rung(
    dataset: Dataset, device: torch.device, seed: int, epochs: int, bf16: bool = False
) -> Rung:
    """Batches of 256, and one cycle of the learning rate over so many epochs."""
    torch.manual_seed(seed)
    model = MLP.MNISTModel().to(device)
    loader = DataLoader(dataset, batch_size=256, shuffle=True)
    criterion, optimizer, scheduler = better_recipe(model, lr=0.2, updates=epochs * len(loader))
    name = RUNGS["5"] + (", bf16" if bf16 else "")

    def train_on(batches: Iterable) -> None:
        train(model, criterion, optimizer, batches, device, scheduler, bf16)

    return Rung("5", name, loader, model, train_on)


rung = recipe_rung(in_memory, device, args.seed, epochs=1000)  # longer than any timing
climb(rung, rungs, args.rungs, device)
if device.type in ("cpu", "cuda"):
    rung = recipe_rung(in_memory, device, args.seed, epochs=1000, bf16=True)
    climb(rung, rungs, args.rungs, device)
model = MLP.MNISTModel()
_, optimizer, scheduler = better_recipe(model, lr=0.2, updates=100)
rates = []
for _ in range(100):
    rates.append(optimizer.param_groups[0]["lr"])
    optimizer.step()
    scheduler.step()
shown = ", ".join(f"{rates[i]:.4f}" for i in (0, 15, 30, 65, 99))
print(f"learning rate after 0, 15, 30, 65 and 99 % of the updates: {shown}")

# %% [markdown]
# ## Rung 6: on a CUDA GPU · cuda的使用
#
# A network this small is done before Python has asked the GPU for the next operation, so the GPU
# mostly waits. Two things help: the data lies on the GPU, and a **CUDA graph** is **captured**,
# that is, all operations of a training step are recorded once and then **replayed** by a single
# call. A graph works on fixed addresses, so each batch is copied to where the first one was, and it
# has a fixed batch size. Source: "CUDA Graphs",
# https://docs.pytorch.org/docs/stable/notes/cuda.html


# %%
def capture(step: Callable[[], None]) -> Callable[[], None]:
    """Capture a step as a CUDA graph; returns the function that replays it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # in their first calls, libraries do what can't be captured
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step()
    return graph.replay


def captured_train(
    model: torch.nn.Module,
    criterion: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    first_batch: list[torch.Tensor],
    bf16: bool,
    capture: Callable = capture,
) -> Callable[[Iterable], None]:
    """Capture a training step; returns a loop that replays it for each batch on the GPU.

    Without a GPU, tests give another `capture`.
    """
    inputs, labels = (tensor.clone() for tensor in first_batch)  # (B, 1, 28, 28), (B,)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=bf16):
            loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()

    replay = capture(step)

    def loop(train_loader: Iterable) -> None:
        for data in train_loader:
            inputs.copy_(data[0])
            labels.copy_(data[1])
            replay()

    return loop


def batches_on_device(dataset: TensorDataset, device: torch.device) -> Iterator:
    """Shuffled batches of 64 on the device, epoch after epoch without end, none of them smaller."""
    images, labels = (tensor.to(device) for tensor in dataset.tensors)
    while True:
        order = torch.randperm(len(labels), device=device)  # drawn there, too
        for indices in order[: len(order) // 64 * 64].view(-1, 64):
            yield images[indices], labels[indices]


def gpu_rungs(
    transformed: TensorDataset, device: torch.device, seed: int, capture: Callable = capture
) -> list[Rung]:
    """Three rungs: the data on the GPU; then every step a CUDA graph; then that with bf16."""
    loader = batches_on_device(transformed, device)
    names = "data on the GPU", "CUDA graphs", "CUDA graphs, bf16"
    rungs = [notes_rung("6", name, loader, device, seed) for name in names]
    for rung, bf16 in zip(rungs[1:], [False, True], strict=True):
        parts = rung.model, *notes_recipe(rung.model), next(loader)
        rung.train = captured_train(*parts, bf16, capture)
    return rungs


if "6" in args.rungs and device.type != "cuda":
    print(f"rung 6 is skipped: it needs CUDA, and the device is {device}")
elif "6" in args.rungs:
    for rung in gpu_rungs(transformed, device, args.seed):
        climb(rung, rungs, args.rungs, device)
else:
    print("rung 6: not in --rungs")

# %% [markdown]
# ## Rung 7: what hardly helps
#
# Here are two well-known techniques that do little for a network this small on a CPU. With batches
# of 64, bfloat16 saves little time in the products, and spends some of it on converting the weights
# in every step; a processor without arithmetic for it becomes many times slower. `torch.compile`
# translates the model into faster code, mainly by fusing small operations; the matrix products stay
# as they are, and compiling takes its own time first. Both pay off for large networks, and on GPUs.

# %%
rung = notes_rung("7", "whole batches, bf16", whole_loader, device, args.seed, bf16=True)
climb(rung, rungs, args.rungs, device)
compiled = notes_rung("7", "whole batches, compiled", whole_loader, device, args.seed)
if "7" not in args.rungs:
    print(f"{compiled.name}: not in --rungs")
else:
    start = now(device)
    try:
        compiled.model.compile()  # does its work at the first batch, and at one of another size
        last = len(transformed) % 64 or 64  # the size of an epoch's last batch
        compiled.train([transformed[:64], transformed[-last:]])
    except Exception as error:  # without a C++ compiler, for one; it has many ways to say so
        print(f"torch.compile does not work here, and is left out: {cli.summary(error)}")
    else:
        print(f"torch.compile took {now(device) - start:.0f} s")
        climb(compiled, rungs, args.rungs, device)

# %% [markdown]
# ## All rungs in turns
#
# Each round times every rung once, one after the other, for half a second each; a rung goes on
# where its last turn ended. The last section shows the results.

# %%
if not rungs:
    raise cli.UserError("no rung is left to climb. Choose others with --rungs.")
rounds = args.rounds or (9 if len(args.rungs) > 1 else 3)  # alone, it is compared with nothing
print(f"{rounds} rounds of {SECONDS_PER_PART} s for each of {len(rungs)} rungs")
measure(rungs, device, rounds, SECONDS_PER_PART)

# %% [markdown]
# ## Throughput is not yet time
#
# What you wait for is a network that is good enough, here 98 % test accuracy. That takes the number
# of images that a recipe needs, divided by the throughput. So the notes' recipe is trained once, at
# rung 3 (rungs 1 to 3 learn the same), and so is the better recipe. The seconds of each rung are
# **estimated**: the images of its epochs divided by its throughput. As the test comes after whole
# epochs, the time to 98 % is rounded up to one. The recipe was chosen by this accuracy, so it is a
# little too good (chapter 5).


# %%
def accuracy_of(model: torch.nn.Module, test_loader: Iterable, device: torch.device) -> float:
    """Chapter 7's test, but it prints nothing."""
    model.eval()
    correct = 0
    total = 0
    with torch.no_grad():
        for i, data in enumerate(test_loader):
            inputs, labels = data
            inputs, labels = inputs.to(device), labels.to(device)
            y_pred = model(inputs)
            predicted = torch.argmax(y_pred, dim=1)
            correct += (predicted == labels).sum().item()
            total += labels.size(0)
    return correct / total


def train_and_test(rung: Rung, test_loader: Iterable, device: torch.device, epochs: int) -> None:
    """Train whole epochs; the rung's history gets the test accuracy after each."""
    for epoch in range(epochs):
        rung.train(tqdm(rung.loader, unit=" batches", leave=False, disable=None))
        accuracy = accuracy_of(rung.model, test_loader, device)
        rung.history.setdefault("epoch", []).append(epoch + 1)
        rung.history.setdefault("accuracy", []).append(accuracy)
        print(f"Epoch {epoch + 1}/{epochs}, Accuracy: {accuracy:.4f}")


def estimated(history: dict, speed: float, images: int) -> dict:
    """The history with the seconds that its epochs, of so many images, take at this throughput."""
    return history | {"seconds": [epoch * images / speed for epoch in history["epoch"]]}


def seconds_to(history: dict, accuracy: float) -> float | None:
    """The estimated seconds until the test accuracy is first reached; None if it never is."""
    for seconds, reached in zip(history["seconds"], history["accuracy"], strict=True):
        if reached >= accuracy:
            return seconds
    return None


trained = {}  # fresh networks, by the name of their rung
recipe_rungs = [rung for rung in rungs if rung.number == "5"]
try:
    if {"1", "2", "3"} & set(args.rungs):
        print("the notes' recipe:")
        fresh = notes_rung("3", RUNGS["3"], whole_loader, device, args.seed)
        trained[fresh.name] = fresh
        torch.manual_seed(args.seed)  # of the shuffling
        train_and_test(fresh, test_loader, device, args.epochs)
    for rung in recipe_rungs:
        bf16 = rung is not recipe_rungs[0]
        if bf16 and rung.speedup(recipe_rungs[0]) < 1:
            print("this processor is slower with bf16: no training with it")
        else:
            print(f"the {rung.name}:")
            fresh = recipe_rung(in_memory, device, args.seed, args.recipe_epochs, bf16)
            trained[fresh.name] = fresh
            train_and_test(fresh, test_loader, device, args.recipe_epochs)
except KeyboardInterrupt:
    print("Stopped. What was learned so far is kept.")

for rung in rungs:
    name = RUNGS["3"] if rung.number in ("1", "2", "3") else rung.name
    if name in trained and trained[name].history:
        rung.history = estimated(trained[name].history, rung.speed(), len(train_set))
if not {"1", "2", "3", "5"} & set(args.rungs):
    print("only rungs 1, 2, 3 and 5 train to the end")

# %% [markdown]
# ## Results
#
# A row has a rung's throughput, the median of the rounds and their range, and its `speedup` over
# the first row. For rungs 1, 2, 3 and 5 it also has the estimated seconds of all epochs, the test
# accuracy after the last one, and the estimated seconds `to 98 %`, which is what counts.

# %%
print(f"{'rung':26} {'images/s':>9}  {'(lowest to highest)':>20}  speedup", end="")
print(f"  {'estimated':>9}  accuracy  {'to 98 %':>11}")
for rung in rungs:
    print(f"{rung.number} {rung.name:24} {rung.speed():9,.0f}", end="")
    print(f"  ({min(rung.speeds):7,.0f} to {max(rung.speeds):7,.0f})", end="")
    print(f"  {rung.speedup(rungs[0]):6.1f}x", end="")
    if rung.history:
        to_98 = seconds_to(rung.history, 0.98)
        reached = "not reached" if to_98 is None else f"{to_98:.1f} s"
        print(f"  {rung.history['seconds'][-1]:7.1f} s", end="")
        print(f"    {rung.history['accuracy'][-1]:.4f}  {reached:>11}", end="")
    print()
first = rungs[0]
for rung in recipe_rungs:
    if rung.history and first.history and first.number != "5":
        faster = first.history["seconds"][-1] / rung.history["seconds"][-1]
        print(f"{rung.name}: {rung.speedup(first):.1f}x the throughput,", end=" ")
        epochs = [len(one.history["epoch"]) for one in (rung, first)]
        print(f"{epochs[0]} epochs instead of {epochs[1]}: {faster:.1f}x faster")
if args.json:
    rows = [
        {
            "rung": rung.number,
            "name": rung.name,
            "images_per_second": rung.speed(),
            "images_per_second_each_round": rung.speeds,
            "history": rung.history,
        }
        for rung in rungs
    ]
    with cli.atomic_write(args.json) as temporary:
        numbers = json.dumps({"machine": machine, "rungs": rows}, indent=2)
        temporary.write_text(numbers + "\n", encoding="utf-8")
    print(f"Numbers:    {cli.display_path(args.json)}")

# %% tags=["hide-input"]
fig = plotting.figure(10, 4.8, args.show)
from matplotlib import ticker  # after figure: that chooses the backend

dots, curves = fig.subplots(1, 2, width_ratios=[5, 4])
color = dict.fromkeys(RUNGS, plotting.BLUE)
color |= {"1": plotting.GREY, "5": plotting.RED, "7": plotting.ORANGE}
for place, rung in enumerate(rungs):
    dots.hlines(place, min(rung.speeds), max(rung.speeds), color=color[rung.number], lw=1.5)
    dots.plot(rung.speed(), place, "o", color=color[rung.number])
    dots.text(1.1 * max(rung.speeds), place, f"{rung.speed():,.0f}", va="center", fontsize=9)
dots.set_yticks(range(len(rungs)), [f"{rung.name}   {rung.number}" for rung in rungs])
dots.invert_yaxis()
dots.set(xscale="log", xlabel="images per second (dot: median; line: lowest to highest)")
lowest, highest = (pick(pick(r.speeds) for r in rungs) for pick in (min, max))
dots.set_xlim(0.8 * lowest, 2 * highest)
dots.set_title("Throughput of each rung")

labels = {
    RUNGS["1"]: "notes' recipe at rung 1",
    RUNGS["3"]: "notes' recipe at rung 3",
    RUNGS["5"]: "better recipe, rung 5",
    RUNGS["5"] + ", bf16": "the same with bf16",
}
for rung in rungs:
    if rung.history and rung.name in labels:
        dashes = "o--" if rung.name.endswith("bf16") else "o-"
        style = {"color": color[rung.number], "label": labels[rung.name]}
        curves.plot(rung.history["seconds"], rung.history["accuracy"], dashes, **style)
        curves.legend(loc="lower right")
curves.axhline(0.98, color="black", lw=1, ls=":")
curves.text(0.99, 0.98, "98 %", transform=curves.get_yaxis_transform(), ha="right", va="bottom")
curves.set(title="Test accuracy over time", xlabel="estimated seconds of training")
curves.set(xscale="log", ylabel="test accuracy", ylim=(0.86, 0.99))
for axis, form in [(dots.xaxis, "{x:,.0f}"), (curves.xaxis, "{x:g}")]:
    axis.set_major_locator(ticker.LogLocator(subs=(1, 3)))
    axis.set_major_formatter(ticker.StrMethodFormatter(form))
    axis.set_minor_locator(ticker.NullLocator())
plotting.finish(fig, args.output_dir / "09_mnist_fast.png", args.show)

# %%
accuracies = [rung.history["accuracy"][-1] for rung in trained.values() if rung.history]
if accuracies:
    print(f"Accuracy: {accuracies[-1]:.4f}")
