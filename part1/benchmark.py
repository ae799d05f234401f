"""How fast is the LSTM by hand? It is compared with nn.LSTM, with plain loops and with a lower bound, the floor.

    python part1/benchmark.py
    python part1/benchmark.py --lengths 10 30 --rounds 5

All contestants take turns, round after round. A turn is several steps; the first step is not timed. A speed is the
ratio to nn.LSTM's turn in the same round, as the median over rounds: above 1 is faster than nn.LSTM. A training step is
forward, cross entropy, backward, clipping and RMSprop, with one scalar per digit. A forward pass is timed too. The
floor is the time of the matrix products alone. Writes benchmark.csv, benchmark.png and, like every run, config.json and
result.json.

On long sequences nn.LSTM loses time because it takes new memory at each step; the LSTM by hand uses its memory again.
With huge pages nn.LSTM loses less: on Linux, start this with THP_MEM_ALLOC_ENABLE=1 in the environment.

On CUDA nn.LSTM is faster: the LSTM by hand launches eight kernels per step forward and ten backward, while cuDNN does
many steps in one. Train with `--model torch_lstm` there.
"""

import argparse
import functools
import itertools
import math
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from torch import nn

from common import cli
from common.figures import STYLES, new_figure, plain_axes, save_figure
from common.files import write_csv
from common.products import product
from common.runs import Run
from common.timing import take_turns, turn
from part1.lstm import LSTM, remember
from part1.networks import TorchLSTM
from part1.palindromes import MAX_TRAINED_LENGTH, NUM_CLASSES

YARDSTICK = "nn.LSTM"


class FourProducts(LSTM):
    """The loop exactly as the equations say: each gate has its own products with x(t) and h(t−1)."""

    def read(self, x: torch.Tensor, state=None) -> tuple[torch.Tensor, torch.Tensor]:
        h = c = x.new_zeros(len(x), self.hidden_dim)
        for x_t in x.unbind(1):
            h, c = remember(*self.gates(x_t, h), c)
        return h, c

    def gates(self, x_t: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, ...]:
        W_ix, W_fx, W_gx, W_ox = self.weight_ih.chunk(4)
        W_ih, W_fh, W_gh, W_oh = self.weight_hh.chunk(4)
        b_i, b_f, b_g, b_o = self.bias.chunk(4)
        i = torch.sigmoid(F.linear(x_t, W_ix, b_i) + F.linear(h, W_ih))
        f = torch.sigmoid(F.linear(x_t, W_fx, b_f) + F.linear(h, W_fh))
        g = torch.tanh(F.linear(x_t, W_gx, b_g) + F.linear(h, W_gh))
        o = torch.sigmoid(F.linear(x_t, W_ox, b_o) + F.linear(h, W_oh))
        return i, f, g, o


class WithoutOneDNN(TorchLSTM):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before, torch.backends.mkldnn.enabled = torch.backends.mkldnn.enabled, False
        try:
            return super().forward(x)
        finally:
            torch.backends.mkldnn.enabled = before


CONTESTANTS = {
    "by hand": LSTM,
    YARDSTICK: TorchLSTM,
    "nn.LSTM, oneDNN off": WithoutOneDNN,
    "plain loop": functools.partial(LSTM, plain=True),
    "plain loop, four products": FourProducts,
}
FLOOR = "floor: the products alone"


