"""Walk through latent space from one digit to another.

    python part2/interpolate.py                         the assignment's walks: 3 → 4 and 9 → 3 → 2
    python part2/interpolate.py --digits 1 7 2 --mode slerp
    python part2/interpolate.py --from MY_SEVEN.png --to 3                            a digit of your own, to a 3
    python part2/interpolate.py --from PHOTO.jpg --to 3 --grey --invert --centre      the same, of a photo of paper

It takes the newest finished run of train_gan.py in outputs/part2, else the pretrained generator, and finds latent
points whose images a classifier reads as the digits asked for. Writes a folder outputs/part2/interpolate-seedN-TIME
with a picture and a GIF of each walk, and result.json: what the classifier reads all along, and in the middle of many
such walks.

For a picture of your own, it finds the latent point whose image is nearest to it (part2/networks/inverse.py); how near,
is shown beside the nearest training image in found.png. The picture is to be like the training images: for MNIST, 28 ×
28 grey pixels, light on dark, the digit 20 pixels long in the middle. If it is not, flags say what may be done to it.
For a photo: one digit on plain paper, nothing else in the picture, and --grey --invert --centre.
"""

import argparse
import sys
from itertools import cycle, pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli
from common.figures import STYLES, bare_axes, new_figure, plain_axes, save_animation, save_figure, tile
from common.runs import Run, path_as_text
from part2.gan import Generator
from part2.judges.networks import CONFIDENT, Classifier, load_classifier
from part2.networks.inverse import Found, draw_found, find, images_of
from part2.networks.trained import find_generator, load_generator
from part2.networks.walks import PATHS, draw_and_read, find_ends, path_through, read_middles
from part2.sources.picture import add_picture_flags, is_light, read_picture

import torch

SCRIPT = "part2/interpolate.py"
MOST_IMAGES = 200  # of a walk, side by side in its picture


