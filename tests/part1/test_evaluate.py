"""The script that tests a trained network at any length: the table of a run, and how mistakes are met."""

import shutil

from common.files import read_json, write_json
from part1 import evaluate
from tests.tiny_runs import files_of

import pytest

RUNS = [("epochs", "4 5 10"), ("proved", "10 20"), ("marker", "12")]


@pytest.mark.parametrize(("name", "lengths"), RUNS)
def test_it_prints_the_table_that_training_ended_with_and_writes_nothing(name, lengths, folders, answer):
    before = files_of(folders)
    status, out, err = answer(evaluate, "--run", folders / name, "--lengths", *lengths.split(), "--device", "cpu")
    assert (status, err) == (0, "")
    said, _, *rows = [line.split() for line in out.splitlines()]
    assert said[:2] == ["network:", str(folders / name)]
    at_the_end = read_json(folders / name / "result.json")["accuracy_at"]  # what was trained on left out
    assert {row[0]: row[3] for row in rows} == {length: f"{value:.4f}" for length, value in at_the_end.items()}
    assert files_of(folders) == before


def test_a_checkpoint_without_its_run_is_tested_too_and_another_seed_is_another_test(folders, answer, tmp_path):
    shutil.copy(folders / "proved" / "checkpoint.pt", tmp_path)
    bare, run = ("--run", tmp_path / "checkpoint.pt"), ("--run", folders / "proved")
    told = [answer(evaluate, *flags, "--lengths", "10") for flags in (run, bare, (*run, "--seed", "1"))]
    rows = [out.splitlines()[-1] for _, out, _ in told]
    assert [status for status, *_ in told] == [0, 0, 0] and rows[0] == rows[1] != rows[2]
    assert ["config.json is missing: the palindromes" in out for _, out, _ in told] == [False, True, False]


def test_what_is_no_trained_network_is_refused_in_one_line(folders, answer):
    status, _, err = answer(evaluate, "--run", folders / "stopped", "--lengths", "4")
    assert (status, err.count("\n")) == (2, 1) and err.startswith(f"evaluate.py: error: {folders / 'stopped'}: ")


@pytest.mark.parametrize("edit", [{"input_length": "6"}, {"data_size": "x"}, {"portion_train": "half"}, {}])
def test_settings_that_were_edited_are_one_line(edit, folders, answer, tmp_path):
    folder = shutil.copytree(folders / "epochs", tmp_path / "run")
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", config | {"arguments": config["arguments"] | edit if edit else {}})
    status, _, err = answer(evaluate, "--run", folder, "--lengths", "4", "--device", "cpu")
    assert (status, err.count("\n")) == (2, 1) and f"{folder}: its config.json is damaged (" in err
