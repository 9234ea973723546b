"""Whole programs as learners write them: the notes' own, others that are right, and wrong ones.

NOTES has the notes' programs, put together from their snippets; right() and wrong() change them.
An edit is a pair of a regular expression and what replaces it, or a function of the source.
"""

import ast
import builtins
import re

LOOP = """
for epoch in range(100):
    y_pred = model(x_data)
    loss = criterion(y_pred, y_data)
    print(f'Epoch {epoch+1}/100, Loss: {loss.item()}')

    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
LINE = """import torch
import torch.nn.functional as F
x_data = torch.tensor([[1.0], [2.0], [3.0]])
y_data = torch.tensor([[2.0], [4.0], [6.0]])
class LinearModel(torch.nn.Module):
    def __init__(self):
        super(LinearModel, self).__init__()
        self.linear = torch.nn.Linear(1, 1)

    def forward(self, x):
        y_pred = self.linear(x)
        return y_pred

model = LinearModel()
criterion = torch.nn.MSELoss(reduction='sum')
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
"""
HIDDEN = """import numpy as np
import torch
from torch.utils.data import Dataset
from torch.utils.data import DataLoader
class Model(torch.nn.Module):
    def __init__(self):
        super(Model, self).__init__()
        self.hidden1 = torch.nn.Linear(8, 16)
        self.hidden2 = torch.nn.Linear(16, 16)
        self.sigmoid = torch.nn.Sigmoid()
        self.output = torch.nn.Linear(16, 2)

    def forward(self, x):
        x = self.sigmoid(self.hidden1(x))
        x = self.sigmoid(self.hidden2(x))
        x = self.output(x)
        return x

model = Model()
criterion = torch.nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
"""
# fmt: off
NOTES = {
    "01": """import numpy as np
x_data = np.array([1.0, 2.0, 3.0])
y_data = np.array([2.0, 4.0, 6.0])
xy_data = np.column_stack((x_data, y_data))

def forward(x, w):
    return x * w

def loss(y, y_pred):
    return (y_pred - y) ** 2

w_list = []
mse_list = []
for w in np.arange(0.0, 10.0, 0.1):
    loss_sum = 0
    for x, y in xy_data:
        y_pred = forward(x, w)
        loss_sum += loss(y, y_pred)
    mse = loss_sum / len(xy_data)
    w_list.append(w)
    mse_list.append(mse)
""",
    "02": """import torch
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
y = x * 2
z = y.mean()
z.backward()
print(x.grad)
xy_data = [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]

def forward(x, w):
    return x * w

def loss(y_pred, y):
    return (y_pred - y) ** 2

w = torch.tensor([[1.0]], requires_grad=True)
for epoch in range(100):
    for x, y in xy_data:
        l = loss(forward(x, w), y)
        l.backward()
        w.data = w.data - 0.01 * w.grad.data
        w.grad.data.zero_()

for epoch in range(100):
    l_sum = 0
    for x, y in xy_data:
        l = loss(forward(x, w), y)
        l_sum += l
    l_sum.backward()
    w.data = w.data - 0.01 * w.grad.data
    w.grad.data.zero_()
""",
    "03": LINE + LOOP,
    "04": """import torchvision
train_set = torchvision.datasets.MNIST(root='./data', train=True, download=True)
test_set = torchvision.datasets.MNIST(root='./data', train=False, download=True)
""" + LINE.replace("[[2.0], [4.0], [6.0]]", "[[0.0], [0.0], [1.0]]")
    .replace("LinearModel", "LogisticModel").replace("self.linear(x)", "F.sigmoid(self.linear(x))")
    .replace("MSELoss", "BCELoss") + LOOP.replace("100", "1000"),
    "05": HIDDEN + """
xy = np.loadtxt('data/diabetes.csv', delimiter=',', dtype=np.float32)
x_data = torch.from_numpy(xy[:, :-1])
y_data = torch.from_numpy(xy[:, -1]).long()
""" + LOOP,
    "06": HIDDEN + """
class MyDataset(Dataset):
    def __init__(self, file_path):
        xy = np.loadtxt(file_path, delimiter=',', dtype=np.float32)
        self.len = xy.shape[0]
        self.x_train = torch.from_numpy(xy[:, :-1])
        self.y_train = torch.from_numpy(xy[:, -1]).unsqueeze(1)

    def __len__(self):
        return self.len

    def __getitem__(self, idx):
        return self.x_train[idx], self.y_train[idx]

