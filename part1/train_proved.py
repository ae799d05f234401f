"""Train an LSTM until it is proved: its answer is right after every sequence, of every length.

    python part1/train_proved.py
    python part1/train_proved.py --encoding scaled --data_size 4000 --max_batches 4000
    python part1/train_proved.py --task marker --data_size 30000 --batch_size 16 --max_batches 3000
    python part1/train_proved.py --without_proof                     the terms of the proof left out of the loss

Only --data_size sequences of ten digits are drawn, and they are read again and again. The network answers after every
digit. The loss is the mean cross entropy of all these answers, plus what a proof lacks: for states that no symbol
leaves (a digit to be remembered) closed sets (part1/proof/slack.py), added once the network is sure, because the signs
of its own memory make the sets; for other states (a running sum) boxes that must not grow (part1/proof/follow.py).

Every 50 batches the certificate is tried (part1/proof/certificate.py). Training ends when it holds.

Writes a folder outputs/part1/proved-TASK-seedN-TIME with curves.png (accuracy and slack over batches), metrics.jsonl,
checkpoint.pt (the last network, and all that --resume needs) and result.json (whether it is proved, and if not, why;
the proof's margin; the accuracy on fresh sequences of the --lengths).
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import cli, seeds
from common.runs import Run, command, parse_args_or_resume
from common.training import RunningMeans, Training, prepared
from part1.lstm import LSTM, gates, remember
from part1.networks.pictures import draw_summary
from part1.networks.trained import KIND, Trained
from part1.palindromes import ENCODINGS
from part1.proof.certificate import certify
from part1.proof.follow import Following
from part1.proof.slack import closed_sets_lack, signs_of
from part1.tasks.memory import MAX_LENGTH, accuracy_at_lengths, draw_to_prove
from part1.tasks.tasks import TASKS

import torch
import torch.nn.functional as F
from torch import nn

SCRIPT = "part1/train_proved.py"
EVERY = 50  # batches: a row of the table, and an attempt to prove the network
SURE = 0.98  # accuracy of EVERY batches from which on there are closed sets
CHOICES = 5  # of their signs, EVERY batches apart; the last one stays
ROUNDS = 100  # of widening, at most, while training goes on; three times as many where states are left again
WARM_UP = 150  # batches before boxes are followed


@dataclass
class Progress:
    """How far training has come."""

    batch: int = 0
    signs: torch.Tensor | None = None  # of c in each state to be remembered, (states, hidden)
    choices: int = 0  # of the signs
    proved: bool = False
    best: dict | None = None  # the network's weights, once trained


def read(network: LSTM, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x (batch, time, input_dim) → h(t) and c(t) of each step, (batch, time, hidden)."""
    h = c = x.new_zeros(len(x), network.hidden_dim)
    steps = []
    for x_t in x.unbind(1):
        h, c = remember(*gates(x_t, h, network.weight_ih, network.weight_hh, network.bias), c)
        steps.append((h, c))
    h, c = zip(*steps, strict=True)
    return torch.stack(h, dim=1), torch.stack(c, dim=1)


