"""The command line: flags that every chapter has, errors for people, files written safely.

Chapter 1 uses this module and starts without torch, so nothing here imports it.
"""

import argparse
import ast
import bdb
import contextlib
import difflib
import functools
import io
import math
import os
import re
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from common.language import LANGUAGES, _

ROOT = Path(__file__).resolve().parent.parent
DIABETES = ROOT / "data" / "diabetes.csv"
PACKAGES = ["matplotlib", "numpy", "PIL", "polib", "pylatexenc", "pytest", "rich", "torch"]
PACKAGES += ["torchvision", "tqdm"]
argparse._ = _  # by this name argparse calls gettext for its sentences: "expected one argument"


class UserError(Exception):
    """Something a person can put right: what is wrong, what was expected, what to do.

    The message is put into the reader's language, and then the fields into the message: {path}.
    """

    def __init__(self, message: str, status: int = 2, **fields: object):
        super().__init__(_(message).format(**fields) if fields else _(message))
        self.status = status

    def _render_traceback_(self) -> list[str]:
        """What IPython and notebooks show: they never call sys.excepthook."""
        return [_("error: {problem}").format(problem=self)]


# Errors


def answer_in_words() -> None:
    """From here on, errors that a person can put right are shown without a traceback."""
    sys.stdout, sys.stderr = (_writable(stream) for stream in (sys.stdout, sys.stderr))
    sys.excepthook = functools.partial(excepthook, stderr=sys.stderr)


