"""Chapter 12: the tokenizer, the baseline, attention, the GPT, its training and its text."""

import copy
import dataclasses
import gc
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from pydoc_data.topics import topics

import pytest
import torch
from conftest import needs_cuda, parameters, save_empty_figures
from PIL import Image
from torch.nn import functional as F

from common import training
from common.cli import ROOT, UserError

NAME = "12_small_llm"
POEM = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\n"
WORDS, VOCABULARY = "the cat sat on the mat. a rat ran.", " .acehmnorst"
CHEAP = ["--iterations", 8, "--batch-size", 2, "--length", 20, "--device", "cpu"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """The models here are too small for a second core to help."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    words = random.Random(0).choices(WORDS.split(), k=500)
    path.write_text(" ".join(words), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(run, text, tmp_path_factory):
    """The chapter after eight updates, run in this process; its files are only read below."""
    folder = tmp_path_factory.mktemp("outputs")
    with pytest.MonkeyPatch.context() as patch:
        save_empty_figures(patch)
        return run(NAME, *CHEAP, "--text", text, "--output-dir", folder)


@pytest.fixture
def flags(text, tmp_path, quick_figures):
    """The flags of `trained`, for a folder of the test's own; the figure is an empty file."""
    gc.collect()  # of the runs before: together they take hundreds of megabytes
    return [*CHEAP, "--text", text, "--output-dir", tmp_path]


@pytest.fixture(scope="module")
def config(chapter):
    """The config of a model that takes no time."""
    return chapter.Config(2, 2, 16, 8, batch_size=4, max_iters=8, lr=1e-2)


@pytest.fixture(scope="module")
def two_heads(chapter):
    """A config with four numbers per token, two for each head: few enough to look at."""
    return chapter.Config(2, 2, 4, 8, batch_size=4, max_iters=8, lr=1e-2)


def make_model(GPT, config, vocabulary_size=10):
    torch.manual_seed(0)
    return GPT(vocabulary_size, config)


def save(chapter, path, model, config, vocabulary, **changed):
    """Write the checkpoint of an untrained model."""
    more = {"config": dataclasses.asdict(config) | changed, "vocabulary": vocabulary}
    training.save_checkpoint(path, {}, model, *chapter.make_optimizers(model, config.lr), **more)


# The whole chapter


@pytest.fixture(scope="module")
def ran(run, outputs, tmp_path_factory):
    """The chapter on four letters at random: no loss is below ln 4."""
    generator = random.Random(0)
    letters = "".join(generator.choice("abcd") for _ in range(6_000))
    path = tmp_path_factory.mktemp("letters") / "letters.txt"
    path.write_text(letters, encoding="utf-8")
    flags = ["--size", "tiny", "--iterations", 8, "--length", 20, "--device", "cpu"]
    done = run(NAME, *flags, "--text", path, "--output-dir", outputs)
    assert (done.status, done.err) == (0, "")
    return done


def test_it_runs_as_its_docstring_says(ran, outputs, last_lines, chapter):
    last_lines(chapter, ran.out)
    assert {f"{NAME}.png", f"{NAME}.pt"} <= {path.name for path in outputs.iterdir()}
    with Image.open(outputs / f"{NAME}.png") as image:
        assert image.width >= 1200
        assert len(set(image.convert("L").resize((100, 100)).tobytes())) > 20, "it is blank"


def test_random_letters_cannot_be_predicted(ran):
    shown = ran.out
    assert "uniform guess: loss ln 4 = 1.3863, perplexity 4\n" in shown
    for pattern in [r"bigram: val loss (\S+),", r"Validation loss: (\S+) nats"]:
        loss = float(re.search(pattern, shown)[1])
        assert math.log(4) - 0.01 < loss < math.log(4) + 0.05


def test_the_sections_show_what_they_explain(trained):
    _names, text, shown = trained.names, trained.names.text, trained.out
    assert f"x = {text[:8]!r}\ny = {text[1:9]!r}\n" in shown
    assert float(re.search(r"scaled_dot_product_attention: (\S+)", shown)[1]) < 1e-6
    assert 15.5 < float(re.search(r"product of 256 numbers: ([\d.]+)", shown)[1]) < 16.5
    assert re.findall(r"same .*: (True|False)\n", shown) == ["True", "False", "True"]
    near, far, other = re.findall(r"a query at .*: (\S+)\n", shown)
    assert near == far != other, "the products of rotated vectors depend on the distance"
    assert "\n2,048 tokens in " in shown  # 8 batches of 2 windows of 128
    sample = shown.split("after 8 iterations\n")[1].split("\n20 characters: ")[0]
    assert sample.startswith(f"   | {text[0]}") and len(sample) == 5 + 1 + 20


def test_the_losses_shown_are_those_on_the_validation_set(trained):
    names, text = trained.names, trained.names.text
    tenth = len(text) // 10
    starts = range(0, tenth - 128, 128)
    new = [i for i in starts if text[-tenth:][i : i + 129] not in text[:-tenth]]
    val_ids, new = names.ids[-tenth:], torch.tensor(new)
    for model, loss in [
        (names.Bigram(names.ids[:-tenth], 12), names.bigram_loss),
        (names.model, names.history["val loss"][-1]),
    ]:
        assert loss == pytest.approx(names.evaluate(model, val_ids, new, 128), rel=1e-5)
    whole = names.evaluate(names.model, val_ids, torch.tensor(starts), 128)
    assert f"also occur in the training set: {whole:.4f}\n" in trained.out
    assert names.start_loss == pytest.approx(names.uniform, rel=0.1)
    assert names.uniform == pytest.approx(math.log(12))


def test_the_text_is_pythons_documentation_or_ones_own(run, tmp_path):
    """Both runs end before the training: without a checkpoint, and with too short a text."""
    names = run(NAME, "--resume", "--output-dir", tmp_path).names
    assert names.text == "\n".join(topics.values())
    (tmp_path / "a.txt").write_text("first", encoding="utf-8")
    (tmp_path / "b.txt").write_text("second", encoding="utf-8")
    given = ["--text", tmp_path / "a.txt", tmp_path / "b.txt", "--output-dir", tmp_path]
    assert run(NAME, *given).names.text == "first\nsecond"


# Tokens


def test_the_vocabulary_is_each_character_once(chapter):
    assert chapter.make_vocabulary("banana") == "abn"
    assert chapter.make_vocabulary(POEM)[:2] == "\n。"


@pytest.mark.parametrize("text", ["banana", POEM, "", "a\tb\r\n 😀"])
def test_encode_gives_each_characters_index(chapter, text):
    vocabulary = "".join(sorted(set(text)))
    ids = chapter.encode(text, vocabulary)
    assert not ids.is_floating_point() and ids.shape == (len(text),)
    assert [vocabulary[index] for index in ids] == list(text)


def test_encode_names_the_characters_without_a_token_id(chapter):
    with pytest.raises(UserError, match="has no '!' '猫', so the model can't read that"):
        chapter.encode("a猫b!", "ab")


def test_a_long_texts_ids_take_four_bytes_each(chapter):
    assert chapter.encode("banana", "abn").element_size() <= 4


def test_decode_is_the_inverse_of_encode(chapter):
    vocabulary = chapter.make_vocabulary(POEM)
    assert chapter.decode(chapter.encode(POEM, vocabulary), vocabulary) == POEM
    assert chapter.decode(torch.tensor([], dtype=torch.int64), "ab") == ""


# Training set and validation set


def test_the_last_tenth_is_the_validation_set(chapter):
    text = "abcdefghijklmnopqrstuvwxy"
    assert chapter.split(text, block_size=1) == (text[:23], "xy")
    with pytest.raises(UserError, match=r"25 characters, too few.*--text"):
        chapter.split(text, block_size=2)


def test_windows_that_also_stand_in_the_training_set_are_left_out(chapter):
    """Windows of 2 + 1 characters start at 0, 2, 4 and 6; "cde" and "ghi" are known."""
    starts = chapter.unseen_windows("xxcdexxghi", "abcdefghijk", block_size=2)
    assert starts.tolist() == [0, 4, 8]
    assert chapter.unseen_windows("abc", "xyz", block_size=2).tolist() == [0]
    with pytest.raises(UserError, match=r"only repeats what stands before it.*--text"):
        chapter.unseen_windows("abcabc", "abc", block_size=2)


def test_read_config_reads_this_chapters_checkpoints_only(chapter, config, tmp_path):
    path = tmp_path / "checkpoint.pt"
    model = make_model(chapter.GPT, config, vocabulary_size=3)
    save(chapter, path, model, config, "abc")
    assert chapter.read_config(path) == ("abc", config)
    save(chapter, path, model, config, "abc", width=3)  # an argument that Config doesn't have
    with pytest.raises(UserError, match="no checkpoint of this chapter"):
        chapter.read_config(path)


# Batches


def test_y_is_x_one_token_later(chapter):
    ids = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])
    x, y = chapter.windows(ids, torch.tensor([0, 4]), block_size=3)
    assert x.tolist() == [[3, 1, 4], [5, 9, 2]]
    assert y.tolist() == [[1, 4, 1], [9, 2, 6]]


