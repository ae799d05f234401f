"""Pictures: what is drawn where, and that the written files open again with the right size and frames."""

import numpy as np
import pytest
import torch
from PIL import Image

from common.figures import STYLES, draw_curves, new_figure, save_animation, save_figure, save_picture, tile


def test_tiles_by_hand():
    images = torch.tensor([[-1.0, 1.0], [0.0, -1.0], [1.0, 0.5]]).view(3, 1, 1, 2)  # three pictures, 1 × 2 pixels
    sheet = tile(images, columns=2, gap=1)
    assert sheet.dtype == np.uint8
    assert sheet.tolist() == [
        [0, 255, 160, 128, 0],  # first row of pictures, a gap between
        [160, 160, 160, 160, 160],
        [255, 191, 160, 160, 160],  # the last place stays empty
    ]


def test_what_lies_outside_the_range_is_cut_to_it():
    assert tile(torch.tensor([-7.0, 7.0]).view(1, 1, 1, 2), columns=1).tolist() == [[0, 255]]


@pytest.mark.parametrize(("n", "columns", "shape"), [(1, 1, (28, 28)), (25, 5, (148, 148)), (7, 3, (88, 88))])
def test_a_sheet_has_room_for_all(n, columns, shape):
    assert tile(torch.zeros(n, 1, 28, 28), columns).shape == shape


def test_a_sheet_may_come_from_a_graph_in_half_precision():
    images = torch.zeros(2, 1, 3, 3, dtype=torch.bfloat16, requires_grad=True)
    assert (tile(images * 1, columns=2, gap=0) == 128).all()


def test_a_picture_is_written_pixel_for_pixel(tmp_path):
    sheet = np.array([[0, 50, 255], [160, 7, 80]], dtype=np.uint8)
    save_picture(sheet, tmp_path / "p.png", scale=3)
    picture = Image.open(tmp_path / "p.png")
    assert picture.size == (9, 6)
    assert np.array_equal(np.asarray(picture), sheet.repeat(3, 0).repeat(3, 1))


def sheets(n: int) -> list[np.ndarray]:
    return [np.full((4, 6), 20 * k, dtype=np.uint8) for k in range(n)]


def test_an_animation_holds_every_sheet_in_order_for_ever(tmp_path):
    save_animation(sheets(5), tmp_path / "a.gif", milliseconds=80, scale=2)
    animation = Image.open(tmp_path / "a.gif")
    assert (animation.size, animation.n_frames, animation.info["loop"]) == ((12, 8), 5, 0)
    durations = []
    for k in range(5):
        animation.seek(k)
        durations.append(animation.info["duration"])
        assert abs(np.asarray(animation.convert("L")).astype(int) - 20 * k).max() <= 8  # 16 greys
    assert durations == [80, 80, 80, 80, 1500]


def test_an_animation_of_one_sheet_is_written_too(tmp_path):
    save_animation(sheets(1), tmp_path / "a.gif")
    assert Image.open(tmp_path / "a.gif").n_frames == 1


def test_an_animation_takes_as_long_where_sheets_repeat(tmp_path):
    """The format may join equal frames, but a pause stays a pause."""
    same = sheets(1)[0]
    save_animation([same, same, *sheets(3)[1:]], tmp_path / "a.gif", milliseconds=100)
    animation = Image.open(tmp_path / "a.gif")
    total = 0
    for k in range(animation.n_frames):
        animation.seek(k)
        total += animation.info["duration"]
    assert total == 3 * 100 + 1500


def curves(n: int) -> dict[str, list[float]]:
    return {f"curve {k}": [k, k + 1.0] for k in range(n)}


@pytest.mark.parametrize("n", [1, 2, len(STYLES), len(STYLES) + 1])
def test_every_curve_is_drawn_and_named(n):
    axes = new_figure(3, 2).subplots()
    draw_curves(axes, [1, 2], curves(n), "epoch", "loss")
    assert {line.get_label(): list(line.get_ydata()) for line in axes.lines} == curves(n)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(curves(n))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "loss")


def test_curves_are_told_apart_without_colour():
    axes = new_figure(3, 2).subplots()
    draw_curves(axes, [1, 2], curves(len(STYLES)), "x", "y")
    assert len({(line.get_linestyle(), line._unscaled_dash_pattern) for line in axes.lines}) == len(STYLES)


def test_a_figure_is_written_without_a_display(tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    save_figure(new_figure(3, 2), tmp_path / "f.png")
    assert Image.open(tmp_path / "f.png").size == (450, 300)