def _writable(stream):
    """The stream, made to take all that is written to it, and to know whether it is a terminal."""
    if stream is None:  # Windows' pythonw, and services
        return Path(os.devnull).open("w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        # A console that has no "→" shows "?"; a log file grows line by line.
        stream.reconfigure(errors="replace", line_buffering=True)
    elif getattr(stream, "isatty", bool)():
        # IDLE's window says that it is a terminal, but can't go back to the beginning of a line.
        with contextlib.suppress(OSError, AttributeError):
            if os.isatty(stream.fileno()):
                return stream
        stream.isatty = lambda: False
    return stream


def excepthook(kind: type, error: BaseException, trace, stderr=None) -> None:
    """What Python calls with an error that nobody caught; ends the program with its status.

    Errors that a person can't put right are ours, and keep their traceback. torch.distributed calls
    the hook with another sys.stderr, and loses what it says if it exits: `stderr` is the real one.
    """
    said, problem, status = _("error: {problem}"), "", 2
    if isinstance(error, UserError):
        problem, status = str(error), error.status
    elif isinstance(error, KeyboardInterrupt | bdb.BdbQuit):
        said, status = "\n" + _("Stopped."), 130  # as shells do
    elif isinstance(error, BrokenPipeError):  # python … | head: the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1)
    elif words := about_packages(error):
        problem = words
    elif re.search("PytorchStreamWriter|inline_container", str(error)):  # torch.save's
        problem = _("cannot write the checkpoint. Is the disk full?")
    elif _is_too_large(error):
        problem = _(
            "more than memory can hold: {reason}. Choose smaller numbers, such as a smaller "
            "--batch-size."
        ).format(reason=summary(error))
    else:
        return sys.__excepthook__(kind, error, trace)
    print(said.format(problem=problem), file=stderr or sys.stderr)
    if not sys.flags.interactive:  # python -i goes on with its prompt
        raise SystemExit(status)


def about_packages(error: BaseException) -> str:
    """What to do if the error is that an installed package can't be imported; else ""."""
    failed = [error.name] if isinstance(error, ModuleNotFoundError) else []
    trace = error.__traceback__
    while trace:
        code, trace = trace.tb_frame.f_code, trace.tb_next
        file = Path(code.co_filename)
        if (file.name, code.co_name) == ("__init__.py", "<module>"):
            failed.append(file.parent.name)
    package = next((name for name in failed if name in PACKAGES), "")
    if not package:
        return ""
    return _(
        "{package} can't be imported ({reason}). This Python is {python}. Activate the "
        "environment where all is installed, or install it here: "
        "python -m pip install -r requirements.txt"
    ).format(package=package, reason=summary(error), python=sys.executable)


def _is_too_large(error: BaseException) -> bool:
    """Whether a size did not fit the memory, or not even torch's 64-bit numbers."""
    too_large = r"out of memory|not enough memory|can't allocate|overflow"
    of_torch = isinstance(error, RuntimeError) and re.search(too_large, str(error), re.IGNORECASE)
    return isinstance(error, MemoryError | OverflowError) or bool(of_torch)


def summary(error: BaseException) -> str:
    """The first line of what the error says; its kind, where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def reason(error: BaseException) -> str:
    """The summary; what the system says, such as "No such file or directory", is translated."""
    return _(getattr(error, "strerror", None) or summary(error))


# Flags


class Parser(argparse.ArgumentParser):
    """argparse with an error of one line, not preceded by a screen of usage."""

    def error(self, message: str):
        known = [flag.strip("-") for action in self._actions for flag in action.option_strings]
        typed = re.search(_("unrecognized arguments: %s") % r"--([\w-]+)", message)
        meant = difflib.get_close_matches(typed[1], known, n=1) if typed else []
        flag = re.search(r"--[\w-]+", message)
        if flag and message.endswith(_("expected one argument")):
            message += _("; one that begins with - is written {flag}=VALUE").format(flag=flag[0])
        if meant:
            raise UserError("{problem} (did you mean --{flag}?)", problem=message, flag=meant[0])
        raise UserError("{problem} (--help lists every flag)", problem=message)


def path(text: str) -> Path:
    """A path, for argparse; the shell leaves the ~ of --output-dir=~/results to the program."""
    return Path(os.path.expanduser(text))  # noqa: PTH111, which fails where there is no home


def positive_int(text: str) -> int:
    """A whole number from 1 up that fits 64 bits, for argparse."""
    expected = _("expected a whole number from 1 to 2**63 - 1, got {text!r}")
    return _number(text, int, lambda n: 1 <= n < 2**63, expected)


def whole_number(text: str) -> int:
    """A whole number from 0 up that fits 64 bits, for argparse."""
    expected = _("expected a whole number from 0 to 2**63 - 1, got {text!r}")
    return _number(text, int, lambda n: 0 <= n < 2**63, expected)


def positive_float(text: str) -> float:
    """A positive finite number, for argparse."""
    expected = _("expected a positive number, got {text!r}")
    return _number(text, float, lambda x: 0 < x < math.inf, expected)


def temperature(text: str) -> float:
    """A finite number from 0.01 up, for argparse: logits divided by less can be infinite."""
    expected = _("expected a number from 0.01 up, got {text!r}")
    return _number(text, float, lambda x: 0.01 <= x < math.inf, expected)


def _number(text: str, convert: Callable, is_valid: Callable, expected: str):
    try:
        value = convert(text)
    except ValueError:
        value = None
    if value is None or not is_valid(value):
        raise argparse.ArgumentTypeError(expected.format(text=text))
    return value


FLAGS = {  # the same in every chapter that has them: what converts the text, and what it means
    "epochs": (positive_int, "passes over the training data"),
    "iterations": (positive_int, "updates in all"),
    "lr": (positive_float, "learning rate"),
    "batch_size": (positive_int, "samples per update"),
    "workers": (whole_number, "worker processes that fetch batches"),
    "csv": (path, "table to train on: numbers, in the last column labels 0 and 1"),
    "text": (path, "train on these files (default: excerpts of Python's reference documentation)"),
    "resume": (bool, "continue training from the checkpoint"),
    "length": (positive_int, "characters to generate"),
    "temperature": (temperature, "below 1 more cautious, above 1 more random"),
    "top_k": (positive_int, "sample from the K most probable characters only"),
    "device": (str, "auto (an accelerator if there is one), cpu, cuda, mps…"),
    "seed": (whole_number, "seed of the random numbers"),
    "step": (bool, "show each section before it runs, and wait for Enter"),
    "show": (bool, "also open the figure in a window"),
    "output_dir": (path, "folder for what a run writes"),
}


def parser(doc: str | None, **settings: object) -> Parser:
    """A parser, described by `doc`, with every chapter's flags, and one for each setting."""
    script = Path(sys.argv[0])
    if doc is None and script.is_file():  # python -OO, idle -r
        doc = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8-sig")))
    flags = Parser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    # A notebook runs in its own folder.
    beside = script.resolve().parent if re.match(r"\d\d_", script.name) else Path()
    every = {"seed": 0, "step": False, "show": False, "output_dir": beside / "outputs"}
    for name, default in (settings | every).items():
        kind, what = FLAGS[name]
        how = {"action": "store_true"} if default is False else {"type": kind, "default": default}
        if default == []:
            how |= {"nargs": "+", "metavar": "FILE"}
        elif default is not None and default is not False:
            what += " (default: %(default)s)"
        flags.add_argument(f"--{name.replace('_', '-')}", help=what, **how)
    speaks = "language of errors and of --step (default: the system's)"
    flags.add_argument("--lang", choices=LANGUAGES, help=speaks)
    return flags


def printable(text: str) -> str:
    """The text as a terminal may have it: what would control it is escaped, but for new lines.

    Spaces of any width stay, and what joins letters or keeps them apart in some languages.
    """

    def is_harmless(c: str) -> bool:
        return c.isprintable() or c in "\n\t\u200c\u200d" or unicodedata.category(c) == "Zs"

    return "".join(c if is_harmless(c) else repr(c)[1:-1] for c in text)


# Files


def expand(paths: list[Path]) -> list[Path]:
    """Replace *.png and the like by the files they stand for, as Windows' shells do not."""
    expanded = []
    for path in paths:
        found = sorted(path.parent.glob(path.name)) if set("*?") & set(path.name) else []
        expanded += found or [path]
    return expanded


def display_path(path: Path) -> str:
    """The path as short as the working directory allows: outputs/figure.png."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):  # elsewhere, or the working directory was deleted
        return str(path)


def working_folder() -> None:
    """Raises UserError where there is none: then libraries fail, with words of their own."""
    try:
        Path.cwd()
    except OSError:
        raise UserError(
            "this terminal's folder was deleted or moved. Change into one that is there, with cd."
        ) from None


def output_folder(folder: Path, remedy: str = "") -> None:
    """Make the folder, and prove that files can be written into it. Raises UserError if not.

    Otherwise somebody would train for minutes and then lose the result.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = remedy or _("Choose a folder of your own with --output-dir.")
        raise UserError(
            "cannot write into {folder}: {reason}. {remedy}",
            folder=folder, reason=reason(error), remedy=remedy,
        ) from None  # fmt: skip


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path, renamed to `path` when the block succeeds. Raises UserError."""
    temporary = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        yield temporary
        for wait in (0.1, 0.4, 1.5):  # on Windows a scanner or a backup may hold it for a moment
            try:
                temporary.replace(path)
                break
            except PermissionError:
                time.sleep(wait)
        else:
            temporary.replace(path)
    except OSError as error:
        raise UserError(
            "cannot write {path}: {reason}. Is the disk full, or the file open in another program?",
            path=path, reason=reason(error),
        ) from None  # fmt: skip
    finally:
        temporary.unlink(missing_ok=True)
