# %%
"""Chapter 6 · Batches: Dataset and DataLoader · dataloader的使用

You will learn what an epoch, a batch and an iteration are, to make a data set of any table, to
let a DataLoader shuffle it and cut it into batches, and why small batches learn more from an
epoch: they make more updates.

    python 06_dataloader.py                  the diabetes data
    python 06_dataloader.py --csv my.csv     your own: columns of numbers, last the label, 0 or 1
    python 06_dataloader.py --workers 0      skip the demonstration of worker processes

The last lines of a run:

    Figure:     outputs/06_dataloader.png
    Loss of epoch 100: full batch 0.6…, batches of 2 0.4…
"""

import copy
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from common import cli, files, plotting, training
from common.data import DATA, check_table, workers_can_start
from common.device import one_thread, pick_device
from common.progress import History, Progress, epochs_done, leave_if_stopped


# %% Epoch, batch, iteration · dataloader的使用
def batch_sizes(samples: int, batch_size: int, drop_last: bool = False) -> list[int]:
    """The sizes of the batches in one epoch; there are as many iterations as batches."""
    loader = DataLoader(range(samples), batch_size=batch_size, drop_last=drop_last)
    return [len(batch) for batch in loader]


def shuffled(samples: int, epochs: int, seed: int) -> list[list[int]]:
    """The order of the samples in each epoch: another one each time, the same for one seed."""
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(range(samples), batch_size=1, shuffle=True, generator=generator)
    return [[batch.item() for batch in loader] for epoch in range(epochs)]


def seconds_per_epoch(dataset: Dataset, batch_size: int, num_workers: int) -> float:
    """How long one pass over the data takes, nothing done with it, worker processes included.

    Where workers are not forked (macOS, Windows, Linux from Python 3.14 on) each imports the
    script anew. The last lines of this file, the __main__ guard, keep it from training there, too.
    """
    start = time.perf_counter()
    for _ in DataLoader(dataset, batch_size=batch_size, shuffle=True, num_workers=num_workers):
        pass
    return time.perf_counter() - start


