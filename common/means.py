"""Means of a run's numbers, between two rows of its metrics."""

import torch

from common import distributed
from common.cli import UserError


class RunningMeans:
    """The means of a few numbers over all batches, in all processes, since they were last taken.

    RunningMeans("loss", "accuracy", device=device) names them. A batch counts by its `weight`.
    """

    def __init__(self, *names: str, device: torch.device):
        self.names = names
        self.sums, self.weight = torch.zeros(len(names), device=device), 0

    def add(self, *numbers: torch.Tensor, weight: int = 1) -> dict[str, float]:
        """Add a batch's numbers and return them, each its mean over the processes; UserError if one is not finite."""
        means = distributed.mean(torch.stack([number.detach() for number in numbers]))
        values = dict(zip(self.names, means.tolist(), strict=True))
        for name, value in values.items():
            if not abs(value) < float("inf"):
                raise UserError(
                    f"{name} is {value}: training cannot go on; the last good checkpoint is kept; "
                    "a smaller --learning_rate may help",
                    status=1,
                )
        self.sums += means * weight
        self.weight += weight
        return values

    def take(self) -> dict[str, float]:
        """The mean of each number; from here on they are counted anew."""
        means = (self.sums / self.weight).tolist()
        self.sums.zero_()
        self.weight = 0
        return dict(zip(self.names, means, strict=True))

    def state_dict(self) -> dict:
        return {"sums": self.sums, "weight": self.weight}

    def load_state_dict(self, state: dict) -> None:
        self.sums.copy_(state["sums"])
        self.weight = state["weight"]
