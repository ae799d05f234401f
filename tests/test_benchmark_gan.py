"""Part 2's benchmark: that all contestants train alike and the floor counts what it says; never how long they take."""

import csv
import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import part2.benchmark
from common import runs
from common.files import read_json
from part2.benchmark import FLOOR, YARDSTICK, assigned, benchmark, floor, in_memory, loaded, ours, parse_args
from part2.mnist import Digits, load_mnist

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images():
    return load_mnist("train").images[:64]


def losses(step, n: int) -> list[list[float]]:
    torch.manual_seed(1)  # the noise
    return [[float(value) for value in step()][:2] for _ in range(n)]


def test_the_reference_recipe_trains_as_the_assignments_loop_does(images):
    """Losses step by step to 1e-4, in float32: twelve batches of the same images and the same noise."""

    def batches():
        return itertools.cycle(images.split(16))

    plain, fast = losses(assigned(batches(), CPU), 12), losses(ours("reference", batches(), CPU), 12)
    torch.testing.assert_close(torch.tensor(fast), torch.tensor(plain), rtol=1e-4, atol=0)
    improved = losses(ours("improved", batches(), CPU), 12)
    assert not torch.allclose(torch.tensor(improved), torch.tensor(plain), rtol=1e-2)


def test_bf16_products_train_nearly_alike(images):
    def batches():
        return itertools.cycle(images.split(16))

    full, half = (losses(ours("reference", batches(), CPU, bf16), 4) for bf16 in (False, True))
    torch.testing.assert_close(torch.tensor(half), torch.tensor(full), rtol=0.05, atol=0)
    assert full != half


def test_both_sources_give_whole_batches_of_the_training_images(monkeypatch, images):
    from_memory, from_loader = in_memory(50, CPU), loaded(50, CPU)
    known = {image.numpy().tobytes() for image in load_mnist("train").images}
    for batches in (from_memory, from_loader):
        batch = next(batches)
        assert batch.shape == (50, 1, 28, 28) and batch.dtype == torch.float32
        assert all(image.numpy().tobytes() in known for image in batch)
    monkeypatch.setattr(part2.benchmark, "load_mnist", lambda split: Digits(images, None))
    few = in_memory(50, CPU)  # of 64 images: one batch each time round, others each time
    first, second = next(few), next(few)
    assert len(first) == len(second) == 50 and not torch.equal(first, second)


def test_the_floor_is_the_products_of_one_step():
    """Multiplications and additions counted on a real step, by PyTorch; the floor has the same."""
    batches = itertools.cycle(torch.zeros(3, 8, 1, 28, 28))
    step, least = ours("reference", batches, CPU), floor(8, CPU)
    with FlopCounterMode(display=False) as real:
        step()
    with FlopCounterMode(display=False) as counted:
        least()
    assert counted.get_total_flops() == real.get_total_flops()


def test_the_script_leaves_a_table_of_all_contestants(tmp_path, capsys):
    flags = ["--rounds", "1", "--turn", "0.001", "--batch_size", "8", "--device", "cpu"]
    folder = benchmark(parse_args([*flags, "--out_dir", str(tmp_path / "run")]))
    rows = list(csv.DictReader((folder / "benchmark.csv").open(encoding="utf-8")))
    assert [row["contestant"] for row in rows][:1] == [YARDSTICK] and rows[-1]["contestant"] == FLOOR and len(rows) == 7
    assert all(float(row["ms_per_step"]) > 0 for row in rows) and float(rows[0]["speed"]) == 1
    assert float(rows[-1]["times_the_floor"]) == 1
    assert read_json(folder / "result.json")["improved_to_reference"] > 0
    assert all(row["ms_per_step"] in capsys.readouterr().out for row in rows[:1])


def test_figures_by_hand(monkeypatch, tmp_path):
    """Two rounds: the yardstick takes 4 and 6 ms, all others half of it, the floor 1 ms."""
    names = ["reference recipe", "improved recipe"]
    times = {YARDSTICK: [4e-3, 6e-3], **{name: [2e-3, 3e-3] for name in names}, FLOOR: [1e-3, 1e-3]}
    monkeypatch.setattr(part2.benchmark, "contestants", lambda *_: {})
    monkeypatch.setattr(part2.benchmark, "take_turns", lambda *_: times)
    folder = benchmark(parse_args(["--device", "cpu", "--out_dir", str(tmp_path / "run")]))
    row = list(csv.DictReader((folder / "benchmark.csv").open(encoding="utf-8")))[1]
    assert (row["ms_per_step"], row["speed"], row["times_the_floor"]) == ("2.50", "2.000", "2.500")
    assert read_json(folder / "result.json")["improved_to_reference"] == 1


@pytest.mark.parametrize(
    "flags", [["--rounds", "0"], ["--turn", "0"], ["--batch_size", "1"], ["--batch_size", "60001"]]
)
def test_a_mistake_is_one_line_and_nothing_is_written(flags, tmp_path, answer, monkeypatch):
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path)
    status, _, error = answer(part2.benchmark, *flags)
    assert status == 2 and flags[0] in error and error.count("\n") == 1 and not list(tmp_path.iterdir())
