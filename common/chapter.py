"""How a chapter begins, how its sections are announced, and how others load what it defines.

A chapter is a flat script in jupytext's percent format, a section from each `## heading` to the
next. Chapter 1 starts without torch, so nothing here imports it before a device is asked for.
"""

import argparse
import ast
import bisect
import contextlib
import multiprocessing
import os
import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, ModuleType

from common import cli, language, plotting, threads
from common.language import _


def begin(
    page: str | cli.Parser, only: Mapping[str, str] | None = None, **settings: object
) -> argparse.Namespace:
    """Read the flags, and begin: output folder, title, device, seed. Returns the flags' values.

    `page` is the chapter's docstring and the settings are its flags with their defaults, or it is a
    whole parser. With `only` = {"prompt": "continue_prompt"} a run that was given --prompt calls
    that function of the chapter with the flags, and ends. In a notebook the defaults hold.
    """
    frame = sys._getframe(1)
    path = Path(frame.f_code.co_filename)  # a notebook's cell is in none, or in a debugger's
    is_script = path.is_file() and path.name == Path(sys.argv[0]).name
    if is_script:
        cli.answer_in_words()
    parser = page if isinstance(page, cli.Parser) else cli.parser(page, **settings)
    args = parser.parse_intermixed_args(sys.argv[1:] if is_script else [])
    called = [name for flag, name in (only or {}).items() if getattr(args, flag) not in (None, [])]
    warnings.filterwarnings("ignore", "overflow|invalid value", RuntimeWarning)  # told by finish

    is_worker = frame.f_globals.get("__name__") == "__mp_main__"  # it runs the page once more
    if is_worker:  # the first process speaks
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115, for good
        args.step = False
    if not called and not is_worker:
        cli.working_folder()
        cli.output_folder(args.output_dir)
        if is_script:  # in a notebook, title and headings stand above
            title = language.page(parser.description.splitlines()[0], path.stem)
            print(title.removeprefix("# "))
            sys.stdout = _Headings(getattr(sys.stdout, "stream", sys.stdout), frame, args.step)
        plotting.set_up(args.show)
    if "device" in args:
        import torch

        from common.device import can_share_memory, pick_device

        # A worker fetches batches, and has no use for a GPU.
        args.device, about_device = pick_device("cpu" if is_worker else args.device)
        few_numbers = "epochs" in settings and settings.get("batch_size", 1) < 32
        if few_numbers or (called and "epochs" not in args):  # or a digit, or a token at a time:
            torch.set_num_threads(1)  # a second core would come too late
        elif args.device.type == "cpu":
            threads.choose_while_training()
        torch.manual_seed(args.seed)
        if not called:
            print(_("Device: {device}").format(device=about_device))
        if getattr(args, "workers", 0) and not is_worker and not can_share_memory():
            args.workers = 0
    usual = multiprocessing.get_all_start_methods()[0]
    if (multiprocessing.get_start_method(allow_none=True) or usual) != "fork":
        guard = r"""^if __name__ == ["']__main__["']:"""
        a_pipe = "csv" in args and args.csv.exists() and not args.csv.is_file()
        if (not is_script or a_pipe) and "workers" in args:  # a worker runs the page again:
            args.workers = 0  # it can't run a notebook, nor read a pipe once more,
        elif is_script and not re.search(guard, path.read_text(encoding="utf-8-sig"), re.M):
            vars(sys.modules["__main__"]).pop("__file__", None)  # and without a guard it should not
    if called:
        getattr(load(path), called[0])(args)
        raise SystemExit(0)
    return args


def load(path: Path) -> ModuleType:
    """What a chapter defines: imports, functions, classes, UPPER_CASE constants. No more is run."""

    def defines(node: ast.stmt) -> bool:
        if isinstance(node, ast.Assign):
            return all(isinstance(one, ast.Name) and one.id.isupper() for one in node.targets)
        return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)

    tree = ast.parse(path.read_text(encoding="utf-8-sig"), path)
    module = ModuleType(path.stem, ast.get_docstring(tree))
    module.__file__ = str(path)
    for node in filter(defines, tree.body):
        is_constant = isinstance(node, ast.Assign)  # if it isn't made of what the page computes
        with contextlib.suppress(NameError) if is_constant else contextlib.nullcontext():
            exec(compile(ast.Module([node], []), path, "exec"), vars(module))
    return module


