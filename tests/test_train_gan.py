"""One GAN training run: what changes its weights, what it leaves in its folder, and how it answers mistakes."""

import functools

import numpy as np
import pytest
import torch
from PIL import Image

import part2.train_gan
from common import checkpoint, seeds
from common.cli import UserError
from common.files import read_json
from common.runs import Run, read_metrics
from part2.mnist import Digits, load_mnist
from part2.networks import Discriminator, Generator, load_generator
from part2.recipes import RECIPES
from part2.train_gan import draw_grid, draw_summary, parse_args, train

TINY = ["--data_size", "256", "--batch_size", "32", "--n_epochs", "2", "--latent_dim", "10", "--device", "cpu"]
BATCHES = 8  # an epoch


@pytest.fixture(scope="module")
def digits():
    images, labels = load_mnist("train")
    return Digits(images[:256], labels[:256])


@pytest.fixture(autouse=True)
def light(monkeypatch, digits):
    """Training without loading anew and without pictures of the whole run."""
    monkeypatch.setattr(part2.train_gan, "load_mnist", {"train": digits}.__getitem__)
    monkeypatch.setattr(part2.train_gan, "draw_summary", lambda *args: None)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Calls `train` with TINY and more flags; equal flags share one run. Returns the run's folder."""

    @functools.cache
    def train_once(*flags: str):
        folder = tmp_path_factory.mktemp("gan") / "run"
        return train(parse_args([*TINY, *flags, "--out_dir", str(folder)]))

    return train_once


def weights(folder) -> dict[str, dict[str, torch.Tensor]]:
    content = checkpoint.load(folder / "checkpoint.pt", kind="GAN")
    return {name: content[name] for name in ("generator", "discriminator", "average") if content.get(name)}


def same(state: dict, other: dict) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


def test_drawing_and_logging_more_often_changes_no_bit_of_training(run):
    seldom, often = weights(run()), weights(run("--save_interval", "3", "--log_interval", "1"))
    assert all(same(seldom[name], often[name]) for name in seldom)


def test_same_seed_same_bits_another_seed_other_bits(tmp_path, run):
    again = train(parse_args([*TINY, "--out_dir", str(tmp_path / "again")]))
    assert same(weights(run())["average"], weights(again)["average"])
    assert (run() / "grids/0000016.png").read_bytes() == (again / "grids/0000016.png").read_bytes()
    assert not same(weights(run())["generator"], weights(run("--seed", "1"))["generator"])


def test_training_draws_nothing_from_the_global_generator_after_the_start(tmp_path, run, monkeypatch):
    """Somebody else's draws in the middle of training change nothing."""
    undisturbed = weights(run())["generator"]
    monkeypatch.setattr(part2.train_gan, "draw_grid", lambda *args: torch.randn(7))
    disturbed = train(parse_args([*TINY, "--save_interval", "1", "--out_dir", str(tmp_path / "run")]))
    assert same(weights(disturbed)["generator"], undisturbed)


def test_the_recipes_train_differently(run):
    reference, improved = weights(run("--recipe", "reference")), weights(run())
    assert "average" not in reference
    assert not same(improved["average"], improved["generator"])
    assert not same(reference["generator"], improved["generator"])


@pytest.mark.parametrize(("recipe", "name"), [("improved", "average"), ("reference", "generator")])
def test_what_is_sampled_from_is_the_average_where_the_recipe_keeps_one(run, recipe, name):
    folder = run("--recipe", recipe)
    loaded, saved = load_generator(folder / "checkpoint.pt"), weights(folder)[name]
    assert all(torch.equal(value, saved[key]) for key, value in loaded.named_parameters())
    kept = same(dict(loaded.named_buffers()), {key: saved[key] for key, _ in loaded.named_buffers()})
    assert kept is (name == "generator")  # an average's statistics are measured anew


# What a run leaves


def test_grids_come_every_save_interval_and_at_both_ends(run):
    names = [path.name for path in sorted((run("--save_interval", "3", "--log_interval", "1") / "grids").iterdir())]
    assert names == [f"{batch:07d}.png" for batch in (0, 3, 6, 9, 12, 15, 16)]


def test_grids_are_drawn_from_fixed_noise(run):
    """A run of one epoch shows at batches 0 and 8 what a run of two shows there."""
    short, long = run("--n_epochs", "1"), run("--save_interval", "4")
    for name in ("0000000.png", "0000008.png"):
        assert (short / "grids" / name).read_bytes() == (long / "grids" / name).read_bytes()
    assert (long / "grids/0000000.png").read_bytes() != (long / "grids/0000008.png").read_bytes()


def test_the_last_grid_is_what_the_loaded_generator_draws(tmp_path, run):
    z = torch.randn(25, 10, generator=seeds.generator(0, "grid"))
    draw_grid(Run(tmp_path), load_generator(run() / "checkpoint.pt"), z, 16)
    assert (tmp_path / "grids/0000016.png").read_bytes() == (run() / "grids/0000016.png").read_bytes()


