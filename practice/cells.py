"""The page, cell by cell: what the reader's cell leaves behind beside what the project's does.

Both pages run side by side, from the same random numbers, each in names of its own. The first cell
that differs ends the comparison, so each cell starts from a right state. Functions are the
project's on both pages: the chapter's tests judge the reader's.
"""

import ast
import contextlib
import copy
import inspect
import io
import linecache
import random
import re
import signal
import sys
import traceback
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from common import chapter, language
from common.cli import ROOT, UserError
from common.language import _
from practice import diagnosis
from practice.few import hurry
from practice.pages import (
    GAP,
    Cell,
    Gap,
    find_cells,
    find_gaps,
    is_guard,
    lines_of,
    names_first_read,
)
from practice.watch import Watch

LETTERS = "".join(random.Random(0).choices("abcd", k=6_000))
IMPORTS = ast.Import | ast.ImportFrom
TIMED = re.compile(r"perf_counter|\bnow\(|throughput\(|time_to")  # numbers that are never the same
QUICK = {  # settings with which a page takes seconds
    "06": ["--epochs", "3"],
    "07": ["--epochs", "2", "--batch-size", "25", "--lr", "0.05"],
    "08": ["--checkpoint", "7.pt"],
    "09": ["--epochs", "2", "--batch-size", "50"],
    "10": ["--epochs", "1", "--batch-size", "50", "--lr", "0.05"],
    "11": ["--iterations", "60", "--batch-size", "1", "--text", "letters.txt"],
    "12": ["--size", "tiny", "--iterations", "8", "--length", "20", "--text", "letters.txt"],
    "13": ["--epochs", "1", "--batch-size", "50", "--lr", "0.05"],
}


def flags(number: str, folder: Path) -> list[str]:
    """The quick settings of a chapter; the files that they name are made in the folder."""
    (folder / "letters.txt").write_text(LETTERS, encoding="utf-8")
    if number == "08":
        torch.manual_seed(0)
        network = chapter.load(ROOT / "07_mnist_mlp.py").MNISTModel()
        torch.save(network.state_dict(), folder / "7.pt")
    given = QUICK.get(number, [])
    return [str(folder / one) if one.endswith((".pt", ".txt")) else one for one in given]


class Page:
    """A page that runs cell by cell; `names` is what it has left behind."""

    def __init__(self, path: Path, flags: list[str], functions: dict | None = None):
        self.path, self.flags, self.functions = path, flags, functions
        self.names = vars(ModuleType("__main__")) | {"__file__": str(path), "__doc__": ""}
        self.names["__doc__"] = ast.get_docstring(ast.parse(self.source))
        self.random = torch.get_rng_state()

    @property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8-sig")

    def run(self, cell: Cell) -> None:
        """Run a cell by statements; each definition is replaced by that of `functions`."""
        main = ModuleType("__main__")
        main.__dict__.update(self.names)
        torch.set_rng_state(self.random)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "__main__", main)
            patch.setattr(sys, "argv", [str(self.path), *self.flags])
            patch.setattr(sys, "excepthook", sys.__excepthook__)
            self.names = vars(main)
            for node in ast.parse("\n" * (cell.first - 1) + cell.source).body:
                exec(compile(ast.Module([node], []), self.path, "exec"), vars(main))
                name = getattr(node, "name", None)
                if self.functions is not None and name in self.functions:
                    main.__dict__[name] = self.functions[name]
        self.random = torch.get_rng_state()


@contextlib.contextmanager
def _surroundings() -> Iterator[None]:
    """Few images, a fast clock, no warnings; and nothing stays changed."""
    threads = torch.get_num_threads()
    interrupt = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hurry(patch)
        if torch.distributed.is_available():  # two pages in a process have one group
            start = torch.distributed.init_process_group
            patch.setattr(
                torch.distributed, "init_process_group",
                lambda *args, **how: torch.distributed.is_initialized() or start(*args, **how),
            )  # fmt: skip
            end = torch.distributed.destroy_process_group
            patch.setattr(
                torch.distributed, "destroy_process_group",
                lambda *args: torch.distributed.is_initialized() and end(*args),
            )  # fmt: skip
        yield
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, interrupt)


