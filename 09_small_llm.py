# %% [markdown]
"""# Chapter 9 · A small language model · 实现一个小的LLM

A language model predicts the next token of a text. Here a token is a character, and the model is a
GPT: you will write the tokenizer, a baseline, self-attention (by hand, then with torch's function),
the blocks of a transformer, AdamW with a learning-rate schedule, and the generation of text. The
default text is pydoc's topics, excerpts of Python's reference documentation that every Python has.

    python 09_small_llm.py                               train, two minutes on two cores
    python 09_small_llm.py --prompt "The with statement" continue the prompt with the trained model
    python 09_small_llm.py --text novel.txt notes.md     train on your own texts, in any language
    python 09_small_llm.py --resume --iterations 4000    continue training, up to 4,000 iterations
    python 09_small_llm.py --size tiny                   the size that nanoGPT suggests for a CPU
    torchrun --nproc-per-node 2 09_small_llm.py          two processes, or GPUs, share each batch

The last lines of a run:

    Figure:     outputs/09_small_llm.png
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
    # nanoGPT's setting for a CPU, to compare with
    "tiny": Config(4, 4, 128, 64, batch_size=12, max_iters=2000, lr=1e-3),
    # the lowest validation loss after two minutes on two cores
    "small": Config(4, 4, 96, 128, batch_size=6, max_iters=2800, lr=4e-3),
    # for a GPU, and a text of a million characters
    "medium": Config(6, 6, 384, 256, batch_size=64, max_iters=5000, lr=1e-3, dropout=0.2),
    # for a GPU with 8 GB (estimated, not measured), and a text of many millions
    "large": Config(12, 12, 768, 512, batch_size=16, max_iters=10000, lr=4e-4, dropout=0.2),
}

MAIN = __name__ == "__main__"
if MAIN:
    parser = cli.parser(__doc__, device=True)
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
    what = "characters to generate"
    parser.add_argument("--length", type=cli.positive_int, default=500, help=what)
    what = "below 1 more cautious, above 1 more random"
    parser.add_argument("--temperature", type=cli.positive_float, default=0.8, help=what)
    what = "sample from the K most probable characters only"
    parser.add_argument("--top-k", type=cli.positive_int, metavar="K", help=what)
    args = chapter.begin(parser, only={"prompt": "continue_prompt"})

# %%
import math
import os
import textwrap
import time
from collections.abc import Callable
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from common import training
from common.data import read_texts
from common.progress import History, Progress

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
    """Characters to token ids, (N,). Raises UserError for a character that has none."""
    ids = {character: index for index, character in enumerate(vocabulary)}
    unknown = sorted(set(text) - set(ids))
    if unknown:
        raise cli.UserError(
            f"the vocabulary of the training text has no {' '.join(map(repr, unknown[:10]))}, "
            "so the model can't read that. Leave it out, or train on a text that has it."
        )
    return torch.tensor([ids[character] for character in text], dtype=torch.int64)


def decode(ids: torch.Tensor, vocabulary: str) -> str:
    """Token ids (N,) back to characters."""
    return "".join(vocabulary[index] for index in ids.tolist())


if MAIN:
    chapter.section()
    paths = cli.expand(args.text)
    text = read_texts(paths) if paths else "\n".join(topics.values())
    vocabulary = make_vocabulary(text)
    ids = encode(text, vocabulary)
    print(f"{len(text):,} characters, a vocabulary of {len(vocabulary)}")
    print(f"{text[:12]!r} becomes {ids[:12].tolist()}")

# %% [markdown]
# ## Training set and validation set
#
# The model is trained on the first nine tenths of the text; the last tenth is the **validation
# set**. It is no test set in chapter 5's sense: the sizes and learning rates above were chosen by
# the loss on it, so that loss is a little too good. A model that only memorized the training text
# would do badly on it, except where the text repeats itself, as the default text does in places.


# %%
def split(ids: torch.Tensor, block_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All but the last tenth, the training set; and that tenth, the validation set."""
    tenth = len(ids) // 10
    if tenth <= block_size:
        raise cli.UserError(
            f"the text has {len(ids):,} characters, too few: a tenth of it must be longer than the "
            f"context length, {block_size}. Give a longer text, or more of them, to --text."
        )
    return ids[:-tenth], ids[-tenth:]


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


