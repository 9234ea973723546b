"""common/data.py: the data is what it should be, and batches come whole."""

import gzip
import os
import threading
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms

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


def test_the_checksums_are_torchvisions():
    assert dict(torchvision.datasets.MNIST.resources) == data.ARCHIVES


@pytest.mark.parametrize("train", [True, False])
def test_mnist_is_read_as_torchvision_reads_and_transforms_it(train):
    """Bit for bit."""
    root = data.mnist_root()
    images, labels = data.read_mnist(root, train)
    dataset = torchvision.datasets.MNIST(root, train=train, transform=NORMALIZE)
    assert images.shape == (len(dataset), 1, 28, 28)
    assert torch.equal(labels, dataset.targets) and labels.dtype == torch.int64
    assert all(torch.equal(images[i], dataset[i][0]) for i in range(0, len(dataset), 97))


class Digits(torch.utils.data.Dataset):
    """Stands in for torchvision's MNIST: a few images of noise."""

    def __init__(self, samples, transform):
        generator = torch.Generator().manual_seed(0)
        self.data = torch.randint(0, 256, (samples, 28, 28), dtype=torch.uint8, generator=generator)
        self.targets, self.transform = torch.arange(samples) % 10, transform

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        return self.transform(Image.fromarray(self.data[i].numpy())), int(self.targets[i])


NORMALIZE = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])


