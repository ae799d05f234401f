"""The sweep: which runs it plans, what it makes of its tables (that runs are made: tests/common/test_studies.py)."""

from common.cli import UserError
from common.files import read_csv, read_json, write_csv
from part1 import sweep
from part1.sweep import BY_RECIPE, CURRICULUM, TESTED_AT, TRAIN, Point, parse_args, plan, points_of, to_table
from tests.conftest import ROOT

import pytest

PUBLISHED = ROOT / "outputs" / "report" / "part1" / "sweep"


def test_every_combination_is_planned_once_and_a_curriculum_once_a_seed_whatever_the_lengths():
    flags = "--networks reference rnn_curriculum --lengths 5 10 --seeds 0 3 --max_epoch 7"
    at = " ".join(map(str, TESTED_AT))
    assert [(run.name, run.script, " ".join(run.flags)) for run in plan(parse_args(flags.split()))] == [
        (f"{name}-T{length}-seed{seed}", script, f"{own} --input_length {length} --seed {seed}")
        for name, script, own, lengths in [
            ("reference", TRAIN, "--init normal --encoding raw --max_epoch 7", [5, 10]),
            ("rnn_curriculum", CURRICULUM, f"--model rnn --encoding one_hot --lengths {at}", [1000]),
        ]
        for length in lengths
        for seed in (0, 3)
    ]


def test_what_is_published_is_a_plan_without_flags():
    """But for seeds 3 and 4 of some networks. It holds the default lengths and seeds, and each network's settings."""
    published, planned = {row["run"]: row for row in read_csv(PUBLISHED / "runs.csv")}, plan(parse_args([]))
    planned = [run for run in planned if run.name.split("-T")[0] in {run.split("-T")[0] for run in published}]
    seeds = {"lstm": "01234"}
    assert published.keys() <= {run.name for run in planned}
    assert {run.name for run in planned if run.name[-1] in seeds.get(run.name.split("-")[0], "012")} <= published.keys()
    for run in planned:
        settings, row = run.settings(), published.get(run.name, {})
        for name in (settings.keys() & row.keys()) - {"threads"}:
            assert str(settings[name]) == str(row[name]), (run.name, name)


def test_a_run_becomes_a_point_and_one_by_curriculum_a_point_for_each_length_it_was_tested_at():
    shared = {"script": TRAIN, "input_length": 10, "test_accuracy": 0.75, "epochs": 3, "sequences_seen": 2400}
    rows = [{"run": f"rnn-T10-seed{seed}", **shared} for seed in (3, 4)]
    at = {f"accuracy_at_{length}": 1.0 if length < 300 else 0.5 for length in TESTED_AT}
    rows.append({"run": "lstm_curriculum-T1000-seed3", "script": CURRICULUM, "input_length": 1000, **at})
    accuracies = {"rnn-T10-seed3": (0.5, 1.0, 1.0), "rnn-T10-seed4": (0.5, 0.75, 0.999)}
    curves = [
        {"run": run, "epoch": epoch, "validation_accuracy": accuracy}
        for run, curve in accuracies.items()
        for epoch, accuracy in enumerate(curve, start=1)
    ]
    first, never_perfect, *others = points_of(rows, curves)
    assert (first, never_perfect) == (Point("rnn", 10, 0.75, 1600), Point("rnn", 10, 0.75, None))
    assert others == [Point("lstm_curriculum", T, 1.0 if T < 300 else 0.5, None) for T in TESTED_AT]


def test_the_table_shows_the_mean_and_the_worst_seed_where_it_differs():
    drawn = [("lstm", 5, 1.0), ("lstm", 5, 0.5), ("lstm", 10, 1.0), ("lstm", 10, 1.0), ("rnn", 10, 1.0)]
    assert to_table([Point(*point, None) for point in drawn]).splitlines() == [
        "| network | T = 5 | T = 10 |",
        "| --- | --- | --- |",
        "| LSTM | 0.750 (0.500) | 1.000 |",
        "| vanilla RNN, orthogonal initialisation |  | 1.000 |",
    ]


def test_the_published_table_and_pictures_come_from_the_published_tables_alone(tmp_path, figures):
    saved = figures(sweep)
    rows = [*read_csv(PUBLISHED / "runs.csv"), {"run": "gone-T5-seed0"}]  # a network of another version
    write_csv(tmp_path / "runs.csv", rows[::-1])
    (tmp_path / "curves.csv").write_bytes((PUBLISHED / "curves.csv").read_bytes())
    sweep.sweep(parse_args(["--networks", "lstm", "--seeds", "0", "--out_dir", str(tmp_path)]))
    assert (tmp_path / "table.md").read_text() == (PUBLISHED / "table.md").read_text()
    lengths, validation = saved
    assert [len(axes.collections) for axes in lengths.axes] == [6, 6, 6, 2]  # a cloud for each network
    assert lengths.axes[0].lines[0].get_xydata().tolist() == [[T, 1.0] for T in (5, 10, 15, 25, 30)]
    assert [len(axes.collections) for axes in validation.axes] == [1] * 30
    assert validation.axes[0].get_title() == "T = 5, n = 5"
    with pytest.raises(UserError, match="had max_epoch 100, and 50 is asked for"):  # one table, one bound
        sweep.sweep(
            parse_args(["--networks", "lstm", "--lengths", "7", "--max_epoch", "50", "--out_dir", str(tmp_path)])
        )


def test_a_real_small_sweep_makes_a_real_run_its_tables_and_its_pictures(tmp_path):
    """And no epoch without an error."""
    folder = tmp_path / "a sweep"
    flags = ["--networks", "rnn", "--lengths", "1", "--seeds", "0", "--max_epoch", "2", "--out_dir", str(folder)]
    sweep.sweep(parse_args(flags))
    assert [point["epoch"] for point in read_csv(folder / "curves.csv")] == [1, 2]
    (row,) = read_csv(folder / "runs.csv")
    assert row["test_accuracy"] == read_json(folder / "runs" / row["run"] / "result.json")["test_accuracy"]
    assert {path.name for path in folder.iterdir()} >= {"table.md", "sweep.png", "curves.png"}


def test_a_seventh_network_is_a_line_more_though_there_are_six_line_styles(figures, monkeypatch, tmp_path):
    saved = figures(sweep)
    monkeypatch.setitem(BY_RECIPE, "seventh", BY_RECIPE["rnn"]._replace(label="A seventh"))
    sweep.draw_lengths([Point("lstm", 5, 1.0, 800), Point("seventh", 5, 0.5, None)], tmp_path / "sweep.png")
    assert [text.get_text() for text in saved[0].legends[0].get_texts()] == ["LSTM", "A seventh"]


def test_lengths_for_curricula_alone_are_refused(answer):
    status, _, err = answer(sweep, "--networks", "rnn_marked", "--lengths", "5")
    assert status == 2 and "--lengths: is for networks trained at each length; after a curriculum it is 10" in err
    assert parse_args(["--networks", "rnn", "rnn_marked", "--lengths", "5"]).lengths == [5]
