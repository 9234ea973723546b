# %% [markdown]
"""# Chapter 4 · Logistic regression · 逻辑回归

You will write a model that answers yes or no, where those of chapters 1 to 3 predicted a number:
**classification** with two classes. You will turn the output of a linear layer into a probability
with the sigmoid function, and measure its error by binary cross-entropy. You will also load one of
torchvision's datasets, and know why losses are computed from logits.

    python 04_logistic.py

The last lines of a run:

    Figure:     outputs/04_logistic.png
    Decision boundary: 2.… hours
    Probability of passing after 4 hours: 0.8…
"""

# %%
from common import chapter, plotting

args = chapter.begin(__doc__, epochs=1000, lr=0.01, device="auto")

import copy

import torch
import torch.nn.functional as F
import torchvision

from common import training
from common.data import mnist_root

# %% [markdown]
# ## torchvision
#
# torchvision brings datasets of images, and downloads them where they are missing; here they are
# part of the project. MNIST holds handwritten digits in ten **classes**: 60,000 images to learn
# from and 10,000 to test with. Indexed like a list, it gives an image and its label, the class it
# belongs to. (The notes introduce it here; this chapter has no other use for it, chapter 7 has.)

# %%
root = mnist_root()  # in a program of your own: "./data"
train_set = torchvision.datasets.MNIST(root=root, train=True, download=True)
test_set = torchvision.datasets.MNIST(root=root, train=False, download=True)
print(len(train_set), len(test_set))
print(train_set[0])

# %% [markdown]
# ## Logistic regression: the model · 逻辑回归模型构建
#
# The example: hours of study, and whether the exam was passed (1) or not (0). A linear layer gives
# any number, positive or negative: the **logit** $z = w x + b$. The **sigmoid** function squeezes
# it between 0 and 1, so that it can be read as the probability of class 1: $\sigma(z) = 1 / (1 +
# e^{-z})$. Where $z = 0$ the probability is 0.5: this is the **decision boundary**.
#
# ![The logit and the sigmoid](docs/drawings/04_logit_and_sigmoid.svg)

# %%
x_data = torch.tensor([[1.0], [2.0], [3.0]], device=args.device)  # hours, (3, 1)
y_data = torch.tensor([[0.0], [0.0], [1.0]], device=args.device)
print(F.sigmoid(torch.tensor([-5.0, -1.0, 0.0, 1.0, 5.0])))


# %%
class LogisticModel(torch.nn.Module):
    """The probability of class 1, sigmoid(w x + b): (N, 1) -> (N, 1)."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)

    def forward(self, x):
        """(N, 1) -> (N, 1), each between 0 and 1."""
        y_pred = F.sigmoid(self.linear(x))
        return y_pred


model = LogisticModel()
model.to(args.device)
print(model(x_data))

# %% [markdown]
# ## The sigmoid as a layer
#
# The sigmoid is the first **activation function** of this book, a nonlinear function that follows a
# layer. It has no parameters, so it may be called in `forward`, as above. Or it is an attribute
# like a layer, `torch.nn.Sigmoid`, and then appears where the model is printed. `state_dict()` is a
# dictionary of the parameters by their names, and `load_state_dict` copies it into another model.
# So both have the same parameters here, and give the same result.


# %%
class LogisticModelWithLayer(torch.nn.Module):
    """The same with the sigmoid as an attribute: (N, 1) -> (N, 1)."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)
        self.sigmoid = torch.nn.Sigmoid()

    def forward(self, x):
        """(N, 1) -> (N, 1), each between 0 and 1."""
        y_pred = self.sigmoid(self.linear(x))
        return y_pred


with_layer = LogisticModelWithLayer().to(args.device)
with_layer.load_state_dict(model.state_dict())
print(with_layer)
print(with_layer(x_data))

# %% [markdown]
# ## Binary cross-entropy · 二元交叉熵损失函数
#
# The loss of a probability is the negative logarithm of the probability that the model gave to the
# true class. It is 0 for a certain and right prediction, and grows without limit for a wrong one;
# the first lines below show it. With two classes this is called **binary cross-entropy** (BCE). If
# $p$ is the probability of class 1, the true class has $p$ where $y = 1$, and $1 - p$ where $y =
# 0$. One formula for both is $-[y \log p + (1 - y) \log(1 - p)]$, in which one of the two terms is
# always 0. With the natural logarithm its unit is the **nat**.

