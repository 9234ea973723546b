# %% [markdown]
"""# Chapter 12 · A small language model · 实现一个小的LLM

You will write a GPT, the notes' third task ("let's try"), of the parts that the models of today
have: self-attention, positions, the blocks of a transformer and the optimizer Muon. Then you will
train it on chapter 11's text, and see whether it beats chapter 11's LSTM.

    python 12_small_llm.py                                train, a minute and a half on two cores
    python 12_small_llm.py --prompt "The with statement"  continue the prompt with the trained model
    python 12_small_llm.py --text novel.txt notes.md      train on your own texts, in any language
    python 12_small_llm.py --resume --iterations 2000     continue training, up to 2,000 iterations

The last lines of a run:

    Figure:     outputs/12_small_llm.png
    Validation loss: 1.… nats per character (perplexity ….…)
"""

# %%
from common import chapter, cli, plotting

how = {"iterations": None, "lr": None, "batch_size": None, "length": 500, "temperature": 0.8}
parser = cli.parser(__doc__, text=[], **how, top_k=None, device="auto")  # None: as --size says
job = parser.add_mutually_exclusive_group()
job.add_argument("--size", choices=["tiny", "small"], default="small", help="(default: small)")
job.add_argument("--resume", action="store_true", help="continue training from the checkpoint")
job.add_argument("--prompt", metavar="TEXT", help="only continue this text")
args = chapter.begin(parser, only={"prompt": "continue_prompt"})  # with --prompt, only that

import math

import torch
import torch.nn.functional as F
from tqdm import tqdm

from common import training
from common.data import fingerprint, read_texts

RNN = chapter.load(cli.ROOT / "11_char_rnn.py")  # chapter 11's functions

# %% [markdown]
# ## Self-attention
#
# Chapter 11's LSTM squeezes all that it has read into one vector. In **self-attention** each
# position has a **query** $q$, a **key** $k$ and a **value** $v$, each $D$ numbers that a linear
# layer will compute. It compares its query with all keys, and its output is a mean of the values,
# with the weights $softmax(q \cdot k / \sqrt{D})$. A causal mask leaves out later positions, for
# they would show the token to predict. A position's own value counts, too.
# Source: Vaswani and others, "Attention Is All You Need", https://arxiv.org/abs/1706.03762
#
# ![Queries and keys under the causal mask](docs/drawings/12_attention.svg)


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
print(torch.allclose(y, F.scaled_dot_product_attention(q, k, v, is_causal=True), atol=1e-6))
a, b = torch.randn(2, 10_000, 256)
print((a * b).sum(dim=1).std())  # sqrt(256) = 16: undivided, softmax would pick one position

# %% [markdown]
# ## Positions
#
# A weighted mean knows no order: shuffle the earlier positions, and the output at the last one
# stays the same. (In one layer. A second layer can guess the order: under the mask, outputs of
# early positions are means of fewer values.) The simplest remedy is a second embedding, a learned
# vector for each position, added to the token's.

# %%
x = torch.randn(4, 8)
other = x[[2, 0, 1, 3]]  # the first three in another order
print(torch.allclose(attention(x, x, x)[0][3], attention(other, other, other)[0][3], atol=1e-6))
wpe = torch.nn.Embedding(4, 8)  # a row for each of the positions 0 to 3
x, other = x + wpe.weight, other + wpe.weight
print(torch.allclose(attention(x, x, x)[0][3], attention(other, other, other)[0][3], atol=1e-6))

