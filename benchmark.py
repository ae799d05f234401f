"""How fast is a training step? The LSTM by hand beside nn.LSTM, the GAN beside the assignment's loop.

    python benchmark.py lstm
    python benchmark.py lstm --lengths 10 30 --rounds 5
    python benchmark.py gan

All contestants take turns, round after round, so that other work on the machine slows all alike. A turn is several
steps. A speed is the ratio to the yardstick (nn.LSTM, or the assignment's loop) in the same round, as the median over
rounds: above 1 is faster. It needs a machine that does nothing else.

lstm   forward, cross entropy, backward, clipping and RMSprop, with one scalar a digit; then a forward pass alone
gan    draw a batch and the noise, train both networks once

On a CPU our networks are timed with both libraries for float32 products, PyTorch's own and oneDNN's; the project uses
oneDNN's on AMD processors (common/products.py). On CUDA nn.LSTM is faster than the LSTM by hand, which starts eight
small kernels for a step forward and ten backward: train with `--model torch_lstm` there.

Writes a folder outputs/benchmark/WHAT-TIME with benchmark.csv and, like every run, config.json and result.json.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))

from common import cli, products
from common.files import write_csv
from common.runs import Run
from part1.lstm import LSTM
from part1.networks.by_name import TorchLSTM
from part1.palindromes import MAX_TRAINED_LENGTH, NUM_CLASSES
from part2 import gan
from part2.images import load_mnist
from part2.recipes.recipes import RECIPES

import torch
import torch.nn.functional as F
from torch import nn

SCRIPT = "benchmark.py"
YARDSTICKS = {"lstm": "nn.LSTM", "gan": "the assignment's loop"}
Step = Callable[[], object]


def by_each_library(name: str, make: Callable[[type[nn.Linear]], Step], device: torch.device) -> dict[str, Step]:
    """The step that `make` returns, with each library's float32 products that this machine has."""

    def switched(step: Step, onednn: bool) -> Step:
        def call() -> None:
            with mock.patch.object(products, "ONEDNN", onednn):
                step()

        return call

    steps = {f"{name}, PyTorch's products": switched(make(nn.Linear), False)}
    if device.type == "cpu" and torch.backends.mkldnn.is_available():
        steps[f"{name}, oneDNN's products"] = switched(make(products.FastLinear), True)
    return steps


