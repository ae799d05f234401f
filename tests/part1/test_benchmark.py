"""Part 1's benchmark: that all contestants compute what they should and are timed alike; never how long they take."""

import csv

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from common.files import read_json
from part1 import benchmark
from part1.benchmark import CONTESTANTS, FLOOR, YARDSTICK, forward_pass, kept_for_backward, products
from part1.lstm import LSTM
from part1.networks import TorchLSTM


def results(network: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The logits, and the gradients of x and of every parameter."""
    x = x.clone().requires_grad_()
    logits = network(x)
    return [logits.detach(), *torch.autograd.grad(logits.sin().sum(), [x, *network.parameters()])]


def alike(network: nn.Module, model: nn.Module, x: torch.Tensor, tolerance: float) -> bool:
    """Whether the networks, with the weights of `model`, compute the same to rounding."""
    network.load_state_dict(model.state_dict())
    pairs = zip(results(network, x), results(model, x), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=tolerance) for a, b in pairs)


@pytest.mark.parametrize("name", ["plain loop", "plain loop, four products"])
def test_the_plain_loops_compute_what_the_lstm_by_hand_computes_without_its_fast_form(name, case, monkeypatch):
    ours, x = case(LSTM, 4, 9, 2, 7)
    loop = CONTESTANTS[name](2, 7, 3).double()
    assert alike(loop, ours, x, 1e-11)
    monkeypatch.setattr("part1.lstm.ThroughTime.apply", None)
    loop(x)


def test_without_onednn_is_nn_lstm_with_it_switched_off_for_itself_alone():
    torch.manual_seed(0)
    without, yardstick = CONTESTANTS["nn.LSTM, oneDNN off"](2, 7, 3), TorchLSTM(2, 7, 3)
    switched_on, before = [], torch.backends.mkldnn.enabled
    without.lstm.register_forward_pre_hook(lambda *_: switched_on.append(torch.backends.mkldnn.enabled))
    assert alike(without, yardstick, torch.randn(4, 9, 2), 1e-5)
    assert switched_on == [False] and torch.backends.mkldnn.enabled == before


@pytest.mark.parametrize("make", CONTESTANTS.values(), ids=CONTESTANTS)
def test_a_training_step_trains_with_cut_gradients_and_a_forward_pass_does_not(make, optimizer_steps):
    torch.manual_seed(0)
    network, x, targets = make(1, 8, 10), torch.randn(4, 5, 1), torch.randint(10, (4,))
    with torch.no_grad():
        network.fc.weight *= 1e4
    before, read = [parameter.detach().clone() for parameter in network.parameters()], []
    network.register_forward_pre_hook(lambda _, args: read.append((args[0] is x, torch.is_grad_enabled())))
    forward_pass(network, x, targets)()
    assert read == [(True, False)] and all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    benchmark.training_step(network, x, targets)()
    assert read[1:] == [(True, True)] and [step["norm"] for step in optimizer_steps] == [pytest.approx(10, rel=1e-3)]
    assert all(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize(("backward", "n"), [(False, 1), (True, 3)])
def test_the_floor_is_the_products_with_h_at_each_step(backward, n, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)  # whose products are not counted
    x = torch.randn(4, 6, 1)
    with FlopCounterMode(display=False) as counter:
        products(x, 8, backward)()
    assert counter.get_total_flops() == 6 * n * 2 * (4 * 8) * 8 * 4


def test_what_is_kept_for_backward_by_hand():
    network = nn.Sequential(nn.Linear(1, 1), nn.Tanh(), nn.Linear(1, 1))
    assert kept_for_backward(network, 6, 4) == 2 * 4 * 6 * 4  # x, and tanh's result, which two ask for, in float32


def test_speeds_are_medians_of_ratios_within_a_round_in_table_and_picture(tmp_path, monkeypatch, figures, spare):
    asked, saved, kinds = [], figures(benchmark), ("training step", "forward pass")
    names = [*CONTESTANTS, FLOOR]
    seconds = {kind: {name: [9.0, 9.0, 9.0] for name in names} for kind in kinds}
    seconds["training step"] |= {YARDSTICK: [8.0, 6.0, 10.0], "by hand": [2.0, 3.0, 1.0]}

    def turns(contestants, *settings):
        asked.append((list(contestants), *settings))
        return seconds[kinds[1 - len(asked) % 2]]

    monkeypatch.setattr(benchmark, "take_turns", turns)
    flags = "--lengths 5 3 --rounds 4 --turn 0.5 --batch_size 4 --num_hidden 8 --device cpu --out_dir"
    folder = benchmark.benchmark(benchmark.parse_args([*flags.split(), str(tmp_path / "run")]))
    assert asked == [(names, 4, 0.5)] * 4
    rows = list(csv.DictReader((folder / "benchmark.csv").open(encoding="utf-8")))
    expected = [(kind, length, name) for length in "35" for kind in kinds for name in seconds[kind]]
    assert [(row["what"], row["length"], row["network"]) for row in rows] == expected
    by_hand = [row for row in rows if row["network"] == "by hand" and row["what"] == "training step"]
    assert {(row["slowest"], row["speed"], row["fastest"]) for row in by_hand} == {("2.000", "4.000", "10.000")}
    assert [float(row["us_per_step_of_length"]) for row in by_hand] == pytest.approx([2e6 / 3, 2e6 / 5], abs=0.1)
    for axes, speed in zip(saved[0].axes, (4, 1), strict=True):
        assert axes.lines[0].get_xydata().tolist() == [[3, speed], [5, speed]]
        assert len(axes.lines) == len([*CONTESTANTS, FLOOR])  # nn.LSTM's is the line at 1
    memory = read_json(folder / "result.json")["memory"]  # bytes a step and sequence: g2, c2, i, f, s, o, tanh c, z
    assert memory["by hand"] == 4 * (7 * 8 + 8 + 1 + 1) + 4 <= memory[YARDSTICK]
    assert list(memory) == list(CONTESTANTS) and min(memory.values()) > 0
