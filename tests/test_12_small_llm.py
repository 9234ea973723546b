"""Chapter 12: attention, positions, blocks, the GPT, Muon, its training, a text with a cache."""

import copy
import math
import random
import re
import shutil
from argparse import Namespace

import pytest
import torch
from conftest import assert_drawn, needs_cuda, parameters, save_empty_figures
from torch.nn import functional as F

from common import training
from common.cli import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

NAME = "12_small_llm"
POEM = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\n"
WORDS = ["the", "cat", "sat", "on", "the", "mat.", "a", "rat", "ran."]
CHEAP = ["--iterations", 8, "--batch-size", 2, "--length", 20, "--device", "cpu"]
TINY = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 8, "dropout": 0.0}
TINY |= {"iterations": 8, "batch_size": 4, "lr": 0.01, "weight_decay": 0.1}
TWO_HEADS = TINY | {"n_embd": 4}  # four numbers per token, two for each head
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def write(path, pieces, seed=0, count=500, between=" "):
    """A text of such pieces, in random order."""
    text = between.join(random.Random(seed).choices(pieces, k=count))
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write(tmp_path_factory.mktemp("text") / "text.txt", WORDS)


@pytest.fixture(scope="module")
def trained(run, text, tmp_path_factory):
    """The chapter after eight updates; its files are only read below."""
    with pytest.MonkeyPatch.context() as patch:
        save_empty_figures(patch)
        done = run(NAME, *CHEAP, "--text", text, "--output-dir", tmp_path_factory.mktemp("out"))
    assert (done.status, done.err, done.warned) == (0, "", [])
    return done


@pytest.fixture
def flags(text, tmp_path, quick_figures):
    """The flags of `trained`, for a folder of the test's own."""
    return [*CHEAP, "--text", text, "--output-dir", tmp_path]


def make_model(chapter, config=TINY):
    """A GPT all of whose parameters are at work; its logits lie far apart."""
    torch.manual_seed(0)
    model = chapter.GPT(10, config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.3)
    return model


# The whole chapter


@pytest.fixture(scope="module")
def ran(run, outputs, tmp_path_factory):
    """The chapter on letters at random."""
    path = write(tmp_path_factory.mktemp("letters") / "letters.txt", "abcd", count=6000, between="")
    flags = ["--size", "tiny", "--iterations", 12, "--length", 20, "--device", "cpu"]
    done = run(NAME, *flags, "--text", path, "--output-dir", outputs)
    assert (done.status, done.err, done.warned) == (0, "", [])
    return done


def said(done, heading):
    """What a run printed in one section."""
    return re.search(rf"\n\d+\. {heading}[^\n]*\n(.*?)(?=\n\n\d+\. |\Z)", done.out, re.DOTALL)[1]


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+\.\d*", text)]


def test_it_runs_as_its_docstring_says(ran, outputs, last_lines, chapter):
    last_lines(chapter, ran.out)
    assert (outputs / f"{NAME}.pt").exists()
    assert_drawn(outputs / f"{NAME}.png")


def test_random_letters_cannot_be_predicted(ran):
    loss, perplexity = numbers(ran.out)[-2:]
    assert math.log(4) - 0.01 < loss < math.log(4) + 0.05
    assert perplexity == pytest.approx(math.exp(loss), abs=0.01)
    assert re.fullmatch("[abcd]{21}", said(ran, "Generating")), "the first character, and 20 more"


def test_what_the_sections_show(ran):
    *weights, std = numbers(said(ran, "Self-attention"))
    weights = torch.tensor(weights).view(4, 4)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(4), rtol=0, atol=2e-4)
    assert (weights.triu(diagonal=1) == 0).all() and weights.count_nonzero() == 10
    assert "\nTrue\n" in said(ran, "Self-attention"), "torch's own gives the same"
    assert std == pytest.approx(math.sqrt(256), abs=0.5)
    assert said(ran, "Positions") == "True\nFalse"
    cos, sin, near, far, other = numbers(said(ran, "Rotary position embeddings"))
    assert (cos, sin) == pytest.approx((math.cos(1), math.sin(1)), abs=1e-4)
    assert near == far != other, "the products of rotated vectors depend on the distance"
    shapes = [[2, 5, 8], [2, 5, 2, 4], [2, 2, 5, 4]]
    shown = "".join(f"torch.Size({shape})\n" for shape in shapes)
    assert said(ran, "Several heads").startswith(shown)
    assert numbers(said(ran, "Several heads")) == [0.3333, 0.3333, 1.0, 1.6667]
    assert numbers(said(ran, "Neighbours"))[:3] == [1, 2 + 10 * 1, 3 + 10 * 2]


