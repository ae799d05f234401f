"""Train a network to remember: it reads a palindrome but for the last digit, and names that digit.

    python part1/train.py --input_length 10
    python part1/train.py --input_length 30 --model rnn
    python part1/train.py --input_length 10 --init normal --raw_digits     the reference's start

Writes a folder outputs/part1/MODEL-TN-seedN-TIME with curves.png (loss and accuracy over epochs), metrics.jsonl,
checkpoint.pt (the best epoch by validation) and result.json (test accuracy, read once at the end).
"""

import argparse
import copy
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from common import checkpoint, cli, seeds
from common.figures import draw_curves, new_figure, save_figure
from common.runs import Run, read_metrics
from part1.networks import INITS, NETWORKS, initialise
from part1.palindromes import ENCODINGS, MAX_INPUT_LENGTH, NUM_CLASSES, PalindromeDataset, encode


def split(n: int, portion_train: float) -> tuple[slice, slice, slice]:
    """Training, validation and test part of n sequences: `portion_train` of them, and the rest in halves."""
    n_train = int(n * portion_train)
    n_validation = (n - n_train) // 2
    if n_train < 1 or n_validation < 1:
        raise cli.UserError(
            f"--portion_train {portion_train}: of {n} palindromes {n_train} would train and {n_validation} validate; "
            "each needs at least one"
        )
    return slice(n_train), slice(n_train, n_train + n_validation), slice(n_train + n_validation, n)


@torch.no_grad()
def evaluate(network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, encoding: str) -> tuple[float, float]:
    """Mean cross entropy (nats) and accuracy of the network on the sequences."""
    loss = correct = 0.0
    for digits, target in zip(inputs.split(500), targets.split(500), strict=True):
        logits = network(encode(digits, encoding))
        loss += F.cross_entropy(logits, target, reduction="sum").item()
        correct += (logits.argmax(1) == target).sum().item()
    return loss / len(targets), correct / len(targets)


