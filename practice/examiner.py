"""Finds out which of a chapter's functions makes a test fail, and says it in the reader's terms.

Each call of a reader's function in the chapter's tests is recorded: its input, and what it
returned. When a test fails, the project's own function gets the same input; the first function
that returns something else is the one to mend.

Only the tests of the functions are made: those of the page (other flags, Ctrl-C, errors, what a
run prints) are marked "page" by the tests themselves.
"""

import ast
import contextlib
import copy
import functools
import inspect
import io
import re
import threading
import traceback
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import pytest
import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

from common import chapter
from common.cli import ROOT
from common.language import _
from practice import diagnosis
from practice.pages import find_functions
from practice.watch import Watch

MOST_CALLS = 3  # of a function recorded per test: a training loop calls forward a thousand times
MOST_BYTES = 20_000_000  # of a call's arguments: MNIST as a whole is not copied


def examine(path: Path, until: int, temporary: Path) -> dict | None:
    """The first problem with the functions of this version of a chapter, up to number `until`.

    A dict with "function" and what shows it, or None. `temporary` is a folder for the tests.
    """
    examiner = Examiner(path, until)
    command = ["-q", "-x", "--color=no", "-p", "no:cacheprovider", "-p", "no:unraisableexception"]
    command += ["-o", "addopts=", "-m", "not page and not slow", f"--chapters={path.parent}"]
    command += [f"--basetemp={temporary}", f"tests/test_{path.stem}.py"]
    status = pytest.main(command, plugins=[examiner])
    if examiner.problem is None and status not in (
        pytest.ExitCode.OK,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    ):
        raise RuntimeError(f"pytest ended with status {status}")
    return examiner.problem


