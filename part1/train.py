"""Train a network to remember: it reads all digits of a palindrome but the last, and names the last one.

    python part1/train.py --input_length 10
    python part1/train.py --input_length 30 --model rnn
    python part1/train.py --input_length 10 --init normal --encoding raw     the reference's initialisation

Writes a folder outputs/part1/MODEL-TN-seedN-TIME with curves.png (loss and accuracy over epochs), metrics.jsonl,
checkpoint.pt (the best epoch by validation, and all that --resume needs) and result.json (the test accuracy, measured
once, and the accuracy at the --lengths). To train a memory over thousands of digits, use part1/train_curriculum.py.
"""

import argparse
import copy
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from torch import nn

from common import cli, distributed, seeds
from common.console import Table, print_line, progress_bar
from common.figures import draw_curves, new_figure, save_figure
from common.means import RunningMeans
from common.resume import open_run, parse_or_resume
from common.runs import Run, read_metrics
from common.saving import Saver
from part1.memory import accuracy_at_lengths, draw_dataset, evaluate
from part1.networks import INITS, KIND, NETWORKS, build
from part1.palindromes import (
    ENCODINGS,
    MAX_INPUT_LENGTH,
    MAX_TRAINED_LENGTH,
    MIN_HELD_OUT_LENGTH,
    NUM_CLASSES,
    PalindromeDataset,
    encode,
    split,
)

SCRIPT = "part1/train.py"
COLUMNS = {"epoch": "d", "loss": ".4f", "accuracy": ".4f", "validation_loss": ".4f", "validation_accuracy": ".4f"}
COLUMNS |= {"gradient_norm": ".3f", "learning_rate": ".0e", "seconds": ".1f"}


@dataclass
class Progress:
    """How far training has come."""

    epoch: int = 1
    batch: int = 0  # batches of this epoch that are done
    best: dict | None = None  # the network's weights at the best epoch
    best_epoch: int = 0
    best_score: tuple[float, float] = (-1.0, 0.0)  # validation accuracy, −validation loss
    perfect_epochs: int = 0  # epochs in a row with validation accuracy 1.0

    def end_epoch(self, network: nn.Module, loss: float, accuracy: float) -> None:
        """Keep the network if it is the best so far: of higher validation accuracy, or as high and of lower loss."""
        if (accuracy, -loss) > self.best_score:
            self.best_score, self.best_epoch = (accuracy, -loss), self.epoch
            self.best = copy.deepcopy(network.state_dict())
        self.perfect_epochs = self.perfect_epochs + 1 if accuracy == 1 else 0
        self.epoch, self.batch = self.epoch + 1, 0


def train(args: argparse.Namespace) -> Path:
    """One training run; returns its folder."""
    with distributed.joined(args.device, args.threads, args.deterministic) as device:
        return train_on(device, args)


def train_on(device: torch.device, args: argparse.Namespace) -> Path:
    dataset = draw_dataset(args.input_length, args.data_size, args.seed)
    parts = split(len(dataset), args.portion_train)
    (inputs, targets), validation, _ = ([t.to(device) for t in dataset[part]] for part in parts)
    if len(dataset) < args.data_size:
        print_line(f"only {len(dataset):,} palindromes of {args.input_length + 1} digits exist: all of them are used")

    sizes = {"input_dim": args.input_dim, "hidden_dim": args.num_hidden, "output_dim": NUM_CLASSES}
    network = build(args.model, sizes, args.init, args.input_length, args.seed, args.plain).to(device)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=args.learning_rate, alpha=0.99)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=100, gamma=0.1)
    # After a resume at the end of an epoch, this process steps the schedule first, and PyTorch would warn.
    warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")

    progress, means = Progress(), RunningMeans("loss", "accuracy", "gradient_norm", device=device)
    run = open_run(args, SCRIPT, f"part1/{args.model}-T{args.input_length}-seed{args.seed}", KIND)
    description = {"model": args.model, "sizes": sizes, "encoding": args.encoding}
    learners = {"network": network, "optimizer": optimizer, "scheduler": scheduler, "means": means}
    saver = Saver(run, args.checkpoint_interval, description, learners, progress)
    table = Table(**COLUMNS)
    with saver, progress_bar(args.max_epoch, "epoch", done=progress.epoch - 1) as bar:
        while progress.epoch <= args.max_epoch and progress.perfect_epochs < args.patience:
            order = torch.randperm(len(inputs), generator=seeds.generator(args.seed, "order", progress.epoch))
            for batch in order.to(device).split(args.batch_size * args.processes)[progress.batch :]:
                index = distributed.my_part(batch)
                logits = network(encode(inputs[index], args.encoding))
                scale = args.processes / len(batch)  # so that the mean over processes is the mean over the batch
                loss = F.cross_entropy(logits, targets[index], reduction="sum") * scale
                accuracy = (logits.argmax(1) == targets[index]).sum() * scale
                optimizer.zero_grad()
                loss.backward()
                distributed.mean_gradients(network)
                gradient_norm = nn.utils.clip_grad_norm_(network.parameters(), args.max_norm)
                means.add(loss, accuracy, gradient_norm, weight=len(batch))
                optimizer.step()
                progress.batch += 1
                saver.after_step()

            scores = torch.tensor(evaluate(network, *validation, args.encoding), dtype=torch.float64, device=device)
            loss, accuracy = distributed.mean(scores).tolist()  # so that all processes decide in the same way
            row = {"epoch": progress.epoch, **means.take(), "validation_loss": loss, "validation_accuracy": accuracy}
            row |= {"learning_rate": scheduler.get_last_lr()[0], "seconds": saver.seconds()}
            run.log(row, progress.epoch)
            table.print_row(row)
            scheduler.step()
            progress.end_epoch(network, loss, accuracy)
            bar.update()
        saver.at_end()
        network.load_state_dict(progress.best)
        finish(run, args, dataset, network, progress, saver.seconds())
    return run.folder


