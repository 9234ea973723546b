"""Someone who reads the notes and, beside them, a chapter finds the notes' lines in it, in order."""

import re

import pytest

from common.cli import ROOT

# Per chapter, the notes' lines that a reader looks for; those that are dated stand there, too, and
# the better form follows.
LINES = {
    "01_linear_grid": """
        x_data = np.array([1.0, 2.0, 3.0])
        y_data = np.array([2.0, 4.0, 6.0])
        xy_data = np.column_stack((x_data, y_data))
        for w in np.arange(0.0, 10.0, 0.1):
        loss_sum = 0
        for x, y in xy_data:
        y_pred = forward(x, w)
        loss_sum += loss(y, y_pred)
        mse = loss_sum / len(xy_data)
        w_list.append(w)
        mse_list.append(mse)
    """,
    "02_autograd_linear": """
        x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
        y = x * 2
        z = y.mean()
        z.backward()
        print(x.grad)
        w = torch.tensor([[1.0]], requires_grad=True)
        for epoch in range(100):
        for x, y in xy_data:
        l = loss(forward(x, w), y)
        l.backward()
        w.data = w.data - 0.01 * w.grad.data
        w.grad.data.zero_()
        l_sum = 0
        l_sum += l
        l_sum.backward()
    """,
    "03_nn_linear": """
        class LinearModel(torch.nn.Module):
        self.linear = torch.nn.Linear(1, 1)
        y_pred = self.linear(x)
        return y_pred
        model = LinearModel()
        criterion = torch.nn.MSELoss(reduction='sum')
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for epoch in range(100):
        y_pred = model(x_data)
        loss = criterion(y_pred, y_data)
        print(f'Epoch {epoch+1}/100, Loss: {loss.item()}')
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    """,
    "04_logistic": """
        train_set = torchvision.datasets.MNIST(root=root, train=True, download=True)
        test_set = torchvision.datasets.MNIST(root=root, train=False, download=True)
        class LogisticModel(torch.nn.Module):
        y_pred = F.sigmoid(self.linear(x))
        self.sigmoid = torch.nn.Sigmoid()
        y_pred = self.sigmoid(self.linear(x))
        criterion = torch.nn.BCELoss(reduction='sum')
    """,
    "05_multilayer": """
        self.linear = torch.nn.Linear(8, 2)
        self.hidden1 = torch.nn.Linear(8, 16)
        self.hidden2 = torch.nn.Linear(16, 16)
        self.sigmoid = torch.nn.Sigmoid()
        self.output = torch.nn.Linear(16, 2)
        x = self.sigmoid(self.hidden1(x))
        x = self.sigmoid(self.hidden2(x))
        x = self.output(x)
        x_train = torch.from_numpy(xy[:, :-1])
        y_train = torch.from_numpy(xy[:, -1]).unsqueeze(1)
        y_train = torch.from_numpy(xy[:, [-1]])
    """,
    "06_dataloader": """
        class MyDataset(Dataset):
        xy = np.loadtxt(file_path, delimiter=',', dtype=np.float32)
        self.len = xy.shape[0]
        return self.len
        return self.x_train[idx], self.y_train[idx]
        dataset = MyDataset(path)
        train_loader = DataLoader(dataset, batch_size=2, shuffle=True, num_workers=2)
        if __name__ == '__main__':
        for epoch in range(100):
        for i, data in enumerate(train_loader, 0):
        inputs, labels = data
        y_pred = model(inputs)
        loss = criterion(y_pred, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    """,
    "07_mnist_mlp": """
        y = torch.LongTensor([0])
        z = torch.Tensor([[0.2, 0.1, -0.1]])
        criterion = torch.nn.CrossEntropyLoss()
        loss = criterion(z, y)
        print(loss.item())
        transforms.ToTensor(),
        transforms.Normalize((0.1307,), (0.3081,))
        train_set = torchvision.datasets.MNIST(root=root, train=True, download=True, transform=transform)
        test_set = torchvision.datasets.MNIST(root=root, train=False, download=True, transform=transform)
        train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
        inputs, labels = data
        y_pred = model(inputs.view(-1, 28*28))
        class MNISTModel(torch.nn.Module):
        self.linear1 = torch.nn.Linear(28*28, 512)
        self.relu1 = torch.nn.ReLU()
        self.linear2 = torch.nn.Linear(512, 256)
        self.relu2 = torch.nn.ReLU()
        self.linear3 = torch.nn.Linear(256, 128)
        self.relu3 = torch.nn.ReLU()
        self.linear4 = torch.nn.Linear(128, 64)
        self.relu4 = torch.nn.ReLU()
        self.linear5 = torch.nn.Linear(64, 10)
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
        criterion = torch.nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
        velocity = momentum * velocity + gradient
        weight = weight - lr * velocity
        def train(
        for epoch in range(epochs):
        for i, data in enumerate(train_loader):
        print(f'Epoch {epoch+1}/{epochs}, Loss:
        def test(
        with torch.no_grad():
        predicted = torch.argmax(y_pred, dim=1)
        _, predicted = torch.max(y_pred.data, dim=1)
        correct += (predicted == labels).sum().item()
        total += labels.size(0)
        print(f'Accuracy: {correct/total:.4f}')
        device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        print(f'Using device: {device}')
        model = MNISTModel().to(device)
        inputs, labels = inputs.to(device), labels.to(device)
    """,
}  # fmt: skip
SETTINGS = {"epochs": "100", "lr": "0.01", "workers": "2"}


def squeezed(code: str, name: str) -> str:
    """The code with the notes' settings, in one kind of quotes, without spaces and formats."""
    settings = SETTINGS | {"batch_size": "64" if name.startswith("07") else "2"}
    code = re.sub(r"\{args\.epochs\}", "100", code)
    code = re.sub(r", device=args\.device", "", code)
    code = re.sub(r"args\.(\w+)", lambda flag: settings.get(flag[1], flag[0]), code)
    return re.sub(r"\s+|:\.4f", "", code.replace("'", '"'))


@pytest.mark.parametrize(
    "name, number", [(name, n) for name in LINES for n in range(len(LINES[name].split("\n")) - 2)]
)
def test_each_of_the_notes_lines_is_there_after_the_one_before_it(name, number):
    source = squeezed((ROOT / f"{name}.py").read_text(encoding="utf-8"), name)
    place = 0
    for line in LINES[name].strip().split("\n")[: number + 1]:
        wanted = squeezed(line, name)
        assert wanted in source[place:], line.strip()
        place = source.index(wanted, place) + len(wanted)


def test_the_notes_program_of_chapter_7_has_each_of_its_parts_once():
    source = (ROOT / "07_mnist_mlp.py").read_text(encoding="utf-8")
    for bound in ["train_loader", "test_loader", "optimizer", "train_set", "test_set"]:
        assert len(re.findall(rf"^{bound} = ", source, re.MULTILINE)) == 1, bound
    assert source.count("0.1307") == 1
