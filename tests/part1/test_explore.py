"""The page that runs LSTMs: its numbers, its greedy attack and its sets beside PyTorch's, what is typed, the address,
keys and pointer, and the script.

The page's scripts run in node (tests/page.js), and once in Chromium where there is one.
"""

import re
from pathlib import Path
from types import SimpleNamespace

from common.cli import UserError
from common.files import read_json
from common.find import PRETRAINED
from common.pages import build
from part1 import explore
from part1.explore import TEMPLATE, describe, parse_args
from part1.lstm import LSTM
from part1.networks.by_name import to_torch
from part1.networks.traces import explained, trace
from part1.networks.trained import Trained, load_lstm
from part1.palindromes import ENCODINGS
from part1.proof.attack import attack
from part1.proof.certificate import certify
from part1.tasks.tasks import PALINDROME
from tests.page import ask, ask_chromium, assert_needs_nothing_but_itself, model_of, needs_chromium, needs_node

import pytest
import torch

# All that the page computes of the digits, a row for each step; and what it keeps of it, in float32.
READ = """
function readAll(digits) {
  const { network } = story.readings[0], rows = { h: [], c: [], gates: [], answers: [] };
  let state = blankState(network);
  for (const digit of digits) {
    state = step(network, digit, state);
    const all = { ...state, answers: softmax(answer(network, state.h)) };
    for (const name in rows) rows[name].push([...all[name]]);
  }
  const [{ margins, said }] = advance(put(begin([network]), digits)).readings, n = digits.length;
  return { rows, margins: [...margins.subarray(0, n)], said: [...said.subarray(0, n)] };
}"""
# Each step is done, then it is told what the page shows. The row of digits is 458 wide: 20 columns of 20.
FOLLOW = """
function follow(steps) {
  const key = (...names) => names.forEach((name) => page.pad.onkeydown({ key: name, preventDefault() {} }));
  const to = (element, x) => ({ clientX: 10 + x, pointerId: 1 });
  const paintOn = (...xs) => xs.forEach((x, k) =>
    page.tape[k ? "onpointermove" : "onpointerdown"](to(page.tape, GUTTER + x)));
  const write = (text) => { page.text.value = text; page.text.oninput(); };
  const choose = (name) => { page.attack.value = name; page.attack.onchange(); };
  page.tape.clientWidth = 458;
  return steps.map((step) => {
    eval(step);
    const { "aria-valuenow": now, "aria-valuetext": value } = page.pad.attributes;
    return { at: Number(now), value, digits: story.digits.subarray(0, story.last).join(""), text: page.text.value,
      wrong: page.wrong.textContent, sentence: page.sentence.textContent, address: toAddress(story, at) };
  });
}"""


def random_network(encoding: str = "one_hot", hidden: int = 20) -> Trained:
    torch.manual_seed(3)
    network = LSTM(ENCODINGS[encoding], hidden, 10)
    network.reset_parameters(50)
    network.fc.weight.data.mul_(5)
    return Trained(network, PALINDROME, encoding)


def latch() -> Trained:
    """A network made by hand that is proved: unit d says whether the first digit was d, and keeps its own sign."""
    network = LSTM(10, 10, 10)
    for parameter in network.parameters():
        parameter.data.zero_()
    network.bias.data.fill_(6)
    network.weight_ih.data[20:30], network.bias.data[20:30] = 6 * torch.eye(10), -3
    network.weight_hh.data[20:30] = 12 * torch.eye(10)
    network.fc.weight.data = torch.eye(10)
    return Trained(network, PALINDROME, "one_hot")


DIGITS = torch.randint(10, (500, 100), generator=torch.Generator().manual_seed(5))


def write(path: Path, *networks: Trained) -> Path:
    """The page of one network or two; it opens with 73113."""
    described = [describe(trained, Path("a run"), DIGITS) for trained in networks]
    path.write_text(build(TEMPLATE, {"networks": described, "digits": [7, 3, 1, 1, 3]}), encoding="utf-8")
    return path


