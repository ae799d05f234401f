"""How far does each network remember? Lengths × networks × seeds → one table, one figure.

    python part1/sweep.py                                        all of it; hours
    python part1/sweep.py --networks lstm --lengths 5 10 --seeds 0 1

Each run is a call of part1/train.py with a folder of its own under outputs/part1/sweep. Finished runs are not run
again, so a sweep that was stopped goes on where it was, and more lengths or seeds can be added later. Writes sweep.csv
(a row for each length that a run was tested at), table.md, sweep.png (accuracy over length) and curves.png (over
epochs), from all finished runs there.

A network is trained at each length anew by the assignment's recipe; or, where its name ends in _curriculum, once
(train.py --curriculum --one_hot), and tested at lengths up to 1,000.
"""

import argparse
import sys
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from matplotlib.lines import Line2D

from common import cli
from common.figures import STYLES, new_figure, save_figure
from common.files import read_json, write_csv, write_whole
from common.runs import OUTPUTS, read_metrics
from common.sweeps import run_all
from part1.palindromes import MAX_INPUT_LENGTH

# name → what it is called in the table, and the flags of train.py that make it
RECIPES = {
    "lstm": ("LSTM", []),
    "torch_lstm": ("nn.LSTM, PyTorch's start", ["--model", "torch_lstm", "--init", "uniform"]),
    "reference": ("LSTM, the reference's start", ["--init", "normal", "--raw_digits"]),
    "rnn": ("vanilla RNN, orthogonal start", ["--model", "rnn"]),
    "rnn_uniform": ("vanilla RNN, PyTorch's start", ["--model", "rnn", "--init", "uniform"]),
}
CURRICULUM = "_curriculum"
TESTED_AT = [10, 30, 100, 300, 1000]  # after a curriculum
BY_CURRICULUM = ["--curriculum", "--one_hot", "--lengths", *map(str, TESTED_AT)]
NETWORKS = RECIPES | {
    name + CURRICULUM: (f"{label}, by curriculum", [flag for flag in flags if flag != "--raw_digits"] + BY_CURRICULUM)
    for name, (label, flags) in RECIPES.items()
}


def finished_runs(folder: Path) -> dict[tuple[str, int, int], Path]:
    """(network, length, seed) → the folder of each finished run, in the table's order."""
    runs = {}
    for path in folder.glob("*/result.json"):
        network, arguments = path.parent.name.split("-")[0], read_json(path.with_name("config.json"))["arguments"]
        if network in NETWORKS:
            runs[network, arguments["input_length"], arguments["seed"]] = path.parent
    order = list(NETWORKS)
    return dict(sorted(runs.items(), key=lambda run: (order.index(run[0][0]), *run[0][1:])))


def collect(folder: Path, network: str, length: int, seed: int) -> list[dict]:
    """A finished run as rows of the table: one, or after a curriculum one for each length it was tested at."""
    result = read_json(folder / "result.json")
    if network.endswith(CURRICULUM):
        about = {"validation_accuracy": "", "best_epoch": "", "epochs": ""}
        return [
            {
                "network": network,
                "input_length": tested,
                "seed": seed,
                "test_accuracy": result["accuracy_at"][str(tested)],
                **about,
                "sequences_until_perfect": result["sequences_seen"] if result["accuracy_at"][str(tested)] == 1 else "",
                "seconds": round(result["seconds"], 1),
            }
            for tested in TESTED_AT
        ]
    perfect = [row["epoch"] for row in read_metrics(folder) if row["validation_accuracy"] == 1]
    per_epoch = result["sequences_seen"] // result["epochs"]
    row = {
        "network": network,
        "input_length": length,
        "seed": seed,
        "test_accuracy": result["test_accuracy"],
        "validation_accuracy": result["validation_accuracy"],
        "best_epoch": result["best_epoch"],
        "epochs": result["epochs"],
        "sequences_until_perfect": perfect[0] * per_epoch if perfect else "",
        "seconds": round(result["seconds"], 1),
    }
    return [row]


