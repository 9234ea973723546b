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
    single.weight[0] = plain.linear.weight[1] - plain.linear.weight[0]
    single.bias[0] = plain.linear.bias[1] - plain.linear.bias[0]
print(criterion(plain(x_train), y_train))
print(torch.nn.BCEWithLogitsLoss()(single(x_train), y_train.unsqueeze(1).float()))

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
training.full_batch(equal, criterion, optimizer, x_train, y_train, 500, every=100)
print(equal.hidden1.weight[:3])  # of the first three units
print(equal.hidden1.weight.std(dim=0))

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
x_raw = torch.from_numpy(xy[:, :-1]).to(args.device)
for lr in [0.5, 0.001, 0.0001]:
    print("lr", lr)
    raw = PlainModel().to(args.device)
    optimizer = torch.optim.SGD(raw.parameters(), lr=lr)
    training.full_batch(raw, criterion, optimizer, x_raw, y_train, 1000, every=200)
print("standardized, after 100 epochs:", plain_losses[99])
print((x_raw**2).mean(dim=0))

# %% [markdown]
# Chapter 1's limit for the learning rate was lower, the larger the mean of $x^2$. Standardized,
# that mean is 1 for each feature. In the raw table it is about 19,000 for insulin and 0.33 for the
# pedigree function. So at 0.5 and also at 0.001 the steps overshoot, and the loss jumps up and down
# and does not settle. At 0.0001 it falls, but for the small features such steps are far too short:
# after 1,000 epochs the loss is still above what the standardized features reach in 100.
#
# </details>
#
# **4.** A hundred models toss a coin for every woman. You measure their accuracy on the first 77
# women of the test set and keep the best model. How good does it look? How good is it on the other
# 77 women?
#
# <details><summary>Answer</summary>

# %%
torch.manual_seed(0)
guesses = torch.randint(0, 2, (100, 154))
right = (guesses == y_test.cpu()).float()  # (100, 154)
first_half = right[:, :77].mean(dim=1)  # (100,)
second_half = right[:, 77:].mean(dim=1)
best = first_half.argmax()
print(first_half.mean())
print(first_half[best], second_half[best])

# %% [markdown]
# Each model's true accuracy is 0.5, and a measurement on 77 women has the standard error $\sqrt{0.5
# \cdot 0.5 / 77} = 0.057$. Among a hundred models, the best is likely to lie 2 or 3 standard errors
# above, and looks as if it had learned something. On women who were not used for the choice it is
# back within two standard errors of 0.5. Real models are no different: the more settings you
# compare on a set, the more luck there is in the best result. That set has become a validation set,
# and a fair report needs another one.
#
# </details>
#
# **Write it yourself:** `python -m practice start 5` gives you this chapter without the code that
# one types, and `python -m practice check 5` tells you within seconds what is right and what is
# wrong.
