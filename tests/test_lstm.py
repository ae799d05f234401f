"""The LSTM by hand against nn.LSTM, against arithmetic, against finite differences, and against broken LSTMs."""

import math
import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from part1.lstm import LSTM

TOLERANCE = 1e-11  # float64; values here are of order 1 to 100
SHAPES = [(1, 1, 1, 1), (1, 7, 1, 5), (4, 1, 3, 2), (3, 10, 10, 8), (5, 40, 1, 16), (2, 3, 4, 1)]


def case(batch: int, time: int, input_dim: int, hidden_dim: int) -> tuple[LSTM, torch.Tensor]:
    """A float64 LSTM, all of its parameters random, and an input."""
    torch.manual_seed(batch + 10 * time)
    network = LSTM(input_dim, hidden_dim, 3).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.7)
    return network, torch.randn(batch, time, input_dim, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_and_gradients_equal_those_of_nn_lstm(shape, differences_to):
    differences = differences_to(nn.LSTM, *case(*shape))
    assert all(difference < TOLERANCE for difference in differences.values()), differences


def test_one_unit_two_steps_by_hand():
    network = LSTM(1, 1, 2).double()
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


def test_gradients_equal_finite_differences():
    network, x = case(2, 4, 2, 3)
    names = [name for name, _ in network.named_parameters()]

    def logits(x, *parameters):
        return torch.func.functional_call(network, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(logits, (x.requires_grad_(), *network.parameters()))


def cell(i, f, g, o, c):
    c = torch.tanh(g) * torch.sigmoid(i) + c * torch.sigmoid(f)
    return torch.tanh(c) * torch.sigmoid(o), c


def gates(network, x_t, h, bias=1):
    return (F.linear(x_t, network.weight_ih, bias * network.bias) + F.linear(h, network.weight_hh)).chunk(4, dim=1)


def from_gates(equations):
    """A step from what becomes of the gates' arguments i, f, g, o and of c(t−1)."""
    return lambda network, x_t, h, c: equations(*gates(network, x_t, h), c)


def forgetless(i, f, g, o, c):
    c = torch.tanh(g) * torch.sigmoid(i) + c
    return torch.tanh(c) * torch.sigmoid(o), c


def linear_output(i, f, g, o, c):
    _, c = cell(i, f, g, o, c)
    return c * torch.sigmoid(o), c


def output_before_tanh(i, f, g, o, c):
    _, c = cell(i, f, g, o, c)
    return torch.tanh(c * torch.sigmoid(o)), c


def coupled_gates(i, f, g, o, c):
    c = torch.tanh(g) * (1 - torch.sigmoid(f)) + c * torch.sigmoid(f)
    return torch.tanh(c) * torch.sigmoid(o), c


def late_memory(i, f, g, o, c):
    _, new = cell(i, f, g, o, c)
    return torch.tanh(c) * torch.sigmoid(o), new


def linear_candidate(i, f, g, o, c):
    c = g * torch.sigmoid(i) + c * torch.sigmoid(f)
    return torch.tanh(c) * torch.sigmoid(o), c


MUTANTS = {
    "i and f swapped": from_gates(lambda i, f, g, o, c: cell(f, i, g, o, c)),
    "order i, f, o, g": from_gates(lambda i, f, g, o, c: cell(i, f, o, g, c)),
    "order f, i, o, g": from_gates(lambda i, f, g, o, c: cell(f, i, o, g, c)),
    "c without the forget gate": from_gates(forgetless),
    "c without the past": from_gates(lambda i, f, g, o, c: cell(i, f, g, o, 0 * c)),
    "i and f coupled": from_gates(coupled_gates),
    "candidate without tanh": from_gates(linear_candidate),
    "h without tanh": from_gates(linear_output),
    "o before tanh": from_gates(output_before_tanh),
    "h from the old c": from_gates(late_memory),
    "h(t−1) ignored": lambda network, x_t, h, c: cell(*gates(network, x_t, 0 * h), c),
    "x(t) ignored": lambda network, x_t, h, c: cell(*gates(network, 0 * x_t, h), c),
    "bias ignored": lambda network, x_t, h, c: cell(*gates(network, x_t, h, bias=0), c),
    "bias added twice": lambda network, x_t, h, c: cell(*gates(network, x_t, h, bias=2), c),
}
MUTANTS_OF_THE_GRADIENT = {
    "h detached": lambda network, x_t, h, c: cell(*gates(network, x_t, h.detach()), c),
    "c detached": lambda network, x_t, h, c: cell(*gates(network, x_t, h), c.detach()),
    "bias detached": lambda network, x_t, h, c: cell(
        *(F.linear(x_t, network.weight_ih, network.bias.detach()) + F.linear(h, network.weight_hh)).chunk(4, 1), c
    ),
}


def mutated(step) -> tuple[LSTM, torch.Tensor]:
    network, x = case(3, 6, 2, 4)
    network.step = types.MethodType(step, network)
    return network, x


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_step_is_told_from_nn_lstm(name, differences_to):
    assert differences_to(nn.LSTM, *mutated(MUTANTS[name]))["logits"] > 1e-3


@pytest.mark.parametrize("name", MUTANTS_OF_THE_GRADIENT)
def test_a_broken_gradient_is_told_from_that_of_nn_lstm(name, differences_to):
    differences = differences_to(nn.LSTM, *mutated(MUTANTS_OF_THE_GRADIENT[name]))
    assert differences["logits"] < TOLERANCE
    assert max(differences.values()) > 1e-3


def test_the_unbroken_step_in_the_place_of_a_mutant_equals_nn_lstm(differences_to):
    assert max(differences_to(nn.LSTM, *mutated(from_gates(cell))).values()) < TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_forward_follows_its_dtype(dtype):
    network, x = case(2, 3, 1, 4)
    assert network.to(dtype)(x.to(dtype)).dtype == dtype


def test_sequences_of_a_batch_do_not_see_each_other():
    network, x = case(4, 6, 2, 5)
    alone = torch.cat([network(sequence.unsqueeze(0)) for sequence in x])
    assert torch.allclose(network(x), alone, rtol=0, atol=1e-12)


class Alive(TorchDispatchMode):
    """Watches every operation's result; `most` is how many of their storages lived at once."""

    def __init__(self):
        super().__init__()
        self.storages, self.most = {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.storages = {key: storage for key, storage in self.storages.items() if not storage.expired()}
        for tensor in result if isinstance(result, (list, tuple)) else [result]:
            if isinstance(tensor, torch.Tensor):
                storage = StorageWeakRef(tensor.untyped_storage())
                self.storages[storage.cdata] = storage
        self.most = max(self.most, len(self.storages))
        return result


def most_alive(length: int) -> int:
    network, x = case(2, length, 1, 4)
    with Alive() as alive:
        network(x)
    return alive.most


def test_without_gradients_memory_does_not_grow_with_length():
    with torch.no_grad():
        assert most_alive(60) == most_alive(10)
    assert most_alive(60) > most_alive(10) + 50  # with them it does: the count can see it


@pytest.mark.parametrize("length", [1, 2, 3, 10, 100_000])
def test_the_start_keeps_its_promises_at_every_length(length):
    torch.manual_seed(0)
    network = LSTM(2, 6, 3)
    network.reset_parameters(length)
    b_i, b_f, _, b_o = network.bias.detach().chunk(4)
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    assert torch.equal(b_i, -b_f)
    assert (b_f >= 0).all() and (b_f <= math.log(max(length - 1, 1)) + 1e-6).all()
    assert (b_o == 0).all()
    for weight in network.weight_hh.detach().chunk(4):
        assert torch.allclose(weight @ weight.T, torch.eye(6), atol=1e-5)


def test_the_units_memories_spread_evenly_up_to_the_length():
    torch.manual_seed(0)
    network = LSTM(1, 300, 1)
    network.reset_parameters(length=21)
    times = network.bias.detach()[300:600].exp()  # u = exp(b_f) ~ U(1, 20)
    assert times.mean().item() == pytest.approx(10.5, abs=1.5)
    assert times.std().item() == pytest.approx(19 / math.sqrt(12), abs=0.8)


def test_the_constructor_draws_every_parameter_from_the_seed():
    def drawn(seed):
        torch.manual_seed(seed)
        return LSTM(1, 4, 2).state_dict()

    assert all(torch.equal(a, b) for a, b in zip(drawn(0).values(), drawn(0).values(), strict=True))
    assert not any(torch.equal(a[:4], b[:4]) for a, b in zip(drawn(0).values(), drawn(1).values(), strict=True))
