"""python -m docs, with a stand-in for Sphinx."""

import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import pytest

from common.cli import ROOT, UserError

docs = import_module("docs.__main__")


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book that is not built; `built`: the chapters that each call of Sphinx left for later."""
    not_run = ["07_mnist_mlp", "08_own_digits", "09_mnist_fast"]
    book = SimpleNamespace(built=[], opened=[], status=0)

    def sphinx(command, env, stderr, **how):
        not_run[:] = env["CHAPTERS_FOR_LATER"].replace(".ipynb", "").split()
        book.built.append([*not_run])
        command[command.index(docs.DOCS) + 1].mkdir(parents=True, exist_ok=True)
        stderr.write("WARNING: a link leads nowhere\n")
        did = {"poll": lambda: book.status, "terminate": lambda: None, "wait": lambda: None}
        return SimpleNamespace(returncode=book.status, **did)

    monkeypatch.setattr(docs, "BUILD", tmp_path)
    monkeypatch.setattr(docs, "BOOK", tmp_path / "html")
    monkeypatch.setattr(docs, "MADE_OF", tmp_path / "html" / ".made_of")
    monkeypatch.setattr(docs, "not_run", lambda: [*not_run])
    monkeypatch.setattr(subprocess, "Popen", sphinx)
    monkeypatch.setattr("webbrowser.open", book.opened.append)
    return book


def test_the_page_comes_before_the_other_chapters_and_the_second_time_at_once(book, capsys):
    docs.main(["9"])
    assert book.built == [["07_mnist_mlp", "08_own_digits"], []]
    docs.main(["09_mnist_fast.py"])
    assert len(book.built) == 2
    path = docs.BOOK / "chapters" / "09_mnist_fast.html"
    assert book.opened == [path.as_uri()] * 2 and capsys.readouterr().out.count(path.name) == 2


def test_a_chapter_runs_after_the_one_whose_checkpoint_it_loads(book, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["docs", "8", "--lang", "zh"])
    docs.main(sys.argv[1:])
    assert book.built == [["09_mnist_fast"], []]
    assert book.opened == [(docs.BOOK / "zh_CN" / "chapters" / "08_own_digits.html").as_uri()]


def test_what_stopped_the_build_is_told_and_the_book_is_not_whole(book):
    book.status = 2
    with pytest.raises(UserError, match="a link leads nowhere"):
        docs.main([])
    assert not docs.MADE_OF.exists() and not book.opened


def test_an_unknown_page_and_missing_packages_are_told(monkeypatch):
    with pytest.raises(UserError, match=r"'14'.* 1, 2, .* 13, add_a_chapter, .* speed, "):
        docs.find_page("14")
    assert [docs.find_page(one) for one in ("07", "speed.md")] == ["chapters/07_mnist_mlp", "speed"]
    monkeypatch.setattr(docs, "find_spec", lambda name: name != "sphinx")
    with pytest.raises(UserError, match=r"have: sphinx\. Install"):
        docs.not_run()


def test_a_changed_source_is_found_without_what_makes_the_book(tmp_path, monkeypatch):
    code = "import sys, docs.__main__; print({'sphinx', 'nbformat', 'tqdm'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT).split() == [b"set()"]
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "DOCS", tmp_path / "docs")
    digests = []
    for name, text in [("a.md", "a"), ("_build/a.html", "a"), ("a.md", "a"), ("a.md", "b")]:
        (docs.DOCS / name).parent.mkdir(parents=True, exist_ok=True)
        (docs.DOCS / name).write_text(text)
        digests.append(docs.digest())
    assert digests[0] == digests[1] == digests[2] != digests[3]
