"""Palindromes, a task of pure memory; and how a network reads digits."""

import math

from common import seeds
from common.cli import UserError

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset

NUM_CLASSES = 10  # the digits
MAX_TRAINED_LENGTH = 100_000  # digits of a training sequence, and wherever all steps are kept
ENCODINGS = {"scaled": 1, "raw": 1, "one_hot": NUM_CLASSES}  # name → numbers per digit


class PalindromeDataset(Dataset):
    """Distinct random palindromes of `input_length + 1` digits: the last digit is the target, the others are the input.

    The last digit equals the first, so the task is to remember the first digit over `input_length − 1` steps. The
    second half repeats the other digits, which say nothing about the first. With input_length 5:

        7 3 1 1 3 | 7        input [7, 3, 1, 1, 3], target 7

    Half of the digits (rounded up) are free; the other half mirrors them. Palindromes are drawn uniformly and without
    repetition. If fewer exist than `size` (only 1,000 at length 5), all of them are taken, in random order. (With more
    than 18 free digits, the first 18 are distinct: they begin in 10^18 ways, so this leaves out next to nothing.)

    Shapes: digits uint8 (n, input_length + 1). `dataset[index]` returns inputs (…, input_length) and targets (…), for
    one index or a tensor of them.
    """

    def __init__(self, input_length: int, size: int, rng: np.random.Generator):
        if not 1 <= input_length <= MAX_TRAINED_LENGTH:
            raise ValueError(f"input_length {input_length} is not between 1 and {MAX_TRAINED_LENGTH:,}")
        if size < 1:
            raise ValueError(f"size {size} is not positive")
        n_digits = input_length + 1
        n_free = math.ceil(n_digits / 2)
        n_distinct = min(n_free, 18)  # 10^18 is the last power of ten that an int64 holds
        size = min(size, 10**n_distinct)
        beginnings = rng.choice(10**n_distinct, size, replace=False)
        digits = np.empty((size, n_digits), dtype=np.uint8)
        for k in range(n_distinct):
            digits[:, k] = beginnings // 10**k % 10
        digits[:, n_distinct:n_free] = rng.integers(0, 10, (size, n_free - n_distinct), dtype=np.uint8)
        digits[:, n_free:] = digits[:, : n_digits - n_free][:, ::-1]
        self.digits = torch.from_numpy(digits)

    def __len__(self) -> int:
        return len(self.digits)

    def __getitem__(self, index) -> tuple[torch.Tensor, torch.Tensor]:
        digits = self.digits[index]
        return digits[..., :-1], digits[..., -1].long()


def split(n: int, portion_train: float) -> tuple[slice, slice, slice]:
    """Split n sequences: `portion_train` of them for training, half of the rest for validation, half for the test."""
    n_train = int(n * portion_train)
    n_validation = (n - n_train) // 2
    if n_train < 1 or n_validation < 1:
        raise UserError(
            f"--portion_train {portion_train}: of {n} palindromes, {n_train} would be for training and {n_validation} "
            "for validation; each part needs at least one"
        )
    return slice(n_train), slice(n_train, n_train + n_validation), slice(n_train + n_validation, n)


def draw_dataset(input_length: int, data_size: int, seed: int) -> PalindromeDataset:
    """Draw the palindromes of a run of part1/train.py with these settings."""
    return PalindromeDataset(input_length, data_size, np.random.default_rng(seeds.stream_seed(seed, "palindromes")))


def encode(digits: torch.Tensor, encoding: str) -> torch.Tensor:
    """Digits (…, time) → a network's input (…, time, numbers per digit), in PyTorch's default dtype.

    scaled   (digit − 4.5) / 4.5, one scalar in [−1, 1]
    raw      the digit itself as a scalar: never negative, and 9 has nine times the effect of 1
    one_hot  ten numbers: 1 in the digit's place, 0 in the others
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding {encoding!r} is not one of {', '.join(ENCODINGS)}")
    if encoding == "one_hot":
        return F.embedding(digits.int(), torch.eye(NUM_CLASSES, device=digits.device))
    x = digits.to(torch.get_default_dtype()).unsqueeze(-1)
    return (x - 4.5) / 4.5 if encoding == "scaled" else x
