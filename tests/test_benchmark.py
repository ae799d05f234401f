"""Part 1's benchmark: that all contestants compute what they should and are timed alike; never how long they take."""

import csv
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import part1.benchmark
from common import runs
from common.files import read_json
from common.timing import take_turns
from part1 import lstm
from part1.benchmark import (
    CONTESTANTS,
    FLOOR,
    YARDSTICK,
    FourProducts,
    PlainLoop,
    WithoutOneDNN,
    forward_pass,
    kept_for_backward,
    products,
    training_step,
)
from part1.lstm import LSTM
from part1.networks import TorchLSTM

TINY = ["--lengths", "3", "5", "--rounds", "1", "--turn", "0.001", "--batch_size", "4", "--num_hidden", "8"]
KINDS = ("training step", "forward pass")


@pytest.fixture(autouse=True)
def spare():
    lstm.SPARE.clear()
    return lstm.SPARE


def pair(kind: type, like: type, dtype=torch.float64) -> list[nn.Module]:
    """Two networks with the same weights, all of them random."""
    torch.manual_seed(0)
    networks = [make(2, 7, 3).to(dtype) for make in (kind, like)]
    for parameter in networks[0].parameters():
        nn.init.normal_(parameter, std=0.7)
    networks[1].load_state_dict(networks[0].state_dict())
    return networks


