"""compare.py: which runs it asks for, the tables that it keeps, what it makes of them, and the published ones."""

import json
import shutil
from dataclasses import asdict
from types import SimpleNamespace

import common.studies
import part2.compare
from common.cli import UserError
from common.figures import tile
from common.files import read_csv, read_json, write_json
from common.find import PRETRAINED
from common.machine import ROOT
from part2.compare import REAL, compare, parse_args, redraw, to_board, to_table
from part2.judges.judge import COLUMNS, sample
from part2.networks.trained import load_generator
from part2.recipes.recipes import RECIPES

import numpy as np
import pytest
from PIL import Image

PUBLISHED = ROOT / "outputs" / "report" / "part2"
MEANS = {"generator_loss": 2.0, "discriminator_loss": 3.0, "accuracy_real": 0.5, "accuracy_fake": 0.25}
MEASURED = {"frechet": 2.3456789, "smudged": 0.1, "logit_training": 1.5, "logit_unseen": 0.5, "logit_generated": -1.0}
AN_EPOCH = {"generator_loss": 1.8, "discriminator_loss": 2.6, "accuracy_real": 0.6, "accuracy_fake": 0.4}


@pytest.mark.parametrize("name", ["board", "collapse", "compare", "crisp", "levers", "soon", "bf16", "board-bf16"])
def test_the_published_tables_follow_from_the_recorded_runs(name, tmp_path, figures):
    """And the pictures: each run's distance at the end; of up to six recipes a line for each run leads there."""
    saved = figures(part2.compare)
    for file in ("runs.csv", "curves.csv", "digits.png"):
        shutil.copy(PUBLISHED / name / file, tmp_path)
    redraw(tmp_path)
    for file in ("table.md", "board.md"):
        assert (tmp_path / file).read_text(encoding="utf-8") == (PUBLISHED / name / file).read_text(encoding="utf-8")
    *runs, real = read_csv(tmp_path / "runs.csv")
    *lines, of_real_images = saved[0].axes[0].lines
    ends = [line.get_xdata() if name == "levers" else line.get_ydata()[-1:] for line in lines]
    floors = sorted(run["frechet"] / real["frechet"] for run in runs)
    assert sorted(np.concatenate(ends)) == pytest.approx(floors, rel=1e-5) and len(saved) == 2
    assert set(np.ravel(of_real_images.get_data())) >= {1}
    strips, order = saved[1].axes[0].images[0].get_array(), [f"{run['recipe']} {run['seed']}" for run in runs]
    labels = [label.get_text() for label in saved[1].axes[0].get_yticklabels()]
    assert sorted(labels) == sorted(order) and strips.shape == (30 * len(runs) - 2, 478)
    last = order.index(labels[-1])
    assert np.array_equal(strips[-28:], np.asarray(Image.open(PUBLISHED / name / "digits.png"))[30 * last :][:28])


ODD = [("runs.csv", b",recipe,", b",r,"), ("curves.csv", b",epoch,", b",e,"), ("runs.csv", b"real training", b"real")]
ODD += [("digits.png", b"PNG", b"GIF"), ("digits.png", None, PUBLISHED / "crisp" / "compare.png")]


@pytest.mark.parametrize(("name", "old", "new"), ODD)
def test_tables_and_digits_that_do_not_belong_together_are_one_line_and_nothing_is_drawn(name, old, new, tmp_path):
    for file in ("runs.csv", "curves.csv", "digits.png"):
        shutil.copy(PUBLISHED / "soon" / file, tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes().replace(old, new) if old else new.read_bytes())
    with pytest.raises(UserError, match=r"(runs.csv|digits.png): (is damaged|cannot be read) \(.*\)$"):
        redraw(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_run_whose_end_was_not_measured_has_no_curve(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "batch": 4, "seconds": 3.0, **MEANS}))
    with pytest.raises(ValueError, match="holds no measurement"):
        part2.compare.curve(tmp_path)


