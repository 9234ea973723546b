"""Chapter 8: save and load, pictures in MNIST's form, predictions, mistakes, confidence."""

import re
from argparse import Namespace
from collections import Counter

import numpy as np
import pytest
import torch
import torchvision
from conftest import assert_drawn, keep_few_images, parameters, save_empty_figures
from handwriting import draw
from PIL import Image

from common import data
from common.chapter import load
from common.cli import ROOT, UserError

NAME, NETWORK = "08_own_digits", "07_mnist_mlp"
CPU = torch.device("cpu")

mnist = load(ROOT / f"{NETWORK}.py")
to_mnist = load(ROOT / f"{NAME}.py").to_mnist  # the project's own


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Chapter 7's network as it is made: the model, and its checkpoint."""
    torch.manual_seed(0)
    model, path = mnist.MNISTModel().eval(), tmp_path_factory.mktemp("made") / "net.pt"
    torch.save(model.state_dict(), path)
    return model, path


@pytest.fixture(scope="module")
def chapter_7(run, tmp_path_factory):
    """Chapter 7's run with a thousand images: `checkpoint` is what it has saved."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        keep_few_images(patch)
        save_empty_figures(patch)
        flags = ["--epochs", 8, "--batch-size", 25, "--lr", 0.05, "--device", "cpu"]
        done = run(NETWORK, *flags, "--output-dir", folder)
    assert done.status == 0
    done.checkpoint = folder / f"{NETWORK}.pt"
    return done


@pytest.fixture(scope="module")
def flags(chapter_7):
    return ["--device", "cpu", "--checkpoint", chapter_7.checkpoint]


@pytest.fixture(scope="module")
def ran(run, flags, outputs):
    done = run(NAME, *flags, "--output-dir", outputs)
    assert (done.status, done.err, done.warned) == (0, "", [])
    return done


@pytest.fixture(scope="module")
def test_set(chapter):
    return torchvision.datasets.MNIST(data.mnist_root(), train=False, transform=chapter.TRANSFORM)


# Save and load


def test_the_names_of_the_state_dict(ran):
    for name, parameter in mnist.MNISTModel().named_parameters():
        assert f"\n{name} {parameter.shape}\n" in ran.out


def test_the_copy_is_filled(ran, outputs):
    assert "\n2. Save and load\nFalse\nTrue\n" in ran.out
    assert not (outputs / "08_copy.pt").exists()


def test_what_another_class_and_another_device_give(ran):
    assert 'Missing key(s) in state_dict: "weight", "bias"' in ran.out
    assert 'Unexpected key(s) in state_dict: "linear1.weight"' in ran.out
    assert ran.names.state["linear5.bias"].device.type == "meta"
    assert "tensor(..., device='meta'" in ran.out


def test_dropout_in_both_modes(ran):
    assert not ran.names.dropout.training
    shown = re.findall(r"^tensor\((\[[012]\., .*\])\)$", ran.out, re.MULTILINE)
    training, use = (set(map(float, row.strip("[]").split(","))) for row in shown)
    assert training <= {0.0, 2.0} and use == {1.0}


def test_the_page_loads_what_chapter_7_has_trained(chapter_7, ran):
    assert torch.equal(parameters(ran.names.model), parameters(chapter_7.names.model))


def test_chapter_7s_network_and_chapter_10s_are_loaded(chapter, network, tmp_path):
    cnn = load(ROOT / "10_mnist_cnn.py").CNN()
    torch.save(cnn.state_dict(), tmp_path / "net.pt")
    for model, path in [network, (cnn, tmp_path / "net.pt")]:
        loaded = chapter.load_network(path, CPU)
        assert type(loaded).__name__ == type(model).__name__
        assert torch.equal(parameters(loaded), parameters(model))
        assert not loaded.training, "call eval() before the network is used"


def test_a_checkpoint_that_is_none(chapter, tmp_path):
    for name, script in [(NETWORK, NETWORK), ("10_mnist_cnn", "10_mnist_cnn")]:
        with pytest.raises(UserError, match=rf"{name}\.pt\. Train first: python {script}\.py"):
            chapter.load_network(tmp_path / f"{name}.pt", CPU)
    path = tmp_path / "net.pt"
    with pytest.raises(UserError, match=r"net\.pt\. Train first, or name another file"):
        chapter.load_network(path, CPU)
    path.write_text("not a checkpoint")
    with pytest.raises(UserError, match=r"net\.pt is not a checkpoint"):
        chapter.load_network(path, CPU)
    for other in (torch.nn.Linear(1, 1).state_dict(), {"model": {}}, {1: 2}):
        torch.save(other, path)
        with pytest.raises(UserError, match=r"net\.pt belongs to another model"):
            chapter.load_network(path, CPU)


# From a picture to MNIST's form


def center_of_mass(field):
    index = np.arange(28)
    return [np.average(index, weights=field.sum(axis=axis)) for axis in (1, 0)]


@pytest.mark.parametrize("height", [14, 40, 150, 600])
@pytest.mark.parametrize("digit", [1, 4, 8])
def test_twenty_pixels_high_and_centred_by_mass(digit, height, chapter):
    field = chapter.to_mnist(draw(digit, height))
    rows, columns = np.flatnonzero(field.any(axis=1)), np.flatnonzero(field.any(axis=0))
    assert field.shape == (28, 28) and field.dtype == np.float32
    assert rows[-1] - rows[0] + 1 == 20
    assert columns[-1] - columns[0] + 1 < 20
    assert center_of_mass(field) == pytest.approx([14, 14], abs=0.51)
    assert (field.min(), field.max()) == (0, 1)
    assert field[[0, -1]].max() == field[:, [0, -1]].max() == 0


def test_a_wide_digit_is_twenty_pixels_wide(chapter):
    field = chapter.to_mnist(draw(1, 100).rotate(80, fillcolor="white"))
    columns = np.flatnonzero(field.any(axis=0))
    assert columns[-1] - columns[0] + 1 == 20


def test_a_digit_whose_mass_is_at_one_end_stays_in_the_field(chapter):
    image = Image.new("RGB", (200, 300), "white")
    image.paste("black", (60, 60, 140, 90))
    image.paste("black", (98, 90, 102, 240))
    field = chapter.to_mnist(image)
    rows = np.flatnonzero(field.any(axis=1))
    assert rows[-1] - rows[0] + 1 == 20 and rows[-1] <= 27


def test_an_empty_picture(chapter):
    with pytest.raises(ValueError, match="it shows no digit"):
        chapter.to_mnist(Image.new("RGB", (100, 100), "white"))


def test_the_centre_of_mass_by_hand(chapter):
    assert chapter.centre_of_mass(np.array([1, 0, 0, 3])) == 9 / 4


def test_mnists_digits_come_back(chapter, test_set):
    """Enlarged to 200 pixels, cut out or with margins, dark or light: nearly the same image."""
    for i in range(10):
        original = test_set.data[i].numpy()
        y, x = np.nonzero(original)
        digit = original[y.min() : y.max() + 1, x.min() : x.max() + 1]
        for margin in (0, 2, 10):
            framed = Image.fromarray(np.pad(digit, margin * (i % 2))).convert("L")
            large = framed.resize([10 * side for side in framed.size], Image.Resampling.BICUBIC)
            field = chapter.to_mnist(large.point(lambda value: 255 - value) if i < 5 else large)
            shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            error = min(
                np.abs(np.roll(field, shift, (0, 1)) - original / 255).sum() for shift in shifts
            )
            assert error / (original / 255).sum() < 0.45, f"test image {i}, margin {margin}"


def test_what_the_page_draws_and_says_of_it(ran):
    """The numbers of the sections on the drawn seven, each by another way."""
    names = ran.names
    pixels = np.asarray(names.sheet)
    assert pixels.shape == (200, 300, 3) and names.sheet.size == (300, 200)
    assert (
        "\npaper [1.         1.         0.87843137] ink [0.         0.         0.50196078]\n"
        in (ran.out)
    )
    is_ink = (pixels == (0, 0, 128)).all(axis=-1)
    assert np.array_equal(names.ink == 1, is_ink) and np.array_equal(names.ink == 0, ~is_ink)
    assert "\n0.0 1.0\n" in ran.out
    assert "\nTrue\n" in ran.out and np.array_equal(names.found > 0.5, is_ink)
    assert center_of_mass(names.field) == pytest.approx([14, 14], abs=0.51)
    y, x = (names.centre_of_mass(names.field.sum(axis=axis)) for axis in (1, 0))
    assert f"\ncentre of mass {y} {x}\n" in ran.out


# The probability of each digit


def test_the_transform_is_chapter_7s(chapter, chapter_7):
    assert repr(chapter_7.names.transform) == repr(chapter.TRANSFORM)


def test_predict_by_hand(chapter):
    z = torch.tensor([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]])  # the logits of two images
    p = chapter.predict(torch.nn.Identity(), z)
    torch.testing.assert_close(p, torch.softmax(z, dim=1))


def test_predict_gives_probabilities(chapter):
    torch.manual_seed(0)
    model, images = mnist.MNISTModel(), torch.randn(4, 1, 28, 28)
    p = chapter.predict(model, images)
    torch.testing.assert_close(p, torch.softmax(model(images), dim=1))
    assert not p.requires_grad
    assert not model.training


def test_predict_files_names_each_picture_its_digit_and_the_next(
    chapter, network, tmp_path, capsys
):
    """Also those that a pattern stands for, which Windows' shells leave to the program."""
    model, checkpoint = network
    for digit in (2, 5, 7):
        draw(digit, 100).save(tmp_path / f"{digit}.png")
    pictures = [tmp_path / "2.png", tmp_path / "*7.png"]
    args = Namespace(device=CPU, checkpoint=checkpoint, pictures=pictures, output_dir=None)
    chapter.predict_files(args)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"Checkpoint: {checkpoint}"
    fields = np.stack([to_mnist(draw(digit, 100)) for digit in (2, 7)])
    images = torch.tensor((fields - 0.1307) / 0.3081).unsqueeze(1)
    expected = torch.softmax(model(images), dim=1)
    for digit, line, row in zip((2, 7), lines, expected, strict=True):
        second, first = row.argsort()[-2:].tolist()
        path = tmp_path / f"{digit}.png"
        expected = f"{path}: {first} ({row[first]:.1%}; next {second}, {row[second]:.1%})"
        assert line == expected, f"it printed   {line}\nexpected is  {expected}"