def test_a_batch_of_two_windows(chapter, config):
    small = dataclasses.replace(config, block_size=4, batch_size=2)
    x, y = chapter.get_batch(torch.arange(12), small)
    assert x.shape == y.shape == (2, 4)
    assert y.tolist() == [[start + i for i in (1, 2, 3, 4)] for start in x[:, 0].tolist()]


def test_windows_start_anywhere_and_stay_within_the_text(chapter, config):
    ids = torch.arange(12)  # windows of 8 + 1 can start at 0, 1, 2 and 3
    large = dataclasses.replace(config, batch_size=200)
    torch.manual_seed(0)
    x, y = chapter.get_batch(ids, large)
    assert x.shape == y.shape == (200, 8)
    assert set(x[:, 0].tolist()) == {0, 1, 2, 3}
    assert torch.equal(y, x + 1)
    torch.manual_seed(0)
    assert torch.equal(chapter.get_batch(ids, large)[0], x)


def test_the_shares_of_the_processes_make_up_the_whole_batch(chapter, config):
    def batch(*share):
        torch.manual_seed(0)
        return chapter.get_batch(torch.arange(100), config, *share)[0]

    whole, shares = batch(), [batch(rank, 2) for rank in (0, 1)]
    assert [share.shape for share in shares] == [(2, 8), (2, 8)]
    assert sorted(torch.cat(shares).tolist()) == sorted(whole.tolist())


# Cross-entropy


def test_cross_entropy_is_the_mean_over_every_position(chapter):
    torch.manual_seed(0)
    logits, y = torch.randn(2, 2, 3, requires_grad=True), torch.randint(3, (2, 2))
    log_p = logits.log_softmax(dim=-1)
    by_hand = -sum(log_p[b, t, y[b, t]] for b in range(2) for t in range(2)) / 4
    loss = chapter.cross_entropy(logits, y)
    torch.testing.assert_close(loss, by_hand)
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(gradient, (log_p.exp() - F.one_hot(y, 3)) / 4)


