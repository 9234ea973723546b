"""The book: python -m sphinx -W docs docs/_build/html

It runs each chapter once, and again only where its code, or code that it imports, has changed.
The Chinese edition is built after the English one, from the same runs, into html/zh_CN.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from docutils import nodes
from jupyter_cache import get_cache
from sphinx.search.zh import SearchChinese

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))
import notebooks  # noqa: E402

for name, folder in {  # before what the person who builds it has set for other work:
    "PYTHONPATH": DOCS.parent,  # the chapters import common
    "JUPYTER_PATH": Path(sys.prefix, "share", "jupyter"),  # and run in this Python,
}.items():
    os.environ[name] = os.pathsep.join(filter(None, [str(folder), os.environ.get(name)]))
os.environ["IPYTHONDIR"] = str(DOCS / "_build" / "ipython")  # without anybody's startup files,
os.environ["LC_ALL"] = "C.UTF-8"  # in English

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


def name_folds(app, doctree, docname: str) -> None:
    """HTML is in no catalog: the word on the folded answers."""
    if app.config.language == "zh_CN":
        for node in doctree.findall(nodes.raw):
            node[:] = [nodes.Text(node.astext().replace(">Answer<", ">答案<"))]


def finish(app, error: Exception | None) -> None:
    """Copy the notebooks that ran and the page to draw on; build the other edition."""
    if error or app.builder.name != "html":
        return
    if app.config.nb_execution_mode != "off":
        runs = get_cache(nb_execution_cache_path)
        page = Path("chapters", "outputs", "08_draw.html")
        (app.outdir / page).parent.mkdir(exist_ok=True)
        if (DOCS / page).exists():  # it is not where somebody has cleared the outputs
            shutil.copy(DOCS / page, app.outdir / page)
        for path in (DOCS / "chapters").glob("*.ipynb"):
            _, ran = runs.merge_match_into_notebook(nbformat.read(path, as_version=4))
            nbformat.write(ran, app.outdir / "_sources" / "chapters" / path.name)
    if app.config.language == "en":
        settings = {"language": "zh_CN", "nb_execution_mode": app.config.nb_execution_mode}
        flags = [flag for name, value in settings.items() for flag in ("-D", f"{name}={value}")]
        command = [sys.executable, "-m", "sphinx", "-W", "-q", *flags]
        subprocess.run([*command, app.srcdir, app.outdir / "zh_CN"], check=True)


def setup(app) -> None:
    """Called by Sphinx before it looks for pages."""
    notebooks.write_all()
    app.connect("config-inited", speak_chinese)
    app.connect("doctree-resolved", name_folds)
    app.connect("build-finished", finish)
