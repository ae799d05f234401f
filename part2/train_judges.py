"""Train a network that judges images: a classifier or an autoencoder.

    python part2/train_judges.py classifier
    python part2/train_judges.py autoencoder
    python part2/train_judges.py classifier --n_epochs 0      one that has seen no image, with its initial weights

The project comes with both: `load_classifier()` and `load_autoencoder()` return outputs/pretrained/classifier and
outputs/pretrained/autoencoder. Others can judge instead: part2/evaluate.py --classifier RUN --autoencoder RUN. This
script trains on MNIST's training images; the test images are used once, at the end. It writes a folder
outputs/part2/NAME-seedN-TIME with metrics.jsonl, checkpoint.pt and result.json.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from torch import nn

from common import checkpoint, cli, seeds
from common.console import Table, print_line, progress_bar
from common.means import RunningMeans
from common.runs import Run
from part2 import autoencoder, classifier
from part2.autoencoder import Autoencoder
from part2.classifier import CONFIDENT, Classifier
from part2.mnist import Digits, load_mnist


def classify(network: Classifier, images: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Cross entropy (nats) and accuracy of a batch."""
    logits = network(images)
    return {"loss": F.cross_entropy(logits, labels), "accuracy": (logits.argmax(1) == labels).float().mean()}


def measure_classifier(network: Classifier, test: Digits) -> dict[str, float]:
    probability = network.read(test.images)
    return {
        "test_accuracy": (probability.argmax(1) == test.labels).float().mean().item(),
        "confident": (probability.amax(1) >= CONFIDENT).float().mean().item(),
    }


def redraw(network: Autoencoder, images: torch.Tensor, _labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Mean squared error per pixel of a batch; pixels are in [−1, 1]."""
    return {"loss": F.mse_loss(network(images), images)}


@torch.no_grad()
def measure_autoencoder(network: Autoencoder, test: Digits) -> dict[str, float]:
    return {"test_error": F.mse_loss(network(test.images), test.images).item()}


class Task(NamedTuple):
    """How one of the judges is trained."""

    network: type[nn.Module]
    kind: str  # of its checkpoint
    losses: Callable  # (network, images, labels) → what is logged, by name, "loss" first
    logged: tuple[str, ...]
    measure: Callable  # (network, MNIST's test images and labels) → the result
    n_epochs: int
    learning_rate: float  # of Adam at its highest


TASKS = {
    "classifier": Task(Classifier, classifier.KIND, classify, ("loss", "accuracy"), measure_classifier, 5, 3e-3),
    "autoencoder": Task(Autoencoder, autoencoder.KIND, redraw, ("loss",), measure_autoencoder, 10, 2e-3),
}


def train(args: argparse.Namespace) -> Path:
    """One training run; returns its folder."""
    task = TASKS[args.judge]
    training, test = (Digits(*(part.to(args.device) for part in load_mnist(split))) for split in ("train", "test"))
    torch.manual_seed(args.seed)  # the initial weights; nothing else draws from the global generator
    network = task.network().to(args.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=args.learning_rate)
    batches = args.n_epochs * -(-len(training.images) // args.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, total_steps=max(1, batches))

    run = Run.create(args, "part2/train_judges.py", f"part2/{args.judge}-seed{args.seed}")
    means = RunningMeans(*task.logged, device=args.device)
    table = Table(epoch="d", loss=".4f", accuracy=".4f", seconds=".1f")
    print_line(f"{run.folder}")
    started = time.monotonic()
    with progress_bar(args.n_epochs, "epoch") as bar:
        for epoch in range(1, args.n_epochs + 1):
            order = torch.randperm(len(training.images), generator=seeds.generator(args.seed, "order", epoch))
            for index in order.to(args.device).split(args.batch_size):
                losses = task.losses(network, training.images[index], training.labels[index])
                optimizer.zero_grad()
                losses["loss"].backward()
                optimizer.step()
                schedule.step()
                means.add(*losses.values(), weight=len(index))
            row = {"epoch": epoch, **means.take(), "seconds": time.monotonic() - started}
            run.log(row, epoch)
            table.print_row(row)
            bar.update()

    checkpoint.save(run.checkpoint, task.kind, {"network": network.state_dict()})
    result = task.measure(network.eval(), test)
    run.finish(result | {"epochs": args.n_epochs, "seconds": time.monotonic() - started})
    print_line(f"on MNIST's test images: {', '.join(f'{name} {value:.4f}' for name, value in result.items())}")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("judge", choices=TASKS, help="which one to train")
    add(
        "--n_epochs",
        type=cli.int_between(0),
        help="passes over the training images; 0: untrained; if not given, 5 or 10",
    )
    add("--batch_size", type=cli.int_between(1, 60_000), default=128, help="images in a batch")
    add("--learning_rate", type=cli.float_between(0), help="Adam's highest learning rate; if not given, 3e-3 or 2e-3")
    cli.add_shared_flags(parser)
    args = parser.parse_args(argv)
    args.n_epochs = TASKS[args.judge].n_epochs if args.n_epochs is None else args.n_epochs
    args.learning_rate = args.learning_rate or TASKS[args.judge].learning_rate
    return args


def main() -> None:
    train(parse_args())


if __name__ == "__main__":
    cli.call(main)
