"""A run in its surroundings: other runs, other programs, notebooks, clusters, and printers that fail."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from common import distributed, environment
from common.cli import UserError, call
from common.console import print_line
from common.files import read_json, write_json
from tests.conftest import ROOT
from tests.faults import EVERY
from tests.tiny_runs import (
    CURRICULUM,
    PART1,
    PART2,
    after_step,
    all_scripts,
    files_of,
    raise_signal,
    refused,
    stop,
)

pytestmark = pytest.mark.usefixtures("light")


# Whose folder, whose checkpoint


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
    with (
        after_step(3, lambda _saver: shutil.rmtree(tmp_path / "run")),
        pytest.raises(UserError, match="cannot be read"),
    ):
        PART1.start(tmp_path / "run", *EVERY)


def unchanged_and_refused(script, folder: Path, *flags) -> str:
    before = files_of(folder)
    line = refused(script, "--resume", folder, *flags)
    assert files_of(folder) == before
    return line


@all_scripts
def test_the_checkpoint_of_another_run_is_refused(script, tmp_path):
    for seed in ("1", "2"):
        stop(script.start, 4, tmp_path / seed, "--seed", seed)
    shutil.copy(tmp_path / "2" / "checkpoint.pt", tmp_path / "1" / "checkpoint.pt")
    assert "its checkpoint is another run's" in unchanged_and_refused(script, tmp_path / "1")


def test_a_finished_run_whose_checkpoint_is_gone_is_refused(tmp_path):
    PART1.start(tmp_path / "run")
    (tmp_path / "run" / "checkpoint.pt").unlink()
    assert "its checkpoint is gone" in unchanged_and_refused(PART1, tmp_path / "run", "--max_epoch", "4")


def test_a_recipe_whose_numbers_have_changed_since_is_refused(tmp_path, monkeypatch):
    recipes = PART2.module.RECIPES
    stop(PART2.start, 4, tmp_path / "run")
    monkeypatch.setitem(recipes, "improved", recipes["reference"])
    line = unchanged_and_refused(PART2, tmp_path / "run")
    assert "does not fit this training: " in line and "penalty 0.3 → 0.0" in line and "halving 20 → 0.0" in line


MISFITS = {
    "a parameter more": lambda content: content["network"].update(more=torch.zeros(2)),
    "a parameter less": lambda content: content["network"].pop("bias"),
    "another shape": lambda content: content["network"].update(bias=torch.zeros(3)),
    "another kind": lambda content: content.update(network=[1, 2]),
    "no optimiser": lambda content: content.pop("optimizer"),
    "an optimiser of nothing": lambda content: content.update(optimizer={}),
    "no progress": lambda content: content["progress"].pop("epoch"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_checkpoint_that_does_not_fit_the_network_is_one_line_and_changes_nothing(name, tmp_path):
    PART1.start(tmp_path / "run")
    content = PART1.saved(tmp_path / "run")
    MISFITS[name](content)
    torch.save(content, tmp_path / "run" / "checkpoint.pt")
    assert "does not fit this training" in unchanged_and_refused(PART1, tmp_path / "run", "--max_epoch", "4")


def test_resumed_in_other_surroundings_it_says_so_and_goes_on(tmp_path, capsys):
    stop(PART1.start, 2, tmp_path / "run")
    config = read_json(tmp_path / "run" / "config.json")
    write_json(tmp_path / "run" / "config.json", config | {"packages": config["packages"] | {"torch": "2.10.0"}})
    capsys.readouterr()
    PART1.resume(tmp_path / "run")
    said = capsys.readouterr().out
    torch_now = config["packages"]["torch"]
    assert f"resumed elsewhere, so its bits may differ from here on: torch 2.10.0 → {torch_now}\n" in said


def test_an_annotated_config_is_still_a_config(tmp_path, ends_alike):
    stop(PART1.start, 2, tmp_path / "run")
    config = read_json(tmp_path / "run" / "config.json")
    write_json(tmp_path / "run" / "config.json", config | {"remark": "the one with the coffee stain"})
    PART1.resume(tmp_path / "run")
    ends_alike(PART1, tmp_path / "run")
    assert read_json(tmp_path / "run" / "config.json")["remark"] == "the one with the coffee stain"


def test_a_picture_of_the_users_own_among_the_grids_does_not_matter(tmp_path):
    PART2.start(tmp_path / "run")
    (tmp_path / "run" / "grids" / "best.png").write_bytes(b"mine")
    grids = PART2.module.grids_of(tmp_path / "run")
    assert [path.name for path in grids] == ["0000000.png", "0000004.png", "0000006.png"]


# Notebooks, threads, programs


@all_scripts
def test_stopped_in_a_cell_it_can_be_resumed_in_the_next_and_all_is_as_it_was(script, tmp_path, ends_alike):
    """IPython keeps the last traceback, and with it the frames that hold the run."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    before = [*map(signal.getsignal, numbers)], torch.get_num_threads()
    with pytest.raises(SystemExit) as kept, after_step(3, raise_signal):
        script.start(tmp_path / "run")
    script.resume(tmp_path / "run")
    assert kept.value.code == 143
    assert before == ([*map(signal.getsignal, numbers)], torch.get_num_threads())
    ends_alike(script, tmp_path / "run")


