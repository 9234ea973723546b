"""common/cli.py: flags, steps, and errors for people."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import practice
from common import cli

CHAPTERS = sorted(path.stem for path in cli.ROOT.glob("[0-9][0-9]_*.py"))


@pytest.mark.parametrize("name", CHAPTERS)
def test_help_of_each_chapter_gives_defaults_and_an_example(name, load_chapter, capsys):
    with pytest.raises(SystemExit) as exit_:
        load_chapter(name).main(["--help"])
    shown = capsys.readouterr().out
    assert exit_.value.code == 0
    assert f"python {name}.py" in shown
    for flag, default in {"--seed": "0", "--output-dir": "outputs"}.items():
        description = shown[shown.rindex(f"  {flag}") :]
        assert f"{default})" in description.split("\n  --")[0]
    assert not re.search(r"default: (False|None|\[\])", shown)


@pytest.mark.parametrize("name", CHAPTERS)
@pytest.mark.parametrize(
    "flag, value, expected",
    [
        ("--epochs", "0", "a whole number from 1 up"),
        ("--epochs", "many", "a whole number from 1 up"),
        ("--batch-size", "-1", "a whole number from 1 up"),
        ("--lr", "0", "a positive number"),
        ("--lr", "nan", "a positive number"),
        ("--lr", "inf", "a positive number"),
        ("--seed", "-1", "a whole number from 0 to"),
        ("--device", "abacus", "Choose one of: auto, cpu"),
    ],
)
def test_a_wrong_value_is_answered_in_words(name, flag, value, expected, load_chapter, fails):
    message = fails(load_chapter(name).main, [flag, value])
    assert expected in message or f"unrecognized arguments: {flag}" in message
    assert flag.strip("-") in message and value in message


@pytest.mark.parametrize("name", CHAPTERS)
def test_an_output_folder_that_cannot_be_written(name, load_chapter, tmp_path, fails):
    occupied = tmp_path / "a file"
    occupied.write_text("in the way")
    message = fails(load_chapter(name).main, ["--output-dir", occupied / "outputs"])
    assert str(occupied) in message and "--output-dir" in message


@pytest.mark.parametrize("name", CHAPTERS)
def test_step_and_show_in_each_chapter(name, load_chapter, tmp_path, monkeypatch, capsys):
    """One Enter for each numbered step, and the figure in a window at the end."""
    flags = {
        "--epochs": "2",
        "--batch-size": "1000",
        "--workers": "0",
        "--rungs": "4,5",
        "--rounds": "1",
        "--recipe-epochs": "1",
    }
    if name == "09_small_llm":
        text = str(cli.ROOT / "README.md")
        flags = {"--iterations": "2", "--text": text, "--size": "tiny", "--length": "20"}
    chapter = load_chapter(name)
    with pytest.raises(SystemExit):
        chapter.main(["--help"])
    known = capsys.readouterr().out
    entered, shown = [], []
    monkeypatch.setattr("builtins.input", entered.append)
    monkeypatch.setattr(plt, "get_backend", lambda: "TkAgg")
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    chosen = [part for flag, value in flags.items() if flag in known for part in (flag, value)]
    chapter.main([*chosen, "--step", "--show", "--output-dir", str(tmp_path)])
    steps = re.findall(r"^\d+\. ", capsys.readouterr().out, re.MULTILINE)
    assert steps == [f"{i}. " for i in range(1, len(steps) + 1)]
    assert len(entered) == len(steps) >= 3
    assert len(shown) == 1 and len(shown[0]) == 1
    assert (tmp_path / f"{name}.png").exists()


def test_the_first_line_of_an_error():
    assert cli.first_line(RuntimeError("\nno compiler\nand more")) == "no compiler"
    assert cli.first_line(ValueError()) == "ValueError"


def test_windows_wildcards_are_expanded(tmp_path):
    for name in ("a.png", "b.png", "c.jpg", "d[1].png"):
        (tmp_path / name).touch()
    given = [tmp_path / "?.png", tmp_path / "d[1].png", tmp_path / "*.gif", tmp_path / ".."]
    expected = [tmp_path / "a.png", tmp_path / "b.png", *given[1:]]
    assert cli.expand(given) == expected


def test_an_unknown_flag(fails):
    main = cli.command(lambda argv: cli.parser("doc").parse_args(argv))
    assert "--nonsense" in fails(main, ["--nonsense"])


def test_a_mistyped_flag(fails):
    main = cli.command(lambda argv: cli.parser("doc", epochs=3).parse_args(argv))
    assert "unrecognized arguments: --epohcs 3 (did you mean --epochs?)" in fails(
        main, ["--epohcs", "3"]
    )
    assert "(--help lists" in fails(main, ["--epochs", "0"])


def test_only_flags_with_a_default_exist():
    args = cli.parser("doc", epochs=3).parse_args([])
    assert args.epochs == 3
    assert not hasattr(args, "lr") and not hasattr(args, "device")


def test_steps_are_numbered_after_the_title(capsys):
    step = cli.begin("Chapter 0 · Title\n\nmore")
    step("first")
    step("second")
    assert capsys.readouterr().out == "Chapter 0 · Title\n\n1. first\n\n2. second\n"


def test_a_notebook_has_no_title_of_ours(capsys):
    cli.begin("Automatically created module for IPython interactive environment")
    cli.begin(None)
    assert capsys.readouterr().out == ""


def test_step_waits_for_enter(monkeypatch, capsys):
    waited = []
    monkeypatch.setattr("builtins.input", waited.append)
    step = cli.begin(None, wait=True)
    step("first")
    step("second")
    assert len(waited) == 2


@pytest.mark.parametrize("error", [EOFError(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "")])
def test_step_goes_on_where_nobody_can_press_enter(error, monkeypatch, capsys):
    """Or where other keys were pressed before it, in an encoding that Python did not expect."""

    def press(prompt):
        raise error

    monkeypatch.setattr("builtins.input", press)
    cli.begin(None, wait=True)("first")
    assert "1. first" in capsys.readouterr().out


def test_main_without_arguments_ignores_a_foreign_command_line(monkeypatch):
    main = cli.command(lambda argv: argv)
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    assert main() == []
    monkeypatch.setattr(sys, "argv", [__file__, "--seed", "1"])
    assert main() == ["--seed", "1"]


def test_ctrl_c_outside_training_ends_without_a_traceback(capsys):
    @cli.command
    def main(argv):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == cli.STOPPED_BY_CTRL_C == 130
    assert "Stopped" in capsys.readouterr().err


def test_a_reader_who_leaves_is_no_error():
    """python … | head"""
    code = "from common import cli; cli.command(lambda argv: [print(i) for i in range(99999)])([])"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=cli.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


def test_our_own_errors_keep_their_traceback():
    @cli.command
    def main(argv):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main([])


def test_a_console_without_chinese_does_not_crash(tmp_path):
    script = tmp_path / "chapter.py"
    script.write_text(
        "from common import cli\n"
        "cli.command(lambda argv: print('Chapter · 多分类问题 → end'))([])\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONPATH": str(cli.ROOT)},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"Chapter \xb7 ?" in done.stdout


@pytest.mark.parametrize("encoding", ["gbk", "cp1252", "ascii"])
@pytest.mark.parametrize("name", [*CHAPTERS, "practice"])
def test_help_and_errors_on_consoles_of_any_encoding(name, encoding, load_chapter, monkeypatch):
    main = practice.main if name == "practice" else load_chapter(name).main
    for flags, stream, shown in [(["--help"], "stdout", "usage: "), (["--é月🌙"], "stderr", "--")]:
        console = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
        monkeypatch.setattr(sys, stream, console)
        with pytest.raises(SystemExit):
            main(flags)
        console.flush()
        assert shown in console.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["gbk", "cp1252", "ascii"])
def test_a_whole_run_on_consoles_of_any_encoding(encoding, load_chapter, tmp_path, monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", console)
    load_chapter("01_linear_grid").main(["--output-dir", str(tmp_path / "我的 图")])
    assert "Gradient descent: w = 2.0004" in console.buffer.getvalue().decode(encoding)


def test_starting_needs_no_torch():
    code = "import sys, common.cli, common.files, common.plotting; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cli.ROOT, capture_output=True, encoding="utf-8"
    )
    assert done.stdout.strip() == "False", done.stderr


def test_paths_are_shown_short_where_that_is_possible(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.path_for_people(tmp_path / "outputs" / "a.png") == str(Path("outputs") / "a.png")
    elsewhere = tmp_path.parent / "a.png"
    assert cli.path_for_people(elsewhere) == str(elsewhere)
