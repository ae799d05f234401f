"""HELP.md: the pieces of text that hold its numbers, by section."""

import math

from common.cli import UserError
from make_report import HELP
from part2.sources.files import _range
from tests import numbers_records as r

import numpy as np
import pytest

BORDER = 82  # per cent


def percent(row: dict) -> float:
    """How often the discriminator was right."""
    return 50 * (float(row["accuracy_real"]) + float(row["accuracy_fake"]))


def course(study: str, run: str) -> list[dict]:
    return r.rows(study, "curves.csv", run=run)


def gan() -> list[str]:
    flat = [row for run in r.trained("compare", "improved") for row in course("part2/compare", run["run"])]
    g, d = (r.span(r.column(flat, f"{of}_loss")) for of in ("generator", "discriminator"))
    last, out = (course("part2/compare", f"reference-seed{seed}") for seed in (1, 0))
    wins = course("help", "gan-high-rate")
    measured = [row for of in ("compare", "collapse", "levers") for row in r.records(f"part2/{of}/curves.csv")]
    measured = [row for row in measured if row["frechet"]]
    collapsed = [percent(row) for row in measured if float(row["frechet"]) > 200]
    others = [percent(row) for row in measured if float(row["frechet"]) <= 200]
    assert max(others) < BORDER < min(collapsed) and min(int(row["epoch"]) for row in measured) == 5
    falls = [f"{percent(out[n - 1]):.0f} % after {n}" for n in (5, 60, 200)]
    sixty = r.epoch("compare", "reference", 60) + r.epoch("collapse", "reference", 60)
    free = r.WORDS[sum(distance < 200 for distance in sixty)]
    g_end, d_end, d_wins = last[-1]["generator_loss"], last[-1]["discriminator_loss"], wins[-1]["discriminator_loss"]
    rises = r.column(wins[2:], "generator_loss")
    assert {percent(row) for row in wins[2:]} == {100} and rises == sorted(rises)
    return r.pieces(f"""it is right in 50 % of the cases, G's loss is ln 2 = {math.log(2):.2f} and D's 2 ln 2 =
    {2 * math.log(2):.2f}. · In all epochs of {r.WORDS[len(r.trained("compare", "improved"))]} runs G's loss is {g}, D's
    {d}, and D is right in {r.span([percent(row) for row in flat], ".0f")} %. · D is right in more than {BORDER} %. In
    the end: {percent(last[-1]):.0f} %, G's loss {float(g_end):.2f}, D's {float(d_end):.2f}. · [recipes] (betas 0 and
    0.99) · after 60
    epochs {free} of {r.WORDS[len(sixty)]} seeds are out of it. · D's accuracy falls: {falls[0]} epochs, {falls[1]},
    {falls[2]}. · D is right in 100 %, its loss is {1e5 * float(d_wins):.0f}e-5, G's rises from {rises[0]:.1f} to
    {rises[-1]:.1f}. · Is {BORDER} % a good border? In the {len(measured)} measurements · in all {len(collapsed)}
    collapses (a Fréchet distance above 200) D was right in {min(collapsed):.0f} % or more, in the {len(others)} others
    in {max(others):.0f} % or less · after five epochs or later""")


def images() -> list[str]:
    """The message is that of the reader."""
    with pytest.raises(UserError) as refused:
        _range(np.linspace(0, 1 / 255, 784, dtype=np.float32).reshape(1, 28, 28), "mine.npy")
    assert f"`{refused.value}`" in (r.ROOT / "HELP.md").read_text(encoding="utf-8")
    return r.pieces("[the message] divided by 255 twice · [the message] [0, 255]")


def lstm() -> list[str]:
    breaks, never = (r.rows("part1/sweep", run=run)[0] for run in ("lstm-T25-seed3", "reference-T30-seed0"))
    of, broken = r.validation(breaks), r.broken("lstm", *r.LENGTHS)
    few, jumps = (course("help", f"lstm-{name}") for name in ("few-sequences", "high-rate"))
    least, default = min(of[of.index(1) :]), r.settings("part1/sweep")["learning_rate"]
    assert float(breaks["test_accuracy"]) == 1 and float(few[-1]["validation_loss"]) > math.log(10)
    assert max(r.column(jumps, "validation_accuracy")) < 0.6
    commands = [f"`python {script} {flags}`" for script, flags in HELP.values()]
    return commands + r.pieces(f"""a loss of ln 10 = {math.log(10):.2f}. · Validation accuracy is 1.0 after
    {of.index(1) + 1} epochs, {least:.3f} in epoch {of.index(least) + 1}, then 1.0 again. This happens in
    {sum(map(bool, broken))} of the LSTM's {len(broken)} runs. · [test_accuracy] its test accuracy is 1.0. ·
    [1 of 10 digits] an accuracy of 0.1 · [the same] It stays at 0.1. · In {never["epochs"]} epochs
    validation accuracy is never above {max(r.validation(never)):.3f}. · [the picture] stays at 0.5 to 0.6. ·
    The loss is {float(jumps[-1]["loss"]):.1f} in
    the last epoch: · the default is {default}. · {float(few[-1]["accuracy"]):.1f} and
    {float(few[-1]["validation_accuracy"]):.3f} in the last epoch; the validation loss,
    {float(few[-1]["validation_loss"]):.2f}, is above chance.""")


SECTIONS = {
    '"My loss goes to 0 and the generator\'s rises. Is this normal?"': gan,
    '"My images are black, grey or inverted"': images,
    '"My LSTM does not learn"': lstm,
}
