# %% [markdown]
"""# Chapter 7 · Softmax classification: an MLP on MNIST · 多分类问题

A multilayer perceptron (MLP), a network of linear layers with ReLU between them, learns to classify
images of handwritten digits. You will write softmax and cross-entropy, transform images, train with
mini-batches and momentum, measure accuracy on a test set, and do all that on a GPU if there is one.
At the end the network predicts digits of your own handwriting.

    python 07_mnist_mlp.py                         train for 10 epochs
    python 07_mnist_mlp.py --predict my_digit.png  predict an image with the trained network
    python 07_mnist_mlp.py --resume --epochs 5     continue training for 5 more epochs

The last lines of a run:

    Figure:     outputs/07_mnist_mlp.png
    Accuracy: 0.97…
"""

# %%
from pathlib import Path

from common import chapter, cli, plotting

MAIN = __name__ == "__main__"
if MAIN:
    parser = cli.parser(__doc__, epochs=10, lr=0.01, batch_size=64, device=True)
    job = parser.add_mutually_exclusive_group()
    what = "continue training from the checkpoint"
    job.add_argument("--resume", action="store_true", help=what)
    what = "only predict the digits in these image files"
    job.add_argument("--predict", nargs="+", type=Path, metavar="IMAGE", help=what)
    args = chapter.begin(parser, only={"predict": "predict_files"})

# %%
import argparse
import copy
from collections.abc import Callable, Iterable

import torch
import torchvision
from torch.utils.data import DataLoader, TensorDataset
from torchvision import transforms

from common import digits, training
from common.data import bulk_loader, mnist_root
from common.progress import History, Progress, concatenate

# %% [markdown]
# ## Softmax and cross-entropy · 多分类问题
#
# For $C$ classes the network outputs $C$ numbers per image, the **logits** $z$. **Softmax** turns
# them into probabilities that add up to 1: $p_i = e^{z_i} / \sum_j e^{z_j}$. The loss is the
# **cross-entropy**, the negative log-likelihood of the true class $y$: $\ell = -\log p_y$. It is 0
# where the model gives the true class all the probability, and grows without limit as $p_y$ goes to
# 0. `nn.CrossEntropyLoss` takes logits and does both steps at once, because a probability may be
# too small for a float where its logarithm is not; the labels are **class indices** of type int64
# (the notes' `LongTensor`).


# %%
def softmax(z: torch.Tensor) -> torch.Tensor:
    """Logits to probabilities, row by row: (N, C) -> (N, C)."""
    z = z - z.max(dim=1, keepdim=True).values  # leaves the ratios as they are; exp can't overflow
    return z.exp() / z.exp().sum(dim=1, keepdim=True)


