"""The generator and the discriminator: widths, equations, and what a checkpoint brings back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from common import checkpoint
from common.cli import UserError
from part2.networks import Discriminator, Generator, export_generator, load_generator, measure_statistics


def layers(network: nn.Module, kind: type) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, kind)]


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def lively_generator(latent_dim: int = 3) -> Generator:
    """In float64, with BatchNorm weights and statistics that are not the trivial 0 and 1."""
    torch.manual_seed(0)
    generator = Generator(latent_dim).double()
    for norm in layers(generator, nn.BatchNorm1d):
        norm.weight.data.uniform_(0.5, 2)
        norm.bias.data.uniform_(-1, 1)
        norm.running_mean.uniform_(-0.5, 0.5)
        norm.running_var.uniform_(0.5, 2)
    return generator


def leaky_relu(a: torch.Tensor) -> torch.Tensor:
    return torch.maximum(a, 0.2 * a)


def generator_by_hand(generator: Generator, z: torch.Tensor, over_the_batch: bool) -> torch.Tensor:
    """G(z) by the equations of its docstring and of the assignment."""
    linears, norms = layers(generator, nn.Linear), layers(generator, nn.BatchNorm1d)
    h = leaky_relu(torch.matmul(z, linears[0].weight.T) + linears[0].bias)
    for linear, norm in zip(linears[1:4], norms, strict=True):
        a = torch.matmul(h, linear.weight.T) + linear.bias
        average, variance = (a.mean(0), ((a - a.mean(0)) ** 2).mean(0))
        if not over_the_batch:
            average, variance = norm.running_mean, norm.running_var
        h = leaky_relu(norm.weight * (a - average) / (variance + 1e-5).sqrt() + norm.bias)
    return torch.tanh(torch.matmul(h, linears[4].weight.T) + linears[4].bias).reshape(-1, 1, 28, 28)


def test_generator_has_the_assignments_widths():
    widths = [(linear.in_features, linear.out_features) for linear in layers(Generator(100), nn.Linear)]
    assert widths == [(100, 128), (128, 256), (256, 512), (512, 1024), (1024, 784)]


def test_discriminator_has_the_assignments_widths():
    widths = [(linear.in_features, linear.out_features) for linear in layers(Discriminator(), nn.Linear)]
    assert widths == [(784, 512), (512, 256), (256, 1)]


def test_batch_norm_stands_on_256_512_and_1024_units_with_pytorchs_eps_and_momentum():
    norms = [(norm.num_features, norm.eps, norm.momentum) for norm in layers(Generator(100), nn.BatchNorm1d)]
    assert norms == [(256, 1e-5, 0.1), (512, 1e-5, 0.1), (1024, 1e-5, 0.1)]
    assert layers(Discriminator(), nn.BatchNorm1d) == []


@pytest.mark.parametrize(("network", "count"), [(Generator(5), 4), (Discriminator(), 2)])
def test_a_leaky_relu_of_slope_a_fifth_follows_each_hidden_layer(network, count):
    assert [relu.negative_slope for relu in layers(network, nn.LeakyReLU)] == [0.2] * count


@pytest.mark.parametrize("latent_dim", [1, 7, 100])
def test_number_of_parameters_follows_from_the_widths(latent_dim):
    hidden = (128 * 256 + 256) + (256 * 512 + 512) + (512 * 1024 + 1024)
    norms = 2 * (256 + 512 + 1024)
    assert parameters(Generator(latent_dim)) == 128 * latent_dim + 128 + hidden + norms + (1024 * 784 + 784)
    assert parameters(Discriminator()) == (784 * 512 + 512) + (512 * 256 + 256) + (256 + 1)


def test_number_of_parameters_as_published():
    assert (parameters(Generator(100)), parameters(Discriminator())) == (1_510_032, 533_505)


@settings(max_examples=10)
@given(n=st.integers(2, 9), latent_dim=st.integers(1, 30), scale=st.floats(0, 1e3))
def test_generator_maps_noise_to_images_between_minus_one_and_one(n, latent_dim, scale):
    images = Generator(latent_dim)(scale * torch.randn(n, latent_dim))
    assert images.shape == (n, 1, 28, 28)
    assert images.abs().max() <= 1


@pytest.mark.parametrize("n", [1, 2, 5])
def test_discriminator_gives_one_logit_an_image(n):
    assert Discriminator()(torch.zeros(n, 1, 28, 28)).shape == (n,)


def test_probability_is_the_sigmoid_of_the_logit():
    discriminator, images = Discriminator().double(), torch.randn(6, 1, 28, 28).double()
    probability = discriminator.probability(images)
    torch.testing.assert_close(probability, 1 / (1 + torch.exp(-discriminator(images))), rtol=1e-12, atol=0)
    assert ((probability > 0) & (probability < 1)).all()


@pytest.mark.parametrize("training", [True, False])
def test_generator_follows_its_equations(training):
    generator, z = lively_generator().train(training), torch.randn(5, 3).double()
    expected = generator_by_hand(generator, z, over_the_batch=training)
    torch.testing.assert_close(generator(z), expected, rtol=0, atol=1e-12)


def test_train_and_eval_mode_differ_so_that_the_test_above_can_tell_them_apart():
    generator, z = lively_generator(), torch.randn(5, 3).double()
    assert (generator.train()(z) - generator.eval()(z)).abs().max() > 0.1


def test_discriminator_follows_its_equations():
    torch.manual_seed(0)
    discriminator, images = Discriminator().double(), torch.randn(4, 1, 28, 28).double()
    first, second, third = layers(discriminator, nn.Linear)
    h = leaky_relu(torch.matmul(images.reshape(4, 784), first.weight.T) + first.bias)
    h = leaky_relu(torch.matmul(h, second.weight.T) + second.bias)
    expected = (torch.matmul(h, third.weight.T) + third.bias).reshape(4)
    torch.testing.assert_close(discriminator(images), expected, rtol=0, atol=1e-12)


def save_gan(path, average: bool | None, latent_dim: int = 4) -> tuple[Generator, Generator]:
    """A GAN's checkpoint, as load_generator needs it; the last and the average generator that lie in it."""
    last, averaged = Generator(latent_dim), Generator(latent_dim)
    last(torch.randn(8, latent_dim))  # so that BatchNorm's statistics differ from a new network's
    content = {"latent_dim": latent_dim, "generator": last.state_dict()}
    if average is not None:
        content["average"] = averaged.state_dict() if average else None
    checkpoint.save(path, "GAN", content)
    return last, averaged


