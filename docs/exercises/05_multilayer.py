# %% [markdown]
# ## Exercises
#
# **1.** `plain` has 18 parameters, but chapter 4's logistic regression needs only 9 for eight
# features: a weight each and a bias. Build a `Linear(8, 1)` from the trained `plain` that has the
# same loss under `BCEWithLogitsLoss`.
#
# <details><summary>Answer</summary>

# %%
single = torch.nn.Linear(8, 1).to(args.device)
with torch.no_grad():
    single.weight.copy_(plain.linear.weight[[1]] - plain.linear.weight[[0]])
    single.bias.copy_(plain.linear.bias[[1]] - plain.linear.bias[[0]])
    two_logits = criterion(plain(x_train), y_train)
    one_logit = torch.nn.BCEWithLogitsLoss()(single(x_train), y_train[:, None].float())
print(f"Linear(8, 2) and CrossEntropyLoss:   {two_logits:.4f}")
print(f"Linear(8, 1) and BCEWithLogitsLoss:  {one_logit:.4f}")

# %% [markdown]
# Only the difference of the two logits counts: $z_{yes} - z_{no} = (w_{yes} - w_{no}) \cdot x +
# b_{yes} - b_{no}$. That is a single logit, with the difference of the rows as its weights. The
# other nine parameters have no effect: add any vector to both rows, and each probability stays the
# same. One logit per class pays off when there are more classes: chapter 7 has ten.
#
# </details>
#
# **2.** Before training, set every parameter of a `DeepModel` to the same value, 0.1. After 500
# epochs, what have the 16 units of its first layer learned? Why does `nn.Linear` start with random
# weights?
#
# <details><summary>Answer</summary>

# %%
equal = DeepModel().to(args.device)
for parameter in equal.parameters():
    torch.nn.init.constant_(parameter, 0.1)
optimizer = torch.optim.SGD(equal.parameters(), lr=args.lr)
for epoch in range(500):
    optimizer.zero_grad()
    criterion(equal(x_train), y_train).backward()
    optimizer.step()
for unit in range(3):
    weights = equal.hidden1.weight[unit, :4].tolist()
    print(f"unit {unit}: first four weights {[round(weight, 3) for weight in weights]}")
print(f"largest standard deviation among the 16 units: {equal.hidden1.weight.std(dim=0).max():.6f}")

# %% [markdown]
# All 16 have learned the same thing. Units with equal weights give equal outputs and get equal
# gradients, so every update leaves them equal: the layer is 16 copies of one unit. Random weights
# make the units differ from the start; this is called **breaking the symmetry**. A single layer
# such as `PlainModel` may start at 0: its two outputs get different gradients, since their labels
# differ.
#
# </details>
#
# **3.** Train `PlainModel` on the features as they stand in the table, not standardized. What does
# the learning rate 0.5 do? How far does the learning rate have to go down, and what does that cost?
#
# <details><summary>Answer</summary>

# %%
raw = xy_train[:, :-1].to(args.device)
for name, x, lr in [("raw", raw, 0.5), ("raw", raw, 1e-4), ("standardized", x_train, 0.5)]:
    other = PlainModel().to(args.device)
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    optimizer = torch.optim.SGD(other.parameters(), lr=lr)
    for epoch in range(1000):
        optimizer.zero_grad()
        loss = criterion(other(x), y_train)
        loss.backward()
        optimizer.step()
    curvatures = torch.linalg.eigvalsh(x.T.cpu() @ x.cpu() / len(x)) / 2
    print(f"{name:13} lr {lr:<7g} loss after 1,000 epochs {loss.item():8.2f}", end="   ")
    print(f"curvatures {curvatures[0]:.2g} to {curvatures[-1]:.2g}")

# %% [markdown]
# With a learning rate above 2 divided by the largest curvature, the steps overshoot by more and
# more (chapter 1). At the start, where $p (1 - p) = 1/4$ for each of the two logits, the curvatures
# are half the eigenvalues of $X^T X / N$. Features in the hundreds make the largest about 17,000,
# so the learning rate has to stay below $2 / 17000 \approx 0.00012$. With steps that short, the
# flat directions make almost no progress: after 1,000 epochs the loss is still above 0.6.
# Standardized, the curvatures are within a factor of about 5 of each other, and one learning rate
# suits them all.
#
# </details>
#
# **4.** A hundred models toss a coin for every woman. You measure their accuracy on the first 77
# women of the test set and keep the best model. How good does it look? How good is it on the other
# 77 women?
#
# <details><summary>Answer</summary>

# %%
generator = torch.Generator().manual_seed(0)
guesses = torch.randint(0, 2, (100, len(y_test)), generator=generator)
right = (guesses == y_test.cpu()).float()
chosen_on, others = right[:, :77].mean(dim=1), right[:, 77:].mean(dim=1)
best = chosen_on.argmax()
print(f"mean of the 100 models:           {chosen_on.mean():.2f}")
print(f"the best one, on these 77 women:  {chosen_on[best]:.2f}")
print(f"the same one, on the other 77:    {others[best]:.2f}")

# %% [markdown]
# Each model's true accuracy is 0.5, and a measurement on 77 women has the standard error
# $\sqrt{0.5 \cdot 0.5 / 77} = 0.057$. Among a hundred models, the best is likely to lie 2 or 3
# standard errors above, and looks as if it had learned something. On women who were not used for
# the choice it is back within two standard errors of 0.5. Real models are no different: the more
# settings you compare on a set, the more luck there is in the best result. That set has become a
# validation set, and a fair report needs another one.
#
# </details>
#
# **Write it yourself:** `python practice.py start 5` gives you a copy of this chapter with its
# functions emptied, and `python practice.py check 5` tells you within seconds which are right.