# %%
of_the_true_class = torch.tensor([1.0, 0.9, 0.5, 0.1, 0.01])
print(-of_the_true_class.log())

# %%
criterion = torch.nn.BCELoss(reduction="sum")
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)

p = model(x_data)
by_hand = -(y_data * p.log() + (1 - y_data) * (1 - p).log()).sum()
print(by_hand)
print(criterion(p, y_data))

# %% [markdown]
# ## Training
#
# The loop is chapter 3's; `training.full_batch`, from common/training.py, has its very lines. The
# decision boundary, $w x + b = 0$, is at $x = -b / w$ hours.


# %%
def boundary(model):
    """The x at which the probability is 0.5."""
    return (-model.linear.bias / model.linear.weight).item()


losses = training.full_batch(model, criterion, optimizer, x_data, y_data, args.epochs, every=100)
print(model(x_data))
print(boundary(model))

# %% [markdown]
# ## A boundary that drifts
#
# Continue training, and the boundary moves on. These two classes can be separated without a
# mistake: 1 and 2 hours failed, 3 hours passed. For such data the loss has no minimum, since
# doubling $w$ and $b$ makes the curve steeper and the loss smaller again. So $w$ grows as long as
# training goes on, and the boundary moves towards the middle of the gap, 2.5: from 2.42 after 1,000
# epochs to 2.45 after 10,000. What is printed is merely where the training ended.

# %%
longer = copy.deepcopy(model)  # so that model stays as it is
sgd = torch.optim.SGD(longer.parameters(), lr=args.lr)
training.full_batch(longer, criterion, sgd, x_data, y_data, 9 * args.epochs, every=3000)
print(boundary(longer))
print(model.linear.weight.item(), longer.linear.weight.item())

# %% [markdown]
# ## A probability that is rounded to 1
#
# Numbers of type float32 have about seven digits. So the sigmoid of 20, which is $1 - 2 \cdot
# 10^{-9}$, is rounded to 1. With label 0 the loss should be 20, but $\log(1 - p)$ is now $\log 0$.
# `BCELoss` cuts that off at -100, and the gradient is 0: the model can't learn from its mistake.

# %%
z = torch.tensor(20.0, requires_grad=True)
y = torch.tensor(0.0)
print(F.sigmoid(z))
loss = torch.nn.BCELoss()(F.sigmoid(z), y)
loss.backward()
print(loss, z.grad)

# %% [markdown]
# ## Logits in the loss: BCEWithLogitsLoss
#
# `BCEWithLogitsLoss` never forms the probability. From the logit it computes $\max(z, 0) - y z +
# \log(1 + e^{-|z|})$, which is the same loss, exactly. So in a program of your own let `forward`
# return the logit, and apply the sigmoid only to predict.

# %%
z = torch.tensor(20.0, requires_grad=True)
loss = torch.nn.BCEWithLogitsLoss()(z, y)
loss.backward()
print(loss, z.grad)

# %% [markdown]
# ## Results
#
# On the left the predicted probability of passing over the hours of study, with the three data
# points and the decision boundary. On the right the training loss, which has not come to rest.

# %% tags=["hide-input"]
fig = plotting.figure(10, 4, args.show)
left, right = fig.subplots(1, 2, width_ratios=[3, 2])
hours = torch.linspace(0, 6, 200).unsqueeze(1)  # (200, 1)
curve = model(hours.to(args.device)).detach().cpu()
left.plot(hours, curve, color=plotting.BLUE, label="probability")
left.plot(x_data.cpu(), y_data.cpu(), "o", color=plotting.RED, label="data: 0 failed, 1 passed")
left.axvline(boundary(model), color=plotting.GREY, ls="--", label="decision boundary")
left.set(title="Who passes the exam?", xlabel="study time (hours)", ylabel="probability")
left.legend()
right.plot(losses, color=plotting.BLUE)
right.set(title="Training loss", xlabel="epoch", ylabel="summed cross-entropy (nats)")
plotting.finish(fig, args.output_dir / "04_logistic.png", args.show)

# %%
p = model(torch.tensor([[4.0]], device=args.device)).item()
print(f"Decision boundary: {boundary(model):.2f} hours")
print(f"Probability of passing after 4 hours: {p:.4f}")
