"""Chapter 10's drawings; see pen.py."""

from pen import arrow, box, path, picture, text


def _grid(x, y, rows, kind="grey", cell=24):
    """Numbers in square cells, by the left upper corner."""
    height, width = len(rows), len(rows[0])
    lines = [f"M{x} {y + n * cell} h{width * cell}" for n in range(height + 1)]
    lines += [f"M{x + n * cell} {y} v{height * cell}" for n in range(width + 1)]
    numbers = [
        text(x + (column + 0.5) * cell, y + (row + 0.5) * cell, number)
        for row, numbers in enumerate(rows)
        for column, number in enumerate(numbers)
    ]
    return [path(" ".join(lines), kind), *numbers]


def _square(x, y, size, kind, cell=24):
    """A frame around size x size cells of a grid."""
    return box(x, y, size * cell, size * cell, kind=kind)


def convolution(say):
    """The page's image and kernel, the kernel at the place in the middle."""
    image = [[0, 0, 1, 1, 1]] * 3 + [[0] * 5] * 2
    kernel = [[-1, 0, 1]] * 3
    output = [[3, 3, 0], [2, 2, 0], [1, 1, 0]]
    window = [row[1:4] for row in image[1:4]]
    sums = [f"{a} · (-1) + {b} · 0 + {c} · 1" for a, b, c in window]
    parts = [
        *_grid(8, 8, image),
        _square(32, 32, 3, "blue tint"),
        text(145, 68, "×"),
        *_grid(162, 32, kernel),
        _square(162, 32, 3, "blue tint"),
        arrow((244, 68), (270, 68)),
        *_grid(280, 32, output),
        _square(304, 56, 1, "orange tint"),
        text(68, 144, say("image (5, 5)", "图像 (5, 5)"), size=12),
        text(198, 144, say("kernel (3, 3)", "卷积核 (3, 3)"), "blue", 12),
        text(316, 144, say("output (3, 3)", "输出 (3, 3)"), size=12),
        *(text(86, 176 + 20 * n, line, "left") for n, line in enumerate(sums)),
        *(text(72, 196 + 20 * n, "+") for n in range(2)),
        text(254, 216, "="),
        box(268, 204, 24, 24, output[1][1], "orange tint"),
    ]
    alternative = say(
        "A kernel of 3 × 3 weights lies on the middle of an image of 5 × 5 pixels. The products of"
        " weights and pixels add up to 2, the number in the middle of the output.",
        "3 × 3 的卷积核盖在 5 × 5 图像的正中。权重与像素对应相乘再相加，得 2，"
        "就是输出正中的那个数。",
    )
    return picture(234, alternative, parts)


def pooling(say):
    """Max pooling of the page's 2 x 4 numbers."""
    parts = [
        *_grid(60, 8, [[1, 2, 0, 0], [3, 4, 0, 5]], cell=28),
        *_grid(244, 22, [[4, 5]], cell=28),
        arrow((184, 36), (232, 36)),
        text(116, 82, "(1, 1, 2, 4)", size=12),
        text(272, 82, "(1, 1, 1, 2)", size=12),
    ]
    for n, kind in enumerate(["blue tint", "orange tint"]):
        parts += [_square(60 + 56 * n, 8, 2, kind, 28), _square(244 + 28 * n, 22, 1, kind, 28)]
    alternative = say(
        "Of the first 2 × 2 numbers 1, 2, 3, 4 max pooling keeps 4, of the next ones 0, 0, 0, 5"
        " it keeps 5.",
        "最大汇聚从左边的 2 × 2 个数 1、2、3、4 里保留 4，从右边的 0、0、0、5 里保留 5。",
    )
    return picture(94, alternative, parts)


