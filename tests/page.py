"""Asking a page that runs a network: its scripts run in node (page.js), or all of it in Chromium."""

import json
import re
import shutil
import subprocess
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


def selftest(path: Path, profile: Path) -> dict:
    """What the page shows in Chromium when it tests itself; skips the test if Chromium does not start."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--dump-dom"]
    command = [CHROMIUM, *flags, f"{path.as_uri()}#selftest"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"Chromium does not start here: {done.stderr[-200:]}")
    return json.loads(unescape(re.search(r"<body>(.*)</body>", done.stdout, flags=re.DOTALL).group(1)))


def model_of(html: str) -> dict:
    """What a page holds of its network, as JSON."""
    return json.loads(re.search(r"load\((\{.*\})\)</script>", html).group(1))


def assert_needs_nothing_but_itself(html: str) -> None:
    """No address, no file, no request; and a policy by which a browser would refuse one."""
    assert not re.search(r"""://|\b(src|href|srcset|action|data)\s*=|@import|url\(|\bimport\b|fetch\(""", html)
    assert not re.search(r"/\* (common|part\d)/", html)  # each file that the template names is in it
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html).group(1)
    allowed = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
    assert re.sub(r"\s+", " ", policy) == allowed + "; base-uri 'none'; form-action 'none'"
