"""report.md: the pieces of text that hold its numbers, by section."""

from statistics import mean

from tests import numbers_records as r

COLLAPSED = 200  # a Fréchet distance above
FEW = (500, 2_000, 10_000, 60_000)  # training images
MEASURED = {  # what the table of few images shows → the column, and how
    "distance ÷ floor": ("generated_floors", ".2f"),
    "recall": ("generated_recall", ".2f"),
    "authentic": ("generated_authentic", ".2f"),
}


def after_sixty_epochs() -> list[float]:
    """The Fréchet distances of the reference's ten seeds."""
    return r.epoch("compare", "reference", 60) + r.epoch("collapse", "reference", 60)


def summary_and_claims() -> list[str]:
    means = {n: mean(r.test_accuracies("reference", n)) for n in r.LENGTHS}
    distances, levers = after_sixty_epochs(), int(r.settings("part2/levers")["epochs"])
    sequences, proved = r.fewest_sequences()
    every = r.epoch("compare", "reference", 200)
    out, recovered = (r.WORDS[sum(d < COLLAPSED for d in of)] for of in (distances, every))
    improved, of_rmsprop = (r.in_floors("compare", name) for name in ("improved", "reference_rmsprop"))
    assert len(proved) == len(distances) == 10 and all(min(r.test_accuracies("lstm", n)) == 1 for n in r.LENGTHS)
    assert max(r.epoch("levers", "reference_rmsprop", levers)) < COLLAPSED and len(improved) == 5
    for name in ("reference", "reference_schedule", "reference_wide"):
        assert min(r.epoch("levers", name, levers)) > COLLAPSED
    return r.pieces(f"""trained on {sequences} sequences of ten digits, · in ten seeds of ten · in five seeds of five
    the digits end {r.span(improved)} times as far · [how ± is defined] ± is a 95 % interval over seeds · [SAMPLES] of
    10,000 generated images · [the floor] 10,000 real training images (the floor) · [the assignment] accuracy 1.0 up to
    30 digits · [the reference] | "Final accuracy 1.0 at T = 5, 10, 15, 25 and 30" | Holds with our initialisation, in
    every seed. | {len(r.swept("lstm", 5))} | · raw digits | Does not hold: accuracy {means[5]:.3f} at T = 5,
    {means[25]:.3f} at T = 25, {means[30]:.3f} at T = 30. | {len(r.swept("reference", 5))} | · | "Improved a lot over a
    vanilla RNN" | Does not hold up to T = 10, where the RNN is perfect, too. Above, it depends on the RNN's
    initialisation. | {len(r.swept("rnn", 5))} | · Holds in
    {recovered} seed of three; two collapse. After 60 epochs {out} of ten are out of the collapse. | {len(every)} and
    {len(distances)} | · approaches 50 %" | Does not hold: images improve while the accuracy moves away from 50 %. |
    {len(improved)} | · | "The middle of a walk 3 → 4 looks like a 7" | It can happen: in
    {r.read_in_the_middle("reference", "3-4")["7"]:.0f} % of {int(r.settings("part2/interpolate")["walks"]):,} walks. |
    1 | · with RMSprop no seed is collapsed after {levers} epochs. After {r.settings("part2/compare")["epochs"]} its
    distance ({r.span(of_rmsprop, ".1f")} floors) is about that of the reference's good seed
    ({min(r.in_floors("compare", "reference")):.1f}). | {len(of_rmsprop)} | · all seeds are collapsed after {levers}
    epochs, as the reference's are. | {len(r.trained("levers", "reference_wide"))} |""")


def set_up_of_part_1() -> list[str]:
    of = r.settings("part1/sweep")
    assert of["portion_train"] == "0.8"
    [of_five] = {r.per_epoch(run) / float(of["portion_train"]) for run in r.swept("lstm", 5)}
    return r.pieces(f"""{of["num_hidden"]} hidden units, one number for a digit, cross entropy, RMSprop (learning rate
    {r.POWER[of["learning_rate"]]}), batches of {of["batch_size"]}, {int(of["data_size"]):,} palindromes ({of_five:,.0f}
    at T = 5 · at most {of["max_epoch"]} epochs. {100 * float(of["portion_train"]):.0f} % are for training · all uniform
    in ±1/√{of["num_hidden"]}""")