class Call:
    """One call of a function of the reader's: its arguments as they were, and its result."""

    def __init__(self, name: str, function: FunctionType, args: tuple, kwargs: dict):
        self.name, self.signature = name, inspect.signature(function)
        self.random_state, self.gradients = torch.get_rng_state(), torch.is_grad_enabled()
        self.finished = False  # or it can't be compared, as a generator
        self.arguments = _copied((args, kwargs))

    def returned(self, result, args: tuple, kwargs: dict) -> None:
        """Keep the result, which parameters its gradient reaches, and the arguments' new state."""
        self.reached = diagnosis.reached(result, diagnosis.tracked(self.named(args, kwargs)))
        self.result, self.arguments_after = _copied((result, (args, kwargs)))
        self.finished = True

    def named(self, args: tuple, kwargs: dict) -> dict:
        """The arguments by their names."""
        return dict(self.signature.bind(*args, **kwargs).arguments)

    def repeated(self, function: FunctionType, arguments: tuple | None = None) -> tuple:
        """The same call of another function: its result, what its gradient reaches, arguments.

        It gets copies of `arguments`, a tuple of args and kwargs; by default those of this call.
        """
        args, kwargs = _copied(arguments or self.arguments)
        torch.set_rng_state(self.random_state)
        with (
            torch.set_grad_enabled(self.gradients),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            result = function(*args, **kwargs)
        reached = diagnosis.reached(result, diagnosis.tracked(self.named(args, kwargs)))
        return result, reached, (args, kwargs)


class Examiner:
    """A pytest plugin: watches the reader's chapter, and explains the first failure."""

    def __init__(self, path: Path, until: int):
        self.path, self.until = path, until
        self.calls: list[Call] = []
        self.counts: dict[str, int] = {}  # of calls of each function in this test
        self.running: list[tuple] = []  # functions and arguments of now; outermost first
        self.last = None  # the function that the test itself has called last
        self.agreed: set[str] = set()  # functions whose calls were as the project's own
        self.comparing = False
        self.problem = None
        self.functions: dict[str, FunctionType] = {}
        self.references = {}

    # Watching

    def watch(self, module: ModuleType, reference: ModuleType) -> None:
        """Record the calls of the module's functions and methods, beside the project's own."""
        for name, function in _functions(module):
            owner_name, __, attribute = name.rpartition(".")
            owner = getattr(module, owner_name) if owner_name else module
            reference_owner = getattr(reference, owner_name, None) if owner_name else reference
            self.references[name] = getattr(reference_owner, attribute, None)
            self.functions[name] = function
            setattr(owner, attribute, self._recorded(name, function))

    def _recorded(self, name: str, function: FunctionType):
        @functools.wraps(function)
        def recorded(*args, **kwargs):
            if self.comparing or threading.current_thread() is not threading.main_thread():
                return function(*args, **kwargs)
            call = None
            self.counts[name] = self.counts.get(name, 0) + 1
            worth_it = self.counts[name] <= MOST_CALLS and not name.endswith("__init__")
            watched = _get_current_dispatch_mode()  # by a test: copying would disturb it
            if worth_it and not watched and _bytes((args, kwargs)) < MOST_BYTES:
                with contextlib.suppress(Exception):  # what can't be copied can't be compared
                    call = Call(name, function, args, kwargs)
            if not self.running:
                self.last = name
            self.running.append((name, args, kwargs))
            result = function(*args, **kwargs)
            self.running.pop()
            if call:
                with contextlib.suppress(Exception):
                    call.returned(result, args, kwargs)
                self.calls.append(call)
            return result

        return recorded

    # pytest's hooks

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtestloop(self, session):
        """While the tests run, a chapter that is loaded from the reader's folder is watched."""
        load = chapter.load

        def load_watched(path: Path) -> ModuleType:
            module = load(path)
            if path == self.path:
                self.watch(module, load(ROOT / path.name))
            return module

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chapter, "load", load_watched)
            yield

    def pytest_collection_modifyitems(self, config, items):
        """Functions are examined in the file's order: a test comes after all that it names."""
        order = _definitions(ROOT / self.path.name)
        last = [one.name for one in find_functions(_read(ROOT / self.path.name))][: self.until]
        known = {name.split(".")[0] for name in last}
        chosen = []
        for item in items:
            names = _named_by(item) & set(order)
            if names and names <= known:
                chosen.append((max(order[name] for name in names), item))
        chosen.sort(key=lambda one: (one[0], one[1].function.__code__.co_firstlineno))
        items[:] = [item for _, item in chosen]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        self.calls, self.counts, self.running, self.last = [], {}, [], None
        self.agreed, self.item = set(), item
        self.watched = Watch(data=False)  # loaders and rows are the test's

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item):
        with self.watched:
            yield

    def pytest_keyboard_interrupt(self, excinfo):
        """A test has pressed Ctrl-C, and the reader's function has let it through."""
        word = _(
            "Ctrl-C went through it. Catch KeyboardInterrupt around the loop, to keep the losses."
        )
        self.problem = self.problem or self.explain(excinfo.value, self.item) | {"word": word}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        outcome = yield
        if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
            problem = self.explain(call.excinfo.value, item)
            words = self.watched.words(call.excinfo.value)
            if words and diagnosis.is_vague(problem.get("word")):
                problem["word"] = words[0]
            problem["printed"] = outcome.get_result().capstdout
            self.problem = self.problem or problem

    # Explaining

    def explain(self, error: BaseException, item) -> dict:
        """Which function made the test fail, and what shows it."""
        test = item.originalname.removeprefix("test_").replace("_", " ")
        while error.__context__ is not None and not isinstance(error, NotImplementedError):
            error = error.__context__
        missing = re.fullmatch(r"write (\S+)", str(error))
        if isinstance(error, NotImplementedError) and missing:
            return {"function": missing[1], "missing": True}
        self.comparing = True
        try:
            for call in self.calls:
                try:
                    different = self.differs(call)
                except Exception:  # a reader may return anything: then the test's words must do
                    continue
                if different:
                    return {"function": call.name, "test": test} | different
        finally:
            self.comparing = False
        function = self.blamed()
        if not self.running:  # it failed between two calls, or in a run
            function = self.in_traceback(error)
        function = self.should_make(error) or function or self.maker() or self.named_last(item)
        message, is_said = _words_of(error)
        where = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in where if frame.filename == str(self.path)]
        blamed = [frame for frame in ours if function and frame.name == function.rpartition(".")[2]]
        tests = [frame for frame in where if frame.filename == str(item.path)]
        for frame in (blamed or ours or tests)[-1:] if not is_said else []:
            file = "" if ours else f"tests/{Path(item.path).name}, "
            line = _("line {number}: {code}").format(number=frame.lineno, code=frame.line)
            message = f"{file}{line}\n{message}"
        return {"function": function, "test": test, "error": message}

    def blamed(self) -> str | None:
        """The innermost function that was running, but for those whose input can't work."""
        for name, args, kwargs in reversed(self.running):
            if not self.fails_too(name, args, kwargs):
                return name
        return None

    def in_traceback(self, error: BaseException) -> str | None:
        """The innermost function of the reader's file that the error came through, in a run."""
        functions = find_functions(_read(self.path))
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            for one in functions:
                if frame.filename == str(self.path) and one.first <= frame.lineno <= one.last:
                    return one.name
        return None

    def maker(self) -> str | None:
        """What the test has called last; or, if that is right, the __init__ of its class."""
        if self.last is None:
            return None
        owner = f"{self.last.rpartition('.')[0]}.__init__"
        is_excused = self.last in self.agreed or self.running
        return owner if is_excused and owner in self.functions else self.last

    def should_make(self, error: BaseException) -> str | None:
        """The __init__ that an attribute is missing from, if the project's own makes it."""
        found = re.fullmatch(r"'(\w+)' object has no attribute '(\w+)'", str(error))
        if not found:
            return None
        name, makes = f"{found[1]}.__init__", []
        for source in (_read(ROOT / self.path.name), _read(self.path)):
            bodies = [str(one.lines(source)) for one in find_functions(source) if one.name == name]
            makes.append(re.search(rf"self\.{found[2]}\b", "".join(bodies)))
        return name if makes[0] and not makes[1] else None

    def fails_too(self, name: str, args: tuple, kwargs: dict) -> bool:
        """Whether the project's own function can't do anything with these arguments either."""
        reference = self.references.get(name)
        if reference is None:
            return False
        self.comparing = True
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                reference(*args, **kwargs)
        except Exception:
            return True
        finally:
            self.comparing = False
        return False

    def named_last(self, item) -> str | None:
        """The last function in the file's order that the test's code names: what it is about."""
        order = _definitions(ROOT / self.path.name)
        names = sorted(_named_by(item) & set(order), key=order.get)
        functions = [one.name for one in find_functions(_read(ROOT / self.path.name))]
        return next((one for one in functions if names and one.split(".")[0] == names[-1]), None)

    def differs(self, call: Call) -> dict | None:
        """Input, result, expected result and a word on them, if the project's own differs."""
        reference = self.references.get(call.name)
        if reference is None or not call.finished:
            return None
        try:
            expected, reached, after = call.repeated(reference)
        except Exception:
            return None
        before, mine, theirs = (
            call.named(*one) for one in (call.arguments, call.arguments_after, after)
        )
        given = [text for one in before.items() if (text := diagnosis.named(*one))]
        given = (", " if sum(map(len, given)) < 80 else "\n").join(given)
        cut = sorted(reached - call.reached, key=list(diagnosis.tracked(before)).index)
        no_gradient = _("no gradient reaches {names}").format(names=", ".join(cut)) if cut else None
        for name, wanted in theirs.items():
            changed = diagnosis.changed(name, before[name], mine[name], wanted)
            if changed:
                return {"input": given} | changed
        if not diagnosis.same(call.result, expected):
            again, *__ = call.repeated(self.functions[call.name])
            if not diagnosis.same(call.result, again):
                return None  # it depends on more than its arguments, such as a test's clock
            word = self.short_batch(call, reference)
            word = word or diagnosis.pattern(call.result, expected, diagnosis.sizes_of(before))
            word = "; and ".join(filter(None, [word, no_gradient]))
            got, wanted = diagnosis.shown(call.result), diagnosis.shown(expected)
            return {"input": given, "got": got, "expected": wanted, "word": word}
        if cut:
            word = _("The graph was cut: by .detach(), .data, .item(), torch.tensor(…) or no_grad?")
            found = {"input": given, "got": no_gradient, "expected": _("a gradient reaches all")}
            return found | {"word": word}
        self.agreed.add(call.name)
        return None

    def short_batch(self, call: Call, reference: FunctionType) -> str | None:
        """A word, if reader and project agree as soon as all batches have the same size."""

        args, kwargs = call.arguments
        equal = [_with_equal_batches(one) for one in args]
        if all(one is other for one, other in zip(equal, args, strict=True)):
            return None
        twice = [_twice(one) for one in equal]
        try:
            for args in (equal, twice):  # two, as one may agree by chance
                result, *__ = call.repeated(self.functions[call.name], (args, kwargs))
                expected, *__ = call.repeated(reference, (args, kwargs))
                if not diagnosis.same(result, expected):
                    return None
        except Exception:
            return None
        return _("It is right where all batches have the same size, but the last one is smaller.")


