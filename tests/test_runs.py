"""A run's folder: who may write there, what is written, which is the newest."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import common.runs
from common import runs
from common.cli import UserError
from common.files import read_json, write_json
from common.runs import Run, newest, read_metrics

SCRIPT = "part1/train.py"


def arguments(folder) -> argparse.Namespace:
    return argparse.Namespace(out_dir=folder, device=torch.device("cpu"), rate=0.5)


def start(folder) -> Run:
    return Run.create(arguments(folder), SCRIPT, "part1/lstm-T5")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_run_writes_down_how_it_was_started(tmp_path):
    run = start(tmp_path / "a" / "b")
    config = read_json(run.folder / "config.json")
    assert run.folder == tmp_path / "a" / "b" and config["script"] == SCRIPT
    assert config["arguments"] == {"out_dir": str(run.folder), "device": "cpu", "rate": 0.5}
    assert config["packages"]["torch"] == torch.__version__
    assert {"commit", "python", "platform", "device", "threads", "started"} < config.keys()


def test_a_path_inside_the_project_is_written_down_as_seen_from_its_root(tmp_path, monkeypatch):
    monkeypatch.setattr(common.runs, "ROOT", tmp_path)
    run = start(tmp_path / "outputs" / "part1" / "a")
    assert read_json(run.folder / "config.json")["arguments"]["out_dir"] == str(Path("outputs/part1/a"))


def test_a_folder_that_holds_a_run_is_refused_and_left_alone(tmp_path):
    start(tmp_path).finish({})
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"--out_dir .* already holds a run"):
        start(tmp_path)
    assert before == contents(tmp_path)


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UserError, match=r"--out_dir .* is not empty"):
        start(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_taken(tmp_path):
    assert start(tmp_path).folder == tmp_path


@pytest.mark.parametrize("below", ["file", "file/run"])
def test_a_regular_file_in_the_way_is_a_user_error(below, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written to"):
        start(tmp_path / below)


def test_a_disk_that_is_full_from_the_start_leaves_no_folder(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        start(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_runs_started_in_the_same_second_get_folders_of_their_own(outputs):
    folders = {start(None).folder for _ in range(4)}
    assert len(folders) == 4
    assert all(folder.parent == outputs / "part1" and folder.name.startswith("lstm-T5-2") for folder in folders)


def test_logged_rows_are_appended_and_read_back(tmp_path):
    run = start(tmp_path)
    rows = [{"epoch": k, "loss": 1 / (k + 1), "where": "α"} for k in range(20)]
    for k, row in enumerate(rows):
        run.log(row, k)
        assert read_metrics(tmp_path) == rows[: k + 1]


def test_rows_that_found_the_disk_full_are_written_later_in_order(tmp_path, monkeypatch, capsys):
    run = start(tmp_path)
    run.log({"epoch": 0}, 0)

    def full(handle, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    run.log({"epoch": 1}, 1)
    assert "No space left on device" in capsys.readouterr().err
    monkeypatch.undo()
    assert read_metrics(tmp_path) == [{"epoch": 0}]
    run.log({"epoch": 2}, 2)
    assert read_metrics(tmp_path) == [{"epoch": k} for k in range(3)]


def test_a_row_of_which_a_part_was_written_leaves_no_torn_line(tmp_path, monkeypatch):
    run = start(tmp_path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:5]))
    run.log({"epoch": 0}, 0)
    assert read_metrics(tmp_path) == []
    monkeypatch.undo()
    run.log({"epoch": 1}, 1)
    assert read_metrics(tmp_path) == [{"epoch": 0}, {"epoch": 1}]


@pytest.mark.parametrize("data", [None, b"{torn", b"\xff\xfe"])
def test_metrics_that_cannot_be_read_are_a_user_error(data, tmp_path):
    if data is not None:
        (tmp_path / "metrics.jsonl").write_bytes(data)
    with pytest.raises(UserError, match=r"metrics\.jsonl: (cannot be read|is damaged)"):
        read_metrics(tmp_path)


def test_a_result_is_there_only_once_the_run_has_finished(tmp_path):
    run = start(tmp_path)
    assert not (tmp_path / "result.json").exists()
    run.finish({"accuracy": 1.0})
    assert read_json(tmp_path / "result.json") == {"accuracy": 1.0}


def test_json_is_plain_json_with_its_sum(tmp_path):
    write_json(tmp_path / "c.json", {"a": [1, None, "σ"], "b": {"c": 0.1}})
    content = json.loads((tmp_path / "c.json").read_text())
    assert len(content.pop("sha256")) == 64 and content == {"a": [1, None, "σ"], "b": {"c": 0.1}}
    assert read_json(tmp_path / "c.json") == content


EDITS = {
    "a digit": lambda text: text.replace("5", "6"),
    "a key": lambda text: text.replace("rate", "ratf"),
    "its end": lambda text: text[:-20],
    "all of it": lambda text: "",
    "another kind of JSON": lambda text: "[1]",
    "no sum": lambda text: '{"rate": 5}',
}


@pytest.mark.parametrize("edit", EDITS)
def test_edited_json_is_a_user_error(edit, tmp_path):
    path = tmp_path / "c.json"
    write_json(path, {"rate": 5})
    path.write_text(EDITS[edit](path.read_text()))
    with pytest.raises(UserError, match=r"c\.json: is damaged or was edited"):
        read_json(path)


def test_missing_json_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"c\.json: cannot be read"):
        read_json(tmp_path / "c.json")


def test_two_runs_never_share_a_folder_until_one_has_finished(tmp_path):
    run = start(tmp_path)
    with pytest.raises(UserError, match="another process"):
        Run(tmp_path)._take()
    run.finish({})
    Run(tmp_path)._take()


def taken_by_another_process(folder: Path) -> str:
    """What another process finds, which dies with the lock in its hand."""
    program = """
