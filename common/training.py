"""The training loops that chapters 3 and 7 have taught, and checkpoints."""

import io
from pathlib import Path

import torch
from tqdm import tqdm

from common.cli import ROOT, UserError, atomic_write, display_path
from common.language import _


def full_batch(model, criterion, optimizer, x_data, y_data, epochs, every):
    """Chapter 3's loop, which prints the loss every so many epochs. Returns the losses."""
    losses = []
    for epoch in range(epochs):
        y_pred = model(x_data)
        loss = criterion(y_pred, y_data)
        losses.append(loss.item())
        if (epoch + 1) % every == 0:
            print(f"Epoch {epoch + 1}/{epochs}, Loss: {loss.item():.4f}")

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


def train(model, criterion, optimizer, train_loader, device, epochs):
    """Chapter 7's mini-batch SGD. Returns the mean loss of each epoch."""
    model.train()
    losses = []
    bar = tqdm(total=epochs * len(train_loader), unit=" batches", leave=False, disable=None)
    try:
        for epoch in range(epochs):
            loss_sum = 0
            for i, data in enumerate(train_loader):
                inputs, labels = data
                inputs, labels = inputs.to(device), labels.to(device)
                y_pred = model(inputs)
                loss = criterion(y_pred, labels)

                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss_sum += loss.item()
                bar.update()
            losses.append(loss_sum / len(train_loader))
            print(f"Epoch {epoch + 1}/{epochs}, Loss: {losses[-1]:.4f}")
    except KeyboardInterrupt:
        print("Stopped. What was learned so far is kept.")
    bar.close()
    return losses


def test(model, test_loader, device):
    """Chapter 7's accuracy on the loader's images, printed and returned."""
    model.eval()
    correct = 0
    total = 0
    with torch.no_grad():
        for i, data in enumerate(test_loader):
            inputs, labels = data
            inputs, labels = inputs.to(device), labels.to(device)
            y_pred = model(inputs)
            predicted = torch.argmax(y_pred, dim=1)
            correct += (predicted == labels).sum().item()
            total += labels.size(0)
    print(f"Accuracy: {correct / total:.4f}")
    return correct / total


def check_finite(model: torch.nn.Module) -> None:
    """Raises UserError if parameters are no longer finite: an update has ruined the model."""
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise UserError(
            "parameters are no longer finite numbers: training has diverged, and nothing is saved. "
            "Try again with a lower --lr.",
            status=1,
        )


def save_checkpoint(
    path: Path, history: object, model: torch.nn.Module, *optimizers, **more: object
) -> None:
    """Write what is needed to continue training as if it had never stopped.

    Raises UserError for a model with parameters that aren't finite.
    """
    check_finite(model)
    checkpoint = more | {
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "history": history,
        "random": torch.get_rng_state(),
    }
    content = io.BytesIO()  # torch.save itself would hide a full disk in an error of its own
    torch.save(checkpoint, content)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def read_checkpoint(path: Path, *names: str) -> dict:
    """What torch.save has written: a dict. Raises UserError where there is no such file.

    So it does for one without these names: another chapter's.
    """
    if not path.exists():
        scripts = [script.name for script in ROOT.glob("[0-9][0-9]_*.py")]
        written = [name for name in scripts if name[:3] == path.name[:3]]
        name = display_path(path)
        if not written:
            raise UserError(
                "there is no checkpoint {path}. Train first, or name another file.", path=name
            )
        raise UserError(
            "there is no checkpoint {path}. Train first: python {script}.",
            path=name, script=written[0],
        )  # fmt: skip
    try:
        # weights_only: a checkpoint is a pickle, and a pickle from a stranger could run any code.
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(checkpoint, dict) or not set(names) <= set(checkpoint):
            raise TypeError(f"a checkpoint is a dict with {names}")
    except Exception as error:  # a wrong file can fail in as many ways as there are files
        raise UserError(
            "{path} is not a checkpoint of this project ({reason}). Train again, or name another "
            "file.",
            path=path,
            reason=_(getattr(error, "strerror", None) or type(error).__name__),
        ) from None
    return checkpoint


def load_checkpoint(path: Path, model: torch.nn.Module, *optimizers) -> object:
    """Fill the model; with optimizers, them (not their rates) and the random numbers' state, too.

    Returns the history. Raises UserError for a file that isn't there, or holds something else.
    """
    checkpoint = read_checkpoint(path)
    rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    try:
        model.load_state_dict(checkpoint["model"])
        for optimizer, state in zip(optimizers, checkpoint["optimizers"], strict=bool(optimizers)):
            optimizer.load_state_dict(state)
        if optimizers:
            torch.set_rng_state(checkpoint["random"])
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        return checkpoint["history"]
    except (KeyError, IndexError, AttributeError, TypeError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[:2][-1].strip().rstrip(".")  # torch's 2nd names it
        raise UserError(
            "{path} belongs to another model than this {model}: {reason}. Delete it and train "
            "again, or choose another --output-dir.",
            path=path, model=type(model).__name__, reason=reason,
        ) from None  # fmt: skip
