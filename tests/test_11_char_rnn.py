"""Chapter 11: tokens, windows, the bigram baseline, recurrent networks, generated text."""

import copy
import math
import random
import re
from pydoc_data.topics import topics

import pytest
import torch
from conftest import assert_drawn, needs_cuda, parameters
from torch.nn import functional as F

from common.cli import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

NAME = "11_char_rnn"
POEM = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\n"
WORDS = "the cat sat on the mat. a rat ran."
CPU = ["--device", "cpu"]


@pytest.fixture(scope="module")
def ran(run, outputs, tmp_path_factory):
    """The chapter on four letters at random: no loss on new text is below ln 4."""
    path = tmp_path_factory.mktemp("letters") / "letters.txt"
    path.write_text("".join(random.Random(0).choices("abcd", k=6_000)), encoding="utf-8")
    flags = ["--iterations", 200, "--batch-size", 1, *CPU]
    done = run(NAME, *flags, "--text", path, "--output-dir", outputs)
    assert (done.status, done.err, done.warned) == (0, "", [])
    return done


@pytest.fixture
def few(tmp_path, quick_figures):
    """Flags for a few updates on a few words."""
    path = tmp_path / "words.txt"
    path.write_text(" ".join(random.Random(0).choices(WORDS.split(), k=500)), encoding="utf-8")
    flags = ["--iterations", 5, "--batch-size", 2, *CPU]
    return [*flags, "--output-dir", tmp_path, "--text", path]


# The whole chapter


def test_it_runs_as_its_docstring_says(ran, outputs, last_lines, chapter):
    last_lines(chapter, ran.out)
    assert_drawn(outputs / f"{NAME}.png")


def test_random_letters_cannot_be_predicted(ran):
    names = ran.names
    assert f"tensor({math.log(4):.4f}) {math.log(4)} tensor(4.0000)\n" in ran.out, "uniform"
    assert len(names.val_losses) == 1
    for loss in (names.bigram, names.val_loss.item(), names.val_losses[0]):
        assert math.log(4) - 0.02 < loss < math.log(4) + 0.1
    assert f"\n{names.bigram} {math.exp(names.bigram)}\n" in ran.out
    said = f"Iteration 200, Loss: {names.losses[-1]:.4f}, val loss: {names.val_losses[0]:.4f}\n"
    assert said in ran.out


def test_the_validation_set_is_the_last_tenth(ran):
    names = ran.names
    assert (names.train_text, names.val_text) == (names.text[:-600], names.text[-600:])
    assert names.train_ids.tolist() == names.ids[:5400].tolist()
    assert names.val_ids.tolist() == names.ids[5400:].tolist()
    assert names.unseen.tolist() == [0, 128, 256, 384]
    assert "\n4 windows, 4 of them are no copies\n" in ran.out
    whole = names.evaluate(names.model, names.val_ids, names.unseen, 128)
    assert names.val_loss.item() == pytest.approx(whole, rel=1e-5)


def test_what_the_page_shows_of_tokens_and_embedding(ran):
    names = ran.names
    shown = names.text[:12]
    assert f"\n{torch.tensor(['abcd'.index(c) for c in shown])} {shown!r}\n" in ran.out
    x, y = names.train_ids[[*range(8)]], names.train_ids[[*range(1, 9)]]
    for row in (x, y):
        assert f"\ntensor([{row.tolist()},\n" in ran.out
    rows = str(names.embedding.weight.data[[4, 0, 4]]).removesuffix(")")
    assert ran.out.count(rows) == 2, "by the table and by one-hot"


def test_the_cell_by_hand_and_the_gradients(ran):
    by_hand, by_torch = re.search(r"\n7\. .*?\n(.*?)\n\n8\. ", ran.out, re.DOTALL)[1].split(
        "\ntensor"
    )
    numbers = [re.findall(r"-?\d\.\d{4}", part) for part in (by_hand, by_torch)]
    assert numbers[0][4:] == numbers[1] and numbers[0][:2] != numbers[0][4:]
    expected = torch.tensor([0.9**100, 1.1**100])
    torch.testing.assert_close(ran.names.h_0.grad, expected, rtol=1e-4, atol=0)
    assert f"\n{ran.names.h_0.grad}\n" in ran.out
    assert round(0.99**100, 2) == 0.37


