"""How far a network remembers: accuracy and loss by hand, what the table holds, what is left out of it."""

import math

from common.seeds import stream_seed
from part1.networks.trained import Trained
from part1.palindromes import PalindromeDataset
from part1.tasks import memory
from part1.tasks.memory import accuracy_at_lengths, evaluate
from part1.tasks.palindrome import draw_palindromes
from part1.tasks.tasks import PALINDROME

import numpy as np
import pytest
import torch
from torch import nn


class Knowing(nn.Module):
    """Gives the first digit the probability one half and the nine others one eighteenth each; of a 3 it says 4."""

    def __init__(self):
        super().__init__()
        rows = [4 if digit == 3 else digit for digit in range(10)]
        self.weights = nn.Parameter(math.log(9) * torch.eye(10)[rows])
        self.fc, self.seen = nn.Identity(), []

    def read(self, x: torch.Tensor, state=None) -> tuple[torch.Tensor, int]:
        """The state is the answer, and where in `seen` these sequences begin."""
        logits, start = state or (x[:, 0] @ self.weights, len(self.seen))
        if state is None:
            self.seen += [[] for _ in x]
        for row, digits in zip(self.seen[start:], x.argmax(2).tolist(), strict=True):
            row += digits
        return logits, start


def knowing(task=PALINDROME) -> Trained:
    return Trained(Knowing(), task, "one_hot")


def drawn(input_length: int, seed: int = 0) -> torch.Tensor:
    """The palindromes that are tested at a length."""
    rng = np.random.default_rng(stream_seed(seed, "test", input_length))
    return draw_palindromes(10_000, input_length, rng)


@pytest.mark.parametrize("copies", [1, 125, 126])  # of four sequences each: fewer and more than 500 at once
def test_cross_entropy_and_accuracy_by_hand(copies, monkeypatch):
    inputs = torch.tensor([[7, 1, 2], [0, 0, 5], [9, 9, 9], [2, 8, 8]], dtype=torch.uint8).repeat(copies, 1)
    targets = torch.tensor([7, 0, 9, 8]).repeat(copies)  # the last is not what the network says
    trained = knowing()
    assert memory.AT_ONCE * memory.PIECE <= 250_000  # digits that are encoded at once: one-hot, these are 10 MB
    monkeypatch.setattr(memory, "AT_ONCE", 500)
    monkeypatch.setattr(memory, "PIECE", 2)
    loss, accuracy = evaluate(trained, inputs, targets)
    assert accuracy == 3 / 4
    assert loss == pytest.approx((3 * math.log(2) + math.log(18)) / 4, rel=1e-5)
    assert trained.network.seen == inputs.tolist()  # each once, in order


def test_the_table_counts_what_is_wrong(capsys):
    accuracies = accuracy_at_lengths(knowing(), [4, 11], seed=5)
    wrong = {length: (drawn(length, seed=5)[:, 0] == 3).sum().item() for length in (4, 11)}
    assert accuracies == {str(length): pytest.approx(1 - n / 10_000) for length, n in wrong.items()}
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["input_length", "sequences", "wrong", "accuracy"]
    rows = [[f"{length}", "10,000", f"{n:,}", f"{1 - n / 10_000:.4f}"] for length, n in wrong.items()]
    assert [line.split() for line in lines] == rows


def test_palindromes_trained_on_are_left_out_at_their_own_length(capsys):
    length, trained = 5, knowing()
    known = PalindromeDataset(length, 800, np.random.default_rng(1)).digits
    accuracy_at_lengths(trained, [length, 12], seed=0, trained_on=known)
    before = {tuple(row) for row in known.tolist()}
    unknown = [row for row in drawn(length).tolist() if tuple(row) not in before]
    assert 1000 < len(unknown) < 3000  # a fifth of them
    assert trained.network.seen == [row[:-1] for row in unknown] + drawn(12)[:, :-1].tolist()
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [f"{len(unknown):,}", "10,000"]
    every = PalindromeDataset(length, 1000, np.random.default_rng(0)).digits  # there are a thousand
    assert list(accuracy_at_lengths(trained, [length, 12], 0, every)) == ["12"]


def test_fewer_are_tested_where_they_are_long():
    drawn = []

    def watched(n, input_length, rng):
        drawn.append((n, input_length))
        return draw_palindromes(2, 4, rng)

    lengths = [1, 1000, 1001, 100_000, 100_001, 2**20, 2**20 + 1, 2**22]
    accuracy_at_lengths(knowing(PALINDROME._replace(draw=watched)), lengths, 0)
    ns = [10_000, 10_000, 1000, 1000, 100, 100, 20, 20]
    assert drawn == list(zip(ns, lengths, strict=True))
