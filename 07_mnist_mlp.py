# %%
"""Chapter 7 · Ten classes: a network that reads handwriting · 多分类问题

You will learn softmax and cross entropy, what transforms do to a picture, how to build a network
of linear layers and ReLU, train it with SGD and momentum, test it on digits it has never seen,
and do all that on a GPU. At the end the network reads your own handwriting.

    python 07_mnist_mlp.py                         train for ten epochs
    python 07_mnist_mlp.py --predict my_digit.png  read a picture with what was learned
    python 07_mnist_mlp.py --resume --epochs 5     train on for five more epochs

The last lines of a run:

    Figure:     outputs/07_mnist_mlp.png
    Accuracy: 0.97…
"""

from pathlib import Path

import torch
import torchvision
from torch.utils.data import DataLoader, TensorDataset
from torchvision import transforms

from common import cli, digits, files, plotting, training
from common.data import bulk_loader, mnist_root
from common.device import pick_device
from common.progress import History, Progress, join, leave_if_stopped


# %% Softmax and cross entropy · 多分类问题
def softmax(z: torch.Tensor) -> torch.Tensor:
    """Scores to probabilities, (N, C) -> (N, C): exp(z) / sum of exp(z), row by row."""
    z = z - z.max(dim=1, keepdim=True).values  # changes no quotient, and exp can't overflow
    return z.exp() / z.exp().sum(dim=1, keepdim=True)


def cross_entropy(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean of -log(probability of the true class), in nats: (N, C), labels (N,) -> scalar.

    It takes scores, not probabilities: a probability may be too small for a float, its logarithm
    is not. log(exp(z) / sum) is z - log(sum), and logsumexp finds log(sum) without overflow.
    """
    log_p = z - z.logsumexp(dim=1, keepdim=True)  # (N, C)
    return -log_p[torch.arange(len(y)), y].mean()


# %% Transforms · transforms使用
to_tensor = transforms.ToTensor()  # a picture of bytes -> (1, 28, 28) floats from 0 to 1
normalize = transforms.Normalize((0.1307,), (0.3081,))  # MNIST's mean and standard deviation
transform = transforms.Compose([to_tensor, normalize])


def load_mnist(root: Path) -> tuple[torchvision.datasets.MNIST, torchvision.datasets.MNIST]:
    """60,000 digits to train on and 10,000 to test on; an item is (1, 28, 28) and its label."""
    # download=True fetches only what isn't there.
    train_set = torchvision.datasets.MNIST(root, train=True, download=True, transform=transform)
    test_set = torchvision.datasets.MNIST(root, train=False, download=True, transform=transform)
    return train_set, test_set


def mean_and_deviation(pixels: torch.Tensor) -> tuple[float, float]:
    """Of all pixels' brightness, 0 to 1: bytes of any shape -> mean, standard deviation.

    To count the 256 grey values first is faster than to add up 47 million floats.
    """
    counts = torch.bincount(pixels.flatten(), minlength=256).double()  # (256,) how often each byte
    brightness = torch.arange(256) / 255
    mean = (counts * brightness).sum() / counts.sum()
    variance = (counts * (brightness - mean) ** 2).sum() / counts.sum()
    return mean.item(), variance.sqrt().item()


def transform_once(dataset: torchvision.datasets.MNIST) -> TensorDataset:
    """Every picture transformed, in one go, once for all epochs: (N, 1, 28, 28), labels (N,).

    The data set itself would decode and transform each picture again each time it is asked for
    it, which takes longer than training on it.
    """
    images = dataset.data.unsqueeze(1).float().div_(255)  # what ToTensor does: (N, 1, 28, 28)
    images = transforms.functional.normalize(images, normalize.mean, normalize.std, inplace=True)
    if not torch.equal(images[0], dataset[0][0]):
        raise cli.UserError("transform has been changed; change transform_once in the same way.")
    return TensorDataset(images, dataset.targets)


# %% Flatten, and build the network · view函数的使用 · 神经网络模型构建
class MNISTModel(torch.nn.Module):
    """784 pixels -> 512 -> 256 -> 128 -> 64 -> 10 scores: (N, 1, 28, 28) -> (N, 10)."""

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
        """Pictures (N, 1, 28, 28) -> scores (N, 10); no softmax, the criterion brings its own."""
        x = x.view(-1, 28 * 28)  # (N, 784)
        x = self.relu1(self.linear1(x))
        x = self.relu2(self.linear2(x))
        x = self.relu3(self.linear3(x))
        x = self.relu4(self.linear4(x))
        return self.linear5(x)


# %% Loss and optimizer · 优化器与评估
def loss_and_optimizer(
    model: torch.nn.Module, lr: float
) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """Cross entropy; and SGD with momentum: v = 0.5 v + gradient, weight = weight - lr v."""
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.5)
    return criterion, optimizer


# %% Train · 训练过程
def train(
    model: torch.nn.Module,
    criterion: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    train_loader: DataLoader,
    test_loader: DataLoader,
    device: torch.device,
    epochs: int,
) -> History:
    """Mini-batch gradient descent. Returns each epoch's mean loss and its accuracy in the test."""
    with Progress(epochs, len(train_loader)) as progress:
        for epoch in progress.epochs():
            model.train()  # and eval() in the test: for layers that differ there, such as Dropout
            loss_sum, samples = torch.zeros((), device=device), 0
            for i, data in enumerate(progress.batches(train_loader)):
                inputs, labels = data
                inputs, labels = inputs.to(device), labels.to(device)  # they are there: to_device
                y_pred = model(inputs)  # (B, 10)
                loss = criterion(y_pred, labels)  # the batch's mean

                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

                loss_sum += loss.detach() * len(labels)  # detached, or its graph would live on
                samples += len(labels)
                progress.show(loss_sum, samples)
            accuracy = test(model, test_loader, device)
            progress.end_epoch(loss=loss_sum.item() / samples, accuracy=accuracy)
    return progress.history


# %% Test · 测试过程
def test(model: torch.nn.Module, test_loader: DataLoader, device: torch.device) -> float:
    """The share of the loader's digits that the model reads correctly, 0 to 1."""
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=device)  # there: no batch waits for it
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


