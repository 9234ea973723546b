"""practice.py, and the examiner behind it: is each missing or wrong function found?

The tests marked slow run the tests of whole chapters: python -m pytest -m slow
"""

import os
import subprocess
import sys
import time

import pytest

import practice
from common.cli import ROOT, UserError

CHAPTERS = sorted(path.stem for path in ROOT.glob("[0-9][0-9]_*.py"))
SOURCES = {name: (ROOT / f"{name}.py").read_text(encoding="utf-8") for name in CHAPTERS}
README = (ROOT / "README.md").read_text(encoding="utf-8")
FUNCTIONS = [
    (name, one.name) for name in CHAPTERS for one in practice.find_functions(SOURCES[name])
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A practice folder of the test's own."""
    monkeypatch.setattr(practice, "PRACTICE", tmp_path)
    return tmp_path


def run(*arguments):
    return practice.main([str(argument) for argument in arguments])


def refused(*arguments) -> str:
    """The words with which practice.py refuses to do that."""
    with pytest.raises(UserError) as error:
        run(*arguments)
    return str(error.value)


def write(folder, name, source):
    """The reader's file, in a folder that lies elsewhere than practice/."""
    (folder / "common.py").write_text(f"__path__ = [{str(ROOT / 'common')!r}]\n", encoding="utf-8")
    (folder / f"{name}.py").write_text(source, encoding="utf-8")


def changed(name, old, new):
    """A chapter with a mistake."""
    assert SOURCES[name].count(old) >= 1, "the chapter no longer has these lines"
    return SOURCES[name].replace(old, new)


# start


@pytest.mark.parametrize("name", CHAPTERS)
def test_start_empties_each_function_and_keeps_the_rest_to_the_letter(name, folder, capsys):
    run("start", name)
    exercise = (folder / f"{name}.py").read_text(encoding="utf-8")
    compile(exercise, name, "exec")
    names = [function for chapter, function in FUNCTIONS if chapter == name]
    assert [one.name for one in practice.find_functions(exercise)] == names
    lines = exercise.splitlines()
    written = [line.strip() for line in lines if "raise NotImplementedError" in line]
    assert written == [f'raise NotImplementedError("write {one}")' for one in names]
    original = iter(SOURCES[name].splitlines())
    assert all(line in original for line in lines if "raise NotImplementedError" not in line)
    for kept in ["# %%", "class ", "    def __init__", "if MAIN:", "chapter.section()"]:
        assert exercise.count(kept) == SOURCES[name].count(kept)


@pytest.mark.parametrize("name", ["3", "03", "03_nn_linear", "03_nn_linear.py"])
def test_a_chapter_has_four_names(name):
    assert practice.find_chapter(name) == ROOT / "03_nn_linear.py"


def test_an_unknown_chapter():
    assert "01_linear_grid" in refused("start", "99")


def test_start_never_overwrites_work(folder, capsys):
    run("start", 3)
    run("start", 3)  # nothing has been written yet
    path = folder / "03_nn_linear.py"
    path.write_text("# mine\n")
    assert "--force" in refused("start", "3")
    assert path.read_text() == "# mine\n"
    run("start", 3, "--force")
    assert (folder / "03_nn_linear.bak").read_text() == "# mine\n"
    path.write_text("# mine again\n")
    run("start", 3, "--force")
    assert (folder / "03_nn_linear.bak").read_text() == "# mine\n"
    assert (folder / "03_nn_linear.bak2").read_text() == "# mine again\n"


def test_start_where_nothing_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setattr(practice, "PRACTICE", tmp_path / "file" / "practice")
    assert "Copy the project to a folder of your own" in refused("start", "1")


def test_a_file_that_an_editor_saved_in_another_encoding(folder):
    """GBK is what Chinese editors save by default; a mark before UTF-8 is a custom of Windows."""
    path = folder / "01_linear_grid.py"
    path.write_bytes("# 我的".encode("gbk"))
    assert "not in UTF-8" in refused("check", "1")
    assert "--force" in refused("start", "1")
    path.write_bytes("x = 1  # 我的".encode("utf-8-sig"))
    assert practice.read_practice(ROOT / path.name) == "x = 1  # 我的"


def test_comments_between_signature_and_code_are_part_of_the_function():
    source = "def f(\n    x,\n):\n    # a hint\n\n    return x  # end\n\n\n# after\n"
    (function,) = practice.find_functions(source)
    assert function.lines(source) == ["    # a hint", "", "    return x  # end"]
    assert practice.emptied(source) == (
        'def f(\n    x,\n):\n    raise NotImplementedError("write f")\n\n\n# after\n'
    )


# hint, and the list


def test_hint_shows_the_chapters_lines(capsys):
    run("hint", 3, "LinearModel.forward")
    assert capsys.readouterr().out == "y_pred = self.linear(x)\nreturn y_pred\n"


def test_hint_for_an_unknown_function():
    assert "LinearModel.forward" in refused("hint", "3", "nothing")


@pytest.mark.slow
def test_the_list(folder, capsys):
    write(
        folder,
        "01_linear_grid",
        practice.emptied(SOURCES["01_linear_grid"], {"loss", "error_surface"}),
    )
    (folder / "02_autograd_linear.py").write_text("def broken(:\n")
    run()
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "01_linear_grid       2 of 7 functions pass, 5 are written"
    assert "line 1" in shown[1]
    assert shown[2] == "03_nn_linear         not started, 5 functions"


# check


def test_nothing_written_yet(folder, capsys):
    run("start", 1)
    with pytest.raises(SystemExit) as exit_:
        run("check", 1)
    assert exit_.value.code == 1
    assert "Begin with forward." in capsys.readouterr().out


def test_check_before_start(folder):
    assert "python practice.py start 03" in refused("check", "3")


def test_a_syntax_error_is_shown_with_its_line(folder):
    write(folder, "01_linear_grid", "x = 1\ndef f(:\n    pass\n")
    message = refused("check", "1")
    assert "line 2" in message and "def f(:" in message


def failing(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        run("check", *arguments)
    assert exit_.value.code == 1
    return capsys.readouterr().out


def test_a_missing_function_is_named(folder, capsys):
    write(folder, "01_linear_grid", practice.emptied(SOURCES["01_linear_grid"], {"gradient"}))
    shown = failing(capsys, 1)
    assert "gradient is not written yet (1 to go)." in shown
    assert "python practice.py hint 01 gradient" in shown


def test_a_wrong_function_is_shown_with_input_and_expected_result(folder, capsys):
    write(folder, "01_linear_grid", changed("01_linear_grid", "return x * w", "return x + w"))
    shown = failing(capsys, 1)
    assert "forward is not right yet." in shown
    assert "input:    x = 3.0, w = 4.0\n" in shown
    assert "got:      7.0\n" in shown
    assert "expected: 12.0\n" in shown
    assert f"$ python practice.py check 1\n{shown}" in README
    assert "FAILURES" not in shown and "FAILURES" in failing(capsys, 1, "-v")


def test_the_readme_shows_a_real_transcript(tmp_path, monkeypatch, capsys):
    """What is not shown by the test above."""
    monkeypatch.setattr(practice, "PRACTICE", tmp_path / "practice")
    monkeypatch.chdir(tmp_path)
    run("start", 1)
    assert f"$ python practice.py start 1\n{capsys.readouterr().out}" in README
    run("hint", 1, "forward")
    assert f"$ python practice.py hint 01 forward\n{capsys.readouterr().out}" in README
    left = {one for name, one in FUNCTIONS if name == "01_linear_grid"} - {"forward", "loss"}
    write(
        tmp_path / "practice",
        "01_linear_grid",
        practice.emptied(SOURCES["01_linear_grid"], left),
    )
    assert f"$ python practice.py check 1\n{failing(capsys, 1)}" in README


@pytest.mark.slow
def test_an_endless_loop_ends(folder, capsys):
    write(
        folder,
        "01_linear_grid",
        changed("01_linear_grid", "    return x * w", "    while True:\n        pass"),
    )
    start = time.monotonic()
    assert "forward was still running" in failing(capsys, 1, "--time-limit", 15)
    assert time.monotonic() - start < 120


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no process groups")
def test_what_a_check_leaves_running_is_ended(tmp_path):
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'while 1: pass'])"
    process = subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
    process.wait()
    os.killpg(process.pid, 0)  # the loop is there
    practice.end_with_all_it_started(process)
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the loop goes on")


