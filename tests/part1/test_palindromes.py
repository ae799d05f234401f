"""Palindromes: what is drawn, how evenly, how it is split, served and encoded."""

import math

from common.cli import UserError
from part1.palindromes import ENCODINGS, PalindromeDataset, encode, split
from part1.tasks.palindrome import draw_palindromes

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st


def draw(input_length: int, size: int, seed: int = 0) -> PalindromeDataset:
    return PalindromeDataset(input_length, size, np.random.default_rng(seed))


def free(digits: torch.Tensor) -> torch.Tensor:
    """The digits that the others mirror: the first half, with the one in the middle if there is one."""
    return digits[:, : (digits.shape[1] + 1) // 2].long()


def chi_square(digits: torch.Tensor) -> float:
    """Of the frequencies of ten digits; fair ones exceed 45 with p < 1e-6."""
    counts, expected = digits.long().bincount(minlength=10), len(digits) / 10
    return ((counts - expected) ** 2 / expected).sum().item()


@pytest.mark.parametrize("input_length", [*range(1, 11), 34, 35, 36, 37, 60, 100_000])  # more do not fit in an int64
def test_every_row_is_a_palindrome_of_fair_digits_no_two_are_alike_and_all_asked_for_are_there(input_length):
    for size in (1, 300, 10_000) if input_length <= 60 else (3,):
        digits = draw(input_length, size, seed=size).digits
        assert digits.dtype == torch.uint8 and digits.shape[1] == input_length + 1 and digits.max() <= 9
        assert torch.equal(digits, digits.flip(1))
        assert len(digits.unique(dim=0)) == len(digits) == min(size, 10 ** math.ceil((input_length + 1) / 2))
        assert input_length <= 2 or size < 300 or len(digits[:50, 0].unique()) > 5  # in random order
        assert input_length <= 10 or size < 10_000 or all(chi_square(column) < 45 for column in digits.T)


def test_an_impossible_length_or_size_is_a_value_error():
    for length, size in ((0, 1), (100_001, 1), (5, 0)):
        with pytest.raises(ValueError, match=r"input_length (0|100001) is not|size 0 is not"):
            draw(length, size)


def test_one_is_served_as_in_the_docstring_and_many_are_the_single_ones_stacked():
    dataset = draw(5, 1000)
    inputs, target = dataset[dataset.digits.tolist().index([7, 3, 1, 1, 3, 7])]
    assert (inputs.tolist(), target.item()) == ([7, 3, 1, 1, 3], 7)
    inputs, targets = dataset[torch.tensor([4, 0, 4])]
    for k, index in enumerate((4, 0, 4)):
        assert torch.equal(inputs[k], dataset[index][0]) and targets[k] == dataset[index][1]
    assert targets.dtype == torch.int64


@given(st.integers(1, 10_000), st.floats(0.001, 0.999))
def test_the_parts_cover_everything_once(n, portion):
    try:
        parts = split(n, portion)
    except UserError:
        assert int(n * portion) < 1 or n - int(n * portion) < 2  # one part would be empty
        return
    training, validation, test = (list(range(n)[part]) for part in parts)
    assert training + validation + test == list(range(n))
    assert len(training) == int(n * portion) and 0 <= len(test) - len(validation) <= 1 and validation


@pytest.mark.parametrize("input_length", [1, 2, 5, 9, 10, 38, 301, 1000])
def test_drawn_freely_all_are_palindromes_of_fair_digits(input_length):
    size = 20_000 if input_length < 100 else 2000
    for monotonous in (0, size // 2, size):
        digits = draw_palindromes(size, input_length, np.random.default_rng(0), monotonous)
        assert digits.dtype == torch.uint8 and digits.shape == (size, input_length + 1) and digits.max() <= 9
        assert torch.equal(digits, digits.flip(1))
        assert chi_square(digits[:, 0]) < 45 and chi_square(free(digits)[:, -1]) < 45


def test_monotonous_ones_have_one_to_three_digits_after_the_first():
    digits = free(draw_palindromes(400, 99, np.random.default_rng(0), monotonous=300))
    different = [len(set(row)) for row in digits[:, 1:].tolist()]
    assert set(different[:300]) == {1, 2, 3}
    assert min(different[300:]) > 3  # the others are as ever
    assert all(different[:300].count(n) > 40 for n in (1, 2, 3))  # 111, 117 and 72 expected


def test_digits_encoded_by_hand_and_each_encoding_tells_all_ten_apart():
    digits = torch.tensor([[0, 9, 5]], dtype=torch.uint8)
    assert encode(digits, "scaled")[0, :, 0].tolist() == pytest.approx([-1, 1, 1 / 9])
    assert encode(digits, "raw").tolist() == [[[0.0], [9.0], [5.0]]]
    assert encode(digits[:, :2], "one_hot").tolist() == [[[1.0] + [0.0] * 9, [0.0] * 9 + [1.0]]]
    for encoding, width in ENCODINGS.items():
        x = encode(torch.arange(10).expand(3, 10), encoding)
        assert x.dtype == torch.float32 and x.shape == (3, 10, width) and len(x[0].unique(dim=0)) == 10
        assert torch.equal(encode(torch.arange(10), encoding), x[0])
    with pytest.raises(ValueError, match="scaled, raw, one_hot"):
        encode(digits, "binary")
