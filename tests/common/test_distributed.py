"""Several processes share each batch and train as one would; they stop, save, fail and go on together."""

import contextlib
import functools
import os
import re
import signal
import socket
import subprocess
import sys

from common import machine, runs
from common.cli import quoted
from common.files import read_json, read_metrics
from part1 import evaluate, show_gates, sweep
from tests import tiny_runs
from tests.faults import EVERY, end, slowly, soak, take_place, together, wait_until
from tests.tiny_runs import PART1, PART2, PROVED, Script, differences, ending

import pytest
import torch

pytestmark = [pytest.mark.usefixtures("light"), pytest.mark.skipif(os.name != "posix", reason="gloo and signals")]
HALF = {PART1: "20", PART2: "16"}  # of a batch: two processes make as many steps as one


def flags(script: Script, folder, *more) -> list:
    return [*script.tiny.split(), "--batch_size", HALF[script], "--out_dir", folder, *more]


def two(script: Script, log, *flags, during=contextlib.nullcontext) -> list[int]:
    """Run the script in two processes; their exit statuses."""
    return [end(process) for process in together(script, log, *flags, during=during)]


@contextlib.contextmanager
def watched(folder):
    """Write down what each process has: its run's folder, the size of its part of a batch, its weights at the end."""
    modules, sizes, folders = {}, set(), []

    def look(module, inputs) -> None:
        if torch.is_grad_enabled():
            modules[id(module)] = module
            sizes.add(len(inputs[0]))

    runs.OUTPUTS = folder / f"outputs{machine.RANK}"
    torch.nn.modules.module.register_module_forward_pre_hook(look)
    with tiny_runs.after_step(1, lambda training: folders.append(str(training._run.folder))):
        yield
    weights = [parameter.detach() for module in modules.values() for parameter in module.parameters()]
    torch.save({"folders": folders, "sizes": sizes, "weights": weights}, folder / f"seen{machine.RANK}")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """pair(script): a folder with log.0, log.1 and what each of two processes has seen that nothing happened to, and
    the run's folder, which the main one has named."""

    @functools.cache
    def run(script: Script):
        folder = tmp_path_factory.mktemp("pair")
        without_out_dir = flags(script, None)[:-2]
        assert two(script, folder / "log", *without_out_dir, during=functools.partial(watched, folder)) == [0, 0]
        (run,) = (folder / "outputs0").glob("*/*")
        return folder, run

    return run


def test_two_processes_with_half_a_batch_each_train_as_one_with_the_whole(pair, tmp_path):
    """Part 2 does so too but for BatchNorm, which normalises with each process's own part."""
    one, both = read_metrics(PART1.start(tmp_path / "one")), ending(PART1, pair(PART1)[1])["metrics"]
    assert len(one) == len(both) == 2
    for row, row_of_both in zip(one, both, strict=True):
        assert row_of_both == pytest.approx({name: row[name] for name in row_of_both}, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("script", HALF, ids=str)
def test_each_has_half_of_every_batch_the_same_weights_and_only_the_main_one_writes_and_speaks(script, pair):
    folder, run = pair(script)
    first, second = (torch.load(folder / f"seen{rank}") for rank in range(2))
    assert first["weights"] and differences(first["weights"], second["weights"]) == []  # to the last bit
    half = int(HALF[script])
    assert max(first["sizes"]) == (2 * half if script is PART2 else half)  # a discriminator sees real and fake ones
    assert read_json(run / "config.json")["arguments"]["processes"] == 2
    assert first["folders"] == second["folders"] == [str(run)] and not (folder / "outputs1").exists()
    assert (folder / "log.0").read_text().startswith(str(run)) and (folder / "log.1").read_text() == ""


def test_a_folder_that_is_not_empty_ends_both_in_one_line(tmp_path):
    (tmp_path / "mine.txt").touch()
    assert two(PART1, tmp_path / "log", *flags(PART1, tmp_path)) == [2, 1]
    for rank, why in enumerate(["is not empty (log.0); name a new folder", "another process of this run has ended"]):
        (line,) = (tmp_path / f"log.{rank}").read_text().splitlines()
        assert why in line


def signal_to(rank: int, step: int):
    return tiny_runs.after_step(step, tiny_runs.raise_signal) if rank == machine.RANK else contextlib.nullcontext()


STOPS = [(PART1, 1, 1), (PART2, 1, 5)]
STOPS += [pytest.param(script, rank, 3, marks=soak) for script in HALF for rank in (0, 1)]


@pytest.mark.parametrize(("script", "rank", "step"), STOPS, ids=str)
def test_a_signal_to_one_stops_all_and_resumed_they_end_in_the_same_bits(script, rank, step, pair, tmp_path):
    folder, log, during = tmp_path / "run", tmp_path / "log", functools.partial(signal_to, rank, step)
    assert two(script, log, *flags(script, folder), during=during) == [143, 143]
    _, command = (tmp_path / "log.0").read_text().split("stopped by SIGTERM; to continue: ")
    assert " -m torch.distributed.run --nproc_per_node=2 " in command and command.endswith(f"{quoted(folder)}\n")
    assert "processes 2 → 1" in tiny_runs.refused(script, "--resume", folder)
    assert two(script, log, "--resume", folder) == [0, 0]
    assert differences(ending(script, pair(script)[1]), ending(script, folder)) == []


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
    assert differences(ending(script, pair(script)[1]), ending(script, folder)) == []


def test_torchrun_trains_as_two_children_do(pair, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command += [PART1.module.__file__, *flags(PART1, tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=-1, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0 and done.stdout.count("test accuracy") == 1, done.stdout
    assert differences(ending(PART1, pair(PART1)[1]), ending(PART1, tmp_path / "run")) == []


def test_a_place_without_the_others_is_answered_in_one_line(answer, tmp_path, monkeypatch):
    """A cluster may set WORLD_SIZE and RANK, also for a script of one process, and a port may be in use."""
    take_place(1, 2, monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    in_use = socket.create_server(("127.0.0.1", 0))
    here = {"RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(in_use.getsockname()[1])}
    cases = [({}, 2, "WORLD_SIZE=2 is set, but RANK and MASTER_ADDR and MASTER_PORT are not: .* torchrun")]
    cases += [({**here, "RANK": rank}, 2, f"RANK={rank} is not one of 0 … 1, .*torchrun") for rank in ("7", "-1", "x")]
    cases += [({**here, "MASTER_PORT": "abc"}, 2, "MASTER_ADDR=127.0.0.1 and MASTER_PORT=abc .*'abc'")]
    cases = [(PART1.module, *case) for case in [*cases, (here, 1, "MASTER_PORT=.*in use")]]
    cases += [(PROVED.module, here, 2, "a batch is too small for several processes; start it without torchrun")]
    alone = (show_gates, evaluate, sweep)
    cases += [(module, {"RANK": "1"}, 2, "WORLD_SIZE=2 is set, but .* is for one process") for module in alone]
    for module, place, expected, why in cases:
        for name in here:
            monkeypatch.delenv(name, raising=False)
        for name, value in place.items():
            monkeypatch.setenv(name, value)
        status, out, err = answer(module)
        assert (status, out, err.count("\n")) == (expected, "", 1) and re.search(why, err), err
    in_use.close()
    assert list(tmp_path.iterdir()) == []
