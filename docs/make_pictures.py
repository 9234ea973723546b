"""Make the READMEs' pictures, transcripts and seconds, from real runs on a CPU.

    python docs/make_pictures.py         all of them, which takes about a quarter of an hour
    python docs/make_pictures.py 03 07   those of these chapters

For each of RUNS, docs/NAME.txt keeps what the run said and how long it took. A chapter run without
flags also leaves its figure, docs/NAME.png. Then both READMEs take over what these files say,
wherever they refer to one in a comment:

    <!-- docs/NAME.txt -->              before a block of code: the whole transcript
    <!-- docs/NAME.txt, section 6 -->   of this section only
    51 s<!-- docs/NAME.txt -->          the seconds

tests/test_readme.py sees to it that they do, and compares their other numbers with these files.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]

RUNS = {
    "01_linear_grid": "python 01_linear_grid.py",
    "02_autograd_linear": "python 02_autograd_linear.py",
    "03_nn_linear": "python 03_nn_linear.py",
    "04_logistic": "python 04_logistic.py",
    "05_multilayer": "python 05_multilayer.py",
    "06_dataloader": "python 06_dataloader.py",
    "07_mnist_mlp": "python 07_mnist_mlp.py",
    "08_mnist_fast": "python 08_mnist_fast.py",
    "08_mnist_fast-rung-5": "python 08_mnist_fast.py --rungs 5",
    "09_small_llm": "python 09_small_llm.py",
    "09_small_llm-prompt": 'python 09_small_llm.py --prompt "Classes" --length 250',
    "09_small_llm-tiny": "python 09_small_llm.py --size tiny",
    "09_small_llm-parts": "python docs/llm_parts.py",
}


def run(command: str, folder: Path) -> tuple[str, float]:
    """Run a command of RUNS with `folder`/outputs as its output folder; what it says, seconds."""
    script, *flags = shlex.split(command)[1:]
    hidden = {"CUDA_VISIBLE_DEVICES": "", "PYTHONIOENCODING": "utf-8"}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, ROOT / script, *flags, "--output-dir", "outputs"],
        cwd=folder,
        env=os.environ | hidden,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    return done.stdout, time.perf_counter() - start


def save_transcript(name: str, said: str, seconds: float) -> None:
    """Write docs/NAME.txt: the command, what it said, and the seconds it took."""
    device = re.search(r"^Device: (\S+)", said, re.MULTILINE)
    if device and device[1] != "cpu":
        raise SystemExit(f"The READMEs show runs on a CPU, but this one was on {device[1]}.")
    text = f"$ {RUNS[name]}\n{said.rstrip()}\n\n({seconds:.0f} s, from the command to its end)\n"
    (DOCS / f"{name}.txt").write_text(text, encoding="utf-8", newline="\n")


def save_picture(name: str, figure: Path) -> None:
    """Write docs/NAME.png: the figure with a palette of 256 colours, a third of its size."""
    with Image.open(figure) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(DOCS / f"{name}.png", optimize=True)


def read_transcript(name: str) -> tuple[str, str]:
    """What save_transcript has written: command and output, and the seconds."""
    text = (DOCS / f"{name}.txt").read_text(encoding="utf-8")
    transcript, seconds = re.fullmatch(r"(.*\n)\n\((\d+) s, .*\)\n", text, re.DOTALL).groups()
    return transcript, seconds


def section_of(transcript: str, number: str) -> str:
    """The lines of one numbered section."""
    return re.search(rf"^{number}\. .*?(?=^\d+\. |^\w+: |\Z)", transcript, re.M | re.S)[0]


def updated(readme: str) -> str:
    """A README's text with what the transcripts say now."""

    def block(match: re.Match) -> str:
        name, number = match["name"], match["section"]
        transcript, _ = read_transcript(name)
        shown = section_of(transcript, number) if number else transcript
        return f"{match['comment']}\n```\n{shown.rstrip()}\n```\n"

    readme = re.sub(
        r"(?P<comment><!-- docs/(?P<name>\S+)\.txt(, section (?P<section>\d+))? -->)\n"
        r"```\n(?:.*?\n)??```\n",
        block,
        readme,
        flags=re.DOTALL,
    )
    return re.sub(
        r"\d+(?P<unit> s| 秒)(?P<comment><!-- docs/(?P<name>\S+)\.txt -->)",
        lambda match: f"{read_transcript(match['name'])[1]}{match['unit']}{match['comment']}",
        readme,
    )


def main(chapters: list[str]) -> None:
    """Run the commands of these chapters ("03"), or all; then bring the READMEs up to date."""
    with tempfile.TemporaryDirectory() as folder:
        for name, command in RUNS.items():
            if chapters and name[:2] not in chapters:
                continue
            print(f"$ {command}", flush=True)
            said, seconds = run(command, Path(folder))
            print(f"   {seconds:.0f} s")
            save_transcript(name, said, seconds)
            if command == f"python {name}.py":
                save_picture(name, Path(folder) / "outputs" / f"{name}.png")
    for path in READMES:
        text = updated(path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