def cross_entropy(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The mean of -log p_y in nats, from logits (N, C) and class indices (N,): a scalar."""
    log_p = z - z.logsumexp(dim=1, keepdim=True)  # (N, C): log(e^z / sum) = z - log(sum)
    return -log_p[torch.arange(len(y)), y].mean()


if MAIN:
    chapter.section()
    y = torch.tensor([0])
    z = torch.tensor([[0.2, 0.1, -0.1]])
    criterion = torch.nn.CrossEntropyLoss()
    loss = criterion(z, y)
    print(f"softmax(z) = {softmax(z)}")
    print(f"cross_entropy(z, y):          {cross_entropy(z, y).item():.4f}")
    print(f"nn.CrossEntropyLoss()(z, y):  {loss.item():.4f}")

# %% [markdown]
# ## Transforms · transforms使用
#
# **MNIST** has 60,000 training images and 10,000 test images of 28 × 28 pixels. A transform is
# applied to each image as it is fetched. `ToTensor` turns an image of bytes into floats from 0 to 1
# of shape (channel, height, width), and `Normalize` subtracts the mean and divides by the standard
# deviation of MNIST's pixels, so that the inputs have mean 0 and standard deviation 1, a scale on
# which training works well. `Compose` chains the two.

# %%
transform = transforms.Compose(
    [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))],
)


def load_mnist(root: Path) -> tuple[torchvision.datasets.MNIST, torchvision.datasets.MNIST]:
    """The training set and the test set; an item is an image (1, 28, 28) and its label."""
    # download=True fetches only what isn't there.
    train_set = torchvision.datasets.MNIST(root, train=True, download=True, transform=transform)
    test_set = torchvision.datasets.MNIST(root, train=False, download=True, transform=transform)
    return train_set, test_set


if MAIN:
    chapter.section()
    train_set, test_set = load_mnist(mnist_root())
    pixels = train_set.data  # (60000, 28, 28) bytes
    image, label = train_set[0]
    print(f"bytes:       {tuple(pixels[0].shape)}, from {pixels[0].min()} to {pixels[0].max()}")
    print(f"transformed: {tuple(image.shape)}, from {image.min():.4f} to {image.max():.4f}")
    std, mean = torch.std_mean(pixels / 255)
    print(f"all {len(pixels):,} training images, scaled to 0…1: mean {mean:.4f}, std {std:.4f}")

# %% [markdown]
# ## Fetching whole batches
#
# The notes' `DataLoader` fetches 64 images one by one. For each, `MNIST` wraps the pixels as a PIL
# image, `ToTensor` copies them back into a tensor, and `Normalize` standardizes them, again in
# every epoch. All this takes longer than the training. `transform_once` transforms all images
# before training, and `bulk_loader`, from common/data.py, fetches a batch with one indexing
# operation. Under the same seed both loaders give the same batch, bit for bit, and the second is
# used from here on. Chapter 8 measures the difference.


# %%
def transform_once(dataset: torchvision.datasets.MNIST) -> TensorDataset:
    """Every image transformed, for all epochs: images (N, 1, 28, 28) and labels (N,)."""
    images = dataset.data.unsqueeze(1).float().div_(255)  # as ToTensor: (N, 1, 28, 28)
    images.sub_(0.1307).div_(0.3081)  # as Normalize
    if not torch.equal(images[0], dataset[0][0]):
        raise cli.UserError("transform has been changed; change transform_once in the same way.")
    return TensorDataset(images, dataset.targets)


if MAIN:
    chapter.section()
    train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)
    torch.manual_seed(args.seed)
    inputs, labels = next(iter(train_loader))

    train_set, test_set = transform_once(train_set), transform_once(test_set)
    train_loader = bulk_loader(train_set, args.batch_size, shuffle=True)
    test_loader = bulk_loader(test_set, batch_size=1000)
    torch.manual_seed(args.seed)
    same_inputs, same_labels = next(iter(train_loader))
    print(f"a batch: inputs {tuple(inputs.shape)}, labels {tuple(labels.shape)}")
    print(f"equal inputs: {torch.equal(inputs, same_inputs)}", end=", ")
    print(f"equal labels: {torch.equal(labels, same_labels)}")

# %% [markdown]
# ## Flattening with view · view函数的使用
#
# A linear layer takes one row of features per sample, so each image is **flattened**: its 28 rows
# of pixels are laid end to end, 784 features. `view` gives a tensor another shape without copying;
# -1 stands for the size that is left, here the batch size. It is usually done in `forward`, so that
# the model takes images as they are.

# %%
if MAIN:
    chapter.section()
    print(f"{tuple(inputs.shape)}.view(-1, 28 * 28): {tuple(inputs.view(-1, 28 * 28).shape)}")

# %% [markdown]
# ## The network · 神经网络模型构建
#
# Linear layers alone, however many, are one linear layer: $W_2 (W_1 x) = (W_2 W_1) x$. What stands
# between them is an **activation function**, here **ReLU**, $\max(0, x)$, applied to every number.
# It makes the network nonlinear, and its derivative is 1 wherever its input is positive, so
# gradients pass unchanged. The sigmoid's derivative is at most 1/4: through many layers gradients
# shrink to almost nothing, the problem of **vanishing gradients**. The last layer outputs the
# logits; there is no softmax, because the criterion includes it.


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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (N, 1, 28, 28) -> logits (N, 10)."""
        x = x.view(-1, 28 * 28)  # (N, 784)
        x = self.relu1(self.linear1(x))
        x = self.relu2(self.linear2(x))
        x = self.relu3(self.linear3(x))
        x = self.relu4(self.linear4(x))
        return self.linear5(x)


if MAIN:
    chapter.section()
    torch.manual_seed(args.seed)
    model = MNISTModel()
    for name, parameter in model.named_parameters():
        print(f"{name:14} {tuple(parameter.shape)}")
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")

# %% [markdown]
# ## Loss, optimizer and momentum · 优化器与评估
#
# The optimizer is SGD with **momentum**. It keeps a velocity for every parameter, a decaying sum of
# past gradients: $v = \mu v + g$, then $w = w - lr \cdot v$, here with $\mu = 0.5$. Where gradients
# keep their direction, steps grow up to $1 / (1 - \mu) = 2$ times as long; where they alternate in
# sign, steps shrink, down to $1 / (1 + \mu) = 2/3$. An untrained network gives every class about
# the same probability, so its loss is close to $\log 10 = 2.3026$, that of a uniform guess.

# %%
if MAIN:
    chapter.section()
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.5)
    print(f"loss of the untrained network on a batch: {criterion(model(inputs), labels):.4f}")

    weight = torch.zeros(1, requires_grad=True)
    sgd = torch.optim.SGD([weight], lr=1, momentum=0.5)
    steps = []
    for _ in range(5):
        before = weight.item()
        weight.grad = torch.ones(1)
        sgd.step()
        steps.append(before - weight.item())
    print(f"steps for the gradient 1, five times: {steps}")

