"""Chapter 9's drawing; see pen.py."""

from pen import arrow, box, picture, text


def one_turn(say):
    """The parts of a turn of the loop, and under them which step of the chapter shortens them."""
    names = say("fetch copy forward backward step", "取批量 复制 前向 反向 更新").split()
    lefts, widths = [2, 76, 142, 220, 306], [58, 50, 62, 70, 52]
    parts = [
        text(180, 8, say("next batch", "下一个批量"), size=12),
        arrow((332, 40), (332, 20), (31, 20), (31, 40)),
        text(180, 90, say("what shortens it", "缩短它的办法"), "grey", 12),
    ]
    for part, (x, width, name) in enumerate(zip(lefts, widths, names, strict=True)):
        parts.append(box(x, 40, width, 32, name, f"{'orange' if part < 2 else 'blue'} tint", 12))
        if part:
            parts.append(arrow((x - 16, 56), (x, 56)))
    savers = [  # the first and the last part, the row below, the words
        (0, 0, 0, say("whole\nbatches", "整批\n取出"), "orange"),
        (0, 1, 1, say("data on the GPU", "数据在 GPU 上"), "orange"),
        (2, 3, 0, "bfloat16", "blue"),
        (2, 4, 1, "CUDA graph", "blue"),
        (0, 4, 2, say("better recipe: fewer turns", "更好的训练方案：循环次数更少"), "green"),
    ]
    for first, last, row, words, colour in savers:
        x, width = lefts[first], lefts[last] + widths[last] - lefts[first]
        parts.append(box(x, 104 + 42 * row, width, 34, words, f"{colour} dashed", 12))
    return picture(
        226,
        say(
            "One turn of the loop fetches a batch, copies it to the device, goes forward and"
            " backward, and updates. Below each part stands the step that makes it shorter.",
            "循环一次：取批量、复制到设备、前向、反向、更新。每一部分下面写着缩短它的那一步。",
        ),
        parts,
    )
