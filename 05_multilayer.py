# %%
"""Chapter 5 · Eight inputs and hidden layers · 高维度数据输入的处理 · 多个隐藏层的神经网络

You will learn to bring a table from NumPy to torch, to scale it, to hold a part of it back for an
honest test, and to put layers one upon the other. Real data: 768 women, and which of them were
diagnosed with diabetes within five years.

    python 05_multilayer.py
    python 05_multilayer.py --epochs 10000    the deep network learns its part by heart

The last lines of a run:

    Figure:     outputs/05_multilayer.png
    Accuracy on 154 women held out, give or take 0.04:
       always "no"  0.6234
       one layer    0.7…
       three layers 0.7…
"""

import math

import numpy as np
import torch

from common import cli, files, plotting, training
from common.data import DATA, check_table
from common.device import pick_device
from common.progress import History, epochs_done, leave_if_stopped


# %% Eight inputs · 高维度数据输入的处理
class PlainModel(torch.nn.Module):
    """One linear layer: measurements (N, 8) -> scores for "no" and "yes" (N, 2)."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 8) -> (N, 2)"""
        return self.linear(x)


# %% Hidden layers · 多个隐藏层的神经网络
class DeepModel(torch.nn.Module):
    """Two hidden layers of 16 between: measurements (N, 8) -> scores (N, 2)."""

    def __init__(self):
        super().__init__()
        self.hidden1 = torch.nn.Linear(8, 16)
        self.hidden2 = torch.nn.Linear(16, 16)
        self.sigmoid = torch.nn.Sigmoid()
        self.output = torch.nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 8) -> (N, 2)"""
        x = self.sigmoid(self.hidden1(x))  # (N, 16)
        x = self.sigmoid(self.hidden2(x))  # (N, 16)
        x = self.output(x)
        return x


# %% From NumPy to torch · numpy到torch的转换
def three_ways(xy: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs (N, 8) and the label column (N, 1) twice, from a table (N, 9).

    A slice is a view: the first two share their memory with xy. A list of columns makes a copy.
    """
    x = torch.from_numpy(xy[:, :-1])  # all columns but the last
    y = torch.from_numpy(xy[:, -1]).unsqueeze(1)  # (N,) -> (N, 1)
    same_y = torch.from_numpy(xy[:, [-1]])  # the list keeps the dimension
    return x, y, same_y


