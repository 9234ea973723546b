"""README.md, README.zh-CN.md and the book's own pages: all they name is there.

tests/test_book.py compares their numbers with the runs.
"""

import ast
import os
import re
import subprocess
import sys
from collections import Counter

import pytest
from handwriting import draw
from PIL import Image

from common.chapter import load
from common.cli import ROOT

CHAPTERS = sorted(path.stem for path in ROOT.glob("[0-9][0-9]_*.py"))
ENGLISH, CHINESE = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
)
BOTH = pytest.mark.parametrize("readme", [ENGLISH, CHINESE], ids=["English", "Chinese"])
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]\d+)?")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}


def row(readme, name):
    """The chapter's row in the table, by cells."""
    (line,) = re.findall(rf"^\| \[`{name}\.py`\]\({name}\.py\) .*\|$", readme, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


@BOTH
def test_it_fits(readme):
    """130 lines, and what matters on the first screen."""
    lines = readme.splitlines()
    assert len(lines) <= 130
    first = "\n".join(lines[:25])
    assert "`python -m practice start 7`" in first
    for name, job in [("first screen", "07_mnist_mlp.py"), ("all", "-m pytest")]:
        shown = first if name == "first screen" else readme
        unix, powershell = re.findall(rf"^    (\S.*\.venv\S+python {job})$", shown, re.MULTILINE)
        assert unix.startswith("python3 -m venv .venv && .venv/bin/python -m pip install -r ")
        assert powershell.startswith("py -m venv .venv; .venv\\Scripts\\python -m pip install -r ")
    assert (
        "\n    uv run --no-project --with-requirements requirements.txt 07_mnist_mlp.py\n" in first
    )
    name, width = re.search(r'<img src="(.*?)" width="(\d+)"', first).groups()
    with Image.open(ROOT / name) as picture:
        assert picture.height * int(width) / picture.width <= 250 < int(width)


@BOTH
def test_the_accuracy_of_the_first_screen_stands_there_alone(readme):
    (accuracy,) = re.findall(r"^    Accuracy: ([\d.]+)$", readme, re.MULTILINE)
    assert readme.count(accuracy) == 1


@BOTH
@pytest.mark.parametrize("name", CHAPTERS)
def test_each_chapter_has_a_row(name, readme):
    assert row(readme, name)[3].isdecimal()  # seconds


@pytest.mark.parametrize(
    "text", [ENGLISH, CHINESE, "\n".join(PAGES.values())], ids=["English", "Chinese", "pages"]
)
def test_every_script_and_flag_in_a_command_exists(text, run):
    commands = re.findall(r"python (\w+\.py)((?: [\w.,<>\"=-]+)*)", text)
    assert len(commands) >= 3
    for script, rest in commands:
        assert (ROOT / script).exists()
        known = run(script.removesuffix(".py"), "--help").out
        for flag in re.findall(r"--[a-z-]+", rest):
            assert flag in known, (script, flag)


@BOTH
def test_every_link_within_the_project_leads_somewhere(readme):
    readme = readme.replace(".zh_CN.png", ".png")  # the picture has words in it
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


# What the pages of the book show of other commands


@pytest.mark.slow
def test_each_row_of_the_table_of_parts_exchanges_a_part(capsys):
    llm_parts = load(ROOT / "docs" / "llm_parts.py")
    llm_parts.main(rounds=1, iterations=2)
    _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == len(llm_parts.ROWS)
    losses = [float(row.split()[-1]) for row in rows]
    assert len(set(losses)) == len(rows) and all(2 < loss < 5 for loss in losses)
    for row in rows:
        name = re.split(r"\s{2,}", row)[0]
        assert re.search(rf"^{re.escape(name)}  .*\d$", PAGES["parts.md"], re.MULTILINE)


@pytest.mark.slow
def test_a_chapter_in_a_process_of_its_own_reads_digits_drawn_by_hand(run_chapter, tmp_path):
    """From another folder: 57 of 60, as 97 % may misclassify a few.

    The network is the one that was trained for the book, or trained here.
    """
    outputs = ROOT / "docs" / "chapters" / "outputs"
    if not (outputs / "07_mnist_mlp.pt").exists():
        outputs, flags = tmp_path / "outputs", ["--device", "cpu", "--output-dir", "outputs"]
        done = run_chapter("07_mnist_mlp", *flags, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        names = ["07_mnist_mlp.png", "07_mnist_mlp.pt", "07_resume.pt"]
        assert sorted(path.name for path in outputs.iterdir()) == names
    paths, expected = [], []
    for height in (14, 60, 300):
        for ink, paper in [("black", "white"), ("white", "black")]:
            for digit in range(10):
                paths.append(tmp_path / f"{digit} {height} {ink}.png")
                draw(digit, height, ink, paper).save(paths[-1])
                expected.append(digit)
    flags = ["--device", "cpu", "--output-dir", outputs]
    done = run_chapter("08_own_digits", *paths, *flags, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    network, *lines = done.stdout.splitlines()
    assert network.endswith("07_mnist_mlp.pt")
    predicted = [int(line.split(".png: ")[1][0]) for line in lines]
    assert sum(one == other for one, other in zip(predicted, expected, strict=True)) >= 57


@pytest.mark.slow
def test_the_debugger_answers_as_shown(tmp_path):
    """With breakpoint() where the page says: in chapter 3's loop, before zero_grad."""
    source = (ROOT / "03_nn_linear.py").read_text(encoding="utf-8")
    line = "    optimizer.zero_grad()\n"
    assert source.count(line) == 1
    script = tmp_path / "03_nn_linear.py"
    script.write_text(source.replace(line, f"    breakpoint()\n{line}"), encoding="utf-8")
    (shown,) = re.findall(r"```\n(\(Pdb\) .*?)```\n", PAGES["study.md"], re.DOTALL)
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


# The two editions are one, but for the notes' course and a mirror of pip's packages


FOR_CHINESE = (
    "[《PyTorch深度学习实践》](https://www.bilibili.com/video/BV1Y7411d7Ys/)",
    "`-i 镜像地址`",
)


def headings(readme):
    return re.findall(r"^#+(?= )", readme, re.MULTILINE)


def commands(readme):
    return [re.split(r"\s{2,}", line)[0] for line in re.findall(r"^ {4}(\S.*)", readme, re.M)]


def code(readme):
    text = readme.replace("html/zh_CN/index", "html/index")
    return Counter(re.findall(r"`([^`\n]+)`", text))


def numbers(readme):
    return Counter(NUMBER.findall(readme))


def links(readme):
    readme = readme.replace(".zh_CN.png", ".png")  # the picture has words in it
    targets = re.findall(r"\]\(([^)]+)\)|(?:src|href)=\"([^\"]+)\"", readme)
    return Counter(target for target in map("".join, targets) if not target.startswith("README"))


def tables(readme):
    return re.findall(r"^\|.*\|$", readme, re.MULTILINE)


def test_the_editions_link_to_each_other():
    assert "](README.zh-CN.md)" in ENGLISH.split("##")[0]
    assert "](README.md)" in CHINESE.split("##")[0]


@pytest.mark.parametrize("part", [headings, commands, code, numbers, links])
def test_the_editions_have_the_same(part):
    translated = CHINESE
    for words in FOR_CHINESE:
        assert translated.count(words) == 1
        translated = translated.replace(words, "")
    english, chinese = part(ENGLISH), part(translated)
    assert len(english) > 3
    if isinstance(english, Counter):
        assert not english - chinese and not chinese - english
    assert english == chinese


def test_the_editions_have_the_same_tables():
    assert [line.count(" | ") for line in tables(ENGLISH)] == [
        line.count(" | ") for line in tables(CHINESE)
    ]
