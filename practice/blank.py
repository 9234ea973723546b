"""Judges a whole program by what it does, however it is built: grade --blank."""

import contextlib
import io
import linecache
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from common.cli import ROOT
from common.language import _
from practice import few
from practice.watch import Watch

LAST_LINES = 20  # of what a program prints
NUMBER = r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?(?!\w)(?: ?%)?|(?<!\w)(?:nan|inf)(?!\w)"
LOSS, ACCURACY = "loss|损失", r"accuracy|acc(?![a-z])|准确率|正确率|correct(?=\s*[:=])"
ENOUGH_UPDATES = 500  # for chapter 4's model to know what it should
NOT_BY_TORCH = r"\.numpy\(\)|tolist\(\)|item\(\) ==|sklearn|torchmetrics"  # comparisons, unseen
LEARNED = 0.5  # a network with a lower loss than that knows half of the digits


class Printed(io.TextIOBase):
    """What a program prints: each line with the number of losses and comparisons until then."""

    def __init__(self, watch: Watch):
        self.watch, self.text = watch, ""
        self.lines: list[tuple] = []  # text, losses and comparisons at its start, and at its end

    def now(self) -> tuple[int, int]:
        return len(self.watch.losses), len(self.watch.comparisons)

    def write(self, text: str) -> int:
        for part in re.findall(r"[^\r\n]+|[\r\n]", text):
            if part in "\r\n":
                self.lines.append((self.text, self.start if self.text else self.now(), self.now()))
                self.text = ""
            else:
                self.start = self.start if self.text else self.now()
                self.text += part
        return len(text)

    def reconfigure(self, **_how) -> None:
        """As sys.stdout has it."""

    def tail(self) -> str:
        """The last lines, and how many there were before them."""
        shown = [text for text, *_position in self.lines[-LAST_LINES:]]
        if len(self.lines) > LAST_LINES:
            before = len(self.lines) - LAST_LINES
            shown.insert(0, _("({number} lines before these)").format(number=before))
        return "\n".join(shown)


def judge(path: Path, number: str, show_output: Callable[[str], object] = str) -> dict | None:
    """Run a program for the chapter with this number ("03"), and say what is wrong; None if right.

    It runs in this process, as __main__, in the project's folder, with few images and rows;
    `show_output` gets the last lines of what it prints. The result has some of "where", "got",
    "expected", "word", "error", and always "printed".
    """
    watch, main = Watch(), ModuleType("__main__")
    printed, errors = Printed(watch), Printed(watch)
    main.__file__ = str(path)
    scopes = {None: vars(main)}  # by the function; one may hold all of them
    before, threads = (sys.modules["__main__"], sys.argv, sys.path), torch.get_num_threads()
    folder = Path.cwd()
    try:
        sys.modules["__main__"], sys.argv = main, [str(path)]
        sys.path = [str(path.parent), str(ROOT), *sys.path]
        os.chdir(ROOT)
        torch.set_num_threads(1)
        torch.manual_seed(0)
        error = _run(path, number, watch, printed, errors, scopes)
    finally:
        sys.modules["__main__"], sys.argv, sys.path = before
        os.chdir(folder)
        torch.set_num_threads(threads)
        for stream in printed, errors:
            stream.write("\n" if stream.text else "")
    show_output(printed.tail())
    found = _of_error(error, path, watch) if error else None
    if not found:
        with torch.no_grad():
            source = path.read_text(encoding="utf-8", errors="replace")
            found = next(_problems(number, source, watch, printed, errors, scopes), None)
    return found and found | {"printed": printed.tail()}


