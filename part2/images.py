"""Images from files, of any program: in the shape and the range in which they are judged."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from common.cli import UserError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
AT_LEAST = 100


def load_images(path: Path) -> torch.Tensor:
    """The images in a folder of pictures or in a file .npy, as float32 (n, 1, 28, 28) in [−1, 1].

    A folder: every picture in it and below it, 28 × 28 pixels each, by name. A file: an array (n, 28, 28),
    (n, 1, 28, 28), (n, 28, 28, 1) or (n, 784), of bytes, or of numbers in [−1, 1], [0, 1] or [0, 255]; if one is
    negative the range is taken to be the first, else if one is above 1 the last. UserError for anything else.
    """
    if not path.exists():
        raise UserError(f"--images {path}: there is no such file or folder")
    images = _from_folder(path) if path.is_dir() else _from_array(path)
    if len(images) < AT_LEAST:
        raise UserError(f"--images {path}: holds {len(images)} images; judging needs at least {AT_LEAST}")
    return images


def _from_folder(folder: Path) -> torch.Tensor:
    pictures = []
    for file in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        try:
            with Image.open(file) as picture:
                pixels = np.asarray(picture.convert("L"))
        except (OSError, UnidentifiedImageError) as error:
            raise UserError(f"--images {file}: cannot be read as a picture ({error})") from None
        if pixels.shape != (28, 28):
            height, width = pixels.shape
            raise UserError(
                f"--images {file}: has {width} × {height} pixels; scale the pictures to 28 × 28, as MNIST's"
            )
        pictures.append(pixels)
    if not pictures:
        raise UserError(f"--images {folder}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return _in_range(torch.from_numpy(np.stack(pictures)), folder)


def _from_array(file: Path) -> torch.Tensor:
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"--images {file}: is neither a folder nor an array that np.save wrote ({error})") from None
    shape = getattr(array, "shape", ())
    if shape[1:] not in ((28, 28), (1, 28, 28), (28, 28, 1), (784,)) or array.dtype.kind not in "uif":
        raise UserError(
            f"--images {file}: holds {getattr(array, 'dtype', 'several arrays')} of the shape {shape}; "
            "expected numbers of the shape (n, 28, 28), (n, 1, 28, 28), (n, 28, 28, 1) or (n, 784)"
        )
    return _in_range(torch.from_numpy(array.astype(np.float32)), file)


def _in_range(pixels: torch.Tensor, path: Path) -> torch.Tensor:
    """Pixels of any of the three ranges, to [−1, 1]."""
    pixels = pixels.float().reshape(-1, 1, 28, 28)
    if not len(pixels):
        return pixels
    low, high = pixels.min().item(), pixels.max().item()
    if not (low >= -1 and high <= (1 if low < 0 else 255)):  # true for nan too
        raise UserError(f"--images {path}: pixels reach from {low:g} to {high:g}; give [-1, 1], [0, 1] or [0, 255]")
    if low < 0:
        return pixels
    return pixels / (127.5 if high > 1 else 0.5) - 1
