"""Train a network to remember: it reads a palindrome but for the last digit, and names that digit.

    python part1/train.py --input_length 10
    python part1/train.py --input_length 30 --model rnn
    python part1/train.py --input_length 10 --init normal --raw_digits     the reference's start
    python part1/train.py --curriculum --one_hot                           the longest memory; part1/curriculum.py

Writes a folder outputs/part1/MODEL-TN-seedN-TIME with curves.png (loss and accuracy over epochs), metrics.jsonl,
checkpoint.pt (the best epoch by validation, and all that --resume needs) and result.json (test accuracy, read once, and
the accuracy at other --lengths). A curriculum has neither epochs nor validation: its folder is MODEL-curriculum-TN-…,
its network the last one, its result the accuracy at --lengths.
"""

import argparse
import copy
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from common import cli, distributed, seeds
from common.figures import draw_curves, new_figure, save_figure
from common.runs import Run, parse, read_metrics
from common.saving import Saver, check_finite
from part1 import curriculum
from part1.evaluate import LENGTHS, evaluate, length, report
from part1.networks import INITS, NETWORKS, build
from part1.palindromes import MAX_INPUT_LENGTH, PalindromeDataset, encode, split

SCRIPT = "part1/train.py"
KIND = "palindrome network"


@dataclass
class Progress:
    """How far training has come: with the network, the optimiser and the schedule, all that a checkpoint must hold."""

    sums: torch.Tensor  # over this epoch's batches: loss, correct answers, gradient norm
    epoch: int = 1
    batch: int = 0  # batches of this epoch that are done
    best: dict | None = None  # the network's weights at the best epoch
    best_epoch: int = 0
    best_score: tuple[float, float] = (-1.0, 0.0)  # validation accuracy, −validation loss
    perfect_epochs: int = 0  # epochs in a row with validation accuracy 1.0


def train(args: argparse.Namespace) -> Path:
    """One training run; returns its folder."""
    say = tqdm.write if distributed.FIRST else lambda *_: None
    if args.curriculum:
        return curriculum.train(args, SCRIPT, KIND, say)
    if args.deterministic:
        cli.use_deterministic_algorithms()
    device, processes = distributed.join(args.device), distributed.PROCESSES
    rng = np.random.default_rng(seeds.stream_seed(args.seed, "palindromes"))
    dataset = PalindromeDataset(args.input_length, args.data_size, rng)
    parts = split(len(dataset), args.portion_train)
    (inputs, targets), validation, test = ([t.to(device) for t in dataset[part]] for part in parts)
    network, about = build(args)
    encoding = about["encoding"]
    network.to(device)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=args.learning_rate, alpha=0.99)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=100, gamma=0.1)
    # A run stopped at an epoch's end and resumed has stepped its optimiser, only not in this process.
    warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
    at = Progress(sums=torch.zeros(3, device=device))

    run = Run.open(args, SCRIPT, f"part1/{args.model}-T{args.input_length}-seed{args.seed}", KIND)
    learners = {"network": network, "optimizer": optimizer, "scheduler": scheduler}
    saver = Saver(run, KIND, args.checkpoint_interval, about, learners, at)
    say(f"{run.folder}")
    if len(dataset) < args.data_size:
        say(f"only {len(dataset):,} palindromes of {args.input_length + 1} digits exist: all of them are used")
    say(f"{'epoch':>5} {'loss':>8} {'accuracy':>8} {'val loss':>8} {'val acc':>8} {'gradient':>8} {'rate':>8} {'s':>6}")
    quiet = not (distributed.FIRST and sys.stderr.isatty())
    with saver:
        progress = tqdm(total=args.max_epoch, initial=at.epoch - 1, unit="epoch", disable=quiet, leave=False)
        while at.epoch <= args.max_epoch and at.perfect_epochs < args.patience:
            order = torch.randperm(len(inputs), generator=seeds.generator(args.seed, "order", at.epoch)).to(device)
            batches = order.split(args.batch_size * processes)
            for whole_batch in batches[at.batch :]:
                index = distributed.share(whole_batch)
                with torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16"):
                    logits = network(encode(inputs[index], encoding)).float()
                # The mean over processes of these shares is the mean over the whole batch.
                loss = F.cross_entropy(logits, targets[index], reduction="sum") * processes / len(whole_batch)
                correct = (logits.argmax(1) == targets[index]).sum() * processes / len(whole_batch)
                optimizer.zero_grad()
                loss.backward()
                norm = distributed.mean_gradients(network)
                summary = distributed.mean(torch.stack([loss.detach(), correct, norm]))
                check_finite(summary, f"epoch {at.epoch}, batch {at.batch + 1}")
                nn.utils.clip_grads_with_norm_(network.parameters(), args.max_norm, norm)
                optimizer.step()
                at.sums += summary * len(whole_batch)
                at.batch += 1
                saver.after_step()

            train_loss, train_accuracy, gradient_norm = (at.sums / len(inputs)).tolist()
            validation_loss, validation_accuracy = distributed.from_first(
                evaluate(network, *validation, encoding), device
            )
            row = {
                "epoch": at.epoch,
                "loss": train_loss,
                "accuracy": train_accuracy,
                "validation_loss": validation_loss,
                "validation_accuracy": validation_accuracy,
                "gradient_norm": gradient_norm,
                "learning_rate": scheduler.get_last_lr()[0],
                "seconds": saver.seconds(),
            }
            run.log(row, at.epoch)
            say(
                f"{at.epoch:5d} {train_loss:8.4f} {train_accuracy:8.4f} {validation_loss:8.4f} "
                f"{validation_accuracy:8.4f} {gradient_norm:8.3f} {row['learning_rate']:8.0e} {row['seconds']:6.1f}"
            )
            scheduler.step()

            score = (validation_accuracy, -validation_loss)  # of two equally accurate epochs the surer one
            if score > at.best_score:
                at.best, at.best_score, at.best_epoch = copy.deepcopy(network.state_dict()), score, at.epoch
            at.perfect_epochs = at.perfect_epochs + 1 if validation_accuracy == 1 else 0
            at.epoch, at.batch = at.epoch + 1, 0
            at.sums.zero_()
            progress.update()
        progress.close()
        saver.at_end()

    network.load_state_dict(at.best)
    _, test_accuracy = evaluate(network, *test, encoding)
    accuracies = {}
    if distributed.FIRST:
        draw_summary(run.folder)
        accuracies = report(network, encoding, args.lengths, args.seed, dataset.digits[parts[0]], say)
    run.finish(
        {
            "test_accuracy": test_accuracy,
            "accuracy_at": accuracies,
            "validation_accuracy": at.best_score[0],
            "best_epoch": at.best_epoch,
            "epochs": at.epoch - 1,
            "seconds": saver.seconds(),
            "sequences_seen": (at.epoch - 1) * len(inputs),
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
        }
    )
    distributed.leave()
    say(f"test accuracy {test_accuracy:.4f} on {len(test[1]):,} palindromes never seen, at epoch {at.best_epoch}")
    say(f"picture: {run.folder / 'curves.png'}")
    return run.folder


