# %% [markdown]
# ## Exercises
#
# **1.** What happens with a learning rate of 0.25, and why? Calculate the factor first.
#
# <details><summary>Answer</summary>

# %%
w_after, _ = gradient_descent(x_data, y_data, 9.0, lr=0.25, epochs=10)
print(f"after 10 steps w = {w_after:.1f}, the distance from 2 is {w_after - 2:.1f}")
print(f"7 x (-4/3)^10 = {7 * (-4 / 3) ** 10:.1f}")

# %% [markdown]
# Each step multiplies the distance $w - 2$ by $1 - 2 \cdot 0.25 \cdot 14/3 = -4/3$. Its absolute
# value is above 1, so every step overshoots further than the one before: gradient descent diverges.
#
# </details>
#
# **2.** With which learning rate does gradient descent reach $w = 2$ in a single step, from
# wherever it starts? Why does no such learning rate exist for the line with a bias?
#
# <details><summary>Answer</summary>

# %%
for start in (9.0, -100.0):
    w_after, _ = gradient_descent(x_data, y_data, start, lr=3 / 28, epochs=1)
    print(f"from {start:g} in one step to {w_after:.4f}")
curvatures = np.linalg.eigvalsh(
    2 * np.array([[(x_data**2).mean(), x_data.mean()], [x_data.mean(), 1]])
)
print("curvatures along the two axes of the valley:", curvatures.round(3))

# %% [markdown]
# The factor has to be 0: $lr = \frac{1}{2 \cdot 14/3} = 3/28 \approx 0.107$. For a parabola the
# best learning rate is 1 over the second derivative, the curvature. With two parameters there are
# two curvatures, one across the valley and one along it, here 46 times smaller. A learning rate can
# suit only one of them: below the limit that the steep direction sets, the flat one takes many
# steps.
#
# </details>
#
# **3.** Move the labels away from the line: `y_data = np.array([2.5, 4.0, 5.5])`. Which $w$ is now
# the best, and which MSE is left? Can grid search find that $w$?
#
# <details><summary>Answer</summary>

# %%
y_moved = np.array([2.5, 4.0, 5.5])
best_of_all = (x_data * y_moved).sum() / (x_data**2).sum()
_, moved_list = grid_search(np.column_stack((x_data, y_moved)), ws)
print(f"best w: {best_of_all:.4f}, MSE {loss(y_moved, forward(x_data, best_of_all)).mean():.5f}")
print(f"grid:   {ws[np.argmin(moved_list)]:.4f}, MSE {min(moved_list):.5f}")

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
print(f"lowest mean absolute error {absolute.min():.4f} at w = {ws[absolute.argmin()]:.1f}")
w_after = 9.0
for step in range(200):
    w_after -= 0.1 * (x_data * np.sign(forward(x_data, w_after) - y_data)).mean()
    if step >= 197:
        print(f"after {step + 1} steps: w = {w_after:.4f}")

# %% [markdown]
# The best weight is the same, since all three points lie on the line. But the derivative of
# $|w x - y|$ with respect to $w$ is $x$ or $-x$: it does not get smaller near the minimum. With a
# constant learning rate the steps keep their length, and $w$ jumps to and fro. The squared error's
# gradient is proportional to the distance, so its steps shrink by themselves.
#
# </details>
#
# **Write it yourself:** `python practice.py start 1` gives you a copy of this chapter with its
# functions emptied, and `python practice.py check 1` tells you within seconds which are right.
