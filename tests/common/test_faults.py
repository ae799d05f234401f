"""Death at any moment, a full disk, numbers that blow up: the last checkpoint is good, and the bits are the same."""

import contextlib
import math
import os
import shutil
import signal
from pathlib import Path
from unittest import mock

from common.training import Training
from tests import tiny_runs
from tests.faults import EVERY, disk
from tests.tiny_runs import PART1, PART2, PROVED, Death, Script, after_step, all_scripts, die, refusal, stop

import pytest
import torch

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
    """A list as long as the number of steps whose `after_step` has returned."""
    done, original = [], Training.after_step
    with mock.patch.object(Training, "after_step", lambda training: (original(training), done.append(1))):
        yield done


def moments(script: Script, folder: Path) -> list[int]:
    """The numbers of the requests to the disk at which a run is made to fail: some, and in `make soak` all.

    A save makes four, and each step here is odd. The last of all are those of result.json.
    """
    with disk() as requests:
        script.start(folder, *EVERY)
    assert set(requests) == {"open", "fsync", "replace", "fsync of a folder"}
    step = 1 if os.environ.get("SOAK") else {PART1: 7, PROVED: 13, PART2: 13}[script]
    return sorted({*range(1, len(requests) + 1, step), len(requests) - 2})


@all_scripts
def test_after_a_death_at_any_moment_no_saved_step_is_lost(script, ends_alike, tmp_path):
    for number in moments(script, tmp_path / "counted"):
        folder = tmp_path / f"died-{number}"
        with counted_steps() as done, contextlib.suppress(Death), disk(number, die):
            script.start(folder, *EVERY)
        assert steps_saved(script, folder) >= len(done)
        ends_alike(script, go_on(script, folder))


@pytest.mark.parametrize("finished", [False, True])
def test_a_death_or_a_full_disk_while_a_run_is_taken_over_leaves_one_that_can_be_taken_over(
    finished, ends_alike, tmp_path
):
    more, handler = ("--max_epoch", "3"), signal.getsignal(signal.SIGTERM)
    for number in range(1, 10):  # result.json goes, if it is there; config.json, and the first save
        folder = tmp_path / f"died-{number}"
        PART1.start(folder) if finished else stop(PART1.start, 4, folder)
        if number < 3:
            before = tiny_runs.files_of(folder)
            with disk(number):
                failure = refusal(PART1.resume, folder, *more)
            assert "the last checkpoint is whole: " in str(failure) and tiny_runs.files_of(folder) == before
            assert signal.getsignal(signal.SIGTERM) is handler
        with pytest.raises(Death), disk(number, die):
            PART1.resume(folder, *more, *EVERY)
        ends_alike(PART1, PART1.resume(folder, *more), *more)


@all_scripts
def test_a_full_disk_ends_the_run_in_one_line_and_costs_nothing_that_was_saved(script, ends_alike, tmp_path):
    """Whatever cannot be written: config.json, a row of metrics, a picture, a checkpoint, result.json."""
    for number in moments(script, tmp_path / "counted"):
        folder = tmp_path / f"full-{number}"
        with counted_steps() as done, disk(number) as requests:
            failure = refusal(script.start, folder, *EVERY)
        if requests[number - 1] == "fsync of a folder":  # not all file systems can do that
            assert failure is None
        elif not (folder / "config.json").exists():
            assert "cannot be written to (No space left on device)" in str(failure) and failure.status == 2
        else:
            way = "(No space left on device); the last checkpoint is whole: "
            assert way in str(failure) and str(failure).endswith(f" --resume {folder}") and failure.status == 1
            assert not (folder / "result.json").exists() and steps_saved(script, folder) == len(done)
        ends_alike(script, go_on(script, folder))


NOT_FINITE = {
    "nan": lambda loss, logits: loss * math.nan,
    "inf": lambda loss, logits: loss * math.inf,
    "a gradient of nan": lambda loss, logits: loss + (logits.sum() * 0).sqrt(),
}


@all_scripts
@pytest.mark.parametrize("change", NOT_FINITE.values(), ids=NOT_FINITE)
def test_what_is_not_finite_ends_the_run_at_the_last_good_step(script, change, ends_alike, tmp_path, monkeypatch):
    # Part 2's first loss of a step is the generator's; two more follow.
    name, bad = ("softplus", 13) if script is PART2 else ("cross_entropy", 5)
    original, calls = getattr(torch.nn.functional, name), []

    def changed(logits, *args, **kwargs):
        calls.append(torch.is_grad_enabled())  # evaluation does not count
        loss = original(logits, *args, **kwargs)
        return change(loss, logits) if sum(calls) == bad else loss

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, name, changed)
        failure = refusal(script.start, tmp_path / "run", *EVERY)
    assert failure.status == 1 and "the last good checkpoint is kept" in str(failure)
    assert steps_saved(script, tmp_path / "run") == 4
    ends_alike(script, script.resume(tmp_path / "run"))


@pytest.mark.parametrize(("script", "name"), [(PART1, "network"), (PART2, "average")], ids=str)
def test_a_weight_that_is_not_finite_never_gets_into_a_checkpoint(script, name, tmp_path):
    """Wherever it comes from: here from nowhere."""

    def spoil(training: Training) -> None:
        weights = training._learners[name].state_dict().values()
        next(tensor for tensor in weights if tensor.is_floating_point()).view(-1)[-1] = math.nan

    with after_step(4, spoil):
        failure = refusal(script.start, tmp_path / "run", *EVERY)
    assert failure.status == 1 and "a weight is no longer finite" in str(failure)
    assert steps_saved(script, tmp_path / "run") == 3


def test_a_run_under_way_cannot_be_resumed_by_another(ends_alike, tmp_path):
    folder = tmp_path / "run"

    def another(_: Training) -> None:
        before = tiny_runs.files_of(folder)
        assert f"{folder}: another process is writing to this run" in tiny_runs.refused(PART1, "--resume", folder)
        assert tiny_runs.files_of(folder) == before

    with after_step(4, another):
        PART1.start(folder, *EVERY)
    ends_alike(PART1, folder)


@pytest.mark.parametrize("change", [shutil.rmtree, lambda folder: folder.rename(folder.with_name("moved"))])
def test_a_folder_that_is_gone_is_said_to_be(change, tmp_path):
    with after_step(2, lambda _: change(tmp_path / "run")):
        failure = refusal(PART1.start, tmp_path / "run", *EVERY)
    assert failure.status == 1 and str(failure).endswith("(No such file or directory); the run's folder is gone")


def test_what_cannot_be_written_is_named_not_its_temporary_file(tmp_path):
    with after_step(1, lambda _: (tmp_path / "run/checkpoint.pt").mkdir()):
        failure = refusal(PART1.start, tmp_path / "run", *EVERY)
    assert str(failure).startswith(f"{tmp_path / 'run/checkpoint.pt'}: cannot be written to (")
