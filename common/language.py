"""The reader's language: Chinese where the system speaks it or --lang zh says so, else English.

The texts in the code are English; zh_CN.po, beside this file and in practice/, has the others. The
chapters' prose is translated for the book.
"""

import functools
import io
import locale
import os
import re
import sys
import tokenize
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CATALOGS = (ROOT / "common" / "zh_CN.po", ROOT / "practice" / "zh_CN.po")
PAGES = ROOT / "docs" / "locale" / "zh_CN" / "LC_MESSAGES" / "chapters"
LANGUAGES = ["en", "zh"]
DRAWING = re.compile(r"!\[([^]]*)\]\((docs/drawings/\w+)((?:\.zh_CN)?\.svg)\)")
# A line that runs a chapter, and what it does.
USAGE = re.compile(r"^( *(?:python|torchrun) .*?\S {2,})(\S.*)$", re.MULTILINE)


def language() -> str:
    """ "zh" or "en": what --lang on the command line says, else what the system does."""
    asked = re.findall(r"(?<=\0)--lang?[=\0](en|zh)(?=\0)", "\0".join(["", *sys.argv[1:], ""]))
    if asked:
        return asked[-1]
    said = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    if not said and sys.platform == "win32":
        import ctypes

        number = ctypes.windll.kernel32.GetUserDefaultUILanguage()
        said = locale.windows_locale.get(number, "")
    return "zh" if said.startswith("zh") else "en"


def _(text: str) -> str:
    """The text in the reader's language; as it is, where there is no translation."""
    return catalog(*CATALOGS).get(text, text) if language() == "zh" else text


@functools.cache
def catalog(*paths: Path) -> dict[str, str]:
    """The texts of these .po files, and their translations."""
    import polib  # only where Chinese is spoken

    files = [polib.pofile(str(path), encoding="utf-8") for path in paths if path.exists()]
    return {entry.msgid: entry.msgstr for file in files for entry in file if entry.msgstr}


# A chapter. `name` is "03_nn_linear" or the like.


def page(prose: str, name: str, width: int = 96, end: str = "") -> str:
    """A chapter's prose, Markdown, in the reader's language; see `chinese`."""
    return prose if language() == "en" else chinese(prose, name, width, end)


def code(source: str, name: str) -> str:
    """A chapter's code, its comments and docstrings in the reader's language."""
    return source if language() == "en" else chinese_code(source, name)


def chinese(prose: str, name: str, width: int = 96, end: str = "") -> str:
    """A chapter's prose in Chinese.

    Lines of code stay, and so does a paragraph that has no translation. Lines of a translation
    have `width` columns at most, and `end` after them.
    """
    said = catalog(PAGES / f"{name}.po")
    blocks = re.split(r"\n\s*\n", prose.strip("\n"))
    return "\n\n".join(_block(block, said, width, end) for block in blocks)


def _block(block: str, said: dict[str, str], width: int, end: str) -> str:
    """A heading, a table, a drawing or a paragraph as the translations say it."""
    if block.startswith("    "):
        return USAGE.sub(lambda line: line[1] + said.get(line[2], line[2]), block)
    if block.startswith("|"):
        return re.sub(r"(?<=\| ).*?(?= \|)", lambda cell: said.get(cell[0], cell[0]), block)
    if drawing := DRAWING.fullmatch(block):
        return f"![{said.get(drawing[1], drawing[1])}]({drawing[2]}.zh_CN.svg)"
    marks, text = re.fullmatch(r"(#+ )?(.*)", " ".join(block.split())).groups()
    if marks:
        return marks + said.get(text, text)
    return _wrapped(said[text], width, end) if text in said else block


def chinese_code(source: str, name: str) -> str:
    """A chapter's code with comments and docstrings in Chinese, where there is a translation."""
    said = catalog(PAGES / f"{name}.po")
    lines = source.split("\n")
    for (first, column), (last, end), mark, words in reversed(remarks(source)):
        if words in said:
            closing = mark.strip(" #")
            line = lines[first][:column] + mark + said[words] + closing + lines[last][end:]
            lines[first : last + 1] = [line]
    return "\n".join(lines)


def remarks(source: str) -> list[tuple[tuple[int, int], tuple[int, int], str, str]]:
    """The comments and docstrings of code that say something in words, and not a shape alone.

    For each where it starts and ends, in lines and columns from 0, what it begins with, its words.
    """
    found, before = [], None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_docstring = token.type == tokenize.STRING and before == tokenize.INDENT
        if token.type == tokenize.COMMENT or is_docstring:
            mark = '"""' if is_docstring else "# "
            words = " ".join(token.string.strip('"' if is_docstring else "#").split())
            if re.search("[a-z]{3}", words) and not words.startswith("fmt:"):
                (first, column), (last, end) = token.start, token.end
                found.append(((first - 1, column), (last - 1, end), mark, words))
        before = token.type
    return found


def figure_text(text: str, name: str) -> str:
    """A title or label of a chapter's figure in Chinese; as it is, if there is no translation.

    In the catalog {…} stands for what the program computes, as it does in an f-string.
    """
    said = catalog(PAGES / f"{name}.po")
    for english, chinese_ in said.items():
        if "{" in english:
            parts = re.split(r"(\{.*?\})", english)
            pattern = "".join("(.+)" if part[:1] == "{" else re.escape(part) for part in parts)
            if found := re.fullmatch(pattern, text):
                for part, value in zip(parts[1::2], found.groups(), strict=True):
                    chinese_ = chinese_.replace(part, value)
                return chinese_
    return said.get(text, text)


def _wrapped(text: str, width: int, end: str) -> str:
    """The paragraph in lines of so many columns, broken where a blank does no harm.

    That is at blanks, unless the next line would begin a list, and after Chinese punctuation.
    """
    breaks = r"(?<= )(?![-+*#>] |\d+\. )|(?<=[，。、；：？！）])(?![，。、；：？！”）*])"
    lines, columns = [""], 0
    for piece in re.split(breaks, text):
        taken = sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in piece)
        if columns + taken > width and columns:
            lines, columns = [*lines, ""], 0
        lines[-1], columns = lines[-1] + piece, columns + taken
    return f"{end}\n".join(line.rstrip() for line in lines)
