# %% [markdown]
# ## Exercises
#
# **1.** Raise the learning rate to 0.1. By which factor does one epoch multiply the distance
# $w - 2$, with SGD and with full-batch gradient descent? Which of the two still converges?
#
# <details><summary>Answer</summary>

# %%
w_try = torch.tensor([[1.0]], requires_grad=True, device=args.device)
for epoch in range(3):
    for x, y in xy_data:
        l = loss(forward(x, w_try), y)
        l.backward()
        with torch.no_grad():
            w_try -= 0.1 * w_try.grad
        w_try.grad.zero_()
    print("SGD: w - 2 =", w_try.item() - 2)

w_try = torch.tensor([[1.0]], requires_grad=True, device=args.device)
for epoch in range(3):
    l_sum = loss(forward(x_data, w_try), y_data).sum()
    l_sum.backward()
    with torch.no_grad():
        w_try -= 0.1 * w_try.grad
    w_try.grad.zero_()
    print("full batch: w - 2 =", w_try.item() - 2)

# %% [markdown]
# A step on the sample $x$ multiplies the distance by $1 - 2 \cdot 0.1 \cdot x^2$. For SGD's three
# steps, that is 0.8, 0.2 and -0.8; their product, -0.128, is the factor of an epoch, so SGD
# converges. The summed loss has the sum of the three gradients, and one step on it multiplies the
# distance by $1 - 0.1 \cdot (2 + 8 + 18) = -1.8$: full-batch gradient descent diverges. With the
# mean instead of the sum, the factor would be $1 - 0.1 \cdot 28/3 \approx 0.07$.
#
# </details>
#
# **2.** Delete the line `w_full.grad.zero_()` from full-batch gradient descent. Does $w$ still
# reach 2? Would a lower learning rate help?
#
# <details><summary>Answer</summary>

# %%
for lr in [0.01, 0.001]:
    w_try = torch.tensor([[1.0]], requires_grad=True, device=args.device)
    w_late = []
    for epoch in range(500):
        l_sum = loss(forward(x_data, w_try), y_data).sum()
        l_sum.backward()
        with torch.no_grad():
            w_try -= lr * w_try.grad
        if epoch >= 400:
            w_late.append(w_try.item())
    print("lr", lr, "in the last 100 epochs w is between", min(w_late), "and", max(w_late))

# %% [markdown]
# No, $w$ swings around 2 forever, like a pendulum without friction. Each update follows the sum of
# all gradients so far, so $w$ has its highest speed when it passes 2. For the distance
# $d_t = w_t - 2$ this means $d_{t+1} = (2 - 28 \, lr) \, d_t - d_{t-1}$, whose solutions keep their
# amplitude for every learning rate below 1/7; a lower one only makes the swing slower. Keeping
# only a fraction of the earlier gradients is useful, however: that is momentum, in chapter 7.
#
# </details>
#
# **3.** To print the loss of a whole epoch, the losses are added up in the inner loop, with
# `loss_sum += l.item()`. Why not with `loss_sum += l`? The sum has the same value.
#
# <details><summary>Answer</summary>

# %%
w_try = torch.tensor([[1.0]], requires_grad=True, device=args.device)
loss_sum = 0
for epoch in range(3):
    for x, y in xy_data:
        l = loss(forward(x, w_try), y)
        l.backward()
        loss_sum += l
    operations = 0
    node = loss_sum.grad_fn
    while node is not None:
        operations += 1
        node = node.next_functions[0][0]
    print("epoch", epoch + 1, "operations from the sum back to the first sample:", operations)
print(loss_sum)
try:
    loss_sum.backward()
except RuntimeError as error:
    print(error)

# %% [markdown]
# The sum is now a tensor with a computation graph, and every sample adds another four operations to
# it: the sum, the power, the difference and the product. (The loop above counts a single path: all
# the sums, and the three operations of the first sample.) The memory that they take grows for as
# long as training goes on. And the graph is of no use, since `l.backward()` has already freed the
# values that its operations had stored. `item()` gives a number without a graph. In full-batch
# gradient descent, `l_sum += l` is right: there the graph of the sum is needed, once.
#
# </details>
#
# **4.** A derivative can be checked without calculus by the difference quotient
# $(L(w + h) - L(w)) / h$ with a small $h$. Here $L$ is the summed loss, at $w = 1$. Which $h$ gives
# the best result in float32, and why is it not the smallest?
#
# <details><summary>Answer</summary>

# %%
x32, y32 = x_data.cpu(), y_data.cpu()
x64, y64 = x32.double(), y32.double()
w_try = torch.tensor(1.0, requires_grad=True)
loss(forward(x32, w_try), y32).sum().backward()
print("autograd:", w_try.grad.item())
for h in [0.1, 0.001, 1e-5, 1e-8]:
    rise32 = loss(forward(x32, 1 + h), y32).sum() - loss(forward(x32, 1), y32).sum()
    rise64 = loss(forward(x64, 1 + h), y64).sum() - loss(forward(x64, 1), y64).sum()
    print("h", h, "float32:", rise32.item() / h, "float64:", rise64.item() / h)

# %% [markdown]
# Since $L(w) = 14 (w - 2)^2$, the quotient at $w = 1$ is $-28 + 14 h$. So a smaller $h$ is better,
# until rounding takes over: $L(w + h)$ and $L(w)$ then agree in most of their digits, and the
# division by $h$ magnifies the error in the others. Above 1, adjacent float32 numbers are
# $2^{-23} \approx 10^{-7}$ apart, so that $1 + 10^{-8}$ is rounded to 1 and the quotient is 0.
# In float64 they are about $2 \cdot 10^{-16}$ apart. Autograd needs no $h$: it applies the rules of
# differentiation, and only the rounding of each operation remains.
#
# </details>
#
# **Write it yourself:** `python -m practice start 2` gives you this chapter without the code that
# one types, and `python -m practice check 2` tells you within seconds what is right and what is
# wrong.
