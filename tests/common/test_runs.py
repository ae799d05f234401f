"""A run's folder: who may write there, what is written, which is the newest."""

import argparse
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from common import environment, runs
from common.cli import UserError
from common.files import read_json, write_json
from common.runs import Run, find_run, newest, path_as_text, read_config, read_metrics
from tests.faults import full
from tests.tiny_runs import files_of

SCRIPT, GAN = "part1/train.py", "part2/train_gan.py"


def start(folder) -> Run:
    settings = {"out_dir": folder, "device": torch.device("cpu"), "rate": 0.5, "lengths": [5], "resume": None}
    return Run.create(argparse.Namespace(**settings), SCRIPT, "part1/lstm-T5")


def test_a_new_run_writes_down_how_it_was_started(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "ROOT", tmp_path / "a")
    config = read_json(start(tmp_path / "a" / "b").folder / "config.json")
    assert config["script"] == SCRIPT and config["threads"] == torch.get_num_threads()
    assert config["arguments"] == {"out_dir": "b", "device": "cpu", "rate": 0.5, "lengths": [5]}  # seen from the root
    assert torch.__version__.startswith(config["packages"]["torch"])
    assert config.keys() >= {"commit", "python", "platform", "device", "started"}


def test_the_commit_is_the_checkout_s_dirty_if_files_differ_and_unknown_without_git(tmp_path, monkeypatch):
    def git(*words: str) -> str:
        command = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(environment, "ROOT", tmp_path)
    assert environment.commit() == "unknown"
    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "first")
    commit = git("rev-parse", "--short=12", "HEAD")
    monkeypatch.setenv("GIT_DIR", os.devnull)  # a hook's, of another repository
    assert environment.commit() == commit
    (tmp_path / "file").write_text("2")
    assert environment.commit() == f"{commit}-dirty"
    (tmp_path / "inside").mkdir()
    monkeypatch.setattr(environment, "ROOT", tmp_path / "inside")  # unpacked in a repository that is another's
    assert environment.commit() == "unknown"
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", "")
    assert environment.commit() == "unknown"


def test_a_folder_named_by_a_dot_is_known_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert start(Path()).config["name"] == "mine"


@pytest.mark.parametrize(("name", "why"), [("config.json", "already holds a run"), ("thesis.txt", "is not empty")])
def test_a_folder_that_holds_something_or_cannot_be_is_refused_and_left_alone(name, why, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=rf"--out_dir .* {why}; name a new folder"):
        start(tmp_path)
    for folder in (tmp_path / name, tmp_path / name / "run"):  # a regular file in the way
        with pytest.raises(UserError, match=r"--out_dir .* cannot be written to"):
            start(folder)
    assert files_of(tmp_path) == {tmp_path / name: b"mine"}


@pytest.mark.parametrize("existed", [False, True])
def test_a_disk_that_is_full_from_the_start_leaves_no_new_folder(existed, tmp_path, monkeypatch):
    if existed:
        (tmp_path / "run").mkdir()
    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"cannot be written to \(No space left on"):
        patch.setattr(os, "fsync", full)
        start(tmp_path / "run")
    assert (tmp_path / "run").exists() == existed
    start(tmp_path / "run")


def test_runs_started_in_the_same_second_get_folders_of_their_own(outputs):
    folders = {start(None).folder for _ in range(4)}
    assert len(folders) == 4
    assert all(folder.parent == outputs / "part1" and folder.name.startswith("lstm-T5-2") for folder in folders)


def test_rows_are_appended_in_order_even_those_that_found_the_disk_full(tmp_path, monkeypatch, capsys):
    run, rows = start(tmp_path), [{"epoch": k, "loss": 1 / (k + 1), "where": "α"} for k in range(5)]
    for k, row in enumerate(rows):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full if k in (1, 2) else os.fsync)
            run.log(row, k)
    assert read_metrics(tmp_path) == rows
    assert run.metrics_length == (tmp_path / "metrics.jsonl").stat().st_size
    assert capsys.readouterr().err.count("metrics.jsonl: cannot be written to (No space left on device)") == 2


def test_a_picture_is_named_for_its_step(tmp_path):
    start(tmp_path).log_picture("grid", np.full((2, 3), 7, np.uint8), 40)
    assert np.asarray(Image.open(tmp_path / "grids" / "0000040.png")).tolist() == [[7] * 6] * 4


