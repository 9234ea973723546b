"""The chapters as pages: cell by cell as in a notebook, with --step, -i, a debugger, and loaded."""

import ast
import os
import re
import subprocess
import symtable
import sys
from types import ModuleType

import matplotlib.pyplot as plt
import pytest
import torch
from conftest import hurry

from common.chapter import load
from common.cli import ROOT

CHAPTERS = sorted(path.stem for path in ROOT.glob("[0-9][0-9]_*.py"))
SOURCES = {name: (ROOT / f"{name}.py").read_text(encoding="utf-8") for name in CHAPTERS}
COMPREHENSIONS = ("lambda", "listcomp", "genexpr", "dictcomp", "setcomp")
CHEAP = {
    "01_linear_grid": {"epochs": 2},
    "02_autograd_linear": {"epochs": 2},
    "03_nn_linear": {"epochs": 2},
    "04_logistic": {"epochs": 2},
    "05_multilayer": {"epochs": 2},
    "06_dataloader": {"epochs": 1, "batch_size": 100},
    "07_mnist_mlp": {"epochs": 1, "batch_size": 100},
    "08_own_digits": {},
    "09_mnist_fast": {"epochs": 1, "batch_size": 100},
    "10_mnist_cnn": {"epochs": 1, "batch_size": 100, "lr": 0.05},
    "11_char_rnn": {"iterations": 2, "batch_size": 2, "text": [ROOT / "data" / "README.md"]},
    "12_small_llm": {
        "size": "tiny", "iterations": 2, "batch_size": 2, "length": 20, "text": [ROOT / "LICENSE"]
    },
    "13_several_gpus": {"epochs": 1, "batch_size": 100, "lr": 0.05},
}  # fmt: skip


def cells(name: str) -> list[tuple[str, str]]:
    """Each cell's mark and content. In VS Code, what stands above the first mark is in no cell."""
    _, *parts = re.split(r"^(# %%.*)\n", SOURCES[name], flags=re.MULTILINE)
    return list(zip(parts[::2], parts[1::2], strict=True))


def flags(name: str) -> list[str]:
    """The cheap settings as a command line."""
    given = []
    for key, value in CHEAP[name].items():
        values = value if key == "text" else [value]
        given += [f"--{key.replace('_', '-')}", *map(str, values)]
    return given


@pytest.fixture
def brief(monkeypatch, quick_figures, tmp_path):
    """Few images, empty figures, a network for chapter 8, and a fast clock for chapter 9."""
    torch.save(
        load(ROOT / "07_mnist_mlp.py").MNISTModel().state_dict(), tmp_path / "07_mnist_mlp.pt"
    )
    hurry(monkeypatch)


@pytest.mark.filterwarnings("ignore")  # of the mistakes that chapters 2 and 5 show
@pytest.mark.parametrize("name", CHAPTERS)
def test_each_cell_shows_what_it_has_to_show(name, brief, tmp_path, monkeypatch, capsys):
    """As in Jupyter: no __file__, another program's command line, figures below the cell."""
    notebook, shown = ModuleType("__main__"), []
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")  # figures stay as they are made
    monkeypatch.setattr(plt, "get_backend", lambda: "module://matplotlib_inline.backend_inline")
    monkeypatch.setattr(plt, "show", lambda: shown.append(len(plt.get_fignums())))
    assert cells(name)[0][0] == "# %% [markdown]"
    for mark, code in cells(name):
        exec(compile(code, "<cell>", "exec"), vars(notebook))
        if "args = chapter.begin" in code:
            assert notebook.args.output_dir.resolve() == tmp_path / "outputs", "beside the notebook"
            vars(notebook.args).update(CHEAP[name], output_dir=tmp_path)
        assert ("[markdown]" in mark) == (not ast.parse(code).body or code.startswith('"""'))
        assert bool(shown) == (tmp_path / f"{name}.png").exists()
    assert shown == [1] and not plt.get_fignums()


