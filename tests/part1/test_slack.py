"""The terms of the loss that lead to a proof: closed sets (slack.py) and boxes that are followed (follow.py)."""

import math

from part1.lstm import LSTM, gates, remember
from part1.proof import follow, slack
from part1.proof.boxes import Box
from part1.proof.follow import Following, scaled
from part1.proof.slack import SPARE, M, closed_sets_lack, kept, signs_of
from part1.tasks.task import Automaton
from part1.tasks.tasks import TASKS
from tests.part1.test_certificate import LAST, TWO, last_symbol, points_in
from tests.tiny_runs import differences

import pytest
import torch

FIRST = Automaton(torch.tensor([[1, 2], [1, 1], [2, 2]]), torch.tensor([-1, 0, 1]))  # name the symbol read first
SIGNS = torch.tensor([[1.0], [-1.0]]).double()  # of one unit
TWO_64 = TWO.double()


def keeper(f: float, i: float, push: float, readout: float) -> LSTM:
    """By hand, one unit that hears its own h alone: f and i are constant, o = 1, g = tanh(push · h)."""
    network = LSTM(1, 1, 2).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.bias.copy_(torch.tensor([math.log(i / (1 - i)), math.log(f / (1 - f)), 0, 40]))
        network.weight_hh[2] = push
        network.fc.weight.copy_(torch.tensor([[readout], [-readout]]))
    return network


def lower_bounds(f: float, i: float, push: float) -> tuple[float, float]:
    """The least h and s ⊙ g in the sets of `keeper`: at first 0, then from what one step makes of the bound before."""
    h = 0.0
    for _ in range(slack.ROUNDS):
        h = math.tanh(f * M + i * math.tanh(push * h))
    return h, math.tanh(push * h)


@pytest.mark.parametrize(("f", "i", "push"), [(0.9, 0.5, 3.0), (0.5, 0.3, 0.1)])
def test_slack_of_a_unit_by_hand_is_the_same_for_both_signs(f, i, push):
    sets, (h, g) = slack.slack(keeper(f, i, push, 0.5), TWO_64, FIRST, SIGNS), lower_bounds(f, i, push)
    assert sets.slack.flatten().tolist() == pytest.approx([i * g - (1 - f) * M] * 4)
    assert sets.direction.flatten().tolist() == pytest.approx([push * h] * 4)
    in_logarithms = math.log(i) + math.log(math.tanh(max(0.1, push * h))) - math.log((1 - f) * M + SPARE)
    assert sets.in_logarithms.flatten().tolist() == pytest.approx([in_logarithms] * 4)
    assert sets.margins.tolist() == [[math.inf, pytest.approx(h)], [pytest.approx(h), math.inf]]


@pytest.mark.parametrize("name", ["palindrome", "marker"])
def test_slack_is_a_lower_bound_of_what_steps_do_and_its_logarithms_have_the_sign_of_slack_less_spare(name):
    torch.manual_seed(1)
    task, n = TASKS[name], 200
    x = task.encode(torch.arange(task.automaton.next.shape[1]), "one_hot").double()
    network, signs = LSTM(x.shape[1], 6, 10).double(), torch.randn(10, 6).double().sign()
    with torch.no_grad():
        network.bias[6:12] += torch.arange(6)  # f from 0.5 to 0.99
        network.weight_hh[12:18] = 4 * torch.randn(6, 6)
        sets, (states, here, symbol) = slack.slack(network, x, task.automaton, signs), kept(task.automaton)
        assert (len(states), len(here), len(symbol)) == (10, 100, 100)
        is_up, one = signs[here] > 0, torch.ones(100, 6).double()
        h = torch.where(is_up, 0 * one, -one), torch.where(is_up, one, 0 * one)
        c = torch.where(is_up, M * one, -9 * one), torch.where(is_up, 9 * one, -M * one)
        h, _ = points_in(Box(h, c), n)
        for _ in range(slack.ROUNDS + 1):  # into B, and one step more
            h, c_now = h.flatten(0, 1), points_in(Box(c, c), n)[1].flatten(0, 1)
            weights = network.weight_ih, network.weight_hh, network.bias
            h, new = (part.view(n, 100, 6) for part in remember(*gates(x[symbol].repeat(n, 1), h, *weights), c_now))
        over = signs[here] * new - M - sets.slack
        assert over.min() > -1e-9 and over.amin(0).median() < 1  # and no idle one
        is_directed, is_closed = sets.direction > 0.1, sets.slack > SPARE
        assert 0 < is_closed[is_directed].double().mean() < 1
        assert torch.equal(is_closed[is_directed], (sets.in_logarithms > 0)[is_directed])


