"""The picture of a training run: curves.png, from its metrics."""

from pathlib import Path

from common.figures import draw_beside, draw_metrics, save_figure
from common.files import read_metrics
from common.runs import read_config
from part1.tasks.tasks import PALINDROME, TASKS

BY_EPOCHS = {
    "loss (nats)": {"training": "loss", "validation": "validation_loss"},
    "accuracy": {"training": "accuracy", "validation": "validation_accuracy"},
}
BY_BATCHES = {"training accuracy": {"training": "accuracy"}, "least slack of the sets": {"slack": "slack"}}


def draw_summary(folder: Path) -> None:
    """Loss and accuracy over epochs; of a run with a proof, accuracy and slack over batches."""
    rows = read_metrics(folder)
    by_batches, task = "slack" in rows[0], read_config(folder)["arguments"].get("task", PALINDROME.name)
    figure = draw_metrics(rows, *(("batch", BY_BATCHES) if by_batches else ("epoch", BY_EPOCHS)))
    accuracy, chance = figure.axes[0 if by_batches else 1], 1 / TASKS[task].classes
    accuracy.set_ylim(0, 1.02)
    accuracy.axhline(chance, color="0.5", linewidth=0.8, label="chance")
    accuracy.legend()
    save_figure(figure, folder / "curves.png")


def draw_cases(cases: dict[str, list[dict]], path: Path) -> None:
    """The accuracy of several runs on palindromes, side by side: {title: rows of metrics}."""
    figure, [panels] = draw_beside(cases, "epoch", {"accuracy": BY_EPOCHS["accuracy"]})
    for axes in panels:
        axes.axhline(1 / TASKS[PALINDROME.name].classes, color="0.5", linewidth=0.8, label="chance")
    panels[0].set_ylim(0, 1.03)
    panels[1].legend(loc="upper center")
    save_figure(figure, path)
