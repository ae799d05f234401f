"""The command line: flags and their types, errors in one line, and what a script prints while it works."""

import argparse
import contextlib
import difflib
import functools
import os
import re
import shlex
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import torch
from tqdm import tqdm

RUN = "a run's folder, or a checkpoint; if not given, the newest finished run, else the pretrained network"


class UserError(Exception):
    """An error that the user can correct. The message is one line: the flag or file, what is wrong, what to do.

    `status` is the exit status: 2 for bad input, 1 for a run that could not go on.
    """

    def __init__(self, message: str, status: int = 2):
        super().__init__(message)
        self.status = status


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows each flag's default, if it has one, and the script's docstring: paragraphs filled, other lines kept.

    A block with a gap of three spaces keeps its lines. If one is too long, what stands after the gap moves below it,
    and a command gets a backslash.
    """

    def _get_help_string(self, action: argparse.Action) -> str:
        if isinstance(action.default, list):
            return f"{action.help} (default: {' '.join(map(str, action.default))})"
        has_default = action.default is not None and action.default is not False
        return super()._get_help_string(action) if has_default else action.help

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        return getattr(action.type, "metavar", "PATH" if action.type is Path else action.dest.upper())

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        wrap, lines = functools.partial(textwrap.wrap, break_on_hyphens=False, break_long_words=False), []
        for block in text.split("\n\n"):
            for line in block.splitlines() if "   " in block else wrap(block, width):
                command, *remark = re.split(r"(?<=\S) {3,}", line) if len(line) > width else [line]
                lines += [" \\\n        ".join(wrap(command, width - 2 * (len(command) > width)))]
                lines += [f"        {text}" for text in remark]
            lines.append("")
        return "\n".join(lines)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser without abbreviations of flags. A mistake gets a message of one line and exit status 2.

    The values of `type=Path` are checked by `existing_or_new`.
    """

    def __init__(self, description: str):
        super().__init__(description=description, formatter_class=_HelpFormatter, allow_abbrev=False)
        self.register("type", Path, existing_or_new)

    @functools.cached_property
    def run(self) -> argparse._ArgumentGroup:
        """The flags that most scripts share stand together, below the script's own."""
        return self.add_argument_group("the run")

    def error(self, message: str):
        unknown = re.match(r"unrecognized arguments: (--\w+)", message)
        if unknown and (close := difflib.get_close_matches(unknown[1], self._option_string_actions, 1, 0.65)):
            message += f"; did you mean {close[0]}?"
        short = re.sub(r"(\S{60})\S{60,}(\S{30})", r"\1…\2", " ".join(message.split()))
        self.exit(2, f"{self.prog}: error: {short}\n")


