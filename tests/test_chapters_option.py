"""The option --chapters: the same tests on a reader's own chapters."""

import os
import subprocess
import sys

import pytest

from common.cli import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("right", [True, False])
def test_the_readers_own_chapter_is_tested(right, tmp_path):
    mine = (ROOT / "01_linear_grid.py").read_text(encoding="utf-8")
    if not right:
        mine = mine.replace("return x * w", "return x + w")
    (tmp_path / "01_linear_grid.py").write_text(mine, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", f"--chapters={tmp_path}", "-q"]
    done = subprocess.run(
        [*command, "tests/test_01_linear_grid.py"],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == (0 if right else 1), done.stdout
