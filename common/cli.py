"""What every chapter's command line shares: flags, numbered steps, errors for people.

Chapter 1 uses this module and starts without torch, so nothing here imports it.
"""

import argparse
import bdb
import difflib
import functools
import io
import itertools
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

STOPPED_BY_CTRL_C = 130  # the exit status that shells give to a program ended by Ctrl-C


class UserError(Exception):
    """Something a person can put right: shown in a line or two, without a traceback.

    `message` says what is wrong, what was expected and what to do; `status` is the exit status.
    """

    def __init__(self, message: str, status: int = 2):
        super().__init__(message)
        self.status = status


def command(main: Callable) -> Callable:
    """Make `main(argv)` a command: flags from the command line, errors in words.

    Called without argv it takes the command line when its own file is the running script, and the
    defaults anywhere else: in a notebook `sys.argv` belongs to Jupyter. A UserError ends the
    program with its message and status, Ctrl-C (or q in the debugger) with status 130.
    """

    @functools.wraps(main)
    def run(argv: list[str] | None = None):
        if argv is None:
            is_script = Path(sys.argv[0]).name == Path(main.__code__.co_filename).name
            argv = sys.argv[1:] if is_script else []
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A console that has no "→" shows "?"; a log file grows line by line.
                stream.reconfigure(errors="replace", line_buffering=True)
        try:
            return main(argv)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(error.status) from None
        except (KeyboardInterrupt, bdb.BdbQuit):  # BdbQuit: q in the debugger
            print("\nStopped.", file=sys.stderr)
            raise SystemExit(STOPPED_BY_CTRL_C) from None
        except BrokenPipeError:  # python … | head: nobody reads on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None

    return run


def parser(
    doc: str | None,
    *,
    epochs: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    device: bool = False,
) -> argparse.ArgumentParser:
    """A parser with the flags that every chapter has, and those a default is given for.

    `doc` is the chapter's docstring, shown by --help. A wrong flag raises UserError.
    """
    flags = Parser(description=doc, formatter_class=_HelpFormatter)
    if epochs is not None:
        flags.add_argument(
            "--epochs", type=positive_int, default=epochs, help="passes over the training data"
        )
    if lr is not None:
        flags.add_argument("--lr", type=positive_float, default=lr, help="learning rate")
    if batch_size is not None:
        flags.add_argument(
            "--batch-size", type=positive_int, default=batch_size, help="samples per update"
        )
    if device:
        flags.add_argument(
            "--device",
            default="auto",
            help="auto (an accelerator if there is one), cpu, cuda, mps…",
        )
    flags.add_argument("--seed", type=whole_number, default=0, help="start of the random numbers")
    flags.add_argument("--step", action="store_true", help="wait for Enter before each step")
    flags.add_argument(
        "--show", action="store_true", help="also open the figure in a window at the end"
    )
    script = Path(sys.argv[0])
    beside = script.resolve().parent if re.match(r"\d\d_", script.name) else ROOT
    flags.add_argument(
        "--output-dir", type=Path, default=beside / "outputs", help="folder for what a run writes"
    )
    return flags


def begin(doc: str | None, wait: bool = False) -> Callable[..., None]:
    """Print the title, the first line of `doc`, and return step(heading).

    Each call of step prints the next number and the heading; with `wait` it waits for Enter first.
    """
    if doc and doc.startswith("Chapter"):  # run cell by cell, __doc__ is IPython's own
        print(doc.splitlines()[0])
    numbers = itertools.count(1)

    def step(heading: str) -> None:
        number = next(numbers)
        if wait:
            try:
                input("\n[Enter] ")
            except (EOFError, UnicodeDecodeError):  # nobody is there, or typed something odd
                print()
        print(f"\n{number}. {heading}")

    return step


def positive_int(text: str) -> int:
    """A whole number from 1 up, for argparse."""
    return _number(text, int, lambda value: value >= 1, "a whole number from 1 up")


def positive_float(text: str) -> float:
    """A positive finite number, for argparse."""
    return _number(text, float, lambda value: 0 < value < math.inf, "a positive number")


def whole_number(text: str) -> int:
    """A whole number from 0 up that fits 64 bits, for argparse."""
    return _number(
        text, int, lambda value: 0 <= value < 2**63, "a whole number from 0 to 2**63 - 1"
    )


def expand(paths: list[Path]) -> list[Path]:
    """Replace *.png and the like by the files they stand for, as Windows' shells do not."""
    expanded = []
    for path in paths:
        found = sorted(path.parent.glob(path.name)) if set("*?") & set(path.name) else []
        expanded += found or [path]
    return expanded


def first_line(error: Exception) -> str:
    """What the error says in its first line; its kind, where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def path_for_people(path: Path) -> str:
    """The path as short as the working directory allows: outputs/figure.png."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def numbers(values, digits: int = 2) -> str:
    """The numbers of any array in a row, with so many digits after the point: 0.20 0.10 -0.10."""
    return " ".join(f"{value:.{digits}f}" for value in values.flatten().tolist())


def _number(text: str, convert: Callable, is_valid: Callable, expected: str):
    try:
        value = convert(text)
    except ValueError:
        value = None
    if value is None or not is_valid(value):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return value


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keep the docstring's lines, and end each flag with its default, if it has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if str(action.default) in ("None", "False", "[]"):
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """argparse with an error of one line, not preceded by a screen of usage."""

    def error(self, message: str):
        known = [flag for action in self._actions for flag in action.option_strings]
        typed = re.search(r"unrecognized arguments: (--[\w-]+)", message)
        meant = difflib.get_close_matches(typed[1], known, n=1) if typed else []
        hint = f"did you mean {meant[0]}?" if meant else "--help lists every flag"
        raise UserError(f"{message} ({hint})")
