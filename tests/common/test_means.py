"""Running means: every batch counts by its weight, and a number that is not finite is seen before it is used."""

import math

import pytest
import torch

from common.cli import UserError
from common.means import RunningMeans


def numbers(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value, requires_grad=True) * 1 for value in values]


def test_means_by_hand_which_go_on_from_a_state():
    means, other = (RunningMeans("loss", "accuracy", device=torch.device("cpu")) for _ in range(2))
    assert means.add(*numbers(1.0, 0.5), weight=3).tolist() == [1.0, 0.5]
    other.load_state_dict(means.state_dict())
    for each in (means, other):
        each.add(*numbers(5.0, 0.0))
        assert each.take() == {"loss": 2.0, "accuracy": 0.375}  # (3 · 1 + 5) / 4, (3 · 0.5 + 0) / 4
    means.add(*numbers(7.0, 1.0))
    assert means.take() == {"loss": 7.0, "accuracy": 1.0} and not means.sums.requires_grad


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("look", [RunningMeans.take, RunningMeans.state_dict])
def test_a_number_that_is_not_finite_is_named_with_a_remedy_before_it_is_logged_or_saved(value, look):
    means = RunningMeans("loss", "gradient_norm", device=torch.device("cpu"))
    for last in (2.0, value, 3.0):
        means.add(*numbers(1.0, last))
    with pytest.raises(UserError, match=rf"gradient_norm is {value}: .*a smaller --learning_rate may help") as caught:
        look(means)
    assert caught.value.status == 1


def test_no_batch_waits_for_the_device():
    """On the meta device there is no number to ask for."""
    means = RunningMeans("loss", "accuracy", device=torch.device("meta"))
    means.add(*torch.empty(2, device="meta"))
