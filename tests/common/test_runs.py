"""A run's folder: who may write there, what is written, which is the newest."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from common import files, machine, runs
from common.cli import UserError, quoted
from common.files import lock_folder, read_json, read_metrics, write_json
from common.find import find_run, newest
from common.runs import Run, path_as_text, read_config
from tests.faults import disk
from tests.tiny_runs import files_of

import pytest
import torch

SCRIPT, GAN = "part1/train.py", "part2/train_gan.py"


def start(folder) -> Run:
    settings = {"out_dir": folder, "device": torch.device("cpu"), "rate": 0.5, "lengths": [5], "resume": None}
    return Run.open(argparse.Namespace(**settings), SCRIPT, "part1/lstm-T5")


def test_a_new_run_writes_down_how_it_was_started(tmp_path, monkeypatch):
    """Also where a package is missing: Part 1 needs no torchvision."""
    monkeypatch.setattr(runs, "ROOT", tmp_path / "a")
    monkeypatch.setattr(machine, "PACKAGES", ("torch", "no_such_package"))
    monkeypatch.setattr(machine, "commit", lambda: "c0ffee")
    config = read_json(start(tmp_path / "a" / "b").folder / "config.json")
    assert config["script"] == SCRIPT and config["threads"] == torch.get_num_threads()
    assert config["arguments"] == {"out_dir": "b", "device": "cpu", "rate": 0.5, "lengths": [5]}  # seen from the root
    assert torch.__version__.startswith(config["packages"].pop("torch")) and not config["packages"]
    assert config.keys() >= {"python", "platform", "started"} and config["commit"] == "c0ffee"
    assert config["device"] == machine.PROCESSOR


def test_the_commit_is_the_checkout_s_dirty_if_files_differ_and_unknown_without_git(tmp_path, monkeypatch):
    def git(*words: str) -> str:
        command = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert machine.commit() == "unknown"
    (tmp_path / "file").write_text("1")
    for command in ("init", "add file", "commit -m first"):
        git(*command.split())
    commit = git("rev-parse", "--short=12", "HEAD")
    monkeypatch.setenv("GIT_DIR", os.devnull)  # a hook's, of another repository
    assert machine.commit() == commit
    (tmp_path / "file").write_text("2")
    assert machine.commit() == f"{commit}-dirty"
    (tmp_path / "inside").mkdir()
    monkeypatch.setattr(machine, "ROOT", tmp_path / "inside")  # unpacked in a repository that is another's
    assert machine.commit() == "unknown"


def test_a_folder_that_holds_something_or_cannot_be_is_refused_and_left_alone(tmp_path, outputs):
    for name, why in [("config.json", "already holds a run"), ("a.txt", "is not .*a.txt."), (".env", "is not .*.env.")]:
        folder = tmp_path / f"folder {name}"
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(UserError, match=rf"--out_dir .* {why}; name a new folder"):
            start(folder)
        for inner in (folder / name, folder / name / "run", folder / "new" / ("x" * 300)):  # a regular file in the way
            with pytest.raises(UserError, match=r"cannot be written to .*; name another folder with --out_dir$"):
                start(inner)
        assert files_of(folder) == {folder / name: b"mine"} and len(list(folder.iterdir())) == 1
    outputs.touch()
    with pytest.raises(UserError, match=r"outputs/part1/lstm-T5.* cannot be written to .*name another .* --out_dir$"):
        start(None)


def test_a_folder_that_another_process_takes_just_before_it_is_locked_stays_theirs(tmp_path, monkeypatch):
    def lock_late(folder: Path):
        (folder / "config.json").write_text("theirs") if not (folder / "config.json").exists() else None
        return lock_folder(folder)

    monkeypatch.setattr(files, "lock_folder", lock_late)
    with pytest.raises(UserError, match="already holds a run; name a new folder") as kept:
        start(tmp_path / "run")
    assert (tmp_path / "run/config.json").read_text() == "theirs"
    assert kept and lock_folder(tmp_path / "run")  # theirs, though someone keeps the traceback, as IPython does


def test_what_a_death_before_the_config_was_written_has_left_is_no_run(tmp_path):
    for name in (files.LOCK, f".{'0123456789abcdef' * 2}.tmp"):
        (tmp_path / name).touch()
    assert (start(tmp_path).folder / "config.json").exists()


def test_without_a_name_a_run_gets_one_of_its_own(outputs):
    folders = {start(None).folder for _ in range(4)}  # in the same second
    assert len(folders) == 4
    assert all(folder.parent == outputs / "part1" and folder.name.startswith("lstm-T5-2") for folder in folders)


def test_a_row_of_metrics_is_on_the_disk_when_it_is_logged(tmp_path):
    run = start(tmp_path)
    with disk() as requests:
        run.log({"loss": 0.5}, 1)
    assert requests == ["open", "fsync"] and read_metrics(tmp_path) == [{"loss": 0.5}]


def test_a_run_is_held_and_without_a_result_until_it_is_finished(outputs):
    def newest_ones() -> tuple:
        return newest(SCRIPT, finished=False), newest(SCRIPT, finished=True)

    run = start(None)
    assert newest_ones() == (None, None)
    run.checkpoint.touch()
    assert newest_ones() == (None, None)  # this process is writing to it
    with pytest.raises(UserError, match="another process is writing to this run"):
        lock_folder(run.folder)
    run.close()
    assert newest_ones() == (run.folder, None)
    run.finish({"accuracy": 1.0})
    assert newest_ones() == (None, run.folder)
    assert read_json(run.folder / "result.json") == {"accuracy": 1.0, "run": run.config["id"]}
    lock_folder(run.folder)


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
    odd = ["", "{}", "[]", "{torn", f'{{"script": "{GAN}"}}', "[" * 100_000]
    odd += [f'{{"script": "{GAN}", "started": "{day}"}}' for day in ("0001-01-01T00+23:00", "9999-12-31T23-23:00")]
    for k, data in enumerate(odd):
        (leave(part2 / f"foreign{k}", "", 5, finished=True) / "config.json").write_text(data)
    (part2 / "foreign0/result.json").unlink()
    (part2 / "foreign0/result.json").symlink_to("x" * 300)  # whether it exists is an error
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
    with pytest.raises(UserError, match="cannot be read"):
        read_config(checkpoint)
    assert read_config(checkpoint, required=False) == {}
    write_json(path, {"model": "of another program"})
    assert read_config(checkpoint, required=False) == {}
    write_json(path, {"script": "s.py", "arguments": None})
    for required in (True, False):
        with pytest.raises(UserError, match="lacks the run's settings"):
            read_config(tmp_path, required)
    write_json(path, config := {"script": "s.py", "arguments": {"seed": 3}})
    assert read_config(tmp_path) == read_config(checkpoint) == config


def test_a_command_can_be_pasted_and_is_short_where_it_can_be(tmp_path, monkeypatch):
    """In an environment that is active, `python` does; a name that begins with - would be taken for a flag."""
    for here, found in ((machine.ROOT, sys.executable), (tmp_path, None)):
        monkeypatch.chdir(here)
        monkeypatch.setattr(runs.shutil, "which", lambda name, found=found: found)
        script, folder = Path(SCRIPT), Path("a run")
        if here == tmp_path:
            script, folder = machine.ROOT / script, tmp_path / "-a run"
        python = "python" if found else quoted(sys.executable)
        command = runs.command(SCRIPT, "--resume", here / folder)
        assert command == f"{python} {quoted(script)} --resume {quoted(folder)}"


def test_a_path_in_the_project_is_recorded_from_its_root_another_one_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(machine.ROOT / "outputs")
    for path in (Path("a run"), machine.ROOT / "outputs" / "a run"):
        assert path_as_text(path) == "outputs/a run"
    assert path_as_text(tmp_path) == str(tmp_path)
