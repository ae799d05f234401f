"""Does the judge judge? Real images spoiled more and more, and what the judge says of them, as a picture.

    python part2/show_judge.py
    python part2/show_judge.py --split validation --seed 1

10,000 real training images are spoiled in five ways, from not at all to badly: Gaussian noise, blur, shift, cropped
corners, missing kinds of digits. Writes a folder outputs/part2/show_judge-seedN-TIME with judge.png and result.json
(all figures of the judge, by way and strength). The picture has a panel for each way. It shows the Fréchet distance to
the real images of --split, as the classifier and as the autoencoder see them, divided by the distance of the
same training images before they were spoiled. With a judge that judges, the curves start at 1 and rise. Where kinds are
missing, each image is as good as before, but there is less variety. The last panel shows that precision stays there,
and that recall and coverage fall.

All strengths of a way share the 10,000 images and the random numbers: the noise is the same, only stronger; the corner
is the same, only larger. Takes some minutes on one thread.
"""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F

from common import cli, seeds
from common.figures import STYLES, bare_axes, new_figure, plain_axes, save_figure, tile
from common.runs import Run
from part2.judge import SAMPLES, SPLITS, Judge, drawn_real
from part2.mnist import Digits, load_mnist

BACKGROUND = -1.0
EXAMPLES = (2, 5, 7, 4, 6, 9)  # digits of these kinds are shown: the first three, in the last panel the others
SEEN_BY = {"classifier": "frechet", "autoencoder": "frechet_autoencoder"}
VARIETY = ("precision", "recall", "coverage")


