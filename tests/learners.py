"""What learners write in the place of a chapter's lines: mistakes, and solutions of another kind."""

# Each mistake: chapter, the chapter's lines, what was written instead, the function that is to be
# blamed, and what must be said of it, if it is more than that.
FUNCTION_MISTAKES = {
    "printed, not returned": ("01", "return x * w", "print(x * w)", "forward", "is `return` missing?"),
    "no square": ("01", "return (y_pred - y) ** 2", "return abs(y_pred - y)", "loss", ""),
    "the gradient's sign": ("01", "(forward(x_data, w) - y_data)).mean()", "(y_data - forward(x_data, w))).mean()", "gradient", "The sign is wrong"),
    "a sum for the mean": ("01", "(forward(x_data, w) - y_data)).mean()", "(forward(x_data, w) - y_data)).sum()", "gradient", "2 times what is expected: a sum instead of a mean?"),
    "the table is changed": (
        "01", "    return (2 * x_data * (forward(x_data, w) - y_data)).mean()",
        "    error = forward(x_data, w) - y_data\n    x_data *= 2 * error\n    return x_data.mean()", "gradient", "x_data is left as it was, [1, 2]",
    ),
    "a detached weight": ("02", "return x * w", "return x * w.detach()", "forward", "no gradient reaches w\n"),
    "a mean over the samples": ("02", "return (y_pred - y) ** 2", "return ((y_pred - y) ** 2).mean()", "loss", "Its shape is (); expected is (2,)"),
    "no super()": ("03", "        super().__init__()\n", "", "LinearModel.__init__", "cannot assign module before Module.__init__() call"),
    "no self.": ("03", "self.linear = torch.nn.Linear(1, 1)", "linear = torch.nn.Linear(1, 1)", "LinearModel.__init__", ""),
    "a layer in a list": ("03", "self.linear = torch.nn.Linear(1, 1)", "self.linear = [torch.nn.Linear(1, 1)]", "LinearModel.__init__", ""),
    "a new tensor": ("03", "y_pred = self.linear(x)", "y_pred = torch.tensor(self.linear(x).tolist())", "LinearModel.forward", "no gradient reaches linear.weight, linear.bias\n"),
    "no sigmoid": ("04", "F.sigmoid(self.linear(x))", "self.linear(x)", "LogisticModel.forward", "is the sigmoid missing?"),
    "a class for a layer": ("04", "self.sigmoid = torch.nn.Sigmoid()", "self.sigmoid = torch.nn.Sigmoid", "LogisticModelWithLayer.__init__", ""),
    "a tensor for a number": ("04", "return (-model.linear.bias / model.linear.weight).item()", "return -model.linear.bias / model.linear.weight", "boundary", "It is a Tensor; expected is a float"),
    "one logit for two classes": ("05", "self.linear = torch.nn.Linear(8, 2)", "self.linear = torch.nn.Linear(8, 1)", "PlainModel.__init__", "Linear(8, 2) has (2, 8)"),
    "a sigmoid in front of the loss": ("05", "x = self.output(x)", "x = self.sigmoid(self.output(x))", "DeepModel.forward", "sigmoid of what is expected"),
    "no activation": ("05", "self.sigmoid(self.hidden2(x))", "self.hidden2(x)", "DeepModel.forward", ""),
    "the accuracy with a graph": ("05", "    with torch.no_grad():\n        predicted = ", "    if True:\n        predicted = ", "accuracy", "no gradients are needed here"),
    "no self. in the dataset": ("06", "self.y_train = ", "y_train = ", "MyDataset.__init__", "no attribute 'y_train'"),
    "64 bits": ("06", " / x_train.std(dim=0)).float()", " / x_train.std(dim=0))", "MyDataset.__init__", "not float32"),
    "not standardized": ("06", "self.x_train = ((x_train - x_train.mean(dim=0)) / x_train.std(dim=0)).float()", "self.x_train = x_train.float()", "MyDataset.__init__", "the features are [[1.0, 6.0]"),
    "all labels with each": ("06", "return self.x_train[idx], self.y_train[idx]", "return self.x_train[idx], self.y_train", "MyDataset.__getitem__", "In value 2 of 2"),
    "the last epoch's loss": (
        "06", "        losses.append(loss_sum / len(train_loader.dataset))\n    return losses", "    losses.append(loss_sum / len(train_loader.dataset))\n    return losses",
        "train", "Its length is 1; expected is 2",
    ),
    "batches count alike": (
        "06", "loss_sum += loss.item() * len(labels)  # the last batch may be smaller\n        losses.append(loss_sum / len(train_loader.dataset))",
        "loss_sum += loss.item()\n        losses.append(loss_sum / len(train_loader))", "train", "It is right where all batches have the same size",
    ),
    "a wrong dimension": ("07", "z.exp().sum(dim=1, keepdim=True)", "z.exp().sum(dim=0, keepdim=True)", "softmax", "columns add up to 1"),
    "no denominator": ("07", "return z.exp() / z.exp().sum(dim=1, keepdim=True)", "return z.exp()", "softmax", "rows of probabilities add up to 1"),
    "sizes that don't fit": ("07", "self.linear3 = torch.nn.Linear(256, 128)", "self.linear3 = torch.nn.Linear(512, 128)", "MNISTModel.__init__", "(128, 256), (64, 128), (10, 64)"),
    "a softmax in front of the loss": ("07", "x = self.linear5(x)", "x = softmax(self.linear5(x))", "MNISTModel.forward", "softmax of what is expected"),
    "a ReLU too many": ("07", "x = self.linear5(x)", "x = self.relu1(self.linear5(x))", "MNISTModel.forward", "is there a ReLU too many?"),
    "backward after step": ("07", "loss.backward()\n                optimizer.step()", "optimizer.step()\n                loss.backward()", "train", ""),
    "the loss with its graph": ("07", "loss_sum += loss.item()", "loss_sum += loss", "train", "it is a Tensor; expected is a float"),
    "trained in evaluation mode": ("07", "    model.train()\n", "    pass\n", "train", "model is left in evaluation mode"),
    "no step": ("07", "                optimizer.step()\n", "", "train", "weight of model is as it was before"),
    "tested with gradients": ("07", "with torch.no_grad():\n        for", "if True:\n        for", "test", "a test needs no gradients"),
    "the largest logit of a class": ("07", "torch.argmax(y_pred, dim=1)", "torch.argmax(y_pred, dim=0)", "test", ""),
    "keys for the network": (
        "07", "    model.load_state_dict(torch.load(path, map_location=device, weights_only=True))\n    return model\n",
        "    return model.load_state_dict(torch.load(path, map_location=device, weights_only=True))\n", "load_model", "expected is a MNISTModel",
    ),
    "left in training mode": ("08", "return model.to(device).eval()", "return model.to(device)", "load_network", "training mode"),
    "the middle for the mean": ("08", "return np.average(np.arange(len(profile)), weights=profile)", "return np.mean(np.flatnonzero(profile))", "centre_of_mass", ""),
    "dark on light": ("08", "    return field\n", "    return 1 - field\n", "to_mnist", ""),
    "the least probable": ("08", "p.argsort(descending=True)", "p.argsort()", "predict_files", ""),
    "the warm-up counts": ("09", "return statistics.median(speeds[1:])", "return statistics.median(speeds)", "throughput", ""),
    "32 bits under autocast": ("09", "enabled=bf16", "enabled=False", "update", ""),
    "no shuffling": ("09", "DataLoader(train_set, batch_size=64, shuffle=True)", "DataLoader(train_set, batch_size=64)", "notes_loader", ""),
    "another address": ("09", "inputs.copy_(next_inputs)", "inputs.data = next_inputs", "captured", "a graph reads one address"),
    "the kernel turned round": ("10", "image[y : y + size, x : x + size] * kernel)", "image[y : y + size, x : x + size] * kernel.flip(0, 1))", "convolve", ""),
    "a block left out": ("10", "        x = self.block3(x)", "        # x = self.block3(x)", "CNN.forward", ""),
    "one turn for all": ("10", "2 * torch.rand(4, n) - 1", "2 * torch.rand(4, 1).expand(4, n) - 1", "augment", ""),
    "a network that isn't filled": (
        "10", "    model.load_state_dict(torch.load(path, map_location=device, weights_only=True))\n",
        "    torch.load(path, map_location=device, weights_only=True)\n", "load_model", "",
    ),
    "inputs as labels": ("11", "return cut[:, :-1], cut[:, 1:]", "return cut[:, :-1], cut[:, :-1]", "windows", ""),
    "one state for all steps": (
        "11", "        h = torch.tanh(W @ x_t + U @ h + b)\n        states.append(h)", "        states.append(torch.tanh(W @ x_t + U @ h + b))", "rnn", "",
    ),
    "the batch as time": ("11", "torch.nn.LSTM(64, 256, batch_first=True)", "torch.nn.LSTM(64, 256)", "CharLSTM.__init__", ""),
    "evaluated in training mode": ("11", "    model.eval()\n    total", "    total", "evaluate", "left in training mode"),
    "times the temperature": ("11", "logits[0, -1] / temperature", "logits[0, -1] * temperature", "generate", ""),
    "no mask": ("12", "scores.masked_fill(later, -math.inf).softmax", "scores.softmax", "attention", ""),
    "positions from 0": ("12", "torch.arange(start, start + T", "torch.arange(0, T", "rotate", ""),
    "keys as they are": ("12", "return self.norm(q), self.norm(k), v", "return self.norm(q), k, v", "CausalSelfAttention.heads", "value 2 of 3"),
    "a cache without end": ("12", "[:, :, -self.block_size :]", "", "CausalSelfAttention.forward", ""),
    "no residual connection": ("12", "x = x + self.dropout(self.c_proj(", "x = self.dropout(self.c_proj(", "Block.forward", ""),
    "no clipping": ("12", "    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n", "", "update", ""),
    "no Nesterov": ("12", "orthogonalize(parameter.grad.lerp(mean, 0.9))", "orthogonalize(mean)", "Muon.step", ""),
    "Muon for all": ("12", "isinstance(m, torch.nn.Linear)]", "isinstance(m, torch.nn.Linear | torch.nn.RMSNorm)]", "make_optimizers", ""),
    "the first GPU for all": ("13", "number = (device.index or 0) + local_rank", "number = device.index or 0", "own_device", ""),
    "gradients add up": ("13", "    model.zero_grad()\n    criterion", "    criterion", "gradient", ""),
    "only one note": ("13", "return count.item() > 0", "return count.item() == 1", "any_pressed", ""),
}  # fmt: skip

