"""Chapter 4's drawing; see pen.py."""

import math

from pen import arrow, box, circle, path, picture, text

LEFT, RIGHT, TOP, BOTTOM = 30, 336, 122, 242


def _place(z):
    """Where the sigmoid of z is drawn."""
    sigmoid = 1 / (1 + math.exp(-z))
    return (LEFT + RIGHT) / 2 + 27 * z, BOTTOM - (BOTTOM - TOP) * sigmoid


def logit_and_sigmoid(say):
    """From hours to a probability, and the sigmoid with the decision boundary."""
    steps = [
        (26, say("hours", "小时"), "x"),
        (176, "logit", "z"),
        (318, say("probability", "概率"), "σ(z)"),
    ]
    parts = []
    for (x, name, symbol), colour in zip(steps, ["", "", "orange"], strict=True):
        parts += [text(x, 14, name, "grey", 12), text(x, 34, symbol, colour)]
    parts += [
        arrow((38, 34), (68, 34)),
        box(70, 20, 66, 28, "w x + b", "blue tint"),
        arrow((138, 34), (164, 34)),
        arrow((188, 34), (210, 34)),
        box(212, 20, 66, 28, "sigmoid", "orange tint"),
        arrow((280, 34), (300, 34)),
    ]
    middle = (LEFT + RIGHT) / 2
    parts += [
        path(f"M{middle} 92 V{BOTTOM}", "green dashed"),
        text(middle, 80, say("decision boundary", "决策边界"), "green"),
        text(106, 106, say("failed (0)", "未通过（0）")),
        text(270, 106, say("passed (1)", "通过（1）")),
        arrow((LEFT, BOTTOM), (352, BOTTOM), kind="grey"),
        text(352, BOTTOM + 16, "z", "grey"),
    ]
    curve = [_place(z / 4) for z in range(-22, 23)]
    parts.append(path("M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in curve), "orange"))
    points = [(-5, "0.0067", 2, -16), (-1, "0.2689", -30, -8), (0, "0.5", 20, 5)]
    points += [(1, "0.7311", 32, 8), (5, "0.9933", 0, 18)]
    for z, probability, dx, dy in points:
        x, y = _place(z)
        colour = "green" if z == 0 else "orange"
        parts.append(circle(x, y, 3.5, kind=f"head {colour}"))
        parts.append(text(x + dx, y + dy, probability, colour, 12))
        parts.append(text(x, BOTTOM + 16, str(z).replace("-", "−"), size=12))
    return picture(
        268,
        say(
            "Hours become a logit and the sigmoid makes it a probability, which rises from 0 to 1. "
            "The decision boundary is where the logit is 0 and the probability 0.5.",
            "学习时间先变成 logit，再经过 sigmoid 变成 0 到 1 之间的概率。"
            "决策边界在 logit 为 0、概率为 0.5 的地方。",
        ),
        parts,
    )
