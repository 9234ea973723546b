"""Chapter 3's drawing; see pen.py."""

from pen import arrow, box, circle, picture, text


def linear_unit(say):
    """x times the weight, plus the bias: the notes' first picture."""
    y = 112
    parts = [
        box(66, 12, 216, 130, kind="grey dashed"),
        text(174, 156, "torch.nn.Linear(1, 1)", "grey"),
        text(28, y, "x"),
        text(28, y + 22, "(N, 1)", "grey", 12),
        arrow((40, y), (100, y)),
        circle(120, y, 18, "×"),
        arrow((140, y), (208, y)),
        text(174, y - 12, "w x"),
        circle(228, y, 18, "+"),
        arrow((248, y), (300, y)),
        text(330, y, "y_pred"),
        text(330, y + 22, "(N, 1)", "grey", 12),
    ]
    for x, name, shape in [
        (120, say("weight w", "权重 w"), "(1, 1)"),
        (228, say("bias b", "偏置 b"), "(1,)"),
    ]:
        parts.append(box(x - 42, 22, 84, 44, kind="blue tint"))
        parts.append(text(x, 35, name))
        parts.append(text(x, 54, shape, "grey", 12))
        parts.append(arrow((x, 66), (x, y - 20), kind="blue"))
    return picture(
        168,
        say(
            "A linear layer has a weight and a bias; x times the weight, plus the bias, is y_pred.",
            "线性层有权重和偏置两个参数：x 乘以权重，再加上偏置，得到 y_pred。",
        ),
        parts,
    )
