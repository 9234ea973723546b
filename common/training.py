"""What surrounds a training loop: checkpoints, and the loop that chapter 3 has taught."""

import io
from collections.abc import Callable
from pathlib import Path

import torch

from common.cli import UserError, atomic_write, display_path
from common.device import one_thread
from common.progress import History, Progress


def full_batch(
    model: torch.nn.Module,
    criterion: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    x_data: torch.Tensor,
    y_data: torch.Tensor,
    epochs: int,
    measure: Callable[[], dict[str, float]] = dict,
) -> History:
    """Chapter 3's loop: every epoch is one update on all the data.

    The history holds the loss before each update, and what `measure` returns after it.
    """
    with one_thread(), Progress(epochs) as progress:
        for epoch in progress.epochs():
            y_pred = model(x_data)
            loss = criterion(y_pred, y_data)

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            progress.end_epoch(loss=loss.item(), **measure())
    return progress.history


def save_checkpoint(
    path: Path,
    history: History,
    model: torch.nn.Module,
    *optimizers: torch.optim.Optimizer,
    **more: object,
) -> None:
    """Write what is needed to use the model again, and to continue training as if never stopped.

    `more` are numbers, words, tensors, and lists and dicts of them; read_checkpoint returns them.
    Raises UserError for a model with parameters that aren't finite: its last update ruined it.
    """
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise UserError(
            "the last update made parameters infinite: training has diverged, and nothing is "
            "saved. Try again with a lower --lr.",
            status=1,
        )
    checkpoint = more | {
        "class": type(model).__name__,
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "history": history,
        "random": torch.get_rng_state(),
    }
    content = io.BytesIO()  # torch.save itself would hide a full disk in an error of its own
    torch.save(checkpoint, content)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def read_checkpoint(path: Path) -> dict:
    """All that save_checkpoint has written. Raises UserError where there is no such file."""
    if not path.exists():
        raise UserError(
            f"there is no checkpoint {display_path(path)}. "
            "Train first, without --resume, --predict or --prompt."
        )
    try:
        # weights_only: a checkpoint is a pickle, and a pickle from a stranger could run any code.
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(checkpoint, dict):
            raise TypeError("a checkpoint is a dict")
        checkpoint["class"]
    except Exception as error:  # a wrong file can fail in as many ways as there are files
        raise UserError(
            f"{path} is not a checkpoint of this project ({type(error).__name__}). "
            "Delete it and train again."
        ) from None
    return checkpoint


def load_checkpoint(
    path: Path, model: torch.nn.Module, *optimizers: torch.optim.Optimizer
) -> History:
    """Read `model`'s parameters; with `optimizers` also their states and torch's random numbers.

    Returns the history. Raises UserError for a file that isn't there, is no checkpoint, or holds
    another model's.
    """
    checkpoint = read_checkpoint(path)
    found, wanted = checkpoint["class"], type(model).__name__
    try:
        if found != wanted:
            raise ValueError(f"a {found}")
        model.load_state_dict(checkpoint["model"])
        for optimizer, state in zip(optimizers, checkpoint["optimizers"], strict=bool(optimizers)):
            optimizer.load_state_dict(state)
        if optimizers:
            torch.set_rng_state(checkpoint["random"])
        return checkpoint["history"]
    except (KeyError, IndexError, AttributeError, TypeError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[:2][-1].strip().rstrip(".")  # torch's 2nd names it
        raise UserError(
            f"{path} belongs to another model than this {wanted}: {reason}. "
            "Delete it and train again, or choose another --output-dir."
        ) from None
