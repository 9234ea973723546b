"""The book's drawings, made by the scripts beside this one: python docs/drawings/pen.py

Each script is named like its chapter, and each public function in it is a drawing: it takes
`say(english, chinese)`, which gives one of the two, and returns an SVG. They are written beside the
scripts, in English and with the ending .zh_CN.svg.

Sizes are in pixels on a phone: 360 is its width, and 12 the smallest letter.
"""

import math
import runpy
from collections.abc import Iterable
from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

# The colours of the figures, and lighter ones where the page is dark.
LIGHT = "--ink: #222; --grey: #666; --paper: #fff; --blue: #0072b2; --orange: #c77700; "
LIGHT += "--green: #00805c; --red: #d55e00;"
DARK = "--ink: #eee; --grey: #aaa; --paper: #121212; --blue: #56b4e9; --orange: #e69f00; "
DARK += "--green: #3fc79a; --red: #ff8a4c;"
STYLE = f"""
.drawing {{ {LIGHT} color-scheme: light dark;
  display: block; width: 100%; max-width: 30rem; margin: 1.2rem auto;
  font: 14px system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; }}
@media (prefers-color-scheme: dark) {{ .drawing {{ {DARK} }} }}
html[data-theme="light"] .drawing {{ {LIGHT} }}
html[data-theme="dark"] .drawing {{ {DARK} }}
.drawing text {{ fill: var(--ink); stroke: none; text-anchor: middle; dominant-baseline: central; }}
.drawing text.left {{ text-anchor: start; }}
.drawing text.right {{ text-anchor: end; }}
.drawing :is(rect, circle, path) {{ fill: none; stroke: var(--ink); stroke-width: 1.5; }}
.drawing .head {{ fill: var(--ink); stroke: none; }}
.drawing .tint {{ fill-opacity: 0.15; }}
.drawing .dashed {{ stroke-dasharray: 4 3; }}
"""
for colour in ("ink", "grey", "blue", "orange", "green", "red"):
    STYLE += f".drawing :is(rect, circle, path).{colour} {{ stroke: var(--{colour}); }}\n"
    STYLE += f".drawing :is(text, .tint, .head).{colour} {{ fill: var(--{colour}); }}\n"


def picture(height: float, alternative: str, parts: Iterable[str], width: float = 360) -> str:
    """The whole SVG; `alternative`: what it shows, in a sentence, for those who can't see it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="drawing" role="img"'
        f' viewBox="0 0 {width:g} {height:g}" aria-label="{escape(alternative)}">'
        f"\n<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def text(x: float, y: float, words: object, kind: str = "", size: float = 14) -> str:
    """Words, or a number, centred at a place. `kind`: a colour, `left` or `right` of the place.

    A line break begins another line below, and the lines together are centred.
    """
    lines = str(words).split("\n")
    first = y - (len(lines) - 1) * size * 0.6
    how = f' class="{kind}"' if kind else ""
    how += f' font-size="{size:g}"' if size != 14 else ""
    return "".join(
        f'<text x="{x:g}" y="{first + n * size * 1.2:g}"{how}>{escape(line)}</text>'
        for n, line in enumerate(lines)
    )


def box(
    x: float, y: float, width: float, height: float, words: object = "", kind: str = "ink tint",
    size: float = 14,
) -> str:  # fmt: skip
    """A rectangle by its left upper corner, with words in it."""
    shape = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4"'
    inside = text(x + width / 2, y + height / 2, words, size=size) if words != "" else ""
    return f'{shape} class="{kind}"/>{inside}'


def circle(x: float, y: float, radius: float, words: object = "", kind: str = "ink tint") -> str:
    """A circle by its centre, with words in it."""
    inside = text(x, y, words) if words != "" else ""
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" class="{kind}"/>{inside}'


def path(commands: str, kind: str = "ink") -> str:
    """Any line, in SVG's own commands."""
    return f'<path d="{commands}" class="{kind}"/>'


def arrow(*points: tuple[float, float], kind: str = "ink") -> str:
    """A line through the points with a head at the last one."""
    (x0, y0), (x, y) = points[-2:]
    length = math.hypot(x - x0, y - y0)
    dx, dy = (x - x0) / length, (y - y0) / length
    back, side = (x - 8 * dx, y - 8 * dy), (-4 * dy, 4 * dx)
    corners = [
        (x, y),
        (back[0] + side[0], back[1] + side[1]),
        (back[0] - side[0], back[1] - side[1]),
    ]
    head = "M" + " L".join(f"{a:.4g} {b:.4g}" for a, b in corners) + " Z"
    line = "M" + " L".join(f"{a:.4g} {b:.4g}" for a, b in [*points[:-1], back])
    return path(line, kind) + path(head, f"head {kind.split()[0]}")


def write_all(folder: Path = FOLDER) -> list[Path]:
    """Draw everything into the folder; returns the files."""
    written = []
    for script in sorted(FOLDER.glob("[0-9]*.py")):
        for name, draw in runpy.run_path(str(script)).items():
            if getattr(draw, "__module__", "") != "<run_path>" or name.startswith("_"):
                continue
            for ending, say in {"": lambda en, zh: en, ".zh_CN": lambda en, zh: zh}.items():
                target = folder / f"{script.name[:2]}_{name}{ending}.svg"
                target.write_text(draw(say), encoding="utf-8", newline="\n")
                written.append(target)
    return written


if __name__ == "__main__":
    for target in write_all():
        print(target.relative_to(FOLDER.parent.parent))
