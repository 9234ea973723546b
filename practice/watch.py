"""What a program does with torch, and words for what everybody gets wrong with it.

with Watch() as watch:
    ...  # any program
print(watch.losses[-1].value, watch.words())
"""

import functools
import itertools
import math
import re
import threading
import weakref
from dataclasses import dataclass, field

import torch
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler
from torch.utils.data.dataloader import _BaseDataLoaderIter

from common.language import _

MOST_ROWS, MOST_LEAVES, MOST_NODES = 300_000, 64, 20_000  # that are kept or looked at
FEW_ROWS = 20  # with fewer there is no test set to keep apart
FEW_LOSSES = 3  # a sum of so many may be a loss of several parts
LOSSES = ["binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "l1_loss"]
LOSSES += ["huber_loss", "mse_loss", "multi_margin_loss", "nll_loss", "smooth_l1_loss"]
SAME_NUMBERS = ("View", "UnsafeView", "Reshape", "Squeeze", "Unsqueeze", "Clone", "ToCopy")
_active: list["Watch"] = []  # the inner one last
_looking = False  # what a watch itself does with torch is not the program's
_keys = itertools.count()


@dataclass
class Loss:
    """A result of a loss function, or what backward() ran on."""

    value: float  # the mean, where there are several numbers
    samples: int  # the batch's length, 1 if unknown
    trained: bool  # backward() ran on it
    model: torch.nn.Module | None  # whose prediction it is about
    grad: bool  # False under no_grad
    twice: str = ""  # "Softmax" or "Sigmoid", before a loss that has it built in


@dataclass
class Comparison:
    """One `predicted == labels`, or `!=`."""

    correct: int
    total: int
    predicts: bool  # one side is what the model's last output says
    model: torch.nn.Module | None
    forward: dict  # that made this output

    @property
    def rows(self) -> tuple:
        """A number for each input row of that output."""
        return self.forward.get("rows", ())


@dataclass
class Used:
    """A root module, its last input and output, the rows it has seen and those it learned from."""

    module: torch.nn.Module
    number: int
    inputs: tuple = ()
    output: object = None
    trained: bool = False
    forward: dict = field(default_factory=dict)  # the last one
    version: int = -1  # of the last input
    seen: set = field(default_factory=set)
    learned: set = field(default_factory=set)


@dataclass
class Loader:
    """A DataLoader that was iterated."""

    loader: DataLoader
    shuffled: bool
    fed: int = 0  # batches after which backward() ran, while it was iterated
    waiting: bool = False  # a batch has come, and no backward() yet

    trained = property(lambda self: self.fed > 0)
    dataset = property(lambda self: self.loader.dataset)


@dataclass
class Leaf:
    """A parameter, or another leaf, that a gradient reaches."""

    tensor: torch.Tensor
    reached: int = 0  # so often
    grad: str = ""  # "new"; "used" in an update; "mixed", where a new one was added to a used one
    stepped: bool = False  # by an optimizer; if not, some of its numbers tell of an update
    changed: bool = False
    numbers: list | None = None

    def look(self) -> bool:
        """Whether it has been updated by hand since the last look."""
        before, flat = self.numbers, self.tensor.detach().reshape(-1)
        self.numbers = flat[:: len(flat) // 16 + 1].tolist()
        changed = before is not None and before != self.numbers
        self.changed |= changed
        return changed


def _quiet() -> bool:
    """Whether to record nothing: torch.compile reads the code, or a CUDA graph is captured."""
    return (
        torch.compiler.is_compiling()
        or _looking
        or not _active
        or threading.current_thread() is not threading.main_thread()
        or (torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing())
    )


def _safe(method):
    """What a watch can't understand doesn't disturb the program."""

    @functools.wraps(method)
    def safe(self, *args, **kwargs):
        global _looking
        _looking = True
        try:
            with torch.no_grad():
                return method(self, *args, **kwargs)
        except Exception as error:
            self.problems.add(f"{method.__name__}: {type(error).__name__}: {error}")
        finally:
            _looking = False

    return safe


def _graph(tensors, most: int) -> list:
    """The nodes from which the tensors were computed, the nearest first."""
    queue = [one.grad_fn for one in tensors if one.grad_fn is not None]
    known = set(queue)
    for node in queue:
        for before, _number in node.next_functions:
            if before is not None and before not in known and len(queue) < most:
                known.add(before)
                queue.append(before)
    return queue


def _tensors(value) -> list[torch.Tensor]:
    """The tensors in a module's inputs or output."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [x for one in parts for x in _tensors(one)] if type(value) in (list, tuple, dict) else []


def _rows(x: torch.Tensor) -> tuple:
    """A number for each row, nearly surely another one for another row."""
    numbers = x.detach().cpu().double().reshape(len(x), -1)
    weights = torch.cos(torch.arange(1, numbers.shape[1] + 1, dtype=torch.double) ** 2)
    return tuple((numbers @ weights).round(decimals=6).tolist())


def _crosses(a, b) -> bool:
    """Whether one is (N, 1) and the other (N,): together they make (N, N)."""
    one, other = sorted((a.shape, b.shape), key=len)
    return len(one) == 1 and one[0] > 1 and other == (one[0], 1)


class Watch:
    """Records what a program does with torch, in the main thread, between enter and exit.

    `data=False`: loaders and rows are not the program's own, as in a test; no word on them.
    """

    def __init__(self, data: bool = True):
        self.data = data
        self.losses: list[Loss] = []
        self.comparisons: list[Comparison] = []
        self.used: dict[torch.nn.Module, Used] = {}  # root modules with parameters
        self.leaves: dict[int, torch.Tensor] = {}  # by id: those of no module
        self.loaders: list[Loader] = []
        self.optimizers: dict[Optimizer, dict] = {}  # how many steps found which gradients
        self.backwards = self.zero_grads = self.steps = 0
        self.problems: set[str] = set()  # a watch's own, which the program doesn't notice
        self._key, self._depth, self._last = next(_keys), 0, None
        self._leaf: dict[int, Leaf] = {}
        self._owned: set[int] = set()  # ids of the parameters of `used`
        self._iterators = weakref.WeakKeyDictionary()
        self._now = (lambda: None), None  # the iterator that gave the last batch, and its Loader
        self._sums: list[dict] = []
        self._crossed = 0  # N, where (N, 1) has met (N,)
        self._mixed = 0  # updates with gradients that had added up
        self._in_eval: set[int] = set()  # numbers of those that the last backward() went through
        self._evaluated = 0  # updates by such a backward()

    @property
    def models(self) -> list[torch.nn.Module]:
        """The root modules through which a gradient went, in the order of their first use."""
        return [used.module for used in self.used.values() if used.trained]

    def __enter__(self):
        def hook(method):
            return lambda *args: None if _quiet() else method(*args)

        module, how = torch.nn.modules.module, {"with_kwargs": True, "always_call": True}
        self._hooks = [
            module.register_module_forward_pre_hook(hook(self._enter)),
            module.register_module_forward_hook(hook(self._leave), **how),
            register_optimizer_step_post_hook(hook(self._step)),
        ]
        for owner, name, function, _original in [] if _active else PATCHES:
            setattr(owner, name, function)
        _active.append(self)
        return self

    def __exit__(self, *error):
        _active.remove(self)
        for handle in self._hooks:
            handle.remove()
        for owner, name, _function, original in [] if _active else PATCHES:
            setattr(owner, name, original) if original else delattr(owner, name)

    # What happens: models, losses, comparisons

    def _mark(self, tensor, kind: str, value) -> None:
        """Leave a note in the graph. It must hold no tensor: that would keep the graph for ever."""
        if tensor.grad_fn is not None:
            tensor.grad_fn.metadata[self._key, kind] = value

    def _marks(self, nodes, kind: str) -> list:
        found = (node.metadata.get((self._key, kind)) for node in nodes if node is not None)
        return [one for one in found if one is not None]

    def _model(self, forwards: list[dict]):
        return list(self.used)[forwards[0]["used"]] if forwards else None

    def _enter(self, module, args):
        self._depth += 1

    def _leave(self, module, args, kwargs, output):
        self._depth = max(0, self._depth - 1)
        if not self._depth and output is not None:
            self._called(module, (*args, *kwargs.values()), output)

    @_safe
    def _called(self, module, inputs, output):
        if module not in self.used:
            parameters = list(module.parameters())
            if not parameters:
                return
            self.used[module] = Used(module, len(self.used))
            self._owned.update(map(id, parameters))
        used = self._last = self.used[module]
        x, before = (next(iter(_tensors(one)), None) for one in (inputs, used.inputs))
        rows = used.forward.get("rows", ())
        if self.data and x is not None and (x is not before or x._version != used.version):
            rows = _rows(x) if x.ndim and not x.is_meta and len(used.seen) < MOST_ROWS else ()
            used.version = x._version
            used.seen.update(rows)
        used.inputs, used.output = inputs, output
        used.forward = {"used": used.number, "rows": rows, "eval": not module.training}
        for tensor in _tensors(output):
            self._mark(tensor, "forward", used.forward)

    @_safe
    def _lost(self, name, result, input, target, *args, **kwargs):
        forwards = self._marks(_graph([input], 30), "forward")
        if not forwards and self._last and input.ndim:
            last = _tensors(self._last.output)[:1]
            forwards = [self._last.forward for one in last if one.shape[:1] == input.shape[:1]]
        samples = len(input) if input.ndim > (name == "cross_entropy") else 1
        value = math.nan if result.is_meta else float(result.float().mean())
        loss = Loss(value, samples, False, self._model(forwards), result.requires_grad)
        node = input.grad_fn
        while node is not None and node.name().startswith(SAME_NUMBERS):
            node = node.next_functions[0][0]
        before = node.name().partition("Backward")[0] if node is not None else ""
        if name == "cross_entropy" and input.ndim == 2 and len(self.losses) < 3 and loss.grad:
            ones = torch.ones_like(input[:, 0])
            if input.shape[1] > 1 and input.min() >= 0 and torch.allclose(input.sum(1), ones):
                before = "Softmax"
        if name in ("cross_entropy", "binary_cross_entropy_with_logits"):
            loss.twice = before if before in ("Softmax", "Sigmoid") else ""
        elif name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
            self._crossed = len(input) if _crosses(input, target) else self._crossed
        self._mark(result, "loss", len(self.losses))
        self.losses.append(loss)

    def _says(self, side: torch.Tensor) -> bool:
        """Whether these are the classes that the last output predicts."""
        for out in _tensors(self._last and self._last.output)[:1]:
            if out.ndim > 1 and out.shape[-1] > 1:
                predicted = [out.argmax(dim=-1)]
            else:
                predicted = [out > 0.5, out > 0, out.round()]
            flat = side.reshape(-1).double()
            return any(torch.equal(one.reshape(-1).double(), flat) for one in predicted)
        return False

    @_safe
    def _compared(self, equal: bool, result, a, b):
        predicts = self._says(a) or self._says(b)
        if _crosses(a, b):
            self._crossed = len(a) if predicts else self._crossed
        elif a.numel() == b.numel() == result.numel() > 0:
            correct = int(result.sum()) if equal else int((~result).sum())
            used = self._last if predicts else None
            model, forward = (used.module, used.forward) if used else (None, {})
            self.comparisons.append(Comparison(correct, result.numel(), predicts, model, forward))

    @_safe
    def _subtracted(self, result, a, b):
        for y_pred, y in ((a, b), (b, a)):
            outputs = _tensors(self._last and self._last.output)
            by_model = any(one.data_ptr() == y_pred.data_ptr() for one in outputs)
            if (by_model or (y_pred.grad_fn is not None and not self.used)) and not y.requires_grad:
                self._crossed = len(y)

    @_safe
    def _added(self, result, *args):
        before = [node for node, _number in result.grad_fn.next_functions if node is not None]
        sums = self._marks(before, "sum")
        before += [node for one in before for node, _number in one.next_functions]
        losses = self._marks(before, "loss")
        if losses:
            total = sums[0] if sums else {"losses": set(), "trained": False}
            if not sums:
                self._sums.append(total)
            total["losses"].update(losses)
            self._mark(result, "sum", total)

    # What happens: backward, zero_grad, step, batches

    @_safe
    def _before_backward(self, tensors):
        nodes, leaves = _graph(tensors, MOST_NODES), []
        for tensor in [node.variable for node in nodes if hasattr(node, "variable")]:
            if id(tensor) not in self._leaf and id(tensor) not in self._owned:
                if len(self.leaves) == MOST_LEAVES:
                    continue
                self.leaves[id(tensor)] = tensor
            leaf = self._leaf.setdefault(id(tensor), Leaf(tensor))
            leaves.append(leaf)
            if not leaf.stepped and leaf.look() and leaf.grad:
                self._mixed += leaf.grad == "mixed"
                leaf.grad = "used"
            if leaf.grad and (tensor.grad is None or not tensor.grad.any()):
                leaf.grad = ""
        return nodes, leaves

    @_safe
    def _after_backward(self, tensors, nodes, leaves):
        self.backwards += 1
        for leaf in leaves:
            leaf.reached += 1
            leaf.grad = "mixed" if leaf.grad in ("used", "mixed") else "new"
        forwards = self._marks(nodes, "forward")
        for forward in forwards:
            used = self.used[self._model([forward])]
            used.trained = True
            if "trained" not in forward:
                used.learned.update(forward["rows"])
                forward["trained"] = True
        self._in_eval = {forward["used"] for forward in forwards if forward["eval"]}
        for tensor in tensors:
            if not self._marks([tensor.grad_fn], "loss"):
                self._mark(tensor, "loss", len(self.losses))
                value = float(tensor.float().mean())
                self.losses.append(Loss(value, 1, True, self._model(forwards), True))
        for index in self._marks(nodes, "loss"):
            self.losses[index].trained = True
        for total in self._marks(nodes, "sum"):
            total["trained"] = True
        iterator, loader = self._now
        if iterator() is not None and loader.waiting:
            loader.fed, loader.waiting = loader.fed + 1, False

    def _steps(self, optimizer) -> dict:
        return self.optimizers.setdefault(optimizer, {"full": 0, "empty": 0, "strange": 0})

    def _held(self, optimizers) -> set[int]:
        """The ids of all parameters that these hold."""
        return {id(p) for one in optimizers for group in one.param_groups for p in group["params"]}

    @_safe
    def _made(self, _result, optimizer, *args, **kwargs):
        self._steps(optimizer)

    @_safe
    def _step(self, optimizer, args, kwargs):
        self.steps += 1
        leaves = [self._leaf[key] for key in self._held([optimizer]) if key in self._leaf]
        new = [leaf for leaf in leaves if leaf.grad and leaf.tensor.grad is not None]
        self._steps(optimizer)["full" if new else "empty" if leaves else "strange"] += 1
        self._mixed += any(leaf.grad == "mixed" for leaf in new)
        mine = {id(leaf.tensor) for leaf in new}
        in_eval = [module for module, used in self.used.items() if used.number in self._in_eval]
        self._evaluated += any(id(p) in mine for module in in_eval for p in module.parameters())
        for leaf in new:
            leaf.grad, leaf.stepped = "used", True

    @_safe
    def _cleared(self, _result, owner, *args, **kwargs):
        self.zero_grads += 1
        if isinstance(owner, Optimizer):
            self._steps(owner)
            keys = self._held([owner])
        else:
            keys = set(map(id, owner.parameters()))
        for key in keys & set(self._leaf):
            self._leaf[key].grad = ""

    @_safe
    def _iterated(self, iterator, loader):
        record = next((one for one in self.loaders if one.loader is loader), None)
        if record is None:
            sampler = loader.batch_sampler or loader.sampler
            inner = sampler.sampler if isinstance(sampler, BatchSampler) else sampler
            record = Loader(loader, not isinstance(inner, SequentialSampler))
            self.loaders.append(record)
        self._iterators[iterator] = record

    @_safe
    def _fetched(self, _batch, iterator):
        if iterator in self._iterators:
            self._now = weakref.ref(iterator), self._iterators[iterator]
            self._now[1].waiting = True

    # Words

    def words(self, error: BaseException | None = None) -> list[str]:
        """Sentences about what is wrong, worst first; the first one about the error, if known."""
        return [*filter(None, [_about(error)]), *self._about_updates(), *self._about_numbers()]

    def _about_updates(self):
        leaves = [leaf for leaf in self._leaf.values() if leaf.reached > 1]
        for leaf in leaves:
            if not leaf.stepped:
                leaf.look()
        stepped = {one: found for one, found in self.optimizers.items() if any(found.values())}
        missing = [one for one in leaves if not one.changed]
        missing = [one for one in missing if id(one.tensor) not in self._held(stepped)]
        if missing and any(found["full"] + found["empty"] == 0 for found in stepped.values()):
            yield _(
                "The optimizer holds other parameters than those that backward() reaches, so the "
                "model does not learn. Make the optimizer after the model, from "
                "model.parameters() of the model that you train."
            )
        for model in self.models if any(found["full"] for found in stepped.values()) else []:
            of_model = set(map(id, model.parameters()))
            count = sum(id(one.tensor) in of_model for one in missing)
            if count and self._held(stepped) & of_model:
                yield _(
                    "The optimizer holds only some of the model's parameters: {count} others get "
                    "gradients, but are never updated. Give it model.parameters()."
                ).format(count=count)
        if not stepped and any(id(one.tensor) in self._held(self.optimizers) for one in missing):
            yield _(
                "backward() ran {backwards} times, and step() never: the gradients are computed, "
                "but the parameters are never updated. Call optimizer.step() after backward()."
            ).format(backwards=self.backwards)
        for found in stepped.values():
            if found["empty"] and not found["full"]:
                yield _(
                    "When step() ran, there was no gradient: zero_grad() had cleared it, or "
                    "backward() came later. The order is: zero_grad(), backward(), step()."
                )
        if self._mixed and self.optimizers:
            yield _(
                "backward() ran {backwards} times, and zero_grad() {zero_grads} times: each "
                "backward() adds its gradients to the old ones, so gradients add up that have "
                "been used already. Call optimizer.zero_grad() before each backward()."
            ).format(backwards=self.backwards, zero_grads=self.zero_grads)
        elif self._mixed:
            yield _(
                "backward() ran {backwards} times, and the gradient was not cleared after an "
                "update: gradients add up that have been used already. After each update, set it "
                "to zero: w.grad.zero_()."
            ).format(backwards=self.backwards)
        if self._evaluated:
            yield _(
                "The model was trained in evaluation mode ({count} updates): Dropout and BatchNorm "
                "don't do their work then. Call model.train() before you train, also after each "
                "test that has called model.eval()."
            ).format(count=self._evaluated)

    def _about_numbers(self):
        if self._crossed:
            yield _(
                "Shape ({n}, 1) meets ({n},): torch broadcasts them to ({n}, {n}), and each "
                "prediction is compared with all labels. Give both the same shape, by "
                "labels.unsqueeze(1) or y_pred.squeeze(1)."
            ).format(n=self._crossed)
        twice = {loss.twice for loss in self.losses if loss.trained}
        if "Softmax" in twice:
            yield _(
                "There is a softmax before CrossEntropyLoss, which applies softmax itself: the "
                "model learns badly. Give the loss the logits, as the last linear layer makes them."
            )
        if "Sigmoid" in twice:
            yield _(
                "There is a sigmoid before a loss that expects logits and applies its own "
                "activation: the model learns badly. Leave the sigmoid out, or use BCELoss."
            )
        tests = [one for one in self.comparisons if one.predicts and "trained" not in one.forward]
        for model, used in self.used.items() if self.data else []:
            tested = {row for one in tests if one.model is model for row in one.rows}
            enough = len(tested) >= FEW_ROWS and len(used.seen) < MOST_ROWS
            if used.trained and enough and used.seen <= used.learned:
                yield _(
                    "The accuracy is measured on the training data only. That says nothing about "
                    "new data: test with samples that the model has not been trained with."
                )
        for one in self.loaders if self.data else []:
            if one.fed > 1 and not one.shuffled and len(one.loader) > 1:
                yield _(
                    "The DataLoader that you train with doesn't shuffle: each epoch has the same "
                    "batches in the same order. Write DataLoader(…, shuffle=True)."
                )
                break
        for total in self._sums:
            trained = sum(self.losses[index].trained for index in total["losses"])
            if trained > FEW_LOSSES and not total["trained"]:
                yield _(
                    "Losses are added up with their graphs ({count} of them): all that memory is "
                    "kept. Add numbers: loss_sum += loss.item()."
                ).format(count=trained)
                break


def _about(error: BaseException | None) -> str | None:
    """A word for what torch says, if it is something that everybody meets."""
    known = [
        (
            r"shapes cannot be multiplied \((?P<a>\d+)x(?P<b>\d+) and (?P<c>\d+)x(?P<d>\d+)\)",
            _(
                "A layer got rows of {b} numbers; expected are {c}, its in_features. Compare the "
                "shape of the input with the layer's sizes (an image is flattened first)."
            ),
        ),
        (
            r"same device|on device \w+ is not on|is on \w+, but expected on",
            _(
                "Model and data lie on different devices. Move all of them to the same one: "
                "model.to(device), inputs.to(device), labels.to(device)."
            ),
        ),
        (
            r"scalar type Long but|target dtype to be Long|target with class probabilities, got",
            _(
                "CrossEntropyLoss got labels of the wrong type. Expected are class indices, int64 "
                "and of shape (N,): labels.long()."
            ),
        ),
        (
            r"multi-target not supported",
            _(
                "CrossEntropyLoss got labels of shape (N, 1); expected is (N,), a class index for "
                "each row: labels.squeeze(1)."
            ),
        ),
        (
            r"Target (?P<label>-?\d+) is out of bounds",
            _(
                "There is a label {label}, and the model has no output for it: n classes are "
                "counted from 0 to n - 1, and the last layer needs n outputs."
            ),
        ),
        (
            r"to match target batch_size",
            _(
                "Predictions and labels have different numbers of rows. Print the shapes of both; "
                "the first size must be the same."
            ),
        ),
        (
            r"Found dtype (Long|Int|Bool)|desired output type (Long|Int|Bool)",
            _(
                "The loss got labels that are whole numbers. Expected are floats, as the "
                "predictions are: labels.float()."
            ),
        ),
        (
            r"Double|\(double\)|torch.float64",
            _(
                "There are numbers of 64 bits, as NumPy makes them; expected is float32. Read the "
                "table with dtype=np.float32, or convert it by .float()."
            ),
        ),
        (
            r"must have the same dtype|Input type .* should be the same",
            _("A layer got whole numbers; expected are floats: inputs.float()."),
        ),
        (
            r"input size \(torch.Size",
            _(
                "Predictions and labels have different shapes. Give both the same, by "
                "labels.unsqueeze(1) or y_pred.squeeze(1)."
            ),
        ),
        (
            r"elements of input should be between 0 and 1",
            _(
                "BCELoss got predictions outside of 0 to 1; expected are probabilities. Put a "
                "sigmoid after the last layer, or use BCEWithLogitsLoss."
            ),
        ),
        (
            r"only for scalar outputs",
            _(
                "backward() was called on a loss with several numbers; expected is a scalar. Use "
                "the mean or the sum: loss.mean().backward()."
            ),
        ),
        (
            r"does not require grad",
            _(
                "No gradient reaches any parameter: the loss has no graph to go back through. It "
                "was cut by no_grad, .detach(), .data, .item() or torch.tensor(…)."
            ),
        ),
        (
            r"backward through the graph a second time",
            _(
                "backward() ran twice through the same graph, which is freed after the first time. "
                "Compute prediction and loss anew in each turn of the loop."
            ),
        ),
        (
            r"Only Tensors of floating point",
            _("Only floats have gradients. Write 1.0 instead of 1, or convert by .float()."),
        ),
        (
            r"leaf Variable that requires grad.*in-place",
            _("Update a parameter within `with torch.no_grad():`, so that it is not recorded."),
        ),
        (
            r"NoneType.*attribute '(data|zero_)'|for [*/+-]=?: .*NoneType",
            _(
                "A .grad is None: there was no backward() before, or the parameter was replaced "
                "by a computed tensor (w = w - lr * w.grad), which gets no gradient. Update it in "
                "place, within `with torch.no_grad():`: w -= lr * w.grad."
            ),
        ),
    ]
    for pattern, text in known if error is not None else []:
        found = re.search(pattern, str(error))
        if found:
            return text.format(**found.groupdict())
    return None


# The functions that are watched


def _seen(original, method, *more, when=lambda result, *args: True):
    """The function, and then the active watches' method gets its result and arguments."""

    @functools.wraps(original)
    def function(*args, **kwargs):
        if _quiet():
            return original(*args, **kwargs)
        result = original(*args, **kwargs)
        if when(result, *args):
            for watch in _active:
                method(watch, *more, result, *args, **kwargs)
        return result

    return function


def _seen_backward(original):
    @functools.wraps(original)
    def backward(tensors, *args, **kwargs):
        if _quiet():
            return original(tensors, *args, **kwargs)
        ends = [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)
        found = [(watch, watch._before_backward(ends)) for watch in _active]
        original(tensors, *args, **kwargs)
        for watch, before in found:
            if before:
                watch._after_backward(ends, *before)

    return backward


def _two(result, a, b, *rest):
    return isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and not _active[-1]._depth


def _are_compared(result, a, b, *rest):
    return _two(result, a, b) and isinstance(result, torch.Tensor) and result.dtype == torch.bool


def _are_crossed(result, a, b):
    return _two(result, a, b) and result.ndim == 2 and _crosses(a, b)


def _is_sum(result, *rest):
    graph = isinstance(result, torch.Tensor) and result.requires_grad and result.numel() == 1
    return graph and result.grad_fn is not None and not _active[-1]._depth


def _patches():
    """Owner, name, what stands there while something is watched, and what did (None: inherited)."""
    F, Tensor = torch.nn.functional, torch.Tensor
    for name in LOSSES:
        yield F, name, _seen(getattr(F, name), Watch._lost, name)
    for owner, name, equal in [(Tensor, "__eq__", True), (Tensor, "__ne__", False)]:
        yield owner, name, _seen(getattr(owner, name), Watch._compared, equal, when=_are_compared)
    for owner, name in itertools.product((Tensor, torch), ("eq", "ne")):
        function = _seen(getattr(owner, name), Watch._compared, name == "eq", when=_are_compared)
        yield owner, name, function
    yield Tensor, "__sub__", _seen(Tensor.__sub__, Watch._subtracted, when=_are_crossed)
    for name in ("__add__", "__radd__", "__iadd__"):
        yield Tensor, name, _seen(getattr(Tensor, name), Watch._added, when=_is_sum)
    yield torch.autograd, "backward", _seen_backward(torch.autograd.backward)
    for owner in (Optimizer, torch.nn.Module):
        yield owner, "zero_grad", _seen(owner.zero_grad, Watch._cleared)
    yield Optimizer, "__init__", _seen(Optimizer.__init__, Watch._made)
    yield DataLoader, "__iter__", _seen(DataLoader.__iter__, Watch._iterated)
    yield _BaseDataLoaderIter, "__next__", _seen(_BaseDataLoaderIter.__next__, Watch._fetched)


PATCHES = [(owner, name, function, vars(owner).get(name)) for owner, name, function in _patches()]
