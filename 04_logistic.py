# %% [markdown]
"""# Chapter 4 · Logistic regression · 逻辑回归

Chapters 1 to 3 predicted a number: regression. Here the answer is yes or no: **classification**
with two classes. You will see torchvision's datasets, turn the output of a linear layer into a
probability with the sigmoid function, measure its error by binary cross-entropy, and learn why
losses are computed from logits.

    python 04_logistic.py

The last lines of a run:

    Figure:     outputs/04_logistic.png
    Decision boundary: 2.… hours
    Probability of passing after 4 hours: 0.8…
"""

# %%
from common import chapter, cli, plotting

MAIN = __name__ == "__main__"
if MAIN:
    args = chapter.begin(cli.parser(__doc__, epochs=1000, lr=0.01, device=True))

# %%
import torch
import torch.nn.functional as F
import torchvision

from common import training
from common.data import mnist_root

# %% [markdown]
# ## torchvision
#
# torchvision brings datasets for **computer vision** and downloads them where they are missing;
# here they are part of the project. MNIST, for chapter 7, holds images of handwritten digits in ten
# **classes**. Indexed like a list, it gives an image and its **label**, the class it belongs to.

# %%
if MAIN:
    chapter.section()
    train_set = torchvision.datasets.MNIST(root=mnist_root(), train=True, download=True)
    test_set = torchvision.datasets.MNIST(root=mnist_root(), train=False, download=True)
    image, label = train_set[0]
    print(f"{len(train_set):,} training and {len(test_set):,} test images")
    print(f"the first: {image.size[0]} x {image.size[1]} pixels, label {label}")

# %% [markdown]
# ## Logistic regression: the model · 逻辑回归模型构建
#
# The example: hours of study, and whether the exam was passed (1) or not (0). The linear layer
# gives any real number, the **logit** $z = w x + b$. The **sigmoid** function
# $\sigma(z) = 1 / (1 + e^{-z})$ squeezes it between 0 and 1, so that it can be read as the
# probability of class 1. Sigmoid is the first **activation function** of this book: a nonlinear
# function applied to the output of a layer. It has no parameters, so it may be called in `forward`
# (`F.sigmoid`) or be an attribute like a layer (`nn.Sigmoid`); the result is the same.


# %%
class LogisticModel(torch.nn.Module):
    """The probability of class 1, sigmoid(w x + b): (N, 1) -> (N, 1)."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1) -> (N, 1), each between 0 and 1."""
        y_pred = F.sigmoid(self.linear(x))
        return y_pred


class LogisticModelWithLayer(torch.nn.Module):
    """The same with the sigmoid as an attribute, so that it appears among the layers."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)
        self.sigmoid = torch.nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1) -> (N, 1), each between 0 and 1."""
        y_pred = self.sigmoid(self.linear(x))
        return y_pred


if MAIN:
    chapter.section()
    x_data = torch.tensor([[1.0], [2.0], [3.0]], device=args.device)  # hours, (3, 1)
    y_data = torch.tensor([[0.0], [0.0], [1.0]], device=args.device)
    model = LogisticModel().to(args.device)
    with_layer = LogisticModelWithLayer().to(args.device)
    with_layer.load_state_dict(model.state_dict())  # the same parameters
    print(f"F.sigmoid in forward:       {model(x_data).flatten().tolist()}")
    print(f"nn.Sigmoid as an attribute: {with_layer(x_data).flatten().tolist()}")

# %% [markdown]
# ## Binary cross-entropy · 二元交叉熵损失函数
#
# The loss is the negative logarithm of the probability that the model gave to the true class, the
# **negative log-likelihood**. With two classes it is called **binary cross-entropy** (BCE):
# $-[y \log p + (1 - y) \log(1 - p)]$, where $p$ is the probability of class 1 and one of the two
# terms is always 0. It is 0 for a certain and right prediction, $\log 2 = 0.69$ at $p = 0.5$, and
# grows without limit as the probability of the true class goes to 0. With the natural logarithm,
# its unit is the **nat**.

# %%
if MAIN:
    chapter.section()
    criterion = torch.nn.BCELoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    p, y = model(x_data).detach(), y_data
    by_hand = -(y * p.log() + (1 - y) * (1 - p).log()).sum()
    print(f"by hand {by_hand:.4f}, BCELoss {criterion(p, y):.4f}")

