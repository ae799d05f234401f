"""A run's folder.

config.json              every argument, the versions, the git commit, the device; written first
metrics.jsonl            a line an epoch or an interval, only ever appended to
checkpoint.pt            the whole state of training, and what rebuilds the network around the weights
checkpoint.previous.pt   the one before it
result.json              the last thing written: its presence means that the run finished
"""

import argparse
import datetime
import importlib.metadata
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import filelock
import numpy as np
import torch

from common import checkpoint, distributed
from common.cli import UserError
from common.console import print_line
from common.figures import save_picture
from common.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
OUTPUTS = ROOT / "outputs"
PRETRAINED = OUTPUTS / "pretrained"
PACKAGES = ("torch", "torchvision", "numpy", "matplotlib")  # whose versions are written down


class Run:
    """One run's folder, held by this process alone until the run is finished or the process ends.

    Of several processes under torchrun only the main one writes. A run that is resumed has its last checkpoint, if it
    was saved before, in `saved`.
    """

    def __init__(self, folder: Path, tensorboard: bool = False):
        self.folder = Path(folder)
        self.checkpoint = self.folder / checkpoint.NAME
        self.config, self.kind, self.saved = {}, "", None
        self.metrics = self.folder / "metrics.jsonl"
        self.metrics_length = 0  # bytes of metrics.jsonl that are sound
        self._unwritten = b""  # rows that wait for room on the disk
        self._lock = filelock.FileLock(self.folder / ".lock", timeout=0)
        self._tensorboard = tensorboard
        self._writer = None

    @classmethod
    def create(cls, args: argparse.Namespace, script: str, name: str) -> "Run":
        """Make the folder `--out_dir`, or `outputs/NAME-TIME`, and write config.json into it.

        A folder that already holds something is never written to: UserError.
        """
        started = datetime.datetime.now().astimezone()
        folder = args.out_dir or OUTPUTS / f"{name}-{started:%Y%m%d-%H%M%S}"
        run = cls(folder, getattr(args, "tensorboard", False))
        if not distributed.IS_MAIN:
            return run
        made = None
        try:
            is_new = not args.out_dir or not folder.exists()
            made = _make_folder(folder) if args.out_dir else _make_new_folder(folder)
            run = cls(made, run._tensorboard)
            run.lock()
            run.config = {"script": script, "arguments": plain(args), "started": started.isoformat()}
            run.config |= environment(args.device)
            write_json(made / "config.json", run.config)
        except OSError as error:
            if made and is_new:
                shutil.rmtree(made, ignore_errors=True)
            raise UserError(f"--out_dir {folder}: cannot be written to ({error.strerror})") from None
        return run

    def lock(self) -> None:
        """Keep other processes out; UserError if one is here already."""
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise UserError(f"{self.folder}: another process is writing to this run; wait for it or end it") from None

    def take_over(self) -> None:
        """Make a resumed run an unfinished one again, its config that of now; its metrics are cut at the next row."""
        if distributed.IS_MAIN:
            (self.folder / "result.json").unlink(missing_ok=True)
            for left_by_a_dead_process in self.folder.glob(".*.tmp"):
                left_by_a_dead_process.unlink()
            write_json(self.folder / "config.json", self.config)

    def log(self, row: dict, step: int) -> None:
        """Append `row` to metrics.jsonl; one that finds the disk full waits for the next one."""
        if not distributed.IS_MAIN:
            return
        self._unwritten += json.dumps(row).encode() + b"\n"
        try:
            self.flush()
        except OSError as error:
            print_line(f"{self.metrics}: cannot be written to ({error.strerror}); will try again", sys.stderr)
        if self._tensorboard:
            for name, value in row.items():
                self._board(step).add_scalar(name, value, step)

    def flush(self) -> None:
        """Bring metrics.jsonl up to date, on the disk itself; OSError where that fails."""
        with self.metrics.open("ab") as file:
            file.truncate(self.metrics_length)  # a torn line of a full disk, or rows after the last checkpoint
            file.write(self._unwritten)
            file.flush()
            os.fsync(file.fileno())
        self.metrics_length += len(self._unwritten)
        self._unwritten = b""

    def log_picture(self, name: str, sheet: np.ndarray, step: int) -> None:
        """Write a grey picture (height, width) as `NAMEs/STEP.png`; a full disk costs the picture, not the run."""
        if not distributed.IS_MAIN:
            return
        try:
            (self.folder / f"{name}s").mkdir(exist_ok=True)
            save_picture(sheet, self.folder / f"{name}s" / f"{step:07d}.png")
        except OSError as error:
            print_line(f"{self.folder}: {name} {step} cannot be drawn ({error.strerror})", sys.stderr)
        if self._tensorboard:
            self._board(step).add_image(name, sheet, step, dataformats="HW")

    def _board(self, step: int):
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # optional

            self._writer = SummaryWriter(self.folder, purge_step=step)  # a resumed run shows nothing twice
        return self._writer

    def finish(self, result: dict) -> None:
        """Write result.json, the sign that the run is complete, and let the folder go."""
        if distributed.IS_MAIN:
            write_json(self.folder / "result.json", result)
            self._lock.release()
        if self._writer:
            self._writer.close()


