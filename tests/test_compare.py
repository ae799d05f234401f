"""The comparison: which runs it starts, what it makes of finished ones, how it answers mistakes."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import common.sweeps
import part2.compare
from common import checkpoint
from common.cli import UserError
from common.files import write_json
from part2.compare import at_the_end, collect, compare, draw_quality, finished_runs, parse_args, seconds_until, to_table
from part2.networks import Generator


def figures_of(frechet: float) -> dict:
    figures = {"frechet": frechet, "frechet_autoencoder": frechet / 10, "score": 5.0, "confident": 0.5}
    figures |= dict.fromkeys(("precision", "recall", "density", "coverage"), 0.5)
    return figures | {f"share_{digit}": 0.055 + digit / 100 for digit in range(10)}


def measured(epoch: int, seconds: float, frechet: float) -> dict:
    row = {"epoch": epoch, "batch": 4 * epoch, "seconds": seconds, "generator_loss": 1.0, "discriminator_loss": 1.0}
    return row | {"accuracy_real": 0.5, "accuracy_fake": 0.5} | figures_of(frechet)


def leave_run(folder: Path, recipe: str, seed: int, frechets: list[float], arguments: dict | None = None) -> None:
    """A finished run's folder: measured after epochs 2, 4, …, which took ten seconds each; unmeasured in between."""
    folder.mkdir(parents=True)
    settings = {"recipe": recipe, "seed": seed, "n_epochs": 2 * len(frechets), "eval_interval": 2}
    settings |= {"eval_split": "test", "data_size": 60_000, "precision": "float32"} | (arguments or {})
    write_json(folder / "config.json", {"arguments": settings})
    rows = []
    for k, frechet in enumerate(frechets, start=1):
        row = measured(2 * k, 20.0 * k, frechet)
        rows += [{key: row[key] for key in ("epoch", "batch", "seconds")} | {"epoch": 2 * k - 1}, row]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    torch.manual_seed(seed)
    content = {"latent_dim": 5, "width": 1, "recipe": {}, "generator": Generator(5).state_dict()}
    checkpoint.save(folder / "checkpoint.pt", "GAN", content)
    write_json(folder / "result.json", {"epochs": 2 * len(frechets)})


@pytest.fixture
def three_runs(tmp_path) -> Path:
    leave_run(tmp_path / "runs" / "improved-seed0", "improved", 0, [50, 7])
    leave_run(tmp_path / "runs" / "reference-seed1", "reference", 1, [700, 300])
    leave_run(tmp_path / "runs" / "reference-seed0", "reference", 0, [600, 200])
    return tmp_path


@pytest.fixture
def started(monkeypatch):
    """Stands in for train_gan.py: each start leaves a finished run at once. Gives the flags of all."""
    starts = []

    def start(command, **_):
        assert command[1].endswith("part2/train_gan.py")
        flags = dict(zip(command[2::2], command[3::2], strict=True))
        starts.append(flags)
        alike = {"n_epochs": int(flags["--n_epochs"]), "eval_interval": int(flags["--eval_interval"])}
        alike |= {"eval_split": flags["--eval_split"], "data_size": int(flags["--data_size"])}
        leave_run(Path(flags["--out_dir"]), flags["--recipe"], int(flags["--seed"]), [9, 5], alike)
        return SimpleNamespace(wait=lambda: 0)

    monkeypatch.setattr(common.sweeps.subprocess, "Popen", start)
    monkeypatch.setattr(part2.compare, "Judge", lambda split, device: None)
    monkeypatch.setattr(part2.compare, "floor", lambda judge, training, seed: figures_of(2.0))
    return starts


REAL = figures_of(2.0)


def test_rows_are_the_measurements_of_the_run(three_runs):
    rows = collect(three_runs / "runs" / "reference-seed0", "reference", 0)
    assert [(row["epoch"], row["seconds"], row["frechet"]) for row in rows] == [(2, 20, 600), (4, 40, 200)]
    assert rows[0]["recipe"] == "reference" and rows[0]["share_3"] == pytest.approx(0.085)
    assert not {"generator_loss", "accuracy_real"} & rows[0].keys()


def test_runs_are_found_in_the_recipes_order(three_runs):
    assert list(finished_runs(three_runs / "runs")) == [("reference", 0), ("reference", 1), ("improved", 0)]


def all_rows(folder: Path) -> list[dict]:
    return [row for key, path in finished_runs(folder / "runs").items() for row in collect(path, *key)]


