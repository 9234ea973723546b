# %% [markdown]
"""# Chapter 3 · Linear regression with torch.nn · Pytorch实现线性回归模型

Chapter 2 wrote the model, the loss and the update by hand. `torch.nn` and `torch.optim` bring all
three: a model is a class, a criterion measures its error, an optimizer updates its parameters. The
five lines of training in this chapter train every later model, too.

    python 03_nn_linear.py                 100 epochs, as in the notes
    python 03_nn_linear.py --epochs 1000   much nearer to the exact solution

The last lines of a run:

    Figure:     outputs/03_nn_linear.png
    Prediction for x = 4: 7.…
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
# ## The data, one row per sample
#
# The task is **regression**: predict a number $y$ from a number $x$. The layers of `torch.nn` take
# a whole batch of samples at once, as a matrix with one row per sample and one column per
# **feature** (input variable). So three samples with one feature each are a tensor of shape (3, 1).

# %%
if MAIN:
    chapter.section()
    x_data = torch.tensor([[1.0], [2.0], [3.0]], device=args.device)  # (3, 1)
    y_data = torch.tensor([[2.0], [4.0], [6.0]], device=args.device)  # (3, 1)
    print(f"x_data {tuple(x_data.shape)}, y_data {tuple(y_data.shape)}, on the line y = 2x")

# %% [markdown]
# ## The model · 模型构建
#
# A model is a class that inherits from `nn.Module`. `__init__` creates its layers, and `forward` is
# the **forward pass**: it computes the prediction $\hat y = w x + b$. `nn.Linear(1, 1)` has one
# input and one output, owns the weight $w$ and the **bias** $b$, and starts them at random values.
# Calling `model(x)` runs `forward`, which is why that name is fixed. `nn.Module` finds every
# **parameter**, a tensor that training may change, and knows it by name.


# %%
class LinearModel(torch.nn.Module):
    """A line y = w x + b: (N, 1) -> (N, 1)."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)  # weight (1, 1), bias (1,)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The prediction for each row: (N, 1) -> (N, 1)."""
        y_pred = self.linear(x)
        return y_pred


if MAIN:
    chapter.section()
    model = LinearModel().to(args.device)
    for name, parameter in model.named_parameters():
        print(f"{name:13} {tuple(parameter.shape)!s:6} = {parameter.item():.4f}")

# %% [markdown]
# ## Loss function and optimizer · 损失函数与优化器
#
# The **criterion** is the loss function, here the squared error. `reduction="sum"` adds up the
# errors of all samples; `"mean"` averages them. The gradient of the sum is $N$ times that of the
# mean, so at the same learning rate a step is $N$ times as long: switching from one to the other
# means choosing a new learning rate. The **optimizer** is given the parameters. Its `step()`
# updates them; for SGD, (stochastic) gradient descent, the update is
# $w = w - lr \cdot \partial L / \partial w$.

# %%
if MAIN:
    chapter.section()
    criterion = torch.nn.MSELoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)

    for reduction in ["sum", "mean"]:
        loss = torch.nn.MSELoss(reduction=reduction)(model(x_data), y_data)
        (gradient,) = torch.autograd.grad(loss, model.linear.bias)
        print(f"reduction={reduction!r:6}  loss {loss.item():8.4f}  dL/db {gradient.item():9.4f}")

# %% [markdown]
# ## Training · 训练过程
#
# Each epoch makes five calls: the forward pass, the loss, `zero_grad()`, `backward()`, `step()`.
# `backward()` is **backpropagation**: it adds the gradient of the loss to each parameter's `.grad`,
# which is why `zero_grad()` has to clear it first. All three samples go into every update: this is
# **full-batch** gradient descent. `Progress`, from common/progress.py, shows the bar and records
# the values; it is not part of the training.


# %%
def train(
    model: LinearModel,
    criterion: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    x_data: torch.Tensor,
    y_data: torch.Tensor,
    epochs: int,
) -> History:
    """Full-batch gradient descent. Returns the loss, w and b before each update."""
    with Progress(epochs) as progress:
        for epoch in progress.epochs():
            w, b = model.linear.weight.item(), model.linear.bias.item()
            y_pred = model(x_data)
            loss = criterion(y_pred, y_data)

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            progress.end_epoch(loss=loss.item(), w=w, b=b)
    return progress.history


if MAIN:
    chapter.section()
    history = train(model, criterion, optimizer, x_data, y_data, args.epochs)
    w, b = model.linear.weight.item(), model.linear.bias.item()
    print(f"learned: w = {w:.4f}, b = {b:.4f}")

# %% [markdown]
# ## The exact solution
#
# Linear regression is one of the few models whose best parameters have a closed form. With the
# matrix $X$ whose columns are $x$ and, for the bias, 1, the **least squares** problem is to
# minimize $\|X (w, b)^T - y\|^2$; `torch.linalg.lstsq` solves it by a QR factorization. It is a
# check on gradient descent, which after 100 epochs is on its way, but not there: the loss falls
# fast along the steep direction of its surface, and slowly along the flat valley in which $w$ and
# $b$ compensate for each other (chapter 1 draws it).


