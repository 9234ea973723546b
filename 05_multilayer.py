# %% [markdown]
"""# Chapter 5 · Multiple features and hidden layers · 高维度数据输入的处理 · 多个隐藏层的神经网络

Real data at last: eight features of 768 women of Pima heritage, and which of them were diagnosed
with diabetes within five years. You will bring a table from NumPy to torch, stack layers with
activation functions between them, standardize the features, and measure accuracy on a test set.

    python 05_multilayer.py
    python 05_multilayer.py --epochs 10000    watch the deep network overfit

The last lines of a run:

    Figure:     outputs/05_multilayer.png
    Accuracy on the test set of 154 women, standard error 0.03:
    majority-class baseline  0.6234
    one layer                0.7…
    three layers             0.7…
"""

# %%
from common import chapter, cli, plotting

MAIN = __name__ == "__main__"
if MAIN:
    args = chapter.begin(cli.parser(__doc__, epochs=1000, lr=0.5, device=True))

# %%
import math
import warnings

import numpy as np
import torch

from common import training
from common.data import DATA, check_table
from common.progress import epochs_done

# %% [markdown]
# ## Multiple features · 高维度数据输入的处理
#
# With eight **features** per sample instead of one, only the layer's sizes change: `Linear(8, 2)`
# has eight inputs and two outputs, a weight matrix of shape (2, 8) and two biases. The two outputs
# are the logits of the classes "no" and "yes"; the higher one is the prediction. Only their
# difference counts, $p_{yes} = \sigma(z_{yes} - z_{no})$ (chapter 7's softmax for two classes), so
# this single linear layer is logistic regression with eight features.


# %%
class PlainModel(torch.nn.Module):
    """One linear layer: features (N, 8) -> logits of "no" and "yes" (N, 2)."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 8) -> (N, 2)"""
        return self.linear(x)


if MAIN:
    chapter.section()
    plain = PlainModel().to(args.device)
    for name, parameter in plain.named_parameters():
        print(f"{name:13} {tuple(parameter.shape)}")

# %% [markdown]
# ## Hidden layers · 多个隐藏层的神经网络
#
# **Hidden layers** stand between input and output: 8 features, 16 and 16 hidden units, 2 logits.
# Such a network is a **multilayer perceptron** (MLP). After each hidden layer comes an activation
# function, and not for decoration: without one, $W_2 (W_1 x + b_1) + b_2$ is again a single linear
# layer with the matrix $W_2 W_1$, however many layers are stacked. With it, the network can bend
# its decision boundary.


