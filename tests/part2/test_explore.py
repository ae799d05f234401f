"""The page that runs the generator: its numbers beside PyTorch's, its keys and buttons, and the script that writes it.

The page's scripts run in node (tests/page.js), and once in Chromium where there is one.
"""

import base64
import io
from types import SimpleNamespace

import part2.explore
import part2.networks.walks
from common.cli import UserError
from common.files import read_json
from common.find import PRETRAINED
from part2.explore import build_page, explore, fold, parse_args
from part2.gan import Generator
from part2.judges.networks import load_classifier
from part2.networks.trained import load_generator
from part2.networks.walks import draw_and_read, find_ends, lerp, path_through
from tests.page import ask, ask_chromium, assert_needs_nothing_but_itself, model_of, needs_chromium, needs_node

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

# Each step is done, then it is told what the page shows; `alike` says that the picture is G(z).
FOLLOW = """
function follow(steps) {
  const key = (name) => page.pad.onkeydown({ key: name, preventDefault() {} });
  const point = (event, x, y) => page.pad["onpointer" + event]({ clientX: 10 + 2 * x, clientY: 20 + 2 * y });
  const choose = (digit) => page.digits.children[digit].onclick(), canvas = document.createElement("canvas");
  return steps.map((step) => {
    eval(step);
    const z = mix(weights, chosen.map((digit) => ends[digit][which[digit]]));
    paint(canvas, draw(z));
    const { "aria-valuetext": said, "aria-valuenow": now } = page.pad.attributes;
    const alike = page.picture.grey.join() === canvas.grey.join();
    return { chosen, weights, z: [...z], which: [...which], said, now, alike };
  });
}"""


def grey(images: torch.Tensor) -> torch.Tensor:
    """As common/figures.py draws them."""
    return images.detach().add(1).mul(127.5).round().clamp(0, 255).flatten(1).int()


def walk_in_pytorch(page, points: list[torch.Tensor]) -> torch.Tensor:
    """The grey images (n, 784) of interpolate.py's walk through latent points."""
    return grey(page.generator(path_through(points, lerp, torch.linspace(0, 1, 11))))


def start(folder, *flags):
    return explore(parse_args(["--run", str(PRETRAINED / "generator"), "--out_dir", str(folder), *flags]))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The pretrained generator's page, the latent points in it and those expected, the networks that it stands for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part2.networks.walks, "DRAWS", 2000)
        path = start(tmp_path_factory.mktemp("page") / "a page", "--seed", "6", "--device", "cpu") / "explore.html"
        generator, classifier = load_generator(PRETRAINED / "generator"), load_classifier()
        expected = find_ends(*draw_and_read(generator, classifier, 6), list(range(10)))
    numbers = model_of(path.read_text("utf-8"))["ends"]
    ends = [torch.tensor(np.stack([np.frombuffer(base64.b64decode(z), "<f4") for z in points])) for points in numbers]
    return SimpleNamespace(path=path, ends=ends, expected=expected, generator=generator, classifier=classifier)


@needs_node
def test_the_page_draws_and_reads_what_pytorch_does(page):
    """Within one of 255 grey levels, and 1e-3 of a probability, for 40 random z."""
    z = torch.randn(40, page.generator.latent_dim, generator=torch.Generator().manual_seed(1))
    function = "(points) => points.map((z) => (paint(page.picture, draw(z)), [page.picture.grey, [...read(draw(z))]]))"
    pixels, probability = map(torch.tensor, zip(*ask(page.path, function, z.tolist()), strict=True))
    images = page.generator(z)
    assert (pixels - grey(images)).abs().max() <= 1
    assert (probability - page.classifier.read(images)).abs().max() < 1e-3


def test_folding_leaves_the_generator_as_it_was():
    """In float64, with averages and scales as they are after training: not 0 and 1."""
    torch.manual_seed(0)
    generator = Generator(8).double().eval()
    for layer in generator.layers:
        if isinstance(layer, nn.BatchNorm1d):
            for numbers in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                nn.init.uniform_(numbers, 0.1, 3)
    h = z = torch.randn(20, 8, dtype=torch.float64)
    *hidden, (last, bias) = fold(generator)
    for weight, b in hidden:
        h = nn.functional.leaky_relu(h @ weight.T + b, 0.2)
    torch.testing.assert_close((h @ last.T + bias).tanh(), generator(z).flatten(1), rtol=0, atol=1e-12)


def test_every_digit_has_at_most_eight_latent_points_and_the_page_needs_nothing_but_itself(page):
    result = read_json(page.path.with_name("result.json"))
    assert result["generator"] == "outputs/pretrained/generator"
    assert result["ends"] == {str(digit): len(points) for digit, points in enumerate(page.ends)}
    assert all(torch.equal(points, page.expected[digit][:8]) for digit, points in enumerate(page.ends))
    assert {path.name for path in page.path.parent.glob("[!.]*")} == {"config.json", "result.json", "explore.html"}
    assert_needs_nothing_but_itself(page.path.read_text("utf-8"))


