# %%
"""Chapter 8 · The same network, many times faster · 多分类问题 (beyond the notes)

You will learn where the time of chapter 7 goes, what makes training faster and by how much, what
does not, and how to measure so that a busy computer doesn't decide. It is a ladder: the same
network, the same digits, and each rung changes one thing (rung 5 the recipe as a whole).

    python 08_mnist_fast.py             climb the ladder
    python 08_mnist_fast.py --rungs 5   only this one: from nothing to 98 %
    python 08_mnist_fast.py --rungs 1,3,5 --json numbers.json

The last lines of a run:

    Figure:     outputs/08_mnist_fast.png
    Accuracy: 0.98…
"""

import argparse
import itertools
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset
from tqdm import tqdm

from common import cli, files, plotting
from common.data import bulk_loader, mnist_root
from common.device import pick_device
from common.mnist import MNISTModel, load_mnist, test, to_device, transform_once
from common.progress import History, Progress, leave_if_stopped

RUNGS = {
    "1": "notes' loop",
    "2": "transformed once",
    "3": "whole batches",
    "4": "no loader (the limit)",
    "5": "better recipe",
    "6": "on a CUDA GPU",
    "7": "what hardly helps",
}
PART = 0.5  # seconds for which each rung is timed, in each round


# %% Rung 1: the notes' loop to the letter · 训练过程
def train(
    model: torch.nn.Module,
    criterion: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    train_loader: Iterable,
    device: torch.device,
):
    """An update for each of the loader's batches: the loop of each rung without one of its own."""
    for i, data in enumerate(train_loader):
        inputs, labels = data
        inputs, labels = inputs.to(device), labels.to(device)
        y_pred = model(inputs)
        loss = criterion(y_pred, labels)

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def notes_recipe(model: torch.nn.Module) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """Cross entropy; and short steps, to each of which half of the one before is added."""
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    return criterion, optimizer


def notes_loader(train_set: Dataset, workers: int = 0) -> DataLoader:
    """Decodes and transforms a picture each time it is needed, one after the other."""
    return DataLoader(train_set, batch_size=64, shuffle=True, num_workers=workers)


# %% Rung 2: transform once
def transformed_loader(once: TensorDataset) -> DataLoader:
    """Of pictures already transformed, which it still fetches one by one, and stacks."""
    return DataLoader(once, batch_size=64, shuffle=True)


# %% Rung 3: whole batches
def whole_loader(once: TensorDataset) -> DataLoader:
    """The same batches, each fetched by one indexing operation: chapter 7's loader."""
    return bulk_loader(once, batch_size=64, shuffle=True)


# %% Rung 4: no loader
def cut_batches(once: TensorDataset) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches that lie ready: as fast as this loop can be, and no way to train: unshuffled."""
    images, labels = once.tensors
    return list(zip(images.split(64), labels.split(64), strict=True))


# %% Rung 5: a better recipe
def better_recipe(
    model: torch.nn.Module, lr: float, updates: int
) -> tuple[torch.nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Smoothed labels; momentum 0.9; a learning rate that rises to `lr`, then falls to nearly 0.

    The labels ask for 91 % of the true digit and 1 % of each other, so that no score need grow
    without end. The rise spares the fresh network, the long steps get far, the short ones at the
    end settle. After Leslie N. Smith, "Super-convergence", https://arxiv.org/abs/1708.07120
    """
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=updates, cycle_momentum=False
    )
    return criterion, optimizer, scheduler


def train_one_cycle(
    model: torch.nn.Module,
    criterion: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    train_loader: Iterable,
    device: torch.device,
    bf16: bool = False,
):
    """The loop of rung 1, with a new learning rate after each update.

    `bf16`: multiply numbers of 16 bits instead of 32 where that does no harm.
    """
    for i, data in enumerate(train_loader):
        inputs, labels = data
        inputs, labels = inputs.to(device), labels.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            y_pred = model(inputs)
            loss = criterion(y_pred, labels)

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()


