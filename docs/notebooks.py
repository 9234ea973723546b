"""The chapters as notebooks, from which Sphinx makes the pages of the book: see conf.py."""

import hashlib
import re
from pathlib import Path

import jupytext
import nbformat

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
CHAPTERS = sorted(ROOT.glob("[0-9][0-9]_*.py"))

NOTES = "https://wwwtwilight.github.io/posts/pytorch_study_re/pytorch_study_re/"
# The notes' own headings, which have anchors; 训练过程 is there twice, in chapters 3 and 7.
HEADINGS = """线性模型&梯度下降 torch重要的数据类型——Tensor Pytorch实现线性回归模型 模型构建
损失函数与优化器 训练过程 逻辑回归 逻辑回归模型构建 高维度数据输入的处理 多个隐藏层的神经网络
dataloader的使用 dataloader的建立 使用dataloader进行训练 多分类问题 transforms使用 view函数的使用
神经网络模型构建 优化器与评估 测试过程 cuda的使用""".split()  # noqa: SIM905


def linked(heading: str, second: bool) -> str:
    """`English · 中文`, with a link from the notes' words to their place in the notes.

    `second`: whether a heading that the notes have twice is the second one.
    """
    english, *places = heading.split(" · ")
    for number, place in enumerate(places):
        words = re.sub(r" \(.*", "", place)
        is_theirs = words in HEADINGS or "(beyond the notes)" not in place
        if is_theirs and re.search("[一-鿿]", words):
            anchor = re.sub(r"[^\w-]", "", words.lower()) + "-1" * (second and words == "训练过程")
            # Words that are no heading are found by a text fragment.
            target = anchor if words in HEADINGS else f":~:text={words}"
            places[number] = place.replace(words, f"[{words}]({NOTES}#{target})")
    return " · ".join([english, *places])


def notebook(path: Path) -> nbformat.NotebookNode:
    """The chapter's cells, and its exercises', as a notebook that has not been run."""
    exercises = DOCS / "exercises" / path.name
    book = jupytext.read(path)
    book.cells += jupytext.read(exercises).cells
    for number, cell in enumerate(book.cells):
        cell.id = f"cell-{number}"  # the same in each build
        if cell.cell_type == "markdown":
            cell.source = re.sub(
                r"^(##? )(Chapter \d+ · )?(.* · .*)",
                lambda line: line[1] + (line[2] or "") + linked(line[3], path.name > "07"),
                cell.source,
                flags=re.M,
            )
    digest = hashlib.sha256()
    for needed in [*sorted((ROOT / "common").glob("*.py")), *imported(path)]:
        digest.update(needed.read_bytes())
    # The cache of runs compares the code and this entry: so a change in common/ runs them again.
    book.metadata = {
        "kernelspec": {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
            "imports": digest.hexdigest(),
        }
    }
    return book


def imported(path: Path) -> list[Path]:
    """The other chapters that a chapter loads, by their names in its code; the page it writes."""
    source = path.read_text(encoding="utf-8")
    pages = [ROOT / "common" / "draw.html"] if "write_draw_page" in source else []
    return [*pages, *(one for one in CHAPTERS if one != path and f'"{one.name}"' in source)]


def write_all() -> None:
    """Write docs/chapters/NAME.ipynb for each chapter, where it differs from what is there."""
    (DOCS / "chapters").mkdir(exist_ok=True)
    for path in CHAPTERS:
        target = DOCS / "chapters" / f"{path.stem}.ipynb"
        text = nbformat.writes(notebook(path)) + "\n"
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8", newline="\n")
