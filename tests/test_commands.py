"""What pages, notebooks, docstrings and the Makefile tell a reader to type is what the scripts take."""

import ast
import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys

from common.cli import UserError
from tests.conftest import ROOT
from tests.test_house import SCRIPTS, TREES, module_of

import pytest
import torch

PAGES = ("README.md", "HELP.md", "report.md", "outputs/report/NOTES.md", "TEACHING.md", "exercises/answers.md")
PAGES += ("tests/README.md", "data/README.md", "outputs/pretrained/README.md", "part1/part1.ipynb", "part2/part2.ipynb")
SCRIPT = r"(?:part[12]/(?:\w+/)*\w+|benchmark|make_report)\.py"


def commands_in(text: str) -> list[str]:
    """Calls of a script of ours or of make; continued lines joined, a prompt and a remark taken off."""
    lines = [line.strip().removeprefix("$ ") for line in text.replace("\\\n", " ").splitlines()]
    lines = [re.split(r"\s{2,}(?![-\s])|\s+#", line)[0] for line in lines]
    calls = [call for line in lines for call in re.split(r"\s*(?:&&|\|\||;)\s*", line)]
    return [call for call in calls if re.match(rf"make( |$)|(\S+ )*?\S*python3? (.* )?\S*{SCRIPT}", call)]


def code_of(page: str) -> str:
    """The code of a Markdown page, or of a notebook's text cells, a line each: in blocks, fenced or indented, and
    within a line; where it has N, 1."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if page.endswith(".ipynb"):
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    _, *pieces = re.split(r"^```[^\n]*\n", "```\n" + text, flags=re.MULTILINE)  # outside, inside, outside, …
    outside = "\n".join(pieces[::2])
    code = [*pieces[1::2], *re.findall(r"^    .*$", outside, flags=re.MULTILINE), *re.findall(r"`([^`\n]+)`", outside)]
    return re.sub(r" N\b", " 1", "\n".join(code))


def check(command: str) -> None:
    """The command's flags are taken by its script, or its targets stand in the Makefile."""
    words = shlex.split(command)
    if words[0] == "make":
        targets = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert all(word in targets for word in words[1:] if "=" not in word), command
        return
    k, script = next((k, found[0]) for k, word in enumerate(words) if (found := re.search(rf"{SCRIPT}$", word)))
    assert script in SCRIPTS, f"{command}: there is no such script"
    flags = list(itertools.takewhile(lambda word: word not in ("|", ">", "&", "2>&1"), words[k + 1 :]))
    try:
        module_of(script).parse_args(flags)
    except SystemExit as exit_:
        assert exit_.code == 0, command  # --help
    except UserError:
        pass  # a right command, for which this machine lacks something: a run to resume, a package


@pytest.fixture(autouse=True)
def another_machine(outputs, monkeypatch):
    """One with GPUs, without runs to resume, and whose number of threads is not ours."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)


@pytest.mark.parametrize("name", ["the assignment", *PAGES, *TREES])
def test_commands_on_pages_and_in_docstrings_work(name):
    if name == "the assignment":
        commands = [f"python {call}" for call in ("part1/train.py --input_length 10", "part2/train_gan.py")]
        commands += ["python part2/interpolate.py"]
    else:
        commands = commands_in(code_of(name) if name in PAGES else ast.get_docstring(TREES[name]) or "")
    assert commands or name not in {*PAGES, *SCRIPTS} - {"TEACHING.md", "data/README.md"}
    for command in commands:
        check(command)


@pytest.mark.parametrize("page", [page for page in PAGES if page.endswith(".md")])
def test_links_lead_to_a_file_and_a_heading(page):
    for name, anchor in re.findall(r"\]\(([^):#]*)#?([^):]*)\)", (ROOT / page).read_text(encoding="utf-8")):
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), name
        headings = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), flags=re.MULTILINE) if anchor else []
        anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not anchor or anchor in anchors, f"{name}#{anchor}"


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_commands_in_the_makefile_work():
    """As make would run them; -n only prints."""
    targets = re.search(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE).group(1).split()
    shown = subprocess.run(["make", "-n", *targets], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = commands_in(re.sub(r"`[^`]*`", "", shown))
    assert len(commands) >= 3
    for command in commands:
        check(command)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_mends_an_environment_whose_python_is_gone_and_deletes_nothing_else(tmp_path):
    """`venv` and `pip` are stand-ins here: the first one makes what counts, a Python that imports pip."""
    stand_in = tmp_path / "python3"
    venv = f"mkdir -p .venv/bin; ln -sf '{sys.executable}' .venv/bin/python; touch .venv/pyvenv.cfg"
    stand_in.write_text(f'#!/bin/sh\ncase "$*" in "-m venv"*) echo "$@" >> log; {venv};; esac\n')
    stand_in.chmod(0o755)

    def make(venv: str | None = None) -> int:
        (tmp_path / "log").write_text("")
        command = ["make", "PYTHON=./python3", "PIP=:", ".venv/runtime"]
        status = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode
        assert (tmp_path / "log").read_text() == (f"{venv}\n" if venv else "")
        return status

    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    assert make("-m venv --clear .venv") == make() == 0
    (tmp_path / ".venv/bin/python").unlink()
    (tmp_path / ".venv/bin/python").symlink_to("gone")
    assert make("-m venv --clear .venv") == make() == 0
    (tmp_path / ".venv/pyvenv.cfg").unlink()
    (tmp_path / ".venv/runtime").unlink()
    assert make() != 0 and (tmp_path / ".venv/bin/python").exists()  # a folder that is no environment
    shutil.rmtree(tmp_path / ".venv")
    (tmp_path / ".venv").write_text("a name, as pipenv writes it")
    assert make() != 0 and (tmp_path / ".venv").is_file()
