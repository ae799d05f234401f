"""A page that dares you to make an LSTM forget: type, paste or paint digits, or let an attack choose them.

    python part1/explore.py                                              the newest run's network
    python part1/explore.py --run outputs/pretrained/lstm --seed 3       the pretrained network
    python part1/explore.py --beside outputs/pretrained/lstm_without_proof     beside it one that forgets

Writes a folder outputs/part1/explore-seedN-TIME with result.json and explore.html, one file of 0.3 MB that needs no
server and no internet. The page reads up to 100,000 digits with the equations of lstm.py (in page/lstm.js). After each
digit it shows the answer, its margin, and where h is. The address of the page holds the digits, so that it can be sent.
It opens with the digits that leave the least margin of 200 sequences that grow to 100 digits (proof/attack.py), for
the network beside it if there is one.

A network that is proved (proof/certificate.py) is shown with its ten sets S_d: the smallest box around all boxes of the
closed B in which the first digit was d. They hold h and c after every sequence from FOLLOW digits on. Both are drawn in
the plane P h + p that comes closest to putting the ten middles on a circle and the boxes' radii r to nothing:

    least  Σ_d |P m_d + p − (sin, cos)(2π d / 10)|² + Σ_k |P_k|² Σ_d r_dk²

Without a proof there are no sets; m_d and r_d are then mean and deviation of h over sequences that begin with d.
The units shown are those with the greatest R², as in show_gates.py, here the mean of R² after 10, 30 and 100 digits.

Weights are stored as float32, bounds are rounded outwards to it, and the page computes in float64. At each of 1,000
digits its values are within 1e-9 of PyTorch's in float64, and its probabilities within 1e-4 of PyTorch's in float32.
"""

import argparse
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli, seeds
from common.pages import build, encode, finish
from common.runs import Run, path_as_text
from part1.networks.traces import explained, trace
from part1.networks.trained import Trained, find_network, load_lstm
from part1.palindromes import NUM_CLASSES
from part1.proof.attack import attack
from part1.proof.boxes import Box, hull
from part1.proof.certificate import FOLLOW, certify
from part1.tasks.palindrome import draw_palindromes
from part1.tasks.task import Automaton

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

UNITS = 12  # shown
SEQUENCES = 1000  # for their choice
STEPS = [10, 30, 100]  # after which R² is measured
OPENING, ATTACKED = 100, 200  # digits in a sequence of the attack, and such sequences
TEMPLATE = Path(__file__).parent / "page" / "explore.html"


def first_digit_sets(boxes: Box, task: Automaton) -> Box:
    """S_d of each digit d, (10, hidden), from B."""
    states, symbols = task.next.shape
    return hull(boxes, torch.arange(states).repeat_interleave(symbols), states).rows(task.next[0])


def plane(middle: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """P (2, hidden) and p (2,) for the middles and radii, (10, hidden)."""
    angle = 2 * math.pi / NUM_CLASSES * torch.arange(NUM_CLASSES, dtype=middle.dtype)
    circle = torch.stack([angle.sin(), angle.cos()], dim=1)
    penalty = torch.diag((radius.square().sum(0) + 1e-9).sqrt())
    rows = torch.cat([F.pad(middle, (0, 1), value=1.0), F.pad(penalty, (0, 1))])
    solution = torch.linalg.lstsq(rows, F.pad(circle, (0, 0, 0, len(penalty)))).solution
    return solution[:-1].T, solution[-1]


def outward(interval: tuple[Tensor, Tensor]) -> list[str]:
    """Bounds in float32 that are no tighter."""
    ends = torch.tensor([-torch.inf, torch.inf])
    return [encode(bound.float().nextafter(end)) for bound, end in zip(interval, ends, strict=True)]


def describe(trained: Trained, source: Path, digits: Tensor) -> dict:
    """What the page holds of a network; `digits` (n, 100) are for the choice of units."""
    network, symbols, first = trained.network, trained.symbols, digits[:, 0].long()
    traces = trace(network, trained.encode(digits), STEPS)
    units = sum(explained(c, first) for c in traces["c"]).argsort(descending=True)[:UNITS]
    model = {name: encode(getattr(network, name)) for name in ("weight_ih", "weight_hh", "bias")}
    model |= {"ten": encode(symbols), "readout": [encode(network.fc.weight), encode(network.fc.bias)]}
    model |= {"name": path_as_text(source), "units": units.tolist()}

    certificate = certify(network, symbols, trained.task.automaton)
    if certificate.proved:
        sets = first_digit_sets(certificate.boxes, trained.task.automaton)
        middle, radius = (sets.h[0] + sets.h[1]) / 2, (sets.h[1] - sets.h[0]) / 2
        model |= {"margin": certificate.margin, "follow": FOLLOW, "sets": [outward(sets.h), outward(sets.c)]}
    else:
        of_digit = [traces["h"][:, first == digit].flatten(0, 1).double() for digit in range(NUM_CLASSES)]
        middle, radius = (torch.stack(rows) for rows in ([h.mean(0) for h in of_digit], [h.std(0) for h in of_digit]))
        model["why"] = certificate.why_not
    across, centre = plane(middle, radius)
    return model | {"plane": [encode(across), encode(centre), encode(middle @ across.T + centre)]}


def explore(args: argparse.Namespace) -> Path:
    """Write the page of one network, or of two; returns the folder."""
    sources = [find_network(args.run), *([args.beside] if args.beside else [])]
    rng = np.random.default_rng(seeds.stream_seed(args.seed, "explore"))
    digits = draw_palindromes(SEQUENCES, max(STEPS), rng)[:, :-1]
    networks = [load_lstm(source) for source in sources]
    described = [describe(trained, source, digits) for trained, source in zip(networks, sources, strict=True)]
    network, symbols, task = networks[-1].network, networks[-1].symbols, networks[-1].task.automaton
    generator = seeds.generator(args.seed, "attack")
    opening = attack(network, symbols, task, OPENING, ATTACKED, generator).sequence
    page = build(TEMPLATE, {"networks": described, "digits": opening})
    run = Run.open(args, "part1/explore.py", f"part1/explore-seed{args.seed}")
    shown = [{"network": network["name"], "proved": "sets" in network} for network in described]
    finish(run, page, {"networks": shown, "digits": opening})
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--run", type=Path, help=cli.RUN)
    parser.add_argument("--beside", type=Path, help="a second network, which reads the same digits")
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.call(lambda: explore(parse_args()))
