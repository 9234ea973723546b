"""Values of a reader's function beside those of the project's own: equal or not, shown, explained.

The examiner asks; what it is told is meant for a person who has just begun with torch.
"""

import inspect
import math
from pathlib import PurePath

import numpy as np
import torch

from common.language import _

CLOSE = {"rtol": 1e-3, "atol": 1e-5, "equal_nan": True}
MOST_NUMBERS = 30  # that are shown of one value


# Equal or not


def same(one, other) -> bool:
    """Equal but for rounding; things that can't be compared count as equal."""
    if isinstance(other, torch.nn.Module):
        if not isinstance(one, torch.nn.Module) or one.training != other.training:
            return False
        return same(one.state_dict(), other.state_dict())
    if isinstance(other, torch.Tensor):
        if not isinstance(one, torch.Tensor) or one.shape != other.shape:
            return False
        if one.dtype != other.dtype or one.device != other.device or other.is_meta:
            return one.dtype == other.dtype and one.device == other.device
        return torch.allclose(one.detach(), other.detach(), **CLOSE)
    if isinstance(other, torch.utils.data.TensorDataset):
        return isinstance(one, type(other)) and same(one.tensors, other.tensors)
    if isinstance(other, bool | str) or other is None:
        return one == other
    if isinstance(other, int | float | np.ndarray | np.number):
        if isinstance(one, torch.Tensor):
            return False
        try:
            one = np.asarray(one, dtype=float)
            return one.shape == np.shape(other) and np.allclose(one, other, **CLOSE)
        except (TypeError, ValueError, RuntimeError):
            return False
    if isinstance(other, list | tuple):
        if not isinstance(one, list | tuple) or len(one) != len(other):
            return False
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(other, dict):
        if not isinstance(one, dict) or one.keys() != other.keys():
            return False
        return all(same(one[key], other[key]) for key in other)
    return one is not None  # a figure, an optimizer: the test's own words must do


# Shown


def shown(value) -> str:
    """A value with all its numbers, if they are few, or what it is."""
    if isinstance(value, torch.nn.Module):
        name, own = type(value).__name__, list(value.named_parameters())
        if not own and getattr(value, "reduction", "mean") != "mean":
            return f"{name}(reduction={value.reduction!r})"
        if not own:
            return " ".join(repr(value).split()) if len(repr(value)) < 100 else name
        if sum(parameter.numel() for _, parameter in own) > MOST_NUMBERS:
            return _("a {name}").format(name=name)
        numbers = ", ".join(f"{key} {_numbers(one)}" for key, one in own)
        return _("{name} with {numbers}").format(name=name, numbers=numbers)
    if isinstance(value, torch.optim.Optimizer):
        group = value.param_groups[0]
        known = [key for key in ("lr", "momentum", "weight_decay") if group.get(key)]
        return f"{type(value).__name__}({', '.join(f'{key}={group[key]:g}' for key in known)})"
    if isinstance(value, torch.utils.data.DataLoader):
        return _("a DataLoader of {n} batches").format(n=len(value))
    if isinstance(value, torch.utils.data.TensorDataset):
        return f"TensorDataset({', '.join(map(shown, value.tensors))})"
    if isinstance(value, torch.Tensor | np.ndarray | np.number):
        return _numbers(value)
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, float):
        return repr(value) if float(f"{value:.6g}") == value else f"{value:.6g}"
    if type(value) is dict:
        return f"{{{', '.join(f'{key!r}: {shown(one)}' for key, one in value.items())}}}"
    if type(value) in (list, tuple):
        if len(value) > MOST_NUMBERS:
            first = ", ".join(map(shown, value[:3]))
            return _("{first}, … ({n} in all)").format(first=first, n=len(value))
        inner = ", ".join(map(shown, value))
        if len(inner) > 200 and any(isinstance(one, list | tuple) for one in value):
            first = shown(value[0])
            return _("a list of {n}, the first {first}").format(n=len(value), first=first)
        return f"[{inner}]" if type(value) is list else f"({inner}{',' * (len(value) == 1)})"
    if inspect.isroutine(value):
        return _("a function {name}").format(name=value.__name__)
    text = repr(value)
    return text if len(text) <= 300 and "\n" not in text and " at 0x" not in text else _kind(value)


def _numbers(value) -> str:
    """[[1, 2.5], [3, 4]], or its shape alone where there are too many."""
    if isinstance(value, torch.Tensor) and value.is_meta:
        return _("numbers of shape {shape}").format(shape=tuple(value.shape))
    value = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if value.size > MOST_NUMBERS:
        return _("numbers of shape {shape}").format(shape=value.shape)
    if value.ndim:
        return f"[{', '.join(_numbers(part) for part in value)}]"
    return f"{value.item():.4g}" if value.dtype.kind == "f" else repr(value.item())


