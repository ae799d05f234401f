"""Make the runs behind report.md, each study in its folder of outputs/report: a row a run in its runs.csv.

    python make_report.py                                  all studies, in order; days on two cores
    python make_report.py sweep gates                      these only
    python make_report.py compare --out_dir outputs/again  make runs again that are in the published tables

A run whose row is there is not made again, and nothing is deleted. If it is stopped, start it again: it continues. Not
made here is, of what NOTES.md shows: the trials, the earlier versions (such as part1/curriculum), rejection, spoiled
images, the older benchmarks, and the training of the project's own judges (part2/judges/train_judges.py). The
pretrained generator is seed 3 of the improved recipe. `export_network` (part1/networks/trained.py) and
`export_networks` (part2/networks/trained.py) wrote the pretrained networks.
"""

import argparse
import io
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from common import cli, seeds
from common.figures import bare_axes, new_figure, render, tile
from common.files import read_csv, read_metrics, write_atomic
from common.find import OUTPUTS, PRETRAINED
from common.studies import PlannedRun, make_runs, module_of
from part1.networks import pictures as lstm_pictures
from part1.networks.traces import trace
from part1.networks.trained import load_lstm
from part1.proof.certificate import certify
from part1.proof.picture import answer_boxes, outline, plane
from part2.images import load_mnist
from part2.judges.networks import load_classifier
from part2.networks import pictures as gan_pictures
from part2.networks.trained import load_generator
from part2.networks.walks import find_ends, lerp, path_through
from part2.recipes.recipes import RECIPES

import numpy as np
import torch
from PIL import Image

THREE_SEEDS = "torch_lstm_memory torch_lstm reference rnn rnn_uniform"
SWEEP = ["--networks lstm --jobs 2", f"--networks {THREE_SEEDS} --seeds 0 1 2 --jobs 2"]

SLOW = "--data_size 4000 --batch_size 16 --max_batches"
PROOFS = {  # name → how many seeds, flags of part1/train_proved.py
    **{f"hot-n{n}": (10, f"--data_size {n}") for n in (100, 200, 500, 1000, 2000)},
    **{name: (10, f"--encoding {name} --data_size 4000 --max_batches 4000") for name in ("scaled", "raw")},
    **{f"units{n}": (5, f"--num_hidden {n}") for n in (32, 48, 128)},
    "marker": (3, "--task marker --data_size 30000 --batch_size 16 --max_batches 3000"),
    **{name: (5, f"--task {name} --num_hidden 48 {SLOW} 2000") for name in ("sum2", "sum3", "marks2")},
    "without": (5, "--without_proof"),
}

ON_TEST = "--eval_split test --data_size 60000"
BRIEF = f"--n_epochs 20 --eval_interval 5 {ON_TEST}"
LEVERS = [name for name in RECIPES if name.split("_")[0] in ("reference", "improved") and name != "reference_popular"]
COMPARISONS = {  # study → calls of part2/compare.py
    "compare": [
        f"--recipes improved --seeds 0 1 2 3 4 {ON_TEST}",
        f"--recipes reference reference_rmsprop reference_popular {ON_TEST}",
    ],
    "collapse": [f"--recipes reference --seeds 3 4 5 6 7 8 9 --n_epochs 60 --eval_interval 20 {ON_TEST}"],
    "levers": [f"--recipes {' '.join(LEVERS)} {BRIEF}"],
    "soon": [f"--recipes improved --n_epochs 10 --eval_interval 1 {ON_TEST}"],
    "bf16": [f"--recipes improved --precision bf16 {BRIEF}"],
    "crisp": [f"--recipes crisp --seeds 0 1 2 3 4 --n_epochs 150 --eval_interval 50 --precision bf16 {ON_TEST}"],
    "conditional": [f"--recipes conditional --seeds 0 1 2 3 --n_epochs 60 --eval_interval 20 --jobs 2 {ON_TEST}"],
    "memory": ["--recipes improved --seeds 10 --n_epochs 150 --eval_interval 10 --precision bf16"],
    # how soon: on a machine that does nothing else
    "board": [f"--recipes improved --n_epochs 12 --eval_interval 1 {ON_TEST}"],
    "board-bf16": [f"--recipes improved --n_epochs 30 --eval_interval 2 --precision bf16 {ON_TEST}"],
}
HELP = {  # trainings that go wrong: name → script, flags
    "lstm-high-rate": ("part1/train.py", "--learning_rate 1 --max_epoch 60"),
    "lstm-few-sequences": (
        "part1/train.py",
        "--input_length 10 --data_size 200 --portion_train 0.2 --batch_size 8",
    ),
    "gan-high-rate": (
        "part2/train_gan.py",
        "--recipe reference --learning_rate 0.01 --n_epochs 6 --data_size 6400",
    ),
}
FEW = (500, 2000, 10_000, 60_000)  # training images
WHAT = ("lstm", "gan")  # of benchmark.py: on a machine that does nothing else
FILMS = ("reference-seed0", "improved-seed0")  # runs of compare whose pictures of training are shown
READ = [*range(11), 12, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300, 400, 700, 1000]  # digits, in README's film


