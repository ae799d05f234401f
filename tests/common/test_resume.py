"""A run stopped anywhere and resumed ends in the same bits as one never stopped; what could not is refused."""

import functools
import shutil
from pathlib import Path
from unittest import mock

import pytest
import torch

from common import checkpoint, distributed
from common.cli import UserError
from common.files import read_json, write_json
from common.saving import Saver
from tests import tiny_runs
from tests.faults import EVERY, soak
from tests.tiny_runs import CURRICULUM, PART1, PART2, SCRIPTS, Script, all_scripts, differences, ending, stop, without

pytestmark = pytest.mark.usefixtures("light")

CASES = [(script, step, ()) for script in (PART1, PART2) for step in range(1, 7)]
CASES += [(CURRICULUM, step, ()) for step in (1, 7, 10, 12, 13, 20)]  # logged at 10; from 12 on it settles
VARIANTS = [(PART2, ("--precision", "bf16"))]
VARIANTS += [(PART1, ("--model", "rnn")), (PART1, ("--model", "torch_lstm")), (PART1, ("--plain",))]
VARIANTS += [(PART2, ("--recipe", "reference")), (PART2, ("--recipe", "improved_paired"))]
VARIANTS += [(PART2, ("--recipe", "crisp", "--latent_dim", "22"))]
CASES += [(script, 4, flags) for script, flags in VARIANTS]
CASES += [pytest.param(script, step, flags, marks=soak) for script, flags in VARIANTS for step in (1, 2, 3, 5, 6)]


@pytest.mark.parametrize(("script", "step", "flags"), CASES, ids=str)
def test_stopped_after_any_batch_and_resumed_it_ends_in_the_same_bits(script, step, flags, ends_alike, tmp_path):
    assert stop(script.start, step, tmp_path / "run", *flags) == 143
    ends_alike(script, script.resume(tmp_path / "run"), *flags)


def test_networks_of_full_size_end_in_the_same_bits_too_and_so_do_their_pictures(tmp_path, monkeypatch):
    monkeypatch.undo()
    tiny_runs.lighten(monkeypatch.setattr, narrow=False)
    PART2.start(tmp_path / "straight")
    stop(PART2.start, 4, tmp_path / "run")
    PART2.resume(tmp_path / "run")
    assert differences(ending(PART2, tmp_path / "straight"), ending(PART2, tmp_path / "run")) == []
    (tmp_path / "run/grids/best.png").write_bytes(b"a picture of the user's own")
    straight, run = (PART2.module.grids_of(tmp_path / folder) for folder in ("straight", "run"))
    assert [path.name for path in run] == ["0000000.png", "0000004.png", "0000006.png"]
    assert [path.read_bytes() for path in run] == [path.read_bytes() for path in straight]


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
    (tmp_path / "прогон 1").mkdir()
    folder = (tmp_path / "run").rename(tmp_path / "прогон 1" / "moved")
    config = read_json(folder / "config.json")
    packages = {**config["packages"], "torch": "0.1"}
    write_json(folder / "config.json", {**config, "packages": packages, "remark": "the one with the coffee stain"})
    monkeypatch.chdir(tmp_path / "прогон 1")
    assert PART1.resume(Path("moved")) == Path("moved")
    ends_alike(PART1, folder)
    changed = f"torch 0.1 → {config['packages']['torch']}"
    said = f"resumed on another machine or version, so bits may differ from here on: {changed}\n"
    assert said in capsys.readouterr().out
    config = read_json(folder / "config.json")
    assert (config["arguments"]["out_dir"], config["remark"]) == ("moved", "the one with the coffee stain")


def test_an_evaluation_may_draw_from_anywhere(ends_alike, tmp_path, monkeypatch):
    evaluate = PART1.module.evaluate
    monkeypatch.setattr(PART1.module, "evaluate", lambda *args: (torch.randn(7), evaluate(*args))[1])
    ends_alike(PART1, PART1.start(tmp_path / "run"))


