"""Pages that run a network in the browser: one HTML file that needs neither a server nor another file.

A template names the files that become part of it, each in a comment of its own: `/* common/page.css */`. What all pages
share lies in common/page.css and common/page.js.
"""

import base64
import json
import re
from pathlib import Path

import torch

from common.environment import ROOT
from common.files import write_whole
from common.runs import Run

NAMED = re.compile(r"/\* ((?:common|part1|part2)/\w+\.(?:css|js)) \*/")


def encode(numbers: torch.Tensor) -> str:
    """Little-endian float32 in base64, row after row; `numbers` of page.js reads it."""
    return base64.b64encode(numbers.detach().cpu().numpy().astype("<f4").tobytes()).decode()


def build(template: Path, model: dict) -> str:
    """The template with the files that it names in it, and `model` as JSON where it says "MODEL"."""
    html = NAMED.sub(lambda found: (ROOT / found[1]).read_text("utf-8").strip(), template.read_text("utf-8"))
    return html.replace('"MODEL"', json.dumps(model))


def finish(run: Run, page: str, result: dict) -> None:
    """Write explore.html and result.json into the run's folder, and say how the page is opened."""
    path = run.folder / "explore.html"
    write_whole(path, page)
    run.finish(result)
    print(f"page: {path} ({path.stat().st_size / 1e6:.1f} MB); open it in a browser: {path.resolve().as_uri()}")
