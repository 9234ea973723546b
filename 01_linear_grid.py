# %% [markdown]
"""# Chapter 1 · Linear regression by grid search and gradient descent · 线性模型&梯度下降

You will write a model and its loss function in NumPy, and find the best weight by trying a hundred
of them. You will replace the loops by broadcasting. Then you will write gradient descent, the
method by which all networks in the later chapters are trained.

The first lines of code belong to this book, not to the program: `chapter.begin` reads the flags, so
`args.lr` is what `--lr` says, or 0.01. In a program of your own write the number. The imports that
take long stand below it, so that a wrong flag is answered at once.

    python 01_linear_grid.py             grid search, gradient descent
    python 01_linear_grid.py --lr 0.2    almost too high a learning rate

The last lines of a run:

    Figure:     outputs/01_linear_grid.png
    Grid search: w = 2.0
    Gradient descent: w = 2.0004
"""

# %%
from common import chapter, plotting

args = chapter.begin(__doc__, epochs=100, lr=0.01)

import numpy as np

# %% [markdown]
# ## The data
#
# Three points on the line $y = 2x$. `np.array` turns a list into an array, and `np.column_stack`
# puts one-dimensional arrays side by side as the columns of a matrix. Each row is then a
# **sample**, an input $x$ with its **label** $y$. `shape` says how many rows and columns there are.

# %%
x_data = np.array([1.0, 2.0, 3.0])
y_data = np.array([2.0, 4.0, 6.0])
xy_data = np.column_stack((x_data, y_data))
print(xy_data)
print(xy_data.shape)

# %% [markdown]
# ## Model and loss · 线性模型&梯度下降
#
# To predict a number from a number is **regression**. The model is a line through the origin, $\hat
# y = w x$, with one **parameter**, the weight $w$. The **loss function** says how wrong a
# prediction is, here by the squared error $(\hat y - y)^2$. With the weight 4 the model predicts 12
# for $x = 3$; the label is 6.


# %%
def forward(x, w):
    """The model's prediction for x: a line through the origin."""
    return x * w


def loss(y, y_pred):
    """The squared error of a prediction."""
    return (y_pred - y) ** 2


print(forward(3.0, 4.0))
print(loss(6.0, forward(3.0, 4.0)))

# %% [markdown]
# ## Grid search
#
# Which weight is best? With a single parameter one can try many: **grid search**. `np.arange(0.0,
# 10.0, 0.1)` makes the 100 weights 0.0, 0.1, … 9.9. (The end is not included, but rounding can
# change that: `np.arange(1, 1.3, 0.1)` contains 1.3.) For each weight the loop adds up the loss
# over the samples and divides by their number: the **mean squared error** (MSE), which training
# makes as small as possible.

# %%
w_list = []
mse_list = []
for w in np.arange(0.0, 10.0, 0.1):
    loss_sum = 0
    for x, y in xy_data:
        y_pred = forward(x, w)
        loss_sum += loss(y, y_pred)
    mse = loss_sum / len(xy_data)
    w_list.append(w)
    mse_list.append(mse)

best = w_list[np.argmin(mse_list)]  # argmin: the place of the smallest number
print("lowest MSE", min(mse_list), "at w =", best)

# %% [markdown]
# ## Axes
#
# NumPy computes with whole arrays. A matrix has two **axes**: axis 0 counts the rows, axis 1 the
# columns. `mean(axis=0)` averages over the rows, and leaves one number per column; `mean(axis=1)`
# averages over the columns, and leaves one per row. With `keepdims=True` the axis stays, with
# length 1; the last line below shows a column. (torch says `dim` and `keepdim`.)

# %%
table = np.array([[0, 1, 2], [3, 4, 5]])
print(table, table.shape)
print(table.mean(axis=0))  # (3,)
print(table.mean(axis=1))  # (2,)
print(table.mean(axis=1, keepdims=True))  # (2, 1)

# %% [markdown]
# ## Broadcasting
#
# Add a row of three numbers and a column of two, and you get a table, in which each number of the
# row meets each of the column:
#
#           row (3,)   1   2   3
#     column (2, 1)
#     10              11  12  13
#     20              21  22  23
#
# This is **broadcasting**. The rule: put axes of length 1 before the shorter shape, then repeat
# axes of length 1 as often as the other array needs. So (3,) becomes (1, 3), and with (2, 1) both
# become (2, 3).

# %%
row = np.array([1, 2, 3])  # (3,)
column = np.array([[10], [20]])  # (2, 1)
print(row + column)  # (2, 3)

# %% [markdown]
# ## Grid search without loops
#
# `ws[:, np.newaxis]` makes the weights a column, (100, 1). With `x_data`, (3,), it gives a table
# with a row for each weight and a column for each sample. The mean along each row is the MSE of
# that weight. It is the same as from the loops, in two lines, and on large arrays many times
# faster.

