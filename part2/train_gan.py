"""Train a GAN of plain MLPs on MNIST.

    python part2/train_gan.py                        the improved recipe, 200 epochs
    python part2/train_gan.py --recipe reference     the assignment's loop to the letter

Writes a folder outputs/part2/RECIPE-seedN-TIME with a grid of digits from fixed noise every --save_interval batches,
progress.png (start, middle and end of training), curves.png (losses, the discriminator's accuracy), training.gif,
metrics.jsonl, checkpoint.pt and result.json.
"""

import argparse
import copy
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from common import cli, distributed, seeds
from common.figures import draw_curves, new_figure, save_animation, save_figure, tile
from common.runs import Run, parse, read_metrics
from common.saving import Saver, check_finite
from part2.evaluate import SAMPLES, SPLITS, VALIDATION, Judge, sample
from part2.mnist import load_mnist
from part2.networks import Discriminator, Generator, measure_statistics
from part2.recipes import (
    PENALTY_INTERVAL,
    RECIPES,
    Recipe,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    update_average,
)

SCRIPT = "part2/train_gan.py"
KIND = "GAN"
GRID = 5  # digits along each side of a grid


@torch.no_grad()
def draw_grid(run: Run, generator: Generator, z: torch.Tensor, batch: int) -> None:
    """Write the digits that the generator makes of the fixed noise z."""
    run.show("grid", tile(generator(z), GRID), batch)


def to_sample_from(generator: Generator, average: Generator | None) -> Generator:
    """What `load_generator` would return if training ended here, for grids and measurements; training is untouched."""
    return measure_statistics(copy.deepcopy(average)) if average else copy.deepcopy(generator).eval()


@dataclass
class Progress:
    """How far training has come: with the networks and the optimisers, all that a checkpoint must hold."""

    sums: torch.Tensor  # since the last row of metrics: both losses, the discriminator's accuracy on real and on fake
    summed: int = 0  # batches in them
    batch: int = 0  # batches done


