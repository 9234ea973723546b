"""Finds out which of a chapter's functions makes a test fail, and says it in the reader's terms.

With `--examine=FILE` each call of a reader's function is recorded: its input, and what it
returned. When a test fails, the project's own function gets the same input; the first function
that returns something else is the one to mend. FILE then holds, as JSON,

    {"problem": null or {"function", "kind": "missing" | "wrong" | "endless", "input", "got", …},
     "passing": [names of the functions that did their work in a test that passed, and in none that
                 failed because of them]}
"""

import ast
import contextlib
import copy
import functools
import inspect
import io
import json
import os
import re
import sys
import threading
import traceback
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from practice import find_functions

MOST_CALLS = 5  # of a function recorded per test: a training loop calls forward a thousand times


class Call:
    """One call of a function of the reader's: its arguments as they were, and its result."""

    def __init__(self, name, arguments, random_state):
        self.name, self.arguments, self.random_state = name, arguments, random_state
        self.result = self.arguments_after = None
        self.finished = False


class Examiner:
    """A pytest plugin: watches the reader's chapter, and explains the first failure."""

    def __init__(self, report: Path, limit: float):
        self.report, self.limit = report, limit
        self.calls: list[Call] = []
        self.counts: dict[str, int] = {}  # of calls of each function in this test
        self.running: list[tuple] = []  # functions and arguments of now, outermost first
        self.comparing = False
        self.problem = None
        self.returned: set[str] = set()  # functions that came to their end in this test
        self.proven: set[str] = set()
        self.wrong: set[str] = set()
        self.functions: list[str] = []
        self.references = {}
        self.readers_file = ""

    # Watching

    def watch(self, module: ModuleType, reference: ModuleType) -> None:
        """Record the calls of the module's functions and methods, beside the project's own."""
        for name, function in _functions(module):
            owner_name, _, attribute = name.rpartition(".")
            owner = getattr(module, owner_name) if owner_name else module
            reference_owner = getattr(reference, owner_name, None) if owner_name else reference
            self.references[name] = getattr(reference_owner, attribute, None)
            self.functions.append(name)
            setattr(owner, attribute, self._recorded(name, function))

    def _recorded(self, name: str, function: FunctionType):
        @functools.wraps(function)
        def recorded(*args, **kwargs):
            if self.comparing or threading.current_thread() is not threading.main_thread():
                return function(*args, **kwargs)
            call = None
            self.counts[name] = self.counts.get(name, 0) + 1
            worth_it = self.counts[name] <= MOST_CALLS and not name.endswith("__init__")
            if worth_it and not _operations_are_counted():
                call = Call(name, _copied((args, kwargs)), _random_state())
                call.signature = inspect.signature(function)
            self.running.append((name, args, kwargs))
            result = function(*args, **kwargs)
            self.running.pop()
            self.returned.add(name)
            if call and call.arguments is not None:
                call.result, call.arguments_after = _copied(result), _copied((args, kwargs))
                call.finished = True
                self.calls.append(call)
            return result

        return recorded

    # pytest's hooks

    def pytest_collection_modifyitems(self, items):
        """Functions are examined in the file's order: a test comes after all that it names."""
        items.sort(key=self._position)

    def _position(self, item) -> tuple:
        order = _definition_order(item)
        code = inspect.getsource(item.function)
        named = re.findall(r"chapter\.(\w+)|getattr\(chapter, \"(\w+)\"", code)
        names = {first or second for first, second in named}
        slow = {"run_chapter", "run"} & set(item.fixturenames)
        whole = bool(slow) or not names
        position = max((order.get(name, 0) for name in names), default=0)
        return (bool(slow), whole, position, item.function.__code__.co_firstlineno)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        self.calls, self.counts, self.running, self.returned = [], {}, [], set()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        yield
        if call.excinfo is None and call.when == "call":
            self.proven |= self.returned
        if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
            problem = self.explain(call.excinfo.value, item)
            self.wrong.add(problem["function"])
            self.problem = self.problem or problem

    def pytest_sessionstart(self):
        self.timer = threading.Timer(self.limit, self.give_up)
        self.timer.daemon = True
        self.timer.start()

    def pytest_sessionfinish(self):
        self.timer.cancel()
        self.write()

    def give_up(self) -> None:
        """The time is over: say what was running, and end this process whatever it does."""
        function = self.running[-1][0] if self.running else None
        self.problem = {"function": function, "kind": "endless"}
        self.wrong.add(function)
        self.write()
        os._exit(3)

    def write(self) -> None:
        passing = [name for name in self.functions if name in self.proven - self.wrong]
        content = {"problem": self.problem, "passing": passing}
        self.report.write_text(json.dumps(content), encoding="utf-8")

    # Explaining

    def explain(self, error: BaseException, item) -> dict:
        """Which function made the test fail, and what shows it."""
        test = item.originalname.removeprefix("test_").replace("_", " ")
        while error.__context__ is not None and not isinstance(error, NotImplementedError):
            error = error.__context__
        missing = re.fullmatch(r"write (\S+)", str(error))
        if isinstance(error, NotImplementedError) and missing:
            return {"function": missing[1], "kind": "missing", "test": test}
        self.comparing = True
        try:
            for call in self.calls:
                different = self.differs(call)
                if different:
                    return {"function": call.name, "kind": "wrong", "test": test} | different
        finally:
            self.comparing = False
        function = self.blamed() or self.in_traceback(error)
        lines = traceback.format_exception_only(error)[-1].strip().splitlines()
        message = "\n".join(line for line in lines if not re.match(r" *\+ +(where|and) ", line))
        where = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in where if frame.filename == self.readers_file]
        blamed = [frame for frame in ours if function and frame.name == function.rpartition(".")[2]]
        tests = [frame for frame in where if frame.filename == str(item.path)]
        for frame in (blamed or ours or tests)[-1:]:  # tests: they can't use what came back
            file = "line" if ours else "the test's line"
            message = f"{file} {frame.lineno}: {frame.line}\n{message}"
        if function is None:
            function = self.named_last(item)
        return {"function": function, "kind": "wrong", "test": test, "error": message}

    def blamed(self) -> str | None:
        """The innermost function that was running, but for those whose input can't work."""
        for name, args, kwargs in reversed(self.running):
            if not self.fails_too(name, args, kwargs):
                return name
        return self.running[-1][0] if self.running else None

    def in_traceback(self, error: BaseException) -> str | None:
        """The innermost function of the reader's file that the error came through, in a run."""
        if not self.readers_file:  # the test failed before it came to the reader's chapter
            return None
        functions = find_functions(Path(self.readers_file).read_text(encoding="utf-8-sig"))
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            for one in functions:
                if frame.filename == self.readers_file and one.first <= frame.lineno <= one.last:
                    return one.name
        return None

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
        """The last function that the test's own code names: what it is about."""
        named = re.findall(r"chapter\.(\w+)", inspect.getsource(item.function))
        for name in reversed(named):
            for function in self.functions:
                if function in (name, f"{name}.forward", f"{name}.__init__"):
                    return function
        return None

    def differs(self, call: Call) -> dict | None:
        """Input, result and expected result, if the project's own function differs."""
        reference = self.references.get(call.name)
        if reference is None or not call.finished:
            return None
        args, kwargs = call.arguments
        given = _described(call.signature, args, kwargs)
        try:
            _set_random_state(call.random_state)
            with contextlib.redirect_stdout(io.StringIO()):
                expected = reference(*args, **kwargs)
        except Exception:
            return None
        if not _same(call.result, expected):
            return {"input": given, "got": _short(call.result), "expected": _short(expected)}
        if not _same(call.arguments_after, (args, kwargs)):
            return {
                "input": given,
                "got": f"{_short(call.result)}, but its arguments are left in another state",
                "expected": "the state in which the chapter's own function leaves them",
            }
        return None


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


