"""The page that runs the generator: its numbers beside PyTorch's, its keys and buttons, and the script that writes it.

The page's scripts run in node (tests/page.js).
"""

import base64
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import nn

import part2.explore
import part2.walks
from common import checkpoint
from common.files import read_json
from common.runs import PRETRAINED
from part2.classifier import CONFIDENT, load_classifier
from part2.explore import build_page, explore, fold, parse_args
from part2.networks import Generator, load_generator
from part2.rejection import jacobian_size
from part2.walks import draw_and_read, find_ends, lerp, path_through
from tests.page import ask, assert_needs_nothing_but_itself, model_of, needs_chromium, needs_node, selftest

# What tests ask: each step is done, then it is told what the page shows.
FOLLOW = """
function follow(steps) {
  const key = (name) => pad.onkeydown({ key: name, preventDefault() {} });
  const point = (event, x, y) => pad["onpointer" + event]({ clientX: 10 + 2 * x, clientY: 20 + 2 * y });
  return steps.map((step) => {
    eval(step);
    const z = latent(weights), alike = picture.grey.join() === generate(z).join();
    const said_of = (k) => digits.children[k].attributes["aria-disabled"];
    const idle = Object.keys(digits.children).filter((k) => said_of(k) === "true");
    const { "aria-valuetext": said, "aria-valuenow": now } = pad.attributes;
    return { chosen, weights, z: [...z], which: [...which], alike, said, now, idle };
  });
}"""


def grey(images: torch.Tensor) -> torch.Tensor:
    """As common/figures.py draws them."""
    return images.detach().add(1).mul(127.5).round().clamp(0, 255).flatten(1).int()


def open_saved(address: str) -> Image.Image:
    """What a page saves, from its address."""
    return Image.open(io.BytesIO(base64.b64decode(re.fullmatch(r"data:image/\w+;base64,(.*)", address).group(1))))


def shrink(picture: Image.Image) -> torch.Tensor:
    """Its greys, (height / 8, width / 8): each stands there 8 × 8 times."""
    large = torch.tensor(np.array(picture.convert("RGB"))).int()
    small = large[::8, ::8, 0]
    assert torch.equal(large, small.repeat_interleave(8, 0).repeat_interleave(8, 1).unsqueeze(2).expand(-1, -1, 3))
    return small


def frames_of(gif: Image.Image) -> torch.Tensor:
    assert gif.format == "GIF" and gif.info["loop"] == 0  # for ever
    return torch.stack([shrink(frame) for frame in ImageSequence.Iterator(gif)])


def walk_in_pytorch(page, points: list[torch.Tensor]) -> torch.Tensor:
    """The grey images (n, 28, 28) of interpolate.py's walk through latent points."""
    return grey(page.generator(path_through(points, lerp, torch.linspace(0, 1, 11)))).view(-1, 28, 28)


def there_and_back(images: torch.Tensor) -> torch.Tensor:
    return torch.cat([images, images.flip(0)[1:-1]])


def start(folder, *flags):
    of = ["--run", PRETRAINED / "generator", "--device", "cpu", "--out_dir", folder, *flags]
    return explore(parse_args(list(map(str, of))))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The pretrained generator's page, the latent points in it and those expected, the networks that it stands for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part2.walks, "DRAWS", 2000)
        path = start(tmp_path_factory.mktemp("page") / "a page", "--seed", 6) / "explore.html"
        generator, classifier = load_generator(PRETRAINED / "generator"), load_classifier()
        expected = find_ends(*draw_and_read(generator, classifier, 6), list(range(10)))
    html = path.read_text(encoding="utf-8")
    numbers = [[np.frombuffer(base64.b64decode(z), "<f4") for z in points] for points in model_of(html)["ends"]]
    ends = [torch.tensor(np.stack(points)) for points in numbers]
    of = {"path": path, "html": html, "ends": ends, "expected": expected}
    return SimpleNamespace(**of, generator=generator, classifier=classifier)


@needs_node
def test_the_page_draws_and_reads_what_pytorch_does(page):
    """Within one of 255 grey levels, and 1e-3 of a probability, for 40 random z."""
    z = torch.randn(40, page.generator.latent_dim, generator=torch.Generator().manual_seed(1))
    function = "(points) => points.map((z) => [[...generate(z)], [...read(draw(z))]])"
    pixels, probability = map(torch.tensor, zip(*ask(page.path, function, z.tolist()), strict=True))
    images = page.generator(z)
    assert (pixels - grey(images)).abs().max() <= 1
    assert (probability - page.classifier.read(images)).abs().max() < 1e-3


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


