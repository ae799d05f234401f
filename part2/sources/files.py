"""Images of one's own: a folder of pictures, an array, archives of MNIST's form, a data set of torchvision's."""

import argparse
import gzip
import struct
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

from common import seeds
from common.cli import UserError, existing_or_new, print_line, progress_bar
from common.files import reading
from common.machine import ROOT
from part2.images import Digits, load_mnist

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
DATA_SETS = ("FashionMNIST", "KMNIST", "EMNIST-letters", "EMNIST-digits")  # torchvision loads them into data/
EPOCH = 60_000  # images in an epoch, as MNIST has them: fewer come several times
AT_LEAST, MOST = 100, {"train": EPOCH, "test": 10_000, "any": 10_000}  # images
EXPECTED = f"a folder of pictures, a .npy file, archives of MNIST's form or one of {', '.join(DATA_SETS)}"
HELP = f"{EXPECTED}; {AT_LEAST} or more of 28 × 28 grey pixels in [0, 1], [-1, 1] or [0, 255], light on dark as MNIST's"


def add_image_flags(parser: argparse.ArgumentParser, purpose: str) -> None:
    """--images, --resize and --grey. A path becomes absolute, so that a resumed run finds it from any folder."""

    def source(text: str) -> str:
        return text if text in ("MNIST", *DATA_SETS) else str(existing_or_new(text).absolute())

    parser.add_argument("--images", type=source, metavar="SOURCE", help=f"{purpose}: {HELP}")
    parser.add_argument("--resize", action="store_true", help="scale --images of any shape to 28 × 28")
    parser.add_argument("--grey", action="store_true", help="turn coloured --images into grey ones")


def count_labels(labels: torch.Tensor) -> int:
    """How many kinds of images there are, by their labels; UserError unless these are 0, 1, …, each with images."""
    if labels.min() < 0:
        raise UserError("--recipe: it needs labels, and these images have none; choose one without, such as improved")
    if (missing := labels.bincount().argmin().item()) not in labels:
        raise UserError(f"--recipe: it needs images of each label, and {missing} has none; give more images")
    return labels.max().item() + 1


