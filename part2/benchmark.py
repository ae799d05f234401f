"""How fast does the GAN train? It is compared with the assignment's loop and with a lower bound, the floor.

    python part2/benchmark.py
    python part2/benchmark.py --rounds 5 --turn 1

All contestants take turns in one process, round after round. A turn is several steps; the first step is not timed. A
speed is the ratio to the assignment's loop in the same round, as the median over rounds: above 1 is faster. A step
draws a batch and the noise, and trains both networks once. The floor is the time of the matrix products and of Adam's
memory traffic. (On CUDA its kernels are started one by one, so a step that is replayed can take less.) Writes
benchmark.csv and, like every run, config.json and result.json.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from common import cli
from common.files import write_csv
from common.products import Linear, product
from common.runs import Run
from common.timing import take_turns, turn
from part2.mnist import load_mnist
from part2.networks import Discriminator, Generator
from part2.recipes import PENALTY_INTERVAL, RECIPES, Game, train_step

YARDSTICK = "the assignment's loop"
FLOOR = "floor: products and Adam's memory traffic"


def networks(device: torch.device, width: int = 1) -> tuple[Generator, Discriminator]:
    """Generator and discriminator, with the same initial weights each time."""
    torch.manual_seed(0)
    return Generator(100, width).to(device), Discriminator(width).to(device)


def with_torch_layers(network: nn.Module) -> nn.Module:
    """The network with PyTorch's `nn.Linear` layers. Its activations are still computed in place, which helps it."""
    for k, ours in enumerate(network.layers):
        if isinstance(ours, Linear):
            network.layers[k] = nn.Linear(ours.in_features, ours.out_features)
            network.layers[k].load_state_dict(ours.state_dict())
    return network


def loaded(batch_size: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Batches as in the assignment: a DataLoader transforms each PIL image."""
    from torchvision import transforms  # here, as it may not fit torch: cli.call says so

    to_tensor = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    images, labels = load_mnist("train")
    pixels = images.add(1).mul(127.5).round().byte().squeeze(1).numpy()

    class Images(Dataset):
        """Does what `torchvision.datasets.MNIST` does, which needs unpacked archives."""

        def __len__(self) -> int:
            return len(pixels)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return to_tensor(Image.fromarray(pixels[index])), int(labels[index])

    loader = DataLoader(Images(), batch_size=batch_size, shuffle=True, drop_last=True)
    return (batch.to(device) for _ in itertools.count() for batch, _ in loader)


def in_memory(batch_size: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Batches from one tensor in memory."""
    images = load_mnist("train").images.to(device)
    while True:
        for index in torch.randperm(len(images)).to(device).split(batch_size):
            if len(index) == batch_size:
                yield images[index]


def assigned(batches: Iterator[torch.Tensor], device: torch.device) -> Callable[[], tuple[float, float]]:
    """The assignment's training step, written plainly; it returns both losses."""
    generator, discriminator = (with_torch_layers(network).to(device) for network in networks(device))
    generator_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4)
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-4)
    bce = nn.BCELoss()

    def step() -> tuple[float, float]:
        real = next(batches)
        z = torch.randn(len(real), 100).to(device)
        ones, zeros = torch.ones(len(real), device=device), torch.zeros(len(real), device=device)

        generator_optimizer.zero_grad()
        fake = generator(z)
        g_loss = bce(discriminator.probability(fake), ones)
        g_loss.backward()
        generator_optimizer.step()

        discriminator_optimizer.zero_grad()
        real_loss = bce(discriminator.probability(real), ones)
        fake_loss = bce(discriminator.probability(fake.detach()), zeros)
        d_loss = real_loss + fake_loss
        d_loss.backward()
        discriminator_optimizer.step()
        return g_loss.item(), d_loss.item()

    return step


def ours(name: str, batches: Iterator[torch.Tensor], device: torch.device, bf16: bool = False) -> Callable[[], tuple]:
    """A training step of this recipe, as in train_gan.py; it returns both losses and two accuracies."""
    recipe = RECIPES[name]
    game = Game(*networks(device, recipe.width), recipe)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
    count = itertools.count()

    def step() -> tuple[torch.Tensor, ...]:
        real = next(batches)
        return train_step(game, real, torch.randn(len(real), 100).to(device), next(count), autocast)

    if device.type == "cuda":  # until all its kernels are recorded
        for _ in range(4 * PENALTY_INTERVAL):
            step()
    return step


