"""Which way to train makes the best digits, and how soon? Recipes × seeds → one table, one figure.

    python part2/compare.py                                              all recipes, 200 epochs, three seeds: days
    python part2/compare.py --recipes reference improved --seeds 0 --n_epochs 20 --out_dir outputs/part2/brief

Each run is a call of part2/train_gan.py with a folder of its own under outputs/part2/compare. Finished runs are not run
again, so a comparison that was stopped continues if you start it again, and recipes or seeds can be added later. From
all finished runs there it writes compare.csv (a row for each time that a run was measured), table.md (the last
measurement), board.md (when distances of 20, 10, 5 and 3 were first reached), compare.png (the distance over epochs and
at the end) and samples.png. Settings are chosen by validation images, so these are the default; --eval_split test
--data_size 60000 is for what is reported in the end.

Of a finished run it needs the two .json files, metrics.jsonl and the samples.png that it leaves there: the checkpoint
may be deleted. So the runs behind report.md can be compared with your own:

    mkdir -p outputs/part2 && cp -r outputs/report/part2/compare outputs/part2/
    python part2/compare.py --recipes improved --seeds 7 --eval_split test --data_size 60000

The recipes and what they leave out or change are those of part2/recipes.py.
"""

import argparse
import sys
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from PIL import Image

from common import cli
from common.figures import STYLES, bare_axes, log_ticks, new_figure, plain_axes, save_figure, save_picture, tile
from common.files import write_csv, write_whole
from common.runs import OUTPUTS, read_metrics
from common.sweeps import FinishedRun, PlannedRun, finished_runs, interval, markdown_table, run_all
from part2.judge import SAMPLES, SPLITS, WITHOUT_VALIDATION, Judge, in_floors, real_baseline, sample
from part2.networks import load_generator
from part2.recipes import PRECISIONS, RECIPES

SHOWN = 16  # samples of each recipe, shared by its seeds
REAL = "real training images"
GOALS = (20, 10, 5, 3)  # Fréchet distances of the board
COLUMNS = {
    "floors": "distance ÷ floor",
    "floors_autoencoder": "… by the autoencoder",
    "smudged": "smudged",
    "frechet": "Fréchet",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "score": "score",
}
MEASURED = [name for name in COLUMNS if not name.startswith("floors")]
LEFT_OUT = ("batch", "generator", "discriminator", "accuracy", "logit", "floors")  # of the csv: what begins so


def family(recipe: str) -> str:
    """The recipe of which this one changes a part, or itself."""
    return recipe.split("_")[0]


STYLE_OF = dict(zip(dict.fromkeys(map(family, RECIPES)), STYLES, strict=False))


def collect(run: FinishedRun) -> list[dict]:
    """The measurements of a finished run as rows of the table; UserError for a run of an older version."""
    rows = [row for row in read_metrics(run.folder) if "frechet" in row]
    if any(column not in row for row in rows for column in MEASURED):
        raise cli.UserError(f"{run.folder}: was measured by an older version of the project; name another --out_dir")
    of = {"recipe": run.name, "seed": run.seed}
    return [of | {key: row[key] for key in row if not key.startswith(LEFT_OUT)} for row in rows]


def at_the_end(rows: list[dict]) -> dict[str, list[dict]]:
    """Recipe → the last measurement of each of its seeds."""
    last = {(row["recipe"], row["seed"]): row for row in rows}
    return {name: [row for (recipe, _), row in last.items() if recipe == name] for name, _ in last}


def to_table(rows: list[dict], real: dict[str, float]) -> str:
    """Markdown: the last measurement, its mean over seeds and in brackets lowest and highest; last, real images.

    Distances are in floors, ± half their 95 % interval where there are three seeds or more.
    """
    lines = []
    for recipe, ends in at_the_end(rows).items():
        lines.append(
            [recipe, str(len(ends)), str(ends[0]["epoch"]), *cells([end | in_floors(end, real) for end in ends])]
        )
    lines.append([REAL, "", "", *cells([real | in_floors(real, real)])])
    return markdown_table(["recipe", "seeds", "epochs", *COLUMNS.values(), "a digit's share"], lines)


