# %% [markdown]
"""# Chapter 2 · Tensors and autograd · torch重要的数据类型——Tensor

You will let torch compute the gradients that chapter 1 derived by hand: a tensor records how it
was computed, and `backward()` applies the chain rule. You will write two training loops with
updates of your own, one after every sample, the other after all of them. And you will know the
pitfalls that the notes list.

    python 02_autograd_linear.py

The last lines of a run:

    Figure:     outputs/02_autograd_linear.png
    Stochastic gradient descent: w = 2.0000
    Full-batch gradient descent: w = 2.0000
"""

# %%
from common import chapter, plotting

args = chapter.begin(__doc__, epochs=100, lr=0.01, device="auto")

import torch

# %% [markdown]
# ## Tensors · torch重要的数据类型——Tensor
#
# A **tensor** is torch's array: a single number, a vector, a matrix, or an array with more
# dimensions. It has a shape and a type of numbers (`dtype`): Python's floats become float32.
# `item()` turns a tensor with one element into a Python number.

# %%
print(torch.tensor(3.0), torch.tensor(3.0).item())
print(torch.tensor([1.0, 2.0, 3.0]))
matrix = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
print(matrix, matrix.shape, matrix.dtype)

# %% [markdown]
# ## The first gradient
#
# With `requires_grad=True` **autograd** tracks all that is computed from a tensor. Here the
# **forward pass** computes $z = \frac{1}{3} (2 x_1 + 2 x_2 + 2 x_3)$. `z.backward()` goes back from
# $z$ to $x$, which is called **backpropagation**, and stores the gradient in `x.grad`: how much $z$
# changes with each of the three numbers, $\partial z / \partial x_i = 2/3$.

# %%
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
y = x * 2
z = y.mean()
z.backward()
print(z)
print(x.grad)

# %% [markdown]
# ## Model and loss
#
# Both are chapter 1's, in torch; `loss` takes the prediction first, as torch's own losses do. The
# notes write the weight as `[[1.0]]`, a matrix with one row and one column, (1, 1), and not as a
# number. The weights of a linear layer are always a matrix, with a row for each output and a column
# for each input (chapter 3), and here there is one of each. So the loss is (1, 1), too.
# `args.device` is where a tensor lies: on the CPU, or on a GPU if there is one (chapter 7).


# %%
def forward(x, w):
    """The model's prediction for x: a line through the origin."""
    return x * w


def loss(y_pred, y):
    """The squared error of a prediction."""
    return (y_pred - y) ** 2


x_data = torch.tensor([1.0, 2.0, 3.0], device=args.device)
y_data = torch.tensor([2.0, 4.0, 6.0], device=args.device)
xy_data = torch.column_stack((x_data, y_data))  # (3, 2)
w = torch.tensor([[1.0]], requires_grad=True, device=args.device)
print(loss(forward(x_data[1], w), y_data[1]))

# %% [markdown]
# ## Stochastic gradient descent · 使用案例
#
# `l.backward()` computes the gradient that chapter 1 derived by hand, $2 x (w x - y)$; the update
# is still ours. Here $w$ changes after every single sample: **stochastic gradient descent** (SGD),
# which takes the samples in random order as a rule, but here, as the notes, in the given one.
# `zero_()` sets the gradient to zero before the next one is added to it. The underscore at the end
# of a name means **in place**: the tensor itself is changed, and no new one is made. The update
# through `data` is the notes' form; "item and data", below, says what is wrong with it.

# %%
w_sgd = []
for epoch in range(args.epochs):
    w_sgd.append(w.item())
    for x, y in xy_data:
        l = loss(forward(x, w), y)
        l.backward()
        w.data = w.data - args.lr * w.grad.data
        w.grad.data.zero_()
    if (epoch + 1) % 10 == 0:
        print(f"Epoch {epoch + 1}/{args.epochs}, last loss: {l.item():.4f}, w: {w.item():.4f}")

# %% [markdown]
# ## Full-batch gradient descent
#
# A **batch** is the set of samples used for one update. Here it is all of them: their losses are
# added up, and `backward()` on the sum gives the sum of their gradients. That is three times the
# mean of chapter 1, so the learning rate may be a third as high, up to 1/14. For about the same
# work SGD makes as many updates as there are samples: three here, thousands with a large dataset.
# In the block of `with torch.no_grad():` autograd tracks nothing, so `w` may be changed in place:
# today's form of an update. (`w.grad` is enough; the notes' `.data` adds nothing to it.)

# %%
w_full = torch.tensor([[1.0]], requires_grad=True, device=args.device)
w_batch = []
for epoch in range(args.epochs):
    w_batch.append(w_full.item())
    l_sum = 0
    for x, y in xy_data:
        l = loss(forward(x, w_full), y)
        l_sum += l
    l_sum.backward()
    with torch.no_grad():
        w_full -= args.lr * w_full.grad
    w_full.grad.zero_()
    if (epoch + 1) % 10 == 0:
        print(f"Epoch {epoch + 1}/{args.epochs}, Loss: {l_sum.item():.4f}, w: {w_full.item():.4f}")