if __name__ == '__main__':
    dataset = MyDataset('data/diabetes.csv')
    train_loader = DataLoader(dataset, batch_size=2, shuffle=True, num_workers=2)
    for epoch in range(100):
        for i, data in enumerate(train_loader, 0):
            inputs, labels = data
            y_pred = model(inputs)
            loss = criterion(y_pred, labels.squeeze(1).long())

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f'Epoch {epoch+1}/100, Loss: {loss.item()}')
""",
    "07": """import torch
import torchvision
from torchvision import datasets, transforms
from torch.utils.data import DataLoader
import torch.nn.functional as F
epochs = 100
device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
print(f'Using device: {device}')
transform = transforms.Compose([
    transforms.ToTensor(),
    transforms.Normalize((0.1307,), (0.3081,))
])
train_set = datasets.MNIST(root='./data', train=True, download=True, transform=transform)
test_set = datasets.MNIST(root='./data', train=False, download=True, transform=transform)
train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
test_loader = DataLoader(test_set, batch_size=64, shuffle=False)

class MNISTModel(torch.nn.Module):
    def __init__(self):
        super(MNISTModel, self).__init__()
        self.linear1 = torch.nn.Linear(28*28, 512)
        self.relu1 = torch.nn.ReLU()
        self.linear2 = torch.nn.Linear(512, 256)
        self.relu2 = torch.nn.ReLU()
        self.linear3 = torch.nn.Linear(256, 128)
        self.relu3 = torch.nn.ReLU()
        self.linear4 = torch.nn.Linear(128, 64)
        self.relu4 = torch.nn.ReLU()
        self.linear5 = torch.nn.Linear(64, 10)

    def forward(self, x):
        x = x.view(-1, 28*28)
        x = self.linear1(x)
        x = self.relu1(x)
        x = self.linear2(x)
        x = self.relu2(x)
        x = self.linear3(x)
        x = self.relu3(x)
        x = self.linear4(x)
        x = self.relu4(x)
        x = self.linear5(x)
        return x

model = MNISTModel().to(device)
criterion = torch.nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)

def train():
    for epoch in range(epochs):
        for i, data in enumerate(train_loader):
            inputs, labels = data
            inputs, labels = inputs.to(device), labels.to(device)
            y_pred = model(inputs)
            loss = criterion(y_pred, labels)

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if (epoch+1) % 10 == 0:
            print(f'Epoch {epoch+1}/{epochs}, Loss: {loss.item()}')

def test():
    correct = 0
    total = 0
    with torch.no_grad():
        for i, data in enumerate(test_loader):
            inputs, labels = data
            inputs, labels = inputs.to(device), labels.to(device)
            y_pred = model(inputs)
            predicted = torch.argmax(y_pred, dim=1)
            correct += (predicted == labels).sum().item()
            total += labels.size(0)

    print(f'Accuracy: {correct/total:.4f}')

