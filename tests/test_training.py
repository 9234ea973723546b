"""common/training.py: progress, Ctrl-C, checkpoints."""

import math
import signal
import sys

import pytest
import torch

from common import training
from common.cli import UserError


def run(epochs, batches, interrupt_at=None, losses=None):
    """Count through Progress as a training loop does; returns it and the batches seen."""
    seen = []
    with training.Progress(epochs, batches) as progress:
        for epoch in progress.epochs():
            for i in progress.batches(range(batches)):
                seen.append((epoch, i))
                if len(seen) == interrupt_at:
                    signal.raise_signal(signal.SIGINT)
            progress.end_epoch(loss=losses[epoch] if losses else 1 / (epoch + 1), accuracy=0.5)
    return progress, seen


def test_progress_goes_through_everything_and_remembers_it():
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


def test_a_second_ctrl_c_stops_at_once():
    with pytest.raises(KeyboardInterrupt), training.Progress(1, 1):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_a_line_per_epoch_where_the_output_is_no_terminal(capsys):
    run(epochs=3, batches=1)
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "   epoch 1/3  loss 1.0000  accuracy 0.5000",
        "   epoch 2/3  loss 0.5000  accuracy 0.5000",
        "   epoch 3/3  loss 0.3333  accuracy 0.5000",
    ]
    assert captured.err == ""


def test_no_wall_of_a_hundred_lines(capsys):
    run(epochs=100, batches=1)
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split("/")[0].split()[-1]) for line in lines] == [1, *range(10, 101, 10)]


def test_a_live_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with training.Progress(2, 5) as progress:
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
    with training.Progress(1, 1000) as progress:
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


def test_join_counts_the_epochs_on():
    first = {"epoch": [1, 1.5], "loss": [3, 2]}
    second = {"epoch": [1, 2], "loss": [1, 0]}
    assert training.join(first, second) == {"epoch": [1, 1.5, 2.5, 3.5], "loss": [3, 2, 1, 0]}
    assert training.join({}, second) == second


class Line(torch.nn.Linear):
    """A model to save."""

    def __init__(self, inputs=2):
        super().__init__(inputs, 1)


def model_and_optimizer(seed=0):
    torch.manual_seed(seed)
    model = Line()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return model, optimizer


def test_a_checkpoint_brings_everything_back(tmp_path):
    path = tmp_path / "line.pt"
    model, optimizer = model_and_optimizer()
    training.save_checkpoint(path, model, optimizer, {"epoch": [1.0], "loss": [0.5]})
    expected = torch.rand(3)

    other, other_optimizer = model_and_optimizer(seed=1)
    assert training.load_checkpoint(path, other, other_optimizer) == {"epoch": [1], "loss": [0.5]}
    assert torch.equal(torch.rand(3), expected)
    for m, o in [(model, optimizer), (other, other_optimizer)]:
        m(torch.ones(1, 2)).sum().backward()
        o.step()
    assert torch.equal(other.weight, model.weight)
    assert [file.name for file in tmp_path.iterdir()] == ["line.pt"]


def test_using_a_model_leaves_the_random_numbers_alone(tmp_path):
    path = tmp_path / "line.pt"
    model, optimizer = model_and_optimizer()
    training.save_checkpoint(path, model, optimizer, {})
    torch.manual_seed(5)
    training.load_checkpoint(path, Line())
    drawn = torch.rand(1)
    torch.manual_seed(5)
    Line()
    assert torch.equal(drawn, torch.rand(1))


def test_a_missing_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint .*line\.pt. Train first"):
        training.load_checkpoint(tmp_path / "line.pt", Line())


class Evil:
    """Pickled, it would run code when it is loaded."""

    def __reduce__(self):
        return print, ("this must not be run",)


@pytest.mark.parametrize("content", ["empty", "text", "tensor", "half", "code", "folder"])
def test_a_file_that_is_no_checkpoint(content, tmp_path, capsys):
    path = tmp_path / "line.pt"
    if content == "folder":
        path.mkdir()
    elif content in ("empty", "text"):
        path.write_text("" if content == "empty" else "not a checkpoint")
    elif content == "half":
        training.save_checkpoint(path, *model_and_optimizer(), {})
        path.write_bytes(path.read_bytes()[:500])
    else:
        torch.save(torch.ones(2) if content == "tensor" else Evil(), path)
    with pytest.raises(UserError, match="is not a checkpoint of this project"):
        training.load_checkpoint(path, Line())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("other", [Line(inputs=3), torch.nn.Linear(2, 1)])
def test_a_checkpoint_of_another_model(other, tmp_path):
    path = tmp_path / "line.pt"
    training.save_checkpoint(path, *model_and_optimizer(), {})
    with pytest.raises(UserError, match=f"belongs to another model than {type(other).__name__}"):
        training.load_checkpoint(path, other)
