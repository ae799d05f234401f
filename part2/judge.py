"""Images judged beside real ones, in numbers: which real ones, as which networks see them, whether they are copies."""

import hashlib
from functools import cached_property

import torch

from common import checkpoint, seeds
from common.cli import UserError
from common.runs import PRETRAINED
from part2.autoencoder import load_autoencoder
from part2.classifier import CONFIDENT, load_classifier
from part2.measures import frechet, nearest, neighbourhood, radii, score
from part2.mnist import load_mnist
from part2.networks import Generator

SAMPLES = 10_000
SPLITS = ("test", "validation")
VALIDATION = 10_000  # training images, the last ones
# SHA-256 of the networks that look at the images; with others, figures would be others too.
EXTRACTORS = {
    "classifier": "09e3d8979869b2c85cfcd4bbfe9168eb5b648e36710e61125612afc0a6b3697b",
    "autoencoder": "e9a7890547e4370051e2179afe9f1fc67029716b437241ea5ce6782cc63040ce",
}


def real_images(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The 10,000 images that generators are compared with, and the training images that they may know by heart."""
    training = load_mnist("train").images
    if split == "validation":
        return training[-VALIDATION:], training[:-VALIDATION]
    return load_mnist("test").images, training


class Judge:
    """Compares images with the 10,000 real ones of a split. Calls: images (n, 1, 28, 28) → figures by name.

    frechet, precision, recall, density, coverage    as the classifier sees them; with _autoencoder, as that does
    score           the classifier's, 1 to 10
    confident       share that the classifier reads with a confidence of 95 % or more
    share_0 … _9    share that it reads as that digit
    """

    def __init__(self, split: str, device: torch.device):
        for name, sha256 in EXTRACTORS.items():
            path = PRETRAINED / name / checkpoint.NAME
            if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
                raise UserError(
                    f"{path}: differs from the network behind all published figures; restore it: git checkout -- {path}"
                )
        self.classifier = load_classifier().to(device)
        self.extractors = {"": self.classifier.features, "_autoencoder": load_autoencoder().to(device).features}
        self.device = device
        self.real, _ = real_images(split)

    @cached_property
    def real_features(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """The real images' features and their radii."""
        features = {suffix: self.features(self.real, suffix) for suffix in self.extractors}
        return {suffix: (points, radii(points)) for suffix, points in features.items()}

    @torch.no_grad()
    def features(self, images: torch.Tensor, suffix: str) -> torch.Tensor:
        return torch.cat([self.extractors[suffix](part.to(self.device)) for part in images.split(1000)])

    def __call__(self, images: torch.Tensor) -> dict[str, float]:
        if not images.isfinite().all():
            raise UserError("the generator draws pixels that are not finite; there is nothing to measure", status=1)
        figures = {}
        for suffix, (real, real_radii) in self.real_features.items():
            fake = self.features(images, suffix)
            found = {"frechet": frechet(real, fake), **neighbourhood(real, fake, real_radii=real_radii)}
            figures |= {name + suffix: value for name, value in found.items()}
        probability = self.classifier.read(images.to(self.device))
        figures["score"] = score(probability)
        figures["confident"] = (probability.amax(1) >= CONFIDENT).double().mean().item()
        shares = probability.argmax(1).bincount(minlength=10) / len(images)
        return figures | {f"share_{digit}": share for digit, share in enumerate(shares.tolist())}


@torch.no_grad()
def sample(generator: Generator, seed: int, n: int) -> torch.Tensor:
    """n images (n, 1, 28, 28) of a generator in eval mode, from a noise stream of their own."""
    device = next(generator.parameters()).device
    z = torch.randn(n, generator.latent_dim, generator=seeds.generator(seed, "evaluate")).to(device)
    return torch.cat([generator(part) for part in z.split(1000)])


def real_baseline(judge: Judge, training: torch.Tensor, seed: int) -> dict[str, float]:
    """The figures of as many training images (n, 1, 28, 28): what a perfect generator would get.

    Drawn at random: MNIST's order alternates between writers, so that every sixth image is another distribution.
    """
    drawn = torch.randperm(len(training), generator=seeds.generator(seed, "real"))[:SAMPLES]
    return judge(training[drawn.to(training.device)])


def memorised(images: torch.Tensor, real: torch.Tensor, training: torch.Tensor) -> dict[str, float]:
    """How near images come to the training images (n, 1, 28, 28), in pixels, beside how near real new ones come.

    distance        median over the images of the Euclidean distance to the nearest training image
    distance_real   the same for `real` images that are no training images
    too_near        share of the images nearer to a training image than 99 % of the real ones are; 0.01 is normal
    """
    distance, to_real = (nearest(points, training)[0].squeeze(1) for points in (images, real))
    too_near = (distance < to_real.quantile(0.01)).double().mean().item()
    return {"distance": distance.median().item(), "distance_real": to_real.median().item(), "too_near": too_near}
