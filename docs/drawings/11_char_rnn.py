"""Chapter 11's drawing; see pen.py."""

from pen import arrow, circle, path, picture, text


def unrolled(say):
    """The recurrent network as a loop, and step by step over the page's tokens 4, 0, 4."""

    def step(x, n, token=""):
        """The cell in the middle, its input below, its output above."""
        return [
            arrow((x, 142), (x, 106), kind="blue"),
            text(x + 12, 126, "W", "blue"),
            circle(x, 86, 18, f"h{n}", "orange tint"),
            arrow((x, 66), (x, 34)),
            text(x, 20, "logits", size=12),
            text(x, 154, f"x{n}"),
            text(x, 190, token),
        ]

    parts = [
        *step(34, ""),
        path("M52 92 C86 104 86 68 60 77", "orange"),
        arrow((60, 77), (51, 80), kind="orange"),
        text(86, 66, "U", "orange"),
        text(102, 86, "="),
        text(126, 86, "h₀"),
    ]
    for n, (x, token) in enumerate([(190, 4), (256, 0), (322, 4)]):
        parts += step(x, "₁₂₃"[n], token)
        parts += [arrow((x - (52 if n == 0 else 46), 86), (x - 20, 86), kind="orange")]
        parts += [text(x - 34, 74, "U", "orange"), arrow((x, 180), (x, 166))]
    parts += [text(166, 154, say("embeddings", "嵌入"), "right grey", 12)]
    parts += [text(166, 190, say("token ids", "词元编号"), "right grey", 12)]
    return picture(
        204,
        say(
            "Unrolled, the network has a hidden state for each of the tokens 4, 0, 4: each is made"
            " from the token's embedding by W and from the state before it by U, and gives logits.",
            "展开之后，词元 4、0、4 各对应一个隐状态：它由词元的嵌入（乘以 W）"
            "和前一个隐状态（乘以 U）算出，再给出 logit。",
        ),
        parts,
    )