# %%
class DeepModel(torch.nn.Module):
    """Two hidden layers of 16 units: features (N, 8) -> logits (N, 2)."""

    def __init__(self):
        super().__init__()
        self.hidden1 = torch.nn.Linear(8, 16)
        self.hidden2 = torch.nn.Linear(16, 16)
        self.sigmoid = torch.nn.Sigmoid()
        self.output = torch.nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 8) -> (N, 2)"""
        x = self.sigmoid(self.hidden1(x))  # (N, 16)
        x = self.sigmoid(self.hidden2(x))  # (N, 16)
        x = self.output(x)
        return x


if MAIN:
    chapter.section()
    deep = DeepModel().to(args.device)
    for name, model in {"one layer": plain, "three layers": deep}.items():
        print(f"{name:12} {sum(p.numel() for p in model.parameters()):3} parameters")

    first, second = torch.nn.Linear(8, 16), torch.nn.Linear(16, 2)
    collapsed = torch.nn.Linear(8, 2)
    with torch.no_grad():
        collapsed.weight.copy_(second.weight @ first.weight)
        collapsed.bias.copy_(second.weight @ first.bias + second.bias)
        x = torch.randn(5, 8)
        same = torch.allclose(second(first(x)), collapsed(x), atol=1e-6)
    print(f"two layers without activation equal one: {same}")

# %% [markdown]
# ## From NumPy to torch · numpy到torch的转换
#
# `np.loadtxt` reads the table: a row per woman, the label in the last column. `torch.from_numpy`
# makes a tensor that shares its memory with the array. For labels of shape (N, 1), either take the
# last column and add a dimension with `unsqueeze(1)`, or index with a list, `xy[:, [-1]]`, which
# keeps the dimension. The two differ in one point: a slice is a **view** of the same memory, and a
# list of columns makes a copy. In this table a zero in glucose, blood pressure, skin thickness,
# insulin or BMI is a **missing value**: it was not measured. The models here don't know that.

# %%
if MAIN:
    chapter.section()
    check_table(DATA / "diabetes.csv")
    xy = np.loadtxt(DATA / "diabetes.csv", delimiter=",", dtype=np.float32, encoding="utf-8-sig")
    x_data = torch.from_numpy(xy[:, :-1])  # (768, 8)
    y_data = torch.from_numpy(xy[:, -1]).unsqueeze(1)  # (768, 1)
    y_copy = torch.from_numpy(xy[:, [-1]])  # (768, 1)
    print(f"xy {xy.shape}, x_data {tuple(x_data.shape)}, y_data {tuple(y_data.shape)}")
    xy[0, -1] = 99
    print(f"with 99 in the table: y_data[0] = {y_data[0].item():g},", end=" ")
    print(f"y_copy[0] = {y_copy[0].item():g}")
    xy[0, -1] = y_copy[0]
    zeros = (x_data[:, 1:6] == 0).sum(dim=0).tolist()
    print(f"zeros in glucose, blood pressure, skin thickness, insulin, BMI: {zeros}")

# %% [markdown]
# ## Training set and test set
#
# What counts is **generalization**: how well a model predicts for women it has never seen. So it is
# trained on the **training set**, and the **test set** is only for the final report. To choose
# among settings (layers, learning rate, epochs), use a third part, the **validation set**: a number
# that was used to choose is too good to report. Here nothing is chosen, so there is none (chapter 9
# has one). The features are then **standardized**, $(x - mean) / std$: glucose is around 120, the
# pedigree function (diabetes in the family) around 0.5, and one learning rate must suit both. Mean
# and standard deviation come from the training set alone, or information about the test set would
# **leak** into the training.


# %%
def split(xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows (N, 9) of the training set and of the test set, which gets every fifth row."""
    is_test = np.arange(len(xy)) % 5 == 0
    return xy[~is_test], xy[is_test]


def standardize(x: torch.Tensor, x_train: torch.Tensor) -> torch.Tensor:
    """Features (N, 8) scaled so that those of the training set (M, 8) have mean 0 and std 1."""
    return (x - x_train.mean(dim=0)) / x_train.std(dim=0)


if MAIN:
    chapter.section()
    xy_train, xy_test = (torch.from_numpy(part) for part in split(xy))
    x_train = standardize(xy_train[:, :-1], xy_train[:, :-1]).to(args.device)  # (614, 8)
    x_test = standardize(xy_test[:, :-1], xy_train[:, :-1]).to(args.device)  # (154, 8)
    print(f"training set {tuple(x_train.shape)}, test set {tuple(x_test.shape)}")
    for name, x in [("mg/dl", xy_train[:, 1]), ("standardized", x_train[:, 1])]:
        print(f"glucose, {name + ':':13} mean {x.mean().abs():5.1f}, std {x.std():4.1f}")

# %% [markdown]
# ## A loss for two logits
#
# `BCELoss` wants one probability per sample. For two logits per sample there is `CrossEntropyLoss`,
# which chapter 7 takes apart. Its labels are **class indices**, 0 or 1, as integers of shape (N,).
# The notes' `Linear(8, 2)` with labels of shape (N, 1) fits no loss, and `MSELoss` shows a trap: it
# stretches (N, 1) to (N, 2) by broadcasting, and only warns.