def _is(got: str, expected: str) -> str:
    return _("it is {got}; expected is {expected}").format(got=got, expected=expected)


def _kind(value) -> str:
    """What it is: a Tensor of shape (2, 3), a float."""
    if isinstance(value, torch.Tensor | np.ndarray):
        name = type(value).__name__
        return _("a {name} of shape {shape}").format(name=name, shape=tuple(value.shape))
    return _("a {name}").format(name=type(value).__name__)


# Explained


def _softmax(x: torch.Tensor) -> torch.Tensor:
    """Of rows that have several numbers; of others, what no result is equal to."""
    return x.softmax(dim=-1) if x.ndim > 1 and x.shape[-1] > 1 else x.new_empty(0)


def _usual() -> dict:
    """What happens to a whole result by mistake, and its words."""
    return {
        _softmax: _("this is the softmax of what is expected: is it applied once too often?"),
        torch.sigmoid: _("this is the sigmoid of what is expected: is it applied once too often?"),
        torch.logit: _("this is the logit of what is expected: is the sigmoid missing?"),
        torch.relu: _("negative numbers have become 0: is there a ReLU too many?"),
        torch.square: _("this is the square of what is expected"),
        torch.exp: _("this is the exponential of what is expected: is a logarithm missing?"),
        torch.log: _("this is the logarithm of what is expected: is an exponential missing?"),
        (lambda x: 1 - x): _("this is 1 minus what is expected"),
    }


def pattern(got, expected, sizes: set[int]) -> str | None:
    """What is wrong in a word, where the difference has a pattern.

    `sizes` are lengths that the input has: a result that is so many times too large is a sum where
    a mean is expected.
    """
    if got is None:
        return _("it returns nothing: is `return` missing?")
    if isinstance(expected, list | tuple | dict):
        return _pattern_of_parts(got, expected, sizes)
    if isinstance(got, torch.nn.Module) and isinstance(expected, torch.nn.Module):
        own, wanted = got.state_dict(), expected.state_dict()
        wrong = [key for key in wanted if not same(own.get(key), wanted[key])]
        if not wrong and got.training != expected.training:
            if got.training:
                return _("it is in training mode; expected is evaluation mode")
            return _("it is in evaluation mode; expected is training mode")
        said = _("it has other values of {names} than expected")
        return said.format(names=_list(wrong)) if wrong else None
    a, b = _tensor(got), _tensor(expected)
    if b is None or isinstance(expected, torch.nn.Module | str):
        if isinstance(expected, type(got)):
            return None
        return _is(_kind(got), _kind(expected))
    if a is None or isinstance(got, torch.Tensor) != isinstance(expected, torch.Tensor):
        return _is(*(_("a {name}").format(name=type(one).__name__) for one in (got, expected)))
    if a.shape != b.shape:
        return _pattern_of_shapes(a, b)
    if isinstance(got, torch.Tensor) and got.dtype != expected.dtype:
        said = _("its numbers are {got}; expected is {expected}")
        return said.format(got=got.dtype, expected=expected.dtype)
    a, b = a.double(), b.double()
    if a.isnan().any() and not b.isnan().any():
        return _("it isn't a number (nan): something was divided by 0, or infinite")
    if a.ndim == 2 and _close(a.T, b):
        return _("it is transposed: rows and columns are exchanged")
    return (
        _pattern_of_factors(a, b, sizes)
        or _pattern_of_rows(a, b)
        or _pattern_of_functions(a, b)
        or _pattern_of_places(a, b)
    )


def is_vague(word: str | None) -> bool:
    """Whether this is no more than a count of wrong numbers."""
    count = _("wrong are {wrong} of {n}, the first at {place}: {got:.4g} instead of {expected:.4g}")
    return not word or count.partition("{")[0] in word


def _pattern_of_parts(got, expected, sizes) -> str | None:
    """What is wrong with the first wrong value of a list, a tuple or a dict."""
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return _is(_kind(got), _("a {name}").format(name="dict"))
        if got.keys() != expected.keys():
            said = _("its keys are {got}; expected are {expected}")
            got, expected = (", ".join(map(str, one)) for one in (got, expected))
            return said.format(got=got, expected=expected)
        parts = [(key, got[key], expected[key]) for key in expected]
    elif not isinstance(got, list | tuple):
        return _is(_kind(got), _("a {name}").format(name=type(expected).__name__))
    elif len(got) != len(expected):
        said = _("its length is {got}; expected is {expected}")
        return said.format(got=len(got), expected=len(expected))
    elif all(isinstance(one, int | float) for one in [*got, *expected]):
        return pattern(torch.tensor(got).double(), torch.tensor(expected).double(), sizes)
    else:
        parts = [
            (_("value {number} of {n}").format(number=number, n=len(got)), one, other)
            for number, (one, other) in enumerate(zip(got, expected, strict=True), start=1)
        ]
    wrong = [(name, pattern(a, b, sizes)) for name, a, b in parts if not same(a, b)]
    if not wrong:
        return None
    name, word = min(wrong, key=lambda one: is_vague(one[1]))  # the first that says more
    if word:
        return _("in {name}: {word}").format(name=name, word=word)
    return _("what differs is {name}").format(name=name)


