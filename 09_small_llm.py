# %%
"""Chapter 9 · A small language model: a GPT that learns to write · 实现一个小的LLM

You will learn how text becomes numbers, what a language model predicts, attention (by hand, then
with torch's function), the blocks of a GPT, AdamW with a learning rate that warms up and falls,
and how text is written with what was learned, character by character. The default text is
Python's own language reference, which every Python has on board.

    python 09_small_llm.py                               train, two minutes on two cores
    python 09_small_llm.py --prompt "The with statement" write on from there with what was learned
    python 09_small_llm.py --text novel.txt notes.md     learn from your own texts, in any language
    python 09_small_llm.py --resume --iterations 4000    train on, until 4,000 are reached
    python 09_small_llm.py --size tiny                   the size that nanoGPT suggests for a CPU
    torchrun --nproc-per-node 2 09_small_llm.py          two processes, or GPUs, share each batch

The last lines of a run:

    Figure:     outputs/09_small_llm.png
    Held-out loss: 1.… nats per character (perplexity ….…)
"""

import argparse
import dataclasses
import math
import os
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from common import cli, files, plotting, training
from common.data import read_texts
from common.device import pick_device
from common.progress import History, Progress, leave_if_stopped


# %% Settings
@dataclasses.dataclass(frozen=True)
class Settings:
    """The model's size, and how it is trained."""

    layers: int
    heads: int  # per layer; each gets width / heads numbers per character
    width: int  # numbers per character: C in the shapes below
    context: int  # characters that the model sees: the longest T
    batch_size: int
    iterations: int
    lr: float
    dropout: float = 0.0


SIZES = {
    # nanoGPT's setting for a CPU, to compare with
    "tiny": Settings(4, 4, 128, 64, batch_size=12, iterations=2000, lr=1e-3),
    # the lowest loss on the held-out text after two minutes on two cores
    "small": Settings(4, 4, 96, 128, batch_size=6, iterations=2800, lr=4e-3),
    # for a GPU, and a text of a million characters
    "medium": Settings(6, 6, 384, 256, batch_size=64, iterations=5000, lr=1e-3, dropout=0.2),
    # for a GPU with 8 GB (reckoned, not measured), and a text of many millions
    "large": Settings(12, 12, 768, 512, batch_size=16, iterations=10000, lr=4e-4, dropout=0.2),
}


# %% Text to numbers, and back
def make_vocabulary(text: str) -> str:
    """Every character of the text once, in order; a character's number is its place in here."""
    return "".join(sorted(set(text)))


def encode(text: str, vocabulary: str) -> torch.Tensor:
    """Characters to numbers, (N,). Raises UserError for a character that has none."""
    numbers = {character: number for number, character in enumerate(vocabulary)}
    unknown = sorted(set(text) - set(numbers))
    if unknown:
        raise cli.UserError(
            f"the text that was learned from has no {' '.join(map(repr, unknown[:10]))}, "
            "so the model can't read that. Leave it out, or train on a text that has it."
        )
    return torch.tensor([numbers[character] for character in text], dtype=torch.int64)


def decode(codes: torch.Tensor, vocabulary: str) -> str:
    """Numbers (N,) back to characters."""
    return "".join(vocabulary[code] for code in codes.tolist())


