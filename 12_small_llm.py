# %% [markdown]
"""# Chapter 12 · A small language model · 实现一个小的LLM

A language model predicts the next token of a text. Here a token is a character, and the model is a
GPT made of the parts that the models of today have: you will write a tokenizer, a baseline,
self-attention, rotary position embeddings, the blocks of a transformer, the optimizer Muon, and the
generation of text with a cache. The default text is pydoc's topics, excerpts of Python's reference
documentation that every Python has.

    python 12_small_llm.py                               train, less than two minutes on two cores
    python 12_small_llm.py --prompt "The with statement" continue the prompt with the trained model
    python 12_small_llm.py --text novel.txt notes.md     train on your own texts, in any language
    python 12_small_llm.py --resume --iterations 2000    continue training, up to 2,000 iterations
    python 12_small_llm.py --size tiny                   the size that nanoGPT suggests for a CPU
    torchrun --nproc-per-node 2 12_small_llm.py          two processes, or GPUs, share each batch

The last lines of a run:

    Figure:     outputs/12_small_llm.png
    Validation loss: 1.… nats per character (perplexity ….…)
"""

# %%
import argparse
import dataclasses
from pathlib import Path

from common import chapter, cli, plotting


@dataclasses.dataclass(frozen=True)
class Config:
    """The model's size, and how it is trained; the names are nanoGPT's."""

    n_layer: int
    n_head: int  # per layer; each gets n_embd / n_head numbers per token
    n_embd: int  # embedding dimension: numbers per token, C in the shapes below
    block_size: int  # context length: the most tokens that the model sees, the longest T
    batch_size: int
    max_iters: int
    lr: float
    dropout: float = 0.0


SIZES = {
    # nanoGPT's size for a CPU, trained until it has nanoGPT's loss
    "tiny": Config(4, 4, 128, 64, batch_size=12, max_iters=260, lr=0.008),
    # for two cores, and less than two minutes
    "small": Config(4, 4, 96, 128, batch_size=6, max_iters=1400, lr=0.008),
    # for a GPU, and a text of a million characters (this one and the next are not measured)
    "medium": Config(6, 6, 384, 256, batch_size=64, max_iters=3000, lr=0.004, dropout=0.2),
    # for a GPU with 8 GB, and a text of many millions
    "large": Config(12, 12, 768, 512, batch_size=16, max_iters=10000, lr=0.002, dropout=0.2),
}

parser = cli.parser(__doc__, device="auto")
what = "train on these files (default: excerpts of Python's reference documentation)"
parser.add_argument("--text", nargs="+", type=Path, default=[], metavar="FILE", help=what)
unset = {"default": argparse.SUPPRESS}  # left to the size or the checkpoint
what = "of the model and its training (default: small)"
parser.add_argument("--size", choices=SIZES, help=what, **unset)
for flag, name, kind, what in [
    ("--iterations", "max_iters", cli.positive_int, "updates in all, earlier ones included"),
    ("--batch-size", "batch_size", cli.positive_int, "windows of text per update"),
    ("--lr", "lr", cli.positive_float, "highest learning rate"),
]:
    what += " (default: the size's)"
    parser.add_argument(flag, dest=name, metavar="N", type=kind, help=what, **unset)
parser.add_argument("--compile", action="store_true", help="train with torch.compile")
job = parser.add_mutually_exclusive_group()
what = "continue training from the checkpoint"
job.add_argument("--resume", action="store_true", help=what)
job.add_argument("--prompt", metavar="TEXT", help="only continue this text")
what = "characters to generate (default: %(default)s)"
parser.add_argument("--length", type=cli.positive_int, default=500, help=what)
what = "below 1 more cautious, above 1 more random (default: %(default)s)"
parser.add_argument("--temperature", type=cli.positive_float, default=0.8, help=what)
what = "sample from the K most probable characters only"
parser.add_argument("--top-k", type=cli.positive_int, metavar="K", help=what)
args = chapter.begin(parser, only={"prompt": "continue_prompt"})

# %%
import contextlib
import functools
import math
import os
import signal
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pydoc_data.topics import topics

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from common import training
from common.data import read_text

# %% [markdown]
# ## Tokens
#
# A model computes with numbers, so the text is cut into **tokens**, and each token gets a number,
# its **token id**. Here every character is a token, and the **vocabulary** is the list of all
# characters that occur. Large models use longer tokens, pieces of words, in a vocabulary of 100,000
# or so: fewer tokens for the same text, at the price of a larger model. The rest works as it does
# here.


# %%
def make_vocabulary(text: str) -> str:
    """Every character of the text once, in order; a character's id is its index in here."""
    return "".join(sorted(set(text)))


def encode(text: str, vocabulary: str) -> torch.Tensor:
    """Characters to token ids, (N,) of int32. Raises UserError for a character without one."""
    ids = {character: index for index, character in enumerate(vocabulary)}
    unknown = sorted(set(text) - set(ids))
    if unknown:
        raise cli.UserError(
            f"the vocabulary of the training text has no {' '.join(map(repr, unknown[:10]))}, "
            "so the model can't read that. Leave it out, or train on a text that has it."
        )
    found = np.fromiter(map(ids.get, text), np.int32, len(text))  # a list would fill the memory
    return torch.from_numpy(found)


