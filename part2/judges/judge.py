"""Scores for generated images: the measures, and the real images they are compared with."""

import hashlib
from functools import cached_property
from pathlib import Path
from statistics import mean

from common import seeds
from common.cli import UserError
from common.files import CHECKPOINT
from common.find import PRETRAINED
from part2.gan import Discriminator, Game, Generator
from part2.judges.measures import authenticity, frechet, kernel_distance, neighbourhood, radii
from part2.judges.networks import CONFIDENT, load_autoencoder, load_classifier
from part2.sources.files import Source

import torch

SAMPLES, COMPARED = 10_000, 2_000  # images that are judged; about as many of them are compared with training images
SPLITS = ("test", "validation")
VALIDATION = 10_000  # training images, the last ones
WITHOUT_VALIDATION = 60_000 - VALIDATION  # training images that are left
LOADERS = {"classifier": load_classifier, "autoencoder": load_autoencoder}
# SHA-256 of the project's own networks that look at the images; with others, the scores would be others too.
EXTRACTORS = {
    "classifier": "09e3d8979869b2c85cfcd4bbfe9168eb5b648e36710e61125612afc0a6b3697b",
    "autoencoder": "e9a7890547e4370051e2179afe9f1fc67029716b437241ea5ce6782cc63040ce",
}


def smudged(probability: torch.Tensor) -> float:
    """Share of the images that the classifier does not read with a confidence of 95 % or more."""
    return (probability.amax(1) < CONFIDENT).double().mean().item()


def by_digit(probability: torch.Tensor) -> dict[str, float]:
    """share_0 … _9: share of the images read as that digit; smudged_0 … _9: share of those that is smudged, or 0."""
    digits, is_smudged = probability.argmax(1), probability.amax(1) < CONFIDENT
    counts, unclear = digits.bincount(minlength=10), digits[is_smudged].bincount(minlength=10)
    shares = {"share": counts / len(digits), "smudged": unclear / counts.clamp_min(1)}
    return {f"{name}_{digit}": value for name, row in shares.items() for digit, value in enumerate(row.tolist())}


# A measure is one function and one line here: (function, the name of its score). It returns the score, or a dictionary
# of scores. OF_FEATURES: features (n, d) of real images and of others, and the radii of the real ones;
# scores of the second network end in _autoencoder. OF_READINGS: the classifier's probabilities (n, 10).
OF_FEATURES = [
    (lambda real, fake, _: frechet(real, fake), "frechet"),
    (neighbourhood, ""),
    (lambda real, fake, _: kernel_distance(real, fake), "kid"),
]
OF_READINGS = [(smudged, "smudged"), (by_digit, "")]
# What tables show of these. Precision says what `smudged` says, and coverage what recall says.
COLUMNS = {"floors": "distance ÷ floor", "floors_autoencoder": "… by the autoencoder", "smudged": "smudged"}
COLUMNS |= {"recall": "recall", "kid": "KID", "authentic": "authentic", "asked": "read as asked"}


def measure(measures: list[tuple], *data: torch.Tensor) -> dict[str, float]:
    """The scores by all of the measures."""
    scores = {}
    for function, name in measures:
        found = function(*data)
        scores |= found if isinstance(found, dict) else {name: found}
    return scores


def own(name: str) -> Path:
    """The project's own classifier or autoencoder; UserError if another network is in its place."""
    path = PRETRAINED / name / CHECKPOINT
    if hashlib.sha256(path.read_bytes()).hexdigest() != EXTRACTORS[name]:
        raise UserError(f"{path}: differs from the network behind all published scores; git checkout restores it")
    return path