# %% Rung 6: only with CUDA · cuda的使用
def record(step: Callable[[], None]) -> Callable[[], None]:
    """Note down all that `step` asks of the GPU; returns a function that asks for it in one go.

    A network this small is done before Python has asked for the next operation, so that the GPU
    mostly waits. See "CUDA Graphs" in https://docs.pytorch.org/docs/stable/notes/cuda.html
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # in their first calls, libraries do what can't be recorded
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step()
    return graph.replay


def recorded_train(
    model: torch.nn.Module,
    criterion: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    first_batch: list[torch.Tensor],
    bf16: bool,
    record: Callable = record,
) -> Callable[[Iterable], None]:
    """Record a training step; returns a loop that repeats it for each batch on the GPU.

    What is recorded are addresses, so each batch is copied to where the first one was. Without a
    GPU, tests give another `record`.
    """
    inputs, labels = (tensor.clone() for tensor in first_batch)  # (B, 1, 28, 28), (B,)

    def step():
        optimizer.zero_grad()
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=bf16):
            loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()

    repeat = record(step)

    def loop(train_loader):
        for data in train_loader:
            inputs.copy_(data[0])
            labels.copy_(data[1])
            repeat()

    return loop


# %% Rung 7: what hardly helps a network this small, on a CPU
def train_bf16(
    model: torch.nn.Module,
    criterion: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    train_loader: Iterable,
    device: torch.device,
):
    """The loop of rung 1 with 16 bits: for batches of 64, converting costs most of the gain."""
    for i, data in enumerate(train_loader):
        inputs, labels = data
        inputs, labels = inputs.to(device), labels.to(device)
        with torch.autocast(device.type, torch.bfloat16):
            y_pred = model(inputs)
            loss = criterion(y_pred, labels)

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


# %% Put the ladder up
@dataclass
class Rung:
    """A row of the table. `train` takes batches of `loader`, and updates `model` with each."""

    number: str
    name: str
    loader: Iterable
    model: torch.nn.Module
    train: Callable[[Iterable], None]
    speeds: list[float] = field(default_factory=list)  # images per second, one for each round
    history: History = field(default_factory=dict)  # of a whole training, where there was one

    def speed(self) -> float:
        """Images per second: the median of the rounds."""
        return statistics.median(self.speeds)

    def times(self, other: "Rung") -> float:
        """How many times as fast as the other it is: the median of the rounds' quotients."""
        return statistics.median(
            mine / its for mine, its in zip(self.speeds, other.speeds, strict=True)
        )


def notes_rung(
    number: str, name: str, loader: Iterable, device: torch.device, seed: int, loop=train
) -> Rung:
    """The notes' recipe on the loader's batches, from the network that belongs to the seed."""
    torch.manual_seed(seed)
    model = MNISTModel().to(device)
    parts = model, *notes_recipe(model)
    return Rung(number, name, loader, model, lambda batches: loop(*parts, batches, device))


def recipe_rung(
    once: TensorDataset, device: torch.device, seed: int, epochs: int, bf16: bool = False
) -> Rung:
    """Rung 5: batches of 256, and one cycle of the learning rate over so many epochs."""
    torch.manual_seed(seed)
    model = MNISTModel().to(device)
    loader = bulk_loader(once, batch_size=256, shuffle=True)
    parts = model, *better_recipe(model, lr=0.2, updates=epochs * len(loader))
    name = RUNGS["5"] + (", bf16" if bf16 else "")
    return Rung(
        "5", name, loader, model, lambda batches: train_one_cycle(*parts, batches, device, bf16)
    )


def gpu_rungs(once: TensorDataset, device: torch.device, seed: int, record=record) -> list[Rung]:
    """Rung 6: the data on the GPU; then every step a CUDA graph; then that with bf16.

    A graph has one batch size, and a learning rate that never changes: the notes' recipe.
    """
    whole = len(once) // 64 * 64  # without an epoch's last batch, which is smaller
    once = TensorDataset(*(tensor[:whole] for tensor in once.tensors))
    loader = whole_loader(to_device(once, device))
    names = "data on the GPU", "CUDA graphs", "CUDA graphs, bf16"
    rungs = [notes_rung("6", name, loader, device, seed) for name in names]
    for rung, bf16 in zip(rungs[1:], [False, True], strict=True):
        parts = rung.model, *notes_recipe(rung.model), next(iter(loader))
        rung.train = recorded_train(*parts, bf16, record)
    return rungs


