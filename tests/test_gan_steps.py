"""What one GAN training step does: losses, order, average; beside the assignment's loop written down plainly."""

import copy
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import part2.train_gan
from common import checkpoint, seeds
from common.runs import Run, read_metrics
from part2.mnist import Digits, load_mnist
from part2.networks import Discriminator, Generator, measure_statistics
from part2.recipes import (
    RECIPES,
    Recipe,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    update_average,
)
from part2.train_gan import draw_grid, parse_args, to_sample_from, train


@pytest.fixture(scope="module")
def digits():
    images, labels = load_mnist("train")
    return Digits(images[:256], labels[:256])


@pytest.fixture(autouse=True)
def light(monkeypatch, digits):
    """Training without loading anew and without pictures of the whole run."""
    monkeypatch.setattr(part2.train_gan, "load_mnist", {"train": digits}.__getitem__)
    monkeypatch.setattr(part2.train_gan, "draw_summary", lambda *args: None)


def same(state: dict, other: dict) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


# The losses

logits = arrays.arrays(np.float64, st.shared(st.integers(1, 8), key="n"), elements=st.floats(-15, 15))


@given(real=logits, fake=logits)
def test_losses_are_binary_cross_entropy_values_and_gradients(real, fake):
    x, y = (torch.from_numpy(a).requires_grad_() for a in (real, fake))
    ones, zeros = torch.ones_like(x), torch.zeros_like(x)
    pairs = [
        (generator_loss(y), F.binary_cross_entropy_with_logits(y, ones)),
        (generator_loss(y), F.binary_cross_entropy(torch.sigmoid(y), ones)),
        (
            discriminator_loss(x, y),
            F.binary_cross_entropy_with_logits(x, ones) + F.binary_cross_entropy_with_logits(y, zeros),
        ),
        (
            discriminator_loss(x, y),
            F.binary_cross_entropy(torch.sigmoid(x), ones) + F.binary_cross_entropy(torch.sigmoid(y), zeros),
        ),
    ]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
        mine = torch.autograd.grad(ours, (x, y), retain_graph=True, materialize_grads=True)
        expected = torch.autograd.grad(theirs, (x, y), materialize_grads=True)
        torch.testing.assert_close(mine, expected, rtol=1e-6, atol=1e-9)


def test_gradient_of_the_non_saturating_loss_by_hand():
    """d/dl −log σ(l) = −(1 − σ(l)): it does not vanish where the discriminator is sure of a fake."""
    fake = torch.tensor([-30.0, 0.0, math.log(3)], dtype=torch.float64, requires_grad=True)
    generator_loss(fake).backward()
    torch.testing.assert_close(fake.grad, torch.tensor([-1, -1 / 2, -1 / 4], dtype=torch.float64) / 3)


def test_discriminator_loss_is_a_sum_not_a_mean_of_its_parts():
    assert discriminator_loss(torch.zeros(4), torch.zeros(4)).item() == pytest.approx(2 * math.log(2))


def test_untrained_networks_start_at_ln_2_and_2_ln_2(digits):
    torch.manual_seed(0)
    generator, discriminator = Generator(100), Discriminator()
    fake = discriminator(generator(torch.randn(64, 100)))
    assert generator_loss(fake).item() == pytest.approx(math.log(2), abs=0.05)
    assert discriminator_loss(discriminator(digits.images[:64]), fake).item() == pytest.approx(2 * math.log(2), abs=0.1)


# The average of the generator's weights


def two_generators() -> tuple[Generator, Generator]:
    """Two with other weights and other BatchNorm statistics: one has seen two batches, the other none."""
    torch.manual_seed(0)
    average, generator = Generator(3).double(), Generator(3).double()
    for _ in range(2):
        generator(torch.randn(4, 3).double())
    return average, generator