# %% [markdown]
# ## Training · 训练过程
#
# An epoch goes through all mini-batches; each is one **iteration**: forward pass, loss,
# backpropagation, update. `model.train()` switches layers such as Dropout to training mode (this
# network has none; it is good practice all the same). The loss that is recorded is the mean over
# the epoch, not that of its last batch. It is added up as a tensor, because reading a number from a
# GPU makes Python wait for the GPU, and detached, because otherwise the graph of every batch would
# stay in memory. A first check of any new network: it must be able to **overfit** a single batch,
# that is, to learn it by heart.


# %%
def train(
    model: torch.nn.Module,
    criterion: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    train_loader: Iterable,
    device: torch.device,
    epochs: int,
    measure: Callable[[], dict[str, float]] = dict,
) -> History:
    """Mini-batch SGD. Returns each epoch's mean loss, and what `measure` returns after it."""
    with Progress(epochs, len(train_loader)) as progress:
        for epoch in progress.epochs():
            model.train()
            loss_sum, samples = torch.zeros((), device=device), 0
            for i, data in enumerate(progress.batches(train_loader)):
                inputs, labels = data
                inputs, labels = inputs.to(device), labels.to(device)
                y_pred = model(inputs)  # (B, 10)
                loss = criterion(y_pred, labels)  # the mean over the batch

                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

                loss_sum += loss.detach() * len(labels)  # the last batch may be smaller
                samples += len(labels)
                progress.show(loss_sum, samples)
            progress.end_epoch(loss=loss_sum.item() / samples, **measure())
    return progress.history


if MAIN:
    chapter.section()
    overfitted = copy.deepcopy(model)
    sgd = torch.optim.SGD(overfitted.parameters(), lr=0.1, momentum=0.5)
    cpu = torch.device("cpu")
    train(overfitted, criterion, sgd, [(inputs, labels)], cpu, epochs=60)

# %% [markdown]
# ## Testing · 测试过程
#
# **Accuracy** is the share of images whose highest logit is that of the true class; `argmax` finds
# it, and no softmax is needed, for it keeps the order. It is measured on the **test set**, images
# that training has never used, since what counts is **generalization**: how well the network does
# on new images. `torch.no_grad()` is a context manager in which no graph is built, which saves time
# and memory; `model.eval()` is the counterpart of `model.train()`.


# %%
def test(model: torch.nn.Module, test_loader: Iterable, device: torch.device) -> float:
    """The accuracy on the loader's images, from 0 to 1."""
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=device)
    total = 0
    with torch.no_grad():
        for i, data in enumerate(test_loader):
            inputs, labels = data
            inputs, labels = inputs.to(device), labels.to(device)
            y_pred = model(inputs)
            predicted = torch.argmax(y_pred, dim=1)  # (B,), as _, predicted = torch.max(…, dim=1)
            correct += (predicted == labels).sum()
            total += labels.size(0)
    return correct.item() / total


