"""common/data.py: the data is what it should be, and batches come whole."""

import gzip
import multiprocessing
import sys
import types

import pytest
import torch
import torchvision
from torch.utils.data import DataLoader, TensorDataset

from common import data
from common.cli import UserError


def test_the_notes_own_line_works_without_a_network(altered_data):
    """From archives alone, as in a fresh clone, by torchvision's own means."""
    train_set = torchvision.datasets.MNIST(root=altered_data.root, train=True, download=True)
    test_set = torchvision.datasets.MNIST(root=altered_data.root, train=False, download=True)
    assert (len(train_set), len(test_set)) == (60_000, 10_000)
    assert torch.bincount(test_set.targets).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


def test_mnist_root_unpacks_what_torchvision_finds(altered_data):
    root = data.mnist_root()
    assert root == altered_data.root
    for archive in altered_data.raw.glob("*.gz"):
        assert archive.with_suffix("").read_bytes() == gzip.decompress(archive.read_bytes())


@pytest.mark.parametrize("content", [b"", b"half of it"])
def test_what_a_crash_left_half_unpacked_is_mended(content, altered_data):
    unpacked = altered_data.raw / "t10k-labels-idx1-ubyte"
    unpacked.write_bytes(content)
    data.mnist_root()
    assert unpacked.stat().st_size == 10_008


def test_an_altered_unpacked_file_is_mended(altered_data):
    data.mnist_root()
    unpacked = altered_data.raw / "t10k-labels-idx1-ubyte"
    sound = unpacked.read_bytes()
    unpacked.write_bytes(sound[:-1] + b"\x05")
    data.mnist_root()
    assert unpacked.read_bytes() == sound


def test_sound_files_are_not_written_again(altered_data):
    data.mnist_root()
    before = {path: path.stat().st_mtime_ns for path in altered_data.raw.iterdir()}
    data.mnist_root()
    assert before == {path: path.stat().st_mtime_ns for path in altered_data.raw.iterdir()}


@pytest.mark.parametrize("damage", ["truncate", "alter", "remove"])
def test_a_damaged_archive_is_named_with_the_way_to_get_it_back(damage, altered_data):
    archive = altered_data.raw / "train-labels-idx1-ubyte.gz"
    content = archive.read_bytes()
    if damage == "remove":
        archive.unlink()
    else:
        archive.write_bytes(content[:1000] + (b"?" + content[1001:] if damage == "alter" else b""))
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte\.gz.*git checkout -- data"):
        data.mnist_root()


def test_a_read_only_project_unpacks_elsewhere(altered_data, monkeypatch):
    atomic_write = data.atomic_write

    def refuse(path):
        if altered_data.root in path.parents:
            raise UserError("read-only file system")
        return atomic_write(path)

    monkeypatch.setattr(data, "atomic_write", refuse)
    root = data.mnist_root()
    assert root != altered_data.root
    assert len(torchvision.datasets.MNIST(root, train=False)) == 10_000


def test_workers_start_where_they_find_the_dataset(monkeypatch):
    notebook, script = types.ModuleType("__main__"), types.ModuleType("__main__")
    script.__file__ = "06_dataloader.py"
    for main, method, can_start in [
        (script, "spawn", True),
        (notebook, "spawn", False),
        (notebook, "forkserver", False),
        (notebook, "fork", True),
    ]:
        monkeypatch.setitem(sys.modules, "__main__", main)
        monkeypatch.setattr(multiprocessing, "get_start_method", lambda method=method: method)
        assert data.workers_can_start() is can_start


@pytest.mark.parametrize("samples, batch_size", [(130, 64), (128, 64), (3, 64), (7, 1)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_bulk_loader_gives_the_batches_of_a_plain_one(samples, batch_size, shuffle):
    dataset = TensorDataset(torch.randn(samples, 1, 2, 3), torch.arange(samples))
    plain = DataLoader(dataset, batch_size=batch_size, shuffle=shuffle)
    bulk = data.bulk_loader(dataset, batch_size, shuffle)
    assert len(bulk) == len(plain)
    for loader in (plain, bulk):
        torch.manual_seed(1)
        loader.seen = [batch for epoch in range(2) for batch in loader]
    assert len(bulk.seen) == len(plain.seen)
    for (inputs, labels), (plain_inputs, plain_labels) in zip(bulk.seen, plain.seen, strict=True):
        assert torch.equal(inputs, plain_inputs) and torch.equal(labels, plain_labels)


def test_bulk_batches_are_born_on_the_device_of_the_data():
    dataset = TensorDataset(torch.empty(10, 3, device="meta"))
    loader = data.bulk_loader(dataset, 4, shuffle=True)
    assert [index.device.type for index in loader.sampler] == ["meta"] * 3
    assert [inputs.device.type for (inputs,) in loader] == ["meta"] * 3


def test_several_texts_are_read_as_one(tmp_path):
    for name, text in [("a.txt", "one"), ("b.md", "二")]:
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "c.txt").write_text("with a mark", encoding="utf-8-sig")
    paths = [tmp_path / name for name in ("a.txt", "b.md", "c.txt")]
    assert data.read_texts(paths) == "one\n二\nwith a mark"


@pytest.mark.parametrize(
    "content, problem",
    [(None, "No such file"), (b"", "empty"), (b" \n", "empty"), (b"\xff", "not text in UTF-8")],
)
def test_what_is_no_text_is_named(content, problem, tmp_path):
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=problem) as error:
        data.read_texts([path])
    assert str(path) in str(error.value)
