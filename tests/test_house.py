"""The rules of the house that a machine can hold: who imports whom, what happens at import, what help says."""

import argparse
import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib

from tests.conftest import ROOT

import pytest

PARTS = ("common", "part1", "part2")
PATHS = [path for part in PARTS for path in sorted((ROOT / part).rglob("*.py"))]
PATHS += [ROOT / "benchmark.py", ROOT / "make_report.py"]  # of both parts
FILES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PATHS}
TREES = {name: ast.parse(source) for name, source in FILES.items()}
SCRIPTS = [name for name, source in FILES.items() if 'if __name__ == "__main__"' in source]
MODULES = {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in FILES}
all_files, all_scripts = pytest.mark.parametrize("name", TREES), pytest.mark.parametrize("name", SCRIPTS)

# Each part's core, in the order in which it is read, and the only deeper files that it imports.
CORE = {
    "part1": {
        "part1/palindromes.py": "",
        "part1/lstm.py": "networks/through_time",
        "part1/train.py": "networks/by_name networks/pictures networks/trained tasks/memory tasks/tasks",
    },
    "part2": {
        "part2/images.py": "",
        "part2/gan.py": "recipes/average recipes/graphs",
        "part2/train_gan.py": "judges/judge networks/pictures networks/trained recipes/recipes sources/files",
    },
}


def module_of(script: str):
    return importlib.import_module(script.removesuffix(".py").replace("/", "."))


def imported(tree: ast.AST) -> list[str]:
    """Every module that a file imports, wherever in it: `from part1 import lstm` is part1 and part1.lstm."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are whole"
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


OURS = {name: {MODULES[module] for module in imported(tree) if module in MODULES} for name, tree in TREES.items()}
OURS = {name: {other for other in others if FILES[other]} for name, others in OURS.items()}  # no empty __init__.py


@all_files
def test_the_parts_never_import_each_other_and_nobody_a_script(name):
    """A study imports the scripts that it starts, by name, for their flags (common/studies.py)."""
    part = name.split("/")[0]
    if part in PARTS:
        assert {other.split("/")[0] for other in OURS[name]} <= {"common", part}
    assert not OURS[name] & set(SCRIPTS)
    assert not {"importlib", "runpy"} & set(imported(TREES[name])) or name.startswith("common/")


def test_common_knows_no_part_and_imports_run_one_way():
    """Take away, again and again, all files that import none of those left: no circle remains."""
    for path in (ROOT / "common").glob("*.*"):
        assert not re.search(r"part[12]", path.read_text(encoding="utf-8")), path
    assert "common/runs.py" in OURS["part1/train.py"]  # else the rest would hold of nothing
    left = dict(OURS)
    while free := [name for name, others in left.items() if not others & left.keys()]:
        left = {name: others for name, others in left.items() if name not in free}
    assert left == {}


@pytest.mark.parametrize("part", CORE)
def test_the_core_stands_at_the_top_is_short_and_imports_only_a_few_deeper_files(part):
    at_the_top = {name for name in FILES if name.startswith(part) and name.count("/") == 1} - {f"{part}/__init__.py"}
    others = at_the_top - CORE[part].keys()
    assert others <= set(SCRIPTS) and len(others) <= 6, "at the top stand the core and at most six more commands"
    assert sum(len(FILES[name].splitlines()) for name in CORE[part]) <= 400
    for name, deeper in CORE[part].items():
        found = {other for other in OURS[name] if other.startswith(part)} - CORE[part].keys()
        assert found == {f"{part}/{other}.py" for other in deeper.split()}
        read_before = list(CORE[part])[: list(CORE[part]).index(name)]
        assert OURS[name] & CORE[part].keys() <= set(read_before)


def test_no_file_is_two_rooms():
    pages = [path for suffix in ("js", "css", "html") for path in ROOT.glob(f"[cp]*/**/*.{suffix}")]
    assert len(pages) > 5
    assert [path for path in PATHS + pages if len(path.read_text(encoding="utf-8").splitlines()) > 300] == []


@pytest.mark.parametrize("name", ["part1/lstm.py", "part1/networks/through_time.py", "part1/networks/rnn.py"])
def test_the_models_are_built_by_hand(name):
    """No nn.LSTM, nn.LSTMCell, nn.RNN, torch.lstm, torch._VF, …, however it is named; but for four names."""
    forbidden = re.compile(r"lstm|rnn|gru|^_VF$|^_C$|^ops$", re.IGNORECASE)
    allowed = r"torch\.(ops\.aten\.(sigmoid|tanh)_backward\.grad_input|_C\._(has_storage|are_functorch_\w+))"
    for node in ast.walk(ast.parse(re.sub(allowed, "allowed", FILES[name]))):
        names = [node.attr] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names = [alias for alias in names if getattr(node, "module", "") != "part1.lstm"]  # that is ours
        assert not any(map(forbidden.search, names)), ast.unparse(node)


@all_files
def test_weights_are_loaded_without_running_code(name):
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            assert "weights_only=True" in map(ast.unparse, node.keywords)
    assert not set(imported(TREES[name])) & {"pickle", "dill", "joblib", "marshal", "shelve"}


@all_files
def test_the_project_comes_before_torch(name):
    """common/__init__.py bounds how long waiting threads spin; PyTorch reads that when it is loaded."""
    top = [name.split(".")[0] for node in TREES[name].body for name in imported(ast.Module([node], []))]
    ours = [k for k, module in enumerate(top) if module in PARTS]
    others = [k for k, module in enumerate(top) if module in ("torch", "numpy", "PIL", "matplotlib", "torchvision")]
    assert name.startswith("common/") or not others or not ours or ours[0] < others[0]
    assert name not in SCRIPTS or top[ours[0]] == "common"


@all_scripts
def test_a_script_opens_with_its_commands_finds_the_project_and_ends_with_its_call(name):
    """So that it starts from any working directory, and nothing has to be installed."""
    assert f"python {name}" in ast.get_docstring(TREES[name])
    body = [ast.unparse(node) for node in TREES[name].body]
    ours = [line for line in body if re.match(r"(from|import) (common|part1|part2)\b", line)]
    root = "parent" if "/" not in name else f"parents[{name.count('/')}]"
    assert body.index(f"sys.path.insert(0, str(Path(__file__).resolve().{root}))") < body.index(ours[0])
    assert re.fullmatch(r"if __name__ == '__main__':\n    cli\.call\(lambda: \w+\(parse_args\(\)\)\)", body[-1])
    assert "SCRIPT" not in FILES[name] or f'SCRIPT = "{name}"' in FILES[name]


# What happens at import


@pytest.mark.parametrize(("own", "bound"), [("", "20000"), ("GOMP_SPINCOUNT", "7"), ("OMP_WAIT_POLICY", None)])
def test_spinning_has_a_bound_and_a_user_s_own_wins(own, bound, monkeypatch):
    """And it is set before torch is loaded: by the first import of each script, as the test above sees."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "7")
        if name != own:
            monkeypatch.delenv(name)
    importlib.reload(importlib.import_module("common"))
    assert os.environ.get("GOMP_SPINCOUNT") == bound