def test_what_the_section_on_muon_shows(ran):
    *values, a, b, c, d, one, zero, nought, small = numbers(said(ran, "Muon"))
    assert values[:2] == pytest.approx([1.01**0.5 + 0.9, 1.01**0.5 - 0.9], abs=1e-4)
    singular = torch.linalg.svdvals(torch.tensor([[a, b], [c, d]]))
    assert values[2:] == pytest.approx(singular.tolist(), abs=2e-4)
    assert all(0.69 < value < 1.21 for value in [*values[2:], one]) and zero == nought == 0
    assert small == pytest.approx(0.47, abs=0.005), "what is very small stays smaller"


def test_the_losses_shown(trained):
    names = trained.names
    before, uniform, after = numbers(said(trained, "The text, and"))
    assert uniform == math.log(len(names.vocabulary))
    assert after < before == pytest.approx(uniform, rel=0.05)
    assert isinstance(names.adamw, torch.optim.AdamW)
    assert [i for i, _, _ in names.history] == [1, 2, 3, 4, 5, 6, 7, 8], "too few for tenths"
    lines = [f"Iteration {i}, Loss: {a:.4f}, val loss: {b:.4f}" for i, a, b in names.history]
    assert said(trained, "Training") == "\n".join(lines)
    assert names.val_loss.item() == pytest.approx(names.history[-1][2])


