"""Faults on purpose: a disk that fails, with or without the process."""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from tests.tiny_runs import die

import pytest

soak = pytest.mark.skipif(not os.environ.get("SOAK"), reason="make soak")
EVERY = ("--checkpoint_interval", "0")  # save after every batch


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def disk(fails_at: int = 0, how: Callable = full) -> Iterator[list[str]]:
    """While in force, what changes files is counted: opening one to write, fsync, renaming. Yields what there was.

    Number `fails_at` fails: `full` for this once, or `die`, and then nothing that follows has any effect either. Of
    what was written to a file whose fsync fails, half is there.
    """
    requests, size_at_opening = [], {}
    open_, fsync, replace, unlink = Path.open, os.fsync, Path.replace, Path.unlink

    def if_alive() -> None:
        if how is die and 0 < fails_at <= len(requests):
            die()

    def request(name: str) -> None:
        if_alive()
        requests.append(name)
        if len(requests) == fails_at:
            how()

    def counted_open(path: Path, mode: str = "r", *args, **kwargs):
        if mode[0] == "r":
            return open_(path, mode, *args, **kwargs)
        request("open")
        file = open_(path, mode, *args, **kwargs)
        size_at_opening[file.fileno()] = os.fstat(file.fileno()).st_size
        return file

    def counted_fsync(handle: int) -> None:
        status, before = os.fstat(handle), size_at_opening.get(handle, 0)
        is_file = stat.S_ISREG(status.st_mode)
        try:
            request("fsync" if is_file else "fsync of a folder")
        except BaseException:
            if is_file and status.st_size > before:
                os.ftruncate(handle, (before + status.st_size) // 2)
            raise
        fsync(handle)

    on_paths = {
        "open": counted_open,
        "replace": lambda path, target: (request("replace"), replace(path, target))[1],
        "unlink": lambda path, **kwargs: (if_alive(), unlink(path, **kwargs))[1],
    }
    with mock.patch.multiple(Path, **on_paths), mock.patch.object(os, "fsync", counted_fsync):
        yield requests


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Poll until `condition()` holds; an error if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
