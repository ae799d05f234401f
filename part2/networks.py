"""The two networks of the game: a generator and a discriminator, both plain multilayer perceptrons."""

import itertools
from pathlib import Path

import torch
from torch import nn

from common import checkpoint

PIXELS = 28 * 28


class Generator(nn.Module):
    """Maps noise z to an image: latent → 128 → 256 → 512 → 1024 → 784.

        h_1     = LeakyReLU(W_1 z + b_1)                              128 units
        h_k     = LeakyReLU(BatchNorm(W_k h_{k−1} + b_k))             256, 512, 1024 units
        G(z)    = tanh(W_5 h_4 + b_5)                                 784 pixels in [−1, 1]

    with LeakyReLU(a) = max(a, 0.2 a) and BatchNorm(a) = γ (a − mean) / √(var + 1e-5) + β over the batch (over running
    averages in eval mode; Ioffe & Szegedy 2015).

    Shapes: z (n, latent_dim), drawn from a standard normal → images (n, 1, 28, 28).
    """

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim
        widths = (128, 256, 512, 1024)
        layers = [nn.Linear(latent_dim, widths[0]), nn.LeakyReLU(0.2)]
        for n_in, n_out in itertools.pairwise(widths):
            layers += [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.LeakyReLU(0.2)]
        layers += [nn.Linear(widths[-1], PIXELS), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.layers(z).view(-1, 1, 28, 28)


class Discriminator(nn.Module):
    """Tells real images from generated ones: 784 → 512 → 256 → 1, LeakyReLU(0.2) in between.

        D(x) = σ(logit(x)),   the probability that x is real

    The call returns the logit, on which binary cross entropy is exact; `probability` returns D(x) itself. (`BCELoss` on
    D(x) is the same loss, but beyond logits of ±20 its gradient vanishes in float32.)

    Shapes: images (n, 1, 28, 28) → (n,).
    """

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(PIXELS, 512),
            nn.LeakyReLU(0.2),
            nn.Linear(512, 256),
            nn.LeakyReLU(0.2),
            nn.Linear(256, 1),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images.flatten(1)).squeeze(1)

    def probability(self, images: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self(images))


def load_generator(path: Path) -> Generator:
    """The generator to sample from that a GAN checkpoint holds, in eval mode; UserError if it is none.

    This is the average of the weights over training where the recipe keeps one, else the last weights.
    """
    content = checkpoint.load(path, kind="GAN")
    generator = Generator(content["latent_dim"])
    generator.load_state_dict(content.get("average") or content["generator"])
    return generator.eval()


def export_generator(source: Path, target: Path) -> None:
    """Write the generator to sample from, alone, to `target`: a few megabytes to share instead of a whole training."""
    content = checkpoint.load(source, kind="GAN")
    about = {key: content[key] for key in ("latent_dim", "recipe")}
    checkpoint.save(target, "GAN", {**about, "generator": load_generator(source).state_dict()})