def test_the_validation_set_is_the_last_tenth_without_what_stands_before(trained, text):
    names, T, text = trained.names, trained.names.config["block_size"], text.read_text()
    before, last = text[: -(len(text) // 10)], text[-(len(text) // 10) :]
    assert names.RNN.decode(names.train_ids, names.vocabulary) == before
    assert names.RNN.decode(names.val_ids, names.vocabulary) == last
    new = [i for i in range(0, len(last) - T, T) if last[i : i + T + 1] not in before]
    x, y = (torch.stack([names.val_ids[i + k : i + k + T] for i in new]) for k in (0, 1))
    with torch.no_grad():
        loss = F.cross_entropy(names.model.eval()(x)[0].mT, y).item()
    assert names.val_loss.item() == pytest.approx(loss, rel=1e-5)


def test_the_learning_rates_fall_to_0_along_a_straight_line(run, flags, monkeypatch):
    rates, step = [], torch.optim.Adam.step

    def noted_step(self):
        rates.append(self.param_groups[0]["lr"])
        step(self)

    monkeypatch.setattr(torch.optim.Adam, "step", noted_step)
    muon, _ = run(NAME, *flags, "--lr", 0.004, "--iterations", 4).names.optimizers
    assert rates[-4:] == pytest.approx([0.01, 0.0075, 0.005, 0.0025])  # AdamW comes before
    assert muon.param_groups[0]["lr"] == pytest.approx(0.001)


def test_the_figure_shows_the_losses_and_each_head_of_the_first_block(trained):
    names, seen = trained.names, []
    losses, *heads = names.fig.axes
    iterations, *curves = zip(*names.history, strict=True)
    for line, curve in zip(losses.lines, curves, strict=True):
        assert list(line.get_xdata()) == list(iterations)
        assert list(line.get_ydata()) == pytest.approx(curve)
    attn = names.model.blocks[0].attn
    hook = attn.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    T = len(heads[0].images[0].get_array())
    with torch.no_grad():
        names.model.eval()(names.val_ids[None, :T])
        q, k, v = attn.heads(seen[0])
    hook.remove()
    _, weights = names.attention(names.rotate(q), names.rotate(k), v)
    for axes, head in zip(heads, weights[0], strict=True):
        torch.testing.assert_close(torch.tensor(axes.images[0].get_array()), head)


# Self-attention and positions


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
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(shape[:-1]))


def test_rotate_turns_each_point_by_its_own_angle(chapter):
    """Points (1, 0) and (0, 1): at position t the first is turned by t, the second by t / 10."""
    x = torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(3, 1)
    t = torch.tensor([0.0, 1.0, 2.0])
    expected = torch.stack([t.cos(), -(t / 10).sin(), t.sin(), (t / 10).cos()], dim=1)
    torch.testing.assert_close(chapter.rotate(x), expected)
    torch.testing.assert_close(chapter.rotate(x[:1], start=2), expected[2:])
    torch.testing.assert_close(chapter.rotate(x, base=1e4)[:, 3], (t / 100).cos())
    for size in chapter.SIZES.values():
        D = size["n_embd"] // size["n_head"]
        last = chapter.rotate(torch.eye(D)[D // 2 - 1 :][:1], start=1)[0, -1].asin()
        assert round(last.item(), 2) == 0.01, "the last by about a hundredth"


# The parts of the GPT


def test_heads_gives_each_head_its_part(chapter):
    """Weights that make the queries x, the keys 2x and the values 3x."""
    module, x = chapter.CausalSelfAttention(TWO_HEADS), torch.arange(8.0).view(1, 2, 4)
    with torch.no_grad():
        module.c_attn.weight.copy_(torch.cat([n * torch.eye(4) for n in (1, 2, 3)]))
    heads = torch.tensor([[[[0.0, 1.0], [4.0, 5.0]], [[2.0, 3.0], [6.0, 7.0]]]])  # (1, 2, 2, 2)
    q, k, v = module.heads(x)
    torch.testing.assert_close(v, 3 * heads)
    normed = heads / heads.square().mean(dim=-1, keepdim=True).sqrt()
    torch.testing.assert_close(q, normed)
    torch.testing.assert_close(k, normed)


def test_self_attention_is_each_head_by_hand(chapter):
    torch.manual_seed(0)
    module, x = chapter.CausalSelfAttention(TWO_HEADS), torch.randn(1, 3, 4, requires_grad=True)
    q, k, v = (x @ module.c_attn.weight.T).split(4, dim=-1)
    heads = []
    for part in (slice(0, 2), slice(2, 4)):
        qh, kh = (chapter.rotate(F.rms_norm(z[..., part], [2])) for z in (q, k))
        heads.append(F.scaled_dot_product_attention(qh, kh, v[..., part], is_causal=True))
    out, _ = module(x)
    torch.testing.assert_close(out, torch.cat(heads, dim=-1) @ module.c_proj.weight.T)
    assert all(one.any() for one in torch.autograd.grad(out.sum(), [x, *module.parameters()]))


def test_a_full_cache_drops_the_oldest_token(chapter):
    """Only distances count, so the result is that of the last tokens alone."""
    torch.manual_seed(0)
    module, x = chapter.CausalSelfAttention(TWO_HEADS | {"block_size": 3}), torch.randn(1, 4, 4)
    _, cache = module(x[:, :3])
    y, (keys, values) = module(x[:, 3:], cache)
    torch.testing.assert_close(y, module(x[:, 1:])[0][:, 2:])
    assert keys.shape == values.shape == (1, 2, 3, 2)


def test_the_convolution_is_torchs(chapter):
    """In parts too, each of which comes with the last three positions before it."""
    torch.manual_seed(0)
    x, weight = torch.randn(2, 9, 6), torch.randn(4, 6)
    expected = x + F.conv1d(F.pad(x.mT, (3, 0)), weight.T[:, None], groups=6).mT
    torch.testing.assert_close(chapter.causal_conv(x, weight)[0], expected)
    y, before = chapter.causal_conv(x[:, :2], weight)
    torch.testing.assert_close(y, expected[:, :2])
    for t in range(2, 9):
        y, before = chapter.causal_conv(x[:, t : t + 1], weight, before)
        torch.testing.assert_close(y, expected[:, t : t + 1])


def test_a_block_is_two_residual_connections_with_pre_norm(chapter):
    block = make_model(chapter, TWO_HEADS).blocks[0]
    x = torch.randn(1, 5, 4)
    normed = F.rms_norm(x, [4]) * block.norm_1.weight
    middle = x + block.attn(chapter.causal_conv(normed, block.conv_1)[0])[0]
    normed = F.rms_norm(middle, [4]) * block.norm_2.weight
    y, _ = chapter.causal_conv(normed, block.conv_2)
    hidden = y @ block.c_fc.weight.T
    expected = middle + torch.where(hidden > 0, hidden**2, 0) @ block.c_proj.weight.T
    found, _ = block(x)
    torch.testing.assert_close(found, expected, **CLOSE)
    assert all(p.any() for p in torch.autograd.grad(found.square().sum(), block.parameters()))
    block.dropout.p = 1.0
    assert torch.equal(block(x)[0], x), "both branches are dropped"
    new = chapter.Block(TWO_HEADS | {"dropout": 0.3})
    assert new.dropout.p == 0.3 and not new.conv_1.any() and not new.conv_2.any()


# The GPT


def test_a_new_gpt(chapter):
    """Small weights: every token is about as probable."""
    torch.manual_seed(0)
    model = chapter.GPT(100, TINY)
    per_block = 12 * 16 * 16 + 2 * 16 + 2 * 4 * 16
    count, expected = sum(p.numel() for p in model.parameters()), 200 * 16 + 2 * per_block + 16
    assert count == expected, f"{count} parameters, not {expected}: a plain list hides its modules"
    for weight in (model.wte.weight, model.head.weight, model.blocks[1].c_proj.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.3)
    for size in chapter.SIZES.values():
        x, y = torch.randint(100, (2, 8, 64)).unbind()
        loss = F.cross_entropy(chapter.GPT(100, size)(x)[0].mT, y).item()
        assert loss == pytest.approx(math.log(100), rel=0.05)
    model = chapter.GPT(100, TINY | {"dropout": 1.0})
    assert not model(x)[0].any() and model.eval()(x)[0].any(), "embeddings are dropped, too"


def test_forward_goes_through_all_blocks(chapter):
    model = make_model(chapter, TWO_HEADS)
    x = torch.tensor([[3, 0, 3]])
    hidden = model.wte.weight[x]
    for block in model.blocks:
        hidden, _ = block(hidden)
    expected = F.rms_norm(hidden, [4]) * model.norm.weight @ model.head.weight.T
    logits, _ = model(x)
    torch.testing.assert_close(logits, expected, **CLOSE)
    parts = torch.autograd.grad((logits**2).sum(), list(model.parameters()))
    assert all(part.any() for part in parts), "no gradient reaches a parameter"


def test_a_later_token_changes_no_earlier_prediction(chapter):
    """This is what the causal mask is for."""
    model = make_model(chapter)
    x = torch.randint(10, (1, 8))
    before, _ = model(x)
    for t in range(1, 8):
        changed = x.clone()
        changed[0, t] = (x[0, t] + 1) % 10
        after, _ = model(changed)
        torch.testing.assert_close(after[:, :t], before[:, :t], rtol=0, atol=1e-5)
        assert not torch.allclose(after[:, t:], before[:, t:], rtol=0, atol=1e-3)


@pytest.mark.parametrize("given", [1, 2, 7])
def test_a_cache_changes_no_logits(chapter, given):
    """Token by token after the first ones; a state can be used more than once."""
    model, x = make_model(chapter), torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    whole, _ = model(x)
    logits, first = model(x[:, :given])
    torch.testing.assert_close(logits, whole[:, :given], **CLOSE)
    for _ in range(2):
        state = first
        for t in range(given, 8):
            logits, state = model(x[:, t : t + 1], state)
            torch.testing.assert_close(logits, whole[:, t : t + 1], **CLOSE)


def test_a_full_cache_holds_the_last_block_size_tokens(chapter):
    """So each position attends to eight: the same as one call with a mask that is a band."""
    model = make_model(chapter)
    ids = torch.randint(10, (1, 20))
    band = torch.ones(20, 20, dtype=torch.bool).tril().triu(diagonal=-7)
    x, state = model.wte(ids), None
    for block in model.blocks:
        y, _ = chapter.causal_conv(block.norm_1(x), block.conv_1)
        q, k, v = block.attn.heads(y)
        y = F.scaled_dot_product_attention(chapter.rotate(q), chapter.rotate(k), v, attn_mask=band)
        x = x + block.attn.c_proj(y.transpose(1, 2).flatten(2))
        y, _ = chapter.causal_conv(block.norm_2(x), block.conv_2)
        x = x + block.c_proj(block.c_fc(y).clamp(min=0) ** 2)
    for t, expected in enumerate(model.head(model.norm(x))[0]):
        logits, state = model(ids[:, t : t + 1], state)
        torch.testing.assert_close(logits[0, 0], expected, rtol=1e-3, atol=1e-3)
    *_, (keys, values) = state[0]
    assert keys.shape == values.shape == (1, 2, 8, 8)


# Training


def test_update_by_hand(chapter):
    """A text as long as a window has just one: the batch is that window four times."""
    ids = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6, 5])
    model = make_model(chapter).eval()
    expected = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)  # of an earlier batch
    optimizers = [torch.optim.SGD([p], lr=0.1) for p in model.parameters()]
    loss = chapter.update(model, optimizers, ids, TINY)
    by_hand = F.cross_entropy(expected(ids[None, :-1])[0].mT, ids[None, 1:])
    assert loss == pytest.approx(by_hand.item(), rel=1e-5) and model.training
    gradients = torch.autograd.grad(by_hand, list(expected.parameters()))
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    assert norm > 1, "there is something to clip"
    step = torch.cat([(0.1 * gradient / norm).flatten() for gradient in gradients])
    torch.testing.assert_close(parameters(model), parameters(expected) - step, **CLOSE)


