"""The command line: which values a flag takes, what a user is told about a mistake, and what a script prints."""

import argparse
import io
import os
import re
import sys
from pathlib import Path, PurePath
from types import SimpleNamespace

from common import cli
from common.cli import Table, UserError, print_line, progress_bar, quoted

import pytest
import torch

WHOLE, PART, POSITIVE = cli.int_between(3, 7), cli.float_between(0, 1), cli.float_between(0)
TAKEN = [(WHOLE, "3", 3), (WHOLE, "7", 7), (PART, "0.999", 0.999), (POSITIVE, "1e29", 1e29)]
TAKEN += [(cli.device, text, torch.device(text)) for text in ("cpu", "cuda", "cuda:1")]
NEITHER = ["nan", "inf", "-inf", "", "four", "1e999"]
REFUSED = [(WHOLE, text, "not a whole|not between 3 and 7") for text in ["2", "8", "4.0", "1e1", "9" * 5000, *NEITHER]]
REFUSED += [(PART, text, "not a number|not above 0 and below 1") for text in ["0", "1", "-0.5", "1e-999", *NEITHER]]
REFUSED += [(POSITIVE, text, r"not above 0 and below 1e\+30") for text in ["0", "inf", "nan", "1e999", "1e30"]]
REFUSED += [(cli.device, "cuda:2", "2 CUDA devices here; use auto or cpu")]
REFUSED += [(cli.device, "mps", "Apple GPUs are not supported")]
REFUSED += [(cli.device, text, "one of auto, cpu, cuda") for text in ["foo", "", "cuda:", "cuda:-1"]]


def test_a_value_within_its_limits_is_taken_and_everything_else_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for convert, text, value in [*TAKEN, (cli.device, "auto", torch.device("cuda"))]:
        assert convert(text) == value and type(convert(text)) is type(value)
    for convert, text, message in REFUSED:
        with pytest.raises(argparse.ArgumentTypeError, match=message):
            convert(text)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert cli.device("auto") == torch.device("cpu")


def test_a_mistake_is_answered_in_one_line_and_help_shows_the_description_and_the_defaults(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")  # a narrow terminal breaks lines
    long = "python s.py " + "--size 5 " * 12
    parser = cli.Parser(f"What it does\nand how.\n\n    python s.py   this\n    {long}   that\n\nThe end.")
    parser.add_argument("--size", type=cli.int_between(1), default=5, help="how many")
    parser.add_argument("--sizes", nargs="+", type=cli.float_between(1), default=[2.5, 3], help="all of them")
    parser.add_argument("--fast", action="store_true", help="not slowly")
    cli.add_shared_flags(parser)
    for flags in ("--size 0", "--siz 3", "--size", "3", "--seed -1", "--device foo", "--size=a\nb"):
        with pytest.raises(SystemExit, match="2"):
            parser.parse_args(flags.split(" "))
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1) and ": error: " in err
        assert ("did you mean --size?" in err) == (flags == "--siz 3")
    text = parser.format_help()
    assert "\nWhat it does and how.\n\n    python s.py   this\n    python s.py --size 5" in text
    assert re.search(r"--size 5 \\\n {8}--size 5( --size 5)*\n {8}that\n\nThe end\.\n", text), text
    assert "--size N" in text and "how many (default: 5)" in text and "all of them (default: 2.5 3)" in text
    assert re.search(r"\nthe run:\n  --seed N .*\(default: auto\)", text, re.DOTALL)
    assert "False" not in text and "None" not in text and max(map(len, text.splitlines())) <= 100


def test_a_path_may_begin_with_the_home_folder_and_none_is_refused_in_a_short_line(monkeypatch, tmp_path, capsys):
    """Whichever path is taken can be pasted as a flag: a name that begins with - or ~ is made absolute."""
    parser = cli.Parser("")
    cli.add_training_flags(parser)
    cli.add_shared_flags(parser)
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    taken = {"~/x": tmp_path / "home/x", "~": tmp_path / "home", "./~/x": tmp_path / "~/x", "-x": tmp_path / "-x"}
    (tmp_path / "file").touch()
    for text, path in {**taken, "new/~x": Path("new/~x"), "..": Path(".."), "file/x": Path("file/x")}.items():
        assert parser.parse_args([f"--out_dir={text}"]).out_dir == path
        assert parser.parse_args([f"--resume={text}"]).resume == path
    (tmp_path / "loop").symlink_to("loop")
    for text in ("", "x" * 300, f"~{'x' * 5000}", "~no such user/x", "loop/x"):
        for flag in ("--out_dir", "--resume", "--seed"):
            with pytest.raises(SystemExit, match="2"):
                parser.parse_args([flag, text])
            err = capsys.readouterr().err
            assert err.count("\n") == 1 and len(err) < 250 and f"argument {flag}: " in err


