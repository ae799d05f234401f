"""report.md: the pieces of text that hold its numbers, by section."""

from statistics import mean

from tests import numbers_records as r

POWER = {"0.001": "1e-3", "0.0005": "5e-4", "0.0002": "2e-4"}  # how pages write learning rates
COLLAPSED = 200  # a Fréchet distance above
LESS = {
    "recall": 3,
    "coverage": 2,
    "recall_autoencoder": 6,
}  # in hundredths, of the improved recipe than of real images


def after_sixty_epochs() -> list[float]:
    """The Fréchet distances of the reference's ten seeds."""
    return r.epoch("compare", "reference", 60) + r.epoch("collapse", "reference", 60)


def read_in_the_middle(name: str, leg: str) -> dict[str, float]:
    """Digit → how often in a hundred it is read in the middle of walks, the most frequent first."""
    [row] = r.rows("part2/interpolate", run=name)
    found = {key[-1]: 100 * float(share) for key, share in row.items() if f"middles_{leg}_" in key}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def claims() -> list[str]:
    means = {n: mean(r.test_accuracies("reference", n)) for n in r.LENGTHS}
    distances, levers = after_sixty_epochs(), int(r.settings("part2/levers")["epochs"])
    sequences, proved = r.fewest_sequences()
    out, recovered = (
        r.WORDS[sum(d < COLLAPSED for d in of)] for of in (distances, r.epoch("compare", "reference", 200))
    )
    assert max(r.epoch("levers", "reference_rmsprop", levers)) < COLLAPSED
    for name in ("reference", "reference_schedule", "reference_wide"):
        assert min(r.epoch("levers", name, levers)) > COLLAPSED
    return r.pieces(f"""accuracy {means[5]:.3f} at T = 5, {means[25]:.3f} and {means[30]:.3f} at T = 25 and 30. | n = 3;
    · Holds in {recovered} seed of three; two collapse. After 60 epochs {out} of ten are out of the collapse. | n =
    {len(r.trained("compare", "reference"))} ({r.settings("part2/compare")["epochs"]} epochs), n = {len(distances)}
    (60); · | n = {len(r.trained("compare", "improved"))}; `python part2/train_gan.py --eval_interval 10 · It can
    happen: {read_in_the_middle("reference", "3-4")["7"]:.0f} % of {int(r.settings("part2/interpolate")["walks"]):,}
    walks. | n = 1 network; · with RMSprop no seed is collapsed after {levers} epochs; after 200 its distance
    ({r.span(r.in_floors("compare", "reference_rmsprop"), ".1f")} floors) is about that of the reference's good seed
    ({min(r.in_floors("compare", "reference")):.1f}) · all seeds are collapsed after {levers} epochs ·
    Proved: from {sequences} sequences on, every seed names the first digit of every sequence, of every length. | n =
    {len(proved)}; · distance ÷ floor {r.around(r.in_floors("compare", "improved"))}; by a second judge, an autoencoder,
    {r.around(r.in_floors("compare", "improved", "floors_autoencoder"))}. | n = 5; · [the reference] "Final accuracy 1.0
    at T = 5, 10, 15, 25 and 30" · [the reference] accuracy approaches 50 % · [the reference] moves away from 50 % ·
    [the study collapse] 60 epochs | |""")


def set_up_of_part_1() -> list[str]:
    of = r.settings("part1/sweep")
    assert (of["patience"], of["portion_train"]) == ("20", "0.8")
    [of_five] = {r.per_epoch(run) / float(of["portion_train"]) for run in r.swept("lstm", 5)}
    return r.pieces(f"""{of["num_hidden"]} hidden units, one number for a digit, cross entropy, RMSprop (learning rate
    {POWER[of["learning_rate"]]}, α = · batches of {of["batch_size"]}, gradient norm clipped at
    {float(of["max_norm"]):.0f}, {int(of["data_size"]):,} palindromes ({of_five:,.0f} at T = 5 · at most
    {of["max_epoch"]} epochs (StepLR, step {of["max_epoch"]}, never fires). {100 * float(of["portion_train"]):.0f} % are
    for training · everything uniform in ±1/√{of["num_hidden"]} · [RMSprop's default] α = 0.99) · [--patience] twenty
    validation accuracies of 1.0 in a row""")


