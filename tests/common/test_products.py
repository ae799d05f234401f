"""Products by oneDNN: what PyTorch's own give to rounding, derivatives of every order, and when PyTorch's own serve."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from common import products
from common.products import Linear, Product, product

if_brought_along = pytest.mark.skipif(not products.BROUGHT_ALONG, reason="PyTorch without oneDNN and MKL")


class Called(TorchDispatchMode):
    """The names of the operations that are called."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.name().split(".")[0])
        return function(*args, **(kwargs or {}))

    def onednn(self) -> bool:
        return "mkldnn::_linear_pointwise" in self.names


LAYOUTS = {
    "whole": lambda rows, columns: torch.randn(rows, columns),
    "transposed": lambda rows, columns: torch.randn(columns, rows).T,
    "part of the columns": lambda rows, columns: torch.randn(rows, columns + 3)[:, 2:-1],
    "part of the rows, transposed": lambda rows, columns: torch.randn(columns + 3, rows)[2:-1].T,
    "every other column": lambda rows, columns: torch.randn(rows, 2 * columns)[:, ::2],
    "one row over and over": lambda rows, columns: torch.randn(1, columns).expand(rows, columns),
}


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 5, 2), (64, 130, 257), (0, 4, 3), (3, 0, 4)], ids=str)
@pytest.mark.parametrize("weight", LAYOUTS)
@pytest.mark.parametrize("x", LAYOUTS)
def test_the_product_of_matrices_however_they_lie(x, weight, sizes):
    n, n_in, n_out = sizes
    torch.manual_seed(0)
    x, weight, bias = LAYOUTS[x](n, n_in), LAYOUTS[weight](n_out, n_in), torch.randn(n_out)
    for b in (None, bias):
        exact = F.linear(x.double(), weight.double(), None if b is None else b.double())
        found = product(x, weight, b)
        assert found.dtype == torch.float32 and found.shape == (n, n_out)
        assert torch.allclose(found.double(), exact, rtol=1e-5, atol=1e-4)


def derivatives(linear: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The output, its gradients, and the gradients of the gradients' size, of a layer between two bends."""
    x = x.clone().requires_grad_()
    y = linear(x.sin()).sin()
    inputs = [x, *linear.parameters()]
    first = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
    second = torch.autograd.grad(sum(part.square().sum() for part in first), inputs)
    return [y, *first, *second]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-4)])
def test_a_layer_is_nn_linear_to_the_second_derivative(dtype, tolerance, bias):
    torch.manual_seed(0)
    ours, theirs = Linear(6, 5, bias=bias).to(dtype), nn.Linear(6, 5, bias=bias).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 6, dtype=dtype)
    for a, b in zip(derivatives(ours, x), derivatives(theirs, x.double()), strict=True):
        assert a.shape == b.shape and (a - b).abs().max() < tolerance


def test_only_the_gradients_that_are_asked_for_are_computed():
    x, weight, bias = torch.randn(4, 6), torch.randn(5, 6, requires_grad=True), torch.randn(5, requires_grad=True)
    for needed in ({weight}, {bias}, {weight, bias}):
        for parameter in (weight, bias):
            parameter.requires_grad_(parameter in needed).grad = None
        y = Product.apply(x, weight, bias)
        with Called() as called:
            y.sum().backward()
        assert {p for p in (weight, bias) if p.grad is not None} == needed
        assert bool(called.names & {"mkldnn::_linear_pointwise", "aten::mm"}) == (weight in needed)


@pytest.mark.parametrize("shape", [(0, 6), (6,), (2, 3, 6)], ids=str)
def test_an_empty_batch_and_other_shapes_are_taken_as_nn_linear_takes_them(shape):
    torch.manual_seed(0)
    ours, theirs = Linear(6, 5), nn.Linear(6, 5)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(shape)
    for a, b in zip(derivatives(ours, x), derivatives(theirs, x), strict=True):
        assert a.shape == b.shape and torch.allclose(a, b, atol=1e-5)


@if_brought_along
def test_onednn_serves_float32_forward_and_back_and_pytorch_s_own_all_else(monkeypatch):
    network, x = Linear(6, 5), torch.randn(4, 6)
    with Called() as forward:
        y = network(x)
    with Called() as backward:
        y.sum().backward()
    assert forward.onednn() and backward.onednn() and "aten::mm" not in forward.names | backward.names
    with Called() as called:
        with torch.autocast("cpu", torch.bfloat16):
            assert network(x).dtype == torch.bfloat16
        Linear(6, 5).double()(x.double())
        monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
        network(x)
    assert not called.onednn()


def test_a_layer_can_be_transformed_and_compiled():
    torch.manual_seed(0)
    network, x = Linear(6, 5), torch.randn(4, 6)
    rows = torch.func.vmap(torch.func.jacrev(network))(x)
    assert torch.allclose(rows, network.weight.expand(4, 5, 6), atol=1e-6)
    assert torch.allclose(torch.compile(network, backend="aot_eager", fullgraph=True)(x), network(x), atol=1e-6)
    with torch.autograd.forward_ad.dual_level():
        forward = torch.autograd.forward_ad.unpack_dual(network(torch.autograd.forward_ad.make_dual(x, x))).tangent
    assert torch.allclose(forward, x @ network.weight.T, atol=1e-6)
    assert Linear(6, 5).to("meta")(x.to("meta")).shape == (4, 5)
    y = network(x.requires_grad_())
    (batched,) = torch.autograd.grad(y, x, torch.eye(20).view(20, 4, 5), is_grads_batched=True, retain_graph=True)
    one_by_one = [torch.autograd.grad(y, x, row.view(4, 5), retain_graph=True)[0] for row in torch.eye(20)]
    assert torch.allclose(batched, torch.stack(one_by_one), atol=1e-6)
