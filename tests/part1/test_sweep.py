"""The sweep: which runs it plans, what it makes of its tables (that runs are made: tests/common/test_studies.py)."""

from common.cli import UserError
from common.files import read_csv, write_csv
from part1 import sweep
from part1.sweep import Point, parse_args, plan, points_of, to_table
from tests.conftest import ROOT

import pytest
from PIL import Image

PUBLISHED = ROOT / "outputs" / "report" / "part1" / "sweep"


def test_every_combination_is_planned_once():
    flags = "--networks reference rnn --lengths 5 10 --seeds 0 3 --max_epoch 7"
    runs = plan(parse_args(flags.split()))
    names = [f"{name}-T{length}-seed{seed}" for name in ("reference", "rnn") for length in (5, 10) for seed in (0, 3)]
    assert [run.name for run in runs] == names
    flags = "--init normal --encoding raw --max_epoch 7 --input_length 5 --seed 3"
    assert (runs[1].script, " ".join(runs[1].flags)) == ("part1/train.py", flags)
    args = parse_args([])  # the settings of each network: tests/test_make_report.py
    assert (args.lengths, args.seeds, len(args.networks)) == ([5, 10, 15, 25, 30], [0, 1, 2, 3, 4], 6)


def test_a_run_becomes_a_point():
    shared = {"input_length": 10, "test_accuracy": 0.75, "epochs": 3, "sequences_seen": 2400}
    rows = [{"run": f"rnn-T10-seed{seed}", **shared} for seed in (3, 4)]
    accuracies = {"rnn-T10-seed3": (0.5, 1.0, 1.0), "rnn-T10-seed4": (0.5, 0.75, 0.999)}
    curves = [
        {"run": run, "epoch": epoch, "validation_accuracy": accuracy}
        for run, curve in accuracies.items()
        for epoch, accuracy in enumerate(curve, start=1)
    ]
    assert points_of(rows, curves) == [Point("rnn", 10, 0.75, 1600), Point("rnn", 10, 0.75, None)]


def test_the_table_shows_the_mean_and_the_worst_seed_where_it_differs():
    drawn = [("lstm", 5, 1.0), ("lstm", 5, 0.5), ("lstm", 10, 1.0), ("lstm", 10, 1.0), ("rnn", 10, 1.0)]
    assert to_table([Point(*point, None) for point in drawn[::-1]]).splitlines() == [
        "| network | T = 5 | T = 10 |",
        "| --- | --- | --- |",
        "| LSTM | 0.750 (0.500) | 1.000 |",
        "| vanilla RNN, orthogonal initialisation |  | 1.000 |",
    ]


def test_the_published_table_and_picture_come_from_the_published_tables_alone(tmp_path, figures):
    saved = figures(sweep)
    rows = [*read_csv(PUBLISHED / "runs.csv"), {"run": "gone-T5-seed0"}]  # a network of another version
    write_csv(tmp_path / "runs.csv", rows[::-1])
    (tmp_path / "curves.csv").write_bytes((PUBLISHED / "curves.csv").read_bytes())
    flags = ["--networks", "lstm", "--out_dir", str(tmp_path)]
    sweep.sweep(parse_args(flags))
    assert (tmp_path / "table.md").read_text() == (PUBLISHED / "table.md").read_text()
    means, points, *others = saved[0].axes[0].lines
    assert means.get_xydata().tolist() == [[T, 1.0] for T in (5, 10, 15, 25, 30)] and len(others) == 6 * 3 - 2 + 1
    assert points.get_ydata().tolist() == [1.0] * 25
    with pytest.raises(UserError, match="had max_epoch 100, and 50 is asked for"):  # one table, one bound
        sweep.sweep(parse_args([*flags, "--lengths", "7", "--max_epoch", "50"]))
    write_csv(tmp_path / "runs.csv", [{**row, "test_accuracy": "x"} for row in rows])
    with pytest.raises(UserError, match=r"runs.csv: is damaged \("):
        sweep.sweep(parse_args(flags))


def test_a_run_leaves_its_validation_accuracies_and_a_network_that_is_never_perfect_is_drawn_too(folders, tmp_path):
    first, second = sweep.validation(folders / "epochs")
    assert (first["epoch"], second["epoch"], len(first)) == (1, 2, 2)
    sweep.draw_lengths([Point("rnn", 5, 0.5, None)], tmp_path / "sweep.png")
    assert Image.open(tmp_path / "sweep.png").size == (1350, 630)