def result_of_part_1() -> list[str]:
    table = [r.line("network", *(f"T = {n}" for n in r.LENGTHS))]
    for name, text in r.NETWORKS.items():
        table.append(r.line(text, *(r.mean_and_worst(r.test_accuracies(name, n)) for n in r.LENGTHS)))
    assert all(min(r.test_accuracies(name, n)) == 1 for name in ("lstm", "torch_lstm") for n in r.LENGTHS)
    short, half = (r.per_epoch(r.swept("lstm", n)[0]) * 0.2 / 0.8 / 2 for n in (5, 10))
    reached, torch = {n: r.until_perfect("lstm", n) for n in (5, 30)}, r.until_perfect("torch_lstm", 30)
    worst = {n: r.test_accuracies("reference", n) for n in r.LENGTHS}
    assert round(mean(torch) / mean(reached[30])) == 4 and len(torch) == 3 and len(reached[5]) == len(reached[30]) == 5
    broken, rnn = r.broken("lstm", *r.LENGTHS), sorted(r.test_accuracies("rnn", 25), reverse=True)
    low, high = min(filter(None, broken)), max(broken)
    assert min(r.test_accuracies("rnn", 30)) == 1
    return table + r.pieces(f"""Test accuracy on {half:,.0f} palindromes (T = 5: {short:.0f}), mean over seeds (worst
    seed). · LSTM: n = 5, others: n = 3 · Left: all LSTMs but the reference's reach 1.0 at each length · "1.0 at 5,
    10, 15, 25 and 30" holds with our initialisation, in all five seeds · error-free validation came after
    {r.span(reached[5], ",.0f")} training sequences at T = 5 and after {r.span(reached[30], ",.0f")} at T = 30. · at
    T = 30 after four times as many ({r.span(torch, ",.0f")}). · (n = 3, all {r.settings("part1/sweep")["max_epoch"]}
    epochs): {r.span(worst[5])} at T = 5, {r.span(worst[10], ".3f")} at T = 10, {r.span(worst[15], ".3f")} at T = 15,
    and hardly above chance (0.1) at T = 25 and 30 ({r.span(worst[25] + worst[30], ".3f")}). · at T = 25 its three
    seeds reach {rnn[0]:.1f}, {rnn[1]:.3f} and {rnn[2]:.3f}, at T = 30 all reach 1.0. · in {sum(map(bool, broken))}
    of the LSTM's {len(broken)} runs validation accuracy fell below 0.9 for {r.WORDS[low]} to {r.WORDS[high]} epochs
    after it had been 1.0""")


PROOFS = {
    "hot-n2000": "first digit, one-hot",
    **dict.fromkeys(("hot-n1000", "hot-n500", "hot-n200", "hot-n100", "units32", "units48", "units128"), "…"),
    "without": "… without the slack in the loss",
    "scaled": "first digit, scaled to [−1, 1]",
    "raw": "first digit, raw (0 … 9)",
    "sum2": "sum of all digits modulo 2",
    "sum3": "sum of all digits modulo 3",
    "marker": "the marked digit",
    "marks2": "number of marks modulo 2",
}


def proved_memory() -> list[str]:
    fewest, proved = r.fewest_sequences()
    few, without = r.proofs("hot-n200"), r.proofs("without")
    counts = {kind: r.WORDS[len(r.proved(r.proofs(kind)))] for kind in PROOFS}
    assert (fewest, counts["hot-n200"], counts["hot-n100"], counts["without"]) == (500, "two", "none", "none")
    assert all(r.proved(of) == of for of in map(r.proofs, ("units32", "units48", "units128", "scaled", "raw")))
    assert set(r.column(without, "accuracy_at_10")) == {1.0} and all("after 4 symbols" in w["why_not"] for w in without)
    assert all(r.proved(of) == of for of in map(r.proofs, ("sum2", "sum3")))
    failed = [*r.proved(r.proofs("marks2"), False), *r.proved(r.proofs("marker"), False)]
    most = max(round(10_000 * (1 - a)) for n in (100, 1000) for a in r.column(failed, f"accuracy_at_{n}"))
    marks, markers = (f"{counts[kind]} of {r.WORDS[len(r.proofs(kind))]}" for kind in ("marks2", "marker"))
    [attack] = r.rows("part1/doubts", run="certify")
    [guess] = r.rows("part1/doubts", run="guess")
    wrong, of = r.misread(r.curricula()[1])
    assert attack["proved"] == "True" and wrong == 0
    return [
        r.line("task and digits", "units", "sequences", "proved", "batches", "seconds", "margin"),
        *(r.proofs_row(text, kind) for kind, text in PROOFS.items()),
        *r.pieces(f"""trained on {fewest} sequences of ten digits, the LSTM names the first digit · (ten seeds of
        ten) · [the task] new boxes, at most 100, one for each first and last digit · in batches of
        {proved[0]["batch_size"]} (sums and marks: {r.settings("part1/proofs", task="sum2")["batch_size"]}) · With
        200 sequences two of ten networks are proved, with 100 none; but those with 200 read at least
        {min(r.column(few, "accuracy_at_1000"))} of 10,000 new palindromes of 1,000 digits correctly. · of 1,000
        digits only {r.span(r.column(without, "accuracy_at_1000"))}; their boxes fail at the fourth digit (margin
        {r.span(r.column(without, "margin")).replace("-", "−")}) · The two sums are proved in every seed, the number
        of marks in {marks}, the marked digit in {markers}; those that fail misread at most {r.WORDS[most]} of 10,000
        sequences of 100 and of 1,000 digits. · Of {int(guess["draws"]):,} untrained ones the best names
        {float(guess["best"]) * 1000:.0f} of 1,000 first digits (chance: 0.1) · [certify.py] An attack of 200
        sequences, · met no margin below {float(attack["attack_margin"]):.4f} in {int(attack["attack"]):,} digits
        each; proved are {float(attack["margin"]):.4f} (the · (128 units) misread none of {of:,} palindromes ·
        [certify.py, of outputs/pretrained/lstm in commit df18de7] says 9 (margin −0.23), after 3 7 7 2"""),
    ]


