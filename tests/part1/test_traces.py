"""What an LSTM does step by step: what is traced is what it computes, and how far a unit is explained."""

import itertools

from part1.lstm import LSTM
from part1.networks.by_name import NETWORKS
from part1.networks.traces import explained, sensitivity, trace
from part1.palindromes import ENCODINGS, encode

import pytest
import torch


def network(encoding: str = "scaled", kind: type = LSTM) -> torch.nn.Module:
    """A network, if not another kind an LSTM, whose gates open and shut."""
    torch.manual_seed(0)
    network = kind(ENCODINGS[encoding], 6, 10)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network


def some(n: int, length: int) -> torch.Tensor:
    return torch.randint(10, (n, length), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("encoding", ["scaled", "one_hot"])
def test_the_trace_follows_the_equations_and_is_the_network_s_own_answer_at_each_step(encoding):
    lstm, x = network(encoding), encode(some(5, 9), encoding)
    traced = trace(lstm, x)
    h = c = torch.zeros(5, 6)
    for t in range(9):
        a_i, a_f, a_g, a_o = (x[:, t] @ lstm.weight_ih.T + h @ lstm.weight_hh.T + lstm.bias).chunk(4, dim=1)
        i, f, o = (a.sigmoid() for a in (a_i, a_f, a_o))
        c = a_g.tanh() * i + c * f
        h = c.tanh() * o
        for name, value in {"i": i, "f": f, "o": o, "c": c, "h": h}.items():
            assert torch.allclose(traced[name][t], value, rtol=0, atol=1e-5), f"{name}({t + 1})"
        assert torch.allclose(lstm.fc(traced["h"][t]), lstm(x[:, : t + 1]), rtol=0, atol=1e-5)
    part = trace(lstm, x, [1, 4, 9])
    assert all(torch.equal(part[name], traced[name][[0, 3, 8]]) for name in "ifoch")


@pytest.mark.parametrize("kind", NETWORKS.values(), ids=NETWORKS)
def test_the_answer_depends_on_each_digit_as_much_as_it_changes_with_it(kind):
    """The derivative by its definition, in float64."""
    net, x, small = network("one_hot", kind), encode(some(1, 5), "one_hot"), 1e-6
    found = sensitivity(net, x)
    assert all(parameter.dtype == torch.float32 for parameter in net.parameters())  # the network is left as it was
    net, x = net.double(), x.double()
    answer, slopes = net(x).argmax(), torch.zeros(5, 10)
    for t, k in itertools.product(range(5), range(10)):
        step = torch.zeros_like(x)
        step[0, t, k] = small
        slopes[t, k] = (net(x + step) - net(x - step))[0, answer].item() / (2 * small)
    assert slopes.norm(dim=1).tolist() == pytest.approx(found.tolist(), rel=1e-5, abs=1e-8)


def test_a_unit_is_explained_by_the_first_digit_as_far_as_it_depends_on_it():
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(10, (20_000,), generator=generator)
    of_the_digit = torch.randn(10, generator=generator)[first]
    of_the_digit = (of_the_digit - of_the_digit.mean()) / of_the_digit.std()
    noise, more = torch.randn(2, 20_000, generator=generator)
    units = [of_the_digit, -3 * of_the_digit + 100, noise, of_the_digit + noise, of_the_digit + 2 * more, 0 * noise]
    shares = explained(torch.stack(units, dim=1), first).tolist()
    assert shares == pytest.approx([1, 1, 0, 1 / 2, 1 / 5, 0], abs=0.02)
    assert shares[:2] == pytest.approx([1, 1], abs=1e-3) and shares[2] < 0.003  # nine means of noise: 0.00045
    few = explained(torch.tensor([[1.0, 1.0], [1.0, 5.0], [2.0, 1.0], [2.0, 5.0]]), torch.tensor([3, 3, 8, 8]))
    assert few.tolist() == [1, 0]  # where the other digits never come first