if MAIN:
    chapter.section()
    checkpoint = args.output_dir / "09_small_llm.pt"
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
    train_ids, val_ids = (part.to(args.device) for part in split(ids, config.block_size))
    evaluated = val_ids[:100_000]  # of a long text, more would take longer and tell the same
    print(f"training set {len(train_ids):,} tokens, validation set {len(val_ids):,}")

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
    positions = starts[:, None] + torch.arange(block_size + 1, device=ids.device)  # (B, T + 1)
    cut = ids[positions]
    return cut[:, :-1], cut[:, 1:]


def get_batch(
    ids: torch.Tensor, config: Config, rank: int = 0, processes: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random windows: x and y (B, T). Of several processes, each takes its share of the batch."""
    starts = torch.randint(len(ids) - config.block_size, (config.batch_size,))
    return windows(ids, starts[rank::processes].to(ids.device), config.block_size)


if MAIN:
    chapter.section()
    x, y = windows(train_ids, torch.tensor([0], device=args.device), 8)
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


def evaluate(model: torch.nn.Module, ids: torch.Tensor, block_size: int) -> float:
    """The mean loss over a text (N,), cut into windows side by side: nats per character."""
    model.eval()
    starts = torch.arange(0, len(ids) - block_size, block_size, device=ids.device)
    losses = []
    with torch.no_grad():
        for part in starts.split(32):
            x, y = windows(ids, part, block_size)
            losses.append(cross_entropy(model(x), y) * len(part))
    return torch.stack(losses).sum().item() / len(starts)


if MAIN:
    chapter.section()
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


if MAIN:
    chapter.section()
    bigram = Bigram(train_ids.cpu(), len(vocabulary))
    bigram_loss = evaluate(bigram, evaluated.cpu(), config.block_size)
    print(f"bigram: val loss {bigram_loss:.4f}, perplexity {math.exp(bigram_loss):.2f}")

# %% [markdown]
# ## Generating text
#
# To **generate**, sample a token from the predicted probabilities, append it, and predict again:
# **autoregressive** generation. The logits are divided by the **temperature** $\tau$ first,
# $softmax(z / \tau)$: below 1 the probable tokens become more probable, above 1 less. **Top-k**
# sampling allows only the $k$ most probable ones.


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
        for _ in range(length):
            logits = model(ids[None, -block_size:])[0, -1].float().cpu() / temperature  # (V,)
            if top_k is not None:
                lowest = logits.topk(min(top_k, len(logits))).values[-1]
                logits = logits.masked_fill(logits < lowest, -math.inf)
            drawn = torch.multinomial(logits.softmax(dim=0), 1, generator=generator)  # (1,)
            ids = torch.cat([ids, drawn.to(ids.device)])
    return ids


def indented(text: str) -> str:
    """The text with a margin, to tell it from what the chapter says."""
    return textwrap.indent(text, "   | ", lambda line: True)


if MAIN:
    chapter.section()
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
# position, where its gradient is almost 0. Shuffling the earlier positions changes nothing: the
# weighted mean knows no order. Source: Vaswani et al., "Attention Is All You Need",
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


if MAIN:
    chapter.section()
    generator = torch.Generator().manual_seed(args.seed)
    q, k, v = torch.randn(3, 4, 8, generator=generator)
    y, weights = attention(q, k, v)
    print(f"weights (row t: how much position t takes from each):\n{weights}")
    torchs = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
    print(f"largest difference from scaled_dot_product_attention: {(y - torchs).abs().max():.0e}")
    a, b = torch.randn(2, 10_000, 256, generator=generator)
    print(f"std of a dot product of 256 numbers: {(a * b).sum(dim=1).std():.1f}; sqrt(256) = 16")
    order = [2, 0, 1, 3]  # the first three in another order
    same = torch.allclose(attention(q, k[order], v[order])[0][3], y[3])
    print(f"the last position's output is the same for another order of the rest: {same}")

# %% [markdown]
# ## Several heads
#
# A layer has several **heads**, each with queries, keys and values of its own, which can attend to
# different things, for example one to the previous character and another to an opening bracket.
# They are linear functions of the input, $q = W_q x$, $k = W_k x$, $v = W_v x$, all computed by one
# layer, `c_attn`; a second one, `c_proj`, mixes what the heads return. Each head works with
# $D = C / H$ of the $C$ numbers per token, so that several cost no more than one.


# %%
class CausalSelfAttention(torch.nn.Module):
    """Self-attention with several heads and a causal mask: (B, T, C) -> (B, T, C)."""

    def __init__(self, config: Config):
        super().__init__()
        self.n_head, self.dropout = config.n_head, config.dropout
        self.c_attn = torch.nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.c_proj = torch.nn.Linear(config.n_embd, config.n_embd, bias=False)

    def split_heads(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Each head's queries, keys and values, all in one product: (B, T, C) -> 3 (B, H, T, D)."""
        B, T, C = x.shape
        q, k, v = self.c_attn(x).split(C, dim=-1)  # (B, T, C) each
        return tuple(part.view(B, T, self.n_head, -1).transpose(1, 2) for part in (q, k, v))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, C) -> (B, T, C), with torch's own attention: the same, but faster."""
        q, k, v = self.split_heads(x)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        return self.c_proj(y.transpose(1, 2).flatten(2))  # the heads side by side again


