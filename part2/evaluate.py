"""How good and how varied are a generator's digits? 10,000 of them compared with MNIST's, in numbers.

    python part2/evaluate.py --run outputs/part2/MY-RUN
    python part2/evaluate.py --images my_digits.npy                              digits from any other program
    python part2/evaluate.py --classifier outputs/part2/MY-CLASSIFIER            with another network (train_judges.py)

Without --run, it takes the newest finished run of train_gan.py in outputs/part2, else the pretrained generator. Beside
every score (part2/judges/measures.py) stands that of as many real training images. First comes distance ÷ floor: the
Fréchet distance, divided by that of the real images. Writes a folder outputs/part2/evaluate-seedN-TIME with result.json
and neighbours.png (some digits, and under each the training images nearest to it).

The features are those of two networks that never saw a generated image, a digit classifier (128) and an autoencoder
(64). Generators are compared with --split test, MNIST's test images. Settings are chosen with --split validation, the
last 10,000 training images, after training on the others.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli, seeds
from common.figures import bare_axes, new_figure, save_figure, tile
from common.files import load_checkpoint
from common.runs import Run, path_as_text, read_config
from part2.judges.files import load_images
from part2.judges.judge import COLUMNS, EXTRACTORS, SAMPLES, SPLITS, WITHOUT_VALIDATION, Judge, in_floors, sample
from part2.judges.measures import memorised, nearest
from part2.networks.trained import KIND, find_generator, load_generator

import torch

SCRIPT = "part2/evaluate.py"
IMAGES = "judge these instead: a folder of 28 × 28 pictures, or an array in a .npy file (100 or more; of many, 10,000)"
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


def check_training_images(source: Path, split: str) -> None:
    """UserError if the network may have been trained on images of the split; a line if it was trained on no digits."""
    data, config = load_checkpoint(source, KIND).get("data"), read_config(source, required=False)
    if not data and config:  # a checkpoint of an older version; only MNIST could be trained on
        data = {"name": "MNIST", "size": config["arguments"].get("data_size", 60_000)}
    if data and data["name"] != "MNIST":
        print(f"trained on {data['name']}, but compared with MNIST's images")
    elif split == "validation" and not data:
        missing = "neither it nor a config.json beside it says on which images it was trained"
        raise cli.UserError(f"--split validation: {source}: {missing}; use --split test")
    elif split == "validation" and data["size"] > WITHOUT_VALIDATION:
        raise cli.UserError(f"--split validation: {source} was trained on some of those images; use --split test")


def find_images(args: argparse.Namespace) -> tuple[Path, torch.Tensor]:
    """Where the images come from, and SAMPLES of them, or all if there are fewer."""
    if args.images:
        images = load_images(args.images).to(args.device)
        return args.images, images[torch.randperm(len(images), generator=seeds.generator(args.seed, "order"))][:SAMPLES]
    source = find_generator(args.run)
    check_training_images(source, args.split)
    return source, sample(load_generator(source).to(args.device), args.seed, SAMPLES)


def evaluate(args: argparse.Namespace) -> Path:
    """Measure one generator, or the images of a file or a folder; returns the run's folder."""
    source, images = find_images(args)
    judge = Judge(args.split, args.device, args.classifier, args.autoencoder)
    run = Run.open(args, SCRIPT, f"part2/evaluate-seed{args.seed}")
    print(f"{len(images):,} images compared with MNIST's {len(judge.real):,} {args.split} images")
    for other in filter(None, (args.classifier, args.autoencoder)):
        print(f"judged by {other}")
    scores, of_real = judge(images), judge.baseline(len(images))
    floors, training = in_floors(scores, of_real), judge.training.to(args.device)
    near = memorised(images, judge.real.to(args.device), training)

    print(ROW.format("", "judged", "real, from training"))
    others = [name for name in scores if name != "smudged" and not name[-1].isdecimal()]
    for name in [*floors, "smudged", *others]:
        label, value = (COLUMNS[name], floors[name]) if name in floors else (name, scores[name])
        print(ROW.format(label, f"{value:.3f}", f"{of_real.get(name, 1):.3f}"))
    print(ROW.format("", "judged", f"real, from {args.split}"))
    print(ROW.format("nearest training image", f"{near['distance']:.3f}", f"{near['distance_real']:.3f}"))
    print(ROW.format("too near to one", f"{near['too_near']:.3f}", "0.010"))
    print(f"{'digit':24}" + "".join(f"{digit:6}" for digit in range(10)))
    for name in ("share", "smudged"):
        print(f"{f'{name} (%)':24}" + "".join(f"{100 * scores[f'{name}_{digit}']:6.1f}" for digit in range(10)))
    draw_neighbours(images[:SHOWN], training, run.folder / "neighbours.png")
    run.finish({"source": path_as_text(source), "generated": floors | scores, "real": of_real, "memorised": near})
    print(f"picture: {run.folder / 'neighbours.png'}")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--run", type=Path, help=cli.RUN)
    add("--images", type=Path, help=IMAGES)
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
