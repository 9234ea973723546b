"""Chapter 9: it runs as promised, and each of its ideas is right."""

import contextlib
import dataclasses
import io
import math
import os
import random
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import needs_cuda, parameters
from PIL import Image
from torch.nn import functional as F

from common import training
from common.cli import ROOT, UserError

NAME = "09_small_llm"
POEM = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\n"


@pytest.fixture(scope="module")
def small(chapter):
    """Settings that take no time."""
    return chapter.Settings(
        layers=2, heads=2, width=16, context=8, batch_size=4, iterations=8, lr=1e-2
    )


@pytest.fixture
def quick(chapter, small, monkeypatch, tmp_path):
    """quick(flags…) runs main with a small model, on a text of its own; returns what main does."""
    monkeypatch.setitem(chapter.SIZES, "small", dataclasses.replace(small, dropout=0.1))
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat. a rat ran. " * 10, encoding="utf-8")

    def run(*flags):
        given = ["--device", "cpu", "--output-dir", tmp_path]
        given += [] if {"--text", "--prompt"} & set(flags) else ["--text", text]
        with contextlib.redirect_stdout(io.StringIO()):
            return chapter.main([str(flag) for flag in (*given, *flags)])

    return run


def make_model(chapter, settings, vocabulary_size=10, seed=0):
    torch.manual_seed(seed)
    return chapter.GPT(vocabulary_size, settings)


# The whole chapter


@pytest.fixture(scope="module")
def default_run(run_chapter, tmp_path_factory):
    """The chapter in a process of its own, on a text whose loss is known: ln(4), or 1.386."""
    folder = tmp_path_factory.mktemp("somewhere else")
    draw = random.Random(0)
    letters = "".join(draw.choice("abcd") for _ in range(20_000))
    (folder / "letters.txt").write_text(letters, encoding="utf-8")
    flags = "--text letters.txt --size tiny --iterations 50 --output-dir outputs --length 20"
    done = run_chapter(NAME, *flags.split(), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return SimpleNamespace(text=done.stdout, folder=folder / "outputs")


def test_the_run_ends_as_its_docstring_says(chapter, default_run, last_lines):
    last_lines(chapter, default_run.text)


def test_what_cannot_be_predicted_is_not(default_run):
    """Letters drawn evenly out of four: nobody can do better than ln(4)."""
    loss = float(re.search(r"Held-out loss: (\S+) nats", default_run.text)[1])
    assert math.log(4) - 0.01 < loss < math.log(4) + 0.05


def test_it_leaves_a_figure_and_a_checkpoint_and_nothing_else(default_run):
    assert {path.name for path in default_run.folder.iterdir()} == {f"{NAME}.png", f"{NAME}.pt"}
    with Image.open(default_run.folder / f"{NAME}.png") as image:
        assert image.width >= 1200
        assert len(set(image.convert("L").resize((100, 100)).tobytes())) > 20, "it is blank"


def test_the_run_shows_samples_from_before_midway_and_after(default_run):
    assert re.findall(r"after (\d+) iterations", default_run.text) == ["0", "25", "50"]
    assert "characters seen in" in default_run.text and "per second" in default_run.text


# Text to numbers, and back


def test_the_vocabulary_is_each_character_once(chapter):
    assert chapter.make_vocabulary("banana") == "abn"
    assert chapter.make_vocabulary(POEM)[:2] == "\n。"


@pytest.mark.parametrize("text", ["banana", POEM, "", "a\tb\r\n 😀"])
def test_encode_and_decode_are_inverse(chapter, text):
    vocabulary = "".join(sorted(set(text)))
    codes = chapter.encode(text, vocabulary)
    assert codes.dtype == torch.int64 and codes.shape == (len(text),)
    assert [vocabulary[code] for code in codes] == list(text)
    assert chapter.decode(codes, vocabulary) == text


def test_the_last_tenth_is_held_out(chapter):
    learn, held_out = chapter.split(torch.arange(105), context=8)
    assert learn.tolist() == list(range(95)) and held_out.tolist() == list(range(95, 105))
    with pytest.raises(UserError, match=r"105 characters, too few.*--text"):
        chapter.split(torch.arange(105), context=10)


# Batches


def test_a_window_and_what_follows(chapter):
    codes = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])
    x, y = chapter.cut_windows(codes, torch.tensor([0, 4]), context=3)
    assert x.tolist() == [[3, 1, 4], [5, 9, 2]]
    assert y.tolist() == [[1, 4, 1], [9, 2, 6]]