def compare(path: Path, folder: Path) -> dict | None:
    """The first problem of the reader's page, or None.

    A dict with "cell" (its number), "heading" and "section", and what shows it: "missing" names, or
    "name", "got", "expected", "word", "error", and what was "printed". `folder` is for files.
    """
    number = path.name[:2]
    own = Page(ROOT / path.name, [*flags(number, folder), "--output-dir", str(folder)])
    mine = Page(path, [*flags(number, folder), "--output-dir", str(folder / "mine")], own.names)
    _check_headings(own, mine)
    pairs = list(_aligned(find_cells(own.source), find_cells(mine.source)))
    state = {"exact": True}
    with _surroundings():
        for at, (theirs, cell) in enumerate(pairs):
            is_figure = "plotting.finish" in theirs.source
            with Inputs() as inputs, contextlib.redirect_stdout(io.StringIO()):
                if not is_figure:
                    own.run(theirs)
            mine.functions = own.names
            problem = _run_and_compare(own, mine, theirs, cell, inputs, state)
            if problem:
                place = {"cell": at, "heading": cell.heading, "section": cell.section}
                return place | problem
            mine.random = own.random
    return None


def _check_headings(own: Page, mine: Page) -> None:
    """Raises UserError for a heading that is no longer there."""
    theirs, found = (re.findall("(?m)^# ## (.*)", page.source) for page in (own, mine))
    for heading in theirs if len(found) < len(theirs) else []:
        said = language.page(f"## {heading}", own.path.stem).removeprefix("## ")
        if heading not in found and said not in found:
            raise UserError("the heading {heading!r} is missing. Put it back.", heading=said)


def _aligned(theirs: list[Cell], mine: list[Cell]) -> Iterator[tuple[Cell, Cell]]:
    """The cells in pairs; where a section has another number of them, the section as a whole."""
    sections = sorted({cell.section for cell in theirs})
    for section in sections:
        a = [cell for cell in theirs if cell.section == section]
        b = [cell for cell in mine if cell.section == section]
        if not b:
            raise UserError(
                "the cell (# %%) below the heading {heading!r} is missing. Put it back.",
                heading=a[0].heading,
            )
        yield from zip(a, b, strict=True) if len(a) == len(b) else [(_joined(a), _joined(b))]


def _joined(cells: list[Cell]) -> Cell:
    first, source = cells[0], ""
    for cell in cells:
        source += "\n" * (cell.first - first.first - source.count("\n")) + cell.source
    return Cell(first.heading, first.section, first.first, source)


def _run_and_compare(own, mine, theirs, cell, inputs, state) -> dict | None:
    """Run the reader's cell, and say what is wrong with what it leaves behind."""
    usual, sys.stdout = sys.stdout, io.StringIO()
    before = dict(mine.names)
    watch = Watch()
    try:
        with watch:
            mine.run(cell)
        printed = sys.stdout.getvalue()
        error = None
    except BaseException as raised:
        printed, error = sys.stdout.getvalue(), raised
    finally:
        sys.stdout = usual
    is_figure = "plotting.finish" in theirs.source
    names = [] if is_figure else _names_of(theirs, own.names)
    for name in _optional(own.source, theirs):
        if name in names and mine.names.get(name) is before.get(name):
            names.remove(name)
    imports = [node for node in ast.parse(theirs.source).body if isinstance(node, IMPORTS)]
    *__, imported = names_first_read(imports)  # a reader may do without some
    names = [name for name in names if name in mine.names or name not in imported]
    missing = [name for name in names if name not in mine.names]
    gap, line = _first_untouched(own.source, theirs, cell)
    if gap and (error is None or _line_of(error, mine.path) >= line):  # first, what stands above it
        above, inside = _texts(theirs, gap)
        if all("…" in name for name in gap.names):  # what it calls may change anything
            above = set()
        names = [one for one in names if one in above - inside and one in mine.names]
        error, missing = None, []
    gaps = [GAP.split(line)[1].strip() for line in lines_of(cell.source) if GAP.search(line)]
    if gaps and missing and (error is None or getattr(error, "name", None) in missing):
        return {"missing": ", ".join([one for one in missing if one in gaps[0]] or gaps[:1])}
    is_timed = bool(TIMED.search(theirs.source))
    if error is not None:  # it may come from a wrong number above it
        told = _told(error, mine.path, watch) | {"printed": printed}
        settled = _settled(cell, _line_of(error, mine.path))
        for name in [name for name in names if name in settled and name in mine.names]:
            if isinstance(own.names[name], torch.Tensor | np.ndarray | int | float):
                comparison = Comparison(own, mine, inputs, state, is_timed)
                different = comparison.value(mine.names[name], own.names[name])
                if different:
                    told = {key: one for key, one in told.items() if one}
                    return different | told | {"name": name}
        return told
    for name in missing:
        return {"name": name, "got": _("nothing of that name"), "printed": printed,
                "expected": diagnosis.shown(own.names[name])}  # fmt: skip
    for name in names:
        different = Comparison(own, mine, inputs, state, is_timed).of(name)
        if different:
            words = watch.words()
            if words:
                different["word"] = words[0]
            return {"name": name, "printed": printed} | different
    return {"missing": ", ".join(gap.names)} if gap else None


