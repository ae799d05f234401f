"""How far does each network remember? Lengths × networks × seeds → one table, two pictures.

    python part1/sweep.py                                            all of it; hours
    python part1/sweep.py --networks lstm --lengths 5 10 --seeds 0 1
    python part1/sweep.py --networks lstm --seeds 7 --out_dir outputs/report/part1/sweep

Each run is a call of part1/train.py or part1/train_curriculum.py. Writes runs.csv (a row a run: its settings and its
result), curves.csv (validation accuracy over epochs), and from these two tables alone table.md, sweep.png (accuracy
over length) and curves.png. A run that is in runs.csv is not made again. So a stopped sweep continues if you start it
again, and you can add lengths, networks or seeds later: the third command adds a seed to the published tables.

By the assignment's recipe, a network is trained anew for each length. If its name ends in _curriculum or _marked, it
is trained once, by curriculum on one-hot digits, and tested at lengths up to 1,000. With _marked it recalls a marked
digit.
"""

import argparse
import sys
import textwrap
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli
from common.figures import STYLES, draw_band, log_ticks, new_figure, plain_axes, save_figure
from common.files import read_csv, write_atomic
from common.find import OUTPUTS, read_metrics
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


def style_of(name: str) -> dict:
    return STYLES[list(BY_RECIPE).index(name) % len(STYLES)]


class Point(NamedTuple):
    """A run's test accuracy at an input length, and the training sequences that it took.

    These are the sequences up to the end of the first epoch whose validation had no error. There are none if there was
    no such epoch, or no validation, as in a curriculum.
    """

    network: str
    length: int
    accuracy: float
    sequences: float | None


def network_of(row: dict) -> str:
    return row["run"].split("-T")[0]


def points_of(rows: list[dict], curves: list[dict]) -> list[Point]:
    """A point for each run by the recipe, at its own length; for each run by curriculum one at each of TESTED_AT."""
    points, perfect = [], {}
    for epoch in curves:
        if epoch["validation_accuracy"] == 1:
            perfect.setdefault(epoch["run"], epoch["epoch"])
    for row in rows:
        if row["script"] == CURRICULUM:
            points += [Point(network_of(row), length, row[f"accuracy_at_{length}"], None) for length in TESTED_AT]
        else:
            sequences = perfect.get(row["run"]) and perfect[row["run"]] * row["sequences_seen"] / row["epochs"]
            points.append(Point(network_of(row), row["input_length"], row["test_accuracy"], sequences))
    return points


def to_table(points: list[Point]) -> str:
    """Markdown: the mean test accuracy over seeds, and in brackets that of the worst seed if it is lower."""
    lengths, lines = sorted({point.length for point in points}), []
    for network in dict.fromkeys(point.network for point in points):
        lines.append([NETWORKS[network].label])
        for length in lengths:
            alike = [point.accuracy for point in points if (point.network, point.length) == (network, length)]
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
    figure, handles = new_figure(9, 6.6), {}
    for axes, (title, networks, column) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        for name in networks:
            drawn = [(p.length, y) for p in points if p.network == name and (y := getattr(p, column)) is not None]
            if drawn:  # a point for each seed, and a line through the means
                way = name.removesuffix("_curriculum").removesuffix("_marked")  # all ways to train are drawn alike
                means = {length: mean(y for x, y in drawn if x == length) for length in sorted(dict(drawn))}
                (line,) = axes.plot(means.keys(), means.values(), linewidth=1.4, **style_of(way))
                axes.scatter(*zip(*drawn, strict=True), s=12, color=line.get_color(), alpha=0.6)
                handles[BY_RECIPE[way].label] = line
        lengths = sorted({point.length for point in points if point.network in networks})
        axes.set_xscale("log")
        axes.set_xticks(lengths, lengths)
        axes.minorticks_off()
        axes.set_xlabel("input length (digits)")
        axes.set_title(title, fontsize=10)
        plain_axes(axes)
        if column == "accuracy":
            axes.set_ylabel("test accuracy")
            axes.axhline(0.1, color="0.5", linewidth=0.8)
            axes.annotate("chance", (0.02, 0.045), xycoords=("axes fraction", "data"), fontsize=8, color="0.3")
            axes.set_ylim(0, 1.04)
        else:
            axes.set_ylabel("training sequences")
            axes.set_yscale("log")
            log_ticks(axes.yaxis)
            axes.yaxis.set_major_formatter("{x:,.0f}")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    save_figure(figure, path)


def draw_validation(rows: list[dict], curves: list[dict], path: Path) -> None:
    """Validation accuracy over epochs, a row for each network and a column for each length."""
    curve_of = defaultdict(list)
    for epoch in curves:
        curve_of[epoch["run"]].append(epoch["validation_accuracy"])
    lengths, networks = sorted({row["input_length"] for row in rows}), list(dict.fromkeys(map(network_of, rows)))
    figure = new_figure(9, 1 + 1.25 * len(networks))
    panels = figure.subplots(len(networks), len(lengths), sharex=True, sharey=True, squeeze=False)
    for network, line in zip(networks, panels, strict=True):
        for length, axes in zip(lengths, line, strict=True):
            alike = [row["run"] for row in rows if (network_of(row), row["input_length"]) == (network, length)]
            if alike:
                draw_band(axes, [curve_of[run] for run in alike], style_of(network)["color"])
            axes.axhline(0.1, color="0.5", linewidth=0.8, linestyle=":")
            axes.set_title(f"T = {length}, n = {len(alike)}", fontsize=8)
            axes.set_xlabel("epoch", fontsize=8)
            plain_axes(axes)
            axes.label_outer()
        label = textwrap.fill(NETWORKS[network].label, 16)
        line[0].set_ylabel(label, fontsize=8, rotation=0, ha="right", va="center", labelpad=8)
    axes.set_ylim(0, 1.05)
    title = "Validation accuracy after each epoch; where a run has ended, its last one"
    drawn = "line: mean over n seeds; band: from the worst to the best seed; dotted: chance"
    figure.suptitle(f"{title}\n({drawn})", fontsize=10)
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
    order, curves = list(NETWORKS), read_csv(args.out_dir / "curves.csv")
    rows = [row for row in rows if network_of(row) in NETWORKS]
    rows.sort(key=lambda row: (order.index(network_of(row)), row["input_length"], row["seed"]))
    points = points_of(rows, curves)
    write_atomic(args.out_dir / "table.md", to_table(points))
    draw_lengths(points, args.out_dir / "sweep.png")
    print(f"{to_table(points)}\npicture: {args.out_dir / 'sweep.png'}")
    if by_recipe := [row for row in rows if row["script"] == TRAIN]:
        draw_validation(by_recipe, curves, args.out_dir / "curves.png")
        print(f"picture: {args.out_dir / 'curves.png'}")


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