def test_batches_begin_anywhere_and_stay_within(chapter, small):
    codes = torch.arange(12)  # windows of 8 + 1 can begin at 0, 1, 2 and 3
    settings = dataclasses.replace(small, batch_size=200)
    torch.manual_seed(0)
    x, y = chapter.draw_batch(codes, settings)
    assert x.shape == y.shape == (200, 8)
    assert set(x[:, 0].tolist()) == {0, 1, 2, 3}
    assert torch.equal(y, x + 1)
    torch.manual_seed(0)
    assert torch.equal(chapter.draw_batch(codes, settings)[0], x)


def test_shares_make_up_the_whole_batch(chapter, small):
    def batch(*share):
        torch.manual_seed(0)
        return chapter.draw_batch(torch.arange(100), small, *share)[0]

    whole, shares = batch(), [batch(rank, 2) for rank in (0, 1)]
    assert [share.shape for share in shares] == [(2, 8), (2, 8)]
    assert sorted(torch.cat(shares).tolist()) == sorted(whole.tolist())


# The bigram table


def test_the_bigram_table_counts(chapter):
    bigram = chapter.Bigram(torch.tensor([0, 1, 0, 1, 0, 2]), vocabulary_size=3)
    p = bigram(torch.tensor([[0, 1]])).exp()
    assert p.shape == (1, 2, 3)
    torch.testing.assert_close(p[0], torch.tensor([[1 / 6, 3 / 6, 2 / 6], [3 / 5, 1 / 5, 1 / 5]]))


def test_no_other_table_is_better_on_its_own_text(chapter):
    codes = chapter.encode(POEM * 100, chapter.make_vocabulary(POEM))
    size = codes.max().item() + 1
    bigram = chapter.Bigram(codes, size)
    x, y = codes[None, :-1], codes[None, 1:]
    loss = chapter.cross_entropy(bigram(x), y)
    for _ in range(5):
        other = (bigram.table + 0.3 * torch.randn(size, size)).log_softmax(dim=1)
        assert chapter.cross_entropy(other[x], y) > loss
    assert loss < math.log(size)


def test_cross_entropy_is_the_mean_over_every_place(chapter):
    torch.manual_seed(0)
    logits, y = torch.randn(2, 3, 5), torch.randint(5, (2, 3))
    log_p = logits.log_softmax(dim=-1)
    by_hand = -sum(log_p[b, t, y[b, t]] for b in range(2) for t in range(3)) / 6
    torch.testing.assert_close(chapter.cross_entropy(logits, y), by_hand)


# Attention


@pytest.mark.parametrize("shape", [(4, 8), (2, 3, 5, 4)])
def test_attention_by_hand_equals_torchs(chapter, shape):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, *shape)
    y, weights = chapter.attention(q, k, v)
    torch.testing.assert_close(y, F.scaled_dot_product_attention(q, k, v, is_causal=True))
    assert weights.shape == (*shape[:-1], shape[-2])
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(shape[:-1]))
    assert (weights.triu(diagonal=1) == 0).all()


def test_attention_place_by_place(chapter):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 5, 4)
    y, weights = chapter.attention(q, k, v)
    for t in range(5):
        p = torch.softmax(k[: t + 1] @ q[t] / 4**0.5, dim=0)
        torch.testing.assert_close(weights[t, : t + 1], p)
        torch.testing.assert_close(y[t], p @ v[: t + 1])


