"""The book: builds what is missing of it, and opens a page in the browser."""

import hashlib
import os
import re
import subprocess
import sys
import time
import webbrowser
from importlib.util import find_spec

from common import cli
from common.cli import ROOT, UserError
from common.language import LANGUAGES, _, language

DOCS = ROOT / "docs"
BUILD = DOCS / "_build"
BOOK = BUILD / "html"
MADE_OF = BOOK / ".made_of"  # the digest of what the whole book was made of
NEEDED = ["jieba", "jupytext", "myst_nb", "sphinx", "sphinx_book_theme", "sphinx_copybutton"]
NEEDED += ["sphinx-mathjax-offline", *cli.PACKAGES]


def find_page(asked: str) -> str:
    """Its path in the book: "chapters/07_mnist_mlp" for 7, 07 or the file's name."""
    chapters = sorted(path.stem for path in ROOT.glob("[0-9][0-9]_*.py"))
    pages = {str(int(name[:2])): f"chapters/{name}" for name in chapters}
    pages |= {path.stem: path.stem for path in sorted(DOCS.glob("*.md"))}
    name = re.sub(r"^0*(\d+).*|\.md$", r"\1", asked)
    if name not in pages:
        known = ", ".join(pages)
        raise UserError("there is no page {page!r}. There are: {known}.", page=asked, known=known)
    return pages[name]


def digest() -> str:
    """Of all that the book is made of (a README's table is in it), but for what a build writes."""
    digest, written = hashlib.sha256(), r"docs/(_build|chapters)/|.*\.(mo|pyc)$|(.*/)?\."
    for path in sorted([*ROOT.glob("[0-9R]*"), *(ROOT / "common").rglob("*"), *DOCS.rglob("*")]):
        name = path.relative_to(ROOT).as_posix()
        if not re.match(written, name) and path.is_file():
            digest.update(name.encode() + path.read_bytes())
    return digest.hexdigest()


def not_run() -> list[str]:
    """The chapters that have not run with their code as it is now."""
    if missing := [name for name in NEEDED if not find_spec(name)]:
        raise UserError(
            "the book needs packages that this Python ({python}) doesn't have: {names}. "
            "Install them: python -m pip install -r requirements-docs.txt",
            python=sys.executable, names=", ".join(missing),
        )  # fmt: skip
    from jupyter_cache import get_cache

    from docs import notebooks

    cache = get_cache(BUILD / "runs")
    ran = {record.hashkey for record in cache.list_cache_records()}
    books = {path.stem: notebooks.notebook(path) for path in notebooks.CHAPTERS}
    return [name for name, one in books.items() if cache.create_hashed_notebook(one)[1] not in ran]


def build(chapters: list[str], later: list[str]) -> None:
    """Run these chapters and make the book; if some run later, in the reader's language only."""
    from tqdm import tqdm

    edition = [BOOK / "zh_CN", "-D", "language=zh_CN"] if later and language() == "zh" else [BOOK]
    if later:
        notice = _("Chapters without output run now, in the terminal: reload later.")
        edition += ["-D", f"html_theme_options.announcement={notice}"]
    command = [sys.executable, "-X", "utf8", "-u", "-m", "sphinx", "-N", "-W", DOCS, *edition]
    env = os.environ | {"LC_ALL": "C", "CHAPTERS_FOR_LATER": " ".join(f"{n}.ipynb" for n in later)}
    out, err = BUILD / "out.txt", BUILD / "err.txt"
    form = {"bar_format": "{desc} |{bar}| {n_fmt}/{total_fmt} {elapsed}", "miniters": 0}
    bar = tqdm(total=len(chapters) or 1, delay=2, leave=False, disable=None, **form)
    with bar, out.open("w") as stdout, err.open("w") as stderr:
        sphinx = subprocess.Popen(command, cwd=ROOT, env=env, stdout=stdout, stderr=stderr)
        try:
            while sphinx.poll() is None:
                time.sleep(0.2)
                said = out.read_text("utf-8", "replace")
                begun = re.findall(r"(\w+)\.ipynb: Executing", said)
                bar.update(said.count(".ipynb: Executed") - bar.n)
                bar.set_description_str([*begun, _("pages")][bar.n], refresh=False)
        finally:
            sphinx.terminate()  # where only this process was interrupted
            sphinx.wait()
    if sphinx.returncode:
        said = err.read_text("utf-8", "replace")
        raise UserError("the book could not be built. Sphinx says:\n{said}", 1, said=said)


def main(argv: list[str]) -> None:
    """Show the page; where chapters have not run, those that it doesn't need run afterwards."""
    parser = cli.Parser(prog="python -m docs", description=__doc__)
    parser.add_argument("page", nargs="?", default="index", help="7 is chapter 7, speed speed.md")
    parser.add_argument("--lang", choices=LANGUAGES, help="language (default: the system's)")
    page, made_of, later = find_page(parser.parse_args(argv).page), digest(), []
    if not (is_whole := MADE_OF.exists() and MADE_OF.read_text() == made_of):
        cli.output_folder(BUILD, _("Copy the project to a folder of your own."))
        MADE_OF.unlink(missing_ok=True)
        chapters = not_run()
        code = "".join(one.read_text("utf-8") for one in ROOT.glob(f"{page.split('/')[-1]}.py"))
        later = [n for n in chapters if n not in page and f'"{n}.pt"' not in code]  # its checkpoint
        build([name for name in chapters if name not in later], later)
    path = BOOK / ("zh_CN" if language() == "zh" else "") / f"{page}.html"
    print(_("Page: {path}").format(path=cli.display_path(path)))
    webbrowser.open(path.as_uri())  # where there is no browser, it does nothing
    if later:
        print(_("The other chapters run now. Ctrl-C ends that; what has run stays."))
        build(later, [])
        print(_("All chapters have run: reload the page."))
    if not is_whole:
        MADE_OF.write_text(made_of)


if __name__ == "__main__":
    cli.answer_in_words()
    main(sys.argv[1:])
