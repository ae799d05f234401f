"""Stopped by whoever may stop a process, at whatever moment: what was done is saved, said, and gone on with."""

import functools
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest

from common import saving
from common.saving import Saver
from tests.faults import (
    PART1,
    PART2,
    SCRIPTS,
    Script,
    after_step,
    child,
    differences,
    end,
    ending,
    for_good,
    lighten,
    raise_signal,
    rows,
    slowly,
    soak,
    stop,
    survives,
    wait_until,
)

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="POSIX")
both = pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
EVERY = ("--checkpoint_interval", "0")
LONG = "12"  # epochs, so 36 steps


@pytest.fixture(autouse=True)
def light(monkeypatch):
    lighten(monkeypatch.setattr)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    @functools.cache
    def run(script: Script, *flags: str) -> dict:
        return ending(script, script.start(tmp_path_factory.mktemp("straight") / "run", *flags))

    return run


def start(script: Script, folder: Path, *flags, before=slowly):
    """A long run in a process of its own, so slow that one can see what it does."""
    return child(
        script, folder.with_suffix(".log"), *script.tiny.split(), script.grows, LONG, "--out_dir", folder, *flags,
        before=before,
    )  # fmt: skip


# In a process of its own


@both
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_its_status_and_the_way_to_go_on(script, number, status, straight, tmp_path):
    folder = tmp_path / "run"
    with survives("signal"):
        process = start(script, folder)
        wait_until(lambda: rows(folder) >= 2, process)
        os.kill(process.pid, number)
        assert end(process) == status
        *_, last = folder.with_suffix(".log").read_text().splitlines()
        assert last == f"stopped by {number.name}; go on with: --resume {folder}"
        assert not (folder / "result.json").exists()
        script.resume(folder)
        assert differences(straight(script, script.grows, LONG), ending(script, folder)) == []


def test_sigusr1_saves_and_training_goes_on(straight, tmp_path):
    folder = tmp_path / "run"
    with survives("signal"):
        process = start(PART1, folder)
        wait_until(lambda: rows(folder) >= 2, process)
        assert not (folder / "checkpoint.pt").exists()
        os.kill(process.pid, signal.SIGUSR1)
        wait_until((folder / "checkpoint.pt").exists, process)
        assert PART1.saved(folder)["progress"]["epoch"] < int(LONG)
        assert end(process) == 0
        assert differences(straight(PART1, "--max_epoch", LONG), ending(PART1, folder)) == []


def hang_in_step(number: int, sign: Path) -> None:
    for_good(after_step(number, lambda _: (sign.touch(), time.sleep(600))))


def test_a_second_signal_ends_a_step_that_never_ends(tmp_path):
    """After a second; till then a terminal and torchrun may both pass on one Ctrl-C."""
    folder, sign = tmp_path / "run", tmp_path / "hangs"
    with survives("signal"):
        process = start(PART1, folder, *EVERY, before=functools.partial(hang_in_step, 3, sign))
        wait_until(sign.exists, process)
        while process.is_alive():
            os.kill(process.pid, signal.SIGTERM)
            process.join(1.2)
        assert process.exitcode == 143
        assert PART1.saved(folder)["progress"]["batch"] == 2


def test_the_script_itself_ends_so_too(tmp_path):
    """Once as a user starts it, all imports included."""
    folder = tmp_path / "run"
    command = [sys.executable, PART1.module.__file__, *PART1.tiny.split(), "--max_epoch", "100000"]
    with (
        survives("signal"),
        subprocess.Popen([*command, "--out_dir", folder], stdout=-1, stderr=-1, text=True) as process,
    ):
        try:
            wait_until(lambda: rows(folder) >= 2 or process.poll() is not None)
            process.terminate()
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
        assert (process.returncode, err) == (143, "")
        assert out.endswith(f"\nstopped by SIGTERM; go on with: --resume {folder}\n")
        assert PART1.saved(folder)["progress"]["epoch"] > 2