def test_tests_that_did_not_run_are_no_success(folder, monkeypatch):
    write(folder, "01_linear_grid", SOURCES["01_linear_grid"])
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k no_such_test")
    with pytest.raises(RuntimeError, match="without a verdict"):
        run("check", 1)


@pytest.mark.slow
def test_a_wrong_import_names_the_module(folder, capsys):
    wrong = changed("01_linear_grid", "import numpy as np", "import numpi as np")
    write(folder, "01_linear_grid", wrong)
    assert "No module named 'numpi'" in failing(capsys, 1)


@pytest.mark.slow
def test_a_chapter_that_works(folder, capsys):
    write(folder, "01_linear_grid", SOURCES["01_linear_grid"])
    assert run("check", 1) is True
    shown = capsys.readouterr().out
    assert "works." in shown
    assert (folder / "outputs" / "01_linear_grid.png").exists()
    source = SOURCES["01_linear_grid"]
    lines = sum(len(one.lines(source)) for one in practice.find_functions(source))
    assert f"Lines in the functions: yours {lines}, the chapter's {lines}." in shown


@pytest.mark.slow
def test_watch_checks_again_at_every_save(folder, capsys, monkeypatch):
    write(folder, "01_linear_grid", practice.emptied(SOURCES["01_linear_grid"], {"error_surface"}))
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        assert len(waited) < 5, capsys.readouterr().out
        if len(waited) == 2:
            write(folder, "01_linear_grid", SOURCES["01_linear_grid"])

    monkeypatch.setattr(practice.time, "sleep", sleep)
    run("check", 1, "--watch")
    shown = capsys.readouterr().out
    assert shown.index("error_surface is not written yet") < shown.index("works.")
    assert len(waited) == 2


