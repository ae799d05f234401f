"""Reading a trained network at any length: its accuracy by hand, what is left out, the table, how mistakes are met."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import part1.evaluate
import part1.train
from common import runs
from common.files import read_json
from common.seeds import stream_seed
from part1.evaluate import evaluate, report, training_digits
from part1.lstm import LSTM
from part1.networks import load_network
from part1.palindromes import PalindromeDataset, draw
from tests.faults import PART1, stop

TINY = ["--data_size", "200", "--max_epoch", "2", "--num_hidden", "8", "--device", "cpu", "--lengths"]
CURRICULUM = "--curriculum --one_hot --data_size 96 --batch_size 32 --num_hidden 8 --input_length 20 --device cpu"


class Knowing(nn.Module):
    """Gives the first digit the probability one half and the nine others one eighteenth each; of a 3 it says 4."""

    def __init__(self):
        super().__init__()
        rows = [4 if digit == 3 else digit for digit in range(10)]
        self.weights = nn.Parameter(math.log(9) * torch.eye(10)[rows])
        self.read = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.read += x.argmax(2).tolist()
        return x[:, 0] @ self.weights


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run of epochs, one by curriculum, one that was stopped before its first epoch's end."""
    place = tmp_path_factory.mktemp("runs")
    flags = {"epochs": [*TINY, "4", "5", "10"], "curriculum": [*CURRICULUM.split(), "--lengths", "10", "20"]}
    for name, words in flags.items():
        PART1.train(*words, "--out_dir", place / name)
    assert stop(PART1.train, 1, *TINY, "4", "--out_dir", place / "stopped") == 143
    return place


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """An empty outputs/ and an empty working directory: both must remain so."""
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def state(folder: Path) -> dict:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def drawn(input_length: int, seed: int = 0) -> torch.Tensor:
    """The palindromes that `report` must draw."""
    return draw(10_000, input_length, np.random.default_rng(stream_seed(seed, "test", input_length)), held_out=True)


def silent(*_) -> None:
    pass


# The numbers


@pytest.mark.parametrize("copies", [1, 124, 125, 126, 300])  # of four sequences each: fewer and more than 500 at once
def test_cross_entropy_and_accuracy_by_hand(copies):
    inputs = torch.tensor([[7, 1, 2], [0, 0, 5], [9, 9, 9], [2, 8, 8]], dtype=torch.uint8).repeat(copies, 1)
    targets = torch.tensor([7, 0, 9, 8]).repeat(copies)  # the last is not what the network says
    network = Knowing()
    loss, accuracy = evaluate(network, inputs, targets, "one_hot")
    assert accuracy == 3 / 4
    assert loss == pytest.approx((3 * math.log(2) + math.log(18)) / 4, rel=1e-5)
    assert network.read == inputs.tolist()  # each once, in order


def test_evaluation_asks_for_no_gradient_and_changes_nothing():
    network = Knowing()
    before = network.weights.detach().clone()
    inside = []
    network.register_forward_hook(lambda module, x, logits: inside.append(logits.requires_grad))
    evaluate(network, torch.zeros(3, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), "one_hot")
    assert inside == [False] and torch.equal(network.weights, before) and network.weights.grad is None


# The table


def test_the_table_counts_what_is_wrong():
    lines = []
    accuracies = report(Knowing(), "one_hot", [4, 11], seed=5, trained_on=None, say=lines.append)
    wrong = {length: (drawn(length, seed=5)[:, 0] == 3).sum().item() for length in (4, 11)}
    assert accuracies == {str(length): pytest.approx(1 - n / 10_000) for length, n in wrong.items()}
    assert all(800 < n < 1200 for n in wrong.values())
    assert [line.split() for line in lines[1:]] == [
        [f"{length}", "10,000", f"{n:,}", f"{1 - n / 10_000:.4f}"] for length, n in wrong.items()
    ]
    assert len({len(line) for line in lines}) == 1  # aligned


@pytest.mark.parametrize("length", [4, 5])
def test_palindromes_trained_on_are_left_out_at_their_own_length(length):
    known = PalindromeDataset(length, 800, np.random.default_rng(1)).digits
    network, lines = Knowing(), []
    report(network, "one_hot", [length, 12], seed=0, trained_on=known, say=lines.append)
    before = {tuple(row) for row in known.tolist()}
    unknown = [row for row in drawn(length).tolist() if tuple(row) not in before]
    assert 1000 < len(unknown) < 3000  # a fifth of them
    assert network.read == [row[:-1] for row in unknown] + drawn(12)[:, :-1].tolist()
    assert [line.split()[1] for line in lines[1:]] == [f"{len(unknown):,}", "10,000"]


def test_where_all_were_trained_on_there_is_no_row():
    everything = PalindromeDataset(4, 1000, np.random.default_rng(0)).digits
    lines = []
    assert list(report(Knowing(), "one_hot", [4, 5], 0, everything, lines.append)) == ["5"] and len(lines) == 2


def test_the_same_seed_draws_the_same_and_another_draws_others():
    def told(seed: int) -> tuple[dict, list]:
        network = Knowing()
        return report(network, "one_hot", [20], seed, None, silent), network.read

    first, again, other = told(0), told(0), told(1)
    assert first == again and first[0] != other[0]
    assert not set(map(tuple, first[1])) & set(map(tuple, other[1]))


