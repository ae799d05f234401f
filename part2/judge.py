"""Images judged beside real ones, in numbers: which real ones, as which networks see them, whether they are copies."""

import hashlib
import math
from functools import cached_property
from pathlib import Path
from statistics import mean

import torch

from common import checkpoint, seeds
from common.cli import UserError
from common.runs import PRETRAINED
from part2.autoencoder import load_autoencoder
from part2.classifier import CONFIDENT, load_classifier
from part2.measures import frechet, nearest, neighbourhood, pairs_within, radii, score
from part2.mnist import load_mnist
from part2.networks import Generator
from part2.rejection import Rejection, draw_latents

SAMPLES = 10_000
BIRTHDAY_SAMPLES = 20_000  # of the birthday test: pairs that are alike are rare
SPLITS = ("test", "validation")
VALIDATION = 10_000  # training images, the last ones
WITHOUT_VALIDATION = 60_000 - VALIDATION  # training images that are left
# SHA-256 of the project's own networks that look at the images; with others, figures would be others too.
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


def own(name: str) -> Path:
    """The project's own classifier or autoencoder; UserError if another network is in its place."""
    path = PRETRAINED / name / checkpoint.NAME
    if hashlib.sha256(path.read_bytes()).hexdigest() != EXTRACTORS[name]:
        raise UserError(
            f"{path}: differs from the network behind all published figures; restore it: git checkout -- {path}"
        )
    return path


