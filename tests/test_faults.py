"""Death at any moment of a save, a full disk, numbers that blow up: a good checkpoint is there and training goes on."""

import functools
import importlib.util
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from common import checkpoint
from common.runs import Run
from common.saving import Saver
from tests.faults import (
    PART1,
    PART2,
    SCRIPTS,
    Death,
    Script,
    after_step,
    child,
    die,
    differences,
    end,
    ending,
    full,
    leftovers,
    lighten,
    refusal,
    requests_within,
    rows,
    soak,
    stop,
    survives,
    within_save,
)

both = pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
EVERY = ("--checkpoint_interval", "0")
SAVES = PART1.last_step + 1  # with EVERY: one a batch, one at the end


@pytest.fixture(autouse=True)
def light(monkeypatch):
    lighten(monkeypatch.setattr)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """What a run to which nothing happens ends with."""

    @functools.cache
    def run(script: Script) -> dict:
        return ending(script, script.start(tmp_path_factory.mktemp("straight") / "run"))

    return run


# Death

ALWAYS = [(PART1, 1), (PART1, 2), (PART1, SAVES), (PART2, 3)]
MOMENTS = [(script, save) for script in SCRIPTS.values() for save in range(1, SAVES + 1)]
MOMENTS = [pytest.param(*moment, marks=[] if moment in ALWAYS else soak) for moment in MOMENTS]
at_saves = pytest.mark.parametrize(("script", "save"), MOMENTS, ids=str)


def requests_of(script: Script, save: int, folder: Path) -> int:
    """How many requests the `save`-th save makes of the operating system."""
    with within_save(save) as requests:
        script.start(folder, *EVERY)
    assert {"write", "fsync", "mkstemp", "file.write", "replace"} <= set(requests)
    return len(requests)


def test_a_save_syncs_data_before_names_and_the_folder_last(tmp_path):
    """In this order alone it outlives a power cut, which no test here can cause."""
    with within_save(2) as requests:
        PART1.start(tmp_path / "run", *EVERY)
    metrics = ["open", "write", "fsync"]
    previous = ["unlink", "hardlink_to", "replace"]
    new = ["mkstemp", "open", "fdopen", "file.write", "fsync", "chmod", "replace", "open", "fsync"]
    assert requests == metrics + previous + new


@at_saves
def test_after_a_death_before_any_request_of_a_save_a_good_checkpoint_is_there(script, save, straight, tmp_path):
    for number in range(1, requests_of(script, save, tmp_path / "counted") + 1):
        folder = tmp_path / f"died-{number}"
        with survives("death in a save"):
            with pytest.raises(Death), within_save(save, number, fail=die):
                script.start(folder, *EVERY)
            assert not (folder / "result.json").exists()
            assert save == 1 or script.saved(folder)["progress"]
            script.resume(folder)
            assert differences(straight(script), ending(script, folder)) == []


@both
def test_what_a_dead_process_left_half_written_is_removed_at_resume(script, tmp_path):
    with pytest.raises(Death), within_save(2, "file.write", fail=die):
        script.start(tmp_path / "run", *EVERY)
    assert leftovers(tmp_path / "run")
    script.resume(tmp_path / "run")
    assert leftovers(tmp_path / "run") == []


def stopped(folder: Path) -> tuple[Path, ...]:
    stop(PART1.start, 5, folder, *EVERY)
    return (folder,)


def stopped_and_resumed_from_the_previous(folder: Path) -> tuple[Path, ...]:
    stop(PART1.start, 4, folder, *EVERY)  # an epoch, and so a line of metrics, after the previous checkpoint
    return (folder / "checkpoint.previous.pt",)


def finished_and_resumed_with_more_epochs(folder: Path) -> tuple[Path | str, ...]:
    PART1.start(folder, *EVERY, "--max_epoch", "1")
    return folder, "--max_epoch", "2"


BEFORE = [stopped, stopped_and_resumed_from_the_previous, finished_and_resumed_with_more_epochs]


@pytest.mark.parametrize("before", BEFORE)
def test_after_a_death_while_a_run_is_taken_over_it_can_be_taken_over_again(before, straight, tmp_path):
    flags = before(tmp_path / "counted")
    with requests_within(Run, "_reopen") as requests:
        PART1.resume(*flags)
    for number in range(1, len(requests) + 1):
        folder = tmp_path / f"died-{number}"
        flags = before(folder)
        with survives("death at resume"):
            with pytest.raises(Death), requests_within(Run, "_reopen", 1, number, fail=die):
                PART1.resume(*flags)
            PART1.resume(folder, *flags[1:])
            assert differences(straight(PART1), ending(PART1, folder)) == [], requests[number - 1]


