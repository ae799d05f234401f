"""Training by curriculum: when it lengthens and settles, what it trains on, what its flags change, what it leaves."""

from functools import partial
from itertools import pairwise

from common.files import read_json, read_metrics
from part1 import train_curriculum
from part1.networks.trained import load
from part1.tasks.tasks import PALINDROME
from part1.train_curriculum import Progress
from tests.tiny_runs import CURRICULUM, differences

import pytest
import torch
from PIL import Image

SETTLED = 12  # batches of 20 after which 57 % are used


@pytest.fixture
def drawn(monkeypatch) -> list[dict]:
    """All that is drawn, for training or, last, for the table: how many, of which length, which kinds; the digits."""
    calls = []

    def watched(n, length, rng, held_out, monotonous=0, near=False):
        digits = PALINDROME.draw(n, length, rng, held_out, monotonous, near)
        call = {"n": n, "length": length, "held_out": held_out, "monotonous": monotonous, "near": near}
        calls.append({**call, "digits": digits})
        return digits

    monkeypatch.setattr(train_curriculum, "TASKS", {"palindrome": PALINDROME._replace(draw=watched)})
    return calls


def every(name: str, calls: list[dict]) -> list:
    """The column `name` of what was drawn to train on."""
    return [call[name] for call in calls if not call["held_out"]]


def test_a_network_never_sure_settles_when_57_percent_are_used_and_leaves_what_it_should(tmp_path, drawn):
    folder = CURRICULUM.start(tmp_path / "run", "--lengths", "4", "30", "--input_length", "100")
    assert every("length", drawn) == [10] * SETTLED + [10, 14, 20, 28, 40, 10, 14, 20]  # up to four times ten
    assert every("monotonous", drawn) == [0] * SETTLED + [24] * (20 - SETTLED)  # three quarters
    assert [row["length"] for row in read_metrics(folder)] == [10, 40]  # the longest
    assert Image.open(folder / "curves.png").size == (1350, 495)
    result, saved = read_json(folder / "result.json"), CURRICULUM.saved(folder)
    assert list(result["accuracy_at"]) == ["4", "30"]
    assert (result["batches"], result["sequences_seen"], result["length"]) == (20, 640, 10)
    assert result["sequences_until_settling"] == SETTLED * 32
    assert result["parameters"] == 4 * 8 * (10 + 8 + 1) + 10 * (8 + 1)
    assert differences(dict(load(folder).network.state_dict()), dict(saved["network"])) == []  # the last weights


def test_a_row_of_the_metrics_is_the_mean_of_ten_batches_or_of_those_left_at_the_end(run, monkeypatch):
    several = read_metrics(run(CURRICULUM, "--data_size", "800"))
    assert [(row["batch"], row["sequences"]) for row in several] == [(10, 320), (20, 640), (25, 800)]
    monkeypatch.setattr(train_curriculum, "LOG_INTERVAL", 1)
    each = read_metrics(run(CURRICULUM, "--data_size", "800"))
    for row, batches in zip(several, (each[:10], each[10:20], each[20:]), strict=True):
        for name in ("loss", "accuracy", "gradient_norm"):
            assert row[name] == pytest.approx(sum(batch[name] for batch in batches) / len(batches), rel=1e-5)
        assert row["length"] == batches[-1]["length"]


def test_it_learns(run):
    flags = "--input_length 4 --num_hidden 32 --learning_rate 0.01 --data_size 6400"
    rows = read_metrics(run(CURRICULUM, *flags.split()))
    assert rows[0]["accuracy"] < 0.5 and rows[-1]["accuracy"] > 0.9
    assert 1.5 < rows[0]["loss"] < 3  # ln 10 is 2.3


PATHS = {
    # 1 − 0.9 · 0.9ⁿ passes 0.99 after 43 batches; once the length doubled, 1 − 0.1 · 0.9ⁿ after 22; 80 is left out
    "sure of all": (100, 100, [10] * 43 + [20] * 22 + [40] * 22, [10, 18, 32, 56, 100], 40),
    # 0.9 · 0.9ⁿ falls below 0.5 after 6 batches; then it is sure of 20 digits once more after 22
    "lost above 20": (20, 1000, [10] * 43 + 2 * ([20] * 22 + [40] * 6) + [20] * 15, [10, 17, 28, 48, 80], 20),
    "lost from the start": (5, 40, [10] * 114, [10, 14, 20, 28, 40], 10),
}


