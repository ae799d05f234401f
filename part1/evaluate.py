"""How far does a trained network remember? Its accuracy on fresh palindromes of any length.

    python part1/evaluate.py outputs/part1/MY-RUN
    python part1/evaluate.py outputs/part1/MY-RUN --lengths 10 1000 100000 --seed 7

Prints a table and writes nothing. The palindromes were never trained on: `palindromes.draw` holds them out from a
curriculum, and of a run of epochs those of its own length that it trained on are left out. 10,000 palindromes up to
length 1,000, then 1,000 up to 10,000, then 100; drawn one by one, so that below length 10, where few exist, most come
more than once.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from common import cli, seeds
from common.files import read_json
from part1.networks import load_network
from part1.palindromes import MAX_INPUT_LENGTH, PalindromeDataset, draw, encode, split

LENGTHS = (10, 30, 100, 300, 1_000, 2_000, 10_000, 100_000)
length = cli.whole(4, MAX_INPUT_LENGTH)


@torch.no_grad()
def evaluate(network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, encoding: str) -> tuple[float, float]:
    """Mean cross entropy (nats) and accuracy of the network on the sequences."""
    loss = correct = 0.0
    at_once = max(1, min(500, 10_000_000 // inputs.shape[1]))  # one-hot, ten million digits are 400 MB
    for digits, target in zip(inputs.split(at_once), targets.split(at_once), strict=True):
        logits = network(encode(digits, encoding))
        loss += F.cross_entropy(logits, target, reduction="sum").item()
        correct += (logits.argmax(1) == target).sum().item()
    return loss / len(targets), correct / len(targets)


def report(network: nn.Module, encoding: str, lengths, seed: int, trained_on: torch.Tensor | None, say=print) -> dict:
    """Print and return the accuracy at each length; palindromes among `trained_on` are left out."""
    device = next(network.parameters()).device
    accuracies = {}
    say(f"{'input length':>12} {'palindromes':>11} {'wrong':>6} {'accuracy':>8}")
    for input_length in lengths:
        rng = np.random.default_rng(seeds.stream_seed(seed, "test", input_length))
        n = 10_000 if input_length <= 1_000 else 1_000 if input_length <= 10_000 else 100
        digits = draw(n, input_length, rng, held_out=True)
        if trained_on is not None and trained_on.shape[1] == digits.shape[1]:
            known = {row.tobytes() for row in trained_on.cpu().numpy()}
            digits = digits[[row.tobytes() not in known for row in digits.numpy()]]
        digits = digits.to(device)
        if len(digits):
            _, accuracy = evaluate(network, digits[:, :-1], digits[:, -1].long(), encoding)
            accuracies[str(input_length)] = accuracy
            wrong = round((1 - accuracy) * len(digits))
            say(f"{input_length:12,} {len(digits):11,} {wrong:6,} {accuracy:8.4f}")
    return accuracies


def training_digits(arguments: dict) -> torch.Tensor | None:
    """The palindromes that a run of epochs trained on, from its settings; a curriculum's are held out by themselves."""
    if arguments.get("curriculum"):
        return None
    rng = np.random.default_rng(seeds.stream_seed(arguments["seed"], "palindromes"))
    dataset = PalindromeDataset(arguments["input_length"], arguments["data_size"], rng)
    training, _, _ = split(len(dataset), arguments["portion_train"])
    return dataset.digits[training]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="the folder of a run of part1/train.py")
    add("--lengths", nargs="+", type=length, default=list(LENGTHS), help="input lengths, in digits")
    add("--seed", type=cli.whole(0, 2**63 - 1), default=0, help="another seed, other palindromes")
    add("--device", type=cli.device, default="auto", help="auto, cpu, cuda or cuda:N")
    return parser.parse_args(argv)


def main() -> None:
    args = parse_args()
    network = load_network(args.run / "checkpoint.pt").to(args.device)
    arguments = read_json(args.run / "config.json")["arguments"]
    report(network, network.encoding, args.lengths, args.seed, training_digits(arguments))


if __name__ == "__main__":
    cli.call(main)
