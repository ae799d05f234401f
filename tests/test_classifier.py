"""The digit classifier: the shipped one reads MNIST, a new one comes back from its checkpoint."""

import math

import pytest
import torch

import part2.classifier
from common import checkpoint
from common.cli import UserError
from common.files import read_json
from common.runs import read_metrics
from part2.classifier import Classifier, load_classifier, parse_args, train
from part2.mnist import Digits, load_mnist


@pytest.fixture(scope="module")
def mnist_test():
    return load_mnist("test")


@pytest.fixture(scope="module")
def shipped():
    return load_classifier()


@pytest.fixture
def few_images(monkeypatch, mnist_test):
    """Training and test images from disjoint parts of a small set."""
    images, labels = mnist_test
    parts = {"train": Digits(images[:300], labels[:300]), "test": Digits(images[300:500], labels[300:500])}
    monkeypatch.setattr(part2.classifier, "load_mnist", parts.__getitem__)
    return parts


def train_briefly(folder, *flags: str):
    return train(parse_args(["--n_epochs", "1", "--device", "cpu", "--out_dir", str(folder), *flags]))


def test_the_shipped_classifier_reads_99_of_100_test_images_and_97_of_each_digit(shipped, mnist_test):
    right = shipped.read(mnist_test.images).argmax(1) == mnist_test.labels
    assert right.float().mean() >= 0.99
    assert all(right[mnist_test.labels == digit].float().mean() >= 0.97 for digit in range(10))


def test_a_loaded_classifier_is_in_eval_mode(shipped):
    assert not any(module.training for module in shipped.modules())


def test_features_are_128_numbers_and_logits_their_linear_map():
    classifier, images = Classifier().double(), torch.randn(5, 1, 28, 28).double()
    features = classifier.features(images)
    assert features.shape == (5, 128)
    expected = features @ classifier.fc.weight.T + classifier.fc.bias
    torch.testing.assert_close(classifier(images), expected, rtol=0, atol=1e-12)


def test_number_of_parameters_by_hand():
    convolutions = (1 * 9 * 16 + 16) + (16 * 9 * 32 + 32)
    assert sum(p.numel() for p in Classifier().parameters()) == convolutions + (32 * 49 * 128 + 128) + (128 * 10 + 10)


@pytest.mark.parametrize("n", [1, 999, 1000, 1001])
def test_read_is_the_softmax_of_the_logits(n, mnist_test):
    """Also where the images do not fill the last thousand."""
    classifier, images = Classifier(), mnist_test.images[:n]
    probability = classifier.read(images)
    assert probability.shape == (n, 10) and not probability.requires_grad
    torch.testing.assert_close(probability.sum(1), torch.ones(n))
    logits = classifier(images).detach()
    torch.testing.assert_close(probability, logits.exp() / logits.exp().sum(1, keepdim=True), rtol=1e-4, atol=1e-6)


def test_a_trained_classifier_comes_back_from_its_checkpoint(tmp_path, few_images):
    folder = train_briefly(tmp_path / "run")
    result = read_json(folder / "result.json")
    test = few_images["test"]
    read = load_classifier(folder / "checkpoint.pt").read(test.images).argmax(1)
    assert result["test_accuracy"] == pytest.approx((read == test.labels).float().mean().item())
    assert result["epochs"] == 1


def test_training_learns(tmp_path, few_images):
    rows = read_metrics(train_briefly(tmp_path / "run", "--n_epochs", "6", "--batch_size", "32"))
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[0]["loss"] > math.log(10) / 2  # from near chance, ln 10
    assert rows[-1]["loss"] < rows[0]["loss"] / 3 and rows[-1]["accuracy"] > 0.85


def test_the_test_images_do_not_train_it(tmp_path, few_images):
    """Other test images, the same weights to the bit."""
    first = train_briefly(tmp_path / "first")
    few_images["test"] = Digits(few_images["test"].images.flip(0), few_images["test"].labels)
    second = train_briefly(tmp_path / "second")
    states = [load_classifier(folder / "checkpoint.pt").state_dict() for folder in (first, second)]
    assert all(map(torch.equal, states[0].values(), states[1].values()))


def test_load_classifier_refuses_a_gan(tmp_path):
    checkpoint.save(tmp_path / "gan.pt", "GAN", {"latent_dim": 3})
    with pytest.raises(UserError, match=r"gan\.pt: holds a GAN, not a digit classifier"):
        load_classifier(tmp_path / "gan.pt")


def test_load_classifier_says_that_the_file_is_missing(tmp_path):
    with pytest.raises(UserError, match=r"none\.pt: there is no such checkpoint"):
        load_classifier(tmp_path / "none.pt")
