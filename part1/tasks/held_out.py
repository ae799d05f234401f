"""Palindromes of any length, drawn fresh for training or held out from it."""

import math

import numpy as np
import torch

MIN_LENGTH = 4  # digits; shorter sequences cannot be held out
MAX_LENGTH = 2**22  # digits of a test sequence


def draw_palindromes(
    n: int,
    input_length: int,
    rng: np.random.Generator,
    held_out: bool | None = None,
    monotonous: int = 0,
    near: bool = False,
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
    if held_out is not None:
        check_can_be_held_out(input_length)
    n_free = math.ceil((input_length + 1) / 2)
    digits = rng.integers(0, 10, (n, n_free), dtype=np.uint8)
    digits[:monotonous, 1:] = draw_monotonous(monotonous, n_free - 1, rng)
    if near:
        half = digits[: monotonous // 2]
        half[:, 1:4] = draw_near(half[:, 0], rng)[:, : n_free - 1]
    if held_out is not None:
        move_across(digits, held_out)
    mirrored = digits[:, : input_length + 1 - n_free][:, ::-1]
    return torch.from_numpy(np.concatenate([digits, mirrored], axis=1))


def check_can_be_held_out(input_length: int) -> None:
    """ValueError if sequences of this length are too short for `move_across`."""
    if input_length < MIN_LENGTH:
        raise ValueError(f"input_length {input_length} is below {MIN_LENGTH}: shorter ones cannot be held out")


def draw_monotonous(n: int, length: int, rng: np.random.Generator, symbols: int = 10) -> np.ndarray:
    """Random digits (n, length), with one to three different digits in each row."""
    three = rng.integers(0, symbols, (n, 3), dtype=np.uint8)
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
