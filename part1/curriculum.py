"""Training for long memory, `part1/train.py --curriculum`: short palindromes, longer ones when the network is sure."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from common import cli, distributed, seeds
from common.figures import draw_curves, new_figure, save_figure
from common.runs import Run, read_metrics
from common.saving import Saver, check_finite
from part1.evaluate import report
from part1.networks import build
from part1.palindromes import draw, encode

START = 10  # digits
SURE = 0.99  # moving average of the batches' accuracy above which the length is doubled
LOST = 0.5  # … and below which it is halved again
LENGTHEN = 0.57  # share of the sequences, at most, with which it lengthens; the others settle
MONOTONOUS = 0.75  # share of a batch, when it settles
WEIGHT_DECAY = 2e-4
LOG_INTERVAL = 10  # batches


@dataclass
class Progress:
    """How far training has come: with the network and the optimiser, all that a checkpoint must hold."""

    sums: torch.Tensor  # over the batches since the last row of metrics: loss, accuracy, gradient norm
    length: int
    batch: int = 0
    sure: float = 0.1  # moving average of the batches' accuracy
    settle_from: int = 0  # the batch at which settling begins; 0: it lengthens still
    best: dict | None = None  # the network's weights, once trained


def train(args: argparse.Namespace, script: str, kind: str, say) -> Path:
    """One training run by curriculum; returns its folder.

    Every palindrome is drawn fresh, `data_size` in all. Two phases:

    lengthen   batches of one length, 10 at first; it doubles whenever a moving average of the batches' accuracy passes
               0.99, until the next doubling but one would pass `input_length`, or 57 % of the sequences are used;
               it is halved when the average falls below 0.5
    settle     batches of five lengths in turn, from 10 to `input_length` by equal factors (to four times the length
               reached, where that is less), three quarters of each monotonous (`palindromes.draw`), while the
               learning rate falls to zero

    In the first the network learns to remember, in the second never to forget, not for a rare sequence either. Weight
    decay (RMSprop with the gradient of 10⁻⁴ ‖weights‖² added) keeps memories from drifting: without it some last
    for thousands of steps only because f is 1 to the last bit, and fade when that is not enough.
    """
    if args.deterministic:
        cli.use_deterministic_algorithms()
    device, processes = distributed.join(args.device), distributed.PROCESSES
    network, about = build(args)
    network.to(device)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=args.learning_rate, alpha=0.99, weight_decay=WEIGHT_DECAY)
    whole_batch = args.batch_size * processes
    batches = max(1, args.data_size // whole_batch)  # one, where torchrun's processes make it larger than the data
    shortest = min(START, args.input_length)
    at = Progress(sums=torch.zeros(3, device=device), length=shortest)

    name = f"part1/{args.model}-curriculum-T{args.input_length}-seed{args.seed}"
    run = Run.open(args, script, name, kind)
    saver = Saver(run, kind, args.checkpoint_interval, about, {"network": network, "optimizer": optimizer}, at)
    say(f"{run.folder}")
    say(f"{'sequences':>9} {'length':>6} {'loss':>8} {'accuracy':>8} {'gradient':>8} {'rate':>8} {'s':>6}")
    with saver:
        while at.batch < batches:
            rng = np.random.default_rng(seeds.stream_seed(args.seed, "curriculum", at.batch))
            settling = at.settle_from > 0
            length, monotonous, longest = at.length, 0, at.length
            if settling:
                longest = min(4 * at.length, args.input_length)
                length = round(shortest * (longest / shortest) ** ((at.batch - at.settle_from) % 5 / 4))
                monotonous = round(MONOTONOUS * whole_batch)
            digits = draw(whole_batch, length, rng, held_out=False, monotonous=monotonous)
            # The monotonous ones stand first; of several processes each gets its part of them.
            digits = digits[distributed.share(torch.randperm(whole_batch, generator=torch.Generator().manual_seed(0)))]
            digits = digits.to(device)
            inputs, targets = digits[:, :-1], digits[:, -1].long()
            with torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16"):
                logits = network(encode(inputs, about["encoding"])).float()
            loss = F.cross_entropy(logits, targets)
            accuracy = (logits.argmax(1) == targets).float().mean()
            optimizer.zero_grad()
            loss.backward()
            norm = distributed.mean_gradients(network)
            summary = distributed.mean(torch.stack([loss.detach(), accuracy, norm]))
            check_finite(summary, f"batch {at.batch + 1}")
            nn.utils.clip_grads_with_norm_(network.parameters(), args.max_norm, norm)
            left = (batches - at.batch) / (batches - at.settle_from) if settling else 1.0
            optimizer.param_groups[0]["lr"] = args.learning_rate * left
            optimizer.step()
            at.sums += summary
            at.batch += 1
            at.sure = 0.9 * at.sure + 0.1 * summary[1].item()

            if at.batch % LOG_INTERVAL == 0 or at.batch == batches:
                mean_loss, mean_accuracy, mean_norm = (at.sums / ((at.batch - 1) % LOG_INTERVAL + 1)).tolist()
                row = {
                    "batch": at.batch,
                    "sequences": at.batch * whole_batch,
                    "length": longest,
                    "loss": mean_loss,
                    "accuracy": mean_accuracy,
                    "gradient_norm": mean_norm,
                    "learning_rate": args.learning_rate * left,
                    "seconds": saver.seconds(),
                }
                run.log(row, at.batch)
                say(
                    f"{row['sequences']:9,} {longest:6,} {mean_loss:8.4f} {mean_accuracy:8.4f} {mean_norm:8.3f} "
                    f"{row['learning_rate']:8.0e} {row['seconds']:6.1f}"
                )
                at.sums.zero_()
            if not settling:
                if at.batch >= LENGTHEN * batches or (at.sure > SURE and 4 * at.length > args.input_length):
                    at.settle_from = at.batch
                elif at.sure > SURE:
                    at.length, at.sure = 2 * at.length, 0.9
                elif at.sure < LOST and at.length > shortest:
                    at.length, at.sure = at.length // 2, 0.9
            saver.after_step()
        at.best = network.state_dict()
        saver.at_end()
    seconds = saver.seconds()
    accuracies = {}
    if distributed.FIRST:
        draw_summary(run.folder)
        accuracies = report(network, about["encoding"], args.lengths, args.seed, None, say)
    run.finish(
        {
            "accuracy_at": accuracies,
            "length": at.length,
            "batches": batches,
            "seconds": seconds,
            "sequences_seen": batches * whole_batch,
            "sequences_until_settling": at.settle_from * whole_batch,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
        }
    )
    distributed.leave()
    say(f"picture: {run.folder / 'curves.png'}")
    return run.folder


def draw_summary(folder: Path) -> None:
    """curves.png, from the run's metrics: accuracy and the length trained on, over sequences."""
    rows = read_metrics(folder)
    figure = new_figure(9, 3.3)
    left, right = figure.subplots(1, 2)
    sequences = [row["sequences"] for row in rows]
    draw_curves(left, sequences, {"accuracy": [row["accuracy"] for row in rows]}, "training sequences", "accuracy")
    draw_curves(
        right, sequences, {"the longest": [row["length"] for row in rows]}, "training sequences", "input length"
    )
    left.set_ylim(0, 1.02)
    right.set_yscale("log")
    save_figure(figure, folder / "curves.png")