def test_the_training(ran):
    names = ran.names
    assert len(names.losses) == 200
    gradients = torch.cat([parameter.grad.flatten() for parameter in names.model.parameters()])
    assert gradients.norm() <= 1.0001, "they are clipped"
    assert names.optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)
    assert names.by_length[-1] == pytest.approx(names.val_loss.item(), rel=1e-5)
    left, right = names.fig.axes
    assert left.lines[0].get_ydata().tolist() == names.losses
    assert left.lines[1].get_xydata().tolist() == [[200, names.val_losses[0]]]
    assert [bar.get_height() for bar in right.patches] == names.by_length
    assert len(names.by_length) == 8 and names.BLOCK_SIZE == 2**7


def test_the_generated_text(ran):
    assert re.search(r"\n11\. .*\n[abcd]{401}\n[abcd]{81}\n[abcd]{81}\n\n12\. ", ran.out)


def test_the_default_text_is_pythons_documentation(run, monkeypatch, quick_figures, tmp_path):
    """Loss and figure are of the whole text; a single update will do."""
    monkeypatch.setattr(torch.Tensor, "split", lambda self, size: [self[:2]])
    names = run(NAME, "--iterations", 1, *CPU, "--output-dir", tmp_path).names
    assert names.text == "\n".join(topics.values())
    assert 2 < names.bigram < 2.6
    assert len(names.unseen) < (len(names.val_text) - 1) // 128, "it repeats itself"


def test_the_same_seed_gives_the_same_network(run, few):
    one, two, other = (run(NAME, *few, "--seed", seed).names for seed in (1, 1, 2))
    assert torch.equal(parameters(one.model), parameters(two.model))
    assert not torch.equal(parameters(one.model), parameters(other.model))


def test_ctrl_c_keeps_what_was_learned(interrupted, few):
    done = interrupted(NAME, [*few, "--iterations", 300], "Iteration 200")
    assert (done.status, done.err) == (0, "")
    assert done.out.count("Stopped. What was learned so far is kept.\n") == 1
    assert len(done.names.losses) == 200 and "Validation loss: " in done.out


