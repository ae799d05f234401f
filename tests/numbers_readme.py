"""README.md: the pieces of text that hold its numbers, by section."""

from statistics import mean

from tests import numbers_records as r


def numbers_to_beat() -> list[str]:
    [longest] = {max(n for n, accuracy in r.accuracy_at(run).items() if accuracy == 1) for run in r.curricula()}
    found, board = r.in_floors("compare", "improved"), r.trained("board", "improved")
    epochs = r.settings("part2/compare", recipe="improved")["epochs"]
    return r.pieces(f"""all {r.tested(longest)} test palindromes are read correctly | {longest:,} digits, in every seed
    | {len(r.curricula())} | · distance ÷ floor after {epochs} epochs (training images: 1) | {r.around(found)} |
    {len(found)} | · to Fréchet distance 10, on two cores | {r.how_soon("board", "improved", 10)} | {len(board)} | ·
    [how ± is defined] ±: 95 % interval over n seeds""")


def what_to_run() -> list[str]:
    def took(of, unit=1, form=".0f"):
        return r.span([seconds / unit for seconds in r.column(of, "seconds")], form)

    lengths = [n for n in r.LENGTHS if n != 10 and min(r.test_accuracies("lstm", n)) == 1]
    markers, of = r.curricula("marker-"), {name: r.trained("compare", name) for name in ("improved", "reference")}
    without_error = r.WORDS[sum(r.misread(run) == 0 for run in markers)]
    [good] = [distance for distance in r.in_floors("compare", "reference") if distance < 100]
    soon, crisp, of_crisp = r.trained("soon", "improved"), r.trained("crisp", "crisp"), r.settings("part2/crisp")
    return r.pieces(f"""test accuracy 1.0 in five of five seeds (also at {r.listed(lengths)}) |
    {mean(r.column(r.swept("lstm", 10), "seconds")):.0f} s | · after
    {int(r.settings("part1/curriculum", data_size=30000)["sequences_seen"]):,} sequences (runs) | {took(r.curricula())}
    s | · no error in {without_error} of {r.WORDS[len(markers)]} seeds | {took(markers)} s | · Fréchet distance
    {r.span(r.epoch("soon", "improved", 10), ".1f")}, distance ÷ floor {r.span(r.in_floors("soon", "improved"))} in
    three seeds (table) | {mean(r.column(soon, "seconds")) / 60:.0f} min | · distance ÷ floor
    {r.span(r.in_floors("compare", "improved"))} in five seeds (table) | {took(of["improved"], 60)} min ·
    ({mean(r.column(crisp, "smudged")):.3f} in five seeds, after {of_crisp["epochs"]} epochs in
    {of_crisp["number_format"]}), less variety · | {took(crisp, 60)} min (those {of_crisp["epochs"]} epochs) | ·
    distance ÷ floor {good:.1f} in one seed; two others collapse · | {took(of["reference"], 60)} min | · [the default of
    --lengths] lengths up to 100,000 digits""")


def left_out() -> list[str]:
    ms = r.cell("part2/benchmark-cuda", "ms_per_step", "benchmark.csv", contestant="improved recipe")
    run = r.settings("part2/compare", recipe="improved")
    return r.pieces(f"""a step of the GAN takes {ms:.2f} ms (rows), so its {run["epochs"]} epochs take about
    {r.WORDS[round(ms * int(run["batches"]) / 60_000)]} minutes · [the licence of MNIST] CC BY-SA 3.0""")


SECTIONS = {
    "Three numbers to beat": numbers_to_beat,
    "Set up": "[pyproject.toml] Python ≥ 3.11",
    "What to run": what_to_run,
    "What this leaves out": left_out,
}
