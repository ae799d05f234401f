"""How good and how varied generated images are. Most measures compare two sets of points in a feature space."""

import torch

K = 5  # neighbours, as Naeem et al. recommend


def check_points(name: str, points: torch.Tensor, at_least: int) -> None:
    """ValueError unless these are points (n, d) of finite numbers, with n of `at_least` or more."""
    if points.dim() != 2 or len(points) < at_least:
        raise ValueError(f"{name} has the shape {tuple(points.shape)}; expected (n, d) with n of {at_least} or more")
    if not points.isfinite().all():
        raise ValueError(f"{name} holds numbers that are not finite")


def frechet(real: torch.Tensor, fake: torch.Tensor) -> float:
    """The (squared) Fréchet distance of two normal distributions fitted to features (n, d) (Heusel et al. 2017).

        |μ_r − μ_f|² + tr(Σ_r + Σ_f − 2 (Σ_r Σ_f)^½)

    The trace of (Σ_r Σ_f)^½ is the sum of the roots of the eigenvalues of Σ_r^½ Σ_f Σ_r^½, which is symmetric. It is
    computed in float64. Its unit is the square of the features' unit. It is too large for small n, so compare only
    distances of equal n. ValueError for fewer than two points and for numbers that are not finite.
    """
    check_points("real", real, 2)
    check_points("fake", fake, 2)
    real, fake = real.double(), fake.double()
    values, vectors = torch.linalg.eigh(torch.cov(real.T, correction=1))
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    sigma_f = torch.cov(fake.T, correction=1)
    root_of_product = torch.linalg.eigvalsh(root @ sigma_f @ root).clamp_min(0).sqrt().sum()
    distance = (real.mean(0) - fake.mean(0)).square().sum()
    return (distance + values.sum() + sigma_f.trace() - 2 * root_of_product).item()


def kernel_distance(real: torch.Tensor, fake: torch.Tensor) -> float:
    """The squared kernel distance, or KID, of features r (n, d) and f (m, d) (Bińkowski et al. 2018).

        E k(r, r') + E k(f, f') − 2 E k(r, f),    k(a, b) = (a·b / d + 1)³

    The means are over all pairs of two points. It assumes no normal distributions and is unbiased: for two sets of one
    distribution it is 0 on average for any n and m, so it may be negative. Computed in the features' precision.
    """
    check_points("real", real, 2)
    check_points("fake", fake, 2)

    def total(points: torch.Tensor, others: torch.Tensor) -> float:
        bases = (part / points.shape[1] @ others.T + 1 for part in points.split(200))  # that many fit into a cache
        return sum((base * base * base).sum(1).double().sum().item() for base in bases)

    def mean_of_own(points: torch.Tensor) -> float:
        of_itself = (points.square().mean(1) + 1).pow(3).double().sum().item()
        return (total(points, points) - of_itself) / (len(points) * (len(points) - 1))

    return mean_of_own(real) + mean_of_own(fake) - 2 * total(real, fake) / (len(real) * len(fake))


def radii(points: torch.Tensor, k: int = K) -> torch.Tensor:
    """The distance from each point of (n, d) to the k-th nearest of the others, (n,), float64."""
    points = points.double()
    return torch.cat([torch.cdist(p, points).topk(k + 1, largest=False).values[:, -1] for p in points.split(1000)])


def neighbourhood(
    real: torch.Tensor, fake: torch.Tensor, real_radii: torch.Tensor | None = None, k: int = K
) -> dict[str, float]:
    """How two sets of features, r (n, d) and f (m, d), lie relative to each other.

    B(p) is the open ball around p whose radius is the distance to the k-th nearest other point of p's own set.

        precision   share of f inside any B(r)                           (Kynkäänniemi et al. 2019)
        recall      share of r inside any B(f)
        coverage    share of B(r) that hold any f                         (Naeem et al. 2020)

    `real_radii` is radii(real, k), if it is known already.
    """
    check_points("real", real, k + 1)
    check_points("fake", fake, k + 1)
    real, fake = real.double(), fake.double()
    real_radii = radii(real, k) if real_radii is None else real_radii
    fake_radii = radii(fake, k)
    is_inside = torch.zeros(len(fake), dtype=torch.bool, device=fake.device)  # f inside any B(r)
    recalled = covered = 0
    for part, radius in zip(real.split(1000), real_radii.split(1000), strict=True):
        distance = torch.cdist(part, fake)
        inside = distance < radius.unsqueeze(1)
        is_inside |= inside.any(0)
        covered += inside.any(1).sum().item()
        recalled += (distance < fake_radii).any(1).sum().item()
    return {
        "precision": is_inside.double().mean().item(),
        "recall": recalled / len(real),
        "coverage": covered / len(real),
    }


def nearest(points: torch.Tensor, others: torch.Tensor, n: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """For each of the points (m, …), the distances to the n nearest of `others`, and their indices: both (m, n)."""
    others = others.flatten(1)
    found = [torch.cdist(part, others).topk(n, largest=False) for part in points.flatten(1).split(500)]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def authenticity(fake: torch.Tensor, training: torch.Tensor) -> float:
    """Share of the fake points f (n, d) that are no copies of training points (Alaa et al. 2022).

    f is a copy of the training point t nearest to it unless it is farther from t than t is from the nearest other one.
    """
    (distance,), (which,) = (column.T for column in nearest(fake, training))
    copied, back = which.unique(return_inverse=True)
    spacing = nearest(training[copied], training, n=2)[0][:, 1]  # the nearest of all is the point itself
    return (distance > spacing[back]).double().mean().item()
