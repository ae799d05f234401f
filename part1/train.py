"""Train a network to remember: it reads all digits of a palindrome but the last, and names the last one.

    python part1/train.py --input_length 10
    python part1/train.py --input_length 30 --model rnn
    python part1/train.py --input_length 10 --init normal --encoding raw     the reference's initialisation

Writes a folder outputs/part1/MODEL-TN-seedN-TIME with curves.png (loss and accuracy over epochs), metrics.jsonl,
checkpoint.pt (the best epoch by validation, and all that --resume needs) and result.json (the test accuracy, read once,
and the accuracy at the --lengths). For a memory that is proved, use part1/train_proved.py.
"""

import argparse
import copy
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli, seeds
from common.runs import Run, command, parse_args_or_resume
from common.training import RunningMeans, Training, prepared
from part1.lstm import INITS, initialise
from part1.networks.by_name import NETWORKS
from part1.networks.pictures import draw_summary
from part1.networks.trained import KIND, Trained
from part1.palindromes import ENCODINGS, MAX_TRAINED_LENGTH, NUM_CLASSES, draw_dataset, encode, split
from part1.tasks.memory import MAX_LENGTH, accuracy_at_lengths, evaluate
from part1.tasks.tasks import PALINDROME

import torch
import torch.nn.functional as F
from torch import nn

SCRIPT = "part1/train.py"
COLUMNS = {"epoch": "d", "loss": ".4f", "accuracy": ".4f", "validation_loss": ".4f val_loss"}
COLUMNS |= {"validation_accuracy": ".4f val_acc", "gradient_norm": ".3f gradient", "learning_rate": ".0e rate"}
COLUMNS |= {"seconds": ".1f", "left": "s"}


@dataclass
class Progress:
    """How far training has come."""

    epoch: int = 1
    batch: int = 0  # batches of this epoch that are done
    best: dict | None = None  # the network's weights at the best epoch
    best_epoch: int = 0
    best_score: tuple = (-1.0, 0.0)  # validation accuracy, −validation loss
    perfect_epochs: int = 0  # epochs in a row with validation accuracy 1.0

    def goes_on(self, args: argparse.Namespace) -> bool:
        return self.epoch <= args.max_epoch and self.perfect_epochs < args.patience

    def end_epoch(self, network: nn.Module, loss: float, accuracy: float) -> None:
        """Keep the network if it is the best so far: of higher validation accuracy, or as high and of lower loss."""
        if (accuracy, -loss) > self.best_score:
            self.best_score, self.best_epoch = (accuracy, -loss), self.epoch
            self.best = copy.deepcopy(network.state_dict())
        self.perfect_epochs = self.perfect_epochs + 1 if accuracy == 1 else 0
        self.epoch, self.batch = self.epoch + 1, 0


