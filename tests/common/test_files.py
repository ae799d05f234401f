"""Files are written whole or not at all, and what is read is what was written; a checkpoint runs nobody's code."""

import os
import random
import threading
from pathlib import Path

from common import files
from common.cli import UserError
from common.files import SCHEMA, load_checkpoint, read_csv, read_json, save_checkpoint

import pytest
import torch


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize(("where", "name"), [(os, "fsync"), (Path, "replace")])
def test_when_writing_fails_the_old_file_stays_and_nothing_else(where, name, failure, monkeypatch, tmp_path):
    def fail(*_):
        raise failure

    files.write_atomic(tmp_path / "file.txt", "old")
    monkeypatch.setattr(where, name, fail)
    with pytest.raises(type(failure)):
        files.write_atomic(tmp_path / "file.txt", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file.txt": "old"}


def test_the_old_file_is_whole_until_all_of_the_new_one_is_on_the_disk(monkeypatch, tmp_path):
    """Then the folder is flushed: else a power cut, which no test here can cause, could undo the renaming."""
    path, seen = tmp_path / "file.txt", []
    files.write_atomic(path, "old")
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append((os.fstat(handle).st_size, path.read_text())))
    files.write_atomic(path, "new one")
    (size, first), (_, last) = seen
    assert (size, first, last) == (7, "old", "new one")


ROWS = [{"run": "a,b", "x": 0.1, "n": 10**18, "commit": "12e4567", "on": "True"}, {"run": "σ", "y": -2.0, "x": 1e-07}]


def test_json_comes_back_equal_and_so_does_a_table_without_its_empty_cells(tmp_path):
    files.write_json(tmp_path / "c.json", {"a": [1, None, "σ"], "b": 0.1})
    assert read_json(tmp_path / "c.json") == {"a": [1, None, "σ"], "b": 0.1}
    files.write_csv(tmp_path / "t.csv", ROWS)
    found = read_csv(tmp_path / "t.csv")
    assert found == ROWS
    assert [list(map(type, row.values())) for row in found] == [[str, float, int, str, str], [str, float, float]]
    for rows in (ROWS, ROWS[::-1]):  # of a table that is there, the columns keep their order
        files.write_csv(tmp_path / "t.csv", rows)
        assert (tmp_path / "t.csv").read_text("utf-8").splitlines()[0] == "run,x,n,commit,on,y"
    assert read_csv(tmp_path / "none.csv") == []


def test_json_that_cannot_be_read_and_a_table_that_is_cut_or_torn_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"c\.json: cannot be read \(No such file"):
        read_json(tmp_path / "c.json")
    broken = [(read_json, "c.json", data) for data in (b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000)]
    tables = (b"run,x\na\n", b"run,x\na,1,2\n", b'run,x\n"a,1\n', b"run\n\xff\n")
    for read, name, data in broken + [(read_csv, "t.csv", data) for data in tables]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=rf"{name}: is damaged \([^\n]+\)$"):
            read(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
@pytest.mark.parametrize("read", [read_json, read_csv, lambda path: load_checkpoint(path, KIND)])
def test_what_would_be_waited_for_for_ever_is_no_file(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(b""), daemon=True).start()  # else a reader waits
    with pytest.raises(UserError, match=r"pipe: cannot be read \(it is no regular file\)$"):
        read(tmp_path / "pipe")


# Checkpoints

KIND = "thing"
CONTENT = {
    "weights": {"w": torch.arange(300.0).view(30, 10), "empty": torch.empty(0), "count": torch.tensor(7)},
    "sizes": {"input_dim": 10, "name": "LSTM σ", "rate": 0.5, "flag": True, "nothing": None, "list": [1, (2, 3)]},
}


def equal(content: dict) -> bool:
    """Whether this is CONTENT."""
    pairs = [(content["weights"][name], tensor) for name, tensor in CONTENT["weights"].items()]
    return content["sizes"] == CONTENT["sizes"] and all(a.dtype is b.dtype and torch.equal(a, b) for a, b in pairs)


def refused(path: Path | str) -> str:
    """The one line with which the file is refused."""
    with pytest.raises(UserError) as caught:
        load_checkpoint(path, KIND)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_checkpoint_comes_back_equal_and_a_flipped_byte_or_a_cut_is_found_wherever_it_is(tmp_path):
    saved, found = tmp_path / "checkpoint.pt", 0
    save_checkpoint(saved, KIND, CONTENT)
    for path in (saved, str(saved), tmp_path, str(tmp_path)):
        assert equal(load_checkpoint(path, KIND))
    assert equal(torch.load(saved, weights_only=True))
    data = saved.read_bytes()
    for place in range(0, len(data), len(data) // 300):
        other = data[place] ^ random.Random(place).randrange(1, 256)
        saved.write_bytes(data[:place] + bytes([other]) + data[place + 1 :])
        try:
            assert equal(load_checkpoint(saved, KIND))  # padding, or a date
        except UserError as error:
            found += "damaged" in str(error)
    assert found > 100
    for length in (*range(0, len(data), len(data) // 60), 1, len(data) - 22, len(data) - 1):
        saved.write_bytes(data[:length])
        assert "is damaged" in refused(saved)


class Hostile:
    """Unpickled, it writes the file `sign`."""

    def __init__(self, sign: Path):
        self.code = f"open({str(sign)!r}, 'w').write('owned')"

    def __reduce__(self):
        return exec, (self.code,)


VERSION, DAMAGED = "is not a checkpoint of this version", "is damaged or is not a checkpoint"
FOREIGN = [({"schema": SCHEMA, "kind": "GAN"}, r"holds another kind of network (GAN); expected: thing"), ([1], VERSION)]
FOREIGN += [({"schema": SCHEMA + 1, "kind": KIND}, VERSION), ({"weight": torch.zeros(2)}, VERSION)]
FOREIGN += [(data, DAMAGED) for data in (b"", b"hello\n", b"PK\x05\x06" + b"\0" * 18)]


def test_what_holds_something_else_is_refused_and_a_hostile_pickle_never_runs(tmp_path):
    path, sign = tmp_path / "c.pt", tmp_path / "owned.txt"
    assert "cannot be read (No such file" in refused(path) and "cannot be read" in refused("x" * 300)
    hostile = [(Hostile(sign), DAMAGED), ({"schema": SCHEMA, "kind": KIND, "weights": Hostile(sign)}, DAMAGED)]
    for content, why in FOREIGN + hostile:
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        assert why in refused(path)
    assert not sign.exists()
