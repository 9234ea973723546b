"""Practice: write a chapter yourself, and be told at once whether it works.

python practice.py                              what is written, what passes
python practice.py start 03                     practice/03_nn_linear.py, its functions empty
python practice.py check 03                     run the chapter's tests on your file
python practice.py check 03 --watch             again at every save, until all passes
python practice.py hint 03 LinearModel.forward  the idea; asked again, more; then the lines
"""

import argparse
import ast
import contextlib
import json
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

from common import cli
from common.cli import ROOT, UserError

PRACTICE = ROOT / "practice"
HINTS = ROOT / "hints.md"
TIME_LIMIT = 60  # seconds for a whole check

# What every check imports: with --watch once, in a process that forks for each check.
IMPORTED = ["pytest", "torch", "torch._dynamo", "torchvision", "matplotlib.pyplot", "PIL.Image"]

# practice/common.py: lets the scripts there import the project's common/ and earlier chapters.
COMMON = '''"""Finds the project's common/ and its chapters for the scripts in this folder."""

import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
__path__ = [str(root / "common")]
sys.path.insert(0, str(root))
'''


# A chapter and its functions


@dataclass(frozen=True)
class Function:
    """A function to write: its body is lines `first` to `last` of the file, counted from 1."""

    name: str  # with its class: LinearModel.forward
    first: int
    last: int

    def lines(self, source: str) -> list[str]:
        """The body's lines in the source that it was found in."""
        return source.splitlines()[self.first - 1 : self.last]

    def is_written(self, source: str) -> bool:
        """Whether it is more than the NotImplementedError that start has left."""
        return not any("raise NotImplementedError" in line for line in self.lines(source))


def find_functions(source: str) -> list[Function]:
    """Each function and method, in the file's order; its docstring is no part of its body."""
    lines = source.splitlines()

    def walk(nodes, prefix=""):
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                yield from walk(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef):
                kept = node.body[0].lineno - 1  # the last line to keep: signature or docstring
                if ast.get_docstring(node) is not None:
                    kept = node.body[0].end_lineno
                while not lines[kept - 1].strip() or lines[kept - 1].lstrip().startswith("#"):
                    kept -= 1  # comments between them and the code are part of the solution
                yield Function(prefix + node.name, kept + 1, node.end_lineno)

    return list(walk(ast.parse(source).body))


def with_bodies(source: str, bodies: dict[str, str]) -> str:
    """The source with other bodies for these functions, which needn't be indented."""
    lines = source.splitlines()
    for function in reversed(find_functions(source)):
        if function.name in bodies:
            first_code = next(line for line in lines[function.first - 1 :] if line.strip())
            indent = first_code[: len(first_code) - len(first_code.lstrip())]
            body = textwrap.indent(bodies[function.name].rstrip(), indent)
            lines[function.first - 1 : function.last] = [body]
    return "\n".join(lines) + "\n"


def emptied(source: str, names: set[str] | None = None) -> str:
    """The source with these functions emptied (or all): each raises, saying its name."""
    if names is None:
        names = {function.name for function in find_functions(source)}
    empty = {name: f'raise NotImplementedError("write {name}")' for name in names}
    return with_bodies(source, empty)


def find_chapter(name: str) -> Path:
    """The chapter that "3", "03", "03_nn_linear" or its file name means. Raises UserError."""
    chapters = {path.stem: path for path in sorted(ROOT.glob("[0-9][0-9]_*.py"))}
    wanted = Path(name).name.removesuffix(".py")
    number = f"{wanted:0>2}_"
    for stem, path in chapters.items():
        if wanted == stem or stem.startswith(number):
            return path
    raise UserError(f"there is no chapter {name!r}. Choose one of: {', '.join(chapters)}.")


def readers_file(chapter: Path) -> Path:
    """Where the reader's version of the chapter is."""
    return PRACTICE / chapter.name


