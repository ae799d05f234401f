"""When a run is saved: at intervals of seconds, when a signal asks for it, at the end. And how it is stopped."""

import itertools
import random
import signal
import subprocess
import sys
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch

from common import checkpoint, distributed, saving
from common.console import quoted
from common.files import read_json
from common.runs import Run, read_metrics
from common.saving import Saver
from tests.faults import EVERY, child, end, slowly, soak, wait_until
from tests.tiny_runs import CURRICULUM, PART1, PART2, SCRIPTS, after_step, all_scripts, die, raise_signal, rows_in, stop

pytestmark = [pytest.mark.usefixtures("light")]
pytestmark += [pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")]


@pytest.fixture
def clock(monkeypatch):
    """A clock on which each step takes ten seconds and nothing else does: clock.now, clock.steps."""
    clock, original = SimpleNamespace(now=1000.0, steps=0), Saver.after_step

    def after_ten_seconds(saver: Saver) -> None:
        clock.now, clock.steps = clock.now + 10, clock.steps + 1
        original(saver)

    monkeypatch.setattr(saving, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(Saver, "after_step", after_ten_seconds)
    return clock


SAVES = [(PART1, ["0"], [1, 2, 3, 4, 5, 6, 6]), (CURRICULUM, [], [6, 12, 18, 20])]  # the last one is that at the end
SAVES += [(script, ["20"], [2, 4, 6, 6]) for script in (PART1, PART2)]


@pytest.mark.parametrize(("script", "interval", "expected"), SAVES, ids=str)
def test_the_interval_counts_seconds(script, interval, expected, clock, tmp_path, monkeypatch):
    saves, save = [], checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda *args, **kept: (saves.append(clock.steps), save(*args, **kept)))
    script.start(tmp_path / "run", *(f"--checkpoint_interval={seconds}" for seconds in interval))
    assert saves == expected


@all_scripts
def test_seconds_go_on_at_resume_and_a_pause_does_not_count(script, clock, tmp_path):
    def seconds(folder) -> list[float]:
        return [*(row["seconds"] for row in read_metrics(folder)), read_json(folder / "result.json")["seconds"]]

    straight = seconds(script.start(tmp_path / "straight"))
    assert straight[-1] == 10 * script.last_step and straight == sorted(straight)
    stop(script.start, 4, tmp_path / "run")
    clock.now += 10_000
    assert seconds(script.resume(tmp_path / "run")) == straight


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_ends_the_run_with_its_status_and_the_way_to_go_on(number, tmp_path, capsys):
    """A way that can be pasted into a shell."""
    folder = tmp_path / "a run"
    assert stop(PART1.start, 2, folder, number=number) == 128 + number
    assert capsys.readouterr().out.endswith(f"\nstopped by {number.name}; to continue: --resume '{folder}'\n")
    assert PART1.saved(folder)["progress"]["batch"] == 2
    assert not (folder / "checkpoint.previous.pt").exists()  # saved once, when the step was done
    assert not (folder / "result.json").exists()


def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    """nohup ignores SIGHUP; the run must outlive its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with after_step(2, lambda _: signal.raise_signal(signal.SIGHUP)):
            PART1.start(tmp_path / "run")
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN and (tmp_path / "run/result.json").exists()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("nth", [1, 2])
def test_a_signal_between_two_steps_ends_the_run_at_the_next_or_after_the_last(nth, ends_alike, tmp_path, monkeypatch):
    """While an epoch is evaluated, or the last epoch: then only the test is left to do."""
    original, calls = PART1.module.evaluate, itertools.count(1)

    def interrupted(*args):
        if next(calls) == nth:
            raise_signal()
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(PART1.module, "evaluate", interrupted)
        assert stop(PART1.start, 99, tmp_path / "run") == 143
    assert not (tmp_path / "run/result.json").exists()
    ends_alike(PART1, PART1.resume(tmp_path / "run"))


def test_of_several_processes_each_ends_at_once_when_training_is_over(tmp_path, monkeypatch):
    """Before, they stop together, after the next step; there is none any more."""

    def interrupted(*_):
        patch.setattr(distributed, "PROCESSES", 2)
        raise_signal()

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr(PART1.module, "accuracy_at_lengths", interrupted)
        PART1.start(tmp_path / "run")
    assert caught.value.code == 143


OFF_THE_CLOCK = [(PART1, "accuracy_at_lengths", ()), (CURRICULUM, "accuracy_at_lengths", ())]
OFF_THE_CLOCK += [(PART2, "sample", ("--eval_interval", "1")), (PART2, "draw_grid", ())]


@pytest.mark.parametrize(("script", "name", "flags"), OFF_THE_CLOCK, ids=str)
def test_a_signal_ends_an_evaluation_at_once(script, name, flags, tmp_path, ends_alike, monkeypatch, capsys):
    """The test at the end, a measurement on the way, a grid that is drawn. What was trained is saved by then."""
    judge = Mock(return_value={"frechet": 1.0}, real=torch.zeros(3, 1, 28, 28))  # the real one takes minutes
    monkeypatch.setattr(PART2.module, "Judge", lambda *_: judge)
    monkeypatch.setattr(PART2.module, "measure_floor", lambda *_: {"frechet": 1.0})
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr(script.module, name, lambda *_: raise_signal())
        script.start(tmp_path / "run", *flags)
    assert caught.value.code == 143 and "stopped by SIGTERM; to continue: --resume" in capsys.readouterr().out
    ends_alike(script, script.resume(tmp_path / "run"), *flags)


@all_scripts
@pytest.mark.parametrize("how", ["finished", "stopped", "failed"])
def test_after_training_signals_are_handled_as_before_and_the_folder_is_free(how, script, ends_alike, tmp_path):
    """Even if someone keeps the traceback, as IPython does, and with it the frames that hold the run."""
    before = [signal.getsignal(number) for number in saving.STOP]
    kept, what_happens = None, {"finished": lambda _: None, "stopped": raise_signal, "failed": die}[how]
    try:
        with after_step(3, what_happens):
            script.start(tmp_path / "run", *EVERY)
    except BaseException as error:
        kept = error
    assert [signal.getsignal(number) for number in saving.STOP] == before
    if how == "finished":
        Run(tmp_path / "run").lock()
    else:
        script.resume(tmp_path / "run")
    assert (kept is None) == (how == "finished")
    ends_alike(script, tmp_path / "run")


def test_a_script_as_a_user_starts_it_ends_so_too(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, PART1.module.__file__, *PART1.tiny.split(), "--max_epoch", "100000"]
    with subprocess.Popen([*command, "--out_dir", folder], stdout=-1, stderr=-1, text=True) as process:
        try:
            wait_until(lambda: rows_in(folder) >= 2 or process.poll() is not None)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert (process.returncode, err) == (130, "")
    assert out.endswith(f"\nstopped by SIGINT; to continue: --resume {quoted(folder)}\n")
    assert PART1.saved(folder)["progress"]["epoch"] > 2


KILLS = [(PART1, 0), *(pytest.param(script, seed, marks=soak) for script in SCRIPTS.values() for seed in range(1, 9))]


@pytest.mark.parametrize(("script", "seed"), KILLS, ids=str)
def test_killed_again_and_again_at_random_moments_it_ends_in_the_same_bits(script, seed, ends_alike, tmp_path):
    folder, rng = tmp_path / "run", random.Random(seed)
    more = (script.epochs, "12") if script.epochs else ("--data_size", "2560")
    for kill in range(4):
        flags = ["--resume", folder] if kill else [*script.tiny.split(), *more, *EVERY, "--out_dir", folder]
        before = rows_in(folder)
        process = child(script, tmp_path / "log", *flags, during=slowly)
        wait_until(lambda before=before: rows_in(folder) > before or (folder / "result.json").exists(), process)
        process.join(rng.uniform(0, 0.05))
        process.kill()
        assert end(process) in (0, -signal.SIGKILL), (tmp_path / "log").read_text()
        if (folder / "result.json").exists():
            break
    else:
        script.resume(folder)
    ends_alike(script, folder, *more)