def start(folder, *flags):
    of = ["--run", PRETRAINED / "lstm", "--device", "cpu", "--out_dir", folder, *flags]
    return explore.explore(parse_args(list(map(str, of))))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The pretrained network's page."""
    path = start(tmp_path_factory.mktemp("page") / "a page") / "explore.html"
    trained, html = load_lstm(PRETRAINED / "lstm"), path.read_text(encoding="utf-8")
    return SimpleNamespace(path=path, html=html, trained=trained, result=read_json(path.with_name("result.json")))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The page of a proved network, and a random one beside it."""
    return write(tmp_path_factory.mktemp("two") / "two.html", latch(), random_network())


GIVEN = {
    "one_hot": random_network,
    "scaled, few units": lambda: random_network("scaled", hidden=5),
    "pretrained": lambda: load_lstm(PRETRAINED / "lstm"),
}


@needs_node
@pytest.mark.parametrize("name", GIVEN)
def test_the_page_computes_what_pytorch_does_over_1000_digits_and_keeps_that(name, tmp_path):
    """Of every unit: h beside nn.LSTM's, all beside the equations', in float64; the probabilities in float32 too."""
    trained = GIVEN[name]()
    lstm, digits = trained.network, torch.randint(10, (1, 1000), generator=torch.Generator().manual_seed(1))
    x, path = trained.encode(digits), write(tmp_path / "page.html", trained)
    found = ask(path, "readAll", digits[0].tolist(), READ)
    rows = {key: torch.tensor(values, dtype=torch.float64) for key, values in found["rows"].items()}
    rows |= {gate: rows["gates"][:, k::4] for gate, k in (("i", 0), ("f", 1), ("o", 3))}
    with torch.no_grad():
        layer = to_torch(lstm)
        in_float32 = lstm.fc(layer(x)[0][0]).softmax(1)
        expected = {key: values[:, 0] for key, values in trace(lstm.double(), x.double()).items()}
        logits = lstm.fc(expected["h"])
        expected["answers"] = logits.softmax(1)
        torch.testing.assert_close(layer.double()(x.double())[0][0], rows["h"], rtol=0, atol=1e-9)
    for key, values in expected.items():
        torch.testing.assert_close(rows[key], values, rtol=0, atol=1e-9)
    torch.testing.assert_close(rows["answers"].float(), in_float32, rtol=0, atol=1e-4)
    assert expected["answers"].std() > 0.01 and expected["c"].abs().max() > 0.2
    first = digits[0, 0].item()
    others = logits.index_fill(1, torch.tensor([first]), -torch.inf).amax(1)
    torch.testing.assert_close(torch.tensor(found["margins"]), (logits[:, first] - others).float())
    assert found["said"] == logits.argmax(1).tolist()


@needs_node
@pytest.mark.parametrize("hidden", [5, 20, 40])
def test_the_greedy_attack_takes_the_digits_that_the_attack_in_pytorch_takes(hidden, tmp_path):
    """With one sequence the attack in PyTorch is greedy from the first digit on; it gives those up to the least."""
    trained = random_network(hidden=hidden)
    path, network = write(tmp_path / "page.html", trained), trained.network.double()
    found = attack(network, trained.symbols.double(), PALINDROME.automaton, 60, 1, torch.Generator())
    function = """([first, last]) => {
      const own = begin([story.readings[0].network]);
      [own.attack, own.last] = ["greedy", last];
      own.digits[0] = first;
      own.typed = 1;
      advance(own);
      return [[...own.digits.subarray(0, last)], own.readings[0].margins[last - 1]];
    }"""
    digits, margin = ask(path, function, [found.sequence[0], len(found.sequence)])
    assert digits == found.sequence and margin == pytest.approx(found.margin, abs=1e-5)


@needs_node
def test_a_proved_network_has_ten_sets_that_hold_its_states_and_are_drawn_no_smaller(two):
    """The states after 12 digits and more; the corners of each box in the plane, where the middles lie on a circle."""
    trained = latch()
    certificate = certify(trained.network, trained.symbols, PALINDROME.automaton)
    assert certificate.proved
    function = """(sequences) => {
      const { network } = story.readings[0], { sets, hidden, outlines, middles } = network;
      const own = sequences.map((digits) => states(advance(put(begin([network]), digits)).readings[0], digits, 1, 100));
      const slacks = own.map((all, k) => all.slice(11).map((state) => slack(network, sequences[k][0], state).by));
      const corners = outlines.map((points, digit) => Array.from({ length: 200 }, (_, seed) => place(network,
        Array.from({ length: hidden }, (_, k) => sets.h[Math.sin(seed * 99 + k) > 0 ? 1 : 0][digit * hidden + k]))));
      const moved = slack(network, 3, own[0][50]).by;
      return { slacks, corners, outlines, middles: [...middles], moved, margin: network.margin };
    }"""
    sequences = [[digit, *DIGITS[digit, 1:].tolist()] for digit in range(10)]
    found = ask(two, function, sequences)
    assert min(map(min, found["slacks"])) > 0 > found["moved"]
    assert found["margin"] == certificate.margin
    angle = torch.arange(10) * torch.pi / 5
    circle = torch.stack([angle.sin(), angle.cos()], dim=1)
    torch.testing.assert_close(torch.tensor(found["middles"]).view(10, 2), circle, rtol=0, atol=0.05)
    for corners, outline in zip(found["corners"], found["outlines"], strict=True):
        a = torch.tensor(outline, dtype=torch.float64)
        side, to = a.roll(-1, 0) - a, torch.tensor(corners, dtype=torch.float64).unsqueeze(1) - a
        assert (side[:, 0] * to[..., 1] - side[:, 1] * to[..., 0] > -1e-15).all()  # on its left: counterclockwise
        assert torch.tensor(corners)[:, 0].std() > 0.2 * a[:, 0].std() > 0


@needs_node
def test_what_is_proved_is_said_and_what_is_not_too(two, tmp_path):
    texts = """() => Object.fromEntries(["proof0", "near0", "seen0", "proof1", "near1", "seen1", "sentence"]
      .map((id) => [id, page[id].textContent]).concat([["sets", !page.close.hidden], ["two", !page.beside.hidden]]))"""
    proved = ask(two, texts)
    assert proved["proof0"].startswith("Proved: after every sequence") and "Not proved: after" in proved["proof1"]
    assert re.search(r"Margin now \d.*; proved: never below 1\.\d\d\. Inside the set of 7: .* off\.", proved["near0"])
    assert proved["sets"] and proved["two"] and "drawn to scale" in proved["seen0"] and "No sets" in proved["seen1"]
    assert re.match(r"After 40 digits the network says 7, the first digit; the one beside it says", proved["sentence"])
    entry = ask(two, "() => (show([7, 1]), page.near0.textContent)")
    assert entry.endswith("On its way into its set: the first 12 digits are proved one by one.")
    unproved = ask(write(tmp_path / "page.html", random_network()), texts)
    assert "Not proved: after" in unproved["proof0"] and "No sets" in unproved["seen0"]
    assert not unproved["sets"] and not unproved["two"]


@needs_node
@pytest.mark.parametrize(("position", "done"), [(0, 350), (49, 350), (50, 350), (349, 350), (200, 150), (5, 1)])
def test_a_changed_digit_is_read_on_from_there_and_ends_in_the_same_numbers(two, position, done):
    function = """([digits, position, done]) => {
      const networks = story.readings.map(({ network }) => network), last = digits.length;
      const own = put(advance(put(begin(networks), digits), done), [(digits[position] + 1) % 10], position);
      const began = own.done, whole = advance(put(begin(networks), own.digits.slice(0, last)));
      const all = ({ margins, said, state }) => [margins, said, state];
      const parts = ({ readings }) => JSON.stringify(readings.map(all));
      return [began, parts(advance(own)) === parts(whole)];
    }"""
    began = min(position // 50 * 50, done) if done > position else done
    assert ask(two, function, [[k * k % 10 for k in range(350)], position, done]) == [began, True]


@needs_node
def test_what_is_typed_is_understood_or_refused_in_a_line(two):
    texts = ["7311", " 7 3,1\n1 ", "73a1", "٣", " ", "12345678901"]
    found = ask(two, "(texts) => texts.map((text) => parse(text, 10)).map((p) => p.wrong ?? [...p.digits])", texts)
    assert found[:2] == [[7, 3, 1, 1]] * 2
    assert found[2:4] == [f"“{what}” is not a digit: only 0 to 9 can be read." for what in ("a", "٣")]
    assert found[4:] == ["Type at least one digit, 0 to 9.", "These are 11 digits; 10 can be read."]


@needs_node
def test_the_address_says_digits_attack_and_step_or_a_line_what_is_wrong_with_it(two, page):
    function = """(hashes) => hashes.map((hash) => {
      location.hash = hash;
      onhashchange();
      return [page.wrong.textContent, toAddress(story, at), story.digits.subarray(0, story.last).join("")];
    })"""
    good = ["#digits=73&attack=alternate&step=6", "#digits=73&attack=none&step=1", "#digits=5&attack=random&step=30"]
    bad = {"digits=7x": "“x” is not", "digits=7&attack=no": "no attack “no”", "digits=7&step=0": "step must be"}
    found = ask(two, function, [*good, *("#" + text for text in bad)])
    assert [(line, address) for line, address, _ in found[:3]] == [("", text) for text in good]
    assert [digits for *_, digits in found[:2]] == ["730909", "73"]
    assert len(set(found[2][2])) > 5  # random
    for said, (wrong, address, _) in zip(bad.values(), found[3:], strict=True):
        assert wrong.startswith("In the address: ") and said in wrong and address == good[2]
    assert "no attack" in ask(page.path, function, ["#digits=7&attack=other"])[0][0]  # there is no other network


@needs_node
def test_keys_pointer_and_attacks_move_through_the_digits_and_change_them(two):
    """After each step: the step shown, and the digits."""
    steps = [
        ("choose('none'); write('7311')", 4, "7311"),
        ("key('ArrowRight', 'x')", 4, "7311"),  # without an attack there are no more
        ("key('5')", 5, "73115"),
        ("key('Home', 'ArrowRight', '8')", 3, "73815"),
        ("choose('zeros'); key('End', 'ArrowRight', 'ArrowUp')", 7, "7381500"),
        ("choose('alternate')", 7, "7381509"),
        ("paintOn(25, 5 * 20 + 5, 6 * 20 + 5); page.tape.onpointermove({ clientX: 0 })", 7, "7881588"),
        ("key('PageDown', 'PageUp')", 7, "7881588" + "09" * 10),
        ("page.pad.onpointerdown({ clientX: 10 + 100 })", 14, "7881588" + "09" * 10),  # of 27, at 100 of 200
        ("choose('none')", 7, "7881588"),
        ("write('73 x')", 7, "7881588"),
        ("write('12')", 2, "12"),
    ]
    seen = ask(two, "follow", [step for step, *_ in steps], FOLLOW)
    for (step, at, digits), found in zip(steps, seen, strict=True):
        assert (found["at"], found["digits"]) == (at, digits), step
        assert found["value"] == f"{at} of {len(digits)}, a {digits[at - 1]}"
        assert bool(found["wrong"]) == ("73 x" in step), step
    assert seen[3]["text"] == "73815" and seen[6]["text"] == "7881588"


@needs_node
def test_it_plays_on_and_100000_digits_are_read_a_piece_at_a_time(two):
    """By the stub's clock, 25 ms a piece; eight digits a second are played."""
    function = """() => {
      page.speed.value = "normal";
      const from = at;
      page.buttons.children[2].onclick();
      frame(performance.now() + 1000);
      const played = at - from, pressed = page.buttons.children[2].attributes["aria-label"];
      page.buttons.children[2].onclick();
      page.lengths.children.at(-1).onclick();
      const began = performance.now();
      compute();
      const short = performance.now() - began < 30;
      return [played, pressed, short, story.last, story.done < 1e5, page.sentence.textContent.includes("Computing: ")];
    }"""
    assert ask(two, function) == [8, "Pause", True, 100_000, True, True]


