"""The gates of a trained LSTM: what is traced is what it computes, what is measured is what is claimed, the script."""

import math
from pathlib import Path

import pytest
import torch
from PIL import Image

import part1.show_gates
import part1.train
from common import runs
from common.files import read_json
from part1.lstm import LSTM
from part1.networks import load_network
from part1.palindromes import ENCODINGS, encode
from part1.show_gates import explained, parse_args, read_linearly, show_gates, trace
from tests.faults import PART1, stop

TINY = ["--data_size", "200", "--max_epoch", "1", "--num_hidden", "12", "--device", "cpu", "--lengths", "4"]
CURRICULUM = "--curriculum --one_hot --data_size 32 --batch_size 32 --num_hidden 12 --input_length 20 --device cpu "
RESULT = {"run", "digits", "answer", "units", "explained", "steps", "linear_reading"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Runs of part1/train.py: of LSTMs, and of networks that have no gates to show."""
    place = tmp_path_factory.mktemp("runs")
    for name, flags in {
        "lstm": TINY,
        "one_hot": [*TINY, "--one_hot"],
        "curriculum": [*CURRICULUM.split(), "--lengths", "4"],
        "rnn": [*TINY, "--model", "rnn"],
        "torch_lstm": [*TINY, "--model", "torch_lstm"],
    }.items():
        PART1.train(*flags, "--out_dir", place / name)
    assert stop(PART1.train, 1, *TINY, "--out_dir", place / "stopped") == 143
    return place


@pytest.fixture(autouse=True)
def outputs(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path / "outputs")
    return tmp_path / "outputs"


def network(encoding: str = "scaled") -> LSTM:
    """An LSTM whose gates open and shut."""
    torch.manual_seed(0)
    lstm = LSTM(ENCODINGS[encoding], 6, 10)
    for parameter in lstm.parameters():
        torch.nn.init.normal_(parameter)
    lstm.encoding = encoding
    return lstm


def some(n: int, length: int) -> torch.Tensor:
    return torch.randint(10, (n, length), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


# What is traced


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("length", [1, 2, 17])
def test_the_last_of_h_gives_the_networks_own_answer(encoding, length):
    lstm, digits = network(encoding), some(5, length)
    traced = trace(lstm, digits)
    assert {name: value.shape for name, value in traced.items()} == dict.fromkeys("ifoch", (length, 5, 6))
    assert torch.allclose(lstm.fc(traced["h"][-1]), lstm(encode(digits, encoding)), rtol=0, atol=1e-5)


def test_each_step_of_h_is_the_answer_to_the_digits_so_far():
    lstm, digits = network(), some(5, 9)
    for t, h in enumerate(trace(lstm, digits)["h"], start=1):
        assert torch.allclose(lstm.fc(h), lstm(encode(digits[:, :t], "scaled")), rtol=0, atol=1e-5)


def test_the_gates_are_those_of_the_equations():
    lstm, digits = network(), some(5, 9)
    traced, x = trace(lstm, digits), encode(digits, "scaled")
    h = c = torch.zeros(5, 6)
    for t in range(9):
        a_i, a_f, a_g, a_o = (x[:, t] @ lstm.weight_ih.T + h @ lstm.weight_hh.T + lstm.bias).chunk(4, dim=1)
        i, f, o = (a.sigmoid() for a in (a_i, a_f, a_o))
        c = a_g.tanh() * i + c * f
        h = c.tanh() * o
        for name, value in {"i": i, "f": f, "o": o, "c": c, "h": h}.items():
            assert torch.allclose(traced[name][t], value, rtol=0, atol=1e-5), f"{name}({t + 1})"


def test_some_steps_are_those_of_all():
    lstm, digits = network(), some(5, 9)
    whole, part = trace(lstm, digits), trace(lstm, digits, [1, 4, 9])
    assert all(torch.equal(part[name], whole[name][[0, 3, 8]]) for name in "ifoch")


# What is measured


def test_a_unit_is_explained_by_the_first_digit_as_far_as_it_depends_on_it():
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(10, (20_000,), generator=generator)
    of_the_digit = torch.randn(10, generator=generator)[first]
    of_the_digit = (of_the_digit - of_the_digit.mean()) / of_the_digit.std()
    noise, more = torch.randn(2, 20_000, generator=generator)
    units = [of_the_digit, -3 * of_the_digit + 100, noise, of_the_digit + noise, of_the_digit + 2 * more, 0 * noise]
    shares = explained(torch.stack(units, dim=1), first).tolist()
    assert shares == pytest.approx([1, 1, 0, 1 / 2, 1 / 5, 0], abs=0.02)
    assert shares[:2] == pytest.approx([1, 1], abs=1e-3) and shares[2] < 0.003  # nine means of noise: 0.00045


def test_digits_that_never_come_first_explain_nothing():
    first = torch.tensor([3, 3, 8, 8])
    assert explained(torch.tensor([[1.0, 1.0], [1.0, 5.0], [2.0, 1.0], [2.0, 5.0]]), first).tolist() == [1, 0]


def test_a_memory_that_holds_the_digit_is_read_without_a_mistake():
    first = some(400, 1)[:, 0].long()
    assert read_linearly(torch.eye(10)[first], first) == 1
    assert read_linearly(100 + 0.01 * torch.eye(10)[first] @ torch.randn(10, 10), first) == 1  # mixed, small, far off


def test_a_memory_that_holds_nothing_is_read_as_well_as_guessing():
    first = some(4000, 1)[:, 0].long()
    noise = torch.randn(4000, 30, generator=torch.Generator().manual_seed(0))
    assert read_linearly(noise, first) == pytest.approx(0.1, abs=0.03)
    assert read_linearly(torch.zeros(4000, 30), first) == pytest.approx(0.1, abs=0.03)


def test_a_memory_that_holds_half_of_the_digits_is_read_right_in_half():
    first = some(4000, 1)[:, 0].long()
    known = torch.eye(10)[first] * (first < 5).unsqueeze(1)
    assert read_linearly(known, first) == pytest.approx(0.5 + 0.1, abs=0.04)  # and one of the others, always


def test_it_is_fitted_on_one_half_and_counted_on_the_other():
    first = some(400, 1)[:, 0].long()
    told = torch.cat([first[:200], (first[200:] + 1) % 10])  # the second half holds another digit
    assert read_linearly(torch.eye(10)[told], first) == 0


# The script


def check(folder: Path, source: Path, length: int) -> dict:
    assert {path.name for path in folder.iterdir() if path.name != ".lock"} == {
        "config.json",
        "gates.png",
        "result.json",
    }
    assert Image.open(folder / "gates.png").size == (1350, 1110)
    result, lstm = read_json(folder / "result.json"), load_network(source / "checkpoint.pt")
    assert set(result) == RESULT and result["run"] == str(source)
    digits = torch.tensor([result["digits"]])
    assert digits.shape == (1, length)
    assert result["answer"] == lstm(encode(digits, lstm.encoding)).argmax().item()
    assert len(set(result["units"])) == len(result["explained"]) == 8
    assert result["explained"] == sorted(result["explained"], reverse=True)
    assert all(-1e-3 <= share <= 1 + 1e-3 for share in result["explained"])
    assert (result["steps"][0], result["steps"][-1]) == (1, length) and len(result["steps"]) <= 60
    assert len(result["linear_reading"]) == len(result["steps"])
    assert result["linear_reading"][0] > 0.3  # after one step nothing but the first digit was seen
    assert lstm.encoding != "one_hot" or result["linear_reading"][0] == 1
    return result


@pytest.mark.parametrize(("name", "length"), [("lstm", 10), ("curriculum", 10), ("one_hot", 100)])
def test_a_palindrome_is_drawn_and_shown(name, length, folders, tmp_path, answer):
    flags = ["--input_length", length, "--out_dir", tmp_path / "run"]
    status, out, err = answer(part1.show_gates, "--run", folders / name, *flags)
    assert (status, err) == (0, "")
    result = check(tmp_path / "run", folders / name, length)
    digits = result["digits"]
    assert digits[1:] == digits[1:][::-1]  # without its last digit
    assert f"first digit {digits[0]}, the network's answer after {length} digits: {result['answer']}" in out


@pytest.mark.parametrize("digits", ["7 3 1 1 3", "7"])
def test_digits_that_are_given_are_shown(digits, folders, tmp_path):
    numbers = [int(digit) for digit in digits.split()]
    show_gates(
        parse_args(["--run", str(folders / "lstm"), "--digits", *digits.split(), "--out_dir", str(tmp_path / "run")])
    )
    assert check(tmp_path / "run", folders / "lstm", len(numbers))["digits"] == numbers


def test_what_is_drawn_is_what_was_traced(folders, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(part1.show_gates, "draw_picture", lambda *args: drawn.extend(args))
    show_gates(
        parse_args(["--run", str(folders / "one_hot"), "--input_length", "12", "--out_dir", str(tmp_path / "run")])
    )
    digits, traces, names, steps, readings, surely, _ = drawn
    result, lstm = read_json(tmp_path / "run/result.json"), load_network(folders / "one_hot/checkpoint.pt")
    whole = trace(lstm, digits.unsqueeze(0))
    assert all(torch.equal(torch.from_numpy(traces[name]), whole[name][:, 0, result["units"]]) for name in "ifoc")
    assert names == [str(unit) for unit in result["units"]]
    assert (steps, readings) == (result["steps"], result["linear_reading"])
    answers = lstm(encode(digits.unsqueeze(0), "one_hot")).softmax(1)
    assert len(surely) == 12 and surely[-1].item() == pytest.approx(answers[0, digits[0].long()].item(), abs=1e-5)


def test_the_units_shown_are_those_whose_memory_the_first_digit_explains(folders, tmp_path, monkeypatch):
    shares = torch.linspace(0, 0.5, 12)
    shares[[2, 7]] = torch.tensor([0.9, 0.8])
    traced, asked = [], []

    def watched(*args):
        traced.append(trace(*args))
        return traced[-1]

    monkeypatch.setattr(part1.show_gates, "draw_picture", lambda *args: None)
    monkeypatch.setattr(part1.show_gates, "trace", watched)
    monkeypatch.setattr(part1.show_gates, "explained", lambda c, first: asked.append(c) or shares)
    show_gates(parse_args(["--run", str(folders / "lstm"), "--out_dir", str(tmp_path / "run")]))
    assert read_json(tmp_path / "run/result.json")["units"] == [2, 7, 11, 10, 9, 8, 6, 5]
    assert asked[0].shape == (1000, 12) and torch.equal(asked[0], traced[0]["c"][-1])  # c(T) of many palindromes


def test_the_same_seed_shows_the_same_and_another_another(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(part1.show_gates, "draw_picture", lambda *args: None)
    of_lstm = ["--run", str(folders / "lstm")]
    first, again, other = (
        read_json(show_gates(parse_args([*of_lstm, "--seed", seed, "--out_dir", str(tmp_path / name)])) / "result.json")
        for name, seed in (("first", "0"), ("again", "0"), ("other", "1"))
    )  # fmt: skip
    assert first == again and first["digits"] != other["digits"]
    assert all(math.isfinite(reading) for reading in first["linear_reading"])


def test_without_a_name_the_newest_finished_run_is_shown(outputs, folders, answer):
    for name, flags in {"older": [], "newer": ["--seed", "1"]}.items():
        PART1.train(*TINY, *flags, "--out_dir", outputs / "part1" / name)
    stop(PART1.train, 1, *TINY, "--out_dir", outputs / "part1" / "unfinished")
    status, _, err = answer(part1.show_gates)
    assert (status, err) == (0, "")
    (folder,) = (outputs / "part1").glob("gates-T10-*")
    check(folder, outputs / "part1" / "newer", 10)


@pytest.mark.parametrize("flags", ["--digits 10", "--digits -1", "--digits", "--input_length 3", "--input_length x"])
def test_a_mistaken_flag_is_refused_in_one_line(flags, folders, tmp_path, answer):
    status, out, err = answer(part1.show_gates, "--run", folders / "lstm", *flags.split())
    assert (status, out, len(err.splitlines())) == (2, "", 1) and flags.split()[0] in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"),
    {
        "rnn": "is no LSTM by hand",
        "torch_lstm": "is no LSTM by hand",
        "stopped": "has no network to show yet",
        "nowhere": "there is no such checkpoint",
        None: "holds no finished run",
    }.items(),
)
def test_where_there_are_no_gates_to_show_that_is_said_and_nothing_is_written(name, said, folders, tmp_path, answer):
    status, out, err = answer(part1.show_gates, *(["--run", folders / name] if name else []))
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("show_gates.py: error: ") and said in err
    assert list(tmp_path.iterdir()) == []
