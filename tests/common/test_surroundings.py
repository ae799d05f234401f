"""A run in its surroundings: other runs, other programs, notebooks, clusters, and printers that fail."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path, PurePath
from types import SimpleNamespace

import pytest
import torch

from common import console, distributed, files, saving
from common.cli import UserError, call
from common.console import print_line, quoted
from tests.conftest import ROOT
from tests.faults import EVERY, full
from tests.tiny_runs import PART1, after_step, all_scripts, files_of, stop

pytestmark = pytest.mark.usefixtures("light")


@all_scripts
def test_a_run_whose_folder_another_run_has_taken_ends_and_leaves_it_alone(script, tmp_path):
    folder, after = tmp_path / "run", {}

    def replace(_saver) -> None:
        shutil.rmtree(folder)
        script.start(folder, "--seed", "2")
        after.update(files_of(folder))

    with after_step(3, replace), pytest.raises(UserError, match="another run has taken this folder") as caught:
        script.start(folder, *EVERY)
    assert caught.value.status == 1 and files_of(folder) == after


def test_a_run_whose_folder_is_gone_ends(tmp_path):
    folder = tmp_path / "run"
    with after_step(3, lambda _saver: shutil.rmtree(folder)), pytest.raises(UserError, match="cannot be read"):
        PART1.start(folder, *EVERY)


def test_it_trains_in_a_thread_too(tmp_path, ends_alike):
    thread = threading.Thread(target=PART1.start, args=(tmp_path / "run",))
    thread.start()
    thread.join()
    ends_alike(PART1, tmp_path / "run")


def test_help_is_shown_in_a_notebook_and_nothing_fails_where_there_is_no_stream(monkeypatch):
    said = []  # ipykernel's stream writes, and can be reconfigured in nothing
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(write=said.append, flush=lambda: None))
    monkeypatch.setattr(sys, "argv", ["train.py", "--help"])
    call(PART1.module.main)
    assert "".join(said).startswith("usage: ")
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, None)
    call(lambda: print_line("unheard"))


@all_scripts
def test_lines_that_cannot_be_printed_are_lost_and_nothing_else_is(script, tmp_path, ends_alike, monkeypatch):
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(write=full, flush=full))
    assert stop(script.start, 4, tmp_path / "run") == 143
    script.resume(tmp_path / "run")
    monkeypatch.undo()
    ends_alike(script, tmp_path / "run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")
def test_a_log_on_a_full_disk_ends_no_run(tmp_path):
    command = [sys.executable, ROOT / "part1/train.py", *PART1.tiny.split(), "--out_dir", tmp_path / "run"]
    with Path("/dev/full").open("w") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"") and (tmp_path / "run" / "result.json").exists()


# What its environment says

POSIX = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
CLUSTER = {"WORLD_SIZE": "1", "RANK": "3"}  # one process is the main one, whatever it is called
NOTEBOOK = {"MPLBACKEND": "module://no_such_notebook.backend_inline"}


def test_a_run_prints_in_any_encoding_and_is_the_main_one_whatever_a_cluster_calls_it(run_script, tmp_path):
    done = run_script("part1/train.py", *PART1.tiny.split(), "--out_dir", tmp_path / "run", env=POSIX | CLUSTER)
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "run" / "result.json").exists()


def test_help_is_printed_in_any_encoding_and_whatever_notebook_started_it(run_script):
    for script in ("part2/compare.py", "part2/interpolate.py"):
        done = run_script(script, "--help", env=NOTEBOOK | {"PYTHONIOENCODING": "cp1252"})
        assert (done.returncode, done.stderr) == (0, "")


def test_processes_that_torchrun_did_not_start_are_one_line(run_script, tmp_path):
    done = run_script("part1/train.py", "--out_dir", tmp_path / "run", env={"WORLD_SIZE": "2", "RANK": "1"})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "WORLD_SIZE=2 is set, but" in done.stderr and "torchrun" in done.stderr and not (tmp_path / "run").exists()


def test_a_script_for_one_process_says_so_among_several(run_script, tmp_path):
    flags = ("--out_dir", tmp_path / "run")
    done = run_script("part1/show_gates.py", *flags, env={"WORLD_SIZE": "2", "RANK": "1"})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and not (tmp_path / "run").exists()
    assert "WORLD_SIZE=2 is set, but part1/show_gates.py is for one process" in done.stderr


def test_the_group_of_the_calling_program_is_used_and_left_in_place(monkeypatch):
    monkeypatch.setattr(distributed, "PROCESSES", 2)
    monkeypatch.setattr(distributed.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed.dist, "destroy_process_group", lambda: pytest.fail("it is not ours"))
    with distributed.joined(torch.device("cpu"), threads=1) as device:
        assert device == torch.device("cpu")


def test_without_the_signals_and_the_folders_of_posix_it_trains_too(tmp_path, monkeypatch):
    """As on Windows: no SIGHUP, no SIGUSR1, and no folder can be opened."""

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(saving, "STOP", [signal.SIGINT, signal.SIGTERM])
    monkeypatch.setattr(files, "os", SimpleNamespace(open=refuse, fsync=os.fsync, O_RDONLY=os.O_RDONLY))
    assert stop(PART1.start, 3, tmp_path / "run") == 143
    monkeypatch.undo()
    monkeypatch.setattr(console, "os", SimpleNamespace(name="nt"))
    assert quoted(PurePath("C:/my runs")) == '"C:/my runs"' and quoted(PurePath("C:/runs")) == "C:/runs"
