"""MNIST as a tensor in memory, read and checked from the archives that come with the project."""

import gzip
import hashlib
from pathlib import Path
from typing import NamedTuple

from common.cli import UserError

import torch

RAW = Path(__file__).resolve().parents[1] / "data" / "MNIST" / "raw"
MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


class Digits(NamedTuple):
    """images: float32 (n, 1, 28, 28) in [−1, 1]; labels: int64 (n,), −1 where there are none."""

    images: torch.Tensor
    labels: torch.Tensor


def load_mnist(split: str) -> Digits:
    """The 60,000 images of split "train" or the 10,000 of split "test".

    Nothing is downloaded, and nothing is unpacked on the disk. UserError if an archive is not the official one.
    """
    prefix = {"train": "train", "test": "t10k"}[split]
    pixels = _read(RAW / f"{prefix}-images-idx3-ubyte.gz", header=16).view(-1, 1, 28, 28)
    labels = _read(RAW / f"{prefix}-labels-idx1-ubyte.gz", header=8)
    return Digits(pixels.float().div_(127.5).sub_(1), labels.long())


def _read(archive: Path, header: int) -> torch.Tensor:
    """The bytes that an archive holds after its header."""
    try:
        data = archive.read_bytes()
    except OSError as error:
        raise UserError(f"{archive}: cannot be read ({error.strerror}); restore it: git checkout -- data") from None
    if (found := hashlib.md5(data, usedforsecurity=False).hexdigest()) != MD5[archive.name]:
        raise UserError(f"{archive}: is damaged (MD5 {found}); restore it: git checkout -- data")
    return torch.frombuffer(bytearray(gzip.decompress(data)), dtype=torch.uint8, offset=header)
