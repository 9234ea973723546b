"""README.md: what it names is there, and what is there it names."""

import ast
import re

import pytest

from common.cli import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CHAPTERS = sorted(path.stem for path in ROOT.glob("[0-9][0-9]_*.py"))


@pytest.mark.parametrize("name", CHAPTERS)
def test_each_chapter_has_a_row_and_a_picture(name):
    assert f"| `python {name}.py` |" in README
    picture = ROOT / "docs" / f"{name}.png"
    assert 10_000 < picture.stat().st_size < 200_000


def test_every_script_in_a_command_exists():
    scripts = re.findall(r"python (\w+\.py)", README)
    assert set(scripts) == {*(f"{name}.py" for name in CHAPTERS), "practice.py"}


def test_every_link_within_the_project_leads_somewhere():
    targets = re.findall(r"\]\(([^)]+)\)", README)
    assert targets
    for target in targets:
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_notes_headings_are_those_of_the_chapters():
    for row in re.findall(r"^\| `python (\w+)\.py` \| ([^|]+) \|", README, re.MULTILINE):
        name, headings = row
        source = (ROOT / f"{name}.py").read_text(encoding="utf-8")
        title = ast.get_docstring(ast.parse(source)).splitlines()[0]
        for heading in headings.split(", "):
            assert heading in title
