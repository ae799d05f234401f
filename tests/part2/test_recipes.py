"""Recipes: their settings, losses, penalty, average, and a training step of each beside the assignment's loop."""

import copy
import math
from dataclasses import asdict, replace

from common.files import load_checkpoint
from common.find import PRETRAINED
from part2.gan import Discriminator, Game, Generator, discriminator_loss, generator_loss, gradient_penalty
from part2.recipes.recipes import LOSSES, RECIPES, REFERENCE, Recipe
from tests.part2.by_hand import train_plainly
from tests.tiny_runs import NarrowDiscriminator, NarrowGenerator, first_digits

import numpy as np
import pytest
import torch


def test_losses_by_hand():
    """Logits 2 and 0 on real images, 0 and 1 on fakes; with pairs, the discriminator is right by 2, then wrong by 1."""
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0])

    def log(*exponents: float) -> float:
        return sum(math.log(1 + math.exp(exponent)) for exponent in exponents) / 2

    assert generator_loss(fake).item() == pytest.approx(log(0, -1))
    assert discriminator_loss(real, fake).item() == pytest.approx(log(-2, 0) + log(0, 1))
    paired = LOSSES["relativistic"]
    assert paired.generator(fake, real).item() == pytest.approx(log(2, -1))
    assert paired.discriminator(real, fake).item() == pytest.approx(log(-2, 1))


def test_the_generators_gradient_does_not_vanish_where_the_discriminator_is_sure_of_a_fake():
    """d/dl −log σ(l) = −(1 − σ(l)): in float32 too, at logits at which a sigmoid is 0."""
    fake = torch.tensor([-200.0, 0.0, math.log(3)], requires_grad=True)
    generator_loss(fake).backward()
    torch.testing.assert_close(fake.grad, torch.tensor([-1, -1 / 2, -1 / 4]) / 3)


def test_gradient_penalty_by_hand():
    """A linear D has the same gradient w everywhere: |w|²."""
    images, w = torch.randn(3, 1, 28, 28).double().requires_grad_(), torch.randn(784).double()
    assert gradient_penalty(images.flatten(1) @ w, images).item() == pytest.approx(w.square().sum().item())


def test_the_learning_rate_halves_after_the_epochs_named_and_falls_to_0_at_the_end():
    for n_epochs in (100, 200):
        rates = [Recipe(halving=10).rate(epoch, n_epochs) for epoch in (0, 10, 30, 90)]
        assert rates == pytest.approx([1, 1 / 2, 1 / 4, 1 / 10]) and Recipe().rate(99, n_epochs) == 1
    falling = [Recipe(linear_decay=True).rate(epoch, 50) for epoch in (0, 20, 49.5, 50)]
    assert falling == pytest.approx([1, 0.6, 0.01, 0])
    assert Recipe(halving=10, linear_decay=True).rate(40, 50) == pytest.approx(0.2 * 0.2)


# What each recipe changes: the reference in PyTorch's Adam, `improved` in the reference, all others in their base.
CHANGES = {
    "reference": {"learning_rate": 2e-4},
    "improved": {"betas": (0.0, 0.99), "learning_rate": 5e-4, "halving": 20, "penalty": 0.3, "average": 0.9999},
    "crisp": {"generator_rate": 2, "halving": 0, "linear_decay": True, "signs": 20},
    "conditional": {"labels": True},
    "reference_rmsprop": {"optimizer": "rmsprop"},
    "reference_schedule": {"halving": 20},
    "reference_wide": {"width": 2},
    "reference_popular": {"betas": (0.5, 0.999), "epsilon": 0.8},
    "improved_betas": {"betas": (0.9, 0.999)},
    "improved_learning_rate": {"learning_rate": 2e-4},
    "improved_no_penalty": {"penalty": 0},
    "improved_no_average": {"average": 0},
    "improved_no_schedule": {"halving": 0},
    "improved_paired": {"loss": "relativistic"},
}
PLAIN = {"optimizer": "adam", "betas": (0.9, 0.999), "learning_rate": 1e-3, "generator_rate": 1, "halving": 0}
PLAIN |= {"linear_decay": False, "loss": "non_saturating", "penalty": 0, "signs": 0, "average": 0, "width": 1}
PLAIN |= {"epsilon": 1e-5, "labels": False}


