"""The inverse of a generator: what it drew is found again, its steps by hand, what stays fixed, how it is measured."""

import part2.judges.show_inverse
import part2.networks.inverse
from common.files import read_json
from common.find import PRETRAINED
from part2.gan import LABEL, SIGN, Generator
from part2.judges.networks import load_classifier
from part2.judges.show_inverse import parse_args, show_inverse
from part2.networks.inverse import BETAS, RATE, WEIGHT, find, find_z
from part2.networks.trained import load_generator

import pytest
import torch
from torch import nn

GENERATOR = str(PRETRAINED / "generator")


@pytest.fixture
def short(monkeypatch):
    """A search of a few steps."""
    monkeypatch.setattr(part2.networks.inverse, "DRAWN", 50)
    monkeypatch.setattr(part2.networks.inverse, "STAGES", ((3, 2), (2, 3)))


class Linear(nn.Module):
    """G(z) = W z with pixels (1, 2, 1): no seed is needed, the points drawn are (1, 0), (0, 1), (3, 3)."""

    latent_dim, signs = 2, 0

    def __init__(self, W: torch.Tensor):
        super().__init__()
        self.W = nn.Parameter(W)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return (z @ self.W.T).view(-1, 1, 2, 1)

    def draw(self, n: int, rng: torch.Generator) -> torch.Tensor:
        return torch.tensor([[1, 0], [0, 1], [3, 3]], dtype=torch.float64)


def test_the_steps_are_those_by_hand(monkeypatch):
    """Both of the nearest starts take three steps of Adam; the better one takes two more, with Adam begun anew."""
    W, x = torch.tensor([[2.0, 0.5], [-1.0, 1.0]]).double(), torch.tensor([1.5, -0.25]).double()
    monkeypatch.setattr(part2.networks.inverse, "STAGES", ((2, 3), (1, 2)))

    def steps(z: torch.Tensor, n: int) -> torch.Tensor:
        m = v = torch.zeros(2).double()
        for t in range(1, n + 1):
            gradient = 2 * W.T @ (W @ z - x) + 2 * WEIGHT * z
            m, v = (BETAS[0] * m + (1 - BETAS[0]) * gradient, BETAS[1] * v + (1 - BETAS[1]) * gradient**2)
            z = z - RATE * (m / (1 - BETAS[0] ** t)) / ((v / (1 - BETAS[1] ** t)).sqrt() + 1e-8)
        return z

    generator = Linear(W.clone())
    found = find_z(generator, x.view(1, 1, 2, 1), seed=0)
    best = min((steps(z, 3) for z in generator.draw(3, None)[:2]), key=lambda z: (W @ z - x).norm())
    torch.testing.assert_close(found, steps(best, 2).unsqueeze(0), rtol=0, atol=1e-12)
    assert generator.W.requires_grad and generator.W.grad is None and not found.requires_grad


def test_images_that_the_generator_drew_are_found_again_and_others_only_as_near_as_it_can(mnist):
    generator = load_generator(GENERATOR)
    drawn = generator(generator.draw(4, torch.Generator().manual_seed(5))).detach()
    found = find(generator, torch.cat([drawn, mnist["train"].images[7:8]]), mnist["train"].images, 0)
    assert (found.error[:4] < 0.25 * found.distance[:4]).sum() >= 3  # one may stay in a valley beside it
    assert found.distance[4] == 0 and torch.equal(found.nearest[4], mnist["train"].images[7]) and found.error[4] > 1
    torch.testing.assert_close(found.images, generator(found.z).detach())


def test_signs_and_labels_stay_as_they_are_drawn_and_only_the_rest_moves(short):
    torch.manual_seed(0)
    generator = Generator(6, signs=2, labels=10).eval()
    pictures = generator(generator.draw(3, torch.Generator().manual_seed(1))).detach()
    z = find_z(generator, pictures, 4)
    assert z.shape == (3, 16) and torch.all(z[:, :2].abs() == SIGN)
    assert torch.equal(z[:, 6:].sort(1).values, LABEL * torch.eye(10)[[9, 9, 9]])
    of = torch.Generator().manual_seed(part2.networks.inverse.seeds.stream_seed(4, "starts"))
    starts = generator.draw(50, of)
    assert torch.cdist(z[:, 2:6], starts[:, 2:6]).min() > 0.01  # no number as drawn
    fixed = torch.cat([starts[:, :2], starts[:, 6:]], 1)
    assert all((torch.cat([row[:2], row[6:]]) == fixed).all(1).any() for row in z)


def test_the_same_seed_finds_the_same_bits_and_each_picture_for_itself(short, mnist):
    generator, pictures = load_generator(GENERATOR), mnist["test"].images[:3]
    z = find_z(generator, pictures, 1)
    assert torch.equal(z, find_z(generator, pictures, 1)) and not torch.equal(z, find_z(generator, pictures, 2))
    torch.testing.assert_close(z[1:2], find_z(generator, pictures[1:2], 1), rtol=0, atol=1e-3)


def test_what_is_measured_over_test_images_is_each_one_s(short, figures, mnist, tmp_path, capsys, monkeypatch):
    drawn = figures(part2.networks.inverse)
    monkeypatch.setattr(part2.judges.show_inverse, "AT_ONCE", 2)
    flags = ["--run", GENERATOR, "--n", "5", "--first", "40", "--device", "cpu", "--out_dir", str(tmp_path / "run")]
    result = read_json(show_inverse(parse_args(flags)) / "result.json")
    x, training, generator = mnist["test"].images[40:45], mnist["train"].images, load_generator(GENERATOR)
    images = torch.cat([generator(find_z(generator, part, 0)) for part in x.split(2)]).detach()
    to_training = torch.stack([(training - image).flatten(1).norm(dim=1).min() for image in x])
    ratio, read = (images - x).flatten(1).norm(dim=1) / to_training, load_classifier().read
    assert result["images"] == 5 and result["ratio"] == pytest.approx(ratio.median().item(), rel=1e-4)
    assert result["nearer"] == (ratio < 1).double().mean() and "read_alike" in capsys.readouterr().out
    assert result["read_alike"] == (read(x).argmax(1) == read(images).argmax(1)).double().mean()
    texts = [text.get_text() for text in drawn[0].axes[0].texts]
    assert texts[5:] == [f"{distance:.1f}" for distance in to_training]


def test_a_start_beyond_the_last_test_image_is_one_line(mistake, monkeypatch):
    monkeypatch.setattr(part2.judges.show_inverse, "images_of", lambda *of: torch.zeros(9, 1, 28, 28))
    said = mistake(part2.judges.show_inverse, "--run", GENERATOR, "--first", 9, "--device", "cpu")
    assert "--first 9: there are 9 test images" in said