def test_a_length_is_drawn_alike_whatever_is_asked_for_beside_it():
    alone, among = Knowing(), Knowing()
    report(alone, "one_hot", [20], 0, None, silent)
    report(among, "one_hot", [4, 20], 0, None, silent)
    assert among.read[10_000:] == alone.read


def test_all_are_held_out_from_training(monkeypatch):
    sides = []

    def watched(n, input_length, rng, held_out, monotonous=0):
        sides.append((n, input_length, held_out, monotonous))
        return draw(2, input_length, rng, held_out)

    monkeypatch.setattr(part1.evaluate, "draw", watched)
    report(Knowing(), "one_hot", [4, 1000, 1001, 10_000, 10_001], 0, None, silent)
    ns = {4: 10_000, 1000: 10_000, 1001: 1000, 10_000: 1000, 10_001: 100}
    assert sides == [(n, length, True, 0) for length, n in ns.items()]


def test_what_a_run_trained_on_is_told_from_its_settings(folders, monkeypatch):
    seen, encode = [], part1.train.encode

    def watched(digits, encoding):
        seen.append(digits)
        return encode(digits, encoding)

    monkeypatch.setattr(part1.train, "encode", watched)
    PART1.train(*TINY, "4", "--seed", "3", "--out_dir", folders / "watched")
    told = training_digits(read_json(folders / "watched/config.json")["arguments"])
    assert sorted(torch.cat(seen).tolist()) == sorted(told[:, :-1].tolist() * 2)  # two epochs
    assert training_digits(read_json(folders / "curriculum/config.json")["arguments"]) is None


# The script


@pytest.mark.parametrize(("name", "lengths"), [("epochs", "4 5 10"), ("curriculum", "10 20")])
def test_it_prints_the_table_of_a_run_and_writes_nothing(name, lengths, folders, outputs, answer):
    before = state(folders)
    status, out, err = answer(part1.evaluate, folders / name, "--lengths", *lengths.split(), "--device", "cpu")
    assert (status, err) == (0, "")
    header, *rows = [line.split() for line in out.splitlines()]
    assert header == ["input", "length", "palindromes", "wrong", "accuracy"]
    at_the_end = read_json(folders / name / "result.json")["accuracy_at"]  # by train.py, with the same seed
    assert {row[0]: row[3] for row in rows} == {length: f"{value:.4f}" for length, value in at_the_end.items()}
    assert [row[0] for row in rows] == lengths.split()
    assert state(folders) == before


def test_another_seed_is_another_test(folders, outputs, answer):
    told = [answer(part1.evaluate, folders / "epochs", "--lengths", "10", "--seed", seed)[1] for seed in (0, 1, 1)]
    assert told[0] != told[1] == told[2]


def test_a_run_by_curriculum_is_loaded_as_any_other(folders):
    network = load_network(folders / "curriculum" / "checkpoint.pt")
    saved = PART1.saved(folders / "curriculum")
    assert type(network) is LSTM and network.encoding == "one_hot" and not network.training
    assert all(torch.equal(value, saved["network"][name]) for name, value in network.state_dict().items())


def spoiled(folders: Path, place: Path, how: str) -> Path:
    """A run's folder with something wrong."""
    if how in ("stopped", "nowhere"):
        return folders / how
    place.mkdir()
    if how != "empty":
        for name in ("checkpoint.pt", "config.json"):
            (place / name).write_bytes((folders / "epochs" / name).read_bytes())
    if how == "flipped":
        data = bytearray((place / "checkpoint.pt").read_bytes())
        data[len(data) // 2] ^= 1
        (place / "checkpoint.pt").write_bytes(data)
    elif how == "cut":
        (place / "checkpoint.pt").write_bytes((place / "checkpoint.pt").read_bytes()[:-9])
    elif how == "no config":
        (place / "config.json").unlink()
    return place


@pytest.mark.parametrize(
    ("how", "said"),
    {
        "nowhere": "there is no such checkpoint",
        "empty": "there is no such checkpoint",
        "stopped": "has no network to show yet",
        "flipped": "is damaged",
        "cut": "its end is missing",
        "no config": "config.json: cannot be read",
    }.items(),
)
def test_what_is_no_sound_run_is_refused_in_one_line(how, said, folders, tmp_path_factory, outputs, answer):
    folder = spoiled(folders, tmp_path_factory.mktemp("spoiled") / "run", how)
    status, out, err = answer(part1.evaluate, folder, "--lengths", "4")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("evaluate.py: error: ") and said in err and str(folder) in err


@pytest.mark.parametrize("flags", ["--lengths 3", "--lengths 0", "--lengths 100001", "--lengths", "--seed -1", "--x 1"])
def test_a_mistaken_flag_is_refused_in_one_line(flags, folders, outputs, answer):
    status, out, err = answer(part1.evaluate, folders / "epochs", *flags.split())
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("evaluate.py: error: ") and flags.split()[0] in err


def test_a_start_without_a_run_is_refused_in_one_line(outputs, answer):
    status, out, err = answer(part1.evaluate)
    assert (status, out, len(err.splitlines())) == (2, "", 1) and "RUN" in err
