"""Where runs lie, and which one a script takes: the one that is named, or the newest."""

import contextlib
import datetime
from pathlib import Path

from common.cli import UserError, print_line
from common.files import CHECKPOINT, lock_folder, read_json, reading
from common.machine import ROOT

OUTPUTS = ROOT / "outputs"
PRETRAINED = OUTPUTS / "pretrained"


def newest(*scripts: str, finished: bool) -> Path | None:
    """The newest run of these scripts, finished or unfinished. Those of FOLDER/NAME.py lie in outputs/FOLDER.

    An unfinished run counts only if it has saved a checkpoint and no process is writing to it. A copied or renamed
    folder does not count.
    """
    found = []
    places = {OUTPUTS / Path(script).parent for script in scripts}
    for folder in (folder for place in places for folder in place.glob("*/")):
        with contextlib.suppress(UserError), reading(folder):  # not a run of this project, or incomplete
            is_finished, has_checkpoint = (folder / "result.json").exists(), (folder / CHECKPOINT).exists()
            config = read_json(folder / "config.json")
            is_meant = config["script"] in scripts and config.get("name", folder.name) == folder.name
            if is_meant and is_finished == finished and (finished or has_checkpoint):
                if not finished:
                    lock_folder(folder).release()  # UserError if another process has it
                found.append((datetime.datetime.fromisoformat(config["started"]).astimezone(), folder))
    return max(found)[1] if found else None


def find_run(named: Path | None, scripts: list[str], pretrained: Path) -> Path:
    """Choose the run or checkpoint to load, and print which one it is, and why.

    It is `named`, if that is given; else the newest finished run of the scripts; else the pretrained one.
    """
    path = named or newest(*scripts, finished=True)
    if named:
        if not named.exists():
            raise UserError(f"--run {named}: there is no such run or checkpoint")
        why = "named by --run"
    elif path:
        why = f"the newest finished run; for the pretrained one: --run {pretrained.relative_to(ROOT)}"
    else:
        nowhere = f"no run of {' or '.join(scripts)} has finished in outputs/{Path(scripts[0]).parent}"
        path, why = pretrained, f"the pretrained one, as {nowhere}"
    print_line(f"network: {path} ({why})")
    return path
