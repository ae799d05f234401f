"""The networks of Part 1 by name: how they start, that the yardstick is one, that a saved one comes back."""

import math

import pytest
import torch
from torch import nn

from common import checkpoint
from common.cli import UserError
from part1.lstm import LSTM
from part1.networks import INITS, NETWORKS, TorchLSTM, initialise, load_network

every_network = pytest.mark.parametrize("name", NETWORKS)
SIZES = {"input_dim": 10, "hidden_dim": 64, "output_dim": 10}


def started(name: str, init: str, seed: int = 0, length: int = 10, **sizes) -> nn.Module:
    torch.manual_seed(seed)
    network = NETWORKS[name](**{**SIZES, **sizes})
    initialise(network, init, length)
    return network


@every_network
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("length", [1, 2, 3, 100])
def test_every_start_is_finite_and_the_network_answers(name, init, length):
    network = started(name, init, length=length)
    assert network(torch.randn(3, 5, 10)).shape == (3, 10)
    assert all(parameter.isfinite().all() and parameter.requires_grad for parameter in network.parameters())


@every_network
@pytest.mark.parametrize("init", INITS)
def test_the_seed_alone_decides_the_start(name, init):
    first, again, other = (list(started(name, init, seed).parameters()) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@every_network
def test_uniform_fills_its_bounds_and_stays_within(name):
    k = 1 / math.sqrt(64)
    for parameter in started(name, "uniform").parameters():
        assert parameter.abs().max() <= k
        if parameter.numel() >= 256:
            assert parameter.std().item() == pytest.approx(k / math.sqrt(3), rel=0.1)


@every_network
def test_normal_has_deviation_one_and_no_biases(name):
    for parameter in started(name, "normal").parameters():
        if parameter.dim() == 1:
            assert (parameter == 0).all()
        else:
            assert parameter.mean().item() == pytest.approx(0, abs=0.15)
            assert parameter.std().item() == pytest.approx(1, abs=0.1)


def test_memory_is_told_the_length():
    longest = [started("lstm", "memory", length=length).bias[64:128].max().item() for length in (3, 1000)]
    assert longest[0] < math.log(2) + 1e-6 < math.log(500) < longest[1] < math.log(999) + 1e-4


@every_network
@pytest.mark.parametrize("init", ["", "Memory", "chrono"])
def test_an_unknown_start_is_a_value_error(name, init):
    with pytest.raises(ValueError, match="memory, uniform, normal"):
        started(name, init)


def test_the_yardstick_starts_as_the_lstm_does_and_answers_alike():
    torch.manual_seed(3)
    yardstick, ours = TorchLSTM(1, 16, 10).double(), LSTM(1, 16, 10).double()
    yardstick.reset_parameters(length=12)
    ours.load_state_dict(
        {
            "weight_ih": yardstick.lstm.weight_ih_l0.detach(),
            "weight_hh": yardstick.lstm.weight_hh_l0.detach(),
            "bias": yardstick.lstm.bias_ih_l0.detach() + yardstick.lstm.bias_hh_l0.detach(),
            **{f"fc.{name}": value for name, value in yardstick.fc.state_dict().items()},
        }
    )
    x = torch.randn(4, 12, 1, dtype=torch.float64)
    assert torch.allclose(yardstick(x), ours(x), rtol=0, atol=1e-12)
    b_i, b_f, _, b_o = ours.bias.detach().chunk(4)
    assert torch.equal(b_i, -b_f) and (b_o == 0).all() and b_f.max() <= math.log(11) + 1e-6


def test_lstm_and_yardstick_have_as_many_weights():
    ours, yardstick = (started(name, "memory").state_dict() for name in ("lstm", "torch_lstm"))
    assert sum(map(torch.numel, yardstick.values())) == sum(map(torch.numel, ours.values())) + 4 * 64  # a second bias


def save(path, name: str, best: dict | None) -> None:
    content = {"model": name, "sizes": SIZES, "encoding": "one_hot", "progress": {"best": best}}
    checkpoint.save(path, "palindrome network", content)


@every_network
def test_a_saved_network_comes_back_in_eval_mode(name, tmp_path):
    network = started(name, "memory")
    save(tmp_path / "checkpoint.pt", name, network.state_dict())
    loaded = load_network(tmp_path / "checkpoint.pt")
    x = torch.randn(3, 5, 10)
    assert torch.equal(loaded(x), network(x))
    assert type(loaded) is type(network) and not loaded.training and loaded.encoding == "one_hot"


def test_another_kind_of_checkpoint_is_a_user_error(tmp_path):
    checkpoint.save(tmp_path / "gan.pt", "GAN", {"model": "lstm"})
    with pytest.raises(UserError, match=r"gan\.pt: holds a GAN, not a palindrome network"):
        load_network(tmp_path / "gan.pt")


def test_a_training_without_a_finished_epoch_is_a_user_error(tmp_path):
    save(tmp_path / "c.pt", "lstm", None)
    with pytest.raises(UserError, match=r"c\.pt: this training has no network"):
        load_network(tmp_path / "c.pt")
