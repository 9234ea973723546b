"""How much faster each step of chapter 9 is: throughputs that were measured in turns.

    python docs/mnist_ladder.py     about a minute and a half on two cores

Each row changes one thing in the one above it. In each round every row is timed once, one after
the other, so that a busy moment hits them all; the table has the median of the rounds, their range,
and the median of the rounds' ratios to the first row.
"""

import statistics
import sys
import time
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from common import chapter as chapters  # noqa: E402
from common import cli  # noqa: E402
from common.data import mnist_root, read_mnist  # noqa: E402
from common.device import can_share_memory, pick_device  # noqa: E402


def make_step(chapter, device: torch.device, bf16: bool = False, compiled: bool = False):
    """An update of a fresh network, with the notes' criterion and optimizer."""
    torch.manual_seed(0)
    model = chapter.network().to(device)
    if compiled:
        model.compile()
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    return partial(chapter.update, model, criterion, optimizer, bf16=bf16)


def make_rows(chapter, device: torch.device) -> dict[str, tuple]:
    """For each row its batches and its step."""
    root = mnist_root()
    images, labels = read_mnist(root, train=True)
    notes = chapter.notes_loader(root)
    workers = DataLoader(notes.dataset, 64, shuffle=True, num_workers=2, persistent_workers=True)
    one_by_one = DataLoader(TensorDataset(images, labels), 64, shuffle=True)
    whole, large = (chapter.whole_batches(images, labels, size) for size in (64, 256))
    ready = list(zip(images.split(64), labels.split(64), strict=True))
    step = make_step(chapter, device)
    step_bf16 = make_step(chapter, device, bf16=True)
    rows = {"the notes' loop": (notes, step)}
    if can_share_memory():
        rows["with two worker processes"] = workers, step
    rows |= {
        "transformed once": (one_by_one, step),
        "whole batches": (whole, step),
        "no loader": (ready, step),
        "batches of 256": (large, step),
        "batches of 256, bfloat16": (large, step_bf16),
        "batches of 64, bfloat16": (whole, step_bf16),
    }
    try:
        compiled = make_step(chapter, device, compiled=True)
        start = time.perf_counter()
        for inputs, labels in (ready[0], ready[-1]):  # compiled anew for another size
            compiled(inputs.to(device), labels.to(device))
        print(f"torch.compile took {time.perf_counter() - start:.0f} s")
        rows["batches of 64, torch.compile"] = whole, compiled
    except Exception as error:  # without a C++ compiler, for one
        print(f"torch.compile does not work here: {cli.summary(error)}")
    if device.type == "cuda":
        on_gpu = [(inputs.to(device), labels.to(device)) for inputs, labels in ready[:-1]]
        rows["data on the GPU"] = on_gpu, step
        rows["CUDA graph"] = on_gpu, chapter.captured(step, *on_gpu[0])
    return rows


def main(rounds: int = 9) -> None:
    """Print the table."""
    chapter = chapters.load(ROOT / "09_mnist_fast.py")
    device, about = pick_device()
    print(f"device {about}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    rows = make_rows(chapter, device)
    speeds = {name: [] for name in rows}
    for _ in range(rounds):
        for name, (batches, step) in rows.items():
            speeds[name].append(chapter.throughput(batches, step, device))
    first = speeds["the notes' loop"]
    print("| | images/s | lowest to highest | speedup |\n|---|--:|--:|--:|")
    for name, each in speeds.items():
        speedup = statistics.median(mine / its for mine, its in zip(each, first, strict=True))
        spread = f"{min(each):,.0f} to {max(each):,.0f}"
        print(f"| {name} | {statistics.median(each):,.0f} | {spread} | {speedup:.1f} |")


if __name__ == "__main__":
    main()
