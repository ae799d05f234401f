"""The recorded tables, and how the pages show them: what numbers_readme, numbers_report and numbers_notes share."""

import csv
import json
import math
import re
from functools import cache
from statistics import mean, stdev

from tests.conftest import ROOT

REAL = "real training images"
T_975 = {3: 4.303, 4: 3.182, 5: 2.776}  # Student's t, 97.5 % point, of a mean over so many seeds
LENGTHS = (5, 10, 15, 25, 30)  # of the assignment
TESTED = {1_000: 10_000, 100_000: 1_000, 2**20: 100}  # up to this length → test sequences (not recorded)
WORDS = dict(enumerate(["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]))
COLUMNS = {  # what the table of recipes shows → the figure
    "distance ÷ floor": "floors",
    "… by the autoencoder": "floors_autoencoder",
    "smudged": "smudged",
    "recall": "recall",
}
POWER = {"0.001": "1e-3", "0.0005": "5e-4", "0.0002": "2e-4"}  # how pages write learning rates
JUDGES = ("retrained", "untrained")  # and of each three seeds
NETWORKS = {
    "lstm": "LSTM",
    "torch_lstm_memory": "nn.LSTM, our initialisation",
    "torch_lstm": "nn.LSTM, PyTorch's initialisation",
    "reference": "LSTM, the reference's initialisation",
    "rnn": "vanilla RNN, orthogonal initialisation",
    "rnn_uniform": "vanilla RNN, PyTorch's initialisation",
}


@cache
def records(path: str) -> list[dict]:
    return list(csv.DictReader((ROOT / "outputs" / "report" / path).read_text(encoding="utf-8").splitlines()))


def rows(study: str, name: str = "runs.csv", **where) -> list[dict]:
    """The rows of a study's table in which these columns have these values."""
    return [row for row in records(f"{study}/{name}") if all(row[key] == str(value) for key, value in where.items())]


def cell(study: str, column: str, name: str = "runs.csv", **where) -> float:
    """The number in one row's cell."""
    [row] = rows(study, name, **where)
    return float(row[column])


def column(of: list[dict], name: str) -> list[float]:
    """The recorded numbers of a column."""
    return [float(row[name]) for row in of if row[name]]


def settings(study: str, **where) -> dict[str, str]:
    """The columns that have the same text in all these runs."""
    first, *others = [row for row in rows(study, **where) if row["run"] != REAL]
    return {name: text for name, text in first.items() if all(row[name] == text for row in others)}


def computed() -> dict[str, tuple[float, int]]:
    """Part → hours of training of all its recorded runs, and how many these are."""
    found = {}
    for path in (ROOT / "outputs" / "report").rglob("runs.csv"):
        name = path.relative_to(ROOT / "outputs" / "report").as_posix()
        found.setdefault(name.split("/")[0], []).extend(float(row.get("seconds") or 0) for row in records(name))
    return {part: (sum(of) / 3600, sum(map(bool, of))) for part, of in found.items()}


def pretrained(name: str) -> dict:
    return json.loads((ROOT / "outputs" / "pretrained" / name / "result.json").read_text(encoding="utf-8"))


def span(values: list[float], form: str = ".2f", to: str = " to ") -> str:
    """The lowest and the highest value."""
    return f"{min(values):{form}}{to}{max(values):{form}}"


def listed(values: list, form: str = "") -> str:
    """a, b and c"""
    *first, last = (f"{value:{form}}" for value in values)
    return f"{', '.join(first)} and {last}"


def pieces(text: str) -> list[str]:
    """Pieces of a page's text, with " · " between them; line breaks do not count. Before one that no cell holds stands
    in [brackets] where it comes from."""
    return [re.sub(r"^\[[^]]*\] ", "", piece) for piece in " ".join(text.split()).split(" · ")]


def line(*cells) -> str:
    """A row of a table."""
    return " ".join(f"| {' | '.join(map(str, cells))} |".split())


# Part 1


def swept(name: str, *lengths: int) -> list[dict]:
    """The sweep's runs of a network that was trained at these lengths."""
    found = [run for length in lengths for run in rows("part1/sweep", input_length=length)]
    return [run for run in found if run["run"].split("-T")[0] == name]


def test_accuracies(name: str, length: int) -> list[float]:
    return column(swept(name, length), "test_accuracy")


def per_epoch(run: dict) -> float:
    """Training sequences an epoch."""
    return int(run["sequences_seen"]) / int(run["epochs"])


def validation(run: dict) -> list[float]:
    """The accuracy in each epoch."""
    return column(rows("part1/sweep", "curves.csv", run=run["run"]), "validation_accuracy")


def until_perfect(name: str, length: int) -> list[float]:
    """Training sequences until validation was first without an error, for each run in which it ever was."""
    return [(validation(r).index(1) + 1) * per_epoch(r) for r in swept(name, length) if 1 in validation(r)]


def broken(name: str, *lengths: int) -> list[int]:
    """In how many epochs the accuracy was below 0.9 after it had been 1.0, for each run in which it had."""
    reached = [accuracies for run in swept(name, *lengths) if 1 in (accuracies := validation(run))]
    return [sum(accuracy < 0.9 for accuracy in of[of.index(1) :]) for of in reached]


def mean_and_worst(accuracies: list[float]) -> str:
    worst = f"{min(accuracies):.3f}"
    return f"{mean(accuracies):.3f}" + f" ({worst})" * (min(accuracies) < mean(accuracies) and worst != "1.000")


def proofs(kind: str) -> list[dict]:
    """The runs named KIND-seedN of the study of proofs."""
    found = [run for run in rows("part1/proofs") if run["run"].rsplit("-seed", 1)[0] == kind]
    return sorted(found, key=lambda run: int(run["seed"]))


def proved(runs: list[dict], is_proved: bool = True) -> list[dict]:
    return [run for run in runs if run["proved"] == str(is_proved)]


def fewest_sequences() -> tuple[int, list[dict]]:
    """From how many training sequences on all seeds are proved (one-hot, 64 units), and these runs."""
    every = {n: proofs(f"hot-n{n}") for n in (100, 200, 500, 1000, 2000)}
    fewest = min(n for n in every if all(proved(of) == of for m, of in every.items() if m >= n))
    return fewest, every[fewest]


def proofs_row(text: str, kind: str) -> str:
    """A row of the table of proofs, with ranges over the seeds."""

    def over_seeds(name: str, form: str, to: str = "–") -> str:
        ends = dict.fromkeys(f"{end(column(runs, name)):{form}}" for end in (min, max))
        return to.join(ends).replace("-", "−")

    runs = proofs(kind)
    [(units, sequences)] = {(run["num_hidden"], int(run["sequences_seen"])) for run in runs}
    margin = over_seeds("margin", ".3f" if kind == "raw" else ".2f", " to ")
    counts = f"{sequences:,}", f"{len(proved(runs))} of {len(runs)}"
    return line(text, units, *counts, over_seeds("seconds", ".0f"), margin)


def curricula() -> list[dict]:
    """The runs named seedN of the study of the curriculum."""
    return [run for run in rows("part1/curriculum") if run["run"].startswith("seed")]


def misread(run: dict) -> tuple[int, int]:
    """How many test sequences a network of the curriculum misread, and of how many."""
    of = {int(key[12:]): float(text) for key, text in run.items() if key.startswith("accuracy_at_") and text}
    tested = {n: next(number for longest, number in TESTED.items() if n <= longest) for n in of}
    return sum(round((1 - accuracy) * tested[n]) for n, accuracy in of.items()), sum(tested.values())


# Part 2


def trained(study: str, recipe: str) -> list[dict]:
    return rows(f"part2/{study}", recipe=recipe)


def floor(study: str, measure: str = "frechet") -> float:
    return cell(f"part2/{study}", measure, run=REAL)


def values(of: list[dict], figure: str, study: str) -> list[float]:
    """A figure of each run; floors: its distance in those of real training images."""
    if not figure.startswith("floors"):
        return column(of, figure)
    measure = figure.replace("floors", "frechet")
    return [value / floor(study, measure) for value in column(of, measure)]


def in_floors(study: str, recipe: str, measure: str = "floors") -> list[float]:
    return values(trained(study, recipe), measure, study)


def epoch(study: str, recipe: str, number: int, figure: str = "frechet") -> list[float]:
    """A figure of each seed as measured after this epoch."""
    return [cell(f"part2/{study}", figure, "curves.csv", run=r["run"], epoch=number) for r in trained(study, recipe)]


def measured(study: str, run: dict) -> list[dict]:
    """The epochs in which a run was measured."""
    return [row for row in rows(f"part2/{study}", "curves.csv", run=run["run"]) if row["frechet"]]


def accuracies(study: str, run: dict) -> list[float]:
    """The discriminator's accuracy in each epoch, in per cent."""
    of = rows(f"part2/{study}", "curves.csv", run=run["run"])
    return [50 * (float(row["accuracy_real"]) + float(row["accuracy_fake"])) for row in of]


def around(found: list[float], digits: int = 2) -> str:
    """The mean and half its 95 % interval."""
    return f"{mean(found):.{digits}f} ± {T_975[len(found)] * stdev(found) / math.sqrt(len(found)):.{digits}f}"


def quality(study: str, of: list[dict], figure: str) -> str:
    """A figure of runs with one recipe: the mean and, but for `smudged`, lowest and highest; of the distance also ±."""
    found = values(of, figure, study)
    digits = 1 if mean(found) >= 10 else 3 if figure == "smudged" else 2
    first = around(found, digits) if figure == "floors" and len(found) > 2 else f"{mean(found):.{digits}f}"
    lowest, highest = (f"{value:.{digits}f}" for value in (min(found), max(found)))
    return first + f" ({lowest}–{highest})" * (lowest != highest and figure != "smudged")


def recipe_row(study: str, recipe: str, *between) -> str:
    of = rows(f"part2/{study}", run=REAL) if recipe == REAL else trained(study, recipe)
    label = recipe if recipe == REAL else f"`{recipe}`"
    return line(label, *between, *(quality(study, of, figure) for figure in COLUMNS.values()))


def read_in_the_middle(name: str, leg: str) -> dict[str, float]:
    """Digit → how often in a hundred it is read in the middle of walks, the most frequent first."""
    [row] = rows("part2/interpolate", run=name)
    found = {key[-1]: 100 * float(share) for key, share in row.items() if f"middles_{leg}_" in key}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def evaluated(run: str, study: str = "evaluate") -> dict[str, str]:
    """What evaluate.py found of a generator, as tables show it."""
    figures = {"floors": 2, "floors_autoencoder": 2, "recall": 3, "coverage": 3, "smudged": 3}
    return {name: f"{cell(f'part2/{study}', f'generated_{name}', run=run):.{d}f}" for name, d in figures.items()}


def first_below(study: str, recipe: str, goal: float) -> list[dict]:
    """The epoch of each seed in which its Fréchet distance was first so small."""
    found = [[e for e in measured(study, run) if float(e["frechet"]) <= goal] for run in trained(study, recipe)]
    return [epochs[0] for epochs in found if epochs]


def how_soon(study: str, recipe: str, goal: float) -> str:
    found = first_below(study, recipe, goal)
    assert len(found) == len(trained(study, recipe))
    return f"{mean(column(found, 'seconds')):,.0f} s, {mean(column(found, 'epoch')):.0f} epochs"


def learned_by_heart(row: dict) -> float:
    """Of the difference between D's logits of training and generated images, what unseen real ones do not share, in
    per cent."""
    training, unseen, generated = (float(row[f"logit_{of}"]) for of in ("training", "unseen", "generated"))
    return 100 * (training - unseen) / (training - generated)
