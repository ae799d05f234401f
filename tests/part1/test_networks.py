"""The networks of Part 1 by name: how they are initialised, that the yardstick is one, that a saved one comes back."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from common import checkpoint
from common.cli import UserError
from common.runs import PRETRAINED
from part1.lstm import LSTM
from part1.networks import (
    INITS,
    KIND,
    NETWORKS,
    build,
    by_hand,
    copy_from_torch,
    export_network,
    initialise,
    load_network,
)
from part1.palindromes import draw_palindromes, encode

every_network = pytest.mark.parametrize("model", NETWORKS)
SIZES = {"input_dim": 10, "hidden_dim": 64, "output_dim": 10}


def built(model: str, init: str = "memory", length: int = 10, seed: int = 0, **options) -> nn.Module:
    return build(model, SIZES, init, length, seed, **options)


def equal(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(name == other and torch.equal(x, y) for (name, x), (other, y) in pairs)


@every_network
@pytest.mark.parametrize("init", INITS)
def test_the_seed_alone_decides_the_initial_weights_and_they_are_finite(model, init):
    first = built(model, init)
    torch.rand(1)
    assert equal(first, built(model, init)) and not equal(first, built(model, init, seed=1))
    assert type(first) is NETWORKS[model] and first(torch.randn(3, 5, 10)).shape == (3, 10)
    for length in (1, 3, 100):
        assert all(parameter.isfinite().all() for parameter in built(model, init, length).parameters())


@every_network
def test_uniform_fills_its_bounds_and_normal_has_deviation_one_and_no_biases(model):
    k = 1 / math.sqrt(64)
    for uniform, normal in zip(built(model, "uniform").parameters(), built(model, "normal").parameters(), strict=True):
        assert uniform.abs().max() <= k
        if uniform.dim() == 2:
            assert uniform.std().item() == pytest.approx(k / math.sqrt(3), rel=0.1)
            assert normal.mean().item() == pytest.approx(0, abs=0.15)
            assert normal.std().item() == pytest.approx(1, abs=0.1)
        else:
            assert (normal == 0).all()


def test_plain_is_handed_on_and_an_unknown_initialisation_is_a_value_error():
    assert built("lstm", plain=True).plain and not built("lstm").plain
    with pytest.raises(ValueError, match="memory, uniform, normal"):
        initialise(LSTM(1, 2, 3), "chrono", 10)


def test_a_trained_yardstick_becomes_the_lstm_by_hand_that_answers_the_same_and_others_stay_what_they_are():
    yardstick, x = built("torch_lstm", "normal").double(), torch.randn(4, 12, 10, dtype=torch.float64)
    yardstick.encoding = "one_hot"
    ours = by_hand(yardstick)
    assert isinstance(ours, LSTM) and ours.encoding == "one_hot" and not ours.training
    assert torch.allclose(yardstick(x), ours.double()(x), rtol=0, atol=1e-5)  # its weights were copied as float32
    for other in (built("lstm"), built("rnn")):
        assert by_hand(other) is other


def test_the_yardstick_answers_as_the_lstm_and_both_are_initialised_for_the_length():
    yardstick, ours = built("torch_lstm", length=12), built("lstm")
    copy_from_torch(ours, yardstick.lstm)
    ours.fc.load_state_dict(yardstick.fc.state_dict())
    x = torch.randn(4, 12, 10, dtype=torch.float64)
    assert torch.allclose(yardstick.double()(x), ours.double()(x), rtol=0, atol=1e-12)
    for network in (ours, built("lstm", length=12)):
        b_i, b_f, _, b_o = network.bias.detach().chunk(4)
        assert torch.equal(b_i, -b_f) and (b_o == 0).all() and math.log(9) < b_f.max() <= math.log(11) + 1e-6


@every_network
def test_a_saved_network_comes_back_in_eval_mode_and_another_kind_is_refused(model, tmp_path):
    network = built(model)
    content = {"model": model, "sizes": SIZES, "encoding": "raw", "progress": {"best": network.state_dict()}}
    checkpoint.save(tmp_path / "checkpoint.pt", KIND, content)
    for path in (tmp_path, str(tmp_path / "checkpoint.pt")):
        loaded = load_network(path)
        assert type(loaded) is type(network) and equal(loaded, network)
        assert not loaded.training and loaded.encoding == "raw"
    export_network(tmp_path, tmp_path / "shared.pt")
    assert equal(load_network(tmp_path / "shared.pt"), network)
    checkpoint.save(tmp_path / "gan.pt", "GAN", content)
    with pytest.raises(UserError, match=r"gan\.pt: holds a GAN, not a palindrome network"):
        load_network(tmp_path / "gan.pt")


def test_the_network_that_comes_with_the_project_remembers_a_thousand_digits():
    lstm = load_network(PRETRAINED / "lstm")
    digits = draw_palindromes(100, 1000, np.random.default_rng(0), held_out=True)
    assert (lstm(encode(digits[:, :-1], lstm.encoding)).argmax(1) == digits[:, -1]).all()
