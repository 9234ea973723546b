"""README.md and README.zh-CN.md: all they name is there, and all their numbers are true."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter

import pytest
from handwriting import draw

from common.chapter import load
from common.cli import ROOT

CHAPTERS = sorted(path.stem for path in ROOT.glob("[0-9][0-9]_*.py"))
ENGLISH, CHINESE = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
)
BOTH = pytest.mark.parametrize("readme", [ENGLISH, CHINESE], ids=["English", "Chinese"])
FENCED = re.compile(r"^```\n.*?^```\n", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]\d+)?")
make_pictures = load(ROOT / "docs" / "make_pictures.py")


def row(readme, name):
    """The chapter's row in the table, by cells."""
    (line,) = re.findall(rf"^\| \[`{name}\.py`\]\({name}\.py\)<br>.*\|$", readme, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


def sections(readme):
    """The text below each second-level heading."""
    return re.split(r"^## .*\n", readme, flags=re.MULTILINE)[1:]


@BOTH
@pytest.mark.parametrize("name", CHAPTERS)
def test_each_chapter_has_a_row_and_a_picture(name, readme):
    assert f'<img src="docs/{name}.png"' in row(readme, name)[0]
    assert f"<!-- docs/{name}.txt -->" in row(readme, name)[3]
    assert 10_000 < (ROOT / "docs" / f"{name}.png").stat().st_size < 200_000


def test_docs_holds_what_the_command_makes_and_nothing_else():
    pictures = {f"{name}.png" for name in CHAPTERS}
    transcripts = {f"{name}.txt" for name in make_pictures.RUNS}
    found = {path.name for path in (ROOT / "docs").iterdir() if path.is_file()}
    assert found == pictures | transcripts | {"make_pictures.py", "llm_parts.py"}
    assert {name[:2] for name in make_pictures.RUNS} == {name[:2] for name in CHAPTERS}
    for name, command in make_pictures.RUNS.items():
        assert make_pictures.read_transcript(name)[0].startswith(f"$ {command}\n")


@BOTH
def test_what_it_shows_of_runs_is_what_they_said(readme):
    assert len(re.findall(r"<!-- docs/", readme)) >= len(CHAPTERS) + 3
    assert make_pictures.updated(readme) == readme


@BOTH
def test_every_script_and_flag_in_a_command_exists(readme, run):
    commands = re.findall(r"python (\w+\.py)((?: [\w.,<>\"=-]+)*)", readme)
    assert len(commands) > len(CHAPTERS)
    for script, rest in commands:
        assert (ROOT / script).exists()
        if script != "practice.py":
            known = run(script.removesuffix(".py"), "--help").out
            for flag in re.findall(r"--[a-z-]+", rest):
                assert flag in known, (script, flag)


@BOTH
def test_every_link_within_the_project_leads_somewhere(readme):
    targets = re.findall(r"\]\(([^)]+)\)|(?:src|href)=\"([^\"]+)\"", readme)
    assert len(targets) > 2 * len(CHAPTERS)
    for target in map("".join, targets):
        assert target.startswith("https://") or (ROOT / target).exists(), target


@BOTH
def test_the_notes_headings_are_those_of_the_chapters(readme):
    for name in CHAPTERS:
        source = (ROOT / f"{name}.py").read_text(encoding="utf-8")
        title = ast.get_docstring(ast.parse(source)).splitlines()[0]
        for heading in row(readme, name)[1].split(", "):
            assert heading in title


def is_in(number, text):
    """Whether the text has this number, with as many digits or more."""
    digits = len(number.partition(".")[2])
    value = float(number.replace(",", ""))
    for other in NUMBER.findall(text):
        known = float(other.replace(",", ""))
        if len(other.partition(".")[2]) >= digits and abs(known - value) <= 0.5001 * 10**-digits:
            return True
    return False


@BOTH
@pytest.mark.parametrize("name", CHAPTERS)
def test_the_results_are_those_of_the_runs(name, readme):
    """Each number in the row's result, and with a point in the sections on chapters 8 and 9."""
    runs = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob(f"docs/{name}*.txt"))
    source = (ROOT / f"{name}.py").read_text(encoding="utf-8")
    result = NUMBER.findall(row(readme, name)[4])
    assert result
    for section in sections(readme):
        if f"python {name}.py" in section and name[:2] in ("08", "09"):
            prose = FENCED.sub("", re.sub(r"Python 3\.\d+", "", section))
            result += [number for number in NUMBER.findall(prose) if "." in number]
    for number in result:
        assert is_in(number, runs) or is_in(number, source), f"{number} is not in docs/{name}*.txt"


