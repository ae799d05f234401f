"""The measures: against torchmetrics and prdc, and against cases computed by hand."""

import math

from part2.judges.measures import authenticity, frechet, kernel_distance, nearest, neighbourhood, radii
from part2.judges.networks import load_classifier

import pytest
import torch
from prdc import compute_prdc
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance


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


def theirs(extractor: torch.nn.Module, real: torch.Tensor, fake: torch.Tensor) -> list[float]:
    """torchmetrics' Fréchet distance, and its kernel distance of all pairs; this takes as many real as fake points."""
    n, found = min(len(real), len(fake)), []
    with pytest.warns(UserWarning, match="save all extracted features"):
        kernel = KernelInceptionDistance(extractor, subsets=1, subset_size=n)
    for oracle, k in ((FrechetInceptionDistance(extractor).set_dtype(torch.float64), None), (kernel, n)):
        oracle.update(real.double()[:k], real=True)
        oracle.update(fake.double()[:k], real=False)
        value = oracle.compute()
        found.append((value[0] if k else value).item())
    return found


@cases
def test_both_distances_agree_with_torchmetrics(real, fake):
    real, fake = real.double(), fake.double()
    n = min(len(real), len(fake))
    found = [frechet(real, fake), kernel_distance(real[:n], fake[:n])]
    assert found == pytest.approx(theirs(AsItIs(), real, fake), rel=1e-6)


def test_torchmetrics_takes_our_features_as_the_classifier_says(mnist):
    extractor = load_classifier().features.double()
    images = [mnist[split].images[:300].double() for split in ("test", "train")]
    with torch.no_grad():
        real, fake = map(extractor, images)
        found = theirs(load_classifier().features.double(), *images)
    assert [frechet(real, fake), kernel_distance(real, fake)] == pytest.approx(found, rel=1e-6)
    assert kernel_distance(real.float(), fake.float()) == pytest.approx(found[1], abs=1e-3)  # of 4; its terms: 300


def test_the_kernel_distance_by_hand_of_sets_of_two_sizes():
    """k(1, 3) = 4³; k(0, 2) + k(0, 1) + k(2, 1) = 1 + 1 + 3³; the six pairs in between: 1, 3³, 2³, 1, 7³, 4³."""
    real, fake = torch.tensor([[1.0], [3]]), torch.tensor([[0.0], [2], [1]])
    assert kernel_distance(real, fake) == pytest.approx(64 + 29 / 3 - 2 * 444 / 6)


def test_frechet_by_hand():
    """Means (0, 0) and (3, 4); variances 1 and 4 on one axis, 1 and 9 on the other: 25 + (1 − 2)² + (1 − 3)²."""
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]).double() * math.sqrt(3 / 4)  # variance 1, by n − 1
    assert frechet(corners, corners * torch.tensor([2, 3]) + torch.tensor([3, 4])) == pytest.approx(30)


@pytest.mark.parametrize("k", [1, 5])
@cases
def test_neighbourhood_agrees_with_prdc(real, fake, k):
    oracle = compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=k)
    expected = {name: float(value) for name, value in oracle.items() if name != "density"}
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
    assert found == pytest.approx({"precision": 2 / 3, "recall": 1, "coverage": 1})
    on_the_rim = neighbourhood(torch.tensor([[0.0], [1]]), torch.tensor([[2.0], [50]]), k=1)  # is outside
    assert (on_the_rim["precision"], on_the_rim["coverage"]) == (0, 0)


@pytest.mark.parametrize("measure", [frechet, neighbourhood, kernel_distance])
def test_too_few_points_and_numbers_that_are_not_finite_are_named(measure):
    points = features(20, 0)
    with pytest.raises(ValueError, match=r"fake has the shape \(1, 16\); expected \(n, d\)"):
        measure(points, points[:1])
    with pytest.raises(ValueError, match="real holds numbers that are not finite"):
        measure(points / 0, points)


def test_nearest_finds_what_looking_at_all_pairs_finds():
    """Also of more points than are looked at in one go."""
    points, others = torch.randn(501, 1, 2, 2).double(), torch.randn(20, 1, 2, 2).double()
    distance, which = nearest(points, others, n=2)
    for k in (0, 1, 500):
        pairs = sorted((float((points[k] - other).square().sum().sqrt()), j) for j, other in enumerate(others))
        assert which[k].tolist() == [j for _, j in pairs[:2]]
        assert distance[k].tolist() == pytest.approx([d for d, _ in pairs[:2]])


def test_authenticity_by_hand():
    """On a line: the training points 0, 1, 3, 7 are 1, 1, 2, 4 away from their nearest others."""
    training = torch.tensor([[0.0], [1], [3], [7]])
    for point, is_authentic in ((0.0, 0), (-0.9, 0), (-1.1, 1), (2.1, 0), (4.9, 0), (7.5, 0), (11.0, 0), (11.1, 1)):
        assert authenticity(torch.tensor([[point]]), training) == is_authentic, point
    assert authenticity(torch.tensor([[11.1], [0], [-5], [0]]), training) == 0.5


def test_copies_are_found_out_also_noisy_ones_and_half_of_the_images(mnist):
    training, new = mnist["train"].images[:3000].flatten(1), mnist["test"].images[:300].flatten(1)
    noisy = training[:300] + 0.05 * torch.randn(300, 784, generator=torch.Generator().manual_seed(0))
    of_new = authenticity(new, training)
    assert authenticity(training[:300], training) == authenticity(noisy, training) == 0 and of_new > 0.5
    assert authenticity(torch.cat([new, noisy]), training) == pytest.approx(of_new / 2)
