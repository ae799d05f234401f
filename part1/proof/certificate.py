"""A proof that an LSTM answers rightly after every sequence, of every length.

A task is an automaton (part1/tasks/task.py): symbol x leads from state q to δ(q, x), and each state has an answer. A
*box* is an interval for each unit of h and c. R(q, x) is a box that holds (h, c) after every sequence which leads to
state q and ends in the symbol x. Boxes go from step to step by interval arithmetic (boxes.py).

1. *Entry.* R₁(δ(0, x), x) is one step from h(0) = c(0) = 0. Rₜ₊₁(q′, y) is the smallest box around the images under
   y of all Rₜ(q, x) with δ(q, y) = q′. So R₁ … R_FOLLOW hold the states after every sequence of up to FOLLOW symbols.
2. *Invariance.* B = R_FOLLOW. While the image of B is not within B, B is widened by it; a bound of c that passes ±FAR
   is given up (±∞). If this ends, the image of B is within B. So, by induction, B holds the states after all longer
   sequences.
3. *Readout.* In each of these boxes, the logit of the right answer exceeds every other one. The smallest difference is
   the proof's *margin*.

If all three hold, every answer is right, for ever. If not, nothing is proved: a box holds more than the states in it,
so a network may be right and yet have no proof. That recurrent networks can hold a memory for ever, and that it takes
closed sets of states: Casey 1996, Omlin & Giles 1996.

The proof holds for float32 on any processor, with the rounding that boxes.py states. It says nothing of other weights
or of inputs that are not the task's symbols.

Source: fixed points by widening, Cousot & Cousot 1977.
"""

import copy
from typing import NamedTuple

from part1.lstm import LSTM
from part1.proof.boxes import Box, Interval, U, hull, is_met, margins, step
from part1.tasks.task import Automaton

import torch
import torch.nn.functional as F
from torch import Tensor

FOLLOW = 12  # steps before the boxes are widened
ROUNDS = 2_000  # of widening, at most
FAR = 8.0  # tanh(8) differs from 1 by 2e-7; where a state is left again, 20: there a unit must be able to come back
WIDER = 1e-4  # a bound is pushed this much further than needed, so that widening comes to an end


class Certificate(NamedTuple):
    """What came of an attempt to prove a network. `why_not` is empty if it is proved."""

    why_not: str
    margin: float  # the smallest difference of logits that was met
    rounds: int  # of widening
    boxes: Box  # B, a row for each pair of a state and a symbol

    @property
    def proved(self) -> bool:
        return not self.why_not

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        right = (
            f"right after every sequence, of every length (margin {self.margin:.2f}, {self.rounds} rounds of widening)"
        )
        return f"not proved: {self.why_not}" if self.why_not else f"proved: the answer is {right}"


def widened(old: Interval, new: Interval, far: float = torch.inf) -> Interval:
    """`old`, pushed outwards where `new` is outside it."""
    low, high = (
        torch.where(new[0] < old[0], new[0] - WIDER, old[0]),
        torch.where(new[1] > old[1], new[1] + WIDER, old[1]),
    )
    return torch.where(low < -far, -torch.inf, low), torch.where(high > far, torch.inf, high)


def is_within(inner: Box, outer: Box) -> bool:
    return all(bool((a[0] >= b[0]).all() and (a[1] <= b[1]).all()) for a, b in zip(inner, outer, strict=True))


class Reach:
    """The boxes R(q, x) of a task, a row for each pair, and what one step makes of all of them."""

    def __init__(self, network: LSTM, x: Tensor, task: Automaton, u: float = U):
        self.network, self.task, self.u, n = network, task, u, task.next.shape[1]
        self.x = F.linear(x, network.weight_ih, network.bias)
        self.size = F.linear(x.abs(), network.weight_ih.abs(), network.bias.abs())
        rows, symbols = torch.arange(task.next.numel(), device=x.device), torch.arange(n, device=x.device)
        self.state, row, symbol = rows // n, rows.repeat_interleave(n), symbols.repeat(len(rows))
        possible = task.next[self.state[row], symbol] >= 0
        self.row, self.symbol = row[possible], symbol[possible]  # all moves
        self.there = task.next[self.state[self.row], self.symbol] * n + self.symbol

    def _after(self, box: Box, symbol: Tensor, there: Tensor) -> Box:
        image = step(box, self.x[symbol], self.size[symbol], self.network.weight_hh, self.u)
        return hull(image, there, len(self.state))

    def start(self) -> Box:
        """R₁."""
        symbol = (self.task.next[0] >= 0).nonzero()[:, 0]
        zero = (self.x.new_zeros(len(symbol), self.network.hidden_dim),) * 2
        return self._after(Box(zero, zero), symbol, self.task.next[0, symbol] * self.task.next.shape[1] + symbol)

    def after(self, box: Box) -> Box:
        moves = is_met(box)[self.row]
        return self._after(box.rows(self.row[moves]), self.symbol[moves], self.there[moves])

    def margins(self, box: Box) -> tuple[Tensor, Tensor]:
        """The rows that have an answer, (k,), and their margins, (k, classes)."""
        rows = (is_met(box) & (self.task.answers[self.state] >= 0)).nonzero()[:, 0]
        return rows, margins(box.rows(rows).h, self.task.answers[self.state[rows]], self.network.fc, self.u)


@torch.no_grad()
def certify(network: LSTM, x: Tensor, task: Automaton, rounds: int = ROUNDS) -> Certificate:
    """Try to prove that the network answers as the automaton does; `x` (symbols, input_dim) are its encoded symbols."""
    task = Automaton(*(part.cpu() for part in task))
    far = 20.0 if task.is_left else FAR
    reach = Reach(copy.deepcopy(network).cpu().double(), x.cpu().double(), task)
    box, least = reach.start(), torch.inf
    for t in range(1, FOLLOW + rounds):
        rows, lead = reach.margins(box)
        least = min(lead.min().item(), least) if len(rows) else least
        if not least > 0:  # or not a number
            k, other = divmod(lead.argmin().item(), lead.shape[1])
            state, last = divmod(rows[k].item(), task.next.shape[1])
            answer = task.answers[state].item()
            why = f"after {t} symbols, the last of them {last}, the boxes do not tell the answer {answer} from {other}"
            return Certificate(f"{why} (margin {least:.2f})", least, max(0, t - FOLLOW), box)
        new = reach.after(box)
        if t < FOLLOW:
            box = new
        elif is_within(new, box):
            return Certificate("", least, t - FOLLOW, box)
        else:
            box = Box(widened(box.h, new.h), widened(box.c, new.c, far))
    beyond = torch.stack([torch.relu(box.c[0] - new.c[0]), torch.relu(new.c[1] - box.c[1])]).nan_to_num(0).amax(0)
    row, unit = divmod(beyond.argmax().item(), beyond.shape[1])
    where = f"most of all c of unit {unit} where the answer is {task.answers[reach.state[row]]}"
    return Certificate(f"after {rounds} rounds of widening the boxes still grow, {where}", least, rounds, box)
