"""How the tests find the chapters, run and interrupt them, and damage a copy of the data."""

import ast
import contextlib
import functools
import gc
import inspect
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace

import common.threads  # noqa: F401, sets what torch reads when it is imported

# isort: split
import pytest
import torch
from PIL import Image

from common import chapter as chapter_module
from common.cli import ROOT
from common.device import pick_device
from practice.few import hurry, keep_few_images  # noqa: F401, for the tests

os.environ["LC_ALL"] = "C.UTF-8"  # the tests read English, in this process and in others

needs_cuda = pytest.mark.skipif(pick_device()[0].type != "cuda", reason="needs CUDA")


def parameters(model: torch.nn.Module) -> torch.Tensor:
    """All that the model has learned, in one row."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def layers(model: torch.nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weight and bias of each of its linear layers, whatever their names."""
    own = list(model.parameters())
    return list(zip(own[::2], own[1::2], strict=True))


def pytest_addoption(parser):
    parser.addoption(
        "--chapters",
        type=Path,
        default=ROOT,
        help="folder with the chapters to test: the project's, or your own versions",
    )


# Fixtures that run a whole page: practice leaves out the tests that ask for them.
PAGES = {
    "run",
    "run_chapter",
    "fails",
    "interrupted",
    "quick",
    "few",
    "trained",
    "continued",
    "ran",
    "chapter_7",
}


def pytest_itemcollected(item):
    if PAGES & set(inspect.signature(item.obj).parameters):
        item.add_marker("page")


@pytest.fixture(scope="session")
def chapters_folder(request) -> Path:
    return request.config.getoption("--chapters").resolve()


@pytest.fixture(scope="session")
def load_chapter(chapters_folder):
    """load_chapter("07_mnist_mlp") -> the module; no import statement takes such a name."""

    @functools.cache
    def load_by_name(name: str) -> ModuleType:
        return chapter_module.load(_find(chapters_folder, name))

    return load_by_name


def _find(folder: Path, name: str) -> Path:
    path = folder / f"{name}.py"
    return path if path.exists() else ROOT / path.name  # a reader's folder need not hold them all


@pytest.fixture(scope="module")
def chapter(request, load_chapter) -> ModuleType:
    """The chapter that the test's file names as NAME."""
    return load_chapter(request.module.NAME)


@pytest.fixture(scope="session")
def run_chapter(chapters_folder):
    """Run a chapter as a person does, in a process of its own, without a display."""

    def run(name: str, *flags, cwd: Path, startup: Path | None = None, **environment: str):
        """`startup`: a folder whose sitecustomize.py each Python imports at its start."""
        python_path = os.pathsep.join(str(folder) for folder in (ROOT, startup) if folder)
        env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
        return subprocess.run(
            [sys.executable, chapters_folder / f"{name}.py", *map(str, flags)],
            cwd=cwd,
            env=env | {"PYTHONIOENCODING": "utf-8", "PYTHONPATH": python_path} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
        )

    return run


