"""The measures: against torchmetrics and prdc, against cases computed by hand, and against broken variants."""

import math

import pytest
import torch
from prdc import compute_prdc
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore

from part2.measures import frechet, nearest, neighbourhood, radii, score


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
}


@pytest.mark.parametrize("case", CASES)
def test_frechet_agrees_with_torchmetrics(case):
    real, fake = CASES[case]
    oracle = FrechetInceptionDistance(AsItIs()).set_dtype(torch.float64)
    oracle.update(real.double(), real=True)
    oracle.update(fake.double(), real=False)
    assert frechet(real, fake) == pytest.approx(oracle.compute().item(), rel=1e-6)


def test_frechet_by_hand():
    """Means (0, 0) and (3, 4); variances 1 and 4 on one axis, 1 and 9 on the other: 25 + (1 − 2)² + (1 − 3)²."""
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]).double() * math.sqrt(3 / 4)  # variance 1, by n − 1
    assert frechet(corners, corners * torch.tensor([2, 3]) + torch.tensor([3, 4])) == pytest.approx(30)


def test_frechet_of_a_set_and_itself_is_zero_and_order_does_not_matter():
    real, fake = CASES["moved"]
    assert frechet(real, real) == pytest.approx(0, abs=1e-9)
    assert frechet(real, fake) == pytest.approx(frechet(fake, real), rel=1e-9)


def test_frechet_bears_features_that_never_vary():
    """A feature that is zero on all images makes the covariance singular."""
    real, fake = (torch.cat([some, torch.zeros(len(some), 3)], 1) for some in CASES["moved"])
    assert frechet(real, fake) == pytest.approx(frechet(*CASES["moved"]), rel=1e-6)


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("case", CASES)
def test_neighbourhood_agrees_with_prdc(case, k):
    real, fake = CASES[case]
    oracle = compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=k)
    assert neighbourhood(real, fake, k) == pytest.approx({name: float(value) for name, value in oracle.items()})


def test_the_cases_tell_the_four_figures_apart():
    """Else agreement would prove little: each figure takes middling values, and no two are alike."""
    found = [neighbourhood(*case) for case in CASES.values()]
    for name in ("precision", "recall", "density", "coverage"):
        assert any(0.1 < figures[name] < 0.9 for figures in found), name
    assert all(len({round(value, 6) for value in figures.values()}) == 4 for figures in found[:4])


def test_neighbourhood_by_hand():
    """On a line: real 0, 1, 3, 7 reach 1, 1, 2, 4 to their nearest (k = 1); fake 0.5, 4, 20 reach 3.5, 3.5, 16.

    0.5 lies in the balls of 0 and 1; 4 in those of 3 and 7; 20 in none. Of the real points 0, 1, 3 lie within 3.5 of
    0.5, and 7 within 3.5 of 4. All four real balls hold a fake.
    """
    real, fake = torch.tensor([[0.0], [1], [3], [7]]), torch.tensor([[0.5], [4], [20]])
    assert radii(real, 1).tolist() == [1, 1, 2, 4] and radii(fake, 1).tolist() == [3.5, 3.5, 16]
    assert neighbourhood(real, fake, 1) == pytest.approx(
        {"precision": 2 / 3, "recall": 1, "density": 4 / 3, "coverage": 1}
    )
    far = neighbourhood(real, fake + 100, 1)
    assert far == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_a_point_on_the_rim_is_outside():
    real = torch.tensor([[0.0], [1]])
    found = neighbourhood(real, torch.tensor([[2.0], [50]]), 1)
    assert (found["precision"], found["coverage"]) == (0, 0)


def test_known_radii_give_the_same_and_sets_longer_than_a_chunk_are_whole():
    real, fake = features(2100, 3), features(1300, 4)
    oracle = compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=5)
    found = neighbourhood(real, fake, real_radii=radii(real))
    assert found == pytest.approx({name: float(value) for name, value in oracle.items()})


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_score_agrees_with_torchmetrics():
    logits = 3 * torch.randn(1000, 10, generator=torch.Generator().manual_seed(0))
    oracle = InceptionScore(AsItIs(), splits=1)
    oracle.update(logits)
    assert score(logits.softmax(1)) == pytest.approx(oracle.compute()[0].item(), rel=1e-4)


def test_score_by_hand():
    assert score(torch.eye(10).repeat(3, 1)) == pytest.approx(10)  # sure of each, all equally often
    assert score(torch.full((7, 10), 0.1)) == pytest.approx(1)  # never sure
    assert score(torch.eye(10)[[3] * 5]) == pytest.approx(1)  # sure, but always the same
    assert score(torch.eye(10)[[1, 2, 1, 2]]) == pytest.approx(2)


def test_nearest_finds_what_looking_at_all_pairs_finds():
    points, others = torch.randn(3, 1, 4, 4).double(), torch.randn(50, 1, 4, 4).double()
    distance, which = nearest(points, others, n=2)
    for k, point in enumerate(points):
        all_pairs = sorted((float((point - other).square().sum().sqrt()), j) for j, other in enumerate(others))
        assert which[k].tolist() == [j for _, j in all_pairs[:2]]
        assert distance[k].tolist() == pytest.approx([d for d, _ in all_pairs[:2]])


def test_no_more_than_a_thousand_rows_of_distances_are_held_at_once(monkeypatch):
    rows, cdist = [], torch.cdist
    monkeypatch.setattr(torch, "cdist", lambda a, b: rows.append(len(a)) or cdist(a, b))
    neighbourhood(features(2500, 0), features(1500, 1))
    assert max(rows) == 1000