@pytest.mark.parametrize("name", PATHS)
def test_the_length_doubles_where_it_is_sure_and_halves_where_it_is_lost_and_so_does_the_rate_for_good(name):
    known, input_length, lengthening, settling, reached = PATHS[name]
    progress, lengths, rates = Progress(10), [], []
    while progress.batch < len(lengthening) + 5:
        lengths.append(progress.next_length(min(4 * progress.length, input_length)))
        rates.append(progress.rate)
        progress.end_batch(torch.tensor(float(lengths[-1] <= known)), 200, input_length)
    assert lengths == lengthening + settling
    assert (progress.length, progress.settles_from) == (reached, len(lengthening))
    lost = [0, *(sum(b < a for a, b in pairwise(lengthening[: k + 1])) for k in range(1, len(lengthening)))]
    assert rates == [0.5**n for n in lost] + [0.5 ** lost[-1]] * 5


@pytest.mark.parametrize("input_length", [4, 5, 10, 11, 19, 20, 39, 40, 41, 79, 80, 100])
def test_always_sure_it_never_passes_input_length_and_settles_up_to_it(input_length):
    shortest, lengths = min(10, input_length), []
    progress = Progress(shortest, accuracy=1.0)
    while progress.settles_from is None or progress.batch < progress.settles_from + 5:
        lengths.append(progress.next_length(min(4 * progress.length, input_length)))
        progress.end_batch(torch.tensor(1.0), 1000, input_length)
    settling, doubling = lengths[-5:], list(dict.fromkeys(lengths[:-5]))
    assert doubling == [shortest * 2**k for k in range(len(doubling))] and progress.length == doubling[-1]
    assert doubling[-1] <= input_length < 4 * doubling[-1]
    assert (settling[0], settling[-1]) == (shortest, input_length) and settling == sorted(settling)


def test_the_learning_rate_falls_to_zero_while_it_settles_and_weights_decay(run, optimizer_steps, monkeypatch):
    monkeypatch.setattr(train_curriculum, "LOG_INTERVAL", 1)
    monkeypatch.setattr(train_curriculum, "Progress", partial(Progress, rate=0.5))  # as if once lost
    rows, n = read_metrics(run(CURRICULUM, "--learning_rate", "0.02")), 20 - SETTLED
    rates = [step["lr"] for step in optimizer_steps]
    assert rates == pytest.approx([0.01] * SETTLED + [0.01 * (n - k) / n for k in range(n)])
    assert [row["learning_rate"] for row in rows] == rates
    assert {(step["alpha"], step["weight_decay"], step["momentum"]) for step in optimizer_steps} == {(0.99, 2e-4, 0)}


def test_batches_have_the_size_asked_for_and_never_more_is_drawn_than_asked_for(run, drawn):
    for data_size, size, batches in ((639, 32, 19), (32, 8, 4)):
        drawn.clear()
        result = read_json(run(CURRICULUM, "--data_size", data_size, "--batch_size", size) / "result.json")
        assert every("n", drawn) == [size] * batches
        assert (result["batches"], result["sequences_seen"]) == (batches, size * batches)


@pytest.mark.parametrize("encoding", ["one_hot", "scaled"])
def test_what_is_trained_on_is_what_was_drawn_and_never_what_is_held_out(encoding, run, drawn, inputs, monkeypatch):
    monkeypatch.setattr(train_curriculum, "SURE", -1)
    run(CURRICULUM, "--lengths", "10", "20", "--encoding", encoding)
    tested = [(call["n"], call["length"], call["held_out"]) for call in drawn[20:]]
    assert tested == [(10_000, 10, True), (10_000, 20, True)]
    assert not any(call["held_out"] for call in drawn[:20])
    assert every("near", drawn) == [encoding == "scaled"] * 20
    for batch, call in zip(inputs[:20], drawn, strict=False):
        assert batch["trains"] and batch["x"] == PALINDROME.encode(call["digits"][:, :-1], encoding).tolist()


def test_no_two_batches_are_alike_the_seed_draws_the_same_again_and_another_draws_others(run, inputs):
    for seed in (0, 0, 1):
        run(CURRICULUM, "--seed", seed, "--lengths", "4")
    trained, tables = ([str(row["x"]) for row in inputs if row["trains"] == trains] for trains in (True, False))
    for seen, n in ((trained, 20), (tables, 10)):  # 10,000 in parts of 1,000
        assert seen[:n] == seen[n : 2 * n] and len(seen) == 3 * n and len(set(seen)) == 2 * n


def test_the_marker_task_trains_and_tests_on_marked_digits_and_what_it_leaves_knows_so(run, inputs):
    trained = load(run(CURRICULUM, "--task", "marker", "--lengths", "12"))
    for trains, n in ((True, 20), (False, 10)):
        xs = [torch.tensor(batch["x"]) for batch in inputs if batch["trains"] == trains]
        assert len(xs) == n and all(x.shape[2] == 11 and (x[:, :, 10].sum(1) == 1).all() for x in xs)
    assert (trained.task.name, trained.encoding, trained.network.input_dim) == ("marker", "one_hot", 11)
