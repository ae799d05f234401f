"""Many runs of the train scripts, each in its own folder, and the finished ones among them."""

import math
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from statistics import stdev
from threading import Event
from typing import NamedTuple

import filelock
import torch

from common.cli import UserError
from common.console import progress_bar
from common.runs import ROOT, read_config

T_975 = {3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}  # by number of runs


class PlannedRun(NamedTuple):
    """A call of a train script (its path from the project's root). Its folder will be OUT_DIR/runs/NAME."""

    name: str
    script: str
    flags: list[str]


class FinishedRun(NamedTuple):
    """A finished run. `name` is its folder's name up to the first "-": the network or the recipe."""

    name: str
    seed: int
    folder: Path
    arguments: dict


def run_all(out_dir: Path, runs: list[PlannedRun], jobs: int, alike: dict) -> None:
    """Make all runs, `jobs` of them at the same time. Finished runs are not repeated; unfinished ones are resumed.

    The output of a run goes to OUT_DIR/runs/NAME.log. If one fails, on Ctrl-C and on SIGTERM, the others are told to
    save and stop (on Windows they are ended, and the last checkpoint stays). Runs that exist already must have the same
    settings in `alike`; else they cannot be compared, and that is a UserError.
    """
    folder, runs = out_dir / "runs", list({run.name: run for run in runs}.values())  # a seed may be named twice
    if (out_dir / "config.json").exists():
        raise UserError(f"--out_dir {out_dir}: already holds a run; name a new folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(out_dir / ".lock", timeout=0).acquire()
    except filelock.Timeout:
        raise UserError(f"--out_dir {out_dir}: another sweep is at work there") from None
    except OSError as error:
        raise UserError(f"--out_dir {out_dir}: cannot be written to ({error.strerror})") from None
    for path in folder.glob("*/config.json"):
        arguments = read_config(path.parent)["arguments"]
        for name in alike.keys() & arguments.keys():
            if arguments[name] != alike[name]:
                raise UserError(f"--{name} {alike[name]}: {path.parent} had {arguments[name]}; name another --out_dir")

    under_way, stopping = [], Event()
    threads = str(max(1, torch.get_num_threads() // jobs))
    environment = {"OMP_NUM_THREADS": threads, **os.environ}  # the user's own setting has priority

    def make(run: PlannedRun) -> None:
        if (folder / run.name / "result.json").exists() or stopping.is_set():
            return
        begun = (folder / run.name / "config.json").exists()
        flags = ["--resume", folder / run.name] if begun else [*run.flags, "--out_dir", folder / run.name]
        log = folder / f"{run.name}.log"
        with log.open("a") as output:
            command = [sys.executable, ROOT / run.script, *flags]
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
            under_way.append(process)
            if stopping.is_set():  # while it was being started
                process.terminate()
            status = process.wait()
        if status:
            raise UserError(f"{run.name} ended with exit status {status}; see {log}", status=1)

    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with lock, ThreadPoolExecutor(jobs) as pool, progress_bar(len(runs), "run") as bar:
        try:
            for job in as_completed([pool.submit(make, run) for run in runs]):
                job.result()
                bar.update()
        except BaseException:
            stopping.set()
            for process in under_way:
                process.terminate()
            raise
        finally:
            signal.signal(signal.SIGTERM, before)


def finished_runs(out_dir: Path, names: list[str]) -> list[FinishedRun]:
    """The finished runs under OUT_DIR/runs with these names, in the order of `names`, then of lengths and seeds."""
    found = []
    for path in (out_dir / "runs").glob("*/result.json"):
        name, arguments = path.parent.name.split("-")[0], read_config(path.parent)["arguments"]
        if name in names:
            found.append(FinishedRun(name, arguments["seed"], path.parent, arguments))
    return sorted(found, key=lambda run: (names.index(run.name), run.arguments.get("input_length", 0), run.seed))


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def interval(values: list[float]) -> float:
    """Half the width of the 95 % interval of the mean over three runs or more, by Student's t; fewer: infinity.

    t s / √n,    s: standard deviation (n − 1), t: 97.5 % point for n − 1 degrees of freedom; above 9, that for 9
    """
    n = len(values)
    return T_975[min(n, 10)] * stdev(values) / math.sqrt(n) if n > 2 else math.inf
