"""A study: many runs, and the tables that they leave in its folder.

runs.csv      a row a run: its settings, seed, commit, versions, machine, threads, result
curves.csv    what pictures and sentences need of a run's metrics
runs/NAME     a run's own folder, and runs/NAME.log what it prints; once its row is there, both may be deleted
"""

import contextlib
import importlib
import itertools
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from statistics import stdev
from threading import Event, Lock
from types import ModuleType
from typing import NamedTuple

from common.cli import UserError, print_line, progress_bar, quoted
from common.files import claim_folder, lock_folder, read_csv, read_json, read_metrics, reading, write_csv
from common.machine import ROOT
from common.runs import plain, read_config
from common.training import STOP

import torch
from tqdm import tqdm

NO_SETTINGS = {"run", "out_dir", "resume", "checkpoint_interval", "tensorboard", "processes", "device"}
LIMITS = {"n_epochs": "epoch", "max_epoch": "epoch", "max_batches": "batch"}  # settings; columns of the metrics
COLUMNS = {"precision": "number_format"}  # of settings; a measure is called precision too
T_975 = {3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}  # by number of runs


class PlannedRun(NamedTuple):
    """A call of a script (its path from the project's root). `also`: other cells that its row must have, if any."""

    name: str
    script: str
    flags: list[str]
    also: dict | None = None

    def settings(self) -> dict:
        """The cells of its settings, with the script's defaults; the script checks the flags. Paths are left out: the
        same run may lie elsewhere."""
        args = module_of(self.script).parse_args([str(flag) for flag in self.flags])
        paths = {name for name, value in vars(args).items() if isinstance(value, Path)}
        settings = {name: value for name, value in _settings(plain(args)).items() if name not in paths}
        return flatten(settings | (self.also or {}))


def module_of(script: str) -> ModuleType:
    """The module of a script, which is named by its path from the project's root."""
    return importlib.import_module(script.removesuffix(".py").replace("/", "."))


def make_runs(
    out_dir: Path,
    plan: list[PlannedRun],
    jobs: int = 1,
    alike: Iterable[str] = (),
    curve: Callable[[Path], list[dict]] = lambda folder: [],
    keep: Callable[[Path, str], None] = lambda folder, name: None,
) -> list[dict]:
    """Make the runs that are planned and not yet in the study's tables, `jobs` of them at once; returns all rows.

    A run that was begun is resumed, or if its script cannot do that, made anew, and the folder begun gets another name.
    If a process from before a crash still makes it, it is waited for. When a run is finished, its row is added to
    runs.csv, the rows of `curve(folder)` to curves.csv, and `keep(folder, name)` may keep pictures. If one fails, or on
    a signal, the others are told to save and stop (on Windows they are ended, and the last checkpoint stays). UserError
    if a run in the tables or in runs/ has other settings than planned, or if it differs from the plan in a setting that
    must be `alike` in all runs.
    """
    plan = list({run.name: run for run in plan}.values())  # a seed may be named twice
    wanted = {run.name: run.settings() for run in plan}
    try:
        lock = claim_folder(out_dir, "runs", "runs.csv")
        (out_dir / "runs").mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"--out_dir {out_dir}: cannot be written to ({error.strerror})") from None
    with contextlib.ExitStack() as at_the_end:
        at_the_end.callback(lock.release)
        rows, curves = read_csv(out_dir / "runs.csv"), read_csv(out_dir / "curves.csv")
        with reading(out_dir):
            recorded, _ = ({row["run"] for row in table} for table in (rows, curves))
        begun = [to_row(path.parent) for path in sorted((out_dir / "runs").glob("*/config.json"))]
        for row in rows + begun:
            expected = wanted.get(row["run"]) or {name: cell for w in wanted.values() for name, cell in w.items()}
            names = expected.keys() - {"threads"} if row["run"] in wanted else expected.keys() & set(alike)
            for name in sorted(names & row.keys()):
                if str(row[name]) != str(expected[name]):
                    what = f"{row['run']} had {name} {row[name]}, and {expected[name]} is asked for"
                    raise UserError(f"--out_dir {out_dir}: {what}; name another folder")

        def add(name: str) -> None:
            folder = out_dir / "runs" / name
            with reading(folder):
                row, points = to_row(folder), [{"run": name, **point} for point in curve(folder)]
            keep(folder, name)
            rows.append(row)
            curves[:] = [point for point in curves if point["run"] != name] + points  # without those before a crash
            if curves:
                write_csv(out_dir / "curves.csv", curves)
            write_csv(out_dir / "runs.csv", rows)

        _run_all(out_dir / "runs", [run for run in plan if run.name not in recorded], jobs, add)
    return read_csv(out_dir / "runs.csv")


def how_far(folder: Path) -> tuple[str, float]:
    """How far a run is by the last row of its metrics, in words and as a share: ("epoch 3 of 200", 0.01); the third may
    not have ended."""
    with contextlib.suppress(UserError), reading(folder):
        settings, row = read_config(folder)["arguments"], read_metrics(folder)[-1]
        for limit, unit in LIMITS.items():
            if limit in settings and unit in row:
                return f"{unit} {row[unit]:,} of {settings[limit]:,}", (row[unit] - 1) / settings[limit]
    return "begins", 0.0