class Judge:
    """Compares images with the 10,000 real ones of a split. Calls: images (n, 1, 28, 28) → figures by name.

    frechet, precision, recall, density, coverage    as the classifier sees them; with _autoencoder, as that does
    score               the classifier's, 1 to 10
    smudged             share that the classifier does not read with a confidence of 95 % or more
    share_0 … _9        share that it reads as that digit
    smudged_0 … _9      of those, the share that is smudged; 0 where there are none

    `classifier` and `autoencoder` are checkpoints or runs of train_judges.py; if not given, the project's own.
    """

    def __init__(
        self, split: str, device: torch.device, classifier: Path | None = None, autoencoder: Path | None = None
    ):
        self.classifier = load_classifier(classifier or own("classifier")).to(device)
        autoencoder = load_autoencoder(autoencoder or own("autoencoder")).to(device)
        self.extractors = {"": self.classifier.features, "_autoencoder": autoencoder.features}
        self.device = device
        self.real, self.training = real_images(split)

    @cached_property
    def real_features(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """The real images' features and their radii."""
        features = {suffix: self.features(self.real, suffix) for suffix in self.extractors}
        return {suffix: (points, radii(points)) for suffix, points in features.items()}

    @torch.no_grad()
    def features(self, images: torch.Tensor, suffix: str) -> torch.Tensor:
        return torch.cat([self.extractors[suffix](part.to(self.device)) for part in images.split(1000)])

    def distances(self, images: torch.Tensor) -> dict[str, float]:
        """The Fréchet distances alone, which take a fraction of the time."""
        real = self.real_features
        return {f"frechet{suffix}": frechet(real[suffix][0], self.features(images, suffix)) for suffix in real}

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
        smudged, digits = probability.amax(1) < CONFIDENT, probability.argmax(1)
        figures["smudged"] = smudged.double().mean().item()
        counts, of_those = digits.bincount(minlength=10), digits[smudged].bincount(minlength=10)
        figures |= {f"share_{digit}": share for digit, share in enumerate((counts / len(images)).tolist())}
        shares = of_those / counts.clamp_min(1)
        return figures | {f"smudged_{digit}": share for digit, share in enumerate(shares.tolist())}


@torch.no_grad()
def sample(generator: Generator, seed: int, n: int, rejection: Rejection | None = None) -> torch.Tensor:
    """n images (n, 1, 28, 28) of a generator in eval mode, from a noise stream of their own."""
    z = draw_latents(generator, n, seeds.generator(seed, "evaluate"), rejection)
    return torch.cat([generator(part) for part in z.split(1000)])


def drawn_real(judge: Judge, seed: int, n: int) -> torch.Tensor:
    """Which of the judge's training images stand beside a generator's: n indices, each once.

    Drawn at random: MNIST's order alternates between writers, so that every sixth image is another distribution.
    """
    return torch.randperm(len(judge.training), generator=seeds.generator(seed, "real"))[:n]


def measure_floor(judge: Judge, n: int) -> dict[str, float]:
    """The floor: the Fréchet distances of n real training images, as a generator would get that copied them.

    Mean over disjoint draws, at most six: a single draw of 10,000 is off by an eighth and more. Both judges were
    trained on these images, so real images that they never saw may be nearer.
    """
    draws = [draw for draw in drawn_real(judge, 0, 6 * n).split(n) if len(draw) == n]
    distances = [judge.distances(judge.training[draw]) for draw in draws]
    return {name: mean(found[name] for found in distances) for name in distances[0]}


def real_baseline(judge: Judge, n: int) -> dict[str, float]:
    """The figures of n real training images, to set beside a generator's: of one draw, with the floor as distances."""
    return judge(judge.training[drawn_real(judge, 0, n)]) | measure_floor(judge, n)


def in_floors(figures: dict[str, float], floor: dict[str, float]) -> dict[str, float]:
    """Distance ÷ floor, by the classifier and by the autoencoder: `floors` and `floors_autoencoder`.

    1 is what as many real images get. So it means the same whichever network looks and however many images there are.
    """
    distances = [name for name in figures if name.startswith("frechet")]
    return {name.replace("frechet", "floors"): figures[name] / floor[name] for name in distances}


def memorised(images: torch.Tensor, real: torch.Tensor, training: torch.Tensor) -> dict[str, float]:
    """How near images come to the training images (n, 1, 28, 28), in pixels, beside how near real new ones come.

    distance        median over the images of the Euclidean distance to the nearest training image
    distance_real   the same for `real` images that are no training images
    too_near        share of the images nearer to a training image than 99 % of the real ones are; 0.01 is normal
    """
    distance, to_real = (nearest(points, training)[0].squeeze(1) for points in (images, real))
    too_near = (distance < to_real.quantile(0.01)).double().mean().item()
    return {"distance": distance.median().item(), "distance_real": to_real.median().item(), "too_near": too_near}


class BirthdayTest:
    """How many distinct digits does a generator hold? (Arora & Zhang 2017) Calls: images (n, 1, 28, 28) → figures.

    Two images are alike if they are read as the same digit and are nearer to one another, in pixels, than 99 % of the
    judge's real images of that digit are to the nearest of 20,000 training images. With p the share of pairs that are
    alike; digits that the classifier reads in none of the real images are left out:

        pairs       how many are alike; the fewer there are, the less certain are the other two figures
        distinct    1 / p, the number of equally frequent images that would give such a p; None where no pair is alike
        party       √(2 ln 2 · distinct), the number of images among which two are alike with a probability of one half
    """

    def __init__(self, judge: Judge):
        self.judge = judge
        real, training = (
            self.by_digit(judge.real),
            self.by_digit(judge.training[drawn_real(judge, 0, BIRTHDAY_SAMPLES)]),
        )
        self.within = [  # of each digit; 0 for one that the classifier, if untrained, reads nowhere
            nearest(*pair)[0].quantile(0.01).item() if min(map(len, pair)) else 0.0
            for pair in zip(real, training, strict=True)
        ]

    def by_digit(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The images that are read as a 0, as a 1, …"""
        images = images.to(self.judge.device)
        read = self.judge.classifier.read(images).argmax(1)
        return [images[read == digit] for digit in range(10)]

    def __call__(self, images: torch.Tensor) -> dict[str, float | None]:
        of_digits = zip(self.by_digit(images), self.within, strict=True)
        alike = sum(pairs_within(of_one, within) for of_one, within in of_digits)
        distinct = math.comb(len(images), 2) / alike if alike else None
        return {"pairs": alike, "distinct": distinct, "party": distinct and math.sqrt(2 * math.log(2) * distinct)}