def _run(path: Path, number: str, watch, printed, errors, scopes: dict) -> BaseException | None:
    """Run the program; the error, if it doesn't come to its end."""

    def keep_locals(frame, event, argument):
        if event == "return" and frame.f_code.co_filename == str(path):
            again = frame.f_code in scopes  # such as forward, which is called for every weight
            scopes[frame.f_code] = {} if again else dict(frame.f_locals)

    source = path.read_bytes()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(printed))
        stack.enter_context(contextlib.redirect_stderr(errors))
        try:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            few.use_no_workers(patch)
            if b"torchvision" in source:
                few.keep_few_images(patch, test=few.TEST_IMAGES)
            if number == "06":
                few.keep_few_rows(patch)
            stack.enter_context(watch)
            code = compile(source, str(path), "exec", dont_inherit=True)
            if number in ("01", "02"):
                stack.callback(sys.setprofile, None)
                sys.setprofile(keep_locals)
            exec(code, scopes[None])
        except SystemExit as error:
            return error if error.code else None
        except Exception as error:
            return error
    return None


def _of_error(error: BaseException, path: Path, watch: Watch) -> dict:
    """Where it happened, its message, and words on it."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    message, word = str(error), next(iter(watch.words(error)), None)
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines, message = [error.lineno], error.msg
    elif isinstance(error, EOFError):
        word = _("Nobody is there to type while a program is checked: do without input().")
    elif isinstance(error, FileNotFoundError) and "diabetes" in message:
        word = _("The table is data/diabetes.csv: a check runs programs in the project's folder.")
    found = {"error": f"{type(error).__name__}: {message}", "word": word}
    if lines and lines[-1]:
        linecache.checkcache(str(path))
        code = linecache.getline(str(path), lines[-1]).strip()
        found["where"] = _("line {number}: {code}").format(number=lines[-1], code=code)
    return found


def _finding(got: str | None, expected: str, word: str | None = None) -> dict:
    return {"got": got, "expected": expected, "word": word}


def _problems(number, source: str, watch: Watch, printed, errors, scopes: dict) -> Iterator[dict]:
    """All that is wrong with a program that has come to its end."""
    if number == "01":
        yield from _about_grid_search(printed, scopes)
        return
    yield from ({"word": word} for word in watch.words())
    names = [one for scope in scopes.values() for one in scope.values()]
    leaves = [*watch.leaves.values(), *(one for one in names if isinstance(one, torch.Tensor))]
    leaves += [one for model in watch.models for one in model.parameters()]
    numbers = [
        one.item() for one in leaves if one.is_leaf and one.requires_grad and one.numel() == 1
    ]
    if number == "02":
        if not any(abs(w - 2) <= 0.05 for w in numbers):
            yield _finding(
                f"w = {numbers[-1]:.4f}" if numbers else None,
                _("w ends near 2: a tensor with requires_grad=True, one number"),
                _("Does each epoch update it, with a learning rate that is high enough?"),
            )
        return
    trained = [loss for loss in watch.losses if loss.trained]
    if not trained:
        expected = _("a loss, loss.backward() and an update in each epoch")
        yield _finding(_("nothing was trained: backward() never ran"), expected)
        return
    yield from _about_training(trained, watch)
    if number == "03" and not watch.models:
        yield from _about_line([4 * w + b for w in numbers for b in [0, *numbers]])
    elif watch.models:
        yield from _about_models(number, watch, len(trained))
    yield from _about_printed_losses(source, watch, printed, errors)
    yield from _about_accuracy(number, source, watch, printed)


# What it has found or learned


def _about_grid_search(printed: Printed, scopes: dict) -> Iterator[dict]:
    """The weight with the lowest error is 2: a variable, in a table of errors, or printed."""
    numbers, columns = [], []
    for name, value in [item for scope in scopes.values() for item in scope.items()]:
        if name.startswith("__"):
            continue
        with contextlib.suppress(Exception):  # what is no number, and no table of numbers
            value = list(value.items()) if isinstance(value, dict) else value
            array = np.asarray(value, dtype=float).squeeze()
            numbers += [float(array)] if not array.ndim else []
            columns += [array] if array.ndim == 1 else list(array.T) if array.ndim == 2 else []
    columns = [column for column in columns if len(column) > 3]  # not the data
    pairs = [(w, mse) for w in columns for mse in columns if len(w) == len(mse) and w is not mse]
    best = [float(w[mse.argmin()]) for w, mse in pairs if mse.min() >= 0]
    said = [text for text, *_position in printed.lines if re.search(r"\bw\b|best|最", text)]
    said = [_number(one)[0] for text in said for one in re.findall(NUMBER, text)]
    if not any(abs(one - 2) < 0.05 for one in said or [*numbers, *best]):
        got = [f"w = {w:.4g}" for w in said[-1:] or best[:1]]
        expected = _("the lowest mean squared error at w = 2, in a variable or printed")
        yield _finding(*got or [None], expected)


def _about_training(trained: list, watch: Watch) -> Iterator[dict]:
    """The loss falls: that of the model which was trained longest, from first to last epoch."""
    by_model = {}
    for loss in trained:
        by_model.setdefault(id(loss.model), []).append(loss.value)
    values = max(by_model.values(), key=len)
    lengths = [one for one in _batches(watch, trained=True) if 2 * one <= len(values)]
    length = max(lengths, default=max(1, len(values) // 10))
    first, last = np.mean(values[:length]), np.mean(values[-length:])
    if min(values) < 0:
        word = _("Is its sign wrong? Or does NLLLoss get another input than log_softmax's output?")
        yield _finding(
            _("a loss of {loss:.4g}").format(loss=min(values)), _("a loss above 0"), word
        )
    if not last < first - 1e-4 * abs(first):
        word = _("Is the learning rate high enough, and does each epoch update the parameters?")
        if not last <= first:
            word = _("Is the learning rate too high, or the update's sign wrong?")
        got = _("a loss of {first:.4g} at first, and {last:.4g} at the end")
        yield _finding(got.format(first=first, last=last), _("a loss that falls"), word)


def _batches(watch: Watch, trained: bool = False) -> list[int]:
    """How many batches the loaders have in an epoch."""
    lengths = []
    for one in watch.loaders:
        with contextlib.suppress(TypeError):  # an IterableDataset has no length
            lengths += [len(one.loader)] if one.trained or not trained else []
    return lengths


def _output(model: torch.nn.Module, *rows) -> torch.Tensor:
    """What the model says of these rows, as numbers; none, if it can't take them."""
    was_training = model.training
    try:
        return model.eval()(torch.tensor(rows).to(next(model.parameters()))).float().cpu()
    except Exception:  # a reader's model may raise anything
        return torch.tensor([])
    finally:
        model.train(was_training)


