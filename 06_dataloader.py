# %% [markdown]
"""# Chapter 6 · Dataset, DataLoader, mini-batches · dataloader的使用

You will write a `Dataset` for a table of your own, let a `DataLoader` shuffle it and cut it into
**mini-batches**, and write the loop that trains with them. You will compare batch sizes and
learning rates. So far every update used all samples, or a single one. In between lie mini-batches,
the way in which all larger networks are trained.

    python 06_dataloader.py                  the diabetes data
    python 06_dataloader.py --csv my.csv     your own: columns of numbers, last the label, 0 or 1
    python 06_dataloader.py --workers 0      without worker processes

The last lines of a run:

    Figure:     outputs/06_dataloader.png
    Training loss of epoch 100: full batch 0.6…, batches of 2 0.4…
"""

# %%
from common import chapter, cli, plotting

args = chapter.begin(
    __doc__, epochs=100, lr=0.01, batch_size=2, workers=2, device="auto", csv=cli.DIABETES
)

import copy
import time

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from common.data import check_table

# %% [markdown]
# ## Epoch, batch, iteration · dataloader的使用
#
# An **epoch** is one pass over all training samples. A **batch** (mini-batch) is the subset used
# for one update, and `batch_size` its size. An **iteration** is one update, so `len(loader)` is the
# number of iterations per epoch: 100 samples in batches of 10 make 10. If the division leaves a
# remainder, the last batch is smaller, or is left out with `drop_last=True`.

# %%
print(len(DataLoader(range(100), batch_size=10)))  # 10 iterations
print(len(DataLoader(range(105), batch_size=10)))  # 11, the last with 5 samples
print(len(DataLoader(range(105), batch_size=10, drop_last=True)))  # 10

# %% [markdown]
# ## Shuffling
#
# With `shuffle=True` the loader draws a new order in every epoch. Otherwise each batch would hold
# the same samples every time, and a sorted table would show the model one class after the other.
# The order comes from a random number generator: after the same **seed** it is the same.
#
# ![Shuffled epochs, cut into batches](docs/drawings/06_shuffled_epochs.svg)

# %%
loader = DataLoader(range(6), batch_size=2, shuffle=True)
torch.manual_seed(1)
print(list(loader))
print(list(loader))  # the next epoch: another order
torch.manual_seed(1)
print(list(loader))  # the first order again
torch.manual_seed(args.seed)  # for all that follows

# %% [markdown]
# ## A Dataset of your own · dataloader的建立
#
# A `Dataset`, here of chapter 5's table (eight features of 768 women, the label 1 for diabetes),
# tells the loader two things: `__len__`, how many samples there are, and `__getitem__`, the sample
# with a given index. (The notes count three methods; `__init__` loads the data, but the loader
# never calls it.) `x_train` and `y_train` need `self.`, which the notes forget, or `__getitem__`
# could not find them.
#
# The features are standardized as in chapter 5, here with all rows, since only training losses are
# compared. The notes read the table as float32, which keeps about seven digits: of a telephone
# number, 13900000101, it makes another one (the first line printed below). So the table is read as
# float64, with 16 digits, and converted after the standardization.


# %%
class MyDataset(Dataset):
    """The rows of a CSV file: features (C,), standardized, and the last column, the label (1,)."""

    def __init__(self, file_path):
        # xy = np.loadtxt(file_path, delimiter=",", dtype=np.float32)  # in the notes
        xy = np.loadtxt(file_path, delimiter=",")
        self.len = xy.shape[0]
        x_train = torch.from_numpy(xy[:, :-1])  # (N, C), float64
        self.x_train = ((x_train - x_train.mean(dim=0)) / x_train.std(dim=0)).float()
        self.y_train = torch.from_numpy(xy[:, [-1]]).float()  # (N, 1)

    def __len__(self):
        """The number of samples."""
        return self.len

    def __getitem__(self, idx):
        """The features (C,) and the label (1,) of sample number idx."""
        return self.x_train[idx], self.y_train[idx]


print(int(np.float32(13_900_000_101)))  # 13900000256
path = check_table(args.csv)  # the same path, once the table is checked
dataset = MyDataset(path)
print(len(dataset))
print(dataset[0])

# %% [markdown]
# ## Worker processes · 多进程
#
# With `num_workers=2` two **worker processes** fetch batches in advance. That helps where fetching
# is slow: decoding images, reading files. This table lies in memory, so starting the processes
# costs more than they save, as the next section shows.

# %%
train_loader = DataLoader(
    dataset, batch_size=args.batch_size, shuffle=True, num_workers=args.workers
)
print(len(train_loader), "iterations per epoch,", train_loader.num_workers, "workers")

