"""What learners write in the place of a chapter's lines: mistakes, and solutions of another kind."""

# Each mistake: chapter, the chapter's lines, what was written instead, the function that is to be
# blamed, and what must be said of it, if it is more than that.
MISTAKES = {
    # Chapter 1
    "the loss without its square": (
        "01", "return (y_pred - y) ** 2", "return abs(y_pred - y)",
        "loss", "",
    ),
    "a sum instead of the mean": (
        "01", "mse = loss_sum / len(xy_data)", "mse = loss_sum",
        "grid_search", "2 times what is expected: a sum instead of a mean?",
    ),
    "the sum goes on from one weight to the next": (
        "01", "for w in ws:\n        loss_sum = 0\n", "loss_sum = 0\n    for w in ws:\n",
        "grid_search", "In value 2 of 2: wrong are 2 of 3, the first at [1]",
    ),
    "no new axis": (
        "01", "forward(x_data, ws[:, np.newaxis])  # (N,)", "forward(x_data, ws)  # (N,)",
        "grid_search_by_broadcasting", "",
    ),
    "the mean along the wrong axis": (
        "01", "return loss(y_data, y_pred).mean(axis=1)",
        "return loss(y_data, y_pred).mean(axis=0)",
        "grid_search_by_broadcasting", "Its shape is (2,); expected is (3,)",
    ),
    "the gradient's sign": (
        "01", "(forward(x_data, w) - y_data)).mean()", "(y_data - forward(x_data, w))).mean()",
        "gradient", "The sign is wrong",
    ),
    "a step along the gradient": (
        "01", "w = w - lr * gradient(", "w = w + lr * gradient(", "gradient_descent", "",
    ),
    "recorded after the update": (
        "01",
        "            progress.end_epoch(loss=mse, w=w)\n"
        "            w = w - lr * gradient(x_data, y_data, w)\n",
        "            w = w - lr * gradient(x_data, y_data, w)\n"
        "            progress.end_epoch(loss=mse, w=w)\n",
        "gradient_descent", "one place too early",
    ),
    # Chapter 2
    "nothing is returned": ("02", "return x * w", "x * w", "forward", "is `return` missing?"),
    "a detached weight": (
        "02", "return x * w", "return x * w.detach()", "forward", "no gradient reaches w\n",
    ),
    "no zero_": ("02", "w.grad.zero_()\n", "pass\n", "train_sgd", ""),
    "the update is recorded": (
        "02", "with torch.no_grad():\n                    w -=", "if True:\n                    w -=",
        "train_sgd", "leaf Variable",
    ),
    "another tensor takes w's name": (
        "02",
        "            with torch.no_grad():\n                w -= lr * w.grad\n            w.grad.zero_()",
        "            w = w - lr * w.grad", "train_full_batch", "",
    ),
    "numbers are summed up": (
        "02", "l_sum += l\n", "l_sum += l.item()\n", "train_full_batch", "backward",
    ),
    # Chapter 3
    "no self.": (
        "03", "self.linear = torch.nn.Linear(1, 1)", "linear = torch.nn.Linear(1, 1)",
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
    "no_grad around the training": (
        "03", "            loss = criterion(y_pred, y_data)\n\n",
        "            with torch.no_grad():\n"
        "                loss = criterion(model(x_data), y_data)\n\n",
        "train", "no gradient reaches any parameter",
    ),
    "no zero_grad": ("03", "optimizer.zero_grad()", "pass", "train", ""),
    "w and b exchanged": (
        "03", "torch.cat([x_data, torch.ones_like(x_data)]",
        "torch.cat([torch.ones_like(x_data), x_data]",
        "least_squares", "their order is not",
    ),
    "a closure that returns nothing": (
        "03", "        loss.backward()\n        return loss\n", "        loss.backward()\n",
        "losses_with", "",
    ),
    "a closure without zero_grad": (
        "03", "    def closure() -> torch.Tensor:\n        optimizer.zero_grad()\n",
        "    def closure() -> torch.Tensor:\n", "losses_with", "",
    ),
    # Chapter 4
    "no sigmoid": (
        "04", "F.sigmoid(self.linear(x))", "self.linear(x)", "LogisticModel.forward", "is the sigmoid missing?",
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
    "tested on the training set": (
        "05", "return xy[~is_test], xy[is_test]", "return xy[~is_test], xy[~is_test]",
        "split", "In value 2 of 2: its shape is (9, 2)",
    ),
    "standardized by its own mean": (
        "05", "return (x - x_train.mean(dim=0)) / x_train.std(dim=0)",
        "return (x - x.mean(dim=0)) / x.std(dim=0)", "standardize", "",
    ),
    "the table itself is standardized": (
        "05", "return (x - x_train.mean(dim=0)) / x_train.std(dim=0)",
        "x -= x_train.mean(dim=0)\n    x /= x_train.std(dim=0)\n    return x",
        "standardize", "x is left as it was, [[2, 40], [4, 20]]",
    ),
    "the number of right predictions": (
        "05", "(predicted == labels).float().mean()", "(predicted == labels).float().sum()",
        "accuracy", "5 times what is expected: a sum instead of a mean?",
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
        "06", "dtype=np.float32, encoding", "encoding", "MyDataset.__init__", "not float32",
    ),
    "no zero_grad in chapter 6": ("06", "optimizer.zero_grad()", "pass", "train", ""),
    "each batch counts alike": (
        "06", "loss_sum += losses[-1] * len(labels)\n                samples += len(labels)",
        "loss_sum += losses[-1]\n                samples += 1",
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
    "a softmax before CrossEntropyLoss": (
        "07", "return self.linear5(x)", "return softmax(self.linear5(x))",
        "MNISTModel.forward", "softmax of what is expected",
    ),
    "training set and test set exchanged": (
        "07", "return train_set, test_set", "return test_set, train_set",
        "load_mnist", "60,000 are for training",
    ),
    "a list instead of a dataset": (
        "07", "return TensorDataset(*(tensor.to(device) for tensor in dataset.tensors))",
        "return [tensor.to(device) for tensor in dataset.tensors]",
        "to_device", "It is a list; expected is a TensorDataset",
    ),
    "view mixes samples": (
        "07", "x.view(-1, 28 * 28)", "x.reshape(28 * 28, -1).T", "MNISTModel.forward", "",
    ),
    "detached on the way": (
        "07", "x = self.relu1(self.linear1(x))", "x = self.relu1(self.linear1(x)).detach()",
        "MNISTModel.forward", "no gradient reaches linear1.weight, linear1.bias\n",
    ),
    "no zero_grad in chapter 7": ("07", "optimizer.zero_grad()", "pass", "train", ""),
    "backward after step": (
        "07", "loss.backward()\n                optimizer.step()",
        "optimizer.step()\n                loss.backward()", "train", "",
    ),
    "the loss summed with its graph": ("07", "loss.detach() *", "loss *", "train", ""),
    "trained in evaluation mode": (
        "07", "            model.train()\n", "            pass\n",
        "train", "model is left in evaluation mode",
    ),
    "the last batch's loss": (
        "07", "loss=loss_sum.item() / samples", "loss=loss.item()", "train", "What differs is loss",
    ),
    "no step": ("07", "                optimizer.step()\n", "", "train", "weight of model is as it was before"),
    "tested in training mode": (
        "07", "    model.eval()\n    correct", "    model.train()\n    correct",
        "test", "model is left in training mode",
    ),
    "tested with gradients": ("07", "with torch.no_grad():\n        for", "if True:\n        for",
        "test", "a test needs no gradients"),
    "accuracy by batches": ("07", "total += labels.size(0)", "total += 1", "test", ""),
    "the last digits instead of the first": (
        "07", "p.argsort(descending=True)[:2]", "p.argsort()[:2]",
        "predict_files", "it printed",
    ),
    "labels of another batch": (
        "07", "correct += (predicted == labels).sum()",
        "correct += (predicted == labels.roll(1)).sum()", "test", "",
    ),
    "logits are no probabilities": (
        "07", "return softmax(model(images))", "return model(images)",
        "predict", "rows of probabilities add up to 1",
    ),
    # Chapter 8
    "the ratio of the medians": (
        "08",
        "return statistics.median(\n"
        "            mine / its for mine, its in zip(self.speeds, other.speeds, strict=True)\n"
        "        )",
        "return self.speed() / other.speed()", "Rung.speedup", "",
    ),
    "the clock is read too early": (
        "08", "        torch.accelerator.synchronize(device)\n", "        pass\n", "now", "",
    ),
    "no zero_grad in chapter 8": (
        "08", "        optimizer.zero_grad()\n        loss.backward()\n",
        "        loss.backward()\n", "train", "",
    ),
    "the rate changes once per epoch": (
        "08", "        if scheduler is not None:\n            scheduler.step()",
        "    if scheduler is not None:\n        scheduler.step()", "train", "",
    ),
    "a cycle of one epoch": (
        "08", "updates=epochs * len(loader)", "updates=len(loader) // 2",
        "recipe_rung", "",
    ),
    "a new optimizer for each part": (
        "08", "lambda batches: train(*parts, batches, device, bf16=bf16)",
        "lambda batches: train(model, *notes_recipe(model), batches, device, bf16=bf16)",
        "notes_rung", "",
    ),
    "another address for each batch": (
        "08", "            inputs.copy_(data[0])\n", "            inputs.data = data[0]\n",
        "captured_train", "a graph reads one address",
    ),
    "the first batch is overwritten": (
        "08", "(tensor.clone() for tensor in first_batch)", "first_batch", "captured_train", "overwritten",
    ),
    "the last time instead of the first": (
        "08", "            return seconds\n    return None",
        "            last = seconds\n    return last", "seconds_to", "",
    ),
    # Chapter 9
    "labels that are the inputs": (
        "09", "return cut[:, :-1], cut[:, 1:]", "return cut[:, :-1], cut[:, :-1]",
        "windows", "What differs is value 2 of 2",
    ),
    "no smoothing": (
        "09", "minlength=vocabulary_size**2) + 1", "minlength=vocabulary_size**2)",
        "Bigram.__init__", "",
    ),
    "the temperature multiplies": (
        "09", ".float().cpu() / temperature", ".float().cpu() * temperature", "generate", "",
    ),
    "no mask": (
        "09", "scores = scores.masked_fill(later, -math.inf)", "pass", "attention", "",
    ),
    "a softmax over the queries": (
        "09", "weights = scores.softmax(dim=-1)", "weights = scores.softmax(dim=-2)",
        "attention", "",
    ),
    "the wrong half is rotated back": (
        "09", "a * cos - b * sin, a * sin + b * cos", "a * cos + b * sin, b * cos - a * sin",
        "rotate", "",
    ),
    "positions that always start at 0": (
        "09", "torch.arange(start, start + T", "torch.arange(0, T", "rotate", "",
    ),
    "the norm after the rotation of the keys is missing": (
        "09", "rotate(self.qk_norm(k), start), v", "rotate(k, start), v",
        "CausalSelfAttention.heads", "",
    ),
    "heads that take tokens for numbers": (
        "09", "part.view(B, T, self.n_head, -1).transpose(1, 2)",
        "part.reshape(B, self.n_head, T, -1)", "CausalSelfAttention.heads", "",
    ),
    "a cache that forgets": (
        "09", "            cache[:] = k, v", "            cache[:] = k[:, :, -1:], v[:, :, -1:]",
        "CausalSelfAttention.forward", "",
    ),
    "gates that don't gate": (
        "09", "values * F.silu(gates)", "values + F.silu(gates)", "MLP.forward", "",
    ),
    "a residual connection is missing": (
        "09", "return x + self.dropout(self.mlp(self.norm_2(x)))",
        "return self.dropout(self.mlp(self.norm_2(x)))", "Block.forward", "",
    ),
    "evaluated with dropout": (
        "09", "    model.eval()\n    losses", "    losses", "evaluate", "left in training mode",
    ),
    "windows of the training set stay in": (
        "09", " if val_text[i : i + block_size + 1] not in train_text", "", "unseen_windows", "",
    ),
    "four products instead of five": (
        "09", "    for _ in range(5):", "    for _ in range(4):", "orthogonalize", "",
    ),
    "no clipping": (
        "09", "            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n", "",
        "train", "",
    ),
}  # fmt: skip

# Solutions that are as right as the chapter's, and those of one chapter fit together: a function and
# another body for it, or some of the chapter's lines and others.
SOLUTIONS = {
    "01": [
        (
            "grid_search",  # a list comprehension
            """mse_list = [np.mean([loss(y, forward(x, w)) for x, y in xy_data]) for w in ws]
return list(ws), mse_list
""",
        ),
        (  # an outer product
            "y_pred = forward(x_data, ws[:, np.newaxis])  # (N,)",
            "y_pred = np.outer(ws, x_data)  # (N,)",
        ),
        (
            "gradient",  # a dot product, divided by hand
            "return 2 * (x_data @ (forward(x_data, w) - y_data)) / len(x_data)",
        ),
    ],
    "02": [
        ("loss", "return torch.square(y - y_pred)"),
        (  # gradients are accumulated sample by sample
            """                l_sum += l
            l_sum.backward()
""",
            """                l.backward()
                l_sum += l.detach()
""",
        ),
        (  # data instead of no_grad, and no gradient instead of a zero
            """                with torch.no_grad():
                    w -= lr * w.grad
                w.grad.zero_()
""",
            """                w.data = w.data - lr * w.grad.data
                w.grad = None
""",
        ),
    ],
    "03": [
        (  # zero_grad at the end
            """            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            progress.end_epoch(loss=loss.item(), w=w, b=b)
""",
            """            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            progress.end_epoch(loss=loss.item(), w=w, b=b)
""",
        ),
        (  # the normal equations
            "    w, b = torch.linalg.lstsq(columns, y_data).solution.flatten().tolist()\n",
            "    w, b = torch.linalg.solve(columns.T @ columns, columns.T @ y_data)[:, 0].tolist()\n",
        ),
        (  # a loop
            "    return [optimizer.step(closure).item() for epoch in range(epochs)]\n",
            """    losses = []
    for epoch in range(epochs):
        losses.append(float(optimizer.step(closure)))
    return losses
""",
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
        ("standardize", "std, mean = torch.std_mean(x_train, 0)\nreturn x.sub(mean).div(std)"),
        (
            "    return (predicted == labels).float().mean().item()\n",
            "    return (predicted == labels).sum().item() / len(labels)\n",
        ),
        ("split", "return np.delete(xy, np.s_[::5], axis=0), xy[::5]"),  # slices of NumPy
    ],
    "06": [
        (
            "self.y_train = torch.from_numpy(xy[:, [-1]])  # (N, 1)",
            "self.y_train = torch.from_numpy(xy[:, -1]).unsqueeze(1)  # (N, 1)",
        ),
        (  # the loss of the epoch as the mean of all losses, weighted
            """                losses.append(loss.item())
                loss_sum += losses[-1] * len(labels)
                samples += len(labels)
            progress.end_epoch(loss=loss_sum / samples)
""",
            """                losses.append(float(loss))
                samples += len(labels)
                loss_sum += float(torch.nn.functional.binary_cross_entropy_with_logits(
                    y_pred.detach(), labels, reduction="sum"))
            progress.end_epoch(loss=loss_sum / samples)
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
            "predicted = torch.argmax(y_pred, dim=1)  # (B,), as _, predicted = torch.max(…, dim=1)",
            "_, predicted = torch.max(y_pred, dim=1)",
        ),
        (
            "to_device",
            """images, labels = dataset.tensors
return TensorDataset(images.to(device), labels.to(device))
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
        (
            "Rung.speed",
            "return torch.tensor(self.speeds, dtype=torch.float64).quantile(0.5).item()",
        ),
        (
            "seconds_to",
            """both = zip(history["seconds"], history["accuracy"], strict=True)
return next((seconds for seconds, reached in both if reached >= accuracy), None)
""",
        ),
        (
            """            inputs.copy_(data[0])
            labels.copy_(data[1])
""",
            """            inputs[:] = data[0]
            labels[:] = data[1]
""",
        ),
    ],
    "09": [
        ("make_vocabulary", 'return "".join(sorted(dict.fromkeys(text)))'),
        (
            "windows",  # slices that are stacked
            """cut = torch.stack([ids[i : i + block_size + 1] for i in starts.tolist()]).long()
return cut[:, :-1], cut[:, 1:]
""",
        ),
        (
            "cross_entropy",
            "return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1))",
        ),
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
            "MLP.forward",
            """values, gates = self.c_fc(x).split(self.c_proj.in_features, dim=-1)
return self.c_proj(values * gates * torch.sigmoid(gates))
""",
        ),
        (
            "orthogonalize",  # one matrix after the other, by the powers of its singular values
            """u, s, vh = torch.linalg.svd(x, full_matrices=False)
s = s / (s.square().sum(dim=1, keepdim=True).sqrt() + 1e-7)
for _ in range(5):
    s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
return u @ torch.diag_embed(s) @ vh
""",
        ),
    ],
}  # fmt: skip
