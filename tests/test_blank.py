"""Grade --blank: whole programs are judged by what they do, however they are built."""

import io

import programs
import pytest

from common.language import language
from practice import blank

pytestmark = pytest.mark.filterwarnings("ignore")  # of the mistakes
CHAPTERS = ("03", "04", "05", "06", "07")
RIGHT = [(number, *one) for number in CHAPTERS for one in programs.right(number).items()]
WRONG = [(number, *one) for number in CHAPTERS for one in programs.wrong(number).items()]


def few_of_the_slow(cases: list[tuple]) -> list:
    """The plain suite tries every third of chapters 3 to 6, and every tenth of chapter 7."""
    slow = [at % (10 if case[0] == "07" else 3) != 0 for at, case in enumerate(cases)]
    marks = [pytest.mark.slow if one else () for one in slow]
    return [
        pytest.param(*case, marks=mark, id=f"{case[0]}-{case[1]}")
        for case, mark in zip(cases, marks, strict=True)
    ]


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """judged(source, number) -> what is wrong, or None; and what is shown of what it printed."""
    monkeypatch.setattr("sys.stdin", io.StringIO())  # nobody is there

    def judge(source: str, number: str) -> tuple[dict | None, str]:
        path, shown = tmp_path / "program.py", []
        path.write_text(source, encoding="utf-8")
        return blank.judge(path, number, shown.append), "".join(shown)

    return judge


def said(found: dict | None) -> str:
    """All sentences of a finding."""
    return "\n".join(str(text) for key, text in (found or {}).items() if text and key != "printed")


@pytest.mark.parametrize(
    "number",
    [pytest.param(one, marks=pytest.mark.slow) if one > "05" else one for one in programs.NOTES],
)
def test_the_notes_own_programs_are_right(number, judged):
    assert judged(programs.NOTES[number], number)[0] is None


@pytest.mark.parametrize(("number", "name", "source"), few_of_the_slow(RIGHT))
def test_it_is_right_however_it_is_built(number, name, source, judged):
    assert judged(source, number)[0] is None


@pytest.mark.parametrize(("number", "name", "case"), few_of_the_slow(WRONG))
def test_what_is_wrong_is_told(number, name, case, judged):
    source, word = case
    assert word in said(judged(source, number)[0])


@pytest.mark.parametrize("case", programs.EARLY)
def test_the_first_two_chapters(case, judged):
    number, _name = case
    word, *edits = programs.EARLY[case]
    found, _shown = judged(programs.edited(programs.NOTES[number], *edits), number)
    assert word in said(found) if word else found is None


def test_an_error_is_shown_with_its_line_and_a_word(judged):
    found, shown = judged(
        "import numpy as np\nprint('reading')\nnp.loadtxt('diabetes.csv')\n", "05"
    )
    assert found["where"] == "line 3: np.loadtxt('diabetes.csv')"
    assert found["error"].startswith("FileNotFoundError: diabetes.csv")
    assert "data/diabetes.csv" in found["word"]
    assert (shown, found["printed"]) == ("reading", "reading")


def test_an_error_speaks_the_readers_language_whatever_the_programs_arguments(judged, monkeypatch):
    monkeypatch.setattr("sys.argv", ["practice", "--lang", "zh"])
    monkeypatch.setattr(blank, "_", lambda text: f"{language()}: {text}")
    found, _shown = judged("import sys\nprint(sys.argv[1:])\ninput()\n", "03")
    assert found["word"].startswith("zh: ") and found["printed"] == "[]"


def test_of_many_lines_the_last_are_shown(judged):
    _found, shown = judged("for i in range(100):\n    print(i)\n", "03")
    assert shown.splitlines()[0] == "(80 lines before these)"
    assert shown.splitlines()[1:] == [str(i) for i in range(80, 100)]


def test_exit_and_syntax(judged):
    assert judged(programs.NOTES["03"] + "raise SystemExit(0)\n", "03")[0] is None
    assert "SystemExit: 3" in said(judged("raise SystemExit(3)\n", "03")[0])
    assert "line 1: x = (" in said(judged("x = (\n", "03")[0])