@all_scripts
def test_the_thread_count_is_that_of_the_start_and_afterwards_as_it_was(script, tmp_path):
    """Sums are added up in another order by another number of threads."""
    used = []
    with tiny_runs.after_step(1, lambda _: used.append(torch.get_num_threads())):
        stop(script.start, 2, tmp_path / "run", "--threads", "3")
    assert torch.get_num_threads() == 1
    with tiny_runs.after_step(1, lambda _: used.append(torch.get_num_threads())):
        script.resume(tmp_path / "run")
    assert (used, torch.get_num_threads()) == ([3, 3], 1)


def test_resume_alone_takes_the_newest_unfinished_run_of_this_script(outputs, ends_alike):
    with pytest.raises(UserError, match=r"--resume: no unfinished run of part1/train\.py"):
        PART1.train("--resume")
    stop(PART1.start, 2, outputs / "part1" / "old", "--seed", "1")
    stop(PART1.start, 2, outputs / "part1" / "a-new", "--seed", "2")
    PART1.start(outputs / "part1" / "newer-but-finished")
    stop(CURRICULUM.start, 2, outputs / "part1" / "newer-but-of-another-script")
    assert PART1.train("--resume") == outputs / "part1" / "a-new"
    ends_alike(PART1, outputs / "part1" / "a-new", "--seed", "2")
    assert PART1.train("--resume") == outputs / "part1" / "old"


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
ITEMS = [(script, step, item) for (script, step), items in ITEMS.items() for item in items.split()]
# What says what the file is, what rebuilds the network, seconds (test_saving.py), a curriculum's network at its end.
BESIDES = {"schema", "kind", "model", "sizes", "encoding", "latent_dim", "width", "epsilon", "signs", "recipe"}
BESIDES |= {"clock.seconds", "clock.run", "progress.best"}


@pytest.fixture
def eventful(monkeypatch):
    """Part 1's epochs are all perfect and the first one is the best; the curriculum is soon sure."""
    evaluate = PART1.module.evaluate
    monkeypatch.setattr(PART1.module, "evaluate", lambda *args: (-evaluate(*args)[0], 1.0))
    monkeypatch.setattr(CURRICULUM.module, "SURE", 0.89)


def initial_state(script: Script, folder: Path) -> dict:
    """What a checkpoint of a new run would hold before the first step."""
    first = mock.patch.object(Saver, "__enter__", lambda saver: (saver.at_end(), tiny_runs.die()))
    with first, pytest.raises(tiny_runs.Death):
        script.start(folder, *FLAGS[script])
    return script.saved(folder)


@pytest.mark.parametrize(("script", "step", "item"), ITEMS, ids=str)
def test_an_item_of_a_checkpoint_put_back_to_its_start_changes_the_end(script, step, item, eventful, tmp_path):
    script.start(tmp_path / "straight", *FLAGS[script])
    assert stop(script.start, step, tmp_path / "run", *FLAGS[script]) == 143
    content, new = script.saved(tmp_path / "run"), initial_state(script, tmp_path / "new")
    path, _, value = item.partition("=")
    *parents, name = path.split(".")
    inner, inner_of_new = (functools.reduce(dict.__getitem__, parents, whole) for whole in (content, new))
    start = type(inner[name])(float(value)) if value else inner_of_new[name]
    assert differences(inner[name], start), "it is at its start"
    inner[name] = start
    checkpoint.save(tmp_path / "run/checkpoint.pt", script.kind, without(content, "schema", "kind"))
    try:
        script.resume(tmp_path / "run")
    except TypeError:
        assert item == "progress.best"  # no network to evaluate
    else:
        expected, found = (ending(script, tmp_path / name) for name in ("straight", "run"))
        del expected["checkpoint"]["progress"], found["checkpoint"]["progress"]
        assert differences(expected, found)