def train(args: argparse.Namespace) -> Path:
    """One training run; returns its folder."""
    rng = np.random.default_rng(seeds.stream_seed(args.seed, "palindromes"))
    dataset = PalindromeDataset(args.input_length, args.data_size, rng)
    parts = split(len(dataset), args.portion_train)
    (inputs, targets), validation, test = ([t.to(args.device) for t in dataset[part]] for part in parts)
    encoding = "one_hot" if args.one_hot else "raw" if args.raw_digits else "scaled"
    sizes = {"input_dim": ENCODINGS[encoding], "hidden_dim": args.num_hidden, "output_dim": NUM_CLASSES}

    torch.manual_seed(args.seed)  # the initial weights; nothing else draws from the global generator
    network = NETWORKS[args.model](**sizes)
    initialise(network, args.init, args.input_length)
    network.to(args.device)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=args.learning_rate, alpha=0.99)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=100, gamma=0.1)

    run = Run.create(args, "part1/train.py", f"part1/{args.model}-T{args.input_length}-seed{args.seed}")
    tqdm.write(f"{run.folder}")
    if len(dataset) < args.data_size:
        tqdm.write(f"only {len(dataset):,} palindromes of {args.input_length + 1} digits exist: all of them are used")
    tqdm.write(
        f"{'epoch':>5} {'loss':>8} {'accuracy':>8} {'val loss':>8} {'val acc':>8} {'gradient':>8} {'rate':>8} {'s':>6}"
    )

    started = time.monotonic()
    best, best_score, perfect_epochs = None, (-1.0, 0.0), 0
    for epoch in tqdm(range(1, args.max_epoch + 1), unit="epoch", disable=not sys.stderr.isatty(), leave=False):
        sums = torch.zeros(3, device=args.device)  # loss, correct answers, gradient norm, each times the batch's size
        order = torch.randperm(len(inputs), generator=seeds.generator(args.seed, "order", epoch))
        for index in order.to(args.device).split(args.batch_size):
            logits = network(encode(inputs[index], encoding))
            loss = F.cross_entropy(logits, targets[index])
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(network.parameters(), args.max_norm)
            optimizer.step()
            correct = (logits.argmax(1) == targets[index]).float().mean()
            sums += torch.stack([loss.detach(), correct, norm]) * len(index)

        train_loss, train_accuracy, gradient_norm = (sums / len(inputs)).tolist()
        validation_loss, validation_accuracy = evaluate(network, *validation, encoding)
        row = {
            "epoch": epoch,
            "loss": train_loss,
            "accuracy": train_accuracy,
            "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy,
            "gradient_norm": gradient_norm,
            "learning_rate": scheduler.get_last_lr()[0],
            "seconds": time.monotonic() - started,
        }
        run.log(row)
        tqdm.write(
            f"{epoch:5d} {train_loss:8.4f} {train_accuracy:8.4f} {validation_loss:8.4f} {validation_accuracy:8.4f} "
            f"{gradient_norm:8.3f} {row['learning_rate']:8.0e} {row['seconds']:6.1f}"
        )
        scheduler.step()

        score = (validation_accuracy, -validation_loss)  # of two equally accurate epochs the surer one
        if score > best_score:
            best, best_score, best_epoch = copy.deepcopy(network.state_dict()), score, epoch
        perfect_epochs = perfect_epochs + 1 if validation_accuracy == 1 else 0
        if perfect_epochs == args.patience:
            break

    network.load_state_dict(best)
    _, test_accuracy = evaluate(network, *test, encoding)
    checkpoint.save(
        run.checkpoint,
        "palindrome network",
        {"model": args.model, "sizes": sizes, "encoding": encoding, "best": best, "best_epoch": best_epoch},
    )
    draw_summary(run.folder)
    run.finish(
        {
            "test_accuracy": test_accuracy,
            "validation_accuracy": best_score[0],
            "best_epoch": best_epoch,
            "epochs": epoch,
            "seconds": time.monotonic() - started,
            "sequences_seen": epoch * len(inputs),
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
        }
    )
    print(f"test accuracy {test_accuracy:.4f} on {len(test[1]):,} palindromes never seen, at epoch {best_epoch}")
    print(f"picture: {run.folder / 'curves.png'}")
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
    add("--input_length", type=cli.whole(1, MAX_INPUT_LENGTH), default=5, help="digits the network reads")
    add("--input_dim", type=int, choices=(1, 10), default=1, help="numbers a digit becomes; 10 is --one_hot")
    add("--one_hot", action="store_true", help="feed digits as ten numbers instead of one")
    add("--raw_digits", action="store_true", help="feed 0 … 9 as they are instead of scaled to [−1, 1]")
    add("--model", choices=NETWORKS, default="lstm", help="the network; torch_lstm is nn.LSTM, for comparison")
    add("--num_hidden", type=cli.whole(1, 100_000), default=128, help="units in h (and c)")
    add("--init", choices=INITS, default="memory", help="initial weights; uniform: PyTorch's, normal: the reference's")
    add("--max_epoch", type=cli.whole(1), default=100, help="passes over the training data, at most")
    add("--patience", type=cli.whole(1), default=5, help="stop after so many epochs in a row with validation at 1.0")
    add("--batch_size", type=cli.whole(1), default=128, help="sequences in a batch")
    add("--learning_rate", type=cli.real(0), default=1e-3, help="of RMSprop; a tenth of it from epoch 101 on")
    add("--max_norm", type=cli.real(0), default=10.0, help="gradients longer than this are cut to it")
    add("--data_size", type=cli.whole(1, 10_000_000), default=10_000, help="palindromes to draw")
    add("--portion_train", type=cli.real(0, 1), default=0.8, help="share to train on; the rest: validation, test")
    cli.add_shared_flags(parser)
    args = parser.parse_args(argv)
    args.one_hot = args.one_hot or args.input_dim == 10
    args.input_dim = 10 if args.one_hot else 1
    if args.one_hot and args.raw_digits:
        parser.error("--raw_digits goes with one scalar a digit, not with --one_hot or --input_dim 10")
    return args


def main() -> None:
    train(parse_args())


if __name__ == "__main__":
    cli.call(main)