# %% [markdown]
# ## A guard for the main process · 在main函数中使用
#
# A worker may begin by running this script once more, to know its classes: on Windows, on macOS,
# and on Linux from Python 3.14 on. There `__name__` is `"__mp_main__"`. So everything that only the
# main process may do stands under `if __name__ == "__main__":`, from here to the end. Without it,
# the worker would start workers of its own, which Python refuses: "An attempt has been made to
# start a new process before the current process has finished its bootstrapping phase".

# %%
if __name__ == "__main__":
    start = time.perf_counter()
    for data in train_loader:
        pass
    print("with workers:", time.perf_counter() - start, "s")

    train_loader = DataLoader(dataset, batch_size=args.batch_size, shuffle=True)  # no workers
    start = time.perf_counter()
    for data in train_loader:
        pass
    print("without:", time.perf_counter() - start, "s")

# %% [markdown]
# ## Training with mini-batches · 使用dataloader进行训练
#
# Two nested loops: epochs outside, batches inside; `enumerate` counts the batches. Each update
# follows the gradient of its batch, an estimate of the gradient of all the data: **mini-batch**
# SGD. The network has one hidden layer of 16 units and a single logit, so the labels keep their
# shape (N, 1) and the loss is chapter 4's `BCEWithLogitsLoss`. `nn.Sequential` runs layers one
# after the other and brings its own `forward`.

# %%
if __name__ == "__main__":
    features = dataset.x_train.shape[1]
    model = torch.nn.Sequential(
        torch.nn.Linear(features, 16), torch.nn.Sigmoid(), torch.nn.Linear(16, 1)
    )
    model.to(args.device)
    untrained = copy.deepcopy(model.state_dict())  # a copy: its own changes as it learns
    criterion = torch.nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)

    losses = []
    for epoch in range(args.epochs):
        loss_sum = 0
        for i, data in enumerate(train_loader, 0):
            inputs, labels = data
            inputs, labels = inputs.to(args.device), labels.to(args.device)
            y_pred = model(inputs)
            loss = criterion(y_pred, labels)

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(labels)
        losses.append(loss_sum / len(dataset))
        if (epoch + 1) % 10 == 0:
            print(f"Epoch {epoch + 1}/{args.epochs}, Loss: {losses[-1]:.4f}")

# %% [markdown]
# ## Batch size and learning rate
#
# Now the same network from the same start, with the full batch, which is one update per epoch: at
# the same learning rate it learns much less. At 384 times the rate, as many times as there are
# fewer updates, its loss soon jumps up, and then ends where that of batches of 2 ends. So what
# counts here is the learning rate times the number of updates: many small steps, or few long ones.
# But for each batch size there is a rate that is too high, and since the gradient of a small batch
# is noisy, its limit is lower: batches of 2 reach the lowest loss of all at 1, but hardly learn at
# 3.84 (not shown). All this is training loss; chapter 5 shows how to look for overfitting.


# %%
def train(model, criterion, optimizer, train_loader, device, epochs):
    """The two loops above as a function. Returns the mean loss of each epoch."""
    losses = []
    for epoch in range(epochs):
        loss_sum = 0
        for i, data in enumerate(train_loader, 0):
            inputs, labels = data
            inputs, labels = inputs.to(device), labels.to(device)
            y_pred = model(inputs)
            loss = criterion(y_pred, labels)

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(labels)  # the last batch may be smaller
        losses.append(loss_sum / len(train_loader.dataset))
    return losses


if __name__ == "__main__":
    curves = {(args.batch_size, args.lr): losses}
    high = args.lr * len(train_loader)
    for size, lr in [(len(dataset), args.lr), (len(dataset), high), (args.batch_size, 1.0)]:
        print("batches of", size, "learning rate", lr)
        model.load_state_dict(untrained)
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        loader = DataLoader(dataset, batch_size=size, shuffle=True)
        curves[size, lr] = train(model, criterion, optimizer, loader, args.device, args.epochs)
        print("loss of the last epoch", curves[size, lr][-1])

# %% [markdown]
# ## Results
#
# The training loss of each epoch, for equal amounts of data seen. Each point is a mean over the
# epoch, in which the parameters change. The peaks of the highest rate lie above the picture.

# %% tags=["hide-input"]
if __name__ == "__main__":
    fig = plotting.figure(8, 4, args.show)
    axes = fig.subplots()
    for (size, lr), curve in curves.items():
        label = f"batches of {size}, learning rate {lr:g}"
        axes.plot(range(1, len(curve) + 1), curve, label=label)
    axes.set(title="Batch size and learning rate", xlabel="epoch", ylabel="cross-entropy (nats)")
    axes.set_ylim(0.3, 0.8)
    axes.legend(loc=(0.5, 0.42))
    plotting.finish(fig, args.output_dir / "06_dataloader.png", args.show)

# %%
if __name__ == "__main__":
    full_loss = curves[len(dataset), args.lr][-1]
    batches = f"batches of {args.batch_size} {losses[-1]:.4f}"
    print(f"Training loss of epoch {args.epochs}: full batch {full_loss:.4f}, {batches}")
