"""The measures: against torchmetrics and prdc, and against cases computed by hand."""

import math

from part2.judges.measures import frechet, memorised, nearest, neighbourhood, radii, score

import pytest
import torch
from prdc import compute_prdc
from torchmetrics.image.fid import FrechetInceptionDistance


class AsItIs(torch.nn.Module):
    """Stands in for a feature extractor: hands its input through."""

    num_features = 16

    def forward(self, x):
        return x


def features(n: int, seed: int, shift: float = 0.0, spread: float = 1.0) -> torch.Tensor:
    """Correlated, skewed features (n, 16), as after a ReLU: many are zero."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(16, 16, generator=torch.Generator().manual_seed(99))
    return (spread * torch.randn(n, 16, generator=generator) @ mix + shift).relu()


CASES = {
    "alike": (features(500, 0), features(400, 1)),
    "moved": (features(500, 0), features(500, 1, shift=1.0)),
    "narrower": (features(300, 0), features(500, 1, spread=0.5)),
    "wider": (features(300, 0), features(500, 1, spread=2.0)),
    "one point": (features(300, 0), features(1, 1).expand(300, 16) + 1e-4 * features(300, 2)),
    "redundant": (features(500, 0)[:, [*range(13), 0, 1, 2]], features(500, 1)[:, [*range(13), 0, 1, 2]]),
    "more than a chunk": (features(2100, 3), features(1300, 4)),
}
cases = pytest.mark.parametrize(("real", "fake"), CASES.values(), ids=CASES)


@cases
def test_frechet_agrees_with_torchmetrics(real, fake):
    oracle = FrechetInceptionDistance(AsItIs()).set_dtype(torch.float64)
    oracle.update(real.double(), real=True)
    oracle.update(fake.double(), real=False)
    assert frechet(real, fake) == pytest.approx(oracle.compute().item(), rel=1e-6)


def test_frechet_by_hand():
    """Means (0, 0) and (3, 4); variances 1 and 4 on one axis, 1 and 9 on the other: 25 + (1 − 2)² + (1 − 3)²."""
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]).double() * math.sqrt(3 / 4)  # variance 1, by n − 1
    assert frechet(corners, corners * torch.tensor([2, 3]) + torch.tensor([3, 4])) == pytest.approx(30)


@pytest.mark.parametrize("k", [1, 5])
@cases
def test_neighbourhood_agrees_with_prdc(real, fake, k):
    oracle = compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=k)
    expected = {name: float(value) for name, value in oracle.items()}
    assert neighbourhood(real, fake, k=k) == pytest.approx(expected)
    assert neighbourhood(real, fake, radii(real, k), k) == pytest.approx(expected)


def test_neighbourhood_by_hand():
    """On a line: real 0, 1, 3, 7 reach 1, 1, 2, 4 to their nearest (k = 1); fake 0.5, 4, 20 reach 3.5, 3.5, 16.

    0.5 lies in the balls of 0 and 1; 4 in those of 3 and 7; 20 in none. Of the real points 0, 1, 3 lie within 3.5 of
    0.5, and 7 within 3.5 of 4. All four real balls hold a fake.
    """
    real, fake = torch.tensor([[0.0], [1], [3], [7]]), torch.tensor([[0.5], [4], [20]])
    assert radii(real, 1).tolist() == [1, 1, 2, 4] and radii(fake, 1).tolist() == [3.5, 3.5, 16]
    found = neighbourhood(real, fake, k=1)
    assert found == pytest.approx({"precision": 2 / 3, "recall": 1, "density": 4 / 3, "coverage": 1})
    on_the_rim = neighbourhood(torch.tensor([[0.0], [1]]), torch.tensor([[2.0], [50]]), k=1)  # is outside
    assert (on_the_rim["precision"], on_the_rim["coverage"]) == (0, 0)


@pytest.mark.parametrize("measure", [frechet, neighbourhood])
def test_too_few_points_and_numbers_that_are_not_finite_are_named(measure):
    points = features(20, 0)
    with pytest.raises(ValueError, match=r"fake has the shape \(1, 16\); expected \(n, d\)"):
        measure(points, points[:1])
    with pytest.raises(ValueError, match="real holds numbers that are not finite"):
        measure(points / 0, points)


def test_score_by_hand():
    assert score(torch.eye(10).repeat(3, 1)) == pytest.approx(10)  # sure of each, all equally often
    assert score(torch.full((7, 10), 0.1)) == pytest.approx(1)  # never sure
    assert score(torch.eye(10)[[3] * 5]) == pytest.approx(1)  # sure, but always the same
    assert score(torch.eye(10)[[1, 2, 1, 2]]) == pytest.approx(2)


def test_nearest_finds_what_looking_at_all_pairs_finds():
    """Also of more points than are looked at in one go."""
    points, others = torch.randn(501, 1, 2, 2).double(), torch.randn(20, 1, 2, 2).double()
    distance, which = nearest(points, others, n=2)
    for k in (0, 1, 500):
        pairs = sorted((float((points[k] - other).square().sum().sqrt()), j) for j, other in enumerate(others))
        assert which[k].tolist() == [j for _, j in pairs[:2]]
        assert distance[k].tolist() == pytest.approx([d for d, _ in pairs[:2]])


def test_what_was_learnt_by_heart_is_found_out(mnist):
    training, real = mnist["train"].images[:2000], mnist["test"].images[:300]
    copied = memorised(training[:300] + 0.1, real, training)
    assert copied["too_near"] == 1 and copied["distance"] == pytest.approx(2.8, rel=0.01)  # √784 · 0.1
    fair = memorised(mnist["train"].images[2000:2300], real, training)
    assert fair["too_near"] <= 0.05 and fair["distance"] == pytest.approx(fair["distance_real"], rel=0.1)
    assert memorised(real, real, training)["too_near"] == pytest.approx(0.01)
