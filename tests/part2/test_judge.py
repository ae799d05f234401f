"""The judge: which real images it takes, what it says of others, and that its networks are those behind all figures."""

import math

import pytest
import torch

import part2.judge
from common import seeds
from common.cli import UserError
from part2.autoencoder import load_autoencoder
from part2.classifier import load_classifier
from part2.judge import Judge, memorised, real_baseline, real_images, sample
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
    assert figures == pytest.approx(expected | {f"share_{digit}": read.count(digit) / 150 for digit in range(10)})
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


def test_samples_come_from_a_noise_stream_of_their_own():
    generator = Generator(6).eval()
    global_state, images = torch.get_rng_state(), sample(generator, 3, 1001)
    z = torch.randn(1001, 6, generator=seeds.generator(3, "evaluate"))
    torch.testing.assert_close(images, generator(z).detach())
    assert torch.equal(torch.get_rng_state(), global_state) and not images.requires_grad


def test_the_baseline_judges_as_many_training_images_drawn_at_random_each_once(monkeypatch):
    monkeypatch.setattr(part2.judge, "SAMPLES", 40)
    training = torch.arange(60).view(60, 1, 1, 1)
    drawn = [real_baseline(lambda images: images.flatten().tolist(), training, seed) for seed in (0, 0, 1)]
    assert [len(set(numbers)) for numbers in drawn] == [40] * 3 and drawn[0] == drawn[1] != drawn[2]
    assert max(drawn[0]) > 50 and drawn[0] != sorted(drawn[0])


def test_what_was_learnt_by_heart_is_found_out(mnist):
    training, real = mnist["train"].images[:2000], mnist["test"].images[:300]
    copied = memorised(training[:300] + 0.1, real, training)
    assert copied["too_near"] == 1 and copied["distance"] == pytest.approx(2.8, rel=0.01)  # √784 · 0.1
    fair = memorised(mnist["train"].images[2000:2300], real, training)
    assert fair["too_near"] <= 0.05 and fair["distance"] == pytest.approx(fair["distance_real"], rel=0.1)
    assert memorised(real, real, training)["too_near"] == pytest.approx(0.01)