@all_scripts
def test_every_item_of_a_checkpoint_is_tried(script, unfinished):
    content = script.saved(unfinished[script])
    names = set(content) - {"progress", "clock"}
    names |= {f"{part}.{name}" for part in ("progress", "clock") for name in content[part]}
    tried = {item.split("=")[0] for script_, _, item in ITEMS if script_ is script}
    assert names - BESIDES == tried - BESIDES


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


@pytest.fixture
def run(unfinished, tmp_path):
    """run(script): a copy of that run to damage."""
    return lambda script: Path(shutil.copytree(unfinished[script], tmp_path / "run"))


def refused(script: Script, folder: Path, *flags) -> str:
    """The line with which it is refused to resume the run, of which no file has changed then."""
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
            change = f"these settings would change the result: {name} {before[name]} → {value}"
            assert refused(script, folder, flag).endswith(change)
        else:
            args = script.module.parse_args(["--resume", str(folder), flag])
            assert vars(args)[name] != before[name] and args.out_dir == folder


@all_scripts
def test_all_differences_are_listed_and_the_same_settings_given_again_pass(script, unfinished, monkeypatch):
    folder = unfinished[script]
    line = refused(script, folder, "--seed", "3", "--learning_rate", "0.5")
    assert "seed 0 → 3" in line and "→ 0.5" in line
    assert script.module.parse_args([*script.tiny.split(), "--resume", str(folder)]).seed == 0
    monkeypatch.setattr(distributed, "PROCESSES", 2)
    assert "processes 1 → 2" in refused(script, folder)


def test_a_flag_newer_than_the_run_had_its_default(run):
    config = read_json((folder := run(PART1)) / "config.json")
    del config["arguments"]["init"], config["arguments"]["threads"]
    write_json(folder / "config.json", config)
    args = PART1.module.parse_args(["--resume", str(folder)])
    assert (args.init, args.threads) == ("memory", torch.get_num_threads())
    assert "init memory → normal" in refused(PART1, folder, "--init", "normal")


@all_scripts
def test_a_setting_of_the_wrong_kind_is_named(script, run, capsys):
    config = read_json((folder := run(script)) / "config.json")
    for name, wrong in [("seed", 1.5), ("data_size", "many"), ("deterministic", 1), ("device", []), ("batch_size", 0)]:
        write_json(folder / "config.json", config | {"arguments": config["arguments"] | {name: wrong}})
        with pytest.raises(SystemExit, match="2"):
            script.module.parse_args(["--resume", str(folder)])
        assert f"argument --{name}: " in capsys.readouterr().err
    config["arguments"].update(seed=None, no_longer_a_flag=3)
    write_json(folder / "config.json", config)
    assert script.module.parse_args(["--resume", str(folder)]).seed == 0


def test_a_run_whose_rates_fall_to_its_end_cannot_get_another_end(tmp_path):
    folder = PART2.start(tmp_path / "run", "--recipe", "crisp", "--latent_dim", "22")
    assert refused(PART2, folder).endswith("this run is finished; start a new one")
    assert refused(PART2, folder, "--n_epochs", "5").endswith("would change the result: n_epochs 2 → 5")


@all_scripts
def test_a_finished_run_is_refused_unless_more_epochs_are_asked_for(script, unfinished, tmp_path):
    folder = script.start(tmp_path / "finished")
    assert "this run is finished; " in refused(script, folder)
    if script.epochs:
        more = f"this run is finished; to train longer, give a larger {script.epochs}"
        assert more in refused(script, folder, script.epochs, "2") and more in refused(script, folder, *EVERY)
        assert f"{script.epochs[2:]} 2 → 1" in refused(script, unfinished[script], script.epochs, "1")
        (folder / "checkpoint.pt").unlink()
        assert "its checkpoint is missing" in refused(script, folder, script.epochs, "4")


