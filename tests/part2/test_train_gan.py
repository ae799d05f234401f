"""One GAN training run: that every setting reaches the loop, and what the run leaves in its folder."""

import json
from dataclasses import asdict
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

import part2.networks
import part2.train_gan
from common import saving, seeds
from common.figures import tile
from common.files import read_json
from common.runs import read_metrics
from part2.judge import sample
from part2.mnist import Digits
from part2.networks import load_discriminator, load_generator
from part2.recipes import RECIPES
from part2.train_gan import MEANS, draw_summary, parse_args
from tests.part2.by_hand import train_plainly
from tests.tiny_runs import PART2, NarrowDiscriminator, NarrowGenerator, differences, first_digits, without


@pytest.mark.parametrize(
    ("recipe", "seed", "learning_rate"),
    [
        ("reference", 0, 2e-4),
        ("improved", 5, 5e-4),
        ("improved_paired", 0, 5e-4),
        ("reference_popular", 0, 2e-4),
        ("improved", 0, 1e-3),
        ("crisp", 0, 5e-4),
    ],
)
def test_a_run_is_the_loop_written_plainly(recipe, seed, learning_rate, in_float64, light, tmp_path, monkeypatch):
    """Five epochs of two batches; of 90 images, 26 others are left over in each. The rate falls batch by batch."""
    images = first_digits().images[:90].double()
    monkeypatch.setattr(part2.train_gan, "load_mnist", lambda split: Digits(first_digits().images.double(), None))
    given = ["--learning_rate", learning_rate] if learning_rate == 1e-3 else []  # else the recipe's
    flags = ["--recipe", recipe, "--seed", seed, "--data_size", 90, "--n_epochs", 5, "--log_interval", 1]
    flags += ["--latent_dim", 22, *given]
    folder = PART2.start(tmp_path / "run", *flags)

    torch.manual_seed(seed)
    generator, discriminator = NarrowGenerator(22, epsilon=RECIPES[recipe].epsilon), NarrowDiscriminator()
    orders = [torch.randperm(90, generator=seeds.generator(seed, "order", epoch)) for epoch in range(5)]
    indices = [part for order in orders for part in order[:64].split(32)]
    noise = [torch.randn(32, 22, generator=seeds.generator(seed, "noise", batch)) for batch in range(1, 11)]
    signs = RECIPES[recipe].signs
    for z in noise:
        z[:, :signs] = torch.where(z[:, :signs] > 0, 3.0, -3.0)
    halving = RECIPES[recipe].halving
    rates = [learning_rate / (1 + (batch / 2) / halving if halving else 1) for batch in range(10)]
    if recipe == "crisp":
        rates = [rate * (10 - batch) / 10 for batch, rate in enumerate(rates)]
    batches = zip([images[index] for index in indices], noise, rates, strict=True)
    logged, average = train_plainly(generator, discriminator, RECIPES[recipe], batches)

    rows = read_metrics(folder)
    np.testing.assert_allclose([[row[name] for name in MEANS] for row in rows], logged, rtol=1e-6)
    trained = PART2.saved(folder)
    for name, network in (("generator", generator), ("discriminator", discriminator), ("average", average)):
        for key, weight in network.named_parameters() if name in trained else ():
            torch.testing.assert_close(trained[name][key], weight.data, rtol=1e-6, atol=1e-8)
    assert ("average" in trained) == (RECIPES[recipe].average > 0)


@pytest.mark.parametrize(("precision", "dtype"), [("float32", None), ("bf16", torch.bfloat16)])
def test_width_latent_dim_and_precision_reach_both_networks(precision, dtype, light, tmp_path, monkeypatch):
    """Precision in all passes of either's step."""
    built, passes = [], []

    def watch(kind: type) -> None:
        def made(*of, **sizes):
            network = kind(*of, **sizes)
            built.append((kind, *of, *sizes.values()))
            network.register_forward_pre_hook(lambda *_: passes.append((kind, precision_now())))
            return network

        monkeypatch.setattr(part2.train_gan, kind.__base__.__name__, made)

    def precision_now():
        return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None

    watch(NarrowGenerator)
    watch(NarrowDiscriminator)
    monkeypatch.setattr(part2.train_gan, "draw_grid", lambda *_: None)
    folder = PART2.start(tmp_path / "run", "--recipe", "reference_wide", "--precision", precision)
    assert built == [(NarrowGenerator, 6, 2, 1e-5, 0), (NarrowDiscriminator, 2)]
    assert passes == [(NarrowGenerator, dtype), (NarrowDiscriminator, dtype), (NarrowDiscriminator, dtype)] * 6
    saved = PART2.saved(folder)
    sizes = {"latent_dim": 6, "width": 2, "epsilon": 1e-5, "signs": 0}
    assert saved.items() >= (sizes | {"recipe": asdict(RECIPES["reference_wide"])}).items()


