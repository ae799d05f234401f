"""What a script prints: aligned lines in a log file, a bar on a terminal, and of several processes one speaks."""

import io
import sys

import pytest

from common import distributed
from common.console import Table, print_line, progress_bar


def test_a_table_is_aligned_and_leaves_out_what_it_has_no_column_for(capsys):
    table = Table(epoch="d", loss=".3f", validation_accuracy=".2f")
    table.print_row({"loss": 0.12345, "epoch": 7, "validation_accuracy": 0.5, "seconds": 3})
    table.print_row({"epoch": 1000, "validation_accuracy": 1.0})
    assert capsys.readouterr().out.splitlines() == [
        "   epoch     loss validation_accuracy",
        "       7    0.123                0.50",
        "    1000                         1.00",
    ]


@pytest.mark.parametrize("is_main", [True, False])
@pytest.mark.parametrize("on_a_terminal", [True, False])
def test_lines_are_the_main_process_s_and_so_is_the_bar_on_a_terminal(is_main, on_a_terminal, monkeypatch, capsys):
    monkeypatch.setattr(distributed, "IS_MAIN", is_main)
    print_line("hello")
    print_line("a warning", sys.stderr)
    assert capsys.readouterr() == (("hello\n", "a warning\n") if is_main else ("", ""))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: on_a_terminal, raising=False)
    with progress_bar(10, "epoch", done=4):
        pass
    assert ("4/10" in sys.stderr.getvalue()) == bool(sys.stderr.getvalue()) == (is_main and on_a_terminal)