def _make_folder(folder: Path) -> Path:
    if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
        what = "already holds a run" if (folder / "config.json").exists() else "is not empty"
        raise UserError(f"--out_dir {folder}: {what}; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _make_new_folder(folder: Path) -> Path:
    """Make `folder`, or the first of `folder-2`, `folder-3`, … where several runs start in the same second."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for candidate in itertools.chain([folder], (folder.with_name(f"{folder.name}-{n}") for n in itertools.count(2))):
        try:
            candidate.mkdir()
        except FileExistsError:
            continue
        return candidate


def read_metrics(folder: Path) -> list[dict]:
    """The rows of a run's metrics.jsonl."""
    path = Path(folder) / "metrics.jsonl"
    try:
        return [json.loads(line) for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise UserError(f"{path}: is damaged") from None


def newest(*scripts: str, finished: bool) -> Path | None:
    """The folder under outputs/ of the newest finished, or unfinished, run of the scripts (part2/train_gan.py, …)."""
    found = []
    for path in OUTPUTS.glob("part*/*/config.json"):
        try:
            config = read_json(path)
            if config["script"] in scripts and (path.parent / "result.json").exists() == finished:
                found.append((datetime.datetime.fromisoformat(config["started"]), path.parent))
        except (UserError, KeyError, TypeError, ValueError):
            continue  # not one of ours, or not whole
    return max(found)[1] if found else None


def plain(args: argparse.Namespace) -> dict:
    """The arguments as JSON can hold them: devices and paths as text, those in the project as seen from its root."""
    settings = {name: value for name, value in vars(args).items() if name != "resume"}
    for name, value in settings.items():
        if isinstance(value, Path) and value.absolute().is_relative_to(ROOT):
            settings[name] = value.absolute().relative_to(ROOT)
    known = (str, int, float, bool, list, type(None))
    return {name: value if isinstance(value, known) else str(value) for name, value in settings.items()}


def environment(device: torch.device) -> dict:
    """What a reader needs to know to start the same run again."""
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "threads": torch.get_num_threads(),
    }


def commit() -> str:
    """The commit of the project's own checkout, with "-dirty" where files differ from it; "unknown" without git."""
    command = ["git", "-c", f"safe.directory={ROOT}", "describe", "--always", "--dirty", "--abbrev=12"]
    of_this_checkout = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(command, cwd=ROOT, env=of_this_checkout, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def processor() -> str:
    """The processor's name and the instruction set that PyTorch uses: others round differently."""
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None  # no Linux
    name = found[1].strip() if found else platform.processor() or platform.machine()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"