def add_noise(digits: Digits, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Images (n, 1, 28, 28) plus normal noise, cut off at −1 and 1.

    strength    the noise's standard deviation in units of the pixel range, which is 2
    """
    noise = torch.randn(digits.images.shape, generator=generator)
    return (digits.images + 2 * strength * noise).clamp(-1, 1)


def blur(digits: Digits, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Images (n, 1, 28, 28) convolved with a normal distribution, cut off at 3 σ; draws no random numbers.

    strength    σ in pixels
    """
    from torchvision.transforms.functional import gaussian_blur  # here, as it may not fit torch: cli.call says so

    return gaussian_blur(digits.images, 2 * math.ceil(3 * strength) + 1, strength) if strength else digits.images


def shift(digits: Digits, strength: int, generator: torch.Generator) -> torch.Tensor:
    """Images (n, 1, 28, 28), each moved up, down, to the left or to the right; background comes in.

    strength    whole pixels, up to 27
    """

    # columns come in on the left, others leave
    return turned(digits.images, lambda part: F.pad(part, (strength, -strength), value=BACKGROUND), generator)


def crop_corner(digits: Digits, strength: int, generator: torch.Generator) -> torch.Tensor:
    """Images (n, 1, 28, 28), a square in one of the four corners of each set to background.

    strength    the square's side, whole pixels
    """

    def crop(part: torch.Tensor) -> torch.Tensor:
        part[..., :strength, :strength] = BACKGROUND
        return part

    return turned(digits.images, crop, generator)


def turned(images: torch.Tensor, change: Callable, generator: torch.Generator) -> torch.Tensor:
    """Images (n, 1, 28, 28), each given a random number of quarter turns, changed, and turned back.

    `change` may write into what it is given: a copy.
    """
    turns, result = torch.randint(4, (len(images),), generator=generator), images.clone()
    for k in range(4):
        result[turns == k] = change(images[turns == k].rot90(k, (2, 3))).rot90(-k, (2, 3))
    return result


def lose_kinds(digits: Digits, strength: int, generator: torch.Generator) -> torch.Tensor:
    """Images (n, 1, 28, 28) of fewer kinds of digits; draws no random numbers.

    Every image of a missing kind makes way for one of those that are left, which are taken in turn.

    strength    how many kinds are missing, 9 first, up to 9
    """
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
    """Spoil, judge, draw; returns the folder."""
    judge = Judge(args.split, args.device)
    run = Run.create(args, "part2/show_judge.py", f"part2/show_judge-seed{args.seed}")
    drawn = drawn_real(judge, args.seed, SAMPLES)
    digits = Digits(judge.training[drawn], load_mnist("train").labels[drawn])
    unspoiled = judge(digits.images)
    shown = [(digits.labels == digit).nonzero()[0].item() for digit in EXAMPLES]
    print(f"{len(drawn):,} training images, spoiled, beside MNIST's {len(judge.real):,} {args.split} images")
    print("distance ÷ unspoiled    " + "".join(f"{name:>12}" for name in (*SEEN_BY, *VARIETY)))
    figures, examples = {}, {}
    for way in WAYS:
        figures[way.name], examples[way.name] = [], []
        for strength in way.strengths:
            images = way.spoil(digits, strength, seeds.generator(args.seed, "spoil", way.name))
            found = judge(images) if strength else unspoiled
            figures[way.name].append({"strength": strength, **found})
            examples[way.name].append(images[shown])
            numbers = [found[name] / unspoiled[name] for name in SEEN_BY.values()] + [found[name] for name in VARIETY]
            print(f"{way.name:16} {strength:7g}" + "".join(f"{number:12.3f}" for number in numbers))
    draw_picture(figures, examples, unspoiled, run.folder)
    run.finish({"unspoiled": unspoiled, "spoiled": figures})
    print(f"picture: {run.folder / 'judge.png'}")
    return run.folder


def draw_picture(figures, examples, unspoiled: dict[str, float], folder: Path) -> None:
    """judge.png: the judge's figures over the strength, and below each strength what it does to some digits."""
    figure = new_figure(9, 8.2)
    panels = figure.subplots(4, 3, height_ratios=[1.2, 1] * 2)
    ways = [*WAYS, WAYS[-1]]  # the last one is drawn twice: its distance, and what it does to variety
    for k, (way, axes, strip) in enumerate(zip(ways, panels[::2].flat, panels[1::2].flat, strict=True)):
        distance = k < len(WAYS)
        if distance:
            curves = {label: (name, unspoiled[name]) for label, name in SEEN_BY.items()}
            axes.axhline(1, color="0.4", linewidth=0.8)
            axes.set_yscale("log")
            axes.set_ylim(0.6, 1000)
            axes.yaxis.set_major_formatter("{x:g}")
        else:
            curves = {name: (name, 1) for name in VARIETY}
            axes.set_ylim(0, 1.05)
        for (label, (name, unit)), style in zip(curves.items(), STYLES if distance else STYLES[2:], strict=False):
            values = [row[name] / unit for row in figures[way.name]]
            axes.plot(way.strengths, values, label=label, marker="o", markersize=3, linewidth=1.4, **style)
        axes.set_title(way.name if distance else f"{way.name}: variety", fontsize=10)
        axes.tick_params(labelbottom=False, labelsize=8)
        plain_axes(axes)

        seen = torch.stack(examples[way.name], dim=1)  # (digits, strengths, 1, 28, 28)
        sheet = tile((seen[:3] if distance else seen[3:]).flatten(0, 1), len(way.strengths))
        step = way.strengths[1]
        left, right = -14 / 30 * step, way.strengths[-1] + 14 / 30 * step  # 28 pixels every 30
        strip.imshow(sheet, cmap="gray", vmin=0, vmax=255, extent=(left, right, 0, 1), aspect="auto")
        strip.set_box_aspect(sheet.shape[0] / sheet.shape[1])
        strip.set_xlabel(way.unit, fontsize=8)
        strip.set_yticks([])
        strip.tick_params(labelsize=8)
        bare_axes(strip)
        for part in (axes, strip):
            part.set_xlim(left, right)
            part.set_xticks(way.strengths, [f"{strength:g}" for strength in way.strengths])
    for axes in panels[::2, 0]:
        axes.set_ylabel("distance ÷ that of unspoiled images", fontsize=8)
    panels[0, 0].legend(frameon=False, fontsize=8, loc="upper left")
    panels[0, 0].text(WAYS[0].strengths[-1], 0.95, "real images", fontsize=8, va="top", ha="right")
    panels[2, 2].legend(frameon=False, fontsize=8, loc="lower left")
    panels[2, 2].set_ylabel("share", fontsize=8)
    save_figure(figure, folder / "judge.png")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--split", choices=SPLITS, default="test", help="real images to compare with")
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


def main() -> None:
    show_judge(parse_args())


if __name__ == "__main__":
    cli.call(main)
