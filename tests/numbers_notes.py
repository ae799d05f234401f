"""NOTES.md: the pieces of text that hold its numbers, by section."""

from statistics import mean, median

from tests import numbers_records as r


def machines() -> list[str]:
    files, step = ("benchmark.csv", "one-by-one.csv"), {"what": "training step", "network": "by hand"}
    h200, h100 = (r.rows("part2/benchmark-cuda", name, contestant="improved recipe")[0] for name in files)
    short, long = (r.cell("part1/benchmark-cuda", "speed", files[0], length=n, **step) for n in (10, 100))
    versions = sorted({run["torch"][:4] for run in r.rows("part1/sweep") + r.rows("part2/compare") if run["torch"]})
    return r.pieces(f"""(PyTorch {" or ".join(versions)}) · it takes {float(h200["ms_per_step"]):.2f} ms on the H200,
    {float(h200["speed"]):.0f} times the speed of the assignment's loop there ({float(h200["slowest"]):.0f} to
    {float(h200["fastest"]):.0f} times in single rounds; · So {r.settings("part2/compare", recipe="improved")["epochs"]}
    epochs take about two minutes · {float(h100["ms_per_step"]):.2f} ms on the H100, {float(h100["speed"]):.1f} times
    the speed · at {short:.2f} times the speed of `nn.LSTM` at 10 digits, at {long:.2f} times at 100 · [not recorded]
    with PyTorch 2.11 and Python 3.12 both times""")


def perfect_epochs() -> list[str]:
    found = {name: r.broken(name, *r.LENGTHS) for name in r.NETWORKS}
    table = []
    for name, of in found.items():
        counts = (len(r.swept(name, *r.LENGTHS)), len(of), sum(map(bool, of)), f"{max(of)} epochs")
        table.append(r.line(r.NETWORKS[name], *counts))
    most = max(max(of) for name, of in found.items() if not name.startswith("rnn"))
    worse = {n: sum(e > most for name in ("rnn", "rnn_uniform") for e in r.broken(name, n)) for n in r.LENGTHS}
    assert sum(worse.values()) == 5 and {n for n in worse if worse[n]} == {15, 25, 30}
    return table + r.pieces(f"""The five runs with more than {most} such epochs are vanilla RNNs at T = 15, 25 or 30. ·
    [not kept] ended at a test accuracy of 0.997 although validation had been 1.0 (the run was not kept) · [report.md]
    all are at 1.0. · [what is counted] reached 1.0 | of these, fell below 0.9 again""")


def curriculum() -> list[str]:
    runs = r.curricula()
    [(sequences, length)] = {(int(run["sequences_seen"]), int(run["input_length"])) for run in runs}
    wrong, [of, *_] = zip(*map(r.misread, runs), strict=True)
    assert wrong.count(0) == 4 and len(wrong) == 5
    return r.pieces(f"""({runs[0]["num_hidden"]} units, one-hot digits) was trained on longer and longer palindromes, up
    to {length:,} digits · Of {of:,} palindromes up to {2**20:,} digits, four of five networks misread none, and one
    misread {max(wrong)} (n = 5; {sequences:,} sequences each · [certify.py, of outputs/pretrained/lstm in commit
    df18de7] it says 9, with a margin of -0.23, and after 3 7 7 2""")


def gates() -> list[str]:
    *early, _, last = r.column(r.rows("part1/gates", "curves.csv", run="T10"), "sensitivity")
    [row] = r.rows("part1/gates", run="T10")
    assert max(early) < 1e-4 and {"13", "54"} <= {*row["units"].split()}
    return r.pieces(f"""units 13 and 54 change sides before · is below 1e-4 at the first eight of ten digits and
    {last:.2f} at the tenth""")