def result_of_part_1() -> list[str]:
    table = [r.line("network", *(f"T = {n}" for n in r.LENGTHS))]
    alike = {"torch_lstm_memory": "torch_lstm"}  # shown as one
    for name, text in r.NETWORKS.items():
        found = [r.mean_and_worst(r.test_accuracies(name, n)) for n in r.LENGTHS]
        if name in alike:
            assert found == [r.mean_and_worst(r.test_accuracies(alike[name], n)) for n in r.LENGTHS]
        elif name not in alike.values():
            table.append(r.line(text, *found))
        else:
            table.append(r.line("nn.LSTM, our or PyTorch's initialisation", *found))
    short, half = (r.per_epoch(r.swept("lstm", n)[0]) * 0.2 / 0.8 / 2 for n in (5, 10))
    reached, torch = {n: r.until_perfect("lstm", n) for n in (5, 30)}, r.until_perfect("torch_lstm", 30)
    assert round(mean(torch) / mean(reached[30])) == 4 and len(torch) == 3 and len(reached[5]) == len(reached[30]) == 5
    broken = r.broken("lstm", *r.LENGTHS)
    low, high = min(filter(None, broken)), max(broken)
    return table + r.pieces(f"""Test accuracy on {half:,.0f} palindromes (T = 5: {short:.0f}): mean (worst seed). LSTM:
    n = 5, others: n = 3. · The LSTM needs {r.span(reached[5], ",.0f")} training sequences at T = 5 and
    {r.span(reached[30], ",.0f")} at T = 30; there `nn.LSTM` with PyTorch's initialisation needs four times as many. In
    {sum(map(bool, broken))} of the LSTM's {len(broken)} runs validation accuracy fell below 0.9 for {r.WORDS[low]} to
    {r.WORDS[high]} epochs after it had been 1.0""")


PROOFS = {
    "hot-n500": "first digit, one-hot",
    "hot-n200": "…",
    "without": "… without the slack in the loss",
    "raw": "first digit, raw (0 … 9)",
    "sum3": "sum of all digits modulo 3",
    "marks2": "number of marks modulo 2",
    "marker": "the marked digit",
}


def proved_memory() -> list[str]:
    assert r.fewest_sequences()[0] == 500 and not r.proved(r.proofs("hot-n100"))
    others = ("hot-n1000", "hot-n2000", "units32", "units48", "units128", "scaled", "sum2")
    assert all(r.proved(of) == of for of in map(r.proofs, others))
    few, without = r.proofs("hot-n200"), r.proofs("without")
    assert set(r.column(without, "accuracy_at_10")) == {1.0}
    [attack] = r.rows("part1/doubts", run="certify")
    [guess] = r.rows("part1/doubts", run="guess")
    wrong, of = r.misread(r.curricula()[1])
    assert attack["proved"] == "True" and wrong == 0
    return [
        r.line("task and digits", "units", "sequences", "proved", "seconds", "margin"),
        *(r.proofs_row(text, kind) for kind, text in PROOFS.items()),
        *r.pieces(f"""an earlier LSTM of ours misread none of {of:,} palindromes · [the studies of proofs] with 1,000
        and 2,000 sequences, 32, 48 and 128 units, scaled digits, and for sums modulo 2; none is with 100 sequences. ·
        networks trained on {few[0]["sequences_seen"]} sequences read at least
        {min(r.column(few, "accuracy_at_1000"))} of 10,000 new palindromes of 1,000 digits correctly. · but read only
        {r.span(r.column(without, "accuracy_at_1000"))} of these · [certify.py] An attack of 200 sequences met no
        margin below {float(attack["attack_margin"]):.4f} in {int(attack["attack"]):,} digits each; proved is
        {float(attack["margin"]):.4f}. · The best of {int(guess["draws"]):,} untrained networks names
        {float(guess["best"]) * 1000:.0f} of 1,000."""),
    ]


def set_up_of_part_2() -> list[str]:
    of, improved = (r.settings("part2/compare", recipe=name) for name in ("reference", "improved"))
    return r.pieces(f"""Adam (learning rate {r.POWER[of["learning_rate"]]}, betas 0.9 and 0.999), batches of
    {of["batch_size"]}, {of["epochs"]} epochs. · [recipes] betas 0 and 0.99; · learning rate
    {r.POWER[improved["learning_rate"]]} / (1 + epoch / 20); · [recipes] a gradient penalty 0.3 E‖ · right on
    {100 * r.pretrained("classifier")["test_accuracy"]:.2f} % of MNIST's test images""")