def _first_untouched(page: str, theirs: Cell, mine: Cell) -> tuple[Gap | None, int]:
    """The first gap of the cell where nothing was written, and its line in the reader's file.

    There its comment still stands between the same two lines of code.
    """
    own, typed = _code(theirs), _code(mine)
    for gap in find_gaps(page):
        above = [text for at, text in own if at < gap.first][-1:]
        below = [text for at, text in own if at > gap.last][:1]
        for at, (line, text) in enumerate(typed):
            before, after = typed[:at][-1:], typed[at + 1 :][:1]
            around = [one for _, one in before], [one for _, one in after]
            is_its = GAP.match(text) and GAP.sub("", text).strip() == ", ".join(gap.names)
            if is_its and around == (above, below):
                return gap, line
    return None, 0


def _code(cell: Cell) -> list[tuple[int, str]]:
    """The lines of code, with their numbers on the page, and the gaps' comments."""
    code = re.compile(rf"(?!#|pass$)\S|{GAP.pattern}")
    lines = enumerate(lines_of(cell.source), start=cell.first)
    return [(at, text.strip()) for at, text in lines if code.match(text.strip())]


def _optional(page: str, cell: Cell) -> set[str]:
    """The names that nothing but the lines of a gap needs: a reader may do without them."""
    kept = dict(enumerate(lines_of(cell.source), start=cell.first))
    needed, inside = set(), []
    for gap in find_gaps(page):
        needed |= set(gap.names)
        inside += [kept.pop(at, "") for at in range(gap.first, gap.last + 1)]
    return _words(inside) - _words(kept.values()) - needed


def _texts(cell: Cell, gap: Gap) -> tuple[set[str], set[str]]:
    """The names above a gap of the cell, and those in it."""
    lines = lines_of(cell.source)
    first, last = gap.first - cell.first, gap.last - cell.first + 1
    return _words(lines[:first]), _words(lines[first:last])


def _words(lines: Iterable[str]) -> set[str]:
    return set(re.findall(r"\w+", " ".join(lines)))


def _line_of(error: BaseException, path: Path) -> int:
    """The line of the reader's file that an error came from, or through."""
    frames = traceback.extract_tb(error.__traceback__)
    return max([one.lineno for one in frames if one.filename == str(path)][-1:], default=0)


def _told(error: BaseException, path: Path, watch: Watch) -> dict:
    """An error that ended a cell: its last line in the reader's file, its message, and a word."""
    line = _line_of(error, path)
    message = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, SystemExit):
        message = _("the program ends itself here: by exit() or sys.exit()")
    if line:
        code = linecache.getline(str(path), line).strip()
        place = _("line {number}: {code}").format(number=line, code=code)
        message = f"{place}\n{message}"
    words = watch.words(error)
    return {"error": message, "word": words[0] if words else None}


