"""A term of the loss that makes boxes stay small: for tasks whose states are left again, as a running sum's.

The boxes R(q, x) of certificate.py go along with training, two steps a batch. The loss is what their margins lack to
WANTED. After AT_MOST steps, or if a margin is lost, they start anew from h(0) = c(0) = 0. At each step their radii are
multiplied by κ, which starts at 0 (so the boxes are points), rises while all margins are above 1, and falls if not, up
to MOST. So at the end boxes are followed that grow by a fifth at each step, and the real ones close.
"""

from part1.lstm import LSTM
from part1.proof.boxes import Box, Interval, hull, is_met
from part1.proof.certificate import Reach
from part1.tasks.task import Automaton

import torch
from torch import Tensor

STEPS = 2  # a batch
UNITE = 8  # steps after which a box holds its image and itself, as in the certificate
AT_MOST = 14
MOST = 1.2
WANTED = 2.0  # margin


class Following:
    """The boxes that go along with training, and κ; a learner of `Training`."""

    def __init__(self, network: LSTM, x: Tensor, task: Automaton):
        self.network, self.x, self.task = network, x, task
        self.kappa, self.age, self.box = 0.0, 0, None

    def boxes_lack(self) -> Tensor:
        """Follow the boxes for two steps; what their margins lack."""
        reach = Reach(self.network, self.x, self.task, u=0)
        box, found = self.box, []
        for _ in range(STEPS):
            new = reach.start() if box is None else reach.after(scaled(box, self.kappa))
            box = new if self.age < UNITE else Box(*map(united, box, new))
            self.age += 1
            found.append(reach.margins(box)[1].flatten())
        found = torch.cat(found)
        least = found.min().item() if len(found) else WANTED
        is_kept = least > 0 and self.age < AT_MOST
        self.box = Box(*((low.detach(), high.detach()) for low, high in box)) if is_kept else None
        self.age *= is_kept
        self.kappa = min(MOST, self.kappa + 0.003) if least > WANTED / 2 else max(0.0, self.kappa - 0.001)
        return torch.relu(WANTED - found).sum() / max(1, found.isfinite().sum())

    def state_dict(self) -> dict:
        if self.box is None:
            return {"kappa": self.kappa, "age": self.age}
        rows, bounds = is_met(self.box).nonzero()[:, 0], [bound for interval in self.box for bound in interval]
        return {"kappa": self.kappa, "age": self.age, "rows": rows, "bounds": [bound[rows] for bound in bounds]}

    def load_state_dict(self, state: dict) -> None:
        self.kappa, self.age, self.box = state["kappa"], state["age"], None
        if "rows" in state:
            low_h, high_h, low_c, high_c = (bound.to(self.x) for bound in state["bounds"])
            rows = state["rows"].to(self.x.device)
            self.box = hull(Box((low_h, high_h), (low_c, high_c)), rows, self.task.next.numel())


def scaled(box: Box, kappa: float) -> Box:
    """The same middles, and `kappa` times the radii; empty boxes as they are."""
    empty = ~is_met(box).unsqueeze(1)

    def around(interval: Interval) -> Interval:
        middle, radius = (interval[0] + interval[1]) / 2, kappa * (interval[1] - interval[0]) / 2
        return torch.where(empty, interval[0], middle - radius), torch.where(empty, interval[1], middle + radius)

    return Box(*map(around, box))


def united(a: Interval, b: Interval) -> Interval:
    """The smallest interval around both."""
    return torch.minimum(a[0], b[0]), torch.maximum(a[1], b[1])
