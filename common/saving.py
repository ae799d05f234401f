"""When a run is saved: at intervals, when a signal asks for it, at the end."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from common import distributed
from common.cli import UserError
from common.console import print_line, quoted
from common.resume import changes
from common.runs import Run

STOP = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Saver:
    """Saves a run's training at the right moments; call `after_step` after each step, `at_end` once.

        every `interval` seconds    save, and go on
        SIGUSR1                     save, and go on (Slurm's warning before it ends a job)
        SIGINT, SIGTERM, SIGHUP     finish the step, save, say how to resume, exit with 128 + the signal's number

    A checkpoint holds `description` (what rebuilds the network), the state of each of the `learners` (networks,
    optimisers, schedules, running means), the fields of `progress` (how far the loop has come), and a `clock` (what no
    two runs have alike). When a run is resumed, the constructor loads its checkpoint into `learners` and `progress`.

    A full disk costs the checkpoint, not the run: the one before stays, and the next interval tries again. Under
    torchrun all processes stop at the same step.
    """

    def __init__(self, run: Run, interval: float, description: dict, learners: dict, progress):
        self._run, self._interval = run, interval
        self._description, self._learners, self._progress = description, learners, progress
        self._started = self._last = time.monotonic()
        self._stop = self._save_now = 0
        self._is_training, self._is_trained = True, False
        try:
            if run.saved:
                self._restore(run.saved)
            if run.config.get("resumed"):
                run.take_over()
        except BaseException:
            run.close()
            raise

    def _restore(self, saved: dict) -> None:
        """Load a checkpoint; UserError, before anything on the disk is changed, if it is not this training's."""
        if changed := changes(saved, self._description):
            raise UserError(f"{self._run.checkpoint}: does not fit this training: {', '.join(changed)}")
        try:
            for name, learner in self._learners.items():
                learner.load_state_dict(saved[name])
            if saved["progress"].keys() != vars(self._progress).keys():
                raise ValueError(f"its progress is of other code: {', '.join(saved['progress'])}; start another run")
            vars(self._progress).update(saved["progress"])
            self._started -= saved["clock"]["seconds"]
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise UserError(
                f"{self._run.checkpoint}: does not fit this training ({' '.join(str(error).split())})"
            ) from None

    def seconds(self) -> float:
        """Seconds of training so far, those before a stop included."""
        return time.monotonic() - self._started

    @contextmanager
    def off_the_clock(self) -> Iterator[None]:
        """What is done in here is no training: its seconds do not count, and a signal ends it at once, not at its end.

        It must change nothing of the learners and of the progress, and is done again when the run is resumed.
        """
        began, self._is_training = time.monotonic(), False
        if self._stop:
            self._on_stop(self._stop, None)
        yield
        self._is_training = True
        self._started += time.monotonic() - began

    def __enter__(self) -> "Saver":
        handlers = dict.fromkeys(STOP, self._on_stop)
        if hasattr(signal, "SIGUSR1"):
            handlers[signal.SIGUSR1] = self._on_save
        ignored = [number for number in handlers if signal.getsignal(number) is signal.SIG_IGN]  # SIGHUP by nohup
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self._before = {number: signal.signal(number, handlers[number]) for number in handlers.keys() - ignored}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._run.close()

    def _on_stop(self, number: int, _frame) -> None:
        self._stop = number
        if not self._is_training and distributed.PROCESSES == 1:  # several stop together, after their next step
            self._end(number, self._is_trained or self._save())

    def _on_save(self, _number: int, _frame) -> None:
        self._save_now = 1

    def after_step(self) -> None:
        """Save if it is time, or asked for; end the process if that was asked for."""
        stop, save_now = distributed.maximum([self._stop, self._save_now])  # what one process is told, all do
        if stop or save_now or time.monotonic() - self._last >= self._interval:
            saved = self._save()
            self._save_now = 0
            if stop:
                self._end(stop, saved)

    def _end(self, number: int, saved: bool) -> None:
        how = f"go on with: --resume {quoted(self._run.folder)}" if saved else "the last checkpoint stays"
        print_line(f"stopped by {signal.Signals(number).name}; {how}")
        sys.exit(128 + number)

    def at_end(self) -> None:
        """Save the finished training; UserError if that fails. What follows may be interrupted at any time."""
        if not self._save():
            raise UserError(
                f"{self._run.checkpoint}: the last checkpoint could not be saved; "
                f"make room, then: --resume {quoted(self._run.folder)}",
                status=1,
            )
        self._is_training, self._is_trained = False, True

    def _content(self) -> dict:
        clock = {"seconds": self.seconds()}
        states = {name: learner.state_dict() for name, learner in self._learners.items()}
        return {**self._description, **states, "progress": vars(self._progress), "clock": clock}

    def _save(self) -> bool:
        self._last = time.monotonic()
        content = self._content()  # in every process: a mean that is not finite ends them all
        if not distributed.IS_MAIN:
            return True
        tensors = list(_tensors(content))
        if not all(tensor.isfinite().all() for tensor in tensors):
            raise UserError("a weight is no longer finite; the last good checkpoint is kept", status=1)
        try:
            self._run.save(content)
        except OSError as error:
            megabytes = max(sum(tensor.nbytes for tensor in tensors) / 1e6, 0.1)
            print_line(
                f"{self._run.checkpoint}: cannot be saved ({error.strerror}), {megabytes:,.1f} MB are needed; "
                "training goes on and tries again at the next interval",
                sys.stderr,
            )
            return False
        return True


def _tensors(content) -> Iterator[torch.Tensor]:
    """All tensors in nested containers."""
    if isinstance(content, torch.Tensor):
        yield content
    elif isinstance(content, dict):
        for value in content.values():
            yield from _tensors(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _tensors(value)
