# %% [markdown]
# ## Exercises
#
# **1.** `train` multiplies the loss of each batch by the number of its samples before it takes the
# mean. With batches of 767, the second and last batch is a single sample. What would the plain mean
# of the two losses be?
#
# <details><summary>Answer</summary>

# %%
sizes, batch_losses = [], []
for inputs, labels in DataLoader(dataset, batch_size=767):
    inputs, labels = inputs.to(args.device), labels.to(args.device)
    sizes.append(len(labels))
    batch_losses.append(criterion(model(inputs), labels).item())
print(sizes, batch_losses)
print("plain mean:", np.mean(batch_losses))
print("weighted by the sizes:", np.average(batch_losses, weights=sizes))

x_all, y_all = dataset.x_train.to(args.device), dataset.y_train.to(args.device)
print("all samples at once:", criterion(model(x_all), y_all).item())

# %% [markdown]
# In the plain mean, the last sample alone counts as much as the other 767 together. Weighted by the
# sizes, every sample counts the same. With batches of equal size there is no difference, and the
# 768 samples in batches of 2 are such a case: the mistake would stay hidden until somebody changes
# the batch size.
#
# </details>
#
# **2.** How much does the gradient of a batch differ from that of all samples? Derive how this
# depends on the batch size $B$, then measure it for the weights of the first layer.
#
# <details><summary>Answer</summary>


# %%
def gradient(x, y):
    model.zero_grad()
    criterion(model(x), y).backward()
    return model[0].weight.grad  # (16, 8)


of_all = gradient(x_all, y_all)
print("gradient of all samples: length", of_all.norm().item())
for size in [2, 8, 32, 128]:
    square_sum = 0
    for repetition in range(200):
        idx = torch.randint(len(dataset), (size,))
        error = gradient(x_all[idx], y_all[idx]) - of_all
        square_sum += (error**2).sum().item()
    print("batches of", size, "root mean square error", (square_sum / 200) ** 0.5)

# %% [markdown]
# A batch's gradient is the mean of $B$ random samples' gradients, and the standard deviation of
# such a mean is proportional to $1 / \sqrt{B}$: four times the batch size halves the error, but
# costs four times the work. After training, the gradient of all samples is small, and the error of
# a batch of 2 is many times as large. A single update then goes almost anywhere; only the average
# over many updates points downhill.
#
# </details>
#
# **3.** Train for 5 epochs with batches of 16 instead of 2: an eighth of the updates. Which
# learning rate gives about the loss that batches of 2 have after 5 epochs, and why?
#
# <details><summary>Answer</summary>

# %%
print("batches of 2 learning rate 0.01", losses[:5])
for size, lr in [(16, 0.01), (16, 0.08), (768, 3.84)]:
    model.load_state_dict(untrained)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    loader = DataLoader(dataset, batch_size=size, shuffle=True)
    curve = train(model, criterion, optimizer, loader, args.device, 5)
    print("batches of", size, "learning rate", lr, curve)

# %% [markdown]
# Eight times the learning rate, 0.08. Eight small updates move the parameters by $-lr$ times the
# sum of eight gradients. As long as the parameters hardly change meanwhile, that sum is 8 times its
# mean, which is the gradient of one batch of 16. This **linear scaling rule** fails when the steps
# become too long for that: for the full batch it gives $384 \cdot 0.01 = 3.84$, and at first the
# loss rises. (In the chapter it recovers later.)
#
# </details>
#
# **4.** Sort the samples by their labels, all 0 first, then all 1, and train without shuffling.
# What does the model predict afterwards? Does the loss that `train` reports show it?
#
# <details><summary>Answer</summary>

# %%
in_order = torch.utils.data.Subset(dataset, dataset.y_train[:, 0].argsort().tolist())
for shuffle in [False, True]:
    model.load_state_dict(untrained)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.08)
    loader = DataLoader(in_order, batch_size=16, shuffle=shuffle)
    curve = train(model, criterion, optimizer, loader, args.device, 5)
    print("shuffle", shuffle, "loss of epoch 5", curve[-1])
    y_pred = model(x_all)
    print("afterwards on all samples: loss", criterion(y_pred, y_all).item())
    print("share predicted 1:", (y_pred > 0).float().mean().item())

# %% [markdown]
# At the end of each epoch the model has seen nothing but the label 1 for 268 samples, and predicts
# 1 for everyone, though 65 % of the labels are 0. The reported loss doesn't show it. Each batch is
# measured when the model has just adapted to the class that the batch holds, so the mean over the
# epoch is even lower than with shuffling, while the loss on all samples is far higher. The loss
# reported during training is not that of the trained model: measure that afterwards.
#
# </details>
#
# **Write it yourself:** `python -m practice start 6` gives you this chapter without the code that
# one types, and `python -m practice check 6` tells you within seconds what is right and what is
# wrong.
