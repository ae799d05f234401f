"""A term of the loss that makes a memory provable: closed sets of states, one for each state to be remembered.

Let s be the signs that c takes while the network remembers (a digit, say), and

    S = { s ⊙ c ≥ M,  h ∈ B }        B: all that tanh(c) ⊙ o can then be, by the interval arithmetic of boxes.py

S is closed under a symbol if each unit is pushed to its side by at least what it forgets:

    slack = min (s ⊙ g) ⊙ min i − (1 − min f) · M ≥ 0        over S

Where f is almost 1 and i almost 0, the slack hardly changes with their arguments. So the loss has it in logarithms,
with SPARE to spare: log min i + log min (s ⊙ g) ≥ log ((1 − min f) · M + SPARE). It also asks that g has the sign s,
that the sets are read rightly, and that the network's own c is in its set SETTLED steps after the state was entered.
"""

from typing import NamedTuple

from part1.lstm import LSTM
from part1.proof.boxes import Box, arguments, gate_bounds, hull, margins, memory_bounds
from part1.tasks.task import Automaton

import torch
import torch.nn.functional as F
from torch import Tensor

M = 2.0  # |c| in a set, at least
SPARE = 0.05
SETTLED = 3
NO_BOUND = 1e30  # of |c|: finite, so that gradients are
ROUNDS = 4  # in which B is computed from all of [0, 1]


class Slack(NamedTuple):
    """How closed the sets are, for each move that keeps a state and each unit, (m, hidden), and how well read."""

    slack: Tensor
    in_logarithms: Tensor
    direction: Tensor  # the least argument of g, times s
    margins: Tensor  # of logits, (states with an answer, classes)


def kept(task: Automaton) -> tuple[Tensor, Tensor, Tensor]:
    """The states to be remembered, (k,), and their moves: the state's row among them, the symbol, each (m,)."""
    states = task.is_kept.nonzero()[:, 0]
    return states, *(task.next[states] >= 0).nonzero().T


def slack(network: LSTM, x: Tensor, task: Automaton, signs: Tensor) -> Slack:
    """`x` (symbols, input_dim) are the encoded symbols, `signs` (k, hidden) those of the states to be remembered."""
    states, here, symbol = kept(task)
    is_up, x = signs > 0, F.linear(x, network.weight_ih, network.bias)[symbol]
    zero, one = torch.zeros_like(signs), torch.ones_like(signs)
    h = torch.where(is_up, zero, -one), torch.where(is_up, one, zero)
    c = torch.where(is_up, M * one, -NO_BOUND), torch.where(is_up, NO_BOUND, -M * one)
    for _ in range(ROUNDS + 1):
        box = Box(h, c)
        a = arguments(box.rows(here).h, x, x, network.weight_hh, u=0)
        image = memory_bounds(*gate_bounds(*a, u=0), box.rows(here).c, u=0)
        h = hull(image, here, len(signs)).h
    direction = torch.where(is_up[here], a[2][0], -a[2][1])
    slack = torch.where(is_up[here], image.c[0], -image.c[1]) - M
    push = F.logsigmoid(a[0][0]) + direction.clamp(min=0.1).tanh().log()
    lost = ((-a[1][0]).sigmoid() * M + SPARE).log()
    answered = task.answers[states] >= 0
    margin = margins(box.rows(answered).h, task.answers[states[answered]], network.fc, u=0)
    return Slack(slack, push - lost, direction, margin)


def signs_of(c: Tensor, states: Tensor, task: Automaton) -> Tensor:
    """The signs of the mean c (n, time, hidden) in each state to be remembered, where `states` (n, time) is that state
    for the SETTLED'th time in a row or more: (k, hidden)."""
    rows, _, _ = kept(task)
    means = [c[:, SETTLED:][(states[:, SETTLED:] == q) & (states[:, :-SETTLED] == q)].mean(0) for q in rows]
    return torch.where(torch.stack(means) > 0, 1.0, -1.0)


def closed_sets_lack(
    network: LSTM, x: Tensor, task: Automaton, signs: Tensor, c: Tensor, states: Tensor
) -> tuple[Tensor, Tensor]:
    """What is added to the loss, and the least slack; c (n, time, hidden) and `states` (n, time) are a batch's."""
    sets = slack(network, x, task, signs)
    rows, _, _ = kept(task)
    is_row = states.unsqueeze(2) == rows
    is_settled = (states[:, SETTLED:] == states[:, :-SETTLED]) & is_row.any(2)[:, SETTLED:]
    s = signs[is_row.int().argmax(2)]
    outside = (torch.relu(M + 0.3 - s * c)[:, SETTLED:] * is_settled.unsqueeze(2)).mean()
    term = 3 * torch.relu(-sets.in_logarithms).mean() + 6 * torch.relu(0.3 - sets.direction).mean()
    return term + 2 * torch.relu(1 - sets.margins).mean() + 5 * outside, sets.slack.min()
