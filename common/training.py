"""Training that can be stopped and resumed: its means, when it is saved, what a signal does."""

import argparse
import functools
import math
import os
import signal
import sys
import threading
import time
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path

from common.cli import UserError, print_line
from common.runs import Run, changes

import torch

STOP = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


def prepared(train: Callable[[argparse.Namespace], Path]) -> Callable[[argparse.Namespace], Path]:
    """While train(args) runs, --threads and --deterministic are set. At the end PyTorch's settings are as before.

    With --deterministic its algorithms add up in the same order every time, on CUDA too.
    """

    @functools.wraps(train)
    def call(args: argparse.Namespace) -> Path:
        debugging = torch.utils.deterministic
        fills, threads = debugging.fill_uninitialized_memory, torch.get_num_threads()
        is_deterministic = torch.are_deterministic_algorithms_enabled()
        torch.set_num_threads(args.threads)
        if args.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            debugging.fill_uninitialized_memory = False  # it finds bugs; it does not make bits equal
            torch.use_deterministic_algorithms(True)
        try:
            return train(args)
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(is_deterministic)
            debugging.fill_uninitialized_memory = fills

    return call


class RunningMeans:
    """The means of a few numbers over all batches since the last call of `take`.

    RunningMeans("loss", "accuracy", device=device) names the numbers. Each batch counts with its `weight`.

    After a batch nothing waits for the device. If a number is not finite, its sum is not finite either; this is found
    when the means are taken or saved with a checkpoint, and is a UserError then.
    """

    def __init__(self, *names: str, device: torch.device):
        self.names = names
        self.sums, self.weight = torch.zeros(len(names), device=device), 0

    def add(self, *numbers: torch.Tensor, weight: int = 1) -> None:
        """Add a batch's numbers, each a tensor of one number on the device."""
        self.sums += torch.stack([number.detach() for number in numbers]) * weight
        self.weight += weight

    def take(self) -> dict[str, float]:
        """Return the mean of each number, and start again from zero."""
        means = self._means()
        self.sums.zero_()
        self.weight = 0
        return means

    def _means(self) -> dict[str, float]:
        means = dict(zip(self.names, (self.sums / max(self.weight, 1)).tolist(), strict=True))
        for name, value in means.items():
            if not math.isfinite(value):
                how = "the last good checkpoint is kept; a smaller --learning_rate may help"
                raise UserError(f"{name} is {value}: training cannot go on; {how}", status=1)
        return means

    def state_dict(self) -> dict:
        self._means()
        return {"sums": self.sums, "weight": self.weight}

    def load_state_dict(self, state: dict) -> None:
        self.sums.copy_(state["sums"])
        self.weight = int(state["weight"])