def to_table(rows: list[dict], lengths: list[int]) -> str:
    """Markdown: test accuracy, its mean over seeds, and in brackets the worst seed where it differs."""
    lines = ["| network | " + " | ".join(f"T = {length}" for length in lengths) + " |"]
    lines.append("|---|" + "---|" * len(lengths))
    for network in dict.fromkeys(row["network"] for row in rows):
        cells = []
        for length in lengths:
            accuracies = [r["test_accuracy"] for r in rows if (r["network"], r["input_length"]) == (network, length)]
            worst = f" ({min(accuracies):.3f})" if accuracies and min(accuracies) < mean(accuracies) else ""
            cells.append(f"{mean(accuracies):.3f}{worst}" if accuracies else "")
        lines.append(f"| {NETWORKS[network][0]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw_lengths(rows: list[dict], lengths: list[int], path: Path) -> None:
    """Test accuracy over input length, by recipe and by curriculum; and the sequences it took. All seeds as points."""
    figure = new_figure(10, 3.8)
    recipe, curriculum, cost = figure.subplots(1, 3)
    for network in dict.fromkeys(row["network"] for row in rows):
        base = network.removesuffix(CURRICULUM)
        style, of_it = STYLES[list(RECIPES).index(base)], [row for row in rows if row["network"] == network]
        draw_points(recipe if base == network else curriculum, of_it, "test_accuracy", style, NETWORKS[base][0])
        draw_points(cost, of_it, "sequences_until_perfect", style, None, marker="o" if base == network else "^")
    for axes, title in ((recipe, "trained at each length,\nby the assignment's recipe"), (curriculum, "by curriculum")):
        axes.axhline(0.1, color="0.5", linewidth=0.8)
        axes.annotate("chance", (0.02, 0.045), xycoords=("axes fraction", "data"), fontsize=8, color="0.3")
        axes.set_title(title, fontsize=10)
        axes.set_ylabel("test accuracy")
        axes.set_ylim(0, 1.04)
    cost.set_title("training sequences until 1.0\n(○ recipe, △ curriculum)", fontsize=10)
    if any(row["sequences_until_perfect"] for row in rows):
        cost.set_yscale("log")
    anew = [row for row in rows if row["network"] in RECIPES]
    for axes, its in ((recipe, anew), (curriculum, [row for row in rows if row not in anew]), (cost, rows)):
        own = sorted({row["input_length"] for row in its}) or lengths
        shown = []  # from the longest down, none so near the one before that their labels would meet
        for length in reversed(own):
            if not shown or length * (own[-1] / own[0]) ** 0.15 <= shown[-1]:
                shown.append(length)
        axes.set_xscale("log")
        axes.set_xlim(own[0] / 1.2, own[-1] * 1.2)
        axes.set_xticks(shown, [f"{length:,}" for length in shown])
        axes.minorticks_off()
        axes.set_xlabel("input length (digits)")
        axes.grid(color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    handles = {}
    for axes in (recipe, curriculum):
        handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    save_figure(figure, path)


def draw_points(axes, rows: list[dict], column: str, style: dict, label: str | None, marker: str = "o") -> None:
    """The column over input length: a point a seed, a line through their means."""
    points = [(row["input_length"], row[column]) for row in rows if row[column] != ""]
    if points:
        means = {length: mean(y for x, y in points if x == length) for length in sorted({x for x, _ in points})}
        axes.plot(means.keys(), means.values(), label=label, linewidth=1.4, **style)
        axes.scatter(*zip(*points, strict=True), s=12, color=style["color"], alpha=0.6, marker=marker)


def draw_curves(runs: dict[tuple[str, int, int], Path], path: Path) -> None:
    """Validation loss and accuracy over epochs: a column for each length, a line for each run."""
    networks, lengths = list(dict.fromkeys(name for name, _, _ in runs)), sorted({length for _, length, _ in runs})
    figure = new_figure(9, 4.8)
    panels = figure.subplots(2, len(lengths), sharex="col", sharey="row", squeeze=False)
    for (network, length, _), folder in runs.items():
        column, metrics = panels[:, lengths.index(length)], read_metrics(folder)
        for axes, key in zip(column, ("validation_loss", "validation_accuracy"), strict=True):
            y = [row[key] for row in metrics]
            axes.plot([row["epoch"] for row in metrics], y, linewidth=0.9, **STYLES[networks.index(network)])
    for axes, length in zip(panels[0], lengths, strict=True):
        axes.set_title(f"T = {length}", fontsize=10)
    for axes in panels[1]:
        axes.set_xlabel("epoch")
        axes.set_ylim(0, 1.05)
    for axes in panels.flat:
        axes.grid(color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel("validation loss (nats)")
    panels[1, 0].set_ylabel("validation accuracy")
    handles = [Line2D([], [], label=NETWORKS[name][0], **STYLES[k]) for k, name in enumerate(networks)]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    save_figure(figure, path)


def sweep(args: argparse.Namespace) -> None:
    runs = {}  # name of the folder → flags
    for network in args.networks:
        for length in [max(TESTED_AT)] if network.endswith(CURRICULUM) else args.lengths:
            for seed in args.seeds:
                flags = [*NETWORKS[network][1], "--input_length", str(length), "--seed", str(seed)]
                runs[f"{network}-T{length}-seed{seed}"] = flags
    run_all("part1/train.py", args.out_dir, runs, args.jobs, alike={"max_epoch": args.max_epoch})
    finished = finished_runs(args.out_dir / "runs")
    rows = [row for key, folder in finished.items() for row in collect(folder, *key)]
    lengths = sorted({row["input_length"] for row in rows})
    table = to_table(rows, lengths)
    write_csv(args.out_dir / "sweep.csv", rows)
    write_whole(args.out_dir / "table.md", table)
    draw_lengths(rows, lengths, args.out_dir / "sweep.png")
    print(f"{table}\npicture: {args.out_dir / 'sweep.png'}")
    if by_recipe := {key: path for key, path in finished.items() if key[0] in RECIPES}:
        draw_curves(by_recipe, args.out_dir / "curves.png")
        print(f"picture: {args.out_dir / 'curves.png'}")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="which networks")
    add(
        "--lengths",
        nargs="+",
        type=cli.whole(1, MAX_INPUT_LENGTH),
        default=[5, 10, 15, 25, 30],
        help="input lengths, in digits",
    )
    add("--seeds", nargs="+", type=cli.whole(0, 2**63 - 1), default=[0, 1, 2, 3, 4], help="seeds, a run each")
    add("--max_epoch", type=cli.whole(1), default=100, help="epochs of each run, at most")
    add("--jobs", type=cli.whole(1, 1024), default=1, help="runs at once")
    add("--out_dir", type=Path, default=OUTPUTS / "part1" / "sweep", help="where runs and results lie")
    return parser.parse_args(argv)


def main() -> None:
    sweep(parse_args())


if __name__ == "__main__":
    cli.call(main)