def judge() -> list[str]:
    table = []
    for way in dict.fromkeys(row["way"] for row in r.rows("part2/judge", "curves.csv")):
        unspoiled, *steps = r.rows("part2/judge", "curves.csv", way=way)
        times = [[float(s[k]) / float(unspoiled[k]) for k in ("frechet", "frechet_autoencoder")] for s in steps]
        strengths = ", ".join(f"{float(step['strength']):g}" for step in steps)
        table.append(r.line(way, strengths, *(f"{a:.1f} ({b:.1f})" for a, b in times)))
    table.append(r.line("the project's own", *r.evaluated("improved").values()))
    for run in (f"{kind}-seed{seed}" for kind in ("retrained", "untrained") for seed in (1, 2, 3)):
        table.append(r.line(run.replace("-seed", ", seed "), *r.evaluated(f"{run}-evaluate", "judges").values()))
    return table


def soon() -> list[str]:
    def first_better(study, run):
        return next(row["epoch"] for row in r.measured(study, run) if float(row["frechet"]) < good)

    [reference] = r.rows("part2/compare", run="reference-seed0")
    good = float(reference["frechet"])
    [epochs] = {first_better("soon", run) for run in r.trained("soon", "improved")}
    runs, last = r.trained("board-fast", "fast"), int(r.settings("part2/board-fast")["epochs"])
    fast, plain = r.column(runs, "frechet"), r.epoch("board-bf16", "improved", last)
    recall = mean(r.epoch("board-bf16", "improved", last, "recall")) - mean(r.column(runs, "recall"))
    assert round(100 * recall) == 2 and sum(distance <= 5 for distance in fast) == 2
    return r.pieces(f"""first measures below {good:.1f}, where it ends, at epoch {first_better("compare", reference)};
    the improved recipe at epoch {epochs}, in · measured every 10 epochs; · over the last three tenths of {last} epochs;
    bf16 · Fréchet distance of {r.listed(fast, ".2f")} after {r.span(r.column(runs, "seconds"), ".0f")} s, where the
    improved recipe after {last} epochs has {r.listed(plain, ".2f")};""")


def rows_by_heart() -> list[str]:
    names = ("logit_training", "logit_unseen", "logit_generated")
    of = [
        (row, [f"{float(row[n]):.3f}" for n in names]) for row in r.rows("part2/memory", "curves.csv") if row[names[0]]
    ]
    return [r.line(row["epoch"], *logits, f"{r.learned_by_heart(row):.0f} %") for row, logits in of]


def rows_of_trials(*names: str, plain: str = "") -> list[str]:
    """A row for each lever at each epoch, of epoch `plain` also one without its name: means over the samples."""
    alike = {}
    for file, row in ((name, row) for name in names for row in r.records(f"part2/trials/{name}.csv")):
        at = row.get("epoch", "")
        for text in {f", epoch {at}" * bool(at), f", epoch {at}" * (at not in ("", plain))}:
            alike.setdefault((file, row["lever"] + text), []).append(row)
    figures = {"frechet": 2, "frechet_autoencoder": 2, "recall": 3, "coverage": 3, "smudged": 3}  # → decimal places
    return [r.line(k, *(f"{mean(r.column(of, n)):.{d}f}" for n, d in figures.items())) for (_, k), of in alike.items()]


def spread(name: str, between: str, **where) -> float:
    """The largest difference of a lever's Fréchet distance between two samples or seeds (means over samples)."""
    alike = {}
    for row in r.rows("part2/trials", f"{name}.csv", **where):
        alike.setdefault(row["lever"], {}).setdefault(row[between], []).append(float(row["frechet"]))
    return max(max(map(mean, of.values())) - min(map(mean, of.values())) for of in alike.values())


