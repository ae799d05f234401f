"""Train a GAN of plain MLPs on MNIST.

    python part2/train_gan.py                        the improved recipe, 200 epochs
    python part2/train_gan.py --n_epochs 10          the same, a few minutes: readable digits
    python part2/train_gan.py --recipe crisp         fewer digits are smudged, they vary a little less
    python part2/train_gan.py --recipe reference     the assignment's loop to the letter

Writes a folder outputs/part2/RECIPE-seedN-TIME with a grid of digits from fixed noise every --save_interval batches,
progress.png (start, middle and end of training), curves.png (losses, the discriminator's accuracy), training.gif,
metrics.jsonl, checkpoint.pt and result.json.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from PIL import Image

from common import cli, distributed, seeds
from common.console import Table, print_line, progress_bar
from common.figures import draw_curves, new_figure, save_animation, save_figure, tile
from common.means import RunningMeans
from common.resume import open_run, parse_or_resume
from common.runs import Run, read_metrics
from common.saving import Saver
from part2.judge import SAMPLES, SPLITS, WITHOUT_VALIDATION, Judge, in_floors, measure_floor, sample
from part2.mnist import load_mnist
from part2.networks import KIND, Discriminator, Generator
from part2.recipes import PRECISIONS, RECIPES, Game, train_step

SCRIPT = "part2/train_gan.py"
GRID = 5  # digits along each side of a grid
MEANS = ("generator_loss", "discriminator_loss", "accuracy_real", "accuracy_fake")


@dataclass
class Progress:
    """How far training has come."""

    batch: int = 0  # batches done


def batches(n_images: int, batch_size: int, seed: int, start: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Which images stand in batch `start` and in all that follow; those left over are others in each epoch."""
    per_epoch = n_images // batch_size
    for epoch in itertools.count(start // per_epoch):
        order = torch.randperm(n_images, generator=seeds.generator(seed, "order", epoch))
        yield from order.to(device).split(batch_size)[start % per_epoch : per_epoch]
        start = 0


def train(args: argparse.Namespace) -> Path:
    """One training run; returns its folder."""
    with distributed.joined(args.device, args.threads, args.deterministic) as device:
        return train_on(device, args)


def train_on(device: torch.device, args: argparse.Namespace) -> Path:
    images = load_mnist("train").images[: args.data_size].to(device)
    batch_size = args.batch_size * args.processes
    batches_per_epoch = len(images) // batch_size
    last_batch = args.n_epochs * batches_per_epoch

    recipe = RECIPES[args.recipe]
    sizes = {"latent_dim": args.latent_dim, "width": recipe.width, "epsilon": recipe.epsilon, "signs": recipe.signs}
    torch.manual_seed(args.seed)  # the initial weights; nothing else draws from the global generator
    generator = Generator(**sizes).to(device)
    game = Game(generator, Discriminator(recipe.width).to(device), recipe)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16")
    grid_z = generator.draw(GRID**2, seeds.generator(args.seed, "grid")).to(device)
    judge = Judge(args.eval_split, device) if args.eval_interval and distributed.IS_MAIN else None

    progress, means = Progress(), RunningMeans(*MEANS, device=device)
    run = open_run(args, SCRIPT, f"part2/{args.recipe}-seed{args.seed}", KIND)
    floor = measure_floor(judge, SAMPLES) if judge else {}
    learners = {**game.learners(), "means": means}
    saver = Saver(run, args.checkpoint_interval, sizes | {"recipe": asdict(recipe)}, learners, progress)
    table = Table(epoch="d", batch="d", **dict.fromkeys(MEANS, ".3f"), seconds=".1f", floors=".2f")
    order = batches(len(images), batch_size, args.seed, progress.batch, device)
    with saver, progress_bar(last_batch, "batch", done=progress.batch) as bar:
        while True:
            # What is reported of the batches so far. A run that is stopped was saved before, and reports it again.
            epoch, rest = divmod(progress.batch, batches_per_epoch)
            if means.weight and (progress.batch % args.log_interval == 0 or rest == 0):
                quality = {}
                if judge and rest == 0 and epoch % args.eval_interval == 0:
                    with saver.off_the_clock():
                        fake = sample(game.sampler(), args.seed, SAMPLES)
                        quality = judge(fake)
                        quality |= in_floors(quality, floor)
                        logits_of = {"training": images[:SAMPLES], "unseen": judge.real, "generated": fake}
                        quality |= mean_logits(game.discriminator, logits_of)
                row = {"epoch": epoch if rest == 0 else epoch + 1, "batch": progress.batch, **means.take()}
                row |= {"seconds": saver.seconds(), **quality}
                run.log(row, progress.batch)
                if rest == 0:
                    table.print_row(row)
            if progress.batch % args.save_interval == 0 or progress.batch == last_batch:
                with saver.off_the_clock():
                    draw_grid(run, game, grid_z, progress.batch)
            if progress.batch == last_batch:
                break

            real = images[distributed.my_part(next(order))]
            noise = seeds.generator(args.seed, "noise", progress.batch + 1)
            z = distributed.my_part(generator.draw(batch_size, noise)).to(device)
            game.set_learning_rate(args.learning_rate * recipe.rate(progress.batch / batches_per_epoch, args.n_epochs))
            means.add(*train_step(game, real, z, progress.batch, autocast))
            progress.batch += 1
            bar.update()
            saver.after_step()
        saver.at_end()
        if distributed.IS_MAIN:
            finish(run, args.n_epochs, batches_per_epoch, saver.seconds())
    return run.folder


@torch.no_grad()
def mean_logits(discriminator: Discriminator, images: dict[str, torch.Tensor]) -> dict[str, float]:
    """logit_NAME: the discriminator's mean logit of the images of that name.

    Where training images have a higher one than unseen ones, the discriminator has learned them by heart.
    """
    device = next(discriminator.parameters()).device
    return {f"logit_{name}": discriminator(some.to(device)).mean().item() for name, some in images.items()}


@torch.no_grad()
def draw_grid(run: Run, game: Game, z: torch.Tensor, batch: int) -> None:
    """The digits that the generator makes of the fixed noise z, into the run's folder."""
    run.log_picture("grid", tile(game.sampler()(z), GRID), batch)


def finish(run: Run, n_epochs: int, batches_per_epoch: int, seconds: float) -> None:
    """Write the pictures and the result: losses and accuracies are means over the last epoch's batches."""
    draw_summary(run.folder, batches_per_epoch)
    rows = [row for row in read_metrics(run.folder) if row["epoch"] == n_epochs]
    weights = np.diff([(n_epochs - 1) * batches_per_epoch, *(row["batch"] for row in rows)])  # a row is their mean
    final = {name: np.average([row[name] for row in rows], weights=weights).item() for name in MEANS}
    run.finish(
        {
            "epochs": n_epochs,
            "batches": n_epochs * batches_per_epoch,
            "seconds": seconds,
            "discriminator_accuracy": (final["accuracy_real"] + final["accuracy_fake"]) / 2,
            "generator_loss": final["generator_loss"],
            "discriminator_loss": final["discriminator_loss"],
            "checkpoint": run.checkpoint.name,
        }
    )
    print_line(f"pictures: {run.folder / 'progress.png'}, curves.png and training.gif beside it")


def grids_of(folder: Path) -> list[Path]:
    """The grids that a run has drawn, in their order; other files that lie there do not count."""
    return sorted(path for path in (folder / "grids").glob("*.png") if path.stem.isdecimal())


def draw_summary(folder: Path, batches_per_epoch: int) -> None:
    """progress.png, curves.png and training.gif, from what the run has left in its folder."""
    grids = grids_of(folder)
    figure = new_figure(9, 3.3)
    panels = zip(figure.subplots(1, 3), ("start", "middle", "end"), (0, len(grids) // 2, -1), strict=True)
    for axes, name, k in panels:
        axes.imshow(Image.open(grids[k]), cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{name}: batch {int(grids[k].stem):,}", fontsize=10)
        axes.set_axis_off()
    save_figure(figure, folder / "progress.png")

    rows = read_metrics(folder)
    epochs = [row["batch"] / batches_per_epoch for row in rows]
    figure = new_figure(9, 3.3)
    left, right = figure.subplots(1, 2)
    losses = {"generator": "generator_loss", "discriminator": "discriminator_loss"}
    curves = {name: [row[key] for row in rows] for name, key in losses.items()}
    draw_curves(left, epochs, curves, "epoch", "loss (nats)")
    accuracies = {"on real images": "accuracy_real", "on generated images": "accuracy_fake"}
    curves = {name: [100 * row[key] for row in rows] for name, key in accuracies.items()}
    right.axhline(50, color="black", linewidth=0.8, linestyle=":")
    right.annotate("50 %: cannot tell", (epochs[-1], 45), ha="right", fontsize=8)
    draw_curves(right, epochs, curves, "epoch", "discriminator's accuracy (%)")
    right.set_ylim(0, 102)
    save_figure(figure, folder / "curves.png")

    shown = np.unique(np.geomspace(1, len(grids), 48).round().astype(int)) - 1  # early digits change faster
    save_animation([np.asarray(Image.open(grids[k])) for k in shown], folder / "training.gif", scale=1)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--recipe", choices=RECIPES, default="improved", help="reference: the assignment's loop; more in recipes.py")
    add("--n_epochs", type=cli.int_between(1), default=200, help="passes over the training images")
    add("--batch_size", type=cli.int_between(2, 60_000), default=64, help="images in a batch (of each process)")
    add("--learning_rate", type=cli.float_between(0), help="of the discriminator, at first; if not given, the recipe's")
    add("--latent_dim", type=cli.int_between(1, 10_000), default=100, help="length of the noise vector z")
    add("--save_interval", type=cli.int_between(1), default=500, help="batches between two grids of digits")
    add("--log_interval", type=cli.int_between(1), default=100, help="batches between two rows of metrics")
    add("--data_size", type=cli.int_between(2, 60_000), default=60_000, help="training images, the first ones")
    add("--eval_interval", type=cli.int_between(0), default=0, help="epochs between two measurements; 0: never")
    add("--eval_split", choices=SPLITS, default="validation", help="real images for these measurements")
    add("--precision", choices=PRECISIONS, default="float32", help="of the networks' matrix products")
    cli.add_shared_flags(parser)
    cli.add_training_flags(parser)
    may_change = {"save_interval", "checkpoint_interval", "tensorboard"}
    args = parse_or_resume(
        parser, argv, SCRIPT, may_change, epochs=lambda before: None if RECIPES[before["recipe"]].falls else "n_epochs"
    )
    args.learning_rate = args.learning_rate or RECIPES[args.recipe].learning_rate
    if args.latent_dim <= (signs := RECIPES[args.recipe].signs):
        parser.error(f"argument --latent_dim: {signs} of its numbers are signs in the recipe {args.recipe}; give more")
    if args.batch_size * args.processes > args.data_size:
        parser.error(f"argument --batch_size: {args.batch_size} is more than a process's share of the training images")
    if args.eval_interval and args.eval_split == "validation" and args.data_size > WITHOUT_VALIDATION:
        way_out = f"--data_size {WITHOUT_VALIDATION}, or --eval_split test"
        parser.error(f"--eval_split validation: those images must not be trained on: {way_out}")
    return args


def main() -> None:
    train(parse_args())


if __name__ == "__main__":
    cli.call(main)
