"""Chapter 6's drawing; see pen.py."""

from pen import arrow, box, path, picture, text

EPOCHS = [[0, 1, 4, 3, 2, 5], [4, 2, 0, 5, 1, 3]]  # the orders that the chapter prints


def shuffled_epochs(say):
    """Six samples, shuffled anew in each epoch, and cut into three batches of two."""
    parts = [
        text(4, 18, say("samples", "样本"), "left blue"),
        text(4, 54, say("shuffle", "打乱"), "left grey", 12),
    ]
    for sample in range(6):
        parts.append(box(100 + 42 * sample, 4, 28, 28, sample, "blue tint"))

    for epoch, order in enumerate(EPOCHS):
        y = 84 + 120 * epoch
        parts.append(text(4, y + 14, say(f"epoch {epoch + 1}", f"第 {epoch + 1} 轮"), "left"))
        parts.append(text(4, y + 72, say("iterations", "迭代"), "left green", 12))
        for place, sample in enumerate(order):
            x = 90 + 95 * (place // 2) + 36 * (place % 2)
            parts.append(box(x, y, 28, 28, sample, "blue tint"))
            if epoch == 0:
                parts.append(path(f"M{114 + 42 * sample} 32 L{x + 14} {y}", "blue"))
        for batch in range(3):
            x = 82 + 95 * batch
            parts.append(box(x, y - 8, 80, 44, kind="orange"))
            parts.append(text(x + 46, y + 47, say("batch", "批量"), "left orange", 12))
            parts.append(arrow((x + 40, y + 37), (x + 40, y + 59)))
            parts.append(box(x + 12, y + 60, 56, 24, say("update", "更新"), "green tint", 12))
    return picture(
        292,
        say(
            "Six samples in a shuffled order are cut into three batches of two, and each batch"
            " makes one update. In the next epoch the order is another one.",
            "六个样本打乱顺序，切分成三个批量，每批两个；每个批量更新一次。下一轮换一个顺序。",
        ),
        parts,
    )
