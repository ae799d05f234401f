"""A small digit classifier: it reads the digits that a generator draws, and its features measure them.

    python part2/classifier.py        trains it anew: about a minute

One that was trained so lies in outputs/pretrained/classifier and is what `load_classifier()` returns. Writes a folder
outputs/part2/classifier-seedN-TIME with metrics.jsonl, checkpoint.pt and result.json.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from common import checkpoint, cli, seeds
from common.runs import PRETRAINED, Run
from part2.mnist import load_mnist

CONFIDENT = 0.95  # a probability with which a digit counts as read with confidence


class Classifier(nn.Module):
    """A convolutional network (LeCun et al. 1998, with ReLU and max pooling).

    Shapes: images (n, 1, 28, 28) in [−1, 1] → logits (n, 10); `features` gives the 128 numbers before the last layer.
    """

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (n, 16, 14, 14)
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (n, 32, 7, 7)
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 128),
            nn.ReLU(),
        )
        self.fc = nn.Linear(128, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(images))

    @torch.no_grad()
    def read(self, images: torch.Tensor) -> torch.Tensor:
        """The probability of each digit, (n, 10), a thousand images at a time."""
        return torch.cat([self(part).softmax(1) for part in images.split(1000)])


def load_classifier(path: Path = PRETRAINED / "classifier" / "checkpoint.pt") -> Classifier:
    """The classifier that a checkpoint holds, in eval mode; UserError if it holds none."""
    classifier = Classifier()
    classifier.load_state_dict(checkpoint.load(path, kind="digit classifier")["classifier"])
    return classifier.eval()


def train(args: argparse.Namespace) -> Path:
    """One training run on MNIST's training images; its test images are read once, at the end. Returns its folder."""
    images, labels = (t.to(args.device) for t in load_mnist("train"))
    test_images, test_labels = (t.to(args.device) for t in load_mnist("test"))
    torch.manual_seed(args.seed)  # the initial weights; nothing else draws from the global generator
    classifier = Classifier().to(args.device)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=args.learning_rate)
    batches = args.n_epochs * -(-len(images) // args.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, total_steps=batches)

    run = Run.create(args, "part2/classifier.py", f"part2/classifier-seed{args.seed}")
    tqdm.write(f"{run.folder}\n{'epoch':>5} {'loss':>7} {'accuracy':>8} {'s':>6}")
    started = time.monotonic()
    for epoch in tqdm(range(1, args.n_epochs + 1), unit="epoch", disable=not sys.stderr.isatty(), leave=False):
        sums = torch.zeros(2, device=args.device)
        order = torch.randperm(len(images), generator=seeds.generator(args.seed, "order", epoch))
        for index in order.to(args.device).split(args.batch_size):
            logits = classifier(images[index])
            loss = F.cross_entropy(logits, labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            correct = (logits.argmax(1) == labels[index]).float().mean()
            sums += torch.stack([loss.detach(), correct]) * len(index)
        loss, accuracy = (sums / len(images)).tolist()
        seconds = time.monotonic() - started
        run.log({"epoch": epoch, "loss": loss, "accuracy": accuracy, "seconds": seconds}, epoch)
        tqdm.write(f"{epoch:5d} {loss:7.4f} {accuracy:8.4f} {seconds:6.1f}")

    checkpoint.save(run.checkpoint, "digit classifier", {"classifier": classifier.state_dict()})
    probability = classifier.eval().read(test_images)
    result = {
        "test_accuracy": (probability.argmax(1) == test_labels).float().mean().item(),
        "confident": (probability.amax(1) >= CONFIDENT).float().mean().item(),
        "epochs": args.n_epochs,
        "seconds": time.monotonic() - started,
    }
    run.finish(result)
    print(f"test accuracy {result['test_accuracy']:.4f} on MNIST's {len(test_labels):,} test images")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--n_epochs", type=cli.whole(1), default=5, help="passes over the training images")
    parser.add_argument("--batch_size", type=cli.whole(1, 60_000), default=128, help="images in a batch")
    parser.add_argument(
        "--learning_rate", type=cli.real(0), default=3e-3, help="of Adam at its highest; it rises, then falls"
    )
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


def main() -> None:
    train(parse_args())


if __name__ == "__main__":
    cli.call(main)
