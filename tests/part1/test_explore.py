"""The page that runs an LSTM: its numbers beside PyTorch's, what is typed, keys and pointer, and the script.

The page's scripts run in node (tests/page.js), and once in Chromium where there is one.
"""

import base64
import copy
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from common import checkpoint
from common.files import read_json
from common.runs import PRETRAINED
from part1 import explore
from part1.explore import build_page, choose_units, parse_args
from part1.lstm import LSTM, gates
from part1.networks import KIND, TorchLSTM, by_hand, load_network, to_torch
from part1.palindromes import ENCODINGS, encode
from part1.traces import explained, trace
from tests.page import ask, assert_needs_nothing_but_itself, model_of, needs_chromium, needs_node, selftest

# All that the page computes of the digits: a row for each step.
READ = """
function readAll(digits) {
  const { hidden } = network, h = new Float64Array(hidden), c = new Float64Array(hidden);
  const gates = new Float64Array(4 * hidden), rows = { h: [], c: [], gates: [], answers: [] };
  for (const digit of digits) {
    step(digit, h, c, gates);
    for (const [name, values] of Object.entries({ h, c, gates, answers: answer(h) })) rows[name].push([...values]);
  }
  return rows;
}"""
# Each step is done, then it is told what the page shows. The field is 360 wide; 20 columns of 17 and more are in it.
FOLLOW = """
function follow(steps) {
  const key = (name) => page.pad.onkeydown({ key: name, preventDefault() {} });
  page.pad.getBoundingClientRect = () => ({ left: 10, top: 20, width: 360, height: 400 });
  page.memory.getBoundingClientRect = () => ({ left: 10, top: 90, width: 360, height: 120 });
  const point = (event, x, y, more = {}) =>
    page.pad["onpointer" + event]({ clientX: 10 + x, clientY: 20 + y, pointerId: 1, button: 0, ...more });
  const plain = (text) => text.replaceAll("\u00a0", " ");
  const type = (text) => { page.text.value = text; page.text.oninput(); };
  return steps.map((step) => {
    eval(step);
    const { read, said, sure, first } = page, sentence = [read, said, sure, first].map((part) => part.textContent);
    return { at, left, chosen, changed, digits: now.digits.join(""), plays: playing !== null, text: page.text.value,
      sentence: plain(sentence.join("|")), why: plain(page.why.textContent), wrong: page.wrong.textContent,
      undo: !page.undo.hidden, slider: { ...page.pad.attributes }, button: page.play.attributes["aria-label"],
      live: page.status.attributes["aria-live"], tape: page.tape.texts, raise: plain(page.raise.textContent),
      bars: page.bars.children.map((bar) => [bar.className, bar.children[2].textContent, bar.children[4].hidden]) };
  });
}"""


def random_network(encoding: str, kind: type = LSTM) -> LSTM:
    torch.manual_seed(3)
    network = kind(ENCODINGS[encoding], 20, 10)
    network.reset_parameters(50)
    network.fc.weight.data.mul_(5)
    network.encoding = encoding
    return network


