# %% [markdown]
"""# Chapter 12 · A small language model · 实现一个小的LLM

The notes' third task, "let's try": a GPT made of the parts that the models of today have. You will
write self-attention, positions, heads, the blocks of a transformer and the optimizer Muon, train
the model on chapter 11's text, and see whether it beats chapter 11's LSTM.

    python 12_small_llm.py                               train, about two minutes on two cores
    python 12_small_llm.py --prompt "The with statement" continue the prompt with the trained model
    python 12_small_llm.py --text novel.txt notes.md     train on your own texts, in any language
    python 12_small_llm.py --resume --iterations 4000    continue training, up to 4,000 iterations
    python 12_small_llm.py --size tiny                   a small one: a quarter of the time

The last lines of a run:

    Figure:     outputs/12_small_llm.png
    Validation loss: 1.… nats per character (perplexity ….…)
"""

# %%
from common import chapter, cli, plotting

how = {"iterations": None, "lr": None, "batch_size": None, "length": 500, "temperature": 0.8}
parser = cli.parser(__doc__, text=[], **how, top_k=None, device="auto")
job = parser.add_mutually_exclusive_group()
job.add_argument("--size", choices=["tiny", "small"], default="small", help="(default: small)")
job.add_argument("--resume", action="store_true", help="continue training from the checkpoint")
job.add_argument("--prompt", metavar="TEXT", help="only continue this text")
args = chapter.begin(parser, only={"prompt": "continue_prompt"})

import hashlib
import math

import torch
import torch.nn.functional as F
from tqdm import tqdm

from common import training
from common.data import read_texts

RNN = chapter.load(cli.ROOT / "11_char_rnn.py")  # chapter 11's functions

# %% [markdown]
# ## Self-attention
#
# Chapter 11's LSTM squeezes all that it has read into one vector. In **self-attention** each
# position looks back by itself. It sends out a **query** $q$; each position up to and including its
# own offers a **key** $k$ and a **value** $v$, all of them vectors of $D$ numbers. The output is a
# weighted mean of the values, with the weights $softmax(q \cdot k / \sqrt{D})$. The **causal mask**
# excludes the later positions, or the model would see the token that it is to predict.
# Source: Vaswani and others, "Attention Is All You Need", https://arxiv.org/abs/1706.03762


# %%
def attention(q, k, v):
    """Queries, keys, values (…, T, D) -> weighted means (…, T, D) and the weights (…, T, T)."""
    T, D = q.shape[-2:]
    scores = q @ k.transpose(-2, -1) / math.sqrt(D)  # (…, T, T)
    later = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(diagonal=1)
    weights = scores.masked_fill(later, -math.inf).softmax(dim=-1)  # each row adds up to 1
    return weights @ v, weights


q, k, v = torch.randn(3, 4, 8)  # T = 4 positions, D = 8
y, weights = attention(q, k, v)
print(weights)  # row t: how much position t takes from each position
print(torch.allclose(y, F.scaled_dot_product_attention(q, k, v, is_causal=True)))  # torch's own

a, b = torch.randn(2, 10_000, 256)
print((a * b).sum(dim=1).std())  # products of D = 256 numbers: sqrt(256) = 16, hence the division

# %% [markdown]
# ## Positions
#
# A weighted mean knows no order: shuffle the earlier positions, and the output at the last one
# stays the same. (That holds for one layer. In the next one, the mask gives a hint: the first
# position has seen less than the second.) The simplest remedy is a second embedding, of the
# positions: a learned vector for position 0, 1, 2 and so on is added to the token's.

# %%
x = torch.randn(4, 8)
shuffled = x[[2, 0, 1, 3]]
print(torch.allclose(attention(x, x, x)[0][3], attention(shuffled, shuffled, shuffled)[0][3]))

wpe = torch.nn.Embedding(4, 8)  # a row for each position
a, b = x + wpe(torch.arange(4)), shuffled + wpe(torch.arange(4))
print(torch.allclose(attention(a, a, a)[0][3], attention(b, b, b)[0][3]))

