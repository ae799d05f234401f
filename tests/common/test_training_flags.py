"""What --deterministic, --tensorboard and --device do in each script that trains (others: part1/, part2/)."""

import importlib.util
import os

import pytest
import torch

from common.files import read_json, write_json
from common.runs import read_metrics
from tests.tiny_runs import CURRICULUM, PART1, PART2, all_scripts, stop

pytestmark = pytest.mark.usefixtures("light")


@all_scripts
def test_deterministic_reaches_pytorch_and_changes_no_bit_on_a_cpu(script, ends_alike, tmp_path, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # to be put back
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    asked = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    script.start(tmp_path / "without")
    assert asked == [False]  # as it was before
    stop(script.start, 4, tmp_path / "run", "--deterministic")
    script.resume(tmp_path / "run")
    assert asked == [False, True, False, True, False] and os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    ends_alike(script, tmp_path / "run")


@pytest.mark.skipif(not importlib.util.find_spec("tensorboard"), reason="optional")
@pytest.mark.parametrize(("script", "step"), [(PART1, "epoch"), (CURRICULUM, "batch"), (PART2, "batch")], ids=str)
def test_tensorboard_gets_every_number_of_every_row_and_changes_nothing(script, step, ends_alike, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    stop(script.start, 5, tmp_path / "run", "--tensorboard")
    ends_alike(script, script.resume(tmp_path / "run"))
    rows, board = read_metrics(tmp_path / "run"), EventAccumulator(str(tmp_path / "run")).Reload()
    assert set(board.Tags()["scalars"]) == set(rows[0])
    for name in rows[0]:
        shown = {event.step: event.value for event in board.Scalars(name)}
        assert shown == pytest.approx({row[step]: row[name] for row in rows}, rel=1e-6)
    assert script is not PART2 or [event.step for event in board.Images("grid")] == [0, 4, 6]


@all_scripts
def test_tensorboard_without_its_package_is_one_line_and_nothing_is_left(script, tmp_path, answer, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    status, out, err = answer(script.module, "--tensorboard", "--out_dir", tmp_path / "run")
    assert (status, out, err.count("\n")) == (2, "", 1) and "--tensorboard: the package is missing" in err
    assert list(tmp_path.iterdir()) == []
    stop(script.start, 2, tmp_path / "run")
    config = read_json(tmp_path / "run/config.json")
    write_json(tmp_path / "run/config.json", config | {"arguments": config["arguments"] | {"tensorboard": True}})
    status, _, err = answer(script.module, "--resume", tmp_path / "run")
    assert (status, err.count("\n")) == (2, 1) and "--tensorboard: the package is missing" in err