@prepared
def train(args: argparse.Namespace) -> Path:
    """One training run; returns its folder."""
    dataset = draw_dataset(args.input_length, args.data_size, args.seed)
    parts = split(len(dataset), args.portion_train)
    seen, validation, test = map(dataset.__getitem__, parts)
    if len(dataset) < args.data_size:
        cli.print_line(f"only {len(dataset):,} palindromes of {args.input_length + 1} digits exist: all are used")
    device, (inputs, targets) = args.device, (part.to(args.device) for part in seen)

    sizes = {"input_dim": args.input_dim, "hidden_dim": args.num_hidden, "output_dim": NUM_CLASSES}
    torch.manual_seed(args.seed)  # the initial weights; nothing else draws from the global generator
    network = NETWORKS[args.model](**sizes, **{"plain": True} if args.plain else {})
    initialise(network, args.init, args.input_length)
    trained = Trained(network.to(device), PALINDROME, args.encoding)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=args.learning_rate, alpha=0.99)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=100, gamma=0.1)

    run = Run.open(args, SCRIPT, f"part1/{args.model}-T{args.input_length}-seed{args.seed}", KIND)
    progress, means = Progress(), RunningMeans("loss", "accuracy", "gradient_norm", device=device)
    description = {"model": args.model, "sizes": sizes, "encoding": args.encoding, "task": PALINDROME.name}
    learners = {"network": network, "optimizer": optimizer, "scheduler": scheduler, "means": means}
    training = Training(run, args.checkpoint_interval, description, learners, progress)  # loads a resumed run's state
    if run.is_finished and not progress.goes_on(args):
        run.refuse(f"it ended after {progress.perfect_epochs} perfect epochs; give a larger --patience too")
    table, per_epoch = cli.Table(**COLUMNS), -(-len(inputs) // args.batch_size)
    bar = cli.progress_bar(args.max_epoch * per_epoch, "batch", (progress.epoch - 1) * per_epoch + progress.batch)
    with training, bar, warnings.catch_warnings():
        # Resumed after an epoch's last batch, this process steps the schedule first, and PyTorch would warn.
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
        while progress.goes_on(args):
            order = torch.randperm(len(inputs), generator=seeds.generator(args.seed, "order", progress.epoch))
            for batch in order.to(device).split(args.batch_size)[progress.batch :]:
                logits = network(encode(inputs[batch], args.encoding))
                loss = F.cross_entropy(logits, targets[batch])
                accuracy = (logits.argmax(1) == targets[batch]).float().mean()
                optimizer.zero_grad()
                loss.backward()
                gradient_norm = nn.utils.clip_grad_norm_(network.parameters(), args.max_norm)
                means.add(loss, accuracy, gradient_norm, weight=len(batch))
                optimizer.step()
                progress.batch += 1
                bar.update()
                training.after_step()

            loss, accuracy = evaluate(trained, *validation)
            row = {"epoch": progress.epoch, **means.take(), "validation_loss": loss, "validation_accuracy": accuracy}
            row |= {"learning_rate": scheduler.get_last_lr()[0], "seconds": training.seconds()}
            run.log(row, progress.epoch)
            table.print_row(row | {"left": bar.left()})
            scheduler.step()
            progress.end_epoch(network, loss, accuracy)
        bar.close()
        training.at_end()
        network.load_state_dict(progress.best)
        epochs, n_parameters = progress.epoch - 1, sum(parameter.numel() for parameter in network.parameters())
        result = {"seconds": training.seconds(), "test_accuracy": evaluate(trained, *test)[1], "accuracy_at": {}}
        result |= {"validation_accuracy": progress.best_score[0], "best_epoch": progress.best_epoch, "epochs": epochs}
        result |= {"sequences_seen": epochs * len(inputs), "parameters": n_parameters}
        unseen = f"{len(test[1]):,} palindromes never seen"
        cli.print_line(f"test accuracy {result['test_accuracy']:.4f} on {unseen}, at epoch {progress.best_epoch}")
        draw_summary(run.folder)
        cli.print_line(f"at these lengths, though it was trained at {args.input_length} only:")
        result["accuracy_at"] = accuracy_at_lengths(trained, args.lengths, args.seed, dataset.digits[parts[0]])
        run.finish(result)
    cli.print_line(f"picture: {run.folder / 'curves.png'}")
    if result["test_accuracy"] < 0.95:
        is_ours = args.model != "rnn" and args.init == "memory"
        remedy = "a larger --max_epoch or --data_size" if is_ours else "--model lstm --init memory"
        cli.print_line(f"weak (chance: {1 / NUM_CLASSES}); try {remedy}")
    shows = "evaluate" if args.model == "rnn" else "show_gates"
    cli.print_line(f"next: {command(f'part1/{shows}.py', '--run', run.folder)}")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    length, tested = cli.int_between(1, MAX_TRAINED_LENGTH), cli.int_between(1, MAX_LENGTH)
    add = parser.add_argument_group("the task").add_argument
    add("--input_length", type=length, default=5, help="digits that the network reads")
    add("--input_dim", type=int, choices=(1, 10), help="numbers per digit: 1, or 10 for one-hot")
    add("--encoding", choices=ENCODINGS, help="digits scaled to [−1, 1] (the default), raw (0 … 9) or one-hot")
    add("--data_size", type=cli.int_between(1, 10_000_000), default=10_000, help="palindromes to draw")
    add("--portion_train", type=cli.float_between(0, 1), default=0.8, help="the part of them for training")
    add("--lengths", nargs="+", type=tested, default=[10, 30, 100], help="input lengths to test at the end")
    add = parser.add_argument_group("the network").add_argument
    add("--model", choices=NETWORKS, default="lstm", help="the network; torch_lstm is nn.LSTM, for comparison")
    add("--plain", action="store_true", help="use the LSTM's plain loop: slower, the same up to rounding")
    add("--num_hidden", type=cli.int_between(1, 4096), default=128, help="units in h (and c)")
    add("--init", choices=INITS, default="memory", help="memory: ours; uniform: PyTorch's; normal: the reference's")
    add = parser.add_argument_group("training").add_argument
    add("--max_epoch", "--epochs", type=cli.int_between(1), default=100, help="passes over the training data, at most")
    add("--patience", type=cli.int_between(1), default=20, help="stop after N consecutive epochs without an error")
    add("--batch_size", type=cli.int_between(1), default=128, help="sequences in a batch")
    add("--learning_rate", type=cli.float_between(0), default=1e-3, help="of RMSprop; from epoch 101 on a tenth of it")
    add("--max_norm", type=cli.float_between(0), default=10.0, help="gradients of a larger norm are scaled down to it")
    cli.add_shared_flags(parser)
    cli.add_training_flags(parser)
    may_change, may_grow = {"checkpoint_interval", "tensorboard", "lengths"}, {"max_epoch", "patience"}
    args = parse_args_or_resume(parser, argv, SCRIPT, may_change, may_grow)
    args.encoding = args.encoding or ("one_hot" if args.input_dim == 10 else "scaled")
    if args.input_dim not in (None, ENCODINGS[args.encoding]):
        parser.error(f"--input_dim {args.input_dim}: with --encoding {args.encoding} it is {ENCODINGS[args.encoding]}")
    args.input_dim = ENCODINGS[args.encoding]
    if args.plain and args.model != "lstm":
        parser.error(f"--plain is only for --model lstm; {args.model} has one form")
    return args


if __name__ == "__main__":
    cli.call(lambda: train(parse_args()))
