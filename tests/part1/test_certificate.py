"""The certificate: its boxes hold all they should, in float32 too; what is proved by hand, what must not be proved."""

import copy
import math
import re

from common.files import read_json
from common.find import PRETRAINED
from part1.lstm import LSTM, gates, remember
from part1.networks.by_name import TorchLSTM, by_hand, to_torch
from part1.networks.trained import Trained, load_lstm
from part1.proof import boxes, certificate
from part1.proof.attack import attack
from part1.proof.boxes import Box
from part1.proof.certificate import certify
from part1.tasks.task import Automaton
from part1.tasks.tasks import TASKS

import numpy as np
import pytest
import torch
from torch import nn

LAST = Automaton(torch.tensor([[1, 2], [1, 2], [1, 2]]), torch.tensor([-1, 0, 1]))  # name the symbol that was read last
TWO = torch.tensor([[1.0], [-1.0]])  # the two symbols, encoded


def last_symbol(steepness: float = 20.0) -> LSTM:
    """By hand: f = 0, i = o = 1, g = ±1, so c = g(t), h = tanh c, and the logits are h and −h."""
    network = LSTM(1, 1, 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.weight_ih[2] = steepness
        network.bias.copy_(torch.tensor([1, -1, 0, 1]) * steepness)
        network.fc.weight.copy_(torch.tensor([[1.0], [-1.0]]))
    return network


def random_box(n: int, hidden: int) -> Box:
    def interval(scale: float):
        middle, radius = scale * torch.randn(n, hidden).double(), torch.rand(n, hidden).double()
        return middle - radius, middle + radius

    h = interval(0.5)
    return Box((h[0].clamp(-1, 1), h[1].clamp(-1, 1)), interval(2.0))


def points_in(box: Box, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """n random points of each box, its corners among them: h and c, (n, boxes, hidden)."""
    share = [torch.rand(n, *box.h[0].shape).double() for _ in range(2)]
    share = [torch.where(torch.rand_like(part) < 0.5, part.round(), part) for part in share]
    return tuple(low + part * (high - low) for part, (low, high) in zip(share, box, strict=True))


def holds(box: Box, h: torch.Tensor, c: torch.Tensor) -> bool:
    return all(bool(((low <= x) & (x <= high)).all()) for (low, high), x in zip(box, (h, c), strict=True))


def test_the_box_after_a_step_holds_every_state_that_the_step_reaches(case):
    network, x = case(LSTM, 30, 1, 3, 5)
    weights = network.weight_ih, network.weight_hh, network.bias
    x_t = x[:, 0]
    box = random_box(30, 5)
    image = boxes.step(box, nn.functional.linear(x_t, network.weight_ih, network.bias), x_t, network.weight_hh, u=0)
    h, c = points_in(box, 500)
    reached = [remember(*gates(x_t, h_k, *weights), c_k) for h_k, c_k in zip(h, c, strict=True)]
    reached = [torch.stack(part) for part in zip(*reached, strict=True)]
    assert holds(Box(*(boxes.wider(part, 1e-12) for part in image)), *reached)
    lows, highs = zip(*image, strict=True)
    for low, high, x in zip(lows, highs, reached, strict=True):  # and it is no larger than it must be, in one unit
        assert ((high - low) < 4 * (x.amax(0) - x.amin(0)) + 1.5).all()


def test_bounds_of_a_unit_that_hears_nothing_are_exact():
    network = last_symbol(1.0).double()
    box = Box((torch.zeros(1, 1).double(),) * 2, (torch.tensor([[-1.0]]).double(), torch.tensor([[math.inf]]).double()))
    image = boxes.step(box, network.bias.unsqueeze(0), network.bias, network.weight_hh, u=0)  # x = 0: g = 0
    f, o = 1 / (1 + math.exp(1)), 1 / (1 + math.exp(-1))
    assert image.c[0].item() == pytest.approx(-f) and image.c[1].item() == math.inf
    assert image.h[0].item() == pytest.approx(o * math.tanh(-f)) and image.h[1].item() == pytest.approx(o)


@pytest.mark.parametrize("cancelled", [0.0, 5000.0])  # the part of W x and of b that cancel each other
@pytest.mark.parametrize("form", ["plain", "fast", "nn.LSTM"])
def test_boxes_around_a_point_hold_the_float32_run_but_not_without_their_rounding(form, cancelled):
    torch.manual_seed(3)
    network = LSTM(10, 24, 10, plain=form == "plain")
    with torch.no_grad():
        network.weight_ih += cancelled
        network.bias -= cancelled
    runner = network
    if form == "nn.LSTM":
        runner = TorchLSTM(10, 24, 10)
        runner.lstm.load_state_dict(to_torch(network).state_dict())
    x = torch.eye(10)[torch.randint(0, 10, (50, 12))]
    exact = [weight.detach().double() for weight in (network.weight_ih, network.weight_hh, network.bias)]
    for u, expected in ((boxes.U, True), (0.0, False)):
        zero, inside = torch.zeros(50, 24).double(), True
        box = Box((zero, zero), (zero, zero))
        for t in range(1, 9):
            x_t, sizes = x[:, t - 1].double(), [weight.abs() for weight in exact]
            size = nn.functional.linear(x_t, sizes[0], sizes[2])
            box = boxes.step(box, nn.functional.linear(x_t, exact[0], exact[2]), size, exact[1], u)
            with torch.no_grad():
                inside &= holds(box, *(part.double() for part in runner.read(x[:, :t])))
        assert inside == expected
    assert (box.h[1] - box.h[0]).max() == 0


@pytest.mark.parametrize("function", [torch.sigmoid, torch.tanh])
def test_sigma_and_tanh_in_float32_err_by_at_most_8_u(function):
    a = torch.linspace(-30, 30, 2_000_001)
    assert (function(a).double() - function(a.double())).abs().max() <= 8 * 2**-24


def test_the_last_symbol_is_proved_with_the_margin_computed_by_hand():
    found = certify(last_symbol(), TWO, LAST)
    assert found.proved
    assert found.margin == pytest.approx(2 * math.tanh(1), abs=1e-4)


def changed(changes: dict) -> LSTM:
    network = last_symbol()
    with torch.no_grad():
        for (name, row), value in changes.items():
            network.get_parameter(name)[row] = value
    return network


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({("fc.weight", 0): -1.0, ("fc.weight", 1): 1.0}, "after 1 symbols, the last of them 0, .* answer 0 from 1"),
        ({("bias", 1): 3.0, ("bias", 0): 0.0}, "after 3 symbols"),  # c adds up: the last one is soon outvoted
    ],
)
def test_a_network_that_is_wrong_is_not_proved_and_an_attack_finds_a_sequence(changes, why):
    network = changed(changes)
    found = certify(network, TWO, LAST)
    assert not found.proved
    assert re.match(why, found.why_not)
    wrong = attack(network, TWO, LAST, 20, 8, torch.Generator().manual_seed(0))
    assert wrong.margin <= 0 and wrong.said != wrong.answer == wrong.sequence[-1]
    with torch.no_grad():
        assert network(TWO[wrong.sequence].unsqueeze(0)).argmax().item() == wrong.said


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e38])
@pytest.mark.parametrize("name", ["weight_hh", "weight_ih", "fc.weight"])
def test_numbers_that_overflow_prove_nothing(name, value):
    network = last_symbol()
    with torch.no_grad():
        network.get_parameter(name)[0] = value
        if name == "weight_hh":
            network.weight_hh[2] = -value
    found = certify(network, TWO, LAST, rounds=20)
    assert not found.proved or math.isfinite(value)