# %% [markdown]
# ## Rotary position embeddings
#
# What counts is rather how far apart two tokens are. **Rotary position embeddings** (RoPE) turn
# queries and keys by an angle that grows with the position. The $D$ numbers are taken as $D / 2$
# points in the plane, and at position $t$ point $i$ is turned by $t \cdot \theta_i$. Turning both
# vectors alike changes no dot product: of the positions of a query, $t$, and a key, $s$, only
# $t - s$ counts. Here $\theta_i = 100^{-2i/D}$: 1 radian a token for $i = 0$, 0.015 for the last.
# (Su and others: 10,000. https://arxiv.org/abs/2104.09864)
#
# ![Points turned by their positions](docs/drawings/12_rotary.svg)


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
# A layer has several **heads**, each with queries, keys and values of its own: one can look for the
# previous line, another for an open bracket. One linear layer computes them all from a token's $C$
# numbers, and they are cut up: each of $H$ heads gets $D = C / H$ numbers. So $H$ heads need no
# larger layers than one, but $H$ times the attention weights, (T, T). **RMSNorm** then divides each
# query and key by the root of the mean of its squares (**QK-norm**): no product grows without
# bound, and the model learns much faster.
# Sources: https://arxiv.org/abs/1910.07467 and https://arxiv.org/abs/2010.04245

