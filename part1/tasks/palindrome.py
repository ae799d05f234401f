"""The first task: name the first digit. The sequences are palindromes, here of any length and as often as asked for."""

import math

from part1.palindromes import ENCODINGS, NUM_CLASSES, encode
from part1.tasks.task import Automaton, Task

import numpy as np
import torch


def draw_palindromes(n: int, input_length: int, rng: np.random.Generator, monotonous: int = 0) -> torch.Tensor:
    """n random palindromes, digits uint8 (n, input_length + 1).

    The first `monotonous` ones have only one to three different digits after the first digit. They contain long runs
    and odd mixtures, which uniform digits hardly ever contain.
    """
    n_free = math.ceil((input_length + 1) / 2)
    digits = rng.integers(0, 10, (n, n_free), dtype=np.uint8)
    digits[:monotonous, 1:] = draw_monotonous(monotonous, n_free - 1, rng)
    mirrored = digits[:, : input_length + 1 - n_free][:, ::-1]
    return torch.from_numpy(np.concatenate([digits, mirrored], axis=1))


def draw_monotonous(n: int, length: int, rng: np.random.Generator, symbols: int = 10) -> np.ndarray:
    """Random digits (n, length), with one to three different digits in each row."""
    three = rng.integers(0, symbols, (n, 3), dtype=np.uint8)
    how_many = rng.integers(1, 4, (n, 1))
    which = (rng.random((n, length)) * how_many).astype(np.int64)
    return np.take_along_axis(three, which, axis=1)


FIRST = torch.arange(1, 1 + NUM_CLASSES)  # state 1 + d: the first digit was d
REMEMBER = Automaton(torch.cat([FIRST[None], FIRST[:, None].expand(-1, NUM_CLASSES)]), torch.arange(-1, NUM_CLASSES))
PALINDROME = Task("palindrome", draw_palindromes, encode, ENCODINGS, NUM_CLASSES, REMEMBER)