@pytest.mark.parametrize("average", [True, False, None])  # None: nothing of that name is in the file
def test_load_generator_prefers_the_average_where_there_is_one(tmp_path, average):
    last, averaged = save_gan(tmp_path / "checkpoint.pt", average)
    expected = (measure_statistics(averaged) if average else last).state_dict()
    loaded = load_generator(tmp_path / "checkpoint.pt").state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)


def test_a_wider_generator_is_rebuilt_as_wide(tmp_path):
    wide = Generator(4, width=2)
    content = {"latent_dim": 4, "width": 2, "recipe": {}, "generator": wide.state_dict()}
    checkpoint.save(tmp_path / "wide.pt", "GAN", content)
    export_generator(tmp_path / "wide.pt", tmp_path / "exported.pt")
    for name in ("wide.pt", "exported.pt"):
        loaded = load_generator(tmp_path / name)
        assert [layer.out_features for layer in loaded.layers if hasattr(layer, "out_features")] == [
            256,
            512,
            1024,
            2048,
            784,
        ]
        assert torch.equal(loaded.layers[0].weight, wide.layers[0].weight)


def test_a_loaded_generator_is_ready_to_sample(tmp_path):
    save_gan(tmp_path / "checkpoint.pt", average=True, latent_dim=6)
    generator = load_generator(tmp_path / "checkpoint.pt")
    assert generator.latent_dim == 6
    assert not any(module.training for module in generator.modules())
    images = generator(torch.randn(3, 6))
    assert images.shape == (3, 1, 28, 28)
    assert images.abs().max() <= 1


def test_an_image_depends_on_its_own_noise_alone(tmp_path):
    """In eval mode the other images of a batch do not matter."""
    save_gan(tmp_path / "checkpoint.pt", average=False)
    generator, z = load_generator(tmp_path / "checkpoint.pt").double(), torch.randn(5, 4).double()
    torch.testing.assert_close(generator(z)[:1], generator(z[:1]), rtol=0, atol=1e-12)


def test_load_generator_says_that_the_file_is_missing(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.pt: there is no such checkpoint"):
        load_generator(tmp_path / "nowhere.pt")


def test_load_generator_refuses_a_checkpoint_of_part_1(tmp_path):
    checkpoint.save(tmp_path / "lstm.pt", "palindrome network", {"model": "lstm"})
    with pytest.raises(UserError, match=r"lstm\.pt: holds a palindrome network, not a GAN"):
        load_generator(tmp_path / "lstm.pt")


def test_load_generator_refuses_a_plain_torch_file(tmp_path):
    torch.save(Generator(4).state_dict(), tmp_path / "plain.pt")
    with pytest.raises(UserError, match=r"plain\.pt: is not a checkpoint of this project"):
        load_generator(tmp_path / "plain.pt")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_load_generator_sees_one_flipped_bit(tmp_path, share):
    path = tmp_path / "checkpoint.pt"
    save_gan(path, average=False)
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"checkpoint\.pt: is damaged"):
        load_generator(path)
