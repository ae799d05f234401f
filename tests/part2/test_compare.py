"""compare.py: which runs it asks for, what it makes of finished ones, and the published tables."""

import csv
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import common.sweeps
import part2.compare
import part2.train_gan
from common.cli import UserError
from common.figures import tile
from common.files import read_json
from common.runs import PRETRAINED, ROOT
from common.sweeps import FinishedRun, finished_runs
from part2.compare import collect, compare, draw_quality, draw_samples, parse_args, to_board, to_table
from part2.judge import sample
from part2.networks import load_generator
from part2.recipes import RECIPES

PUBLISHED = ROOT / "outputs" / "report" / "part2"


def published(name: str) -> tuple[list[dict], dict]:
    """The rows of the finished runs behind a published comparison, and the recorded figures of real images."""
    with (PUBLISHED / name / "compare.csv").open(encoding="utf-8") as file:
        *_, real = csv.DictReader(file)
    rows = [row for run in finished_runs(PUBLISHED / name, list(RECIPES)) for row in collect(run)]
    return rows, {key: float(value) for key, value in real.items() if value and key != "recipe"}


@pytest.mark.parametrize("name", ["board", "compare", "levers", "soon", "bf16"])
def test_the_published_tables_follow_from_the_recorded_runs(name):
    header, _, *ours = to_table(*published(name)).splitlines()
    first, _, *others = (PUBLISHED / name / "table.md").read_text(encoding="utf-8").splitlines()
    assert [header, *ours] == [first, *others]  # but for the line below the header


def test_flags_reach_the_runs_that_are_asked_for_and_the_judge(tmp_path, monkeypatch, few):
    asked, judged = [], []
    monkeypatch.setattr(part2.compare, "run_all", lambda *of: asked.append(of))
    monkeypatch.setattr(part2.compare, "Judge", lambda *of: of)
    monkeypatch.setattr(part2.compare, "real_baseline", lambda *of: judged.append(of) or REAL)
    shutil.copytree(PUBLISHED / "soon" / "runs", tmp_path / "runs")
    alike = {"n_epochs": 4, "data_size": 400, "precision": "bf16", "eval_interval": 2, "eval_split": "validation"}
    flags = [word for name, value in alike.items() for word in (f"--{name}", str(value))]
    flags += ["--recipes", "reference", "improved_no_average", "--seeds", "0", "3", "--jobs", "2"]
    compare(parse_args([*flags, "--out_dir", str(tmp_path)]))
    ((out_dir, runs, jobs, same),) = asked
    assert (out_dir, jobs, same) == (tmp_path, 2, alike) and {run.script for run in runs} == {"part2/train_gan.py"}
    pairs = [(recipe, seed) for recipe in ("reference", "improved_no_average") for seed in (0, 3)]
    for run, (recipe, seed) in zip(runs, pairs, strict=True):
        given = vars(part2.train_gan.parse_args(run.flags))
        assert given.items() >= {**alike, "recipe": recipe, "seed": seed}.items()
        assert run.name == f"{recipe}-seed{seed}"
    recorded = read_json(PUBLISHED / "compare" / "runs" / "improved-seed0" / "config.json")["arguments"]
    as_published = parse_args(["--eval_split", "test", "--data_size", "60000"])
    assert vars(as_published).items() >= {name: recorded[name] for name in alike}.items()
    assert (parse_args([]).eval_split, parse_args([]).data_size) == ("validation", 50_000)
    assert judged == [(("validation", torch.device("cpu")), 10_000)]


def test_the_published_runs_can_be_set_beside_ones_own(tmp_path, monkeypatch, few):
    """As --help says: copied to --out_dir, they are not run again, and the published files are written anew."""
    shutil.copytree(PUBLISHED / "soon" / "runs", tmp_path / "runs")
    rows, real = published("soon")
    monkeypatch.setattr(common.sweeps.subprocess, "Popen", None)  # nothing may be started
    monkeypatch.setattr(part2.compare, "real_baseline", lambda *_: real)
    flags = ["--recipes", "improved", "--n_epochs", "10", "--eval_interval", "1", "--out_dir", str(tmp_path)]
    compare(parse_args([*flags, "--eval_split", "test", "--data_size", "60000"]))
    assert (tmp_path / "compare.csv").read_text(encoding="utf-8") == (PUBLISHED / "soon" / "compare.csv").read_text(
        encoding="utf-8"
    )
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == to_table(rows, real)
    assert (tmp_path / "board.md").read_text(encoding="utf-8") == to_board(rows)
    assert all(Image.open(tmp_path / name).width > 1000 for name in ("compare.png", "samples.png"))


def row(recipe: str, seed: int, epoch: int, frechet: float) -> dict:
    """A measurement; an epoch takes ten seconds."""
    figures = {"frechet": frechet, "frechet_autoencoder": frechet / 10, "score": 5.0, "smudged": 0.1}
    figures |= dict.fromkeys(("precision", "recall", "density", "coverage"), 0.5)
    figures |= {f"share_{digit}": 0.055 + digit / 100 for digit in range(10)}
    return {"recipe": recipe, "seed": seed, "epoch": epoch, "seconds": 10.0 * epoch, **figures}


