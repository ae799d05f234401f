"""The page that runs the generator: its numbers beside PyTorch's, its keys, its buttons, and the script that writes it.

The page's scripts run in node, with a stub of the document; and, where there is one, in a browser without a window.
"""

import base64
import copy
import json
import os
import re
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import common.runs
import part2.explore
from common import checkpoint
from common.cli import UserError
from common.files import read_json
from common.runs import PRETRAINED
from part2.classifier import CONFIDENT, load_classifier
from part2.explore import build_page, explore, fold, parse_args
from part2.networks import Generator, find_generator, load_generator

NODE = shutil.which("node")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_node = pytest.mark.skipif(NODE is None, reason="there is no node here to run the page's scripts")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium or Chrome here to open the page in")

# Runs the scripts of the page named first, then calls the function that stands in the input with what stands beside it.
HARNESS = """
class Element {
  children = []; style = {}; attributes = {};
  append(...children) { this.children.push(...children); }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  getBoundingClientRect() { return { left: 10, top: 20, width: 200 }; }
  getContext() { return { putImageData: ({ data }) => { this.grey = [...data].filter((_, k) => k % 4 === 0); } }; }
  setPointerCapture() { this.captured = true; }
  hasPointerCapture() { return this.captured === true; }
}
const elements = {}, { readFileSync } = require("fs"), vm = require("vm");
globalThis.ImageData = class { data = new Uint8ClampedArray(4 * 28 * 28); };
globalThis.location = { hash: "" };
globalThis.document = { createElement: () => new Element(), getElementById: (id) => (elements[id] ??= new Element()) };
for (const id of ["end0", "end1", "end2"]) document.getElementById(id).append(new Element(), new Element());
const html = readFileSync(process.argv[1], "utf8"), input = JSON.parse(readFileSync(0, "utf8"));
for (const [, script] of html.matchAll(/<script[^>]*>(.*?)<\\/script>/gs)) vm.runInThisContext(script);
console.log(JSON.stringify(vm.runInThisContext(input.function)(input.given)));
"""


def ask(path, function: str, given=None):
    """What a JavaScript function makes of `given` in the page."""
    command, text = [NODE, "-e", HARNESS, str(path)], json.dumps({"function": function, "given": given})
    done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def grey(images: torch.Tensor) -> torch.Tensor:
    """As common/figures.py draws them."""
    return images.detach().add(1).mul(127.5).round().clamp(0, 255).flatten(1).int()


@pytest.fixture(autouse=True)
def few_draws(monkeypatch, tmp_path):
    monkeypatch.setattr(part2.explore, "DRAWS", 500)
    monkeypatch.setattr(common.runs, "OUTPUTS", tmp_path / "outputs")


def write(folder, *flags: str):
    of = ["--checkpoint", str(PRETRAINED / "generator"), "--device", "cpu"]
    return explore(parse_args([*of, "--out_dir", str(folder), *flags]))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The pretrained generator's page, what is in it, and the networks that it stands for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part2.explore, "DRAWS", 2000)
        folder = write(tmp_path_factory.mktemp("page") / "explore")
    html = (folder / "explore.html").read_text(encoding="utf-8")
    model = json.loads(re.search(r"load\((\{.*\})\)</script>", html).group(1))
    numbers = [[np.frombuffer(base64.b64decode(z), "<f4") for z in points] for points in model["ends"]]
    ends = [torch.tensor(np.stack(points)) for points in numbers]
    networks = {"generator": load_generator(find_generator(PRETRAINED / "generator")), "classifier": load_classifier()}
    return SimpleNamespace(path=folder / "explore.html", html=html, ends=ends, **networks)


# The numbers


def differences(html: str, folder, page) -> tuple[int, float]:
    """How far a page is from PyTorch at most, for 40 random z: in grey levels, and in probabilities."""
    (folder / "page.html").write_text(html, encoding="utf-8")
    z = torch.randn(40, page.generator.latent_dim, generator=torch.Generator().manual_seed(1))
    function = "(points) => points.map((z) => [[...generate(z)], [...read(draw(z))]])"
    pixels, probability = zip(*ask(folder / "page.html", function, z.tolist()), strict=True)
    images = page.generator(z)
    levels = (torch.tensor(pixels) - grey(images)).abs().max().item()
    return levels, (torch.tensor(probability) - page.classifier.read(images)).abs().max().item()


@needs_node
def test_the_page_draws_and_reads_what_pytorch_does(tmp_path, page):
    levels, probability = differences(page.html, tmp_path, page)
    assert levels <= 1 and probability < 1e-3


def change_one_weight(layers):
    layers[-2].weight.data[400, 7] += 0.5


def leave_out_batch_norm(layers):
    for layer in layers:
        if isinstance(layer, nn.BatchNorm1d):
            layer.reset_parameters()  # to averages 0 and 1 and no scale: it does nothing


