"""A training run of Part 1: that it learns, that each flag reaches what it should, what it chooses and leaves."""

import copy

from common.files import read_json, read_metrics
from part1 import train
from part1.networks.trained import load
from part1.palindromes import draw_dataset, encode, split
from part1.tasks.memory import evaluate, training_digits
from tests.test_commands import check
from tests.tiny_runs import PART1, differences

import pytest
from PIL import Image


def scripted(monkeypatch, *scores: tuple[float, float]) -> list[dict]:
    """`evaluate` answers with these scores (loss, accuracy), the last for ever; gives the weights of each call."""
    weights = []

    def answer(trained, *_):
        weights.append(copy.deepcopy(trained.network.state_dict()))
        return scores[min(len(weights), len(scores)) - 1]

    monkeypatch.setattr(train, "evaluate", answer)
    return weights


def test_by_default_it_learns_palindromes_of_six_digits_without_a_mistake_and_leaves_what_it_should(tmp_path):
    folder = train.train(train.parse_args(["--device", "cpu", "--out_dir", str(tmp_path / "run")]))
    names = {path.name for path in folder.glob("[!.]*")}
    assert names == {"config.json", "metrics.jsonl", "checkpoint.pt", "curves.png", "result.json"}
    assert Image.open(folder / "curves.png").size == (1350, 495)
    config, result = (read_json(folder / name) for name in ("config.json", "result.json"))
    rows, epochs = read_metrics(folder), result["epochs"]
    assert result["test_accuracy"] == result["validation_accuracy"] == 1.0
    assert list(result["accuracy_at"]) == ["10", "30", "100"]
    assert result["parameters"] == 4 * 128 * (1 + 128 + 1) + 10 * (128 + 1)
    assert epochs < 100 and result["sequences_seen"] == 800 * epochs  # twenty in a row without an error; 1,000 exist
    assert 0 < rows[0]["seconds"] < rows[-1]["seconds"] <= result["seconds"]
    assert [row["epoch"] for row in rows] == list(range(1, epochs + 1))
    assert set(config["arguments"]) == set(vars(train.parse_args([]))) - {"resume"}

    dataset, (_, validation, test) = draw_dataset(5, 10_000, 0), split(1000, 0.8)
    best = rows[result["best_epoch"] - 1]
    scores = [evaluate(load(folder), *dataset[part]) for part in (validation, test)]
    assert scores[0] == (best["validation_loss"], best["validation_accuracy"])
    assert scores[1][1] == result["test_accuracy"]


@pytest.mark.parametrize("encoding", ["raw", "one_hot"])
def test_the_parts_are_disjoint_of_the_sizes_asked_for_and_encoded_as_asked_for(encoding, run, inputs):
    flags = "--data_size 200 --portion_train 0.7 --batch_size 60 --seed 3 --input_length 6 --lengths 4"
    folder = run(PART1, *flags.split(), *(["--input_dim", 10] if encoding == "one_hot" else ["--encoding", encoding]))
    dataset = draw_dataset(6, 200, 3)
    training, validation, test = (encode(dataset[part][0], encoding).tolist() for part in split(200, 0.7))
    assert (len(training), len(validation), len(test)) == (140, 30, 30)
    assert not {str(x) for x in training} & {str(x) for x in validation + test}
    assert [len(batch["x"]) for batch in inputs if batch["trains"]] == [60, 60, 20] * 2
    seen = [x for batch in inputs if batch["trains"] for x in batch["x"]]
    assert sorted(seen[:140]) == sorted(seen[140:]) == sorted(training)
    assert seen[:140] != seen[140:]  # each epoch has an order of its own
    evaluated = [batch["x"] for batch in inputs if not batch["trains"]]
    assert evaluated[:3] == [validation, validation, test]  # once an epoch; and test once, at the end
    told = training_digits("part1/train.py", read_json(folder / "config.json")["arguments"])  # left out of a test
    assert encode(told[:, :-1], encoding).tolist() == training


def test_the_seed_decides_the_order_and_the_palindromes_of_the_table_too(run, inputs):
    orders, tables = [], []
    for seed in (0, 0, 1):
        inputs.clear()
        run(PART1, "--seed", seed, "--max_epoch", "1", "--lengths", "10")
        digits = encode(draw_dataset(4, 120, seed)[:][0], "scaled").tolist()
        orders.append([digits.index(x) for batch in inputs[:3] for x in batch["x"]])
        tables.append([batch["x"] for batch in inputs[5:]])
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2])
    assert tables[0] == tables[1] != tables[2]
    zero, one = (set(map(str, draw_dataset(10, 120, seed).digits.tolist())) for seed in (0, 1))
    assert not zero & one  # of a million


