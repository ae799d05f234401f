"""GAN training: the loop beside one written plainly, what is measured and logged on the way, settings."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import part2.sources.files
import part2.train_gan
from common import seeds, training
from common.figures import tile
from common.files import read_csv, read_json, read_metrics
from common.find import OUTPUTS
from part2.gan import Game
from part2.images import Digits
from part2.judges.judge import Judge, in_floors, mean_logits, sample
from part2.networks import trained
from part2.networks.trained import load_discriminator, load_generator
from part2.recipes.recipes import CRISP, RECIPES
from part2.sources.files import Source
from part2.train_gan import MEANS, parse_args
from tests.part2.by_hand import train_plainly
from tests.tiny_runs import (
    PART2,
    NarrowDiscriminator,
    NarrowGenerator,
    differences,
    first_digits,
    refused,
    stop,
    without,
)

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture
def narrow_when_loaded(monkeypatch):
    for network in (NarrowGenerator, NarrowDiscriminator):
        monkeypatch.setattr(trained, network.__base__.__name__, network)


def test_a_run_is_the_loop_written_plainly(in_float64, light, tmp_path, monkeypatch):
    """Crisp for five epochs of two batches; of 90 images, 26 others are left over in each. The rate falls batch by
    batch. (What the other recipes' steps do: test_recipes.py.)"""
    images = first_digits().images[:90].double()
    monkeypatch.setattr(
        part2.sources.files, "load_mnist", lambda _: Digits(first_digits().images.double(), first_digits().labels)
    )
    flags = ["--recipe", "crisp", "--seed", 5, "--data_size", 90, "--n_epochs", 5, "--log_interval", 1]
    folder = PART2.start(tmp_path / "run", *flags, "--latent_dim", 22, "--learning_rate", 1e-3)

    torch.manual_seed(5)
    generator, discriminator = NarrowGenerator(22), NarrowDiscriminator()
    orders = [torch.randperm(90, generator=seeds.generator(5, "order", epoch)) for epoch in range(5)]
    reals = [images[part] for order in orders for part in order[:64].split(32)]
    noise = [torch.randn(32, 22, generator=seeds.generator(5, "noise", batch)) for batch in range(1, 11)]
    for z in noise:
        z[:, :20] = torch.where(z[:, :20] > 0, 3.0, -3.0)
    batches = zip(reals, noise, [1e-3 * (10 - batch) / 10 for batch in range(10)], strict=True)
    logged, average = train_plainly(generator, discriminator, CRISP, batches)

    rows = read_metrics(folder)
    np.testing.assert_allclose([[row[name] for name in MEANS] for row in rows], logged, rtol=1e-6)
    saved = PART2.saved(folder)
    for name, network in (("generator", generator), ("discriminator", discriminator), ("average", average)):
        for key, weight in network.named_parameters():
            torch.testing.assert_close(saved[name][key], weight.data, rtol=1e-6, atol=1e-8)


def test_the_recipes_sizes_reach_both_networks_and_a_checkpoint_says_what_trained_it(light, tmp_path, monkeypatch):
    """Sizes that no recipe has together."""
    recipe = replace(RECIPES["reference"], width=2, epsilon=0.8, signs=3, labels=True)
    monkeypatch.setitem(RECIPES, "reference", recipe)
    built, sizes = [], {"latent_dim": 6, "width": 2, "epsilon": 0.8, "signs": 3, "labels": 10}
    monkeypatch.setattr(part2.train_gan, "Generator", lambda **of: built.append(of) or NarrowGenerator(**of))
    monkeypatch.setattr(part2.train_gan, "Discriminator", lambda *of: built.append(of) or NarrowDiscriminator(*of))
    saved = PART2.saved(PART2.start(tmp_path / "run", "--recipe", "reference"))
    assert built == [sizes, (2, 10)] and "average" not in saved
    assert saved.items() >= (sizes | {"recipe": asdict(recipe), "data": {"name": "MNIST", "size": 100}}).items()


@pytest.fixture
def few_images(light, tmp_path, monkeypatch):
    """35 images in digits.npy, of which 30 are trained on; an epoch of 100."""
    monkeypatch.setattr(part2.sources.files, "AT_LEAST", 5)
    monkeypatch.setattr(part2.train_gan, "EPOCH", 100)
    np.save(tmp_path / "digits.npy", first_digits().images[:35].numpy())
    monkeypatch.chdir(tmp_path)
    return ["--images", "digits.npy", "--n_epochs", 2]


def test_a_few_images_come_several_times_an_epoch_in_smaller_batches(few_images, tmp_path, monkeypatch, capsys):
    seen, step = [], Game.step
    monkeypatch.setattr(Game, "step", lambda game, real, *of: seen.append(real) or step(game, real, *of))
    folder = PART2.start(tmp_path / "run", *few_images)
    source = Source(str(tmp_path / "digits.npy"))
    images = source.load("train").images
    orders = [torch.randperm(30, generator=seeds.generator(0, "order", k)) for k in range(6)]
    assert torch.equal(torch.stack(seen), torch.stack([images[order] for order in orders]))
    assert PART2.saved(folder)["data"] == source.describe(images) and read_json(folder / "result.json")["epochs"] == 2
    said = capsys.readouterr().out
    assert "train: 30 of 35 images" in said and "few: each comes 3 times an epoch; expect" in said


def test_a_run_finds_its_images_from_any_folder_and_refuses_others_in_their_place(few_images, tmp_path, monkeypatch):
    alone = PART2.saved(PART2.start(tmp_path / "alone", *few_images))
    assert stop(PART2.start, 2, tmp_path / "run", *few_images)
    monkeypatch.chdir("/")
    images = (tmp_path / "digits.npy").read_bytes()
    np.save(tmp_path / "digits.npy", first_digits().images[5:40].numpy())
    assert "its checkpoint does not fit this training (crc32" in refused(PART2, "--resume", tmp_path / "run")
    (tmp_path / "digits.npy").write_bytes(images)
    PART2.resume(tmp_path / "run")
    assert not differences(without(PART2.saved(tmp_path / "run"), "clock"), without(alone, "clock"))


def test_precision_reaches_the_step(straight):
    full, short = (straight(PART2, "--precision", precision)["metrics"] for precision in ("float32", "bf16"))
    assert full != short
    for name in ("generator_loss", "discriminator_loss"):
        assert [row[name] for row in short] == pytest.approx([row[name] for row in full], rel=0.02)


def test_looking_on_and_others_draws_change_no_bit_of_training(light, straight, tmp_path, monkeypatch, few):
    """Logged, drawn and measured as often as possible, while others use the global random generator."""
    draw_grid = part2.train_gan.draw_grid
    monkeypatch.setattr(part2.train_gan, "draw_grid", lambda *of: draw_grid(*of) or torch.randn(7))
    often = ["--save_interval", 1, "--log_interval", 1, "--eval_interval", 1]
    watched = PART2.saved(PART2.start(tmp_path / "run", *often))
    assert not differences(without(watched, "clock"), straight(PART2)["checkpoint"])


@pytest.mark.parametrize(("interval", "split", "at"), [(1, "validation", [3, 6, 9]), (2, "test", [6]), (0, "test", [])])
def test_quality_is_measured_every_eval_interval_off_the_clock(
    interval, split, at, light, narrow_when_loaded, tmp_path, monkeypatch, few
):
    """Each step takes a second, each measurement a thousand. The last measurement is of the last networks."""
    now = [0.0]

    def taking(seconds: float, function):
        def timed(*of):
            now[0] += seconds
            return function(*of)

        return timed

    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(Game, "step", taking(1, Game.step))
    monkeypatch.setattr(Judge, "of_training", taking(1000, Judge.of_training))
    flags = ["--n_epochs", 3, "--eval_interval", interval, "--eval_split", split]
    folder = PART2.start(tmp_path / "run", *flags)
    rows, result = read_metrics(folder), read_json(folder / "result.json")
    assert [row["batch"] for row in rows if "frechet" in row] == at
    assert [row["seconds"] for row in rows] == [row["batch"] for row in rows] and result["seconds"] == 9
    if interval == 1:
        judge, fake = Judge(split, torch.device("cpu")), sample(load_generator(folder), 0, 200)
        expected = judge(fake) | in_floors(judge(fake), judge.measure_floor(200))
        sets = {"training": first_digits().images, "unseen": judge.real, "generated": fake}
        expected |= mean_logits(load_discriminator(folder), sets)
        for found in (rows[-1], result):
            assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_metrics_are_means_since_the_row_before_and_the_result_the_last_epochs_however_often_is_logged(straight):
    """Every two of three batches, and at an epoch's end; beside a row for every batch."""
    seldom, often = straight(PART2), straight(PART2, "--log_interval", "1")

    def means(start: int, end: int) -> dict:
        return {name: pytest.approx(np.mean([row[name] for row in often["metrics"][start:end]])) for name in MEANS}

    expected = [(1, 0, 2), (1, 2, 3), (2, 3, 4), (2, 4, 6)]
    assert seldom["metrics"] == [{"epoch": epoch, "batch": end, **means(start, end)} for epoch, start, end in expected]
    accuracy = np.mean([row[name] for row in often["metrics"][3:] for name in ("accuracy_real", "accuracy_fake")])
    last = {"epochs": 2, "batches": 6, **means(3, 6), "discriminator_accuracy": pytest.approx(accuracy)}
    for result in (seldom["result"], often["result"]):
        assert without(result, "recipe_fields") == without(last, "accuracy_real", "accuracy_fake")


@pytest.mark.parametrize("recipe", ["reference", "crisp"])
def test_grids_come_every_save_interval_and_at_both_ends_from_fixed_noise(recipe, light, narrow_when_loaded, tmp_path):
    flags = ["--recipe", recipe, "--latent_dim", 22, "--seed", 3, "--save_interval", 2, "--n_epochs", 3]
    folder = PART2.start(tmp_path / "long", *flags)
    assert [path.name for path in sorted((folder / "grids").iterdir())] == [f"{k:07d}.png" for k in (0, 2, 4, 6, 8, 9)]
    generator = load_generator(folder)
    drawn = tile(generator(generator.draw(25, seeds.generator(3, "grid"))), 5)  # the average, if the recipe keeps one
    with Image.open(folder / "grids" / "0000009.png") as grid:
        assert np.array_equal(np.asarray(grid)[::2, ::2], drawn) and np.ptp(drawn) > 20


def test_defaults_are_the_settings_of_the_published_run():
    """All but what the study chose: which images judge it and how often, threads. Flags newer than it are not there."""
    rows = read_csv(OUTPUTS / "report" / "part2" / "compare" / "runs.csv")
    (recorded,) = [row for row in rows if row["run"] == "improved-seed0"]
    recorded["precision"] = recorded["number_format"]  # `precision` there is a measure
    args = without(vars(parse_args([])), "eval_interval", "eval_split", "threads", "deterministic")
    shared = {name: value for name, value in args.items() if name in recorded}
    assert shared == {name: recorded[name] for name in shared} and len(shared) == 10
    assert parse_args(["--recipe", "reference"]).learning_rate == 2e-4


def test_a_mistake_is_one_line_that_names_the_flag_and_nothing_is_written(mistake):
    for flags, words in {
        "--data_size 256 --batch_size 257": "--batch_size: 257 is more than",
        "--recipe crisp --latent_dim 20": "--latent_dim: 20 of its numbers are signs",
        "--eval_interval 1 --data_size 50001": "--eval_split validation: those",
        "--eval_interval 1 --images FashionMNIST": "--eval_interval: compares with MNIST",
        "--images nowhere": "nowhere: there is no such file",
    }.items():
        assert words in mistake(part2.train_gan, *flags.split())
    assert parse_args(["--eval_interval", "1", "--data_size", "50000"]).eval_split == "validation"
    assert parse_args(["--eval_interval", "1", "--eval_split", "test"]).data_size == 60_000


def test_a_run_of_the_real_networks_draws_its_pictures_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = "--recipe reference --data_size 256 --batch_size 32 --n_epochs 1 --device cpu --out_dir"
    folder = PART2.train(*flags.split(), "läuft hier").absolute()
    assert folder.parent == tmp_path and read_json(folder / "result.json")["batches"] == 8
    assert load_generator(folder).latent_dim == 100
    assert all(Image.open(folder / name).width > 100 for name in ("progress.png", "curves.png", "training.gif"))
