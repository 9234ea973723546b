# %% [markdown]
"""# Chapter 6 · Dataset, DataLoader, mini-batches · dataloader的使用

So far every update used all samples, or a single one. In between lie **mini-batches**, the way in
which all larger networks are trained. You will write a `Dataset` for a table of your own, let a
`DataLoader` shuffle it and cut it into batches, write the mini-batch loop, and compare batch sizes.

    python 06_dataloader.py                  the diabetes data
    python 06_dataloader.py --csv my.csv     your own: columns of numbers, last the label, 0 or 1
    python 06_dataloader.py --workers 0      skip the demonstration of worker processes

The last lines of a run:

    Figure:     outputs/06_dataloader.png
    Training loss of epoch 100 at learning rate 0.01: full batch 0.6…; batches of 2: 0.4…
"""

# %%
from pathlib import Path

from common import chapter, cli, plotting

MAIN = __name__ == "__main__"
if MAIN:
    parser = cli.parser(__doc__, epochs=100, lr=0.01, batch_size=2, device=True)
    table = cli.ROOT / "data" / "diabetes.csv"
    what = "table to train on"
    parser.add_argument("--csv", type=Path, default=table, metavar="FILE", help=what)
    what = "worker processes in the demonstration"
    parser.add_argument("--workers", type=cli.whole_number, default=2, help=what)
    args = chapter.begin(parser)

# %%
import copy
import time

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from common import training
from common.data import check_table, workers_can_start
from common.device import one_thread
from common.progress import History, Progress, epochs_done

# %% [markdown]
# ## Epoch, batch, iteration · dataloader的使用
#
# An **epoch** is one pass over all training samples. A **batch** (mini-batch) is the subset used
# for one update, and `batch_size` its size. An **iteration** is one update. So 100 samples in
# batches of 10 make 10 iterations per epoch. If the division leaves a remainder, the last batch is
# smaller, or is left out with `drop_last=True`.

# %%
if MAIN:
    chapter.section()
    for samples, drop_last in [(100, False), (105, False), (105, True)]:
        loader = DataLoader(range(samples), batch_size=10, drop_last=drop_last)
        sizes = [len(batch) for batch in loader]
        print(f"{samples} samples, drop_last={drop_last}: {len(sizes)} iterations, sizes {sizes}")

# %% [markdown]
# ## Shuffling
#
# With `shuffle=True` the loader draws a new order in every epoch. Otherwise each batch would hold
# the same samples every time, and a sorted table would show the model one class after the other.
# The order comes from a random number generator: under the same **seed** it is the same.

# %%
if MAIN:
    chapter.section()
    for seed in (0, 0, 1):
        generator = torch.Generator().manual_seed(seed)
        loader = DataLoader(range(6), batch_size=1, shuffle=True, generator=generator)
        orders = [[batch.item() for batch in loader] for epoch in range(2)]
        print(f"seed {seed}: epoch 1 {orders[0]}, epoch 2 {orders[1]}")

# %% [markdown]
# ## A Dataset of your own · dataloader的建立
#
# A `Dataset` tells the loader two things: `__len__`, how many samples there are, and `__getitem__`,
# the sample with a given index. (The notes count three methods; `__init__` is needed to load the
# data, but the loader never calls it.) The loader then stacks samples into batches. All rows are
# standardized with the mean and standard deviation of all rows. In chapter 5 that would have leaked
# the test set; here there is none, as only the training loss is compared.


