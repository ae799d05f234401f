"""Pages that run a network in the browser: one HTML file that needs neither a server nor another file.

A template holds a page's markup and style. It names the files to insert, each by its path in the project and in a
comment of its own: `/* common/page.css */`. The parts that all pages share are in common/page.css and common/page.js.
"""

import base64
import json
import re
from pathlib import Path

from common.cli import print_line
from common.files import write_atomic
from common.machine import ROOT
from common.runs import Run

import torch

NAMED = re.compile(r"/\* ([\w/]+\.(?:css|js)) \*/")


def encode(numbers: torch.Tensor) -> str:
    """Encode numbers as little-endian float32 in base64, row after row; `numbers` in page.js decodes them."""
    return base64.b64encode(numbers.detach().cpu().numpy().astype("<f4").tobytes()).decode()


def build(template: Path, model: dict) -> str:
    """Insert into the template the files that it names, and `model` as JSON in the place of "MODEL"."""
    html = NAMED.sub(lambda found: (ROOT / found[1]).read_text("utf-8").strip(), template.read_text("utf-8"))
    return html.replace('"MODEL"', json.dumps(model))


def finish(run: Run, page: str, result: dict) -> None:
    """Write explore.html and result.json into the run's folder, and print how to open the page."""
    path = run.folder / "explore.html"
    write_atomic(path, page)
    run.finish(result)
    print_line(f"page: {path} ({path.stat().st_size / 1e6:.1f} MB); open it in a browser: {path.resolve().as_uri()}")