def read_practice(chapter: Path) -> str:
    """The reader's version. Raises UserError if it isn't there, or isn't Python."""
    path = readers_file(chapter)
    try:
        source = path.read_text(encoding="utf-8-sig")
    except OSError:
        number = chapter.name[:2]
        raise UserError(
            f"{cli.display_path(path)} is not there yet: python practice.py start {number}"
        ) from None
    except UnicodeDecodeError:
        raise UserError(
            f"{cli.display_path(path)} is not in UTF-8, as Python expects. Save it in UTF-8."
        ) from None
    try:
        compile(source, str(path), "exec")
    except SyntaxError as error:
        line = (error.text or "").rstrip()
        raise UserError(
            f"{cli.display_path(path)}, line {error.lineno}: {error.msg}: {line.strip()}"
        ) from None
    return source


# Start


def start(chapter: Path, force: bool) -> None:
    """Write the chapter with its functions emptied into practice/; never over the reader's work.

    With `force` the reader's file is kept beside the new one, as .bak, .bak2, …
    """
    exercise = emptied(chapter.read_text(encoding="utf-8"))
    path = readers_file(chapter)
    shown = cli.display_path(path)
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") != exercise:
        if not force:
            raise UserError(
                f"{shown} holds work of yours, and stays as it is. "
                "To begin again: --force (your file is kept as a backup)."
            )
        backup = path.with_suffix(".bak")
        for number in range(2, 1000):
            if not backup.exists():
                break
            backup = path.with_suffix(f".bak{number}")
        path.rename(backup)
        print(f"Your file is now {cli.display_path(backup)}.")
    cli.output_folder(PRACTICE, "Copy the project to a folder of your own.")
    (PRACTICE / "common.py").write_text(COMMON, encoding="utf-8")
    path.write_text(exercise, encoding="utf-8")
    number = chapter.name[:2]
    hints_asked(number).unlink(missing_ok=True)
    count = len(find_functions(exercise))
    print(f"{shown}: {count} functions to write. Open it, write the first, then:")
    print(f"   python practice.py check {number}")
    print(f"and where you are stuck: python practice.py hint {number} NAME")


# Check


def examine(
    chapter: Path,
    limit: float,
    first_only: bool,
    warm: bool = False,
    folder: Path | None = None,
) -> tuple[dict, str]:
    """Run the chapter's tests on the reader's file: the examiner's report and pytest's output.

    The report is a dict: see tests/examiner.py. After `limit` seconds the run is ended. With `warm`
    the first call takes a little longer and the next ones are faster, where processes can fork.
    The file is in `folder`, which is practice/ unless a test says otherwise.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        report, said = Path(temporary) / "report.json", Path(temporary) / "said.txt"
        # Without a cache in the project, and without time spent on collecting garbage at the end.
        command = ["-q", "--color=no", "-p", "no:cacheprovider", "-p", "no:unraisableexception"]
        command += [f"--examine={report}", f"--examine-limit={limit}"]
        command += [f"--chapters={folder or PRACTICE}"]
        command += [f"--basetemp={Path(temporary) / 'tests'}"]
        command += ["-x"] if first_only else []
        command += [str(ROOT / "tests" / f"test_{chapter.stem}.py")]
        process = context(warm).Process(target=run_pytest, args=(command, said))
        process.start()
        try:
            process.join()
        finally:
            end_with_all_it_started(process)
        output = said.read_text(encoding="utf-8") if said.exists() else ""
        content = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
        if content.get("problem") is None and process.exitcode != 0:
            raise RuntimeError(f"pytest ended without a verdict:\n{output}")
        return content, output


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


def run_pytest(command: list[str], said: Path) -> None:
    """pytest in this process, which was started for it; what it says goes to a file."""
    if hasattr(os, "setsid"):
        os.setsid()  # a group of its own, to be ended with all that it has started
    sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115, for good
    with said.open("w", encoding="utf-8", errors="replace") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
            stream.reconfigure(encoding="utf-8", errors="replace")
        os.chdir(ROOT)
        multiprocessing.set_start_method(None, force=True)  # a loader's workers start as usual
        import pytest

        raise SystemExit(pytest.main(command))


def end_with_all_it_started(process: multiprocessing.Process) -> None:
    """End a process and, where the system has process groups, the endless loops it has left."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def check(
    chapter: Path, limit: float, verbose: bool = False, show: bool = False, warm: bool = False
) -> bool:
    """Say whether the reader's chapter works, and if not, what is wrong first."""
    source = read_practice(chapter)
    functions = find_functions(source)
    missing = [function.name for function in functions if not function.is_written(source)]
    if len(missing) == len(functions):
        print(f"Nothing is written yet. Begin with {missing[0]}.")
        return False
    report, output = examine(chapter, limit, first_only=True, warm=warm)
    if verbose:
        print(output)
    problem = report["problem"]
    if problem is None:
        congratulate(chapter, source, show)
        return True
    print(explain(problem, missing))
    number = chapter.name[:2]
    if problem["function"]:
        print(f"\nStuck? python practice.py hint {number} {problem['function']}")
    return False


