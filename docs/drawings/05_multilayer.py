"""Chapter 5's drawing; see pen.py."""

from pen import circle, path, picture, text


def _column(x, count, step):
    """The centres of a layer's units, one below the other."""
    return [(x, 134 + (n - (count - 1) / 2) * step) for n in range(count)]


def layers(say):
    """The deep model; lines lead from all units of a layer to one of the next."""
    columns = [_column(38, 8, 11), _column(132, 16, 11), _column(226, 16, 11), _column(322, 2, 38)]
    parts = []
    for before, (x, y) in zip(columns, [columns[1][5], columns[2][9], (307, 153)], strict=False):
        parts.append(path(" ".join(f"M{a:g} {b:g} L{x:g} {y:g}" for a, b in before), "blue"))
    for units, colour in zip(columns, ["grey", "orange", "orange"], strict=False):
        parts += [circle(x, y, 4, kind=f"head {colour}") for x, y in units]
    for (x, y), word in zip(columns[3], [say("no", "否"), say("yes", "是")], strict=True):
        parts.append(circle(x, y, 15, word, "green tint"))

    for x, layer in [(85, "Linear(8, 16)"), (179, "Linear(16, 16)"), (274, "Linear(16, 2)")]:
        parts.append(text(x, 12, layer, "blue", 12))
    parts += [text(x, 30, "sigmoid", "orange", 12) for x in (85, 179)]
    names = [say("features", "特征"), say("hidden", "隐藏层"), say("hidden", "隐藏层"), "logits"]
    shapes = ["(N, 8)", "(N, 16)", "(N, 16)", "(N, 2)"]
    for units, name, shape in zip(columns, names, shapes, strict=True):
        parts.append(text(units[0][0], 242, name) + text(units[0][0], 262, shape, "grey", 12))
    return picture(
        274,
        say(
            "Eight features lead to sixteen hidden units, to sixteen more, and to two logits. "
            "Each unit is connected with all units of the layer before it.",
            "八个特征通向十六个隐藏单元，再通向十六个隐藏单元，最后通向两个 logit。"
            "每个单元都与前一层的所有单元相连。",
        ),
        parts,
    )
