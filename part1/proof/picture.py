"""The picture of a proof: the sets of states, one for each answer, and trajectories that go into them."""

from pathlib import Path

from common.figures import STYLES, new_figure, plain_axes, save_figure
from part1.networks.traces import trace
from part1.networks.trained import Trained
from part1.proof.boxes import Box, hull, is_met

import numpy as np
import torch
from torch import Tensor

LENGTH = 30  # digits of a trajectory
EACH = 4  # trajectories for each answer
TRIALS = 3_000  # random planes, of which the one is shown that tells the sets apart best


def answer_boxes(trained: Trained, boxes: Box) -> tuple[Tensor, Tensor]:
    """The answers, (k,), and the box of h of each, over all states with this answer and all last symbols."""
    automaton = trained.task.automaton
    answers = automaton.answers.repeat_interleave(automaton.next.shape[1])
    rows = (is_met(boxes) & (answers >= 0)).nonzero()[:, 0]
    found, key = answers[rows].unique(return_inverse=True)
    return found, hull(boxes.rows(rows), key, len(found)).h


def plane(middle: Tensor, rng: np.random.Generator) -> Tensor:
    """Two directions (2, hidden) in which the nearest two of the middles (k, hidden) of the sets are furthest apart, of
    TRIALS drawn in the space that the middles span."""
    centred = middle - middle.mean(0)
    _, sizes, axes = torch.linalg.svd(centred, full_matrices=False)
    axes = axes[sizes > 1e-6 * sizes[0]]
    best, widest = axes[:2], -1.0
    for _ in range(TRIALS):
        turned, _ = torch.linalg.qr(torch.from_numpy(rng.standard_normal((len(axes), min(2, len(axes))))))
        trial = turned.T @ axes
        at = centred @ trial.T
        nearest = torch.pdist(at).min().item() / at.std().item()
        if nearest > widest:
            best, widest = trial, nearest
    return best


def outline(h: tuple[Tensor, Tensor], directions: Tensor) -> np.ndarray:
    """The polygon (corners, 2) onto which the plane's directions (2, hidden) project a box of h: exactly."""
    middle, radius = (h[0] + h[1]) / 2, (h[1] - h[0]) / 2
    angles = torch.atan2(directions[1], directions[0]).sort().values  # each unit is an edge, and its opposite
    turns = torch.cat([angles, angles + torch.pi]).sort().values + torch.pi / 2 + 1e-9
    normals = torch.stack([turns.cos(), turns.sin()], dim=1)
    corners = (middle + torch.sign(normals @ directions) * radius) @ directions.T
    from_middle = corners - middle @ directions.T
    return corners[torch.atan2(from_middle[:, 1], from_middle[:, 0]).argsort()].numpy()


def draw_sets(trained: Trained, boxes: Box, rng: np.random.Generator, path: Path) -> None:
    """Draw the projected sets and h(t) of random sequences; t counts from the start, h(0) = 0."""
    answers, h = answer_boxes(trained, boxes)
    directions = plane((h[0] + h[1]) / 2, rng)
    inputs = trained.task.draw(EACH * 40, LENGTH, rng)
    figure = new_figure(6.5, 5.5)
    axes = figure.subplots()
    states = trace(trained.network, trained.encode(inputs[:, :-1]))["h"].double() @ directions.T  # (steps, n, 2)
    start = torch.zeros(1, 2, dtype=torch.double)
    for k, answer in enumerate(answers.tolist()):
        color, style = f"C{k % 10}", STYLES[k % len(STYLES)]["linestyle"]
        for row in (inputs[:, -1] == answer).nonzero()[:EACH, 0]:
            axes.plot(*torch.cat([start, states[:, row]]).T.numpy(), linewidth=0.6, color=color, linestyle=style)
        corners = outline((h[0][k], h[1][k]), directions)
        axes.fill(*corners.T, facecolor="none", edgecolor="0.1", linewidth=1.5, zorder=3)
        axes.text(*corners.max(0), f" {answer}", fontsize=12, weight="bold", color=color, zorder=4)
    axes.plot(0, 0, "k+", markersize=10)
    axes.annotate("start", (0, 0), textcoords="offset points", xytext=(6, 6))
    axes.set(xlabel="h, first direction", ylabel="h, second direction")
    plain_axes(axes)
    save_figure(figure, path)
