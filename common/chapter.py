"""How a chapter begins, how it announces its sections, and how it ends.

A chapter is a script in jupytext's percent format: prose in `# %% [markdown]` cells, code in
`# %%` cells, a section from each `## heading` to the next. Chapter 1 starts without torch, so
nothing here imports it before a chapter has asked for a device.
"""

import argparse
import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from common import cli, progress

_stepping = False  # whether --step was given


def begin(parser: cli.Parser, only: Mapping[str, str] | None = None) -> argparse.Namespace:
    """Read the flags, and begin: output folder, title, device, seed. Returns the flags' values.

    `device` is then a torch.device. With `only` = {"predict": "predict_files"} a run that was given
    --predict calls the chapter's function predict_files with the flags, and ends. In a notebook
    sys.argv belongs to Jupyter, so the defaults hold. Raises UserError for flags that can't be met.
    """
    global _stepping
    path = _path_of_caller()
    is_script = path is not None and path.name == Path(sys.argv[0]).name
    if is_script:
        cli.answer_in_words()
    args = parser.parse_args(sys.argv[1:] if is_script else [])
    _stepping = args.step
    is_torchruns = "TORCHELASTIC_RUN_ID" in os.environ
    if is_torchruns and int(os.environ["RANK"]) > 0:  # of its processes, the first speaks
        _stepping = False
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115, for good
    progress.stopped.clear()
    called = [name for flag, name in (only or {}).items() if getattr(args, flag) is not None]
    if not called:
        cli.output_folder(args.output_dir)
        if path:  # in a notebook, the title stands above
            print(parser.description.splitlines()[0].removeprefix("# "))
            if _stepping:
                _show_and_wait(path, line=1)
    if "device" in args:
        import torch

        from common.device import pick_device

        args.device, about_device = pick_device(args.device)
        if is_torchruns and args.device.type == "cuda":  # each has a GPU of its own
            gpu = int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count()
            torch.cuda.set_device(gpu)  # what "cuda" means from here on
        torch.manual_seed(args.seed)
        if not called:
            print(f"Device: {about_device}")
    if called:
        getattr(load(path), called[0])(args)
        raise SystemExit(0)
    return args


def section() -> None:
    """Print the number and the heading of the section that this call stands in.

    With --step, print its prose and its code as well, and wait for Enter.
    """
    path = _path_of_caller()
    if path is None:  # a notebook's cell, below its heading
        return
    line = sys._getframe(1).f_lineno
    number, heading, _, _ = find_section(path.read_text(encoding="utf-8"), line)
    print(f"\n{number}. {heading}")
    if _stepping:
        _show_and_wait(path, line)


def stopped() -> bool:
    """Whether Ctrl-C has ended a training in this run."""
    return bool(progress.stopped)


def end() -> None:
    """End the program with Ctrl-C's exit status, where Ctrl-C has ended a training."""
    if stopped():
        print(f"Stopped after {progress.stopped[0]}; what was learned until then is kept.")
        if _path_of_caller():
            raise SystemExit(cli.STOPPED_BY_CTRL_C)


def load(path: Path) -> ModuleType:
    """Import a chapter by its path: no import statement takes a name that begins with a digit."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find_section(source: str, line: int) -> tuple[int, str, str, str]:
    """The section that holds the line (from 1): its number, heading, prose in markdown, and code.

    Number 0 is what stands before the first heading: the chapter's docstring and its imports.
    """
    number, heading, prose, code, kind = 0, "", "", "", ""
    for at, text in enumerate(source.splitlines(), start=1):
        if text.startswith("# ## "):
            if at > line:
                break
            number, heading, prose, code = number + 1, text.removeprefix("# ## "), "", ""
        elif text.startswith("# %%"):
            kind = "hidden" if "hide-input" in text else text
            code += "\n"
        elif "[markdown]" in kind:
            prose += re.sub(r'^# ?|^"""(# .*)?', "", text) + "\n"
        elif kind != "hidden" and text.strip() != "chapter.section()":
            code += text + "\n"
    return number, heading, prose.strip(), code.strip()


def _path_of_caller() -> Path | None:
    """The script whose code has called into this module; None for a cell in a notebook."""
    path = Path(sys._getframe(2).f_code.co_filename)
    return path if path.is_file() else None


def _show_and_wait(path: Path, line: int) -> None:
    """Print a section's prose and code as wide as the terminal is, and wait for Enter."""
    from pylatexenc.latex2text import LatexNodes2Text  # these are of no use without --step
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.syntax import Syntax

    _, _, prose, code = find_section(path.read_text(encoding="utf-8"), line)
    plain = LatexNodes2Text(math_mode="text").latex_to_text
    prose = re.sub(r"\$[^$]+\$", lambda formula: f"`{plain(formula[0])}`", prose)
    console = Console(width=min(100, Console().width))
    style = {"theme": "ansi_dark", "background_color": "default", "word_wrap": True}
    console.print("", Markdown(prose), "", Syntax(code, "python", **style), sep="\n")
    try:
        input("\n[Enter] ")
    except (EOFError, UnicodeDecodeError):  # nobody is there, or typed something odd
        print()
