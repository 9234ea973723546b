"""practice.py, and the examiner behind it: is each missing or wrong function found?

The tests marked slow run the tests of whole chapters: python -m pytest -m slow
"""

import ast
import os
import re
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from learners import MISTAKES, SOLUTIONS

import practice
from common.cli import ROOT, UserError

CHAPTERS = sorted(path.stem for path in ROOT.glob("[0-9][0-9]_*.py"))
SOURCES = {name: (ROOT / f"{name}.py").read_text(encoding="utf-8") for name in CHAPTERS}
PAGE = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
FUNCTIONS = [
    (name, one.name) for name in CHAPTERS for one in practice.find_functions(SOURCES[name])
]


@pytest.fixture(scope="module", autouse=True)
def _one_thread_for_each_verdict(request):
    """Two at a time, on two cores: more threads would only wait for one another."""
    if any("verdicts" in item.fixturenames for item in request.session.items):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OMP_NUM_THREADS", "1")
            process = practice.context(warm=True).Process()  # starts what all are forked from
            process.start()
            process.join()


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
    for kept in ["# %%", "class ", "    def __init__", "chapter.begin("]:
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


def test_a_hint_has_three_grades(folder, capsys):
    idea, functions = practice.read_hints()["03 LinearModel.forward"]
    lines = "y_pred = self.linear(x)\nreturn y_pred"
    said = []
    for _ in range(4):
        run("hint", 3, "LinearModel.forward")
        said.append(capsys.readouterr().out)
    assert said[0] == f"{idea}\n\n(Ask again for the functions to use; --all shows all.)\n"
    assert said[1] == f"{functions}\n\n(Ask again for the chapter's lines; --all shows all.)\n"
    assert said[2] == said[3] == f"{lines}\n"
    run("hint", 3, "LinearModel.__init__")
    assert "Ask again for the functions" in capsys.readouterr().out, "each counts for itself"
    run("hint", 3, "forward", "--all")  # there is no other
    assert capsys.readouterr().out == f"{idea}\n\n{functions}\n\n{lines}\n"
    run("start", 3)
    run("hint", 3, "LinearModel.forward")
    assert capsys.readouterr().out.endswith(said[0]), "a new start, and the idea first"


def test_hints_where_nothing_can_be_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setattr(practice, "PRACTICE", tmp_path / "file" / "practice")
    run("hint", 3, "LinearModel.forward")
    assert "--all shows all" in capsys.readouterr().out


def test_each_function_has_a_hint_of_two_grades_and_there_are_no_others():
    hints = practice.read_hints()
    assert list(hints) == [f"{chapter[:2]} {name}" for chapter, name in FUNCTIONS]
    for name, grades in hints.items():
        assert len(grades) == 2 and all(len(grade) > 40 for grade in grades), name
        assert "`" in grades[1], f"{name}: the second grade names what to use"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_hint_gives_the_lines_away(chapter):
    """No statement of the function, and no expression with more to it than a name or a call."""

    def squeezed(text):
        return re.sub(r"[\s`]", "", text)

    hints = practice.read_hints()
    for function in practice.find_functions(SOURCES[chapter]):
        hint = squeezed(" ".join(hints[f"{chapter[:2]} {function.name}"]))
        body = textwrap.dedent("\n".join(function.lines(SOURCES[chapter])))
        for node in ast.walk(ast.parse(f"def f():\n{textwrap.indent(body, '    ')}").body[0]):
            given_away = isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef)
            given_away |= isinstance(node, ast.BinOp | ast.Compare | ast.comprehension)
            given_away |= isinstance(node, ast.Call) and bool(node.args or node.keywords)
            code = squeezed(ast.unparse(node))
            if given_away and len(code) > 6:
                assert code not in hint, function.name


def test_hint_for_an_unknown_function():
    assert "LinearModel.forward" in refused("hint", "3", "nothing")


