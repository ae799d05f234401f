"""The generator and the discriminator: widths, equations, latent points, statistics."""

import importlib.util
import sys

from common import machine, seeds
from part2.gan import Discriminator, Generator
from part2.recipes.average import measure_statistics

import pytest
import torch
from torch import nn


def layers(network: nn.Module, kind: type) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, kind)]


def leaky_relu(a: torch.Tensor) -> torch.Tensor:
    return torch.maximum(a, 0.2 * a)


def test_widths_are_the_assignments_times_the_width():
    for width in (1, 2):
        networks = Generator(100, width), Discriminator(width)
        found = [[linear.out_features for linear in layers(network, nn.Linear)] for network in networks]
        assert found == [[*(width * n for n in (128, 256, 512, 1024)), 784], [width * 512, width * 256, 1]]


@pytest.mark.parametrize(("cpu", "fast"), [("vendor_id: AuthenticAMD", True), ("vendor_id: GenuineIntel", False)])
def test_layers_are_the_fast_ones_where_onednn_is_faster(cpu, fast, monkeypatch):
    """Both modules as they are loaded on such a processor."""
    monkeypatch.setattr(machine, "CPU", cpu)
    loaded = {}
    for name in ("common.products", "part2.gan"):
        spec = importlib.util.find_spec(name)
        loaded[name] = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, loaded[name])
        spec.loader.exec_module(loaded[name])
    products, gan = loaded.values()
    expected = products.FastLinear if fast and torch.backends.mkldnn.is_available() else nn.Linear
    linears = [*layers(gan.Generator(3), nn.Linear), *layers(gan.Discriminator(), nn.Linear)]
    assert {type(linear) for linear in linears} == {expected}


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


@pytest.mark.parametrize(
    ("network", "x"), [(Generator(3), torch.randn(4, 3)), (Discriminator(), torch.rand(4, 1, 28, 28))]
)
def test_a_wrong_shape_or_dtype_is_named(network, x):
    for wrong in (x[0], x[..., 1:], x.unsqueeze(0)):
        with pytest.raises(ValueError, match=r"(z|images) has the shape .*; expected \(n, "):
            network(wrong)
    with pytest.raises(ValueError, match=r"has the dtype torch.float64, the network's weights torch.float32"):
        network(x.double())
    jagged = torch.nested.nested_tensor([x], layout=torch.jagged)
    for kind, wrong in (("list", [[0.0]]), ("ndarray", x.numpy()), ("nested tensor", jagged)):
        with pytest.raises(ValueError, match=rf"is a {kind}; expected a tensor \(n, "):
            network(wrong)


def test_latent_points_are_normal_but_for_the_signs(monkeypatch):
    z, with_signs = (Generator(5, signs=signs).draw(1000, seeds.generator(0, "z")) for signs in (0, 2))
    assert torch.equal(z, torch.randn(1000, 5, generator=seeds.generator(0, "z")))
    assert torch.equal(with_signs[:, 2:], z[:, 2:])
    assert torch.equal(with_signs[:, :2], torch.where(z[:, :2] > 0, 3.0, -3.0))
    monkeypatch.setattr(torch, "randn", lambda *shape, generator: torch.zeros(shape))  # a 0 is drawn now and then
    assert torch.equal(Generator(5, signs=2).draw(4, None)[:, :2], torch.full((4, 2), -3.0))


def test_latent_points_end_with_a_2_at_the_label_that_is_named_or_drawn():
    generator, label = Generator(5, signs=2, labels=3), torch.tensor([2, 0, 1])
    z, plain = (g.draw(3, seeds.generator(0, "z"), label) for g in (generator, Generator(5, signs=2)))
    assert torch.equal(z, torch.cat([plain, torch.tensor([[0.0, 0, 2], [2, 0, 0], [0, 2, 0]])], 1))
    drawn = generator.draw(3000, seeds.generator(0, "z"))[:, 5:]
    assert torch.equal(drawn.sort().values, torch.tensor([0.0, 0, 2]).expand(3000, 3))
    assert ((drawn.mean(0) - 2 / 3).abs() < 0.1).all() and generator(z).shape == (3, 1, 28, 28)


def test_labels_enter_the_discriminators_first_layer():
    plain, discriminator = Discriminator(), Discriminator(labels=3)
    weights = plain.state_dict()
    weights["layers.0.weight"] = torch.cat([weights["layers.0.weight"], torch.ones(512, 3)], 1)
    discriminator.load_state_dict(weights)
    images, label = torch.rand(2, 1, 28, 28), torch.tensor([[0.0, 2, 0], [0, 0, 1]])
    expected = nn.Sequential(*plain.layers[1:])(plain.layers[0](images.flatten(1)) + label.sum(1, keepdim=True))
    torch.testing.assert_close(discriminator(images, label), expected.squeeze(1))
    for wrong in (None, label[:, 1:]):
        with pytest.raises(ValueError, match=r"label .*; expected .*\(n, 3\)"):
            discriminator(images, wrong)


@pytest.mark.parametrize("signs", [0, 2])
def test_measured_statistics_are_those_of_the_activations(signs):
    generator = Generator(3, signs=signs)
    z = generator.draw(10_000, seeds.generator(0, "statistics"))
    assert measure_statistics(generator) is generator and not generator.training
    entering = generator.layers[:3](z)  # the first BatchNorm
    torch.testing.assert_close(generator.layers[3].running_mean, entering.mean(0), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(generator.layers[3].running_var, entering.var(0), rtol=1e-2, atol=1e-5)