REFERENCE = [row("reference", 0, 2, 600), row("reference", 0, 4, 200), row("reference", 1, 2, 700)]
REFERENCE += [row("reference", 1, 4, 300)]
IMPROVED = [row("improved", 0, 2, 50), row("improved", 0, 4, 7)]
REAL = row("", 0, 0, 2)


def cells_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_the_table_shows_mean_and_range_and_distances_in_floors_with_their_interval():
    third = [row("reference", 2, 4, 400)]
    reference, improved, real = cells_of(to_table(REFERENCE + third + IMPROVED, REAL))
    assert reference[:4] == ["reference", "3", "4", "150.0 ± 124.2 (100.0–200.0)"]  # 4.303 · 50 / √3
    assert improved[:5] == ["improved", "1", "4", "3.50", "3.50"]
    assert improved[5:7] == ["0.100", "7.00"] and improved[-1] == "5.5–14.5 %"
    assert real[:5] == ["real training images", "", "", "1.00", "1.00"] and real[6] == "2.00"
    assert cells_of(to_table(REFERENCE, REAL))[0][3] == "125.0 (100.0–150.0)"  # of two runs, no interval


def test_the_board_shows_when_a_distance_was_first_reached():
    """An epoch takes ten seconds. Seed 0 is at 12, 9, 11, 4 after 1, 2, 3, 4 epochs, seed 1 at 19 and 10 after 2, 4."""
    rows = [row("improved", 0, epoch, frechet) for epoch, frechet in ((1, 12), (2, 9), (3, 11), (4, 4))]
    rows += [row("improved", 1, 2, 19), row("improved", 1, 4, 10)]
    (found,) = cells_of(to_board(rows))
    assert found == ["improved", "2", "15 s, 2 epochs", "30 s, 3 epochs", "40 s, 4 epochs (1 of 2)", "never"]


def test_the_picture_shows_each_run_over_epochs_and_the_ends_in_floors(figures, tmp_path):
    saved = figures(part2.compare)
    draw_quality(REFERENCE + IMPROVED, REAL, tmp_path / "compare.png")
    draw_quality(IMPROVED, REAL, tmp_path / "alone.png")
    over_epochs, end = saved[0].axes
    *runs, real = over_epochs.lines
    assert [line.get_ydata().tolist() for line in runs] == [[300, 100], [350, 150], [25, 3.5]]
    assert all(line.get_xdata().tolist() == [2, 4] for line in runs) and set(real.get_ydata()) == {1}
    ends = [points.get_offsets().tolist() for points in end.collections]
    assert ends == [[[100, 0], [150, 0]], [[3.5, 1]]] and set(end.lines[0].get_xdata()) == {1}
    assert [label.get_text() for label in end.get_yticklabels()] == ["reference", "improved"]


def test_samples_are_the_first_digits_in_a_row_a_recipe_and_a_column_a_seed(figures, tmp_path):
    """They are drawn once: after that a finished run can be compared without its checkpoint."""
    runs = [FinishedRun(*of, tmp_path / f"{of}", {}) for of in (("reference", 0), ("reference", 1), ("improved", 0))]
    saved = figures(part2.compare)
    for run in runs:
        shutil.copytree(PRETRAINED / "generator", run.folder)
    draw_samples(runs, tmp_path / "samples.png")
    for run in runs:
        (run.folder / "checkpoint.pt").unlink()
    draw_samples(runs, tmp_path / "samples.png")
    eight = tile(sample(load_generator(PRETRAINED / "generator"), 0, 8), 8)
    sheet = np.full((60, 500), 255)
    for top, left in ((0, 0), (0, 250), (30, 0)):
        sheet[top : top + 28, left : left + 238] = eight
    assert all(np.array_equal(figure.axes[0].images[0].get_array(), sheet) for figure in saved)


def test_a_run_of_an_older_version_is_named(tmp_path):
    shutil.copytree(PUBLISHED / "soon" / "runs" / "improved-seed0", tmp_path / "old")
    metrics = tmp_path / "old" / "metrics.jsonl"
    metrics.write_text(metrics.read_text(encoding="utf-8").replace("smudged", "confident"), encoding="utf-8")
    with pytest.raises(UserError, match=r"old: was measured by an older version"):
        collect(FinishedRun("improved", 0, tmp_path / "old", {}))


def test_a_mistake_is_one_line_and_nothing_is_written(mistake):
    never = mistake(part2.compare, "--n_epochs", "5", "--eval_interval", "6")
    assert "--eval_interval: 6 is more than --n_epochs 5" in never
    assert "--data_size: 50000 is the most with" in mistake(part2.compare, "--data_size", "50001")
    assert parse_args(["--data_size", "50001", "--eval_split", "test"]).data_size == 50_001
