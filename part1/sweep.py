"""How far does each network remember? Lengths × networks × seeds → one table, one figure.

    python part1/sweep.py                                        all of it; hours
    python part1/sweep.py --networks lstm --lengths 5 10 --seeds 0 1

Each run is a call of part1/train.py or part1/train_curriculum.py, with its own folder under outputs/part1/sweep.
Finished runs are not run again. So a stopped sweep continues if you start it again, and you can add lengths or seeds
later. Writes sweep.csv (a row for each length at which a run was tested), table.md, sweep.png (accuracy over length)
and curves.png (accuracy over epochs), from all finished runs in the folder.

By the assignment's recipe, a network is trained anew for each length. If its name ends in _curriculum or _marked, it
is trained once, by curriculum on one-hot digits, and tested at lengths up to 1,000. With _marked it recalls a marked
digit.
"""

import argparse
import sys
import textwrap
from pathlib import Path
from statistics import mean
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli
from common.figures import STYLES, draw_band, log_ticks, new_figure, plain_axes, save_figure
from common.files import read_json, write_csv, write_whole
from common.runs import OUTPUTS, read_metrics
from common.sweeps import FinishedRun, PlannedRun, finished_runs, markdown_table, run_all
from part1.palindromes import MAX_TRAINED_LENGTH

RECIPE, CURRICULUM = "part1/train.py", "part1/train_curriculum.py"
TESTED_AT = [10, 30, 100, 300, 1000]  # after a curriculum


class Network(NamedTuple):
    """A row of the table: its label, the script that trains the network, and the script's flags."""

    label: str
    script: str
    flags: list[str]


UNIFORM = ["--init", "uniform"]
BY_RECIPE = {
    "lstm": Network("LSTM", RECIPE, []),
    "torch_lstm_memory": Network("nn.LSTM, our initialisation", RECIPE, ["--model", "torch_lstm"]),
    "torch_lstm": Network("nn.LSTM, PyTorch's initialisation", RECIPE, ["--model", "torch_lstm", *UNIFORM]),
    "reference": Network("LSTM, the reference's initialisation", RECIPE, ["--init", "normal", "--encoding", "raw"]),
    "rnn": Network("vanilla RNN, orthogonal initialisation", RECIPE, ["--model", "rnn"]),
    "rnn_uniform": Network("vanilla RNN, PyTorch's initialisation", RECIPE, ["--model", "rnn", *UNIFORM]),
}
BY_CURRICULUM = {
    f"{name}_curriculum": Network(f"{label}, by curriculum", CURRICULUM, [*flags, "--encoding", "one_hot"])
    for name, (label, _, flags) in BY_RECIPE.items()
}
ONE_HOT_MARKED = ["--encoding", "one_hot", "--task", "marker"]
BY_MARKER = {
    f"{name}_marked": Network(f"{label}, marked digit", CURRICULUM, [*flags, *ONE_HOT_MARKED])
    for name, (label, _, flags) in BY_RECIPE.items()
    if name in ("lstm", "rnn")
}
NETWORKS = BY_RECIPE | BY_CURRICULUM | BY_MARKER
STYLE_OF = dict(zip(BY_RECIPE, STYLES, strict=True))


