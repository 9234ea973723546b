# %% [markdown]
# ## Exercises
#
# **1.** The bigram model sees one character. Let a table see the last $n$: count which character
# follows each sequence of $n$ characters, with add-one smoothing as before. Does the validation
# loss keep falling as $n$ grows?
#
# <details><summary>Answer</summary>

# %%
from collections import Counter

for n in (1, 2, 3, 4, 6):
    seen = Counter(train_text[i : i + n] for i in range(len(train_text) - n))
    followed = Counter(train_text[i : i + n + 1] for i in range(len(train_text) - n))
    starts = range(len(val_text) - n)
    total = 0
    for i in starts:
        context, longer = val_text[i : i + n], val_text[i : i + n + 1]
        total -= math.log((followed[longer] + 1) / (seen[context] + len(vocabulary)))
    new = sum(val_text[i : i + n] not in seen for i in starts) / len(starts)
    print(f"n = {n}: val loss {total / len(starts):.2f}, {new:5.1%} of the contexts are new")

# %% [markdown]
# No: it falls at first, and from about $n = 4$ on it rises. There are $V^n$ contexts, about a
# hundred times as many with each further character, so most of them occur rarely or never in the
# training set. For a context that occurs 5 times, add-one smoothing adds about 100 counts to those
# 5, and the prediction is close to a uniform guess. This is the trouble with chapter 1's grid: the
# table grows exponentially. A GPT has no table; all contexts share its weights, so it can also use
# a context of a hundred characters that it has never seen.
#
# </details>
#
# **2.** Leave out the causal mask and train a small model of one layer. How low does the validation
# loss get? Is it a better language model?
#
# <details><summary>Answer</summary>


# %%
class Unmasked(CausalSelfAttention):
    def forward(self, x, cache=None):
        y = F.scaled_dot_product_attention(*self.heads(x))
        return self.c_proj(y.transpose(1, 2).flatten(2))


small = dataclasses.replace(SIZES["tiny"], n_layer=1, n_embd=64, n_head=2)
torch.manual_seed(args.seed)
unmasked = GPT(len(vocabulary), small)
unmasked.blocks[0].attn = Unmasked(small)
unmasked.to(train_ids.device)
adam = torch.optim.Adam(unmasked.parameters(), lr=0.01)
for iteration in range(100):
    x, y = get_batch(train_ids, small)
    loss = cross_entropy(unmasked(x), y)
    adam.zero_grad()
    loss.backward()
    adam.step()

x, y = windows(val_ids, unseen, small.block_size)
with torch.no_grad():
    logits = unmasked(x)
print(f"val loss: {cross_entropy(logits, y):.2f}")
print(f"at the last position of each window: {cross_entropy(logits[:, -1:], y[:, -1:]):.2f}")
print(decode(generate(unmasked, train_ids[:1], 60, small.block_size), vocabulary))

# %% [markdown]
# The loss is far below the GPT's after a fraction of the training, and yet the model is worthless.
# The label of position $t$ is the token at $t + 1$, and without the mask the model can read it
# there: it learns to copy. Only the last position has no later token to copy, and there the model
# is worse than the bigram baseline. Generation always predicts at the last position, so the text is
# useless. When a loss is too good to be true, look for a way in which the model can see its labels.
#
# </details>
#
# **3.** Derive the number of parameters of a GPT from $V$, $C$ and the number of layers $L$, and
# check your formula on `config`. How many does `--size large` have, and how many with a vocabulary
# of 50,257 tokens?
#
# <details><summary>Answer</summary>


# %%
def count(V, size):
    C, hidden = size.n_embd, 8 * size.n_embd // 3
    return 2 * V * C + size.n_layer * (4 * C**2 + 3 * C * hidden + 2 * C) + C


large = SIZES["large"]
for V, size in [(len(vocabulary), config), (len(vocabulary), large), (50_257, large)]:
    with torch.device("meta"):  # a device on which tensors have a shape but no numbers
        total = sum(parameter.numel() for parameter in GPT(V, size).parameters())
    share = 2 * V * size.n_embd / total
    print(f"V = {V:,}: formula {count(V, size):,}, model {total:,}, vocabulary {share:.1%}")

# %% [markdown]
# `wte` and `head` have $V C$ weights each. In a block, attention has $3 C^2 + C^2$; the MLP, with
# $h = \lfloor 8C/3 \rfloor$, has $2 C h + h C \approx 8 C^2$; the two norms have $2 C$. With the
# last norm, that makes $2 V C + L (4 C^2 + 3 C h + 2 C) + C$, or about $2 V C + 12 L C^2$. Neither
# the number of heads nor the context length occurs in it. With 50,257 tokens, the size of GPT-2's
# vocabulary, `wte` and `head` have almost half of the large model's parameters. GPT-2 itself uses
# a single matrix for both (**weight tying**).
#
# </details>
#
# **4.** The validation loss is a mean over all positions of the windows. What loss do you expect at
# the first position, and how does it change along the window?
#
# <details><summary>Answer</summary>

# %%
x, y = windows(val_ids, unseen, config.block_size)
with torch.no_grad():
    loss_at = F.cross_entropy(model(x).mT, y, reduction="none").mean(dim=0)  # (T,)
T, half = config.block_size, config.block_size // 2
for first, end in [(0, 1), (1, 4), (4, 16), (16, half), (half, T), (0, half), (0, T)]:
    print(f"positions {first:2} to {end - 1:3}: {loss_at[first:end].mean():.2f}")
print(f"bigram baseline: {bigram_loss:.2f}")

# %% [markdown]
# At the first position the model sees a single character, and its loss is about that of the bigram
# baseline. It falls quickly over the next few characters, and then ever more slowly: the nearest
# characters help most. So the mean depends on the length of the windows. In windows half as long,
# the same model has a higher loss, that of positions 0 to 63 here; losses of models with different
# context lengths are therefore not quite comparable.
#
# </details>
#
# **Write it yourself:** `python practice.py start 12` gives you a copy of this chapter with its
# functions emptied, and `python practice.py check 12` tells you within seconds which are right.
