"""The picture of the gates of a trained LSTM: what is measured is what is claimed, what is shown is what it does."""

import pytest
import torch
from PIL import Image

from common.files import read_json
from part1 import show_gates
from part1.networks import load_network
from part1.palindromes import encode
from part1.show_gates import parse_args, read_linearly
from part1.traces import sensitivity, trace
from tests.tiny_runs import PART1, stop, without


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
    result, lstm = show(folders / name, tmp_path / "run", *flags.split()), load_network(folders / name)
    digits = torch.tensor([result["digits"]])
    assert result["network"] == str(folders / name) and digits.shape == (1, length)
    assert "--digits" not in flags or result["digits"] == [int(digit) for digit in flags.split()[1:]]
    assert "--digits" in flags or torch.equal(digits[:, 1:], digits[:, 1:].flip(1))  # without its last digit
    assert result["answer"] == lstm(encode(digits, lstm.encoding)).argmax().item()
    assert (result["steps"][0], result["steps"][-1]) == (1, length)
    assert min(length, 30) <= len(result["steps"]) <= 60
    assert len(result["linear_reading"]) == len(result["steps"])
    assert result["sensitivity"] == pytest.approx(sensitivity(lstm, digits).tolist(), rel=1e-5)
    assert len(result["sensitivity"]) == length
    # after one step nothing but the first digit was seen; a scalar tells most of the ten apart
    assert result["linear_reading"][0] == 1 if lstm.encoding == "one_hot" else result["linear_reading"][0] > 0.3
    assert Image.open(tmp_path / "run" / "gates.png").size == (1350, 1350)


@pytest.mark.parametrize(("length", "spans"), [(12, [12]), (100, [20, 100])])
def test_the_picture_shows_the_gates_the_memory_and_the_readings(length, spans, folders, tmp_path, figures):
    saved, lstm = figures(show_gates), load_network(folders / "one_hot")
    result = show(folders / "one_hot", tmp_path / "run", "--input_length", str(length))
    digits, units = torch.tensor([result["digits"]], dtype=torch.uint8), result["units"]
    traced = {name: value[:, 0] for name, value in trace(lstm, digits).items()}
    panels = saved[0].axes[: 7 * len(spans)]
    for column, span in enumerate(spans):
        strip, *maps, memory, answer, curve = panels[column :: len(spans)]
        texts = [int(text.get_text()) for text in strip.texts] or strip.images[0].get_array()[0].tolist()
        assert texts == result["digits"][:span]
        for axes, name in zip(maps, "ifo", strict=True):
            assert torch.equal(torch.tensor(axes.images[0].get_array()), traced[name][:span, units].T)
            assert axes.images[0].get_clim() == (0, 1)
        for unit, line in zip(units, memory.lines, strict=True):
            c = traced["c"][:span, unit].tolist()
            assert line.get_xydata().tolist() == [[t, value] for t, value in enumerate(c, start=1)]
        surely, readings = (line.get_xydata() for line in curve.lines)
        of_the_first = lstm.fc(traced["h"][:span]).softmax(1)[:, digits[0, 0].long()]
        assert surely[:, 1].tolist() == pytest.approx(of_the_first.tolist(), abs=1e-5)
        known = zip(result["steps"], result["linear_reading"], strict=True)
        assert readings.tolist() == [[step, share] for step, share in known if step <= span]
        assert answer.lines[0].get_xydata().tolist() == [[t, result["sensitivity"][t - 1]] for t in range(1, span + 1)]
        assert answer.get_yscale() == "log"
        assert len({str(line.get_linestyle()) + line.get_color() for line in memory.lines}) == len(units)
    assert [label.get_text() for label in panels[len(spans)].get_yticklabels()] == [str(unit) for unit in units]
    from_below = [units[k] for k in traced["c"][-1, units].argsort()]
    assert [text.get_text() for text in memory.texts] == [str(unit) for unit in from_below]


def test_the_units_shown_are_those_whose_memory_the_first_digit_explains(folders, tmp_path, monkeypatch, figures):
    figures(show_gates)
    shares, traced, asked = torch.linspace(0, 0.5, 12), [], []
    shares[[2, 7]] = torch.tensor([0.9, 0.8])
    monkeypatch.setattr(show_gates, "trace", lambda *args: traced.append(trace(*args)) or traced[-1])
    monkeypatch.setattr(show_gates, "explained", lambda c, first: asked.append(c) or shares)
    seeds = zip("abc", "001", strict=True)
    result, again, other = (show(folders / "epochs", tmp_path / name, "--seed", seed) for name, seed in seeds)
    assert result == again and result["digits"] != other["digits"]
    assert result["units"] == [2, 7, 11, 10, 9, 8]
    assert result["explained"] == pytest.approx(shares[result["units"]].tolist())
    assert asked[0].shape == (1000, 12) and torch.equal(asked[0], traced[0]["c"][-1])  # c(T) of many palindromes


@pytest.mark.usefixtures("light")
def test_without_a_name_the_newest_finished_run_is_shown(outputs, answer):
    for name in ("older", "newer"):
        PART1.start(outputs / "part1" / name, "--num_hidden", "12", "--max_epoch", "1")
    stop(PART1.start, 1, outputs / "part1" / "unfinished")
    status, out, err = answer(show_gates)
    (folder,) = (outputs / "part1").glob("gates-T10-*")
    result = read_json(folder / "result.json")
    assert (status, err, result["network"]) == (0, "", str(outputs / "part1" / "newer"))
    assert f"first digit {result['digits'][0]}, the network's answer after 10 digits: {result['answer']}" in out


def test_digits_and_a_length_are_not_given_together(answer):
    status, _, err = answer(show_gates, "--digits", "1", "2", "--input_length", "5")
    assert status == 2 and "--input_length: is the length of a random palindrome; --digits names one" in err


NO_GATES = {"rnn": "is no LSTM; name a run of --model lstm", "stopped": "has no trained network yet"}


@pytest.mark.parametrize(("name", "said"), NO_GATES.items())
def test_where_there_are_no_gates_to_show_it_says_so_and_nothing_is_written(name, said, folders, outputs, answer):
    status, out, err = answer(show_gates, "--run", folders / name)
    assert (status, len(out.splitlines()), len(err.splitlines())) == (2, 1, 1)
    assert err.startswith("show_gates.py: error: ") and said in err and not outputs.exists()
