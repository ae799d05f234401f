"""NOTES.md: the pieces of text that hold its numbers, by section."""

from statistics import mean, median

from tests import numbers_records as r


def machines() -> list[str]:
    files, step = ("benchmark.csv", "one-by-one.csv"), {"what": "training step", "network": "by hand"}
    h200, h100 = (r.rows("part2/benchmark-cuda", name, contestant="improved recipe")[0] for name in files)
    short, long = (r.cell("part1/benchmark-cuda", "speed", files[0], length=n, **step) for n in (10, 100))
    versions = sorted({run["torch"][:4] for run in r.rows("part1/sweep") + r.rows("part2/compare") if run["torch"]})
    computed = r.computed()
    (hours, runs), (_, others) = (computed[part] for part in ("part1", "part2"))
    judges = sum(r.pretrained(name)["seconds"] for name in ("classifier", "autoencoder")) / 60
    return r.pieces(f"""(PyTorch {" or ".join(versions)}) · Training took
    {sum(h for h, _ in computed.values()):.1f} hours: {hours:.1f} for {runs} networks of Part 1, the rest for
    {others} of Part 2. · the two judges ({judges:.0f} min) · it takes {float(h200["ms_per_step"]):.2f} ms on the H200,
    {float(h200["speed"]):.0f} times the speed of the assignment's loop there (single rounds:
    {float(h200["slowest"]):.0f} to {float(h200["fastest"]):.0f}; · So
    {r.settings("part2/compare", recipe="improved")["epochs"]} epochs take about two minutes ·
    {float(h100["ms_per_step"]):.2f} ms on the H100, {float(h100["speed"]):.1f} times the speed · it has
    {short:.2f} times the speed of `nn.LSTM` at 10 digits, {long:.2f} times at 100 · [not recorded] with PyTorch 2.11. ·
    [not recorded] a GPU (twice 15 minutes)""")


def perfect_epochs() -> list[str]:
    found = {name: r.broken(name, *r.LENGTHS) for name in r.NETWORKS}
    table = []
    for name, of in found.items():
        counts = (len(r.swept(name, *r.LENGTHS)), len(of), sum(map(bool, of)), f"{max(of)} epochs")
        table.append(r.line(r.NETWORKS[name], *counts))
    return table + r.pieces("""[not kept] ended at a test accuracy of 0.997 although validation had been 1.0 (the run
    was not kept) · [report.md] all are at 1.0. · [what is counted] reached 1.0 | of these, fell below 0.9 again""")


def curriculum() -> list[str]:
    runs = r.curricula()
    [(sequences, length)] = {(int(run["sequences_seen"]), int(run["input_length"])) for run in runs}
    wrong, [of, *_] = zip(*map(r.misread, runs), strict=True)
    assert wrong.count(0) == 4 and len(wrong) == 5
    return r.pieces(f"""({runs[0]["num_hidden"]} units, one-hot digits) was trained on longer and longer palindromes, up
    to {length:,} digits. Of {of:,} palindromes up to {2**20:,} digits, four of five networks misread none, and one
    misread {max(wrong)} (n = 5; {sequences:,} sequences each; · [certify.py, of outputs/pretrained/lstm in commit
    df18de7] it says 9 (margin -0.23).""")


def gates() -> list[str]:
    *early, _, last = r.column(r.rows("part1/gates", "curves.csv", run="T10"), "sensitivity")
    assert max(early) < 1e-4
    return r.pieces(f"is below 1e-4 at the first eight of ten digits and {last:.2f} at the tenth")


def judge() -> list[str]:
    def row(name: str, of: list[dict]) -> str:
        found = (
            [r.column(of, key), 2 if "floors" in key else 3] for key in r.evaluated("improved") if key != "smudged"
        )
        return r.line(name, *(r.span(v, f".{d}f") if len(v) > 1 else f"{v[0]:.{d}f}" for v, d in found))

    own, *others = (
        [r.evaluated("improved")],
        *[[r.evaluated(f"{kind}-seed{seed}-evaluate", "judges") for seed in (1, 2, 3)] for kind in r.JUDGES],
    )
    return [
        row("the project's own", own),
        *(row(f"{kind}, three seeds", of) for kind, of in zip(r.JUDGES, others, strict=True)),
        "10,000 real images, spoiled in five ways",  # SAMPLES
    ]