def test_windows_start_anywhere_and_stay_within_the_text(chapter):
    """Of ten tokens, windows of 8 + 1 start at the first or the second."""
    model, seen = make_model(chapter), []
    model.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    chapter.update(model, [], torch.arange(10), TINY | {"batch_size": 50})
    assert seen[0].shape == (50, 8)
    assert torch.equal(seen[0], seen[0][:, :1] + torch.arange(8))
    assert set(seen[0][:, 0].tolist()) == {0, 1}


# Muon


def polynomial(s):
    for _ in range(5):
        s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
    return s


def orthogonalized(x):
    """The polynomial, applied to the singular values themselves."""
    u, s, vh = torch.linalg.svd(x, full_matrices=False)
    return u * polynomial(s / s.norm()) @ vh


@pytest.mark.parametrize("shape", [(2, 2), (3, 5), (5, 3), (1, 4)])
def test_orthogonalize_brings_the_singular_values_near_1(chapter, shape):
    torch.manual_seed(0)
    x = torch.randn(shape)
    torch.testing.assert_close(chapter.orthogonalize(x), orthogonalized(x), rtol=1e-3, atol=1e-3)
    s = polynomial(torch.linspace(0.002, 1, 5000))
    assert (round(s.min().item(), 1), round(s.max().item(), 1)) == (0.7, 1.2)