import filelock, os, sys
try:
    lock = filelock.FileLock(sys.argv[1], timeout=0)
    lock.acquire()
    print("taken", flush=True)
except filelock.Timeout:
    print("busy", flush=True)
os._exit(9)
"""
    command = [sys.executable, "-c", program, str(folder / ".lock")]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def test_another_process_cannot_take_a_running_run(tmp_path):
    run = start(tmp_path)
    assert taken_by_another_process(run.folder) == "busy"


def test_the_lock_of_a_process_that_died_is_free(tmp_path):
    assert taken_by_another_process(tmp_path) == "taken"
    Run(tmp_path)._take()


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path)
    return tmp_path


def leave(folder: Path, script: str, started: str, finished: bool) -> Path:
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {"script": script, "started": started})
    if finished:
        write_json(folder / "result.json", {})
    return folder


def test_the_newest_run_of_a_script_is_found_finished_or_not(outputs):
    leave(outputs / "part2" / "z", "part2/train_gan.py", "2024-01-01T10:00:00+00:00", finished=True)
    finished = leave(outputs / "part2" / "b", "part2/train_gan.py", "2024-01-01T11:00:00+00:00", finished=True)
    unfinished = leave(outputs / "part2" / "a", "part2/train_gan.py", "2024-01-02T10:00:00+00:00", finished=False)
    leave(outputs / "part2" / "walks", "part2/interpolate.py", "2024-01-03T10:00:00+00:00", finished=True)
    leave(outputs / "part1" / "lstm", SCRIPT, "2024-01-04T10:00:00+00:00", finished=False)
    assert newest("part2/train_gan.py", finished=True) == finished
    assert newest("part2/train_gan.py", finished=False) == unfinished


def test_where_there_is_none_none_is_found(outputs):
    assert newest(SCRIPT, finished=True) is None
    leave(outputs / "part1" / "lstm", SCRIPT, "2024-01-04T10:00:00+00:00", finished=False)
    assert newest(SCRIPT, finished=True) is None


@pytest.mark.parametrize("config", ["", "{}", "[]", "{torn", '{"script": "part1/train.py"}', None])
def test_a_folder_that_is_none_of_ours_is_passed_over(config, outputs):
    ours = leave(outputs / "part1" / "ours", SCRIPT, "2024-01-01T10:00:00+00:00", finished=True)
    other = outputs / "part1" / "other"
    other.mkdir()
    (other / "result.json").write_text("{}")
    if config is not None:
        (other / "config.json").write_text(config)
    assert newest(SCRIPT, finished=True) == ours


def test_a_real_run_is_found_as_unfinished_then_as_finished(outputs):
    run = start(None)
    assert (newest(SCRIPT, finished=False), newest(SCRIPT, finished=True)) == (run.folder, None)
    run.finish({})
    assert (newest(SCRIPT, finished=False), newest(SCRIPT, finished=True)) == (None, run.folder)
