"""Train a GAN of plain MLPs on MNIST, or on images of your own.

    python part2/train_gan.py                        the improved recipe, 200 epochs
    python part2/train_gan.py --n_epochs 10          the same, a few minutes: readable digits
    python part2/train_gan.py --recipe conditional   draws the digit that is asked for; crisp, …: recipes/recipes.py
    python part2/train_gan.py --recipe reference     exactly the assignment's loop
    python part2/train_gan.py --images FOLDER        other images than MNIST's; an epoch is as long as MNIST's

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

from common import cli, seeds
from common.runs import Run, command, parse_args_or_resume
from common.training import RunningMeans, Training, prepared
from part2.gan import Discriminator, Game, Generator
from part2.judges.judge import SPLITS, WITHOUT_VALIDATION, Judge
from part2.networks.pictures import GRID, MEANS, at_the_end, draw_grid, draw_summary
from part2.networks.trained import KIND
from part2.recipes.recipes import PRECISIONS, RECIPES
from part2.sources.files import EPOCH, Source, add_image_flags, count_labels

import torch

SCRIPT = "part2/train_gan.py"
DECAYING = {name for name, recipe in RECIPES.items() if recipe.linear_decay}  # n_epochs is part of these recipes


@dataclass
class Progress:
    """How far training has come."""

    batch: int = 0  # batches done


def batches(n_images: int, batch_size: int, seed: int, start: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Which images are in batch `start` and in all that follow; the images left over differ from epoch to epoch."""
    per_epoch = n_images // batch_size
    for epoch in itertools.count(start // per_epoch):
        order = torch.randperm(n_images, generator=seeds.generator(seed, "order", epoch))
        yield from order.to(device).split(batch_size)[start % per_epoch : per_epoch]
        start = 0


@prepared
def train(args: argparse.Namespace) -> Path:
    """One training run; returns its folder."""
    source, device = Source(args.images or "MNIST", args.resize, args.grey), args.device
    images, labels = (part[: args.data_size].to(device) for part in source.load("train"))
    batch_size = min(args.batch_size, len(images))
    batches_per_epoch = (EPOCH if args.images else len(images)) // batch_size
    last_batch = args.n_epochs * batches_per_epoch
    if args.images and len(images) < 10_000:
        cli.print_line(f"few: each comes {EPOCH // len(images)} times an epoch; expect clear images that vary little")

    recipe = RECIPES[args.recipe]
    sizes = {"latent_dim": args.latent_dim, "width": recipe.width, "epsilon": recipe.epsilon, "signs": recipe.signs}
    sizes["labels"] = count_labels(labels) if recipe.labels else 0
    torch.manual_seed(args.seed)  # the initial weights; nothing else draws from the global generator
    generator = Generator(**sizes).to(device)
    game = Game(generator, Discriminator(recipe.width, sizes["labels"]).to(device), recipe)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16")
    grid_z = generator.draw(GRID**2, seeds.generator(args.seed, "grid")).to(device)
    judge = Judge(args.eval_split, device) if args.eval_interval else None

    run = Run.open(args, SCRIPT, f"part2/{args.recipe}-seed{args.seed}", KIND)
    progress, means = Progress(), RunningMeans(*MEANS, device=device)
    description = {**sizes, "recipe": recipe, "data": source.describe(images)}
    learners = {**game.learners(), "means": means}
    training = Training(run, args.checkpoint_interval, description, learners, progress)  # loads a resumed run's state
    columns = {"epoch": "d", "batch": ",d", **MEANS, "seconds": ".1f", "left": "s"}
    table = cli.Table(**columns, **({"floors": ".2f ÷floor"} if judge else {}))
    order = batches(len(images), batch_size, args.seed, progress.batch, device)
    bar = cli.progress_bar(last_batch, "batch", done=progress.batch)
    with training, bar:
        while True:
            # Report on the batches so far. A stop saves the run before this, so a resumed run reports first.
            epoch, rest = divmod(progress.batch, batches_per_epoch)
            if means.weight and (progress.batch % args.log_interval == 0 or rest == 0):
                quality = {}
                if judge and rest == 0 and epoch % args.eval_interval == 0:
                    with training.off_the_clock():
                        quality = judge.of_training(game, images, args.seed)
                row = {"epoch": epoch if rest == 0 else epoch + 1, "batch": progress.batch, **means.take()}
                row |= {"seconds": training.seconds(), **quality}
                run.log(row, progress.batch)
                if rest == 0:
                    table.print_row(row | {"left": bar.left()})
            if progress.batch % args.save_interval == 0 or progress.batch == last_batch:
                with training.off_the_clock():
                    draw_grid(run, game, grid_z, progress.batch)
            if progress.batch >= last_batch:
                break

            index, rng = next(order), seeds.generator(args.seed, "noise", progress.batch + 1)  # counted from 1
            real, z = images[index], generator.draw(batch_size, rng, labels[index].cpu())
            game.set_learning_rate(args.learning_rate * recipe.rate(progress.batch / batches_per_epoch, args.n_epochs))
            means.add(*game.step(real, z.to(device), progress.batch, autocast))
            progress.batch += 1
            bar.update()
            training.after_step()
        training.at_end()
        result = {"epochs": args.n_epochs, "batches": last_batch, "seconds": training.seconds()}
        draw_summary(run.folder, batches_per_epoch)
        run.finish(result := {**result, **at_the_end(run.folder), "recipe_fields": asdict(recipe)})
    cli.print_line(f"pictures: {run.folder / 'progress.png'}, curves.png and training.gif beside it")
    if (accuracy := result["discriminator_accuracy"]) > 0.9 and args.recipe.startswith("reference"):
        cli.print_line(f"D wins ({accuracy:.0%} right): are digits broken, or all alike? Try --recipe improved")
    cli.print_line(f"next: {command('part2/sample.py', '--run', run.folder)}")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    images = parser.add_argument_group("the images")
    images.add_argument("--data_size", type=cli.int_between(2, 60_000), default=60_000, help="the first N of them")
    add_image_flags(images, "train on these instead")
    add, passes = parser.add_argument_group("training").add_argument, "over the images; of --images 60,000 each"
    add("--recipe", metavar="NAME", choices=RECIPES, default="improved", help=f"one of {', '.join(RECIPES)}")
    add("--n_epochs", "--epochs", type=cli.int_between(1), default=200, help=f"passes {passes}")
    add("--batch_size", type=cli.int_between(2, 60_000), default=64, help="images in a batch")
    add("--learning_rate", type=cli.float_between(0), help="of the discriminator, at first; if not given, the recipe's")
    add("--latent_dim", type=cli.int_between(1, 10_000), default=100, help="length of the noise vector z")
    add("--save_interval", type=cli.int_between(1), default=500, help="batches between two grids of digits")
    add("--log_interval", type=cli.int_between(1), default=100, help="batches between two rows of metrics")
    add("--eval_interval", type=cli.int_between(0), default=0, help="epochs between two measurements; 0: never")
    add("--eval_split", choices=SPLITS, default="validation", help="real images for these measurements")
    add("--precision", choices=PRECISIONS, default="float32", help="of the networks' matrix products")
    cli.add_shared_flags(parser)
    cli.add_training_flags(parser)
    may_change = {"save_interval", "checkpoint_interval", "tensorboard"}
    args = parse_args_or_resume(parser, argv, SCRIPT, may_change, {"n_epochs"}, unless=("recipe", DECAYING))
    args.learning_rate = args.learning_rate or RECIPES[args.recipe].learning_rate
    if args.latent_dim <= (signs := RECIPES[args.recipe].signs):
        parser.error(f"argument --latent_dim: {signs} of its numbers are signs in the recipe {args.recipe}; give more")
    if args.batch_size > args.data_size:
        parser.error(f"argument --batch_size: {args.batch_size} is more than the {args.data_size} training images")
    if args.eval_interval and args.images not in (None, "MNIST"):
        parser.error("argument --eval_interval: compares with MNIST; judge other --images with evaluate.py")
    if args.eval_interval and args.eval_split == "validation" and args.data_size > WITHOUT_VALIDATION:
        way_out = f"--data_size {WITHOUT_VALIDATION}, or --eval_split test"
        parser.error(f"--eval_split validation: those images must not be trained on: {way_out}")
    return args


if __name__ == "__main__":
    cli.call(lambda: train(parse_args()))