def test_the_readers_file_runs_by_itself(tmp_path):
    """From practice/ beside common/, whatever the working directory."""
    project = tmp_path / "project"
    (project / "practice").mkdir(parents=True)
    (project / "common").mkdir()
    for module in (ROOT / "common").glob("*.py"):
        (project / "common" / module.name).write_bytes(module.read_bytes())
    (project / "practice" / "common.py").write_text(practice.COMMON)
    (project / "practice" / "01_linear_grid.py").write_text(
        SOURCES["01_linear_grid"], encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, project / "practice" / "01_linear_grid.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert (project / "practice" / "outputs" / "01_linear_grid.png").exists()


# The examiner examined


def examine(folder, name, source, first_only=True):
    write(folder, name, source)
    report, output = practice.examine(ROOT / f"{name}.py", limit=900, first_only=first_only)
    return report, output


@pytest.mark.slow
@pytest.mark.parametrize("name, function", FUNCTIONS)
def test_each_function_is_missed(name, function, folder):
    """With that one function emptied the chapter's tests fail, and the examiner names it."""
    report, output = examine(folder, name, practice.emptied(SOURCES[name], {function}))
    assert report["problem"] is not None, output
    assert (report["problem"]["function"], report["problem"]["kind"]) == (function, "missing")


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAPTERS)
def test_the_original_passes_function_by_function(name, folder):
    report, output = examine(folder, name, SOURCES[name], first_only=False)
    assert report["problem"] is None, output
    assert report["passing"] == [one for chapter, one in FUNCTIONS if chapter == name]


MISTAKES = {
    "no new axis": (
        "01_linear_grid",
        "forward(x_data, ws[:, np.newaxis])  # (N,)",
        "forward(x_data, ws)  # (N,)",
        "grid_search_by_broadcasting",
    ),
    "no zero_grad": ("07_mnist_mlp", "optimizer.zero_grad()", "pass", "train"),
    "no zero_grad in chapter 3": ("03_nn_linear", "optimizer.zero_grad()", "pass", "train"),
    "no zero_ in chapter 2": ("02_autograd_linear", "w.grad.zero_()\n", "pass\n", None),
    "no zero_grad in chapter 6": ("06_dataloader", "optimizer.zero_grad()", "pass", "train"),
    "backward after step": (
        "07_mnist_mlp",
        "loss.backward()\n                optimizer.step()",
        "optimizer.step()\n                loss.backward()",
        "train",
    ),
    "a softmax before CrossEntropyLoss": (
        "07_mnist_mlp",
        "return self.linear5(x)",
        "return softmax(self.linear5(x))",
        "MNISTModel.forward",
    ),
    "a sigmoid before CrossEntropyLoss": (
        "05_multilayer",
        "x = self.output(x)",
        "x = self.sigmoid(self.output(x))",
        "DeepModel.forward",
    ),
    "view mixes samples": (
        "07_mnist_mlp",
        "x.view(-1, 28 * 28)",
        "x.reshape(28 * 28, -1).T",
        "MNISTModel.forward",
    ),
    "accuracy by batches": ("07_mnist_mlp", "total += labels.size(0)", "total += 1", "test"),
    "no self.": (
        "03_nn_linear",
        "self.linear = torch.nn.Linear(1, 1)",
        "linear = torch.nn.Linear(1, 1)",
        "LinearModel.__init__",
    ),
    "no self. in the dataset": ("06_dataloader", "self.y_train = ", "y_train = ", None),
    "the loss summed with its graph": ("07_mnist_mlp", "loss.detach() *", "loss *", "train"),
    "tested with gradients": ("07_mnist_mlp", "with torch.no_grad():", "if True:", None),
    "tested in training mode": (
        "07_mnist_mlp",
        '    model.eval()\n    correct',
        "    model.train()\n    correct",
        "test",
    ),
    "trained in evaluation mode": (
        "07_mnist_mlp",
        "            model.train()\n",
        "            pass\n",
        "train",
    ),
    "labels of another batch": (
        "07_mnist_mlp",
        "correct += (predicted == labels).sum()",
        "correct += (predicted == labels.roll(1)).sum()",
        "test",
    ),
    "the last batch's loss": (
        "07_mnist_mlp",
        "loss=loss_sum.item() / samples",
        "loss=loss.item()",
        "train",
    ),
    "tested on the training set": (
        "05_multilayer",
        "is_test = np.arange(len(xy)) % 5 == 0\n    return xy[~is_test], xy[is_test]",
        "is_test = np.arange(len(xy)) % 5 == 0\n    return xy[~is_test], xy[~is_test]",
        "split",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_learners_really_write_is_caught(mistake, folder):
    name, old, new, function = MISTAKES[mistake]
    report, output = examine(folder, name, changed(name, old, new))
    assert report["problem"] is not None, output
    assert report["problem"]["kind"] == "wrong"
    assert function in (report["problem"]["function"], None)
    assert "where" not in report["problem"].get("error", ""), "pytest's language, not ours"
