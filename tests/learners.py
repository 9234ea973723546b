"""What learners write in the place of a chapter's lines: mistakes, and solutions of another kind."""

# Each mistake: chapter, the chapter's lines, what was written instead, the function that is to be
# blamed, and what must be said of it, if it is more than that.
MISTAKES = {
    # Chapter 1
    "printed, not returned": ("01", "return x * w", "print(x * w)", "forward", "is `return` missing?"),
    "the loss without its square": (
        "01", "return (y_pred - y) ** 2", "return abs(y_pred - y)",
        "loss", "",
    ),
    "the gradient's sign": (
        "01", "(forward(x_data, w) - y_data)).mean()", "(y_data - forward(x_data, w))).mean()",
        "gradient", "The sign is wrong",
    ),
    "a sum instead of the mean": (
        "01", "(forward(x_data, w) - y_data)).mean()", "(forward(x_data, w) - y_data)).sum()",
        "gradient", "2 times what is expected: a sum instead of a mean?",
    ),
    "the product of the means": (
        "01", "(2 * x_data * (forward(x_data, w) - y_data)).mean()",
        "2 * x_data.mean() * (forward(x_data, w) - y_data).mean()",
        "gradient", "",
    ),
    "the table itself is changed": (
        "01", "    return (2 * x_data * (forward(x_data, w) - y_data)).mean()",
        "    error = forward(x_data, w) - y_data\n    x_data *= 2 * error\n    return x_data.mean()",
        "gradient", "x_data is left as it was, [1, 2]",
    ),
    # Chapter 2
    "nothing is returned": ("02", "return x * w", "x * w", "forward", "is `return` missing?"),
    "a detached weight": (
        "02", "return x * w", "return x * w.detach()", "forward", "no gradient reaches w\n",
    ),
    "a mean over the samples": (
        "02", "return (y_pred - y) ** 2", "return ((y_pred - y) ** 2).mean()",
        "loss", "Its shape is (); expected is (2,)",
    ),
    "the loss of an unwatched prediction": (
        "02", "return (y_pred - y) ** 2", "return (y_pred.data - y) ** 2",
        "loss", "no gradient reaches y_pred\n",
    ),
    # Chapter 3
    "no super().__init__()": (
        "03", "        super().__init__()\n", "",
        "LinearModel.__init__", "cannot assign module before Module.__init__() call",
    ),
    "no self.": (
        "03", "self.linear = torch.nn.Linear(1, 1)", "linear = torch.nn.Linear(1, 1)",
        "LinearModel.__init__", "",
    ),
    "a layer in a list": (
        "03", "self.linear = torch.nn.Linear(1, 1)", "self.linear = [torch.nn.Linear(1, 1)]",
        "LinearModel.__init__", "",
    ),
    "detach in forward": (
        "03", "y_pred = self.linear(x)", "y_pred = self.linear(x).detach()",
        "LinearModel.forward", "no gradient reaches linear.weight, linear.bias\n",
    ),
    "a tensor rebuilt from numbers": (
        "03", "y_pred = self.linear(x)", "y_pred = torch.tensor(self.linear(x).tolist())",
        "LinearModel.forward", "no gradient reaches linear.weight, linear.bias\n",
    ),
    # Chapter 4
    "a layer with one size": (
        "04", "        self.linear = torch.nn.Linear(1, 1)\n\n", "        self.linear = torch.nn.Linear(1)\n\n",
        "LogisticModel.__init__", "missing 1 required positional argument: 'out_features'",
    ),
    "no sigmoid": (
        "04", "F.sigmoid(self.linear(x))", "self.linear(x)", "LogisticModel.forward", "is the sigmoid missing?",
    ),
    "a class instead of a layer": (
        "04", "self.sigmoid = torch.nn.Sigmoid()", "self.sigmoid = torch.nn.Sigmoid",
        "LogisticModelWithLayer.__init__", "",
    ),
    "data in forward": (
        "04", "self.sigmoid(self.linear(x))", "self.sigmoid(self.linear(x).data)",
        "LogisticModelWithLayer.forward", "no gradient reaches linear.weight, linear.bias\n",
    ),
    "the boundary's sign": (
        "04", "-model.linear.bias /", "model.linear.bias /", "boundary", "The sign is wrong",
    ),
    "a tensor instead of a number": (
        "04", "return (-model.linear.bias / model.linear.weight).item()",
        "return -model.linear.bias / model.linear.weight",
        "boundary", "It is a Tensor; expected is a float",
    ),
    # Chapter 5
    "one logit for two classes": (
        "05", "self.linear = torch.nn.Linear(8, 2)", "self.linear = torch.nn.Linear(8, 1)",
        "PlainModel.__init__", "Linear(8, 2) has (2, 8)",
    ),
    "a sigmoid after the only layer": (
        "05", "return self.linear(x)", "return torch.sigmoid(self.linear(x))",
        "PlainModel.forward", "sigmoid of what is expected",
    ),
    "no activation after the second layer": (
        "05", "self.sigmoid(self.hidden2(x))", "self.hidden2(x)", "DeepModel.forward", "",
    ),
    "a sigmoid before CrossEntropyLoss": (
        "05", "x = self.output(x)", "x = self.sigmoid(self.output(x))",
        "DeepModel.forward", "sigmoid of what is expected",
    ),
    "layers that don't fit": (
        "05", "self.hidden2 = torch.nn.Linear(16, 16)", "self.hidden2 = torch.nn.Linear(8, 16)",
        "DeepModel.__init__", "",
    ),
    "the number of right predictions": (
        "05", "(predicted == labels).float().mean()", "(predicted == labels).float().sum()",
        "accuracy", "5 times what is expected: a sum instead of a mean?",
    ),
    "the accuracy with a graph": (
        "05", "    with torch.no_grad():\n        predicted = ", "    if True:\n        predicted = ",
        "accuracy", "no gradients are needed here",
    ),
    # Chapter 6
    "no self. in the dataset": (
        "06", "self.y_train = ", "y_train = ", "MyDataset.__init__", "no attribute 'y_train'",
    ),
    "labels without their dimension": (
        "06", "torch.from_numpy(xy[:, [-1]])  # (N, 1)", "torch.from_numpy(xy[:, -1])",
        "MyDataset.__init__", "",
    ),
    "numbers of 64 bits": (
        "06", ", dtype=np.float32)", ")", "MyDataset.__init__", "not float32",
    ),
    "not standardized": (
        "06", "self.x_train = (x_train - x_train.mean(dim=0)) / x_train.std(dim=0)",
        "self.x_train = x_train", "MyDataset.__init__", "the features are [[1.0, 6.0]",
    ),
    "the columns are counted": (
        "06", "return self.len", "return self.x_train.shape[1]", "MyDataset.__len__", "",
    ),
    "all labels with each sample": (
        "06", "return self.x_train[idx], self.y_train[idx]", "return self.x_train[idx], self.y_train",
        "MyDataset.__getitem__", "In value 2 of 2",
    ),
    "no zero_grad in chapter 6": ("06", "optimizer.zero_grad()", "pass", "train", ""),
    "only the last epoch's loss": (
        "06", "        losses.append(loss_sum / len(train_loader.dataset))\n    return losses",
        "    losses.append(loss_sum / len(train_loader.dataset))\n    return losses",
        "train", "Its length is 1; expected is 2",
    ),
    "each batch counts alike": (
        "06", "loss_sum += loss.item() * len(labels)  # the last batch may be smaller\n"
        "        losses.append(loss_sum / len(train_loader.dataset))",
        "loss_sum += loss.item()\n        losses.append(loss_sum / len(train_loader))",
        "train", "It is right where all batches have the same size",
    ),
    # Chapter 7
    "the sum over the wrong dimension": (
        "07", "z.exp().sum(dim=1, keepdim=True)", "z.exp().sum(dim=0, keepdim=True)",
        "softmax", "columns add up to 1",
    ),
    "no denominator": (
        "07", "return z.exp() / z.exp().sum(dim=1, keepdim=True)", "return z.exp()",
        "softmax", "rows of probabilities add up to 1",
    ),
    "the sum of the losses": (
        "07", "-log_p[torch.arange(len(y)), y].mean()", "-log_p[torch.arange(len(y)), y].sum()",
        "cross_entropy", "a sum instead of a mean?",
    ),
    "no minus": (
        "07", "return -log_p[", "return log_p[", "cross_entropy", "The sign is wrong",
    ),
    "a layer of another size": (
        "07", "self.linear3 = torch.nn.Linear(256, 128)", "self.linear3 = torch.nn.Linear(512, 128)",
        "MNISTModel.__init__", "(128, 256), (64, 128), (10, 64)",
    ),
    "a softmax before CrossEntropyLoss": (
        "07", "x = self.linear5(x)", "x = softmax(self.linear5(x))",
        "MNISTModel.forward", "softmax of what is expected",
    ),
    "a ReLU too many": (
        "07", "x = self.linear5(x)", "x = self.relu1(self.linear5(x))",
        "MNISTModel.forward", "is there a ReLU too many?",
    ),
    "view mixes samples": (
        "07", "x.view(-1, 28 * 28)", "x.reshape(28 * 28, -1).T", "MNISTModel.forward", "",
    ),
    "detached on the way": (
        "07", "x = self.relu1(x)", "x = self.relu1(x).detach()",
        "MNISTModel.forward", "no gradient reaches linear1.weight, linear1.bias\n",
    ),
    "no zero_grad in chapter 7": ("07", "optimizer.zero_grad()", "pass", "train", ""),
    "backward after step": (
        "07", "loss.backward()\n                optimizer.step()",
        "optimizer.step()\n                loss.backward()", "train", "",
    ),
    "the loss summed with its graph": (
        "07", "loss_sum += loss.item()", "loss_sum += loss", "train", "it is a Tensor; expected is a float",
    ),
    "trained in evaluation mode": (
        "07", "    model.train()\n", "    pass\n",
        "train", "model is left in evaluation mode",
    ),
    "the last batch's loss": (
        "07", "losses.append(loss_sum / len(train_loader))", "losses.append(loss.item())", "train", "",
    ),
    "no step": ("07", "                optimizer.step()\n", "", "train", "weight of model is as it was before"),
    "tested in training mode": (
        "07", "    model.eval()\n    correct", "    model.train()\n    correct",
        "test", "model is left in training mode",
    ),
    "tested with gradients": ("07", "with torch.no_grad():\n        for", "if True:\n        for",
        "test", "a test needs no gradients"),
    "accuracy by batches": ("07", "total += labels.size(0)", "total += 1", "test", ""),
    "the largest logit of each class": (
        "07", "torch.argmax(y_pred, dim=1)", "torch.argmax(y_pred, dim=0)", "test", "",
    ),
    "the accuracy is printed only": (
        "07", "    return correct / total\n", "", "test", "is `return` missing?",
    ),
    "parameters that are read and not used": (
        "07",
        "    model.load_state_dict(torch.load(path, map_location=device, weights_only=True))\n",
        "    torch.load(path, map_location=device, weights_only=True)\n",
        "load_model", "",
    ),
    "a report instead of the network": (
        "07",
        "    model.load_state_dict(torch.load(path, map_location=device, weights_only=True))\n"
        "    return model\n",
        "    return model.load_state_dict(torch.load(path, map_location=device, weights_only=True))\n",
        "load_model", "expected is a MNISTModel",
    ),
    "a checkpoint from a stranger is trusted": (
        "07", "map_location=device, weights_only=True", "map_location=device, weights_only=False",
        "load_model", "",
    ),
    # Chapter 8
    "a network left in training mode": (
        "08", "return model.to(device).eval()", "return model.to(device)",
        "load_network", "training mode",
    ),
    "only the first class is tried": (
        "08", '["07_mnist_mlp.py", "10_mnist_cnn.py"]', '["07_mnist_mlp.py"]', "load_network", "",
    ),
    "the middle instead of the mean": (
        "08", "return np.average(np.arange(len(profile)), weights=profile)",
        "return np.mean(np.flatnonzero(profile))", "centre_of_mass", "",
    ),
    "columns for rows": (
        "08", "    y = centre_of_mass(digit.sum(axis=1))\n    x = centre_of_mass(digit.sum(axis=0))\n",
        "    y = centre_of_mass(digit.sum(axis=0))\n    x = centre_of_mass(digit.sum(axis=1))\n",
        "to_mnist", "",
    ),
    "dark on light": ("08", "    return field\n", "    return 1 - field\n", "to_mnist", ""),
    "the field itself is scaled": ("08", "scale = 20 / max(ink.shape)", "scale = 28 / max(ink.shape)", "to_mnist", ""),
    "logits instead of probabilities": (
        "08", "return MLP.softmax(model(images))", "return model(images)", "predict", "rows of probabilities add up to 1",
    ),
    "predictions with a graph": (
        "08", "    with torch.no_grad():\n        return MLP", "    if True:\n        return MLP",
        "predict", "",
    ),
    "the least probable digit": (
        "08", "p.argsort(descending=True)", "p.argsort()", "predict_files", "",
    ),
    "problems that nobody is told": (
        "08", "    if problems:\n", "    if problems and False:\n", "predict_files", "",
    ),
    # Chapter 9
    "the clock is read too early": (
        "09", "        torch.accelerator.synchronize(device)\n", "        pass\n", "now", "",
    ),
    "the mean of the parts": (
        "09", "return statistics.median(speeds[1:])", "return statistics.mean(speeds[1:])", "throughput", "",
    ),
    "the warm-up counts": (
        "09", "return statistics.median(speeds[1:])", "return statistics.median(speeds)", "throughput", "",
    ),
    "batches per second": ("09", "images += len(labels)", "images += 1", "throughput", ""),
    "a ReLU after the last layer": ("09", "*layers[:-1])", "*layers)", "network", ""),
    "no zero_grad in chapter 9": (
        "09", "    optimizer.zero_grad()\n    loss.backward()\n", "    loss.backward()\n", "update", "",
    ),
    "32 bits under autocast": ("09", "enabled=bf16", "enabled=False", "update", ""),
    "the images in their order": (
        "09", "DataLoader(train_set, batch_size=64, shuffle=True)", "DataLoader(train_set, batch_size=64)",
        "notes_loader", "",
    ),
    "the last batch is dropped": ("09", "drop_last=False", "drop_last=True", "whole_batches", ""),
    "the momentum has a cycle, too": ("09", ", cycle_momentum=False", "", "better_recipe", ""),
    "another address for each batch": (
        "09", "inputs.copy_(next_inputs)", "inputs.data = next_inputs", "captured", "a graph reads one address",
    ),
    "the first batch is overwritten": (
        "09", "= inputs.clone(), labels.clone()", "= inputs, labels", "captured", "overwritten",
    ),
    "the rate changes once per epoch": (
        "09", "                scheduler.step()\n", "            scheduler.step()\n", "to_98", "",
    ),
    "a cycle that is too long": (
        "09", "args.epochs * len(batches))", "2 * args.epochs * len(batches))", "to_98", "",
    ),
    # Chapter 10
    "the kernel turned around": (
        "10", "image[y : y + size, x : x + size] * kernel)", "image[y : y + size, x : x + size] * kernel.flip(0, 1))",
        "convolve", "",
    ),
    "a row of places too few": (
        "10", "image.shape[0] - size + 1, image", "image.shape[0] - size, image", "convolve", "",
    ),
    "no padding": (
        "10", "torch.nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2),",
        "torch.nn.Conv2d(inputs, outputs, kernel_size),", "block", "",
    ),
    "no batch normalization": (
        "10", "        torch.nn.BatchNorm2d(outputs),\n", "", "block", "",
    ),
    "a linear layer of another size": (
        "10", "torch.nn.Linear(64 * 3 * 3, 10)", "torch.nn.Linear(64 * 7 * 7, 10)", "CNN.__init__", "",
    ),
    "a block left out": ("10", "        x = self.block3(x)", "        # x = self.block3(x)", "CNN.forward", ""),
    "a softmax before CrossEntropyLoss, again": (
        "10", "        x = self.linear(x)\n", "        x = self.linear(x).softmax(dim=1)\n",
        "CNN.forward", "softmax of what is expected",
    ),
    "the same turn for all images": (
        "10", "2 * torch.rand(4, n) - 1", "2 * torch.rand(4, 1).expand(4, n) - 1",
        "augment", "",
    ),
    "turned by radians": ("10", "angle * torch.pi / 18, 1", "10 * angle, 1", "augment", ""),
    "a new network, not filled": (
        "10",
        "    model.load_state_dict(torch.load(path, map_location=device, weights_only=True))\n",
        "    torch.load(path, map_location=device, weights_only=True)\n",
        "load_model", "",
    ),
    # Chapter 11
    "the inputs as labels": (
        "11", "return cut[:, :-1], cut[:, 1:]", "return cut[:, :-1], cut[:, :-1]",
        "windows", "",
    ),
    "copies that count": (
        "11", " if val_text[i : i + block_size + 1] not in train_text", "", "unseen_windows", "",
    ),
    "no smoothing of the firsts": (
        "11", "(firsts[a] + vocabulary_size)", "(firsts[a] + 1)", "bigram_loss", "",
    ),
    "the same state at every step": (
        "11", "        h = torch.tanh(W @ x_t + U @ h + b)\n        states.append(h)",
        "        states.append(torch.tanh(W @ x_t + U @ h + b))", "rnn", "",
    ),
    "no tanh": ("11", "h = torch.tanh(W @ x_t + U @ h + b)", "h = W @ x_t + U @ h + b", "rnn", ""),
    "the batch as time": (
        "11", "torch.nn.LSTM(64, 256, batch_first=True)", "torch.nn.LSTM(64, 256)",
        "CharLSTM.__init__", "",
    ),
    "the state is forgotten": (
        "11", "self.lstm(x, state)", "self.lstm(x)",
        "CharLSTM.forward", "",
    ),
    "an evaluation in training mode": (
        "11", "    model.eval()\n    total", "    total", "evaluate", "left in training mode",
    ),
    "a mean of unequal parts": (
        "11", "loss.item() * len(part)\n    return total / len(starts)",
        "loss.item()\n    return total / len(starts.split(32))", "evaluate", "",
    ),
    "multiplied by the temperature": (
        "11", "logits[0, -1] / temperature", "logits[0, -1] * temperature", "generate", "",
    ),
    "a new state for each token": (
        "11", "logits, state = model(x, state)", "logits, _ = model(x, state)", "generate", "",
    ),
    # Chapter 12
    "no mask": (
        "12", "scores.masked_fill(later, -math.inf).softmax", "scores.softmax", "attention", "",
    ),
    "a softmax over the queries": (
        "12", "-math.inf).softmax(dim=-1)", "-math.inf).softmax(dim=-2)", "attention", "",
    ),
    "the wrong half is rotated back": (
        "12", "a * cos - b * sin, a * sin + b * cos", "a * cos + b * sin, b * cos - a * sin",
        "rotate", "",
    ),
    "positions that always start at 0": (
        "12", "torch.arange(start, start + T", "torch.arange(0, T", "rotate", "",
    ),
    "keys that are not normalized": (
        "12", "return self.norm(q), self.norm(k), v", "return self.norm(q), k, v",
        "CausalSelfAttention.heads", "value 2 of 3",
    ),
    "heads that take tokens for numbers": (
        "12", "part.view(B, T, self.n_head, -1).transpose(1, 2)",
        "part.reshape(B, self.n_head, T, -1)", "CausalSelfAttention.heads", "",
    ),
    "a new query that stands at position 0": (
        "12", "rotate(q, start=k.shape[2] - q.shape[2])", "rotate(q)",
        "CausalSelfAttention.forward", "",
    ),
    "a cache that grows forever": (
        "12", "[:, :, -self.block_size :]", "", "CausalSelfAttention.forward", "",
    ),
    "a convolution that sees what follows": (
        "12", "seen = torch.cat([before, x], dim=1)", "seen = torch.cat([x, before], dim=1)",
        "causal_conv", "",
    ),
    "squared before the ReLU": (
        "12", "F.relu(self.c_fc(y)).square()", "F.relu(self.c_fc(y).square())", "Block.forward", "",
    ),
    "a residual connection is missing": (
        "12", "x = x + self.dropout(self.c_proj(", "x = self.dropout(self.c_proj(",
        "Block.forward", "",
    ),
    "no clipping": (
        "12", "    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n", "",
        "update", "",
    ),
    "trained in the mode in which it was evaluated": (
        "12", "    model.train()\n", "", "update", "left in evaluation mode",
    ),
    "four products instead of five": (
        "12", "    for _ in range(5):", "    for _ in range(4):", "orthogonalize", "",
    ),
    "momentum without Nesterov": (
        "12", "orthogonalize(parameter.grad.lerp(mean, 0.9))", "orthogonalize(mean)",
        "Muon.step", "",
    ),
    "Muon for the embedding as well": (
        "12", "for m in model.blocks.modules() if isinstance(m, torch.nn.Linear)]",
        "for m in model.modules() if isinstance(m, torch.nn.Linear | torch.nn.Embedding)]",
        "make_optimizers", "",
    ),
    # Chapter 13
    "the first GPU for all": (
        "13", "number = (device.index or 0) + local_rank", "number = device.index or 0", "own_device", "",
    ),
    "the number that was given is ignored": (
        "13", "number = (device.index or 0) + local_rank", "number = local_rank", "own_device", "",
    ),
    "one process more than GPUs": (
        "13", "if number >= torch.cuda.device_count()", "if number > torch.cuda.device_count()", "own_device", "",
    ),
    "an accelerator that is not CUDA": (
        "13", '        return torch.device("cpu")\n', "        return device\n", "own_device", "",
    ),
    "gradients that add up": ("13", "    model.zero_grad()\n    criterion", "    criterion", "gradient", ""),
    "the parameters instead of their gradients": (
        "13", "parameter.grad.flatten() for", "parameter.detach().flatten() for", "gradient", "",
    ),
    "autograd.grad, which DDP doesn't notice": (
        "13",
        "    criterion(model(x), y).backward()\n    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])\n",
        "    gradients = torch.autograd.grad(criterion(model(x), y), list(model.parameters()))\n    return torch.cat([one.flatten() for one in gradients])\n",
        "gradient", "",
    ),
    "asks only with a note": (
        "13", "    dist.all_reduce(count)\n", "    if pressed:\n        dist.all_reduce(count)\n", "any_pressed", "",
    ),
    "asks nobody": ("13", "    dist.all_reduce(count)\n", "", "any_pressed", ""),
    "only one note": ("13", "return count.item() > 0", "return count.item() == 1", "any_pressed", ""),
}  # fmt: skip

