// What is typed, understood; the address; and what the page says, in plain words.

// A text as {digits}, or {wrong}, a line that says why it cannot be read. Spaces, line breaks and commas are ignored.
function parse(text, most) {
  const plain = text.replace(/[\s,]+/g, ""), other = plain.match(/[^0-9]/u);
  if (other) return { wrong: `“${other[0]}” is not a digit: only 0 to 9 can be read.` };
  if (!plain) return { wrong: "Type at least one digit, 0 to 9." };
  if (plain.length > most) return { wrong: `These are ${grouped(plain.length)} digits; ${grouped(most)} can be read.` };
  return { digits: Uint8Array.from(plain) };
}

// An address ends in #digits=73&attack=greedy&step=20; but it does not take more than 2,000 digits.
const toAddress = ({ digits, typed, attack }, at) =>
  typed > 2000 ? "#" : `#digits=${digits.subarray(0, typed).join("")}&attack=${attack}&step=${at}`;

// {digits, attack, step}, or {wrong}; null where the address says nothing.
function fromAddress(hash, attacks) {
  const given = new URLSearchParams(hash.slice(1)), attack = given.get("attack") ?? "none";
  if (!given.has("digits")) return null;
  const { digits, wrong } = parse(given.get("digits"), MOST), step = Number(given.get("step") ?? digits?.length);
  if (wrong) return { wrong: `In the address: ${wrong}` };
  if (!attacks.includes(attack)) return { wrong: `In the address: there is no attack “${attack}” on this page.` };
  if (!(step >= 1 && step <= MOST)) return { wrong: `In the address: step must be from 1 to ${grouped(MOST)}.` };
  return { digits, attack, step: Math.floor(step) };
}

// How numbers are written.
const grouped = (n) => n.toLocaleString("en");
const signed = (value) => value.toFixed(2).replace("-", "−");
const brief = (p) => (p >= 0.9995 ? "> 99.9 %" : tenths(p));
const tenths = (p) => `${(100 * p).toFixed(1)} %`;
const raised = (text) => text.replace(/./g, (one) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(one)]);
const small = (x) => (x >= 0.01 || !x ? signed(x) : x.toExponential(1).replace(/e(.*)/, (_, n) => ` · 10${raised(n)}`));
const leastOf = (values) => values.reduce((a, b) => Math.min(a, b));

// What all networks say after `at` digits, and who was wrong.
function sentence({ digits, readings }, at) {
  const first = digits[0], parts = readings.map(({ said }, k) => {
    const wrong = grouped(said.subarray(0, at).findIndex((one) => one !== first) + 1), now = said[at - 1];
    const how = now !== first ? `, not ${first}: first wrong at digit ${wrong}` : wrong === "0" ? ", the first digit" :
      ` again, but was wrong at digit ${wrong}`;
    return `${readings.length === 1 ? "it" : k ? "the one beside it" : "the network"} says ${now}${how}`;
  });
  return `After ${at === 1 ? "one digit" : `${grouped(at)} digits`} ${parts.join("; ")}.`;
}

// Which network it is, and what is proved of it.
const PROVED = "Proved: after every sequence of digits, of every length, it names the first one";
const proof = ({ hidden, name, why }) => `${why ? `Not proved: ${why}` : PROVED}. ${hidden} units, ${name}.`;

// How near a state is to a wrong answer, and to the border of its set.
function distance({ network, margins }, first, at, state) {
  const so = `Margin now ${signed(margins[at - 1])}, least so far ${signed(leastOf(margins.subarray(0, at)))}`;
  if (network.why) return `${so}. Below 0 the answer is wrong.`;
  const { by, unit, name } = slack(network, first, state);
  const where = by >= 0 ? `Inside the set of ${first}: its border, at unit ${unit}’s ${name}, is ${small(by)} off` :
    at < network.follow ? `On its way into its set: the first ${network.follow} digits are proved one by one` :
    `Outside the set of ${first} by ${small(-by)}, in unit ${unit}’s ${name}: this contradicts the proof`;
  return `${so}; proved: never below ${signed(network.margin)}. ${where}.`;
}

const SETS = `Two mixtures of all h. In each ring lies the set of a digit, drawn to scale; the line is the way of the
  state.`;
const NO_SETS = `No sets, since it is not proved. In each ring lies the mean state after sequences that begin with this
  digit; the line is the way of the state.`;