@needs_node
def test_keys_pointer_and_buttons_move_the_point_and_change_the_digits(page):
    """After each step: the digits, their weights, z, and that what is drawn is G(z). A key moves by 2 of 46."""
    d = 2 / 46
    steps = [
        ("", [9, 3, 2], [1 / 3, 1 / 3, 1 / 3]),
        ("key('Home')", [9, 3, 2], [1, 0, 0]),
        ("key('ArrowRight')", [9, 3, 2], [1 - d, 0, d]),
        ("key('End'); point('move', 27, 67)", [9, 3, 2], [0, 0, 1]),  # nothing is pressed yet
        ("point('down', 27, 67)", [9, 3, 2], [1, 0, 0]),
        ("point('move', 71.5, 41.25)", [9, 3, 2], [0, 0.5, 0.5]),  # to the right of it, at right angles to that edge
        ("point('move', 50, 80)", [9, 3, 2], [0.5, 0, 0.5]),  # below the triangle
        ("choose(7)", [9, 7, 2], [0.5, 0, 0.5]),
        ("choose(7); choose(2)", [9, 2], [0.5, 0.5]),  # two remain
        ("point('move', 38.5, 60)", [9, 2], [0.75, 0.25]),  # beside the line
        ("point('move', 10, 36); key('ArrowUp')", [9, 2], [1 - d, d]),  # beyond its end
        ("page.end0.onclick()", [9, 2], [1 - d, d]),  # another 9
        ("choose(5)", [9, 2, 5], [1 - d, d, 0]),
    ]
    seen = ask(page.path, "follow", [step for step, *_ in steps], FOLLOW)
    for (step, chosen, weights), found in zip(steps, seen, strict=True):
        assert found["chosen"] == chosen and found["weights"] == pytest.approx(weights) and found["alike"], step
        assert int(found["now"]) == pytest.approx(100 * weights[-1], abs=0.5)  # grows to the right, as a slider's must
        ends = torch.stack([page.ends[digit][found["which"][digit]] for digit in chosen])
        torch.testing.assert_close(torch.tensor(found["z"]), torch.Tensor(found["weights"]) @ ends)
    assert [sum(found["which"]) for found in seen] == [0] * 11 + [1, 1]
    assert seen[1]["said"].startswith("9: 100 %, 3: 0 %, 2: 0 %; read as 9, ")


@needs_node
def test_digits_that_the_generator_does_not_draw_are_left_out(tmp_path, page):
    ends = {3: page.ends[3][:1], 4: page.ends[4]}
    (tmp_path / "few.html").write_text(build_page(page.generator, page.classifier, ends), encoding="utf-8")
    buttons = "() => [...page.digits.children, page.end0, page.end1].map((button) => button.disabled)"
    disabled = [digit not in (3, 4) for digit in range(10)] + [True, False]  # there is no other 3
    assert ask(tmp_path / "few.html", buttons) == disabled


@needs_node
def test_the_strip_is_of_the_latent_points_in_use(page):
    """Of another 9 than the first, and not of where the point stands. Each pixel is 8 × 8, two between the images."""
    ((name, picture),) = ask(page.path, "() => { page.end0.onclick(); page.png.onclick(); return saved; }").items()
    expected = walk_in_pytorch(page, [page.ends[9][1], page.ends[3][0], page.ends[2][0]])
    x, y, found = zip(*picture["images"], strict=True)
    assert name == "walk-9-3-2.png" and (x, y) == (tuple(range(0, 21 * 30, 30)), (0,) * 21)
    assert (picture["width"], picture["height"], picture["scale"]) == (8 * (21 * 30 - 2), 8 * 28, 8)
    assert (torch.tensor(found) - expected).abs().max() <= 1


@needs_chromium
def test_chromium_saves_the_strip_that_pytorch_draws(page):
    function = """() => {
      const saved = [];
      HTMLAnchorElement.prototype.click = function () { saved.push(this.download, this.href); };
      page.digits.children[9].click();
      page.png.click();
      return saved;
    }"""
    name, address = ask_chromium(page.path, function)
    strip = Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,")))).convert("L")
    expected = walk_in_pytorch(page, [page.ends[3][0], page.ends[2][0]]).view(-1, 28, 28)
    assert name == "walk-3-2.png" and strip.size == (8 * (11 * 30 - 2), 8 * 28)
    assert (torch.tensor(np.array(strip))[::8, ::8][:, 300:].int() - expected[10]).abs().max() <= 1


def test_digits_that_are_missing_are_named_and_one_digit_is_too_few(tmp_path, monkeypatch, capsys):
    reads = torch.eye(10)[[7, 1]].repeat(100, 1)
    monkeypatch.setattr(part2.explore, "draw_and_read", lambda *of: (torch.zeros(len(reads), 100), reads))
    start(tmp_path / "my page")
    out = capsys.readouterr().out
    assert (
        "none of the digits 0, 2, 3, 4, 5, 6, 8, 9;" in out and (tmp_path / "my page" / "explore.html").as_uri() in out
    )
    reads = reads[::2]
    with pytest.raises(UserError, match="reads all of 100 images as a 7; train it for longer"):
        start(tmp_path / "another")