def how_it_remembers() -> list[str]:
    of = {n: {"what": "training step", "network": "by hand", "length": n} for n in (30, 100)}
    slow, fast = (r.cell("part1/benchmark", "speed", "benchmark.csv", **where) for where in of.values())
    assert slow < 1 < fast
    return r.pieces("""faster than
    `nn.LSTM` from 100 digits on, and slower up to 30""")


def set_up_of_part_2() -> list[str]:
    of = r.settings("part2/compare", recipe="reference")
    return r.pieces(f"""Adam (learning rate {POWER[of["learning_rate"]]}, betas · batches of {of["batch_size"]}, images
    in · on the same fakes; {of["epochs"]} epochs. · it reads {100 * r.pretrained("classifier")["test_accuracy"]:.2f} %
    of MNIST's test images correctly · [the recipe] betas 0.9 and 0.999)""")


def result_of_part_2() -> list[str]:
    distances, improved = after_sixty_epochs(), r.trained("compare", "improved")
    out, stay = ([d for d in distances if (d < COLLAPSED) is well] for well in (True, False))
    assert (len(out), len(stay), len(improved)) == (2, 8, 5)
    course = [r.accuracies("compare", run) for run in improved]
    nearest = [min(range(len(run)), key=lambda i, run=run: abs(run[i] - 50)) for run in course]
    lowest = [run[i] for run, i in zip(course, nearest, strict=True)]
    table = []
    for leg in ("3-4", "9-3", "3-2"):
        read = [read_in_the_middle(name, leg).items() for name in ("reference", "improved")]
        shown = [", ".join(f"{digit}: {p:.0f} %" for digit, p in of if round(p) >= 5) for of in read]
        table.append(r.line(leg.replace("-", " → "), *shown))
    return table + r.pieces(f"""After 60 epochs two of ten seeds are out of the collapse (Fréchet distance
    {r.span(out, ".0f", " and ")}), eight are not ({r.span(stay, ".0f")}; n = {len(distances)}; · the accuracy ends at
    {100 * r.cell("part2/compare", "discriminator_accuracy", run="reference-seed0"):.1f} %. · nearest to 50 % between
    epochs {min(nearest) + 1} and {max(nearest) + 1} ({r.span(lowest, ".1f")} %) and then moves away, to
    {r.span([run[-1] for run in course], ".1f")} %, while the Fréchet distance falls from
    {r.span(r.epoch("compare", "improved", 30), ".1f", "–")} at epoch 30 to
    {r.span(r.epoch("compare", "improved", 200), ".1f", "–")} at epoch 200. · in the middle of
    {int(r.settings("part2/interpolate")["walks"]):,} walks, if 5 % or more. · [the reference] accuracy approaches 50 %
    · [part2/networks/walks.py] (with 95 % or more)""")


