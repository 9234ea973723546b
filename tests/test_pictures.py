"""common/pictures.py: pictures as people have them, opened, and their ink found."""

import numpy as np
import pytest
import torchvision
from handwriting import draw
from PIL import Image, ImageOps

from common import data, pictures
from common.chapter import load
from common.cli import ROOT

digits = load(ROOT / "08_own_digits.py")


def mnist_form(image):
    """The picture, as if read from a file without loss."""
    return digits.to_mnist(pictures._make_opaque(image))


def difference(one, other):
    """How much two fields differ, as a share of the ink, a shift by a pixel disregarded."""
    shifts = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    return min(np.abs(one - np.roll(other, shift, (0, 1))).sum() for shift in shifts) / one.sum()


# Ink and paper

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


def cut_out(image, margin):
    """The part of a drawing around its ink, with so many pixels on each side."""
    left, top, right, bottom = ImageOps.invert(image.convert("L")).getbbox()
    return image.crop((left - margin, top - margin, right + margin, bottom + margin))


@pytest.mark.parametrize("margin", [0, 2, 5, 20, 40])
@pytest.mark.parametrize("digit", range(10))
def test_any_margin_and_both_polarities(digit, margin):
    plain = mnist_form(draw(digit, 100, pen=0.15))
    image = cut_out(draw(digit, 100, pen=0.15), margin)
    assert difference(plain, mnist_form(image)) < 0.25
    assert difference(plain, mnist_form(ImageOps.invert(image))) < 0.25


@pytest.mark.parametrize("pen", [0.02, 0.05, 0.25])
def test_thin_strokes_and_thick_ones(pen):
    field = mnist_form(draw(3, 200, pen=pen))
    expected = np.asarray(draw(3, 10, "white", "black", "L", pen=pen), dtype=float) / 255
    assert field.max() == 1
    assert 0.6 < field.sum() / expected.sum() / 4 < 2.2  # 20 pixels high instead of 10


def test_specks_and_a_neighbour_that_the_border_cuts_off():
    page = draw(5, 100, width=3.0)
    plain = mnist_form(page)
    page.paste("black", (0, 60, 8, 150))
    for x, y in [(30, 20), (250, 180), (280, 90)]:
        page.paste("black", (x, y, x + 3, y + 3))
    assert difference(plain, mnist_form(page)) < 0.02


def test_the_stroke_along_a_side_is_no_frame():
    """A seven without any margin: its bar spans the side, but goes on as its stem."""
    seven = Image.new("L", (100, 160), 255)
    seven.paste(0, (0, 0, 100, 20))
    seven.paste(0, (60, 20, 80, 160))
    ink = pictures.find_ink(np.asarray(seven.convert("RGB")) / 255)
    assert np.array_equal(ink > 0.5, np.asarray(seven) == 0)


def test_the_ink_of_a_drawing_is_its_ink():
    page = draw(8, 60, "navy", "lightyellow")
    ink = pictures.find_ink(np.asarray(page) / 255)
    assert ink.shape == (120, 120) and (ink.min(), ink.max()) == (0, 1)
    dark = np.asarray(page)[..., 0] < 128
    assert np.array_equal(ink > 0.5, dark) or ((ink > 0.5) != dark).mean() < 0.01


def test_cuts_that_would_leave_nothing():
    """Two strips of ink with a clear line between them: no frame."""
    solid = np.array([[True] * 9, [False] * 9, [True] * 9, [False] * 9])
    rows, columns = pictures._inside_frame(np.tile(solid, (2, 1))[:7])
    assert np.ones((7, 9))[rows, columns].size > 0


