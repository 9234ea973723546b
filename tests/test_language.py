"""common/language.py, and the catalogues: what readers of Chinese see."""

import argparse
import ast
import ctypes
import errno
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from unicodedata import east_asian_width

import pytest
from conftest import code_without_docstrings

from common import cli, language
from common.cli import ROOT
from practice.__main__ import read_hints

CHAPTERS = sorted(ROOT.glob("[0-9][0-9]_*.py"))
SOURCES = {
    "common": [*ROOT.glob("common/*.py"), *CHAPTERS, ROOT / "docs" / "__main__.py"],
    "practice": [*ROOT.glob("practice/*.py")],
}


@pytest.fixture
def speak(monkeypatch):
    """speak("--lang", "zh", LANG="…") sets flags and environment; nothing else is set."""

    def speak(*flags, **environment):
        monkeypatch.setattr(sys, "argv", ["chapter.py", *flags])
        for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
            monkeypatch.setenv(name, environment.get(name, ""))

    return speak


def test_the_language_is_the_systems(speak, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    for environment, expected in [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "zh_TW", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LC_MESSAGES": "en_US.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
    ]:
        speak(**environment)
        assert language.language() == expected, environment


@pytest.mark.parametrize("number, expected", [(0x0804, "zh"), (0x0409, "en"), (0xFFFF, "en")])
def test_the_language_is_that_of_windows(number, expected, speak, monkeypatch):
    kernel = SimpleNamespace(GetUserDefaultUILanguage=lambda: number)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    speak()
    assert language.language() == expected
    speak(LANG="zh_CN" if expected == "en" else "en_US")
    assert language.language() != expected


def test_the_flag_goes_before_the_system(speak):
    for flags, expected in [
        (["--lang", "zh"], "zh"),
        (["--epochs", "3", "--lang=zh", "--step"], "zh"),
        (["--lang", "zh", "--lang", "en"], "en"),
        (["--lang", "fr"], "en"),
        (["--prompt", "with --lang zh in it"], "en"),
    ]:
        speak(*flags, LANG="en_US.UTF-8")
        assert language.language() == expected, flags
    speak("--lang", "en", LANG="zh_CN.UTF-8")
    assert language.language() == "en"


def said(path: Path) -> list[ast.expr]:
    """What a file says to the reader: the first arguments of _(…) and UserError(…)."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    calls = [node for node in nodes if isinstance(node, ast.Call) and node.args]
    return [c.args[0] for c in calls if re.fullmatch(r"(cli\.)?UserError|_", ast.unparse(c.func))]


@pytest.mark.parametrize("where", SOURCES)
def test_every_message_is_translated_and_no_translation_is_stale(where):
    """In practice/ the hints are messages, too."""
    found = [node for path in SOURCES[where] for node in said(path)]
    messages = {node.value for node in found if isinstance(node, ast.Constant)}
    if where == "practice":
        messages |= {text for texts in read_hints().values() for text in texts}
    assert len(messages) > 20
    assert not messages - set(language.catalog(*language.CATALOGS))
    translated = language.catalog(ROOT / where / "zh_CN.po")
    known = messages | {os.strerror(code) for code in errno.errorcode}
    argparses = Path(argparse.__file__).read_text(encoding="utf-8")
    assert not {text for text in set(translated) - known if text not in argparses}
    for text, chinese in translated.items():
        fields = [sorted(re.findall(r"\{\w+.*?\}|%(?:\(\w+\))?[rs]", t)) for t in (text, chinese)]
        assert re.search("[一-鿿：，]", chinese) and fields[0] == fields[1], text
    for node in found:  # what is put together before it is looked up is in no catalogue
        assert not isinstance(node, ast.JoinedStr | ast.BinOp), ast.unparse(node)


@pytest.mark.parametrize(
    "flag", ["--epohcs=3", "--lr", "--lr=0", "--seed=-1", "--lang=fr", "--text", "--s", "--step=1"]
)
def test_wrong_flags_are_refused_in_chinese(flag, speak):
    speak(LANG="zh_CN.UTF-8")
    with pytest.raises(cli.UserError) as error:
        cli.parser("doc", lr=0.1, epochs=3, text=[]).parse_args([flag])
    told = str(error.value).removeprefix("argument ")  # which Python 3.10 does not translate
    assert not re.search(r"(?<![-\w'])[a-z]{2,}(?![\w'])", told.replace("en, zh", ""))
    assert ("--epochs" in told) == (flag == "--epohcs=3")
    assert ("--lr=VALUE" in told) == (flag == "--lr")


def test_errors_are_told_in_the_readers_language(tmp_path, run):
    done = run("12_small_llm", "--resume", "--output-dir", tmp_path, "--lang", "zh")
    path = cli.display_path(tmp_path / "12_small_llm.pt")
    assert done.err == f"错误：没有检查点 {path}。请先训练：python 12_small_llm.py\n"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_paragraph_of_a_chapter_is_translated(path, speak):
    """But for drawings, and names. No line that a translation is broken into begins a list."""
    cells = re.split("(?m)^# %%", path.read_text(encoding="utf-8"))
    prose = "".join(cell.split("\n", 1)[1] for cell in cells if cell.startswith(" [markdown]"))
    prose = re.sub('(?m)^# ?|^"""', "", prose)
    speak(LANG="en_US")
    assert language.page(prose, path.stem) == prose
    speak(LANG="zh_CN")
    both = [re.split(r"\n\s*\n", p.strip()) for p in (prose, language.page(prose, path.stem))]
    for english, chinese in zip(*both, strict=True):
        is_name = re.fullmatch(r"## [\w.]+", english)
        if not english.startswith("    ") and not is_name:
            assert chinese != english and re.search("[一-鿿：，]", chinese), english
        assert not re.search(r"^(?:[-+*]|\d+\.) |^#.*\]\(", chinese, re.MULTILINE), chinese


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_comments_and_docstrings_are_translated_and_nothing_else(path, speak):
    """What is in English words; and the code stays the same, so does each line's place."""
    source = path.read_text(encoding="utf-8")
    cells = [
        cell for cell in re.split(r"(?m)^# %%.*\n", source) if not cell.startswith(("# ", '"'))
    ]
    remarks = [words for cell in cells for *_, words in language.remarks(cell)]
    assert len(remarks) > 5
    speak(LANG="en_US")
    assert language.code(cells[-1], path.stem) == cells[-1]
    speak(LANG="zh_CN")
    for cell in cells:
        chinese = language.code(cell, path.stem)
        for words in [words for *_, words in language.remarks(chinese)]:
            plain = re.sub(r"\(.*?\)|\w+[._(]\w*", "", words)
            assert re.search("[一-鿿]", words) or len(re.findall("[a-z]{3,}", plain)) < 2, words
        assert code_without_docstrings(cell) == code_without_docstrings(chinese)
        for line in chinese.split("\n"):
            assert sum(2 if east_asian_width(c) in "WF" else 1 for c in line) <= 100, line


def test_what_a_figure_computes_keeps_its_place(monkeypatch):
    catalog = {"{n} of {len(all):,} are wrong": "{len(all):,} 个里有 {n} 个错", "loss": "损失"}
    monkeypatch.setattr(language, "catalog", lambda *paths: catalog)
    assert language.figure_text("3 of 1,000 are wrong", "any") == "1,000 个里有 3 个错"
    assert language.figure_text("loss", "any") == "损失"
    assert language.figure_text("not one is wrong", "any") == "not one is wrong"


def test_step_shows_a_chapter_in_chinese(run, tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr("builtins.input", waited.append)
    done = run("03_nn_linear", "--step", "--lang=zh", "--device=cpu", "--output-dir", tmp_path)
    assert done.out.startswith("第 3 章 · 用 torch.nn 做线性回归") and len(waited) == 9
    assert "\n设备：cpu\n" in done.out and "\n2. 模型构建\n" in done.out
    words = re.sub(r"\s", "", done.out)
    assert "五行代码" in words and "每一轮有五个调用" in words and "model=LinearModel()" in words
    assert not re.search("The task is|Each epoch makes", done.out)
    assert f"Figure:     {cli.display_path(tmp_path / '03_nn_linear.png')}\n" in done.out
