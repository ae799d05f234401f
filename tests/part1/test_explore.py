"""The page that runs an LSTM: its numbers beside PyTorch's, what is typed, keys and pointer, and the script.

The page's scripts run in node (tests/page.js), and once in Chromium where there is one.
"""

import base64
import re
from types import SimpleNamespace

from common.files import read_json
from common.find import PRETRAINED
from part1 import explore
from part1.explore import build_page, choose_units, parse_args
from part1.lstm import LSTM
from part1.networks.by_name import to_torch
from part1.networks.traces import explained, trace
from part1.networks.trained import Trained, load_lstm
from part1.palindromes import ENCODINGS
from part1.tasks.tasks import PALINDROME
from tests.page import ask, ask_chromium, assert_needs_nothing_but_itself, model_of, needs_chromium, needs_node

import numpy as np
import pytest
import torch

# All that the page computes of the digits, a row for each step; and what it keeps of it, in float32.
READ = """
function readAll(digits) {
  const { hidden } = network, h = new Float64Array(hidden), c = new Float64Array(hidden);
  const gates = new Float64Array(4 * hidden), rows = { h: [], c: [], gates: [], answers: [] };
  for (const digit of digits) {
    step(digit, h, c, gates);
    for (const [name, values] of Object.entries({ h, c, gates, answers: answer(h) })) rows[name].push([...values]);
  }
  const { traces, answers, said, greatest } = advance(begin(Uint8Array.from(digits)));
  return { rows, kept: Object.entries({ ...traces, answers, said, greatest }).map(([name, all]) => [name, [...all]]) };
}"""
# Each step is done, then it is told what the page shows. The field is 360 wide; 20 columns of 17 and more are in it.
FOLLOW = """
function follow(steps) {
  const key = (...names) => names.forEach((name) => page.pad.onkeydown({ key: name, preventDefault() {} }));
  page.pad.getBoundingClientRect = () => ({ left: 10, top: 20, width: 360, height: 400 });
  page.memory.getBoundingClientRect = () => ({ left: 10, top: 90, width: 360, height: 120 });
  const point = (event, x, y) =>
    page.pad["onpointer" + event]({ clientX: 10 + x, clientY: 20 + y, pointerId: 1, button: 0 });
  const tap = (x, y) => (point("down", x, y), point("up"));
  const type = (text) => { page.text.value = text; page.text.oninput(); };
  const said = (...names) => names.map((name) => page[name].textContent).join("|").replaceAll("\u00a0", " ");
  return steps.map((step) => {
    eval(step);
    const { "aria-valuenow": at, "aria-valuetext": value } = page.pad.attributes;
    return { at: Number(at), value, tape: page.tape.texts, text: page.text.value, unit: page.unit.value,
      wrong: said("wrong"), sentence: said("read", "said", "sure", "first"), why: said("why") };
  });
}"""


def random_network(encoding: str, hidden: int = 20) -> Trained:
    torch.manual_seed(3)
    network = LSTM(ENCODINGS[encoding], hidden, 10)
    network.reset_parameters(50)
    network.fc.weight.data.mul_(5)
    return Trained(network, PALINDROME, encoding)


def write(trained: Trained, path):
    """The page of a network with the first twelve units in it, fewer if it has fewer; it opens with 73113."""
    units = list(range(min(trained.network.hidden_dim, 12)))
    html = build_page(trained, units, torch.rand(10, len(units)) * 2 - 1, [7, 3, 1, 1, 3])
    path.write_text(html, encoding="utf-8")
    return path


