"""Whatever stands on a command line, a script answers with its settings or with one line, never with a traceback."""

import argparse
import contextlib
import importlib
import io
import re
import sys
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common import cli, runs

MODULES = [
    "part1.train",
    "part1.sweep",
    "part1.benchmark",
    "part1.evaluate",
    "part1.show_gates",
    "part2.train_gan",
    "part2.interpolate",
    "part2.explore",
    "part2.classifier",
    "part2.evaluate",
    "part2.benchmark",
    "part2.compare",
    "part2.autoencoder",
]
NASTY = """
    - -- --- -1 0 1 2 10 00 +3 1_000 0x10 1e3 1e400 -1e400 1e-400 nan -nan inf -inf 0.5 2147483648 9223372036854775808
    ü 数 ٣ ² ½ % %s %(prog)s {} {0} $HOME ../x / // . .. ~ /dev/null /proc/self/mem C:\\x * ' " \\ , ; | & # @x = ==
    cpu cuda cuda:0 cuda:-1 cuda: cuda:99999999999 auto lstm rnn improved True None [] -h --help -s
    --seed --seed= --seed=3 --seed=-- --resume --out_dir=x --se --dev --s=1
""".split()  # noqa: SIM905
NASTY += [
    "",
    " ",
    "\t",
    "\r",
    "a\nb",
    "\u202e",
    "\udcff",
    "\x1b[31m",
    "9" * 40,
    "-" + "9" * 40,
    "9" * 5000,
    "x" * 300,
    "x/" * 3000,
]


def flags_of(name: str) -> list[str]:
    """Every flag that the script's --help names."""
    text, _, _ = answer(name, ["--help"])
    return sorted(set(re.findall(r"(?<![\w-])--\w+", text.split("options:")[1])))


def answer(name: str, argv: list[str]) -> tuple[str, str, argparse.Namespace | int]:
    """What the script says on stdout and stderr to its arguments, and what becomes of them: settings or exit status."""
    module, end = importlib.import_module(name), []
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", newline="")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), mock.patch.object(sys, "argv", [name]):
        try:
            cli.call(lambda: end.append(module.parse_args(argv)))
        except SystemExit as exit_:
            end.append(exit_.code)
    for stream in (out, err):
        stream.seek(0)
    return out.read(), err.read(), end[0]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working directory, empty outputs; both must remain so."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "OUTPUTS", tmp_path / "outputs")
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


FLAGS = {name: flags_of(name) for name in MODULES}


def words(name: str):
    """Command lines: flags of the script, each with none, one or more values or glued to one, and words between."""
    flag, value = st.sampled_from(FLAGS[name]), st.sampled_from(NASTY) | st.text(max_size=6)
    glued = st.builds("{}={}".format, flag, value)
    shortened = st.builds(lambda text, n: text[: 2 + n], flag, st.integers(0, 30))
    several = st.builds(lambda first, rest: [first, *rest], flag | shortened, st.lists(value, max_size=3))
    return st.lists(several | glued.map(lambda word: [word]) | value.map(lambda word: [word]), max_size=4).map(
        lambda parts: [word for part in parts for word in part if "\0" not in word]
    )


def check(name: str, argv: list[str]) -> None:
    out, err, end = answer(name, argv)
    if isinstance(end, argparse.Namespace):
        assert (out, err) == ("", "")
        assert [] not in vars(end).values()  # which argparse makes of --seed=--
    elif end == 0:
        assert out.startswith("usage: ") and err == ""
    else:
        assert end == 2 and out == ""
        assert err.endswith("\n") and err.count("\n") == 1 and ": error: " in err


@pytest.mark.parametrize("name", MODULES)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_words_are_answered_with_settings_or_one_line(name, data):
    check(name, data.draw(words(name)))


@pytest.mark.parametrize(("name", "flag"), [(name, flag) for name in MODULES for flag in FLAGS[name]])
def test_every_flag_answers_every_nasty_value(name, flag):
    for value in NASTY:
        check(name, [flag, value])
        check(name, [f"{flag}={value}"])


@pytest.mark.parametrize(("name", "flag"), [(name, flag) for name in MODULES for flag in FLAGS[name]])
def test_no_flag_may_be_shortened(name, flag):
    for length in range(3, len(flag)):
        if flag[:length] not in FLAGS[name]:
            assert answer(name, [flag[:length], "1"])[2] == 2


@pytest.mark.parametrize("name", MODULES)
def test_the_flags_are_all_there(name):
    """Without which the tests above could hold of nothing."""
    assert "--help" in FLAGS[name] and ("--out_dir" in FLAGS[name]) == (name != "part1.evaluate")  # it writes nothing
    settings_ = answer(name, ["RUN"] if name == "part1.evaluate" else [])[2]
    known = {f"--{setting}" for setting in vars(settings_)} | {"--help"}
    assert known - {"--processes", "--run"} == set(FLAGS[name]) - {"--run"}


@pytest.mark.parametrize(
    "name", sorted(set(MODULES) - {"part2.interpolate", "part2.explore", "part1.show_gates", "part1.evaluate"})
)  # which look for a network first
@pytest.mark.parametrize("value", ["x" * 300, "/proc/nowhere", "/dev/null", "/dev/null/run"])
def test_a_folder_that_cannot_be_made_is_one_line(name, value, monkeypatch, capsys):
    """Status 2, as for all bad input, and before anything is computed."""
    module = importlib.import_module(name)
    monkeypatch.setattr(sys, "argv", [module.__file__, "--out_dir", value])
    with pytest.raises(SystemExit) as caught:
        cli.call(module.main)
    err = capsys.readouterr().err
    assert caught.value.code == 2 and len(err.splitlines()) == 1 and "--out_dir" in err
