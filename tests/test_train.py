"""A training run of Part 1: its parts, what it leaves in its folder, what it chooses, how it answers mistakes."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import part1.train
from common import checkpoint
from common.cli import UserError
from common.files import read_json
from common.runs import read_metrics
from common.seeds import stream_seed
from part1.networks import NETWORKS, load_network
from part1.palindromes import ENCODINGS, PalindromeDataset, encode, split
from part1.train import KIND, evaluate, parse_args, train

TINY = ["--data_size", "200", "--max_epoch", "2", "--num_hidden", "8", "--device", "cpu"]  # 160, 20 and 20 sequences
RESULT = {"test_accuracy", "validation_accuracy", "epochs", "seconds", "sequences_seen", "parameters", "best_epoch"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """One run with its pictures, for all tests that only read."""
    return train(parse_args([*TINY, "--out_dir", str(tmp_path_factory.mktemp("drawn") / "run")]))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Calls `train` with TINY and more flags, without curves.png; gives the run's folder."""
    monkeypatch.setattr(part1.train, "draw_summary", lambda folder: None)
    count = iter(range(99))
    return lambda *flags: train(parse_args([*TINY, *flags, "--out_dir", str(tmp_path / f"run{next(count)}")]))


def content(folder) -> dict:
    return checkpoint.load(folder / "checkpoint.pt", KIND)


def scripted(monkeypatch, *scores: tuple[float, float]) -> list[dict]:
    """`evaluate` answers with these scores (loss, accuracy), the last for ever; gives the weights of each call."""
    weights = []

    def answer(network, *_):
        weights.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return scores[min(len(weights), len(scores)) - 1]

    monkeypatch.setattr(part1.train, "evaluate", answer)
    return weights


def same(state: dict, other: dict) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


@given(st.integers(1, 10_000), st.floats(0.001, 0.999))
def test_the_parts_cover_everything_once(n, portion):
    try:
        parts = split(n, portion)
    except UserError:
        assert int(n * portion) < 1 or n - int(n * portion) < 2  # one part would be empty
        return
    train_part, validation, test = (list(range(n)[part]) for part in parts)
    assert train_part + validation + test == list(range(n))
    assert len(train_part) == int(n * portion) and 0 <= len(test) - len(validation) <= 1 and validation


def test_the_rest_is_halved():
    assert split(1000, 0.8) == (slice(800), slice(800, 900), slice(900, 1000))


@pytest.mark.parametrize(("n", "portion"), [(1, 0.5), (2, 0.5), (10, 0.05), (10, 0.99)])
def test_too_few_to_split_is_a_user_error(n, portion):
    with pytest.raises(UserError, match="--portion_train"):
        split(n, portion)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_untrained_network_is_as_good_as_guessing(encoding):
    torch.manual_seed(0)
    inputs, targets = PalindromeDataset(5, 1000, np.random.default_rng(0))[:]
    loss, accuracy = evaluate(NETWORKS["lstm"](ENCODINGS[encoding], 128, 10), inputs, targets, encoding)
    assert loss == pytest.approx(math.log(10), abs=0.3) and accuracy < 0.35


@pytest.mark.parametrize("n", [1, 499, 500, 501, 900])
def test_evaluation_in_pieces_is_that_of_the_whole(n):
    torch.manual_seed(0)
    network = NETWORKS["rnn"](1, 8, 10)
    inputs, targets = PalindromeDataset(5, n, np.random.default_rng(0))[:]
    logits = network(encode(inputs, "scaled"))
    loss, accuracy = evaluate(network, inputs, targets, "scaled")
    assert loss == pytest.approx(F.cross_entropy(logits, targets).item(), abs=1e-5)
    assert accuracy == pytest.approx((logits.argmax(1) == targets).float().mean().item())


def test_the_folder_holds_what_the_house_demands(drawn):
    names = {path.name for path in drawn.iterdir()}
    assert names >= {"config.json", "metrics.jsonl", "checkpoint.pt", "curves.png", "result.json"}
    assert not [name for name in names if name.endswith((".tmp", ".link"))]
    assert Image.open(drawn / "curves.png").size == (1350, 495)


def test_config_and_result_and_metrics_hold_what_the_house_demands(drawn):
    config, result, rows = read_json(drawn / "config.json"), read_json(drawn / "result.json"), read_metrics(drawn)
    assert set(config["arguments"]) >= set(vars(parse_args([]))) - {"resume"}
    assert set(result) >= RESULT
    assert (result["epochs"], result["sequences_seen"]) == (2, 2 * 160)
    assert result["parameters"] == 4 * 8 * (1 + 8 + 1) + 10 * (8 + 1)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(math.isfinite(value) for row in rows for value in row.values())


def test_the_result_is_that_of_the_network_in_the_checkpoint(drawn):
    network, result = load_network(drawn / "checkpoint.pt"), read_json(drawn / "result.json")
    dataset = PalindromeDataset(5, 200, np.random.default_rng(stream_seed(0, "palindromes")))
    _, validation, test = split(200, 0.8)
    best = read_metrics(drawn)[result["best_epoch"] - 1]
    loss, accuracy = evaluate(network, *dataset[validation], network.encoding)
    assert (loss, accuracy) == (best["validation_loss"], best["validation_accuracy"])
    assert evaluate(network, *dataset[test], network.encoding)[1] == result["test_accuracy"]
    assert result["validation_accuracy"] == max(row["validation_accuracy"] for row in read_metrics(drawn))


