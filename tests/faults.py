"""Faults on purpose: a disk that fails, a process that dies, runs in processes of their own that can be killed.

Children are forked from a server that has imported everything and trained nothing: a start takes milliseconds.
"""

import contextlib
import errno
import multiprocessing
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

from common import cli
from common.training import Training
from tests.tiny_runs import SCRIPTS, Script, die, lighten

import pytest
import torch

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


# Runs in processes of their own

_server = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
_server.set_forkserver_preload(["tests.faults", *(script.name for script in SCRIPTS.values()), "torch._dynamo"])


def child(script: Script, log: Path, *flags, during: Callable[[], AbstractContextManager] = contextlib.nullcontext):
    """Start a process that runs the script as its last line does; what it says goes to `log`.

    `during()`, made in that process, is in force while it runs.
    """
    process = _server.Process(target=_run, args=(script, log, [str(flag) for flag in flags], during), daemon=True)
    process.start()
    return process


def _run(script: Script, log: Path, flags: list[str], during: Callable) -> None:
    torch.set_num_threads(1)
    lighten()
    sys.argv = [script.module.__file__, *flags]
    with log.open("a", encoding="utf-8") as sys.stdout, contextlib.redirect_stderr(sys.stdout), during():
        cli.call(lambda: script.module.train(script.module.parse_args()))


@contextlib.contextmanager
def slowly() -> Iterator[None]:
    """While in force, each step takes so long that one can see what happens."""
    original = Training.after_step
    with mock.patch.object(Training, "after_step", lambda training: (time.sleep(0.02), original(training))):
        yield


def end(process, seconds: float = 120) -> int:
    """Wait for a child to end; its exit status, −9 after SIGKILL."""
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError(f"still running after {seconds} s")
    return process.exitcode


def wait_until(condition: Callable[[], bool], process=None, seconds: float = 120) -> None:
    """Poll until `condition()` holds; an error if the process ends before, or never."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        assert process is None or process.is_alive() or condition(), "it ended before"
        time.sleep(0.005)