def lstm_steps(length: int, training: bool, device: torch.device) -> dict[str, Step]:
    """A step of each contestant at this length, with 128 sequences and 128 units: of training, or a forward pass."""
    x = torch.randn(128, length, 1, device=device)
    targets = torch.randint(NUM_CLASSES, (128,), device=device)

    def step_of(network: nn.Module) -> Step:
        optimizer = torch.optim.RMSprop(network.to(device).parameters(), lr=1e-4)

        def step() -> None:
            loss = F.cross_entropy(network(x), targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            optimizer.step()

        return step if training else torch.no_grad()(lambda: network(x))

    sizes = 1, 128, NUM_CLASSES
    steps = {"nn.LSTM": step_of(TorchLSTM(*sizes)), "plain loop": step_of(LSTM(*sizes, plain=True))}
    return steps | by_each_library("by hand", lambda _: step_of(LSTM(*sizes)), device)


def gan_steps(device: torch.device) -> dict[str, Step]:
    """A step of each contestant, with 64 images."""
    images = load_mnist("train").images.to(device)

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            for index in torch.randperm(len(images)).to(device).split(64)[:-1]:
                yield images[index], torch.randn(64, 100).to(device)

    def networks(linear: type[nn.Linear]) -> tuple[gan.Generator, gan.Discriminator]:
        with mock.patch.object(gan, "Linear", linear):
            return gan.Generator(100).to(device), gan.Discriminator().to(device)

    def assigned() -> Step:
        """The assignment's training step, written plainly."""
        generator, discriminator = networks(nn.Linear)
        of_generator, of_discriminator = (torch.optim.Adam(n.parameters(), lr=2e-4) for n in (generator, discriminator))
        bce, ones, zeros = nn.BCELoss(), torch.ones(64, device=device), torch.zeros(64, device=device)

        def step() -> tuple[float, float]:
            real, z = next(drawn)
            of_generator.zero_grad()
            fake = generator(z)
            g_loss = bce(discriminator.probability(fake), ones)
            g_loss.backward()
            of_generator.step()

            of_discriminator.zero_grad()
            real_loss = bce(discriminator.probability(real), ones)
            d_loss = real_loss + bce(discriminator.probability(fake.detach()), zeros)
            d_loss.backward()
            of_discriminator.step()
            return g_loss.item(), d_loss.item()

        return step

    def by_recipe(name: str, linear: type[nn.Linear], bf16: bool = False) -> Step:
        game, count = gan.Game(*networks(linear), RECIPES[name]), itertools.count()
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
        return lambda: game.step(*next(drawn), next(count), autocast)

    drawn, steps = batches(), {"the assignment's loop": assigned()}
    for name in ("reference", "improved"):
        steps |= by_each_library(f"{name} recipe", lambda linear, name=name: by_recipe(name, linear), device)
    return steps | {"improved recipe, bf16": by_recipe("improved", gan.Linear, bf16=True)}


def take_turns(steps: dict[str, Step], args: argparse.Namespace) -> dict[str, list[float]]:
    """For each contestant the seconds per step, one number for each round."""

    def seconds(step: Step, n: int) -> float:
        started = time.perf_counter()
        for _ in range(n):
            step()
        if args.device.type == "cuda":
            torch.cuda.synchronize(args.device)
        return (time.perf_counter() - started) / n

    for step in steps.values():  # on CUDA, until all kernels are recorded
        seconds(step, 4 * gan.PENALTY_INTERVAL if args.device.type == "cuda" else 2)
    n_steps = {name: max(1, round(args.turn / seconds(step, 1))) for name, step in steps.items()}
    rounds = [{name: seconds(step, n_steps[name]) for name, step in steps.items()} for _ in range(args.rounds)]
    return {name: [times[name] for times in rounds] for name in steps}


def benchmark(args: argparse.Namespace) -> Path:
    """Time all contestants; returns the folder."""
    run, rows = Run.open(args, SCRIPT, f"benchmark/{args.what}"), []
    used = "oneDNN's" if products.ONEDNN and args.device.type == "cpu" else "PyTorch's"
    print(f"{torch.get_num_threads()} threads; here the project uses {used} products; {run.folder}")
    torch.manual_seed(args.seed)
    kinds = ("training step", "forward pass") if args.what == "lstm" else ("training step",)
    for length, kind in itertools.product(args.lengths, kinds):
        steps = lstm_steps(length, kind == kinds[0], args.device) if args.what == "lstm" else gan_steps(args.device)
        times = take_turns(steps, args)
        for name, seconds in times.items():
            ratios = sorted(y / t for y, t in zip(times[YARDSTICKS[args.what]], seconds, strict=True))
            row = {"what": kind, "length": length, "contestant": name, "ms": f"{1000 * median(seconds):.3f}"}
            row |= {"speed": f"{median(ratios):.3f}", "slowest": f"{ratios[0]:.3f}", "fastest": f"{ratios[-1]:.3f}"}
            rows.append(row)
            label = f"{kind}, T = {length}: {name}" if length else f"{kind}: {name}"
            print(f"{label:55} {row['ms']:>9} ms  {row['speed']} × ({row['slowest']} to {row['fastest']})")
    write_csv(run.folder / "benchmark.csv", rows)
    run.finish({"products": used})
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add, length = parser.add_argument, cli.int_between(1, MAX_TRAINED_LENGTH)
    add("what", choices=YARDSTICKS, help="which network")
    add("--lengths", nargs="+", type=length, help="of lstm: input lengths; if not given, 5, 10, 30, 100, 300, 1000")
    add("--rounds", type=cli.int_between(1), default=9, help="turns of each contestant")
    add("--turn", type=cli.float_between(0), default=0.5, help="about how many seconds a turn takes")
    cli.add_shared_flags(parser)
    args = parser.parse_args(argv)
    if args.lengths and args.what != "lstm":
        parser.error("argument --lengths: is for lstm; a GAN reads no sequences")
    args.lengths = (args.lengths or [5, 10, 30, 100, 300, 1000]) if args.what == "lstm" else [0]
    return args


if __name__ == "__main__":
    cli.call(lambda: benchmark(parse_args()))
