# %%
"""Chapter 2 · Tensors that remember where they come from · torch重要的数据类型——Tensor

You will learn what a tensor is, how autograd builds a graph while you calculate and walks it back
to find the gradients, and how to train with nothing but gradients and updates by hand.

    python 02_autograd_linear.py

The last lines of a run:

    Figure:     outputs/02_autograd_linear.png
    Update per sample: w = 2.0000
    Update on the sum: w = 2.0000
"""

import torch

from common import cli, files, plotting
from common.device import pick_device
from common.progress import History, Progress, epochs_done, leave_if_stopped


# %% The first example · torch重要的数据类型——Tensor
def first_example() -> torch.Tensor:
    """The gradient of mean(2 x) by x at three places: (3,), each 2/3."""
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 2
    z = y.mean()
    z.backward()
    return x.grad


# %% Model and loss
def forward(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """The line w x of chapter 1, with a tensor for w."""
    return x * w


def loss(y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The squared error, in the shape of y_pred, which stands first as in torch's criteria."""
    return (y_pred - y) ** 2


# %% Train: update after every sample · 使用案例
def train_per_sample(xy_data: torch.Tensor, w: torch.Tensor, lr: float, epochs: int) -> History:
    """Change w (1, 1) in place after each of the points (N, 2).

    Returns w before each epoch, and the sum of the losses met on the way.
    """
    with Progress(epochs) as progress:
        for epoch in progress.epochs():
            w_before, loss_sum = w.item(), 0.0
            for x, y in xy_data:
                l = loss(forward(x, w), y)  # (1, 1); the graph grows as this line calculates
                l.backward()  # walks the graph back and adds to w.grad
                with torch.no_grad():
                    w -= lr * w.grad  # backward() itself never changes w
                w.grad.zero_()  # or the next gradient would be added to this one
                loss_sum += l.item()
            progress.end_epoch(loss=loss_sum, w=w_before)
    return progress.history


# %% Train: update on the sum
def train_on_sum(xy_data: torch.Tensor, w: torch.Tensor, lr: float, epochs: int) -> History:
    """Change w (1, 1) in place once per epoch, by the gradient of the sum over all points (N, 2).

    Returns w and the summed loss before each update.
    """
    with Progress(epochs) as progress:
        for epoch in progress.epochs():
            w_before, l_sum = w.item(), 0
            for x, y in xy_data:
                l = loss(forward(x, w), y)
                l_sum += l  # tensors: one graph holds all the points
            l_sum.backward()
            with torch.no_grad():
                w -= lr * w.grad
            w.grad.zero_()
            progress.end_epoch(loss=l_sum.item(), w=w_before)
    return progress.history


# %% The graph is built while you calculate · 计算图在前向传播过程中自动构建
def graph(node: torch.autograd.graph.Node, depth: int = 0) -> list[str]:
    """The operations that led to a result, latest first, as an indented tree of names."""
    lines = ["   " * depth + node.name()]
    for previous, _ in node.next_functions:
        if previous is not None:  # None: a number, or a tensor that needs no gradient
            lines += graph(previous, depth + 1)
    return lines


# %% backward updates nothing, and adds gradients up · 不会更新参数 · 梯度会累加
def gradients_add_up() -> list[tuple[float, float]]:
    """w and w.grad after backward of 3 w; after another one; and after zero_() and a third."""
    w = torch.tensor(1.0, requires_grad=True)
    seen = []
    for zero_first in [False, False, True]:
        if zero_first:
            w.grad.zero_()
        (3 * w).backward()
        seen.append((w.item(), w.grad.item()))
    return seen


# %% item() is a number, data a tensor that autograd does not watch · item和data
def change_behind_the_graph(attribute: str) -> float | str:
    """Change w from 3 to 30 through w.data or w.detach() between w ** 2 and its backward.

    Returns the gradient, which should be 2 w = 6, or what torch says instead.
    """
    w = torch.tensor(3.0, requires_grad=True)
    y = w**2
    unwatched = w.data if attribute == "data" else w.detach()
    unwatched.mul_(10)  # shares its memory with w
    try:
        y.backward()
    except RuntimeError as error:
        return str(error).split(":")[0]
    return w.grad.item()


def recorded_update() -> str:
    """What torch says to an update of w outside no_grad, where it would belong to the graph."""
    w = torch.tensor(1.0, requires_grad=True)
    try:
        w -= 0.01
    except RuntimeError as error:
        return str(error)
    return ""


# %% Only a single number can call backward · 标量
def backward_of_a_vector() -> str:
    """What torch says when a result of three numbers calls backward.

    A single number will do in any shape: the losses above are (1, 1).
    """
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    try:
        (x * 2).backward()
    except RuntimeError as error:
        return str(error)
    return ""


# %% Draw
def draw(xy_data: torch.Tensor, per_sample: History, on_sum: History, show: bool):
    """The figure: both paths of w over the curve of the loss, summed over the points (N, 2)."""

    def loss_sum(w: torch.Tensor) -> torch.Tensor:  # (W,) -> (W,)
        return loss(forward(xy_data[:, :1], w), xy_data[:, 1:]).sum(dim=0)

    fig = plotting.figure(10, 4, show)
    left, right = fig.subplots(1, 2, sharey=True)
    ws = torch.linspace(0.9, 2.3, 100)
    for axes, history, color, title in [
        (left, per_sample, plotting.RED, "An update per sample: three steps per epoch"),
        (right, on_sum, plotting.GREEN, "An update on the sum: one larger step per epoch"),
    ]:
        w = torch.tensor(history["w"])
        axes.plot(ws, loss_sum(ws), color=plotting.BLUE, label="summed over the points")
        axes.plot(w, loss_sum(w), "o", color=color, label="where each epoch starts")
        axes.set(title=title, xlabel="w", xlim=(0.9, 2.3), ylim=(-0.8, 17))
        axes.legend()
    left.set_ylabel("summed squared error")
    return fig


# %% Run the chapter
@cli.command
def main(argv=None):
    """Returns w after each of the two ways to train."""
    args = cli.parser(__doc__, epochs=100, lr=0.01, device=True).parse_args(argv)
    device, about_device = pick_device(args.device)
    files.output_folder(args.output_dir)
    step = cli.begin(__doc__, args.step)
    print(f"Device: {about_device}")

    step("A tensor is an array that can remember where it came from")
    for value in (3.0, [1.0, 2.0, 3.0], [[1.0, 2.0], [3.0, 4.0]]):
        print(f"   torch.tensor({value}) has the shape {tuple(torch.tensor(value).shape)}")
    print(f"   the gradient of mean(2 x) by x: {first_example()}")

    step("Train by hand, with an update after every sample")
    x_data = torch.tensor([1.0, 2.0, 3.0], device=device)
    y_data = torch.tensor([2.0, 4.0, 6.0], device=device)
    xy_data = torch.column_stack((x_data, y_data))  # (3, 2)
    w = torch.tensor([[1.0]], requires_grad=True, device=device)
    per_sample = train_per_sample(xy_data, w, args.lr, args.epochs)

    step("Train by hand, with one update per epoch, on the sum")
    w_on_sum = torch.tensor([[1.0]], requires_grad=True, device=device)
    on_sum = train_on_sum(xy_data, w_on_sum, args.lr, epochs_done(per_sample))

    step("Calculating builds a graph; backward walks it from the result to w")
    l = loss(forward(x_data[0], w), y_data[0])
    print("\n".join(f"   {line}" for line in graph(l.grad_fn)))

    step("backward changes no w, and adds its gradient to w.grad")
    names = ["once", "twice", "after zero_()"]
    for name, (value, gradient) in zip(names, gradients_add_up(), strict=True):
        print(f"   backward of 3 w {name + ':':14} w = {value:g}, w.grad = {gradient:g}")

    step("item() is a number; data and detach() are tensors outside the graph")
    print(f"   w.item() is {w.item():.4f}, w.data is {w.data}")
    x, y = 3.0, 6.0
    w_at_1 = torch.tensor(1.0, requires_grad=True)
    loss(forward(x, w_at_1), y).backward()
    grad = w_at_1.grad
    print(
        f"   at w = 1, x = 3, y = 6 the gradient 2 x (w x - y) is {2 * x * (1 * x - y):g} by hand;"
    )
    print(f"   w.grad is {grad!r}, w.grad.data the same, w.grad.item() is {grad.item():g}")
    print(
        "   w changed from 3 to 30 between y = w ** 2 and y.backward(); the gradient should be 6:"
    )
    print(f"   through w.data:     {change_behind_the_graph('data')}, and no word of warning")
    print(f"   through w.detach(): {change_behind_the_graph('detach')}")
    print("   An update is no part of the model. Outside no_grad, torch refuses it:")
    print(f"   {recorded_update()}")

    step("Only a single number can call backward")
    print(f"   (2 x).backward(): {backward_of_a_vector()}")

    step("What was learned")
    fig = draw(xy_data.cpu(), per_sample, on_sum, args.show)
    plotting.finish(fig, args.output_dir / "02_autograd_linear.png", args.show)
    print(f"Update per sample: w = {w.item():.4f}")
    print(f"Update on the sum: w = {w_on_sum.item():.4f}")
    leave_if_stopped(per_sample, args.epochs)
    leave_if_stopped(on_sum, args.epochs)
    return w.item(), w_on_sum.item()


if __name__ == "__main__":
    main()
