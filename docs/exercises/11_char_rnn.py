# %% [markdown]
# ## Exercises
#
# **1.** The bigram model sees one character. Let a table see the last $n$: count which character
# follows each sequence of $n$ characters, with add-one smoothing as before. Does the validation
# loss keep falling as $n$ grows?
#
# <details><summary>Answer</summary>

# %%
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
# table grows exponentially. A network has no table. All contexts share its weights, so it can also
# use one that it has never seen. (Copies count here, so $n = 1$ isn't quite the page's baseline.)
#
# </details>
#
# **2.** A window is left out if all of its 129 characters stand in the training set. How many of
# the others share a piece of 40 characters with it, and how many one of 64?
#
# <details><summary>Answer</summary>

# %%
for length in (40, 64):
    pieces = {train_text[i : i + length] for i in range(len(train_text) - length + 1)}
    shared = 0
    for start in unseen.tolist():
        window = val_text[start : start + BLOCK_SIZE + 1]
        shared += any(window[i : i + length] in pieces for i in range(len(window) - length + 1))
    print(f"{shared} of {len(unseen)} windows share {length} characters with the training set")

# %% [markdown]
# The numbers depend on the version of Python, which brings the text along. With Python 3.11, 87 of
# 334 windows share 40 characters with the training set, and 20 share 64: headings, rows of dashes,
# phrases that documentation repeats. So the loss is still a little better than on a text by
# somebody else. Those who train large models on the web look for near copies, too. A set finds a
# piece in one step, however many it holds.
#
# </details>
#
# **3.** Put a plain `torch.nn.RNN` in the place of the LSTM, and train both for 150 iterations. How
# much do the gates gain by then?
#
# <details><summary>Answer</summary>

# %%
for layer in (torch.nn.RNN, torch.nn.LSTM):
    torch.manual_seed(args.seed)
    other = CharLSTM(len(vocabulary))
    other.lstm = layer(64, 256, batch_first=True)
    other.to(args.device)
    adam = torch.optim.Adam(other.parameters(), lr=0.005)
    for i in range(150):
        x, y = windows(train_ids, torch.randint(len(train_ids) - BLOCK_SIZE, (16,)), BLOCK_SIZE)
        logits, _ = other(x)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
        adam.step()
    print(layer.__name__, evaluate(other, val_ids, unseen, BLOCK_SIZE))

# %% [markdown]
# About a tenth of a nat: at first what counts are the nearest characters, and a plain RNN remembers
# those as well. The LSTM pulls away later. Trained like this chapter's model, for 2,000 iterations
# with a falling learning rate, the RNN has 1.35 and the LSTM 1.20. A `torch.nn.GRU` (gated
# recurrent unit) has gates and no cell state. It is ahead of both after 150 iterations, and has
# 1.21 after 2,000; on a CPU it took twice as long as the LSTM. (Seed 0, Python 3.11's text.)
#
# </details>
#
# **4.** Each window of `evaluate` begins with an empty state, so the model predicts its first
# characters without knowing what stands before them. Go through the validation text instead window
# after window, and give each the state that the one before has left. What does the loss become?
#
# <details><summary>Answer</summary>

# %%
model.eval()
state, losses_at = None, []
with torch.no_grad():
    for start in range(0, len(val_text) - BLOCK_SIZE, BLOCK_SIZE):
        x, y = windows(val_ids, torch.tensor([start]), BLOCK_SIZE)
        logits, state = model(x, state)
        if start in unseen:  # the copies are read, but don't count
            losses_at.append(F.cross_entropy(logits[0], y[0], reduction="none"))
carried = torch.stack(losses_at).mean(dim=0)  # (T,)
x, y = windows(val_ids, unseen, BLOCK_SIZE)
with torch.no_grad():
    empty = F.cross_entropy(model(x)[0].mT, y, reduction="none").mean(dim=0)  # .mT: (B, V, T)
print("carried on", carried.mean(), "first 8 characters", carried[:8].mean())
print("empty     ", empty.mean(), "first 8 characters", empty[:8].mean())
print("last 64 characters", carried[64:].mean(), empty[64:].mean())

# %% [markdown]
# It falls by about 0.02, and all of that is gained in the first characters of the windows, where an
# empty state knows nothing yet. In their second halves there is hardly a difference: what the state
# holds of more than some dozens of characters before no longer helps. The numbers of this chapter,
# and of the next one, are those of windows by themselves, so that they can be compared.
#
# </details>
#
# **Write it yourself:** `python -m practice start 11` gives you this chapter without the code that
# one types, and `python -m practice check 11` tells you within seconds what is right and what is
# wrong.
