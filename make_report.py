"""Make the runs behind report.md again, in outputs/, and copy what the report shows to outputs/report.

    python make_report.py                 all steps, in order; days on two cores
    python make_report.py sweep gates     these steps only

Not made again are, of what NOTES.md shows, the trials, the earlier versions, and the benchmarks on CUDA or with other
allocators; nor are the project's own two judges (part2/train_judges.py). Finished runs of sweeps and comparisons are
not repeated and unfinished ones are resumed, so if it is stopped, start it again. The files that come with the project
are replaced one by one, each when the new file is there.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from common import cli
from common.files import write_whole
from common.runs import OUTPUTS, PRETRAINED, ROOT
from common.sweeps import PlannedRun, run_all
from part1.memory import LENGTHS
from part1.networks import export_network
from part2.compare import family
from part2.generators import export_networks
from part2.recipes import RECIPES
from part2.rejection import SCORES

SHOWN = OUTPUTS / "report"
RECORD = ("config.json", "metrics.jsonl", "result.json")  # of a run, without its checkpoint
COMPARISON = OUTPUTS / "part2" / "compare"
COMPARE = ("part2/compare.py", "--eval_split", "test", "--data_size", "60000")
GENERATORS = {"reference": COMPARISON / "runs" / "reference-seed0", "improved": PRETRAINED / "generator"}


def call(script: str, *flags: str | Path) -> None:
    """Run a script of the project to its end."""
    subprocess.run([sys.executable, ROOT / script, *flags], check=True)


def show(folder: Path, files: Iterable[Path]) -> None:
    """Copy files into a folder of outputs/report."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        write_whole(folder / file.name, file.read_bytes())


def run_and_show(name: str, script: str, *flags: str | Path, shown: str = ".json .csv .png .gif") -> None:
    """Run a script of a few minutes in a new folder outputs/NAME, and show what it wrote."""
    folder = OUTPUTS / name
    shutil.rmtree(folder, ignore_errors=True)
    call(script, *flags, "--out_dir", folder)
    show(SHOWN / name, (path for path in folder.iterdir() if path.suffix in shown.split()))


def sweep() -> None:
    """Part 1: lengths × networks × seeds."""
    call("part1/sweep.py", "--jobs", "2")
    folder = OUTPUTS / "part1" / "sweep"
    for run in sorted((folder / "runs").glob("*/result.json")):
        show(SHOWN / "part1" / "sweep" / run.parent.name, (run.with_name(name) for name in RECORD))
    show(SHOWN / "part1", (folder / name for name in ("sweep.csv", "table.md", "sweep.png", "curves.png")))


def curricula() -> None:
    """Part 1: one-hot digits up to 1,048,576; fewer sequences; scalar digits; marked digits. Five seeds, or three."""
    lengths = ["--lengths", *map(str, LENGTHS)]
    settings = {"": [*lengths, str(2**20)], "scalar-": ["--encoding", "scaled", "--data_size", "300000", *lengths]}
    settings |= {f"n{n}-": ["--data_size", str(n), *lengths[:-2]] for n in (10_000, 15_000, 20_000)}
    settings |= {"marker-": ["--task", "marker", "--data_size", "100000", *lengths, str(2**20)]}
    runs = [
        PlannedRun(f"{name}seed{seed}", "part1/train_curriculum.py", ["--seed", str(seed), *flags])
        for name, flags in settings.items()
        for seed in range(3 if name.startswith("marker") else 5)
    ]
    folder = OUTPUTS / "part1" / "curricula"
    run_all(folder, runs, jobs=2, alike={})
    for run in runs:
        show(SHOWN / "part1" / "curriculum" / run.name, (folder / "runs" / run.name / name for name in RECORD))


def gates() -> None:
    """Part 1: how the network of seed 1 of the curricula remembers."""
    network = OUTPUTS / "part1" / "curricula" / "runs" / "seed1"
    for length in ("10", "1000"):
        run_and_show(f"part1/gates-T{length}", "part1/show_gates.py", "--run", network, "--input_length", length)


def benchmark() -> None:
    """Both parts: how fast. It needs a machine that does nothing else."""
    run_and_show("part1/benchmark", "part1/benchmark.py")
    run_and_show("part2/benchmark", "part2/benchmark.py")