MODES = [["--model", name] for name in NETWORKS] + [["--one_hot"], ["--input_dim", "10"], ["--raw_digits"]]
MODES += [["--init", "uniform"], ["--init", "normal"], ["--input_length", "1", "--batch_size", "3"]]


@pytest.mark.parametrize("flags", MODES, ids=" ".join)
def test_every_model_encoding_and_start_trains(flags, run):
    folder = run(*flags)
    network = load_network(folder / "checkpoint.pt")
    args = parse_args(flags)
    assert type(network) is NETWORKS[args.model]
    assert network.encoding == ("one_hot" if args.one_hot else "raw" if args.raw_digits else "scaled")
    assert len(read_metrics(folder)) == 2


def test_training_learns(run):
    flags = "--input_length 3 --max_epoch 40 --num_hidden 32 --learning_rate 0.01"
    rows = read_metrics(run(*flags.split()))
    assert rows[-1]["loss"] < rows[0]["loss"] / 2 and rows[-1]["accuracy"] > 0.9


def without_times(folder) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in read_metrics(folder)]


def test_the_same_seed_gives_the_same_bits_and_another_others(run):
    first, again, other = run(), run(), run("--seed", "1")
    assert same(content(first)["progress"]["best"], content(again)["progress"]["best"])
    assert without_times(first) == without_times(again)
    assert not same(content(first)["progress"]["best"], content(other)["progress"]["best"])


def test_what_evaluation_draws_at_random_changes_no_bit_of_training(run, monkeypatch):
    undisturbed = run()

    def draw_much(*args):
        torch.rand(1000)
        return evaluate(*args)

    monkeypatch.setattr(part1.train, "evaluate", draw_much)
    assert same(content(run())["network"], content(undisturbed)["network"])


def test_training_validation_and_test_see_disjoint_sequences(run, monkeypatch):
    seen = {"training": [], "evaluation": []}
    encode_ = part1.train.encode

    def remember(digits, encoding):
        seen["training"] += digits.tolist()
        return encode_(digits, encoding)

    def remember_part(network, inputs, *_):
        seen["evaluation"].append(inputs.tolist())
        return 1.0, 0.5

    monkeypatch.setattr(part1.train, "encode", remember)
    monkeypatch.setattr(part1.train, "evaluate", remember_part)
    run()
    *validations, test = seen["evaluation"]
    assert len(validations) == 2 and validations[0] == validations[1]  # once an epoch; and test once, at the end
    training, validation, test = ({tuple(row) for row in part} for part in (seen["training"], validations[0], test))
    assert (len(training), len(validation), len(test)) == (160, 20, 20) and len(seen["training"]) == 2 * 160
    assert not (training & validation or training & test or validation & test)


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([(1.0, 0.1), (1.0, 0.9), (1.0, 0.3)], 2),
        ([(0.7, 0.5), (0.5, 0.5), (0.6, 0.5)], 2),  # equally accurate: the surer one
        ([(0.5, 0.5), (0.5, 0.5), (0.5, 0.5)], 1),  # equal: the first
        ([(0.1, 0.5), (9.0, 0.6), (9.0, 0.6)], 2),  # accuracy counts before loss
    ],
)
def test_the_best_epoch_by_validation_is_kept(scores, best, run, monkeypatch):
    weights = scripted(monkeypatch, *scores)
    folder = run("--max_epoch", "3")
    assert same(content(folder)["progress"]["best"], weights[best - 1])
    assert same(weights[3], weights[best - 1])  # what test was read with
    assert read_json(folder / "result.json")["best_epoch"] == best


def test_training_stops_after_enough_perfect_epochs_in_a_row(run, monkeypatch):
    scripted(monkeypatch, (0.1, 1.0), (0.1, 0.9), (0.1, 1.0), (0.1, 1.0), (0.1, 1.0))
    folder = run("--max_epoch", "20", "--patience", "2")
    assert read_json(folder / "result.json")["epochs"] == len(read_metrics(folder)) == 4


def test_from_epoch_101_on_the_rate_is_a_tenth(run, monkeypatch):
    scripted(monkeypatch, (1.0, 0.5))
    rows = read_metrics(run("--input_length", "1", "--max_epoch", "102", "--learning_rate", "0.01"))
    assert [rows[k]["learning_rate"] for k in (0, 99, 100, 101)] == pytest.approx([0.01, 0.01, 0.001, 0.001])


def test_gradients_are_cut_to_max_norm_before_the_step(run, monkeypatch):
    norms = []
    step = torch.optim.RMSprop.step

    def watched(self, *args):
        norms.append(torch.nn.utils.get_total_norm([p.grad for group in self.param_groups for p in group["params"]]))
        return step(self, *args)

    monkeypatch.setattr(torch.optim.RMSprop, "step", watched)
    rows = read_metrics(run("--max_norm", "0.01"))
    assert max(norms) <= 0.01 * (1 + 1e-4) and rows[0]["gradient_norm"] > 0.02  # the metrics show it uncut


def test_where_fewer_exist_than_asked_for_all_are_used_and_it_is_said(run, capsys):
    folder = run("--input_length", "2")
    assert "only 100 palindromes of 3 digits exist" in capsys.readouterr().out
    assert read_json(folder / "result.json")["sequences_seen"] == 2 * 80