@pytest.mark.slow
def test_the_list(folder, capsys):
    write(
        folder,
        "01_linear_grid",
        practice.emptied(SOURCES["01_linear_grid"], {"loss"}),
    )
    (folder / "02_autograd_linear.py").write_text("def broken(:\n")
    run()
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "01_linear_grid       2 of 3 functions pass, 2 are written"
    assert "line 1" in shown[1]
    assert shown[2] == "03_nn_linear         not started, 2 functions"


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


def test_a_wrong_function_is_shown_with_input_and_expected_result(folder, capsys):
    write(folder, "01_linear_grid", changed("01_linear_grid", "return x * w", "return x + w"))
    shown = failing(capsys, 1)
    assert "forward is not right yet." in shown
    assert "input:    x = 3.0, w = 4.0\n" in shown
    assert "got:      7.0\n" in shown
    assert "expected: 12.0\n" in shown
    assert f"$ python practice.py check 1\n{shown}" in PAGE


def test_the_book_shows_a_real_transcript(tmp_path, monkeypatch, capsys):
    """What is not shown by the test above."""
    monkeypatch.setattr(practice, "PRACTICE", tmp_path / "practice")
    monkeypatch.chdir(tmp_path)
    run("start", 1)
    assert f"$ python practice.py start 1\n{capsys.readouterr().out}" in PAGE
    run("hint", 1, "forward")
    assert f"$ python practice.py hint 01 forward\n{capsys.readouterr().out}" in PAGE
    left = {one for name, one in FUNCTIONS if name == "01_linear_grid"} - {"forward", "loss"}
    write(
        tmp_path / "practice",
        "01_linear_grid",
        practice.emptied(SOURCES["01_linear_grid"], left),
    )
    assert f"$ python practice.py check 1\n{failing(capsys, 1)}" in PAGE


@pytest.mark.slow
def test_an_endless_loop_ends(folder, capsys):
    write(
        folder,
        "01_linear_grid",
        changed("01_linear_grid", "    return x * w", "    while True:\n        pass"),
    )
    said = failing(capsys, 1, "--time-limit", 3)
    assert re.match(r"Still running after 3 s, in forward, which began [23] s before\.\n", said)
    assert "Is there an endless loop?\n" in said and "--time-limit 6" in said


def leave_a_loop_behind(answer):
    """What a child process may do: it starts another, and ends."""
    os.setsid()
    subprocess.Popen([sys.executable, "-c", "while 1: pass"])
    answer.send(os.getpid())


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no process groups")
def test_what_a_check_leaves_running_is_ended():
    context = practice.context(warm=False)
    ours, theirs = context.Pipe()
    process = context.Process(target=leave_a_loop_behind, args=(theirs,))
    process.start()
    group = ours.recv()
    process.join()
    os.killpg(group, 0)  # the loop is there
    practice.end_with_all_it_started(process)
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the loop goes on")


def end_without_a_verdict(command, said):
    """Stands in for a pytest that found no test, or broke."""
    said.write_text("no such test", encoding="utf-8")
    raise SystemExit(4)


def test_tests_that_did_not_run_are_no_success(folder, monkeypatch):
    write(folder, "01_linear_grid", SOURCES["01_linear_grid"])
    monkeypatch.setattr(practice, "run_pytest", end_without_a_verdict)
    with pytest.raises(RuntimeError, match="without a verdict:\nno such test"):
        run("check", 1)


@pytest.mark.slow
def test_a_wrong_import_names_the_module(folder, capsys):
    wrong = changed("01_linear_grid", "import numpy as np", "import numpi as np")
    write(folder, "01_linear_grid", wrong)
    said = failing(capsys, 1, "--verbose")
    assert said.count("No module named 'numpi'") > 1 and "short test summary" in said


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
    write(folder, "01_linear_grid", practice.emptied(SOURCES["01_linear_grid"], {"gradient"}))
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        assert len(waited) < 5, capsys.readouterr().out
        if len(waited) == 2:
            write(folder, "01_linear_grid", SOURCES["01_linear_grid"])

    monkeypatch.setattr(practice.time, "sleep", sleep)
    run("check", 1, "--watch")
    shown = capsys.readouterr().out
    assert shown.index("gradient is not written yet") < shown.index("works.")
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


