# %% [markdown]
# ## Exercises
#
# **1.** A frequent mistake: the labels have shape (3,) instead of (3, 1). What does the squared
# error become, and which line is the best one for it?
#
# <details><summary>Answer</summary>

# %%
flat_labels = y_data.flatten()  # (3,)
print((model(x_data) - flat_labels).shape)

fresh = LinearModel().to(args.device)
optimizer = torch.optim.SGD(fresh.parameters(), lr=0.01)
for epoch in range(1000):
    loss = ((fresh(x_data) - flat_labels) ** 2).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("w =", fresh.linear.weight.item(), " b =", fresh.linear.bias.item())

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
for x, lr in [(x_data, 0.05), (x_data - 2, 0.2)]:
    fresh = LinearModel().to(args.device)
    optimizer = torch.optim.SGD(fresh.parameters(), lr=lr)
    for epoch in range(20):
        loss = criterion(fresh(x), y_data)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("lr", lr, "loss after 20 epochs", criterion(fresh(x), y_data).item())

# %% [markdown]
# With the feature -1, 0, 1 the summed squared error is $2 (w - 2)^2 + 3 (b - 4)^2$: no term holds
# both $w$ and $b$, so there is no valley, and each parameter goes its own way. A step multiplies
# $w$'s distance from the minimum by $1 - 4 \, lr$ and $b$'s by $1 - 6 \, lr$. Both stay between -1
# and 1 as long as $lr < 1/3$, and with 0.2 they are 0.2 and -0.2. With $x$ itself, training
# diverges above a learning rate of about 0.06, and at 0.05 the way along the valley is slow: after
# 20 epochs the loss is still far from 0. This is one reason to standardize features before
# training, as chapter 5 does.
#
# </details>
#
# **3.** The course behind the notes sets this task: try other optimizers. Train for 100 epochs with
# SGD, Adam, RMSprop and Adagrad, at the learning rates 0.01 and 0.1. Then let LBFGS make a single
# step; it wants a function that computes the loss and the gradients, as it calls it many times.
#
# <details><summary>Answer</summary>

# %%
for lr in [0.01, 0.1]:
    for Optimizer in [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop, torch.optim.Adagrad]:
        torch.manual_seed(0)
        fresh = LinearModel().to(args.device)
        optimizer = Optimizer(fresh.parameters(), lr=lr)
        for epoch in range(100):
            loss = criterion(fresh(x_data), y_data)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print("lr", lr, Optimizer.__name__, "loss", loss.item())

torch.manual_seed(0)
fresh = LinearModel().to(args.device)
optimizer = torch.optim.LBFGS(fresh.parameters())


def closure():
    optimizer.zero_grad()
    loss = criterion(fresh(x_data), y_data)
    loss.backward()
    return loss


optimizer.step(closure)
print("LBFGS loss", criterion(fresh(x_data), y_data).item())

# %% [markdown]
# Which optimizer is the best depends on the learning rate: SGD ends lowest at 0.01, and at 0.1 it
# diverges, while RMSprop ends lowest. The three others divide each gradient by the size of the past
# gradients, so a step is about as long as the learning rate, whatever the loss. With 100 steps of
# 0.01 Adam can move $w$ by about 1, and from its start near 0 it has 2 to go. Adagrad adds up all
# past squares, so its steps get shorter and shorter. LBFGS estimates the curvature of the loss from
# its gradients. On a quadratic loss as here it finds the minimum in one step, in which it may call
# `closure` up to 25 times.
#
# </details>
#
# **4.** A model keeps its layers in a Python list: `self.layers = [torch.nn.Linear(1, 1)]`. What
# does the optimizer say to that, and what is the remedy?
#
# <details><summary>Answer</summary>


# %%
class ListModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [torch.nn.Linear(1, 1)]


class ModuleListModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(1, 1)])


try:
    torch.optim.SGD(ListModel().parameters(), lr=0.01)
except ValueError as error:
    print(error)
print(list(ModuleListModel().parameters()))

# %% [markdown]
# `nn.Module` looks only at its attributes, and registers those that are parameters or modules
# themselves. A list is neither, so the layer in it is not found: it would not be trained, not be
# moved by `to(device)`, and not be saved. `nn.ModuleList` is a list that is also a module. If the
# model had one more layer, as an attribute, the optimizer would get the parameters of that layer
# alone, and there would be no error.
#
# </details>
#
# **Write it yourself:** `python -m practice start 3` gives you this chapter without the code that
# one types, and `python -m practice check 3` tells you within seconds what is right and what is
# wrong.
