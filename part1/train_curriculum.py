"""Train a network by curriculum for a long memory: on short palindromes first, on longer ones once it is sure.

    python part1/train_curriculum.py
    python part1/train_curriculum.py --encoding scaled --data_size 300000     one scalar a digit, as in the assignment
    python part1/train_curriculum.py --task marker                            recall a marked digit instead of the first

Every sequence is drawn fresh, --data_size in all. There are two phases:

lengthen   Batches of one length, 10 at first. It doubles whenever a moving average of the batches' accuracy exceeds
           0.99; when that falls below 0.5, it halves, and so does the learning rate, for good. This goes on until
           4 × length exceeds --input_length, or until 57 % of the sequences are used.
settle     Batches of five lengths in turn, from 10 to --input_length by equal factors (or to four times the length
           reached, if that is less). Three quarters of each batch are monotonous (see `draw_palindromes`), and the
           learning rate falls to zero.

In the first phase the network learns to remember, in the second to do so for rare sequences too. Weight decay keeps
memories from drifting. Without it, some last for thousands of steps only because f is rounded to 1, and fade later.

Writes a folder outputs/part1/MODEL-curriculum-TN-seedN-TIME (for --task marker: MODEL-curriculum-marker-TN-…) with
curves.png (accuracy and length over sequences), metrics.jsonl (`length`: the longest that was trained on at the row's
last batch), checkpoint.pt (the last network, and all that --resume needs) and result.json (the accuracy at --lengths,
on sequences never trained on; `length`: where the first phase ended).
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli, distributed, seeds
from common.machine import IS_MAIN, RANK
from common.runs import Run, parse_args_or_resume
from common.training import RunningMeans, Training, prepared
from part1.lstm import INITS, initialise
from part1.networks.by_name import NETWORKS
from part1.networks.pictures import draw_summary
from part1.networks.trained import KIND, Trained
from part1.palindromes import ENCODINGS, MAX_TRAINED_LENGTH
from part1.tasks.held_out import MAX_LENGTH, MIN_LENGTH
from part1.tasks.memory import LENGTHS, accuracy_at_lengths
from part1.tasks.tasks import TASKS

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

SCRIPT = "part1/train_curriculum.py"
FIRST_LENGTH = 10  # digits
SURE = 0.99  # moving average of the batches' accuracy above which the length is doubled
LOST = 0.5  # … and below which it is halved
LENGTHEN = 0.57  # the part of the sequences, at most, for the first phase
SETTLING_LENGTHS = 5
MONOTONOUS = 0.75  # the monotonous part of a batch in the second phase
WEIGHT_DECAY = 2e-4  # RMSprop adds this many times the weights to their gradient
LOG_INTERVAL = 10  # batches


@dataclass
class Progress:
    """How far training has come, and what comes next."""

    length: int  # reached in the first phase
    batch: int = 0
    accuracy: float = 0.1  # moving average over batches
    settles_from: int | None = None  # the batch at which settling begins
    rate: float = 1.0  # factor of the learning rate: halved each time a length is lost
    best: dict | None = None  # the network's weights, once trained

    def next_length(self, longest: int) -> int:
        """The input length of the next batch; `longest` is the longest to settle on."""
        if self.settles_from is None:
            return self.length
        shortest = min(FIRST_LENGTH, longest)
        turn = (self.batch - self.settles_from) % SETTLING_LENGTHS
        return round(shortest * (longest / shortest) ** (turn / (SETTLING_LENGTHS - 1)))

    def end_batch(self, accuracy: torch.Tensor, batches: int, input_length: int) -> None:
        """Count a batch and its accuracy; double or halve the length, or begin to settle, if it is time."""
        self.batch += 1
        if self.settles_from is not None:
            return
        self.accuracy = 0.9 * self.accuracy + 0.1 * accuracy.item()
        sure = self.accuracy > SURE
        if self.batch >= LENGTHEN * batches or (sure and 4 * self.length > input_length):
            self.settles_from = self.batch
        elif sure:
            self.length, self.accuracy = 2 * self.length, 0.9
        elif self.accuracy < LOST and self.length > FIRST_LENGTH:
            self.length, self.accuracy, self.rate = self.length // 2, 0.9, self.rate / 2


@prepared
def train(args: argparse.Namespace, device: torch.device) -> Path:
    """One training run by curriculum; returns its folder."""
    task = TASKS[args.task]
    sizes = {"input_dim": task.input_dim[args.encoding], "hidden_dim": args.num_hidden, "output_dim": task.classes}
    # The curriculum starts with short sequences, so the weights are initialised for these, not for the longest ones.
    first_length = min(FIRST_LENGTH, args.input_length)
    torch.manual_seed(args.seed)  # the initial weights; nothing else draws from the global generator
    network = NETWORKS[args.model](**sizes, **{"plain": True} if args.plain else {})
    initialise(network, args.init, first_length)
    network = network.to(device)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=args.learning_rate, alpha=0.99, weight_decay=WEIGHT_DECAY)
    batch_size = args.batch_size * args.processes
    batches = max(1, args.data_size // batch_size)  # 1 if torchrun makes a batch larger than the data

    name = "curriculum" if task.name == "palindrome" else f"curriculum-{task.name}"
    run = Run.open(args, SCRIPT, f"part1/{args.model}-{name}-T{args.input_length}-seed{args.seed}", KIND)
    progress, means = Progress(first_length), RunningMeans("loss", "accuracy", "gradient_norm", device=device)
    description = {"model": args.model, "sizes": sizes, "encoding": args.encoding, "task": task.name}
    learners = {"network": network, "optimizer": optimizer, "means": means}
    training = Training(run, args.checkpoint_interval, description, learners, progress)
    table = cli.Table(sequences=",d", length=",d", loss=".4f", accuracy=".4f", gradient_norm=".3f", seconds=".1f")
    bar = cli.progress_bar(batches, "batch", done=progress.batch)
    with training, bar:
        while progress.batch < batches:
            settles, rate, longest = progress.settles_from is not None, progress.rate, progress.length
            if settles:
                longest = min(4 * progress.length, args.input_length)
                rate *= (batches - progress.batch) / (batches - progress.settles_from)
            rng = np.random.default_rng(seeds.stream_seed(args.seed, "curriculum", progress.batch))
            kinds = {"monotonous": round(MONOTONOUS * batch_size) if settles else 0, "near": args.encoding != "one_hot"}
            digits = task.draw(batch_size, progress.next_length(longest), rng, held_out=False, **kinds)
            digits = digits[RANK :: args.processes].to(device)  # this process's part

            inputs, targets = digits[:, :-1], digits[:, -1].long()
            logits = network(task.encode(inputs, args.encoding))
            loss = F.cross_entropy(logits, targets)
            accuracy = (logits.argmax(1) == targets).float().mean()
            optimizer.zero_grad()
            loss.backward()
            if args.processes > 1:
                distributed.mean_gradients(network)
            gradient_norm = nn.utils.clip_grad_norm_(network.parameters(), args.max_norm)
            _, accuracy, _ = means.add(loss, accuracy, gradient_norm)
            optimizer.param_groups[0]["lr"] = args.learning_rate * rate
            optimizer.step()
            progress.end_batch(accuracy, batches, args.input_length)

            if progress.batch % LOG_INTERVAL == 0 or progress.batch == batches:
                row = {"batch": progress.batch, "sequences": progress.batch * batch_size, "length": longest}
                row |= {**means.take(), "learning_rate": args.learning_rate * rate, "seconds": training.seconds()}
                run.log(row, progress.batch)
                table.print_row(row)
            bar.update()
            training.after_step()
        progress.best = network.state_dict()
        training.at_end()
        seen, lengthening = progress.batch * batch_size, progress.settles_from * batch_size
        result = {"accuracy_at": {}, "length": progress.length, "batches": batches, "seconds": training.seconds()}
        result |= {"sequences_seen": seen, "sequences_until_settling": lengthening}
        result["parameters"] = sum(parameter.numel() for parameter in network.parameters())
        if IS_MAIN:
            draw_summary(run.folder)
            trained = Trained(network, task, args.encoding)
            result["accuracy_at"] = accuracy_at_lengths(trained, args.lengths, args.seed)
        run.finish(result)
    cli.print_line(f"picture: {run.folder / 'curves.png'}")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add, length = parser.add_argument, cli.int_between(MIN_LENGTH, MAX_TRAINED_LENGTH)
    tested = cli.int_between(MIN_LENGTH, MAX_LENGTH)
    add("--input_length", type=length, default=1000, help="the longest sequences to train on, in digits")
    add("--task", choices=TASKS, default="palindrome", help=f"what to learn: {' or '.join(TASKS)}")
    add("--encoding", choices=ENCODINGS, default="one_hot", help="digits one-hot, scaled to [−1, 1] or raw (0 … 9)")
    add("--model", choices=NETWORKS, default="lstm", help="the network; torch_lstm is nn.LSTM, for comparison")
    add("--plain", action="store_true", help="use the LSTM's plain loop: slower, the same up to rounding")
    add("--num_hidden", type=cli.int_between(1, 4096), default=128, help="units in h (and c)")
    add("--init", choices=INITS, default="memory", help="initial weights: ours, PyTorch's or the reference's")
    add("--batch_size", type=cli.int_between(1), default=64, help="sequences in a batch, for each process")
    add("--learning_rate", type=cli.float_between(0), default=1e-3, help="of RMSprop at first; both phases lower it")
    add("--max_norm", type=cli.float_between(0), default=1.0, help="gradients of a larger norm are scaled down to it")
    add("--data_size", type=cli.int_between(1, 10_000_000), default=30_000, help="sequences to train on")
    add("--lengths", nargs="+", type=tested, default=LENGTHS, help="input lengths to test at the end")
    cli.add_shared_flags(parser)
    cli.add_training_flags(parser)
    args = parse_args_or_resume(parser, argv, SCRIPT, may_change={"checkpoint_interval", "tensorboard", "lengths"})
    if args.data_size < args.batch_size:
        parser.error(f"--data_size {args.data_size} is less than one batch of {args.batch_size} (--batch_size)")
    if args.plain and args.model != "lstm":
        parser.error(f"--plain is only for --model lstm; {args.model} has one form")
    return args


if __name__ == "__main__":
    cli.call(lambda: train(parse_args()))
