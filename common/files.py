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
def reading(path: Path) -> Iterator[None]:
    """A file that cannot be read, or holds something else than it should (ValueError), is a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path}: is damaged ({error})") from None


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


def load_checkpoint(path: Path | str, kind: str) -> dict:
    """Load a checkpoint, its tensors on the CPU, without running any code.

    `path` is the file, or the folder of a run. UserError if it is missing, damaged or of another kind. A checkpoint is
    a zip archive, which holds a CRC-32 of each file in it. This is checked here, because `torch.load` ignores it and
    would load a weight with a flipped bit.
    """
    path = Path(path) / CHECKPOINT if os.path.isdir(path) else Path(path)  # noqa: PTH112 (is_dir raises on odd names)
    try:
        data = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()
        content = None if damaged else torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such checkpoint") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # not a zip file, or with other content: zipfile and torch raise many types
        raise UserError(f"{path}: is damaged or is not a checkpoint ({type(error).__name__})") from None
    if damaged:
        raise UserError(f"{path}: is damaged (CRC-32 of {damaged})")
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UserError(f"{path}: is not a checkpoint of this version of the project")
    if (found := content.get("kind")) != kind:
        raise UserError(f"{path}: holds another kind of network ({found}); expected: {kind}")
    return content


def load_state(network: nn.Module, state: dict | None, path: Path | str) -> None:
    """Load the weights `state`, which the checkpoint at `path` holds. UserError if they do not fit the network."""
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        why = textwrap.shorten(str(error), 200, placeholder=" …")
        raise UserError(f"{path}: its weights do not fit this version of the network ({why})") from None


def lock_folder(folder: Path) -> filelock.FileLock:
    """Lock the folder; UserError if another process has locked it."""
    try:
        lock = filelock.FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise UserError(f"{folder}: another process is writing to this run; wait for it or end it") from None
    return lock
