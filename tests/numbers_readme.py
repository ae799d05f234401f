"""README.md: the pieces of text that hold its numbers, by section."""

from dataclasses import asdict

from part2.recipes.recipes import RECIPES
from tests import numbers_records as r


def took(runs: list[dict], unit: int = 1) -> str:
    return r.span([seconds / unit for seconds in r.column(runs, "seconds")], ".0f")


def first_screen() -> list[str]:
    sequences, proved = r.fewest_sequences()
    improved, reference = (r.in_floors("compare", name) for name in ("improved", "reference"))
    collapsed = [sum(distance > 100 for distance in found) for found in (improved, reference)]
    ours, theirs = (asdict(RECIPES[name]).items() for name in ("improved", "reference"))
    return r.pieces(f"""is trained for {took(proved)} s, on {sequences} sequences of ten digits · in
    {r.WORDS[len(proved)]} seeds of {r.WORDS[len(proved)]}; · collapses in {r.WORDS[collapsed[1]]} seeds of
    {r.WORDS[len(reference)]}; with {r.WORDS[len(ours - theirs)]} changes, · in {r.WORDS[collapsed[0]]} of
    {r.WORDS[len(improved)]}. · [pyproject.toml] Python ≥ 3.11 · [du of a clone and of .venv; the peak of getrusage]
    needs 1.2 GB of disk and 1 GB of memory""")


def what_to_run() -> list[str]:
    found = {name: r.trained(name, recipe) for name, recipe in (("soon", "improved"), ("crisp", "crisp"))}
    found |= {name: r.trained("compare", name) for name in ("improved", "reference")}
    _, proved = r.fewest_sequences()
    at_ten, sums = r.swept("lstm", 10), r.proofs("sum3")
    assert set(r.column(at_ten, "test_accuracy")) == {1} and len(r.proved(sums)) == len(sums)
    assert (r.settings("part2/crisp")["epochs"], r.settings("part2/crisp")["number_format"]) == ("150", "bf16")
    [good] = [distance for distance in r.in_floors("compare", "reference") if distance < 100]
    of, learned = r.trained("conditional", "conditional"), r.cell("part2/labels", "test_accuracy", run="improved-learn")
    return r.pieces(f"""in {r.WORDS[len(proved)]} of ten seeds (runs) | {took(proved)} s | · test accuracy 1.0 in
    {r.WORDS[len(at_ten)]} of five seeds (runs); it often misreads longer sequences, of 30 and 100 digits |
    {took(at_ten)} s | · in {r.WORDS[len(sums)]} of five seeds | {took(sums)} s | · [of the command] | 100 new sevens ·
    distance ÷ floor {r.evaluated("improved")["floors"]} (n = 1; · distance ÷ floor
    {r.span(r.in_floors("soon", "improved"))} in three seeds (table) | {took(found["soon"])} s | · few smudged digits
    ({r.span(r.column(found["crisp"], "smudged"), ".3f")} in five seeds), a little less variety (table) |
    {took(found["crisp"], 60)} min | · distance ÷ floor {r.span(r.in_floors("compare", "improved"))} in five seeds
    (table) | {took(found["improved"], 60)} min | · distance ÷ floor {good:.1f} in one seed of three; the others draw a
    few broken shapes (table) | {took(found["reference"], 60)} min | · reads {100 * learned:.2f} % of MNIST's test
    images (n = 1; · {r.span(r.column(of, "smudged"), ".3f")} smudged in {r.WORDS[len(of)]} seeds, but less variety
    (table) | {took(of, 60)} min (an overloaded machine) | · [CONFIDENT in part2/judges/networks.py] with less than 95 %
    confidence""")


def results_to_beat() -> list[str]:
    sequences, proved = r.fewest_sequences()
    found, board = r.trained("compare", "improved"), r.trained("board", "improved")
    together = [sum(r.column(runs, "seconds")) for runs in (proved, found, board)]
    epochs = r.settings("part2/compare", recipe="improved")["epochs"]
    named = [sum("EPYC" in run["machine"] for run in runs) for runs in (found, board)]
    assert named == [2, len(board)] and all("Xeon" in run["machine"] for run in proved)
    return r.pieces(f"""all lengths (runs) | {sequences} | {len(proved)} | {together[0]:.0f} s | one thread of an Intel
    Xeon | · distance ÷ floor after {epochs} epochs (table) | {r.around(r.in_floors("compare", "improved"))} (95 %
    interval) | {len(found)} | {together[1] / 3600:.1f} hours | one thread; {r.WORDS[named[0]]} runs AMD EPYC, · to
    Fréchet distance 10 (board) | {r.how_soon("board", "improved", 10)} | {len(board)} | {together[2] / 60:.0f} min |
    two quiet cores of an AMD EPYC |""")


def cards() -> list[str]:
    found = {n: r.pretrained(n) for n in ("lstm", "lstm_without_proof", "generator", "classifier", "autoencoder")}
    lstm, without = found["lstm"], found["lstm_without_proof"]["accuracy_at"].values()
    sizes = {name: (r.ROOT / f"outputs/pretrained/{name}/checkpoint.pt").stat().st_size / 1e6 for name in found}
    commits = [r.rows("part1/proofs", run=run)[0]["commit"] for run in ("hot-n1000-seed0", "without-seed3")]
    assert lstm["proved"] and not found["lstm_without_proof"]["proved"] and commits[0] == commits[1]
    of = {name: f"{name}, {size:.1f} MB |" for name, size in sizes.items()}
    smudged, real = (r.cell("part2/evaluate", f"{of}_smudged", run="improved") for of in ("generated", "real"))
    return r.pieces(f"""{of["lstm"]} · [part1/train_proved.py] 64 units, one-hot digits, {lstm["parameters"]:,}
    parameters; on {lstm["sequences_seen"]:,} random sequences of ten digits | proved for every sequence, margin
    {lstm["margin"]:.2f} | · commit {commits[0]}; row hot-n1000-seed0 | · {of["lstm_without_proof"]} · of 10, 100, 1,000
    digits it names the first in {", ".join(f"{share:.2f}" for share in without)} of cases | · {of["generator"]} ·
    [part2/gan.py] 100 numbers to 28 × 28 pixels · [MNIST] MNIST's 60,000 training images · distance ÷ floor
    {r.evaluated("improved")["floors"]}, smudged {r.evaluated("improved")["smudged"]} (row) | · commit
    {r.rows("part2/compare", run="improved-seed3")[0]["commit"]}; row improved-seed3 | · {of["classifier"]} ·
    [Classifier] last 128 features · reads {100 * found["classifier"]["test_accuracy"]:.1f} % of the test images | ·
    {of["autoencoder"]} · [Autoencoder] 784 → 64 → 784 numbers · mean squared error
    {found["autoencoder"]["test_error"]:.3f} on test images | · one generated digit in {round(1 / smudged)} is smudged
    (real ones: one in {round(1 / real)})""")


CARDS = {"": cards}
SECTIONS = {
    "": first_screen,
    "What to run": what_to_run,
    "Results to beat": results_to_beat,
    "Set up": "[du of .venv] | 1.1 GB | · on Linux 6 GB (CUDA), · | on Linux 6 GB |",
    "What this leaves out": "[the licence of MNIST] CC BY-SA 3.0",
}