def decode(ids: torch.Tensor, vocabulary: str) -> str:
    """Token ids (N,) back to characters."""
    return "".join(vocabulary[index] for index in ids.tolist())


paths = cli.expand(args.text)
texts = [read_text(path, "text in UTF-8") for path in paths] or topics.values()
text = "\n".join(texts)
vocabulary = make_vocabulary(text)
ids = encode(text, vocabulary)
print(f"{len(text):,} characters, a vocabulary of {len(vocabulary)}")
print(f"{text[:12]!r} becomes {ids[:12].tolist()}")

# %% [markdown]
# ## Training set and validation set
#
# The model is trained on the first nine tenths of the text; the last tenth is the **validation
# set**. It is no test set in chapter 5's sense: the sizes and learning rates above were chosen by
# the loss on it, so that loss is a little too good. It is cut into windows, and a window that also
# occurs in the training set tells nothing about new text, since a model could have memorized it:
# that is **leakage** (data contamination). The default text repeats some of its paragraphs, so such
# windows are left out, and the loss with them is reported at the end for comparison.


# %%
def split(text: str, block_size: int) -> tuple[str, str]:
    """All but the last tenth, the training set; and that tenth, the validation set."""
    tenth = len(text) // 10
    if tenth <= block_size:
        raise cli.UserError(
            f"the text has {len(text):,} characters, too few: a tenth of it must be longer than "
            f"the context length, {block_size}. Give a longer text, or more of them, to --text."
        )
    return text[:-tenth], text[-tenth:]


def unseen_windows(train_text: str, val_text: str, block_size: int) -> torch.Tensor:
    """Where the windows of val_text start, side by side, that don't stand in train_text: (S,)."""
    starts = range(0, len(val_text) - block_size, block_size)
    unseen = [i for i in starts if val_text[i : i + block_size + 1] not in train_text]
    if not unseen:
        raise cli.UserError(
            "the last tenth of the text only repeats what stands before it, so nothing is left "
            "to validate the model on. Give a text that repeats itself less to --text."
        )
    return torch.tensor(unseen)


def read_config(path: Path) -> tuple[str, Config]:
    """The vocabulary and the config in a checkpoint. Raises UserError for any other."""
    saved = training.read_checkpoint(path)
    try:
        return saved["vocabulary"], Config(**saved["config"])
    except (KeyError, TypeError) as error:
        raise cli.UserError(
            f"{path} is no checkpoint of this chapter ({type(error).__name__}). "
            "Delete it and train again, or choose another --output-dir."
        ) from None


checkpoint = args.output_dir / "12_small_llm.pt"
config = SIZES[getattr(args, "size", "small")]
if args.resume:
    if "size" in args:
        raise cli.UserError("--resume keeps the checkpoint's --size: leave it out.")
    saved_vocabulary, config = read_config(checkpoint)
    if saved_vocabulary != vocabulary:
        raise cli.UserError(
            f"{checkpoint} was trained on a text with other characters. "
            "Give the same --text again, or train anew, without --resume."
        )
chosen = {name: vars(args)[name] for name in ("max_iters", "batch_size", "lr") if name in args}
config = dataclasses.replace(config, **chosen)
train_text, val_text = split(text, config.block_size)
val_text = val_text[:100_000]  # of a long text, more would take longer and tell the same
train_ids = ids[: len(train_text)].to(args.device)
val_ids = ids[len(train_text) :][: len(val_text)].to(args.device)
unseen = unseen_windows(train_text, val_text, config.block_size)
every = torch.arange(0, len(val_ids) - config.block_size, config.block_size)
print(f"training set {len(train_ids):,} tokens, validation set {len(every)} windows")
print(f"{len(every) - len(unseen)} of them also occur in the training set: left out")

# %% [markdown]
# ## Batches
#
# A training sample is a window of the text: $x$ has $T$ tokens, and $y$ the same window one token
# later, so that each token of $x$ has its successor as the label. One window thus trains $T$
# predictions at once, each from what comes before it. A batch is $B$ windows that start anywhere.


