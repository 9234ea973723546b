"""Where the data is, checked before it is used; and MNIST kept in memory, transformed."""

import atexit
import codecs
import contextlib
import gzip
import hashlib
import struct
import tempfile
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from torch.utils.data._utils.collate import default_collate, default_collate_fn_map

from common.cli import ROOT, UserError, atomic_write, expand, reason
from common.language import _

DATA = ROOT / "data"
ARCHIVES = {  # MNIST's, with MD5 sums as in torchvision, which takes a second to import
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


def mnist_root() -> Path:
    """The folder to give to torchvision.datasets.MNIST(root=…): archives checked and unpacked.

    torchvision checks an archive only on the day it unpacks it, and trusts what lies there later.
    Raises UserError for a missing or damaged archive.
    """
    try:
        return _unpack(DATA)
    except (UserError, OSError):  # a read-only copy of the project
        folder = tempfile.TemporaryDirectory(prefix="mnist-", ignore_cleanup_errors=True)
        atexit.register(folder.cleanup)
        return _unpack(Path(folder.name))


def _unpack(root: Path) -> Path:
    """Write each archive's content below `root`, unless it is there already and sound."""
    remedy = _("Restore it with: git checkout -- data (or download the project again).")
    for name, md5 in ARCHIVES.items():
        path = DATA / "MNIST" / "raw" / name
        target = root / "MNIST" / "raw" / path.stem
        try:
            archive = path.read_bytes()
        except OSError as error:
            raise UserError(
                "cannot read {path}: {reason}. {remedy}",
                path=path, reason=reason(error), remedy=remedy,
            ) from None  # fmt: skip
        if hashlib.md5(archive, usedforsecurity=False).hexdigest() != md5:
            raise UserError(
                "{path} is damaged: {n:,} bytes whose MD5 sum is not {md5}. {remedy}",
                path=path, n=len(archive), md5=md5, remedy=remedy,
            )  # fmt: skip
        (checksum,) = struct.unpack("<I", archive[-8:-4])  # gzip's trailer, RFC 1952, 2.3.1
        content = target.read_bytes() if target.exists() else b""
        if zlib.crc32(content) != checksum:
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(target) as temporary:
                temporary.write_bytes(gzip.decompress(archive))
    return root


def read_mnist(root: Path, train: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """MNIST without torchvision: images (N, 1, 28, 28), normalized as in chapter 7, labels (N,).

    Before its bytes an IDX file has a head: 16 bytes before images, 8 before labels.
    """
    start = str(root / "MNIST" / "raw" / ("train" if train else "t10k"))
    pixels = torch.from_numpy(np.fromfile(f"{start}-images-idx3-ubyte", np.uint8, offset=16))
    labels = torch.from_numpy(np.fromfile(f"{start}-labels-idx1-ubyte", np.uint8, offset=8))
    images = pixels.view(-1, 1, 28, 28) / 255
    return images.sub_(0.1307).div_(0.3081), labels.long()


def keep_in_memory(dataset: Dataset) -> None:
    """Transform all images of torchvision's MNIST once; a DataLoader then fetches whole batches.

    It asks a dataset that has a method __getitems__ for a batch at once. The batches stay the same,
    bit for bit; where the transform is more than a function of each pixel, nothing is done.
    """

    def transformed(pixels):
        """All images (N, H, W) at once, as a single one N times as high."""
        return dataset.transform(Image.fromarray(pixels.flatten(0, 1).numpy()))

    before = torch.get_rng_state()
    images, labels = default_collate([dataset[i] for i in range(10)])
    same = torch.equal(images.flatten(), transformed(dataset.data[:10]).flatten())
    same = same and images.shape[1:] == (1, 28, 28) and torch.equal(labels, dataset.targets[:10])
    if same and torch.equal(before, torch.get_rng_state()):  # nothing was drawn
        parts = [transformed(part).view(-1, 1, 28, 28) for part in dataset.data.split(1000)]
        dataset.__getitems__ = partial(_fetch, torch.cat(parts), dataset.targets)


class _Batch(tuple):
    """Images (B, 1, H, W) and labels (B,), which need no stacking."""


def _fetch(images: torch.Tensor, labels: torch.Tensor, indices: Sequence[int]) -> list[_Batch]:
    return [_Batch((images[indices], labels[indices]))]


# How a loader makes a batch of samples, by their type: https://docs.pytorch.org/docs/stable/data.html
default_collate_fn_map[_Batch] = lambda samples, **how: list(samples[0])


def check_table(path: Path) -> Path:
    """The path of a table that np.loadtxt(path, delimiter=",") can read: this one's, if possible.

    What it would read in another way, or not at all, is copied as plain numbers: other characters
    than ASCII's, lines of spaces, a pipe. Raises UserError, with the line, unless there are two
    rows of finite numbers or more, all of one length: inputs and a label, 0 or 1.
    """
    rows = []
    for number, line in enumerate(read_text(path, _("a CSV file of numbers")).split("\n"), start=1):
        line = line.split("#")[0].replace("，", ",")
        cells = [cell.strip() for cell in line.split(",")]
        if cells == [""]:
            continue
        numbers = [_finite_number(cell) for cell in cells]
        where = {"path": path, "line": number, "found": len(cells)}
        if rows and len(cells) != len(rows[0]):
            raise UserError(
                "{path}, line {line}: {found} columns, expected {expected} as above.",
                expected=len(rows[0]), **where,
            )  # fmt: skip
        if len(cells) < 2:
            raise UserError(
                "{path}, line {line}: one column, expected inputs and a label with commas.",
                **where,
            )
        if None in numbers:
            where["found"] = cells[numbers.index(None)]
            raise UserError(
                "{path}, line {line}: expected a number, got {found!r}. Numbers stand without "
                "quotes, separated by commas; a line of names starts with #.",
                **where,
            )
        if numbers[-1] not in (0, 1):
            where["found"] = cells[-1]
            raise UserError(
                "{path}, line {line}: the last column should hold labels 0 and 1, got {found}.",
                **where,
            )
        rows.append(numbers)
    if not rows:
        raise UserError("{path} holds no data. Expected at least two rows of numbers.", path=path)
    if len(rows) < 2:
        raise UserError("{path} holds one row. Expected at least two rows of numbers.", path=path)
    for number, column in enumerate(list(zip(*rows, strict=True))[:-1], start=1):
        if len(set(column)) == 1:
            raise UserError(
                "{path}: column {column} holds the same number in every row, so it tells nothing. "
                "Leave it out.",
                path=path, column=number,
            )  # fmt: skip
    with contextlib.suppress(ValueError):  # a pipe can't be read again
        if path.is_file() and np.loadtxt(path, delimiter=",", encoding="ascii").tolist() == rows:
            return path
    with tempfile.NamedTemporaryFile("w", suffix=".csv", delete=False) as plain:
        plain.writelines(",".join(map(repr, row)) + "\n" for row in rows)
    atexit.register(Path(plain.name).unlink, missing_ok=True)
    return Path(plain.name)


def _finite_number(text: str) -> float | None:
    """The number that a cell holds, if it fits a float32; else None."""
    try:
        number = float(text.replace("_", "?"))  # 4_0 is Python's notation, and here a slip
    except ValueError:
        return None
    return number if abs(number) <= float(np.finfo(np.float32).max) else None  # nor NaN


def read_texts(paths: list[Path], at_least: int, known: str | None = None) -> str:
    """The files' texts, one after the other; without any, pydoc's topics.

    Raises UserError for a file that isn't text in UTF-8, for fewer characters than `at_least`, and
    for another text than that with the fingerprint `known`.
    """
    from pydoc_data.topics import topics  # most of a megabyte, for those who need it

    texts = [read_text(path, _("text in UTF-8")) for path in expand(paths)] or topics.values()
    text = "\n".join(texts)
    if len(text) < at_least:
        raise UserError(
            "the text has {found:,} characters, too few: at least {needed:,} are needed. "
            "Give a longer text, or more of them, to --text.",
            found=len(text), needed=at_least,
        )  # fmt: skip
    if known is not None and known != fingerprint(text):
        raise UserError(
            "the checkpoint was trained on another text. Give the same files to --text, in the "
            "same order, or train anew, without --resume."
        )
    return text


def fingerprint(text: str) -> str:
    """A hash of the text: two texts that differ have different ones."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_text(path: Path, expected: str) -> str:
    """A file's text in UTF-8. Raises UserError, with what was expected, where there is none."""
    problem, text = "", ""
    utf16 = _("it looks like UTF-16. Save it as UTF-8")  # Windows' "Unicode"
    try:
        text = path.read_text(encoding="utf-8-sig")
        problem = utf16 if "\0" in text else ""
    except OSError as error:
        problem = reason(error)
    except UnicodeDecodeError as error:
        has_mark = error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        problem = utf16 if has_mark else _("it is not text in UTF-8")
    if problem:
        raise UserError(
            "cannot read {path}: {problem}. Expected {expected}.",
            path=path, problem=problem, expected=expected,
        )  # fmt: skip
    if not text.strip():
        raise UserError("{path} is empty. Expected {expected}.", path=path, expected=expected)
    return text