def test_result_holds_what_the_contract_demands(run):
    result = read_json(run() / "result.json")
    assert {"epochs", "batches", "seconds", "discriminator_accuracy", "checkpoint"} <= result.keys()
    assert (result["epochs"], result["batches"]) == (2, 2 * BATCHES)
    assert (run() / result["checkpoint"]).is_file()


def test_metrics_cover_every_batch_once(run):
    """A row every log_interval batches and at an epoch's end; each row is the mean since the one before."""
    seldom, often = (read_metrics(run("--log_interval", n)) for n in ("3", "1"))
    assert [row["batch"] for row in often] == list(range(1, 17))
    assert [(row["batch"], row["epoch"]) for row in seldom] == [
        (3, 1),
        (6, 1),
        (8, 1),
        (9, 2),
        (12, 2),
        (15, 2),
        (16, 2),
    ]
    start = 0
    for row in seldom:
        for key in ("generator_loss", "discriminator_loss", "accuracy_real", "accuracy_fake"):
            since = [single[key] for single in often[start : row["batch"]]]
            assert row[key] == pytest.approx(np.mean(since), rel=1e-5)
        start = row["batch"]


@pytest.mark.parametrize("log_interval", ["1", "3", "100"])
def test_result_is_the_mean_over_the_last_epochs_batches_however_often_is_logged(run, log_interval):
    last = read_metrics(run("--log_interval", "1"))[BATCHES:]  # a row a batch
    result = read_json(run("--log_interval", log_interval) / "result.json")
    accuracy = np.mean([(row["accuracy_real"] + row["accuracy_fake"]) / 2 for row in last])
    assert result["discriminator_accuracy"] == pytest.approx(accuracy, rel=1e-5)
    for key in ("generator_loss", "discriminator_loss"):
        assert result[key] == pytest.approx(np.mean([row[key] for row in last]), rel=1e-5)


@pytest.mark.parametrize(("name", "frames"), [("progress.png", 1), ("curves.png", 1), ("training.gif", 5)])
def test_pictures_can_be_opened_and_are_not_blank(run, name, frames):
    folder = run("--save_interval", "4")  # grids at batches 0, 4, 8, 12, 16
    if not (folder / name).exists():
        draw_summary(folder, BATCHES)
    with Image.open(folder / name) as picture:
        assert min(picture.size) > 100
        assert getattr(picture, "n_frames", 1) == frames
        assert np.ptp(np.asarray(picture.convert("L"))) > 20  # an untrained generator's grey is nearly even


def test_checkpoint_rebuilds_everything_that_training_needs(run):
    content = checkpoint.load(run() / "checkpoint.pt", kind="GAN")
    assert (content["latent_dim"], content["progress"]["batch"]) == (10, 16)
    Discriminator().load_state_dict(content["discriminator"])
    for name, network in (("generator", Generator(10)), ("discriminator", Discriminator())):
        torch.optim.Adam(network.parameters()).load_state_dict(content[f"{name}_optimizer"])


# Mistakes and the command line


def test_a_folder_that_holds_a_run_is_left_alone(run):
    def written() -> dict:
        return {path: path.stat().st_mtime_ns for path in run().rglob("*")}

    before = written()
    with pytest.raises(UserError, match="already holds a run"):
        train(parse_args([*TINY, "--out_dir", str(run())]))
    assert written() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--n_epochs", "0"], "argument --n_epochs: 0 is not between"),
        (["--batch_size", "1"], "argument --batch_size: 1 is not between"),
        (["--batch_size", "257"], "argument --batch_size: 257 is more than"),
        (["--learning_rate", "nan"], "argument --learning_rate: nan is not above 0"),
        (["--latent_dim", "2.5"], "argument --latent_dim: '2.5' is not a whole number"),
        (["--save_interval", "0"], "argument --save_interval: 0 is not between"),
        (["--recipe", "best"], "argument --recipe: invalid choice: 'best'"),
        (["--n_epoch", "3"], "unrecognized arguments: --n_epoch"),
        (["--device", "tpu"], "argument --device: 'tpu' is not one of"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_flag_and_nothing_is_written(tmp_path, answer, flags, message):
    status, _, error = answer(part2.train_gan, *TINY, "--out_dir", tmp_path / "run", *flags)
    assert status == 2
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_defaults_are_the_assignments():
    args = parse_args([])
    assert (args.n_epochs, args.batch_size, args.latent_dim, args.save_interval) == (200, 64, 100, 500)
    assert parse_args(["--recipe", "reference"]).learning_rate == 2e-4
    assert args.learning_rate == RECIPES["improved"].learning_rate
    assert parse_args(["--recipe", "improved", "--learning_rate", "2e-4"]).learning_rate == 2e-4


def test_the_script_starts_in_any_folder_and_writes_to_any_name(tmp_path, run_script):
    elsewhere = tmp_path / "somewhere else"
    elsewhere.mkdir()
    done = run_script("part2/train_gan.py", *TINY, "--n_epochs", 1, "--out_dir", "läuft hier", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert read_json(elsewhere / "läuft hier" / "result.json")["batches"] == BATCHES
    for name in ("progress.png", "curves.png", "training.gif", "checkpoint.pt", "grids/0000000.png"):
        assert (elsewhere / "läuft hier" / name).is_file()