# %%
if MAIN:
    chapter.section()
    y_train = xy_train[:, -1].long().to(args.device)  # (614,)
    y_test = xy_test[:, -1].long().to(args.device)  # (154,)
    criterion = torch.nn.CrossEntropyLoss()
    loss = criterion(plain(x_train), y_train)
    print(f"CrossEntropyLoss, labels {tuple(y_train.shape)}: {loss.item():.4f}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.nn.MSELoss()(plain(x_train), y_train[:, None].float())
    warning = str(caught[0].message).split(". ")[0]
    print(f"MSELoss, labels {tuple(y_train[:, None].shape)}: {warning}")

# %% [markdown]
# ## Training
#
# Both models are trained on the whole training set with chapter 3's loop. After every epoch the
# **accuracy**, the share of right predictions, is recorded on both sets. With `--epochs 10000` the
# training accuracy of the deep network goes on rising while its test accuracy falls: it
# **overfits**, it learns the women of the training set by heart.


# %%
def accuracy(model: torch.nn.Module, x: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of rows (N, 8) whose higher logit is that of their class index (N,)."""
    with torch.no_grad():
        predicted = model(x).argmax(dim=1)  # (N,)
    return (predicted == labels).float().mean().item()


if MAIN:
    chapter.section()
    histories, epochs = {}, args.epochs
    for name, model in {"one layer": plain, "three layers": deep}.items():
        print(f"{name}:")
        optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)

        def measure(model=model):
            train, test = accuracy(model, x_train, y_train), accuracy(model, x_test, y_test)
            return {"training accuracy": train, "test accuracy": test}

        histories[name] = training.full_batch(
            model, criterion, optimizer, x_train, y_train, epochs, measure
        )
        epochs = epochs_done(histories[name])  # after Ctrl-C, as many for the second

# %% [markdown]
# ## How precise is an accuracy?
#
# A number alone says little. Compare it with a **baseline**: the majority-class baseline always
# says "no". And another test set would give another number: an accuracy $p$ measured on $n$ samples
# has the **standard error** $\sqrt{p (1 - p) / n}$, and lies within two standard errors of the true
# accuracy about 95 % of the time. Two models tested on the same samples differ only where one is
# right and the other wrong. Here their counts of right predictions differ by so little that chance
# alone could explain it: the hidden layers gain nothing that this test set could show.

# %%
if MAIN:
    chapter.section()
    baseline = (y_test == 0).float().mean().item()
    p, n = histories["one layer"]["test accuracy"][-1], len(y_test)
    standard_error = math.sqrt(p * (1 - p) / n)
    differ = round(n * abs(p - histories["three layers"]["test accuracy"][-1]))
    print(f"one layer: {p:.4f} ± {standard_error:.4f}; right predictions differ by {differ} of {n}")

# %% [markdown]
# ## Results
#
# The deep network's training loss is lower in the end. On the test set this advantage is gone.

# %% tags=["hide-input"]
if MAIN:
    chapter.section()
    fig = plotting.figure(10, 4.2, args.show)
    left, right = fig.subplots(1, 2)
    for (name, history), color in zip(
        histories.items(), (plotting.BLUE, plotting.RED), strict=True
    ):
        left.plot(history["epoch"], history["loss"], color=color, label=name)
        for part, dashes in [("training", ":"), ("test", "-")]:
            style = {"color": color, "lw": 1.5, "label": f"{name}, {part} set"}
            right.plot(history["epoch"], history[f"{part} accuracy"], dashes, **style)
    left.set(title="Training loss", xlabel="epoch", ylabel="cross-entropy (nats)")
    left.legend()
    right.axhline(baseline, color=plotting.GREY, ls="--", label="majority-class baseline, test set")
    right.set(title="Accuracy on both sets", xlabel="epoch", ylabel="accuracy")
    right.legend(loc="best", fontsize=8)
    plotting.finish(fig, args.output_dir / "05_multilayer.png", args.show)

# %%
if MAIN:
    print(f"Accuracy on the test set of {n} women, standard error {standard_error:.2f}:")
    print(f"majority-class baseline  {baseline:.4f}")
    for name, history in histories.items():
        print(f"{name:24} {history['test accuracy'][-1]:.4f}")
    chapter.end()
