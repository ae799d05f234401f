"""Rejection: leave out the latent points whose images are likely to lie between two digits.

A continuous generator maps a connected space (if no numbers of z are signs) onto digits that are not connected, so some
of its images must lie in between (Tanielian et al. 2020). Two scores find many of them without any knowledge of digits.
The points with the lowest ones are left out, or, by both scores, those with the lowest sum of ranks:

    logit       the logit of D(G(z)): the discriminator takes the image for a generated one   (Azadi et al. 2019)
    jacobian    −|∂G/∂z|²: there a small step changes the image much                          (Tanielian et al. 2020)

Azadi et al. accept an image at random, with a probability that grows with its logit; here the order alone decides. What
is left out can be something rare as well: recall falls.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from common import seeds
from common.cli import UserError, float_between
from part2.networks import Generator, load_discriminator

SCORES = ("logit", "jacobian")
SHARE = 0.2  # left out, if no other share is named
FLAGS = {  # of every script that draws with a trained generator, for argparse
    "--reject": {
        "nargs": "+",
        "choices": SCORES,
        "help": "leave out images between two digits: by D's logit, by the size of ∂G/∂z, or by both",
    },
    "--reject_share": {"type": float_between(0, 1), "help": f"share that --reject leaves out; if not given, {SHARE}"},
}
DIRECTIONS = 8  # in which the size of ∂G/∂z is measured


class Rejection(NamedTuple):
    """Leave out this share of all latent points: those that the scores, (n, latent_dim) → (n,), rank lowest."""

    scores: list[Callable[[torch.Tensor], torch.Tensor]]
    share: float


def draw_latents(
    generator: Generator, n: int, rng: torch.Generator, rejection: Rejection | None = None
) -> torch.Tensor:
    """n latent points (n, latent_dim) as the generator's `draw` draws them, or those that rejection leaves of more."""
    device = next(generator.parameters()).device
    if not rejection:
        return generator.draw(n, rng).to(device)
    z = generator.draw(round(n / (1 - rejection.share)), rng).to(device)
    scores = [torch.cat([score(part) for part in z.split(1000)]) for score in rejection.scores]
    ranks = sum(found.argsort().argsort() for found in scores)
    return z[ranks.topk(n).indices.sort().values]


def jacobian_size(generator: Generator, z: torch.Tensor) -> torch.Tensor:
    """An estimate of |∂G/∂z|², the sum of the squares of all 784 × latent_dim derivatives: z (n, latent_dim) → (n,).

    With u standard normal over the pixels, E|uᵀ ∂G/∂z|² = |∂G/∂z|² (Hutchinson 1990): the mean over a few u, which are
    the same for all points.
    """
    rng, size = seeds.generator(0, "directions"), torch.zeros(len(z), device=z.device)
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        images = generator(z)
        for _ in range(DIRECTIONS):
            u = torch.randn(images[0].shape, generator=rng).to(z.device)
            (gradient,) = torch.autograd.grad((images * u).sum(), z, retain_graph=True)
            size += gradient.square().sum(1) / DIRECTIONS
    return size


def load_rejection(
    source: Path, generator: Generator, names: list[str] | None, share: float | None
) -> Rejection | None:
    """Rejection for a generator whose checkpoint is `source`, by the scores of these names; None for none.

    UserError for a share without a score.
    """
    if not names:
        if share is not None:
            way_out = "add --reject logit or jacobian"
            raise UserError(f"--reject_share {share}: leaves out nothing without --reject; {way_out}")
        return None
    scores = {"jacobian": lambda z: -jacobian_size(generator, z)}
    if "logit" in names:
        discriminator = load_discriminator(source).to(next(generator.parameters()).device)
        scores["logit"] = lambda z: discriminator(generator(z))
    return Rejection([scores[name] for name in names], SHARE if share is None else share)
