"""practice/: what becomes of a reader's file, and whether each missing or wrong thing is found.

The tests marked slow check whole chapters: python -m pytest -m slow tests/test_practice.py
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from conftest import code_without_docstrings
from learners import FUNCTION_MISTAKES, PAGE_MISTAKES, SOLUTIONS

from common import threads
from common.cli import ROOT, UserError
from practice import __main__ as main
from practice import cells, checks, examiner, pages, runs

CHAPTERS = sorted(path.stem for path in ROOT.glob("[0-9][0-9]_*.py"))
SOURCES = {name: (ROOT / f"{name}.py").read_text(encoding="utf-8") for name in CHAPTERS}
FUNCTIONS = [(name, one.name) for name in CHAPTERS for one in pages.find_functions(SOURCES[name])]
GAPS = {name: pages.find_gaps(SOURCES[name]) for name in CHAPTERS}
MISTAKES = FUNCTION_MISTAKES | PAGE_MISTAKES
STUDY = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
FIRST, THIRD = CHAPTERS[0], CHAPTERS[2]


@pytest.fixture(scope="module", autouse=True)
def _one_thread_for_each_check():
    """Two at a time, on two cores: more threads would only wait for one another.

    It is set before the first check starts the process from which all are forked.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the test's own for the reader's files."""
    monkeypatch.setattr(pages, "MY", tmp_path)
    return tmp_path


def run(*arguments):
    return main.main([str(argument) for argument in arguments])


def refused(*arguments) -> str:
    """The words with which practice refuses to do that."""
    with pytest.raises(UserError) as error:
        run(*arguments)
    return str(error.value)


def failing(capsys, *arguments) -> str:
    """What a check says that finds something."""
    with pytest.raises(SystemExit) as exit_:
        run("check", *arguments)
    assert exit_.value.code == 1
    return capsys.readouterr().out


def write(folder, name, source):
    """The reader's file, in a folder that lies elsewhere than my/."""
    (folder / "common.py").write_text(f"__path__ = [{str(ROOT / 'common')!r}]\n", encoding="utf-8")
    (folder / f"{name}.py").write_text(source, encoding="utf-8")


def changed(name, old, new):
    """A chapter with other lines."""
    assert old in SOURCES[name], f"the chapter no longer has these lines:\n{old}"
    return SOURCES[name].replace(old, new)


# start


@pytest.mark.parametrize("name", CHAPTERS)
@pytest.mark.parametrize("grade", ["--functions", "page"])
def test_start_keeps_all_else_to_the_letter(name, grade, folder, capsys):
    run("start", name, *([grade] if grade != "page" else []))
    exercise = (folder / f"{name}.py").read_text(encoding="utf-8")
    compile(exercise, name, "exec")
    functions, gaps = pages.find_functions(SOURCES[name]), GAPS[name] if grade == "page" else []
    assert f" {len(functions)} functions to write" in capsys.readouterr().out
    left = [line for line in pages.lines_of(exercise) if line.strip() != "pass"]
    empty = [f'raise NotImplementedError("write {one.name}")' for one in functions]
    assert [line.strip() for line in left if "raise NotImplementedError" in line] == empty
    told = [f"# write: {', '.join(gap.names)}" for gap in gaps]
    assert [line.strip() for line in left if pages.GAP.match(line.strip())] == told
    taken = {at for one in [*gaps, *functions] for at in range(one.first, one.last + 1)}
    lines = enumerate(pages.lines_of(SOURCES[name]), start=1)
    kept = [line for at, line in lines if at not in taken and line.strip() != "pass"]
    assert [line for line in left if line.strip() not in {*empty, *told}] == kept
    for part in [
        "# %%",
        "# ## ",
        "\nclass ",
        "\ndef ",
        '"""',
        "chapter.begin(",
        "plotting.finish(",
    ]:
        assert exercise.count(part) == SOURCES[name].count(part)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_gap_says_what_the_rest_of_the_page_needs(name, monkeypatch):
    lines = pages.lines_of(SOURCES[name])
    for gap in GAPS[name]:
        taken, later = lines[gap.first - 1 : gap.last], lines[gap.last :]
        for one in gap.names:
            assert one == "…" or one.replace("(…)", "(") in "\n".join(taken)
            assert not one.isidentifier() or re.search(rf"\b{one}\b", "\n".join(later))
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    chinese = pages.gapped(pages.translated(SOURCES[name], name))
    assert chinese.count("# 在这里写: ") == len(GAPS[name])
    one, other = map(code_without_docstrings, (chinese, pages.gapped(SOURCES[name])))
    assert one == other


