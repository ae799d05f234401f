"""How far does each network remember? Lengths × networks × seeds → one table, one picture.

    python part1/sweep.py                                            all of it; hours
    python part1/sweep.py --networks lstm --lengths 5 10 --seeds 0 1
    python part1/sweep.py --networks lstm --seeds 7 --out_dir outputs/report/part1/sweep

Each run is a call of part1/train.py or part1/train_curriculum.py. Writes runs.csv (a row a run: its settings and its
result), curves.csv (validation accuracy over epochs), and from these two alone table.md and sweep.png (accuracy over
length). A run that is in runs.csv is not made again. So a stopped sweep continues if you start it again, and you can
add lengths, networks or seeds later: the third command adds a seed to the published tables.

By the assignment's recipe, a network is trained anew for each length. If its name ends in _curriculum or _marked, it
is trained once, by curriculum on one-hot digits, and tested at lengths up to 1,000. With _marked it recalls a marked
digit.
"""

import argparse
import sys
from itertools import cycle
from pathlib import Path
from statistics import mean
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli
from common.figures import STYLES, log_ticks, new_figure, plain_axes, save_figure
from common.files import read_csv, read_metrics, write_atomic
from common.find import OUTPUTS
from common.studies import PlannedRun, make_runs, markdown_table
from part1.palindromes import MAX_TRAINED_LENGTH

TRAIN, CURRICULUM = "part1/train.py", "part1/train_curriculum.py"
TESTED_AT = [10, 30, 100, 300, 1000]  # after a curriculum


class Network(NamedTuple):
    """A row of the table: its label, the script that trains the network, and the script's flags."""

    label: str
    script: str
    flags: list[str]


UNIFORM = ["--init", "uniform"]
BY_RECIPE = {
    "lstm": Network("LSTM", TRAIN, []),
    "torch_lstm_memory": Network("nn.LSTM, our initialisation", TRAIN, ["--model", "torch_lstm"]),
    "torch_lstm": Network("nn.LSTM, PyTorch's initialisation", TRAIN, ["--model", "torch_lstm", *UNIFORM]),
    "reference": Network("LSTM, the reference's initialisation", TRAIN, ["--init", "normal", "--encoding", "raw"]),
    "rnn": Network("vanilla RNN, orthogonal initialisation", TRAIN, ["--model", "rnn"]),
    "rnn_uniform": Network("vanilla RNN, PyTorch's initialisation", TRAIN, ["--model", "rnn", *UNIFORM]),
}
BY_CURRICULUM = {
    f"{name}_curriculum": Network(f"{label}, by curriculum", CURRICULUM, [*flags, "--encoding", "one_hot"])
    for name, (label, _, flags) in BY_RECIPE.items()
}
BY_MARKER = {
    f"{name}_marked": Network(f"{BY_RECIPE[name].label}, marked digit", CURRICULUM, [*flags, "--task", "marker"])
    for name, flags in {"lstm": [], "rnn": ["--model", "rnn"]}.items()
}
NETWORKS = BY_RECIPE | BY_CURRICULUM | BY_MARKER


class Point(NamedTuple):
    """A run's test accuracy at an input length, and the training sequences up to the end of the first epoch whose
    validation had no error; None without such an epoch, or without validation, as in a curriculum."""

    network: str
    length: int
    accuracy: float
    sequences: float | None


def points_of(rows: list[dict], curves: list[dict]) -> list[Point]:
    """A point for each run by the recipe, at its own length; for each run by curriculum one at each of TESTED_AT."""
    perfect = {row["run"]: row["epoch"] for row in reversed(curves) if row["validation_accuracy"] == 1}  # the first
    points = []
    for row in rows:
        name = row["run"].split("-T")[0]
        if name not in NETWORKS:
            continue  # of another version of this script
        if NETWORKS[name].script == CURRICULUM:
            points += [Point(name, length, row[f"accuracy_at_{length}"], None) for length in TESTED_AT]
        else:
            sequences = perfect.get(row["run"]) and perfect[row["run"]] * row["sequences_seen"] / row["epochs"]
            points.append(Point(name, row["input_length"], row["test_accuracy"], sequences))
    return points


def to_table(points: list[Point]) -> str:
    """Markdown: the mean test accuracy over seeds, and in brackets that of the worst seed if it is lower."""
    lengths, lines = sorted({point.length for point in points}), []
    for name in [name for name in NETWORKS if any(point.network == name for point in points)]:
        lines.append([NETWORKS[name].label])
        for length in lengths:
            alike = [point.accuracy for point in points if (point.network, point.length) == (name, length)]
            worst = f" ({min(alike):.3f})" if alike and min(alike) < mean(alike) else ""
            lines[-1].append(f"{mean(alike):.3f}{worst}" if alike else "")
    return markdown_table(["network", *(f"T = {length}" for length in lengths)], lines)


