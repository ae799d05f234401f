"""The LSTM by hand, plain and fast, against nn.LSTM, arithmetic, finite differences, each other, and broken LSTMs."""

import inspect
import math
import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from part1 import lstm
from part1.lstm import LSTM

TOLERANCE = 1e-11  # float64; values here are of order 1 to 100
SHAPES = [(1, 1, 1, 1), (1, 7, 1, 5), (4, 1, 3, 2), (3, 10, 10, 8), (5, 40, 1, 16), (2, 3, 4, 1)]
SHAPES += [(3, time, 2, 5) for time in (7, 8, 9, 16, 17)]  # around ThroughTime.CHUNK


@pytest.fixture(params=[True, False], ids=["plain", "fast"])
def either_form(request, monkeypatch):
    monkeypatch.setattr(LSTM, "plain", request.param)


@pytest.fixture(autouse=True)
def spare():
    lstm.SPARE.clear()
    return lstm.SPARE


def case(batch: int, time: int, input_dim: int, hidden_dim: int) -> tuple[LSTM, torch.Tensor]:
    """A float64 LSTM, all of its parameters random, and an input."""
    torch.manual_seed(batch + 10 * time)
    network = LSTM(input_dim, hidden_dim, 3).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.7)
    return network, torch.randn(batch, time, input_dim, dtype=torch.float64)


def gradients(logits: torch.Tensor, network: LSTM, x: torch.Tensor, **options) -> list[torch.Tensor]:
    return list(torch.autograd.grad(logits.sin().sum(), [x, *network.parameters()], **options))


def results(network: LSTM, x: torch.Tensor) -> list[torch.Tensor]:
    """The logits, and the gradients of x and of every parameter."""
    logits = network(x.requires_grad_())
    return [logits.detach(), *gradients(logits, network, x)]


def of_both_forms(network: LSTM, x: torch.Tensor):
    network.plain = True
    of_plain = results(network, x)
    network.plain = False
    return zip(results(network, x), of_plain, strict=True)


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(a, b, strict=True))


@pytest.mark.usefixtures("either_form")
@pytest.mark.parametrize("shape", SHAPES)
def test_logits_and_gradients_equal_those_of_nn_lstm(shape, differences_to):
    differences = differences_to(nn.LSTM, *case(*shape))
    assert all(difference < TOLERANCE for difference in differences.values()), differences


@pytest.mark.usefixtures("either_form")
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


@pytest.mark.usefixtures("either_form")
@pytest.mark.parametrize("time", [4, 9])
def test_gradients_equal_finite_differences(time):
    network, x = case(2, time, 2, 3)
    names = [name for name, _ in network.named_parameters()]

    def logits(x, *parameters):
        return torch.func.functional_call(network, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(logits, (x.requires_grad_(), *network.parameters()))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, TOLERANCE), (torch.float32, 1e-5)])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_fast_form_equals_the_plain_one(shape, dtype, tolerance):
    network, x = case(*shape)
    for fast, plain in of_both_forms(network.to(dtype), x.to(dtype)):
        assert (fast - plain).abs().max() < tolerance * max(1, plain.abs().max())


@pytest.mark.parametrize("chunk", [1, 3, 17, 100])
def test_the_size_of_a_chunk_does_not_matter(chunk, monkeypatch):
    monkeypatch.setattr(lstm.ThroughTime, "CHUNK", chunk)
    assert all((a - b).abs().max() < TOLERANCE for a, b in of_both_forms(*case(3, 17, 2, 5)))


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
    network.plain = True
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


