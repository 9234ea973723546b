# %% [markdown]
# ## Exercises
#
# **1.** What happens with a learning rate of 0.25, and why? Calculate the factor first.
#
# <details><summary>Answer</summary>

# %%
w_after = 9.0
for step in range(10):
    w_after = w_after - 0.25 * gradient(x_data, y_data, w_after)
print("w", w_after, "distance from 2", w_after - 2)
print("7 times the factor, ten times:", 7 * (-4 / 3) ** 10)

# %% [markdown]
# Each step multiplies the distance $w - 2$ by $1 - 2 \cdot 0.25 \cdot 14/3 = -4/3$. Its absolute
# value is above 1, so every step overshoots further than the one before: gradient descent diverges.
#
# </details>
#
# **2.** With which learning rate does gradient descent reach $w = 2$ in a single step, from
# wherever it starts? Then give the model a bias: train $\hat y = w x + b$ on the labels
# `y_data + 1`, with one derivative and one update for each of the two parameters.
#
# <details><summary>Answer</summary>

# %%
print("from 9 to", 9.0 - 3 / 28 * gradient(x_data, y_data, 9.0))
print("from -100 to", -100.0 - 3 / 28 * gradient(x_data, y_data, -100.0))

w, b = 9.0, 0.0
for epoch in range(400):
    error = forward(x_data, w) + b - (y_data + 1)
    w = w - 0.1 * (2 * x_data * error).mean()
    b = b - 0.1 * (2 * error).mean()
    if (epoch + 1) % 50 == 0:
        print("epoch", epoch + 1, "w", w, "b", b)

# %% [markdown]
# The factor has to be 0, so $lr = \frac{1}{2 \cdot 14/3} = 3/28 \approx 0.107$. With the bias, the
# derivative with respect to $w$ is again the mean of $2x$ times the error, and the one with respect
# to $b$ is the mean of 2 times the error. Now no learning rate gets there in a single step: after
# 50 epochs $w$ is still 2.45, and it takes hundreds to get close to $w = 2$ and $b = 1$. The MSE is
# the valley of this chapter's figure, steep across and almost flat along. A learning rate that
# suits the steep direction makes tiny steps in the flat one, and above about 0.18 the steps across
# the valley diverge.
#
# </details>
#
# **3.** Move the labels away from the line: `y_data = np.array([2.5, 4.0, 5.5])`. Which $w$ is now
# the best, and which MSE is left? Can grid search find that $w$?
#
# <details><summary>Answer</summary>

# %%
y_moved = np.array([2.5, 4.0, 5.5])
w_best = (x_data * y_moved).sum() / (x_data**2).sum()
print("w", w_best, "MSE", loss(y_moved, forward(x_data, w_best)).mean())

mse = loss(y_moved, forward(x_data, ws[:, np.newaxis])).mean(axis=1)
print("grid: w", ws[mse.argmin()], "MSE", mse.min())

# %% [markdown]
# Where the gradient, the mean of $2x(wx - y)$, is 0: $w = \sum x y / \sum x^2 = 27/14 \approx
# 1.93$. No line through the origin goes through all three points, so an error remains. The grid
# has only its own weights to offer, and 1.9 is the nearest. Gradient descent has no such limit.
#
# </details>
#
# **4.** `loss` squares the error. Replace the square by the absolute value, $|\hat y - y|$. Which
# weight is the best now, and what does its derivative lack for gradient descent to settle there?
#
# <details><summary>Answer</summary>

# %%
absolute = np.abs(forward(x_data, ws[:, np.newaxis]) - y_data).mean(axis=1)
print("lowest mean absolute error", absolute.min(), "at w =", ws[absolute.argmin()])

w = 9.0
for step in range(200):
    w = w - 0.1 * (x_data * np.sign(forward(x_data, w) - y_data)).mean()
    if step >= 196:
        print("after", step + 1, "steps: w", w)

# %% [markdown]
# The best weight is the same, since all three points lie on the line. But the derivative of
# $|w x - y|$ with respect to $w$ is $x$ or $-x$: it does not get smaller near the minimum. With a
# constant learning rate the steps keep their length, and $w$ jumps to and fro. The squared error's
# gradient is proportional to the distance, so its steps shrink by themselves.
#
# </details>
#
# **Write it yourself:** `python -m practice start 1` gives you this chapter without the code that
# one types, and `python -m practice check 1` tells you within seconds what is right and what is
# wrong.