def _about_line(predictions: list[float]) -> Iterator[dict]:
    if not any(abs(one - 8) <= 1 for one in predictions):
        got = _("the prediction for x = 4 is {y:.4g}")
        yield _finding(
            got.format(y=predictions[0]) if predictions else None,
            _("about 8, by a model that takes (N, 1) and returns (N, 1)"),
            _("Are the data those of y = 2x? Or does it need more epochs?"),
        )


def _about_models(number: str, watch: Watch, updates: int) -> Iterator[dict]:
    """One of the models is of the chapter's kind, and knows what it should."""
    if number == "03":
        outputs = [_output(model, [4.0]) for model in watch.models]
        yield from _about_line([one.item() for one in outputs if one.numel() == 1])
    elif number == "04" and updates >= ENOUGH_UPDATES:
        found = []
        for model in watch.models:
            z = _output(model, [1.0], [3.0], [-1e4], [1e4])
            z = z[:, 1] - z[:, 0] if z.shape == (4, 2) else z.flatten()
            z = z if len(z) and z.min() >= 0 and z.max() <= 1 else z.sigmoid()  # from logits
            found += [z[:2].tolist()] if len(z) == 4 else []
        if not any(p < 0.5 and p < q for p, q in found):
            got = _("the probability of passing is {p:.3f} after 1 hour, {q:.3f} after 3")
            yield _finding(
                got.format(p=found[0][0], q=found[0][1]) if found else None,
                _("below 0.5 after 1 hour, and higher after 3: labels 0, 0 and 1"),
            )
    elif number in ("05", "06"):
        if not any(_output(model, [0.0] * 8).numel() for model in watch.models):
            yield _finding(
                _("no model that was trained takes 8 numbers"),
                _("the 8 features of data/diabetes.csv; its last column is the label"),
            )
    elif number in ("07", "10"):
        inputs = np.zeros((1, 28, 28)).tolist(), [0.0] * 784
        shapes = [_output(model, one).shape for model in watch.models for one in inputs]
        if (1, 10) not in shapes:
            yield _finding(
                _("no model that was trained takes an image and returns 10 numbers"),
                _("(N, 1, 28, 28) or (N, 784) goes in, (N, 10) comes out"),
            )