MUTANTS_OF_THE_FAST_FORM = {
    "rows of g not doubled": ("W[2 * hidden : 3 * hidden] *= 2", "pass"),
    "g2 = 2s − 2": ("alpha=4", "alpha=2"),
    "g2 = 4s − 1": ("x.new_full((), -2.0)", "x.new_full((), -1.0)"),
    "tanh c = 2σ − 0.5": ("x.new_full((), -1.0)", "x.new_full((), -0.5)"),
    "tanh c = σ − 1": ("alpha=2,", "alpha=1,"),
    "no 1 for the bias": ("Z[:, -1] = 1", "Z[:, -1] = 0"),
    "h(0) and c(0) are 1": ("C[0] = Z[0, :hidden] = 0", "C[0] = Z[0, :hidden] = 1"),
    "f and i swapped": ("i, f, s, o = (each", "f, i, s, o = (each"),
    "G and C swapped": ("G, C, Y, U, Z = kept", "C, G, Y, U, Z = kept"),
    "4 for 8 on the way back": (" W[2 * hidden : 3 * hidden] *= 8", " W[2 * hidden : 3 * hidden] *= 4"),
    "4 for 8 in ∂W": ("dW[2 * hidden : 3 * hidden] *= 8", "dW[2 * hidden : 3 * hidden] *= 4"),
    "1 for 0.5": ("alpha=0.5", "alpha=1"),
    "∂c not through f": ("dc2 *= f[t]", "pass"),
    "∂c through i": ("_, f, _, o = (block", "f, _, _, o = (block"),
    "∂c forgotten": ("dc2.add_(", "dc2.zero_().add_("),
    "∂h forgotten": ("torch.mm(W_h.T, delta, out=dh)", "dh.zero_()"),
    "o for tanh c": ("torch.mul(dh, U[t], out=d_o)", "torch.mul(dh, o[t], out=d_o)"),
    "tanh c for o": ("torch.mul(dh, o[t], out=through_h)", "torch.mul(dh, U[t], out=through_h)"),
    "no derivative of tanh": ("tanh_backward(through_h, U[t], grad_input=through_h)", "through_h"),
    "no derivative of σ": ("sigmoid_backward(delta, Y[t], grad_input=delta)", "pass"),
    "a chunk of one step": ("start = max(end - ThroughTime.CHUNK, 0)", "start = end - 1"),
    "the first chunk left out": ("range(time, 0, -", "range(time, time % ThroughTime.CHUNK, -"),
    "every chunk with the first steps' z": ("Z[start:end]", "Z[: end - start]"),
    "∂x one step early": ("out=dx[t]", "out=dx[t - 1]"),
}


@pytest.mark.parametrize("name", MUTANTS_OF_THE_FAST_FORM)
def test_a_broken_fast_form_is_told_from_nn_lstm(name, monkeypatch, differences_to):
    def difference(source: str) -> float:
        namespace = dict(vars(lstm))
        exec(source, namespace)
        monkeypatch.setattr(lstm, "ThroughTime", namespace["ThroughTime"])
        return max(differences_to(nn.LSTM, *case(3, 10, 2, 4)).values())

    source, (piece, replacement) = inspect.getsource(lstm.ThroughTime), MUTANTS_OF_THE_FAST_FORM[name]
    assert source.count(piece) == 1
    assert difference(source) < TOLERANCE
    assert difference(source.replace(piece, replacement)) > 1e-3


@pytest.mark.usefixtures("either_form")
def test_passes_alive_at_once_share_no_memory_and_go_back_more_than_once():
    network, x = case(3, 10, 2, 5)
    inputs = [x, -x]
    one_by_one = [results(network, x)[1:] for x in inputs]
    logits = [network(x) for x in inputs]
    for index in (0, 1, 1, 0):
        assert same(gradients(logits[index], network, inputs[index], retain_graph=True), one_by_one[index])
        network(x)


@pytest.mark.usefixtures("either_form")
@pytest.mark.parametrize("keep", [torch.Tensor.detach, torch.Tensor.clone])
def test_whoever_keeps_what_was_saved_in_another_tensor_keeps_its_memory(keep):
    network, x = case(3, 10, 2, 5)
    expected = results(network, x)[1:]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(x)
    network(-x)
    assert same(gradients(logits, network, x), expected)


@pytest.mark.usefixtures("either_form")
@pytest.mark.parametrize("batch", [1, 3])
def test_backward_leaves_the_gradient_it_is_given_as_it_was(batch):
    network, x = case(batch, 5, 2, 4)
    network.fc = nn.Identity()
    h = network(x)
    given = torch.randn_like(h)
    before = given.clone()
    h.backward(given)
    assert torch.equal(given, before)


