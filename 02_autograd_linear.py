# %% [markdown]
"""# Chapter 2 · Tensors and autograd · torch重要的数据类型——Tensor

Chapter 1 derived the gradient by hand. From here on torch computes it: a tensor records how it was
computed, and `backward()` applies the chain rule. You will train with gradients from autograd and
updates of your own, first after every sample, then after all of them, and meet the pitfalls that
the notes list.

    python 02_autograd_linear.py

The last lines of a run:

    Figure:     outputs/02_autograd_linear.png
    Stochastic gradient descent: w = 2.0000
    Full-batch gradient descent: w = 2.0000
"""

# %%
from common import chapter, cli, plotting

MAIN = __name__ == "__main__"
if MAIN:
    args = chapter.begin(cli.parser(__doc__, epochs=100, lr=0.01, device=True))

# %%
import torch

from common.progress import History, Progress, epochs_done

# %% [markdown]
# ## Tensors · torch重要的数据类型——Tensor
#
# A **tensor** is torch's array: a scalar, a vector, a matrix, or an array with more dimensions. It
# has a shape, a type of numbers (`dtype`; Python's floats become float32), and a **device**, the
# processor that stores it and computes with it (`--device` chooses one; see chapter 7).

# %%
if MAIN:
    chapter.section()
    for value in (3.0, [1.0, 2.0, 3.0], [[1.0, 2.0], [3.0, 4.0]]):
        tensor = torch.tensor(value)
        print(f"torch.tensor({value}): shape {tuple(tensor.shape)}, {tensor.dtype}")

# %% [markdown]
# ## The first gradient
#
# With `requires_grad=True` autograd tracks all that is computed from a tensor. Here the **forward
# pass** computes $z = \frac{1}{3} (2 x_1 + 2 x_2 + 2 x_3)$. `z.backward()` is **backpropagation**,
# the backward pass: it stores in `x.grad` the gradient of $z$ with respect to $x$, at the point (1,
# 2, 3). Its three components are the partial derivatives $\partial z / \partial x_i = 2/3$.

# %%
if MAIN:
    chapter.section()
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 2
    z = y.mean()
    z.backward()
    print(f"z = {z.item():g}, x.grad = {x.grad}")

# %% [markdown]
# ## Stochastic gradient descent · 使用案例
#
# The model and the loss are chapter 1's. Now `l.backward()` computes the gradient that chapter 1
# derived by hand, $2 x (w x - y)$, and the update is still ours. Here $w$ changes after every
# single sample: this is **stochastic gradient descent** (SGD), whose steps follow the gradient of
# one sample, not of all (it usually shuffles the samples, too; chapter 6 does).
# `with torch.no_grad()` keeps the update out of the graph, and `zero_()` sets the gradient
# to zero before the next one is added to it. The loss of an epoch is added up while $w$ changes.


