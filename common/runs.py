"""A run's folder: its config, its metrics, its lock, its latest.

config.json     every argument, the versions, the git commit, the device; written first
metrics.jsonl   a line an epoch or an interval, only ever appended to
checkpoint.pt   the weights, and what rebuilds the network around them
result.json     the last thing written: its presence means that the run finished
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
from pathlib import Path

import filelock
import matplotlib
import numpy
import torch
import torchvision

from common.cli import UserError
from common.files import write_whole

ROOT = Path(__file__).resolve().parents[1]
OUTPUTS = ROOT / "outputs"
PRETRAINED = OUTPUTS / "pretrained"


class Run:
    """One run's folder, held by this process alone until `finish` or the process's end."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.checkpoint = self.folder / "checkpoint.pt"
        self._lock = filelock.FileLock(self.folder / ".lock", timeout=0)

    @classmethod
    def create(cls, args: argparse.Namespace, script: str, name: str) -> "Run":
        """Make the folder `--out_dir`, or `outputs/NAME-TIME`, and write config.json into it.

        A folder that already holds something is never written to: UserError.
        """
        started = datetime.datetime.now().astimezone()
        folder = args.out_dir or _free_name(OUTPUTS / f"{name}-{started:%Y%m%d-%H%M%S}")
        try:
            if folder.exists() and any(folder.iterdir()):
                what = "already holds a run" if (folder / "config.json").exists() else "is not empty"
                raise UserError(f"--out_dir {folder}: {what}; name a new folder")
            folder.mkdir(parents=True, exist_ok=True)
            run = cls(folder)
            run._take()
            config = {"script": script, "arguments": _plain(vars(args)), **_environment(args.device)}
            config["started"] = started.isoformat()
            write_whole(folder / "config.json", json.dumps(config, indent=2) + "\n")
        except OSError as error:
            raise UserError(f"--out_dir {folder}: cannot be written to ({error.strerror})") from None
        return run

    def _take(self) -> None:
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise UserError(f"{self.folder}: another process is writing to this run") from None

    def log(self, row: dict) -> None:
        """Append `row` to metrics.jsonl, in one write, so that a line is never torn."""
        line = json.dumps(_plain(row)) + "\n"
        handle = os.open(self.folder / "metrics.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def finish(self, result: dict) -> None:
        """Write result.json, the sign that the run is complete, and let the folder go."""
        write_whole(self.folder / "result.json", json.dumps(_plain(result), indent=2) + "\n")
        self._lock.release()


def read_metrics(folder: Path) -> list[dict]:
    """The rows of a run's metrics.jsonl."""
    return [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]


def newest_finished(script: str) -> Path | None:
    """The folder under outputs/ of the newest finished run of `script` ("part2/train_gan.py", say)."""
    newest = None
    for result in OUTPUTS.glob("part*/*/result.json"):
        try:
            config = json.loads((result.parent / "config.json").read_text())
            found = (config["started"], result.parent)
        except (OSError, ValueError, KeyError):
            continue  # not one of ours
        if config.get("script") == script and (newest is None or found > newest):
            newest = found
    return newest and newest[1]


def _free_name(folder: Path) -> Path:
    """`folder`, or the first of `folder-2`, `folder-3`, … where two runs start in the same second."""
    candidate, number = folder, 2
    while candidate.exists():
        candidate, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return candidate


def _plain(values: dict) -> dict:
    """What JSON can hold: paths and devices as text."""
    plain = (str, int, float, bool, list, dict, type(None))
    return {key: value if isinstance(value, plain) else str(value) for key, value in values.items()}


def _environment(device: torch.device) -> dict:
    """What a reader needs to know to start the same run again."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        commit = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"  # no git here, or no checkout
    modules = (torch, torchvision, numpy, matplotlib)
    return {
        "commit": commit,
        "python": platform.python_version(),
        "packages": {module.__name__: module.__version__ for module in modules},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
    }