def test_split_heads_gives_each_head_its_part(chapter, small):
    torch.manual_seed(0)
    module, x = chapter.CausalSelfAttention(small), torch.randn(3, 5, 16)
    parts = module.split_heads(x)
    assert [part.shape for part in parts] == 3 * [(3, 2, 5, 8)]
    expected = (x @ module.qkv.weight.T).split(16, dim=-1)  # queries, keys, values
    for part, whole in zip(parts, expected, strict=True):
        torch.testing.assert_close(part[:, 0], whole[..., :8])
        torch.testing.assert_close(part[:, 1], whole[..., 8:])


def test_self_attention_is_each_head_by_hand(chapter, small):
    torch.manual_seed(0)
    module, x = chapter.CausalSelfAttention(small), torch.randn(3, 5, 16)
    q, k, v = (x @ module.qkv.weight.T).split(16, dim=-1)
    heads = []
    for part in (slice(0, 8), slice(8, 16)):
        y = F.scaled_dot_product_attention(q[..., part], k[..., part], v[..., part], is_causal=True)
        heads.append(y)
    torch.testing.assert_close(module(x), torch.cat(heads, dim=-1) @ module.out.weight.T)


# The GPT


def test_mlp_is_two_layers_with_gelu_between(chapter, small):
    torch.manual_seed(0)
    mlp, x = chapter.MLP(small), torch.randn(2, 5, 16)
    assert mlp.linear.weight.shape == (64, 16) and mlp.linear.bias is None
    torch.testing.assert_close(mlp(x), F.gelu(x @ mlp.linear.weight.T) @ mlp.out.weight.T)


def test_a_block_adds_to_what_came_in(chapter, small):
    torch.manual_seed(0)
    block, x = chapter.Block(small), torch.randn(2, 5, 16)
    middle = x + block.attention(F.layer_norm(x, [16]))
    torch.testing.assert_close(block(x), middle + block.mlp(F.layer_norm(middle, [16])))


def test_the_gpt_has_the_parameters_that_it_should(chapter, small):
    model = make_model(chapter, small, vocabulary_size=10)
    per_block = 12 * 16 * 16 + 2 * 16
    assert sum(p.numel() for p in model.parameters()) == (10 + 8) * 16 + 2 * per_block + 16
    assert model.tokens.weight.std().item() == pytest.approx(0.02, rel=0.3)
    assert model.blocks[0].mlp.out.weight.std().item() == pytest.approx(0.01, rel=0.2)


def test_embed_adds_what_and_where(chapter, small):
    model = make_model(chapter, small)
    x = torch.tensor([[3, 3, 1]])
    embedded = model.embed(x)
    assert embedded.shape == (1, 3, 16)
    expected = model.tokens.weight[[3, 3, 1]] + model.positions.weight[:3]
    torch.testing.assert_close(embedded[0], expected)


def test_forward_goes_through_all_blocks_to_the_tied_head(chapter, small):
    model = make_model(chapter, small)
    x = torch.randint(10, (3, 6))
    hidden = model.tokens.weight[x] + model.positions.weight[:6]
    for block in model.blocks:
        hidden = block(hidden)
    expected = F.layer_norm(hidden, [16]) @ model.tokens.weight.T
    assert expected.shape == (3, 6, 10)
    torch.testing.assert_close(model(x), expected)


def test_what_comes_later_changes_nothing_earlier(chapter, small):
    model = make_model(chapter, small)
    x = torch.randint(10, (1, 8))
    before = model(x)
    for t in range(1, 8):
        changed = x.clone()
        changed[0, t] = (x[0, t] + 1) % 10
        after = model(changed)
        torch.testing.assert_close(after[:, :t], before[:, :t], rtol=0, atol=1e-6)
        assert not torch.allclose(after[:, t:], before[:, t:], rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_at_the_start_every_character_is_about_as_likely(chapter, size):
    settings = chapter.SIZES[size]
    model = make_model(chapter, settings, vocabulary_size=100)
    x, y = torch.randint(100, (2, 8, settings.context)).unbind()
    loss = chapter.cross_entropy(model(x), y).item()
    assert loss == pytest.approx(math.log(100), rel=0.05)


def test_attention_weights_are_those_the_model_uses(chapter, small):
    model = make_model(chapter, dataclasses.replace(small, dropout=0.5))
    codes = torch.randint(10, (6,))
    weights = chapter.attention_weights(model, codes)
    assert weights.shape == (2, 2, 6, 6) and not weights.requires_grad
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 2, 6))
    seen = []
    model.blocks[1].attention.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    model(codes[None])
    q, k, v = model.blocks[1].attention.split_heads(seen[0])
    torch.testing.assert_close(weights[1], chapter.attention(q, k, v)[1][0])


