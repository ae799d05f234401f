"""How a run is resumed: its settings come from its own config, its state from its last checkpoint."""

import argparse
import datetime
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from common import checkpoint, distributed, runs
from common.cli import UserError
from common.console import print_line
from common.environment import environment
from common.runs import Run, plain


def parse_or_resume(
    parser: argparse.ArgumentParser,
    argv: list[str] | None,
    script: str,
    may_change: set[str],
    epochs: Callable[[dict], str | None] = lambda before: None,
) -> argparse.Namespace:
    """Parse the command line of a train script. `args.resume` becomes the folder of the run to resume, or None.

    With --resume, flags that are not given come from the run's config.json. Flags that differ from it are refused,
    because they would change the result. `may_change` names the exceptions. `epochs`, given the settings so far, names
    the flag for the number of epochs, if that may be larger than before.
    """
    args = parser.parse_args(argv)
    args.processes, args.threads = distributed.PROCESSES, args.threads or torch.get_num_threads()
    if args.resume is None:
        check_tensorboard(args)
        return args
    folder = runs.newest(script, finished=False) if args.resume is True else Path(args.resume)
    if folder is None:
        raise UserError(f"--resume: no unfinished run of {script} under {runs.OUTPUTS}")
    if args.out_dir is not None:
        raise UserError(f"--out_dir {args.out_dir}: cannot be given with --resume; a run continues in its own folder")
    if folder.is_file():
        raise UserError(f"--resume {folder}: is a file; name the run's folder")
    config = runs.read_config(folder)
    if config.get("script") != script:
        raise UserError(f"--resume {folder}: is a run of {config.get('script')}, not of {script}")
    given = _as_flags(config["arguments"], known=vars(parser.parse_args([])))
    before = config["arguments"] | plain(parser.parse_args(given))  # a flag newer than the run has its default
    args = parser.parse_args(given + (sys.argv[1:] if argv is None else argv))
    args.processes, args.resume, args.out_dir = distributed.PROCESSES, folder, folder
    now = plain(args)
    flag = epochs(before)
    grows = flag is not None and now[flag] > before[flag]
    free = may_change | {"out_dir"} | ({flag} if grows else set())
    fixed = {name: now[name] for name in before if name in now and name not in free}
    if changed := changes(before, fixed):
        raise UserError(f"--resume {folder}: these settings would change the result: {', '.join(changed)}")
    if (folder / "result.json").exists() and not grows:
        how = f"to train longer, give a larger --{flag}" if flag else "start a new one"
        raise UserError(f"--resume {folder}: this run is finished; {how}")
    args.threads = args.threads or torch.get_num_threads()  # the run is older than the flag
    check_tensorboard(args)
    return args


def _as_flags(arguments: dict, known: dict) -> list[str]:
    """Settings of a config as a command line, to be checked like one; those that are no flags are left out."""
    flags = []
    for name, value in arguments.items():
        if name not in known or value is None or value is False:
            continue
        if isinstance(value, list):
            flags += [f"--{name}", *map(str, value)]
        else:
            flags.append(f"--{name}" if value is True else f"--{name}={value}")
    return flags


def check_tensorboard(args: argparse.Namespace) -> None:
    """UserError if the command line, or the run that is resumed, asks for TensorBoard and it is not installed."""
    if args.tensorboard and not importlib.util.find_spec("tensorboard"):
        raise UserError(
            f"--tensorboard: the package is missing; install it: {sys.executable} -m pip install tensorboard"
        )


def changes(before: dict, now: dict) -> list[str]:
    """The differences between two dictionaries, also nested ones, each as "name before → now"."""
    found = []
    for name in now:
        if isinstance(now[name], dict) and isinstance(before.get(name), dict):
            found += changes(before[name], now[name])
        elif now[name] != before.get(name):
            found.append(f"{name} {before.get(name)} → {now[name]}")
    return found


def open_run(args: argparse.Namespace, script: str, name: str, kind: str) -> Run:
    """Make a new run, or open the one to resume, ready for `Run.take_over`. `kind` is the kind of its checkpoints."""
    run = _reopen(args, kind) if args.resume else Run.create(args, script, name)
    run.kind = kind
    print_line(f"{run.folder}")
    return run


def _reopen(args: argparse.Namespace, kind: str) -> Run:
    """Open an existing run and check it. Nothing is changed."""
    run = Run(args.resume, args.tensorboard)
    try:
        if distributed.IS_MAIN:
            run.lock()
        _check(run, kind)
    except OSError as error:
        run.close()
        raise UserError(f"--resume {run.folder}: cannot be read ({error.strerror})") from None
    except UserError:
        run.close()
        raise
    now, before = environment(args.device), (run.config.get("resumed") or [run.config])[-1]
    if changed := changes(before, now):
        print_line(f"resumed on another machine or version, so bits may differ from here on: {', '.join(changed)}")
    again = {"at": datetime.datetime.now().astimezone().isoformat(), **now}
    run.config |= {"arguments": plain(args), "resumed": [*run.config.get("resumed", []), again]}
    return run


def _check(run: Run, kind: str) -> None:
    """Load the run's config and its checkpoint; UserError if one is damaged or they do not belong together."""
    run.config = runs.read_config(run.folder)
    if run.checkpoint.exists() or checkpoint.previous(run.checkpoint).exists():
        run.saved = checkpoint.load(run.checkpoint, kind)
        if "clock" not in run.saved:
            raise UserError(f"--resume {run.folder}: its checkpoint holds only a network, so training cannot continue")
        if run.saved["clock"].get("run") != run.config.get("id"):
            raise UserError(f"--resume {run.folder}: its checkpoint belongs to another run")
        run.metrics_length = run.saved["clock"]["metrics_length"]
    elif (run.folder / "result.json").exists():
        raise UserError(f"--resume {run.folder}: its checkpoint is missing; a finished run cannot continue without it")
    if run.metrics_length > (run.metrics.stat().st_size if run.metrics.exists() else 0):
        raise UserError(f"{run.metrics}: is damaged (it is shorter than it was at the last checkpoint)")
