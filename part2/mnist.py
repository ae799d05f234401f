"""MNIST as one verified tensor in memory."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import filelock
import torch
from torchvision import datasets

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

    torchvision checks the archives' MD5 sums and unpacks them, but believes whatever lies unpacked already. Here those
    files are checked whenever they are loaded: a damaged one is unpacked anew, a damaged archive is a UserError.
    Nothing is ever downloaded.
    """
    prefix = {"train": "train", "test": "t10k"}[split]
    raw = root / "MNIST" / "raw"
    try:
        with filelock.FileLock(raw / ".lock"):  # of several processes, one unpacks
            for name in UNPACKED:
                if name.startswith(prefix) and not _is_sound(raw / name):
                    (raw / name).unlink(missing_ok=True)
            if not all((raw / name).exists() for name in UNPACKED):
                _check_archives(raw)
            mnist = datasets.MNIST(root, train=split == "train", download=True)
    except OSError as error:
        raise UserError(f"{raw}: cannot be read or unpacked into ({error.strerror or error})") from None
    return Digits(mnist.data.unsqueeze(1).float().div_(127.5).sub_(1), mnist.targets)


def _is_sound(path: Path) -> bool:
    size, sha256 = UNPACKED[path.name]
    if not path.exists() or path.stat().st_size != size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _check_archives(raw: Path) -> None:
    """UserError if an archive is missing or damaged: torchvision would go to the network for it."""
    for name, md5 in datasets.MNIST.resources:
        try:
            found = hashlib.md5((raw / name).read_bytes()).hexdigest()
        except FileNotFoundError:
            found = None
        if found != md5:
            what = "is missing" if found is None else f"is damaged (MD5 {found}, not {md5})"
            raise UserError(f"{raw / name}: {what}; bring it back with: git checkout -- data/MNIST/raw")
