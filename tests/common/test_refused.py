"""What is no sound run, or no way to resume it, is refused in one line, and nothing is touched."""

import shutil
from pathlib import Path

from common.files import lock_folder, read_json, write_json
from common.find import PRETRAINED
from tests import tiny_runs
from tests.faults import EVERY
from tests.tiny_runs import PART1, PART2, SCRIPTS, Script, all_scripts, stop

import pytest
import torch

pytestmark = pytest.mark.usefixtures("light")


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
FIXED += "deterministic task=sum2 max_batches=7 without_proof recipe=reference latent_dim=5 log_interval=3 "
FIXED += "eval_interval=1 eval_split=test images=/nowhere resize grey"
SETTINGS = {setting.split("=")[0]: setting for setting in (FREE + " " + FIXED).split()}


@all_scripts
def test_every_setting_is_either_free_or_fixed(script, unfinished, monkeypatch):
    """Free: it may be another at resume. Fixed: another is refused, with the difference. A new flag must be one."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    folder = unfinished[script]
    before = read_json(folder / "config.json")["arguments"]
    for name in before.keys() - {"out_dir", (script.epochs or "--")[2:]}:
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
        assert "its checkpoint is missing" in refused(script, folder)  # it cannot train longer
    if script is PART2:  # crisp's rates fall to zero at the end, which cannot be moved
        folder = script.start(tmp_path / "crisp", "--recipe", "crisp", "--latent_dim", "22")
        assert refused(script, folder).endswith("this run is finished; to train longer, start a new one")
        assert refused(script, folder, "--n_epochs", "5").endswith("would change the result: n_epochs 2 → 5")


def test_a_run_that_another_process_continues_just_before_it_is_locked_is_theirs(tmp_path):
    folder = PART1.start(tmp_path / "run")
    args = PART1.module.parse_args(["--resume", str(folder), "--max_epoch", "4"])
    PART1.resume(folder, "--max_epoch", "3")
    before = tiny_runs.files_of(folder)
    assert "another process has changed it meanwhile" in str(tiny_runs.refusal(PART1.module.train, args))
    assert tiny_runs.files_of(folder) == before and lock_folder(folder)


def test_a_recipe_has_not_changed_and_a_field_newer_than_the_checkpoint_had_its_default(
    unfinished, ends_alike, tmp_path
):
    """`signs` is 0 by default, and so it is in the recipe; `penalty` is 0 by default, and 0.3 in the recipe."""
    folder, older = (Path(shutil.copytree(unfinished[PART2], tmp_path / name)) for name in ("run", "older"))
    content = PART2.saved(folder)
    del content["recipe"]["signs"], content["clock"]["metrics_crc"]
    torch.save(content, folder / "checkpoint.pt")
    ends_alike(PART2, PART2.resume(folder))
    del content["recipe"]["penalty"]
    torch.save(content | {"recipe": content["recipe"] | {"halving": 10}}, older / "checkpoint.pt")
    assert "does not fit this training (halving 10 → 20, penalty 0.0 → 0.3)" in refused(PART2, older)


DAMAGES = [  # what is said, the file, and what becomes of its bytes, its settings, or the content of the checkpoint
    ("config.json: is damaged", "config.json", lambda data: b""),
    ("config.json: is damaged", "config.json", lambda data: b"[]"),
    ("config.json: is damaged", "config.json", lambda data: b'{"script": "part1/train.py"}'),
    ("of part2/train.py, not of part1/train.py", "config.json", lambda data: data.replace(b"part1/", b"part2/")),
    ("config.json: error: argument --batch_size", "settings", lambda settings: settings.update(batch_size=0)),
    ("error: argument --model", "settings", lambda settings: settings.update(model="transformer")),
    ("error: argument --max_epoch", "settings", lambda settings: settings.update(max_epoch=1.5)),
    ("error: argument --device", "settings", lambda settings: settings.update(device=[])),
    ("error: unrecognized arguments: 1", "settings", lambda settings: settings.update(deterministic=1)),
    ("several processes shared its batches", "settings", lambda settings: settings.update(processes=2)),  # once
    ("checkpoint.pt: is damaged", "checkpoint.pt", lambda data: data[:-999]),
    ("metrics.jsonl: is damaged", "metrics.jsonl", lambda data: data[:-1]),
    ("metrics.jsonl: is damaged", "metrics.jsonl", lambda data: data.replace(b"1", b"2", 1)),
    ("metrics.jsonl: is damaged", "metrics.jsonl", lambda data: b"\xef\xbb\xbf" + data),
    ("config.json: is damaged", "config.json", lambda data: data.replace(b'"script"', b'"resumed": [1], "script"')),
    ("belongs to another run", "config.json", lambda data: data.replace(b'"id"', b'"name"')),
    ("holds another kind of network (GAN)", "content", lambda content: content.update(kind="GAN")),
    ("holds only a network, so training cannot", "content", lambda content: content.pop("clock")),
    ("belongs to another run", "content", lambda content: content["clock"].update(run="another")),
    ("checkpoint.pt: is damaged", "content", lambda content: content.update(clock=5)),
    ("metrics.jsonl: is damaged", "content", lambda content: content["clock"].update(metrics_length="x")),
    ("metrics.jsonl: is damaged", "content", lambda content: content["clock"].update(metrics_length=10)),
    ("does not fit this training", "content", lambda content: content["network"].update(bias=torch.zeros(3))),
    ("does not fit this training", "content", lambda content: content.update(network=[1, 2])),
    ("does not fit this training", "content", lambda content: content.update(optimizer={})),
    ("does not fit this training", "content", lambda content: content.pop("progress")),
    ("does not fit this training", "content", lambda content: content["progress"].pop("epoch")),
    ("does not fit this training", "content", lambda content: content["progress"].update(epoch="1")),
    ("does not fit this training", "content", lambda content: content["progress"]["best"].update(bias=torch.zeros(3))),
    ("does not fit this training", "content", lambda content: content["means"].update(weight="x")),
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
    assert "nowhere: there is no such run" in refused(PART1, tmp_path / "nowhere")
    assert "its checkpoint holds only a network" in refused(PART2, PRETRAINED / "generator")  # though it is finished
    assert "is a file; name the run's folder" in refused(PART1, folder / "checkpoint.pt")
    assert "--out_dir" in refused(PART1, folder, "--out_dir", new)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for script in SCRIPTS.values():
        for flags in (["--out_dir", new], ["--resume", unfinished[script]]):
            assert "--tensorboard: the package is missing" in tiny_runs.refused(script, "--tensorboard", *flags)
    assert not new.exists()