@pytest.mark.parametrize("samples, batch_size", [(130, 64), (128, 64), (13, 64), (17, 1)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_kept_in_memory_the_batches_stay_the_same(samples, batch_size, shuffle):
    """Bit for bit, and without fetching a single image."""
    batches = []
    for kept in (False, True):
        dataset = Digits(samples, NORMALIZE)
        if kept:
            data.keep_in_memory(dataset)
            dataset.transform = None  # it would fail
        loader = DataLoader(dataset, batch_size=batch_size, shuffle=shuffle)
        torch.manual_seed(1)
        batches.append([batch for epoch in range(2) for batch in loader])
    for one, other in zip(*batches, strict=True):
        assert type(one) is type(other) is list
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def test_more_than_a_thousand_images_are_kept_in_their_order():
    dataset = Digits(2500, NORMALIZE)
    data.keep_in_memory(dataset)
    for i in (0, 999, 1000, 1001, 2499):
        ((images, labels),) = dataset.__getitems__([i])
        assert torch.equal(images[0], dataset[i][0]) and labels.tolist() == [i % 10]


@pytest.mark.parametrize(
    "extra",
    [
        transforms.RandomRotation(30),
        transforms.RandomHorizontalFlip(0.001),  # hardly ever seen to do something
        transforms.Pad(2),
        transforms.Grayscale(3),
    ],
)
def test_a_transform_of_more_than_single_pixels_is_applied_image_by_image(extra):
    """It may be another one each time."""
    dataset = Digits(30, transforms.Compose([extra, NORMALIZE]))
    data.keep_in_memory(dataset)
    assert not hasattr(dataset, "__getitems__")
    images, labels = next(iter(DataLoader(dataset, batch_size=4)))
    assert len(images) == 4 and labels.tolist() == [0, 1, 2, 3]


def test_other_labels_than_the_datasets_own_stay_other(monkeypatch):
    """As a target_transform makes them."""
    dataset = Digits(30, NORMALIZE)
    monkeypatch.setattr(
        Digits, "__getitem__", lambda self, i: (self.transform(Image.new("L", (28, 28))), i % 2)
    )
    dataset.data.zero_()
    data.keep_in_memory(dataset)
    assert next(iter(DataLoader(dataset, batch_size=4)))[1].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("line", ["   ", "\t", "  # note"])
def test_a_line_of_spaces_does_no_harm(line, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"1,2,0\n2,1,1\n{line}\n")
    table = np.loadtxt(data.check_table(path), delimiter=",")
    assert table.tolist() == [[1, 2, 0], [2, 1, 1]]


def test_a_table_is_read_as_it_is_or_as_a_plain_copy(tmp_path):
    """np.loadtxt opens a file in the system's encoding, so the copy has numbers only."""
    plain = tmp_path / "plain.csv"
    plain.write_text("# a, b\n1,2,0\n\n2,1,1\n")
    assert data.check_table(plain) == plain
    for encoding in ("utf-8", "utf-8-sig"):
        chinese = tmp_path / "数据.csv"
        chinese.write_text("# 血糖,标签\n1, 2,0\n2,1,1  # 是\n", encoding=encoding)
        copy = data.check_table(chinese)
        assert copy != chinese and copy.read_bytes().isascii()
        assert np.loadtxt(copy, delimiter=",").tolist() == [[1, 2, 0], [2, 1, 1]]


@pytest.mark.parametrize("cell", ["１２", " 12\t", "1.2e1", "+12", "12.", "٣١", "\u300012"])
def test_a_number_in_any_writing_is_the_same_for_all_who_read_it(cell, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"{cell}，0\n5,1\n", encoding="utf-8")
    number = 31 if cell == "٣١" else 12
    assert np.loadtxt(data.check_table(path), delimiter=",").tolist() == [[number, 0], [5, 1]]


@pytest.mark.parametrize("cell", ["4_0", "0x10", "inf", "nan", "1e39", "1,5", "", "yes"])
def test_what_is_no_number_is_told_with_its_line(cell, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"# a,b\n\n5,1\n  \n{cell},0\n")
    with pytest.raises(UserError, match="line 5: "):
        data.check_table(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes with names")
def test_a_pipe_is_read_once(tmp_path):
    """--csv <(sort table.csv)"""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("1,2,0\n2,1,1\n",))
    writer.start()
    path = data.check_table(pipe)
    writer.join()
    assert path != pipe and np.loadtxt(path, delimiter=",").tolist() == [[1, 2, 0], [2, 1, 1]]


def test_sixteen_digits_are_kept(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("13900000001.5,0\n13900000002.5,1\n\n", encoding="utf-8-sig")
    table = np.loadtxt(data.check_table(path), delimiter=",")
    assert table.tolist() == [[13900000001.5, 0], [13900000002.5, 1]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_text_is_read(encoding, tmp_path):
    (tmp_path / "a.txt").write_text("one\n二", encoding=encoding)
    assert data.read_text(tmp_path / "a.txt", "a text") == "one\n二"


@pytest.mark.parametrize(
    "content, problem",
    [
        (None, "No such file"),
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xff", "not text in UTF-8"),
        ("床前明月光".encode("gb18030"), "not text in UTF-8"),
        *[
            ("text".encode(encoding), "looks like UTF-16. Save it as UTF-8")
            for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")
        ],
        ("床前明月光".encode("utf-16"), "looks like UTF-16. Save it as UTF-8"),
        (b"\xfe\xff" + "床前明月光".encode("utf-16-be"), "looks like UTF-16. Save it as UTF-8"),
    ],
)
def test_what_is_no_text_is_named(content, problem, tmp_path):
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=problem) as error:
        data.read_text(path, "a text")
    assert str(path) in str(error.value) and "Expected a text." in str(error.value)


def test_texts_are_joined_and_wildcards_expanded(tmp_path):
    (tmp_path / "a.txt").write_text("first", encoding="utf-8")
    (tmp_path / "b.txt").write_text("second", encoding="utf-8")
    assert data.read_texts([tmp_path / "b.txt", tmp_path / "a.txt"], 1) == "second\nfirst"
    assert data.read_texts([tmp_path / "*.txt"], 12) == "first\nsecond"
    with pytest.raises(UserError, match=r"12 characters, too few: at least 1,300 .* --text"):
        data.read_texts([tmp_path / "*.txt"], 1300)
    (tmp_path / "c.txt").write_bytes("third".encode("utf-16"))
    with pytest.raises(UserError, match=r"c\.txt: it looks like UTF-16"):
        data.read_texts([tmp_path / "*.txt"], 1)


def test_without_a_file_the_text_is_pydocs():
    assert data.read_texts([], 100_000) == "\n".join(topics.values())
