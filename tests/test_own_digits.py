"""own_digits.py: images as people have them, brought into MNIST's form, and predicted."""

from argparse import Namespace
from collections import Counter

import numpy as np
import pytest
import torch
import torchvision
from conftest import keep_few_images, parameters, save_empty_figures
from handwriting import draw
from PIL import Image, ImageOps

from common import data
from common.chapter import load
from common.cli import ROOT, UserError

NAME, NETWORK = "own_digits", "07_mnist_mlp"
FLAGS = ["--device", "cpu"]
CPU = torch.device("cpu")

digits = load(ROOT / f"{NAME}.py")


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory):
    """Chapter 7's run with a thousand images: the `folder` holds its checkpoint."""
    folder = tmp_path_factory.mktemp("outputs")
    with pytest.MonkeyPatch.context() as patch:
        keep_few_images(patch)
        save_empty_figures(patch)
        flags = ["--epochs", 8, "--batch-size", 25, "--lr", 0.05, *FLAGS]
        done = run(NETWORK, *flags, "--output-dir", folder)
    assert done.status == 0
    done.folder = folder
    return done


@pytest.fixture(scope="module")
def outputs(trained):
    return trained.folder


@pytest.fixture(scope="module")
def test_set():
    return torchvision.datasets.MNIST(data.mnist_root(), train=False, transform=digits.TRANSFORM)


# From a picture to MNIST's form


def mnist_form(image):
    return np.asarray(digits.to_mnist(image), dtype=float)


def centre_of_mass(field):
    index = np.arange(28)
    return [np.average(index, weights=field.sum(axis=axis)) for axis in (1, 0)]


def difference(one, other):
    """How much two fields differ, as a share of the ink, a shift by a pixel disregarded."""
    shifts = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    return min(np.abs(one - np.roll(other, shift, (0, 1))).sum() for shift in shifts) / one.sum()


@pytest.mark.parametrize("height", [14, 40, 150, 600])
@pytest.mark.parametrize("digit", [1, 4, 8])
def test_twenty_pixels_high_and_centred_by_mass(digit, height):
    field = mnist_form(draw(digit, height))
    rows, columns = np.flatnonzero(field.any(axis=1)), np.flatnonzero(field.any(axis=0))
    assert field.shape == (28, 28)
    assert rows[-1] - rows[0] + 1 == 20
    assert columns[-1] - columns[0] + 1 < 20
    assert centre_of_mass(field) == pytest.approx([14, 14], abs=0.51)
    assert field.max() == 255
    assert field[[0, -1]].max() == field[:, [0, -1]].max() == 0


def test_a_wide_digit_is_twenty_pixels_wide():
    field = mnist_form(draw(1, 100).rotate(80, fillcolor="white"))
    columns = np.flatnonzero(field.any(axis=0))
    assert columns[-1] - columns[0] + 1 == 20


PLAIN = mnist_form(draw(5, 100))


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(draw(5, 100, at=(0.1, 0.9)), id="in a corner"),
        pytest.param(draw(5, 100, width=4.0, at=(2.5, 0.2)), id="on a wide sheet"),
        pytest.param(draw(5, 100, "white", "black"), id="light on dark"),
        pytest.param(draw(5, 100, "navy", "lightyellow"), id="colours"),
        pytest.param(draw(5, 100, (200, 60, 60), (60, 122, 60)), id="colours of like brightness"),
        pytest.param(draw(5, 100, 0, 255, "L"), id="grey"),
        pytest.param(draw(5, 100, "#bbb", "#eee"), id="faint"),
        pytest.param(draw(5, 100, (0, 0, 0, 255), (0, 0, 0, 0), "RGBA"), id="dark, transparent"),
        pytest.param(
            draw(5, 100, (255, 255, 255, 255), (255, 255, 255, 0), "RGBA"), id="light, transparent"
        ),
        pytest.param(draw(5, 100).convert("P"), id="palette"),
        pytest.param(draw(5, 100).convert("CMYK"), id="CMYK"),
        pytest.param(draw(5, 100).convert("1", dither=Image.Dither.NONE), id="one bit"),
        pytest.param(draw(5, 400), id="larger"),
        pytest.param(
            Image.fromarray(np.asarray(draw(5, 100, 0, 255, "L"), dtype=np.float32) / 255),
            id="float",
        ),
        *[
            pytest.param(ImageOps.expand(draw(5, 100), width, "black"), id=f"frame of {width}")
            for width in (1, 8, 20)
        ],
        pytest.param(ImageOps.expand(draw(5, 100, "#333"), (12, 0, 0, 0), "#642"), id="table edge"),
        pytest.param(
            ImageOps.expand(draw(5, 100, mode="RGBA"), 30, (0, 0, 0, 0)), id="paper, cut out"
        ),
    ],
)
def test_the_same_digit_however_it_is_shown(image):
    assert difference(PLAIN, mnist_form(image)) < 0.25