def test_predict_files_tells_at_the_end_what_it_cannot_read(chapter, network, tmp_path, capsys):
    (tmp_path / "a.png").write_text("no picture")
    draw(7, 100).save(tmp_path / "b.png")
    pictures = [tmp_path / "a.png", tmp_path / "b.png"]
    args = Namespace(device=CPU, checkpoint=network[1], pictures=pictures, output_dir=None)
    with pytest.raises(UserError, match=r"no answer for\n.*a\.png"):
        chapter.predict_files(args)
    assert f"\n{tmp_path / 'b.png'}: " in capsys.readouterr().out


def test_pictures_are_answered_and_nothing_else_runs(run, flags, tmp_path):
    draw(5, 100).save(tmp_path / "5.png")
    done = run(NAME, tmp_path / "5.png", *flags, "--output-dir", tmp_path / "none")
    assert (done.status, done.err) == (0, "")
    assert [line.split(": ")[0] for line in done.out.splitlines()] == [
        "Checkpoint", str(tmp_path / "5.png")
    ]  # fmt: skip
    assert not hasattr(done.names, "model") and not (tmp_path / "none").exists()


def test_files_without_an_answer_do_not_hide_the_others(run, flags, tmp_path):
    """A whole folder: pictures, an index of thumbnails, an empty file, a blank sheet, a folder."""
    for name in ("a.png", "z.png"):
        draw(3, 100).save(tmp_path / name)
    (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0 an index")
    (tmp_path / "empty.jpg").touch()
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    (tmp_path / "folder").mkdir()
    done = run(NAME, tmp_path / "*", *flags)
    assert done.status == 2
    assert [line.split(": ")[0] for line in done.out.splitlines()] == [
        "Checkpoint", *(str(tmp_path / name) for name in ("a.png", "z.png"))
    ]  # fmt: skip
    first, *problems = done.err.splitlines()
    assert first == "error: no answer for"
    expected = {"Thumbs.db": "unknown format", "blank.png": "no digit", "empty.jpg": "is empty"}
    expected["folder"] = ""  # each system says this in its own words
    assert len(problems) == 4 and "Traceback" not in done.err
    for name, reason in expected.items():
        (problem,) = [one for one in problems if one.startswith(f"{tmp_path / name}: ")]
        assert reason in problem


def test_without_a_checkpoint_it_says_how_to_make_one(fails, tmp_path):
    for more in ([], [tmp_path / "a.png"]):
        message = fails(NAME, [*more, "--device", "cpu", "--output-dir", tmp_path])
        assert f"{NETWORK}.pt" in message and f"Train first: python {NETWORK}.py" in message


# Mistakes and confidence, the page to draw on, the figure


def test_accuracy_and_confidence_are_those_of_all_test_images(ran, test_set):
    names = ran.names
    images = (test_set.data.unsqueeze(1) / 255 - 0.1307) / 0.3081
    with torch.no_grad():
        p = torch.softmax(names.model(images), dim=1)
    torch.testing.assert_close(names.probabilities, p, atol=1e-5, rtol=1e-4)
    assert torch.equal(names.confidence, names.probabilities.max(dim=1).values)
    assert torch.equal(names.predicted, names.probabilities.argmax(dim=1))
    right = (names.predicted == test_set.targets).sum().item()
    assert names.accuracy == right / 10_000 and names.accuracy > 0.8
    assert ran.out.endswith(f"\nAccuracy: {right / 10_000:.4f}\n")


def test_the_confusion_matrix(ran, test_set):
    counts = Counter(zip(test_set.targets.tolist(), ran.names.predicted.tolist(), strict=True))
    expected = [[counts[true, other] for other in range(10)] for true in range(10)]
    assert ran.names.counts.tolist() == expected
    assert str(torch.tensor(expected)) in ran.out


def test_the_run_compares_confidence_with_mistakes(ran):
    confidence, wrong = ran.names.confidence.tolist(), ran.names.wrong.tolist()
    assert f"\nmistakes to be expected: {sum(1 - p for p in confidence):.0f}\n" in ran.out
    assert f"\nmistakes made: {sum(wrong)}\n" in ran.out
    group = [i for i, p in enumerate(confidence) if 0.9 < p < 0.99]
    mean = sum(confidence[i] for i in group) / len(group)
    right = sum(not wrong[i] for i in group) / len(group)
    assert (
        f"\nimages with a confidence from 90 % to 99 %: {len(group)}\n"
        f"their mean confidence: {mean:.4f}\n"
        f"the share that is right: {right:.4f}\n"
    ) in ran.out


def test_the_page_to_draw_on_is_written(ran, outputs):
    text = (outputs / "08_draw.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and len(text) > 1_000_000, "a network is inside"


def test_the_figure(ran, outputs, test_set):
    names = ran.names
    picture, ink, box, field, matrix, *images = names.fig.axes
    assert (picture.images[0].get_array() == np.asarray(names.sheet)).all()
    assert (ink.images[0].get_array() == names.found).all()
    assert box.images[0].get_array().sum() == pytest.approx(names.found.sum())
    assert (field.images[0].get_array() == names.field).all()
    p = names.predict(names.model, names.TRANSFORM(names.field)[None])[0]
    assert field.get_title().endswith(f": {p.argmax()} ({p.max():.1%})")
    labels, predicted = test_set.targets.tolist(), names.predicted.tolist()
    counts = Counter(zip(predicted, labels, strict=True))  # x: predicted, y: true
    assert {text.get_position(): int(text.get_text()) for text in matrix.texts} == counts
    wrong = [i for i in range(10_000) if predicted[i] != labels[i]]
    assert matrix.get_title(loc="left") == f"{len(wrong)} of 10,000 test images are misclassified"
    worst = sorted(wrong, key=lambda i: -names.confidence[i])[:10]
    for i, axes in zip(worst, images, strict=True):
        assert axes.get_title() == f"{labels[i]} → {predicted[i]}\n{names.confidence[i]:.1%}"
        assert (axes.images[0].get_array() == test_set.data[i].numpy()).all()
    assert_drawn(outputs / f"{NAME}.png")