# Optimizer and learning rate


def test_only_matrices_shrink(chapter, small):
    model = make_model(chapter, small)
    optimizer = chapter.make_optimizer(model, lr=0.02)
    assert type(optimizer) is torch.optim.AdamW
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert len(decays) == len(list(model.parameters()))
    for parameter in model.parameters():
        assert decays[id(parameter)] == (0.1 if parameter.dim() == 2 else 0)
    for group in optimizer.param_groups:
        assert (group["lr"], group["betas"], group["fused"]) == (0.02, (0.9, 0.99), True)


def test_the_learning_rate_rises_then_falls_to_a_tenth(chapter, small):
    settings = dataclasses.replace(small, iterations=1000, lr=2.0)
    rates = [chapter.learning_rate(i, settings) for i in range(1001)]
    assert rates[0] == pytest.approx(2 / 101) and rates[100] == 2
    assert rates[:101] == sorted(rates[:101]) and rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[550] == pytest.approx(1.1) and rates[1000] == pytest.approx(0.2)
    short = dataclasses.replace(settings, iterations=1)
    assert chapter.learning_rate(0, short) == 2


# Train


def nothing(i):
    return {}


def test_train_overfits_one_window(chapter, small):
    """A text as long as a window has just one: the model learns it by heart."""
    settings = dataclasses.replace(small, iterations=150)
    codes = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6, 5])
    model = make_model(chapter, settings)
    optimizer = chapter.make_optimizer(model, settings.lr)
    history = chapter.train(model, optimizer, codes, settings, nothing)
    assert history["loss"][0] > 2 and history["loss"][-1] < 0.02


