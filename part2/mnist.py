"""MNIST as one verified tensor in memory."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import filelock
import torch
from torchvision.datasets import MNIST
from torchvision.datasets.mnist import read_image_file, read_label_file
from torchvision.datasets.utils import calculate_md5, extract_archive

from common.cli import UserError

ROOT = Path(__file__).resolve().parents[1] / "data"

# The unpacked files: bytes and SHA-256. The archives' MD5 sums are torchvision's own.
UNPACKED = {
    "train-images-idx3-ubyte": (47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": (60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": (7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": (10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}


class Digits(NamedTuple):
    """images: float32 (n, 1, 28, 28) in [−1, 1]; labels: int64 (n,)."""

    images: torch.Tensor
    labels: torch.Tensor


def load_mnist(split: str, root: Path = ROOT) -> Digits:
    """The 60,000 images of split "train" or the 10,000 of split "test".

    The unpacked files are checked whenever they are loaded, which torchvision's own class never does; a missing or
    damaged one is unpacked from its archive, a damaged archive is a UserError. Nothing is ever downloaded.
    """
    prefix = {"train": "train", "test": "t10k"}[split]
    raw = root / "MNIST" / "raw"
    names = [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]
    try:
        if not all(_is_sound(raw / name) for name in names):
            with filelock.FileLock(raw / ".lock"):  # of several processes, one unpacks
                for name in names:
                    if not _is_sound(raw / name):
                        _unpack(raw / f"{name}.gz")
        images, labels = read_image_file(str(raw / names[0])), read_label_file(str(raw / names[1]))
    except OSError as error:
        raise UserError(f"{raw}: cannot be read or unpacked into ({error.strerror or error})") from None
    return Digits(images.unsqueeze(1).float().div_(127.5).sub_(1), labels)


def _is_sound(path: Path) -> bool:
    size, sha256 = UNPACKED[path.name]
    if not path.exists() or path.stat().st_size != size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _unpack(archive: Path) -> None:
    """Unpack an archive beside itself; UserError if it is missing or not the official one."""
    found = calculate_md5(archive) if archive.exists() else None
    expected = dict(MNIST.resources)[archive.name]
    if found != expected:
        what = f"is damaged (MD5 {found}, not {expected})" if found else "is missing"
        raise UserError(f"{archive}: {what}; bring it back with: git checkout -- data/MNIST/raw")
    extract_archive(str(archive), str(archive.parent))
