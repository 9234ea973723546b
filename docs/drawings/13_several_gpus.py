"""Chapter 13's drawing; see pen.py."""

from pen import arrow, box, picture, text


def averaging(say):
    """The page's four points and three gradients, from the batch to the update of both."""
    parts = [
        text(180, 8, say("x of the four points", "四个点的 x"), size=12),
        box(16, 190, 328, 30, say("all-reduce: the mean", "全归约：求平均"), "green tint"),
    ]
    for n, x in enumerate([1, -2, 3, -4]):
        parts += [box(108 + 36 * n, 20, 36, 28, x, ["blue tint", "orange tint"][n % 2])]
    for rank, kind, samples, gradient in [
        (0, "blue", "1, 3", "(-20, -8)"),
        (1, "orange", "-2, -4", "(-40, 12)"),
    ]:
        x = 92 + 176 * rank
        parts += [
            arrow((126 + 108 * rank, 52), (x, 82), kind=kind),
            text(x, 94, say(f"rank {rank}: {samples}", f"rank {rank}：{samples}"), kind),
            box(x - 62, 110, 124, 28, say("forward, backward", "前向，反向"), f"{kind} tint", 12),
            arrow((x, 138), (x, 188), kind=kind),
            text(x - 8, 162, say("gradient", "梯度"), "right grey", 12),
            text(x + 8, 162, gradient, f"left {kind}"),
            arrow((x, 220), (x, 268), kind="green"),
            text(x + 8, 244, "(-30, 2)", "left green"),
            box(x - 62, 270, 124, 28, say("the same update", "同样的更新"), "green tint", 12),
        ]
    alternative = say(
        "Each of two processes computes the gradient of its half of the batch, (-20, -8) and"
        " (-40, 12). The all-reduce gives both the mean, (-30, 2), and they make the same update.",
        "两个进程各求自己那一半批量的梯度：(-20, -8) 和 (-40, 12)。全归约把平均值 (-30, 2) "
        "交给两者，它们做同样的更新。",
    )
    return picture(300, alternative, parts)
