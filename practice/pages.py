"""A chapter as its reader meets it: functions to write, gaps between them, or a blank page."""

import ast
import functools
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from common import cli, language
from common.cli import ROOT, UserError
from common.language import _

MY = ROOT / "my"  # the reader's files
GAP = re.compile(r"# (?:write|在这里写)[:：]")


@dataclass(frozen=True)
class Function:
    """A function to write: its body is lines `first` to `last` of the file, counted from 1."""

    name: str  # with its class: LinearModel.forward
    first: int
    last: int

    def lines(self, source: str) -> list[str]:
        """The body's lines in the source that it was found in."""
        return lines_of(source)[self.first - 1 : self.last]

    def is_written(self, source: str) -> bool:
        """Whether it is more than the NotImplementedError that start has left."""
        return not any("raise NotImplementedError" in line for line in self.lines(source))


@dataclass(frozen=True)
class Cell:
    """A cell of code, in the section with this heading; its first line is number `first`."""

    heading: str
    section: int
    first: int
    source: str


@dataclass(frozen=True)
class Gap:
    """Statements of the page that a reader writes: lines `first` to `last`."""

    first: int
    last: int
    names: tuple[str, ...]  # what must exist afterwards; or, if nothing, what is called


def lines_of(source: str) -> list[str]:
    """The lines as Python's parser counts them: splitlines() also parts at form feeds, U+2028 …"""
    return source.removesuffix("\n").split("\n")


def find_functions(source: str) -> list[Function]:
    """Each function and method, in the file's order; its docstring is no part of its body."""
    lines = lines_of(source)

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
    lines = lines_of(source)
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


# Cells and gaps


def find_cells(source: str) -> list[Cell]:
    """The cells of code that come after the title; their sections count from 1, 0 is above all."""
    cells, heading, section, start, kind, place = [], "", 0, 0, "", ("", 0)
    lines = lines_of(source)
    for at, line in enumerate([*lines, "# %%"], start=1):
        if line.startswith("# ## "):
            heading, section = line.removeprefix("# ## "), section + 1
        if line.startswith("# %%"):
            code = "\n".join(lines[start : at - 1])
            if kind.startswith("# %%") and "[markdown]" not in kind and code.strip():
                cells.append(Cell(*place, start + 1, code + "\n"))
            start, kind, place = at, line, (heading, section)
    return cells


def is_guard(node: ast.stmt) -> bool:
    """Whether it is `if __name__ == "__main__":`."""
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def is_kept(node: ast.stmt) -> bool:
    """Whether a statement of the page stays: definitions, what is printed, shown errors, the flags.

    Imports of the book's own modules stay; those of torch and the like are the reader's.
    """
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func) == "print"
    if isinstance(node, ast.ImportFrom):
        return node.module.startswith("common")
    if isinstance(node, ast.Assign) and "chapter.load(" in ast.unparse(node):
        return True
    if isinstance(node, ast.Try):  # an error that is shown, but not Ctrl-C around a training loop
        return "KeyboardInterrupt" not in ast.unparse(node)
    names = [ast.unparse(target) for target in getattr(node, "targets", [])]
    return isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Pass) or names == ["args"]


