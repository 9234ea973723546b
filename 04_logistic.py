# %%
"""Chapter 4 · Yes or no: a probability instead of a quantity · 逻辑回归

You will learn what torchvision's data sets are, how a sigmoid makes a probability of any number,
which loss judges a probability, and why it is better given the number before the sigmoid.

    python 04_logistic.py

The last lines of a run:

    Figure:     outputs/04_logistic.png
    Even odds after 2.… hours
    Probability of passing after 4 hours: 0.8…
"""

from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision

from common import cli, files, plotting, training
from common.data import mnist_root
from common.device import pick_device
from common.progress import History, leave_if_stopped


# %% Pictures that come with their classes · torchvision
def first_digits(root: Path, count: int = 10) -> tuple[list, list[int]]:
    """The first pictures of MNIST's training set, and the classes that they belong to."""
    # download=True fetches only what isn't there.
    train_set = torchvision.datasets.MNIST(root, train=True, download=True)
    pictures, labels = zip(*(train_set[i] for i in range(count)), strict=True)
    return list(pictures), list(labels)


# %% Build the model · 逻辑回归模型构建
class LogisticModel(torch.nn.Module):
    """The probability of "yes", sigmoid(w x + b): (N, 1) -> (N, 1)."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1) -> (N, 1), each between 0 and 1."""
        y_pred = F.sigmoid(self.linear(x))  # a sigmoid has nothing to learn: a function will do
        return y_pred


class LogisticModelWithLayer(torch.nn.Module):
    """The same with the sigmoid as a layer, so that it stands in the list of layers, too."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)
        self.sigmoid = torch.nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1) -> (N, 1), each between 0 and 1."""
        y_pred = self.sigmoid(self.linear(x))
        return y_pred


# %% Loss: binary cross entropy · 二元交叉熵损失函数
def loss_and_optimizer(
    model: torch.nn.Module, lr: float
) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """The sum of -log(probability of what was true), and gradient descent."""
    criterion = torch.nn.BCELoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    return criterion, optimizer


# %% Better without the sigmoid: BCEWithLogitsLoss
def loss_and_gradient(logit: float, y: float, from_logit: bool) -> tuple[float, float]:
    """The loss of sigmoid(logit) where y is true, and its gradient by the logit.

    With `from_logit` by BCEWithLogitsLoss, which never forms the probability, so that none can be
    rounded to 0 or 1; else by a sigmoid and BCELoss, which cuts logarithms off at -100. The exact
    gradient is sigmoid(logit) - y.
    """
    z = torch.tensor(logit, requires_grad=True)
    y = torch.tensor(y)
    if from_logit:
        loss = torch.nn.BCEWithLogitsLoss()(z, y)
    else:
        loss = torch.nn.BCELoss()(torch.sigmoid(z), y)
    loss.backward()
    return loss.item(), z.grad.item()


# %% Draw
def boundary(model: torch.nn.Module) -> float:
    """The x at which the probability is 0.5, where w x + b = 0."""
    return (-model.linear.bias / model.linear.weight).item()


def draw(pictures, labels, x_data, y_data, model, history: History, show: bool):
    """The figure: a row of digits; the curve among the data, with its boundary; the loss."""
    fig = plotting.figure(10, 5.6, show)
    top, bottom = fig.subfigures(2, 1, height_ratios=[1, 3])
    captions = [str(label) for label in labels]
    plotting.image_row(top, pictures, captions, ["black"] * 10, "Ten classes: MNIST, for chapter 7")

    left, right = bottom.subplots(1, 2, width_ratios=[3, 2])
    x = torch.linspace(0, 6, 200).unsqueeze(1)  # (200, 1)
    with torch.no_grad():
        left.plot(x, model(x), color=plotting.BLUE, label="probability of passing")
    left.plot(x_data, y_data, "o", color=plotting.RED, label="data: 0 failed, 1 passed")
    left.axvline(boundary(model), color=plotting.GREY, ls="--", label="even odds")
    left.set(title="Two classes: who passes the exam?", xlabel="study time (hours)", xlim=(0, 6))
    left.set_ylabel("probability")
    left.legend()

    right.plot(history["epoch"], history["loss"], color=plotting.BLUE)
    right.set(title="The loss falls", xlabel="epoch", ylabel="summed cross entropy (nats)")
    return fig


# %% Run the chapter
@cli.command
def main(argv=None):
    """Returns the trained model and its history."""
    args = cli.parser(__doc__, epochs=1000, lr=0.01, device=True).parse_args(argv)
    device, about_device = pick_device(args.device)
    files.output_folder(args.output_dir)
    torch.manual_seed(args.seed)
    step = cli.begin(__doc__, args.step)
    print(f"Device: {about_device}")

    step("torchvision brings pictures and their classes")
    pictures, labels = first_digits(mnist_root())
    print(f"   MNIST's first ten, {pictures[0].size[0]} x {pictures[0].size[1]} pixels: {labels}")

    step("Hours studied, and whether the exam was passed")
    x_data = torch.tensor([[1.0], [2.0], [3.0]], device=device)  # (3, 1)
    y_data = torch.tensor([[0.0], [0.0], [1.0]], device=device)
    print(f"   x {x_data.flatten().tolist()}, y {y_data.flatten().tolist()}")

    step("Two ways to write the model, one result")
    model = LogisticModel().to(device)
    with_layer = LogisticModelWithLayer().to(device)
    with_layer.load_state_dict(model.state_dict())
    print(f"   F.sigmoid in forward:       {cli.numbers(model(x_data), 6)}")
    print(f"   nn.Sigmoid as an attribute: {cli.numbers(with_layer(x_data), 6)}")

    step(f"Train for {args.epochs:,} epochs, with the loop of chapter 3")
    criterion, optimizer = loss_and_optimizer(model, args.lr)
    history = training.full_batch(model, criterion, optimizer, x_data, y_data, args.epochs)

    step("The same loss from the number before the sigmoid, the logit: BCEWithLogitsLoss")
    with torch.no_grad():
        pair = criterion(model(x_data), y_data)
        logits = torch.nn.BCEWithLogitsLoss(reduction="sum")(model.linear(x_data), y_data)
    print(f"   sigmoid, BCELoss: {pair.item():.6f}   BCEWithLogitsLoss: {logits.item():.6f}")
    print("   But where the model is sure and wrong, at logit 200 with y = 0:")
    for name, from_logit in [("sigmoid, BCELoss: ", False), ("BCEWithLogitsLoss:", True)]:
        loss, gradient = loss_and_gradient(200.0, 0.0, from_logit)
        print(f"   {name} loss {loss:g}, gradient {gradient:g}")

    step("What was learned")
    model, x_data, y_data = model.cpu(), x_data.cpu(), y_data.cpu()  # to be drawn
    fig = draw(pictures, labels, x_data, y_data, model, history, args.show)
    plotting.finish(fig, args.output_dir / "04_logistic.png", args.show)
    print(f"Even odds after {boundary(model):.2f} hours")
    with torch.no_grad():
        p = model(torch.tensor([[4.0]])).item()
    print(f"Probability of passing after 4 hours: {p:.4f}")
    leave_if_stopped(history, args.epochs)
    return model, history


if __name__ == "__main__":
    main()