# %% Hold a part back, and scale
def split(xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows (N, 9) to train on, and each fifth one, held out: the model never learns from it."""
    held_out = np.arange(len(xy)) % 5 == 0
    return xy[~held_out], xy[held_out]


def standardize(x: torch.Tensor, x_train: torch.Tensor) -> torch.Tensor:
    """Columns (N, 8) of mean 0 and deviation 1, as the training part (M, 8) has them.

    The held-out part has no say, or a little of it would leak into the training.
    """
    return (x - x_train.mean(dim=0)) / x_train.std(dim=0)


# %% Train, and test on both parts
def loss_and_optimizer(
    model: torch.nn.Module, lr: float
) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """Cross entropy, which chapter 7 takes to pieces, and gradient descent.

    BCELoss judges one probability per row. Two scores per row need CrossEntropyLoss, whose labels
    are the numbers of the classes: (N,), int64.
    """
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    return criterion, optimizer


def accuracy(model: torch.nn.Module, x: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of rows (N, 8) whose higher score is that of their label (N,)."""
    with torch.no_grad():
        predicted = model(x).argmax(dim=1)  # (N,)
    return (predicted == labels).float().mean().item()


# %% Draw
def draw(histories: dict[str, History], always_no: float, show: bool):
    """The figure: the loss of both models, and their accuracy on both parts."""
    fig = plotting.figure(10, 4.2, show)
    left, right = fig.subplots(1, 2)
    for (name, history), color in zip(
        histories.items(), (plotting.BLUE, plotting.RED), strict=True
    ):
        epochs = history["epoch"]
        left.plot(epochs, history["loss"], color=color, label=name)
        for part, dashes in [("training", ":"), ("held-out", "-")]:
            style = {"color": color, "lw": 1.5, "label": f"{name}, {part} part"}
            right.plot(epochs, history[f"{part} accuracy"], dashes, **style)
    left.set(title="Training loss", xlabel="epoch", ylabel="cross entropy (nats)")
    left.legend()
    right.axhline(always_no, color=plotting.GREY, ls="--", label='always "no", held-out part')
    right.set(title="Accuracy on both parts", xlabel="epoch", ylabel="accuracy")
    right.legend(loc="best", fontsize=8)
    return fig


# %% Run the chapter
@cli.command
def main(argv=None):
    """Returns the histories of both models and the accuracy of always saying no."""
    args = cli.parser(__doc__, epochs=1000, lr=0.5, device=True).parse_args(argv)
    device, about_device = pick_device(args.device)
    files.output_folder(args.output_dir)
    torch.manual_seed(args.seed)
    step = cli.begin(__doc__, args.step)
    print(f"Device: {about_device}")

    step("A table of numbers, from NumPy to torch")
    path = DATA / "diabetes.csv"
    check_table(path)
    xy = np.loadtxt(path, delimiter=",", dtype=np.float32, encoding="utf-8-sig")  # (768, 9)
    train_rows, held_out_rows = split(xy)
    x_train, y_train, same_y = three_ways(train_rows)
    x_held_out, y_held_out, _ = three_ways(held_out_rows)
    print(f"   all {xy.shape}, to train on {train_rows.shape}, held out {held_out_rows.shape}")
    for code, tensor in [
        ("xy[:, :-1]", x_train),
        ("xy[:, -1] and unsqueeze(1)", y_train),
        ("xy[:, [-1]]", same_y),
    ]:
        print(f"   {code:27} {tuple(tensor.shape)!s:9} begins {cli.numbers(tensor[0])}")
    before = train_rows[0, -1]
    train_rows[0, -1] = 99  # who notices?
    print("   after 99 has been written into the first row of the table:")
    print(f"   xy[:, -1] and unsqueeze(1)  begins {y_train[0].item():g}, it shares the memory")
    print(f"   xy[:, [-1]]                 begins {same_y[0].item():g}, it is a copy")
    train_rows[0, -1] = before

    step("Every column is brought to mean 0 and deviation 1")
    print(f"   means before: {cli.numbers(x_train.mean(dim=0))}")
    x_held_out = standardize(x_held_out, x_train).to(device)
    x_train = standardize(x_train, x_train).to(device)
    print(f"   and after:    {cli.numbers(x_train.mean(dim=0).abs())}")
    labels_train = y_train.squeeze(1).long().to(device)  # (614,)
    labels_held_out = y_held_out.squeeze(1).long().to(device)  # (154,)
    always_no = (labels_held_out == 0).float().mean().item()

    histories, epochs = {}, args.epochs
    for name, model in {"one layer": PlainModel(), "three layers": DeepModel()}.items():
        step(f"Train {name} for {epochs:,} epochs, on {len(x_train)} women")
        model = model.to(device)
        criterion, optimizer = loss_and_optimizer(model, args.lr)

        def both_accuracies(model=model):  # this round's
            return {
                "training accuracy": accuracy(model, x_train, labels_train),
                "held-out accuracy": accuracy(model, x_held_out, labels_held_out),
            }

        histories[name] = training.full_batch(
            model, criterion, optimizer, x_train, labels_train, epochs, both_accuracies
        )
        epochs = epochs_done(histories[name])  # a Ctrl-C counts for both

    step("What was learned")
    fig = draw(histories, always_no, args.show)
    plotting.finish(fig, args.output_dir / "05_multilayer.png", args.show)
    # How much chance alone moves a share of so few: the binomial distribution's deviation.
    give_or_take = math.sqrt(always_no * (1 - always_no) / len(x_held_out))
    print(f"Accuracy on {len(x_held_out)} women held out, give or take {give_or_take:.2f}:")
    print(f'   always "no"  {always_no:.4f}')
    for name, history in histories.items():
        print(f"   {name:12} {history['held-out accuracy'][-1]:.4f}")
    for history in histories.values():
        leave_if_stopped(history, args.epochs)
    return histories, always_no


if __name__ == "__main__":
    main()
