"""Which way to train makes the best digits, and how soon? Recipes × seeds → tables and pictures.

    python part2/compare.py                                              all recipes, 200 epochs, three seeds: days
    python part2/compare.py --recipes reference improved --seeds 0 --n_epochs 20 --out_dir outputs/part2/brief
    python part2/compare.py --recipes improved --seeds 7 --eval_split test --data_size 60000 \\
        --out_dir outputs/report/part2/compare                           one more seed in the published tables

Each run is a call of part2/train_gan.py. Of a finished one there remain, in --out_dir, a row of runs.csv, its rows of
curves.csv (one an epoch) and a strip of digits.png: its first samples, not chosen. From these alone it draws table.md
(the last measurement), board.md (when distances of 20, 10, 5 and 3 were first reached), compare.png (the distance over
epochs; of more than six recipes that at the end) and samples.png. Runs in the tables are not made again: start it again
to continue, or to add recipes (part2/recipes/recipes.py) or seeds.

Settings are chosen by validation images; --eval_split test --data_size 60000 is for what is reported in the end.
"""

import argparse
import sys
from dataclasses import asdict
from itertools import product
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli
from common.figures import STYLES, bare_axes, log_ticks, new_figure, plain_axes, save_figure, save_picture, tile
from common.files import read_csv, reading, write_atomic, write_csv
from common.find import OUTPUTS
from common.studies import PlannedRun, interval, make_runs, markdown_table
from part2.judges.judge import COLUMNS, SAMPLES, SPLITS, WITHOUT_VALIDATION, Judge, in_floors, sample
from part2.networks.pictures import MEANS, by_epoch
from part2.networks.trained import load_generator
from part2.recipes.recipes import PRECISIONS, RECIPES

import numpy as np
from PIL import Image

TRAIN = "part2/train_gan.py"
SHOWN = 16  # samples of each run
REAL = "real training images"
GOALS = (20, 10, 5, 3)  # Fréchet distances of the board
SHARED = ("n_epochs", "data_size", "eval_interval", "eval_split", "precision")  # settings of all runs
MEASURED = ["smudged", "frechet", "precision", "recall", "coverage", "kid", "authentic", "asked", "frechet_autoencoder"]
MEASURED += ["logit_training", "logit_unseen", "logit_generated"]


def by_recipe(rows: list[dict]) -> dict[str, list[dict]]:
    """Recipe → its runs, in the order of RECIPES and of seeds."""
    found = {name: [] for name in [*RECIPES, *(row["recipe"] for row in rows)]}  # some recipes may be gone
    for row in sorted(rows, key=lambda row: row["seed"]):
        found[row["recipe"]].append(row)
    return {name: runs for name, runs in found.items() if runs}


def curve(folder: Path) -> list[dict]:
    """A run's rows of curves.csv, one an epoch: means over its batches, and what was measured at its end."""
    points = []
    for row in by_epoch(folder):
        shown = [name for name in ("seconds", *MEANS, *MEASURED) if name in row]
        points.append({"epoch": row["epoch"]} | {name: float(f"{row[name]:.6g}") for name in shown})
    if "frechet" not in points[-1]:
        raise ValueError("the last row of its metrics holds no measurement")
    return points


def keep_digits(folder: Path, _name: str) -> None:
    """Add a run's first digits to digits.png: a strip of 28 pixels and two white ones for each run in runs.csv."""
    path = folder.parents[1] / "digits.png"
    strip = tile(sample(load_generator(folder), 0, SHOWN), SHOWN)
    before = read_strips(path, len([row for row in read_csv(path.with_name("runs.csv")) if row["run"] != REAL]))
    save_picture(np.vstack([before, np.pad(strip, ((0, 2), (0, 0)), constant_values=255)]), path, scale=1)


def read_strips(path: Path, n: int) -> np.ndarray:
    """The first n strips of digits.png: (30 n, 30 SHOWN − 2). White if there is no such file."""
    with reading(path):
        strips = np.full((30 * n, 30 * SHOWN - 2), 255, dtype=np.uint8)
        if path.exists():
            strips[:] = np.asarray(Image.open(path))[: 30 * n]  # without what a crash left
    return strips