def test_what_is_bound_in_a_branch_only_is_needed_from_before():
    page = "# %%\nargs = chapter.begin(__doc__)\n\n# %%\na = b = 1\nif args.resume:\n    a = 2\n"
    (gap,) = pages.find_gaps(page + "else:\n    b = 1\nprint(a, b)\n\n# %%\nfig = 1\n")
    assert gap.names == ("a", "b")


def test_a_blank_file_has_title_and_headings_and_nothing_else(folder):
    for name in CHAPTERS:
        if name[:2] not in main.JUDGED:
            assert "chapters 1 to 7 and 10" in refused("start", name, "--blank")
            continue
        run("start", name, "--blank")
        lines = (folder / f"{name}.py").read_text(encoding="utf-8").split("\n")
        assert lines[0].startswith(f"# Chapter {int(name[:2])} · ")
        assert len([line for line in lines if line]) == SOURCES[name].count("\n# ## ")
        assert all(line.startswith("# ") for line in lines if line)


def test_start_never_overwrites_work(folder, capsys):
    path = folder / f"{THIRD}.py"
    for grade in ["--functions", "--blank", "--force", "--functions"]:
        run("start", 3, grade)  # nothing has been written yet
    assert not list(folder.glob("*.bak*"))
    for count, backup in enumerate([f"{THIRD}.bak", f"{THIRD}.bak2"]):
        path.write_text(f"# mine {count}\n")
        assert "--force" in refused("start", "3")
        run("start", 3, "--force")
        assert f"is now {folder / backup}" in capsys.readouterr().out
        assert (folder / backup).read_text() == f"# mine {count}\n"
    assert (folder / f"{THIRD}.bak").read_text() == "# mine 0\n"


def test_where_nothing_can_be_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setattr(pages, "MY", tmp_path / "file" / "my")
    assert "Copy the project to a folder of your own" in refused("start", "1")
    run("hint", 3, "LinearModel.forward")
    assert "--all shows all" in capsys.readouterr().out


def test_files_of_an_earlier_version_are_told_where_to_move(folder, monkeypatch, capsys):
    (folder / f"{THIRD}.py").touch()
    monkeypatch.setattr(main, "__file__", str(folder / "__main__.py"))
    run("hint", 3, "criterion")
    moved = f"Your chapters now belong in my/. Move them there: {folder / f'{THIRD}.py'}\n"
    assert capsys.readouterr().out.startswith(moved)


# What people's files may hold


def test_files_that_cannot_be_checked(folder):
    """GBK is what Chinese editors save by default; a mark before UTF-8 is a custom of Windows."""
    assert "python -m practice start 1" in refused("check", "1")
    for name in ["3", "03", THIRD, f"{THIRD}.py"]:
        assert pages.find_chapter(name) == ROOT / f"{THIRD}.py"
    assert "there is no chapter '99'. Choose one of: 01_linear_grid" in refused("check", "99")
    path = folder / f"{FIRST}.py"
    for content, words in [
        (b"", "is empty"),
        (b"\n \r\n\x0c", "is empty"),
        (50 * b"\0", "is empty"),
        (b"x = 1\0", "is damaged"),
        ("# 我的".encode("gbk"), "not in UTF-8"),
        (b"x = 1\ndef f(:\n    pass\n", "line 2: invalid syntax: def f(:"),
    ]:
        path.write_bytes(content)
        assert words in refused("check", "1")
    path.write_bytes("x = 1  # 我的".encode("utf-8-sig"))
    assert pages.read_source(ROOT / path.name) == "x = 1  # 我的"