def lower_bound(batch_size: int, device: torch.device) -> Callable[[], None]:
    """The reference recipe's matrix products, and for each weight four reads and three writes of Adam's numbers.

    A layer computes x Wᵀ forward; backward it computes δᵀ x for its weights and δ W for the layer before. The generator
    goes forward and backward once; before its first layer there is nothing. The fake images go through the
    discriminator forward and backward, without gradients of its weights. Then real and fake images together go forward
    and backward.
    """
    products = []

    def layer(module: nn.Linear, n: int, weights: bool, inputs: bool) -> None:
        W, x = torch.randn_like(module.weight), torch.randn(n, module.in_features, device=device)
        y = torch.randn(n, module.out_features, device=device)
        products.append((x, W))
        if weights:
            products.append((y.T, x.T))
        if inputs:
            products.append((y, W.T))

    generator, discriminator = networks(device)
    for network, n, weights, first in (
        (generator, 1, True, False),
        (discriminator, 1, False, True),
        (discriminator, 2, True, False),
    ):
        linear = [module for module in network.layers if isinstance(module, nn.Linear)]
        for k, module in enumerate(linear):
            layer(module, n * batch_size, weights, inputs=k > 0 or first)
    held = [
        [torch.zeros_like(parameter) for _ in range(4)]
        for parameter in itertools.chain(generator.parameters(), discriminator.parameters())
    ]

    def step() -> None:
        for x, W in products:
            product(x, W)
        for weight, gradient, mean, square in held:
            mean.copy_(gradient)
            square.copy_(mean)
            torch.add(weight, square, out=weight)

    return torch.no_grad()(step)


def contestants(batch_size: int, device: torch.device) -> dict[str, Callable]:
    memory = in_memory(batch_size, device)
    return {
        YARDSTICK: assigned(loaded(batch_size, device), device),
        "the same, images in memory": assigned(memory, device),
        "reference recipe": ours("reference", memory, device),
        "reference recipe, bf16 products": ours("reference", memory, device, bf16=True),
        "improved recipe": ours("improved", memory, device),
        "improved recipe, bf16 products": ours("improved", memory, device, bf16=True),
        FLOOR: lower_bound(batch_size, device),
    }


def benchmark(args: argparse.Namespace) -> Path:
    """Time all contestants; returns the folder."""
    steps = contestants(args.batch_size, args.device)
    run = Run.create(args, "part2/benchmark.py", "part2/benchmark")
    print(f"batch {args.batch_size}, {torch.get_num_threads()} threads; {run.folder}")
    torch.manual_seed(args.seed)  # the order of the images and the noise, which no time depends on
    turns = {name: turn(step, args.device) for name, step in steps.items()}
    times = take_turns(turns, args.rounds, args.turn)
    rows = []
    for name, seconds in times.items():
        ratios = sorted(y / t for y, t in zip(times[YARDSTICK], seconds, strict=True))
        above_floor = median(t / f for t, f in zip(seconds, times[FLOOR], strict=True))
        row = {
            "contestant": name,
            "ms_per_step": f"{1000 * median(seconds):.2f}",
            "steps_per_second": f"{1 / median(seconds):.1f}",
        }
        row |= {"speed": f"{median(ratios):.3f}", "slowest": f"{ratios[0]:.3f}", "fastest": f"{ratios[-1]:.3f}"}
        rows.append(row | {"times_the_floor": f"{above_floor:.3f}"})
        spread = f"{row['speed']} × ({row['slowest']} to {row['fastest']})"
        print(f"{name:42} {row['ms_per_step']:>7} ms a step, {spread}, {above_floor:.2f} times the floor")
    write_csv(run.folder / "benchmark.csv", rows)
    extra = median(i / r for i, r in zip(times["improved recipe"], times["reference recipe"], strict=True))
    run.finish({"improved_to_reference": extra})
    print(f"a step of the improved recipe takes {extra:.2f} times as long as one of the reference recipe")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--rounds", type=cli.int_between(1), default=9, help="turns of each contestant")
    add("--turn", type=cli.float_between(0), default=1.0, help="about how many seconds a turn takes")
    add("--batch_size", type=cli.int_between(2, 60_000), default=64, help="images in a batch")
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


def main() -> None:
    benchmark(parse_args())


if __name__ == "__main__":
    cli.call(main)