def test_a_run_that_fails_lets_its_folder_go(tmp_path):
    def fail(_saver) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as kept, after_step(3, fail):
        PART1.start(tmp_path / "run", *EVERY)
    PART1.resume(tmp_path / "run")
    assert kept.value


def test_it_trains_in_a_thread_too(tmp_path, ends_alike):
    thread = threading.Thread(target=PART1.start, args=(tmp_path / "run",))
    thread.start()
    thread.join()
    ends_alike(PART1, tmp_path / "run")


class NotebookStream:
    """As ipykernel's: it writes, and can be reconfigured in nothing."""

    def __init__(self):
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_help_is_shown_in_a_notebook_and_nothing_fails_where_there_is_no_stream(monkeypatch):
    monkeypatch.setattr(sys, "stdout", NotebookStream())
    monkeypatch.setattr(sys, "argv", ["train.py", "--help"])
    call(PART1.module.main)
    assert sys.stdout.text.startswith("usage: ")
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, None)
    call(lambda: print_line("unheard"))


def test_the_backend_of_a_notebook_that_started_it_does_not_matter(run_script):
    done = run_script("part2/compare.py", "--help", env={"MPLBACKEND": "module://no_such_notebook.backend_inline"})
    assert (done.returncode, done.stderr) == (0, "")


def test_help_and_runs_print_in_any_encoding(run_script, tmp_path):
    assert run_script("part2/interpolate.py", "--help", env={"PYTHONIOENCODING": "cp1252"}).returncode == 0
    posix = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    done = run_script("part1/train.py", *PART1.tiny.split(), "--out_dir", tmp_path / "run", env=posix)
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "run" / "result.json").exists()


# A printer that fails


class Broken:
    def write(self, text: str) -> None:
        raise OSError(5, "Input/output error")

    flush = write


@all_scripts
def test_lines_that_cannot_be_printed_are_lost_and_nothing_else_is(script, tmp_path, ends_alike, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken())
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


def test_the_way_to_go_on_can_be_pasted_into_a_shell(tmp_path, capsys):
    stop(PART1.start, 2, tmp_path / "a run")
    assert capsys.readouterr().out.endswith(f"go on with: --resume '{tmp_path}/a run'\n")


@pytest.mark.parametrize("script", [PART1, CURRICULUM], ids=str)
def test_a_signal_during_the_test_at_the_end_ends_it_at_once_and_what_was_trained_is_saved(
    script, tmp_path, ends_alike, monkeypatch, capsys
):
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr(script.module, "accuracy_at_lengths", lambda *_: raise_signal())
        script.start(tmp_path / "run")
    assert caught.value.code == 143 and "stopped by SIGTERM; go on with: --resume" in capsys.readouterr().out
    script.resume(tmp_path / "run")
    ends_alike(script, tmp_path / "run")


# Clusters


def test_processes_that_torchrun_did_not_start_are_one_line(run_script, tmp_path):
    done = run_script("part1/train.py", "--out_dir", tmp_path / "run", env={"WORLD_SIZE": "2", "RANK": "1"})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "WORLD_SIZE=2 is set, but" in done.stderr and "torchrun" in done.stderr and not (tmp_path / "run").exists()


def test_one_process_is_the_main_one_whatever_a_cluster_calls_it(run_script, tmp_path):
    called = {"WORLD_SIZE": "1", "RANK": "3"}
    done = run_script("part1/train.py", *PART1.tiny.split(), "--out_dir", tmp_path / "run", env=called)
    assert done.returncode == 0 and (tmp_path / "run" / "result.json").exists()


def test_the_group_of_the_calling_program_is_used_and_left_in_place(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "PROCESSES", 2)
    monkeypatch.setattr(distributed.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed.dist, "destroy_process_group", lambda: pytest.fail("it is not ours"))
    with distributed.joined(torch.device("cpu"), threads=1) as device:
        assert device == torch.device("cpu")


def test_the_commit_is_this_checkout_s_whatever_git_is_told(monkeypatch):
    expected = environment.commit()
    monkeypatch.setenv("GIT_DIR", os.devnull)
    assert environment.commit() == expected != "unknown"
