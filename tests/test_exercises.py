"""The exercises: their patches apply to the files of now and go back; exactly the tests that TEACHING.md names fail.

If the code has changed below a patch: blank its lines by hand, git diff -U1 > exercises/N.patch, put the lines back.
"""

import os
import re
import shutil
import subprocess
import sys

from tests import numbers_records as r
from tests.conftest import ROOT

import pytest

TEACHING, ANSWERS = ((ROOT / name).read_text(encoding="utf-8") for name in ("TEACHING.md", "exercises/answers.md"))
TEXTS = dict(re.findall(r"^\*\*(\d)\. (.*?)(?=^\*\*\d|^##)", TEACHING, flags=re.MULTILINE | re.DOTALL))
PATCHES = sorted((ROOT / "exercises").glob("*.patch"))
all_patches = pytest.mark.parametrize("patch", PATCHES, ids=[path.stem for path in PATCHES])


def git_apply(patch, folder, *options: str) -> None:
    """In a folder that is no repository, even if it lies within one."""
    here = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    done = subprocess.run(["git", "apply", *options, str(patch)], cwd=folder, env=here, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), f"{patch.name}: {done.stderr}"


def named(exercise: str) -> dict[str, int]:
    """The tests that must fail, each with the number of its cases."""
    found = re.findall(r"`(tests/[\w/]+\.py::\w+)`(?: \((\d+) cases)?", TEXTS[exercise])
    return {test: int(cases or 1) for test, cases in found}


def test_each_patch_has_its_exercise_and_its_time_is_counted():
    assert [path.stem for path in PATCHES] == [exercise for exercise in TEXTS if named(exercise)]
    minutes = [row.split("|")[2:6:3] for row in re.findall(r"^\| .*", TEACHING, flags=re.MULTILINE) if ".py" in row]
    assert len(minutes) == 9
    read = [20 + sum(int(cell) for cell in column if cell.strip()) for column in zip(*minutes, strict=True)]
    exercises = {exercise: int(re.search(r"(\d+) minutes", text)[1]) for exercise, text in TEXTS.items()}
    part_2 = sum(exercises.pop(exercise) for exercise in "45")
    for total, own in zip(read, (sum(exercises.values()), part_2), strict=True):
        assert f"*{total}; {total + own}*" in TEACHING


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
@all_patches
def test_a_patch_applies_marks_its_lines_and_goes_back(patch, tmp_path):
    names = re.findall(r"^\+\+\+ b/(.*)", patch.read_text(encoding="utf-8"), flags=re.MULTILINE)
    before = {name: (ROOT / name).read_text(encoding="utf-8") for name in names}
    for name, text in before.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    git_apply(patch, tmp_path)
    assert all(f"# exercise {patch.stem}" in (tmp_path / name).read_text(encoding="utf-8") for name in names)
    git_apply(patch, tmp_path, "-R")
    assert before and before == {name: (tmp_path / name).read_text(encoding="utf-8") for name in names}


@all_patches
def test_the_tests_that_it_names_are_there(patch):
    for path, test in (name.split("::") for name in named(patch.stem)):
        assert f"\ndef {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"


@pytest.mark.skipif(not os.environ.get("SOAK"), reason="make soak")
@all_patches
def test_exactly_the_tests_that_it_names_fail(patch, tmp_path, monkeypatch):
    monkeypatch.delenv("SOAK")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    for part in ("common", "part1", "part2", "tests", "data", "outputs/pretrained"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    git_apply(patch, tmp_path)
    expected = named(patch.stem)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tb=no", "-rfE"]
    command += sorted({test.split("::")[0] for test in expected})
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    failed = re.findall(r"^(?:FAILED|ERROR) ([\w/.]+::\w+)", shown, flags=re.MULTILINE)
    assert {test: failed.count(test) for test in failed} == expected, shown


def test_the_numbers_in_the_answers_are_those_of_the_records():
    """How many epochs the recorded runs took until validation was first without an error."""

    def epochs(network: str) -> str:
        runs = [r.rows("part1/sweep", "curves.csv", run=f"{network}-seed{seed}") for seed in range(3)]
        first = [[int(row["epoch"]) for row in run if float(row["validation_accuracy"]) == 1] for run in runs]
        return ", ".join(str(found[0]) if found else "never" for found in first)

    for network in ("lstm", "torch_lstm"):
        assert f"{epochs(f'{network}-T10')} and {epochs(f'{network}-T30')}" in ANSWERS, network
    assert epochs("reference-T10") in ANSWERS