def test_after_a_death_at_the_start_the_same_command_starts_again(straight, tmp_path):
    """If the run has not come as far as its config.json; else it is there to be resumed."""
    with requests_within(Run, "create") as requests:
        PART1.start(tmp_path / "counted")
    for number in range(1, len(requests) + 1):
        folder = tmp_path / f"died-{number}"
        with survives("death at the start"):
            with pytest.raises(Death), requests_within(Run, "create", 1, number, fail=die):
                PART1.start(folder)
            if (folder / "config.json").exists():
                PART1.resume(folder)
            else:
                PART1.start(folder)
            assert differences(straight(PART1), ending(PART1, folder)) == []


@both
def test_without_hard_links_the_previous_checkpoint_is_kept_too(script, straight, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    stop(script.start, 4, tmp_path / "run", *EVERY)
    assert script.saved(tmp_path / "run", "checkpoint.previous.pt")["progress"]["batch"] == 3
    script.resume(tmp_path / "run/checkpoint.previous.pt")
    assert differences(straight(script), ending(script, tmp_path / "run")) == []


# A full disk


@at_saves
def test_a_full_disk_costs_one_checkpoint_not_the_run(script, save, straight, tmp_path, capsys):
    for number in range(1, requests_of(script, save, tmp_path / "counted") + 1):
        folder = tmp_path / f"full-{number}"
        capsys.readouterr()
        with survives("full disk"):
            with within_save(save, number) as requests:
                failure = refusal(script.start, folder, *EVERY)
            if requests[number - 1] != "hardlink_to":  # then the file is copied instead
                (line,) = capsys.readouterr().err.splitlines()
                assert line.startswith(f"{folder}/checkpoint.pt: cannot be saved (No space left on device), ")
                assert re.search(r"\b[\d.]+ MB are needed", line)
                assert (failure is None) == (save < SAVES)
            if failure:
                assert failure.status == 1 and f"--resume {folder}" in str(failure)
                assert script.saved(folder) and not (folder / "result.json").exists()
                script.resume(folder)
            assert leftovers(folder) == [] and differences(straight(script), ending(script, folder)) == []


def test_the_space_that_is_said_to_be_needed_is_the_checkpoints(tmp_path, capsys, monkeypatch):
    monkeypatch.undo()
    lighten(monkeypatch.setattr, narrow=False)
    with within_save(2, "file.write"):
        stop(PART2.start, 2, tmp_path / "run", "--checkpoint_interval", "0")
    needed = float(re.search(r"([\d.]+) MB are needed", capsys.readouterr().err)[1])
    assert needed == pytest.approx((tmp_path / "run/checkpoint.pt").stat().st_size / 1e6, rel=0.01)


@both
def test_a_disk_that_stays_full_leaves_the_last_checkpoint_and_exit_status_1(script, straight, tmp_path):
    with survives("full disk"), pytest.MonkeyPatch.context() as patch:
        lighten(patch.setattr)
        with after_step(3, lambda _: patch.setattr(os, "fsync", full)):
            failure = refusal(script.start, tmp_path / "run", *EVERY)
        patch.undo()
        assert failure.status == 1 and not (tmp_path / "run/result.json").exists()
        lighten(patch.setattr)
        assert script.saved(tmp_path / "run")["progress"]["batch"] == 2
        script.resume(tmp_path / "run")
        assert differences(straight(script), ending(script, tmp_path / "run")) == []


def test_stopped_on_a_full_disk_it_says_so_and_keeps_the_last_checkpoint(straight, tmp_path, monkeypatch, capsys):
    with survives("full disk"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checkpoint, "write_whole", full)
            assert stop(PART1.start, 4, tmp_path / "run") == 143
        assert "stopped by SIGTERM; the last checkpoint stays" in capsys.readouterr().out
        assert not (tmp_path / "run/checkpoint.pt").exists()
        PART1.resume(tmp_path / "run")
        assert differences(straight(PART1), ending(PART1, tmp_path / "run")) == []


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("request_", ["open", "write", "fsync"])
def test_a_line_of_metrics_that_finds_the_disk_full_is_written_later(request_, nth, straight, tmp_path, capsys):
    with survives("full disk"), requests_within(Run, "log", nth, request_):
        PART1.start(tmp_path / "run")
        assert "metrics.jsonl: cannot be written to (No space left on device)" in capsys.readouterr().err
        assert differences(straight(PART1), ending(PART1, tmp_path / "run")) == []


def test_no_checkpoint_counts_on_a_line_of_metrics_that_is_not_on_the_disk(straight, tmp_path):
    """Metrics cannot be written from epoch 1 on: neither can checkpoints, though for them there would be room."""
    with survives("full disk"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Run, "flush", full)
            assert stop(PART1.start, 5, tmp_path / "run", *EVERY) == 143
        assert rows(tmp_path / "run") == 0 and not (tmp_path / "run/checkpoint.pt").exists()
        PART1.resume(tmp_path / "run")
        assert differences(straight(PART1), ending(PART1, tmp_path / "run")) == []


def test_a_picture_that_finds_the_disk_full_is_left_out(straight, tmp_path, capsys):
    with survives("full disk"), requests_within(Run, "show", 2, "file.write"):
        PART2.start(tmp_path / "run")
        assert "grid 4 cannot be drawn (No space left on device)" in capsys.readouterr().err
        assert differences(straight(PART2), ending(PART2, tmp_path / "run")) == []
        assert len(list((tmp_path / "run/grids").iterdir())) == 2


@both
def test_a_result_that_finds_the_disk_full_is_one_line_and_can_be_had_later(script, straight, tmp_path, answer):
    with survives("full disk"):
        with requests_within(Run, "finish", 1, "file.write"):
            status, _, err = answer(script.module, *script.tiny.split(), "--out_dir", tmp_path / "run")
        assert (status, err.count("\n")) == (1, 1) and "No space left on device" in err
        assert not (tmp_path / "run/result.json").exists()
        script.resume(tmp_path / "run")
        assert differences(straight(script), ending(script, tmp_path / "run")) == []


@pytest.mark.parametrize("request_", ["mkstemp", "file.write", "fsync", "replace"])
def test_a_disk_that_is_full_at_the_start_is_one_line_and_nothing_is_left(request_, tmp_path, answer):
    with survives("full disk"), requests_within(Run, "create", 1, request_):
        status, _, err = answer(PART1.module, *PART1.tiny.split(), "--out_dir", tmp_path / "run")
        assert (status, err.count("\n")) == (2, 1) and "cannot be written to (No space left on device)" in err
        assert list(tmp_path.iterdir()) == []


def limit_file_size(size: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.skipif(not importlib.util.find_spec("resource"), reason="POSIX")
def test_a_real_limit_on_the_size_of_files_leaves_the_old_checkpoint(straight, tmp_path):
    with survives("full disk"):
        stop(PART1.start, 3, tmp_path / "run")
        size = (tmp_path / "run/checkpoint.pt").stat().st_size
        process = child(
            PART1, tmp_path / "log", "--resume", tmp_path / "run", before=functools.partial(limit_file_size, size - 1)
        )
        assert end(process) == 1
        *_, error = (tmp_path / "log").read_text().splitlines()
        assert error.startswith(
            f"train.py: error: {tmp_path}/run/checkpoint.pt: the last checkpoint could not be saved"
        )
        assert "(File too large)" in (tmp_path / "log").read_text()
        assert PART1.saved(tmp_path / "run")["progress"]["batch"] == 3 and leftovers(tmp_path / "run") == []
        PART1.resume(tmp_path / "run")
        assert differences(straight(PART1), ending(PART1, tmp_path / "run")) == []


# Numbers that are not finite


def with_loss(monkeypatch, script: Script, batch: int, change) -> None:
    """The loss of one batch is changed by `change(loss, logits)`."""
    calls = 0
    where, name = (script.module, "generator_loss") if script is PART2 else (script.module.F, "cross_entropy")
    original = getattr(where, name)

    def changed(logits, *args, **kwargs):
        nonlocal calls
        loss = original(logits, *args, **kwargs)
        calls += torch.is_grad_enabled()  # evaluation does not count
        return change(loss, logits) if torch.is_grad_enabled() and calls == batch else loss

    monkeypatch.setattr(where, name, changed)


CHANGES = {
    "nan": lambda loss, logits: loss * math.nan,
    "inf": lambda loss, logits: loss * math.inf,
    "-inf": lambda loss, logits: loss - math.inf,
    "a gradient of nan": lambda loss, logits: loss + (logits.sum() * 0).sqrt(),
    "a gradient of inf": lambda loss, logits: loss + ((logits - logits.detach()).abs() + 1e-45).sqrt().sum() * 1e30,
}


@both
@pytest.mark.parametrize("change", CHANGES)
def test_a_loss_or_gradient_that_is_not_finite_ends_the_run_at_the_last_good_step(
    script, change, straight, tmp_path, monkeypatch
):
    with survives("not finite"):
        with monkeypatch.context() as patch:
            with_loss(patch, script, 5, CHANGES[change])
            failure = refusal(script.start, tmp_path / "run", *EVERY)
        where = {PART1: "epoch 2, batch 2", PART2: "batch 5"}[script]
        assert failure.status == 1 and f"at {where} is not finite" in str(failure)
        assert not (tmp_path / "run/result.json").exists()
        script.resume(tmp_path / "run")
        assert differences(straight(script), ending(script, tmp_path / "run")) == []


LEARNERS = {PART1: ["network", "optimizer"], PART2: ["generator", "discriminator", "generator_optimizer", "average"]}


@pytest.mark.parametrize(("script", "name"), [(script, name) for script in LEARNERS for name in LEARNERS[script]])
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_a_weight_that_is_not_finite_never_gets_into_a_checkpoint(script, name, value, straight, tmp_path):
    def spoil(saver: Saver) -> None:
        state = saver._learners[name].state_dict()
        tensors = [t for part in state["state"].values() for t in part.values()] if "state" in state else state.values()
        next(t for t in tensors if t.is_floating_point() and t.numel() > 1).view(-1)[-1] = value

    with survives("not finite"):
        with after_step(4, spoil):
            failure = refusal(script.start, tmp_path / "run", *EVERY)
        assert failure.status == 1 and "a weight is no longer finite" in str(failure)
        script.resume(tmp_path / "run")
        assert differences(straight(script), ending(script, tmp_path / "run")) == []


# Memory, packages, company


def no_memory(kind: str):
    if kind == "numpy":
        return np.empty(2**62, np.uint8)
    if kind == "torch":
        return torch.empty(2**60)
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has …")


@both
@pytest.mark.parametrize("kind", ["numpy", "torch", "cuda"])
def test_memory_that_does_not_suffice_for_the_data_is_one_line_and_nothing_is_left(
    script, kind, tmp_path, answer, monkeypatch
):
    name = {PART1: "PalindromeDataset", PART2: "load_mnist"}[script]
    monkeypatch.setattr(script.module, name, lambda *args: no_memory(kind))
    with survives("no memory"):
        status, _, err = answer(script.module, "--out_dir", tmp_path / "run")
        assert (status, err.count("\n")) == (1, 1) and "not enough memory" in err
        assert list(tmp_path.iterdir()) == []


@both
def test_memory_that_does_not_suffice_on_the_way_costs_nothing_that_was_saved(script, straight, tmp_path, answer):
    with survives("no memory"):
        with after_step(4, lambda saver: no_memory("cuda")):
            status, _, err = answer(script.module, *script.tiny.split(), *EVERY, "--out_dir", tmp_path / "run")
        assert (status, err.count("\n")) == (1, 1) and "not enough memory" in err
        script.resume(tmp_path / "run")
        assert differences(straight(script), ending(script, tmp_path / "run")) == []


@both
def test_tensorboard_without_its_package_is_one_line_and_nothing_is_left(script, tmp_path, answer, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    status, out, err = answer(script.module, "--tensorboard", "--out_dir", tmp_path / "run")
    assert (status, out, err.count("\n")) == (2, "", 1) and "--tensorboard: the package is missing" in err
    assert list(tmp_path.iterdir()) == []


@both
def test_a_second_process_on_a_run_is_refused_in_one_line(script, straight, tmp_path):
    def second(_: Saver) -> None:
        before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
        assert end(child(script, tmp_path / "log", "--resume", tmp_path / "run")) == 2
        assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}

    with survives("second process"):
        with after_step(4, second):
            script.start(tmp_path / "run", *EVERY)
        (line,) = (tmp_path / "log").read_text().splitlines()
        assert f"{tmp_path / 'run'}: another process is writing to this run" in line
        assert differences(straight(script), ending(script, tmp_path / "run")) == []
