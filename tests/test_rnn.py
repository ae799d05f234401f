"""The vanilla RNN against nn.RNN, against arithmetic, against finite differences, and against broken RNNs."""

import math
import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from part1.rnn import VanillaRNN

TOLERANCE = 1e-11  # float64
SHAPES = [(1, 1, 1, 1), (1, 7, 1, 5), (4, 1, 3, 2), (3, 10, 10, 8), (5, 40, 1, 16)]


def case(batch: int, time: int, input_dim: int, hidden_dim: int) -> tuple[VanillaRNN, torch.Tensor]:
    torch.manual_seed(batch + 10 * time)
    network = VanillaRNN(input_dim, hidden_dim, 3).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network, torch.randn(batch, time, input_dim, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_and_gradients_equal_those_of_nn_rnn(shape, differences_to):
    differences = differences_to(nn.RNN, *case(*shape))
    assert all(difference < TOLERANCE for difference in differences.values()), differences


def test_one_unit_two_steps_by_hand():
    network = VanillaRNN(1, 1, 1).double()
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), (0.5, -0.25, 0.125, 2.0, -1.0), strict=True):
            parameter.fill_(value)  # W_hx, W_hh, b_h, W_p, b_p
    h = math.tanh(0.5 * 1.5 + 0.125)
    h = math.tanh(0.5 * -2.0 - 0.25 * h + 0.125)
    assert network(torch.tensor([[[1.5], [-2.0]]]).double()).item() == pytest.approx(2 * h - 1, abs=1e-12)


def test_gradients_equal_finite_differences():
    network, x = case(2, 4, 2, 3)
    names = [name for name, _ in network.named_parameters()]

    def logits(x, *parameters):
        return torch.func.functional_call(network, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(logits, (x.requires_grad_(), *network.parameters()))


def forward_with(step, order=lambda x: x):
    def forward(self, x):
        h = x.new_zeros(len(x), self.hidden_dim)
        for x_t in order(x).unbind(1):
            h = step(F.linear(x_t, self.weight_ih, self.bias), F.linear(h, self.weight_hh), h)
        return self.fc(h)

    return forward


MUTANTS = {
    "sigmoid": forward_with(lambda a, b, h: torch.sigmoid(a + b)),
    "no squashing": forward_with(lambda a, b, h: a + b),
    "h(t−1) ignored": forward_with(lambda a, b, h: torch.tanh(a)),
    "h(t−1) added outside": forward_with(lambda a, b, h: torch.tanh(a + b) + h),
    "read backwards": forward_with(lambda a, b, h: torch.tanh(a + b), lambda x: x.flip(1)),
    "last input unread": forward_with(lambda a, b, h: torch.tanh(a + b), lambda x: x[:, :-1]),
    "gradient cut between steps": forward_with(lambda a, b, h: torch.tanh(a + b.detach())),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_network_is_told_from_nn_rnn(name, differences_to):
    network, x = case(3, 6, 2, 4)
    network.forward = types.MethodType(MUTANTS[name], network)
    differences = differences_to(nn.RNN, network, x)
    assert max(differences.values()) > 1e-3
    assert differences["logits"] > 1e-3 or "gradient" in name


def test_the_forward_follows_its_dtype():
    network, x = case(2, 3, 1, 4)
    assert network.float()(x.float()).dtype == torch.float32


def test_it_starts_orthogonal_and_within_bounds():
    torch.manual_seed(0)
    network = VanillaRNN(2, 32, 3)
    network.reset_parameters(length=10)
    assert torch.allclose(network.weight_hh @ network.weight_hh.T, torch.eye(32), atol=1e-5)
    for parameter in (network.weight_ih, network.bias):
        assert parameter.abs().max() <= 1 and parameter.std().item() == pytest.approx(3**-0.5, abs=0.15)
