"""Folders and files that a run writes: checked before the work starts, never left half-written."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.cli import UserError


def output_folder(
    folder: Path, remedy: str = "Choose a folder of your own with --output-dir."
) -> None:
    """Make the folder where it is missing, and prove that files can be written into it.

    Raises UserError if they can't, so that nobody trains for minutes and then loses the result;
    the message ends with the remedy.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}. {remedy}") from None


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block has succeeded.

    A crash in between leaves the file that was there before. Raises UserError where writing fails.
    """
    temporary = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}. "
            "Is the disk full, or the file open in another program?"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
