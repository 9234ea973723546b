"""The chapters' cells, run one after the other as notebooks and editors do."""

import re
import sys
from types import ModuleType

import matplotlib.pyplot as plt
import pytest

from common.cli import ROOT

CHEAP = {
    "01_linear_grid": "",
    "02_autograd_linear": "--epochs 2",
    "03_nn_linear": "--epochs 2",
    "04_logistic": "--epochs 2",
    "05_multilayer": "--epochs 2",
    "06_dataloader": "--epochs 1 --batch-size 100",
    "07_mnist_mlp": "--epochs 1 --batch-size 5000",
    "08_mnist_fast": "--rungs 4 --rounds 1",
    "09_small_llm": "--iterations 1 --size tiny --length 20 --text LICENSE",
}


def cells(name: str) -> list[str]:
    """The chapter's cells. In VS Code, what stands above the first mark belongs to none."""
    source = (ROOT / f"{name}.py").read_text(encoding="utf-8")
    return re.split(r"^# %%.*\n", source, flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("name", CHEAP)
def test_the_cells_run_in_order_and_show_the_figure_once(name, tmp_path, monkeypatch, capsys):
    """As in Jupyter: no __file__, another program's command line, figures below the cell."""
    notebook, shown = ModuleType("__main__"), []
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    monkeypatch.setenv("MPLBACKEND", "Agg")  # figures stay as they are made
    monkeypatch.setattr(plt, "get_backend", lambda: "module://matplotlib_inline.backend_inline")
    monkeypatch.setattr(plt, "show", lambda: shown.append(len(plt.get_fignums())))
    monkeypatch.chdir(ROOT)
    *others, last = cells(name)
    flags = [*CHEAP[name].split(), "--output-dir", str(tmp_path)]
    assert last.endswith("\n    main()\n")
    for cell in [*others, last.replace("\n    main()\n", f"\n    main({flags})\n")]:
        exec(compile(cell, "<cell>", "exec"), vars(notebook))
    assert capsys.readouterr().out.startswith(f"Chapter {int(name[:2])} ")
    assert shown == [1] and not plt.get_fignums()
    assert (tmp_path / f"{name}.png").exists()