def split(codes: torch.Tensor, context: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All but the last tenth, to learn from; and that tenth, held out to test with."""
    held_out = len(codes) // 10
    if held_out <= context:
        raise cli.UserError(
            f"the text has {len(codes):,} characters, too few: a tenth of it must be more than "
            f"the {context} that the model sees at once. Give a longer text, or more, to --text."
        )
    return codes[:-held_out], codes[-held_out:]


# %% Batches
def cut_windows(
    codes: torch.Tensor, starts: torch.Tensor, context: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (N,), starts (B,) -> x and y, both (B, T): y is what follows each character of x."""
    places = starts[:, None] + torch.arange(context + 1, device=codes.device)  # (B, T + 1)
    windows = codes[places]  # all windows at once
    return windows[:, :-1], windows[:, 1:]


def draw_batch(
    codes: torch.Tensor, settings: Settings, rank: int = 0, processes: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows that begin anywhere: x and y (B, T). Of several processes, each takes its share."""
    starts = torch.randint(len(codes) - settings.context, (settings.batch_size,))
    starts = starts[rank::processes].to(codes.device)
    return cut_windows(codes, starts, settings.context)


# %% The stupidest model: a bigram table
class Bigram(torch.nn.Module):
    """Looks at one character, and knows how often each other one followed it in the text."""

    def __init__(self, codes: torch.Tensor, vocabulary_size: int):
        super().__init__()
        pairs = vocabulary_size * codes[:-1] + codes[1:]  # a number for each pair of characters
        counts = torch.bincount(pairs, minlength=vocabulary_size**2) + 1  # 1: nothing's impossible
        counts = counts.view(vocabulary_size, vocabulary_size).float()  # (V, V)
        self.register_buffer("table", (counts / counts.sum(dim=1, keepdim=True)).log())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, V), the logarithms of the probabilities of what comes next."""
        return self.table[x]


def cross_entropy(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Chapter 7's, at every place of every window: (B, T, V), (B, T) -> scalar, in nats."""
    return F.cross_entropy(logits.flatten(0, 1), y.flatten())


# %% Attention
def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries, keys, values (…, T, D) -> weighted sums of the values (…, T, D), weights (…, T, T).

    Each place asks a question, its query, and compares it with the keys of all places up to its
    own: the better they fit, the more of that place's value it takes.
    """
    T, D = q.shape[-2:]
    scores = q @ k.transpose(-2, -1) / math.sqrt(D)  # (…, T, T): row asks, column answers;
    # the root keeps them about as large whatever D is
    future = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(diagonal=1)
    scores = scores.masked_fill(future, -math.inf)  # or it would read what it is to predict
    weights = scores.softmax(dim=-1)  # each row adds up to 1
    return weights @ v, weights


class CausalSelfAttention(torch.nn.Module):
    """Attention with several heads, each looking for something else: (B, T, C) -> (B, T, C)."""

    def __init__(self, settings: Settings):
        super().__init__()
        self.heads, self.dropout = settings.heads, settings.dropout
        self.qkv = torch.nn.Linear(settings.width, 3 * settings.width, bias=False)
        self.out = torch.nn.Linear(settings.width, settings.width, bias=False)

    def split_heads(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Each head's queries, keys and values, all in one product: (B, T, C) -> 3 (B, H, T, D)."""
        B, T, C = x.shape
        q, k, v = self.qkv(x).split(C, dim=-1)  # (B, T, C) each
        return tuple(part.view(B, T, self.heads, -1).transpose(1, 2) for part in (q, k, v))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, C) -> (B, T, C), with torch's own attention: the same, but faster."""
        q, k, v = self.split_heads(x)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        return self.out(y.transpose(1, 2).flatten(2))  # the heads side by side again


# %% The GPT
class MLP(torch.nn.Module):
    """What each place makes of what it has gathered, by itself: (B, T, C) -> (B, T, C)."""

    def __init__(self, settings: Settings):
        super().__init__()
        self.linear = torch.nn.Linear(settings.width, 4 * settings.width, bias=False)
        self.gelu = torch.nn.GELU()  # ReLU with a round corner
        self.out = torch.nn.Linear(4 * settings.width, settings.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, C) -> (B, T, C), four times as wide in between."""
        return self.out(self.gelu(self.linear(x)))


class Block(torch.nn.Module):
    """Look around, then think; what comes out is added to what came in."""

    def __init__(self, settings: Settings):
        super().__init__()
        self.norm1 = torch.nn.LayerNorm(settings.width, bias=False)
        self.attention = CausalSelfAttention(settings)
        self.norm2 = torch.nn.LayerNorm(settings.width, bias=False)
        self.mlp = MLP(settings)
        self.dropout = torch.nn.Dropout(settings.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, C) -> (B, T, C). Norms stand before the work: the sum itself flows through."""
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.mlp(self.norm2(x)))


class GPT(torch.nn.Module):
    """Codes (B, T) -> scores of what comes next, at every place: (B, T, V)."""

    def __init__(self, vocabulary_size: int, settings: Settings):
        super().__init__()
        self.tokens = torch.nn.Embedding(vocabulary_size, settings.width)  # what it is
        self.positions = torch.nn.Embedding(settings.context, settings.width)  # where it is
        self.dropout = torch.nn.Dropout(settings.dropout)
        self.blocks = torch.nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = torch.nn.LayerNorm(settings.width, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:  # small, so that at first every character is as likely
                # Each block adds two outputs to the sum; with many blocks it would grow.
                outputs = 2 * settings.layers if name.endswith("out.weight") else 1
                torch.nn.init.normal_(parameter, std=0.02 / math.sqrt(outputs))

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """What each character is plus where it stands, as numbers to learn: (B, T) -> (B, T, C)."""
        return self.dropout(self.tokens(x) + self.positions.weight[: x.shape[1]])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, V). The head is the table of characters again: one table, two uses."""
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)


def attention_weights(model: GPT, codes: torch.Tensor) -> torch.Tensor:
    """Where each place of a text (T,) looks, in each head of each layer: (L, H, T, T)."""
    model.eval()
    weights = []
    with torch.no_grad():
        x = model.embed(codes[None])
        for block in model.blocks:
            weights.append(attention(*block.attention.split_heads(block.norm1(x)))[1][0])
            x = block(x)
    return torch.stack(weights)


# %% Optimizer, and a learning rate that changes
def make_optimizer(model: torch.nn.Module, lr: float) -> torch.optim.AdamW:
    """AdamW: Adam with weight decay, the W; in each step the matrices, not the norms, shrink a bit.

    Adam divides each gradient by its usual size, so that all parameters move about as fast.
    """
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    fused = parameters[0].device.type in ("cpu", "cuda", "mps", "xpu")  # in one go
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.99), fused=fused)


def learning_rate(iteration: int, settings: Settings) -> float:
    """Up in a straight line, then down to a tenth, along half a wave of the cosine."""
    warm_up = min(100, settings.iterations // 10)
    if iteration < warm_up:
        return settings.lr * (iteration + 1) / (warm_up + 1)
    done = (iteration - warm_up) / (settings.iterations - warm_up)  # 0 to 1
    return settings.lr * (0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2)


# %% Train
def train(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    codes: torch.Tensor,
    settings: Settings,
    look: Callable[[int], dict[str, float]],
    first: int = 0,
    rank: int = 0,
    processes: int = 1,
) -> History:
    """Train from iteration `first` on. `look` is called about ten times, and at the end.

    The history holds what it returns and, as "loss", the mean loss of the batches since the last
    call.
    """
    kind = codes.device.type
    fast = kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    bf16 = torch.autocast(kind, torch.bfloat16, enabled=fast)
    every = max(1, settings.iterations // 10)
    loss_sum, batches = torch.zeros((), device=codes.device), 0
    with Progress(settings.iterations, 1, unit="iteration", done=first) as progress:
        for i in progress.batches(range(first, settings.iterations)):
            x, y = draw_batch(codes, settings, rank, processes)
            model.train()
            with bf16:
                loss = cross_entropy(model(x), y)
            loss_sum += loss.detach()
            batches += 1
            if i % every == 0 and (i == 0 or first < i < settings.iterations - 1):
                mean = loss_sum.item() / batches
                progress.end_epoch(loss=mean, **look(i))
                loss_sum, batches = torch.zeros_like(loss_sum), 0

            for group in optimizer.param_groups:
                group["lr"] = learning_rate(i, settings)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # no step is a leap
            optimizer.step()
            progress.show(loss.detach(), 1)
        if batches:  # none, if Ctrl-C came in the iteration of a look
            mean = loss_sum.item() / batches
        progress.end_epoch(loss=mean, **look(i + 1))
    return progress.history


def evaluate(model: torch.nn.Module, codes: torch.Tensor, context: int) -> float:
    """The mean loss over a text (N,), cut into windows side by side: nats per character."""
    model.eval()
    starts = torch.arange(0, len(codes) - context, context, device=codes.device)
    losses = []
    with torch.no_grad():
        for part in starts.split(32):
            x, y = cut_windows(codes, part, context)
            losses.append(cross_entropy(model(x), y) * len(part))
    return torch.stack(losses).sum().item() / len(starts)


# %% Write text
def generate(
    model: torch.nn.Module,
    codes: torch.Tensor,
    length: int,
    context: int,
    temperature: float = 0.8,
    top_k: int | None = None,
    seed: int = 0,
) -> torch.Tensor:
    """Write on, one character after the other: (N,) -> (N + length,).

    Below 1 the temperature makes the likely likelier, above 1 bolder; top_k keeps the k likeliest.
    """
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _ in range(length):
            logits = model(codes[None, -context:])[0, -1].float().cpu() / temperature  # (V,)
            if top_k is not None:
                lowest = logits.topk(min(top_k, len(logits))).values[-1]
                logits = logits.masked_fill(logits < lowest, -math.inf)
            drawn = torch.multinomial(logits.softmax(dim=0), 1, generator=generator)  # (1,)
            codes = torch.cat([codes, drawn.to(codes.device)])
    return codes


# %% Several processes: each takes a share of every batch
def join_processes(device: str) -> tuple[int, int]:
    """This process's number, and how many torchrun has started; 0 and 1 without torchrun.

    Number 0 alone speaks. Each has a GPU of its own where there are GPUs, unless `device` is cpu.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0, 1
    if device == "auto" and not torch.cuda.is_available():
        device = "cpu"
    if device == "cpu":
        torch.distributed.init_process_group("gloo")
    else:
        number, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if device not in ("auto", "cuda") or number >= gpus:
            raise cli.UserError(
                f"torchrun shares out the GPUs, and there are {gpus}: choose --device cpu or cuda, "
                "and no more processes than GPUs."
            )
        torch.cuda.set_device(number)  # what "cuda" means from here on
        torch.distributed.init_process_group("nccl")
    rank = torch.distributed.get_rank()
    if rank > 0:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115, for good
    return rank, torch.distributed.get_world_size()


def compiled(model: GPT, codes: torch.Tensor) -> torch.nn.Module:
    """The model with its forward translated by torch.compile: it is tried on a text (T,).

    Raises UserError where that doesn't work, for want of a compiler for C++, say.
    """
    translated = torch.compile(model)
    try:
        translated(codes[None]).sum().backward()
    except Exception as error:  # it has many ways to fail
        reason = cli.first_line(error)
        raise cli.UserError(f"--compile does not work here: {reason}. Leave it out.") from None
    model.zero_grad()
    return translated


# %% Draw what it learned
def clearest_head(weights: torch.Tensor) -> tuple[int, int]:
    """The layer and head, of (L, H, T, T), that looks back at few places, and not just one back."""
    T = weights.shape[-1]
    back = torch.arange(T)[:, None] - torch.arange(T)  # (T, T) how far a place lies back
    far = weights * ((back > 1) & (torch.arange(T) > 0))
    sharpness = far[:, :, T // 4 :].max(dim=-1).values.mean(dim=-1)  # (L, H)
    return divmod(sharpness.argmax().item(), weights.shape[1])


def draw(
    history: History, uniform: float, bigram: float, line: str, weights: torch.Tensor, show: bool
):
    """The figure: the losses, and where one head looks in a line of text, (L, H, T, T)."""
    fig = plotting.figure(10, 5, show)
    losses, looks = fig.subplots(1, 2, width_ratios=[1, 1])
    ends = history["iteration"]
    middles = [(a + b) / 2 for a, b in zip([0, *ends], ends, strict=False)]  # each loss is a mean
    losses.plot(middles, history["loss"], "o-", color=plotting.BLUE, label="training")
    style = {"color": plotting.ORANGE, "label": "held out"}
    losses.plot(ends, history["held-out loss"], "o-", **style)
    for value, name in [(uniform, "blind guessing"), (bigram, "bigram table")]:
        losses.axhline(value, color="black", lw=1, ls=":")
        losses.text(ends[-1], value, f"{name}: {value:.2f}", ha="right", va="bottom")
    losses.set(title="It learns to write", xlabel="iteration")
    losses.set_ylabel("cross entropy (nats per character)")
    losses.set_ylim(0, None)
    losses.legend()

    layer, head = clearest_head(weights)
    looks.imshow(weights[layer, head].numpy(), cmap="Blues")
    labels = plotting.visible(line)
    places = range(len(line))
    looks.set_xticks(places, labels, fontfamily="monospace", fontsize=8)
    looks.set_yticks(places, labels, fontfamily="monospace", fontsize=8)
    looks.set(xlabel="looks at", ylabel="character")
    looks.set_title(f"Where head {head + 1} of layer {layer + 1} looks")
    looks.grid(False)
    looks.tick_params(length=0)
    return fig


def pick_line(text: str, context: int) -> str:
    """A line of the text to show attention on: the first with enough words, not too long."""
    longest = min(40, context)
    for line in text.split("\n")[1:]:
        if longest // 2 <= len(line.strip()) <= longest and line.strip().count(" ") >= 3:
            return line.strip()
    return text[:longest]


# %% Run the chapter
def model_for(path: Path) -> tuple[GPT, str, Settings]:
    """A model into which the checkpoint's parameters fit, its vocabulary and its settings."""
    saved = training.read_checkpoint(path)
    try:
        settings, vocabulary = Settings(**saved["settings"]), saved["vocabulary"]
        model = GPT(len(vocabulary), settings)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise cli.UserError(
            f"{path} is no checkpoint of this chapter ({type(error).__name__}). "
            "Delete it and train again, or choose another --output-dir."
        ) from None
    return model, vocabulary, settings


def prepare(
    args: argparse.Namespace, text: str, checkpoint: Path, device: torch.device
) -> tuple[GPT, torch.optim.Optimizer, str, Settings, History]:
    """Model, optimizer, vocabulary, settings, and the history so far: fresh, or to be resumed."""
    vocabulary = make_vocabulary(text)
    chosen = {name: vars(args)[name] for name in ("iterations", "batch_size", "lr") if name in args}
    if not args.resume:
        settings = dataclasses.replace(SIZES[getattr(args, "size", "small")], **chosen)
        model = GPT(len(vocabulary), settings).to(device)
        return model, make_optimizer(model, settings.lr), vocabulary, settings, {}

    if "size" in args:
        raise cli.UserError("--resume goes on with the checkpoint's --size: leave it out.")
    model, learned, settings = model_for(checkpoint)
    if learned != vocabulary:
        raise cli.UserError(
            f"{checkpoint} was trained on a text with other characters. "
            "Give the same --text again, or train anew, without --resume."
        )
    settings = dataclasses.replace(settings, **chosen)
    optimizer = make_optimizer(model.to(device), settings.lr)
    history = training.load_checkpoint(checkpoint, model, optimizer)
    done = int(history["iteration"][-1])
    if done >= settings.iterations:
        raise cli.UserError(
            f"{checkpoint} has its {done} iterations behind it. "
            f"To train on, say how many there are to be in all: --iterations {2 * done}"
        )
    return model, optimizer, vocabulary, settings, history


def write(model: GPT, vocabulary: str, prompt: str, length: int, args: argparse.Namespace) -> str:
    """The prompt, and what the model writes on from there."""
    table = model.positions.weight  # (longest context, C)
    codes = encode(prompt, vocabulary).to(table.device)
    how = args.temperature, args.top_k, args.seed
    return decode(generate(model, codes, length, len(table), *how), vocabulary)


def indented(text: str) -> str:
    """The text with a margin, to tell it from what the chapter says."""
    return textwrap.indent(text, "   | ", lambda line: True)


def make_parser() -> argparse.ArgumentParser:
    """The command line. What is not given of size, iterations, … is not among the arguments."""
    parser = cli.parser(__doc__, device=True)
    parser.add_argument(
        "--text",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="learn from these files (default: Python's language reference)",
    )
    unset = {"default": argparse.SUPPRESS}
    sizes = "of the model and its training (default: small)"
    parser.add_argument("--size", choices=SIZES, help=sizes, **unset)
    for name, kind, what in [
        ("--iterations", cli.positive_int, "updates in all, earlier ones included"),
        ("--batch-size", cli.positive_int, "windows per update"),
        ("--lr", cli.positive_float, "highest learning rate"),
    ]:
        parser.add_argument(name, type=kind, help=f"{what} (default: the size's)", **unset)
    parser.add_argument("--compile", action="store_true", help="train with torch.compile")
    job = parser.add_mutually_exclusive_group()
    job.add_argument("--resume", action="store_true", help="train on from the checkpoint")
    job.add_argument("--prompt", metavar="TEXT", help="only write on from this text")
    parser.add_argument("--length", type=cli.positive_int, default=500, help="characters to write")
    parser.add_argument(
        "--temperature", type=cli.positive_float, default=0.8, help="below 1 careful, above 1 bold"
    )
    parser.add_argument(
        "--top-k", type=cli.positive_int, metavar="K", help="choose among the K likeliest only"
    )
    return parser


@cli.command
def main(argv=None):
    """Returns the trained model, its vocabulary and its history; with --prompt, the text."""
    args = make_parser().parse_args(argv)
    rank, processes = join_processes(args.device)
    shared = processes > 1 and not torch.cuda.is_available()  # only CPU and CUDA can share
    device, about_device = pick_device("cpu" if shared else args.device)
    checkpoint = args.output_dir / "09_small_llm.pt"
    if args.prompt is not None:
        model, vocabulary, settings = model_for(checkpoint)
        training.load_checkpoint(checkpoint, model)
        text = write(model.to(device), vocabulary, args.prompt or vocabulary[0], args.length, args)
        print(text)
        return text

    files.output_folder(args.output_dir)
    paths = cli.expand(args.text)
    text = read_texts(paths) if paths else "\n".join(topics.values())
    torch.manual_seed(args.seed)
    model, optimizer, vocabulary, settings, history = prepare(args, text, checkpoint, device)
    first = int(history["iteration"][-1]) if history else 0
    if settings.batch_size % processes:
        raise cli.UserError(
            f"a batch of {settings.batch_size} can't be shared evenly by {processes} processes. "
            "Choose another --batch-size."
        )
    codes = encode(text, vocabulary).to(device)
    learn, held_out = split(codes, settings.context)
    tested = held_out[:100_000]  # of a long text, more would take longer and tell the same
    step = cli.begin(__doc__, args.step and rank == 0)
    print(f"Device: {about_device}" + (f", {processes} processes" if processes > 1 else ""))

    step("Characters become numbers")
    print(f"   {len(text):,} characters, {len(vocabulary)} different ones")
    print(f"   {text[:12]!r} becomes {codes[:12].tolist()}")
    print(f"   to learn from: {len(learn):,}; held out, to test with: {len(held_out):,}")
    x, y = cut_windows(codes, torch.tensor([0], device=device), 8)
    print(f"   a window:        x = {decode(x[0], vocabulary)!r}")
    print(f"   to be predicted: y = {decode(y[0], vocabulary)!r}, each from what stands before it")

    step("The stupidest model: which character follows which, counted")
    uniform = math.log(len(vocabulary))
    bigram = Bigram(learn.cpu(), len(vocabulary))
    bigram_loss = evaluate(bigram, tested.cpu(), settings.context)
    babble = generate(bigram, codes[:1].cpu(), 150, settings.context, seed=args.seed)
    print(f"   blind guessing:   loss {uniform:.4f} nats per character, ln({len(vocabulary)})")
    print(f"   the bigram table: loss {bigram_loss:.4f}, and writes")
    print(indented(decode(babble, vocabulary)))

    step("Attention: each place looks at those before it, and at itself")
    q, k, v = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(args.seed))
    y, weights = attention(q, k, v)
    for row in weights:
        print(f"   {cli.numbers(row)}")
    torchs = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
    print(f"   at most {(y - torchs).abs().max():.0e} from torch's scaled_dot_product_attention")

    step("The GPT")
    s = settings
    print(f"   {s.layers} layers, {s.heads} heads, width {s.width}, context {s.context}")
    print(f"   {sum(parameter.numel() for parameter in model.parameters()):,} numbers to learn")
    if history:
        print(f"   as trained for {first:,} iterations so far")
    else:
        loss = evaluate(model, held_out[: 64 * s.context + 1], s.context)
        print(f"   loss before training: {loss:.2f}; blind guessing has {uniform:.2f}")

    windows = f"{s.batch_size} windows of {s.context}"
    step(f"Train for {s.iterations - first:,} iterations, each on {windows} characters")
    samples, seconds_looking = {}, 0.0

    def look(i: int) -> dict[str, float]:
        nonlocal seconds_looking
        start = time.perf_counter()
        midway = i >= s.iterations / 2 and not any(i > 0 for i in samples)
        if i == 0 or midway:
            samples[i] = write(model, vocabulary, text[0], 150, args)
        held_out_loss = evaluate(model, tested, s.context)
        seconds_looking += time.perf_counter() - start
        return {"held-out loss": held_out_loss}

    learner = compiled(model, learn[: s.context]) if args.compile else model
    if processes > 1:
        learner = DistributedDataParallel(learner)
    start = time.perf_counter()
    share = rank, processes
    look = look if rank == 0 else lambda i: {}
    new = train(learner, optimizer, learn, settings, look, first, *share)
    seconds = time.perf_counter() - start - seconds_looking
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    if rank > 0:
        return model, vocabulary, new
    history = {name: history.get(name, []) + values for name, values in new.items()}
    more = {"settings": dataclasses.asdict(settings), "vocabulary": vocabulary}
    training.save_checkpoint(checkpoint, model, optimizer, history, **more)
    done = int(history["iteration"][-1])
    tokens = (done - first) * s.batch_size * s.context
    speed = f"{tokens / seconds:,.0f} per second"
    print(f"   {tokens:,} characters seen in {seconds:.0f} s of training: {speed}")
    print(f"Checkpoint: {cli.path_for_people(checkpoint)}")

    step("What was learned, and what it writes")
    samples[done] = write(model, vocabulary, text[0], args.length, args)
    for iterations, sample in samples.items():
        print(f"   after {iterations:,} iterations")
        print(indented(sample))
    line = pick_line(decode(held_out, vocabulary), s.context)
    weights = attention_weights(model, encode(line, vocabulary).to(device)).cpu()
    fig = draw(history, uniform, bigram_loss, line, weights, args.show)
    plotting.finish(fig, checkpoint.with_suffix(".png"), args.show)
    loss = history["held-out loss"][-1]
    print(f"Held-out loss: {loss:.4f} nats per character (perplexity {math.exp(loss):.2f})")
    leave_if_stopped(history, settings.iterations, "iteration")
    return model, vocabulary, history


if __name__ == "__main__":
    main()
