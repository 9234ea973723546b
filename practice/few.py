"""Less data, and no worker processes, so that a reader's whole program is tried in seconds."""

import contextlib
import functools
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
