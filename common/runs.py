"""A run's folder.

config.json              every argument, the versions, the git commit, the device; written first
metrics.jsonl            a line for each epoch or interval; lines are only appended
checkpoint.pt            the whole state of training, and what is needed to build the network again
checkpoint.previous.pt   the checkpoint before it
result.json              written last: if it is there, the run is finished
"""

import argparse
import contextlib
import datetime
import itertools
import json
import os
import shutil
import sys
import uuid
from pathlib import Path

import filelock
import numpy as np

from common import checkpoint, distributed
from common.cli import UserError
from common.console import print_line
from common.environment import ROOT, environment
from common.figures import save_picture
from common.files import read_json, write_json

OUTPUTS = ROOT / "outputs"
PRETRAINED = OUTPUTS / "pretrained"


class Run:
    """One run's folder. It is locked for other processes until it is closed.

    Under torchrun only the main process writes. For a run that is resumed, `saved` is its last checkpoint, if there is
    one. Each time before something is written, the folder is checked: if another run has replaced it in the meantime,
    that is a UserError.
    """

    def __init__(self, folder: Path, tensorboard: bool = False):
        self.folder = Path(folder)
        self.checkpoint = self.folder / checkpoint.NAME
        self.config, self.kind, self.saved = {}, "", None
        self.metrics = self.folder / "metrics.jsonl"
        self.metrics_length = 0  # bytes of metrics.jsonl that are complete rows
        self._unwritten = b""  # rows that could not be written yet, as the disk is full
        self._lock = filelock.FileLock(self.folder / ".lock", timeout=0)
        self._tensorboard = tensorboard
        self._writer = None

    @classmethod
    def create(cls, args: argparse.Namespace, script: str, name: str) -> "Run":
        """Make the folder `--out_dir`, or `outputs/NAME-TIME`, and write config.json into it.

        A folder that already holds something is never written to: UserError.
        """
        if distributed.PROCESSES > 1 and not hasattr(args, "processes"):
            raise UserError(f"WORLD_SIZE={distributed.PROCESSES} is set, but {script} is for one process; unset it")
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
            run.config |= {"id": uuid.uuid4().hex, "name": made.resolve().name, **environment(args.device)}
            write_json(made / "config.json", run.config)
        except OSError as error:
            run.close()
            if made and is_new:
                shutil.rmtree(made, ignore_errors=True)
            raise UserError(f"--out_dir {folder}: cannot be written to ({error.strerror})") from None
        return run

    def lock(self) -> None:
        """Lock the folder; UserError if another process has locked it."""
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise UserError(f"{self.folder}: another process is writing to this run; wait for it or end it") from None

    def take_over(self) -> None:
        """Mark a resumed run as unfinished, and write its new config. Its metrics are cut at the next row."""
        if distributed.IS_MAIN:
            (self.folder / "result.json").unlink(missing_ok=True)
            for left_by_a_dead_process in self.folder.rglob(".*.tmp"):
                left_by_a_dead_process.unlink()
            write_json(self.folder / "config.json", self.config)

    def check_is_own(self) -> None:
        """UserError if the folder was deleted, or if another run's folder is in its place."""
        config = read_json(self.folder / "config.json")
        if config.get("id") != self.config.get("id"):
            raise UserError(f"{self.folder}: another run has taken this folder, so this run ends here", status=1)

    def log(self, row: dict, step: int) -> None:
        """Append `row` to metrics.jsonl. If the disk is full, it is written together with the next row."""
        if not distributed.IS_MAIN:
            return
        self.check_is_own()
        self._unwritten += json.dumps(row).encode() + b"\n"
        try:
            self.flush()
        except OSError as error:
            print_line(f"{self.metrics}: cannot be written to ({error.strerror}); will try again", sys.stderr)
        self._show("add_scalar", row, step)

    def flush(self) -> None:
        """Write all rows to metrics.jsonl and flush it to the disk; OSError if that fails."""
        with self.metrics.open("ab") as file:
            file.truncate(self.metrics_length)  # removes a partial row, or rows after the last checkpoint
            file.write(self._unwritten)
            file.flush()
            os.fsync(file.fileno())
        self.metrics_length += len(self._unwritten)
        self._unwritten = b""

    def save(self, content: dict) -> None:
        """Save a checkpoint. If that fails, it is an OSError, and the previous checkpoint stays."""
        self.check_is_own()
        self.flush()
        clock = content["clock"] | {"metrics_length": self.metrics_length, "run": self.config.get("id")}
        checkpoint.save(self.checkpoint, self.kind, content | {"clock": clock}, keep_previous=True)

    def log_picture(self, name: str, sheet: np.ndarray, step: int) -> None:
        """Write a grey picture (height, width) as `NAMEs/STEP.png`. If the disk is full, only the picture is lost."""
        if not distributed.IS_MAIN:
            return
        self.check_is_own()
        try:
            (self.folder / f"{name}s").mkdir(exist_ok=True)
            save_picture(sheet, self.folder / f"{name}s" / f"{step:07d}.png")
        except OSError as error:
            print_line(f"{self.folder}: {name} {step} cannot be drawn ({error.strerror})", sys.stderr)
        self._show("add_image", {name: sheet}, step, dataformats="HW")

    def _show(self, method: str, values: dict, step: int, **options) -> None:
        """Pass numbers or pictures to TensorBoard if it is used. If the disk is full, only they are lost."""
        if not self._tensorboard:
            return
        from torch.utils.tensorboard import SummaryWriter  # optional

        try:
            self._writer = self._writer or SummaryWriter(self.folder, purge_step=step)  # nothing twice after a resume
            for name, value in values.items():
                getattr(self._writer, method)(name, value, step, **options)
        except OSError as error:
            print_line(f"{self.folder}: TensorBoard's file cannot be written to ({error.strerror})", sys.stderr)
            self._writer = None

    def finish(self, result: dict) -> None:
        """Write result.json, which marks the run as finished, and close the run."""
        if distributed.IS_MAIN:
            self.check_is_own()
            write_json(self.folder / "result.json", result | {"run": self.config["id"]})
        self.close()

    def close(self) -> None:
        """Unlock the folder, so that other processes may write to it."""
        self._lock.release()
        if self._writer:
            with contextlib.suppress(OSError):  # its own thread writes, and may notice a full disk only now
                self._writer.close()


