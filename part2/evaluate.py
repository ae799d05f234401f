"""How good and how varied are a generator's digits? 10,000 of them beside MNIST's, in numbers.

    python part2/evaluate.py --checkpoint outputs/part2/MY-RUN

Without --checkpoint: the newest finished run of train_gan.py under outputs/, else the pretrained generator. Beside
every figure stands the same one for 10,000 real training images: what a perfect generator would get. Writes a folder
outputs/part2/evaluate-seedN-TIME with result.json and neighbours.png (some digits, and under each the training images
nearest to it).

The figures are those of part2/measures.py, as two networks see the images that know nothing of the generator: the digit
classifier (128 features) and an autoencoder (64). Generators are compared with --split test, MNIST's test images.
Whoever chooses settings does so with --split validation, the last 10,000 training images, and trains on the others.
"""

import argparse
import hashlib
import sys
from functools import cached_property
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from common import cli, seeds
from common.figures import new_figure, save_figure, tile
from common.runs import PRETRAINED, Run
from part2.autoencoder import load_autoencoder
from part2.classifier import CONFIDENT, load_classifier
from part2.measures import frechet, nearest, neighbourhood, radii, score
from part2.mnist import load_mnist
from part2.networks import Generator, find_generator, load_generator

SAMPLES = 10_000
SPLITS = ("test", "validation")
VALIDATION = 10_000  # training images, the last ones
SHOWN = 12  # digits in neighbours.png
# SHA-256 of the networks that look at the images; with others, figures would be others too.
EXTRACTORS = {
    "classifier": "3dc44598fa65e152d34bffab9bd0db5b31a82f16154fb05efb7295d08ce999f6",
    "autoencoder": "5b4456ddb8fb242ea6275738256d45b4bec9e1b86a98af41481fc4bfdd4ae8f4",
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
        self.classifier = load_classifier().to(device)
        self.extractors = {"": self.classifier.features, "_autoencoder": load_autoencoder().to(device).features}
        for name, sha256 in EXTRACTORS.items():
            path = PRETRAINED / name / "checkpoint.pt"
            if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
                raise cli.UserError(f"{path}: is not the one that all figures were measured with; git checkout -- it")
        self.device = device
        self.real, _ = real_images(split)

    @cached_property
    def seen(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """The real images' features and their radii."""
        features = {suffix: self.features(self.real, suffix) for suffix in self.extractors}
        return {suffix: (points, radii(points)) for suffix, points in features.items()}

    @torch.no_grad()
    def features(self, images: torch.Tensor, suffix: str) -> torch.Tensor:
        return torch.cat([self.extractors[suffix](part.to(self.device)) for part in images.split(1000)])

    def __call__(self, images: torch.Tensor) -> dict[str, float]:
        figures = {}
        for suffix, (real, real_radii) in self.seen.items():
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
    """n images (n, 1, 28, 28) of a generator in eval mode, from noise of their own."""
    device = next(generator.parameters()).device
    z = torch.randn(n, generator.latent_dim, generator=seeds.generator(seed, "evaluate")).to(device)
    return torch.cat([generator(part) for part in z.split(1000)])


def floor(judge: Judge, training: torch.Tensor, seed: int) -> dict[str, float]:
    """The figures of as many training images (n, 1, 28, 28): what a perfect generator would get.

    Drawn at random: MNIST's order alternates between writers, so that every sixth image is another distribution.
    """
    drawn = torch.randperm(len(training), generator=seeds.generator(seed, "real"))[:SAMPLES]
    return judge(training[drawn.to(training.device)])


def memorised(images: torch.Tensor, real: torch.Tensor, training: torch.Tensor) -> dict[str, float]:
    """How near images come to the training images (n, 1, 28, 28), in pixels, beside how near real new ones come.

    distance        median over the images of the Euclidean distance to the nearest training image
    distance_real   the same for `real` images that are no training images
    too_near        share of the images nearer to a training image than 99 % of the real ones are; 0.01 were normal
    """
    distance, to_real = (nearest(some, training)[0].squeeze(1) for some in (images, real))
    too_near = (distance < to_real.quantile(0.01)).double().mean().item()
    return {"distance": distance.median().item(), "distance_real": to_real.median().item(), "too_near": too_near}


def draw_neighbours(images: torch.Tensor, training: torch.Tensor, path: Path) -> None:
    """A row of generated digits, and below each the three training images nearest to it."""
    _, which = nearest(images, training, n=3)
    rows = torch.cat([images.cpu(), *(training[column].cpu() for column in which.T)])
    figure = new_figure(7.2, 2.6)
    axes = figure.subplots()
    axes.imshow(tile(rows, len(images)), cmap="gray", vmin=0, vmax=255)
    axes.set_yticks([14 + 30 * row for row in range(4)], ["generated", "nearest", "second", "third"], fontsize=9)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    save_figure(figure, path)


def evaluate(args: argparse.Namespace) -> Path:
    """Measure one generator; returns the folder."""
    source = find_generator(args.checkpoint)
    generator = load_generator(source).to(args.device)
    judge = Judge(args.split, args.device)
    run = Run.create(args, "part2/evaluate.py", f"part2/evaluate-seed{args.seed}")
    images = sample(generator, args.seed, SAMPLES)
    real, training = real_images(args.split)
    real, training = real.to(args.device), training.to(args.device)
    print(f"generator: {source}\n{SAMPLES:,} of its images beside MNIST's {len(real):,} {args.split} images")
    figures, of_real = judge(images), floor(judge, training, args.seed)
    print(f"{'':24} {'generated':>10} {'real, from training':>20}")
    for name, value in figures.items():
        print(f"{name:24} {value:10.3f} {of_real[name]:20.3f}")
    near = memorised(images, real, training)
    print(f"{'':24} {'generated':>10} {f'real, from {args.split}':>20}")
    print(f"{'nearest training image':24} {near['distance']:10.3f} {near['distance_real']:20.3f}")
    print(f"{'too near to one':24} {near['too_near']:10.3f} {0.01:20.3f}")
    draw_neighbours(images[:SHOWN], training, run.folder / "neighbours.png")
    run.finish({"checkpoint": str(source), "generated": figures, "real": of_real, "memorised": near})
    print(f"picture: {run.folder / 'neighbours.png'}")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--checkpoint", type=Path, help="a run's folder or checkpoint; if not given, the newest run's")
    add("--split", choices=SPLITS, default="test", help="real images to compare with; validation: to choose settings")
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


def main() -> None:
    evaluate(parse_args())


if __name__ == "__main__":
    cli.call(main)
