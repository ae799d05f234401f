"""Products by oneDNN: what PyTorch's own give to rounding, derivatives of every order, and when PyTorch's own serve."""

import itertools
from unittest.mock import Mock

from common import products
from common.products import FastLinear, Linear, products_for

import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def onednn(request, monkeypatch) -> Mock:
    """As on an AMD processor, or, if a test asks for `onednn` with False, as on another one. Counts oneDNN's calls."""
    wanted = getattr(request, "param", True)
    if wanted and not torch.backends.mkldnn.is_available():
        pytest.skip("PyTorch without oneDNN")
    monkeypatch.setattr(products, "ONEDNN", wanted)
    calls = Mock(wraps=products._by_onednn, wanted=wanted)
    monkeypatch.setattr(products, "_by_onednn", calls)
    return calls


LAYOUTS = {
    "whole": lambda rows, columns: torch.randn(rows, columns),
    "transposed": lambda rows, columns: torch.randn(columns, rows).T,
    "part of the columns": lambda rows, columns: torch.randn(rows, columns + 3)[:, 2:-1],
    "one row over and over": lambda rows, columns: torch.randn(1, columns).expand(rows, columns),
}


@pytest.mark.parametrize("onednn", [True, False], ids=["oneDNN", "PyTorch's"], indirect=True)
def test_the_product_of_matrices_however_they_lie_alone_and_added(onednn):
    sizes = [(1, 1, 1), (3, 5, 2), (64, 130, 257), (0, 4, 3), (3, 0, 4)]
    for (n, n_in, n_out), A, B in itertools.product(sizes, LAYOUTS, LAYOUTS):
        torch.manual_seed(0)
        a, b, total = LAYOUTS[A](n, n_in), LAYOUTS[B](n_in, n_out), torch.randn(n, n_out)
        exact, before = a.double() @ b.double(), total.double()
        mm, addmm_ = products_for(a)
        onednn.reset_mock()
        found = mm(a, b, out=torch.empty(n, n_out))
        assert onednn.called == (onednn.wanted and a.numel() > 0) and found.dtype == torch.float32
        addmm_(total, a, b)
        for ours, theirs in [(found, exact), (total, before + exact)]:
            assert ours.shape == (n, n_out) and torch.allclose(ours.double(), theirs, rtol=1e-5, atol=1e-4), (A, B)


def derivatives(linear: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The output, its gradients, and the gradients of the gradients' size, of a layer between two bends."""
    x = x.clone().requires_grad_()
    y = linear(x.sin()).sin()
    inputs = [x, *linear.parameters()]
    first = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
    return [y, *first, *torch.autograd.grad(sum(part.square().sum() for part in first), inputs)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-4)])
def test_a_layer_is_nn_linear_to_the_second_derivative(dtype, tolerance):
    for shape, bias in itertools.product([(4, 6), (0, 6), (6,), (2, 3, 6)], [True, False]):
        torch.manual_seed(0)
        ours, theirs = FastLinear(6, 5, bias=bias).to(dtype), nn.Linear(6, 5, bias=bias).double()
        theirs.load_state_dict(ours.state_dict())
        x = torch.randn(shape, dtype=dtype)
        for a, b in zip(derivatives(ours, x), derivatives(theirs, x.double()), strict=True):
            assert a.shape == b.shape and torch.allclose(a.double(), b, rtol=0, atol=tolerance), shape


def test_onednn_serves_float32_forward_and_back_and_pytorch_s_own_all_else(onednn, monkeypatch):
    network, x = FastLinear(6, 5), torch.randn(4, 6, requires_grad=True)
    y = network(x)
    assert onednn.call_count == 1
    y.sum().backward()
    assert onednn.call_count == 3
    with torch.autocast("cpu", torch.bfloat16):
        assert network(x).dtype == torch.bfloat16
    FastLinear(6, 5).double()(x.double())
    for where, name in [(torch.backends.mkldnn, "enabled"), (products, "ONEDNN")]:
        with monkeypatch.context() as patch:
            patch.setattr(where, name, False)
            network(x)
    assert onednn.call_count == 3