class Source(NamedTuple):
    """Where images come from: MNIST, another data set or a path; and what may be done to them."""

    name: str = "MNIST"
    resize: bool = False
    grey: bool = False

    def load(self, split: str, seed: int = 0) -> Digits:
        """The images of split "train", 60,000 at most, or "test", 10,000 at most. If the source has no test images of
        its own, a seventh of its images is held out for them. Or "any" 10,000 of all images, drawn at random."""
        if self.name == "MNIST" and split != "any":
            return load_mnist(split)
        found = _find(self.name)
        stored, labels = found.get(split, found["train"])
        index = torch.randperm(len(stored), generator=seeds.generator(seed, "order")).numpy()
        n = min(len(stored), MOST["train"] + MOST["test"])
        parts = {"any": index, "test": index[: n // 7], "train": index[n // 7 : n]}
        index = np.sort(index[: MOST[split]]) if "test" in found and split in found else parts[split]
        return self._read(stored, labels, index[: MOST[split]], split)

    @classmethod
    def of(cls, data: dict) -> "Source":
        """The source of the images that a checkpoint says it was trained on; MNIST if it names none."""
        return cls(**{name: data[name] for name in cls._fields if name in data})

    def describe(self, images: torch.Tensor) -> dict:
        """What a checkpoint says of the images, of this source, that it was trained on."""
        own = {} if self.name == "MNIST" else {**self._asdict(), "crc32": zlib.crc32(images.cpu().numpy())}
        return {"name": self.name, "size": len(images), **own}

    def _read(self, stored: np.ndarray | list[Path], labels: np.ndarray | None, index: np.ndarray, of: str) -> Digits:
        """The images of these indices. What was read, and how, is printed."""
        if len(stored) < AT_LEAST:
            raise UserError(f"--images {self.name}: holds {len(stored)} images; at least {AT_LEAST} are needed")
        if labels is not None and len(labels) != len(stored):
            raise UserError(f"--images {self.name}: holds {len(stored):,} images, but {len(labels):,} labels")
        if isinstance(stored, list):
            low, high, pieces = 0, 255, ((read_pixels(stored[k]), stored[k]) for k in index)
        else:
            low, high = _range(array := stored[index], self.name)
            pieces = ((piece, self.name) for piece in np.array_split(array, 1 + len(array) // 1000))
        images, labels = [], np.full(len(stored), -1) if labels is None else labels
        with progress_bar(len(index), "image", delay=1) as bar:
            for pixels, where in pieces:
                images.append(self._fit(pixels, low, high, where))
                bar.update(len(pixels))
        images = torch.cat(images)
        tone = "dark on light (MNIST's are light on dark)" if images[:1000].median() > 0 else "light on dark"
        print_line(f"{of}: {len(index):,} of {len(stored):,} images, pixels in [{low}, {high}], {tone}: {self.name}")
        return Digits(images, torch.tensor(labels[index]).long())

    def _fit(self, pixels: np.ndarray, low: int, high: int, where: Path | str) -> torch.Tensor:
        """Images of any layout, with pixels from low to high, as (n, 1, 28, 28) in [−1, 1]."""
        images = torch.from_numpy(pixels.astype(np.float32, order="C"))
        images = images.view(-1, 28, 28) if images.dim() == 2 else images
        images = images.unsqueeze(1) if images.dim() == 3 else images
        images = images.movedim(3, 1) if images.shape[3] in (1, 3) else images
        images = (images / ((high - low) / 2) - (high + low) / (high - low)).clamp(-1, 1)
        images, is_coloured = to_grey(images)
        if is_coloured and not self.grey:
            raise UserError(f"--images {where}: is coloured; --grey takes how light it is")
        if images.shape[2:] == (28, 28):
            return images
        if not self.resize:
            what = f"has {images.shape[3]} × {images.shape[2]} pixels, not 28 × 28; --resize scales it"
            raise UserError(f"--images {where}: {what} (cut sheets of many images; a run's folder is for --run)")
        return F.interpolate(images, (28, 28), mode="bilinear", antialias=True)


def to_grey(images: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """Images (n, 1 or 3, height, width) as (n, 1, height, width), and whether any was coloured."""
    if images.shape[1] == 1:
        return images, False
    is_coloured = (images.amax(1) - images.amin(1)).max().item() > 1 / 16  # compressed grey ones are a little so
    weights = torch.tensor([0.299, 0.587, 0.114] if is_coloured else [1.0, 0, 0])  # as the eye sees (BT.601)
    return torch.einsum("nchw,c->nhw", images, weights).unsqueeze(1), is_coloured


def _range(array: np.ndarray, name: str) -> tuple[int, int]:
    """The range of the pixels, by the least and the greatest, which may lie a hundredth outside."""
    shape, kind = array.shape, array.dtype
    is_image = shape[1:] == (784,) or len(shape) == 3 or (len(shape) == 4 and {1, 3} & {shape[1], shape[3]})
    if not is_image or kind.kind not in "buif":
        expected = "numbers of the shape (n, 28, 28), (n, 1, 28, 28), (n, 28, 28, 1) or (n, 784)"
        raise UserError(f"--images {name}: holds {kind} of the shape {shape}; expected {expected}")
    low, high = array.min().item(), array.max().item()
    if kind in (np.uint8, np.bool_):
        return 0, 1 if high <= 1 else 255
    for a, b in ((0, 1), (-1, 1), (0, 255)):
        if a - (b - a) / 100 <= low <= a + (b - a) / 8 and (a + b) / 2 <= high <= b + (b - a) / 100:
            return a, b
    what = f"pixels reach from {low:g} to {high:g}"
    raise UserError(f"--images {name}: {what}; expected [0, 1], [-1, 1] or [0, 255], and nearly all of it")


def _find(name: str) -> dict[str, tuple[np.ndarray | list[Path], np.ndarray | None]]:
    """Split → its images, as an array or as files, and their labels. A source has "train", and may have "test"."""
    path = Path(name)
    if name in DATA_SETS:
        kind, _, part = name.partition("-")
        try:
            from torchvision import datasets

            getattr(datasets, kind)(ROOT / "data", download=True, **({"split": part} if part else {}))
        except Exception as error:  # no network, no torchvision: it raises many types
            how = "without a network, name a folder with its archives"
            raise UserError(f"--images {name}: torchvision cannot load it into data ({error}); {how}") from None
        path = ROOT / "data" / kind / "raw" / (f"emnist-{part}-train-images-idx3-ubyte" if part else "")
    if path.is_dir():
        files = [file for file in path.rglob("*") if not file.is_dir()]
        seen = sorted(file for file in files if not any(part[0] == "." for part in file.relative_to(path).parts))
        pictures = [file for file in seen if file.suffix.lower() in SUFFIXES]
        archives = {file.name.removesuffix(".gz"): file for file in seen if "train-images" in file.name}
        if len(archives) > 1 or not (archives or pictures):
            what = f"several of {', '.join(archives)}; name one" if archives else f"no pictures ({', '.join(SUFFIXES)})"
            raise UserError(f"--images {path}: holds {what}")
        if not archives:
            if len(files) > len(pictures):
                print_line(f"left out: {len(seen) - len(pictures)} other files, {len(files) - len(seen)} hidden ones")
            return {"train": (pictures, None)}
        (path,) = archives.values()
    splits = {"train": path, "test": _beside(path, "train", "t10k") or _beside(path, "train", "test")}
    labels = {split: _beside(file, "images", "labels") for split, file in splits.items() if file}
    return {s: (_array(splits[s]), _array(file) if file else None) for s, file in labels.items()}


def _beside(path: Path, old: str, new: str) -> Path | None:
    """The archive with `new` in its name for `old`, compressed or not; None if there is none."""
    name = path.name.removesuffix(".gz").replace(old, new)
    name = name.replace("idx3", "idx1") if new == "labels" else name
    return next((file for end in ("", ".gz") if (file := path.with_name(name + end)).is_file() and file != path), None)


def _array(path: Path) -> np.ndarray:
    """The array of a .npy file, which stays on the disk, or of an archive (IDX): 0, 0, 8 for "bytes", the number of
    axes; the length of each, four bytes; the bytes. An archive may be compressed by gzip."""
    if not path.exists():
        raise UserError(f"--images {path}: there is no such file or folder, and no such data set")
    with reading(path, f"is not {EXPECTED}"):
        with path.open("rb") as file:
            if file.read(6) == b"\x93NUMPY":
                return np.atleast_1d(np.lib.format.open_memmap(path, mode="r"))
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        if data[:3] != b"\0\0\x08":
            raise ValueError("it begins as none of them does")
        shape = struct.unpack_from(f">{data[3]}I", data, 4)
        array = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)
        return array.swapaxes(1, 2) if path.name.startswith("emnist") and array.ndim == 3 else array  # stored lying


def read_pixels(file: Path) -> np.ndarray:
    """A picture's pixels, from 0 to 255: (1, height, width) or (1, height, width, 3)."""
    bombs = warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning)
    with reading(file, "is no picture that can be used"), bombs, Image.open(file) as picture:
        if picture.mode[0] in "IF":
            raise ValueError(f"it has pixels of more than 8 bits, mode {picture.mode}; save it with 8 bits")
        if getattr(picture, "n_frames", 1) > 1:
            raise ValueError("it has several frames; save each as a picture")
        if picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise ValueError("it is transparent; save it without an alpha channel")
        return np.array(ImageOps.exif_transpose(picture).convert("L" if picture.mode in "1L" else "RGB"))[None]
