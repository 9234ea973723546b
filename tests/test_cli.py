"""common/cli.py: flags, errors for people, files written whole."""

import bdb
import contextlib
import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from common import cli

CHAPTERS = sorted(path.stem for path in cli.ROOT.glob("[0-9][0-9]_*.py"))


# Each chapter's command line


@pytest.mark.parametrize("name", CHAPTERS)
def test_help_of_each_chapter_gives_defaults_and_an_example(name, run):
    done = run(name, "--help")
    assert done.status == 0
    assert f"python {name}.py" in done.out
    for flag, default in {"--seed": "0", "--output-dir": "outputs"}.items():
        description = done.out[done.out.rindex(f"  {flag}") :]
        assert f"{default})" in description.split("\n  --")[0]
    assert not re.search(r"default: (False|None|\[\])", done.out)


@pytest.mark.parametrize("name", CHAPTERS)
@pytest.mark.parametrize(
    "flag, value, expected",
    [
        ("--epochs", "0", "a whole number from 1 to"),
        ("--epochs", "many", "a whole number from 1 to"),
        ("--batch-size", "-1", "a whole number from 1 to"),
        ("--batch-size", 20 * "9", "a whole number from 1 to"),
        ("--lr", "0", "a positive number"),
        ("--lr", "nan", "a positive number"),
        ("--lr", "inf", "a positive number"),
        ("--seed", "-1", "a whole number from 0 to"),
        ("--seed", 20 * "9", "a whole number from 0 to"),
        ("--device", "abacus", "Choose one of: auto, cpu"),
    ],
)
def test_a_wrong_value_is_answered_in_words(name, flag, value, expected, fails, tmp_path):
    message = fails(name, [flag, value, "--output-dir", tmp_path])
    if f"unrecognized arguments: {flag}" not in message:
        assert expected in message and flag.strip("-") in message and value in message


@pytest.mark.parametrize("name", CHAPTERS)
def test_an_output_folder_that_cannot_be_written(name, tmp_path, fails):
    occupied = tmp_path / "a file"
    occupied.write_text("in the way")
    message = fails(name, ["--output-dir", occupied / "outputs"])
    assert str(occupied) in message and "--output-dir" in message


@pytest.mark.parametrize("encoding", ["gbk", "ascii"])
@pytest.mark.parametrize("command", ["01_linear_grid.py", "12_small_llm.py", "-m practice"])
def test_help_and_errors_on_consoles_of_any_encoding(command, encoding):
    for flags, stream, shown in [
        (["--help"], "stdout", b"usage: "),
        (["--é月🌙"], "stderr", b"--"),
    ]:
        done = subprocess.run(
            [sys.executable, *command.split(), *flags],
            cwd=cli.ROOT,
            env=os.environ | {"PYTHONIOENCODING": encoding},
            capture_output=True,
        )
        assert shown in getattr(done, stream) and b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["gbk", "ascii"])
