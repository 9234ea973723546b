"""practice/: what becomes of a reader's file, and whether each missing or wrong thing is found.

The tests marked slow check whole chapters: python -m pytest -m slow tests/test_practice.py
"""

import os
import re
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from learners import FUNCTION_MISTAKES, PAGE_MISTAKES, SOLUTIONS

from common.cli import ROOT, UserError
from practice import __main__ as main
from practice import cells, checks, examiner, pages, runs

CHAPTERS = sorted(path.stem for path in ROOT.glob("[0-9][0-9]_*.py"))
SOURCES = {name: (ROOT / f"{name}.py").read_text(encoding="utf-8") for name in CHAPTERS}
FUNCTIONS = [(name, one.name) for name in CHAPTERS for one in pages.find_functions(SOURCES[name])]
GAPS = {name: pages.find_gaps(SOURCES[name]) for name in CHAPTERS}
MISTAKES = FUNCTION_MISTAKES | PAGE_MISTAKES


def write(folder, name, source):
    """The reader's file, in a folder that lies elsewhere than my/."""
    (folder / "common.py").write_text(f"__path__ = [{str(ROOT / 'common')!r}]\n", encoding="utf-8")
    (folder / f"{name}.py").write_text(source, encoding="utf-8")


def changed(name, old, new):
    """A chapter with a mistake."""
    assert old in SOURCES[name], f"the chapter no longer has these lines:\n{old}"
    return SOURCES[name].replace(old, new)


# The checks checked: two at a time, each in a process forked from one that has torch


def functions_only(path, folder):
    return {"problem": examiner.examine(path, len(FUNCTIONS), folder / "tests")}


def page_only(path, folder):
    return {"problem": cells.compare(path, folder)}


def returning_nothing(name, function):
    """Each function but this one is the chapter's: job, chapter, and the reader's source."""
    body = "super().__init__()" if function.endswith(".__init__") else "return None"
    return functions_only, name, pages.with_bodies(SOURCES[name], {function: body})


def without_gap(name, number):
    return page_only, name, pages.gapped(SOURCES[name], [GAPS[name][int(number)]])


def original(name):
    return checks.examine, name, SOURCES[name]


def with_mistake(mistake):
    chapter, old, new, *_ = MISTAKES[mistake]
    name = pages.find_chapter(chapter).stem
    job = functions_only if mistake in FUNCTION_MISTAKES else page_only
    return job, name, changed(name, old, new)


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
def verdicts(request, tmp_path_factory):
    """The verdict on each case that was selected, by its test and its parameters."""
    with ThreadPoolExecutor(max_workers=2) as pool, pytest.MonkeyPatch.context() as patch:
        # More threads would only wait for one another.
        patch.setenv("OMP_NUM_THREADS", "1")
        runs.run(original, CHAPTERS[0], limit=60, warm=True)  # starts what all are forked from
        pending = {}
        for item in request.session.items:
            if "verdicts" in getattr(item, "fixturenames", ()):
                case = make, *given = item.callspec.params["case"]
                folder = tmp_path_factory.mktemp("case")
                pending[case] = pool.submit(verdict_on, folder, *make(*given))
        yield {case: lambda one=one: one.result()["problem"] for case, one in pending.items()}
        for one in pending.values():
            one.cancel()


def cases(make, each):
    """A parameter for each, named as the thing itself."""
    return pytest.mark.parametrize(
        "case", [pytest.param((make, *one), id="-".join(one)) for one in each]
    )


@pytest.mark.slow
@cases(returning_nothing, FUNCTIONS)
def test_a_function_that_returns_nothing_is_found(case, verdicts):
    assert verdicts[case]()["function"] == case[2]


@pytest.mark.slow
@cases(without_gap, [(name, str(at)) for name in CHAPTERS for at in range(len(GAPS[name]))])
def test_each_gap_is_missed_in_its_section(case, verdicts):
    _, name, number = case
    gap, problem = GAPS[name][int(number)], verdicts[case]()
    (cell,) = [one for one in pages.find_cells(SOURCES[name])
               if one.first <= gap.first < one.first + one.source.count("\n")]  # fmt: skip
    assert problem["missing"] == ", ".join(gap.names)
    assert (problem["section"], problem["heading"]) == (cell.section, cell.heading)


@pytest.mark.slow
@cases(original, [[name] for name in CHAPTERS])
def test_the_original_passes(case, verdicts):
    assert verdicts[case]() is None


@pytest.mark.slow
@cases(with_mistake, [[mistake] for mistake in MISTAKES])
def test_what_learners_really_write_is_caught(case, verdicts):
    """Laid at the right function or name, and said in words where there is a word for it."""
    *_, name, said = MISTAKES[case[1]]
    problem = verdicts[case]()
    assert not problem.get("missing")
    assert (problem.get("function") or problem.get("name") or "") == name
    assert said in main.explain(problem)
    assert "where" not in problem.get("error", ""), "pytest's language, not ours"


@pytest.mark.slow
@cases(solved_otherwise, [[solution] for solution in SOLUTIONS])
def test_other_solutions_pass(case, verdicts):
    assert verdicts[case]() is None


def test_mistakes_and_other_solutions_are_many_and_of_every_chapter():
    assert len(PAGE_MISTAKES) >= 40 and sum(map(len, SOLUTIONS.values())) >= 50
    numbers = {name[:2] for name in CHAPTERS}
    for those in (FUNCTION_MISTAKES, PAGE_MISTAKES):
        assert {mistake[0] for mistake in those.values()} == numbers
    assert {solution[:2] for solution in SOLUTIONS} == numbers
