"""The rules of the house: who may import whom, what a file may be, and that every command shown to a reader works."""

import argparse
import ast
import importlib
import itertools
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import common.runs
from common.cli import UserError

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("common", "part1", "part2")
FILES = {path.relative_to(ROOT).as_posix(): path for part in PARTS for path in sorted((ROOT / part).rglob("*.py"))}
MODULES = [name.removesuffix(".py").replace("/", ".") for name in FILES]
SCRIPTS = [name for name, path in FILES.items() if "__main__" in path.read_text()]
PAGES = ("README.md", "report.md", "data/README.md")


def imported(tree: ast.AST) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are whole"
            names.add(node.module.split(".")[0])
    return names


def parse(name: str) -> ast.AST:
    return ast.parse(FILES[name].read_text())


def test_the_scripts_are_found():
    """Without which the tests below would hold of nothing."""
    assert {"part1/train.py", "part2/train_gan.py", "part2/interpolate.py"} <= set(SCRIPTS)


@pytest.mark.parametrize("name", FILES)
def test_the_parts_never_import_each_other(name):
    part = name.split("/")[0]
    allowed = {"common", part}
    assert not imported(parse(name)) & (set(PARTS) - allowed)


@pytest.mark.parametrize("name", ["part1/lstm.py", "part1/rnn.py"])
def test_the_models_are_built_by_hand(name):
    """No nn.LSTM, nn.LSTMCell, nn.RNN, torch.lstm, torch._VF, …, by whatever way it is named; but two derivatives."""
    forbidden = re.compile(r"lstm|rnn|gru|^_VF$|^_C$|^ops$", re.IGNORECASE)
    derivatives = r"torch\.ops\.aten\.(sigmoid|tanh)_backward\.grad_input"
    for node in ast.walk(ast.parse(re.sub(derivatives, "derivative", FILES[name].read_text()))):
        names = [node.attr] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
        assert not any(map(forbidden.search, names)), ast.unparse(node)


