"""Digits drawn as a person writes them, strokes of a round pen: images that MNIST does not have."""

import numpy as np
from PIL import Image, ImageDraw


def _arc(x, y, width, height, start, end):
    """A part of an ellipse around (x, y), degrees clockwise from the right."""
    angles = np.radians(np.linspace(start, end, 24))
    return [(x + width * np.cos(a), y + height * np.sin(a)) for a in angles]


# Each digit's strokes, in a field from (0, 0) at the top left to (1, 1).
STROKES = [
    [_arc(0.5, 0.5, 0.3, 0.45, 0, 360)],
    [[(0.55, 0.05), (0.48, 0.95)]],
    [[*_arc(0.5, 0.28, 0.28, 0.23, 190, 380), (0.6, 0.6), (0.2, 0.93), (0.82, 0.92)]],
    [_arc(0.48, 0.27, 0.25, 0.22, 200, 440) + _arc(0.48, 0.72, 0.3, 0.24, -80, 150)],
    [[(0.32, 0.08), (0.22, 0.55), (0.8, 0.55)], [(0.68, 0.1), (0.62, 0.97)]],
    [[(0.78, 0.06), (0.34, 0.08), (0.3, 0.45), *_arc(0.5, 0.68, 0.26, 0.26, -130, 150)]],
    [[(0.62, 0.04), (0.38, 0.35), *_arc(0.5, 0.7, 0.24, 0.25, 200, 560)]],
    [[(0.2, 0.1), (0.8, 0.08), (0.45, 0.96)]],
    [_arc(0.5, 0.27, 0.2, 0.22, 90, 450) + _arc(0.5, 0.72, 0.25, 0.23, -90, 270)],
    [[*_arc(0.5, 0.3, 0.22, 0.24, 0, 360), (0.7, 0.45), (0.6, 0.97)]],
]


def draw(digit, height, ink="black", paper="white", mode="RGB", pen=0.1, width=2.0, at=(0.5, 0.5)):
    """The digit, `height` pixels high, on a sheet of 2 × `width` times that, from `at` on."""
    scale = 4 * height  # drawn large, then shrunk: smooth edges
    sheet = Image.new(mode, (round(width * scale), 2 * scale), paper)
    brush = ImageDraw.Draw(sheet)
    radius = pen * scale / 2
    for stroke in STROKES[digit]:
        points = [(scale * (at[0] + x), scale * (at[1] + y)) for x, y in stroke]
        brush.line(points, fill=ink, width=round(2 * radius))
        for x, y in points:
            brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)
    return sheet.resize((round(width * height), 2 * height), Image.Resampling.BOX)