def _words_of(error: BaseException) -> tuple[str, bool]:
    """What the error says; and whether these are a test's own words, which say it all."""
    if isinstance(error, AssertionError):
        message, *__ = str(error).partition("\nassert ")
        if not message.startswith(("assert ", "Tensor-likes", "Scalars")):
            return message, True
    lines = traceback.format_exception_only(error)[-1].strip().splitlines()
    noise = re.compile(r" *(\+ +(where|and) |Use -v to get|$)")  # pytest's, for those who test
    return "\n".join(line for line in lines if not noise.match(line)), False


def _with_equal_batches(loader):
    """A loader's or a list's batches, the last one filled up with itself; or anything as it is."""
    batches = list(loader) if isinstance(loader, torch.utils.data.DataLoader) else loader
    if not isinstance(batches, list) or len(batches) < 2:
        return loader
    if not all(isinstance(part, torch.Tensor) for batch in batches for part in batch):
        return loader
    size = len(batches[0][0])
    if len(batches[-1][0]) >= size:
        return loader
    equal = [*batches[:-1], [part.repeat_interleave(size, dim=0)[:size] for part in batches[-1]]]
    if loader is batches:
        return equal
    parts = (torch.cat(part) for part in zip(*equal, strict=True))
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*parts), size)


def _twice(batches):
    """A list's or a loader's batches, and the same once more; or anything as it is."""
    if isinstance(batches, list):
        return 2 * batches
    if isinstance(batches, torch.utils.data.DataLoader):
        return torch.utils.data.DataLoader(batches.dataset + batches.dataset, batches.batch_size)
    return batches


