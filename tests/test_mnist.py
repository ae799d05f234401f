"""MNIST as loaded: the official data, whatever has happened to the unpacked files, and never from the network."""

import gzip
import shutil
import socket
import urllib.request

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST

import part2.mnist
from common.cli import UserError
from part2.mnist import ROOT, UNPACKED, load_mnist

RAW = ROOT / "MNIST" / "raw"


class NetworkTouched(Exception):
    pass


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise NetworkTouched

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture
def scratch(tmp_path):
    """A data folder that holds the archives alone, as in a fresh clone."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for archive in RAW.glob("*.gz"):
        shutil.copyfile(archive, raw / archive.name)
    return tmp_path


@pytest.fixture
def unpacked(scratch):
    load_mnist("test", scratch)
    return scratch


@pytest.fixture(scope="module")
def test_digits():
    return load_mnist("test")


def raw_bytes(archive: str, header: int) -> np.ndarray:
    """What an archive holds behind its header, read without torchvision."""
    return np.frombuffer(gzip.decompress((RAW / archive).read_bytes()), dtype=np.uint8)[header:]


def flip_a_byte(path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


def same(a, b) -> bool:
    return torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels)


@pytest.mark.parametrize(("split", "n"), [("train", 60_000), ("test", 10_000)])
def test_shapes_types_and_range(split, n):
    images, labels = load_mnist(split)
    assert (images.shape, images.dtype) == ((n, 1, 28, 28), torch.float32)
    assert (labels.shape, labels.dtype) == ((n,), torch.int64)
    assert (images.min(), images.max()) == (-1, 1)


@pytest.mark.parametrize(
    ("split", "first", "counts"),
    [
        ("train", [5, 0, 4, 1, 9], [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
        ("test", [7, 2, 1, 0, 4], [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
    ],
)
def test_labels_are_the_published_ones(split, first, counts):
    labels = load_mnist(split).labels
    assert labels[:5].tolist() == first
    assert labels.bincount().tolist() == counts


def test_images_and_labels_are_the_archives_bytes(test_digits):
    pixels = raw_bytes("t10k-images-idx3-ubyte.gz", 16).reshape(10_000, 1, 28, 28)
    np.testing.assert_allclose(test_digits.images.numpy(), pixels / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(test_digits.labels.numpy(), raw_bytes("t10k-labels-idx1-ubyte.gz", 8))


def test_a_fresh_clone_unpacks_by_itself(scratch, test_digits):
    assert same(load_mnist("test", scratch), test_digits)
    load_mnist("train", scratch)
    assert all((scratch / "MNIST" / "raw" / name).stat().st_size == size for name, (size, _) in UNPACKED.items())


@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_one_flipped_byte_is_put_right(unpacked, test_digits, name):
    flip_a_byte(unpacked / "MNIST" / "raw" / name, 5000)
    assert same(load_mnist("test", unpacked), test_digits)


def test_the_check_does_the_work(unpacked, test_digits, monkeypatch):
    """A mutant that believes every file loads the flipped byte."""
    monkeypatch.setattr(part2.mnist, "_is_sound", lambda path: True)
    flip_a_byte(unpacked / "MNIST" / "raw" / "t10k-images-idx3-ubyte", 5000)
    loaded = load_mnist("test", unpacked)
    assert (loaded.images != test_digits.images).sum() == 1


def test_a_short_file_is_put_right(unpacked, test_digits):
    with (unpacked / "MNIST" / "raw" / "t10k-images-idx3-ubyte").open("r+b") as file:
        file.truncate(1_000_000)
    assert same(load_mnist("test", unpacked), test_digits)


def test_labels_in_another_order_are_put_right(unpacked, test_digits):
    """A file of the right size and form, but not MNIST's."""
    path = unpacked / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    data = path.read_bytes()
    path.write_bytes(data[:8] + data[8:][::-1])
    assert same(load_mnist("test", unpacked), test_digits)


def test_training_images_are_checked_too(scratch):
    load_mnist("train", scratch)
    labels = scratch / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    flip_a_byte(labels, 8)
    assert load_mnist("train", scratch).labels[0] == 5
    assert labels.read_bytes()[8] == 5


def test_what_an_older_torchvision_left_is_not_believed(unpacked, test_digits):
    """It kept tensors of its own in MNIST/processed, which today's torchvision still prefers to the raw files."""
    processed = unpacked / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(10, 28, 28, dtype=torch.uint8), torch.full((10,), 9)), processed / name)
    assert same(load_mnist("test", unpacked), test_digits)


def test_a_damaged_archive_is_named(scratch):
    flip_a_byte(scratch / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz", 100_000)
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte\.gz: is damaged .* git checkout"):
        load_mnist("test", scratch)


def test_a_missing_archive_is_named(scratch):
    (scratch / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte\.gz: is missing; .* git checkout"):
        load_mnist("train", scratch)


def test_torchvisions_own_class_would_ask_the_network(scratch):
    """And these tests would see it."""
    (scratch / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(NetworkTouched):
        MNIST(scratch, download=True)


def test_a_damaged_archive_does_no_harm_once_unpacked(unpacked, test_digits):
    (unpacked / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz").unlink()
    assert same(load_mnist("test", unpacked), test_digits)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="raw"):
        load_mnist("test", tmp_path)