def cells(ends: list[dict]) -> list[str]:
    """A row of the table, from the last measurement of each seed."""
    texts = []
    for column in COLUMNS:
        values = [end[column] for end in ends]
        digits = 1 if mean(values) >= 10 else 3 if column == "smudged" else 2
        around = f" ± {interval(values):.{digits}f}" if column.startswith("floors") and len(ends) > 2 else ""
        lowest, highest = (f"{value:.{digits}f}" for value in (min(values), max(values)))
        spread = f" ({lowest}–{highest})" if lowest != highest else ""
        texts.append(f"{mean(values):.{digits}f}{around}{spread}")
    shares = [end[f"share_{digit}"] for end in ends for digit in range(10)]
    return [*texts, f"{100 * min(shares):.1f}–{100 * max(shares):.1f} %"]


def to_board(rows: list[dict]) -> str:
    """Markdown: after how many epochs, and seconds of training, the Fréchet distance was first so small or smaller.

    Means over the seeds; where not all of them came so far, how many did. Seconds mean something only if the machine
    did nothing else meanwhile: --jobs 1.
    """
    lines = []
    for recipe, ends in at_the_end(rows).items():
        line = [recipe, str(len(ends))]
        for goal in GOALS:
            first = {row["seed"]: row for row in reversed(rows) if row["recipe"] == recipe and row["frechet"] <= goal}
            epochs, seconds = (mean(row[key] for row in first.values()) if first else 0 for key in ("epoch", "seconds"))
            missing = "" if len(first) == len(ends) else f" ({len(first)} of {len(ends)})"
            line.append(f"{seconds:,.0f} s, {epochs:.0f} epochs{missing}" if first else "never")
        lines.append(line)
    return markdown_table(["recipe", "seeds", *(f"to {goal}" for goal in GOALS)], lines)


