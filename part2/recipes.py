"""Recipes, ways to train the same generator and discriminator: losses, penalty, average, one training step."""

import copy
import functools
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from common import distributed
from common.graphs import Replayed
from part2.networks import Discriminator, Generator, measure_statistics

PRECISIONS = ("float32", "bf16")
PENALTY_INTERVAL = 8  # batches; its weight is then multiplied by this (Karras et al. 2020)


@dataclass(frozen=True)
class Recipe:
    """What may differ between two ways to train.

    optimizer       adam, or rmsprop (with the second of Adam's betas as its α)
    betas           of Adam: how slowly its averages of the gradient and of its square forget
    learning_rate   of the discriminator, at first
    generator_rate  the generator's learning rate as a multiple of the discriminator's
    halving         epochs after which the learning rate is half of what it was at first: lr / (1 + epoch / halving);
                    0: constant
    falls           whether both rates also fall to 0 in a straight line over all epochs. The number of epochs is then
                    part of the recipe, so a run cannot be given more of them later
    relativistic    real and generated images are judged in pairs
    penalty         γ, the weight of the gradient penalty; 0: none
    signs           how many of the numbers of z are signs (`Generator.draw`)
    average         how slowly the average of the generator's weights forgets, at most; 0: no average, sample from the
                    last weights
    width           how many times as wide the hidden layers of both networks are
    epsilon         what BatchNorm adds to the variance
    """

    optimizer: str = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    learning_rate: float = 2e-4
    generator_rate: float = 1.0
    halving: float = 0.0
    falls: bool = False
    relativistic: bool = False
    penalty: float = 0.0
    signs: int = 0
    average: float = 0.0
    width: int = 1
    epsilon: float = 1e-5

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        on_cuda = next(network.parameters()).is_cuda  # there a step is recorded (common/graphs.py)
        settings = {"lr": self.learning_rate, "capturable": on_cuda}
        if self.optimizer == "rmsprop":
            return torch.optim.RMSprop(network.parameters(), alpha=self.betas[1], **settings)
        return torch.optim.Adam(network.parameters(), betas=self.betas, fused=True, **settings)

    def rate(self, epoch: float, n_epochs: int) -> float:
        """The learning rate after so many of `n_epochs` epochs, whole or not, as a part of the first one."""
        halved = 1 / (1 + epoch / self.halving) if self.halving else 1.0
        return halved * (1 - epoch / n_epochs) if self.falls else halved


REFERENCE = Recipe()
IMPROVED = Recipe(betas=(0.0, 0.99), learning_rate=5e-4, halving=20, penalty=0.3, average=0.9999)
CRISP = replace(IMPROVED, generator_rate=2.0, halving=0, falls=True, signs=20)  # fewer digits smudged, less varied

RECIPES = {
    "reference": REFERENCE,
    "improved": IMPROVED,
    "crisp": CRISP,
    # what the reference suspected: the optimiser, no schedule, networks too small
    "reference_rmsprop": replace(REFERENCE, optimizer="rmsprop"),
    "reference_schedule": replace(REFERENCE, halving=20),
    "reference_wide": replace(REFERENCE, width=2),
    # the settings of a widely used script (PyTorch-GAN, gan.py)
    "reference_popular": replace(REFERENCE, betas=(0.5, 0.999), epsilon=0.8),
    # the improved recipe without one of its parts
    "improved_betas": replace(IMPROVED, betas=REFERENCE.betas),
    "improved_learning_rate": replace(IMPROVED, learning_rate=REFERENCE.learning_rate),
    "improved_no_penalty": replace(IMPROVED, penalty=0.0),
    "improved_no_average": replace(IMPROVED, average=0.0),
    "improved_no_schedule": replace(IMPROVED, halving=0.0),
    # and with one more
    "improved_paired": replace(IMPROVED, relativistic=True),
}


def generator_loss(fake_logits: torch.Tensor, real_logits: torch.Tensor | None = None) -> torch.Tensor:
    """−E[log D(G(z))]: the non-saturating form, fakes labelled real (Goodfellow et al. 2014).

    With D = σ(logit), −log D = softplus(−logit), which is binary cross entropy against 1. Given `real_logits`, the
    relativistic form: −E[log σ(D(G(z)) − D(x))], where D stands for the logit (Jolicoeur-Martineau 2019).
    """
    return F.softplus(-fake_logits if real_logits is None else real_logits - fake_logits).mean()


