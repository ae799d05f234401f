"""The picture of a training run: curves.png, from its metrics."""

from pathlib import Path

from common.figures import draw_metrics, save_figure
from common.files import read_metrics

BY_EPOCHS = {
    "loss (nats)": {"training": "loss", "validation": "validation_loss"},
    "accuracy": {"training": "accuracy", "validation": "validation_accuracy"},
}
BY_BATCHES = {"accuracy": {"training": "accuracy"}, "least slack of the sets": {"slack": "slack"}}


def draw_summary(folder: Path) -> None:
    """Loss and accuracy over epochs; of a run with a proof, accuracy and slack over batches."""
    rows = read_metrics(folder)
    by_batches = "slack" in rows[0]
    figure = draw_metrics(rows, *(("batch", BY_BATCHES) if by_batches else ("epoch", BY_EPOCHS)))
    figure.axes[0 if by_batches else 1].set_ylim(0, 1.02)
    save_figure(figure, folder / "curves.png")
