"""Can a generator draw digits that it has never seen?

    python part2/judges/show_inverse.py

For 1,000 test images x, from the 1,001st on, it finds the latent point z whose image is nearest to x
(part2/networks/inverse.py; the constants of that search were chosen on the first 300 test images). Writes a folder
outputs/part2/show_inverse-seedN-TIME with found.png, the first twelve, and result.json:

    ratio           |G(z) − x| ÷ the distance from x to the nearest training image, median over x
    nearer          share of x with a ratio below 1
    read_alike      share of x such that a classifier reads G(z) as the digit that it reads x as

Without --run, it takes the newest finished run of train_gan.py in outputs/part2, else the pretrained generator. Takes
some minutes on one thread.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common import cli
from common.runs import Run, path_as_text
from part2.judges.networks import load_classifier
from part2.networks.inverse import Found, draw_found, find, images_of
from part2.networks.trained import find_generator, load_generator

import torch

SHOWN = 12  # digits in found.png
AT_ONCE = 50  # digits for which a latent point is looked for together


def show_inverse(args: argparse.Namespace) -> Path:
    """Find the latent points of one generator and measure how near they come; returns the folder."""
    source = find_generator(args.run)
    generator, classifier = load_generator(source).to(args.device), load_classifier().to(args.device)
    training, test = (images_of(source, split).to(args.device) for split in ("train", "test"))
    pictures, parts = test[args.first : args.first + args.n], []
    if not len(pictures):
        raise cli.UserError(f"--first {args.first}: there are {len(test):,} test images")
    run = Run.open(args, "part2/judges/show_inverse.py", f"part2/show_inverse-seed{args.seed}")
    with cli.progress_bar(len(pictures), "image") as bar:
        for part in pictures.split(AT_ONCE):
            parts.append(find(generator, part, training, args.seed))
            bar.update(len(part))
    found = Found(*map(torch.cat, zip(*parts, strict=True)))
    ratio, reads = found.error / found.distance, (classifier.read(x).argmax(1) for x in (pictures, found.images))
    result = {"images": len(pictures), "ratio": ratio.median().item(), "nearer": (ratio < 1).double().mean().item()}
    result["read_alike"] = torch.eq(*reads).double().mean().item()
    draw_found(pictures[:SHOWN], Found(*(part[:SHOWN] for part in found)), run.folder / "found.png")
    run.finish({"generator": path_as_text(source), **result})
    print("\n".join(f"{name:12}{value:8.4g}" for name, value in result.items()))
    print(f"picture: {run.folder / 'found.png'}")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--n", type=cli.int_between(1, 10_000), default=1000, help="number of test images")
    parser.add_argument("--first", type=cli.int_between(0, 9999), default=1000, help="the first of them, from 0 on")
    parser.add_argument("--run", type=Path, help=cli.RUN)
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.call(lambda: show_inverse(parse_args()))
