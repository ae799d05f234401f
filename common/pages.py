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

NAMED = re.compile(r"/\* ((?:common|part1|part2)/\w+\.(?:css|js)) \*/")


def encode(numbers: torch.Tensor) -> str:
    """Little-endian float32 in base64, row after row; `numbers` of page.js reads it."""
    return base64.b64encode(numbers.detach().cpu().numpy().astype("<f4").tobytes()).decode()


def build(template: Path, model: dict) -> str:
    """The template with the files that it names in it, and `model` as JSON where it says "MODEL"."""
    html = NAMED.sub(lambda found: (ROOT / found[1]).read_text("utf-8").strip(), template.read_text("utf-8"))
    return html.replace('"MODEL"', json.dumps(model))
