"""How far does a trained network remember? Its accuracy on fresh palindromes of any length.

    python part1/evaluate.py
    python part1/evaluate.py --run outputs/part1/MY-RUN --lengths 10 1000 100000 1048576 --seed 7

Prints a table and writes nothing. The palindromes that the network was trained on are left out. There are 10,000 for
lengths up to 1,000, then 1,000 up to 100,000, 100 up to 1,048,576 and 20 beyond. Below length 10 only few exist, so
most are tested more than once. A network that was trained on another task is tested on that one. Memory grows with
length by one byte a digit only.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli
from common.files import reading
from common.runs import read_config
from part1.networks.trained import find_network, load
from part1.tasks.memory import LENGTHS, MAX_LENGTH, accuracy_at_lengths, training_digits


def evaluate(args: argparse.Namespace) -> dict[str, float]:
    """Test one run's network and print the table; returns length → accuracy."""
    source = find_network(args.run)
    trained = load(source)
    trained.network.to(args.device)
    config = read_config(source, required=False)
    if not config:
        cli.print_line(f"{source}: its config.json is missing: the palindromes it was trained on cannot be left out")
    with reading(source, "its config.json is damaged"):
        trained_on = training_digits(config["script"], config["arguments"]) if config else None
    return accuracy_at_lengths(trained, args.lengths, args.seed, trained_on)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add, length = parser.add_argument, cli.int_between(1, MAX_LENGTH)
    add("--run", type=Path, help=cli.RUN)
    add("--lengths", nargs="+", type=length, default=LENGTHS, help="input lengths, in digits")
    cli.add_seed_and_device(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.call(lambda: evaluate(parse_args()))