# %%
def least_squares(x_data: torch.Tensor, y_data: torch.Tensor) -> tuple[float, float]:
    """The w and b with the smallest squared error on (N, 1) and (N, 1), in closed form."""
    columns = torch.cat([x_data, torch.ones_like(x_data)], dim=1)  # (N, 2): x and 1
    w, b = torch.linalg.lstsq(columns, y_data).solution.flatten().tolist()
    return w, b


if MAIN:
    chapter.section()
    exact_w, exact_b = least_squares(x_data.cpu(), y_data.cpu())
    print(f"gradient descent: w = {w:.4f}, b = {b:.4f}")
    print(f"least squares:    w = {exact_w:.4f}, b = {exact_b:.4f}")

# %% [markdown]
# ## Other optimizers
#
# `torch.optim` has many. All are used alike, so trying another one means changing one line. Here
# each trains the same model from the same start, with its own default learning rate. This shows how
# they behave, and is no ranking: the defaults differ a thousandfold (SGD 0.001, Adadelta 1.0), each
# would have to be tuned, and LBFGS computes the loss up to 20 times in one step. For that, `step`
# is given a `closure`, a function that computes loss and gradients; the others call it once.

# %%
OPTIMIZERS = [
    "SGD", "ASGD", "Rprop", "RMSprop", "Adagrad", "Adadelta", "Adafactor",
    "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "LBFGS",
]  # fmt: skip
# Two don't fit a line: SparseAdam needs sparse gradients, Muon matrices.


def losses_with(
    optimizer: torch.optim.Optimizer,
    model: torch.nn.Module,
    criterion: torch.nn.Module,
    x_data: torch.Tensor,
    y_data: torch.Tensor,
    epochs: int,
) -> list[float]:
    """Train the model, and return the loss before each of the optimizer's updates."""

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = criterion(model(x_data), y_data)
        loss.backward()
        return loss

    return [optimizer.step(closure).item() for epoch in range(epochs)]


if MAIN:
    chapter.section()
    losses = {}
    with Progress(len(OPTIMIZERS), 1, unit="optimizer") as progress:
        for name in progress.batches(OPTIMIZERS):
            torch.manual_seed(args.seed)  # the same random start as above
            fresh = LinearModel().to(args.device)
            other = getattr(torch.optim, name)(fresh.parameters())
            epochs = epochs_done(history)
            losses[name] = losses_with(other, fresh, criterion, x_data, y_data, epochs)
            lr = float(other.param_groups[0]["lr"])
            print(f"{name:10} lr {lr:<6g} last loss {losses[name][-1]:.2e}")

# %% [markdown]
# ## Results
#
# The line turns towards the data, quickly at first. To predict, run the forward pass alone: inside
# `torch.no_grad()` no computation graph is built, since no gradient will be needed.

# %% tags=["hide-input"]
if MAIN:
    chapter.section()
    fig = plotting.figure(10, 7, args.show)
    top, bottom = fig.subfigures(2, 1, height_ratios=[1, 1.1])
    left, right = top.subplots(1, 2)

    lines = [*zip(history["w"], history["b"], strict=True), (w, b)]
    end = len(lines) - 1
    x = torch.tensor([0.0, 5.0])
    moments = sorted({min(moment, end) for moment in (0, 1, 3, 10, end)})
    for moment, shade in zip(moments, (0.2, 0.35, 0.5, 0.75, 1), strict=False):
        y = lines[moment][0] * x + lines[moment][1]
        left.plot(x, y, color=plotting.BLUE, alpha=shade, label=f"updates: {moment}")
    left.plot(x_data.cpu(), y_data.cpu(), "o", color=plotting.RED, label="data")
    left.set(title="The line turns towards the data", xlabel="x", ylabel="y")
    left.legend(fontsize=8)

    right.semilogy(history["epoch"], history["loss"], color=plotting.BLUE)
    right.set(title="The loss falls fast, then slowly", xlabel="epoch")
    right.set_ylabel("summed squared error")

    panels = bottom.subplots(2, 7, sharex=True, sharey=True).flatten()
    for panel, (name, values) in zip(panels, losses.items(), strict=False):
        panel.semilogy(losses["SGD"], color=plotting.GREY, lw=1, alpha=0.5)
        panel.semilogy(values, color=plotting.RED, lw=1.5)
        panel.set_title(name, fontsize=9)
    for panel in panels[len(losses) :]:
        panel.set_axis_off()
    bottom.suptitle("Each optimizer with its default learning rate (grey: SGD)", fontsize=11)
    bottom.supxlabel("epoch", fontsize=10)
    bottom.supylabel("summed squared error", fontsize=10)
    plotting.finish(fig, args.output_dir / "03_nn_linear.png", args.show)

# %%
if MAIN:
    x_new = torch.tensor([[4.0]], device=args.device)
    with torch.no_grad():
        y_new = model(x_new)
    print(f"Prediction for x = 4: {y_new.item():.4f}")
    chapter.end()