class Training:
    """One run's training: restored if the run is resumed, saved at intervals, on a signal and at the end.

        every `interval` seconds            save and continue
        SIGINT, SIGTERM, SIGHUP, SIGUSR1    finish the step, save, print how to resume, exit with 128 + the signal's
                                            number (Slurm can send SIGUSR1 before it ends a job)

    A context manager: call `after_step` after each step and `at_end` once. A checkpoint holds `description` (what is
    needed to build the network), the state of each of the `learners` (networks, optimisers, schedules, running means),
    the fields of `progress` (how far the loop is), and a `clock` (seconds and other things that differ from run to
    run). If the disk is full, that ends the run with one line, and its last checkpoint is whole.
    """

    def __init__(self, run: Run, interval: float, description: dict, learners: dict, progress):
        self._run, self._interval = run, interval
        self._description, self._learners, self._progress = description, learners, progress
        self._started = self._last = time.monotonic()
        self._stop, self._can_stop, self._is_trained = 0, False, False  # a signal's number; whether it may end it now
        if run.saved:
            self._restore(run.saved)
        print_line(f"{run.folder}")

    def _restore(self, saved: dict) -> None:
        """Load a checkpoint. If it does not fit this training, that is a UserError, and the disk is unchanged."""
        try:
            for name, now in self._description.items():
                before = saved.get(name, now)  # a checkpoint may be older than the name
                if is_dataclass(now):  # … or than a field, which then had its default
                    before, now = asdict(before if before is now else type(now)(**before)), asdict(now)
                if before != now:
                    pairs = (before, now) if isinstance(now, dict) else ({name: before}, {name: now})
                    raise ValueError(", ".join(changes(*pairs)))
            if best := saved["progress"].get("best"):  # does it fit?
                self._learners["network"].load_state_dict(best)
            for name, learner in self._learners.items():
                learner.load_state_dict(saved[name])
            kinds, progress = typing.get_type_hints(type(self._progress)), saved["progress"]
            if progress.keys() != kinds.keys() or not all(isinstance(progress[name], kinds[name]) for name in kinds):
                raise ValueError(f"its progress is of another version: {', '.join(progress)}; start a new run")
            vars(self._progress).update(saved["progress"])
            self._started -= saved["clock"]["seconds"]
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            self._run.refuse(f"its checkpoint does not fit this training ({' '.join(str(error).split())})")

    def __enter__(self) -> "Training":
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # in another thread Python allows no handlers
            heard = [number for number in STOP if signal.getsignal(number) is not signal.SIG_IGN]  # nohup: no SIGHUP
            self._before = {number: signal.signal(number, self._on_stop) for number in heard}
        try:
            self._run.take_over()
        except BaseException:  # a full disk, say
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, _type, error: BaseException | None, _traceback) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._run.close()
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            what, is_there = error.filename2 or error.filename or self._run.folder, self._run.folder.exists()
            how = f"the last checkpoint is whole: {self._run.command}" if is_there else "the run's folder is gone"
            raise UserError(f"{what}: cannot be written to ({error.strerror or error}); {how}", 1) from None

    def seconds(self) -> float:
        """Seconds of training so far, including those before a stop."""
        return time.monotonic() - self._started

    @contextmanager
    def off_the_clock(self) -> Iterator[None]:
        """For work that is not training: its seconds do not count, and a signal ends it at once.

        The block must not change learners or progress, because a resumed run repeats it.
        """
        began, self._can_stop = time.monotonic(), True
        if self._stop:
            self._on_stop(self._stop, None)
        yield
        self._can_stop = False
        self._started += time.monotonic() - began

    def _on_stop(self, number: int, _frame) -> None:
        self._stop = number
        if self._is_trained or self._can_stop:
            if not self._is_trained:
                self._save()
            self._end(number)
        print_line(f"{signal.Signals(number).name}: stopping after this step", sys.stderr)

    def after_step(self) -> None:
        """Save if it is time; if a signal asked for it, save and end the process."""
        if self._stop or time.monotonic() - self._last >= self._interval:
            self._save()
            if self._stop:
                self._end(self._stop)

    def _end(self, number: int) -> None:
        print_line(f"stopped by {signal.Signals(number).name}; to continue: {self._run.command}")
        sys.exit(128 + number)

    def at_end(self) -> None:
        """Save the finished training. After this a signal may end the process at any time."""
        self._save()
        self._is_trained = True
        if self._stop:
            self._end(self._stop)

    def _save(self) -> None:
        self._last = time.monotonic()
        plain_values = {name: asdict(v) if is_dataclass(v) else v for name, v in self._description.items()}
        content = plain_values | {name: learner.state_dict() for name, learner in self._learners.items()}
        content |= {"progress": vars(self._progress), "clock": {"seconds": self.seconds()}}
        if not all(tensor.isfinite().all() for tensor in _tensors(content)):
            raise UserError("a weight is no longer finite; the last good checkpoint is kept", status=1)
        self._run.save(content)


def _tensors(content) -> Iterator[torch.Tensor]:
    """All tensors in nested containers."""
    if isinstance(content, torch.Tensor):
        yield content
    elif isinstance(content, dict | list | tuple):
        for value in content.values() if isinstance(content, dict) else content:
            yield from _tensors(value)
