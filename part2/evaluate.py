"""How good and how varied are a generator's digits? 10,000 of them compared with MNIST's, in numbers.

    python part2/evaluate.py --run outputs/part2/MY-RUN
    python part2/evaluate.py --images my_digits.npy                              digits from any other program
    python part2/evaluate.py --autoencoder outputs/part2/MY-AUTOENCODER          with another network (train_judges.py)

Without --run, it takes the newest finished run of train_gan.py in outputs/part2, else the pretrained generator. Beside
every score (part2/judges/measures.py) stands that of as many real training images. First comes distance ÷ floor: the
Fréchet distance, divided by that of the real images. Copies of training images get 1 there too, but 0 by `authentic`,
where new real images get 1. Writes a folder outputs/part2/evaluate-seedN-TIME with result.json and neighbours.png (some
digits, and under each the training images nearest to it).

The features are those of two networks that never saw a generated image, a digit classifier (128) and an autoencoder
(64). Generators are compared with --split test, MNIST's test images. Settings are chosen with --split validation, the
last 10,000 training images, after training on the others. If --autoencoder or --classifier was trained on other images
than MNIST's, these are the real ones, and it judges alone.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli
from common.figures import bare_axes, new_figure, save_figure, tile
from common.runs import Run, path_as_text
from part2.judges.judge import COLUMNS, EXTRACTORS, SAMPLES, SPLITS, Judge, in_floors, sample_asked
from part2.judges.measures import nearest
from part2.networks.trained import find_generator, load_generator, trained_on
from part2.sources.files import Source, add_image_flags

import torch

SCRIPT = "part2/evaluate.py"
SHOWN = 12  # digits in neighbours.png
ROW = "{:24} {:>10} {:>20}"  # of what is printed: the score, its value for the judged images and for real ones


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


def check_training_images(source: Path, judge: Judge, split: str) -> None:
    """UserError if the network may have been trained on images of the split; a line if on another data set."""
    data = trained_on(source)
    if data and data["name"] != judge.source.name:
        how = "for its own images, see part2/judges/train_judges.py --images"
        print(f"trained on {data['name']}, but compared with {judge.source.name}'s images ({how})")
    elif split == "validation" and not data:
        missing = "neither it nor a config.json beside it says on which images it was trained"
        raise cli.UserError(f"--split validation: {source}: {missing}; use --split test")
    elif split == "validation" and data["size"] > len(judge.training):
        raise cli.UserError(f"--split validation: {source} was trained on some of those images; use --split test")


def find_images(args: argparse.Namespace, judge: Judge) -> tuple[Path, torch.Tensor, torch.Tensor | None]:
    """Where the images come from, and SAMPLES of them, or fewer if there are not as many, or not as many real ones; the
    digits that they were asked for, if they were and the judge knows them."""
    n = min(SAMPLES, len(judge.training))
    if args.images:
        source = Source(args.images, args.resize, args.grey)
        return Path(args.images), source.load("any", args.seed).images[:n].to(args.device), None
    source = find_generator(args.run)
    check_training_images(source, judge, args.split)
    images, asked = sample_asked(load_generator(source).to(args.device), args.seed, n)
    return source, images, asked if trained_on(source).get("name") == judge.source.name else None


def evaluate(args: argparse.Namespace) -> Path:
    """Measure one generator, or the images of a file or a folder; returns the run's folder."""
    judge = Judge(args.split, args.device, classifier=args.classifier, autoencoder=args.autoencoder)
    source, images, asked = find_images(args, judge)
    run = Run.open(args, SCRIPT, f"part2/evaluate-seed{args.seed}")
    print(f"{len(images):,} images compared with {judge.source.name}'s {len(judge.real):,} {args.split} images")
    for other in filter(None, (args.classifier, args.autoencoder)):
        print(f"judged by {other}")
    scores, of_real = judge(images, asked), judge.baseline(len(images))
    floors, training = in_floors(scores, of_real), judge.training.to(args.device)

    print(ROW.format("", "judged", "real, from training"))
    others = [name for name in scores if name != "smudged" and not name[-1].isdecimal()]
    for name in [*floors, *(["smudged"] if judge.classifier else []), *others]:
        value = (floors | scores)[name]
        print(ROW.format(COLUMNS.get(name, name), f"{value:.3f}", f"{of_real.get(name, 1):.3f}"))
    if judge.classifier:
        print(f"{'digit':24}" + "".join(f"{digit:6}" for digit in range(10)))
        for name in ("share", "smudged"):
            print(f"{f'{name} (%)':24}" + "".join(f"{100 * scores[f'{name}_{digit}']:6.1f}" for digit in range(10)))
    draw_neighbours(images[:SHOWN], training, run.folder / "neighbours.png")
    run.finish({"source": path_as_text(source), "generated": floors | scores, "real": of_real})
    print(f"picture: {run.folder / 'neighbours.png'}")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--run", type=Path, help=cli.RUN)
    add_image_flags(parser, "judge these instead, up to 10,000 of them")
    add("--split", choices=SPLITS, default="test", help="real images to compare with; validation: to choose settings")
    for name in EXTRACTORS:
        add(f"--{name}", type=Path, help=f"judge with this one, a run of train_judges.py {name}")
    cli.add_shared_flags(parser)
    args = parser.parse_args(argv)
    if args.images and args.run:
        parser.error("argument --images: cannot be given with --run, which names a generator")
    return args


if __name__ == "__main__":
    cli.call(lambda: evaluate(parse_args()))
