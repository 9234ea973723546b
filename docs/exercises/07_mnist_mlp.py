# %% [markdown]
# ## Exercises
#
# **1.** Derive the gradient of the cross-entropy $\ell = -\log p_y$ with respect to the logits,
# then check it with autograd. What do its components add up to, and why?
#
# <details><summary>Answer</summary>

# %%
leaf = torch.tensor([[0.2, 0.1, -0.1]], requires_grad=True)
cross_entropy(leaf, torch.tensor([0])).backward()
print(leaf.grad)
print(softmax(leaf.detach()) - torch.tensor([[1.0, 0.0, 0.0]]))
print("sum:", leaf.grad.sum())

# %% [markdown]
# Since $\ell = -z_y + \log \sum_j e^{z_j}$, the derivative $\partial \ell / \partial z_i$ is $p_i$
# for $i \ne y$ and $p_y - 1$ for the true class: the probabilities minus the **one-hot** label,
# which is 1 for the true class and 0 for the others. With two classes this is chapter 4's
# $\sigma(z) - y$. A step of gradient descent raises the true logit and lowers the others, most of
# all those with a high probability. The components add up to 0, because adding the same number to
# all logits changes neither the softmax nor the loss.
#
# </details>
#
# **2.** A common mistake: `forward` ends with a softmax, and the criterion is still
# `CrossEntropyLoss`. There is no error message. What is the lowest possible loss? What is the
# gradient for an image that the network gets wrong with certainty?
#
# <details><summary>Answer</summary>

# %%
certain = torch.zeros(1, 10)
certain[0, 3] = 1.0  # the probabilities of a 3, without a doubt
print("certain and right:", criterion(certain, torch.tensor([3])))
print("log(1 + 9 / e):", torch.log(1 + 9 / torch.tensor(1.0).exp()))
print("the trained network:", criterion(p, labels.cpu()))

leaf = (50 * certain).requires_grad_()  # the logits of an image that is taken for a 3
criterion(softmax(leaf), torch.tensor([5])).backward()
print("softmax twice:", leaf.grad[0, 5])

leaf = (50 * certain).requires_grad_()
criterion(leaf, torch.tensor([5])).backward()
print("softmax once:", leaf.grad[0, 5])

# %% [markdown]
# The criterion takes the probabilities for logits. The best ones are 1 for the true class and 0 for
# the nine others, and the second softmax turns them into $p_y = e / (e + 9)$, so the loss can't
# fall below $\log(1 + 9 / e) = 1.4612$. The gradient is worse: where the first softmax is certain,
# it is flat, so the network learns nothing from a certain mistake (as with chapter 4's `BCELoss`).
# With ten classes, a loss that never falls below 1.46 is the sign to look for.
#
# </details>
#
# **3.** Shuffle the 784 pixels of every image, all with the same permutation, so that nobody can
# see a digit in them. How accurate is `model` on such images? And would a network trained on
# shuffled images be less accurate than `model` is on the original ones?
#
# <details><summary>Answer</summary>

# %%
order = torch.randperm(784).to(device)
shuffled = inputs.view(-1, 784)[:, order]  # of the first 1,000 test images
print((model(shuffled).argmax(dim=1) == labels).float().mean())

permuted = load_model(args.output_dir / "07_mnist_mlp.pt", device)
with torch.no_grad():
    permuted.linear1.weight.copy_(model.linear1.weight[:, order])
print((permuted(shuffled).argmax(dim=1) == labels).float().mean())
print((model(inputs).argmax(dim=1) == labels).float().mean())  # the original images

# %% [markdown]
# `model` does little better than guessing. But permute the columns of its first weight matrix in
# the same way, and each weight meets its own pixel again: the logits are the same up to rounding,
# and so is the accuracy. Training would find such weights just as easily, since random initial
# weights favour no order of the pixels. A linear layer doesn't know which pixels are neighbours;
# **convolutional networks** do (chapter 10), and that is why they are better with images.
#
# </details>
#
# **4.** A first check of any new network: it must be able to **overfit** a single batch, that is,
# to learn it by heart. Train a new `MNISTModel` on one batch, 200 times. How far does its loss
# fall? Try the same with exercise 2's mistake, and with random labels. How accurate are the first
# and the last of these networks on the test set?
#
# <details><summary>Answer</summary>

# %%
inputs, labels = next(iter(train_loader))
inputs, labels = inputs.to(device), labels.to(device)
fresh = MNISTModel().to(device)
optimizer = torch.optim.SGD(fresh.parameters(), lr=0.05, momentum=0.5)
training.full_batch(fresh, criterion, optimizer, inputs, labels, 200, every=50)
test(fresh, test_loader, device)

print("softmax twice")
twice = torch.nn.Sequential(MNISTModel(), torch.nn.Softmax(dim=1)).to(device)
optimizer = torch.optim.SGD(twice.parameters(), lr=0.05, momentum=0.5)
training.full_batch(twice, criterion, optimizer, inputs, labels, 200, every=50)

print("random labels")
random_labels = torch.randint(10, (len(labels),), device=device)
fresh = MNISTModel().to(device)
optimizer = torch.optim.SGD(fresh.parameters(), lr=0.05, momentum=0.5)
training.full_batch(fresh, criterion, optimizer, inputs, random_labels, 200, every=50)
test(fresh, test_loader, device)

# %% [markdown]
# The network learns the 64 images by heart: the loss falls to almost 0. If it does not, something
# is wrong with the model, the loss, the learning rate or the loop, and it would be a waste of time
# to train on all the data. The mistake of exercise 2 is found in this way within a second: its loss
# stays near $\log 10$. But a low training loss alone proves little. Random labels are learned by
# heart, too, with nothing in them to generalize, and on the test set that network guesses. The
# first one, with only 64 images to learn from, is still far better than guessing.
#
# </details>
#
# **Write it yourself:** `python -m practice start 7` gives you this chapter without the code that
# one types, and `python -m practice check 7` tells you within seconds what is right and what is
# wrong.
