"""common/threads.py: one thread where other programs want the cores, else all of them."""

import os
import subprocess
import sys
from collections import OrderedDict

import pytest
import torch

from common import threads
from common.cli import ROOT


class Computer:
    """A clock, and updates that take as long as this computer needs for them."""

    def __init__(self, monkeypatch):
        self.now = self.on_core = 0.0
        self.threads, self.changes = 2, []
        self.seconds, self.share = {2: 0.002, 1: 0.003}, {2: 1.0, 1: 1.0}
        monkeypatch.setattr(threads.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(threads.time, "thread_time", lambda: self.on_core)
        monkeypatch.setattr(torch, "get_num_threads", lambda: self.threads)
        monkeypatch.setattr(torch, "set_num_threads", self.set_threads)
        self.choice = threads._choose()
        next(self.choice)

    def set_threads(self, n):
        self.threads = n
        self.changes.append(n)

    def train(self, seconds):
        """Updates for so long. Returns how many it made."""
        updates, end = 0, self.now + seconds
        while self.now < end:
            self.pass_time(self.seconds[self.threads])
            next(self.choice)
            updates += 1
        return updates

    def pass_time(self, seconds):
        self.now += seconds
        self.on_core += seconds * self.share[self.threads]


@pytest.fixture
def computer(monkeypatch):
    return Computer(monkeypatch)


def make_busy(computer):
    """Another torch trains beside this one: two threads wait for each other most of the time."""
    computer.seconds, computer.share = {2: 0.118, 1: 0.0045}, {2: 0.5, 1: 0.7}


def test_alone_nothing_is_changed_not_even_for_a_try(computer):
    computer.train(100)
    assert computer.changes == []


def test_beside_other_programs_it_is_one_thread_and_later_all_again(computer):
    computer.train(5)
    make_busy(computer)
    computer.train(3)
    assert computer.threads == 1
    assert computer.train(60) > 0.85 * 60 / 0.0045, "trying again takes little of the time"
    computer.seconds, computer.share = {2: 0.002, 1: 0.003}, {2: 1.0, 1: 1.0}
    computer.train(25)
    assert computer.threads == 2


def test_all_threads_stay_where_they_are_faster_all_the_same(computer):
    """Many cores, of which somebody uses one; or the main thread waits for its batches."""
    computer.share = {2: 0.6, 1: 0.6}
    computer.train(100)
    assert computer.threads == 2
    assert computer.changes.count(1) < 12


def test_one_long_pause_decides_nothing(computer):
    """Such as an evaluation among the updates with all threads, of a second where others take 5 ms.

    The share is low, so one thread is tried; then the updates are compared without the pause.
    """
    computer.share = {2: 0.6, 1: 0.6}
    computer.train(0.2)
    computer.pass_time(1.0)
    computer.train(5)
    assert computer.changes[:2] == [1, 2] and computer.threads == 2


def test_the_readers_own_single_thread_stays(computer):
    computer.threads = 1
    make_busy(computer)
    computer.train(100)
    assert computer.changes == []


def test_it_goes_on_after_each_update_of_any_optimizer(monkeypatch):
    from torch.optim import optimizer as module

    updates = []
    monkeypatch.setattr(module, "_global_optimizer_post_hooks", OrderedDict())
    monkeypatch.setattr(threads, "READER_CHOOSES", False)
    monkeypatch.setattr(threads, "_choose", lambda: iter(lambda: updates.append(1), 0))
    threads.choose_while_training.__wrapped__()
    weight = torch.nn.Parameter(torch.ones(1))
    for kind in (torch.optim.SGD, torch.optim.Adam):
        optimizer = kind([weight], lr=0.1)
        weight.sum().backward()
        optimizer.step()
    assert len(updates) == 2
    monkeypatch.setattr(threads, "READER_CHOOSES", True)
    threads.choose_while_training.__wrapped__()
    assert len(module._global_optimizer_post_hooks) == 1, "by OMP_NUM_THREADS, say"


@pytest.mark.parametrize(
    "variables, spins",
    [
        ({}, "30000"),
        ({"KMP_DUPLICATE_LIB_OK": "TRUE"}, "30000"),
        ({"OMP_NUM_THREADS": "2"}, None),
        ({"GOMP_SPINCOUNT": "5"}, "5"),
    ],
)
def test_waiting_threads_soon_sleep_unless_the_reader_has_a_say(variables, spins):
    others = {
        k: v for k, v in os.environ.items() if not k.startswith(("OMP", "GOMP", "KMP", "MKL"))
    }
    code = "from common import chapter; import os; print(os.environ.get('GOMP_SPINCOUNT'))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, env=others | variables, capture_output=True, encoding="utf-8"
    )
    assert done.stdout == f"{spins}\n", done.stderr
