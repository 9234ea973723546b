"""Chapter 8's drawing; see pen.py."""

from pen import arrow, circle, path, picture, text

SEVEN = [(112, 58), (186, 50), (148, 150)]  # the chapter's, on a sheet of 300 × 200
TOP, LEFT, HEIGHT = 45, 111, 108  # where its ink is on the sheet


def _seven(x, y, scale, colour):
    """The chapter's line, 12 wide; (x, y) is the left upper corner of its ink."""
    points = [f"{x + scale * (a - LEFT):.4g} {y + scale * (b - TOP):.4g}" for a, b in SEVEN]
    style = f"stroke: {colour}; stroke-width: {12 * scale:.3g}; stroke-linejoin: round"
    return f'<path d="M{" L".join(points)}" style="{style}"/>'


def _paper(x, y, width, height, colour="#000"):
    """Where ink will be; its colour is the image's own, on a dark page, too."""
    size = f'x="{x}" y="{y}" width="{width}" height="{height}"'
    return f'<rect {size} style="fill: {colour}; stroke: var(--grey)"/>'


def to_mnist(say):
    """The drawn seven on its way: the picture, its ink, cut out and scaled, in the middle."""
    pixel = 4  # of the field; the digit is 20 of them high, 15 wide, and begins at row 7, column 5
    x, y = 230, 150
    centre = 14.5 * pixel  # of row and column 14
    cut_out = say("cut out, the longer\nside 20 pixels", "裁出，长边\n缩放到 20 像素")
    centred = say("centre of mass\nat row and column 14", "重心在\n第 14 行、第 14 列")
    parts = [
        _paper(4, 4, 141, 94, "lightyellow"),
        _seven(4 + 0.47 * LEFT, 4 + 0.47 * TOP, 0.47, "navy"),
        text(74, 112, say("picture, 300 × 200", "图片，300 × 200"), size=12),
        arrow((149, 51), (211, 51)),
        _paper(215, 4, 141, 94),
        _seven(215 + 0.47 * LEFT, 4 + 0.47 * TOP, 0.47, "#fff"),
        text(286, 112, say("ink: 0 is paper, 1 is ink", "墨迹：0 是纸，1 是墨迹"), size=12),
        arrow((286, 122), (286, 136), (74, 136), (74, 162)),
        _paper(44, 166, 15 * pixel, 20 * pixel),
        _seven(44, 166, 20 * pixel / HEIGHT, "#fff"),
        path("M26 166 H36 M31 166 V246 M26 246 H36", "blue"),
        text(16, 206, 20, "blue"),
        text(74, 284, cut_out, size=12),
        arrow((108, 206), (226, 206)),
        _paper(x, y, 28 * pixel, 28 * pixel),
        _seven(x + 5 * pixel, y + 7 * pixel, 20 * pixel / HEIGHT, "#fff"),
        path(f"M{x} {y + centre} h112 M{x + centre} {y} v112", "green dashed"),
        circle(x + centre, y + centre, 4, kind="green"),
        text(286, 284, say("28 × 28, ", "28 × 28，") + centred, size=12),
    ]
    return picture(
        304,
        say(
            "A blue seven on a yellow sheet becomes white ink on black. The ink is cut out, scaled"
            " to 20 pixels, and placed in a field of 28 × 28 pixels.",
            "黄纸上的蓝色 7 变成黑底白字的墨迹。裁出墨迹，缩放到 20 像素，"
            "再放进 28 × 28 像素的图像。",
        ),
        parts,
    )