# What it prints


def _claims(printed: Printed, word: str) -> Iterator[tuple]:
    """What is said to be a loss, or an accuracy: a number's text, the line, and three positions.

    These are (losses, comparisons) until the last line that was printed at another time, until
    this one's start, and until its end.
    """
    before, now = (0, 0), (0, 0)
    for line, start, end in printed.lines:
        for claim in re.finditer(rf"(?:{word})(.*?)(?={LOSS}|{ACCURACY}|[,;，；]|$)", line, re.I):
            numbers = re.findall(NUMBER, claim[1], re.I)
            exact = [one for one in numbers if re.search("[.%e]|nan|inf", one)]
            if not exact and re.match("[^a-z]*[a-z]", claim[1], re.I):  # "in epoch 3"
                numbers = numbers[-1:] if word == ACCURACY else []
            if numbers:
                before, now = (now, end) if end > now else (before, now)
                yield (exact or numbers)[0], line.strip(), before, start, end


def _number(text: str) -> tuple[float, float]:
    """A number, and half a unit of its last digit."""
    mantissa, _e, exponent = text.rstrip("% ").lower().partition("e")
    places = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return float(text.rstrip("% ")), 0.501 * 10.0**-places


class Series:
    """Numbers, how many samples each stands for, and where they come among all: sums of windows."""

    def __init__(self, rows: list[tuple], lengths: set[int]):
        values, samples, self.at = np.array(rows, float).reshape(-1, 3).T
        self.sums = [np.append(0, np.cumsum(one)) for one in (values, values * samples, samples)]
        self.lengths = lengths

    def windows(self, since: int, until: int) -> Iterator[tuple]:
        """Sums, weighted sums, samples, starts and stops of windows.

        At first of those that end at `until`, the one from the beginning and all from `since` on;
        then of all that have one of the lengths.
        """
        first, last = np.searchsorted(self.at, [since, until])
        trailing = np.append(0, np.arange(first, last)) if last else np.array([], int)
        yield self._of(trailing, np.full_like(trailing, last))
        for length in self.lengths:
            starts = np.arange(max(0, last + 1 - length))
            yield self._of(starts, starts + length)

    def _of(self, starts: np.ndarray, stops: np.ndarray) -> tuple:
        return *(one[stops] - one[starts] for one in self.sums), starts, stops


