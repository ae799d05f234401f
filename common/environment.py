"""Where a run was made: versions, commit, machine. Elsewhere numbers may be rounded differently."""

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "torchvision", "numpy", "matplotlib")


def environment(device: torch.device) -> dict:
    """What one needs to know to make the same run again."""
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "threads": torch.get_num_threads(),
    }


def commit() -> str:
    """The commit of the project's own checkout, with "-dirty" if files differ from it; "unknown" without git."""
    command = ["git", "-c", f"safe.directory={ROOT}", "describe", "--always", "--dirty", "--abbrev=12"]
    of_this_checkout = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    of_this_checkout["GIT_CEILING_DIRECTORIES"] = str(ROOT.parent)  # else it may be a repository around the project
    try:
        done = subprocess.run(command, cwd=ROOT, env=of_this_checkout, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def processor() -> str:
    """The processor's name and the instruction set that PyTorch uses; with another one, rounding may differ."""
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None  # not Linux
    name = found[1].strip() if found else platform.processor() or platform.machine()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"
