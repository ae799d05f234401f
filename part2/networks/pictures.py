"""The pictures of a GAN's training: grids of digits, curves, a film; and its epochs in numbers."""

from itertools import groupby
from pathlib import Path

from common.figures import draw_beside, draw_metrics, new_figure, save_animation, save_figure, tile
from common.files import read_metrics
from common.runs import Run
from part2.gan import Game

import numpy as np
import torch
from PIL import Image

GRID = 5  # digits along each side of a grid
# Means over the batches of a row, and how a table shows them.
MEANS = {"generator_loss": ".3f G_loss", "discriminator_loss": ".3f D_loss"}
MEANS |= {"accuracy_real": ".3f D_real", "accuracy_fake": ".3f D_fake"}
ACCURACY = "discriminator's accuracy (%)"
PANELS = {  # of the curves: y label → {name of a line: column}
    "loss (nats)": {"generator": "generator_loss", "discriminator": "discriminator_loss"},
    ACCURACY: {"on real images": "accuracy_real", "on generated images": "accuracy_fake"},
}


@torch.no_grad()
def draw_grid(run: Run, game: Game, z: torch.Tensor, batch: int) -> None:
    """The digits that the generator makes of the fixed noise z, into the run's folder."""
    run.log_picture("grid", tile(game.sampler()(z), GRID), batch)


def by_epoch(folder: Path) -> list[dict]:
    """A row for each epoch of the run's metrics: its last one, but MEANS are over all of the epoch's batches."""
    epochs, start = [], 0
    for _, group in groupby(read_metrics(folder), key=lambda row: row["epoch"]):
        *_, last = rows = list(group)
        weights = np.diff([start, *(row["batch"] for row in rows)])  # a row is the mean over these batches
        means = {name: np.average([row[name] for row in rows], weights=weights).item() for name in MEANS}
        epochs.append(last | means)
        start = last["batch"]
    return epochs


def at_the_end(folder: Path) -> dict:
    """What a result says of a run's last epoch: its measures, and how often the discriminator was right."""
    last = by_epoch(folder)[-1]
    right = {"discriminator_accuracy": (last.pop("accuracy_real") + last.pop("accuracy_fake")) / 2}
    return right | {name: value for name, value in last.items() if name not in ("epoch", "batch", "seconds")}


def grids_of(folder: Path) -> list[Path]:
    """The grids that a run has drawn, in their order; other files that lie there do not count."""
    return sorted(path for path in (folder / "grids").glob("*.png") if path.stem.isdecimal())


def draw_summary(folder: Path, batches_per_epoch: int) -> None:
    """progress.png, curves.png and training.gif, from what the run has left in its folder."""
    grids = grids_of(folder)
    shown = {"start": grids[0], "middle": grids[len(grids) // 2], "end": grids[-1]}
    if len(grids) == 2:
        del shown["middle"]
    figure = new_figure(9, 9 / len(shown) + 0.3)
    for axes, (name, path) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
        axes.imshow(Image.open(path), cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{name}: epoch {int(path.stem) / batches_per_epoch:.3g}")
        axes.set_axis_off()
    save_figure(figure, folder / "progress.png")
    rows = by_epoch(folder)
    if len(rows) < 10:  # too few points for a curve
        rows = [row | {"epoch": row["batch"] / batches_per_epoch} for row in read_metrics(folder)]
    draw_curves(rows, folder / "curves.png")
    shown = np.unique(np.geomspace(1, len(grids), 48).round().astype(int)) - 1  # early digits change faster
    save_animation([np.asarray(Image.open(grids[k])) for k in shown], folder / "training.gif", scale=1)


def in_percent(rows: list[dict]) -> list[dict]:
    """The rows of metrics with the discriminator's accuracy in per cent."""
    return [row | {name: 100 * row[name] for name in PANELS[ACCURACY].values()} for row in rows]


def draw_curves(rows: list[dict], path: Path) -> None:
    """The losses and the discriminator's accuracy over epochs: of a run's metrics, or its rows of a curves.csv."""
    figure = draw_metrics(in_percent(rows), "epoch", PANELS)
    right = figure.axes[1]
    right.axhline(50, color="0.5", linewidth=0.8, label="cannot tell")
    right.set_ylim(0, 102)
    right.legend()
    save_figure(figure, path)


def draw_cases(cases: dict[str, tuple[list[dict], np.ndarray]], path: Path) -> None:
    """The curves of several runs side by side, and digits that each draws: {title: (rows, picture)}."""
    rows, sheets = {title: in_percent(of) for title, (of, _) in cases.items()}, [sheet for _, sheet in cases.values()]
    figure, (losses, accuracies, _) = draw_beside(rows, "epoch", PANELS, sheets)
    for axes in accuracies:
        axes.axhline(50, color="0.5", linewidth=0.8, label="cannot tell")
    losses[0].set_ylim(-0.3, 16)
    accuracies[0].set_ylim(0, 103)
    losses[0].legend()
    accuracies[-1].legend(loc="lower right", handlelength=1.3)
    save_figure(figure, path)


def draw_ranges(images: torch.Tensor, path: Path) -> None:
    """Images (n, 1, 28, 28) in [−1, 1], right and as they look if their pixels are scaled wrongly."""
    pixels = (images + 1) / 2  # in [0, 1]
    shown = {"right: [−1, 1]": images, "[0, 1] instead": pixels, "[0, 255] instead": 255 * pixels}
    shown |= {"divided by 255 twice": 2 * pixels / 255 - 1, "dark on light": -images}
    figure = new_figure(9, 1.3)
    for axes, (title, wrong) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
        axes.imshow(tile(wrong, 4), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(title)
        axes.set_axis_off()
    save_figure(figure, path)
