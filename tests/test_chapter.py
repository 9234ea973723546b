"""common/chapter.py: how a chapter begins, announces its sections, and is loaded."""

import multiprocessing
import os
import re
import sys
import textwrap

import pytest
import torch

from common import chapter, device, threads

PAGE = '''# %% [markdown]
"""# Chapter 0 · Title

What you will learn.
"""

# %%
from common import chapter, cli

parser = cli.parser(__doc__, epochs=3, device="auto")
parser.add_argument("--predict", nargs="+")
args = chapter.begin(parser, only={"predict": "predict"})

# %% [markdown]
# ## First · 第一
#
# The **gradient** is $2 x (w x - y)$.

# %%
BEST = 3
worst = 4


def predict(args):
    """Says what it was given."""
    print("predicting", args.predict, args.device, "worst" in globals())


print("first result")
print("and more")

# %% [markdown]
# ## Silent

# %%
silent = 1

# %% [markdown]
# ## Third

# %%
for i in range(2):
    print("third result", i)

# %% tags=["hide-input"]
decoration = 1

# %%
print("last")
'''


@pytest.fixture
def page(tmp_path, run):
    """page(flags) runs the chapter above; its file and outputs are in tmp_path."""
    (tmp_path / "00_page.py").write_text(PAGE, encoding="utf-8")

    def page(*flags):
        return run(tmp_path / "00_page", "--device", "cpu", *flags)

    return page


def test_a_run_tells_title_device_sections_and_results(page, tmp_path):
    """A heading stands above the first that its section prints, and none is left out."""
    done = page()
    assert done.status == 0
    assert done.out == (
        "Chapter 0 · Title\nDevice: cpu\n\n1. First · 第一\nfirst result\nand more\n\n"
        "2. Silent\n\n3. Third\nthird result 0\nthird result 1\nlast\n"
    )
    assert done.names.args.output_dir == tmp_path / "outputs" and (tmp_path / "outputs").is_dir()
    assert done.names.args.device == torch.device("cpu")


def test_settings_are_flags_with_their_defaults(run, tmp_path):
    source = (
        '"""# T"""\nfrom common import chapter\nargs = chapter.begin(__doc__, epochs=3, lr=0.5)\n'
    )
    (tmp_path / "00_page.py").write_text(source, encoding="utf-8")
    args = run(tmp_path / "00_page").names.args
    assert (args.epochs, args.lr, args.seed, args.step) == (3, 0.5, 0, False)
    assert run(tmp_path / "00_page", "--lr", "2").names.args.lr == 2
    assert "unrecognized arguments: --device" in run(tmp_path / "00_page", "--device", "cpu").err


def test_the_seed_is_set(page):
    drawn = []
    for seed in (3, 3, 4):
        page("--seed", seed)
        drawn.append(torch.rand(1).item())
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    "settings, expected",
    [("epochs=3", 1), ("epochs=3, batch_size=64", 2), ("iterations=3, batch_size=2", 2)],
)
def test_tables_of_a_few_hundred_numbers_are_computed_on_one_core(
    settings, expected, run, tmp_path, monkeypatch
):
    """Unless the chapter's batches are large: on a busy computer a second core is waited for.

    Where updates are counted, each is of many more numbers.
    """
    source = f"""
        import torch
        from common import chapter
        torch.set_num_threads(2)
        chapter.begin("# T", {settings}, device="auto")
        print(torch.get_num_threads(), "threads")
    """
    asked = []
    monkeypatch.setattr(threads, "choose_while_training", lambda: asked.append(True))
    (tmp_path / "00_page.py").write_text(textwrap.dedent(source), encoding="utf-8")
    assert f"\n{expected} threads\n" in run(tmp_path / "00_page", "--device", "cpu").out
    assert len(asked) == expected - 1, "all others are watched"


def test_a_flag_that_asks_for_one_thing_only(page, tmp_path):
    """The function comes from the loaded chapter, so nothing else runs."""
    done = page("--predict", "a.png", "b.png")
    assert (done.status, done.out) == (0, "predicting ['a.png', 'b.png'] cpu False\n")
    assert not (tmp_path / "outputs").exists()


def test_loading_keeps_definitions_and_constants(page, tmp_path, capsys):
    page()
    module = chapter.load(tmp_path / "00_page.py")
    assert capsys.readouterr().out == ""
    assert module.BEST == 3 and module.predict.__doc__ == "Says what it was given."
    assert module.__doc__.startswith("# Chapter 0 · Title")
    assert not {"worst", "args", "parser", "silent", "i"} & set(vars(module))
    line = PAGE.splitlines().index("def predict(args):") + 1
    assert module.predict.__code__.co_firstlineno == line, "tracebacks and debuggers need it"


def test_step_shows_prose_and_code_and_waits(page, monkeypatch):
    waited = []
    monkeypatch.setattr("builtins.input", lambda prompt: waited.append(prompt))
    out = page("--step").out
    assert len(waited) == 4
    beginning, first, silent, third = re.split(r"^\d\. .*\n", out, flags=re.MULTILINE)
    assert "What you will learn." in beginning and "import chapter" in beginning
    assert "The gradient is 2 x (w x - y)." in first
    assert "def predict(args):" in first and 'print("first result")' in first
    assert first.index("def predict") < first.index("\nfirst result\n")
    assert "silent = 1" in silent
    assert "third result" in third and 'print("last")' in third
    assert "decoration" not in out and "# %%" not in out


