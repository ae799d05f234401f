"""A run stopped anywhere and resumed ends in the same bits as one never stopped; what could not is refused."""

import contextlib
import functools
import shutil
from pathlib import Path
from unittest import mock

from common.cli import UserError
from common.files import lock_folder, read_json, write_json
from common.training import Training
from tests import tiny_runs
from tests.faults import soak
from tests.tiny_runs import PART1, PART2, PROVED, all_scripts, differences, ending, stop

import pytest
import torch

pytestmark = pytest.mark.usefixtures("light")

CASES = [(script, step, ()) for script in (PART1, PART2) for step in range(1, 7)]
CASES += [(PROVED, step, ()) for step in (1, 4, 5, 6, 9, 10, 12)]  # boxes from 4 on, signs from 6; boxes anew at 11
VARIANTS = [(PART2, ("--precision", "bf16")), (PROVED, ("--without_proof",)), (PROVED, ("--encoding", "scaled"))]
VARIANTS += [(PROVED, ("--task", "sum3")), (PROVED, ("--task", "palindrome"))]
VARIANTS += [(PART1, ("--model", "rnn")), (PART1, ("--model", "torch_lstm")), (PART1, ("--plain",))]
VARIANTS += [(PART2, ("--recipe", "reference")), (PART2, ("--recipe", "improved_paired"))]
VARIANTS += [(PART2, ("--recipe", "crisp", "--latent_dim", "22"))]
CASES += [(script, 4, flags) for script, flags in VARIANTS]
CASES += [pytest.param(script, step, flags, marks=soak) for script, flags in VARIANTS for step in (1, 2, 3, 5, 6)]


@pytest.mark.parametrize(("script", "step", "flags"), CASES, ids=str)
def test_stopped_after_any_batch_and_resumed_it_ends_in_the_same_bits(script, step, flags, ends_alike, tmp_path):
    assert stop(script.start, step, tmp_path / "run", *flags) == 143
    ends_alike(script, script.resume(tmp_path / "run"), *flags)


@all_scripts
def test_stopped_before_its_first_checkpoint_it_starts_over(script, ends_alike, tmp_path):
    """By a death that nobody could catch; rows are in metrics.jsonl by then."""
    with pytest.raises(tiny_runs.Death), tiny_runs.after_step(script.last_step - 1, tiny_runs.die):
        script.start(tmp_path / "run")
    assert tiny_runs.rows_in(tmp_path / "run") and not (tmp_path / "run/checkpoint.pt").exists()
    ends_alike(script, script.resume(tmp_path / "run"))


@pytest.mark.parametrize("script", [PART1, PART2], ids=str)
def test_a_finished_run_with_more_epochs_is_one_that_had_them_from_the_start(script, ends_alike, tmp_path):
    script.start(tmp_path / "run")
    assert stop(script.resume, 2, tmp_path / "run", script.epochs, "4") == 143
    assert not (tmp_path / "run/result.json").exists()
    ends_alike(script, script.resume(tmp_path / "run", script.epochs, "5"), script.epochs, "5")
    assert len(read_json(tmp_path / "run/config.json")["resumed"]) == 2


def test_a_run_that_was_moved_annotated_and_begun_elsewhere_goes_on(ends_alike, tmp_path, monkeypatch, capsys):
    stop(PART1.start, 2, tmp_path / "run")
    folder = (tmp_path / "run").rename(tmp_path / "прогон 1")
    config = read_json(folder / "config.json")
    packages = {**config["packages"], "torch": "0.1"}
    write_json(folder / "config.json", {**config, "packages": packages, "remark": "mine"})
    monkeypatch.chdir(tmp_path)
    assert PART1.resume(Path(folder.name)) == Path(folder.name)
    ends_alike(PART1, folder)
    assert f"bits may differ from here on: packages {packages} → " in capsys.readouterr().out
    config = read_json(folder / "config.json")
    assert (config["arguments"]["out_dir"], config["remark"]) == (folder.name, "mine")


