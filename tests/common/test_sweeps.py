"""Many runs: which are started and how, what is left when one fails or the sweep is stopped."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from statistics import stdev
from types import SimpleNamespace

import filelock
import pytest
import torch

from common import sweeps
from common.cli import UserError
from common.files import write_json
from common.sweeps import PlannedRun, finished_runs, interval, run_all
from tests.conftest import ROOT
from tests.faults import wait_until


def leave_run(folder: Path, finished: bool = True, **arguments) -> None:
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {"arguments": arguments})
    if finished:
        write_json(folder / "result.json", {})


@pytest.fixture
def started(monkeypatch):
    """The commands, and the number of threads, of all runs, none of which is really started."""
    starts, done = [], SimpleNamespace(wait=lambda: 0)

    def start(command, env, **_):
        starts.append((list(map(str, command)), env["OMP_NUM_THREADS"]))
        return done

    monkeypatch.setattr(sweeps.subprocess, "Popen", start)
    return starts


@pytest.mark.parametrize(("own", "threads"), [("3", "3"), (None, "4")])
def test_finished_runs_are_left_unfinished_ones_resumed_new_ones_started(own, threads, started, tmp_path, monkeypatch):
    """Jobs share the processors, unless the user has said otherwise."""
    monkeypatch.setattr(sweeps.torch, "get_num_threads", lambda: 9)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if own:
        monkeypatch.setenv("OMP_NUM_THREADS", own)
    leave_run(tmp_path / "runs" / "a", max_epoch=7)
    leave_run(tmp_path / "runs" / "b", finished=False, max_epoch=7)
    runs = [PlannedRun(name, "part1/train.py", ["--seed", "3"]) for name in "abcc"]
    run_all(tmp_path, runs, jobs=2, alike={"max_epoch": 7})
    command, folder = [sys.executable, str(ROOT / "part1/train.py")], tmp_path / "runs"
    resumed = [*command, "--resume", str(folder / "b")], threads
    assert sorted(started) == sorted([resumed, ([*command, "--seed", "3", "--out_dir", str(folder / "c")], threads)])


def test_what_cannot_be_one_sweep_is_refused_and_nothing_started(started, tmp_path):
    leave_run(tmp_path / "runs" / "a", max_epoch=100)
    (tmp_path / "file").touch()
    runs = [PlannedRun("b", "part1/train.py", [])]
    with pytest.raises(UserError, match=r"--max_epoch 7: .*a had 100; name another --out_dir"):
        run_all(tmp_path, runs, 1, alike={"max_epoch": 7})
    with filelock.FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="another sweep is at work there"):
        run_all(tmp_path, runs, 1, alike={})
    with pytest.raises(UserError, match=r"--out_dir .*file: cannot be written to"):
        run_all(tmp_path / "file", runs, 1, alike={})
    write_json(tmp_path / "runs" / "a" / "config.json", {})
    for reading in (lambda: run_all(tmp_path, runs, 1, alike={}), lambda: finished_runs(tmp_path, ["a"])):
        with pytest.raises(UserError, match=r"config\.json: is damaged"):
            reading()
    with pytest.raises(UserError, match=r"already holds a run; name a new folder"):
        run_all(tmp_path / "runs" / "a", runs, 1, alike={})
    assert started == []


# Runs that are really started: `patient` waits until it is stopped, and saves; `failing` waits for it, and fails.

PATIENT = """import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[-1])
signal.signal(signal.SIGTERM, lambda *_: (folder.joinpath("saved").touch(), sys.exit(143)))
folder.mkdir()
time.sleep(60)"""
FAILING = """import pathlib, sys, time
while not pathlib.Path(sys.argv[-1]).with_name("patient").exists():
    time.sleep(0.01)
sys.exit("no luck")"""


@pytest.fixture
def planned(tmp_path) -> list[PlannedRun]:
    (tmp_path / "patient.py").write_text(PATIENT)
    (tmp_path / "failing.py").write_text(FAILING)
    scripts = {"patient": "patient", "failing": "failing", "third": "patient"}
    return [PlannedRun(name, str(tmp_path / f"{script}.py"), []) for name, script in scripts.items()]


def test_a_failing_run_is_named_with_its_log_and_stops_those_under_way(planned, tmp_path):
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(UserError, match=r"failing ended with exit status 1; see .*failing\.log") as caught:
        run_all(tmp_path, planned, jobs=2, alike={})
    assert caught.value.status == 1 and (tmp_path / "runs/failing.log").read_text() == "no luck\n"
    assert (tmp_path / "runs/patient/saved").exists()
    assert not (tmp_path / "runs/third").exists() or (tmp_path / "runs/third/saved").exists()
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_the_run_under_way_which_saves_and_begins_no_other(number, status, planned, tmp_path):
    imports = "from pathlib import Path; from common import cli; from common.sweeps import PlannedRun, run_all"
    sweep = f"cli.call(lambda: run_all(Path({str(tmp_path)!r}), {[planned[0], planned[2]]!r}, 1, {{}}))"
    command = [sys.executable, "-c", f"{imports}; {sweep}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=-1, stderr=-1, text=True) as process:
        try:
            wait_until(lambda: (tmp_path / "runs/patient").exists() or process.poll() is not None)
            process.send_signal(number)
            assert process.communicate(timeout=60) == ("", "")
        finally:
            process.kill()
    assert process.returncode == status
    assert (tmp_path / "runs/patient/saved").exists() and not (tmp_path / "runs/third.log").exists()


def test_finished_runs_are_listed_in_the_order_of_the_names_then_by_length_and_seed(tmp_path):
    for name, length, seed in [("rnn", 5, 0), ("lstm", 10, 0), ("lstm", 5, 1), ("lstm", 5, 0), ("other", 5, 0)]:
        leave_run(tmp_path / "runs" / f"{name}-T{length}-seed{seed}", input_length=length, seed=seed)
    leave_run(tmp_path / "runs" / "lstm-T5-seed9", finished=False, input_length=5, seed=9)
    names = [run.folder.name for run in finished_runs(tmp_path, ["rnn", "lstm"])]
    assert names == ["rnn-T5-seed0", "lstm-T5-seed0", "lstm-T5-seed1", "lstm-T10-seed0"]


def test_the_students_t_of_each_number_of_runs_leaves_a_fortieth_above():
    """The density of Student's t, integrated by Simpson's rule from 0 to t."""
    for runs, t in sweeps.T_975.items():
        v = runs - 1
        x = torch.linspace(0, t, 2001, dtype=torch.float64)
        scale = math.gamma((v + 1) / 2) / math.gamma(v / 2) / math.sqrt(v * math.pi)
        density = scale * (1 + x**2 / v) ** (-(v + 1) / 2)
        whole = (density[0] + density[-1] + 4 * density[1::2].sum() + 2 * density[2:-1:2].sum()) * t / 6000
        assert 0.5 + whole.item() == pytest.approx(0.975, abs=2e-5)


def test_the_interval_by_hand():
    """1, 2, 6: mean 3, s = √7, t = 4.303 with 2 degrees of freedom. Of two, an interval would say nothing."""
    assert interval([1, 2, 6]) == pytest.approx(4.303 * math.sqrt(7 / 3))
    assert interval([4, 4, 4, 4, 4]) == 0 and interval([1, 2]) == math.inf
    assert interval(list(range(20))) == pytest.approx(2.262 * stdev(range(20)) / math.sqrt(20))