class Sums(torch.nn.Module):
    """Logits that depend on all tokens so far, and on the mode: (B, T) -> (B, T, 10)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = torch.nn.Embedding(10, 10)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(self.embedding(x)).cumsum(dim=1)


def test_evaluate_by_hand(chapter):
    """Windows of two tokens: after 0 comes 1, after 1 comes 2, after 2 comes 0, after 0 comes 1."""
    loss = chapter.evaluate(Fixed(), torch.tensor([0, 1, 2, 0, 1]), torch.tensor([0, 2]), 2)
    assert loss == pytest.approx(-(2 * math.log(0.3) + math.log(0.2) + math.log(0.5)) / 4)


def test_evaluate_counts_the_windows_that_it_is_given_once(chapter):
    model = Sums()
    ids, starts = torch.randint(10, (70 * 8 + 5,)), 8 * torch.arange(0, 70, 2)
    x, y = ids[: 70 * 8].view(70, 8)[::2], ids[1 : 70 * 8 + 1].view(70, 8)[::2]
    loss = chapter.evaluate(model, ids, starts, 8)
    assert isinstance(loss, float)
    expected = F.cross_entropy(model.eval()(x).flatten(0, 1), y.flatten())
    assert loss == pytest.approx(expected.item(), rel=1e-5)


# The bigram model


def test_the_bigram_model_counts(chapter):
    bigram = chapter.Bigram(torch.tensor([0, 1, 0, 1, 0, 2]), vocabulary_size=3)
    p = bigram(torch.tensor([[0, 1]])).exp()
    assert p.shape == (1, 2, 3)
    expected = torch.tensor([[1 / 6, 3 / 6, 2 / 6], [3 / 5, 1 / 5, 1 / 5]])
    said = f"after 0 1 0 1 0 2, the probabilities after 0 and 1 are {p[0].tolist()}"
    assert torch.allclose(p[0], expected), f"{said}; expected are {expected.tolist()}"


def test_no_other_table_is_better_on_its_own_text(chapter):
    ids = chapter.encode(POEM * 100, chapter.make_vocabulary(POEM)).long()
    size = ids.max().item() + 1
    bigram = chapter.Bigram(ids, size)
    x, y = ids[None, :-1], ids[None, 1:]
    loss = chapter.cross_entropy(bigram(x), y)
    torch.manual_seed(0)
    for _ in range(5):
        other = (bigram.table + 0.3 * torch.randn(size, size)).log_softmax(dim=1)
        assert chapter.cross_entropy(other[x], y) > loss
    assert loss < math.log(size)


# Generating text


def test_generate_continues_the_text_and_follows_the_seed(chapter):
    start = torch.tensor([1, 2, 3])
    ids = chapter.generate(Sums(), start, 12, block_size=8)
    assert ids.shape == (15,) and ids[:3].tolist() == [1, 2, 3]
    assert torch.equal(ids, chapter.generate(Sums(), start, 12, block_size=8))
    assert not torch.equal(ids, chapter.generate(Sums(), start, 12, block_size=8, seed=1))


@pytest.mark.parametrize(
    "how", [{"top_k": 1}, {"top_k": 1, "seed": 3}, {"temperature": 1e-4}], ids=str
)
def test_the_most_probable_token_alone_is_greedy(chapter, how):
    model, start = Sums().eval(), torch.tensor([1])
    ids, first = start, 0
    for _ in range(20):
        first = len(ids) - 4 if len(ids) - first > 8 else first
        best = model(ids[None, first:])[0, -1].argmax()
        ids = torch.cat([ids, best[None]])
    assert torch.equal(chapter.generate(model, start, 20, 8, **how), ids)


class Fixed(torch.nn.Module):
    """Always the same probabilities: 0.5, 0.3, 0.2."""

    def __init__(self):
        super().__init__()
        self.lengths = []

    def forward(self, x):
        self.lengths.append(x.shape[1])
        return torch.tensor([0.5, 0.3, 0.2]).log().expand(*x.shape, 3)


@pytest.mark.parametrize(
    "how, expected",
    [
        ({"temperature": 1}, [0.5, 0.3, 0.2]),
        ({"temperature": 1, "top_k": 2}, [0.625, 0.375, 0]),
        ({"temperature": 0.5}, [0.658, 0.237, 0.105]),
        ({"temperature": 1, "top_k": 100}, [0.5, 0.3, 0.2]),
    ],
    ids=str,
)
def test_temperature_and_top_k_shape_the_probabilities(chapter, how, expected):
    ids = chapter.generate(Fixed(), torch.tensor([0]), 500, 4, **how)[1:]
    assert (ids.bincount(minlength=3) / 500).tolist() == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    "given, lengths", [(2, [2, 3, 4, 2, 3, 4, 2]), (6, [4, 2, 3, 4, 2, 3, 4])], ids=str
)
def test_a_full_context_loses_its_older_half(chapter, given, lengths):
    model = Fixed()
    chapter.generate(model, torch.arange(given) % 3, 7, block_size=4)
    assert model.lengths == lengths
    assert not model.training


def test_generating_leaves_the_random_numbers_of_training_alone(chapter):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    chapter.generate(Fixed(), torch.tensor([1]), 5, 8)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_sample_stands_in_a_margin(chapter):
    assert chapter.indented("a\n\nb") == "   | a\n   | \n   | b"


# Self-attention


def test_attention_of_two_positions(chapter):
    """The second query's products are 0 and 2 ln 3, halved by sqrt(4): weights 1/4 and 3/4."""
    q, k, v = torch.zeros(3, 2, 4)
    q[:, 0], k[1, 0], v[:, 0] = torch.tensor([1.0, 2.0]), math.log(3), torch.tensor([4.0, 8.0])
    y, weights = chapter.attention(q, k, v)
    torch.testing.assert_close(weights, torch.tensor([[1, 0], [0.25, 0.75]]))
    assert y[:, 0].tolist() == pytest.approx([4, 7])


@pytest.mark.parametrize("shape", [(4, 8), (2, 3, 5, 4)])
def test_attention_by_hand_equals_torchs(chapter, shape):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, *shape)
    y, weights = chapter.attention(q, k, v)
    torch.testing.assert_close(y, F.scaled_dot_product_attention(q, k, v, is_causal=True))
    assert weights.shape == (*shape[:-1], shape[-2])
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(shape[:-1]))
    assert (weights.triu(diagonal=1) == 0).all()


def test_attention_position_by_position(chapter):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 5, 4)
    y, weights = chapter.attention(q, k, v)
    for t in range(5):
        p = torch.softmax(k[: t + 1] @ q[t] / 4**0.5, dim=0)
        torch.testing.assert_close(weights[t, : t + 1], p)
        torch.testing.assert_close(y[t], p @ v[: t + 1])


# Rotary position embeddings


def test_rotate_turns_each_point_by_its_own_angle(chapter):
    """Points (1, 0) and (0, 1): at position t the first is turned by t, the second by t / 10."""
    x = torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(3, 1)
    t = torch.tensor([0.0, 1.0, 2.0])
    expected = torch.stack([t.cos(), -(t / 10).sin(), t.sin(), (t / 10).cos()], dim=1)
    torch.testing.assert_close(chapter.rotate(x), expected)
    torch.testing.assert_close(chapter.rotate(x[:1], start=2), expected[2:])
    torch.testing.assert_close(chapter.rotate(x, base=1e4)[:, 3], (t / 100).cos())


def test_products_of_rotated_vectors_depend_on_the_distance_only(chapter):
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 8)

    def product(t, s):
        return (chapter.rotate(q, start=t) * chapter.rotate(k, start=s)).sum()

    for t, s in [(1, 0), (7, 3), (3, 7)]:
        torch.testing.assert_close(product(t, s), product(t + 50, s + 50), rtol=0, atol=1e-4)
    assert not torch.allclose(product(7, 3), product(7, 4))
    many = torch.randn(2, 3, 5, 8)
    norms = chapter.rotate(many, start=9).norm(dim=-1)
    torch.testing.assert_close(norms, many.norm(dim=-1))


# Several heads


def test_heads_gives_each_head_its_part(chapter, two_heads):
    """Weights that make the queries x, the keys 2x and the values 3x."""
    module, x = chapter.CausalSelfAttention(two_heads), torch.arange(8.0).view(1, 2, 4)
    with torch.no_grad():
        module.c_attn.weight.copy_(torch.cat([n * torch.eye(4) for n in (1, 2, 3)]))
    heads = torch.tensor([[[[0.0, 1.0], [4.0, 5.0]], [[2.0, 3.0], [6.0, 7.0]]]])  # (1, 2, 2, 2)
    q, k, v = module.heads(x)
    torch.testing.assert_close(v, 3 * heads)
    normed = heads / heads.square().mean(dim=-1, keepdim=True).sqrt()
    torch.testing.assert_close(q, chapter.rotate(normed))
    torch.testing.assert_close(k, chapter.rotate(normed))
    later = module.heads(x, start=5)[0]
    torch.testing.assert_close(later, chapter.rotate(normed, start=5))


