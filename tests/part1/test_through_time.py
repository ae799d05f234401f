"""The LSTM's fast form: its memory is its own, whichever library does its products. (Its values: test_lstm.py.)"""

from contextlib import nullcontext

from common import products
from part1.lstm import LSTM

import pytest
import torch


def gradients(logits: torch.Tensor, network: LSTM, x: torch.Tensor, **options) -> list[torch.Tensor]:
    return list(torch.autograd.grad(logits.sin().sum(), [x, *network.parameters()], **options))


def results(network: LSTM, x: torch.Tensor) -> list[torch.Tensor]:
    """The logits, and the gradients of x and of every parameter."""
    logits = network(x.requires_grad_())
    return [logits.detach(), *gradients(logits, network, x)]


def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(a, b, strict=True))


@pytest.mark.parametrize("between", [nullcontext, torch.no_grad, torch.inference_mode])
def test_passes_alive_at_once_share_no_memory_and_go_back_more_than_once(between, case, spare):
    network, x = case(LSTM, 3, 10, 2, 5)
    inputs = [x, -x]
    one_by_one = [results(network, x) for x in inputs]
    logits = [network(x) for x in inputs]
    for index in (0, 1, 1, 0):
        found = gradients(logits[index], network, inputs[index], retain_graph=True)
        assert equal([logits[index], *found], one_by_one[index])
        for length in (3, 10, 30):  # evaluation within a training step
            spare.clear()
            with between():
                network(torch.ones(3, length, 2, dtype=x.dtype))
    # whoever keeps what was saved in another tensor keeps its memory
    with torch.autograd.graph.saved_tensors_hooks(torch.Tensor.detach, lambda tensor: tensor):
        logits = network(x)
    network(-x)
    assert equal([logits, *gradients(logits, network, x)], one_by_one[0])


def test_backward_leaves_the_gradient_it_is_given_as_it_was(case):
    network, x = case(LSTM, 1, 5, 2, 4)
    h, _ = network.read(x)
    given = torch.ones_like(h)
    h.backward(given)
    assert (given == 1).all()


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
    sizes = []
    for length in (10, 60):
        kept_alive = network.read(x[:, :length])  # h(T) and c(T) keep nothing else
        sizes.append(len(spare[0]))
    assert sizes[0] == sizes[1] < 60 * 2 * 4 * 8 and len(kept_alive) == 2  # bytes of h alone


def test_nothing_that_an_earlier_sequence_left_in_the_buffer_is_read(case, spare):
    network, x = case(LSTM, 3, 20, 2, 5)
    for dtype, length in [("float", 20), ("double", 20), ("double", 9), ("double", 1), ("float", 3), ("float", 17)]:
        network, part = getattr(network, dtype)(), getattr(x[:, :length], dtype)()
        nan = [buffer.fill_(255) for buffer in spare]  # in float32 and in float64
        spare.clear()
        expected = results(network, part)
        spare[:] = nan
        assert equal(results(network, part), expected)


@pytest.mark.parametrize("onednn", [True, False], ids=["oneDNN", "PyTorch"])
@pytest.mark.parametrize("given", [True, False])
def test_in_float32_too_whoever_does_the_products(given, onednn, case, monkeypatch):
    """oneDNN, or PyTorch's own, whatever is faster on this machine."""
    if onednn and not torch.backends.mkldnn.is_available():
        pytest.skip("PyTorch without oneDNN")
    monkeypatch.setattr(products, "ONEDNN", onednn)
    network, x = case(LSTM, 5, 12, 2, 16)
    state = tuple(torch.randn(5, 16, dtype=torch.float64) for _ in range(2)) if given else None
    exact = torch.autograd.grad(network.read(x, state)[0].sin().sum(), list(network.parameters())[:3])
    network, x, state = network.float(), x.float(), state and tuple(part.float() for part in state)
    found = torch.autograd.grad(network.read(x, state)[0].sin().sum(), list(network.parameters())[:3])
    assert all((a - b).abs().max() < 1e-4 * b.abs().max() for a, b in zip(found, exact, strict=True))
