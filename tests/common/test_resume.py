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
from tests.faults import EVERY, soak
from tests.tiny_runs import CURRICULUM, PART1, PART2, SCRIPTS, Script, all_scripts, differences, ending, stop

import pytest
import torch

pytestmark = pytest.mark.usefixtures("light")

CASES = [(script, step, ()) for script in (PART1, PART2) for step in range(1, 7)]
CASES += [(CURRICULUM, step, ()) for step in (1, 7, 10, 12, 13, 20)]  # logged at 10; from 12 on it settles
VARIANTS = [(PART2, ("--precision", "bf16")), (CURRICULUM, ("--task", "marker"))]
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
    stop(CURRICULUM.start, 2, outputs / "part1" / "newer-but-of-another-script")
    stop(PART1.start, 2, outputs / "part1" / "newer-but-running")
    lock = lock_folder(outputs / "part1" / "newer-but-running")
    assert PART1.train("--resume") == outputs / "part1" / "a-new"
    ends_alike(PART1, outputs / "part1" / "a-new", "--seed", "2")
    assert PART1.train("--resume") == outputs / "part1" / "old"
    lock.release()


# Nothing in a checkpoint is there for nothing: put an item back to its start, and the run ends otherwise

FLAGS = {PART1: ("--max_epoch", "5", "--patience", "4"), CURRICULUM: ("--input_length", "100"), PART2: ()}
# The batch at which it is stopped, and what matters then; three items change later, and are set to a value instead.
ITEMS = {
    (PART1, 8): "network optimizer scheduler means progress.epoch progress.batch progress.best clock.metrics_length",
    (PART1, 7): "progress.best_epoch progress.best_score progress.perfect_epochs",
    (CURRICULUM, 13): "network optimizer means progress.batch progress.settles_from clock.metrics_length",
    (CURRICULUM, 2): "progress.length=80 progress.accuracy=0.999 progress.rate=0.5",
    (PART2, 5): "generator discriminator generator_optimizer discriminator_optimizer average means progress.batch",
    (PART2, 4): "clock.metrics_length",
}


@contextlib.contextmanager
def eventful():
    """Part 1's epochs are all perfect and the first one is the best; the curriculum is soon sure."""
    evaluate = PART1.module.evaluate
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.lighten(patch.setattr)
        patch.setattr(PART1.module, "evaluate", lambda *args: (-evaluate(*args)[0], 1.0))
        patch.setattr(CURRICULUM.module, "SURE", 0.89)
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


# What is refused, in one line, and nothing touched


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """A run of each script that was stopped after five batches and saved after each, for tests that leave it alone."""
    folders = {script: tmp_path_factory.mktemp(name) / "run" for name, script in SCRIPTS.items()}
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.lighten(patch.setattr)
        for script, folder in folders.items():
            stop(script.start, 5, folder, *EVERY)
    return folders


def refused(script: Script, folder: Path, *flags) -> str:
    """The one line with which it is refused to resume the run, of which no file has changed."""
    before = tiny_runs.files_of(folder)
    line = tiny_runs.refused(script, "--resume", folder, *flags)
    assert tiny_runs.files_of(folder) == before
    return line


FREE = "checkpoint_interval=7 lengths=5 save_interval=7 tensorboard"
FIXED = "input_length=5 input_dim=10 encoding=raw plain model=rnn num_hidden=5 init=normal patience=3 batch_size=20 "
FIXED += "learning_rate=0.01 max_norm=3.0 data_size=111 portion_train=0.7 seed=1 device=cuda precision=bf16 threads=4 "
FIXED += "deterministic task=marker recipe=reference latent_dim=5 log_interval=3 eval_interval=1 eval_split=test"
SETTINGS = {setting.split("=")[0]: setting for setting in (FREE + " " + FIXED).split()}