def test_every_digit_has_at_most_eight_latent_points_that_are_read_as_it(page):
    result = read_json(page.path.with_name("result.json"))
    assert result["ends"] == {str(digit): len(points) for digit, points in enumerate(page.ends)}
    for digit, points in enumerate(page.ends):
        assert torch.equal(points, page.expected[digit][:8])  # of the seed named
        assert (page.classifier.read(page.generator(points))[:, digit] >= CONFIDENT - 1e-4).all()


@needs_node
def test_keys_pointer_and_buttons_move_the_point_and_change_the_digits(page):
    """After each step: the digits, their weights, z, and that what is drawn is G(z). A key moves by 2 of 46."""
    d = 2 / 46
    steps = [
        ("", [9, 3, 2], [1 / 3, 1 / 3, 1 / 3]),
        ("key('Home')", [9, 3, 2], [1, 0, 0]),
        ("key('ArrowRight')", [9, 3, 2], [1 - d, 0, d]),
        ("key('End')", [9, 3, 2], [0, 0, 1]),
        ("point('move', 27, 67)", [9, 3, 2], [0, 0, 1]),  # nothing is pressed yet
        ("point('down', 27, 67)", [9, 3, 2], [1, 0, 0]),
        ("point('move', 50, 80)", [9, 3, 2], [0.5, 0, 0.5]),  # below the triangle
        ("point('move', 71.5, 41.25)", [9, 3, 2], [0, 0.5, 0.5]),  # to the right of it, at right angles to that edge
        ("point('move', 50, 0)", [9, 3, 2], [0, 1, 0]),  # above it
        ("digits.children[7].onclick()", [7, 3, 2], [0, 1, 0]),
        ("digits.children[7].onclick()", [3, 2], [0.5, 0.5]),
        ("digits.children[2].onclick()", [3, 2], [0.5, 0.5]),  # two remain
        ("point('move', 38.5, 60)", [3, 2], [0.75, 0.25]),  # beside the line
        ("point('move', 10, 36)", [3, 2], [1, 0]),  # beyond its end
        ("key('ArrowUp')", [3, 2], [1 - d, d]),
        ("buttons[0].onclick()", [3, 2], [1 - d, d]),  # another 3
        ("digits.children[5].onclick()", [3, 2, 5], [1 - d, d, 0]),
    ]
    seen = ask(page.path, "follow", [step for step, *_ in steps], FOLLOW)
    for (_, chosen, weights), found in zip(steps, seen, strict=True):
        assert found["chosen"] == chosen and found["weights"] == pytest.approx(weights) and found["alike"]
        assert int(found["now"]) == pytest.approx(100 * weights[-1], abs=0.5)  # grows to the right, as a slider's must
        assert found["idle"] == (sorted(map(str, chosen)) if len(chosen) == 2 else [])
        ends = torch.stack([page.ends[digit][found["which"][digit]] for digit in chosen])
        torch.testing.assert_close(torch.tensor(found["z"]), torch.Tensor(found["weights"]) @ ends)
    assert [sum(found["which"]) for found in seen] == [0] * 15 + [1, 1]
    assert seen[1]["said"].startswith("9: 100 %, 3: 0 %, 2: 0 %; read as 9, ")


@needs_node
def test_digits_that_the_generator_does_not_draw_are_left_out(tmp_path, page):
    ends = {3: page.ends[3][:1], 4: page.ends[4]}
    (tmp_path / "few.html").write_text(build_page(page.generator, page.classifier, ends), encoding="utf-8")
    all_buttons = "[...digits.children, ...buttons.slice(0, 2)]"
    chosen, disabled = ask(tmp_path / "few.html", f"() => [chosen, {all_buttons}.map((button) => button.disabled)]")
    assert chosen == [3, 4]
    assert disabled == [digit not in (3, 4) for digit in range(10)] + [True, False]  # there is no other 3


