"""A page that runs an LSTM in a browser: type digits, watch its gates and its memory, change a digit.

    python part1/explore.py                                              the newest run's network
    python part1/explore.py --run outputs/pretrained/lstm --seed 3       the pretrained network

Writes a folder outputs/part1/explore-seedN-TIME with result.json and explore.html, one file of 0.4 MB that needs no
server and no internet. The page reads up to 100,000 digits with the equations of lstm.py (in page/lstm.js). Over time
it shows c of the units that carry the first digit, i, f and o of one of these units, and the probability of each digit
if the network had to answer now. --seed chooses the palindrome that the page opens with.

The units are those with the greatest R², as in show_gates.py; here it is the mean of R² after 10, 30 and 100 digits.
Beside each digit the page shows its code: the mean of tanh c of these units over palindromes that begin with it.

Weights are stored as float32, and the page computes in float64. At each of 1,000 digits its values are within 1e-9 of
PyTorch's in float64, and its probabilities within 1e-4 of PyTorch's in float32.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli, seeds
from common.pages import build, encode, finish
from common.runs import Run, path_as_text
from part1.networks.traces import explained, trace
from part1.networks.trained import Trained, find_network, load_lstm
from part1.palindromes import NUM_CLASSES
from part1.tasks.held_out import draw_palindromes

import numpy as np
import torch

UNITS = 12  # shown
SEQUENCES = 1000  # for their choice
STEPS = [10, 30, 100]  # after which R² is measured
TEMPLATE = Path(__file__).parent / "page" / "explore.html"


def choose_units(trained: Trained, digits: torch.Tensor) -> tuple[list[int], torch.Tensor]:
    """The units that carry the first of the digits (n, 100), and the code of each first digit (10, units)."""
    memory, first = trace(trained.network, trained.encode(digits), STEPS)["c"], digits[:, 0].long().cpu()
    units = sum(explained(c, first) for c in memory).argsort(descending=True)[:UNITS]
    shown = memory[:, :, units].tanh().mean(0)
    return units.tolist(), torch.stack([shown[first == digit].mean(0) for digit in range(NUM_CLASSES)])


def build_page(trained: Trained, units: list[int], codes: torch.Tensor, digits: list[int]) -> str:
    """Put the network, the units to show, their codes and the first digits into the template; returns the page."""
    network = trained.network
    model = {name: encode(getattr(network, name)) for name in ("weight_ih", "weight_hh", "bias")}
    model |= {"ten": encode(trained.encode(torch.arange(NUM_CLASSES))), "codes": encode(codes)}
    model["readout"] = [encode(network.fc.weight), encode(network.fc.bias)]
    return build(TEMPLATE, model | {"units": units, "digits": digits})


def explore(args: argparse.Namespace) -> Path:
    """Write the page of one network; returns the folder."""
    source = find_network(args.run)
    trained = load_lstm(source)
    trained.network.to(args.device)
    rng = np.random.default_rng(seeds.stream_seed(args.seed, "explore"))
    many = draw_palindromes(SEQUENCES, max(STEPS), rng, held_out=True)[:, :-1]
    units, codes = choose_units(trained, many.to(args.device))
    page = build_page(trained, units, codes, many[0].tolist())

    run = Run.open(args, "part1/explore.py", f"part1/explore-seed{args.seed}")
    finish(run, page, {"network": path_as_text(source), "units": units, "digits": many[0].tolist()})
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--run", type=Path, help=cli.RUN)
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.call(lambda: explore(parse_args()))