def test_flags_reach_the_runs_that_are_asked_for_and_the_judge(tmp_path, monkeypatch):
    asked, judged, judge = [], [], SimpleNamespace(baseline=lambda n: {"frechet": 2.5, "images": n})
    monkeypatch.setattr(part2.compare, "make_runs", lambda *of: asked.append(of) or [])
    monkeypatch.setattr(part2.compare, "Judge", lambda split, device: judged.append(split) or judge)
    monkeypatch.setattr(part2.compare, "redraw", lambda out_dir: None)
    flags = "--n_epochs 4 --data_size 400 --eval_interval 2 --eval_split validation --precision bf16 --jobs 2"
    flags += " --recipes reference improved_no_average --seeds 0 3 --out_dir"
    compare(parse_args([*flags.split(), str(tmp_path)]))
    ((out_dir, runs, jobs, alike, *_),) = asked
    shared = {"n_epochs": 4, "data_size": 400, "eval_interval": 2, "eval_split": "validation", "number_format": "bf16"}
    assert (out_dir, jobs) == (tmp_path, 2) and set(alike) >= shared.keys()
    pairs = [(recipe, seed) for recipe in ("reference", "improved_no_average") for seed in (0, 3)]
    for run, (recipe, seed) in zip(runs, pairs, strict=True):
        assert run.settings().items() >= {**shared, "recipe": recipe, "seed": seed}.items()
        assert (run.name, run.script) == (f"{recipe}-seed{seed}", "part2/train_gan.py")
        assert run.also == {"recipe_fields": asdict(RECIPES[recipe])}
    assert judged == ["validation"] and read_csv(tmp_path / "runs.csv") == [{"run": REAL, **judge.baseline(10_000)}]
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
        {"epoch": 2, "batch": 9, "seconds": 7.0, **MEANS},
        {"epoch": 2, "batch": 10, "seconds": 8.0, **dict.fromkeys(MEANS, 1.0), **MEASURED, "floors": 3.0},
    ]
    finished = [run for run in read_csv(tmp_path / "runs.csv") if run["run"] == "improved-seed0"]
    scores = {name: cell for name, cell in finished[0].items() if name in (*COLUMNS, "frechet") or name[-1].isdecimal()}

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
    assert first == {"run": "improved-seed7", "epoch": 1, "seconds": 3.33333, **AN_EPOCH}
    assert second == {"run": "improved-seed7", "epoch": 2, "seconds": 8.0, **AN_EPOCH, **MEASURED, "frechet": 2.34568}
    strips, ours = (
        np.asarray(Image.open(tmp_path / "digits.png")),
        sample(load_generator(PRETRAINED / "generator"), 0, 16),
    )
    assert strips.shape == (30 * 15, 478) and np.array_equal(strips[-30:-2], tile(ours, 16))
    assert np.array_equal(strips[:-30], np.asarray(Image.open(PUBLISHED / "compare" / "digits.png")))
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
    assert improved[5:] == ["0.100", "0.50", "5.5–14.5 %"]
    assert real[:5] == [REAL, "", "", "1.00", "1.00"]
    older = {name: cell for name, cell in REFERENCE[0].items() if name not in ("recall", "frechet_autoencoder")}
    reference, _ = cells_of(to_table([older, REFERENCE[1]], REAL_ROW))
    assert reference[3:6] == ["125.0 (100.0–150.0)", "", "0.100"]  # no interval of two; empty where one has no value
    assert reference[6:] == ["", "5.5–14.5 %"]


def test_the_board_shows_when_a_distance_was_first_reached():
    """An epoch takes ten seconds. Seed 0 is at 12, 9, 11, 4 after 1, 2, 3, 4 epochs, seed 1 at 19 and 10 after 2, 4."""
    curves = points("improved", 0, e1=12, e2=9, e3=11, e4=4) + points("improved", 1, e1=0, e2=19, e3=0, e4=10)
    (found,) = cells_of(to_board([row("improved", seed, 5) for seed in (0, 1)], curves))
    assert found == ["improved", "2", "15 s, 2 epochs", "30 s, 3 epochs", "40 s, 4 epochs (1 of 2)", "never"]


def test_a_mistake_is_one_line_and_nothing_is_written(mistake):
    never = mistake(part2.compare, "--n_epochs", "5", "--eval_interval", "3")
    assert "--eval_interval: --n_epochs 5 is not a multiple of it" in never
    assert "--data_size 50000, or --eval_split test" in mistake(part2.compare, "--data_size", "50001")
    assert parse_args(["--data_size", "50001", "--eval_split", "test"]).data_size == 50_001
