"""The judge: its real images, its scores, and that its networks are those behind all published scores."""

import math
from types import SimpleNamespace

from common import seeds
from common.cli import UserError
from common.files import save_checkpoint
from common.find import PRETRAINED
from part2.gan import Discriminator, Generator
from part2.judges import judge, measures
from part2.judges.judge import COLUMNS, Judge, in_floors, sample, sample_asked
from part2.judges.measures import authenticity, frechet, kernel_distance, neighbourhood
from part2.judges.networks import Autoencoder, Classifier, load_autoencoder, load_classifier
from part2.sources import files

import numpy as np
import pytest
import torch

CPU = torch.device("cpu")


def test_the_published_scores_are_of_these_numbers_of_images_and_neighbours():
    assert (judge.SAMPLES, judge.COMPARED, files.AT_LEAST, measures.K) == (10_000, 2_000, 100, 5)
    assert (judge.VALIDATION, judge.WITHOUT_VALIDATION) == (10_000, 50_000)


def test_validation_images_are_the_last_training_images_and_none_that_may_be_learnt(mnist, monkeypatch):
    monkeypatch.setattr(files, "load_mnist", mnist.__getitem__)
    train, validation, test = mnist["train"].images, Judge("validation", CPU), Judge("test", CPU)
    assert torch.equal(torch.cat([validation.training, validation.real]), train) and len(validation.real) == 10_000
    assert torch.equal(test.real, mnist["test"].images) and torch.equal(test.training, train)


def test_the_scores_are_the_measures_of_both_networks_features(few, mnist):
    real, images = few["test"].images, mnist["train"].images[1000:1150]
    reader, asked, expected = load_classifier(), torch.arange(150) % 10, {}
    scores = Judge("test", CPU)(images, asked)
    with torch.no_grad():
        for suffix, extract in {"": reader.features, "_autoencoder": load_autoencoder().features}.items():
            r, f = extract(real), extract(images)
            found = {"frechet": frechet(r, f), **neighbourhood(r, f), "kid": kernel_distance(r, f)}
            expected |= {name + suffix: value for name, value in found.items()}
        training = extract(few["train"].images)
    expected["authentic"] = authenticity(f, training) / authenticity(r, training)  # by the autoencoder
    probability = reader.read(images)
    smudged, read = (probability.amax(1) < 0.95).tolist(), probability.argmax(1).tolist()
    expected["smudged"] = sum(smudged) / 150
    expected |= {f"share_{digit}": read.count(digit) / 150 for digit in range(10)}
    for digit in range(10):
        of_those = [unclear for unclear, found in zip(smudged, read, strict=True) if found == digit]
        expected[f"smudged_{digit}"] = sum(of_those) / len(of_those)
    expected["asked"] = sum(digit == k % 10 for k, digit in enumerate(read)) / 150
    assert (
        scores == pytest.approx(expected, rel=1e-5) and list(scores) == list(expected) and 0 < scores["smudged"] < 0.2
    )
    validation = Judge("validation", CPU)
    assert validation(few["train"].images[400:])["frechet"] == pytest.approx(0, abs=1e-6)


def test_a_measure_is_a_function_and_a_line(few, monkeypatch):
    """Of features, with the real ones' radii, or of readings; it gives a score or a dictionary of scores."""
    of_features = lambda real, fake, radii: (radii[: len(fake)] * 0 + len(fake)).mean().item(), "n"
    monkeypatch.setattr(judge, "OF_FEATURES", [*judge.OF_FEATURES, of_features])
    monkeypatch.setattr(judge, "OF_READINGS", [(lambda probability: {"a": 1.0, "b": 2.0}, "")])
    scores = Judge("test", CPU)(few["train"].images[:50])
    assert list(scores)[5:6] + list(scores)[11:] == ["n", "n_autoencoder", "authentic", "a", "b"] and scores["n"] == 50
    assert list(COLUMNS) == ["floors", "floors_autoencoder", "smudged", "recall", "kid", "authentic", "asked"]


def test_copies_are_not_authentic_half_copies_half_as_much_as_new_images(few, mnist, monkeypatch):
    """Also of images in order, of which a part is compared."""
    monkeypatch.setattr(judge, "COMPARED", 100)
    judging, real = Judge("test", CPU), few["test"].images
    copies = judging(few["train"].images[:200] * 0.95)
    assert copies["authentic"] == 0 and copies["coverage"] > 0.8
    half, noise = torch.cat([few["train"].images[:200], real]), torch.rand(200, 1, 28, 28) * 2 - 1
    assert judging(half)["authentic"] == pytest.approx(0.5, abs=0.1)
    assert judging.baseline(200)["authentic"] == 0 and judging(real)["authentic"] == 1 < judging(noise)["authentic"]


def test_a_generator_is_asked_for_labels_and_other_generators_for_none(few):
    generator = Generator(6, labels=10).eval()
    images, asked = sample_asked(generator, 4, 200)
    z = generator.draw(200, seeds.generator(4, "evaluate"))
    assert torch.equal(images, sample(generator, 4, 200)) and torch.equal(asked, z[:, 6:].nonzero()[:, 1])
    assert sample_asked(Generator(6).eval(), 4, 200)[1] is None
    read = load_classifier().read(images).argmax(1)
    game = SimpleNamespace(sampler=lambda: generator, discriminator=Discriminator(labels=10))
    found = Judge("test", CPU).of_training(game, few["train"].images, 4)
    assert found["asked"] == pytest.approx((read == asked).double().mean().item())


