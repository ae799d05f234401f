"""Pages: numbers come back as they went, and all that a template names is in the page."""

import base64
import json

from common import pages
from common.machine import ROOT
from common.pages import build, encode

import numpy as np
import torch


def test_numbers_are_float32_row_after_row_whatever_they_were():
    numbers = torch.tensor([[1.5, -2.0], [0.1, 3e38]], dtype=torch.float64, requires_grad=True)
    for given in (numbers, numbers.float(), numbers.T.contiguous().T):
        assert np.array_equal(np.frombuffer(base64.b64decode(encode(given)), "<f4"), np.float32([1.5, -2, 0.1, 3e38]))


def test_a_page_holds_the_files_that_its_template_names_and_the_model(tmp_path, monkeypatch):
    for template in ROOT.glob("*/page/explore.html"):
        page = build(template, {})
        for path in (ROOT / "common" / "page.css", ROOT / "common" / "page.js", *template.parent.glob("*.js")):
            assert path.read_text("utf-8").strip() in page, path
    style = "p { color: red; } /* \\1 “é” */"
    (tmp_path / "one.css").write_text(style + "\n", encoding="utf-8")
    (tmp_path / "page.html").write_text('<style>/* one.css */</style>/* two.txt */<script>start("MODEL")</script>')
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    page = build(tmp_path / "page.html", {"a": [1, "x"]})
    assert page == f"<style>{style}</style>/* two.txt */<script>start({json.dumps({'a': [1, 'x']})})</script>"