def draw_walk(images: torch.Tensor, reads: torch.Tensor, probability: torch.Tensor, path: Path) -> None:
    """A row of images, under each the digit it is read as and how surely (%); below, the probabilities along the walk.

    `reads` (n, 10) are the probabilities of the n images, `probability` (many, 10) those of points evenly between.
    """
    n, x = len(images), torch.linspace(0, len(images) - 1, len(probability))
    size = min(max(1.0, 0.72 * n / 9), 1.7)  # of the text: it is read on a page on which the whole walk stands
    figure = new_figure(max(4.0, 0.72 * n), 2.9 * size, **{"font.size": 9.6 * size})
    row, curves = figure.subplots(2, 1, height_ratios=(1, 1.9))
    row.imshow(tile(images, n), cmap="gray", vmin=0, vmax=255)
    labels = [f"{p.argmax().item()}\n{100 * p.max().item():.0f}" for p in reads]
    row.set_xticks([13.5 + 30 * k for k in range(n)], labels)
    row.set_yticks([])
    bare_axes(row)
    shown = (probability.amax(0) >= 0.1).nonzero().flatten().tolist()
    for digit, style in zip(shown, cycle(STYLES), strict=False):
        curve = 100 * probability[:, digit].cpu()
        curves.plot(x, curve, linewidth=1.4, **style)
        highest = (curve >= curve.max() - 1e-3).nonzero().flatten()
        peak = highest[len(highest) // 2]
        curves.text(x[peak], curve[peak] + 2, digit, color=style["color"], ha="center")
    curves.set(xlim=(-0.5, n - 0.5), ylim=(-3, 118), yticks=[0, 50, 100], ylabel="read as (%)")
    curves.set_xticks(range(n), [])
    plain_axes(curves)
    save_figure(figure, path)


def find_pictures(
    files: list[str], args: argparse.Namespace, source: Path, generator: Generator, classifier: Classifier
) -> tuple[torch.Tensor, Found, list[dict]]:
    """Pictures of one's own (n, 1, 28, 28), what was found for them, and a row for each, which is printed too."""
    training = images_of(source, "train").to(args.device)
    pictures = torch.cat([read_picture(file, args, is_light(training[:1000])) for file in files]).to(args.device)
    found, rows = find(generator, pictures, training, args.seed), []
    reads = zip(classifier.read(pictures), classifier.read(found.images), strict=True)
    for k, (file, (drawn, again)) in enumerate(zip(files, reads, strict=True)):
        row = {"file": file, "error": found.error[k].item(), "nearest": found.distance[k].item()}
        row |= {"read": drawn.argmax().item(), "confidence": drawn.max().item(), "read_again": again.argmax().item()}
        rows.append(row | {"confidence_again": again.max().item(), "z": found.z[k].tolist()})
        reading = "read as {read} ({confidence:.0%}); G(z) as {read_again} ({confidence_again:.0%})".format(
            **row | rows[-1]
        )
        print(f"    {reading}; distance {row['error']:.2f}, of the nearest training image {row['nearest']:.2f}")
    return pictures, found, rows


@torch.no_grad()
def interpolate(args: argparse.Namespace) -> Path:
    """Draw every walk asked for; returns the folder."""
    source = find_generator(args.run)
    generator = load_generator(source).to(args.device)
    classifier = load_classifier().to(args.device)
    walks, along = walks_of(args), PATHS[args.mode]
    alpha, finely = (torch.linspace(0, 1, steps, device=args.device) for steps in (args.steps, 101))
    stations = dict.fromkeys(station for walk in walks for station in walk)
    files = [station for station in stations if isinstance(station, str)]
    own = find_pictures(files, args, source, generator, classifier) if files else None
    z, probability = draw_and_read(generator, classifier, args.seed)
    ends = find_ends(z, probability, [station for station in stations if station not in files])
    shares = (probability.argmax(1).bincount(minlength=10) / len(z)).tolist()
    confident = (probability.amax(1) >= CONFIDENT).float().mean().item()
    result = {"generator": path_as_text(source), "shares": shares, "confident": confident, "walks": []}
    run = Run.open(args, SCRIPT, f"part2/interpolate-seed{args.seed}")
    if own:
        pictures, found, result["pictures"] = own
        ends |= {file: found.z[[k]] for k, file in enumerate(files)}
        draw_found(pictures, found, run.folder / "found.png")
        print(f"picture: {run.folder / 'found.png'}")
    print(f"{len(z):,} images: {100 * confident:.0f} % are read with confidence ({CONFIDENT:.0%}); as", end=" ")
    print(", ".join(f"{digit} {100 * share:.1f} %" for digit, share in enumerate(shares)))
    for walk in walks:
        points = [ends[station][k % len(ends[station])] for k, station in enumerate(walk)]
        images = generator(path_through(points, along, alpha))
        probability = classifier.read(images)
        confidence, reads = (part.tolist() for part in probability.max(1))
        between = classifier.read(generator(path_through(points, along, finely)))
        name, middles = "walk-" + "-".join("own" if station in files else str(station) for station in walk), {}
        draw_walk(images, probability, between, run.folder / f"{name}.png")
        there_and_back = [*images, *images.flip(0)[1:-1]]
        save_animation([tile(image.unsqueeze(0), 1) for image in there_and_back], run.folder / f"{name}.gif", scale=6)
        print(f"{' → '.join(map(str, walk))}: read as {' '.join(map(str, reads))}")
        for start, end in pairwise(walk):
            middle = read_middles(generator, classifier, (ends[start], ends[end]), along, args.walks, args.seed)
            middles[f"{start}-{end}"] = middle
            text = ", ".join(f"{digit} {100 * share:.0f} %" for digit, share in middle.items() if share >= 0.005)
            print(f"    the middle of {args.walks:,} walks {start} → {end} is read as {text}")
        result["walks"].append({"digits": walk, "reads": reads, "confidence": confidence, "middles": middles})
        print(f"    picture: {run.folder / name}.png and .gif")
    run.finish(result)
    return run.folder


def walks_of(args: argparse.Namespace) -> list[list[int | str]]:
    """The stations of each walk: digits, and files."""
    if args.start is not None:
        return [[args.start, *args.to]]
    return [args.digits] if args.digits else [[3, 4], [9, 3, 2]]


def station(text: str) -> int | str:
    """A digit, or a file."""
    return int(text) if text.isdecimal() and len(text) == 1 else str(cli.existing_or_new(text))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--digits", type=cli.int_between(0, 9), nargs="+", help="two or more to visit; if not given, both walks")
    add("--from", type=station, dest="start", metavar="FILE|DIGIT", help="a picture of your own to start from")
    add("--to", type=station, nargs="+", metavar="FILE|DIGIT", help="where to go from there, one after the other")
    add_picture_flags(parser)
    add("--steps", type=cli.int_between(2, 1000), default=11, help="images from one digit to the next, both included")
    add("--mode", choices=PATHS, default="linear", help="straight line, or arc at constant distance from the origin")
    add("--walks", type=cli.int_between(1, 100_000), default=1000, help="walks over which the middles are counted")
    add("--run", type=Path, help=cli.RUN)
    cli.add_shared_flags(parser)
    args = parser.parse_args(argv)
    if (args.start is None) != (args.to is None) or (args.to and args.digits):
        parser.error("argument --from: needs --to, and the other way round, and neither goes with --digits")
    if args.digits and not 2 <= len(args.digits) <= 20:
        parser.error("argument --digits: a walk needs from 2 to 20 digits")
    if (images := (max(map(len, walks_of(args))) - 1) * (args.steps - 1) + 1) > MOST_IMAGES:
        parser.error(f"argument --steps: the walk has {images:,} images, and a picture holds {MOST_IMAGES} at most")
    return args


if __name__ == "__main__":
    cli.call(lambda: interpolate(parse_args()))