if MAIN:
    chapter.section()
    x = torch.zeros(2, 5, config.n_embd)
    q, k, v = CausalSelfAttention(config).split_heads(x)
    print(f"x {tuple(x.shape)}: queries, keys, values {tuple(q.shape)} each")

# %% [markdown]
# ## The GPT
#
# A **transformer** block is attention, then an MLP that works on each position by itself. The
# output of each is added to its input, $x + f(norm(x))$, the **residual connection**: it gives the
# gradient a direct path to every block, so deep models can be trained. The norm, **LayerNorm**,
# brings the $C$ numbers of a position to mean 0 and variance 1 and scales each by a learned factor;
# it stands before attention and MLP (**pre-norm**). **Dropout**, in the large sizes, sets a random
# share of the numbers to 0 during training, against overfitting. A token enters as its
# **embedding**, a learned vector, plus a learned **position embedding**, since attention knows no
# order (shown above). The last layer uses the table of embeddings again, for the logits: **weight
# tying**.


# %%
class MLP(torch.nn.Module):
    """Two linear layers, four times as wide in between, at each position: (B, T, C) -> same."""

    def __init__(self, config: Config):
        super().__init__()
        self.c_fc = torch.nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.gelu = torch.nn.GELU()  # a smooth ReLU
        self.c_proj = torch.nn.Linear(4 * config.n_embd, config.n_embd, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, C) -> (B, T, C)"""
        return self.c_proj(self.gelu(self.c_fc(x)))


class Block(torch.nn.Module):
    """Attention and MLP, each with pre-norm and a residual connection: (B, T, C) -> (B, T, C)."""

    def __init__(self, config: Config):
        super().__init__()
        self.ln_1 = torch.nn.LayerNorm(config.n_embd, bias=False)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = torch.nn.LayerNorm(config.n_embd, bias=False)
        self.mlp = MLP(config)
        self.dropout = torch.nn.Dropout(config.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, C) -> (B, T, C)"""
        x = x + self.dropout(self.attn(self.ln_1(x)))
        return x + self.dropout(self.mlp(self.ln_2(x)))


