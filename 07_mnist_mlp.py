# %% [markdown]
"""# Chapter 7 · Softmax classification: an MLP on MNIST · 多分类问题

You will write a network that reads handwritten digits: a multilayer perceptron (MLP), linear layers
with ReLU between them. You will write softmax and cross-entropy, transform images, train with
momentum, measure accuracy on a test set, and do all that on a GPU if there is one.

    python 07_mnist_mlp.py                        train for 10 epochs
    python 07_mnist_mlp.py --resume --epochs 5    continue training for 5 more epochs
    python 08_own_digits.py                       then: draw digits for it, in outputs/08_draw.html

The last lines of a run:

    Figure:     outputs/07_mnist_mlp.png
    Accuracy: 0.97…
"""

# %%
from common import chapter, plotting

args = chapter.begin(__doc__, epochs=10, lr=0.01, batch_size=64, device="auto", resume=False)

import torch
import torchvision
from torch.utils.data import DataLoader
from torchvision import transforms
from tqdm import tqdm

from common import training
from common.data import keep_in_memory, mnist_root

# %% [markdown]
# ## Softmax and cross-entropy · 多分类问题
#
# With more than two classes the network gives a logit for each. Say they are 0.2, 0.1 and -0.1, and
# the true class is number 0. **Softmax** turns logits into probabilities: $e^z$ is positive (here
# 1.2214, 1.1052 and 0.9048), and divided by their sum, 3.2314, the numbers add up to 1.
# **Cross-entropy** is, as in chapter 4, the negative logarithm of the probability of the true
# class, $\ell = -\log p_y$. `nn.CrossEntropyLoss` does both. Labels are class indices (int64,
# "long").
#
# ![Inside CrossEntropyLoss](docs/drawings/07_cross_entropy.svg)

# %%
y = torch.LongTensor([0])  # today: torch.tensor([0])
z = torch.Tensor([[0.2, 0.1, -0.1]])
criterion = torch.nn.CrossEntropyLoss()
loss = criterion(z, y)
print(loss.item())

# %% [markdown]
# ## Both by hand
#
# In a batch, (N, C), each row is a sample. So softmax adds up along the rows, `dim=1`, and with
# `keepdim=True` the sums have the shape (N, 1), so that broadcasting divides each row by its own
# (chapter 1). Subtracting a row's largest logit first leaves the ratios as they are, and keeps
# $e^z$ from overflowing; `logsumexp`, the logarithm of the sum of all $e^z$, does so, too. From row
# 0 `log_p[torch.arange(N), y]` takes the column `y[0]`, from row 1 the column `y[1]`, and so on.


# %%
def softmax(z):
    """Logits to probabilities, row by row: (N, C) -> (N, C)."""
    z = z - z.max(dim=1, keepdim=True).values
    return z.exp() / z.exp().sum(dim=1, keepdim=True)


def cross_entropy(z, y):
    """The mean of -log p_y in nats, from logits (N, C) and class indices (N,): a scalar."""
    log_p = z - z.logsumexp(dim=1, keepdim=True)  # (N, C): log(e^z / sum) = z - log(sum)
    return -log_p[torch.arange(len(y)), y].mean()


print(softmax(z), cross_entropy(z, y))

# %% [markdown]
# ## Transforms · transforms使用
#
# **MNIST** has 60,000 training images and 10,000 test images of 28 × 28 pixels. A **transform** is
# applied to each image as it is fetched. `ToTensor` turns an image of bytes into floats from 0 to 1
# of shape (channel, height, width). `Normalize` standardizes them (chapter 5) with the mean and std
# of the training images' pixels. `Compose` chains the two. (For new code torchvision recommends
# `transforms.v2`, where `ToImage()` and `ToDtype(torch.float32, scale=True)` replace `ToTensor()`.)

# %%
transform = transforms.Compose([
    transforms.ToTensor(),
    transforms.Normalize((0.1307,), (0.3081,)),
])
root = mnist_root()  # in a program of your own: "./data"
train_set = torchvision.datasets.MNIST(root=root, train=True, download=True, transform=transform)
test_set = torchvision.datasets.MNIST(root=root, train=False, download=True, transform=transform)

image, label = train_set[0]
print(image.shape, image.min(), image.max(), label)
print((train_set.data / 255).mean(), (train_set.data / 255).std())  # the numbers of Normalize

# %% [markdown]
# ## The loader
#
# A `DataLoader` fetches a batch image by image, and transforms each again in every epoch. That can
# take longer than the training itself (chapter 9 measures it). But a dataset with a method
# `__getitems__` is asked for a whole batch at once. `keep_in_memory`, from common/data.py,
# transforms all images and gives the dataset this method; the batches stay the same, bit for bit.

