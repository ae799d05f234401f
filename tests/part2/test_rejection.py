"""Rejection: the scores, by hand, and which latent points are left."""

import pytest
import torch
from torch import nn

from common import checkpoint, seeds
from common.cli import UserError
from part2.judge import sample
from part2.networks import Discriminator, Generator
from part2.rejection import SCORES, Rejection, draw_latents, jacobian_size, load_rejection


class Quadratic(nn.Module):
    """G(z) = z_1² w: its derivative by z_1 is 2 z_1 w, by the others 0."""

    latent_dim = 3

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(784).double())

    def forward(self, z):
        return (z[:, :1] ** 2 * self.w).unflatten(1, (1, 28, 28))


def test_the_size_of_the_jacobian_is_estimated_without_bias():
    """|∂G/∂z|² = 4 z_1² |w|². The estimate is χ²(8) / 8 of that: off by a factor of 2 at most here."""
    z = torch.tensor([[1.0, 5, 5], [3, 0, 0], [0, 9, 9]]).double()
    found = jacobian_size(Quadratic(), z)
    assert found[2] == 0 and found[1] == pytest.approx(9 * found[0].item())  # the same directions for all points
    assert 4 * 784 / 2 < found[0] < 4 * 784 * 2 and not found.requires_grad
    generator = Generator(4).double().eval()
    z = torch.randn(20, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        columns = [(generator(z + step) - generator(z - step)) / 2e-6 for step in 1e-6 * torch.eye(4).double()]
    size = torch.stack(columns).square().sum().item()
    assert jacobian_size(generator, z).sum().item() == pytest.approx(size, rel=0.4)


def test_the_points_with_the_lowest_scores_are_left_out_and_the_order_stays():
    """A quarter of 3,000 is left out, in parts of a thousand: 2,250 stay, all with higher scores than those that go."""
    generator = Generator(2).eval()
    z = torch.randn(3000, 2, generator=seeds.generator(1, "x"))
    kept = draw_latents(generator, 2250, seeds.generator(1, "x"), Rejection([lambda z: z[:, 1]], 0.25))
    border = z[:, 1].sort().values[750]
    assert torch.equal(kept, z[z[:, 1] >= border])
    assert torch.equal(draw_latents(generator, 3000, seeds.generator(1, "x")), z)
    highest = Rejection([lambda z: generator(z).mean((1, 2, 3))], 0.5)
    assert sample(generator, 0, 100, highest).mean() > sample(generator, 0, 100).mean()


@pytest.mark.parametrize("rejection", [None, Rejection([lambda z: z[:, 2]], 0.5)])
def test_points_are_drawn_as_the_generator_draws_them(rejection):
    z = draw_latents(Generator(3, signs=2).eval(), 50, seeds.generator(1, "x"), rejection)
    assert (z[:, :2].abs() == 3).all() and len(z[:, 2].unique()) == 50


def test_by_two_scores_the_points_with_the_lowest_sum_of_ranks_are_left_out():
    """Ranks 0, 1, 2, 3 by the first score and 1, 3, 0, 2 by the second: 1, 4, 2, 5; by the scores' sum, 1, 3, 0, 2."""
    first, second = torch.tensor([0.0, 1, 2, 3]), torch.tensor([50.0, 70, 40, 60])
    generator = Generator(2).eval()
    z = torch.randn(4, 2, generator=seeds.generator(1, "x"))
    for n, kept in ((1, [3]), (2, [1, 3]), (3, [1, 2, 3])):
        both = Rejection([lambda z: first, lambda z: second], 1 - n / 4)
        assert torch.equal(draw_latents(generator, n, seeds.generator(1, "x"), both), z[kept])


def test_a_score_by_name_belongs_to_the_checkpoints_networks(tmp_path):
    generator, discriminator, z = Generator(4).eval(), Discriminator(), torch.randn(6, 4)
    content = {"latent_dim": 4, "width": 1, "discriminator": discriminator.state_dict()}
    checkpoint.save(tmp_path / "checkpoint.pt", "GAN", content)
    by_both = load_rejection(tmp_path, generator, SCORES, 0.3)
    expected = discriminator(generator(z)), -jacobian_size(generator, z)
    torch.testing.assert_close([score(z) for score in by_both.scores], list(expected))
    assert by_both.share == 0.3
    assert load_rejection(tmp_path, generator, None, None) is None
    (by_jacobian,), share = load_rejection(tmp_path, generator, ["jacobian"], None)
    torch.testing.assert_close(by_jacobian(z), -jacobian_size(generator, z))
    assert share == 0.2
    checkpoint.save(tmp_path / "checkpoint.pt", "GAN", {"latent_dim": 4, "width": 1})
    with pytest.raises(UserError, match="no discriminator"):
        load_rejection(tmp_path, generator, ["logit"], 0.3)
