"""Where the data is, checked before it is used; and a loader that fetches whole batches."""

import atexit
import gzip
import hashlib
import multiprocessing
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, RandomSampler, Sampler, SequentialSampler, TensorDataset

from common.cli import ROOT, UserError, atomic_write

DATA = ROOT / "data"


def mnist_root() -> Path:
    """The folder to give to torchvision.datasets.MNIST(root=…): archives checked and unpacked.

    torchvision itself checks an archive only on the day it unpacks it, and trusts whatever lies
    there later, also what a Ctrl-C cut short. Raises UserError for a missing or damaged archive.
    """
    from torchvision.datasets import MNIST  # a second of start-up, for those who need it

    raw = Path("MNIST") / "raw"
    archives = {raw / name: _read_archive(DATA / raw / name, md5) for name, md5 in MNIST.resources}
    try:
        return _unpack(archives, DATA)
    except (UserError, OSError):  # a read-only copy of the project
        folder = tempfile.TemporaryDirectory(prefix="mnist-", ignore_cleanup_errors=True)
        atexit.register(folder.cleanup)
        return _unpack(archives, Path(folder.name))


def _read_archive(path: Path, md5: str) -> bytes:
    remedy = "Restore it with: git checkout -- data (or download the project again)."
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. {remedy}") from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise UserError(
            f"{path} is damaged: {len(content):,} bytes whose MD5 sum is not {md5}. {remedy}"
        )
    return content


def _unpack(archives: dict[Path, bytes], root: Path) -> Path:
    """Write each archive's content below `root`, unless it is there already and sound."""
    for path, archive in archives.items():
        target = root / path.with_suffix("")
        checksum, size = struct.unpack("<II", archive[-8:])  # gzip's trailer, RFC 1952, 2.3.1
        content = target.read_bytes() if target.exists() else b""
        if len(content) != size or zlib.crc32(content) != checksum:
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(target) as temporary:
                temporary.write_bytes(gzip.decompress(archive))
    return root


def check_table(path: Path) -> None:
    """Raise UserError, with the line, unless np.loadtxt(path, delimiter=",") can read the file.

    Expected are two rows of finite numbers or more, all of one length: inputs and a label, 0 or 1.
    Empty lines and comments from # on are passed over.
    """
    columns, rows = None, 0
    for number, line in enumerate(_read_text(path, "a CSV file of numbers").split("\n"), start=1):
        cells = [cell.strip() for cell in line.split("#")[0].split(",")]
        if cells == [""]:
            continue
        columns, rows, problem = columns or len(cells), rows + 1, ""
        wrong = [cell for cell in cells if not _is_finite_number(cell)]
        if len(cells) != columns:
            problem = f"{len(cells)} columns, expected {columns} as above"
        elif columns < 2:
            problem = "one column, expected inputs and a label, separated by commas"
        elif wrong:
            problem = f"expected a number, got {wrong[0]!r}. Numbers stand without quotes, "
            problem += "separated by commas; a line of names starts with #"
        elif float(cells[-1]) not in (0, 1):
            problem = f"the last column should hold labels 0 and 1, got {cells[-1]}"
        if problem:
            raise UserError(f"{path}, line {number}: {problem}.")
    if rows < 2:
        found = "one row" if rows else "no data"
        raise UserError(f"{path} holds {found}. Expected at least two rows of numbers.")
    try:
        np.loadtxt(path, delimiter=",", dtype=np.float32, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read as a table: {error}") from None


def _is_finite_number(text: str) -> bool:
    try:
        return abs(float(text)) <= float(np.finfo(np.float32).max)  # and not NaN
    except ValueError:
        return False


def read_texts(paths: list[Path]) -> str:
    """The files' texts in UTF-8, one after the other. Raises UserError for what is no such text."""
    texts = []
    for path in paths:
        texts.append(_read_text(path, expected="text in UTF-8"))
        if not texts[-1].strip():
            raise UserError(f"{path} is empty. Expected a text to train on.")
    return "\n".join(texts)


def _read_text(path: Path, expected: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise UserError(f"cannot read {path}: {reason}. Expected {expected}.") from None


def workers_can_start() -> bool:
    """Whether a DataLoader's worker processes can find what this program defines.

    A forked worker has it; any other imports the script anew, and a notebook is no script.
    """
    forked = multiprocessing.get_start_method() == "fork"
    return forked or hasattr(sys.modules["__main__"], "__file__")


class BatchIndices(Sampler[torch.Tensor]):
    """Cuts the order that `sampler` gives into index tensors (B,), the last one maybe shorter.

    The order lies on `device` before the first batch: nothing is copied while the loop runs.
    """

    def __init__(self, sampler: Sampler[int], batch_size: int, device: torch.device):
        self.sampler, self.batch_size, self.device = sampler, batch_size, device

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size)  # rounded up

    def __iter__(self) -> Iterator[torch.Tensor]:
        # A generator starts at the first batch: as late as DataLoader's own sampler draws its seed.
        order = torch.tensor(list(self.sampler), device=self.device)
        yield from order.split(self.batch_size)


def bulk_loader(dataset: TensorDataset, batch_size: int, shuffle: bool = False) -> DataLoader:
    """DataLoader(dataset, batch_size, shuffle), fetching each batch in one go, not image by image.

    The same batches in the same order under the same seed. They come from the device on which the
    dataset's tensors lie.
    """
    sampler = RandomSampler(dataset) if shuffle else SequentialSampler(dataset)
    indices = BatchIndices(sampler, batch_size, dataset.tensors[0].device)
    return DataLoader(dataset, sampler=indices, batch_size=None)  # None: an index is a whole batch
