"""Seeds and the command line."""

import argparse
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common import cli, seeds
from common.cli import UserError
from tests.conftest import ROOT

numbers, purposes = st.integers(0, 2**63 - 1), st.lists(st.text(max_size=5) | st.integers(0, 99), max_size=3)


@given(numbers, purposes)
def test_the_same_purpose_draws_the_same(seed, purpose):
    first, second = (torch.rand(3, generator=seeds.generator(seed, *purpose)) for _ in range(2))
    assert torch.equal(first, second)


@given(numbers, purposes, purposes)
def test_another_purpose_is_another_stream(seed, purpose, other):
    assert (seeds.stream_seed(seed, *purpose) == seeds.stream_seed(seed, *other)) == (purpose == other)


@given(numbers, numbers, purposes)
def test_another_seed_is_another_stream(seed, other, purpose):
    assert (seeds.stream_seed(seed, *purpose) == seeds.stream_seed(other, *purpose)) == (seed == other)


def test_purposes_that_look_alike_are_told_apart():
    alike = [(), ("noise",), ("noise", 1), ("noise", "1"), ("noise1",), ("noise", 1, 1), ("noise", 11), (1, "noise")]
    assert len({seeds.stream_seed(0, *purpose) for purpose in alike}) == len(alike)


@given(numbers, purposes)
def test_a_stream_seed_fits_every_generator(seed, purpose):
    assert 0 <= seeds.stream_seed(seed, *purpose) < 2**63


def test_drawing_from_one_stream_leaves_the_others_alone():
    noise, order = seeds.generator(0, "noise"), seeds.generator(0, "order")
    torch.manual_seed(5)
    torch.rand(100, generator=noise)
    drawn, drawn_globally = torch.rand(3, generator=order), torch.rand(3)
    assert torch.equal(drawn, torch.rand(3, generator=seeds.generator(0, "order")))
    assert torch.equal(drawn_globally, torch.rand(3, generator=torch.Generator().manual_seed(5)))


@pytest.mark.parametrize("text", ["3", "7", "+5", " 4 "])
def test_whole_takes_whole_numbers_within_its_limits(text):
    assert cli.whole(3, 7)(text) == int(text)


@pytest.mark.parametrize("text", ["2", "8", "-3", "4.0", "4.5", "nan", "inf", "", "four", "1e3", "9" * 5000])
def test_whole_refuses_everything_else(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"not a whole number|not between 3 and 7"):
        cli.whole(3, 7)(text)


@pytest.mark.parametrize(("text", "value"), [("0.5", 0.5), ("1e-9", 1e-9), ("0.999", 0.999)])
def test_real_takes_numbers_between_its_limits(text, value):
    assert cli.real(0, 1)(text) == value


@pytest.mark.parametrize("text", ["0", "1", "-0.5", "2", "nan", "inf", "-inf", "", "half", "1e999", "1e-999"])
def test_real_refuses_its_limits_and_everything_else(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"not a number|not above 0 and below 1"):
        cli.real(0, 1)(text)


@pytest.mark.parametrize("text", ["inf", "nan", "1e999"])
def test_real_without_an_upper_limit_still_wants_a_finite_number(text):
    with pytest.raises(argparse.ArgumentTypeError, match="finite"):
        cli.real(0)(text)


@pytest.mark.parametrize(("found", "text", "device"), [(0, "auto", "cpu"), (2, "auto", "cuda"), (0, "cpu", "cpu")])
def test_device_auto_takes_cuda_where_there_is_one(found, text, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found > 0)
    assert cli.device(text) == torch.device(device)


@pytest.mark.parametrize(("text", "index"), [("cuda", None), ("cuda:0", 0), ("cuda:1", 1)])
def test_device_takes_a_cuda_device_that_is_there(text, index, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert cli.device(text) == torch.device("cuda", index)


@pytest.mark.parametrize("found", [0, 2])
@pytest.mark.parametrize(
    "text", ["cuda:2", "foo", "", "cpu:0", "cpu:", "cuda:", "cuda:-1", "cuda:x", "cuda:1:1", "mps"]
)
def test_device_refuses_what_is_not_there(text, found, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    with pytest.raises(argparse.ArgumentTypeError):
        cli.device(text)


@pytest.fixture
def parser():
    parser = cli.Parser("What it does.\n\n    how it is started")
    parser.add_argument("--size", type=cli.whole(1), default=5, help="how many")
    cli.add_shared_flags(parser)
    return parser


BAD_FLAGS = ["--size 0", "--siz 3", "--foo", "--size", "3", "--seed -1", "--device foo", "--size=a\nb", "--a\nb"]


@pytest.mark.parametrize("flags", BAD_FLAGS)
def test_a_mistake_is_answered_in_one_line_with_status_2(flags, parser, capsys):
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(flags.split(" "))
    out, err = capsys.readouterr()
    assert caught.value.code == 2 and out == ""
    assert len(err.splitlines()) == 1 and ": error: " in err


def test_help_shows_the_description_as_it_stands_and_every_default(parser):
    text = parser.format_help()
    assert "What it does.\n\n    how it is started" in text
    assert "how many (default: 5)" in text and "(default: auto)" in text


@pytest.mark.parametrize(
    ("raised", "status", "err"),
    [
        (UserError("--x: no"), 2, "s.py: error: --x: no\n"),
        (UserError("the disk is full", status=1), 1, "s.py: error: the disk is full\n"),
        (OSError(28, "No space left on device", "x.pt"), 1, "s.py: error: x.pt: No space left on device\n"),
        (MemoryError(), 1, "s.py: error: not enough memory; ask for less data or smaller sizes\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_call_turns_an_error_into_a_line_and_a_status(raised, status, err, monkeypatch, capsys):
    def main():
        raise raised

    monkeypatch.setattr(sys, "argv", ["part1/s.py"])
    with pytest.raises(SystemExit) as caught:
        cli.call(main)
    assert caught.value.code == status and capsys.readouterr().err == err


def test_a_reader_who_has_left_is_no_error():
    command = "from common import cli; cli.call(lambda: [print(k) for k in range(100_000)])"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", command], cwd=ROOT, **pipes) as process:
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 1


def test_memory_that_pytorch_cannot_get_is_one_line_too(monkeypatch, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.call(lambda: torch.empty(2**60))
    assert caught.value.code == 1 and "not enough memory" in capsys.readouterr().err


@pytest.mark.parametrize("defect", [lambda: 1 / 0, lambda: torch.zeros(2) @ torch.zeros(3)])
def test_a_defect_is_not_hidden_by_call(defect):
    with pytest.raises((ZeroDivisionError, RuntimeError)):
        cli.call(defect)
