"""Does the judge judge? Real images are spoiled more and more; a picture shows how its scores change.

    python part2/judges/show_judge.py
    python part2/judges/show_judge.py --split validation --seed 1

10,000 real training images are spoiled in five ways, from not at all to badly. Writes a folder
outputs/part2/show_judge-seedN-TIME with judge.png, metrics.jsonl (all scores, a row for each way and strength) and
result.json (those before spoiling). The picture shows the Fréchet distance to the real images of --split, divided by
that before spoiling: if the judge judges, it rises. Where kinds are missing, each image is as good as before, but there
is less variety: precision stays, recall and coverage fall (last panel).

All strengths of a way share the 10,000 images and the random numbers. Takes some minutes on one thread.
"""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common import cli, seeds
from common.figures import STYLES, bare_axes, new_figure, plain_axes, save_figure, tile
from common.runs import Run
from part2.images import Digits, load_mnist
from part2.judges.judge import SAMPLES, SPLITS, Judge

import torch
import torch.nn.functional as F

SCRIPT = "part2/judges/show_judge.py"
BACKGROUND = -1.0
EXAMPLES = (2, 5, 7, 4, 6, 9)  # digits of these kinds are shown: the first three, in the last panel the others
DISTANCES = {"classifier": "frechet", "autoencoder": "frechet_autoencoder"}
VARIETY = ("precision", "recall", "coverage")


# Ways to spoil: the images of some digits, (n, 1, 28, 28) in [−1, 1], become others of the same shape.


