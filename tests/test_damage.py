"""A flipped byte, a cut or a foreign file: found, named in one line, and never a wrong result."""

import functools
import random
import shutil
from pathlib import Path

import pytest

from common.cli import UserError
from common.files import read_json
from tests.faults import SCRIPTS, Script, differences, ending, lighten, refused, soak, stop, survives

both = pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
NAMES = ("checkpoint.pt", "config.json", "metrics.jsonl")
PLACES = 40


@pytest.fixture(autouse=True)
def light(monkeypatch):
    lighten(monkeypatch.setattr)


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory):
    """A run stopped after five batches that has saved after each, and what it would have ended with."""

    @functools.cache
    def prepare(script: Script) -> tuple[Path, dict]:
        folder = tmp_path_factory.mktemp("run")
        assert stop(script.start, 5, folder / "run", "--checkpoint_interval", "0") == 143
        return folder / "run", ending(script, script.start(folder / "straight"))

    return prepare


@pytest.fixture
def run(stopped_run, tmp_path):
    """A copy of that run to damage."""
    return lambda script: Path(shutil.copytree(stopped_run(script)[0], tmp_path / "run"))


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def places(size: int, seed: int) -> list[int]:
    """Both ends and many random places in between."""
    return [0, 1, size - 2, size - 1, *random.Random(seed).sample(range(2, size - 2), PLACES - 4)]


@both
@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_byte_is_found_and_the_file_named_at_resume(script, name, run):
    folder = run(script)
    path, sound = folder / name, (folder / name).read_bytes()
    for place in places(len(sound), seed=len(name)):
        damaged = bytearray(sound)
        damaged[place] ^= random.Random(place).randrange(1, 256)
        path.write_bytes(damaged)
        with survives("flipped byte"):
            if name == "config.json" and same_config(path, sound):
                continue  # 1e-05 became 1E-05, say
            before = state(folder)
            assert f"{path}: " in refused(script, "--resume", folder)
            assert state(folder) == before


def same_config(path: Path, sound: bytes) -> bool:
    """Whether the damaged file still says the same."""
    try:
        damaged = read_json(path)
    except UserError:
        return False
    path.write_bytes(sound)
    return damaged == read_json(path)


@both
@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "foreign", "gone"])
def test_where_the_checkpoint_is_damaged_the_one_before_is_offered_and_ends_in_the_same_bits(
    script, damage, run, stopped_run
):
    folder = run(script)
    path, data = folder / "checkpoint.pt", (folder / "checkpoint.pt").read_bytes()
    damaged = {"flipped": data[:999] + bytes([data[999] ^ 1]) + data[1000:], "truncated": data[:-1], "empty": b""}
    with survives("damaged checkpoint"):
        path.write_bytes(damaged.get(damage, b"# a text\n" * 99))
        if damage == "gone":
            path.unlink()
        else:
            offer = f"the one before it is sound: {folder / 'checkpoint.previous.pt'}"
            assert refused(script, "--resume", folder).endswith(offer)
        script.resume(folder / "checkpoint.previous.pt")
        assert differences(stopped_run(script)[1], ending(script, folder)) == []


@both
def test_a_lost_checkpoint_is_not_taken_for_a_run_without_one(script, run):
    """It must not start over in silence where the one before is sound."""
    folder = run(script)
    (folder / "checkpoint.pt").unlink()
    with survives("damaged checkpoint"):
        assert "checkpoint.previous.pt" in refused(script, "--resume", folder)


@both
def test_where_both_checkpoints_are_damaged_nothing_is_offered(script, run):
    folder = run(script)
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-5])
    with survives("damaged checkpoint", 2):
        line = refused(script, "--resume", folder)
        assert f"{folder / 'checkpoint.pt'}: " in line and "previous" not in line
        assert "previous" in refused(script, "--resume", folder / "checkpoint.previous.pt")


@both
def test_the_other_parts_checkpoint_is_refused(script, run, stopped_run):
    folder = run(script)
    (other,) = set(SCRIPTS.values()) - {script}
    shutil.copy(stopped_run(other)[0] / "checkpoint.pt", folder / "checkpoint.pt")
    (folder / "checkpoint.previous.pt").unlink()
    with survives("damaged checkpoint"):
        assert f"holds a {other.kind}, not a {script.kind}" in refused(script, "--resume", folder)


@both
@pytest.mark.parametrize("cut", [0, 1, 50, -1, -50])
def test_a_cut_metrics_file_is_found(script, cut, run):
    folder = run(script)
    lines = (folder / "metrics.jsonl").read_bytes()
    (folder / "metrics.jsonl").write_bytes(lines[:cut])
    with survives("cut file"):
        assert f"{folder / 'metrics.jsonl'}: " in refused(script, "--resume", folder)


@both
def test_a_lost_metrics_file_is_found(script, run):
    folder = run(script)
    (folder / "metrics.jsonl").unlink()
    with survives("cut file"):
        assert f"{folder / 'metrics.jsonl'}: " in refused(script, "--resume", folder)


@both
def test_what_stands_in_the_metrics_after_the_last_checkpoint_is_made_anew(script, run, stopped_run):
    """A torn line of a death, or lines of batches that will be repeated."""
    folder = run(script)
    with survives("torn line"), (folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"epoch": 2, "batch": 6}\n{"epo')
        file.flush()
        script.resume(folder)
        assert differences(stopped_run(script)[1], ending(script, folder)) == []


@both
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"script": "part1/train.py"}'])
def test_a_foreign_config_is_one_line(script, data, run):
    folder = run(script)
    (folder / "config.json").write_bytes(data)
    with survives("foreign file"):
        assert f"{folder / 'config.json'}: " in refused(script, "--resume", folder)


@both
@pytest.mark.parametrize("what", ["empty folder", "nowhere", "a text", "its config", ""])
def test_what_is_no_run_is_one_line(script, what, run, tmp_path, monkeypatch):
    (tmp_path / "empty folder").mkdir()
    (tmp_path / "a text").write_text("text")
    monkeypatch.chdir(tmp_path)
    with survives("foreign file"):
        refused(script, "--resume", run(script) / "config.json" if what == "its config" else what)


@soak
@pytest.mark.parametrize("seed", range(20))
@both
def test_a_flipped_byte_never_makes_a_wrong_result(script, seed, run, stopped_run):
    """In any file of the run's folder: it is refused, or does not matter."""
    folder = run(script)
    path = random.Random(seed).choice(
        [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]
    )
    damaged = bytearray(path.read_bytes())
    damaged[random.Random(seed).randrange(len(damaged))] ^= random.Random(seed).randrange(1, 256)
    path.write_bytes(damaged)
    with survives("flipped byte"):
        try:
            script.resume(folder)
        except UserError as error:
            assert str(path) in str(error)
        else:
            assert differences(stopped_run(script)[1], ending(script, folder)) == []
