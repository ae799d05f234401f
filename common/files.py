"""Files that are written whole or not at all: text, tables, JSON, checkpoints."""

import contextlib
import csv
import io
import json
import os
import textwrap
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

from common.cli import UserError

import filelock
import torch
from torch import nn

CHECKPOINT = "checkpoint.pt"  # in a run's folder
SCHEMA = 2  # number of a checkpoint's layout
LOCK, TEMPORARY = ".lock", f".{'[0-9a-f]' * 32}.tmp"  # the name of a lock; a pattern of those of temporary files


def write_atomic(path: Path | str, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path` atomically: a reader sees the old file or the new one.

    The data goes to a temporary file beside `path`, is flushed to disk, and the file is renamed to `path`. Then the
    folder is flushed, so that the new name survives a power cut (if the file system can do that). On any error the old
    file stays and the temporary file is removed.
    """
    path = Path(path)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # Windows and some network drives cannot flush a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def reading(path: Path, wrong: str = "is damaged") -> Iterator[None]:
    """A file, or a folder's files, are read and used in this block. If that fails, by whichever error, or would wait
    for ever (a pipe, a device), it is a UserError."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError("it is no regular file")
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (UserError, MemoryError):
        raise
    except Exception as error:  # libraries raise many types
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path}: {wrong} ({textwrap.shorten(why, 200, placeholder=' …')})") from None


def write_csv(path: Path, rows: list[dict]) -> None:
    """Write `rows` as a table with a header: a column for each key of any row, empty where a row lacks it.

    If the file is there already, its columns keep their order.
    """
    before = path.read_text(encoding="utf-8").splitlines()[:1] if path.exists() else []
    keys = dict.fromkeys(key for row in rows for key in row)
    columns = [key for key in dict.fromkeys([*next(csv.reader(before), []), *keys]) if key in keys]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, buffer.getvalue())


def read_csv(path: Path) -> list[dict]:
    """The rows of a table that `write_csv` wrote, without empty cells; numbers as int or float. No file: no rows."""
    if not path.exists():
        return []
    with reading(path), path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
        if any(None in row or None in row.values() for row in rows):
            raise ValueError("a row is longer or shorter than the header")
    return [{name: _number(text) for name, text in row.items() if text != ""} for row in rows]


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            if str(kind(text)) == text:  # a commit may consist of digits and one e
                return kind(text)
    return text


def write_json(path: Path, content: dict) -> None:
    """Write `content` as JSON."""
    write_atomic(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict:
    """Read a JSON object; UserError if the file is missing or holds something else."""
    with reading(path):
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is not a JSON object")
    return content


def read_metrics(folder: Path) -> list[dict]:
    """The rows of a run's metrics.jsonl."""
    path = Path(folder) / "metrics.jsonl"
    with reading(path):
        return [json.loads(line) for line in path.read_bytes().splitlines()]


def save_checkpoint(path: Path, kind: str, content: dict) -> None:
    """Save `content` (tensors, numbers, text, containers of them) at `path`."""
    buffer = io.BytesIO()
    torch.save({"schema": SCHEMA, "kind": kind, **content}, buffer)
    write_atomic(path, buffer.getvalue())


def load_checkpoint(path: Path | str, kind: str = "") -> dict:
    """Load a checkpoint, its tensors on the CPU, without running any code.

    `path` is the file, or the folder of a run. UserError if it is missing, damaged or not of this kind. A checkpoint is
    a zip archive, which holds a CRC-32 of each file in it. This is checked here, because `torch.load` ignores it and
    would load a weight with a flipped bit.
    """
    path = Path(path) / CHECKPOINT if os.path.isdir(path) else Path(path)  # noqa: PTH112 (is_dir raises on odd names)
    with reading(path):
        data = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()
        content = None if damaged else torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # not a zip file, or with other content: zipfile and torch raise many types
        raise UserError(f"{path}: is damaged or is not a checkpoint ({type(error).__name__})") from None
    if damaged:
        raise UserError(f"{path}: is damaged (CRC-32 of {damaged})")
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UserError(f"{path}: is not a checkpoint of this version of the project")
    if (found := content.get("kind")) != kind and kind:
        raise UserError(f"{path}: holds another kind of network ({found}); expected: {kind}")
    return content


def fitting(path: Path | str) -> contextlib.AbstractContextManager[None]:
    """A network is made of what the checkpoint at `path` holds. If that does not fit, it is a UserError."""
    return reading(Path(path), "does not fit this version of the network")


def load_state(network: nn.Module, state: dict) -> nn.Module:
    """Load the weights, which must be finite, in a block of `fitting`; returns the network in eval mode."""
    if not all(weight.isreal().all() and weight.isfinite().all() for weight in state.values()):
        raise ValueError("it has weights that are not finite")
    network.load_state_dict(state)
    return network.eval()


def lock_folder(folder: Path) -> filelock.FileLock:
    """Lock the folder; UserError if another process has locked it."""
    try:
        lock = filelock.FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise UserError(f"{folder}: another process is writing to this run; wait for it or end it") from None
    return lock


def claim_folder(folder: Path, *known: str) -> filelock.FileLock:
    """Make the folder, if need be, and lock it. UserError if it holds something, but none of the files `known`.

    This is looked at before anything is written there, and again when nobody else can change it any more.
    """
    with contextlib.suppress(FileNotFoundError):
        Path(folder.name).lstat()  # a name may be too long: OSError, before its parents are made
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / LOCK)
    while True:
        found = {path.name for path in folder.iterdir() if path.name != LOCK and not path.match(TEMPORARY)}
        if found and found.isdisjoint(known):
            lock.release()
            what = "already holds a run" if "config.json" in found else f"is not empty ({min(found)})"
            raise UserError(f"--out_dir {folder}: {what}; name a new folder")
        if lock.is_locked:
            return lock
        lock = lock_folder(folder)
