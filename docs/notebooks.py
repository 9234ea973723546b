"""The chapters as notebooks, from which Sphinx makes the pages of the book: see conf.py."""

import hashlib
import re
from pathlib import Path

import jupytext
import nbformat

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
CHAPTERS = sorted(ROOT.glob("[0-9][0-9]_*.py"))
SETTINGS = "Settings and imports"

NOTES = "https://wwwtwilight.github.io/posts/pytorch_study_re/pytorch_study_re/"
# The notes' own headings, which have anchors; 训练过程 is there twice, in chapters 3 and 7.
HEADINGS = """线性模型&梯度下降 torch重要的数据类型——Tensor Pytorch实现线性回归模型 模型构建
损失函数与优化器 训练过程 逻辑回归 torchvision 逻辑回归模型构建 高维度数据输入的处理
多个隐藏层的神经网络 dataloader的使用 dataloader的建立 使用dataloader进行训练 多分类问题
transforms使用 view函数的使用 神经网络模型构建 优化器与评估 测试过程 cuda的使用""".split()  # noqa: SIM905


def place(heading: str, second: bool = False) -> str:
    """Where the notes have what a heading names, `English · 中文`; "" if nowhere.

    `second`: whether a heading that the notes have twice is the second one.
    """
    for words in heading.split(" · "):
        theirs = re.sub(r" \(.*", "", words)
        anchor = re.sub(r"[^\w-]", "", theirs.lower())
        if theirs in HEADINGS:
            return f"{NOTES}#{anchor}-1" if second and theirs == "训练过程" else f"{NOTES}#{anchor}"
        if re.search("[一-鿿]", theirs) and "(beyond the notes)" not in words:
            return f"{NOTES}#:~:text={theirs}"  # words that are no heading
    return ""


def headings(path: Path) -> list[str]:
    """A chapter's title, and the headings of its sections."""
    return re.findall(r'^(?:"""# |# ## )(.*)', path.read_text(encoding="utf-8"), flags=re.M)


def places(path: Path) -> list[str]:
    """The places in the notes of a chapter's headings, in their order."""
    return [place(heading, path.name > "07") for heading in headings(path)]


def notebook(path: Path) -> nbformat.NotebookNode:
    """The chapter's cells, and its exercises', as a notebook that has not been run."""
    exercises = DOCS / "exercises" / path.name
    book = jupytext.read(path)
    book.cells += jupytext.read(exercises).cells
    for number, cell in enumerate(book.cells):
        cell.id = f"cell-{number}"  # the same in each build
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("](docs/drawings/", "](../drawings/")
    book.cells[0].source, usage = split_usage(book.cells[0].source)
    end = next(n for n, cell in enumerate(book.cells) if cell.source.startswith("## Exercises"))
    book.cells.insert(end, nbformat.v4.new_markdown_cell(usage, id="usage"))
    book.cells[1].metadata = {
        "tags": ["hide-cell"],
        "mystnb": {f"code_prompt_{does}": SETTINGS for does in ("show", "hide")},
    }
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


def split_usage(page: str) -> tuple[str, str]:
    """What a chapter's page begins with; and what it ends with, how to run it and the rest."""
    introduction, _, usage = page.partition("\n\n    ")
    title, first, *more = introduction.split("\n\n")
    commands = usage.partition("\n\n")[0].splitlines()
    rows = [re.split(r"(?<=\S) {2,}", line.strip()) for line in commands]
    if len(rows[0]) == 1:
        run = f"In a terminal: `{rows[0][0]}`"
    else:
        table = [f"| `{command}` | {does} |" for command, does in rows]
        run = "\n".join(["| in a terminal | what it does |", "| --- | --- |", *table])
    return f"{title}\n\n{first}", "\n\n".join([run, *more])


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
