"""One picture of one's own, a drawing or a photo, made ready for a generator of 28 × 28 pixels."""

import argparse
from pathlib import Path

from common.cli import UserError, print_line
from part2.sources.files import read_pixels, to_grey

import torch
import torch.nn.functional as F

BOX = 20  # pixels: MNIST's digits fit into a square of that size
WORKING_SIZE = 280  # pixels along the longer side, in which a digit is looked for
HAZE = 0.35  # of the strongest ink: weaker is paper


def add_picture_flags(parser: argparse.ArgumentParser) -> None:
    """--grey, --invert, --centre and --resize: what may be done to a picture. It is only done where it is needed."""
    add = parser.add_argument
    add("--grey", action="store_true", help="turn a coloured picture into a grey one")
    add(
        "--invert",
        action="store_true",
        help="turn a picture that is dark on light, as ink on paper, into light on dark",
    )
    add("--centre", action="store_true", help="cut the digit out, scale and centre it, on black, as MNIST's were")
    add("--resize", action="store_true", help="scale the whole picture to 28 × 28")


def is_light(images: torch.Tensor) -> bool:
    """Whether the background is light: half of the pixels or more are nearer to the lightest than to the darkest."""
    return images.median().item() > (images.max() + images.min()).item() / 2


def read_picture(file: str, args: argparse.Namespace, onto_light: bool = False) -> torch.Tensor:
    """The picture as (1, 1, 28, 28) in [−1, 1], light on dark, or dark on light if it is to be so, and a line that says
    what was done to it. If it is coloured, of another size or the other way round, and the flag that allows to mend
    that is missing, it is a UserError with all such flags."""
    pixels = torch.from_numpy(read_pixels(Path(file))).float() / 127.5 - 1
    image, is_coloured = to_grey(pixels.unsqueeze(1) if pixels.dim() == 3 else pixels.movedim(3, 1))
    (height, width), light = image.shape[2:], is_light(image)
    if image.max() - image.min() < HAZE:
        raise UserError(f"{file}: is nearly of one grey level; nothing is drawn on it")
    tone = "dark on light" if light else "light on dark"
    found = f"{file}: {'coloured, ' * is_coloured}{tone}, {width} × {height} pixels"
    resized = not args.centre and (height, width) != (28, 28)
    needed = {"grey": is_coloured, "invert": light != onto_light, "resize": resized}
    flags = [f"--{name}" for name, is_needed in needed.items() if is_needed]
    if missing := [flag for flag in flags if not getattr(args, flag[2:])]:
        raise UserError(f"{found}; add {' '.join(missing).replace('--resize', '--centre (or --resize)')}, see --help")
    print_line(f"{found}; {' '.join(flags + ['--centre'] * args.centre) or 'taken as it is'}")
    image = -image if light else image
    if args.centre:
        image = centre(image)
    elif resized:
        image = F.interpolate(image, (28, 28), mode="bilinear", antialias=True)
    longer, off = max(part.stop - part.start for part in _box(image + 1)), _middle(image + 1)
    if abs(longer - BOX) > 3 or max(abs(14 - middle) for middle in off) > 2:
        there = f"{longer} pixels long about row {off[0]:.0f}, column {off[1]:.0f}"
        print_line(f"    it is {there}; MNIST's digits are {BOX} long about 14, 14: --centre makes it so")
    return -image if onto_light else image


def centre(image: torch.Tensor) -> torch.Tensor:
    """A picture (1, 1, height, width), light on dark, as MNIST's digits were made (LeCun et al. 1998): the digit scaled
    to fit 20 × 20 pixels, its centre of mass in the middle of 28 × 28.

    Before, the darkest of the pixels around each is subtracted from it: a shadow on paper does not count.
    """
    longer = max(image.shape[2:])
    if longer > WORKING_SIZE:
        size = [max(1, round(side * WORKING_SIZE / longer)) for side in image.shape[2:]]
        image = F.interpolate(image, size, mode="bilinear", antialias=True)
    around = max(7, max(image.shape[2:]) // 8)
    ground = F.max_pool2d(-image, (2 * around + 1, 1), 1, (around, 0))
    ink = image + F.max_pool2d(ground, (1, 2 * around + 1), 1, (0, around))
    ink = ((ink / ink.max() - HAZE) / (1 - 2 * HAZE)).clamp(0, 1)
    ink = ink[:, :, *_box(ink)]
    size = [max(1, round(side * BOX / max(ink.shape[2:]))) for side in ink.shape[2:]]
    ink = F.interpolate(ink, size, mode="bilinear", antialias=True)
    top, left = (min(max(0, round(14 - at)), 28 - side) for at, side in zip(_middle(ink), size, strict=True))
    return 2 * F.pad(ink / ink.max(), (left, 28 - size[1] - left, top, 28 - size[0] - top)) - 1


def _box(ink: torch.Tensor) -> list[slice]:
    """The rows and the columns with more than half of the ink's strength."""
    there = (ink[0, 0] > ink.max() / 2).nonzero()
    return [slice(low, high + 1) for low, high in zip(there.amin(0), there.amax(0), strict=True)]


def _middle(ink: torch.Tensor) -> list[float]:
    """The centre of mass: row and column."""
    weight = ink[0, 0] / ink.sum()
    return [(weight.sum(1 - axis) @ torch.arange(float(side))).item() for axis, side in enumerate(weight.shape)]
