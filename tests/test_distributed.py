"""Several processes share each batch and train as one would; they stop, save, fail and go on together."""

import functools
import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from common import distributed
from common.files import read_json
from common.runs import read_metrics
from common.saving import Saver
from part1.networks import NETWORKS
from tests import faults
from tests.faults import (
    PART1,
    PART2,
    SCRIPTS,
    Script,
    after_step,
    differences,
    end,
    ending,
    for_good,
    free_port,
    full,
    lighten,
    raise_signal,
    refused,
    rows,
    slowly,
    soak,
    survives,
    together,
    wait_until,
)

pytestmark = pytest.mark.skipif(not dist.is_available() or os.name != "posix", reason="torch.distributed on POSIX")
both = pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
EVERY = ("--checkpoint_interval", "0")
HALF = {PART1: ("--batch_size", "20"), PART2: ("--batch_size", "16")}  # of a batch: two processes see three an epoch
root = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def light(monkeypatch):
    lighten(monkeypatch.setattr)


def flags(script: Script, folder: Path, *more: str) -> list:
    return [*script.tiny.split(), *HALF[script], "--out_dir", folder, *more]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """What two processes end with that are never stopped; equal flags share one run."""

    @functools.cache
    def run(script: Script, *more: str) -> dict:
        folder = tmp_path_factory.mktemp("straight")
        assert together(script, folder / "log", *flags(script, folder / "run", *more)) == [0, 0]
        return ending(script, folder / "run")

    return run


# Gradients

SIZES = [8, 7, 3, 2, 1]  # of a batch; of the last one the second process has nothing


def gradients(model: str, size: int) -> list[torch.Tensor]:
    """The gradients of one batch, as part1/train.py makes them, in float64; last their norm."""
    torch.manual_seed(size)
    network = NETWORKS[model](1, 6, 10).double()
    x, targets = torch.randn(size, 5, 1, dtype=torch.float64), torch.randint(10, (size,))
    index = distributed.share(torch.randperm(size))
    loss = F.cross_entropy(network(x[index]), targets[index], reduction="sum") * distributed.PROCESSES / size
    loss.backward()
    norm = distributed.mean_gradients(network)
    return [*(parameter.grad for parameter in network.parameters()), norm]


def save_gradients(rank: int, processes: int, port: int, path: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "WORLD_SIZE": str(processes),
    }
    distributed.RANK, distributed.PROCESSES = rank, processes
    distributed.join(torch.device("cpu"))
    torch.save({(model, size): gradients(model, size) for model in NETWORKS for size in SIZES}, path)
    distributed.leave()


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=soak)])
def test_several_processes_find_the_gradients_of_one_with_the_whole_batch(processes, tmp_path):
    """To rounding in float64, for batches that cannot be halved too, and alike in all processes."""
    port = free_port()
    jobs = [(rank, processes, port, tmp_path / f"gradients{rank}") for rank in range(processes)]
    started = [faults._server.Process(target=save_gradients, args=job) for job in jobs]
    for process in started:
        process.start()
    assert [end(process) for process in started] == [0] * processes
    first, *others = (torch.load(path) for *_, path in jobs)
    for (model, size), found in first.items():
        for ours, theirs in zip(found, gradients(model, size), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-15)
        assert all(differences(found, other[model, size]) == [] for other in others)
        assert found[-1] > 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_the_shares_are_the_whole_batch_and_alike_in_size(size, processes, monkeypatch):
    batch, shares = torch.arange(size), []
    monkeypatch.setattr(distributed, "PROCESSES", processes)
    for rank in range(processes):
        monkeypatch.setattr(distributed, "RANK", rank)
        shares.append(distributed.share(batch))
    assert torch.cat(shares).tolist() == batch.tolist()
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


# Whole runs


def test_two_processes_with_half_a_batch_each_train_as_one_with_the_whole(straight, tmp_path):
    PART1.start(tmp_path / "one")
    for one, two in zip(read_metrics(tmp_path / "one"), straight(PART1)["metrics"], strict=True):
        for key, value in two.items():
            assert value == pytest.approx(one[key], rel=1e-4, abs=1e-6), key