def test_resume_alone_takes_the_newest_unfinished_run_of_this_script(outputs, ends_alike):
    with pytest.raises(UserError, match=r"--resume: no unfinished run of part1/train\.py"):
        PART1.train("--resume")
    stop(PART1.start, 2, outputs / "part1" / "old", "--seed", "1")
    stop(PART1.start, 2, outputs / "part1" / "a-new", "--seed", "2")
    PART1.start(outputs / "part1" / "newer-but-finished")
    stop(PROVED.start, 2, outputs / "part1" / "newer-but-of-another-script")
    stop(PART1.start, 2, outputs / "part1" / "newer-but-running")
    lock = lock_folder(outputs / "part1" / "newer-but-running")
    assert PART1.train("--resume") == outputs / "part1" / "a-new"
    ends_alike(PART1, outputs / "part1" / "a-new", "--seed", "2")
    assert PART1.train("--resume") == outputs / "part1" / "old"
    lock.release()


HIDDEN = [place + name for place in ("", "grids/", "mine/") for name in (f".{'0f' * 16}.tmp", ".draft.tmp")]


def test_only_what_a_death_while_writing_left_is_tidied_up(tmp_path):
    stop(PART1.start, 2, tmp_path / "run")
    kept = {tmp_path / "run" / name: name.startswith("mine") or ".draft" in name for name in HIDDEN}
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    PART1.resume(tmp_path / "run")
    assert {path: path.exists() for path in kept} == kept


# Nothing in a checkpoint is there for nothing: put an item back to its start, and the run ends otherwise

FLAGS = {PART1: ("--max_epoch", "5", "--patience", "4"), PROVED: ("--learning_rate", "0.1"), PART2: ()}
# The batch at which it is stopped, and what matters then; an item that changes later is set to a value instead.
ITEMS = {
    (PART1, 8): "network optimizer scheduler means progress.epoch progress.batch progress.best",
    (PART1, 7): "progress.best_epoch progress.best_score progress.perfect_epochs",
    (PROVED, 7): "network optimizer means following progress.batch progress.signs",
    (PROVED, 8): "progress.choices=5 progress.proved=1",
    (PART2, 5): "generator discriminator generator_optimizer discriminator_optimizer average means progress.batch",
}


@contextlib.contextmanager
def eventful():
    """Part 1's epochs are all perfect and the first one is the best."""
    evaluate = PART1.module.evaluate
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.lighten(patch.setattr)
        patch.setattr(PART1.module, "evaluate", lambda *args: (-evaluate(*args)[0], 1.0))
        yield


@pytest.mark.parametrize(("script", "step"), ITEMS, ids=str)
def test_an_item_of_a_checkpoint_put_back_to_its_start_changes_the_end(script, step, tmp_path):
    first = mock.patch.object(Training, "__enter__", lambda training: (training.at_end(), tiny_runs.die()))
    with eventful():
        assert stop(script.start, step, tmp_path / "run", *FLAGS[script]) == 143
        with first, pytest.raises(tiny_runs.Death):
            script.start(tmp_path / "new", *FLAGS[script])
        straight = ending(script, script.start(tmp_path / "straight", *FLAGS[script]))
        for item in ["", *ITEMS[script, step].split()]:
            folder = Path(shutil.copytree(tmp_path / "run", tmp_path / f"without {item}"))
            if item:
                content, new, (path, _, value) = (
                    script.saved(folder),
                    script.saved(tmp_path / "new"),
                    item.partition("="),
                )
                *parents, name = path.split(".")
                inner, inner_of_new = (functools.reduce(dict.__getitem__, parents, whole) for whole in (content, new))
                start = type(inner[name])(float(value)) if value else inner_of_new[name]
                assert differences(inner[name], start), f"{item} is at its start"
                inner[name] = start
                torch.save(content, folder / "checkpoint.pt")
            try:
                found = ending(script, script.resume(folder))
            except TypeError:
                assert item == "progress.best"  # no network to evaluate
                continue
            if item:  # else the item itself would be the difference
                straight["checkpoint"].pop("progress", None)
                found["checkpoint"].pop("progress")
            assert bool(differences(straight, found)) == bool(item), item


def test_a_run_that_ended_by_patience_needs_more_of_it(tmp_path):
    more = ("--max_epoch", "9", "--patience", "3")
    with eventful():
        folder = PART1.start(tmp_path / "run", "--max_epoch", "5", "--patience", "2")
        line = tiny_runs.refused(PART1, "--resume", folder, *more[:2])
        assert line.endswith("ended after 2 perfect epochs; give a larger --patience too")
        straight = ending(PART1, PART1.start(tmp_path / "straight", *more))
        assert differences(straight, ending(PART1, PART1.resume(folder, *more))) == []
    assert straight["result"]["epochs"] == 3
