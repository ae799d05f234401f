"""The LSTM's fast form: its memory is its own, whichever library does its products. (Its values: test_lstm.py.)"""

from contextlib import nullcontext

from common import products
from part1.lstm import LSTM

import pytest
import torch
from torch import nn


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


either_library = pytest.mark.parametrize("onednn", [True, False], ids=["oneDNN", "PyTorch"])


@pytest.fixture
def use(monkeypatch):
    """use(onednn): the products of this test are oneDNN's, or PyTorch's own, whatever is faster on this machine."""

    def choose(onednn: bool) -> None:
        if onednn and not torch.backends.mkldnn.is_available():
            pytest.skip("PyTorch without oneDNN")
        monkeypatch.setattr(products, "ONEDNN", onednn)

    return choose


@either_library
@pytest.mark.parametrize("given", [True, False])
def test_in_float32_too_whoever_does_the_products(given, onednn, case, use):
    network, x = case(LSTM, 5, 12, 2, 16)
    state = tuple(torch.randn(5, 16, dtype=torch.float64) for _ in range(2)) if given else None
    exact = torch.autograd.grad(network.read(x, state)[0].sin().sum(), list(network.parameters())[:3])
    network, x, state = network.float(), x.float(), state and tuple(part.float() for part in state)
    use(onednn)
    found = torch.autograd.grad(network.read(x, state)[0].sin().sum(), list(network.parameters())[:3])
    assert all((a - b).abs().max() < 1e-4 * b.abs().max() for a, b in zip(found, exact, strict=True))


@either_library
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 5, 2), (64, 130, 257), (3, 0, 4)], ids=str)
def test_products_of_matrices_however_they_lie(sizes, onednn, use):
    use(onednn)
    n, inner, m = sizes
    torch.manual_seed(0)
    for A in (torch.randn(n, inner), torch.randn(inner, n).T, torch.randn(n + 3, inner)[2:-1]):
        multiply, add_product = products.products_for(A)
        for B in (torch.randn(inner, m), torch.randn(m, inner).T, torch.randn(inner, m + 3)[:, 2:-1]):
            exact, total = A.double() @ B.double(), torch.randn(n, m + 2)
            before = total.clone()
            add_product(total[:, 1:-1], A, B)
            assert torch.allclose(total[:, 1:-1].double(), before[:, 1:-1] + exact, rtol=1e-5, atol=1e-4)
            assert torch.equal(total[:, :: m + 1], before[:, :: m + 1])  # beside it nothing has changed
            found = multiply(A, B, out=torch.empty(n, m))
            assert found.dtype == torch.float32 and torch.allclose(found.double(), exact, rtol=1e-5, atol=1e-4)
