"""An LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000), by hand from raw parameters."""

from common.inputs import check_tensor
from common.products import needs_plain_operations
from part1.networks.through_time import ThroughTime

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INITS = ("memory", "uniform", "normal")


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
    row by row (PyTorch has two biases, whose sum is the one here):

        weight_ih = [W_ix; W_fx; W_gx; W_ox]   (4·hidden, input)
        weight_hh = [W_ih; W_fh; W_gh; W_oh]   (4·hidden, hidden)
        bias      = [b_i; b_f; b_g; b_o]       (4·hidden,)

    Shapes: x (batch, time, input_dim) → logits (batch, output_dim); another shape or dtype is a ValueError. All
    sequences of a batch have one length: padding at the end changes the answer, which is read from h(T). Without
    gradients the steps are not kept, so memory does not grow with time.

    With `plain=True`, the loop below computes h(T), and autograd its gradients. Otherwise `ThroughTime` computes both,
    faster, with gradients derived by hand; its results differ by rounding only. Where PyTorch must see each operation
    (autocast, torch.compile, torch.export, torch.jit.trace, torch.func), the plain loop is used. torch.jit.script and
    torch.fx cannot read the checks.
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

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.read(x)
        return self.fc(h)

    def read(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """x(1) … x(T) → h(T), c(T), each (batch, hidden). Pass both as `state` to read the next piece."""
        check_input(x, self, state)
        h, c = state or (x.new_zeros(x.shape[0], self.hidden_dim),) * 2
        weights = self.weight_ih, self.weight_hh, self.bias
        if self.plain or needs_plain_operations(x, h, c, *weights):
            return loop(x, h, c, *weights)
        return ThroughTime.apply(torch.is_grad_enabled(), loop, state is None, x, h, c, *weights)  # the same, faster


def check_input(x: Tensor, network: nn.Module, state: tuple[Tensor, ...] | None) -> None:
    """ValueError if x is not (batch, time, input_dim), a part of the state not (batch, hidden), or a dtype not that of
    the network's weights."""
    check_tensor("x", x, ("batch", "time", network.input_dim), network.bias)
    for part in () if state is None else state:
        check_tensor("the state", part, (len(x), network.hidden_dim), network.bias)


def loop(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
    """x(1) … x(T), h(0), c(0) → h(T), c(T), step by step. The weights are weight_ih, weight_hh and bias."""
    for x_t in x.unbind(1):
        h, c = remember(*gates(x_t, h, *weights), c)
    return h, c


def gates(x_t: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    """x(t), h(t−1) → i(t), f(t), g(t), o(t), each (batch, hidden)."""
    a_i, a_f, a_g, a_o = (F.linear(x_t, weight_ih, bias) + F.linear(h, weight_hh)).chunk(4, dim=1)
    return torch.sigmoid(a_i), torch.sigmoid(a_f), torch.tanh(a_g), torch.sigmoid(a_o)


def remember(i: Tensor, f: Tensor, g: Tensor, o: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """i(t), f(t), g(t), o(t), c(t−1) → h(t), c(t)."""
    c = g * i + c * f
    h = torch.tanh(c) * o
    return h, c


@torch.no_grad()
def initialise(network: nn.Module, init: str, length: int) -> None:
    """Draw a network's initial weights, from PyTorch's global random generator.

    memory   made for remembering over `length` steps: see `LSTM.reset_parameters`
    uniform  every parameter ~ U(−k, k) with k = 1/√hidden: PyTorch's own initialisation
    normal   every weight ~ N(0, 1), biases zero: the reference's. With 128 units each gate sums 128 terms, so its
             argument has a standard deviation of up to √128 ≈ 11: gates start open or shut, and hardly learn
    """
    if init not in INITS:
        raise ValueError(f"init {init!r} is not one of {', '.join(INITS)}")
    if init == "memory":
        return network.reset_parameters(length)
    for parameter in network.parameters():
        if init == "uniform":
            parameter.uniform_(-(network.hidden_dim**-0.5), network.hidden_dim**-0.5)
        else:
            nn.init.normal_(parameter) if parameter.dim() == 2 else nn.init.zeros_(parameter)
