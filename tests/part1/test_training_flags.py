"""That each flag which both training scripts of Part 1 have reaches what it should (others: test_train*.py)."""

from unittest import mock

from common.files import read_csv, read_metrics
from common.studies import PlannedRun
from part1.lstm import initialise
from part1.networks.by_name import NETWORKS
from tests.conftest import ROOT
from tests.tiny_runs import PART1, PROVED, differences

import pytest
import torch

both = pytest.mark.parametrize("script", [PART1, PROVED], ids=["train", "train_proved"])


PUBLISHED = [("train", "sweep", "lstm-T5-seed0"), ("train_proved", "proofs", "hot-n1000-seed0")]


@pytest.mark.parametrize(("script", "study", "run"), PUBLISHED)
def test_the_defaults_are_the_recorded_settings_of_the_published_runs(script, study, run):
    (row,) = [row for row in read_csv(ROOT / "outputs" / "report" / "part1" / study / "runs.csv") if row["run"] == run]
    settings = PlannedRun("", f"part1/{script}.py", []).settings()
    for name in settings.keys() - {"threads", "lengths"}:
        assert str(settings[name]) == str(row[name]), name


STARTS = ["lstm memory one_hot 10 30 0", "lstm uniform scaled 1 6 0", "torch_lstm memory raw 1 6 3"]
STARTS += ["rnn normal one_hot 10 6 0"]  # model, init, encoding, input_dim, input_length, seed


@pytest.mark.parametrize("start", STARTS)
def test_it_starts_from_the_network_asked_for_and_keeps_what_rebuilds_it(start, run, optimizer_steps):
    model, init, encoding, *numbers = start.split()
    input_dim, input_length, seed = map(int, numbers)
    flags = f"--model {model} --init {init} --encoding {encoding} --input_length {input_length} --seed {seed}"
    saved = PART1.saved(run(PART1, *flags.split(), "--num_hidden", "7"))
    sizes = {"input_dim": input_dim, "hidden_dim": 7, "output_dim": 10}
    torch.manual_seed(seed)
    expected = NETWORKS[model](**sizes)
    initialise(expected, init, input_length)
    assert differences(optimizer_steps[0]["weights"], [weight.detach() for weight in expected.parameters()]) == []
    kept = {"model": model, "sizes": sizes, "encoding": encoding, "task": "palindrome"}
    assert saved.items() >= kept.items()


def test_the_plain_loop_is_run_where_it_is_asked_for_and_only_there(run):
    with mock.patch("part1.lstm.ThroughTime.apply", side_effect=AssertionError("the fast form")):
        run(PART1, "--plain")
        with pytest.raises(AssertionError, match="the fast form"):
            run(PART1)


@both
def test_gradients_are_cut_to_max_norm_before_the_step_and_logged_uncut(script, run, optimizer_steps):
    rows = read_metrics(run(script, "--max_norm", "0.01"))
    assert [step["norm"] for step in optimizer_steps] == pytest.approx([0.01] * script.last_step, rel=1e-3)
    assert rows[0]["gradient_norm"] > 0.02


@both
def test_a_run_without_a_name_gets_one_that_tells_its_kind(script, outputs, light):
    more, name = {PART1: ("--model=rnn", "rnn-T4-seed7-"), PROVED: ("--task=sum2", "proved-sum2-seed7-")}[script]
    folder = script.train(*script.tiny.split(), "--seed", "7", more)
    assert folder.parent == outputs / "part1" and folder.name.startswith(name)


NONSENSE = [(PART1, "--plain --model rnn"), (PART1, "--input_dim 10 --encoding raw")]
NONSENSE += [(PART1, "--input_dim 1 --encoding one_hot"), (PART1, "--portion_train 0.01 --data_size 90")]
NONSENSE += [(PROVED, "--lengths 0"), (PROVED, "--task first")]


@pytest.mark.parametrize(("script", "flags"), NONSENSE, ids=str)
def test_flags_that_make_no_sense_are_refused_in_one_line_and_nothing_is_written(script, flags, answer, tmp_path):
    status, out, err = answer(script.module, "--out_dir", tmp_path / "run", *flags.split())
    assert (status, out, len(err.splitlines())) == (2, "", 1) and flags.split()[0] in err
    assert list(tmp_path.iterdir()) == []
