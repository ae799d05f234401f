"""The sweep: which runs it plans, what it makes of finished ones (that they are made: tests/common/test_sweeps.py)."""

import csv
import json
from pathlib import Path

import pytest

from common.files import read_json, write_json
from common.runs import read_metrics
from common.sweeps import FinishedRun
from part1 import sweep, train, train_curriculum
from part1.sweep import CURRICULUM, NETWORKS, RECIPE, TESTED_AT, collect, draw_lengths, parse_args, plan, to_table


def finished(place: Path, name: str, length: int, seed: int, accuracies=(0.5, 1.0, 1.0), at=None) -> FinishedRun:
    """A finished run of 800 sequences an epoch with these validation accuracies, and test accuracies `at` lengths."""
    folder = place / f"{name}-T{length}-seed{seed}"
    folder.mkdir(parents=True)
    arguments = {"input_length": length, "seed": seed, "max_epoch": 100}
    write_json(folder / "config.json", {"arguments": arguments})
    rows = [{"epoch": k, "validation_accuracy": v, "validation_loss": 1 - v} for k, v in enumerate(accuracies, start=1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = {"test_accuracy": 0.75, "validation_accuracy": max(accuracies), "best_epoch": 2, "accuracy_at": at}
    result |= {"epochs": len(accuracies), "sequences_seen": 800 * len(accuracies), "seconds": 1.26}
    write_json(folder / "result.json", result)
    return FinishedRun(name, seed, folder, arguments)


def row(network="lstm", length=5, seed=0, accuracy=1.0, until_perfect=800) -> dict:
    row = {"network": network, "input_length": length, "seed": seed, "test_accuracy": accuracy}
    return row | {"sequences_until_perfect": until_perfect}


def test_every_combination_is_planned_once_and_a_curriculum_once_a_seed_whatever_the_lengths():
    flags = "--networks reference rnn_curriculum --lengths 5 10 --seeds 0 3 --max_epoch 7"
    at = " ".join(map(str, TESTED_AT))
    assert [(run.name, run.script, " ".join(run.flags)) for run in plan(parse_args(flags.split()))] == [
        (f"{name}-T{length}-seed{seed}", script, f"{own} --input_length {length} --seed {seed}")
        for name, script, own, lengths in [
            ("reference", RECIPE, "--init normal --encoding raw --max_epoch 7", [5, 10]),
            ("rnn_curriculum", CURRICULUM, f"--model rnn --encoding one_hot --lengths {at}", [1000]),
        ]
        for length in lengths
        for seed in (0, 3)
    ]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_trained_as_its_label_says(name):
    label, script, flags = NETWORKS[name]
    args = {RECIPE: train, CURRICULUM: train_curriculum}[script].parse_args(flags)
    model = "rnn" if "RNN" in label else "torch_lstm" if "nn.LSTM" in label else "lstm"
    init = "uniform" if "PyTorch's init" in label else "normal" if "reference's init" in label else "memory"
    marked = label.endswith("marked digit")
    by_curriculum = marked or label.endswith("by curriculum")
    encoding = "one_hot" if by_curriculum else "raw" if name == "reference" else "scaled"
    assert (args.model, args.init, args.encoding) == (model, init, encoding)
    assert by_curriculum == (script == CURRICULUM) == name.endswith(("_curriculum", "_marked"))
    assert marked == name.endswith("_marked") == (getattr(args, "task", "palindrome") == "marker")


def test_a_run_becomes_a_row_and_one_by_curriculum_a_row_for_each_length_it_was_tested_at(tmp_path):
    (made,) = collect(finished(tmp_path, "rnn", 10, 3))
    expected = {"network": "rnn", "input_length": 10, "seed": 3, "test_accuracy": 0.75, "validation_accuracy": 1.0}
    assert made == expected | {"best_epoch": 2, "epochs": 3, "sequences_until_perfect": 1600, "seconds": 1.3}
    (never_perfect,) = collect(finished(tmp_path, "rnn", 10, 4, accuracies=(0.5, 0.999)))
    assert never_perfect["sequences_until_perfect"] == ""
    at = {str(length): 1.0 if length < 300 else 0.5 for length in TESTED_AT}
    rows = collect(finished(tmp_path, "lstm_curriculum", 1000, 3, at=at))
    found = [(row["input_length"], row["test_accuracy"], row["sequences_until_perfect"]) for row in rows]
    assert found == [(length, 1.0 if length < 300 else 0.5, "") for length in TESTED_AT]
    assert rows[0].keys() == made.keys()


def test_the_table_shows_the_mean_and_the_worst_seed_where_it_differs():
    rows = [row(accuracy=1.0), row(accuracy=0.5, seed=1), row(length=10), row(length=10, seed=1), row("rnn", 10)]
    assert to_table(rows).splitlines() == [
        "| network | T = 5 | T = 10 |",
        "| --- | --- | --- |",
        "| LSTM | 0.750 (0.500) | 1.000 |",
        "| vanilla RNN, orthogonal initialisation |  | 1.000 |",
    ]


def test_the_picture_shows_every_seed_and_the_mean_of_each_network_beside_its_cost(tmp_path, figures):
    saved = figures(sweep)
    rows = [row("lstm", 5, 0, 0.5), row("lstm", 5, 1, 1.0, 1600), row("lstm", 10, 0, 0.25, "")]
    rows += [row("rnn", 5, 0, 0.125, ""), row("rnn_curriculum", 100, 0, 1.0, 2400), row("rnn_marked", 30, 0, 0.25, "")]
    draw_lengths(rows, tmp_path / "sweep.png")
    recipe, _, curriculum, _ = saved[0].axes
    clouds = [[cloud.get_offsets().tolist() for cloud in axes.collections] for axes in saved[0].axes]
    points = [sorted(point for cloud in panel for point in cloud) for panel in clouds]
    drawn = {line.get_label(): line.get_xydata().tolist() for line in recipe.lines}
    assert drawn["LSTM"] == [[5, 0.75], [10, 0.25]]
    assert drawn["vanilla RNN, orthogonal initialisation"] == [[5, 0.125]]
    assert points[0] == [[5, 0.125], [5, 0.5], [5, 1.0], [10, 0.25]]
    assert points[1:] == [[[5, 800], [5, 1600]], [[100, 1.0]], [[30, 0.25]]]  # of its cost only what a recipe took
    assert curriculum.lines[0].get_color() == recipe.lines[-2].get_color()  # the same network, the same colour
    draw_lengths([row("lstm", until_perfect="")], tmp_path / "sweep.png")  # nothing to show of cost
    draw_lengths([row("rnn", length) for length in (5, 10, 15, 25, 30)], tmp_path / "sweep.png")
    labels = [label.get_text() for label in saved[2].axes[0].get_xticklabels()]
    assert labels == ["30", "15", "10", "5"]  # as many as have room


def test_the_learning_curves_of_a_network_at_a_length_are_their_mean_in_a_band_from_worst_to_best(tmp_path, figures):
    saved = figures(sweep)
    runs = [finished(tmp_path, "lstm", 5, 0, (0.25, 0.5)), finished(tmp_path, "rnn", 10, 0, (0.75,))]
    runs += [finished(tmp_path, "lstm", 5, 1, (0.75, 1.0, 0.5, 1.0))]
    sweep.draw_validation(runs, tmp_path / "curves.png")
    means = [[line.get_xydata().tolist() for line in axes.lines[1:]] for axes in saved[0].axes]  # row by row
    assert means == [[[[1, 0.5], [2, 0.75], [3, 0.5], [4, 0.75]]], [], [], [[[1, 0.75]]]]  # after its end, its last
    bands = [[set(map(tuple, band.get_paths()[0].vertices)) for band in axes.collections] for axes in saved[0].axes]
    worst, best = {(1, 0.25), (2, 0.5), (3, 0.5), (4, 0.5)}, {(1, 0.75), (2, 1), (3, 0.5), (4, 1)}
    assert bands == [[worst | best], [], [], [{(1, 0.75)}]]
    assert [axes.get_title() for axes in saved[0].axes] == ["T = 5", "T = 10", "", ""]
    labels = [axes.get_ylabel().replace("\n", " ") for axes in saved[0].axes[::2]]
    assert labels == ["LSTM (2 seeds)", f"{NETWORKS['rnn'].label} (1 seed)"]
    (legend,) = saved[0].legends
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["mean over seeds", "from the worst to the best seed", "chance"]


def test_all_finished_runs_are_reported_in_the_order_of_the_table(tmp_path, monkeypatch, figures, capsys):
    asked, saved = [], figures(sweep)
    monkeypatch.setattr(sweep, "run_all", lambda *args, **settings: asked.append((*args[2:], settings)))
    for name, length, seed in (("rnn", 10, 1), ("rnn_uniform", 5, 0), ("lstm", 5, 0), ("something", 5, 0)):
        finished(tmp_path / "runs", name, length, seed)
    sweep.sweep(parse_args(["--jobs", "3", "--max_epoch", "9", "--out_dir", str(tmp_path)]))
    assert asked == [(3, {"alike": {"max_epoch": 9}})]
    rows = csv.DictReader((tmp_path / "sweep.csv").open())
    assert [f"{row['network']} {row['input_length']}" for row in rows] == ["lstm 5", "rnn 10", "rnn_uniform 5"]
    assert (tmp_path / "table.md").read_text() in capsys.readouterr().out and len(saved) == 2


def test_a_real_small_sweep_makes_a_real_run_and_its_pictures(tmp_path):
    flags = ["--networks", "rnn", "--lengths", "1", "--seeds", "0", "--max_epoch", "2", "--out_dir"]
    sweep.sweep(parse_args([*flags, str(tmp_path / "a sweep")]))
    folder = tmp_path / "a sweep" / "runs" / "rnn-T1-seed0"
    assert len(read_metrics(folder)) == 2
    (made,) = csv.DictReader((tmp_path / "a sweep" / "sweep.csv").open())
    assert float(made["test_accuracy"]) == read_json(folder / "result.json")["test_accuracy"]
    assert {path.name for path in folder.parents[1].glob("*.png")} == {"sweep.png", "curves.png"}


def test_lengths_for_curricula_alone_are_refused(answer):
    status, _, err = answer(sweep, "--networks", "rnn_marked", "--lengths", "5")
    assert status == 2 and "--lengths: is for networks trained at each length; after a curriculum it is 10" in err
    assert parse_args(["--networks", "rnn", "rnn_marked", "--lengths", "5"]).lengths == [5]