@pytest.mark.parametrize("data", [None, b"{torn", b"\xff\xfe"])
def test_metrics_that_cannot_be_read_are_a_user_error(data, tmp_path):
    if data is not None:
        (tmp_path / "metrics.jsonl").write_bytes(data)
    with pytest.raises(UserError, match=r"metrics\.jsonl: (cannot be read|is damaged)"):
        read_metrics(tmp_path)


def test_a_run_is_held_and_without_a_result_until_it_is_finished(outputs):
    def newest_ones() -> tuple:
        return newest(SCRIPT, finished=False), newest(SCRIPT, finished=True)

    run = start(None)
    assert newest_ones() == (None, None)  # nothing to go on from yet
    run.checkpoint.touch()
    assert newest_ones() == (run.folder, None)
    with pytest.raises(UserError, match="another process is writing to this run"):
        Run(run.folder).lock()
    run.finish({"accuracy": 1.0})
    assert newest_ones() == (None, run.folder)
    assert read_json(run.folder / "result.json") == {"accuracy": 1.0, "run": run.config["id"]}
    Run(run.folder).lock()


def leave(folder: Path, script: str, day: int, finished: bool) -> Path:
    """What is left of a run that was started that day."""
    folder.mkdir(parents=True)
    config = {"script": script, "started": f"2024-01-{day:02}T10:00:00+00:00", "name": folder.name}
    write_json(folder / "config.json", config)
    write_json(folder / ("result.json" if finished else "checkpoint.pt"), {})
    return folder


def test_the_newest_run_of_a_script_is_found_finished_or_not(outputs):
    """By when it was started, not by its name; copies, renamed ones and what is no run of ours are passed over."""
    part2 = outputs / "part2"
    leave(part2 / "z", GAN, 1, finished=True)
    finished, unfinished = leave(part2 / "b", GAN, 2, True), leave(part2 / "a", GAN, 3, False)
    walks = leave(part2 / "walks", "part2/interpolate.py", 4, finished=True)
    leave(part2 / "renamed", GAN, 5, True).rename(part2 / "a backup")
    for k, data in enumerate(["", "{}", "[]", "{torn", f'{{"script": "{GAN}"}}']):
        (leave(part2 / f"foreign{k}", "", 5, finished=True) / "config.json").write_text(data)
    assert newest(GAN, finished=True) == finished
    assert newest(GAN, finished=False) == unfinished
    assert newest("part2/interpolate.py", GAN, finished=True) == walks


def test_the_network_to_use_is_the_named_run_else_the_newest_finished_one_else_the_pretrained(outputs, capsys):
    """And it is said which it is."""
    pretrained = runs.ROOT / "outputs/pretrained/generator"
    assert find_run(None, [GAN], pretrained) == pretrained
    old, new = (leave(outputs / "part2" / name, GAN, day, True) for day, name in enumerate(["old", "new"], start=1))
    assert find_run(None, [GAN], pretrained) == new and find_run(old, [GAN], pretrained) == old
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.endswith("(the pretrained one, as no run of part2/train_gan.py has finished in outputs/part2)")
    assert second.endswith("(the newest finished run; for the pretrained one: --run outputs/pretrained/generator)")
    assert third == f"network: {old} (named by --run)"
    with pytest.raises(UserError, match=r"--run .*gone: there is no such run"):
        find_run(old.with_name("gone"), [GAN], pretrained)


def test_a_config_is_that_of_a_run_or_beside_a_checkpoint_and_none_where_it_need_not_be_there(tmp_path):
    checkpoint, path = tmp_path / "checkpoint.pt", tmp_path / "config.json"
    checkpoint.touch()
    assert read_config(checkpoint, required=False) == {}
    with pytest.raises(UserError, match="cannot be read"):
        read_config(checkpoint)
    write_json(path, {"model": "of another program"})
    assert read_config(checkpoint, required=False) == {}
    write_json(path, {"script": "s.py", "arguments": None})
    for required in (True, False):
        with pytest.raises(UserError, match="lacks the run's settings"):
            read_config(tmp_path, required)
    write_json(path, {"script": "s.py", "arguments": {"seed": 3}})
    assert read_config(tmp_path) == read_config(checkpoint) == {"script": "s.py", "arguments": {"seed": 3}}


def test_a_path_in_the_project_is_recorded_from_its_root_another_one_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(environment.ROOT / "outputs")
    for path in (Path("a run"), environment.ROOT / "outputs" / "a run"):
        assert path_as_text(path) == "outputs/a run"
    assert path_as_text(tmp_path) == str(tmp_path)
