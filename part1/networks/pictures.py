"""The picture of a training run: curves.png, from its metrics."""

from pathlib import Path

from common.figures import draw_metrics, save_figure
from common.files import read_metrics

BY_EPOCHS = {
    "loss (nats)": {"training": "loss", "validation": "validation_loss"},
    "accuracy": {"training": "accuracy", "validation": "validation_accuracy"},
}
BY_BATCHES = {"accuracy": {"training": "accuracy"}, "least slack of the sets": {"slack": "slack"}}
BY_CURRICULUM = {
    "accuracy": {"training": "accuracy"},
    "input length (digits)": {"longest length": "length"},
}


def draw_summary(folder: Path) -> None:
    """Loss and accuracy over epochs; of a run with a proof, accuracy and slack over batches; of a curriculum, accuracy
    and the length trained on over sequences."""
    rows = read_metrics(folder)
    by_curriculum, by_batches = "sequences" in rows[0], "slack" in rows[0]
    panels, x = (BY_BATCHES, "batch") if by_batches else (BY_EPOCHS, "epoch")
    if by_curriculum:
        panels, x = BY_CURRICULUM, "sequences"
    figure = draw_metrics(rows, x, panels)
    figure.axes[0 if by_curriculum or by_batches else 1].set_ylim(0, 1.02)
    if by_curriculum:
        figure.axes[1].set_yscale("log")
    save_figure(figure, folder / "curves.png")
