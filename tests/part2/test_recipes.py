"""Losses, penalty, average, and one training step of each recipe beside the assignment's loop written plainly."""

import copy
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from common import checkpoint
from common.runs import PRETRAINED
from part2 import recipes
from part2.networks import Discriminator, Generator
from part2.recipes import RECIPES, REFERENCE, Game, Recipe, discriminator_loss, generator_loss, train_step
from tests.part2.by_hand import train_plainly
from tests.tiny_runs import NarrowDiscriminator, NarrowGenerator, first_digits


def test_losses_by_hand():
    """Logits 2 and 0 on real images, 0 and 1 on fakes; with pairs, the discriminator is right by 2, then wrong by 1."""
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0])

    def log(*exponents: float) -> float:
        return sum(math.log(1 + math.exp(exponent)) for exponent in exponents) / 2

    assert generator_loss(fake).item() == pytest.approx(log(0, -1))
    assert discriminator_loss(real, fake).item() == pytest.approx(log(-2, 0) + log(0, 1))
    assert generator_loss(fake, real).item() == pytest.approx(log(2, -1))
    assert discriminator_loss(real, fake, relativistic=True).item() == pytest.approx(log(-2, 1))


def test_the_generators_gradient_does_not_vanish_where_the_discriminator_is_sure_of_a_fake():
    """d/dl −log σ(l) = −(1 − σ(l)): in float32 too, at logits at which a sigmoid is 0."""
    fake = torch.tensor([-200.0, 0.0, math.log(3)], requires_grad=True)
    generator_loss(fake).backward()
    torch.testing.assert_close(fake.grad, torch.tensor([-1, -1 / 2, -1 / 4]) / 3)


def test_gradient_penalty_by_hand():
    """A linear D has the same gradient w everywhere: |w|²."""
    images, w = torch.randn(3, 1, 28, 28).double().requires_grad_(), torch.randn(784).double()
    found = recipes.gradient_penalty(images.flatten(1) @ w, images).item()
    assert found == pytest.approx(w.square().sum().item())


def test_the_learning_rate_halves_after_the_epochs_named_and_falls_to_0_at_the_end():
    for n_epochs in (100, 200):
        rates = [Recipe(halving=10).rate(epoch, n_epochs) for epoch in (0, 10, 30, 90)]
        assert rates == pytest.approx([1, 1 / 2, 1 / 4, 1 / 10])
        assert [Recipe().rate(epoch, n_epochs) for epoch in (0, 99)] == [1, 1]
    assert [Recipe(falls=True).rate(epoch, 50) for epoch in (0, 20, 49.5, 50)] == pytest.approx([1, 0.6, 0.01, 0])
    assert Recipe(halving=10, falls=True).rate(40, 50) == pytest.approx(0.2 * 0.2)


def test_the_reference_is_the_assignments_adam_and_nothing_else():
    optimizer = REFERENCE.make_optimizer(Discriminator())
    assert optimizer.defaults | {"fused": None} == torch.optim.Adam(Discriminator().parameters(), lr=2e-4).defaults
    # from generator_rate on
    assert list(asdict(REFERENCE).values())[3:] == [1, 0, 0, False, 0, 0, 0, 1, 1e-5]


def test_the_improved_recipe_is_the_one_that_trained_the_pretrained_generator():
    recorded = checkpoint.load(PRETRAINED / "generator", "GAN")["recipe"]
    assert RECIPES["improved"] == Recipe(**recorded)


def test_every_other_recipe_differs_from_its_base_in_one_thing():
    for name, recipe in RECIPES.items():
        base = asdict(RECIPES[name.split("_")[0]])
        changed = [key for key, value in asdict(recipe).items() if value != base[key]]
        assert len(changed) == (2 if name == "reference_popular" else "_" in name), name


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_steps_are_the_assignments_loop_with_what_the_recipe_adds(recipe, in_float64):
    """Nine batches, so that two of them are penalised: what each returns, and the networks at the end.

    The average forgets so soon that its rule for a young one ends on the way. Sampling in between changes nothing.
    """
    torch.manual_seed(0)
    recipe = replace(recipe, average=0.4 if recipe.average else 0)
    generator, discriminator = NarrowGenerator(5), NarrowDiscriminator()
    images, full = first_digits().images.double(), torch.autocast("cpu", enabled=False)
    batches = [(images[8 * k : 8 * k + 8], torch.randn(8, 5), 1e-3 / (k + 1)) for k in range(9)]
    game = Game(copy.deepcopy(generator), copy.deepcopy(discriminator), recipe)
    returned = []
    for k, (real, z, learning_rate) in enumerate(batches):
        game.set_learning_rate(learning_rate)
        returned.append([value.item() for value in train_step(game, real, z, k, full)])
        assert not game.sampler().training

    logged, average = train_plainly(generator, discriminator, recipe, batches)
    np.testing.assert_allclose(returned, logged, rtol=1e-6)
    pairs = [(game.generator, generator), (game.discriminator, discriminator)]
    for ours, plain in [*pairs, *([(game.average, average)] if recipe.average else [])]:
        torch.testing.assert_close(ours.state_dict(), plain.state_dict(), rtol=1e-6, atol=1e-8)
    assert all(parameter.requires_grad for parameter in game.discriminator.parameters())


def test_under_autocast_losses_and_what_the_discriminator_sees_stay_in_float32():
    game, entered = Game(Generator(5), Discriminator(), RECIPES["improved_paired"]), []
    game.discriminator.register_forward_pre_hook(lambda _, images: entered.append(images[0].dtype))
    returned = train_step(game, torch.rand(8, 1, 28, 28), torch.randn(8, 5), 0, torch.autocast("cpu", torch.bfloat16))
    assert {value.dtype for value in returned} == {torch.float32} == set(entered)
