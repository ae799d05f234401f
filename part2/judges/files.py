"""Loads images made by any program, in the shape and range that the judge expects."""

import zipfile
from pathlib import Path

from common.cli import UserError

import numpy as np
import torch
from PIL import Image

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
AT_LEAST = 100


def load_images(path: Path) -> torch.Tensor:
    """The images in a folder of pictures or in a file .npy, as float32 (n, 1, 28, 28) in [−1, 1].

    A folder: every picture in it and below it, 28 × 28 pixels of 8 bits each, by name. A file: an array (n, 28, 28),
    (n, 1, 28, 28), (n, 28, 28, 1) or (n, 784) of numbers in [0, 1], [−1, 1] or [0, 255]; the least and the greatest of
    them tell which, and may lie a hundredth outside. UserError for anything else.
    """
    if not path.exists():
        raise UserError(f"--images {path}: there is no such file or folder")
    if path.is_dir():
        pictures = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        if not pictures:
            raise UserError(f"--images {path}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
        images = _in_range(np.stack([_read(file) for file in pictures]), path)
    else:
        images = _in_range(_from_array(path), path)
    if len(images) < AT_LEAST:
        raise UserError(f"--images {path}: holds {len(images)} images; judging needs at least {AT_LEAST}")
    return images


def _read(file: Path) -> np.ndarray:
    try:
        with Image.open(file) as picture:
            mode, (width, height) = picture.mode, picture.size
            if (width, height) != (28, 28):
                wrong = f"has {width} × {height} pixels; scale the pictures to 28 × 28, as MNIST's"
            elif mode[0] in "IF":
                wrong = f"has pixels of more than 8 bits (mode {mode}); save the pictures with 8 bits"
            elif picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                wrong = "is transparent; save the pictures without an alpha channel"
            else:
                return np.asarray(picture.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        wrong = f"cannot be read as a picture ({error})"
    raise UserError(f"--images {file}: {wrong}")


def _from_array(file: Path) -> np.ndarray:
    try:
        with file.open("rb") as data:  # np.load leaves a damaged file open
            array = np.load(data, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"--images {file}: is neither a folder nor an array that np.save wrote ({error})") from None
    shape, kind = getattr(array, "shape", ()), getattr(array, "dtype", "several arrays")
    if shape[1:] not in ((28, 28), (1, 28, 28), (28, 28, 1), (784,)) or kind.kind not in "uif":
        expected = "expected numbers of the shape (n, 28, 28), (n, 1, 28, 28), (n, 28, 28, 1) or (n, 784)"
        raise UserError(f"--images {file}: holds {kind} of the shape {shape}; {expected}")
    return array


def _in_range(array: np.ndarray, path: Path) -> torch.Tensor:
    """Pixels of any of the three ranges, to [−1, 1]."""
    pixels = torch.from_numpy(array.astype(np.float32)).reshape(-1, 1, 28, 28)
    low, high = (pixels.min().item(), pixels.max().item()) if len(pixels) else (0, 0)
    if low >= -0.01 and high <= 1.01:
        pixels = 2 * pixels - 1
    elif low >= -2.55 and 2 <= high <= 257.55:
        pixels = pixels / 127.5 - 1
    elif not (-1.02 <= low <= -0.5 and high <= 1.02):  # true for nan too
        what = f"pixels reach from {low:g} to {high:g}"
        raise UserError(f"--images {path}: {what}; expected [0, 1], [-1, 1] or [0, 255]")
    return pixels.clamp(-1, 1)