def _pattern_of_shapes(a, b) -> str:
    shapes = _("its shape is {got}; expected is {expected}")
    shapes = shapes.format(got=tuple(a.shape), expected=tuple(b.shape))
    if a.ndim == 2 and a.T.shape == b.shape and _close(a.T, b):
        return _("{shapes}: it is transposed").format(shapes=shapes)
    if a.numel() == b.numel() and _close(a.flatten(), b.flatten()):
        return _("{shapes}: the numbers are right").format(shapes=shapes)
    if b.numel() == 1 and _close(a.double().mean().view_as(b), b):
        return _("{shapes}: the mean is missing").format(shapes=shapes)
    if b.numel() == 1 and _close(a.double().sum().view_as(b), b):
        return _("{shapes}: the sum is missing").format(shapes=shapes)
    return shapes


def _pattern_of_factors(a, b, sizes) -> str | None:
    """A factor that all numbers have; of a single number, only one that is not by chance."""
    if not a.numel() or not b.all():
        return None
    ratios = (a / b).flatten()
    factor = ratios[0].item()
    if factor == 0 or not math.isfinite(factor) or not torch.allclose(ratios, ratios[:1], 1e-4, 0):
        return None
    if math.isclose(factor, -1, rel_tol=1e-3):
        return _("the sign is wrong")
    whole, inverse = round(factor), round(1 / factor)
    if math.isclose(factor, whole, rel_tol=1e-3) and whole in sizes - {1}:
        said = _("it is {n} times what is expected: a sum instead of a mean?")
        return said.format(n=whole)
    if math.isclose(1 / factor, inverse, rel_tol=1e-3) and inverse in sizes - {1}:
        said = _("it is 1/{n} of what is expected: a mean instead of a sum?")
        return said.format(n=inverse)
    simple = any(math.isclose(factor, known, rel_tol=1e-3) for known in (2, 0.5, 100, 0.01, -2))
    if simple or b.unique().numel() > 1:
        return _("it is {factor:.4g} times what is expected").format(factor=factor)
    return None


def _pattern_of_rows(a, b) -> str | None:
    """Probabilities that add up to 1 in each row, as softmax makes them."""
    if b.ndim < 1 or b.shape[-1] < 2 or (b < 0).any() or not _adds_up_to_1(b, dim=-1):
        return None
    if _adds_up_to_1(a, dim=-1):
        return None
    if a.ndim > 1 and _adds_up_to_1(a, dim=-2):
        return _("its columns add up to 1; its rows should: the sum goes along the wrong dimension")
    sums = a.sum(dim=-1)
    said = _("its rows add up to {sums}; rows of probabilities add up to 1")
    return said.format(sums=_numbers(sums.flatten()[:6]))


def _adds_up_to_1(x, dim: int) -> bool:
    sums = x.sum(dim=dim)
    return _close(sums, torch.ones_like(sums))


def _pattern_of_functions(a, b) -> str | None:
    if b.unique().numel() < 2:  # of a single number, anything may be true by chance
        return None
    for function, words in _usual().items():
        if _close(a, function(b)):
            return words
    return None


def _pattern_of_places(a, b) -> str | None:
    """A constant that is added to all, or where the wrong numbers stand."""
    difference = (a - b).flatten()
    if len(difference) < 2:
        return None
    if _close(difference, difference[:1].expand_as(difference)):
        said = _("each number is {difference:+.4g} away from what is expected")
        return said.format(difference=difference[0].item())
    if a.ndim == 1 and _close(a.sort().values, b.sort().values):
        return _("the numbers are right, their order is not")
    if a.ndim == 1 and _close(a[:-1], b[1:]):
        return _(
            "each number stands one place too early: is it recorded after the update, not before?"
        )
    wrong = (~_equal(a, b)).nonzero()
    if len(wrong) == a.numel() <= MOST_NUMBERS:
        return None
    at = tuple(wrong[0].tolist())
    numbers = {"got": a[at].item(), "expected": b[at].item(), "place": list(at)}
    said = _("wrong are {wrong} of {n}, the first at {place}: {got:.4g} instead of {expected:.4g}")
    return said.format(wrong=len(wrong), n=a.numel(), **numbers)