@needs_node
@pytest.mark.parametrize("mutate", [change_one_weight, leave_out_batch_norm])
def test_a_mutant_of_the_weights_draws_something_else(tmp_path, page, mutate):
    mutant = copy.deepcopy(page.generator)
    mutate(mutant.layers)
    assert differences(build_page(mutant, page.classifier, dict(enumerate(page.ends))), tmp_path, page)[0] > 1


@needs_node
@pytest.mark.parametrize(
    ("right", "wrong", "drawn_alike"),
    [
        ("product(layer, h, 0.2)", "product(layer, h, 0.1)", False),
        ("column = x + (k % 3) - 1", "column = x + (k % 3)", True),
        ("Math.max(pooled[k], value)", "value", True),
    ],
)
def test_a_mutant_of_the_maths_draws_or_reads_something_else(tmp_path, page, right, wrong, drawn_alike):
    assert page.html.count(right) == 1
    levels, probability = differences(page.html.replace(right, wrong), tmp_path, page)
    assert (levels <= 1) == drawn_alike and probability > 1e-2


def test_folding_leaves_the_generator_as_it_was():
    """In float64, with averages and scales as they are after training: not 0 and 1."""
    torch.manual_seed(0)
    generator = Generator(8).double()
    for layer in generator.layers:
        if isinstance(layer, nn.BatchNorm1d):
            for numbers in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                nn.init.uniform_(numbers, 0.1, 3)
    h = z = torch.randn(20, 8, dtype=torch.float64)
    *hidden, (last, bias) = fold(generator.eval())
    for weight, b in hidden:
        h = nn.functional.leaky_relu(h @ weight.T + b, 0.2)
    torch.testing.assert_close((h @ last.T + bias).tanh(), generator(z).flatten(1), rtol=0, atol=1e-12)


# The point that is dragged


@needs_node
def test_the_weights_of_a_point_by_hand(page):
    line, triangle = [[0, 0], [4, 0]], [[0, 0], [2, 4], [4, 0]]
    cases = [
        ([1, 0], line, [0.75, 0.25]),
        ([1, 9], line, [0.75, 0.25]),  # beside the line: the nearest of its points
        ([-3, 1], line, [1, 0]),
        ([2, 2], triangle, [0.25, 0.5, 0.25]),
        ([3, -5], triangle, [0.25, 0, 0.75]),  # below the triangle
        ([4, 3], triangle, [0, 0.6, 0.4]),  # to the right of it, on a perpendicular to that edge
        ([2, 9], triangle, [0, 1, 0]),
    ]
    found = ask(page.path, "(cases) => cases.map(([p, corners]) => weigh(p, corners))", cases)
    assert found == [pytest.approx(weights) for _, _, weights in cases]


@needs_node
def test_keys_pointer_and_buttons_move_the_point_and_change_the_digits(page):
    """After each step: the digits, their weights, z, and that what is drawn is G(z). A key moves by 2 of 46."""
    d = 2 / 46
    steps = [
        ("", [9, 3, 2], [1 / 3, 1 / 3, 1 / 3]),
        ("key('Home')", [9, 3, 2], [1, 0, 0]),
        ("key('ArrowRight')", [9, 3, 2], [1 - d, 0, d]),
        ("key('End')", [9, 3, 2], [0, 0, 1]),
        ("key('Tab')", [9, 3, 2], [0, 0, 1]),
        ("point('move', 27, 67)", [9, 3, 2], [0, 0, 1]),  # nothing is pressed yet
        ("point('down', 27, 67)", [9, 3, 2], [1, 0, 0]),
        ("point('move', 50, 27)", [9, 3, 2], [0, 1, 0]),
        ("digits.children[7].onclick()", [7, 3, 2], [0, 1, 0]),
        ("digits.children[7].onclick()", [3, 2], [0.5, 0.5]),
        ("digits.children[2].onclick()", [3, 2], [0.5, 0.5]),  # two remain
        ("key('Home')", [3, 2], [1, 0]),
        ("key('ArrowUp')", [3, 2], [1 - d, d]),
        ("buttons[0].onclick()", [3, 2], [1 - d, d]),  # another 3
        ("digits.children[5].onclick()", [3, 2, 5], [1 - d, d, 0]),
    ]
    program = """(steps) => {
      const key = (name) => pad.onkeydown({ key: name, preventDefault() {} });
      const point = (event, x, y) => pad[`onpointer${event}`]({ clientX: 10 + 2 * x, clientY: 20 + 2 * y });
      return steps.map(([step]) => {
        eval(step);
        const z = latent(weights), alike = picture.grey.join() === generate(z).join();
        const said_of = (k) => digits.children[k].attributes["aria-disabled"];
        const idle = Object.keys(digits.children).filter((k) => said_of(k) === "true");
        const { "aria-valuetext": said, "aria-valuenow": now } = pad.attributes;
        return { chosen, weights, z: [...z], which: [...which], alike, said, now, idle };
      });
    }"""
    seen = ask(page.path, program, steps)
    for (_, chosen, weights), found in zip(steps, seen, strict=True):
        assert found["chosen"] == chosen and found["weights"] == pytest.approx(weights) and found["alike"]
        assert int(found["now"]) == pytest.approx(100 * weights[-1], abs=0.5)  # grows to the right, as a slider's must
        assert found["idle"] == (sorted(map(str, chosen)) if len(chosen) == 2 else [])
        ends = torch.stack([page.ends[digit][found["which"][digit]] for digit in chosen])
        torch.testing.assert_close(torch.tensor(found["z"]), torch.Tensor(found["weights"]) @ ends)
    assert [sum(found["which"]) for found in seen] == [0] * 13 + [1, 1]
    assert seen[1]["said"].startswith("9: 100 %, 3: 0 %, 2: 0 %; read as 9, ")


