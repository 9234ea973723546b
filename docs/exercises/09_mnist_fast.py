# %% [markdown]
# ## Exercises
#
# **1.** Suppose that program B is in truth exactly twice as fast as program A. They take turns in
# three rounds: in the second the computer is busy and gives both only half its speed, and in the
# third another program interrupts A alone. Which estimate is right: the ratio of the medians, the
# mean of the ratios, or the median of the ratios?
#
# <details><summary>Answer</summary>

# %%
speeds_a = [100.0, 50.0, 10.0]
speeds_b = [200.0, 100.0, 200.0]
ratios = [b / a for a, b in zip(speeds_a, speeds_b, strict=True)]
print("ratios:", ratios)
print("ratio of the medians:", statistics.median(speeds_b) / statistics.median(speeds_a))
print("mean of the ratios:", statistics.mean(ratios))
print("median of the ratios:", statistics.median(ratios))

# %% [markdown]
# In a ratio within one round, whatever slows both programs alike cancels, so the busy second round
# does no harm. The ratio of the medians loses this: the medians 50 and 200 come from different
# rounds. What slows one program alone stays in that round's ratio, and there the median helps: it
# ignores a single outlier, which the mean does not.
#
# </details>
#
# **2.** Suppose that the network were computed ten times as fast, for example on a GPU, while
# loading took as long as before. How much faster would the notes' loop get on your machine, and
# what is the limit for an infinitely fast network? Estimate it from the throughputs of the notes'
# loop and of the one without a loader.
#
# <details><summary>Answer</summary>

# %%
share = speeds["notes' loop"] / speeds["no loader"]
print("share of the network in the time:", share)
for factor in (2, 10, 1000):
    print("network", factor, "times as fast:", 1 / (1 - share + share / factor))

# %% [markdown]
# Without a loader the time per image, 1 / throughput, is that of the network; the rest of the
# notes' time is loading. If the network takes the share $s$ of the time and gets $k$ times as fast,
# the whole takes $1 - s + s/k$ of the time before. The speedup therefore stays below $1 / (1 - s)$,
# however large $k$ is: this is **Amdahl's law**. First speed up the part that takes most of the
# time, then measure again.
#
# </details>
#
# **3.** Let the logit of the true class be $g$ and the other nine be 0. At which $g$ is the loss
# with label smoothing lowest, and how low is it there? And without smoothing (chapter 7)? Compare
# with the probabilities that the trained network gives.
#
# <details><summary>Answer</summary>

# %%
plain = torch.nn.CrossEntropyLoss()
smoothed = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
y = torch.tensor([0])
for g in (2, 4, 4.511, 5, 10, 20):
    z = torch.tensor([[g] + 9 * [0.0]])
    print("g", g, "smoothed", smoothed(z, y), "plain", plain(z, y))
test_images, test_labels = read_mnist(root, train=False)
with torch.no_grad():
    p = model(test_images.to(device)).softmax(dim=1)
print("the trained network's highest probability, on average:", p.max(dim=1).values.mean())

# %% [markdown]
# The cross-entropy with a target distribution $q$ is lowest where the probabilities equal $q$, here
# 0.91 and nine times 0.01. From $p_y = e^g / (e^g + 9) = 0.91$ follows $e^g = 91$, so $g = \ln 91
# \approx 4.511$. What remains there is the entropy of the target: $-0.91 \ln 0.91 - 9 \cdot 0.01
# \ln 0.01 \approx 0.500$. Without smoothing the loss falls towards 0 without ever reaching it, and
# the logits are pushed apart without limit. The price of smoothing: the network says about 0.9
# where it is right in about 98 of 100 cases. Its probabilities are too low, not too high as in
# chapter 7.
#
# </details>
#
# **4.** Autocast multiplies in bfloat16, but the weights that the optimizer updates stay float32.
# Why not keep the weights in bfloat16 too? Predict what 1,000 updates of 0.001 make of a weight 1,
# and how many weights of the network the first update changes.
#
# <details><summary>Answer</summary>

# %%
inputs, labels = ready[0]
for dtype in (torch.float32, torch.bfloat16):
    weight = torch.tensor(1.0, dtype=dtype)
    for i in range(1000):
        weight += 0.001
    torch.manual_seed(0)
    fresh = network().to(device, dtype)
    before = torch.cat([p.detach().flatten() for p in fresh.parameters()])
    optimizer = torch.optim.SGD(fresh.parameters(), lr=0.01, momentum=0.5)
    update(fresh, plain, optimizer, inputs.to(device, dtype), labels.to(device))
    after = torch.cat([p.detach().flatten() for p in fresh.parameters()])
    changed = (after != before).float().mean()
    print(dtype, "1 becomes", weight.item(), "share of weights changed:", changed.item())

# %% [markdown]
# A bfloat16 has 8 significant bits: after 1 comes $1 + 2^{-7} \approx 1.008$. The sum 1.001 is
# rounded to the nearest such number, which is 1 again, a thousand times. In the same way nearly all
# updates of the network are lost, because they are small compared with their weights. So mixed
# precision keeps the weights in float32, where small updates add up, and rounds only the copies
# that go into the products.
#
# </details>
#
# **Write it yourself:** `python -m practice start 9` gives you this chapter without the code that
# one types, and `python -m practice check 9` tells you within seconds what is right and what is
# wrong.
