"""Training: its means, when it is saved, how it is stopped, and what its surroundings may do to it."""

import importlib.util
import itertools
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from common import training
from common.cli import UserError
from common.files import lock_folder, read_json, read_metrics
from common.runs import Run
from common.training import RunningMeans, Training
from tests import tiny_runs
from tests.conftest import ROOT
from tests.faults import EVERY, wait_until
from tests.tiny_runs import PART1, PART2, PROVED, after_step, all_scripts, die, raise_signal, rows_in, stop

import pytest
import torch

pytestmark = [pytest.mark.usefixtures("light")]
pytestmark += [pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")]


# Running means


def numbers(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value, requires_grad=True) * 1 for value in values]


def test_means_by_hand_which_go_on_from_a_state():
    """On the meta device there is no number to ask for: no batch waits for the device."""
    RunningMeans("loss", device=torch.device("meta")).add(torch.empty((), device="meta"))
    means, other = (RunningMeans("loss", "accuracy", device=torch.device("cpu")) for _ in range(2))
    means.add(*numbers(1.0, 0.5), weight=3)
    other.load_state_dict(means.state_dict())
    for each in (means, other):
        each.add(*numbers(5.0, 0.0))
        assert each.take() == {"loss": 2.0, "accuracy": 0.375}  # (3 · 1 + 5) / 4, (3 · 0.5 + 0) / 4
    means.add(*numbers(7.0, 1.0))
    assert means.take() == {"loss": 7.0, "accuracy": 1.0} and not means.sums.requires_grad


@pytest.mark.parametrize("value", [math.nan, -math.inf])
@pytest.mark.parametrize("look", [RunningMeans.take, RunningMeans.state_dict])
def test_a_number_that_is_not_finite_is_named_with_a_remedy_before_it_is_logged_or_saved(value, look):
    means = RunningMeans("loss", "norm", device=torch.device("cpu"))
    for last in (2.0, value, 3.0):
        means.add(*numbers(1.0, last))
    with pytest.raises(UserError, match=rf"norm is {value}: .*a smaller --learning_rate may help") as caught:
        look(means)
    assert caught.value.status == 1


# When it is saved


@pytest.fixture
def clock(monkeypatch):
    """A clock on which each step takes ten seconds and nothing else does: clock.now."""
    clock, original = SimpleNamespace(now=0.0, monotonic=lambda: clock.now), Training.after_step

    def after_ten_seconds(self: Training) -> None:
        clock.now += 10
        original(self)

    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(Training, "after_step", after_ten_seconds)
    return clock


@pytest.fixture
def saves(monkeypatch):
    """The number of steps in each checkpoint that is saved."""
    saves, save = [], Run.save

    def noted(run: Run, content: dict) -> None:
        progress = content["progress"]
        saves.append(progress["batch"] + 3 * (progress.get("epoch", 1) - 1))
        save(run, content)

    monkeypatch.setattr(Run, "save", noted)
    return saves


SAVES = [(PART1, ["0"], [1, 2, 3, 4, 5, 6, 6]), (PROVED, [], [6, 12, 12])]  # the last one is that at the end
SAVES += [(script, ["20"], [2, 4, 6, 6]) for script in (PART1, PART2)]


@pytest.mark.parametrize(("script", "interval", "expected"), SAVES, ids=str)
def test_the_interval_counts_seconds(script, interval, expected, clock, saves, tmp_path):
    script.start(tmp_path / "run", *(f"--checkpoint_interval={seconds}" for seconds in interval))
    assert saves == expected


@all_scripts
def test_seconds_go_on_at_resume_and_neither_a_pause_nor_a_picture_counts(script, clock, tmp_path, monkeypatch):
    def seconds(folder) -> list[float]:
        return [*(row["seconds"] for row in read_metrics(folder)), read_json(folder / "result.json")["seconds"]]

    def draw_slowly(*_) -> None:
        clock.now += 1000

    if script is PART2:
        monkeypatch.setattr(PART2.module, "draw_grid", draw_slowly)
    straight = seconds(script.start(tmp_path / "straight"))
    assert straight[-1] == 10 * script.last_step and straight == sorted(straight)
    stop(script.start, 4, tmp_path / "run")
    clock.now += 10_000
    assert seconds(script.resume(tmp_path / "run")) == straight


# How it is stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_ends_the_run_with_its_status_and_the_way_to_go_on(number, saves, tmp_path, capsys):
    """A way that can be pasted into a shell. A signal that is ignored stays ignored, as nohup wants it."""
    folder, before = tmp_path / "a run", signal.signal(number, signal.SIG_IGN)
    try:
        with after_step(2, lambda _: signal.raise_signal(number)):
            PART1.start(tmp_path / "ignored")
        assert signal.getsignal(number) is signal.SIG_IGN and (tmp_path / "ignored/result.json").exists()
        saves.clear()
        signal.signal(number, signal.SIG_DFL)
        assert stop(PART1.start, 2, folder, number=number) == 128 + number
    finally:
        signal.signal(number, before)
    out, err = capsys.readouterr()
    assert re.search(rf"\nstopped by {number.name}; to continue: \S+ part1/train.py --resume '{folder}'\n$", out)
    assert err == f"{number.name}: stopping after this step\n"
    assert saves == [2] and not (folder / "result.json").exists()


# What is not training, which call of it is interrupted, and the batch of the checkpoint then.
BESIDES = [(PART1, "evaluate", 1, 1), (PART1, "accuracy_at_lengths", 1, 0), (PROVED, "accuracy_at_lengths", 1, 12)]
BESIDES += [(PART2, "draw_grid", 2, 4)]