def test_an_uneven_light_and_a_grainy_sensor():
    page = np.asarray(draw(5, 400), dtype=float)
    height, width, _ = page.shape
    light = np.linspace(1, 0.5, width)[None, :, None] * np.linspace(1, 0.8, height)[:, None, None]
    grain = np.random.default_rng(0).normal(0, 12, page.shape)
    photo = Image.fromarray(np.clip(page * 0.8 * light + grain, 0, 255).astype(np.uint8))
    assert difference(PLAIN, mnist_form(photo)) < 0.25


def test_a_photo_stored_sideways_is_turned(tmp_path):
    upright, sideways = tmp_path / "upright.png", tmp_path / "sideways.png"
    draw(5, 100).save(upright)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise to see it upright
    draw(5, 100).rotate(90, expand=True).save(sideways, exif=exif)
    assert digits.read(upright).tobytes() == digits.read(sideways).tobytes()


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 300), (28, 28), (1000, 700)])
@pytest.mark.parametrize("mode, color", [("L", 255), ("L", 0), ("RGBA", (0, 0, 0, 0))])
def test_an_empty_image(size, mode, color):
    with pytest.raises(ValueError, match="it shows no digit"):
        digits.to_mnist(Image.new(mode, size, color))


def test_noise_alone_is_no_digit():
    noise = np.random.default_rng(0).normal(128, 20, (300, 300)).clip(0, 255).astype(np.uint8)
    with pytest.raises(ValueError, match="it shows no digit"):
        digits.to_mnist(Image.fromarray(noise))


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_a_file_that_is_no_image(content, tmp_path):
    path = tmp_path / "digit.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"digit\.png as an image: expected PNG, JPEG"):
        digits.read(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*digit\.png as an image: No such file"):
        digits.read(tmp_path / "digit.png")


def test_an_image_of_90_megapixels_is_read_without_a_warning(tmp_path, recwarn):
    """PIL itself warns from 89.5 on."""
    path = tmp_path / "digit.png"
    draw(5, 100).convert("L").resize((9_500, 9_500), Image.Resampling.NEAREST).save(path)
    assert difference(PLAIN, np.asarray(digits.read(path), dtype=float)) < 0.25
    assert not recwarn.list


def test_the_file_that_shows_nothing_is_named(tmp_path):
    path = tmp_path / "blank.png"
    Image.new("L", (50, 50), 255).save(path)
    with pytest.raises(UserError, match=r"blank\.png: it shows no digit"):
        digits.read(path)


def test_a_truncated_image(tmp_path):
    path = tmp_path / "digit.png"
    ImageOps.expand(draw(5, 200), 50).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="as an image"):
        digits.read(path)


def test_what_the_page_draws_and_says_of_it(ran):
    """The numbers of the first four sections, each by another way."""
    pixels = np.asarray(ran.names.sheet)
    assert pixels.shape == (200, 300, 3) and ran.names.sheet.size == (300, 200)
    assert "\npaper (255, 255, 224) ink (0, 0, 128)\n" in ran.out
    shown = np.unique(pixels.reshape(-1, 3), axis=0).tolist()
    assert shown == [[0, 0, 128], [255, 255, 224]]
    ink = digits.find_ink(pixels / 255)
    assert ((ink > 0.5) == (pixels == (0, 0, 128)).all(axis=-1)).all()
    assert (ran.names.framed.shape, digits.cut_edge(pixels / 255).shape) == (
        (240, 340, 3), (200, 300, 3)
    )  # fmt: skip
    field = np.asarray(ran.names.field, dtype=float)
    assert centre_of_mass(field) == pytest.approx([14, 14], abs=0.51)
    y, x = centre_of_mass(field)
    assert f"\ncentre of mass {y} {x}\n" in ran.out


def test_distances_of_colours_by_hand():
    colors = np.array([[0.0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0]])
    expected = [0, 1, 0.5, 1 / np.sqrt(3)]
    assert digits.color_distance(colors, np.zeros(3)) == pytest.approx(expected)


def test_the_centre_of_mass_by_hand():
    assert digits.centre_of_mass(np.array([1, 0, 0, 3])) == 9 / 4


def test_the_transform_is_chapter_7s(trained):
    assert repr(trained.names.transform) == repr(digits.TRANSFORM)


# The probability of each digit


def test_predict_by_hand():
    z = torch.tensor([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]])  # the logits of two images
    p = digits.predict(torch.nn.Identity(), z)
    torch.testing.assert_close(p, torch.softmax(z, dim=1))


def test_predict_gives_probabilities():
    torch.manual_seed(0)
    model, images = digits.MLP.MNISTModel(), torch.randn(4, 1, 28, 28)
    p = digits.predict(model, images)
    torch.testing.assert_close(p, torch.softmax(model(images), dim=1))
    assert not p.requires_grad
    assert not model.training


def test_the_network_is_the_one_that_was_trained(trained, ran):
    model = digits.read_network(trained.folder / f"{NETWORK}.pt", CPU)
    assert torch.equal(parameters(model), parameters(trained.names.model))
    assert torch.equal(parameters(ran.names.model), parameters(trained.names.model))