def compare() -> None:
    """Part 2: recipes × seeds."""
    call(*COMPARE, "--recipes", "improved", "--seeds", *"01234")
    call(*COMPARE, "--recipes", "reference", "reference_rmsprop", "reference_popular")
    collapse = ["--recipes", "reference", "--seeds", *"3456789", "--n_epochs", "60", "--eval_interval", "20"]
    call(*COMPARE, *collapse, "--out_dir", OUTPUTS / "part2" / "collapse")
    brief = ["--n_epochs", "20", "--eval_interval", "5"]
    changed = [name for name in RECIPES if family(name) in GENERATORS and name != "reference_popular"]
    call(*COMPARE, "--recipes", *changed, *brief, "--out_dir", OUTPUTS / "part2" / "levers")
    soon = ["--recipes", "improved", "--n_epochs", "10", "--eval_interval", "1"]
    call(*COMPARE, *soon, "--out_dir", OUTPUTS / "part2" / "soon")
    bf16 = ["--recipes", "improved", *brief, "--precision", "bf16"]
    call(*COMPARE, *bf16, "--out_dir", OUTPUTS / "part2" / "bf16")
    crisp = ["--recipes", "crisp", "--seeds", *"01234", "--n_epochs", "150", "--eval_interval", "50"]
    call(*COMPARE, *crisp, "--precision", "bf16", "--out_dir", OUTPUTS / "part2" / "crisp")
    for name in ("compare", "collapse", "levers", "soon", "bf16", "crisp"):
        show_comparison(name)
    for recipe in GENERATORS:
        run = COMPARISON / "runs" / f"{recipe}-seed0"
        show(SHOWN / "part2" / recipe, (run / name for name in ("progress.png", "curves.png", "training.gif")))


def show_comparison(name: str) -> None:
    """The tables and pictures of compare.py, and the records of its runs."""
    folder = OUTPUTS / "part2" / name
    show(SHOWN / "part2" / name, (path for path in folder.iterdir() if path.suffix in (".csv", ".md", ".png")))
    for run in sorted((folder / "runs").glob("*/result.json")):
        files = (run.with_name(file) for file in (*RECORD, "samples.png"))
        show(SHOWN / "part2" / name / "runs" / run.parent.name, files)


def memory() -> None:
    """Part 2: what the discriminator makes of real images that it never saw, epoch by epoch."""
    flags = ["--n_epochs", "150", "--precision", "bf16", "--data_size", "50000", "--eval_interval", "10"]
    folder = OUTPUTS / "part2" / "memory"
    run_all(folder, [PlannedRun("seed10", "part2/train_gan.py", [*flags, "--seed", "10"])], jobs=1, alike={})
    show(SHOWN / "part2" / "memory", (folder / "runs" / "seed10" / name for name in RECORD))


def pretrained() -> None:
    """Both parts: seed 1 of curricula (the first without an error) and seed 3 of compare's improved recipe."""
    lstm, generator = OUTPUTS / "part1" / "curricula" / "runs" / "seed1", COMPARISON / "runs" / "improved-seed3"
    for name, run in (("lstm", lstm), ("generator", generator)):
        show(PRETRAINED / name, (run / "config.json", run / "result.json"))
    export_network(lstm, PRETRAINED / "lstm" / "checkpoint.pt")
    export_networks(generator, PRETRAINED / "generator" / "checkpoint.pt")


def generators() -> None:
    """Part 2: a generator of each recipe, measured, and its walks."""
    for recipe, run in GENERATORS.items():
        for script in ("evaluate", "interpolate"):
            run_and_show(f"part2/{recipe}/{script}", f"part2/{script}.py", "--run", run)
    for scores in (*([score] for score in SCORES), SCORES):
        flags = ["--run", GENERATORS["improved"], "--reject", *scores]
        run_and_show(f"part2/improved/reject-{'-'.join(scores)}", "part2/evaluate.py", *flags)


def board() -> None:
    """Part 2: how soon; one run at a time, on a machine that does nothing else."""
    settings = {"board": ["--n_epochs", "12", "--eval_interval", "1"]}
    settings |= {"board-bf16": ["--n_epochs", "30", "--eval_interval", "2", "--precision", "bf16"]}
    for name, flags in settings.items():
        call(*COMPARE, "--recipes", "improved", *flags, "--out_dir", OUTPUTS / "part2" / name)
        show_comparison(name)


def judge() -> None:
    """Part 2: what the judge says of real images that are spoiled more and more."""
    run_and_show("part2/judge", "part2/show_judge.py")


def judges() -> None:
    """Part 2: what other judges say of the pretrained generator: three pairs trained anew, three untrained."""
    for name, flags in {"retrained": [], "untrained": ["--n_epochs", "0"]}.items():
        for seed in "123":
            pair, named = f"part2/judges/{name}-seed{seed}", []
            for judge in ("classifier", "autoencoder"):
                run_and_show(f"{pair}/{judge}", "part2/train_judges.py", judge, *flags, "--seed", seed)
                named += [f"--{judge}", OUTPUTS / pair / judge]
            run_and_show(
                f"{pair}/evaluate", "part2/evaluate.py", "--run", GENERATORS["improved"], *named, shown=".json"
            )


STEPS = {
    step.__name__: step
    for step in (sweep, curricula, gates, benchmark, compare, memory, board, pretrained, generators, judge, judges)
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    steps = "; ".join(f"{name}: {step.__doc__.rstrip('.')}" for name, step in STEPS.items())
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"the steps to make; if none is given, all. {steps}")
    args = parser.parse_args(argv)
    for name in args.steps:
        if name not in STEPS:
            parser.error(f"{name} is not one of the steps {', '.join(STEPS)}")
    args.steps = args.steps or list(STEPS)
    return args


def main() -> None:
    try:
        for name in parse_args().steps:
            print(f"{name}: {STEPS[name].__doc__}")
            STEPS[name]()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # the script has said why


if __name__ == "__main__":
    cli.call(main)