def finish(run: Run, args, dataset: PalindromeDataset, network: nn.Module, progress: Progress, seconds: float) -> None:
    """Test the best network, once, and write the result and the picture."""
    training, _, test = split(len(dataset), args.portion_train)
    device = next(network.parameters()).device
    _, test_accuracy = evaluate(network, *(part.to(device) for part in dataset[test]), args.encoding)
    result = {
        "test_accuracy": test_accuracy,
        "accuracy_at": {},
        "validation_accuracy": progress.best_score[0],
        "best_epoch": progress.best_epoch,
        "epochs": progress.epoch - 1,
        "seconds": seconds,
        "sequences_seen": (progress.epoch - 1) * training.stop,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }
    if distributed.IS_MAIN:
        draw_summary(run.folder)
        trained_on = dataset.digits[training]
        result["accuracy_at"] = accuracy_at_lengths(network, args.encoding, args.lengths, args.seed, trained_on)
    run.finish(result)
    unseen = f"{test.stop - test.start:,} palindromes never seen"
    print_line(f"test accuracy {test_accuracy:.4f} on {unseen}, at epoch {progress.best_epoch}")
    print_line(f"picture: {run.folder / 'curves.png'}")


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
    add, length = parser.add_argument, cli.int_between(1, MAX_TRAINED_LENGTH)
    tested, tested_at = cli.int_between(MIN_HELD_OUT_LENGTH, MAX_INPUT_LENGTH), [10, 30, 100]
    add("--input_length", type=length, default=5, help="digits that the network reads")
    add("--input_dim", type=int, choices=(1, 10), help="numbers per digit: 1, or 10 for one-hot")
    add("--encoding", choices=ENCODINGS, help="digits scaled to [−1, 1] (the default), raw (0 … 9) or one-hot")
    add("--model", choices=NETWORKS, default="lstm", help="the network; torch_lstm is nn.LSTM, for comparison")
    add("--plain", action="store_true", help="use the LSTM's plain loop: slower, the same up to rounding")
    add("--num_hidden", type=cli.int_between(1, 4096), default=128, help="units in h (and c)")
    add("--init", choices=INITS, default="memory", help="initial weights: ours, PyTorch's or the reference's")
    add("--max_epoch", type=cli.int_between(1), default=100, help="passes over the training data, at most")
    add("--patience", type=cli.int_between(1), default=20, help="stop after N epochs in a row without validation error")
    add("--batch_size", type=cli.int_between(1), default=128, help="sequences in a batch, for each process")
    add("--learning_rate", type=cli.float_between(0), default=1e-3, help="of RMSprop; from epoch 101 on a tenth of it")
    add("--max_norm", type=cli.float_between(0), default=10.0, help="gradients of a larger norm are scaled down to it")
    add("--data_size", type=cli.int_between(1, 10_000_000), default=10_000, help="palindromes to draw")
    add("--portion_train", type=cli.float_between(0, 1), default=0.8, help="the part of them for training")
    add("--lengths", nargs="+", type=tested, default=tested_at, help="input lengths to test at the end")
    cli.add_shared_flags(parser)
    cli.add_training_flags(parser)
    may_change = {"checkpoint_interval", "tensorboard", "lengths"}
    args = parse_or_resume(parser, argv, SCRIPT, may_change, epochs=lambda _: "max_epoch")
    args.encoding = args.encoding or ("one_hot" if args.input_dim == 10 else "scaled")
    if args.input_dim not in (None, ENCODINGS[args.encoding]):
        parser.error(f"--input_dim {args.input_dim}: with --encoding {args.encoding} it is {ENCODINGS[args.encoding]}")
    args.input_dim = ENCODINGS[args.encoding]
    if args.plain and args.model != "lstm":
        parser.error(f"--plain is only for --model lstm; {args.model} has one form")
    return args


def main() -> None:
    train(parse_args())


if __name__ == "__main__":
    cli.call(main)