@pytest.mark.parametrize(("script", "name", "nth", "saved"), BESIDES, ids=str)
def test_a_signal_ends_what_is_not_training_at_once_or_after_the_next_step(
    script, name, nth, saved, tmp_path, ends_alike
):
    """Validation, the test at the end, a grid that is drawn. What was trained is saved by then."""
    original, calls = getattr(script.module, name), itertools.count(1)

    def interrupted(*args):
        if next(calls) == nth:
            raise_signal()
        return original(*args)

    with mock.patch.object(script.module, name, interrupted), pytest.raises(SystemExit, match="143"):
        script.start(tmp_path / "run")
    assert not (tmp_path / "run/result.json").exists()
    assert script.saved(tmp_path / "run")["progress"]["batch"] == saved
    ends_alike(script, script.resume(tmp_path / "run"))


@all_scripts
@pytest.mark.parametrize("what_happens", [raise_signal, die])
def test_after_training_signals_are_handled_as_before_and_the_folder_is_free(what_happens, script, tmp_path):
    """Even if someone keeps the traceback, as IPython does, and with it the frames that hold the run."""
    before = [signal.getsignal(number) for number in training.STOP]
    with pytest.raises(BaseException) as kept, after_step(3, what_happens):
        script.start(tmp_path / "run", *EVERY)
    assert kept and [signal.getsignal(number) for number in training.STOP] == before
    script.resume(tmp_path / "run")
    lock_folder(tmp_path / "run")


# What is asked for, and the surroundings


@all_scripts
def test_threads_and_deterministic_are_set_and_kept_at_resume_and_afterwards_as_they_were(
    script, tmp_path, ends_alike, monkeypatch
):
    """Sums are added up in another order by another number of threads; on a CPU --deterministic changes no bit."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # to be put back
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    used, here = [], lambda: (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    for name, flags in [("run", ("--threads", "3")), ("same", ("--deterministic",))]:
        with after_step(1, lambda _: used.append(here())):
            stop(script.start, 4, tmp_path / name, *flags)
        with after_step(1, lambda _: used.append(here())):
            script.resume(tmp_path / name)
        assert here() == (1, False)
    assert used == 2 * [(3, False)] + 2 * [(1, True)] and os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    ends_alike(script, tmp_path / "same")


@pytest.mark.skipif(not importlib.util.find_spec("tensorboard"), reason="optional")
@pytest.mark.parametrize(("script", "step"), [(PART1, "epoch"), (PROVED, "batch"), (PART2, "batch")], ids=str)
def test_tensorboard_gets_every_number_of_every_row_once_and_changes_nothing(script, step, ends_alike, tmp_path):
    """Though the run dies after rows that it has to make again."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    stop(script.start, 1, tmp_path / "run", "--tensorboard")
    with pytest.raises(tiny_runs.Death), after_step(script.last_step - 2, die):
        script.resume(tmp_path / "run")
    ends_alike(script, script.resume(tmp_path / "run"))
    rows, board = read_metrics(tmp_path / "run"), EventAccumulator(str(tmp_path / "run")).Reload()
    assert set(board.Tags()["scalars"]) == set(rows[0])
    for name in rows[0]:
        shown = [(event.step, event.value) for event in board.Scalars(name)]
        assert shown == [(row[step], pytest.approx(row[name], rel=1e-6)) for row in rows]
    assert script is not PART2 or [event.step for event in board.Images("grid")] == [0, 4, 6]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")
def test_it_trains_in_a_thread_too_and_with_its_log_on_a_full_disk(tmp_path, ends_alike):
    thread = threading.Thread(target=PART1.start, args=(tmp_path / "thread",))
    thread.start()
    command = [sys.executable, PART1.module.__file__, *PART1.tiny.split(), "--threads=1", f"--out_dir={tmp_path}/full"]
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(command, stdout=full, stderr=full, check=False).returncode == 0
    thread.join()
    for folder in (tmp_path / "thread", tmp_path / "full"):
        ends_alike(PART1, folder)


SURROUNDINGS = {"MPLBACKEND": "module://no_such_notebook.backend_inline"}
if f"{ROOT}{tempfile.gettempdir()}".isascii():  # else torch itself cannot be imported so, or the folder not be printed
    SURROUNDINGS |= {"PYTHONIOENCODING": "ascii", "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_a_script_as_a_user_starts_it_in_a_foreign_environment_ends_so_too(tmp_path):
    folder = tmp_path / "-a run"
    command = [sys.executable, PART1.module.__file__, *PART1.tiny.split(), "--max_epoch=100000", "--out_dir=-a run"]
    settings = {"stdout": -1, "stderr": -1, "text": True, "cwd": tmp_path, "env": {**os.environ, **SURROUNDINGS}}
    with subprocess.Popen(command, **settings) as process:
        try:
            wait_until(lambda: rows_in(folder) >= 2 or process.poll() is not None)
            process.send_signal(signal.SIGTERM)  # SIGINT may be ignored: a shell does that in the background
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert (process.returncode, err) in [(143, "SIGTERM: stopping after this step\n"), (143, "")]
    assert PART1.saved(folder)["progress"]["epoch"] > 2
    last, _, pasted = out.rpartition("; to continue: ")
    assert last.endswith("\nstopped by SIGTERM")
    with subprocess.Popen(f"{pasted.strip()} --max_epoch 1", shell=True, **settings | {"env": None}) as process:
        assert "max_epoch 100000 → 1" in process.communicate(timeout=120)[1]
