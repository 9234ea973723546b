# %% [markdown]
# ## Exercises
#
# **1.** The **odds** of passing are $p / (1 - p)$. By which factor does an additional hour of study
# multiply them? Why is the factor the same at every hour, while the change of $p$ is not?
#
# <details><summary>Answer</summary>

# %%
with torch.no_grad():
    p = model(torch.tensor([[1.0], [2.0], [3.0], [4.0]], device=args.device)).flatten()
odds = p / (1 - p)
for hour, (change, factor) in enumerate(zip(p.diff(), odds[1:] / odds[:-1], strict=True), 1):
    print(f"from {hour} to {hour + 1} hours: p grows by {change:.2f}, the odds {factor:.2f}-fold")
print(f"e^w = {model.linear.weight.exp().item():.2f}")

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
for name, loss_of in (
    ("cross-entropy", torch.nn.BCEWithLogitsLoss()),
    ("squared error", lambda z, y: (torch.sigmoid(z) - y) ** 2),
):
    for value in (-10.0, 0.0, 3.0):
        z = torch.tensor(value, requires_grad=True)
        loss_of(z, torch.tensor(1.0)).backward()
        print(f"{name}, z = {value:3g}, y = 1: gradient {z.grad.item():.5f}")

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
x_four = torch.cat([x_data, torch.tensor([[1.5]], device=args.device)])
y_four = torch.cat([y_data, torch.tensor([[1.0]], device=args.device)])
for x, y in ((x_data, y_data), (x_four, y_four)):
    torch.manual_seed(args.seed)
    line = torch.nn.Linear(1, 1).to(args.device)
    sgd = torch.optim.SGD(line.parameters(), lr=0.3)
    for epoch in range(1, 1001):
        loss = with_logits(line(x), y)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        if epoch in (250, 500, 1000):
            print(f"{len(x)} students, {epoch:5,} epochs: w = {line.weight.item():.3f}")
print(f"sum of the predicted probabilities: {torch.sigmoid(line(x_four)).sum().item():.3f}")

# %% [markdown]
# No. Of the logits for 1.5 and 2 hours, one is always on the wrong side of 0. They differ by $w /
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
    print("BCELoss:", error)
for y in (1.0, 0.0):  # the best possible prediction: p = y
    loss = torch.nn.BCEWithLogitsLoss()(torch.tensor([y]), torch.tensor([y]))
    print(f"BCEWithLogitsLoss, p = y = {y:g}: loss {loss.item():.4f}")

# %% [markdown]
# The second, since it raises no error. The loss takes the probability for a logit and applies the
# sigmoid again: what it sees is between $\sigma(0) = 0.5$ and $\sigma(1) = 0.73$. So even for
# perfect predictions the loss does not fall below $\log(1 + e^{-1}) \approx 0.31$ for $y = 1$ and
# $\log 2 \approx 0.69$ for $y = 0$. The model still learns, only worse, and the
# mistake may go unnoticed.
#
# </details>
#
# **Write it yourself:** `python practice.py start 4` gives you a copy of this chapter with its
# functions emptied, and `python practice.py check 4` tells you within seconds which are right.
