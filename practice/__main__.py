"""Practice: write a chapter yourself, and be told at once whether it works.

python -m practice                     how far you are
python -m practice start 3             my/03_nn_linear.py, to be written: all that one types
python -m practice start 3 --functions only the functions are to be written
python -m practice start 3 --blank     title and headings only; any program for the task will do
python -m practice check 3             what is right, and what is wrong first
python -m practice check 3 --watch     again at every save, until all is right
python -m practice hint 3 criterion    the idea; asked again, more; then the lines
"""

import argparse
import ast
import contextlib
import json
import re
import sys
import textwrap
import time
from pathlib import Path

from common import cli
from common.cli import ROOT, UserError
from common.language import _
from practice import pages
from practice.checks import verdict
from practice.pages import find_chapter, find_functions, lines_of, read_source, readers_file

HINTS = Path(__file__).parent / "hints.md"
TIME_LIMIT = 60  # seconds for a whole check
JUDGED = ["01", "02", "03", "04", "05", "06", "07", "10"]  # chapters of which a file can be blank

# my/common.py: lets the scripts there import the project's common/ and earlier chapters.
COMMON = '''"""Finds the project's common/ and its chapters for the scripts in this folder."""

import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
__path__ = [str(root / "common")]
sys.path.insert(0, str(root))
'''


# Start


def start(chapter: Path, grade: str, force: bool) -> None:
    """Write what the reader begins with into my/; never over work of theirs.

    With `force` the reader's file is kept beside the new one, as .bak, .bak2, …
    """
    source, number = chapter.read_text(encoding="utf-8"), int(chapter.name[:2])
    if grade == "blank" and chapter.name[:2] not in JUDGED:
        raise UserError(
            "a blank file can be started for chapters 1 to 7 and 10. Start the page: "
            "python -m practice start {number}",
            number=number,
        )
    begun = {
        "functions": lambda: pages.emptied(pages.translated(source, chapter.stem)),
        "page": lambda: pages.gapped(pages.translated(source, chapter.stem)),
        "blank": lambda: pages.blank(source, chapter.stem),
    }
    path = readers_file(chapter)
    shown = cli.display_path(path)
    old = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    if old.strip() and old not in [make() for make in begun.values()]:
        if not force:
            raise UserError(
                "{path} holds work of yours, and stays as it is. "
                "To begin again: --force (your file is kept as a backup).",
                path=shown,
            )
        backup = path.with_suffix(".bak")
        for count in range(2, 1000):
            if not backup.exists():
                break
            backup = path.with_suffix(f".bak{count}")
        path.rename(backup)
        print(_("Your file is now {path}.").format(path=cli.display_path(backup)))
    cli.output_folder(pages.MY, _("Copy the project to a folder of your own."))
    (pages.MY / "common.py").write_text(COMMON, encoding="utf-8")
    path.write_text(begun[grade](), encoding="utf-8")
    hints_asked(chapter).unlink(missing_ok=True)
    functions, gaps = len(find_functions(source)), len(pages.find_gaps(source))
    said = {
        "functions": _("{path}: {functions} functions to write. Open it, write the first, then:"),
        "page": _(
            "{path}: {gaps} gaps (# write: …) and {functions} functions to write. "
            "Open it, write the first, then:"
        ),
        "blank": _("{path}: a title and headings. Write a program for the task, then:"),
    }
    print(said[grade].format(path=shown, functions=functions, gaps=gaps))
    if grade == "blank":
        prose = pages.translated(source, chapter.stem).split('"""')[1]
        print(textwrap.indent(prose.split("\n\n")[1], "   "))
    print(f"   python -m practice check {number}")
    print(_("and where you are stuck:"), f"python -m practice hint {number} NAME")


# Check


def check(chapter: Path, limit: float, verbose: bool, show: bool, warm: bool = False) -> bool:
    """Say whether the reader's chapter works, and if not, what is wrong first."""
    if not ast.parse(read_source(chapter)).body:
        print(_("Nothing is written yet."))
        return False
    answer = verdict(chapter, limit, warm)
    if verbose:
        print(answer["said"])
    if answer.get("breakpoints"):
        shown = cli.display_path(readers_file(chapter))
        print(
            _("A check passes breakpoint() over. To stop there: python {path}").format(path=shown)
        )
    problem = answer["problem"]
    if problem is None:
        congratulate(chapter, show)
        return True
    print(explain(problem))
    name = problem.get("function") or problem.get("name") or problem.get("section")
    if name:
        print(f"\n{_('Stuck?')} python -m practice hint {int(chapter.name[:2])} {name}")
    return False