@both
def test_only_the_first_process_writes_and_speaks(script, straight, tmp_path):
    assert together(script, tmp_path / "log", *flags(script, tmp_path / "run")) == [0, 0]
    assert differences(straight(script), ending(script, tmp_path / "run")) == []  # and the same bits each time
    assert read_json(tmp_path / "run/config.json")["arguments"]["processes"] == 2
    assert rows(tmp_path / "run") == len(straight(script)["metrics"])
    assert str(tmp_path / "run") in (tmp_path / "log.0").read_text() and (tmp_path / "log.1").read_text() == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.0", "log.1", "run"]


def keep_parameters(step: int, folder: Path) -> None:
    def keep(saver: Saver) -> None:
        networks = {name: it for name, it in saver._learners.items() if isinstance(it, torch.nn.Module)}
        parameters = {name: [p.detach() for p in network.parameters()] for name, network in networks.items()}
        torch.save(parameters, folder / f"parameters{distributed.RANK}")

    for_good(after_step(step, keep))


@both
def test_all_processes_hold_the_same_weights_to_the_last_bit(script, tmp_path):
    """Part 2's statistics of BatchNorm are each process's own; its weights are not."""
    before = functools.partial(keep_parameters, script.last_step, tmp_path)
    assert together(script, tmp_path / "log", *flags(script, tmp_path / "run"), before=before) == [0, 0]
    first, second = (torch.load(tmp_path / f"parameters{rank}") for rank in range(2))
    assert first and differences(first, second) == []


# Stop and resume


def signal_to(rank: int, step: int, number: int = signal.SIGTERM) -> None:
    if rank == distributed.RANK:
        for_good(after_step(step, functools.partial(raise_signal, number=number)))


ALWAYS = [(PART1, 1, 1), (PART1, 0, 3), (PART2, 1, 1), (PART2, 0, 5)]
STOPS = [
    pytest.param(*stop, marks=[] if stop in ALWAYS else soak)
    for stop in itertools.product(SCRIPTS.values(), (0, 1), range(1, 7))
]


@pytest.mark.parametrize(("script", "rank", "step"), STOPS, ids=str)
def test_a_signal_to_one_stops_all_and_resumed_they_end_in_the_same_bits(script, rank, step, straight, tmp_path):
    with survives("signal"):
        before = functools.partial(signal_to, rank, step)
        assert together(script, tmp_path / "log", *flags(script, tmp_path / "run"), before=before) == [143, 143]
        assert (tmp_path / "log.0").read_text().endswith(f"stopped by SIGTERM; go on with: --resume {tmp_path}/run\n")
        assert together(script, tmp_path / "log", "--resume", tmp_path / "run") == [0, 0]
        assert differences(straight(script), ending(script, tmp_path / "run")) == []


def test_sigusr1_to_one_saves(straight, tmp_path):
    with survives("signal"):
        before = functools.partial(signal_to, 1, 2, signal.SIGUSR1)
        assert together(PART1, tmp_path / "log", *flags(PART1, tmp_path / "run"), before=before) == [0, 0]
        assert PART1.saved(tmp_path / "run", "checkpoint.previous.pt")["progress"]["batch"] == 2
        assert differences(straight(PART1), ending(PART1, tmp_path / "run")) == []


def test_another_number_of_processes_is_refused_by_all(tmp_path):
    before = functools.partial(signal_to, 0, 2)
    together(PART1, tmp_path / "log", *flags(PART1, tmp_path / "run"), before=before)
    assert "processes 2 → 1" in refused(PART1, "--resume", tmp_path / "run")
    assert together(PART1, tmp_path / "three", "--resume", tmp_path / "run", processes=3) == [2, 2, 2]
    assert "processes 2 → 3" in (tmp_path / "three.0").read_text()


# Failures


@pytest.mark.parametrize("victim", [0, 1])
@both
def test_when_one_dies_the_other_ends_in_one_line_and_a_good_checkpoint_remains(script, victim, straight, tmp_path):
    folder, port = tmp_path / "run", free_port()
    with survives("SIGKILL"):
        started = [
            faults.child(
                script,
                tmp_path / f"log.{rank}",
                *flags(script, folder, *EVERY),
                before=slowly,
                rank=rank,
                processes=2,
                port=port,
            )
            for rank in range(2)
        ]
        wait_until(lambda: rows(folder) >= 1, started[0])
        started[victim].kill()
        assert end(started[1 - victim]) == 1
        *_, line = (tmp_path / f"log.{1 - victim}").read_text().splitlines()
        assert "error: another process of this run has ended" in line
        assert script.saved(folder)["progress"]["batch"] > 0 and not (folder / "result.json").exists()
        end(started[victim])
        assert together(script, tmp_path / "log", "--resume", folder) == [0, 0]
        assert differences(straight(script), ending(script, folder)) == []


