"""Less data, no worker processes, a fast clock: what a reader wrote runs in seconds.

Each function takes pytest's monkeypatch, which undoes it.
"""

import functools
import time

import numpy as np
import torch

TRAINING_IMAGES, TEST_IMAGES = 1000, 1100  # the latter in two batches, even of 1,000
ROWS = 4  # every fourth row of diabetes.csv


def keep_few_images(patch, training: int = TRAINING_IMAGES, test: int = 500) -> None:
    """Let MNIST have only the first images, wherever its root is.

    An image is transformed once, and kept, if its transform draws no random numbers.
    """
    import torchvision  # a part of a second, for the chapters that need it

    from common import data

    mnist = torchvision.datasets.MNIST
    init, fetch, read_mnist = mnist.__init__, mnist.__getitem__, data.read_mnist

    def first(train, *tensors):
        return tuple(tensor[: training if train else test].clone() for tensor in tensors)

    @functools.wraps(init)
    def few(self, root=None, train=True, *args, **how):
        init(self, data.mnist_root(), train, *args, **how)
        self.data, self.targets = first(train, self.data, self.targets)
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

    patch.setattr(mnist, "__init__", few)
    patch.setattr(mnist, "__getitem__", fetch_once)
    patch.setattr(data, "read_mnist", lambda root, train: first(train, *read_mnist(root, train)))


def hurry(patch) -> None:
    """Few images, and a clock that is 20 times as fast: for chapter 9."""
    perf_counter = time.perf_counter
    keep_few_images(patch)
    patch.setattr(time, "perf_counter", lambda: 20 * perf_counter())


def keep_few_rows(patch) -> None:
    """Let np.loadtxt find 192 rows in diabetes.csv, not 768."""
    loadtxt = np.loadtxt

    @functools.wraps(loadtxt)
    def some_rows(file, *args, **how):
        table = loadtxt(file, *args, **how)
        return table[::ROWS].copy() if str(file).endswith("diabetes.csv") else table

    patch.setattr(np, "loadtxt", some_rows)


def use_no_workers(patch) -> None:
    """Let a DataLoader do its work in this process: it starts no others."""
    loader = torch.utils.data.DataLoader
    init = loader.__init__

    @functools.wraps(init)
    def alone(self, *args, num_workers=0, **how):
        for name in ("prefetch_factor", "persistent_workers", "multiprocessing_context", "timeout"):
            how.pop(name, None)
        init(self, *args, **how)

    patch.setattr(loader, "__init__", alone)
