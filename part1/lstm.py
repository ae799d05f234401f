"""An LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000), by hand from raw parameters.

`LSTM` is the form to read: parameters, equations, the plain loop. `ThroughTime` below it is the same computation made
fast, its gradients derived by hand; `LSTM.plain` switches between the two, and a test holds them equal.
"""

import itertools
import math
import weakref

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable


class LSTM(nn.Module):
    """Reads a sequence x(1) … x(T) and answers once, from the last short-term memory h(T).

        f(t) = σ(W_fx x(t) + W_fh h(t−1) + b_f)       forget gate: how much long-term memory stays
        i(t) = σ(W_ix x(t) + W_ih h(t−1) + b_i)       input gate: how much of the candidate enters
        g(t) = tanh(W_gx x(t) + W_gh h(t−1) + b_g)    candidate
        o(t) = σ(W_ox x(t) + W_oh h(t−1) + b_o)       output gate
        c(t) = g(t) ⊙ i(t) + c(t−1) ⊙ f(t)            long-term memory, c(0) = 0
        h(t) = tanh(c(t)) ⊙ o(t)                      short-term memory, h(0) = 0
        logits = W_p h(T) + b_p

    The four gates lie stacked in PyTorch's order i, f, g, o, so that weights copy to and from `nn.LSTM` row for row
    (its two biases add up to the one here):

        weight_ih = [W_ix; W_fx; W_gx; W_ox]   (4·hidden, input)
        weight_hh = [W_ih; W_fh; W_gh; W_oh]   (4·hidden, hidden)
        bias      = [b_i; b_f; b_g; b_o]       (4·hidden,)

    Shapes: x (batch, time, input_dim) → logits (batch, output_dim). Without gradients no step is kept: memory does not
    grow with time.

    `plain = True` computes h(T) in the loop written out here, its gradients by autograd: the same numbers but for
    rounding, slower. That form serves under autocast too, and for gradients of gradients.
    """

    plain = False

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_dim, input_dim))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_dim, hidden_dim))
        self.bias = nn.Parameter(torch.empty(4 * hidden_dim))
        self.fc = nn.Linear(hidden_dim, output_dim)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, length: int = 10) -> None:
        """Draw initial weights with which memory over `length` steps works from the first batch on.

            b_f = log u with u ~ U(1, length − 1), b_i = −b_f      (Tallec & Ollivier 2018, "chrono")
            W_ih, W_fh, W_gh, W_oh each orthogonal                 (Saxe et al. 2014)
            W_·x ~ U(−1, 1),  b_g ~ U(−1, 1),  b_o = 0

        At the start a unit keeps the share σ(b_f) = u / (1 + u) of its memory at each step, so it remembers for about
        u steps, and the units' memories spread over all times up to the length of the task. Orthogonal weights carry h
        back without shrinking or blowing it up. And with b_g = 0 every candidate tanh(w x) would bend at x = 0; spread
        out, the candidates of a scalar x tell ten digits apart from the start.
        """
        b_i, b_f, b_g, b_o = self.bias.chunk(4)
        b_f.uniform_(1, max(length - 1, 1)).log_()
        b_i.copy_(-b_f)
        b_g.uniform_(-1, 1)
        b_o.zero_()
        self.weight_ih.uniform_(-1, 1)
        for weight in self.weight_hh.chunk(4):
            nn.init.orthogonal_(weight)
        self.fc.reset_parameters()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.plain or torch.is_autocast_enabled(x.device.type):
            return self.fc(self.loop(x))
        return self.fc(ThroughTime.apply(torch.is_grad_enabled(), x, self.weight_ih, self.weight_hh, self.bias))

    def loop(self, x: torch.Tensor) -> torch.Tensor:
        """x(1) … x(T) → h(T), step by step."""
        h = x.new_zeros(len(x), self.hidden_dim)
        c = x.new_zeros(len(x), self.hidden_dim)
        for x_t in x.unbind(1):
            h, c = self.step(x_t, h, c)
        return h

    def step(self, x_t: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One step of the equations: x(t), h(t−1), c(t−1) → h(t), c(t)."""
        i, f, g, o = self.gates(x_t, h)
        c = g * i + c * f
        h = torch.tanh(c) * o
        return h, c

    def gates(self, x_t: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """x(t), h(t−1) → i(t), f(t), g(t), o(t)."""
        a_i, a_f, a_g, a_o = (F.linear(x_t, self.weight_ih, self.bias) + F.linear(h, self.weight_hh)).chunk(4, dim=1)
        return torch.sigmoid(a_i), torch.sigmoid(a_f), torch.tanh(a_g), torch.sigmoid(a_o)


class ThroughTime(torch.autograd.Function):
    """x(1) … x(T), weight_ih, weight_hh, bias → h(T), and back: backpropagation through time (Werbos 1990) by hand.

    ∂ stands for the derivative of the loss. ∂h(T) is given and ∂c = 0; then, from t = T down to 1:

        ∂o = ∂h(t) ⊙ tanh c(t)
        ∂c(t) = ∂c + ∂h(t) ⊙ o ⊙ (1 − tanh² c(t))
        ∂i = ∂c(t) ⊙ g,   ∂f = ∂c(t) ⊙ c(t−1),   ∂g = ∂c(t) ⊙ i
        δ = [∂i ⊙ i(1 − i); ∂f ⊙ f(1 − f); ∂g ⊙ (1 − g²); ∂o ⊙ o(1 − o)]     at the gates' arguments
        ∂W_·h += δ h(t−1)ᵀ,   ∂W_·x += δ x(t)ᵀ,   ∂b += δ,   ∂x(t) = W_·xᵀ δ
        ∂h(t−1) = W_·hᵀ δ,   ∂c(t−1) = ∂c(t) ⊙ f                             on to the step before

    The same in a form that a processor likes better; it changes results by rounding only:

    - The state lies (hidden, batch), so that each gate is one block of memory, and the products with h, x and b are
      one: W z(t) with W = [W_·h, W_·x, b] and z(t) = [h(t−1); x(t); 1].
    - tanh(a) = 2σ(2a) − 1 is faster than tanh(a). With the rows of g in W doubled one σ serves all four gates, and
      s = σ(2a_g) gives g2 = 2g = 4s − 2. Memory is kept doubled too, c2 = 2c = f ⊙ c2 + i ⊙ g2; tanh(c) = 2σ(c2) − 1.
    - Going back, ∂ is taken by c2. Then δ = ∂ ⊙ y(1 − y) for all y = i, f, s, o alike, and what the chain rule
      owes to s, a factor 4 for g2 and 2 for a_g, is in the rows of g of W as the way back uses it.
    - g2, c2(t−1) and i lie side by side, so that ∂i, ∂f and ∂g are one product with ∂c2.
    - ∂W is summed over CHUNK steps at a time, while they are in the cache; ∂x is computed only if it is asked for.
    - All that is kept for the way back lies in one buffer, and the buffer serves again for the next sequence.
    """

    CHUNK = 8  # steps

    @staticmethod
    def forward(ctx, grad_enabled, x, weight_ih, weight_hh, bias):
        batch, time, hidden = *x.shape[:2], weight_hh.shape[1]
        keep = grad_enabled and any(ctx.needs_input_grad)  # every step; else each is written over the one before
        W = torch.cat([weight_hh, weight_ih, bias.unsqueeze(1)], dim=1)
        W[2 * hidden : 3 * hidden] *= 2
        rows = [hidden, hidden, 4 * hidden, hidden, W.shape[1]]  # of a step: g2, c2(t−1), [i; f; s; o], tanh c, z
        kept = borrow(x, (time + 1 if keep else 1, sum(rows), batch))
        G, C, Y, U, Z = kept.split(rows, dim=1)
        C[0] = Z[0, :hidden] = 0
        Z[:, -1] = 1
        X, H = Z[:, hidden:-1], Z[:, :hidden]
        if keep:
            X[:time] = x.permute(1, 2, 0)

        def each(block, start=0):  # of a block, the part for each step
            return block[start:].unbind() if keep else itertools.repeat(block[0])

        i, f, s, o = (each(block) for block in Y.chunk(4, dim=1))
        before = each(Z), each(Y), i, f, s, o, each(G), each(C), each(U)
        minus_1, minus_2 = x.new_full((), -1.0), x.new_full((), -2.0)
        for t, z, y, i, f, s, o, g2, c2_before, u, c2, h in zip(range(time), *before, each(C, 1), each(H, 1)):  # noqa: B905
            if not keep:
                X[0] = x[:, t].T
            torch.mm(W, z, out=y).sigmoid_()
            torch.add(minus_2, s, alpha=4, out=g2)
            torch.mul(c2_before, f, out=c2).addcmul_(i, g2)
            torch.add(minus_1, torch.sigmoid(c2, out=u), alpha=2, out=u)
            torch.mul(u, o, out=h)
        if keep:
            ctx.save_for_backward(kept, weight_ih, weight_hh)
        return H[-1].T.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, dh):
        kept, weight_ih, weight_hh = ctx.saved_tensors
        time, batch, hidden, input_dim = len(kept) - 1, kept.shape[2], *weight_hh.shape[1:], weight_ih.shape[1]
        W = torch.cat([weight_hh, weight_ih], dim=1)
        W[2 * hidden : 3 * hidden] *= 8
        W_h, W_x = W.split([hidden, input_dim], dim=1)
        _, _, Y, U, Z = kept.split([hidden, hidden, 4 * hidden, hidden, W.shape[1] + 1], dim=1)
        factors = kept[:, : 3 * hidden].unflatten(1, (3, hidden)).unbind()  # g2, c2(t−1), i
        _, f, _, o = (block.unbind() for block in Y.chunk(4, dim=1))
        Y, U = Y.unbind(), U.unbind()
        deltas = kept.new_empty(ThroughTime.CHUNK, 4 * hidden, batch)
        first_three = deltas[:, : 3 * hidden].unflatten(1, (3, hidden)).unbind()  # rows of i, f, g
        last = deltas[:, 3 * hidden :].unbind()  # rows of o
        dh = dh.T.clone(memory_format=torch.contiguous_format)
        dc2, through_h = torch.zeros_like(dh), torch.empty_like(dh)
        dW = W.new_zeros(4 * hidden, W.shape[1] + 1)
        dx = kept.new_empty(time, input_dim, batch) if ctx.needs_input_grad[1] else None
        for end in range(time, 0, -ThroughTime.CHUNK):
            start = max(end - ThroughTime.CHUNK, 0)
            for t in range(end - 1, start - 1, -1):
                delta, d_ifg, d_o = deltas[t - start], first_three[t - start], last[t - start]
                torch.mul(dh, U[t], out=d_o)
                torch.mul(dh, o[t], out=through_h)
                dc2.add_(tanh_backward(through_h, U[t], grad_input=through_h), alpha=0.5)
                torch.mul(dc2, factors[t], out=d_ifg)
                sigmoid_backward(delta, Y[t], grad_input=delta)
                dc2 *= f[t]
                torch.mm(W_h.T, delta, out=dh)
                if dx is not None:
                    torch.mm(W_x.T, delta, out=dx[t])
            dW.addbmm_(deltas[: end - start], Z[start:end].transpose(1, 2))
        dW[2 * hidden : 3 * hidden] *= 8
        dW_h, dW_x, db = dW.split([hidden, input_dim, 1], dim=1)
        return None, None if dx is None else dx.permute(2, 0, 1), dW_x, dW_h, db.squeeze(1)


sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input  # (∂, y) → ∂ ⊙ y(1 − y)
tanh_backward = torch.ops.aten.tanh_backward.grad_input  # (∂, y) → ∂ ⊙ (1 − y²)

SPARE = []  # the buffer last used, if no graph needs it any more


def borrow(like: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Uninitialised memory that goes to SPARE when the last tensor in it, be it in a graph, is gone.

    Fresh memory costs page faults, for long sequences more than the arithmetic. (CUDA's allocator does this by itself.)
    """
    if like.device.type != "cpu":
        return like.new_empty(shape)
    size = math.prod(shape) * like.element_size()
    buffer = SPARE.pop() if SPARE else torch.empty(0, dtype=torch.uint8)
    if len(buffer) < size:
        buffer = torch.empty(size, dtype=torch.uint8)
    lent = buffer.numpy()[:size]  # the storage of a tensor made from it holds on to it
    weakref.finalize(lent, SPARE.__setitem__, slice(None), [buffer]).atexit = False
    return torch.from_numpy(lent).view(like.dtype).view(shape)