def explain(problem: dict, missing: list[str]) -> str:
    """A problem of the examiner's report in the reader's terms."""
    name = problem["function"] or "The chapter"
    if problem["kind"] == "missing":
        return f"{name} is not written yet ({len(missing)} to go)."
    if problem["kind"] == "endless":
        return explain_time(problem)
    text = [f"{name} is not right yet."]
    for key in ["input", "got", "expected"]:
        if problem.get(key):
            text.append(f"   {key + ':':10}" + problem[key].replace("\n", "\n" + 13 * " "))
    if problem.get("word"):
        text.append(f"   {problem['word'][0].upper()}{problem['word'][1:]}")
    if problem.get("error"):
        text.append(textwrap.indent(problem["error"], "   "))
    if problem.get("test"):
        text.append(f"   (found by: {problem['test']})")
    return "\n".join(text)


def explain_time(problem: dict) -> str:
    """What was running at the time limit, and for how long: not every slow one is endless."""
    limit, seconds, function = problem["limit"], problem["seconds"], problem["function"]
    where = f"in {function}" if function else "between two of your functions"
    text = f"Still running after {limit:.0f} s, {where}"
    if seconds > limit / 2:
        text += f", which began {seconds:.0f} s before.\n   Is there an endless loop?"
    else:
        text += "."
    return f"{text}\n   On a slow or busy computer, give it more time: --time-limit {2 * limit:.0f}"


def congratulate(chapter: Path, source: str, show: bool) -> None:
    """All passes: the figure that the reader's code drew in the test's run, and both lengths."""
    print(f"All of {cli.display_path(readers_file(chapter))} works.")
    figure = PRACTICE / "outputs" / f"{chapter.stem}.png"
    print(f"Your code drew {cli.display_path(figure)}.")
    theirs = chapter.read_text(encoding="utf-8")
    yours = sum(len(function.lines(source)) for function in find_functions(source))
    chapters = sum(len(function.lines(theirs)) for function in find_functions(theirs))
    print(f"Lines in the functions: yours {yours}, the chapter's {chapters}.")
    if show:
        from PIL import Image

        Image.open(figure).show()


def watch(chapter: Path, *options) -> None:
    """Check, and check again whenever the file is saved, until all passes."""
    path = readers_file(chapter)
    while True:
        saved = path.stat().st_mtime_ns if path.exists() else None
        print(f"--- {time.strftime('%H:%M:%S')} ---")
        try:
            if check(chapter, *options, warm=True):
                return
        except UserError as error:
            print(error)
        print("Waiting for the next save; Ctrl-C ends.", flush=True)
        while path.exists() and path.stat().st_mtime_ns == saved:
            time.sleep(0.1)


# Hint, and the list