# %%
B, T, C, H = 2, 5, 8, 2
q, k, v = torch.nn.Linear(C, 3 * C)(torch.randn(B, T, C)).split(C, dim=-1)
print(q.shape)
q = q.view(B, T, H, C // H)
print(q.shape)
q = q.transpose(1, 2)  # heads before positions, as if there were B times H texts
print(q.shape)
print(torch.nn.RMSNorm(4)(torch.tensor([1.0, 1.0, 3.0, 5.0])))  # divided by 3


class CausalSelfAttention(torch.nn.Module):
    """Several heads, and a last layer that mixes what they return: (B, T, C) -> (B, T, C)."""

    def __init__(self, config):
        super().__init__()
        C, self.n_head, self.block_size = config["n_embd"], config["n_head"], config["block_size"]
        self.c_attn = torch.nn.Linear(C, 3 * C, bias=False)
        self.norm = torch.nn.RMSNorm(C // self.n_head, elementwise_affine=False)  # nothing to learn
        self.c_proj = torch.nn.Linear(C, C, bias=False)

    def heads(self, x):
        """Normalized queries and keys, and values: (B, T, C) -> 3 times (B, H, T, D)."""
        B, T, C = x.shape
        q, k, v = self.c_attn(x).split(C, dim=-1)
        q, k, v = (part.view(B, T, self.n_head, -1).transpose(1, 2) for part in (q, k, v))
        return self.norm(q), self.norm(k), v

    def forward(self, x, cache=None):
        """(B, T, C) -> (B, T, C), and keys and values: the cache for the next token."""
        q, k, v = self.heads(x)
        if cache is not None:  # the keys and values of earlier tokens, see below
            k = torch.cat([cache[0], k], dim=2)[:, :, -self.block_size :]
            v = torch.cat([cache[1], v], dim=2)[:, :, -self.block_size :]
        q, turned = rotate(q, start=k.shape[2] - q.shape[2]), rotate(k)  # oldest key: position 0
        y = F.scaled_dot_product_attention(q, turned, v, is_causal=cache is None)  # one sees all
        return self.c_proj(y.transpose(1, 2).flatten(2)), (k, v)  # heads side by side again


# %% [markdown]
# ## Neighbours
#
# A character means little without its neighbours. A **causal convolution** adds to each number a
# weighted sum of its values here and at the three positions before: chapter 10's convolution in one
# dimension, with a kernel for each of the $C$ numbers. Before the text there are zeros.


# %%
def causal_conv(x, weight, before=None):
    """x (B, T, C), weight (4, C), three positions before x -> (B, T, C), and x's last three."""
    before = torch.zeros(len(x), 3, x.shape[2], device=x.device) if before is None else before
    seen = torch.cat([before, x], dim=1)  # (B, 3 + T, C)
    for i in range(4):
        x = x + weight[i] * seen[:, i : i + x.shape[1]]
    return x, seen[:, -3:]


weight = torch.tensor([[0.0], [0.0], [10.0], [0.0]])  # plus ten times the one before
print(causal_conv(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1), weight)[0].flatten())

# %% [markdown]
# ## A block
#
# Attention, and an **MLP**, two linear layers for each position by itself, make a **transformer**
# block. Each adds its result to its input, the **residual connection** (chapter 10's exercise 3),
# and is given a normalized copy of it (**pre-norm**). Along the straight line in the drawing the
# gradient reaches every block undiminished. Between the MLP's two layers stands a squared ReLU.
# Source: So and others, "Primer", https://arxiv.org/abs/2109.08668
#
# ![A block with its residual path](docs/drawings/12_block.svg)


# %%
class Block(torch.nn.Module):
    """Attention and an MLP, with pre-norm and residual connections: (B, T, C) -> (B, T, C)."""

    def __init__(self, config):
        super().__init__()
        C = config["n_embd"]
        self.norm_1, self.norm_2 = torch.nn.RMSNorm(C), torch.nn.RMSNorm(C)
        self.conv_1 = torch.nn.Parameter(torch.zeros(4, C))  # at first it changes nothing
        self.conv_2 = torch.nn.Parameter(torch.zeros(4, C))
        self.attn = CausalSelfAttention(config)
        self.c_fc = torch.nn.Linear(C, 4 * C, bias=False)
        self.c_proj = torch.nn.Linear(4 * C, C, bias=False)
        self.dropout = torch.nn.Dropout(config["dropout"])

    def forward(self, x, cache=None):
        before_1, before_2, kv = cache or (None, None, None)
        y, before_1 = causal_conv(self.norm_1(x), self.conv_1, before_1)
        y, kv = self.attn(y, kv)
        x = x + self.dropout(y)
        y, before_2 = causal_conv(self.norm_2(x), self.conv_2, before_2)
        x = x + self.dropout(self.c_proj(F.relu(self.c_fc(y)).square()))
        return x, (before_1, before_2, kv)


# %% [markdown]
# ## The GPT
#
# Embeddings, blocks, a last norm, and a layer that gives logits. With small random weights the
# first loss is about that of a uniform guess. `state` is a cache for each block, explained below.
# `--size tiny` is nanoGPT's size for a CPU, to compare with (docs/parts.md).

# %%
SIZES = {
    "tiny": {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "dropout": 0.0,
             "iterations": 200, "batch_size": 12, "lr": 0.008, "weight_decay": 0.1},
    "small": {"n_layer": 4, "n_head": 4, "n_embd": 96, "block_size": 128, "dropout": 0.15,
              "iterations": 1000, "batch_size": 12, "lr": 0.008, "weight_decay": 0.4},
}  # fmt: skip


class GPT(torch.nn.Module):
    """Token ids (B, T) -> logits of the next token at each position (B, T, V), and the state."""

    def __init__(self, vocabulary_size, config):
        super().__init__()
        self.wte = torch.nn.Embedding(vocabulary_size, config["n_embd"])
        self.blocks = torch.nn.ModuleList(Block(config) for _ in range(config["n_layer"]))
        self.dropout = torch.nn.Dropout(config["dropout"])
        self.norm = torch.nn.RMSNorm(config["n_embd"])
        self.head = torch.nn.Linear(config["n_embd"], vocabulary_size, bias=False)
        for layer in self.modules():
            if isinstance(layer, torch.nn.Embedding | torch.nn.Linear):
                torch.nn.init.normal_(layer.weight, std=0.02)

    def forward(self, x, state=None):
        x = self.dropout(self.wte(x))  # (B, T, C)
        state = list(state or [None] * len(self.blocks))
        for i, block in enumerate(self.blocks):
            x, state[i] = block(x, state[i])
        return self.head(self.dropout(self.norm(x))), state


# %% [markdown]
# ## The text, and a first training with AdamW
#
# Text, windows and loss are chapter 11's. **AdamW** is Adam with weight decay on the weights
# themselves, not in the gradient as in chapter 10. To compare, it trains for a tenth of the
# iterations: printed are the loss before it, a uniform guess's, and the loss after it.


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


device, checkpoint = args.device, args.output_dir / "12_small_llm.pt"
saved = training.read_checkpoint(checkpoint, "config", "text") if args.resume else {}
config = dict(saved.get("config", SIZES[args.size]))
for name in ["iterations", "batch_size", "lr"]:
    config[name] = getattr(args, name) or config[name]
if saved.get("done", 0) >= config["iterations"]:
    raise cli.UserError("trained for {n} already: --iterations is the total.", n=saved["done"])
text = read_texts(args.text, 10 * config["block_size"] + 10, saved.get("text"))
vocabulary = RNN.make_vocabulary(text)
ids = RNN.encode(text, vocabulary).to(device)
tenth = len(text) // 10
train_ids, val_ids = ids[:-tenth], ids[-tenth:][:100_000]
unseen = RNN.unseen_windows(text[:-tenth], text[-tenth:][:100_000], config["block_size"])
model = GPT(len(vocabulary), config).to(device)
print(RNN.evaluate(model, val_ids, unseen, config["block_size"]), math.log(len(vocabulary)))
adamw = torch.optim.AdamW(model.parameters(), lr=0.002, weight_decay=0.1)
every = max(1, config["iterations"] // 10)
for _ in range(every):
    update(model, [adamw], train_ids, config)
print(RNN.evaluate(model, val_ids, unseen, config["block_size"]))

# %% [markdown]
# ## Muon
#
# Adam looks at each number by itself, **Muon** at the matrix that the weights of a layer form. How
# much a matrix stretches its directions, its **singular values** tell. Those of a gradient differ
# widely, so a step would mostly go in a few directions. Muon brings them near 1 (the matrix is then
# nearly **orthogonal**), by five **Newton-Schulz** steps of matrix products. It is for the blocks'
# linear layers; Adam takes the rest. Source: https://kellerjordan.github.io/posts/muon/


# %%
def orthogonalize(x):
    """A matrix with its singular values brought near 1, between 0.7 and 1.2."""
    if x.shape[0] > x.shape[1]:
        return orthogonalize(x.T).T  # the products below are then smaller
    x = x / (x.norm() + 1e-7)  # the root of the sum of squares: no singular value is above 1 now
    for _ in range(5):  # for each singular value s: s <- 3.4445 s - 4.775 s^3 + 2.0315 s^5
        square = x @ x.T
        x = 3.4445 * x + (2.0315 * square @ square - 4.775 * square) @ x
    return x


class Muon(torch.optim.Optimizer):
    """For matrices: each moves by its mean gradient, orthogonalized."""

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                mean = self.state[parameter].setdefault("mean", torch.zeros_like(parameter))
                mean.lerp_(parameter.grad, 0.1)  # mean = 0.9 mean + 0.1 gradient: momentum
                direction = orthogonalize(parameter.grad.lerp(mean, 0.9))  # 0.1 gradient + 0.9 mean
                step = group["lr"] * 0.2 * math.sqrt(max(parameter.shape))  # about 0.2 lr a number
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(step * direction)


def make_optimizers(model, config):
    """Muon for the blocks' linear layers; Adam, at 2.5 times the rate, for all others."""
    matrices = [m.weight for m in model.blocks.modules() if isinstance(m, torch.nn.Linear)]
    others = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    adam = torch.optim.Adam(others, lr=2.5 * config["lr"], betas=(0.9, 0.99))
    return [Muon(matrices, {"lr": config["lr"], "weight_decay": config["weight_decay"]}), adam]


gradient = torch.tensor([[1.0, 1.0], [1.0, 0.8]])
print(torch.linalg.svdvals(gradient), torch.linalg.svdvals(orthogonalize(gradient)))
print(orthogonalize(gradient))
print(orthogonalize(torch.tensor([[1.0, 0.0], [0.0, 0.001]])))  # below 0.0016 it stays smaller

# %% [markdown]
# ## Training
#
# A new model, with Muon: after a tenth of the iterations it is ahead of AdamW. The rates fall to 0
# along a straight line. Ctrl-C keeps what was learned. `--resume` goes on, with rates that fall to
# the new end, and on the same text: of another text the model may have read the validation set.

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
more = {"config": config, "vocabulary": vocabulary, "text": fingerprint(text), "done": done}
training.save_checkpoint(checkpoint, history, model, *optimizers, **more)

# %% [markdown]
# ## Generating with a cache
#
# To predict a token, the model needs the keys and values of all tokens before it. They stay as they
# are when the text grows, since no position sees later ones. So a **KV cache** keeps them, and only
# the new token goes through the model; its query still meets all keys. The cache, and three
# positions for each convolution, are this model's state, as $(h, c)$ is the LSTM's; chapter 11's
# `generate` works with both. It grows up to `block_size` tokens. A **prompt** is text to continue.


# %%
def continue_prompt(args):
    """Print the continuation of --prompt by the checkpoint's model."""
    path = args.output_dir / "12_small_llm.pt"
    saved = training.read_checkpoint(path, "config", "vocabulary")
    config, vocabulary = saved["config"], saved["vocabulary"]
    unknown = sorted(set(args.prompt) - set(vocabulary))
    if unknown:
        raise cli.UserError("the training text has no {c!r}: the model can't use it.", c=unknown[0])
    model = GPT(len(vocabulary), config)
    training.load_checkpoint(path, model)
    prompt = args.prompt or vocabulary[0]
    ids = RNN.encode(prompt, vocabulary)[-config["block_size"] :].to(args.device)
    longer = RNN.generate(model.to(args.device), ids, args.length, args.temperature, args.top_k)
    print(cli.printable(prompt + RNN.decode(longer[len(ids) :], vocabulary)))


sample = RNN.generate(model, train_ids[:1], args.length, args.temperature, args.top_k)
print(cli.printable(RNN.decode(sample, vocabulary)))

# %% [markdown]
# ## Results
#
# Does it beat chapter 11's LSTM? Hardly. After two minutes of training each (1,700 iterations for
# the GPT), the mean of three seeds is 1.156, the LSTM's 1.164: two seeds differ as much. The GPT
# learns more from a character, and the LSTM reads five times as many. On the right, how much each
# of 32 characters (rows) takes from each (columns), in the four heads of the first block.

# %% tags=["hide-input"]
block = model.blocks[0]
with torch.no_grad():
    y, _ = causal_conv(block.norm_1(model.wte(val_ids[None, :32])), block.conv_1)
    q, k, v = block.attn.heads(y)
    weights = attention(rotate(q), rotate(k), v)[1][0].cpu()  # (H, T, T)
fig = plotting.figure(10, 2.8, args.show)
left, *maps = fig.subplots(1, 5, width_ratios=[2, 1, 1, 1, 1])  # 4 heads
iterations, losses, val_losses = torch.tensor(history).view(-1, 3).T
left.plot(iterations, losses, "o-", label="training loss")
left.plot(iterations, val_losses, "o-", label="validation loss")
left.set(title="Loss", xlabel="iteration", ylabel="nats per character", ylim=(0, None))
left.legend()
for head, axes in enumerate(maps):
    axes.imshow(weights[head], cmap="Blues")
    axes.set(title=f"Head {head + 1}", xlabel="attends to", xticks=[], yticks=[])
plotting.finish(fig, args.output_dir / "12_small_llm.png", args.show)

# %%
val_loss = torch.tensor(RNN.evaluate(model, val_ids, unseen, config["block_size"]))
print(f"Validation loss: {val_loss:.4f} nats per character (perplexity {val_loss.exp():.2f})")