def keep_pictures(folder: Path, name: str) -> None:
    """Copy a run's pictures, and the table of a benchmark, to its study, with the run's name before theirs."""
    for path in folder.glob("*.*"):
        if path.suffix in (".png", ".gif", ".csv"):
            write_atomic(folder.parents[1] / f"{name}-{path.name}", path.read_bytes())


def keep_grid(folder: Path, name: str) -> None:
    """Copy the last grid of digits, if the run drew any, to its study."""
    for path in gan_pictures.grids_of(folder)[-1:]:
        write_atomic(folder.parents[1] / f"{name}-grid.png", path.read_bytes())


def planned(name: str, script: str, flags: str, *run: str | Path) -> PlannedRun:
    return PlannedRun(name, script, [*flags.split(), *(["--run", *run] if run else [])])


def judges(runs: Path) -> list[PlannedRun]:
    """What other judges say of the pretrained generator: three pairs trained anew, three untrained."""
    plan = []
    for pair, seed in ((f"{kind}-seed{seed}", seed) for kind in ("retrained", "untrained") for seed in (1, 2, 3)):
        epochs, named = " --n_epochs 0" * pair.startswith("untrained"), []
        for judge in ("classifier", "autoencoder"):
            plan.append(planned(f"{pair}-{judge}", "part2/judges/train_judges.py", f"{judge} --seed {seed}{epochs}"))
            named += [f"--{judge}", runs / f"{pair}-{judge}"]
        plan.append(planned(f"{pair}-evaluate", "part2/evaluate.py", "", PRETRAINED / "generator", *named))
    return plan


def few(runs: Path) -> list[PlannedRun]:
    """GANs of a few training images, and what the judge says of them."""
    plan = []
    for seed, n in product(range(3), FEW):
        name, flags = f"n{n}-seed{seed}", f"--images MNIST --data_size {n} --n_epochs 10 --save_interval 5000"
        plan.append(planned(name, "part2/train_gan.py", f"{flags} --seed {seed}"))
        plan.append(planned(f"{name}-evaluate", "part2/evaluate.py", "", runs / name))
    return plan


def labels(runs: Path) -> list[PlannedRun]:
    """GANs with and without labels: what the judge says, and what a classifier learns from their digits alone."""
    networks = {"improved": PRETRAINED / "generator"}
    networks |= {name: runs / name for name in (f"conditional-seed{seed}" for seed in range(4))}
    scripts = {"evaluate": ("part2/evaluate.py", ""), "learn": ("part2/judges/train_judges.py", "classifier")}
    return [
        planned(f"{name}-{what}", *script, network)
        for name, network in networks.items()
        for what, script in scripts.items()
    ]


