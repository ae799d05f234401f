"""Death at any moment, a full disk, numbers that blow up: the last checkpoint is good, and the bits are the same."""

import contextlib
import math
import os
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from common import checkpoint
from common.console import quoted
from common.runs import Run
from common.saving import Saver
from part2 import recipes
from tests import tiny_runs
from tests.faults import EVERY, disk, full
from tests.tiny_runs import CURRICULUM, PART1, PART2, Death, Script, after_step, all_scripts, die, refusal, stop

pytestmark = pytest.mark.usefixtures("light")


def go_on(script: Script, folder: Path, *flags) -> Path:
    """What a user does next: the same command again if the run has not come as far as its config, else --resume."""
    if not (folder / "config.json").exists():
        script.start(folder, *flags)
    elif not (folder / "result.json").exists():
        script.resume(folder, *flags)
        assert list(folder.glob(".*.tmp")) == []
    return folder


def steps_saved(script: Script, folder: Path) -> int:
    """How many steps the last checkpoint has; 0 if there is none."""
    if not (folder / "checkpoint.pt").exists():
        return 0
    progress = script.saved(folder)["progress"]
    return progress["batch"] + (3 * (progress["epoch"] - 1) if script is PART1 else 0)


@contextlib.contextmanager
def counted_steps():
    """A list as long as the number of steps after which the saver has had its turn."""
    done, original = [], Saver.after_step
    with mock.patch.object(Saver, "after_step", lambda saver: (original(saver), done.append(1))):
        yield done


def moments(script: Script, folder: Path) -> range:
    """The numbers of the requests to the disk at which a run is made to fail: some, and in `make soak` all.

    A save makes ten; no step here shares a factor with ten, so each of them fails in one save or another.
    """
    with disk() as requests:
        script.start(folder, *EVERY)
    assert set(requests) == {"open", "fsync", "replace", "fsync of a folder"}
    step = 1 if os.environ.get("SOAK") else {PART1: 7, CURRICULUM: 19, PART2: 9}[script]
    return range(1, len(requests) + 1, step)


@all_scripts
def test_after_a_death_at_any_moment_no_saved_step_is_lost(script, ends_alike, tmp_path):
    for number in moments(script, tmp_path / "counted"):
        folder = tmp_path / f"died-{number}"
        with counted_steps() as done, contextlib.suppress(Death), disk(number, die):
            script.start(folder, *EVERY)
        assert steps_saved(script, folder) >= len(done)
        ends_alike(script, go_on(script, folder))


@pytest.mark.parametrize("finished", [False, True])
def test_after_a_death_while_a_run_is_taken_over_it_can_be_taken_over_again(finished, ends_alike, tmp_path):
    more = ("--max_epoch", "3")
    for number in range(1, 14):  # config.json, and the first save
        folder = tmp_path / f"died-{number}"
        PART1.start(folder) if finished else stop(PART1.start, 4, folder)
        with pytest.raises(Death), disk(number, die):
            PART1.resume(folder, *more, *EVERY)
        ends_alike(PART1, go_on(PART1, folder, *more), *more)


@all_scripts
def test_a_disk_that_is_full_for_a_moment_costs_one_file_not_the_run(script, ends_alike, tmp_path, capsys):
    for number in moments(script, tmp_path / "counted"):
        folder = tmp_path / f"full-{number}"
        capsys.readouterr()
        with counted_steps() as done, disk(number) as requests:
            try:
                script.start(folder, *EVERY)
            except Exception as error:
                assert "No space left" in str(error) or "could not be saved; free some disk space" in str(error)
                assert len(done) in (0, script.last_step)  # not in between
            else:
                said = "No space left on device" in capsys.readouterr().err
                assert said or requests[number - 1] == "fsync of a folder"
        ends_alike(script, go_on(script, folder))


@all_scripts
def test_a_disk_that_stays_full_leaves_the_last_checkpoint_and_exit_status_1(script, ends_alike, tmp_path, capsys):
    folder = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch, after_step(3, lambda _: patch.setattr(os, "fsync", full)):
        failure = refusal(script.start, folder, *EVERY)
    assert failure.status == 1 and f"free some disk space, then: --resume {quoted(folder)}" in str(failure)
    assert "training goes on and tries again at the next interval" in capsys.readouterr().err
    assert not (folder / "result.json").exists() and steps_saved(script, folder) == 2
    ends_alike(script, script.resume(folder))


