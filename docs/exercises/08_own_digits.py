# %% [markdown]
# ## Draw a digit
#
# This is the page that the run above has written, `outputs/08_draw.html`, with the network inside.
#
# <iframe src="outputs/08_draw.html" title="Draw a digit" width="100%" height="600"></iframe>

# %% [markdown]
# ## Exercises
#
# **1.** Colleagues have a network with the same layers, but in their class the first one is called
# `self.first`, not `self.linear1`. How do you load their checkpoint into `MNISTModel`?
#
# <details><summary>Answer</summary>

# %%
state = model.cpu().state_dict()
theirs = {name.replace("linear1.", "first."): tensor for name, tensor in state.items()}
network = MLP.MNISTModel()
try:
    network.load_state_dict(theirs)
except RuntimeError as error:
    print(error)

renamed = {name.replace("first.", "linear1."): tensor for name, tensor in theirs.items()}
print(network.load_state_dict(renamed))
print(torch.equal(network.linear1.weight, model.linear1.weight))

# %% [markdown]
# A state dict is an ordinary dictionary: rename the keys, and it fits. Don't use `strict=False` for
# this: it loads what fits and leaves the rest of the network random, without an error. (From here
# on the model is on the CPU: `model.cpu()` has moved it.)
#
# </details>
#
# **2.** Is the preprocessing worth its lines? Move each of the first 1,000 test images by four
# pixels to the right, and let the network predict them as they are, and then after `to_mnist`.
#
# <details><summary>Answer</summary>

# %%
moved = torch.nn.functional.pad(test_set.data[:1000], (4, -4))  # 4 columns of 0 on the left
for name, fields in [
    ("as they are", [image.numpy() / np.float32(255) for image in moved]),
    ("after to_mnist", [to_mnist(Image.fromarray(image.numpy())) for image in moved]),
]:
    inputs = torch.stack([TRANSFORM(field) for field in fields])
    right = predict(model, inputs).argmax(dim=1) == labels[:1000]
    print(name, right.double().mean())

# %% [markdown]
# Four pixels are a seventh of the width. A person reads the digits all the same, but the network
# was trained on digits in the middle, and a linear layer doesn't know which pixels are neighbours.
# `to_mnist` puts each digit back to where the network knows it. Chapter 10's network needs that
# less.
#
# </details>
#
# **3.** Calibrate the network without training it again: divide its logits by a number $T$, the
# **temperature**, before the softmax. Which $T$ gives the lowest cross-entropy on every second test
# image? What does it do to the loss and the expected mistakes on the others, and how many
# predictions change?
#
# <details><summary>Answer</summary>

# %%
with torch.no_grad():
    logits = torch.cat([model(inputs) for inputs, _ in test_loader])  # (10000, 10)
criterion = torch.nn.CrossEntropyLoss()
temperatures = torch.linspace(0.5, 3, 26)
errors = torch.stack([criterion(logits[::2] / t, labels[::2]) for t in temperatures])
best = temperatures[errors.argmin()]
print("temperature", best)
for t in [torch.tensor(1.0), best]:
    p = MLP.softmax(logits[1::2] / t)
    print("loss", criterion(logits[1::2] / t, labels[1::2]))
    print("mistakes to be expected", (1 - p.max(dim=1).values).sum())
print("mistakes made", wrong[1::2].sum())
print("predictions changed", ((logits / best).argmax(dim=1) != predicted).sum())

# %% [markdown]
# With $T > 1$ the probabilities come closer to each other, so the confidence falls, and more
# mistakes are to be expected: now about as many as are made, also on the images that $T$ was not
# chosen on. (Don't take the first and the last 5,000: in MNIST's test set the first half is
# harder.) Dividing all logits by the same number keeps their order, so no prediction changes.
# Source: Guo and others, "On Calibration of Modern Neural Networks",
# https://arxiv.org/abs/1706.04599
#
# </details>
#
# **Write it yourself:** `python -m practice start 8` gives you this chapter without the code that
# one types, and `python -m practice check 8` tells you within seconds what is right and what is
# wrong.