def test_lines_are_counted_as_pythons_parser_does():
    source = (
        "# a\u2028b\x0c\x85c\ndef f(\n    x,\n):\n    # hint\n\n    return x  # end\n\n\n# after\n"
    )
    (function,) = pages.find_functions(source)
    assert function.lines(source) == ["    # hint", "", "    return x  # end"]
    empty = '):\n    raise NotImplementedError("write f")\n\n\n# after\n'
    assert pages.emptied(source).endswith(empty)


def test_watch_waits_for_a_file_with_something_in_it(folder, capsys, monkeypatch):
    """Missing for a while, emptied, and then saved."""
    path, checked, waited = folder / f"{FIRST}.py", [], []
    path.write_text("x = 1\n")
    deeds = {2: path.unlink, 30: path.touch, 40: lambda: path.write_text("x = 2\n")}

    def sleep(seconds):
        waited.append(seconds)
        assert len(waited) < 50
        deeds.get(len(waited), lambda: None)()

    def check(chapter, *options, warm):
        checked.append(path.read_text())
        return checked[-1] == "x = 2\n"

    monkeypatch.setattr(main.time, "sleep", sleep)
    monkeypatch.setattr(main, "check", check)
    run("check", 1, "--watch")
    assert checked == ["x = 1\n", "x = 2\n"]
    said = capsys.readouterr().out
    assert said.count(f"{path} is not there. Waiting for it") == 1 and said.count("\n") == 4


# hint, and the list


def test_a_hint_has_three_grades(folder, capsys):
    idea, functions = main.read_hints()["03 LinearModel.forward"]
    lines = "y_pred = self.linear(x)\nreturn y_pred"
    said = []
    for _ in range(4):
        run("hint", 3, "LinearModel.forward")
        said.append(capsys.readouterr().out)
    more = "\n(Ask again for more, and at last for the chapter's lines; --all shows all.)\n"
    assert said == [f"{idea}\n{more}", f"{functions}\n{more}", f"{lines}\n", f"{lines}\n"]
    run("hint", 3, "LinearModel.__init__")
    assert more in capsys.readouterr().out, "each counts for itself"
    run("hint", 3, "forward", "--all")  # there is no other
    assert capsys.readouterr().out == f"{idea}\n\n{functions}\n\n{lines}\n"
    run("start", 3)
    run("hint", 3, "LinearModel.forward")
    assert capsys.readouterr().out.endswith(said[0]), "a new start, and the idea first"


def test_a_hint_for_a_gap_by_what_it_makes_or_its_section(folder, capsys):
    said = []
    for name in ["criterion", "criterion", "optimizer", "4", "model.to"]:
        run("hint", 3, name)
        said.append(capsys.readouterr().out)
    used = "It uses: `torch.nn.MSELoss`, `torch.optim.SGD`, `model.parameters`. The text"
    assert [one.startswith(used) for one in said] == [True, False, True, True, False]
    lines = 'criterion = torch.nn.MSELoss(reduction="sum")\noptimizer = torch.optim.SGD('
    assert said[1].startswith(lines) and "`LinearModel`, `model.to`" in said[4]
    message = refused("hint", "3", "nothing")
    assert "LinearModel.forward" in message and "x_data" in message


def test_each_function_has_a_hint_of_two_grades_and_there_are_no_others():
    hints = main.read_hints()
    assert list(hints) == [f"{chapter[:2]} {name}" for chapter, name in FUNCTIONS]
    for name, grades in hints.items():
        assert len(grades) == 2 and all(len(grade) > 40 for grade in grades), name
        assert "`" in grades[1], f"{name}: the second grade names what to use"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_hint_gives_the_lines_away(chapter):
    """No statement of the function, and no expression with more to it than a name or a call."""

    def squeezed(text):
        return re.sub(r"[\s`]", "", text)

    hints = main.read_hints()
    for function in pages.find_functions(SOURCES[chapter]):
        hint = squeezed(" ".join(hints[f"{chapter[:2]} {function.name}"]))
        body = textwrap.dedent("\n".join(function.lines(SOURCES[chapter])))
        for node in ast.walk(ast.parse(f"def f():\n{textwrap.indent(body, '    ')}").body[0]):
            given_away = isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef)
            given_away |= isinstance(node, ast.BinOp | ast.Compare | ast.comprehension)
            given_away |= isinstance(node, ast.Call) and bool(node.args or node.keywords)
            code = squeezed(ast.unparse(node))
            if given_away and len(code) > 6:
                assert code not in hint, function.name