def explain(problem: dict) -> str:
    """A problem in the reader's terms: where, what came, what was expected, and a word on it."""
    if "endless" in problem:
        return _(
            "Still running after {limit:.0f} s{where}.\n   Is there an endless loop?\n"
            "   On a slow or busy computer, give it more time: --time-limit {more:.0f}"
        ).format(limit=problem["limit"], where=problem["endless"], more=2 * problem["limit"])
    text = []
    if problem.get("heading"):
        text.append(f"{problem['section']}. {problem['heading']}")
    if problem.get("missing"):
        name = problem["function"] if problem.get("function") else problem["missing"]
        text.append(_("Not written yet: {name}").format(name=name))
        return "\n".join(text)
    name = problem.get("function") or problem.get("name")
    text.append(_("{name} is not right yet.").format(name=name) if name else _("Not right yet."))
    for key, label in [("input", _("input:")), ("got", _("got:")), ("expected", _("expected:"))]:
        if problem.get(key):
            value = problem[key].replace("\n", "\n" + 13 * " ")
            text.append(f"   {label:{10 - len(label) * (not label.isascii())}}{value}")
    for key in ["where", "error"]:
        if problem.get(key):
            text.append(textwrap.indent(problem[key], "   "))
    if problem.get("word"):
        # A sentence may begin with a name, such as backward().
        text.append(f"   {re.sub('^[a-z](?=[a-z]* )', lambda c: c[0].upper(), problem['word'])}")
    if problem.get("test"):
        text.append(f"   ({_('found by')}: {problem['test']})")
    if (problem.get("printed") or "").strip():
        last = lines_of(problem["printed"].rstrip())[-5:]
        text.append(_("Your code printed:") + textwrap.indent("\n" + "\n".join(last), "   "))
    return "\n".join(text)


def congratulate(chapter: Path, show: bool) -> None:
    """All is right: where the figure is, and both lengths."""
    path = readers_file(chapter)
    print(_("All of {path} works.").format(path=cli.display_path(path)))
    figure = path.parent / "outputs" / f"{chapter.stem}.png"
    is_page = not pages.is_blank_grade(path.read_text(encoding="utf-8-sig"))
    if is_page and figure.exists():
        print(_("Your code drew {path}.").format(path=cli.display_path(figure)))
    yours, ours = (_code_lines(one.read_text(encoding="utf-8-sig")) for one in (path, chapter))
    print(_("Lines of code: yours {yours}, the chapter's {ours}.").format(yours=yours, ours=ours))
    if show and figure.exists():
        from PIL import Image

        Image.open(figure).show()


def _code_lines(source: str) -> int:
    """Lines that are neither empty nor comments."""
    return sum(bool(line.strip()) and line.strip()[0] != "#" for line in lines_of(source))


def watch(chapter: Path, *options) -> None:
    """Check, and check again whenever the file is saved, until all is right."""
    path, checked, said_missing = readers_file(chapter), None, False
    while True:
        with contextlib.suppress(OSError):
            saved = path.stat()
            if saved.st_size and saved.st_mtime_ns != checked:  # an editor may have emptied it
                checked, said_missing = saved.st_mtime_ns, False
                print(f"--- {time.strftime('%H:%M:%S')} ---")
                try:
                    if check(chapter, *options, warm=True):
                        return
                except UserError as error:
                    print(error)
                print(_("Waiting for the next save; Ctrl-C ends."), flush=True)
        if not said_missing and not path.exists():
            said_missing = True
            shown = cli.display_path(path)
            print(_("{path} is not there. Waiting for it; Ctrl-C ends.").format(path=shown))
        time.sleep(0.1)


# Hint, and the list


def hint(chapter: Path, name: str, whole: bool = False) -> None:
    """Print the next grade of the hint: the idea, then the functions to use, then the lines.

    `name` is a function's, a name that a gap is to make, or a section's number.
    """
    key, grades = hints_for(chapter, name)
    if whole:
        print("\n\n".join(grades))
        return
    grade = count_hint(chapter, key)
    print(grades[min(grade, len(grades) - 1)])
    if grade < len(grades) - 1:
        print(
            "\n" + _("(Ask again for more, and at last for the chapter's lines; --all shows all.)")
        )


def hints_for(chapter: Path, name: str) -> tuple[str, list[str]]:
    """The full name of what is asked for, and its hints, from the idea to the chapter's lines."""
    source = chapter.read_text(encoding="utf-8")
    functions = {function.name: function for function in find_functions(source)}
    meant = [one for one in functions if one.endswith(f".{name}")]
    if name not in functions and len(meant) == 1:  # forward, if there is one only
        name = meant[0]
    name = next((one for one in functions if one.startswith(f"{name}.")), name)  # a class
    if name in functions:
        lines = textwrap.dedent("\n".join(functions[name].lines(source)))
        return name, [*map(_, read_hints()[f"{chapter.name[:2]} {name}"]), lines]
    gaps = pages.find_gaps(source)
    sections = {gap: _section(source, gap) for gap in gaps}
    asked = [gap for gap in gaps if name in (*gap.names, *(one[:-3] for one in gap.names))]
    asked = asked or [gap for gap in gaps if str(sections[gap]) == name]
    if not asked:
        known = [*functions, *dict.fromkeys(one for gap in gaps for one in gap.names)]
        raise UserError(
            "{chapter} has nothing to write that is called {name!r}. It has: {names}.",
            chapter=chapter.name, name=name, names=", ".join(known),
        )  # fmt: skip
    code = [textwrap.dedent("\n".join(lines_of(source)[one.first - 1 : one.last])) for one in asked]
    used = pages.called("\n".join(code))
    idea = _("It uses: {names}. The text of the section says what for.").format(
        names=", ".join(used)
    )
    return name, [*([idea] if used else []), "\n\n".join(code)]