@pytest.mark.parametrize("name", FILES)
def test_weights_are_loaded_without_running_code(name):
    for node in ast.walk(parse(name)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            assert {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}.get("weights_only") == "True"
    assert not imported(parse(name)) & {"pickle", "dill", "joblib", "marshal", "shelve"}


@pytest.mark.parametrize("name", [*FILES, *(f"tests/{path.name}" for path in (ROOT / "tests").glob("*.py"))])
def test_no_file_is_two_rooms(name):
    lines = len((ROOT / name).read_text().splitlines())
    assert lines <= (500 if name.startswith("tests/") else 300)


# Third-party packages are imported first: matplotlib may write its cache of fonts. `open` is audited with its flags.
IMPORT_ALL = """
import importlib, json, os, sys
import filelock, matplotlib.figure, numpy, torch, torchvision, tqdm
written = []
def watch(event, args):
    if event == "open":
        mode, flags = args[1], args[2]
        if (isinstance(mode, str) and set(mode) & set("wax+")) or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(str(args[0]))
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.symlink", "os.link", "subprocess.Popen", "socket.connect"):
        written.append(f"{event} {args[0]}")
sys.path.insert(0, ROOT)
sys.addaudithook(watch)
generator, arguments = torch.get_rng_state(), list(sys.argv)
for module in MODULES:
    importlib.import_module(module)
assert torch.equal(torch.get_rng_state(), generator), "the global random generator was touched"
assert torch.get_default_dtype() is torch.float32 and sys.argv == arguments
assert written == WRITTEN, written
"""


def import_all(run_script, tmp_path, modules: list[str], root: Path = ROOT, written: tuple[str, ...] = ()):
    program = tmp_path / "import_all.py"
    values = f"ROOT, MODULES, WRITTEN = {str(root)!r}, {modules!r}, {list(written)!r}\n"
    program.write_text(values + IMPORT_ALL)
    return run_script(program, env={"PYTHONDONTWRITEBYTECODE": "1"})


def test_nothing_happens_at_import(run_script, tmp_path):
    done = import_all(run_script, tmp_path, MODULES)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_watch_at_import_sees_a_written_file(run_script, tmp_path):
    (tmp_path / "noisy.py").write_text("from pathlib import Path\nPath('trace.txt').write_text('x')\nprint('hello')\n")
    done = import_all(run_script, tmp_path, ["noisy"], root=tmp_path, written=("trace.txt",))
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


# The command line


def module_of(script: str):
    return importlib.import_module(script.removesuffix(".py").replace("/", "."))


def parser_of(script: str, monkeypatch) -> argparse.ArgumentParser:
    """The parser that answers the script's --help."""
    answered = []
    monkeypatch.setattr(argparse.ArgumentParser, "print_help", lambda parser, file=None: answered.append(parser))
    with pytest.raises(SystemExit) as exit_:
        module_of(script).parse_args(["--help"])
    assert exit_.value.code == 0
    return answered[0]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_says_what_each_flag_means(script, monkeypatch, capsys):
    parser = parser_of(script, monkeypatch)
    assert all(action.help and len(action.help) > 5 for action in parser._actions)
    monkeypatch.undo()
    with pytest.raises(SystemExit) as exit_:
        module_of(script).parse_args(["--help"])
    shown = capsys.readouterr().out
    assert exit_.value.code == 0
    assert all(flag in shown for action in parser._actions for flag in action.option_strings)


@pytest.mark.parametrize("script", SCRIPTS)
def test_flags_are_in_snake_case_and_each_is_read_somewhere(script, monkeypatch):
    source = FILES[script].read_text() + "".join(
        FILES[name].read_text()
        for name in FILES
        if name.startswith("common/") or (name.startswith(script.split("/")[0]) and name not in SCRIPTS)
    )
    for action in parser_of(script, monkeypatch)._actions:
        if action.dest != "help":
            assert re.search(rf"\bargs\.{action.dest}\b", source), f"{action.dest} is never read"
            assert all(re.fullmatch(r"--[a-z0-9_]+|[a-z_]+", flag) for flag in action.option_strings)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_opens_with_its_commands(script):
    assert f"python {script}" in ast.get_docstring(parse(script))


# What pages and docstrings tell a reader to type


def commands_in(text: str) -> list[str]:
    """Calls of a script of ours or of make; continued lines joined, a prompt and a remark taken off."""
    lines = [line.strip().removeprefix("$ ") for line in text.replace("\\\n", " ").splitlines()]
    lines = [re.split(r"\s{3,}(?![-\s])|\s+#", line)[0] for line in lines]
    calls = [call for line in lines for call in re.split(r"\s*(?:&&|\|\||;)\s*", line)]
    ours = re.compile(r"make( |$)|(\S+ )*?(\S*python3?|torchrun) (.* )?\S*part[12]/\w+\.py")
    return [call for call in calls if ours.match(call)]


def code_of(page: str) -> str:
    """The code of a Markdown page, a line each: in blocks, fenced or indented, and within a line; where it has N, 1."""
    text = (ROOT / page).read_text()
    fenced = re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    outside = re.sub(r"^```[^\n]*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    code = [*fenced, *re.findall(r"^    .*$", outside, flags=re.MULTILINE), *re.findall(r"`([^`\n]+)`", outside)]
    return re.sub(r" N\b", " 1", "\n".join(code))


def check(command: str) -> None:
    """The command's flags are taken by its script, or its targets stand in the Makefile."""
    words = shlex.split(command)
    if words[0] == "make":
        targets = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert all(word in targets for word in words[1:] if "=" not in word), command
        return
    k = next(k for k, word in enumerate(words) if re.search(r"part[12]/\w+\.py$", word))
    script = re.search(r"part[12]/\w+\.py$", words[k]).group()
    assert script in SCRIPTS, f"{command}: there is no such script"
    flags = list(itertools.takewhile(lambda word: word not in ("|", ">", "&", "2>&1"), words[k + 1 :]))
    try:
        module_of(script).parse_args(flags)
    except SystemExit as exit_:
        assert exit_.code == 0, command  # --help
    except UserError:
        pass  # a right command, for which this machine lacks something: a run to resume, a package


@pytest.fixture(autouse=True)
def another_machine(tmp_path, monkeypatch):
    """One with GPUs, without runs to resume, and whose number of threads is not ours."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(common.runs, "OUTPUTS", tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)


@pytest.mark.parametrize("page", PAGES)
def test_commands_on_the_pages_work(page):
    if not (ROOT / page).exists():
        pytest.skip(f"{page} is not written yet")
    commands = commands_in(code_of(page))
    assert commands or page != "README.md"
    for command in commands:
        check(command)


@pytest.mark.parametrize("name", FILES)
def test_commands_in_docstrings_work(name):
    for command in commands_in(ast.get_docstring(parse(name)) or ""):
        check(command)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_commands_in_the_makefile_work():
    """As make would run them; -n only prints."""
    targets = re.search(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE).group(1).split()
    shown = subprocess.run(["make", "-n", *targets], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = commands_in(re.sub(r"`[^`]*`", "", shown))
    assert len(commands) >= 3
    for command in commands:
        check(command)


def test_the_assignments_three_commands_work():
    for command in (
        "python part1/train.py --input_length 10",
        "python part2/train_gan.py",
        "python part2/interpolate.py",
    ):
        check(command)


@pytest.mark.parametrize(
    "wrong",
    ["python part2/train_gan.py --n_epoch 3", "python part1/nothing.py", "make nothing", "make demo nothing"],
)
def test_a_wrong_command_is_seen(wrong):
    (command,) = commands_in(f"    $ {wrong}      # a remark")
    with pytest.raises(AssertionError):
        check(command)


def test_commands_are_found_however_they_are_written():
    text = """
    .venv/bin/python part1/train.py --input_length 10 \\
        --seed 1
    OMP_NUM_THREADS=1 python part2/train_gan.py     the improved recipe
    torchrun --nproc_per_node 2 part2/train_gan.py --n_epochs 3   # two processes
    make demo   # a few minutes
    make
    makes no sense, and python alone is no command
    """
    assert [shlex.join(shlex.split(command)) for command in commands_in(text)] == [
        ".venv/bin/python part1/train.py --input_length 10 --seed 1",
        "OMP_NUM_THREADS=1 python part2/train_gan.py",
        "torchrun --nproc_per_node 2 part2/train_gan.py --n_epochs 3",
        "make demo",
        "make",
    ]