@pytest.mark.parametrize(
    ("batch", "decay", "kept"),
    [
        (1, 0.999, 1 / 11),
        (10, 0.999, 1 / 2),
        (90, 0.999, 0.9),
        (9_990, 0.999, 0.999),
        (10**6, 0.999, 0.999),
        (90, 0.5, 0.5),
    ],
)
def test_average_keeps_the_share_computed_by_hand(batch, decay, kept):
    average, generator = two_generators()
    before, new = copy.deepcopy(average.state_dict()), copy.deepcopy(generator.state_dict())
    update_average(average, generator, decay, batch)
    weights = {name for name, _ in average.named_parameters()}
    for name, value in average.state_dict().items():
        expected = kept * before[name] + (1 - kept) * new[name] if name in weights else before[name]
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-15)
    assert same(generator.state_dict(), new)


# The recipe's parts


def test_relativistic_losses_by_hand_and_as_cross_entropy():
    """Pairs (real, fake) with logits (2, 0), (0, 1): the discriminator is right about the first by 2, wrong by 1."""
    real, fake = torch.tensor([2.0, 0.0]).double(), torch.tensor([0.0, 1.0]).double()
    d = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2
    g = (math.log(1 + math.exp(2)) + math.log(1 + math.exp(-1))) / 2
    assert discriminator_loss(real, fake, relativistic=True).item() == pytest.approx(d)
    assert generator_loss(fake, real).item() == pytest.approx(g)
    ones, bce = torch.ones(2).double(), F.binary_cross_entropy_with_logits
    torch.testing.assert_close(discriminator_loss(real, fake, relativistic=True), bce(real - fake, ones))
    torch.testing.assert_close(generator_loss(fake, real), bce(fake - real, ones))


def test_relativistic_losses_see_differences_only():
    real, fake = torch.randn(8), torch.randn(8)
    torch.testing.assert_close(generator_loss(fake + 3, real + 3), generator_loss(fake, real))
    moved = discriminator_loss(real + 3, fake + 3, relativistic=True)
    torch.testing.assert_close(moved, discriminator_loss(real, fake, relativistic=True))
    assert not torch.isclose(discriminator_loss(real + 3, fake + 3), discriminator_loss(real, fake))


def test_gradient_penalty_by_hand_and_by_differences():
    """A linear D has the same gradient w everywhere: |w|². Of the true D, central differences give the gradient."""
    images = torch.randn(6, 1, 28, 28).double().requires_grad_()
    w = torch.randn(784).double()
    assert gradient_penalty(images.flatten(1) @ w, images).item() == pytest.approx(w.square().sum().item())

    discriminator, step = Discriminator().double(), 1e-6
    found = gradient_penalty(discriminator(images), images).item()
    with torch.no_grad():
        basis = step * torch.eye(784).double().view(784, 1, 28, 28)
        slopes = [(discriminator(image + basis) - discriminator(image - basis)) / (2 * step) for image in images]
    assert found == pytest.approx(torch.stack(slopes).square().sum(1).mean().item(), rel=1e-6)


def test_gradient_penalty_can_be_trained_on():
    """Its own gradient by the weights, against central differences along a random direction."""
    torch.manual_seed(0)
    discriminator, images = Discriminator().double(), torch.randn(4, 1, 28, 28).double().requires_grad_()
    weights = list(discriminator.parameters())
    gradients = torch.autograd.grad(gradient_penalty(discriminator(images), images), weights, materialize_grads=True)
    direction = [torch.randn_like(weight) for weight in weights]
    expected = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True)).item()

    def moved(step: float) -> float:
        with torch.no_grad():
            for weight, d in zip(weights, direction, strict=True):
                weight += step * d
        value = gradient_penalty(discriminator(images), images).item()
        with torch.no_grad():
            for weight, d in zip(weights, direction, strict=True):
                weight -= step * d
        return value

    assert (moved(1e-7) - moved(-1e-7)) / 2e-7 == pytest.approx(expected, rel=1e-3)


def test_the_learning_rate_halves_after_the_epochs_named_and_needs_no_last_epoch():
    rates = [Recipe(halving=20).rate(epoch) for epoch in (0, 20, 60, 180)]
    assert rates == pytest.approx([1, 1 / 2, 1 / 4, 1 / 10])
    assert [Recipe().rate(epoch) for epoch in (0, 1000)] == [1, 1]