def to_table(rows: list[dict], real: dict) -> str:
    """Markdown: the last measurement, its mean over seeds and in brackets lowest and highest; last, real images.

    Distances are in floors, ± half their 95 % interval if there are three seeds or more. A measure that one of the runs
    lacks, because it is newer, leaves an empty cell; one that all lack is left out.
    """
    shown = [name for name in COLUMNS if any(name in row | in_floors(row, real) for row in [*rows, real])]
    found = by_recipe(rows).items()
    lines = [[name, str(len(ends)), str(ends[0]["epochs"]), *cells(ends, real, shown)] for name, ends in found]
    header = ["recipe", "seeds", "epochs", *(COLUMNS[name] for name in shown), "a digit's share"]
    return markdown_table(header, [*lines, [REAL, "", "", *cells([real], real, shown)]])


def cells(ends: list[dict], real: dict, shown: list[str]) -> list[str]:
    """A row of the table: these measures, from the last measurement of each seed."""
    ends, texts = [end | in_floors(end, real) for end in ends], []
    for name in shown:
        if any(name not in end for end in ends):
            texts.append("")
            continue
        values = [end[name] for end in ends]
        digits = 1 if mean(values) >= 10 else 3 if name in ("smudged", "asked") else 2
        average, lowest, highest = (f"{pick(values):.{digits}f}" for pick in (mean, min, max))
        around = f" ± {interval(values):.{digits}f}" if name.startswith("floors") and len(ends) > 2 else ""
        texts.append(f"{average}{around}" + (f" ({lowest}–{highest})" if lowest != highest else ""))
    shares = [end[f"share_{digit}"] for end in ends for digit in range(10)]
    return [*texts, f"{100 * min(shares):.1f}–{100 * max(shares):.1f} %"]


def to_board(rows: list[dict], curves: list[dict]) -> str:
    """Markdown: after how many epochs, and seconds of training, the Fréchet distance was first so small or smaller.

    Means over the seeds; if some did not reach it, how many did. Seconds mean something only if the machine did nothing
    else meanwhile: --jobs 1.
    """
    lines = []
    for recipe, runs in by_recipe(rows).items():
        line, names = [recipe, str(len(runs))], {row["run"] for row in runs}
        for goal in GOALS:
            reached = [point for point in curves if point["run"] in names and point.get("frechet", goal + 1) <= goal]
            first = {point["run"]: point for point in reversed(reached)}.values()
            missing = "" if len(first) == len(runs) else f" ({len(first)} of {len(runs)})"
            seconds, epochs = (f"{mean(p[key] for p in first):,.0f}" if first else "" for key in ("seconds", "epoch"))
            line.append(f"{seconds} s, {epochs} epochs{missing}" if first else "never")
        lines.append(line)
    return markdown_table(["recipe", "seeds", *(f"to {goal}" for goal in GOALS)], lines)


def draw_quality(rows: list[dict], curves: list[dict], real: dict, path: Path) -> None:
    """Distance ÷ floor of each run: over epochs, or of more recipes than there are line styles, at the end."""
    recipes = by_recipe(rows)
    over_epochs = len(recipes) <= len(STYLES)
    figure = new_figure(9, 4.2 if over_epochs else 1 + 0.3 * len(recipes))
    axes = figure.subplots()
    for k, (recipe, runs) in enumerate(recipes.items()):
        points = [[p for p in curves if p["run"] == row["run"] and "frechet" in p] for row in runs]
        if over_epochs:
            for of_run in points:
                floors = [point["frechet"] / real["frechet"] for point in of_run]
                axes.plot([point["epoch"] for point in of_run], floors, marker=".", ms=3, label=recipe, **STYLES[k])
        else:
            axes.plot([row["frechet"] / real["frechet"] for row in runs], [k] * len(runs), "o", color="0.2", alpha=0.6)
    axes.set(xscale="log")
    if over_epochs:
        axes.set(yscale="log", xlabel="epoch", ylabel="distance ÷ floor")
        axes.axhline(1, color="0.3", linewidth=0.8)
        axes.annotate("real images", (0.01, 1.03), xycoords=("axes fraction", "data"), color="0.3")
        handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=4, columnspacing=1.5)
        log_ticks(axes.yaxis)
        if len(epochs := sorted({point["epoch"] for point in curves if "frechet" in point})) <= 12:
            axes.set_xticks(epochs, epochs)
            axes.set_xticks([], minor=True)
        else:
            log_ticks(axes.xaxis)
    else:
        axes.set_yticks(range(len(recipes)), recipes)
        axes.invert_yaxis()
        axes.set(xlabel=f"distance ÷ floor after {max(row['epochs'] for row in rows)} epochs (real images: 1)")
        axes.axvline(1, color="0.3", linewidth=0.8)
        log_ticks(axes.xaxis)
    plain_axes(axes)
    save_figure(figure, path)