# %% [markdown]
# ## The computation graph · 计算图在前向传播过程中自动构建
#
# Each result stores in `grad_fn` the operation that made it, and each operation points to those
# that made its inputs: the **computation graph**, built anew by each forward pass. `backward()`
# walks it from the loss to the **leaves**, the tensors that were created with `requires_grad=True`,
# and multiplies the derivatives on the way. Printed, the leaf $w$ is `AccumulateGrad`: it adds to
# `w.grad`. Here is the loss 4 from "Model and loss", with $w = 1$, $x = 2$ and $y = 4$. The
# derivative of the square is $2 (w x - y) = 2 \cdot (-2) = -4$, that of the difference is 1, and
# that of the product is $x = 2$; multiplied they are the gradient, $-8$.
#
# ![The computation graph](docs/drawings/02_computation_graph.svg)

# %%
y_pred = forward(x_data[0], w)
l = loss(y_pred, y_data[0])
print(l.grad_fn)  # the power
print(l.grad_fn.next_functions)  # before it, the difference, and its output number 0
print(y_pred.grad_fn)  # before that, the product
print(y_pred.grad_fn.next_functions)  # None for x, which needs no gradient, and w

# %% [markdown]
# ## backward() updates nothing and adds up gradients · 不会更新参数 · 梯度会累加
#
# `backward()` only fills `.grad`; changing the parameters is up to us. And it **accumulates**: the
# second gradient of $3a$ is added to the first. That is useful, since a large batch can be computed
# in parts, and the reason why every training loop sets the gradients to zero before the next step.

# %%
a = torch.tensor(1.0, requires_grad=True)
(3 * a).backward()
print(a, a.grad)
(3 * a).backward()
print(a, a.grad)
a.grad.zero_()
(3 * a).backward()
print(a, a.grad)

# %% [markdown]
# ## Updates stay outside the graph
#
# There are two ways to get an update wrong. Torch refuses the first: changing a leaf in place
# outside of `no_grad`. The second shows only at the second update: `a = a - lr * a.grad` makes a
# new tensor. It is computed, so it is no leaf, and `backward()` gives it no `.grad`; torch warns of
# that (not on a page of the book), and the next update fails.

# %%
a = torch.tensor(1.0, requires_grad=True)
(3 * a).backward()
try:
    a -= 0.01 * a.grad
except RuntimeError as error:
    print(error)

# %%
a = a - 0.01 * a.grad  # first update: a is no leaf any more
(3 * a).backward()
try:
    a = a - 0.01 * a.grad  # second update: a.grad is None
except TypeError as error:
    print(error)

# %% [markdown]
# ## item and data · item和data
#
# `w.data` is a second tensor that shares the memory of `w`. Autograd does not see what you do to
# it, and that is its danger. Below, the gradient of $a^2$ at 3 should be $2a = 6$. But $a$ is
# changed before `backward()`: the answer is 60, and nothing warns.

# %%
print(w.item(), w.data, w.grad)
a = torch.tensor(3.0, requires_grad=True)
y = a**2
a.data.mul_(10)
y.backward()
print(a.grad)

# %% [markdown]
# ## detach
#
# `detach()` gives such a second tensor, too. Is it as dangerous? Here are the same lines with it.

# %%
a = torch.tensor(3.0, requires_grad=True)
y = a**2
a.detach().mul_(10)
try:
    y.backward()
except RuntimeError as error:
    print(error)

# %% [markdown]
# It has a safeguard: a change through it is noticed where `backward()` still needs the old value.
# So use `detach()` to look at numbers, `no_grad` to update parameters, and `data` for neither.

# %% [markdown]
# ## backward() needs a scalar · 标量
#
# Only a **scalar**, a single number, can call `backward()` without an argument, so a loss must be
# one. (A tensor with one element, such as (1, 1), will do.) A vector has to be told how much each
# of its components counts: with `gradient=v`, the result is the gradient of $\sum_i v_i y_i$. If
# all count 1, that is `y.sum().backward()`.

# %%
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
y = x * 2
try:
    y.backward()
except RuntimeError as error:
    print(error)
y.backward(gradient=torch.tensor([1.0, 1.0, 10.0]))
print(x.grad)

# %% [markdown]
# ## Results
#
# Both ways reach $w = 2$. SGD makes three steps per epoch, each against the gradient of a different
# sample; full-batch gradient descent makes one against their sum, about as long as the three.

# %% tags=["hide-input"]
fig = plotting.figure(10, 4, args.show)
axes = fig.subplots()
axes.plot(w_sgd, "o-", color=plotting.RED, label="SGD: an update per sample, three per epoch")
axes.plot(w_batch, "o-", color=plotting.GREEN, label="full batch: one update per epoch")
axes.set(title="Both ways lead to w = 2", xlabel="epoch", ylabel="w", xlim=(-0.5, 20.5))
axes.set_xticks(range(0, 21, 5))
axes.legend(loc="lower right")
plotting.finish(fig, args.output_dir / "02_autograd_linear.png", args.show)

# %%
print(f"Stochastic gradient descent: w = {w.item():.4f}")
print(f"Full-batch gradient descent: w = {w_full.item():.4f}")