def detours(once: TensorDataset, device: torch.device, seed: int) -> list[Rung]:
    """Rung 7: rung 3 with bf16; and with torch.compile, which does its work at the first batch."""
    loader = whole_loader(once)
    bf16 = notes_rung("7", "whole batches, bf16", loader, device, seed, train_bf16)
    compiled = notes_rung("7", "whole batches, compiled", loader, device, seed)
    batch = next(iter(loader))
    last = [tensor[: len(once) % 64 or 64].clone() for tensor in batch]  # smaller: compiled anew
    start = now(device)
    try:
        compiled.model.compile()
        compiled.train([batch, last])
    except Exception as error:  # without a C++ compiler, for one; it has many ways to say so
        reason = cli.first_line(error)
        print(f"   torch.compile does not work here, and is left out: {reason}")
        return [bf16]
    print(f"   torch.compile took {now(device) - start:.0f} s")
    return [bf16, compiled]


# %% Measure
def now(device: torch.device) -> float:
    """The time in seconds, once the device has done all it was asked for."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()


def part_of(batches: Iterable, seconds: float, sizes: list[int]) -> Iterator:
    """The next batches, until the time is up; how many images each holds goes into `sizes`."""
    end = time.perf_counter() + seconds
    for inputs, labels in batches:
        sizes.append(len(labels))
        yield inputs, labels
        if time.perf_counter() > end:
            break


def measure(rungs: list[Rung], device: torch.device, rounds: int, seconds: float) -> None:
    """Time each rung once per round, on a part of an epoch that lasts about so many seconds.

    The rungs take turns: a moment in which the computer is busy hits them all alike. Before a
    part comes a short one that doesn't count: workers have fetched its batches ahead of time.
    """
    batches = [itertools.chain.from_iterable(itertools.repeat(rung.loader)) for rung in rungs]
    turns = rounds * list(zip(rungs, batches, strict=True))
    for rung, more in tqdm(turns, unit=" parts", leave=False, disable=None):
        rung.train(part_of(more, seconds / 5, []))
        sizes = []
        start = now(device)
        rung.train(part_of(more, seconds, sizes))
        rung.speeds.append(sum(sizes) / (now(device) - start))


def train_and_test(
    rung: Rung, test_loader: DataLoader, device: torch.device, epochs: int
) -> History:
    """Train whole epochs. Returns the accuracy after each."""
    with Progress(epochs, len(rung.loader)) as progress:
        for epoch in progress.epochs():
            rung.train(progress.batches(rung.loader))
            progress.end_epoch(accuracy=test(rung.model, test_loader, device))
    return progress.history


def at_speed(history: History, speed: float, images: int) -> History:
    """The history with the seconds that its epochs, of so many images, take at this speed."""
    return history | {"seconds": [epoch * images / speed for epoch in history["epoch"]]}


# %% Show the numbers
def print_table(rungs: list[Rung]) -> None:
    """A row per rung: its speed, and as a multiple of the first row's; seconds, and accuracy."""
    head = f"   {'rung':26} {'images/s':>9}  {'(lowest to highest)':>20}  {'vs. first':>9}  "
    print(head + f"{'training':>8}  {'accuracy':>8}")
    for rung in rungs:
        row = f"   {rung.number} {rung.name:24} {rung.speed():9,.0f}  "
        row += f"({min(rung.speeds):7,.0f} to {max(rung.speeds):7,.0f})  "
        row += f"{rung.times(rungs[0]):8.1f}x"
        if rung.history:
            row += f"  {rung.history['seconds'][-1]:6.1f} s    {rung.history['accuracy'][-1]:.4f}"
        print(row)


def write_json(path: Path, machine: dict[str, str], rungs: list[Rung]) -> None:
    """All that was measured, and on what machine."""
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
    with files.written_whole(path) as temporary:
        temporary.write_text(json.dumps({"machine": machine, "rungs": rows}, indent=2) + "\n")