def levers() -> list[str]:
    twenty = "signs of 20 of the 100 numbers of z, ±3, bf16"
    signs = r.cell("part2/trials", "smudged", "trials.csv", lever=twenty, epoch=100)
    names = ("D sees half of the images turned, scaled and moved a little", "nothing changed")
    of = [r.rows("part2/trials", "forks.csv", lever=lever, epoch=70) for lever in names]
    moved, plain = (r.learned_by_heart(row) for [row] in of)
    return r.pieces(f"""moves the Fréchet distance by up to {spread("go_on", "sample_seed"):.1f}, so only · at epoch 100
    one in {1 / signs:.0f}, which no other lever comes near. · twelve signs have only {2**12:,} combinations · (at epoch
    70, {moved:.0f} % of the gap between its images and generated ones is memorised, instead of {plain:.0f} %) ·
    [validation] first 50,000 training images, judged by the other 10,000 · [go_on.csv] trained for 12 epochs more, from
    epoch 40 · [the rows] after 20 epochs; so the distances · [--data_size] come from 60,000 images · [a lever] 32
    latent dimensions are as good as 100 · [--latent_dim] 100 latent dimensions) · [forks.csv] from epoch 60 of ·
    [forks.csv] name epoch 80 or 105 go on · [forks.csv] At epoch 150 · [--latent_dim] (with 100 latent dimensions
    instead of 32; · [levers] γ below 0.1 makes the distance larger, one from 0.3 to 3 · [levers] between epochs 40 and
    60 changes little; between epochs 5 and 10""")


def many_levers() -> list[str]:
    last = [r.rows("part2/trials", "consistent.csv", seed=seed)[-1] for seed in (0, 1)]
    [epochs] = {row["epoch"] for row in last}
    return r.pieces(f"""At epoch 115 two seeds of one lever differ by up to {spread("gpu", "seed", epoch=115):.1f} in
    the Fréchet · ten signs have only {2**10:,} combinations · trained on all 60,000 images for {epochs} epochs (bf16, ·
    a Fréchet distance of {r.listed(r.column(last, "frechet"), ".2f")} on test images · [validation] 50,000 training
    images, judged by the other 10,000 · [gpu.csv] At epoch 115 of 115, · [a lever] 30 (λ = 1, 0.1) recall · [gpu.csv]
    At epoch 115 the autoencoder's · [a lever] (λ = 1, 0.05; the first table) · [gpu.csv] At epoch 148 of 148 (an H200 ·
    [the levers] halved in 20 epochs, unless · [a lever] (G's rate, the fall, halved in 60 epochs) · [levers] No gain at
    epoch 30 or 115: 32 or 200 latent dimensions instead of 100""")


def rejection() -> list[str]:
    ways = ("logit", "jacobian", "logit jacobian")
    every, found = r.evaluated("improved"), {way: r.evaluated(f"reject-{way.replace(' ', '-')}") for way in ways}
    assert all(of["recall"] < every["recall"] and of["floors"] > every["floors"] for of in found.values())
    gone = [1 - float(of["smudged"]) / float(every["smudged"]) for of in found.values()]
    assert 0.3 < min(gone) < 0.4 and 0.5 < max(gone) < 0.55
    table = [r.line("all images", *every.values())]
    table += [r.line(f"`--reject {way}`", *of.values()) for way, of in found.items()]
    smudged, distance = (mean(r.values(r.trained("crisp", "crisp"), name, "crisp")) for name in ("smudged", "floors"))
    return table + r.pieces(f"smudged images ({smudged:.3f}) at a smaller distance ({distance:.2f} floors), so it")


def birthday() -> list[str]:
    [row] = r.rows("part2/evaluate", run="improved")
    of = {name[9:]: float(text) for name, text in row.items() if name.startswith("birthday_")}
    assert round(of["real_distinct"] / of["distinct"]) == 9
    return r.pieces(f"""images of the pretrained generator {of["pairs"]:,.0f} pairs are alike, of 20,000 real ones
    {of["real_pairs"]:.0f}. · Among {of["party"]:.0f} of its images two are alike with a probability of one half, among
    {of["real_party"]:,.0f} real ones; · [the test] nearer to each other than 99 % of the test images · [the test] Of
    20,000 images""")


