"""A fast form of the LSTM's loop over a sequence: the equations of `lstm.loop`, with gradients derived by hand."""

import math
import weakref
from itertools import compress

from common.products import needs_plain_operations, products_for

import torch

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input  # (∂, y) → ∂ ⊙ y(1 − y)
tanh_backward = torch.ops.aten.tanh_backward.grad_input  # (∂, y) → ∂ ⊙ (1 − y²)


class ThroughTime(torch.autograd.Function):
    """x(1) … x(T), h(0), c(0), weight_ih, weight_hh, bias → h(T), c(T), with a backward pass written by hand:
    backpropagation through time (Werbos 1990).

    ∂a stands for the derivative of the loss with respect to a. PyTorch passes in ∂h(T), and ∂c(T) as the first ∂c.
    Then, from t = T down to 1:

        ∂o = ∂h(t) ⊙ tanh c(t)
        ∂c(t) = ∂c + ∂h(t) ⊙ o ⊙ (1 − tanh² c(t))
        ∂i = ∂c(t) ⊙ g,   ∂f = ∂c(t) ⊙ c(t−1),   ∂g = ∂c(t) ⊙ i
        δ = [∂i ⊙ i(1 − i); ∂f ⊙ f(1 − f); ∂g ⊙ (1 − g²); ∂o ⊙ o(1 − o)]     at the gates' arguments
        ∂W_·h += δ h(t−1)ᵀ,   ∂W_·x += δ x(t)ᵀ,   ∂b += δ,   ∂x(t) = W_·xᵀ δ
        ∂h(t−1) = W_·hᵀ δ,   ∂c = ∂c(t) ⊙ f                                  for the step before

    The code computes this in a form that is faster on a processor. The results differ by rounding only:

    - The state has the shape (hidden, batch), so each gate is one block of memory. The products with h, x and b are one
      product W z(t), with W = [W_·h, W_·x, b] and z(t) = [h(t−1); x(t); 1].
    - tanh(a) equals 2σ(2a) − 1, which is faster. The rows of g in W are doubled, so one σ gives y(t) = [i; f; s; o]
      with s = σ(2a_g), and g2 = 2g = 4s − 2. The memory is doubled too: c2(t) = 2c(t) = f ⊙ c2(t−1) + i ⊙ g2, and
      u(t) = tanh c(t) = 2σ(c2(t)) − 1.
    - Backward uses the derivative with respect to c2. Then δ = ∂ ⊙ y(1 − y) has the same form for y = i, f, s and o.
      For s the chain rule adds two factors, 4 (from g2 = 4s − 2) and 2 (from 2a_g). So backward multiplies the rows of
      g by 8: in its W before the loop, in ∂W after it.
    - g2, c2(t−1) and i are neighbours in memory, so one product with ∂c2 gives ∂i, ∂f and ∂g2.
    - If the sequence starts from h(0) = 0, the products with h(0) are left out. ∂x and ∂h(0) are computed if needed.
    - All that backward needs is kept in one buffer, and the buffer is used again for the next sequence.

    For gradients of gradients, and for batched gradients (of many losses at once), backward runs the plain `loop` again
    and uses autograd.
    """

    @staticmethod
    def forward(ctx, grad_enabled, loop, starts_at_zero, x, h_0, c_0, weight_ih, weight_hh, bias):
        batch, time, hidden = *x.shape[:2], weight_hh.shape[1]
        keep = grad_enabled and any(ctx.needs_input_grad)  # keep every step; else each one overwrites the last
        W = torch.cat([weight_hh, weight_ih, bias.unsqueeze(1)], dim=1)
        W[2 * hidden : 3 * hidden] *= 2
        mm, addmm_ = products_for(W)
        rows = [hidden, hidden, 4 * hidden, hidden, W.shape[1]]  # of one step: g2, c2(t−1), y, u, z
        kept = borrow(x, (time + 1 if keep else 1, sum(rows), batch))
        G, C, Y, U, Z = kept.split(rows, dim=1)
        H, X = Z[:, :hidden], Z[:, hidden:-1]
        H[0] = h_0.T
        torch.mul(c_0.T, 2, out=C[0])
        Z[:, -1] = 1
        if keep:
            X[:time] = x.permute(1, 2, 0)

        def steps(block):  # a view for each step; without gradients the same view for all of them
            return block.unbind() if keep else (block[0],) * (time + 1)

        g2, c2, y, u, h = map(steps, (G, C, Y, U, H))
        i, f, s, o = map(steps, Y.chunk(4, dim=1))
        first = hidden if starts_at_zero else 0  # z(1) is used from this row on
        z, Ws = [Z[0, first:], *steps(Z)[1:]], [W[:, first:]] + [W] * (time - 1)
        minus_1, minus_2 = x.new_full((), -1.0), x.new_full((), -2.0)
        for t in range(time):
            if not keep:
                X[0] = x[:, t].T
            torch.sigmoid(mm(Ws[t], z[t], out=y[t]), out=y[t])
            torch.add(minus_2, s[t], alpha=4, out=g2[t])
            torch.mul(c2[t], f[t], out=c2[t + 1]).addcmul_(i[t], g2[t])
            torch.add(minus_1, torch.sigmoid(c2[t + 1], out=u[t]), alpha=2, out=u[t])
            torch.mul(u[t], o[t], out=h[t + 1])
        if keep:
            ctx.loop, ctx.first, ctx.products = loop, first, (mm, addmm_)
            ctx.save_for_backward(kept, x, h_0, c_0, weight_ih, weight_hh, bias)
        return H[-1].T.clone(memory_format=torch.contiguous_format), (C[-1].T / 2).contiguous()

    @staticmethod
    def backward(ctx, dh, dc):
        kept, *inputs = ctx.saved_tensors
        needed, weight_ih, weight_hh = ctx.needs_input_grad[3:], *inputs[3:5]
        if torch.is_grad_enabled() or needs_plain_operations(dh):
            return None, None, None, *gradients_of_loop(ctx.loop, inputs, needed, (dh, dc))
        x_needed, h_0_needed, *_ = needed
        time, batch, hidden, input_dim = len(kept) - 1, kept.shape[2], *weight_hh.shape[1:], weight_ih.shape[1]
        W = torch.cat([weight_hh, weight_ih], dim=1)
        W[2 * hidden : 3 * hidden] *= 8
        mm, addmm_ = ctx.products
        W_hT, W_xT = W.T.contiguous().split([hidden, input_dim])
        _, _, Y, U, Z = kept.split([hidden, hidden, 4 * hidden, hidden, W.shape[1] + 1], dim=1)
        factors = kept[:, : 3 * hidden].unflatten(1, (3, hidden)).unbind()  # g2, c2(t−1), i
        _, f, _, o = (block.unbind() for block in Y.chunk(4, dim=1))
        y, u, z = Y.unbind(), U.unbind(), [Z[0, ctx.first :], *Z[1:].unbind()]
        delta = kept.new_empty(4 * hidden, batch)
        d_ifg, d_o = delta[: 3 * hidden].unflatten(0, (3, hidden)), delta[3 * hidden :]
        dh, dc2 = dh.T.clone(memory_format=torch.contiguous_format), (dc.T / 2).contiguous()
        through_h = torch.empty_like(dh)
        dW = W.new_zeros(4 * hidden, W.shape[1] + 1)
        dWs = [dW[:, ctx.first :]] + [dW] * (time - 1)
        dx = kept.new_empty(time, input_dim, batch) if x_needed else None
        for t in reversed(range(time)):
            torch.mul(dh, u[t], out=d_o)
            torch.mul(dh, o[t], out=through_h)
            dc2.add_(tanh_backward(through_h, u[t], grad_input=through_h), alpha=0.5)
            torch.mul(dc2, factors[t], out=d_ifg)
            sigmoid_backward(delta, y[t], grad_input=delta)
            addmm_(dWs[t], delta, z[t].T)
            dc2 *= f[t]
            if x_needed:
                dx[t] = mm(W_xT, delta, out=dx[t])
            if t or h_0_needed:
                dh = mm(W_hT, delta, out=dh)
        dW[2 * hidden : 3 * hidden] *= 8
        dW_h, dW_x, db = (part.contiguous() for part in dW.split([hidden, input_dim, 1], dim=1))
        dx = dx.permute(2, 0, 1).contiguous() if x_needed else None
        dh = dh.T.contiguous() if h_0_needed else None
        return None, None, None, dx, dh, (dc2.T * 2).contiguous(), dW_x, dW_h, db.squeeze(1)


