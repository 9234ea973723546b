# %% [markdown]
# ## Exercises
#
# **1.** Derive the gradient of the cross-entropy $\ell = -\log p_y$ with respect to the logits,
# then check it with autograd. What do its components add up to, and why?
#
# <details><summary>Answer</summary>

# %%
leaf = z.clone().requires_grad_()
cross_entropy(leaf, y).backward()
by_hand = softmax(z)
by_hand[0, y] -= 1
print(f"autograd:    {leaf.grad}")
print(f"p - one-hot: {by_hand}")
print(f"sum:         {leaf.grad.sum().abs():.4f}")

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
certain = torch.nn.functional.one_hot(torch.tensor([3]), 10).float()  # probabilities of a 3
print(f"certain and right:   {criterion(certain, torch.tensor([3])):.4f}")
print(f"log(1 + 9 / e):      {torch.log(1 + 9 / torch.tensor(1.0).exp()):.4f}")
print(f"the trained network: {criterion(probabilities, labels):.4f}")
for name, last in [("softmax twice", softmax), ("softmax once", torch.nn.Identity())]:
    leaf = (50 * certain).requires_grad_()  # the logits of an image that it takes for a 3
    criterion(last(leaf), torch.tensor([5])).backward()
    print(f"{name + ':':14} size of the gradient of logit 5: {leaf.grad[0, 5].abs():.4f}")

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
torch.manual_seed(0)
order = torch.randperm(784).to(device)
shuffled = images.view(-1, 784)[:, order]
moved = copy.deepcopy(model)
with torch.no_grad():
    moved.linear1.weight.copy_(model.linear1.weight[:, order])
    for name, network in [("model", model), ("columns permuted", moved)]:
        hits = network(shuffled).argmax(dim=1).cpu() == labels
        print(f"{name + ':':17} accuracy on shuffled images {hits.float().mean():.4f}")

# %% [markdown]
# `model` does little better than guessing. But permute the columns of its first weight matrix in
# the same way, and each weight meets its own pixel again: the logits are the same up to rounding,
# and so is the accuracy. Training would find such weights just as easily, since random initial
# weights favour no order of the pixels. A linear layer doesn't know which pixels are neighbours;
# **convolutional networks** do, and that is why they are better with images.
#
# </details>
#
# **4.** The network is overconfident. Divide its logits by a **temperature** $T > 1$ before the
# softmax. What happens to the number of mistakes, and to the number to be expected from the
# probabilities?
#
# <details><summary>Answer</summary>

# %%
with torch.no_grad():
    logits = model(images).cpu()
for temperature in (1.0, 1.1, 1.2, 1.5):
    confidence_now, predicted_now = softmax(logits / temperature).max(dim=1)
    expected, made = (1 - confidence_now).sum(), (predicted_now != labels).sum()
    print(f"T = {temperature}: mistakes expected {expected:.0f}, made {made}")

# %% [markdown]
# Dividing all logits by the same positive number keeps their order, so every prediction stays the
# same. But the differences between logits shrink and the probabilities become less extreme, so more
# mistakes are expected. At some temperature a little above 1 the two numbers agree: this is
# **temperature scaling**, a simple way to calibrate a network. Normally $T$ is chosen on a
# validation set; this chapter has only a test set. Chapter 9 divides logits by a temperature, too,
# to make a text more or less random.
#
# </details>
#
# **Write it yourself:** `python practice.py start 7` gives you a copy of this chapter with its
# functions emptied, and `python practice.py check 7` tells you within seconds which are right.
