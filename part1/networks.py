"""The networks of Part 1 by name: how one is built, how its weights are initialised, how a trained one is loaded."""

from pathlib import Path

import torch
from torch import nn

from common import checkpoint
from common.cli import UserError
from part1.lstm import LSTM
from part1.rnn import VanillaRNN

KIND = "palindrome network"  # of a checkpoint


class TorchLSTM(nn.Module):
    """PyTorch's own `nn.LSTM` with the interface of `LSTM`: the yardstick, never the model."""

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.lstm = nn.LSTM(input_dim, hidden_dim, batch_first=True)
        self.fc = nn.Linear(hidden_dim, output_dim)

    @torch.no_grad()
    def reset_parameters(self, length: int = 10) -> None:
        """Initialise as `LSTM` does, its weights copied row for row; of `nn.LSTM`'s two biases the second is zero."""
        ours = LSTM(self.lstm.input_size, self.hidden_dim, self.fc.out_features)
        ours.reset_parameters(length)
        self.lstm.weight_ih_l0.copy_(ours.weight_ih)
        self.lstm.weight_hh_l0.copy_(ours.weight_hh)
        self.lstm.bias_ih_l0.copy_(ours.bias)
        self.lstm.bias_hh_l0.zero_()
        self.fc.load_state_dict(ours.fc.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (h, _) = self.lstm(x)
        return self.fc(h[-1])


NETWORKS = {"lstm": LSTM, "rnn": VanillaRNN, "torch_lstm": TorchLSTM}
INITS = ("memory", "uniform", "normal")


@torch.no_grad()
def initialise(network: nn.Module, init: str, length: int) -> None:
    """Draw the network's initial weights.

    memory   made for remembering over `length` steps: `LSTM.reset_parameters` says how and why
    uniform  every parameter ~ U(−k, k) with k = 1/√hidden: PyTorch's own initialisation
    normal   every weight ~ N(0, 1), biases zero: the reference's. With 128 units each gate sums 128 terms, so its
             argument has a standard deviation up to √128 ≈ 11: gates start open or shut, and hardly learn
    """
    if init == "memory":
        network.reset_parameters(length)
    elif init == "uniform":
        k = network.hidden_dim**-0.5
        for parameter in network.parameters():
            parameter.uniform_(-k, k)
    elif init == "normal":
        for parameter in network.parameters():
            nn.init.normal_(parameter) if parameter.dim() == 2 else nn.init.zeros_(parameter)
    else:
        raise ValueError(f"init {init!r} is not one of {', '.join(INITS)}")


def build(model: str, sizes: dict[str, int], init: str, length: int, seed: int, plain: bool = False) -> nn.Module:
    """The network called `model`, initialised for sequences of `length`; `plain` asks for the LSTM's plain loop.

    `sizes` are input_dim, hidden_dim and output_dim. Draws from PyTorch's global generator, seeded with `seed`; nothing
    else does.
    """
    torch.manual_seed(seed)
    network = NETWORKS[model](**sizes, **({"plain": True} if plain else {}))
    initialise(network, init, length)
    return network


def load_network(path: Path | str) -> nn.Module:
    """The trained network of a checkpoint of Part 1, in eval mode: at its best epoch by validation, or at the end of
    its curriculum. `path` is the checkpoint or the folder of its run.

    It reads what `palindromes.encode(digits, network.encoding)` makes of digits. UserError if there is none.
    """
    content = checkpoint.load(path, KIND)
    if content["progress"]["best"] is None:
        raise UserError(f"{path}: this training has no network to show yet")
    network = NETWORKS[content["model"]](**content["sizes"])
    network.load_state_dict(content["progress"]["best"])
    network.encoding = content["encoding"]
    return network.eval()
