"""Files are written whole or not at all, and what is read is what was written."""

import csv
import os
from pathlib import Path

import pytest

from common.cli import UserError
from common.files import read_json, write_csv, write_json, write_whole


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize(("where", "name"), [(os, "fsync"), (Path, "replace")])
def test_when_writing_fails_the_old_file_stays_and_nothing_else(where, name, failure, monkeypatch, tmp_path):
    def fail(*_):
        raise failure

    write_whole(tmp_path / "file.txt", "old")
    monkeypatch.setattr(where, name, fail)
    with pytest.raises(type(failure)):
        write_whole(tmp_path / "file.txt", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file.txt": "old"}


def test_the_old_file_is_whole_until_all_of_the_new_one_is_on_the_disk(monkeypatch, tmp_path):
    """Then the folder is flushed: else a power cut, which no test here can cause, could undo the renaming."""
    path, seen = tmp_path / "file.txt", []
    write_whole(path, "old")
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append((os.fstat(handle).st_size, path.read_text())))
    write_whole(path, "new one")
    (size, first), (_, last) = seen
    assert (size, first, last) == (7, "old", "new one")


@pytest.mark.parametrize(("data", "written"), [("αβ\n", "αβ\n".encode()), (b"\0\r\n\xff", b"\0\r\n\xff")])
def test_text_and_bytes_are_written_as_they_are_with_the_usual_rights(data, written, tmp_path):
    write_whole(str(tmp_path / "file"), data)
    (tmp_path / "usual").touch()
    assert (tmp_path / "file").read_bytes() == written
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_json_comes_back_equal_and_so_does_a_table(tmp_path):
    write_json(tmp_path / "c.json", {"a": [1, None, "σ"], "b": 0.1})
    assert read_json(tmp_path / "c.json") == {"a": [1, None, "σ"], "b": 0.1}
    write_csv(tmp_path / "t.csv", [{"name": "a,b", "x": 0.5}, {"name": "σ", "x": ""}])
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == [{"name": "a,b", "x": "0.5"}, {"name": "σ", "x": ""}]


@pytest.mark.parametrize("data", [None, b"", b"{", b"[1]", b"\xff\xfe"])
def test_json_that_cannot_be_read_is_one_line(data, tmp_path):
    if data is not None:
        (tmp_path / "c.json").write_bytes(data)
    with pytest.raises(UserError, match=r"c\.json: (cannot be read \(No such file|is damaged)"):
        read_json(tmp_path / "c.json")