def _tensor(value) -> torch.Tensor | None:
    """Its numbers as a tensor on the CPU, or None if it has none."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    try:
        return torch.as_tensor(np.asarray(value, dtype=float))
    except (TypeError, ValueError):
        return None


def _close(a, b) -> bool:
    return a.shape == b.shape and bool(_equal(a, b).all())


def _equal(a, b) -> torch.Tensor:
    return torch.isclose(a.double(), b.double(), **CLOSE)


def sizes_of(arguments: dict) -> set[int]:
    """The lengths that a mean over these arguments might divide by."""
    sizes = set()
    for value in arguments.values():
        if isinstance(value, torch.Tensor | np.ndarray):
            sizes |= {*value.shape, int(np.prod(value.shape))}
        elif isinstance(value, list | torch.utils.data.DataLoader | torch.utils.data.Dataset):
            sizes.add(len(value))
    return sizes


# Gradients


def tracked(arguments: dict) -> dict[str, torch.Tensor]:
    """The tensors among the arguments that autograd watches, parameters of modules too, by name."""
    found = {}
    for name, value in arguments.items():
        if isinstance(value, torch.nn.Module):
            found |= {key: one for key, one in value.named_parameters() if one.requires_grad}
        elif isinstance(value, torch.Tensor) and value.requires_grad:
            found[name] = value
    return found


def reached(result, tensors: dict[str, torch.Tensor]) -> set[str]:
    """The names of those tensors that a gradient of the result would reach, by its graph."""
    parts = result if isinstance(result, list | tuple) else [result]
    parts = [part for part in parts if isinstance(part, torch.Tensor)]
    nodes = [part.grad_fn for part in parts]
    seen, leaves = set(), {id(part) for part in parts}
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaves.add(id(getattr(node, "variable", None)))
        nodes += [previous for previous, _ in node.next_functions]
    return {name for name, one in tensors.items() if id(one) in leaves or one.grad_fn in seen}


# Arguments


def named(name: str, value) -> str | None:
    """An argument as "x = [1, 2]"; None for a self that can't be shown."""
    if name != "self":
        return f"{name} = {shown(value)}"
    text = shown(value)
    if text == _kind(value):
        return None
    return f"{_('the model') if isinstance(value, torch.nn.Module) else 'self'} = {text}"


def _list(names: list[str]) -> str:
    if len(names) <= 4:
        return ", ".join(names)
    return _("{names} and others").format(names=", ".join(names[:3]))


def changed(name: str, before, mine, expected) -> dict | None:
    """Got, expected and a word, if a function leaves an argument in another state than it should.

    `before` is the argument as it was, `mine` as the reader's function leaves it, and `expected` as
    the project's own does.
    """
    if same(mine, expected):
        return None
    name = _("the model") if name == "self" else name
    if isinstance(expected, torch.nn.Module) and isinstance(mine, torch.nn.Module):
        if mine.training != expected.training:
            got, want = _("{name} is left in training mode"), _("{name} in evaluation mode: eval()")
            if expected.training:
                got = _("{name} is left in evaluation mode")
                want = _("{name} in training mode: train()")
            return {"got": got.format(name=name), "expected": want.format(name=name)}
        old, new, wanted = (one.state_dict() for one in (before, mine, expected))
        wrong = [key for key in wanted if not same(new.get(key), wanted[key])]
        if wrong and all(key in new and torch.equal(new[key], old[key]) for key in wrong):
            got = _("{names} of {name} is as it was before")
            return {
                "got": got.format(names=_list(wrong), name=name),
                "expected": _("it is updated"),
                "word": _("Is backward() or step() missing, or do they come in the wrong order?"),
            }
        got, want = (shown({key: state[key] for key in wrong}) for state in (new, wanted))
        if sum(wanted[key].numel() for key in wrong) > MOST_NUMBERS:
            got = _("other values of {names}").format(names=_list(wrong))
            want = _("those of the chapter's own function")
        word = pattern(new[wrong[0]], wanted[wrong[0]], set()) if wrong else None
        return {
            "got": _("{name} has {got} afterwards").format(name=name, got=got),
            "expected": want,
            "word": word and _("in {name}: {word}").format(name=wrong[0], word=word),
        }
    got = _("{name} is {value} afterwards").format(name=name, value=shown(mine))
    if same(expected, before):
        want = _("{name} is left as it was, {value}").format(name=name, value=shown(before))
        word = _("Its caller may need it again: compute a new one instead of changing this one.")
        return {"got": got, "expected": want, "word": word}
    return {"got": got, "expected": shown(expected), "word": pattern(mine, expected, set())}