def gradients_of_loop(loop, inputs: list[torch.Tensor], needed: tuple[bool, ...], d_outputs: tuple) -> list:
    """The gradients of the inputs that need one, by autograd through `loop`; they can be differentiated again."""
    with torch.enable_grad():
        outputs = loop(*inputs)
    wanted, options = list(compress(inputs, needed)), {"create_graph": torch.is_grad_enabled(), "allow_unused": True}
    found = iter(torch.autograd.grad(outputs, wanted, d_outputs, **options))
    return [next(found) if is_needed else None for is_needed in needed]


SPARE = []  # the last buffer, when no graph needs it any more


def borrow(like: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Uninitialised memory with the dtype and on the device of `like`. On a CPU, freed memory is used again: new memory
    causes page faults, which take longer than the arithmetic if the sequence is long. (CUDA reuses memory by itself.)
    """
    size = math.prod(shape) * like.element_size()
    if like.device.type != "cpu" or size == 0:
        return like.new_empty(shape)
    try:
        buffer = SPARE.pop()
    except IndexError:  # there is none, or another thread was faster
        buffer = torch.empty(0, dtype=torch.uint8)
    if len(buffer) < size:
        buffer = torch.empty(size, dtype=torch.uint8)
    # Python does not say when a tensor's memory is free. But the tensor keeps its NumPy array alive until then, and
    # Python does say when the array is gone.
    array = buffer.numpy()[:size]
    weakref.finalize(array, _give_back, buffer).atexit = False
    return torch.from_numpy(array).view(like.dtype).view(shape)


def _give_back(buffer: torch.Tensor) -> None:
    SPARE[:] = [buffer]
