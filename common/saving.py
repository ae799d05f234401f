"""When a run is saved: at intervals, on a signal, and at the end."""

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

STOP = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


class Saver:
    """Saves a run's training at the right moments. Call `after_step` after each step, and `at_end` once.

        every `interval` seconds            save and continue
        SIGINT, SIGTERM, SIGHUP, SIGUSR1    finish the step, save, print how to resume, exit with 128 + the signal's
                                            number (Slurm can send SIGUSR1 before it ends a job)

    A checkpoint holds `description` (what is needed to build the network), the state of each of the `learners`
    (networks, optimisers, schedules, running means), the fields of `progress` (how far the loop is), and a `clock`
    (seconds and other things that differ from run to run). When a run is resumed, the constructor loads its checkpoint
    into `learners` and `progress`.

    If the disk is full, training continues: the previous checkpoint stays, and after the next interval saving is tried
    again. Under torchrun all processes stop at the same step.
    """

    def __init__(self, run: Run, interval: float, description: dict, learners: dict, progress):
        self._run, self._interval = run, interval
        self._description, self._learners, self._progress = description, learners, progress
        self._started = self._last = time.monotonic()
        self._stop = 0
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
        """Load a checkpoint. If it does not fit this training, that is a UserError, and the disk is unchanged."""
        if changed := changes(saved, self._description):
            raise UserError(f"{self._run.checkpoint}: does not fit this training: {', '.join(changed)}")
        try:
            for name, learner in self._learners.items():
                learner.load_state_dict(saved[name])
            if saved["progress"].keys() != vars(self._progress).keys():
                raise ValueError(f"its progress is of another version: {', '.join(saved['progress'])}; start a new run")
            vars(self._progress).update(saved["progress"])
            self._started -= saved["clock"]["seconds"]
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise UserError(
                f"{self._run.checkpoint}: does not fit this training ({' '.join(str(error).split())})"
            ) from None

    def seconds(self) -> float:
        """Seconds of training so far, including those before a stop."""
        return time.monotonic() - self._started

    @contextmanager
    def off_the_clock(self) -> Iterator[None]:
        """For work that is not training: its seconds do not count, and a signal ends it at once.

        It must not change the learners or the progress. It is done again when the run is resumed.
        """
        began, self._is_training = time.monotonic(), False
        if self._stop:
            self._on_stop(self._stop, None)
        yield
        self._is_training = True
        self._started += time.monotonic() - began

    def __enter__(self) -> "Saver":
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # in another thread Python allows no handlers
            heard = [number for number in STOP if signal.getsignal(number) is not signal.SIG_IGN]  # nohup: no SIGHUP
            self._before = {number: signal.signal(number, self._on_stop) for number in heard}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._run.close()

    def _on_stop(self, number: int, _frame) -> None:
        self._stop = number
        together = distributed.PROCESSES > 1 and not self._is_trained  # several processes stop after the next step
        if not self._is_training and not together:
            self._end(number, self._is_trained or self._save())

    def after_step(self) -> None:
        """Save if it is time; if a signal asked for it, save and end the process."""
        stop = distributed.maximum(self._stop)  # a signal to one process is for all
        if stop or time.monotonic() - self._last >= self._interval:
            saved = self._save()
            if stop:
                self._end(stop, saved)

    def _end(self, number: int, saved: bool) -> None:
        how = f"to continue: --resume {quoted(self._run.folder)}" if saved else "the last checkpoint stays"
        print_line(f"stopped by {signal.Signals(number).name}; {how}")
        sys.exit(128 + number)

    def at_end(self) -> None:
        """Save the finished training; UserError if that fails. After this a signal may end the process at any time."""
        if not self._save():
            raise UserError(
                f"{self._run.checkpoint}: the last checkpoint could not be saved; "
                f"free some disk space, then: --resume {quoted(self._run.folder)}",
                status=1,
            )
        self._is_training, self._is_trained = False, True
        if self._stop:
            self._on_stop(self._stop, None)

    def _save(self) -> bool:
        self._last = time.monotonic()
        # In every process, because a mean that is not finite must end all.
        content = self._description | {name: learner.state_dict() for name, learner in self._learners.items()}
        content |= {"progress": vars(self._progress), "clock": {"seconds": self.seconds()}}
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
