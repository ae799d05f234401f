"""The autoencoder: the shipped one redraws MNIST, a new one comes back from its checkpoint."""

import itertools

import pytest
import torch
import torch.nn.functional as F

import part2.autoencoder
from common import checkpoint
from common.cli import UserError
from common.files import read_json
from common.runs import read_metrics
from part2.autoencoder import Autoencoder, load_autoencoder, parse_args, train
from part2.mnist import Digits, load_mnist


@pytest.fixture(scope="module")
def test_images():
    return load_mnist("test").images


@pytest.fixture
def few_images(monkeypatch, test_images):
    parts = {"train": Digits(test_images[:300], None), "test": Digits(test_images[300:500], None)}
    monkeypatch.setattr(part2.autoencoder, "load_mnist", parts.__getitem__)


def test_the_shipped_autoencoder_redraws_test_images_and_its_record_says_how_well(test_images):
    shipped = load_autoencoder()
    with torch.no_grad():
        error = F.mse_loss(shipped(test_images), test_images).item()
    recorded = read_json(part2.autoencoder.PRETRAINED / "autoencoder" / "result.json")["test_error"]
    assert error == pytest.approx(recorded, rel=1e-3) and error < test_images.var().item() / 20
    assert not any(module.training for module in shipped.modules())


def test_features_are_64_numbers_that_the_image_is_redrawn_from():
    autoencoder, images = Autoencoder(), torch.randn(5, 1, 28, 28)
    features = autoencoder.features(images)
    assert features.shape == (5, 64) and autoencoder(images).shape == images.shape
    torch.testing.assert_close(autoencoder(images), autoencoder.decoder(features).view(5, 1, 28, 28))
    layers = [784, 512, 256, 64, 256, 512, 784]
    expected = sum(n * m + m for n, m in itertools.pairwise(layers))
    assert sum(p.numel() for p in autoencoder.parameters()) == expected


def test_a_new_one_learns_and_comes_back_from_its_checkpoint(few_images, tmp_path, test_images):
    flags = ["--n_epochs", "3", "--device", "cpu"]
    folder = train(parse_args([*flags, "--out_dir", str(tmp_path / "run")]))
    losses = [row["loss"] for row in read_metrics(folder)]
    assert len(losses) == 3 and losses[-1] < 0.7 * losses[0]
    loaded = load_autoencoder(folder / "checkpoint.pt")
    with torch.no_grad():
        error = F.mse_loss(loaded(test_images[300:500]), test_images[300:500]).item()
    assert read_json(folder / "result.json")["test_error"] == pytest.approx(error, rel=1e-5)
    again = train(parse_args([*flags, "--out_dir", str(tmp_path / "again")]))
    kind = "autoencoder"
    first, second = (checkpoint.load(path / "checkpoint.pt", kind)[kind] for path in (folder, again))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_another_kind_of_checkpoint_is_refused():
    with pytest.raises(UserError, match="holds a digit classifier, not a autoencoder"):
        load_autoencoder(part2.autoencoder.PRETRAINED / "classifier" / "checkpoint.pt")
