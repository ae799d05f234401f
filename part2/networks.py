"""The two networks of the game: a generator and a discriminator, both plain multilayer perceptrons."""

import itertools
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from common import checkpoint, seeds
from common.checks import check_input
from common.cli import UserError
from common.products import Linear

KIND = "GAN"  # of a checkpoint
SIZES = ("latent_dim", "width", "epsilon", "signs")  # what rebuilds a generator; older checkpoints lack the last ones
PIXELS = 28 * 28
SIGN = 3.0  # the size of a latent number that is a sign


class Generator(nn.Module):
    """Maps noise z to an image: latent → 128 → 256 → 512 → 1024 → 784.

        h_1     = LeakyReLU(W_1 z + b_1)                              128 units
        h_k     = LeakyReLU(BatchNorm(W_k h_{k−1} + b_k))             256, 512, 1024 units
        G(z)    = tanh(W_5 h_4 + b_5)                                 784 pixels in [−1, 1]

    with LeakyReLU(a) = max(a, 0.2 a) and BatchNorm(a) = γ (a − mean) / √(var + ε) + β over the batch (over running
    averages in eval mode; Ioffe & Szegedy 2015).

    Activations are computed in place, so a hook that keeps a layer's output must copy it.

    Shapes: z (n, latent_dim), as `draw` draws it → images (n, 1, 28, 28). `width` widens all hidden layers; `epsilon`
    is BatchNorm's ε; `signs`: see `draw`.
    """

    def __init__(self, latent_dim: int, width: int = 1, epsilon: float = 1e-5, signs: int = 0):
        super().__init__()
        self.latent_dim, self.width, self.signs = latent_dim, width, signs
        widths = [width * units for units in (128, 256, 512, 1024)]
        layers = [Linear(latent_dim, widths[0]), nn.LeakyReLU(0.2, inplace=True)]
        for n_in, n_out in itertools.pairwise(widths):
            layers += [Linear(n_in, n_out), nn.BatchNorm1d(n_out, epsilon), nn.LeakyReLU(0.2, inplace=True)]
        layers += [Linear(widths[-1], PIXELS), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        check_input("z", z, ("n", self.latent_dim), self.layers[0].weight)
        return self.layers(z).unflatten(1, (1, 28, 28))

    def draw(self, n: int, rng: torch.Generator) -> torch.Tensor:
        """n latent points z (n, latent_dim) on the CPU: standard normal, but the first `signs` numbers are 3 or −3.

        Between two points that differ in a sign there is a gap, as there is between two digits. A walk from one to the
        other passes points that are never drawn.
        """
        z = torch.randn(n, self.latent_dim, generator=rng)
        z[:, : self.signs] = torch.where(z[:, : self.signs] > 0, SIGN, -SIGN)
        return z


class Discriminator(nn.Module):
    """Tells real images from generated ones: 784 → 512 → 256 → 1, LeakyReLU(0.2) in between.

        D(x) = σ(logit(x)),   the probability that x is real

    A call returns the logit, with which binary cross entropy is exact; `probability` returns D(x). (`BCELoss` on D(x)
    is the same loss, but in float32 its gradient vanishes for logits beyond ±20.)

    Shapes: images (n, 1, 28, 28) → (n,). `width` widens both hidden layers.
    """

    def __init__(self, width: int = 1):
        super().__init__()
        self.layers = nn.Sequential(
            Linear(PIXELS, 512 * width),
            nn.LeakyReLU(0.2, inplace=True),
            Linear(512 * width, 256 * width),
            nn.LeakyReLU(0.2, inplace=True),
            Linear(256 * width, 1),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        check_input("images", images, ("n", 1, 28, 28), self.layers[0].weight)
        return self.layers(images.flatten(1)).squeeze(1)

    def probability(self, images: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self(images))


def measure_statistics(generator: Generator) -> Generator:
    """Set BatchNorm's means and variances to those over 10,000 z (always the same); returns the generator in eval mode.

    An average of weights needs this: the statistics from training belong to other weights.
    """
    device = next(generator.parameters()).device
    z = generator.draw(10_000, seeds.generator(0, "statistics")).to(device)
    update_bn(z.split(1000), generator)
    return generator.eval()


def load_generator(path: Path | str) -> Generator:
    """Load the generator to sample from, in eval mode. `path` is a GAN's checkpoint or the folder of its run.

    If the recipe keeps an average of the weights, this is the average, with its statistics measured anew; else it has
    the last weights. UserError if there is no such checkpoint.
    """
    content = checkpoint.load(path, KIND)
    generator = Generator(**{name: content[name] for name in SIZES if name in content})
    generator.load_state_dict(content.get("average") or content["generator"])
    return measure_statistics(generator) if content.get("average") else generator.eval()


def load_discriminator(path: Path | str) -> Discriminator:
    """The discriminator that a GAN's checkpoint holds, in eval mode; `path` is the file or its run's folder.

    UserError if there is none. It played against the last weights of the generator, not against their average.
    """
    content = checkpoint.load(path, KIND)
    if "discriminator" not in content:
        raise UserError(f"{path}: holds a generator alone, no discriminator; name a run of train_gan.py")
    discriminator = Discriminator(content["width"])
    discriminator.load_state_dict(content["discriminator"])
    return discriminator.eval()