@needs_chromium
def test_chromium_computes_the_same_in_a_page_as_wide_as_a_phone(page):
    function = """() => {
      const digits = Uint8Array.from({ length: 1000 }, (_, k) => (k * k) % 10), main = document.querySelector("main");
      main.style.width = "360px";
      page.details.open = true;
      show(digits);
      while (story.done < digits.length) compute();
      const margins = [...story.readings[0].margins.subarray(0, 1000)];
      return { margins, wide: main.scrollWidth, says: main.innerText };
    }"""
    shown, digits = ask_chromium(page.path, function), torch.tensor([[k * k % 10 for k in range(1000)]])
    with torch.no_grad():
        logits = page.trained.network.fc(trace(page.trained.network, page.trained.encode(digits))["h"][:, 0])
    assert (torch.tensor(shown["margins"]) - (logits[:, 0] - logits[:, 1:].amax(1))).abs().max() < 1e-3
    assert shown["wide"] == 360 and "After 1,000 digits it says" in shown["says"]


def test_the_units_are_those_that_the_first_digit_explains(page):
    trained = random_network()
    memory = trace(trained.network, trained.encode(DIGITS))["c"][[9, 29, 99]]
    shares = sum(explained(c, DIGITS[:, 0]) for c in memory)
    assert describe(trained, Path("a run"), DIGITS)["units"] == shares.argsort(descending=True)[:12].tolist()


def test_the_page_needs_nothing_but_itself_and_shows_the_networks_that_are_named(page, tmp_path, monkeypatch, capsys):
    assert {path.name for path in page.path.parent.glob("[!.]*")} == {"config.json", "result.json", "explore.html"}
    assert_needs_nothing_but_itself(page.html)
    (model,) = model_of(page.html)["networks"]
    assert page.result["networks"] == [{"network": "outputs/pretrained/lstm", "proved": "sets" in model}]
    monkeypatch.chdir(tmp_path)
    folder = start("my page", "--beside", PRETRAINED / "lstm")
    assert (tmp_path / "my page" / "explore.html").as_uri() in capsys.readouterr().out
    assert len(model_of((folder / "explore.html").read_text("utf-8"))["networks"]) == 2
    with pytest.raises(UserError, match="nosuch"):
        start("other", "--beside", "nosuch")
    assert not Path("other").exists()
