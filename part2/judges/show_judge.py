"""Does the judge judge? Real images are spoiled more and more; a picture shows how its scores change.

    python part2/judges/show_judge.py
    python part2/judges/show_judge.py --split validation --seed 1

10,000 real training images are spoiled in five ways, from not at all to badly: Gaussian noise, blur, shift, cropped
corners, missing kinds of digits. Writes a folder outputs/part2/show_judge-seedN-TIME with judge.png, metrics.jsonl
(all scores, a row for each way and strength) and result.json (those before spoiling). The picture has a panel for each
way. It shows the Fréchet distance to the real images of --split, by the classifier's and by the autoencoder's features,
divided by the distance of the same training images before they were spoiled. If the judge judges, the curves start at 1
and rise. Where kinds are missing, each image is as good as before, but there is less variety. The last panel shows that
precision does not change then, and that recall and coverage fall.

All strengths of a way share the 10,000 images and the random numbers: the noise is the same, only stronger; the corner
is the same, only larger. Takes some minutes on one thread.
"""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common import cli, seeds
from common.figures import STYLES, bare_axes, new_figure, plain_axes, save_figure, tile
from common.runs import Run
from part2.images import Digits, load_mnist
from part2.judges.judge import SAMPLES, SPLITS, Judge, drawn_real

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
    return gaussian_blur()(digits.images, 2 * math.ceil(3 * strength) + 1, strength) if strength else digits.images


