"""The notebooks call what is there, show a reader what came out, and run from their first cell to the last.

They run, for a minute, with NOTEBOOKS=1 or SOAK=1 alone; with the machine and the versions that they were saved with,
the same must come out. After a change of a cell, or of results, SAVE_NOTEBOOKS=1 python -m pytest
tests/test_notebooks.py saves what comes out now.
"""

import ast
import hashlib
import importlib
import inspect
import json
import os
import re
import shutil
import sys
from pathlib import Path

from common.files import read_csv
from common.machine import environment
from tests.conftest import ROOT
from tests.tiny_runs import files_of

import nbformat
import pytest
import torch
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient

NOTEBOOKS = ("part1/part1.ipynb", "part2/part2.ipynb")
all_notebooks = pytest.mark.parametrize("name", NOTEBOOKS)
wanted = any(os.environ.get(name) for name in ("NOTEBOOKS", "SAVE_NOTEBOOKS", "SOAK"))


def read(name: str):
    return nbformat.read(ROOT / name, as_version=4)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def code_of(cell) -> str:
    """A cell as Python alone takes it."""
    return cell.source.replace("%matplotlib inline\n", "")


def printed(notebook) -> str:
    """What its cells print, but for the times in a table's last two columns and in a folder's name."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    text = "\n".join(output.get("text") or output.data.get("text/markdown", "") for output in outputs)
    return re.sub(r"-\d{10}|^((?: +\S+){6,}) +\d+\.\d(?: +[\d:]+)?$", r"\1", text, flags=re.MULTILINE)


def origin(notebook) -> dict:
    """What a notebook is saved with: the machine and the versions here, and a digest of its code and its outputs."""
    content = [(cell.source, cell.outputs) for cell in code_cells(nbformat.reads(nbformat.writes(notebook), 4))]
    here = environment(torch.device("cpu"))
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return {"packages": here["packages"], "device": here["device"], "digest": digest}


def check_what_is_shown(notebook) -> None:
    """Every cell has run, in order; there are pictures, no errors, no warnings and no path of the machine it ran on."""
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert {output.name for output in outputs if output.output_type == "stream"} == {"stdout"}
    shown = [output.data for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) >= 3
    texts = [cell.source for cell in notebook.cells] + [output.text for output in outputs if "text" in output]
    texts += [text for data in shown for kind, text in data.items() if kind.startswith("text/")]
    for text in texts:
        assert not re.search(r"""(^|[\s"'(=:])(/\w|~/|[A-Za-z]:[\\/]\w|file:)""", text), text


@all_notebooks
def test_what_is_saved_is_what_a_reader_should_see(name):
    """The first cell is an import and a folder, a picture comes soon, and answers are folded."""
    notebook = read(name)
    assert [type(node) for node in ast.parse(code_cells(notebook)[0].source).body] == [ast.Import, ast.If]
    outputs = [output for cell in notebook.cells[:5] for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    text = "".join(cell.source for cell in notebook.cells)
    folds = [text.count(part) for part in ("<details", "<details><summary>Answer</summary>\n\n", "\n\n</details>")]
    assert len(set(folds)) == 1 and folds[0] >= 4
    nbformat.validate(notebook)
    check_what_is_shown(notebook)
    assert len(code_cells(notebook)) <= 12
    assert (ROOT / name).stat().st_size < 600_000
    assert b"\r" not in (ROOT / name).read_bytes()
    assert notebook.metadata.kernelspec.name == "python3" and "widgets" not in notebook.metadata
    assert not any("execution" in cell.metadata for cell in notebook.cells), "times of execution differ in every run"


def test_the_saved_numbers_are_near_those_of_the_records():
    """The first tour's training is the beginning of a recorded run; the second one judges fewer images."""
    report, (first, second) = ROOT / "outputs" / "report", (printed(read(name)) for name in NOTEBOOKS)
    found = re.findall(r"^ +\d+(?: +\S+){3} +([01]\.\d{4}) |^test accuracy (\S+)", first, flags=re.MULTILINE)
    sweep = [read_csv(report / "part1/sweep" / name) for name in ("curves.csv", "runs.csv")]
    curve, (run,) = ([row for row in rows if row["run"] == "lstm-T10-seed0"] for rows in sweep)
    recorded = [*(row["validation_accuracy"] for row in curve[: len(found) - 1]), run["test_accuracy"]]
    assert len(found) == 11 and [float(a or b) for a, b in found] == pytest.approx(recorded, abs=0.02)

    rows = [row.split(" | ") for row in re.findall(r"^\| (.*) \|$", second, flags=re.MULTILINE)]
    cells = {name: numbers for name, *numbers in rows}
    (run,) = [row for row in read_csv(report / "part2/evaluate/runs.csv") if row["run"] == "improved"]
    for name, column in (("real", "real"), ("pretrained", "generated")):
        recorded = [run[f"{column}_{measure}"] for measure in ("precision", "recall", "smudged")]
        assert [float(cell) for cell in cells[name][1:]] == pytest.approx(recorded, abs=0.04)


@all_notebooks
def test_it_imports_and_calls_what_is_there_with_flags_and_parameters_that_are_taken(name):
    known, calls = {}, 0
    for cell in code_cells(read(name)):
        nodes = list(ast.walk(ast.parse(code_of(cell))))
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and re.match(r"(common|part1|part2)\b", node.module):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    found = getattr(module, alias.name, None)
                    known[alias.name] = found or importlib.import_module(f"{node.module}.{alias.name}")
        for node in nodes:
            if isinstance(node, ast.Attribute) and inspect.ismodule(known.get(ast.unparse(node.value))):
                known[ast.unparse(node)] = getattr(known[ast.unparse(node.value)], node.attr)
        for node in nodes:
            function = known.get(ast.unparse(node.func)) if isinstance(node, ast.Call) else None
            if function and not any(isinstance(value, ast.Starred) for value in node.args):
                named = {keyword.arg: None for keyword in node.keywords}
                inspect.signature(function).bind(*node.args, **named)
                calls += 1
            if function and ast.unparse(node) == f"{ast.unparse(node.func)}(flags.split())":
                (flags,) = re.findall(r'^flags = f"(.*)"$', cell.source, flags=re.MULTILINE)
                function(re.sub(r"\{.*?\}", "folder", flags).split())
    assert calls >= 10


@all_notebooks
def test_the_lines_of_code_that_it_shows_are_those_of_the_project(name, capsys):
    (cell,) = [cell for cell in code_cells(read(name)) if "print(getsource(" in cell.source]
    exec(cell.source, {})
    assert capsys.readouterr().out.rstrip() == cell.outputs[0].text.rstrip()


@pytest.mark.skipif(not wanted, reason="NOTEBOOKS=1, or make soak")
@pytest.mark.parametrize(("name", "folder"), [(NOTEBOOKS[0], "part1"), (NOTEBOOKS[1], ".")])
def test_it_runs_and_writes_below_outputs_alone(name, folder, tmp_path, monkeypatch):
    """In a copy of the project whose path has spaces, from the notebook's folder, or above as VS Code can be told to,
    on one thread."""
    project = tmp_path / "a copy of it"
    pictures = ("outputs/report/part1/doubts", "outputs/report/part2/compare")
    for part in ("common", "part1", "part2", "data", "outputs/pretrained", *pictures):
        shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
    before = files_of(project)
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "jupyter"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # so that it is "python" by name
    notebook, resources = read(name), {"metadata": {"path": str(project / folder)}}
    client = NotebookClient(notebook, timeout=600, coalesce_streams=True, record_timing=False, resources=resources)
    # No kernel that a user has installed under this name: the one of the Python that runs the tests.
    client.create_kernel_manager().kernel_spec_manager = KernelSpecManager(kernel_dirs=[])
    client.execute()
    for cell in code_cells(notebook):  # a busy machine says in between how long it takes
        for output in cell.outputs:
            if "text" in output:
                output.text = re.sub(r"^.* left\n", "", output.text, flags=re.MULTILINE)
        cell.outputs = [output for output in cell.outputs if output.get("text") != ""]
    check_what_is_shown(notebook)
    after = files_of(project)
    written = {path.relative_to(project).parts[:2] for path in after.keys() - before.keys()}
    assert written == {("outputs", "tour")} and before.items() <= after.items()
    here, saved = origin(notebook), read(name)
    if os.environ.get("SAVE_NOTEBOOKS"):
        notebook.metadata["origin"] = here
        del notebook.metadata["language_info"]  # which Python ran it
        (ROOT / name).write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    elif here | {"digest": ""} == saved.metadata.origin | {"digest": ""}:
        assert printed(notebook) == printed(saved)


@all_notebooks
def test_what_is_saved_came_out_of_these_cells(name):
    notebook = read(name)
    assert origin(notebook)["digest"] == notebook.metadata.origin.digest, "run this file with SAVE_NOTEBOOKS=1"