@all_scripts
def test_every_setting_is_either_free_or_fixed(script, unfinished, monkeypatch):
    """Free: it may be another at resume. Fixed: another is refused, with the difference. A new flag must be one."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    folder = unfinished[script]
    before = read_json(folder / "config.json")["arguments"]
    for name in before.keys() - {"out_dir", "processes", (script.epochs or "--")[2:]}:
        flag, value = f"--{SETTINGS[name]}", SETTINGS[name].partition("=")[2] or "True"
        if SETTINGS[name] in FIXED.split():
            assert refused(script, folder, flag).endswith(f"change the result: {name} {before[name]} → {value}")
        else:
            args = script.module.parse_args(["--resume", str(folder), flag])
            assert vars(args)[name] != before[name] and args.out_dir == folder
    line = refused(script, folder, "--seed", "3", "--learning_rate", "0.5")
    assert "seed 0 → 3" in line and "→ 0.5" in line  # all of them
    assert script.module.parse_args([*script.tiny.split(), "--resume", str(folder)]).seed == 0


def test_a_flag_newer_than_the_run_had_its_default_and_one_that_is_gone_is_none(unfinished, tmp_path):
    folder = Path(shutil.copytree(unfinished[PART1], tmp_path / "run"))
    config = read_json(folder / "config.json")
    del config["arguments"]["init"], config["arguments"]["threads"], config["arguments"]["max_epoch"]
    config["arguments"].update(seed=None, no_longer_a_flag=3)
    write_json(folder / "config.json", config)
    args = PART1.module.parse_args(["--resume", str(folder)])
    assert (args.init, args.threads, args.seed) == ("memory", torch.get_num_threads(), 0)
    assert "init memory → normal" in refused(PART1, folder, "--init", "normal")


@all_scripts
def test_a_finished_run_is_refused_unless_it_may_grow(script, unfinished, tmp_path):
    folder = script.start(tmp_path / "finished")
    assert "this run is finished; " in refused(script, folder)
    if script.epochs:
        more = f"this run is finished; to train longer, give a larger {script.epochs}"
        assert more in refused(script, folder, script.epochs, "2") and more in refused(script, folder, *EVERY)
        assert f"{script.epochs[2:]} 2 → 1" in refused(script, unfinished[script], script.epochs, "1")
        (folder / "checkpoint.pt").unlink()
        assert "its checkpoint is missing" in refused(script, folder, script.epochs, "4")
    if script is PART2:  # crisp's rates fall to zero at the end, which cannot be moved
        folder = script.start(tmp_path / "crisp", "--recipe", "crisp", "--latent_dim", "22")
        assert refused(script, folder).endswith("this run is finished; to train longer, start a new one")
        assert refused(script, folder, "--n_epochs", "5").endswith("would change the result: n_epochs 2 → 5")


def test_a_run_that_ended_by_patience_needs_more_of_it(tmp_path):
    more = ("--max_epoch", "9", "--patience", "3")
    with eventful():
        folder = PART1.start(tmp_path / "run", "--max_epoch", "5", "--patience", "2")
        assert refused(PART1, folder, *more[:2]).endswith("ended after 2 perfect epochs; give a larger --patience too")
        straight = ending(PART1, PART1.start(tmp_path / "straight", *more))
        assert differences(straight, ending(PART1, PART1.resume(folder, *more))) == []
    assert straight["result"]["epochs"] == 3


def test_a_recipe_has_not_changed_and_a_field_newer_than_the_checkpoint_had_its_default(
    unfinished, ends_alike, tmp_path
):
    """`signs` is 0 by default, and so it is in the recipe; `penalty` is 0 by default, and 0.3 in the recipe."""
    folder, older = (Path(shutil.copytree(unfinished[PART2], tmp_path / name)) for name in ("run", "older"))
    content = PART2.saved(folder)
    del content["recipe"]["signs"]
    torch.save(content, folder / "checkpoint.pt")
    ends_alike(PART2, PART2.resume(folder))
    del content["recipe"]["penalty"]
    torch.save(content | {"recipe": content["recipe"] | {"halving": 10}}, older / "checkpoint.pt")
    assert "does not fit this training (halving 10 → 20, penalty 0.0 → 0.3)" in refused(PART2, older)


DAMAGES = [  # what is said, the file, and what becomes of its bytes, its settings, or the content of the checkpoint
    ("config.json: is damaged", "config.json", lambda data: b""),
    ("config.json: is damaged", "config.json", lambda data: b"[]"),
    ("config.json: is damaged", "config.json", lambda data: b'{"script": "part1/train.py"}'),
    (
        "of part2/train_gan.py, not of part1/train.py",
        "config.json",
        lambda data: data.replace(b"1/train", b"2/train_gan"),
    ),
    ("error: argument --batch_size", "settings", lambda settings: settings.update(batch_size=0)),
    ("error: argument --model", "settings", lambda settings: settings.update(model="transformer")),
    ("error: argument --max_epoch", "settings", lambda settings: settings.update(max_epoch=1.5)),
    ("error: argument --max_epoch", "settings", lambda settings: settings.update(max_epoch=True)),
    ("error: argument --device", "settings", lambda settings: settings.update(device=[])),
    ("error: unrecognized arguments: 1", "settings", lambda settings: settings.update(deterministic=1)),
    ("checkpoint.pt: is damaged", "checkpoint.pt", lambda data: data[:-999]),
    ("metrics.jsonl is damaged (it is shorter", "metrics.jsonl", lambda data: data[:-1]),
    ("metrics.jsonl is damaged (it is shorter", "metrics.jsonl", lambda data: b""),
    ("holds another kind of network (GAN)", "content", lambda content: content.update(kind="GAN")),
    ("holds only a network, so training cannot", "content", lambda content: content.pop("clock")),
    ("belongs to another run", "content", lambda content: content["clock"].update(run="another")),
    ("does not fit this training", "content", lambda content: content["network"].update(more=torch.zeros(2))),
    ("does not fit this training", "content", lambda content: content["network"].update(bias=torch.zeros(3))),
    ("does not fit this training", "content", lambda content: content.update(network=[1, 2])),
    ("does not fit this training", "content", lambda content: content.update(optimizer={})),
    ("does not fit this training", "content", lambda content: content.pop("progress")),
    ("does not fit this training", "content", lambda content: content["progress"].pop("epoch")),
]


@pytest.mark.parametrize(("why", "what", "change"), DAMAGES)
def test_what_is_no_sound_run_of_this_training_is_refused(why, what, change, unfinished, tmp_path, answer):
    folder = Path(shutil.copytree(unfinished[PART1], tmp_path / "run"))
    if what == "settings":
        config = read_json(folder / "config.json")
        change(config["arguments"])
        write_json(folder / "config.json", config)
    elif what == "content":
        content = torch.load(folder / "checkpoint.pt", weights_only=True)
        change(content)
        torch.save(content, folder / "checkpoint.pt")
    else:
        (folder / what).write_bytes(change((folder / what).read_bytes()))
    before = tiny_runs.files_of(folder)
    status, _, line = answer(PART1.module, "--resume", folder)
    assert (status, line.count("\n"), tiny_runs.files_of(folder)) == (2, 1, before) and why in line


def test_flags_that_fit_no_run_are_refused_and_nothing_is_made(unfinished, tmp_path, monkeypatch):
    folder, new = unfinished[PART1], tmp_path / "new"
    assert "config.json: cannot be read" in refused(PART1, tmp_path / "nowhere")
    assert "is a file; name the run's folder" in refused(PART1, folder / "checkpoint.pt")
    assert "--out_dir" in refused(PART1, folder, "--out_dir", new)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for script in SCRIPTS.values():
        for flags in (["--out_dir", new], ["--resume", unfinished[script]]):
            assert "--tensorboard: the package is missing" in tiny_runs.refused(script, "--tensorboard", *flags)
    assert not new.exists()
