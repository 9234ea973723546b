"""common/digits.py: images as people have them, brought into MNIST's form."""

import numpy as np
import pytest
from handwriting import draw
from PIL import Image, ImageOps

from common import digits
from common.cli import UserError


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