def _functions(module: ModuleType):
    for name, thing in list(vars(module).items()):
        if getattr(thing, "__module__", None) != module.__name__:
            continue
        if isinstance(thing, FunctionType):
            yield name, thing
        elif isinstance(thing, type):
            for attribute, method in list(vars(thing).items()):
                if isinstance(method, FunctionType) and _is_written_in(module, method):
                    yield f"{name}.{attribute}", method


def _is_written_in(module: ModuleType, method: FunctionType) -> bool:
    """Whether the method stands in the module's file: a dataclass's __init__ does not."""
    return inspect.unwrap(method).__code__.co_filename == module.__file__


def _named_by(item: pytest.Function) -> set[str]:
    """All names in a test's code, and in that of its file's functions that it calls."""
    names, functions = set(), [item.function]
    for function in functions:
        names |= _names(function.__code__)
        called = [getattr(item.module, name, None) for name in _names(function.__code__)]
        ours = [one for one in called if getattr(one, "__module__", "") == item.module.__name__]
        functions += [one for one in ours if isinstance(one, FunctionType) and one not in functions]
    return names


def _names(code: CodeType) -> set[str]:
    """All names in a function's code, and in the functions inside it."""
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig")


@functools.cache
def _definitions(path: Path) -> dict[str, int]:
    """Where in the chapter each function and class begins."""
    return {
        node.name: node.lineno
        for node in ast.parse(_read(path)).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def _copied(value, memo: dict | None = None):
    """A copy that later changes leave alone. Raises what deepcopy raises for what has none.

    One memo for all parts: the copied optimizer must update the copied model. A tensor with a graph
    loses it, and is a leaf of the copy's.
    """
    memo = {} if memo is None else memo
    if isinstance(value, torch.Tensor) and not value.is_leaf:
        return value.detach().clone().requires_grad_(value.requires_grad)
    if type(value) in (list, tuple):
        return type(value)(_copied(part, memo) for part in value)
    if type(value) is dict:
        return {key: _copied(part, memo) for key, part in value.items()}
    return copy.deepcopy(value, memo)


def _bytes(value, seen: set | None = None) -> int:
    """The size of the tensors in a value, whatever holds them."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return 0
    seen.add(id(value))
    if hasattr(value, "nbytes"):
        return value.nbytes
    if isinstance(value, dict):
        return sum(_bytes(part, seen) for part in value.values())
    if isinstance(value, list | tuple):
        return sum(_bytes(part, seen) for part in value)
    if isinstance(value, FunctionType | ModuleType | type):
        return 0
    return _bytes(getattr(value, "__dict__", {}), seen)
