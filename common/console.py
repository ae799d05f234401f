"""What a script prints while it works: lines, rows of a table, a progress bar. Only the main process prints."""

import contextlib
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from common import distributed


def quoted(path: Path) -> str:
    """The path with the quotes that a shell needs."""
    return subprocess.list2cmdline([str(path)]) if os.name == "nt" else shlex.quote(str(path))


def print_line(text: str = "", file: TextIO | None = None) -> None:
    """Print a line on `file` (standard output by default), above the progress bar if there is one.

    If a line cannot be printed, because the disk is full or the terminal is gone, it is lost and training continues.
    """
    if distributed.IS_MAIN:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            tqdm.write(text, file=file)


def progress_bar(total: int, unit: str, done: int = 0, delay: float = 0) -> tqdm:
    """A progress bar on a terminal, shown after `delay` seconds. In a log file or a pipe there is none."""
    quiet = not (distributed.IS_MAIN and hasattr(sys.stderr, "isatty") and sys.stderr.isatty())
    scale = total >= 10**6  # 1.2M, not 1234567
    return tqdm(total=total, initial=done, unit=unit, disable=quiet, leave=False, delay=delay, unit_scale=scale)


class Table:
    """Prints rows in aligned columns, one by one. Table(epoch="d", loss=".4f") names the columns and their formats."""

    def __init__(self, **formats: str):
        self.formats = formats
        self._has_header = False

    def print_row(self, row: dict) -> None:
        """Print the row's numbers. A missing number leaves its column empty; numbers without a column are left out."""
        if not self._has_header:
            print_line(" ".join(f"{name:>8}" for name in self.formats))
            self._has_header = True
        cells = {name: format(row[name], spec) if name in row else "" for name, spec in self.formats.items()}
        print_line(" ".join(f"{cell:>{max(8, len(name))}}" for name, cell in cells.items()).rstrip())