def loss_of_nan(rank: int, step: int) -> None:
    original, calls = F.cross_entropy, itertools.count(1)

    def changed(logits, *args, **kwargs):
        loss = original(logits, *args, **kwargs)
        return loss * torch.nan if torch.is_grad_enabled() and next(calls) == step else loss

    if rank == distributed.RANK:
        F.cross_entropy = changed


def test_a_loss_of_nan_in_one_ends_all_at_the_last_good_step(straight, tmp_path):
    with survives("not finite"):
        before = functools.partial(loss_of_nan, 1, 5)
        assert together(PART1, tmp_path / "log", *flags(PART1, tmp_path / "run", *EVERY), before=before) == [1, 1]
        assert "at epoch 2, batch 2 is not finite" in (tmp_path / "log.0").read_text()
        assert together(PART1, tmp_path / "log", "--resume", tmp_path / "run") == [0, 0]
        assert differences(straight(PART1), ending(PART1, tmp_path / "run")) == []


def no_room(step: int) -> None:
    for_good(after_step(step, lambda _: setattr(faults.checkpoint, "write_whole", full)))


def test_a_disk_that_is_full_at_the_end_is_an_error_of_the_whole_run(straight, tmp_path):
    with survives("full disk"):
        before = functools.partial(no_room, 4)
        first, _ = together(PART1, tmp_path / "log", *flags(PART1, tmp_path / "run", *EVERY), before=before)
        assert first == 1 and not (tmp_path / "run/result.json").exists()
        assert together(PART1, tmp_path / "log", "--resume", tmp_path / "run") == [0, 0]
        assert differences(straight(PART1), ending(PART1, tmp_path / "run")) == []


# torchrun itself


def torchrun(script: Script, *arguments) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}"]
    command += [script.module.__file__, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=-1, stderr=subprocess.STDOUT, text=True, cwd=root)


def test_torchrun_trains_as_two_children_do(straight, tmp_path):
    with torchrun(PART1, *flags(PART1, tmp_path / "run")) as process:
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert differences(straight(PART1), ending(PART1, tmp_path / "run")) == []
    assert output.count("test accuracy") == 1


@soak
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_torchrun_stopped_and_resumed_ends_in_the_same_bits(script, tmp_path):
    """SIGTERM to torchrun itself, which passes it on."""
    more = [script.grows, "300" if script is PART1 else "40"]
    for name in ("straight", "run"):
        with survives("signal"), torchrun(script, *flags(script, tmp_path / name, *more)) as process:
            if name == "run":
                wait_until(lambda: rows(tmp_path / "run") >= 3)
                process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=300)
            assert (process.returncode == 0) == (name == "straight"), output
            assert (f"stopped by SIGTERM; go on with: --resume {tmp_path}/run" in output) == (name == "run")
    with torchrun(script, "--resume", tmp_path / "run") as process:
        process.communicate(timeout=300)
    assert differences(ending(script, tmp_path / "straight"), ending(script, tmp_path / "run")) == []


@soak
def test_torchrun_ends_with_an_error_when_a_process_dies(tmp_path):
    folder = tmp_path / "run"
    with survives("SIGKILL"), torchrun(PART1, *flags(PART1, folder, *EVERY, "--max_epoch", "100000")) as process:
        wait_until(lambda: rows(folder) >= 2)
        listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], stdout=-1, text=True, check=True)
        victim = max(int(pid) for pid in listing.stdout.split())  # the second process
        os.kill(victim, signal.SIGKILL)
        output, _ = process.communicate(timeout=300)
        assert process.returncode != 0 and "Signal 9" in output
        assert PART1.saved(folder)["progress"]["epoch"] >= 2 and not (folder / "result.json").exists()