# %% Use the GPU · cuda的使用
def to_device(dataset: TensorDataset, device: torch.device) -> TensorDataset:
    """The data set with its tensors on the device: copied once, not batch by batch."""
    return TensorDataset(*(tensor.to(device) for tensor in dataset.tensors))


# %% Use what was learned
def predict(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The probability of each digit: transformed pictures (N, 1, 28, 28) -> (N, 10)."""
    model.eval()
    with torch.no_grad():
        return softmax(model(images))


def read_digits(model: torch.nn.Module, paths: list[Path], device: torch.device) -> torch.Tensor:
    """Say which digit each picture file shows and how sure the model is; probabilities (N, 10)."""
    images = torch.stack([transform(digits.read(path)) for path in paths])  # (N, 1, 28, 28)
    probabilities = predict(model, images.to(device)).cpu()
    for path, p in zip(paths, probabilities, strict=True):
        first, second = p.argsort(descending=True)[:2].tolist()
        print(f"{path}: {first} ({p[first]:.1%} sure; next {second}, {p[second]:.1%})")
    return probabilities


# %% Draw what it learned, and where it fails
def draw(
    history: History,
    pictures: torch.Tensor,
    labels: torch.Tensor,
    p: torch.Tensor,
    show: bool,
):
    """The figure: curves, confusion matrix, digits. Bytes (N, 28, 28), probabilities (N, 10)."""
    confidence, predicted = p.max(dim=1)  # (N,), (N,)
    wrong = predicted != labels
    fig = plotting.figure(10, 8.5, show)
    curves_and_matrix, rows = fig.subfigures(2, 1, height_ratios=[5, 3.5])
    curves, matrix = curves_and_matrix.subfigures(1, 2)

    loss_axes, accuracy_axes = curves.subplots(2, 1, sharex=True)
    for axes, name, color in [
        (loss_axes, "loss", plotting.BLUE),
        (accuracy_axes, "accuracy", plotting.GREEN),
    ]:
        axes.plot(history["epoch"], history[name], "o-", color=color)
    loss_axes.set(title="Training loss", ylabel="cross entropy (nats)", ylim=(0, None))
    accuracy_axes.set(title="Unseen digits read correctly", ylabel="test accuracy", xlabel="epoch")

    counts = torch.bincount(10 * labels + predicted, minlength=100).view(10, 10)
    axes = matrix.subplots()
    plotting.confusion(axes, counts.numpy())
    axes.set_title(f"{wrong.sum()} of {len(labels):,} test digits are misread")

    first_row, second_row = rows.subfigures(2, 1)
    first = torch.arange(10)
    worst = wrong.nonzero().flatten()
    worst = worst[confidence[worst].argsort(descending=True)][:10]
    for row, which, title in [
        (first_row, first, "The first ten test digits, and what the network reads"),
        (second_row, worst, "The mistakes it is most sure of: true → read"),
    ]:
        plotting.image_row(
            row,
            pictures[which].numpy(),
            [f"{labels[i]} → {predicted[i]}\n{confidence[i]:.0%}" for i in which],
            [plotting.RED if wrong[i] else "black" for i in which],
            title,
        )
    return fig


# %% Run the chapter
@cli.command
def main(argv=None):
    """Returns the trained model and its history; with --predict, the probabilities (N, 10)."""
    parser = cli.parser(__doc__, epochs=10, lr=0.01, batch_size=64, device=True)
    job = parser.add_mutually_exclusive_group()
    job.add_argument("--resume", action="store_true", help="train on from the checkpoint")
    job.add_argument("--predict", nargs="+", type=Path, metavar="PICTURE", help="read these digits")
    args = parser.parse_args(argv)

    device, about_device = pick_device(args.device)
    torch.manual_seed(args.seed)
    model = MNISTModel().to(device)
    criterion, optimizer = loss_and_optimizer(model, args.lr)
    checkpoint = args.output_dir / "07_mnist_mlp.pt"
    if args.predict:
        history = training.load_checkpoint(checkpoint, model)
        epochs, accuracy = history["epoch"][-1], history["accuracy"][-1]
        print(
            f"{cli.path_for_people(checkpoint)}: {epochs:.4g} epochs, test accuracy {accuracy:.4f}"
        )
        return read_digits(model, cli.expand(args.predict), device)
    history = {}
    if args.resume:
        history = training.load_checkpoint(checkpoint, model, optimizer)
        optimizer.param_groups[0]["lr"] = args.lr  # today's, not the checkpoint's

    files.output_folder(args.output_dir)
    step = cli.begin(__doc__, args.step)
    print(f"Device: {about_device}")

    step("Softmax makes probabilities of scores, cross entropy judges them")
    z = torch.tensor([[0.2, 0.1, -0.1]])
    y = torch.tensor([0])  # int64, as CrossEntropyLoss wants it; the notes write LongTensor
    print(f"   scores {cli.numbers(z)} become probabilities {cli.numbers(softmax(z))}")
    print(f"   -log of the first, the true one:   {cross_entropy(z, y).item():.4f}")
    print(f"   torch.nn.CrossEntropyLoss()(z, y): {criterion(z, y).item():.4f}")

    step("Transforms make tensors of pictures")
    train_set, test_set = load_mnist(mnist_root())
    pixels = train_set.data[0]  # (28, 28) bytes
    scaled = to_tensor(pixels.numpy())
    normalized = normalize(scaled)
    print(f"   the first picture: {tuple(pixels.shape)}, from {pixels.min()} to {pixels.max()}")
    for name, image in [("ToTensor: ", scaled), ("Normalize:", normalized)]:
        low, high = image.aminmax()
        print(f"   {name}         {tuple(image.shape)}, from {low:.4f} to {high:.4f}")
    mean, deviation = mean_and_deviation(train_set.data)
    print(
        f"   all {len(train_set):,} training pictures: mean {mean:.4f}, deviation {deviation:.4f}"
    )
    train_set = to_device(transform_once(train_set), device)
    pictures, test_set = test_set.data, to_device(transform_once(test_set), device)
    # The batches of DataLoader(train_set, batch_size=args.batch_size, shuffle=True), but faster:
    train_loader = bulk_loader(train_set, args.batch_size, shuffle=True)
    test_loader = bulk_loader(test_set, batch_size=1000)

    step("view lays the rows of each picture end to end")
    inputs = train_set.tensors[0][: args.batch_size]
    print(
        f"   a batch {tuple(inputs.shape)}.view(-1, 28*28): {tuple(inputs.view(-1, 28 * 28).shape)}"
    )

    step("The network")
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            print(f"   {name:15} {parameter.shape[1]:3} -> {parameter.shape[0]:3}")
    print(f"   {sum(parameter.numel() for parameter in model.parameters()):,} numbers to learn")

    if history:
        print(f"   as trained for {history['epoch'][-1]:.4g} epochs so far")

    batches = f"{len(train_loader)} batches of {args.batch_size}"
    step(f"Train for {args.epochs:,} epochs of {batches}, and test after each")
    new = train(model, criterion, optimizer, train_loader, test_loader, device, args.epochs)
    history = join(history, new)
    training.save_checkpoint(checkpoint, model, optimizer, history)
    print(f"Checkpoint: {cli.path_for_people(checkpoint)}")

    step("What was learned, tested on digits that it has never seen")
    accuracy = test(model, test_loader, device)
    images, labels = test_set.tensors
    fig = draw(history, pictures, labels.cpu(), predict(model, images).cpu(), args.show)
    plotting.finish(fig, checkpoint.with_suffix(".png"), args.show)
    print(f"Accuracy: {accuracy:.4f}")
    leave_if_stopped(new, args.epochs)
    return model, history


if __name__ == "__main__":
    main()
