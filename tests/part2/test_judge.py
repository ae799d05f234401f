"""The judge: which real images it takes, what it says of others, and that its networks are those behind all figures."""

import math
from types import SimpleNamespace

import pytest
import torch

import part2.judge
from common import checkpoint, seeds
from common.cli import UserError
from part2 import autoencoder, classifier
from part2.autoencoder import Autoencoder, load_autoencoder
from part2.classifier import Classifier, load_classifier
from part2.judge import (
    BirthdayTest,
    Judge,
    drawn_real,
    in_floors,
    measure_floor,
    memorised,
    real_baseline,
    real_images,
    sample,
)
from part2.measures import frechet, neighbourhood, score
from part2.networks import Generator

CPU = torch.device("cpu")


def test_validation_images_are_the_last_training_images_and_none_that_may_be_learnt(mnist):
    validation, training = real_images("validation")
    assert (len(validation), len(training)) == (10_000, 50_000)
    assert torch.equal(torch.cat([training, validation]), mnist["train"].images)
    test, training = real_images("test")
    assert torch.equal(test, mnist["test"].images) and torch.equal(training, mnist["train"].images)


def test_the_judge_says_what_the_measures_say_of_both_networks_features(few, mnist):
    real, images = few["test"].images, mnist["train"].images[1000:1150]
    reader, figures = load_classifier(), Judge("test", CPU)(images)
    expected = {}
    with torch.no_grad():
        for suffix, extract in {"": reader.features, "_autoencoder": load_autoencoder().features}.items():
            r, f = extract(real), extract(images)
            found = {"frechet": frechet(r, f), **neighbourhood(r, f)}
            expected |= {name + suffix: value for name, value in found.items()}
    probability = reader.read(images)
    smudged = (probability.amax(1) < 0.95).tolist()
    expected |= {"score": score(probability), "smudged": sum(smudged) / 150}
    read = probability.argmax(1).tolist()
    expected |= {f"share_{digit}": read.count(digit) / 150 for digit in range(10)}
    for digit in range(10):
        of_those = [dim for dim, found in zip(smudged, read, strict=True) if found == digit]
        expected[f"smudged_{digit}"] = sum(of_those) / len(of_those)
    assert figures == pytest.approx(expected) and 0 < figures["smudged"] < 0.2
    judge = Judge("validation", CPU)
    assert judge(few["train"].images[400:])["frechet"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(UserError, match="pixels that are not finite"):
        judge(images.index_fill(0, torch.tensor([3]), math.nan))


@pytest.mark.parametrize("name", ["classifier", "autoencoder"])
def test_other_networks_than_those_behind_the_published_figures_are_refused(name, few, monkeypatch):
    Judge("test", CPU)  # the project's own are those
    monkeypatch.setitem(part2.judge.EXTRACTORS, name, "0" * 64)
    with pytest.raises(UserError, match=rf"{name}/checkpoint\.pt: differs from the network .* git checkout"):
        Judge("test", CPU)


@pytest.mark.parametrize(("name", "suffix"), [("classifier", ""), ("autoencoder", "_autoencoder")])
def test_another_network_judges_if_it_is_named_and_the_other_one_stays(name, suffix, few, tmp_path, mnist):
    other = {"classifier": Classifier, "autoencoder": Autoencoder}[name]().eval()
    kind = {"classifier": classifier, "autoencoder": autoencoder}[name].KIND
    checkpoint.save(tmp_path / checkpoint.NAME, kind, {"network": other.state_dict()})
    images, judged = mnist["train"].images[1000:1150], Judge("test", CPU, **{name: tmp_path})
    found, before = judged(images), Judge("test", CPU)(images)
    with torch.no_grad():
        expected = frechet(other.features(few["test"].images), other.features(images))
    assert found[f"frechet{suffix}"] == pytest.approx(expected) != pytest.approx(before[f"frechet{suffix}"])
    kept = {"classifier": "frechet_autoencoder", "autoencoder": "frechet"}[name]
    assert found[kept] == before[kept] and (found["score"] == before["score"]) == (name == "autoencoder")


def test_samples_come_from_a_noise_stream_of_their_own():
    generator = Generator(6).eval()
    global_state, images = torch.get_rng_state(), sample(generator, 3, 1001)
    z = torch.randn(1001, 6, generator=seeds.generator(3, "evaluate"))
    torch.testing.assert_close(images, generator(z).detach())
    assert torch.equal(torch.get_rng_state(), global_state) and not images.requires_grad


def test_real_images_are_drawn_at_random_each_once():
    judge = SimpleNamespace(training=torch.zeros(60))
    drawn = [drawn_real(judge, seed, n=40).tolist() for seed in (0, 0, 1)]
    assert [len(set(numbers)) for numbers in drawn] == [40] * 3 and drawn[0] == drawn[1] != drawn[2]
    assert max(drawn[0]) > 50 and drawn[0] != sorted(drawn[0])


@pytest.mark.parametrize(("n", "draws"), [(10, 6), (20, 3), (25, 2), (60, 1)])
def test_the_floor_is_the_mean_distance_of_disjoint_draws(n, draws):
    """Of 60 images that are numbers, the distance of a draw is its sum: the mean over draws, which share no image."""
    asked = []
    judge = SimpleNamespace(training=torch.arange(60.0))
    judge.distances = lambda images: asked.append(images.tolist()) or {"frechet": images.sum().item()}
    floor = measure_floor(judge, n)
    assert [len(draw) for draw in asked] == [n] * draws and len({i for draw in asked for i in draw}) == n * draws
    assert floor == {"frechet": pytest.approx(sum(map(sum, asked)) / draws)}


def test_the_baselines_distances_are_the_floor_its_other_figures_one_draws(few):
    judge = Judge("test", CPU)
    of_one = judge(judge.training[drawn_real(judge, 0, 150)])
    assert real_baseline(judge, 150) == of_one | measure_floor(judge, 150)
    assert judge.distances(judge.training) == {name: judge(judge.training)[name] for name in measure_floor(judge, 150)}


def test_distance_in_floors_by_hand():
    figures, real = (
        {"frechet": 3.0, "frechet_autoencoder": 1.0, "recall": 0.5},
        {"frechet": 2.0, "frechet_autoencoder": 4},
    )
    assert in_floors(figures, real) == {"floors": 1.5, "floors_autoencoder": 0.25}


def test_the_birthday_test_counts_pairs_of_one_digit_that_are_nearer_than_real_ones_to_training_images(few, mnist):
    """Twenty images and ten of them again, a little brighter: ten pairs of the 435. Nothing else is so near."""
    judge = Judge("test", CPU)
    birthday, images = BirthdayTest(judge), mnist["train"].images[1000:1020]
    alike = birthday(torch.cat([images, images[:10] + 0.01]))
    assert (alike["pairs"], alike["distinct"]) == (10, 43.5)
    assert alike["party"] == pytest.approx(math.sqrt(2 * math.log(2) * 43.5))
    assert birthday(images) == {"pairs": 0, "distinct": None, "party": None}
    sets = [judge.real, judge.training[drawn_real(judge, 0, 400)]]
    digits = [load_classifier().read(of).argmax(1) for of in sets]
    for digit, distance in enumerate(birthday.within):
        real, training = (of[read == digit].flatten(1) for of, read in zip(sets, digits, strict=True))
        to_nearest = torch.cdist(real, training).amin(1)
        assert distance == pytest.approx(to_nearest.quantile(0.01).item(), rel=1e-4)


def test_what_was_learnt_by_heart_is_found_out(mnist):
    training, real = mnist["train"].images[:2000], mnist["test"].images[:300]
    copied = memorised(training[:300] + 0.1, real, training)
    assert copied["too_near"] == 1 and copied["distance"] == pytest.approx(2.8, rel=0.01)  # √784 · 0.1
    fair = memorised(mnist["train"].images[2000:2300], real, training)
    assert fair["too_near"] <= 0.05 and fair["distance"] == pytest.approx(fair["distance_real"], rel=0.1)
    assert memorised(real, real, training)["too_near"] == pytest.approx(0.01)
