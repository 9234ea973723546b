"""How a chapter begins, how its sections are announced, and how others load what it defines.

A chapter is a flat script in jupytext's percent format: prose in `# %% [markdown]` cells, code in
`# %%` cells, a section from each `## heading` to the next. Chapter 1 starts without torch, so
nothing here imports it before a chapter has asked for a device.
"""

import argparse
import ast
import contextlib
import multiprocessing
import os
import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, ModuleType

from common import cli


def begin(
    page: str | cli.Parser, only: Mapping[str, str] | None = None, **settings: object
) -> argparse.Namespace:
    """Read the flags, and begin: output folder, title, device, seed. Returns the flags' values.

    `page` is the chapter's docstring and the settings are its flags with their defaults, or it is a
    whole parser. `device` is then a torch.device. With `only` = {"prompt": "continue_prompt"} a run
    that was given --prompt calls the chapter's function continue_prompt with the flags, and ends.
    In a notebook sys.argv belongs to Jupyter, so the defaults hold.
    """
    frame = sys._getframe(1)
    path = Path(frame.f_code.co_filename)  # a notebook's cell is in no file
    is_script = path.is_file() and path.name == Path(sys.argv[0]).name
    if is_script:
        cli.answer_in_words()
    parser = page if isinstance(page, cli.Parser) else cli.parser(page, **settings)
    args = parser.parse_args(sys.argv[1:] if is_script else [])
    called = [name for flag, name in (only or {}).items() if getattr(args, flag) is not None]
    warnings.filterwarnings("ignore", "overflow|invalid value", RuntimeWarning)  # told by finish

    is_worker = frame.f_globals.get("__name__") == "__mp_main__"  # it runs the page once more
    is_torchruns = "TORCHELASTIC_RUN_ID" in os.environ
    if is_worker or (is_torchruns and int(os.environ["RANK"]) > 0):  # the first process speaks
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115, for good
        args.step = False
    if not called and not is_worker:
        cli.output_folder(args.output_dir)
        if path.is_file():  # in a notebook, title and headings stand above
            print(parser.description.splitlines()[0].removeprefix("# "))
            sys.stdout = _Headings(sys.stdout, frame, args.step)
    if "device" in args:
        import torch

        from common.device import pick_device

        # A worker fetches batches, and has no use for a GPU.
        args.device, about_device = pick_device("cpu" if is_worker else args.device)
        if is_torchruns and args.device.type == "cuda":  # each has a GPU of its own
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        if settings and settings.get("batch_size", 1) < 32:  # a second core would come too late
            torch.set_num_threads(1)
        torch.manual_seed(args.seed)
        if not called:
            print(f"Device: {about_device}")
    if multiprocessing.get_start_method() != "fork":  # a worker runs the page once more
        if not path.is_file() and "workers" in args:  # it can't run a notebook
            args.workers = 0
        elif is_script and 'if __name__ == "__main__":' not in path.read_text(encoding="utf-8"):
            vars(sys.modules["__main__"]).pop("__file__", None)  # nor should it, without a guard
    if called:
        getattr(load(path), called[0])(args)
        raise SystemExit(0)
    return args


def load(path: Path) -> ModuleType:
    """What a chapter defines: its imports, functions, classes and UPPER_CASE constants.

    The rest of the page does not run. Raises what the definitions raise.
    """

    def defines(node: ast.stmt) -> bool:
        if isinstance(node, ast.Assign):
            return all(isinstance(one, ast.Name) and one.id.isupper() for one in node.targets)
        return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)

    tree = ast.parse(path.read_text(encoding="utf-8-sig"), path)
    module = ModuleType(path.stem, ast.get_docstring(tree))
    module.__file__ = str(path)
    tree.body = [node for node in tree.body if defines(node)]
    exec(compile(tree, path, "exec"), vars(module))
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
        elif kind != "hidden":
            code += text + "\n"
    return number, heading, prose.strip(), code.strip()


class _Headings:
    """stdout, with a section's number and heading above the first that its lines print.

    With `step`, a section's prose and code are shown before it runs, and Enter is waited for.
    """

    def __init__(self, stream, page: FrameType, step: bool):
        self.stream, self.code, self.step = stream, page.f_code, step
        self.source = Path(page.f_code.co_filename).read_text(encoding="utf-8-sig")
        self.headings = re.findall(r"^# ## (.*)", self.source, flags=re.MULTILINE)
        self.number, self.line = 0, ""
        if step:
            self.show_and_wait(*find_section(self.source, 1)[2:])
            if sys.gettrace() is None:  # a debugger needs that for itself
                page.f_trace = self.trace
                sys.settrace(lambda *_: None)

    def __getattr__(self, name: str):
        return getattr(self.stream, name)

    def trace(self, frame: FrameType, event: str, arg: object):
        """What Python calls before each line of the page runs."""
        self.stream.write(self.new_headings(frame.f_lineno))
        return self.trace

    def write(self, text: str) -> int:
        """Print below the section's heading; whole lines only, where a bar must make room."""
        frame = sys._getframe(1)
        while frame and frame.f_code is not self.code:
            frame = frame.f_back
        self.line += (self.new_headings(frame.f_lineno) if frame else "") + text
        tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
        bars = getattr(tqdm, "_instances", None)
        if not bars or self.line.endswith("\n"):
            with tqdm.external_write_mode(self) if bars else contextlib.nullcontext():
                self.stream.write(self.line)
            self.line = ""
        return len(text)

    def new_headings(self, line: int) -> str:
        """The headings up to that of the section that holds the line, each only once."""
        number, _, prose, code = find_section(self.source, line)
        numbered = [f"\n{n}. {heading}\n" for n, heading in enumerate(self.headings, start=1)]
        new, self.number = numbered[self.number : number], max(number, self.number)
        if new and self.step:
            self.stream.write("".join(new))
            self.show_and_wait(prose, code)
            return ""
        return "".join(new)

    def show_and_wait(self, prose: str, code: str) -> None:
        """Print a section's prose and code as wide as the terminal is, and wait for Enter."""
        from pylatexenc.latex2text import LatexNodes2Text  # these are of no use without --step
        from rich.console import Console
        from rich.markdown import Markdown
        from rich.syntax import Syntax

        plain = LatexNodes2Text(math_mode="text").latex_to_text
        prose = re.sub(r"\$[^$]+\$", lambda formula: f"`{plain(formula[0])}`", prose)
        console = Console(file=self.stream)
        console.width = min(100, console.width)
        style = {"theme": "ansi_dark", "background_color": "default", "word_wrap": True}
        console.print("", Markdown(prose), "", Syntax(code, "python", **style), sep="\n")
        try:
            input("\n[Enter] ")
        except (EOFError, UnicodeDecodeError):  # nobody is there, or typed something odd
            self.stream.write("\n")