# At any moment, in this process


@both
@pytest.mark.parametrize("step", [1, 3, 6])
def test_sigusr1_saves_after_the_step_it_comes_in(script, step, straight, tmp_path):
    with survives("signal"):
        with after_step(step, functools.partial(raise_signal, number=signal.SIGUSR1)):
            script.start(tmp_path / "run")
        saved = script.saved(tmp_path / "run", "checkpoint.previous.pt")  # the one before that at the end
        assert saved["progress"]["batch"] == (step if script is PART2 else 1 + (step - 1) % 3)
        assert differences(straight(script), ending(script, tmp_path / "run")) == []


def signal_in_call(monkeypatch, script: Script, name: str, nth: int) -> None:
    """SIGTERM comes while the script's function `name` is called for the `nth` time."""
    original, calls = getattr(script.module, name), itertools.count(1)

    def interrupted(*args):
        if next(calls) == nth:
            raise_signal()
        return original(*args)

    monkeypatch.setattr(script.module, name, interrupted)


@pytest.mark.parametrize(("script", "name", "nth", "batch"), [(PART1, "evaluate", 1, 1), (PART2, "draw_grid", 2, 4)])
def test_a_signal_between_two_steps_counts_at_the_next(script, name, nth, batch, straight, tmp_path, monkeypatch):
    """While an epoch is evaluated, or a grid is drawn."""
    with survives("signal"):
        with monkeypatch.context() as patch:
            signal_in_call(patch, script, name, nth)
            assert stop(script.start, 99, tmp_path / "run") == 143
        assert script.saved(tmp_path / "run")["progress"]["batch"] == batch
        script.resume(tmp_path / "run")
        assert differences(straight(script), ending(script, tmp_path / "run")) == []


def test_a_signal_after_the_last_step_lets_the_run_finish(straight, tmp_path, monkeypatch):
    """While the last epoch is evaluated: there is nothing left to go on with."""
    signal_in_call(monkeypatch, PART1, "evaluate", 2)
    with survives("signal"):
        PART1.start(tmp_path / "run")
        assert differences(straight(PART1), ending(PART1, tmp_path / "run")) == []


def test_a_second_signal_counts_only_after_a_second(tmp_path):
    """One Ctrl-C may come twice: from the terminal and from torchrun."""
    saver = Saver.__new__(Saver)
    saver._stop = 0
    with mock.patch.object(saving.time, "monotonic", side_effect=[100.0, 100.9, 101.1]):
        saver._on_stop(signal.SIGINT, None)
        saver._on_stop(signal.SIGTERM, None)
        assert saver._stop == signal.SIGINT
        with pytest.raises(SystemExit) as caught:
            saver._on_stop(signal.SIGTERM, None)
    assert caught.value.code == 143


def test_other_peoples_handlers_are_back_in_place_after_training(tmp_path):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    PART1.start(tmp_path / "finished")
    stop(PART1.start, 2, tmp_path / "stopped")
    assert [signal.getsignal(number) for number in numbers] == before


# SIGKILL


SEEDS = [0, *(pytest.param(seed, marks=soak) for seed in range(1, 25))]


@both
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_again_and_again_at_random_moments_it_ends_in_the_same_bits(script, seed, straight, tmp_path):
    folder, rng, kills = tmp_path / "run", random.Random(seed), 0
    while not (folder / "result.json").exists():
        if (folder / "config.json").exists():
            process = child(script, tmp_path / "log", "--resume", folder, before=slowly)
        else:
            process = start(script, folder, *EVERY)
        process.join(rng.uniform(0, 0.5 + 0.1 * kills))  # in the end it has time enough
        process.kill()
        kills += end(process) == -signal.SIGKILL
        assert process.exitcode in (0, -signal.SIGKILL), (tmp_path / "log").read_text()
    with survives("SIGKILL", kills):
        assert kills > 1
        assert differences(straight(script, script.grows, LONG), ending(script, folder)) == []