# %% [markdown]
# ## Rotary position embeddings
#
# What counts is rather how far two tokens are apart. **Rotary position embeddings** (RoPE) turn
# queries and keys by an angle that grows with the position. Their $D$ numbers are taken as $D / 2$
# points in the plane, and at position $t$ point $i$ is turned by $t \cdot \theta_i$:
#
#          ^
#          |     * position 1
#          |    /
#          |   /  angle
#          |  /   theta
#       ---+---------* position 0 -->
#
# If a query at $t$ and a key at $s$ are both turned, their dot product depends on $t - s$ only. We
# take $\theta_i = 100^{-2i/D}$: the first point turns by 1 radian from token to token, the last by
# about a hundredth. (The paper has 10,000 instead of 100, for longer texts.)
# Source: Su and others, "RoFormer", https://arxiv.org/abs/2104.09864


# %%
def rotate(x, start=0, base=100.0):
    """Queries or keys (…, T, D) of the positions from `start` on, turned: (…, T, D)."""
    T, D = x.shape[-2:]
    positions = torch.arange(start, start + T, device=x.device)  # (T,)
    frequencies = base ** (-torch.arange(0, D, 2, device=x.device) / D)  # (D / 2,), radians
    angles = torch.outer(positions, frequencies)  # (T, D / 2)
    cos, sin = angles.cos(), angles.sin()
    a, b = x.chunk(2, dim=-1)  # the points (a, b)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


print(rotate(torch.tensor([[1.0, 0.0]]), start=1))  # one point, turned by 1 radian: cos 1, sin 1
q, k = torch.randn(2, 1, 8)
print((rotate(q, start=5) * rotate(k, start=2)).sum())
print((rotate(q, start=105) * rotate(k, start=102)).sum())  # as far apart: the same
print((rotate(q, start=5) * rotate(k, start=3)).sum())

# %% [markdown]
# ## Several heads
#
# One set of weights can look for one thing, such as the previous character. A layer therefore has
# several **heads**, with queries, keys and values of their own. They are linear functions of the
# layer's input, all computed by one layer, `c_attn`, and then cut up: with $C$ numbers for each
# token and $H$ heads, each head gets $D = C / H$. So the matrices are not larger than with a single
# head; only the weights, (T, T) for each head, cost $H$ times as much.