def draw_help(report: Path) -> None:
    """HELP.md's pictures, from MNIST and the tables of compare, sweep and help alone."""

    def course(study: str, run: str) -> list[dict]:
        return [row for row in read_csv(report / study / "curves.csv") if row["run"] == run]

    names, cases = [row["run"] for row in read_csv(report / "part2/compare/runs.csv")], {}
    strips = np.asarray(Image.open(report / "part2/compare/digits.png"))  # 30 pixels high, for each run
    for word, run in (("normal", "improved-seed1"), ("collapsed", "reference-seed1"), ("recovered", "reference-seed0")):
        strip = np.pad(strips[30 * names.index(run) :][:28, :238], ((0, 2), (0, 2)), constant_values=160)
        sheet = np.vstack(np.split(strip, 2, axis=1))[:-2, :-2]  # two rows of four digits
        cases[f"{word}:\n{run.replace('-seed', ', seed ')}"] = course("part2/compare", run), sheet
    sheet = np.asarray(Image.open(report / "help/gan-high-rate-grid.png"))[:116:2, :236:2]
    cases["discriminator wins:\nlearning rate 0.01"] = course("help", "gan-high-rate"), sheet
    gan_pictures.draw_cases(cases, report / "help/gan.png")
    cases = {
        "normal, with breaks:\nT = 25, seed 3": course("part1/sweep", "lstm-T25-seed3"),
        "never begins: T = 30,\nthe reference's first weights": course("part1/sweep", "reference-T30-seed0"),
        "learning rate 1:\nT = 5": course("help", "lstm-high-rate"),
        "40 training sequences:\nT = 10": course("help", "lstm-few-sequences"),
    }
    lstm_pictures.draw_cases(cases, report / "help/lstm.png")
    gan_pictures.draw_ranges(load_mnist("test").images[:8], report / "help/pixels.png")


@torch.no_grad()
def overview(path: Path) -> None:
    """README's film, of the pretrained networks. Left: the states h after READ digits of ten sequences that differ in
    the first digit only, and the sets that no digit leaves, in a plane as part1/certify.py draws it. Right: ten walks
    through latent space, digit d → d + 4 → d + 3 → d (modulo 10). The last frame comes first, for who sees no other."""
    lstm, rng = load_lstm(PRETRAINED / "lstm"), np.random.default_rng(0)
    answers, h = answer_boxes(lstm, certify(lstm.network, lstm.symbols, lstm.task.automaton).boxes)
    directions = plane((h[0] + h[1]) / 2, rng)
    digits = torch.from_numpy(rng.integers(10, size=READ[-1])).repeat(10, 1)
    digits[:, 0] = answers
    states = trace(lstm.network, lstm.encode(digits), READ[1:])["h"].double() @ directions.T
    states = torch.cat([torch.zeros_like(states[:1]), states])  # (frames, 10, 2)
    beside = 12 * states[-1] / states[-1].norm(dim=1, keepdim=True)  # where a label stands, in points

    generator, classifier = load_generator(PRETRAINED / "generator"), load_classifier()
    z = generator.draw(1000, seeds.generator(1, "ends"))
    ends = find_ends(z, classifier.read(generator(z)), list(range(10)))
    alpha = torch.linspace(0, 1, (len(READ) - 1) // 3 + 1)
    walks = [path_through([ends[(d + k) % 10][0] for k in (0, 4, 3, 0)], lerp, alpha) for d in range(10)]

    from matplotlib.colors import to_rgb

    inks = {"black": 16} | {f"C{d}": 4 for d in range(10)}  # each with so many steps to white
    tints = [1 - k / n * (1 - part) for ink, n in inks.items() for k in range(n + 1) for part in to_rgb(ink)]
    (palette := Image.new("P", (1, 1))).putpalette([round(255 * part) for part in tints])
    frames = []
    for k, n in enumerate(READ):
        figure = new_figure(5.6, 1.95, **{"font.size": 11, "axes.titlesize": 12})  # 840 pixels wide
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
        for d, color in enumerate(f"C{d}" for d in range(10)):
            left.fill(*outline((h[0][d], h[1][d]), directions).T, color="black", linewidth=3)
            left.plot(*states[: k + 1, d].T, linewidth=0.8, color=color)
            left.plot(*states[k, d], "o", markersize=4, color=color)
            at = {"textcoords": "offset points", "xytext": beside[d].tolist(), "in_layout": False}
            left.annotate(str(d), states[k, d].tolist(), color=color, weight="bold", ha="center", va="center", **at)
        left.set(title="Part 1: a proved memory", xlabel=f"{n:,} digit{'s' * (n != 1)} read")
        left.set(xlim=(-6.4, 5), ylim=(-4.2, 5.4))
        right.imshow(tile(generator(torch.stack([walk[k] for walk in walks])), 5), cmap="gray", vmin=0, vmax=255)
        right.set(title="Part 2: generated digits", xlabel="walks 9 → 3 → 2, …", anchor="N")
        for axes in (left, right):
            bare_axes(axes)
            axes.set(xticks=[], yticks=[])
        frames.append(Image.open(render(figure)).convert("RGB"))
    first, *others = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames[-1:] + frames[:-1])
    pauses = [2000] + [250] * len(others)  # milliseconds
    first.save(buffer := io.BytesIO(), "GIF", save_all=True, append_images=others, duration=pauses, loop=0)
    write_atomic(path, buffer.getvalue())