@pytest.mark.slow
def test_the_list(folder, capsys):
    write(folder, FIRST, pages.emptied(SOURCES[FIRST], {"loss"}))
    (folder / f"{CHAPTERS[1]}.py").write_text("def broken(:\n")
    run()
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "01_linear_grid       Not written yet: loss"
    assert "line 1" in shown[1] and shown[2] == "03_nn_linear         not started"


# check


@pytest.mark.slow
def test_the_book_shows_a_real_transcript(folder, monkeypatch, capsys):
    monkeypatch.setattr(pages, "MY", folder / "my")
    monkeypatch.chdir(folder)
    run("start", 3)
    assert f"$ python -m practice start 3\n{capsys.readouterr().out}" in STUDY
    page = (folder / "my" / f"{THIRD}.py").read_text(encoding="utf-8")
    rows = "x_data = torch.tensor([1.0, 2.0, 3.0])\ny_data = torch.tensor([2.0, 4.0, 6.0])\n"
    page = page.replace("# write: torch\n", "import torch\n")
    write(folder / "my", THIRD, page.replace("# write: x_data, y_data\n", rows))
    assert f"$ python -m practice check 3\n{failing(capsys, 3)}" in STUDY


@pytest.mark.slow
def test_a_wrong_function_is_shown_with_input_and_expected_result(folder, capsys):
    write(folder, FIRST, changed(FIRST, "return x * w", "print(5)\n    return x + w"))
    assert (
        failing(capsys, 1)
        == """forward is not right yet.
   input:    x = 3.0, w = 4.0
   got:      7.0
   expected: 12.0
   (found by: forward and loss)
Your code printed:
   5

Stuck? python -m practice hint 1 forward
"""
    )


@pytest.mark.slow
def test_a_chapter_that_works(folder, capsys, monkeypatch):
    """Whatever pytest is told in the environment, and comments hold; a breakpoint is passed."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-n 2 --nonsense")
    odd = "breakpoint()  # \u2028 and\x0c\n    return x * w"
    write(folder, FIRST, changed(FIRST, "return x * w", odd))
    assert run("check", 1) is True
    path, said = folder / f"{FIRST}.py", capsys.readouterr().out
    figure = folder / "outputs" / f"{FIRST}.png"
    assert said.startswith(f"A check passes breakpoint() over. To stop there: python {path}\n")
    assert f"All of {path} works.\nYour code drew {figure}.\n" in said and figure.exists()
    assert re.search(r"Lines of code: yours (\d+), the chapter's (\d+)\.", said)


ENDS = {
    "os._exit": ("import os; os._exit(0)", "ended Python itself, with status 0: by os._exit"),
    "killed": ("import os; os.kill(os.getpid(), 9)", "there was not enough memory"),
    "input": ("input('w? ')", "input() asks a person, and in a check there is nobody"),
    "sys.exit": ("raise SystemExit", "SystemExit"),
    "endless": ("while True: pass", ": while True: pass.\n   Is there an endless loop?"),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("where", ["    return x * w\n", "print(xy_data)\n"])
def test_every_way_in_which_a_process_can_end(how, where, folder):
    line, words = ENDS[how]
    write(folder, FIRST, changed(FIRST, where, where.replace(where.strip(), line)))
    limit = 4 if how == "endless" else 100
    answer = runs.run(checks.examine, folder / f"{FIRST}.py", folder, limit=limit, warm=True)
    said = main.explain(answer["problem"])
    assert words in said
    if how == "endless":
        name = "forward" if "return" in where else f"{FIRST}.py"
        assert said.startswith(f"Still running after 4 s, {name}, ")


def leave_a_loop_behind():
    threading.Thread(target=lambda: [None for _ in iter(int, 1)]).start()
    subprocess.Popen([sys.executable, "-c", "while 1: pass"])
    return {"group": os.getpid()}


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no process groups")
@pytest.mark.slow
def test_what_a_check_leaves_running_is_ended():
    group = runs.run(leave_a_loop_behind, limit=60)["group"]
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the loop goes on")


@pytest.mark.slow
def test_a_project_in_a_folder_with_brackets(tmp_path):
    """From start to the figure; a reader's file runs from any folder, and so do the tests."""
    project, test = tmp_path / "lessons [2026]", f"tests/test_{FIRST}.py"
    for folder in ["common", "practice"]:
        shutil.copytree(ROOT / folder, project / folder)
    (project / "tests").mkdir()
    for name in [f"{FIRST}.py", "pyproject.toml", "tests/conftest.py", test]:
        shutil.copy(ROOT / name, project / name)

    def python(*command, cwd=project):
        done = subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    python("-m", "practice", "start", "1", "--functions")
    mine, figure = project / "my" / f"{FIRST}.py", project / "my" / "outputs" / f"{FIRST}.png"
    mine.write_text(SOURCES[FIRST], encoding="utf-8")
    assert "works." in python("-m", "practice", "check", "1")
    figure.unlink()
    python(mine, cwd=tmp_path)
    assert figure.exists()
    python("-m", "pytest", "-q", test)