def result_of_part_2() -> list[str]:
    distances, improved = after_sixty_epochs(), r.trained("compare", "improved")
    out, stay = ([d for d in distances if (d < COLLAPSED) is well] for well in (True, False))
    assert (len(out), len(stay), len(improved)) == (2, 8, 5)
    course = [r.accuracies("compare", run) for run in improved]
    nearest = [min(range(len(run)), key=lambda i, run=run: abs(run[i] - 50)) for run in course]
    lowest = [run[i] for run, i in zip(course, nearest, strict=True)]
    read = [r.read_in_the_middle(name, "3-4") for name in ("reference", "improved")]
    assert all(next(iter(of)) == "9" for of in read)
    [own] = r.rows("part2/inverse")
    sevens, nines = ([f"{of[digit]:.0f}" for of in read] for digit in "79")
    return r.pieces(f"""After 60 epochs two of ten seeds have recovered (Fréchet distance
    {r.span(out, ".0f", " and ")}), eight have not ({r.span(stay, ".0f")}). · nearest to 50 % between epochs
    {min(nearest) + 1} and {max(nearest) + 1} ({r.span(lowest, ".1f")} %) and ends at
    {r.span([run[-1] for run in course], ".1f")} %. Meanwhile the Fréchet distance falls from
    {r.span(r.epoch("compare", "improved", 30), ".1f", "–")} (epoch 30) to
    {r.span(r.epoch("compare", "improved", 200), ".1f", "–")} (epoch 200). · In the middle of
    {int(r.settings("part2/interpolate")["walks"]):,} straight lines in latent space the classifier reads a 7 in
    {sevens[0]} % (reference) and {sevens[1]} % (improved), and mostly a 9 ({nines[0]} and {nines[1]} %; · [the
    reference] accuracy approaches 50 % · The images found for {int(own["images"]):,} test images are
    {float(own["ratio"]):.2f} times as far from them, in the median, · {100 * float(own["nearer"]):.1f} % are nearer,
    and {100 * float(own["read_alike"]):.1f} % are read as the same digit (n = 1 network;""")


def beyond_the_claims() -> list[str]:
    def spoiled(n):
        [row] = [row for row in r.rows("part2/judge", "curves.csv", way="missing kinds") if float(row["strength"]) == n]
        return float(row["recall"])

    crisp, epochs = r.trained("crisp", "crisp"), int(r.settings("part2/crisp")["epochs"])
    table = [r.line("recipe", "n", *r.COLUMNS)]
    for name in ("reference", "improved", "crisp", "reference_rmsprop", r.REAL):
        study = "crisp" if name == "crisp" else "compare"
        table.append(r.recipe_row(study, name, len(r.trained(study, name)) or ""))
    ours, others = r.in_floors("compare", "improved"), r.in_floors("compare", "reference")
    collapsed = sorted(others)[1:] + r.in_floors("compare", "reference_popular")
    smudged, then = mean(r.column(crisp, "smudged")), mean(r.epoch("compare", "improved", epochs, "smudged"))
    assert max(ours) < min(others) and len(collapsed) == 5 and min(collapsed) > 200 and round(min(others)) == 11
    assert abs(mean(r.in_floors("compare", "improved", "floors_autoencoder")) - 1) < 0.05
    assert round(1 / then) == 12 and 18 < 1 / smudged < 23
    first, last = (r.learned_by_heart(r.rows("part2/memory", "curves.csv", epoch=n)[0]) for n in (10, 150))
    return (
        table
        + which_part_matters()
        + beyond_the_assignment()
        + r.pieces(f"""recall falls to {spoiled(2):.2f} or {spoiled(8):.2f} where
    two · [smudged] with less than 95 % confidence · After {r.settings("part2/compare")["epochs"]} epochs (`crisp`:
    {epochs}, {r.settings("part2/crisp")["number_format"]}). · [the recipe] "Popular": betas 0.5 and 0.999, · [the
    recipe] twenty of the 100 numbers of z are 3 or −3. · one in twelve ({then:.3f}, n = 5). · unseen real images lack
    {first:.0f} % after 10 epochs, {last:.0f} % after 150 (n = 1;""")
    )


def beyond_the_assignment() -> list[str]:
    """Labels, copies, few images."""
    of = r.trained("conditional", "conditional")
    smudged, recall = (mean(r.column(of, name)) for name in ("smudged", "recall"))
    then = {name: mean(r.epoch("compare", "improved", 60, name)) for name in ("smudged", "recall")}
    distances = r.values(of, "floors", "conditional")
    floors = mean(r.epoch("compare", "improved", 60)) / r.floor("compare")
    ours = {row["run"]: row for row in r.rows("part2/labels")}
    named = [ours[f"{row['run']}-evaluate"] for row in of]
    learned = [100 * float(row["test_accuracy"]) for name, row in ours.items() if name.endswith("-learn")]
    asked = min(r.column(named, "generated_asked"))
    table = [r.line("training images", *(f"{n:,}" for n in FEW))]
    for label, (name, form) in MEASURED.items():
        found = [r.column([r.rows("part2/few", run=f"n{n}-seed{s}-evaluate")[0] for s in range(3)], name) for n in FEW]
        table.append(r.line(label, *(f"{mean(v):{form}} ({r.span(v, form, '–')})" for v in found)))
    return table + r.pieces(f"""After 60 epochs {smudged:.3f} are smudged (`improved`: {then["smudged"]:.3f}), but
    recall is {recall:.2f} ({then["recall"]:.2f}), and the distance is {mean(distances):.1f} floors ({floors:.1f}; n =
    {len(of)} and 5). At least {100 * asked:.1f} % are read as asked. · A classifier that learned from 60,000 digits of
    the pretrained generator alone reads {learned[0]:.2f} % of MNIST's test images, from digits of `conditional`
    {r.span(learned[1:])} % (n = 1 and {len(learned) - 1}). · [Alaa et al.] *Authentic* is 0 for copies · it is
    {float(ours["improved-evaluate"]["generated_authentic"]):.2f} (n = 1; · [the plan of few] The
    first ones of MNIST, ten epochs of 60,000 images each; n = 3.""")