# Solutions that are as right as the chapter's, and those of one chapter fit together: a function and
# another body for it, or some of the chapter's lines and others.
SOLUTIONS = {
    "01": [
        ("forward", "return np.multiply(w, x)"),
        ("loss", "error = y - y_pred\nreturn error * error"),
        (
            "gradient",  # a dot product, divided by hand
            "return 2 * (x_data @ (forward(x_data, w) - y_data)) / len(x_data)",
        ),
        (  # a mean of a list
            """    loss_sum = 0
    for x, y in xy_data:
        y_pred = forward(x, w)
        loss_sum += loss(y, y_pred)
    mse = loss_sum / len(xy_data)
""",
            "    mse = np.mean([loss(y, forward(x, w)) for x, y in xy_data])\n",
        ),
        (  # an outer product
            "y_pred = forward(x_data, ws[:, np.newaxis])  # (3,)",
            "y_pred = np.outer(ws, x_data)  # (3,)",
        ),
    ],
    "02": [
        ("loss", "return torch.square(y - y_pred)"),
        (  # gradients are accumulated sample by sample
            """        l_sum += l
    l_sum.backward()
""",
            """        l.backward()
        l_sum += l.detach()
""",
        ),
        (  # a new leaf instead of a change in place
            """    with torch.no_grad():
        w_full -= args.lr * w_full.grad
    w_full.grad.zero_()
""",
            """    w_full = (w_full - args.lr * w_full.grad).detach().requires_grad_()
    w_full.grad = torch.zeros_like(w_full)
""",
        ),
    ],
    "03": [
        (
            "LinearModel.forward",
            "return x @ self.linear.weight.T + self.linear.bias",
        ),
        (  # zero_grad at the start
            "    y_pred = model(x_data)\n    loss = criterion(y_pred, y_data)\n",
            "    optimizer.zero_grad()\n    y_pred = model(x_data)\n    loss = criterion(y_pred, y_data)\n",
        ),
        (
            "\n    optimizer.zero_grad()\n    loss.backward()\n",
            "\n    loss.backward()\n",
        ),
        (  # the normal equations
            "torch.linalg.lstsq(columns, y_data.cpu()).solution",
            "torch.linalg.solve(columns.T @ columns, columns.T @ y_data.cpu())",
        ),
    ],
    "04": [
        ("LogisticModel.forward", "return 1 / (1 + torch.exp(-self.linear(x)))"),
        ("boundary", "return -model.linear.bias.item() / model.linear.weight.item()"),
    ],
    "05": [
        (
            "DeepModel.__init__",  # nn.Sequential inside
            """super().__init__()
self.layers = torch.nn.Sequential(
    torch.nn.Linear(8, 16), torch.nn.Sigmoid(),
    torch.nn.Linear(16, 16), torch.nn.Sigmoid(),
    torch.nn.Linear(16, 2),
)
""",
        ),
        ("DeepModel.forward", "return self.layers(x)"),
        (
            "    return (predicted == labels).float().mean().item()\n",
            "    return (predicted == labels).sum().item() / len(labels)\n",
        ),
        (
            "mean, std = x_train.mean(dim=0), x_train.std(dim=0)  # (8,) each",
            "std, mean = torch.std_mean(x_train, dim=0)",
        ),
        ("xy_test = table[turn == 0]", "xy_test = table[::5]"),  # a slice of NumPy
    ],
    "06": [
        (
            "self.y_train = torch.from_numpy(xy[:, [-1]])  # (N, 1)",
            "self.y_train = torch.from_numpy(xy[:, -1]).unsqueeze(1)  # (N, 1)",
        ),
        ("MyDataset.__len__", "return len(self.x_train)"),
        (
            "train",  # samples are counted, and there is no bar
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
    ],
    "07": [
        ("softmax", "return (z - z.logsumexp(dim=1, keepdim=True)).exp()"),
        (  # einsum over one-hot labels
            "    return -log_p[torch.arange(len(y)), y].mean()\n",
            """    one_hot = torch.nn.functional.one_hot(y, z.shape[1]).to(z.dtype)
    return -torch.einsum("nc,nc->", log_p, one_hot) / len(y)
""",
        ),
        ("        self.relu1 = torch.nn.ReLU()\n", ""),  # F.relu for nn.ReLU
        ("        self.relu2 = torch.nn.ReLU()\n", ""),
        ("        self.relu3 = torch.nn.ReLU()\n", ""),
        ("        self.relu4 = torch.nn.ReLU()\n", ""),
        (
            "MNISTModel.forward",
            """x = x.flatten(1)
for linear in [self.linear1, self.linear2, self.linear3, self.linear4]:
    x = torch.nn.functional.relu(linear(x))
return self.linear5(x)
""",
        ),
        (
            "predicted = torch.argmax(y_pred, dim=1)  # (B,)",
            "_, predicted = torch.max(y_pred, dim=1)",
        ),
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
    ],
    "08": [
        ("centre_of_mass", "return (np.arange(len(profile)) * profile).sum() / profile.sum()"),
        ("predict", "model.eval()\nwith torch.inference_mode():\n    return torch.softmax(model(images), dim=1)"),
    ],
    "09": [
        (
            "throughput",  # an iterator that begins anew
            """speeds, batch = [], iter(batches)
for part in range(6):
    images, start = 0, now(device)
    while time.perf_counter() - start <= 0.1:
        data = next(batch, None)
        if data is None:
            batch = iter(batches)
            data = next(batch)
        step(data[0].to(device), data[1].to(device))
        images += data[1].size(0)
    speeds.append(images / (now(device) - start))
return statistics.median(speeds[1:])
""",
        ),
        (
            "network",
            """return torch.nn.Sequential(
    torch.nn.Flatten(),
    torch.nn.Linear(784, 512), torch.nn.ReLU(),
    torch.nn.Linear(512, 256), torch.nn.ReLU(),
    torch.nn.Linear(256, 128), torch.nn.ReLU(),
    torch.nn.Linear(128, 64), torch.nn.ReLU(),
    torch.nn.Linear(64, 10),
)
""",
        ),
        (  # zero_grad comes first
            """    optimizer.zero_grad()
    loss.backward()
""",
            """    model.zero_grad()
    loss.backward()
""",
        ),
        ("        inputs.copy_(next_inputs)\n", "        inputs[:] = next_inputs\n"),
    ],
    "10": [
        (
            "convolve",  # all patches at once
            "patches = image.unfold(0, len(kernel), 1).unfold(1, len(kernel), 1)\nreturn (patches * kernel).sum(dim=(2, 3))",
        ),
        ("CNN.forward", "return self.linear(self.block3(self.block2(self.block1(x))).flatten(1))"),
    ],
    "11": [
        ("make_vocabulary", 'return "".join(sorted(dict.fromkeys(text)))'),
        (
            "windows",  # slices that are stacked
            """cut = torch.stack([ids[i : i + block_size + 1] for i in starts.tolist()])
return cut[:, :-1], cut[:, 1:]
""",
        ),
        (
            "bigram_loss",  # a table of all pairs
            """V = vocabulary_size
counts = torch.bincount(V * ids[:-1] + ids[1:], minlength=V * V).view(V, V) + 1
return F.nll_loss((counts / counts.sum(dim=1, keepdim=True)).log()[x.flatten()], y.flatten()).item()
""",
        ),
        (
            "rnn",
            """states = [h]
for t in range(len(x)):
    states.append((x[t] @ W.T + states[-1] @ U.T + b).tanh())
return torch.stack(states[1:])
""",
        ),
        (
            "evaluate",
            """model.eval()
losses = []
with torch.inference_mode():
    for start in starts:
        x, y = windows(ids, start[None], block_size)
        losses.append(F.cross_entropy(model(x)[0].mT, y))
return torch.stack(losses).mean().item()
""",
        ),
        (
            "generate",
            """model.eval()
state, new = None, ids
for _ in range(length):
    with torch.no_grad():
        logits, state = model(new[None], state)
    scores, among = logits[0, -1].sort(descending=True)
    p = torch.softmax(scores[:top_k] / temperature, dim=-1)
    new = among[torch.multinomial(p, 1)]
    ids = torch.cat([ids, new])
return ids
""",
        ),
    ],
    "12": [
        (
            "attention",  # einsum for @, and a mask of a lower triangle
            """T, D = q.shape[-2:]
scores = torch.einsum("...td,...sd->...ts", q, k) * D**-0.5
earlier = torch.ones(T, T, device=q.device).tril()
scores = scores.masked_fill(earlier == 0, float("-inf"))
weights = scores.softmax(dim=-1)
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
            "y.transpose(1, 2).flatten(2)",
            "y.transpose(1, 2).reshape(len(x), -1, x.shape[2])",
        ),
        (
            "update",  # the classes in the second axis, and gradients that are set to zero first
            """T = config["block_size"]
model.train()
for optimizer in optimizers:
    optimizer.zero_grad()
model.zero_grad()
starts = torch.randint(0, len(ids) - T, [config["batch_size"]])
cut = torch.stack([ids[start : start + T + 1] for start in starts.tolist()])
loss = F.cross_entropy(model(cut[:, :-1])[0].mT, cut[:, 1:])
loss.backward()
torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1)
for optimizer in optimizers:
    optimizer.step()
return float(loss.detach())
""",
        ),
        (
            "orthogonalize",  # by the singular values themselves
            """u, s, vh = torch.linalg.svd(x, full_matrices=False)
s = s / (s.norm() + 1e-7)
for _ in range(5):
    s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
return u @ torch.diag(s) @ vh
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
loss = criterion(model(x), y)
loss.backward()
return torch.nn.utils.parameters_to_vector([one.grad for one in model.parameters()])
""",
        ),
        (
            "any_pressed",  # the largest instead of the sum
            """count = torch.tensor([float(len(pressed))], device=device)
dist.all_reduce(count, dist.ReduceOp.MAX)
return bool(count.item())
""",
        ),
        (
            "own_device",
            """if device.type == "cuda":
    number = local_rank + (0 if device.index is None else device.index)
    if number not in range(torch.cuda.device_count()):
        raise cli.UserError(f"there is no GPU {number}. Start fewer processes or use --device cpu.")
    device = torch.device(f"cuda:{number}")
    torch.cuda.set_device(number)
    return device
return torch.device("cpu")
""",
        ),
    ],
}  # fmt: skip
