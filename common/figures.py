"""Pictures: curves over time, grids of images, animations. Needs no display."""

import io
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from common.files import write_whole

# Told apart in colour (Okabe & Ito 2008), in grey and by line style.
STYLES = [
    {"color": "#0072B2", "linestyle": "-"},
    {"color": "#D55E00", "linestyle": "--"},
    {"color": "#009E73", "linestyle": "-."},
    {"color": "#000000", "linestyle": ":"},
    {"color": "#CC79A7", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
]


def new_figure(width: float, height: float) -> Figure:
    """A figure of `width` × `height` inches, drawn off screen."""
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure to `path` as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_whole(path, buffer.getvalue())


def draw_curves(axes, x: Sequence[float], curves: dict[str, Sequence[float]], xlabel: str, ylabel: str) -> None:
    """One line in `axes` for each named curve over `x`."""
    for (name, y), style in zip(curves.items(), cycle(STYLES), strict=False):
        axes.plot(x, y, label=name, linewidth=1.4, **style)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def tile(images: torch.Tensor, columns: int, gap: int = 2) -> np.ndarray:
    """Images (n, 1, height, width) in [−1, 1] as one grey picture: `columns` a row, `gap` light pixels between."""
    n, _, height, width = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), 160, dtype=np.uint8)
    grey = images.detach().cpu().float().add(1).mul(127.5).round().clamp(0, 255).byte().numpy()[:, 0]
    for k, image in enumerate(grey):
        top, left = k // columns * (height + gap), k % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def _enlarge(sheet: np.ndarray, scale: int) -> Image.Image:
    return Image.fromarray(sheet).resize((sheet.shape[1] * scale, sheet.shape[0] * scale), Image.Resampling.NEAREST)


def save_picture(sheet: np.ndarray, path: Path, scale: int = 2) -> None:
    """Write a grey picture (height, width) as PNG, every pixel `scale` × `scale`."""
    buffer = io.BytesIO()
    _enlarge(sheet, scale).save(buffer, format="PNG", optimize=True)
    write_whole(path, buffer.getvalue())


def save_animation(sheets: Sequence[np.ndarray], path: Path, milliseconds: int = 120, scale: int = 2) -> None:
    """Write grey pictures of one size as an endless GIF in 16 greys; the last one stays for a second and a half."""
    frames = [_enlarge((sheet / 17).round().astype(np.uint8) * 17, scale) for sheet in sheets]
    buffer = io.BytesIO()
    durations = [milliseconds] * (len(frames) - 1) + [1500]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    write_whole(path, buffer.getvalue())
