"""make_report.py: its steps call the scripts with flags that they take, and replace committed files one by one."""

import importlib

import pytest

import make_report
from make_report import STEPS, show


@pytest.mark.parametrize("step", STEPS)
def test_every_step_calls_scripts_with_flags_that_they_take(step, monkeypatch, outputs):
    called = []
    monkeypatch.setattr(make_report, "OUTPUTS", outputs)
    monkeypatch.setattr(make_report, "SHOWN", outputs / "report")
    monkeypatch.setattr(make_report, "show", lambda folder, files: None)
    for export in ("export_network", "export_networks"):
        monkeypatch.setattr(make_report, export, lambda *paths: None)

    def call(script: str, *flags) -> None:
        called.append((script, *flags))
        for name in ("levers", "soon", "bf16", "compare", "collapse", "board", "board-bf16"):
            (outputs / "part2" / name / "runs").mkdir(parents=True, exist_ok=True)
        if "--out_dir" in flags:
            flags[flags.index("--out_dir") + 1].mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(make_report, "call", call)
    monkeypatch.setattr(make_report, "run_all", lambda _, runs, **__: called.extend((r.script, *r.flags) for r in runs))
    STEPS[step]()
    assert called or step == "pretrained"
    for script, *flags in called:
        importlib.import_module(script.removesuffix(".py").replace("/", ".")).parse_args([str(flag) for flag in flags])


def test_files_are_replaced_one_by_one_and_others_stay(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a.json").write_text("new")
    show(tmp_path / "shown", [tmp_path / "new" / "a.json"])
    (tmp_path / "shown" / "mine.txt").write_text("mine")
    with pytest.raises(FileNotFoundError):
        show(tmp_path / "shown", [tmp_path / "new" / "a.json", tmp_path / "new" / "lost.json"])
    assert {path.name: path.read_text() for path in (tmp_path / "shown").iterdir()} == {
        "a.json": "new",
        "mine.txt": "mine",
    }
