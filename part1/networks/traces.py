"""What an LSTM does step by step: its gates and memory, and which of its units carry the first digit."""

import copy

from part1.lstm import LSTM, gates, remember
from part1.palindromes import NUM_CLASSES

import torch
import torch.nn.functional as F
from torch import nn


@torch.no_grad()
def trace(network: LSTM, x: torch.Tensor, steps: list[int] | None = None) -> dict[str, torch.Tensor]:
    """x (n, T, input_dim) → i, f, o, c, h, each (steps, n, hidden), by name; at steps 1 … T, or only at `steps`."""
    h = c = network.bias.new_zeros(len(x), network.hidden_dim)
    weights = network.weight_ih, network.weight_hh, network.bias
    kept = {name: [] for name in "ifoch"}
    wanted = set(steps or range(1, x.shape[1] + 1))
    for t, x_t in enumerate(x.to(h.dtype).unbind(1), start=1):
        i, f, g, o = gates(x_t, h, *weights)
        h, c = remember(i, f, g, o, c)
        if t in wanted:
            for name, value in zip("ifoch", (i, f, o, c, h), strict=True):
                kept[name].append(value)
    return {name: torch.stack(values).cpu() for name, values in kept.items()}


def sensitivity(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """|∂ logit / ∂ x(t)| for t = 1 … T, (T,): how much the answer to x (1, T, input_dim) depends on each step.

    The logit is that of the network's answer after T digits. If x(t) has several numbers, this is the Euclidean norm of
    their derivatives. It works for every kind of network, and in float64, because over a long sequence the derivative
    may fall by many powers of ten.
    """
    network = copy.deepcopy(network).double()
    x = x.double().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x).max(), x)
    return gradient[0].norm(dim=1).cpu()


def explained(c: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """R² of each unit, (hidden,): how much of the variance of its c (n, hidden) the first digit (n,) explains."""
    membership = F.one_hot(first, NUM_CLASSES).to(c.dtype)
    counts = membership.sum(0).clamp(min=1).unsqueeze(1)
    means = (membership.T @ c) / counts
    return (means[first] - c.mean(0)).square().mean(0) / c.var(0, correction=0).clamp(min=1e-12)