def names_first_read(nodes: list[ast.AST]) -> tuple[set[str], set[str], set[str]]:
    """The names that these statements read before they certainly bind them, all that they bind, and
    those of them that they certainly do."""
    read, certain, bound = set(), set(), set()

    def visit(*parts, own=False):
        """`own`: what these bind may not be there afterwards: in a comprehension or a branch."""
        before = set(certain)
        for node in parts:
            visit_one(node)
        if own:
            certain.intersection_update(before)

    def visit_one(node):
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                read.update({node.id} - certain)
            else:
                bind(node.id)
        elif isinstance(node, ast.For):
            visit(node.iter, node.target, *node.body, *node.orelse)
        elif isinstance(node, ast.If):
            visit(node.test)
            visit(*node.body, own=True)
            visit(*node.orelse, own=True)
        elif isinstance(node, ast.Assign):
            visit(node.value, *node.targets)
        elif isinstance(node, ast.AugAssign):
            read.update({ast.unparse(node.target)} - certain)
            visit(node.value, node.target)
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp):
            visit(*node.generators, node.elt, own=True)
        elif isinstance(node, ast.DictComp):
            visit(*node.generators, node.key, node.value, own=True)
        elif isinstance(node, ast.comprehension):
            visit(node.iter, node.target, *node.ifs)
        elif isinstance(node, ast.FunctionDef):
            arguments = {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
            inner, *_ = names_first_read(node.body)
            read.update(inner - arguments - certain)
            bind(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bind(*((one.asname or one.name).split(".")[0] for one in node.names))
        else:
            visit(*ast.iter_child_nodes(node))
            if isinstance(node, ast.ClassDef):
                bind(node.name)

    def bind(*names):
        certain.update(names)
        bound.update(names)

    visit(*nodes)
    return read, bound, certain


def changes(node: ast.stmt) -> tuple[set[str], bool]:
    """Names whose objects it fills or sets (w.data = …, losses.append, curves[0] = …), and whether
    it does anything besides binding names and printing."""
    names, acts = set(), False
    for one in ast.walk(node):
        is_stored = isinstance(getattr(one, "ctx", None), ast.Store)
        if isinstance(one, ast.Attribute | ast.Subscript) and is_stored:
            names |= {name.id for name in ast.walk(one.value) if isinstance(name, ast.Name)}
        elif isinstance(one, ast.Expr) and isinstance(one.value, ast.Call):
            called = ast.unparse(one.value.func)
            acts |= called != "print"
            if called.endswith(".append"):
                names.add(called.split(".")[0])
    return names, acts or bool(names)


@functools.cache  # a check asks for each cell
def find_gaps(source: str) -> list[Gap]:
    """What is taken out of a page besides the bodies of functions, in order; not the figure."""
    cells = find_cells(source)
    statements = []  # with whether each is to be written, and the cell it is in
    for number, cell in enumerate(cells):
        figure = "hide-input" in lines_of(source)[cell.first - 2] or cell is cells[-1]
        for node in ast.parse("\n" * (cell.first - 1) + cell.source).body:
            for one in node.body if is_guard(node) else [node]:
                statements.append((one, not (figure or is_kept(one)), (number, is_guard(node))))
    gaps = []
    flags = [at for at, (one, *_) in enumerate(statements) if "chapter.begin(" in ast.unparse(one)]
    for at, (node, taken, place) in enumerate(statements):
        if not taken or at < flags[0]:  # the flags are the book's
            continue
        later = [one for one, _, _ in statements[at + 1 :]]
        _, bound, _ = names_first_read([node])
        changed, acts = changes(node)
        names = [one for one in _in_order(node, bound | changed) if _is_read(one, later)]
        if not names and isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            names = [f"{ast.unparse(node.value.func)}(…)"]
        if not names and not acts:  # a loop that only prints shows something
            continue
        names = names or ["…"]
        joined = (
            gaps
            and gaps[-1].last == statements[at - 1][0].end_lineno
            and (statements[at - 1][2] == place)
        )
        if joined:
            before = gaps.pop()
            names = [*before.names, *(name for name in names if name not in before.names)]
        gaps.append(Gap(before.first if joined else node.lineno, node.end_lineno, tuple(names)))
    for number, gap in enumerate(gaps):  # what only its own lines need may have any name
        later = [one for one, *_ in statements if one.lineno > gap.last]
        names = [one for one in gap.names if not one.isidentifier() or _is_read(one, later)]
        gaps[number] = Gap(gap.first, gap.last, tuple(names or gap.names))
    return gaps


def _in_order(node: ast.stmt, names: set[str]) -> list[str]:
    found = [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and one.id in names]
    return list(dict.fromkeys([*found, *sorted(names - set(found))]))


def _is_read(name: str, later: list[ast.stmt]) -> bool:
    """Whether one of these statements reads it before another certainly binds it anew."""
    for node in later:
        read, _, certain = names_first_read([node])
        if name in read or name in certain:
            return name in read
    return False


def gapped(source: str, gaps: list[Gap] | None = None) -> str:
    """The page without these gaps (or without all that a learner types, functions as well).

    Each gap says what must exist after it.
    """
    lines = lines_of(source)
    for gap in reversed(find_gaps(source) if gaps is None else gaps):
        first = lines[gap.first - 1]
        indent = first[: len(first) - len(first.lstrip())]
        said = f"{indent}# {_('write')}: {', '.join(gap.names)}"
        # A block needs a statement.
        lines[gap.first - 1 : gap.last] = [said, f"{indent}pass"] if indent else [said]
    text = "\n".join(lines) + "\n"
    return emptied(text) if gaps is None and find_functions(text) else text


def called(source: str) -> list[str]:
    """The functions and classes that the code calls, in its order."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return list(dict.fromkeys(f"`{ast.unparse(one)}`" for one in calls))


def blank(source: str, name: str) -> str:
    """The chapter's title and headings, in the reader's language, and nothing else."""
    source = translated(source, name)
    title = source.split('"""# ')[1].split("\n")[0]
    headings = [line.removeprefix("# ## ") for line in lines_of(source) if line[:5] == "# ## "]
    return "\n\n\n".join(f"# {one}" for one in [title, *headings[:-1]]) + "\n"


def translated(source: str, name: str) -> str:
    """The page with prose and comments in the reader's language."""
    if language.language() == "en":
        return source
    parts = re.split(r"(?m)^(# %%.*\n)", source)
    for at in range(2, len(parts), 2):
        if "[markdown]" in parts[at - 1]:
            is_title = parts[at].startswith('"""')
            prose = re.sub('(?m)^"""|^# ?', "", parts[at]) if not is_title else parts[at].strip()
            said = language.page(prose.strip('"'), name).strip()
            if is_title:
                parts[at] = f'"""{said}\n"""\n\n'
            else:
                parts[at] = "".join(f"# {line}".rstrip() + "\n" for line in said.split("\n")) + "\n"
        else:
            parts[at] = language.code(parts[at], name)
    return "".join(parts)


# The reader's files


def find_chapter(name: str) -> Path:
    """The chapter that "3", "03", "03_nn_linear" or its file name means. Raises UserError."""
    chapters = {path.stem: path for path in sorted(ROOT.glob("[0-9][0-9]_*.py"))}
    wanted = Path(name).name.removesuffix(".py")
    for stem, path in chapters.items():
        if wanted == stem or stem.startswith(f"{wanted:0>2}_"):
            return path
    raise UserError(
        "there is no chapter {name!r}. Choose one of: {names}.",
        name=name, names=", ".join(chapters),
    )  # fmt: skip


def readers_file(chapter: Path) -> Path:
    """Where the reader's version of the chapter is."""
    return MY / chapter.name


def is_blank_grade(source: str) -> bool:
    """Whether the reader writes the whole program: only a page reads its flags by begin."""
    return "chapter.begin(" not in source


def read_source(chapter: Path) -> str:
    """The reader's version. Raises UserError if it isn't there, is empty, or isn't Python."""
    path = readers_file(chapter)
    shown, number = cli.display_path(path), int(chapter.name[:2])
    try:
        source = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            "{path} is not there yet: python -m practice start {number}", path=shown, number=number
        ) from None
    except UnicodeDecodeError:
        raise UserError(
            "{path} is not in UTF-8, as Python expects. Save it in UTF-8.", path=shown
        ) from None
    except OSError as error:
        raise UserError(
            "cannot read {path}: {reason}.", path=shown, reason=cli.reason(error)
        ) from None
    if not source.strip("\0 \t\r\n\f"):
        raise UserError("{path} is empty. Write it, and save it.", path=shown)
    if "\0" in source:
        raise UserError(
            "{path} holds characters with code 0: it is damaged. Save it again.", path=shown
        )
    try:
        compile(source, str(path), "exec")
    except SyntaxError as error:
        raise UserError(
            "{path}, line {line}: {problem}: {code}",
            path=shown, line=error.lineno, problem=error.msg, code=(error.text or "").strip(),
        ) from None  # fmt: skip
    return source
