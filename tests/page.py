"""Asking a page that runs a network: its scripts run in node (page.js), or all of it in Chromium."""

import functools
import json
import re
import shutil
import subprocess
import tempfile
from html import unescape
from pathlib import Path

import pytest

NODE, CHROMIUM = shutil.which("node"), shutil.which("chromium")
needs_node = pytest.mark.skipif(NODE is None, reason="there is no node here to run the page's scripts")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


def ask(path: Path, function: str, given=None, tools: str = "", calm: bool = False):
    """What a JavaScript function makes of `given` in the page; `calm` asks for reduced motion."""
    command = [NODE, Path(__file__).with_name("page.js"), path, *(["calm"] if calm else [])]
    asked = json.dumps({"tools": tools, "function": function, "given": given})
    done = subprocess.run(command, input=asked, capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ask_chromium(path: Path, function: str):
    """What a JavaScript function without arguments makes of the page in Chromium; the test is skipped if Chromium does
    not even open an empty page."""
    if not opens_an_empty_page():
        pytest.skip("Chromium does not start here")
    asked = f"<script>document.body.textContent = JSON.stringify(({function})());</script></body>"
    shown = show_in_chromium(path.read_text("utf-8").replace("</body>", asked))
    assert shown.returncode == 0, shown.stderr
    return json.loads(unescape(re.search(r"<body>(.*)</body>", shown.stdout, flags=re.DOTALL).group(1)))


def show_in_chromium(html: str) -> subprocess.CompletedProcess:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # it may still write while it ends
        (Path(folder) / "page.html").write_text(html, encoding="utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile", "--dump-dom"]
        command = [CHROMIUM, *flags, (Path(folder) / "page.html").as_uri()]
        return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False)


@functools.cache
def opens_an_empty_page() -> bool:
    return show_in_chromium("").returncode == 0


def model_of(html: str) -> dict:
    """What a page holds of its network, as JSON."""
    return json.loads(re.search(r"start\((\{.*\})\);</script>", html).group(1))


def assert_needs_nothing_but_itself(html: str) -> None:
    """No address, no file, no request; and a policy by which a browser would refuse one."""
    assert not re.search(r"""://|\b(src|href|srcset|action|data)\s*=|@import|url\(|\bimport\b|fetch\(""", html)
    assert not re.search(r"/\* [\w/]+\.\w+ \*/", html)  # each file that the template names is in it
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html).group(1)
    allowed = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
    assert re.sub(r"\s+", " ", policy) == allowed + "; base-uri 'none'; form-action 'none'"
