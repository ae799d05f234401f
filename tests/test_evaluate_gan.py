"""What is said of a generator's digits: the judge, the script, the measurements along the way."""

import copy
import json

import numpy as np
import pytest
import torch
from PIL import Image

import part2.evaluate
import part2.train_gan
from common import checkpoint
from common.cli import UserError
from common.files import read_json
from common.runs import read_metrics
from part2.autoencoder import load_autoencoder
from part2.classifier import load_classifier
from part2.evaluate import Judge, evaluate, memorised, parse_args, real_images, sample
from part2.measures import frechet, neighbourhood, score
from part2.mnist import Digits, load_mnist
from part2.networks import Generator

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def mnist():
    return {split: load_mnist(split) for split in ("train", "test")}


@pytest.fixture
def few(monkeypatch, mnist):
    """600 training images, of which 200 are for validation, and 200 test images; 200 samples."""
    parts = {"train": mnist["train"].images[:600], "test": mnist["test"].images[:200]}
    monkeypatch.setattr(part2.evaluate, "load_mnist", lambda split: Digits(parts[split], None))
    monkeypatch.setattr(part2.evaluate, "VALIDATION", 200)
    monkeypatch.setattr(part2.evaluate, "SAMPLES", 200)
    monkeypatch.setattr(part2.train_gan, "SAMPLES", 200)
    return parts


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of an untrained generator."""
    torch.manual_seed(0)
    content = {"latent_dim": 6, "width": 1, "recipe": {}, "generator": Generator(6).state_dict()}
    checkpoint.save(tmp_path / "checkpoint.pt", "GAN", content)
    return tmp_path / "checkpoint.pt"


# The judge


def test_validation_images_are_the_last_training_images_and_none_that_may_be_learnt(mnist):
    validation, training = real_images("validation")
    assert (len(validation), len(training)) == (10_000, 50_000)
    assert torch.equal(validation, mnist["train"].images[50_000:])
    assert torch.equal(training, mnist["train"].images[:50_000])
    test, training = real_images("test")
    assert torch.equal(test, mnist["test"].images) and torch.equal(training, mnist["train"].images)


def test_mnists_order_alternates_so_that_images_must_be_drawn_at_random(mnist):
    """Every sixth image is no fair sample: those from the first on are far from those from the second on."""
    images, classifier = mnist["train"].images, load_classifier()
    random = torch.randperm(60_000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        sixths = [classifier.features(images[start::6][:2000]) for start in (0, 1)]
        draws = [classifier.features(images[some]) for some in random[:4000].chunk(2)]
    assert frechet(*sixths) > 5 * frechet(*draws)


def test_the_judge_says_what_the_measures_say_of_both_extractors_features(few, mnist):
    real, images = few["test"], mnist["train"].images[1000:1150]
    classifier, figures = load_classifier(), Judge("test", CPU)(images)
    expected = {}
    with torch.no_grad():
        for suffix, extract in {"": classifier.features, "_autoencoder": load_autoencoder().features}.items():
            r, f = extract(real), extract(images)
            found = {"frechet": frechet(r, f), **neighbourhood(r, f)}
            expected |= {name + suffix: value for name, value in found.items()}
    probability = classifier.read(images)
    expected |= {"score": score(probability), "confident": (probability.amax(1) >= 0.95).float().mean().item()}
    read = probability.argmax(1).tolist()
    expected |= {f"share_{digit}": read.count(digit) / 150 for digit in range(10)}
    assert figures == pytest.approx(expected)


def test_better_images_are_judged_better_by_both_extractors(few, mnist):
    """Real digits, the same with specks, with more of them; and real digits of two kinds only."""
    judge, (images, labels) = Judge("test", CPU), mnist["train"]
    some = images[1000:1200]
    noise = torch.rand(some.shape, generator=torch.Generator().manual_seed(0))
    specked, more = (torch.where(noise < share, torch.ones(()), some) for share in (0.1, 0.3))
    few_kinds = images[(labels == 1) | (labels == 7)][:200]
    clean, specked, more, few_kinds = map(judge, (some, specked, more, few_kinds))
    for suffix in ("", "_autoencoder"):
        name = f"frechet{suffix}"
        assert clean[name] < specked[name] < more[name] and clean[name] < few_kinds[name]
        assert clean[f"coverage{suffix}"] > more[f"coverage{suffix}"]
        assert few_kinds[f"coverage{suffix}"] < 0.6 and few_kinds[f"precision{suffix}"] > 0.7
    assert few_kinds["score"] < 3 < 8 < clean["score"]
    assert few_kinds["share_1"] + few_kinds["share_7"] > 0.9


def test_judging_changes_neither_the_generator_nor_anybody_elses_draws(few):
    generator, judge = Generator(6).eval(), Judge("test", CPU)
    before, global_state = copy.deepcopy(generator.state_dict()), torch.get_rng_state()
    images = sample(generator, seed=3, n=150)
    assert judge(images) == judge(sample(generator, seed=3, n=150)) != judge(sample(generator, seed=4, n=150))
    assert torch.equal(torch.get_rng_state(), global_state)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


def test_other_extractors_than_the_pinned_are_refused(few, monkeypatch):
    monkeypatch.setitem(part2.evaluate.EXTRACTORS, "autoencoder", "0" * 64)
    with pytest.raises(UserError, match="is not the one that all figures were measured with"):
        Judge("test", CPU)


@pytest.mark.parametrize(
    ("script", "flags"), [(part2.evaluate, []), (part2.train_gan, ["--eval_interval", "1", "--n_epochs", "1"])]
)
def test_with_others_nothing_is_written(script, flags, few, saved, tmp_path, monkeypatch, answer):
    monkeypatch.setitem(part2.evaluate.EXTRACTORS, "classifier", "0" * 64)
    flags = [*flags, "--checkpoint", saved] if script is part2.evaluate else flags
    status, out, error = answer(script, *flags, "--device", "cpu", "--out_dir", tmp_path / "new")
    assert (status, out) == (2, "") and "is not the one" in error and not (tmp_path / "new").exists()


def test_what_was_learnt_by_heart_is_found_out(mnist):
    training, real = mnist["train"].images[:2000], mnist["test"].images[:300]
    new = mnist["train"].images[2000:2300]
    copied = memorised(training[:300] + 0.001, real, training)
    assert copied["too_near"] == 1 and copied["distance"] < 0.1 < copied["distance_real"]
    fair = memorised(new, real, training)
    assert fair["too_near"] <= 0.05 and fair["distance"] == pytest.approx(fair["distance_real"], rel=0.1)


# The script


def test_a_checkpoints_figures_stand_beside_those_of_real_images(few, saved, tmp_path, capsys):
    flags = ["--checkpoint", str(saved), "--device", "cpu", "--seed", "5"]
    folder = evaluate(parse_args([*flags, "--out_dir", str(tmp_path / "first")]))
    result = read_json(folder / "result.json")
    assert result["generated"].keys() == result["real"].keys()
    assert result["real"]["frechet"] < 100 < 500 < result["generated"]["frechet"]
    printed = capsys.readouterr().out
    assert all(f"{result[column]['coverage']:.3f}" in printed for column in ("generated", "real"))
    with Image.open(folder / "neighbours.png") as picture:
        assert min(picture.size) > 200 and np.ptp(np.asarray(picture.convert("L"))) > 200
    again = evaluate(parse_args([*flags, "--out_dir", str(tmp_path / "second")]))
    assert read_json(again / "result.json") == result
    other = evaluate(parse_args([*flags, "--split", "validation", "--out_dir", str(tmp_path / "third")]))
    assert read_json(other / "result.json")["generated"] != result["generated"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--split", "train"], "argument --split: invalid choice: 'train'"),
        (["--checkpoint", "nowhere"], "nowhere: there is no such checkpoint"),
        (["--seed", "-1"], "argument --seed: -1 is not between"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(flags, message, tmp_path, answer):
    status, _, error = answer(part2.evaluate, *flags, "--device", "cpu", "--out_dir", tmp_path / "run")
    assert status == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


# Along the way

TINY = ["--data_size", "128", "--batch_size", "32", "--n_epochs", "3", "--latent_dim", "6", "--device", "cpu"]


@pytest.fixture
def light(monkeypatch, mnist, few):
    monkeypatch.setattr(part2.train_gan, "load_mnist", lambda split: Digits(mnist["train"].images[:128], None))
    monkeypatch.setattr(part2.train_gan, "draw_summary", lambda *args: None)


@pytest.mark.parametrize("recipe", ["reference", "improved"])
def test_measuring_along_the_way_changes_no_bit_of_training(recipe, light, tmp_path):
    flags = [*TINY, "--recipe", recipe, "--log_interval", "1"]
    folders = {
        interval: part2.train_gan.train(
            part2.train_gan.parse_args([*flags, "--eval_interval", interval, "--out_dir", str(tmp_path / interval)])
        )
        for interval in ("0", "1", "2")
    }
    states = [checkpoint.load(folder / "checkpoint.pt", kind="GAN") for folder in folders.values()]
    for name in ("generator", "discriminator", *(["average"] if recipe == "improved" else [])):
        for state in states[1:]:
            assert all(torch.equal(value, states[0][name][key]) for key, value in state[name].items())
    rows = {interval: read_metrics(folder) for interval, folder in folders.items()}
    measured = {interval: [r["batch"] for r in found if "frechet" in r] for interval, found in rows.items()}
    assert measured == {"0": [], "1": [4, 8, 12], "2": [8]}
    assert rows["1"][7]["coverage"] == rows["2"][7]["coverage"]
    own = {"epoch", "batch", "generator_loss", "discriminator_loss", "accuracy_real", "accuracy_fake"}
    assert [[r[key] for key in own] for r in rows["0"]] == [[r[key] for key in own] for r in rows["1"]]


def test_the_last_measurement_is_what_the_script_says_of_the_run(light, tmp_path):
    flags = [*TINY, "--eval_interval", "3", "--out_dir", str(tmp_path / "run")]
    folder = part2.train_gan.train(part2.train_gan.parse_args(flags))
    flags = ["--checkpoint", str(folder), "--device", "cpu", "--out_dir", str(tmp_path / "judged")]
    said = read_json(evaluate(parse_args(flags)) / "result.json")["generated"]
    row = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert {name: row[name] for name in said} == said


def test_time_spent_on_measuring_is_no_training_time(light, tmp_path, monkeypatch):
    clock = iter(range(0, 10**9, 1000))
    monkeypatch.setattr(
        part2.train_gan.Judge, "__call__", lambda *_: [next(clock) for _ in range(50)] and {"frechet": 1.0}
    )
    monkeypatch.setattr("common.saving.time.monotonic", lambda: next(clock) / 1000)
    seconds = []
    for interval in ("0", "1"):
        flags = [*TINY, "--eval_interval", interval, "--out_dir", str(tmp_path / interval)]
        folder = part2.train_gan.train(part2.train_gan.parse_args(flags))
        seconds.append(read_json(folder / "result.json")["seconds"])
    assert seconds[0] <= seconds[1] <= seconds[0] + 10  # seconds: a few looks at the clock, not the 150 in between


def test_validation_images_must_not_be_trained_on(light, tmp_path, answer):
    flags = ["--eval_interval", "1", "--eval_split", "validation", "--out_dir", tmp_path / "run"]
    status, _, error = answer(part2.train_gan, *flags, "--data_size", "50001")
    assert status == 2 and "--eval_split validation" in error and not (tmp_path / "run").exists()
    assert part2.train_gan.parse_args(["--eval_interval", "1", "--eval_split", "validation", "--data_size", "50000"])
