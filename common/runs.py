"""A run's folder, new or resumed, and the command line that resumes it.

config.json       every argument, the versions, the git commit, the device; written first
metrics.jsonl     a line for each epoch or interval; lines are only appended
checkpoint.pt     the whole state of training, and what is needed to build the network again
result.json       written last: if it is there, the run is finished
"""

import argparse
import contextlib
import datetime
import importlib.util
import itertools
import json
import os
import shutil
import sys
import uuid
import zlib
from pathlib import Path
from typing import NoReturn

from common import files
from common.cli import UserError, print_line, quoted
from common.figures import save_picture
from common.files import CHECKPOINT, claim_folder, load_checkpoint, lock_folder, read_json, reading
from common.find import OUTPUTS, newest
from common.machine import ROOT, environment

import filelock
import numpy as np
import torch


def parse_args_or_resume(
    parser: argparse.ArgumentParser,
    argv: list[str] | None,
    script: str,
    may_change: set[str],
    may_grow: set[str] = frozenset(),
    unless: tuple[str, set[str]] = ("", set()),
) -> argparse.Namespace:
    """Parse the command line of a train script. `args.resume` becomes the config of the run to resume, or None.

    With --resume, the run's own settings are the defaults of the flags. A flag that differs from them is refused,
    because it would change the result. Exceptions: the names in `may_change`, and numbers that are larger than before,
    if they are in `may_grow`; but none may grow if the flag `unless[0]` has one of the values `unless[1]`.
    """
    args = parser.parse_args(argv)
    if args.resume is not None:
        folder = newest(script, finished=False) if args.resume is True else Path(args.resume)
        if folder is None:
            raise UserError(f"--resume: no unfinished run of {script} in outputs/{Path(script).parent}")
        if not folder.is_dir():
            why = "is a file; name the run's folder" if folder.is_file() else "there is no such run"
            raise UserError(f"--resume {folder}: {why}")
        config, known = read_config(folder), {action.dest for action in parser._actions} - {"out_dir"}
        if config.get("script") != script:
            raise UserError(f"--resume {folder}: is a run of {config.get('script')}, not of {script}")
        if config["arguments"].get("processes", 1) != 1:
            raise UserError(f"--resume {folder}: several processes shared its batches; start a new run, with one")
        read_run(folder)
        flags = []  # the settings as one would type them, so that they are checked like a command line
        for name, value in config["arguments"].items():
            if name in known and value is not None and value is not False:
                flags += [f"--{name}", *([] if value is True else value if isinstance(value, list) else [value])]
        parser.prog, prog = f"{parser.prog}: {folder / 'config.json'}", parser.prog  # named by a message
        settings = parser.parse_args([str(flag) for flag in flags])
        parser.prog = prog
        parser.set_defaults(**vars(settings))
        args = parser.parse_args(argv)
        if args.out_dir is not None:
            raise UserError(f"--out_dir {args.out_dir}: cannot be given with --resume; a run stays in its folder")
        args.resume, args.out_dir = config, folder
        before, now = plain(settings), plain(args)
        growing = set() if before.get(unless[0]) in unless[1] else may_grow
        grows = {name for name in growing if now[name] > before[name]}
        fixed = before.keys() - {"out_dir"} - may_change - grows
        if changed := changes(before, {name: now[name] for name in fixed}):
            raise UserError(f"--resume {folder}: these settings would change the result: {', '.join(changed)}")
        if (folder / "result.json").exists() and not grows:
            how = f"give a larger --{' or --'.join(sorted(growing))}" if growing else "start a new one"
            raise UserError(f"--resume {folder}: this run is finished; to train longer, {how}")
    args.threads = args.threads or torch.get_num_threads()
    if args.tensorboard and not importlib.util.find_spec("tensorboard"):
        how = f"install it: {sys.executable} -m pip install tensorboard"
        raise UserError(f"--tensorboard: the package is missing; {how}")
    return args


def changes(before: dict, now: dict) -> list[str]:
    """The differences between two dictionaries, each as "name before → now"."""
    return [f"{name} {before.get(name)} → {now[name]}" for name in sorted(now) if now[name] != before.get(name)]