# %% [markdown]
# ## Training, and a boundary that drifts
#
# The loop is chapter 3's, from common/training.py. Where $z = 0$ the probability is 0.5: this is
# the **decision boundary**, at $x = -b / w$. Here the two classes can be separated without a
# mistake: 1 and 2 hours failed, 3 hours passed. For such data the loss has no minimum: once the
# boundary lies between 2 and 3, doubling $w$ and $b$ makes the curve steeper and the loss smaller.
# So $w$ grows as long as training goes on, and the boundary moves towards the middle of the gap,
# 2.5: 2.42 after 1,000 epochs, 2.48 after 100,000. What is printed is merely where the training
# ended.


# %%
def boundary(model: torch.nn.Module) -> float:
    """The x at which the probability is 0.5."""
    return (-model.linear.bias / model.linear.weight).item()


if MAIN:
    chapter.section()
    history = training.full_batch(
        model, criterion, optimizer, x_data, y_data, args.epochs,
        measure=lambda: {"w": model.linear.weight.item(), "boundary": boundary(model)},
    )  # fmt: skip

# %% [markdown]
# ## Logits in the loss: BCEWithLogitsLoss
#
# Floats just below 1 are $2^{-24} \approx 6 \cdot 10^{-8}$ apart, so the sigmoid of a logit of 20
# is rounded to 1, and $\log(1 - p)$ would be $\log 0$. `BCEWithLogitsLoss` never forms the
# probability: from the logit it computes $\max(z, 0) - y z + \log(1 + e^{-|z|})$, which is the same
# loss. But with logit 200 and label $y = 0$, sigmoid and `BCELoss`, which cuts logarithms off at
# -100, give the loss 100 and the gradient 0: the model can't learn from its worst mistake. The
# exact loss is 200, and the exact gradient $\sigma(z) - y = 1$.


# %%
if MAIN:
    chapter.section()
    with torch.no_grad():
        z = model.linear(x_data)
        print(f"after training: sigmoid, BCELoss:  {criterion(torch.sigmoid(z), y_data):.6f}")
        with_logits = torch.nn.BCEWithLogitsLoss(reduction="sum")
        print(f"                BCEWithLogitsLoss: {with_logits(z, y_data):.6f}")

    for name, loss_of in [
        ("sigmoid, BCELoss: ", lambda z, y: criterion(torch.sigmoid(z), y)),
        ("BCEWithLogitsLoss:", with_logits),
    ]:
        z = torch.tensor(200.0, requires_grad=True)
        loss = loss_of(z, torch.tensor(0.0))
        loss.backward()
        print(f"z = 200, y = 0: {name} loss {loss.item():g}, gradient {z.grad.item():g}")

# %% [markdown]
# ## Results
#
# Above, ten images of MNIST, whose ten classes need chapter 7's softmax instead of a sigmoid.
# Below, the predicted probability of passing over the hours of study, with the three data points
# and the decision boundary, and the training loss.

# %% tags=["hide-input"]
if MAIN:
    chapter.section()
    fig = plotting.figure(10, 5.6, args.show)
    top, bottom = fig.subfigures(2, 1, height_ratios=[1, 3])
    images, labels = zip(*(train_set[i] for i in range(10)), strict=True)
    title = "MNIST: images in ten classes, for chapter 7"
    plotting.image_row(top, images, [str(label) for label in labels], ["black"] * 10, title)

    left, right = bottom.subplots(1, 2, width_ratios=[3, 2])
    x = torch.linspace(0, 6, 200)[:, None]  # (200, 1)
    with torch.no_grad():
        curve = model(x.to(args.device)).cpu()
    left.plot(x, curve, color=plotting.BLUE, label="probability of passing")
    data = "data: 0 failed, 1 passed"
    left.plot(x_data.cpu(), y_data.cpu(), "o", color=plotting.RED, label=data)
    left.axvline(boundary(model), color=plotting.GREY, ls="--", label="decision boundary")
    left.set(title="Two classes: who passes the exam?", xlabel="study time (hours)", xlim=(0, 6))
    left.set_ylabel("probability")
    left.legend()
    right.plot(history["epoch"], history["loss"], color=plotting.BLUE)
    right.set(title="Training loss", xlabel="epoch", ylabel="summed cross-entropy (nats)")
    plotting.finish(fig, args.output_dir / "04_logistic.png", args.show)

# %%
if MAIN:
    with torch.no_grad():
        p = model(torch.tensor([[4.0]], device=args.device)).item()
    print(f"Decision boundary: {boundary(model):.2f} hours")
    print(f"Probability of passing after 4 hours: {p:.4f}")
    chapter.end()