# A notebook that wants a model needs no pictures and no runs, and nothing needs matplotlib before it draws. Then all
# modules are imported again, with their third-party packages at hand, and watched. `open` is audited with its flags.
IMPORT_ALL = """import importlib, os, sys
def here(*names):
    return sorted(set(names) & set(sys.modules))
modules = sys.argv[1:]
import part1.lstm, part1.networks.rnn, part2.gan
assert here("matplotlib", "torchvision", "filelock", "PIL", "torch") == ["torch"]
for module in modules:
    importlib.import_module(module)
assert here("matplotlib", "torchvision") == []
for module in here(*modules):
    del sys.modules[module]
import filelock, numpy, torch, torchvision, tqdm
done = []
def watch(event, args):
    if event == "open" and ((set(args[1] or "") & set("wax+")) or args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
        done.append(str(args[0]))
    elif event in ("os.mkdir", "os.rename", "os.remove", "subprocess.Popen", "socket.connect"):
        done.append(f"{event} {args[0]}")
sys.addaudithook(watch)
generator, arguments = torch.get_rng_state(), list(sys.argv)
for module in modules:
    importlib.import_module(module)
assert torch.equal(torch.get_rng_state(), generator), "the global random generator was touched"
assert torch.get_default_dtype() is torch.float32 and sys.argv == arguments and not torch.cuda.is_initialized()
assert done == [], done"""


def test_nothing_happens_at_import_and_no_package_comes_that_is_not_needed():
    command, environment = [sys.executable, "-c", IMPORT_ALL, *MODULES], {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


@all_scripts
def test_help_says_what_each_flag_means(name, monkeypatch, answer):
    parsers, print_help = [], argparse.ArgumentParser.print_help
    monkeypatch.setattr(argparse.ArgumentParser, "print_help", lambda self: (parsers.append(self), print_help(self)))
    status, shown, _ = answer(module_of(name), "--help")
    assert status == 0
    for action in parsers[0]._actions:
        assert action.type or action.choices or action.nargs == 0 or not action.option_strings, "no value is unchecked"
        assert action.help and len(action.help) > 5 and all(flag in shown for flag in action.option_strings)
        assert all(re.fullmatch(r"-h|--[a-z0-9_]+", flag) for flag in action.option_strings)


def test_a_wheel_puts_no_packages_of_common_names_among_a_user_s():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["setuptools"]["packages"] == []