def test_self_attention_is_each_head_by_hand(chapter, two_heads):
    torch.manual_seed(0)
    module, x = chapter.CausalSelfAttention(two_heads), torch.randn(1, 3, 4, requires_grad=True)
    q, k, v = (x @ module.c_attn.weight.T).split(4, dim=-1)
    heads = []
    for part in (slice(0, 2), slice(2, 4)):
        qh, kh = (chapter.rotate(F.rms_norm(z[..., part], [2])) for z in (q, k))
        heads.append(F.scaled_dot_product_attention(qh, kh, v[..., part], is_causal=True))
    out = module(x)
    torch.testing.assert_close(out, torch.cat(heads, dim=-1) @ module.c_proj.weight.T)
    assert all(one.any() for one in torch.autograd.grad(out.sum(), [x, *module.parameters()]))


def test_self_attention_with_a_cache_computes_the_new_position_only(chapter, two_heads):
    torch.manual_seed(0)
    module, x = chapter.CausalSelfAttention(two_heads), torch.randn(1, 4, 4)
    whole, cache = module(x), []
    torch.testing.assert_close(module(x[:, :2], cache), whole[:, :2])
    for t in (2, 3):
        torch.testing.assert_close(module(x[:, t : t + 1], cache), whole[:, t : t + 1])
    assert [part.shape for part in cache] == 2 * [(1, 2, 4, 2)]


# The GPT


def test_the_mlp_multiplies_values_by_gates(chapter, two_heads):
    torch.manual_seed(0)
    mlp, x = chapter.MLP(two_heads), torch.randn(1, 2, 4)
    assert mlp.c_fc.weight.shape == (20, 4) and mlp.c_fc.bias is None
    values, gates = (x @ mlp.c_fc.weight.T).split(10, dim=-1)
    hidden = values * gates * gates.sigmoid()
    torch.testing.assert_close(mlp(x), hidden @ mlp.c_proj.weight.T)


def test_a_block_is_two_residual_connections_with_pre_norm(chapter, two_heads):
    torch.manual_seed(0)
    block, x = chapter.Block(two_heads), torch.randn(1, 2, 4)
    middle = x + block.attn(F.rms_norm(x, [4]))
    torch.testing.assert_close(block(x), middle + block.mlp(F.rms_norm(middle, [4])))
    cache = []
    block(x, cache)
    assert [part.shape for part in cache] == 2 * [(1, 2, 2, 2)]


def test_the_gpt_has_the_parameters_that_it_should(chapter, config):
    model = make_model(chapter.GPT, config)
    per_block = 4 * 16 * 16 + 3 * 16 * 42 + 2 * 16
    numbers, expected = sum(p.numel() for p in model.parameters()), 20 * 16 + 2 * per_block + 16
    said = f"the model has {numbers} parameters; expected are {expected}"
    assert numbers == expected, f"{said}: a plain list hides its modules"
    for weight in (model.wte.weight, model.head.weight, model.blocks[0].mlp.c_proj.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.3)


def test_forward_goes_through_all_blocks(chapter, two_heads):
    model = make_model(chapter.GPT, two_heads)
    x = torch.tensor([[3, 0, 3]])
    hidden = model.wte.weight[x]
    for block in model.blocks:
        hidden = block(hidden)
    expected = F.rms_norm(hidden, [4]) @ model.head.weight.T
    assert expected.shape == (1, 3, 10)
    logits = model(x)
    torch.testing.assert_close(logits, expected)
    parts = torch.autograd.grad((logits**2).sum(), list(model.parameters()))
    assert all(part.any() for part in parts), "no gradient reaches a parameter"
    caches = [[], []]
    torch.testing.assert_close(model(x, caches), expected)
    assert [len(cache) for cache in caches] == [2, 2]


def test_a_later_token_changes_no_earlier_prediction(chapter, config):
    """This is what the causal mask is for."""
    model = make_model(chapter.GPT, config)
    x = torch.randint(10, (1, 8))
    before = model(x)
    for t in range(1, 8):
        changed = x.clone()
        changed[0, t] = (x[0, t] + 1) % 10
        after = model(changed)
        torch.testing.assert_close(after[:, :t], before[:, :t], rtol=0, atol=1e-6)
        assert not torch.allclose(after[:, t:], before[:, t:], rtol=0, atol=1e-4)


def test_in_mixed_precision_the_loss_and_the_gradients_are_about_the_same(chapter, config):
    """As on CUDA, here with the CPU's autocast: queries and keys are float32, values bfloat16."""
    model, x = make_model(chapter.GPT, config), torch.randint(10, (2, 8))
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = chapter.cross_entropy(model(x), x)
        gradients.append(
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, model.parameters())])
        )
    assert gradients[1].dtype == torch.float32
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0.1, atol=1e-3)


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_untrained_every_token_is_about_as_probable(chapter, size):
    model = make_model(chapter.GPT, chapter.SIZES[size], vocabulary_size=100)
    x, y = torch.randint(100, (2, 8, chapter.SIZES[size].block_size)).unbind()
    loss = chapter.cross_entropy(model(x), y).item()
    assert loss == pytest.approx(math.log(100), rel=0.05)


# Optimizers


def test_orthogonalize_brings_the_singular_values_near_one(chapter):
    torch.manual_seed(0)
    for shape in [(1, 2, 2), (2, 3, 5), (2, 5, 3)]:
        x = torch.randn(shape)
        near = chapter.orthogonalize(x)
        assert near.shape == shape
        for before, after in zip(x, near, strict=True):
            u, s, vh = torch.linalg.svd(before, full_matrices=False)
            s = s / s.square().sum().sqrt()
            for _ in range(5):
                s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
            assert ((s > 0.6) & (s < 1.3)).all()
            torch.testing.assert_close(after, u * s @ vh, rtol=1e-3, atol=1e-3)


