"""The inverse of a generator: for a picture, the latent point whose image comes nearest to it."""

import copy
from pathlib import Path
from typing import NamedTuple

from common import seeds
from common.figures import bare_axes, new_figure, save_figure, tile
from part2.gan import Generator
from part2.judges.measures import nearest
from part2.networks.trained import trained_on
from part2.sources.files import Source

import torch

# The page has the same numbers.
DRAWN = 2000  # latent points to choose the starts from
STAGES = (8, 40), (4, 360)  # how many points take how many steps; then the best of them go on
RATE, BETAS = 0.05, (0.95, 0.99)  # Adam's
WEIGHT = 0.02  # of |z|²


class Found(NamedTuple):
    """What was found for n pictures: z (n, …), its images G(z), and the training images nearest to the pictures; the
    distances of both to the pictures (n,), Euclidean over pixels in [−1, 1]."""

    z: torch.Tensor
    images: torch.Tensor
    error: torch.Tensor
    nearest: torch.Tensor
    distance: torch.Tensor


def find(generator: Generator, pictures: torch.Tensor, training: torch.Tensor, seed: int) -> Found:
    """Pictures (n, 1, 28, 28), training images (m, 1, 28, 28) → Found. `generator` is in eval mode."""
    z = find_z(generator, pictures, seed)
    images = generator(z).detach()
    training = training[nearest(pictures, training)[1][:, 0]]
    error, distance = ((other - pictures).flatten(1).norm(dim=1) for other in (images, training))
    return Found(z, images, error, training, distance)


@torch.enable_grad()
def find_z(generator: Generator, pictures: torch.Tensor, seed: int) -> torch.Tensor:
    """Pictures x (n, 1, 28, 28) → z (n, …), by gradient steps from several starts.

        z(0)      the 8 (STAGES) of 2,000 drawn latent points (DRAWN) with the least |G(z) − x|
        L(z)      = |G(z) − x|² + 0.02 |z|²                     (WEIGHT)
        z(t + 1)  = Adam(z(t), ∂L/∂z)                           (RATE, BETAS; Kingma & Ba 2015)

    After 40 steps only the best four go on, for 360 more; Adam begins anew. Of them, the one with the least |G(z) − x|
    is returned. Signs and labels in z stay as they were drawn: the generator knows no numbers between them.
    """
    generator = copy.deepcopy(generator).requires_grad_(False)
    z = generator.draw(DRAWN, seeds.generator(seed, "starts")).to(pictures.device)
    z = z[nearest(pictures, generator(z), STAGES[0][0])[1]]  # (n, starts, …)
    is_free = torch.zeros_like(z[0, 0])
    is_free[generator.signs : generator.latent_dim] = 1
    for starts, steps in STAGES:
        x, z = pictures.repeat_interleave(starts, 0), _best(generator, pictures, z, starts).flatten(0, 1)
        optimizer = torch.optim.Adam([z.requires_grad_()], RATE, BETAS)
        for _ in range(steps):
            loss = (generator(z) - x).square().sum() + WEIGHT * z.square().sum()
            z.grad = torch.autograd.grad(loss, z)[0] * is_free
            optimizer.step()
        z = z.detach().unflatten(0, (-1, starts))
    return _best(generator, pictures, z, 1).squeeze(1)


def _best(generator: Generator, pictures: torch.Tensor, z: torch.Tensor, n: int) -> torch.Tensor:
    """Of z (n pictures, starts, …), the n with the least |G(z) − x|, the least first."""
    error = (generator(z.flatten(0, 1)).view(*z.shape[:2], -1) - pictures.flatten(1).unsqueeze(1)).norm(dim=2)
    index = error.topk(n, largest=False).indices
    return z.gather(1, index.unsqueeze(2).expand(-1, -1, z.shape[2]))


def images_of(path: Path, split: str) -> torch.Tensor:
    """The images that the GAN at `path` was trained on, or with split "test" those that it has never seen."""
    data = trained_on(path)
    images = Source.of(data).load(split).images
    return images[: data.get("size")] if split == "train" else images


def draw_found(pictures: torch.Tensor, found: Found, path: Path) -> None:
    """A column for each picture: it, its G(z) and the nearest training image, with their distances to the picture."""
    rows, n, gap = torch.cat([pictures, found.images, found.nearest]), len(pictures), 12
    figure = new_figure(2.2 + 0.8 * n, 2.9)
    axes = figure.subplots()
    axes.imshow(tile(rows, n, gap), cmap="gray", vmin=0, vmax=255)
    for row, distances in enumerate((found.error, found.distance), 1):
        for k, distance in enumerate(distances.tolist()):
            axes.text(14 + (28 + gap) * k, (28 + gap) * row - gap / 2, f"{distance:.1f}", ha="center", va="center")
    labels = ["picture", "found: G(z)", "nearest in training"]
    axes.set_yticks([14 + (28 + gap) * row for row in range(3)], labels)
    axes.set_xticks([])
    bare_axes(axes)
    save_figure(figure, path)