def test_stopped_on_a_full_disk_it_says_so_and_what_room_it_needs(tmp_path, monkeypatch, capsys):
    stop(PART1.start, 1, tmp_path / "run", "--num_hidden", "400")
    monkeypatch.setattr(checkpoint, "write_whole", full)
    assert stop(PART1.resume, 1, tmp_path / "run") == 143
    out, err = capsys.readouterr()
    assert out.endswith("stopped by SIGTERM; the last checkpoint stays\n")
    size = (tmp_path / "run/checkpoint.pt").stat().st_size / 1e6
    assert float(re.search(r"([\d.]+) MB are needed", err)[1]) == pytest.approx(size, rel=0.01)


def test_no_checkpoint_counts_on_a_row_of_metrics_that_is_not_on_the_disk(ends_alike, tmp_path):
    """Metrics cannot be written: neither can checkpoints, though for them there would be room."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "flush", full)
        assert stop(PART1.start, 5, tmp_path / "run", *EVERY) == 143
    assert not (tmp_path / "run/checkpoint.pt").exists()
    ends_alike(PART1, PART1.resume(tmp_path / "run"))


NOT_FINITE = {
    "nan": lambda loss, logits: loss * math.nan,
    "inf": lambda loss, logits: loss * math.inf,
    "a gradient of nan": lambda loss, logits: loss + (logits.sum() * 0).sqrt(),
}


@all_scripts
@pytest.mark.parametrize("change", NOT_FINITE.values(), ids=NOT_FINITE)
def test_what_is_not_finite_ends_the_run_at_the_last_good_step(script, change, ends_alike, tmp_path, monkeypatch):
    where, name = (recipes, "generator_loss") if script is PART2 else (torch.nn.functional, "cross_entropy")
    original, batches = getattr(where, name), []

    def changed(logits, *args, **kwargs):
        batches.append(torch.is_grad_enabled())  # evaluation does not count
        loss = original(logits, *args, **kwargs)
        return change(loss, logits) if sum(batches) == 5 else loss

    with monkeypatch.context() as patch:
        patch.setattr(where, name, changed)
        failure = refusal(script.start, tmp_path / "run", *EVERY)
    assert failure.status == 1 and "the last good checkpoint is kept" in str(failure)
    assert steps_saved(script, tmp_path / "run") == 4
    ends_alike(script, script.resume(tmp_path / "run"))


LEARNERS = [(PART1, "network"), (PART1, "optimizer"), (CURRICULUM, "network"), (PART2, "generator"), (PART2, "average")]


@pytest.mark.parametrize(("script", "name"), LEARNERS, ids=str)
def test_a_weight_that_is_not_finite_never_gets_into_a_checkpoint(script, name, tmp_path):
    """Wherever it comes from: here from nowhere."""

    def spoil(saver: Saver) -> None:
        state = saver._learners[name].state_dict()
        tensors = [t for part in state["state"].values() for t in part.values()] if "state" in state else state.values()
        next(t for t in tensors if t.is_floating_point() and t.numel() > 1).view(-1)[-1] = math.nan

    with after_step(4, spoil):
        failure = refusal(script.start, tmp_path / "run", *EVERY)
    assert failure.status == 1 and "a weight is no longer finite" in str(failure)
    assert steps_saved(script, tmp_path / "run") == 3


def no_memory(*_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has …")


@pytest.mark.parametrize("ask", [no_memory, lambda _: np.empty(2**62, np.uint8), lambda _: torch.empty(2**60)])
def test_too_little_memory_for_the_data_is_one_line_and_nothing_is_left(ask, tmp_path, answer, monkeypatch):
    monkeypatch.setattr(PART2.module, "load_mnist", ask)
    status, _, err = answer(PART2.module, "--out_dir", tmp_path / "run")
    assert (status, err.count("\n")) == (1, 1) and "not enough memory" in err
    assert list(tmp_path.iterdir()) == []


@all_scripts
def test_too_little_memory_on_the_way_costs_nothing_that_was_saved(script, ends_alike, tmp_path, answer):
    with after_step(4, no_memory):
        status, _, err = answer(script.module, *script.tiny.split(), *EVERY, "--out_dir", tmp_path / "run")
    assert (status, err.count("\n")) == (1, 1) and "not enough memory" in err
    assert steps_saved(script, tmp_path / "run") == 3
    ends_alike(script, script.resume(tmp_path / "run"))


def test_a_run_under_way_cannot_be_resumed_by_another(ends_alike, tmp_path):
    folder = tmp_path / "run"

    def another(_: Saver) -> None:
        before = tiny_runs.files_of(folder)
        assert f"{folder}: another process is writing to this run" in tiny_runs.refused(PART1, "--resume", folder)
        assert tiny_runs.files_of(folder) == before

    with after_step(4, another):
        PART1.start(folder, *EVERY)
    ends_alike(PART1, folder)