def judge() -> list[str]:
    def spoiled(way, strength, *names):
        [row] = [row for row in r.rows("part2/judge", "curves.csv", way=way) if float(row["strength"]) == strength]
        return [f"{float(row[name]):.2f}" for name in names]

    two, eight = (r.listed(spoiled("missing kinds", n, "recall", "coverage", "precision")) for n in (2, 8))
    blur, own, found = spoiled("blur", 2, "precision", "recall"), r.evaluated("improved"), {}
    for kind in ("retrained", "untrained"):
        of = [r.evaluated(f"{kind}-seed{n}-evaluate", "judges") for n in (1, 2, 3)]
        found[kind] = " and ".join(r.span(r.column(of, name)) for name in ("floors", "floors_autoencoder"))
    return r.pieces(f"""with two kinds missing {two}, with eight {eight}. · after a blur of σ = 2 pixels it is
    {blur[0]}, and recall is {blur[1]}. · at {own["floors"]} floors (classifier) and {own["floors_autoencoder"]}
    (autoencoder), three pairs trained with other seeds at {found["retrained"]}, three untrained pairs at
    {found["untrained"]}. · [SAMPLES] 10,000 real images, spoiled""")


def improved_recipe() -> list[str]:
    rates = (POWER[r.settings("part2/compare", recipe=name)["learning_rate"]] for name in ("reference", "improved"))
    return r.pieces(f"""{r.line("learning rate", *rates)[:-2]} / (1 + epoch / 20) | · [recipes] | Adam's betas | 0.9,
    0.999 | 0, 0.99 | · [recipes] γ = 0.3, on real and generated images, applied every 8th batch with 8 times the weight
    · [recipes] decay min(0.9999, n / (n + 10)) after n batches · [recipes] measured on 10,000 z""")


def how_good() -> list[str]:
    table = [r.line("recipe", "seeds", *r.COLUMNS)]
    for name in ("reference", "improved", "reference_rmsprop", "reference_popular", r.REAL):
        table.append(r.recipe_row("compare", name, len(r.trained("compare", name)) or "", columns=list(r.COLUMNS)))
    ours, others = r.in_floors("compare", "improved"), r.in_floors("compare", "reference")
    collapsed = sorted(others)[1:] + r.in_floors("compare", "reference_popular")
    assert max(ours) < min(others) and len(collapsed) == 5 and min(collapsed) > 200 and round(min(others)) == 11
    found = {name: mean(r.column(r.trained("compare", "improved"), name)) for name in ("smudged", *LESS)}
    assert {name: round(100 * (r.floor("compare", name) - found[name])) for name in LESS} == LESS
    first, last = (r.learned_by_heart(r.rows("part2/memory", "curves.csv", epoch=n)[0]) for n in (10, 150))
    return table + r.pieces(f"""After {r.settings("part2/compare")["epochs"]} epochs; ± says little · stay above 200;
    the reference's third falls to about 11; the improved runs end near {mean(ours):.1f}. · The improved recipe reaches
    {r.around(ours)} times the floor · ({r.around(r.in_floors("compare", "improved", "floors_autoencoder"))}), but its
    recall is six hundredths lower; by the classifier recall and coverage are two to three hundredths lower. · (between
    two digits): {found["smudged"]:.3f}, real ones {r.floor("compare", "smudged"):.3f}. · {first:.0f} % is memorised
    after 10 epochs, {last:.0f} % after 150 (n = 1; · [ten digits] (ideal: 10 %)""")


def how_soon_section() -> list[str]:
    ms = {row["contestant"]: float(row["ms_per_step"]) for row in r.rows("part2/benchmark", "benchmark.csv")}
    quiet, slower = (r.settings(f"part2/{study}")["commit"] for study in ("board", "board-bf16"))
    assert not r.first_below("board-bf16", "improved", 3)

    def row(text, study, goals, *more):
        found = (r.how_soon(study, "improved", goal) for goal in goals)
        return r.line(text, len(r.trained(study, "improved")), *found, *more)

    on_bf16 = "improved, bf16, two quiet cores of a slower machine"
    table = [row("improved, two quiet cores", "board", (20, 10), "not tried", "not tried", quiet)]
    table.append(row(on_bf16, "board-bf16", (20, 10, 5), "not in 30 epochs", slower))
    table.append(row("improved, one busy core", "compare", (20, 10, 5, 3), "several"))
    return table + r.pieces(f"""measured every 10 epochs; · takes {ms["reference recipe"]:.1f} ms by the reference
    recipe, {ms["improved recipe"]:.1f} by the improved one, {ms["the assignment's loop"]:.1f} by the assignment's
    loop""")


