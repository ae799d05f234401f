"""A run stopped anywhere and resumed ends in the same bits as one never stopped."""

import functools
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from common import distributed, runs
from common.files import read_json, write_json
from part1.networks import NETWORKS
from part2.networks import export_generator
from tests.faults import (
    PART1,
    PART2,
    SCRIPTS,
    Death,
    Script,
    after_step,
    die,
    differences,
    ending,
    lighten,
    refused,
    rows,
    stop,
    survives,
)

RUNS = {f"part1 {model}": (PART1, ("--model", model)) for model in NETWORKS}
RUNS |= {f"part2 {recipe}": (PART2, ("--recipe", recipe)) for recipe in ("reference", "improved")}
RUNS |= {"part1 bf16": (PART1, ("--precision", "bf16")), "part2 bf16": (PART2, ("--precision", "bf16"))}
both = pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)


@pytest.fixture(autouse=True)
def light(monkeypatch):
    lighten(monkeypatch.setattr)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """What a run that is never stopped ends with; equal flags share one run."""

    @functools.cache
    def run(script: Script, *flags: str) -> dict:
        return ending(script, script.start(tmp_path_factory.mktemp("straight") / "run", *flags))

    return run


def parse(script: Script, *flags):
    return script.module.parse_args([str(flag) for flag in flags])


# The same bits


@pytest.mark.parametrize("step", range(1, PART1.last_step + 1))
@pytest.mark.parametrize("name", RUNS)
def test_stopped_after_any_batch_and_resumed_it_ends_in_the_same_bits(name, step, straight, tmp_path):
    script, flags = RUNS[name]
    with survives("stop"):
        assert stop(script.start, step, tmp_path / "run", *flags) == 143
        assert script.saved(tmp_path / "run")["progress"]["batch"] == (step if script is PART2 else (step - 1) % 3 + 1)
        script.resume(tmp_path / "run")
        assert differences(straight(script, *flags), ending(script, tmp_path / "run")) == []


@pytest.mark.parametrize("recipe", ["reference", "improved"])
def test_networks_of_full_size_end_in_the_same_bits_too(recipe, tmp_path, monkeypatch):
    monkeypatch.undo()
    lighten(monkeypatch.setattr, narrow=False)
    with survives("stop"):
        PART2.start(tmp_path / "straight", "--recipe", recipe)
        stop(PART2.start, 4, tmp_path / "run", "--recipe", recipe)
        PART2.resume(tmp_path / "run")
        assert differences(ending(PART2, tmp_path / "straight"), ending(PART2, tmp_path / "run")) == []


@both
def test_stopped_and_resumed_after_each_single_batch_it_ends_in_the_same_bits(script, straight, tmp_path):
    with survives("stop", script.last_step):
        assert stop(script.start, 1, tmp_path / "run") == 143
        for _ in range(script.last_step - 1):
            assert stop(script.resume, 1, tmp_path / "run") == 143
        script.resume(tmp_path / "run")
        assert differences(straight(script), ending(script, tmp_path / "run")) == []
        assert len(read_json(tmp_path / "run/config.json")["resumed"]) == script.last_step


@both
def test_stopped_before_its_first_checkpoint_it_starts_over(script, straight, tmp_path):
    """By a death that nobody could catch; rows are in metrics.jsonl by then."""
    with survives("death"):
        with pytest.raises(Death), after_step(5, die):
            script.start(tmp_path / "run")
        assert rows(tmp_path / "run") and not (tmp_path / "run/checkpoint.pt").exists()
        script.resume(tmp_path / "run")
        assert differences(straight(script), ending(script, tmp_path / "run")) == []


@both
@pytest.mark.parametrize("stopped", [False, True])
def test_a_finished_run_with_more_epochs_is_one_that_had_them_from_the_start(script, stopped, straight, tmp_path):
    script.start(tmp_path / "run")
    if stopped:
        assert stop(script.resume, 2, tmp_path / "run", script.grows, "4") == 143
        assert not (tmp_path / "run/result.json").exists()
        script.resume(tmp_path / "run")
    else:
        script.resume(tmp_path / "run", script.grows, "4")
    assert differences(straight(script, script.grows, "4"), ending(script, tmp_path / "run")) == []
    assert read_json(tmp_path / "run/result.json")["epochs"] == 4


