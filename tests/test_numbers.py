"""The numbers on pages are those of the recorded files: a table's row is one that the records give, cell by cell.
In prose, a number with a decimal point or three digits is, rounded as printed, in a record that its section links to,
or a setting in the code, or one of EXCEPTIONS.
"""

import ast
import csv
import json
import re
from itertools import groupby, pairwise, product
from pathlib import Path

import pytest

from common.runs import read_metrics
from part1 import sweep
from part1.memory import TESTED
from tests.conftest import ROOT
from tests.test_house import TREES

PAGES, REPORT = ("README.md", "report.md", "outputs/report/NOTES.md"), ROOT / "outputs" / "report"
NUMBER = r"(?<![\w.,^/-])(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(e-\d+)?(?![\w^]|,\d|\.\d)(?=((?:[\d.,\s]|and|to)* %)?)"
NODES = [node for tree in TREES.values() for node in ast.walk(tree)]
SETTINGS = {node.value for node in NODES if isinstance(node, ast.Constant) and type(node.value) in (int, float)}
EXCEPTIONS = {
    "palindromes tested; training images without the last 10,000": [3_000, 50_000, 53_000, 53_100, 250_000],
    "four times the length reached; Hochreiter & Schmidhuber 1997, task 2c": [640, 49_000, 203_000],
    "runs that were not kept, and the page says so": [0.997, 4e-4],
    "versions of Python and PyTorch": [3.11, 3.12, 2.11, 2.14, 2.15],
}
LEFT_OUT = r"(?ms)```.*?```|^    [^\n]*|`[^`]*`|\]\([^)]*\)|\{\{.*?\}\}|\b[0-9a-f]{12}\b|\b(19|20)\d\d\b(?!,\d)"
LEFT_COLUMNS = re.compile("precision|recall|density|coverage|share|smudged|score|.*_autoencoder")  # in table.md
ACCURACY = ("input_length", "test_accuracy", "seed")
RENAMED = {"score (1–10)": "score", "rarest–commonest digit (ideal: 10 %)": "a digit's share"}
AS_PROSE = ("what", "command", "claim of the reference", "", "improved, seed 3")  # tables
AS_PROSE += ("a training step", "recipe and machine")


