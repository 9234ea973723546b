# %% [markdown]
"""# Chapter 11 · Language models and recurrent networks · 循环神经网络 (beyond the notes)

You will build language models, which predict how a text goes on: first by counting which character
follows which, and in the end with an LSTM that writes. On the way you will compute a recurrent
network by hand, and see its gradients vanish and explode. The default text comes with Python:
excerpts of its documentation.

    python 11_char_rnn.py                            train, less than a minute on two cores
    python 11_char_rnn.py --text novel.txt notes.md  train on your own texts, in any language

The last lines of a run:

    Figure:     outputs/11_char_rnn.png
    Validation loss: 1.… nats per character (perplexity ….…)
"""

# %%
from common import chapter, cli, plotting

args = chapter.begin(__doc__, text=[], iterations=2000, lr=0.005, batch_size=16, device="auto")

import math
from collections import Counter
from itertools import pairwise

import torch
import torch.nn.functional as F
from tqdm import tqdm

from common import training
from common.data import read_texts

# %% [markdown]
# ## Tokens
#
# A network computes with numbers. So the text is cut into **tokens**, and each token gets a number,
# its **token id**. Here each character is a token, and all that occur make the **vocabulary**.
# Large models use longer tokens, pieces of words, from a vocabulary of 100,000 or so.


# %%
def make_vocabulary(text):
    """Every character of the text once, in order; a character's id is its index in here."""
    return "".join(sorted(set(text)))


def encode(text, vocabulary):
    """Characters to token ids, (N,) of int64."""
    ids = {character: index for index, character in enumerate(vocabulary)}
    return torch.tensor([ids[character] for character in text])


def decode(ids, vocabulary):
    """Token ids (N,) back to characters."""
    return "".join(vocabulary[index] for index in ids.tolist())


BLOCK_SIZE = 128  # characters in a window of text, T in the shapes below
text = read_texts(args.text, 10 * BLOCK_SIZE + 10)  # at least 1,290 characters
vocabulary = make_vocabulary(text)
ids = encode(text, vocabulary)
print(len(text), "characters, a vocabulary of", len(vocabulary))
print(ids[:12], repr(decode(ids[:12], vocabulary)))

# %% [markdown]
# ## Training set and validation set
#
# The model learns from the first nine tenths of the text. The rest is the validation set (chapter
# 5), in windows of 128 characters. A window that also stands in the training set tells nothing
# about new text, since the model may know it by heart. This is **leakage** (data contamination), so
# copies are left out. Exercise 2 counts the windows that share a long piece with the training set.


# %%
def unseen_windows(train_text, val_text, block_size):
    """The starts of val_text's windows, side by side, that train_text doesn't contain: (S,)."""
    starts = range(0, len(val_text) - block_size, block_size)
    unseen = [i for i in starts if val_text[i : i + block_size + 1] not in train_text]
    if not unseen:
        raise cli.UserError("the last tenth only repeats what stands before. Give another --text.")
    return torch.tensor(unseen)


tenth = len(text) // 10
train_text, val_text = text[:-tenth], text[-tenth:][:100_000]  # enough to tell
train_ids, val_ids = ids[:-tenth].to(args.device), ids[-tenth:].to(args.device)
unseen = unseen_windows(train_text, val_text, BLOCK_SIZE)
print((len(val_text) - 1) // BLOCK_SIZE, "windows,", len(unseen), "of them are no copies")

# %% [markdown]
# ## Batches
#
# A sample is a window of the text: $x$ has $T$ tokens, and $y$ is the same window one token later.
# So the label of each token is the token after it, and a window trains $T$ predictions at once. A
# batch is $B$ windows that start anywhere. So training counts iterations here, not epochs.


# %%
def windows(ids, starts, block_size):
    """Token ids (N,), starts (B,) -> x and y, both (B, T): y is the next token for each of x."""
    positions = starts[:, None] + torch.arange(block_size + 1)  # (B, 1) + (T + 1,): (B, T + 1)
    cut = ids[positions.to(ids.device)]
    return cut[:, :-1], cut[:, 1:]


x, y = windows(train_ids, torch.tensor([0, 5]), 8)
print(x)
print(y)

# %% [markdown]
# ## Loss and perplexity
#
# With a vocabulary of $V$ tokens, a model gives $V$ logits at each position, for the next token.
# The loss is chapter 7's cross-entropy $-\log p_y$, the mean over all positions, in nats. Equal
# logits are a **uniform guess**: each probability is $1 / V$, and the loss is $\log V$. The
# **perplexity** $e^\ell$ turns a loss $\ell$ into a number of choices: $V$ for the uniform guess.

# %%
logits = torch.zeros(2, 8, len(vocabulary), device=args.device)  # (B, T, V)
loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())  # (B T, V) and (B T,): chapter 7's shapes
print(loss, math.log(len(vocabulary)), loss.exp())