def results(network: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The logits, and the gradients of x and of every parameter."""
    x = x.clone().requires_grad_()
    logits = network(x)
    return [logits.detach(), *torch.autograd.grad(logits.sin().sum(), [x, *network.parameters()])]


# The contestants


@pytest.mark.parametrize("kind", [FourProducts, PlainLoop])
@pytest.mark.parametrize("time", [1, 9, 30])
def test_the_loops_compute_what_the_lstm_by_hand_computes(kind, time):
    loop, ours = pair(kind, LSTM)
    x = torch.randn(4, time, 2, dtype=torch.float64)
    pairs = list(zip(results(loop, x), results(ours, x), strict=True))
    assert len(pairs) == 1 + 1 + 5 and all(torch.allclose(a, b, rtol=0, atol=1e-11) for a, b in pairs)


@pytest.mark.parametrize("kind", [FourProducts, PlainLoop])
def test_the_loops_are_loops_and_the_lstm_by_hand_is_none(kind, monkeypatch):
    def fast(*_):
        raise AssertionError("the fast form")

    monkeypatch.setattr(lstm.ThroughTime, "apply", fast)
    loop, ours = pair(kind, LSTM)
    x = torch.randn(4, 3, 2, dtype=torch.float64)
    assert loop(x).shape == (4, 3)
    with pytest.raises(AssertionError, match="the fast form"):
        ours(x)


def test_four_products_are_eight_a_step_and_the_plain_loop_has_two():
    calls = []

    class Counting(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            calls.append(function)
            return function(*args, **(kwargs or {}))

    x = torch.randn(4, 5, 2)
    for kind, n in ((FourProducts, 8), (PlainLoop, 2)):
        calls.clear()
        network = kind(2, 7, 3)
        with Counting():
            network(x)
        assert calls.count(F.linear) == 5 * n + 1  # and the answer's


def test_without_onednn_is_nn_lstm_with_it_switched_off_for_itself_alone():
    without, yardstick = pair(WithoutOneDNN, TorchLSTM, torch.float32)
    switched_on = []
    for network in (without, yardstick):
        network.lstm.register_forward_pre_hook(lambda *_: switched_on.append(torch.backends.mkldnn.enabled))
    before, x = torch.backends.mkldnn.enabled, torch.randn(4, 9, 2)
    pairs = zip(results(without, x), results(yardstick, x), strict=True)
    assert all(torch.allclose(a, b, rtol=0, atol=1e-5) for a, b in pairs)
    assert switched_on == [False, before] and torch.backends.mkldnn.enabled == before


# What is timed


@pytest.mark.parametrize("kind", CONTESTANTS.values())
def test_a_training_step_trains_and_a_forward_pass_does_not(kind):
    torch.manual_seed(0)
    network, x, targets = kind(1, 8, 10), torch.randn(4, 5, 1), torch.randint(10, (4,))
    before = [parameter.detach().clone() for parameter in network.parameters()]
    forward_pass(network, x, targets)()
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in network.parameters())
    loss = F.cross_entropy(network(x), targets).item()
    step = training_step(network, x, targets)
    for _ in range(30):
        step()
    assert all(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert F.cross_entropy(network(x), targets).item() < loss


def test_a_training_step_cuts_gradients(monkeypatch):
    norms, step = [], torch.optim.RMSprop.step

    def watched(self, *args):
        norms.append(nn.utils.get_total_norm([p.grad for group in self.param_groups for p in group["params"]]))
        return step(self, *args)

    monkeypatch.setattr(torch.optim.RMSprop, "step", watched)
    network = LSTM(1, 8, 10)
    with torch.no_grad():
        network.fc.weight *= 1e4
    training_step(network, torch.randn(4, 5, 1), torch.randint(10, (4,)))()
    assert norms == [pytest.approx(10, rel=1e-3)]


@pytest.mark.parametrize(("backward", "n"), [(False, 1), (True, 3)])
def test_the_floor_is_the_products_with_h_at_each_step(backward, n):
    x = torch.randn(4, 6, 1)
    with FlopCounterMode(display=False) as counter:
        products(x, 8, backward)()
    assert counter.get_total_flops() == 6 * n * 2 * (4 * 8) * 8 * 4


def test_turns_are_taken_by_a_clock(monkeypatch):
    """A step costs its own time, and its first call of a turn ten more, which must not be seen."""
    now, calls = [0.0], []

    def step(name: str, seconds: float):
        def call() -> None:
            calls.append(name)
            is_first = len(calls) < 2 or calls[-2] != name
            now[0] += seconds + (10 if is_first else 0)

        return call

    monkeypatch.setattr("common.timing.time", SimpleNamespace(perf_counter=lambda: now[0]))
    steps = {"fast": step("fast", 1.0), "slow": step("slow", 2.0)}
    times = take_turns(steps, rounds=3, seconds=44.0, device=torch.device("cpu"))
    assert times == {"fast": [1.0] * 3, "slow": [2.0] * 3}
    assert calls == (["fast"] * 5 + ["slow"] * 5) * 3  # 44 s are four times the first call, of 11 s or 12


# What is kept for the way back


class Square(nn.Module):
    """Keeps x (batch · time numbers) once, however often; and a parameter, which does not count."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.weight
        return (x.square() + x.view(-1, 1).square().view_as(x)) * self.weight.detach()


def test_what_is_kept_by_hand():
    assert kept_for_backward(Square(), 6, 4) == 4 * 6 * 4  # float32


def test_the_lstm_by_hand_keeps_no_more_than_nn_lstm():
    kept = {}
    for name, kind in CONTESTANTS.items():
        network = kind(1, 8, 10)
        shorter, longer = (kept_for_backward(network, length, 4) for length in (20, 60))
        kept[name] = longer - shorter
    assert kept["by hand"] == 40 * 4 * 4 * (7 * 8 + 8 + 1 + 1)  # steps, sequences, bytes; g2, c2, i, f, s, o, tanh c, z
    assert 0 < kept["by hand"] <= kept[YARDSTICK]
    assert 0 < kept["plain loop"] <= kept["plain loop, four products"]


def test_what_is_kept_does_not_depend_on_what_was_computed_before():
    """A buffer left by a longer sequence serves again, and only a part of it is needed."""
    network, x = LSTM(1, 8, 10), torch.randn(4, 100, 1)
    alone = kept_for_backward(network, 20, 4)
    training_step(network, x, torch.zeros(4, dtype=torch.int64))()
    assert kept_for_backward(network, 20, 4) == alone


# The script


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    args = part1.benchmark.parse_args(
        [*TINY, "--device", "cpu", "--out_dir", str(tmp_path_factory.mktemp("b") / "run")]
    )
    return part1.benchmark.benchmark(args)


def test_the_script_leaves_its_files(folder):
    names = {path.name for path in folder.iterdir() if path.name != ".lock"}
    assert names == {"config.json", "benchmark.csv", "benchmark.png", "result.json"}
    assert Image.open(folder / "benchmark.png").size == (1350, 570)
    memory = read_json(folder / "result.json")["memory"]
    assert list(memory) == list(CONTESTANTS) and min(memory.values()) > 0
    assert memory["by hand"] == 4 * (7 * 8 + 8 + 1 + 1)


def test_the_table_has_every_contestant_at_every_length_beside_nn_lstm(folder):
    rows = list(csv.DictReader((folder / "benchmark.csv").open(encoding="utf-8")))
    expected = [(kind, length, name) for length in "35" for kind in KINDS for name in [*CONTESTANTS, FLOOR]]
    assert [(row["what"], row["length"], row["network"]) for row in rows] == expected
    for row in rows:
        slowest, speed, fastest = (float(row[name]) for name in ("slowest", "speed", "fastest"))
        assert 0 < slowest <= speed <= fastest and float(row["us_per_step_of_length"]) > 0
        assert row["network"] != YARDSTICK or slowest == speed == fastest == 1


def test_speeds_are_medians_of_ratios_within_a_round(tmp_path, monkeypatch):
    seconds = {name: [9.0, 9.0, 9.0] for name in [*CONTESTANTS, FLOOR]}
    seconds |= {YARDSTICK: [8.0, 6.0, 10.0], "by hand": [2.0, 3.0, 1.0]}
    monkeypatch.setattr(part1.benchmark, "take_turns", lambda steps, *_: {name: seconds[name] for name in steps})
    part1.benchmark.benchmark(part1.benchmark.parse_args([*TINY, "--out_dir", str(tmp_path / "run")]))
    rows = list(csv.DictReader((tmp_path / "run/benchmark.csv").open(encoding="utf-8")))
    by_hand = [row for row in rows if row["network"] == "by hand"]
    assert {(row["slowest"], row["speed"], row["fastest"]) for row in by_hand} == {("2.000", "4.000", "10.000")}
    assert [float(row["us_per_step_of_length"]) for row in by_hand if row["length"] == "5"] == [2e6 / 5] * 2


def test_it_says_nothing_on_stderr(run_script, tmp_path):
    done = run_script("part1/benchmark.py", *TINY, "--device", "cpu", "--out_dir", tmp_path / "run")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"picture: {tmp_path / 'run' / 'benchmark.png'}"


@pytest.mark.parametrize(
    "flags", ["--lengths 0", "--lengths", "--rounds 0", "--turn 0", "--turn nan", "--batch_size 0", "--num_hidden 0"]
)
def test_a_mistake_is_answered_in_one_line_and_nothing_is_written(flags, tmp_path, monkeypatch, answer):
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path / "outputs")
    status, out, err = answer(part1.benchmark, *flags.split())
    assert (status, out, len(err.splitlines())) == (2, "", 1) and flags.split()[0] in err
    assert list(tmp_path.iterdir()) == []