# %%
keep_in_memory(train_set)
keep_in_memory(test_set)
train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)
test_loader = DataLoader(test_set, batch_size=1000)
print(len(train_loader))  # batches

# %% [markdown]
# ## Flattening with view · view函数的使用
#
# A linear layer takes a row of features per sample, so each image is **flattened**: its 28 rows of
# pixels are laid end to end. `view` gives a tensor another shape without copying; -1 stands for the
# size that is left, here the batch size.

# %%
data = next(iter(train_loader))  # the first batch
inputs, labels = data
model = torch.nn.Linear(28 * 28, 10)  # a single layer, to begin with
y_pred = model(inputs.view(-1, 28 * 28))
print(inputs.shape, inputs.view(-1, 28 * 28).shape, y_pred.shape)

# %% [markdown]
# ## The network · 神经网络模型构建
#
# Linear layers alone are one linear layer (chapter 5). Between them stands **ReLU**, $\max(0, x)$.
# Its derivative is 1 for positive inputs, so gradients pass unchanged, and 0 for negative ones; the
# sigmoid's is at most 1/4, and through many layers gradients would **vanish**. `forward` flattens,
# so that the model takes images as they are. The criterion includes the softmax, so none follows
# here.
#
# ![The layers and their shapes](docs/drawings/07_layers.svg)


# %%
class MNISTModel(torch.nn.Module):
    """784 pixels -> 512 -> 256 -> 128 -> 64 -> 10 logits: (N, 1, 28, 28) -> (N, 10)."""

    def __init__(self):
        super().__init__()
        self.linear1 = torch.nn.Linear(28 * 28, 512)
        self.relu1 = torch.nn.ReLU()
        self.linear2 = torch.nn.Linear(512, 256)
        self.relu2 = torch.nn.ReLU()
        self.linear3 = torch.nn.Linear(256, 128)
        self.relu3 = torch.nn.ReLU()
        self.linear4 = torch.nn.Linear(128, 64)
        self.relu4 = torch.nn.ReLU()
        self.linear5 = torch.nn.Linear(64, 10)

    def forward(self, x):
        """Images (N, 1, 28, 28) -> logits (N, 10)."""
        x = x.view(-1, 28 * 28)  # (N, 784)
        x = self.linear1(x)
        x = self.relu1(x)
        x = self.linear2(x)
        x = self.relu2(x)
        x = self.linear3(x)
        x = self.relu3(x)
        x = self.linear4(x)
        x = self.relu4(x)
        x = self.linear5(x)
        return x


model = MNISTModel()
print(model)
print(sum(parameter.numel() for parameter in model.parameters()), "parameters")

# %% [markdown]
# ## Loss, optimizer and momentum · 优化器与评估
#
# An untrained network gives every class about the same probability: a loss near $\log 10 = 2.3026$.
# The optimizer is SGD with **momentum**. It steps along a **velocity**, for every parameter a sum
# of past gradients in which each older one counts `momentum` times as much, here half. Gradients
# that keep their direction make the steps up to $1 / (1 - momentum)$ times as long, here almost
# twice, as below; those that change their sign partly cancel out.

# %%
criterion = torch.nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.5)
print(criterion(model(inputs), labels))

weight, velocity, lr, momentum, gradient = 1.0, 0.0, 0.01, 0.5, 1.0
for step in range(5):
    velocity = momentum * velocity + gradient
    weight = weight - lr * velocity
    print("velocity", velocity, "weight", weight)

# %% [markdown]
# ## Training · 训练过程
#
# Chapter 6's two loops, in a function. The mean loss of an epoch says more than that of its last
# batch. `tqdm` draws a progress bar on a terminal. Ctrl-C raises `KeyboardInterrupt`; caught here,
# it ends the training, and what was learned so far is kept. `model.train()` switches layers such as
# Dropout to training mode (this network has none), and `device` is for the GPU, below.


# %%
def train(model, criterion, optimizer, train_loader, device, epochs):
    """Mini-batch SGD. Returns the mean loss of each epoch."""
    model.train()
    losses = []
    bar = tqdm(total=epochs * len(train_loader), unit=" batches", leave=False, disable=None)
    try:
        for epoch in range(epochs):
            loss_sum = 0
            for i, data in enumerate(train_loader):
                inputs, labels = data
                inputs, labels = inputs.to(device), labels.to(device)
                y_pred = model(inputs)  # (B, 10)
                loss = criterion(y_pred, labels)

                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss_sum += loss.item()
                bar.update()
            losses.append(loss_sum / len(train_loader))  # batches count alike, the last one, too
            print(f"Epoch {epoch + 1}/{epochs}, Loss: {losses[-1]:.4f}")
    except KeyboardInterrupt:
        print("Stopped. What was learned so far is kept.")
    bar.close()
    return losses


