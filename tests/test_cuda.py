"""On a CUDA device, where there is one: what the other tests show on the CPU."""

from common.find import PRETRAINED
from part1.lstm import LSTM
from part1.networks.trained import load
from part2 import gan
from part2.gan import Discriminator, Game, Generator
from part2.judges.judge import Judge, sample
from part2.networks.trained import load_generator
from part2.recipes.recipes import RECIPES
from tests.tiny_runs import PART1, PART2, PROVED, differences, ending, stop

import pytest
import torch
from torch import nn

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
    pytest.mark.usefixtures("light"),
]
CUDA = torch.device("cuda")


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "fast"])
def test_the_lstm_is_nn_lstm_there_too(plain, differences_to):
    torch.manual_seed(0)
    network, x = LSTM(2, 5, 3, plain=plain).double().to(CUDA), torch.randn(3, 10, 2, dtype=torch.float64, device=CUDA)
    assert max(differences_to(nn.LSTM, network, x).values()) < 1e-10


RESUMED = [(PART1, 8), (PROVED, 8), (PART2, 8), (PART2, 1)]  # the GAN's replayed step without the penalty, and with


@pytest.mark.parametrize(("script", "penalty_interval"), RESUMED, ids=str)
def test_runs_are_stopped_and_resumed_in_the_same_bits(script, penalty_interval, tmp_path, monkeypatch):
    monkeypatch.setattr(gan, "PENALTY_INTERVAL", penalty_interval)
    flags = ["--device", "cuda", "--deterministic"]
    flags += ["--recipe", "crisp", "--latent_dim", "22"] if script is PART2 else []
    script.start(tmp_path / "straight", *flags)
    stop(script.start, 4, tmp_path / "run", *flags)
    script.resume(tmp_path / "run")
    assert differences(ending(script, tmp_path / "straight"), ending(script, tmp_path / "run")) == []


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize(("recipe", "n_graphs"), [("reference", 1), ("improved", 2), ("crisp", 2)])
def test_replayed_steps_train_as_the_plain_ones(recipe, n_graphs, bf16):
    """In the same bits, at learning rates that change; a step with the penalty has a graph of its own."""
    found, autocast = [], torch.autocast("cuda", torch.bfloat16, enabled=bf16)
    for plain in (True, False):
        torch.manual_seed(0)
        generator = Generator(30, signs=RECIPES[recipe].signs).to(CUDA)
        game = Game(generator, Discriminator().to(CUDA), RECIPES[recipe])
        replayed = game.update
        if plain:
            game.update = game.update_both
        for batch in range(40):
            game.set_learning_rate(2.0 ** -(10 + batch // 8))  # the GPU's memory has it in float32
            real, z = torch.rand(16, 1, 28, 28).to(CUDA), generator.draw(16, None).to(CUDA)
            found.append(torch.stack([number.detach() for number in game.step(real, z, batch, autocast)]))
        found += [*generator.parameters(), *game.discriminator.parameters()]
        assert len(replayed.graphs) == (0 if plain else n_graphs)
    half = len(found) // 2
    assert all(torch.equal(first, second) for first, second in zip(found[:half], found[half:], strict=True))


def test_a_network_and_the_judge_say_nearly_the_same_there(tmp_path):
    for script in (PART1, PROVED):
        network = load(script.start(tmp_path / script.name, "--device", "cuda")).network
        x = torch.randn(3, 4, network.input_dim)
        torch.testing.assert_close(network(x), network.to(CUDA)(x.to(CUDA)).cpu(), rtol=1e-4, atol=1e-5)
    images = sample(load_generator(PRETRAINED / "generator"), seed=0, n=1000)
    there, here = Judge("test", CUDA)(images), Judge("test", torch.device("cpu"))(images)
    assert there == pytest.approx(here, rel=0.02)
