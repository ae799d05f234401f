"""The command line: which values a flag takes, and what a user is told about a mistake."""

import argparse
import io
import subprocess
import sys

import pytest
import torch

from common import cli
from common.cli import UserError
from tests.conftest import ROOT

WHOLE, PART, POSITIVE = cli.int_between(3, 7), cli.float_between(0, 1), cli.float_between(0)
TAKEN = [(WHOLE, "3", 3), (WHOLE, "7", 7), (WHOLE, " +4 ", 4), (PART, "0.999", 0.999), (POSITIVE, "1e300", 1e300)]
TAKEN += [(cli.device, text, torch.device(text)) for text in ("cpu", "cuda", "cuda:1")]
NEITHER = ["nan", "inf", "-inf", "", "four", "1e999"]
REFUSED = [(WHOLE, text, "not a whole|not between 3 and 7") for text in ["2", "8", "4.0", "1e1", "9" * 5000, *NEITHER]]
REFUSED += [(PART, text, "not a number|not above 0 and below 1") for text in ["0", "1", "-0.5", "1e-999", *NEITHER]]
REFUSED += [(POSITIVE, text, "not above 0, and finite") for text in ["0", "inf", "nan", "1e999"]]
REFUSED += [(cli.device, "cuda:2", "2 CUDA devices here; use auto or cpu")]
NO_DEVICE = ["foo", "", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "cuda:1:1", "mps"]
REFUSED += [(cli.device, text, "one of auto, cpu, cuda") for text in NO_DEVICE]


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize(("convert", "text", "value"), TAKEN)
def test_a_value_within_its_limits_is_taken(convert, text, value):
    assert convert(text) == value and type(convert(text)) is type(value)


@pytest.mark.parametrize(("convert", "text", "message"), REFUSED)
def test_everything_else_is_refused(convert, text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        convert(text)


def test_device_auto_takes_cuda_where_there_is_one(monkeypatch):
    for found, device in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        assert cli.device("auto") == torch.device(device)


@pytest.fixture
def parser():
    parser = cli.Parser("What it does.\n\n    how it is started")
    parser.add_argument("--size", type=cli.int_between(1), default=5, help="how many")
    parser.add_argument("--fast", action="store_true", help="not slowly")
    cli.add_shared_flags(parser)
    return parser


@pytest.mark.parametrize("flags", ["--size 0", "--siz 3", "--size", "3", "--seed -1", "--device foo", "--size=a\nb"])
def test_a_mistake_is_answered_in_one_line_with_status_2(flags, parser, capsys):
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(flags.split(" "))
    out, err = capsys.readouterr()
    assert (caught.value.code, out, err.count("\n")) == (2, "", 1) and ": error: " in err


def test_help_shows_the_description_as_it_stands_and_each_default_that_says_something(parser):
    text = parser.format_help()
    assert "What it does.\n\n    how it is started" in text
    assert "how many (default: 5)" in text and "(default: auto)" in text
    assert "False" not in text and "None" not in text


MEMORY = "s.py: error: not enough memory; choose less data or smaller sizes\n"
ERRORS = [(UserError("--x: no"), 2, "s.py: error: --x: no\n"), (UserError("a\nb", status=1), 1, "s.py: error: a b\n")]
ERRORS += [(OSError(28, "No space left on device", "x.pt"), 1, "s.py: error: x.pt: No space left on device\n")]
MISFIT = "s.py: error: torchvision was not built for this torch; uninstall both, then install both as README.md says\n"
ERRORS += [(RuntimeError("operator torchvision::nms does not exist"), 1, MISFIT)]
ERRORS += [(MemoryError(), 1, MEMORY), (torch.OutOfMemoryError("20 GiB"), 1, MEMORY), (KeyboardInterrupt(), 130, "")]


@pytest.mark.parametrize(("raised", "status", "err"), ERRORS, ids=lambda value: type(value).__name__)
def test_call_turns_an_error_into_a_line_and_a_status(raised, status, err, monkeypatch, capsys):
    def main():
        raise raised

    monkeypatch.setattr(sys, "argv", ["part1/s.py"])
    with pytest.raises(SystemExit) as caught:
        cli.call(main)
    assert (caught.value.code, capsys.readouterr().err) == (status, err)


def test_a_defect_is_not_hidden_by_call():
    for defect in (lambda: 1 / 0, lambda: torch.zeros(2) @ torch.zeros(3)):
        with pytest.raises((ZeroDivisionError, RuntimeError)):
            cli.call(defect)


def test_a_terminal_without_greek_letters_shows_question_marks(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    cli.call(lambda: print("σ → 0.5"))
    assert sys.stdout.buffer.getvalue() == b"? ? 0.5\n"  # there at once, without a flush


def test_a_reader_who_has_left_is_no_error():
    command = "from common import cli; cli.call(lambda: [print(k) for k in range(100_000)])"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", command], cwd=ROOT, **pipes) as process:
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 1
