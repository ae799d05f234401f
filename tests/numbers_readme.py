"""README.md: the pieces of text that hold its numbers, by section."""

from statistics import mean

from tests.numbers_records import (
    WORDS,
    accuracy_at,
    around,
    cell,
    curricula,
    epoch,
    how_soon,
    in_floors,
    minutes,
    misread,
    pieces,
    span,
    swept,
    test_accuracies,
    tested,
    trained,
)


def numbers_to_beat() -> list[str]:
    [longest] = {max(n for n, accuracy in accuracy_at(run).items() if accuracy == 1) for run in curricula()}
    found, board = in_floors("compare", "improved"), trained("board", "improved")
    [epochs] = {run["epochs"] for run in trained("compare", "improved")}
    return pieces(f"""
        all {tested(longest)} test palindromes are read correctly | {longest:,} digits, in every seed | 5 |
        distance ÷ floor after {epochs} epochs (training images: 1) | {around(found)} | {len(found)} |
        to Fréchet distance 10, on two cores | {how_soon("board", "improved", 10)} | {len(board)} |
    """)


def what_to_run() -> list[str]:
    perfect = [n for n in (5, 10, 15, 25, 30) if min(test_accuracies("lstm", n)) == 1]
    perfect.remove(10)
    seconds = [float(run["seconds"]) for run in curricula()]
    markers = curricula("marker-")
    without_error = WORDS[sum(misread(run) == 0 for run in markers)]
    of = {name: trained("compare", name) for name in ("improved", "reference")}
    good = [distance for distance in in_floors("compare", "reference") if distance < 100]
    smudged = mean(float(run["smudged"]) for run in trained("crisp", "crisp"))
    [sequences] = {int(run["sequences_seen"]) for run in curricula()}
    [(crisp, form)] = {(run["epochs"], run["number_format"]) for run in trained("crisp", "crisp")}
    return pieces(f"""
        test accuracy 1.0 in five of five seeds (also at {", ".join(map(str, perfect[:-1]))} and {perfect[-1]})
        | {mean(float(run["seconds"]) for run in swept("lstm", 10)):.0f} s |
        after {sequences:,} sequences (runs) | {span(seconds, ".0f")} s |
        no error in {without_error} of {WORDS[len(markers)]} seeds |
            {span([float(run["seconds"]) for run in markers], ".0f")} s |
        Fréchet distance {span(epoch("soon", "improved", 10), ".1f")}, distance ÷ floor
            {span(in_floors("soon", "improved"))} in three seeds (table) |
            {mean(float(run["seconds"]) for run in trained("soon", "improved")) / 60:.0f} min |
        distance ÷ floor {span(in_floors("compare", "improved"))} in five seeds (table) | {minutes(of["improved"])}
            min
        ({smudged:.3f} in five seeds, after {crisp} epochs in {form}), less variety
        | {minutes(trained("crisp", "crisp"))} min (those {crisp} epochs) |
        distance ÷ floor {good[0]:.1f} in one seed; two others collapse
        | {minutes(of["reference"])} min |
    """)


def left_out() -> list[str]:
    ms = cell("part2/benchmark-cuda", "ms_per_step", "benchmark.csv", contestant="improved recipe")
    [(batches, epochs)] = {(int(run["batches"]), run["epochs"]) for run in trained("compare", "improved")}
    about = WORDS[round(ms * batches / 60_000)]
    return pieces(f"""
        a step of the GAN takes {ms:.2f} ms (rows), so its {epochs} epochs take about {about} minutes
    """)


SECTIONS = {"Three numbers to beat": numbers_to_beat, "What to run": what_to_run, "What this leaves out": left_out}
SETTINGS = {  # section → what no record holds → where it comes from
    "Three numbers to beat": {"±: 95 % interval over n seeds": "how ± is defined"},
    "Set up": {"Python ≥ 3.11": "pyproject.toml"},
    "What to run": {"lengths up to 100,000 digits": "the default of --lengths"},
    "What this leaves out": {"CC BY-SA 3.0": "the licence of MNIST"},
}
