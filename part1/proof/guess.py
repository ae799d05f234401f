"""Could one guess such a network? Initial weights are drawn again and again, and nothing is trained.

    python part1/proof/guess.py --draws 10000

The baseline of Hochreiter & Schmidhuber 1996 ("Bridging long time lags by weight guessing"). Each draw is an LSTM of
--num_hidden units that names the first digit of 1,000 palindromes of ten one-hot digits. Writes a folder
outputs/part1/guess-TIME with result.json: the best accuracy of all draws (chance is 0.1), and the mean.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common import cli, seeds
from common.runs import Run
from part1.lstm import INITS, LSTM, initialise
from part1.tasks.tasks import PALINDROME

import numpy as np
import torch

LENGTH, SEQUENCES = 10, 1_000


@torch.no_grad()
def guess(args: argparse.Namespace) -> Path:
    """Draw the networks and test each; returns the folder."""
    digits = PALINDROME.draw(SEQUENCES, LENGTH, np.random.default_rng(seeds.stream_seed(args.seed, "guess")))
    inputs, targets = PALINDROME.encode(digits[:, :-1], "one_hot").to(args.device), digits[:, -1].long().to(args.device)
    network = LSTM(inputs.shape[2], args.num_hidden, PALINDROME.classes).to(args.device)
    run = Run.open(args, "part1/proof/guess.py", "part1/guess")
    torch.manual_seed(args.seed)
    accuracies = []
    for _ in range(args.draws):
        initialise(network, args.init, LENGTH)
        accuracies.append((network(inputs).argmax(1) == targets).float().mean().item())
    run.finish({"best": max(accuracies), "mean": float(np.mean(accuracies))})
    cli.print_line(f"best of {args.draws:,} draws: accuracy {max(accuracies):.3f}; mean {np.mean(accuracies):.3f}")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--draws", type=cli.int_between(1), default=10_000, help="networks")
    parser.add_argument("--num_hidden", type=cli.int_between(1, 4096), default=64, help="units in h and c")
    parser.add_argument("--init", choices=INITS, default="normal", help="from which distribution: see part1/lstm.py")
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.call(lambda: guess(parse_args()))
