"""Products by oneDNN: what PyTorch's own give to rounding, derivatives of every order, and when PyTorch's own serve."""

from common import products
from common.products import FastLinear, Linear, products_for

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


@pytest.fixture(autouse=True)
def onednn(request, monkeypatch):
    """As on an AMD processor, or, if a test asks for `onednn` with False, as on another one."""
    wanted = getattr(request, "param", True)
    if wanted and not torch.backends.mkldnn.is_available():
        pytest.skip("PyTorch without oneDNN")
    monkeypatch.setattr(products, "ONEDNN", wanted)
    return wanted


both_libraries = pytest.mark.parametrize("onednn", [True, False], ids=["oneDNN", "PyTorch's"], indirect=True)


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
    "one row over and over": lambda rows, columns: torch.randn(1, columns).expand(rows, columns),
}


@both_libraries
@pytest.mark.parametrize("A", LAYOUTS)
@pytest.mark.parametrize("B", LAYOUTS)
def test_the_product_of_matrices_however_they_lie_alone_and_added(A, B, onednn):
    for n, n_in, n_out in [(1, 1, 1), (3, 5, 2), (64, 130, 257), (0, 4, 3), (3, 0, 4)]:
        torch.manual_seed(0)
        a, b, total = LAYOUTS[A](n, n_in), LAYOUTS[B](n_in, n_out), torch.randn(n, n_out)
        exact, before = a.double() @ b.double(), total.double()
        mm, addmm_ = products_for(a)
        with Called() as called:
            found = mm(a, b, out=torch.empty(n, n_out))
        assert called.onednn() == (onednn and a.numel() > 0) and found.dtype == torch.float32
        addmm_(total, a, b)
        for ours, theirs in [(found, exact), (total, before + exact)]:
            assert ours.shape == (n, n_out) and torch.allclose(ours.double(), theirs, rtol=1e-5, atol=1e-4)


def derivatives(linear: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The output, its gradients, and the gradients of the gradients' size, of a layer between two bends."""
    x = x.clone().requires_grad_()
    y = linear(x.sin()).sin()
    inputs = [x, *linear.parameters()]
    first = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
    second = torch.autograd.grad(sum(part.square().sum() for part in first), inputs)
    return [y, *first, *second]


@pytest.mark.parametrize("shape", [(4, 6), (0, 6), (6,), (2, 3, 6)], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-4)])
def test_a_layer_is_nn_linear_to_the_second_derivative(dtype, tolerance, shape):
    torch.manual_seed(0)
    for bias in (True, False):
        ours, theirs = FastLinear(6, 5, bias=bias).to(dtype), nn.Linear(6, 5, bias=bias).double()
        theirs.load_state_dict(ours.state_dict())
        x = torch.randn(shape, dtype=dtype)
        for a, b in zip(derivatives(ours, x), derivatives(theirs, x.double()), strict=True):
            assert a.shape == b.shape and torch.allclose(a.double(), b, rtol=0, atol=tolerance)


def test_onednn_serves_float32_forward_and_back_and_pytorch_s_own_all_else(monkeypatch):
    network, x = FastLinear(6, 5), torch.randn(4, 6)
    with Called() as forward:
        y = network(x)
    with Called() as backward:
        y.sum().backward()
    assert forward.onednn() and backward.onednn() and "aten::mm" not in forward.names | backward.names
    with Called() as called:
        with torch.autocast("cpu", torch.bfloat16):
            assert network(x).dtype == torch.bfloat16
        FastLinear(6, 5).double()(x.double())
        for where, name in [(torch.backends.mkldnn, "enabled"), (products, "ONEDNN")]:
            with monkeypatch.context() as patch:
                patch.setattr(where, name, False)
                network(x)
    assert not called.onednn()


def test_a_layer_can_be_transformed_compiled_and_exported():
    torch.manual_seed(0)
    network, x = FastLinear(6, 5), torch.randn(4, 6)
    rows = torch.func.vmap(torch.func.jacrev(network))(x)
    assert torch.allclose(rows, network.weight.expand(4, 5, 6), atol=1e-6)
    assert torch.allclose(torch.compile(network, backend="aot_eager", fullgraph=True)(x), network(x), atol=1e-6)
    assert torch.allclose(torch.export.export(network, (x,)).module()(x), network(x), atol=1e-6)
    with torch.autograd.forward_ad.dual_level():
        forward = torch.autograd.forward_ad.unpack_dual(network(torch.autograd.forward_ad.make_dual(x, x))).tangent
    assert torch.allclose(forward, x @ network.weight.T, atol=1e-6)
    assert FastLinear(6, 5).to("meta")(x.to("meta")).shape == (4, 5)
    y = network(x.requires_grad_())
    (batched,) = torch.autograd.grad(y, x, torch.eye(20).view(20, 4, 5), is_grads_batched=True, retain_graph=True)
    one_by_one = [torch.autograd.grad(y, x, row.view(4, 5), retain_graph=True)[0] for row in torch.eye(20)]
    assert torch.allclose(batched, torch.stack(one_by_one), atol=1e-6)


def test_the_processor_decides():
    amd = "AuthenticAMD" in products.CPU and torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()
    assert Linear is (FastLinear if amd else nn.Linear)