def existing_or_new(text: str) -> Path:
    """A path, with ~ as the home folder. If its name begins with - or ~, it is absolute, so that it can be pasted."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; the current folder is .")
    try:
        path = Path(text).expanduser() if text.startswith("~") else Path(text)
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # it may be a new one
    except (OSError, RuntimeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text}: cannot be used ({getattr(error, 'strerror', error)})") from None
    return path.absolute() if str(path).startswith(("-", "~")) else path


def _between(kind: type, what: str, fits: Callable[[float], bool], limits: str) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None
        if not fits(value):
            raise argparse.ArgumentTypeError(f"{text} is not {limits}")
        return value

    convert.metavar = "N" if kind is int else "X"
    return convert


def int_between(minimum: int, maximum: int = 2**31 - 1) -> Callable[[str], int]:
    """The type of a flag that takes a whole number from `minimum` to `maximum`."""
    return _between(int, "a whole number", lambda n: minimum <= n <= maximum, f"between {minimum:,} and {maximum:,}")


def float_between(above: float, below: float = 1e30) -> Callable[[str], float]:
    """The type of a flag that takes a number strictly between `above` and `below` (and far below float32's limit)."""
    return _between(float, "a number", lambda x: above < x < below, f"above {above:g} and below {below:g}")


def device(text: str) -> torch.device:
    """The type of --device; auto takes CUDA if there is a CUDA device."""
    count = torch.cuda.device_count()
    if text == "auto":
        return torch.device("cuda" if count else "cpu")
    try:
        chosen = torch.device(text)
    except RuntimeError:
        chosen = None
    if not chosen or chosen.type not in ("cpu", "cuda"):
        apple = "; Apple GPUs are not supported" if text == "mps" else ""
        raise argparse.ArgumentTypeError(f"{text!r} is not one of auto, cpu, cuda, cuda:0, cuda:1, …{apple}")
    if chosen.type == "cuda" and (chosen.index or 0) >= count:
        found = f"{count or 'no'} CUDA device{'s' * (count > 1)}"
        raise argparse.ArgumentTypeError(f"{text} was asked for, but PyTorch finds {found} here; use auto or cpu")
    return chosen


seed = int_between(0, 2**63 - 1)


def add_seed_and_device(parser: Parser) -> None:
    """--seed and --device, the same in every script."""
    parser.run.add_argument("--seed", type=seed, default=0, help="same seed, machine, versions and threads: same bits")
    parser.run.add_argument("--device", type=device, default="auto", help="auto, cpu, cuda or cuda:N")


def add_shared_flags(parser: Parser) -> None:
    """--seed, --device and --out_dir, the same in every script that makes a run."""
    add_seed_and_device(parser)
    parser.run.add_argument("--out_dir", type=Path, help="the run's folder; if not given, a new one under outputs/")


def add_training_flags(parser: Parser) -> None:
    """The flags of the training scripts whose runs can be resumed: checkpoints, threads, bits, TensorBoard."""
    add = parser.run.add_argument
    add("--resume", nargs="?", type=Path, const=True, metavar="FOLDER", help="resume it, or the newest unfinished run")
    add("--checkpoint_interval", type=int_between(0), default=60, help="seconds between checkpoints; 0: every batch")
    add("--threads", type=int_between(1, 1024), help="processor threads; if not given, PyTorch's choice")
    add("--deterministic", action="store_true", help="same bits on CUDA too, by slower algorithms")
    add("--tensorboard", action="store_true", help="write scalars and grids for TensorBoard too (it must be installed)")


def call(main: Callable[[], object]) -> None:
    """Call a script's main function. An error of the user or of the machine becomes one line and an exit status.

    The status is 2 for bad input (UserError), 1 for a full disk or not enough memory, 130 for Ctrl-C. It is 1, without
    a line, if the reader of the output has closed it, as `| head` does. Pictures are drawn without a display, and
    without a user's matplotlibrc.
    """
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's stream cannot; there may be none
            # A log file shows each line at once. If its encoding has no σ or →, it gets a question mark instead.
            stream.reconfigure(line_buffering=True, errors="replace")
    message, status = "", 0
    try:
        main()
    except UserError as error:
        message, status = str(error), error.status
    except BrokenPipeError:
        status = 1
    except OSError as error:
        message, status = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part), 1
    except (MemoryError, RuntimeError) as error:  # PyTorch and NumPy have several for too little memory
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        message, status = "not enough memory; choose less data or smaller sizes", 1
    except KeyboardInterrupt:
        status = 130
    except SystemExit as exit_:
        status = exit_.code
    if message:
        with contextlib.suppress(OSError):
            print(f"{Path(sys.argv[0]).name}: error: {' '.join(message.split())}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):  # closed, or the disk is full: Python would complain at exit
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if status:
        sys.exit(status)


def quoted(path: Path) -> str:
    """The path with the quotes that a shell needs."""
    return subprocess.list2cmdline([str(path)]) if os.name == "nt" else shlex.quote(str(path))


def print_line(text: str = "", file: TextIO | None = None) -> None:
    """Print a line on `file` (standard output by default), above the progress bar if there is one.

    If a line cannot be printed, because the disk is full or the terminal is gone, it is lost and training continues.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        tqdm.write(text, file=file)


class ProgressBar(tqdm):
    """A bar on a terminal. In a log or a pipe, one line after ten seconds, unless `left` was asked for before."""

    def __init__(self, total: int, unit: str, done: int, **settings):
        self._began, self._done, self._unit, self._is_said = time.monotonic(), done, unit, False
        super().__init__(total=total, initial=done, unit=unit, **settings)

    def update(self, n: float = 1) -> None:
        super().update(n)
        if self.disable:
            self.n += n
            if not self._is_said and time.monotonic() - self._began > 10:
                print_line(f"{self._unit} {self.n:,} of {self.total:,}; about {self.left()} left")
        elif self.n >= self.total:
            self.close()  # so that nobody waits for it

    def left(self) -> str:
        """The time left at the mean pace so far, as 12:03 or 1:12:03."""
        self._is_said, pace = True, (time.monotonic() - self._began) / max(self.n - self._done, 1)
        return self.format_interval(pace * (self.total - self.n))


def progress_bar(total: int, unit: str, done: int = 0, delay: float = 0) -> ProgressBar:
    """A progress bar, on a terminal shown after `delay` seconds."""
    quiet = not (hasattr(sys.stderr, "isatty") and sys.stderr.isatty())
    scale = total >= 10**6  # 1.2M, not 1234567
    return ProgressBar(total, unit, done, disable=quiet, leave=False, delay=delay, unit_scale=scale)


class Table:
    """Prints rows in aligned columns, one by one.

    Table(epoch="d", validation_loss=".4f val_loss") names the columns, their formats, and heads other than the names.
    """

    def __init__(self, **formats: str):
        self._columns = {name: text.partition(" ")[::2] for name, text in formats.items()}  # (format, head)
        self._has_header = False

    def print_row(self, row: dict) -> None:
        """Print the row's numbers. A missing number leaves its column empty; numbers without a column are left out."""
        if not self._has_header:
            print_line(" ".join(f"{head or name:>7}" for name, (_, head) in self._columns.items()))
            self._has_header = True
        cells = [
            f"{format(row[name], spec) if name in row else '':>{max(7, len(head or name))}}"
            for name, (spec, head) in self._columns.items()
        ]
        print_line(" ".join(cells).rstrip())