# %%
class MyDataset(Dataset):
    """The rows of a CSV file: features (C,), standardized, and the last column, the label (1,)."""

    def __init__(self, file_path: Path):
        xy = np.loadtxt(file_path, delimiter=",", dtype=np.float32, encoding="utf-8-sig")
        self.len = xy.shape[0]
        x_train = torch.from_numpy(xy[:, :-1])  # (N, C)
        # Clamped, or a column of equal numbers would be divided by 0.
        self.x_train = (x_train - x_train.mean(dim=0)) / x_train.std(dim=0).clamp(min=1e-6)
        self.y_train = torch.from_numpy(xy[:, [-1]])  # (N, 1)

    def __len__(self) -> int:
        """The number of samples."""
        return self.len

    def __getitem__(self, idx: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The features (C,) and the label (1,) of sample number idx."""
        return self.x_train[idx], self.y_train[idx]


if MAIN:
    chapter.section()
    check_table(args.csv)
    dataset = MyDataset(args.csv)
    x, y = dataset[0]
    print(f"{len(dataset)} samples; the first: features {tuple(x.shape)}, label {tuple(y.shape)}")
    train_loader = DataLoader(dataset, batch_size=args.batch_size, shuffle=True)
    inputs, labels = next(iter(train_loader))
    print(f"a batch: inputs {tuple(inputs.shape)}, labels {tuple(labels.shape)}")

# %% [markdown]
# ## Worker processes
#
# With `num_workers=2` two processes fetch batches in advance. That helps where fetching is slow:
# decoding images, reading files. This table lies in memory, so starting the processes costs more
# than they save. Where a worker is not a copy (a **fork**) of the running process (on Windows,
# macOS, and Linux from Python 3.14 on), it imports the script anew, and
# `if __name__ == '__main__':` keeps it from training as well. In these scripts that is `MAIN`.

# %%
if MAIN:
    chapter.section()
    if not workers_can_start():
        print("not shown: in a notebook, worker processes can't find MyDataset here")
    for workers in sorted({0, args.workers}) if workers_can_start() else []:
        start = time.perf_counter()
        for data in DataLoader(dataset, args.batch_size, shuffle=True, num_workers=workers):
            pass
        print(f"num_workers={workers}: one epoch takes {time.perf_counter() - start:.2f} s")

# %% [markdown]
# ## Training with mini-batches · 使用dataloader进行训练
#
# Two nested loops: epochs outside, batches inside; `enumerate` counts the batches. Each update
# follows the gradient of its batch, an estimate of the gradient of all the data: **mini-batch**
# SGD. The batch's loss is a mean, so for the mean of the epoch it is multiplied by the size of the
# batch. The network has one hidden layer of 16 units and a single logit, so the labels keep their
# shape (N, 1) and the loss is chapter 4's `BCEWithLogitsLoss`; `nn.Sequential` runs its layers one
# after the other and brings its own `forward`.


# %%
def train(
    model: torch.nn.Module,
    criterion: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    train_loader: DataLoader,
    device: torch.device,
    epochs: int,
) -> tuple[History, list[float]]:
    """Mini-batch SGD. Returns the mean loss of each epoch, and the loss of each batch."""
    losses = []
    # One thread: for a network this small, a second core is only waited for.
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
                loss_sum += losses[-1] * len(labels)
                samples += len(labels)
            progress.end_epoch(loss=loss_sum / samples)
    return progress.history, losses


if MAIN:
    chapter.section()
    torch.manual_seed(args.seed)
    model = torch.nn.Sequential(
        torch.nn.Linear(len(x), 16), torch.nn.Sigmoid(), torch.nn.Linear(16, 1)
    ).to(args.device)
    start = copy.deepcopy(model.state_dict())
    criterion = torch.nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    mini, losses = train(model, criterion, optimizer, train_loader, args.device, args.epochs)
    print(f"{len(losses):,} updates")

# %% [markdown]
# ## Batch size and learning rate
#
# The same network from the same start, with the full batch: one update per epoch. At the same
# learning rate it learns much less from an epoch, simply because it makes fewer updates. That is
# half the story. The gradient of a large batch is less noisy and allows a higher learning rate:
# with 1, a hundred times the default, the full batch comes close in the same number of epochs. On a
# GPU a large batch is also computed faster. So batch size and learning rate are chosen together.

# %%
if MAIN:
    chapter.section()
    x_data, y_data = dataset.x_train.to(args.device), dataset.y_train.to(args.device)
    epochs, full = epochs_done(mini), {}
    for lr in sorted({args.lr, 1.0}):
        print(f"full batch, learning rate {lr:g}:")
        model.load_state_dict(start)
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        full[lr] = training.full_batch(model, criterion, optimizer, x_data, y_data, epochs)

# %% [markdown]
# ## Results
#
# On the left, the mean loss of each epoch, for equal amounts of data seen. On the right, the loss
# over updates: that of single batches varies widely, and so do their gradients.

# %% tags=["hide-input"]
if MAIN:
    chapter.section()
    fig = plotting.figure(10, 4.2, args.show)
    left, right = fig.subplots(1, 2, sharey=True)
    name = f"batches of {args.batch_size}, lr {args.lr:g}"
    updates = np.unique(np.geomspace(1, len(losses), 3000).astype(int))  # all would hide the rest
    each = np.array(losses)[updates - 1]
    right.plot(updates, each, ".", color=plotting.GREY, ms=2, alpha=0.4, label=f"{name}, each")
    right.plot(
        np.array(mini["epoch"]) * len(losses) / mini["epoch"][-1], mini["loss"], color=plotting.RED
    )
    left.plot(mini["epoch"], mini["loss"], color=plotting.RED, label=f"{name}, mean of the epoch")
    for (lr, history), color in zip(full.items(), (plotting.BLUE, plotting.GREEN), strict=False):
        for axes in (left, right):
            axes.plot(
                history["epoch"], history["loss"], color=color, label=f"full batch, lr {lr:g}"
            )
    left.set(title="Over epochs: equal amounts of data", xlabel="epoch")
    left.set_ylabel("cross-entropy (nats)")
    left.legend()
    right.set(title="Over updates: each epoch has many, or one", xlabel="updates", xscale="log")
    right.legend(markerscale=8)
    right.set_ylim(0, 1.3 * max(full[args.lr]["loss"]))
    plotting.finish(fig, args.output_dir / "06_dataloader.png", args.show)

# %%
if MAIN:
    full_loss, mini_loss = full[args.lr]["loss"][-1], mini["loss"][epochs - 1]
    print(f"Training loss of epoch {epochs} at learning rate {args.lr:g}:", end=" ")
    print(f"full batch {full_loss:.4f}; batches of {args.batch_size}: {mini_loss:.4f}")
    chapter.end()
