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


def radii(points: torch.Tensor, k: int = K) -> torch.Tensor:
    """The distance from each point of (n, d) to the k-th nearest of the others, (n,), float64."""
    points = points.double()
    return torch.cat([torch.cdist(part, points).kthvalue(k + 1).values for part in points.split(1000)])


def neighbourhood(
    real: torch.Tensor, fake: torch.Tensor, real_radii: torch.Tensor | None = None, k: int = K
) -> dict[str, float]:
    """How two sets of features, r (n, d) and f (m, d), lie relative to each other.

    B(p) is the open ball around p whose radius is the distance to the k-th nearest other point of p's own set.

        precision   share of f inside any B(r)                           (Kynkäänniemi et al. 2019)
        recall      share of r inside any B(f)
        density     1/(k m) Σ_f #{r: f inside B(r)}; about 1 if f is like r   (Naeem et al. 2020)
        coverage    share of B(r) that hold any f

    `real_radii` is radii(real, k), if it is known already.
    """
    check_points("real", real, k + 1)
    check_points("fake", fake, k + 1)
    real, fake = real.double(), fake.double()
    real_radii = radii(real, k) if real_radii is None else real_radii
    fake_radii = radii(fake, k)
    balls_around = torch.zeros(len(fake), dtype=torch.int64, device=fake.device)  # #{r: f inside B(r)}
    recalled = covered = 0
    for part, radius in zip(real.split(1000), real_radii.split(1000), strict=True):
        distance = torch.cdist(part, fake)
        inside = distance < radius.unsqueeze(1)
        balls_around += inside.sum(0)
        covered += inside.any(1).sum().item()
        recalled += (distance < fake_radii).any(1).sum().item()
    return {
        "precision": (balls_around > 0).double().mean().item(),
        "recall": recalled / len(real),
        "density": balls_around.double().mean().item() / k,
        "coverage": covered / len(real),
    }


def score(probability: torch.Tensor) -> float:
    """exp E[KL(p(y|x) ‖ p(y))] of a classifier's probabilities (n, 10): from 1 to 10 (Salimans et al. 2016).

    It is high if each image is clearly one digit and all digits are drawn equally often.
    """
    p = probability.double()
    return (torch.xlogy(p, p) - torch.xlogy(p, p.mean(0))).sum(1).mean().exp().item()


def nearest(points: torch.Tensor, others: torch.Tensor, n: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """For each of the points (m, …), the distances to the n nearest of `others`, and their indices: both (m, n)."""
    others = others.flatten(1)
    found = [torch.cdist(part, others).topk(n, largest=False) for part in points.flatten(1).split(500)]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def memorised(images: torch.Tensor, real: torch.Tensor, training: torch.Tensor) -> dict[str, float]:
    """How near images (n, 1, 28, 28) come to the training images, in pixels, compared with real new ones.

    distance        median over the images of the Euclidean distance to the nearest training image
    distance_real   the same for `real` images that are no training images
    too_near        share of the images nearer to a training image than 99 % of the real ones are; 0.01 is normal
    """
    distance, to_real = (nearest(points, training)[0].squeeze(1) for points in (images, real))
    too_near = (distance < to_real.quantile(0.01)).double().mean().item()
    return {"distance": distance.median().item(), "distance_real": to_real.median().item(), "too_near": too_near}
