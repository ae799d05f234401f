"""Checkpoints: saved whole or not at all, checked byte by byte before they are believed."""

import hashlib
import io
from pathlib import Path

import torch

from common.cli import UserError
from common.files import write_whole

SCHEMA = 1  # of the file; another number, another layout
_SEAL = b"sha256:"


def previous(path: Path) -> Path:
    """Where `save` keeps the checkpoint before the one at `path`."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save(path: Path, kind: str, content: dict) -> None:
    """Save `content` (tensors, numbers, strings and containers of them) under `path`; the file before it is kept.

    The file is an ordinary `torch.save` archive, a zip, whose comment holds the SHA-256 of all bytes before it:
    `torch.load` ignores the zip's own checksums, so a flipped byte in a weight would otherwise load in silence.
    """
    buffer = io.BytesIO()
    torch.save({"schema": SCHEMA, "kind": kind, **content}, buffer)
    data = bytearray(buffer.getvalue())
    seal_length = len(_SEAL) + 64
    data[-2:] = seal_length.to_bytes(2, "little")  # the zip's last two bytes: the length of its comment
    seal = _SEAL + hashlib.sha256(data).hexdigest().encode()
    if path.exists():
        restore(path, previous(path))
    write_whole(path, bytes(data) + seal)


def restore(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, at once."""
    if not (target.exists() and target.samefile(source)):
        link = target.with_name(f".{target.name}.link")
        link.unlink(missing_ok=True)
        try:
            link.hardlink_to(source)
        except OSError:  # a file system without hard links
            write_whole(target, source.read_bytes())
        else:
            link.replace(target)


def load(path: Path, kind: str) -> dict:
    """Load what `save` wrote, its tensors on the CPU; anything else is a UserError. No pickled code is ever run."""
    path = Path(path)
    try:
        return _load(path, kind)
    except UserError as error:
        try:
            _load(previous(path), kind)
        except UserError:
            raise error from None
        raise UserError(f"{error}; the one before it is sound: {previous(path)}") from None


def _load(path: Path, kind: str) -> dict:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such checkpoint") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    sealed, seal = data[: -len(_SEAL) - 64], data[-len(_SEAL) - 64 :]
    if not seal.startswith(_SEAL):
        raise UserError(f"{path}: is not a checkpoint of this project, or its end is missing")
    if seal[len(_SEAL) :] != hashlib.sha256(sealed).hexdigest().encode():
        raise UserError(f"{path}: is damaged (its SHA-256 does not match)")
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a sealed file that holds something else: torch raises many types
        raise UserError(f"{path}: is not a checkpoint of this project ({type(error).__name__})") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UserError(f"{path}: was written in another version of the checkpoint format")
    if content.get("kind") != kind:
        raise UserError(f"{path}: holds a {content.get('kind')}, not a {kind}")
    return content