# %% Draw
def draw(rungs: list[Rung], show: bool):
    """The figure: a bar per row of the table, and what each recipe reaches in how many seconds."""
    fig = plotting.figure(10, 4.8, show)
    from matplotlib import ticker  # after figure: that chooses the backend

    bars, curves = fig.subplots(1, 2, width_ratios=[5, 4])
    color = dict.fromkeys(RUNGS, plotting.BLUE)
    color |= {"1": plotting.GREY, "5": plotting.RED, "7": plotting.ORANGE}
    lowest, highest = [min(rung.speeds) for rung in rungs], [max(rung.speeds) for rung in rungs]
    places = range(len(rungs))
    bars.barh(places, [rung.speed() for rung in rungs], color=[color[r.number] for r in rungs])
    bars.hlines(places, lowest, highest, color="black", lw=1.5)
    for place, rung, end in zip(places, rungs, highest, strict=True):
        bars.text(1.08 * end, place, f"{rung.speed():,.0f}", va="center", fontsize=9)
    bars.set_yticks(places, [f"{rung.name}   {rung.number}" for rung in rungs])
    bars.invert_yaxis()
    bars.set(xscale="log", xlabel="images per second (median; line: lowest to highest)")
    bars.set_xlim(0.5 * min(lowest), 2.5 * max(highest))
    bars.set_title("How fast each rung trains")
    bars.grid(axis="y", visible=False)

    labels = {
        RUNGS["1"]: "notes' recipe at rung 1's speed",
        RUNGS["3"]: "notes' recipe, rung 3",
        RUNGS["5"]: "better recipe, rung 5",
        RUNGS["5"] + ", bf16": "the same, bf16",
    }
    for rung in rungs:
        if rung.history and rung.name in labels:
            seconds, accuracy = rung.history["seconds"], rung.history["accuracy"]
            dashes = "o--" if rung.name.endswith("bf16") else "o-"
            style = {"color": color[rung.number], "label": labels[rung.name]}
            curves.plot(seconds, accuracy, dashes, **style)
            curves.legend(loc="lower right")
    curves.axhline(0.98, color="black", lw=1, ls=":")
    curves.text(0.99, 0.98, "98 %", transform=curves.get_yaxis_transform(), ha="right", va="bottom")
    curves.set(title="Accuracy after so many seconds", xlabel="seconds of training", xscale="log")
    curves.set(ylabel="test accuracy", ylim=(0.86, 0.99))
    for axis, form in [(bars.xaxis, "{x:,.0f}"), (curves.xaxis, "{x:g}")]:
        axis.set_major_locator(ticker.LogLocator(subs=(1, 3)))
        axis.set_major_formatter(ticker.StrMethodFormatter(form))
        axis.set_minor_locator(ticker.NullLocator())
    return fig


# %% Run the chapter
def rung_numbers(text: str) -> list[str]:
    """The rungs that "1,3,5" picks, for argparse."""
    picked = [number.strip() for number in text.split(",")]
    if not set(picked) <= set(RUNGS):
        raise argparse.ArgumentTypeError(
            f"expected numbers from 1 to {len(RUNGS)}, separated by commas, got {text!r}"
        )
    return picked


def about_machine(device: torch.device) -> dict[str, str]:
    """What the figures depend on."""
    processor = platform.processor() or platform.machine()
    if hasattr(torch.cpu, "get_capabilities"):  # not in every torch that will do
        processor = torch.cpu.get_capabilities().get("cpu_name", processor)
    machine = {
        "processor": processor,
        "threads": str(torch.get_num_threads()),
        "system": platform.system(),
        "torch": str(torch.__version__),
    }
    return machine | ({"gpu": torch.cuda.get_device_name()} if device.type == "cuda" else {})