# %% [markdown]
# ## The baseline: a bigram model
#
# A **bigram** model counts which character follows which. The probability of $b$ after $a$ is the
# share of $b$ among all that follow $a$. A new pair would have the probability 0 and an infinite
# loss, so one is added to each count (**add-one** or Laplace smoothing). The model sees a single
# character. What a network gains over this baseline comes from the characters before that one.


# %%
def bigram_loss(ids, x, y, vocabulary_size):
    """The mean of -log p of the tokens y after the tokens x, by the pairs in a text (N,)."""
    pairs = Counter(pairwise(ids.tolist()))
    firsts = Counter(ids[:-1].tolist())
    total = 0
    for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True):
        total -= math.log((pairs[a, b] + 1) / (firsts[a] + vocabulary_size))
    return total / y.numel()


print(Counter(pairwise(train_text)).most_common(3))
x, y = windows(val_ids, unseen, BLOCK_SIZE)
bigram = bigram_loss(train_ids, x, y, len(vocabulary))
print(bigram, math.exp(bigram))  # loss and perplexity

# %% [markdown]
# ## Embedding
#
# A token id is a name, not a quantity: token 4 is not twice token 2. So a network first turns each
# id into a vector, its **embedding**. `nn.Embedding` is a table with a row of parameters for each
# token. A vector with a 1 at the id and zeros elsewhere is called **one-hot**. Multiplied by the
# table it gives the same row: an embedding is a linear layer that skips the multiplications by 0.

# %%
embedding = torch.nn.Embedding(5, 3)  # 5 tokens, 3 numbers each
print(embedding.weight)
x = torch.tensor([4, 0, 4])
print(embedding(x))  # the rows 4, 0, 4
print(F.one_hot(x, 5))
print(F.one_hot(x, 5).float() @ embedding.weight)  # the same

# %% [markdown]
# ## A recurrent network by hand
#
# A **recurrent neural network** (RNN) reads token after token. What it has read, it keeps in a
# vector, the **hidden state** $h_t = \tanh(W x_t + U h_{t-1} + b)$. Here $x_t$ is the embedding of
# token $t$, and tanh is a sigmoid that goes from -1 to 1. The drawing shows the network
# **unrolled**. $W$, $U$ and $b$ are the same at each step, so it can read a text of any length.
#
# ![The unrolled network](docs/drawings/11_unrolled.svg)


# %%
def rnn(x, h, W, U, b):
    """The hidden states: x (T, I), h (H,), W (H, I), U (H, H), b (H,) -> (T, H)."""
    states = []
    for x_t in x:
        h = torch.tanh(W @ x_t + U @ h + b)
        states.append(h)
    return torch.stack(states)


cell = torch.nn.RNNCell(3, 2)  # 3 numbers in, a hidden state of 2; its bias comes in two parts
x = embedding(torch.tensor([4, 0, 4]))
print(rnn(x, torch.zeros(2), cell.weight_ih, cell.weight_hh, cell.bias_ih + cell.bias_hh))
print(cell(x[2], cell(x[1], cell(x[0]))))  # the last row: after 4, 0, 4; the first: after 4

# %% [markdown]
# ## Vanishing and exploding gradients
#
# `backward` goes through the unrolled network from the last step to the first: **backpropagation
# through time**. Each step back multiplies the gradient by $U$ and by the slope of tanh, at most 1.
# Let $U$ be a number $u$ and the slope 1: then 100 steps multiply by $u^{100}$. If $|u| < 1$, the
# gradient **vanishes**: what lies far back teaches nothing. If $|u| > 1$, it may **explode**.

# %%
h = h_0 = torch.zeros(2, requires_grad=True)  # at 0 the slope of tanh is 1
for _ in range(100):
    h = torch.tanh(torch.tensor([0.9, 1.1]) * h)  # two networks of a single number each
h.sum().backward()
print(h_0.grad)  # 0.9 ** 100 and 1.1 ** 100

# %% [markdown]
# ## LSTM
#
# **Long short-term memory** (LSTM) keeps a second vector, the **cell state**
# $c_t = f \cdot c_{t-1} + i \cdot g$, and shows $h_t = o \cdot \tanh(c_t)$. Its **gates** $f$, $i$,
# $o$ lie between 0 and 1: how much of the old stays, how much of the new content $g$ comes in, how
# much is shown. All four are made like an RNN's state, the gates by a sigmoid. Along $c$ a step
# back multiplies by $f$: 100 steps with 0.99 leave 0.37. https://doi.org/10.1162/089976600300015015


# %%
class CharLSTM(torch.nn.Module):
    """Token ids (B, T) -> logits of the next token at each position (B, T, V), and the state."""

    def __init__(self, vocabulary_size):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary_size, 64)
        self.lstm = torch.nn.LSTM(64, 256, batch_first=True)
        self.linear = torch.nn.Linear(256, vocabulary_size)
        self.dropout = torch.nn.Dropout(0.2)

    def forward(self, x, state=None):
        x = self.dropout(self.embedding(x))  # (B, T, 64)
        x, state = self.lstm(x, state)  # (B, T, 256)
        return self.linear(self.dropout(x)), state


