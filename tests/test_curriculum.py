"""Training by curriculum: when it lengthens and settles, what it trains on, what it leaves, how it is resumed."""

import math
from unittest import mock

import pytest
import torch
from PIL import Image
from torch import nn

import part1.evaluate
import part1.train
from common import runs
from common.files import read_json
from common.runs import read_metrics
from part1 import curriculum
from part1.networks import load_network
from part1.palindromes import draw
from tests.faults import Death, Script, after_step, die, differences, ending, lighten, rows, stop, survives

TINY = Script(
    name="part1.train",
    kind="palindrome network",
    grows="--max_epoch",
    tiny="--curriculum --one_hot --data_size 640 --batch_size 32 --num_hidden 8 --input_length 20 --device cpu "
    "--lengths 4",
    last_step=20,
)
RESULT = {"accuracy_at", "length", "batches", "seconds", "sequences_seen", "sequences_until_settling", "parameters"}
ROW = ["batch", "sequences", "length", "loss", "accuracy", "gradient_norm", "learning_rate", "seconds"]
SETTLED = math.ceil(curriculum.LENGTHEN * 20)  # at the latest, of 20 batches


@pytest.fixture(autouse=True)
def light(monkeypatch):
    lighten(monkeypatch.setattr)
    monkeypatch.setattr(curriculum, "draw_summary", lambda folder: None)


@pytest.fixture
def drawn(monkeypatch) -> list[dict]:
    """All that is drawn to train on: length, monotonous, side, and the digits."""
    calls = []

    def watched(n, length, rng, held_out, monotonous=0):
        digits = draw(n, length, rng, held_out, monotonous)
        calls.append({"n": n, "length": length, "monotonous": monotonous, "held_out": held_out, "digits": digits})
        return digits

    monkeypatch.setattr(curriculum, "draw", watched)
    return calls


def lengths(calls: list[dict]) -> list[int]:
    return [call["length"] for call in calls]


