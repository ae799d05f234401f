"""Checkpoints: written whole or not at all, checked when they are loaded, and loaded without running any code."""

import io
import os
import zipfile
from pathlib import Path

import torch

from common.cli import UserError
from common.files import write_whole

SCHEMA = 2  # number of the file's layout
NAME = "checkpoint.pt"  # in a run's folder


def previous(path: Path) -> Path:
    """Where `save` keeps the checkpoint before the one at `path`."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save(path: Path, kind: str, content: dict, keep_previous: bool = False) -> None:
    """Save `content` (tensors, numbers, text, containers of them) at `path`; keep the previous file too if asked."""
    buffer = io.BytesIO()
    torch.save({"schema": SCHEMA, "kind": kind, **content}, buffer)
    if keep_previous and path.exists():
        write_whole(previous(path), path.read_bytes())
    write_whole(path, buffer.getvalue())


def load(path: Path | str, kind: str) -> dict:
    """Load a checkpoint that `save` wrote, its tensors on the CPU; UserError if it is missing, damaged or another kind.

    `path` is the file, or the folder of a run. A checkpoint is a zip archive, which holds a CRC-32 of each file in
    it. This is checked here, because `torch.load` ignores it and would load a weight with a flipped bit.
    """
    path = Path(path) / NAME if os.path.isdir(path) else Path(path)  # noqa: PTH112 (is_dir raises on odd names)
    try:
        return _load(path, kind)
    except UserError as error:
        try:
            _load(previous(path), kind)
        except UserError:
            raise error from None
        raise UserError(
            f"{error}; the previous checkpoint is sound: rename {previous(path).name} to {path.name} to use it"
        ) from None


def _load(path: Path, kind: str) -> dict:
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
        found, wanted = (f"an {name}" if str(name)[0] in "aeiou" else f"a {name}" for name in (found, kind))
        raise UserError(f"{path}: holds {found}, not {wanted}")
    return content
