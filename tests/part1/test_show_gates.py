"""The picture of the gates of a trained LSTM: what is measured is what is claimed, what is shown is what it does."""

from common.files import read_json
from part1 import show_gates
from part1.networks.traces import sensitivity, trace
from part1.networks.trained import load
from part1.show_gates import draw_palindromes, parse_args, read_linearly
from tests.tiny_runs import without

import pytest
import torch
from PIL import Image


def test_the_first_digit_is_read_from_a_memory_as_far_as_it_holds_it():
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(10, (4000,), generator=generator)
    digit, noise = torch.eye(10)[first], torch.randn(4000, 30, generator=generator)
    assert read_linearly(digit, first) == 1
    assert read_linearly(100 + 0.01 * digit @ torch.randn(10, 10, generator=generator), first) == 1  # mixed, far off
    assert read_linearly(noise, first) == pytest.approx(0.1, abs=0.03)  # guesses
    assert read_linearly(0 * noise, first) == pytest.approx(0.1, abs=0.03)
    known = digit * (first < 5).unsqueeze(1)
    assert read_linearly(known, first) == pytest.approx(0.5 + 0.1, abs=0.04)  # and one of the others, always
    told = torch.cat([first[:2000], (first[2000:] + 1) % 10])  # the half that it is not fitted on is another's
    assert read_linearly(torch.eye(10)[told], first) == 0


def show(source, folder, *flags: str) -> dict:
    args = parse_args(["--run", str(source), "--device", "cpu", "--out_dir", str(folder), *flags])
    return without(read_json(show_gates.show_gates(args) / "result.json"), "run")


SHOWN = [("epochs", "--digits 7 3 1 1 3", 5), ("epochs", "--digits 7", 1), ("curriculum", "--input_length 100", 100)]
SHOWN += [("torch_lstm", "--input_length 12", 12)]


@pytest.mark.parametrize(("name", "flags", "length"), SHOWN)
def test_the_result_is_what_the_network_does(name, flags, length, folders, tmp_path):
    result, trained = show(folders / name, tmp_path / "run", *flags.split()), load(folders / name)
    digits = torch.tensor([result["digits"]])
    x = trained.encode(digits)
    assert result["network"] == str(folders / name) and digits.shape == (1, length)
    assert "--digits" not in flags or result["digits"] == [int(digit) for digit in flags.split()[1:]]
    assert "--digits" in flags or torch.equal(digits[:, 1:], digits[:, 1:].flip(1))  # without its last digit
    assert result["answer"] == trained.network(x).argmax().item()
    assert (result["steps"][0], result["steps"][-1]) == (1, length)
    assert min(length, 30) <= len(result["steps"]) <= 60
    assert len(result["linear_reading"]) == len(result["steps"])
    assert result["sensitivity"] == pytest.approx(sensitivity(trained.network, x).tolist(), rel=1e-5)
    assert len(result["sensitivity"]) == length
    # after one step nothing but the first digit was seen; a scalar tells most of the ten apart
    assert result["linear_reading"][0] == 1 if trained.encoding == "one_hot" else result["linear_reading"][0] > 0.3
    assert Image.open(tmp_path / "run" / "gates.png").size == (1350, 1350)


def test_the_units_shown_are_those_whose_memory_the_first_digit_explains(folders, tmp_path, monkeypatch, figures):
    figures(show_gates)
    shares, traced, asked, sides = torch.linspace(0, 0.5, 12), [], [], []
    shares[[2, 7]] = torch.tensor([0.9, 0.8])

    def drawn(*args, **side):
        sides.append(side)
        return draw_palindromes(*args, **side)

    monkeypatch.setattr(show_gates, "draw_palindromes", drawn)
    monkeypatch.setattr(show_gates, "trace", lambda *args: traced.append(trace(*args)) or traced[-1])
    monkeypatch.setattr(show_gates, "explained", lambda c, first: asked.append(c) or shares)
    seeds = zip("abc", "001", strict=True)
    result, again, other = (show(folders / "epochs", tmp_path / name, "--seed", seed) for name, seed in seeds)
    assert result == again and result["digits"] != other["digits"]
    assert sides == [{"held_out": True}] * 6  # never what it was trained on
    assert result["units"] == [2, 7, 11, 10, 9, 8]
    assert result["explained"] == pytest.approx(shares[result["units"]].tolist())
    assert asked[0].shape == (1000, 12) and torch.equal(asked[0], traced[0]["c"][-1])  # c(T) of many palindromes


def test_it_says_what_it_saw_and_refuses_digits_and_a_length_together(folders, tmp_path, answer):
    flags = ("--run", folders / "epochs", "--out_dir", tmp_path / "run", "--digits", "3", "3")
    status, out, err = answer(show_gates, *flags)
    said = read_json(tmp_path / "run" / "result.json")["answer"]
    assert (status, err) == (0, "") and f"first digit 3, the network's answer after 2 digits: {said}\n" in out
    status, _, err = answer(show_gates, "--digits", "1", "2", "--input_length", "5")
    assert status == 2 and "--input_length: is the length of a random palindrome; --digits names one" in err
