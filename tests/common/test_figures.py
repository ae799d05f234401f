"""Pictures: that the written files open again pixel for pixel, and that figures show what they were given."""

from common.figures import (
    STYLES,
    draw_band,
    draw_curves,
    draw_metrics,
    new_figure,
    save_animation,
    save_figure,
    save_picture,
    tile,
)

import numpy as np
import pytest
import torch
from PIL import Image


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


def test_every_curve_is_drawn_over_x_and_named_and_one_point_can_be_seen():
    axes = new_figure(3, 2).subplots()
    curves = {f"curve {k}": [k, k + 1.0] for k in range(len(STYLES) + 1)}  # one more than there are styles
    draw_curves(axes, [1, 2], curves, "epoch", "loss")
    assert {line.get_label(): list(line.get_ydata()) for line in axes.lines} == curves
    assert len({str(style["linestyle"]) for style in STYLES}) == len(STYLES) >= 5  # told apart without colour
    rows = [{"epoch": 1, "loss": 0.5, "test_loss": 0.6, "accuracy": 1.0}]
    left, right = draw_metrics(rows, "epoch", {"nats": {"a": "loss", "b": "test_loss"}, "": {"c": "accuracy"}}).axes
    lines = {line.get_label(): (line.get_xydata().tolist(), line.get_marker()) for line in [*left.lines, *right.lines]}
    assert lines == {"a": ([[1, 0.5]], "o"), "b": ([[1, 0.6]], "o"), "c": ([[1, 1.0]], "o")}
    line, band = draw_band(axes, [[0, 2], [1, 4, 6]], "black")  # the shorter one goes on with its last value
    assert line.get_xydata().tolist() == [[1, 0.5], [2, 3], [3, 4]]
    assert {(1, 0), (1, 1), (3, 2), (3, 6)} <= set(map(tuple, band.get_paths()[0].vertices.tolist()))
