"""Training to a proof: what it reads, what is in its loss, when it stops, what it leaves (resumed: tests/common)."""

from common.files import read_json, read_metrics
from part1 import certify, evaluate, train_proved
from part1.networks.trained import load_network
from part1.proof.certificate import Certificate
from part1.proof.follow import Following
from part1.tasks.memory import draw_to_prove, training_digits
from part1.tasks.tasks import TASKS
from tests.tiny_runs import PROVED, differences

import numpy as np
import pytest
import torch


@pytest.fixture
def batches(monkeypatch):
    """What is read, with gradients: the symbols of each batch; without: those of all sequences, for the signs."""
    rows, read = {True: [], False: []}, train_proved.read

    def watched(network, x):
        rows[len(x) <= 8].append(x)
        return read(network, x)

    monkeypatch.setattr(train_proved, "read", watched)
    return rows


@pytest.fixture
def terms(monkeypatch):
    """Which terms of a proof each batch has, by their names."""
    calls, lack, follow = [], train_proved.closed_sets_lack, Following.boxes_lack
    monkeypatch.setattr(train_proved, "closed_sets_lack", lambda *args: (calls.append("sets"), lack(*args))[1])
    monkeypatch.setattr(Following, "boxes_lack", lambda self: (calls.append("boxes"), follow(self))[1])
    return calls


def test_sequences_are_drawn_once_and_read_in_another_order_in_each_epoch(run, batches):
    folder = run(PROVED, "--seed", "3", "--task", "palindrome")
    digits = draw_to_prove(TASKS["palindrome"], 36, 3)
    assert digits.shape == (36, 11) and torch.equal(digits, digits.flip(1))
    assert np.mean([len(set(row[1:6])) <= 3 for row in digits.tolist()]) > 0.6  # many are monotonous
    arguments = read_json(folder / "config.json")["arguments"]
    assert torch.equal(training_digits("part1/train_proved.py", arguments), digits)  # left out of tests
    inputs = torch.eye(10)[digits[:, :-1].long()].tolist()
    assert [len(x) for x in batches[True]] == [8, 8, 8, 8, 4] * 2 + [8, 8]
    orders = [[inputs.index(row) for x in batches[True][k : k + 5] for row in x.tolist()] for k in (0, 5)]
    assert sorted(map(inputs.__getitem__, orders[0])) == sorted(map(inputs.__getitem__, orders[1])) == sorted(inputs)
    assert orders[0] != orders[1]
    assert all(x.tolist() == inputs for x in batches[False])


KEPT, LEFT = ["sets"] * 7, ["boxes"] * 9  # from the fifth batch on; from the third one on
TERMS = [("palindrome", KEPT), ("sum2", LEFT), ("marker", ["boxes", "boxes", *["sets", "boxes"] * 7])]


@pytest.mark.parametrize(("task", "expected"), TERMS)
def test_the_loss_asks_for_what_a_proof_of_the_task_lacks_unless_without(task, expected, run, terms):
    with_proof, without = (read_metrics(run(PROVED, "--task", task, *flags)) for flags in ([], ["--without_proof"]))
    assert terms == expected  # none without
    assert with_proof[0]["batch"] == 5 and with_proof[-1]["loss"] > without[-1]["loss"]
    assert [row["slack"] for row in without] == [0, 0, 0] and (with_proof[-1]["slack"] != 0) == (task != "sum2")


def test_signs_are_chosen_only_while_it_is_sure_and_so_many_times(run, batches, monkeypatch):
    for sure, choices, expected in ((-1, 1, 1), (-1, 5, 3), (1, 5, 0)):
        monkeypatch.setattr(train_proved, "SURE", sure)
        monkeypatch.setattr(train_proved, "CHOICES", choices)
        batches[False].clear()
        folder = run(PROVED)
        assert len(batches[False]) == PROVED.saved(folder)["progress"]["choices"] == expected


def test_the_learning_rate_falls_in_the_second_half_to_2_percent(run, optimizer_steps):
    run(PROVED, "--max_batches", "200", "--learning_rate", "0.01", "--task", "palindrome")
    rates = [step["lr"] for step in optimizer_steps]
    assert rates[:101] == [0.01] * 101 and rates[150] == pytest.approx(0.005) and rates[-1] == pytest.approx(0.0002)


def test_it_stops_at_a_proof_and_says_so(run, monkeypatch, capsys):
    rounds, proof = [], Certificate("", 1.5, 3, None)

    def certify_second(network, symbols, task, *args):
        rounds.append(args)
        return proof if len(rounds) >= 2 else proof._replace(why_not="too early")

    monkeypatch.setattr(train_proved, "certify", certify_second)
    folder = run(PROVED, "--max_batches", "50")
    result = read_json(folder / "result.json")
    assert len(rounds) == 3 and rounds[0] == rounds[1] and rounds[2] == ()  # at the end, as many as ever
    assert (result["batches"], result["proved"], result["margin"], result["rounds"]) == (10, True, 1.5, 3)
    assert "hint" not in capsys.readouterr().out
    assert result["why_not"] == "" and [row["batch"] for row in read_metrics(folder)] == [5, 10]


def test_it_leaves_its_last_network_and_a_result_that_the_scripts_find_too(run, answer, capsys):
    folder = run(PROVED, "--lengths", "3", "10")
    hint, last = capsys.readouterr().out.splitlines()[-2:]
    assert hint.startswith("hint: try a larger --data_size") and last.endswith(f" part1/certify.py --run {folder}")
    result, network = read_json(folder / "result.json"), load_network(folder)
    assert differences(dict(network.state_dict()), dict(PROVED.saved(folder)["network"])) == []
    assert result["parameters"] == 4 * 8 * (11 + 8 + 1) + 10 * (8 + 1) and result["sequences_seen"] == 36
    assert not result["proved"] and result["why_not"].startswith("after ")
    status, out, _ = answer(evaluate, "--run", folder, "--lengths", "3", "10", "--device", "cpu")
    assert [float(line.split()[-1]) for line in out.splitlines()[-2:]] == pytest.approx(
        list(result["accuracy_at"].values()), abs=1e-4
    )
    assert status == 0 and f"not proved: {result['why_not']}" in answer(certify, "--run", folder, "--attack", "3")[1]


def test_it_learns(tmp_path):
    """Without the tiny settings."""
    flags = f"--max_batches 250 --data_size 100 --num_hidden 32 --lengths 10 --device cpu --out_dir {tmp_path / 'run'}"
    rows = read_metrics(PROVED.train(*flags.split()))
    assert 1.5 < rows[0]["loss"] < 3 and rows[0]["accuracy"] < 0.3 and rows[-1]["accuracy"] > 0.5  # ln 10 is 2.3