def some(n: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(10, (1, n), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def write(network: LSTM, path, digits=(7, 3, 1, 1, 3)):
    """The page of a network with the first twelve units in it, fewer if it has fewer."""
    units = list(range(min(network.hidden_dim, 12)))
    html = build_page(network, units, torch.rand(10, len(units)) * 2 - 1, list(digits))
    path.write_text(html, encoding="utf-8")
    return path


def start(folder, *flags):
    of = ["--run", PRETRAINED / "lstm", "--device", "cpu", "--out_dir", folder, *flags]
    return explore.explore(parse_args(list(map(str, of))))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The pretrained network's page."""
    path = start(tmp_path_factory.mktemp("page") / "a page", "--seed", 6) / "explore.html"
    network, html = load_network(PRETRAINED / "lstm"), path.read_text(encoding="utf-8")
    return SimpleNamespace(path=path, html=html, network=network, result=read_json(path.with_name("result.json")))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The page of a small random network, which opens with 73113."""
    return write(random_network("one_hot"), tmp_path_factory.mktemp("small") / "small.html")


@needs_node
@pytest.mark.parametrize("name", [*ENCODINGS, "torch_lstm", "pretrained"])
def test_the_page_computes_what_pytorch_does_over_1000_digits(name, tmp_path):
    """Of every unit: h beside nn.LSTM's, c and the gates beside the equations', in float64; and the probabilities,
    which are those of float32 too."""
    if name == "pretrained":
        network = load_network(PRETRAINED / "lstm")
    else:
        network = random_network(name if name in ENCODINGS else "scaled", TorchLSTM if name == "torch_lstm" else LSTM)
    lstm, digits = by_hand(network), some(1000)
    found = ask(write(lstm, tmp_path / "page.html"), "readAll", digits[0].tolist(), READ)
    found = {key: torch.tensor(rows, dtype=torch.float64) for key, rows in found.items()}
    x = encode(digits, lstm.encoding)
    with torch.no_grad():
        layer = network.lstm if name == "torch_lstm" else to_torch(lstm)
        in_float32 = network.fc(layer(x)[0][0]).softmax(1)
        lstm.double()
        h, (_, c) = layer.double()(x.double())
        before = torch.cat([h.new_zeros(1, lstm.hidden_dim), h[0, :-1]])
        i, f, g, o = gates(x[0].double(), before, lstm.weight_ih, lstm.weight_hh, lstm.bias)
        expected = {"h": h[0], "gates": torch.stack([i, f, g, o], dim=2).flatten(1)}
        expected["answers"] = lstm.fc(h[0]).softmax(1)
        memory = [torch.zeros_like(i[0])]
        for t in range(1000):
            memory.append(g[t] * i[t] + memory[-1] * f[t])
        expected["c"] = torch.stack(memory[1:])
    torch.testing.assert_close(memory[-1], c[0, 0], rtol=0, atol=1e-9)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=1e-9)
    torch.testing.assert_close(found["answers"].float(), in_float32, rtol=0, atol=1e-4)
    assert expected["answers"].std() > 0.01 and expected["c"].abs().max() > 0.5


@needs_node
def test_what_is_kept_for_the_picture_is_what_was_computed(small):
    digits = some(250)[0].tolist()
    rows = ask(small, "readAll", digits, READ)
    kept = ask(
        small,
        """(digits) => { const { traces, answers, said } = advance(begin(digits));
        return [..."ifoc"].map((name) => [...traces[name]]).concat([[...answers], [...said]]); }""",
        digits,
    )
    i, f, o, c = (torch.tensor(values).reshape(250, 12) for values in kept[:4])
    of_all = torch.tensor(rows["gates"]).reshape(250, 20, 4)[:, :12]
    torch.testing.assert_close(torch.stack([i, f, o], dim=2), of_all[:, :, [0, 1, 3]])
    torch.testing.assert_close(c, torch.tensor(rows["c"])[:, :12])
    torch.testing.assert_close(torch.tensor(kept[4]).reshape(250, 10), torch.tensor(rows["answers"]))
    assert kept[5] == torch.tensor(rows["answers"]).argmax(1).tolist()


@needs_node
def test_a_changed_digit_is_read_on_from_there_and_ends_in_the_same_numbers(small):
    """However far the digits were read at that time: also not as far as the digit."""
    cases = [(0, 350), (1, 350), (99, 350), (100, 350), (349, 350), (300, 250), (300, 200), (5, 1), (349, 0)]
    function = """([digits, cases]) => cases.map(([position, done]) => {
      const changed = change(advance(begin(digits.slice()), done), position, (digits[position] + 1) % 10);
      const began = changed.done, whole = advance(begin(changed.digits.slice())), ended = advance(changed);
      const parts = ({ traces, answers, said, h, c }) => JSON.stringify([traces, answers, said, h, c]);
      return [began, parts(ended) === parts(whole), ended.kept.length];
    })"""
    found = ask(small, function, [some(350)[0].tolist(), cases])
    assert found == [[began, True, 4] for began in (0, 0, 0, 100, 300, 200, 100, 0, 0)]


@needs_node
def test_digits_are_typed_with_spaces_and_commas_and_what_is_no_digit_is_named(small):
    texts = ["7311", " 7 3,1\n1 ", "73a1", "7.5", "👍", "٣", " ", "12345678901"]
    found = ask(small, "(texts) => texts.map((text) => parse(text, 10)).map((p) => p.wrong ?? [...p.digits])", texts)
    assert found[:2] == [[7, 3, 1, 1]] * 2
    for said, what in zip(found[2:6], ["a", ".", "👍", "٣"], strict=True):
        assert said == f"“{what}” is not a digit: only 0 to 9 can be read."
    assert found[6:] == ["Type at least one digit, 0 to 9.", "These are 11 digits; 10 can be read."]


@needs_node
def test_a_drawn_palindrome_lacks_its_last_digit_alone(small):
    lengths = [1, 2, 3, 10, 11, 1000]
    for n, digits in zip(lengths, ask(small, "(ns) => ns.map((n) => [...palindrome(n)])", lengths), strict=True):
        whole = [*digits, digits[0]]
        assert len(digits) == n and whole == whole[::-1] and set(digits) <= set(range(10))
    assert set(digits) == set(range(10))


@needs_node
def test_keys_pointer_and_buttons_move_through_the_digits(small):
    """The field shows 20 of 101 columns, each (360 − 10) / 20 = 17.5 wide, a gap of 10 after the first."""
    steps = [
        ("type('0123456789'.repeat(10))", 100, 82),
        ("key('Home')", 1, 1),
        ("key('ArrowRight')", 2, 1),
        ("key('ArrowUp')", 3, 1),
        ("key('ArrowLeft')", 2, 1),
        ("key('ArrowDown')", 1, 1),
        ("key('ArrowLeft')", 1, 1),
        ("key('PageDown')", 20, 4),
        ("key('PageDown')", 39, 23),
        ("key('PageUp')", 20, 16),
        ("key('x')", 20, 16),
        ("page.next.onclick()", 21, 16),
        ("page.back.onclick()", 20, 16),
        ("page.end.onclick()", 100, 82),
        ("page.home.onclick()", 1, 1),
        ("point('move', 100, 100)", 1, 1),  # nothing is pressed yet
        ("point('down', 17.5 * 9 + 5, 100)", 10, 1),
        ("point('move', 17.5 * 4 + 5, 300)", 5, 1),
        ("point('move', 17.5 * 30, 300)", 20, 4),  # beyond the edge: the last column in sight
        ("point('move', -50, 300)", 1, 1),
        ("point('up')", 1, 1),
        ("point('move', 100, 300)", 1, 1),
        ("point('down', 100, 10)", 1, 1),  # on the digits: a tap, or the beginning of a drag
        ("point('move', 103, 10)", 1, 1),
        ("point('move', 17.5 * 6 + 5, 10)", 7, 1),
        ("point('up')", 7, 1),
        ("key('End')", 100, 82),
        ("point('down', 10 + 17.5 * 3 + 5, 300)", 85, 81),  # three columns stay in sight before it
        ("page.whole.onpointerdown({ clientX: 10 + 100 })", 50, 49 - 3),
    ]
    seen = ask(small, "follow", [step for step, *_ in steps], FOLLOW)
    for (step, at, left), found in zip(steps, seen, strict=True):
        assert (found["at"], found["changed"], found["plays"]) == (at, [], False), step
        assert found["left"] == left, step
        slider = found["slider"]
        assert (slider["aria-valuenow"], slider["aria-valuemax"]) == (str(at), "100")
        assert slider["aria-valuetext"] == f"{at} of 100, a {(at - 1) % 10}"
        assert found["raise"] == f"Digit {at}: {(at - 1) % 10} → {at % 10}"
        shown = [1, *range(left + 1, min(left + 20, 101))]
        drawn = [text for text, _, y in found["tape"] if text == "?" or (y > 20 and text != "⋮")]
        assert drawn[: len(shown)] == [str((t - 1) % 10) for t in shown]


@needs_node
def test_a_press_on_a_row_shows_that_unit_close_up(small):
    seen = ask(small, "follow", ["point('down', 30, 70 + 35)", "page.unit.value = '7'; page.unit.onchange()"], FOLLOW)
    assert [found["chosen"] for found in seen] == [3, 7]


@needs_node
def test_a_finger_that_scrolls_the_page_leaves_the_step_and_one_that_taps_or_drags_does_not(small):
    touch = "{ pointerType: 'touch' }"
    steps = [f"point('down', 65, 75, {touch})", "point('cancel')", f"point('down', 65, 75, {touch})", "point('up')"]
    steps += [f"point('down', 125, 10, {touch})", "point('up')", f"point('down', 5, 75, {touch})"]
    steps += ["point('move', 125, 75)", "point('up')"]
    seen = ask(small, "follow", steps, FOLLOW)  # five digits and the answer, each 60 wide
    assert [found["at"] for found in seen] == [1, 1, 1, 2, 2, 2, 2, 3, 3]
    assert [found["changed"] for found in seen] == [[]] * 5 + [[2]] * 4


@needs_node
def test_a_changed_digit_leaves_the_step_the_old_answer_and_a_way_back(page):
    steps = [
        "type('73113113')",
        "point('down', 3 * 40 + 5, 10); point('up')",  # a tap on the fourth digit
        "key('ArrowLeft'); key('9')",
        "key('+')",
        "key('-')",
        "page.undo.onclick()",
        "page.raise.onclick()",
        "key('4'); key('3'); key('1')",  # as it was
        "key('Home'); key('0')",
        "key('End')",
        "point('down', 8 * 40 + 5, 10); point('up')",  # the answer is no digit
        "point('down', 5, 10, { button: 2 }); point('up')",  # nor does another button of the mouse
        "type('55')",
    ]
    seen = ask(page.path, "follow", steps, FOLLOW)
    digits = ["73113113", "73123113", "73123193", "73123103", "73123193", "73113113", "73113123", "73113113"]
    digits += ["03113113"]
    assert [found["digits"] for found in seen] == [*digits, *digits[-1:] * 3, "55"]
    assert [found["text"] for found in seen] == [found["digits"] for found in seen]
    assert [found["at"] for found in seen] == [8, 8, 7, 7, 7, 7, 7, 7, 1, 8, 8, 8, 2]
    changed = [[], [3], [3, 6], [3, 6], [3, 6], [], [6], [], [0], [0], [0], [0], []]
    assert [found["changed"] for found in seen] == changed
    assert [found["undo"] for found in seen] == [bool(positions) for positions in changed]
    assert seen[1]["why"].startswith("Digit 4 was 1 and is 2 now. Before, it said ")
    assert seen[2]["why"].startswith("2 digits are changed. Before, it said ")
    old = re.match(r".*\|(\d)\|(.*)\|", seen[0]["sentence"])
    assert seen[1]["why"].endswith(f"Before, it said {old[1]} here: {old[2]}.")
    first = [[k for k, (name, *_) in enumerate(found["bars"]) if "first" in name] for found in seen]
    assert first == [[7]] * 8 + [[0]] * 4 + [[5]]
    assert all(hidden for *_, hidden in seen[0]["bars"]) and not all(hidden for *_, hidden in seen[9]["bars"])


@needs_node
def test_a_change_that_is_not_read_yet_is_said_to_be_ahead(small):
    steps = ["key('Home')", "point('down', 3 * 60 + 5, 10); point('up')", "key('End')"]
    _, ahead, read = ask(small, "follow", steps, FOLLOW)
    assert ahead["why"] == "Digit 4 was 1 and is 2 now; it has not come to that yet."
    assert "Before, it said" in read["why"]


@needs_node
def test_the_sentence_says_what_the_network_does_and_since_when(page):
    """Pretrained, on the digits it opens with; and, with made up answers, the other cases."""
    made_up = "now.said.set([7, 3, 7, 7, 3]); now.answers.fill(0.5); move"
    steps = ["key('End')", "key('Home')", "type('73113')", *(f"{made_up}({step})" for step in (1, 2, 3, 4, 5))]
    steps += ["now.said.fill(3); move(2)", "now.said.fill(7); now.answers.fill(0.99996); move(5)"]
    end, start_, _, *rest = ask(page.path, "follow", steps, FOLLOW)
    digits = torch.tensor([page.result["digits"]])
    network = copy.deepcopy(page.network).double()  # as the page computes: the last decimal of a per cent counts
    with torch.no_grad():
        x = encode(digits, "one_hot").double()
        answers = torch.cat([network(x[:, :t]) for t in range(1, 101)]).softmax(1)
    first, said = digits[0, 0].item(), answers.argmax(1)
    assert said[-1] == first
    since = max((said != first).nonzero().flatten().tolist(), default=-1) + 2
    p = answers[-1, first].item()
    sure = f"{100 * p:.{2 if p > 0.99 else 0}f} %" if p <= 0.9999 else "over 99.99 %"
    assert end["sentence"] == f"After 100 digits it still says|{first}|{sure}|."
    assert end["why"] == f"It has said so at every step{f' since digit {since}' if since > 1 else ''}."
    assert start_["sentence"].startswith("After one digit it says|")
    half = [found["sentence"] for found in rest[:5]]
    assert half == [
        "After one digit it says|7|50 %|.",
        "After 2 digits it says|3|50 %|. The first digit was 7.",
        "After 3 digits it says|7|50 %|.",
        "After 4 digits it still says|7|50 %|.",
        "After 5 digits it says|3|50 %|. The first digit was 7.",
    ]
    assert [found["why"] for found in rest] == [
        "It has just begun to say so.",
        "It has lost it again.",
        "It has just begun to say so.",
        "It has said so at every step since digit 3.",
        "It has lost it again.",
        "It does not know it yet.",
        "It has said so at every step.",
    ]
    assert rest[-1]["sentence"] == "After 5 digits it still says|7|over 99.99 %|."


@needs_node
def test_it_plays_ever_faster_to_the_end_and_is_quiet_meanwhile(small):
    """Six steps a second at first: step 1 + ⌊18 (e^(t/3) − 1)⌋ after t seconds."""
    steps = ["type('0123456789'.repeat(10)); key('Home')", "key(' '); began = playing.began", "frame(began + 500)"]
    steps += ["frame(began + 3000)", "key(' ')", "frame(began + 4000)", "page.play.onclick(); began = playing.began"]
    steps += ["frame(began + 500)", "frame(began + 9000)", "key(' ')", "key('ArrowRight')"]
    seen = ask(small, "follow", steps, "let began;" + FOLLOW)
    assert [found["at"] for found in seen] == [1, 1, 4, 31, 31, 31, 31, 34, 100, 1, 2]
    plays = [False, True, True, True, False, False, True, True, False, True, False]
    assert [found["plays"] for found in seen] == plays
    assert [found["button"] for found in seen] == ["Pause" if playing else "Play" for playing in plays]
    assert [found["live"] for found in seen] == ["off" if playing else "polite" for playing in plays]


@needs_node
def test_it_opens_playing_but_where_motion_is_not_wanted_at_the_end(small):
    asked = "() => [[...now.digits].join(''), at, playing !== null, page.text.value]"
    assert ask(small, asked) == ["73113", 1, True, "73113"]
    assert ask(small, asked, calm=True) == ["73113", 5, False, "73113"]
    drawn = "() => { page.lengths.children[1].onclick(); return [now.digits.length, at, playing !== null]; }"
    assert ask(small, drawn) == [100, 1, True] and ask(small, drawn, calm=True) == [100, 100, False]


@needs_node
def test_a_text_that_cannot_be_read_leaves_what_was_read(small):
    seen = ask(small, "follow", ["type('731x')", "type('')", "type('12')"], FOLLOW)
    assert [found["digits"] for found in seen] == ["73113", "73113", "12"]
    assert [bool(found["wrong"]) for found in seen] == [True, True, False]


@needs_node
def test_of_100000_digits_a_piece_is_read_at_a_time_and_what_is_in_sight_is_drawn(small):
    """The step asked for is shown as soon as it is computed; one digit and 100,000 alike."""
    function = """() => {
      const milliseconds = [], seen = [];
      page.drawn.onsubmit({ preventDefault() {} }, page.count.value = "1e9");
      go(now.digits.length);
      seen.push(now.digits.length, at === now.done, at < 100000);
      while (now.done < 100000) {
        const began = performance.now();
        compute();
        milliseconds.push(performance.now() - began);
      }
      seen.push(at, page.tape.texts.length < 30, page.all.textContent, page.whole.hidden);
      show(Uint8Array.of(7));
      return [...seen, at, page.whole.hidden, milliseconds.sort((a, b) => a - b)[milliseconds.length >> 1]];
    }"""
    *seen, milliseconds = ask(small, function)
    assert seen == [100_000, True, True, 100_000, True, "100,000", False, 1, True]
    assert milliseconds < 30  # 25 for reading, by the stub's clock


@needs_chromium
def test_chromium_computes_the_same_in_less_than_a_second_and_the_page_is_as_wide_as_a_phone(page, tmp_path):
    shown = selftest(page.path, tmp_path / "profile")
    digits = torch.tensor([shown["digits"]], dtype=torch.uint8)
    traced = trace(page.network, digits)
    with torch.no_grad():
        answers = page.network.fc(traced["h"][:, 0]).softmax(1)
    assert (torch.tensor(shown["answers"]).reshape(1000, 10) - answers).abs().max() < 1e-4
    c = torch.tensor(shown["c"]).reshape(1000, -1)
    torch.testing.assert_close(c, traced["c"][:, 0, page.result["units"]], rtol=1e-4, atol=1e-4)
    assert shown["wide"] == 360 and shown["read"] < 1000 and shown["redrawn"] < 100


def test_the_units_are_those_that_the_first_digit_explains_and_a_code_is_their_mean(page):
    lstm, digits = random_network("one_hot"), torch.randint(10, (500, 100), generator=torch.Generator().manual_seed(5))
    units, codes = choose_units(lstm, digits)
    memory, first = trace(lstm, digits)["c"][[9, 29, 99]], digits[:, 0]
    shares = sum(explained(c, first) for c in memory)
    assert units == shares.argsort(descending=True)[:12].tolist()
    for digit in range(10):
        torch.testing.assert_close(codes[digit], memory[:, first == digit][:, :, units].tanh().mean((0, 1)))
    stored = np.frombuffer(base64.b64decode(model_of(page.html)["codes"]), "<f4").reshape(10, 12)
    assert np.abs(stored).max() <= 1 and np.abs(stored[:, None] - stored).max(2)[~np.eye(10, dtype=bool)].min() > 0.3


def test_the_page_needs_nothing_but_itself(page):
    assert {path.name for path in page.path.parent.glob("[!.]*")} == {"config.json", "result.json", "explore.html"}
    assert_needs_nothing_but_itself(page.html)


def test_where_the_page_lies_is_printed_and_the_seed_draws_its_digits(tmp_path, monkeypatch, capsys, page):
    monkeypatch.chdir(tmp_path)
    start("my page", "--seed", "7")
    assert (tmp_path / "my page" / "explore.html").as_uri() in capsys.readouterr().out
    result = read_json(tmp_path / "my page" / "result.json")
    digits = result["digits"]
    assert len(digits) == 100 and digits[1:] == digits[:0:-1] and digits != page.result["digits"]
    assert model_of((tmp_path / "my page" / "explore.html").read_text("utf-8"))["digits"] == digits


def test_a_network_that_reads_more_than_digits_or_is_no_lstm_is_refused(folders, outputs, answer):
    sizes = {"input_dim": 11, "hidden_dim": 6, "output_dim": 10}
    content = {"model": "lstm", "sizes": sizes, "progress": {"best": LSTM(**sizes).state_dict()}}
    checkpoint.save(outputs.with_name("marked.pt"), KIND, content | {"encoding": "one_hot_marked"})
    cases = {
        folders / "rnn": "its network is no LSTM; name a run of --model lstm or torch_lstm",
        folders / "stopped": "this run has no trained network yet",
        outputs / "none": "there is no such run or checkpoint",
        outputs.with_name("marked.pt"): "its network recalls a marked digit; this script shows palindromes only",
    }
    for source, said in cases.items():
        status, _, err = answer(explore, "--run", source, "--device", "cpu")
        assert (status, len(err.splitlines())) == (2, 1) and said in err and err.startswith("explore.py: error: ")
    assert not outputs.exists()


def test_a_run_with_pytorch_s_own_lstm_and_one_of_few_units_have_a_page_too(folders, outputs, answer):
    for name in ("torch_lstm", "epochs", "one_hot", "curriculum"):
        status, _, err = answer(explore, "--run", folders / name, "--device", "cpu")
        assert (status, err) == (0, "")
    assert len(list((outputs / "part1").glob("explore-seed0-*/explore.html"))) == 4