# %% A data set of one's own · dataloader的建立
class MyDataset(Dataset):
    """The rows of a CSV file: inputs (C,), scaled as in chapter 5, and the last column (1,)."""

    def __init__(self, file_path: Path):
        xy = np.loadtxt(file_path, delimiter=",", dtype=np.float32, encoding="utf-8-sig")
        self.len = xy.shape[0]
        x_train = torch.from_numpy(xy[:, :-1])  # (N, C)
        # Clamped, or a column of equal numbers would be divided by 0.
        self.x_train = (x_train - x_train.mean(dim=0)) / x_train.std(dim=0).clamp(min=1e-6)
        self.y_train = torch.from_numpy(xy[:, [-1]])  # (N, 1)

    def __len__(self) -> int:
        """How many samples there are: this is how DataLoader knows when an epoch is over."""
        return self.len

    def __getitem__(self, idx: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Sample number idx: DataLoader asks for as many as a batch has, and stacks them."""
        return self.x_train[idx], self.y_train[idx]


# %% Train with it · 使用dataloader进行训练
def make_model(inputs: int) -> torch.nn.Module:
    """One hidden layer of 16, and the score for "yes": (N, inputs) -> (N, 1)."""
    return torch.nn.Sequential(  # one layer after the other; it brings its own forward
        torch.nn.Linear(inputs, 16), torch.nn.Sigmoid(), torch.nn.Linear(16, 1)
    )


def train(
    model: torch.nn.Module,
    criterion: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    train_loader: DataLoader,
    device: torch.device,
    epochs: int,
) -> tuple[History, list[float]]:
    """Mini-batch gradient descent. Returns the mean loss of each epoch, and each batch's loss."""
    losses = []
    # One thread: for so small a network a second core is only waited for.
    with one_thread(), Progress(epochs, len(train_loader)) as progress:
        for epoch in progress.epochs():
            loss_sum, samples = 0.0, 0
            for i, data in enumerate(progress.batches(train_loader), 0):
                inputs, labels = data
                inputs, labels = inputs.to(device), labels.to(device)
                y_pred = model(inputs)
                loss = criterion(y_pred, labels)

                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

                losses.append(loss.item())
                loss_sum += losses[-1] * len(labels)  # the last batch may be shorter
                samples += len(labels)
            progress.end_epoch(loss=loss_sum / samples)
    return progress.history, losses


# %% Draw
def draw(full: History, mini: History, losses: list[float], batch_size: int, show: bool):
    """The figure: full batch against mini-batches, over epochs and over updates."""
    fig = plotting.figure(10, 4.2, show)
    left, right = fig.subplots(1, 2, sharey=True)
    per_epoch = len(losses) / mini["epoch"][-1]
    name = f"batches of {batch_size}"
    mean = f"{name}, mean of the epoch"
    left.plot(full["epoch"], full["loss"], color=plotting.BLUE, label="full batch")
    left.plot(mini["epoch"], mini["loss"], color=plotting.RED, label=mean)
    left.set(title="Over epochs: the same data seen", xlabel="epoch", ylabel="cross entropy (nats)")
    left.legend()

    updates = np.unique(np.geomspace(1, len(losses), 3000).astype(int))  # all would hide the rest
    each = np.array(losses)[updates - 1]
    right.plot(updates, each, ".", color=plotting.GREY, ms=2, alpha=0.4, label=f"{name}, each")
    right.plot(per_epoch * np.array(mini["epoch"]), mini["loss"], color=plotting.RED, label=mean)
    right.plot(full["epoch"], full["loss"], color=plotting.BLUE, label="full batch")
    right.set(title="Over updates: each epoch has many, or one", xlabel="updates", xscale="log")
    right.set_ylim(0, 1.3 * max(full["loss"]))
    right.legend(loc="lower left", markerscale=8)
    return fig


# %% Run the chapter
@cli.command
def main(argv=None):
    """Returns the histories of full batch and mini-batches."""
    parser = cli.parser(__doc__, epochs=100, lr=0.01, batch_size=2, device=True)
    parser.add_argument(
        "--csv",
        type=Path,
        default=DATA / "diabetes.csv",
        metavar="FILE",
        help="table to learn from",
    )
    parser.add_argument(
        "--workers", type=cli.whole_number, default=2, help="worker processes in the demonstration"
    )
    args = parser.parse_args(argv)
    device, about_device = pick_device(args.device)
    files.output_folder(args.output_dir)
    torch.manual_seed(args.seed)
    check_table(args.csv)
    step = cli.begin(__doc__, args.step)
    print(f"Device: {about_device}")

    step("An epoch is one pass over all samples; an iteration is one update, on one batch")
    for samples, batch_size, drop_last in [(100, 10, False), (105, 10, False), (105, 10, True)]:
        sizes = batch_sizes(samples, batch_size, drop_last)
        rest = f", the last of {sizes[-1]}{', drop_last' if drop_last else ''}"
        print(f"   {samples} samples in batches of {batch_size}: {len(sizes)} iterations{rest}")

    step("Shuffled, each epoch differently, under one seed always the same")
    for seed in (0, 0, 1):
        print(f"   seed {seed}: {shuffled(6, 2, seed)}")

    step("A data set has a length, and samples by number")
    dataset = MyDataset(args.csv)
    x, y = dataset[0]
    print(f"   {len(dataset)} samples; the first: inputs {tuple(x.shape)}, label {tuple(y.shape)}")

    if args.workers and not workers_can_start():
        print("   (num_workers is not shown: in a notebook, workers can't find MyDataset here)")
    elif args.workers:
        step(f"Worker processes fetch batches ahead: one epoch without, and with {args.workers}")
        for workers in (0, args.workers):
            seconds = seconds_per_epoch(dataset, args.batch_size, workers)
            print(f"   num_workers={workers}: {seconds:.2f} s")
        print("   They help where fetching is slow. This table lies in memory: they start in vain.")

    step(f"Train for {args.epochs:,} epochs, in batches of {args.batch_size}")
    criterion = torch.nn.BCEWithLogitsLoss()
    torch.manual_seed(args.seed)  # the same network, whatever has been shuffled above
    model = make_model(len(x)).to(device)
    start = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    train_loader = DataLoader(dataset, batch_size=args.batch_size, shuffle=True)
    mini, losses = train(model, criterion, optimizer, train_loader, device, args.epochs)

    print(f"   {len(losses):,} updates")

    epochs = epochs_done(mini)
    step(f"Train for {epochs:,} epochs from the same start, with the full batch: one update each")
    model.load_state_dict(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    x_data, y_data = dataset.x_train.to(device), dataset.y_train.to(device)
    full = training.full_batch(model, criterion, optimizer, x_data, y_data, epochs)

    step("What was learned")
    fig = draw(full, mini, losses, args.batch_size, args.show)
    plotting.finish(fig, args.output_dir / "06_dataloader.png", args.show)
    print(
        f"Loss of epoch {epochs}: full batch {full['loss'][-1]:.4f}, "
        f"batches of {args.batch_size} {mini['loss'][epochs - 1]:.4f}"
    )
    for history in (mini, full):
        leave_if_stopped(history, args.epochs)
    return full, mini


if __name__ == "__main__":
    main()
