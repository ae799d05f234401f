"""Classifier and autoencoder: the pretrained ones do what their records say; how new ones are trained."""

import math

from common import seeds
from common.cli import UserError
from common.files import read_json, read_metrics, save_checkpoint
from common.find import PRETRAINED
from part2.gan import Generator
from part2.images import Digits
from part2.judges import train_judges
from part2.judges.judge import sample_asked
from part2.judges.networks import load_autoencoder, load_classifier
from part2.judges.train_judges import SETUPS, parse_args
from part2.networks.trained import KIND
from part2.sources import files

import numpy as np
import pytest
import torch

LOAD = {"classifier": load_classifier, "autoencoder": load_autoencoder}
both = pytest.mark.parametrize("judge", LOAD)


@pytest.fixture
def parts(monkeypatch, mnist):
    """300 training and 200 test images."""
    few = {split: Digits(*(part[:n] for part in mnist[split])) for split, n in (("train", 300), ("test", 200))}
    monkeypatch.setattr(files, "load_mnist", few.__getitem__)
    return few


def start(judge: str, folder, *flags):
    return train_judges.train_judges(parse_args([judge, "--device", "cpu", "--out_dir", str(folder), *map(str, flags)]))


@both
def test_a_shipped_judge_does_what_its_record_says(judge, mnist):
    network, record = LOAD[judge](), read_json(PRETRAINED / judge / "result.json")
    measured = SETUPS[judge][3](network, mnist["test"])
    assert measured == {name: pytest.approx(record[name], rel=1e-3) for name in measured}
    assert not any(module.training for module in network.modules())


@both
def test_one_learns_and_its_checkpoint_gives_the_result(judge, parts, tmp_path):
    folder = start(judge, tmp_path / "run", "--n_epochs", 6, "--batch_size", 32)
    rows, result = read_metrics(folder), read_json(folder / "result.json")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6] and rows[-1]["loss"] < rows[0]["loss"] / 2
    measured = SETUPS[judge][3](LOAD[judge](folder), parts["test"])
    assert {name: result[name] for name in measured} == pytest.approx(measured) and result["epochs"] == 6


@both
def test_settings_reach_the_loop_and_test_images_do_not(judge, parts, tmp_path, monkeypatch):
    """Which images stand in each batch, the rate of each step, means over images rather than batches."""
    kind, losses, *rest = SETUPS[judge]
    batches, rates, step = [], [], torch.optim.Adam.step

    def watched_losses(network, images, labels):
        found = losses(network, images, labels)
        batches.append((images, labels, found["loss"].item()))
        return found

    def watched_step(optimizer, *args):
        rates.append(optimizer.param_groups[0]["lr"])
        return step(optimizer, *args)

    monkeypatch.setitem(SETUPS, judge, (kind, watched_losses, *rest))
    monkeypatch.setattr(torch.optim.Adam, "step", watched_step)
    flags = ["--n_epochs", 2, "--batch_size", 110, "--learning_rate", 7e-3, "--seed", 3]
    folder = start(judge, tmp_path / "run", *flags)
    order = torch.cat([torch.randperm(300, generator=seeds.generator(3, "order", epoch)) for epoch in (1, 2)])
    assert [len(images) for images, *_ in batches] == [110, 110, 80] * 2
    for column, known in enumerate(parts["train"]):
        assert torch.equal(torch.cat([batch[column] for batch in batches]), known[order])
    weighted = np.average([loss for *_, loss in batches[:3]], weights=[110, 110, 80])
    assert read_metrics(folder)[0]["loss"] == pytest.approx(weighted)
    falling = [(1 + math.cos(math.pi * (step - 0.8) / 4.2)) / 2 for step in range(1, 6)]  # one cycle, six steps
    assert rates == pytest.approx([7e-3 / 25, *(7e-3 * share for share in falling)], abs=1e-7)


@both
def test_no_epoch_leaves_the_initial_weights(judge, parts, tmp_path):
    torch.manual_seed(4)
    untrained = SETUPS[judge][0]().state_dict()
    found = LOAD[judge](start(judge, tmp_path / "run", "--n_epochs", 0, "--seed", 4)).state_dict()
    assert all(map(torch.equal, found.values(), untrained.values()))