if MAIN:
    chapter.section()
    print(f"accuracy of the untrained network:        {test(model, test_loader, cpu):.4f}")
    print(f"of the one that has overfitted one batch: {test(overfitted, test_loader, cpu):.4f}")

# %% [markdown]
# ## The GPU · cuda的使用
#
# A model and its inputs must be on the same **device**. `model.to(device)` moves the parameters,
# and `inputs.to(device)` in `train` and `test` copies each batch. MNIST is small, so `to_device`
# moves it as a whole, once, and those lines then find nothing to do. The notes ask for `'cuda'`;
# `torch.accelerator` finds CUDA, Apple's MPS and others (`--device` chooses one by name).


# %%
def to_device(dataset: TensorDataset, device: torch.device) -> TensorDataset:
    """The dataset with its tensors on the device."""
    return TensorDataset(*(tensor.to(device) for tensor in dataset.tensors))


if MAIN:
    chapter.section()
    device = args.device
    model = model.to(device)
    train_set, test_set = to_device(train_set, device), to_device(test_set, device)
    train_loader = bulk_loader(train_set, args.batch_size, shuffle=True)
    test_loader = bulk_loader(test_set, batch_size=1000)
    print(f"model on {next(model.parameters()).device}, images on {train_set.tensors[0].device}")

# %% [markdown]
# ## Train and test
#
# Now all parts together: train, and test after each epoch. The **checkpoint** holds the parameters,
# the optimizer's velocities, the history and the state of the random numbers, so that `--resume`
# continues as if training had never stopped.

# %%
if MAIN:
    chapter.section()
    checkpoint = args.output_dir / "07_mnist_mlp.pt"
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.5)
    history, measure = {}, lambda: {"accuracy": test(model, test_loader, device)}
    torch.manual_seed(args.seed)  # of the shuffling
    if args.resume:
        history = training.load_checkpoint(checkpoint, model, optimizer)
        optimizer.param_groups[0]["lr"] = args.lr  # not the checkpoint's
        print(f"epochs trained so far: {history['epoch'][-1]:.4g}")
    new = train(model, criterion, optimizer, train_loader, device, args.epochs, measure)
    history = concatenate(history, new)
    training.save_checkpoint(checkpoint, history, model, optimizer)
    print(f"Checkpoint: {cli.display_path(checkpoint)}")

# %% [markdown]
# ## Overfitting
#
# The accuracy on the training set is higher than on the test set: the network has learned some of
# the training images by heart. This gap is the sign of **overfitting**. It is harmful where the
# test accuracy falls while the training accuracy still rises. Here the test accuracy doesn't fall:
# with `--epochs 50` the training accuracy becomes 1.0000, and the test accuracy stays near 0.98.

# %%
if MAIN:
    chapter.section()
    print(f"training accuracy: {test(model, bulk_loader(train_set, 1000), device):.4f}")
    print(f"test accuracy:     {test(model, test_loader, device):.4f}")

# %% [markdown]
# ## Your own digits
#
# A network expects inputs like those that it was trained on. `digits.read`, from common/digits.py,
# brings a photo or a drawing into MNIST's form (light on dark, scaled to 20 × 20 pixels, centred by
# mass in 28 × 28), and `transform` does the rest. The probability that softmax gives is no
# guarantee. A model is **calibrated** if, of the images to which it gives a probability of 90 %,
# it classifies 90 % correctly; its mistakes then number about $\sum_i (1 - p_i)$, with $p_i$ the
# probability of the class predicted for image $i$. Training doesn't ensure that: this network
# becomes **overconfident** as training goes on, and makes more mistakes than this sum.


