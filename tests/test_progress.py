"""common/progress.py: what a loop shows and records, and Ctrl-C."""

import math
import signal
import sys

import pytest
import torch

from common import progress as progress_module
from common.cli import UserError
from common.progress import Progress, concatenate, epochs_done


def run(epochs, batches, interrupt_at=None, losses=None):
    """Count through Progress as a training loop does; returns it and the batches seen."""
    seen = []
    with Progress(epochs, batches) as progress:
        for epoch in progress.epochs():
            for i in progress.batches(range(batches)):
                seen.append((epoch, i))
                if len(seen) == interrupt_at:
                    signal.raise_signal(signal.SIGINT)
            progress.end_epoch(loss=losses[epoch] if losses else 1 / (epoch + 1), accuracy=0.5)
    return progress, seen


def test_progress_goes_through_everything_and_records_it():
    progress, seen = run(epochs=3, batches=4)
    assert seen == [(epoch, i) for epoch in range(3) for i in range(4)]
    assert progress.history == {
        "epoch": [1, 2, 3],
        "loss": [1, 1 / 2, 1 / 3],
        "accuracy": [0.5, 0.5, 0.5],
    }


def test_ctrl_c_ends_after_the_current_batch_and_keeps_the_part():
    handler = signal.getsignal(signal.SIGINT)
    progress, seen = run(epochs=3, batches=4, interrupt_at=6)
    assert seen[-1] == (1, 1)
    assert progress.stopped
    assert progress.history["epoch"] == [1, 1.5]
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize(
    "unit, total, at, said",
    [
        ("epoch", 3, 6, ["1.5 of 3 epochs"]),
        ("epoch", 1, 2, ["0.5 of 1 epoch"]),
        ("epoch", 1, 4, []),  # in the last batch: nothing has been left out
        ("iteration", 2000, 1234, ["1,234 of 2000 iterations"]),
    ],
)
def test_what_ctrl_c_has_ended_is_kept_in_words(unit, total, at, said, monkeypatch):
    monkeypatch.setattr(progress_module, "stopped", [])
    per_epoch = 4 if unit == "epoch" else 1
    with Progress(total, per_epoch, unit) as progress:
        for i in progress.batches(range(1, per_epoch * total + 1)):
            if i == at:
                signal.raise_signal(signal.SIGINT)
    assert progress_module.stopped == said


def test_a_second_ctrl_c_stops_at_once():
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    try:
        with pytest.raises(KeyboardInterrupt), Progress(1, 1):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, usual)


def test_a_line_per_epoch_where_the_output_is_no_terminal(capsys):
    run(epochs=3, batches=1)
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "epoch 1/3  loss 1.0000  accuracy 0.5000",
        "epoch 2/3  loss 0.5000  accuracy 0.5000",
        "epoch 3/3  loss 0.3333  accuracy 0.5000",
    ]
    assert captured.err == ""


def test_without_batches_an_epoch_is_one_step(capsys):
    with Progress(2) as progress:
        for _ in progress.epochs():
            progress.end_epoch(loss=1.0)
    assert progress.history == {"epoch": [1, 2], "loss": [1, 1]}
    assert capsys.readouterr().out.splitlines()[-1] == "epoch 2/2  loss 1.0000"


@pytest.mark.parametrize(
    "epochs, shown",
    [(100, [1, *range(10, 101, 10)]), (25, [1, *range(2, 25, 2), 25]), (1, [1])],
)
def test_no_wall_of_a_hundred_lines(epochs, shown, capsys):
    run(epochs=epochs, batches=1)
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split("/")[0].split()[-1]) for line in lines] == shown


def test_small_and_large_numbers_can_be_read(capsys):
    with Progress(1) as progress:
        for _ in progress.epochs():
            progress.end_epoch(loss=1.5e-7, w=-2e30)
    assert "loss 1.50e-07  w -2.00e+30" in capsys.readouterr().out


@pytest.mark.parametrize("losses, grown", [([1, 0.5], False), ([1, 9], False), ([1, 11], True)])
def test_a_loss_that_has_grown_is_pointed_out(losses, grown, capsys):
    run(epochs=2, batches=1, losses=losses)
    assert ("Try again with a lower --lr" in capsys.readouterr().out) is grown


def test_a_comparison_trains_for_as_many_whole_epochs():
    assert [epochs_done({"epoch": [1, last]}) for last in (0.2, 1.7, 3)] == [1, 1, 3]


def test_a_live_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress(2, 5) as progress:
        for _ in progress.epochs():
            for _ in progress.batches(range(5)):
                progress.show(torch.tensor(3.0), 2)
        progress.end_epoch(loss=0.25, accuracy=0.75)
    captured = capsys.readouterr()
    assert captured.out == ""
    bar = captured.err.split("\r")[-1]
    assert "epoch 2/2" in bar and "10/10" in bar
    assert "loss 0.2500" in bar and "accuracy 0.7500" in bar


def test_the_bar_reads_a_loss_now_and_then_and_never_from_a_gpu(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    read = []
    monkeypatch.setattr(torch.Tensor, "item", lambda self: read.append(self) or 1.0)
    with Progress(1, 1000) as progress:
        progress.show(torch.zeros((), device="meta"), 1)
        assert not read
        for _ in range(1000):
            progress.show(torch.zeros(()), 1)
    assert 1 <= len(read) < 100


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_training(loss):
    with pytest.raises(UserError, match=rf"became {loss} in epoch 2.*lower --lr") as error:
        run(epochs=3, batches=2, losses=[1, loss, 1])
    assert error.value.status == 1


def test_iterations_instead_of_epochs(capsys):
    with Progress(6, 1, unit="iteration", done=2) as progress:
        for i in progress.batches(range(2, 6)):
            if i == 4:
                progress.end_epoch(loss=1.0)
        progress.end_epoch(loss=0.5)
    assert progress.history == {"iteration": [4, 6], "loss": [1, 0.5]}
    assert capsys.readouterr().out.splitlines() == [
        "iteration 4/6  loss 1.0000",
        "iteration 6/6  loss 0.5000",
    ]
    with pytest.raises(UserError, match="in iteration 1:"), Progress(1, 1, "iteration") as progress:
        for _ in progress.batches([0]):
            pass
        progress.end_epoch(loss=math.nan)


def test_concatenate_counts_the_epochs_on():
    first = {"epoch": [1, 1.5], "loss": [3, 2]}
    second = {"epoch": [1, 2], "loss": [1, 0]}
    assert concatenate(first, second) == {"epoch": [1, 1.5, 2.5, 3.5], "loss": [3, 2, 1, 0]}
    assert concatenate({}, second) == second
