"""Several processes share each batch and train as one would; they stop, save, fail and go on together."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
from unittest import mock

import pytest
import torch
import torch.nn.functional as F

from common import distributed
from common.console import quoted
from common.files import read_json
from common.runs import read_metrics
from part1.networks import NETWORKS
from tests import tiny_runs
from tests.faults import EVERY, end, slowly, soak, together, wait_until
from tests.tiny_runs import CURRICULUM, PART1, PART2, SCRIPTS, Script, all_scripts, differences, ending

pytestmark = [pytest.mark.usefixtures("light"), pytest.mark.skipif(os.name != "posix", reason="gloo and signals")]
HALF = {PART1: "20", CURRICULUM: "16", PART2: "16"}  # of a batch: two processes make as many steps as one


def flags(script: Script, folder, *more) -> list:
    return [*script.tiny.split(), "--batch_size", HALF[script], "--out_dir", folder, *more]


def two(script: Script, log, *flags, during=contextlib.nullcontext) -> list[int]:
    """Run the script in two processes; their exit statuses."""
    return [end(process) for process in together(script, log, *flags, during=during)]


SIZES = [8, 7, 3, 2, 1]  # of a batch; of the last one the second process has nothing


def gradients(model: str, size: int) -> list[torch.Tensor]:
    """The gradients of one batch, as part1/train.py makes them, in float64."""
    torch.manual_seed(size)
    network = NETWORKS[model](1, 6, 10).double()
    x, targets = torch.randn(size, 5, 1, dtype=torch.float64), torch.randint(10, (size,))
    index = distributed.my_part(torch.randperm(size))
    loss = F.cross_entropy(network(x[index]), targets[index], reduction="sum") * distributed.PROCESSES / size
    loss.backward()
    distributed.mean_gradients(network)
    return [parameter.grad for parameter in network.parameters()]


@contextlib.contextmanager
def watched(folder):
    """Write down what each process has: gradients as above, the size of its part of a batch, its weights at the end."""
    modules, sizes = {}, set()
    seen = {"gradients": {(model, size): gradients(model, size) for model in NETWORKS for size in SIZES}}
    seen["maximum"] = distributed.maximum(distributed.RANK)

    def look(module, inputs) -> None:
        if torch.is_grad_enabled():
            modules[id(module)] = module
            sizes.add(len(inputs[0]))

    torch.nn.modules.module.register_module_forward_pre_hook(look)
    yield
    weights = [parameter.detach() for module in modules.values() for parameter in module.parameters()]
    torch.save({**seen, "sizes": sorted(sizes), "weights": weights}, folder / f"seen{distributed.RANK}")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """pair(script): where two processes that nothing happened to have left run/, log.0, log.1, seen0 and seen1."""

    @functools.cache
    def run(script: Script):
        folder = tmp_path_factory.mktemp("pair")
        during = functools.partial(watched, folder)
        assert two(script, folder / "log", *flags(script, folder / "run"), during=during) == [0, 0]
        return folder

    return run


def test_two_processes_find_the_gradients_of_one_with_the_whole_batch(pair):
    """To rounding in float64, for batches that cannot be halved too, and alike in both; so is the maximum."""
    first, second = (torch.load(pair(PART1) / f"seen{rank}") for rank in range(2))
    for (model, size), found in first["gradients"].items():
        for ours, theirs in zip(found, gradients(model, size), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-15)
    assert len(first["gradients"]) == 15 and differences(first["gradients"], second["gradients"]) == []
    assert first["maximum"] == second["maximum"] == 1


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize("size", SIZES)
def test_the_parts_are_the_whole_batch_and_alike_in_size(size, processes):
    batch, parts = torch.arange(size), []
    for rank in range(processes):
        with mock.patch.multiple(distributed, PROCESSES=processes, RANK=rank):
            parts.append(distributed.my_part(batch))
    assert torch.equal(torch.cat(parts), batch) and max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("script", [PART1, CURRICULUM], ids=str)
def test_two_processes_with_half_a_batch_each_train_as_one_with_the_whole(script, pair, tmp_path):
    """Part 2 does so too but for BatchNorm, which normalises with each process's own part."""
    one, both = read_metrics(script.start(tmp_path / "one")), ending(script, pair(script) / "run")["metrics"]
    assert len(one) == len(both) == 2
    for row, row_of_both in zip(one, both, strict=True):
        assert row_of_both == pytest.approx({name: row[name] for name in row_of_both}, rel=1e-4, abs=1e-6)