def _section(source: str, gap: pages.Gap) -> int:
    return max(cell.section for cell in pages.find_cells(source) if cell.first <= gap.first)


def read_hints() -> dict[str, list[str]]:
    """For "07 softmax" the idea, and the functions to use: a section's two points in hints.md."""
    __, *sections = re.split(r"^## (.*)\n", HINTS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    texts = [re.findall(r"^- (.*)", section, flags=re.MULTILINE) for section in sections[1::2]]
    return dict(zip(sections[::2], texts, strict=True))


def hints_asked(chapter: Path) -> Path:
    """The file that counts a chapter's hints, beside the reader's chapters."""
    return pages.MY / f"hints-{chapter.name[:2]}.json"


def count_hint(chapter: Path, key: str) -> int:
    """How often this hint was asked for since start."""
    path = hints_asked(chapter)
    try:
        asked = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        asked = {}
    before = asked.get(key, 0)
    with contextlib.suppress(OSError):
        pages.MY.mkdir(exist_ok=True)
        path.write_text(json.dumps(asked | {key: before + 1}, indent=1), encoding="utf-8")
    return before


def overview(limit: float) -> None:
    """A line for each chapter: not started, what is wrong first, or that it works."""
    for chapter in sorted(ROOT.glob("[0-9][0-9]_*.py")):
        said = _("not started")
        if readers_file(chapter).exists():
            try:
                problem = verdict(chapter, limit, warm=True)["problem"]
                said = " ".join(lines_of(explain(problem))[:2]) if problem else _("works")
            except UserError as error:
                said = str(error)
        print(f"{chapter.stem:20} {said}", flush=True)
    print(
        "\n"
        + _("python -m practice start 3 begins a chapter, check 3 checks it, --help says more.")
    )


# The command line


def tell_of_old_files() -> None:
    """Practice once kept the reader's files beside this one: say where they belong now."""
    old = sorted(Path(__file__).parent.glob("[0-9][0-9]_*.py"))
    if old:
        print(_("Your chapters now belong in my/. Move them there: {names}").format(
            names=", ".join(cli.display_path(path) for path in old)
        ), end="\n\n")  # fmt: skip


def main(argv: list[str]):
    """Returns whether a check passed; None for the other commands."""
    parser = cli.Parser(
        prog="python -m practice", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--lang", choices=["en", "zh"], help="language (default: the system's)")
    commands = parser.add_subparsers(dest="command", metavar="start | check | hint")
    for command in ("start", "check", "hint"):
        one = commands.add_parser(command)
        one.add_argument("chapter", help="3, 03 or its file name")
        one.add_argument("--lang", choices=["en", "zh"], help="language (default: the system's)")
    begin = commands.choices["start"]
    grade = begin.add_mutually_exclusive_group()
    for name, what in [("functions", "only functions to write"), ("blank", "a blank file")]:
        grade.add_argument(
            f"--{name}", action="store_const", const=name, dest="grade", default="page", help=what
        )
    begin.add_argument(
        "--force", action="store_true", help="begin again; your file is kept as a backup"
    )
    examined = commands.choices["check"]
    examined.add_argument("--watch", action="store_true", help="check at every save")
    examined.add_argument("-v", "--verbose", action="store_true", help="all that the check said")
    examined.add_argument(
        "--show", action="store_true", help="open the figure that your code drew, when all is right"
    )
    examined.add_argument(
        "--time-limit", type=cli.positive_float, default=TIME_LIMIT, help="seconds for a check"
    )
    asked = commands.choices["hint"]
    asked.add_argument(
        "name", help="a function or a name, such as criterion, or a section's number"
    )
    asked.add_argument("--all", action="store_true", help="the whole hint at once, lines included")
    args = parser.parse_args(argv)

    tell_of_old_files()
    if args.command is None:
        return overview(TIME_LIMIT)
    chapter = find_chapter(args.chapter)
    if args.command == "start":
        return start(chapter, args.grade, args.force)
    if args.command == "hint":
        return hint(chapter, args.name, args.all)
    options = args.time_limit, args.verbose, args.show
    if args.watch:
        read_source(chapter) if not readers_file(chapter).exists() else None
        return watch(chapter, *options)
    if not check(chapter, *options):
        raise SystemExit(1)
    return True


if __name__ == "__main__":
    cli.answer_in_words()
    main(sys.argv[1:])
