"""The networks of Part 1 by name: how they are initialised, that the yardstick is one, that a saved one comes back."""

import math

from common.cli import UserError
from common.files import load_checkpoint, save_checkpoint
from common.find import PRETRAINED
from part1.lstm import LSTM, initialise
from part1.networks.by_name import NETWORKS, by_hand, copy_from_torch
from part1.networks.trained import KIND, export_network, find_network, load, load_lstm, load_network
from part1.tasks.palindrome import draw_palindromes
from tests.tiny_runs import PART1, PROVED

import numpy as np
import pytest
import torch
from torch import nn

every_network = pytest.mark.parametrize("model", NETWORKS)
SIZES = {"input_dim": 10, "hidden_dim": 64, "output_dim": 10}


def built(model: str, init: str = "memory", length: int = 10, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network = NETWORKS[model](**SIZES)
    initialise(network, init, length)
    return network


def equal(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(name == other and torch.equal(x, y) for (name, x), (other, y) in pairs)


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
    with pytest.raises(ValueError, match="memory, uniform, normal"):
        built(model, "chrono")


def test_the_yardstick_answers_as_the_lstm_by_hand_and_both_are_initialised_for_the_length():
    yardstick, ours = built("torch_lstm", length=12), built("lstm")
    copy_from_torch(ours, yardstick.lstm)
    ours.fc.load_state_dict(yardstick.fc.state_dict())
    same, x = by_hand(yardstick), torch.randn(4, 12, 10, dtype=torch.float64)
    assert isinstance(same, LSTM) and equal(same, ours) and not same.training
    assert torch.allclose(yardstick.double()(x), ours.double()(x), rtol=0, atol=1e-12)
    for network in (ours, built("lstm", length=12)):
        b_i, b_f, _, b_o = network.bias.detach().chunk(4)
        assert torch.equal(b_i, -b_f) and (b_o == 0).all() and math.log(9) < b_f.max() <= math.log(11) + 1e-6
    for other in (built("lstm"), built("rnn")):
        assert by_hand(other) is other


@every_network
def test_a_saved_network_comes_back_in_eval_mode_and_a_shared_one_is_the_network_alone(model, tmp_path):
    network = built(model)
    content = {"model": model, "sizes": SIZES, "encoding": "one_hot", "progress": {"best": network.state_dict()}}
    save_checkpoint(tmp_path / "checkpoint.pt", KIND, content | {"optimizer": {}, "clock": {}, "task": "palindrome"})
    save_checkpoint(tmp_path / "old.pt", KIND, content)  # from before there were tasks
    export_network(tmp_path, tmp_path / "shared.pt")
    for path in (tmp_path, str(tmp_path / "checkpoint.pt"), tmp_path / "old.pt", tmp_path / "shared.pt"):
        trained = load(path)
        assert type(trained.network) is type(network) and equal(trained.network, network)
        assert not trained.network.training and (trained.encoding, trained.task.name) == ("one_hot", "palindrome")
        assert equal(load_network(path), network) and trained.encode(torch.tensor([7])).argmax().item() == 7
    assert load_checkpoint(tmp_path / "shared.pt", KIND).keys() == {"schema", "kind", "task", *content}


@every_network
def test_what_does_not_fit_or_is_not_finite_is_one_line(model, tmp_path):
    weights = built(model).state_dict()
    content = {"model": model, "sizes": SIZES, "encoding": "one_hot", "progress": {"best": weights}}
    wrong_sizes = [SIZES | {"input_dim": 9}, SIZES | {"input_dim": "9"}, {"input_dim": 10}, 9, None]
    misfits = [{"sizes": sizes} for sizes in wrong_sizes] + [{"model": name} for name in ("gru", [], None)]
    misfits += [{"encoding": name} for name in ("raw", "hot", 3)] + [{"task": "sums"}, {"progress": {}}]
    bad = [weights | {"fc.bias": weights["fc.bias"] * factor} for factor in (torch.nan, torch.inf, 1j)]
    misfits += [{"progress": {"best": best}} for best in (*bad, [1], {}, {"fc.bias": 1})]
    for changed in misfits:
        save_checkpoint(tmp_path / "other.pt", KIND, content | changed)
        with pytest.raises(UserError, match=r"other\.pt: does not fit this version of the network \(.") as error:
            load(tmp_path / "other.pt")
        assert "\n" not in str(error.value) and len(str(error.value)) < 400, changed


REFUSED = {"rnn": "is no LSTM; name a run of --model lstm", "marker": "its task is marker; this script shows palindr"}
REFUSED |= {"stopped": "has no trained network yet; continue it with --resume"}


def test_what_has_no_gates_of_a_palindrome_to_show_is_refused(folders):
    for name, said in REFUSED.items():
        with pytest.raises(UserError, match=rf"{name}: .*{said}"):
            load_lstm(folders / name)
    assert isinstance(load_lstm(folders / "torch_lstm").network, LSTM)


@pytest.mark.usefixtures("light")
def test_without_a_name_it_is_the_newest_finished_run_of_either_script_else_the_pretrained_one(outputs):
    assert find_network(None) == PRETRAINED / "lstm"
    for script, name in ((PART1, "a"), (PROVED, "b"), (PART1, "c")):
        folder = script.start(outputs / "part1" / name)
        assert find_network(None) == folder
    assert find_network(outputs / "part1" / "a").name == "a"


def test_the_network_that_comes_with_the_project_remembers_a_thousand_digits():
    lstm, _, _ = trained = load(PRETRAINED / "lstm")
    digits = draw_palindromes(100, 1000, np.random.default_rng(0))
    assert (lstm(trained.encode(digits[:, :-1])).argmax(1) == digits[:, -1]).all()
