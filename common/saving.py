"""When a run is saved: at intervals, when a signal asks for it, at the end."""

import signal
import sys
import time
from contextlib import contextmanager

import torch
from tqdm import tqdm

from common import checkpoint, distributed
from common.cli import UserError
from common.runs import Run

STOP = (signal.SIGINT, signal.SIGTERM)


class Saver:
    """Saves a run's training at the right moments; call `after_step` after each step, `at_end` once.

        every `interval` seconds    save, and go on
        SIGUSR1                     save, and go on (Slurm's warning before it ends a job)
        SIGINT, SIGTERM             finish the step, save, say how to resume, exit with 130 or 143
        … again a second later      exit at once

    A checkpoint holds `about` (what rebuilds the network), the state of each of the `learners` (networks, optimisers,
    schedules), the fields of `progress` (how far the loop has come), and a `clock` (what no two runs have alike). Of a
    run taken over, learners and progress are set to what its checkpoint holds.

    A full disk costs the checkpoint, not the run: the one before stays, and the next interval tries again. Under
    torchrun all processes stop at the same step.
    """

    def __init__(self, run: Run, kind: str, interval: float, about: dict, learners: dict, progress):
        self._run, self._kind, self._interval = run, kind, interval
        self._about, self._learners, self._progress = about, learners, progress
        self._started = self._last = time.monotonic()
        self._stop = self._save_now = 0
        self._device = progress.sums.device
        if run.saved:
            self._started -= run.saved["clock"]["seconds"]
            for name, learner in learners.items():
                learner.load_state_dict(run.saved[name])
            for name, value in run.saved["progress"].items():
                is_tensor = isinstance(value, torch.Tensor)
                setattr(progress, name, value.to(getattr(progress, name).device) if is_tensor else value)

    def seconds(self) -> float:
        """Seconds of training so far, those before a stop included."""
        return time.monotonic() - self._started

    @contextmanager
    def off_the_clock(self):
        """What is done in here is no training: its seconds do not count."""
        began = time.monotonic()
        yield
        self._started += time.monotonic() - began

    def _content(self) -> dict:
        clock = {"seconds": self.seconds(), "metrics": self._run.mark()}
        states = {name: learner.state_dict() for name, learner in self._learners.items()}
        return {**self._about, **states, "progress": vars(self._progress), "clock": clock}

    def __enter__(self) -> "Saver":
        wanted = dict.fromkeys(STOP, self._on_stop)
        if hasattr(signal, "SIGUSR1"):
            wanted[signal.SIGUSR1] = self._on_save
        self._before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_stop(self, number: int, _frame) -> None:
        now = time.monotonic()
        if self._stop and now - self._stopped > 1:  # at once, a terminal and torchrun may both pass on one Ctrl-C
            sys.exit(128 + number)
        if not self._stop:
            self._stop, self._stopped = number, now

    def _on_save(self, _number: int, _frame) -> None:
        self._save_now = 1

    def after_step(self) -> None:
        """Save if it is time, or asked for; end the process if that was asked for."""
        stop, save_now = self._stop, self._save_now
        if distributed.PROCESSES > 1:  # what one process was told, all do
            stop, save_now = distributed.highest(torch.tensor([stop, save_now], device=self._device)).tolist()
        if stop or save_now or time.monotonic() - self._last >= self._interval:
            saved = self._save()
            self._save_now = 0
            if stop:
                if distributed.FIRST:
                    name = signal.Signals(stop).name
                    how = f"go on with: --resume {self._run.folder}" if saved else "the last checkpoint stays"
                    tqdm.write(f"stopped by {name}; {how}")
                sys.exit(128 + stop)

    def at_end(self) -> None:
        """Save the finished training; UserError if that fails."""
        if not self._save():
            raise UserError(
                f"{self._run.checkpoint}: the last checkpoint could not be saved; "
                f"make room, then: --resume {self._run.folder}",
                status=1,
            )

    def _save(self) -> bool:
        saved = True
        if distributed.FIRST:
            content = self._content()
            tensors = list(_tensors(content))
            if not all(tensor.isfinite().all() for tensor in tensors):
                raise UserError("a weight is no longer finite; the last good checkpoint is kept", status=1)
            try:
                self._run.flush()
                checkpoint.save(self._run.checkpoint, self._kind, content)
            except OSError as error:
                megabytes = max(sum(tensor.nbytes for tensor in tensors) / 1e6, 0.1)
                tqdm.write(
                    f"{self._run.checkpoint}: cannot be saved ({error.strerror}), {megabytes:,.1f} MB are needed; "
                    "training goes on and tries again at the next interval",
                    file=sys.stderr,
                )
                saved = False
        self._last = time.monotonic()
        return saved


def check_finite(losses_and_gradients: torch.Tensor, where: str) -> None:
    """UserError if one of the numbers (losses, norms of gradients) is inf or nan."""
    if not losses_and_gradients.isfinite().all():
        raise UserError(
            f"the loss or its gradient at {where} is not finite; the last good checkpoint is kept; "
            "a smaller --learning_rate may help",
            status=1,
        )


def _tensors(content):
    """All tensors in nested containers."""
    if isinstance(content, torch.Tensor):
        yield content
    elif isinstance(content, dict):
        for value in content.values():
            yield from _tensors(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _tensors(value)
