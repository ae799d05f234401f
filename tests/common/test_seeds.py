"""One seed, many streams of random numbers that know nothing of each other."""

from common import seeds

import torch
from hypothesis import given
from hypothesis import strategies as st

numbers, purposes = st.integers(0, 2**63 - 1), st.lists(st.text(max_size=5) | st.integers(0, 99), max_size=3)


@given(numbers, numbers, purposes, purposes)
def test_a_stream_is_named_by_its_seed_and_its_purpose(seed, other_seed, purpose, other_purpose):
    first, same = (torch.rand(3, generator=seeds.generator(seed, *purpose)) for _ in range(2))
    assert torch.equal(first, same)
    stream = seeds.stream_seed(seed, *purpose)
    assert (seeds.stream_seed(seed, *other_purpose) == stream) == (purpose == other_purpose)
    assert (seeds.stream_seed(other_seed, *purpose) == stream) == (seed == other_seed)


def test_a_seed_means_the_same_everywhere_and_purposes_that_look_alike_are_told_apart():
    assert seeds.stream_seed(0, "noise", 500) == 0x3A15E2D43FEB6176 >> 1  # SHA-256 of "(0, 'noise', 500)"
    alike = [(), ("noise",), ("noise", 1), ("noise", "1"), ("noise1",), ("noise", 1, 1), ("noise", 11), (1, "noise")]
    assert len({seeds.stream_seed(0, *purpose) for purpose in alike}) == len(alike)