def test_recipes_differ_from_their_base_in_one_thing_at_most():
    for name, recipe in RECIPES.items():
        base = asdict(RECIPES[name.split("_")[0]])
        changed = {key for key, value in asdict(recipe).items() if value != base[key]}
        assert len(changed) == (0 if name in ("reference", "improved") else 1), name


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name != "reference"])
def test_each_part_of_a_recipe_changes_training(tmp_path, recipe):
    flags = ["--data_size", "96", "--batch_size", "32", "--n_epochs", "1", "--latent_dim", "6", "--device", "cpu"]
    folders = {}
    for name in {recipe, recipe.split("_")[0], "reference"}:
        folders[name] = train(parse_args([*flags, "--recipe", name, "--out_dir", str(tmp_path / name)]))
    trained = {name: checkpoint.load(folder / "checkpoint.pt", kind="GAN") for name, folder in folders.items()}
    for name in set(folders) - {recipe}:
        mine, other = trained[recipe], trained[name]
        without_average = [replace(RECIPES[which], average=0.0) for which in (recipe, name)]
        assert same(mine["generator"], other["generator"]) == (without_average[0] == without_average[1])
        assert ("average" in mine) == (RECIPES[recipe].average > 0)


def test_the_penalty_comes_every_eighth_batch_and_counts_eightfold(tmp_path, monkeypatch):
    seen, original = [], part2.train_gan.gradient_penalty

    def watched(logits, images):
        assert len(images) == 16 and images.requires_grad  # real and generated ones, each in a batch of 8
        seen.append(original(logits, images))
        seen[-1].register_hook(lambda gradient: weights.append(gradient.item()))
        return seen[-1]

    weights = []
    monkeypatch.setattr(part2.train_gan, "gradient_penalty", watched)
    flags = ["--data_size", "140", "--batch_size", "8", "--n_epochs", "1", "--latent_dim", "6", "--device", "cpu"]
    train(parse_args([*flags, "--out_dir", str(tmp_path / "run")]))
    assert weights == pytest.approx([8 * RECIPES["improved"].penalty] * 3)  # of 17 batches: the first, ninth, last


# What is sampled from


def test_measured_statistics_are_those_of_the_activations():
    generator = Generator(3).double()
    z = torch.randn(10_000, 3, generator=seeds.generator(0, "statistics")).double()
    assert measure_statistics(generator.float()) is generator and not generator.training
    first = generator.layers[:3].double()(z)  # what enters the first BatchNorm
    torch.testing.assert_close(generator.layers[3].running_mean.double(), first.mean(0), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(generator.layers[3].running_var.double(), first.var(0), rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("averaged", [True, False])
def test_looking_at_the_generator_leaves_everything_as_it_was(tmp_path, averaged, training):
    generator = Generator(3).train(training)
    average = copy.deepcopy(generator) if averaged else None
    before, global_state = copy.deepcopy(generator.state_dict()), torch.get_rng_state()
    seen = to_sample_from(generator, average)
    draw_grid(Run(tmp_path), seen, torch.randn(25, 3, generator=torch.Generator().manual_seed(0)), batch=7)
    assert (tmp_path / "grids" / "0000007.png").is_file()
    assert not seen.training and (same(seen.state_dict(), before) is not averaged)
    for network in filter(None, (generator, average)):
        assert same(network.state_dict(), before)
        assert all(module.training is training for module in network.modules())
        assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), global_state)


# The steps


@pytest.fixture
def in_float64(monkeypatch, digits):
    """Training in float64, where two ways to compute the same agree to many digits."""
    double = Digits(digits.images.double(), digits.labels)
    monkeypatch.setattr(part2.train_gan, "load_mnist", {"train": double}.__getitem__)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # what leaves autocast is full precision here too
    torch.set_default_dtype(torch.float64)
    yield double
    torch.set_default_dtype(torch.float32)