# The checks checked: two at a time, each in a process forked from one that has torch


def each_examined(versions, path, folder):
    """What is wrong with the functions of each version of a chapter, in one process."""
    problems = {}
    for number, (label, source) in enumerate(versions.items()):
        own = folder / f"{number}"
        own.mkdir()
        write(own, path.stem, source)
        problems[label] = examiner.examine(own / path.name, len(FUNCTIONS), folder / "tests")
    return {"problem": problems}


def each_compared(versions, path, folder):
    """What is wrong with each version of a page, which runs once, and forks where they differ."""
    torch.set_num_threads(1)  # more would not survive a fork
    originals = pages.find_cells(SOURCES[path.stem])
    places = {cell.first: number for number, cell in enumerate(originals)}
    waiting = {label: pages.find_cells(source) for label, source in versions.items()}
    problems, changed_cells, answer = {}, originals, None

    def run_and_compare(own, mine, theirs, cell, *more):
        nonlocal changed_cells, answer
        at = places[cell.first]
        for label, those in list(waiting.items()) if answer is None else []:
            if those[at].source != originals[at].source:
                del waiting[label]
                reading, writing = os.pipe()
                if not os.fork():
                    changed_cells, answer = those, writing
                    mine.path = folder / f"{len(problems)}" / path.name
                    mine.path.parent.mkdir()
                    write(mine.path.parent, path.stem, versions[label])
                    break
                os.close(writing)
                with os.fdopen(reading, encoding="utf-8") as said:
                    problems[label] = json.load(said)
        return compared(own, mine, theirs, changed_cells[at], *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "choose_while_training", lambda: None)
        compared = cells._run_and_compare
        patch.setattr(cells, "_run_and_compare", run_and_compare)
        try:
            problem = cells.compare(path, folder)
        except BaseException as error:
            problem = {"error": repr(error)}
    if answer is None:
        assert not waiting and problem is None, "the chapter itself is right"
        return {"problem": problems}
    os.write(answer, json.dumps(problem).encode())
    os._exit(0)


def wrong_functions(name):
    """Job, chapter and source: a function at a time returns nothing, or has a learner's mistake."""
    versions = {}
    for function in [function for chapter, function in FUNCTIONS if chapter == name]:
        body = "super().__init__()" if function.endswith(".__init__") else "return None"
        versions[function] = pages.with_bodies(SOURCES[name], {function: body})
    return partial(each_examined, versions | mistakes(name, FUNCTION_MISTAKES)), name, SOURCES[name]


def wrong_pages(name):
    """Job, chapter and source: a gap at a time is left, or has a learner's mistake."""
    gaps = {f"gap {n}": pages.gapped(SOURCES[name], [gap]) for n, gap in enumerate(GAPS[name])}
    return partial(each_compared, gaps | mistakes(name, PAGE_MISTAKES)), name, SOURCES[name]


def mistakes(name, those):
    """The versions of a chapter with a learner's mistake."""
    return {
        mistake: changed(name, old, new)
        for mistake, (chapter, old, new, *_) in those.items()
        if chapter == name[:2]
    }


def original(name):
    return checks.examine, name, SOURCES[name]


