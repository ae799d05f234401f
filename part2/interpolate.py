"""Walk through latent space from one digit to another.

    python part2/interpolate.py                         the assignment's walks: 3 → 4 and 9 → 3 → 2
    python part2/interpolate.py --digits 1 7 2 --mode slerp

Takes the newest finished run of train_gan.py under outputs/, else the pretrained generator. Finds by itself latent
points whose images a classifier reads as the digits asked for. Writes a folder outputs/part2/interpolate-seedN-TIME
with one picture for each walk (the images, and below them what the classifier reads all along), the same as GIF, and
result.json: the readings, and what stands in the middle of many such walks.
"""

import argparse
import math
import sys
from itertools import cycle, pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from common import cli, seeds
from common.figures import STYLES, new_figure, save_animation, save_figure, tile
from common.runs import Run
from part2.classifier import CONFIDENT, load_classifier
from part2.networks import find_generator, load_generator

DRAWS = 20_000  # latent points among which ends are looked for


def lerp(z1: torch.Tensor, z2: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """z = (1 − α) z1 + α z2: z1 and z2 (…, latent_dim), α (steps,) → (…, steps, latent_dim)."""
    alpha = alpha.unsqueeze(1)
    return (1 - alpha) * z1.unsqueeze(-2) + alpha * z2.unsqueeze(-2)


def slerp(z1: torch.Tensor, z2: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """z = (sin((1 − α) Ω) z1 + sin(α Ω) z2) / sin Ω with Ω the angle between z1 and z2 (Shoemake 1985).

    A straight line passes closer to the origin than points of a normal distribution lie; the arc keeps their distance.
    Shapes as in `lerp`.
    """
    cosine = torch.cosine_similarity(z1, z2, dim=-1)[..., None, None]
    omega = cosine.clamp(-1 + 1e-6, 1 - 1e-6).acos()
    alpha_ = alpha.unsqueeze(1)
    arc = (((1 - alpha_) * omega).sin() * z1.unsqueeze(-2) + (alpha_ * omega).sin() * z2.unsqueeze(-2)) / omega.sin()
    return torch.where(cosine.abs() < 1 - 1e-6, arc, lerp(z1, z2, alpha))  # along one line there is no arc to take


PATHS = {"linear": lerp, "slerp": slerp}


def path_through(stations: list[torch.Tensor], along, alpha: torch.Tensor) -> torch.Tensor:
    """The points at α from each station to the next; one at a station in between comes once."""
    legs = [along(z1, z2, alpha) for z1, z2 in pairwise(stations)]
    return torch.cat([legs[0]] + [leg[1:] for leg in legs[1:]])


def find_ends(z: torch.Tensor, probability: torch.Tensor, digits: list[int]) -> dict[int, torch.Tensor]:
    """For each digit, those of the latent points z (n, latent_dim) that are confidently read as it.

    `probability` (n, 10) is what the classifier makes of their images. Where none is read so confidently, the one that
    is most surely; UserError where none is read so at all.
    """
    ends = {}
    for digit in sorted(set(digits)):
        read_so = probability.argmax(1) == digit
        if not read_so.any():
            raise cli.UserError(
                f"--digits {digit}: the classifier reads none of {len(z):,} images as a {digit}; "
                "the generator draws too few kinds of digits: train it for longer, or name another --checkpoint"
            )
        confident = z[probability[:, digit] >= CONFIDENT]
        ends[digit] = confident if len(confident) else z[(probability[:, digit] * read_so).argmax()].unsqueeze(0)
    return ends


def draw_walk(images: torch.Tensor, reads: torch.Tensor, probability: torch.Tensor, path: Path) -> None:
    """A row of images, under each the digit that is read and how surely; below, the probabilities all along the walk.

    `reads` (n, 10) are the probabilities of the n images, `probability` (many, 10) those of points evenly between.
    """
    n = len(images)
    figure = new_figure(max(4.0, 0.72 * n), 2.9)
    row, curves = figure.subplots(2, 1, height_ratios=(1, 1.9))
    row.imshow(tile(images, n), cmap="gray", vmin=0, vmax=255)
    labels = [f"{p.argmax().item()}\n{100 * p.max().item():.0f} %" for p in reads]
    row.set_xticks([13.5 + 30 * k for k in range(n)], labels, fontsize=9)
    row.tick_params(length=0)
    row.set_yticks([])
    row.spines[:].set_visible(False)
    x = torch.linspace(0, n - 1, len(probability))
    shown = (probability.amax(0) >= 0.1).nonzero().flatten().tolist()
    for digit, style in zip(shown, cycle(STYLES), strict=False):
        curve = 100 * probability[:, digit].cpu()
        curves.plot(x, curve, linewidth=1.4, **style)
        peak = (curve >= curve.max() - 1e-3).nonzero().flatten()
        at = peak[len(peak) // 2]
        curves.annotate(
            digit, (x[at], curve[at]), (0, 2), textcoords="offset points", ha="center", color=style["color"]
        )
    curves.set_xlim(-0.5, n - 0.5)
    curves.set_ylim(-3, 118)
    curves.set_yticks([0, 50, 100])
    curves.set_xticks(range(n), [])
    curves.set_ylabel("read as (%)")
    curves.grid(color="0.9", linewidth=0.6)
    curves.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


@torch.no_grad()
def interpolate(args: argparse.Namespace) -> Path:
    """Draw every walk asked for; returns the folder."""
    source = find_generator(args.checkpoint)
    generator = load_generator(source).to(args.device)
    classifier = load_classifier().to(args.device)
    walks = [args.digits] if args.digits else [[3, 4], [9, 3, 2]]

    z = torch.randn(DRAWS, generator.latent_dim, generator=seeds.generator(args.seed, "ends")).to(args.device)
    probability = torch.cat([classifier.read(generator(part)) for part in z.split(1000)])
    ends = find_ends(z, probability, [digit for walk in walks for digit in walk])
    shares = (probability.argmax(1).bincount(minlength=10) / DRAWS).tolist()
    confident = (probability.amax(1) >= CONFIDENT).float().mean().item()
    along = PATHS[args.mode]
    alpha, finely = (torch.linspace(0, 1, steps, device=args.device) for steps in (args.steps, 101))

    run = Run.create(args, "part2/interpolate.py", f"part2/interpolate-seed{args.seed}")
    print(f"generator: {source}")
    print(f"{DRAWS:,} images: {100 * confident:.0f} % are read with confidence ({CONFIDENT:.0%}); as", end=" ")
    print(", ".join(f"{digit} {100 * share:.1f} %" for digit, share in enumerate(shares)))
    results = []
    for walk in walks:
        stations = [ends[digit][k % len(ends[digit])] for k, digit in enumerate(walk)]
        images = generator(path_through(stations, along, alpha))
        probability = classifier.read(images)
        between = classifier.read(generator(path_through(stations, along, finely)))
        name = "walk-" + "-".join(map(str, walk))
        draw_walk(images, probability, between, run.folder / f"{name}.png")
        there_and_back = torch.cat([images, images.flip(0)[1:-1]])
        save_animation([tile(image.unsqueeze(0), 1) for image in there_and_back], run.folder / f"{name}.gif", scale=6)
        reads = probability.argmax(1).tolist()
        results.append({"digits": walk, "reads": reads, "confidence": probability.amax(1).tolist()})
        print(f"{' → '.join(map(str, walk))}: read as {' '.join(map(str, reads))}")
        results[-1]["middles"] = {}
        for start, end in pairwise(walk):
            middle = read_middles(generator, classifier, ends[start], ends[end], along, args.walks)
            results[-1]["middles"][f"{start}-{end}"] = middle
            text = ", ".join(f"{digit} {100 * share:.0f} %" for digit, share in middle.items() if share >= 0.005)
            print(f"    the middle of {args.walks:,} walks {start} → {end} is read as {text}")
        print(f"    picture: {run.folder / name}.png and .gif")
    run.finish({"checkpoint": str(source), "shares": shares, "confident": confident, "walks": results})
    return run.folder


def read_middles(generator, classifier, starts, ends, along, n: int) -> dict[int, float]:
    """What the classifier reads half-way between n pairs of ends: digit → share, the most frequent first."""
    k = torch.arange(n, device=starts.device)
    # Counted off in step, and shifted by one each time round: every pair once before any comes again.
    pairs = starts[k % len(starts)], ends[(k + k // math.lcm(len(starts), len(ends))) % len(ends)]
    middles = along(*pairs, torch.tensor([0.5], device=starts.device)).squeeze(1)
    counts = classifier.read(generator(middles)).argmax(1).bincount(minlength=10) / n
    return {digit: counts[digit].item() for digit in counts.argsort(descending=True).tolist()}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--digits", type=cli.whole(0, 9), nargs="+", help="the digits to visit, two or more; if not given, both walks")
    add("--steps", type=cli.whole(2, 1000), default=11, help="images from one digit to the next, both included")
    add("--mode", choices=PATHS, default="linear", help="straight line, or arc at constant distance from the origin")
    add("--walks", type=cli.whole(1, 100_000), default=1000, help="walks over which the middles are counted")
    add("--checkpoint", type=Path, help="a run's folder or checkpoint; if not given, the newest run's")
    cli.add_shared_flags(parser)
    args = parser.parse_args(argv)
    if args.digits and len(args.digits) < 2:
        parser.error("argument --digits: a walk needs two digits or more")
    return args


def main() -> None:
    interpolate(parse_args())


if __name__ == "__main__":
    cli.call(main)