# The same of a page's own lines; what is blamed is a name that they make.
PAGE_MISTAKES = {
    "the grid ends too early": ("01", "for w in np.arange(0.0, 10.0, 0.1)", "for w in np.arange(0.0, 9.0, 0.1)", "w_list", "Its length is 90; expected is 100"),
    "only the last sample": ("01", "loss_sum += loss(y, y_pred)", "loss_sum = loss(y, y_pred)", "mse_list", ""),
    "a wrong argmin": ("01", "w_list[np.argmin(mse_list)]", "mse_list[np.argmin(mse_list)]", "best", ""),
    "the other axis": ("01", ".mean(axis=1)  # (100,)", ".mean(axis=0)", "mse", "Its shape is (3,); expected is (100,)"),
    "upwards": ("01", "w = w - args.lr * gradient", "w = w + args.lr * gradient", "w", ""),
    "recorded too late": ("01", "    w_path.append(w)\n    mse_path.append(mse)\n    w = w - args.lr * gradient(x_data, y_data, w)\n", "    mse_path.append(mse)\n    w = w - args.lr * gradient(x_data, y_data, w)\n    w_path.append(w)\n", "w_path", "Each number stands one place too early"),
    "whole numbers": ("02", "x_data = torch.tensor([1.0, 2.0, 3.0]", "x_data = torch.tensor([1, 2, 3]", "x_data", "torch.int64; expected is torch.float32"),
    "a weight that isn't tracked": ("02", "w = torch.tensor([[1.0]], requires_grad=True, device=args.device)\nprint", "w = torch.tensor([[1.0]], device=args.device)\nprint", "w", "requires_grad=True"),
    "gradients that add up": ("02", "        w.grad.data.zero_()\n", "", "w_sgd", ""),
    "an update in the graph": ("02", "w.data = w.data - args.lr * w.grad.data", "w = w - args.lr * w.grad", "", ".grad is None"),
    "the last sample's loss": ("02", "l_sum += l", "l_sum = l", "w_batch", ""),
    "a row for a column": ("03", "y_data = torch.tensor([[2.0], [4.0], [6.0]]", "y_data = torch.tensor([2.0, 4.0, 6.0]", "y_data", "Its shape is (3,); expected is (3, 1)"),
    "the mean for the sum": ("03", 'MSELoss(reduction="sum")', "MSELoss()", "criterion", "MSELoss(reduction='sum')"),
    "a rate of one's own": ("03", "lr=args.lr", "lr=0.1", "optimizer", "SGD(lr=0.01)"),
    "another model's parameters": ("03", "torch.optim.SGD(model.parameters()", "torch.optim.SGD(LinearModel().parameters()", "optimizer", "parameters of model"),
    "no zero_grad": ("03", "    optimizer.zero_grad()\n    loss.backward()\n", "    loss.backward()\n", "losses", ""),
    "step before backward": ("03", "    loss.backward()\n    optimizer.step()\n", "    optimizer.step()\n    loss.backward()\n", "losses", ""),
    "tensors in the list": ("03", "losses.append(loss.item())", "losses.append(loss)", "losses", "Tensor"),
    "a prediction with a graph": ("03", "with torch.no_grad():\n    y_test = model(x_test)", "y_test = model(x_test)", "y_test", "requires_grad=False"),
    "a loss for numbers": ("04", 'torch.nn.BCELoss(reduction="sum")\noptimizer', 'torch.nn.MSELoss(reduction="sum")\noptimizer', "criterion", "BCELoss"),
    "no minus": ("04", "by_hand = -(", "by_hand = (", "by_hand", "The sign is wrong"),
    "a second name is no copy": ("04", "copy.deepcopy(model)  # so that model stays as it is", "model", "model", ""),
    "the sigmoid twice": ("04", "torch.nn.BCEWithLogitsLoss()(z, y)", "torch.nn.BCEWithLogitsLoss()(F.sigmoid(z), y)", "z.grad", "sigmoid before a loss"),
    "validated and tested by the same": ("05", "xy_test = table[turn == 0]", "xy_test = table[turn == 1]", "xy_test", ""),
    "a leak": ("05", "mean, std = x_train.mean(dim=0), x_train.std(dim=0)", "x_all = torch.from_numpy(table[:, :-1])\nmean, std = x_all.mean(dim=0), x_all.std(dim=0)", "mean", ""),
    "one mean for all columns": ("05", "x_train.mean(dim=0), x_train.std(dim=0)  # (8,) each", "x_train.mean(), x_train.std()", "mean", "Its shape is (); expected is (8,)"),
    "labels that aren't long": ("05", "y_train = y_train[:, 0].long()", "y_train = y_train[:, 0]", "y_train", "labels.long()"),
    "the first model's optimizer": ("05", "torch.optim.SGD(deep.parameters()", "torch.optim.SGD(plain.parameters()", "optimizer", "parameters of deep"),
    "not the best, but the last": ("05", "best = copy.deepcopy(deep.state_dict())", "best = deep.state_dict()", "best", ""),
    "not shuffled": ("06", "train_loader = DataLoader(dataset, batch_size=args.batch_size, shuffle=True)", "train_loader = DataLoader(dataset, batch_size=args.batch_size)", "train_loader", "shuffle=True"),
    "batches of another size": ("06", "batch_size=args.batch_size, shuffle=True, num", "batch_size=4, shuffle=True, num", "train_loader", "batch_size=2"),
    "another hidden layer": ("06", "torch.nn.Linear(features, 16), torch.nn.Sigmoid(), torch.nn.Linear(16, 1)", "torch.nn.Linear(features, 8), torch.nn.Sigmoid(), torch.nn.Linear(8, 1)", "model", "(16, 8)"),
    "two linear layers": ("06", "torch.nn.Linear(features, 16), torch.nn.Sigmoid(), torch", "torch.nn.Linear(features, 16), torch", "model", ""),
    "trained once more from where it was": ("06", "        model.load_state_dict(untrained)\n", "", "curves", ""),
    "no normalization": ("07", "    transforms.ToTensor(),\n    transforms.Normalize((0.1307,), (0.3081,)),\n", "    transforms.ToTensor(),\n", "transform", "Normalize"),
    "trained and tested by the same": ("07", "train=False", "train=True", "test_set", ""),
    "in their order": ("07", "train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)", "train_loader = DataLoader(train_set, batch_size=args.batch_size)", "train_loader", "shuffle=True"),
    "not flattened": ("07", "y_pred = model(inputs.view(-1, 28 * 28))\nprint", "y_pred = model(inputs)\nprint", "", ""),
    "no momentum": ("07", ", momentum=0.5)", ")", "optimizer", "momentum=0.5"),
    "not the test images": ("07", "accuracy = test(model, test_loader, device)", "accuracy = test(model, train_loader, device)", "accuracy", ""),
    "logits for probabilities": ("07", "p = softmax(loaded(inputs))", "p = loaded(inputs)", "p", "rows of probabilities add up to 1"),
    "dropout in use": ("08", "dropout.eval()\n", "", "dropout", "evaluation mode"),
    "the most probable image": ("08", "probabilities.max(dim=1)", "probabilities.max(dim=0)", "confidence", ""),
    "predicted rows": ("08", "10 * labels + predicted", "10 * predicted + labels", "counts", "transposed"),
    "the rate of the page's beginning": ("09", "better_recipe(model, args.lr, updates=100)", "better_recipe(model, 0.01, updates=100)", "optimizer", ""),
    "no label smoothing": ("10", "CrossEntropyLoss(label_smoothing=0.1)", "CrossEntropyLoss()", "criterion", "label_smoothing"),
    "the rate stays": ("10", "            scheduler.step()\n", "", "model", ""),
    "the classes in the last axis": ("11", "loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())  #", "loss = F.cross_entropy(logits, y)  #", "", ""),
    "validated by the training text": ("12", "ids[:-tenth], ids[-tenth:][:100_000]", "ids[:-tenth], ids[:-tenth][:100_000]", "val_ids", ""),
    "the same part for all": ("13", "num_replicas=2, rank=1)", "num_replicas=2, rank=0)", "other", ""),
}  # fmt: skip

