# %%
"""Chapter 3 · The same line, with what torch brings along · Pytorch实现线性回归模型

You will learn to build a model as a class, to let a criterion measure it and an optimizer update
it, and the five lines of training that all later chapters repeat.

    python 03_nn_linear.py                 a hundred epochs, as in the notes
    python 03_nn_linear.py --epochs 1000   much nearer to the exact answer

The last lines of a run:

    Figure:     outputs/03_nn_linear.png
    Prediction for x = 4: 7.…
"""

import torch

from common import cli, files, plotting
from common.device import pick_device
from common.progress import History, Progress, epochs_done, leave_if_stopped


# %% Build the model · 模型构建
class LinearModel(torch.nn.Module):
    """A line y = w x + b: (N, 1) -> (N, 1)."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)  # one input, one output: it owns w (1, 1) and b (1,)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Called by model(x), which is why its name is fixed: (N, 1) -> (N, 1)."""
        y_pred = self.linear(x)
        return y_pred


# %% Loss and optimizer · 损失函数与优化器
def loss_and_optimizer(
    model: torch.nn.Module, lr: float
) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """The summed squared error, and the optimizer that steps against its gradient."""
    criterion = torch.nn.MSELoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    return criterion, optimizer


# %% Train · 训练过程
def train(
    model: LinearModel,
    criterion: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    x_data: torch.Tensor,
    y_data: torch.Tensor,
    epochs: int,
) -> History:
    """Full-batch gradient descent. Returns the loss, w and b before each update.

    Progress, from common/progress.py, shows them and remembers them.
    """
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


# %% The exact answer, for comparison
def least_squares(x_data: torch.Tensor, y_data: torch.Tensor) -> tuple[float, float]:
    """The w and b with the smallest squared error on (N, 1) and (N, 1), in closed form.

    Source: the normal equations; torch.linalg.lstsq solves them.
    """
    columns = torch.cat([x_data, torch.ones_like(x_data)], dim=1)  # (N, 2): x and 1
    w, b = torch.linalg.lstsq(columns, y_data).solution.flatten().tolist()
    return w, b


# %% The course's exercise: every optimizer on the same line
OPTIMIZERS = [
    "SGD", "ASGD", "Rprop", "RMSprop", "Adagrad", "Adadelta", "Adafactor",
    "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "LBFGS",
]  # fmt: skip
# torch's others do not fit a line: SparseAdam wants sparse gradients, Muon matrices.


def losses_with(
    optimizer_name: str, x_data: torch.Tensor, y_data: torch.Tensor, lr: float, epochs: int
) -> list[float]:
    """The loss before each of an optimizer's updates, from a fresh model on."""
    model = LinearModel().to(x_data.device)
    criterion = torch.nn.MSELoss(reduction="sum")
    optimizer = getattr(torch.optim, optimizer_name)(model.parameters(), lr=lr)

    def closure():  # LBFGS asks for the loss several times in one step, so all are given this
        optimizer.zero_grad()
        loss = criterion(model(x_data), y_data)
        loss.backward()
        return loss

    return [optimizer.step(closure).item() for epoch in range(epochs)]


# %% Draw
def draw(x_data, y_data, history: History, last, losses: dict[str, list[float]], show: bool):
    """The figure: the line as it learns up to `last`, w and b; its loss; each optimizer's loss."""
    fig = plotting.figure(10, 6.6, show)
    top, bottom = fig.subfigures(2, 1, height_ratios=[1, 1.1])
    left, right = top.subplots(1, 2)

    lines = [*zip(history["w"], history["b"], strict=True), last]
    end = len(lines) - 1
    moments = sorted({min(moment, end) for moment in (0, 1, 3, 10, end)})
    x = torch.tensor([0.0, 5.0])
    for moment, shade in zip(moments, (0.2, 0.35, 0.5, 0.75, 1), strict=False):
        w, b = lines[moment]
        y = w * x + b
        left.plot(x, y, color=plotting.BLUE, alpha=shade, label=f"updates: {moment}")
    left.plot(x_data, y_data, "o", color=plotting.RED, label="data")
    left.set(title="The line turns towards the data", xlabel="x", ylabel="y")
    left.legend(fontsize=8)

    right.semilogy(history["epoch"], history["loss"], color=plotting.BLUE)
    right.set(
        title="The loss falls fast, then slowly", xlabel="epoch", ylabel="summed squared error"
    )

    axes = bottom.subplots()
    for (name, values), (color, dashes) in zip(losses.items(), plotting.LINES, strict=False):
        axes.semilogy(range(1, len(values) + 1), values, dashes, color=color, label=name, lw=1.5)
    axes.set(title="Each optimizer, same start, same learning rate", xlabel="epoch")
    axes.set_ylabel("summed squared error")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


# %% Run the chapter
@cli.command
def main(argv=None):
    """Returns the trained model and its history."""
    args = cli.parser(__doc__, epochs=100, lr=0.01, device=True).parse_args(argv)
    device, about_device = pick_device(args.device)
    files.output_folder(args.output_dir)
    torch.manual_seed(args.seed)
    step = cli.begin(__doc__, args.step)
    print(f"Device: {about_device}")

    step("Three points on the line y = 2 x, as columns")
    # Linear wants a row for each sample and a column for each of its inputs.
    x_data = torch.tensor([[1.0], [2.0], [3.0]], device=device)  # (3, 1)
    y_data = torch.tensor([[2.0], [4.0], [6.0]], device=device)  # (3, 1)
    print(f"   x {tuple(x_data.shape)}, y {tuple(y_data.shape)}")

    step("The model knows its parameters by name")
    model = LinearModel().to(device)
    for name, parameter in model.named_parameters():
        print(f"   {name:13} {tuple(parameter.shape)!s:6} = {parameter.item():.4f}")

    step(f"Train for {args.epochs:,} epochs: forward, loss, zero_grad, backward, step")
    criterion, optimizer = loss_and_optimizer(model, args.lr)
    history = train(model, criterion, optimizer, x_data, y_data, args.epochs)

    step("Compare with the exact answer")
    exact_w, exact_b = least_squares(x_data.cpu(), y_data.cpu())
    w, b = model.linear.weight.item(), model.linear.bias.item()
    print(f"   learned:       w = {w:.4f}, b = {b:.4f}")
    print(f"   least squares: w = {exact_w:.4f}, b = {exact_b:.4f}")

    step("Give the same task to every optimizer")
    losses, stopped = {}, False
    try:
        for name in OPTIMIZERS:
            torch.manual_seed(args.seed)  # all start where our model started
            losses[name] = losses_with(name, x_data, y_data, args.lr, epochs_done(history))
    except KeyboardInterrupt:
        stopped = True
    losses = dict(sorted(losses.items(), key=lambda item: item[1][-1], reverse=True))
    for name, values in losses.items():
        print(f"   {name:10} loss {values[-1]:.2e}")

    step("What was learned")
    fig = draw(x_data.cpu(), y_data.cpu(), history, (w, b), losses, args.show)
    plotting.finish(fig, args.output_dir / "03_nn_linear.png", args.show)
    with torch.no_grad():
        print(f"Prediction for x = 4: {model(torch.tensor([[4.0]], device=device)).item():.4f}")
    leave_if_stopped(history, args.epochs)
    if stopped:
        print(f"Stopped after {len(losses)} of {len(OPTIMIZERS)} optimizers.")
        raise SystemExit(cli.STOPPED_BY_CTRL_C)
    return model, history


if __name__ == "__main__":
    main()
