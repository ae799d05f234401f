"""The other side of a proof: a search for a sequence after which the network answers wrongly."""

from typing import NamedTuple

from part1.lstm import LSTM, gates, remember
from part1.tasks.task import Automaton

import torch
from torch import Tensor


class Attack(NamedTuple):
    """The smallest logit(answer) − logit(other) that was found, the sequence, what should be answered and what was."""

    margin: float
    sequence: list[int]
    answer: int
    said: int


@torch.no_grad()
def attack(network: LSTM, x: Tensor, task: Automaton, steps: int, n: int, generator: torch.Generator) -> Attack:
    """n sequences grow symbol by symbol: one half at random, the other greedily by the symbol that leaves the least
    margin of all that may come. `x` (symbols, input_dim) are the encoded symbols."""
    n_symbols, device = len(x), x.device
    weights = network.weight_ih, network.weight_hh, network.bias
    next_state, answers = task.next.to(device), task.answers.to(device)
    q = torch.zeros(n, dtype=torch.long, device=device)
    h = c = x.new_zeros(n, network.hidden_dim)
    chosen, worst = [], Attack(torch.inf, [], -1, -1)
    every = torch.arange(n_symbols, device=device).repeat(n)
    for _ in range(steps):
        new_h, new_c = remember(
            *gates(x[every], h.repeat_interleave(n_symbols, 0), *weights), c.repeat_interleave(n_symbols, 0)
        )
        states = next_state[q].flatten()
        logits, answer = network.fc(new_h), answers[states]
        right = logits.gather(1, answer.clamp(min=0).unsqueeze(1))
        others = logits.scatter(1, answer.clamp(min=0).unsqueeze(1), -torch.inf)
        margin = torch.where((states >= 0) & (answer >= 0), (right - others.amax(1, keepdim=True))[:, 0], torch.inf)
        can = (
            torch.where(states >= 0, torch.rand(len(states), generator=generator).to(device), -1.0)
            .view(n, -1)
            .argmax(1)
        )
        greedy = torch.where(states >= 0, margin, torch.inf).view(n, -1).argmin(1)
        symbol = torch.where(
            (torch.arange(n, device=device) % 2 == 0) & margin.view(n, -1).isfinite().any(1), greedy, can
        )
        row = torch.arange(n, device=device) * n_symbols + symbol
        h, c, q = new_h[row], new_c[row], states[row]
        chosen.append(symbol)
        k = margin.argmin()
        if margin[k] < worst.margin:
            prefix = [step[k // n_symbols].item() for step in chosen[:-1]] + [(k % n_symbols).item()]
            worst = Attack(margin[k].item(), prefix, answer[k].item(), others[k].argmax().item())
    return worst
