"""Grade --blank: whole programs are judged by what they do, however they are built."""

import io

import programs
import pytest

from practice import blank

CHAPTERS = ("03", "04", "05", "06", "07")
RIGHT = {
    (number, name): text for number in CHAPTERS for name, text in programs.right(number).items()
}
WRONG = {
    (number, name): both for number in CHAPTERS for name, both in programs.wrong(number).items()
}


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """judged(source, number) -> what is wrong, or None; and what the program printed."""

    monkeypatch.setattr("sys.stdin", io.StringIO())  # nobody is there

    def judge(source: str, number: str) -> tuple[dict | None, str]:
        path, shown = tmp_path / "program.py", []
        path.write_text(source, encoding="utf-8")
        return blank.judge(path, number, shown.append), "".join(shown)

    return judge


def said(found: dict) -> str:
    """All sentences of a finding."""
    return "\n".join(str(text) for key, text in found.items() if text and key != "printed")


@pytest.mark.parametrize("number", programs.NOTES)
def test_the_notes_own_programs_are_right(number, judged):
    found, _shown = judged(programs.NOTES[number], number)
    assert found is None


@pytest.mark.parametrize(("number", "name"), RIGHT)
def test_right_however_it_is_built(number, name, judged):
    found, _shown = judged(RIGHT[number, name], number)
    assert found is None


@pytest.mark.parametrize(("number", "name"), WRONG)
def test_wrong_programs_are_told_why(number, name, judged):
    source, word = WRONG[number, name]
    found, _shown = judged(source, number)
    assert found and word in said(found)