def hint(chapter: Path, name: str, whole: bool = False) -> None:
    """Print the next grade of the hint: the idea, then the functions to use, then the lines."""
    source = chapter.read_text(encoding="utf-8")
    functions = {function.name: function for function in find_functions(source)}
    meant = [one for one in functions if one.endswith(f".{name}")]
    if name not in functions and len(meant) == 1:  # forward, if there is one only
        name = meant[0]
    if name not in functions:
        raise UserError(f"{chapter.name} has no function {name!r}. It has: {', '.join(functions)}.")
    key = f"{chapter.name[:2]} {name}"
    grades = [*read_hints()[key], textwrap.dedent("\n".join(functions[name].lines(source)))]
    if whole:
        print("\n\n".join(grades))
        return
    grade = count_hint(key)
    print(grades[min(grade, 2)])
    if grade < 2:
        more = ("the functions to use", "the chapter's lines")[grade]
        print(f"\n(Ask again for {more}; --all shows all.)")


def read_hints() -> dict[str, list[str]]:
    """For "07 softmax" the idea, and the functions to use: a section's paragraphs in hints.md."""
    _, *sections = re.split(r"^## (.*)\n", HINTS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    texts = [section.strip().split("\n\n") for section in sections[1::2]]
    return dict(zip(sections[::2], texts, strict=True))


def hints_asked(number: str) -> Path:
    """The file that counts a chapter's hints, beside the reader's chapters."""
    return PRACTICE / f"hints-{number}.json"


def count_hint(key: str) -> int:
    """How often this hint was asked for since start."""
    path = hints_asked(key[:2])
    try:
        asked = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        asked = {}
    before = asked.get(key, 0)
    with contextlib.suppress(OSError):
        PRACTICE.mkdir(exist_ok=True)
        path.write_text(json.dumps(asked | {key: before + 1}, indent=1), encoding="utf-8")
    return before


def overview(limit: float) -> None:
    """A line for each chapter: what the reader has written, and what of it passes."""
    for chapter in sorted(ROOT.glob("[0-9][0-9]_*.py")):
        total = len(find_functions(chapter.read_text(encoding="utf-8")))
        try:
            source = read_practice(chapter)
        except UserError as error:
            started = readers_file(chapter).exists()
            print(f"{chapter.stem:20} {error if started else f'not started, {total} functions'}")
            continue
        written = [one.name for one in find_functions(source) if one.is_written(source)]
        passing = set()
        if written:
            report, _ = examine(chapter, limit, first_only=False, warm=True)
            passing = set(report["passing"]) & set(written)
        count = f"{len(passing)} of {total} functions pass, {len(written)} are written"
        print(f"{chapter.stem:20} {count}", flush=True)
    print("\npython practice.py start 03 begins a chapter, check 03 checks it, --help says more.")


# The command line


def main(argv: list[str]):
    """Returns whether a check passed; None for the other commands."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = cli.Parser(description=__doc__, formatter_class=formatter)
    commands = parser.add_subparsers(dest="command", metavar="start | check | hint")
    for command in ("start", "check", "hint"):
        commands.add_parser(command).add_argument("chapter", help="3, 03 or its file name")
    commands.choices["start"].add_argument(
        "--force", action="store_true", help="begin again; your file is kept as a backup"
    )
    commands.choices["check"].add_argument(
        "--watch", action="store_true", help="check at every save"
    )
    commands.choices["check"].add_argument(
        "-v", "--verbose", action="store_true", help="show pytest's output, too"
    )
    commands.choices["check"].add_argument(
        "--show", action="store_true", help="open the figure that your code drew, when all passes"
    )
    commands.choices["check"].add_argument(
        "--time-limit", type=cli.positive_float, default=TIME_LIMIT, help="seconds for all tests"
    )
    commands.choices["hint"].add_argument("name", help="a function, such as LinearModel.forward")
    commands.choices["hint"].add_argument(
        "--all", action="store_true", help="the whole hint at once, lines included"
    )
    args = parser.parse_args(argv)

    if args.command is None:
        return overview(TIME_LIMIT)
    chapter = find_chapter(args.chapter)
    if args.command == "start":
        return start(chapter, args.force)
    if args.command == "hint":
        return hint(chapter, args.name, args.all)
    options = args.time_limit, args.verbose, args.show
    if args.watch:
        return watch(chapter, *options)
    if not check(chapter, *options):
        raise SystemExit(1)
    return True


if __name__ == "__main__":
    cli.answer_in_words()
    main(sys.argv[1:])
