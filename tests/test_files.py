"""common/files.py: what a run writes."""

import pytest

from common import files
from common.cli import UserError


def test_the_output_folder_is_made(tmp_path):
    folder = tmp_path / "new" / "outputs"
    files.output_folder(folder)
    assert folder.is_dir() and not any(folder.iterdir())


def test_an_output_folder_that_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(UserError, match="--output-dir"):
        files.output_folder(path)


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), files.written_whole(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    with files.written_whole(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.suffix == path.suffix
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_in_words(tmp_path):
    with (
        pytest.raises(UserError, match=r"cannot write .*result\.txt: No space left"),
        files.written_whole(tmp_path / "result.txt"),
    ):
        raise OSError(28, "No space left on device")
