"""Checkpoints come back equal or not at all, run nobody's code, and files are written whole or not at all."""

import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest
import torch

from common import checkpoint
from common.cli import UserError
from common.files import write_whole

KIND = "thing"
CONTENT = {
    "weights": {"w": torch.arange(300.0).view(30, 10), "empty": torch.empty(0), "count": torch.tensor(7)},
    "sizes": {"input_dim": 10, "name": "LSTM σ", "rate": 0.5, "flag": True, "nothing": None, "list": [1, (2, 3)]},
}


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, KIND, CONTENT)
    return path


def refused(path: Path) -> str:
    """The one line with which `load` refuses the file."""
    with pytest.raises(UserError) as caught:
        checkpoint.load(path, KIND)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line


def test_what_is_saved_comes_back_equal(saved):
    content = checkpoint.load(saved, KIND)
    assert content["sizes"] == CONTENT["sizes"]
    assert content["weights"].keys() == CONTENT["weights"].keys()
    for name, tensor in CONTENT["weights"].items():
        assert torch.equal(content["weights"][name], tensor) and content["weights"][name].dtype == tensor.dtype


def test_plain_torch_load_reads_it_too(saved):
    content = torch.load(saved, weights_only=True)
    assert content["kind"] == KIND and torch.equal(content["weights"]["w"], CONTENT["weights"]["w"])


def test_it_is_a_sound_zip_that_carries_its_own_sum(saved):
    with zipfile.ZipFile(saved) as archive:
        assert archive.testzip() is None
        assert archive.comment == b"sha256:" + hashlib.sha256(saved.read_bytes()[:-71]).hexdigest().encode()


def test_saving_again_keeps_the_one_before(saved):
    for number in (2, 3):
        checkpoint.save(saved, KIND, {"weights": number})
    assert checkpoint.load(saved, KIND)["weights"] == 3
    assert checkpoint.load(checkpoint.previous(saved), KIND)["weights"] == 2
    assert len(list(saved.parent.iterdir())) == 2


def test_where_the_newest_is_damaged_the_error_names_the_one_before(saved):
    checkpoint.save(saved, KIND, {"weights": 2})
    saved.write_bytes(saved.read_bytes()[:-100])
    assert f"the one before it is sound: {checkpoint.previous(saved)}" in refused(saved)


def test_a_saved_checkpoint_survives_a_save_that_fails(saved, monkeypatch):
    checkpoint.save(saved, KIND, {"weights": 2})
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(saved, KIND, {"weights": 3})
    assert checkpoint.load(saved, KIND)["weights"] == 2
    assert not list(saved.parent.glob(".*"))


def test_the_one_before_can_be_restored_and_training_go_on_from_it(saved):
    checkpoint.save(saved, KIND, {"weights": 2})
    checkpoint.save(saved, KIND, {"weights": 3})
    checkpoint.restore(checkpoint.previous(saved), saved)
    assert checkpoint.load(saved, KIND)["weights"] == 2
    checkpoint.save(saved, KIND, {"weights": 4})
    assert checkpoint.load(saved, KIND)["weights"] == 4
    assert checkpoint.load(checkpoint.previous(saved), KIND)["weights"] == 2