train()
test()
""",
}
LINEAR, SIGMOID = "torch.nn.Linear", "torch.nn.Sigmoid()"
DEEP = f"{LINEAR}(8, 12), {SIGMOID}, {LINEAR}(12, 2)"
WIDE = f"torch.nn.Flatten(), {LINEAR}(784, 64), torch.nn.ReLU(), {LINEAR}(64, 10)"
ONE = f"{LINEAR}(1, 1)"
LAYERS = {"03": ONE, "04": f"{ONE}, {SIGMOID}", "05": DEEP, "06": DEEP, "07": WIDE}
ENTROPY = r"F.cross_entropy(\1)"
LOSSES = {
    "03": r"F.mse_loss(\1, reduction='sum')", "04": r"F.binary_cross_entropy(\1, reduction='sum')",
    "05": ENTROPY, "06": ENTROPY, "07": ENTROPY,
}
QUICK = {  # so that a hundred programs can be tried
    "03": [],
    "04": [(r"import torchvision\n", ""), (r"t.*_set = .*\n", "")],
    "05": [],
    "06": [("batch_size=2", "batch_size=16"), (r"range\(100\)", "range(10)")],
    "07": [("epochs = 100", "epochs = 10"), ("512", "64"), ("256", "32"), ("128", "32")],
}
UPDATE = r"optimizer\.zero_grad\(\)\n( *)loss\.backward\(\)\n *optimizer\.step\(\)"
STEP = r"( *)optimizer\.step\(\)"
PRINT = r"print\(f'Epoch.*"
TORCH = r"import torch\n"
# fmt: on


def edited(source: str, *edits) -> str:
    """The source after the edits. Raises AssertionError for an edit that changes nothing."""
    for edit in edits:
        before = source
        source = edit(source) if callable(edit) else re.sub(*edit, source)
        assert source != before, f"nothing to change for {edit}"
    return source


def in_main(source: str) -> str:
    """All but the imports in one function, which a guard calls."""
    lines = source.replace("if __name__ == '__main__':\n", "if True:\n").splitlines()
    imports = [line for line in lines if re.match("import|from", line)]
    body = [f"    {line}" for line in lines if line not in imports]
    guard = ["if __name__ == '__main__':", "    main()"]
    return "\n".join([*imports, "def main():", *body, *guard, ""])


def with_helper(source: str) -> str:
    """The last loop on the page in a function of its own, whose arguments are what it reads."""
    tree = ast.parse(source)
    body = tree.body[-1].body if isinstance(tree.body[-1], ast.If) else tree.body
    loop = next(node for node in reversed(body) if isinstance(node, ast.For))
    names = [node for node in ast.walk(loop) if isinstance(node, ast.Name)]
    stored = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    used = ", ".join(sorted({name.id for name in names} - stored - {"torch", *dir(builtins)}))
    fit = ast.parse(f"def fit({used}):\n    pass\nfit({used})").body
    fit[0].body = [loop]
    body[body.index(loop)] = fit[1]
    first = next(at for at, node in enumerate(tree.body) if isinstance(node, ast.ClassDef))
    tree.body.insert(first, fit[0])
    return ast.unparse(tree)


def flat(source: str) -> str:
    """Without functions: the body of each stands where it is called."""
    tree = ast.parse(source)
    bodies = {node.name: node.body for node in tree.body if isinstance(node, ast.FunctionDef)}
    lines = []
    for node in tree.body:
        called = node.value.func if isinstance(node, ast.Expr) else None
        if not isinstance(node, ast.FunctionDef):
            lines += bodies.get(getattr(called, "id", ""), [node])
    return ast.unparse(ast.Module(lines, []))


def renamed(source: str) -> str:
    """Every variable, argument, function and class has another name."""
    nodes = list(ast.walk(ast.parse(source)))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    names = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    names |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    names |= {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    for at, name in enumerate(sorted(names)):
        source = re.sub(rf"(?<![.\w'])(?<!\./){name}\b(?!=)", f"my_{at}", source)
    return source


def in_sequence(source: str, layers: str) -> str:
    """torch.nn.Sequential, and no class."""
    name = re.search(r"class (\w*Model)\(", source)[1]
    source = re.sub(rf"class {name}\(.*?\n(?=\S)", "", source, flags=re.DOTALL)
    return source.replace(f"{name}()", f"torch.nn.Sequential({layers})")


def right(number: str) -> dict[str, str]:
    """Programs of another kind, by name, that do the chapter's task as well."""
    notes = edited(NOTES[number], *QUICK[number])
    edits = {
        "other names": [renamed],
        "in a function main": [in_main],
        "the loop in a function": [flat, with_helper] if number == "07" else [with_helper],
        "Sequential": [lambda source: in_sequence(source, LAYERS[number])],
        "Adam": [(r"SGD\(model\.parameters\(\), lr=0\.01.*\)", "Adam(model.parameters(), lr=0.1)")],
        "F's losses": [
            (r"criterion\((y_pred.*)\)\n", LOSSES[number] + "\n"),
            (TORCH, "import torch\nfrom torch.nn import functional as F\n"),
        ],
        "a bar": [
            (r"for epoch in (.*):", r"for epoch in tqdm(\1):"),
            (TORCH, "import torch\nfrom tqdm import tqdm\n"),
        ],
        "another order, losses in a list": [
            (UPDATE, r"loss.backward()\n\1optimizer.step()\n\1optimizer.zero_grad()"),
            (PRINT, "pass"),
            (r"( *)loss\.backward\(\)", r"\1losses.append(loss.item())\n\1loss.backward()"),
            (TORCH, "import torch\nlosses = []\n"),
            (r"\Z", "print('损失', losses[0], '->', losses[-1])\n"),
        ],
        "numbers without words": [(PRINT, "print(epoch, loss.item())")],
        "forward, called by its name": [(r"model\((\w+)\)", r"model.forward(\1)")],
    } | OTHERS[number]
    return {"the notes'": notes, **{name: edited(notes, *some) for name, some in edits.items()}}


