# %% [markdown]
"""# Chapter 1 · Linear regression by grid search and gradient descent · 线性模型&梯度下降

You will write a model and its loss function in NumPy, find the best weight by trying a hundred of
them, replace the loops by broadcasting, and find the weight again by gradient descent, the method
by which all networks in the later chapters are trained. The modules in common/ read the flags,
announce the sections and draw the figure; you need not know how.

    python 01_linear_grid.py             grid search, then gradient descent from w = 9
    python 01_linear_grid.py --lr 0.2    a learning rate that is almost too high

The last lines of a run:

    Figure:     outputs/01_linear_grid.png
    Grid search: w = 2.0
    Gradient descent: w = 2.0004
"""

# %%
from common import chapter, cli, plotting

MAIN = __name__ == "__main__"
if MAIN:
    args = chapter.begin(cli.parser(__doc__, epochs=100, lr=0.01))

# %%
import numpy as np

from common.progress import History, Progress

# %% [markdown]
# ## The data
#
# Three points on the line $y = 2x$. `np.array` turns a list into an array, and `np.column_stack`
# puts one-dimensional arrays side by side as the columns of a matrix: each row is then a
# **sample**, an input $x$ with its **label** $y$.

# %%
if MAIN:
    chapter.section()
    x_data = np.array([1.0, 2.0, 3.0])
    y_data = np.array([2.0, 4.0, 6.0])
    xy_data = np.column_stack((x_data, y_data))  # (3, 2)
    print(xy_data)

# %% [markdown]
# ## Model and loss · 线性模型&梯度下降
#
# To predict a number from a number is **regression**. The **model** is a line through the origin,
# $\hat y = w x$, with one **parameter**, the weight $w$. The **loss function** says how wrong a
# prediction is, here by the squared error $(\hat y - y)^2$. Its mean over all samples, the **mean
# squared error** (MSE), is what training makes as small as possible.


# %%
def forward(x, w):
    """The model's prediction for x: a line through the origin."""
    return x * w


def loss(y, y_pred):
    """The squared error of a prediction."""
    return (y_pred - y) ** 2


if MAIN:
    chapter.section()
    print(f"w = 4 predicts {forward(3.0, 4.0):g} for x = 3, where 6 is true: ", end="")
    print(f"squared error {loss(6.0, forward(3.0, 4.0)):g}")

# %% [markdown]
# ## Grid search
#
# With a single parameter one can try out many values: **grid search**. `np.arange(0.0, 10.0, 0.1)`
# makes the 100 weights 0.0, 0.1, … 9.9 (the end is not included). For each, the loop adds up the
# loss over the samples and divides by their number.


# %%
def grid_search(xy_data: np.ndarray, ws: np.ndarray) -> tuple[list[float], list[float]]:
    """The mean squared error of every weight (W,) on the samples (N, 2): w_list and mse_list."""
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


if MAIN:
    chapter.section()
    ws = np.arange(0.0, 10.0, 0.1)  # (100,)
    w_list, mse_list = grid_search(xy_data, ws)
    best = w_list[np.argmin(mse_list)]
    print(f"{len(w_list)} weights, the lowest MSE {min(mse_list):.4f} at w = {best:.1f}")

# %% [markdown]
# ## Broadcasting
#
# NumPy computes with whole arrays. Where two shapes differ, **broadcasting** first puts axes of
# length 1 before the shorter one, then repeats axes of length 1 as often as the other array needs:
# (3,) counts as (1, 3), and with (100, 1) it gives (100, 3), every sample with every weight.
# `ws[:, np.newaxis]` adds the axis. The same computation without Python's loops is shorter, and on
# large arrays many times faster; torch follows the same rules.


# %%
def grid_search_by_broadcasting(
    x_data: np.ndarray, y_data: np.ndarray, ws: np.ndarray
) -> np.ndarray:
    """The mean squared errors (W,) of the weights (W,) on the samples (N,), (N,)."""
    y_pred = forward(x_data, ws[:, np.newaxis])  # (N,) with (W, 1) -> (W, N)
    return loss(y_data, y_pred).mean(axis=1)


if MAIN:
    chapter.section()
    broadcast = grid_search_by_broadcasting(x_data, y_data, ws)
    y_pred = forward(x_data, ws[:, np.newaxis])
    print(f"{x_data.shape} with {ws[:, np.newaxis].shape} gives {y_pred.shape}")
    print(f"largest difference from the loops: {np.abs(broadcast - mse_list).max():.1e}")

# %% [markdown]
# ## Gradient descent
#
# The **gradient**, here the derivative of the MSE with respect to $w$, says how the error changes
# as $w$ grows. By the chain rule, $\frac{d}{dw} (w x - y)^2 = 2 x (w x - y)$, averaged over the
# samples. A step against it, $w = w - lr \cdot gradient$, makes the error smaller, if the
# **learning rate** $lr$ is small enough; repeated, it leads to the minimum. One pass over all the
# data is an **epoch**. `Progress`, from common/progress.py, shows and records the values, and lets
# Ctrl-C end the loop.


