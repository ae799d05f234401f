"""Times are taken in turns, on a clock of the test's own."""

from types import SimpleNamespace

import torch

from common import timing


def test_turns_alternate_last_as_long_as_asked_and_give_seconds_a_step(monkeypatch):
    clock, calls = SimpleNamespace(now=0.0), []
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    steps = {}
    for name, seconds in {"quick": 0.25, "slow": 1.0, "slower": 8.0}.items():

        def step(name=name, seconds=seconds) -> None:
            clock.now += seconds
            calls.append(name)

        steps[name] = step
    turns = {name: timing.turn(step, torch.device("cpu")) for name, step in steps.items()}
    times = timing.take_turns(turns, rounds=2, seconds=2.0)
    assert times == {"quick": [0.25] * 2, "slow": [1.0] * 2, "slower": [8.0] * 2}
    # Once to see how long a step takes, then as many as fill two seconds, one at least.
    assert calls == 2 * (["quick"] * (1 + 8) + ["slow"] * (1 + 2) + ["slower"] * (1 + 1))