def test_two_steps_of_muon_by_hand(chapter):
    """The gradients are 2 G and G, so that the mean is a multiple of G both times."""
    torch.manual_seed(0)
    start, G = torch.randn(2, 3), torch.randn(2, 3)
    parameter = torch.nn.Parameter(start.clone())
    muon = chapter.Muon([{"params": [parameter]}], lr=0.5)
    assert torch.equal(parameter, start)
    step, expected = 0.5 * 0.2 * 3**0.5, start
    for gradient in (2 * G, G):
        parameter.grad = gradient
        muon.step()  # orthogonalized, all multiples of G are the same
        expected = 0.95 * expected - step * chapter.orthogonalize(G[None])[0]
        torch.testing.assert_close(parameter.data, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9 has no Muon")
def test_muon_is_torchs(chapter):
    """Torch computes in bfloat16, so the two agree to about a hundredth of a step."""
    torch.manual_seed(0)
    ours, torchs = [[torch.nn.Parameter(torch.ones(4, 6)) for _ in range(2)] for _ in range(2)]
    muon = chapter.Muon([{"params": ours}], lr=0.1)
    how = {"momentum": 0.9, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
    other = torch.optim.Muon(torchs, lr=0.1, **how)
    for _ in range(4):
        for one, two in zip(ours, torchs, strict=True):
            one.grad = two.grad = torch.randn(4, 6)
        muon.step()
        other.step()
    for one, two in zip(ours, torchs, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0.01)


def test_muon_is_for_the_matrices_of_the_blocks(chapter, config):
    model = make_model(chapter.GPT, config)
    muon, adam = chapter.make_optimizers(model, lr=0.02)
    assert type(muon) is chapter.Muon and type(adam) is torch.optim.Adam
    matrices = [p for group in muon.param_groups for p in group["params"]]
    others = [p for group in adam.param_groups for p in group["params"]]
    assert all(p.dim() == 2 for p in matrices) and len(matrices) == 8
    ids = sorted(id(p) for p in matrices + others)
    assert ids == sorted(id(p) for p in model.parameters())
    assert {id(model.wte.weight), id(model.head.weight)} <= {id(p) for p in others}
    for group in muon.param_groups:
        assert len({p.shape for p in group["params"]}) == 1
        assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.02, 0.9, 0.1)
    rate, betas = adam.param_groups[0]["lr"], adam.param_groups[0]["betas"]
    assert (rate, betas) == (pytest.approx(0.05), (0.9, 0.99))


# Training


@pytest.mark.parametrize(
    "iterations, ends",
    [(5, [4, 5]), (25, [4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 25])],
    ids=["two iterations", "many"],
)
def test_train_is_the_loop_that_the_reader_knows(iterations, ends, chapter, config, capsys):
    config = dataclasses.replace(config, max_iters=iterations)
    ids = torch.randint(10, (200,), generator=torch.Generator().manual_seed(0))
    model = make_model(chapter.GPT, config)
    expected, measured = copy.deepcopy(model), []

    def measure():
        measured.append(0.5 + len(measured))
        return measured[-1]

    optimizers = chapter.make_optimizers(model, config.lr)
    torch.manual_seed(5)
    history = chapter.train(model, optimizers, ids, config, measure, first=3)
    said = capsys.readouterr().out

    optimizers = chapter.make_optimizers(expected, config.lr)
    torch.manual_seed(5)
    losses = []
    for i in range(3, iterations):
        for optimizer, rate in zip(optimizers, (config.lr, 2.5 * config.lr), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * (iterations - i) / iterations
        x, y = chapter.get_batch(ids, config)
        loss = F.cross_entropy(expected(x).view(-1, 10), y.reshape(-1))
        expected.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(expected.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
    torch.testing.assert_close(parameters(model), parameters(expected))
    assert history["iteration"] == ends and history["val loss"] == measured
    for loss, start, end in zip(history["loss"], [3, *ends], ends, strict=False):
        assert loss == pytest.approx(sum(losses[start - 3 : end - 3]) / (end - start))
    reports = zip(ends, history["loss"], measured, strict=True)
    assert said == "".join(
        f"Iteration {end}/{iterations}, loss {loss:.4f}, val loss {val_loss:.4f}\n"
        for end, loss, val_loss in reports
    )


def test_train_overfits_one_window(chapter, config):
    """A text as long as a window has just one: the model learns it by heart."""
    config = dataclasses.replace(config, max_iters=60, lr=0.03)
    ids = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6, 5])
    model = make_model(chapter.GPT, config)
    assert chapter.cross_entropy(model(ids[None, :-1]), ids[None, 1:]) > 2
    history = chapter.train(model, chapter.make_optimizers(model, config.lr), ids, config)
    assert history["loss"][-1] < 0.02


@pytest.mark.parametrize("iterations", [1, 11])
def test_each_loss_in_the_history_is_a_mean_of_batches(iterations, chapter, config):
    """The last one too: an evaluation just before it would leave it no batch."""
    config = dataclasses.replace(config, max_iters=iterations)
    model = make_model(chapter.GPT, config)
    optimizers = chapter.make_optimizers(model, 1e-6)
    history = chapter.train(model, optimizers, torch.arange(200) % 10, config)
    assert history["iteration"][-1] == iterations and history["val loss"] == []
    assert all(loss > 0 for loss in history["loss"])


def test_train_goes_back_to_training_mode_after_each_evaluation(chapter, config):
    config = dataclasses.replace(config, max_iters=2)
    model = make_model(chapter.GPT, config)
    modes = []
    model.register_forward_hook(lambda module, *_: modes.append(module.training))

    def measure():
        model.eval()
        return 0.0

    optimizers = chapter.make_optimizers(model, config.lr)
    chapter.train(model, optimizers, torch.randint(10, (50,)), config, measure)
    assert modes == 2 * [True]


# Ctrl-C


@pytest.fixture
def usual_ctrl_c():
    """KeyboardInterrupt, as in a terminal: in a background job Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_the_first_ctrl_c_is_noted(chapter, usual_ctrl_c):
    with chapter.ctrl_c_noted() as noted:
        assert not noted
        signal.raise_signal(signal.SIGINT)
        assert len(noted) == 1, "Ctrl-C is to enter the list that the block was given"
    assert signal.getsignal(signal.SIGINT) == usual_ctrl_c


def test_a_second_ctrl_c_stops_at_once(chapter, usual_ctrl_c):
    with pytest.raises(KeyboardInterrupt), chapter.ctrl_c_noted() as noted:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second Ctrl-C did nothing")
    assert len(noted) == 1


def test_an_error_leaves_the_usual_ctrl_c(chapter, usual_ctrl_c):
    with pytest.raises(ZeroDivisionError), chapter.ctrl_c_noted():
        1 / 0  # noqa: B018
    assert signal.getsignal(signal.SIGINT) == usual_ctrl_c


def test_another_thread_leaves_ctrl_c_alone(chapter, usual_ctrl_c):
    """Python lets only the main thread install a handler: the other one would get an error."""
    seen = []

    def work():
        with chapter.ctrl_c_noted() as noted:
            seen.append((list(noted), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [([], usual_ctrl_c)]


def test_train_ends_with_the_iteration_in_which_ctrl_c_comes(
    chapter, config, usual_ctrl_c, monkeypatch
):
    """As if it had been the last: it is reported, and all of its updates are made."""
    ids, results = torch.arange(200) % 10, []
    for stops in (False, True):
        model = make_model(chapter.GPT, config)
        optimizers = chapter.make_optimizers(model, config.lr)
        torch.manual_seed(5)
        with monkeypatch.context() as patch:
            interrupt_after(patch, 3 if stops else None)
            history = chapter.train(model, optimizers, ids, config, lambda: 0.5)
        assert history["iteration"] == list(range(1, 4 if stops else 9))
        assert len(history["loss"]) == len(history["val loss"]) == len(history["iteration"])
        results.append((model, history, optimizers))
    (whole_model, whole, _), (model, stopped, optimizers) = results
    assert stopped["loss"] == whole["loss"][:3]
    chapter.train(model, optimizers, ids, config, first=3)
    assert torch.equal(parameters(model), parameters(whole_model))


# Several processes


@pytest.fixture
def torchrun(monkeypatch):
    """torchrun(rank, processes) sets what torchrun sets, but starts nothing.

    It returns a list that gets the backend with which the processes would be joined.
    """

    def start(rank, processes):
        backends = []
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
        for name in ("RANK", "LOCAL_RANK"):
            monkeypatch.setenv(name, str(rank))
        monkeypatch.setattr(torch.distributed, "init_process_group", backends.append)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: processes)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        return backends

    return start


def test_without_torchrun_there_is_one_process(chapter, monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "7")  # another program's
    device = torch.device("cpu")
    assert chapter.join_processes(device) == (0, 1, device)


def test_each_process_has_a_gpu_or_all_share_the_cpu(chapter, torchrun):
    calls = torchrun(1, 2)
    assert chapter.join_processes(torch.device("cuda")) == (1, 2, torch.device("cuda"))
    assert calls == ["cpu:gloo,cuda:nccl"]
    calls = torchrun(5, 6)
    for device in ("cpu", "mps"):
        assert chapter.join_processes(torch.device(device)) == (5, 6, torch.device("cpu"))
    assert calls == ["gloo", "gloo"]


@pytest.mark.parametrize("rank, device", [(2, "cuda"), (0, "cuda:0")])
def test_more_processes_than_gpus(chapter, torchrun, rank, device):
    torchrun(rank, 3)
    with pytest.raises(UserError, match="there are 2: choose --device cpu or cuda"):
        chapter.join_processes(torch.device(device))


def test_a_batch_that_cannot_be_shared(fails, flags, torchrun):
    torchrun(0, 3)
    message = fails(NAME, flags)
    assert "a batch of 2" in message and "3 processes" in message


SAVE_GRADIENT = """
import os, runpy, sys, torch

clip = torch.nn.utils.clip_grad_norm_

def clip_and_save(parameters, max_norm):
    parameters = list(parameters)
    gradient = torch.cat([parameter.grad.flatten() for parameter in parameters])
    torch.save(gradient, f"gradient{os.environ['RANK']}.pt")
    torch.nn.utils.clip_grad_norm_ = clip  # the first batch is enough
    return clip(parameters, max_norm)

torch.nn.utils.clip_grad_norm_ = clip_and_save
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def by_torchrun(folder, *arguments):
    """What subprocess needs to start two processes in a folder by torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    env = {"PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return {
        "args": [*command, *map(str, arguments)],
        "cwd": folder,
        "env": os.environ | env | {"PYTHONUNBUFFERED": "1"},
        "stdin": subprocess.DEVNULL,
        "encoding": "utf-8",
    }


@pytest.mark.slow
def test_two_processes_learn_what_one_does(chapter, chapters_folder, trained, flags, tmp_path):
    """Each sees half of each batch and has the gradient of the whole; the first alone reports."""
    (tmp_path / "save_gradient.py").write_text(SAVE_GRADIENT, encoding="utf-8")
    arguments = ["save_gradient.py", chapters_folder / f"{NAME}.py", *flags]
    done = subprocess.run(**by_torchrun(tmp_path, *arguments), capture_output=True)
    assert done.returncode == 0, done.stderr
    for once in ["Chapter 12", "2 processes share", "Checkpoint:", "Validation loss:"]:
        assert done.stdout.count(once) == 1

    names = trained.names  # of one process, with the same seed
    config = chapter.Config(**dataclasses.asdict(names.config))
    model = make_model(chapter.GPT, config, len(names.vocabulary))
    x, y = chapter.get_batch(names.train_ids, config)
    loss_of_half = chapter.cross_entropy(model(x[:1]), y[:1]).item()
    chapter.cross_entropy(model(x), y).backward()
    whole = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    for rank in (0, 1):
        torch.testing.assert_close(torch.load(tmp_path / f"gradient{rank}.pt"), whole)
    history = training.load_checkpoint(tmp_path / f"{NAME}.pt", model)
    torch.testing.assert_close(parameters(model), parameters(names.model), rtol=1e-3, atol=1e-5)
    assert history["loss"][0] == pytest.approx(loss_of_half)
    assert history["val loss"] == pytest.approx(names.history["val loss"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_under_torchrun_ctrl_c_saves_what_was_learned(chapters_folder, flags, tmp_path):
    """torchrun hands Ctrl-C to its processes one after the other; they stop together."""
    arguments = [chapters_folder / f"{NAME}.py", *flags, "--iterations", 100_000]
    process = subprocess.Popen(
        **by_torchrun(tmp_path, *arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    said = ""
    try:
        for line in process.stdout:
            said += line
            if "2 processes share" in line:
                time.sleep(3)
                process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    finally:
        process.kill()
    stopped = re.search(r"Stopped after (\d+) of 100000 iterations", said)
    assert stopped, said
    history = training.read_checkpoint(tmp_path / f"{NAME}.pt")["history"]
    assert history["iteration"][-1] == int(stopped[1])


# Continuing a prompt


def test_a_cache_changes_no_logits(chapter, sharp):
    """Token by token, then a text that doesn't continue the one before."""
    cached, x = chapter.Cached(sharp), torch.tensor([[3, 1, 4, 1, 5, 9]])
    whole = sharp.eval()(x)
    torch.testing.assert_close(cached.eval()(x[:, :2]), whole[:, :2])
    for t in range(3, 7):
        logits = cached(x[:, :t])
        assert logits.shape == (1, 1, 10), "only the new token goes through the model"
        torch.testing.assert_close(logits, whole[:, t - 1 : t])
    other = torch.tensor([[2, 7, 1]])
    for _ in range(2):
        torch.testing.assert_close(cached(other), sharp(other))


def test_with_a_cache_the_text_is_the_same(chapter, sharp):
    start = torch.tensor([1])
    expected = chapter.generate(sharp, start, 30, 8)
    assert torch.equal(chapter.generate(chapter.Cached(sharp), start, 30, 8), expected)


def arguments(**given):
    """The flags that continue_text and continue_prompt read."""
    defaults = {"length": 9, "temperature": 0.8, "top_k": None, "seed": 0}
    return Namespace(**defaults | {"device": torch.device("cpu")} | given)


@pytest.fixture
def sharp(chapter, config):
    """A model whose logits lie far apart."""
    model = make_model(chapter.GPT, config)
    torch.nn.init.normal_(model.head.weight, std=0.5)
    return model


def test_continue_text_follows_every_flag(chapter, sharp):
    text = chapter.continue_text(sharp, "abcdefghij", "bad", 9, arguments())
    assert text.startswith("bad") and len(text) == 12 and set(text) <= set("abcdefghij")
    for flag in [{"seed": 1}, {"top_k": 2}, {"temperature": 5.0}]:
        expected = chapter.generate(sharp, torch.tensor([1, 0, 3]), 9, 8, **flag)
        expected = chapter.decode(expected, "abcdefghij")
        got = chapter.continue_text(sharp, "abcdefghij", "bad", 9, arguments(**flag))
        assert got == expected != text


def test_continue_prompt_prints_what_the_checkpoints_model_generates(
    chapter, config, sharp, tmp_path, capsys
):
    save(chapter, tmp_path / f"{NAME}.pt", sharp, config, "abcdefghij")
    expected = chapter.continue_text(sharp, "abcdefghij", "bad", 9, arguments())
    args = arguments(output_dir=tmp_path, prompt="bad")
    assert chapter.continue_prompt(args) == expected
    assert capsys.readouterr().out == expected + "\n"
    without = chapter.continue_prompt(arguments(output_dir=tmp_path, prompt="", length=5))
    assert without.startswith("a") and len(without) == 6


def test_prompt_only_continues_the_text(run, trained):
    def shown(*flags):
        folder = ["--output-dir", trained.names.args.output_dir, "--device", "cpu"]
        done = run(NAME, "--prompt", "the cat", *folder, "--length", 30, *flags)
        assert (done.status, done.err) == (0, "")
        return done.out

    names = trained.names
    expected = names.continue_text(names.model, names.vocabulary, "the cat", 30, names.args)
    assert shown() == expected + "\n" != shown("--seed", 4)
    assert shown("--top-k", 1, "--seed", 1) == shown("--top-k", 1, "--seed", 2)


# Results


def test_attention_weights_are_those_the_model_uses(chapter, config):
    model = make_model(chapter.GPT, dataclasses.replace(config, dropout=0.5))
    ids = torch.randint(10, (6,))
    weights = chapter.attention_weights(model, ids)
    assert weights.shape == (2, 2, 6, 6) and not weights.requires_grad
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 2, 6))
    seen = []
    model.blocks[1].attn.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    model(ids[None])
    q, k, v = model.blocks[1].attn.heads(seen[0])
    torch.testing.assert_close(weights[1], chapter.attention(q, k, v)[1][0])


