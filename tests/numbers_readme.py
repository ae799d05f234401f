"""README.md: the pieces of text that hold its numbers, by section."""

from statistics import mean

from tests import numbers_records as r


def numbers_to_beat() -> list[str]:
    sequences, proved = r.fewest_sequences()
    found, board = r.in_floors("compare", "improved"), r.trained("board", "improved")
    epochs = r.settings("part2/compare", recipe="improved")["epochs"]
    return r.pieces(f"""all lengths, in every seed, from {sequences} sequences of ten digits in
    {r.span(r.column(proved, "seconds"), ".0f")} s | {len(proved)} | `python part1/train_proved.py --data_size
    {sequences} --seed N --threads 1` | · distance ÷ floor after {epochs} epochs (training images: 1) |
    {r.around(found)} | {len(found)} | · to Fréchet distance 10, on two cores | {r.how_soon("board", "improved", 10)}
    | {len(board)} | · [how ± is defined] ±: 95 % interval over n seeds""")


def what_to_run() -> list[str]:
    def took(of, unit=1, form=".0f"):
        return r.span([seconds / unit for seconds in r.column(of, "seconds")], form)

    lengths = [n for n in r.LENGTHS if n != 10 and min(r.test_accuracies("lstm", n)) == 1]
    default, of = r.proofs("hot-n1000"), {name: r.trained("compare", name) for name in ("improved", "reference")}
    beyond = [r.proofs(kind) for kind in ("sum2", "sum3", "marks2", "marker")]
    assert [len(r.proved(of)) == len(of) for of in beyond] == [True, True, False, False]
    assert all(map(r.proved, beyond)) and beyond[3][0]["data_size"] == "30000"
    [good] = [distance for distance in r.in_floors("compare", "reference") if distance < 100]
    soon, crisp, of_crisp = r.trained("soon", "improved"), r.trained("crisp", "crisp"), r.settings("part2/crisp")
    return r.pieces(f"""test accuracy 1.0 in five of five seeds (also at {r.listed(lengths)}) |
    {mean(r.column(r.swept("lstm", 10), "seconds")):.0f} s | · proved in {r.WORDS[len(r.proved(default))]} of
    {r.WORDS[len(default)]} seeds (runs) | {took(default)} s | · modulo 3, proved in every seed; so is `sum2`, and in
    some seeds `marks2` and, with `--data_size 30000`, `marker` (report) | {took(beyond[1])} s | · Fréchet distance
    {r.span(r.epoch("soon", "improved", 10), ".1f")}, distance ÷ floor {r.span(r.in_floors("soon", "improved"))} in
    three seeds (table) | {mean(r.column(soon, "seconds")) / 60:.0f} min | · distance ÷ floor
    {r.span(r.in_floors("compare", "improved"))} in five seeds (table) | {took(of["improved"], 60)} min ·
    ({mean(r.column(crisp, "smudged")):.3f} in five seeds, after {of_crisp["epochs"]} epochs in
    {of_crisp["number_format"]}), less variety · | {took(crisp, 60)} min (those {of_crisp["epochs"]} epochs) | ·
    distance ÷ floor {good:.1f} in one seed; two others collapse · | {took(of["reference"], 60)} min |""")


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