@cli.command
def main(argv=None):
    """Returns the rungs, with what was measured of each."""
    parser = cli.parser(__doc__, epochs=10, device=True)
    parser.add_argument(
        "--rungs", type=rung_numbers, default=",".join(RUNGS), help="the rungs to climb"
    )
    parser.add_argument(
        "--rounds",
        type=cli.positive_int,
        help="how often each rung is timed (default: 9, and 3 for one alone)",
    )
    parser.add_argument(
        "--recipe-epochs",
        type=cli.positive_int,
        default=3,
        help="passes of rung 5 (--epochs counts those of the notes' recipe)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to this file")
    args = parser.parse_args(argv)
    device, about_device = pick_device(args.device)
    files.output_folder(args.output_dir)
    if args.json and not args.json.parent.is_dir():
        raise cli.UserError(f"--json: there is no folder {args.json.parent}. Make it first.")
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)  # where CUDA graphs are recorded
    step = cli.begin(__doc__, args.step)
    print(f"Device: {about_device}")
    machine = about_machine(device)
    print(f"Machine: {', '.join(f'{name} {value}' for name, value in machine.items())}")

    step("The ladder: the same network, the same digits, one change per rung")
    train_set, test_set = load_mnist(mnist_root())
    once = transform_once(train_set)
    test_loader = bulk_loader(to_device(transform_once(test_set), device), batch_size=1000)
    same = device, args.seed
    rungs = [
        notes_rung("1", RUNGS["1"], notes_loader(train_set), *same),
        notes_rung("1", "notes' loop, two workers", notes_loader(train_set, workers=2), *same),
        notes_rung("2", RUNGS["2"], transformed_loader(once), *same),
        notes_rung("3", RUNGS["3"], whole_loader(once), *same),
        notes_rung("4", RUNGS["4"], cut_batches(once), *same),
        recipe_rung(once, *same, epochs=1000),  # as long as timing may ever take
    ]
    if device.type in ("cpu", "cuda"):
        rungs.append(recipe_rung(once, *same, epochs=1000, bf16=True))
    rungs = [rung for rung in rungs if rung.number in args.rungs]
    if "6" in args.rungs and device.type == "cuda":
        rungs += gpu_rungs(once, *same)
    elif "6" in args.rungs:
        print(f"   rung 6 is skipped: it needs CUDA, and this is {device}")
    if "7" in args.rungs:
        rungs += detours(once, *same)
    if not rungs:
        raise cli.UserError("no rung is left to climb. Choose others with --rungs.")

    rounds = args.rounds or (9 if len(args.rungs) > 1 else 3)  # alone, it is compared with nothing
    step(f"Time them in turns, {rounds} times, on parts of an epoch that take {PART} s")
    measure(rungs, device, rounds, PART)

    trained = []  # histories, and how many epochs each should have
    if {"1", "2", "3"} & set(args.rungs):  # which get the same batches, so they learn the same
        step(f"Train for {args.epochs:,} epochs: the notes' recipe")
        fresh = notes_rung("3", RUNGS["3"], whole_loader(once), *same)
        notes = train_and_test(fresh, test_loader, device, args.epochs)
        trained.append((notes, args.epochs))
        for rung in rungs:
            if rung.number in ("1", "2", "3"):
                rung.history = at_speed(notes, rung.speed(), len(once))
    recipes = [rung for rung in rungs if rung.number == "5"]
    for rung in recipes:
        bf16 = rung is not recipes[0]
        if bf16 and rung.times(recipes[0]) < 1:
            print("\n   This processor is slower with bf16: no training with it.")
        elif all(history["epoch"][-1] == epochs for history, epochs in trained):
            step(f"Train for {args.recipe_epochs:,} epochs: the {rung.name}")
            fresh = recipe_rung(once, *same, args.recipe_epochs, bf16)
            history = train_and_test(fresh, test_loader, device, args.recipe_epochs)
            trained.append((history, args.recipe_epochs))
            rung.history = at_speed(history, rung.speed(), len(once))

    step("What each rung is worth")
    print_table(rungs)
    if trained:
        print("   (training: what its epochs take at the rung's images per second)")
    if rungs[0].history and rungs[0].number != "5":
        first = rungs[0].history["seconds"][-1]
        for rung in recipes:
            if rung.history:
                times = first / rung.history["seconds"][-1]
                share = f"1/{times:.1f} of" if times > 1 else f"{1 / times:.1f} times"
                print(f"   The {rung.name} needs {share} the first row's time.")
    if args.json:
        write_json(args.json, machine, rungs)
        print(f"Numbers:    {cli.path_for_people(args.json)}")
    fig = draw(rungs, args.show)
    plotting.finish(fig, args.output_dir / "08_mnist_fast.png", args.show)
    if trained:
        print(f"Accuracy: {trained[-1][0]['accuracy'][-1]:.4f}")
    for history, epochs in trained:
        leave_if_stopped(history, epochs)
    return rungs


if __name__ == "__main__":
    main()
