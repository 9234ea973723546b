# %% [markdown]
# ## Exercises
#
# **1.** Leave out the causal mask and train a small model of one layer. How low does the validation
# loss get? Is it a better language model?
#
# <details><summary>Answer</summary>


# %%
class Unmasked(CausalSelfAttention):
    def forward(self, x, cache=None):
        if cache is not None:  # a new token sees all earlier ones, as before
            return super().forward(x, cache)
        q, k, v = self.heads(x)
        y = F.scaled_dot_product_attention(rotate(q), rotate(k), v)
        return self.c_proj(y.transpose(1, 2).flatten(2)), (k, v)


one_layer = SIZES["tiny"] | {"n_layer": 1, "n_embd": 64, "n_head": 2}
torch.manual_seed(args.seed)
unmasked = GPT(len(vocabulary), one_layer)
unmasked.blocks[0].attn = Unmasked(one_layer)
unmasked.to(device)
adam = torch.optim.Adam(unmasked.parameters(), lr=0.01)
for _ in range(100):
    update(unmasked, [adam], train_ids, one_layer)

x, y = RNN.windows(val_ids, unseen, one_layer["block_size"])
with torch.no_grad():
    logits, _ = unmasked(x)
print("val loss", F.cross_entropy(logits.flatten(0, 1), y.flatten()))
print("at the last position of each window", F.cross_entropy(logits[:, -1], y[:, -1]))
print(RNN.decode(RNN.generate(unmasked, train_ids[:1], 60), vocabulary))

# %% [markdown]
# The loss is far below the GPT's after a fraction of the training, and yet the model is worthless.
# The label of position $t$ is the token at $t + 1$, and without the mask the model can read it
# there: it learns to copy. Only the last position has no later token to copy, and there the model
# is worse than chapter 11's bigram baseline. Generation always predicts at the last position, so
# the text is useless. When a loss is too good to be true, look for a way in which the model can see
# its labels.
#
# </details>
#
# **2.** Derive the number of parameters of a GPT from $V$, $C$ and the number of layers $L$, and
# check your formula on `config`. GPT-2 has $L = 12$, $C = 768$ and a vocabulary of 50,257 tokens:
# how many parameters has a model of this chapter with these sizes?
#
# <details><summary>Answer</summary>


# %%
def count(V, size):
    C = size["n_embd"]
    return 2 * V * C + size["n_layer"] * (12 * C**2 + 10 * C) + C


gpt_2 = config | {"n_layer": 12, "n_head": 12, "n_embd": 768}
for V, size in [(len(vocabulary), config), (50_257, config), (50_257, gpt_2)]:
    with torch.device("meta"):  # a device on which tensors have a shape but no numbers
        total = sum(parameter.numel() for parameter in GPT(V, size).parameters())
    share = 2 * V * size["n_embd"] / total
    print(f"V = {V:,}: formula {count(V, size):,}, model {total:,}, vocabulary {share:.1%}")

# %% [markdown]
# `wte` and `head` have $V C$ weights each. In a block, attention has $3 C^2 + C^2$, the MLP
# $4 C^2 + 4 C^2$; the two norms have $C$ each, and the two convolutions $4 C$ each. The last norm
# has $C$. Together that makes $2 V C + L (12 C^2 + 10 C) + C$. Neither the number of heads nor the
# context length occurs in it. With GPT-2's sizes it is 162 million, almost half of it in `wte` and
# `head`. GPT-2 itself uses a single matrix for both (**weight tying**), and has 124 million.
#
# </details>
#
# **3.** The validation loss is a mean over all positions of the windows. What loss do you expect at
# the first position, and how does it change along the window?
#
# <details><summary>Answer</summary>

# %%
T, half = config["block_size"], config["block_size"] // 2
x, y = RNN.windows(val_ids, unseen, T)
with torch.no_grad():
    loss_at = F.cross_entropy(model(x)[0].mT, y, reduction="none").mean(dim=0)  # .mT: (B, V, T)
for first, end in [(0, 1), (1, 4), (4, 16), (16, half), (half, T), (0, half), (0, T)]:
    print(f"positions {first:2} to {end - 1:3}: {loss_at[first:end].mean():.2f}")
print(f"bigram baseline: {RNN.bigram_loss(train_ids, x, y, len(vocabulary)):.2f}")

# %% [markdown]
# At the first position the model sees a single character, and its loss is about that of the bigram
# baseline. It falls quickly over the next few characters, and then ever more slowly: the nearest
# characters help most. So the mean depends on the length of the windows. In windows half as long,
# the same model has a higher loss, that of the first half here; losses of models with different
# context lengths are therefore not quite comparable.
#
# </details>
#
# **Write it yourself:** `python -m practice start 12` gives you this chapter without the code that
# one types, and `python -m practice check 12` tells you within seconds what is right and what is
# wrong.