class Judge:
    """Compares images with the real ones of a split. `judge(images)`: images (n, 1, 28, 28) → scores by name.

    `named`: checkpoints or runs of train_judges.py, as `classifier` and `autoencoder`. The real images are those of
    their `source`; without labels there, there is no classifier. If it is MNIST, which has 10,000, the project's own
    stand in for what is not named. `training` are the images that a generator may have memorised: none of the split.
    """

    def __init__(self, split: str, device: torch.device, **named: Path | None):
        networks = {name: LOADERS[name](path) for name, path in named.items() if path}
        data = [network.trained_on for network in networks.values()] or [{"name": "MNIST"}]
        self.source = Source.of(data[0])
        self.training, self.device = self.source.load("train").images, device
        known, n_validation = self.source.describe(self.training), len(self.training) // 6
        if any(known.get(key) != found.get(key) for found in data for key in ("name", "crc32")):
            what = f"were trained on other images than {self.source.name} holds now; train both on the same"
            raise UserError(f"--{' and --'.join(networks)}: {what}")
        if self.source.name == "MNIST":
            networks = {name: networks.get(name) or load(own(name)) for name, load in LOADERS.items()}
            n_validation = VALIDATION
        self.classifier = networks.get("classifier")
        extractors = {name: network.to(device).features for name, network in networks.items()}
        self.extractors = {"" if name == "classifier" else f"_{name}": extract for name, extract in extractors.items()}
        self.real = self.source.load("test").images if split == "test" else self.training[-n_validation:]
        self.training = self.training if split == "test" else self.training[:-n_validation]

    @cached_property
    def real_features(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """The real images' features and their radii."""
        features = {suffix: self.features(self.real, suffix) for suffix in self.extractors}
        return {suffix: (points, radii(points)) for suffix, points in features.items()}

    @cached_property
    def training_features(self) -> torch.Tensor:
        """The training images' features, by the autoencoder."""
        return self.features(self.training, "_autoencoder")

    @cached_property
    def authenticity_of_real(self) -> float:
        return self.authenticity(self.real_features["_autoencoder"][0])

    @cached_property
    def floor(self) -> dict[str, float]:
        """The floor for SAMPLES images."""
        return self.measure_floor(SAMPLES)

    @torch.no_grad()
    def features(self, images: torch.Tensor, suffix: str) -> torch.Tensor:
        return torch.cat([self.extractors[suffix](part.to(self.device)) for part in images.split(1000)])

    def distances(self, images: torch.Tensor) -> dict[str, float]:
        """The Fréchet distances alone, which take a fraction of the time."""
        of_real = self.real_features.items()
        return {f"frechet{suffix}": frechet(real, self.features(images, suffix)) for suffix, (real, _) in of_real}

    def authenticity(self, features: torch.Tensor) -> float:
        """By the autoencoder's features of images, of a part of them."""
        return authenticity(features[:: max(1, len(features) // COMPARED)], self.training_features)

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, asked: torch.Tensor | None = None) -> dict[str, float]:
        """`asked`: the digits (n,) that the generator was asked for, if it was.

        `authentic` is the images' authenticity ÷ that of the real images, which are new: about 1 for new images, 0 for
        copies of training images, in between if some are copies; above 1 far from any real image, as noise is.
        """
        scores, features = {}, {suffix: self.features(images, suffix) for suffix in self.extractors}
        for suffix, (real, real_radii) in self.real_features.items():
            found = measure(OF_FEATURES, real, features[suffix], real_radii)
            scores |= {name + suffix: value for name, value in found.items()}
        if "_autoencoder" in self.extractors:
            scores["authentic"] = self.authenticity(features["_autoencoder"]) / (self.authenticity_of_real or 1)
        if self.classifier:
            probability = torch.cat([self.classifier.fc(part).softmax(1) for part in features[""].split(1000)])
            scores |= measure(OF_READINGS, probability)
            if asked is not None:
                scores["asked"] = (probability.argmax(1) == asked).double().mean().item()
        return scores

    def draw_real(self, seed: int, n: int) -> torch.Tensor:
        """The indices of n training images, each once, to compare with n generated ones.

        Drawn at random: MNIST's order alternates between writers, so that every sixth image is another distribution.
        """
        return torch.randperm(len(self.training), generator=seeds.generator(seed, "real"))[:n]

    def measure_floor(self, n: int) -> dict[str, float]:
        """The floor: the Fréchet distances of n real training images. A generator that copied them would get these.

        Mean over disjoint draws, at most six: a single draw of 10,000 is off by an eighth and more. Both networks of
        the judge were trained on these images, so real images that they never saw may be nearer.
        """
        draws = [draw for draw in self.draw_real(0, 6 * n).split(n) if len(draw) == n]
        distances = [self.distances(self.training[draw]) for draw in draws]
        return {name: mean(found[name] for found in distances) for name in distances[0]}

    def baseline(self, n: int) -> dict[str, float]:
        """The scores of n real training images, of one draw; but the distances are the floor."""
        return self(self.training[self.draw_real(0, n)]) | self.measure_floor(n)

    def of_training(self, game: Game, images: torch.Tensor, seed: int) -> dict[str, float]:
        """Scores of a GAN in training, by 10,000 samples: also the distances in floors, and the mean logits of a D that
        needs no labels. `images` are its training images."""
        fake, asked = sample_asked(game.sampler(), seed, SAMPLES)
        scores = self(fake, asked)
        logits_of = {"training": images[:SAMPLES], "unseen": self.real, "generated": fake}
        logits = {} if game.discriminator.labels else mean_logits(game.discriminator, logits_of)
        return scores | in_floors(scores, self.floor) | logits


def sample(generator: Generator, seed: int, n: int) -> torch.Tensor:
    """n images (n, 1, 28, 28) of a generator in eval mode, from a noise stream of their own."""
    return sample_asked(generator, seed, n)[0]


@torch.no_grad()
def sample_asked(generator: Generator, seed: int, n: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The images of `sample`, and the labels (n,) that the generator was asked for; None if it knows none."""
    z = generator.draw(n, seeds.generator(seed, "evaluate")).to(next(generator.parameters()).device)
    images = torch.cat([generator(part) for part in z.split(1000)])
    if not images.isfinite().all():
        raise UserError("the generator draws pixels that are not finite; there is nothing to see", status=1)
    return images, z[:, generator.latent_dim :].argmax(1) if generator.labels else None


@torch.no_grad()
def mean_logits(discriminator: Discriminator, images: dict[str, torch.Tensor]) -> dict[str, float]:
    """logit_NAME: the discriminator's mean logit of the images of that name.

    If it is higher for training images than for unseen ones, the discriminator has memorised training images.
    """
    device = next(discriminator.parameters()).device
    return {f"logit_{name}": discriminator(some.to(device)).mean().item() for name, some in images.items()}


def in_floors(scores: dict[str, float], floor: dict[str, float]) -> dict[str, float]:
    """Distance ÷ floor, by the classifier and by the autoencoder: `floors` and `floors_autoencoder`. Real images get 1,
    so a value means the same for both networks and for any number of images."""
    distances = [name for name in scores if name.startswith("frechet") and name in floor]
    return {name.replace("frechet", "floors"): scores[name] / floor[name] for name in distances}
