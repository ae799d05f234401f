"""The LSTM's fast form: every operation of it is held by nn.LSTM, its memory is its own."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from part1.lstm import LSTM
from part1.networks import to_torch
from part1.through_time import ThroughTime


def gradients(logits: torch.Tensor, network: LSTM, x: torch.Tensor, **options) -> list[torch.Tensor]:
    return list(torch.autograd.grad(logits.sin().sum(), [x, *network.parameters()], **options))


def results(network: LSTM, x: torch.Tensor) -> list[torch.Tensor]:
    """The logits, and the gradients of x and of every parameter."""
    logits = network(x.requires_grad_())
    return [logits.detach(), *gradients(logits, network, x)]


def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(a, b, strict=True))


class Mistake(TorchDispatchMode):
    """Counts the arithmetic operations, and spoils the result of one."""

    def __init__(self):
        super().__init__()
        self.spoil, self.which, self.count = None, None, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if torch.Tag.pointwise in function.tags or "mm" in function.name():
            if self.count == self.which:
                self.spoil(result)
            self.count += 1
        return result


def difference_to_nn_lstm(network: LSTM, x: torch.Tensor) -> float:
    """The greatest difference of h(T), c(T) and of every gradient, h(0) and c(0) given."""
    core, generator = to_torch(network), torch.Generator().manual_seed(1)
    state = [torch.randn(len(x), network.hidden_dim, dtype=x.dtype, generator=generator) for _ in range(2)]
    given = [tensor.requires_grad_() for tensor in (x, *state)]
    ours = network.read(x, tuple(state))
    theirs = [part[0] for part in core(x, tuple(part.unsqueeze(0) for part in state))[1]]
    weights = [network.weight_ih, network.weight_hh, network.bias]
    of_ours = torch.autograd.grad(sum(part.sin().sum() for part in ours), given + weights)
    weights = [core.weight_ih_l0, core.weight_hh_l0, core.bias_ih_l0]
    of_theirs = torch.autograd.grad(sum(part.sin().sum() for part in theirs), given + weights)
    return max((a - b).abs().max().item() for a, b in zip((*ours, *of_ours), (*theirs, *of_theirs), strict=True))


MISTAKES = {"sign": torch.neg_, "factor": lambda result: result.mul_(2), "missing term": torch.zero_}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_any_single_operation_is_told_from_nn_lstm(mistake, case, monkeypatch):
    """Forward and backward."""
    time, mode = 3, Mistake()

    def watched(function):
        def call(*args):
            with mode:
                return function(*args)

        return staticmethod(call)

    for name in ("forward", "backward"):
        monkeypatch.setattr(ThroughTime, name, watched(getattr(ThroughTime, name)))
    network, x = case(LSTM, 3, time, 2, 4)
    assert difference_to_nn_lstm(network, x) < 1e-11
    operations = mode.count
    assert operations > 16 * time
    mode.spoil = MISTAKES[mistake]
    for mode.which in range(operations):
        mode.count = 0
        assert difference_to_nn_lstm(network, x) > 1e-4, mode.which


def test_the_gradient_of_x_is_computed_only_if_it_is_asked_for(case):
    network, x = case(LSTM, 3, 10, 2, 5)
    operations = []
    for wanted in (False, True):
        with FlopCounterMode(display=False) as counter:
            network(x.requires_grad_(wanted)).sum().backward()
        operations.append(counter.get_total_flops())
        assert (x.grad is not None) == wanted
    assert operations[1] - operations[0] == 10 * 2 * (3 * 4 * 5 * 2)


def test_passes_alive_at_once_share_no_memory_and_go_back_more_than_once(case):
    network, x = case(LSTM, 3, 10, 2, 5)
    inputs = [x, -x]
    one_by_one = [results(network, x)[1:] for x in inputs]
    logits = [network(x) for x in inputs]
    for index in (0, 1, 1, 0):
        assert equal(gradients(logits[index], network, inputs[index], retain_graph=True), one_by_one[index])
        network(x)
    # whoever keeps what was saved in another tensor keeps its memory
    with torch.autograd.graph.saved_tensors_hooks(torch.Tensor.detach, lambda tensor: tensor):
        logits = network(x)
    network(-x)
    assert equal(gradients(logits, network, x), one_by_one[0])


@pytest.mark.parametrize("batch", [1, 3])
def test_backward_leaves_the_gradient_it_is_given_as_it_was(batch, case):
    network, x = case(LSTM, batch, 5, 2, 4)
    network.fc = nn.Identity()
    h = network(x)
    given = torch.randn_like(h)
    before = given.clone()
    h.backward(given)
    assert torch.equal(given, before)


def test_one_buffer_serves_again_for_every_sequence_that_fits(case, spare):
    network, x = case(LSTM, 3, 10, 2, 5)
    passes = [network(x), network(x[:, :3]), network(x)]  # alive at once: each has memory of its own
    assert not spare
    passes.clear()
    (buffer,) = spare
    for length in (10, 4, 10):
        logits = network(x[:, :length])
        assert not spare
        logits.sum().backward()
        del logits
        assert len(spare) == 1 and spare[0] is buffer


@torch.no_grad()
def test_without_gradients_memory_does_not_grow_with_length(case, spare):
    network, x = case(LSTM, 2, 60, 1, 4)
    network.fc = nn.Identity()
    answers, sizes = [], []
    for length in (10, 60):
        answers.append(network(x[:, :length]))  # h(T) alive keeps nothing else
        sizes.append(len(spare[0]))
    assert sizes[0] == sizes[1] < 60 * 2 * 4 * 8  # bytes of h alone


def test_nothing_that_an_earlier_sequence_left_in_the_buffer_is_read(case, spare):
    network, x = case(LSTM, 3, 20, 2, 5)
    for dtype, length in [("float", 20), ("double", 20), ("double", 9), ("double", 1), ("float", 3), ("float", 17)]:
        network, part = getattr(network, dtype)(), getattr(x[:, :length], dtype)()
        nan = [buffer.fill_(255) for buffer in spare]  # in float32 and in float64
        spare.clear()
        expected = results(network, part)
        spare[:] = nan
        assert equal(results(network, part), expected)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_evaluation_before_and_within_a_training_step_leaves_its_gradients(mode, case, spare):
    network, x = case(LSTM, 3, 10, 2, 5)
    logits, *expected = results(network, x)
    for length in (3, 10, 30):
        spare.clear()
        with mode():
            assert torch.equal(network(x), logits)
            network(torch.ones(3, length, 2, dtype=x.dtype))
        again = network(x)
        with mode():
            network(torch.ones(3, length, 2, dtype=x.dtype))
        assert equal(gradients(again, network, x), expected)


@pytest.mark.parametrize("given", [True, False])
def test_in_float32_too_whoever_does_the_products(given, case, monkeypatch):
    network, x = case(LSTM, 5, 12, 2, 16)
    state = tuple(torch.randn(5, 16, dtype=torch.float64) for _ in range(2)) if given else None
    exact = torch.autograd.grad(network.read(x, state)[0].sin().sum(), list(network.parameters())[:3])
    network, x, state = network.float(), x.float(), state and tuple(part.float() for part in state)
    for enabled in (True, False):
        monkeypatch.setattr(torch.backends.mkldnn, "enabled", enabled)
        found = torch.autograd.grad(network.read(x, state)[0].sin().sum(), list(network.parameters())[:3])
        assert all((a - b).abs().max() < 1e-4 * b.abs().max() for a, b in zip(found, exact, strict=True))