def _names_of(cell: Cell, names: dict) -> list[str]:
    """What of the page the cell names, itself defined functions left out, as they are bound."""
    tree = ast.parse(cell.source)
    read, bound, _ = names_first_read(tree.body)
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For | ast.comprehension)]
    targets = {one.id for node in loops for one in _name_nodes(node.target)}
    bodies = [part for node in loops if isinstance(node, ast.For) for part in node.body]
    inside = {one for part in bodies for one in _name_nodes(part)}
    outside = {one.id for one in set(_name_nodes(tree)) - inside}
    inner = {one.id for one in inside if isinstance(one.ctx, ast.Store)} - outside
    wanted = (read | bound) - targets - inner - {"args", "fig"}
    places = [
        (not isinstance(one.ctx, ast.Store), one.lineno, one.col_offset, one.id)
        for one in _name_nodes(tree)
    ]
    firsts = {name: place for *place, name in sorted(places, reverse=True)}
    in_order = sorted(wanted, key=lambda one: firsts.get(one, [False, 0, 0]))  # imports first
    return [name for name in in_order if name in names and name[:2] != "__"]


def _name_nodes(node: ast.AST) -> list[ast.Name]:
    return [one for one in ast.walk(node) if isinstance(one, ast.Name)]


def _settled(cell: Cell, line: int) -> set[str]:
    """The names that the cell binds once, by a statement that ends above this line."""
    body = ast.parse("\n" * (cell.first - 1) + cell.source).body
    nodes = [part for node in body for part in (node.body if is_guard(node) else [node])]
    stored = [
        (one.id, node.end_lineno) for node in nodes for one in _name_nodes(node)
        if isinstance(one.ctx, ast.Store)
    ]  # fmt: skip
    counts = Counter(name for name, _ in stored)
    return {name for name, end in stored if end < line and counts[name] == 1}


class Inputs(contextlib.ExitStack):
    """Records each model that is called in a cell: as it was before, and its first input."""

    def __enter__(self):
        self.before, self.depth = {}, 0
        hooks = torch.nn.modules.module
        self.callback(hooks.register_module_forward_pre_hook(self.enter).remove)
        self.callback(hooks.register_module_forward_hook(self.leave, always_call=True).remove)
        return super().__enter__()

    def enter(self, module, args):
        if self.depth == 0 and id(module) not in self.before:
            self.before[id(module)] = copy.deepcopy(module), args
        self.depth += 1

    def leave(self, module, args, output):
        self.depth -= 1