@all_scripts
def test_each_has_half_of_every_batch_the_same_weights_and_only_the_main_one_speaks(script, pair):
    first, second = (torch.load(pair(script) / f"seen{rank}") for rank in range(2))
    assert first["weights"] and differences(first, second) == []  # to the last bit
    half = int(HALF[script])
    assert max(first["sizes"]) == (2 * half if script is PART2 else half)  # a discriminator sees real and fake ones
    assert read_json(pair(script) / "run/config.json")["arguments"]["processes"] == 2
    assert (pair(script) / "log.0").read_text().startswith(str(pair(script) / "run"))
    assert (pair(script) / "log.1").read_text() == ""


def signal_to(rank: int, step: int):
    return tiny_runs.after_step(step, tiny_runs.raise_signal) if rank == distributed.RANK else contextlib.nullcontext()


STOPS = [(PART1, 1, 1), (CURRICULUM, 0, 13), (PART2, 1, 5)]
STOPS += [pytest.param(script, rank, 3, marks=soak) for script in SCRIPTS.values() for rank in (0, 1)]


@pytest.mark.parametrize(("script", "rank", "step"), STOPS, ids=str)
def test_a_signal_to_one_stops_all_and_resumed_they_end_in_the_same_bits(script, rank, step, pair, tmp_path):
    during = functools.partial(signal_to, rank, step)
    assert two(script, tmp_path / "log", *flags(script, tmp_path / "run"), during=during) == [143, 143]
    way = f"stopped by SIGTERM; to continue: --resume {quoted(tmp_path / 'run')}\n"
    assert (tmp_path / "log.0").read_text().endswith(way)
    assert two(script, tmp_path / "log", "--resume", tmp_path / "run") == [0, 0]
    assert differences(ending(script, pair(script) / "run"), ending(script, tmp_path / "run")) == []


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("script", [PART1, pytest.param(PART2, marks=soak)], ids=str)
def test_when_one_dies_the_other_ends_in_one_line_and_a_good_checkpoint_remains(script, victim, pair, tmp_path):
    folder = tmp_path / "run"
    started = together(script, tmp_path / "log", *flags(script, folder, *EVERY), during=slowly)
    wait_until(lambda: tiny_runs.rows_in(folder) >= 1, started[0])
    started[victim].kill()
    assert end(started[1 - victim]) == 1 and end(started[victim]) == -signal.SIGKILL
    *_, line = (tmp_path / f"log.{1 - victim}").read_text().splitlines()
    assert "error: another process of this run has ended" in line
    assert not (folder / "result.json").exists()
    assert two(script, tmp_path / "log", "--resume", folder) == [0, 0]
    assert differences(ending(script, pair(script) / "run"), ending(script, folder)) == []


@contextlib.contextmanager
def nan_in_the_second(step: int):
    """The second process's loss is not a number after so many batches."""
    original, calls = F.cross_entropy, []

    def changed(*args, **kwargs):
        calls.append(torch.is_grad_enabled())
        return original(*args, **kwargs) * (torch.nan if sum(calls) == step and distributed.RANK == 1 else 1)

    with mock.patch.object(F, "cross_entropy", changed):
        yield


def test_a_loss_of_nan_in_one_ends_all_at_the_last_good_step(tmp_path):
    during = functools.partial(nan_in_the_second, 5)
    assert two(PART1, tmp_path / "log", *flags(PART1, tmp_path / "run", *EVERY), during=during) == [1, 1]
    assert "error: loss is nan: training cannot go on" in (tmp_path / "log.0").read_text()
    assert PART1.saved(tmp_path / "run")["progress"]["batch"] == 1  # of the second epoch


def test_torchrun_trains_as_two_children_do(pair, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command += [PART1.module.__file__, *map(str, flags(PART1, tmp_path / "run"))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=-1, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0 and done.stdout.count("test accuracy") == 1, done.stdout
    assert differences(ending(PART1, pair(PART1) / "run"), ending(PART1, tmp_path / "run")) == []