def test_two_steps_of_muon_by_hand(chapter):
    """Momentum 0.9: the mean is 0.1 G, then 0.09 G + 0.1 H; Nesterov's is 0.9 of that, 0.1 new."""
    torch.manual_seed(0)
    expected, G, H = torch.randn(3, 2, 3)
    parameter = torch.nn.Parameter(expected.clone())
    muon = chapter.Muon([parameter], {"lr": 0.5, "weight_decay": 0.4})
    for gradient, direction in [(G, 0.19 * G), (H, 0.081 * G + 0.19 * H)]:
        parameter.grad = gradient
        muon.step()
        expected = 0.8 * expected - 0.5 * 0.2 * 3**0.5 * orthogonalized(direction)
        torch.testing.assert_close(parameter.data, expected, rtol=1e-3, atol=1e-3)


def test_muon_is_for_the_matrices_of_the_blocks(chapter):
    model = make_model(chapter)
    kinds = [chapter.Muon, torch.optim.Adam]
    muon, adam = chapter.make_optimizers(model, TINY | {"lr": 0.02, "weight_decay": 0.3})
    assert [type(muon), type(adam)] == kinds
    layers = [layer for layer in model.blocks.modules() if isinstance(layer, torch.nn.Linear)]
    (matrices,), (others,) = muon.param_groups, adam.param_groups
    assert {*map(id, matrices["params"])} == {id(layer.weight) for layer in layers}
    ids = sorted(map(id, matrices["params"] + others["params"]))
    assert ids == sorted(map(id, model.parameters())), "each once"
    assert (matrices["lr"], matrices["weight_decay"]) == (0.02, 0.3)
    assert (others["lr"], others["betas"]) == (pytest.approx(2.5 * 0.02), (0.9, 0.99))


# Continuing a prompt


def prompted(chapter, capsys, folder, **given):
    """What continue_prompt prints with these flags."""
    flags = {"prompt": "bad", "length": 5, "temperature": 0.8, "top_k": 1} | given
    chapter.continue_prompt(Namespace(output_dir=folder, device=torch.device("cpu"), **flags))
    return capsys.readouterr().out


def save(folder, model, vocabulary="abcdefghij"):
    more = {"config": TINY, "vocabulary": vocabulary, "text": "", "done": 0}
    training.save_checkpoint(folder / f"{NAME}.pt", [], model, **more)


