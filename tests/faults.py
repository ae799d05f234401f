"""What the tests of faults share: tiny runs, ways to stop and to break them, comparison bit by bit, a count.

Children are forked from a server that has imported everything and trained nothing: a start takes milliseconds.
"""

import collections
import contextlib
import errno
import functools
import importlib
import itertools
import json
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import nn

from common import checkpoint, cli, distributed, runs
from common.cli import UserError
from common.files import read_json
from common.saving import Saver
from part2.mnist import Digits, load_mnist
from part2.networks import PIXELS, Discriminator, Generator

soak = pytest.mark.skipif(not os.environ.get("SOAK"), reason="make soak")


# Counting

INJECTED, SURVIVED = collections.Counter(), collections.Counter()


@contextlib.contextmanager
def survives(what: str, n: int = 1) -> Iterator[None]:
    """Count `n` faults of a kind as injected, and as survived if the block ends well."""
    INJECTED[what] += n
    yield
    SURVIVED[what] += n


def summary() -> str:
    kinds = ", ".join(f"{what} {n}" for what, n in INJECTED.most_common())
    return f"{INJECTED.total()} faults injected, {SURVIVED.total()} survived ({kinds})"


# Tiny runs


@dataclass(frozen=True)
class Script:
    """A train script with flags that make it tiny: two epochs of three batches, the third one shorter in Part 1."""

    name: str
    kind: str
    grows: str
    tiny: str
    last_step: int = 6

    def __str__(self) -> str:
        return self.name

    @property
    def module(self):
        return importlib.import_module(self.name)

    def start(self, folder: Path, *flags) -> Path:
        return self.train(*self.tiny.split(), "--out_dir", folder, *flags)

    def resume(self, folder: Path, *flags) -> Path:
        return self.train("--resume", folder, *flags)

    def train(self, *flags) -> Path:
        return self.module.train(self.module.parse_args([str(flag) for flag in flags]))

    def saved(self, folder: Path, name: str = "checkpoint.pt") -> dict:
        return checkpoint.load(folder / name, self.kind)


PART1 = Script(
    name="part1.train",
    kind="palindrome network",
    grows="--max_epoch",
    tiny="--data_size 120 --max_epoch 2 --batch_size 40 --input_length 4 --num_hidden 4 --lengths 4 --device cpu",
)
PART2 = Script(
    name="part2.train_gan",
    kind="GAN",
    grows="--n_epochs",
    tiny="--data_size 100 --n_epochs 2 --batch_size 32 --latent_dim 6 --log_interval 2 --save_interval 4 --device cpu",
)
SCRIPTS = {"part1": PART1, "part2": PART2}


@functools.cache
def first_digits() -> Digits:
    images, labels = load_mnist("train")
    return Digits(images[:100].clone(), labels[:100].clone())


class NarrowGenerator(Generator):
    """The generator's layers with a few units each: its checkpoints are not worth waiting for."""

    def __init__(self, latent_dim: int, width: int = 1):
        nn.Module.__init__(self)
        self.latent_dim = latent_dim
        layers = [nn.Linear(latent_dim, 4), nn.LeakyReLU(0.2)]
        for n_in, n_out in itertools.pairwise((4, 5, 6, 7)):
            layers += [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(7, PIXELS), nn.Tanh())


class NarrowDiscriminator(Discriminator):
    def __init__(self, width: int = 1):
        nn.Module.__init__(self)
        self.layers = nn.Sequential(nn.Linear(PIXELS, 4), nn.LeakyReLU(0.2), nn.Linear(4, 1))


_environment = functools.cache(runs._environment)


def lighten(setattr_: Callable = setattr, narrow: bool = True) -> None:
    """Training without all of MNIST, without summaries, with a GAN of few weights; git is asked once."""
    setattr_(runs, "_environment", _environment)
    setattr_(PART2.module, "load_mnist", lambda split: first_digits())
    for script in SCRIPTS.values():
        setattr_(script.module, "draw_summary", lambda *args: None)
    if narrow:
        setattr_(PART2.module, "Generator", NarrowGenerator)
        setattr_(PART2.module, "Discriminator", NarrowDiscriminator)


# Stopping


@contextlib.contextmanager
def after_step(step: int, action: Callable[[Saver], None]) -> Iterator[None]:
    """While in force, `action` is called once `step` steps are done, before the saver's turn."""
    original, steps = Saver.after_step, itertools.count(1)

    def patched(saver: Saver) -> None:
        if next(steps) == step:
            action(saver)
        original(saver)

    with mock.patch.object(Saver, "after_step", patched):
        yield


def raise_signal(_saver: Saver | None = None, number: int = signal.SIGTERM) -> None:
    """Send this process a signal; if nobody handles it that is an error, not the end of the tests."""
    assert callable(signal.getsignal(number)), "the saver does not handle signals"
    signal.raise_signal(number)


def for_good(context: contextlib.AbstractContextManager) -> None:
    """Let a context begin and never end, in a child that ends soon itself."""
    _begun.append(context)
    context.__enter__()


_begun = []


def slowly() -> None:
    """From now on each step takes so long that one can see what happens; for a child."""
    original = Saver.after_step
    Saver.after_step = lambda saver: (time.sleep(0.02), original(saver))[1]


def stop(train: Callable, step: int, *args, number: int = signal.SIGTERM) -> int:
    """Call `train(*args)` with a signal after `step` steps; its exit status, 0 if it went on to its end."""
    try:
        with after_step(step, functools.partial(raise_signal, number=number)):
            train(*args)
    except SystemExit as exit_:
        return exit_.code
    return 0


