"""Files that matter are written whole or not at all, and checked before they are believed."""

import csv
import hashlib
import io
import json
import os
import tempfile
from pathlib import Path

from common.cli import UserError


def write_whole(path: Path, data: bytes | str) -> None:
    """Write `data` to `path` so that a reader finds the old file or the new one, never a part of it.

    A temporary file beside it is written, flushed to disk and renamed over `path`; then the folder is flushed, so that
    the rename outlives a power cut too. On any error the old file stays and the temporary one is removed.
    """
    path = Path(path)
    data = data.encode() if isinstance(data, str) else data
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_csv(path: Path, rows: list[dict]) -> None:
    """Write `rows`, alike in their keys, as a table with a header."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, buffer.getvalue())


def write_json(path: Path, content: dict) -> None:
    """Write `content` as JSON, last in it the SHA-256 of all the rest."""
    write_whole(path, json.dumps({**content, "sha256": _digest(content)}, indent=2) + "\n")


def read_json(path: Path) -> dict:
    """Read what `write_json` wrote; UserError if it is missing or has changed since."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        sound = content.pop("sha256") == _digest(content)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        sound = False
    if not sound:
        raise UserError(f"{path}: is damaged or was edited (its SHA-256 does not match)")
    return content


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, indent=2).encode()).hexdigest()
