"""The earlier exercise: a vanilla recurrent network (Elman 1990), with the interface of `LSTM`."""

from part1.lstm import check_input

import torch
import torch.nn.functional as F
from torch import nn


class VanillaRNN(nn.Module):
    """Reads a sequence x(1) … x(T) and answers once, from the last state h(T).

        h(t) = tanh(W_hx x(t) + W_hh h(t−1) + b_h),   h(0) = 0
        logits = W_p h(T) + b_p

    weight_ih is W_hx (hidden, input), weight_hh is W_hh (hidden, hidden), bias is b_h (hidden,). They can be copied to
    and from `nn.RNN` unchanged (`part1.networks.by_name.to_torch` does it).

    Shapes: x (batch, time, input_dim) → logits (batch, output_dim); another shape is a ValueError. Without gradients
    the steps are not kept. `read` takes and returns h, so a sequence can be read in pieces.
    """

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int):
        super().__init__()
        self.input_dim, self.hidden_dim = input_dim, hidden_dim
        self.weight_ih = nn.Parameter(torch.empty(hidden_dim, input_dim))
        self.weight_hh = nn.Parameter(torch.empty(hidden_dim, hidden_dim))
        self.bias = nn.Parameter(torch.empty(hidden_dim))
        self.fc = nn.Linear(hidden_dim, output_dim)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, length: int = 10) -> None:
        """Draw initial weights as close to `LSTM`'s as a network without gates allows:

            W_hh orthogonal (Saxe et al. 2014),  W_hx ~ U(−1, 1),  b_h ~ U(−1, 1)

        `length` is ignored: no gate depends on it.
        """
        nn.init.orthogonal_(self.weight_hh)
        self.weight_ih.uniform_(-1, 1)
        self.bias.uniform_(-1, 1)
        self.fc.reset_parameters()

    def extra_repr(self) -> str:
        return f"input_dim={self.input_dim}, hidden_dim={self.hidden_dim}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (h,) = self.read(x)
        return self.fc(h)

    def read(self, x: torch.Tensor, state: tuple[torch.Tensor] | None = None) -> tuple[torch.Tensor]:
        """x(1) … x(T) → (h(T),), of shape (batch, hidden). Pass it as `state` to read the next piece."""
        check_input(x, self, state)
        (h,) = state or (x.new_zeros(x.shape[0], self.hidden_dim),)
        for x_t in x.unbind(1):
            h = torch.tanh(F.linear(x_t, self.weight_ih, self.bias) + F.linear(h, self.weight_hh))
        return (h,)
