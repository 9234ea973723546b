# %% [markdown]
"""# Chapter 3 · Linear regression with torch.nn · Pytorch实现线性回归模型

You will write a model as a class of `torch.nn`, let a criterion measure its error and an optimizer
update its parameters, where chapter 2 did all three by hand. You will write the five lines of
training that train every later model, too. Then you will predict with the model.

    python 03_nn_linear.py                 100 epochs, as in the notes
    python 03_nn_linear.py --epochs 1000   much nearer to the exact solution

The last lines of a run:

    Figure:     outputs/03_nn_linear.png
    Prediction for x = 4: 7.…
"""

# %%
from common import chapter, plotting

args = chapter.begin(__doc__, epochs=100, lr=0.01, device="auto")

import torch

# %% [markdown]
# ## The data, one row per sample
#
# The task is the one of chapter 1: three points on the line $y = 2x$. The layers of `torch.nn` take
# all samples at once, as a matrix with one row per sample and one column per **feature** (input
# variable). So three samples with one feature each are a tensor of shape (3, 1); in the comments
# below, (N, 1) stands for any number N of samples.

# %%
x_data = torch.tensor([[1.0], [2.0], [3.0]], device=args.device)  # (3, 1)
y_data = torch.tensor([[2.0], [4.0], [6.0]], device=args.device)  # (3, 1)
print(x_data)
print(x_data.shape)

# %% [markdown]
# ## The model · 模型构建
#
# A model is a class that inherits from `torch.nn.Module`. `torch.nn.Linear(1, 1)`, a **linear
# layer** with one input and one output, owns the two parameters of a line, and starts them at
# random values.
#
# ![The linear unit](docs/drawings/03_linear_unit.svg)
#
# `__init__`, the constructor, creates the layer. Its first line, `super().__init__()` (the notes'
# `super(LinearModel, self).__init__()` in short), calls the constructor of the parent class: it
# prepares what a `Module` needs to find its layers and parameters, so it comes before anything is
# stored. `forward` computes the prediction. `model(x)` calls it, because a `Module` is callable; so
# the name `forward` is fixed.


# %%
class LinearModel(torch.nn.Module):
    """A line y = w x + b: (N, 1) -> (N, 1)."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)  # weight (1, 1), bias (1,)

    def forward(self, x):
        """The prediction for each row: (N, 1) -> (N, 1)."""
        y_pred = self.linear(x)
        return y_pred


model = LinearModel()
model.to(args.device)  # moves its parameters to the GPU, if there is one
for name, parameter in model.named_parameters():
    print(name, parameter)
print(model(x_data))

# %% [markdown]
# ## A shape error
#
# Give the model a row of three numbers instead of a column, and torch refuses. You will meet this
# error often, so read it once in peace. A matrix of shape (1, 3), the input, can't be multiplied by
# one of shape (1, 1), the weight. The two numbers in the middle, 3 and 1, would have to be equal:
# the input has three features per sample, and the layer is made for one.

# %%
try:
    model(x_data.T)  # transposed: (1, 3)
except RuntimeError as error:
    print(error)

# %% [markdown]
# ## Loss function and optimizer · 损失函数与优化器
#
# The **criterion** is the loss function, here the squared error. `reduction="sum"` adds up the
# errors of all samples, and `"mean"` averages them. (Older code says `size_average=False` for the
# sum.) The **optimizer** is given the parameters, and its `step()` will update them by their
# gradients, $w = w - lr \cdot \partial L / \partial w$ with the loss $L$. The class is named
# `SGD`, but it takes whatever stands in `.grad`: with the gradient of all samples, its step is
# chapter 2's full-batch gradient descent. The sum has a gradient three times that of the mean, and
# so makes steps three times as long.

# %%
criterion = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)

print(criterion(model(x_data), y_data))
print(torch.nn.MSELoss(reduction="mean")(model(x_data), y_data))  # a third of it

# %% [markdown]
# ## Training · 训练过程
#
# Each epoch makes five calls: the forward pass, the loss, `zero_grad()`, `backward()`, `step()`.
# `backward()` adds the gradient of the loss to each parameter's `.grad`. So `zero_grad()` has to
# clear it first: it sets `.grad` to `None`, which is as good as chapter 2's 0. All three samples go
# into every update: this is full-batch gradient descent. The losses are kept in a list, for the
# figure.

# %%
losses = []
for epoch in range(args.epochs):
    y_pred = model(x_data)
    loss = criterion(y_pred, y_data)
    losses.append(loss.item())
    if (epoch + 1) % 10 == 0:
        print(f"Epoch {epoch + 1}/{args.epochs}, Loss: {loss.item():.4f}")

    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

print("w =", model.linear.weight.item(), "b =", model.linear.bias.item())

# %%
print(model.linear.weight.grad)  # of the last epoch
optimizer.zero_grad()
print(model.linear.weight.grad)  # None

# %% [markdown]
# ## The exact solution
#
# Is that right? Linear regression is one of the few models whose best parameters can be computed
# directly. All predictions together are a product: a matrix with a row (x, 1) for each sample,
# times the vector (w, b). `torch.linalg.lstsq` finds the vector that makes the squared error
# smallest, the **least squares** solution. After 100 epochs gradient descent is on its way there.
# The loss falls fast at first, and then slowly along the valley that chapter 1 draws, where a
# change of $w$ is almost made up for by one of $b$.

# %%
columns = torch.tensor([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])  # x and 1
exact = torch.linalg.lstsq(columns, y_data.cpu()).solution  # (2, 1)
print(exact)  # w and b, up to rounding

# %% [markdown]
# ## Prediction
#
# To predict, run the forward pass alone. Inside `with torch.no_grad():` no computation graph is
# built, since no gradient will be needed. For $x = 4$ the exact line gives 8. After 100 epochs ours
# is not there yet; with `--epochs 1000` it is, to two decimals.

# %%
x_test = torch.tensor([[4.0]], device=args.device)
with torch.no_grad():
    y_test = model(x_test)
print(y_test)

# %% [markdown]
# ## Results
#
# On the left the data, the learned line and its prediction, on the right the loss. Its axis is
# logarithmic, so that both phases show: it falls fast, then slowly.

# %% tags=["hide-input"]
fig = plotting.figure(10, 4, args.show)
left, right = fig.subplots(1, 2)
left.plot(x_data.cpu(), y_data.cpu(), "o", color=plotting.RED, label="data")
ends = [model.linear.bias.item(), y_test.item()]
left.plot([0, 4], ends, color=plotting.BLUE, label="learned line")
left.plot(4, y_test.item(), "o", color=plotting.BLUE, label="prediction for x = 4")
left.set(title="The line after training", xlabel="x", ylabel="y")
left.legend()
right.semilogy(losses, color=plotting.BLUE)
right.set(title="The training loss", xlabel="epoch", ylabel="summed squared error")
plotting.finish(fig, args.output_dir / "03_nn_linear.png", args.show)

# %%
print(f"Prediction for x = 4: {y_test.item():.4f}")
