"""The LSTM by hand, plain and fast, against nn.LSTM and against arithmetic; its initial weights."""

import math

from part1.lstm import LSTM

import pytest
import torch
from torch import nn

TOLERANCE = 1e-11  # float64; values here are of order 1 to 100
SHAPES = [(1, 1, 1, 1), (4, 1, 3, 2), (2, 3, 4, 1), (3, 10, 10, 8), (5, 40, 1, 16)]  # batch, time, input, hidden
SHAPES += [(3, time, 2, 5) for time in (7, 8, 9, 16, 17)]

either_form = pytest.mark.parametrize("plain", [True, False], ids=["plain", "fast"])


@either_form
@pytest.mark.parametrize("shape", SHAPES)
def test_logits_and_gradients_equal_those_of_nn_lstm(plain, shape, case, differences_to):
    differences = differences_to(nn.LSTM, *case(LSTM, *shape, plain=plain))
    assert all(difference < TOLERANCE for difference in differences.values()), differences


@either_form
def test_one_unit_two_steps_by_hand(plain):
    network = LSTM(1, 1, 2, plain=plain).double()
    weights_x, weights_h, biases = (0.5, -0.3, 0.8, 0.2), (0.1, 0.4, -0.6, 0.7), (0.05, 1.0, -0.2, 0.3)  # i, f, g, o
    values = (weights_x, weights_h, biases, (2, -1), (0.5, 0.25))
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), values, strict=True):
            parameter.copy_(torch.tensor(value, dtype=torch.float64).view_as(parameter))

    def sigma(a):
        return 1 / (1 + math.exp(-a))

    h = c = 0.0
    for x in (1.5, -2.0):
        i = sigma(0.5 * x + 0.1 * h + 0.05)
        f = sigma(-0.3 * x + 0.4 * h + 1.0)
        g = math.tanh(0.8 * x - 0.6 * h - 0.2)
        o = sigma(0.2 * x + 0.7 * h + 0.3)
        c = g * i + c * f
        h = math.tanh(c) * o
    logits = network(torch.tensor([[[1.5], [-2.0]]], dtype=torch.float64))
    assert logits[0].tolist() == pytest.approx([2 * h + 0.5, -h + 0.25], abs=1e-12)


def test_under_autocast_the_plain_form_serves(case):
    network, x = case(LSTM, 3, 10, 2, 5)
    network, x = network.float(), x.float()
    logits = []
    for network.plain in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            logits.append(network(x))
    assert logits[0].dtype == torch.bfloat16 and torch.equal(*logits)


@pytest.mark.parametrize("length", [1, 2, 3, 10, 100_000])
def test_the_initial_weights_keep_their_promises_at_every_length(length):
    torch.manual_seed(0)
    network = LSTM(2, 6, 3)
    network.reset_parameters(length)
    b_i, b_f, _, b_o = network.bias.detach().chunk(4)
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    assert torch.equal(b_i, -b_f) and (b_o == 0).all()
    assert (b_f >= 0).all() and (b_f <= math.log(max(length - 1, 1)) + 1e-6).all()
    assert all(torch.allclose(W @ W.T, torch.eye(6), atol=1e-5) for W in network.weight_hh.detach().chunk(4))


def test_the_initial_memories_spread_evenly_up_to_the_length_and_the_candidates_over_their_bounds():
    torch.manual_seed(0)
    network = LSTM(1, 300, 1)
    network.reset_parameters(length=21)
    times = network.bias.detach()[300:600].exp()  # u = exp(b_f) ~ U(1, 20)
    b_g, W_x = network.bias.detach()[600:900], network.weight_ih.detach()
    for sample, low, high in ((times, 1, 20), (W_x, -1, 1), (b_g, -1, 1)):
        assert low <= sample.min() and sample.max() <= high + 1e-4
        assert sample.mean().item() == pytest.approx((low + high) / 2, abs=(high - low) / 12)
        assert sample.std().item() == pytest.approx((high - low) / math.sqrt(12), abs=(high - low) / 24)