def find_section(source: str, line: int) -> tuple[int, str, str, str]:
    """Number, heading, prose and code of the section with this line; 0: before the first one."""
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
    """stdout, with a section's heading above its first output; `step`: prose and code as well."""

    def __init__(self, stream, page: FrameType, step: bool):
        self.stream, self.code, self.step = stream, page.f_code, step
        path = Path(page.f_code.co_filename)
        self.name, self.source = path.stem, path.read_text(encoding="utf-8-sig")
        found = re.finditer(r"^# ## .*", self.source, flags=re.MULTILINE)
        self.starts = [self.source.count("\n", 0, heading.start()) + 1 for heading in found]
        self.number, self.line = 0, ""
        if step:
            self.show_and_wait(*find_section(self.source, 1)[2:])
            if sys.gettrace() is None:  # a debugger needs that for itself
                page.f_trace = self.trace
                sys.settrace(lambda *_: None)

    def __getattr__(self, name: str):
        return getattr(self.stream, name)

    def trace(self, frame: FrameType, event: str, arg: object):
        """What Python calls before each line of the page runs, and at its end."""
        self.stream.write(self.new_headings(frame.f_lineno))
        if event == "return":
            sys.settrace(None)
        return self.trace

    def write(self, text: str) -> int:
        """Print below the section's heading; whole lines only, where a bar must make room."""
        frame = sys._getframe(1)
        while frame and frame.f_code is not self.code:
            frame = frame.f_back
        self.line += (self.new_headings(frame.f_lineno) if frame else "") + text
        bars = getattr(getattr(sys.modules.get("tqdm"), "tqdm", None), "_instances", None)
        if not bars:
            self.write_line()
        elif self.line.endswith("\n"):
            with sys.modules["tqdm"].tqdm.external_write_mode(self):
                self.write_line()
        return len(text)

    def write_line(self) -> None:
        line, self.line = self.line, ""  # at once: Ctrl-C must not let it be written twice
        self.stream.write(line)

    def flush(self) -> None:
        """Write what has been held back, too; Python calls this at its end."""
        self.write_line()
        self.stream.flush()

    def new_headings(self, line: int) -> str:
        """The headings up to that of the section that holds the line, each only once."""
        new = ""
        while self.number < bisect.bisect_right(self.starts, line):
            self.number, heading = find_section(self.source, self.starts[self.number])[:2]
            heading = language.page(f"## {heading}", self.name).removeprefix("## ")
            new += f"\n{self.number}. {heading}\n"
        if new and self.step:
            self.stream.write(new)
            self.show_and_wait(*find_section(self.source, line)[2:])
            return ""
        return new

    @staticmethod
    def drawing(found: re.Match) -> str:
        """What a terminal can't show: the name of a drawing, and where it is."""
        path = cli.display_path(cli.ROOT / f"{found[2]}{found[3]}")
        return _("Drawing: {name} ({path})").format(name=found[1], path=path)

    def show_and_wait(self, prose: str, code: str) -> None:
        """Print a section's prose and code as wide as the terminal is, and wait for Enter."""
        from pylatexenc.latex2text import LatexNodes2Text  # these are of no use without --step
        from rich.console import Console
        from rich.markdown import Markdown
        from rich.syntax import Syntax

        plain = LatexNodes2Text(math_mode="text").latex_to_text
        console = Console(file=self.stream)
        console.width = min(100, console.width)
        prose = language.page(prose, self.name, console.width, end="  ")  # the line ends here
        prose = language.DRAWING.sub(self.drawing, prose)
        prose = re.sub(r"\$[^$]+\$", lambda formula: f"`{plain(formula[0])}`", prose)
        style = {"theme": "ansi_dark", "background_color": "default", "word_wrap": True}
        code = Syntax(language.code(code, self.name), "python", **style)
        console.print("", Markdown(prose), "", code, sep="\n")
        try:
            input("\n[Enter] ")
        except (EOFError, UnicodeDecodeError):  # nobody is there, or typed something odd
            self.stream.write("\n")
