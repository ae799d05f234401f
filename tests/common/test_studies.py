"""A study: which runs are made, resumed or taken, what its tables hold, what is left when it fails or is stopped."""

import json
import math
import os
import signal
import sys
import threading
from pathlib import Path
from statistics import stdev

from common import studies
from common.cli import UserError
from common.files import lock_folder, read_csv, read_json, write_csv, write_json
from common.studies import PlannedRun, flatten, interval, make_runs, markdown_table, to_row
from tests.faults import wait_until
from tests.tiny_runs import PART2, all_scripts

import filelock
import pytest
import torch

# A script that trains nothing. Without --how it writes a result; resumed it does so too. Its runs say that they can be.
TOY = """import argparse, json, os, pathlib, signal, sys, time
def parse_args(argv=None):
    parser = argparse.ArgumentParser()
    for name, kind in {"seed": int, "size": int, "threads": int, "how": str, "resume": str, "out_dir": str}.items():
        parser.add_argument("--" + name, type=kind)
    parser.set_defaults(size=5, seed=0, lengths=[1, 2])
    return parser.parse_args(argv)
def write(folder, finished=True, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    config = {"script": "toy.py", "threads": 1, "started": "2024-01-01", "commit": "c", "python": "3", "device": "d"}
    arguments = {**vars(parse_args([])), "checkpoint_interval": 60, **settings}
    config |= {"packages": {"torch": "2"}, "platform": "p", "arguments": arguments}
    (folder / "config.json").write_text(json.dumps(config))
    if finished:
        (folder / "result.json").write_text(json.dumps({"omp": os.environ.get("OMP_NUM_THREADS"), "run": "id"}))
if __name__ == "__main__":
    args = parse_args()
    folder = pathlib.Path(args.out_dir or args.resume)
    if args.how == "waits":
        signal.signal(signal.SIGTERM, lambda *_: ((folder / "saved").touch(), sys.exit(143)))
    if args.how == "lost":
        sys.exit("another process is writing to this run")
    write(folder, args.how is None, **vars(args))
    if args.resume:
        (folder / "resumed").touch()
    while args.how == "fails" and not (folder.with_name("waits") / "config.json").exists():
        time.sleep(0.01)
    if args.how == "fails":
        sys.exit("no luck")
    if args.how:
        time.sleep(60)
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """toy(name, *flags): a planned run of a script that trains nothing; toy.write leaves its folder."""
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(studies, "ROOT", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy", raising=False)
    import toy

    def planned(name: str, *flags) -> PlannedRun:
        return PlannedRun(name, "toy.py", [*map(str, flags)])

    planned.write = toy.write
    return planned


def curve(folder: Path) -> list[dict]:
    return [{"epoch": epoch, "accuracy": epoch / 2} for epoch in (1, 2)]


@pytest.mark.parametrize(("own", "threads"), [("3", 3), (None, 4)])
def test_finished_runs_are_taken_begun_ones_resumed_new_ones_made_and_none_twice(
    own, threads, toy, tmp_path, monkeypatch
):
    """Jobs share the processors, unless the user has said otherwise. A run in runs/ may have been made by hand."""
    monkeypatch.setattr(studies.torch, "get_num_threads", lambda: 9)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if own:
        monkeypatch.setenv("OMP_NUM_THREADS", own)
    toy.write(tmp_path / "study/runs/a", seed=3)
    toy.write(tmp_path / "study/runs/b", finished=False)
    plan, kept = [toy("a", "--seed", 3), toy("b"), toy("c", "--size", 7), toy("c")], []
    rows = make_runs(tmp_path / "study", plan[:-1], 2, curve=curve, keep=lambda *at: kept.append(at))
    assert rows == read_csv(tmp_path / "study/runs.csv") and len(rows) == 3
    assert {row["run"]: (row["seed"], row["size"]) for row in rows} == {"a": (3, 5), "b": (0, 5), "c": (0, 7)}
    assert {row["run"]: row.get("omp") for row in rows if row["run"] != "a"} == {"b": threads, "c": threads}
    assert sorted(kept) == [(tmp_path / "study/runs" / name, name) for name in "abc"]
    assert [path.parent.name for path in (tmp_path / "study/runs").glob("*/resumed")] == ["b"]
    points = [{"run": row["run"], **point} for row in rows for point in curve(None)]
    assert read_csv(tmp_path / "study/curves.csv") == points
    (tmp_path / "study/runs").rename(tmp_path / "deleted")
    assert make_runs(tmp_path / "study", [*plan[:-1], toy("d")], 1, curve=curve)[:3] == rows
    assert sorted(path.name for path in (tmp_path / "study/runs").iterdir()) == ["d", "d.log"]


def test_a_crash_between_the_two_tables_leaves_no_row_twice(toy, tmp_path, monkeypatch):
    def crash(path, rows):
        write_csv(path, rows) if path.name == "curves.csv" else sys.exit("crash")

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(studies, "write_csv", crash)
        make_runs(tmp_path / "study", [toy("a")], curve=curve)
    make_runs(tmp_path / "study", [toy("a")], curve=curve)
    assert [len(read_csv(tmp_path / "study" / name)) for name in ("runs.csv", "curves.csv")] == [1, 2]


def test_a_run_that_was_begun_by_a_script_without_resume_is_made_anew_and_its_files_are_kept(toy, tmp_path):
    toy.write(tmp_path / "runs/a", finished=False)
    config = read_json(tmp_path / "runs/a/config.json")
    del config["arguments"]["checkpoint_interval"]
    write_json(tmp_path / "runs/a/config.json", config)
    (tmp_path / "runs/a/mine").touch()
    assert [row["run"] for row in make_runs(tmp_path, [toy("a")])] == ["a"]
    assert not (tmp_path / "runs/a/resumed").exists() and len(list(tmp_path.glob("runs/a-stopped-2*/mine"))) == 1


def test_a_run_that_a_process_from_before_a_crash_makes_is_waited_for_and_taken(toy, tmp_path, monkeypatch):
    """Also if that process claims the folder when another has just been started for it, which then ends with 2."""
    is_held, asked = studies._is_held, []

    def held(folder: Path) -> bool:
        asked.append(folder.name)
        if asked.count(folder.name) < (2 if folder.name == "claimed" else 1):
            return is_held(folder)
        folder.mkdir(exist_ok=True)
        with lock_folder(folder):
            answer = is_held(folder)
        toy.write(folder)
        return answer

    toy.write(tmp_path / "runs/begun", finished=False)
    monkeypatch.setattr(studies, "_is_held", held)
    assert len(make_runs(tmp_path, [toy("begun"), toy("claimed", "--how", "lost")])) == 2
    assert asked == ["begun", "claimed", "claimed"] and not (tmp_path / "runs/begun.log").exists()


def test_how_far_the_runs_are_and_the_time_left_by_hand(toy, tmp_path):
    """Of three runs one is made, one was resumed after 10 of 100 epochs and is in its 31st, one has just begun: in 90
    seconds 1.2 runs were made, and 1.7 are left, so about 127 seconds."""
    for name, settings, rows in [("a", {"max_epoch": 100}, [{"epoch": 30}, {"epoch": 31}]), ("b", {}, [{"epoch": 1}])]:
        toy.write(tmp_path / name, finished=False, **settings)
        (tmp_path / name / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    shares = {"made": 1.0, "a": 0.1, "b": 0.0}
    status = studies._status(tmp_path, ["a", "b"], shares, 0.1, 90.0)
    assert status == "1 of 3 runs made, about 02:07 left; a: epoch 31 of 100, b: begins"
    assert studies._status(tmp_path, ["b"], {"b": 0.0}, 0.0, 90.0) == "0 of 1 runs made; b: begins"
    (tmp_path / "a/metrics.jsonl").write_text('{"epoch": 3')  # just being written
    assert studies.how_far(tmp_path / "a") == studies.how_far(tmp_path / "not there") == ("begins", 0)


@pytest.mark.parametrize("wrong", [[1], [{"loss": 2}], None])
def test_a_run_with_odd_files_is_named_and_gets_no_row(wrong, toy, tmp_path):
    def by_loss(folder: Path) -> list[dict]:
        return [{"loss": row["loss"] / 2} for row in wrong] if folder.name == "odd" else []

    def keep(folder: Path, name: str) -> None:
        if name == "odd":
            raise UserError(f"{folder}: is damaged")

    toy.write(tmp_path / "runs/odd")
    toy.write(tmp_path / "runs/sound")
    with pytest.raises(UserError, match="runs/odd: is damaged"):
        make_runs(tmp_path, [toy("sound"), toy("odd")], curve=by_loss, keep=keep)
    assert [row["run"] for row in read_csv(tmp_path / "runs.csv")] == ["sound"]


OTHERS = {
    "in the table": lambda out, toy: write_csv(out / "runs.csv", [{"run": "a", "seed": 0, "size": 6}]),
    "finished": lambda out, toy: toy.write(out / "runs/a", size=6),
    "begun": lambda out, toy: toy.write(out / "runs/a", finished=False, size=6),
    "another run, which must be alike": lambda out, toy: toy.write(out / "runs/b", size=6, seed=1),
}


@pytest.mark.parametrize("leave", OTHERS.values(), ids=OTHERS)
def test_a_run_with_other_settings_than_planned_is_refused(leave, toy, tmp_path):
    leave(tmp_path, toy)
    with pytest.raises(UserError, match=r"--out_dir .*: [ab] had size 6, and 5 is asked for; name another folder"):
        make_runs(tmp_path, [toy("a", "--threads", "3")], alike=["size"])
    assert not (tmp_path / "runs/a/resumed").exists() and not (tmp_path / "runs/a.log").exists()


def test_other_cells_that_a_row_must_have_count_too_and_what_an_older_row_lacks_does_not(toy, tmp_path):
    write_csv(tmp_path / "runs.csv", [{"run": "a", "seed": 0, "threads": 8, "recipe_fields_penalty": 0.3}])
    planned = [toy("a")._replace(also={"recipe_fields": {"penalty": penalty, "new": 1}}) for penalty in (0.3, 0.5)]
    assert make_runs(tmp_path, planned[:1])
    with pytest.raises(UserError, match=r"a had recipe_fields_penalty 0\.3, and 0\.5 is asked for"):
        make_runs(tmp_path, planned[1:])


def test_what_cannot_be_a_study_is_refused_in_one_line_and_nothing_made(toy, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/table.md").touch()
    toy.write(tmp_path / "run")
    for path in ("runs.csv/runs.csv", "curves.csv/curves.csv", "bad/runs/b/config.json"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("run,seed\na\n")
    for name in ("lacking", "curves.csv"):
        (tmp_path / name / "runs").mkdir(parents=True)
    write_csv(tmp_path / "lacking/curves.csv", [{"epoch": 1}])
    refusals = {"file": "cannot be written to", "run": "already holds a run; name a new folder"}
    refusals |= dict.fromkeys(("runs.csv", "curves.csv", "bad"), "is damaged") | {"lacking": "it lacks 'run'"}
    refusals["thesis"] = r"is not empty \(table.md\); name a new folder"
    (tmp_path / "locked").mkdir()
    with filelock.FileLock(tmp_path / "locked/.lock"):
        for name, why in [*refusals.items(), ("locked", "another process is writing to this run")]:
            with pytest.raises(UserError, match=why) as caught:
                make_runs(tmp_path / name, [toy("a")])
            assert "\n" not in str(caught.value) and not (tmp_path / name / "runs" / "a").exists()


def test_a_failing_run_is_named_with_its_log_and_stops_those_under_way(toy, tmp_path):
    handler = signal.getsignal(signal.SIGTERM)
    plan = [toy("waits", "--how", "waits"), toy("fails", "--how", "fails"), toy("third", "--how", "waits")]
    with pytest.raises(UserError, match=r"fails ended with exit status 1; see .*fails\.log") as caught:
        make_runs(tmp_path / "study", plan, jobs=2)
    assert caught.value.status == 1 and (tmp_path / "study/runs/fails.log").read_text() == "no luck\n"
    assert (tmp_path / "study/runs/waits/saved").exists() and read_csv(tmp_path / "study/runs.csv") == []
    assert not (tmp_path / "study/runs/third/config.json").exists() or (tmp_path / "study/runs/third/saved").exists()
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_run_under_way_which_saves_and_begins_no_other(number, toy, tmp_path, monkeypatch, capsys):
    def when_it_waits() -> None:
        wait_until(lambda: (tmp_path / "study/runs/waits/config.json").exists())
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in the background
    monkeypatch.setattr(sys, "orig_argv", ["python", "part1/sweep.py", "--out_dir", "my study"])
    thread = threading.Thread(target=when_it_waits)
    thread.start()
    with pytest.raises(SystemExit) as caught:
        make_runs(tmp_path / "study", [toy(name, "--how", "waits") for name in ("waits", "third")])
    thread.join()
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler and caught.value.code == 128 + number
    logs = f"what a run prints: {tmp_path / 'study/runs/NAME.log'}"
    last = "stopped; to continue: python part1/sweep.py --out_dir 'my study'"
    stopping = "stopping as soon as the runs under way have saved"
    assert capsys.readouterr().out.splitlines() == [logs, "run 1 of 2: waits", stopping, last]
    assert (tmp_path / "study/runs/waits/saved").exists() and not (tmp_path / "study/runs/third.log").exists()


# Rows


def test_a_row_is_flat_and_what_is_none_is_no_cell_and_a_table_can_be_markdown():
    nested = {"n": 1, "none": None, "at": {"10": 0.5, "x": {"y": True}}, "list": [1, 2.5], "empty": []}
    nested |= {"walks": [{"reads": "9 3"}, {"reads": "3 2"}]}
    flat = {"n": 1, "at_10": 0.5, "at_x_y": True, "list": "1 2.5", "empty": ""}
    assert flatten(nested) == flat | {"walks_0_reads": "9 3", "walks_1_reads": "3 2"}
    assert markdown_table(["a", "b"], [["1", ""]]) == "| a | b |\n| --- | --- |\n| 1 |  |\n"


@all_scripts
def test_a_run_s_row_holds_its_settings_then_where_it_was_made_then_its_result(script, light, tmp_path):
    row = to_row(script.start(tmp_path / "runs" / "one", "--seed", "3"))
    config, result = (read_json(tmp_path / "runs" / "one" / f"{name}.json") for name in ("config", "result"))
    columns = " ".join(row)
    assert columns.startswith("run script ") and " started commit python torch " in columns
    assert row.keys().isdisjoint({"out_dir", "resume", "checkpoint_interval", "device", "processes"})
    assert (row["run"], row["script"], row["seed"], row["threads"]) == ("one", script.module.SCRIPT, 3, 1)
    assert (row["torch"], row["machine"]) == (config["packages"]["torch"], config["device"])
    assert row["seconds"] == result["seconds"] and row["batch_size"] == config["arguments"]["batch_size"]
    if script is PART2:
        assert row["number_format"] == "float32" and row["recipe_fields_betas"] == "0.0 0.99"
    else:
        assert row["lengths"] == "4" and row["accuracy_at_4"] == result["accuracy_at"]["4"]
    flags = [*script.tiny.split(), "--seed", "3"]
    make_runs(tmp_path, [PlannedRun("one", script.module.SCRIPT, flags)])  # its settings are those planned
    with pytest.raises(UserError, match="one had seed 3, and 4 is asked for"):
        make_runs(tmp_path, [PlannedRun("one", script.module.SCRIPT, [*flags[:-1], "4"])])


def test_student_s_t_leaves_a_fortieth_above():
    """Its density, integrated by the trapezoidal rule from 0 to t, is 0.475."""
    for runs, t in studies.T_975.items():
        v, x = runs - 1, torch.linspace(0, t, 20_001, dtype=torch.float64)
        scale = math.gamma((v + 1) / 2) / math.gamma(v / 2) / math.sqrt(v * math.pi)
        assert torch.trapezoid(scale * (1 + x**2 / v) ** (-(v + 1) / 2), x).item() == pytest.approx(0.475, abs=2e-5)


def test_the_interval_by_hand():
    """1, 2, 6: mean 3, s = √7, t = 4.303 with 2 degrees of freedom. Of two, an interval would say nothing."""
    assert interval([1, 2, 6]) == pytest.approx(4.303 * math.sqrt(7 / 3))
    assert interval([4, 4, 4, 4, 4]) == 0 and interval([1, 2]) == math.inf
    assert interval(list(range(20))) == pytest.approx(2.262 * stdev(range(20)) / math.sqrt(20))
