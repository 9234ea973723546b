"""What a watch records of small programs, and what it says: of wrong ones, and nothing of right."""

import math

import pytest
import torch

from practice.watch import PATCHES, Watch

START = """
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
x, labels = torch.randn(40, 3), torch.randint(2, (40,))
x_test, y_test = torch.randn(25, 3), torch.randint(2, (25,))
y, loss_sum = labels.float().unsqueeze(1), 0
"""
FIVE = """
    loss = criterion(y_pred, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
LINE = f"""{START}
model = torch.nn.Linear(3, 1)
criterion = torch.nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(5):
    y_pred = model(x){FIVE}
    loss_sum += loss.item()
"""
YES_NO = (LINE + "predicted = model(x_test) > 0\nprint(predicted[:, 0] == y_test)").replace(
    "MSELoss", "BCEWithLogitsLoss"
)
CLASSES = f"""{START}
model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
criterion = torch.nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
train_loader = DataLoader(TensorDataset(x, labels), batch_size=10, shuffle=True)
test_loader = DataLoader(TensorDataset(x_test, y_test), batch_size=10)
for epoch in range(3):
  for i, data in enumerate(train_loader):
    inputs, y = data
    y_pred = model(inputs){FIVE}
    loss_sum += loss.item()
  with torch.no_grad():
    for inputs, y in test_loader:
        print((torch.argmax(model(inputs), dim=1) == y).sum().item() / len(y))
"""
BY_HAND = """
import torch
x_data, y_data = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0])
w = torch.tensor([[1.0]], requires_grad=True)
for epoch in range(10):
    for x, y in torch.column_stack((x_data, y_data)):
        l = (x * w - y) ** 2
        l.backward()
        w.data = w.data - 0.01 * w.grad.data
        w.grad.data.zero_()
for epoch in range(10):
    l_sum = 0
    for x, y in torch.column_stack((x_data, y_data)):
        l = (x * w - y) ** 2
        l_sum += l
    l_sum.backward()
    w.data = w.data - 0.01 * w.grad.data
    w.grad.data.zero_()
