"""The book's drawings: what the scripts draw, and where the chapters show it."""

import re

import pytest

from common import language
from common.chapter import load
from common.cli import ROOT

pen = load(ROOT / "docs" / "drawings" / "pen.py")
DRAWINGS = sorted(path for path in pen.FOLDER.glob("*.svg") if "zh_CN" not in path.name)
CHAPTERS = {path.stem: path.read_text("utf-8") for path in ROOT.glob("[0-9][0-9]_*.py")}


def words(svg: str) -> list[str]:
    return re.findall(r">([^<]+)</text>", svg)


def test_the_files_are_what_the_scripts_draw(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(pen.FOLDER)
    drawn = {path.name: path.read_text("utf-8") for path in pen.write_all(tmp_path)}
    assert drawn == {path.name: path.read_text("utf-8") for path in pen.FOLDER.glob("*.svg")}
    assert len(drawn) >= 32


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.stem)
def test_each_drawing_stands_in_its_chapter_in_both_languages(path):
    (chapter,) = [source for name, source in CHAPTERS.items() if name[:2] == path.name[:2]]
    assert len(re.findall(rf"^# !\[\w.*\]\(docs/drawings/{path.name}\)$", chapter, re.M)) == 1
    english, chinese = (p.read_text("utf-8") for p in (path, path.with_suffix(".zh_CN.svg")))
    alternatives = [re.search('aria-label="(.*?)"', svg)[1] for svg in (english, chinese)]
    assert alternatives[0].endswith(".") and re.search("[一-鿿].*。$", alternatives[1])
    assert not re.search("[一-鿿]", "".join(words(english)))
    assert len(words(english)) >= 4


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.stem)
def test_a_drawing_can_be_read_on_a_phone(path):
    for edition in (path, path.with_suffix(".zh_CN.svg")):
        svg = edition.read_text("utf-8")
        assert re.search(r'viewBox="0 0 (\d+) ', svg)[1] == "360"
        assert all(float(size) >= 12 for size in re.findall(r'font-size="([\d.]+)"', svg))


def test_step_names_a_drawing(run, tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda prompt: "")
    for flag, expected in [
        ("--lang=en", "Drawing: The linear unit (docs/drawings/03_linear_unit.svg)"),
        ("--lang=zh", "示意图：线性单元（docs/drawings/03_linear_unit.zh_CN.svg）"),
    ]:
        done = run("03_nn_linear", "--step", flag, "--device=cpu", "--output-dir", tmp_path)
        assert re.sub(r"\s", "", expected) in re.sub(r"\s", "", done.out.replace("\\", "/"))
    assert language.DRAWING.search(CHAPTERS["03_nn_linear"])
