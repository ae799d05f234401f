"""Recipes: ways to train the same generator and discriminator."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from part2.gan import discriminator_loss, generator_loss

import torch
import torch.nn.functional as F
from torch import nn

PRECISIONS = ("float32", "bf16")


class Loss(NamedTuple):
    """A loss of the game, made of the logits (n,) of real and of generated images.

    If it is `paired`, it compares each generated image with a real one, so that only differences mean something.
    """

    generator: Callable[..., torch.Tensor]  # generated → loss; if paired: (generated, real) →
    discriminator: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (real, generated) → loss
    paired: bool = False


def relativistic(these: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """−E[log σ(D(these) − D(others))], where D stands for the logit: of a pair, are these the real ones?
    (Jolicoeur-Martineau 2019)"""
    return F.softplus(others - these).mean()


LOSSES = {
    "non_saturating": Loss(generator_loss, discriminator_loss),
    "relativistic": Loss(relativistic, relativistic, paired=True),
}


@dataclass(frozen=True)
class Recipe:
    """What may differ between two ways to train."""

    optimizer: str = "adam"  # adam, or rmsprop (with the second of Adam's betas as its α)
    betas: tuple[float, float] = (0.9, 0.999)  # of Adam: how slowly its averages of the gradient and its square forget
    learning_rate: float = 2e-4  # of the discriminator, at first
    generator_rate: float = 1.0  # the generator's learning rate as a multiple of the discriminator's
    # Epochs after which the learning rate is half of what it was at first: lr / (1 + epoch / halving). 0: constant.
    halving: float = 0.0
    # Whether both rates also fall to 0 in a straight line over all epochs. Then a run cannot be given more of them.
    linear_decay: bool = False
    loss: str = "non_saturating"  # a name in LOSSES
    penalty: float = 0.0  # γ, the weight of the gradient penalty; 0: none
    signs: int = 0  # how many of the numbers of z are signs (`Generator.draw`)
    labels: bool = False  # whether both networks are told each image's label
    # How slowly the average of the generator's weights forgets, at most. 0: no average, sample from the last weights.
    average: float = 0.0
    width: int = 1  # how many times as wide the hidden layers of both networks are
    epsilon: float = 1e-5  # what BatchNorm adds to the variance

    @property
    def losses(self) -> Loss:
        return LOSSES[self.loss]

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        on_cuda = next(network.parameters()).is_cuda  # there a step is recorded (graphs.py)
        settings = {"lr": self.learning_rate, "capturable": on_cuda}
        if self.optimizer == "rmsprop":
            return torch.optim.RMSprop(network.parameters(), alpha=self.betas[1], **settings)
        return torch.optim.Adam(network.parameters(), betas=self.betas, fused=True, **settings)

    def rate(self, epoch: float, n_epochs: int) -> float:
        """The learning rate after so many of `n_epochs` epochs, whole or not, as a part of the first one."""
        halved = 1 / (1 + epoch / self.halving) if self.halving else 1.0
        return halved * (1 - epoch / n_epochs) if self.linear_decay else halved


REFERENCE = Recipe()
IMPROVED = Recipe(betas=(0.0, 0.99), learning_rate=5e-4, halving=20, penalty=0.3, average=0.9999)
CRISP = replace(IMPROVED, generator_rate=2.0, halving=0, linear_decay=True, signs=20)  # clearer, less varied

RECIPES = {
    "reference": REFERENCE,
    "improved": IMPROVED,
    "crisp": CRISP,
    "conditional": replace(IMPROVED, labels=True),  # draws the digit that is asked for
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
    "improved_paired": replace(IMPROVED, loss="relativistic"),
}
