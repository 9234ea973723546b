"""What each part of chapter 12's model is worth: the loss without it, after the same seconds.

    python docs/llm_parts.py     a bit more than three minutes on two cores

Each row changes one thing in the model of --size tiny. The rows first take turns, to measure what
an iteration takes; then each trains for as many iterations as fit into the first row's time.
"""

import contextlib
import dataclasses
import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from common import chapter as chapters  # noqa: E402


class LearnedPositions(torch.nn.Module):
    """Token embedding plus an embedding of each position: (B, T) -> (B, T, C)."""

    def __init__(self, tokens: torch.nn.Embedding, block_size: int):
        super().__init__()
        self.tokens = tokens
        self.positions = torch.nn.Embedding(block_size, tokens.embedding_dim)
        torch.nn.init.normal_(self.positions.weight, std=0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tokens(x) + self.positions.weight[: x.shape[1]]


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

    def __init__(self, exchange: Callable, config: object, vocabulary_size: int):
        self.chapter = chapters.load(ROOT / "12_small_llm.py")  # its own, so it may be changed
        self.config = config
        torch.manual_seed(0)
        self.model = self.chapter.GPT(vocabulary_size, config)
        exchange(self)
        self.optimizers = self.chapter.make_optimizers(self.model, config.lr)

    def train(self, ids: torch.Tensor, iterations: int) -> None:
        """Train from the state that the model is in."""
        config = dataclasses.replace(self.config, max_iters=iterations)
        with contextlib.redirect_stdout(io.StringIO()):  # its lines would interrupt the table
            self.chapter.train(self.model, self.optimizers, ids, config)


def learned_positions(variant: Variant) -> None:
    variant.chapter.rotate = lambda x, start=0: x
    variant.model.wte = LearnedPositions(variant.model.wte, variant.config.block_size)


def no_qk_norm(variant: Variant) -> None:
    for block in variant.model.blocks:
        block.attn.qk_norm = torch.nn.Identity()


def layer_norm(variant: Variant) -> None:
    C = variant.config.n_embd
    for block in variant.model.blocks:
        block.norm_1, block.norm_2 = (torch.nn.LayerNorm(C, bias=False) for _ in range(2))
    variant.model.norm = torch.nn.LayerNorm(C, bias=False)


def gelu(variant: Variant) -> None:
    C = variant.config.n_embd
    for block in variant.model.blocks:
        layers = [torch.nn.Linear(C, 4 * C, bias=False), torch.nn.Linear(4 * C, C, bias=False)]
        for layer in layers:
            torch.nn.init.normal_(layer.weight, std=0.02)
        block.mlp = torch.nn.Sequential(layers[0], torch.nn.GELU(), layers[1])


def weight_tying(variant: Variant) -> None:
    variant.model.head.weight = variant.model.wte.weight


def adamw(variant: Variant) -> None:
    """At the best of the learning rates 0.002, 0.004 and 0.008."""
    how = {"lr": 0.002, "betas": (0.9, 0.99), "weight_decay": 0.1, "fused": True}
    variant.chapter.make_optimizers = lambda model, lr: [WarmedUp(model.parameters(), **how)]


ROWS = {
    "chapter 12, --size tiny": lambda variant: None,
    "learned instead of rotary positions": learned_positions,
    "no QK-norm": no_qk_norm,
    "LayerNorm instead of RMSNorm": layer_norm,
    "two layers with GELU instead of SwiGLU": gelu,
    "weight tying": weight_tying,
    "AdamW instead of Muon and Adam": adamw,
}


def main(rounds: int = 12, iterations: int = 260) -> None:
    """Print the table; `iterations` are the first row's."""
    chapter = chapters.load(ROOT / "12_small_llm.py")
    config = chapter.SIZES["tiny"]
    text = "\n".join(topics.values())
    vocabulary = chapter.make_vocabulary(text)
    train_text, val_text = chapter.split(text, config.block_size)
    train_ids, val_ids = (chapter.encode(part, vocabulary) for part in (train_text, val_text))
    unseen = chapter.unseen_windows(train_text, val_text, config.block_size)

    seconds = {name: [] for name in ROWS}
    variants = {name: Variant(change, config, len(vocabulary)) for name, change in ROWS.items()}
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
        variant = Variant(change, config, len(vocabulary))
        count = round(budget / each[name])
        torch.manual_seed(0)
        variant.train(train_ids, count)
        loss = chapter.evaluate(variant.model, val_ids, unseen, config.block_size)
        print(f"{name:42} {1000 * each[name]:12.1f}  {count:10}  {loss:8.4f}", flush=True)


if __name__ == "__main__":
    main()
