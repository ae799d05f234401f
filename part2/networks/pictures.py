"""The pictures of a GAN's training: grids of digits, curves, a film; and its epochs in numbers."""

from itertools import groupby
from pathlib import Path

from common.figures import draw_metrics, new_figure, save_animation, save_figure, tile
from common.files import read_metrics
from common.runs import Run
from part2.gan import Game

import numpy as np
import torch
from PIL import Image

GRID = 5  # digits along each side of a grid
MEANS = ("generator_loss", "discriminator_loss", "accuracy_real", "accuracy_fake")  # over the batches of a row


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


def grids_of(folder: Path) -> list[Path]:
    """The grids that a run has drawn, in their order; other files that lie there do not count."""
    return sorted(path for path in (folder / "grids").glob("*.png") if path.stem.isdecimal())


def draw_summary(folder: Path, batches_per_epoch: int) -> None:
    """progress.png, curves.png and training.gif, from what the run has left in its folder."""
    grids = grids_of(folder)
    figure = new_figure(9, 3.3)
    panels = zip(figure.subplots(1, 3), ("start", "middle", "end"), (0, len(grids) // 2, -1), strict=True)
    for axes, name, k in panels:
        axes.imshow(Image.open(grids[k]), cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{name}: batch {int(grids[k].stem):,}", fontsize=10)
        axes.set_axis_off()
    save_figure(figure, folder / "progress.png")

    rows = [{**row, "epoch": row["batch"] / batches_per_epoch} for row in read_metrics(folder)]
    for row in rows:
        row |= {name: 100 * row[name] for name in ("accuracy_real", "accuracy_fake")}
    accuracies = {"on real images": "accuracy_real", "on generated images": "accuracy_fake"}
    panels = {"loss (nats)": {"generator": "generator_loss", "discriminator": "discriminator_loss"}}
    figure = draw_metrics(rows, "epoch", panels | {"discriminator's accuracy (%)": accuracies})
    right = figure.axes[1]
    right.axhline(50, color="black", linewidth=0.8, linestyle=":")
    right.annotate("50 %: cannot tell", (rows[-1]["epoch"], 45), ha="right", fontsize=8)
    right.set_ylim(0, 102)
    save_figure(figure, folder / "curves.png")

    shown = np.unique(np.geomspace(1, len(grids), 48).round().astype(int)) - 1  # early digits change faster
    save_animation([np.asarray(Image.open(grids[k])) for k in shown], folder / "training.gif", scale=1)
