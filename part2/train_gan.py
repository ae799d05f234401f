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
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from tqdm import tqdm

from common import checkpoint, cli, seeds
from common.figures import draw_curves, new_figure, save_animation, save_figure, save_picture, tile
from common.runs import Run, read_metrics
from part2.mnist import load_mnist
from part2.networks import Discriminator, Generator

GRID = 5  # digits along each side of a grid


@dataclass(frozen=True)
class Recipe:
    """What may differ between two ways to train the same networks.

    betas     of Adam: how slowly its averages of the gradient and of its square forget
    average   how slowly the average of the generator's weights forgets; 0: no average, sample from the last weights
    """

    betas: tuple[float, float]
    average: float


RECIPES = {
    "reference": Recipe(betas=(0.9, 0.999), average=0.0),
    "improved": Recipe(betas=(0.5, 0.999), average=0.999),
}


def generator_loss(fake_logits: torch.Tensor) -> torch.Tensor:
    """−E[log D(G(z))]: the non-saturating form, fakes labelled real (Goodfellow et al. 2014).

    With D = σ(logit), −log D = softplus(−logit), which is binary cross entropy against 1.
    """
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """−E[log D(x)] − E[log(1 − D(G(z)))]: binary cross entropy, the sum of its real and its fake part."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


@torch.no_grad()
def update_average(average: Generator, generator: Generator, decay: float, batch: int) -> None:
    """average ← d · average + (1 − d) · generator, weights and BatchNorm's statistics alike (Yazıcı et al. 2018).

    d = min(decay, batch / (batch + 10)): a young average must not remember the initial weights.
    """
    weight = 1 - min(decay, batch / (batch + 10))
    for kept, value in zip(average.state_dict().values(), generator.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(value, weight)
        else:
            kept.copy_(value)  # BatchNorm's count of batches


@torch.no_grad()
def draw_grid(generator: Generator, z: torch.Tensor, path: Path) -> None:
    """Write the digits that the generator makes of the fixed noise z, in eval mode, without a trace in it."""
    training = generator.training
    save_picture(tile(generator.eval()(z), GRID), path)
    generator.train(training)


def train(args: argparse.Namespace) -> Path:
    """One training run; returns its folder."""
    recipe = RECIPES[args.recipe]
    images = load_mnist("train").images[: args.data_size].to(args.device)
    batches_per_epoch = len(images) // args.batch_size  # the images left over are others in each epoch
    last_batch = args.n_epochs * batches_per_epoch

    torch.manual_seed(args.seed)  # the initial weights; nothing else draws from the global generator
    generator = Generator(args.latent_dim).to(args.device)
    discriminator = Discriminator().to(args.device)
    average = copy.deepcopy(generator) if recipe.average else None
    sampler = average or generator
    adam = {"lr": args.learning_rate, "betas": recipe.betas, "fused": True}
    generator_optimizer = torch.optim.Adam(generator.parameters(), **adam)
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), **adam)

    run = Run.create(args, "part2/train_gan.py", f"part2/{args.recipe}-seed{args.seed}")
    grids = run.folder / "grids"
    grids.mkdir()
    grid_z = torch.randn(GRID**2, args.latent_dim, generator=seeds.generator(args.seed, "grid")).to(args.device)
    draw_grid(sampler, grid_z, grids / f"{0:07d}.png")
    tqdm.write(
        f"{run.folder}\n{'epoch':>5} {'batch':>7} {'G loss':>7} {'D loss':>7} {'D real':>7} {'D fake':>7} {'s':>7}"
    )

    def content() -> dict:
        return {
            "latent_dim": args.latent_dim,
            "recipe": asdict(recipe),
            "batch": batch,
            "generator": generator.state_dict(),
            "discriminator": discriminator.state_dict(),
            "average": average and average.state_dict(),
            "generator_optimizer": generator_optimizer.state_dict(),
            "discriminator_optimizer": discriminator_optimizer.state_dict(),
        }

    started = time.monotonic()
    sums, summed = torch.zeros(4, device=args.device), 0
    progress = tqdm(total=last_batch, unit="batch", disable=not sys.stderr.isatty(), leave=False)
    for batch in range(1, last_batch + 1):
        epoch, position = divmod(batch - 1, batches_per_epoch)
        if position == 0:
            order = torch.randperm(len(images), generator=seeds.generator(args.seed, "order", epoch))
        real = images[order[position * args.batch_size : (position + 1) * args.batch_size]]
        z = torch.randn(args.batch_size, args.latent_dim, generator=seeds.generator(args.seed, "noise", batch))

        # Generator: make the discriminator call its images real. The discriminator's weights need no gradient here.
        fake = generator(z.to(args.device))
        discriminator.requires_grad_(False)
        g_loss = generator_loss(discriminator(fake))
        discriminator.requires_grad_(True)
        generator_optimizer.zero_grad()
        g_loss.backward()
        generator_optimizer.step()

        # Discriminator: tell real images from the same fakes, detached. One pass over both.
        real_logits, fake_logits = discriminator(torch.cat([real, fake.detach()])).chunk(2)
        d_loss = discriminator_loss(real_logits, fake_logits)
        discriminator_optimizer.zero_grad()
        d_loss.backward()
        discriminator_optimizer.step()

        if average:
            update_average(average, generator, recipe.average, batch)

        accuracy = (real_logits > 0).float().mean(), (fake_logits < 0).float().mean()
        sums += torch.stack([g_loss.detach(), d_loss.detach(), *accuracy])
        summed += 1
        progress.update()
        epoch_ends = position == batches_per_epoch - 1
        if batch % args.log_interval == 0 or epoch_ends:
            g, d, on_real, on_fake = (sums / summed).tolist()
            row = {"epoch": epoch + 1, "batch": batch, "generator_loss": g, "discriminator_loss": d}
            row |= {"accuracy_real": on_real, "accuracy_fake": on_fake, "seconds": time.monotonic() - started}
            run.log(row)
            sums.zero_()
            summed = 0
        if batch % args.save_interval == 0 or batch == last_batch:
            draw_grid(sampler, grid_z, grids / f"{batch:07d}.png")
        if epoch_ends:
            checkpoint.save(run.checkpoint, "GAN", content())
            seconds = time.monotonic() - started
            tqdm.write(f"{epoch + 1:5d} {batch:7d} {g:7.3f} {d:7.3f} {on_real:7.3f} {on_fake:7.3f} {seconds:7.1f}")
    progress.close()
    draw_summary(run.folder, batches_per_epoch)
    last_epoch = [row for row in read_metrics(run.folder) if row["epoch"] == args.n_epochs]
    run.finish(
        {
            "epochs": args.n_epochs,
            "batches": last_batch,
            "seconds": time.monotonic() - started,
            "discriminator_accuracy": mean(row["accuracy_real"] / 2 + row["accuracy_fake"] / 2 for row in last_epoch),
            "generator_loss": mean(row["generator_loss"] for row in last_epoch),
            "discriminator_loss": mean(row["discriminator_loss"] for row in last_epoch),
            "checkpoint": run.checkpoint.name,
        }
    )
    print(f"pictures: {run.folder / 'progress.png'}, curves.png and training.gif beside it")
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
    right.annotate("50 %: cannot tell", (epochs[-1], 51), ha="right", fontsize=8)
    draw_curves(right, epochs, curves, "epoch", "discriminator's accuracy (%)")
    right.set_ylim(0, 102)
    save_figure(figure, folder / "curves.png")

    shown = np.unique(np.geomspace(1, len(grids), 60).round().astype(int)) - 1  # early digits change faster
    save_animation([np.asarray(Image.open(grids[k])) for k in shown], folder / "training.gif", scale=1)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--recipe", choices=RECIPES, default="improved", help="how to train")
    parser.add_argument("--n_epochs", type=cli.whole(1), default=200, help="passes over the training images")
    parser.add_argument("--batch_size", type=cli.whole(2, 60_000), default=64, help="images in a batch")
    parser.add_argument("--learning_rate", type=cli.real(0), default=2e-4, help="of Adam, for both networks")
    parser.add_argument("--latent_dim", type=cli.whole(1, 100_000), default=100, help="length of the noise vector z")
    parser.add_argument("--save_interval", type=cli.whole(1), default=500, help="batches between two grids of digits")
    parser.add_argument("--log_interval", type=cli.whole(1), default=100, help="batches between two rows of metrics")
    parser.add_argument(
        "--data_size", type=cli.whole(2, 60_000), default=60_000, help="training images, the first ones"
    )
    cli.add_shared_flags(parser)
    args = parser.parse_args(argv)
    if args.batch_size > args.data_size:
        parser.error(f"argument --batch_size: {args.batch_size} is more than --data_size {args.data_size}")
    return args


def main() -> None:
    train(parse_args())


if __name__ == "__main__":
    cli.call(main)
