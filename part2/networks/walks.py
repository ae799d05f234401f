"""Walks through latent space: their ends, the paths between them, and the digits in their middle."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from common import seeds
from common.cli import UserError
from part2.gan import Generator
from part2.judges.networks import CONFIDENT, Classifier

import torch

DRAWS = 20_000  # latent points to choose the ends from


@torch.no_grad()
def draw_and_read(generator: Generator, classifier: Classifier, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Latent points z (DRAWS, latent_dim), and the probability of each digit in their images (DRAWS, 10)."""
    z = generator.draw(DRAWS, seeds.generator(seed, "ends")).to(next(generator.parameters()).device)
    return z, torch.cat([classifier.read(generator(part)) for part in z.split(1000)])


def lerp(z1: torch.Tensor, z2: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """z = (1 − α) z1 + α z2: z1 and z2 (…, latent_dim), α (steps,) → (…, steps, latent_dim)."""
    alpha = alpha.unsqueeze(1)
    return (1 - alpha) * z1.unsqueeze(-2) + alpha * z2.unsqueeze(-2)


def slerp(z1: torch.Tensor, z2: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """z = (sin((1 − α) Ω) z1 + sin(α Ω) z2) / sin Ω with Ω the angle between z1 and z2 (Shoemake 1985).

    A straight line comes closer to the origin than points of a normal distribution usually are. The arc keeps their
    distance from it. Shapes as in `lerp`.
    """
    cosine = torch.cosine_similarity(z1, z2, dim=-1)[..., None, None]
    omega = cosine.clamp(-1 + 1e-6, 1 - 1e-6).acos()
    first, second = ((1 - alpha).unsqueeze(1) * omega).sin(), (alpha.unsqueeze(1) * omega).sin()
    arc = (first * z1.unsqueeze(-2) + second * z2.unsqueeze(-2)) / omega.sin()
    return torch.where(cosine.abs() < 1 - 1e-6, arc, lerp(z1, z2, alpha))  # on one line through 0 there is no arc


PATHS = {"linear": lerp, "slerp": slerp}


def path_through(stations: list[torch.Tensor], along: Callable, alpha: torch.Tensor) -> torch.Tensor:
    """The points at α on the way from each station to the next. A station in between comes only once."""
    legs = [along(z1, z2, alpha) for z1, z2 in pairwise(stations)]
    return torch.cat([legs[0]] + [leg[1:] for leg in legs[1:]])


def find_ends(z: torch.Tensor, probability: torch.Tensor, digits: list[int]) -> dict[int, torch.Tensor]:
    """For each digit, the latent points of z (n, latent_dim) whose images the classifier reads as it with confidence.

    `probability` (n, 10) is the classifier's, for the images of z. If no image is read with confidence, the point with
    the highest probability is taken. If no image is read as the digit at all, that is a UserError.
    """
    ends = {}
    for digit in sorted(set(digits)):
        read_so = probability.argmax(1) == digit
        if not read_so.any():
            what = f"the classifier reads none of {len(z):,} images as a {digit}"
            raise UserError(f"--digits or --to {digit}: {what}; train the generator for longer, or name another --run")
        confident = z[probability[:, digit] >= CONFIDENT]
        ends[digit] = confident if len(confident) else z[(probability[:, digit] * read_so).argmax()].unsqueeze(0)
    return ends


@torch.no_grad()
def read_middles(
    generator: Generator, classifier: Classifier, ends: Sequence[torch.Tensor], along: Callable, n: int, seed: int
) -> dict[int, float]:
    """What the classifier reads in the middle of n random walks between two sets of points, `ends`, each (any number,
    latent_dim): digit → share, the most frequent digit first."""
    rng = seeds.generator(seed, "pairs")
    z1, z2 = (points[torch.randint(len(points), (n,), generator=rng).to(points.device)] for points in ends)
    middles = along(z1, z2, torch.tensor([0.5], device=z1.device)).squeeze(1)
    counts = classifier.read(generator(middles)).argmax(1).bincount(minlength=10) / n
    return {digit: counts[digit].item() for digit in counts.argsort(descending=True).tolist()}