def test_signs_are_those_of_the_mean_where_a_state_has_settled():
    """A mark comes at the third symbol of the first sequence, at the first one of the others."""
    states = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 2, 2], [2, 2, 2, 2, 2, 2, 2]])
    c = torch.tensor([[9.0, 9, 9, 9, 9, -1, -2], [-9, -9, -9, 1, 1, 1, -2], [-9, -9, -9, -5, 1, 2, 3]])
    c = torch.stack([c, -c], dim=2)
    assert signs_of(c, states, FIRST).tolist() == [[-1, 1], [1, -1]]


def test_what_closed_sets_lack_by_hand():
    f, i, push, readout = 0.5, 0.3, 0.1, 0.25
    network, (h, g) = keeper(f, i, push, readout), lower_bounds(f, i, push)
    states = torch.tensor([[0, 0, 1, 1, 1, 1], [2, 2, 2, 2, 2, 2]])  # settled: the last column, the last three
    c = torch.tensor([[9.0, -9, -9, -9, -9, 1.0], [9, 9, 9, -3, -1, 0]]).unsqueeze(2).double()
    outside = (1.3 + 0 + 1.3 + 2.3) / 6
    lacking = math.log((1 - f) * M + SPARE) - math.log(i) - math.log(math.tanh(0.1))
    lack, least = closed_sets_lack(network, TWO_64, FIRST, SIGNS, c, states)
    expected = 3 * lacking + 6 * (0.3 - push * h) + 2 * (1 - 2 * readout * h) / 2 + 5 * outside
    assert (lack.item(), least.item()) == (pytest.approx(expected), pytest.approx(i * g - (1 - f) * M))
    lack.backward()
    used = (network.weight_hh, network.bias, network.fc.weight)
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in used)
    closed = keeper(0.99, 0.9, 3.0, 5.0)
    inside = torch.where(states == 2, -M - 0.3, M + 0.3).unsqueeze(2).double()
    assert closed_sets_lack(closed, TWO_64, FIRST, SIGNS, inside, states)[0].item() < 1e-6


# Boxes that are followed

MARGIN = 2 * math.tanh(1)  # of `last_symbol`
RULE = [  # what the readout is multiplied by, κ before, κ after
    (1, 0.0, 0.003),
    (1, follow.MOST - 0.001, follow.MOST),
    (0.5, 0.5, 0.499),
    (-1, 0.5, 0.499),
    (-1, 0.0005, 0.0),
]


@pytest.mark.parametrize(("factor", "before", "after"), RULE)
def test_kappa_rises_while_margins_are_large_and_boxes_start_anew_where_one_is_lost(factor, before, after):
    network = last_symbol()
    with torch.no_grad():
        network.fc.weight *= factor
    following = Following(network, TWO, LAST)
    following.kappa = before
    lack = following.boxes_lack()
    assert following.kappa == pytest.approx(after)
    assert lack.item() == pytest.approx(follow.WANTED - factor * MARGIN, abs=1e-4)
    assert (following.box is None, following.age) == ((True, 0) if factor < 0 else (False, follow.STEPS))


def test_boxes_go_along_until_they_are_old_and_a_state_dict_continues_them():
    following, other = Following(last_symbol(1.0), TWO, LAST), Following(last_symbol(1.0), TWO, LAST)
    for network in (following.network, other.network):
        with torch.no_grad():
            network.fc.weight *= 9  # margins are large
    ages, widths = [], []
    for _ in range(follow.AT_MOST // follow.STEPS):
        following.kappa = 1.0
        other.load_state_dict(following.state_dict())
        lacks = [each.boxes_lack().item() for each in (following, other)]
        assert lacks[0] == lacks[1] and differences(following.state_dict(), other.state_dict()) == []
        ages.append(following.age)
        widths.append((following.box.c[1] - following.box.c[0])[[2, 5]].max().item() if following.box else None)
    assert ages == [2, 4, 6, 8, 10, 12, 0]  # then from h = c = 0
    assert widths[-1] is None and widths[:-1] == sorted(widths[:-1]) and widths[0] < widths[-2]
    assert following.state_dict().keys() == {"kappa", "age"}


def test_boxes_are_scaled_around_their_middles_and_empty_ones_stay_empty():
    low, high = torch.tensor([[0.0, -2.0], [math.inf] * 2]), torch.tensor([[1.0, 4.0], [-math.inf] * 2])
    for kappa, expected in ((0.5, ([0.25, -0.5], [0.75, 2.5])), (0, ([0.5, 1.0], [0.5, 1.0])), (1, ([0, -2], [1, 4]))):
        found = scaled(Box((low, high), (low, high)), kappa)
        for part in found:
            assert (part[0][0].tolist(), part[1][0].tolist()) == expected
            assert part[0][1].tolist() == [math.inf] * 2 and part[1][1].tolist() == [-math.inf] * 2
