"""What chapter 7 has taught, line for line: MNIST, transformed once; the network; its test.

tests/test_mnist.py holds the two together.
"""

from pathlib import Path

import torch
import torchvision
from torch.utils.data import DataLoader, TensorDataset
from torchvision import transforms

from common import cli

to_tensor = transforms.ToTensor()  # a picture of bytes -> (1, 28, 28) floats from 0 to 1
normalize = transforms.Normalize((0.1307,), (0.3081,))  # MNIST's mean and standard deviation
transform = transforms.Compose([to_tensor, normalize])


def load_mnist(root: Path) -> tuple[torchvision.datasets.MNIST, torchvision.datasets.MNIST]:
    """60,000 digits to train on and 10,000 to test on; an item is (1, 28, 28) and its label."""
    # download=True fetches only what isn't there.
    train_set = torchvision.datasets.MNIST(root, train=True, download=True, transform=transform)
    test_set = torchvision.datasets.MNIST(root, train=False, download=True, transform=transform)
    return train_set, test_set


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


def to_device(dataset: TensorDataset, device: torch.device) -> TensorDataset:
    """The data set with its tensors on the device: copied once, not batch by batch."""
    return TensorDataset(*(tensor.to(device) for tensor in dataset.tensors))
