"""How far a network remembers: accuracy and loss by hand, what the table holds, what is left out of it."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from common.seeds import stream_seed
from part1 import memory
from part1.memory import accuracy_at_lengths, evaluate
from part1.palindromes import PalindromeDataset, draw_palindromes


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


def drawn(input_length: int, seed: int = 0) -> torch.Tensor:
    """The palindromes that are tested at a length."""
    rng = np.random.default_rng(stream_seed(seed, "test", input_length))
    return draw_palindromes(10_000, input_length, rng, held_out=True)


@pytest.mark.parametrize("copies", [1, 124, 125, 126, 300])  # of four sequences each: fewer and more than 500 at once
def test_cross_entropy_and_accuracy_by_hand(copies, monkeypatch):
    inputs = torch.tensor([[7, 1, 2], [0, 0, 5], [9, 9, 9], [2, 8, 8]], dtype=torch.uint8).repeat(copies, 1)
    targets = torch.tensor([7, 0, 9, 8]).repeat(copies)  # the last is not what the network says
    network = Knowing()
    monkeypatch.setattr(memory, "AT_ONCE", 500)
    monkeypatch.setattr(memory, "PIECE", 2)
    loss, accuracy = evaluate(network, inputs, targets, "one_hot")
    assert accuracy == 3 / 4
    assert loss == pytest.approx((3 * math.log(2) + math.log(18)) / 4, rel=1e-5)
    assert network.seen == inputs.tolist()  # each once, in order


def test_however_long_the_sequences_few_enough_are_read_at_once(monkeypatch):
    sizes, network = [], Knowing()
    monkeypatch.setattr(memory, "encode", lambda digits, encoding: sizes.append(digits.shape) or digits)
    network.read = lambda digits, state: (torch.zeros(len(digits), 10),)
    evaluate(network, torch.zeros(2500, 10_010, dtype=torch.uint8), torch.zeros(2500, dtype=torch.int64), "one_hot")
    assert sum(n * time for n, time in sizes) == 2500 * 10_010
    assert max(n * time for n, time in sizes) <= 250_000  # one-hot, these are 10 MB


def test_the_table_counts_what_is_wrong(capsys):
    accuracies = accuracy_at_lengths(Knowing(), "one_hot", [4, 11], seed=5)
    wrong = {length: (drawn(length, seed=5)[:, 0] == 3).sum().item() for length in (4, 11)}
    assert accuracies == {str(length): pytest.approx(1 - n / 10_000) for length, n in wrong.items()}
    assert all(800 < n < 1200 for n in wrong.values())
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["input_length", "sequences", "wrong", "accuracy"]
    rows = [[f"{length}", "10,000", f"{n:,}", f"{1 - n / 10_000:.4f}"] for length, n in wrong.items()]
    assert [line.split() for line in lines] == rows
    assert len({len(line) for line in (header, *lines)}) == 1  # aligned


@pytest.mark.parametrize("length", [4, 5])
def test_palindromes_trained_on_are_left_out_at_their_own_length(length, capsys):
    known, network = PalindromeDataset(length, 800, np.random.default_rng(1)).digits, Knowing()
    accuracy_at_lengths(network, "one_hot", [length, 12], seed=0, trained_on=known)
    before = {tuple(row) for row in known.tolist()}
    unknown = [row for row in drawn(length).tolist() if tuple(row) not in before]
    assert 1000 < len(unknown) < 3000  # a fifth of them
    assert network.seen == [row[:-1] for row in unknown] + drawn(12)[:, :-1].tolist()
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [f"{len(unknown):,}", "10,000"]
    every = draw_palindromes(100_000, length, np.random.default_rng(0), held_out=True)  # there are a hundred
    assert list(accuracy_at_lengths(network, "one_hot", [length, 12], 0, every)) == ["12"]


def test_a_length_is_drawn_alike_whatever_is_asked_for_beside_it_and_others_by_another_seed():
    alone, among, other = Knowing(), Knowing(), Knowing()
    accuracy_at_lengths(alone, "one_hot", [20], 0)
    accuracy_at_lengths(among, "one_hot", [4, 20], 0)
    accuracy_at_lengths(other, "one_hot", [20], 1)
    assert among.seen[10_000:] == alone.seen
    assert not set(map(tuple, alone.seen)) & set(map(tuple, other.seen))


def test_all_are_held_out_from_training_and_fewer_where_they_are_long(monkeypatch):
    sides = []

    def watched(n, input_length, rng, held_out, monotonous=0):
        sides.append((n, input_length, held_out, monotonous))
        return draw_palindromes(2, 4, rng, held_out)

    monkeypatch.setattr(memory, "draw_for", lambda encoding: watched)
    accuracy_at_lengths(Knowing(), "one_hot", [4, 1000, 1001, 100_000, 100_001, 2**20, 2**20 + 1], 0)
    ns = {4: 10_000, 1000: 10_000, 1001: 1000, 100_000: 1000, 100_001: 100, 2**20: 100, 2**20 + 1: 20}
    assert sides == [(n, length, True, 0) for length, n in ns.items()]