def draw_summary(folder: Path) -> None:
    """curves.png, from the run's metrics."""
    rows = read_metrics(folder)
    epochs = [row["epoch"] for row in rows]
    figure = new_figure(9, 3.3)
    for axes, key, label in zip(figure.subplots(1, 2), ("loss", "accuracy"), ("loss (nats)", "accuracy"), strict=True):
        curves = {"training": [r[key] for r in rows], "validation": [r[f"validation_{key}"] for r in rows]}
        draw_curves(axes, epochs, curves, "epoch", label)
    axes.set_ylim(0, 1.02)
    save_figure(figure, folder / "curves.png")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add(
        "--input_length",
        type=cli.whole(1, MAX_INPUT_LENGTH),
        default=5,
        help="digits it reads (curriculum: 1,000)",
    )
    add("--input_dim", type=int, choices=(1, 10), default=1, help="numbers a digit becomes; 10 is --one_hot")
    add("--one_hot", action="store_true", help="feed digits as ten numbers instead of one")
    add("--raw_digits", action="store_true", help="feed 0 … 9 as they are instead of scaled to [−1, 1]")
    add("--model", choices=NETWORKS, default="lstm", help="the network; torch_lstm is nn.LSTM, for comparison")
    add("--curriculum", action="store_true", help="short palindromes first, then longer ones, up to --input_length")
    add("--plain", action="store_true", help="the LSTM's plain loop instead of the fast form: same numbers, slower")
    add("--num_hidden", type=cli.whole(1, 4096), default=128, help="units in h (and c)")
    add("--init", choices=INITS, default="memory", help="initial weights; uniform: PyTorch's, normal: the reference's")
    add("--max_epoch", type=cli.whole(1), default=100, help="passes over the training data, at most (curriculum: none)")
    add("--patience", type=cli.whole(1), default=20, help="stop after so many epochs in a row with validation at 1.0")
    add("--batch_size", type=cli.whole(1), default=128, help="sequences in a batch, of each process (curriculum: 64)")
    add("--learning_rate", type=cli.real(0), default=1e-3, help="of RMSprop; a tenth of it from epoch 101 on")
    add("--max_norm", type=cli.real(0), default=10.0, help="gradients longer than this are cut to it (curriculum: 1)")
    add("--data_size", type=cli.whole(1, 10_000_000), default=10_000, help="palindromes to draw (curriculum: 30,000)")
    add("--portion_train", type=cli.real(0, 1), default=0.8, help="share to train on; the rest: validation, test")
    add("--lengths", nargs="+", type=length, default=[10, 30, 100], help="input lengths of the table at the end")
    cli.add_shared_flags(parser)
    cli.add_training_flags(parser)
    if "--curriculum" in (sys.argv[1:] if argv is None else argv):
        parser.set_defaults(input_length=1000, batch_size=64, max_norm=1.0, data_size=30_000, lengths=list(LENGTHS))
    args = parse(parser, argv, SCRIPT, grows="max_epoch", free={"checkpoint_interval", "tensorboard", "lengths"})
    if args.curriculum and args.input_length < 4:
        parser.error(f"--input_length {args.input_length}: a curriculum needs 4 or more, to hold palindromes out")
    if args.curriculum and args.data_size < args.batch_size:
        parser.error(f"--data_size {args.data_size} is less than one batch of {args.batch_size} (--batch_size)")
    if args.curriculum and args.resume and (Path(args.out_dir) / "result.json").exists():
        parser.error(f"--resume {args.out_dir}: this curriculum is finished, and is not prolonged; start another")
    args.one_hot = args.one_hot or args.input_dim == 10
    args.input_dim = 10 if args.one_hot else 1
    if args.plain and args.model != "lstm":
        parser.error(f"--plain is a form of the LSTM; --model {args.model} has one form only")
    if args.one_hot and args.raw_digits:
        parser.error("--raw_digits goes with one scalar a digit, not with --one_hot or --input_dim 10")
    return args


def main() -> None:
    train(parse_args())


if __name__ == "__main__":
    cli.call(main)
