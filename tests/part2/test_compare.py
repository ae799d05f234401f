"""compare.py: which runs it asks for, the tables that it keeps, what it makes of them, and the published ones."""

import json
import shutil
from dataclasses import asdict

import common.studies
import part2.compare
from common.cli import UserError
from common.figures import tile
from common.files import read_csv, read_json, write_csv, write_json
from common.find import PRETRAINED
from common.machine import ROOT
from part2.compare import REAL, compare, draw_quality, draw_samples, keep_digits, parse_args, redraw, to_board, to_table
from part2.judges.judge import COLUMNS, sample
from part2.networks.trained import load_generator
from part2.recipes.recipes import RECIPES

import numpy as np
import pytest
from PIL import Image

PUBLISHED = ROOT / "outputs" / "report" / "part2"
MEANS = {"generator_loss": 2.0, "discriminator_loss": 3.0, "accuracy_real": 0.5, "accuracy_fake": 0.25}
FIRST_EPOCH = {"generator_loss": 1.8, "discriminator_loss": 2.6, "accuracy_real": 0.6, "accuracy_fake": 0.4}


@pytest.mark.parametrize("name", ["board", "collapse", "compare", "crisp", "levers", "soon", "bf16", "board-bf16"])
def test_the_published_tables_follow_from_the_recorded_runs(name, tmp_path, monkeypatch):
    monkeypatch.setattr(part2.compare, "save_figure", lambda figure, path: path.touch())
    for file in ("runs.csv", "curves.csv", "digits.png"):
        shutil.copy(PUBLISHED / name / file, tmp_path)
    redraw(tmp_path)
    for file in ("table.md", "board.md"):
        assert (tmp_path / file).read_text(encoding="utf-8") == (PUBLISHED / name / file).read_text(encoding="utf-8")
    assert (tmp_path / "compare.png").exists() and (tmp_path / "samples.png").exists()


def test_flags_reach_the_runs_that_are_asked_for_and_the_judge(tmp_path, monkeypatch):
    asked, judged = [], []
    monkeypatch.setattr(part2.compare, "make_runs", lambda *of: asked.append(of) or [])
    monkeypatch.setattr(part2.compare, "Judge", lambda *of: of)
    monkeypatch.setattr(part2.compare, "real_baseline", lambda *of: judged.append(of) or {"frechet": 2.5})
    monkeypatch.setattr(part2.compare, "redraw", lambda out_dir: None)
    shared = {"n_epochs": 4, "data_size": 400, "precision": "bf16", "eval_interval": 2, "eval_split": "validation"}
    flags = [word for name, value in shared.items() for word in (f"--{name}", str(value))]
    flags += ["--recipes", "reference", "improved_no_average", "--seeds", "0", "3", "--jobs", "2"]
    compare(parse_args([*flags, "--out_dir", str(tmp_path)]))
    ((out_dir, runs, jobs, alike, *_),) = asked
    assert (out_dir, jobs) == (tmp_path, 2) and {run.script for run in runs} == {"part2/train_gan.py"}
    pairs = [(recipe, seed) for recipe in ("reference", "improved_no_average") for seed in (0, 3)]
    for run, (recipe, seed) in zip(runs, pairs, strict=True):
        settings = run.settings()
        named = {"number_format" if name == "precision" else name: value for name, value in shared.items()}
        assert settings.items() >= {**named, "recipe": recipe, "seed": seed}.items() and set(alike) >= set(named)
        assert run.name == f"{recipe}-seed{seed}" and run.also == {"recipe_fields": asdict(RECIPES[recipe])}
    assert judged == [(("validation", part2.compare.cli.device("auto")), 10_000)]
    assert read_csv(tmp_path / "runs.csv") == [{"run": REAL, "frechet": 2.5}]
    defaults = vars(parse_args([])).items()
    assert defaults >= {"seeds": [0, 1, 2], "recipes": list(RECIPES), "n_epochs": 200, "eval_interval": 10}.items()
    assert defaults >= {"eval_split": "validation", "data_size": 50_000, "precision": "float32", "jobs": 1}.items()


