# %% [markdown]
# ## Exercises
#
# **1.** A frequent mistake: the labels have shape (3,) instead of (3, 1). What does the squared
# error become, and which line is the best one for it?
#
# <details><summary>Answer</summary>

# %%
flat_labels = y_data.flatten()  # (3,)
print("shape of the differences:", tuple((model(x_data) - flat_labels).shape))
torch.manual_seed(args.seed)
fresh = LinearModel().to(args.device)
sgd = torch.optim.SGD(fresh.parameters(), lr=0.01)
losses_with(sgd, fresh, lambda y_pred, y: ((y_pred - y) ** 2).sum(), x_data, flat_labels, 1000)
print(f"learned: w = {fresh.linear.weight.item():.2f}, b = {fresh.linear.bias.item():.2f}")

# %% [markdown]
# By broadcasting, (3, 1) minus (3,) gives (3, 3): every prediction is compared with every label,
# not only with its own. The best that a prediction can do then is to be the mean of all labels,
# whatever its $x$: $w = 0$ and $b = 4$. Nothing fails here; `MSELoss` at least gives a warning. So
# check that predictions and labels have the same shape.
#
# </details>
#
# **2.** Train with $x - 2$ in place of $x$: the feature now has mean 0. How high may the learning
# rate be, and why does gradient descent reach the exact solution so much sooner?
#
# <details><summary>Answer</summary>

# %%
for name, x in (("x", x_data), ("x - 2", x_data - 2)):
    columns = torch.cat([x, torch.ones_like(x)], dim=1).cpu()
    curvatures = torch.linalg.eigvalsh(2 * columns.T @ columns)
    lr = 2 / curvatures.sum().item()
    torch.manual_seed(args.seed)
    fresh = LinearModel().to(args.device)
    sgd = torch.optim.SGD(fresh.parameters(), lr=lr)
    values = losses_with(sgd, fresh, criterion, x, y_data, 21)
    print(f"{name:6}curvatures {curvatures[0]:.2f} and {curvatures[1]:.2f}", end="")
    print(f", lr {lr:.3f}, loss after 20 updates {values[-1]:.1e}")

# %% [markdown]
# Along an axis with curvature $c$, a step multiplies the distance from the minimum by
# $1 - lr \cdot c$, so the limit is 2 divided by the larger curvature: about 0.06 for $x$ and 0.33
# for $x - 2$. The learning rate used here, 2 over the sum of the two, suits both axes equally well.
# For $x$ the curvatures differ by a factor of 46, and the factor of a step is still
# $\pm 0.96$; for $x - 2$ it is $\pm 0.2$. With mean 0, $w$ and $b$ no longer compensate for each
# other: there is no valley. This is one reason to standardize features before training.
#
# </details>
#
# **3.** For SGD, a switch from `reduction="sum"` to `"mean"` calls for another learning rate. Is
# that so for Adam, too? Compare the first update of $w$.
#
# <details><summary>Answer</summary>

# %%
for name in ("SGD", "Adam"):
    for reduction in ("sum", "mean"):
        torch.manual_seed(args.seed)
        fresh = LinearModel().to(args.device)
        before = fresh.linear.weight.item()
        other = getattr(torch.optim, name)(fresh.parameters(), lr=0.001)
        losses_with(other, fresh, torch.nn.MSELoss(reduction=reduction), x_data, y_data, 1)
        print(f"{name:5} {reduction:5} w changes by {fresh.linear.weight.item() - before:.5f}")

# %% [markdown]
# SGD's update is proportional to the gradient, so with the mean it is a third as long. Adam divides
# a running mean of the gradients by the square root of a running mean of their squares, where a
# constant factor cancels, and multiplies by the learning rate. So its first update is as long as
# the learning rate, whatever the loss, and the later ones are seldom much longer. That is why Adam
# was so far behind in this chapter: in 100 updates of about 0.001, $w$ moves by about 0.1, but it
# had to move by 2.
#
# </details>
#
# **4.** A model keeps its layers in a Python list: `self.layers = [torch.nn.Linear(1, 1)]`. What
# does the optimizer say to that, and what is the remedy?
#
# <details><summary>Answer</summary>


# %%
class ListModel(torch.nn.Module):
    def __init__(self, container):
        super().__init__()
        self.layers = container([torch.nn.Linear(1, 1)])


for container in (list, torch.nn.ModuleList):
    parameters = list(ListModel(container).parameters())
    print(f"{container.__name__}: {len(parameters)} parameters")
    try:
        torch.optim.SGD(parameters, lr=0.01)
    except ValueError as error:
        print(error)

# %% [markdown]
# `nn.Module` looks only at its attributes, and registers those that are parameters or modules
# themselves. A list is neither, so the layer in it is not found: it would not be trained, not be
# moved by `to(device)`, and not be saved. `nn.ModuleList` is a list that is also a module. If the
# model had one more layer, as an attribute, the optimizer would get the parameters of that layer
# alone, and there would be no error.
#
# </details>
#
# **Write it yourself:** `python practice.py start 3` gives you a copy of this chapter with its
# functions emptied, and `python practice.py check 3` tells you within seconds which are right.
