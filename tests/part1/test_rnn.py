"""The vanilla RNN against nn.RNN, against arithmetic, and its initial weights."""

import math

from part1.networks.rnn import VanillaRNN

import pytest
import torch
from torch import nn


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 7, 1, 5), (4, 1, 3, 2), (3, 10, 10, 8), (5, 40, 1, 16)])
def test_logits_and_gradients_equal_those_of_nn_rnn(shape, case, differences_to):
    differences = differences_to(nn.RNN, *case(VanillaRNN, *shape))
    assert all(difference < 1e-11 for difference in differences.values()), differences


def test_one_unit_two_steps_by_hand():
    network = VanillaRNN(1, 1, 1).double()
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), (0.5, -0.25, 0.125, 2.0, -1.0), strict=True):
            parameter.fill_(value)  # W_hx, W_hh, b_h, W_p, b_p
    h = math.tanh(0.5 * 1.5 + 0.125)
    h = math.tanh(0.5 * -2.0 - 0.25 * h + 0.125)
    assert network(torch.tensor([[[1.5], [-2.0]]]).double()).item() == pytest.approx(2 * h - 1, abs=1e-12)


def test_the_initial_weights_are_orthogonal_and_within_bounds():
    torch.manual_seed(0)
    network = VanillaRNN(2, 32, 3)
    network.reset_parameters(length=10)
    assert torch.allclose(network.weight_hh @ network.weight_hh.T, torch.eye(32), atol=1e-5)
    for parameter in (network.weight_ih, network.bias):
        assert parameter.abs().max() <= 1 and parameter.std().item() == pytest.approx(3**-0.5, abs=0.15)