@pytest.mark.parametrize("name", ["classifier", "autoencoder"])
def test_other_networks_than_those_behind_the_published_scores_are_refused(name, few, monkeypatch):
    monkeypatch.setitem(judge.EXTRACTORS, name, "0" * 64)
    with pytest.raises(UserError, match=rf"{name}/checkpoint\.pt: differs from the network .* git checkout"):
        Judge("test", CPU)


@pytest.mark.parametrize("names", [["autoencoder"], ["classifier", "autoencoder"]])
def test_networks_of_other_images_judge_by_these_and_alone(names, few, tmp_path, monkeypatch):
    """42 images: 36 to train on, a sixth of them for validation, and 6 to test."""
    monkeypatch.setattr(files, "AT_LEAST", 5)
    np.save(tmp_path / "digits.npy", few["train"].images[:42].numpy())
    source, paths = files.Source(str(tmp_path / "digits.npy"), grey=True), {}
    training = source.load("train").images
    for name in names:
        network, paths[name] = {"classifier": Classifier, "autoencoder": Autoencoder}[name](), tmp_path / f"{name}.pt"
        save_checkpoint(paths[name], network.kind, {"network": network.state_dict(), "data": source.describe(training)})
    judging = Judge("test", CPU, **paths)
    assert judging.source == source and torch.equal(judging.real, source.load("test").images)
    assert torch.equal(judging.training, training) and list(judging.extractors)[-1] == "_autoencoder"
    scores = judging(few["train"].images[50:60])
    assert ("smudged" in scores) == ("frechet" in scores) == ("classifier" in names) and "frechet_autoencoder" in scores
    assert judging.baseline(30).keys() == scores.keys()
    judging = Judge("validation", CPU, **paths)
    assert torch.equal(judging.real, training[-6:]) and torch.equal(judging.training, training[:-6])
    other = Autoencoder()
    save_checkpoint(tmp_path / "other.pt", other.kind, {"network": other.state_dict()})  # of MNIST
    if "classifier" in paths:
        with pytest.raises(UserError, match=r"--classifier and --autoencoder: were trained on other images than .*npy"):
            Judge("test", CPU, classifier=paths["classifier"], autoencoder=tmp_path / "other.pt")
    np.save(tmp_path / "digits.npy", few["train"].images[1:43].numpy())
    with pytest.raises(UserError, match=r"--autoencoder: were trained on other images than .*digits.npy holds now"):
        Judge("test", CPU, autoencoder=paths["autoencoder"])


def test_a_network_of_another_kind_is_refused():
    with pytest.raises(UserError, match="holds another kind of network"):
        load_autoencoder(PRETRAINED / "classifier")


def test_scores_of_a_training_are_those_of_its_sampler_in_floors_and_with_mean_logits(few):
    """The samples come from a noise stream of their own."""
    generator, discriminator, images = Generator(6).eval(), Discriminator(), few["train"].images
    game, judging = SimpleNamespace(sampler=lambda: generator, discriminator=discriminator), Judge("test", CPU)
    global_state, found = torch.get_rng_state(), judging.of_training(game, images, 4)
    assert torch.equal(torch.get_rng_state(), global_state)
    drawn = generator(torch.randn(200, 6, generator=seeds.generator(4, "evaluate"))).detach()
    torch.testing.assert_close(sample(generator, 4, 200), drawn)
    generator.layers[-2].bias.data[3] = math.nan
    with pytest.raises(UserError, match="pixels that are not finite"):
        sample(generator, 4, 200)
    expected = judging(drawn) | in_floors(judging(drawn), judging.measure_floor(200))
    sets = {"training": images[:200], "unseen": few["test"].images, "generated": drawn}
    expected |= {f"logit_{name}": discriminator(some).mean().item() for name, some in sets.items()}
    assert found == pytest.approx(expected, rel=1e-4) and list(found) == list(expected)


@pytest.mark.parametrize(("n", "draws"), [(10, 6), (25, 2), (60, 1)])
def test_the_floor_is_the_mean_distance_of_disjoint_draws(n, draws, monkeypatch):
    """Of 60 images that are numbers, the distance of a draw is its sum: the mean over draws, which share no image."""
    asked, judging = [], Judge.__new__(Judge)
    judging.training = torch.arange(60.0)
    judging.distances = lambda images: asked.append(images.tolist()) or {"frechet": images.sum().item()}
    assert judging.measure_floor(n)["frechet"] == pytest.approx(sum(map(sum, asked)) / draws)
    assert [len(draw) for draw in asked] == [n] * draws and len({i for draw in asked for i in draw}) == n * draws
    drawn = [judging.draw_real(seed, n=40).tolist() for seed in (0, 0, 1)]  # at random, each once
    assert [len(set(numbers)) for numbers in drawn] == [40] * 3 and drawn[0] == drawn[1] != drawn[2]
    assert max(drawn[0]) > 50 and drawn[0] != sorted(drawn[0])


def test_the_baselines_distances_are_the_floor_its_other_scores_one_draws(few):
    judging = Judge("test", CPU)
    floor, of_one = judging.measure_floor(150), judging(judging.training[judging.draw_real(0, 150)])
    assert judging.baseline(150) == of_one | floor
    assert judging.distances(judging.training) == {name: judging(judging.training)[name] for name in floor}


def test_distance_in_floors_by_hand():
    scores, real = {"frechet": 3.0, "frechet_autoencoder": 1.0, "recall": 0.5}, {"frechet": 2.0}
    assert in_floors(scores, real | {"frechet_autoencoder": 4}) == {"floors": 1.5, "floors_autoencoder": 0.25}
    assert in_floors(scores, real) == {"floors": 1.5}  # an older table's real images lack what is newer