@needs_node
def test_a_gif_holds_every_pixel(page):
    """Noise, which fills the table of codes; one grey alone, the longest runs; and every grey. To the last bit."""
    noise = torch.randint(256, (2, 784), generator=torch.Generator().manual_seed(2))
    images = torch.cat([noise, torch.zeros(1, 784, dtype=int), torch.arange(784).unsqueeze(0) % 256])
    gif = open_saved(ask(page.path, "gifAddress", images.tolist()))
    assert gif.size == (224, 224)
    assert torch.equal(frames_of(gif), there_and_back(images.view(-1, 28, 28).int()))
    waits = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
    assert waits == [600] + 5 * [120]


@needs_node
def test_codes_of_three_alike_pixels_as_by_hand(page):
    """Clear, 7, the run 7 7, end: of 9 bits each, the first lowest."""
    codes = sum(code << 9 * k for k, code in enumerate([256, 7, 258, 257]))
    assert ask(page.path, "(pixels) => compress(Uint8Array.from(pixels))", [7, 7, 7]) == [*codes.to_bytes(5, "little")]


@needs_node
def test_the_gif_saved_is_of_the_latent_points_in_use(page):
    """Of another 9 than the first, and not of where the point stands."""
    function = """() => {
      const link = { click() {} };
      document.createElement = () => link;
      buttons[0].onclick();
      gif.onclick();
      return [link.download, link.href];
    }"""
    name, address = ask(page.path, function)
    expected = walk_in_pytorch(page, [page.ends[9][1], page.ends[3][0], page.ends[2][0]])
    found = frames_of(open_saved(address))
    assert name == "walk-9-3-2.gif" and len(found) == 40
    assert (found - there_and_back(expected)).abs().max() <= 1


@needs_chromium
def test_chromium_saves_the_walks_that_pytorch_draws_as_gif_and_as_strip(page, tmp_path):
    """Through three digits and through two, within one grey level; between the images of a strip, two pixels of 160."""
    shown = selftest(page.path, tmp_path / "profile")
    assert shown["scrollWidth"] <= shown["clientWidth"]
    names = ["walk-9-3-2.gif", "walk-9-3-2.png", "walk-3-2.gif", "walk-3-2.png"]
    assert list(shown["saved"]) == names
    for name, address in shown["saved"].items():
        expected = walk_in_pytorch(page, [page.ends[int(digit)][0] for digit in re.findall(r"\d", name)])
        picture = open_saved(address)
        if name.endswith("gif"):
            found, expected = frames_of(picture), there_and_back(expected)
        else:
            assert picture.format == "PNG"
            columns = nn.functional.pad(shrink(picture), (0, 2), value=160).view(28, -1, 30).transpose(0, 1)
            found = columns[:, :, :28]
            assert (columns[:, :, 28:] == 160).all()
        assert found.shape == expected.shape
        assert (found - expected).abs().max() <= 1


def test_the_page_needs_nothing_but_itself(page):
    assert {path.name for path in page.path.parent.glob("[!.]*")} == {"config.json", "result.json", "explore.html"}
    assert_needs_nothing_but_itself(page.html)


def test_rejection_leaves_out_latent_points_before_the_ends_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(part2.walks, "DRAWS", 200)
    asked = []
    monkeypatch.setattr(part2.explore, "draw_and_read", lambda *of: asked.append(of) or draw_and_read(*of))
    start(tmp_path / "page", "--reject", "jacobian", "--reject_share", 0.5, "--seed", 3)
    ((generator, _, seed, rejection),) = asked
    z = torch.randn(4, 100)
    assert (seed, rejection.share) == (3, 0.5)
    torch.testing.assert_close(rejection.scores[0](z), -jacobian_size(generator, z))


def test_where_the_page_lies_is_printed_or_what_is_wrong(tmp_path, monkeypatch, capsys, mistake):
    monkeypatch.setattr(part2.walks, "DRAWS", 200)
    monkeypatch.chdir(tmp_path)
    start("my page")
    assert (tmp_path / "my page" / "explore.html").as_uri() in capsys.readouterr().out
    assert "--run none.pt: there is no such run" in mistake(part2.explore, "--run", "none.pt")
    always = {name: torch.zeros_like(value) for name, value in Generator(8).state_dict().items()}
    checkpoint.save(tmp_path / "one.pt", "GAN", {"latent_dim": 8, "width": 1, "generator": always})
    nothing_to_mix = mistake(part2.explore, "--run", "one.pt")
    assert re.search(r"one\.pt: the classifier reads all of 200 images as a \d;", nothing_to_mix)
