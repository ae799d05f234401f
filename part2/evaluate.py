"""How good and how varied are a generator's digits? 10,000 of them beside MNIST's, in numbers.

    python part2/evaluate.py --run outputs/part2/MY-RUN

Without --run: the newest finished run of train_gan.py under outputs/, else the pretrained generator. Beside
every figure stands the same one for 10,000 real training images: what a perfect generator would get. Writes a folder
outputs/part2/evaluate-seedN-TIME with result.json and neighbours.png (some digits, and under each the training images
nearest to it).

The figures are those of part2/measures.py, as two networks see the images that know nothing of the generator: the digit
classifier (128 features) and an autoencoder (64). Generators are compared with --split test, MNIST's test images.
Settings are chosen with --split validation, the last 10,000 training images, after training on the others.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from common import cli
from common.figures import bare_axes, new_figure, save_figure, tile
from common.runs import Run
from part2.generators import find_generator
from part2.judge import SAMPLES, SPLITS, Judge, memorised, real_baseline, real_images, sample
from part2.measures import nearest
from part2.networks import load_generator

SHOWN = 12  # digits in neighbours.png


def draw_neighbours(images: torch.Tensor, training: torch.Tensor, path: Path) -> None:
    """A row of generated digits, and below each the three training images nearest to it."""
    _, which = nearest(images, training, n=3)
    rows = torch.cat([images.cpu(), *(training[column].cpu() for column in which.T)])
    figure = new_figure(7.2, 2.6)
    axes = figure.subplots()
    axes.imshow(tile(rows, len(images)), cmap="gray", vmin=0, vmax=255)
    axes.set_yticks([14 + 30 * row for row in range(4)], ["generated", "nearest", "second", "third"], fontsize=9)
    axes.set_xticks([])
    bare_axes(axes)
    save_figure(figure, path)


def evaluate(args: argparse.Namespace) -> Path:
    """Measure one generator; returns the folder."""
    source = find_generator(args.run)
    generator = load_generator(source).to(args.device)
    judge = Judge(args.split, args.device)
    run = Run.create(args, "part2/evaluate.py", f"part2/evaluate-seed{args.seed}")
    images = sample(generator, args.seed, SAMPLES)
    real, training = real_images(args.split)
    real, training = real.to(args.device), training.to(args.device)
    print(f"{SAMPLES:,} of its images beside MNIST's {len(real):,} {args.split} images")
    figures, of_real = judge(images), real_baseline(judge, training, args.seed)
    print(f"{'':24} {'generated':>10} {'real, from training':>20}")
    for name, value in figures.items():
        print(f"{name:24} {value:10.3f} {of_real[name]:20.3f}")
    near = memorised(images, real, training)
    print(f"{'':24} {'generated':>10} {f'real, from {args.split}':>20}")
    print(f"{'nearest training image':24} {near['distance']:10.3f} {near['distance_real']:20.3f}")
    print(f"{'too near to one':24} {near['too_near']:10.3f} {0.01:20.3f}")
    draw_neighbours(images[:SHOWN], training, run.folder / "neighbours.png")
    run.finish({"generator": str(source), "generated": figures, "real": of_real, "memorised": near})
    print(f"picture: {run.folder / 'neighbours.png'}")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--run", type=Path, help=cli.RUN)
    add("--split", choices=SPLITS, default="test", help="real images to compare with; validation: to choose settings")
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


def main() -> None:
    evaluate(parse_args())


if __name__ == "__main__":
    cli.call(main)