def test_what_controls_a_terminal_is_shown_escaped(run, few, tmp_path):
    """In a text that somebody else wrote: it could clear the screen, or worse."""
    path = tmp_path / "bad.txt"
    bad = "\x1b\x07\x9b\u202e"
    path.write_text("".join(random.Random(0).choices(bad + "[2J", k=2000)), encoding="utf-8")
    done = run(NAME, *few, path)
    assert done.status == 0 and r"\x1b" in done.out and r"\u202e" in done.out
    assert not set(bad) & set(done.out)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"short", "too few"),
        (b"words " * 1000, "only repeats"),
        (WORDS.encode("utf-16-le"), "looks like UTF-16"),
    ],
    ids=["short", "repeated", "UTF-16"],
)
def test_texts_that_cannot_be_used(content, said, fails, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    assert said in fails(NAME, ["--text", path, "--output-dir", tmp_path])


def test_a_training_that_diverges_is_told(fails, run, few):
    message = fails(NAME, [*few, "--lr", 1e37], status=1)
    assert "diverged" in message and "--lr" in message
    done = run(NAME, *few, "--lr", 1e30)  # a loss whose perplexity is more than a number can hold
    assert (done.status, done.err) == (0, "")
    assert done.out.endswith(" nats per character (perplexity inf)\n")


@needs_cuda
def test_on_cuda_it_learns(run, few):
    names = run(NAME, *few, "--device", "cuda", "--iterations", 100).names
    assert names.val_loss < 0.7 * math.log(len(names.vocabulary))


# Tokens


def test_the_vocabulary_is_each_character_once(chapter):
    assert chapter.make_vocabulary("banana") == "abn"
    assert chapter.make_vocabulary(POEM)[:2] == "\n。"


@pytest.mark.parametrize("text", ["banana", POEM, "a\tb\r\n 😀"])
def test_encode_gives_each_characters_index(chapter, text):
    vocabulary = "".join(sorted(set(text)))
    ids = chapter.encode(text, vocabulary)
    assert ids.dtype == torch.int64 and ids.shape == (len(text),)
    assert [vocabulary[index] for index in ids] == list(text)


def test_decode_is_the_inverse_of_encode(chapter):
    vocabulary = chapter.make_vocabulary(POEM)
    assert chapter.decode(chapter.encode(POEM, vocabulary), vocabulary) == POEM
    assert chapter.decode(torch.tensor([], dtype=torch.int64), "ab") == ""


# Windows


def test_windows_that_also_stand_in_the_training_set_are_left_out(chapter):
    """Windows of 2 + 1 characters start at 0, 2, 4, 6 and 8; "cde" and "ghi" are known."""
    starts = chapter.unseen_windows("xxcdexxghi", "abcdefghijk", block_size=2)
    assert starts.tolist() == [0, 4, 8]
    assert chapter.unseen_windows("abc", "xyz", block_size=2).tolist() == [0]
    with pytest.raises(UserError, match=r"only repeats what stands before.*--text"):
        chapter.unseen_windows("abcabc", "abc", block_size=2)


def test_y_is_x_one_token_later(chapter):
    ids = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])
    x, y = chapter.windows(ids, torch.tensor([0, 4]), block_size=3)
    assert x.tolist() == [[3, 1, 4], [5, 9, 2]]
    assert y.tolist() == [[1, 4, 1], [9, 2, 6]]


# The bigram model


def test_the_bigram_loss_by_hand(chapter):
    """After 0 come 1, 1 and 2, after 1 comes 0 twice; one is added for each of three tokens."""
    ids = torch.tensor([0, 1, 0, 1, 0, 2])
    x, y = torch.tensor([[0, 1], [2, 0]]), torch.tensor([[1, 2], [2, 0]])
    expected = -sum(map(math.log, (3 / 6, 1 / 5, 1 / 3, 1 / 6))) / 4
    assert chapter.bigram_loss(ids, x, y, 3) == pytest.approx(expected)


def test_the_bigram_probabilities_add_up_to_one(chapter):
    ids = torch.tensor([2, 0, 0, 1, 3, 0, 0])
    for a in range(5):
        losses = [
            chapter.bigram_loss(ids, torch.tensor([[a]]), torch.tensor([[b]]), 5) for b in range(5)
        ]
        assert sum(math.exp(-loss) for loss in losses) == pytest.approx(1)


# Recurrent networks


def test_rnn_by_hand_is_torchs(chapter):
    torch.manual_seed(0)
    network = torch.nn.RNN(4, 3)
    x, h = torch.randn(6, 4), torch.randn(3)
    bias = network.bias_ih_l0 + network.bias_hh_l0
    states = chapter.rnn(x, h, network.weight_ih_l0, network.weight_hh_l0, bias)
    torch.testing.assert_close(states, network(x, h[None])[0])


def test_the_gradient_goes_back_through_all_steps(chapter):
    h, zero = torch.zeros(1, requires_grad=True), torch.zeros(1)
    states = chapter.rnn(torch.zeros(10, 1), h, zero[None], torch.tensor([[0.5]]), zero)
    states[-1].backward()
    assert h.grad.item() == pytest.approx(0.5**10)


def lstm_by_hand(lstm, x):
    """The equations of the page: (T, I) -> (T, H). torch has the gates in the order i, f, g, o."""
    h, c = torch.zeros(2, lstm.hidden_size)
    states = []
    for x_t in x:
        z = lstm.weight_ih_l0 @ x_t + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ h + lstm.bias_hh_l0
        i, f, g, o = z.chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states)