def test_one_command_adds_a_seed_to_a_published_table(tmp_path, monkeypatch):
    """Nothing else is trained or judged again; a run leaves the means of its epochs, to six digits."""
    for file in ("runs.csv", "curves.csv", "digits.png"):
        shutil.copy(PUBLISHED / "compare" / file, tmp_path)
    metrics = [
        {"epoch": 1, "batch": 4, "seconds": 3.0, **MEANS},
        {"epoch": 1, "batch": 5, "seconds": 10 / 3, **dict.fromkeys(MEANS, 1.0)},
        {"epoch": 2, "batch": 10, "seconds": 8.0, **MEANS, "frechet": 2.3456789, "floors": 3.0, "smudged": 0.1},
    ]
    finished = [run for run in read_csv(tmp_path / "runs.csv") if run["run"] == "improved-seed0"]
    scores = {name: cell for name, cell in finished[0].items() if name in COLUMNS or name[-1].isdecimal()}

    def make(folder, plan, jobs, add):
        for run in plan:
            made = shutil.copytree(PRETRAINED / "generator", folder / run.name)
            config, result = (read_json(made / f"{name}.json") for name in ("config", "result"))
            write_json(made / "config.json", config | {"arguments": config["arguments"] | {"seed": 7}})
            write_json(made / "result.json", result | scores | {"floors": 3.0})
            (made / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
            add(run.name)

    monkeypatch.setattr(common.studies, "_run_all", make)
    monkeypatch.setattr(part2.compare, "Judge", None)
    monkeypatch.setattr(part2.compare, "save_figure", lambda figure, path: None)
    flags = ["--recipes", "improved", "--seeds", "0", "7", "--eval_split", "test", "--data_size", "60000"]
    compare(parse_args([*flags, "--out_dir", str(tmp_path)]))
    *before, added = read_csv(tmp_path / "runs.csv")
    assert before == read_csv(PUBLISHED / "compare" / "runs.csv") and added["run"] == "improved-seed7"
    assert added["frechet"] == finished[0]["frechet"] and (added["seed"], added["number_format"]) == (7, "float32")
    *before, first, second = read_csv(tmp_path / "curves.csv")
    assert before == read_csv(PUBLISHED / "compare" / "curves.csv")
    assert first == {"run": "improved-seed7", "epoch": 1, "seconds": 3.33333, **FIRST_EPOCH}
    assert second == {"run": "improved-seed7", "epoch": 2, "seconds": 8.0, **MEANS, "frechet": 2.34568, "smudged": 0.1}
    assert Image.open(tmp_path / "digits.png").size == (478, 30 * 15)
    assert cells_of((tmp_path / "table.md").read_text(encoding="utf-8"))[1][:3] == ["improved", "6", "200"]
    with pytest.raises(UserError, match="reference-seed0 had n_epochs 200, and 100 is asked for"):
        compare(parse_args([*flags, "--n_epochs", "100", "--out_dir", str(tmp_path)]))


def row(recipe: str, seed: int, frechet: float) -> dict:
    """A run's row, after four epochs."""
    scores = {"frechet": frechet, "frechet_autoencoder": frechet / 10, "score": 5.0, "smudged": 0.1}
    scores |= dict.fromkeys(("precision", "recall", "density", "coverage"), 0.5)
    scores |= {f"share_{digit}": 0.055 + digit / 100 for digit in range(10)}
    return {"run": f"{recipe}-seed{seed}", "recipe": recipe, "seed": seed, "epochs": 4, **scores}


def points(recipe: str, seed: int, **frechet: float) -> list[dict]:
    """A run's curve: e2=7.0 is a distance of 7 after two epochs of ten seconds; nothing was measured before."""
    run = {"run": f"{recipe}-seed{seed}"}
    return [
        run | {"epoch": int(name[1:]), "seconds": 10.0 * int(name[1:])} | ({"frechet": value} if value else {})
        for name, value in frechet.items()
    ]


REFERENCE = [row("reference", 0, 200), row("reference", 1, 300)]
IMPROVED = [row("improved", 0, 7)]
REAL_ROW = row("", 0, 2) | {"run": REAL}


def cells_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_the_table_shows_mean_and_range_and_distances_in_floors_with_their_interval():
    rows = [*IMPROVED, *REFERENCE[::-1], row("reference", 2, 400), row("gone", 0, 7)]
    reference, improved, gone, real = cells_of(to_table(rows, REAL_ROW))
    assert reference[:4] == ["reference", "3", "4", "150.0 ± 124.2 (100.0–200.0)"]  # 4.303 · 50 / √3
    assert improved[:5] == ["improved", "1", "4", "3.50", "3.50"] and gone == ["gone", *improved[1:]]
    assert improved[5:7] == ["0.100", "7.00"] and improved[-1] == "5.5–14.5 %"
    assert real[:5] == [REAL, "", "", "1.00", "1.00"] and real[6] == "2.00"
    older = {name: cell for name, cell in REFERENCE[0].items() if name not in ("coverage", "frechet_autoencoder")}
    reference, _ = cells_of(to_table([older, REFERENCE[1]], REAL_ROW))
    assert reference[3:6] == ["125.0 (100.0–150.0)", "", "0.100"]  # no interval of two; empty where one has no value
    assert reference[7:] == ["0.50", "0.50", "0.50", "", "5.00", "5.5–14.5 %"]


def test_the_board_shows_when_a_distance_was_first_reached():
    """An epoch takes ten seconds. Seed 0 is at 12, 9, 11, 4 after 1, 2, 3, 4 epochs, seed 1 at 19 and 10 after 2, 4."""
    curves = points("improved", 0, e1=12, e2=9, e3=11, e4=4) + points("improved", 1, e1=0, e2=19, e3=0, e4=10)
    (found,) = cells_of(to_board([row("improved", seed, 5) for seed in (0, 1)], curves))
    assert found == ["improved", "2", "15 s, 2 epochs", "30 s, 3 epochs", "40 s, 4 epochs (1 of 2)", "never"]


def test_the_picture_shows_each_run_over_epochs_and_the_ends_in_floors(figures, tmp_path, monkeypatch):
    """Also with more families of recipes than there are styles."""
    many = dict(RECIPES) | {f"family{k}": RECIPES["reference"] for k in range(9)}
    monkeypatch.setattr(part2.compare, "RECIPES", many)
    saved, rows = figures(part2.compare), REFERENCE + IMPROVED + [row("family8", 0, 2)]
    curves = points("reference", 0, e1=0, e2=600, e4=200) + points("reference", 1, e2=700, e4=300)
    curves += points("improved", 0, e2=50, e4=7) + points("family8", 0, e4=2)
    draw_quality(rows, curves, REAL_ROW, tmp_path / "compare.png")
    over_epochs, end = saved[0].axes
    *runs, real = over_epochs.lines
    assert [line.get_ydata().tolist() for line in runs] == [[300, 100], [350, 150], [25, 3.5], [1]]
    assert all(line.get_xdata().tolist() == [2, 4] for line in runs[:3]) and set(real.get_ydata()) == {1}
    ends = [offsets.get_offsets().tolist() for offsets in end.collections]
    assert ends == [[[100, 0], [150, 0]], [[3.5, 1]], [[1, 2]]]
    assert [label.get_text() for label in end.get_yticklabels()] == ["reference", "improved", "family8"]


def test_a_run_leaves_its_curve_and_a_strip_of_digits(figures, tmp_path):
    """A strip for each run in runs.csv. A crash may have left one that is not there yet."""
    saved, eight = figures(part2.compare), tile(sample(load_generator(PRETRAINED / "generator"), 0, 16), 16)
    rows = [row("reference", 0, 2), row("improved", 0, 2), row("reference", 1, 2)]
    for k, made in enumerate(rows):
        write_csv(tmp_path / "runs.csv", [*rows[:k], REAL_ROW])
        for _ in range(2):
            keep_digits(
                shutil.copytree(PRETRAINED / "generator", tmp_path / "runs" / made["run"], dirs_exist_ok=True), ""
            )
    digits = np.asarray(Image.open(tmp_path / "digits.png"))
    assert digits.shape == (90, 478) and all(np.array_equal(digits[30 * k : 30 * k + 28], eight) for k in range(3))
    draw_samples(rows, np.concatenate([digits[:60], 0 * digits[60:]]), tmp_path / "samples.png")
    sheet = np.full((60, 500), 255)
    sheet[:28, :238], sheet[:28, 250:488], sheet[30:58, :238] = eight[:, :238], 0, eight[:, :238]
    assert np.array_equal(saved[0].axes[0].images[0].get_array(), sheet)


def test_a_mistake_is_one_line_and_nothing_is_written(mistake):
    never = mistake(part2.compare, "--n_epochs", "5", "--eval_interval", "3")
    assert "--eval_interval: 3: --n_epochs 5 is not a multiple of it" in never
    assert "--data_size: 50000 is the most with" in mistake(part2.compare, "--data_size", "50001")
    assert parse_args(["--data_size", "50001", "--eval_split", "test"]).data_size == 50_001
