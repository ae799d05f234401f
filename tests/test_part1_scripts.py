"""Part 1's training script as a user starts it: from anywhere, into any folder, and with mistakes."""

import pytest
import torch

import part1.train
from common import runs
from common.files import read_json

TINY = ["--data_size", "200", "--max_epoch", "2", "--num_hidden", "8", "--lengths", "4", "30", "--device", "cpu"]


def test_it_runs_from_a_foreign_folder_into_one_with_spaces_and_letters_of_any_alphabet(run_script, tmp_path):
    done = run_script("part1/train.py", *TINY, "--out_dir", "mes résultats/прогон 1", cwd=tmp_path)
    folder = tmp_path / "mes résultats" / "прогон 1"
    assert (done.returncode, done.stderr) == (0, "")
    assert read_json(folder / "result.json")["epochs"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mes résultats"]
    first, header, *rows, lengths, short, long, accuracy, picture = done.stdout.splitlines()
    assert first == "mes résultats/прогон 1" and len(rows) == 2
    assert {len(row) for row in rows} == {len(header)} and len(short) == len(long) == len(lengths)  # aligned
    assert accuracy.startswith("test accuracy ") and picture.endswith("curves.png")


def test_a_mistake_in_a_real_start_is_one_line_and_leaves_nothing(run_script, tmp_path):
    done = run_script("part1/train.py", "--portion_train", "1", "--out_dir", tmp_path / "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "train.py: error: argument --portion_train: 1 is not above 0 and below 1\n"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a finished run, a folder with a text, a file; outputs/ lies there too."""
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path / "outputs")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("final")
    (tmp_path / "file").write_text("text")
    run = runs.Run.create(part1.train.parse_args(["--out_dir", str(tmp_path / "old")]), "part1/train.py", "")
    run.finish({})
    return tmp_path


def state(folder) -> dict:
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


# flags, {} the place above → what the one line must name
MISTAKES = {
    **{f"--input_length {bad}": "--input_length" for bad in ("0", "-5", "100001", "1e3", "2.5", "nan", "inf", "five")},
    **{f"--max_epoch {bad}": "--max_epoch" for bad in ("0", "-1", "nan", "1.5")},
    **{f"--num_hidden {bad}": "--num_hidden" for bad in ("0", "-1", "99999999999999999999")},
    **{f"--batch_size {bad}": "--batch_size" for bad in ("0", "-1", "inf")},
    **{f"--data_size {bad}": "--data_size" for bad in ("0", "-1", "10000001")},
    **{f"--patience {bad}": "--patience" for bad in ("0", "-1")},
    **{f"--learning_rate {bad}": "--learning_rate" for bad in ("0", "-0.1", "nan", "inf", "-inf", "fast")},
    **{f"--max_norm {bad}": "--max_norm" for bad in ("0", "-1", "nan", "inf")},
    **{f"--portion_train {bad}": "--portion_train" for bad in ("0", "1", "-0.5", "1.5", "nan")},
    **{f"--seed {bad}": "--seed" for bad in ("-1", "1.5", "9223372036854775808")},
    **{f"--device {bad}": "--device" for bad in ("foo", "cuda", "cuda:7", "cpu:", "cpu:0", "mps")},
    **{f"--checkpoint_interval {bad}": "--checkpoint_interval" for bad in ("-1", "-0.5", "nan", "inf")},
    "--model gru": "--model",
    "--init zeros": "--init",
    "--input_dim 2": "--input_dim",
    "--precision float8": "--precision",
    "--one_hot --raw_digits": "--raw_digits",
    "--plain --model rnn": "--plain",
    "--input_dim 10 --raw_digits": "--raw_digits",
    "--unknown 1": "--unknown",
    "--input_len 5": "--input_len",
    "5": "5",
    "--seed": "--seed",
    "--data_size 2": "--portion_train",
    "--input_length 1 --portion_train 0.95": "--portion_train",
    "--out_dir {}/old": "--out_dir",
    "--out_dir {}/full": "--out_dir",
    "--out_dir {}/file": "--out_dir",
    "--out_dir {}/file/below": "--out_dir",
    "--resume {}/nowhere": "nowhere",
    "--resume {}/full": "full",
    "--resume {}/file": "file",
    "--resume {}/old": "old",
    "--resume": "--resume",
}


@pytest.mark.parametrize("flags", MISTAKES)
def test_a_mistake_is_answered_in_one_line_that_names_it_and_nothing_is_written(flags, place, answer):
    before = state(place)
    words = [word.replace("{}", str(place)) for word in flags.split()]
    new = [] if "--out_dir" in flags or "--resume" in flags else [*TINY, "--out_dir", str(place / "new")]
    status, out, err = answer(part1.train, *new, *words)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1 and "Traceback" not in err
    assert err.startswith("train.py: error: ") and MISTAKES[flags] in err
    assert state(place) == before


def test_the_same_start_without_a_mistake_runs(place, answer, monkeypatch):
    """Without which the test above would hold of a script that always fails."""
    monkeypatch.setattr(part1.train, "draw_summary", lambda folder: None)
    status, out, err = answer(part1.train, *TINY, "--out_dir", str(place / "new"))
    assert (status, err) == (0, "") and "test accuracy" in out
    assert (place / "new" / "result.json").exists()


def test_a_run_without_a_name_gets_one_under_outputs(place, answer, monkeypatch):
    monkeypatch.setattr(part1.train, "draw_summary", lambda folder: None)
    assert answer(part1.train, *TINY, "--model", "rnn", "--seed", "7", "--input_length", "6")[0] == 0
    (folder,) = (place / "outputs" / "part1").iterdir()
    assert folder.name.startswith("rnn-T6-seed7-") and (folder / "result.json").exists()


def test_help_explains_every_flag(answer, place):
    status, out, _ = answer(part1.train, "--help")
    assert status == 0 and part1.train.__doc__.strip() in out
    for name in vars(part1.train.parse_args([])):
        assert f"--{name}" in out or name == "processes"


def test_an_interrupted_start_ends_without_a_traceback(answer, place, monkeypatch):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(part1.train, "train", interrupt)
    assert answer(part1.train) == (130, "", "")