# %%
def gradient(x_data: np.ndarray, y_data: np.ndarray, w: float) -> float:
    """The derivative of the mean squared error with respect to w: the mean of 2 x (w x - y)."""
    return (2 * x_data * (forward(x_data, w) - y_data)).mean()


def gradient_descent(
    x_data: np.ndarray, y_data: np.ndarray, w: float, lr: float, epochs: int
) -> tuple[float, History]:
    """The w after `epochs` steps, and the loss and w before each."""
    # A learning rate that is too high overflows: Progress reports it in words.
    with Progress(epochs) as progress, np.errstate(over="ignore", invalid="ignore"):
        for epoch in progress.epochs():
            mse = loss(y_data, forward(x_data, w)).mean()
            progress.end_epoch(loss=mse, w=w)
            w = w - lr * gradient(x_data, y_data, w)
    return w, progress.history


if MAIN:
    chapter.section()
    print(f"at w = 9 the gradient is {gradient(x_data, y_data, 9.0):.4f}")
    w, history = gradient_descent(x_data, y_data, 9.0, args.lr, args.epochs)

# %% [markdown]
# ## The learning rate
#
# For this model one can say exactly how high the learning rate may be. Since $y = 2x$, the gradient
# is $2 (w - 2)$ times the mean of $x^2$, which is 14/3. So every step multiplies the distance
# $w - 2$ by $1 - 2 \cdot lr \cdot 14/3$. That factor lies between -1 and 1 as long as $lr < 3/14$,
# about 0.214: below, gradient descent **converges**; above, every step leads further away, it
# **diverges**. A negative factor means that each step overshoots to the other side of 2.

# %%
if MAIN:
    chapter.section()
    for lr in [0.01, 0.1, 0.2, 0.22]:
        w_after = 9.0
        for _ in range(20):
            w_after -= lr * gradient(x_data, y_data, w_after)
        factor = 1 - 2 * lr * (x_data**2).mean()
        print(f"lr {lr:<4}  factor {factor:7.4f}  after 20 steps w = {w_after:.4f}")

# %% [markdown]
# ## A line with a bias, and why grids don't scale
#
# A line that need not go through the origin has a second parameter, the **bias** $b$:
# $\hat y = w x + b$. The error is now a surface over $w$ and $b$, a long valley, here for the three
# points moved up to $y = 2x + 1$. A grid with 100 values per parameter takes 100 evaluations for
# one parameter, 10,000 for two, and $100^P$ for $P$; the network of chapter 7 has 575,050. Gradient
# descent needs one gradient per step, whatever the number of parameters.


# %%
def error_surface(
    x_data: np.ndarray, y_data: np.ndarray, ws: np.ndarray, bs: np.ndarray
) -> np.ndarray:
    """Mean squared error of w x + b for every pair: weights (W,), biases (B,) -> (B, W)."""
    y_pred = forward(x_data, ws[:, np.newaxis]) + bs[:, np.newaxis, np.newaxis]  # (B, W, N)
    return loss(y_data, y_pred).mean(axis=-1)


if MAIN:
    chapter.section()
    bs = np.arange(-4.0, 6.01, 0.1)  # (101,)
    surface = error_surface(x_data, y_data + 1, ws, bs)  # of y = 2x + 1
    b_index, w_index = np.unravel_index(surface.argmin(), surface.shape)
    best_w, best_b = ws[w_index], bs[b_index]
    print(f"{len(ws)} x {len(bs)} = {surface.size:,} pairs, ", end="")
    print(f"the lowest MSE at w = {best_w:.1f}, b = {best_b:.1f}")

# %% [markdown]
# ## Results
#
# Grid search finds the best of the weights that it tries. The longer gradient descent runs, the
# nearer it gets to the minimum: every step shortens the distance by the same factor.

# %% tags=["hide-input"]
if MAIN:
    chapter.section()
    fig = plotting.figure(10, 4.2, args.show)
    left, right = fig.subplots(1, 2)
    left.plot(w_list, mse_list, color=plotting.BLUE, label="grid search")
    left.plot(history["w"], history["loss"], "o-", color=plotting.RED, label="gradient descent")
    left.set(xlim=(min(w_list), max(w_list)), ylim=(-0.05 * max(mse_list), 1.05 * max(mse_list)))
    left.set(title="y = w x: the error is lowest at w = 2", xlabel="w", ylabel="mean squared error")
    left.legend(loc="upper center")

    levels = [0, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]
    contours = right.contourf(ws, bs, surface, levels, cmap="Blues_r", norm="symlog")
    fig.colorbar(contours, ax=right, label="mean squared error", format="%g")
    right.plot(best_w, best_b, "o", color=plotting.RED)
    right.set(title="y = w x + b: a valley", xlabel="w", ylabel="b")
    right.grid(False)
    plotting.finish(fig, args.output_dir / "01_linear_grid.png", args.show)

# %%
if MAIN:
    print(f"Grid search: w = {best:.1f}")
    print(f"Gradient descent: w = {w:.4f}")
    chapter.end()