# %%
def forward(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """The model's prediction for x: a line through the origin."""
    return x * w


def loss(y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The squared error; the prediction comes first, as in torch's criteria."""
    return (y_pred - y) ** 2


def train_sgd(xy_data: torch.Tensor, w: torch.Tensor, lr: float, epochs: int) -> History:
    """Update w (1, 1) in place after each of the samples (N, 2).

    Returns w before each epoch, and the sum of the losses met in it.
    """
    with Progress(epochs) as progress:
        for epoch in progress.epochs():
            w_before, loss_sum = w.item(), 0.0
            for x, y in xy_data:
                l = loss(forward(x, w), y)  # (1, 1)
                l.backward()
                with torch.no_grad():
                    w -= lr * w.grad
                w.grad.zero_()
                loss_sum += l.item()
            progress.end_epoch(loss=loss_sum, w=w_before)
    return progress.history


if MAIN:
    chapter.section()
    x_data = torch.tensor([1.0, 2.0, 3.0], device=args.device)
    y_data = torch.tensor([2.0, 4.0, 6.0], device=args.device)
    xy_data = torch.column_stack((x_data, y_data))  # (3, 2)
    w = torch.tensor([[1.0]], requires_grad=True, device=args.device)
    sgd = train_sgd(xy_data, w, args.lr, args.epochs)

# %% [markdown]
# ## Full-batch gradient descent
#
# The other way adds up the losses of all samples first. `l_sum` is a tensor whose graph holds every
# sample, so one `backward()` gives the gradient of the sum, and there is one update per epoch. It
# does not depend on the order of the samples. The gradient of a sum of $N$ losses is $N$ times that
# of their mean, so at chapter 1's learning rate a step is three times as long as there. For about
# the same work SGD makes $N$ updates: three here, thousands with a large dataset.


# %%
def train_full_batch(xy_data: torch.Tensor, w: torch.Tensor, lr: float, epochs: int) -> History:
    """Update w (1, 1) in place once per epoch, by the gradient of the sum over the samples (N, 2).

    Returns w and the summed loss before each update.
    """
    with Progress(epochs) as progress:
        for epoch in progress.epochs():
            w_before, l_sum = w.item(), 0
            for x, y in xy_data:
                l = loss(forward(x, w), y)
                l_sum += l
            l_sum.backward()
            with torch.no_grad():
                w -= lr * w.grad
            w.grad.zero_()
            progress.end_epoch(loss=l_sum.item(), w=w_before)
    return progress.history


if MAIN:
    chapter.section()
    w_full = torch.tensor([[1.0]], requires_grad=True, device=args.device)
    full = train_full_batch(xy_data, w_full, args.lr, epochs_done(sgd))

# %% [markdown]
# ## The computation graph · 计算图在前向传播过程中自动构建
#
# The forward pass builds the **computation graph**: every result stores in `grad_fn` the operation
# that made it, and each operation points to the ones that made its inputs. `backward()` walks this
# graph from the loss to the **leaves**, the tensors that were created with `requires_grad=True`,
# and multiplies the derivatives on the way: the **chain rule**. The leaf $w$ appears in the tree as
# `AccumulateGrad`, which adds to `w.grad`. Then the graph is freed; the next forward pass builds a
# new one.


# %%
def graph(node: torch.autograd.graph.Node, depth: int = 0) -> list[str]:
    """The operations that led to a result, latest first, as an indented tree of names."""
    lines = ["   " * depth + node.name()]
    for previous, _ in node.next_functions:
        if previous is not None:  # None: a number, or a tensor that needs no gradient
            lines += graph(previous, depth + 1)
    return lines


if MAIN:
    chapter.section()
    l = loss(forward(x_data[0], w), y_data[0])
    print("\n".join(graph(l.grad_fn)))

# %% [markdown]
# ## backward() updates nothing and adds up gradients · 不会更新参数 · 梯度会累加
#
# `backward()` only fills `.grad`; changing the parameters is up to us. It **accumulates**: a second
# gradient is added to the first. That is useful, since a large batch can be computed in parts, and
# the reason why every training loop sets the gradients to zero before the next step.

# %%
if MAIN:
    chapter.section()
    a = torch.tensor(1.0, requires_grad=True)
    for when in ["once", "twice", "after zero_()"]:
        if when == "after zero_()":
            a.grad.zero_()
        (3 * a).backward()
        print(f"backward of 3a {when + ':':14} a = {a:g}, a.grad = {a.grad:g}")

# %% [markdown]
# ## Updates stay outside the graph
#
# An update is not part of the model, so no gradient should flow through it. There are two ways to
# get it wrong. Torch refuses the first: changing a leaf in place outside `no_grad`. The second,
# `a = a - lr * a.grad`, raises nothing. It makes `a` the name of a new tensor, the result of a
# computation and not a leaf, and the next `backward()` leaves its `.grad` at `None`.

# %%
if MAIN:
    chapter.section()
    try:
        a -= 0.01 * a.grad
    except RuntimeError as error:
        print(f"a -= 0.01 * a.grad:     {error}")
    print(f"before a = a - …:       a.is_leaf is {a.is_leaf}")
    a = a - 0.01 * a.grad
    print(f"after a = a - …:        a.is_leaf is {a.is_leaf}")
    b = torch.tensor(1.0, requires_grad=True)
    with torch.no_grad():
        b -= 0.01
    print(f"b -= … within no_grad:  b.is_leaf is {b.is_leaf}")

# %% [markdown]
# ## item and data · item和data
#
# `item()` gives a tensor's single value as a Python number. `.grad` is an ordinary tensor, so
# neither `item()` nor `data` is needed to compute with it. `data` is the same memory as a tensor
# that autograd does not watch. `detach()` is the same with a safeguard: a change through it is
# noticed if `backward()` still needs the old value. Below, $a$ changes from 3 to 30 between $a^2$
# and `backward()`, where the gradient should be $2a = 6$.

# %%
if MAIN:
    chapter.section()
    print(f"w.item() is {w.item():.4f}, w.data is {w.data}")
    for through in ["data", "detach()"]:
        a = torch.tensor(3.0, requires_grad=True)
        y = a**2
        unwatched = a.data if through == "data" else a.detach()
        unwatched.mul_(10)
        try:
            y.backward()
            said = f"a.grad is {a.grad.item():g}, and no warning"
        except RuntimeError as error:
            said = str(error).split(":")[0]
        print(f"changed through a.{through + ':':9} {said}")

# %% [markdown]
# ## backward() needs a scalar · 标量
#
# Only a single number has a gradient, so a loss is a **scalar** (or a tensor with one element, as
# above). For a vector $y$, `backward` has to be told what to differentiate: `gradient=v` weights
# the components, and the result is the gradient of $\sum_i v_i y_i$, the **vector-Jacobian
# product**. With all $v_i = 1$, that is `y.sum().backward()`.

# %%
if MAIN:
    chapter.section()
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    try:
        (2 * x).backward()
    except RuntimeError as error:
        print(f"(2 * x).backward(): {error}")
    (2 * x).backward(gradient=torch.tensor([1.0, 1.0, 10.0]))
    print(f"with gradient=[1, 1, 10]: x.grad = {x.grad.tolist()}")

# %% [markdown]
# ## Results
#
# Both ways reach $w = 2$. SGD makes three steps per epoch, each against the gradient of a different
# sample; full-batch gradient descent makes one, against their sum.

# %% tags=["hide-input"]
if MAIN:
    chapter.section()
    fig = plotting.figure(10, 4, args.show)
    ws = torch.linspace(0.9, 2.3, 100)  # (100,)
    xs, ys = x_data.cpu()[:, None], y_data.cpu()[:, None]  # (3, 1)
    left, right = fig.subplots(1, 2, sharey=True)
    for axes, history, color, title in [
        (left, sgd, plotting.RED, "SGD: an update per sample, three per epoch"),
        (right, full, plotting.GREEN, "Full batch: one update per epoch"),
    ]:
        w_list = torch.tensor(history["w"])
        axes.plot(ws, loss(ws * xs, ys).sum(dim=0), color=plotting.BLUE, label="summed loss")
        curve = loss(w_list * xs, ys).sum(dim=0)
        axes.plot(w_list, curve, "o", color=color, label="w before each epoch")
        axes.set(title=title, xlabel="w", xlim=(0.9, 2.3), ylim=(-0.8, 17))
        axes.legend()
    left.set_ylabel("summed squared error")
    plotting.finish(fig, args.output_dir / "02_autograd_linear.png", args.show)

# %%
if MAIN:
    print(f"Stochastic gradient descent: w = {w.item():.4f}")
    print(f"Full-batch gradient descent: w = {w_full.item():.4f}")
    chapter.end()
