"""The networks of Part 1 by name: how one is built, how it starts, how a trained one is loaded."""

import argparse
from pathlib import Path

import torch
from torch import nn

from common import checkpoint
from common.cli import UserError
from part1.lstm import LSTM
from part1.palindromes import ENCODINGS, NUM_CLASSES
from part1.rnn import VanillaRNN


class TorchLSTM(nn.Module):
    """PyTorch's own `nn.LSTM` with the interface of `LSTM`: the yardstick, never the model."""

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.lstm = nn.LSTM(input_dim, hidden_dim, batch_first=True)
        self.fc = nn.Linear(hidden_dim, output_dim)

    @torch.no_grad()
    def reset_parameters(self, length: int = 10) -> None:
        """Start as `LSTM` does, its weights copied row for row; of `nn.LSTM`'s two biases the second is zero."""
        start = LSTM(self.lstm.input_size, self.hidden_dim, self.fc.out_features)
        start.reset_parameters(length)
        self.lstm.weight_ih_l0.copy_(start.weight_ih)
        self.lstm.weight_hh_l0.copy_(start.weight_hh)
        self.lstm.bias_ih_l0.copy_(start.bias)
        self.lstm.bias_hh_l0.zero_()
        self.fc.load_state_dict(start.fc.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (h, _) = self.lstm(x)
        return self.fc(h[-1])


NETWORKS = {"lstm": LSTM, "rnn": VanillaRNN, "torch_lstm": TorchLSTM}
INITS = ("memory", "uniform", "normal")


@torch.no_grad()
def initialise(network: nn.Module, init: str, length: int) -> None:
    """Draw the network's initial weights.

    memory   the start made for remembering over `length` steps: `LSTM.reset_parameters` says how and why
    uniform  every parameter ~ U(−k, k) with k = 1/√hidden: PyTorch's own start
    normal   every weight ~ N(0, 1), biases zero: the reference's start. With 128 units each gate sums 128 terms, so its
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


def build(args: argparse.Namespace) -> tuple[nn.Module, dict]:
    """The network that train.py's flags ask for, at its start; and the names and numbers that rebuild it.

    Draws from PyTorch's global generator, seeded with `args.seed`; nothing else does.
    """
    encoding = "one_hot" if args.one_hot else "raw" if args.raw_digits else "scaled"
    sizes = {"input_dim": ENCODINGS[encoding], "hidden_dim": args.num_hidden, "output_dim": NUM_CLASSES}
    torch.manual_seed(args.seed)
    network = NETWORKS[args.model](**sizes)
    # A curriculum starts short, and so must the memory: a start fit for its end spoils its beginning.
    initialise(network, args.init, min(args.input_length, 10) if args.curriculum else args.input_length)
    if args.plain:
        network.plain = True
    return network, {"model": args.model, "sizes": sizes, "encoding": encoding}


def load_network(path: Path) -> nn.Module:
    """The trained network that a checkpoint of Part 1 holds, in eval mode: at its best epoch by validation, or at
    the end of its curriculum.

    It reads what `palindromes.encode(digits, network.encoding)` makes of digits. UserError if the file holds none.
    """
    content = checkpoint.load(path, kind="palindrome network")
    network = NETWORKS[content["model"]](**content["sizes"])
    if content["progress"]["best"] is None:
        raise UserError(f"{path}: this training has no network to show yet")
    network.load_state_dict(content["progress"]["best"])
    network.encoding = content["encoding"]
    return network.eval()