def collect(run: FinishedRun) -> list[dict]:
    """The rows of sweep.csv for a finished run: one, or after a curriculum one for each tested length.

    `sequences_until_perfect` is the number of training sequences up to the end of the first epoch whose validation had
    no error. It is empty if there was no such epoch. It is also empty after a curriculum, which has no validation: the
    user chooses the number of its sequences (--data_size).
    """
    result = read_json(run.folder / "result.json")
    row = {"network": run.name, "input_length": run.arguments["input_length"], "seed": run.seed}
    seconds = round(result["seconds"], 1)
    if run.name not in BY_RECIPE:
        empty = ("test_accuracy", "validation_accuracy", "best_epoch", "epochs", "sequences_until_perfect")
        row |= dict.fromkeys(empty, "") | {"seconds": seconds}
        accuracies = {length: result["accuracy_at"][str(length)] for length in TESTED_AT}
        return [row | {"input_length": length, "test_accuracy": accuracy} for length, accuracy in accuracies.items()]
    perfect = [metrics["epoch"] for metrics in read_metrics(run.folder) if metrics["validation_accuracy"] == 1]
    row |= {key: result[key] for key in ("test_accuracy", "validation_accuracy", "best_epoch", "epochs")}
    until_perfect = perfect[0] * (result["sequences_seen"] // result["epochs"]) if perfect else ""
    return [row | {"sequences_until_perfect": until_perfect, "seconds": seconds}]


def to_table(rows: list[dict]) -> str:
    """Markdown: the mean test accuracy over seeds, and in brackets that of the worst seed if it is lower."""
    lengths = sorted({row["input_length"] for row in rows})
    lines = []
    for network in dict.fromkeys(row["network"] for row in rows):
        cells = []
        for length in lengths:
            accuracies = [r["test_accuracy"] for r in rows if (r["network"], r["input_length"]) == (network, length)]
            worst = f" ({min(accuracies):.3f})" if accuracies and min(accuracies) < mean(accuracies) else ""
            cells.append(f"{mean(accuracies):.3f}{worst}" if accuracies else "")
        lines.append([NETWORKS[network].label, *cells])
    return markdown_table(["network", *(f"T = {length}" for length in lengths)], lines)


def draw_lengths(rows: list[dict], path: Path) -> None:
    """Test accuracy over input length, for each way to train; and the number of sequences that the recipe needs."""
    figure = new_figure(9, 6.6)
    panels = [
        ("trained at each length, by the assignment's recipe", BY_RECIPE, "test_accuracy"),
        ("sequences until validation was first without an error", BY_RECIPE, "sequences_until_perfect"),
        ("by curriculum", BY_CURRICULUM, "test_accuracy"),
        ("by curriculum, recall of a marked digit", BY_MARKER, "test_accuracy"),
    ]
    handles = {}
    for axes, (title, networks, column) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        drawn = [row for row in rows if row["network"] in networks]
        draw_points(axes, drawn, column)
        axes.set_title(title, fontsize=10)
        axes.set_ylabel("test accuracy" if column == "test_accuracy" else "training sequences")
        length_axis(axes, sorted({row["input_length"] for row in drawn or rows}))
        plain_axes(axes)
        if column == "test_accuracy":
            axes.axhline(0.1, color="0.5", linewidth=0.8)
            axes.annotate("chance", (0.02, 0.045), xycoords=("axes fraction", "data"), fontsize=8, color="0.3")
            axes.set_ylim(0, 1.04)
        elif any(row["sequences_until_perfect"] for row in drawn):
            axes.set_yscale("log")
            log_ticks(axes.yaxis)
            axes.yaxis.set_major_formatter("{x:,.0f}")
        handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    save_figure(figure, path)


def length_axis(axes, lengths: list[int]) -> None:
    """A logarithmic axis of input lengths; a label is left out if it would touch that of a longer one."""
    labelled = []
    for length in reversed(lengths):
        if not labelled or length * (lengths[-1] / lengths[0]) ** 0.15 <= labelled[-1]:
            labelled.append(length)
    axes.set_xscale("log")
    axes.set_xlim(lengths[0] / 1.2, lengths[-1] * 1.2)
    axes.set_xticks(labelled, [f"{length:,}" for length in labelled])
    axes.minorticks_off()
    axes.set_xlabel("input length (digits)")


def draw_points(axes, rows: list[dict], column: str) -> None:
    """The column over input length: for each network a point for each seed, and a line through the means."""
    for network in dict.fromkeys(row["network"] for row in rows):
        points = [(r["input_length"], r[column]) for r in rows if r["network"] == network and r[column] != ""]
        if points:
            means = {length: mean(y for x, y in points if x == length) for length in sorted({x for x, _ in points})}
            name = network.removesuffix("_curriculum").removesuffix("_marked")  # all ways to train are drawn alike
            label, style = BY_RECIPE[name].label, STYLE_OF[name]
            axes.plot(means.keys(), means.values(), label=label, linewidth=1.4, **style)
            axes.scatter(*zip(*points, strict=True), s=12, color=style["color"], alpha=0.6)


def draw_validation(runs: list[FinishedRun], path: Path) -> None:
    """Validation accuracy over epochs, a row for each network and a column for each length: the mean over seeds, in a
    band from the worst to the best seed. For a run that ends before another, its last accuracy is used."""
    lengths = sorted({run.arguments["input_length"] for run in runs})
    networks = list(dict.fromkeys(run.name for run in runs))
    figure = new_figure(9, 1.2 + 1.15 * len(networks))
    panels = figure.subplots(len(networks), len(lengths), sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat:
        chance = axes.axhline(0.1, color="0.5", linewidth=0.8, linestyle=":")
        axes.set_ylim(0, 1.05)
        plain_axes(axes)
        axes.set_axisbelow(True)
    for network, row in zip(networks, panels, strict=True):
        counts = set()
        for length, axes in zip(lengths, row, strict=True):
            alike = [run.folder for run in runs if (run.name, run.arguments["input_length"]) == (network, length)]
            curves = [[metrics["validation_accuracy"] for metrics in read_metrics(folder)] for folder in alike]
            if curves:
                draw_band(axes, curves, STYLE_OF[network]["color"])
                counts.add(len(curves))
        seeds = " to ".join(str(count) for count in sorted({min(counts), max(counts)}))
        label = [*textwrap.wrap(NETWORKS[network].label, 16), f"({seeds} seed{'s' * (seeds != '1')})"]
        row[0].set_ylabel("\n".join(label), fontsize=8, rotation=0, ha="right", va="center", labelpad=8)
    for axes, length in zip(panels[0], lengths, strict=True):
        axes.set_title(f"T = {length}", fontsize=10)
    for axes in panels[-1]:
        axes.set_xlabel("epoch", fontsize=8)
    figure.suptitle("validation accuracy after each epoch; where a run has ended, its last one", fontsize=10)
    handles = [*draw_band(new_figure(1, 1).subplots(), [[0.0]], "0.2"), chance]  # in grey, for the legend alone
    labels = ["mean over seeds", "from the worst to the best seed", "chance"]
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    save_figure(figure, path)


def plan(args: argparse.Namespace) -> list[PlannedRun]:
    """The runs to make: each network at each length with each seed; a curriculum runs once for all lengths."""
    runs = []
    for name in args.networks:
        _, script, flags = NETWORKS[name]
        if script == CURRICULUM:
            lengths, more = [max(TESTED_AT)], ["--lengths", *map(str, TESTED_AT)]
        else:
            lengths, more = args.lengths, ["--max_epoch", str(args.max_epoch)]
        for length in lengths:
            for seed in args.seeds:
                sized = ["--input_length", str(length), "--seed", str(seed)]
                runs.append(PlannedRun(f"{name}-T{length}-seed{seed}", script, [*flags, *more, *sized]))
    return runs


def sweep(args: argparse.Namespace) -> None:
    run_all(args.out_dir, plan(args), args.jobs, alike={"max_epoch": args.max_epoch})
    runs = finished_runs(args.out_dir, list(NETWORKS))
    rows = [row for run in runs for row in collect(run)]
    table = to_table(rows)
    write_csv(args.out_dir / "sweep.csv", rows)
    write_whole(args.out_dir / "table.md", table)
    draw_lengths(rows, args.out_dir / "sweep.png")
    print(f"{table}\npicture: {args.out_dir / 'sweep.png'}")
    if by_recipe := [run for run in runs if run.name in BY_RECIPE]:
        draw_validation(by_recipe, args.out_dir / "curves.png")
        print(f"picture: {args.out_dir / 'curves.png'}")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add, length = parser.add_argument, cli.int_between(1, MAX_TRAINED_LENGTH)
    add("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="which networks")
    add("--lengths", nargs="+", type=length, help="input lengths, in digits; if not given, 5, 10, 15, 25 and 30")
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


def main() -> None:
    sweep(parse_args())


if __name__ == "__main__":
    cli.call(main)
