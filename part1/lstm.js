"use strict";
// The equations of lstm.py. The four numbers that belong to one unit lie side by side, in the order i, f, g, o.
let network; // {hidden, inputs, recurrent, readout, units, codes, opening}
const EVERY = 100; // steps from one state that is kept to the next

// What explore.py stored. `ten` holds what each of the ten digits becomes, so that W_x x + b of each is known at once.
function load(model) {
  const [weight_ih, weight_hh, ten, bias] = [model.weight_ih, model.weight_hh, model.ten, model.bias].map(numbers);
  const hidden = bias.length / 4, width = ten.length / 10;
  network = { hidden, units: model.units, opening: model.digits, codes: numbers(model.codes) };
  network.readout = { weight: Float64Array.from(numbers(model.readout[0])), bias: numbers(model.readout[1]) };
  network.inputs = new Float64Array(40 * hidden);
  network.recurrent = new Float64Array(4 * hidden * hidden);
  for (let gate = 0; gate < 4; gate++) {
    for (let unit = 0; unit < hidden; unit++) {
      const row = gate * hidden + unit;
      for (let digit = 0; digit < 10; digit++) {
        let a = bias[row];
        for (let k = 0; k < width; k++) a += weight_ih[row * width + k] * ten[digit * width + k];
        network.inputs[4 * (digit * hidden + unit) + gate] = a;
      }
      for (let k = 0; k < hidden; k++) network.recurrent[4 * (unit * hidden + k) + gate] = weight_hh[row * hidden + k];
    }
  }
}

const sigmoid = (a) => 1 / (1 + Math.exp(-a));

// One step: x(t), h(t−1), c(t−1) → h(t), c(t), which take their place; i, f, g, o of each unit go to `gates`.
function step(digit, h, c, gates) {
  const { hidden, inputs, recurrent } = network;
  for (let unit = 0, k = 0, at = 4 * digit * hidden; unit < hidden; unit++, at += 4) {
    let i = inputs[at], f = inputs[at + 1], g = inputs[at + 2], o = inputs[at + 3];
    for (let other = 0; other < hidden; other++, k += 4) {
      i += recurrent[k] * h[other];
      f += recurrent[k + 1] * h[other];
      g += recurrent[k + 2] * h[other];
      o += recurrent[k + 3] * h[other];
    }
    gates[4 * unit] = sigmoid(i);
    gates[4 * unit + 1] = sigmoid(f);
    gates[4 * unit + 2] = Math.tanh(g);
    gates[4 * unit + 3] = sigmoid(o);
  }
  for (let unit = 0; unit < hidden; unit++) {
    c[unit] = gates[4 * unit + 2] * gates[4 * unit] + c[unit] * gates[4 * unit + 1];
    h[unit] = Math.tanh(c[unit]) * gates[4 * unit + 3];
  }
}

// The probabilities of the ten digits, for an answer now.
function answer(h) {
  const { weight, bias } = network.readout, n = h.length;
  return softmax(Array.from(bias, (b, digit) => {
    let logit = b;
    for (let k = 0; k < n; k++) logit += weight[digit * n + k] * h[k];
    return logit;
  }));
}

// Digits that are being read. After `done` steps: i, f, o, c of the units shown, the answers' probabilities, the digit
// that was likeliest, and the greatest |c| of each unit so far.
function begin(digits) {
  const { hidden, units } = network, steps = digits.length, of = (n) => new Float32Array(n * steps);
  return {
    digits, done: 0, h: new Float64Array(hidden), c: new Float64Array(hidden), kept: [],
    traces: { i: of(units.length), f: of(units.length), o: of(units.length), c: of(units.length) },
    answers: of(10), said: new Uint8Array(steps), greatest: new Float32Array(units.length),
  };
}

// Read on to step `last`, or to the end.
function advance(reading, last = Infinity) {
  const { h, c, traces, answers, said, greatest } = reading, { units, hidden } = network;
  const gates = new Float64Array(4 * hidden);
  for (; reading.done < Math.min(last, reading.digits.length); reading.done++) {
    const t = reading.done;
    if (t % EVERY === 0) reading.kept[t / EVERY] = [h.slice(), c.slice()];
    step(reading.digits[t], h, c, gates);
    units.forEach((unit, k) => {
      const at = t * units.length + k;
      traces.i[at] = gates[4 * unit];
      traces.f[at] = gates[4 * unit + 1];
      traces.o[at] = gates[4 * unit + 3];
      traces.c[at] = c[unit];
      greatest[k] = Math.max(greatest[k], Math.abs(c[unit]));
    });
    const probability = answer(h);
    answers.set(probability, 10 * t);
    said[t] = probability.indexOf(Math.max(...probability));
  }
  return reading;
}

// The reading of the same digits but for the one at `position`; what was read before it is not read again.
function change(reading, position, digit) {
  const changed = begin(reading.digits.slice());
  changed.digits[position] = digit;
  const block = Math.min(Math.floor(position / EVERY), reading.kept.length - 1), done = Math.max(block, 0) * EVERY;
  if (!done) return changed;
  const { traces } = reading, n = network.units.length;
  for (const name in traces) changed.traces[name].set(traces[name].subarray(0, done * n));
  changed.answers.set(reading.answers.subarray(0, 10 * done));
  changed.said.set(reading.said.subarray(0, done));
  changed.traces.c.forEach((c, at) => changed.greatest[at % n] = Math.max(changed.greatest[at % n], Math.abs(c)));
  changed.kept = reading.kept.slice(0, block);
  changed.h.set(reading.kept[block][0]);
  changed.c.set(reading.kept[block][1]);
  changed.done = done;
  return changed;
}

// What a text says: {digits}, or {wrong}, a line that says why it cannot be read. Spaces, line ends, commas are let be.
function parse(text, most) {
  const plain = text.replace(/[\s,]+/g, ""), other = plain.match(/[^0-9]/u);
  if (other) return { wrong: `“${other[0]}” is not a digit: only 0 to 9 can be read.` };
  if (!plain) return { wrong: "Type at least one digit, 0 to 9." };
  if (plain.length > most) return { wrong: `These are ${grouped(plain.length)} digits; ${grouped(most)} can be read.` };
  return { digits: Uint8Array.from(plain) };
}

// The first `length` digits of a random palindrome of one digit more.
function palindrome(length) {
  const digits = Uint8Array.from({ length }, () => Math.floor(10 * Math.random()));
  for (let k = Math.ceil((length + 1) / 2); k < length; k++) digits[k] = digits[length - k];
  return digits;
}

// How numbers are written.
const grouped = (n) => n.toLocaleString("en");
const fine = (p) => {
  const places = p > 0.99 || p < 0.01 ? 2 : 0;
  const rounded = p > 0.9999 ? "over 99.99" : p < 0.0001 ? "below 0.01" : (100 * p).toFixed(places);
  return `${rounded}\u00a0%`;
};
const brief = (p) => (p > 0.9995 ? "> 99.9 %" : `${(100 * p).toFixed(1)} %`);
