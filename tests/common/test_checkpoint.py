"""Checkpoints come back equal or not at all, and run nobody's code."""

import random
from pathlib import Path

import pytest
import torch

from common import checkpoint
from common.cli import UserError

KIND = "thing"
CONTENT = {
    "weights": {"w": torch.arange(300.0).view(30, 10), "empty": torch.empty(0), "count": torch.tensor(7)},
    "sizes": {"input_dim": 10, "name": "LSTM σ", "rate": 0.5, "flag": True, "nothing": None, "list": [1, (2, 3)]},
}


@pytest.fixture
def saved(tmp_path) -> Path:
    checkpoint.save(tmp_path / "checkpoint.pt", KIND, CONTENT)
    return tmp_path / "checkpoint.pt"


def equal(content: dict) -> bool:
    """Whether this is CONTENT."""
    pairs = [(content["weights"][name], tensor) for name, tensor in CONTENT["weights"].items()]
    return content["sizes"] == CONTENT["sizes"] and all(a.dtype is b.dtype and torch.equal(a, b) for a, b in pairs)


def refused(path: Path | str) -> str:
    """The one line with which `load` refuses the file."""
    with pytest.raises(UserError) as caught:
        checkpoint.load(path, KIND)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_saved_comes_back_equal_by_file_and_by_folder_and_in_plain_pytorch(saved):
    for path in (saved, str(saved), saved.parent, str(saved.parent)):
        assert equal(checkpoint.load(path, KIND))
    assert equal(torch.load(saved, weights_only=True))


def test_a_flipped_byte_anywhere_is_found_or_changes_nothing_and_a_cut_is_found(saved):
    data, found = saved.read_bytes(), 0
    for place in range(0, len(data), len(data) // 300):
        other = data[place] ^ random.Random(place).randrange(1, 256)
        saved.write_bytes(data[:place] + bytes([other]) + data[place + 1 :])
        try:
            assert equal(checkpoint.load(saved, KIND))  # padding, or a date
        except UserError as error:
            found += "damaged" in str(error)
    assert found > 100
    for length in (*range(0, len(data), len(data) // 60), 1, len(data) - 22, len(data) - 1):
        saved.write_bytes(data[:length])
        assert "is damaged" in refused(saved)


def test_where_the_newest_is_damaged_the_one_before_is_offered_if_that_is_sound(saved):
    checkpoint.save(saved, KIND, {"weights": 2}, keep_previous=True)
    assert checkpoint.load(saved, KIND)["weights"] == 2 and equal(checkpoint.load(checkpoint.previous(saved), KIND))
    saved.write_bytes(saved.read_bytes()[:-100])
    assert "the previous checkpoint is sound" in refused(saved)
    checkpoint.previous(saved).write_bytes(saved.read_bytes())
    assert "previous checkpoint" not in refused(saved)


class Hostile:
    """Unpickled, it writes the file `sign`."""

    def __init__(self, sign: Path):
        self.code = f"open({str(sign)!r}, 'w').write('owned')"

    def __reduce__(self):
        return exec, (self.code,)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_hostile_pickle_never_runs(wrapped, tmp_path):
    path, sign = tmp_path / "hostile.pt", tmp_path / "owned.txt"
    content = {"schema": checkpoint.SCHEMA, "kind": KIND, "weights": Hostile(sign)}
    torch.save(content if wrapped else Hostile(sign), path)
    assert "is damaged or is not a checkpoint" in refused(path) and not sign.exists()


VERSION = "is not a checkpoint of this version"
FOREIGN = [({"schema": checkpoint.SCHEMA, "kind": "GAN"}, "holds a GAN, not a thing"), ([1, 2], VERSION)]
FOREIGN += [({"schema": checkpoint.SCHEMA, "kind": "autoencoder"}, "holds an autoencoder, not a thing")]
FOREIGN += [({"schema": checkpoint.SCHEMA + 1, "kind": KIND}, VERSION), ({"weight": torch.zeros(2)}, VERSION)]
FOREIGN += [(data, "is damaged or is not a checkpoint") for data in (b"", b"hello\n", b"PK\x05\x06" + b"\0" * 18)]


@pytest.mark.parametrize(("content", "why"), FOREIGN)
def test_what_holds_something_else_is_refused(content, why, tmp_path):
    path = tmp_path / "c.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    assert why in refused(path)


def test_what_is_not_there_is_refused(tmp_path):
    assert "there is no such checkpoint" in refused(tmp_path / "none.pt")
    assert "cannot be read" in refused("x" * 300)
    (tmp_path / "checkpoint.pt").mkdir()
    with pytest.raises(UserError, match=r"checkpoint\.pt: cannot be read"):
        checkpoint.load(tmp_path, KIND)
