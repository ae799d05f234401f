"""The sweep: which runs it starts, what it makes of finished ones, how it answers mistakes."""

import contextlib
import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import filelock
import pytest
from PIL import Image

import common.sweeps
import part1.sweep
import part1.train
from common.cli import UserError
from common.files import read_json, write_csv, write_json
from common.runs import read_metrics
from part1.sweep import (
    NETWORKS,
    RECIPES,
    TESTED_AT,
    collect,
    draw_curves,
    draw_lengths,
    parse_args,
    sweep,
    to_table,
)
from tests.faults import rows as lines_in
from tests.faults import wait_until


def leave_run(folder, accuracies=(0.5, 1.0, 1.0), test_accuracy=0.75, max_epoch=100):
    """A finished run's folder: 800 sequences an epoch, these validation accuracies."""
    folder.mkdir(parents=True, exist_ok=True)
    named = re.fullmatch(r"\w+-T(\d+)-seed(\d+)", folder.name) or [0, 5, 0]
    arguments = {"input_length": int(named[1]), "seed": int(named[2]), "max_epoch": max_epoch}
    write_json(folder / "config.json", {"arguments": arguments})
    rows = [{"epoch": k, "validation_accuracy": v, "validation_loss": 1 - v} for k, v in enumerate(accuracies, start=1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = {"test_accuracy": test_accuracy, "validation_accuracy": max(accuracies), "best_epoch": 2}
    result |= {"epochs": len(accuracies), "sequences_seen": 800 * len(accuracies), "seconds": 1.26, "parameters": 9}
    write_json(folder / "result.json", result)
    return folder


@pytest.fixture
def started(monkeypatch):
    """Stands in for train.py: each start leaves a finished run at once. Gives the flags and environments of all."""
    starts = []

    def start(command, env, **_):
        assert command[1].endswith("part1/train.py")
        flags = {}
        for word in command[2:]:
            if word.startswith("--"):
                flags[name := word] = True
            else:
                flags[name] = word
        starts.append((flags, env))
        max_epoch = int(flags.get("--max_epoch", 100))
        leave_run(Path(flags.get("--out_dir") or flags["--resume"]), max_epoch=max_epoch)
        return SimpleNamespace(wait=lambda: 0)

    monkeypatch.setattr(common.sweeps.subprocess, "Popen", start)
    return starts


def row(network="lstm", length=5, seed=0, accuracy=1.0, until_perfect=800) -> dict:
    row = {"network": network, "input_length": length, "seed": seed, "test_accuracy": accuracy}
    return row | {"sequences_until_perfect": until_perfect}


def test_a_run_becomes_a_row(tmp_path):
    leave_run(tmp_path / "run", accuracies=(0.5, 1.0, 1.0), test_accuracy=0.75)
    (row,) = collect(tmp_path / "run", "rnn", 10, 3)
    assert row == {
        "network": "rnn",
        "input_length": 10,
        "seed": 3,
        "test_accuracy": 0.75,
        "validation_accuracy": 1.0,
        "best_epoch": 2,
        "epochs": 3,
        "sequences_until_perfect": 1600,
        "seconds": 1.3,
    }


def test_a_run_that_never_was_perfect_says_nothing_of_when(tmp_path):
    leave_run(tmp_path / "run", accuracies=(0.5, 0.999))
    (row,) = collect(tmp_path / "run", "rnn", 10, 3)
    assert row["sequences_until_perfect"] == ""


def test_the_csv_reads_back(tmp_path):
    rows = [row(seed=seed, accuracy=seed / 8) for seed in range(3)]
    write_csv(tmp_path / "rows.csv", rows)
    read = list(csv.DictReader((tmp_path / "rows.csv").open(encoding="utf-8")))
    assert read == [{key: str(value) for key, value in row.items()} for row in rows]


def test_the_table_shows_the_mean_and_the_worst_seed_where_it_differs():
    rows = [row(accuracy=1.0, seed=0), row(accuracy=0.5, seed=1), row(length=10, seed=0), row(length=10, seed=1)]
    rows += [row("rnn", 5, accuracy=0.25), row("rnn", 10, accuracy=0.125)]
    assert to_table(rows, [5, 10]).splitlines() == [
        "| network | T = 5 | T = 10 |",
        "|---|---|---|",
        "| LSTM | 0.750 (0.500) | 1.000 |",
        "| vanilla RNN, orthogonal start | 0.250 | 0.125 |",
    ]


@pytest.mark.parametrize("lengths", [[5], [5, 10, 30]])
@pytest.mark.parametrize("until_perfect", [800, ""])
def test_every_network_is_drawn_even_those_that_never_were_perfect(lengths, until_perfect, tmp_path):
    rows = [row(name, length, seed, 0.5, until_perfect) for name in NETWORKS for length in lengths for seed in (0, 1)]
    draw_lengths(rows, lengths, tmp_path / "sweep.png")
    assert Image.open(tmp_path / "sweep.png").size == (1500, 570)


@pytest.mark.parametrize(
    ("lengths", "labels"),
    [([5, 10, 15, 25, 30], ["30", "15", "10", "5"]), ([50, 100, 2000], ["2,000", "100", "50"]), ([7], ["7"])],
)
def test_all_lengths_have_room_and_their_labels_never_meet(lengths, labels, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(part1.sweep, "save_figure", lambda figure, path: figures.append(figure))
    draw_lengths([row("rnn", length) for length in lengths], lengths, tmp_path / "sweep.png")
    axes = figures[0].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == labels
    assert axes.get_xlim()[0] < lengths[0] <= lengths[-1] < axes.get_xlim()[1]


def test_a_learning_curve_is_drawn_of_every_run(tmp_path):
    keys = [(name, length, seed) for name in RECIPES for length in (5, 10) for seed in (0, 1)]
    runs = {key: leave_run(tmp_path / "-".join(map(str, key)), accuracies=(0.1,) * (2 + key[2])) for key in keys}
    draw_curves(runs, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size == (1350, 720)


def args(folder, flags: str = "--networks lstm --lengths 5 --seeds 0"):
    return parse_args([*flags.split(), "--out_dir", str(folder)])


def test_every_combination_is_run_once_with_its_flags(started, tmp_path):
    sweep(args(tmp_path, "--networks lstm reference --lengths 5 10 --seeds 0 1 --max_epoch 7 --jobs 1"))
    asked = [(flags["--input_length"], flags["--seed"], flags.get("--init")) for flags, _ in started]
    combinations = [("5", "0"), ("5", "1"), ("10", "0"), ("10", "1")]
    assert asked == [(*pair, init) for init in (None, "normal") for pair in combinations]
    assert all(flags["--max_epoch"] == "7" for flags, _ in started)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"runs", "sweep.csv", "table.md", "sweep.png", "curves.png"}
    assert len((tmp_path / "sweep.csv").read_text().splitlines()) == 1 + 8


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_s_flags_are_such_as_the_training_script_takes(name):
    model = {"rnn_uniform": "rnn", "reference": "lstm"}.get(base := name.removesuffix("_curriculum"), base)
    args = part1.train.parse_args(NETWORKS[name][1])
    assert args.model == model and args.curriculum == (name != base)


def test_a_run_by_curriculum_becomes_a_row_for_each_length_it_was_tested_at(tmp_path):
    leave_run(tmp_path / "run")
    result = read_json(tmp_path / "run" / "result.json")
    accuracies = {str(length): 1.0 if length < 300 else 0.5 for length in TESTED_AT}
    write_json(tmp_path / "run" / "result.json", result | {"accuracy_at": accuracies, "sequences_seen": 30_000})
    rows = collect(tmp_path / "run", "lstm_curriculum", 1000, 3)
    assert [(row["input_length"], row["test_accuracy"]) for row in rows] == [
        (length, 1.0 if length < 300 else 0.5) for length in TESTED_AT
    ]
    assert [row["sequences_until_perfect"] for row in rows] == [30_000, 30_000, 30_000, "", ""]
    assert rows[0].keys() == collect(tmp_path / "run", "rnn", 10, 3)[0].keys()


def test_a_curriculum_is_run_once_a_seed_whatever_the_lengths(started, tmp_path, monkeypatch):
    monkeypatch.setattr(part1.sweep, "collect", lambda folder, *key: [row(*key)])
    sweep(args(tmp_path, "--networks rnn_curriculum --lengths 5 10 --seeds 0 1"))
    assert [(flags["--input_length"], flags["--seed"]) for flags, _ in started] == [("1000", "0"), ("1000", "1")]
    assert not (tmp_path / "curves.png").exists()


def times(folder) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_finished_runs_are_not_run_again_and_more_can_be_added(started, tmp_path):
    sweep(args(tmp_path))
    before = times(tmp_path / "runs" / "lstm-T5-seed0")
    sweep(args(tmp_path, "--networks lstm --lengths 5 --seeds 0 1"))
    assert [flags["--seed"] for flags, _ in started] == ["0", "1"]
    assert times(tmp_path / "runs" / "lstm-T5-seed0") == before


def test_finished_runs_of_another_length_of_training_are_never_mixed_in(started, tmp_path):
    sweep(args(tmp_path))
    with pytest.raises(UserError, match=r"--max_epoch 7: .*lstm-T5-seed0 had 100"):
        sweep(args(tmp_path, "--networks lstm --lengths 5 --seeds 0 --max_epoch 7"))


def test_folders_of_something_else_are_passed_over(started, tmp_path):
    leave_run(tmp_path / "runs" / "seed0")
    sweep(args(tmp_path))
    assert len((tmp_path / "sweep.csv").read_text().splitlines()) == 1 + 1


def test_the_table_holds_runs_of_one_length_of_training_only(started, tmp_path):
    sweep(args(tmp_path))
    with contextlib.suppress(UserError):
        sweep(args(tmp_path, "--networks lstm --lengths 10 --seeds 0 --max_epoch 7"))
    assert len((tmp_path / "sweep.csv").read_text().splitlines()) == 1 + 1


def test_all_finished_runs_are_reported_in_the_order_of_the_table(started, tmp_path):
    for flags in ("--networks rnn --lengths 10 --seeds 1", "--networks rnn_uniform lstm --lengths 5 --seeds 0"):
        sweep(args(tmp_path, flags))
    rows = csv.DictReader((tmp_path / "sweep.csv").open())
    assert [(row["network"], row["input_length"], row["seed"]) for row in rows] == [
        ("lstm", "5", "0"),
        ("rnn", "10", "1"),
        ("rnn_uniform", "5", "0"),
    ]


def test_a_run_that_was_stopped_is_gone_on_with(started, tmp_path):
    folder = tmp_path / "runs" / "lstm-T5-seed0"
    leave_run(folder)
    (folder / "result.json").unlink()
    sweep(args(tmp_path))
    assert [flags for flags, _ in started] == [{"--resume": str(folder)}]


def test_a_run_that_fails_is_named_with_its_log_and_no_table_is_written(monkeypatch, tmp_path):
    def fail(command, stdout, **_):
        stdout.write("no memory\n")
        return SimpleNamespace(wait=lambda: 1)

    monkeypatch.setattr(common.sweeps.subprocess, "Popen", fail)
    with pytest.raises(UserError, match=r"lstm-T5-seed0 ended with exit status 1; see .*lstm-T5-seed0\.log"):
        sweep(args(tmp_path))
    assert (tmp_path / "runs" / "lstm-T5-seed0.log").read_text() == "no memory\n"
    assert not (tmp_path / "sweep.csv").exists()


@pytest.mark.parametrize(("own", "given"), [("3", "3"), (None, str(max(1, (os.cpu_count() or 1) // 2)))])
def test_jobs_share_the_processors_unless_the_user_has_said_otherwise(own, given, started, monkeypatch, tmp_path):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if own:
        monkeypatch.setenv("OMP_NUM_THREADS", own)
    sweep(args(tmp_path, "--networks lstm --lengths 5 --seeds 0 --jobs 2"))
    assert [environment["OMP_NUM_THREADS"] for _, environment in started] == [given]


def test_two_sweeps_never_share_a_folder(started, tmp_path):
    with filelock.FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="another sweep"):
        sweep(args(tmp_path))
    assert started == []


def test_sigterm_stops_the_run_under_way_which_saves_and_begins_no_other(tmp_path):
    flags = ["--networks", "rnn", "--lengths", "5", "--seeds", "0", "1", "--jobs", "1", "--max_epoch"]
    command = [sys.executable, part1.sweep.__file__, *flags, "100000", "--out_dir", tmp_path]
    folder = tmp_path / "runs" / "rnn-T5-seed0"
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        try:
            wait_until(lambda: lines_in(folder) >= 2 or process.poll() is not None)
            process.terminate()
            assert process.communicate(timeout=120) == ("", "")
        finally:
            process.kill()
    assert process.returncode == 143
    log = folder.with_suffix(".log").read_text()
    assert log.endswith(f"\nstopped by SIGTERM; go on with: --resume {folder}\n")
    assert not folder.with_name("rnn-T5-seed1").exists()


MISTAKES = ["--networks gru", "--lengths 0", "--lengths five", "--lengths 100001", "--lengths", "--length 5"]
MISTAKES += ["--seeds -1", "--jobs 0", "--jobs nan", "--max_epoch 0", "--out_dir {}/file", "--out_dir {}/file/below"]


@pytest.mark.parametrize("flags", MISTAKES)
def test_a_mistake_is_answered_in_one_line_and_nothing_is_run(flags, started, answer, tmp_path):
    (tmp_path / "file").touch()
    new = [] if "--out_dir" in flags else ["--out_dir", str(tmp_path / "new")]
    status, out, err = answer(part1.sweep, *new, *flags.replace("{}", str(tmp_path)).split())
    assert (status, out, started) == (2, "", [])
    assert len(err.splitlines()) == 1 and flags.split()[0] in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_real_small_sweep_with_real_runs(run_script, tmp_path):
    flags = ["--networks", "rnn", "--lengths", "1", "--seeds", "0", "--max_epoch", "2", "--out_dir"]
    done = run_script("part1/sweep.py", *flags, "a sweep", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "a sweep" / "runs" / "rnn-T1-seed0"
    assert len(read_metrics(folder)) == 2
    (made,) = csv.DictReader((tmp_path / "a sweep" / "sweep.csv").open())
    assert float(made["test_accuracy"]) == read_json(folder / "result.json")["test_accuracy"]
    assert (tmp_path / "a sweep" / "table.md").read_text() in done.stdout