def recipe() -> list[str]:
    rates = (r.settings("part2/compare", recipe=name)["learning_rate"] for name in ("reference", "improved"))
    return r.pieces(f"""{r.line("learning rate", *(r.POWER[rate] for rate in rates))[:-2]} / (1 + epoch / 20) | ·
    [recipes] | Adam's betas | 0.9, 0.999 | 0, 0.99 | · [recipes] γ = 0.3, on real and generated images, every 8th batch
    with 8 times the weight · [recipes] decay min(0.9999, n / (n + 10)) after n batches · [recipes] measured on 10,000 z
    · [recipes] (α = 0.999) instead of Adam · [recipes] betas 0.5 and 0.999 and BatchNorm's ε 0.8, · collapsed for
    {r.settings("part2/compare", recipe="reference_popular")["epochs"]} epochs · [not kept] trials of 10 to 60 epochs, ·
    [validation] on the first 50,000 training images, judged by the other 10,000 (not kept). · [not kept] γ between 0.1
    and 1 · Digits after {r.settings("part2/levers")["epochs"]} epochs""")


def soon() -> list[str]:
    def first_better(study, run):
        return next(row["epoch"] for row in r.measured(study, run) if float(row["frechet"]) < good)

    def after(goal, *boards):
        found = [r.how_soon(study, "improved", goal).split(" s, ")[0] for study in boards]
        return f"{goal} after {r.listed(found)} s"

    [reference] = r.rows("part2/compare", run="reference-seed0")
    good = float(reference["frechet"])
    [epochs] = {first_better("soon", run) for run in r.trained("soon", "improved")}
    boards = ("board", "board-bf16", "compare")
    five = [r.how_soon(study, "improved", 5).replace(" s, ", " s (") for study in boards[1:]]
    assert [len(r.trained(study, "improved")) for study in boards] == [3, 3, 5]
    assert not r.first_below("board-bf16", "improved", 3)
    return r.pieces(f"""first measures below {good:.1f}, where it ends, at epoch {first_better("compare", reference)};
    the improved recipe at epoch {epochs}, in · measured every 10 epochs; · {after(20, *boards)}; {after(10, *boards)};
    5 after {five[0]}; bf16) and {five[1]}; busy); 3 after
    {r.how_soon("compare", "improved", 3).replace(" s, ", " s (")}; busy).""")


def rows_by_heart() -> list[str]:
    names = ("logit_training", "logit_unseen", "logit_generated")
    of = [
        (row, [f"{float(row[n]):.3f}" for n in names]) for row in r.rows("part2/memory", "curves.csv") if row[names[0]]
    ]
    return [r.line(row["epoch"], *logits, f"{r.learned_by_heart(row):.0f} %") for row, logits in of]


def rows_of_signs() -> list[str]:
    """A row for each lever at the last epoch of gpu.csv, as means over seeds and samples."""
    alike = {}
    for row in r.rows("part2/trials", "gpu.csv", epoch=148):
        alike.setdefault(row["lever"], []).append(row)
    assert {len(of) for of in alike.values()} == {15}  # three seeds, five samples each
    figures = {"frechet": 2, "frechet_autoencoder": 2, "recall": 3, "coverage": 3, "smudged": 3}  # → decimal places
    return [r.line(k, *(f"{mean(r.column(of, n)):.{d}f}" for n, d in figures.items())) for k, of in alike.items()]


def spread(name: str, between: str, **where) -> float:
    """The largest difference of a lever's Fréchet distance between two samples or seeds (means over samples)."""
    alike = {}
    for row in r.rows("part2/trials", f"{name}.csv", **where):
        alike.setdefault(row["lever"], {}).setdefault(row[between], []).append(float(row["frechet"]))
    return max(max(map(mean, of.values())) - min(map(mean, of.values())) for of in alike.values())


def levers() -> list[str]:
    names = ("D sees half of the images turned, scaled and moved a little", "nothing changed")
    of = [r.rows("part2/trials", "forks.csv", lever=lever, epoch=70) for lever in names]
    moved, plain = (r.learned_by_heart(row) for [row] in of)
    last = [r.rows("part2/trials", "consistent.csv", seed=seed)[-1] for seed in (0, 1)]
    [epochs] = {row["epoch"] for row in last}
    signs, improved = (
        {float(line.split(" | ")[-1][:-2]) for line in rows_of_signs() if line.startswith(f"| {name} |")}
        for name in ("20 signs", "improved")
    )
    assert round(10 * (1 - signs.pop() / improved.pop())) == 4
    return r.pieces(f"""differ by up to {spread("go_on", "sample_seed"):.1f} in the Fréchet distance, two seeds at epoch
    115 by up to {spread("gpu", "seed", epoch=115):.1f}, so · (at epoch 70, {moved:.0f} % instead of {plain:.0f} %) · on
    all images for {epochs} epochs it came to {r.listed(r.column(last, "frechet"), ".2f")} on test images · (ten have
    only {2**10:,} combinations), with 32 · [validation] the first 50,000 training images, judged by the other 10,000, ·
    [forks.csv] from epoch 35 and from 40, · [levers] γ below 0.1 makes the distance larger, one from 0.3 to 3 · [not
    kept] collapsed at a constant 5e-4 · [levers] 32 or 200 latent dimensions are as good
    as 100. · [--latent_dim] twenty of its 100 numbers · [gpu.csv] Signs and rates at epoch 148 (n = 3,""")