def test_looking_on_and_others_draws_change_no_bit_of_training(light, straight, tmp_path, monkeypatch, few):
    """Logged, drawn and measured as often as can be, by judges who use the global random generator."""
    draw_grid = part2.train_gan.draw_grid
    monkeypatch.setattr(part2.train_gan, "draw_grid", lambda *of: draw_grid(*of) or torch.randn(7))
    judge = Mock(side_effect=lambda images: {"frechet": torch.randn(1).item()}, real=torch.zeros(3, 1, 28, 28))
    monkeypatch.setattr(part2.train_gan, "Judge", lambda *_: judge)
    monkeypatch.setattr(part2.train_gan, "measure_floor", lambda *_: {"frechet": 2.0})
    often = ["--save_interval", 1, "--log_interval", 1, "--eval_interval", 1]
    watched = PART2.saved(PART2.start(tmp_path / "run", *often))
    assert not differences(without(watched, "clock"), straight(PART2)["checkpoint"])


@pytest.mark.parametrize(("interval", "split", "at"), [(0, "test", []), (1, "validation", [3, 6, 9]), (2, "test", [6])])
def test_quality_is_measured_every_eval_interval_off_the_clock(interval, split, at, light, tmp_path, monkeypatch, few):
    """Each step takes a second, each measurement a thousand."""
    now, judges = [0.0], []

    def after(seconds: float, result):
        now[0] += seconds
        return result

    judge = Mock(side_effect=lambda images: after(1000, {"frechet": len(images)}), real=torch.zeros(3, 1, 28, 28))
    train_step = part2.train_gan.train_step
    monkeypatch.setattr(saving, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(part2.train_gan, "train_step", lambda *of: after(1, train_step(*of)))
    monkeypatch.setattr(part2.train_gan, "Judge", lambda *of: judges.append(of) or judge)
    monkeypatch.setattr(part2.train_gan, "measure_floor", lambda *_: {"frechet": 50})
    flags = ["--n_epochs", 3, "--eval_interval", interval, "--eval_split", split]
    folder = PART2.start(tmp_path / "run", *flags)
    rows = read_metrics(folder)
    found = [(row["batch"], row["frechet"], row["floors"]) for row in rows if "frechet" in row]
    assert found == [(batch, 200, 4) for batch in at]
    assert judges == ([(split, torch.device("cpu"))] if interval else [])
    assert [row["seconds"] for row in rows] == [row["batch"] for row in rows]
    assert read_json(folder / "result.json")["seconds"] == 9
    if interval == 1:  # the last measurement is of the last weights
        for network in (NarrowGenerator, NarrowDiscriminator):
            monkeypatch.setattr(part2.networks, network.__base__.__name__, network)
        generator, discriminator = load_generator(folder), load_discriminator(folder)
        sets = {"training": first_digits().images[:200], "unseen": judge.real, "generated": sample(generator, 0, 200)}
        for name, images in sets.items():
            assert rows[-1][f"logit_{name}"] == pytest.approx(discriminator(images).mean().item(), abs=1e-6)


def test_metrics_are_means_since_the_row_before_and_the_result_the_last_epochs_however_often_is_logged(straight):
    """Every two of three batches, and at an epoch's end; beside a row for every batch."""
    seldom, often = straight(PART2), straight(PART2, "--log_interval", "1")

    def means(start: int, end: int) -> dict:
        return {name: pytest.approx(np.mean([row[name] for row in often["metrics"][start:end]])) for name in MEANS}

    expected = [(1, 0, 2), (1, 2, 3), (2, 3, 4), (2, 4, 6)]
    assert seldom["metrics"] == [{"epoch": epoch, "batch": end, **means(start, end)} for epoch, start, end in expected]
    last = [row["accuracy_real"] + row["accuracy_fake"] for row in often["metrics"][3:]]
    for log_interval in ("1", "2", "100"):
        assert straight(PART2, "--log_interval", log_interval)["result"] == {
            **{"epochs": 2, "batches": 6, "checkpoint": "checkpoint.pt"},
            **without(means(3, 6), "accuracy_real", "accuracy_fake"),
            "discriminator_accuracy": pytest.approx(np.mean(last) / 2),
        }


@pytest.mark.parametrize("recipe", ["reference", "improved", "crisp"])
def test_grids_come_every_save_interval_and_at_both_ends_from_fixed_noise(recipe, light, tmp_path, monkeypatch):
    monkeypatch.setattr(part2.networks, "Generator", NarrowGenerator)
    flags = ["--recipe", recipe, "--latent_dim", 22, "--seed", 3]
    short = PART2.start(tmp_path / "short", *flags, "--n_epochs", 1)
    long = PART2.start(tmp_path / "long", *flags, "--save_interval", 2, "--n_epochs", 3)
    names = [[path.name for path in sorted((folder / "grids").iterdir())] for folder in (short, long)]
    assert names == [[f"{batch:07d}.png" for batch in batches] for batches in ((0, 3), (0, 2, 4, 6, 8, 9))]
    assert (short / "grids" / "0000000.png").read_bytes() == (long / "grids" / "0000000.png").read_bytes()
    generator = load_generator(long)
    drawn = tile(generator(generator.draw(25, seeds.generator(3, "grid"))), 5)  # the average, if the recipe keeps one
    with Image.open(long / "grids" / "0000009.png") as grid:
        assert np.array_equal(np.asarray(grid)[::2, ::2], drawn) and np.ptp(drawn) > 20


def test_the_pictures_show_the_grids_and_the_metrics(tmp_path, figures, monkeypatch):
    """Of 200 grids, each of another grey: the first, the middle, the last; and 48 at most move, early ones densely."""
    (tmp_path / "grids").mkdir()
    for k in range(200):
        Image.fromarray(np.full((8, 8), k, dtype=np.uint8)).save(tmp_path / "grids" / f"{5 * k:07d}.png")
    numbers = ((10, 1.0, 2.0, 0.5, 0.25), (25, 3.0, 1.5, 0.75, 1.0))
    rows = [dict(zip(("batch", *MEANS), row, strict=True)) for row in numbers]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    saved, moving = figures(part2.train_gan), []
    monkeypatch.setattr(part2.train_gan, "save_animation", lambda sheets, path, scale: moving.extend(sheets))
    draw_summary(tmp_path, batches_per_epoch=10)

    progress, curves = saved
    assert [axes.get_title() for axes in progress.axes] == ["start: batch 0", "middle: batch 500", "end: batch 995"]
    assert [np.unique(axes.images[0].get_array()).tolist() for axes in progress.axes] == [[0], [100], [199]]
    losses, accuracies = ({line.get_label(): line.get_xydata().tolist() for line in axes.lines} for axes in curves.axes)
    assert losses == {"generator": [[1, 1], [2.5, 3]], "discriminator": [[1, 2], [2.5, 1.5]]}
    assert accuracies["on real images"] == [[1, 50], [2.5, 75]]
    assert accuracies["on generated images"] == [[1, 25], [2.5, 100]]
    shown = [int(sheet[0, 0]) for sheet in moving]
    assert shown[:4] == [0, 1, 2, 3] and shown[-1] == 199 and 30 < len(shown) <= 48 and shown == sorted(set(shown))


def test_defaults_are_the_assignments_and_the_recipes():
    args = parse_args([])
    assert (args.recipe, args.learning_rate) == ("improved", RECIPES["improved"].learning_rate)
    assert [args.n_epochs, args.batch_size, args.latent_dim, args.save_interval] == [200, 64, 100, 500]
    assert parse_args(["--recipe", "reference"]).learning_rate == 2e-4


def test_a_mistake_is_one_line_that_names_the_flag_and_nothing_is_written(mistake, monkeypatch):
    monkeypatch.setattr(part2.train_gan, "train", lambda args: None)
    assert "--batch_size: 257 is more than" in mistake(part2.train_gan, "--data_size", 256, "--batch_size", 257)
    assert "--latent_dim: 20 of its numbers are signs" in mistake(
        part2.train_gan, "--recipe", "crisp", "--latent_dim", 20
    )
    to_choose_by = ["--eval_interval", "1", "--data_size"]
    assert "--eval_split validation: those" in mistake(part2.train_gan, *to_choose_by, "50001")
    assert parse_args([*to_choose_by, "50000"]).eval_split == "validation"
    assert parse_args([*to_choose_by, "60000", "--eval_split", "test"]).data_size == 60_000


def test_the_script_starts_in_any_folder_and_writes_to_any_name(tmp_path, run_script):
    flags = ["--data_size", 256, "--batch_size", 32, "--n_epochs", 1, "--device", "cpu", "--out_dir", "läuft hier"]
    done = run_script("part2/train_gan.py", *flags)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "läuft hier"
    assert read_json(folder / "result.json")["batches"] == 8
    assert load_generator(folder).latent_dim == 100
    assert all(Image.open(folder / name).width > 100 for name in ("progress.png", "curves.png", "training.gif"))