def test_the_network_is_embedding_lstm_and_linear_layer(chapter):
    torch.manual_seed(0)
    model = chapter.CharLSTM(7).eval()
    x = torch.tensor([[3, 0, 3, 6], [1, 2, 3, 4]])
    logits, (h, c) = model(x)
    assert logits.shape == (2, 4, 7) and h.numel() + c.numel() == 2 * 512
    for one, found in zip(x, logits, strict=True):
        hidden = lstm_by_hand(model.lstm, model.embedding.weight[one])
        expected = hidden @ model.linear.weight.T + model.linear.bias
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_the_state_stands_for_all_tokens_before(chapter):
    torch.manual_seed(0)
    model, x = chapter.CharLSTM(7).eval(), torch.randint(7, (2, 9))
    whole, _ = model(x)
    first, state = model(x[:, :5])
    rest, _ = model(x[:, 5:], state)
    torch.testing.assert_close(torch.cat([first, rest], dim=1), whole)


class Fixed(torch.nn.Module):
    """Always the same probabilities: 0.5, 0.3, 0.2."""

    def forward(self, x, state=None):
        return torch.tensor([0.5, 0.3, 0.2]).log().expand(*x.shape, 3), state


class Sums(torch.nn.Module):
    """Logits that depend on all tokens so far, the state, and on the mode: (B, T) -> (B, T, 10)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.dropout = torch.nn.Embedding(10, 10), torch.nn.Dropout(0.5)
        self.lengths = []

    def forward(self, x, state=0):
        self.lengths.append(x.shape[1])
        logits = (0 if state is None else state) + self.dropout(self.table(x)).cumsum(dim=1)
        return logits.clone(), logits[:, -1:]


def test_evaluate_by_hand(chapter):
    """Windows of two tokens: after 0 comes 1, after 1 comes 2, after 2 comes 0, after 0 comes 1."""
    loss = chapter.evaluate(Fixed(), torch.tensor([0, 1, 2, 0, 1]), torch.tensor([0, 2]), 2)
    assert loss == pytest.approx(-(2 * math.log(0.3) + math.log(0.2) + math.log(0.5)) / 4)


def test_evaluate_counts_each_window_once_and_without_dropout(chapter):
    """Seventy windows, every second one: 32 and then 3."""
    model = Sums()
    ids, starts = torch.randint(10, (70 * 8 + 5,)), 8 * torch.arange(0, 70, 2)
    x, y = ids[: 70 * 8].view(70, 8)[::2], ids[1 : 70 * 8 + 1].view(70, 8)[::2]
    loss = chapter.evaluate(model, ids, starts, 8)
    expected = F.cross_entropy(copy.deepcopy(model).eval()(x)[0].flatten(0, 1), y.flatten())
    assert isinstance(loss, float) and loss == pytest.approx(expected.item(), rel=1e-5)


# Generating text


@pytest.mark.parametrize("how", [{"top_k": 1}, {"temperature": 1e-4}], ids=str)
def test_the_most_probable_token_alone_is_greedy(chapter, how):
    model = Sums().eval()
    ids = start = torch.tensor([1, 2, 3])
    for _ in range(20):
        ids = torch.cat([ids, model(ids[None])[0][0, -1].argmax()[None]])
    model.train()
    assert torch.equal(chapter.generate(model, start, 20, **how), ids)


def test_generate_feeds_each_new_token_once_and_keeps_the_text(chapter):
    model, start = Sums(), torch.tensor([1, 2, 3])
    ids = chapter.generate(model, start, 12)
    assert ids.shape == (15,) and ids[:3].tolist() == [1, 2, 3]
    assert model.lengths == [3] + 11 * [1], "the state remembers the others"
    torch.manual_seed(1)
    other = chapter.generate(model, start, 12)
    torch.manual_seed(1)
    assert torch.equal(chapter.generate(model, start, 12), other)


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
    torch.manual_seed(0)
    ids = chapter.generate(Fixed(), torch.tensor([0]), 500, **how)[1:]
    assert (ids.bincount(minlength=3) / 500).tolist() == pytest.approx(expected, abs=0.05)
