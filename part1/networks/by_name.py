"""The networks of Part 1 by name, and how weights go to and from PyTorch's own layers."""

from typing import Protocol

from part1.lstm import LSTM
from part1.networks.rnn import VanillaRNN

import torch
from torch import Tensor, nn


class Network(Protocol):
    """What a network must have to be trained, tested and saved here. One more is a file and a line in NETWORKS.

    It is an nn.Module made by `Kind(input_dim, hidden_dim, output_dim)`. `fc` maps its last h to logits.
    """

    hidden_dim: int
    fc: nn.Linear

    def reset_parameters(self, length: int) -> None:
        """Draw initial weights, for sequences of this length."""

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, input_dim) → logits (batch, output_dim)."""

    def read(self, x: Tensor, state: tuple[Tensor, ...] | None = None) -> tuple[Tensor, ...]:
        """x(1) … x(T) → its state, h(T) first, each (batch, hidden). Pass it as `state` to read the next piece."""


@torch.no_grad()
def to_torch(network: LSTM | VanillaRNN) -> nn.LSTM | nn.RNN:
    """PyTorch's own layer with the network's weights, row by row. PyTorch has two biases; the second one is set to 0.

    The layer reads x (batch, time, input_dim). Pass its last output to `network.fc` to get the logits.
    """
    kind = {LSTM: nn.LSTM, VanillaRNN: nn.RNN}.get(type(network))
    if kind is None:
        raise ValueError(f"PyTorch has no layer with the weights of {type(network).__name__}")
    options = {"dtype": network.bias.dtype, "device": network.bias.device}
    core = kind(network.input_dim, network.hidden_dim, batch_first=True, **options)
    weights = {"weight_ih_l0": network.weight_ih, "weight_hh_l0": network.weight_hh, "bias_ih_l0": network.bias}
    core.load_state_dict(weights | {"bias_hh_l0": torch.zeros_like(network.bias)})
    return core


@torch.no_grad()
def copy_from_torch(network: LSTM | VanillaRNN, core: nn.LSTM | nn.RNN) -> None:
    """Copy the weights of PyTorch's own layer into the network; ValueError if it is of another kind or size, has more
    than one layer or direction, or is an nn.RNN without tanh."""
    expected = to_torch(network)
    shapes = [{name: value.shape for name, value in layer.state_dict().items()} for layer in (core, expected)]
    if type(core) is not type(expected) or core.mode != expected.mode or shapes[0] != shapes[1]:
        raise ValueError(f"a {network} cannot hold the weights of {core}; expected {expected}")
    network.weight_ih.copy_(core.weight_ih_l0)
    network.weight_hh.copy_(core.weight_hh_l0)
    network.bias.copy_(core.bias_ih_l0 + core.bias_hh_l0)


class TorchLSTM(nn.Module):
    """PyTorch's own `nn.LSTM` with the interface of `LSTM`: the yardstick, for comparison only."""

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.lstm = nn.LSTM(input_dim, hidden_dim, batch_first=True)
        self.fc = nn.Linear(hidden_dim, output_dim)

    def reset_parameters(self, length: int = 10) -> None:
        """Initialise as `LSTM` does."""
        ours = LSTM(self.lstm.input_size, self.hidden_dim, self.fc.out_features)
        ours.reset_parameters(length)
        self.lstm.load_state_dict(to_torch(ours).state_dict())
        self.fc.load_state_dict(ours.fc.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.read(x)
        return self.fc(h)

    def read(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Like `LSTM.read`."""
        _, (h, c) = self.lstm(x, state and tuple(part.unsqueeze(0) for part in state))
        return h.squeeze(0), c.squeeze(0)


def by_hand(network: nn.Module) -> nn.Module:
    """Turn a trained `TorchLSTM` into the LSTM by hand with its weights, in eval mode; return any other unchanged."""
    if not isinstance(network, TorchLSTM):
        return network
    lstm = LSTM(network.lstm.input_size, network.hidden_dim, network.fc.out_features)
    copy_from_torch(lstm, network.lstm)
    lstm.fc = network.fc
    return lstm.eval()


NETWORKS: dict[str, type[Network]] = {"lstm": LSTM, "rnn": VanillaRNN, "torch_lstm": TorchLSTM}