# %%
def predict(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The probability of each digit: transformed images (N, 1, 28, 28) -> (N, 10)."""
    model.eval()
    with torch.no_grad():
        return softmax(model(images))


def predict_files(args: argparse.Namespace) -> torch.Tensor:
    """Print which digit each image file of --predict shows; returns the probabilities (N, 10)."""
    model = MNISTModel().to(args.device)
    checkpoint = args.output_dir / "07_mnist_mlp.pt"
    history = training.load_checkpoint(checkpoint, model)
    epochs, accuracy = history["epoch"][-1], history["accuracy"][-1]
    print(f"{cli.display_path(checkpoint)}: epochs {epochs:.4g}, test accuracy {accuracy:.4f}")
    paths = cli.expand(args.predict)
    images = torch.stack([transform(digits.read(path)) for path in paths])  # (N, 1, 28, 28)
    probabilities = predict(model, images.to(args.device)).cpu()
    for path, p in zip(paths, probabilities, strict=True):
        first, second = p.argsort(descending=True)[:2].tolist()
        print(f"{path}: {first} ({p[first]:.1%}; next {second}, {p[second]:.1%})")
    return probabilities


if MAIN:
    chapter.section()
    images, labels = test_set.tensors[0], test_set.tensors[1].cpu()
    probabilities = predict(model, images).cpu()  # (10000, 10)
    confidence, predicted = probabilities.max(dim=1)  # (10000,), (10000,)
    wrong = predicted != labels
    print(f"the first test image: a {labels[0]}, predicted {predicted[0]} ({confidence[0]:.1%})")
    print(f"mistakes to be expected from the probabilities: {(1 - confidence).sum():.0f}")
    print(f"mistakes made:                                  {wrong.sum()}")

# %% [markdown]
# ## Results
#
# On the left, loss and accuracy over the epochs; on the right, the **confusion matrix**: how often
# each digit (row) was predicted as each digit (column), with the mistakes coloured. Below, ten
# digits of the test set, and the ten mistakes that were given the highest probability.

# %% tags=["hide-input"]
if MAIN:
    chapter.section()
    fig = plotting.figure(10, 8.5, args.show)
    curves_and_matrix, rows = fig.subfigures(2, 1, height_ratios=[5, 3.5])
    curves, matrix = curves_and_matrix.subfigures(1, 2)

    loss_axes, accuracy_axes = curves.subplots(2, 1, sharex=True)
    loss_axes.plot(history["epoch"], history["loss"], "o-", color=plotting.BLUE)
    loss_axes.set(title="Training loss", ylabel="cross-entropy (nats)", ylim=(0, None))
    accuracy_axes.plot(history["epoch"], history["accuracy"], "o-", color=plotting.GREEN)
    accuracy_axes.set(title="Accuracy on the test set", ylabel="test accuracy", xlabel="epoch")

    counts = torch.bincount(10 * labels + predicted, minlength=100).view(10, 10)
    mistakes = counts * (1 - torch.eye(10))
    axes = matrix.subplots()
    axes.imshow(mistakes.numpy(), cmap="Oranges", vmax=max(1, 1.3 * mistakes.max()))
    for true, other in counts.nonzero().tolist():
        style = {"color": plotting.GREY if true == other else "black", "fontsize": 8}
        axes.text(other, true, counts[true, other].item(), ha="center", va="center", **style)
    axes.set(xticks=range(10), yticks=range(10), xlabel="predicted digit", ylabel="true digit")
    axes.set_title(f"{wrong.sum()} of {len(labels):,} test images are misclassified")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)

    worst = wrong.nonzero().flatten()
    worst = worst[confidence[worst].argsort(descending=True)][:10]
    for row, which, title in [
        (0, torch.arange(10), "The first ten test images: true → predicted"),
        (1, worst, "The mistakes with the highest probability: true → predicted"),
    ]:
        captions = [f"{labels[i]} → {predicted[i]}\n{confidence[i]:.1%}" for i in which]
        colors = [plotting.RED if wrong[i] else "black" for i in which]
        bitmaps = images[which, 0].cpu().numpy()
        plotting.image_row(rows.subfigures(2, 1)[row], bitmaps, captions, colors, title)
    plotting.finish(fig, checkpoint.with_suffix(".png"), args.show)

# %%
if MAIN:
    print(f"Accuracy: {test(model, test_loader, device):.4f}")
    chapter.end()
