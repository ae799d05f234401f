"""How does it remember? The gates and the memory of a trained LSTM on one palindrome, as a picture.

    python part1/show_gates.py
    python part1/show_gates.py --digits 7 3 1 1 3
    python part1/show_gates.py --run outputs/part1/MY-RUN --input_length 1000

Writes a folder outputs/part1/gates-TN-TIME with gates.png, metrics.jsonl (a row for each digit) and result.json. From
top to bottom the picture shows the digits; over time, the input gate i, the forget gate f, the output gate o and the
memory c of the units that carry the memory; how much the final answer depends on each digit; and how well the first
digit is known at each step. A long palindrome is shown twice: its first steps, and all of it. For an nn.LSTM, the
picture shows the LSTM by hand with the same weights.

Three things are measured. How much a unit carries the memory: R², the part of the variance of its c(T) over many
palindromes that the first digit explains. How much the memory knows: a linear map from c(t) to the first digit, fitted
on half of the palindromes; the picture shows its accuracy on the other half. How much the answer depends on a digit:
|∂ logit / ∂ x(t)|, how fast the logit of the final answer changes with the input at t. This describes small changes
only: they hardly move a memory that is far from zero, even at the digit that brought it there.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli, seeds
from common.figures import STYLES, new_figure, plain_axes, save_figure
from common.runs import Run, path_as_text
from part1.networks.traces import explained, sensitivity, trace
from part1.networks.trained import find_network, load_lstm
from part1.palindromes import MAX_TRAINED_LENGTH, NUM_CLASSES
from part1.tasks.palindrome import draw_palindromes

import numpy as np
import torch
import torch.nn.functional as F

SCRIPT = "part1/show_gates.py"
UNITS = 6  # shown; there are as many line styles
SEQUENCES = 1000  # for the choice of units and the linear maps
READINGS = 60  # steps, at most, at which a linear map is fitted
FIRST = 20  # digits in the left half of the picture of a long palindrome


def read_linearly(c: torch.Tensor, first: torch.Tensor) -> float:
    """Accuracy of a linear map from c (n, hidden) to the first digit (n,), fitted on half of the rows, on the others.

    The fit is by least squares to one-hot digits, with a constant and a small ridge penalty.
    """
    c = torch.cat([c / c.std().clamp(min=1e-6), torch.ones(len(c), 1)], dim=1).double()
    half = len(c) // 2
    wanted = F.one_hot(first[:half], NUM_CLASSES).double()
    ridge = 1e-3 * half * torch.eye(c.shape[1], dtype=c.dtype)
    weights = torch.linalg.solve(c[:half].T @ c[:half] + ridge, c[:half].T @ wanted)
    return ((c[half:] @ weights).argmax(1) == first[half:]).double().mean().item()


def show_gates(args: argparse.Namespace) -> Path:
    """Draw the picture of one network; returns its folder."""
    source = find_network(args.run)
    trained = load_lstm(source)
    network = trained.network.to(args.device)
    rng = np.random.default_rng(seeds.stream_seed(args.seed, "gates"))
    if args.digits:
        digits = torch.tensor([args.digits], dtype=torch.uint8)
    else:
        digits = draw_palindromes(1, args.input_length, rng)[:, :-1]
    length = digits.shape[1]
    run = Run.open(args, SCRIPT, f"part1/gates-T{length}")

    many = draw_palindromes(SEQUENCES, length, rng)[:, :-1]
    steps = sorted({round(t) for t in np.geomspace(1, length, READINGS)})
    memory, first = trace(network, trained.encode(many.to(args.device)), steps)["c"], many[:, 0].long()
    shares = explained(memory[-1], first)
    units = shares.argsort(descending=True)[:UNITS]
    x = trained.encode(digits.to(args.device))
    shown, influence = trace(network, x), sensitivity(network, x)
    with torch.no_grad():
        answers = F.softmax(network.fc(shown["h"][:, 0].to(args.device)).cpu(), dim=1)

    readings = {t: {"linear_reading": read_linearly(c, first)} for t, c in zip(steps, memory, strict=True)}
    rows = []
    for t, (digit, slope) in enumerate(zip(digits[0].tolist(), influence.tolist(), strict=True), start=1):
        rows.append({"t": t, "digit": digit, **readings.get(t, {}), "sensitivity": slope})
        run.log(rows[-1], t)
    traces = {name: shown[name][:, 0, units].numpy() for name in "ifoc"}
    draw_picture(rows, traces, answers[:, rows[0]["digit"]].numpy(), units.tolist(), run.folder / "gates.png")
    result = {"network": path_as_text(source), "answer": answers[-1].argmax().item(), "units": units.tolist()}
    run.finish(result | {"explained": shares[units].tolist()})
    print(f"first digit {digits[0, 0]}, the network's answer after {length:,} digits: {result['answer']}")
    shares_text = " ".join(f"{share:.2f}" for share in shares[units])
    print(f"units {' '.join(map(str, result['units']))}: the first digit explains {shares_text} of c(T)'s variance")
    print(f"picture: {run.folder / 'gates.png'}")
    return run.folder


def draw_picture(rows: list[dict], traces: dict[str, np.ndarray], surely: np.ndarray, units: list[int], path: Path):
    """Draw the rows of metrics.jsonl, i, f, o and c (steps, units), and the first digit's probability (steps,)."""
    from matplotlib.ticker import MaxNLocator

    spans = [len(rows)] if len(rows) <= 3 * FIRST else [FIRST, len(rows)]
    figure = new_figure(9, 9)
    heights = [0.35, 1.1, 1.1, 1.1, 2.1, 1.3, 1.1]
    panels = figure.subplots(7, len(spans), squeeze=False, sharey="row", height_ratios=heights)
    for column, span in enumerate(spans):
        strip, *maps, memory, answer, curve = panels[:, column]
        draw_digits(strip, [row["digit"] for row in rows[:span]], is_part=span < len(rows))
        for axes, label in zip(maps, ("input gate i", "forget gate f", "output gate o"), strict=True):
            extent = (0.5, span + 0.5, len(units) - 0.5, -0.5)
            style = {"cmap": "gray_r", "vmin": 0, "vmax": 1, "interpolation": "nearest", "aspect": "auto"}
            image = axes.imshow(traces[label[-1]][:span].T, extent=extent, **style)
            if column == 0:
                axes.set_ylabel(f"{label}\nunit")
                axes.set_yticks(range(len(units)), units)
        t = range(1, span + 1)
        for unit, c, style in zip(units, traces["c"][:span].T, STYLES, strict=False):
            memory.plot(t, c, linewidth=1.2, label=unit, **style)
        memory.set_yscale("symlog", linthresh=1)
        memory.yaxis.set_major_formatter("{x:,g}")
        marker = "o" if span <= 3 * FIRST else ""
        slopes = [row["sensitivity"] for row in rows[:span]]  # after many digits 0
        answer.plot(t, slopes, color="0.2", linewidth=0.8, marker=marker, markersize=3)
        answer.set_yscale("symlog", linthresh=1e-6)
        asked = "the network's probability of the first digit, asked now"
        curve.plot(t, surely[:span], label=asked, zorder=3, **STYLES[1])  # above the other, where both are 1
        known = [(row["t"], row["linear_reading"]) for row in rows[:span] if "linear_reading" in row]
        curve.plot(
            *zip(*known, strict=True), label="share of palindromes whose c(t) tells it to a linear map", **STYLES[0]
        )
        curve.set(ylim=(0, 1.08), xlabel="step t")
        for axes in panels[1:, column]:
            axes.set_xlim(0.5, span + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(10 if len(spans) == 1 else 6, integer=True))
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.tick_params(labelbottom=axes is curve)
        for axes in (memory, answer, curve):
            plain_axes(axes)
    from_above = sorted(memory.lines, key=lambda line: -line.get_ydata()[-1])
    beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "title": "unit"}
    memory.legend(handles=from_above, **beside).set_in_layout(False)  # the colour bar above has made room
    figure.colorbar(image, ax=panels[1:4, -1], pad=0.01, aspect=30, label="shut 0 … open 1")
    labels = "memory c(t)\nof each unit", "|∂ logit / ∂ x(t)|\nof the answer", "first digit\nknown (share)"
    for axes, label in zip(panels[4:, 0], labels, strict=True):
        axes.set_ylabel(label)
    figure.legend(*curve.get_legend_handles_labels(), loc="outside lower center")
    save_figure(figure, path)


def draw_digits(axes, digits: list[int], is_part: bool) -> None:
    """Digits as text if there is room, else as a strip of grey values."""
    title = f"the first {FIRST} digits" if is_part else f"{len(digits):,} digits"
    if len(digits) <= 3 * FIRST:
        for t, digit in enumerate(digits, 1):
            axes.text(t, 0.5, str(digit), ha="center", va="center", weight="bold" if t == 1 else "normal")
    else:
        axes.imshow([digits], aspect="auto", cmap="gray_r", extent=(0.5, len(digits) + 0.5, 0, 1))
        title += ", 0 white to 9 black"
    axes.set_axis_off()
    axes.set(xlim=(0.5, len(digits) + 0.5), ylim=(0, 1))
    axes.set_title(title)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    parser.add_argument("--run", type=Path, help=cli.RUN)
    add, length = parser.add_mutually_exclusive_group().add_argument, cli.int_between(1, MAX_TRAINED_LENGTH)
    add("--digits", type=cli.int_between(0, 9), nargs="+", help="the digits to read, instead of a random palindrome")
    add("--input_length", type=length, default=10, help="length of the random palindrome")
    cli.add_shared_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.call(lambda: show_gates(parse_args()))