@both
def test_a_stopped_run_may_be_resumed_with_more_epochs_at_once(script, straight, tmp_path):
    stop(script.start, 2, tmp_path / "run")
    script.resume(tmp_path / "run", script.grows, "3")
    assert differences(straight(script, script.grows, "3"), ending(script, tmp_path / "run")) == []


@both
def test_a_run_is_named_by_its_folder_or_by_its_checkpoint(script, straight, tmp_path):
    stop(script.start, 4, tmp_path / "run")
    script.resume(tmp_path / "run/checkpoint.pt")
    assert differences(straight(script), ending(script, tmp_path / "run")) == []


@both
def test_a_run_that_was_moved_and_is_named_from_elsewhere_goes_on(script, straight, tmp_path, monkeypatch):
    stop(script.start, 2, tmp_path / "run")
    (tmp_path / "прогон 1").mkdir()
    (tmp_path / "run").rename(tmp_path / "прогон 1" / "moved")
    monkeypatch.chdir(tmp_path / "прогон 1")
    assert script.resume("moved") == Path("moved")
    assert differences(straight(script), ending(script, Path("moved"))) == []
    assert read_json(Path("moved/config.json"))["arguments"]["out_dir"] == "moved"


@both
def test_deterministic_algorithms_resume_exactly_too(script, straight, tmp_path):
    try:
        stop(script.start, 4, tmp_path / "run", "--deterministic")
        torch.use_deterministic_algorithms(False)
        script.resume(tmp_path / "run")
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert differences(straight(script), ending(script, tmp_path / "run")) == []  # on a CPU they are the same


def test_the_pictures_are_the_same_too(tmp_path):
    PART2.start(tmp_path / "straight")
    stop(PART2.start, 3, tmp_path / "stopped")
    PART2.resume(tmp_path / "stopped")
    straight, stopped = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "grids").iterdir()}
        for name in ("straight", "stopped")
    )
    assert len(straight) == 3 and straight == stopped


# What must not matter


@both
def test_saving_after_every_batch_changes_nothing(script, straight, tmp_path):
    script.start(tmp_path / "run", "--checkpoint_interval", "0")
    assert differences(straight(script), ending(script, tmp_path / "run")) == []


@both
def test_evaluation_and_pictures_may_draw_from_anywhere(script, straight, tmp_path, monkeypatch):
    name = {"part1.train": "evaluate", "part2.train_gan": "draw_grid"}[script.name]
    original = getattr(script.module, name)

    def disturbing(*args):
        torch.randn(7), np.random.default_rng().random(), np.random.seed(3)  # noqa: NPY002
        return original(*args)

    monkeypatch.setattr(script.module, name, disturbing)
    script.start(tmp_path / "run")
    assert differences(straight(script), ending(script, tmp_path / "run")) == []


@pytest.mark.parametrize("flags", [("--save_interval", "1"), ("--save_interval", "99"), ("--log_interval", "1")])
def test_pictures_and_logging_change_no_bit_of_training(flags, straight, tmp_path):
    PART2.start(tmp_path / "run", *flags)
    varied = ending(PART2, tmp_path / "run")["checkpoint"]
    assert differences(straight(PART2)["checkpoint"], varied) == []  # the sums are empty at the end


def test_the_drawing_interval_may_be_changed_on_the_way(straight, tmp_path):
    stop(PART2.start, 2, tmp_path / "run")
    PART2.resume(tmp_path / "run", "--save_interval", "1", "--checkpoint_interval", "0")
    assert differences(straight(PART2), ending(PART2, tmp_path / "run")) == []
    assert len(list((tmp_path / "run/grids").iterdir())) == 5  # batches 0, 3, 4, 5, 6


