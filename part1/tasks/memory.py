"""How far a network remembers: its accuracy on palindromes it was never trained on, at any length."""

from common import seeds
from common.cli import Table, progress_bar
from part1.networks.trained import Trained
from part1.palindromes import draw_dataset, split
from part1.tasks.task import Task
from part1.tasks.tasks import TASKS

import numpy as np
import torch
import torch.nn.functional as F

MAX_LENGTH = 2**22  # digits of a test sequence
AT_ONCE = 1_000  # sequences in one batch
PIECE = 250  # digits of each that are encoded at a time
LENGTHS = [10, 30, 100, 300, 1_000, 2_000, 10_000, 100_000]
MONOTONOUS = 0.6  # of the sequences to prove; uniform ones hardly contain long runs and odd mixtures
TESTED = {1_000: 10_000, 100_000: 1_000, 2**20: 100, MAX_LENGTH: 20}  # up to this input length → sequences


@torch.no_grad()
def evaluate(trained: Trained, inputs: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
    """Mean cross entropy (nats) and accuracy of the network on the sequences: inputs (n, length), targets (n,).

    Sequences are read in pieces; the state is passed from piece to piece. So memory does not grow with length.
    """
    network, loss, correct = trained.network, 0.0, 0.0
    device = next(network.parameters()).device
    with progress_bar(inputs.numel(), "digit", delay=2) as bar:
        for sequences, target in zip(inputs.split(AT_ONCE), targets.split(AT_ONCE), strict=True):
            state = None
            for piece in sequences.split(PIECE, dim=1):
                state = network.read(trained.encode(piece.to(device)), state)
                bar.update(piece.numel())
            logits, target = network.fc(state[0]), target.to(device)
            loss += F.cross_entropy(logits, target, reduction="sum").item()
            correct += (logits.argmax(1) == target).sum().item()
    return loss / len(targets), correct / len(targets)


def accuracy_at_lengths(
    trained: Trained, lengths: list[int], seed: int, trained_on: torch.Tensor | None = None
) -> dict[str, float]:
    """Test the network at each input length, on as many sequences as TESTED says, and print a table. Returns input
    length (as text) → accuracy. Those in `trained_on` (n, length + 1) are left out."""
    table, accuracies = Table(input_length=",d", sequences=",d", wrong=",d", accuracy=".4f"), {}
    for input_length in lengths:
        rng = np.random.default_rng(seeds.stream_seed(seed, "test", input_length))
        n = next(n for longest, n in TESTED.items() if input_length <= longest)
        digits = trained.task.draw(n, input_length, rng)
        if trained_on is not None and trained_on.shape[1] == digits.shape[1]:
            known = {row.tobytes() for row in trained_on.cpu().numpy()}
            digits = digits[[row.tobytes() not in known for row in digits.numpy()]]
        if n := len(digits):
            _, accuracy = evaluate(trained, digits[:, :-1], digits[:, -1].long())
            accuracies[str(input_length)] = accuracy
            wrong = round((1 - accuracy) * n)
            table.print_row({"input_length": input_length, "sequences": n, "wrong": wrong, "accuracy": accuracy})
    return accuracies


def draw_to_prove(task: Task, n: int, seed: int) -> torch.Tensor:
    """The n sequences of ten digits that part1/train_proved.py trains on: digits (n, 11)."""
    rng = np.random.default_rng(seeds.stream_seed(seed, "proved"))
    return task.draw(n, 10, rng, monotonous=round(MONOTONOUS * n))


def training_digits(script: str, arguments: dict) -> torch.Tensor | None:
    """The sequences that a run trained on, from its settings: digits (n, input_length + 1); None of another script."""
    if script == "part1/train_proved.py":
        return draw_to_prove(TASKS[arguments["task"]], arguments["data_size"], arguments["seed"])
    if script != "part1/train.py":
        return None
    dataset = draw_dataset(arguments["input_length"], arguments["data_size"], arguments["seed"])
    training, _, _ = split(len(dataset), arguments["portion_train"])
    return dataset.digits[training]
