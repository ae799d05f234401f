"""Times taken in turns, so that what else the machine does strikes all alike."""

import time
from collections.abc import Callable

import torch


def take_turns(
    steps: dict[str, Callable[[], None]], rounds: int, seconds: float, device: torch.device
) -> dict[str, list[float]]:
    """Seconds a step, for each name a figure a round. A turn lasts about `seconds`."""
    wait = (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else lambda: None
    times = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            wait()
            n = max(1, round(seconds / (time.perf_counter() - started)))
            started = time.perf_counter()
            for _ in range(n):
                step()
            wait()
            times[name].append((time.perf_counter() - started) / n)
    return times
