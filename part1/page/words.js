// What is typed, understood; and what the page says, in plain words.

// A text as {digits}, or {wrong}, a line that says why it cannot be read. Spaces, line breaks and commas are ignored.
function parse(text, most) {
  const plain = text.replace(/[\s,]+/g, ""), other = plain.match(/[^0-9]/u);
  if (other) return { wrong: `“${other[0]}” is not a digit: only 0 to 9 can be read.` };
  if (!plain) return { wrong: "Type at least one digit, 0 to 9." };
  if (plain.length > most) return { wrong: `These are ${grouped(plain.length)} digits; ${grouped(most)} can be read.` };
  return { digits: Uint8Array.from(plain) };
}

// How numbers are written.
const grouped = (n) => n.toLocaleString("en");
const fine = (p) => {
  const places = p > 0.99 || p < 0.01 ? 2 : 0;
  const rounded = p > 0.9999 ? "over 99.99" : p < 0.0001 ? "below 0.01" : (100 * p).toFixed(places);
  return `${rounded}\u00a0%`;
};
const brief = (p) => (p >= 0.9995 ? "> 99.9 %" : tenths(p));
const tenths = (p) => `${(100 * p).toFixed(1)} %`;

// The text of each element that changes with the step, by its id.
function tell({ now, before, changed, at, unit }) {
  const says = now.said[at - 1], first = now.digits[0], digit = now.digits[at - 1];
  const since = now.said.subarray(0, at).findLastIndex((said) => said !== says) + 2;
  const still = since < at && says === first ? "still " : "";
  const [i, f, o, c] = [..."ifoc"].map((name) => trace(now, name, at, unit));
  return {
    read: `After ${at === 1 ? "one digit" : `${grouped(at)} digits`} it ${still}says`,
    said: says,
    sure: fine(probability(now, at)[says]),
    first: says === first ? "." : `. The first digit was ${first}.`,
    why: changed.length ? compare(now, before, changed, at) : judge(now, at, since),
    undo: changed.length > 1 ? `Undo ${grouped(changed.length)} changes` : "Undo the change",
    raise: `Digit ${grouped(at)}: ${digit}\u00a0→\u00a0${(digit + 1) % 10}`,
    "i-now": tenths(i), "f-now": tenths(f), "o-now": tenths(o), "c-now": c.toFixed(2).replace("-", "−"),
  };
}

// Whether what it says is right, and for how long it has said so.
function judge({ said, digits }, at, since) {
  if (said[at - 1] !== digits[0])
    return said.subarray(0, at).includes(digits[0]) ? "It has lost it again." : "It does not know it yet.";
  if (since === at) return "It has just begun to say so.";
  return `It has said so at every step${since > 1 ? ` since digit ${grouped(since)}` : ""}.`;
}

// What was changed, and what it said before.
function compare(now, before, changed, at) {
  const [p] = changed, what = changed.length > 1 ? `${grouped(changed.length)} digits are changed` :
    `Digit ${grouped(p + 1)} was ${before.digits[p]} and is ${now.digits[p]} now`;
  const old = before.said[at - 1], was = fine(probability(before, at)[old]);
  if (at <= p) return `${what}; it has not come to that yet.`;
  return at > before.done ? `${what}.` : `${what}. Before, it said ${old} here: ${was}.`;
}