def test_the_optimiser_takes_the_learning_rate_asked_for_and_from_epoch_101_on_a_tenth(run, optimizer_steps, capsys):
    rows = read_metrics(run(PART1, "--input_length", "1", "--max_epoch", "102", "--learning_rate", "0.01"))
    assert "only 10 palindromes of 2 digits exist: all are used" in capsys.readouterr().out
    assert [step["lr"] for step in optimizer_steps] == pytest.approx([0.01] * 100 + [0.001] * 2)
    assert [row["learning_rate"] for row in rows] == [step["lr"] for step in optimizer_steps]
    assert {(step["alpha"], step["weight_decay"], step["momentum"]) for step in optimizer_steps} == {(0.99, 0, 0)}


def test_an_epoch_s_loss_and_accuracy_are_means_over_its_sequences(run):
    """Of a network that hardly learns they are those of the whole training part, though the batches differ in size."""
    folder = run(PART1, "--learning_rate", "1e-30", "--max_epoch", "1", "--batch_size", "35", "--num_hidden", "16")
    (row,), dataset = read_metrics(folder), draw_dataset(4, 120, 0)
    loss, accuracy = evaluate(load(folder), *dataset[split(120, 0.8)[0]])
    assert (row["loss"], row["accuracy"]) == (pytest.approx(loss, rel=1e-5), pytest.approx(accuracy, rel=1e-5))


SCORES = [  # loss and accuracy of three epochs and of the test, and which epoch is the best
    (((1.0, 0.1), (1.0, 0.9), (1.0, 0.3)), 2),
    (((0.7, 0.5), (0.5, 0.5), (0.6, 0.5)), 2),  # equally accurate: the surer one
    (((0.5, 0.5), (0.5, 0.5), (0.5, 0.5)), 1),  # equal: the first
    (((0.1, 0.5), (9.0, 0.6), (9.0, 0.6)), 2),  # accuracy counts before loss
]


@pytest.mark.parametrize(("scores", "best"), SCORES)
def test_the_best_epoch_by_validation_is_kept(scores, best, run, monkeypatch):
    weights = scripted(monkeypatch, *scores, (0.0, 0.25))
    folder = run(PART1, "--max_epoch", "3")
    result = read_json(folder / "result.json")
    assert differences(PART1.saved(folder)["progress"]["best"], weights[best - 1]) == []
    assert differences(weights[3], weights[best - 1]) == []  # what test was read with
    assert (result["best_epoch"], result["test_accuracy"]) == (best, 0.25)
    assert result["validation_accuracy"] == scores[best - 1][1]


ENDS = [  # accuracy, flags, what is advised, which script comes next
    (0.96, [], "", "show_gates"),
    (0.94, [], "a larger --max_epoch or --data_size", "show_gates"),
    (0.1, ["--model", "rnn"], "--model lstm --init memory", "evaluate"),
    (0.1, ["--model", "torch_lstm", "--init", "normal"], "--model lstm --init memory", "show_gates"),
]


@pytest.mark.parametrize(("accuracy", "flags", "advice", "then"), ENDS)
def test_it_prints_lines_of_80_columns_advice_where_it_is_weak_and_the_next_command(
    accuracy, flags, advice, then, run, monkeypatch, capsys
):
    scripted(monkeypatch, (0.1, accuracy))
    folder = run(PART1, *flags)
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines[1].split()[-2:] == ["seconds", "left"] and lines[3].endswith(" 00:00")  # after both epochs
    assert max(len(line) for line in lines if str(folder) not in line) <= 80
    assert [line for line in lines if "weak" in line] == ([f"weak (chance: 0.1); try {advice}"] if advice else [])
    assert f" part1/{then}.py --run {folder}" in last
    check(last.removeprefix("next: "))


def test_training_stops_after_enough_perfect_epochs_in_a_row(run, monkeypatch):
    scripted(monkeypatch, (0.1, 1.0), (0.1, 0.9), (0.1, 1.0), (0.1, 1.0), (0.1, 1.0))
    folder = run(PART1, "--max_epoch", "20", "--patience", "2")
    assert read_json(folder / "result.json")["epochs"] == len(read_metrics(folder)) == 4