def test_the_command_makes_them(tmp_path, monkeypatch, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(
        "<!-- docs/01_linear_grid.txt -->\n```\n```\n"
        "<!-- docs/01_linear_grid.txt, section 3 -->\n```\nold\n```\n"
        "It takes 99 s<!-- docs/01_linear_grid.txt -->.\n"
    )
    monkeypatch.setattr(make_pictures, "DOCS", tmp_path)
    monkeypatch.setattr(make_pictures, "READMES", [readme])
    make_pictures.main(["01"])
    whole, section = readme.read_text(encoding="utf-8").split("<!--")[1:3]
    assert "$ python 01_linear_grid.py\nChapter 1 ·" in whole and "8. Results\n" in whole
    assert whole.endswith("Gradient descent: w = 2.0004\n```\n")
    assert "```\n3. Grid search\n" in section and "\n4." not in section
    assert re.search(r"\d at w = 2.0\n```\nIt takes \d s$", section)
    with make_pictures.Image.open(tmp_path / "01_linear_grid.png") as picture:
        assert picture.width >= 1200 and picture.mode == "P"


def test_a_run_on_a_gpu_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(make_pictures, "DOCS", tmp_path)
    with pytest.raises(SystemExit, match="this one was on cuda"):
        make_pictures.save_transcript("03_nn_linear", "Chapter 3\nDevice: cuda\n", 1.0)
    assert not any(tmp_path.iterdir())


# The transcripts in docs/ are what the chapters say today


def words_and_numbers(text):
    """The text with # in place of its numbers, and the numbers, but for seconds measured.

    Without the samples of chapter 9, and what it tells of the text of this Python.
    """
    lines = [line for line in text.splitlines() if not line.startswith("   | ")]
    text = re.sub("'.*", "", "\n".join(lines))
    text = re.sub(r"[\d.]+ s\b", "some s", text)
    return NUMBER.sub("#", " ".join(text.split())), [
        float(number.replace(",", "")) for number in NUMBER.findall(text)
    ]


@pytest.mark.slow
def test_each_row_of_the_table_of_parts_exchanges_a_part(capsys):
    llm_parts = load(ROOT / "docs" / "llm_parts.py")
    llm_parts.main(rounds=1, iterations=2)
    _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == len(llm_parts.ROWS)
    losses = [float(row.split()[-1]) for row in rows]
    assert len(set(losses)) == len(rows) and all(2 < loss < 5 for loss in losses)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CHAPTERS if name != "08_mnist_fast"])