# %%
B, T, C, H = 2, 5, 8, 2
x = torch.randn(B, T, C)
c_attn = torch.nn.Linear(C, 3 * C, bias=False)
print(c_attn(x).shape)
q, k, v = c_attn(x).split(C, dim=-1)
print(q.shape)
q = q.view(B, T, H, C // H)  # the C numbers in H groups
print(q.shape)
q = q.transpose(1, 2)  # heads before positions: as if there were B times H texts
print(q.shape)

# %% [markdown]
# ## Normalized queries and keys
#
# **RMSNorm** divides a vector by the root of the mean of its squares, so that this mean becomes 1:
# only the direction is left. With queries and keys normalized (**QK-norm**), their products can't
# grow without bound, and no softmax gives all its weight to one position early on. The model learns
# much faster with it (docs/parts.md has the numbers). Sources: Zhang and Sennrich,
# https://arxiv.org/abs/1910.07467; Henry and others, https://arxiv.org/abs/2010.04245


# %%
class CausalSelfAttention(torch.nn.Module):
    """Several heads, and a last layer that mixes what they return: (B, T, C) -> (B, T, C)."""

    def __init__(self, config):
        super().__init__()
        C, self.n_head, self.block_size = config["n_embd"], config["n_head"], config["block_size"]
        self.c_attn = torch.nn.Linear(C, 3 * C, bias=False)
        self.norm = torch.nn.RMSNorm(C // self.n_head, elementwise_affine=False)
        self.c_proj = torch.nn.Linear(C, C, bias=False)

    def heads(self, x):
        """Normalized queries and keys, and values: (B, T, C) -> 3 times (B, H, T, D)."""
        B, T, C = x.shape
        q, k, v = self.c_attn(x).split(C, dim=-1)
        q, k, v = (part.view(B, T, self.n_head, -1).transpose(1, 2) for part in (q, k, v))
        return self.norm(q), self.norm(k), v

    def forward(self, x, cache=None):
        """(B, T, C) -> (B, T, C); and keys and values, which are the next call's cache."""
        q, k, v = self.heads(x)
        if cache is not None:  # explained below: the keys and values of earlier tokens
            k = torch.cat([cache[0], k], dim=2)[:, :, -self.block_size :]
            v = torch.cat([cache[1], v], dim=2)[:, :, -self.block_size :]
        q, turned = rotate(q, start=k.shape[2] - q.shape[2]), rotate(k)
        y = F.scaled_dot_product_attention(q, turned, v, is_causal=cache is None)
        return self.c_proj(y.transpose(1, 2).flatten(2)), (k, v)  # heads side by side again


norm = torch.nn.RMSNorm(4, elementwise_affine=False)
print(norm(torch.tensor([1.0, 1.0, 3.0, 5.0])))  # divided by 3

# %% [markdown]
# ## A block
#
# Attention collects; then an **MLP**, two linear layers for each position by itself, works on what
# was collected. Together they make a **transformer** block. Each adds its result to its input, the
# **residual connection** (chapter 10's exercise 3), and is given a normalized copy (**pre-norm**):
#
#     x ---+---------------------> + ---+---------------------> + ---> x
#          |                       ^    |                       ^
#          +--> norm -> attention -+    +--> norm -> MLP -------+
#
# Along the straight line the gradient reaches every block undiminished. The MLP is a **SwiGLU**:
# one half of the first layer's outputs multiplies the other, which went through SiLU,
# $z \cdot sigmoid(z)$. Source: Shazeer, https://arxiv.org/abs/2002.05202


# %%
class Block(torch.nn.Module):
    """Attention and an MLP, with pre-norm and residual connections: (B, T, C) -> (B, T, C)."""

    def __init__(self, config):
        super().__init__()
        C, hidden = config["n_embd"], 8 * config["n_embd"] // 3
        self.norm_1, self.norm_2 = torch.nn.RMSNorm(C), torch.nn.RMSNorm(C)
        self.attn = CausalSelfAttention(config)
        self.c_fc = torch.nn.Linear(C, 2 * hidden, bias=False)
        self.c_proj = torch.nn.Linear(hidden, C, bias=False)
        self.dropout = torch.nn.Dropout(config["dropout"])

    def forward(self, x, cache=None):
        y, cache = self.attn(self.norm_1(x), cache)
        x = x + self.dropout(y)
        values, gates = self.c_fc(self.norm_2(x)).chunk(2, dim=-1)
        x = x + self.dropout(self.c_proj(values * F.silu(gates)))
        return x, cache


# %% [markdown]
# ## The GPT
#
# Embeddings, blocks, and a last layer that gives logits. One part more: a character means little
# without its neighbours, so a convolution adds to each embedding a weighted sum of the last four.
# It is chapter 10's, in one dimension; `groups` gives each of the $C$ numbers a kernel of its own,
# and the three positions before the text are 0. `state` is explained with the text generation
# below. Before training, all tokens are about as probable: the loss is that of a uniform guess.


# %%
SIZES = {
    "tiny": {
        "n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "dropout": 0.0,
        "iterations": 260, "batch_size": 12, "lr": 0.008, "weight_decay": 0.1,
    },
    "small": {
        "n_layer": 4, "n_head": 4, "n_embd": 96, "block_size": 128, "dropout": 0.1,
        "iterations": 2300, "batch_size": 6, "lr": 0.008, "weight_decay": 0.4,
    },
}  # fmt: skip


class GPT(torch.nn.Module):
    """Token ids (B, T) -> logits of the next token at each position (B, T, V), and the state."""

    def __init__(self, vocabulary_size, config):
        super().__init__()
        C = config["n_embd"]
        self.wte = torch.nn.Embedding(vocabulary_size, C)
        self.conv = torch.nn.Conv1d(C, C, kernel_size=4, groups=C, bias=False)
        self.blocks = torch.nn.ModuleList(Block(config) for _ in range(config["n_layer"]))
        self.norm = torch.nn.RMSNorm(C)
        self.head = torch.nn.Linear(C, vocabulary_size, bias=False)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                torch.nn.init.normal_(parameter, std=0.02)
        torch.nn.init.zeros_(self.conv.weight)

    def forward(self, x, state=None):
        x = self.wte(x)  # (B, T, C)
        last = torch.zeros_like(x[:, :1]).expand(-1, 3, -1) if state is None else state[0]
        caches = [None] * len(self.blocks) if state is None else state[1]
        seen = torch.cat([last, x], dim=1)  # (B, 3 + T, C)
        x = x + self.conv(seen.mT).mT
        for i, block in enumerate(self.blocks):
            x, caches[i] = block(x, caches[i])
        return self.head(self.norm(x)), (seen[:, -3:], caches)


# %% [markdown]
# ## The text, and a first training with AdamW
#
# Text, vocabulary, windows and loss are chapter 11's. **AdamW** is Adam with **weight decay**: each
# step also pulls the weights a little towards 0, against overfitting. Here it trains a model for
# 100 iterations, at the best of several learning rates.


# %%
def update(model, optimizers, ids, config):
    """One iteration, with windows that start at random in the text (N,). Returns the loss."""
    starts = torch.randint(len(ids) - config["block_size"], (config["batch_size"],))
    x, y = RNN.windows(ids, starts, config["block_size"])
    model.train()
    logits, _ = model(x)
    loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
    model.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
    return loss.item()


device = args.device
checkpoint = args.output_dir / "12_small_llm.pt"
config = SIZES[args.size]
if args.resume:
    saved = training.read_checkpoint(checkpoint, "config", "text")
    config = saved["config"]
for name in ["iterations", "batch_size", "lr"]:
    config[name] = getattr(args, name) or config[name]

text = read_texts(args.text, 10 * config["block_size"] + 10)
text_hash = hashlib.sha256(text.encode()).hexdigest()
if args.resume and saved["text"] != text_hash:
    raise cli.UserError("--resume wants the text of the training: the same --text, in that order.")
vocabulary = RNN.make_vocabulary(text)
ids = RNN.encode(text, vocabulary).to(device)
tenth = len(text) // 10
train_ids, val_ids = ids[:-tenth], ids[-tenth:][:100_000]
unseen = RNN.unseen_windows(text[:-tenth], text[-tenth:][:100_000], config["block_size"])

model = GPT(len(vocabulary), config).to(device)
print(sum(parameter.numel() for parameter in model.parameters()), "parameters")
print(RNN.evaluate(model, val_ids, unseen, config["block_size"]), math.log(len(vocabulary)))
adamw = torch.optim.AdamW(model.parameters(), lr=0.002, weight_decay=0.1)
every = max(1, config["iterations"] // 10)
for _ in range(every):
    update(model, [adamw], train_ids, config)
print(RNN.evaluate(model, val_ids, unseen, config["block_size"]))

# %% [markdown]
# ## Muon
#
# Adam looks at each number by itself. **Muon** treats the weights of a linear layer as what they
# are, a matrix. Each matrix stretches some directions more than others; by how much, its **singular
# values** say. A gradient often has one large singular value and many small ones, so that a step
# mostly goes in one direction. Muon brings them all near 1: ...
# Sources: Jordan and others, https://kellerjordan.github.io/posts/muon/; for the step's size Liu
# and others, https://arxiv.org/abs/2502.16982


# %%
def orthogonalize(x):
    """A matrix with its singular values brought near 1, to 0.7 to 1.2."""
    if x.shape[0] > x.shape[1]:
        return orthogonalize(x.T).T  # the products below are then smaller
    x = x / (x.norm() + 1e-7)
    for _ in range(5):  # for each singular value s: s <- 3.4445 s - 4.775 s^3 + 2.0315 s^5
        square = x @ x.T
        x = 3.4445 * x + (2.0315 * square @ square - 4.775 * square) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized: for the matrices inside a network."""

    def __init__(self, parameters, lr, weight_decay):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        """Move every matrix by its orthogonalized mean gradient."""
        for group in self.param_groups:
            lr = group["lr"]
            for parameter in group["params"]:
                mean = self.state[parameter].setdefault("mean", torch.zeros_like(parameter))
                mean.lerp_(parameter.grad, 0.1)  # momentum 0.9
                update = orthogonalize(parameter.grad.lerp(mean, 0.9))  # Nesterov (chapter 10)
                step = lr * 0.2 * math.sqrt(max(parameter.shape))  # then as large as Adam's
                parameter.mul_(1 - lr * group["weight_decay"]).sub_(step * update)


def make_optimizers(model, config):
    """Muon for the matrices of the blocks; Adam, at 2.5 times the rate, for all others."""
    matrices = [p for p in model.blocks.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    adam = torch.optim.Adam(others, lr=2.5 * config["lr"], betas=(0.9, 0.99))
    return [Muon(matrices, config["lr"], config["weight_decay"]), adam]


gradient = torch.tensor([[1.0, 1.0], [1.0, 0.8]])
print(torch.linalg.svdvals(gradient))
print(orthogonalize(gradient))
print(torch.linalg.svdvals(orthogonalize(gradient)))
print(orthogonalize(torch.tensor([[1.0, 0.0], [0.0, 0.001]])))  # what is very small stays smaller

# %% [markdown]
# ## Training
#
# The same from the beginning, with a learning rate that falls to 0 along a straight line. Ctrl-C
# keeps what was learned, and `--resume` goes on from there: so the checkpoint holds the optimizers,
# the state of the random numbers, and a hash of the text. With another text, what was learned
# might stand in the validation set.

# %%
torch.manual_seed(args.seed)
model = GPT(len(vocabulary), config).to(device)
optimizers = make_optimizers(model, config)
done, history, losses = 0, [], []
if args.resume:
    done, history = saved["done"], training.load_checkpoint(checkpoint, model, *optimizers)
try:
    for i in tqdm(range(done, config["iterations"]), leave=False, disable=None):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * (1 - i / config["iterations"])
        losses.append(update(model, optimizers, train_ids, config))
        done = i + 1
        if done % every == 0:
            loss, losses = sum(losses) / len(losses), []
            val_loss = RNN.evaluate(model, val_ids, unseen, config["block_size"])
            history.append((done, loss, val_loss))
            print(f"Iteration {done}, Loss: {loss:.4f}, val loss: {val_loss:.4f}")
except KeyboardInterrupt:
    print("Stopped. What was learned so far is kept.")
more = {"config": config, "vocabulary": vocabulary, "text": text_hash, "done": done}
training.save_checkpoint(checkpoint, history, model, *optimizers, **more)

# %% [markdown]
# ## Generating with a cache
#
# To predict a token, the model needs the keys and values of all tokens before it. None of them
# changes when the text grows, since no position sees later ones. So a **KV cache** keeps them, and
# only the new token goes through the model. Its query still meets all $T$ keys. The cache is the
# GPT's state, as $(h, c)$ is the LSTM's, but it grows; here it holds the last `block_size` tokens.
# Chapter 11's `generate` works with both. The **prompt** is the beginning that the model continues.


# %%
def continue_prompt(args):
    """Print the continuation of --prompt by the checkpoint's model."""
    path = args.output_dir / "12_small_llm.pt"
    saved = training.read_checkpoint(path, "config", "vocabulary")
    config, vocabulary = saved["config"], saved["vocabulary"]
    unknown = sorted(set(args.prompt) - set(vocabulary))
    if unknown:
        raise cli.UserError(f"the training text has no {unknown[0]!r}: the model can't read it.")
    model = GPT(len(vocabulary), config)
    training.load_checkpoint(path, model)
    ids = RNN.encode(args.prompt or vocabulary[0], vocabulary)[-config["block_size"] :]
    ids = ids.to(args.device)
    ids = RNN.generate(model.to(args.device), ids, args.length, args.temperature, args.top_k)
    print(cli.printable(RNN.decode(ids, vocabulary)))


sample = RNN.generate(model, train_ids[:1], args.length, args.temperature, args.top_k)
print(cli.printable(RNN.decode(sample, vocabulary)))

# %% [markdown]
# ## Results
#
# …

# %% tags=["hide-input"]
line = val_ids[:24]
with torch.no_grad():
    x = model.wte(line[None])
    block = model.blocks[0]
    q, k, v = block.attn.heads(block.norm_1(x))
    weights = attention(rotate(q), rotate(k), v)[1][0].cpu()  # (H, T, T)

fig = plotting.figure(10, 4.5, args.show)
left, right = fig.subfigures(1, 2)
axes = left.subplots()
iterations, losses, val_losses = torch.tensor(history).view(-1, 3).T
axes.plot(iterations, losses, "o-", label="training loss")
axes.plot(iterations, val_losses, "o-", label="validation loss")
axes.set(title="Loss", xlabel="iteration", ylabel="nats per character", ylim=(0, None))
axes.legend()
for head, axes in zip(weights, right.subplots(2, 2).flat, strict=True):
    axes.imshow(head, cmap="Blues", vmin=0, vmax=1)
    axes.set_axis_off()
plotting.finish(fig, args.output_dir / "12_small_llm.png", args.show)

# %%
val_loss = torch.tensor(RNN.evaluate(model, val_ids, unseen, config["block_size"]))
print(f"Validation loss: {val_loss:.4f} nats per character (perplexity {val_loss.exp():.2f})")