# The examiner examined: two at a time, each in a process forked from one that has torch


def emptied(name, function):
    return name, practice.emptied(SOURCES[name], {function})


def original(name):
    return name, SOURCES[name]


def mistaken(mistake):
    chapter, old, new, *_ = MISTAKES[mistake]
    name = practice.find_chapter(chapter).stem
    return name, changed(name, old, new)


def solved_otherwise(solution):
    name = practice.find_chapter(solution[:2]).stem
    source, functions = SOURCES[name], [one for chapter, one in FUNCTIONS if chapter == name]
    for old, new in SOLUTIONS[solution]:
        if old in functions:
            source = practice.with_bodies(source, {old: new})
        else:
            assert source.count(old) >= 1, f"the chapter no longer has these lines:\n{old}"
            source = source.replace(old, new)
    return name, source


def verdict_on(folder, name, source, first_only):
    """The examiner's report on this version of a chapter, and what pytest said."""
    folder.mkdir()
    write(folder, name, source)
    return practice.examine(ROOT / f"{name}.py", 300, first_only, warm=True, folder=folder)


@pytest.fixture(scope="module")
def verdicts(request, tmp_path_factory):
    """The verdict on each case that was selected, by its test and its parameters."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        pending = {}
        for item in request.session.items:
            if "verdicts" in getattr(item, "fixturenames", ()):
                case = item.callspec.params["case"]
                make, *given = case
                name, source = make(*given)
                folder = tmp_path_factory.mktemp("case") / "practice"
                first_only = make is not original
                pending[case] = pool.submit(verdict_on, folder, name, source, first_only)
        yield pending
        for one in pending.values():
            one.cancel()


def cases(make, each):
    """A parameter for each, named as the thing itself."""
    return pytest.mark.parametrize(
        "case", [pytest.param((make, *one), id="-".join(one)) for one in each]
    )


@pytest.mark.slow
@cases(emptied, FUNCTIONS)
def test_each_function_is_missed(case, verdicts):
    """With that one function emptied the chapter's tests fail, and the examiner names it."""
    report, output = verdicts[case].result()
    assert report["problem"] is not None, output
    assert (report["problem"]["function"], report["problem"]["kind"]) == (case[2], "missing")


@pytest.mark.slow
@cases(original, [[name] for name in CHAPTERS])
def test_the_original_passes_function_by_function(case, verdicts):
    report, output = verdicts[case].result()
    assert report["problem"] is None, output
    assert report["passing"] == [one for chapter, one in FUNCTIONS if chapter == case[1]]


@pytest.mark.slow
@cases(mistaken, [[mistake] for mistake in MISTAKES])
def test_what_learners_really_write_is_caught(case, verdicts):
    """Laid at the right function, and said in words where there is a word for it."""
    *_, function, said = MISTAKES[case[1]]
    report, output = verdicts[case].result()
    assert report["problem"] is not None, output
    assert (report["problem"]["function"], report["problem"]["kind"]) == (function, "wrong")
    assert said in practice.explain(report["problem"], missing=[])
    assert "where" not in report["problem"].get("error", ""), "pytest's language, not ours"


@pytest.mark.slow
@cases(solved_otherwise, [[solution] for solution in SOLUTIONS])
def test_other_solutions_pass(case, verdicts):
    report, output = verdicts[case].result()
    assert report["problem"] is None, output


def test_mistakes_and_other_solutions_are_many_and_of_every_chapter():
    assert len(MISTAKES) >= 40 and sum(map(len, SOLUTIONS.values())) >= 20
    numbers = {name[:2] for name in CHAPTERS}
    assert {mistake[0] for mistake in MISTAKES.values()} == numbers
    assert {solution[:2] for solution in SOLUTIONS} == numbers
