"""common/device.py: choosing a device."""

import functools
import warnings

import pytest
import torch
from conftest import needs_cuda

from common import device
from common.cli import UserError


@pytest.mark.parametrize("error", [OSError(30, "Read-only file system"), RuntimeError("no shm")])
def test_workers_need_memory_that_can_be_shared(error, monkeypatch, capsys):
    assert device.can_share_memory() and capsys.readouterr().err == ""

    def refuse(*_):
        raise error

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    assert not device.can_share_memory()
    reason = device.reason(error)
    assert f"can't be used here ({reason}): it goes on without" in capsys.readouterr().err


def pretend(monkeypatch, is_available, current=None, count=1):
    monkeypatch.setattr(device, "_accelerator", functools.cache(device._accelerator.__wrapped__))
    monkeypatch.setattr(torch.accelerator, "is_available", is_available)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: current)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)


def test_auto_is_the_cpu_where_there_is_nothing_else(monkeypatch):
    pretend(monkeypatch, lambda: False)
    assert device.pick_device("auto") == (torch.device("cpu"), "cpu")


def test_auto_is_the_accelerator_where_there_is_one(monkeypatch):
    pretend(monkeypatch, lambda: True, torch.device("meta"))
    monkeypatch.setattr(torch.Tensor, "item", lambda self: 2.0)  # "meta" has no numbers to read
    assert device.pick_device("auto") == (torch.device("meta"), "meta")
    assert device.pick_device("meta:0")[0] == torch.device("meta:0")
    with pytest.raises(UserError, match=r"Choose one of: auto, cpu, meta, meta:0\."):
        device.pick_device("meta:1")


def test_auto_falls_back_from_an_outdated_driver_and_says_why(monkeypatch):
    def is_available():
        warnings.warn("CUDA initialization: The NVIDIA driver is too old. Update it.", stacklevel=1)
        return False

    pretend(monkeypatch, is_available)
    chosen, about = device.pick_device("auto")
    assert chosen == torch.device("cpu")
    assert about == "cpu (CUDA initialization: The NVIDIA driver is too old)"
    with pytest.raises(UserError, match="driver is too old"):
        device.pick_device("cuda")


def test_the_outdated_driver_is_named_in_every_run_of_a_notebook(monkeypatch):
    """torch itself warns once per process."""
    warned = []

    def is_available():
        if not warned:
            warnings.warn("The NVIDIA driver is too old.", stacklevel=1)
        warned.append(True)
        return False

    pretend(monkeypatch, is_available)
    for _ in range(2):
        assert device.pick_device("auto")[1] == "cpu (The NVIDIA driver is too old)"


def test_auto_falls_back_from_a_card_that_fails_to_start(monkeypatch):
    """torch.cuda.DeferredCudaCallError is no RuntimeError."""

    def ones(*args, **kwargs):
        warnings.warn("This card is too old.", stacklevel=1)
        raise torch.cuda.DeferredCudaCallError("CUDA call failed lazily. More follows.")

    pretend(monkeypatch, lambda: True, torch.device("cuda"))
    monkeypatch.setattr(torch, "ones", ones)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen, about = device.pick_device("auto")
    assert chosen == torch.device("cpu")
    assert about == "cpu (cuda does not work: CUDA call failed lazily)"


def test_auto_falls_back_from_a_card_that_cannot_compute(monkeypatch):
    pretend(monkeypatch, lambda: True, torch.device("meta"))  # .item() fails there
    chosen, about = device.pick_device("auto")
    assert chosen == torch.device("cpu")
    assert about.startswith("cpu (meta does not work: ")


def test_an_unknown_device_names_those_there_are(monkeypatch):
    pretend(monkeypatch, lambda: False)
    with pytest.raises(UserError, match=r"'abacus' is not available here\. .*: auto, cpu\."):
        device.pick_device("abacus")


@needs_cuda
def test_cuda_is_found():
    assert device.pick_device("auto")[0].type == "cuda"
    assert device.pick_device("cuda:0")[0] == torch.device("cuda:0")