def wrong(number: str) -> dict[str, tuple[str, str]]:
    """Programs that run and are wrong, by name, and a word of what must be said of each."""
    notes = edited(NOTES[number], *QUICK[number])
    edits = MISTAKES | OTHER_MISTAKES[number]
    return {name: (edited(notes, *some), word) for name, (word, *some) in edits.items()}


# fmt: off
ONE_OUTPUT = [
    (r"    x = self.output\(x\)", "    x = self.sigmoid(self.output(x))"),
    (r"Linear\(16, 2\)", "Linear(16, 1)"), ("CrossEntropyLoss", "BCELoss"),
]
EPOCH_MEAN = [  # weighted by the batches' sizes
    (r"for epoch in (.*)\n( *)", r"for epoch in \1\n\2seen, loss_sum = 0, 0.0\n\2"),
    (STEP, r"\1optimizer.step()\n\1loss_sum += loss.item() * len(labels)\n\1seen += len(labels)"),
    (r"\{loss.item\(\)\}", "{loss_sum / seen:.4f}"),
]
OTHERS = {
    "03": {"a line's own tensors": [
        (r"model = .*\n", "w, b = (torch.zeros(1, requires_grad=True) for i in 'wb')\n"),
        (r"model.parameters\(\)", "[w, b]"), (r"model\(x_data\)", "w * x_data + b"),
    ]},
    "04": {"logits": [(r"F\.sigmoid\((.*)\)", r"\1"), (r"BCELoss", "BCEWithLogitsLoss")]},
    "05": {"one output, and its accuracy": [
        *ONE_OUTPUT, (r"\]\)\.long\(\)", "]).unsqueeze(1)"), (r"_data\)", "_data[:500])"),
        (r"\Z", "right = (model(x_data[500:]) > 0.5).float() == y_data[500:]\n"),
        (r"\Z", "print(f'Accuracy: {right.float().mean().item():.2%}')\n"),
    ]},
    "06": {
        "one output": [*ONE_OUTPUT, (r"\.squeeze\(1\)\.long\(\)", "")],
        "the mean over the epoch": EPOCH_MEAN,
    },
    "07": {
        "no functions": [flat],
        "the mean over the epoch": EPOCH_MEAN,
        "percent, after every epoch": [
            (r"\{correct/total:.4f\}", "{100 * correct / total:.2f}% ({correct}/{total})"),
            (r"        if \(epoch", "        test()\n        if (epoch"),
        ],
        "max, and a probability": [
            (r"torch.argmax\(y_pred, dim=1\)", "torch.softmax(y_pred, dim=1).max(1)[1]"),
        ],
        "a print that few batches don't reach": [(r"% 10 ==", "% 300 ==")],
        "inference mode": [("no_grad", "inference_mode")],
        "counted by NumPy": [(r"predicted == labels", "predicted.numpy() == labels.numpy()")],
        "counted one by one": [
            (r"\(predicted == labels\).sum\(\)", "sum(p == l for p, l in zip(predicted, labels))"),
        ],
        "the best one": [
            (r"print\(f'Acc.*", "accuracies.append(correct / total)"),
            (r"train\(\)\n", r"train()\naccuracies = []\ntest()\n"),
            (r"\Z", "print(f'best acc {max(accuracies):.3f}')\n"),
        ],
    },
}
MISTAKES = {
    "no zero_grad": ("zero_grad", (r"optimizer\.zero_grad\(\)", "pass")),
    "step before backward": (
        "The order is",
        (r"loss\.backward\(\)(\n *)optimizer\.step\(\)", r"optimizer.step()\1loss.backward()"),
    ),
    "no step": ("step() never", (STEP, r"\1pass")),
    "no backward": ("backward() never ran", (r"loss\.backward\(\)", "pass")),
    "another model's optimizer": (
        "The optimizer holds other",
        (r"model\.parameters\(\)", "__import__('copy').deepcopy(model).parameters()"),
    ),
    "no learning rate": ("learning rate", (r"lr=0\.01", "lr=0.0")),
    "uphill": ("a loss that falls", (r"SGD\((.*)\)", r"SGD(\1, maximize=True)")),
    "an invented loss": ("no loss of", (r"\{loss.item\(\)\}", "0.0123")),
    "half the loss": ("no loss of", (r"\{loss.item\(\)\}", "{loss.item() / 2 + 0.001}")),
    "nothing is printed": ("no loss is printed", (PRINT, "pass")),
    "never trained": ("nothing was trained", (UPDATE, "pass")),
    "a name that isn't there": ("NameError", (STEP, r"\1optimiser.step()")),
    "somebody is asked": ("input()", (r"\Z", "input('again?')\n")),
    "a loss summed with its graph": (
        "graph", (TORCH, "import torch\nsums = [0]\n"),
        (STEP, r"\1optimizer.step()\n\1sums[0] += loss"),
    ),
}
SOFTMAX = ("softmax", (r"( *)x = self.(output|linear5)\(x\)", r"\1x = self.\2(x).softmax(1)"))
EVAL = ("evaluation mode", (r"( *)for epoch in ", r"\1model.eval()\n\1for epoch in "))
UNSHUFFLED = ("shuffle", ("shuffle=True", "shuffle=False"))
PER_SAMPLE = (
    "no loss of", (r"for epoch in (.*)\n( *)", r"for epoch in \1\n\2loss_sum = 0.0\n\2"),
    (STEP, r"\1optimizer.step()\n\1loss_sum += loss.item()"),
    (r"\{loss.item\(\)\}", "{loss_sum / len(train_loader.dataset):.5f}"),
)
OTHER_MISTAKES = {
    "03": {
        "labels that broadcast": ("broadcast", (r"\[\[2.*\]", "[2.0, 4.0, 6.0]")),
        "another line": ("prediction", (r"\[4\.0\], \[6\.0\]", "[1.0], [0.0]")),
        "three epochs": ("prediction", (r"range\(100\)", "range(3)")),
    },
    "04": {
        "the classes' order": ("probability", (r"\[\[0.*\]", "[[1.0], [0.0], [0.0]]")),
        "sigmoid twice": ("sigmoid", ("BCELoss", "BCEWithLogitsLoss")),
    },
    "05": {
        "softmax before the loss": SOFTMAX,
        "labels that broadcast": (
            "broadcast", ("CrossEntropyLoss", "MSELoss"), (r"\(16, 2\)", "(16, 1)"),
            (r"\.long\(\)", ""),
        ),
        "seven features": ("8 numbers", (r":-1\]", ":-2]"), (r"Linear\(8", "Linear(7")),
        "an invented accuracy": ("not the share", (r"\Z", "print('Accuracy: 0.97')\n")),
        "trained in evaluation mode": EVAL,
    },
    "06": {
        "softmax before the loss": SOFTMAX, "not shuffled": UNSHUFFLED,
        "trained in evaluation mode": EVAL, "divided by the samples": PER_SAMPLE,
    },
    "07": {
        "softmax before the loss": SOFTMAX, "not shuffled": UNSHUFFLED,
        "trained in evaluation mode": EVAL, "divided by the samples": PER_SAMPLE,
        "NLLLoss of logits": ("log_softmax", ("CrossEntropyLoss", "NLLLoss")),
        "divided by the batches": ("not the share", (r"total \+= .*", "total += 1")),
        "tested with the training data": ("training data", (r"te\(test_loader", "te(train_loader")),
        "the last batch's accuracy": (
            "all 1100 test images", (r"correct \+= ", "correct = "), (r"total \+= ", "total = "),
        ),
        "no accuracy": ("no accuracy is printed", (r"    print\(f'Acc.*\n", "")),
        "an invented accuracy": ("not the share", (r"\{correct/total:.4f\}", "0.9748")),
        "the labels are predicted": ("output says", (r"torch.argmax\(.*\)", "labels.clone()")),
        "all the same label": (
            "the accuracy on the test images is 0.", (r"_pred, labels", "_pred, labels * 0"),
            ("epochs = 10", "epochs = 60"),
        ),
        "tested before it was trained": ("before", (r"train\(\)\ntest\(\)", "test()\ntrain()")),
    },
}
EARLY = {  # the first two chapters: word, or None where it is right; edits
    ("01", "in a function main"): (None, in_main),
    ("01", "printed"): (None, (r"mse_list.append\(mse\)", "print('w =', w, mse)")),
    ("01", "another line"): ("at w = 2", (r"\[2\.0, 4\.0, 6\.0\]", "[3.0, 6.0, 9.0]")),
    ("01", "the highest is printed"): (
        "at w = 2", (r"\Z", "print('best w', w_list[np.argmax(mse_list)])\n"),
    ),
    ("02", "in a function main"): (None, in_main),
    ("02", "no zero_"): ("gradients add up", (r"w\.grad\.data\.zero_\(\)", "pass")),
    ("02", "too small steps"): ("near 2", (r"- 0\.01", "- 1e-5")),
    ("02", "no graph"): ("w.grad", (r"w\.data = .*", "w = w - 0.01 * w.grad")),
}