def _status(folder: Path, under_way: list[str], shares: dict[str, float], begun: float, seconds: float) -> str:
    """How many runs are made, the time left, how far those under way are. `shares`, the share of each run that is made,
    is brought up to date; their sum was `begun`, `seconds` ago."""
    words = []
    for name in under_way:
        text, share = how_far(folder / name)
        shares[name] = max(share, shares[name])
        words.append(f"{name}: {text}")
    done, n = sum(shares.values()), len(shares)
    left = f", about {tqdm.format_interval(seconds * (n - done) / (done - begun))} left" if done > begun else ""
    return f"{list(shares.values()).count(1)} of {n} runs made{left}; {', '.join(words)}"


def _is_held(folder: Path) -> bool:
    """Is a process writing to this run, one from before a crash?"""
    try:
        if folder.exists():
            lock_folder(folder).release()
    except UserError:
        return True
    return False


def _run_all(folder: Path, plan: list[PlannedRun], jobs: int, add: Callable[[str], None]) -> None:
    """Start a process for each run, say how far they are, and wait for all; `add(name)` is called after each."""
    under_way, stopping, adding, numbers = {}, Event(), Lock(), itertools.count(1)
    threads = str(max(1, torch.get_num_threads() // jobs))
    environment = {"OMP_NUM_THREADS": threads, **os.environ}  # the user's own setting has priority
    shares = {run.name: how_far(folder / run.name)[1] for run in plan}
    begun, started, next_line = sum(shares.values()), time.monotonic(), 60.0

    def make(run: PlannedRun) -> None:
        if stopping.is_set():
            return
        place, log = folder / run.name, folder / f"{run.name}.log"
        result, under_way[run.name] = place / "result.json", None
        print_line(f"run {next(numbers)} of {len(plan)}: {run.name}")
        while not result.exists() and not stopping.is_set():
            if _is_held(place):
                stopping.wait(1)
                continue
            flags = [*run.flags, "--out_dir", place]
            if (place / "config.json").exists():
                if "checkpoint_interval" in read_config(place)["arguments"]:  # of a train script
                    flags = ["--resume", place]
                else:
                    place.rename(f"{place}-stopped-{time.strftime('%Y%m%d-%H%M%S')}")
            with log.open("a") as output:
                command = [sys.executable, ROOT / run.script, *flags]
                process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
                under_way[run.name] = process
                if stopping.is_set():  # while it was being started
                    process.terminate()
                status = process.wait()
            if not result.exists() and not _is_held(place):
                raise UserError(f"{run.name} ended with exit status {status}; see {log}", status=1)
        if result.exists():
            with adding:
                add(run.name)
            shares[run.name] = 1.0
        del under_way[run.name]

    heard = [number for number in STOP if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, _: sys.exit(128 + number)) for number in heard}
    try:
        with ThreadPoolExecutor(jobs) as pool, progress_bar(len(plan), "run") as bar:
            bar.bar_format = "{desc}"
            if plan:
                print_line(f"what a run prints: {folder / 'NAME.log'}".replace(f"{Path.cwd()}{os.sep}", ""))
            try:
                waiting = {pool.submit(make, run) for run in plan}
                while waiting:
                    seconds = time.monotonic() - started
                    if not bar.disable:
                        bar.set_description_str(_status(folder, list(under_way), shares, begun, seconds))
                    elif seconds > next_line:
                        status = _status(folder, list(under_way), shares, begun, seconds)
                        print_line(textwrap.shorten(status, 80, placeholder=" …"))
                        next_line = min(1.5 * seconds, seconds + 600)
                    ended, waiting = wait(waiting, 5, FIRST_COMPLETED)
                    for job in ended:
                        job.result()
            except BaseException:
                stopping.set()
                if alive := [process for process in list(under_way.values()) if process and process.poll() is None]:
                    print_line("stopping as soon as the runs under way have saved")
                for process in alive:
                    process.terminate()
                raise
    except SystemExit:  # a signal
        print_line(f"stopped; to continue: {' '.join(map(quoted, sys.orig_argv))}")
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def to_row(folder: Path) -> dict:
    """The row of runs.csv for a run's folder; without a result, if it has none yet."""
    config = read_config(folder)
    with reading(folder / "config.json"):
        row = {"run": folder.name, "script": config["script"], **flatten(_settings(config["arguments"]))}
        row |= {"threads": config["threads"]} | {name: config[name] for name in ("started", "commit", "python")}
        row |= config["packages"] | {"platform": config["platform"], "machine": config["device"]}
    result = read_json(folder / "result.json") if (folder / "result.json").exists() else {}
    return row | flatten({name: value for name, value in result.items() if name != "run"})


def _settings(arguments: dict) -> dict:
    return {COLUMNS.get(name, name): value for name, value in arguments.items() if name not in NO_SETTINGS}


def flatten(values: dict) -> dict:
    """One cell for each value: nested names are joined by "_", a list's items by spaces; None is an empty cell."""
    cells = {}
    for name, value in values.items():
        if isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
            value = dict(enumerate(value))
        if isinstance(value, dict):
            cells |= flatten({f"{name}_{inner}": cell for inner, cell in value.items()})
        else:
            cells[name] = " ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return {name: cell for name, cell in cells.items() if cell is not None}


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
