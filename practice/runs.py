"""The process in which what the reader wrote runs: whatever it does, the check has an answer."""

import builtins
import contextlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from common.cli import ROOT, UserError, about_packages, summary
from common.language import _, language

# What every check imports: with --watch once, in a process that forks for each check.
IMPORTED = ["pytest", "torch", "torch._dynamo", "torchvision", "matplotlib.pyplot", "PIL.Image"]


def run(job: Callable, *arguments: object, limit: float, warm: bool = False) -> dict:
    """What job(*arguments) returns in a process of its own, and what it "said".

    The process ends after `limit` seconds at the latest. With `warm` the first call takes a little
    longer and the next ones are faster, where processes can fork. A process that ends without an
    answer gives a problem, as job does.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        report, said = Path(folder, "report.json"), Path(folder, "said.txt")
        process = context(warm).Process(target=_work, args=(report, said, limit, job, arguments))
        process.start()
        try:
            process.join()
        finally:
            end_with_all_it_started(process)
        output = said.read_text(encoding="utf-8") if said.exists() else ""
        if not report.exists():
            return {"problem": {"error": _ended(process.exitcode)}, "said": output}
        answer = json.loads(report.read_text(encoding="utf-8"))
    if "crash" in answer:
        raise RuntimeError(answer["crash"] + output)
    return answer | {"said": output}


def _ended(status: int) -> str:
    """How a process ended that gave no answer, in a sentence."""
    if status == -9:  # SIGKILL
        return _("The system ended the program: there was not enough memory for it.")
    if status < 0:
        return _("The program crashed (signal {number}).").format(number=-status)
    return _(
        "The program ended Python itself, with status {status}: by os._exit or the like. "
        "Take that out."
    ).format(status=status)


def context(warm: bool) -> multiprocessing.context.BaseContext:
    """How to start a process: anew, or forked from one that has imported all and done nothing.

    A fork is safe only as long as its parent has computed nothing: torch's threads don't survive
    it. On macOS, the system's own libraries may have threads even then.
    """
    if not warm or not sys.platform.startswith("linux"):
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(IMPORTED)
    return forking


def _work(report: Path, said: Path, limit: float, job: Callable, arguments: tuple) -> None:
    """What the process does: the job; its answer goes to one file, all that is said to another."""
    if hasattr(os, "setsid"):
        os.setsid()  # a group of its own, to be ended with all that it has started
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        del os.environ[name]  # what somebody has set for tests of their own
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # nor plugins for them
    os.environ["MPLBACKEND"] = "Agg"
    os.environ["LC_ALL"] = {"zh": "zh_CN.UTF-8", "en": "C.UTF-8"}[language()]  # not by sys.argv
    os.chdir(ROOT)
    sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115, for good
    builtins.input = _nobody_types
    skipped = []
    sys.breakpointhook = lambda *_, **__: skipped.append(True)
    multiprocessing.set_start_method(None, force=True)  # a loader's workers start as usual
    with said.open("w", encoding="utf-8", errors="replace") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
            stream.reconfigure(encoding="utf-8", errors="replace")
        answered = threading.Lock()

        def answer(content: dict) -> None:
            answered.acquire()  # one answer only, for good
            content["breakpoints"] = len(skipped)
            report.write_text(json.dumps(content), encoding="utf-8")
            sys.stdout.flush()
            os._exit(0)  # whatever threads the reader has started

        watched = threading.main_thread()

        def give_up() -> None:
            frames = traceback.extract_stack(sys._current_frames()[watched.ident])
            mine = [one for one in frames if one.filename == str(arguments[0])]
            line = f", {mine[-1].name}, {mine[-1].lineno}: {mine[-1].line}" if mine else ""
            line = line.replace("<module>", Path(str(arguments[0])).name)
            answer({"problem": {"endless": line, "limit": limit}})

        timer = threading.Timer(limit, give_up)
        timer.daemon = True
        timer.start()
        try:
            content = job(*arguments)
        except UserError as error:
            content = {"problem": {"error": summary(error)}}
        except Exception as error:
            words = about_packages(error)
            content = {"problem": {"error": words}} if words else {"crash": traceback.format_exc()}
        answer(content)


def _nobody_types(prompt: object = "") -> str:
    raise EOFError(_("input() asks a person, and in a check there is nobody. Take it out."))


def end_with_all_it_started(process: multiprocessing.Process) -> None:
    """End a process and, where the system has process groups, the endless loops it has left."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
