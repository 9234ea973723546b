"""Chapter 2's drawing; see pen.py."""

from pen import arrow, box, circle, picture, text


def computation_graph(say):
    """The loss of one sample: values forward, gradients backward."""
    y = 98
    nodes = [(4, 56), (100, 128), (172, 200), (244, 272), (312, 356)]  # from where to where
    values = ["", "2", "−2", ""]
    gradients = ["−8", "−4", "−4", "1"]
    parts = [
        box(4, y - 16, 52, 32, "w = 1", "blue tint"),
        circle(114, y, 14, "×"),
        circle(186, y, 14, "−"),
        circle(258, y, 14, "²"),
        box(312, y - 16, 44, 32, "l = 4"),
        text(4, y + 30, "w.grad", "left red"),
        text(114, 40, "x = 2", "grey"),
        arrow((114, 50), (114, y - 16), kind="grey"),
        text(186, 40, "y = 4", "grey"),
        arrow((186, 50), (186, y - 16), kind="grey"),
        text(356, 12, say("forward pass: values", "前向传播：值"), "right"),
        text(356, y + 82, say("backward(): gradients", "backward()：梯度"), "right red"),
    ]
    for (_, start), (end, _), value, gradient in zip(
        nodes[:-1], nodes[1:], values, gradients, strict=True
    ):
        parts.append(arrow((start + 3, y - 6), (end - 3, y - 6)))
        parts.append(arrow((end - 3, y + 6), (start + 3, y + 6), kind="red"))
        parts.append(text((start + end) / 2, y - 20, value))
        parts.append(text((start + end) / 2, y + 20, gradient, "red"))
    for (start, end), name in zip(nodes[1:4], ["Mul", "Sub", "Pow"], strict=True):
        parts.append(text((start + end) / 2, y + 46, f"{name}\nBackward0", "grey", 12))
    return picture(
        192,
        say(
            "From w the graph computes times x, minus y, and the square, which is the loss 4. "
            "Backward, the gradients 1, −4 and −4 lead to the gradient of w, −8.",
            "计算图从 w 出发，乘以 x，减去 y，再平方，得到损失 4。"
            "反向传播时，梯度依次是 1、−4、−4，最后得到 w 的梯度 −8。",
        ),
        parts,
    )
