"""Pictures as people have them: opened, and the ink on them told from the paper.

common/draw.html does the same in JavaScript; a test compares the two.
"""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from common.cli import reason
from common.language import _

FLAT = 0.1  # of the way from black to white: less contrast than that shows nothing


# Files


def open_picture(path: Path) -> Image.Image:
    """The picture in a file, RGB, as it is to be looked at. Raises ValueError if there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large is no harm
            with Image.open(path) as image:
                return _make_opaque(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        with path.open("rb") as file:
            start = file.read(12)
        problem = _("it is in an unknown format; expected PNG, JPEG or the like")
        if not start:
            problem = _("the file is empty")
        elif start[4:8] == b"ftyp":
            problem = _("it is a HEIC photo or a video; export it as JPEG or PNG first")
    except Image.DecompressionBombError:
        problem = _("it has more than {n:,} pixels").format(n=2 * Image.MAX_IMAGE_PIXELS)
    except (OSError, ValueError, SyntaxError) as error:
        problem = reason(error)
    raise ValueError(_("cannot be read as a picture: {problem}").format(problem=problem))


def _make_opaque(image: Image.Image) -> Image.Image:
    """RGB; behind transparent parts the paper's colour, or what contrasts with ink alone."""
    if image.mode.startswith(("I", "F")):  # 16 bits or more: stretched to the 8 of the others
        values = np.asarray(image, dtype=np.float64)
        values = (values - values.min()) / max(np.ptp(values), 1e-9)
        image = Image.fromarray((255 * values).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    image.thumbnail((1000, 1000), Image.Resampling.BOX)  # medians of millions take long
    pixels = np.asarray(image)  # (H, W, 4)
    opaque = pixels[pixels[..., 3] > 127, :3]  # (N, 3)
    behind = (255, 255, 255)
    if len(opaque):
        usual = np.median(opaque, axis=0)
        contrast = np.quantile(color_distance(opaque / 255, usual / 255), 0.99)
        if contrast > FLAT:  # paper and ink, cut out
            behind = tuple(int(channel) for channel in usual)
        elif usual.mean() > 127:  # light ink
            behind = (0, 0, 0)
    background = Image.new("RGBA", image.size, behind)
    return Image.alpha_composite(background, image).convert("RGB")


# Ink and paper


def color_distance(colors: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far colours (…, 3) are from others, 0 to 1: black and white are 1 apart."""
    return np.linalg.norm(colors - other, axis=-1) / np.sqrt(3)


def find_ink(pixels: np.ndarray) -> np.ndarray:
    """Colours (H, W, 3) in 0…1 -> how much ink there is at each pixel (H, W), 0…1.

    The paper is lighter or darker than the ink, evenly lit or not; a frame around it, specks, and
    strokes of a neighbour that the border cuts off are left out. Raises ValueError if nothing is
    left.
    """
    colors = pixels.reshape(-1, 3)
    usual = np.median(colors, axis=0)
    distance = color_distance(colors, usual)
    other = np.median(colors[distance >= distance.max() / 2], axis=0)
    usual = np.median(colors[distance <= color_distance(colors, other)], axis=0)
    # Which of the two is the paper? The one that most of the border shows.
    ink, share = min((_ink_on(pixels, paper) for paper in (usual, other)), key=lambda one: one[1])
    ink = _main_parts(ink)
    if share == np.inf or not ink.any():
        message = _("it shows no digit: expected one, on plain paper and nothing around it")
        raise ValueError(message)
    return ink


def _ink_on(pixels: np.ndarray, paper: np.ndarray) -> tuple[np.ndarray, float]:
    """The ink, if the paper has about this colour, and how much of it is at the border, above all.

    That is infinite where there is no ink.
    """
    distance = _distance_from_paper(pixels, paper)
    rows, columns = _inside_frame(distance > max(FLAT, _strength(distance) / 4))
    inside = pixels[rows, columns]
    if inside.shape != pixels.shape:
        distance = _distance_from_paper(inside, paper)
    strength = _strength(distance)
    noise = np.median(np.abs(np.diff(distance, axis=1))) if distance.shape[1] > 1 else 0
    if strength < max(FLAT, 8 * noise):
        return distance, np.inf
    ink = np.clip((distance / strength - 0.2) / 0.4, 0, 1)
    return ink, 4 * (_border(ink) > 0.5).mean() + (ink > 0.5).mean()


def _distance_from_paper(pixels: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """How far each pixel differs from a plane that is fitted to the colours of the paper (H, W)."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    plane = np.stack([np.ones_like(x), x / width, y / height], axis=-1)  # (H, W, 3)
    distance = color_distance(pixels, paper)
    for i in range(3):  # the better the fit, the better is known what is paper
        tolerance = max(FLAT / 2, min(2 * np.median(distance), distance.max() / 2))
        is_paper = distance <= tolerance
        coefficients, *_ = np.linalg.lstsq(plane[is_paper], pixels[is_paper], rcond=None)
        distance = color_distance(pixels, plane @ coefficients)
    return distance


def _strength(distance: np.ndarray) -> float:
    """How far the darkest ink is from the paper, but for single pixels."""
    return np.quantile(distance[distance >= distance.max() / 2], 0.9)


def _inside_frame(solid: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns inside a frame: what spans a side of (H, W) and is apart from the rest.

    A photo has such a frame where the table beside the sheet is seen.
    """
    sides = [np.rot90(solid, turns) for turns in range(4)]  # top, right, bottom, left come first
    strips = []
    for side in sides:
        is_gap = np.append(side.mean(axis=1) < 0.9, True)
        strip = np.argmax(is_gap)  # so many lines are full
        strips.append(strip if strip <= len(side) / 4 else 0)
    cuts = []
    for turns, side in enumerate(sides):
        strip, left, right = strips[turns], strips[turns - 1], strips[turns - 3]
        lines = side[strip : strip + max(2, len(side) // 10), left : side.shape[1] - right]
        clear = np.flatnonzero(lines.mean(axis=1) < 0.02)
        cuts.append(strip + clear[0] + 1 if strip and len(clear) else 0)
    top, right, bottom, left = cuts
    height, width = solid.shape
    if top + bottom >= height or left + right >= width:
        return slice(0, height), slice(0, width)
    return slice(top, height - bottom), slice(left, width - right)


def _main_parts(ink: np.ndarray) -> np.ndarray:
    """The ink (H, W) without specks, and without what the border cuts off, if there is more."""
    names = _label(ink > 0.3)
    parts, areas = np.unique(names[names > 0], return_counts=True)
    at_border = np.isin(parts, _border(names))
    kept = np.ones(len(parts), dtype=bool)
    if areas[~at_border].sum() > areas[at_border].sum():
        kept = ~at_border
    kept &= areas >= 0.02 * areas[kept].sum()
    near = np.isin(names, parts[kept])
    for i in range(max(1, max(ink.shape) // 70)):  # their soft edges, too
        near = _neighbours(near).max(axis=0)
    return np.where(near, ink, 0)


def _label(solid: np.ndarray) -> np.ndarray:
    """A number for each connected part of (H, W), the same at all its pixels; 0 elsewhere."""
    names = np.where(solid, np.arange(1, solid.size + 1).reshape(solid.shape), 0)
    while True:
        largest = np.where(solid, _neighbours(names).max(axis=0), 0)
        new = np.append(0, largest)[largest]  # what the pixel of that number has found meanwhile
        if (new == names).all():
            return names
        names = new


def _neighbours(array: np.ndarray) -> np.ndarray:
    """Each pixel and the eight around it: (H, W) -> (9, H, W)."""
    height, width = array.shape
    padded = np.pad(array, 1)
    shifts = [(y, x) for y in range(3) for x in range(3)]
    return np.stack([padded[y : y + height, x : x + width] for y, x in shifts])


def _border(array: np.ndarray) -> np.ndarray:
    """The pixels along the four sides."""
    return np.concatenate([array[0], array[-1], array[:, 0], array[:, -1]])