def test_the_head_that_attends_far_back_and_sharply_is_shown(run, flags, monkeypatch):
    """Four heads are made up: they attend to the same position, the previous one, the first, and,
    less sharply, the third before. Only the last tells something, and is to be shown.
    """
    T = 32
    made_up = torch.zeros(4, T, T)
    for head, back in enumerate([0, 1, T, 3]):
        made_up[head, range(T), [max(t - back, 0) for t in range(T)]] = 1 if head < 3 else 0.7
    stack = torch.stack
    monkeypatch.setattr(
        torch,
        "stack",
        lambda parts, *how: (
            made_up[None] if parts[0].shape == made_up.shape else stack(parts, *how)
        ),
    )
    done = run(NAME, *flags)
    names = done.names
    assert "head 4 of layer 1 attends most sharply" in done.out
    _, attends = names.fig.axes
    assert attends.images[0].get_array().tolist() == made_up[3].tolist()
    characters = list(names.text[-(len(names.text) // 10) :][:32].replace(" ", "␣"))
    for labels in (attends.get_xticklabels(), attends.get_yticklabels()):
        assert [label.get_text() for label in labels] == characters


def test_the_figure_shows_the_losses_and_the_baselines(trained):
    names = trained.names
    losses, _ = names.fig.axes
    loss, val_loss, *baselines = losses.lines
    assert list(loss.get_xdata()) == [i + 0.5 for i in range(8)]  # in the middle of each mean
    assert list(loss.get_ydata()) == names.history["loss"]
    assert list(val_loss.get_xdata()) == names.history["iteration"] == list(range(1, 9))
    assert list(val_loss.get_ydata()) == names.history["val loss"]
    assert [line.get_ydata()[0] for line in baselines] == [names.uniform, names.bigram_loss]
    assert [text.get_text() for text in losses.texts] == [
        "uniform guess: 2.48",
        f"bigram baseline: {names.bigram_loss:.2f}",
    ]


# Seed, text, resume, compile


def test_the_same_seed_gives_the_same_model(run, trained, flags):
    same, other = (run(NAME, *flags, "--seed", seed).names for seed in (0, 1))
    assert torch.equal(parameters(same.model), parameters(trained.names.model))
    assert same.history == trained.names.history
    assert not torch.equal(parameters(other.model), parameters(trained.names.model))


def test_chinese_text(run, flags, tmp_path):
    """In the figure, what the font lacks is a box, and what can't be seen has a sign."""
    poem = tmp_path / "诗.txt"
    lines = POEM.split("\n")
    poem.write_text("\n".join(random.Random(0).choices(lines, k=300)), encoding="utf-8")
    done = run(NAME, *flags, "--text", poem, "--iterations", 20)
    names = done.names
    assert set(names.vocabulary) == set(POEM) and done.warned == []
    labels = [label.get_text() for label in names.fig.axes[1].get_xticklabels()]
    line = names.decode(names.line.cpu(), names.vocabulary)
    assert labels == ["↵" if character == "\n" else "□" for character in line]
    assert names.history["val loss"][-1] < 1.5 < names.start_loss
    shown = run(NAME, *flags, "--prompt", "明月").out
    assert shown.startswith("明月") and set(shown) <= set(POEM) and len(shown) == 23


def interrupt_after(monkeypatch, batches):
    """Press Ctrl-C while the given batch is being worked on."""
    clip, clipped = torch.nn.utils.clip_grad_norm_, []

    def clip_grad_norm_(*given):
        clipped.append(1)
        if len(clipped) == batches:
            signal.raise_signal(signal.SIGINT)
        return clip(*given)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip_grad_norm_)


def test_after_ctrl_c_resume_continues_as_if_never_stopped(
    chapter, config, run, flags, monkeypatch, tmp_path
):
    """All start from the checkpoint of an untrained model, which brings a config with dropout."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    config = dataclasses.replace(config, dropout=0.1)
    model = make_model(chapter.GPT, config, len(VOCABULARY))
    save(chapter, whole / f"{NAME}.pt", model, config, VOCABULARY)
    shutil.copytree(whole, parts)
    never_stopped = run(NAME, *flags, "--resume", "--output-dir", whole)
    assert never_stopped.status == 0

    flags = [*flags, "--resume", "--output-dir", parts]
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        stopped = run(NAME, *flags)
    assert (stopped.status, stopped.err) == (0, "")
    assert "\nStopped after 3 of 8 iterations. What was learned so far is kept.\n" in stopped.out
    assert "Stopped" not in never_stopped.out
    assert (parts / f"{NAME}.png").exists()
    assert training.read_checkpoint(parts / f"{NAME}.pt")["history"]["iteration"] == [1, 2, 3]
    resumed = run(NAME, *flags)
    assert torch.equal(parameters(resumed.names.model), parameters(never_stopped.names.model))
    assert resumed.names.history == never_stopped.names.history
    assert resumed.names.history["iteration"] == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.fixture
def continued(trained, flags, tmp_path):
    """Flags that continue training from a copy of `trained`'s checkpoint."""
    shutil.copy(trained.names.checkpoint, tmp_path)
    return [*flags, "--resume"]


def test_resume_trains_up_to_the_iterations_given(run, fails, trained, continued):
    message = fails(NAME, continued)
    assert "trained for 8 iterations" in message and "--iterations 16" in message
    names = run(NAME, *continued, "--iterations", 10, "--lr", 1e-5).names
    assert names.history["iteration"] == [*range(1, 9), 9, 10]
    assert names.history["val loss"][:8] == trained.names.history["val loss"]


def test_the_config_is_the_sizes_or_the_checkpoints_but_for_the_flags(
    chapter, run, trained, continued, text, tmp_path
):
    small = dataclasses.asdict(chapter.SIZES["small"])
    small |= {"max_iters": 8, "batch_size": 2}
    assert dataclasses.asdict(trained.names.config) == small
    few = ["--text", text, "--output-dir", tmp_path, "--resume", "--lr", 0.5]
    assert dataclasses.asdict(run(NAME, *few).names.config) == small | {"lr": 0.5}


def test_resume_wants_the_text_and_the_size_of_the_checkpoint(fails, continued, tmp_path):
    (tmp_path / "other.txt").write_text("0123456789 " * 200, encoding="utf-8")
    assert "same --text" in fails(NAME, [*continued, "--text", tmp_path / "other.txt"])
    assert "--size" in fails(NAME, [*continued, "--size", "small"])


class Compiled(torch.nn.Module):
    """What torch.compile returns, but for the translation, which takes too long for a test."""

    def __init__(self, model):
        super().__init__()
        self.model, self.given, self.without_gradients = model, [], []

    def forward(self, x):
        self.given.append(x)
        self.without_gradients.append(all(p.grad is None for p in self.parameters()))
        return self.model(x)


def test_compile_is_tried_before_training_and_changes_no_result(run, trained, flags, monkeypatch):
    monkeypatch.setattr(torch, "compile", Compiled)
    names = run(NAME, *flags, "--compile").names
    assert torch.equal(names.learner.given[0], names.train_ids[None, :128])
    assert len(names.learner.given) == 9
    assert names.learner.without_gradients[:2] == [True, True]
    assert names.history == trained.names.history


def test_compile_where_it_does_not_work(fails, flags, monkeypatch):
    def compile(model):
        def fail(x):
            raise RuntimeError("no C++ compiler\nand more")

        return fail

    monkeypatch.setattr(torch, "compile", compile)
    message = fails(NAME, [*flags, "--compile"])
    assert "--compile does not work here: no C++ compiler. Leave it out." in message


# Errors


def test_texts_that_cannot_be_used(fails, tmp_path):
    path = tmp_path / "mine.txt"
    flags = ["--output-dir", tmp_path, "--text"]
    message = fails(NAME, [*flags, path])
    assert str(path) in message and "No such file" in message
    assert str(tmp_path) in fails(NAME, [*flags, tmp_path])
    path.write_bytes(POEM.encode("gb18030"))
    message = fails(NAME, [*flags, path])
    assert str(path) in message and "UTF-8" in message
    path.write_text(" \n")
    assert "is empty" in fails(NAME, [*flags, path])
    path.write_text("short")
    assert "too few" in fails(NAME, [*flags, path])


def test_a_prompt_with_unknown_characters(fails, trained):
    folder = trained.names.args.output_dir
    message = fails(NAME, ["--output-dir", folder, "--prompt", "the 猫 sat!"])
    assert "'!'" in message and "'猫'" in message and "'t'" not in message


@pytest.mark.parametrize("job", [["--prompt", "a"], ["--resume"]], ids=str)
def test_checkpoints_that_cannot_be_used(chapter, config, fails, flags, tmp_path, job):
    path = tmp_path / f"{NAME}.pt"
    assert "Train first" in fails(NAME, [*flags, *job])
    path.write_text("not a checkpoint")
    assert "is not a checkpoint" in fails(NAME, [*flags, *job])
    model = torch.nn.Linear(1, 1)
    training.save_checkpoint(path, {}, model, torch.optim.SGD(model.parameters()))
    assert "no checkpoint of this chapter" in fails(NAME, [*flags, *job])
    model = make_model(chapter.GPT, config, len(VOCABULARY))
    save(chapter, path, model, config, VOCABULARY, n_embd=32)  # the model's is 16
    assert "another model" in fails(NAME, [*flags, *job])


def test_a_loss_that_becomes_nan(fails, flags, tmp_path):
    message = fails(NAME, [*flags, "--lr", 1e30], status=1)
    assert "diverged" in message and "--lr" in message
    assert not (tmp_path / f"{NAME}.pt").exists()


def test_a_loss_that_becomes_huge(run, flags):
    """Its perplexity is more than a number can hold."""
    done = run(NAME, *flags, "--lr", 5)
    assert (done.status, done.err) == (0, "")
    assert done.names.history["val loss"][-1] > 710
    assert done.out.endswith(" nats per character (perplexity inf)\n")


def test_flags_that_cannot_be_met(fails, flags):
    assert "not allowed with" in fails(NAME, [*flags, "--resume", "--prompt", "a"])
    assert "invalid choice: 'huge'" in fails(NAME, [*flags, "--size", "huge"])


@needs_cuda
@pytest.mark.parametrize("more", [[], ["--compile"]], ids=str)
def test_on_cuda_it_learns(run, flags, more):
    flags = [*flags, "--device", "cuda"]
    names = run(NAME, *flags, "--iterations", 60, *more).names
    assert names.history["val loss"][-1] < 0.8 * names.start_loss
    assert run(NAME, *flags, "--prompt", "the cat").out.startswith("the cat")
