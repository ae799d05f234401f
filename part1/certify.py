"""Is a trained LSTM proved to be right after every sequence, of every length?

    python part1/certify.py
    python part1/certify.py --run outputs/part1/MY-RUN --attack 10000

Prints the certificate (part1/proof/certificate.py), and beside it what an attack finds in --attack steps: 200 sequences
that grow digit by digit, half of them at random, half by the digit that hurts most. The exit status is 0 if the network
is proved, and 1 if it is not; then the reason is printed, with a sequence that is answered wrongly if one was found.
For an nn.LSTM, the LSTM by hand with its weights is certified.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli, seeds
from part1.networks.trained import find_network, load_lstm
from part1.proof.attack import attack
from part1.proof.certificate import certify

SEQUENCES = 200  # of the attack


def run_certificate(args: argparse.Namespace) -> bool:
    """Certify one network and attack it; returns whether it is proved."""
    source = find_network(args.run)
    trained = load_lstm(source, any_task=True)
    network, task = trained.network, trained.task.automaton
    symbols = trained.symbols
    cli.print_line(f"{source}: {network.hidden_dim} units, task {trained.task.name}, digits {trained.encoding}")
    certificate = certify(network, symbols, task)
    found = attack(network, symbols, task, args.attack, SEQUENCES, seeds.generator(args.seed, "attack"))
    cli.print_line(certificate.verdict)
    if found.margin <= 0:
        text = " ".join(map(str, found.sequence[:40])) + (" …" if len(found.sequence) > 40 else "")
        cli.print_line(f"after {len(found.sequence):,} digits it says {found.said} instead of {found.answer}: {text}")
    else:
        cli.print_line(f"an attack of {args.attack:,} steps found no error; smallest margin {found.margin:.2f}")
    return certificate.proved


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--run", type=Path, help=cli.RUN)
    parser.add_argument(
        "--attack", type=cli.int_between(1, 10**6), default=1000, help="digits in a sequence of the attack"
    )
    parser.add_argument("--seed", type=cli.seed, default=0, help="of the attack")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.call(lambda: sys.exit(0 if run_certificate(parse_args()) else 1))
