"""An LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000), by hand from raw parameters."""

import torch
import torch.nn.functional as F
from torch import nn

from common.checks import check_input
from common.products import needs_plain_operations
from part1.through_time import ThroughTime


class LSTM(nn.Module):
    """Reads a sequence x(1) … x(T) and answers once, from the last short-term memory h(T).

        f(t) = σ(W_fx x(t) + W_fh h(t−1) + b_f)       forget gate: how much long-term memory stays
        i(t) = σ(W_ix x(t) + W_ih h(t−1) + b_i)       input gate: how much of the candidate enters
        g(t) = tanh(W_gx x(t) + W_gh h(t−1) + b_g)    candidate
        o(t) = σ(W_ox x(t) + W_oh h(t−1) + b_o)       output gate
        c(t) = g(t) ⊙ i(t) + c(t−1) ⊙ f(t)            long-term memory, c(0) = 0
        h(t) = tanh(c(t)) ⊙ o(t)                      short-term memory, h(0) = 0
        logits = W_p h(T) + b_p

    The weights of the four gates are stacked in PyTorch's order i, f, g, o, so they can be copied to and from `nn.LSTM`
    row by row (`part1.networks.to_torch` does it; PyTorch has two biases, whose sum is the one here):

        weight_ih = [W_ix; W_fx; W_gx; W_ox]   (4·hidden, input)
        weight_hh = [W_ih; W_fh; W_gh; W_oh]   (4·hidden, hidden)
        bias      = [b_i; b_f; b_g; b_o]       (4·hidden,)

    Shapes: x (batch, time, input_dim) → logits (batch, output_dim); another shape is a ValueError. Without gradients
    the steps are not kept, so memory does not grow with time. `read` takes and returns (h, c), so a sequence can be
    read in pieces.

    With `plain=True`, the loop below computes h(T), and autograd its gradients. Otherwise `ThroughTime` computes both:
    it is faster, its gradients are derived by hand, and its results differ by rounding only. The plain loop is always
    used under autocast and while PyTorch traces or transforms the network (torch.compile, torch.export, torch.func).
    """

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int, plain: bool = False):
        super().__init__()
        self.input_dim, self.hidden_dim, self.plain = input_dim, hidden_dim, plain
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_dim, input_dim))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_dim, hidden_dim))
        self.bias = nn.Parameter(torch.empty(4 * hidden_dim))
        self.fc = nn.Linear(hidden_dim, output_dim)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, length: int = 10) -> None:
        """Draw initial weights with which the memory reaches over `length` steps from the first batch on.

            b_f = log u with u ~ U(1, length − 1), b_i = −b_f      (Tallec & Ollivier 2018, "chrono")
            W_ih, W_fh, W_gh, W_oh each orthogonal                 (Saxe et al. 2014)
            W_·x ~ U(−1, 1),  b_g ~ U(−1, 1),  b_o = 0

        At first a unit keeps the part σ(b_f) = u / (1 + u) of its memory at each step, so it remembers for about u
        steps. Each unit has its own u, so together the units cover all times up to the length of the task. An
        orthogonal matrix does not change the length of a vector, so h on its way forward and the gradient on its way
        back neither grow nor shrink by it. If b_g were 0, every candidate tanh(w x) would be steepest at x = 0. With a
        different b_g in each unit, the candidates of a scalar x tell ten digits apart from the first batch on.
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

    def extra_repr(self) -> str:
        return f"input_dim={self.input_dim}, hidden_dim={self.hidden_dim}" + (", plain=True" if self.plain else "")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, _ = self.read(x)
        return self.fc(h)

    def read(
        self, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """x(1) … x(T) → h(T), c(T), each (batch, hidden). Pass both as `state` to read the next piece."""
        check_input("x", x, ("batch", "time", self.input_dim), self.weight_ih)
        h, c = state or (x.new_zeros(x.shape[0], self.hidden_dim),) * 2
        weights = self.weight_ih, self.weight_hh, self.bias
        if self.plain or needs_plain_operations(x):
            return loop(x, h, c, *weights)
        return ThroughTime.apply(torch.is_grad_enabled(), loop, state is None, x, h, c, *weights)


def loop(
    x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, *weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """x(1) … x(T), h(0), c(0) → h(T), c(T), step by step. The weights are weight_ih, weight_hh and bias."""
    for x_t in x.unbind(1):
        h, c = step(x_t, h, c, *weights)
    return h, c


def step(
    x_t: torch.Tensor, h: torch.Tensor, c: torch.Tensor, *weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step of the equations: x(t), h(t−1), c(t−1) → h(t), c(t)."""
    return remember(*gates(x_t, h, *weights), c)


def remember(
    i: torch.Tensor, f: torch.Tensor, g: torch.Tensor, o: torch.Tensor, c: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """i(t), f(t), g(t), o(t), c(t−1) → h(t), c(t)."""
    c = g * i + c * f
    h = torch.tanh(c) * o
    return h, c


def gates(
    x_t: torch.Tensor, h: torch.Tensor, weight_ih: torch.Tensor, weight_hh: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """x(t), h(t−1) → i(t), f(t), g(t), o(t), each (batch, hidden)."""
    a_i, a_f, a_g, a_o = (F.linear(x_t, weight_ih, bias) + F.linear(h, weight_hh)).chunk(4, dim=1)
    return torch.sigmoid(a_i), torch.sigmoid(a_f), torch.tanh(a_g), torch.sigmoid(a_o)
