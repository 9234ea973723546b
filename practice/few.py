"""Less data, and no worker processes, so that a reader's whole program is tried in seconds."""

import contextlib
import functools
import time
from collections.abc import Iterator
from unittest import mock

import numpy as np
import torch

TRAINING_IMAGES, TEST_IMAGES = 1000, 1100  # the latter in two batches, even of 1,000
ROWS = 4  # every fourth row of diabetes.csv


@contextlib.contextmanager
def few_images(training: int = TRAINING_IMAGES, test: int = TEST_IMAGES) -> Iterator[None]:
    """Let torchvision's MNIST have only the first images, wherever its root is.

    An image is transformed once, and kept, if its transform draws no random numbers.
    """
    import torchvision  # it takes a second to import, so only those who need it do

    from common.data import mnist_root

    mnist = torchvision.datasets.MNIST
    init, fetch = mnist.__init__, mnist.__getitem__

    @functools.wraps(init)
    def few(self, root=None, train=True, *args, **how):
        init(self, mnist_root(), train, *args, **how)
        first = training if train else test
        self.data, self.targets = self.data[:first].clone(), self.targets[:first].clone()
        self.fetched = {}

    @functools.wraps(fetch)
    def fetch_once(self, index):
        if index in self.fetched:
            return self.fetched[index]
        before = torch.get_rng_state()
        image, label = fetch(self, index)
        if torch.equal(before, torch.get_rng_state()):
            self.fetched[index] = image, label
        return image, label

    with (
        mock.patch.object(mnist, "__init__", few),
        mock.patch.object(mnist, "__getitem__", fetch_once),
    ):
        yield


@contextlib.contextmanager
def few_rows() -> Iterator[None]:
    """Let np.loadtxt find 192 rows in diabetes.csv, not 768."""
    loadtxt = np.loadtxt

    @functools.wraps(loadtxt)
    def some_rows(file, *args, **how):
        table = loadtxt(file, *args, **how)
        return table[::ROWS].copy() if str(file).endswith("diabetes.csv") else table

    with mock.patch.object(np, "loadtxt", some_rows):
        yield


@contextlib.contextmanager
def no_workers() -> Iterator[None]:
    """Let a DataLoader do its work in this process: it starts no others."""
    loader = torch.utils.data.DataLoader
    init = loader.__init__

    @functools.wraps(init)
    def alone(self, *args, num_workers=0, **how):
        for name in ("prefetch_factor", "persistent_workers", "multiprocessing_context", "timeout"):
            how.pop(name, None)
        init(self, *args, **how)

    with mock.patch.object(loader, "__init__", alone):
        yield


def keep_few_images(patch) -> None:
    """Let MNIST have 1,000 training and 500 test images. `patch` is pytest's monkeypatch."""
    import torchvision  # a part of a second, for the chapters that need it

    from common import data

    init, read_mnist = torchvision.datasets.MNIST.__init__, data.read_mnist

    def first(train, *tensors):
        return tuple(tensor[: 1000 if train else 500].clone() for tensor in tensors)

    def few(self, root, train=True, **how):
        init(self, root, train=train, **how)
        self.data, self.targets = first(train, self.data, self.targets)

    def read_few(root, train):
        return first(train, *read_mnist(root, train))

    patch.setattr(torchvision.datasets.MNIST, "__init__", few)
    patch.setattr(data, "read_mnist", read_few)


def hurry(patch) -> None:
    """Few images, and a clock that is 20 times as fast: for chapter 9."""
    perf_counter = time.perf_counter
    keep_few_images(patch)
    patch.setattr(time, "perf_counter", lambda: 20 * perf_counter())