def _make_folder(folder: Path) -> Path:
    if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
        what = "already holds a run" if (folder / "config.json").exists() else "is not empty"
        raise UserError(f"--out_dir {folder}: {what}; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _make_new_folder(folder: Path) -> Path:
    """Make `folder`, or the first of `folder-2`, `folder-3`, … that is free, if several runs start in one second."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for candidate in itertools.chain([folder], (folder.with_name(f"{folder.name}-{n}") for n in itertools.count(2))):
        try:
            candidate.mkdir()
        except FileExistsError:
            continue
        return candidate


def read_config(source: Path, required: bool = True) -> dict:
    """config.json of a run's folder, or beside a checkpoint. If there is none: UserError, or {} if not `required`."""
    path = (source.parent if source.is_file() else source) / "config.json"
    if not required and not path.exists():
        return {}
    config = read_json(path)
    if not required and "script" not in config:
        return {}  # another program's
    if not isinstance(config.get("arguments"), dict):
        raise UserError(f"{path}: is damaged (it lacks the run's settings)")
    return config


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
    """The folder in outputs/part1 or part2 of the newest finished, or unfinished, run of scripts (part1/train.py, …).

    An unfinished run counts only if it has saved a checkpoint. A copied or renamed folder does not count.
    """
    found = []
    for folder in OUTPUTS.glob("part*/*/"):
        is_finished, has_checkpoint = (folder / "result.json").exists(), (folder / checkpoint.NAME).exists()
        try:
            config = read_json(folder / "config.json")
            is_meant = config["script"] in scripts and config.get("name", folder.name) == folder.name
            if is_meant and is_finished == finished and (finished or has_checkpoint):
                found.append((datetime.datetime.fromisoformat(config["started"]).astimezone(), folder))
        except (UserError, KeyError, TypeError, ValueError):
            continue  # not a run of this project, or incomplete
    return max(found)[1] if found else None


def find_run(named: Path | None, scripts: list[str], pretrained: Path) -> Path:
    """Choose the run or checkpoint to load: `named` if it is given, else the newest finished run of the scripts in
    outputs/part1 or part2, else the pretrained one. Prints which one it is, and why."""
    path = named or newest(*scripts, finished=True)
    if named:
        if not named.exists():
            raise UserError(f"--run {named}: there is no such run or checkpoint")
        why = "named by --run"
    elif path:
        why = f"the newest finished run; for the pretrained one: --run {pretrained.relative_to(ROOT)}"
    else:
        nowhere = f"no run of {' or '.join(scripts)} has finished in outputs/{Path(scripts[0]).parent}"
        path, why = pretrained, f"the pretrained one, as {nowhere}"
    print_line(f"network: {path} ({why})")
    return path


def path_as_text(path: Path) -> str:
    """A path for a record: relative to the project's root if it lies there, else as it is."""
    absolute = path.absolute()
    return absolute.relative_to(ROOT).as_posix() if absolute.is_relative_to(ROOT) else str(path)


def plain(args: argparse.Namespace) -> dict:
    """The arguments in a form for JSON: devices and paths as text, paths in the project relative to its root."""
    settings = {name: value for name, value in vars(args).items() if name != "resume"}
    for name, value in settings.items():
        if isinstance(value, Path):
            settings[name] = path_as_text(value)
    known = (str, int, float, bool, list, type(None))
    return {name: value if isinstance(value, known) else str(value) for name, value in settings.items()}
