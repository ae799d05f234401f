"""The page that runs the generator: its numbers beside PyTorch's, its keys and buttons, and the script that writes it.

The page's scripts run in node (tests/page.js), and once in Chromium where there is one.
"""

import base64
import io
import json
from pathlib import Path
from types import SimpleNamespace

import part2.explore
import part2.networks.walks
from common import seeds
from common.cli import UserError
from common.files import read_json
from common.find import PRETRAINED
from part2.explore import RATE, build_page, explore, fold, parse_args
from part2.gan import Generator
from part2.judges.networks import load_classifier
from part2.networks.inverse import WEIGHT
from part2.networks.trained import load_generator
from part2.networks.walks import draw_and_read, find_ends, lerp, path_through
from tests.page import ask, ask_chromium, assert_needs_nothing_but_itself, model_of, needs_chromium, needs_node

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

# Each step is done, then it is told what the page shows; `alike` says that the picture is G(z). `finish` does all jobs.
FOLLOW = """
const finish = () => { while (busy) frame(0); };
function follow(steps) {
  const key = (name) => page.pad.onkeydown({ key: name, preventDefault() {} });
  const to = (element, type, x, y) => page[element]["onpointer" + type](
    { type: "pointer" + type, clientX: 10 + 2 * x, clientY: 20 + 2 * y });
  const go = (hash) => { location.hash = hash; onhashchange(); }, canvas = document.createElement("canvas");
  const corner = (k) => page["corner" + k].onclick(), press = (digit) => page.digits.children[digit].onclick();
  return steps.map((step) => {
    eval(step);
    const z = mix(weights, corners.map(point));
    paint(canvas, draw([z])[0]);
    const { "aria-valuetext": said, "aria-valuenow": now } = page.pad.attributes;
    const pressed = page.digits.children.findIndex((button) => button.attributes["aria-pressed"] === "true");
    return { digits: corners.map(name), which: corners.map(({ which }) => which), weights, z: [...z], said, now,
      pressed, play: page.play.textContent, alike: page.picture.grey.join() === canvas.grey.join() };
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


def conditional(folder) -> tuple[Path, Generator]:
    """The page of a random generator with signs, labels and an odd number of latent numbers; its digits are 3 and 4."""
    torch.manual_seed(2)
    generator = Generator(7, signs=2, labels=10).eval()
    z = generator.draw(5, torch.Generator().manual_seed(0))
    (folder / "few.html").write_text(build_page(generator, load_classifier(), {3: z[:1], 4: z[1:]}, 6, ""), "utf-8")
    return folder / "few.html", generator


@pytest.fixture(params=["pretrained", "conditional"])
def either(request, page, tmp_path) -> tuple[Path, Generator]:
    return conditional(tmp_path) if request.param == "conditional" else (page.path, page.generator)


@needs_node
def test_the_page_draws_and_reads_what_pytorch_does(page, either):
    """Within one of 255 grey levels, and 1e-3 of a probability; for 11 random z, up to four at a time."""
    path, generator = either
    z = generator.draw(11, torch.Generator().manual_seed(1))
    function = """(points) => [0, 4, 8].flatMap((k) => draw(points.slice(k, k + 4))).map((image, k, images) =>
      (paint(page.picture, image), [page.picture.grey, [...read(images.slice(k, k + 3))[0]]]))"""
    pixels, probability = map(torch.tensor, zip(*ask(path, function, z.tolist()), strict=True))
    images = generator(z)
    assert (pixels - grey(images)).abs().max() <= 1
    assert (probability - page.classifier.read(images)).abs().max() < 1e-3


@needs_node
def test_the_page_finds_z_as_adam_does_in_pytorch(either):
    """From the four nearest of 40 latent points, in 20 steps; z is rounded to 1/32. Signs and labels do not change."""
    path, generator = either
    picture = generator(generator.draw(1, torch.Generator().manual_seed(3))).detach().flatten()
    function = """(picture) => {
      const few = model.search.candidates.slice(0, 40), four = weave(few.slice(0, 4)), x = Float32Array.from(picture);
      const search = find(x, { ...model.search, candidates: few, images: [], steps: 20 });
      for (var found; !(found = search.next()).done; );
      return [few, unweave(gradient(four, weave([x])).d), [found.value.z], [[found.value.off, found.value.nearest]]]
        .map((rows) => rows.map((row) => [...row]));
    }"""
    few, slopes, found, distances = map(torch.tensor, ask(path, function, picture.tolist()))
    drawn = generator.draw(1000, seeds.generator(6, "starts"))[:40]
    assert (few - drawn.clamp(-127 / 32, 127 / 32)).abs().max() <= 1 / 64

    def loss(z, weight):
        return (generator(z).flatten(1) - picture).square().sum() + weight * z.square().sum()

    z = few[:4].requires_grad_()
    (slope,) = torch.autograd.grad(loss(z, 0), z)
    torch.testing.assert_close(slopes, slope, rtol=1e-3, atol=1e-4 * slope.abs().max().item())
    nearest, index = (generator(few).flatten(1) - picture).norm(dim=1).topk(4, largest=False)
    z = few[index].detach().requires_grad_()
    optimizer = torch.optim.Adam([z], RATE)
    for _ in range(20):
        (z.grad,) = torch.autograd.grad(loss(z, WEIGHT), z)
        z.grad[:, : generator.signs] = z.grad[:, generator.latent_dim :] = 0
        optimizer.step()
    off = (generator(z).flatten(1) - picture).norm(dim=1)
    torch.testing.assert_close(distances[0], torch.stack([off.min(), nearest[0]]).detach(), rtol=0.02, atol=0)
    torch.testing.assert_close(found[0], z[off.argmin()].detach(), rtol=0, atol=1 / 64 + 1e-3)
    assert off.min() < nearest[0]


@needs_node
def test_a_drawing_gets_the_form_of_mnists_images(page):
    """Of any size and place: its longer side is 20 pixels, its centre of mass at (14.5, 14.5), its line 2.4 wide."""
    line, seven = [[[0, 0], [0, 9]]], [[[0, 0], [9, 0], [4, 9]], [[3, 4], [9, 4]]]
    larger = [[[40 + 3 * x, 7 + 3 * y] for x, y in stroke] for stroke in seven]
    drawn = ask(page.path, "(all) => all.map((strokes) => [...centre(strokes)])", [line, seven, larger, [[[5, 5]]]])
    line, seven, larger, spot = (torch.tensor(drawn).view(4, 28, 28) + 1) / 2
    row = torch.tensor([0.7, 1, 0.7])  # at 14.5, the middle of a pixel; beside it 1.2 + 0.5 − 1
    torch.testing.assert_close(line[8:21, 13:16], row.expand(13, 3))
    assert line[:, :13].sum() == line[:, 16:].sum() == 0 and line[:4].sum() == line[25:].sum() == 0
    torch.testing.assert_close(seven, larger, rtol=0, atol=1e-5)
    for light in (image.sum(axis) for image in (line, seven, spot) for axis in (0, 1)):
        assert (light * (torch.arange(28) + 0.5)).sum() / light.sum() == pytest.approx(14.5, abs=0.1)
    assert all(seven.sum(axis).count_nonzero() in (20, 21) for axis in (0, 1))


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
    html = page.path.read_text("utf-8")
    assert_needs_nothing_but_itself(html)
    assert "trained for 200 epochs by the recipe improved on 60,000 images of MNIST. They" in model_of(html)["about"]


@needs_node
def test_keys_pointer_and_buttons_move_the_point_and_change_the_digits(page):
    """After each step: digits, weights, the digit that is pressed, z; what is drawn is G(z). A key moves by 2 of 74."""
    d = 2 / 74
    steps = [
        ("", [9, 3, 2], [1 / 3, 1 / 3, 1 / 3], 9),
        ("key('Home')", [9, 3, 2], [1, 0, 0], 9),
        ("key('ArrowRight')", [9, 3, 2], [1 - d, 0, d], 9),
        ("key('End'); to('pad', 'move', 13, 78)", [9, 3, 2], [0, 0, 1], 9),  # nothing is pressed yet
        ("to('pad', 'down', 13, 78)", [9, 3, 2], [1, 0, 0], 9),
        ("to('pad', 'move', 50, 46.5)", [9, 3, 2], [0.25, 0.5, 0.25], 9),
        ("to('pad', 'move', 50, 99)", [9, 3, 2], [0.5, 0, 0.5], 9),  # below the triangle
        ("press(9)", [9, 3, 2], [0.5, 0, 0.5], 9),  # another 9
        ("corner(2); press(7)", [9, 3, 7], [0.5, 0, 0.5], 7),
        ("press(9); press(9); press(9)", [9, 3, 9], [0.5, 0, 0.5], 9),  # the third of them
        ("page.play.onclick(); frame(began + 500)", [9, 3, 9], [0.75, 0.25, 0], 9),  # a leg takes two seconds
        ("frame(began + 3000)", [9, 3, 9], [0, 0.5, 0.5], 9),
        ("key('Home')", [9, 3, 9], [1, 0, 0], 9),  # a move stops it
        ("page.play.onclick(); play(began + 4001)", [9, 3, 9], [0, 0, 1], 9),  # it is over
    ]
    seen = ask(page.path, "follow", [step for step, *_ in steps], FOLLOW)
    for (step, digits, weights, pressed), found in zip(steps, seen, strict=True):
        assert found["digits"] == digits and found["weights"] == pytest.approx(weights) and found["alike"], step
        assert int(found["now"]) == pytest.approx(100 * weights[-1], abs=0.5) and found["pressed"] == pressed, step
        ends = torch.stack([page.ends[digit][k] for digit, k in zip(digits, found["which"], strict=True)])
        torch.testing.assert_close(torch.tensor(found["z"]), torch.Tensor(found["weights"]) @ ends)
        assert found["play"] == ("Stop" if "frame" in step else f"Play {' → '.join(map(str, digits))}")
    assert [found["which"] for found in seen] == [[0, 0, 0]] * 7 + [[1, 0, 0]] * 2 + [[1, 0, 2]] * 5
    assert seen[1]["said"].startswith("9: 100 %, 3: 0 %, 2: 0 %; read as 9, ")


@needs_node
def test_the_triangle_says_what_is_read_where(page):
    """Each digit on it stands where PyTorch reads it, well inside, and the shares are those of 325 places."""
    function = "() => (finish(), [page.map.texts, page.map.width, page.shares.textContent, page.middle.textContent])"
    texts, width, shares, middle = ask(page.path, function, tools=FOLLOW)
    places = torch.tensor([(i, j, 24 - i - j) for i in range(25) for j in range(25 - i)]) / 24
    corners = torch.stack([page.ends[digit][0] for digit in (9, 3, 2)])
    reads = page.classifier.read(page.generator(places @ corners)).argmax(1)
    counts = dict(enumerate(reads.bincount().tolist()))
    parts = (f"{digit}: {100 * count / 325:.0f} %" for digit, count in counts.items() if count)
    assert shares == "Read in the triangle: " + ", ".join(parts)
    assert {int(digit) for digit, *_ in texts} == {digit for digit in counts if counts[digit] > 2}
    on_canvas = places @ (torch.tensor([[13.0, 78], [50, 15], [87, 78]]) * width / 100)
    for digit, x, y in texts:  # with the six places around it
        assert set(reads[(on_canvas - torch.tensor([x, y])).norm(dim=1) < width / 25].tolist()) == {int(digit)}
    reads = reads[(places - 1 / 3).norm(dim=1).argmin()]
    assert middle == f"half way between a 9, a 3 and a 2 stands {'an' if reads == 8 else 'a'} {reads}."


@needs_node
def test_a_digit_that_is_drawn_is_found_and_becomes_a_corner_that_the_address_keeps(page):
    steps = [
        "Object.assign(model.search, { candidates: model.search.candidates.slice(0, 40), steps: 5 }); corner(1)",
        "to('sheet', 'down', 50, 10); to('sheet', 'move', 50, 90); page.sheet.onlostpointercapture(); finish()",
        "corner(0); press(10); globalThis.sent = toAddress(); press(4); ends[10] = []; corners[1].digit = 3; arrange()",
        "go(sent)",
    ]
    _, found, _, again = ask(page.path, "follow", steps, FOLLOW)
    assert found["digits"] == [9, "mine", 2] and found["weights"] == [0, 1, 0] and found["alike"]
    assert again["digits"] == ["mine", "mine", 2] and again["z"] == found["z"] and again["alike"]


@needs_node
def test_an_address_is_followed_as_far_as_it_can_be(page):
    """Nothing that is wrong changes the page, and no error comes of it."""
    good, opening, middle = "#seed=6&corners=1.2_0.0_7.1&at=50.00_46.50&mine=", ([9, 3, 2], [0, 0, 0]), [1 / 3] * 3
    cases = dict.fromkeys([good, good + "A" * 136, good + "%E0%A4%A"], (([1, 0, 7], [2, 0, 1]), [0.25, 0.5, 0.25]))
    corners, points = ["1.8", "10.0", "length.0", "1.2_1.2", ""], ["NaN", "1e400", "x"]
    cases |= dict.fromkeys([good.replace("1.2", wrong) for wrong in corners], (opening, [0.25, 0.5, 0.25]))
    cases |= dict.fromkeys([good.replace("50.00", wrong) for wrong in points], (([1, 0, 7], [2, 0, 1]), middle))
    cases |= dict.fromkeys([good.replace("seed=6", "seed=7"), "#", "#%%%&corners", "#seed=6"], (opening, middle))
    begin = "[corners, weights] = [[9, 3, 2].map((digit) => ({ digit, which: 0 })), MIDDLE]; go"
    seen = ask(page.path, "follow", [f"{begin}({json.dumps(hash)})" for hash in cases], FOLLOW)
    for (hash, expected), found in zip(cases.items(), seen, strict=True):
        assert (found["digits"], found["which"]) == expected[0] and found["alike"], hash
        assert found["weights"] == pytest.approx(expected[1]), hash


@needs_node
def test_digits_that_the_generator_does_not_draw_are_left_out(tmp_path):
    path, _ = conditional(tmp_path)
    function = "() => [page.digits.children.map((button) => button.disabled), corners.map(name)]"
    assert ask(path, function) == [[digit not in (3, 4) for digit in range(11)], [3, 4, 3]]


@needs_node
def test_the_strip_is_of_the_latent_points_in_use(page):
    """Of another 9 than the first, and not of where the point is. Each pixel is 8 × 8, two between the images."""
    ((name, picture),) = ask(page.path, "() => { choose(9); page.png.onclick(); return saved; }").items()
    expected = walk_in_pytorch(page, [page.ends[9][1], page.ends[3][0], page.ends[2][0]])
    x, y, found = zip(*picture["images"], strict=True)
    assert name == "walk-9-3-2.png" and (x, y) == (tuple(range(0, 21 * 30, 30)), (0,) * 21)
    assert (picture["width"], picture["height"], picture["scale"]) == (8 * (21 * 30 - 2), 8 * 28, 8)
    assert (torch.tensor(found) - expected).abs().max() <= 1


@needs_chromium
def test_chromium_saves_the_strip_that_pytorch_draws(page):
    keep = "HTMLAnchorElement.prototype.click = function () { globalThis.file = [this.download, this.href]; };"
    function = f"() => {{ {keep} page.digits.children[7].click(); page.png.click(); return file; }}"
    name, address = ask_chromium(page.path, function)
    strip = Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,")))).convert("L")
    expected = walk_in_pytorch(page, [page.ends[digit][0] for digit in (7, 3, 2)]).view(-1, 28, 28)
    assert name == "walk-7-3-2.png" and strip.size == (8 * (21 * 30 - 2), 8 * 28)
    assert (torch.tensor(np.array(strip))[::8, ::8][:, 600:].int() - expected[20]).abs().max() <= 1


def test_digits_that_are_missing_are_named_and_one_digit_is_too_few(tmp_path, monkeypatch, capsys):
    reads = torch.eye(10)[[7, 1]].repeat(100, 1)
    monkeypatch.setattr(part2.explore, "draw_and_read", lambda *of: (torch.zeros(len(reads), 100), reads))
    folder = start(tmp_path / "my page")
    out = capsys.readouterr().out
    assert "none of the digits 0, 2, 3, 4, 5, 6, 8, 9;" in out and (folder / "explore.html").as_uri() in out
    reads = reads[::2]  # the 7s
    with pytest.raises(UserError, match="reads all of 100 images as a 7; train it for longer"):
        start(tmp_path / "another")