# Solutions that are as right as the chapter's, and those of one program fit together: a function and
# another body for it, or some of the chapter's lines and others.
SOLUTIONS = {
    "01": [
        ("forward", "return np.multiply(w, x)"),
        ("gradient", "return 2 * (x_data @ (forward(x_data, w) - y_data)) / len(x_data)"),  # a dot product
        ("xy_data = np.column_stack((x_data, y_data))", "xy_data = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])"),
        ("y_pred = forward(x_data, ws[:, np.newaxis])  # (3,)", "y_pred = np.outer(ws, x_data)  # (3,)"),
        ("table = np.array([[0, 1, 2], [3, 4, 5]])", "table = np.arange(6).reshape(2, 3)"),
    ],
    "01, in list comprehensions": [
        (
            """w_list = []
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
            """w_list = [k / 10 for k in range(100)]
mse_list = [np.mean([loss(label, forward(x, weight)) for x, label in xy_data]) for weight in w_list]
""",
        ),
        ("w_list[np.argmin(mse_list)]", "w_list[mse_list.index(min(mse_list))]"),
    ],
    "02": [
        ("import torch\n", "import torch\nfrom torch import tensor\n"),
        ("matrix = torch.tensor(", "matrix = tensor("),
        ("loss", "return torch.square(y - y_pred)"),
        ("        l_sum += l\n    l_sum.backward()\n", "        l.backward()  # it accumulates\n        l_sum += l.detach()\n"),
        (  # a new leaf instead of a change in place
            "    with torch.no_grad():\n        w_full -= args.lr * w_full.grad\n    w_full.grad.zero_()\n",
            "    w_full = (w_full - args.lr * w_full.grad).detach().requires_grad_()\n    w_full.grad = torch.zeros_like(w_full)\n",
        ),
        (  # today's form
            "        w.data = w.data - args.lr * w.grad.data\n        w.grad.data.zero_()\n",
            "        with torch.no_grad():\n            w -= args.lr * w.grad\n            w.grad.zero_()\n",
        ),
    ],
    "03": [
        ("import torch\n", "import torch\nfrom torch import nn, optim\n"),
        ("x_data = torch.tensor([[1.0], [2.0], [3.0]], device=args.device)", "x_data = torch.arange(1.0, 4.0).unsqueeze(1).to(args.device)"),
        ("LinearModel.forward", "return x @ self.linear.weight.T + self.linear.bias"),
        ("model = LinearModel()\nmodel.to(args.device)", "model = LinearModel().to(args.device)"),
        ('criterion = torch.nn.MSELoss(reduction="sum")', "criterion = nn.MSELoss(reduction='sum')"),
        ("torch.optim.SGD(model.parameters(), lr=args.lr)", "optim.SGD(list(model.parameters()), args.lr)"),
        (
            """    y_pred = model(x_data)
    loss = criterion(y_pred, y_data)
    losses.append(loss.item())
    if (epoch + 1) % 10 == 0:
        print(f"Epoch {epoch + 1}/{args.epochs}, Loss: {loss.item():.4f}")

    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
            """    optimizer.zero_grad()
    error = criterion(model(x_data), y_data)
    error.backward()
    optimizer.step()
    losses += [float(error)]
""",
        ),
        ("torch.linalg.lstsq(columns, y_data.cpu()).solution", "torch.linalg.solve(columns.T @ columns, columns.T @ y_data.cpu())"),
        ("with torch.no_grad():\n    y_test = model(x_test)", "y_test = model(x_test).detach()"),
    ],
    "04": [
        ("LogisticModel.forward", "return 1 / (1 + torch.exp(-self.linear(x)))"),
        ("y_data = torch.tensor([[0.0], [0.0], [1.0]], device=args.device)", "y_data = (x_data > 2.5).float()"),
        ("boundary", "return -model.linear.bias.item() / model.linear.weight.item()"),
        ("by_hand = -(y_data * p.log() + (1 - y_data) * (1 - p).log()).sum()", "by_hand = -torch.where(y_data == 1, p, 1 - p).log().sum()"),
        ("longer = copy.deepcopy(model)", "longer = LogisticModel().to(args.device)\nlonger.load_state_dict(model.state_dict())"),
        (  # chapter 3's loop
            "losses = training.full_batch(model, criterion, optimizer, x_data, y_data, args.epochs, every=100)",
            """losses = []
for step in range(args.epochs):
    l = criterion(model(x_data), y_data)
    losses.append(l.item())
    optimizer.zero_grad()
    l.backward()
    optimizer.step()
""",
        ),
    ],
    "05": [
        (
            "DeepModel.__init__",  # nn.Sequential inside
            """super().__init__()
self.layers = torch.nn.Sequential(
    torch.nn.Linear(8, 16), torch.nn.Sigmoid(), torch.nn.Linear(16, 16), torch.nn.Sigmoid(), torch.nn.Linear(16, 2)
)
""",
        ),
        ("DeepModel.forward", "return self.layers(x)"),
        ("accuracy", "with torch.no_grad():\n    right = model(x).max(dim=1)[1] == labels\nreturn right.sum().item() / len(labels)"),
        ("mean, std = x_train.mean(dim=0), x_train.std(dim=0)", "std, mean = torch.std_mean(x_train, dim=0)"),
        ("xy_test = table[turn == 0]", "xy_test = table[::5]"),
        ("y_val = torch.from_numpy(xy_val[:, -1]).long()", "y_val = torch.LongTensor(xy_val[:, -1])"),
        ("only_plain = (plain_right & ~deep_right).sum().item()", "only_plain = int((plain_right > deep_right).sum())"),
        ("chosen = deep if only_deep > only_plain else plain", "chosen = plain\nif only_deep > only_plain:\n    chosen = deep"),
    ],
    "06": [
        ("self.y_train = torch.from_numpy(xy[:, [-1]]).float()  # (N, 1)", "self.y_train = torch.from_numpy(xy[:, -1]).unsqueeze(1)  # (N, 1)"),
        ('xy = np.loadtxt(file_path, delimiter=",")\n', 'xy = np.loadtxt(file_path, delimiter=",", dtype=np.float32)\n'),
        ("MyDataset.__len__", "return len(self.x_train)"),
        (
            "train",  # samples are counted, and there is no enumerate
            """losses = []
for epoch in range(epochs):
    loss_sum, samples = 0.0, 0
    for inputs, labels in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs.to(device)), labels.to(device))
        loss.backward()
        optimizer.step()
        loss_sum += float(loss) * labels.size(0)
        samples += labels.size(0)
    losses.append(loss_sum / samples)
return losses
""",
        ),
        ("dataset, batch_size=args.batch_size, shuffle=True, num_workers=args.workers", "dataset, args.batch_size, True, num_workers=args.workers"),
        (  # a class instead of nn.Sequential
            """    model = torch.nn.Sequential(
        torch.nn.Linear(features, 16), torch.nn.Sigmoid(), torch.nn.Linear(16, 1)
    )
""",
            """    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = torch.nn.Linear(features, 16)
            self.output = torch.nn.Linear(16, 1)

        def forward(self, x):
            return self.output(torch.sigmoid(self.hidden(x)))

    model = Network()
""",
        ),
        (
            """        for i, data in enumerate(train_loader, 0):
            inputs, labels = data
            inputs, labels = inputs.to(args.device), labels.to(args.device)
            y_pred = model(inputs)
            loss = criterion(y_pred, labels)
""",
            """        for x, labels in train_loader:
            loss = criterion(model(x.to(args.device)), labels.to(args.device))
""",
        ),
    ],
    "07": [
        ("import torch\nimport torchvision\n", "import torch\nimport torchvision\nfrom torchvision.datasets import MNIST\nimport torch.nn.functional as F\n"),
        ("loss = criterion(z, y)\nprint", "loss = F.cross_entropy(z, y)\nprint"),
        ("softmax", "return (z - z.logsumexp(dim=1, keepdim=True)).exp()"),
        ("    return -log_p[torch.arange(len(y)), y].mean()\n", "    return -log_p.gather(1, y[:, None]).mean()\n"),
        ("train_set = torchvision.datasets.MNIST(root=root, train=True, download=True", "train_set = MNIST(root, True"),
        *((f"        self.relu{number} = torch.nn.ReLU()\n", "") for number in (1, 2, 3, 4)),
        (
            "MNISTModel.forward",
            """x = x.flatten(1)
for linear in [self.linear1, self.linear2, self.linear3, self.linear4]:
    x = torch.nn.functional.relu(linear(x))
return self.linear5(x)
""",
        ),
        ("predicted = torch.argmax(y_pred, dim=1)  # (B,)", "_, predicted = torch.max(y_pred, dim=1)"),
        ("model = torch.nn.Linear(28 * 28, 10)  # a single layer, to begin with\ny_pred = model(inputs.view(-1, 28 * 28))", "model = torch.nn.Linear(784, 10)\ny_pred = model(inputs.flatten(1))"),
        ("p = softmax(loaded(inputs)).detach().cpu()", "with torch.no_grad():\n    p = torch.softmax(loaded(inputs), dim=1).cpu()"),
        (
            "load_model",  # moved at the end
            """model = MNISTModel()
parameters = torch.load(path, map_location="cpu", weights_only=True)
model.load_state_dict(parameters)
return model.to(device)
""",
        ),
    ],
    "07, in nn.Sequential": [
        (
            "MNISTModel.__init__",
            """super().__init__()
sizes = [28 * 28, 512, 256, 128, 64, 10]
layers = []
for size, following in zip(sizes, sizes[1:]):
    layers += [torch.nn.Linear(size, following), torch.nn.ReLU()]
self.stack = torch.nn.Sequential(*layers[:-1])
""",
        ),
        ("MNISTModel.forward", "return self.stack(x.reshape(len(x), -1))"),
        ("model = MNISTModel()\nprint", "network = MNISTModel()\nmodel = network\nprint"),
        ("keep_in_memory(train_set)\nkeep_in_memory(test_set)\n", "for one in (train_set, test_set):\n    keep_in_memory(one)\n"),
        ("losses += train(", "losses = losses + train("),
    ],
    "08": [
        ("centre_of_mass", "return (np.arange(len(profile)) * profile).sum() / profile.sum()"),
        ("predict", "model.eval()\nwith torch.inference_mode():\n    return torch.softmax(model(images), dim=1)"),
        ("distance = np.linalg.norm(pixels - pixels[0, 0], axis=-1)", "distance = ((pixels - pixels[0, 0]) ** 2).sum(axis=2) ** 0.5"),
        ("wrong = predicted != labels", "wrong = ~(predicted == labels)"),
        (
            "counts = torch.bincount(10 * labels + predicted, minlength=100).view(10, 10)",
            "counts = torch.zeros(10, 10, dtype=torch.long)\nfor true, other in zip(labels.tolist(), predicted.tolist()):\n    counts[true, other] += 1",
        ),
    ],
    "09": [
        (
            "network",
            """layers = [torch.nn.Flatten()]
for size, following in [(784, 512), (512, 256), (256, 128), (128, 64)]:
    layers += [torch.nn.Linear(size, following), torch.nn.ReLU()]
return torch.nn.Sequential(*layers, torch.nn.Linear(64, 10))
""",
        ),
        ("    optimizer.zero_grad()\n    loss.backward()\n", "    model.zero_grad()\n    loss.backward()\n"),
        ("        inputs.copy_(next_inputs)\n", "        inputs[:] = next_inputs\n"),
        ("step = partial(update, model, criterion, optimizer)\nroot", "def step(x, y):\n    return update(model, criterion, optimizer, x, y)\n\nroot"),
    ],
    "10": [
        (
            "convolve",  # all patches at once
            "patches = image.unfold(0, len(kernel), 1).unfold(1, len(kernel), 1)\nreturn (patches * kernel).sum(dim=(2, 3))",
        ),
        ("CNN.forward", "return self.linear(self.block3(self.block2(self.block1(x))).flatten(1))"),
        ("conv.weight.data = kernel.view(1, 1, 3, 3)", "with torch.no_grad():\n    conv.weight.copy_(kernel)"),
        ("enumerate(tqdm(train_loader, leave=False, disable=None))", "enumerate(train_loader)"),
    ],
    "11": [
        ("make_vocabulary", 'return "".join(sorted(dict.fromkeys(text)))'),
        ("windows", "cut = torch.stack([ids[i : i + block_size + 1] for i in starts.tolist()])\nreturn cut[:, :-1], cut[:, 1:]"),
        (
            "bigram_loss",  # a table of all pairs
            """V = vocabulary_size
counts = torch.bincount(V * ids[:-1] + ids[1:], minlength=V * V).view(V, V) + 1
return F.nll_loss((counts / counts.sum(dim=1, keepdim=True)).log()[x.flatten()], y.flatten()).item()
""",
        ),
        (
            "rnn",
            "states = [h]\nfor t in range(len(x)):\n    states.append((x[t] @ W.T + states[-1] @ U.T + b).tanh())\nreturn torch.stack(states[1:])",
        ),
        ("loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())", "loss = F.cross_entropy(logits.mT, y)"),
    ],
    "12": [
        (
            "attention",  # einsum for @, and a mask of a lower triangle
            """T, D = q.shape[-2:]
scores = torch.einsum("...td,...sd->...ts", q, k) * D**-0.5
earlier = torch.ones(T, T, device=q.device).tril()
weights = scores.masked_fill(earlier == 0, float("-inf")).softmax(dim=-1)
return torch.einsum("...ts,...sd->...td", weights, v), weights
""",
        ),
        (
            "rotate",  # complex numbers
            """T, D = x.shape[-2:]
angles = torch.arange(start, start + T)[:, None] / base ** (torch.arange(0, D, 2) / D)
points = torch.complex(*x.float().chunk(2, dim=-1))
points = points * torch.polar(torch.ones_like(angles), angles)
return torch.cat([points.real, points.imag], dim=-1)
""",
        ),
        (
            "causal_conv",  # torch's own
            """if before is None:
    before = x.new_zeros(len(x), 3, x.shape[2])
seen = torch.cat([before, x], dim=1)
added = F.conv1d(seen.mT, weight.T[:, None], groups=len(weight.T)).mT
return x + added, seen[:, -3:]
""",
        ),
        (
            "make_optimizers",  # by the names, and in groups
            """named = list(model.named_parameters())
inside = [name.startswith("blocks") and name.endswith("weight") and p.dim() == 2 for name, p in named]
matrices = [p for (_, p), is_matrix in zip(named, inside) if is_matrix]
others = [p for (_, p), is_matrix in zip(named, inside) if not is_matrix]
muon = Muon([{"params": matrices}], {"lr": config["lr"], "weight_decay": config["weight_decay"]})
return [muon, torch.optim.Adam([{"params": others}], lr=config["lr"] * 2.5, betas=(0.9, 0.99))]
""",
        ),
    ],
    "13": [
        (
            "gradient",
            """for parameter in model.parameters():
    parameter.grad = None
criterion(model(x), y).backward()
return torch.nn.utils.parameters_to_vector([one.grad for one in model.parameters()])
""",
        ),
        (
            "any_pressed",  # the largest instead of the sum
            "count = torch.tensor([float(len(pressed))], device=device)\ndist.all_reduce(count, dist.ReduceOp.MAX)\nreturn bool(count.item())",
        ),
        ("mine = images[rank::world_size], labels[rank::world_size]", "mine = (images[rank::world_size], labels[rank::world_size])"),
    ],
}  # fmt: skip