@pytest.fixture(scope="session")
def run(chapters_folder):
    """Run a chapter as `python NAME.py FLAGS` does, but in this process, and look into it."""
    import matplotlib

    # Where the home can't be written, matplotlib makes a folder for the time being, and says so:
    matplotlib.get_configdir()  # here and not in each run of a chapter, which are to say nothing

    def run(name: str, *flags, flush: bool = False) -> SimpleNamespace:
        """Returns the module's `names`, what went to `out` and `err`, `status`, and `warned`."""
        path = _find(chapters_folder, name)
        main, threads = ModuleType("__main__"), torch.get_num_threads()
        main.__file__ = str(path)
        out, err, status = io.StringIO(), io.StringIO(), 0
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("default")
            warnings.simplefilter("ignore", DeprecationWarning)  # as Python does
            patch.setitem(sys.modules, "__main__", main)
            patch.setattr(sys, "argv", [str(path), *map(str, flags)])
            patch.setattr(sys, "excepthook", sys.__excepthook__)
            try:
                exec(compile(path.read_text(encoding="utf-8"), path, "exec"), vars(main))
            except SystemExit as exit_:
                status = exit_.code
            except BaseException as error:
                try:
                    sys.excepthook(type(error), error, error.__traceback__)
                except SystemExit as exit_:
                    status = exit_.code
                else:
                    raise
            if flush:  # as Python does at its end
                sys.stdout.flush()
        torch.set_num_threads(threads)  # chapters 2 to 6 leave one
        return SimpleNamespace(
            names=main, out=out.getvalue(), err=err.getvalue(), status=status,
            warned=[str(warning.message) for warning in warned],
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Path:
    """The output folder of `ran`."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def ran(request, run, outputs) -> SimpleNamespace:
    """The chapter, run once in this process with the flags that the test's file names as FLAGS.

    All that a test only looks at is read from here: names, what was said, the figure. It warns of
    nothing but of what the file names as WARNS: a mistake that the chapter shows.
    """
    done = run(request.module.NAME, *request.module.FLAGS, "--output-dir", outputs)
    assert (done.status, done.err) == (0, "")
    expected = getattr(request.module, "WARNS", [])
    assert len(done.warned) == len(expected), done.warned
    assert all(said.startswith(start) for said, start in zip(done.warned, expected, strict=True))
    return done


@pytest.fixture(scope="session")
def network(run, tmp_path_factory) -> torch.nn.Module:
    """Chapter 7's network, which was trained for the book, or is trained here."""
    folder = ROOT / "docs" / "chapters" / "outputs"
    if not (folder / "07_mnist_mlp.pt").exists():
        folder = tmp_path_factory.mktemp("trained")
        assert run("07_mnist_mlp", "--device", "cpu", "--output-dir", folder).status == 0
    digits = chapter_module.load(ROOT / "08_own_digits.py")
    return digits.load_network(folder / "07_mnist_mlp.pt", torch.device("cpu"))


@pytest.fixture(scope="session")
def last_lines():
    """Check that a run ended with the last lines that the chapter's docstring promises.

    In the promise "…" stands for any digits, and outputs/ for any folder.
    """

    def check(chapter: ModuleType, output: str) -> None:
        promised = chapter.__doc__.split("The last lines of a run:")[1].split()
        shown = " ".join(output.replace("\\", "/").split()[-len(promised) :])
        pattern = re.escape(" ".join(promised)).replace("…", r"\d+").replace("outputs/", r"\S+/")
        assert re.fullmatch(pattern, shown), f"promised {' '.join(promised)}, shown {shown}"

    return check


def code_without_docstrings(source: str) -> str:
    """What the source does, whatever its comments and docstrings say."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        kinds = ast.Module | ast.FunctionDef | ast.ClassDef
        if isinstance(node, kinds) and ast.get_docstring(node) is not None:
            node.body[0].value.value = ""
    return ast.dump(tree)


def assert_drawn(path: Path) -> None:
    """The figure is wide enough to be read in the book, and not blank."""
    with Image.open(path) as image:
        assert image.width >= 1200
        assert len(set(image.convert("L").resize((100, 100)).tobytes())) > 20, "it is blank"


def _one_thread():
    """For what is too small for a second core, and for runs that should be equal, bit for bit.

    On a busy computer a training may go on with another number of threads, which round otherwise.
    """
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


one_thread = pytest.fixture(scope="module")(_one_thread)
one_thread_here = pytest.fixture(_one_thread)


@pytest.fixture
def few_images(monkeypatch):
    """See keep_few_images."""
    keep_few_images(monkeypatch)


def save_empty_figures(patch: pytest.MonkeyPatch) -> None:
    """Let figures be drawn, but saved as empty files: that is the longest part of a short run."""
    patch.setattr("matplotlib.figure.Figure.savefig", lambda self, path, **how: Path(path).touch())


@pytest.fixture
def quick_figures(monkeypatch):
    """See save_empty_figures."""
    save_empty_figures(monkeypatch)


@pytest.fixture
def interrupted(monkeypatch, run, quick_figures):
    """Run a chapter and press Ctrl-C when it prints what matches `at`; returns the run."""

    def check(name: str, flags: list, at: str) -> SimpleNamespace:
        pressed = []
        write = chapter_module._Headings.write

        def write_and_press(self, text):
            written = write(self, text)
            if re.search(at, text) and not pressed:
                pressed.append(text)
                signal.raise_signal(signal.SIGINT)
            return written

        monkeypatch.setattr(chapter_module._Headings, "write", write_and_press)
        # In a background job, SIGINT is ignored.
        usual = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            done = run(name, *flags)
        finally:
            signal.signal(signal.SIGINT, usual)
        assert pressed, "the chapter did not print that"
        return done

    return check


@pytest.fixture(autouse=True)
def _no_figure_stays_open():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(autouse=True, scope="module")
def _no_run_stays_in_memory(chapters_folder):
    """The names of a run refer to one another: Python frees them when it happens to look."""
    yield
    if chapters_folder == ROOT:
        gc.collect()


@pytest.fixture(scope="session")
def fails(run):
    """fails(NAME, [flags], status) -> the message on stderr, checked to be for people."""

    def check(name: str, flags: list, status: int = 2) -> str:
        done = run(name, *flags)
        assert done.status == status
        assert done.err.startswith("error: ")
        assert len(done.err.splitlines()) <= 2, "a traceback would be shown"
        return done.err

    return check


@pytest.fixture(scope="module")
def browser():
    """Playwright's own Chromium, or the system's."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
    playwright = pytest.importorskip("playwright.sync_api", reason="requirements-docs.txt")
    with playwright.sync_playwright() as player:
        for path in [None, *filter(None, map(shutil.which, names))]:
            try:
                with player.chromium.launch(executable_path=path) as one:
                    yield one
                return
            except playwright.Error as error:
                if "Executable doesn't exist" not in str(error):
                    raise
        pytest.skip("there is no Chromium: python -m playwright install chromium")


@pytest.fixture
def altered_data(tmp_path, monkeypatch):
    """An archive folder of one's own, to be damaged; the project's stays whole."""
    from common import data

    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for archive in (data.DATA / "MNIST" / "raw").glob("*.gz"):
        shutil.copyfile(archive, raw / archive.name)  # copy would keep it read-only, if it is
    monkeypatch.setattr(data, "DATA", tmp_path / "data")
    return SimpleNamespace(root=tmp_path / "data", raw=raw)