def test_continue_prompt_prints_what_the_checkpoints_model_predicts(chapter, tmp_path, capsys):
    """The most probable token each time; the model sees eight at most, and no cache."""
    model = make_model(chapter)
    save(tmp_path, model)
    long = ["".join(random.Random(seed).choices("abcdefghij", k=30)) for seed in range(9)]
    for prompt, length in [("bad", 5), ("", 5), *((one, 1) for one in long)]:
        expected = prompt or "a"
        for _ in range(length):
            ids = torch.tensor([["abcdefghij".index(character) for character in expected[-8:]]])
            expected += "abcdefghij"[model.eval()(ids)[0][0, -1].argmax()]
        for how in [{"top_k": 1}, {"top_k": None, "temperature": 1e-4}]:
            shown = prompted(chapter, capsys, tmp_path, prompt=prompt, length=length, **how)
            assert shown == expected + "\n"
    how = {"top_k": None, "temperature": 9.0}
    assert len({prompted(chapter, capsys, tmp_path, **how) for _ in range(5)}) == 5


def test_continue_prompt_on_characters_that_are_unknown_or_for_terminals(chapter, tmp_path, capsys):
    save(tmp_path, make_model(chapter), vocabulary="abcdefghi\x1b")
    with pytest.raises(UserError, match="has no '猫'"):
        prompted(chapter, capsys, tmp_path, prompt="a猫b")
    shown = prompted(chapter, capsys, tmp_path, prompt="\x1ba")
    assert shown.startswith("\\x1ba") and "\x1b" not in shown


def test_prompt_only_continues_the_text(run, fails, trained):
    folder = ["--output-dir", trained.names.args.output_dir, "--device", "cpu"]

    def shown(*flags):
        done = run(NAME, "--prompt", "the cat", *folder, "--length", 30, *flags)
        assert (done.status, done.err) == (0, "")
        return done.out

    assert shown().startswith("the cat") and len(shown()) == 7 + 30 + 1
    assert shown() == shown() != shown("--seed", 4)
    assert shown("--top-k", 1, "--seed", 1) == shown("--top-k", 1, "--seed", 2)
    assert shown("--temperature", 9) != shown("--temperature", 0.1)
    assert "--prompt=VALUE" in fails(NAME, [*folder, "--prompt", "->"])
    assert "has no '-'" in fails(NAME, [*folder, "--prompt=->"])


# Flags and texts


def test_the_same_seed_gives_the_same_model(run, trained, flags):
    same, other = (run(NAME, *flags, "--seed", seed).names for seed in (0, 1))
    assert torch.equal(parameters(same.model), parameters(trained.names.model))
    assert same.history == trained.names.history
    assert not torch.equal(parameters(other.model), parameters(trained.names.model))


def test_the_config_is_the_sizes_but_for_the_flags(chapter, run, trained, flags):
    given = {"iterations": 8, "batch_size": 2}
    assert trained.names.config == chapter.SIZES["small"] | given
    names = run(NAME, *flags, "--size", "tiny", "--iterations", 1, "--lr", 0.5).names
    assert names.config == chapter.SIZES["tiny"] | given | {"iterations": 1, "lr": 0.5}


def test_a_chinese_text(run, flags, tmp_path):
    poem = write(tmp_path / "诗.txt", POEM.splitlines(), count=300, between="\n")
    done = run(NAME, *flags, "--text", poem, "--iterations", 20)
    known = "".join(sorted(set(POEM)))
    assert (done.status, done.warned, done.names.vocabulary) == (0, [], known)
    assert done.names.val_loss < 0.6 * math.log(len(known))
    shown = run(NAME, *flags, "--prompt", "明月").out
    assert shown.startswith("明月") and set(shown) <= set(known) and len(shown) == 23


def test_texts_that_cannot_be_used(fails, tmp_path):
    path, cat = tmp_path / "mine.txt", "The cat sat. "
    for content, words in [
        (b"short", "too few: at least 1,290 are needed"),
        (200 * cat.encode(), "only repeats what stands before"),
        ((200 * cat).encode("utf-16-le"), "looks like UTF-16"),
        ((200 * cat).encode("utf-16"), "looks like UTF-16"),
    ]:
        path.write_bytes(content)
        assert words in fails(NAME, ["--output-dir", tmp_path, "--text", path])


def test_flags_that_cannot_be_met(fails, flags):
    assert "not allowed with" in fails(NAME, [*flags, "--resume", "--prompt", "a"])
    assert "not allowed with" in fails(NAME, [*flags, "--resume", "--size", "tiny"])
    assert "invalid choice: 'huge'" in fails(NAME, [*flags, "--size", "huge"])


