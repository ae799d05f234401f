"""The picture of the gates of a trained LSTM: what is measured is what is claimed, what is shown is what it does."""

from common.files import read_json, read_metrics
from common.seeds import stream_seed
from part1 import show_gates
from part1.networks.traces import explained, sensitivity, trace
from part1.networks.trained import load
from part1.show_gates import parse_args, read_linearly
from part1.tasks.palindrome import draw_palindromes

import numpy as np
import pytest
import torch
from PIL import Image


def test_the_first_digit_is_read_from_a_memory_as_far_as_it_holds_it():
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(10, (4000,), generator=generator)
    digit, noise = torch.eye(10)[first], torch.randn(4000, 30, generator=generator)
    assert read_linearly(digit, first) == 1
    assert read_linearly(100 + 0.01 * digit @ torch.randn(10, 10, generator=generator), first) == 1  # mixed, far off
    for nothing in (noise, 0 * noise):
        assert read_linearly(nothing, first) == pytest.approx(0.1, abs=0.03)  # guesses
    known = digit * (first < 5).unsqueeze(1)
    assert read_linearly(known, first) == pytest.approx(0.5 + 0.1, abs=0.04)  # and one of the others, always
    told = torch.cat([first[:2000], (first[2000:] + 1) % 10])  # the half that it is not fitted on is another's
    assert read_linearly(torch.eye(10)[told], first) == 0


def show(source, folder, *flags: str) -> tuple[dict, list[dict]]:
    """result.json, and the rows of metrics.jsonl."""
    show_gates.show_gates(parse_args(["--run", str(source), "--device", "cpu", "--out_dir", str(folder), *flags]))
    return read_json(folder / "result.json"), read_metrics(folder)


SHOWN = [("epochs", "--digits 7 3 1 1 3", 5), ("epochs", "--digits 7", 1), ("proved", "--input_length 100", 100)]


@pytest.mark.parametrize(("name", "flags", "length"), [*SHOWN, ("torch_lstm", "--input_length 12", 12)])
def test_the_result_is_what_the_network_does(name, flags, length, folders, tmp_path, capsys):
    (result, rows), trained = show(folders / name, tmp_path / "run", *flags.split()), load(folders / name)
    digits = torch.tensor([[row["digit"] for row in rows]])
    x, readings = trained.encode(digits), [row.get("linear_reading") for row in rows]
    assert result["network"] == str(folders / name) and [row["t"] for row in rows] == list(range(1, length + 1))
    if "--digits" in flags:
        assert digits[0].tolist() == [int(digit) for digit in flags.split()[1:]]
    else:
        assert torch.equal(digits[:, 1:], digits[:, 1:].flip(1))  # a palindrome without its last digit
    assert result["answer"] == trained.network(x).argmax().item()
    said = f"first digit {digits[0, 0]}, the network's answer after {length} digits: {result['answer']}\n"
    assert said in capsys.readouterr().out
    assert [row["sensitivity"] for row in rows] == pytest.approx(sensitivity(trained.network, x).tolist(), rel=1e-5)
    assert None not in (readings[0], readings[-1]) and min(length, 30) <= length - readings.count(None) <= 60
    # after one step nothing but the first digit was seen; a scalar tells most of the ten apart
    assert readings[0] == 1 if trained.encoding == "one_hot" else readings[0] > 0.3
    assert Image.open(tmp_path / "run" / "gates.png").size == (1350, 1350)


def test_what_is_measured_is_of_other_palindromes_than_the_one_shown(folders, tmp_path, figures):
    figures(show_gates)
    result, rows = show(folders / "epochs", tmp_path / "run", "--seed", "1")
    trained, rng = load(folders / "epochs"), np.random.default_rng(stream_seed(1, "gates"))
    shown, many = (draw_palindromes(n, 10, rng)[:, :-1] for n in (1, 1000))
    c, first = trace(trained.network, trained.encode(many))["c"], many[:, 0].long()
    shares = explained(c[-1], first)
    assert [row["digit"] for row in rows] == shown[0].tolist()
    assert result["units"] == shares.argsort(descending=True)[:6].tolist()
    assert result["explained"] == pytest.approx(shares[result["units"]].tolist())
    assert [row["linear_reading"] for row in rows] == pytest.approx([read_linearly(c_t, first) for c_t in c])
