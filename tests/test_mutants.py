"""Nothing that a checkpoint holds is there for nothing: put any item back to its start, and the run ends otherwise."""

import contextlib
import copy
import functools
import shutil
from pathlib import Path

import pytest
import torch

from common import checkpoint
from common.cli import UserError
from common.saving import Saver
from tests.faults import PART1, PART2, Death, Script, differences, ending, lighten, soak, stop, survives

STATE = {
    PART1: ["network", "optimizer", "scheduler"],
    PART2: ["generator", "discriminator", "generator_optimizer", "discriminator_optimizer", "average"],
}
PROGRESS = {
    PART1: ["sums", "epoch", "batch", "best", "best_epoch", "best_score", "perfect_epochs"],
    PART2: ["sums", "summed", "batch"],
}
BESIDES = {"schema", "kind", "clock", "progress"}
ABOUT = {PART1: {"model", "sizes", "encoding"}, PART2: {"latent_dim", "width", "recipe"}}  # from the run's own config

ITEMS = [(script, (name,)) for script in STATE for name in STATE[script]]
ITEMS += [(script, ("progress", name)) for script in PROGRESS for name in PROGRESS[script]]
ITEMS += [(script, ("clock", "metrics")) for script in STATE]
both = pytest.mark.parametrize("script", STATE, ids=str)


def initial_state(script: Script, flags: list[str], folder: Path) -> dict:
    """What a checkpoint of a new run would hold before the first step."""
    state = {}

    def capture(saver: Saver) -> None:
        state.update(copy.deepcopy(saver._content()))
        raise Death

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Death):
        patch.setattr(Saver, "__enter__", capture)
        script.start(folder, *flags)
    return state


@functools.cache
def prepare(script: Script, folder: Path) -> tuple[Path, dict, dict, dict]:
    """A run stopped in its third epoch of five, what is in its checkpoint, what a new one's would hold, and its end."""
    folder = folder / script.name
    flags = [script.grows, "5", *(["--patience", "4"] if script is PART1 else [])]
    straight = ending(script, script.start(folder / "straight", *flags))
    assert stop(script.start, 8 if script is PART1 else 7, folder / "run", *flags) == 143
    return folder / "run", script.saved(folder / "run"), initial_state(script, flags, folder / "new"), straight


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("mutants")


@pytest.fixture
def changes(place, tmp_path, monkeypatch):
    """Resumes a stopped run from a changed checkpoint; tells whether it is refused or ends otherwise.

    Part 1's epochs are all made perfect and the first one the best, so that no field is at its initial value. Four
    perfect ones in a row end that run before its fifth.
    """
    lighten(monkeypatch.setattr)
    evaluate = PART1.module.evaluate
    monkeypatch.setattr(PART1.module, "evaluate", lambda *args: (-evaluate(*args)[0], 1.0))

    def change(script: Script, *path: str, value=None) -> bool:
        run, content, new, straight = prepare(script, place)
        shutil.copytree(run, tmp_path / "run")
        content = copy.deepcopy(content)
        if path:
            *parents, name = path
            inner = functools.reduce(dict.__getitem__, parents, content)
            value = functools.reduce(dict.__getitem__, path, new) if value is None else value
            assert differences(inner[name], value), "it is at its initial value: the mutant is none"
            inner[name] = value
        content = {name: item for name, item in content.items() if name not in ("schema", "kind")}
        checkpoint.save(tmp_path / "run/checkpoint.pt", script.kind, content)
        try:
            script.resume(tmp_path / "run")
            return differences(straight, ending(script, tmp_path / "run")) != []
        except (UserError, TypeError):  # TypeError: Part 1 without its best weights
            return True
        finally:
            shutil.rmtree(tmp_path / "run")

    return change


@both
def test_unchanged_it_ends_as_if_never_stopped(script, changes):
    assert not changes(script)


@both
def test_every_item_of_a_checkpoint_is_tried_here(script, changes, place):
    _, content, _, _ = prepare(script, place)
    assert set(content) == BESIDES | ABOUT[script] | set(STATE[script])
    assert list(content["progress"]) == PROGRESS[script]
    assert set(content["clock"]) == {"seconds", "metrics"}


@pytest.mark.parametrize(("script", "path"), ITEMS, ids=[f"{s.name} {'.'.join(path)}" for s, path in ITEMS])
def test_an_item_put_back_to_its_start_changes_the_end(script, path, changes):
    with survives("item left out"):
        assert changes(script, *path)


def leaves(content: dict, *path):
    """The path of every number and tensor in nested dictionaries."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from leaves(value, *path, name)
        elif not isinstance(value, list):
            yield *path, name


@pytest.mark.parametrize("script", [PART1, pytest.param(PART2, marks=soak)], ids=str)
def test_a_single_tensor_put_back_to_its_start_changes_the_end(script, changes, place):
    changes(script)  # prepares
    _, content, new, _ = prepare(script, place)
    tried, without_effect = 0, []
    for path in [path for name in STATE[script] for path in leaves(content[name], name)]:
        value = functools.reduce(dict.__getitem__, path, content)
        of_optimiser = "state" in path  # a new one has none yet, and makes it of zeros
        start = torch.zeros_like(value) if of_optimiser else functools.reduce(dict.__getitem__, path, new)
        copied = path[0] == "average" and path[-1].endswith("num_batches_tracked")  # anew after each batch
        if differences(start, value) and not copied:  # it has moved
            tried += 1
            if not changes(script, *path, value=start):
                without_effect.append(path)
    with survives("item left out", tried):
        assert tried > 10 and without_effect == []