def add_noise(digits: Digits, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Normal noise is added, cut off at −1 and 1. Strength: its standard deviation ÷ the pixel range, which is 2."""
    noise = torch.randn(digits.images.shape, generator=generator)
    return (digits.images + 2 * strength * noise).clamp(-1, 1)


def blur(digits: Digits, strength: float, generator: torch.Generator) -> torch.Tensor:
    """A convolution with a normal distribution, cut off at 3 σ, without random numbers. Strength: σ in pixels."""
    if not strength:
        return digits.images
    reach = math.ceil(3 * strength)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1.0) / strength) ** 2)
    weights /= weights.sum()
    padded = F.pad(digits.images, [reach] * 4, mode="reflect")
    return F.conv2d(padded, torch.outer(weights, weights)[None, None])


def shift(digits: Digits, strength: int, generator: torch.Generator) -> torch.Tensor:
    """Each image is moved up, down, left or right; background comes in. Strength: whole pixels, up to 27."""
    return turned(digits.images, lambda part: F.pad(part, (strength, -strength), value=BACKGROUND), generator)


def crop_corner(digits: Digits, strength: int, generator: torch.Generator) -> torch.Tensor:
    """A square in one of the four corners of each image becomes background. Strength: its side, whole pixels."""
    square = torch.zeros(digits.images.shape[2:], dtype=torch.bool)
    square[:strength, :strength] = True
    return turned(digits.images, lambda part: part.masked_fill(square, BACKGROUND), generator)


def turned(images: torch.Tensor, change: Callable, generator: torch.Generator) -> torch.Tensor:
    """Images (n, 1, 28, 28), each given a random number of quarter turns, changed (as a copy), and turned back."""
    turns, result = torch.randint(4, (len(images),), generator=generator), images.clone()
    for k in range(4):
        result[turns == k] = change(images[turns == k].rot90(k, (2, 3))).rot90(-k, (2, 3))
    return result


def lose_kinds(digits: Digits, strength: int, generator: torch.Generator) -> torch.Tensor:
    """Every image of a missing kind makes way for one of those that are left, which are taken in turn, without random
    numbers. Strength: how many kinds are missing, 9 first, up to 9."""
    left, missing = digits.images[digits.labels < 10 - strength], digits.labels >= 10 - strength
    result = digits.images.clone()
    result[missing] = left[torch.arange(int(missing.sum())) % len(left)]
    return result


# Name → how images are spoiled, how much (evenly spaced, from 0 on), in which unit.
WAYS = {
    "Gaussian noise": (add_noise, (0, 0.1, 0.2, 0.3, 0.4), "standard deviation ÷ pixel range"),
    "blur": (blur, (0, 0.5, 1, 1.5, 2), "σ in pixels"),
    "shift": (shift, (0, 1, 2, 3, 4), "pixels, in a random direction"),
    "cropped corner": (crop_corner, (0, 5, 10, 15, 20), "side in pixels"),
    "missing kinds": (lose_kinds, (0, 2, 4, 6, 8), "kinds of digits missing, 9 first"),
}


def show_judge(args: argparse.Namespace) -> Path:
    """Spoil images, judge them, draw the picture; returns the folder."""
    judge = Judge(args.split, args.device)
    run = Run.open(args, SCRIPT, f"part2/show_judge-seed{args.seed}")
    drawn = judge.draw_real(args.seed, SAMPLES)
    digits = Digits(judge.training[drawn], load_mnist("train").labels[drawn])
    unspoiled = judge(digits.images)
    shown = [(digits.labels == digit).nonzero()[0].item() for digit in EXAMPLES]
    print(f"{len(drawn):,} training images, spoiled, compared with MNIST's {len(judge.real):,} {args.split} images")
    print("distance ÷ unspoiled    " + "".join(f"{name:>12}" for name in (*DISTANCES, *VARIETY)))
    rows, examples = [], {name: [] for name in WAYS}
    for way, (spoil, strengths, _) in WAYS.items():
        for strength in strengths:
            images = spoil(digits, strength, seeds.generator(args.seed, "spoil", way))
            found = judge(images) if strength else unspoiled
            rows.append({"way": way, "strength": strength, **found})
            run.log(rows[-1], len(rows))
            examples[way].append(images[shown])
            numbers = [found[name] / unspoiled[name] for name in DISTANCES.values()] + [found[name] for name in VARIETY]
            print(f"{way:16} {strength:7g}" + "".join(f"{number:12.3f}" for number in numbers))
    draw_picture(rows, examples, run.folder / "judge.png")
    run.finish({"unspoiled": unspoiled})
    print(f"picture: {run.folder / 'judge.png'}")
    return run.folder


def draw_picture(rows: list[dict], examples: dict[str, list[torch.Tensor]], path: Path) -> None:
    """The scores over the strength, and below each strength what it does to some digits; the last way comes twice."""
    figure = new_figure(9, 8.6)
    panels = figure.subplots(4, 3, height_ratios=[1.2, 1] * 2)
    ways = [*WAYS, "missing kinds"]
    for k, (way, axes, strip) in enumerate(zip(ways, panels[::2].flat, panels[1::2].flat, strict=True)):
        found, is_distance = [row for row in rows if row["way"] == way], k < len(WAYS)
        seen = torch.stack(examples[way], dim=1)  # (digits, strengths, 1, 28, 28)
        sheet = tile((seen[:3] if is_distance else seen[3:]).flatten(0, 1), len(found))
        if is_distance:
            curves = {label: [row[name] / found[0][name] for row in found] for label, name in DISTANCES.items()}
            axes.axhline(1, color="0.4", linewidth=0.8)
            axes.set(title=way, yscale="log", ylim=(0.6, 1000))
            axes.yaxis.set_major_formatter("{x:,g}")
        else:
            curves = {name: [row[name] for row in found] for name in VARIETY}
            axes.set(title=f"{way}: variety", ylabel="share", ylim=(0, 1.05))
        middles = [13.5 + 30 * column for column in range(len(found))]  # of the examples, in pixels
        for (label, values), style in zip(curves.items(), STYLES if is_distance else STYLES[2:], strict=False):
            axes.plot(middles, values, label=label, marker="o", markersize=3, linewidth=1.4, **style)
        strip.imshow(sheet, cmap="gray", vmin=0, vmax=255)
        strip.set(xlabel=WAYS[way][2], yticks=[])
        strip.set_xticks(middles, [f"{row['strength']:g}" for row in found])
        axes.set_xticks(middles, [])
        axes.set_xlim(strip.get_xlim())
        plain_axes(axes)
        bare_axes(strip)
    for axes in panels[::2, 0]:
        axes.set_ylabel("distance ÷ unspoiled")
    panels[0, 0].text(middles[-1], 0.95, "real images", va="top", ha="right")
    for axes, place in ((panels[0, 0], "upper left"), (panels[2, 2], "lower left")):
        axes.legend(loc=place)
    save_figure(figure, path)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--split", choices=SPLITS, default="test", help="real images to compare with")
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.call(lambda: show_judge(parse_args()))