class Comparison:
    """One name of both pages."""

    def __init__(self, own, mine, inputs, state, is_timed):
        self.own, self.mine, self.inputs = own.names, mine.names, inputs
        self.state, self.is_timed = state, is_timed

    def of(self, name: str) -> dict | None:
        """Got, expected and a word, if the reader's differs."""
        got, expected = self.mine[name], self.own[name]
        if inspect.isroutine(expected):
            return None if callable(got) else _compared(_kind(got), _kind(expected))
        if isinstance(expected, type | ModuleType):
            return _compared(_kind(got), _kind(expected))
        if isinstance(expected, PurePath):
            same = isinstance(got, PurePath) and got.name == expected.name
            return None if same else {"got": str(got), "expected": expected.name}
        if isinstance(expected, torch.nn.Module):
            return self.module(name, got, expected)
        if isinstance(expected, torch.optim.Optimizer):
            return self.optimizer(got, expected)
        if isinstance(expected, DataLoader):
            return self.loader(got, expected)
        is_state = isinstance(expected, OrderedDict) and isinstance(got, dict)
        if is_state and got.keys() != expected.keys():  # a reader's layers have names of their own
            got, expected = list(got.values()), list(expected.values())
        if isinstance(expected, Sampler):
            return _compared(_described(got), _described(expected))
        if isinstance(expected, torch.Tensor):
            return self.value(got, expected) or self.tensor(name, got, expected)
        if type(expected).__module__.split(".")[0] in ("torchvision", "__main__", "common", "PIL"):
            return _compared(_described(got), _described(expected))
        return self.value(got, expected)

    def value(self, got, expected) -> dict | None:
        """Numbers, arrays, tensors, lists: by type, shape and value."""
        if self.is_timed and isinstance(expected, float | list | dict):
            same = isinstance(got, type(expected))
        else:
            with loose(not self.state["exact"]):
                same = diagnosis.same(got, expected)
        if same:
            return None
        word = diagnosis.pattern(got, expected, set())
        return {"got": diagnosis.shown(got), "expected": diagnosis.shown(expected), "word": word}

    def tensor(self, name, got, expected) -> dict | None:
        """Whether autograd tracks it, and its gradient."""
        if got.requires_grad != expected.requires_grad:
            said = "requires_grad={}".format
            return {"got": said(got.requires_grad), "expected": said(expected.requires_grad)}
        if not (expected.is_leaf and got.is_leaf):
            return None
        different = self.value(got.grad, expected.grad)
        if different and got.grad is None:
            different["word"] = _("Is backward() missing?")
        return different and different | {"name": f"{name}.grad"}

    def module(self, name, got, expected) -> dict | None:
        """A model by its parameters' shapes, its outputs, and what it has learned; a criterion."""
        if not isinstance(got, torch.nn.Module):
            return {"got": _kind(got), "expected": _kind(expected)}
        own, mine = list(expected.parameters()), list(got.parameters())
        modes = {True: _("in training mode"), False: _("in evaluation mode")}
        if not own:
            different = _compared(_described(got), _described(expected))
            return different or _compared(modes[got.training], modes[expected.training])
        shapes = [[tuple(one.shape) for one in parameters] for parameters in (mine, own)]
        if shapes[0] != shapes[1]:
            return _compared(
                *(_("parameters of shapes {shapes}").format(shapes=one) for one in shapes)
            )
        if got.training != expected.training:
            return _compared(modes[got.training], modes[expected.training])
        if self._outputs_differ(got, expected):
            return {
                "got": _("other outputs than the project's model with the same parameters"),
                "expected": _("the same outputs"),
            }
        cleared = [all(one.grad is None for one in parameters) for parameters in (mine, own)]
        if cleared[0] != cleared[1] and not self.is_timed:
            said = {True: _("parameters whose grad is None"), False: _("parameters with a grad")}
            return _compared(said[cleared[0]], said[cleared[1]])
        pairs = zip(mine, own, strict=True)
        if self.is_timed or all(diagnosis.same(a.detach(), b.detach()) for a, b in pairs):
            return None
        return self.learned(name, got, expected)

    def _outputs_differ(self, got, expected) -> bool:
        __, inputs = self.inputs.before.get(id(expected), (None, None))
        if inputs is None or type(expected).__module__ == "__main__":  # the same class
            return False
        twin = copy.deepcopy(got).eval()
        with torch.no_grad():
            for one, other in zip(twin.parameters(), expected.parameters(), strict=True):
                one.copy_(other)
            return not diagnosis.same(twin(*inputs), copy.deepcopy(expected).eval()(*inputs))

    def learned(self, name, got, expected) -> dict:
        """How far training has come: the distance from the untrained parameters tells."""
        start, __ = self.inputs.before.get(id(expected), (None, None))
        flat = [_flat(got), _flat(expected)]
        zero = None if start is None else _flat(start)
        if zero is None or torch.equal(flat[1], zero):  # it isn't trained here
            return {
                "got": _("other parameters than expected from the same random numbers"),
                "expected": _(
                    "the model as it is made, and nothing else that draws numbers before"
                ),
                "word": diagnosis.pattern(got, expected, set()),
            }
        if torch.equal(flat[0], zero):
            return {
                "got": _("the parameters are as they were before"),
                "expected": _("they are updated"),
                "word": _("Is backward() or step() missing?"),
            }
        far, wanted = ((one - zero).norm().item() for one in flat)
        if _is_near(far, wanted) and _cosine(flat[0] - zero, flat[1] - zero) > 0.8:
            self.state["exact"] = False  # it has learned the same on another way
            return None
        return {
            "got": _("the parameters have moved by {far:.3g}").format(far=far),
            "expected": _("by {far:.3g}, from the same start").format(far=wanted),
        }

    def optimizer(self, got, expected) -> dict | None:
        """By class and settings, and whether it holds the reader's model's parameters."""
        if type(got) is not type(expected):
            return {"got": _kind(got), "expected": _kind(expected)}
        different = _compared(diagnosis.shown(got), diagnosis.shown(expected))
        if different:
            return different
        held = {id(one) for group in got.param_groups for one in group["params"]}
        for name, model in self.own.items():
            if isinstance(model, torch.nn.Module):
                theirs = {id(one) for one in model.parameters()}
                owner = {id(one) for group in expected.param_groups for one in group["params"]}
                wanted = (
                    {id(one) for one in self.mine[name].parameters()} if owner >= theirs else set()
                )
                if theirs and owner >= theirs and not held >= wanted:
                    return {
                        "got": _("an optimizer of other parameters"),
                        "expected": _("it holds the parameters of {name}").format(name=name),
                    }
        return None

    def loader(self, got, expected) -> dict | None:
        """By its settings, and whether it has the reader's dataset."""
        if not isinstance(got, DataLoader):
            return {"got": _kind(got), "expected": _kind(expected)}
        different = _compared(_loader(got), _loader(expected))
        if different:
            return different
        for name, value in self.own.items():
            if value is expected.dataset and self.mine[name] is not got.dataset:
                return {
                    "got": _("a loader of another dataset"),
                    "expected": _("a loader of {name}").format(name=name),
                }
        return None


