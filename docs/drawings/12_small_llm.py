"""Chapter 12's drawings; see pen.py."""

from math import cos, pi, sin

from pen import arrow, box, circle, path, picture, text


def attention(say):
    """The weights that the page prints, and the output of the third query."""
    weights = [
        ["1.0000"],
        ["0.4929", "0.5071"],
        ["0.6221", "0.0318", "0.3461"],
        ["0.2032", "0.6235", "0.1025", "0.0708"],
    ]
    parts = [
        text(214, 10, say("keys", "键"), "orange"),
        text(8, 120, say("queries", "查询"), "left blue"),
        path("M157 52 h171 v102 h-57 v-34 h-57 v-34 h-57 Z", "grey tint"),
        text(271, 78, say("causal\nmask", "因果\n掩码"), "grey", 12),
    ]
    for t, row in enumerate(weights):
        x, y = 100 + 57 * t, 52 + 34 * t
        parts += [
            text(x + 28, 34, f"k{'₀₁₂₃'[t]}", "orange"),
            text(86, y + 17, f"q{'₀₁₂₃'[t]}", "blue"),
        ]
        kind = "blue tint" if t == 2 else "ink"
        parts += [box(100 + 57 * s, y, 57, 34, row[s], kind, 13) for s in range(t + 1)]
    parts += [
        arrow((328, 137), (340, 137), kind="green"),
        text(351, 137, "y₂", "green"),
        text(50, 34, say("weights", "权重"), size=12),
        text(190, 212, "y₂ = 0.6221 v₀ + 0.0318 v₁ + 0.3461 v₂", "green"),
    ]
    alternative = say(
        "Each query meets the keys; the mask hides the later ones. Each row of weights adds up to"
        " 1, and the output is the mean of the values with these weights.",
        "每个查询与各个键相乘，更晚的键被掩码遮住。每一行权重之和为 1，"
        "输出就是各个值按这些权重的加权平均。",
    )
    return picture(226, alternative, parts)


def _on_circle(x, y, radius, angle):
    """The point at an angle, counted from the right, against the clock."""
    return round(x + radius * cos(angle), 1), round(y - radius * sin(angle), 1)


def _arc(x, y, radius, start, end, kind="ink"):
    """A part of a circle, shorter than a half of it, from an angle to a larger one."""
    (x0, y0), (x1, y1) = (_on_circle(x, y, radius, angle) for angle in (start, end))
    return path(f"M{x0} {y0} A{radius} {radius} 0 0 0 {x1} {y1}", kind)


def rotary(say):
    """A point turned by 1 radian, and a query and a key turned alike."""
    x, y, radius = 26, 150, 100
    turned = _on_circle(x, y, radius, 1)
    parts = [
        path(f"M{x - 16} {y} h140 M{x} {y + 16} v-140", "grey"),
        _arc(x, y, radius, 0, pi / 2, "grey dashed"),
        arrow((x, y), (x + radius, y), kind="blue"),
        arrow((x, y), turned, kind="blue"),
        _arc(x, y, 30, 0, 1),
        text(x + 38, y - 20, "θ"),
        text(x + 92, y + 22, say("position 0\n(1, 0)", "位置 0\n(1, 0)"), size=12),
        text(134, 28, say("position 1", "位置 1"), size=12),
        text(134, 44, "(0.5403, 0.8415)", size=12),
    ]
    x, y, radius = 274, 92, 60
    parts += [circle(x, y, radius, kind="grey dashed")]
    for query, key, inner, kind in [(5, 2, 20, ""), (105, 102, 30, " dashed")]:
        parts += [
            _arc(x, y, inner, key, query, f"ink{kind}"),
            arrow((x, y), _on_circle(x, y, radius, key), kind="orange" + kind),
            arrow((x, y), _on_circle(x, y, radius, query), kind="blue" + kind),
        ]
    parts += [
        text(x - 4, 8, say("key", "键"), "orange"),
        text(x - 33, 26, "s = 2", "right orange", 12),
        text(x + 11, 24, "s = 102", "left orange", 12),
        text(x + 22, 162, "t = 5", "left blue", 12),
        text(x - 18, 164, "t = 105", "right blue", 12),
        text(x - 4, 182, say("query", "查询"), "blue"),
    ]
    alternative = say(
        "Position 0's point (1, 0) is turned by the angle θ at position 1. A query at position 5"
        " and a key at position 2 make the same angle as at the positions 105 and 102.",
        "位置 0 上的点 (1, 0)，到位置 1 旋转了角度 θ。查询在位置 5、键在位置 2 时的夹角，"
        "与在位置 105 和 102 时相同。",
    )
    return picture(190, alternative, parts)


def block(say):
    """The residual path as a straight line, and the two branches beside it."""
    norm, conv, attn = say(["norm", "conv", "attn"], ["规范化", "卷积", "注意力"])
    parts = [text(7, 34, "x"), text(353, 34, "x"), arrow((333, 34), (345, 34), kind="blue")]
    parts += [text(176, 8, say("residual connections, ", "残差连接，") + "(B, T, C)", "blue")]
    for start, branch, words in [(15, 20, [norm, conv, attn]), (173, 180, [norm, conv, "MLP"])]:
        parts += [
            arrow((start, 34), (branch + 135, 34), kind="blue"),
            circle(branch + 144, 34, 9, "+", "blue tint"),
            arrow((branch, 34), (branch, 82), (branch + 11, 82)),
            arrow((branch + 130, 82), (branch + 144, 82), (branch + 144, 44)),
        ]
        for n, word in enumerate(words):
            kind = "orange tint" if n == 2 else "grey tint"
            parts += [box(branch + 12 + 40 * n, 66, 38, 32, word, kind, 12)]
    alternative = say(
        "x runs straight through the block. Attention adds its result, and so does the MLP; each is"
        " given a normalized copy of x, through a causal convolution.",
        "x 沿直线穿过整个块。注意力和 MLP 先后把结果加上去；两者拿到的都是 x 经过规范化和因果卷积"
        "的副本。",
    )
    return picture(106, alternative, parts)
