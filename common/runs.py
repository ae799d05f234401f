"""A run's folder, new or resumed, and the command line that resumes it.

config.json       every argument, the versions, the git commit, the device; written first
metrics.jsonl     a line for each epoch or interval; lines are only appended
checkpoint.pt     the whole state of training, and what is needed to build the network again
result.json       written last: if it is there, the run is finished
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import importlib.util
import itertools
import json
import os
import platform
import subprocess
import sys
import uuid
from pathlib import Path
from typing import NoReturn

from common import distributed
from common.cli import UserError, print_line
from common.figures import save_picture
from common.files import CHECKPOINT, load_checkpoint, lock_folder, read_json, save_checkpoint, write_json
from common.find import OUTPUTS, newest
from common.machine import IS_MAIN, PROCESSES, PROCESSOR, ROOT

import filelock
import numpy as np
import torch

PACKAGES = ("torch", "torchvision", "numpy", "matplotlib")


def parse_args_or_resume(
    parser: argparse.ArgumentParser,
    argv: list[str] | None,
    script: str,
    may_change: set[str],
    may_grow: set[str] = frozenset(),
    unless: tuple[str, set[str]] = ("", set()),
) -> argparse.Namespace:
    """Parse the command line of a train script. `args.resume` becomes the folder of the run to resume, or None.

    With --resume, the run's own settings are the defaults of the flags. A flag that differs from them is refused,
    because it would change the result. Exceptions: the names in `may_change`, and numbers that are larger than before,
    if they are in `may_grow`; but none may grow if the flag `unless[0]` has one of the values `unless[1]`.
    """
    args = parser.parse_args(argv)
    if args.resume is not None:
        folder = newest(script, finished=False) if args.resume is True else Path(args.resume)
        if folder is None:
            raise UserError(f"--resume: no unfinished run of {script} in outputs/{Path(script).parent}")
        if folder.is_file():
            raise UserError(f"--resume {folder}: is a file; name the run's folder")
        config, known = read_config(folder), {action.dest for action in parser._actions} - {"out_dir"}
        if config.get("script") != script:
            raise UserError(f"--resume {folder}: is a run of {config.get('script')}, not of {script}")
        flags = []  # the settings as one would type them, so that they are checked like a command line
        for name, value in config["arguments"].items():
            if name in known and value is not None and value is not False:
                flags += [f"--{name}", *([] if value is True else value if isinstance(value, list) else [value])]
        settings = parser.parse_args([str(flag) for flag in flags])
        parser.set_defaults(**vars(settings))
        before = {name: value for name, value in plain(settings).items() if value is not None}
        args = parser.parse_args(argv)
        if args.out_dir is not None:
            raise UserError(f"--out_dir {args.out_dir}: cannot be given with --resume; a run stays in its folder")
        args.resume, args.out_dir, args.processes = folder, folder, PROCESSES
        before["processes"], now = config["arguments"].get("processes", 1), plain(args)
        growing = set() if before.get(unless[0]) in unless[1] else may_grow
        grows = {name for name in growing if now[name] > before[name]}
        fixed = before.keys() - may_change - grows
        if changed := changes(before, {name: now[name] for name in fixed}):
            raise UserError(f"--resume {folder}: these settings would change the result: {', '.join(changed)}")
        if (folder / "result.json").exists() and not grows:
            how = f"give a larger --{' or --'.join(sorted(growing))}" if growing else "start a new one"
            raise UserError(f"--resume {folder}: this run is finished; to train longer, {how}")
    args.threads, args.processes = args.threads or torch.get_num_threads(), PROCESSES
    if args.tensorboard and not importlib.util.find_spec("tensorboard"):
        how = f"install it: {sys.executable} -m pip install tensorboard"
        raise UserError(f"--tensorboard: the package is missing; {how}")
    return args


def changes(before: dict, now: dict) -> list[str]:
    """The differences between two dictionaries, each as "name before → now"."""
    return [f"{name} {before.get(name)} → {now[name]}" for name in sorted(now) if now[name] != before.get(name)]


class Run:
    """One run's folder, new or resumed. It is locked for other processes until it is closed.

    For a run that is resumed, `saved` is its last checkpoint, if there is one. Under torchrun only the main process
    writes.
    """

    def __init__(self, folder: Path, config: dict, kind: str, lock: filelock.FileLock, saved: dict | None):
        self.folder, self.config, self.kind, self.saved = folder, config, kind, saved
        self.checkpoint, self.metrics = folder / CHECKPOINT, folder / "metrics.jsonl"
        self.metrics_length = saved["clock"]["metrics_length"] if saved and "clock" in saved else 0  # in bytes
        self.is_finished = (folder / "result.json").exists()
        self._lock, self._writer = lock, None

    @classmethod
    def open(cls, args: argparse.Namespace, script: str, name: str, kind: str = "") -> "Run":
        """Open the run to resume, `args.resume`, or make a new one in --out_dir or `outputs/NAME-TIME`.

        `kind` is the kind of its checkpoints. A folder that already holds something is never written to: UserError.
        """
        if PROCESSES > 1 and not hasattr(args, "processes"):
            raise UserError(f"WORLD_SIZE={PROCESSES} is set, but {script} is for one process; unset it")
        if getattr(args, "resume", None):
            return cls._reopen(args, kind)
        started = datetime.datetime.now().astimezone()
        folder = args.out_dir or OUTPUTS / f"{name}-{started:%Y%m%d-%H%M%S}"
        config = {"script": script, "arguments": plain(args), "started": started.isoformat(), "id": uuid.uuid4().hex}
        lock, is_new = None, not folder.exists()
        if IS_MAIN:
            try:
                folder = _make_folder(folder) if args.out_dir else _make_new_folder(folder)
                lock = lock_folder(folder)
                config |= {"name": folder.resolve().name, **environment(args.device)}
                write_json(folder / "config.json", config)
            except OSError as error:
                if lock:
                    lock.release()
                    (folder / ".lock").unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    folder.rmdir() if is_new else None
                what = f"--out_dir {folder}" if args.out_dir else str(folder)
                how = "" if args.out_dir else "; name another folder with --out_dir"
                raise UserError(f"{what}: cannot be written to ({error.strerror}){how}") from None
        if PROCESSES > 1:
            folder = Path(distributed.from_main(str(folder)))
        return cls(folder, config, kind, lock or filelock.FileLock(folder / ".lock"), None)

    @classmethod
    def _reopen(cls, args: argparse.Namespace, kind: str) -> "Run":
        """Open an existing run and check that its files belong together. Nothing is changed."""
        folder = args.resume
        lock = lock_folder(folder) if IS_MAIN else filelock.FileLock(folder / ".lock")
        try:
            config = read_json(folder / "config.json")
            saved = load_checkpoint(folder, kind) if (folder / CHECKPOINT).exists() else None
            now, before = environment(args.device), (config.get("resumed") or [config])[-1]
            again = {"at": datetime.datetime.now().astimezone().isoformat(), **now}
            config |= {"arguments": plain(args), "resumed": [*config.get("resumed", []), again]}
            run = cls(folder, config, kind, lock, saved)
            if not saved and run.is_finished:
                run.refuse("its checkpoint is missing; a finished run cannot continue without it")
            if saved and "clock" not in saved:
                run.refuse("its checkpoint holds only a network, so training cannot continue")
            if saved and saved["clock"].get("run") != config.get("id"):
                run.refuse("its checkpoint belongs to another run")
            if run.metrics_length > (run.metrics.stat().st_size if run.metrics.exists() else 0):
                run.refuse(f"{run.metrics.name} is damaged (it is shorter than it was at the last checkpoint)")
        except BaseException as error:
            lock.release()
            if isinstance(error, OSError):
                raise UserError(f"--resume {folder}: cannot be read ({error.strerror})") from None
            raise
        if changed := changes(before, now):
            print_line(f"resumed on another machine or version; bits may differ from here on: {', '.join(changed)}")
        return run

    def take_over(self) -> None:
        """Mark a resumed run as unfinished, and write its new config."""
        if IS_MAIN and self.config.get("resumed"):
            (self.folder / "result.json").unlink(missing_ok=True)
            for left_by_a_dead_process in self.folder.rglob(".*.tmp"):
                left_by_a_dead_process.unlink()
            write_json(self.folder / "config.json", self.config)

    def log(self, row: dict, step: int) -> None:
        """Append `row` to metrics.jsonl, and flush it to the disk."""
        if not IS_MAIN:
            return
        data = json.dumps(row).encode() + b"\n"
        with self.metrics.open("ab") as file:
            file.truncate(self.metrics_length)  # removes a partial row, or rows after the last checkpoint
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.metrics_length += len(data)
        self._show("add_scalar", row, step)

    def log_picture(self, name: str, sheet: np.ndarray, step: int) -> None:
        """Write a grey picture (height, width) as `NAMEs/STEP.png`."""
        if not IS_MAIN:
            return
        (self.folder / f"{name}s").mkdir(exist_ok=True)
        save_picture(sheet, self.folder / f"{name}s" / f"{step:07d}.png")
        self._show("add_image", {name: sheet}, step, dataformats="HW")

    def _show(self, method: str, values: dict, step: int, **options) -> None:
        """Pass numbers or pictures to TensorBoard if it is used."""
        if not self.config["arguments"].get("tensorboard"):
            return
        from torch.utils.tensorboard import SummaryWriter  # optional

        self._writer = self._writer or SummaryWriter(self.folder, purge_step=step)  # nothing twice after a resume
        for name, value in values.items():
            getattr(self._writer, method)(name, value, step, **options)

    def save(self, content: dict) -> None:
        """Save a checkpoint. If that fails, it is an OSError, and the last checkpoint stays."""
        clock = content["clock"] | {"metrics_length": self.metrics_length, "run": self.config["id"]}
        save_checkpoint(self.checkpoint, self.kind, content | {"clock": clock})

    def finish(self, result: dict) -> None:
        """Write result.json, which marks the run as finished, and close the run."""
        if IS_MAIN:
            write_json(self.folder / "result.json", result | {"run": self.config["id"]})
        self.close()

    def close(self) -> None:
        """Unlock the folder, so that other processes may write to it."""
        self._lock.release()
        if self._writer:
            with contextlib.suppress(OSError):  # its own thread writes, and may notice a full disk only now
                self._writer.close()

    def refuse(self, why: str) -> NoReturn:
        """Close a run that cannot be resumed; UserError."""
        self.close()
        raise UserError(f"--resume {self.folder}: {why}")


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
        with contextlib.suppress(FileExistsError):
            candidate.mkdir()
            return candidate


def environment(device: torch.device) -> dict:
    """What one needs to know to make the same run again."""
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES if importlib.util.find_spec(name)},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else PROCESSOR,
        "threads": torch.get_num_threads(),
    }


def commit() -> str:
    """The commit of the project's own checkout, with "-dirty" if files differ from it; "unknown" without git."""
    command = ["git", "-c", f"safe.directory={ROOT}", "describe", "--always", "--dirty", "--abbrev=12"]
    of_this_checkout = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    of_this_checkout["GIT_CEILING_DIRECTORIES"] = str(ROOT.parent)  # else it may be a repository around the project
    try:
        done = subprocess.run(command, cwd=ROOT, env=of_this_checkout, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def read_config(source: Path, required: bool = True) -> dict:
    """config.json of a run's folder, or beside a checkpoint. Without one: UserError, or {} unless `required`."""
    path = (source.parent if source.is_file() else source) / "config.json"
    if not required and not path.exists():
        return {}
    config = read_json(path)
    if not required and "script" not in config:
        return {}  # another program's
    if not isinstance(config.get("arguments"), dict):
        raise UserError(f"{path}: is damaged (it lacks the run's settings)")
    return config


def path_as_text(path: Path) -> str:
    """A path for a record: relative to the project's root if it lies there, else as it is."""
    absolute = path.absolute()
    return absolute.relative_to(ROOT).as_posix() if absolute.is_relative_to(ROOT) else str(path)


def plain(args: argparse.Namespace) -> dict:
    """The arguments in a form for JSON: devices and paths as text, paths in the project relative to its root."""
    known, settings = (str, int, float, bool, list, type(None)), {}
    for name, value in vars(args).items():
        if name != "resume":
            value = path_as_text(value) if isinstance(value, Path) else value
            settings[name] = value if isinstance(value, known) else str(value)
    return settings
