"""Training runs that take milliseconds: how to start, stop, resume and compare them."""

import contextlib
import functools
import importlib
import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import part2.sources.files
from common import runs
from common.cli import UserError
from common.files import load_checkpoint, read_json
from common.training import Training
from part1.proof import certificate
from part1.proof.boxes import margins
from part2.gan import PIXELS, Discriminator, Generator
from part2.images import Digits, load_mnist

import pytest
import torch
from torch import nn


@dataclass(frozen=True)
class Script:
    """A train script with flags that make it tiny: six batches and more."""

    name: str
    kind: str
    tiny: str
    epochs: str | None  # the flag of the number of epochs
    last_step: int

    def __str__(self) -> str:
        return self.name

    @property
    def module(self):
        return importlib.import_module(self.name)

    def train(self, *flags) -> Path:
        return self.module.train(self.module.parse_args([str(flag) for flag in flags]))

    def start(self, folder: Path, *flags) -> Path:
        return self.train(*self.tiny.split(), "--out_dir", folder, *flags)

    def resume(self, folder: Path, *flags) -> Path:
        return self.train("--resume", folder, *flags)

    def saved(self, folder: Path, name: str = "checkpoint.pt") -> dict:
        return load_checkpoint(folder / name, self.kind)


TINY = "--data_size 120 --max_epoch 2 --batch_size 40 --input_length 4 --num_hidden 4 --lengths 4 --device cpu"
PART1 = Script("part1.train", "palindrome network", TINY, "--max_epoch", 6)  # two epochs of 40 + 40 + 16
TINY = "--task marker --data_size 36 --batch_size 8 --num_hidden 8 --max_batches 12 --lengths 4 --device cpu"
PROVED = Script("part1.train_proved", "palindrome network", TINY, None, 12)  # epochs of five batches
TINY = "--data_size 100 --n_epochs 2 --batch_size 32 --latent_dim 6 --log_interval 2 --save_interval 4 --device cpu"
PART2 = Script("part2.train_gan", "GAN", TINY, "--n_epochs", 6)  # two epochs of three batches
SCRIPTS = {"part1": PART1, "proved": PROVED, "part2": PART2}
all_scripts = pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)


@functools.cache
def first_digits() -> Digits:
    images, labels = load_mnist("train")
    return Digits(images[:100].clone(), labels[:100].clone())


class NarrowGenerator(Generator):
    """The generator's layers with a few units each: its checkpoints are not worth waiting for."""

    def __init__(self, latent_dim: int, width: int = 1, epsilon: float = 1e-5, signs: int = 0, labels: int = 0):
        nn.Module.__init__(self)
        self.latent_dim, self.signs, self.labels = latent_dim, signs, labels
        layers = [nn.Linear(latent_dim + labels, 4), nn.LeakyReLU(0.2)]
        for n in (4, 5, 6):
            layers += [nn.Linear(n, n + 1), nn.BatchNorm1d(n + 1, epsilon), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(7, PIXELS), nn.Tanh())


class NarrowDiscriminator(Discriminator):
    def __init__(self, width: int = 1, labels: int = 0):
        nn.Module.__init__(self)
        self.labels = labels
        self.layers = nn.Sequential(nn.Linear(PIXELS + labels, 4), nn.LeakyReLU(0.2), nn.Linear(4, 1))


environment_once = functools.cache(runs.environment)


def lighten(setattr_: Callable = setattr, narrow: bool = True) -> None:
    """Training without all of MNIST, without summaries, with a GAN of few weights; git is asked once; files are not
    flushed to the disk itself: no test can cause a power cut."""
    setattr_(os, "fsync", lambda handle: None)
    setattr_(runs, "environment", environment_once)
    setattr_(part2.sources.files, "load_mnist", lambda split: first_digits())
    for script in SCRIPTS.values():
        setattr_(script.module, "draw_summary", lambda *args: None)
    for name, value in {
        "EVERY": 5,
        "SURE": -1.0,
        "WARM_UP": 3,
    }.items():  # signs after 5 and 10 batches, boxes from 3 on
        setattr_(PROVED.module, name, value)
    # The boxes that are followed do not start anew at each step, as those of an untrained network would.
    setattr_(certificate, "margins", lambda h, answers, fc, u: margins(h, answers, fc, u) + 2 * (u == 0))
    if narrow:
        setattr_(PART2.module, "Generator", NarrowGenerator)
        setattr_(PART2.module, "Discriminator", NarrowDiscriminator)


@contextlib.contextmanager
def after_step(step: int, action: Callable[[Training], None]) -> Iterator[None]:
    """While in force, `action` is called once `step` steps are done, before `after_step`."""
    original, steps = Training.after_step, itertools.count(1)

    def patched(training: Training) -> None:
        if next(steps) == step:
            action(training)
        original(training)

    with mock.patch.object(Training, "after_step", patched):
        yield


def raise_signal(_training: Training | None = None, number: int = signal.SIGTERM) -> None:
    """Send this process a signal; if nobody handles it that is an error, not the end of the tests."""
    assert callable(signal.getsignal(number)), "training does not handle signals"
    signal.raise_signal(number)


def stop(train: Callable, step: int, *args, number: int = signal.SIGTERM) -> int:
    """Call `train(*args)` with a signal after `step` steps; its exit status, 0 if it went on to its end."""
    try:
        with after_step(step, functools.partial(raise_signal, number=number)):
            train(*args)
    except SystemExit as exit_:
        return exit_.code
    return 0


class Death(BaseException):
    """The process is gone: nothing after this may run."""


def die(*_, **__):
    raise Death


def refusal(call: Callable, *args) -> UserError | None:
    """The error with which the call ends, if it does: a copy, without the frames that hold the run and its lock."""
    try:
        call(*args)
    except UserError as error:
        return UserError(str(error), error.status)


def refused(script: Script, *flags) -> str:
    """The one line with which the script refuses these flags."""
    failure = refusal(script.train, *flags)
    assert failure and failure.status == 2 and "\n" not in str(failure)
    return str(failure)


def without(row: dict, *keys: str) -> dict:
    """The row without these keys."""
    return {key: value for key, value in row.items() if key not in keys}


def ending(script: Script, folder: Path) -> dict:
    """All that a run ends with but for clocks: its last checkpoint, its metrics, its grids, its result."""
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    grids = [path for path in sorted(folder.glob("grids/*")) if int(path.stem) % 4 == 0]  # and at former ends
    return {
        "checkpoint": without(script.saved(folder), "clock"),
        "metrics": [without(row, "seconds") for row in metrics],
        "grids": {path.name: path.read_bytes() for path in grids},
        "result": without(read_json(folder / "result.json"), "seconds", "run"),
    }


def differences(a, b, where: str = "") -> list[str]:
    """Where two nested containers differ in as much as a bit."""
    if type(a) is not type(b):
        return [where]
    if isinstance(a, list | tuple):
        a, b = dict(enumerate(a)), dict(enumerate(b))
    if isinstance(a, dict):
        if list(a) != list(b):
            return [f"{where} keys"]
        return [difference for key in a for difference in differences(a[key], b[key], f"{where}.{key}")]
    if isinstance(a, torch.Tensor):
        equal = (a.dtype, a.shape) == (b.dtype, b.shape) and a.numpy().tobytes() == b.numpy().tobytes()
        return [] if equal else [where]
    return [] if repr(a) == repr(b) else [where]  # −0.0 is not 0.0, and nan is nan


def files_of(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder with its content: equal before and after means that nothing was written."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_in(folder: Path) -> int:
    """Lines in metrics.jsonl so far."""
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0
