"""Matrix products by the faster library, and where PyTorch must see its own operations."""

from collections.abc import Callable

from common.machine import CPU

import torch
import torch.nn.functional as F
from torch import nn

# PyTorch's float32 products come from MKL, whose fastest code is for Intel's processors only. PyTorch includes oneDNN
# too: on an AMD processor its products take half as long, on an Intel one up to a quarter longer.
ONEDNN = "AuthenticAMD" in CPU and torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()


def suits_onednn(x: torch.Tensor) -> bool:
    """Whether products with x are to be oneDNN's: where they are faster, in float32, unless it is switched off."""
    return ONEDNN and x.is_cpu and x.dtype == torch.float32 and x.numel() > 0 and torch.backends.mkldnn.enabled


def needs_plain_operations(*tensors: torch.Tensor) -> bool:
    """Whether PyTorch records or changes each operation on one of the tensors, as for trace, compile, export,
    transform or autocast."""
    return (
        torch.autograd.forward_ad._current_level >= 0  # forward-mode derivatives
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()  # the test that torch.autograd.Function makes
        or any(
            type(x) not in (torch.Tensor, nn.Parameter)  # quantised, say
            or x.is_meta
            or torch.is_autocast_enabled(x.device.type)
            or not torch._C._has_storage(x)  # batched gradients; sparse
            or x._is_zerotensor()
            for x in tensors
        )
    )


def _by_onednn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x Wᵀ + b. PyTorch's FLOP counter does not count it."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def _mm_by_onednn(A: torch.Tensor, B: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    return _by_onednn(A, B.T)


def _addmm_by_onednn(total: torch.Tensor, A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
    return total.add_(_by_onednn(A, B.T))


def products_for(x: torch.Tensor) -> tuple[Callable, Callable]:
    """The faster library's `mm(A, B, out=)`, which returns A B in `out` or in new memory, and `addmm_(total, A, B)`,
    which adds A B to the total; for use without gradients, with matrices like x."""
    return (_mm_by_onednn, _addmm_by_onednn) if suits_onednn(x) else (torch.mm, torch.Tensor.addmm_)


class FastLinear(nn.Linear):
    """y = x Wᵀ + b like `nn.Linear`, by the faster library. Shapes: x (n, in) → y (n, out).

    oneDNN takes b as out numbers side by side, without a look. `torch.ao.quantization` takes layers whose class is
    exactly nn.Linear: set `layer.__class__ = nn.Linear` first.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weight, self.bias
        given = (x, weight) if bias is None else (x, weight, bias)
        fits = x.dim() == weight.dim() == 2 and all(map(suits_onednn, given))
        is_row = bias is None or (bias.shape == weight.shape[:1] and bias.is_contiguous())
        if not fits or not is_row or needs_plain_operations(*given):
            return super().forward(x)
        return Product.apply(x, weight, bias)


class Product(torch.autograd.Function):
    """x (n, in), W (out, in), b (out,) or None → y = x Wᵀ + b, with the gradients

        ∂x = ∂y W,   ∂W = ∂yᵀ x,   ∂b = Σ ∂y over n

    ∂x and ∂W are computed by the same function, so gradients of gradients work too.
    """

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return _by_onednn(x, weight, bias)

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        multiply = F.linear if needs_plain_operations(dy) else Product.apply
        needed = ctx.needs_input_grad
        dx = multiply(dy, weight.T, None) if needed[0] else None
        dW = multiply(dy.T, x.T, None) if needed[1] else None
        return dx, dW, dy.sum(0) if needed[2] else None


Linear = FastLinear if ONEDNN else nn.Linear
