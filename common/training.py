"""What surrounds a training loop: progress, a gentle Ctrl-C, checkpoints."""

import math
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from common.cli import UserError
from common.files import written_whole

History = dict[str, list[float]]  # "epoch": [1.0, 2.0, …], and a list per value as long


class Progress:
    """Shows how training goes, remembers it, and lets Ctrl-C end it after the current batch.

    A live bar on a terminal, a line per epoch (per ten, if there are a hundred) elsewhere.

        with Progress(epochs, len(train_loader)) as progress:
            for epoch in progress.epochs():
                for i, data in enumerate(progress.batches(train_loader)):
                    ...
                    progress.show(loss_sum, samples)
                progress.end_epoch(loss=..., accuracy=...)

    `history` then holds, for each end_epoch, the epochs trained so far (2.5: stopped in the middle
    of the third) and the values given.
    """

    SECONDS_BETWEEN_READINGS = 0.1

    def __init__(self, epochs: int, batches_per_epoch: int):
        self.history: History = {}
        self.stopped = False
        self._epochs, self._batches_per_epoch = epochs, batches_per_epoch
        self._batches_done = 0
        self._last_reading = 0.0
        self._shown: dict[str, float] = {}
        self._live = sys.stdout.isatty() and sys.stderr.isatty()

    def __enter__(self) -> "Progress":
        total = self._epochs * self._batches_per_epoch
        self._bar = tqdm(total=total, unit=" batches", disable=not self._live, dynamic_ncols=True)
        self._catches_ctrl_c = threading.current_thread() is threading.main_thread()
        if self._catches_ctrl_c:
            self._previous_handler = signal.signal(signal.SIGINT, self._on_ctrl_c)
        return self

    def __exit__(self, *exception) -> None:
        if self._catches_ctrl_c:
            signal.signal(signal.SIGINT, self._previous_handler)
        self._bar.close()

    def epochs(self) -> Iterator[int]:
        """0, 1, … up to the number of epochs; ends early after Ctrl-C."""
        for epoch in range(self._epochs):
            self._bar.set_description(f"epoch {epoch + 1}/{self._epochs}", refresh=False)
            yield epoch
            if self.stopped:
                break

    def batches(self, loader: Iterable) -> Iterator:
        """The loader's batches; ends early after Ctrl-C."""
        for batch in loader:
            yield batch
            self._batches_done += 1
            self._bar.update()
            if self.stopped:
                break

    def show(self, loss_sum: torch.Tensor, samples: int) -> None:
        """Let the bar show the mean loss of this epoch so far.

        Reading a number from a GPU waits until the GPU has caught up, so there the bar shows the
        loss at the end of an epoch only, and on a CPU ten times a second.
        """
        if self._bar.disable or loss_sum.device.type != "cpu":
            return
        now = time.monotonic()
        if now - self._last_reading > self.SECONDS_BETWEEN_READINGS:
            self._last_reading = now
            self._show(loss=loss_sum.item() / samples)

    def end_epoch(self, **values: float) -> None:
        """Remember and show the epoch's values. A loss that isn't finite raises UserError."""
        epochs_done = self._batches_done / self._batches_per_epoch
        number = math.ceil(epochs_done)
        if not math.isfinite(values["loss"]):
            raise UserError(
                f"the loss became {values['loss']} in epoch {number}: training has diverged. "
                "Try again with a lower --lr.",
                status=1,
            )
        for name, value in {"epoch": epochs_done, **values}.items():
            self.history.setdefault(name, []).append(value)
        self._show(**values)
        every = max(1, self._epochs // 10)
        if not self._live and (number % every == 0 or number == 1 or self.stopped):
            print(f"   epoch {number:{len(str(self._epochs))}}/{self._epochs}  {_words(values)}")

    def _show(self, **values: float) -> None:
        self._shown |= values
        self._bar.set_postfix_str(_words(self._shown), refresh=False)

    def _on_ctrl_c(self, signum, frame) -> None:
        self.stopped = True
        signal.signal(signal.SIGINT, self._previous_handler)  # a second Ctrl-C stops at once
        tqdm.write("\nCtrl-C: stopping after this batch.", file=sys.stderr)


def join(earlier: History, later: History) -> History:
    """One history from two, the epochs of the second counted on from the first's last."""
    offset = earlier["epoch"][-1] if earlier else 0
    later = later | {"epoch": [offset + epoch for epoch in later["epoch"]]}
    return {name: earlier.get(name, []) + values for name, values in later.items()}


def save_checkpoint(
    path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, history: History
) -> None:
    """Write what is needed to use the model again, and to go on training as if never stopped."""
    checkpoint = {
        "class": type(model).__name__,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": history,
        "random": torch.get_rng_state(),
    }
    with written_whole(path) as temporary:
        torch.save(checkpoint, temporary)


def load_checkpoint(
    path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> History:
    """Read `model`'s parameters; with `optimizer` also its state and torch's random numbers.

    Returns the history. Raises UserError for a file that isn't there, is no checkpoint, or holds
    another model's.
    """
    if not path.exists():
        raise UserError(f"there is no checkpoint {path}. Train first: run without this flag.")
    try:
        # weights_only: a checkpoint is a pickle, and a pickle from a stranger could run any code.
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        found = checkpoint["class"]
    except Exception as error:  # a wrong file can fail in as many ways as there are files
        raise UserError(
            f"{path} is not a checkpoint of this project ({type(error).__name__}). "
            "Delete it and train again."
        ) from None
    wanted = type(model).__name__
    try:
        if found != wanted:
            raise ValueError(f"a {found}")
        model.load_state_dict(checkpoint["model"])
        if optimizer is not None:
            optimizer.load_state_dict(checkpoint["optimizer"])
            torch.set_rng_state(checkpoint["random"])
        return checkpoint["history"]
    except (KeyError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} belongs to another model than {wanted}: {reason}. "
            "Delete it and train again, or choose another --output-dir."
        ) from None


def _words(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in values.items())
