"""Many runs of a training script, each in a folder of its own; a sweep that was stopped goes on where it was."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import filelock
from tqdm import tqdm

from common import cli
from common.files import read_json
from common.runs import ROOT


def run_all(script: str, out_dir: Path, runs: dict[str, list[str]], jobs: int, alike: dict) -> None:
    """Call `script` once for each of `runs` (a folder's name under OUT_DIR/runs → flags), `jobs` of them at once.

    Finished runs are left as they are, begun ones gone on with. What each prints goes to OUT_DIR/runs/NAME.log. Ctrl-C
    and SIGTERM stop the runs under way too; they save. `alike` holds the settings that all runs of a sweep share: runs
    there that had others are a UserError, for they cannot be compared.
    """
    folder = out_dir / "runs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(out_dir / ".lock", timeout=0).acquire()
    except filelock.Timeout:
        raise cli.UserError(f"--out_dir {out_dir}: another sweep is at work there") from None
    except OSError as error:
        raise cli.UserError(f"--out_dir {out_dir}: cannot be written to ({error.strerror})") from None
    for path in folder.glob("*/config.json"):
        arguments = read_json(path)["arguments"]
        for name, value in alike.items():
            if (had := arguments.get(name)) != value:
                raise cli.UserError(f"--{name} {value}: {path.parent} had {had}; name another --out_dir")
    shared = [word for name, value in alike.items() for word in (f"--{name}", str(value))]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    under_way, stopped = [], Event()

    def stop(number: int, _frame) -> None:
        stopped.set()
        for process in under_way:
            process.terminate()  # a terminal sends Ctrl-C to them too, but nobody else SIGTERM
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    with lock, ThreadPoolExecutor(jobs) as pool:
        try:
            started = [
                pool.submit(_run, script, folder / name, flags + shared, threads, under_way, stopped)
                for name, flags in runs.items()
            ]
            for job in tqdm(started, unit="run", disable=not sys.stderr.isatty()):
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # those not begun; those under way save and end
            raise
        finally:
            signal.signal(signal.SIGTERM, before)


def _run(
    script: str, folder: Path, flags: list[str], threads: int, under_way: list[subprocess.Popen], stopped: Event
) -> None:
    if (folder / "result.json").exists():
        return
    begun = (folder / "config.json").exists()
    command = [sys.executable, str(ROOT / script)]
    command += ["--resume", str(folder)] if begun else [*flags, "--out_dir", str(folder)]
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}  # the user's own setting wins
    log = folder.with_suffix(".log")
    with log.open("a") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        under_way.append(process)
        if stopped.is_set():  # while it was being started
            process.terminate()
        status = process.wait()
    if status:
        raise cli.UserError(f"{folder.name} ended with exit status {status}; see {log}", status=1)