def test_train_is_the_loop_that_the_reader_knows(chapter, small):
    torch.manual_seed(0)
    codes = torch.randint(10, (200,))
    model = make_model(chapter, small)
    asked = []

    def look(i):
        asked.append(i)
        return {"held-out loss": float(i)}

    torch.manual_seed(5)
    history = chapter.train(
        model, chapter.make_optimizer(model, small.lr), codes, small, look, first=2
    )
    expected = make_model(chapter, small)
    optimizer = chapter.make_optimizer(expected, small.lr)
    losses = []
    torch.manual_seed(5)
    for i in range(2, 8):
        for group in optimizer.param_groups:
            group["lr"] = chapter.learning_rate(i, small)
        x, y = chapter.draw_batch(codes, small)
        loss = F.cross_entropy(expected(x).view(-1, 10), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(expected.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    torch.testing.assert_close(parameters(model), parameters(expected))
    assert asked == history["iteration"] == history["held-out loss"] == [3, 4, 5, 6, 8]
    assert history["loss"][:2] == pytest.approx([sum(losses[:2]) / 2, losses[2]])


@pytest.mark.parametrize("iterations", [1, 5, 11, 21])
def test_each_loss_is_a_mean_of_batches(iterations, chapter, small):
    """Also the last, where a look before it would leave none."""
    settings = dataclasses.replace(small, iterations=iterations)
    model = make_model(chapter, settings)
    optimizer = chapter.make_optimizer(model, 1e-6)
    history = chapter.train(model, optimizer, torch.arange(200) % 10, settings, lambda i: {})
    assert history["iteration"][-1] == iterations
    assert all(loss > 0 for loss in history["loss"])


def test_train_trains_in_training_mode(chapter, small):
    model = make_model(chapter, small)
    modes = []
    model.register_forward_hook(lambda module, *_: modes.append(module.training))

    def look(i):
        model.eval()
        return {}

    optimizer = chapter.make_optimizer(model, small.lr)
    chapter.train(model, optimizer, torch.randint(10, (50,)), small, look)
    assert modes == 8 * [True]


def test_evaluate_counts_every_window_once(chapter, small):
    model = make_model(chapter, dataclasses.replace(small, dropout=0.5))
    codes = torch.randint(10, (70 * 8 + 5,))
    x, y = codes[: 70 * 8].view(70, 8), codes[1 : 70 * 8 + 1].view(70, 8)
    loss = chapter.evaluate(model, codes, 8)
    assert isinstance(loss, float)
    model.eval()
    assert loss == pytest.approx(chapter.cross_entropy(model(x), y).item(), rel=1e-5)


# Write text


@pytest.fixture(scope="module")
def sharp(chapter, small):
    """A model with opinions: its scores lie far apart."""
    model = make_model(chapter, small)
    torch.nn.init.normal_(model.tokens.weight, std=0.5)
    return model


def test_generate_writes_on(chapter, sharp):
    start = torch.tensor([1, 2, 3])
    codes = chapter.generate(sharp, start, 30, context=8)
    assert codes.shape == (33,) and codes[:3].tolist() == [1, 2, 3]
    assert torch.equal(codes, chapter.generate(sharp, start, 30, context=8))
    assert not torch.equal(codes, chapter.generate(sharp, start, 30, context=8, seed=1))


def test_the_likeliest_alone_is_greedy(chapter, sharp):
    codes = torch.tensor([1])
    for _ in range(20):
        best = sharp(codes[None, -8:])[0, -1].argmax()
        codes = torch.cat([codes, best[None]])
    start = torch.tensor([1])
    assert torch.equal(chapter.generate(sharp, start, 20, 8, top_k=1), codes)
    assert torch.equal(chapter.generate(sharp, start, 20, 8, top_k=1, seed=3), codes)
    assert torch.equal(chapter.generate(sharp, start, 20, 8, temperature=1e-4), codes)


class Fixed(torch.nn.Module):
    """Always the same probabilities: 0.5, 0.3, 0.2."""

    def __init__(self):
        super().__init__()
        self.lengths = []

    def forward(self, x):
        self.lengths.append(x.shape[1])
        return torch.tensor([0.5, 0.3, 0.2]).log().expand(*x.shape, 3)


def test_temperature_and_top_k_choose_as_they_should(chapter):
    def shares(**how):
        codes = chapter.generate(Fixed(), torch.tensor([0]), 3000, 4, **how)[1:]
        return (codes.bincount(minlength=3) / 3000).tolist()

    assert shares(temperature=1) == pytest.approx([0.5, 0.3, 0.2], abs=0.03)
    assert shares(temperature=1, top_k=2) == pytest.approx([0.625, 0.375, 0], abs=0.03)
    assert shares(temperature=0.5) == pytest.approx([0.658, 0.237, 0.105], abs=0.03)
    assert shares(temperature=1, top_k=100) == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


def test_no_more_is_read_than_the_context(chapter):
    model = Fixed()
    chapter.generate(model, torch.tensor([0, 1]), 5, context=4)
    assert model.lengths == [2, 3, 4, 4, 4]
    assert not model.training


def test_writing_leaves_the_random_numbers_alone(chapter, sharp):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    chapter.generate(sharp, torch.tensor([1]), 5, 8)
    assert torch.equal(torch.rand(1), expected)


# Several processes


def test_without_torchrun_there_is_one_process(chapter, monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "7")  # another program's
    assert chapter.join_processes("auto") == (0, 1)


def test_more_processes_than_gpus(chapter, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for device in ("auto", "cuda", "cuda:0", "mps"):
        with pytest.raises(UserError, match="there are 2: choose --device cpu or cuda"):
            chapter.join_processes(device)


@pytest.mark.parametrize("works", [True, False])
def test_compiled_is_tried_before_training(works, chapter, monkeypatch):
    """The compiler itself takes too long for a test: this one compiles nothing, or fails."""
    calls = []

    def compile(model):
        def translated(x):
            calls.append(x)
            if not works:
                raise RuntimeError("no C++ compiler\nand more")
            return model(x)

        return translated

    monkeypatch.setattr(torch, "compile", compile)
    model = chapter.GPT(10, chapter.Settings(1, 1, 8, 4, 2, 3, 1e-3))
    if works:
        chapter.compiled(model, torch.arange(4))
        assert calls[0].tolist() == [[0, 1, 2, 3]]
        assert all(p.grad is None for p in model.parameters())
    else:
        with pytest.raises(
            UserError, match=r"--compile does not work here: no C\+\+ compiler. Leave"
        ):
            chapter.compiled(model, torch.arange(4))


HALVES = """
import copy, importlib.util, sys, torch
sys.path.insert(0, ROOT)
spec = importlib.util.spec_from_file_location("chapter", CHAPTER)
chapter = sys.modules["chapter"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(chapter)
chapter.SIZES["small"] = settings = chapter.Settings(2, 2, 16, 8, 4, 5, 1e-2)

rank, processes = chapter.join_processes("cpu")
torch.manual_seed(0)
codes = torch.randint(10, (100,))
model = chapter.GPT(10, settings)
alone = copy.deepcopy(model)
torch.manual_seed(1)
x, y = chapter.draw_batch(codes, settings, rank, processes)
assert len(x) == 2
learner = chapter.DistributedDataParallel(model)  # named, or it is gone before backward
chapter.cross_entropy(learner(x), y).backward()
torch.manual_seed(1)
x, y = chapter.draw_batch(codes, settings)
chapter.cross_entropy(alone(x), y).backward()
for half, whole in zip(model.parameters(), alone.parameters()):
    torch.testing.assert_close(half.grad, whole.grad)
print("the gradients are equal")

chapter.join_processes = lambda device: (rank, processes)
chapter.main(["--text", "text.txt", "--output-dir", "two", "--device", "cpu"])
"""


def test_two_processes_learn_what_one_does(chapter, chapters_folder, quick, tmp_path):
    """Two halves' gradients are the whole batch's; number 0 alone prints and saves."""
    path = chapters_folder / f"{NAME}.py"
    script = f"ROOT, CHAPTER = {str(ROOT)!r}, {str(path)!r}\n" + HALVES
    (tmp_path / "halves.py").write_text(script, encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    one = dataclasses.replace(chapter.SIZES["small"], dropout=0.0, iterations=5)
    chapter.SIZES["small"] = one  # put back by the fixture
    model, _, _ = quick()
    done = subprocess.run(
        [*command, "--nproc-per-node", "2", "halves.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the gradients are equal") == 1
    assert done.stdout.count("Checkpoint:") == done.stdout.count("Held-out loss:") == 1
    assert "cpu, 2 processes" in done.stdout
    both, _, _ = chapter.model_for(tmp_path / "two" / f"{NAME}.pt")
    training.load_checkpoint(tmp_path / "two" / f"{NAME}.pt", both)
    torch.testing.assert_close(parameters(both), parameters(model), rtol=1e-3, atol=1e-5)


def test_a_batch_that_cannot_be_shared(chapter, quick, monkeypatch, fails):
    monkeypatch.setattr(chapter, "join_processes", lambda device: (0, 3))
    message = fails(lambda flags: quick(*flags), [])
    assert "a batch of 4" in message and "3 processes" in message


# The figure


def test_the_head_that_looks_back_far_and_sharply_is_shown(chapter):
    T = 12
    weights = torch.ones(2, 3, T, T).tril()
    weights = weights / weights.sum(dim=-1, keepdim=True)
    weights[0, 1] = torch.eye(T)  # looks at itself
    for t in range(T):
        weights[1, 2, t] = torch.eye(T)[max(0, t - 3)]
    assert chapter.clearest_head(weights) == (1, 2)


def test_the_figure_tells_what_was_learned(chapter):
    history = {"iteration": [0, 10, 20], "loss": [4.0, 3.0, 2.0], "held-out loss": [4.1, 3.1, 2.2]}
    weights = torch.eye(4).expand(1, 1, 4, 4)
    fig = chapter.draw(history, 4.2, 2.5, "a b月", weights, show=False)
    losses, looks = fig.axes
    assert losses.lines[0].get_xdata().tolist() == [0, 5, 15]
    assert losses.lines[0].get_ydata().tolist() == history["loss"]
    assert losses.lines[1].get_ydata().tolist() == history["held-out loss"]
    assert {line.get_ydata()[0] for line in losses.lines[2:]} == {4.2, 2.5}
    assert any("2.50" in text.get_text() for text in losses.texts)
    assert looks.images[0].get_array().tolist() == torch.eye(4).tolist()
    assert [label.get_text() for label in looks.get_yticklabels()][:3] == ["a", "␣", "b"]


def test_the_line_shown_has_words(chapter):
    text = "cut off here and more of it\nshort\n  this line has just enough words\n"
    assert chapter.pick_line(text, 64) == "this line has just enough words"
    assert chapter.pick_line("月" * 100, 8) == "月" * 8


def test_a_sample_stands_in_a_margin(chapter):
    assert chapter.indented("a\n\nb") == "   | a\n   | \n   | b"


# Use it


def test_a_checkpoint_writes_the_same_text(chapter, quick, tmp_path, capsys):
    model, vocabulary, _ = quick("--seed", 3, "--length", 30)
    loaded, its_vocabulary, settings = chapter.model_for(tmp_path / f"{NAME}.pt")
    training.load_checkpoint(tmp_path / f"{NAME}.pt", loaded)
    assert its_vocabulary == vocabulary and settings.width == 16
    assert torch.equal(parameters(loaded), parameters(model))
    how = SimpleNamespace(temperature=0.8, top_k=None, seed=3)
    expected = chapter.write(model, vocabulary, "the cat", 30, how)
    assert expected.startswith("the cat") and len(expected) == 37
    assert quick("--prompt", "the cat", "--length", 30, "--seed", 3) == expected
    assert quick("--prompt", "the cat", "--length", 30, "--seed", 4) != expected
    greedy = [quick("--prompt", "the", "--top-k", 1, "--seed", seed) for seed in (1, 2)]
    assert greedy[0] == greedy[1]
    assert len(quick("--prompt", "", "--length", 5)) == 6
    chapter.main(["--prompt", "the cat", "--output-dir", str(tmp_path), "--device", "cpu"])
    assert capsys.readouterr().out.startswith("the cat")


def test_the_same_seed_gives_the_same_model(quick):
    first, second, third = (quick("--seed", seed)[0] for seed in (1, 1, 2))
    assert torch.equal(parameters(first), parameters(second))
    assert not torch.equal(parameters(first), parameters(third))


@pytest.mark.filterwarnings("error")
def test_chinese_text(quick, tmp_path):
    poem = tmp_path / "诗.txt"
    poem.write_text(POEM * 10, encoding="utf-8")
    _, vocabulary, history = quick("--text", poem, "--iterations", 60)
    assert set(vocabulary) == set(POEM)
    assert history["held-out loss"][-1] < 1.5 < history["held-out loss"][0]
    assert set(quick("--prompt", "明月", "--length", 20)) <= set(POEM)


def interrupt_after(monkeypatch, chapter, batches):
    """Press Ctrl-C while the given batch is being worked on."""
    seen, draw_batch = [], chapter.draw_batch

    def draw(*given):
        seen.append(1)
        if len(seen) == batches:
            signal.raise_signal(signal.SIGINT)
        return draw_batch(*given)

    monkeypatch.setattr(chapter, "draw_batch", draw)


def test_after_ctrl_c_resume_goes_on_as_if_never_stopped(chapter, quick, monkeypatch, tmp_path):
    whole, _, whole_history = quick("--output-dir", tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_after(patch, chapter, 3)
        with pytest.raises(SystemExit) as exit_:
            quick()
    assert exit_.value.code == 130
    saved = training.read_checkpoint(tmp_path / f"{NAME}.pt")
    assert saved["history"]["iteration"] == [0, 1, 2, 3]
    parts, _, history = quick("--resume")
    assert torch.equal(parameters(whole), parameters(parts))
    assert history["iteration"] == whole_history["iteration"] == [0, 1, 2, 3, 4, 5, 6, 8]
    assert history["held-out loss"] == whole_history["held-out loss"]


def test_resume_trains_until_so_many_iterations_are_reached(quick, fails, tmp_path):
    quick()
    message = fails(lambda flags: quick(*flags), ["--resume"])
    assert "8 iterations behind it" in message and "--iterations 16" in message
    _, _, history = quick("--resume", "--iterations", 10)
    assert history["iteration"][-2:] == [8, 10]


def test_resume_wants_the_text_and_the_size_that_it_knows(quick, fails, tmp_path):
    quick()
    (tmp_path / "other.txt").write_text("0123456789 " * 30, encoding="utf-8")
    main = lambda flags: quick(*flags)  # noqa: E731
    assert "same --text" in fails(main, ["--resume", "--text", tmp_path / "other.txt"])
    assert "--size" in fails(main, ["--resume", "--size", "small"])


# Errors


def test_the_command_line(chapter):
    args = chapter.make_parser().parse_args(["--size", "large", "--text", "a.txt", "b.txt"])
    assert args.size == "large" and len(args.text) == 2
    assert "iterations" not in args and "lr" not in args
    assert chapter.make_parser().parse_args(["--lr", "0.5"]).lr == 0.5


def test_texts_that_cannot_be_used(chapter, quick, fails, tmp_path):
    main = lambda flags: quick(*flags)  # noqa: E731
    path = tmp_path / "mine.txt"
    message = fails(main, ["--text", path])
    assert str(path) in message and "No such file" in message
    assert str(tmp_path) in fails(main, ["--text", tmp_path])
    path.write_bytes(POEM.encode("gb18030"))
    message = fails(main, ["--text", path])
    assert str(path) in message and "UTF-8" in message
    path.write_text(" \n")
    assert "is empty" in fails(main, ["--text", path])
    path.write_text("short")
    assert "too few" in fails(main, ["--text", path])


def test_a_prompt_with_characters_never_seen(quick, fails):
    quick()
    message = fails(lambda flags: quick(*flags), ["--prompt", "the 猫 sat!"])
    assert "'!'" in message and "'猫'" in message and "'t'" not in message


def test_checkpoints_that_cannot_be_used(chapter, small, quick, fails, tmp_path):
    main = lambda flags: quick(*flags)  # noqa: E731
    path = tmp_path / f"{NAME}.pt"
    for flags in (["--prompt", "a"], ["--resume"]):
        path.unlink(missing_ok=True)
        assert "Train first" in fails(main, flags)
        path.write_text("not a checkpoint")
        assert "is not a checkpoint" in fails(main, flags)
        model = torch.nn.Linear(1, 1)
        training.save_checkpoint(path, model, torch.optim.SGD(model.parameters()), {})
        assert "no checkpoint of this chapter" in fails(main, flags)
    model = make_model(chapter, small, vocabulary_size=3)
    settings = dataclasses.asdict(dataclasses.replace(small, width=32))
    more = {"settings": settings, "vocabulary": "abc"}
    training.save_checkpoint(path, model, chapter.make_optimizer(model, 1.0), {}, **more)
    assert "another model" in fails(main, ["--prompt", "a"])


def test_a_loss_that_becomes_nan(quick, fails, tmp_path):
    message = fails(lambda flags: quick(*flags), ["--lr", 1e30], status=1)
    assert "diverged" in message and "--lr" in message
    assert not (tmp_path / f"{NAME}.pt").exists()


def test_prompt_and_resume_exclude_each_other(quick, fails):
    message = fails(lambda flags: quick(*flags), ["--resume", "--prompt", "a"])
    assert "not allowed with" in message


def test_an_unknown_size(quick, fails):
    assert "invalid choice: 'huge'" in fails(lambda flags: quick(*flags), ["--size", "huge"])


@needs_cuda
@pytest.mark.parametrize("flags", [[], ["--compile"]])
def test_on_cuda_it_learns(quick, flags, tmp_path):
    _, _, history = quick("--device", "cuda", "--iterations", 60, *flags)
    assert history["held-out loss"][-1] < 0.8 * history["held-out loss"][0]
    assert quick("--device", "cuda", "--prompt", "the cat").startswith("the cat")