def refusal(call: Callable, *args) -> UserError | None:
    """The error with which the call ends, if it does: a copy, without the frames that hold the run and its lock."""
    try:
        call(*args)
    except UserError as error:
        return UserError(str(error), error.status)
    return None


def refused(script: Script, *flags) -> str:
    """The one line with which the script refuses these flags."""
    failure = refusal(script.train, *flags)
    assert failure and failure.status == 2 and "\n" not in str(failure)
    return str(failure)


class Death(BaseException):
    """The process is gone: nothing after this may run."""


def die(*_, **__):
    raise Death


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# Breaking what the operating system is asked for


class _HalfWritten:
    """A file of whose data one half is written, then `count` may raise."""

    def __init__(self, file, count: Callable):
        self._file, self._count = file, count
        self.flush, self.fileno = file.flush, file.fileno

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        half = len(data) // 2
        self._file.write(data[:half])
        self._count()
        self._file.write(data[half:])


@contextlib.contextmanager
def requests_within(owner, name: str, nth: int = 1, fatal: int | str = 0, fail: Callable = full) -> Iterator[list[str]]:
    """While in force, one request that the `nth` call of `owner.name` makes of the operating system fails.

    `fatal` is its number or its name. Yields the requests so far. After `die` none that follow have any effect either:
    the process is gone.
    """
    watched = {os: ["open", "write", "fsync", "fdopen", "truncate", "ftruncate"], tempfile: ["mkstemp"]}
    watched[Path] = ["chmod", "replace", "hardlink_to", "unlink"]
    requests, calls, armed, dead = [], itertools.count(1), False, False
    original_call = getattr(owner, name)

    def count(request: str) -> None:
        nonlocal dead
        if dead:
            raise Death
        if armed:
            requests.append(request)
            if fatal in (len(requests), request):
                dead = fail is die
                fail()

    def counted(request: str, original: Callable) -> Callable:
        def call(*args, **kwargs):
            count(request)
            result = original(*args, **kwargs)
            return _HalfWritten(result, lambda: count("file.write")) if armed and request == "fdopen" else result

        return call

    def armed_call(*args):
        nonlocal armed
        armed = next(calls) == nth
        try:
            return original_call(*args)
        finally:
            armed = False

    with contextlib.ExitStack() as patches:
        patches.enter_context(mock.patch.object(owner, name, armed_call))
        for where, names in watched.items():
            for request in names:
                patches.enter_context(mock.patch.object(where, request, counted(request, getattr(where, request))))
        yield requests


within_save = functools.partial(requests_within, Saver, "_save")


# Comparing


def without(row: dict, *keys: str) -> dict:
    return {key: value for key, value in row.items() if key not in keys}


def ending(script: Script, folder: Path) -> dict:
    """All that a run ends with but for clocks; the metrics as they stand in the file, line by line."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    result = folder / "result.json"
    return {
        "checkpoint": without(script.saved(folder), "clock"),
        "metrics": [without(json.loads(line), "seconds") for line in lines],
        "result": without(read_json(result), "seconds") if result.exists() else None,
    }


def differences(a, b, where: str = "") -> list[str]:
    """Where two nested containers differ in as much as a bit."""
    if type(a) is not type(b):
        return [where]
    if isinstance(a, dict):
        if list(a) != list(b):
            return [f"{where} keys"]
        return [d for key in a for d in differences(a[key], b[key], f"{where}.{key}")]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [f"{where} length"]
        return [d for k, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{where}[{k}]")]
    if isinstance(a, torch.Tensor):
        equal = (a.dtype, a.shape) == (b.dtype, b.shape) and a.numpy().tobytes() == b.numpy().tobytes()
        return [] if equal else [where]
    return [] if repr(a) == repr(b) else [where]  # −0.0 is not 0.0, and nan is nan


def leftovers(folder: Path) -> list[str]:
    """Temporary files that somebody forgot."""
    return [path.name for path in folder.iterdir() if path.suffix in (".tmp", ".link")]


# Children

_server = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
_server.set_forkserver_preload(["tests.faults", "part1.train", "part2.train_gan"])


def child(script: Script, log: Path, *flags, before: Callable = int, rank: int = 0, processes: int = 1, port: int = 0):
    """Start a process that runs the script as its last line does; what it says goes to `log`.

    `before()` is called in it first. Of several processes each is told its rank as torchrun tells it.
    """
    arguments = (script, log, [str(flag) for flag in flags], before, rank, processes, port)
    process = _server.Process(target=_run, args=arguments, daemon=True)
    process.start()
    return process


def _run(script: Script, log: Path, flags: list[str], before: Callable, rank: int, processes: int, port: int) -> None:
    torch.set_num_threads(1)
    if processes > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        distributed.RANK, distributed.PROCESSES, distributed.FIRST = rank, processes, rank == 0
    lighten()
    sys.argv = [script.module.__file__, *flags]
    with log.open("a", encoding="utf-8") as sys.stdout, contextlib.redirect_stderr(sys.stdout):
        before()
        cli.call(script.module.main)


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


def rows(folder: Path) -> int:
    """Lines in metrics.jsonl so far."""
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def together(script: Script, log: Path, *flags, before: Callable = int, processes: int = 2) -> list[int]:
    """Run the script in several processes that share each batch; their exit statuses. Logs: `log`.0, `log`.1, …"""
    port = free_port()
    started = [
        child(script, log.with_suffix(f".{rank}"), *flags, before=before, rank=rank, processes=processes, port=port)
        for rank in range(processes)
    ]
    return [end(process) for process in started]