def _flat(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([one.detach().flatten() for one in model.parameters()])


def _is_near(one: float, other: float) -> bool:
    return 0.67 * other < one < 1.5 * other


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return torch.nn.functional.cosine_similarity(a, b, dim=0).item()


@contextlib.contextmanager
def loose(wanted: bool) -> Iterator[None]:
    """Compare numbers that depend on training that went another way, loosely."""
    usual = dict(diagnosis.CLOSE)
    diagnosis.CLOSE.update({"rtol": 0.3, "atol": 0.1} if wanted else {})
    yield
    diagnosis.CLOSE.update(usual)


def _compared(got: str, expected: str) -> dict | None:
    return None if got == expected else {"got": got, "expected": expected}


def _kind(value) -> str:
    """What a value is, in a few words."""
    if isinstance(value, ModuleType | type) or inspect.isroutine(value):
        return f"{getattr(value, '__module__', None) or 'module'}.{value.__name__}"
    return diagnosis.shown(value)


def _loader(loader: DataLoader) -> str:
    order = type(loader.sampler).__name__.replace("Sampler", "")
    shuffle = {"Random": "shuffle=True", "Sequential": "shuffle=False"}.get(order, order)
    return (
        f"DataLoader(batch_size={loader.batch_size}, {shuffle}, "
        f"num_workers={loader.num_workers}, drop_last={loader.drop_last})"
    )


def _described(value) -> str:
    """An object by its class, and what it holds that can be said in a few characters."""
    if isinstance(value, Dataset):
        how = " ".join(repr(getattr(value, "transform", "")).split())
        train = f", train={value.train}" if hasattr(value, "train") else ""
        return f"{type(value).__name__}({len(value)}{train}) {how}".strip()
    if isinstance(value, torch.nn.modules.loss._Loss):
        usual = {"reduction": "mean", "label_smoothing": 0.0}
        given = [(name, getattr(value, name, usual[name])) for name in usual]
        text = ", ".join(f"{name}={one!r}" for name, one in given if one != usual[name])
        return f"{type(value).__name__}({text})"
    if isinstance(value, Sampler):
        given = [f"{name}={one}" for name, one in vars(value).items() if isinstance(one, int)]
        return f"{type(value).__name__}({', '.join(given)})"
    return re.sub(r"at 0x\w+", "", " ".join(repr(value).split()))