def start(folder, seed: int):
    of = ["--run", PRETRAINED / "lstm", "--device", "cpu", "--out_dir", folder, "--seed", seed]
    return explore.explore(parse_args(list(map(str, of))))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The pretrained network's page."""
    path = start(tmp_path_factory.mktemp("page") / "a page", 6) / "explore.html"
    trained, html = load_lstm(PRETRAINED / "lstm"), path.read_text(encoding="utf-8")
    return SimpleNamespace(path=path, html=html, trained=trained, result=read_json(path.with_name("result.json")))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The page of a small random network."""
    return write(random_network("one_hot"), tmp_path_factory.mktemp("small") / "small.html")


GIVEN = {
    "one_hot": lambda: random_network("one_hot"),
    "scaled, few units": lambda: random_network("scaled", hidden=5),
    "pretrained": lambda: load_lstm(PRETRAINED / "lstm"),
}


@needs_node
@pytest.mark.parametrize("name", GIVEN)
def test_the_page_computes_what_pytorch_does_over_1000_digits_and_keeps_that(name, tmp_path):
    """Of every unit: h beside nn.LSTM's, all beside the equations', in float64; the probabilities in float32 too."""
    trained = GIVEN[name]()
    lstm, digits = trained.network, torch.randint(10, (1, 1000), generator=torch.Generator().manual_seed(1))
    x, shown = trained.encode(digits), min(lstm.hidden_dim, 12)
    found = ask(write(trained, tmp_path / "page.html"), "readAll", digits[0].tolist(), READ)
    rows = {key: torch.tensor(values, dtype=torch.float64) for key, values in found["rows"].items()}
    rows |= {gate: rows["gates"][:, k::4] for gate, k in (("i", 0), ("f", 1), ("o", 3))}
    with torch.no_grad():
        layer = to_torch(lstm)
        in_float32 = lstm.fc(layer(x)[0][0]).softmax(1)
        expected = {key: values[:, 0] for key, values in trace(lstm.double(), x.double()).items()}
        expected["answers"] = lstm.fc(expected["h"]).softmax(1)
        torch.testing.assert_close(layer.double()(x.double())[0][0], rows["h"], rtol=0, atol=1e-9)
    for key, values in expected.items():
        torch.testing.assert_close(rows[key], values, rtol=0, atol=1e-9)
    torch.testing.assert_close(rows["answers"].float(), in_float32, rtol=0, atol=1e-4)
    assert expected["answers"].std() > 0.01 and expected["c"].abs().max() > 0.2
    kept = {key: torch.tensor(values) for key, values in found["kept"]}
    for key in "ifoc":
        torch.testing.assert_close(kept[key].view(1000, -1), rows[key][:, :shown].float())
    torch.testing.assert_close(kept["answers"].view(1000, 10), rows["answers"].float())
    assert torch.equal(kept["said"], rows["answers"].argmax(1))
    torch.testing.assert_close(kept["greatest"], rows["c"][:, :shown].abs().max(0)[0].float())


@needs_node
def test_a_changed_digit_is_read_on_from_there_and_ends_in_the_same_numbers(small):
    """However far the digits were read at that time: also not as far as the digit."""
    cases = [(0, 350), (99, 350), (100, 350), (349, 350), (300, 250), (300, 200), (5, 1), (349, 0)]
    function = """([digits, cases]) => cases.map(([position, done]) => {
      const changed = change(advance(begin(digits.slice()), done), position, (digits[position] + 1) % 10);
      const began = changed.done, whole = advance(begin(changed.digits.slice())), ended = advance(changed);
      const parts = ({ traces, answers, said, greatest, h, c }) =>
        JSON.stringify([traces, answers, said, greatest, h, c]);
      return [began, parts(ended) === parts(whole), ended.kept.length];
    })"""
    found = ask(small, function, [[k * k % 10 for k in range(350)], cases])
    assert found == [[began, True, 4] for began in (0, 0, 100, 300, 200, 100, 0, 0)]


@needs_node
def test_what_is_typed_is_understood_or_refused_in_a_line_and_numbers_are_rounded_with_care(small):
    texts = ["7311", " 7 3,1\n1 ", "73a1", "٣", " ", "12345678901"]
    found = ask(small, "(texts) => texts.map((text) => parse(text, 10)).map((p) => p.wrong ?? [...p.digits])", texts)
    assert found[:2] == [[7, 3, 1, 1]] * 2
    assert found[2:4] == [f"“{what}” is not a digit: only 0 to 9 can be read." for what in ("a", "٣")]
    assert found[4:] == ["Type at least one digit, 0 to 9.", "These are 11 digits; 10 can be read."]
    seen = ask(small, "follow", ["type('731x')", "type('12')"], FOLLOW)
    assert [(found["value"], bool(found["wrong"])) for found in seen] == [("1 of 5, a 7", True), ("2 of 2, a 2", False)]
    numbers = [0.99996, 0.9995, 0.995, 0.99, 0.01, 0.0099, 0.0002, 0.00004]
    fine, brief = ask(small, "(ps) => [fine, brief].map((write) => ps.map(write))", numbers)
    written = ["over 99.99", "99.95", "99.50", "99", "1", "0.99", "0.02", "below 0.01"]
    assert fine == [f"{text}\u00a0%" for text in written]
    assert brief == ["> 99.9 %", "> 99.9 %", "99.5 %", "99.0 %", "1.0 %", "1.0 %", "0.0 %", "0.0 %"]
    for digits in ask(small, "() => [1, 2, 11, 1000].map((n) => [...palindrome(n)])"):
        assert [*digits, digits[0]] == [digits[0], *digits[::-1]]  # drawn at random, without its last digit
    assert len(digits) == 1000 and set(digits) == set(range(10))


@needs_node
def test_keys_and_pointer_move_through_the_digits(small):
    """The field shows 20 of 101 columns, each (360 − 10) / 20 = 17.5 wide, a gap of 10 after the first. After each
    step: the step shown, and the step before the second column."""
    steps = [
        ("type('0123456789'.repeat(10))", 100, 82),
        ("key('Home', 'ArrowRight', 'ArrowUp')", 3, 1),
        ("key('ArrowLeft', 'ArrowDown', 'ArrowLeft')", 1, 1),
        ("key('PageDown')", 20, 4),
        ("key('PageDown')", 39, 23),
        ("key('PageUp', 'x')", 20, 16),
        ("key('Home'); tap(17.5 * 9 + 5, 100)", 10, 1),
        ("point('down', 17.5 * 9 + 5, 100); point('move', 17.5 * 30, 300)", 20, 4),  # the last column in sight
        ("point('move', -50, 300); point('up'); point('move', 100, 300)", 1, 1),
        ("page.whole.onpointerdown({ clientX: 10 + 100 })", 50, 34),
        ("key('Home'); tap(25, 70 + 35)", 2, 1),  # on the row of a unit
    ]
    seen = ask(small, "follow", [step for step, *_ in steps], FOLLOW)
    for (step, at, left), found in zip(steps, seen, strict=True):
        digit, shown = (at - 1) % 10, [1, *range(left + 1, min(left + 20, 101))]
        assert (found["at"], found["value"]) == (at, f"{at} of 100, a {digit}"), step
        drawn = [text for text, _, y in found["tape"] if text == "?" or (y > 20 and text != "⋮")]
        assert drawn[: len(shown)] == [str((t - 1) % 10) for t in shown], step
    assert seen[-1]["unit"] == 3


@needs_node
def test_a_changed_digit_leaves_the_step_the_old_answer_and_a_way_back(small):
    steps = ["type('73113113')", "tap(3 * 40 + 5, 10)", "key('ArrowLeft', '9', '+')", "key('-')", "page.undo.onclick()"]
    seen = ask(small, "follow", [*steps, "key('Home'); tap(3 * 40 + 5, 10)"], FOLLOW)
    digits = ["73113113", "73123113", "73123103", "73123193", "73113113", "73123113"]
    assert [(found["text"], found["at"]) for found in seen] == list(zip(digits, [8, 8, 7, 7, 7, 1], strict=True))
    for changed, undone, what in ((1, 0, "Digit 4 was 1 and is 2 now"), (3, 4, "2 digits are changed")):
        read, says, sure, first = seen[undone]["sentence"].split("|")
        assert re.fullmatch(rf"After {seen[undone]['at']} digits it (still )?says", read)
        assert first == ("." if says == "7" else ". The first digit was 7.")
        assert seen[changed]["why"] == f"{what}. Before, it said {says} here: {sure}."
    assert seen[5]["why"] == "Digit 4 was 1 and is 2 now; it has not come to that yet."


@needs_node
def test_of_100000_digits_a_piece_is_read_at_a_time(small):
    """By the stub's clock, 25 ms a piece."""
    function = """() => {
      page.drawn.onsubmit({ preventDefault() {} }, page.count.value = "1e9");
      const began = performance.now();
      compute();
      return [now.digits.length, performance.now() - began < 30, now.done > 0, now.done < 100000];
    }"""
    assert ask(small, function) == [100_000, True, True, True]


