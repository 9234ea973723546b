"""What the book does with a page once it is read; conf.py connects it to Sphinx.

The figure of a chapter stands below its introduction, drawings become part of the page, headings
lead to the notes. In the Chinese edition, figures, comments and notebooks to download are Chinese.
"""

import ast
import base64
import copy
import re
from pathlib import Path

import nbformat
import notebooks
from docutils import nodes

from common import language

DOCS = Path(__file__).resolve().parent
OUTPUTS = DOCS / "chapters" / "outputs"
CAPTION = "What this chapter draws in the end; its last section explains it."
CHINESE = {  # what is in no paragraph, and so in no catalog
    CAPTION: "这一章最后画出的图；最后一节有说明。",
    notebooks.SETTINGS: "设置与导入",
    ">Answer<": ">答案<",
    "**Answer**": "**答案**",
    "notes ↗": "笔记 ↗",
}


def is_chinese(app) -> bool:
    return app.config.language == "zh_CN"


def change(app, page: nodes.document) -> None:
    """Change a page before Sphinx looks for its pictures."""
    name = app.env.docname.removeprefix("chapters/")
    cells = [one for one in page.findall(nodes.container) if one.get("nb_element") == "cell_code"]
    drawings = [image for image in page.findall(nodes.image) if "drawings/" in image["uri"]]
    if app.builder.name == "gettext":
        list_words(page, cells, drawings)
        return
    for image in drawings:
        path = DOCS / "drawings" / Path(image["uri"]).name
        path = path.with_suffix(".zh_CN.svg") if is_chinese(app) else path
        app.env.note_dependency(str(path))
        image.parent.replace(image, nodes.raw("", path.read_text("utf-8"), format="html"))
    for text in list(page.findall(nodes.Text)):
        link_addresses(text)
    show_figure_first(app, cells, name)
    if is_chinese(app):
        speak_chinese(page, cells, name)


def list_words(page: nodes.document, cells: list, drawings: list) -> None:
    """Let the page's catalog ask for the words in its code and the names of its drawings, too."""
    words = ["The last lines of a run:"] if cells else []  # which the terminal shows
    words += [words for cell in cells for words in words_in(cell[0].astext())]
    for said in dict.fromkeys([*words, *(image["alt"] for image in drawings)]):
        page += nodes.paragraph(said, said)
        page[-1].source, page[-1].line = page["source"], 1
    for image in drawings:
        image.parent.parent.remove(image.parent)


def show_figure_first(app, cells: list, name: str) -> None:
    """Put what the chapter draws above the cell with its settings, too."""
    figures = [(cell, image) for cell in cells for image in cell.findall(nodes.image)]
    if not figures:
        return
    cell, figure = figures[0]
    words, caption = [words for words in words_in(cell[0].astext()) if "{" not in words], CAPTION
    if is_chinese(app):
        caption = CHINESE[CAPTION]
        if (OUTPUTS / f"{name}.zh_CN.png").exists():
            figure["uri"] = f"/chapters/outputs/{name}.zh_CN.png"
            words = [language.figure_text(one, name) for one in words]
    figure["alt"] = "; ".join(words)
    section, at = cells[0].parent, cells[0].parent.index(cells[0])
    section[at:at] = [
        nodes.container("", copy.deepcopy(figure), classes=["chapter-figure"]),
        nodes.paragraph(caption, caption, classes=["figure-caption"]),
    ]


def speak_chinese(page: nodes.document, cells: list, name: str) -> None:
    """Put comments, docstrings and the words on the folds into Chinese."""
    for cell in cells:
        code = cell[0].next_node(nodes.literal_block)
        code.rawsource = language.chinese_code(code.astext(), name)  # else it has no colours
        code[:] = [nodes.Text(code.rawsource)]
        for prompt in ("prompt_show", "prompt_hide"):
            if prompt in cell:
                cell[prompt] = CHINESE.get(cell[prompt], cell[prompt])
    for raw in page.findall(nodes.raw):
        raw[:] = [nodes.Text(raw.astext().replace(">Answer<", CHINESE[">Answer<"]))]