class FirstDigit(nn.Module):
    """Knows the first digit from the start, of inputs up to a length; of longer ones it says the next digit."""

    def __init__(self, longest: int):
        super().__init__()
        self.longest = longest
        self.weights = nn.Parameter(50 * torch.eye(10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wrong = x[:, 0].roll(1, dims=1)
        return (x[:, 0] if x.shape[1] <= self.longest else wrong) @ self.weights


@pytest.fixture
def knows(monkeypatch):
    """Calls that make every network one that knows the first digit of inputs up to a length."""
    about = {"model": "lstm", "sizes": {}, "encoding": "one_hot"}
    return lambda longest: monkeypatch.setattr(curriculum, "build", lambda args: (FirstDigit(longest), about))


# What a run leaves


def test_a_tiny_run_leaves_what_the_house_demands(tmp_path, monkeypatch, capsys):
    monkeypatch.undo()
    lighten(monkeypatch.setattr)
    folder = TINY.start(tmp_path / "run", "--lengths", "4", "30")
    names = {path.name for path in folder.iterdir() if path.name != ".lock"}
    assert names == {"config.json", "metrics.jsonl", "checkpoint.pt", "curves.png", "result.json"}
    assert Image.open(folder / "curves.png").size == (1350, 495)
    result = read_json(folder / "result.json")
    assert set(result) == RESULT and list(result["accuracy_at"]) == ["4", "30"]
    assert (result["batches"], result["sequences_seen"], result["length"]) == (20, 640, 10)
    assert result["sequences_until_settling"] == SETTLED * 32
    assert result["parameters"] == 4 * 8 * (10 + 8 + 1) + 10 * (8 + 1)
    assert [line for line in capsys.readouterr().out.splitlines() if line.split()[0] == "30"]


def test_the_metrics_have_a_row_for_every_ten_batches_and_the_last(tmp_path):
    metrics = read_metrics(TINY.start(tmp_path / "run", "--data_size", "800"))
    assert [list(row) for row in metrics] == [ROW] * 3
    assert [(row["batch"], row["sequences"]) for row in metrics] == [(10, 320), (20, 640), (25, 800)]
    assert all(math.isfinite(value) for row in metrics for value in row.values())


def test_a_row_of_the_metrics_is_the_mean_since_the_row_before(tmp_path, monkeypatch):
    several = read_metrics(TINY.start(tmp_path / "several", "--data_size", "800"))
    monkeypatch.setattr(curriculum, "LOG_INTERVAL", 1)
    each = read_metrics(TINY.start(tmp_path / "each", "--data_size", "800"))
    for row, batches in zip(several, (each[:10], each[10:20], each[20:]), strict=True):
        for name in ("loss", "accuracy", "gradient_norm"):
            assert row[name] == pytest.approx(sum(batch[name] for batch in batches) / len(batches), rel=1e-5)


@pytest.mark.parametrize(("data_size", "batches"), [(640, 20), (639, 19), (33, 1), (32, 1)])
def test_never_more_sequences_than_asked_for(data_size, batches, tmp_path, drawn):
    result = read_json(TINY.start(tmp_path / "run", "--data_size", data_size) / "result.json")
    assert result["sequences_seen"] == sum(call["n"] for call in drawn) == 32 * batches <= data_size


def test_the_last_weights_are_kept(tmp_path):
    folder = TINY.start(tmp_path / "run")
    network, saved = load_network(folder / "checkpoint.pt").state_dict(), TINY.saved(folder)
    assert differences(network, saved["network"]) == [] == differences(network, saved["progress"]["best"])


def test_it_learns(tmp_path):
    flags = "--input_length 4 --num_hidden 32 --learning_rate 0.01 --data_size 6400"
    metrics = read_metrics(TINY.start(tmp_path / "run", *flags.split()))
    assert metrics[0]["accuracy"] < 0.5 and metrics[-1]["accuracy"] > 0.9


# When it lengthens, when it settles


def test_a_network_never_sure_stays_at_ten_and_settles_when_57_percent_are_used(tmp_path, drawn):
    folder = TINY.start(tmp_path / "run", "--input_length", "100")
    assert SETTLED <= 0.6 * 20
    assert lengths(drawn) == [10] * SETTLED + [10, 14, 20, 28, 40, 10, 14, 20]  # up to four times ten
    assert [call["monotonous"] for call in drawn] == [0] * SETTLED + [24] * (20 - SETTLED)
    assert read_json(folder / "result.json")["sequences_until_settling"] == SETTLED * 32


def test_the_length_doubles_when_the_moving_average_of_the_accuracy_passes_99_percent(tmp_path, drawn, knows):
    """1 − 0.9 · 0.9ⁿ passes it after 43 batches; once it doubled, 1 − 0.1 · 0.9ⁿ after 22."""
    knows(100)
    folder = TINY.start(tmp_path / "run", *["--input_length", "100", "--data_size", "200", "--batch_size", "1"])
    assert lengths(drawn)[:92] == [10] * 43 + [20] * 22 + [40] * 22 + [10, 18, 32, 56, 100]  # 80 is left out
    assert max(lengths(drawn)) == 100
    result = read_json(folder / "result.json")
    assert (result["length"], result["sequences_until_settling"]) == (40, 87)


def test_where_it_is_lost_it_goes_back_to_half_the_length(tmp_path, drawn, knows):
    """0.9 · 0.9ⁿ falls below 0.5 after 6 batches; then it is sure of 20 digits once more after 22."""
    knows(20)
    folder = TINY.start(tmp_path / "run", *["--input_length", "1000", "--data_size", "200", "--batch_size", "1"])
    assert lengths(drawn)[:114] == [10] * 43 + [20] * 22 + [40] * 6 + [20] * 22 + [40] * 6 + [20] * 15
    assert lengths(drawn)[114:119] == [10, 17, 28, 48, 80]
    assert read_json(folder / "result.json")["length"] == 20


def test_ten_digits_are_never_halved(tmp_path, drawn, knows):
    knows(5)
    TINY.start(tmp_path / "run", *["--input_length", "40", "--data_size", "200", "--batch_size", "1"])
    assert lengths(drawn)[:114] == [10] * 114


def test_where_it_is_neither_sure_nor_lost_it_stays(tmp_path, drawn, knows, monkeypatch):
    monkeypatch.setattr(curriculum, "LOST", 0)
    knows(20)
    folder = TINY.start(tmp_path / "run", *["--input_length", "1000", "--data_size", "200", "--batch_size", "1"])
    assert lengths(drawn)[:114] == [10] * 43 + [20] * 22 + [40] * 49
    assert lengths(drawn)[114:119] == [10, 20, 40, 80, 160]
    assert read_json(folder / "result.json")["length"] == 40


@pytest.mark.parametrize("input_length", [4, 5, 10, 11, 19, 20, 39, 40, 41, 79, 80, 100])
def test_sure_or_not_it_never_passes_input_length_and_settles_up_to_it(input_length, tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(curriculum, "SURE", -1)  # always
    folder = TINY.start(tmp_path / "run", "--input_length", input_length)
    settled = read_json(folder / "result.json")["sequences_until_settling"] // 32
    lengthening, settling = lengths(drawn)[:settled], lengths(drawn)[settled:]
    shortest = min(10, input_length)
    assert lengthening == [shortest * 2**k for k in range(settled)]
    assert lengthening[-1] <= input_length < 4 * lengthening[-1]
    assert (min(settling), max(settling)) == (shortest, input_length)


# How it trains


def test_the_learning_rate_falls_to_zero_while_it_settles(tmp_path, monkeypatch):
    rates, step = [], torch.optim.RMSprop.step

    def watched(self, *args):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(curriculum, "LOG_INTERVAL", 1)
    monkeypatch.setattr(torch.optim.RMSprop, "step", watched)
    metrics = read_metrics(TINY.start(tmp_path / "run", "--learning_rate", "0.01"))
    n = 20 - SETTLED
    assert rates == pytest.approx([0.01] * SETTLED + [0.01 * (n - k) / n for k in range(n)])
    assert [row["learning_rate"] for row in metrics] == rates


def test_gradients_are_cut_to_max_norm_before_the_step(tmp_path, monkeypatch):
    norms, step = [], torch.optim.RMSprop.step

    def watched(self, *args):
        norms.append(nn.utils.get_total_norm([p.grad for group in self.param_groups for p in group["params"]]))
        return step(self, *args)

    monkeypatch.setattr(torch.optim.RMSprop, "step", watched)
    metrics = read_metrics(TINY.start(tmp_path / "run", "--max_norm", "0.01"))
    assert max(norms) <= 0.01 * (1 + 1e-4) and metrics[0]["gradient_norm"] > 0.02  # the metrics show it uncut


def test_weights_that_nothing_asks_for_decay(tmp_path, monkeypatch):
    """Those of a network that is right for certain move to zero and nowhere else."""
    about = {"model": "lstm", "sizes": {}, "encoding": "one_hot"}
    monkeypatch.setattr(curriculum, "build", lambda args: (FirstDigit(100), about))
    before = 50 * torch.eye(10)
    after = TINY.saved(TINY.start(tmp_path / "run"))["network"]["weights"]
    assert (after.diagonal() < before.diagonal() - 0.01).all() and (after.diagonal() > 49).all()
    assert (after - after.diagonal().diag()).abs().max() < 0.01


def test_what_is_trained_on_is_never_what_is_held_out(tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(curriculum, "SURE", -1)
    trained_on, tested_on, encode = [], [], curriculum.encode

    def watched(digits, encoding):
        trained_on.append(digits)
        return encode(digits, encoding)

    def watched_test(n, length, rng, held_out, monotonous=0):
        tested_on.append((length, held_out))
        return draw(100, length, rng, held_out, monotonous)

    monkeypatch.setattr(curriculum, "encode", watched)
    monkeypatch.setattr(part1.evaluate, "draw", watched_test)
    TINY.start(tmp_path / "run", "--lengths", "10", "20")
    assert tested_on == [(10, True), (20, True)]
    assert not any(call["held_out"] for call in drawn)
    assert sum(map(len, trained_on)) == 640
    for digits, call in zip(trained_on, drawn, strict=True):
        assert sorted(digits.tolist()) == sorted(call["digits"][:, :-1].tolist())
        free = digits[:, : (call["length"] + 2) // 2].long()
        assert ((free * torch.arange(1, free.shape[1] + 1)).sum(1) % 10 != 0).all()


def test_no_two_batches_are_alike_and_another_seed_draws_others(tmp_path, drawn):
    TINY.start(tmp_path / "run")
    TINY.start(tmp_path / "other", "--seed", "1")
    first = [tuple(call["digits"][:, :10].flatten().tolist()) for call in drawn if call["length"] == 10]
    assert len(set(first)) == len(first) >= 2 * SETTLED


def test_the_plain_loop_gives_the_same_to_rounding(tmp_path, monkeypatch):
    monkeypatch.setattr(curriculum, "LOG_INTERVAL", 1)
    fast, plain = (TINY.start(tmp_path / name, *flags) for name, flags in (("fast", []), ("plain", ["--plain"])))
    for a, b in zip(read_metrics(fast), read_metrics(plain), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4) and a["length"] == b["length"]
    weights = TINY.saved(fast)["network"], TINY.saved(plain)["network"]
    assert all(torch.allclose(weights[0][name], weights[1][name], rtol=0, atol=1e-4) for name in weights[0])
    assert differences(*weights)  # so that two ways were gone


def test_the_plain_loop_is_the_one_that_is_asked_for(tmp_path):
    with mock.patch("part1.lstm.ThroughTime.apply", side_effect=AssertionError("the fast form")):
        TINY.start(tmp_path / "run", "--plain")
        with pytest.raises(AssertionError, match="the fast form"):
            TINY.start(tmp_path / "other")


@pytest.mark.parametrize("flags", ["--model rnn", "--model torch_lstm", "--raw_digits", "--precision bf16"])
def test_every_model_and_encoding_goes_through_it(flags, tmp_path):
    words = TINY.tiny.replace("--one_hot ", "").split()
    folder = TINY.train(*words, *flags.split(), "--data_size", "96", "--out_dir", tmp_path / "run")
    assert read_json(folder / "result.json")["batches"] == 3


# Stopped and resumed


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """What a run that is never stopped ends with: sure at each batch, so that it lengthens 10, 20, 40 and settles."""
    with pytest.MonkeyPatch.context() as patch:
        lighten(patch.setattr)
        patch.setattr(curriculum, "draw_summary", lambda folder: None)
        patch.setattr(curriculum, "SURE", -1)
        return ending(TINY, TINY.start(tmp_path_factory.mktemp("straight") / "run", "--input_length", "100"))


@pytest.fixture
def always_sure(monkeypatch):
    monkeypatch.setattr(curriculum, "SURE", -1)


@pytest.mark.usefixtures("always_sure")
@pytest.mark.parametrize(
    ("step", "length", "settle_from"), [(1, 20, 0), (2, 40, 0), (3, 40, 3), (10, 40, 3), (20, 40, 3)]
)
def test_stopped_in_either_phase_and_resumed_it_ends_in_the_same_bits(step, length, settle_from, straight, tmp_path):
    with survives("stop"):
        assert stop(TINY.start, step, tmp_path / "run", "--input_length", "100") == 143
        progress = TINY.saved(tmp_path / "run")["progress"]
        assert (progress["batch"], progress["length"], progress["settle_from"]) == (step, length, settle_from)
        TINY.resume(tmp_path / "run")
        assert differences(straight, ending(TINY, tmp_path / "run")) == []


@pytest.mark.usefixtures("always_sure")
def test_stopped_and_resumed_after_each_single_batch_it_ends_in_the_same_bits(straight, tmp_path):
    with survives("stop", 20):
        assert stop(TINY.start, 1, tmp_path / "run", "--input_length", "100") == 143
        for _ in range(19):
            assert stop(TINY.resume, 1, tmp_path / "run") == 143
        TINY.resume(tmp_path / "run")
        assert differences(straight, ending(TINY, tmp_path / "run")) == []


def test_a_moving_average_half_way_to_a_doubling_is_resumed_too(tmp_path, drawn, knows):
    knows(100)
    flags = ["--input_length", "100", "--data_size", "100", "--batch_size", "1"]
    assert stop(TINY.start, 30, tmp_path / "run", *flags) == 143
    TINY.resume(tmp_path / "run")
    assert lengths(drawn)[:57] == [10] * 43 + [20] * 14  # then 57 % are used


@pytest.mark.usefixtures("always_sure")
def test_dead_before_its_first_checkpoint_it_starts_over(straight, tmp_path):
    with survives("death"):
        with pytest.raises(Death), after_step(15, die):
            TINY.start(tmp_path / "run", "--input_length", "100")
        assert rows(tmp_path / "run") and not (tmp_path / "run/checkpoint.pt").exists()
        TINY.resume(tmp_path / "run")
        assert differences(straight, ending(TINY, tmp_path / "run")) == []


@pytest.mark.usefixtures("always_sure")
def test_dead_between_training_and_its_result_it_only_tests_again(straight, tmp_path, drawn):
    with survives("death"):
        with pytest.raises(Death), mock.patch.object(curriculum, "report", die):
            TINY.start(tmp_path / "run", "--input_length", "100")
        drawn.clear()
        TINY.resume(tmp_path / "run")
        assert drawn == [] and differences(straight, ending(TINY, tmp_path / "run")) == []


# The flags


def test_a_curriculum_has_defaults_of_its_own():
    args = part1.train.parse_args(["--curriculum"])
    assert (args.batch_size, args.max_norm, args.data_size, args.input_length) == (64, 1.0, 30_000, 1000)
    assert args.lengths == list(part1.evaluate.LENGTHS)
    without = part1.train.parse_args([])
    assert (without.batch_size, without.max_norm, without.data_size, without.input_length) == (128, 10.0, 10_000, 5)


def test_the_defaults_are_the_same_from_the_command_line(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py", "--one_hot", "--curriculum"])
    assert vars(part1.train.parse_args()) == vars(part1.train.parse_args(["--curriculum", "--one_hot"]))


@pytest.mark.parametrize("order", [1, -1])
def test_flags_that_are_given_win(order):
    given = [["--curriculum"], *(["--batch_size", "128"], ["--max_norm", "10"], ["--data_size", "10000"])]
    args = part1.train.parse_args([word for flag in given[::order] for word in flag])
    assert (args.batch_size, args.max_norm, args.data_size, args.input_length) == (128, 10.0, 10_000, 1000)


def test_a_resumed_run_keeps_its_settings_without_being_told(tmp_path):
    stop(TINY.start, 1, tmp_path / "run")
    for flags in ([], ["--curriculum"]):
        args = part1.train.parse_args(["--resume", str(tmp_path / "run"), *flags])
        assert (args.curriculum, args.batch_size, args.max_norm, args.data_size) == (True, 32, 1.0, 640)


def test_a_run_without_a_name_gets_one_that_tells_its_kind(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path)
    folder = TINY.train(*TINY.tiny.split(), "--data_size", "32", "--seed", "7")
    assert folder.parent == tmp_path / "part1" and folder.name.startswith("lstm-curriculum-T20-seed7-")


@pytest.mark.parametrize("input_length", [1, 3])
def test_a_length_too_short_to_hold_any_out_is_refused_in_one_line(input_length, tmp_path, answer):
    words = [*TINY.tiny.split(), "--input_length", str(input_length), "--out_dir", str(tmp_path / "run")]
    status, out, err = answer(part1.train, *words)
    assert (status, out, len(err.splitlines())) == (2, "", 1) and "--input_length" in err
    assert list(tmp_path.iterdir()) == []


def test_a_batch_larger_than_all_there_is_never_makes_it_more(tmp_path, drawn, answer):
    words = [*TINY.tiny.split(), "--data_size", "10", "--out_dir", str(tmp_path / "run")]
    status, _, _ = answer(part1.train, *words)
    assert status == 2 or sum(call["n"] for call in drawn) <= 10