def test_a_flipped_byte_anywhere_is_seen(saved):
    data = saved.read_bytes()
    places = {*range(0, len(data), len(data) // 40), len(data) - 1, len(data) - 64, len(data) - 65, len(data) - 71}
    for place in sorted(places):
        damaged = bytearray(data)
        damaged[place] ^= 1
        saved.write_bytes(damaged)
        refused(saved)


def test_a_flipped_bit_in_a_weight_would_pass_plain_torch_load(saved):
    """Why there is a sum of our own."""
    data = bytearray(saved.read_bytes())
    place = data.index(CONTENT["weights"]["w"].numpy().tobytes()) + 50
    data[place] ^= 1
    saved.write_bytes(data)
    assert not torch.equal(torch.load(saved, weights_only=True)["weights"]["w"], CONTENT["weights"]["w"])
    assert "damaged" in refused(saved)


def test_a_truncated_file_is_refused_at_every_length(saved):
    data = saved.read_bytes()
    for length in {*range(0, len(data), len(data) // 40), 1, 70, 71, 72, len(data) - 71, len(data) - 1}:
        saved.write_bytes(data[:length])
        refused(saved)


def test_bytes_added_at_the_end_are_refused(saved):
    saved.write_bytes(saved.read_bytes() + b"\0")
    refused(saved)


@pytest.mark.parametrize("data", [b"", b"hello\n", b"sha256:" + hashlib.sha256(b"").hexdigest().encode(), b"\0" * 500])
def test_what_is_no_checkpoint_is_refused(data, tmp_path):
    (tmp_path / "other.pt").write_bytes(data)
    assert "not a checkpoint of this project" in refused(tmp_path / "other.pt")


def test_a_directory_is_refused(tmp_path):
    assert "cannot be read" in refused(tmp_path)


def test_a_missing_file_is_refused(tmp_path):
    assert "no such checkpoint" in refused(tmp_path / "none.pt")


def test_a_path_given_as_text_serves(saved):
    assert checkpoint.load(str(saved), KIND)["kind"] == KIND


def test_a_torch_file_without_the_seal_is_refused(tmp_path):
    torch.save({"schema": checkpoint.SCHEMA, "kind": KIND}, tmp_path / "plain.pt")
    assert "not a checkpoint of this project" in refused(tmp_path / "plain.pt")


def test_another_kind_is_refused_and_named(tmp_path):
    checkpoint.save(tmp_path / "c.pt", "GAN", {})
    assert "holds a GAN, not a thing" in refused(tmp_path / "c.pt")


def test_another_schema_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoint, "SCHEMA", checkpoint.SCHEMA + 1)
    checkpoint.save(tmp_path / "c.pt", KIND, {})
    monkeypatch.undo()
    assert "another version" in refused(tmp_path / "c.pt")


def test_a_sealed_file_that_holds_no_dict_is_refused(monkeypatch, tmp_path):
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda content, file: save([content], file))
    checkpoint.save(tmp_path / "c.pt", KIND, {})
    assert "another version" in refused(tmp_path / "c.pt")


class Hostile:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').write('owned')",)


@pytest.mark.parametrize("in_place_of", ["value", "everything"])
def test_a_hostile_pickle_with_a_true_seal_never_runs(in_place_of, monkeypatch, tmp_path):
    path, sign = tmp_path / "hostile.pt", tmp_path / "owned.txt"
    if in_place_of == "everything":
        save = torch.save
        monkeypatch.setattr(torch, "save", lambda content, file: save(Hostile(sign), file))
    checkpoint.save(path, KIND, {"weights": Hostile(sign)})
    assert "not a checkpoint of this project" in refused(path)
    assert not sign.exists()
    torch.load(io.BytesIO(path.read_bytes()), weights_only=False)
    assert sign.exists()  # the payload works: it is `load` that did not run it


def failing(*args, **kwargs):
    raise OSError(28, "No space left on device")


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize("failure", [failing, interrupted])
@pytest.mark.parametrize(("where", "name"), [(os, "fsync"), (Path, "replace"), (Path, "chmod")])
def test_when_writing_fails_the_old_file_stays_and_nothing_else(where, name, failure, monkeypatch, tmp_path):
    path = tmp_path / "file.txt"
    write_whole(path, "old")
    monkeypatch.setattr(where, name, failure)
    with pytest.raises((OSError, KeyboardInterrupt)):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_during_the_write_finds_the_old_file_whole(monkeypatch, tmp_path):
    path, seen = tmp_path / "file.txt", []
    write_whole(path, "old")
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (seen.append(path.read_text()), fsync(handle)))
    write_whole(path, "new")
    assert seen[0] == "old" and path.read_text() == "new"


@pytest.mark.parametrize(("data", "written"), [("αβ\n", "αβ\n".encode()), (b"\0\xff", b"\0\xff")])
def test_text_and_bytes_are_written_as_they_are(data, written, tmp_path):
    write_whole(tmp_path / "file", data)
    assert (tmp_path / "file").read_bytes() == written
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
    assert len(list(tmp_path.iterdir())) == 1