def which_part_matters() -> list[str]:
    recipes = dict.fromkeys(run["recipe"] for run in r.rows("part2/levers") if run["recipe"])
    assert all(len(r.trained("levers", name)) == 3 for name in recipes)
    plain, parts = r.epoch("levers", "improved", 20), [name for name in recipes if name.startswith("improved_")]
    assert all(max(plain) < min(r.epoch("levers", name, 20)) for name in parts)
    assert max(parts, key=lambda name: mean(r.epoch("levers", name, 20))) == "improved_betas"
    course = [r.measured("compare", run) for run in r.trained("compare", "reference_rmsprop")]
    best = [min(epochs, key=lambda row: float(row["frechet"])) for epochs in course]
    epochs, long = (r.settings(f"part2/{study}")["epochs"] for study in ("levers", "compare"))
    table = [r.line("recipe", *r.SHORT), *(r.recipe_row("levers", name) for name in (*recipes, r.REAL))]
    return table + r.pieces(f"""After {epochs} epochs, n = 3 each. · makes a difference after {epochs} epochs. · (recall
    {r.quality("levers", r.trained("levers", "reference"), "recall")}; seed 0 recovers later) · `reference_popular`
    stays collapsed for {long} epochs, n = 3) · With {long} epochs, RMSprop does not · its best distances,
    {r.span(r.column(best, "frechet"), ".1f")}, come at epochs {r.span(r.column(best, "epoch"), ".0f")}, the last ones
    are {r.span(r.epoch("compare", "reference_rmsprop", 200), ".1f")}. · [the recipe reference_popular] (β₁ = 0.5 is not
    enough""")


def between_two_digits() -> list[str]:
    crisp, epochs = r.trained("crisp", "crisp"), int(r.settings("part2/crisp")["epochs"])
    names = ("smudged", "recall", "frechet_autoencoder", "frechet")
    ours = {name: mean(r.epoch("compare", "improved", epochs, name)) for name in names}
    theirs = {name: mean(r.column(crisp, name)) for name in names}
    spread = [distance / r.floor("compare") for distance in r.epoch("compare", "improved", epochs)]
    assert round(100 * (ours["recall"] - theirs["recall"]), 1) == 2.5 and round(1 / ours["smudged"]) == 12
    assert round(8 * theirs["frechet_autoencoder"] / ours["frechet_autoencoder"]) == 9
    assert abs(theirs["frechet"] / ours["frechet"] - 1) < 0.01
    table = [r.recipe_row("crisp", "crisp", len(crisp), epochs)]
    return table + r.pieces(f"""One image in twenty is smudged ({theirs["smudged"]:.3f}); by the improved recipe after
    as many epochs one in twelve ({ours["smudged"]:.3f}, n = 5; · from {r.span(r.in_floors("crisp", "crisp"))}, where
    the improved recipe has {r.span(spread)}. · [the recipe] Twenty of the 100 numbers of z are 3 or −3""")


def copies() -> list[str]:
    [row] = r.rows("part2/evaluate", run="improved")
    return r.pieces(f"""in pixels, is {float(row["memorised_distance"]):.2f} (MNIST's test images:
    {float(row["memorised_distance_real"]):.2f}), and {100 * float(row["memorised_too_near"]):.1f} % are nearer than ·
    [the measure] 99 % of the test images are (1 % would be normal)""")


P1, P2 = "Part 1, beyond the claims: a proved memory", "Part 2, beyond the claims: how digits are judged"
SECTIONS = {
    "": """[SAMPLES] distance of 10,000 generated images · [the floor] 10,000 real training images (the floor, a mean of
    six draws) · [how ± is defined] ± is a 95 % interval over seeds""",
    "Claims and verdicts": claims,
    "Part 1: memory / Set-up": set_up_of_part_1,
    "Part 1: memory / Result": result_of_part_1,
    P1: proved_memory,
    f"{P1} / How it remembers": how_it_remembers,
    "Part 2: digits / Set-up": set_up_of_part_2,
    "Part 2: digits / Result": result_of_part_2,
    P2: """[SAMPLES, MNIST] compares 10,000 generated images with MNIST's 10,000 test images · [the classifier] (its
    last 128) · [smudged] with less than 95 % confidence · [validation] on the last 10,000 training images""",
    f"{P2} / Checking the judge": judge,
    f"{P2} / The improved recipe": improved_recipe,
    f"{P2} / How good": how_good,
    f"{P2} / How soon": how_soon_section,
    f"{P2} / Which part matters": which_part_matters,
    f"{P2} / Images between two digits": between_two_digits,
    f"{P2} / Does it copy?": copies,
    "Results to be sceptical of": "[the study levers] n = 3, 20 epochs.",
}
