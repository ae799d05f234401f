"""Pictures: what is drawn where, and that the written files open again pixel for pixel."""

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

from common.figures import (
    STYLES,
    draw_curves,
    label_ends,
    log_ticks,
    new_figure,
    save_animation,
    save_figure,
    save_picture,
    spread,
    tile,
)


def test_tiles_by_hand():
    images = torch.tensor([[-1.0, 1.0], [0.0, -1.0], [1.0, 0.5]]).view(3, 1, 1, 2)  # three pictures, 1 × 2 pixels
    sheet = tile(images, columns=2, gap=1)
    rows = [0, 255, 160, 128, 0], [160] * 5, [255, 191, 160, 160, 160]  # a gap between; the last place stays empty
    assert sheet.dtype == np.uint8 and sheet.tolist() == list(rows)
    assert tile(torch.zeros(7, 1, 28, 28), 3).shape == (88, 88) and tile(torch.zeros(2, 1, 5, 5), 3).shape == (5, 12)
    assert tile(images, columns=3, gap=0).tolist() == [[0, 255, 128, 0, 255, 191]]
    out_of_range = torch.tensor([-7.0, 7.0], dtype=torch.bfloat16, requires_grad=True).view(1, 1, 1, 2)
    assert tile(out_of_range * 1, columns=2).tolist() == [[0, 255]]  # from a graph, in half precision


def test_a_picture_is_written_pixel_for_pixel_and_a_figure_without_a_display(tmp_path, monkeypatch):
    sheet = np.array([[0, 50, 255], [160, 7, 80]], dtype=np.uint8)
    save_picture(sheet, tmp_path / "p.png", scale=3)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "p.png")), sheet.repeat(3, 0).repeat(3, 1))
    monkeypatch.delenv("DISPLAY", raising=False)
    figure = new_figure(3, 2)
    figure.subplots().imshow([[0, 1]], cmap="gray")
    save_figure(figure, tmp_path / "f.png")
    written = np.asarray(Image.open(tmp_path / "f.png").convert("L"))
    assert written.shape == (300, 450) and (written == 0).any()


@pytest.mark.parametrize("greys", [[0], [0, 17, 34, 255], [0, 0, 85, 85, 85]])
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


def test_every_curve_is_drawn_over_x_and_named_and_told_apart_without_colour():
    axes = new_figure(3, 2).subplots()
    curves = {f"curve {k}": [k, k + 1.0] for k in range(len(STYLES) + 1)}  # one more than there are styles
    draw_curves(axes, [1, 2], curves, "epoch", "loss")
    assert {line.get_label(): list(line.get_ydata()) for line in axes.lines} == curves
    assert all(list(line.get_xdata()) == [1, 2] for line in axes.lines)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(curves)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "loss")
    assert len({str(style["linestyle"]) for style in STYLES}) == len(STYLES) >= 5


def test_a_curve_of_one_point_can_be_seen():
    axes = new_figure(3, 2).subplots()
    draw_curves(axes, [1], {"a": [0.5], "b": [0.6]}, "epoch", "loss")
    assert [line.get_marker() for line in axes.lines] == ["o", "o"]


SPREAD = {
    "far apart": ([0.1, 0.5, 0.9], [0.1, 0.5, 0.9]),
    "close": ([0.3, 0.36, 0.9], [0.23, 0.43, 0.9]),
    "one pushes the next": ([0.3, 0.4, 0.55], [0.65 / 3, 1.25 / 3, 1.85 / 3]),  # by −0.25 / 3, 0.05 / 3, 0.2 / 3
    "at the top": ([0.2, 0.95, 1.0], [0.2, 0.8, 1.0]),
    "at the bottom": ([0.0, 0.0, 0.7], [0.0, 0.2, 0.7]),
    "none": ([], []),
}


@pytest.mark.parametrize(("places", "expected"), SPREAD.values(), ids=SPREAD)
def test_places_are_spread_by_least_squares_and_stay_within(places, expected):
    assert spread(places, 0.2) == pytest.approx(expected)


def test_each_line_s_label_stands_beside_its_end_in_the_lines_order_and_apart(tmp_path):
    figure = new_figure(4, 3)
    axes = figure.subplots()
    for name, end, style in zip("abcd", (5.0, 1.0, 1.01, -100.0), STYLES, strict=False):
        axes.plot([1, 2, 3], [0, 1, end], label=name, **style)
    axes.set_yscale("symlog")
    label_ends(axes, gap=0.1)
    save_figure(figure, tmp_path / "f.png")
    assert [text.get_text() for text in axes.texts] == ["d", "b", "c", "a"]  # from below
    assert [text.xy[1] for text in axes.texts] == [-100, 1, 1.01, 5]
    to_axes = axes.transAxes.inverted()
    boxes = [Text.get_window_extent(text).transformed(to_axes) for text in axes.texts]  # without what leads there
    centres = [(box.y0 + box.y1) / 2 for box in boxes]
    assert all(box.x0 > 1 for box in boxes) and np.diff(centres).min() > 0.09


@pytest.mark.parametrize(
    ("limits", "expected"), [((0.97, 1.95), ["1", "1.2", "1.5"]), ((0.9, 40), ["1", "2", "5", "10", "20"])]
)
def test_a_logarithmic_axis_has_numbers_if_it_is_short_too(limits, expected):
    axes = new_figure(4, 3).subplots()
    axes.set_xscale("log")
    axes.set_xlim(limits)
    log_ticks(axes.xaxis)
    axes.figure.canvas.draw()
    places = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    assert [label.get_text() for place, label in places if limits[0] <= place <= limits[1]] == expected