def training_step(network: nn.Module, x: torch.Tensor, targets: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.RMSprop(network.parameters(), lr=1e-4)

    def step() -> None:
        loss = F.cross_entropy(network(x), targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()

    return step


def forward_pass(network: nn.Module, x: torch.Tensor, _targets: torch.Tensor) -> Callable[[], None]:
    return torch.no_grad()(lambda: network(x))


def products(x: torch.Tensor, hidden: int, backward: bool) -> Callable[[], None]:
    """The matrix products that every LSTM needs at each step: W_·h h forward; W_·hᵀ δ and δ hᵀ backward."""
    W, h, delta = x.new_ones(4 * hidden, hidden), x.new_ones(hidden, len(x)), x.new_ones(4 * hidden, len(x))
    W_T = W.T.contiguous()

    def step() -> None:
        for _ in range(x.shape[1]):
            product(W, h.T)
            if backward:
                product(W_T, delta.T)
                product(delta, h)

    return torch.no_grad()(step)


STEPS = {"training step": training_step, "forward pass": forward_pass}


def kept_for_backward(network: nn.Module, length: int, batch_size: int) -> int:
    """The bytes that a forward pass over `length` steps keeps for backward, without the parameters."""
    kept = {}
    parameters = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = network(torch.zeros(batch_size, length, 1))
    del logits
    return sum(kept.values())


def benchmark(args: argparse.Namespace) -> Path:
    """Time all contestants at all lengths; returns the folder."""
    run = Run.create(args, "part1/benchmark.py", "part1/benchmark")
    print(
        f"batch {args.batch_size}, hidden {args.num_hidden}, float32, {torch.get_num_threads()} threads; {run.folder}"
    )
    torch.manual_seed(args.seed)
    networks = {name: make(1, args.num_hidden, NUM_CLASSES).to(args.device) for name, make in CONTESTANTS.items()}
    rows = []
    for length, kind in itertools.product(args.lengths, STEPS):
        x = torch.randn(args.batch_size, length, 1, device=args.device)
        targets = torch.randint(NUM_CLASSES, (args.batch_size,), device=args.device)
        steps = {name: STEPS[kind](network, x, targets) for name, network in networks.items()}
        steps[FLOOR] = products(x, args.num_hidden, kind == "training step")
        turns = {name: turn(step, args.device) for name, step in steps.items()}
        times = take_turns(turns, args.rounds, args.turn)
        for name in turns:
            ratios = sorted(y / t for y, t in zip(times[YARDSTICK], times[name], strict=True))
            row = {"what": kind, "length": length, "network": name}
            row |= {"us_per_step_of_length": f"{median(times[name]) / length * 1e6:.1f}"}
            row |= {"speed": f"{median(ratios):.3f}", "slowest": f"{ratios[0]:.3f}", "fastest": f"{ratios[-1]:.3f}"}
            rows.append(row)
            spread = f"{row['speed']} × ({row['slowest']} to {row['fastest']})"
            print(f"{kind:13} T={length:<6} {name:26} {row['us_per_step_of_length']:>8} µs a step of length, {spread}")
    memory = {}
    for name, network in networks.items():
        shorter, longer = (kept_for_backward(network.cpu(), length, args.batch_size) for length in (100, 200))
        memory[name] = (longer - shorter) / 100 / args.batch_size
        print(f"kept for backward: {name:26} {memory[name]:8,.0f} bytes a step of length and sequence")
    write_csv(run.folder / "benchmark.csv", rows)
    draw(rows, run.folder / "benchmark.png")
    run.finish({"memory": memory})
    print(f"picture: {run.folder / 'benchmark.png'}")
    return run.folder


def draw(rows: list[dict], path: Path) -> None:
    """Speed relative to nn.LSTM, over length: the training step on the left, the forward pass on the right."""
    figure = new_figure(9, 3.8)
    lengths = sorted({row["length"] for row in rows})
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("training step", "forward pass"), strict=True):
        others = [name for name in [*CONTESTANTS, FLOOR] if name != YARDSTICK]
        for name, style in zip(others, STYLES, strict=False):
            speeds = [float(row["speed"]) for row in rows if (row["what"], row["network"]) == (kind, name)]
            label = name if kind == "training step" else None
            axes.plot(lengths, speeds, label=label, marker="o", markersize=3, linewidth=1.4, **style)
        axes.axhline(1, color="0.5", linewidth=0.8)
        axes.annotate("nn.LSTM", (lengths[0], 1), (0, 3), textcoords="offset points", fontsize=8, color="0.3")
        axes.set_title(kind, fontsize=10)
        axes.set_xscale("log")
        room = [b >= 1.3 * a for a, b in itertools.pairwise([*lengths, math.inf])]  # for a label beside the next one
        axes.set_xticks(lengths, [f"{a:,}" if fits else "" for a, fits in zip(lengths, room, strict=True)])
        axes.minorticks_off()
        axes.set_xlabel("input length")
        axes.set_ylim(0)
        plain_axes(axes)
    figure.axes[0].set_ylabel("speed (nn.LSTM = 1)")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    save_figure(figure, path)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    lengths = [5, 10, 15, 25, 30, 100, 300, 1000]
    length = cli.int_between(1, MAX_TRAINED_LENGTH)
    add("--lengths", nargs="+", type=length, default=lengths, help="input lengths, in digits")
    add("--rounds", type=cli.int_between(1), default=9, help="turns of each contestant at each length")
    add("--turn", type=cli.float_between(0), default=0.3, help="about how many seconds a turn takes")
    add("--batch_size", type=cli.int_between(1), default=128, help="sequences in a batch")
    add("--num_hidden", type=cli.int_between(1, 4096), default=128, help="units in h (and c)")
    cli.add_shared_flags(parser)
    args = parser.parse_args(argv)
    args.lengths = sorted(set(args.lengths))
    return args


def main() -> None:
    benchmark(parse_args())


if __name__ == "__main__":
    cli.call(main)
