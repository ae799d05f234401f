"""Every number on the pages is that of a cell of the recorded tables.

For each section of a page numbers_readme, numbers_report or numbers_notes builds pieces of its text from cells; where
a number comes from that no cell holds, stands before its piece in [brackets]. Each piece must stand in the section, and
each number of the section in a piece: in prose one with a decimal point, an exponent or three digits, or of two digits
before a unit; in tables all.
"""

import re
from functools import cache
from types import SimpleNamespace
from typing import NamedTuple

from tests import numbers_help, numbers_notes, numbers_readme, numbers_report
from tests.conftest import ROOT
from tests.numbers_records import pieces as split

import pytest

PAGES = {"README.md": numbers_readme, "report.md": numbers_report, "outputs/report/NOTES.md": numbers_notes}
PAGES["HELP.md"] = numbers_help
PAGES["outputs/pretrained/README.md"] = SimpleNamespace(SECTIONS=numbers_readme.CARDS)
LEFT_OUT = r"(?ms)^```.*?^```|^    [^\n]*"  # commands and equations
UNIT = r"(?=((?:[\d.,:\s]|and|to|or|of)*\s?(?:%|s|min|epochs|ms|µs)(?!\w))?)"
NUMBER = re.compile(r"(?<![\w.,^/])(?<!\w-)(?:\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(e-\d+)?(?![\w^]|,\d|\.\d)" + UNIT)
YEAR = re.compile(r"(19|20)\d\d")
TABLES_OF_WORDS = ("what", "command", "item of REFORMS")  # headings of first columns


class Section(NamedTuple):
    """Its text without links and line breaks, and from where to where in it rows of numbers stand."""

    text: str = ""
    tables: tuple[tuple[int, int], ...] = ()


def sections(page: str) -> dict[str, Section]:
    """By headings: "Part 1 / Speed"; before the first one: ""."""
    found, names, table = {}, ["", ""], []
    for line in re.sub(LEFT_OUT, "", (ROOT / page).read_text(encoding="utf-8")).splitlines():
        if heading := re.match("(##+) (.*)", line):
            names = [heading[2], ""] if heading[1] == "##" else [names[0], heading[2]]
            continue
        text, tables = found.setdefault(" / ".join(filter(None, names)), Section())
        line = " ".join(re.sub(r"\*\*|!?\[([^]]*)\]\([^)]*\)", r"\1", line).split()) + " "
        table = [*table, line] if line.startswith("|") else []
        if len(table) > 2 and table[0].strip("| ").split(" |")[0] not in TABLES_OF_WORDS:  # below the heading
            tables += ((len(text), len(text + line)),)
        found[" / ".join(filter(None, names))] = Section(text + line, tables)
    return found


def numbers(section: Section) -> list[tuple[int, int]]:
    """Where the numbers stand that need a cell."""
    code = [match.span() for match in re.finditer("`[^`]*`", section.text)]
    found = []
    for match in NUMBER.finditer(section.text):
        decimals, power, unit = match.groups()
        start, end = match.span()
        long = decimals or power or end - start > (1 if unit else 2)
        needed = long or any(a <= start < b for a, b in section.tables)
        if needed and not YEAR.fullmatch(match[0]) and not any(a < start < b for a, b in code):
            found.append((start, end))
    return found


def places(piece: str, text: str) -> list[tuple[int, int]]:
    """Where a piece stands; not within a longer number."""
    pattern = r"(?<![\d.,])" * piece[0].isdigit() + re.escape(piece) + r"(?![.,]?\d)" * piece[-1].isdigit()
    return [match.span() for match in re.finditer(pattern, text)]


@cache
def pieces(page: str) -> dict[str, tuple[list[str], list[str]]]:
    """Section → the pieces that it must hold, and rows of tables that it may hold."""
    of, rows = PAGES[page].SECTIONS, getattr(PAGES[page], "ROWS", {})
    must = {name: split(of[name]) if isinstance(of[name], str) else of[name]() for name in of}
    return {name: (must.get(name, []), rows.get(name, list)()) for name in {*of, *rows}}


def mistakes(section: Section, must: list[str], may: list[str]) -> list[str]:
    """The pieces that a section lacks, and its numbers that are in no piece."""
    found = {piece: places(piece, section.text) for piece in [*must, *may]}
    wrong = [f"lacks {piece!r}" for piece in must if not found[piece]]
    held = [place for of in found.values() for place in of]
    for start, end in numbers(section):
        if not any(a <= start and end <= b for a, b in held):
            wrong.append(f"no cell for the number in the middle of {section.text[max(0, start - 40) : end + 40]!r}")
    return wrong


@pytest.mark.parametrize("page", PAGES)
def test_each_number_is_that_of_its_cell(page):
    found = sections(page)
    assert pieces(page).keys() <= found.keys()
    wrong = [f"{name}: {m}" for name, of in found.items() for m in mistakes(of, *pieces(page).get(name, ([], [])))]
    assert not wrong, "\n".join(wrong)