def test_the_end_and_the_time_to_it_by_hand(three_runs):
    rows = all_rows(three_runs)
    last = at_the_end(rows)
    assert {name: [row["frechet"] for row in ends] for name, ends in last.items()} == {
        "reference": [200, 300],
        "improved": [7],
    }
    assert seconds_until([row for row in rows if row["recipe"] == "reference"], 250) == [40, float("inf")]
    assert seconds_until([row for row in rows if row["recipe"] == "improved"], 250) == [20]


def test_the_table_shows_mean_range_and_time(three_runs):
    lines = to_table(all_rows(three_runs), REAL).splitlines()
    reference, improved, real = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:])
    assert reference[:4] == ["reference", "2", "4", "250.0 (200.0–300.0)"] and reference[-1] == ""
    assert improved[:4] == ["improved", "1", "4", "7.00"] and improved[-2:] == ["5.5–14.5 %", "20"]
    assert real[:5] == ["real training images", "", "", "2.00", "0.20"] and real[-2:] == ["5.5–14.5 %", ""]
    assert len({line.count("|") for line in lines}) == 1


def test_without_the_reference_there_is_no_time_to_it(three_runs):
    rows = [row for row in all_rows(three_runs) if row["recipe"] == "improved"]
    assert to_table(rows, REAL).splitlines()[-2].endswith("|  |")


def test_it_starts_each_run_once_and_writes_table_and_pictures(started, tmp_path, capsys):
    flags = ["--recipes", "reference", "improved_no_average", "--seeds", "0", "3", "--n_epochs", "4"]
    flags += ["--eval_interval", "2", "--out_dir", str(tmp_path)]
    compare(parse_args(flags))
    assert sorted((start["--recipe"], start["--seed"]) for start in started) == [
        ("improved_no_average", "0"),
        ("improved_no_average", "3"),
        ("reference", "0"),
        ("reference", "3"),
    ]
    assert {start["--n_epochs"] for start in started} == {"4"}
    table = list(csv.DictReader((tmp_path / "compare.csv").open(encoding="utf-8")))
    assert len(table) == 9 and table[-1]["recipe"] == "real training images" and table[-1]["frechet"] == "2.0"
    assert (tmp_path / "table.md").read_text() in capsys.readouterr().out
    for name in ("compare.png", "samples.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 100 and np.ptp(np.asarray(picture.convert("L"))) > 50
    drawn = {path: path.read_bytes() for path in tmp_path.glob("runs/*/samples.png")}
    for path in tmp_path.glob("runs/*/checkpoint.pt"):
        path.unlink()  # a finished run can be compared without it
    compare(parse_args([*flags, "--seeds", "0", "3", "4"]))
    assert len(started) == 6  # seed 4 alone is new
    assert len(drawn) == 4 and all(path.read_bytes() == picture for path, picture in drawn.items())


def test_runs_of_other_settings_are_not_mixed_in(started, three_runs):
    flags = ["--recipes", "reference", "--out_dir", str(three_runs), "--n_epochs", "4", "--eval_interval", "1"]
    with pytest.raises(UserError, match=r"--eval_interval 1: .* had 2; name another --out_dir"):
        compare(parse_args(flags))
    assert not started


def test_a_run_that_fails_ends_the_comparison_and_names_its_log(monkeypatch, tmp_path):
    def fail(command, **_):
        return SimpleNamespace(wait=lambda: 3)

    monkeypatch.setattr(common.sweeps.subprocess, "Popen", fail)
    message = r"improved-seed0 ended with exit status 3; see .*improved-seed0\.log"
    with pytest.raises(UserError, match=message) as caught:
        compare(parse_args(["--recipes", "improved", "--seeds", "0", "--out_dir", str(tmp_path)]))
    assert caught.value.status == 1


@pytest.mark.parametrize("one", [["reference"], ["improved"], ["improved_paired"]])
def test_one_recipe_alone_can_be_drawn(one, three_runs, tmp_path):
    rows = [{**row, "recipe": one[0]} for row in all_rows(three_runs) if row["recipe"] == "reference"]
    draw_quality(rows, REAL, tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--recipes", "best"], "argument --recipes: invalid choice: 'best'"),
        (["--n_epochs", "5", "--eval_interval", "6"], "argument --eval_interval: 6 epochs would never be over"),
        (["--jobs", "0"], "argument --jobs: 0 is not between"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(flags, message, tmp_path, answer):
    status, _, error = answer(part2.compare, *flags, "--out_dir", tmp_path / "new")
    assert status == 2 and message in error and error.count("\n") == 1 and not (tmp_path / "new").exists()