class Run:
    """One run's folder, new or resumed. It is locked for other processes until it is closed.

    For a run that is resumed, `saved` is its last checkpoint, if there is one.
    """

    def __init__(self, folder: Path, config: dict, kind: str, lock: filelock.FileLock, saved: dict | None):
        self.folder, self.config, self.kind, self.saved = folder, config, kind, saved
        self.checkpoint, self.metrics = folder / CHECKPOINT, folder / "metrics.jsonl"
        clock = saved["clock"] if saved else {"metrics_length": 0, "metrics_crc": 0}
        self.metrics_length, self._metrics_crc = clock["metrics_length"], clock["metrics_crc"]  # in bytes; CRC-32
        self.is_finished = (folder / "result.json").exists()
        self._lock, self._writer = lock, None

    @classmethod
    def open(cls, args: argparse.Namespace, script: str, name: str, kind: str = "") -> "Run":
        """Open the run to resume, `args.resume`, or make a new one in --out_dir or `outputs/NAME-TIME`.

        `kind` is the kind of its checkpoints. A folder that already holds something is never written to: UserError.
        """
        if getattr(args, "resume", None):
            return cls._reopen(args, kind)
        started = datetime.datetime.now().astimezone()
        folder = args.out_dir or OUTPUTS / f"{name}-{started:%Y%m%d-%H%M%S}"
        config = {"script": script, "arguments": plain(args), "started": started.isoformat(), "id": uuid.uuid4().hex}
        lock = filelock.FileLock(folder / files.LOCK)
        try:
            folder, lock = (folder, claim_folder(folder)) if args.out_dir else _claim_first_free(folder)
            config |= {"name": folder.resolve().name, **environment(args.device)}
            files.write_json(folder / "config.json", config)
        except OSError as error:
            lock.release()
            how = "name another folder with --out_dir"
            raise UserError(f"{folder}: cannot be written to ({error.strerror}); {how}") from None
        return cls(folder, config, kind, lock, None)

    @classmethod
    def _reopen(cls, args: argparse.Namespace, kind: str) -> "Run":
        """Open an existing run, and look again, once it is locked, whether it can be resumed. Nothing is changed."""
        folder = args.out_dir
        lock = lock_folder(folder)
        try:
            config, saved = read_run(folder, kind)
            if config != args.resume:
                raise UserError(f"--resume {folder}: another process has changed it meanwhile; start this again")
            now, before = environment(args.device), [config, *config.get("resumed", [])][-1]
            again = {"at": datetime.datetime.now().astimezone().isoformat(), **now}
            config |= {"arguments": plain(args), "resumed": [*config.get("resumed", []), again]}
            run = cls(folder, config, kind, lock, saved)
        except BaseException:
            lock.release()
            raise
        if changed := changes(before, now):
            print_line(f"resumed on another machine or version; bits may differ from here on: {', '.join(changed)}")
        return run

    def take_over(self) -> None:
        """Mark a resumed run as unfinished, and write its new config. If that fails, it is as finished as before."""
        if self.config.get("resumed"):
            for left_by_a_death in (*self.folder.glob(files.TEMPORARY), *self.folder.glob(f"grids/{files.TEMPORARY}")):
                with contextlib.suppress(OSError):
                    left_by_a_death.unlink()
            result, aside = self.folder / "result.json", self.folder / f".{uuid.uuid4().hex}.tmp"
            try:
                if self.is_finished:
                    result.replace(aside)
                files.write_json(self.folder / "config.json", self.config)
            except BaseException:
                if aside.exists():
                    aside.replace(result)
                raise
            aside.unlink(missing_ok=True)

    @property
    def command(self) -> str:
        """The command that resumes the run."""
        return command(self.config["script"], "--resume", self.folder)

    def log(self, row: dict, step: int) -> None:
        """Append `row` to metrics.jsonl, and flush it to the disk."""
        data = json.dumps(row).encode() + b"\n"
        with self.metrics.open("ab") as file:
            file.truncate(self.metrics_length)  # removes a partial row, or rows after the last checkpoint
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.metrics_length, self._metrics_crc = self.metrics_length + len(data), zlib.crc32(data, self._metrics_crc)
        self._show("add_scalar", row, step)

    def log_picture(self, name: str, sheet: np.ndarray, step: int) -> None:
        """Write a grey picture (height, width) as `NAMEs/STEP.png`."""
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
        clock = {"metrics_length": self.metrics_length, "metrics_crc": self._metrics_crc, "run": self.config["id"]}
        files.save_checkpoint(self.checkpoint, self.kind, content | {"clock": content["clock"] | clock})

    def finish(self, result: dict) -> None:
        """Write result.json, which marks the run as finished, and close the run."""
        files.write_json(self.folder / "result.json", result | {"run": self.config["id"]})
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


def _claim_first_free(folder: Path) -> tuple[Path, filelock.FileLock]:
    for n in itertools.count(1):  # several runs may start in one second
        numbered = folder if n == 1 else folder.with_name(f"{folder.name}-{n}")
        with contextlib.suppress(UserError):
            return numbered, claim_folder(numbered)


def command(script: str, *words: str | Path) -> str:
    """The call of a script of ours, as one can paste it into the shell that this process was started in."""
    here, python = f"{Path.cwd()}{os.sep}", sys.executable
    texts = ["python" if shutil.which("python") == python else python, *map(str, (ROOT / script, *words))]
    shorter = [text.removeprefix(here) for text in texts]
    return " ".join(quoted(t if s.startswith(("-", "~")) else s) for t, s in zip(texts, shorter, strict=True))


def read_run(folder: Path, kind: str = "") -> tuple[dict, dict | None]:
    """The config and the last checkpoint (None: there is none) of a run to resume; UserError if it cannot be."""
    config, saved, metrics = read_config(folder), None, folder / "metrics.jsonl"
    if (folder / CHECKPOINT).exists():
        saved = load_checkpoint(folder, kind)
        if "clock" not in saved:
            raise UserError(f"--resume {folder}: its checkpoint holds only a network, so training cannot continue")
        with reading(folder / CHECKPOINT):
            run, length = saved["clock"]["run"], saved["clock"]["metrics_length"]
        if run != config.get("id"):
            raise UserError(f"--resume {folder}: its checkpoint belongs to another run")
        with reading(metrics):
            rows = metrics.read_bytes()[:length] if length else b""
            if zlib.crc32(rows) != saved["clock"].setdefault("metrics_crc", zlib.crc32(rows)) or len(rows) != length:
                raise ValueError("its rows are not those of the last checkpoint")
    elif (folder / "result.json").exists():
        raise UserError(f"--resume {folder}: its checkpoint is missing; a finished run cannot continue without it")
    return config, saved


def read_config(source: Path, required: bool = True) -> dict:
    """config.json of a run's folder, or beside a checkpoint. Without one: UserError, or {} unless `required`."""
    path = (source.parent if source.is_file() else source) / "config.json"
    if not required and not path.exists():
        return {}
    config = read_json(path)
    if not required and "script" not in config:
        return {}  # another program's
    with reading(path):
        if not all(isinstance(part, dict) for part in [config.get("arguments"), *config.get("resumed", [])]):
            raise ValueError("it lacks the run's settings")
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