def losses() -> list[str]:
    found = {}
    for recipe in ("reference", "improved"):
        runs = r.trained("compare", recipe)
        of = [100 * accuracy for accuracy in r.column(runs, "discriminator_accuracy")]
        assert all(abs(a - r.accuracies("compare", run)[-1]) < 0.01 for a, run in zip(of, runs, strict=True))
        found[recipe] = r.listed(of, ".1f")
    course = r.accuracies("compare", r.trained("compare", "improved")[0])
    return r.pieces(f"""the accuracy is lowest near epoch {course.index(min(course)) + 1} and rises · in the last epoch
    is {found["reference"]} % for the reference's seeds 0, 1 and 2 (1 and 2 collapsed), and {found["improved"]} % for
    the improved · [the picture] level off after about 120 epochs, far above 50 %""")


def which_digits() -> list[str]:
    walks = {row["run"]: row for row in r.rows("part2/interpolate")}
    table = [r.line(f"{n} (%)", *(f"{100 * float(p):.1f}" for p in row["shares"].split())) for n, row in walks.items()]
    sure = {name: 100 * float(row["confident"]) for name, row in walks.items()}
    return table + r.pieces(f"""The classifier reads {sure["reference"]:.1f} % of the reference's images (seed 0) with a
    confidence of 95 % or more, {sure["improved"]:.1f} % of the improved recipe's, and
    {100 * r.pretrained("classifier")["confident"]:.1f} % of MNIST's · [interpolate.py] Shares of 20,000 images""")


def waiting() -> list[str]:
    def seconds(bound: int, network: str, busy: int) -> list[str]:
        found = r.rows(".", "waiting-threads.csv", network=network, spin_bound=bound, busy_processes=busy)
        return [row["seconds"] for row in found]

    table = []
    for bound, name in (300_000, ", GNU's own"), (100_000, ""), (20_000, ", the scripts'"), (5_000, ""):
        idle = (f"{median(map(float, seconds(bound, network, 0))):.2f}" for network in ("LSTM", "GAN"))
        busy = (f"{float(text):.2f}" if text else "not in 60" for text in seconds(bound, "LSTM", 6))
        table.append(r.line(f"{bound:,}{name}", *idle, ", ".join(busy)))
    return table + r.pieces("[the command: 19,200 images in batches of 64] GAN: 300 batches")


def on_intel() -> list[str]:
    def speed(name: str, **where) -> str:
        return f"{r.cell('benchmark', 'speed', what='training step', name=name, **where):.2f}"

    table = []
    for product in ("PyTorch's products", "oneDNN's products"):
        of = [speed("lstm-benchmark.csv", contestant=f"by hand, {product}", length=n) for n in (5, 10, 30, 100)]
        recipes = (f"{name} recipe, {product}" for name in ("reference", "improved"))
        table.append(r.line(f"by hand, {product}", *of, *(speed("gan-benchmark.csv", contestant=c) for c in recipes)))
    plain = (speed("lstm-benchmark.csv", contestant="plain loop", length=n) for n in (5, 10, 30, 100))
    heads = (f"T = {n}" for n in (5, 10, 30, 100))
    return [
        r.line("an Intel Xeon with AVX-512", *heads, "GAN, reference", "GAN, improved"),
        *table,
        r.line("plain loop", *plain),
    ]


