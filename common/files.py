"""Files that are written whole or not at all."""

import contextlib
import csv
import io
import json
import os
import uuid
from pathlib import Path

from common.cli import UserError


def write_whole(path: Path | str, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path`, so that a reader finds the old file or the new one, never a part.

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


def write_csv(path: Path, rows: list[dict]) -> None:
    """Write `rows` as a table with a header: a column for each key of any row, empty where a row lacks it."""
    buffer, columns = io.StringIO(), dict.fromkeys(key for row in rows for key in row)
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, buffer.getvalue())


def write_json(path: Path, content: dict) -> None:
    """Write `content` as JSON."""
    write_whole(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict:
    """Read a JSON object; UserError if the file is missing or holds something else."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:  # not JSON, or not UTF-8
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{path}: is damaged (it is not a JSON object)")
    return content