def rejection() -> list[str]:
    ways = ("logit", "jacobian", "logit jacobian")
    every, found = r.evaluated("improved"), [r.evaluated(f"reject-{way.replace(' ', '-')}") for way in ways]
    assert all(of["recall"] < every["recall"] and of["floors"] > every["floors"] for of in found)
    smudged, recall, floors = ([of[name] for of in found] for name in ("smudged", "recall", "floors"))
    crisp = (mean(r.values(r.trained("crisp", "crisp"), name, "crisp")) for name in ("smudged", "floors"))
    return r.pieces(f"""Smudged images fall from {every["smudged"]} to {smudged[0]}, {smudged[1]} and, by both,
    {smudged[2]}, recall from {every["recall"]} to {r.listed(recall)}, and the distance grows from {every["floors"]}
    floors to {r.listed(floors)} (rows). `crisp`: {next(crisp):.3f} at {next(crisp):.2f} floors.""")


def labels() -> list[str]:
    rows = r.rows("part2/trials", "labels.csv")
    told = [row for row in rows if row["epoch"] == "20"]
    scaled = {row["scale"]: row for row in rows if row["told"] == "0.5" and row["epoch"] == "31.2"}
    before, after = scaled["1.0"], scaled["1.15"]
    assert [float(row["told"]) for row in told] == [1, 1 / 2, 1 / 8, 1 / 32]
    floors, by_the_other = ([float(row[name]) for row in (before, after)] for name in ("floors", "floors_autoencoder"))
    return r.pieces(f"""{r.listed(r.column(told, "smudged"), ".3f")} are smudged, and recall is
    {r.listed(r.column(told, "recall"), ".2f")}. · at epoch 31, a z that is 1.15 times as large raises recall from
    {float(before["recall"]):.2f} to {float(after["recall"]):.2f}, · {float(after["smudged"]):.3f} instead of
    {float(before["smudged"]):.3f} are smudged · ({r.listed(floors, ".2f")} floors); the autoencoder's doubles
    ({by_the_other[0]:.2f} to {by_the_other[1]:.2f}) · [the patch] the first 50,000 training images, judged by the other
    10,000 (seed 10,""")


def losses() -> list[str]:
    found = {}
    for recipe in ("reference", "improved"):
        runs = r.trained("compare", recipe)
        of = [100 * accuracy for accuracy in r.column(runs, "discriminator_accuracy")]
        assert all(abs(a - r.accuracies("compare", run)[-1]) < 0.01 for a, run in zip(of, runs, strict=True))
        found[recipe] = r.listed(of, ".1f")
    course = r.accuracies("compare", r.trained("compare", "improved")[0])
    return r.pieces(f"""The accuracy in the last epoch is {found["reference"]} % for the reference's seeds 0, 1 and 2 (1
    and 2 collapsed), and {found["improved"]} % for the improved recipe's · the accuracy is lowest near epoch
    {course.index(min(course)) + 1}.""")


def which_digits() -> list[str]:
    walks = {row["run"]: row for row in r.rows("part2/interpolate")}
    shares = {name: r.span([100 * float(p) for p in row["shares"].split()], ".1f") for name, row in walks.items()}
    sure = {name: 100 * float(row["confident"]) for name, row in walks.items()}
    table = []
    for leg in ("3-4", "9-3", "3-2"):
        read = [r.read_in_the_middle(name, leg).items() for name in ("reference", "improved")]
        shown = [", ".join(f"{digit}: {p:.0f} %" for digit, p in of if round(p) >= 5) for of in read]
        table.append(r.line(leg.replace("-", " → "), *shown))
    return table + r.pieces(f"""in the middle of {int(r.settings("part2/interpolate")["walks"]):,} walks, if 5 % or
    more; · [walks.py] with 95 % or more. · [interpolate.py] Of 20,000 images the · the reference draws from
    {shares["reference"]} % as one digit, the improved recipe from {shares["improved"]} %. The classifier reads
    {sure["reference"]:.1f} and {sure["improved"]:.1f} % of them with a confidence of 95 % or more, and
    {100 * r.pretrained("classifier")["confident"]:.1f} % of MNIST's""")


