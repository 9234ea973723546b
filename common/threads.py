"""How many cores an update is shared among: all of them, or one while other programs want them.

Threads that share an operation wait for one another. Where another program holds one of the cores,
all wait for the thread that is not running. So while a network is trained, the main thread's time
on its core is watched, and where it gets too little, both ways are timed. Alone, nothing changes.
"""

import functools
import os
import threading
import time
from collections.abc import Generator, Iterator

# Threads wait for the next operation by asking again and again, GNU's OpenMP for milliseconds; with
# this, for a tenth of that. It is read when torch is imported. What the reader sets, holds.
SPINS = "30000"
READER_CHOOSES = os.environ.get("GOMP_SPINCOUNT", SPINS) != SPINS or any(
    name in os.environ
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "KMP_BLOCKTIME")
)
if not READER_CHOOSES:
    os.environ["GOMP_SPINCOUNT"] = SPINS


@functools.cache  # once per process
def choose_while_training() -> None:
    """From now on, after updates of torch's optimizers, choose the number of threads anew."""
    if READER_CHOOSES:
        return
    from torch.optim.optimizer import register_optimizer_step_post_hook

    choice = _choose()

    def after_update(*_) -> None:
        if threading.current_thread() is threading.main_thread():
            next(choice)

    register_optimizer_step_post_hook(after_update)


def _choose() -> Iterator[None]:
    """Choose the number of threads, again and again; go on after each update."""
    import torch

    while True:
        start = time.perf_counter()
        seconds, share = yield from _measure()
        threads = torch.get_num_threads()
        if threads == 1 or share > 0.85:  # no other program is in the way
            continue
        torch.set_num_threads(1)
        with_one, _ = yield from _measure()
        if seconds < 0.8 * with_one:  # in doubt one: it never waits long
            torch.set_num_threads(threads)
        until = time.perf_counter() + 10 + 10 * (time.perf_counter() - start)
        while time.perf_counter() < until:
            yield
        torch.set_num_threads(threads)


def _measure() -> Generator[None, None, tuple[float, float]]:
    """Seconds per update, and the main thread's share of them, over 0.5 s and 8 updates."""
    seconds, start, on_core = [], time.perf_counter(), time.thread_time()
    while len(seconds) < 8 or time.perf_counter() - start < 0.5:
        before = time.perf_counter()
        yield
        seconds.append(time.perf_counter() - before)
    share = (time.thread_time() - on_core) / (time.perf_counter() - start)
    seconds.remove(max(seconds))  # there was an evaluation in between, or a page fault
    return sum(seconds) / len(seconds), share