def test_every_recipe_changes_in_its_base_what_is_written_here():
    base = {"reference": PLAIN, "improved": asdict(REFERENCE)}
    base |= dict.fromkeys(("crisp", "conditional"), asdict(RECIPES["improved"]))
    for name, recipe in RECIPES.items():
        assert asdict(recipe) == base.get(name, asdict(RECIPES[name.split("_")[0]])) | CHANGES[name], name
    optimizer = REFERENCE.make_optimizer(Discriminator())
    assert optimizer.defaults | {"fused": None} == torch.optim.Adam(Discriminator().parameters(), lr=2e-4).defaults


def test_the_improved_recipe_is_the_one_that_trained_the_pretrained_generator():
    """Its checkpoint is older than some fields: they had their defaults."""
    recorded = load_checkpoint(PRETRAINED / "generator", "GAN")["recipe"]
    assert recorded.pop("relativistic", False) is False
    assert RECIPES["improved"] == Recipe(**recorded)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_steps_are_the_assignments_loop_with_what_the_recipe_adds(recipe, in_float64):
    """Nine batches, so that two of them are penalised: what each returns, and the networks at the end.

    The average forgets so soon that its rule for a young one ends on the way. Sampling in between changes nothing.
    """
    torch.manual_seed(0)
    recipe = replace(recipe, average=0.4 if recipe.average else 0)
    labels = 10 if recipe.labels else 0
    generator, discriminator = NarrowGenerator(5, labels=labels), NarrowDiscriminator(labels=labels)
    images, full = first_digits().images.double(), torch.autocast("cpu", enabled=False)
    drawn = [generator.draw(8, None, first_digits().labels[8 * k : 8 * k + 8]) for k in range(9)]
    batches = [(images[8 * k : 8 * k + 8], z, 1e-3 / (k + 1)) for k, z in enumerate(drawn)]
    game = Game(copy.deepcopy(generator), copy.deepcopy(discriminator), recipe)
    returned = []
    for k, (real, z, learning_rate) in enumerate(batches):
        game.set_learning_rate(learning_rate)
        returned.append([value.item() for value in game.step(real, z, k, full)])
        assert not game.sampler().training

    logged, average = train_plainly(generator, discriminator, recipe, batches)
    np.testing.assert_allclose(returned, logged, rtol=1e-6)
    pairs = [(game.generator, generator), (game.discriminator, discriminator)]
    for ours, plain in [*pairs, *([(game.average, average)] if recipe.average else [])]:
        torch.testing.assert_close(ours.state_dict(), plain.state_dict(), rtol=1e-6, atol=1e-8)
    assert all(parameter.requires_grad for parameter in game.discriminator.parameters())


@pytest.mark.parametrize(("recipe", "passes"), [("reference", 3), ("improved_paired", 4)])
def test_under_autocast_both_networks_compute_in_bf16_but_losses_and_images_stay_in_float32(recipe, passes):
    game, images, inside = Game(Generator(5), Discriminator(), RECIPES[recipe]), [], []
    game.discriminator.register_forward_pre_hook(lambda _, entered: images.append(entered[0].dtype))
    for network in (game.generator, game.discriminator):
        network.layers[0].register_forward_hook(lambda _, entered, left: inside.append(left.dtype))
    returned = game.step(torch.rand(8, 1, 28, 28), torch.randn(8, 5), 0, torch.autocast("cpu", torch.bfloat16))
    assert {value.dtype for value in returned} == {torch.float32} == set(images)
    assert inside == [torch.bfloat16] * passes