def draw_quality(rows: list[dict], real: dict[str, float], path: Path) -> None:
    """Distance ÷ floor over epochs, a line for each run, and at the end."""
    figure = new_figure(9, max(3.4, 1.6 + 0.24 * len(at_the_end(rows))))
    over_epochs, end = figure.subplots(1, 2, width_ratios=(1, 1.1))
    last, lines = at_the_end(rows), {}
    for place, (recipe, ends) in enumerate(last.items()):
        is_family = recipe == family(recipe)
        style = STYLE_OF[family(recipe)] | ({"linewidth": 1.6} if is_family else {"linewidth": 0.6, "alpha": 0.6})
        label = recipe if is_family else f"{family(recipe)}, changed"
        for seed in (row["seed"] for row in ends):
            run = [row for row in rows if (row["recipe"], row["seed"]) == (recipe, seed)]
            floors = [in_floors(row, real)["floors"] for row in run]
            marker = "o" if len(run) == 1 else ""  # a line needs two points
            (lines[label],) = over_epochs.plot([row["epoch"] for row in run], floors, marker=marker, **style)
        floors = [in_floors(row, real)["floors"] for row in ends]
        end.scatter(floors, [place] * len(ends), s=16, color=STYLE_OF[family(recipe)]["color"], alpha=0.7, zorder=3)
    over_epochs.set_xscale("log")
    over_epochs.set_yscale("log")
    over_epochs.set_xlabel("epoch")
    over_epochs.set_ylabel("distance ÷ floor")
    over_epochs.axhline(1, color="0.3", linewidth=0.8)
    place = {"xytext": (0, 3), "xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    over_epochs.annotate("real images", (0.02, 1), fontsize=8, **place)
    end.set_yticks(range(len(last)), [name.replace("_", " ") for name in last], fontsize=8)
    end.invert_yaxis()
    end.set_xscale("log")
    end.set_xlabel(f"distance ÷ floor after {max(row['epoch'] for row in rows)} epochs")
    end.axvline(1, color="0.3", linewidth=0.8)
    end.tick_params(axis="x", labelsize=8)
    figure.legend(lines.values(), lines.keys(), loc="outside upper left", ncols=4, frameon=False, fontsize=8)
    for axis in (over_epochs.xaxis, over_epochs.yaxis, end.xaxis):
        log_ticks(axis)
    for axes in (over_epochs, end):
        plain_axes(axes)
    save_figure(figure, path)


@torch.no_grad()
def samples(folder: Path) -> np.ndarray:
    """The first digits of a finished run's generator, not chosen: a row of them, drawn once into samples.png."""
    path = folder / "samples.png"
    if not path.exists():
        images = sample(load_generator(folder), 0, SHOWN)
        save_picture(tile(images, SHOWN), path, scale=1)
    return np.asarray(Image.open(path))


def draw_samples(runs: list[FinishedRun], path: Path) -> None:
    """A row of digits for each recipe, a column for each seed."""
    recipes, seeds = list(dict.fromkeys(run.name for run in runs)), sorted({run.seed for run in runs})
    width = 30 * max(1, SHOWN // len(seeds))  # of a column: a digit's 28 pixels and two between
    sheet = np.full((30 * len(recipes), (width + 10) * len(seeds)), 255, dtype=np.uint8)
    for run in runs:
        top, left = 30 * recipes.index(run.name), (width + 10) * seeds.index(run.seed)
        sheet[top : top + 28, left : left + width - 2] = samples(run.folder)[:, : width - 2]
    figure = new_figure(8, 0.41 * len(recipes) + 0.3)
    axes = figure.subplots()
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255, aspect="auto")  # else long names leave the figure
    rows, columns = 14 + 30 * np.arange(len(recipes)), width / 2 + (width + 10) * np.arange(len(seeds))
    axes.set_yticks(rows, [name.replace("_", " ") for name in recipes], fontsize=8)
    axes.set_xticks(columns, [f"seed {seed}" for seed in seeds], fontsize=8)
    axes.tick_params(labeltop=True, labelbottom=False)
    bare_axes(axes)
    save_figure(figure, path)


def compare(args: argparse.Namespace) -> None:
    alike = {"n_epochs": args.n_epochs, "data_size": args.data_size, "precision": args.precision}
    alike |= {"eval_interval": args.eval_interval, "eval_split": args.eval_split}
    shared = [word for name, value in alike.items() for word in (f"--{name}", str(value))]
    plan = [
        PlannedRun(f"{recipe}-seed{seed}", "part2/train_gan.py", ["--recipe", recipe, "--seed", str(seed), *shared])
        for recipe in args.recipes
        for seed in args.seeds
    ]
    run_all(args.out_dir, plan, args.jobs, alike)
    runs = finished_runs(args.out_dir, list(RECIPES))
    rows = [row for run in runs for row in collect(run)]
    real = real_baseline(Judge(args.eval_split, torch.device("cpu")), SAMPLES)
    table = to_table(rows, real)
    write_csv(args.out_dir / "compare.csv", [*rows, {"recipe": REAL} | real])
    write_whole(args.out_dir / "table.md", table)
    write_whole(args.out_dir / "board.md", to_board(rows))
    draw_quality(rows, real, args.out_dir / "compare.png")
    draw_samples(runs, args.out_dir / "samples.png")
    print(f"{table}\npictures: {args.out_dir / 'compare.png'} and samples.png")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), help="which recipes")
    add("--seeds", nargs="+", type=cli.seed, default=[0, 1, 2], help="seeds, a run each")
    add("--n_epochs", type=cli.int_between(1), default=200, help="epochs of each run")
    add("--eval_interval", type=cli.int_between(1), default=10, help="epochs between two measurements of quality")
    add(
        "--eval_split",
        choices=SPLITS,
        default="validation",
        help="real images to compare with; choose by validation alone",
    )
    add(
        "--data_size",
        type=cli.int_between(64, 60_000),
        default=WITHOUT_VALIDATION,
        help="training images, the first ones",
    )
    add("--precision", choices=PRECISIONS, default="float32", help="of the networks' matrix products")
    add("--jobs", type=cli.int_between(1, 1024), default=1, help="number of runs at the same time")
    add("--out_dir", type=Path, default=OUTPUTS / "part2" / "compare", help="the folder of the runs and results")
    args = parser.parse_args(argv)
    if args.eval_split == "validation" and args.data_size > WITHOUT_VALIDATION:
        parser.error(
            f"argument --data_size: {WITHOUT_VALIDATION} is the most with --eval_split validation; or --eval_split test"
        )
    if args.eval_interval > args.n_epochs:
        parser.error(f"argument --eval_interval: {args.eval_interval} is more than --n_epochs {args.n_epochs}")
    return args


def main() -> None:
    compare(parse_args())


if __name__ == "__main__":
    cli.call(main)
