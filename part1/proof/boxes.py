"""Boxes of an LSTM's states: what one step makes of an interval for each unit of h and c, with float32's rounding.

    W_·h h + W_·x x + b  ∈  W_·h m + W_·x x + b ± |W_·h| r       m, r: middle and half the width of the box of h
    σ, tanh              the ends of an interval go to its ends, as both functions rise
    c(t) = g(t) ⊙ i(t) + c(t−1) ⊙ f(t),  h(t) = tanh(c(t)) ⊙ o(t)     each product is extreme where its factors are

*Rounding.* In float32 an operation errs by at most u = 2⁻²⁴ of its result, and a sum of n products, in any order, by
n u / (1 − n u) of Σ |product| (Higham 2002, section 3.1). σ and tanh are taken to err by at most 8 u. Each interval is
widened by that, with U = 2 u in place of u; the second u covers the float64 in which the boxes are computed. A test
holds float32 runs of both forms of the LSTM and of nn.LSTM to it. bfloat16 and TF32 are not covered.

Source: interval bounds of a network, Gowal et al. 2018 (arXiv 1810.12715).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

U = 2.0**-23

Interval = tuple[Tensor, Tensor]  # lower and upper bounds, each (n, hidden)


class Box(NamedTuple):
    """Intervals of h and c. An empty box has its lower bounds at ∞."""

    h: Interval
    c: Interval

    def rows(self, index: Tensor) -> "Box":
        return Box(*((low[index], high[index]) for low, high in self))


def times(a: Interval, p: Interval) -> Interval:
    """Bounds of a · p where p is not negative."""
    return a[0] * torch.where(a[0] > 0, p[0], p[1]), a[1] * torch.where(a[1] > 0, p[1], p[0])


def wider(a: Interval, by: Tensor | float) -> Interval:
    return a[0] - by, a[1] + by


def linear(h: Interval, weight: Tensor, bias: Tensor, size: Tensor, u: float) -> Interval:
    """Bounds of W h + b, where b is itself a sum of at most 14 terms, and `size` the sum of their sizes."""
    middle, radius = (h[0] + h[1]) / 2, (h[1] - h[0]) / 2
    radius = F.linear(radius, weight.abs())
    if u:
        radius = radius + (weight.shape[1] + 16) * u * (F.linear(middle.abs(), weight.abs()) + radius + size)
    return wider((F.linear(middle, weight) + bias,) * 2, radius)


def arguments(h: Interval, x: Tensor, size: Tensor, weight_hh: Tensor, u: float = U) -> tuple[Interval, ...]:
    """Bounds of the arguments of i, f, g, o, from those of h(t−1) and from x = W_·x x(t) + b (n, 4·hidden).

    `size` is |W_·x| |x(t)| + |b|, which the rounding of x depends on. With u = 0, rounding is left out."""
    return tuple(zip(*(a.chunk(4, dim=-1) for a in linear(h, weight_hh, x, size, u)), strict=True))


def gate_bounds(a_i: Interval, a_f: Interval, a_g: Interval, a_o: Interval, u: float = U) -> tuple[Interval, ...]:
    """Bounds of i, f, g, o."""
    i, f, o = (((low.sigmoid() - 8 * u).clamp(min=0), high.sigmoid() + 8 * u) for low, high in (a_i, a_f, a_o))
    return i, f, wider((a_g[0].tanh(), a_g[1].tanh()), 8 * u), o


def memory_bounds(i: Interval, f: Interval, g: Interval, o: Interval, c: Interval, u: float = U) -> Box:
    """Bounds of h(t) and c(t) from those of the gates and of c(t−1)."""
    new, kept = times(g, i), times(c, f)
    low, high = new[0] + kept[0], new[1] + kept[1]
    if u:
        low = low - 3 * u * (new[0].abs() + kept[0].abs())
        high = high + 3 * u * (new[1].abs() + kept[1].abs())
    return Box(wider(times(wider((low.tanh(), high.tanh()), 8 * u), o), u), (low, high))


def step(box: Box, x: Tensor, size: Tensor, weight_hh: Tensor, u: float = U) -> Box:
    """The box after one step of the LSTM."""
    return memory_bounds(*gate_bounds(*arguments(box.h, x, size, weight_hh, u), u), box.c, u)


def is_met(box: Box) -> Tensor:
    """Which rows are not empty, (n,)."""
    return (box.h[0] != torch.inf).any(1)


def hull(box: Box, key: Tensor, n: int) -> Box:
    """For each of n keys the smallest box around the rows with this key; an empty box where there are none."""
    index = key.unsqueeze(1).expand(-1, box.h[0].shape[1])

    def around(interval: Interval) -> Interval:
        empty = interval[0].new_full((n, index.shape[1]), torch.inf)
        return empty.scatter_reduce(0, index, interval[0], "amin"), (-empty).scatter_reduce(
            0, index, interval[1], "amax"
        )

    return Box(around(box.h), around(box.c))


def margins(h: Interval, answers: Tensor, fc: nn.Linear, u: float = U) -> Tensor:
    """The least logit(answer) − logit(other) over each box of h: (n, classes), ∞ at the answer."""
    weight, bias = fc.weight[answers].unsqueeze(1) - fc.weight, fc.bias[answers].unsqueeze(1) - fc.bias
    middle, radius = ((h[1] + h[0]) / 2).unsqueeze(1), ((h[1] - h[0]) / 2).unsqueeze(1)
    error = 2 * (weight.shape[2] + 2) * u * (fc.weight.abs().sum(1).max() + fc.bias.abs().max())  # |h| ≤ 1
    least = (weight * middle - weight.abs() * radius).sum(2) + bias - error
    return least.scatter(1, answers.unsqueeze(1), torch.inf)
