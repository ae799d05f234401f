"""make_report.py plans the runs that are in the published tables, with their settings, and no others."""

import contextlib
import shutil

import make_report
from common.files import read_csv
from part1 import sweep
from part2 import compare
from tests.conftest import ROOT

import numpy as np
from PIL import Image

REPORT = ROOT / "outputs" / "report"
NOT_PLANNED = {"real training images", "4194304-seed0", "4194304-seed1"}
NOT_PLANNED |= {"reject-logit", "reject-jacobian", "reject-logit-jacobian"}


class Planned(Exception):
    """A study is planned; it is not to be made."""


def test_the_plan_is_what_is_published(monkeypatch):
    """Which runs make_report, or a script that it calls, plans in the folder of each study."""
    planned = {}

    def note(out_dir, plan, *_, **__):
        planned.setdefault(out_dir.relative_to(REPORT).as_posix(), []).extend(plan)
        raise Planned

    def until_planned(study):
        def plan(args) -> None:
            with contextlib.suppress(Planned):
                study(args)

        return plan

    for module in (make_report, sweep, compare):
        monkeypatch.setattr(module, "make_runs", note)
    monkeypatch.setattr(sweep, "sweep", until_planned(sweep.sweep))
    monkeypatch.setattr(compare, "compare", until_planned(compare.compare))
    for name, make in make_report.studies(REPORT).items():
        with contextlib.suppress(Planned):
            make() if name not in ("films", "overview") else None
    assert len(planned) == 22
    for folder, plan in planned.items():
        rows = {row["run"]: row for row in read_csv(REPORT / folder / "runs.csv")}
        assert rows.keys() - NOT_PLANNED == {run.name for run in plan}, folder
        for run in plan:
            row, settings = rows[run.name], run.settings()
            compared = settings.keys() & row.keys() - {"threads"}
            assert {name: row[name] for name in compared if str(row[name]) != str(settings[name])} == {}, run.name


def test_readme_s_film_shows_both_parts(tmp_path, monkeypatch):
    """In frames as wide as a page, ten digits of the LSTM's memory and ten images; the committed one is such a film."""
    film = Image.open(REPORT / "overview.gif")
    assert (film.size, film.n_frames) == ((840, 292), len(make_report.READ))
    assert (REPORT / "overview.gif").stat().st_size < 1_500_000
    monkeypatch.setattr(make_report, "READ", [0, 1, 5, 50])
    make_report.studies(tmp_path)["overview"]()
    again = Image.open(tmp_path / "overview.gif")
    assert (again.size, again.n_frames, again.info["duration"]) == (film.size, 4, film.info["duration"])
    pixels = np.asarray(again.convert("RGB"), dtype=int)
    in_colour = np.ptp(pixels, axis=2) > 99
    assert in_colour[:, :380].any() and not in_colour[:, 380:].any() and (pixels[:, 380:] < 20).mean() > 0.3
    again.seek(1)
    assert (np.asarray(again.convert("RGB"), dtype=int) != pixels)[:, :380].any()


def test_the_pictures_of_help_are_drawn_from_a_few_records(tmp_path):
    of = "part1/sweep/curves.csv part2/compare/curves.csv part2/compare/runs.csv part2/compare/digits.png"
    for name in [*of.split(), "help/curves.csv", "help/gan-high-rate-grid.png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPORT / name, tmp_path / name)
    make_report.draw_help(tmp_path)
    for path in (REPORT / f"help/{name}.png" for name in ("gan", "lstm", "pixels")):
        was, now = (np.asarray(Image.open(p).convert("L"), float) for p in (path, tmp_path / "help" / path.name))
        assert was.shape == now.shape and was.shape[1] == 1350 and np.abs(was - now).mean() < 3
        assert path.stat().st_size < 150_000


def test_an_unknown_study_is_one_line(answer):
    status, _, error = answer(make_report, "curves")
    assert (status, error.count("\n")) == (2, 1) and "curves: not one of the studies sweep" in error


def test_nothing_is_deleted():
    source = (ROOT / "make_report.py").read_text(encoding="utf-8") + (ROOT / "common/studies.py").read_text("utf-8")
    assert not any(word in source for word in ("rmtree", "unlink", "rmdir", "os.remove"))
