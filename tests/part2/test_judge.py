"""The judge: its real images, its scores, and that its networks are those behind all published scores."""

import math
from types import SimpleNamespace

from common import seeds
from common.cli import UserError
from common.files import CHECKPOINT, save_checkpoint
from common.find import PRETRAINED
from part2.gan import Discriminator, Generator
from part2.judges import files, judge, measures
from part2.judges.judge import (
    COLUMNS,
    BirthdayTest,
    Judge,
    Measure,
    drawn_real,
    in_floors,
    measure_floor,
    memorised,
    real_baseline,
    real_images,
    sample,
)
from part2.judges.measures import frechet, neighbourhood, score
from part2.judges.networks import CLASSIFIER, Autoencoder, load_autoencoder, load_classifier

import pytest
import torch

CPU = torch.device("cpu")


def test_the_published_scores_are_of_these_numbers_of_images_and_neighbours():
    assert (judge.SAMPLES, judge.BIRTHDAY_SAMPLES, files.AT_LEAST, measures.K) == (10_000, 20_000, 100, 5)
    assert judge.CONFIDENT == 0.95
    assert (judge.VALIDATION, judge.WITHOUT_VALIDATION) == (10_000, 50_000)


def test_validation_images_are_the_last_training_images_and_none_that_may_be_learnt(mnist):
    validation, training = real_images("validation")
    assert torch.equal(torch.cat([training, validation]), mnist["train"].images) and len(validation) == 10_000
    test, training = real_images("test")
    assert torch.equal(test, mnist["test"].images) and torch.equal(training, mnist["train"].images)


