"""Pictures: that the written files open again pixel for pixel, and that figures show what they were given."""

import os
import subprocess
import sys

from common.figures import (
    STYLES,
    draw_beside,
    draw_metrics,
    new_figure,
    save_animation,
    save_figure,
    save_picture,
    tile,
)
from tests.conftest import ROOT

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image


def test_tiles_by_hand():
    images = torch.tensor([[-1.0, 1.0], [0.0, -1.0], [1.0, 0.5]]).view(3, 1, 1, 2)  # three pictures, 1 × 2 pixels
    rows = [[0, 255, 160, 128, 0], [160] * 5, [255, 191, 160, 160, 160]]  # a gap between; the last place stays empty
    assert tile(images, columns=2, gap=1).tolist() == rows
    assert tile(images, columns=5, gap=0).tolist() == [[0, 255, 128, 0, 255, 191]]
    assert tile(torch.zeros(7, 1, 28, 28), 3).shape == (88, 88)
    out_of_range = torch.tensor([-7.0, 7.0], dtype=torch.bfloat16, requires_grad=True).view(1, 1, 1, 2)
    assert tile(out_of_range * 1, columns=2).tolist() == [[0, 255]]  # from a graph, in half precision


def test_a_picture_is_written_pixel_for_pixel_and_a_figure_without_a_display(tmp_path, monkeypatch):
    sheet = np.array([[0, 50, 255], [160, 7, 80]], dtype=np.uint8)
    save_picture(sheet, tmp_path / "p.png", scale=3)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "p.png")), sheet.repeat(3, 0).repeat(3, 1))
    monkeypatch.delenv("DISPLAY", raising=False)
    save_figure(new_figure(3, 2), tmp_path / "f.png")
    assert Image.open(tmp_path / "f.png").size == (450, 300)


def test_a_figure_is_drawn_in_one_style_whatever_the_user_s_is(tmp_path):
    def drawn() -> bytes:
        figure = new_figure(3, 2)
        figure.subplots().set(title="10 % → x_1", xlabel="steps")
        save_figure(figure, tmp_path / "f.png")
        return (tmp_path / "f.png").read_bytes()

    ours, theirs = drawn(), {"text.usetex": True, "font.family": ["no such font"], "savefig.dpi": 30}
    with matplotlib.rc_context({**theirs, "savefig.transparent": True, "axes.facecolor": "red", "font.size": 30}):
        assert drawn() == ours
        assert {name: matplotlib.rcParams[name] for name in theirs} == theirs  # the user's own again


def test_a_script_draws_whichever_backend_and_settings_are_asked_for_and_without_a_home(tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    (tmp_path / "other").write_bytes(b"\xff")  # is not even read
    code = """from common import cli, figures
def draw():
    figure = figures.new_figure(3, 2)
    figure.subplots().set(title="x_1")
    figures.save_figure(figure, "f.png")
cli.call(draw)"""
    theirs = {"MPLBACKEND": "nonsense", "MATPLOTLIBRC": str(tmp_path / "other"), "HOME": "/dev/null"}
    environment = {**os.environ, **theirs, "PYTHONPATH": str(ROOT)}
    for _ in range(2):  # with a matplotlibrc beside it, and without
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
        (tmp_path / "matplotlibrc").unlink(missing_ok=True)
        assert Image.open(tmp_path / "f.png").size == (450, 300)


@pytest.mark.parametrize("greys", [[0], [0, 0, 85, 85, 255]])
def test_an_animation_holds_every_sheet_in_order_and_stays_on_the_last(greys, tmp_path):
    """The format may join equal frames; a pause stays a pause."""
    save_animation([np.full((4, 6), grey, np.uint8) for grey in greys], tmp_path / "a.gif", milliseconds=80)
    animation, shown, milliseconds = Image.open(tmp_path / "a.gif"), [], 0
    for k in range(animation.n_frames):
        animation.seek(k)
        shown.append(np.asarray(animation.convert("L"))[0, 0].item())
        milliseconds += animation.info["duration"]
    assert animation.size == (12, 8) and (len(greys) == 1 or animation.info["loop"] == 0)
    assert shown == list(dict.fromkeys(greys)) and milliseconds == 80 * (len(greys) - 1) + 1500


def test_every_curve_is_drawn_over_x_and_named():
    rows = [{"epoch": epoch, "a": epoch / 2, "b": epoch / 3} for epoch in (1, 2)]
    left, right = draw_metrics(rows, "epoch", {"nats": {"one": "a", "two": "b"}, "": {"c": "a"}}).axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in left.lines}
    assert drawn == {"one": [[1, 0.5], [2, 1.0]], "two": [[1, 1 / 3], [2, 2 / 3]]} and len(right.lines) == 1
    assert left.get_legend() and (left.get_xlabel(), left.get_ylabel()) == ("epoch", "nats")
    assert len({str(style["linestyle"]) for style in STYLES}) == len(STYLES) >= 5  # told apart without colour


def test_trainings_are_drawn_side_by_side_on_one_scale_with_their_pictures():
    cases = {"good": [{"epoch": e, "a": e, "b": -e} for e in (1, 2)], "bad": [{"epoch": e, "a": 9 * e} for e in (1, 2)]}
    sheets = [np.full((4, 6), grey, dtype=np.uint8) for grey in (7, 80)]
    _, grid = draw_beside(cases, "epoch", {"nats": {"one": "a", "two": "b"}, "%": {"one": "a"}}, sheets)
    assert [[len(line.get_xdata()) for line in axes.lines] for axes in grid[0]] == [[2, 2], [2, 0]]  # it has no b
    assert grid[0, 1].lines[0].get_xydata().tolist() == [[1, 9], [2, 18]] and len(grid[1, 0].lines) == 1
    assert grid[0, 0].get_ylim() == grid[0, 1].get_ylim() and grid[0, 0].get_ylim()[1] >= 18
    assert [axes.get_title() for axes in grid[0]] == ["good", "bad"] and grid[1, 0].get_ylabel() == "%"
    assert [axes.images[0].get_array()[0, 0] for axes in grid[2]] == [7, 80]