def solved_otherwise(solution):
    name = pages.find_chapter(solution[:2]).stem
    source, functions = SOURCES[name], [one for chapter, one in FUNCTIONS if chapter == name]
    for old, new in SOLUTIONS[solution]:
        if old in functions:
            source = pages.with_bodies(source, {old: new})
        else:
            assert old in source, f"the chapter no longer has these lines:\n{old}"
            source = source.replace(old, new)
    return checks.examine, name, source


def verdict_on(folder, job, name, source):
    write(folder, name, source)
    return runs.run(job, folder / f"{name}.py", folder, limit=300, warm=True)


@pytest.fixture(scope="module")
def verdict(request, tmp_path_factory):
    """verdict(make, one, label): what the job that make(one) names says, or says of a version."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        runs.run(original, CHAPTERS[0], limit=60, warm=True)  # starts what all are forked from
        pending = {}
        for item in request.session.items:
            if "verdict" in getattr(item, "fixturenames", ()):
                make, one, *_ = item.callspec.params["case"]
                if (make, one) not in pending:
                    folder = tmp_path_factory.mktemp("case")
                    pending[make, one] = pool.submit(verdict_on, folder, *make(one))

        def find(make, one, *label):
            found = pending[make, one].result()["problem"]
            return found[label[0]] if label else found

        yield find
        for one in pending.values():
            one.cancel()


def cases(make, each):
    """A parameter for each, named as the thing itself."""
    return pytest.mark.parametrize(
        "case", [pytest.param((make, *one), id="-".join(one)) for one in each]
    )


def of_chapters(those):
    """Each mistake with its chapter's name."""
    return [(pages.find_chapter(one[0]).stem, mistake) for mistake, one in those.items()]


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows can't fork")


@pytest.mark.slow
@cases(wrong_functions, FUNCTIONS)
def test_a_function_that_returns_nothing_is_found(case, verdict):
    assert verdict(*case)["function"] == case[2]


@needs_fork
@pytest.mark.slow
@cases(wrong_pages, [(name, f"gap {n}") for name in CHAPTERS for n in range(len(GAPS[name]))])
def test_each_gap_is_missed_in_its_section(case, verdict):
    _, name, label = case
    gap, problem = GAPS[name][int(label.split()[1])], verdict(*case)
    cell = [one for one in pages.find_cells(SOURCES[name]) if one.first <= gap.first][-1]
    assert problem["missing"] == ", ".join(gap.names)
    assert (problem["section"], problem["heading"]) == (cell.section, cell.heading)


@pytest.mark.slow
@cases(original, [[name] for name in CHAPTERS])
def test_the_original_passes(case, verdict):
    assert verdict(*case) is None


@pytest.mark.slow
@cases(wrong_functions, of_chapters(FUNCTION_MISTAKES))
def test_a_learners_mistake_in_a_function_is_caught(case, verdict):
    assert_told(case[2], verdict(*case))


@needs_fork
@pytest.mark.slow
@cases(wrong_pages, of_chapters(PAGE_MISTAKES))
def test_a_learners_mistake_on_a_page_is_caught(case, verdict):
    assert_told(case[2], verdict(*case))


def assert_told(mistake, problem):
    """Laid at the right function or name, and said in words where there is a word for it."""
    *_, name, said = MISTAKES[mistake]
    assert not problem.get("missing")
    assert (problem.get("function") or problem.get("name") or "") == name
    assert said in main.explain(problem)
    assert "where" not in problem.get("error", ""), "pytest's language, not ours"


@pytest.mark.slow
@cases(solved_otherwise, [[solution] for solution in SOLUTIONS])
def test_other_solutions_pass(case, verdict):
    assert verdict(*case) is None


def test_mistakes_and_other_solutions_are_many_and_of_every_chapter():
    assert len(MISTAKES) == len(FUNCTION_MISTAKES) + len(PAGE_MISTAKES) > 80
    for those in (FUNCTION_MISTAKES, PAGE_MISTAKES):
        assert sorted({mistake[0] for mistake in those.values()}) == [n[:2] for n in CHAPTERS]
    assert sorted({name[:2] for name in SOLUTIONS}) == [name[:2] for name in CHAPTERS]
