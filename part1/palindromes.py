"""Palindromes, a task of pure memory; and how a network reads digits."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset

from common.cli import UserError

NUM_CLASSES = 10  # the digits
MAX_INPUT_LENGTH = 2**22  # digits of a test sequence
MAX_TRAINED_LENGTH = 100_000  # digits of a training sequence, and wherever all steps are kept
MIN_HELD_OUT_LENGTH = 4  # digits; shorter sequences cannot be held out


class PalindromeDataset(Dataset):
    """Distinct random palindromes of `input_length + 1` digits: the first `input_length` are the input, the last is
    the target.

    The last digit equals the first, so the task is to remember the first digit over `input_length − 1` steps. The
    second half repeats the other digits, which say nothing about the first. With input_length 5 a palindrome has six
    digits:

        7 3 1 1 3 | 7        input [7, 3, 1, 1, 3], target 7

    Half of the digits (rounded up) are free; the other half mirrors them. Palindromes are drawn uniformly and without
    repetition. If fewer exist than `size` (only 1,000 at length 5), all of them are taken, in random order, so
    `len(dataset)` may be smaller than `size`. (With more than 18 free digits, only the first 18 are kept distinct: they
    begin in 10^18 ways, so this leaves out next to nothing.)

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


def draw_palindromes(
    n: int, input_length: int, rng: np.random.Generator, held_out: bool, monotonous: int = 0, near: bool = False
) -> torch.Tensor:
    """n random palindromes, digits uint8 (n, input_length + 1), either for training or held out from training.

    A palindrome is held out if Σ k·d(k) over its free digits d(1), d(2), … is divisible by 10, else it may be trained
    on. The rule depends on the palindrome alone, so training and test never share one, however many are drawn. A draw
    on the wrong side is moved across by changing its third digit, which needs input_length ≥ 4.

    The first `monotonous` palindromes have only one to three different digits after the first digit (the third digit
    may be a fourth one if it was changed). They contain long runs and odd mixtures, which uniform digits hardly ever
    contain. With `near`, half of them begin with near digits (`draw_near`); a network that reads digits as scalars
    finds it hardest to tell these apart.
    """
    check_can_be_held_out(input_length)
    n_free = math.ceil((input_length + 1) / 2)
    digits = rng.integers(0, 10, (n, n_free), dtype=np.uint8)
    digits[:monotonous, 1:] = draw_monotonous(monotonous, n_free - 1, rng)
    if near:
        half = digits[: monotonous // 2]
        half[:, 1:4] = draw_near(half[:, 0], rng)[:, : n_free - 1]
    move_across(digits, held_out)
    mirrored = digits[:, : input_length + 1 - n_free][:, ::-1]
    return torch.from_numpy(np.concatenate([digits, mirrored], axis=1))


def check_can_be_held_out(input_length: int) -> None:
    """ValueError if sequences of this length are too short for `move_across`."""
    if input_length < MIN_HELD_OUT_LENGTH:
        raise ValueError(f"input_length {input_length} is below {MIN_HELD_OUT_LENGTH}: shorter ones cannot be held out")


def draw_monotonous(n: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Random digits (n, length), with one to three different digits in each row."""
    if n == 0:
        return np.empty((0, length), np.uint8)
    three = rng.integers(0, 10, (n, 3), dtype=np.uint8)
    how_many = rng.integers(1, 4, (n, 1))
    which = (rng.random((n, length)) * how_many).astype(np.int64)
    return np.take_along_axis(three, which, axis=1)


def draw_near(first: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three digits (n, 3) after each first digit (n,): the same, one less, one more, 0 or 9, all equally likely."""
    low, high = np.maximum(first, 1) - 1, np.minimum(first, 8) + 1
    kinds = np.stack([low, first, high, np.zeros_like(first), np.full_like(first, 9)], axis=1)
    return np.take_along_axis(kinds, rng.integers(0, 5, (len(first), 3)), axis=1)


def move_across(digits: np.ndarray, held_out: bool) -> None:
    """Change the third digits in place so that Σ k·d(k) of each row is divisible by 10, or is not; k counts from 1."""
    weights = np.arange(1, digits.shape[1] + 1) % 10
    checksum = np.array([row @ weights for row in digits]) % 10  # row by row, to save memory
    if held_out:
        digits[:, 2] = (digits[:, 2] + 3 * checksum) % 10  # 3 · 3 · checksum + checksum = 10 · checksum
    else:
        digits[checksum == 0, 2] = (digits[checksum == 0, 2] + 1) % 10


ENCODINGS = {"scaled": 1, "raw": 1, "one_hot": NUM_CLASSES}  # name → numbers per digit
MARKED = "_marked"  # end of an encoding's name: one more number per digit, which is 1 if it is marked
MARK = 10  # a marked digit d is written 10 + d


def input_dim(encoding: str) -> int:
    """The number of inputs per digit."""
    return ENCODINGS[encoding.removesuffix(MARKED)] + encoding.endswith(MARKED)


def encode(digits: torch.Tensor, encoding: str) -> torch.Tensor:
    """Digits (…, time) → a network's input (…, time, input_dim), in PyTorch's default dtype.

    scaled   (digit − 4.5) / 4.5, one scalar in [−1, 1]
    raw      the digit itself as a scalar: never negative, and 9 has nine times the effect of 1
    one_hot  ten numbers: 1 in the digit's place, 0 in the others

    With "_marked" after the name there is one more number: 1 for a marked digit, else 0. A marked digit d is given as
    10 + d.
    """
    if encoding.endswith(MARKED):
        x = encode(digits % MARK, encoding.removesuffix(MARKED))
        return torch.cat([x, (digits >= MARK).unsqueeze(-1).to(x.dtype)], dim=-1)
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding {encoding!r} is not one of {', '.join(ENCODINGS)}")
    if encoding == "one_hot":
        return F.embedding(digits.int(), torch.eye(NUM_CLASSES, device=digits.device))
    x = digits.to(torch.get_default_dtype()).unsqueeze(-1)
    return (x - 4.5) / 4.5 if encoding == "scaled" else x
