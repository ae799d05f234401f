"""Marked digits: where they stand, what is asked of them."""

from part1.tasks.marker import draw_marked, encode
from part1.tasks.tasks import TASKS

import numpy as np
import pytest
import torch


def draw(n: int, input_length: int, monotonous: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences (n, input_length) and targets (n,)."""
    drawn = draw_marked(n, input_length, np.random.default_rng(0), monotonous).long()
    return drawn[:, :-1], drawn[:, -1]


@pytest.mark.parametrize("input_length", [1, 4, 5, 10, 37, 100])
@pytest.mark.parametrize("monotonous", [0, 1500])
def test_one_digit_is_marked_and_is_the_target(input_length, monotonous):
    sequences, targets = draw(2000, input_length, monotonous)
    marked = sequences >= 10
    assert (marked.sum(1) == 1).all() and sequences.max() <= 19 and sequences.shape == (2000, input_length)
    assert torch.equal(sequences[marked] - 10, targets)
    places = marked.long().argmax(1)
    assert set(places.tolist()) == set(range(input_length))  # every place
    assert min(targets.bincount(minlength=10)) > 120  # 200 expected


def test_monotonous_ones_have_one_to_three_digits_beside_the_marked_one():
    sequences, targets = draw(400, 80, monotonous=300)
    others = [{d for d in row if d < 10} for row in sequences.tolist()]
    kinds = [len(digits) for digits in others]
    assert set(kinds[:300]) == {1, 2, 3} and min(kinds[300:]) > 3
    alone = [target not in digits for target, digits in zip(targets.tolist(), others, strict=True)]
    assert sum(alone[:300]) > 200  # the marked one is any digit: eight or nine in ten are not among the others


def test_a_marked_digit_is_encoded_as_the_digit_and_one_more_number():
    marked = torch.tensor([[3, 15]], dtype=torch.uint8)  # a three, and a five that is marked
    assert encode(marked, "raw").tolist() == [[[3.0, 0.0], [5.0, 1.0]]]
    assert torch.equal(encode(marked, "one_hot")[0, :, :10], torch.eye(10)[[3, 5]])


@pytest.mark.parametrize("name", TASKS)
def test_a_task_s_sizes_are_those_of_what_it_draws(name):
    task = TASKS[name]
    digits = task.draw(2000, 30, np.random.default_rng(0), 20)
    assert task.name == name and digits.shape == (2000, 31) and digits.dtype == torch.uint8
    assert digits[:, -1].max() == task.classes - 1
    for encoding, input_dim in task.input_dim.items():
        assert task.encode(digits[:, :-1], encoding).shape == (2000, 30, input_dim)
