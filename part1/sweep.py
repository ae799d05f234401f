"""How far does each network remember? Lengths × networks × seeds → one table, one picture.

    python part1/sweep.py                                            all of it; hours
    python part1/sweep.py --networks lstm --lengths 5 10 --seeds 0 1
    python part1/sweep.py --networks lstm --seeds 7 --out_dir outputs/report/part1/sweep

Each run is a call of part1/train.py: a network is trained anew for each length. Writes runs.csv (a row a run: its
settings and its result), curves.csv (validation accuracy over epochs), and from these two alone table.md and sweep.png
(accuracy over length). A run that is in runs.csv is not made again. So a stopped sweep continues if you start it again,
and you can add lengths, networks or seeds later: the third command adds a seed to the published tables.
"""

import argparse
import sys
from itertools import product
from pathlib import Path
from statistics import mean
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli
from common.figures import STYLES, log_ticks, new_figure, plain_axes, save_figure
from common.files import read_csv, read_metrics, reading, write_atomic
from common.find import OUTPUTS
from common.studies import PlannedRun, make_runs, markdown_table
from part1.palindromes import MAX_TRAINED_LENGTH

TRAIN = "part1/train.py"
MARKERS = "os^Dvx"  # of the networks, in their order; STYLES are as many
NETWORKS = {  # name → label in the table, flags of part1/train.py
    "lstm": ("LSTM", ""),
    "torch_lstm_memory": ("nn.LSTM, our initialisation", "--model torch_lstm"),
    "torch_lstm": ("nn.LSTM, PyTorch's initialisation", "--model torch_lstm --init uniform"),
    "reference": ("LSTM, the reference's initialisation", "--init normal --encoding raw"),
    "rnn": ("vanilla RNN, orthogonal initialisation", "--model rnn"),
    "rnn_uniform": ("vanilla RNN, PyTorch's initialisation", "--model rnn --init uniform"),
}


class Point(NamedTuple):
    """A run's test accuracy at its input length, and the training sequences up to the end of the first epoch whose
    validation had no error; None without such an epoch."""

    network: str
    length: int
    accuracy: float
    sequences: float | None


def points_of(rows: list[dict], curves: list[dict]) -> list[Point]:
    """A point for each run."""
    perfect = {row["run"]: row["epoch"] for row in reversed(curves) if row["validation_accuracy"] == 1}  # the first
    points = []
    for row in rows:
        name = row["run"].split("-T")[0]
        if name in NETWORKS:  # else it is of another version of this script
            sequences = perfect.get(row["run"]) and perfect[row["run"]] * row["sequences_seen"] / row["epochs"]
            points.append(Point(name, row["input_length"], row["test_accuracy"], sequences))
    return points


def to_table(points: list[Point]) -> str:
    """Markdown: the mean test accuracy over seeds, and in brackets that of the worst seed if it is lower."""
    lengths, lines = sorted({point.length for point in points}), []
    for name in [name for name in NETWORKS if any(point.network == name for point in points)]:
        lines.append([NETWORKS[name][0]])
        for length in lengths:
            alike = [point.accuracy for point in points if (point.network, point.length) == (name, length)]
            worst = f" ({min(alike):.3f})" if alike and min(alike) < mean(alike) else ""
            lines[-1].append(f"{mean(alike):.3f}{worst}" if alike else "")
    return markdown_table(["network", *(f"T = {length}" for length in lengths)], lines)


def draw_lengths(points: list[Point], path: Path) -> None:
    """Over input length: test accuracy, and the number of sequences that it takes. A point for each seed, beside those
    of other networks; a line through the means."""
    figure, handles, lengths = new_figure(9, 4.2), {}, sorted({point.length for point in points})
    accuracy, sequences = figure.subplots(1, 2)
    for axes, column in ((accuracy, "accuracy"), (sequences, "sequences")):
        for k, (name, (label, _)) in enumerate(NETWORKS.items()):
            drawn = [(p.length, y) for p in points if p.network == name and (y := getattr(p, column)) is not None]
            if drawn:
                means = {length: mean(y for x, y in drawn if x == length) for length in sorted(dict(drawn))}
                axes.plot(means.keys(), means.values(), linewidth=1.4, **STYLES[k])
                beside = [(x * 1.025 ** (k - 2.5), y) for x, y in drawn]
                style = {"color": STYLES[k]["color"], "marker": MARKERS[k], "markersize": 4, "alpha": 0.7}
                axes.plot(*zip(*beside, strict=True), linestyle="", **style)
                handles[label] = axes.plot([], [], **style | STYLES[k])[0]
        axes.set(xscale="log", xlabel="input length (digits)")
        axes.set_xticks(lengths, lengths)
        axes.minorticks_off()
        plain_axes(axes)
    accuracy.set(title="test accuracy", ylim=(0, 1.04))
    accuracy.axhline(0.1, color="0.5", linewidth=0.8)
    accuracy.annotate("chance", (0.02, 0.03), xycoords=("axes fraction", "data"), color="0.3")
    sequences.set(title="training sequences until validation had no error", yscale="log")
    log_ticks(sequences.yaxis)
    sequences.yaxis.set_major_formatter("{x:,.0f}")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2, columnspacing=4)
    save_figure(figure, path)


def plan(args: argparse.Namespace) -> list[PlannedRun]:
    """The runs to make: each network at each length with each seed."""
    runs = []
    for name, length, seed in product(args.networks, args.lengths, args.seeds):
        flags = f"{NETWORKS[name][1]} --max_epoch {args.max_epoch} --input_length {length} --seed {seed}"
        runs.append(PlannedRun(f"{name}-T{length}-seed{seed}", TRAIN, flags.split()))
    return runs


def validation(folder: Path) -> list[dict]:
    """The rows of curves.csv for a run."""
    return [{name: row[name] for name in ("epoch", "validation_accuracy")} for row in read_metrics(folder)]


def sweep(args: argparse.Namespace) -> None:
    rows = make_runs(args.out_dir, plan(args), args.jobs, alike={"max_epoch"}, curve=validation)
    with reading(args.out_dir / "runs.csv"):
        points = points_of(rows, read_csv(args.out_dir / "curves.csv"))
        table = to_table(points)
    write_atomic(args.out_dir / "table.md", table)
    draw_lengths(points, args.out_dir / "sweep.png")
    print(f"{table}\npicture: {args.out_dir / 'sweep.png'}")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add, length = parser.add_argument, cli.int_between(1, MAX_TRAINED_LENGTH)
    add("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="which networks")
    add("--lengths", nargs="+", type=length, default=[5, 10, 15, 25, 30], help="input lengths, in digits")
    add("--seeds", nargs="+", type=cli.seed, default=[0, 1, 2, 3, 4], help="seeds; one run for each")
    add("--max_epoch", type=cli.int_between(1), default=100, help="epochs of each run, at most")
    add("--jobs", type=cli.int_between(1, 1024), default=1, help="number of runs at the same time")
    add("--out_dir", type=Path, default=OUTPUTS / "part1" / "sweep", help="the folder of the runs and results")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.call(lambda: sweep(parse_args()))
