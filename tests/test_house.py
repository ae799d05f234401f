"""The rules of the house that a machine can hold: who imports whom, what happens at import, what help says."""

import argparse
import ast
import importlib
import re

import pytest

from tests.conftest import ROOT

FILES = {f"{part}/{path.name}": path for part in ("common", "part1", "part2") for path in (ROOT / part).glob("*.py")}
SOURCES = {name: FILES[name].read_text(encoding="utf-8") for name in sorted(FILES)}
TREES = {name: ast.parse(source) for name, source in SOURCES.items()}
SCRIPTS = [name for name, source in SOURCES.items() if 'if __name__ == "__main__"' in source]
MODULES = {name.removesuffix(".py").replace("/", "."): name for name in SOURCES}
all_files, all_scripts = pytest.mark.parametrize("name", TREES), pytest.mark.parametrize("name", SCRIPTS)


def module_of(script: str):
    return importlib.import_module(script.removesuffix(".py").replace("/", "."))


def imported(tree: ast.AST) -> set[str]:
    """Every module that a file imports, wherever in it: `from part1 import lstm` is part1 and part1.lstm."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are whole"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


OURS = {name: {MODULES[module] for module in imported(tree) if module in MODULES} for name, tree in TREES.items()}


def test_the_files_are_found():
    """Without which the tests below would hold of nothing."""
    assert {"part1/train.py", "part1/train_curriculum.py", "part2/train_gan.py", "part2/interpolate.py"} <= set(SCRIPTS)
    assert "common/runs.py" in OURS["part1/train.py"]


@all_files
def test_the_parts_never_import_each_other_and_nobody_a_script(name):
    part = name.split("/")[0]
    assert {other.split("/")[0] for other in OURS[name]} <= {"common", part}
    assert not OURS[name] & set(SCRIPTS)
    assert part != "common" or name not in SCRIPTS


def test_imports_run_one_way():
    """Take away, again and again, all files that import none of those left: no circle remains."""
    left = dict(OURS)
    while free := [name for name, others in left.items() if not others & left.keys()]:
        left = {name: others for name, others in left.items() if name not in free}
    assert left == {}


@pytest.mark.parametrize("name", sorted(TREES.keys() - SCRIPTS - {"common/cli.py", "common/resume.py"}))
def test_a_library_parses_no_arguments(name):
    """But common/cli.py and common/resume.py, which are about them; elsewhere argparse names a type."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("add_argument", "parse_args", "parse_known_args", "argv")
            assert ast.unparse(node.value) != "argparse" or node.attr == "Namespace"


@pytest.mark.parametrize("name", ["part1/lstm.py", "part1/through_time.py", "part1/rnn.py"])
def test_the_models_are_built_by_hand(name):
    """No nn.LSTM, nn.LSTMCell, nn.RNN, torch.lstm, torch._VF, …, however it is named; but for four names."""
    forbidden = re.compile(r"lstm|rnn|gru|^_VF$|^_C$|^ops$", re.IGNORECASE)
    allowed = r"torch\.(ops\.aten\.(sigmoid|tanh)_backward\.grad_input|_C\._(has_storage|are_functorch_\w+))"
    for node in ast.walk(ast.parse(re.sub(allowed, "allowed", SOURCES[name]))):
        names = [node.attr] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
        assert not any(map(forbidden.search, names)), ast.unparse(node)


@all_files
def test_weights_are_loaded_without_running_code(name):
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            assert "weights_only=True" in map(ast.unparse, node.keywords)
    assert not imported(TREES[name]) & {"pickle", "dill", "joblib", "marshal", "shelve"}


@all_scripts
def test_a_script_opens_with_its_commands_and_finds_the_project_before_it_imports_from_it(name):
    """So that it starts from any working directory, and nothing has to be installed."""
    assert f"python {name}" in ast.get_docstring(TREES[name])
    body = [ast.unparse(node) for node in TREES[name].body]
    ours = [line for line in body if re.match(r"(from|import) (common|part1|part2)\b", line)]
    assert body.index("sys.path.insert(0, str(Path(__file__).resolve().parents[1]))") < body.index(ours[0])


def test_no_file_is_two_rooms():
    assert [name for name, source in SOURCES.items() if len(source.splitlines()) > 300] == []


# Third-party packages come first: matplotlib may write its cache of fonts. `open` is audited with its flags.
IMPORT_ALL = """import importlib, os, sys
import filelock, matplotlib.figure, numpy, torch, torchvision, tqdm
done = []
def watch(event, args):
    if event == "open" and ((set(args[1] or "") & set("wax+")) or args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
        done.append(str(args[0]))
    elif event in ("os.mkdir", "os.rename", "os.remove", "subprocess.Popen", "socket.connect"):
        done.append(f"{event} {args[0]}")
sys.addaudithook(watch)
generator, arguments = torch.get_rng_state(), list(sys.argv)
for module in sys.argv[1:]:
    importlib.import_module(module)
assert torch.equal(torch.get_rng_state(), generator), "the global random generator was touched"
assert torch.get_default_dtype() is torch.float32 and sys.argv == arguments and not torch.cuda.is_initialized()
assert done == [], done"""
# A notebook that wants a model needs no pictures and no runs; and Part 1 has no use for images.
IMPORT_MODELS_THEN_PART_1 = """import importlib, sys
import part1.lstm, part1.rnn, part2.networks
print(*sorted({"matplotlib", "torchvision", "filelock", "torch"} & set(sys.modules)))
for module in sys.argv[1:]:
    importlib.import_module(module)
print(*sorted({"torchvision", "matplotlib"} & set(sys.modules)))"""


@pytest.mark.parametrize(("source", "said"), [(IMPORT_ALL, ""), (IMPORT_MODELS_THEN_PART_1, "torch\nmatplotlib\n")])
def test_nothing_happens_at_import_and_no_package_comes_that_is_not_needed(source, said, run_script, tmp_path):
    (tmp_path / "program.py").write_text(source)
    modules = [module for module in MODULES if source is IMPORT_ALL or module.startswith("part1.")]
    environment = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
    done = run_script(tmp_path / "program.py", *modules, env=environment)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", said)


@all_scripts
def test_help_says_what_each_flag_means(name, monkeypatch, answer):
    parsers, print_help = [], argparse.ArgumentParser.print_help
    monkeypatch.setattr(argparse.ArgumentParser, "print_help", lambda self: (parsers.append(self), print_help(self)))
    status, shown, _ = answer(module_of(name), "--help")
    assert status == 0
    for action in parsers[0]._actions:
        flags = action.option_strings or [action.dest]
        assert action.help and len(action.help) > 5 and all(flag in shown for flag in flags)
        assert all(re.fullmatch(r"-h|--[a-z0-9_]+|[a-z_]+", flag) for flag in flags)