def train_as_assigned(images, seed, n_epochs, batch_size, latent_dim, learning_rate):
    """The assignment's loop, written down plainly: the oracle. Returns the networks and what each batch logs."""
    torch.manual_seed(seed)
    generator, discriminator = Generator(latent_dim), Discriminator()
    generator_optimizer = torch.optim.Adam(generator.parameters(), lr=learning_rate, foreach=False, fused=False)
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), lr=learning_rate, foreach=False, fused=False)
    bce, ones, zeros = torch.nn.BCELoss(), torch.ones(batch_size), torch.zeros(batch_size)
    logged, batch = [], 0
    for epoch in range(n_epochs):
        order = torch.randperm(len(images), generator=seeds.generator(seed, "order", epoch))
        for start in range(0, len(images) - batch_size + 1, batch_size):
            batch += 1
            real = images[order[start : start + batch_size]]
            z = torch.randn(batch_size, latent_dim, generator=seeds.generator(seed, "noise", batch))

            generator_optimizer.zero_grad()
            fake = generator(z)
            g_loss = bce(torch.sigmoid(discriminator(fake)), ones)
            g_loss.backward()
            generator_optimizer.step()

            discriminator_optimizer.zero_grad()
            on_real, on_fake = torch.sigmoid(discriminator(real)), torch.sigmoid(discriminator(fake.detach()))
            d_loss = bce(on_real, ones) + bce(on_fake, zeros)
            d_loss.backward()
            discriminator_optimizer.step()
            accuracy = (on_real > 0.5).double().mean(), (on_fake < 0.5).double().mean()
            logged.append([value.item() for value in (g_loss, d_loss, *accuracy)])
    return generator, discriminator, logged


@pytest.mark.parametrize("seed", [0, 5])
def test_the_reference_recipe_is_the_assignments_loop(tmp_path, in_float64, seed):
    """Six batches, losses and accuracies of each, the weights at the end; four images are left over in each epoch."""
    flags = [
        "--recipe",
        "reference",
        "--data_size",
        "100",
        "--batch_size",
        "32",
        "--n_epochs",
        "2",
        "--seed",
        str(seed),
    ]
    flags += ["--latent_dim", "10", "--log_interval", "1", "--device", "cpu", "--learning_rate", "2e-4"]
    folder = train(parse_args([*flags, "--out_dir", str(tmp_path / "run")]))
    generator, discriminator, expected = train_as_assigned(in_float64.images[:100], seed, 2, 32, 10, 2e-4)

    rows = read_metrics(folder)
    assert [row["batch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    keys = ("generator_loss", "discriminator_loss", "accuracy_real", "accuracy_fake")
    np.testing.assert_allclose([[row[key] for key in keys] for row in rows], expected, rtol=1e-5)
    trained = checkpoint.load(folder / "checkpoint.pt", kind="GAN")
    torch.testing.assert_close(trained["generator"], generator.state_dict(), rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(trained["discriminator"], discriminator.state_dict(), rtol=1e-7, atol=1e-9)
    assert not trained.get("average")


def test_each_step_moves_its_own_network_alone(tmp_path, monkeypatch):
    networks, moved = [], []

    def remember(build):
        def wrapped(*args):
            networks.append(build(*args))
            return networks[-1]

        return wrapped

    def state() -> list[torch.Tensor]:
        return [torch.cat([p.detach().flatten() for p in network.parameters()]) for network in networks]

    step, last = torch.optim.Adam.step, []

    def recording_step(optimizer, *args):
        before = state()
        if last:  # nothing moved since the step before
            assert all(map(torch.equal, last, before))
        step(optimizer, *args)
        last[:] = state()
        moved.append([not torch.equal(a, b) for a, b in zip(before, last, strict=True)])

    monkeypatch.setattr(part2.train_gan, "Generator", remember(Generator))
    monkeypatch.setattr(part2.train_gan, "Discriminator", remember(Discriminator))
    monkeypatch.setattr(torch.optim.Adam, "step", recording_step)
    flags = ["--recipe", "reference", "--data_size", "128", "--batch_size", "32", "--n_epochs", "1", "--device", "cpu"]
    train(parse_args([*flags, "--out_dir", str(tmp_path / "run")]))
    assert moved == [[True, False], [False, True]] * 4  # the generator first, then the discriminator
