"""MNIST as loaded: the official data or an error, never from the network, and nothing written."""

import gzip
import shutil
import socket

from common.cli import UserError
from part2 import images
from part2.images import RAW, load_mnist
from tests.tiny_runs import files_of

import numpy as np
import pytest
import torch

FIRST = {"train": [5, 0, 4, 1, 9], "test": [7, 2, 1, 0, 4]}
COUNTS = {"train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]}
COUNTS |= {"test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]}


@pytest.mark.parametrize("split", FIRST)
def test_images_and_labels_are_the_published_ones(mnist, split):
    pixels, labels = mnist[split]
    assert (pixels.shape, pixels.dtype) == ((sum(COUNTS[split]), 1, 28, 28), torch.float32)
    assert (pixels.min(), pixels.max()) == (-1, 1)
    assert labels[:5].tolist() == FIRST[split] and labels.bincount().tolist() == COUNTS[split]


def test_pixels_are_the_archives_bytes_and_a_damaged_or_missing_archive_is_named(mnist, tmp_path, monkeypatch):
    """No network is asked, nothing is written. Damaged is what is sound, but not MNIST's."""
    content = gzip.decompress((RAW / "t10k-images-idx3-ubyte.gz").read_bytes())
    pixels = np.frombuffer(content, dtype=np.uint8)[16:].reshape(10_000, 1, 28, 28)
    np.testing.assert_allclose(mnist["test"].images.numpy(), pixels / 127.5 - 1, atol=1e-6)
    for archive in RAW.glob("t10k*.gz"):
        shutil.copyfile(archive, tmp_path / archive.name)
    before = files_of(tmp_path)
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setattr(images, "RAW", tmp_path)
    assert torch.equal(load_mnist("test").images, mnist["test"].images) and files_of(tmp_path) == before
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    labels = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(labels[:8] + labels[8:][::-1]))
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz: is damaged .* git checkout -- data"):
        load_mnist("test")
    path.unlink()
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz: cannot be read .* git checkout -- data"):
        load_mnist("test")