def test_the_buffer_comes_back_from_passes_with_and_without_backward_and_one_is_spared(spare):
    network, x = case(3, 10, 2, 5)
    passes = [network(x), network(x[:, :3]), network(x)]
    assert not spare
    while passes:
        passes.pop()
        assert len(spare) == 1
    (buffer,) = spare
    for length in (10, 4, 10):
        logits = network(x[:, :length])
        assert not spare
        logits.sum().backward()
        del logits
        assert len(spare) == 1 and spare[0] is buffer


def test_nothing_of_what_was_in_the_buffer_is_read(spare):
    network, x = case(3, 20, 2, 5)
    for dtype, length in [("float", 20), ("double", 20), ("double", 9), ("double", 1), ("float", 3), ("float", 17)]:
        network, part = getattr(network, dtype)(), getattr(x[:, :length], dtype)()
        before = [buffer.fill_(255) for buffer in spare]  # nan, in float32 and in float64
        spare.clear()
        expected = results(network, part)
        spare[:] = before
        assert same(results(network, part), expected)
        assert len(spare) == 1


@pytest.mark.usefixtures("either_form")
@pytest.mark.parametrize("length", [3, 10, 30])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_evaluation_before_and_within_a_training_step_leaves_its_gradients(mode, length, spare):
    network, x = case(3, 10, 2, 5)
    expected = results(network, x)[1:]
    spare.clear()
    with mode():
        network(torch.ones(3, length, 2, dtype=x.dtype))
    logits = network(x)
    with mode():
        network(torch.ones(3, length, 2, dtype=x.dtype))
    assert same(gradients(logits, network, x), expected)


def test_gradients_of_gradients_need_the_plain_form():
    network, x = case(2, 3, 1, 2)
    (dx, *_) = gradients(network(x.requires_grad_()), network, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dx.sum().backward()
    network.plain = True
    assert torch.autograd.gradgradcheck(network, x)


def test_under_autocast_the_plain_form_serves():
    network, x = case(3, 10, 2, 5)
    with torch.autocast("cpu", torch.bfloat16):
        pairs = list(of_both_forms(network.float(), x.float()))
    assert pairs[0][0].dtype == torch.bfloat16
    assert all(torch.equal(*pair) for pair in pairs)


@pytest.mark.usefixtures("either_form")
def test_the_gradient_of_x_is_computed_only_if_it_is_asked_for():
    network, x = case(3, 10, 2, 5)
    operations = []
    for wanted in (False, True):
        with FlopCounterMode(display=False) as counter:
            network(x.requires_grad_(wanted)).sum().backward()
        operations.append(counter.get_total_flops())
        assert (x.grad is not None) == wanted
    assert operations[1] - operations[0] == 10 * 2 * (3 * 4 * 5 * 2)


@pytest.mark.usefixtures("either_form")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_forward_follows_its_dtype(dtype):
    network, x = case(2, 3, 1, 4)
    assert network.to(dtype)(x.to(dtype)).dtype == dtype


@pytest.mark.usefixtures("either_form")
def test_sequences_of_a_batch_do_not_see_each_other():
    network, x = case(4, 6, 2, 5)
    alone = torch.cat([network(sequence.unsqueeze(0)) for sequence in x])
    assert torch.allclose(network(x), alone, rtol=0, atol=1e-12)


class Alive(TorchDispatchMode):
    """Watches every operation's result; `most` is how many bytes of their storages lived at once."""

    def __init__(self):
        super().__init__()
        self.storages, self.most = {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.storages = {key: storage for key, storage in self.storages.items() if not storage[0].expired()}
        for tensor in result if isinstance(result, (list, tuple)) else [result]:
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self.storages[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.most = max(self.most, sum(size for _, size in self.storages.values()))
        return result


def most_alive(length: int) -> int:
    network, x = case(2, 1, 1, 4)
    lstm.SPARE.clear()
    with Alive() as alive:
        network(x.expand(-1, length, -1))
    return alive.most


@pytest.mark.usefixtures("either_form")
def test_without_gradients_memory_does_not_grow_with_length():
    with torch.no_grad():
        assert most_alive(60) == most_alive(10)
    assert most_alive(60) > 3 * most_alive(10)  # with them it does: the count can see it


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