def studies(out_dir: Path) -> dict[str, Callable[[], object]]:
    """Name → what makes the study, in the order in which they need each other."""

    def make(folder: str, plan: list[PlannedRun], **options) -> Callable[[], object]:
        return partial(make_runs, out_dir / folder, plan, **options)

    def call(script: str, calls: list[str], folder: str) -> Callable[[], object]:
        def make_all() -> None:
            module = module_of(script)
            args = [module.parse_args([*flags.split(), "--out_dir", str(out_dir / folder)]) for flags in calls]
            list(map(getattr(module, Path(script).stem), args))  # sweep or compare

        return make_all

    def of_both(script: str) -> list[PlannedRun]:
        reference = out_dir / "part2/compare/runs/reference-seed0"
        networks = {"reference": reference, "improved": PRETRAINED / "generator"}
        return [planned(name, script, "", network) for name, network in networks.items()]

    proofs = [
        planned(f"{name}-seed{seed}", "part1/train_proved.py", f"--threads 1 --seed {seed} {flags}")
        for name, (n_seeds, flags) in PROOFS.items()
        for seed in range(n_seeds)
    ]
    gates = [planned(f"T{n}", "part1/show_gates.py", f"--input_length {n}", PRETRAINED / "lstm") for n in (10, 1000)]
    doubts = [
        planned("certify", "part1/certify.py", "--attack 10000", PRETRAINED / "lstm"),
        planned("guess", "part1/proof/guess.py", ""),
    ]
    wrong = [planned(name, script, f"--threads 1 {flags}") for name, (script, flags) in HELP.items()]

    def help_() -> None:
        make("help", wrong, curve=read_metrics, keep=keep_grid)()
        draw_help(out_dir)

    own = [planned("improved", "part2/judges/show_inverse.py", "", PRETRAINED / "generator")]
    return {
        "sweep": call("part1/sweep.py", SWEEP, "part1/sweep"),
        "proofs": make("part1/proofs", proofs, jobs=2, curve=read_metrics),
        "doubts": make("part1/doubts", doubts, keep=keep_pictures),
        "gates": make("part1/gates", gates, curve=read_metrics, keep=keep_pictures),
        **{name: call("part2/compare.py", calls, f"part2/{name}") for name, calls in COMPARISONS.items()},
        "films": lambda: [keep_pictures(out_dir / "part2/compare/runs" / name, name) for name in FILMS],
        "evaluate": make("part2/evaluate", of_both("part2/evaluate.py"), keep=keep_pictures),
        "interpolate": make("part2/interpolate", of_both("part2/interpolate.py"), keep=keep_pictures),
        "labels": make("part2/labels", labels(out_dir / "part2/conditional/runs")),
        "few": make("part2/few", few(out_dir / "part2/few/runs")),
        "inverse": make("part2/inverse", own, keep=keep_pictures),
        "judges": make("part2/judges", judges(out_dir / "part2/judges/runs")),
        "help": help_,
        "overview": lambda: overview(out_dir / "overview.gif"),
        "benchmark": make("benchmark", [planned(what, "benchmark.py", what) for what in WHAT], keep=keep_pictures),
    }


def make_report(args: argparse.Namespace) -> None:
    """Make the studies, one after another."""
    made = studies(args.out_dir)
    for name in args.studies or made:
        print(name)
        made[name]()


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    names = list(studies(OUTPUTS / "report"))
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"if none is given, all: {', '.join(names)}")
    parser.add_argument("--out_dir", type=Path, default=OUTPUTS / "report", help="the folder of all studies")
    args = parser.parse_args(argv)
    if unknown := set(args.studies) - set(names):
        parser.error(f"{', '.join(sorted(unknown))}: not one of the studies {', '.join(names)}")
    return args


if __name__ == "__main__":
    cli.call(lambda: make_report(parse_args()))
