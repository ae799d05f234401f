"""How good and how varied are a generator's digits? 10,000 of them beside MNIST's, in numbers.

    python part2/evaluate.py --run outputs/part2/MY-RUN
    python part2/evaluate.py --run outputs/part2/MY-RUN --reject logit jacobian      fewer between two digits
    python part2/evaluate.py --images my_digits.npy                              digits from any other program
    python part2/evaluate.py --classifier outputs/part2/MY-CLASSIFIER            by another judge (train_judges.py)

Without --run, it takes the newest finished run of train_gan.py in outputs/part2, else the pretrained generator. Beside
every figure stands the same figure of as many real training images. First comes distance ÷ floor: the Fréchet distance,
divided by that of the real images. Writes a folder outputs/part2/evaluate-seedN-TIME with result.json and
neighbours.png (some digits, and under each the training images nearest to it).

The figures are those of part2/measures.py, by the features of two networks that never saw a generated image: the digit
classifier (128) and an autoencoder (64). Generators are compared with --split test, MNIST's test images. Settings are
chosen with --split validation, the last 10,000 training images, after training on the others.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from common import cli, seeds
from common.figures import bare_axes, new_figure, save_figure, tile
from common.runs import Run, path_as_text, read_config
from part2.generators import find_generator
from part2.images import load_images
from part2.judge import (
    BIRTHDAY_SAMPLES,
    EXTRACTORS,
    SAMPLES,
    SPLITS,
    WITHOUT_VALIDATION,
    BirthdayTest,
    Judge,
    drawn_real,
    in_floors,
    memorised,
    real_baseline,
    sample,
)
from part2.measures import nearest
from part2.networks import load_generator
from part2.rejection import FLAGS, load_rejection

IMAGES = "judge these instead: a folder of 28 × 28 pictures, or an array in a .npy file (100 or more; of many, 10,000)"
SHOWN = 12  # digits in neighbours.png
LABELS = {
    "floors": "distance ÷ floor",
    "floors_autoencoder": "… by the autoencoder",
    "pairs": "pairs that are alike",
    "distinct": "distinct digits",
    "party": "so two alike among",
}


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


def find_images(args: argparse.Namespace) -> tuple[Path, Callable[[int], torch.Tensor]]:
    """Where the images come from, and what gives n of them, or all where there are fewer."""
    if args.images:
        images = load_images(args.images).to(args.device)
        images = images[torch.randperm(len(images), generator=seeds.generator(args.seed, "order"))]
        return args.images, lambda n: images[:n]
    source = find_generator(args.run)
    config = read_config(source, required=False) if args.split == "validation" else {}
    if config and config["arguments"].get("data_size", 0) > WITHOUT_VALIDATION:
        raise cli.UserError(f"--split validation: {source} was trained on some of those images; use --split test")
    generator = load_generator(source).to(args.device)
    rejection = load_rejection(source, generator, args.reject, args.reject_share)
    return source, lambda n: sample(generator, args.seed, n, rejection)


def evaluate(args: argparse.Namespace) -> Path:
    """Measure one generator, or the images of a file or a folder; returns the run's folder."""
    source, draw = find_images(args)
    judge = Judge(args.split, args.device, args.classifier, args.autoencoder)
    run = Run.create(args, "part2/evaluate.py", f"part2/evaluate-seed{args.seed}")
    images, many = draw(SAMPLES), draw(BIRTHDAY_SAMPLES)
    training = judge.training.to(args.device)
    print(f"{len(images):,} images beside MNIST's {len(judge.real):,} {args.split} images")
    for other in filter(None, (args.classifier, args.autoencoder)):
        print(f"judged by {other}")
    figures, of_real = judge(images), real_baseline(judge, len(images))
    floors, birthday = in_floors(figures, of_real), BirthdayTest(judge)
    alike, alike_real = birthday(many), birthday(judge.training[drawn_real(judge, args.seed, len(many))])
    near = memorised(images, judge.real.to(args.device), training)

    print_row("", "judged", "real, from training")
    first = [*floors, "smudged"]
    for name in [*first, *(name for name in figures if name not in first and not name[-1].isdecimal())]:
        print_row(name, (floors | figures)[name], of_real.get(name, 1.0))
    for name, value in alike.items():
        print_row(name, value, alike_real[name])
    print_row("", "judged", f"real, from {args.split}")
    print_row("nearest training image", near["distance"], near["distance_real"])
    print_row("too near to one", near["too_near"], 0.01)
    print(f"{'digit':24}" + "".join(f"{digit:6}" for digit in range(10)))
    for name in ("share", "smudged"):
        print(f"{f'{name} (%)':24}" + "".join(f"{100 * figures[f'{name}_{digit}']:6.1f}" for digit in range(10)))
    draw_neighbours(images[:SHOWN], training, run.folder / "neighbours.png")
    result = {"source": path_as_text(source), "generated": floors | figures, "real": of_real, "memorised": near}
    run.finish(result | {"birthday": alike, "birthday_real": alike_real})
    print(f"picture: {run.folder / 'neighbours.png'}")
    return run.folder


def print_row(name: str, *values: str | float | None) -> None:
    """A row of the table: what was measured, of the images, of real ones."""
    texts = []
    for value in values:
        is_count = isinstance(value, int) or (isinstance(value, float) and value >= 1000)
        texts.append(f"{value:,.0f}" if is_count else f"{value:.3f}" if isinstance(value, float) else value or "none")
    print(f"{LABELS.get(name, name):24} {texts[0]:>10} {texts[1]:>20}")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--run", type=Path, help=cli.RUN)
    for flag, settings in FLAGS.items():
        add(flag, **settings)
    add("--images", type=Path, help=IMAGES)
    add("--split", choices=SPLITS, default="test", help="real images to compare with; validation: to choose settings")
    for name in EXTRACTORS:
        add(f"--{name}", type=Path, help=f"judges instead of the project's own: a run of train_judges.py {name}")
    cli.add_shared_flags(parser)
    args = parser.parse_args(argv)
    if args.images and (args.run or args.reject or args.reject_share):
        parser.error("argument --images: cannot be given with --run or --reject, which are about a generator")
    return args


def main() -> None:
    evaluate(parse_args())


if __name__ == "__main__":
    cli.call(main)