class GPT(torch.nn.Module):
    """Token ids (B, T) -> logits of the next token at every position: (B, T, V)."""

    def __init__(self, vocabulary_size: int, config: Config):
        super().__init__()
        self.wte = torch.nn.Embedding(vocabulary_size, config.n_embd)  # tokens
        self.wpe = torch.nn.Embedding(config.block_size, config.n_embd)  # positions
        self.dropout = torch.nn.Dropout(config.dropout)
        self.blocks = torch.nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = torch.nn.LayerNorm(config.n_embd, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:  # small: at first all tokens are about as probable
                # Each block adds two outputs to the sum, which would grow with their number.
                outputs = 2 * config.n_layer if name.endswith("c_proj.weight") else 1
                torch.nn.init.normal_(parameter, std=0.02 / math.sqrt(outputs))

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Token embedding plus position embedding: (B, T) -> (B, T, C)."""
        return self.dropout(self.wte(x) + self.wpe.weight[: x.shape[1]])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, V)"""
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return F.linear(self.ln_f(x), self.wte.weight)


if MAIN:
    chapter.section()
    torch.manual_seed(args.seed)
    model = GPT(len(vocabulary), config).to(args.device)
    print(", ".join(f"{name} {value}" for name, value in dataclasses.asdict(config).items()))
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
    if not args.resume:
        start_loss = evaluate(model, evaluated, config.block_size)
        print(f"untrained: val loss {start_loss:.4f}; a uniform guess has {uniform:.4f}")

# %% [markdown]
# ## Optimizer and learning-rate schedule
#
# **Adam** keeps a running mean of each gradient, $m$, and of its square, $v$, and steps by
# $lr \cdot m / \sqrt{v}$ (a little simplified), so that all parameters move about equally fast.
# **AdamW** adds **weight decay**: each step also subtracts $lr \cdot \lambda w$, here from the
# matrices ($\lambda = 0.1$), not from the norms. The learning rate rises linearly at first
# (**warmup**), while Adam's means are still inaccurate, and then falls to a tenth along half a
# cosine (**cosine decay**).


# %%
def make_optimizer(model: torch.nn.Module, lr: float) -> torch.optim.AdamW:
    """AdamW with weight decay for the matrices, and none for the norms."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    fused = parameters[0].device.type in ("cpu", "cuda", "mps", "xpu")  # all in one call
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.99), fused=fused)


def learning_rate(iteration: int, config: Config) -> float:
    """Linear warmup over 100 iterations (or a tenth of all), then cosine decay to a tenth."""
    warmup = min(100, config.max_iters // 10)
    if iteration < warmup:
        return config.lr * (iteration + 1) / (warmup + 1)
    done = (iteration - warmup) / (config.max_iters - warmup)  # 0 to 1
    return config.lr * (0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2)


if MAIN:
    chapter.section()
    optimizer = make_optimizer(model, config.lr)
    for i in sorted({0, config.max_iters // 10, config.max_iters // 2, config.max_iters - 1}):
        print(f"iteration {i:6,}: learning rate {learning_rate(i, config):.6f}")

# %% [markdown]
# ## Training
#
# One iteration is one batch: there are no epochs, since windows start anywhere. The validation loss
# is evaluated about ten times; the training loss beside it is the mean since the time before, so
# while the loss falls fast it is the higher of the two. **Gradient clipping** scales the gradient
# down where its norm exceeds 1. That does not bound Adam's step, which hardly depends on the
# gradient's size; it keeps a single unusual batch from dominating Adam's running means. On CUDA the
# forward pass uses mixed precision (bfloat16). Started by torchrun, several processes train
# together: each computes the gradients of its share of every batch, and `DistributedDataParallel`
# averages them.


# %%
def train(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    train_ids: torch.Tensor,
    config: Config,
    measure: Callable[[], dict[str, float]],
    first: int = 0,
    rank: int = 0,
    processes: int = 1,
) -> History:
    """Train from iteration `first` on, and call `measure` about ten times, and at the end.

    The history holds what it returns, and the mean loss of the batches since the last call.
    """
    kind = train_ids.device.type
    fast = kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    bf16 = torch.autocast(kind, torch.bfloat16, enabled=fast)
    every = max(1, config.max_iters // 10)
    loss_sum, batches = torch.zeros((), device=train_ids.device), 0
    with Progress(config.max_iters, 1, unit="iteration", done=first) as progress:
        for i in progress.batches(range(first, config.max_iters)):
            if i % every == 0 and i > first:
                progress.end_epoch(loss=loss_sum.item() / batches, **measure())
                loss_sum, batches = torch.zeros_like(loss_sum), 0
            x, y = get_batch(train_ids, config, rank, processes)
            model.train()
            with bf16:
                loss = cross_entropy(model(x), y)
            loss_sum += loss.detach()
            batches += 1

            for group in optimizer.param_groups:
                group["lr"] = learning_rate(i, config)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            progress.show(loss.detach(), 1)
        progress.end_epoch(loss=loss_sum.item() / batches, **measure())
    return progress.history


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
        torch.distributed.init_process_group("nccl")
    else:
        device = torch.device("cpu")
        torch.distributed.init_process_group("gloo")
    return torch.distributed.get_rank(), torch.distributed.get_world_size(), device


if MAIN:
    chapter.section()
    rank, processes, device = join_processes(args.device)
    if config.batch_size % processes:
        raise cli.UserError(
            f"a batch of {config.batch_size} can't be shared evenly by {processes} processes. "
            "Choose another --batch-size."
        )
    model, train_ids, evaluated = (thing.to(device) for thing in (model, train_ids, evaluated))
    history = training.load_checkpoint(checkpoint, model, optimizer) if args.resume else {}
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

    def measure() -> dict[str, float]:
        """The validation loss, which the first process measures."""
        return {} if rank else {"val loss": evaluate(model, evaluated, config.block_size)}

    start = time.perf_counter()
    new = train(learner, optimizer, train_ids, config, measure, first, rank, processes)
    seconds = time.perf_counter() - start
    if processes > 1:
        torch.distributed.destroy_process_group()
    if rank > 0:  # the first process does the rest
        raise SystemExit(0)
    history = {name: history.get(name, []) + values for name, values in new.items()}
    more = {"config": dataclasses.asdict(config), "vocabulary": vocabulary}
    training.save_checkpoint(checkpoint, model, optimizer, history, **more)
    done = int(history["iteration"][-1])
    tokens = (done - first) * config.batch_size * config.block_size
    print(f"{tokens:,} tokens in {seconds:.0f} s, evaluation included")
    print(f"Checkpoint: {cli.display_path(checkpoint)}")

# %% [markdown]
# ## Continuing a prompt
#
# The trained model continues a **prompt**, a given beginning. With `--prompt` the chapter only does
# this. The text looks like the training text and means nothing: a model of this size has learned
# how words and lines are formed. Large models do the same thing, with a thousand or a million times
# as many parameters.


# %%
def continue_text(
    model: GPT, vocabulary: str, prompt: str, length: int, args: argparse.Namespace
) -> str:
    """The prompt and its continuation, by the temperature, top-k and seed of the flags."""
    table = model.wpe.weight  # (block_size, C)
    ids = encode(prompt, vocabulary).to(table.device)
    how = args.temperature, args.top_k, args.seed
    return decode(generate(model, ids, length, len(table), *how), vocabulary)


def continue_prompt(args: argparse.Namespace) -> str:
    """Print the continuation of --prompt by the checkpoint's model; returns it, too."""
    checkpoint = args.output_dir / "09_small_llm.pt"
    vocabulary, config = read_config(checkpoint)
    model = GPT(len(vocabulary), config)
    training.load_checkpoint(checkpoint, model)
    prompt = args.prompt or vocabulary[0]
    text = continue_text(model.to(args.device), vocabulary, prompt, args.length, args)
    print(text)
    return text


if MAIN:
    chapter.section()
    sample = continue_text(model, vocabulary, text[0], args.length, args)
    print(f"after {done:,} iterations\n{indented(sample)}")

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
        x = model.embed(ids[None])
        for block in model.blocks:
            weights.append(attention(*block.attn.split_heads(block.ln_1(x)))[1][0])
            x = block(x)
    return torch.stack(weights)


if MAIN:
    chapter.section()
    line = val_ids[: min(32, config.block_size)].to(device)
    weights = attention_weights(model, line).cpu()
    T = len(line)
    back = torch.arange(T)[:, None] - torch.arange(T)  # (T, T): how far a position lies back
    far = weights * ((back > 1) & (torch.arange(T) > 0))
    sharpness = far[:, :, T // 4 :].max(dim=-1).values.mean(dim=-1)  # (L, H)
    layer, head = divmod(sharpness.argmax().item(), config.n_head)
    print(f"head {head + 1} of layer {layer + 1} attends most sharply to single characters")

# %% tags=["hide-input"]
if MAIN:
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
    shown = plotting.visible(decode(line, vocabulary))
    attends.set_xticks(range(T), shown, fontfamily="monospace", fontsize=8)
    attends.set_yticks(range(T), shown, fontfamily="monospace", fontsize=8)
    attends.set(xlabel="attends to", ylabel="character")
    attends.set_title(f"Attention weights of head {head + 1} in layer {layer + 1}")
    attends.grid(False)
    attends.tick_params(length=0)
    plotting.finish(fig, checkpoint.with_suffix(".png"), args.show)

# %%
if MAIN:
    val_loss = history["val loss"][-1]
    perplexity = math.exp(val_loss)
    print(f"Validation loss: {val_loss:.4f} nats per character (perplexity {perplexity:.2f})")
    chapter.end()
