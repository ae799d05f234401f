"""The script that tests a trained network at any length: the table of a run, and how mistakes are met."""

import shutil

from common.files import read_json
from part1 import evaluate
from tests.tiny_runs import files_of

import pytest

RUNS = [("epochs", "4 5 10"), ("one_hot", "4"), ("curriculum", "10 20"), ("marker", "12")]


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


def test_a_checkpoint_without_its_run_is_tested_too_and_what_cannot_be_left_out_is_said(folders, answer, tmp_path):
    shutil.copy(folders / "curriculum" / "checkpoint.pt", tmp_path)
    sources, flags = (folders / "curriculum", tmp_path / "checkpoint.pt"), ("--lengths", "10", "--device", "cpu")
    of_run, bare = (answer(evaluate, "--run", source, *flags) for source in sources)
    assert (bare[0], bare[2]) == (0, "") and bare[1].splitlines()[-1] == of_run[1].splitlines()[-1]
    assert "config.json is missing: the palindromes" in bare[1] and "is missing" not in of_run[1]


def test_another_seed_is_another_test(folders, answer):
    told = [answer(evaluate, "--run", folders / "epochs", "--lengths", "10", "--seed", seed)[1] for seed in (0, 1, 1)]
    assert told[0] != told[1] == told[2]


@pytest.mark.parametrize(("name", "said"), [("nowhere", "there is no such run"), ("stopped", "no trained network yet")])
def test_what_is_no_trained_network_is_refused_in_one_line(name, said, folders, answer):
    status, _, err = answer(evaluate, "--run", folders / name, "--lengths", "4")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("evaluate.py: error: ") and said in err and str(folders / name) in err
