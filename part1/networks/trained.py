"""A trained network of Part 1: found, loaded, saved to be shared."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from common.cli import UserError
from common.files import fitting, load_checkpoint, load_state, save_checkpoint
from common.find import PRETRAINED, find_run
from part1.lstm import LSTM
from part1.networks.by_name import NETWORKS, by_hand
from part1.tasks.task import Task
from part1.tasks.tasks import TASKS

import torch
from torch import nn

KIND = "palindrome network"  # of a checkpoint


class Trained(NamedTuple):
    """A network with its task and the encoding of its digits. `load` returns it trained and in eval mode."""

    network: nn.Module
    task: Task
    encoding: str

    @property
    def encode(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """digits (…, time) → the network's input (…, time, input_dim)."""
        return partial(self.task.encode, encoding=self.encoding)

    @property
    def symbols(self) -> torch.Tensor:
        """All that the network may read at a step, encoded: (symbols, input_dim)."""
        device = next(self.network.parameters()).device
        return self.encode(torch.arange(self.task.automaton.next.shape[1], device=device))


def find_network(named: Path | None) -> Path:
    """The run or checkpoint to load: `named`, else the newest finished run of Part 1, else the pretrained LSTM."""
    return find_run(named, ["part1/train.py", "part1/train_proved.py"], PRETRAINED / "lstm")


def load(path: Path | str) -> Trained:
    """The trained network of a checkpoint or a run's folder: of the best epoch by validation, or after the last
    batch of train_proved.py. UserError if there is none, or if it does not fit."""
    content = load_checkpoint(path, KIND)
    with fitting(path):
        if (best := content["progress"]["best"]) is None:
            raise UserError(f"{path}: this run has no trained network yet; continue it with --resume")
        network = load_state(NETWORKS[content["model"]](**content["sizes"]), best)
        trained = Trained(network, TASKS[content.get("task", "palindrome")], content["encoding"])
        network(trained.encode(torch.zeros(1, 1, dtype=torch.uint8)))
        return trained


def load_network(path: Path | str) -> nn.Module:
    """The trained network alone. Its input is `encode(digits, encoding)` with the encoding of its run."""
    return load(path).network


def load_lstm(path: Path, any_task: bool = False) -> Trained:
    """A run's LSTM, as the class written by hand. UserError if it is none or, unless any_task, has another task."""
    trained = load(path)
    network = by_hand(trained.network)
    if not isinstance(network, LSTM):
        raise UserError(f"{path}: its network is no LSTM; name a run of --model lstm or torch_lstm")
    if not any_task and trained.task.name != "palindrome":
        raise UserError(f"{path}: its task is {trained.task.name}; this script shows palindromes only")
    return trained._replace(network=network)


def export_network(source: Path, target: Path) -> None:
    """Write a run's trained network to `target`, without the state of its training: a small file to share."""
    content = load_checkpoint(source, KIND)
    description = {key: content[key] for key in ("model", "sizes", "encoding", "task") if key in content}
    save_checkpoint(target, KIND, {**description, "progress": {"best": content["progress"]["best"]}})
