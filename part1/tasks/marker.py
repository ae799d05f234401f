"""A second task, recall anywhere: one digit is marked, and the network names it at the end of the sequence."""

from part1 import palindromes
from part1.palindromes import ENCODINGS, NUM_CLASSES
from part1.tasks.palindrome import draw_monotonous
from part1.tasks.task import Automaton, Task

import numpy as np
import torch

MARK = 10  # a marked digit d is written 10 + d


def draw_marked(n: int, input_length: int, rng: np.random.Generator, monotonous: int = 0) -> torch.Tensor:
    """n random sequences with a marked digit, uint8 (n, input_length + 1): the input, then the target as last column.

        3 1 4 1 [5] 9 2 6 5 3 | 5        [5] is marked, written 15; the target is 5

    All digits are uniform, and the mark is anywhere. The first `monotonous` sequences have only one
    to three different digits beside the marked one.
    """
    digits = rng.integers(0, 10, (n, input_length), dtype=np.uint8)
    rows, marked = np.arange(n), rng.integers(0, input_length, n)
    targets = digits[rows, marked]
    digits[:monotonous] = draw_monotonous(monotonous, input_length, rng)
    digits[rows, marked] = targets + MARK
    return torch.from_numpy(np.concatenate([digits, targets[:, None]], axis=1))


def encode(digits: torch.Tensor, encoding: str) -> torch.Tensor:
    """Digits (…, time) → x (…, time, input_dim): as for palindromes, and one more number: 1 for a marked digit."""
    x = palindromes.encode(digits % MARK, encoding)
    return torch.cat([x, (digits >= MARK).unsqueeze(-1).to(x.dtype)], dim=-1)


def automaton() -> Automaton:
    """State 0 waits for the marked digit; in state 1 + d it was d, and no other mark may come."""
    next_state = torch.arange(1 + NUM_CLASSES).unsqueeze(1).repeat(1, 2 * NUM_CLASSES)
    next_state[0, MARK:], next_state[1:, MARK:] = torch.arange(1, 1 + NUM_CLASSES), -1
    return Automaton(next_state, torch.arange(-1, NUM_CLASSES))


INPUT_DIM = {name: n + 1 for name, n in ENCODINGS.items()}
MARKER = Task("marker", draw_marked, encode, INPUT_DIM, NUM_CLASSES, automaton())
