"""An image of a handwritten digit, as people have it, brought into the form of MNIST."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError

from common.cli import UserError

BOX, SIDE = 20, 28  # the digit fits a 20 × 20 box within 28 × 28: http://yann.lecun.com/exdb/mnist
WORKING_SIDE = 280  # larger images are shrunk to this: ten pixels for one of MNIST's
FAINTEST = 0.02  # of the way from black to white: anything nearer to the background belongs to it
FLAT = 0.1  # an image without any greater contrast shows nothing


def read(path: Path) -> Image.Image:
    """The digit in an image file, in MNIST's form: see to_mnist.

    Raises UserError for a file that can't be read as an image, or that shows nothing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large is no harm
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image)  # phones store the turn beside the pixels
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, UnidentifiedImageError):
            reason = "expected PNG, JPEG or the like; export a HEIC photo as JPEG first"
        raise UserError(f"cannot read {path} as an image: {reason}.") from None
    try:
        return to_mnist(upright)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def to_mnist(image: Image.Image) -> Image.Image:
    """One digit on a plain background -> (28, 28) 8-bit grey, light on black, as in MNIST.

    Any size, colour and polarity, also transparent or unevenly lit. As MNIST's authors did it, the
    digit is scaled to fit a 20 × 20 box, keeping its aspect ratio, and its centre of mass is put
    in the middle of the 28 × 28 field. Raises ValueError if there is nothing to see.
    """
    image = _opaque(image)
    image.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    image = image.filter(
        ImageFilter.GaussianBlur(max(image.size) / WORKING_SIDE)
    )  # the camera's noise
    pixels = np.asarray(image, dtype=np.float64) / 255  # (H, W, 3)
    for _ in range(4):  # each side in turn
        pixels = np.rot90(_without_edge(pixels))
    ink = _ink(pixels)

    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    digit = Image.fromarray(
        (255 * ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]).round().astype(np.uint8)
    )
    scale = BOX / max(digit.size)
    width, height = (max(1, round(scale * side)) for side in digit.size)
    digit = np.asarray(digit.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float64)
    digit *= 255 / digit.max()

    y, x = (_centre_of_mass(digit.sum(axis=axis)) for axis in (1, 0))
    top = min(max(round(SIDE / 2 - y), 0), SIDE - height)
    left = min(max(round(SIDE / 2 - x), 0), SIDE - width)
    field = np.zeros((SIDE, SIDE), dtype=np.uint8)
    field[top : top + height, left : left + width] = digit.round()
    return Image.fromarray(field)


def _opaque(image: Image.Image) -> Image.Image:
    """RGB; behind transparent parts the paper's colour, or what contrasts with ink alone."""
    if image.mode.startswith(("I", "F")):  # 16 bits or more: stretched to the 8 of the others
        values = np.asarray(image, dtype=np.float64)
        values = (values - values.min()) / max(np.ptp(values), 1e-9)
        image = Image.fromarray((255 * values).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    pixels = np.asarray(image)  # (H, W, 4)
    opaque = pixels[pixels[..., 3] > 127, :3]  # (N, 3)
    behind = (255, 255, 255)
    if len(opaque):
        usual = np.median(opaque, axis=0)
        if np.quantile(_distance(opaque / 255, usual / 255), 0.99) > FLAT:  # paper and ink, cut out
            behind = tuple(int(channel) for channel in usual)
        elif usual.mean() > 127:  # light ink
            behind = (0, 0, 0)
    background = Image.new("RGBA", image.size, behind)
    return Image.alpha_composite(background, image).convert("RGB")


def _without_edge(pixels: np.ndarray) -> np.ndarray:
    """Cut off what runs along the top, if something does: a frame, or the table beside the paper.

    It shows as a sudden change of the rows' usual colour near the top to one that lasts.
    """
    rows = np.median(pixels, axis=1)  # (H, 3); a digit covers less than half of most rows
    near = max(1, len(rows) // 50)
    changes = np.flatnonzero(_distance(rows[near:], rows[:-near]) > FLAT)
    changes = changes[changes < len(rows) // 4]
    if len(changes) and _distance(rows[0], np.median(rows, axis=0)) > FLAT:
        return pixels[changes[-1] + 2 * near :]
    return pixels


def _ink(pixels: np.ndarray) -> np.ndarray:
    """Colours (H, W, 3) in 0…1 -> how far each differs from the background (H, W), 0…1.

    The background is what the border shows: a plane through its colours, so that a photograph may
    be lighter on one side.
    """
    height, width, _ = pixels.shape
    y, x = np.mgrid[0:height, 0:width]
    plane = np.stack([np.ones_like(x), x / width, y / height], axis=-1)  # (H, W, 3)
    margin = max(1, min(height, width) // 28)
    border = np.ones((height, width), dtype=bool)
    border[margin:-margin, margin:-margin] = False

    # Ink that touches the border must not bend the plane: fit it to the usual colours only.
    distance = _distance(pixels, np.median(pixels[border], axis=0))
    paper = border & (distance <= max(FLAT, 2 * np.median(distance[border])))
    coefficients, *_ = np.linalg.lstsq(plane[paper], pixels[paper], rcond=None)

    distance = _distance(pixels, plane @ coefficients)
    noise = np.quantile(distance[paper], 0.98)
    strongest = np.quantile(distance[distance >= distance.max() / 2], 0.9)
    if strongest < max(FLAT, 3 * noise):
        raise ValueError(
            "it shows no digit. Expected one, on a plain background and nothing around it."
        )
    threshold = max(FAINTEST, min(3 * noise, strongest / 2))
    return np.where(distance > threshold, np.minimum(distance / strongest, 1), 0)


def _distance(colors: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far colours (…, 3) are from others, 0 to 1: black and white are 1 apart."""
    return np.linalg.norm(colors - other, axis=-1) / np.sqrt(3)


def _centre_of_mass(profile: np.ndarray) -> float:
    return np.average(np.arange(len(profile)), weights=profile)
