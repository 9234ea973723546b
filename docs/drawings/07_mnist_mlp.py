"""Chapter 7's drawings; see pen.py."""

from pen import arrow, box, circle, picture, text


def cross_entropy(say):
    """From three logits to the loss, with the chapter's numbers: the notes' second picture."""
    parts = [
        box(52, 30, 240, 184, kind="grey dashed"),
        text(172, 228, "torch.nn.CrossEntropyLoss", "grey", 12),
        box(62, 44, 180, 144, kind="grey dashed"),
        text(152, 201, "softmax", "grey", 12),
        text(25, 50, say("logits\nz", "logit\nz")),
        text(105, 60, "e"),
        text(113, 55, "z", size=12),
        text(156, 60, say("÷ sum", "÷ 和"), size=12),
        text(204, 60, "p"),
        text(108, 175, say("sum 3.2314", "和 3.2314"), size=12),
        text(204, 175, say("sum 1", "和 1"), size=12),
    ]
    columns = {
        2: ["0.2", "0.1", "-0.1"],
        80: ["1.2214", "1.1052", "0.9048"],
        176: ["0.3780", "0.3420", "0.2800"],
    }
    for x, numbers in columns.items():
        width = 46 if x == 2 else 56
        for row, number in enumerate(numbers):
            y = 76 + 30 * row
            colour = "blue" if x == 2 else "green" if (x, row) == (176, 0) else "orange"
            parts.append(box(x, y, width, 24, number, f"{colour} tint"))
            if x < 176:
                parts.append(arrow((x + width, y + 12), (80 if x == 2 else 176, y + 12)))
    parts += [
        arrow((232, 88), (250, 88), kind="green"),
        circle(267, 88, 17, "-log", "green tint"),
        text(267, 10, say("label y = 0", "标签 y = 0"), "green"),
        arrow((267, 20), (267, 71), kind="green"),
        arrow((284, 88), (302, 88), kind="green"),
        box(302, 76, 56, 24, "0.9729", "green tint"),
        text(330, 60, say("loss", "损失"), "green"),
    ]
    return picture(
        238,
        say(
            "Softmax turns the logits into probabilities. The label picks the one of the true"
            " class, and minus its logarithm is the loss.",
            "softmax 把 logit 变成概率。标签选出真实类别的概率，取对数再取负号，就是损失。",
        ),
        parts,
    )


def layers(say):
    """The tensor between the layers: the longer the bar, the more features it has."""
    sizes = [784, 512, 256, 128, 64, 10]
    parts = [
        box(94, 6, 72, 72, "28 × 28", "blue tint"),
        text(262, 42, "(N, 1, 28, 28)", "left blue"),
        arrow((130, 80), (130, 106)),
        text(142, 92, "view", "left", 12),
    ]
    for layer, features in enumerate(sizes):
        y = 108 + 44 * layer
        width = features * 0.31
        parts.append(box(130 - width / 2, y, width, 16, kind="blue tint"))
        parts.append(text(262, y + 8, f"(N, {features})", "left blue"))
        if features > 10:
            words = f"linear{layer + 1}, relu{layer + 1}" if features > 64 else "linear5"
            parts.append(arrow((130, y + 18), (130, y + 42), kind="orange"))
            parts.append(text(142, y + 29, words, "left orange", 12))
    parts.append(text(130, 356, say("a logit per class", "每个类别一个 logit"), size=12))
    return picture(
        366,
        say(
            "An image is flattened to 784 features. Four linear layers, each with a ReLU, make them"
            " fewer and fewer, and a fifth one gives ten logits.",
            "图像展平成 784 个特征。四个线性层各跟一个 ReLU，特征越来越少；"
            "第五个线性层给出十个 logit。",
        ),
        parts,
    )
