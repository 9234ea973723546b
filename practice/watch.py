"""What a program does with torch, and words for what everybody gets wrong with it.

with Watch() as watch:
    ...  # any program
print(watch.losses[-1].value, watch.words())
"""

import functools
import itertools
import math
import re
import sys
import threading
import weakref
from dataclasses import dataclass, field

import torch
from torch.nn import Module
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler
from torch.utils.data.dataloader import _BaseDataLoaderIter

from common.language import _

SAME_NUMBERS = ("View", "UnsafeView", "Reshape", "Squeeze", "Unsqueeze", "Clone", "ToCopy")
MOST_ROWS, MOST_LEAVES, MOST_NODES = 300_000, 64, 20_000  # that are kept or looked at
FEW_ROWS = 20  # with fewer there is no test set to keep apart
FEW_LOSSES = 3  # a sum of so many may be one loss of several parts
_active: list["Watch"] = []  # the inner one last
_inside = False  # a model, or another function that is watched
_keys = itertools.count()


@dataclass
class Loss:
    """A result of a loss function, or what backward() ran on."""

    value: float  # the mean, where there are several numbers
    samples: int  # the batch's length, 1 if unknown
    trained: bool  # backward() ran on it
    model: Module | None  # whose prediction it is about
    grad: bool  # False under no_grad
    twice: str = ""  # "Softmax" or "Sigmoid", before a loss that has it built in


@dataclass
class Comparison:
    """One `predicted == labels`, or `!=`."""

    correct: int
    total: int
    predicts: bool  # one side is what the model's last output says
    model: Module | None
    forward: dict  # which made this output
    rows = property(lambda self: self.forward.get("rows", ()))  # a number for each input row


@dataclass
class Used:
    """A root module, its last input and output, the rows it has seen and those it learned from."""

    module: Module
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


@functools.lru_cache(4)
def _weights(size: int) -> torch.Tensor:
    return torch.cos(torch.arange(1, size + 1, dtype=torch.double) ** 2)


def _rows(x: torch.Tensor) -> tuple:
    """A number for each row, nearly surely another one for another row."""
    numbers = x.detach().to("cpu", torch.double).reshape(len(x), -1)
    return tuple((numbers @ _weights(numbers.shape[1])).round(decimals=6).tolist())


def _version(x: torch.Tensor) -> int:
    """How often it has been changed in place; unknown under inference_mode."""
    return 0 if x.is_inference() else x._version


def _value(loss: torch.Tensor) -> float:
    return loss.item() if loss.numel() == 1 else float(loss.detach().mean())


def _crosses(a, b) -> bool:
    """Whether one is (N, 1) and the other (N,): together they make (N, N)."""
    one, other = sorted((a.shape, b.shape), key=len)
    return len(one) == 1 and one[0] > 1 and other == (one[0], 1)


def _held(optimizers) -> set[int]:
    """The ids of all parameters that these hold."""
    return {id(p) for one in optimizers for group in one.param_groups for p in group["params"]}


