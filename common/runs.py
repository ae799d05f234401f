"""A run's folder: its config, its metrics, its lock, its latest.

config.json              every argument, the versions, the git commit, the device; written first
metrics.jsonl            a line an epoch or an interval, only ever appended to
checkpoint.pt            the whole state of training, and what rebuilds the network around the weights
checkpoint.previous.pt   the one before it
result.json              the last thing written: its presence means that the run finished
"""

import argparse
import datetime
import errno
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import filelock
import matplotlib
import numpy
import torch
import torchvision

from common import checkpoint, distributed
from common.cli import UserError
from common.figures import save_picture
from common.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
OUTPUTS = ROOT / "outputs"
PRETRAINED = OUTPUTS / "pretrained"
NOTHING_LOGGED = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}


class Run:
    """One run's folder, held by this process alone until the process ends.

    Of several processes under torchrun only the first writes.
    """

    def __init__(self, folder: Path, tensorboard: bool = False):
        self.folder = Path(folder)
        self.checkpoint = self.folder / "checkpoint.pt"
        self._metrics = self.folder / "metrics.jsonl"
        self.saved = None  # of a run taken over: its last checkpoint
        self._lines = b""  # what metrics.jsonl holds, or must hold once there is room on the disk again
        self._lock = filelock.FileLock(self.folder / ".lock", timeout=0)
        self._tensorboard = tensorboard
        self._board = None

    @classmethod
    def open(cls, args: argparse.Namespace, script: str, name: str, kind: str) -> "Run":
        """A new run, or the one that `--resume` names: its last checkpoint, if it has one yet, is then in `saved`."""
        return cls._reopen(args, kind) if args.resume else cls.create(args, script, name)

    @classmethod
    def create(cls, args: argparse.Namespace, script: str, name: str) -> "Run":
        """Make the folder `--out_dir`, or `outputs/NAME-TIME`, and write config.json into it.

        A folder that already holds something is never written to: UserError.
        """
        started = datetime.datetime.now().astimezone()
        folder = args.out_dir or _free_name(OUTPUTS / f"{name}-{started:%Y%m%d-%H%M%S}")
        run = cls(folder, getattr(args, "tensorboard", False))
        if distributed.FIRST:
            is_new = False
            try:
                is_new = not folder.exists()
                if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
                    what = "already holds a run" if (folder / "config.json").exists() else "is not empty"
                    raise UserError(f"--out_dir {folder}: {what}; name a new folder")
                folder.mkdir(parents=True, exist_ok=True)
                run._take()
                config = {"script": script, "arguments": _arguments(args), "started": started.isoformat()}
                write_json(folder / "config.json", config | _environment(args.device))
            except OSError as error:
                if is_new:
                    shutil.rmtree(folder, ignore_errors=True)
                raise UserError(f"--out_dir {folder}: cannot be written to ({error.strerror})") from None
        return run

    @classmethod
    def _reopen(cls, args: argparse.Namespace, kind: str) -> "Run":
        """Take over an unfinished run: check all it holds, then cut it back to its last checkpoint."""
        folder, named = _run_of(args.resume)
        run = cls(folder, args.tensorboard)
        try:
            if distributed.FIRST:
                run._take()
            if named or run.checkpoint.exists() or checkpoint.previous(run.checkpoint).exists():
                run.saved = checkpoint.load(named or run.checkpoint, kind)
                if "clock" not in run.saved:
                    raise UserError(
                        f"--resume {folder}: its checkpoint holds a network to use, not a training to go on with"
                    )
            run._lines = run._check_metrics(run.saved["clock"]["metrics"] if run.saved else NOTHING_LOGGED)
            config = read_json(folder / "config.json")
            if distributed.FIRST:  # from here on it is changed, in an order that may break off anywhere
                (folder / "result.json").unlink(missing_ok=True)
                for left_by_a_dead_process in folder.glob(".*.tmp"):
                    left_by_a_dead_process.unlink()
                if named:
                    checkpoint.restore(named, run.checkpoint)
                if run._metrics.exists():
                    os.truncate(run._metrics, len(run._lines))
                again = {"at": datetime.datetime.now().astimezone().isoformat(), **_environment(args.device)}
                config |= {"arguments": _arguments(args), "resumed": [*config.get("resumed", []), again]}
                write_json(folder / "config.json", config)
        except OSError as error:
            raise UserError(f"--resume {folder}: cannot be written to ({error.strerror})") from None
        return run

    def _take(self) -> None:
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise UserError(f"{self.folder}: another process is writing to this run; wait for it or end it") from None

    def log(self, row: dict, step: int) -> None:
        """Append `row` to metrics.jsonl, in one write; a line that finds the disk full waits for the next one."""
        if not distributed.FIRST:
            return
        self._lines += json.dumps(row).encode() + b"\n"
        try:
            self.flush()
        except OSError as error:
            print(f"{self._metrics}: cannot be written to ({error.strerror}); will try again", file=sys.stderr)
        if self._tensorboard:
            for name, value in row.items():
                self._writer(step).add_scalar(name, value, step)

    def flush(self) -> None:
        """Bring metrics.jsonl up to date, on the disk itself; OSError where that fails, the file then as it was."""
        handle = os.open(self._metrics, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            before = os.fstat(handle).st_size
            missing = self._lines[before:]
            if os.write(handle, missing) < len(missing):
                os.ftruncate(handle, before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
        finally:
            os.close(handle)

    def mark(self) -> dict:
        """How far metrics.jsonl has come: its length and SHA-256, for a checkpoint to hold."""
        return {"bytes": len(self._lines), "sha256": hashlib.sha256(self._lines).hexdigest()}

    def _check_metrics(self, mark: dict) -> bytes:
        """What metrics.jsonl held at `mark`; UserError if that has changed since."""
        lines = self._metrics.read_bytes()[: mark["bytes"]] if self._metrics.exists() else b""
        if hashlib.sha256(lines).hexdigest() != mark["sha256"]:
            raise UserError(f"{self._metrics}: is damaged or was edited (its SHA-256 does not match the checkpoint's)")
        return lines

    def show(self, name: str, sheet: numpy.ndarray, step: int) -> None:
        """Write a grey picture (height, width) as `NAMEs/STEP.png`; a full disk costs the picture, not the run."""
        if not distributed.FIRST:
            return
        try:
            (self.folder / f"{name}s").mkdir(exist_ok=True)
            save_picture(sheet, self.folder / f"{name}s" / f"{step:07d}.png")
        except OSError as error:
            print(f"{self.folder}: {name} {step} cannot be drawn ({error.strerror})", file=sys.stderr)
        if self._tensorboard:
            self._writer(step).add_image(name, sheet, step, dataformats="HW")

    def _writer(self, step: int):
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(self.folder, purge_step=step)  # a resumed run shows nothing twice
        return self._board

    def finish(self, result: dict) -> None:
        """Write result.json, the sign that the run is complete, and let the folder go."""
        if distributed.FIRST:
            write_json(self.folder / "result.json", result)
            self._lock.release()
        if self._board:
            self._board.close()


def parse(parser: argparse.ArgumentParser, argv: list[str] | None, script: str, grows: str, free: set[str]):
    """Parse `argv`; with --resume, the flags not given come from the run's own config.

    A flag that could change the result must be as it was: a UserError lists those that are not. The flags in `free` may
    differ, and the number of epochs, `grows`, may be larger.
    """
    args = parser.parse_args(argv)
    args.processes = distributed.PROCESSES
    if args.tensorboard and not importlib.util.find_spec("tensorboard"):
        raise UserError(
            f"--tensorboard: the package is missing; install it: {sys.executable} -m pip install tensorboard"
        )
    if args.resume is None:
        return args
    if args.resume is True:
        args.resume = newest(script, finished=False)
        if args.resume is None:
            raise UserError(f"--resume: no unfinished run of {script} under {OUTPUTS}")
    folder, _ = _run_of(args.resume)
    config = read_json(folder / "config.json")
    if config.get("script") != script:
        raise UserError(f"--resume {folder}: is a run of {config.get('script')}, not of {script}")
    if args.out_dir is not None:
        raise UserError(f"--out_dir {args.out_dir}: not with --resume; a run goes on in its own folder")
    before = _arguments(parser.parse_args([])) | config["arguments"]  # a flag newer than the run had its default
    resume = args.resume
    parser.set_defaults(**config["arguments"])
    args = parser.parse_args(argv)
    args.processes, args.resume, args.out_dir = distributed.PROCESSES, resume, folder
    torch.set_num_threads(config["threads"])  # another number would add up in another order
    now = _arguments(args)
    free = free | {"out_dir"} | ({grows} if now[grows] > before[grows] else set())
    changed = [
        f"{name} {before[name]} → {now[name]}" for name in before if name not in free and now[name] != before[name]
    ]
    if changed:
        raise UserError(f"--resume {folder}: these settings would change the result: {', '.join(changed)}")
    if (folder / "result.json").exists() and now[grows] == before[grows]:
        raise UserError(f"--resume {folder}: this run is finished; to train on, ask for more: --{grows} N")
    return args


def _run_of(resume: str | Path) -> tuple[Path, Path | None]:
    """What --resume names: a run's folder, and the checkpoint in it where a file is named."""
    path = Path(resume)
    return (path.parent, path) if os.path.isfile(path) else (path, None)  # noqa: PTH113 (is_file raises on odd names)


def read_metrics(folder: Path) -> list[dict]:
    """The rows of a run's metrics.jsonl."""
    path = Path(folder) / "metrics.jsonl"
    try:
        return [json.loads(line) for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise UserError(f"{path}: is damaged") from None


def newest(script: str, finished: bool) -> Path | None:
    """The folder under outputs/ of the newest finished, or unfinished, run of `script` ("part2/train_gan.py", say)."""
    found = []
    for path in OUTPUTS.glob("part*/*/config.json"):
        try:
            config = read_json(path)
        except UserError:
            continue  # not one of ours, or not whole
        if config.get("script") == script and (path.parent / "result.json").exists() == finished:
            found.append((config["started"], path.parent))
    return max(found)[1] if found else None


def _free_name(folder: Path) -> Path:
    """`folder`, or the first of `folder-2`, `folder-3`, … where two runs start in the same second."""
    candidate, number = folder, 2
    while candidate.exists():
        candidate, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return candidate


def _arguments(args: argparse.Namespace) -> dict:
    """The arguments as JSON can hold them: devices and paths as text, those in the project as seen from its root."""
    plain = (str, int, float, bool, list, type(None))
    settings = {name: value for name, value in vars(args).items() if name != "resume"}
    for name, value in settings.items():
        if isinstance(value, Path) and value.absolute().is_relative_to(ROOT):
            settings[name] = value.absolute().relative_to(ROOT)
    return {name: value if isinstance(value, plain) else str(value) for name, value in settings.items()}


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
