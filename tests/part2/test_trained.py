"""A trained GAN: which one a script takes, what a checkpoint brings back, what an exported one holds."""

from common.cli import UserError
from common.files import load_checkpoint, save_checkpoint, write_json
from common.find import PRETRAINED
from part2.gan import Discriminator, Generator
from part2.judges.networks import Autoencoder, Classifier, load_autoencoder, load_classifier
from part2.networks import trained
from part2.networks.trained import export_networks, find_generator, load_discriminator, load_generator, trained_on
from tests.tiny_runs import differences

import pytest
import torch
from torch import nn

SIZES = {"latent_dim": 4, "width": 2, "epsilon": 0.8, "signs": 3}


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    """BatchNorm's running averages differ from a new network's."""
    last, average = Generator(**SIZES), Generator(**SIZES)
    last(torch.randn(8, 4))
    return {"generator": last, "average": average, "discriminator": Discriminator(width=2)}


def save(folder, networks: dict[str, nn.Module], *names: str, **more) -> None:
    states = {name: networks[name].state_dict() for name in names}
    save_checkpoint(folder / "checkpoint.pt", "GAN", SIZES | states | more)


def test_without_a_name_the_pretrained_generator_is_found(outputs, capsys):
    assert find_generator(None) == PRETRAINED / "generator"
    assert "as no run of part2/train_gan.py has finished in outputs/part2" in capsys.readouterr().out


@pytest.mark.parametrize("average", [True, False])
def test_load_generator_takes_the_average_if_there_is_one_and_is_ready_to_sample(
    tmp_path, networks, average, monkeypatch
):
    measured = []
    monkeypatch.setattr(trained, "measure_statistics", lambda network: measured.append(1) or network.eval())
    save(tmp_path, networks, "generator", *(["average"] if average else []))
    loaded = load_generator(str(tmp_path))
    assert not differences(loaded.state_dict(), networks["average" if average else "generator"].state_dict())
    norms = [module for module in loaded.modules() if isinstance(module, nn.BatchNorm1d)]
    assert (loaded.latent_dim, loaded.width, norms[0].eps, loaded.signs) == tuple(SIZES.values())
    assert not loaded.training and len(measured) == average


def test_load_discriminator_is_in_eval_mode_and_says_if_there_is_none(tmp_path, networks):
    save(tmp_path, networks, "discriminator")
    loaded = load_discriminator(tmp_path)
    assert not differences(loaded.state_dict(), networks["discriminator"].state_dict()) and not loaded.training
    save(tmp_path, networks, "generator")
    with pytest.raises(UserError, match="holds a generator alone, no discriminator"):
        load_discriminator(tmp_path)


def test_a_checkpoint_older_than_signs_and_data_has_none(tmp_path):
    assert not {"signs", "data"} & load_checkpoint(PRETRAINED / "generator", "GAN").keys()
    generator, discriminator = load_generator(PRETRAINED / "generator"), load_discriminator(PRETRAINED / "generator")
    assert (generator.latent_dim, generator.signs) == (100, 0)
    assert discriminator(generator(torch.zeros(1, 100))).shape == (1,)


def test_exported_are_the_generator_to_sample_from_and_the_discriminator_and_nothing_else(tmp_path, networks):
    described = {"recipe": {"penalty": 1.0}, "data": {"name": "MNIST", "size": 7}}
    save(tmp_path, networks, "generator", "discriminator", progress={"batch": 9}, **described)
    export_networks(tmp_path, tmp_path / "exported.pt")
    exported = load_checkpoint(tmp_path / "exported.pt", "GAN")
    assert exported.keys() == {"schema", "kind", *SIZES, *described, "generator", "discriminator"}
    assert exported.items() >= described.items()
    for load in (load_generator, load_discriminator):
        assert not differences(load(tmp_path / "exported.pt").state_dict(), load(tmp_path).state_dict())


# Each loader, which weights it loads, and what else may be wrong.
MISFITS = {
    load_generator: ("generator", [{"latent_dim": size} for size in ("4", None, -4, 5)] + [{"width": []}]),
    load_discriminator: ("discriminator", [{"width": size} for size in ("4", None, 1)]),
    load_classifier: ("network", [{"data": data} for data in (5, "MNIST", [1])]),
    load_autoencoder: ("network", [{"data": 5}]),
}


@pytest.mark.parametrize("load", MISFITS, ids=lambda load: load.__name__)
def test_what_does_not_fit_or_is_not_finite_is_one_line(tmp_path, networks, load):
    name, misfits = MISFITS[load]
    judge = {load_classifier: Classifier, load_autoencoder: Autoencoder}.get(load)
    state = (judge() if judge else networks[name]).state_dict()
    content, key = SIZES | {name: state}, next(iter(state))
    wrong = [state | {key: state[key] * factor} for factor in (torch.nan, torch.inf, 1j)]
    wrong += [state | {key: torch.ones(3)}, {}, None, [1], {key: 1}]
    for misfit in [*misfits, *({name: weights} for weights in wrong)]:
        save_checkpoint(tmp_path / "checkpoint.pt", judge.kind if judge else "GAN", content | misfit)
        with pytest.raises(UserError, match=r"checkpoint.pt: does not fit this version of the network \(.") as error:
            load(tmp_path / "checkpoint.pt")
        assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_what_a_generator_was_trained_on_is_known_and_said_if_it_is_not_mnist(tmp_path, networks, capsys):
    """By its checkpoint, or an older one by the config.json beside it."""
    for data, config, known in (
        ({"name": "/doodles", "size": 7, "grey": True}, {}, {"name": "/doodles", "size": 7, "grey": True}),
        ({"name": "MNIST", "size": 7}, {"script": "…", "arguments": {"data_size": 8}}, {"name": "MNIST", "size": 7}),
        (None, {"script": "…", "arguments": {"data_size": 8}}, {"name": "MNIST", "size": 8}),
        (None, {"script": "…", "arguments": {}}, {"name": "MNIST", "size": 60_000}),
        (None, {}, {}),
    ):
        save(tmp_path, networks, "generator", **({"data": data} if data else {}))
        write_json(tmp_path / "config.json", config)
        assert trained_on(find_generator(tmp_path)) == known
        said = "trained on /doodles: a classifier of MNIST's digits reads any image as one of them\n"
        assert capsys.readouterr().out.endswith(said if data and data["name"] != "MNIST" else "named by --run)\n")
    for data, config in ((5, {}), ({"name": "MNIST"}, {}), ({}, {"script": "…", "arguments": {"data_size": "x"}})):
        save(tmp_path, networks, "generator", data=data)
        write_json(tmp_path / "config.json", config)
        with pytest.raises(UserError, match="does not fit this version"):
            trained_on(tmp_path)
