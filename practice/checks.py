"""A check of what the reader wrote, by its grade."""

import shutil
import tempfile
from pathlib import Path

from common.cli import ROOT
from practice import pages, runs
from practice.pages import find_functions, read_source, readers_file


def examine(path: Path, folder: Path) -> dict:
    """The first problem of the reader's page, in the page's order: of a cell, or of a function.

    Runs in a process of its own; `folder` is for temporary files.
    """
    from practice import cells, examiner

    source = path.read_text(encoding="utf-8-sig")
    own = (ROOT / path.name).read_text(encoding="utf-8")
    written = {one.name for one in find_functions(source) if one.is_written(source)}
    functions = find_functions(own)
    unwritten = [at for at, one in enumerate(functions) if one.name not in written]
    problem = cells.compare(path, folder)
    until = len(functions)
    if problem:
        cell = pages.find_cells(own)[problem["cell"]]
        end = cell.first + cell.source.count("\n")
        until = sum(one.first < end for one in functions)
    limit = min([until, *unwritten])
    wrong = examiner.examine(path, limit, folder / "tests") if limit else None
    if wrong is None and limit < until:
        wrong = {"function": functions[limit].name, "missing": True}
    figure = folder / "mine" / f"{path.stem}.png"
    if not (wrong or problem) and figure.exists():
        (path.parent / "outputs").mkdir(exist_ok=True)
        shutil.copy(figure, path.parent / "outputs")
    return {"problem": wrong or problem}


def judge(path: Path, folder: Path) -> dict:
    """The first problem of the reader's own program. Runs in a process of its own."""
    from practice import blank

    return {"problem": blank.judge(path, path.name[:2], print)}


def verdict(chapter: Path, limit: float, warm: bool = False) -> dict:
    """What the check of the reader's file finds: "problem", and what was "said"."""
    path, source = readers_file(chapter), read_source(chapter)
    job = judge if pages.is_blank_grade(source) else examine
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return runs.run(job, path, Path(folder), limit=limit, warm=warm)