def test_a_whole_run_on_consoles_of_any_encoding(encoding, tmp_path):
    done = subprocess.run(
        [sys.executable, cli.ROOT / "01_linear_grid.py", "--output-dir", "我的 图"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Gradient descent: w = 2.0004" in done.stdout.decode(encoding)


# Where programs are started in other ways


def python(*arguments, cwd=cli.ROOT, **environment):
    """Python with these arguments; what it said and its status."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | environment,
        capture_output=True,
        encoding="utf-8",
    )


@pytest.mark.slow
def test_python_may_leave_out_docstrings(tmp_path):
    """As python -OO does, and idle -r."""
    flags = ["--output-dir", tmp_path, "--epochs", 1]
    done = python("-OO", "01_linear_grid.py", *flags)
    assert done.returncode == 0 and done.stdout.startswith("Chapter 1 · ")


@pytest.mark.slow
def test_a_program_may_have_no_streams(tmp_path):
    """As under Windows' pythonw."""
    script = tmp_path / "start.py"
    script.write_text(
        "import runpy, sys\nsys.stdin = sys.stdout = sys.stderr = None\ndel sys.argv[0]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    flags = ["--output-dir", tmp_path, "--iterations", 3, "--batch-size", 2]
    chapter = cli.ROOT / "11_char_rnn.py"  # it has a bar, which is written to stderr
    done = python(
        script, chapter, *flags, "--text", cli.ROOT / "README.md", PYTHONPATH=str(cli.ROOT)
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "11_char_rnn.png").exists()


def test_a_terminal_has_a_file_number():
    """IDLE's window says that it is a terminal, but can't go back to the beginning of a line."""

    class Window(io.StringIO):
        def isatty(self):
            return True

    assert not cli._writable(Window()).isatty()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a folder that is in use")
def test_a_working_folder_that_was_deleted_is_told_at_once(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    code = "import os, runpy, sys; os.rmdir(os.getcwd()); del sys.argv[0]; "
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    chapter = cli.ROOT / "03_nn_linear.py"
    flags = ["-c", code, chapter, "--output-dir", tmp_path]
    done = python(*flags, cwd=folder, PYTHONPATH=str(cli.ROOT))
    assert done.returncode == 2 and "folder was deleted" in done.stderr
    assert "1. " not in done.stdout and "Traceback" not in done.stderr


def test_too_old_a_python_is_named():
    code = "import sys; sys.version_info = (3, 9, 6); import common"
    done = python("-c", code)
    assert done.returncode == 1 and "Python 3.10 or newer" in done.stderr
    assert f"{sys.executable} is 3.9." in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["random", "torch", "ast"])
def test_a_file_that_hides_a_module_is_named(name, tmp_path):
    """Somebody tries torch.random, and saves it as random.py beside the chapter."""
    (tmp_path / f"{name}.py").touch()
    (tmp_path / "a.py").write_text("from common import chapter\nprint('done')\n")
    done = python(tmp_path / "a.py", PYTHONPATH=str(cli.ROOT))
    assert done.returncode == 1 and f"{name}.py has the name of a module" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


@pytest.mark.parametrize(
    "package, code, reason",
    [
        ("torch", "raise OSError('libcudart.so: cannot open')", "libcudart.so: cannot open"),
        ("matplotlib", "raise ImportError('DLL load failed')", "DLL load failed"),
    ],
)
def test_a_package_that_cannot_be_imported_is_named(package, code, reason, run_chapter, tmp_path):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(code)
    flags = ["--output-dir", tmp_path]
    done = run_chapter("03_nn_linear", *flags, cwd=tmp_path, startup=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert f"error: {package} can't be imported ({reason})." in done.stderr
    assert sys.executable in done.stderr and "requirements.txt" in done.stderr


def test_an_error_within_our_own_code_is_no_packages():
    try:
        torch.ones(2) @ torch.ones(3)
    except RuntimeError as error:
        assert cli.about_packages(error) == ""


def test_notebooks_show_the_words_alone():
    """IPython never calls sys.excepthook, but asks the error."""
    assert cli.UserError("what to do")._render_traceback_() == ["error: what to do"]


# Flags


def test_a_tilde_is_the_home(monkeypatch, tmp_path):
    """bash leaves it to the program in --output-dir=~/results, and cmd.exe everywhere."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    flags = cli.parser("doc", csv=None, text=[])
    args = flags.parse_args(["--output-dir=~/a b", "--csv=~/a.csv", "--text", "~/a", "b~"])
    assert args.output_dir == tmp_path / "a b" and args.csv == tmp_path / "a.csv"
    assert args.text == [tmp_path / "a", Path("b~")]


def test_windows_wildcards_are_expanded(tmp_path):
    for name in ("a.png", "b.png", "c.jpg", "d[1].png"):
        (tmp_path / name).touch()
    given = [tmp_path / "?.png", tmp_path / "d[1].png", tmp_path / "*.gif", tmp_path / ".."]
    expected = [tmp_path / "a.png", tmp_path / "b.png", *given[1:]]
    assert cli.expand(given) == expected


def refused(flags, **defaults) -> str:
    """What the parser says of the flags."""
    with pytest.raises(cli.UserError) as error:
        cli.parser("doc", **defaults).parse_args(flags)
    return str(error.value)


def test_a_mistyped_flag_is_answered_with_the_one_that_was_meant():
    assert "--nonsense 3 (--help lists every flag)" in refused(["--nonsense", "3"])
    assert "unrecognized arguments: --epohcs 3 (did you mean --epochs?)" in refused(
        ["--epohcs", "3"], epochs=3
    )


def test_a_value_that_begins_with_a_dash_is_shown_how_to_write():
    message = refused(["--device", "->"], device="auto")
    assert (
        "--device: expected one argument; one that begins with - is written --device=VALUE"
        in message
    )
    assert cli.parser("doc", device="auto").parse_args(["--device=->"]).device == "->"
    assert "VALUE" not in refused(["--text"], text=[])


def test_files_may_be_many_and_none_is_a_default_without_words():
    flags = cli.parser("doc", text=[], top_k=None)
    assert (flags.parse_args([]).text, flags.parse_args([]).top_k) == ([], None)
    assert flags.parse_args(["--text", "a", "b"]).text == [Path("a"), Path("b")]
    assert flags.parse_args(["--top-k", "3"]).top_k == 3
    help_ = flags.format_help()
    assert "--text FILE [FILE ...]" in help_ and "default: None" not in help_
    for flag, wrong in [
        ("iterations", "0"),
        ("length", "-1"),
        ("temperature", "0.009"),
        ("top_k", "x"),
    ]:
        assert "expected a" in refused([f"--{flag.replace('_', '-')}", wrong], **{flag: 1})


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\r\x07\x7f\x9b2J", r"\r\x07\x7f\x9b2J"),
        ("\u202egnp.exe\u2028", r"\u202egnp.exe\u2028"),
        ("床前\u3000明月光 \xa0é😀", "床前\u3000明月光 \xa0é😀"),
        ("می\u200cخواهم 👩\u200d💻", "می\u200cخواهم 👩\u200d💻"),
        ("it's \\x1b", "it's \\x1b"),
    ],
)
def test_what_would_control_a_terminal_is_escaped_and_nothing_else(text, shown):
    assert cli.printable(text) == shown


def test_only_flags_with_a_default_exist():
    args = cli.parser("doc", epochs=3).parse_args([])
    assert args.epochs == 3
    assert not hasattr(args, "lr") and not hasattr(args, "device")


# Errors


@pytest.fixture
def hook(monkeypatch, capsys):
    """hook(error) gives the error to excepthook; returns the exit status and what it wrote."""

    def answer(error):
        with pytest.raises(SystemExit) as exit_:
            cli.excepthook(type(error), error, None)
        return exit_.value.code, capsys.readouterr().err

    return answer


@pytest.mark.parametrize("status", [1, 2])
def test_a_persons_mistake_is_answered_in_words(status, hook):
    assert hook(cli.UserError("what to do", status)) == (status, "error: what to do\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), bdb.BdbQuit()])
def test_ctrl_c_and_the_debuggers_q_end_without_a_traceback(error, hook):
    assert hook(error) == (130, "\nStopped.\n")


@pytest.mark.parametrize("shape", [[2**58], [2**40, 2**40]])
def test_a_size_too_large_for_torch_is_answered_in_words(shape, hook):
    with pytest.raises(RuntimeError) as error:
        torch.empty(shape)
    for refusal in (error.value, MemoryError(), OverflowError("int too large")):
        status, said = hook(refusal)
        assert status == 2 and "a smaller --batch-size" in said and len(said.splitlines()) == 1


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), RuntimeError("ours")])
def test_our_own_errors_keep_their_traceback(error, capsys):
    cli.excepthook(type(error), error, None)
    assert f"{type(error).__name__}: ours" in capsys.readouterr().err


def test_words_are_not_lost_where_another_hook_catches_them(monkeypatch, capsys):
    """As torch.distributed's does, which shows them only if the hook returns."""
    monkeypatch.setattr(sys, "excepthook", None)
    cli.answer_in_words()
    with pytest.raises(SystemExit), contextlib.redirect_stderr(io.StringIO()) as lost:
        sys.excepthook(cli.UserError, cli.UserError("what to do"), None)
    assert (capsys.readouterr().err, lost.getvalue()) == ("error: what to do\n", "")


def test_the_summary_of_an_error():
    assert cli.summary(RuntimeError("\nno compiler.\nand more")) == "no compiler"
    assert cli.summary(ValueError()) == "ValueError"


def test_a_reader_who_leaves_is_no_error():
    """python … | head"""
    code = "from common import cli; cli.answer_in_words(); [print(i) for i in range(99999)]"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=cli.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no Ctrl-C to one process")
def test_ctrl_c_while_torch_is_being_imported(tmp_path):
    """A torch that takes long to import stands in for the real one."""
    (tmp_path / "torch.py").write_text(
        "print('importing', flush=True)\nimport time\ntime.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, cli.ROOT / "03_nn_linear.py", "--output-dir", tmp_path],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline().startswith("Chapter 3")
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130 and said == "\nStopped.\n"


# Files


def test_starting_needs_no_torch():
    code = "import sys, common.chapter, common.cli, common.plotting; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cli.ROOT, capture_output=True, encoding="utf-8"
    )
    assert done.stdout.strip() == "False", done.stderr


def test_paths_are_shown_short_where_that_is_possible(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.display_path(tmp_path / "outputs" / "a.png") == str(Path("outputs") / "a.png")
    elsewhere = tmp_path.parent / "a.png"
    assert cli.display_path(elsewhere) == str(elsewhere)


def test_the_output_folder_is_made(tmp_path):
    folder = tmp_path / "new" / "outputs"
    cli.output_folder(folder)
    assert folder.is_dir() and not any(folder.iterdir())


def test_an_output_folder_that_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(cli.UserError, match="--output-dir"):
        cli.output_folder(path)


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), cli.atomic_write(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    with cli.atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.suffix == path.suffix
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_in_words(tmp_path):
    with (
        pytest.raises(cli.UserError, match=r"cannot write .*result\.txt: No space left"),
        cli.atomic_write(tmp_path / "result.txt"),
    ):
        raise OSError(28, "No space left on device")


def test_a_file_that_is_held_for_a_moment_is_replaced_when_it_is_free(tmp_path, monkeypatch):
    """Windows' virus scanners and backups open new files."""
    held, slept, replace = [1, 1], [], Path.replace

    def refuse_at_first(self, target):
        if held:
            held.pop()
            raise PermissionError(13, "Access is denied")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse_at_first)
    monkeypatch.setattr(cli.time, "sleep", slept.append)
    with cli.atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new" and len(slept) == 2
    held.extend([1, 1, 1, 1])
    with (
        pytest.raises(cli.UserError, match=r"cannot write .*Access is denied"),
        cli.atomic_write(tmp_path / "a.txt") as temporary,
    ):
        temporary.write_text("newer")