@pytest.mark.parametrize("lr", [5, 1e30])
def test_a_loss_that_becomes_huge_or_nan(lr, run, fails, flags, tmp_path):
    """A perplexity may be more than a number can hold; what isn't finite is not saved."""
    if lr == 5:
        done = run(NAME, *flags, "--lr", lr)
        assert (done.status, done.err) == (0, "") and done.out.endswith("(perplexity inf)\n")
    else:
        assert "training has diverged" in fails(NAME, [*flags, "--lr", lr], status=1)
    assert (tmp_path / f"{NAME}.pt").exists() == (lr == 5)


# Ctrl-C and resume


def test_after_ctrl_c_resume_continues_as_if_never_stopped(
    run, interrupted, trained, flags, tmp_path
):
    stopped = interrupted(NAME, flags, "Iteration 3,")
    assert (stopped.status, stopped.err) == (0, "")
    assert stopped.out.count("Stopped. What was learned so far is kept.\n") == 1
    saved = training.read_checkpoint(tmp_path / f"{NAME}.pt")
    assert (saved["done"], saved["history"]) == (3, trained.names.history[:3])
    resumed = run(NAME, *flags, "--resume")
    assert "Iteration 4," in resumed.out and "Iteration 3," not in resumed.out
    assert torch.equal(parameters(resumed.names.model), parameters(trained.names.model))
    assert resumed.names.history == trained.names.history
    assert resumed.names.val_loss == trained.names.val_loss


def test_resume_takes_the_checkpoints_config_but_for_the_flags(run, trained, flags, tmp_path):
    shutil.copy(trained.names.checkpoint, tmp_path)
    more = ["--iterations", 10, "--lr", 1e-6, "--batch-size", 3]
    done = run(NAME, *flags, "--resume", *more)
    given = {"iterations": 10, "lr": 1e-6, "batch_size": 3}
    assert done.names.config == trained.names.config | given
    assert [i for i, _, _ in done.names.history] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert done.names.history[:8] == trained.names.history
    moved = parameters(done.names.model) - parameters(trained.names.model)
    assert 0 < moved.abs().max() < 1e-4, "the learning rate is the new one"
    saved = training.read_checkpoint(tmp_path / f"{NAME}.pt")
    assert (saved["config"], saved["done"]) == (done.names.config, 10)


def test_resume_wants_the_same_text_in_the_same_order(run, fails, flags, tmp_path):
    a, b = (write(tmp_path / name, WORDS, seed=name) for name in "ab")
    assert run(NAME, *flags, "--iterations", 1, "--text", a, b).status == 0
    done = ["--resume", "--iterations", 1, "--text", a, b]
    assert "trained for 1 already: --iterations is the total" in fails(NAME, [*flags, *done])
    for texts in ([b, a], [a]):
        message = fails(NAME, [*flags, "--resume", "--text", *texts])
        assert "Give the same files to --text, in the same order" in message
    resumed = run(NAME, *flags, "--resume", "--iterations", 2, "--text", a, b)
    assert (resumed.status, resumed.names.done) == (0, 2)


@pytest.mark.parametrize("job", [["--prompt", "a"], ["--resume"]], ids=str)
def test_checkpoints_that_cannot_be_used(fails, flags, trained, tmp_path, job):
    path, names = tmp_path / f"{NAME}.pt", trained.names
    assert f"Train first: python {NAME}.py" in fails(NAME, [*flags, *job])
    path.write_text("not a checkpoint", encoding="utf-8")
    assert "is not a checkpoint" in fails(NAME, [*flags, *job])
    training.save_checkpoint(path, [], names.model, *names.optimizers)  # another chapter's
    assert "is not a checkpoint" in fails(NAME, [*flags, *job])
    more = names.more | {"config": names.config | {"n_layer": 1}, "done": 7}
    training.save_checkpoint(path, [], names.model, *names.optimizers, **more)
    assert "another model" in fails(NAME, [*flags, *job])


@needs_cuda
def test_on_cuda_it_learns(run, flags):
    flags = [*flags, "--device", "cuda"]
    names = run(NAME, *flags, "--iterations", 60).names
    assert names.val_loss < 0.8 * math.log(len(names.vocabulary))
    assert run(NAME, *flags, "--prompt", "the cat").out.startswith("the cat")
