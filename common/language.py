"""The reader's language: Chinese where the system speaks it or --lang zh says so, else English.

The texts in the code are English; zh_CN.po, beside this file and in practice/, has the others. The
chapters' prose is translated for the book.
"""

import functools
import locale
import os
import re
import sys
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CATALOGS = (ROOT / "common" / "zh_CN.po", ROOT / "practice" / "zh_CN.po")
PAGES = ROOT / "docs" / "locale" / "zh_CN" / "LC_MESSAGES" / "chapters"
LANGUAGES = ["en", "zh"]


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


def page(prose: str, name: str, width: int = 96, end: str = "") -> str:
    """A chapter's prose, Markdown, in the reader's language. `name` is "03_nn_linear" or the like.

    Drawings and lines of code stay, and so does a paragraph that has no translation. Lines of a
    translation have `width` columns at most, and `end` after them.
    """
    if language() == "en":
        return prose
    said = catalog(PAGES / f"{name}.po")
    blocks = re.split(r"\n\s*\n", prose.strip("\n"))
    return "\n\n".join(_block(block, said, width, end) for block in blocks)


def _block(block: str, said: dict[str, str], width: int, end: str) -> str:
    """A heading, a table or a paragraph as the translations say it; a paragraph in lines."""
    if block.startswith("    "):
        return block
    if block.startswith("|"):
        return re.sub(r"(?<=\| ).*?(?= \|)", lambda cell: said.get(cell[0], cell[0]), block)
    marks, text = re.fullmatch(r"(#+ )?(.*)", " ".join(block.split())).groups()
    if marks:  # in the book, the notes' words are links
        plain = {_without_links(one): _without_links(other) for one, other in said.items()}
        return marks + plain.get(text, text)
    return _wrapped(said[text], width, end) if text in said else block


def _without_links(text: str) -> str:
    return re.sub(r"\[(.*?)\]\(.*?\)", r"\1", text)


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
