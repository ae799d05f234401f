"""Matrix products in float32 by oneDNN. PyTorch includes this library, but uses it for shorter number formats only.

PyTorch's own float32 products come from MKL. MKL uses its fastest code on Intel's processors only; on an AMD processor
with AVX-512, oneDNN takes half as long. In other cases (float64, CUDA, ARM, torch.backends.mkldnn switched off),
PyTorch's own products are used.
"""

import torch
import torch.nn.functional as F
from torch import nn

BROUGHT_ALONG = torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()  # on x86 it is


def needs_plain_operations(x: torch.Tensor) -> bool:
    """Whether PyTorch records or changes each operation on x, as for trace, compile, export, transform or autocast."""
    return (
        x.is_meta
        or torch.autograd.forward_ad._current_level >= 0  # forward-mode derivatives
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()  # the test that torch.autograd.Function makes
        or torch.is_autocast_enabled(x.device.type)
        or type(x) not in (torch.Tensor, nn.Parameter)
        or not torch._C._has_storage(x)  # batched gradients
    )


def product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x Wᵀ + b like `F.linear`, by the faster library. x (n, in), weight (out, in). For use without gradients.

    PyTorch's FLOP counter does not count oneDNN's products.
    """
    if BROUGHT_ALONG and x.is_cpu and x.dtype == torch.float32 and x.numel() and torch.backends.mkldnn.enabled:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


class Linear(nn.Linear):
    """y = x Wᵀ + b like `nn.Linear`, but faster. Shapes: x (n, in) → y (n, out)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() != 2 or needs_plain_operations(x):
            return super().forward(x)
        return Product.apply(x, self.weight, self.bias)


class Product(torch.autograd.Function):
    """x (n, in), W (out, in), b (out,) or None → y = x Wᵀ + b, with the gradients

        ∂x = ∂y W,   ∂W = ∂yᵀ x,   ∂b = Σ ∂y over n

    ∂x and ∂W are computed by the same function, so gradients of gradients work too.
    """

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        multiply = F.linear if needs_plain_operations(dy) else Product.apply
        needed = ctx.needs_input_grad
        dx = multiply(dy, weight.T, None) if needed[0] else None
        dW = multiply(dy.T, x.T, None) if needed[1] else None
        return dx, dW, dy.sum(0) if needed[2] else None