def test_the_chapter_in_a_process_of_its_own_says_what_docs_say(
    name, run_chapter, last_lines, tmp_path
):
    """As a newcomer types it, from another folder. Chapter 8's rungs are timed in its own tests."""
    flags = ["--iterations", 20] if name == "09_small_llm" else []
    flags += [] if name == "01_linear_grid" else ["--device", "cpu"]
    done = run_chapter(name, *flags, "--output-dir", "outputs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.replace("\\", "/")
    command, _, transcript = make_pictures.read_transcript(name)[0].partition("\n")
    words, numbers = words_and_numbers(transcript)
    said_words, said_numbers = words_and_numbers(said)
    assert said_words == words, command
    if name < "07":
        assert said_numbers == pytest.approx(numbers, rel=0.02, abs=0.02)
    if name < "09":
        last_lines(load(ROOT / f"{name}.py"), said)
    files = {path.suffix for path in (tmp_path / "outputs").iterdir()}
    assert files == ({".png"} if name < "07" else {".png", ".pt"})
    if name == "07_mnist_mlp":
        compare_training_of_chapter_7(transcript, said)
        predict_digits_drawn_by_hand(tmp_path, run_chapter)


def compare_training_of_chapter_7(transcript, said):
    """Its losses are rounded otherwise by each processor."""
    for name, tolerance in [("loss", 0.1), ("accuracy", 0.02), ("Accuracy:", 0.01)]:
        numbers = [
            [float(number) for number in re.findall(rf"{name} +(0\.\d+|1\.\d+)", text)]
            for text in (transcript.split("10. Train")[1], said.split("10. Train")[1])
        ]
        assert len(numbers[0]) > 0
        assert numbers[0] == pytest.approx(numbers[1], abs=tolerance)


def predict_digits_drawn_by_hand(folder, run_chapter):
    """With the network that was just trained: 57 of 60, as 97 % may misclassify a few."""
    paths, expected = [], []
    for height in (14, 60, 300):
        for ink, paper in [("black", "white"), ("white", "black")]:
            for digit in range(10):
                paths.append(folder / f"{digit} {height} {ink}.png")
                draw(digit, height, ink, paper).save(paths[-1])
                expected.append(digit)
    done = run_chapter("07_mnist_mlp", "--predict", *paths, "--output-dir", "outputs", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    network, *lines = done.stdout.splitlines()
    assert re.search(r"07_mnist_mlp\.pt: epochs 10, test accuracy 0\.97\d\d$", network)
    predicted = [int(line.split(".png: ")[1][0]) for line in lines]
    assert sum(one == other for one, other in zip(predicted, expected, strict=True)) >= 57


@pytest.mark.slow
def test_the_debugger_answers_as_shown(tmp_path):
    """With breakpoint() where both editions say: in chapter 3's train, before zero_grad."""
    source = (ROOT / "03_nn_linear.py").read_text(encoding="utf-8")
    assert source.count("\n            optimizer.zero_grad()\n") == 1
    line = "            optimizer.zero_grad()\n"
    script = tmp_path / "03_nn_linear.py"
    script.write_text(source.replace(line, f"            breakpoint()\n{line}"), encoding="utf-8")
    (shown,) = re.findall(r"```\n(\(Pdb\) .*?)```\n", ENGLISH, re.DOTALL)
    commands = [line.removeprefix("(Pdb) ") for line in shown.splitlines() if "(Pdb)" in line]
    done = subprocess.run(
        [sys.executable, script, "--device", "cpu"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        input="\n".join([*commands, "q"]) + "\n",
        capture_output=True,
        encoding="utf-8",
    )
    answers = [line for line in shown.splitlines() if "(Pdb)" not in line]
    assert re.findall(r"\(Pdb\) (.+)", done.stdout)[: len(answers)] == answers
    assert "Traceback" not in done.stderr and done.returncode in (0, 130)


# The two editions are one


def headings(readme):
    return re.findall(r"^#+(?= )", FENCED.sub("", readme), re.MULTILINE)


def commands(readme):
    return [re.split(r"\s{2,}", line)[0] for line in re.findall(r"^ {4}(\S.*)", readme, re.M)]


def code(readme):
    return Counter(re.findall(r"`([^`\n]+)`", FENCED.sub("", readme)))


def numbers(readme):
    return Counter(NUMBER.findall(readme))


def links(readme):
    targets = re.findall(r"\]\(([^)]+)\)|(?:src|href)=\"([^\"]+)\"", readme)
    return Counter(target for target in map("".join, targets) if not target.startswith("README"))


def tables(readme):
    return re.findall(r"^\|.*\|$", FENCED.sub("", readme), re.MULTILINE)


def test_the_editions_link_to_each_other():
    assert "](README.zh-CN.md)" in ENGLISH.split("##")[0]
    assert "](README.md)" in CHINESE.split("##")[0]


@pytest.mark.parametrize("part", [headings, FENCED.findall, commands, code, numbers, links])
def test_the_editions_have_the_same(part):
    english, chinese = part(ENGLISH), part(CHINESE)
    assert len(english) > 3
    if isinstance(english, Counter):
        assert not english - chinese and not chinese - english
    assert english == chinese


def test_the_editions_have_the_same_tables():
    assert [line.count(" | ") for line in tables(ENGLISH)] == [
        line.count(" | ") for line in tables(CHINESE)
    ]