def evaluate(model, ids, starts, block_size):
    """The mean loss over windows of a text (N,) that begin at starts (S,): nats per character."""
    model.eval()
    total = 0
    with torch.no_grad():
        for part in starts.split(32):
            x, y = windows(ids, part, block_size)
            loss = F.cross_entropy(model(x)[0].flatten(0, 1), y.flatten())
            total += loss.item() * len(part)
    return total / len(starts)


model = CharLSTM(len(vocabulary)).to(args.device)
print(sum(parameter.numel() for parameter in model.parameters()), "parameters")
print(evaluate(model, val_ids, unseen, BLOCK_SIZE))  # untrained: about the uniform guess

# %% [markdown]
# ## Training
#
# **Adam** (https://arxiv.org/abs/1412.6980) divides a running average of each gradient by the root
# of a running average of its square (`betas`: over about 10 and 100 iterations), so all parameters
# move about equally fast. **Gradient clipping** stops explosions: if all gradients, as one vector,
# are longer than 1, they are scaled down to length 1. The learning rate falls to 0 in a straight
# line. Dropout (chapter 8) sets each number before and after the LSTM to 0 with probability 0.2: so
# the model can't rely on single ones, and overfits less.

# %%
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, betas=(0.9, 0.99))
scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=args.iterations)
losses, val_losses = [], []
try:
    for i in tqdm(range(args.iterations), leave=False, disable=None):
        starts = torch.randint(len(train_ids) - BLOCK_SIZE, (args.batch_size,))
        x, y = windows(train_ids, starts, BLOCK_SIZE)
        model.train()
        logits, _ = model(x)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())

        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
        if (i + 1) % 200 == 0:
            val_losses.append(evaluate(model, val_ids, unseen, BLOCK_SIZE))
            print(f"Iteration {i + 1}, Loss: {losses[-1]:.4f}, val loss: {val_losses[-1]:.4f}")
except KeyboardInterrupt:
    print("Stopped. What was learned so far is kept.")
training.check_finite(model)

# %% [markdown]
# ## Generating text
#
# To **generate** text, draw a token from the predicted probabilities, feed it to the model as the
# next input, and so on. The state, $h$ and $c$, is its memory of all it has read: always 512
# numbers. Before softmax the logits are divided by the **temperature**: below 1, probable tokens
# become even more probable. **Top-k** sampling allows only the $k$ most probable ones.


# %%
def generate(model, ids, length, temperature=0.8, top_k=None):
    """Continue a text, token by token: (N,) -> (N + length,)."""
    model.eval()
    x, state = ids[None], None  # first the given tokens, then each new one
    with torch.no_grad():
        for _ in range(length):
            logits, state = model(x, state)
            logits = logits[0, -1] / temperature  # (V,)
            if top_k is not None:
                lowest = logits.topk(min(top_k, len(logits))).values[-1]
                logits[logits < lowest] = -math.inf
            x = torch.multinomial(logits.softmax(dim=0), 1)[None]  # draws an id: (1,) -> (1, 1)
            ids = torch.cat([ids, x[0]])
    return ids


print(cli.printable(decode(generate(model, train_ids[:1], 400), vocabulary)))
print(cli.printable(decode(generate(model, train_ids[:1], 80, temperature=2.0), vocabulary)))
print(cli.printable(decode(generate(model, train_ids[:1], 80, 2.0, top_k=3), vocabulary)))

# %% [markdown]
# ## Results
#
# On the left the loss falls far below the bigram baseline. On the right: the longer the windows,
# the more the model can remember. With one character it is no better than the baseline.

# %% tags=["hide-input"]
by_length = [evaluate(model, val_ids, unseen, 2**n) for n in range(8)]  # in shorter windows

fig = plotting.figure(10, 4, args.show)
left, right = fig.subplots(1, 2)
left.plot(losses, lw=0.5, label="training loss")
left.plot(range(200, len(losses) + 1, 200), val_losses, "o-", label="validation loss")
left.set(title="It soon beats counting pairs", xlabel="iteration", ylabel="nats per character")
right.bar([str(2**n) for n in range(8)], by_length, color=plotting.ORANGE)
right.set(title="Validation loss: what it remembers helps", xlabel="characters in a window")
for axes in (left, right):
    axes.axhline(bigram, color="black", lw=1, ls=":", label="bigram model")
left.legend()
plotting.finish(fig, args.output_dir / "11_char_rnn.png", args.show)

# %%
val_loss = torch.tensor(evaluate(model, val_ids, unseen, BLOCK_SIZE))
print(f"Validation loss: {val_loss:.4f} nats per character (perplexity {val_loss.exp():.2f})")