# %%
ws = np.arange(0.0, 10.0, 0.1)  # (100,)
y_pred = forward(x_data, ws[:, np.newaxis])  # (3,) with (100, 1) -> (100, 3)
mse = loss(y_data, y_pred).mean(axis=1)  # (100,)
print(y_pred.shape, mse.shape)
print("as from the loops:", np.allclose(mse, mse_list))

# %% [markdown]
# ## Gradient descent
#
# The **gradient**, here the derivative of the MSE with respect to $w$, says how the error changes
# as $w$ grows. By the chain rule, $\frac{d}{dw} (w x - y)^2 = 2 x (w x - y)$, averaged over the
# samples. A step against it, $w = w - lr \cdot gradient$, makes the error smaller, if the
# **learning rate** $lr$ is small enough; repeated, it leads to the minimum. One pass over all the
# data is an **epoch**.


# %%
def gradient(x_data, y_data, w):
    """The derivative of the MSE with respect to w: the mean of 2 x (w x - y)."""
    return (2 * x_data * (forward(x_data, w) - y_data)).mean()


w = 9.0
print("gradient at w = 9:", gradient(x_data, y_data, w))

w_path = []
mse_path = []
for epoch in range(args.epochs):
    mse = loss(y_data, forward(x_data, w)).mean()
    w_path.append(w)
    mse_path.append(mse)
    w = w - args.lr * gradient(x_data, y_data, w)
    if (epoch + 1) % 10 == 0:
        print(f"Epoch {epoch + 1}/{args.epochs}, Loss: {mse:.4f}, w: {w:.4f}")

# %% [markdown]
# ## The learning rate
#
# How high may the learning rate be? Here are 20 steps from $w = 9$ with four of them: gradient
# descent **converges** to 2 with the first three, and **diverges** with the last. Since $y = 2x$,
# the gradient is $2 (w - 2)$ times the mean of $x^2$, which is 14/3. So every step multiplies the
# distance $w - 2$ by $1 - 2 \cdot lr \cdot 14/3$, and that lies between -1 and 1 as long as $lr <
# 3/14$, about 0.214. (A negative factor means that each step overshoots to the other side.)

# %%
for lr in [0.01, 0.1, 0.2, 0.22]:
    w_after = 9.0
    for step in range(20):
        w_after = w_after - lr * gradient(x_data, y_data, w_after)
    print("lr", lr, "factor", 1 - 2 * lr * 14 / 3, "w", w_after)

# %% [markdown]
# ## A line with a bias, and why grids don't scale
#
# A line that need not go through the origin has a second parameter, the **bias** $b$. Its formula
# is $\hat y = w x + b$. The error is now a surface over $w$ and $b$, a long valley, here for the
# three points moved up to $y = 2x + 1$. A grid with 100 values per parameter takes 100 evaluations
# for one parameter, 10,000 for two, and $100^P$ for $P$; the network of chapter 7 has 575,050. One
# gradient of $P$ parameters costs only a few times as much as one evaluation of the model.

# %%
bs = np.arange(-4.0, 6.0, 0.1)  # (100,)
surface = []
for b in bs:
    y_pred = forward(x_data, ws[:, np.newaxis]) + b  # (100, 3)
    surface.append(loss(y_data + 1, y_pred).mean(axis=1))
surface = np.array(surface)  # (100, 100): a row for each b
b_index, w_index = np.unravel_index(surface.argmin(), surface.shape)  # its row and its column
print(surface.size, "pairs, the best: w =", ws[w_index], "b =", bs[b_index].round(1))

# %% [markdown]
# ## Results
#
# Grid search finds the best of the weights that it tries. The longer gradient descent runs, the
# nearer it gets to the minimum: every step shortens the distance by the same factor.

# %% tags=["hide-input"]
fig = plotting.figure(10, 4.2, args.show)
left, right = fig.subplots(1, 2)
left.plot(w_list, mse_list, ".", color=plotting.BLUE, label="grid search")
left.plot(w_path, mse_path, "o-", color=plotting.RED, label="gradient descent")
left.set(title="y = w x: lowest at w = 2", xlabel="w", ylabel="mean squared error")
left.legend(loc="upper center")
levels = [0, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]
contours = right.contourf(ws, bs, surface, levels, cmap="Blues_r", norm="symlog")
fig.colorbar(contours, ax=right, label="mean squared error", format="%g")
right.plot(ws[w_index], bs[b_index], "o", color=plotting.RED, label="best pair")
right.set(title="y = w x + b: a valley (data: y = 2x + 1)", xlabel="w", ylabel="b")
right.legend()
plotting.finish(fig, args.output_dir / "01_linear_grid.png", args.show)

# %%
print(f"Grid search: w = {best:.1f}")
print(f"Gradient descent: w = {w:.4f}")
