"""The machine, and this process's place on it."""

import os
import platform
import re
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]

try:
    CPU = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
except OSError:  # not Linux
    CPU = platform.processor() or platform.machine()
_name = re.search(r"^model name\s*: (.*)$", CPU, re.MULTILINE)
# With another processor or instruction set, sums may be rounded differently.
PROCESSOR = f"{_name[1].strip() if _name else CPU.splitlines()[0]}, {torch.backends.cpu.get_cpu_capability()}"


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else default


# torchrun tells each process these numbers. A single process has rank 0 of 1.
PROCESSES = max(1, _number("WORLD_SIZE", 1))
RANK = _number("RANK", 0) if PROCESSES > 1 else 0
LOCAL_RANK = _number("LOCAL_RANK", RANK)
IS_MAIN = RANK == 0  # the one process that writes and prints
