"""Walks through latent space: the paths, the ends, the middles."""

import math
from types import SimpleNamespace

from common import seeds
from common.cli import UserError
from part2.gan import Generator
from part2.networks.walks import DRAWS, draw_and_read, find_ends, lerp, path_through, read_middles, slerp

import pytest
import torch
from torch import nn


def float64(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_slerp_follows_a_quarter_circle_and_along_one_line_the_straight_line():
    walk = slerp(float64([2, 0]), float64([0, 2]), torch.linspace(0, 1, 7, dtype=torch.float64))
    expected = [[2 * math.cos(k * math.pi / 12), 2 * math.sin(k * math.pi / 12)] for k in range(7)]
    torch.testing.assert_close(walk, float64(expected), rtol=0, atol=1e-12)
    z, alpha = torch.randn(100), torch.linspace(0, 1, 5)
    for factor in (1.0, 2.0, -1.0, -2.0):  # no arc: sin Ω would be 0; in one latent dimension all pairs are so
        torch.testing.assert_close(slerp(z, factor * z, alpha), lerp(z, factor * z, alpha), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("along", [lerp, slerp])
@pytest.mark.parametrize("latent_dim", [1, 100])
def test_walks_go_from_end_to_end_many_at_once_as_one_by_one(along, latent_dim):
    starts, ends = torch.randn(2, 3, latent_dim, dtype=torch.float64)
    alpha = torch.linspace(0, 1, 4, dtype=torch.float64)
    walks = along(starts, ends, alpha)
    torch.testing.assert_close(walks[:, [0, -1]], torch.stack([starts, ends], 1))
    for walk, z1, z2 in zip(walks, starts, ends, strict=True):
        torch.testing.assert_close(walk, along(z1, z2, alpha))


def test_a_straight_path_by_hand_passes_each_station_once_and_in_order():
    stations = [float64([0, 0]), float64([2, 4]), float64([2, 0])]
    path = path_through(stations, lerp, float64([0, 0.25, 1]))
    assert path.tolist() == [[0, 0], [0.5, 1], [2, 4], [2, 3], [2, 0]]


# The ends and the middles. Stubs: the image is z itself, and what is read is the image, ten probabilities.

IMAGE = nn.Identity()
READER = SimpleNamespace(read=lambda images: images)


def reading(**shares: float) -> torch.Tensor:
    """Ten probabilities: reading(d3=0.8, d4=0.2)."""
    return torch.tensor([shares.get(f"d{digit}", 0.0) for digit in range(10)])


def ends_among(*readings: torch.Tensor, digits: list[int]) -> dict[int, list[int]]:
    """Which points find_ends takes for each digit, by number."""
    found = find_ends(torch.arange(len(readings)).unsqueeze(1), torch.stack(readings), digits)
    return {digit: taken.flatten().tolist() for digit, taken in found.items()}


def test_latent_points_are_normal_draws_of_a_seed_and_read_in_their_order():
    torch.manual_seed(0)
    generator, reader = Generator(3).eval(), SimpleNamespace(read=lambda images: images[:, 0, 14, :10])
    z, probability = draw_and_read(generator, reader, 5)
    assert torch.equal(z, torch.randn(DRAWS, 3, generator=seeds.generator(5, "ends"))) and DRAWS == 20_000
    torch.testing.assert_close(probability[[0, 1500, -1]], reader.read(generator(z[[0, 1500, -1]])).detach())


def test_ends_are_the_points_read_with_a_confidence_of_95_percent_else_the_surest_of_those_read_as_the_digit():
    readings = reading(d3=0.94, d1=0.06), reading(d3=0.96), reading(d4=1), reading(d3=0.99)
    assert ends_among(*readings, digits=[3, 4, 3]) == {3: [1, 3], 4: [2]}
    # the first has the highest probability of a 3, but is read as an 8
    readings = reading(d3=0.48, d8=0.52), reading(d3=0.4, d1=0.3, d2=0.3), reading(d3=0.45, d1=0.3), reading(d1=1)
    assert ends_among(*readings, digits=[3]) == {3: [2]}
    with pytest.raises(UserError, match="--digits or --to 3: the classifier reads none of 2 images as a 3"):
        ends_among(reading(d3=0.48, d8=0.52), reading(d1=1), digits=[1, 3])


def test_each_walk_joins_a_start_and_an_end_drawn_at_random_and_independently_and_its_middle_is_read():
    """Of two starts and two ends all four pairs come about equally often; another seed draws others. Half-way from
    (0.6, 0.4) to (0.2, 0.8) of digits 3 and 7 stand (0.4, 0.6): a 7, though it starts at a 3."""
    starts = torch.stack([reading(d3=0.6, d7=0.4), reading(d1=1)])
    ends = torch.stack([reading(d3=0.2, d7=0.8), reading(d5=0.9)])
    shares = [read_middles(IMAGE, READER, (starts, ends), lerp, 600, seed) for seed in (0, 1)]
    assert list(shares[0]) == sorted(shares[0], key=shares[0].get, reverse=True) and shares[0] != shares[1]
    found = {digit: share for digit, share in shares[0].items() if share}
    assert found == {
        1: pytest.approx(0.5, abs=0.08),
        5: pytest.approx(0.25, abs=0.06),
        7: pytest.approx(0.25, abs=0.06),
    }
