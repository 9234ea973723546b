"""What each part of chapter 12's model is worth: the loss without it, after the same seconds.

    python docs/llm_parts.py     some minutes on two cores

Each row changes one thing in the model of --size tiny; the last is chapter 11's LSTM. The rows
first take turns, to measure what an iteration takes; then each trains for as many iterations as fit
into the first row's time.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from common import chapter as chapters  # noqa: E402
from common.data import read_texts  # noqa: E402
from common.threads import choose_while_training  # noqa: E402


class WarmedUp(torch.optim.AdamW):
    """AdamW whose learning rate rises during the first 40 steps; it does much worse without."""

    steps = 0

    def step(self) -> None:
        self.steps += 1
        for group in self.param_groups:
            group["lr"] *= min(1, self.steps / 40)
        super().step()


class Variant:
    """A chapter, its model and its optimizers, with one part exchanged."""

    def __init__(self, exchange: Callable, vocabulary_size: int):
        self.chapter = chapters.load(ROOT / "12_small_llm.py")  # its own, so it may be changed
        self.config = self.chapter.SIZES["tiny"]
        torch.manual_seed(0)
        self.model = self.chapter.GPT(vocabulary_size, self.config)
        self.optimizers = exchange(self) or self.chapter.make_optimizers(self.model, self.config)

    def train(self, ids: torch.Tensor, iterations: int) -> None:
        """Chapter 12's loop, from the state that the model is in."""
        for i in range(iterations):
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = optimizer.defaults["lr"] * (1 - i / iterations)
            self.chapter.update(self.model, self.optimizers, ids, self.config)


def linear(inputs: int, outputs: int) -> torch.nn.Linear:
    """A layer as chapter 12's."""
    layer = torch.nn.Linear(inputs, outputs, bias=False)
    torch.nn.init.normal_(layer.weight, std=0.02)
    return layer


# What the rows exchange; some return optimizers of their own


def learned_positions(variant: Variant) -> None:
    class Embeddings(torch.nn.Module):
        def __init__(self, tokens, block_size):
            super().__init__()
            self.tokens = tokens
            self.positions = torch.nn.Embedding(block_size, tokens.embedding_dim)
            torch.nn.init.normal_(self.positions.weight, std=0.02)

        def forward(self, x):
            return self.tokens(x) + self.positions.weight[: x.shape[1]]

    variant.chapter.rotate = lambda x, start=0: x
    variant.model.wte = Embeddings(variant.model.wte, variant.config["block_size"])


def no_qk_norm(variant: Variant) -> None:
    for block in variant.model.blocks:
        block.attn.norm = torch.nn.Identity()


def no_convolution(variant: Variant) -> None:
    variant.chapter.causal_conv = lambda x, weight, before=None: (x, before)


def layer_norm(variant: Variant) -> None:
    C = variant.config["n_embd"]
    for block in variant.model.blocks:
        block.norm_1, block.norm_2 = (torch.nn.LayerNorm(C, bias=False) for _ in range(2))
    variant.model.norm = torch.nn.LayerNorm(C, bias=False)


def exchange_mlp(variant: Variant, mlp: Callable) -> None:
    class Block(variant.chapter.Block):
        def forward(self, x, cache=None):
            y, _ = variant.chapter.causal_conv(self.norm_1(x), self.conv_1)
            x = x + self.attn(y)[0]
            y, _ = variant.chapter.causal_conv(self.norm_2(x), self.conv_2)
            return x + self.mlp(y), cache

    for block in variant.model.blocks:
        del block.c_fc, block.c_proj
        block.__class__, block.mlp = Block, mlp(variant.config["n_embd"])


def gelu(variant: Variant) -> None:
    exchange_mlp(
        variant,
        lambda C: torch.nn.Sequential(linear(C, 4 * C), torch.nn.GELU(), linear(4 * C, C)),
    )


def swiglu(variant: Variant) -> None:
    class SwiGLU(torch.nn.Module):
        """As many weights as two layers of 4 C. https://arxiv.org/abs/2002.05202"""

        def __init__(self, C):
            super().__init__()
            hidden = 8 * C // 3
            self.c_fc, self.c_proj = linear(C, 2 * hidden), linear(hidden, C)

        def forward(self, x):
            values, gates = self.c_fc(x).chunk(2, dim=-1)
            return self.c_proj(values * F.silu(gates))

    exchange_mlp(variant, SwiGLU)


def three_matrices(variant: Variant) -> None:
    class SideBySide(torch.nn.ModuleList):
        def forward(self, x):
            return torch.cat([layer(x) for layer in self], dim=-1)

    C = variant.config["n_embd"]
    for block in variant.model.blocks:
        block.attn.c_attn = SideBySide(linear(C, C) for _ in range(3))


def weight_tying(variant: Variant) -> None:
    variant.model.head.weight = variant.model.wte.weight


def adamw(variant: Variant) -> list:
    """At the best of the learning rates 0.002, 0.004 and 0.008."""
    how = {"lr": 0.002, "betas": (0.9, 0.99), "weight_decay": 0.1, "fused": True}
    return [WarmedUp(variant.model.parameters(), **how)]


def lstm(variant: Variant) -> list:
    """Chapter 11's model, its Adam and its batches of 16, with these windows."""
    variant.model = variant.chapter.RNN.CharLSTM(variant.model.wte.num_embeddings)
    variant.config["batch_size"] = 16
    return [torch.optim.Adam(variant.model.parameters(), lr=0.005, betas=(0.9, 0.99))]


ROWS = {
    "chapter 12, --size tiny": lambda variant: None,
    "learned instead of rotary positions": learned_positions,
    "no QK-norm": no_qk_norm,
    "without the convolution": no_convolution,
    "LayerNorm instead of RMSNorm": layer_norm,
    "GELU instead of squared ReLU": gelu,
    "SwiGLU instead of squared ReLU": swiglu,
    "weight tying": weight_tying,
    "queries, keys, values as three matrices": three_matrices,
    "AdamW instead of Muon and Adam": adamw,
    "chapter 11's LSTM": lstm,
}


def main(rounds: int = 12, iterations: int = 200) -> None:
    """Print the table; `iterations` are the first row's."""
    choose_while_training()
    chapter = chapters.load(ROOT / "12_small_llm.py")
    RNN, T = chapter.RNN, chapter.SIZES["tiny"]["block_size"]
    text = read_texts([], 0)
    vocabulary, tenth = RNN.make_vocabulary(text), len(text) // 10
    ids = RNN.encode(text, vocabulary)
    train_ids, val_ids = ids[:-tenth], ids[-tenth:]
    unseen = RNN.unseen_windows(text[:-tenth], text[-tenth:], T)

    seconds = {name: [] for name in ROWS}
    variants = {name: Variant(change, len(vocabulary)) for name, change in ROWS.items()}
    for turn in range(rounds + 1):
        for name, variant in variants.items():
            start = time.perf_counter()
            variant.train(train_ids, 4)
            if turn > 0:  # the first is slower
                seconds[name].append((time.perf_counter() - start) / 4)
    each = {name: statistics.median(values) for name, values in seconds.items()}
    budget = iterations * next(iter(each.values()))

    print(f"{'':42} ms/iteration  iterations  val loss")
    for name, change in ROWS.items():
        variant = Variant(change, len(vocabulary))
        count = round(budget / each[name])
        torch.manual_seed(0)
        variant.train(train_ids, count)
        loss = RNN.evaluate(variant.model, val_ids, unseen, T)
        print(f"{name:42} {1000 * each[name]:12.1f}  {count:10}  {loss:8.4f}", flush=True)


if __name__ == "__main__":
    main()