@needs_chromium
def test_chromium_computes_the_same_in_a_page_as_wide_as_a_phone(page):
    function = """() => {
      const digits = Uint8Array.from({ length: 1000 }, (_, k) => (k * k) % 10), main = document.querySelector("main");
      main.style.width = "360px";
      show(digits);
      while (now.done < digits.length) compute();
      return { answers: [...now.answers], wide: main.scrollWidth, says: main.innerText };
    }"""
    shown, digits = ask_chromium(page.path, function), torch.tensor([[k * k % 10 for k in range(1000)]])
    with torch.no_grad():
        h = trace(page.trained.network, page.trained.encode(digits))["h"][:, 0]
        answers = page.trained.network.fc(h).softmax(1)
    assert (torch.tensor(shown["answers"]).reshape(1000, 10) - answers).abs().max() < 1e-4
    assert shown["wide"] == 360 and "After 1,000 digits it" in shown["says"]


def test_the_units_are_those_that_the_first_digit_explains_and_a_code_is_their_mean(page):
    trained = random_network("one_hot")
    digits = torch.randint(10, (500, 100), generator=torch.Generator().manual_seed(5))
    units, codes = choose_units(trained, digits)
    memory, first = trace(trained.network, trained.encode(digits))["c"][[9, 29, 99]], digits[:, 0]
    shares = sum(explained(c, first) for c in memory)
    assert units == shares.argsort(descending=True)[:12].tolist()
    for digit in range(10):
        torch.testing.assert_close(codes[digit], memory[:, first == digit][:, :, units].tanh().mean((0, 1)))
    stored = np.frombuffer(base64.b64decode(model_of(page.html)["codes"]), "<f4").reshape(10, 12)
    assert np.abs(stored).max() <= 1 and np.abs(stored[:, None] - stored).max(2)[~np.eye(10, dtype=bool)].min() > 0.3


def test_the_page_needs_nothing_but_itself_its_place_is_printed_and_the_seed_draws_its_digits(
    page, tmp_path, monkeypatch, capsys
):
    assert {path.name for path in page.path.parent.glob("[!.]*")} == {"config.json", "result.json", "explore.html"}
    assert_needs_nothing_but_itself(page.html)
    assert page.result["network"] == "outputs/pretrained/lstm"
    monkeypatch.chdir(tmp_path)
    html = (start("my page", 7) / "explore.html").read_text("utf-8")
    assert (tmp_path / "my page" / "explore.html").as_uri() in capsys.readouterr().out
    digits = model_of(html)["digits"]
    assert len(digits) == 100 and digits[1:] == digits[:0:-1] and digits != page.result["digits"]