def discriminator_loss(
    real_logits: torch.Tensor, fake_logits: torch.Tensor, relativistic: bool = False
) -> torch.Tensor:
    """−E[log D(x)] − E[log(1 − D(G(z)))]: binary cross entropy, the sum of its real and its fake part.

    Relativistic: −E[log σ(D(x) − D(G(z)))], where D stands for the logit: of a pair, which one is real?
    """
    if relativistic:
        return F.softplus(fake_logits - real_logits).mean()
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def gradient_penalty(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """E|∂logit/∂image|² over images (n, 1, 28, 28) and their logits (n,).

    Over as many real images as generated ones, γ times this is γ/2 (R_1 + R_2): the penalties on either (Mescheder et
    al. 2018; Huang et al. 2024). It keeps D from growing steep around data that it can tell apart already.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum() / len(images)


@torch.no_grad()
def update_average(average: Generator, generator: Generator, decay: float, batch: int) -> None:
    """average ← d · average + (1 − d) · generator, for all weights (Yazıcı et al. 2018).

    d = min(decay, batch / (batch + 10)): a young average must not remember the initial weights; it reaches back over
    about a tenth of the batches so far. BatchNorm's running averages are no weights: `measure_statistics` finds them.
    """
    weight = 1 - min(decay, batch / (batch + 10))
    for kept, value in zip(average.parameters(), generator.parameters(), strict=True):
        kept.lerp_(value, weight)


class Game:
    """Generator against discriminator: both networks, their optimisers, and the average of the generator's weights.

    `average` is None where the recipe keeps none.
    """

    def __init__(self, generator: Generator, discriminator: Discriminator, recipe: Recipe):
        self.generator, self.discriminator, self.recipe = generator, discriminator, recipe
        self.generator_optimizer = recipe.make_optimizer(generator)
        self.discriminator_optimizer = recipe.make_optimizer(discriminator)
        self.set_learning_rate(recipe.learning_rate)
        self.average = copy.deepcopy(generator) if recipe.average else None
        update = functools.partial(update_both, self)
        self.update = Replayed(update, self.generator_optimizer, self.discriminator_optimizer)

    def learners(self) -> dict:
        """All that a checkpoint must hold, by name."""
        return {name: learner for name, learner in vars(self).items() if hasattr(learner, "state_dict")}

    def set_learning_rate(self, learning_rate: float) -> None:
        """The discriminator's; the generator's is the recipe's multiple of it."""
        self.generator_optimizer.param_groups[0]["lr"] = self.recipe.generator_rate * learning_rate
        self.discriminator_optimizer.param_groups[0]["lr"] = learning_rate

    def sampler(self) -> Generator:
        """What `load_generator` would return if training ended here, to sample from; training is untouched."""
        return measure_statistics(copy.deepcopy(self.average)) if self.average else copy.deepcopy(self.generator).eval()


def train_step(
    game: Game, real: torch.Tensor, z: torch.Tensor, batch: int, autocast: torch.autocast
) -> tuple[torch.Tensor, ...]:
    """Train both networks on a batch of real images (n, 1, 28, 28) and as much noise z (n, latent_dim), once each.

    `batch` counts from 0. Returns the generator's loss, the discriminator's, and the discriminator's accuracy on real
    and on generated images. (On CUDA the next call overwrites them; `autocast` should be the same object each time.)
    """
    penalised = game.recipe.penalty > 0 and batch % PENALTY_INTERVAL == 0
    measures = game.update(real, z, penalised=penalised, autocast=autocast)  # update_both; on CUDA replayed
    if game.average:
        update_average(game.average, game.generator, game.recipe.average, batch + 1)
    return measures


def update_both(
    game: Game, real: torch.Tensor, z: torch.Tensor, penalised: bool, autocast: torch.autocast
) -> tuple[torch.Tensor, ...]:
    """One step of each optimiser, the generator's first. (The average's weight changes with each batch, so that is not
    replayed.)"""
    generator, discriminator, recipe = game.generator, game.discriminator, game.recipe

    # Generator: make the discriminator call its images real. The discriminator's weights need no gradient here.
    discriminator.requires_grad_(False)
    with autocast:
        fake = generator(z).float()
        opponents = discriminator(real).float() if recipe.relativistic else None
        g_loss = generator_loss(discriminator(fake).float(), opponents)
    discriminator.requires_grad_(True)
    game.generator_optimizer.zero_grad()
    g_loss.backward()
    distributed.mean_gradients(generator)
    game.generator_optimizer.step()

    # Discriminator: tell real images from the same fakes, detached. One pass over both.
    images = torch.cat([real, fake.detach()])
    with autocast:
        logits = discriminator(images.requires_grad_(penalised)).float()
        penalty = gradient_penalty(logits, images) if penalised else 0.0
    real_logits, fake_logits = logits.chunk(2)
    d_loss = discriminator_loss(real_logits, fake_logits, recipe.relativistic)
    game.discriminator_optimizer.zero_grad()
    (d_loss + PENALTY_INTERVAL * recipe.penalty * penalty).backward()
    distributed.mean_gradients(discriminator)
    game.discriminator_optimizer.step()

    border = logits.mean() if recipe.relativistic else 0.0  # of paired logits only differences mean something
    on_real, on_fake = (real_logits > border).float().mean(), (fake_logits < border).float().mean()
    return g_loss, d_loss, on_real, on_fake