def draw_samples(rows: list[dict], digits: np.ndarray, path: Path) -> None:
    """A row of digits for each run, by recipe and seed; `digits` is a strip for each of `rows`, in their order."""
    shown = [row for runs in by_recipe(rows).values() for row in runs]
    strips = digits.reshape(len(rows), 30, -1)[[rows.index(row) for row in shown]]
    figure = new_figure(9, 0.42 * len(rows))
    axes = figure.subplots()
    axes.set_anchor("E")  # names stand on the left
    axes.imshow(strips.reshape(digits.shape)[:-2], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_yticks(14 + 30 * np.arange(len(rows)), [f"{row['recipe']} {row['seed']}" for row in shown])
    axes.set_xticks([])
    bare_axes(axes)
    save_figure(figure, path)


def compare(args: argparse.Namespace) -> None:
    """Make the runs that are missing, then all tables and pictures."""
    shared, plan = [word for name in SHARED for word in (f"--{name}", str(getattr(args, name)))], []
    for recipe, seed in product(args.recipes, args.seeds):
        flags = ["--recipe", recipe, "--seed", str(seed), *shared]
        plan.append(PlannedRun(f"{recipe}-seed{seed}", TRAIN, flags, {"recipe_fields": asdict(RECIPES[recipe])}))
    rows = make_runs(args.out_dir, plan, args.jobs, (*SHARED, "number_format"), curve, keep_digits)
    if not any(row["run"] == REAL for row in rows):
        real = {"run": REAL} | Judge(args.eval_split, cli.device("auto")).baseline(SAMPLES)
        write_csv(args.out_dir / "runs.csv", [*rows, real])
    redraw(args.out_dir)


def redraw(out_dir: Path) -> None:
    """Write table.md, board.md and the pictures of a study again, from its tables and digits.png."""
    rows, curves = read_csv(out_dir / "runs.csv"), read_csv(out_dir / "curves.csv")
    with reading(out_dir / "runs.csv"):
        (real,) = [row for row in rows if row["run"] == REAL]
        rows.remove(real)
        table, board = to_table(rows, real), to_board(rows, curves)
    strips = read_strips(out_dir / "digits.png", len(rows))
    write_atomic(out_dir / "table.md", table)
    write_atomic(out_dir / "board.md", board)
    draw_quality(rows, curves, real, out_dir / "compare.png")
    draw_samples(rows, strips, out_dir / "samples.png")
    print(f"{table}\npictures: {out_dir / 'compare.png'} and samples.png")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add, size = parser.add_argument, cli.int_between(64, 60_000)
    add("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), help="which recipes")
    add("--seeds", nargs="+", type=cli.seed, default=[0, 1, 2], help="seeds, a run each")
    add("--n_epochs", type=cli.int_between(1), default=200, help="epochs of each run")
    add("--eval_interval", type=cli.int_between(1), default=10, help="epochs between two measurements of quality")
    add("--eval_split", choices=SPLITS, default="validation", help="real images to compare with; choose by validation")
    add("--data_size", type=size, default=WITHOUT_VALIDATION, help="training images, the first ones")
    add("--precision", choices=PRECISIONS, default="float32", help="of the networks' matrix products")
    add("--jobs", type=cli.int_between(1, 1024), default=1, help="number of runs at the same time")
    add("--out_dir", type=Path, default=OUTPUTS / "part2" / "compare", help="the folder of the runs and results")
    args = parser.parse_args(argv)
    if args.n_epochs % args.eval_interval:
        parser.error(f"--eval_interval: --n_epochs {args.n_epochs} is not a multiple of it; the last must be measured")
    return args


if __name__ == "__main__":
    cli.call(lambda: compare(parse_args()))
