# %% [markdown]
# ## Exercises
#
# **1.** The **odds** of passing are $p / (1 - p)$. By which factor does an additional hour of study
# multiply them? Why is the factor the same at every hour, while the change of $p$ is not?
#
# <details><summary>Answer</summary>

# %%
hours = torch.tensor([[1.0], [2.0], [3.0], [4.0]], device=args.device)
p = model(hours).detach().flatten()
odds = p / (1 - p)
print(p)
print(p.diff())  # from one hour to the next
print(odds[1:] / odds[:-1])
print(model.linear.weight.exp())

# %% [markdown]
# With $p = 1 / (1 + e^{-z})$, the odds are $p / (1 - p) = e^z$. So the logit is their logarithm,
# the **log-odds**. One more hour adds $w$ to the logit, and so multiplies the odds by $e^w$. The
# probability itself changes most where it is near 0.5, and ever less towards 0 and 1.
#
# </details>
#
# **2.** Why not train with the squared error of the probability, $(p - y)^2$? Derive the gradient
# of both losses with respect to $z$, and compare them for a confident mistake: $z = -10$, $y = 1$.
#
# <details><summary>Answer</summary>

# %%
y = torch.ones(3)
z = torch.tensor([-10.0, 0.0, 3.0], requires_grad=True)
loss = torch.nn.BCEWithLogitsLoss(reduction="sum")(z, y)
loss.backward()
print("cross-entropy:", z.grad)

z = torch.tensor([-10.0, 0.0, 3.0], requires_grad=True)
loss = ((F.sigmoid(z) - y) ** 2).sum()
loss.backward()
print("squared error:", z.grad)

# %% [markdown]
# The derivative of the sigmoid is $\sigma'(z) = p (1 - p)$, and that of the cross-entropy with
# respect to $p$ is $(p - y) / (p (1 - p))$. By the chain rule they are multiplied: $p - y$ is left.
# The gradient of the squared error is $2 (p - y) \, p (1 - p)$. Where $p$ is near 0 or 1, the last
# two factors make it almost 0: at $z = -10$ it is about -0.00009, against -1 for the cross-entropy.
# With the squared error, the model would hardly learn from the mistakes that it is most sure of.
#
# </details>
#
# **3.** One more student passes, after 1.5 hours, while the one with 2 hours has failed. Now no
# boundary separates the classes. Does $w$ still grow for as long as training goes on?
#
# <details><summary>Answer</summary>

# %%
x_four = torch.tensor([[1.0], [2.0], [3.0], [1.5]], device=args.device)
y_four = torch.tensor([[0.0], [0.0], [1.0], [1.0]], device=args.device)
four = LogisticModel().to(args.device)
sgd = torch.optim.SGD(four.parameters(), lr=0.1)
for part in range(4):
    training.full_batch(four, criterion, sgd, x_four, y_four, 500, every=500)
    print("w =", four.linear.weight.item())
print("sum of the probabilities:", four(x_four).sum().item())

# %% [markdown]
# No. Of the logits for 1.5 and 2 hours, at least one is on the wrong side of 0. They differ by $w /
# 2$, so a larger $w$ moves it further to that side, and its loss grows without limit. So the loss
# has a minimum at a finite $w$, and training converges to it. At the minimum the derivative with
# respect to $b$ is 0, $\sum_i (p_i - y_i) = 0$: the predicted probabilities add up to 2, the number
# of students who passed. In practice, classes usually overlap like this.
#
# </details>
#
# **4.** Two ways to mix up the two losses: a logit is given to `BCELoss`, or a probability to
# `BCEWithLogitsLoss`. Which of the two is the more dangerous mistake?
#
# <details><summary>Answer</summary>

# %%
try:
    torch.nn.BCELoss()(torch.tensor([2.0]), torch.tensor([1.0]))
except RuntimeError as error:
    print(error)
with_logits = torch.nn.BCEWithLogitsLoss()
print(with_logits(torch.tensor([1.0]), torch.tensor([1.0])))  # the best predictions, p = y
print(with_logits(torch.tensor([0.0]), torch.tensor([0.0])))

# %% [markdown]
# The second, since it raises no error. The loss takes the probability for a logit and applies the
# sigmoid again: what it sees is between $\sigma(0) = 0.5$ and $\sigma(1) = 0.73$. So even for
# perfect predictions the loss does not fall below $\log(1 + e^{-1}) \approx 0.31$ for $y = 1$ and
# $\log 2 \approx 0.69$ for $y = 0$. The model still learns, only worse, and the mistake may go
# unnoticed.
#
# </details>
#
# **Write it yourself:** `python -m practice start 4` gives you this chapter without the code that
# one types, and `python -m practice check 4` tells you within seconds what is right and what is
# wrong.
