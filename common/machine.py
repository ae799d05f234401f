"""The machine, and the versions on it."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "torchvision", "numpy", "matplotlib")

try:
    CPU = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
except OSError:  # not Linux
    CPU = platform.processor() or platform.machine()
_name = re.search(r"^model name\s*: (.*)$", CPU, re.MULTILINE)
# With another processor or instruction set, sums may be rounded differently.
PROCESSOR = f"{_name[1].strip() if _name else CPU.splitlines()[0]}, {torch.backends.cpu.get_cpu_capability()}"


def environment(device: torch.device) -> dict:
    """What one needs to know to make the same run again."""
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES if importlib.util.find_spec(name)},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else PROCESSOR,
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