def test_a_right_network_whose_boxes_grow_is_not_proved():
    """c forgets nothing and hears nothing: it stays 0 for ever, but rounding widens its box at each step."""
    network = changed({("weight_ih", 2): 0.0, ("bias", 1): 30.0})
    silent = Automaton(torch.zeros(1, 2, dtype=torch.long), torch.tensor([-1]))
    found = certify(network, TWO, silent, rounds=30)
    assert found.why_not.startswith("after 30 rounds of widening the boxes still grow, most of all c of unit 0")


@pytest.mark.parametrize("name", TASKS)
def test_a_drawn_sequence_ends_in_what_its_automaton_answers(name):
    task = TASKS[name]
    digits = task.draw(200, 9, np.random.default_rng(1), monotonous=100)
    states = task.automaton.states(digits[:, :-1])
    assert (states >= 0).all()
    assert task.automaton.answers[states[:, -1]].tolist() == digits[:, -1].tolist()
    x = task.encode(torch.arange(task.automaton.next.shape[1]), "one_hot")
    assert x.shape == (task.automaton.next.shape[1], task.input_dim["one_hot"])
    assert task.automaton.answers.max() + 1 == task.classes


def test_which_states_are_remembered_and_which_tasks_leave_states_again():
    kept = {name: (int(task.automaton.is_kept.sum()), task.automaton.is_left) for name, task in TASKS.items()}
    sums = dict.fromkeys(("sum2", "sum3", "marks2"), (0, True))
    assert kept == {"palindrome": (10, False), "marker": (10, True), **sums}


