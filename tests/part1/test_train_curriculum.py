"""Training by curriculum: when it lengthens and settles, what it trains on, what its flags change, what it leaves."""

import pytest
import torch
from PIL import Image
from torch import nn

from common.files import read_json
from common.runs import read_metrics
from part1 import evaluate, memory, train_curriculum
from part1.networks import load_network
from part1.palindromes import draw_palindromes
from tests.tiny_runs import CURRICULUM, differences

SETTLED = 12  # batches of 20 after which 57 % are used
BATCHES_OF_ONE = ["--data_size", "200", "--batch_size", "1"]


@pytest.fixture
def drawn(monkeypatch) -> list[dict]:
    """All that is drawn to train on: how many, of which length, how many monotonous, which side, and the digits."""
    calls = []

    def watched(n, length, rng, held_out, monotonous=0):
        digits = draw_palindromes(n, length, rng, held_out, monotonous)
        calls.append({"n": n, "length": length, "monotonous": monotonous, "held_out": held_out, "digits": digits})
        return digits

    monkeypatch.setattr(train_curriculum, "draw_for", lambda encoding: watched)
    return calls


def lengths(calls: list[dict]) -> list[int]:
    return [call["length"] for call in calls]


class FirstDigit(nn.Module):
    """Knows the first digit of inputs up to a length; of longer ones it says the next digit."""

    def __init__(self, longest: int):
        super().__init__()
        self.longest, self.fc = longest, nn.Identity()
        self.weights = nn.Parameter(50 * torch.eye(10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.read(x)[0])

    def read(self, x: torch.Tensor, state=None) -> tuple[torch.Tensor, torch.Tensor, int]:
        _, first, length = state or (None, x[:, 0], 0)
        length += x.shape[1]
        return (first if length <= self.longest else first.roll(1, dims=1)) @ self.weights, first, length


@pytest.fixture
def knows(monkeypatch):
    """knows(length): every network that is built knows the first digit of inputs up to that length."""
    return lambda longest: monkeypatch.setattr(train_curriculum, "build", lambda *_: FirstDigit(longest))


def test_a_run_leaves_what_the_house_demands(tmp_path):
    folder = CURRICULUM.start(tmp_path / "run", "--lengths", "4", "30")
    names = {path.name for path in folder.iterdir() if path.name != ".lock"}
    assert names == {"config.json", "metrics.jsonl", "checkpoint.pt", "curves.png", "result.json"}
    assert Image.open(folder / "curves.png").size == (1350, 495)
    result, saved = read_json(folder / "result.json"), CURRICULUM.saved(folder)
    assert list(result["accuracy_at"]) == ["4", "30"]
    assert (result["batches"], result["sequences_seen"], result["length"]) == (20, 640, 10)
    assert result["sequences_until_settling"] == SETTLED * 32
    assert result["parameters"] == 4 * 8 * (10 + 8 + 1) + 10 * (8 + 1)
    assert differences(dict(load_network(folder).state_dict()), dict(saved["network"])) == []  # the last weights


def test_a_row_of_the_metrics_is_the_mean_of_ten_batches_or_of_those_left_at_the_end(run, monkeypatch):
    several = read_metrics(run(CURRICULUM, "--data_size", "800"))
    assert [(row["batch"], row["sequences"]) for row in several] == [(10, 320), (20, 640), (25, 800)]
    monkeypatch.setattr(train_curriculum, "LOG_INTERVAL", 1)
    each = read_metrics(run(CURRICULUM, "--data_size", "800"))
    for row, batches in zip(several, (each[:10], each[10:20], each[20:]), strict=True):
        for name in ("loss", "accuracy", "gradient_norm"):
            assert row[name] == pytest.approx(sum(batch[name] for batch in batches) / len(batches), rel=1e-5)
        assert row["length"] == batches[-1]["length"]


def test_the_length_of_a_row_is_the_longest_in_training_in_both_phases(run, drawn, knows, monkeypatch):
    monkeypatch.setattr(train_curriculum, "LOG_INTERVAL", 1)
    knows(100)
    folder = run(CURRICULUM, "--input_length", "100", *BATCHES_OF_ONE)
    settled = read_json(folder / "result.json")["sequences_until_settling"]
    lengthening, settling = lengths(drawn)[:settled], lengths(drawn)[settled:]
    assert sorted(set(lengthening)) == [10, 20, 40] and sorted(set(settling)) == [10, 18, 32, 56, 100]
    assert [row["length"] for row in read_metrics(folder)] == lengthening + [100] * len(settling)


def test_the_curves_show_accuracy_and_length_over_sequences(tmp_path, figures):
    rows = [{"sequences": 320, "accuracy": 0.5, "length": 10}, {"sequences": 640, "accuracy": 0.75, "length": 40}]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{row}\n".replace("'", '"') for row in rows))
    saved = figures(train_curriculum)
    train_curriculum.draw_summary(tmp_path)
    (left,), (right,) = (axes.lines for axes in saved[0].axes)
    assert left.get_xydata().tolist() == [[320, 0.5], [640, 0.75]]
    assert right.get_xydata().tolist() == [[320, 10], [640, 40]]


def test_it_learns(run):
    flags = "--input_length 4 --num_hidden 32 --learning_rate 0.01 --data_size 6400"
    rows = read_metrics(run(CURRICULUM, *flags.split()))
    assert rows[0]["accuracy"] < 0.5 and rows[-1]["accuracy"] > 0.9


def test_a_network_never_sure_stays_at_ten_and_settles_when_57_percent_are_used(run, drawn):
    folder = run(CURRICULUM, "--input_length", "100")
    assert lengths(drawn) == [10] * SETTLED + [10, 14, 20, 28, 40, 10, 14, 20]  # up to four times ten
    assert [call["monotonous"] for call in drawn] == [0] * SETTLED + [24] * (20 - SETTLED)  # three quarters
    assert read_json(folder / "result.json")["sequences_until_settling"] == SETTLED * 32
    assert [row["length"] for row in read_metrics(folder)] == [10, 40]  # the longest


PATHS = {
    # 1 − 0.9 · 0.9ⁿ passes 0.99 after 43 batches; once the length doubled, 1 − 0.1 · 0.9ⁿ after 22; 80 is left out
    "sure of all": (100, 100, [10] * 43 + [20] * 22 + [40] * 22, [10, 18, 32, 56, 100], 40),
    # 0.9 · 0.9ⁿ falls below 0.5 after 6 batches; then it is sure of 20 digits once more after 22
    "lost above 20": (20, 1000, [10] * 43 + 2 * ([20] * 22 + [40] * 6) + [20] * 15, [10, 17, 28, 48, 80], 20),
    "lost from the start": (5, 40, [10] * 114, [10, 14, 20, 28, 40], 10),
}


@pytest.mark.parametrize("name", PATHS)
def test_the_length_doubles_where_it_is_sure_and_halves_where_it_is_lost(name, run, drawn, knows):
    known, input_length, lengthening, settling, reached = PATHS[name]
    knows(known)
    folder = run(CURRICULUM, "--input_length", input_length, *BATCHES_OF_ONE)
    n = len(lengthening)
    assert (lengths(drawn)[:n], lengths(drawn)[n : n + 5]) == (lengthening, settling)
    result = read_json(folder / "result.json")
    assert (result["length"], result["sequences_until_settling"]) == (reached, n)


@pytest.mark.parametrize("input_length", [4, 5, 10, 11, 19, 20, 39, 40, 41, 79, 80, 100])
def test_sure_or_not_it_never_passes_input_length_and_settles_up_to_it(input_length, run, drawn, monkeypatch):
    monkeypatch.setattr(train_curriculum, "SURE", -1)  # always
    result = read_json(run(CURRICULUM, "--input_length", input_length) / "result.json")
    settled, shortest = result["sequences_until_settling"] // 32, min(10, input_length)
    lengthening, settling = lengths(drawn)[:settled], lengths(drawn)[settled:]
    assert lengthening == [shortest * 2**k for k in range(settled)]
    assert lengthening[-1] <= input_length < 4 * lengthening[-1]
    assert (min(settling), max(settling)) == (shortest, input_length)


def test_the_learning_rate_falls_to_zero_while_it_settles_and_weights_decay(run, optimizer_steps, monkeypatch):
    monkeypatch.setattr(train_curriculum, "LOG_INTERVAL", 1)
    rows, n = read_metrics(run(CURRICULUM, "--learning_rate", "0.01")), 20 - SETTLED
    rates = [step["lr"] for step in optimizer_steps]
    assert rates == pytest.approx([0.01] * SETTLED + [0.01 * (n - k) / n for k in range(n)])
    assert [row["learning_rate"] for row in rows] == rates
    assert {(step["alpha"], step["weight_decay"], step["momentum"]) for step in optimizer_steps} == {(0.99, 2e-4, 0)}


@pytest.mark.parametrize(("data_size", "size", "batches"), [(640, 32, 20), (639, 32, 19), (33, 32, 1), (32, 8, 4)])
def test_batches_have_the_size_asked_for_and_never_more_is_drawn_than_asked_for(data_size, size, batches, run, drawn):
    result = read_json(run(CURRICULUM, "--data_size", data_size, "--batch_size", size) / "result.json")
    assert [call["n"] for call in drawn] == [size] * batches
    assert (result["batches"], result["sequences_seen"]) == (batches, size * batches)


def test_what_is_trained_on_is_what_was_drawn_well_mixed_and_never_what_is_held_out(run, drawn, inputs, monkeypatch):
    read, tested_on = inputs(train_curriculum), []

    def watched_test(n, length, rng, held_out, monotonous=0):
        tested_on.append((length, held_out))
        return draw_palindromes(100, length, rng, held_out, monotonous)

    monkeypatch.setattr(train_curriculum, "SURE", -1)
    monkeypatch.setattr(memory, "draw_for", lambda encoding: watched_test)
    run(CURRICULUM, "--lengths", "10", "20", "--batch_size", "64", "--data_size", "1280")
    assert tested_on == [(10, True), (20, True)]
    assert not any(call["held_out"] for call in drawn)
    for batch, call in zip(read[:20], drawn, strict=True):
        digits = torch.tensor(batch["x"]).argmax(2).tolist()
        assert batch["trains"] and sorted(digits) == sorted(call["digits"][:, :-1].tolist())
    parts = [[len(set(row[4:-3])) <= 3 for row in part] for part in (digits[::2], digits[1::2])]  # of two processes
    assert sum(map(sum, parts)) >= 48 and abs(sum(parts[0]) - sum(parts[1])) <= 8


def test_no_two_batches_are_alike_the_seed_draws_the_same_again_and_another_draws_others(run, inputs):
    read = inputs(train_curriculum)
    for seed in (0, 0, 1):
        run(CURRICULUM, "--seed", seed, "--lengths", "4")
    trained, tables = ([str(row["x"]) for row in read if row["trains"] == trains] for trains in (True, False))
    for seen, n in ((trained, 20), (tables, 10)):  # 10,000 in parts of 1,000
        assert seen[:n] == seen[n : 2 * n] and len(seen) == 3 * n and len(set(seen)) == 2 * n


def test_the_marker_task_trains_and_tests_on_marked_digits_and_what_it_leaves_knows_so(run, inputs, capsys):
    read = inputs(train_curriculum)
    folder = run(CURRICULUM, "--task", "marker", "--lengths", "12")
    for trains, n in ((True, 20), (False, 10)):
        xs = [torch.tensor(batch["x"]) for batch in read if batch["trains"] == trains]
        assert len(xs) == n and all(x.shape[2] == 11 and (x[:, :, 10].sum(1) == 1).all() for x in xs)
    network = load_network(folder)
    assert network.encoding == "one_hot_marked" and network.input_dim == 11
    accuracy = read_json(folder / "result.json")["accuracy_at"]
    capsys.readouterr()
    assert evaluate.evaluate(evaluate.parse_args(["--run", str(folder), "--lengths", "12"])) == accuracy


def test_each_time_it_is_lost_the_learning_rate_is_halved_for_good(run, knows, optimizer_steps):
    knows(20)  # and of longer ones nothing
    run(CURRICULUM, "--input_length", "200", *BATCHES_OF_ONE, "--learning_rate", "1")
    rates = [step["lr"] for step in optimizer_steps][:114]  # 57 % of 200; then it settles
    assert rates == sorted(rates, reverse=True) and set(rates) >= {1, 0.5}
    assert optimizer_steps[114]["lr"] == rates[-1]