@pytest.mark.parametrize("error", [EOFError(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "")])
def test_step_goes_on_where_nobody_can_press_enter(error, page, monkeypatch):
    """Or where other keys were pressed before it, in an encoding that Python did not expect."""

    def press(prompt):
        raise error

    monkeypatch.setattr("builtins.input", press)
    assert page("--step").out.endswith("last\n")


def test_a_bar_makes_room_for_headings_and_lines(run, tmp_path):
    """It is wiped before a line, and drawn again below it: never between a line and its end."""
    source = """
        # %%
        import sys
        from common import chapter
        from tqdm import tqdm
        args = chapter.begin("# T")

        # %% [markdown]
        # ## Loop

        # %%
        for i in tqdm(range(2), ncols=30, mininterval=0):
            print("step", i)
    """
    (tmp_path / "00_page.py").write_text(textwrap.dedent(source), encoding="utf-8")
    done = run(tmp_path / "00_page")
    assert "\n1. Loop\nstep 0\nstep 1\n" in done.out
    assert done.err.count("0/2") >= 2, "the bar is drawn again after it was wiped"


def test_a_page_may_end_within_a_line_while_a_bar_is_there(run, tmp_path):
    source = """
        from common import chapter
        from tqdm import tqdm
        chapter.begin("# T")
        for i in tqdm(range(3), ncols=30):
            print(i, end=" ", flush=i == 1)
    """
    (tmp_path / "00_page.py").write_text(textwrap.dedent(source), encoding="utf-8")
    done = run(tmp_path / "00_page", flush=True)
    assert done.out == "T\n0 1 2 "


def test_constants_made_of_what_the_page_computes_are_no_definitions(tmp_path):
    path = tmp_path / "page.py"
    path.write_text("x = 3\nX = x + 1\nY = 2\n\n\ndef f():\n    return Y\n")
    module = chapter.load(path)
    assert module.f() == 2 and not hasattr(module, "X")


def test_a_worker_runs_the_page_silently_and_without_a_gpu(tmp_path, monkeypatch, capsys):
    """A worker that is no fork runs it under another name; it writes no file."""
    asked = []
    monkeypatch.setattr(
        device, "pick_device", lambda name: (asked.append(name) or torch.device("cpu"), name)
    )
    source, path = PAGE, tmp_path / "00_page.py"
    path.write_text(source, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [str(path), "--output-dir", str(tmp_path / "new")])
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    exec(compile(source, path, "exec"), {"__name__": "__mp_main__", "__doc__": "# T"})
    assert capsys.readouterr().out == "" and not (tmp_path / "new").exists()
    assert asked == ["cpu"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_do_not_run_a_page_without_a_guard_again(method, run, tmp_path, monkeypatch):
    """Python looks for the page in __main__.__file__, and a page with a guard is left there."""
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda **how: method)
    for guard in ["", 'if __name__ == "__main__":\n    pass\n', "if __name__ == '__main__': 1\n"]:
        path = tmp_path / "00_page.py"
        path.write_text(f"{PAGE}\n{guard}", encoding="utf-8")
        names = run(tmp_path / "00_page", "--device", "cpu").names
        assert hasattr(names, "__file__") == (method == "fork" or bool(guard))


@pytest.mark.parametrize("method, workers", [("fork", 2), ("spawn", 0)])
@pytest.mark.parametrize("is_debugged", [False, True])
def test_in_a_notebook_only_forked_workers_find_its_classes(
    is_debugged, method, workers, monkeypatch, tmp_path, capsys
):
    """A debugger writes each cell to a file."""
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda **how: method)
    cell, names = 'args = chapter.begin("# T", workers=2)', {"chapter": chapter}
    path = tmp_path / "cell.py" if is_debugged else "<cell>"
    if is_debugged:
        path.write_text(cell)
    exec(compile(cell, path, "exec"), names)
    assert names["args"].workers == workers
    assert capsys.readouterr().out == "", "the title stands above the cell"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes with names")
@pytest.mark.parametrize("method, workers", [("fork", 2), ("spawn", 0)])
def test_only_forked_workers_need_not_read_a_pipe_again(
    method, workers, run, monkeypatch, tmp_path
):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda **how: method)
    source = 'from common import chapter\nargs = chapter.begin("# T", csv=None, workers=2)\n'
    (tmp_path / "00_page.py").write_text(source, encoding="utf-8")
    assert run(tmp_path / "00_page", "--csv", tmp_path / "pipe").names.args.workers == workers


def test_a_section_by_its_line():
    lines = PAGE.splitlines()
    number, heading, prose, code = chapter.find_section(PAGE, lines.index("def predict(args):"))
    assert (number, heading) == (1, "First · 第一")
    assert prose == "The **gradient** is $2 x (w x - y)$."
    assert code.startswith("BEST = 3\n") and code.endswith('print("and more")')
    number, heading, prose, code = chapter.find_section(PAGE, 1)
    assert (number, heading, prose) == (0, "", "What you will learn.")
