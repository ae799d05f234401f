"""Tasks beyond memory: the sum of all digits so far modulo m, and how many digits were marked, modulo 2."""

from part1 import palindromes
from part1.palindromes import ENCODINGS
from part1.tasks import marker
from part1.tasks.palindrome import draw_monotonous
from part1.tasks.task import Automaton, Task

import numpy as np
import torch


def counting(name: str, amounts: torch.Tensor, modulus: int, encode, input_dim: dict[str, int]) -> Task:
    """State q is the sum so far modulo `modulus`; symbol x adds amounts[x]."""
    states = torch.arange(modulus)
    automaton = Automaton((states.unsqueeze(1) + amounts) % modulus, states)

    def draw(n: int, input_length: int, rng: np.random.Generator, monotonous: int = 0) -> torch.Tensor:
        """n random sequences, uint8 (n, input_length + 1); the last column is the answer."""
        symbols = rng.integers(0, len(amounts), (n, input_length), dtype=np.uint8)
        symbols[:monotonous] = draw_monotonous(monotonous, input_length, rng, len(amounts))
        symbols = torch.from_numpy(symbols)
        return torch.cat([symbols, automaton.states(symbols)[:, -1:].to(torch.uint8)], dim=1)

    return Task(name, draw, encode, input_dim, modulus, automaton)


DIGITS, MARKED = torch.arange(10), torch.arange(2 * marker.MARK) // marker.MARK
SUMS = [counting(f"sum{m}", DIGITS, m, palindromes.encode, ENCODINGS) for m in (2, 3)]
SUMS.append(counting("marks2", MARKED, 2, marker.encode, marker.INPUT_DIM))