def text_of(page: str | Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def record(name: str) -> dict | list[dict]:
    text = text_of(REPORT / name)
    return list(csv.DictReader(text.splitlines())) if name.endswith("csv") else json.loads(text)


def tables(text: str) -> list[list[list[str]]]:
    """Each table: its header and its rows, as cells; empty ones at a row's end are left out."""
    blocks = [list(lines) for is_table, lines in groupby(text.splitlines(), lambda line: line[:1] == "|") if is_table]
    rows = [[re.sub(r"\*\*|[|\s]+$", "", line)[1:].split("|") for line in (block[0], *block[2:])] for block in blocks]
    return [[[cell.strip() for cell in row] for row in table] for table in rows]


def misread(run: dict, shortest: int = 0, longest: int = 2**22) -> int:
    """How many palindromes of these lengths a network misread."""
    spans = [(int(n), accuracy) for n, accuracy in run["accuracy_at"].items() if shortest <= int(n) <= longest]
    return sum(round((1 - a) * next(tested for most, tested in TESTED.items() if n <= most)) for n, a in spans)


def recorded_rows(header: list[str]):
    """The rows that the records give for a table with this header."""
    if header[0] == "recipe":
        for name in ("compare", "levers", "crisp"):
            [[known, *rows]] = tables(text_of(REPORT / "part2" / name / "table.md"))
            yield from ([row[0], *(row[known.index(RENAMED.get(c, c))] for c in header[1:])] for row in rows)
    if header[0] == "network":
        rows = [row | {key: json.loads(row[key]) for key in ACCURACY} for row in record("part1/sweep.csv")]
        [[known, *lines]] = tables(sweep.to_table(rows))
        for line in lines:
            n = len({row["seed"] for row in rows if sweep.NETWORKS[row["network"]].label == line[0]})
            cells = dict(zip(known, line, strict=False)) | {"n": str(n)}
            yield [cells.get(column.replace(",", ""), "").removesuffix(" (1.000)") for column in header]
    for kind, seed in [*product(("", "scalar-"), range(5)), *product(["marker-"], range(3))]:
        run = record(f"part1/curriculum/{kind}seed{seed}/result.json")
        spans = [(int(n),) * 2 for n in run["accuracy_at"]] if kind else [(10, 1000), (2000, 100_000), (2**20, 2**20)]
        counts = [f"{run['sequences_seen']:,}", f"{run['seconds']:,.{0 if kind else 1}f}"]
        counts += [str(misread(run, *span)) for span in spans]
        yield [str(seed), *(counts if kind != "marker-" else [f"{a:.4f}" for a in run["accuracy_at"].values()])]
    for kind in ("n10000-", "n15000-", "n20000-", ""):
        runs = [record(f"part1/curriculum/{kind}seed{seed}/result.json") for seed in range(5)]
        cells = [f"{misread(run, 10, 1000):,} + {misread(run, 2000, 2000):,}" for run in runs]
        yield [f"{runs[0]['sequences_seen']:,}", *cells]
    rows = record("part1/benchmark/benchmark.csv") + record("part1/benchmark-allocators/benchmark.csv")
    for what, name in {(row["what"], row["network"]) for row in rows}:
        same = [f"{float(row['speed']):.2f}" for row in rows if (row["what"], row["network"]) == (what, name)]
        yield [name + ", forward pass" * (what == "forward pass"), *same]
    for way, (floor, *steps) in record("part2/judge/result.json")["spoiled"].items():  # the first is not spoiled
        floors = [[step[key] / floor[key] for key in ("frechet", "frechet_autoencoder")] for step in steps]
        yield [way, ", ".join(f"{step['strength']:g}" for step in steps), *(f"{a:.1f} ({b:.1f})" for a, b in floors)]
    names, rows = ("frechet", "frechet_autoencoder", "recall", "coverage", "smudged"), {}
    trials = record("part2/trials/trials.csv")
    for row in trials + record("part2/trials/forks.csv") + record("part2/trials/gpu.csv"):
        rows.setdefault(f"{row['lever']}, epoch {row['epoch']}", []).append(row)
    for row in [row for row in trials if row["epoch"] == "20"] + record("part2/trials/go_on.csv"):
        rows.setdefault(row["lever"], []).append(row)
    for lever, of in rows.items():  # means over the samples
        means = {name: sum(float(row[name]) for row in of) / len(of) for name in names}
        yield [lever, *(f"{mean:.{2 if name.startswith('frechet') else 3}f}" for name, mean in means.items())]
    for row in read_metrics(REPORT / "part2" / "memory"):
        if "frechet" in row:
            training, *others = (row[f"logit_{name}"] for name in ("training", "unseen", "generated"))
            learned = (training - others[0]) / (training - others[1])
            yield [str(row["epoch"]), *(f"{logit:.3f}" for logit in (training, *others)), f"{100 * learned:.0f} %"]
    pairs = {
        f"{name}, seed {seed}": f"judges/{name}-seed{seed}" for name in ("retrained", "untrained") for seed in "123"
    }
    for judges, folder in {"the project's own": "improved", **pairs}.items():
        found = record(f"part2/{folder}/evaluate/result.json")["generated"]
        floors = [f"{found[name]:.2f}" for name in ("floors", "floors_autoencoder")]
        yield [judges, *floors, *(f"{found[name]:.3f}" for name in ("recall", "coverage", "smudged"))]
    walks = {name: record(f"part2/{name}/interpolate/result.json") for name in ("reference", "improved")}
    yield from ([f"{name} (%)", *(f"{100 * p:.1f}" for p in of["shares"])] for name, of in walks.items())
    for walk, leg in ((0, "3-4"), (1, "9-3"), (1, "3-2")):
        read = [of["walks"][walk]["middles"][leg].items() for of in walks.values()]
        shown = [", ".join(f"{d}: {100 * p:.0f} %" for d, p in of if round(100 * p) >= 5) for of in read]
        yield [leg.replace("-", " → "), *shown]


@pytest.mark.parametrize("page", PAGES[1:])
def test_tables_hold_what_is_recorded(page):
    found = [table for table in tables(text_of(page)) if table[0][0] not in AS_PROSE]
    assert len(found) >= 5
    for header, *rows in found:
        recorded = list(recorded_rows(header))
        for row in rows:
            assert "{{" in row[0] or [re.sub("`([a-z_]+)`.*", r"\1", row[0]), *row[1:]] in recorded, header


def values_of(path: Path) -> list[float]:
    """The numbers in a record, and what follows from them; of a folder, those of its results."""
    if path.is_dir():
        return [value for inside in path.rglob("result.json") for value in values_of(inside)]
    text = text_of(path)
    if path.suffix == ".jsonl":  # of a GAN: the discriminator's accuracy in each epoch, weighted by batches
        rows, epochs = [{"batch": 0}, *map(json.loads, text.splitlines())], {}
        for before, row in pairwise(rows):
            both = row["accuracy_real"] + row["accuracy_fake"]
            epochs.setdefault(row["epoch"], []).extend([both / 2] * (row["batch"] - before["batch"]))
        return [sum(batches) / len(batches) for batches in epochs.values()]
    if path.suffix == ".csv":
        header, labels = (
            ["network", *(f"T = {n}" for n in (5, 10, 15, 25, 30))],
            {n.label for n in sweep.NETWORKS.values()},
        )
        means = [row for row in recorded_rows(header) if path.name.startswith("sweep") and row[0] in labels]
        kept = [row[key] for row in record(str(path)) for key in row if not LEFT_COLUMNS.match(key)]
        text = " ".join([*kept, str(means)])
    run = json.loads(text) if path.suffix == ".json" else {}
    if "accuracy_at" in run:
        text += str([misread(run), misread(run, 10, 1000), *(misread(run, int(n), int(n)) for n in run["accuracy_at"])])
    if "spoiled" in run:
        text += str([row for row in recorded_rows([""]) if row[0] in run["spoiled"]])
    return [float(number.replace(",", "")) for number in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e-\d+)?", text)]


@pytest.mark.parametrize("page", PAGES)
def test_numbers_in_prose_are_recorded(page):
    known, missing = SETTINGS.union(*EXCEPTIONS.values()), []
    for section in re.split(r"^(?=#+ )", text_of(page), flags=re.MULTILINE):
        linked = [((ROOT / page).parent / link).resolve() for link in re.findall(r"\]\(([^)#:]+)\)", section)]
        records = {p for p in linked if REPORT.parent in p.parents and not re.search("png|gif|NOTES", p.name)}
        values = [value for path in records for value in values_of(path)]
        blocks = section.replace("\n", "\n\n", 1).split("\n\n")
        kept = [b for b in blocks if b[:1] != "|" or tables(b)[0][0][0] in AS_PROSE]
        for whole, decimals, power, percent in re.findall(NUMBER, re.sub(LEFT_OUT, " ", "\n\n".join(kept))):
            number = (whole + decimals + power).replace(",", "")
            form = f"{{:.{max(0, len(decimals) - 1)}f}}".format
            rounded = {form(scale * value) for value in values for scale in ((1, 100) if percent else (1,))}
            if (decimals or power or len(number) > 2) and number not in rounded and float(number) not in known:
                missing.append(f"{section.splitlines()[0]}: {number}")
    assert not missing, "; ".join(missing)
