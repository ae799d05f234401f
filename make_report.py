"""Make the runs behind report.md, each study in its folder of outputs/report: a row a run in its runs.csv.

    python make_report.py                                  all studies, in order; days on two cores
    python make_report.py sweep gates                      these only
    python make_report.py compare --out_dir outputs/again  make runs again that are in the published tables

A run whose row is there is not made again, and nothing is deleted. If it is stopped, start it again: it continues. Not
made here is, of what NOTES.md shows: the trials, the earlier versions (such as part1/curriculum), rejection, the older
benchmarks, and the training of the project's own judges (part2/judges/train_judges.py). The pretrained generator is
seed 3 of the improved recipe. `export_network` (part1/networks/trained.py) and `export_networks`
(part2/networks/trained.py) wrote the pretrained networks.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from common import cli
from common.files import read_metrics, write_atomic
from common.find import OUTPUTS, PRETRAINED
from common.studies import PlannedRun, make_runs, module_of
from part2.recipes.recipes import RECIPES

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
    "memory": ["--recipes improved --seeds 10 --n_epochs 150 --eval_interval 10 --precision bf16"],
    # how soon: on a machine that does nothing else
    "board": [f"--recipes improved --n_epochs 12 --eval_interval 1 {ON_TEST}"],
    "board-bf16": [f"--recipes improved --n_epochs 30 --eval_interval 2 --precision bf16 {ON_TEST}"],
}
WHAT = ("lstm", "gan")  # of benchmark.py: on a machine that does nothing else
FILMS = ("reference-seed0", "improved-seed0")  # runs of compare whose pictures of training are shown


def keep_pictures(folder: Path, name: str) -> None:
    """Copy a run's pictures, and the table of a benchmark, to its study, with the run's name before theirs."""
    for path in folder.glob("*.*"):
        if path.suffix in (".png", ".gif", ".csv"):
            write_atomic(folder.parents[1] / f"{name}-{path.name}", path.read_bytes())


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
    spoiled = [planned("judge", "part2/judges/show_judge.py", "")]
    return {
        "sweep": call("part1/sweep.py", SWEEP, "part1/sweep"),
        "proofs": make("part1/proofs", proofs, jobs=2, curve=read_metrics),
        "doubts": make("part1/doubts", doubts, keep=keep_pictures),
        "gates": make("part1/gates", gates, curve=read_metrics, keep=keep_pictures),
        **{name: call("part2/compare.py", calls, f"part2/{name}") for name, calls in COMPARISONS.items()},
        "films": lambda: [keep_pictures(out_dir / "part2/compare/runs" / name, name) for name in FILMS],
        "evaluate": make("part2/evaluate", of_both("part2/evaluate.py"), keep=keep_pictures),
        "interpolate": make("part2/interpolate", of_both("part2/interpolate.py"), keep=keep_pictures),
        "judge": make("part2/judge", spoiled, curve=read_metrics, keep=keep_pictures),
        "judges": make("part2/judges", judges(out_dir / "part2/judges/runs")),
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
