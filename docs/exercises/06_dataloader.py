# %% [markdown]
# ## Exercises
#
# **1.** `train` multiplies the loss of each batch by the number of its samples before it takes the
# mean. With batches of 767, the second and last batch is a single sample. What would the plain mean
# of the two losses be?
#
# <details><summary>Answer</summary>

# %%
batch_losses, sizes = [], []
with torch.no_grad():
    for inputs, labels in DataLoader(dataset, batch_size=767):
        loss = criterion(model(inputs.to(args.device)), labels.to(args.device))
        batch_losses.append(loss.item())
        sizes.append(len(labels))
    print(f"losses of batches of {sizes}: {batch_losses[0]:.4f} and {batch_losses[1]:.4f}")
    print(f"plain mean:           {np.mean(batch_losses):.4f}")
    print(f"weighted by the size: {np.average(batch_losses, weights=sizes):.4f}")
    print(f"all samples at once:  {criterion(model(x_data), y_data):.4f}")

# %% [markdown]
# In the plain mean, the last sample alone counts as much as the other 767 together. Weighted by the
# sizes, every sample counts the same. With batches of equal size there is no difference, and the
# 768 samples in batches of 2 are such a case: the mistake would stay hidden until somebody changes
# the batch size.
#
# </details>
#
# **2.** How much does the gradient of a batch differ from that of all samples? Derive how this
# depends on the batch size $B$, then measure it.
#
# <details><summary>Answer</summary>


# %%
def gradient(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The gradient of the loss on these samples, all parameters in one row: (161,)."""
    parts = torch.autograd.grad(criterion(model(x), y), model.parameters())
    return torch.cat([part.flatten() for part in parts])


of_all = gradient(x_data, y_data)
print(f"gradient of all samples: length {of_all.norm():.4f}")
torch.manual_seed(0)
for size in (2, 8, 32, 128):
    picks = torch.randint(len(dataset), (200, size))  # 200 batches
    errors = torch.stack([gradient(x_data[pick], y_data[pick]) - of_all for pick in picks])
    rms = errors.norm(dim=1).square().mean().sqrt()
    print(f"batches of {size:3}: root mean square error {rms:.2f}")

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
for size, lr in [(16, 0.01), (16, 0.08), (768, 3.84)]:
    print(f"batches of {size}, learning rate {lr}:")
    model.load_state_dict(start)
    loader = DataLoader(dataset, batch_size=size, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    train(model, criterion, optimizer, loader, args.device, epochs=5)
print(f"batches of 2, learning rate {args.lr}, epoch 5: loss {mini['loss'][4]:.4f}")

# %% [markdown]
# Eight times the learning rate, 0.08. Eight small updates move the parameters by $-lr$ times the
# sum of eight gradients. As long as the parameters hardly change meanwhile, that sum is 8 times its
# mean, which is the gradient of one batch of 16. This **linear scaling rule** fails when the steps
# become too long for that: for the full batch it gives $384 \cdot 0.01 = 3.84$, and the loss soon
# rises.
#
# </details>
#
# **4.** Sort the samples by their labels, all 0 first, then all 1, and train without shuffling.
# What does the model predict afterwards? Does the loss that `train` reports show it?
#
# <details><summary>Answer</summary>

# %%
in_order = torch.utils.data.Subset(dataset, dataset.y_train[:, 0].argsort().tolist())
for shuffle in (False, True):
    print(f"shuffle={shuffle}:")
    model.load_state_dict(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.08)
    loader = DataLoader(in_order, batch_size=16, shuffle=shuffle)
    train(model, criterion, optimizer, loader, args.device, epochs=5)
    with torch.no_grad():
        logits = model(x_data)
    yes = (logits > 0).float().mean()
    print(f"afterwards: {yes:.0%} predicted 1, loss on all samples {criterion(logits, y_data):.4f}")

# %% [markdown]
# At the end of each epoch the model has seen nothing but the label 1 for 268 samples, and predicts
# 1 for almost everyone, though 65 % of the labels are 0. The reported loss doesn't show it. Each
# batch is measured when the model has just adapted to the class that the batch holds, so the mean
# over the epoch is even lower than with shuffling, while the loss on all samples is far higher. The
# loss reported during training is not that of the trained model: measure that afterwards.
#
# </details>
#
# **Write it yourself:** `python practice.py start 6` gives you a copy of this chapter with its
# functions emptied, and `python practice.py check 6` tells you within seconds which are right.
