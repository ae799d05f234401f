"""Draw new images as files.

    python part2/sample.py --n 100 --digit 7
    python part2/sample.py --n 10000 --npy --run outputs/pretrained/generator

Writes a folder outputs/part2/sample-seedN-TIME with images/00000.png, images/00001.png, … (with --npy: images.npy,
uint8 (n, 28, 28)), sheet.png (the first 100) and result.json. part2/evaluate.py --images FOLDER/images reads them back.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli, seeds
from common.figures import save_picture, tile
from common.runs import Run, path_as_text
from part2.gan import Generator
from part2.judges.judge import sample
from part2.judges.networks import CONFIDENT, load_classifier
from part2.networks.trained import find_generator, load_generator

import numpy as np
import torch
from PIL import Image


@torch.no_grad()
def sample_digit(generator: Generator, seed: int, n: int, digit: int) -> torch.Tensor:
    """n images (n, 1, 28, 28) of a digit. A generator that knows labels is asked for it. From another one, as many are
    drawn as it takes until a classifier reads n of them as the digit with confidence."""
    device, rng, found = next(generator.parameters()).device, seeds.generator(seed, "evaluate"), []
    if generator.labels:
        if digit >= generator.labels:
            raise cli.UserError(f"--digit {digit}: this generator knows the labels from 0 to {generator.labels - 1}")
        z = generator.draw(n, rng, torch.full((n,), digit)).to(device)
        return torch.cat([generator(part) for part in z.split(1000)])
    classifier = load_classifier().to(device)
    while (so_far := sum(map(len, found))) < n:
        if len(found) >= 20 and so_far < len(found):  # less than one in a thousand
            what = f"the classifier reads only {so_far} of {len(found)},000 images as a {digit} with confidence"
            raise cli.UserError(f"--digit {digit}: {what}; train the generator for longer, or name another --run")
        images = generator(generator.draw(1000, rng).to(device))
        found.append(images[classifier.read(images)[:, digit] >= CONFIDENT])
    return torch.cat(found)[:n]


def write_images(args: argparse.Namespace) -> Path:
    """Draw images with one generator and write them; returns the folder."""
    source = find_generator(args.run)
    generator = load_generator(source).to(args.device)
    of = generator, args.seed, args.n
    images = sample(*of) if args.digit is None else sample_digit(*of, args.digit)
    run = Run.open(args, "part2/sample.py", f"part2/sample-seed{args.seed}")
    pixels = [tile(image.unsqueeze(0), 1) for image in images]
    target = run.folder / ("images.npy" if args.npy else "images")
    if args.npy:
        np.save(target, pixels)
    else:
        target.mkdir()
        for k, image in enumerate(pixels):
            Image.fromarray(image).save(target / f"{k:05d}.png")
    save_picture(tile(images[:100], 10), run.folder / "sheet.png")
    run.finish({"generator": path_as_text(source), "images": len(images)})
    print(f"{len(images):,} images: {target}\nthe first ones: {run.folder / 'sheet.png'}")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--n", type=cli.int_between(1, 100_000), default=100, help="number of images")
    parser.add_argument("--digit", type=cli.int_between(0, 9), help="only images that a classifier reads as this digit")
    parser.add_argument("--npy", action="store_true", help="write one array instead of pictures")
    parser.add_argument("--run", type=Path, help=cli.RUN)
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.call(lambda: write_images(parse_args()))