def test_the_scores_are_the_measures_of_both_networks_features(few, mnist):
    real, images = few["test"].images, mnist["train"].images[1000:1150]
    reader, scores = load_classifier(), Judge("test", CPU)(images)
    expected = {}
    with torch.no_grad():
        for suffix, extract in {"": reader.features, "_autoencoder": load_autoencoder().features}.items():
            r, f = extract(real), extract(images)
            found = {"frechet": frechet(r, f), **neighbourhood(r, f)}
            expected |= {name + suffix: value for name, value in found.items()}
    probability = reader.read(images)
    smudged, read = (probability.amax(1) < 0.95).tolist(), probability.argmax(1).tolist()
    expected |= {"score": score(probability), "smudged": sum(smudged) / 150}
    expected |= {f"share_{digit}": read.count(digit) / 150 for digit in range(10)}
    for digit in range(10):
        of_those = [unclear for unclear, found in zip(smudged, read, strict=True) if found == digit]
        expected[f"smudged_{digit}"] = sum(of_those) / len(of_those)
    assert scores == pytest.approx(expected) and list(scores) == list(expected) and 0 < scores["smudged"] < 0.2
    validation = Judge("validation", CPU)
    assert validation(few["train"].images[400:])["frechet"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(UserError, match="pixels that are not finite"):
        validation(images.index_fill(0, torch.tensor([3]), math.nan))


def test_a_measure_is_a_function_and_a_line(few, monkeypatch):
    """Whatever it is made of; its label is a column of all tables."""
    of_features = Measure(
        lambda real, fake, real_radii: (real_radii[: len(fake)] * 0 + len(fake)).mean().item(), {"n": "N"}
    )
    monkeypatch.setattr(judge, "OF_FEATURES", (*judge.OF_FEATURES, of_features))
    monkeypatch.setattr(judge, "OF_READINGS", (Measure(lambda probability: {"a": 1.0, "b": 2.0}, {}),))
    scores = Judge("test", CPU)(few["train"].images[:50])
    assert list(scores)[5:6] + list(scores)[11:] == ["n", "n_autoencoder", "a", "b"] and scores["n"] == 50
    columns = "floors floors_autoencoder smudged frechet precision recall density coverage score"
    assert list(COLUMNS) == columns.split() and COLUMNS["frechet"] == "Fréchet"


@pytest.mark.parametrize("name", ["classifier", "autoencoder"])
def test_other_networks_than_those_behind_the_published_scores_are_refused(name, few, monkeypatch):
    Judge("test", CPU)  # the project's own are those
    monkeypatch.setitem(judge.EXTRACTORS, name, "0" * 64)
    with pytest.raises(UserError, match=rf"{name}/checkpoint\.pt: differs from the network .* git checkout"):
        Judge("test", CPU)


@pytest.mark.parametrize("content", [{}, {"network": {}}, {"network": Autoencoder().state_dict()}, {"network": 3}])
def test_weights_that_do_not_fit_are_refused_in_one_line(content, tmp_path):
    save_checkpoint(tmp_path / CHECKPOINT, CLASSIFIER, content)
    with pytest.raises(UserError, match="does not hold the weights of this digit classifier") as error:
        load_classifier(tmp_path)
    assert "\n" not in str(error.value) and str(error.value).startswith(str(tmp_path))
    with pytest.raises(UserError, match="another kind"):
        load_autoencoder(PRETRAINED / "classifier")


def test_samples_come_from_a_noise_stream_of_their_own():
    generator = Generator(6).eval()
    global_state, images = torch.get_rng_state(), sample(generator, 3, 1001)
    z = torch.randn(1001, 6, generator=seeds.generator(3, "evaluate"))
    torch.testing.assert_close(images, generator(z).detach())
    assert torch.equal(torch.get_rng_state(), global_state) and not images.requires_grad


def test_scores_of_a_training_are_those_of_its_sampler_in_floors_and_with_mean_logits(few):
    generator, discriminator, images = Generator(6).eval(), Discriminator(), few["train"].images
    game, judging = SimpleNamespace(sampler=lambda: generator, discriminator=discriminator), Judge("test", CPU)
    found, drawn = judging.of_training(game, images, 4), sample(generator, 4, 200)
    expected = judging(drawn) | in_floors(judging(drawn), measure_floor(judging, 200))
    sets = {"training": images[:200], "unseen": few["test"].images, "generated": drawn}
    expected |= {f"logit_{name}": discriminator(some).mean().item() for name, some in sets.items()}
    assert found == expected and list(found) == list(expected)


def test_real_images_are_drawn_at_random_each_once():
    judge = SimpleNamespace(training=torch.zeros(60))
    drawn = [drawn_real(judge, seed, n=40).tolist() for seed in (0, 0, 1)]
    assert [len(set(numbers)) for numbers in drawn] == [40] * 3 and drawn[0] == drawn[1] != drawn[2]
    assert max(drawn[0]) > 50 and drawn[0] != sorted(drawn[0])


@pytest.mark.parametrize(("n", "draws"), [(10, 6), (25, 2), (60, 1)])
def test_the_floor_is_the_mean_distance_of_disjoint_draws(n, draws):
    """Of 60 images that are numbers, the distance of a draw is its sum: the mean over draws, which share no image."""
    asked, judge = [], SimpleNamespace(training=torch.arange(60.0))
    judge.distances = lambda images: asked.append(images.tolist()) or {"frechet": images.sum().item()}
    assert measure_floor(judge, n)["frechet"] == pytest.approx(sum(map(sum, asked)) / draws)
    assert [len(draw) for draw in asked] == [n] * draws and len({i for draw in asked for i in draw}) == n * draws


def test_the_baselines_distances_are_the_floor_its_other_scores_one_draws(few):
    judge = Judge("test", CPU)
    of_one = judge(judge.training[drawn_real(judge, 0, 150)])
    assert real_baseline(judge, 150) == of_one | measure_floor(judge, 150)
    assert judge.distances(judge.training) == {name: judge(judge.training)[name] for name in measure_floor(judge, 150)}


def test_distance_in_floors_by_hand():
    scores, real = {"frechet": 3.0, "frechet_autoencoder": 1.0, "recall": 0.5}, {"frechet": 2.0}
    assert in_floors(scores, real | {"frechet_autoencoder": 4}) == {"floors": 1.5, "floors_autoencoder": 0.25}
    assert in_floors(scores, real) == {"floors": 1.5}  # an older table's real images lack what is newer


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
    birthday.within = [1e9] + 9 * [0.0]  # all zeros are alike, and nothing else
    assert birthday(judge.real)["pairs"] == math.comb(digits[0].tolist().count(0), 2)


def test_what_was_learnt_by_heart_is_found_out(mnist):
    training, real = mnist["train"].images[:2000], mnist["test"].images[:300]
    copied = memorised(training[:300] + 0.1, real, training)
    assert copied["too_near"] == 1 and copied["distance"] == pytest.approx(2.8, rel=0.01)  # √784 · 0.1
    fair = memorised(mnist["train"].images[2000:2300], real, training)
    assert fair["too_near"] <= 0.05 and fair["distance"] == pytest.approx(fair["distance_real"], rel=0.1)
    assert memorised(real, real, training)["too_near"] == pytest.approx(0.01)
