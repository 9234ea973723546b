"""The book: python -m docs, which calls python -m sphinx -W docs docs/_build/html

It runs each chapter once, and again only where its code, or code that it imports, has changed.
The Chinese edition is built after the English one, from the same runs, into html/zh_CN.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from sphinx.search.zh import SearchChinese

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]
import edition  # noqa: E402
import notebooks  # noqa: E402

for name, folder in {  # before what the person who builds it has set for other work:
    "PYTHONPATH": DOCS.parent,  # the chapters import common
    "JUPYTER_PATH": Path(sys.prefix, "share", "jupyter"),  # and run in this Python,
}.items():
    os.environ[name] = os.pathsep.join(filter(None, [str(folder), os.environ.get(name)]))
profile = DOCS / "_build" / "ipython" / "profile_default"  # without anybody's startup files,
profile.mkdir(parents=True, exist_ok=True)
# They show only what the code prints, as a script does; on Linux, a notebook can have workers.
(profile / "ipython_config.py").write_text("""\
c.InteractiveShell.ast_node_interactivity = "none"
import multiprocessing, sys
if sys.platform == "linux":
    multiprocessing.set_start_method("fork", force=True)
""")
os.environ["IPYTHONDIR"] = str(profile.parent)
os.environ["LC_ALL"] = "C.UTF-8"  # in English,
os.environ["BOOK_IN_TWO_LANGUAGES"] = "1"  # and their figures in Chinese, too

project = "PyTorch, step by step"
author = ""
html_title = project
extensions = ["myst_nb", "sphinx_copybutton", "sphinx-mathjax-offline"]
exclude_patterns = ["_build", "exercises"]
html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["book.css"]
templates_path = ["_templates"]
html_theme_options = {
    "article_header_end": ["language.html", "article-header-buttons.html"],
    "navbar_persistent": [],  # the search stands in the sidebar
    "use_fullscreen_button": False,
}
html_show_search_summary = False  # a page on the disk may not read another
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system

language = "en"  # the other is zh_CN
locale_dirs = ["locale"]
gettext_compact = False
gettext_location = False
html_search_options = {"dict": str(DOCS / "locale" / "zh_CN" / "words.txt")}  # the field's, too

myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "cache"
nb_execution_cache_path = str(DOCS / "_build" / "runs")
# A build of `python -m docs` leaves some for the next one: see build() there.
nb_execution_excludepatterns = os.environ.get("CHAPTERS_FOR_LATER", "").split()
html_context["later"] = bool(nb_execution_excludepatterns)
nb_execution_timeout = 1800
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_output_stderr = "remove"  # what torch.compile says about the machine's compilers


def speak_chinese(app, config) -> None:
    """What is in no paragraph."""
    if config.language == "zh_CN":
        config.html_title = "PyTorch，一步一步来"
        SearchChinese.language_name = "English"  # whose stemmer it uses: Sphinx misnames it
        config.nb_code_prompt_show = "显示代码"
        config.nb_code_prompt_hide = "隐藏代码"


def put_table(app, docname: str, source: list[str]) -> None:
    """The start page has the README's table of chapters, without the notes' sections and times."""
    if docname == "index" and app.builder.name != "gettext":
        name = "README.zh-CN.md" if app.config.language == "zh_CN" else "README.md"
        readme = (DOCS.parent / name).read_text(encoding="utf-8")
        app.env.note_dependency(str(DOCS.parent / name))
        (table,) = re.findall(r"((?:^\|.*\|\n){2}(?:^\| \[`\d\d_.*\n)+)", readme, re.M)
        rows = [line.split(" | ") for line in table.splitlines()]
        rows[0][0] = "| 章" if app.config.language == "zh_CN" else "| chapter"
        for row in rows[2:]:
            name = re.search(r"\((.*)\.py\)", row[0])[1]
            row[0] = f"| [{edition.title(app, name)}](chapters/{name}.ipynb)"
        lines = [" | ".join((file, writes, result)) for file, _, writes, _, result in rows]
        table = "\n".join(lines)
        source[0] = re.sub("<!-- .* -->", lambda _: table, source[0])


def finish(app, error: Exception | None) -> None:
    """Copy the notebooks that ran and the page to draw on; build the other edition."""
    if error or app.builder.name != "html":
        return
    (app.outdir / ".made_of").unlink(missing_ok=True)  # written after a whole build: __main__.py
    if app.config.nb_execution_mode != "off":
        runs = get_cache(nb_execution_cache_path)
        page = Path("chapters", "outputs", "08_draw.html")
        (app.outdir / page).parent.mkdir(exist_ok=True)
        if (DOCS / page).exists():  # it is not where somebody has cleared the outputs
            shutil.copy(DOCS / page, app.outdir / page)
        for path in (DOCS / "chapters").glob("*.ipynb"):
            if path.name in nb_execution_excludepatterns:
                continue
            _, ran = runs.merge_match_into_notebook(nbformat.read(path, as_version=4))
            edition.write_notebook(app, path, ran)
    if app.config.language == "en" and not nb_execution_excludepatterns:
        settings = {"language": "zh_CN", "nb_execution_mode": app.config.nb_execution_mode}
        flags = [flag for name, value in settings.items() for flag in ("-D", f"{name}={value}")]
        command = [sys.executable, "-m", "sphinx", "-W", "-q", *flags]
        env = os.environ | {"LC_ALL": "C"}  # Sphinx fails where C.UTF-8 is not known
        subprocess.run([*command, app.srcdir, app.outdir / "zh_CN"], check=True, env=env)


def setup(app) -> None:
    """Called by Sphinx before it looks for pages."""
    notebooks.write_all()
    app.add_config_value("made_by", (DOCS / "edition.py").read_text("utf-8"), "env")  # reads anew
    app.connect("config-inited", speak_chinese)
    app.connect("source-read", put_table)
    app.connect("doctree-read", edition.change, priority=400)  # before pictures are looked for
    app.connect("doctree-resolved", edition.lead_to_notes)
    app.connect("build-finished", finish)