class Watch:
    """Records what a program does with torch, in the main thread, between enter and exit.

    `data=False`: loaders and rows are not the program's own, as in a test; no word on them.
    """

    def __init__(self, data: bool = True):
        self.data = data
        self.losses: list[Loss] = []
        self.comparisons: list[Comparison] = []
        self.used: dict[Module, Used] = {}  # root modules with parameters
        self.leaves: dict[int, torch.Tensor] = {}  # by id: those of no module
        self.loaders: list[Loader] = []
        self.optimizers: dict[Optimizer, dict] = {}  # how many steps found a gradient, or none
        self.backwards = self.zero_grads = self.steps = 0
        self.problems: set[str] = set()  # a watch's own, which the program doesn't notice
        self._key, self._last, self._found = next(_keys), None, ([], [])
        self._leaf: dict[int, Leaf] = {}
        self._owned: set[int] = set()  # ids of the parameters of `used`
        self._iterators = weakref.WeakKeyDictionary()
        self._now = (lambda: None), None  # the iterator that gave the last batch, and its Loader
        self._sums: list[dict] = []
        self._crossed = 0  # N, where (N, 1) has met (N,)
        self._mixed = 0  # updates with gradients that had added up
        self._in_eval: list[Module] = []  # that the last backward() went through
        self._evaluated = 0  # updates after such a backward()

    @property
    def models(self) -> list[Module]:
        """The root modules through which a gradient went, in the order of their first use."""
        return [used.module for used in self.used.values() if used.trained]

    def __enter__(self):
        for owner, name, function, _original in [] if _active else PATCHES:
            setattr(owner, name, function)
        _active.append(self)
        self._hook = register_optimizer_step_post_hook(self._step)
        return self

    def __exit__(self, *error):
        self._hook.remove()
        _active.remove(self)
        for owner, name, _function, original in [] if _active else PATCHES:
            setattr(owner, name, original) if original else delattr(owner, name)

    # What happens: each method gets the watched function's name, result and arguments

    def _mark(self, tensor, kind: str, value) -> None:
        """Leave a note in the graph. It must hold no tensor: that would keep the graph for ever."""
        if tensor.grad_fn is not None:
            tensor.grad_fn.metadata.setdefault(self._key, {})[kind] = value

    def _marks(self, nodes, kind: str) -> list:
        notes = [node.metadata.get(self._key) for node in nodes if node is not None]
        return [note[kind] for note in notes if note and kind in note]

    def _of(self, forwards: list[dict]) -> Module | None:
        return list(self.used)[forwards[0]["number"]] if forwards else None

    def _called(self, name, output, module, *args, **kwargs):
        caller = sys._getframe(3)
        while caller and caller.f_code.co_name == "forward":  # model.forward(x) calls the layers
            owner, caller = caller.f_locals.get("self"), caller.f_back
            module = owner if isinstance(owner, Module) else module
        if module not in self.used:
            parameters = module._modules or module._parameters  # a criterion has neither
            parameters = parameters and list(map(id, module.parameters()))
            if not parameters:
                return
            self.used[module] = Used(module, forward={"number": len(self.used)})
            self._owned.update(parameters)
        used = self._last = self.used[module]
        inputs = (*args, *kwargs.values())
        x, before = (next(iter(_tensors(one)), None) for one in (inputs, used.inputs))
        rows = used.forward.get("rows", ())
        if self.data and x is not None and (x is not before or _version(x) != used.version):
            some = x.numel() and x.ndim and not x.is_meta and len(used.seen) < MOST_ROWS
            rows, used.version = _rows(x) if some else (), _version(x)
            used.seen.update(rows)
        used.inputs, used.output = inputs, output
        number = used.forward["number"]
        used.forward = {"number": number, "rows": rows, "eval": not module.training}
        for tensor in _tensors(output):
            self._mark(tensor, "forward", used.forward)

    def _lost(self, name, result, input, target, *args, **kwargs):
        node = input.grad_fn
        forwards = self._marks([node], "forward") or self._marks(_graph([input], 30), "forward")
        if not forwards and self._last and input.ndim:
            last = _tensors(self._last.output)[:1]
            forwards = [self._last.forward for one in last if one.shape[:1] == input.shape[:1]]
        value = math.nan if result.is_meta else _value(result)
        samples = len(input) if input.ndim > (name == "cross_entropy") else 1
        loss = Loss(value, samples, False, self._of(forwards), result.requires_grad)
        while node is not None and node.name().startswith(SAME_NUMBERS):
            node = node.next_functions[0][0]
        before = node.name().partition("Backward")[0] if node is not None else ""
        if name == "cross_entropy" and input.ndim == 2 and len(self.losses) < 3 and loss.grad:
            ones = torch.ones_like(input[:, 0])
            if input.shape[1] > 1 and input.min() >= 0 and torch.allclose(input.sum(1), ones):
                before = "Softmax"
        if name in ("cross_entropy", "binary_cross_entropy_with_logits"):
            loss.twice = before if before in ("Softmax", "Sigmoid") else ""
        elif not name.startswith("binary") and _crosses(input, target):
            self._crossed = len(input)
        self._mark(result, "loss", len(self.losses))
        self.losses.append(loss)

    def _says(self, side: torch.Tensor) -> bool:
        """Whether these are the classes that the last output predicts."""
        for out in _tensors(self._last and self._last.output)[:1]:
            several = out.ndim > 1 and out.shape[-1] > 1
            said = [out.argmax(-1)] if several else [out > 0.5, out > 0, out.detach().round()]
            flat = side.detach().reshape(-1).double()
            return any(torch.equal(one.reshape(-1).double(), flat) for one in said)
        return False

    def _compared(self, name, result, a, b):
        if not all(isinstance(one, torch.Tensor) for one in (a, b, result)):
            return
        predicts = self._says(a) or self._says(b)
        if _crosses(a, b):
            self._crossed = len(a) if predicts else self._crossed
        elif a.numel() == b.numel() == result.numel() > 0:
            correct = int((result if "eq" in name else ~result).sum())
            made = (self._last.module, self._last.forward) if predicts else (None, {})
            self.comparisons.append(Comparison(correct, result.numel(), predicts, *made))

    def _subtracted(self, name, result, a, b):
        if not (isinstance(b, torch.Tensor) and result.ndim == 2 and _crosses(a, b)):
            return
        outputs = [one.data_ptr() for one in _tensors(self._last and self._last.output)]
        for y_pred, y in ((a, b), (b, a)):
            by_hand = y_pred.grad_fn is not None and not self.used
            if (by_hand or y_pred.data_ptr() in outputs) and not y.requires_grad:
                self._crossed = len(y)

    def _added(self, name, result, *args):
        if not isinstance(result, torch.Tensor) or result.grad_fn is None or result.numel() > 1:
            return
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

    def _before_backward(self, name, tensors, *args, **kwargs):
        tensors = [tensors] if isinstance(tensors, torch.Tensor) else tensors
        nodes, leaves = self._found = _graph(tensors, MOST_NODES), []
        for tensor in [one.variable for one in nodes if type(one).__name__ == "AccumulateGrad"]:
            leaf = self._leaf.get(id(tensor))
            if leaf is None:
                if id(tensor) not in self._owned:
                    if len(self.leaves) == MOST_LEAVES:
                        continue
                    self.leaves[id(tensor)] = tensor
                leaf = self._leaf[id(tensor)] = Leaf(tensor)
            leaves.append(leaf)
            if not leaf.stepped and leaf.look() and leaf.grad:
                self._mixed += leaf.grad == "mixed"
                leaf.grad = "used"
            if leaf.grad and (tensor.grad is None or not tensor.grad.any()):
                leaf.grad = ""

    def _after_backward(self, name, _result, tensors, *args, **kwargs):
        nodes, leaves = self._found
        self.backwards += 1
        for leaf in leaves:
            leaf.reached += 1
            leaf.grad = "mixed" if leaf.grad in ("used", "mixed") else "new"
        notes = [note for node in nodes if (note := node.metadata.get(self._key))]
        forwards = [note["forward"] for note in notes if "forward" in note]
        for forward in forwards:
            used = self.used[self._of([forward])]
            used.trained = forward["trained"] = True
            used.learned.update(forward["rows"])
        self._in_eval = [self._of([one]) for one in forwards if one["eval"]]
        for tensor in [tensors] if isinstance(tensors, torch.Tensor) else tensors:
            if not self._marks([tensor.grad_fn], "loss"):
                self._mark(tensor, "loss", len(self.losses))
                value = _value(tensor)
                self.losses.append(Loss(value, 1, True, self._of(forwards), True))
        for note in notes:
            if "loss" in note:
                self.losses[note["loss"]].trained = True
            if "sum" in note:
                note["sum"]["trained"] = True
        iterator, loader = self._now
        if iterator() is not None and loader.waiting:
            loader.fed, loader.waiting = loader.fed + 1, False

    def _made(self, name, _result, optimizer, *args, **kwargs):
        self.optimizers.setdefault(optimizer, {"full": 0, "empty": 0, "strange": 0})

    def _step(self, optimizer, args, kwargs):
        if torch.compiler.is_compiling() or _quiet():
            return
        self.steps += 1
        self._made("", None, optimizer)
        leaves = [self._leaf[key] for key in _held([optimizer]) if key in self._leaf]
        new = [leaf for leaf in leaves if leaf.grad and leaf.tensor.grad is not None]
        self.optimizers[optimizer]["full" if new else "empty" if leaves else "strange"] += 1
        self._mixed += any(leaf.grad == "mixed" for leaf in new)
        in_eval = {id(p) for module in self._in_eval for p in module.parameters()}
        self._evaluated += any(id(leaf.tensor) in in_eval for leaf in new)
        for leaf in new:
            leaf.grad, leaf.stepped = "used", True

    def _cleared(self, name, _result, owner, *args, **kwargs):
        self.zero_grads += 1
        if isinstance(owner, Optimizer):
            self._made("", None, owner)
        cleared = _held([owner]) if isinstance(owner, Optimizer) else map(id, owner.parameters())
        for key in cleared:
            if key in self._leaf:
                self._leaf[key].grad = ""

    def _iterated(self, name, iterator, loader):
        record = next((one for one in self.loaders if one.loader is loader), None)
        if record is None:
            sampler = loader.batch_sampler or loader.sampler
            sampler = sampler.sampler if isinstance(sampler, BatchSampler) else sampler
            record = Loader(loader, not isinstance(sampler, SequentialSampler))
            self.loaders.append(record)
        self._iterators[iterator] = record

    def _fetched(self, name, _batch, iterator):
        if iterator in self._iterators:
            self._now = weakref.ref(iterator), self._iterators[iterator]
            self._now[1].waiting = True

    # Words

    def words(self, error: BaseException | None = None) -> list[str]:
        """Sentences about what is wrong, worst first; the first one about the error, if known."""
        about = [_about(error)] if error is not None else []
        return [*filter(None, about), *self._about_updates(), *self._about_numbers()]

    def _about_updates(self):
        stepped = {one: found for one, found in self.optimizers.items() if any(found.values())}
        held, known = _held(stepped), _held(self.optimizers)
        missing = [one for one in self._leaf.values() if one.reached > 1 and not one.stepped]
        missing = [one for one in missing if not (one.look() or one.changed)]
        missing = {id(one.tensor) for one in missing} - held
        if missing and any(found["strange"] and not found["full"] for found in stepped.values()):
            yield _(
                "The optimizer holds other parameters than those that backward() reaches: the "
                "model does not learn. Make it from model.parameters() of the model you train."
            )
        for parameters in [set(map(id, model.parameters())) for model in self.models]:
            if parameters & missing and parameters & held:
                yield _(
                    "The optimizer holds only some of the model's parameters: {count} others get "
                    "gradients, but are never updated. Give it model.parameters()."
                ).format(count=len(parameters & missing))
        if not stepped and missing & known:
            yield _(
                "backward() ran {backwards} times, and step() never: no parameter is ever updated. "
                "Call optimizer.step() after backward()."
            ).format(backwards=self.backwards)
        if any(found["empty"] and not found["full"] for found in stepped.values()):
            yield _(
                "When step() ran, there was no gradient: zero_grad() had cleared it, or backward() "
                "came later. The order is: zero_grad(), backward(), step()."
            )
        if self._mixed and self.optimizers:
            yield _(
                "backward() ran {backwards} times, and zero_grad() {zero_grads} times: each time "
                "gradients add up with old ones. Call optimizer.zero_grad() before backward()."
            ).format(backwards=self.backwards, zero_grads=self.zero_grads)
        elif self._mixed:
            yield _(
                "backward() ran {backwards} times, and the gradient was not cleared after each "
                "update: gradients add up. After an update, set it to zero: w.grad.zero_()."
            ).format(backwards=self.backwards)
        if self._evaluated:
            yield _(
                "The model was in evaluation mode in {count} updates: Dropout and BatchNorm don't "
                "do their work then. Call model.train() before training, and after each test."
            ).format(count=self._evaluated)

    def _about_numbers(self):
        if self._crossed:
            yield _(
                "Shape ({n}, 1) meets ({n},), and torch broadcasts them to ({n}, {n}): each "
                "prediction meets all labels. Give both the same shape: labels.unsqueeze(1)."
            ).format(n=self._crossed)
        twice = {loss.twice for loss in self.losses if loss.trained}
        if "Softmax" in twice:
            yield _(
                "There is a softmax before CrossEntropyLoss, which applies softmax itself. Give "
                "it the logits, as the last linear layer makes them."
            )
        if "Sigmoid" in twice:
            yield _(
                "There is a sigmoid before a loss that expects logits and has its own activation. "
                "Leave the sigmoid out (or use BCELoss, which expects probabilities)."
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
        ordered = [one for one in self.loaders if not one.shuffled and len(one.loader) > 1]
        if self.data and any(one.fed > 1 for one in ordered):
            yield _(
                "The DataLoader that you train with doesn't shuffle: each epoch has the same "
                "batches in the same order. Expected is DataLoader(…, shuffle=True)."
            )
        sums = [one["losses"] for one in self._sums if not one["trained"]]
        count = max((sum(self.losses[index].trained for index in one) for one in sums), default=0)
        if count > FEW_LOSSES:
            yield _(
                "{count} losses are added up together with their graphs, whose memory is kept. "
                "Add numbers: loss_sum += loss.item()."
            ).format(count=count)


def _about(error: BaseException) -> str | None:
    """A word for what torch says, if it is something that everybody meets."""
    known = {
        r"shapes cannot be multiplied \(\d+x(\d+) and (\d+)x": _(
            "A layer got rows of {0} numbers; expected are {1}, its in_features. Compare the "
            "input's shape with the layer's sizes; an image must be flattened."
        ),
        "same device|on device .* is not on|is on .*, but expected on": _(
            "Model and data lie on different devices. Move all to the same one: "
            "model.to(device), inputs.to(device), labels.to(device)."
        ),
        "scalar type Long but|target dtype to be Long|target with class probabilities, got": _(
            "CrossEntropyLoss got labels of the wrong type. Expected are class indices of type "
            "int64, in shape (N,): labels.long()."
        ),
        "multi-target not supported": _(
            "CrossEntropyLoss got labels of shape (N, 1); expected is (N,), a class index of type "
            "int64 for each row: labels.squeeze(1)."
        ),
        r"Target (-?\d+) is out of bounds": _(
            "There is a label {0}, and the model has no output for it. Classes are counted from "
            "0, and the last layer needs as many outputs as there are classes."
        ),
        "(?:Found dtype|output type) (?:Long|Int|Bool)": _(
            "The loss got labels that are whole numbers; expected are floats: labels.float()."
        ),
        r"Double|\(double\)": _(
            "There are numbers of 64 bits, as NumPy makes them; expected is float32. Read the "
            "table with dtype=np.float32, or convert it: .float()."
        ),
        "must have the same dtype|Input type .* should be the same": _(
            "A layer got whole numbers; expected are floats: inputs.float()."
        ),
        r"input size \(torch.Size": _(
            "Predictions and labels have different shapes; expected is the same, such as (N, 1): "
            "labels.unsqueeze(1)."
        ),
        "elements of input should be between 0 and 1": _(
            "BCELoss got numbers outside of 0 to 1; expected are probabilities. Put a sigmoid "
            "after the last layer, or use BCEWithLogitsLoss."
        ),
        "only for scalar outputs": _(
            "backward() got a loss of several numbers; expected is a scalar: take the mean or "
            "the sum, loss.mean().backward()."
        ),
        "does not require grad": _(
            "No gradient reaches any parameter: the loss has no graph to go back through. It was "
            "cut by no_grad, .detach(), .data, .item() or torch.tensor(…)."
        ),
        r"Tensor\.__format__|Tensor doesn't define __round__": _(
            "A number was expected, and a tensor came: item() makes a number of it."
        ),
        "through the graph a second time": _(
            "backward() ran twice through the same graph, which is freed after the first time. "
            "Compute prediction and loss anew in each turn of the loop."
        ),
        "Only Tensors of floating point": _(
            "Only floats have gradients: write 1.0 instead of 1, or convert by .float()."
        ),
        r"NoneType.*attribute '(?:data|zero_)'|for [*/+-]=?: .*NoneType": _(
            "A .grad is None: no backward() came before, or w = w - lr * w.grad has made a new "
            "tensor, which gets none. Update within torch.no_grad(): w -= lr * w.grad."
        ),
    }
    found = [(re.search(pattern, str(error)), text) for pattern, text in known.items()]
    return next((text.format(*match.groups()) for match, text in found if match), None)


# The functions that are watched


def _quiet() -> bool:
    """Whether to record nothing: in other threads, and where a CUDA graph is captured."""
    main = threading.get_ident() == threading.main_thread().ident
    cuda = torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()
    return not _active or not main or cuda


def _look(look, *args, **kwargs) -> None:
    """What a watch can't understand doesn't disturb the program."""
    for watch in _active:
        try:
            look(watch, *args, **kwargs)
        except Exception as error:
            watch.problems.add(f"{look.__name__}: {type(error).__name__}: {error}")


def _seen(original, name, after, before=None):
    """The function, with a look at it. What it calls isn't looked at, except for losses."""

    @functools.wraps(original)
    def function(*args, **kwargs):
        global _inside
        # torch.compile reads this code, and must find nothing in it but the call.
        if torch.compiler.is_compiling() or (_inside and after != Watch._lost) or _quiet():
            return original(*args, **kwargs)
        outside, _inside = _inside, True
        try:
            if before:
                _look(before, name, *args, **kwargs)
            result = original(*args, **kwargs)
            _look(after, name, result, *args, **kwargs)
        finally:
            _inside = outside
        return result

    return function


LOSSES = ["binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "l1_loss"]
LOSSES += ["huber_loss", "mse_loss", "nll_loss", "smooth_l1_loss"]
WATCHED = [
    (torch.nn.functional, LOSSES, Watch._lost),
    (torch.Tensor, ["__eq__", "__ne__", "eq", "ne"], Watch._compared),
    (torch, ["eq", "ne"], Watch._compared),
    (torch.Tensor, ["__sub__"], Watch._subtracted),
    (torch.Tensor, ["__add__", "__radd__", "__iadd__"], Watch._added),
    (torch.Tensor, ["__repr__"], lambda *args, **kwargs: None),  # it compares numbers as well
    (torch.autograd, ["backward"], Watch._after_backward, Watch._before_backward),
    (Module, ["__call__"], Watch._called),
    (Module, ["zero_grad"], Watch._cleared),
    (Optimizer, ["zero_grad"], Watch._cleared),
    (Optimizer, ["__init__"], Watch._made),
    (DataLoader, ["__iter__"], Watch._iterated),
    (_BaseDataLoaderIter, ["__next__"], Watch._fetched),
]
PATCHES = [  # the last one is None, where it was inherited
    (owner, name, _seen(getattr(owner, name), name, *looks), vars(owner).get(name))
    for owner, names, *looks in WATCHED
    for name in names
]
