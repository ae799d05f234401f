"""The networks of Part 1 by name: how one is built, how its weights are initialised, how a trained one is loaded."""

from pathlib import Path

import torch
from torch import nn

from common import checkpoint
from common.cli import UserError
from common.runs import PRETRAINED, find_run
from part1.lstm import LSTM
from part1.palindromes import MARKED
from part1.rnn import VanillaRNN

KIND = "palindrome network"  # of a checkpoint


@torch.no_grad()
def to_torch(network: LSTM | VanillaRNN) -> nn.LSTM | nn.RNN:
    """PyTorch's own layer with the network's weights, row by row. PyTorch has two biases; the second one is set to 0.

    The layer reads x (batch, time, input_dim). Pass its last output to `network.fc` to get the logits.
    """
    kind = {LSTM: nn.LSTM, VanillaRNN: nn.RNN}[type(network)]
    options = {"dtype": network.bias.dtype, "device": network.bias.device}
    core = kind(network.input_dim, network.hidden_dim, batch_first=True, **options)
    core.weight_ih_l0.copy_(network.weight_ih)
    core.weight_hh_l0.copy_(network.weight_hh)
    core.bias_ih_l0.copy_(network.bias)
    core.bias_hh_l0.zero_()
    return core


@torch.no_grad()
def copy_from_torch(network: LSTM | VanillaRNN, core: nn.LSTM | nn.RNN) -> None:
    """Copy the weights of PyTorch's own layer into the network; ValueError if the network cannot hold them.

    It can if PyTorch's layer is of the same kind and size, has one layer and one direction, and an nn.RNN uses tanh.
    """
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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, _ = self.read(x)
        return self.fc(h)

    def read(
        self, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Like `LSTM.read`."""
        _, (h, c) = self.lstm(x, state and tuple(part.unsqueeze(0) for part in state))
        return h.squeeze(0), c.squeeze(0)


def by_hand(network: nn.Module) -> nn.Module:
    """Turn a trained `TorchLSTM` into the LSTM by hand with its weights, in eval mode; return any other unchanged."""
    if not isinstance(network, TorchLSTM):
        return network
    lstm = LSTM(network.lstm.input_size, network.hidden_dim, network.fc.out_features)
    copy_from_torch(lstm, network.lstm)
    lstm.fc, lstm.encoding = network.fc, network.encoding
    return lstm.eval()


NETWORKS = {"lstm": LSTM, "rnn": VanillaRNN, "torch_lstm": TorchLSTM}
INITS = ("memory", "uniform", "normal")


@torch.no_grad()
def initialise(network: nn.Module, init: str, length: int) -> None:
    """Draw the network's initial weights.

    memory   made for remembering over `length` steps: see `LSTM.reset_parameters`
    uniform  every parameter ~ U(−k, k) with k = 1/√hidden: PyTorch's own initialisation
    normal   every weight ~ N(0, 1), biases zero: the reference's. With 128 units each gate sums 128 terms, so its
             argument has a standard deviation of up to √128 ≈ 11: gates start open or shut, and hardly learn
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
    """Make the network called `model`, initialised for sequences of `length`; `plain` asks for the LSTM's plain loop.

    `sizes` are input_dim, hidden_dim and output_dim. The weights come from PyTorch's global random generator, seeded
    with `seed`. Nothing else uses that generator.
    """
    torch.manual_seed(seed)
    network = NETWORKS[model](**sizes, **({"plain": True} if plain else {}))
    initialise(network, init, length)
    return network


def find_network(named: Path | None) -> Path:
    """Choose the run or checkpoint to load: `named` if it is given, else the newest finished run of Part 1's train
    scripts in outputs/part1, else the pretrained LSTM."""
    return find_run(named, ["part1/train.py", "part1/train_curriculum.py"], PRETRAINED / "lstm")


def export_network(source: Path, target: Path) -> None:
    """Write a run's trained network to `target`, without the state of its training: a small file to share."""
    content = checkpoint.load(source, KIND)
    description = {key: content[key] for key in ("model", "sizes", "encoding")}
    checkpoint.save(target, KIND, {**description, "progress": {"best": content["progress"]["best"]}})


def load_network(path: Path | str) -> nn.Module:
    """Load the trained network of a Part 1 checkpoint, in eval mode: the one of the best epoch by validation, or of the
    end of the curriculum. `path` is the checkpoint or the folder of its run.

    The network's input is `palindromes.encode(digits, network.encoding)`. UserError if there is no trained network.
    """
    content = checkpoint.load(path, KIND)
    if content["progress"]["best"] is None:
        raise UserError(f"{path}: this run has no trained network yet; continue it with --resume")
    network = NETWORKS[content["model"]](**content["sizes"])
    network.load_state_dict(content["progress"]["best"])
    network.encoding = content["encoding"]
    return network.eval()


def load_lstm(source: Path) -> LSTM:
    """The trained LSTM of a run or checkpoint, by hand; UserError if it is none, or does not read palindromes."""
    network = by_hand(load_network(source))
    if not isinstance(network, LSTM):
        raise UserError(f"{source}: its network is no LSTM; name a run of --model lstm or torch_lstm")
    if network.encoding.endswith(MARKED):
        raise UserError(f"{source}: its network recalls a marked digit; this script shows palindromes only")
    return network
