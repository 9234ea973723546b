"""A few of MNIST's images, and a fast clock: a chapter runs in seconds, and does all it does."""

import time


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
