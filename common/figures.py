"""Pictures: curves, grids of images, animations. No display is needed; matplotlib is loaded when a figure is drawn."""

import io
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from common.files import write_atomic

import numpy as np
import torch
from PIL import Image

# Lines differ in colour (Okabe & Ito 2008), in grey value and in line style.
STYLES = [
    {"color": "#0072B2", "linestyle": "-"},
    {"color": "#D55E00", "linestyle": "--"},
    {"color": "#009E73", "linestyle": "-."},
    {"color": "#000000", "linestyle": ":"},
    {"color": "#CC79A7", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
    {"color": "#56B4E9", "linestyle": (0, (8, 2))},
]


def new_figure(width: float, height: float, **settings):
    """A figure of `width` × `height` inches, drawn off screen.

    Until `save_figure`, matplotlib's own style with these `settings` takes the place of the user's. Its text of 10
    points has digits 9 pixels high where a page shows 9 inches on 838 pixels.
    """
    import matplotlib
    from matplotlib.figure import Figure

    ours = {"axes.titlesize": "medium", "legend.frameon": False, **settings}
    style = matplotlib.rc_context(matplotlib.rcParamsDefault | ours)
    style.__enter__()
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    figure.style = style
    return figure


def render(figure) -> io.BytesIO:
    """The figure as PNG; returns to the user's style."""
    figure.savefig(buffer := io.BytesIO(), format="png", pil_kwargs={"optimize": True})
    figure.style.__exit__(None, None, None)
    return buffer


def save_figure(figure, path: Path) -> None:
    """Write the figure to `path` as PNG, and return to the user's style."""
    write_atomic(path, render(figure).getvalue())


def plain_axes(axes) -> None:
    """The style of every plot: a light grid, and no frame at the top and on the right."""
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def bare_axes(axes) -> None:
    """The style of every picture in a figure: labels, but no ticks and no frame."""
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def log_ticks(axis) -> None:
    """Labels of a logarithmic axis at 1, 2, 5, 10, … and between them, if it is short. Call this when its limits are
    final."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 5 * low else (1, 1.2, 1.5, 2, 3, 4, 5, 7)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def draw_metrics(rows: list[dict], x: str, panels: dict[str, dict[str, str]]):
    """A figure with a panel for each y label: {y label: {name of a line: its column in `rows`}}, over the column x."""
    figure = new_figure(9, 3.3)
    for axes, (ylabel, columns) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        _draw_columns(axes, rows, x, columns)
        axes.set(xlabel=x, ylabel=ylabel)
        if len(columns) > 1:
            axes.legend()
    return figure


def draw_beside(cases: dict[str, list[dict]], x: str, panels: dict[str, dict[str, str]], sheets: Sequence = ()):
    """A figure with a column for each case, {title: rows}: the panels of `draw_metrics`, one below the other, with one
    y axis for each row of them; at the foot its grey picture, if there are `sheets`. Returns figure and axes."""
    n, heights = len(panels), [1] * len(panels) + [0.65] * bool(sheets)
    figure = new_figure(9, 0.8 + 1.8 * sum(heights))
    grid = figure.subplots(len(heights), len(cases), sharey="row", squeeze=False, height_ratios=heights)
    for k, (title, rows) in enumerate(cases.items()):
        for axes, (ylabel, columns) in zip(grid[:n, k], panels.items(), strict=True):
            _draw_columns(axes, rows, x, columns)
            axes.set_ylabel("" if k else ylabel)
        grid[0, k].set_title(title)
        grid[n - 1, k].set_xlabel(x)
    for axes, sheet in zip(grid[-1], sheets, strict=False):
        axes.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_axis_off()
    return figure, grid


def _draw_columns(axes, rows: list[dict], x: str, columns: dict[str, str]) -> None:
    """A line for each of the columns that rows have: {name of a line: column}."""
    from matplotlib.ticker import MaxNLocator

    for (name, column), style in zip(columns.items(), cycle(STYLES), strict=False):
        points = np.array([(row[x], row[column]) for row in rows if column in row]).reshape(-1, 2)
        axes.plot(*points.T, label=name, linewidth=1.4, marker="o" * (len(points) == 1), **style)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    plain_axes(axes)


def tile(images: torch.Tensor, columns: int, gap: int = 2) -> np.ndarray:
    """Images (n, 1, height, width) in [−1, 1] as one grey picture: `columns` in a row, `gap` light pixels between."""
    grey = images.detach().cpu().float().add(1).mul(127.5).round().clamp(0, 255).byte().squeeze(1).numpy()
    columns = min(columns, len(grey))
    tiles = np.pad(grey, ((0, -len(grey) % columns), (0, gap), (0, gap)), constant_values=160)
    rows = tiles.reshape(-1, columns, *tiles.shape[1:]).swapaxes(1, 2)  # (rows, height, columns, width)
    sheet = rows.reshape(-1, columns * tiles.shape[2])
    return sheet[: len(sheet) - gap, : sheet.shape[1] - gap]


def _enlarge(sheet: np.ndarray, scale: int) -> Image.Image:
    return Image.fromarray(sheet).resize((sheet.shape[1] * scale, sheet.shape[0] * scale), Image.Resampling.NEAREST)


def save_picture(sheet: np.ndarray, path: Path, scale: int = 2) -> None:
    """Write a grey picture (height, width) as PNG, every pixel `scale` × `scale`."""
    buffer = io.BytesIO()
    _enlarge(sheet, scale).save(buffer, format="PNG", optimize=True)
    write_atomic(path, buffer.getvalue())


def save_animation(sheets: Sequence[np.ndarray], path: Path, milliseconds: int = 120, scale: int = 2) -> None:
    """Write grey pictures of one size as an endless GIF with 16 grey values; the last one stays for 1.5 seconds."""
    frames = [_enlarge((sheet / 17).round().astype(np.uint8) * 17, scale) for sheet in sheets]
    buffer = io.BytesIO()
    durations = [milliseconds] * (len(frames) - 1) + [1500]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    write_atomic(path, buffer.getvalue())