def which_part_matters() -> list[str]:
    recipes = dict.fromkeys(run["recipe"] for run in r.rows("part2/levers") if run["recipe"])
    assert all(len(r.trained("levers", name)) == 3 for name in recipes)
    plain, parts = r.epoch("levers", "improved", 20), [name for name in recipes if name.startswith("improved_")]
    assert all(max(plain) < min(r.epoch("levers", name, 20)) for name in parts)
    assert max(parts, key=lambda name: mean(r.epoch("levers", name, 20))) == "improved_betas"
    course = [r.measured("compare", run) for run in r.trained("compare", "reference_rmsprop")]
    best = [min(float(row["frechet"]) for row in epochs) for epochs in course]
    epochs = r.settings("part2/levers")["epochs"]
    return r.pieces(f"""One thing changed at a time; {epochs} epochs, n = 3 each · "Schedule", "learning rate": 2e-4 /
    (1 + epoch / 20). · makes a difference after {epochs} epochs. · its best Fréchet distances are
    {r.span(best, ".1f")}, its last ones {r.span(r.epoch("compare", "reference_rmsprop", 200), ".1f")}.""")


def doubts() -> list[str]:
    of = {kind: [r.evaluated(f"{kind}-seed{n}-evaluate", "judges") for n in (1, 2, 3)] for kind in r.JUDGES}
    found, own = {kind: r.column(of[kind], "floors") for kind in of}, r.evaluated("improved")["floors"]
    assert sum(distance > float(own) for distance in found["untrained"]) == 2
    return r.pieces(f"""n = 3, {r.settings("part2/levers")["epochs"]} epochs; · [validation] on the last 10,000
    training images, then trained on all {int(r.settings("part2/compare")["data_size"]):,}. · Judges trained anew put
    the pretrained generator at {r.span(found["retrained"])} floors, ours at {own}; two of three untrained ones see more
    (up to {max(found["untrained"]):.2f}). · all {len(r.rows("part1/proofs"))} networks were certified again""")


def speed() -> list[str]:
    ms = {row["contestant"]: float(row["ms_per_step"]) for row in r.rows("part2/benchmark", "benchmark.csv")}
    of = {n: {"what": "training step", "network": "by hand", "length": n} for n in (30, 100)}
    slow, fast = (r.cell("part1/benchmark", "speed", "benchmark.csv", **where) for where in of.values())
    assert slow < 1 < fast
    minutes = [seconds / 60 for seconds in r.column(r.trained("compare", "improved"), "seconds")]
    return r.pieces(f"""A proof takes {r.span(r.column(r.fewest_sequences()[1], "seconds"), ".0f")} s,
    {r.settings("part2/compare")["epochs"]} epochs of the improved recipe {r.span(minutes, ".0f")} min · a Fréchet
    distance of 10 after {r.how_soon("board", "improved", 10).replace(", ", " (")}; n =
    {len(r.trained("board", "improved"))}). · takes {ms["reference recipe"]:.1f} ms by the reference recipe,
    {ms["improved recipe"]:.1f} by the improved one, {ms["the assignment's loop"]:.1f} by the assignment's loop · faster
    than `nn.LSTM` from 100 digits on and slower up to 30 · training took
    {sum(hours for hours, _ in r.computed().values()):.0f} hours""")


SECTIONS = {
    "": summary_and_claims,
    "Part 1: memory": set_up_of_part_1,
    "Part 1: memory / Result": result_of_part_1,
    "Part 1, beyond the claims: a proved memory": proved_memory,
    "Part 2: digits": set_up_of_part_2,
    "Part 2: digits / Result": result_of_part_2,
    "Part 2, beyond the claims: how digits are judged": beyond_the_claims,
    "What we would doubt": doubts,
    "Speed and cost": speed,
    "How each table was made": "[the study collapse] ten seeds after 60 epochs,",
}
