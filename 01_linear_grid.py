# %%
"""Chapter 1 · A line through three points, with NumPy alone · 线性模型&梯度下降

You will learn what a model and a loss are, how to find the best weight by trying every one, how
broadcasting replaces the loops, and how gradient descent finds it by walking downhill.

    python 01_linear_grid.py             try every w, then walk there from w = 9
    python 01_linear_grid.py --lr 0.2    walk in steps that are nearly too long

The last lines of a run:

    Figure:     outputs/01_linear_grid.png
    Best on the grid: w = 2.0
    Gradient descent: w = 2.0004
"""

import numpy as np

from common import cli, files, plotting
from common.progress import History, Progress, leave_if_stopped


# %% Model and loss · 线性模型&梯度下降
def forward(x, w):
    """The model, a line through the origin: w x."""
    return x * w


def loss(y, y_pred):
    """The squared error of a prediction."""
    return (y_pred - y) ** 2


# %% Try every w
def grid_search(xy_data: np.ndarray, ws: np.ndarray) -> tuple[list[float], list[float]]:
    """The mean squared error of every w on the points (N, 2), as w_list and mse_list."""
    w_list, mse_list = [], []
    for w in ws:
        loss_sum = 0
        for x, y in xy_data:
            y_pred = forward(x, w)
            loss_sum += loss(y, y_pred)
        mse = loss_sum / len(xy_data)
        w_list.append(w)
        mse_list.append(mse)
    return w_list, mse_list


def grid_search_by_broadcasting(
    x_data: np.ndarray, y_data: np.ndarray, ws: np.ndarray
) -> np.ndarray:
    """The same without a loop: points (N,), (N,) and weights (W,) -> errors (W,)."""
    y_pred = forward(x_data, ws[:, np.newaxis])  # (N,) with (W, 1) makes (W, N)
    return loss(y_data, y_pred).mean(axis=1)


# %% Walk downhill
def gradient(x_data: np.ndarray, y_data: np.ndarray, w: float) -> float:
    """The derivative of the mean squared error by w: the mean of 2 x (w x - y)."""
    return (2 * x_data * (forward(x_data, w) - y_data)).mean()


def gradient_descent(
    x_data: np.ndarray, y_data: np.ndarray, w: float, lr: float, epochs: int
) -> tuple[float, History]:
    """Step against the gradient `epochs` times; the last w, and w and loss before each step.

    Progress, from common/progress.py, shows them and remembers them.
    """
    # Steps that are too long overflow: Progress says so in words.
    with Progress(epochs) as progress, np.errstate(over="ignore", invalid="ignore"):
        for epoch in progress.epochs():
            mse = loss(y_data, forward(x_data, w)).mean()
            progress.end_epoch(loss=mse, w=w)
            w = w - lr * gradient(x_data, y_data, w)
    return w, progress.history


# %% A line with an intercept
def error_surface(
    x_data: np.ndarray, y_data: np.ndarray, ws: np.ndarray, bs: np.ndarray
) -> np.ndarray:
    """Mean squared error of w x + b for every pair: weights (W,), intercepts (B,) -> (B, W)."""
    y_pred = forward(x_data, ws[:, np.newaxis]) + bs[:, np.newaxis, np.newaxis]  # (B, W, N)
    return loss(y_data, y_pred).mean(axis=-1)


# %% Draw
def draw(w_list, mse_list, history: History, ws, bs, surface: np.ndarray, show: bool):
    """The figure: the grid with the walk upon it, and the error surface (B, W) of w x + b."""
    fig = plotting.figure(10, 4.2, show)
    left, right = fig.subplots(1, 2)

    left.plot(w_list, mse_list, color=plotting.BLUE, label="every w on the grid")
    left.plot(history["w"], history["loss"], "o-", color=plotting.RED, label="gradient descent")
    left.set(xlim=(min(w_list), max(w_list)), ylim=(-0.05 * max(mse_list), 1.05 * max(mse_list)))
    left.set(title="y = w x: the error is lowest at w = 2", xlabel="w", ylabel="mean squared error")
    left.legend(loc="upper center")

    levels = [0, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]
    contours = right.contourf(ws, bs, surface, levels, cmap="Blues_r", norm="symlog")
    fig.colorbar(contours, ax=right, label="mean squared error", format="%g")
    b_index, w_index = np.unravel_index(surface.argmin(), surface.shape)
    right.plot(ws[w_index], bs[b_index], "o", color=plotting.RED)
    right.set(title="y = w x + b: a valley", xlabel="w", ylabel="b")
    right.grid(False)
    return fig


# %% Run the chapter
@cli.command
def main(argv=None):
    """Returns the best w on the grid and the one that gradient descent found."""
    args = cli.parser(__doc__, epochs=100, lr=0.01).parse_args(argv)
    files.output_folder(args.output_dir)
    step = cli.begin(__doc__, args.step)

    step("Three points on the line y = 2 x")
    x_data = np.array([1.0, 2.0, 3.0])
    y_data = np.array([2.0, 4.0, 6.0])
    xy_data = np.column_stack((x_data, y_data))  # (3, 2)
    print(f"   x, y: {xy_data.tolist()}")

    step("Try every w from 0.0 to 9.9")
    ws = np.arange(0.0, 10.0, 0.1)  # (100,)
    w_list, mse_list = grid_search(xy_data, ws)
    best = w_list[np.argmin(mse_list)]
    print(f"   {len(w_list)} weights, the lowest error {min(mse_list):.4f} at w = {best:.1f}")

    step("The same without loops, by broadcasting")
    broadcast = grid_search_by_broadcasting(x_data, y_data, ws)
    print(f"   the largest difference: {np.abs(broadcast - mse_list).max():.1e}")

    step(f"Gradient descent from w = 9, {args.epochs} steps of {args.lr} times the gradient")
    w, history = gradient_descent(x_data, y_data, 9.0, args.lr, args.epochs)

    step("A line with an intercept: y = 2 x + 1, every w with every b")
    bs = np.arange(-4.0, 6.01, 0.1)  # (101,)
    surface = error_surface(x_data, y_data + 1, ws, bs)
    b_index, w_index = np.unravel_index(surface.argmin(), surface.shape)
    w_there, b_there = ws[w_index], bs[b_index]
    print(f"   {surface.size:,} pairs, the lowest error at w = {w_there:.1f}, b = {b_there:.1f}")

    step("What was learned")
    fig = draw(w_list, mse_list, history, ws, bs, surface, args.show)
    plotting.finish(fig, args.output_dir / "01_linear_grid.png", args.show)
    print(f"Best on the grid: w = {best:.1f}")
    print(f"Gradient descent: w = {w:.4f}")
    leave_if_stopped(history, args.epochs)
    return best, w


if __name__ == "__main__":
    main()