def draw_lengths(points: list[Point], path: Path) -> None:
    """Over input length: test accuracy, for each way to train; and the number of sequences that the recipe takes."""
    panels = [
        ("trained at each length, by the assignment's recipe", BY_RECIPE, "accuracy"),
        ("sequences until validation was first without an error", BY_RECIPE, "sequences"),
        ("by curriculum", BY_CURRICULUM, "accuracy"),
        ("by curriculum, recall of a marked digit", BY_MARKER, "accuracy"),
    ]
    styles, figure, handles = dict(zip(BY_RECIPE, cycle(STYLES), strict=False)), new_figure(9, 6.6), {}
    for axes, (title, networks, column) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        for name in networks:
            drawn = [(p.length, y) for p in points if p.network == name and (y := getattr(p, column)) is not None]
            if drawn:  # a point for each seed, and a line through the means
                way = name.removesuffix("_curriculum").removesuffix("_marked")  # all ways to train are drawn alike
                means = {length: mean(y for x, y in drawn if x == length) for length in sorted(dict(drawn))}
                (line,) = axes.plot(means.keys(), means.values(), linewidth=1.4, **styles[way])
                axes.scatter(*zip(*drawn, strict=True), s=12, color=line.get_color(), alpha=0.6)
                handles[BY_RECIPE[way].label] = line
        lengths = sorted({point.length for point in points if point.network in networks})
        axes.set(xscale="log", xlabel="input length (digits)", ylabel="training sequences")
        axes.set_xticks(lengths, lengths)
        axes.minorticks_off()
        axes.set_title(title, fontsize=10)
        plain_axes(axes)
        if column == "sequences":
            axes.set_yscale("log")
            log_ticks(axes.yaxis)
            axes.yaxis.set_major_formatter("{x:,.0f}")
        else:
            axes.set(ylabel="test accuracy", ylim=(0, 1.04))
            axes.axhline(0.1, color="0.5", linewidth=0.8)
            axes.annotate("chance", (0.02, 0.045), xycoords=("axes fraction", "data"), fontsize=8, color="0.3")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    save_figure(figure, path)


def plan(args: argparse.Namespace) -> list[PlannedRun]:
    """The runs to make: each network at each length with each seed; a curriculum runs once for all lengths."""
    runs = []
    for name in args.networks:
        _, script, flags = NETWORKS[name]
        lengths, more = args.lengths, ["--max_epoch", str(args.max_epoch)]
        if script == CURRICULUM:
            lengths, more = [max(TESTED_AT)], ["--lengths", *map(str, TESTED_AT)]
        for length in lengths:
            for seed in args.seeds:
                sized = ["--input_length", str(length), "--seed", str(seed)]
                runs.append(PlannedRun(f"{name}-T{length}-seed{seed}", script, [*flags, *more, *sized]))
    return runs


def validation(folder: Path) -> list[dict]:
    """The rows of curves.csv for a run; a curriculum has none."""
    columns = ("epoch", "validation_accuracy")
    return [{name: row[name] for name in columns} for row in read_metrics(folder) if columns[1] in row]


def sweep(args: argparse.Namespace) -> None:
    rows = make_runs(args.out_dir, plan(args), args.jobs, alike={"max_epoch"}, curve=validation)
    points = points_of(rows, read_csv(args.out_dir / "curves.csv"))
    write_atomic(args.out_dir / "table.md", to_table(points))
    draw_lengths(points, args.out_dir / "sweep.png")
    print(f"{to_table(points)}\npicture: {args.out_dir / 'sweep.png'}")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add, length = parser.add_argument, cli.int_between(1, MAX_TRAINED_LENGTH)
    add("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="which networks")
    add("--lengths", nargs="+", type=length, help="input lengths, in digits (default: 5, 10, 15, 25 and 30)")
    add("--seeds", nargs="+", type=cli.seed, default=[0, 1, 2, 3, 4], help="seeds; one run for each")
    add("--max_epoch", type=cli.int_between(1), default=100, help="epochs of each run by the recipe, at most")
    add("--jobs", type=cli.int_between(1, 1024), default=1, help="number of runs at the same time")
    add("--out_dir", type=Path, default=OUTPUTS / "part1" / "sweep", help="the folder of the runs and results")
    args = parser.parse_args(argv)
    if args.lengths and not BY_RECIPE.keys() & args.networks:
        tested = ", ".join(map(str, TESTED_AT))
        parser.error(f"argument --lengths: is for networks trained at each length; after a curriculum it is {tested}")
    args.lengths = args.lengths or [5, 10, 15, 25, 30]
    return args


if __name__ == "__main__":
    cli.call(lambda: sweep(parse_args()))