"""
ZERO, BACKWARD, STEP = "optimizer.zero_grad()", "loss.backward()", "optimizer.step()"
LOSS, SUM, LOOP = "criterion(y_pred, y)", "+= loss.item()", "for epoch"
ALL, SOME = "model.parameters()", "model[0].parameters()"
CLEAR, UPDATE = "        w.grad.data.zero_()\n", "w.data = w.data - 0.01 * w.grad.data"
OTHER, TEST = "other = torch.optim.Adam(model[2].parameters())\n", "with torch.no"

# fmt: off
RIGHT = [  # each a program, and what is written instead of what
    (LINE,), (YES_NO,), (CLASSES,), (BY_HAND,),
    # gradients are cleared by hand, or add up on purpose; in a closure; compiled
    (BY_HAND, CLEAR, "        w.grad = None\n"),
    (BY_HAND, UPDATE, "w.data.sub_(0.01 * w.grad)"),
    (LINE, ZERO, "optimizer.zero_grad(set_to_none=False)"),
    (LINE, ZERO, "for p in model.parameters(): p.grad = None"),
    (LINE, ZERO, "model.zero_grad()"),
    (CLASSES, ZERO, f"if i % 2 == 0: {ZERO}", STEP, f"if i % 2 == 1: {STEP}"),
    (LINE, FIVE[FIVE.index(ZERO):], f"def turn():\n        {ZERO}\n        {BACKWARD}\n"
     "        return loss\n    optimizer.step(turn)\n"),
    (CLASSES, "model(inputs)\n", "model.forward(inputs)\n", "no_grad()", "inference_mode()"),
    (CLASSES, LOOP, "model = torch.compile(model, backend='eager', fullgraph=True)\nfor epoch"),
    # another order that does the same; steps that train nothing; two optimizers, or one by hand
    (LINE, BACKWARD, "pass", ZERO, f"{ZERO}; {BACKWARD}"),
    (LINE, ZERO, "pass", STEP, f"{STEP}; {ZERO}"),
    (LINE, LOOP, f"{STEP}\n{ZERO}\nfor epoch"),
    (LINE, ZERO, "model.zero_grad()", ALL, "[model.weight]",
     STEP, f"{STEP}; model.bias.data -= model.bias.grad"),
    (CLASSES, STEP, f"{STEP}; other.step(); other.zero_grad()", ALL, SOME, LOOP, OTHER + LOOP),
    # softmax and sigmoid where they belong; pairs of all with all
    (CLASSES, LOSS, "F.nll_loss(F.log_softmax(y_pred, 1), y)"),
    (YES_NO, "BCEWithLogitsLoss", "BCELoss", "model(x)\n", "torch.sigmoid(model(x))\n"),
    (YES_NO, LOOP, "print(x[:, :1] - x[:, 1], labels.unsqueeze(1) == labels)\nfor epoch"),
    # tested in between; a gradient in evaluation mode, with which nothing is updated
    (CLASSES, "y_pred =", "model.train(); y_pred =", TEST, f"model.eval()\n  {TEST}"),
    (LINE, LOOP, "model.eval()(x).sum().backward(); model.train()\nfor epoch"),
    # both sets are tested; only the batches, as they come; one batch; a loader without training
    (CLASSES, "in test_loader", "in [(x, labels), *test_loader]"),
    (CLASSES, SUM, "+= (y_pred.argmax(1) == y).sum()", "in test_loader", "in []"),
    (CLASSES, "batch_size=10, shuffle=True", "batch_size=40"),
    (LINE, LOOP, "print(list(DataLoader(x, batch_size=10)))\nfor epoch"),
    # sums without graphs; two losses in each turn
    (LINE, SUM, "+= loss.detach()"),
    (LINE, BACKWARD, "l = y_pred.sum(); l.backward(retain_graph=True); loss.backward(); l + loss"),
]

WRONG = [  # and what must be said
    ("ran 12 times, and zero_grad() 0", CLASSES, ZERO, "pass"),
    ("ran 12 times, and zero_grad() 3", CLASSES, ZERO, "pass", "  for i,", f"  {ZERO}\n  for i,"),
    ("ran 5 times, and zero_grad() 0", LINE, ZERO, "pass"),
    ("the gradient was not cleared", BY_HAND, CLEAR, ""),
    ("holds other parameters", LINE, ALL, "torch.nn.Linear(3, 1).parameters()"),
    ("holds other parameters", LINE, LOOP, "model = torch.nn.Linear(3, 1)\nfor epoch"),
    ("only some of the model's parameters: 2", CLASSES, ALL, SOME),
    ("ran 5 times, and step() never", LINE, STEP, "pass"),
    ("ran 5 times, and step() never", LINE, STEP, "optimizer.step", ZERO, "pass"),
    ("The order is:", LINE, BACKWARD, "pass", STEP, f"{STEP}; {BACKWARD}"),
    ("The order is:", LINE, STEP, f"{ZERO}; {STEP}"),
    ("a softmax before", CLASSES, "model(inputs)\n", "model(inputs).softmax(1)\n"),
    ("a softmax before", CLASSES, "nn.Linear(4, 2)", "nn.Linear(4, 2), torch.nn.Softmax(1)"),
    ("a softmax before", CLASSES, LOSS, "criterion((e := y_pred.exp()) / e.sum(1)[:, None], y)"),
    ("a sigmoid before", CLASSES, "nn.Linear(4, 2)", "nn.Linear(4, 2), torch.nn.Sigmoid()"),
    ("a sigmoid before", YES_NO, "model(x)\n", "torch.sigmoid(model(x))\n"),
    ("(40, 1) meets (40,)", LINE, LOSS, "criterion(y_pred, y.squeeze(1))"),
    ("(40, 1) meets (40,)", LINE, LOSS, "((y_pred - y[:, 0]) ** 2).mean()"),
    ("(40, 1) meets (40,)", LINE, LOSS, "((labels - y_pred) ** 2).mean()"),
    ("(25, 1) meets (25,)", YES_NO, "predicted[:, 0]", "predicted"),
    ("indices of type int64", CLASSES, LOSS, "criterion(y_pred, y.float())"),
    ("shape (N, 1); expected is (N,)", CLASSES, LOSS, "criterion(y_pred, y[:, None])"),
    ("There is a label 2", CLASSES, LOSS, "criterion(y_pred, 0 * y + 2)"),
    ("labels.float()", YES_NO, LOSS, "criterion(y_pred, y.long())"),
    ("have different shapes", YES_NO, LOSS, "criterion(y_pred, y[:, 0])"),
    ("numbers of 64 bits", LINE, "model(x)", "model(x.double())"),
    ("whole numbers", LINE, "model(x)", "model(x.long())"),
    ("outside of 0 to 1", YES_NO, "BCEWithLogitsLoss", "BCELoss"),
    ("Only floats have gradients", BY_HAND, "[[1.0]]", "[[1]]"),
    ("expected is a scalar", LINE, LOSS, "(y_pred - y) ** 2"),
    ("No gradient reaches", LINE, LOSS, "criterion(y_pred.detach(), y)"),
    ("twice through the same graph", LINE, BACKWARD, f"{BACKWARD}; {BACKWARD}"),
    ("rows of 2 numbers; expected are 3", LINE, "model(x)", "model(x[:, :2])"),
    ("A .grad is None", BY_HAND, UPDATE, "w = w - 0.01 * w.grad"),
    ("in evaluation mode in 8 updates", CLASSES, TEST, f"model.eval()\n  {TEST}"),
    ("in evaluation mode in 5 updates", LINE, LOOP, "model.eval()\nfor epoch"),
    ("on the training data only", CLASSES, "in test_loader", "in train_loader"),
    ("on the training data only", YES_NO, "model(x_test)", "model(x)", "y_test)", "labels)"),
    ("doesn't shuffle", CLASSES, ", shuffle=True", ""),
    ("on different devices", LINE, "model(x)", "model(x.to('meta'))"),
    ("on different devices", LINE, LOSS, "criterion(y_pred, y.to('meta'))"),
    ("5 losses are added up", LINE, SUM, "+= loss"),
    ("12 losses are added up", CLASSES, SUM, "= loss_sum + loss * len(y)"),
]
# fmt: on


def watched(program: str, *edits: str) -> tuple[Watch, list[str], dict]:
    """Run the program with edits (old, new, old, new, …): the watch, its words, the variables."""
    for old, new in zip(edits[::2], edits[1::2], strict=True):
        assert old in program, old
        program = program.replace(old, new)
    scope, error = {}, None
    with Watch() as watch:
        try:
            exec(program, scope)
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as raised:
            error = raised
    assert not watch.problems
    return watch, watch.words(error), scope | {"error": error}


@pytest.mark.parametrize("program", RIGHT, ids=range(len(RIGHT)))
def test_nothing_is_said_of_a_right_program(program):
    _watch, words, scope = watched(*program)
    assert words == [] and scope["error"] is None


@pytest.mark.filterwarnings("ignore")  # torch's own, which nobody reads
@pytest.mark.parametrize("case", WRONG, ids=range(len(WRONG)))
def test_a_wrong_program_gets_its_word(case):
    word, *program = case
    _watch, words, _scope = watched(*program)
    assert len(words) == 1 and word in words[0], words


def test_what_a_program_did_is_recorded():
    watch, _words, scope = watched(CLASSES)
    assert (watch.backwards, watch.zero_grads, watch.steps) == (12, 12, 12)
    assert watch.models == [scope["model"]] and not watch.leaves
    assert all(loss.trained and loss.grad and loss.samples == 10 for loss in watch.losses)
    assert math.isclose(sum(loss.value for loss in watch.losses), scope["loss_sum"], rel_tol=1e-5)
    assert watch.used[scope["model"]].inputs[0] is scope["inputs"]
    assert [(one.trained, one.shuffled) for one in watch.loaders] == [(True, True), (False, False)]
    assert all(one.predicts and one.model is scope["model"] for one in watch.comparisons)
    assert [one.total for one in watch.comparisons] == [10, 10, 5] * 3
    assert len({row for one in watch.comparisons for row in one.rows}) == 25
    watch, _words, scope = watched(CLASSES, "model(inputs)\n", "model.forward(inputs)\n")
    assert watch.models == [scope["model"]]
    watch, _words, scope = watched(BY_HAND)
    assert list(watch.leaves.values()) == [scope["w"]]
    assert len(watch.losses) == watch.backwards == 40


def test_a_watch_changes_nothing():
    before = [vars(owner).get(name) for owner, name, *_rest in PATCHES]
    _watch, _words, scope = watched(CLASSES)
    exec(CLASSES, alone := {})
    assert torch.equal(scope["y_pred"], alone["y_pred"])
    assert [vars(owner).get(name) for owner, name, *_rest in PATCHES] == before