@pytest.mark.skipif(not importlib.util.find_spec("tensorboard"), reason="optional")
@both
def test_tensorboard_changes_nothing(script, straight, tmp_path):
    stop(script.start, 2, tmp_path / "run", "--tensorboard")
    script.resume(tmp_path / "run")
    assert differences(straight(script), ending(script, tmp_path / "run")) == []
    assert list((tmp_path / "run").glob("events.*"))


def test_the_thread_count_is_that_of_the_start(tmp_path):
    threads = torch.get_num_threads()
    stop(PART1.start, 2, tmp_path / "run")
    config = read_json(tmp_path / "run/config.json")
    assert config["threads"] == threads
    try:
        write_json(tmp_path / "run/config.json", config | {"threads": 3})  # as on a machine with more cores
        stop(PART1.resume, 1, tmp_path / "run")
        assert torch.get_num_threads() == 3
        torch.set_num_threads(2)
        parse(PART1, "--resume", tmp_path / "run")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


# What is refused, in one line, and nothing touched


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """An unfinished run of each script, for tests that leave it as it is."""
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        lighten(patch.setattr)
        for name, script in SCRIPTS.items():
            folders[script] = tmp_path_factory.mktemp(name) / "run"
            stop(script.start, 2, folders[script])
    return folders


FREE = {"out_dir", "lengths", "checkpoint_interval", "tensorboard", "save_interval", "max_epoch", "n_epochs"}
CHANGED = {
    "input_length": "5",
    "input_dim": "10",
    "one_hot": None,
    "raw_digits": None,
    "curriculum": None,
    "plain": None,
    "eval_interval": "1",
    "eval_split": "validation",
    "model": "rnn",
    "num_hidden": "5",
    "init": "normal",
    "patience": "3",
    "batch_size": "20",
    "learning_rate": "0.01",
    "max_norm": "3.0",
    "data_size": "110",
    "portion_train": "0.7",
    "seed": "1",
    "device": "cuda",
    "precision": "bf16",
    "deterministic": None,
    "recipe": "reference",
    "latent_dim": "5",
    "log_interval": "3",
}
FIXED = [
    (script, name) for script in SCRIPTS.values() for name in vars(script.module.parse_args([])) if name in CHANGED
]


@both
def test_every_setting_is_either_free_or_fixed(script, unfinished):
    """So that a new flag is thought about here."""
    settings = set(read_json(unfinished[script] / "config.json")["arguments"])
    assert settings <= FREE | set(CHANGED) | {"processes"}


