# %% [markdown]
"""# Chapter 5 · Multiple features and hidden layers · 高维度数据输入的处理 · 多个隐藏层的神经网络

You will write a network with hidden layers, and train it on real data: eight features of 768 women
of Pima heritage, and which of them were diagnosed with diabetes within five years. You will bring a
table from NumPy to torch and standardize the features. You will recognize a network that overfits,
choose between two models, and measure the accuracy of the chosen one.

    python 05_multilayer.py

The last lines of a run:

    Figure:     outputs/05_multilayer.png
    Test accuracy of the chosen model: 0.8… ± 0.03
"""

# %%
from common import chapter, plotting

args = chapter.begin(__doc__, epochs=5000, lr=0.3, device="auto")

import copy

import numpy as np
import torch

from common import training
from common.data import DATA, check_table

# %% [markdown]
# ## Multiple features · 高维度数据输入的处理
#
# With eight **features** per sample instead of one, only the layer's sizes change: `Linear(8, 2)`
# has eight inputs and two outputs, a weight matrix of shape (2, 8) and two biases. The two outputs
# are the logits of the classes "no" and "yes"; the higher one is the prediction. Only their
# difference counts, so this single linear layer is logistic regression with eight features.


# %%
class PlainModel(torch.nn.Module):
    """One linear layer: features (N, 8) -> logits of "no" and "yes" (N, 2)."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(8, 2)

    def forward(self, x):
        """(N, 8) -> (N, 2)"""
        return self.linear(x)


plain = PlainModel().to(args.device)
print(plain.linear.weight.shape, plain.linear.bias.shape)

# %% [markdown]
# ## Hidden layers · 多个隐藏层的神经网络
#
# **Hidden layers** stand between input and output: 8 features, 16 and 16 hidden units, 2 logits.
# Such a network is a **multilayer perceptron** (MLP). Each unit is computed from all units of the
# layer before it; below, lines show that for one unit of each layer. After each hidden layer comes
# an activation function. Without it two linear layers are the same as a single one, whose weight is
# the product of theirs; the last line below checks that. With it the decision boundary can be a
# curve.
#
# ![The layers and their shapes](docs/drawings/05_layers.svg)


# %%
class DeepModel(torch.nn.Module):
    """Two hidden layers of 16 units: features (N, 8) -> logits (N, 2)."""

    def __init__(self):
        super().__init__()
        self.hidden1 = torch.nn.Linear(8, 16)
        self.hidden2 = torch.nn.Linear(16, 16)
        self.sigmoid = torch.nn.Sigmoid()
        self.output = torch.nn.Linear(16, 2)

    def forward(self, x):
        """(N, 8) -> (N, 2)"""
        x = self.sigmoid(self.hidden1(x))  # (N, 16)
        x = self.sigmoid(self.hidden2(x))  # (N, 16)
        x = self.output(x)
        return x


deep = DeepModel().to(args.device)
print(deep)

first, second = torch.nn.Linear(8, 16, bias=False), torch.nn.Linear(16, 2, bias=False)
weight = second.weight @ first.weight  # (2, 8)
x = torch.randn(5, 8)
print("one layer:", torch.allclose(second(first(x)), x @ weight.T, atol=1e-6))

# %% [markdown]
# ## Training, validation and test set
#
# What counts is how well a model predicts for women it has never seen. So the rows are divided. The
# model learns from the **training set**. The **validation set** is for choosing: how long to train,
# which model to take. The **test set** is used once, for the final report: the model was chosen
# because its number was high on the validation set, so that number is too optimistic. Here three
# rows of five are for training, one is for validation, one for the test.

# %%
path = check_table(DATA / "diabetes.csv")  # the same path, once the table is checked
table = np.loadtxt(path, delimiter=",", dtype=np.float32)
turn = np.arange(len(table)) % 5  # 0, 1, 2, 3, 4, 0, …
xy = table[turn > 1]
xy_val = table[turn == 1]
xy_test = table[turn == 0]
print(table.shape, xy.shape, xy_val.shape, xy_test.shape)

# %% [markdown]
# ## From NumPy to torch · numpy到torch的转换
#
# `torch.from_numpy` makes a tensor that shares its memory with the array. The label stands in the
# last column. For labels of shape (N, 1), either take that column and add a dimension with
# `unsqueeze(1)`, or index with a list, `xy[:, [-1]]`, which keeps the dimension, and makes a copy.
# A zero in glucose, blood pressure, skin thickness, insulin or BMI is a **missing value**: it was
# not measured. The models here don't know that.

# %%
x_train = torch.from_numpy(xy[:, :-1])  # (460, 8)
y_train = torch.from_numpy(xy[:, -1]).unsqueeze(1)  # (460, 1)
y_train = torch.from_numpy(xy[:, [-1]])  # (460, 1), the other way
print(x_train.shape, y_train.shape)
print(np.shares_memory(xy, x_train.numpy()), np.shares_memory(xy, y_train.numpy()))
print((x_train[:, 1:6] == 0).sum(dim=0))

# %% [markdown]
# ## Standardized features
#
# Glucose is around 120, the pedigree function (diabetes in the family) around 0.5, and one learning
# rate must suit both. So each column is **standardized**: minus its mean, divided by its standard
# deviation (`std`). `dim=0` goes down the columns. Mean and std come from the training set alone,
# or information about the other sets would **leak** into the training.

# %%
mean, std = x_train.mean(dim=0), x_train.std(dim=0)  # (8,) each
print(mean)
x_train = ((x_train - mean) / std).to(args.device)
x_val = ((torch.from_numpy(xy_val[:, :-1]) - mean) / std).to(args.device)
x_test = ((torch.from_numpy(xy_test[:, :-1]) - mean) / std).to(args.device)
print(x_train.mean(dim=0).abs().max(), x_train.std(dim=0))

# %% [markdown]
# ## A loss for two logits
#
# Which loss wants which output of the model, and which labels:
#
# | loss | chapter | output of the model | labels |
# | --- | --- | --- | --- |
# | `MSELoss` | 3 | (N, 1), any numbers | (N, 1), floats |
# | `BCELoss` | 4 | (N, 1), probabilities | (N, 1), floats 0 and 1 |
# | `BCEWithLogitsLoss` | 4, 6 | (N, 1), logits | (N, 1), floats 0 and 1 |
# | `CrossEntropyLoss` | 5, 7 | (N, C), logits | (N,), class indices |
#
# `CrossEntropyLoss` is chapter 4's loss for two logits or more: minus the logarithm of the
# probability of the true class. **Class indices** are whole numbers, here 0 and 1, of type int64
# (`long`). The notes' `Linear(8, 2)` with labels (N, 1) fits no loss. `MSELoss` shows a trap: by
# broadcasting it compares each label with both logits, and only warns.

# %%
print(torch.nn.MSELoss()(plain(x_train), y_train.to(args.device)))  # warns: (460, 1), (460, 2)

y_train = y_train[:, 0].long().to(args.device)  # (460,)
y_val = torch.from_numpy(xy_val[:, -1]).long().to(args.device)  # (154,)
y_test = torch.from_numpy(xy_test[:, -1]).long().to(args.device)  # (154,)
criterion = torch.nn.CrossEntropyLoss()
print(plain(x_train).shape, y_train.shape, criterion(plain(x_train), y_train))

# %% [markdown]
# ## Training, and overfitting
#
# Both models are trained with chapter 3's loop, the deep one in parts of 100 epochs, each followed
# by a look at the validation loss. At first its training loss and its validation loss fall. Then
# the training loss goes on falling, and the validation loss rises: the network **overfits**, it
# fits accidents of the training set that other women don't share. So the parameters with the lowest
# validation loss are kept, and put back at the end: **early stopping**.

# %%
optimizer = torch.optim.SGD(plain.parameters(), lr=args.lr)
plain_losses = training.full_batch(
    plain, criterion, optimizer, x_train, y_train, args.epochs, every=1000
)
print("validation loss", criterion(plain(x_val), y_val))

optimizer = torch.optim.SGD(deep.parameters(), lr=args.lr)
deep_losses, val_epochs, val_losses = [], [], []
for start in range(0, args.epochs, 100):
    epochs = min(100, args.epochs - start)
    deep_losses += training.full_batch(
        deep, criterion, optimizer, x_train, y_train, epochs, every=1000
    )
    val_epochs.append(start + epochs)
    val_losses.append(criterion(deep(x_val), y_val).item())
    if np.argmin(val_losses) == len(val_losses) - 1:
        best = copy.deepcopy(deep.state_dict())  # a copy: the model's own goes on changing
print("at the end: training loss", deep_losses[-1], "validation loss", val_losses[-1])
print("lowest:", min(val_losses), "epoch", val_epochs[np.argmin(val_losses)])
deep.load_state_dict(best)

# %% [markdown]
# ## Choosing a model
#
# **Accuracy** is the share of right predictions. Which model is better? Women for whom both are
# right, or both wrong, say nothing about that. Only those count for whom one is right and the other
# wrong. If the models were equally good, the two groups of them would, 95 times of 100, differ by
# less than $2 \sqrt n$, with $n$ women in both. The model with the higher validation accuracy is
# chosen, even if that may be chance.


# %%
def accuracy(model, x, labels):
    """The share of rows (N, 8) whose higher logit is that of their class index (N,)."""
    with torch.no_grad():
        predicted = model(x).argmax(dim=1)  # (N,)
    return (predicted == labels).float().mean().item()


plain_right = plain(x_val).argmax(dim=1) == y_val
deep_right = deep(x_val).argmax(dim=1) == y_val
only_plain = (plain_right & ~deep_right).sum().item()
only_deep = (deep_right & ~plain_right).sum().item()
print("both right", (plain_right & deep_right).sum().item(), "only one layer", only_plain)
print("only deep", only_deep, "both wrong", (~plain_right & ~deep_right).sum().item())
print("difference", only_deep - only_plain, "by chance up to", 2 * (only_deep + only_plain) ** 0.5)
chosen = deep if only_deep > only_plain else plain
print("chosen:", type(chosen).__name__)

# %% [markdown]
# ## How precise is an accuracy?
#
# Now the test set, once. Compare the number with a **baseline**: always "no", the majority class.
# And another test set would give another number. An accuracy $p$ measured on $n$ samples has the
# **standard error** $\sqrt{p (1 - p) / n}$, the number behind the ± in the last line, and lies
# within two of it of the true accuracy about 95 % of the time.

# %%
p, n = accuracy(chosen, x_test, y_test), len(y_test)
standard_error = (p * (1 - p) / n) ** 0.5
print("baseline", (y_test == 0).float().mean().item())
print("accuracy", p, "±", standard_error)

# %% [markdown]
# ## Results
#
# In the end the deep network's training loss is far lower than that of the single layer. But its
# validation loss, which counts, was lowest near the beginning, and is far higher now.

# %% tags=["hide-input"]
fig = plotting.figure(8, 4, args.show)
axes = fig.subplots()
axes.plot(plain_losses, color=plotting.BLUE, label="one layer, training set")
axes.plot(deep_losses, color=plotting.RED, ls=":", label="three layers, training set")
axes.plot(val_epochs, val_losses, color=plotting.RED, label="three layers, validation set")
axes.set(title="A network that overfits", xlabel="epoch", ylabel="cross-entropy (nats)")
axes.legend()
plotting.finish(fig, args.output_dir / "05_multilayer.png", args.show)

# %%
print(f"Test accuracy of the chosen model: {p:.4f} ± {standard_error:.2f}")
