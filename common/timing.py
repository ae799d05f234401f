"""Times measured in turns, so that other work on the machine slows all contestants alike."""

import time
from collections.abc import Callable

import torch


def turn(step: Callable[[], None], device: torch.device) -> Callable[[float], float]:
    """A contestant's turn, as a function: about how many seconds the turn lasts → how many seconds one step takes."""
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
    """For each name the seconds per step, one number for each round. A turn lasts about `seconds`."""
    times = {name: [] for name in turns}
    for _ in range(rounds):
        for name, timed in turns.items():
            times[name].append(timed(seconds))
    return times
