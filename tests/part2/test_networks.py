"""The generator and the discriminator: widths, equations, and what a checkpoint brings back."""

import pytest
import torch
from torch import nn

from common import checkpoint, seeds
from common.cli import UserError
from part2.autoencoder import load_autoencoder
from part2.classifier import load_classifier
from part2.networks import Discriminator, Generator, load_discriminator, load_generator, measure_statistics
from tests.tiny_runs import differences


def layers(network: nn.Module, kind: type) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, kind)]


def widths(network: nn.Module) -> list[int]:
    linears = layers(network, nn.Linear)
    return [linears[0].in_features, *(linear.out_features for linear in linears)]


def leaky_relu(a: torch.Tensor) -> torch.Tensor:
    return torch.maximum(a, 0.2 * a)


def test_widths_are_the_assignments_times_the_width():
    for width in (1, 2):
        assert widths(Generator(100, width)) == [100, *(width * n for n in (128, 256, 512, 1024)), 784]
        assert widths(Discriminator(width)) == [784, width * 512, width * 256, 1]


@pytest.mark.parametrize("training", [True, False])
def test_the_generator_follows_its_equations(training):
    """In float64, with BatchNorm's weights and running averages that are not 0 and 1."""
    torch.manual_seed(0)
    generator, z = Generator(3).double(), torch.randn(5, 3).double()
    linears, norms = layers(generator, nn.Linear), layers(generator, nn.BatchNorm1d)
    for norm in norms:
        for numbers in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            nn.init.uniform_(numbers, 0.5, 2)
    h = leaky_relu(z @ linears[0].weight.T + linears[0].bias)
    for linear, norm in zip(linears[1:4], norms, strict=True):
        a = h @ linear.weight.T + linear.bias
        mean, variance = norm.running_mean, norm.running_var
        if training:
            mean, variance = a.mean(0), (a - a.mean(0)).square().mean(0)
        h = leaky_relu(norm.weight * (a - mean) / (variance + 1e-5).sqrt() + norm.bias)
    expected = torch.tanh(h @ linears[4].weight.T + linears[4].bias).reshape(5, 1, 28, 28)
    torch.testing.assert_close(generator.train(training)(z), expected, rtol=0, atol=1e-12)


def test_the_discriminator_follows_its_equations():
    torch.manual_seed(0)
    discriminator, images = Discriminator().double(), torch.randn(4, 1, 28, 28).double()
    first, second, third = layers(discriminator, nn.Linear)
    h = leaky_relu(images.reshape(4, 784) @ first.weight.T + first.bias)
    h = leaky_relu(h @ second.weight.T + second.bias)
    logit = (h @ third.weight.T + third.bias).reshape(4)
    torch.testing.assert_close(discriminator(images), logit, rtol=0, atol=1e-12)
    torch.testing.assert_close(discriminator.probability(images), 1 / (1 + torch.exp(-logit)), rtol=1e-12, atol=0)


NETWORKS = [(Generator(3), torch.randn(4, 3)), (Discriminator(), torch.rand(4, 1, 28, 28))]


@pytest.mark.parametrize(("network", "x"), NETWORKS)
def test_a_wrong_shape_or_dtype_is_named(network, x):
    for wrong in (x[0], x[..., 1:], x.unsqueeze(0)):
        with pytest.raises(ValueError, match=r"(z|images) has the shape .*; expected \(n, "):
            network(wrong)
    with pytest.raises(ValueError, match=r"(z|images) is torch.float64 and the network's weights are torch.float32"):
        network(x.double())


def test_latent_points_are_normal_but_for_the_signs(monkeypatch):
    z, with_signs = (Generator(5, signs=signs).draw(1000, seeds.generator(0, "z")) for signs in (0, 2))
    assert torch.equal(z, torch.randn(1000, 5, generator=seeds.generator(0, "z")))
    assert torch.equal(with_signs[:, 2:], z[:, 2:])
    assert torch.equal(with_signs[:, :2], torch.where(z[:, :2] > 0, 3.0, -3.0))
    monkeypatch.setattr(torch, "randn", lambda *shape, generator: torch.zeros(shape))  # a 0 is drawn now and then
    assert torch.equal(Generator(5, signs=2).draw(4, None)[:, :2], torch.full((4, 2), -3.0))


@pytest.mark.parametrize("signs", [0, 2])
def test_measured_statistics_are_those_of_the_activations(signs):
    generator = Generator(3, signs=signs)
    z = generator.draw(10_000, seeds.generator(0, "statistics"))
    assert measure_statistics(generator) is generator and not generator.training
    entering = generator.layers[:3](z)  # the first BatchNorm
    torch.testing.assert_close(generator.layers[3].running_mean, entering.mean(0), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(generator.layers[3].running_var, entering.var(0), rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("average", [True, False])
def test_load_generator_takes_the_average_where_there_is_one_and_is_ready_to_sample(tmp_path, average):
    last, averaged = (Generator(4, width=2, epsilon=0.8, signs=3) for _ in range(2))
    last(torch.randn(8, 4))  # so that BatchNorm's running averages differ from a new network's
    content = {"latent_dim": 4, "width": 2, "epsilon": 0.8, "signs": 3, "generator": last.state_dict()}
    content |= {"average": averaged.state_dict()} if average else {}
    checkpoint.save(tmp_path / "checkpoint.pt", "GAN", content)
    loaded = load_generator(str(tmp_path))
    expected = measure_statistics(averaged) if average else last
    assert not differences(loaded.state_dict(), expected.state_dict())
    sizes = (loaded.latent_dim, widths(loaded)[1], layers(loaded, nn.BatchNorm1d)[0].eps, loaded.signs)
    assert sizes == (4, 256, 0.8, 3)
    assert not any(module.training for module in loaded.modules())


def test_load_discriminator_is_in_eval_mode_and_says_where_there_is_none(tmp_path):
    opponent = Discriminator(width=2)
    content = {"latent_dim": 4, "width": 2, "discriminator": opponent.state_dict()}
    checkpoint.save(tmp_path / "checkpoint.pt", "GAN", content)
    loaded = load_discriminator(tmp_path)
    assert not differences(loaded.state_dict(), opponent.state_dict()) and not loaded.training
    checkpoint.save(tmp_path / "checkpoint.pt", "GAN", {"latent_dim": 4, "width": 2})
    with pytest.raises(UserError, match="holds a generator alone, no discriminator"):
        load_discriminator(tmp_path)


@pytest.mark.parametrize("load", [load_generator, load_discriminator, load_classifier, load_autoencoder])
def test_loaders_refuse_another_kind(load, tmp_path):
    checkpoint.save(tmp_path / "lstm.pt", "palindrome network", {})
    with pytest.raises(UserError, match=r"lstm\.pt: holds a palindrome network, not a"):
        load(tmp_path / "lstm.pt")