def test_widening_pushes_a_bound_only_where_it_must_and_gives_up_a_far_one():
    old = torch.tensor([[0.0, 0.0, -7.99]]), torch.tensor([[1.0, 1.0, 1.0]])
    new = (torch.tensor([[0.5, -1.0, -9.0]]), torch.tensor([[0.9, 1.5, 1.0]]))
    low, high = certificate.widened(old, new, far=8.0)
    assert low.tolist() == [[0.0, pytest.approx(-1.0001), -math.inf]]
    assert high.tolist() == [[1.0, pytest.approx(1.5001), 1.0]]


@pytest.fixture(scope="module")
def pretrained():
    return load_lstm(PRETRAINED / "lstm")


def certified(trained: Trained, network: LSTM) -> certificate.Certificate:
    return certify(network, trained.symbols, trained.task.automaton)


def test_the_pretrained_lstm_is_proved_as_its_record_says_and_so_is_an_nn_lstm_with_its_weights(pretrained):
    recorded, network = read_json(PRETRAINED / "lstm" / "result.json"), pretrained.network
    other = TorchLSTM(10, network.hidden_dim, 10)
    other.lstm.load_state_dict(to_torch(network).state_dict())
    other.fc = network.fc
    for found in (certified(pretrained, network), certified(pretrained, by_hand(other))):
        assert found.proved and recorded["proved"] and recorded["rounds"] == found.rounds
        assert found.margin == pytest.approx(recorded["margin"], rel=1e-4)
    symbols, task = pretrained.symbols, pretrained.task.automaton
    met = attack(network, symbols, task, 30, 40, torch.Generator().manual_seed(0)).margin
    assert found.margin <= met < found.margin + 0.1  # the proof is not far from what can happen


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("weight_hh", lambda w: w[128 + 5, 5].sub_(30)),  # of a candidate: the unit no longer hears itself
        ("bias", lambda b: b[64:128].sub_(8)),  # forget gates shut: no set is closed
        ("fc.weight", lambda w: w.copy_(w[[0, 1, 2, 4, 3, 5, 6, 7, 8, 9]])),  # two digits exchanged
        ("fc.bias", lambda b: b[7].add_(20)),  # 7 is the answer to all
    ],
)
def test_the_pretrained_lstm_is_not_proved_once_a_weight_is_changed(pretrained, name, change):
    network = copy.deepcopy(pretrained.network)
    with torch.no_grad():
        change(network.get_parameter(name))
    assert certified(pretrained, network).why_not


def test_without_the_slack_in_its_loss_a_network_is_not_proved_and_does_forget():
    trained = load_lstm(PRETRAINED / "lstm_without_proof")
    assert certified(trained, trained.network).why_not.startswith("after 4 symbols, the last of them 8, ")
    met = attack(trained.network, trained.symbols, trained.task.automaton, 400, 60, torch.Generator().manual_seed(0))
    assert met.margin < 0