def _about_printed_losses(source: str, watch: Watch, printed, errors) -> Iterator[dict]:
    """The loss is printed, and each is one that was computed, or a mean or a sum of some."""
    rows = [(one.value, one.samples, at) for at, one in enumerate(watch.losses)]
    tested = [row for row in rows if not watch.losses[row[2]].trained]
    trained = [row for row in rows if watch.losses[row[2]].trained]
    summed = re.search(r"reduction *= *.sum|size_average *= *False|\.sum\(\)\.backward", source)
    kinds = [Series(some, {1, *_batches(watch)}) for some in (rows, trained, tested)]

    def is_loss(text: str, since: int, *positions: int) -> bool:
        value, half = _number(text)
        half += 1e-6  # a mean of float32
        half += 1e-5 * abs(value)
        for until in positions:
            for series in kinds:
                for sums, weighted, samples, starts, stops in series.windows(since, until):
                    found = [sums, weighted, sums / (stops - starts), weighted / samples]
                    found += [sums / samples] if summed else []
                    if any(np.any(abs(some - value) <= half) for some in found):
                        return True
        return not np.isfinite(value)

    claims = list(_claims(printed, LOSS))
    for text, line, before, start, end in claims:
        unseen = not tested and re.search("val|test|验证|测试", line, re.I)  # computed by hand
        if not unseen and not is_loss(text, before[0], end[0], start[0]):
            word = _("{number} is no loss of this training.").format(number=text)
            yield _finding(line, _("a loss that the program has computed, or a mean of some"), word)
    lines = [] if claims else printed.lines + errors.lines
    numbers = [(one, end[0]) for text, _start, end in lines for one in re.findall(NUMBER, text)]
    numbers = [(one, at) for one, at in numbers[-300:] if len(one) > 4]
    # With few images or rows, not every print is reached: one after 300 batches isn't.
    unreached = watch.loaders and re.search(rf"print\(.*({LOSS})", source, re.I)
    if not claims and not unreached and not any(is_loss(one, at, at) for one, at in numbers):
        expected = _("the loss while it trains, as by print('Loss:', loss.item())")
        yield _finding(_("no loss is printed"), expected)


def _about_accuracy(number: str, source: str, watch: Watch, printed: Printed) -> Iterator[dict]:
    """An accuracy is true; in chapters 7 and 10 it is that of all test images, after training."""
    compared = watch.comparisons
    rows = [(one.correct, one.total, at) for at, one in enumerate(compared)]
    series = Series(rows, {1, *_batches(watch)})
    claims = list(_claims(printed, ACCURACY))
    if claims and not compared and re.search(NOT_BY_TORCH, source):
        return
    trained = [at for at, one in enumerate(watch.losses) if one.trained]
    of_all = []  # the accuracies on all test images, and whether training had ended
    for text, line, before, start, end in claims:
        value, half = _number(text)
        half += 1e-6  # a mean of float32
        fitting = []  # windows: total, share, and whether predictions were compared
        for until in (end[1], start[1]):
            for correct, _weighted, total, starts, stops in series.windows(before[1], until):
                share = correct / total
                fits = abs(100 * share - value) <= half + 0.5 * ("." not in text)  # int() cuts off
                if "%" not in text:
                    fits |= abs(share - value) <= half if "." in text else correct == value
                for at in np.flatnonzero(fits):
                    window = compared[starts[at] : stops[at]]
                    predicts = all(one.predicts or one.total == 1 for one in window)  # row by row
                    fitting.append((total[at], share[at], predicts))
        if not any(predicts for *_window, predicts in fitting):
            word = _("{number} is not the share of right predictions.").format(number=text)
            if fitting:
                word = _("What is compared with the labels is not what the model's output says.")
            expected = _("right predictions divided by all, of all batches since the last test")
            yield _finding(line, expected, word)
        whole = [share for total, share, _predicts in fitting if total == few.TEST_IMAGES]
        of_all += [(share, end[0] > trained[-1]) for share in whole]
    if number not in ("07", "10"):
        return
    expected = _("the accuracy on all test images, as by print('Accuracy:', correct / total)")
    if not claims:
        yield _finding(_("no accuracy is printed"), expected)
    elif not of_all:
        got = _("no accuracy is that of all {number} test images")
        yield _finding(got.format(number=few.TEST_IMAGES), expected)
    elif not any(after for _share, after in of_all):
        got = _("the accuracy was measured before the training ended")
        yield _finding(got, _("train first, then test"))
    elif (
        of_all[-1][0] < 0.5 and np.mean([watch.losses[at].value for at in trained[-16:]]) < LEARNED
    ):
        got = _("the loss is low, and the accuracy on the test images is {accuracy:.2f}")
        expected = _("about 0.8: training and test images have their own labels")
        yield _finding(got.format(accuracy=of_all[-1][0]), expected)
