"""The means of a run's numbers over the batches between two rows of its metrics."""

import torch

from common import distributed
from common.cli import UserError


class RunningMeans:
    """The means of a few numbers over all batches and all processes since the last call of `take`.

    RunningMeans("loss", "accuracy", device=device) names the numbers. Each batch counts with its `weight`.

    After a batch nothing waits for the device. If a number is not finite, its sum is not finite either; this is found
    when the means are taken or saved with a checkpoint, and is a UserError then.
    """

    def __init__(self, *names: str, device: torch.device):
        self.names = names
        self.sums, self.weight = torch.zeros(len(names), device=device), 0

    def add(self, *numbers: torch.Tensor, weight: int = 1) -> torch.Tensor:
        """Add a batch's numbers. Returns their means over the processes, as one tensor on the device."""
        means = distributed.mean(torch.stack([number.detach() for number in numbers]))
        self.sums += means * weight
        self.weight += weight
        return means

    def take(self) -> dict[str, float]:
        """Return the mean of each number, and start again from zero."""
        means = self._means()
        self.sums.zero_()
        self.weight = 0
        return means

    def _means(self) -> dict[str, float]:
        means = dict(zip(self.names, (self.sums / max(self.weight, 1)).tolist(), strict=True))
        for name, value in means.items():
            if not abs(value) < float("inf"):
                raise UserError(
                    f"{name} is {value}: training cannot go on; the last good checkpoint is kept; "
                    "a smaller --learning_rate may help",
                    status=1,
                )
        return means

    def state_dict(self) -> dict:
        self._means()
        return {"sums": self.sums, "weight": self.weight}

    def load_state_dict(self, state: dict) -> None:
        self.sums.copy_(state["sums"])
        self.weight = state["weight"]