@needs_node
def test_digits_that_the_generator_does_not_draw_are_left_out(tmp_path, page):
    ends = {3: page.ends[3][:1], 4: page.ends[4]}
    (tmp_path / "few.html").write_text(build_page(page.generator, page.classifier, ends), encoding="utf-8")
    all_buttons = "[...digits.children, ...buttons.slice(0, 2)]"
    chosen, disabled = ask(tmp_path / "few.html", f"() => [chosen, {all_buttons}.map((button) => button.disabled)]")
    assert chosen == [3, 4]
    assert disabled == [digit not in (3, 4) for digit in range(10)] + [True, False]  # there is no other 3


@needs_browser
def test_a_browser_draws_what_pytorch_draws(tmp_path, page, record_property):
    """The page's own test drags the point to fifty places. How long a redraw took is recorded, not judged."""
    flags = ["--headless", "--disable-gpu", "--window-size=360,640", f"--user-data-dir={tmp_path / 'profile'}"]
    flags += ["--no-sandbox"] if os.geteuid() == 0 else []
    flags += ["--dump-dom", page.path.as_uri() + "#selftest"]
    done = subprocess.run([BROWSER, *flags], capture_output=True, timeout=120, check=True)
    result = json.loads(re.search(r"<body>(\{.*\})\s*</body>", done.stdout.decode(), flags=re.DOTALL).group(1))
    record_property("milliseconds of a redraw", result["redraw"])
    print(f"a redraw took {result['redraw']:.1f} ms")
    z = torch.stack([page.ends[digit][0] for digit in result["chosen"]])
    weights = torch.tensor([drag["weights"] for drag in result["drags"]])
    pixels = torch.tensor([drag["pixels"] for drag in result["drags"]])
    assert len(weights.unique(dim=0)) > 25
    assert (pixels - grey(page.generator(weights @ z))).abs().max() <= 1
    assert result["scrollWidth"] <= result["clientWidth"]


# The script


def test_the_page_needs_nothing_but_itself(page):
    assert {path.name for path in page.path.parent.glob("[!.]*")} == {"config.json", "result.json", "explore.html"}
    assert "://" not in page.html
    assert not re.search(r"""\b(src|href|srcset|action|data)\s*=|@import|url\(|\bimport\b|fetch\(""", page.html)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page.html).group(1)
    assert re.sub(r"\s+", " ", policy) == (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    )


def test_every_digit_has_latent_points_that_are_read_as_it(page):
    result = read_json(page.path.parent / "result.json")
    assert result["ends"] == {str(digit): len(points) for digit, points in enumerate(page.ends)}
    for digit, points in enumerate(page.ends):
        probability = page.classifier.read(page.generator(points))
        assert 1 <= len(points) <= part2.explore.ENDS
        assert (probability.argmax(1) == digit).all() and (probability[:, digit] >= CONFIDENT - 1e-4).all()


def test_it_works_from_anywhere_and_equal_seeds_give_equal_bytes(tmp_path, monkeypatch, capsys):
    place = tmp_path / "another folder"
    place.mkdir()
    monkeypatch.chdir(place)

    def files(name: str, seed: str) -> list[bytes]:
        folder = write(name, "--seed", seed)
        return [(folder / file).read_bytes() for file in ("explore.html", "result.json")]

    first = files("my page", "0")
    assert (place / "my page" / "explore.html").exists()
    assert "another%20folder/my%20page/explore.html" in capsys.readouterr().out
    assert files("b", "0") == first
    assert files("c", "1")[0] != first[0]


def test_a_missing_checkpoint_is_one_line_and_nothing_is_written(tmp_path, answer):
    none, out = tmp_path / "none.pt", tmp_path / "page"
    status, _, error = answer(part2.explore, "--checkpoint", none, "--out_dir", out)
    assert (status, error) == (2, f"explore.py: error: {none}: there is no such checkpoint\n")
    assert not out.exists()


def test_a_generator_of_one_digit_is_refused_and_nothing_is_written(tmp_path):
    """There is nothing to mix."""
    always = {name: torch.zeros_like(value) for name, value in Generator(8).state_dict().items()}
    checkpoint.save(tmp_path / "gan.pt", "GAN", {"latent_dim": 8, "generator": always})
    with pytest.raises(UserError, match=r"gan\.pt: the classifier reads all of 500 images as a \d;"):
        write(tmp_path / "page", "--checkpoint", str(tmp_path / "gan.pt"))
    assert not (tmp_path / "page").exists()