# %%
def windows(
    ids: torch.Tensor, starts: torch.Tensor, block_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (N,), starts (B,) -> x and y, both (B, T): y is the next token for each of x."""
    positions = starts[:, None] + torch.arange(block_size + 1)  # (B, T + 1)
    cut = ids[positions.to(ids.device)].long()
    return cut[:, :-1], cut[:, 1:]


def get_batch(
    ids: torch.Tensor, config: Config, rank: int = 0, processes: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random windows: x and y (B, T). Of several processes, each takes its share of the batch."""
    starts = torch.randint(len(ids) - config.block_size, (config.batch_size,))
    return windows(ids, starts[rank::processes], config.block_size)


x, y = windows(train_ids, torch.tensor([0]), 8)
print(f"x = {decode(x[0], vocabulary)!r}")
print(f"y = {decode(y[0], vocabulary)!r}")

# %% [markdown]
# ## Cross-entropy, perplexity and the uniform guess
#
# A model gives **logits** for the next token, at each position $V$ numbers, one per entry of the
# vocabulary. The loss is chapter 7's cross-entropy, the mean over all positions, in nats per
# character. A **uniform guess**, every character equally probable, has the loss $\log V$. The
# exponential of any loss is its **perplexity**, $e^\ell$: a model with perplexity 4 is as uncertain
# as one that picks among 4 equally probable characters.


# %%
def cross_entropy(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Chapter 7's, at every position of every window: (B, T, V), (B, T) -> scalar, in nats."""
    return F.cross_entropy(logits.flatten(0, 1), y.flatten())


def evaluate(
    model: torch.nn.Module, ids: torch.Tensor, starts: torch.Tensor, block_size: int
) -> float:
    """The mean loss over windows of a text (N,) that begin at starts (S,): nats per character."""
    model.eval()
    losses = []
    with torch.no_grad():
        for part in starts.split(32):
            x, y = windows(ids, part, block_size)
            losses.append(cross_entropy(model(x), y) * len(part))
    return torch.stack(losses).sum().item() / len(starts)


uniform = math.log(len(vocabulary))
print(f"uniform guess: loss ln {len(vocabulary)} = {uniform:.4f}, perplexity {len(vocabulary)}")

# %% [markdown]
# ## The baseline: a bigram model
#
# A **bigram** model counts which character follows which: a table of $V \times V$ probabilities.
# One is added to every count (**add-one** or Laplace smoothing), so that no pair gets the
# probability 0, whose loss would be infinite. It sees a single character; whatever a larger model
# gains over this **baseline** comes from its longer context.


# %%
class Bigram(torch.nn.Module):
    """Predicts the next token from the last one, by counts of a training text (N,)."""

    def __init__(self, ids: torch.Tensor, vocabulary_size: int):
        super().__init__()
        pairs = vocabulary_size * ids[:-1] + ids[1:]  # a number for each pair of tokens
        counts = torch.bincount(pairs, minlength=vocabulary_size**2) + 1
        counts = counts.view(vocabulary_size, vocabulary_size).float()  # (V, V)
        self.register_buffer("table", (counts / counts.sum(dim=1, keepdim=True)).log())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, V): logarithms of probabilities are logits, too."""
        return self.table[x]


bigram = Bigram(train_ids[:10_000_000].cpu(), len(vocabulary))  # enough for a table
bigram_loss = evaluate(bigram, val_ids.cpu(), unseen, config.block_size)
print(f"bigram: val loss {bigram_loss:.4f}, perplexity {math.exp(bigram_loss):.2f}")

# %% [markdown]
# ## Generating text
#
# To **generate**, sample a token from the predicted probabilities, append it, and predict again:
# **autoregressive** generation. The logits are divided by the **temperature** $\tau$ first,
# $softmax(z / \tau)$: below 1 the probable tokens become more probable, above 1 less. **Top-k**
# sampling allows only the $k$ most probable ones. When the context is full, its older half is
# dropped; until then it grows by one token at a time, which the cache below makes use of.


# %%
def generate(
    model: torch.nn.Module,
    ids: torch.Tensor,
    length: int,
    block_size: int,
    temperature: float = 0.8,
    top_k: int | None = None,
    seed: int = 0,
) -> torch.Tensor:
    """Continue a text, token by token: (N,) -> (N + length,)."""
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        start = max(0, len(ids) - block_size)  # the model sees the tokens from here on
        for _ in range(length):
            if len(ids) - start > block_size:
                start = len(ids) - (block_size + 1) // 2
            logits = model(ids[None, start:])[0, -1].float().cpu() / temperature  # (V,)
            if top_k is not None:
                lowest = logits.topk(min(top_k, len(logits))).values[-1]
                logits = logits.masked_fill(logits < lowest, -math.inf)
            drawn = torch.multinomial(logits.softmax(dim=0), 1, generator=generator)  # (1,)
            ids = torch.cat([ids, drawn.to(ids.device)])
    return ids


def indented(text: str) -> str:
    """The text with a margin, to tell it from what the chapter says."""
    return textwrap.indent(text, "   | ", lambda line: True)


sample = generate(bigram, ids[:1], 150, config.block_size, seed=args.seed)
print(f"the bigram model generates\n{indented(decode(sample, vocabulary))}")

# %% [markdown]
# ## Self-attention
#
# In **self-attention** each position collects information from the others. It sends out a **query**
# $q$, every position offers a **key** $k$ and a **value** $v$, vectors of $D$ numbers, and the
# output is a weighted mean of the values, with the weights $softmax(q \cdot k / \sqrt{D})$. The
# **causal mask** excludes later positions, or the model would read the token that it is to predict.
# The dot product of two vectors of $D$ independent numbers with mean 0 and variance 1 has variance
# $D$; without the division softmax would **saturate**, that is, give nearly all the weight to one
# position, where its gradient is almost 0. Source: Vaswani et al., "Attention Is All You Need",
# https://arxiv.org/abs/1706.03762


# %%
def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries, keys, values (…, T, D) -> weighted means of the values (…, T, D), weights (…, T, T).

    Row t of the weights says how much position t takes from each position.
    """
    T, D = q.shape[-2:]
    scores = q @ k.transpose(-2, -1) / math.sqrt(D)  # (…, T, T)
    later = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(diagonal=1)
    scores = scores.masked_fill(later, -math.inf)
    weights = scores.softmax(dim=-1)  # each row adds up to 1
    return weights @ v, weights


generator = torch.Generator().manual_seed(args.seed)
q, k, v = torch.randn(3, 4, 8, generator=generator)
y, weights = attention(q, k, v)
print(f"weights (row t: how much position t takes from each):\n{weights}")
torchs = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
print(f"largest difference from scaled_dot_product_attention: {(y - torchs).abs().max():.0e}")
a, b = torch.randn(2, 10_000, 256, generator=generator)
print(f"std of a dot product of 256 numbers: {(a * b).sum(dim=1).std():.1f}; sqrt(256) = 16")

# %% [markdown]
# ## Rotary position embeddings
#
# A weighted mean knows no order: attention gives the same output when the earlier positions are
# shuffled. **Rotary position embeddings** (RoPE) put the order into queries and keys. Their $D$
# numbers are taken as $D/2$ points in the plane, and at position $t$ point $i$ is rotated by the
# angle $t \cdot \theta_i$, with $\theta_i = 100^{-2i/D}$: the first turns by 1 radian from token to
# token, the last by about 1/70 here ($D = 24$). If a query at $t$ and a key at $s$ are both
# rotated, their dot product depends on $t - s$ only. Models with longer contexts use a larger base
# than 100.
# Source: Su et al., "RoFormer", https://arxiv.org/abs/2104.09864


# %%
def rotate(x: torch.Tensor, start: int = 0, base: float = 100.0) -> torch.Tensor:
    """Queries or keys (…, T, D) of the positions from `start` on, rotated: (…, T, D)."""
    T, D = x.shape[-2:]
    positions = torch.arange(start, start + T, device=x.device)  # (T,)
    frequencies = base ** (-torch.arange(0, D, 2, device=x.device) / D)  # (D / 2,), radians
    angles = torch.outer(positions, frequencies)  # (T, D / 2)
    cos, sin = angles.cos(), angles.sin()
    a, b = x.chunk(2, dim=-1)  # the points (a, b)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


order = [2, 0, 1, 3]  # the first three in another order
same = torch.allclose(attention(q, k[order], v[order])[0][3], y[3])
print(f"another order of the first three, the same output at the last: {same}")
y = attention(rotate(q), rotate(k), v)[0]
same = torch.allclose(attention(rotate(q), rotate(k[order]), v[order])[0][3], y[3])
print(f"the same with rotated queries and keys: {same}")
for t, s in [(5, 2), (105, 102), (5, 3)]:
    product = (rotate(q[:1], start=t) * rotate(k[:1], start=s)).sum()
    print(f"a query at {t:3} times a key at {s:3}: {product:.4f}")

# %% [markdown]
# ## Several heads
#
# A layer has several **heads**, each with queries, keys and values of its own, which can attend to
# different things, for example one to the previous character and another to an opening bracket.
# They are linear functions of the input, $q = W_q x$, $k = W_k x$, $v = W_v x$, all computed by one
# layer, `c_attn`; a second one, `c_proj`, mixes what the heads return. Each head's queries, keys
# and values have $D = C / H$ numbers per token, so that several heads cost no more than one.
# Queries and keys are normalized before they are rotated (**QK-norm**), so that their products
# can't grow without bound; without that, training takes much longer here. The norm is **RMSNorm**,
# which divides a vector by the root of its mean square. Sources: Henry et al.,
# https://arxiv.org/abs/2010.04245; Zhang and Sennrich, https://arxiv.org/abs/1910.07467


# %%
class CausalSelfAttention(torch.nn.Module):
    """Self-attention with several heads and a causal mask: (B, T, C) -> (B, T, C)."""

    def __init__(self, config: Config):
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = torch.nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.qk_norm = torch.nn.RMSNorm(config.n_embd // config.n_head, elementwise_affine=False)
        self.c_proj = torch.nn.Linear(config.n_embd, config.n_embd, bias=False)

    def heads(self, x: torch.Tensor, start: int = 0) -> tuple[torch.Tensor, ...]:
        """Queries and keys, normalized and rotated, and values: (B, T, C) -> 3 (B, H, T, D)."""
        B, T, C = x.shape
        q, k, v = self.c_attn(x).split(C, dim=-1)  # (B, T, C) each
        q, k, v = (part.view(B, T, self.n_head, -1).transpose(1, 2) for part in (q, k, v))
        return rotate(self.qk_norm(q), start), rotate(self.qk_norm(k), start), v

    def forward(self, x: torch.Tensor, cache: list[torch.Tensor] | None = None) -> torch.Tensor:
        """(B, T, C) -> (B, T, C), with torch's own attention: the same, but faster.

        A cache holds the keys and values of earlier tokens, and gets those of x as well.
        """
        q, k, v = self.heads(x, start=cache[0].shape[2] if cache else 0)
        if cache is not None:
            if cache:  # not the first tokens
                k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
            cache[:] = k, v
        # A single query, the last position's, may attend to all keys.
        y = F.scaled_dot_product_attention(q, k, v, is_causal=x.shape[1] > 1)
        return self.c_proj(y.transpose(1, 2).flatten(2))  # the heads side by side again


x = torch.randn(2, 5, config.n_embd, generator=generator)
q, k, v = CausalSelfAttention(config).heads(x)
print(f"x {tuple(x.shape)}: queries, keys, values {tuple(q.shape)} each")
print(f"mean square of a normalized query: {q[0, 0, 0].square().mean():.2f}")

# %% [markdown]
# ## The GPT
#
# A **transformer** block is attention, then an MLP that works on each position by itself. The
# output of each is added to its input, $x + f(norm(x))$, the **residual connection**: it gives the
# gradient a direct path to every block, so deep models can be trained. The norm, again RMSNorm and
# with a learned factor for each number, stands before attention and MLP (**pre-norm**). The MLP is
# a **SwiGLU**: one half of the first layer's outputs multiplies the other, which has gone through
# the activation function SiLU, $z \cdot sigmoid(z)$. **Dropout**, in the large sizes, sets a random
# share of the numbers to 0 during training, against overfitting. Source: Shazeer, "GLU Variants
# Improve Transformer", https://arxiv.org/abs/2002.05202


# %%
class MLP(torch.nn.Module):
    """SwiGLU at each position, as many weights as two layers of 4 C: (B, T, C) -> (B, T, C)."""

    def __init__(self, config: Config):
        super().__init__()
        hidden = 8 * config.n_embd // 3
        self.c_fc = torch.nn.Linear(config.n_embd, 2 * hidden, bias=False)
        self.c_proj = torch.nn.Linear(hidden, config.n_embd, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, C) -> (B, T, C)"""
        values, gates = self.c_fc(x).chunk(2, dim=-1)
        return self.c_proj(values * F.silu(gates))


class Block(torch.nn.Module):
    """Attention and MLP, each with pre-norm and a residual connection: (B, T, C) -> (B, T, C)."""

    def __init__(self, config: Config):
        super().__init__()
        self.norm_1 = torch.nn.RMSNorm(config.n_embd)
        self.attn = CausalSelfAttention(config)
        self.norm_2 = torch.nn.RMSNorm(config.n_embd)
        self.mlp = MLP(config)
        self.dropout = torch.nn.Dropout(config.dropout)

    def forward(self, x: torch.Tensor, cache: list[torch.Tensor] | None = None) -> torch.Tensor:
        """(B, T, C) -> (B, T, C)"""
        x = x + self.dropout(self.attn(self.norm_1(x), cache))
        return x + self.dropout(self.mlp(self.norm_2(x)))


class GPT(torch.nn.Module):
    """Token ids (B, T) -> logits of the next token at every position: (B, T, V)."""

    def __init__(self, vocabulary_size: int, config: Config):
        super().__init__()
        self.block_size = config.block_size
        self.wte = torch.nn.Embedding(vocabulary_size, config.n_embd)  # tokens
        self.blocks = torch.nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = torch.nn.RMSNorm(config.n_embd)
        self.head = torch.nn.Linear(config.n_embd, vocabulary_size, bias=False)
        for parameter in self.parameters():
            if parameter.dim() == 2:  # small: at first all tokens are about as probable
                torch.nn.init.normal_(parameter, std=0.02)

    def forward(self, x: torch.Tensor, caches: list[list] | None = None) -> torch.Tensor:
        """(B, T) -> (B, T, V); of `caches`, each block has its own."""
        x = self.wte(x)
        for i, block in enumerate(self.blocks):
            x = block(x, caches and caches[i])
        return self.head(self.norm(x))


torch.manual_seed(args.seed)
model = GPT(len(vocabulary), config).to(args.device)
print(", ".join(f"{name} {value}" for name, value in dataclasses.asdict(config).items()))
print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
if not args.resume:
    start_loss = evaluate(model, val_ids, unseen, config.block_size)
    print(f"untrained: val loss {start_loss:.4f}; a uniform guess has {uniform:.4f}")

# %% [markdown]
# ## Optimizers: Muon and Adam
#
# **Adam** keeps a running mean of each gradient, $m$, and of its square, $v$, and steps by
# $lr \cdot m / \sqrt{v}$ (a little simplified), so that all parameters move about equally fast; it
# serves the embeddings, the last layer and the norms. **Muon** is for the matrices between them: it
# replaces the mean gradient $G = U S V^T$ by $U V^T$, which has all singular values 1, so that a
# step is equally large in every direction. Instead of computing the SVD, a **Newton–Schulz
# iteration**, five steps of matrix products, brings the singular values near 1. **Weight decay**
# subtracts a small share of the weights, and the learning rate falls to 0 along a straight line.
# There is `torch.optim.Muon`, too: it computes in bfloat16, which many CPUs can only emulate,
# slowly. Sources: Jordan et al., https://kellerjordan.github.io/posts/muon/; for a step's size Liu
# et al., https://arxiv.org/abs/2502.16982


# %%
def orthogonalize(x: torch.Tensor) -> torch.Tensor:
    """Matrices (n, rows, columns), their singular values brought near 1 (about 0.7 to 1.2)."""
    if x.shape[1] > x.shape[2]:
        return orthogonalize(x.mT).mT  # the products below are then smaller
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):  # for each singular value s: s <- 3.4445 s - 4.775 s^3 + 2.0315 s^5
        square = x @ x.mT
        x = 3.4445 * x + (2.0315 * square @ square - 4.775 * square) @ x
    return x


class Muon(torch.optim.Optimizer):
    """For matrices. Those of a group have one shape, and are computed together."""

    def __init__(self, groups: list[dict], lr: float):
        super().__init__(groups, {"lr": lr, "momentum": 0.9, "weight_decay": 0.1})

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter by its orthogonalized mean gradient."""
        for group in self.param_groups:
            lr, momentum, parameters = group["lr"], group["momentum"], group["params"]
            updates = []
            for parameter in parameters:
                state, gradient = self.state[parameter], parameter.grad
                mean = state.setdefault("mean", torch.zeros_like(parameter))
                mean.lerp_(gradient, 1 - momentum)
                updates.append(gradient.lerp(mean, momentum))  # Nesterov: looks a step ahead
            step = lr * 0.2 * math.sqrt(max(parameters[0].shape))  # then as large as Adam's
            for parameter, update in zip(
                parameters, orthogonalize(torch.stack(updates)), strict=True
            ):
                parameter.mul_(1 - lr * group["weight_decay"]).sub_(step * update)


def make_optimizers(model: GPT, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks; Adam, at 2.5 times the rate, for all others."""
    matrices = [p for p in model.blocks.parameters() if p.dim() == 2]
    shapes = sorted({tuple(p.shape) for p in matrices})
    groups = [{"params": [p for p in matrices if p.shape == shape]} for shape in shapes]
    others = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    return [Muon(groups, lr), torch.optim.Adam(others, lr=2.5 * lr, betas=(0.9, 0.99))]


optimizers = make_optimizers(model, config.lr)
gradient = torch.randn(1, 4, 8, generator=generator)
for name, matrix in [("gradient", gradient), ("orthogonalized", orthogonalize(gradient))]:
    values = torch.linalg.svdvals(matrix[0])
    print(f"singular values, {name}: {', '.join(f'{value:.2f}' for value in values)}")

# %% [markdown]
# ## Training
#
# One iteration is one batch: there are no epochs, since windows start anywhere. The validation loss
# is evaluated about ten times; the training loss beside it is the mean since the previous
# evaluation, so while the loss falls fast it is the higher of the two. **Gradient clipping** scales
# the gradient down where its norm exceeds 1, so that a single unusual batch doesn't dominate the
# running means. On CUDA the forward pass uses mixed precision (bfloat16). Ctrl-C is only noted, and
# training stops after the current iteration, so that `--resume` continues as if it had never
# stopped. Started by torchrun, several processes train together: each computes the gradients of its
# share of every batch, `DistributedDataParallel` averages them, and where one gets Ctrl-C, all stop
# after the same iteration.


# %%
@contextlib.contextmanager
def ctrl_c_noted() -> Iterator[list[int]]:
    """In its block the first Ctrl-C only enters the list that it gives; a second stops at once."""
    noted = []
    if threading.current_thread() is not threading.main_thread():  # no other can handle signals
        yield noted
        return
    usual = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: object) -> None:
        noted.append(number)
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, usual)


def train(
    model: torch.nn.Module,
    optimizers: list[torch.optim.Optimizer],
    train_ids: torch.Tensor,
    config: Config,
    measure: Callable[[], float] | None = None,
    first: int = 0,
    rank: int = 0,
    processes: int = 1,
) -> dict[str, list]:
    """Train from iteration `first` on, up to the last one, or to the one in which Ctrl-C comes.

    About ten times, and at the end, the history gets the number of iterations, the mean loss of the
    batches since the last time, and the validation loss that `measure` returns, if there is one.
    """
    kind = train_ids.device.type
    fast = kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    bf16 = torch.autocast(kind, torch.bfloat16, enabled=fast)
    every = max(1, config.max_iters // 10)
    history = {"iteration": [], "loss": [], "val loss": []}
    losses = []  # since the last report
    iterations = tqdm(
        range(first, config.max_iters),
        initial=first,
        total=config.max_iters,
        unit=" iterations",
        leave=False,
        disable=rank > 0 or None,  # None: where there is no terminal
    )
    with ctrl_c_noted() as noted:
        for i in iterations:
            x, y = get_batch(train_ids, config, rank, processes)
            model.train()
            with bf16:
                loss = cross_entropy(model(x), y)
            losses.append(loss.detach())

            model.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = optimizer.defaults["lr"] * (1 - i / config.max_iters)
                optimizer.step()

            stop = torch.tensor(len(noted))
            if processes > 1:  # Ctrl-C reaches each at another moment: stop where one has to
                torch.distributed.all_reduce(stop, torch.distributed.ReduceOp.MAX)
            done = i + 1
            if done % every == 0 or done == config.max_iters or stop:
                history["iteration"].append(done)
                history["loss"].append(torch.stack(losses).mean().item())
                losses.clear()
                report = f"Iteration {done}/{config.max_iters}, loss {history['loss'][-1]:.4f}"
                if measure is not None:
                    history["val loss"].append(measure())
                    report += f", val loss {history['val loss'][-1]:.4f}"
                print(report)
            if stop:
                break
    return history


def join_processes(device: torch.device) -> tuple[int, int, torch.device]:
    """This process's number (rank), how many torchrun has started, and the device for this one.

    Each has a GPU of its own where there is CUDA, else all share the CPU. Without torchrun: 0, 1.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0, 1, device
    if device.type == "cuda":
        gpus = torch.cuda.device_count()  # chapter.begin has given each process one
        if device.index is not None or int(os.environ["LOCAL_RANK"]) >= gpus:
            raise cli.UserError(
                f"torchrun shares out the GPUs, and there are {gpus}: choose --device cpu or cuda, "
                "and no more processes than GPUs."
            )
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl")
    else:
        device = torch.device("cpu")
        torch.distributed.init_process_group("gloo")
    return torch.distributed.get_rank(), torch.distributed.get_world_size(), device


rank, processes, device = join_processes(args.device)
if config.batch_size % processes:
    raise cli.UserError(
        f"a batch of {config.batch_size} can't be shared evenly by {processes} processes. "
        "Choose another --batch-size."
    )
model, train_ids, val_ids = (thing.to(device) for thing in (model, train_ids, val_ids))
history = training.load_checkpoint(checkpoint, model, *optimizers) if args.resume else {}
first = int(history["iteration"][-1]) if history else 0
if first >= config.max_iters:
    raise cli.UserError(
        f"{checkpoint} has been trained for {first} iterations. "
        f"To continue, give the total: --iterations {2 * first}"
    )
learner = model
if args.compile:
    learner = torch.compile(model)
    try:
        learner(train_ids[None, : config.block_size]).sum().backward()
    except Exception as error:  # it has many ways to fail, such as for want of a C++ compiler
        reason = cli.summary(error)
        raise cli.UserError(f"--compile does not work here: {reason}. Leave it out.") from None
    model.zero_grad()
if processes > 1:
    learner = DistributedDataParallel(learner)
    print(f"{processes} processes share each batch")
measure = functools.partial(evaluate, model, val_ids, unseen, config.block_size)
if rank > 0:
    measure = None  # the first process does that
print(f"{config.max_iters - first:,} iterations, each with {config.batch_size} windows")
start = time.perf_counter()
new = train(learner, optimizers, train_ids, config, measure, first, rank, processes)
seconds = time.perf_counter() - start
if processes > 1:
    torch.distributed.destroy_process_group()
if rank > 0:  # the first process does the rest
    raise SystemExit(0)
history = {name: history.get(name, []) + values for name, values in new.items()}
more = {"config": dataclasses.asdict(config), "vocabulary": vocabulary}
training.save_checkpoint(checkpoint, history, model, *optimizers, **more)
done = history["iteration"][-1]
if done < config.max_iters:
    print(f"Stopped after {done} of {config.max_iters} iterations. ", end="")
    print("What was learned so far is kept.")
tokens = (done - first) * config.batch_size * config.block_size
print(f"{tokens:,} tokens in {seconds:.0f} s, evaluation included")
print(f"Checkpoint: {cli.display_path(checkpoint)}")

# %% [markdown]
# ## A cache of keys and values
#
# To predict a token, the model needs the keys and values of all tokens before it, and all but the
# last were computed before, for the previous predictions. A **KV cache** keeps them, so that only
# the new token goes through the model: its cost hardly depends on how many tokens stand before it,
# and the text is the same. The trained model continues a **prompt**, a given beginning; with
# `--prompt` the chapter only does this. The text looks like the training text and means nothing: a
# model of this size has learned how words and lines are formed. Large models do the same thing,
# with a thousand or a million times as many parameters.


# %%
class Cached(torch.nn.Module):
    """A GPT that remembers: for a text one token longer than the last, it computes that token."""

    def __init__(self, model: GPT):
        super().__init__()
        self.model, self.seen, self.caches = model, None, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(1, T) -> logits of the last token, (1, 1, V), or for another text of all, (1, T, V)."""
        new = x[:, -1:]
        if self.seen is None or not torch.equal(x[:, :-1], self.seen):
            self.caches, new = [[] for _ in self.model.blocks], x
        self.seen = x
        return self.model(new, self.caches)


def continue_text(
    model: GPT, vocabulary: str, prompt: str, length: int, args: argparse.Namespace
) -> str:
    """The prompt and its continuation, by the temperature, top-k and seed of the flags."""
    ids = encode(prompt, vocabulary).to(model.wte.weight.device)
    how = args.temperature, args.top_k, args.seed
    return decode(generate(Cached(model), ids, length, model.block_size, *how), vocabulary)


def continue_prompt(args: argparse.Namespace) -> str:
    """Print the continuation of --prompt by the checkpoint's model; returns it, too."""
    checkpoint = args.output_dir / "12_small_llm.pt"
    vocabulary, config = read_config(checkpoint)
    model = GPT(len(vocabulary), config)
    training.load_checkpoint(checkpoint, model)
    prompt = args.prompt or vocabulary[0]
    text = continue_text(model.to(args.device), vocabulary, prompt, args.length, args)
    print(text)
    return text


start = time.perf_counter()
sample = continue_text(model, vocabulary, text[0], args.length, args)
seconds = time.perf_counter() - start
print(f"after {done:,} iterations\n{indented(sample)}")
start = time.perf_counter()
how = args.temperature, args.top_k, args.seed
slowly = generate(model, train_ids[:1], args.length, config.block_size, *how)
without = time.perf_counter() - start
print(f"{args.length} characters: {seconds:.1f} s with the cache, {without:.1f} s without")
print(f"the same text: {decode(slowly, vocabulary) == sample}")

# %% [markdown]
# ## Results
#
# Where the validation loss is below the bigram baseline, the model uses more than the last
# character. On the right, the attention weights of one head in a line of the validation set: each
# row is a character that attends to those before it. The head shown is the one whose largest weight
# on a single character further back than the previous one is highest, on average over the rows
# (without the first quarter, which have few characters to choose from).


# %%
def attention_weights(model: GPT, ids: torch.Tensor) -> torch.Tensor:
    """The weights of each head of each layer on a text (T,): (L, H, T, T)."""
    model.eval()
    weights = []
    with torch.no_grad():
        x = model.wte(ids[None])
        for block in model.blocks:
            weights.append(attention(*block.attn.heads(block.norm_1(x)))[1][0])
            x = block(x)
    return torch.stack(weights)


line = val_ids[: min(32, config.block_size)].to(device)
weights = attention_weights(model, line).cpu()
n = len(line)
back = torch.arange(n)[:, None] - torch.arange(n)  # (n, n): how far a position lies back
far = weights * ((back > 1) & (torch.arange(n) > 0))
sharpness = far[:, :, n // 4 :].max(dim=-1).values.mean(dim=-1)  # (L, H)
layer, head = divmod(sharpness.argmax().item(), config.n_head)
print(f"head {head + 1} of layer {layer + 1} attends most sharply to single characters")
with_seen = evaluate(model, val_ids, every, config.block_size)
print(f"val loss with the windows that also occur in the training set: {with_seen:.4f}")

# %% tags=["hide-input"]
fig = plotting.figure(10, 5, args.show)
losses, attends = fig.subplots(1, 2)
ends = history["iteration"]
middles = [(a + b) / 2 for a, b in zip([0, *ends], ends, strict=False)]  # each loss is a mean
losses.plot(middles, history["loss"], "o-", color=plotting.BLUE, label="training loss")
style = {"color": plotting.ORANGE, "label": "validation loss"}
losses.plot(ends, history["val loss"], "o-", **style)
for value, name in [(uniform, "uniform guess"), (bigram_loss, "bigram baseline")]:
    losses.axhline(value, color="black", lw=1, ls=":")
    losses.text(ends[-1], value, f"{name}: {value:.2f}", ha="right", va="bottom")
losses.set(title="Loss", xlabel="iteration", ylabel="cross-entropy (nats per character)")
losses.set_ylim(0, None)
losses.legend()

attends.imshow(weights[layer, head].numpy(), cmap="Blues")
from matplotlib import font_manager  # after figure: that chooses the backend

drawn = font_manager.get_font(font_manager.findfont("monospace")).get_charmap()
signs = {" ": "␣", "\n": "↵", "$": r"\$"}
shown = [signs.get(c, c if ord(c) in drawn else "□") for c in decode(line, vocabulary)]
attends.set_xticks(range(n), shown, fontfamily="monospace", fontsize=8)
attends.set_yticks(range(n), shown, fontfamily="monospace", fontsize=8)
attends.set(xlabel="attends to", ylabel="character")
attends.set_title(f"Attention weights of head {head + 1} in layer {layer + 1}")
attends.grid(False)
attends.tick_params(length=0)
plotting.finish(fig, checkpoint.with_suffix(".png"), args.show)

# %%
val_loss = history["val loss"][-1]
perplexity = np.exp(val_loss)  # of a huge loss: inf
print(f"Validation loss: {val_loss:.4f} nats per character (perplexity {perplexity:.2f})")
