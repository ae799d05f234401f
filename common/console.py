"""What a script prints while it works, in the main process alone: lines, rows of a table, a progress bar."""

import sys
from typing import TextIO

from tqdm import tqdm

from common import distributed


def print_line(text: str = "", file: TextIO | None = None) -> None:
    """Print a line on `file`, standard output if none is named, above the progress bar if there is one."""
    if distributed.IS_MAIN:
        tqdm.write(text, file=file)


def progress_bar(total: int, unit: str, done: int = 0) -> tqdm:
    """A progress bar on a terminal; nothing in a log file or a pipe."""
    quiet = not (distributed.IS_MAIN and sys.stderr is not None and sys.stderr.isatty())
    return tqdm(total=total, initial=done, unit=unit, disable=quiet, leave=False)


class Table:
    """Rows in aligned columns, printed one by one: Table(epoch="d", loss=".4f") names columns and their formats."""

    def __init__(self, **formats: str):
        self.formats = formats
        self._has_header = False

    def print_row(self, row: dict) -> None:
        """A line of `row`'s numbers; where one is missing its column stays empty, others are left out."""
        if not self._has_header:
            print_line(" ".join(f"{name:>8}" for name in self.formats))
            self._has_header = True
        cells = {name: format(row[name], spec) if name in row else "" for name, spec in self.formats.items()}
        print_line(" ".join(f"{cell:>{max(8, len(name))}}" for name, cell in cells.items()).rstrip())