@both
def test_other_images_come_as_often_as_mnists_and_are_named_by_the_checkpoint(judge, parts, tmp_path, monkeypatch):
    """50 images, of which 43 are trained on twice in an epoch of 100; 7 test it. Without labels no classifier."""
    monkeypatch.setattr(files, "AT_LEAST", 5)
    monkeypatch.setattr(train_judges, "EPOCH", 100)
    np.save(tmp_path / "digits.npy", parts["train"].images[:50].numpy())
    source, (kind, losses, *rest), batches = files.Source(str(tmp_path / "digits.npy")), SETUPS[judge], []
    monkeypatch.setitem(SETUPS, judge, (kind, lambda *of: batches.append(of[1]) or losses(*of), *rest))
    flags = ["--images", tmp_path / "digits.npy", "--n_epochs", 1, "--batch_size", 32]
    if judge == "classifier":
        with pytest.raises(UserError, match=r"digits.npy: has no labels from 0 to 9; an autoencoder needs none"):
            start(judge, tmp_path / "run", *flags)
        assert not (tmp_path / "run").exists()
        digits = Digits(parts["train"].images[:43], parts["train"].labels[:43])
        monkeypatch.setattr(files.Source, "load", lambda source, split: digits)
    folder, images = start(judge, tmp_path / "run", *flags), source.load("train").images
    rng = seeds.generator(0, "order", 1)
    order = torch.cat([torch.randperm(43, generator=rng) for _ in range(2)])
    assert torch.equal(torch.cat(batches), images[order]) and [len(batch) for batch in batches] == [32, 32, 22]
    assert LOAD[judge](folder).trained_on == source.describe(images)


@pytest.mark.parametrize("labels", [0, 10])
def test_one_learns_from_digits_that_a_gan_draws_with_the_labels_that_it_was_asked_for(
    labels, parts, tmp_path, monkeypatch
):
    """Or with those that the project's classifier reads, if it knows no labels. The test is MNIST's."""
    monkeypatch.setattr(train_judges, "EPOCH", 100)
    (kind, losses, *rest), batches = SETUPS["classifier"], []
    monkeypatch.setitem(SETUPS, "classifier", (kind, lambda *of: batches.append(of[1:]) or losses(*of), *rest))
    generator, path = Generator(6, labels=labels).eval(), tmp_path / "gan.pt"
    content = {"generator": generator.state_dict(), "latent_dim": 6, "width": 1, "labels": labels}
    save_checkpoint(path, KIND, content | {"data": {"name": "MNIST", "size": 300}})
    folder = start("classifier", tmp_path / "run", "--run", path, "--n_epochs", 1, "--seed", 2)
    images, asked = sample_asked(generator, 2, 100)
    drawn = Digits(images, asked if labels else load_classifier().read(images).argmax(1))
    order = torch.randperm(100, generator=seeds.generator(2, "order", 1))
    assert all(torch.equal(part, known[order]) for part, known in zip(batches[0], drawn, strict=True))
    learnt, result = load_classifier(folder), read_json(folder / "result.json")
    assert result["test_accuracy"] == pytest.approx(SETUPS["classifier"][3](learnt, parts["test"])["test_accuracy"])
    assert learnt.trained_on == {"name": f"digits of {path}", "size": 100}
    save_checkpoint(path, KIND, content | {"data": {"name": "KMNIST", "size": 300}})
    with pytest.raises(UserError, match=r"gan.pt: was trained on KMNIST; it must draw MNIST's digits"):
        start("classifier", tmp_path / "other", "--run", path)


def test_one_that_computes_no_finite_numbers_is_not_saved(parts, tmp_path):
    with pytest.raises(UserError, match="no longer finite; a smaller --learning_rate may help") as error:
        start("autoencoder", tmp_path / "run", "--n_epochs", 1, "--batch_size", 300, "--learning_rate", 1e29)
    assert error.value.status == 1 and {path.name for path in (tmp_path / "run").iterdir()} >= {"config.json"}
    assert not {"checkpoint.pt", "result.json"} & {path.name for path in (tmp_path / "run").iterdir()}


def test_defaults_are_those_of_the_judge():
    args = [parse_args([judge]) for judge in LOAD]
    assert [(a.n_epochs, a.learning_rate, a.batch_size) for a in args] == [(5, 3e-3, 128), (10, 2e-3, 128)]