# %% [markdown]
# ## Testing · 测试过程
#
# The predicted class is the one with the highest logit; no softmax is needed, for it keeps the
# order. In the block of `with torch.no_grad():`, a **context manager**, no graph is built, which
# saves time and memory. `model.eval()` is the counterpart of `model.train()`. The untrained network
# guesses: about one image in ten is right.


# %%
def test(model, test_loader, device):
    """Print and return the accuracy on the loader's images, from 0 to 1."""
    model.eval()
    correct = 0
    total = 0
    with torch.no_grad():
        for i, data in enumerate(test_loader):
            inputs, labels = data
            inputs, labels = inputs.to(device), labels.to(device)
            y_pred = model(inputs)  # (B, 10)
            predicted = torch.argmax(y_pred, dim=1)  # (B,)
            # _, predicted = torch.max(y_pred.data, dim=1)  # the same: maximum, and where it is
            correct += (predicted == labels).sum().item()
            total += labels.size(0)
    print(f"Accuracy: {correct / total:.4f}")
    return correct / total


test(model, test_loader, "cpu")

# %% [markdown]
# ## The GPU · cuda的使用
#
# A model and its inputs must be on the same **device**. The notes' line finds NVIDIA's GPUs (CUDA).
# `torch.accelerator` finds Apple's (MPS) and others as well; `args.device` is its choice, or what
# `--device` says. `model.to(device)` moves the parameters in place, but `inputs.to(device)` returns
# a copy, which must be assigned. Forget one of them, and there is a **device error**: "Expected all
# tensors to be on the same device", or as below, where "meta" stands in for a GPU.

# %%
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")  # the notes' way
device = args.device
print(f"Using device: {device}")
model.to(device)  # the notes, before the optimizer: model = MNISTModel().to(device)
try:
    model(inputs.to("meta"))
except RuntimeError as error:
    print(error)

# %% [markdown]
# ## Train and test
#
# Now all parts together. `torch.save` writes `model.state_dict()`, every parameter by its name, to
# a file, a **checkpoint**: `07_mnist_mlp.pt`. `--resume` needs more, the velocities and the state
# of the random numbers, which common/training.py saves in `07_resume.pt`; after whole epochs it
# continues as if training had never stopped. The accuracy on the training set, printed first, is
# the higher one: the first sign of overfitting (chapter 5).

# %%
losses = []
if args.resume:
    losses = training.load_checkpoint(args.output_dir / "07_resume.pt", model, optimizer)
losses += train(model, criterion, optimizer, train_loader, device, args.epochs)
training.save_checkpoint(args.output_dir / "07_resume.pt", losses, model, optimizer)
torch.save(model.state_dict(), args.output_dir / "07_mnist_mlp.pt")
test(model, train_loader, device)
accuracy = test(model, test_loader, device)

# %% [markdown]
# ## Load it again
#
# To use the network another day, make a new one and fill it with the saved parameters.
# `map_location` brings them to this computer's device, and `weights_only=True` loads numbers only,
# so that the file can't run code of its own. The first test image, a 7, is predicted as a 7.


# %%
def load_model(path, device):
    """The network with the parameters that torch.save has written to a file."""
    model = MNISTModel().to(device)
    model.load_state_dict(torch.load(path, map_location=device, weights_only=True))
    return model


loaded = load_model(args.output_dir / "07_mnist_mlp.pt", device)
inputs, labels = next(iter(test_loader))
inputs, labels = inputs.to(device), labels.to(device)
p = softmax(loaded(inputs)).detach().cpu()  # (1000, 10)
print(p[0].argmax(), labels[0])

# %% [markdown]
# ## Results
#
# On the left the loss of each epoch, on the right ten test images, with the digit that the network
# sees in each and the probability that it gives. Chapter 8 lets it read yours.

# %% tags=["hide-input"]
fig = plotting.figure(10, 3.6, args.show)
left, right = fig.subfigures(1, 2, width_ratios=[2, 3])
axes = left.subplots()
axes.plot(range(1, len(losses) + 1), losses, "o-", color=plotting.BLUE)
axes.set(title="Training loss", xlabel="epoch", ylabel="cross-entropy (nats)", ylim=(0, None))
for image, row, axes in zip(inputs[:, 0].cpu(), p, right.subplots(2, 5).flat, strict=False):
    axes.imshow(image, cmap="gray_r")
    axes.set_axis_off()
    axes.set_title(f"{row.argmax()} ({row.max():.1%})", fontsize=9, loc="center")
plotting.finish(fig, args.output_dir / "07_mnist_mlp.png", args.show)

# %%
print(f"Accuracy: {accuracy:.4f}")