def test_a_layer_can_be_transformed_compiled_and_exported():
    torch.manual_seed(0)
    network, x = FastLinear(6, 5), torch.randn(4, 6)
    y = network(x)
    assert FastLinear(6, 5).to("meta")(x.to("meta")).shape == y.shape
    _, forward_mode = torch.func.jvp(network, (x,), (x,))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.unpack_dual(network(torch.autograd.forward_ad.make_dual(x, x)))
    units = torch.eye(20).view(20, 4, 5)
    given = x.clone().requires_grad_()
    (batched,) = torch.autograd.grad(network(given), given, units, is_grads_batched=True)
    pairs = [(torch.func.vmap(torch.func.jacrev(network))(x), network.weight.expand(4, 5, 6))]
    pairs += [(torch.compile(network, backend="aot_eager", fullgraph=True)(x), y)]
    pairs += [(torch.export.export(network, (x,)).module()(x), y)]
    pairs += [(tangent, x @ network.weight.T) for tangent in (forward_mode, dual.tangent)]
    pairs += [(batched, units @ network.weight)]
    assert all(torch.allclose(found, expected, atol=1e-6) for found, expected in pairs)


class Foreign(torch.Tensor):
    """A tensor that holds another one, as a quantised weight does; oneDNN's operation is unknown to it."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    def __init__(self, inner: torch.Tensor):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        assert "mkldnn" not in str(operation)
        return operation(*(x.inner if isinstance(x, Foreign) else x for x in args), **(kwargs or {}))


W, B = torch.arange(15.0).view(5, 3).sin(), torch.arange(10.0).cos()
FOR_ONEDNN = [(W, None), (W[:1].expand(5, 3), B[:5]), (W.view(3, 5).T, B[:5]), (torch.ones(5, 7)[:, 1:6:2], B[:5])]
ODD = [(W, b) for b in (B[::2], B.view(5, 2)[:, 1], B[:1].expand(5), B[:1], B[None, :5], B[0], B[:6], B[:0])]
ODD += [(W, b) for b in (B[:5].double(), B[:5].to("meta"), Foreign(B[:5]), torch._efficientzerotensor(5))]
ODD += [(w, B[:5]) for w in (W[0], W.double(), W.to_sparse(), Foreign(W), W[:, :0])]
ODD += [(W[0], None), (W[:0], B[:0]), (W.double(), B[:5].double())]


@pytest.mark.parametrize(("weight", "bias"), FOR_ONEDNN + ODD)
def test_whatever_takes_the_place_of_weight_and_bias_the_result_is_nn_linear_s_or_an_error(weight, bias, onednn):
    """oneDNN reads a bias without a look at how it lies: beyond its end, say."""

    def result(kind: type[nn.Linear], needs_gradient: bool) -> torch.Tensor | None:
        x = torch.linspace(-1, 1, 12).view(4, 3).requires_grad_(needs_gradient)
        given = {name: tensor for name, tensor in (("weight", weight), ("bias", bias)) if tensor is not None}
        try:
            return torch.func.functional_call(kind(3, 5, bias=bias is not None), given, (x,))
        except RuntimeError:
            return None

    for needs_gradient in (True, False):
        ours, theirs = (result(kind, needs_gradient) for kind in (FastLinear, nn.Linear))
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs)
    assert onednn.called == any(weight is w and bias is b for w, b in FOR_ONEDNN)


@pytest.mark.filterwarnings("ignore")  # PyTorch calls its own way deprecated
def test_a_layer_can_be_quantised_once_it_is_called_what_it_is():
    network, x = nn.Sequential(FastLinear(6, 5)), torch.randn(4, 6)
    y = network(x)
    network[0].__class__ = nn.Linear
    quantised = torch.ao.quantization.quantize_dynamic(network, {nn.Linear})
    assert not isinstance(quantised[0], nn.Linear) and torch.allclose(quantised(x), y, atol=0.1)


def test_the_processor_decides():
    amd = "AuthenticAMD" in products.CPU and torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()
    assert Linear is (FastLinear if amd else nn.Linear)
