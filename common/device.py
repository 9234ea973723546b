"""Where torch calculates."""

import functools
import multiprocessing
import sys
import warnings

import torch

from common.cli import UserError, reason, summary
from common.language import _


def pick_device(name: str = "auto") -> tuple[torch.device, str]:
    """The device of that name, and a sentence about the choice.

    "auto" is the accelerator (CUDA, Apple's MPS, …) if there is one that works, else the CPU.
    Raises UserError for a name that this machine lacks.
    """
    accelerator, problem = _accelerator()
    if name == "auto":
        chosen = accelerator or torch.device("cpu")
        return chosen, f"{chosen} ({problem})" if problem else str(chosen)

    available = ["cpu"]
    if accelerator is not None:
        count = torch.accelerator.device_count()
        available += [accelerator.type] + [f"{accelerator.type}:{i}" for i in range(count)]
    if name not in available:
        raise UserError(
            "device {name!r} is not available here{reason}. Choose one of: auto, {available}.",
            name=name, reason=f" ({problem})" if problem else "",
            available=", ".join(available),
        )  # fmt: skip
    return torch.device(name), name


def can_share_memory() -> bool:
    """Whether worker processes can give batches to this one; says so where they can't."""
    try:
        multiprocessing.Lock()
        torch.zeros(1).share_memory_()
    except (OSError, RuntimeError) as error:  # /dev/shm is read-only, as in some containers
        said = _("Worker processes can't be used here ({reason}): it goes on without them.")
        print(said.format(reason=reason(error)), file=sys.stderr)
        return False
    return True


@functools.cache  # torch warns once per process, and in a notebook cells run again and again
def _accelerator() -> tuple[torch.device | None, str]:
    """The accelerator if it can add two numbers, else None; and what is wrong, if anything is."""
    with warnings.catch_warnings(record=True) as caught:  # an outdated driver only warns
        warnings.simplefilter("always")
        if torch.accelerator.is_available():
            accelerator = torch.accelerator.current_accelerator()
            try:
                (torch.ones(1, device=accelerator) + 1).item()
            except Exception as error:  # too old a card, or out of memory: there are many kinds
                about = {"device": accelerator.type, "reason": _first_sentence(error)}
                return None, _("{device} does not work: {reason}").format(**about)
            return accelerator, ""
    return None, _first_sentence(caught[0].message) if caught else ""


def _first_sentence(error: Exception | Warning) -> str:
    return summary(error).split(". ")[0].rstrip(".")
