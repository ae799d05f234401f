"""Times taken in turns, so that what else the machine does strikes all alike."""

import time
from collections.abc import Callable

import torch


def turn(step: Callable[[], None], device: torch.device) -> Callable[[float], float]:
    """A turn of a contestant: given about how many seconds it may last, it tells how many a step takes."""
    wait = (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else lambda: None

    def timed(seconds: float) -> float:
        started = time.perf_counter()
        step()
        wait()
        n = max(1, round(seconds / (time.perf_counter() - started)))
        started = time.perf_counter()
        for _ in range(n):
            step()
        wait()
        return (time.perf_counter() - started) / n

    return timed


def take_turns(turns: dict[str, Callable[[float], float]], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Seconds a step, for each name a figure a round. A turn lasts about `seconds`."""
    times = {name: [] for name in turns}
    for _ in range(rounds):
        for name, timed in turns.items():
            times[name].append(timed(seconds))
    return times