def speed() -> list[str]:
    alike = {}
    for study in ("benchmark", "benchmark-allocators"):
        for row in r.rows(f"part1/{study}", "benchmark.csv"):
            alike.setdefault((row["network"], row["what"]), {})[int(row["length"])] = row

    def of(network, column="speed", what="training step"):
        return {length: float(row[column]) for length, row in alike[network, what].items()}

    table = [r.line("nn.LSTM = 1", *(f"T = {n:,}" for n in of("by hand")))]
    for name, what in alike:
        if (what == "training step" and name != "nn.LSTM") or name == "by hand":
            text = name + ", forward pass" * (what != "training step")
            table.append(r.line(text, *map("{:.2f}".format, of(name, what=what).values())))
    took = {name: of(name, "us_per_step_of_length") for name in ("by hand", "floor: the products alone")}
    by_hand, products = (r.span([us for n, us in found.items() if n <= 30], ".0f") for found in took.values())
    huge = of("nn.LSTM, huge pages")
    assert [n for n, faster in of("by hand").items() if faster > 1] == [100, 300, 1000]
    for row in r.rows("part2/benchmark", "benchmark.csv"):
        times, low, high, floors = (float(row[key]) for key in ("speed", "slowest", "fastest", "times_the_floor"))
        times = "1" if low == high else f"{times:.2f} ({low:.2f}–{high:.2f})"
        floors = "1" if floors == 1 else f"{floors:.2f}"
        table.append(r.line(row["contestant"], f"{float(row['ms_per_step']):.1f}", times, floors))
    [memory], [cost] = (r.rows(f"{part}/benchmark", run="benchmark") for part in ("part1", "part2"))
    return (
        table
        + on_intel()
        + r.pieces(f"""batch {memory["batch_size"]}, {memory["num_hidden"]} units, two threads · between 30 and
    100 digits in a training step · take {products} µs of the {by_hand} µs that · it is {huge[300]:.2f} times as fast at
    300 digits and {huge[1000]:.2f} at 1,000, · keeps {float(memory["memory_by hand"]):,.0f} bytes for each step and
    sequence until the backward pass, `nn.LSTM` {float(memory["memory_nn.LSTM"]):,.0f} · batch {cost["batch_size"]}, two
    threads, median of nine rounds · The penalty and the average cost
    {100 * float(cost["improved_to_reference"]) - 100:.0f} % · after {r.settings("part2/bf16")["epochs"]} epochs the
    improved recipe is at {r.around(r.in_floors("bf16", "improved"))} times the floor instead of
    {r.around(r.in_floors("levers", "improved"))} (n = 3; · [the csv] The rows from 300 digits on say nothing""")
    )


SECTIONS = {
    "Machines and versions": machines,
    "Part 1 / Twenty perfect epochs": perfect_epochs,
    "Part 1 / Before the proof: a curriculum": curriculum,
    "Part 1 / How the proof was found": """[not kept] 9 to 18 % of the inequalities · [not kept] after 100 to 170 rounds
    of widening · [the rows of runs.csv] All 108 networks were certified again · [not kept] by less than 2e-5, those of
    failures by less than 0.03""",
    "Part 1 / Gates over ten digits": gates,
    "Part 2 / Checking the judge": judge,
    "Part 2 / How the recipe was found": """[not kept] trials of 10 to 60 epochs, one seed each · [validation] on the
    first 50,000 training images, judged by the other 10,000 · [not kept] γ between 0.1 and 1 · [not kept] collapsed at
    a constant 5e-4 · [levers] and after 20 epochs, for each run · [levers] Digits after 20 epochs, not chosen""",
    "Part 2 / How soon, without seconds": soon,
    "Part 2 / Levers that were tried": levers,
    "Part 2 / Many levers at once": many_levers,
    "Part 2 / Rejection": rejection,
    "Part 2 / The birthday test": birthday,
    "Part 2 / Losses and the discriminator's accuracy": losses,
    "Part 2 / Which digits are drawn": which_digits,
    "Waiting threads": waiting,
    "Speed": speed,
}
ROWS = {  # section → rows of which it shows some
    "Part 2 / What the discriminator learns by heart": rows_by_heart,
    "Part 2 / Levers that were tried": lambda: rows_of_trials("trials", "forks", "go_on", plain="20"),
    "Part 2 / Many levers at once": lambda: rows_of_trials("gpu"),
}
