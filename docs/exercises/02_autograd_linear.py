# %% [markdown]
# ## Exercises
#
# **1.** Raise the learning rate to 0.1. By which factor does one epoch multiply the distance
# $w - 2$, with SGD and with full-batch gradient descent? Which of the two still converges?
#
# <details><summary>Answer</summary>

# %%
for method in (train_sgd, train_full_batch):
    w_try = torch.tensor([[1.0]], requires_grad=True, device=args.device)
    print(f"{method.__name__}:")
    method(xy_data, w_try, lr=0.1, epochs=3)

# %% [markdown]
# A step on the sample $x$ multiplies the distance by $1 - 2 \cdot 0.1 \cdot x^2$. For SGD's three
# steps, that is 0.8, 0.2 and -0.8; their product, -0.128, is the factor of an epoch, so SGD
# converges. The summed loss has the sum of the three curvatures, and one step on it multiplies the
# distance by $1 - 0.1 \cdot (2 + 8 + 18) = -1.8$: full-batch gradient descent diverges. With the
# mean instead of the sum, the factor would be $1 - 0.1 \cdot 28/3 \approx 0.07$.
#
# </details>
#
# **2.** Delete the line `w.grad.zero_()` from `train_full_batch`. Does $w$ still reach 2? Would a
# lower learning rate help?
#
# <details><summary>Answer</summary>

# %%
for lr in (0.01, 0.001):
    w_try = torch.tensor([[1.0]], requires_grad=True, device=args.device)
    visited = []
    for step in range(500):
        loss(forward(x_data, w_try), y_data).sum().backward()
        with torch.no_grad():
            w_try -= lr * w_try.grad
        visited.append(w_try.item())
    late = visited[400:]
    print(f"lr {lr}: in the last 100 steps w is between {min(late):.2f} and {max(late):.2f}")

# %% [markdown]
# No, $w$ swings around 2 forever, like a pendulum without friction. Each update follows the sum of
# all gradients so far, so $w$ has its highest speed when it passes 2. For the distance
# $d_t = w_t - 2$ this means $d_{t+1} = (2 - 28 \, lr) \, d_t - d_{t-1}$, whose solutions keep their
# amplitude for every learning rate below 1/7; a lower one only makes the swing slower. Keeping
# only a fraction of the earlier gradients is useful, however: that is momentum, in chapter 7.
#
# </details>
#
# **3.** In `train_sgd`, replace `loss_sum += l.item()` by `loss_sum += l`. The sum has the same
# value. What is wrong with it?
#
# <details><summary>Answer</summary>

# %%
w_try = torch.tensor([[1.0]], requires_grad=True, device=args.device)
loss_sum = 0.0
for epoch in range(3):
    for x, y in xy_data:
        l = loss(forward(x, w_try), y)
        l.backward()
        loss_sum += l
    print(f"epoch {epoch + 1}: the tree of the sum has {len(graph(loss_sum.grad_fn))} lines")
try:
    loss_sum.backward()
except RuntimeError as error:
    print(str(error).split(" (")[0])

# %% [markdown]
# The sum is now a tensor with a graph, and every sample adds four operations to it (the fifth line
# is the leaf $w$ again). The memory that they take grows for as long as training goes on. That
# graph is of no use, since `l.backward()` has already freed the values that its operations had
# stored. `item()` gives a number without a graph. In `train_full_batch`, `l_sum += l` is right:
# there the graph of the sum is needed, once.
#
# </details>
#
# **4.** A derivative can be checked without calculus by the difference quotient
# $(L(w + h) - L(w)) / h$ with a small $h$. Here $L$ is the summed loss, at $w = 1$. Which $h$ gives
# the best result in float32, and why is it not the smallest?
#
# <details><summary>Answer</summary>

# %%
w_try = torch.tensor(1.0, requires_grad=True)
loss(forward(x_data.cpu(), w_try), y_data.cpu()).sum().backward()
print(f"autograd: {w_try.grad.item():.4f}")
for h in (1e-1, 1e-3, 1e-5, 1e-8):
    print(f"h = {h:<6g}", end="")
    for dtype in (torch.float32, torch.float64):
        ws_near = torch.tensor([1.0, 1.0], dtype=dtype) + torch.tensor([0.0, h], dtype=dtype)
        before, after = loss(forward(x_data.cpu(), ws_near[:, None]), y_data.cpu()).sum(dim=1)
        print(f"  {dtype} {(after - before) / h:.4f}", end="")
    print()

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
# **Write it yourself:** `python practice.py start 2` gives you a copy of this chapter with its
# functions emptied, and `python practice.py check 2` tells you within seconds which are right.
