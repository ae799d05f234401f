"""Marked digits: where they stand, what is asked of them, which sequences are held out."""

import numpy as np
import pytest
import torch

from part1.marker import draw_for, draw_marked
from part1.palindromes import draw_palindromes

lengths = pytest.mark.parametrize("input_length", [4, 5, 10, 37, 100])


def draw(n: int, input_length: int, held_out: bool, monotonous: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences (n, input_length) and targets (n,)."""
    drawn = draw_marked(n, input_length, np.random.default_rng(0), held_out, monotonous).long()
    return drawn[:, :-1], drawn[:, -1]


@lengths
@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("monotonous", [0, 1500])
def test_one_digit_is_marked_in_the_first_half_and_is_the_target(input_length, held_out, monotonous):
    sequences, targets = draw(2000, input_length, held_out, monotonous)
    marked = sequences >= 10
    assert (marked.sum(1) == 1).all() and sequences.max() <= 19 and sequences.shape == (2000, input_length)
    assert torch.equal(sequences[marked] - 10, targets)
    places = marked.long().argmax(1)
    assert set(places.tolist()) == set(range((input_length + 1) // 2))  # every place, and none beyond
    assert min(targets.bincount(minlength=10)) > 120  # 200 expected


@lengths
@pytest.mark.parametrize("held_out", [False, True])
def test_the_checksum_over_all_digits_says_which_side_a_sequence_is_on(input_length, held_out):
    sequences, _ = draw(2000, input_length, held_out, monotonous=1000)
    checksums = (sequences % 10 * torch.arange(1, input_length + 1)).sum(1) % 10
    assert ((checksums == 0) == held_out).all()


def test_monotonous_ones_have_one_to_three_digits_beside_the_marked_one_and_the_third():
    sequences, _ = draw(400, 80, False, monotonous=300)
    kinds = [len({d for k, d in enumerate(row) if d < 10 and k != 2}) for row in sequences.tolist()]
    assert set(kinds[:300]) == {1, 2, 3} and min(kinds[300:]) > 3


def test_too_short_a_sequence_is_a_value_error():
    with pytest.raises(ValueError, match="input_length 3 is below 4"):
        draw(1, 3, held_out=True)


def test_scalar_palindromes_begin_near_one_hot_ones_do_not_and_the_encoding_tells_the_task():
    def drawn(draw, **more) -> list:
        return draw(20, 30, np.random.default_rng(0), False, 20, **more).tolist()

    plain, near = drawn(draw_palindromes), drawn(draw_palindromes, near=True)
    assert plain != near
    assert drawn(draw_for("one_hot")) == plain and drawn(draw_for("scaled")) == drawn(draw_for("raw")) == near
    assert drawn(draw_for("one_hot_marked")) == drawn(draw_for("scaled_marked")) == drawn(draw_marked)
