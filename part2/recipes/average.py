"""The average of a generator's weights over training, which draws better images than the last ones."""

from common import seeds

import torch
from torch import nn
from torch.optim.swa_utils import update_bn


@torch.no_grad()
def update_average(average: nn.Module, generator: nn.Module, decay: float, batch: int) -> None:
    """average ← d · average + (1 − d) · generator, for all weights (Yazıcı et al. 2018).

    d = min(decay, batch / (batch + 10)): a young average must not remember the initial weights; it reaches back over
    about a tenth of the batches so far. BatchNorm's running averages are no weights: `measure_statistics` finds them.
    """
    weight = 1 - min(decay, batch / (batch + 10))
    for kept, value in zip(average.parameters(), generator.parameters(), strict=True):
        kept.lerp_(value, weight)


def measure_statistics(generator):
    """Set BatchNorm's means and variances to those over 10,000 z (always the same); returns the generator in eval mode.

    An average of weights needs this: the statistics from training belong to other weights.
    """
    device = next(generator.parameters()).device
    z = generator.draw(10_000, seeds.generator(0, "statistics")).to(device)
    update_bn(z.split(1000), generator)
    return generator.eval()