MEMORY = "s.py: error: not enough memory; choose less data or smaller sizes\n"
ERRORS = [(UserError("--x: no"), 2, "s.py: error: --x: no\n"), (UserError("a\nb", status=1), 1, "s.py: error: a b\n")]
ERRORS += [(OSError(28, "No space left on device", "x.pt"), 1, "s.py: error: x.pt: No space left on device\n")]
ERRORS += [(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 1, MEMORY)]
ERRORS += [(MemoryError(), 1, MEMORY), (torch.OutOfMemoryError("20 GiB"), 1, MEMORY), (KeyboardInterrupt(), 130, "")]


def test_call_turns_an_error_into_a_line_and_a_status_and_hides_no_defect(monkeypatch, capsys):
    def fail(error: BaseException):
        raise error

    monkeypatch.setattr(sys, "argv", ["part1/s.py"])
    for error, status, line in ERRORS:
        with pytest.raises(SystemExit) as caught:
            cli.call(lambda error=error: fail(error))
        assert (caught.value.code, capsys.readouterr().err) == (status, line)
    for defect in (ZeroDivisionError(), RuntimeError("mat1 and mat2 shapes")):
        with pytest.raises(type(defect)):
            cli.call(lambda error=defect: fail(error))


def test_a_terminal_without_greek_letters_shows_question_marks_and_nothing_fails_without_one(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    cli.call(lambda: print("σ → 0.5"))
    assert sys.stdout.buffer.getvalue() == b"? ? 0.5\n"  # there at once, without a flush
    said = []  # ipykernel's stream writes, and can be reconfigured in nothing
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(write=said.append, flush=lambda: None))
    cli.call(lambda: print("σ"))
    assert "".join(said) == "σ\n"
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, None)
    cli.call(lambda: print_line("unheard"))


def test_a_reader_who_has_left_is_no_error(monkeypatch, capsys):
    read, write = os.pipe()
    os.close(read)
    with monkeypatch.context() as patch, os.fdopen(write, "w") as stream, pytest.raises(SystemExit, match="1"):
        patch.setattr(sys, "stdout", stream)
        cli.call(lambda: print("unheard"))
    assert stream.closed and capsys.readouterr().err == ""  # Python would complain at exit if closing had failed


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_loses_what_is_printed_and_not_what_is_done(monkeypatch, capsys):
    done = []
    with monkeypatch.context() as patch, Path("/dev/full").open("w") as stream:
        patch.setattr(sys, "stdout", stream)
        cli.call(lambda: (print_line("lost"), done.append("work")))
    assert done == ["work"] and capsys.readouterr().err == ""


def test_a_path_gets_the_quotes_that_the_shell_needs(monkeypatch):
    assert (quoted(PurePath("my runs/a")), quoted(PurePath("runs/a"))) == ("'my runs/a'", "runs/a")
    monkeypatch.setattr(cli, "os", SimpleNamespace(name="nt"))
    assert (quoted(PurePath("C:/my runs")), quoted(PurePath("C:/runs"))) == ('"C:/my runs"', "C:/runs")


def test_a_table_is_aligned_and_leaves_out_what_it_has_no_column_for(capsys):
    table = Table(epoch="d", loss=".3f", validation_accuracy=".2f val_accuracy")
    table.print_row({"loss": 0.12345, "epoch": 7, "validation_accuracy": 0.5, "seconds": 3})
    table.print_row({"epoch": 1000, "validation_accuracy": 1.0})
    assert capsys.readouterr().out.splitlines() == [
        "  epoch    loss val_accuracy",
        "      7   0.123         0.50",
        "   1000                 1.00",
    ]


def test_a_line_goes_where_it_is_sent_and_the_bar_is_on_a_terminal_only(monkeypatch, capsys):
    print_line("hello")
    print_line("a warning", sys.stderr)
    assert capsys.readouterr() == ("hello\n", "a warning\n")
    for on_a_terminal in (True, False):
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        sys.stderr.isatty = lambda at=on_a_terminal: at
        with progress_bar(10, "epoch", done=4):
            pass
        assert ("4/10" in sys.stderr.getvalue()) == bool(sys.stderr.getvalue()) == on_a_terminal


@pytest.mark.parametrize("asked", [False, True])
def test_the_time_left_is_that_at_the_pace_so_far_and_a_log_says_it_once(asked, monkeypatch, capsys):
    """Of 100 steps 10 were done before; from then on each takes four seconds."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(cli, "time", clock)
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # no terminal
    bar, left = progress_bar(100, "batch", done=10), []
    for _ in range(5):
        clock.now += 4
        bar.update()
        left += [bar.left()] if asked else []
    assert left == ["05:56", "05:52", "05:48", "05:44", "05:40"][: len(left)] and bar.n == 15
    assert capsys.readouterr().out == ("" if asked else "batch 13 of 100; about 05:48 left\n")