@pytest.mark.parametrize("name", CHAPTERS)
def test_step_shows_each_sections_prose_and_code_before_it_runs(
    name, brief, run, tmp_path, monkeypatch
):
    """And waits for Enter: once for the docstring, and once for each section."""
    entered, shown = [], []

    def enter(prompt):
        entered.append(sys.stdout.getvalue())

    monkeypatch.setattr("builtins.input", enter)
    monkeypatch.setattr(plt, "get_backend", lambda: "TkAgg")
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("COLUMNS", "110")
    done = run(name, *flags(name), "--step", "--show", "--output-dir", tmp_path)
    assert (done.status, done.err) == (0, "")
    headings = re.findall(r"^# ## (.*)", SOURCES[name], re.MULTILINE)
    numbered = [f"{number}. {heading}" for number, heading in enumerate(headings, start=1)]
    assert [line for line in done.out.splitlines() if line in numbered] == numbered
    assert len(entered) == 1 + len(headings)
    assert len(shown) == 1 and len(shown[0]) == 1, "one figure, in a window"

    said = re.sub(r"\s+", " ", done.out)
    for definition in ast.walk(ast.parse(SOURCES[name])):
        if isinstance(definition, ast.FunctionDef):
            assert f"def {definition.name}(" in said
    for _, prose in cells(name):
        if re.match("# ## ", prose):
            sentence = prose.replace("\n# ", " ").split(". ")[0].split("# ")[-1]
            plain = re.match(r"[\w ,;:]*", sentence)[0]  # up to the first formula or bold word
            assert plain[:60].strip() in said
    assert "$" not in re.sub(r"'\$'|\$ python", "", said.replace(r"\$", "")), "a formula is raw"


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_is_flat_and_loading_it_runs_nothing(name, capsys):
    """All that stands at the top level runs; the one guard is chapter 6's, for its workers."""
    random_state = torch.get_rng_state()
    module = load(ROOT / f"{name}.py")
    assert capsys.readouterr().out == ""
    assert torch.equal(torch.get_rng_state(), random_state)
    body = ast.parse(SOURCES[name]).body
    definitions = [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert {node.name for node in definitions} <= set(vars(module))
    assert not {"args", "model", "losses", "fig"} & set(vars(module))
    assert not any(node.name == "main" for node in definitions)
    guards = [node for node in body if isinstance(node, ast.If) and "__name__" in ast.dump(node)]
    assert bool(guards) == (name == "06_dataloader")


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_function_reads_a_name_that_the_page_binds(name):
    """It takes what it uses as an argument: whoever loads the definitions has no more than them."""
    page = symtable.symtable(SOURCES[name], name, "exec")
    bound = {
        symbol.get_name()
        for symbol in page.get_symbols()
        if symbol.is_assigned() and not symbol.is_imported() and not symbol.is_namespace()
    }
    tables = page.get_children()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        if table.get_type() == "function" and table.get_name() not in COMPREHENSIONS:
            read = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
            lower = {one for one in read & bound if not one.isupper()}
            assert not lower, f"{table.get_name()}, line {table.get_lineno()}, reads {lower}"


@pytest.mark.slow
def test_python_i_goes_on_after_an_error_in_words(tmp_path):
    done = subprocess.run(
        [sys.executable, "-i", ROOT / "03_nn_linear.py", "--lr", "10", "--output-dir", tmp_path],
        input="print('lr is', args.lr)\n",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
    )
    assert "lr is 10.0\n" in done.stdout
    assert "error: the loss is no longer" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_step_over_goes_through_the_page_line_by_line(tmp_path):
    """Each `n` of the debugger stops at the next line of the page, whatever that calls."""
    steps = 40
    done = subprocess.run(
        [sys.executable, "-m", "pdb", ROOT / "03_nn_linear.py", "--output-dir", tmp_path],
        input="n\n" * steps + "q\n",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
    )
    stops = re.findall(r"^(?:\(Pdb\) )?> .*03_nn_linear\.py\((\d+)\)<module>", done.stdout, re.M)
    assert len(stops) == steps + 1, done.stdout
    lines = SOURCES["03_nn_linear"].splitlines()
    passed = [lines[int(stop) - 1] for stop in stops]
    for line in ["import torch", "model = LinearModel()", "losses = []", "    loss.backward()"]:
        assert line in passed
    assert "3. A shape error\n" in done.stdout


@pytest.mark.slow
def test_python_i_leaves_the_names_to_play_with(tmp_path):
    names = "x_data, y_data, model, criterion, optimizer, losses, LinearModel, y_pred"
    flags = ["--epochs", "3", "--device", "cpu", "--output-dir", tmp_path]
    done = subprocess.run(
        [sys.executable, "-i", ROOT / "03_nn_linear.py", *flags],
        input=f"print([type(name).__name__ for name in ({names})])\nmodel(x_data).shape\n",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
    )
    assert (
        "['Tensor', 'Tensor', 'LinearModel', 'MSELoss', 'SGD', 'list', 'type', 'Tensor']\n"
        "torch.Size([3, 1])\n"
    ) in done.stdout


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_section_is_a_heading_two_to_six_sentences_and_what_they_are_about(name):
    sections = re.split(r"^# ## .*\n", SOURCES[name], flags=re.MULTILINE)[1:]
    assert len(sections) >= 6
    for section in sections:
        lines = section.split("\n# %%")[0].splitlines()  # without drawings and tables
        prose = " ".join(line[2:] for line in lines if not re.match(r"#     |# \||# !", line))
        sentences = re.findall(r"[.?!]\**\)?(?=\s+[A-Z`*(]|\s*$)", prose)
        assert 2 <= len(sentences) <= 6, prose
        assert re.search(r"^# %%\n", section, re.MULTILINE), "there is no code"


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_line_of_prose_is_taken_for_a_list(name):
    """A formula or a number that a line break has put first would begin one."""
    for mark, prose in cells(name):
        if "[markdown]" in mark:
            assert not re.search(r"^# (?:[-+*]|\d+\.) ", prose, re.MULTILINE)