def gaussian_blur() -> Callable:
    """torchvision's blur, which nothing else needs; UserError if torchvision is missing or does not fit torch."""
    try:
        from torchvision.transforms.functional import gaussian_blur
    except (ImportError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "torchvision::" not in str(error):
            raise
        what = "is missing" if isinstance(error, ModuleNotFoundError) else "does not fit the installed torch"
        raise cli.UserError(f"torchvision {what}: pip install torch torchvision, both from the same index") from None
    return gaussian_blur


def shift(digits: Digits, strength: int, generator: torch.Generator) -> torch.Tensor:
    """Each image is moved up, down, left or right; background comes in. Strength: whole pixels, up to 27."""
    # columns come in on the left, others leave
    return turned(digits.images, lambda part: F.pad(part, (strength, -strength), value=BACKGROUND), generator)


def crop_corner(digits: Digits, strength: int, generator: torch.Generator) -> torch.Tensor:
    """A square in one of the four corners of each image becomes background. Strength: its side, whole pixels."""

    def crop(part: torch.Tensor) -> torch.Tensor:
        part[..., :strength, :strength] = BACKGROUND
        return part

    return turned(digits.images, crop, generator)


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


class Way(NamedTuple):
    """A way to spoil images: what it is called, in which unit, how much (evenly spaced, from 0 on), and by what."""

    name: str
    unit: str
    strengths: tuple[float, ...]
    spoil: Callable[[Digits, float, torch.Generator], torch.Tensor]


WAYS = [
    Way("Gaussian noise", "standard deviation ÷ pixel range", (0, 0.1, 0.2, 0.3, 0.4), add_noise),
    Way("blur", "σ in pixels", (0, 0.5, 1, 1.5, 2), blur),
    Way("shift", "pixels, in a random direction", (0, 1, 2, 3, 4), shift),
    Way("cropped corner", "side in pixels", (0, 5, 10, 15, 20), crop_corner),
    Way("missing kinds", "kinds of digits missing, 9 first", (0, 2, 4, 6, 8), lose_kinds),
]


def show_judge(args: argparse.Namespace) -> Path:
    """Spoil images, judge them, draw the picture; returns the folder."""
    gaussian_blur()  # so that it is not found missing after the first way
    judge = Judge(args.split, args.device)
    run = Run.open(args, SCRIPT, f"part2/show_judge-seed{args.seed}")
    drawn = drawn_real(judge, args.seed, SAMPLES)
    digits = Digits(judge.training[drawn], load_mnist("train").labels[drawn])
    unspoiled = judge(digits.images)
    shown = [(digits.labels == digit).nonzero()[0].item() for digit in EXAMPLES]
    print(f"{len(drawn):,} training images, spoiled, compared with MNIST's {len(judge.real):,} {args.split} images")
    print("distance ÷ unspoiled    " + "".join(f"{name:>12}" for name in (*DISTANCES, *VARIETY)))
    rows, examples = [], {}
    for way in WAYS:
        examples[way.name] = []
        for strength in way.strengths:
            images = way.spoil(digits, strength, seeds.generator(args.seed, "spoil", way.name))
            found = judge(images) if strength else unspoiled
            rows.append({"way": way.name, "strength": strength, **found})
            run.log(rows[-1], len(rows))
            examples[way.name].append(images[shown])
            numbers = [found[name] / unspoiled[name] for name in DISTANCES.values()] + [found[name] for name in VARIETY]
            print(f"{way.name:16} {strength:7g}" + "".join(f"{number:12.3f}" for number in numbers))
    draw_picture(rows, examples, unspoiled, run.folder)
    run.finish({"unspoiled": unspoiled})
    print(f"picture: {run.folder / 'judge.png'}")
    return run.folder


def draw_picture(rows: list[dict], examples: dict[str, list], unspoiled: dict[str, float], folder: Path) -> None:
    """judge.png: the scores over the strength, and below each strength what it does to some digits."""
    figure = new_figure(9, 8.2)
    panels = figure.subplots(4, 3, height_ratios=[1.2, 1] * 2)
    ways = [*WAYS, WAYS[-1]]  # the last one is drawn twice: its distance, and what it does to variety
    for k, (way, axes, strip) in enumerate(zip(ways, panels[::2].flat, panels[1::2].flat, strict=True)):
        is_distance = k < len(WAYS)
        middles = [13.5 + 30 * column for column in range(len(way.strengths))]  # of the examples, in pixels
        seen = torch.stack(examples[way.name], dim=1)  # (digits, strengths, 1, 28, 28)
        sheet = tile((seen[:3] if is_distance else seen[3:]).flatten(0, 1), len(way.strengths))
        strip.imshow(sheet, cmap="gray", vmin=0, vmax=255)
        strip.set_xlabel(way.unit, fontsize=8)
        strip.set_xticks(middles, [f"{strength:g}" for strength in way.strengths])
        strip.set_yticks([])
        bare_axes(strip)
        strip.tick_params(labelsize=8)

        curves = {label: (name, unspoiled[name]) for label, name in DISTANCES.items()}
        curves = curves if is_distance else {name: (name, 1) for name in VARIETY}
        for (label, (name, unit)), style in zip(curves.items(), STYLES if is_distance else STYLES[2:], strict=False):
            values = [row[name] / unit for row in rows if row["way"] == way.name]
            axes.plot(middles, values, label=label, marker="o", markersize=3, linewidth=1.4, **style)
        if is_distance:
            axes.axhline(1, color="0.4", linewidth=0.8)
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim((0.6, 1000) if is_distance else (0, 1.05))
        axes.set_xlim(strip.get_xlim())
        axes.set_xticks(middles, [])
        axes.set_title(way.name if is_distance else f"{way.name}: variety", fontsize=10)
        axes.tick_params(labelsize=8)
        plain_axes(axes)
    for axes in panels[::2, 0]:
        axes.set_ylabel("distance ÷ that of unspoiled images", fontsize=8)
    panels[0, 0].legend(frameon=False, fontsize=8, loc="upper left")
    panels[0, 0].text(middles[-1], 0.95, "real images", fontsize=8, va="top", ha="right")
    panels[2, 2].legend(frameon=False, fontsize=8, loc="lower left")
    panels[2, 2].set_ylabel("share", fontsize=8)
    save_figure(figure, folder / "judge.png")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--split", choices=SPLITS, default="test", help="real images to compare with")
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.call(lambda: show_judge(parse_args()))