@prepared
def train(args: argparse.Namespace) -> Path:
    """One training run that ends with a proof, or without one; returns its folder."""
    device, task = args.device, TASKS[args.task].to(args.device)
    digits = draw_to_prove(task, args.data_size, args.seed)
    states = task.automaton.states(digits[:, :-1].to(device))
    answers = task.automaton.answers[states]

    sizes = {"input_dim": task.input_dim[args.encoding], "hidden_dim": args.num_hidden, "output_dim": task.classes}
    torch.manual_seed(args.seed)  # the initial weights; nothing else draws from the global generator
    network = LSTM(**sizes).to(device)
    trained = Trained(network, task, args.encoding)
    symbols = trained.symbols
    inputs = symbols[digits[:, :-1].long().to(device)]
    optimizer = torch.optim.Adam(network.parameters(), lr=args.learning_rate)

    run = Run.open(args, SCRIPT, f"part1/proved-{task.name}-seed{args.seed}", KIND)
    progress, means = Progress(), RunningMeans("loss", "accuracy", "slack", "gradient_norm", device=device)
    following = Following(network, symbols, task.automaton)
    description = {"model": "lstm", "sizes": sizes, "encoding": args.encoding, "task": task.name}
    learners = {"network": network, "optimizer": optimizer, "means": means, "following": following}
    training = Training(run, args.checkpoint_interval, description, learners, progress)
    table = cli.Table(batch=",d", loss=".4f", accuracy=".4f", slack=".3f", gradient_norm=".3f", seconds=".1f", left="s")
    bar, per_epoch = cli.progress_bar(args.max_batches, "batch", progress.batch), -(-len(inputs) // args.batch_size)
    rounds = 3 * ROUNDS if task.automaton.is_left else ROUNDS
    with training, bar:
        while progress.batch < args.max_batches and not progress.proved:
            epoch, batch = divmod(progress.batch, per_epoch)
            order = torch.randperm(len(inputs), generator=seeds.generator(args.seed, "order", epoch))
            index = order[batch * args.batch_size :][: args.batch_size].to(device)
            h, c = read(network, inputs[index])
            logits, answer = network.fc(h), answers[index]
            loss = F.cross_entropy(logits.flatten(0, 1), answer.flatten(), ignore_index=-1)
            accuracy = (logits.argmax(2) == answer)[answer >= 0].float().mean()
            slack = loss.new_zeros(())
            if progress.signs is not None:
                signs = progress.signs.to(device)  # a checkpoint's are on the CPU
                lacks, slack = closed_sets_lack(network, symbols, task.automaton, signs, c, states[index])
                loss = loss + lacks
            if not args.without_proof and task.automaton.is_left and progress.batch >= WARM_UP:
                loss = loss + following.boxes_lack()
            optimizer.zero_grad()
            loss.backward()
            gradient_norm = nn.utils.clip_grad_norm_(network.parameters(), args.max_norm)
            rate = args.learning_rate * min(1.0, max(0.02, 2 - 2 * progress.batch / args.max_batches))
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
            means.add(loss, accuracy, slack, gradient_norm)
            progress.batch += 1
            bar.update()

            if progress.batch % EVERY == 0 or progress.batch == args.max_batches:
                row = {"batch": progress.batch, **means.take(), "learning_rate": rate, "seconds": training.seconds()}
                run.log(row, progress.batch)
                table.print_row(row | {"left": bar.left()})
                if not args.without_proof and row["accuracy"] > SURE:
                    progress.proved = certify(network, symbols, task.automaton, rounds).proved
                    if task.automaton.is_kept.any() and progress.choices < CHOICES:
                        progress.signs = signs_of(read(network, inputs)[1], states, task.automaton)
                        progress.choices += 1
            training.after_step()
        bar.close()
        progress.best = network.state_dict()
        training.at_end()
        seconds = training.seconds()
        certificate = certify(network, symbols, task.automaton)
        result = {"proved": certificate.proved, "why_not": certificate.why_not, "margin": certificate.margin}
        result |= {"rounds": certificate.rounds, "batches": progress.batch, "sequences_seen": len(inputs)}
        result |= {"seconds": seconds, "parameters": sum(parameter.numel() for parameter in network.parameters())}
        draw_summary(run.folder)
        result["accuracy_at"] = accuracy_at_lengths(trained, args.lengths, args.seed, digits)
        run.finish(result)
    cli.print_line(certificate.verdict)
    cli.print_line(f"picture: {run.folder / 'curves.png'}")
    if not (certificate.proved or args.without_proof):
        cli.print_line("hint: try a larger --data_size and --max_batches, or another --seed")
    cli.print_line(f"next: {command('part1/certify.py', '--run', run.folder)}")
    return run.folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser(__doc__)
    add, tested = parser.add_argument_group("the task").add_argument, cli.int_between(1, MAX_LENGTH)
    add("--task", choices=TASKS, default="palindrome", help="what to learn: see part1/tasks/tasks.py")
    add("--encoding", choices=ENCODINGS, default="one_hot", help="digits one-hot, scaled to [−1, 1] or raw (0 … 9)")
    add("--data_size", type=cli.int_between(1, 10_000_000), default=1000, help="sequences of ten digits to train on")
    add("--lengths", nargs="+", type=tested, default=[10, 100, 1000], help="input lengths to test at the end")
    add = parser.add_argument_group("training").add_argument
    add("--num_hidden", type=cli.int_between(1, 4096), default=64, help="units in h and c")
    add("--batch_size", type=cli.int_between(1), default=8, help="sequences in a batch")
    add("--max_batches", type=cli.int_between(1), default=1000, help="batches, at most")
    add("--learning_rate", type=cli.float_between(0), default=3e-3, help="of Adam; in the second half it falls to 2 %%")
    add("--max_norm", type=cli.float_between(0), default=1.0, help="gradients of a larger norm are scaled down to it")
    add("--without_proof", action="store_true", help="leave what a proof lacks out of the loss, for comparison")
    cli.add_shared_flags(parser)
    cli.add_training_flags(parser)
    return parse_args_or_resume(parser, argv, SCRIPT, may_change={"checkpoint_interval", "tensorboard", "lengths"})


if __name__ == "__main__":
    cli.call(lambda: train(parse_args()))