def test_mnists_own_digits_are_predicted_as_from_the_dataset(
    outputs, ran, test_set, tmp_path, capsys
):
    """Each line names the file, the digit, and the next one, with their probabilities."""
    paths = []
    for i in range(100):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(test_set.data[i].numpy()).save(paths[-1])
    p = digits.predict_files(Namespace(device=CPU, output_dir=outputs, images=paths))
    images = torch.stack([test_set[i][0] for i in range(100)])
    expected = torch.softmax(ran.names.model(images).detach(), dim=1)
    assert p.shape == (100, 10)
    assert (p.argmax(dim=1) == expected.argmax(dim=1)).sum() >= 98
    assert ((p - expected).abs().max(dim=1).values < 0.02).sum() >= 90
    network, *lines = capsys.readouterr().out.splitlines()
    assert network == f"Checkpoint: {outputs / NETWORK}.pt"
    for path, line, row in zip(paths, lines, p, strict=True):
        second, first = row.argsort()[-2:].tolist()
        expected = f"{path}: {first} ({row[first]:.1%}; next {second}, {row[second]:.1%})"
        assert line == expected, f"it printed   {line}\nexpected is  {expected}"


def test_images_are_answered_and_nothing_else_runs(run, outputs, tmp_path):
    """Also those that a pattern stands for, which Windows' shells leave to the program."""
    for digit in (5, 7):
        draw(digit, 100).save(tmp_path / f"{digit}.png")
    done = run(NAME, tmp_path / "*.png", *FLAGS, "--output-dir", outputs)
    assert (done.status, done.err) == (0, "")
    title, device, network, *lines = done.out.splitlines()
    assert title.startswith("Own digits · ") and device == "Device: cpu"
    assert network == f"Checkpoint: {outputs / NETWORK}.pt"
    assert [line.split(": ")[0] for line in lines] == [
        str(tmp_path / "5.png"), str(tmp_path / "7.png")
    ]  # fmt: skip
    assert not hasattr(done.names, "model")


def test_images_and_checkpoints_that_cannot_be_used(outputs, tmp_path, fails):
    text = tmp_path / "digit.png"
    text.write_text("no image")
    blank = tmp_path / "blank.png"
    Image.new("L", (50, 50), 255).save(blank)
    trained = ["--output-dir", outputs]
    assert str(text) in fails(NAME, [text, *trained])
    assert "missing.png" in fails(NAME, [tmp_path / "missing.png", *trained])
    message = fails(NAME, [blank, *trained])
    assert str(blank) in message and "shows no digit" in message

    checkpoint = tmp_path / f"{NETWORK}.pt"
    for flags in ([blank, "--output-dir", tmp_path], ["--output-dir", tmp_path]):
        checkpoint.unlink(missing_ok=True)
        message = fails(NAME, flags)
        assert f"{NETWORK}.pt" in message and f"Train first: python {NETWORK}.py" in message
        checkpoint.write_text("not a checkpoint")
        assert f"{checkpoint} is not a checkpoint" in fails(NAME, flags)
        for other in (torch.nn.Linear(1, 1).state_dict(), {"model": {}}, {1: 2}):
            torch.save(other, checkpoint)
            assert f"{checkpoint} belongs to another model" in fails(NAME, flags)


# Confidence, and the figure


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
    assert ran.out.splitlines()[-2].startswith("Figure: ")


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


def test_the_figure(ran, outputs, test_set):
    names = ran.names
    drawing, given, matrix, *images = names.fig.axes
    assert (drawing.images[0].get_array() == np.asarray(names.sheet)).all()
    assert (given.images[0].get_array() == np.asarray(names.field)).all()
    p = names.predict(names.model, names.TRANSFORM(names.field)[None])[0]
    assert given.get_title().endswith(f": {p.argmax()} ({p.max():.1%})")
    labels, predicted = test_set.targets.tolist(), names.predicted.tolist()
    counts = Counter(zip(predicted, labels, strict=True))  # x: predicted, y: true
    assert {text.get_position(): int(text.get_text()) for text in matrix.texts} == counts
    wrong = [i for i in range(10_000) if predicted[i] != labels[i]]
    assert matrix.get_title(loc="left") == f"{len(wrong)} of 10,000 test images are misclassified"
    worst = sorted(wrong, key=lambda i: -names.confidence[i])[:10]
    for i, axes in zip([*range(10), *worst], images, strict=True):
        caption = f"{labels[i]} → {predicted[i]}\n{names.confidence[i]:.1%}"
        assert axes.get_title() == caption
        assert (axes.images[0].get_array() == test_set.data[i].numpy()).all()
    with Image.open(outputs / f"{NAME}.png") as image:
        assert image.width >= 1200
        assert len(set(image.convert("L").resize((100, 100)).tobytes())) > 20, "it is blank"