def test_an_uneven_light_and_a_grainy_sensor():
    page = np.asarray(draw(5, 400), dtype=float)
    height, width, _ = page.shape
    light = np.linspace(1, 0.5, width)[None, :, None] * np.linspace(1, 0.8, height)[:, None, None]
    grain = np.random.default_rng(0).normal(0, 12, page.shape)
    photo = Image.fromarray(np.clip(page * 0.8 * light + grain, 0, 255).astype(np.uint8))
    assert difference(PLAIN, mnist_form(photo)) < 0.25


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 300), (28, 28), (1000, 700)])
@pytest.mark.parametrize("mode, color", [("L", 255), ("L", 0), ("RGBA", (0, 0, 0, 0))])
def test_an_empty_picture(size, mode, color):
    with pytest.raises(ValueError, match="it shows no digit"):
        mnist_form(Image.new(mode, size, color))


def test_noise_alone_is_no_digit():
    noise = np.random.default_rng(0).normal(128, 20, (300, 300)).clip(0, 255).astype(np.uint8)
    with pytest.raises(ValueError, match="it shows no digit"):
        mnist_form(Image.fromarray(noise))


def test_distances_of_colours_by_hand():
    colors = np.array([[0.0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0]])
    expected = [0, 1, 0.5, 1 / np.sqrt(3)]
    assert pictures.color_distance(colors, np.zeros(3)) == pytest.approx(expected)


def test_the_connected_parts():
    """By their corners, too; a number for each."""
    rows = ["#..#.", ".#..#", ".....", "##.##"]
    names = pictures._label(np.array([[pixel == "#" for pixel in row] for row in rows]))
    assert len(np.unique(names)) == 1 + 4
    assert names[0, 0] == names[1, 1] != names[0, 3] == names[1, 4]
    assert names[3, 0] == names[3, 1] != names[3, 3] == names[3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("margin", [0, 0.05, 0.2])
def test_mnists_test_digits_enlarged(margin, network, test_set):
    """At 200 pixels, with a margin or none: at least 96 % right, fewer than 1 % refused."""
    right, refused = 0, 0
    for i in range(200):
        image = Image.fromarray(test_set.data[i].numpy())
        image = image.crop(image.getbbox())
        scale = 200 / max(image.size)
        image = image.resize([max(1, round(scale * side)) for side in image.size])
        image = ImageOps.expand(image, round(200 * margin), 0)
        try:
            field = mnist_form(ImageOps.invert(image) if i % 2 else image)
        except ValueError:
            refused += 1
            continue
        p = digits.predict(network, digits.TRANSFORM(field).unsqueeze(0))
        right += p.argmax().item() == test_set.targets[i]
    assert right >= 0.96 * 200 and refused < 0.01 * 200


@pytest.fixture(scope="module")
def test_set():
    return torchvision.datasets.MNIST(data.mnist_root(), train=False)


# Files


def test_a_photo_stored_sideways_is_turned(tmp_path):
    upright, sideways = tmp_path / "upright.png", tmp_path / "sideways.png"
    draw(5, 100).save(upright)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise to see it upright
    draw(5, 100).rotate(90, expand=True).save(sideways, exif=exif)
    expected = pictures.open_picture(upright).tobytes()
    assert pictures.open_picture(sideways).tobytes() == expected


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "the file is empty"),
        (b"no image", "in an unknown format; expected PNG, JPEG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC photo or a video; export it as JPEG"),
    ],
)
def test_a_file_that_is_no_picture(content, reason, tmp_path):
    path = tmp_path / "digit.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as a picture: ") as caught:
        pictures.open_picture(path)
    assert reason in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="cannot be read as a picture: No such file"):
        pictures.open_picture(tmp_path / "digit.png")


def test_a_picture_of_90_megapixels_is_read_without_a_warning(tmp_path, recwarn):
    """PIL itself warns from 89.5 on."""
    path = tmp_path / "digit.png"
    draw(5, 100).convert("L").resize((9_500, 9_500), Image.Resampling.NEAREST).save(path)
    assert difference(PLAIN, digits.to_mnist(pictures.open_picture(path))) < 0.25
    assert not recwarn.list


def test_a_truncated_picture(tmp_path):
    path = tmp_path / "digit.png"
    ImageOps.expand(draw(5, 200), 50).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="as a picture"):
        pictures.open_picture(path)