@pytest.mark.parametrize(("script", "name"), FIXED, ids=str)
def test_a_changed_setting_is_refused_with_the_difference(script, name, unfinished, monkeypatch):
    before = read_json(unfinished[script] / "config.json")["arguments"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    value = [] if CHANGED[name] is None else [CHANGED[name]]
    now = CHANGED[name] or "True"
    line = refused(script, "--resume", unfinished[script], f"--{name}", *value)
    assert line.endswith(f"these settings would change the result: {name} {before[name]} → {now}")


@both
def test_all_differences_are_listed(script, unfinished):
    line = refused(script, "--resume", unfinished[script], "--seed", "3", "--learning_rate", "0.5", "--data_size", "99")
    assert all(part in line for part in ("seed 0 → 3", "learning_rate 0.00", "→ 0.5", "data_size 1", "0 → 99"))


@both
def test_another_number_of_processes_is_refused(script, unfinished, monkeypatch):
    monkeypatch.setattr(distributed, "PROCESSES", 2)
    assert "processes 1 → 2" in refused(script, "--resume", unfinished[script])


@both
def test_the_same_settings_given_again_pass(script, unfinished):
    assert parse(script, *script.tiny.split(), "--resume", unfinished[script]).seed == 0


@both
def test_what_cannot_change_the_result_may_change(script, unfinished):
    flags = ["--checkpoint_interval", "5", script.grows, "9"]
    flags += ["--save_interval", "7"] if script is PART2 else []
    args = parse(script, "--resume", unfinished[script], *flags)
    assert (args.checkpoint_interval, vars(args)[script.grows[2:]]) == (5, 9)
    assert args.out_dir == unfinished[script]


@both
def test_another_folder_is_refused(script, unfinished, tmp_path):
    assert "--out_dir" in refused(script, "--resume", unfinished[script], "--out_dir", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@both
def test_a_flag_newer_than_the_run_had_its_default(script, unfinished, tmp_path):
    shutil.copytree(unfinished[script], tmp_path / "older")
    config = read_json(tmp_path / "older" / "config.json")
    del config["arguments"]["precision"]
    write_json(tmp_path / "older" / "config.json", config)
    assert parse(script, "--resume", tmp_path / "older").precision == "float32"
    assert "precision float32 → bf16" in refused(script, "--resume", tmp_path / "older", "--precision", "bf16")


@both
def test_fewer_epochs_are_refused(script, unfinished):
    assert f"{script.grows[2:]} 2 → 1" in refused(script, "--resume", unfinished[script], script.grows, "1")


@both
def test_a_run_of_the_other_script_is_refused(script, unfinished):
    (other,) = set(SCRIPTS.values()) - {script}
    assert "is a run of part" in refused(script, "--resume", unfinished[other])


def test_a_run_of_a_script_without_resume_is_refused(tmp_path):
    write_json(tmp_path / "config.json", {"script": "part2/interpolate.py", "arguments": {}})
    assert "is a run of part2/interpolate.py" in refused(PART2, "--resume", tmp_path)


@both
def test_a_finished_run_is_refused_unless_more_epochs_are_asked_for(script, tmp_path):
    script.start(tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    for flags in ([], [script.grows, "2"], ["--checkpoint_interval", "5"]):
        assert f"this run is finished; to train on, ask for more: {script.grows} N" in refused(
            script, "--resume", tmp_path / "run", *flags
        )
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}


def test_a_finished_network_without_its_training_is_refused(tmp_path, monkeypatch):
    """As a published generator is: weights to use, and no state of a training."""
    monkeypatch.undo()
    lighten(monkeypatch.setattr, narrow=False)
    stop(PART2.start, 2, tmp_path / "run")
    export_generator(tmp_path / "run/checkpoint.pt", tmp_path / "run/small.pt")
    assert "not a training to go on with" in refused(PART2, "--resume", tmp_path / "run/small.pt")


@both
def test_a_refusal_leaves_everything_as_it_is(script, unfinished):
    def state() -> dict:
        return {path: path.read_bytes() for path in unfinished[script].rglob("*") if path.is_file()}

    before = state()
    refused(script, "--resume", unfinished[script], "--seed", "1")
    refused(script, "--resume", unfinished[script], script.grows, "1")
    assert state() == before


# --resume alone


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path)
    return tmp_path


@both
def test_where_no_run_is_unfinished_that_is_said(script, outputs):
    assert "--resume: no unfinished run of part" in refused(script, "--resume")
    script.start(outputs / "part1" / "finished")
    assert "--resume: no unfinished run of part" in refused(script, "--resume")
    assert [path.name for path in (outputs / "part1").iterdir()] == ["finished"]


def test_resume_alone_takes_the_newest_unfinished_run_of_this_script(outputs, straight):
    stop(PART1.start, 2, outputs / "part1" / "old", "--seed", "1")
    stop(PART1.start, 2, outputs / "part1" / "a-new", "--seed", "2")
    PART1.start(outputs / "part1" / "newer-but-finished")
    stop(PART2.start, 2, outputs / "part2" / "newer-but-another-script")
    assert PART1.train("--resume") == outputs / "part1" / "a-new"
    assert differences(straight(PART1, "--seed", "2"), ending(PART1, outputs / "part1" / "a-new")) == []
    assert PART1.train("--resume") == outputs / "part1" / "old"
    refused(PART1, "--resume")
