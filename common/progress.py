"""How a training loop shows its progress, records it, and ends gently at Ctrl-C.

Chapter 1 uses this module and starts without torch, so nothing here imports it.
"""

import math
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tqdm import tqdm

from common.cli import UserError

if TYPE_CHECKING:
    import torch

History = dict[str, list[float]]  # "epoch": [1.0, 2.0, …], and a list per value as long

stopped: list[str] = []  # what Ctrl-C has ended in this run: "2.5 of 10 epochs"


class Progress:
    """Shows how training goes, records it, and lets Ctrl-C end it after the current batch.

    A live bar on a terminal, a line per epoch (per ten, if there are a hundred) elsewhere.

        with Progress(epochs, len(train_loader)) as progress:
            for epoch in progress.epochs():
                for i, data in enumerate(progress.batches(train_loader)):
                    ...
                progress.end_epoch(loss=..., accuracy=...)

    `history` then holds, for each end_epoch, the epochs trained so far (2.5: stopped in the middle
    of the third) and the values given. Without `batches_per_epoch` an epoch is one step, and there
    is no inner loop. Progress(iterations, 1, unit="iteration") counts batches alone, with end_epoch
    wherever there is something to report; `done` is how many an earlier run has made.
    """

    SECONDS_BETWEEN_READINGS = 0.1

    def __init__(
        self, epochs: int, batches_per_epoch: int | None = None, unit: str = "epoch", done: int = 0
    ):
        self.history: History = {}
        self.stopped = False
        self._epochs = epochs
        self._epoch_is_one_step = batches_per_epoch is None
        self._steps_per_epoch = batches_per_epoch or 1
        self._steps_done = done
        self._unit = unit
        self._last_reading = 0.0
        self._shown: dict[str, float] = {}
        self._live = sys.stdout.isatty() and sys.stderr.isatty()

    def __enter__(self) -> "Progress":
        self._bar = tqdm(
            total=self._epochs * self._steps_per_epoch,
            initial=self._steps_done,
            unit=f" {self._unit}" if self._epoch_is_one_step else " batch",
            disable=not self._live,
            dynamic_ncols=True,
        )
        self._catches_ctrl_c = threading.current_thread() is threading.main_thread()
        if self._catches_ctrl_c:
            self._previous_handler = signal.signal(signal.SIGINT, self._on_ctrl_c)
        return self

    def __exit__(self, *exception) -> None:
        if self._catches_ctrl_c:
            signal.signal(signal.SIGINT, self._previous_handler)
        self._bar.close()
        done = self._steps_done / self._steps_per_epoch
        if self.stopped and done < self._epochs:
            count = f"{done:.4g}" if self._unit == "epoch" else f"{done:,.0f}"
            stopped.append(f"{count} of {self._epochs} {self._unit}{'s' * (self._epochs > 1)}")
        losses = self.history.get("loss", [])
        if len(losses) > 1 and losses[-1] > 10 * losses[0] > 0:
            print("The loss has grown: the learning rate is too high. Try again with a lower --lr.")

    def epochs(self) -> Iterator[int]:
        """0, 1, … up to the number of epochs; ends early after Ctrl-C."""
        for epoch in range(self._epochs):
            self._bar.set_description(f"{self._unit} {epoch + 1}/{self._epochs}", refresh=False)
            yield epoch
            if self.stopped:
                break

    def batches(self, loader: Iterable) -> Iterator:
        """The loader's batches; ends early after Ctrl-C."""
        for batch in loader:
            yield batch
            self._step()
            if self.stopped:
                break

    def show(self, loss_sum: "torch.Tensor", samples: int) -> None:
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
        """Record and show the epoch's values. One that isn't finite raises UserError."""
        if self._epoch_is_one_step:
            self._step()
        epochs_done = self._steps_done / self._steps_per_epoch
        number = math.ceil(epochs_done)
        for name, value in values.items():
            if not math.isfinite(value):
                raise UserError(
                    f"the {name} became {value} in {self._unit} {number}: training has diverged. "
                    "Try again with a lower --lr.",
                    status=1,
                )
        for name, value in {self._unit: epochs_done, **values}.items():
            self.history.setdefault(name, []).append(value)
        self._show(**values)
        every = max(1, self._epochs // 10)
        worth_a_line = number % every == 0 or number in (1, self._epochs) or self.stopped
        if worth_a_line and not self._live:
            width = len(str(self._epochs))
            print(f"{self._unit} {number:{width}}/{self._epochs}  {_words(values)}")

    def _step(self) -> None:
        self._steps_done += 1
        self._bar.update()

    def _show(self, **values: float) -> None:
        self._shown |= values
        self._bar.set_postfix_str(_words(self._shown), refresh=False)

    def _on_ctrl_c(self, signum, frame) -> None:
        self.stopped = True
        signal.signal(signal.SIGINT, self._previous_handler)  # a second Ctrl-C stops at once
        tqdm.write("\nCtrl-C: stopping after this batch.", file=sys.stderr)


def concatenate(earlier: History, later: History) -> History:
    """One history from two, the epochs of the second counted on from the first's last."""
    offset = earlier["epoch"][-1] if earlier else 0
    later = later | {"epoch": [offset + epoch for epoch in later["epoch"]]}
    return {name: earlier.get(name, []) + values for name, values in later.items()}


def epochs_done(history: History) -> int:
    """The whole epochs in `history`, at least one: as many as a fair comparison may train for."""
    return max(1, int(history["epoch"][-1]))


def _words(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {_number(value)}" for name, value in values.items())


def _number(value: float) -> str:
    return f"{value:.4f}" if value == 0 or 0.001 <= abs(value) < 10_000 else f"{value:.2e}"
