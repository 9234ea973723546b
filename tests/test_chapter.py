"""common/chapter.py: how a chapter begins, announces its sections, and ends."""

import re

import pytest
import torch

from common import chapter, device, progress

PAGE = '''# %% [markdown]
"""# Chapter 0 · Title

What you will learn.
"""

# %%
from common import chapter, cli

MAIN = __name__ == "__main__"
if MAIN:
    parser = cli.parser(__doc__, epochs=3, device=True)
    parser.add_argument("--predict", nargs="+")
    args = chapter.begin(parser, only={"predict": "predict"})

# %% [markdown]
# ## First · 第一
#
# The **gradient** is $2 x (w x - y)$.


# %%
def predict(args):
    """Says what it was given."""
    print("predicting", args.predict, args.device, MAIN)


if MAIN:
    chapter.section()
    print("first result")

# %% [markdown]
# ## Second

# %%
if MAIN:
    chapter.section()
    print("second result")

# %% tags=["hide-input"]
if MAIN:
    decoration = 1

# %%
if MAIN:
    print("last")
    chapter.end()
'''


@pytest.fixture
def page(tmp_path, run):
    """page(flags) runs the chapter above; its file and outputs are in tmp_path."""
    (tmp_path / "00_page.py").write_text(PAGE, encoding="utf-8")

    def page(*flags):
        return run(tmp_path / "00_page", "--device", "cpu", *flags)

    return page


def test_a_run_tells_title_device_sections_and_results(page, tmp_path):
    done = page()
    assert done.status == 0
    assert done.out == (
        "Chapter 0 · Title\nDevice: cpu\n\n"
        "1. First · 第一\nfirst result\n\n2. Second\nsecond result\nlast\n"
    )
    assert done.names.args.output_dir == tmp_path / "outputs" and (tmp_path / "outputs").is_dir()
    assert done.names.args.device == torch.device("cpu")


def test_the_seed_is_set(page):
    drawn = []
    for seed in (3, 3, 4):
        page("--seed", seed)
        drawn.append(torch.rand(1).item())
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_flag_that_asks_for_one_thing_only(page, tmp_path):
    """The function comes from the imported chapter, so nothing else runs."""
    done = page("--predict", "a.png", "b.png")
    assert (done.status, done.out) == (0, "predicting ['a.png', 'b.png'] cpu False\n")
    assert not (tmp_path / "outputs").exists()


def test_step_shows_prose_and_code_and_waits(page, monkeypatch):
    waited = []
    monkeypatch.setattr("builtins.input", lambda prompt: waited.append(prompt))
    out = page("--step").out
    assert len(waited) == 3
    beginning, first, second = re.split(r"^\d\. .*\n", out, flags=re.MULTILINE)
    assert "What you will learn." in beginning and "import chapter" in beginning
    assert "The gradient is 2 x (w x - y)." in first
    assert "def predict(args):" in first and 'print("first result")' in first
    assert first.index("def predict") < first.index("\nfirst result\n")
    assert 'print("second result")' in second and 'print("last")' in second
    assert "decoration" not in out and "chapter.section()" not in out and "# %%" not in out


@pytest.mark.parametrize("error", [EOFError(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "")])
def test_step_goes_on_where_nobody_can_press_enter(error, page, monkeypatch):
    """Or where other keys were pressed before it, in an encoding that Python did not expect."""

    def press(prompt):
        raise error

    monkeypatch.setattr("builtins.input", press)
    assert page("--step").out.endswith("last\n")


def test_of_torchruns_processes_the_first_speaks(page, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert page().out.startswith("Chapter 0"), "a RANK that isn't torchrun's means nothing"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    done = page("--step")
    assert (done.status, done.out) == (0, "")


def test_each_of_torchruns_processes_has_a_gpu_of_its_own(page, monkeypatch):
    """With stand-ins: two GPUs, and a device that says it is one of them."""
    gpus = []
    for name, value in {"TORCHELASTIC_RUN_ID": "test", "RANK": "0", "LOCAL_RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", gpus.append)
    page()
    assert gpus == []
    monkeypatch.setattr(device, "pick_device", lambda name: (torch.device("cuda"), "cuda"))
    page()
    assert gpus == [1]


def test_a_section_by_its_line():
    lines = PAGE.splitlines()
    number, heading, prose, code = chapter.find_section(PAGE, lines.index("def predict(args):"))
    assert (number, heading) == (1, "First · 第一")
    assert prose == "The **gradient** is $2 x (w x - y)$."
    assert code.startswith("def predict(args):\n") and code.endswith('    print("first result")')
    number, heading, prose, code = chapter.find_section(PAGE, 1)
    assert (number, heading, prose) == (0, "", "What you will learn.")


def test_the_end_after_ctrl_c(run, tmp_path):
    stopping = PAGE.replace('print("last")', 'chapter.progress.stopped.append("1 of 3 epochs")')
    (tmp_path / "00_page.py").write_text(stopping, encoding="utf-8")
    done = run(tmp_path / "00_page", "--device", "cpu")
    assert done.status == 130
    assert done.out.endswith("Stopped after 1 of 3 epochs; what was learned until then is kept.\n")
    assert chapter.stopped()
    progress.stopped.clear()
    assert not chapter.stopped()
