"""A small autoencoder: a second pair of eyes for the measures, trained without labels.

    python part2/autoencoder.py       trains it anew: about a minute

One that was trained so lies in outputs/pretrained/autoencoder and is what `load_autoencoder()` returns. Writes a folder
outputs/part2/autoencoder-seedN-TIME with metrics.jsonl, checkpoint.pt and result.json.
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
from part2.networks import PIXELS


class Autoencoder(nn.Module):
    """An image through 64 numbers and back (Hinton & Salakhutdinov 2006, with ReLU): 784 → 512 → 256 → 64 and mirrored.

    It has to keep what an image looks like, where a classifier may forget all but the digit.

    Shapes: images (n, 1, 28, 28) in [−1, 1] → the same; `features` gives the 64 numbers.
    """

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Flatten(),
            nn.Linear(PIXELS, 512),
            nn.ReLU(),
            nn.Linear(512, 256),
            nn.ReLU(),
            nn.Linear(256, 64),
        )
        self.decoder = nn.Sequential(
            nn.Linear(64, 256),
            nn.ReLU(),
            nn.Linear(256, 512),
            nn.ReLU(),
            nn.Linear(512, PIXELS),
            nn.Tanh(),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.features(images)).view_as(images)


def load_autoencoder(path: Path = PRETRAINED / "autoencoder" / "checkpoint.pt") -> Autoencoder:
    """The autoencoder that a checkpoint holds, in eval mode; UserError if it holds none."""
    autoencoder = Autoencoder()
    autoencoder.load_state_dict(checkpoint.load(path, kind="autoencoder")["autoencoder"])
    return autoencoder.eval()


def train(args: argparse.Namespace) -> Path:
    """One training run on MNIST's training images; its test images are read once, at the end. Returns its folder."""
    images, test_images = (load_mnist(split).images.to(args.device) for split in ("train", "test"))
    torch.manual_seed(args.seed)  # the initial weights; nothing else draws from the global generator
    autoencoder = Autoencoder().to(args.device)
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=args.learning_rate)
    batches = args.n_epochs * -(-len(images) // args.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, total_steps=batches)

    run = Run.create(args, "part2/autoencoder.py", f"part2/autoencoder-seed{args.seed}")
    tqdm.write(f"{run.folder}\n{'epoch':>5} {'loss':>7} {'s':>6}")
    started = time.monotonic()
    for epoch in tqdm(range(1, args.n_epochs + 1), unit="epoch", disable=not sys.stderr.isatty(), leave=False):
        total = torch.zeros((), device=args.device)
        order = torch.randperm(len(images), generator=seeds.generator(args.seed, "order", epoch))
        for index in order.to(args.device).split(args.batch_size):
            batch = images[index]
            loss = F.mse_loss(autoencoder(batch), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach() * len(index)
        mean, seconds = total.item() / len(images), time.monotonic() - started
        run.log({"epoch": epoch, "loss": mean, "seconds": seconds}, epoch)
        tqdm.write(f"{epoch:5d} {mean:7.4f} {seconds:6.1f}")

    checkpoint.save(run.checkpoint, "autoencoder", {"autoencoder": autoencoder.state_dict()})
    with torch.no_grad():
        error = F.mse_loss(autoencoder(test_images), test_images).item()
    run.finish({"test_error": error, "epochs": args.n_epochs, "seconds": time.monotonic() - started})
    print(f"mean squared error {error:.4f} a pixel in [−1, 1] on MNIST's {len(test_images):,} test images")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--n_epochs", type=cli.whole(1), default=10, help="passes over the training images")
    parser.add_argument("--batch_size", type=cli.whole(1, 60_000), default=128, help="images in a batch")
    parser.add_argument(
        "--learning_rate", type=cli.real(0), default=2e-3, help="of Adam at its highest; it rises, then falls"
    )
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


def main() -> None:
    train(parse_args())


if __name__ == "__main__":
    cli.call(main)