def test_what_is_no_run_of_this_script_is_refused(unfinished, tmp_path):
    for script, other in [(PART1, PART2), (PART1, CURRICULUM), (PART2, PART1)]:
        expected = f"is a run of {other.module.SCRIPT}, not of {script.module.SCRIPT}"
        assert expected in refused(script, unfinished[other])
    (tmp_path / "a text").write_text("text")
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert "config.json: cannot be read" in refused(PART1, folder)
    for file in (tmp_path / "a text", unfinished[PART1] / "checkpoint.pt"):
        assert "is a file; name the run's folder" in refused(PART1, file)
    for data in (b"", b"[]", b"\xff\xfe", b'{"script": "part1/train.py"}'):
        (tmp_path / "config.json").write_bytes(data)
        assert f"{tmp_path / 'config.json'}: is damaged" in refused(PART1, tmp_path)
    assert "--out_dir" in refused(PART1, unfinished[PART1], "--out_dir", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@all_scripts
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_advice_ends_in_the_same_bits(script, damage, run, ends_alike):
    """README and the error say: rename checkpoint.previous.pt to checkpoint.pt."""
    folder = run(script)
    path, data = folder / "checkpoint.pt", (folder / "checkpoint.pt").read_bytes()
    path.write_bytes(data[:-999]) if damage == "cut" else path.unlink()
    line = refused(script, folder)
    assert line.startswith(f"{path}: ") and line.endswith("rename checkpoint.previous.pt to checkpoint.pt to use it")
    (folder / "checkpoint.previous.pt").replace(path)
    ends_alike(script, script.resume(folder))


MISFIT = "does not fit this training"
MISFITS = {
    "a parameter more": (MISFIT, lambda content: content["network"].update(more=torch.zeros(2))),
    "a parameter less": (MISFIT, lambda content: content["network"].pop("bias")),
    "another shape": (MISFIT, lambda content: content["network"].update(bias=torch.zeros(3))),
    "no weights": (MISFIT, lambda content: content.update(network=[1, 2])),
    "no optimiser": (MISFIT, lambda content: content.pop("optimizer")),
    "an optimiser of nothing": (MISFIT, lambda content: content.update(optimizer={})),
    "no progress": (MISFIT, lambda content: content["progress"].pop("epoch")),
    "another kind": ("holds a GAN, not a palindrome network", lambda content: content.update(kind="GAN")),
    "weights alone": ("holds only a network, so training cannot continue", lambda content: content.pop("clock")),
    "another run's": ("its checkpoint belongs to another run", lambda content: content["clock"].update(run="another")),
}


@pytest.mark.parametrize(("why", "change"), MISFITS.values(), ids=MISFITS)
def test_a_checkpoint_that_is_not_of_this_training_is_refused(why, change, run):
    folder = run(PART1)
    content = PART1.saved(folder)
    change(content)
    torch.save(content, folder / "checkpoint.pt")
    assert why in refused(PART1, folder)


def test_a_recipe_whose_numbers_have_changed_since_is_refused(run, monkeypatch):
    recipes = PART2.module.RECIPES
    monkeypatch.setitem(recipes, "improved", recipes["reference"])
    line = refused(PART2, run(PART2))
    assert "does not fit this training: " in line and "penalty 0.3 → 0.0" in line and "halving 20 → 0.0" in line


@all_scripts
def test_metrics_may_have_rows_too_many_but_none_too_few(script, run, ends_alike):
    """A torn line of a death, or rows of batches that will be repeated, are made anew."""
    folder = run(script)
    sound = (folder / "metrics.jsonl").read_bytes() if script is not CURRICULUM else b""
    for fewer in (sound[:-1], b"")[: len(sound)]:
        (folder / "metrics.jsonl").write_bytes(fewer)
        assert refused(script, folder).startswith(f"{folder / 'metrics.jsonl'}: is damaged (it is shorter")
    (folder / "metrics.jsonl").write_bytes(sound + b'{"epoch": 2, "batch": 6}\n{"epo')
    ends_alike(script, script.resume(folder))
