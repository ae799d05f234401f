"""Train a network whose features the judge compares: a classifier or an autoencoder.

    python part2/judges/train_judges.py classifier
    python part2/judges/train_judges.py autoencoder
    python part2/judges/train_judges.py classifier --n_epochs 0      an untrained one
    python part2/judges/train_judges.py autoencoder --images FOLDER  for other images than MNIST's
    python part2/judges/train_judges.py classifier --run RUN         what can be learnt from a GAN's digits (GAN-train)

The project comes with both: outputs/pretrained/classifier and outputs/pretrained/autoencoder. To judge with others:
part2/evaluate.py --classifier RUN --autoencoder RUN. This script trains on training images; the test images are used
once, at the end. With --run it trains on 60,000 digits that a GAN draws, and on none of MNIST's: the more of them are
varied, clear and what they should be, the higher the accuracy on MNIST's test images (Shmelkov et al. 2018). Labels are
those that the GAN was asked for; if it knows none, what the project's classifier reads.

It writes a folder outputs/part2/NAME-seedN-TIME with metrics.jsonl, checkpoint.pt, result.json.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common import cli, seeds
from common.files import save_checkpoint
from common.runs import Run, path_as_text
from common.training import RunningMeans
from part2.images import Digits
from part2.judges.judge import sample_asked
from part2.judges.networks import CONFIDENT, Autoencoder, Classifier, load_classifier
from part2.networks.trained import load_generator, trained_on
from part2.sources.files import EPOCH, Source, add_image_flags

import torch
import torch.nn.functional as F

SCRIPT = "part2/judges/train_judges.py"


def classify(network: Classifier, images: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Cross entropy (nats) and accuracy of a batch."""
    logits = network(images)
    return {"loss": F.cross_entropy(logits, labels), "accuracy": (logits.argmax(1) == labels).float().mean()}


def measure_classifier(network: Classifier, test: Digits) -> dict[str, float]:
    probability = network.read(test.images)
    right, confident = probability.argmax(1) == test.labels, probability.amax(1) >= CONFIDENT
    return {"test_accuracy": right.float().mean().item(), "confident": confident.float().mean().item()}


def redraw(network: Autoencoder, images: torch.Tensor, _labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Mean squared error per pixel of a batch; pixels are in [−1, 1]."""
    return {"loss": F.mse_loss(network(images), images)}


@torch.no_grad()
def measure_autoencoder(network: Autoencoder, test: Digits) -> dict[str, float]:
    return {"test_error": redraw(network, *test)["loss"].item()}


SETUPS = {  # name → the network, a batch's losses, the names of these, what is measured in the end
    "classifier": (Classifier, classify, ("loss", "accuracy"), measure_classifier),
    "autoencoder": (Autoencoder, redraw, ("loss",), measure_autoencoder),
}
EPOCHS = {"classifier": 5, "autoencoder": 10}
LEARNING_RATES = {"classifier": 3e-3, "autoencoder": 2e-3}  # of Adam at its highest


def draw_digits(args: argparse.Namespace) -> Digits:
    """60,000 images of the generator, with labels."""
    if (name := trained_on(args.run).get("name", "MNIST")) != "MNIST":
        raise cli.UserError(f"--run {args.run}: was trained on {name}; it must draw MNIST's digits, for the test")
    images, asked = sample_asked(load_generator(args.run).to(args.device), args.seed, EPOCH)
    return Digits(images, load_classifier().to(args.device).read(images).argmax(1) if asked is None else asked)


def train_judges(args: argparse.Namespace) -> Path:
    """One training run; returns its folder."""
    kind_of_network, losses_of, logged, measure = SETUPS[args.judge]
    source = Source(args.images or "MNIST", args.resize, args.grey)
    if args.run:
        training, data = draw_digits(args), {"name": f"digits of {path_as_text(args.run)}", "size": EPOCH}
    else:
        training = source.load("train")
        data = source.describe(training.images)
    training, test = (Digits(*(part.to(args.device) for part in of)) for of in (training, source.load("test")))
    if args.judge == "classifier" and not 0 <= training.labels.min() <= training.labels.max() <= 9:
        raise cli.UserError(f"--images {source.name}: has no labels from 0 to 9; an autoencoder needs none")
    passes = EPOCH // len(training.images) if args.images else 1
    torch.manual_seed(args.seed)  # the initial weights; nothing else draws from the global generator
    network = kind_of_network().to(args.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=args.learning_rate)
    batches = args.n_epochs * -(-passes * len(training.images) // args.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, total_steps=max(1, batches))

    run = Run.open(args, SCRIPT, f"part2/{args.judge}-seed{args.seed}")
    means = RunningMeans(*logged, device=args.device)
    table = cli.Table(epoch="d", loss=".4f", accuracy=".4f", seconds=".1f")
    print(run.folder)
    started = time.monotonic()
    with cli.progress_bar(args.n_epochs, "epoch") as bar:
        for epoch in range(1, args.n_epochs + 1):
            rng = seeds.generator(args.seed, "order", epoch)
            order = torch.cat([torch.randperm(len(training.images), generator=rng) for _ in range(passes)])
            for index in order.to(args.device).split(args.batch_size):
                losses = losses_of(network, training.images[index], training.labels[index])
                optimizer.zero_grad()
                losses["loss"].backward()
                optimizer.step()
                schedule.step()
                means.add(*losses.values(), weight=len(index))
            row = {"epoch": epoch, **means.take(), "seconds": time.monotonic() - started}
            run.log(row, epoch)
            table.print_row(row)
            bar.update()

    if not network.eval()(test.images[:1000]).isfinite().all():
        raise cli.UserError("what it computes is no longer finite; a smaller --learning_rate may help", status=1)
    save_checkpoint(run.checkpoint, network.kind, {"data": data, "network": network.state_dict()})
    result = measure(network, test)
    run.finish(result | {"epochs": args.n_epochs, "seconds": time.monotonic() - started})
    print(f"on {source.name}'s test images: {', '.join(f'{name} {value:.4f}' for name, value in result.items())}")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("judge", choices=SETUPS, help="which one to train")
    add("--n_epochs", type=cli.int_between(0), help="passes over the training images; if not given, 5 or 10")
    add("--batch_size", type=cli.int_between(1, 60_000), default=128, help="images in a batch")
    add("--learning_rate", type=cli.float_between(0), help="Adam's highest learning rate; if not given, 3e-3 or 2e-3")
    add_image_flags(parser, "train on these instead")
    add("--run", type=Path, help="train on digits that this run or checkpoint of train_gan.py draws")
    cli.add_shared_flags(parser)
    args = parser.parse_args(argv)
    if args.images and args.run:
        parser.error("argument --images: cannot be given with --run, whose digits are trained on")
    args.n_epochs = EPOCHS[args.judge] if args.n_epochs is None else args.n_epochs
    args.learning_rate = args.learning_rate or LEARNING_RATES[args.judge]
    return args


if __name__ == "__main__":
    cli.call(lambda: train_judges(parse_args()))
