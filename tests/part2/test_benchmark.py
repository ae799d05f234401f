"""Part 2's benchmark: that all contestants train alike and the floor counts what it says; never how long they take."""

import copy
import csv
import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import part2.benchmark
from common.files import read_json
from part2.benchmark import (
    FLOOR,
    YARDSTICK,
    assigned,
    benchmark,
    in_memory,
    loaded,
    lower_bound,
    networks,
    ours,
    parse_args,
    with_torch_layers,
)
from part2.mnist import Digits
from part2.recipes import RECIPES

CPU = torch.device("cpu")


def losses(step, n: int) -> torch.Tensor:
    torch.manual_seed(1)  # the noise
    return torch.tensor([[float(torch.as_tensor(value).detach()) for value in step()][:2] for _ in range(n)])


@pytest.fixture
def batches(mnist):
    """batches(): always the same four of 16 images."""
    return lambda: itertools.cycle(mnist["train"].images[:64].split(16))


def test_the_reference_recipe_trains_as_the_assignments_loop_does_and_nearly_so_in_bf16(batches):
    """Losses step by step to 1e-4, in float32: of the same images and the same noise."""
    plain, fast = losses(assigned(batches(), CPU), 12), losses(ours("reference", batches(), CPU), 12)
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=0)
    half = losses(ours("reference", batches(), CPU, bf16=True), 4)
    torch.testing.assert_close(half, fast[:4], rtol=0.05, atol=0)
    assert not torch.equal(half, fast[:4])


def test_the_assignments_loop_trains_pytorchs_own_layers(batches):
    """Which compute the same as ours from the same weights."""
    for network in networks(CPU):
        theirs = with_torch_layers(copy.deepcopy(network))
        assert {type(layer).__module__.split(".")[0] for layer in theirs.layers} == {"torch"}
        x = torch.randn(3, 100) if hasattr(network, "latent_dim") else torch.randn(3, 1, 28, 28)
        torch.testing.assert_close(network(x), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "bf16"), [("improved", True), ("reference_wide", False)])
def test_a_contestant_takes_the_recipes_step_batch_after_batch(name, bf16, batches, monkeypatch):
    seen = []

    def train_step(game, real, z, batch, autocast):
        width = game.generator.width, game.discriminator.layers[0].out_features // 512
        rate = game.generator_optimizer.param_groups[0]["lr"]
        seen.append((game.recipe, width, rate, len(real), tuple(z.shape), batch, autocast._enabled))

    monkeypatch.setattr(part2.benchmark, "train_step", train_step)
    step, recipe = ours(name, batches(), CPU, bf16), RECIPES[name]
    for _ in range(3):
        step()
    width = (recipe.width, recipe.width)
    assert seen == [(recipe, width, recipe.learning_rate, 16, (16, 100), batch, bf16) for batch in range(3)]


def test_both_sources_give_whole_batches_of_the_training_images_in_another_order_each_time(monkeypatch, mnist):
    few = Digits(*(part[:64] for part in mnist["train"]))
    monkeypatch.setattr(part2.benchmark, "load_mnist", lambda split: few)
    known = {image.numpy().tobytes() for image in few.images}
    for source in (in_memory, loaded):
        batches = source(50, CPU)  # of 64 images: one batch each time round
        first, second = next(batches), next(batches)
        assert first.shape == second.shape == (50, 1, 28, 28) and not torch.equal(first, second)
        assert {image.numpy().tobytes() for image in first} <= known and first.unique(dim=0).shape == first.shape


def test_the_floor_is_the_products_of_one_step(batches, monkeypatch):
    """Multiplications and additions counted on a real step, by PyTorch; the floor has the same."""
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)  # whose products it does not count
    step, least = ours("reference", batches(), CPU), lower_bound(16, CPU)
    with FlopCounterMode(display=False) as real:
        step()
    with FlopCounterMode(display=False) as counted:
        least()
    assert counted.get_total_flops() == real.get_total_flops()


def test_flags_reach_the_contestants_and_their_turns_and_the_table_has_all_of_them(tmp_path, monkeypatch, capsys):
    """In two rounds the yardstick takes 4 and 6 ms, the floor 1, the reference recipe 2 and 3, all others 1 and 3."""
    asked = []

    def take_turns(steps, *of):
        asked.append((steps, *of))
        known = {YARDSTICK: [4e-3, 6e-3], FLOOR: [1e-3, 1e-3], "reference recipe": [2e-3, 3e-3]}
        return {name: known.get(name, [1e-3, 3e-3]) for name in steps}

    for name in ("assigned", "ours", "loaded", "in_memory", "lower_bound"):
        monkeypatch.setattr(part2.benchmark, name, lambda *of, _name=name, **more: (_name, *of[:-1], *more))
    monkeypatch.setattr(part2.benchmark, "take_turns", take_turns)
    monkeypatch.setattr(part2.benchmark, "turn", lambda step, device: (step, device))
    flags = ["--rounds", "2", "--turn", "0.5", "--batch_size", "8", "--device", "cpu"]
    folder = benchmark(parse_args([*flags, "--out_dir", str(tmp_path / "run")]))
    memory = ("in_memory", 8)
    contestants = {YARDSTICK: ("assigned", ("loaded", 8)), "the same, images in memory": ("assigned", memory)}
    for recipe in ("reference", "improved"):
        contestants[f"{recipe} recipe"] = ("ours", recipe, memory)
        contestants[f"{recipe} recipe, bf16 products"] = ("ours", recipe, memory, "bf16")
    contestants[FLOOR] = ("lower_bound", 8)
    assert asked == [({name: (step, CPU) for name, step in contestants.items()}, 2, 0.5)]
    with (folder / "benchmark.csv").open(encoding="utf-8") as file:
        rows = {row.pop("contestant"): row for row in csv.DictReader(file)}
    assert list(rows) == list(asked[0][0]) and capsys.readouterr().out.count(" ms a step, ") == 7
    assert " ".join(rows["improved recipe"].values()) == "2.00 500.0 3.000 2.000 4.000 2.000"
    assert read_json(folder / "result.json")["improved_to_reference"] == 0.75  # of 0.5 and 1