def waiting() -> list[str]:
    def seconds(bound: int, network: str, busy: int) -> list[str]:
        found = r.rows(".", "waiting-threads.csv", network=network, spin_bound=bound, busy_processes=busy)
        return [row["seconds"] for row in found]

    table = []
    for bound, name in (300_000, ", GNU's own"), (100_000, ""), (20_000, ", the scripts'"), (5_000, ""):
        idle = (f"{median(map(float, seconds(bound, network, 0))):.2f}" for network in ("LSTM", "GAN"))
        busy = (f"{float(text):.2f}" if text else "not in 60" for text in seconds(bound, "LSTM", 6))
        table.append(r.line(f"{bound:,}{name}", *idle, ", ".join(busy)))
    return table


def speed() -> list[str]:
    alike = {}
    for study in ("benchmark", "benchmark-allocators"):
        for row in r.rows(f"part1/{study}", "benchmark.csv"):
            alike.setdefault((row["network"], row["what"]), {})[int(row["length"])] = float(row["speed"])
    step, lengths = "training step", (5, 10, 30, 100, 1000)
    table = [r.line("nn.LSTM = 1", *(f"T = {n:,}" for n in lengths))]
    for name in ("by hand", "nn.LSTM, huge pages", "plain loop", "floor: the products alone"):
        table.append(r.line(name, *(f"{alike[name, step][n]:.2f}" for n in lengths)))
    forward = next(of for (name, what), of in alike.items() if name == "by hand" and what != step)
    table.append(r.line("by hand, forward pass", *(f"{forward[n]:.2f}" for n in lengths)))
    for row in r.rows("part2/benchmark", "benchmark.csv"):
        times, low, high, floors = (float(row[key]) for key in ("speed", "slowest", "fastest", "times_the_floor"))
        times = "1" if low == high else f"{times:.2f} ({low:.2f}–{high:.2f})"
        floors = "1" if floors == 1 else f"{floors:.2f}"
        if row["contestant"] not in ("the same, images in memory", "reference recipe, bf16 products"):
            table.append(r.line(row["contestant"], f"{float(row['ms_per_step']):.1f}", times, floors))
    xeon = {"name": "lstm-benchmark.csv", "what": step}
    whose = [(f"by hand, {of} products", n) for of in ("PyTorch's", "oneDNN's") for n in (30, 100)]
    intel = [f"{r.cell('benchmark', 'speed', **xeon, contestant=c, length=n):.2f}" for c, n in whose]
    [memory], [cost] = (r.rows(f"{part}/benchmark", run="benchmark") for part in ("part1", "part2"))
    return table + r.pieces(f"""batch {memory["batch_size"]}, {memory["num_hidden"]} units, two threads · keeps
    {float(memory["memory_by hand"]):,.0f} bytes for each step and sequence until the backward pass, `nn.LSTM`
    {float(memory["memory_nn.LSTM"]):,.0f} (row). · has {intel[0]} times the speed of `nn.LSTM` at 30 digits and
    {intel[1]} times at 100 (with oneDNN's {intel[2]} and {intel[3]}; · batch {cost["batch_size"]}, two threads, median
    of nine rounds (slowest · after {r.settings("part2/bf16")["epochs"]} epochs the improved recipe is at
    {r.around(r.in_floors("bf16", "improved"))} times the floor instead of {r.around(r.in_floors("levers", "improved"))}
    (n = 3;""")


SECTIONS = {
    "Machines and versions": machines,
    "Part 1 / Twenty perfect epochs": perfect_epochs,
    "Part 1 / Before the proof: a curriculum": curriculum,
    "Part 1 / How the proof was found": """[not kept] 9 to 18 % of the inequalities · [not kept] after 100 to 170 rounds
    of widening · [the rows of runs.csv] All 108 networks were certified again · [not kept] by less than 2e-5, those of
    failures by less than 0.03""",
    "Part 1 / Gates over a thousand digits": gates,
    "Part 2 / Checking the judge": judge,
    "Part 2 / How the recipe was found": recipe,
    "Part 2 / How soon": soon,
    "Part 2 / Levers that were tried": levers,
    "Part 2 / Rejection": rejection,
    "Part 2 / Losses and the discriminator's accuracy": losses,
    "Part 2 / Which digits are drawn": which_digits,
    "Part 2 / Labels": labels,
    "Waiting threads": waiting,
    "Speed": speed,
}
ROWS = {  # section → rows of which it shows some
    "Part 2 / What the discriminator learns by heart": rows_by_heart,
    "Part 2 / Levers that were tried": rows_of_signs,
}