def train_step(
    generator: Generator,
    discriminator: Discriminator,
    generator_optimizer: torch.optim.Optimizer,
    discriminator_optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    real: torch.Tensor,
    z: torch.Tensor,
    batch: int,
    precision: torch.autocast,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step of each network on a batch of real images (n, 1, 28, 28) and as much noise z (n, latent_dim).

    Returns both losses with the discriminator's accuracy on real and on generated images, (4,), and the norms of both
    gradients, (2,). `batch` counts from 0.
    """
    # Generator: make the discriminator call its images real. The discriminator's weights need no gradient here.
    discriminator.requires_grad_(False)
    with precision:
        fake = generator(z).float()
        opponents = discriminator(real).float() if recipe.relativistic else None
        g_loss = generator_loss(discriminator(fake).float(), opponents)
    discriminator.requires_grad_(True)
    generator_optimizer.zero_grad()
    g_loss.backward()
    g_norm = distributed.mean_gradients(generator)
    generator_optimizer.step()

    # Discriminator: tell real images from the same fakes, detached. One pass over both.
    judged = torch.cat([real, fake.detach()])
    penalised = recipe.penalty > 0 and batch % PENALTY_INTERVAL == 0
    with precision:
        logits = discriminator(judged.requires_grad_(penalised)).float()
        penalty = gradient_penalty(logits, judged) if penalised else 0.0
    real_logits, fake_logits = logits.chunk(2)
    d_loss = discriminator_loss(real_logits, fake_logits, recipe.relativistic)
    discriminator_optimizer.zero_grad()
    (d_loss + PENALTY_INTERVAL * recipe.penalty * penalty).backward()
    d_norm = distributed.mean_gradients(discriminator)
    discriminator_optimizer.step()

    border = logits.mean() if recipe.relativistic else 0.0  # of paired logits only differences mean something
    accuracy = (real_logits > border).float().mean(), (fake_logits < border).float().mean()
    return torch.stack([g_loss.detach(), d_loss.detach(), *accuracy]), torch.stack([g_norm, d_norm])


def train(args: argparse.Namespace) -> Path:
    """One training run; returns its folder."""
    if args.deterministic:
        cli.use_deterministic_algorithms()
    device = distributed.join(args.device)
    say = tqdm.write if distributed.FIRST else lambda *_: None
    recipe = RECIPES[args.recipe]
    images = load_mnist("train").images[: args.data_size].to(device)
    whole_batch = args.batch_size * distributed.PROCESSES
    batches_per_epoch = len(images) // whole_batch  # the images left over are others in each epoch
    last_batch = args.n_epochs * batches_per_epoch

    torch.manual_seed(args.seed)  # the initial weights; nothing else draws from the global generator
    generator = Generator(args.latent_dim, recipe.width).to(device)
    discriminator = Discriminator(recipe.width).to(device)
    average = copy.deepcopy(generator) if recipe.average else None
    generator_optimizer = recipe.make_optimizer(generator, args.learning_rate)
    discriminator_optimizer = recipe.make_optimizer(discriminator, args.learning_rate)
    at = Progress(sums=torch.zeros(4, device=device))

    judge = Judge(args.eval_split, device) if args.eval_interval and distributed.FIRST else None
    run = Run.open(args, SCRIPT, f"part2/{args.recipe}-seed{args.seed}", KIND)
    about = {"latent_dim": args.latent_dim, "width": recipe.width, "recipe": asdict(recipe)}
    learners = {
        "generator": generator,
        "discriminator": discriminator,
        "generator_optimizer": generator_optimizer,
        "discriminator_optimizer": discriminator_optimizer,
    } | ({"average": average} if average else {})
    saver = Saver(run, KIND, args.checkpoint_interval, about, learners, at)

    bf16 = torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16")
    grid_z = torch.randn(GRID**2, args.latent_dim, generator=seeds.generator(args.seed, "grid")).to(device)
    if at.batch == 0:
        draw_grid(run, to_sample_from(generator, average), grid_z, 0)
    quality = f" {'Fréchet':>8}" if args.eval_interval else ""
    columns = f"{'epoch':>5} {'batch':>7} {'G loss':>7} {'D loss':>7} {'D real':>7} {'D fake':>7} {'s':>7}"
    say(f"{run.folder}\n{columns}{quality}")
    quiet = not (distributed.FIRST and sys.stderr.isatty())
    progress = tqdm(total=last_batch, initial=at.batch, unit="batch", disable=quiet, leave=False)
    order, order_epoch = None, None
    with saver:
        while at.batch < last_batch:
            epoch, position = divmod(at.batch, batches_per_epoch)
            if epoch != order_epoch:
                order = torch.randperm(len(images), generator=seeds.generator(args.seed, "order", epoch)).to(device)
                order_epoch = epoch
            real = images[distributed.share(order[position * whole_batch : (position + 1) * whole_batch])]
            noise = seeds.generator(args.seed, "noise", at.batch + 1)
            z = distributed.share(torch.randn(whole_batch, args.latent_dim, generator=noise)).to(device)
            for optimizer in (generator_optimizer, discriminator_optimizer):
                optimizer.param_groups[0]["lr"] = args.learning_rate * recipe.rate(at.batch / batches_per_epoch)

            summary, norms = train_step(
                generator, discriminator, generator_optimizer, discriminator_optimizer, recipe, real, z, at.batch, bf16
            )
            summary = distributed.mean(summary)
            check_finite(torch.cat([summary, norms]), f"batch {at.batch + 1}")
            at.sums += summary
            at.summed += 1
            at.batch += 1
            if average:
                update_average(average, generator, recipe.average, at.batch)

            epoch_ends = position == batches_per_epoch - 1
            if at.batch % args.log_interval == 0 or epoch_ends:
                g, d, on_real, on_fake = (at.sums / at.summed).tolist()
                row = {"epoch": epoch + 1, "batch": at.batch, "generator_loss": g, "discriminator_loss": d}
                row |= {"accuracy_real": on_real, "accuracy_fake": on_fake, "seconds": saver.seconds()}
                if judge and epoch_ends and (epoch + 1) % args.eval_interval == 0:
                    with saver.off_the_clock():
                        row |= judge(sample(to_sample_from(generator, average), args.seed, SAMPLES))
                run.log(row, at.batch)
                at.sums.zero_()
                at.summed = 0
                if epoch_ends:
                    figures = f"{g:7.3f} {d:7.3f} {on_real:7.3f} {on_fake:7.3f} {saver.seconds():7.1f}"
                    quality = f" {row['frechet']:8.2f}" if "frechet" in row else ""
                    say(f"{epoch + 1:5d} {at.batch:7d} {figures}{quality}")
            if at.batch % args.save_interval == 0 or at.batch == last_batch:
                draw_grid(run, to_sample_from(generator, average), grid_z, at.batch)
            progress.update()
            saver.after_step()
        saver.at_end()
    progress.close()

    if distributed.FIRST:
        draw_summary(run.folder, batches_per_epoch)
        rows = read_metrics(run.folder)
        batches = np.diff([0] + [row["batch"] for row in rows])  # that each row stands for
        batches[[row["epoch"] < args.n_epochs for row in rows]] = 0
        keys = ("generator_loss", "discriminator_loss", "accuracy_real", "accuracy_fake")
        last = {key: np.average([row[key] for row in rows], weights=batches) for key in keys}
        run.finish(
            {
                "epochs": args.n_epochs,
                "batches": last_batch,
                "seconds": saver.seconds(),
                "discriminator_accuracy": (last["accuracy_real"] + last["accuracy_fake"]) / 2,
                "generator_loss": last["generator_loss"],
                "discriminator_loss": last["discriminator_loss"],
                "checkpoint": run.checkpoint.name,
            }
        )
    distributed.leave()
    say(f"pictures: {run.folder / 'progress.png'}, curves.png and training.gif beside it")
    return run.folder


def draw_summary(folder: Path, batches_per_epoch: int) -> None:
    """progress.png, curves.png and training.gif, from what the run has left in its folder."""
    grids = sorted((folder / "grids").glob("*.png"))
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
    draw_curves(
        left,
        epochs,
        {name: [row[key] for row in rows] for name, key in losses.items()},
        "epoch",
        "loss (nats)",
    )
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
    parser.add_argument("--recipe", choices=RECIPES, default="improved", help="how to train")
    parser.add_argument("--n_epochs", type=cli.whole(1), default=200, help="passes over the training images")
    parser.add_argument(
        "--batch_size", type=cli.whole(2, 60_000), default=64, help="images in a batch (of each process)"
    )
    parser.add_argument("--learning_rate", type=cli.real(0), help="of both networks; if not given, the recipe's")
    parser.add_argument("--latent_dim", type=cli.whole(1, 10_000), default=100, help="length of the noise vector z")
    parser.add_argument("--save_interval", type=cli.whole(1), default=500, help="batches between two grids of digits")
    parser.add_argument("--log_interval", type=cli.whole(1), default=100, help="batches between two rows of metrics")
    parser.add_argument(
        "--data_size", type=cli.whole(2, 60_000), default=60_000, help="training images, the first ones"
    )
    parser.add_argument(
        "--eval_interval", type=cli.whole(0), default=0, help="epochs between two measurements of quality"
    )
    parser.add_argument("--eval_split", choices=SPLITS, default="test", help="real images to compare with then")
    cli.add_shared_flags(parser)
    cli.add_training_flags(parser)
    free = {"save_interval", "checkpoint_interval", "tensorboard"}
    args = parse(parser, argv, SCRIPT, grows="n_epochs", free=free)
    args.learning_rate = args.learning_rate or RECIPES[args.recipe].learning_rate
    if args.batch_size * args.processes > args.data_size:
        parser.error(f"argument --batch_size: {args.batch_size} is more than a process's share of the training images")
    if args.eval_interval and args.eval_split == "validation" and args.data_size > 60_000 - VALIDATION:
        parser.error(f"--eval_split validation: those images must not be trained on; --data_size {60_000 - VALIDATION}")
    return args


def main() -> None:
    train(parse_args())


if __name__ == "__main__":
    cli.call(main)