def _stack(x, y, size, sheets, kind):
    """Channels as sheets of paper, the last one in front; x: the left edge, y: the middle."""
    behind = 3 * (sheets - 1)
    top = y - (size + behind) / 2
    edges = [
        f"M{x + n + 3:g} {top + n + size:g} h-3 v-{size} h{size} v3" for n in range(0, behind, 3)
    ]
    return [
        path(" ".join(edges), kind) if edges else "",
        box(x + behind, top + behind, size, size, kind=f"{kind} tint"),
    ]


def channels(say):
    """Conv2d(3, 8, kernel_size=3): each kernel spans the three channels and gives a map."""
    parts = [
        *_stack(20, 84, 70, 3, "grey"),
        text(194, 112, "⋮"),
        text(308, 112, "⋮"),
        text(58, 180, say("3 channels", "3 个通道"), size=12),
        text(194, 180, say("8 kernels", "8 个卷积核"), size=12),
        text(308, 180, say("8 feature maps", "8 张特征图"), size=12),
        text(194, 198, "(8, 3, 3, 3)", size=12),
    ]
    for y, kind in [(24, "blue"), (76, "orange"), (146, "green")]:
        parts += [
            arrow((104, 84 + (y - 84) / 4), (174, y), kind=kind),
            *_stack(182, y, 18, 3, kind),
            arrow((214, y), (282, y), kind=kind),
            box(288, y - 20, 40, 40, kind=f"{kind} tint"),
        ]
    alternative = say(
        "Each of 8 kernels spans all 3 input channels, and gives one of the 8 feature maps.",
        "8 个卷积核，每个都跨越全部 3 个输入通道，各给出一张特征图。",
    )
    return picture(210, alternative, parts)


def network(say):
    """The shapes through the three blocks, and the first of them opened."""
    one, two, three, four = "grey", "blue", "orange", "green"
    parts = [
        *_stack(8, 58, 56, 1, one),
        *_stack(114, 58, 28, 4, two),
        *_stack(203, 58, 14, 6, three),
        *_stack(280, 58, 6, 8, four),
        box(336, 30, 8, 56),
        *(arrow((x, 58), (x + 34, 58)) for x in (72, 160, 240)),
        arrow((312, 58), (332, 58)),
        *(text(x, 44, f"block{n}", size=12) for x, n in [(88, 1), (175, 2), (255, 3)]),
        text(36, 14, say("1 channel", "1 个通道"), size=12),
        *(text(x, 14, n, size=12) for x, n in [(132, 24), (217, 48), (294, 64), (340, 10)]),
        *(text(x, 98, f"{n} × {n}", size=12) for x, n in [(36, 28), (132, 14), (217, 7), (294, 3)]),
        text(340, 98, "logits", size=12),
        text(312, 79, "Linear", size=12),
        path("M88 66 v56", "grey dashed"),
        box(8, 122, 344, 104, kind="grey dashed"),
        *_stack(24, 168, 56, 1, one),
        *_stack(158, 168, 56, 4, two),
        *_stack(297, 168, 28, 4, two),
        arrow((88, 168), (150, 168)),
        arrow((231, 168), (289, 168)),
        text(118, 138, "Conv2d", size=12),
        text(118, 153, "BatchNorm", size=12),
        text(118, 183, "ReLU", size=12),
        text(259, 153, "MaxPool2d", size=12),
        text(52, 214, "(1, 28, 28)", size=12),
        text(190, 214, "(24, 28, 28)", size=12),
        text(310, 214, "(24, 14, 14)", size=12),
    ]
    alternative = say(
        "Three blocks turn an image of 28 × 28 pixels into 24 channels of 14 × 14, 48 of 7 × 7 and"
        " 64 of 3 × 3, and a linear layer these into 10 logits. In the first block the convolution"
        " makes the 24 channels, and pooling halves their size.",
        "三个块依次把 28 × 28 的图像变成 24 个 14 × 14 的通道、48 个 7 × 7 的通道和 64 个 3 × 3"
        " 的通道，线性层再由它们算出 10 个 logit。在第一个块里，卷积得到 24 个通道，"
        "汇聚使边长减半。",
    )
    return picture(234, alternative, parts)