def _definition_order(item) -> dict[str, int]:
    """Where in the chapter each function and class begins."""
    stem = Path(item.path).stem.removeprefix("test_")
    source = (Path(item.path).parent.parent / f"{stem}.py").read_text(encoding="utf-8")
    return {
        node.name: node.lineno
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def _copied(value, memo: dict | None = None):
    """A copy that later changes leave alone, or None where that can't be had.

    One memo for all parts: the copied optimizer must update the copied model.
    """
    memo = {} if memo is None else memo
    torch = sys.modules.get("torch")
    if torch and isinstance(value, torch.Tensor) and not value.is_leaf:
        return value.detach().clone()  # deepcopy refuses a tensor with a graph
    if type(value) in (list, tuple):
        return type(value)(_copied(part, memo) for part in value)
    if type(value) is dict:
        return {key: _copied(part, memo) for key, part in value.items()}
    try:
        return copy.deepcopy(value, memo)
    except Exception:
        return None


def _operations_are_counted() -> bool:
    """Whether a test watches each operation of torch, so that copying would disturb it."""
    if "torch" not in sys.modules:
        return False
    from torch.utils._python_dispatch import _get_current_dispatch_mode

    return _get_current_dispatch_mode() is not None


def _random_state():
    return sys.modules["torch"].get_rng_state() if "torch" in sys.modules else None


def _set_random_state(state) -> None:
    if state is not None:
        sys.modules["torch"].set_rng_state(state)


def _same(one, other) -> bool:
    """Equal but for rounding; things that can't be compared count as equal."""
    import numpy as np
    import torch

    if isinstance(other, torch.nn.Module):
        if not isinstance(one, torch.nn.Module) or one.training != other.training:
            return False
        return _same(one.state_dict(), other.state_dict())
    if isinstance(other, torch.Tensor):
        if not isinstance(one, torch.Tensor) or one.shape != other.shape:
            return False
        return one.dtype == other.dtype and torch.allclose(
            one.detach(), other.detach(), rtol=1e-3, atol=1e-5, equal_nan=True
        )
    if isinstance(other, torch.utils.data.TensorDataset):
        return isinstance(one, type(other)) and _same(one.tensors, other.tensors)
    if isinstance(other, bool | str) or other is None:
        return one == other
    if isinstance(other, int | float | np.ndarray | np.number):
        try:
            return np.shape(one) == np.shape(other) and np.allclose(
                np.asarray(one, dtype=float), other, rtol=1e-3, atol=1e-5, equal_nan=True
            )
        except (TypeError, ValueError):
            return False
    if isinstance(other, list | tuple):
        if not isinstance(one, list | tuple) or len(one) != len(other):
            return False
        return all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(other, dict):
        if not isinstance(one, dict) or one.keys() != other.keys():
            return False
        return all(_same(one[key], other[key]) for key in other)
    return one is not None  # a figure, an optimizer: the test's own words must do


def _short(value, room: int = 300) -> str:
    """What to show of a value: a few lines at most, and something of each of a few parts."""
    value = _plain(value)
    if type(value) in (list, tuple, dict) and len(repr(value)) <= room:
        return repr(value)
    if type(value) in (list, tuple) and len(value) <= 5:
        return f"({', '.join(_short(part, room // len(value)) for part in value)})"
    if hasattr(value, "shape") and hasattr(value, "flatten"):
        text = repr(value)
        if len(text) > room:
            first = ", ".join(f"{number:.4g}" for number in value.flatten()[:5].tolist())
            text = f"{type(value).__name__} of shape {tuple(value.shape)}: {first}, …"
        return text
    if type(value).__repr__ is object.__repr__ or "\n" in repr(value):
        return f"a {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= room else text[:room] + " …"


def _plain(value):
    """The numbers of NumPy within lists and tuples as Python's: 0.1, not np.float64(0.1)."""
    if type(value) in (list, tuple):
        return type(value)(_plain(part) for part in value)
    is_scalar = type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
    return value.item() if is_scalar else value


def _described(signature: inspect.Signature, args, kwargs) -> str:
    bound = signature.bind(*args, **kwargs)
    return ", ".join(
        f"{name} = {_short(value)}" for name, value in bound.arguments.items() if name != "self"
    )
