"""Is a trained LSTM proved to be right after every sequence, of every length?

    python part1/certify.py
    python part1/certify.py --run outputs/part1/MY-RUN --attack 10000

Tries the certificate (part1/proof/certificate.py), and beside it an attack of --attack steps: 200 sequences that grow
digit by digit, half of them at random, half by the digit that leaves the least margin. The exit status is 0 if the
network is proved. It is 1 if not; then the reason is printed, and a sequence that is answered wrongly if one was found.
For an nn.LSTM, the LSTM by hand with its weights is certified.

Writes a folder outputs/part1/certificate-TIME with result.json and, if the network is proved, sets.png: the set of
states that no digit leaves, for each answer, with trajectories that go into it, in a plane of h that tells them apart.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli, seeds
from common.runs import Run, path_as_text
from part1.networks.trained import find_network, load_lstm
from part1.proof.attack import attack
from part1.proof.certificate import certify
from part1.proof.picture import draw_sets

import numpy as np

SEQUENCES = 200  # of the attack


def run_certificate(args: argparse.Namespace) -> Path:
    """Certify one network and attack it; returns the folder. SystemExit with status 1 if it is not proved."""
    source = find_network(args.run)
    trained = load_lstm(source, any_task=True)
    network, task = trained.network.to(args.device), trained.task.automaton
    certificate = certify(network, trained.symbols, task)
    found = attack(network, trained.symbols, task, args.attack, SEQUENCES, seeds.generator(args.seed, "attack"))

    run = Run.open(args, "part1/certify.py", "part1/certificate")
    if certificate.proved:
        draw_sets(trained, certificate.boxes, np.random.default_rng(args.seed), run.folder / "sets.png")
    result = {"network": path_as_text(source), "proved": certificate.proved, "why_not": certificate.why_not}
    result |= {"margin": certificate.margin, "rounds": certificate.rounds, "attack_margin": found.margin}
    run.finish(result | {"sequence": found.sequence if found.margin <= 0 else []})
    cli.print_line(certificate.verdict)
    if found.margin <= 0:
        text = " ".join(map(str, found.sequence[:40])) + " …" * (len(found.sequence) > 40)
        cli.print_line(f"after {len(found.sequence):,} digits it says {found.said} instead of {found.answer}: {text}")
    else:
        cli.print_line(f"the attack found no error; the least margin it met is {found.margin:.2f}")
    if not certificate.proved:
        sys.exit(1)
    cli.print_line(f"picture: {run.folder / 'sets.png'}")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--run", type=Path, help=cli.RUN)
    parser.add_argument("--attack", type=cli.int_between(1, 10**6), default=1000, help="steps of the attack")
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.call(lambda: run_certificate(parse_args()))