def link_addresses(text: nodes.Text) -> None:
    """Make the addresses in a paragraph's text links."""
    parts = re.split(r"(https://[\w./-]*[\w/])", text.astext())
    if len(parts) > 1 and isinstance(text.parent, nodes.paragraph | nodes.emphasis):
        linked = [nodes.Text(part) for part in parts]
        linked[1::2] = [nodes.reference("", part, refuri=part) for part in parts[1::2]]
        text.parent.replace(text, linked)


def title(app, name: str) -> str:
    """A chapter's title in the language of the edition, without the notes' words."""
    said = "# " + notebooks.headings(notebooks.ROOT / f"{name}.py")[0]
    said = language.chinese(said, name) if is_chinese(app) else said
    said = re.sub(r" \(beyond the notes\)|（笔记之外）", "", said)
    return " · ".join(said.removeprefix("# ").split(" · ")[:2])


def lead_to_notes(app, page: nodes.document, docname: str) -> None:
    """Put a small link beside each heading whose matter the notes have."""
    path = notebooks.ROOT / f"{docname.removeprefix('chapters/')}.py"
    if docname.startswith("chapters/"):
        words = CHINESE["notes ↗"] if is_chinese(app) else "notes ↗"
        headings = [section[0] for section in page.findall(nodes.section)]
        for heading, place in zip(headings, notebooks.places(path), strict=False):
            if place:
                link = nodes.reference("", words, refuri=place, classes=["notes"])
                heading += [nodes.Text(" "), link]


def words_in(code: str) -> list[str]:
    """What is to be translated in a cell: comments, docstrings, and the words of its figure.

    The figure's are titles, labels, and the names of what it shows; {…} is what a run computes.
    """
    found = [words for *_, words in language.remarks(code)]
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.keyword(arg="title" | "label" | "xlabel" | "ylabel", value=said):
                found += strings(said)
            case ast.Call(func=ast.Attribute(attr="set_title" | "suptitle"), args=[said]):
                found += strings(said)
            case ast.Assign(targets=[ast.Name(id="label" | "titles")], value=said):
                found += strings(said)
            case ast.Assign(targets=[ast.Subscript(slice=ast.Constant() as said)]):
                found += strings(said)
            case ast.Assign(value=ast.Dict(keys=[ast.Constant() as said])):
                found += strings(said)
            case ast.For(iter=ast.List(elts=[ast.Tuple(), *_] as rows)):
                found += [words for row in rows for words in strings(row.elts[0])]
    return [words for words in found if re.search("[A-Za-z]{3}", re.sub(r"{.*?}", "", words))]


def strings(node: ast.expr) -> list[str]:
    """The strings in an expression, and f-strings with their braces."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        parts = [getattr(part, "value", None) for part in node.values]
        return ["".join(p if isinstance(p, str) else f"{{{ast.unparse(p)}}}" for p in parts)]
    return [words for part in ast.iter_child_nodes(node) for words in strings(part)]


def write_notebook(app, path: Path, ran: nbformat.NotebookNode) -> None:
    """Write a chapter as it ran, to be downloaded; it belongs into the project's folder."""
    name = path.stem
    for cell in ran.cells:  # a fold can't go on from one cell to another
        cell.source = cell.source.replace("<details><summary>Answer</summary>", "**Answer**")
        cell.source = re.sub(r"^</details>\s*", "", cell.source, flags=re.MULTILINE)
        cell.source = cell.source.replace("](../drawings/", "](docs/drawings/")
        if is_chinese(app):
            if cell.cell_type == "markdown":  # a paragraph is a line: no blanks amid Chinese
                cell.source = language.chinese(cell.source, name, width=9999)
                cell.source = cell.source.replace("**Answer**", CHINESE["**Answer**"])
            else:
                cell.source = language.chinese_code(cell.source, name)
            for output in cell.get("outputs", []):
                figure = OUTPUTS / f"{name}.zh_CN.png"
                if "image/png" in output.get("data", {}) and figure.exists():
                    output.data["image/png"] = base64.b64encode(figure.read_bytes()).decode()
    nbformat.write(ran, app.outdir / "_sources" / "chapters" / path.name)
