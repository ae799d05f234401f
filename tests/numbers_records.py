"""The recorded tables, and how the pages show them: what numbers_readme, numbers_report and numbers_notes share."""

import csv
import json
import math
import re
from functools import cache
from statistics import mean, stdev

from tests.conftest import ROOT

REAL = "real training images"
T_975 = {3: 4.303, 5: 2.776}  # Student's t, 97.5 % point, of a mean over three and five seeds
TESTED = {1_000: 10_000, 100_000: 1_000, 2**20: 100, 2**22: 20}  # up to this length → test sequences (not recorded)
WORDS = dict(enumerate(["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]))
COLUMNS = {  # what a table of recipes shows → the figure
    "distance ÷ floor": "floors",
    "… by the autoencoder": "floors_autoencoder",
    "smudged": "smudged",
    "recall": "recall",
    "coverage": "coverage",
    "score (1–10)": "score",
    "rarest–commonest digit (ideal: 10 %)": "share",
    "Fréchet": "frechet",
}
CHANGED = {  # recipe → how tables describe it
    "reference_rmsprop": "RMSprop (α = 0.999) instead of Adam",
    "reference_popular": "betas 0.5, 0.999, BatchNorm's ε 0.8, as in a widely used script",
    "reference_schedule": "learning rate 2e-4 / (1 + epoch / 20)",
    "reference_wide": "hidden layers twice as wide",
    "improved_betas": "Adam's betas 0.9, 0.999",
    "improved_learning_rate": "2e-4 / (1 + epoch / 20)",
    "improved_no_schedule": "constant learning rate",
    "improved_paired": "paired images (relativistic)",
}
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


def pretrained(name: str) -> dict:
    return json.loads((ROOT / "outputs" / "pretrained" / name / "result.json").read_text(encoding="utf-8"))


def setting(study: str, name: str, **where) -> str:
    """What all these runs have in a column."""
    [value] = {row[name] for row in rows(study, **where) if row["run"] != REAL}
    return value


def span(values: list[float], form: str = ".2f", to: str = " to ") -> str:
    """The lowest and the highest value."""
    return f"{min(values):{form}}{to}{max(values):{form}}"


def pieces(text: str) -> list[str]:
    """Pieces of a page's text, one below the other; a line that goes on is indented more."""
    return [" ".join(piece.split()) for piece in re.split(r"\n {8}(?! )", text) if piece.strip()]


def line(*cells) -> str:
    """A row of a table."""
    return " ".join(f"| {' | '.join(map(str, cells))} |".split())


# Part 1


def network(run: dict) -> str:
    return run["run"].split("-T")[0]


def swept(name: str, length: int = 1000) -> list[dict]:
    """The sweep's runs of a network that was trained at this length (curricula: 1000)."""
    return [run for run in rows("part1/sweep", input_length=length) if network(run) == name]


def test_accuracies(name: str, length: int) -> list[float]:
    return column(swept(name, length), "test_accuracy")


def per_epoch(length: int) -> float:
    """Training sequences an epoch."""
    [found] = {int(run["sequences_seen"]) / int(run["epochs"]) for run in swept("lstm", length)}
    return found


def until_perfect(name: str, length: int) -> list[float]:
    """Training sequences until validation was first without an error, for each run in which it ever was."""
    found = []
    for run in swept(name, length):
        epochs = rows("part1/sweep", "curves.csv", run=run["run"], validation_accuracy="1.0")
        found += [float(row["epoch"]) * int(run["sequences_seen"]) / int(run["epochs"]) for row in epochs[:1]]
    return found


def mean_and_worst(accuracies: list[float]) -> str:
    worst = f"{min(accuracies):.3f}"
    return f"{mean(accuracies):.3f}" + f" ({worst})" * (min(accuracies) < mean(accuracies) and worst != "1.000")


def curricula(kind: str = "") -> list[dict]:
    """The runs named KINDseedN."""
    return [run for run in rows("part1/curriculum") if run["run"].startswith(f"{kind}seed")]


def accuracy_at(run: dict) -> dict[int, float]:
    """Length → accuracy, for the tested lengths."""
    return {int(key[12:]): float(text) for key, text in run.items() if key.startswith("accuracy_at_") and text}


def tested(length: int) -> int:
    return next(number for longest, number in TESTED.items() if length <= longest)


def misread(run: dict, shortest: int = 0, longest: int = 2**22) -> int:
    """How many palindromes of these lengths a network misread."""
    return sum(round((1 - a) * tested(n)) for n, a in accuracy_at(run).items() if shortest <= n <= longest)


# Part 2


def trained(study: str, recipe: str) -> list[dict]:
    return rows(f"part2/{study}", recipe=recipe)


def floor(study: str, measure: str = "frechet") -> float:
    return cell(f"part2/{study}", measure, run=REAL)


def values(of: list[dict], figure: str, study: str) -> list[float]:
    """A figure of each run; floors: its distance in those of real training images."""
    if figure.startswith("floors"):
        measure = figure.replace("floors", "frechet")
        return [value / floor(study, measure) for value in column(of, measure)]
    return column(of, figure)


def in_floors(study: str, recipe: str, measure: str = "floors") -> list[float]:
    return values(trained(study, recipe), measure, study)


def epoch(study: str, recipe: str, number: int, figure: str = "frechet") -> list[float]:
    """A figure of each seed as measured after this epoch."""
    return [cell(f"part2/{study}", figure, "curves.csv", run=r["run"], epoch=number) for r in trained(study, recipe)]


def measured(study: str, run: str) -> list[dict]:
    """The epochs in which a run was measured."""
    return [row for row in rows(f"part2/{study}", "curves.csv", run=run) if row["frechet"]]


def accuracies(study: str, run: str) -> list[float]:
    """The discriminator's accuracy in each epoch."""
    halves = ("accuracy_real", "accuracy_fake")
    return [sum(float(row[half]) for half in halves) / 2 for row in rows(f"part2/{study}", "curves.csv", run=run)]


def around(found: list[float], digits: int = 2) -> str:
    """The mean and half its 95 % interval."""
    return f"{mean(found):.{digits}f} ± {T_975[len(found)] * stdev(found) / math.sqrt(len(found)):.{digits}f}"


def quality(study: str, of: list[dict], figure: str) -> str:
    """A figure of runs with one recipe: the mean and, where they differ, lowest and highest; of distances also ±."""
    if figure == "share":
        return f"{span([100 * share for d in range(10) for share in column(of, f'share_{d}')], '.1f', '–')} %"
    found = values(of, figure, study)
    digits = 1 if mean(found) >= 10 else 3 if figure == "smudged" else 2
    first = around(found, digits) if figure.startswith("floors") and len(found) > 2 else f"{mean(found):.{digits}f}"
    lowest, highest = (f"{value:.{digits}f}" for value in (min(found), max(found)))
    return first + f" ({lowest}–{highest})" * (lowest != highest)


def label(recipe: str) -> str:
    return recipe if recipe == REAL else f"`{recipe}`" + (f": {CHANGED[recipe]}" if recipe in CHANGED else "")


def recipe_cells(study: str, recipe: str, columns: list[str]) -> list[str]:
    of = rows(f"part2/{study}", run=REAL) if recipe == REAL else trained(study, recipe)
    return [quality(study, of, COLUMNS[name]) for name in columns]


def first_below(study: str, recipe: str, goal: float) -> list[dict]:
    """The epoch of each seed in which its Fréchet distance was first so small."""
    found = [[e for e in measured(study, r["run"]) if float(e["frechet"]) <= goal] for r in trained(study, recipe)]
    return [epochs[0] for epochs in found if epochs]


def how_soon(study: str, recipe: str, goal: float) -> str:
    found = first_below(study, recipe, goal)
    assert len(found) == len(trained(study, recipe))
    return f"{mean(column(found, 'seconds')):,.0f} s, {mean(column(found, 'epoch')):.0f} epochs"


def minutes(of: list[dict]) -> str:
    return span([seconds / 60 for seconds in column(of, "seconds")], ".0f")


def learned_by_heart(row: dict) -> float:
    """Of the difference between D's logits of training and generated images, what unseen real ones do not share."""
    training, unseen, generated = (float(row[f"logit_{of}"]) for of in ("training", "unseen", "generated"))
    return (training - unseen) / (training - generated)
