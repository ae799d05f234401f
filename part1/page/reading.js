// Digits that are being read, and what is kept of it for the pictures and the sentences.
const EVERY = 100; // steps from one state that is kept to the next

// After `done` steps: i, f, o, c of the units shown, the answers' probabilities, the digit that was likeliest, and the
// greatest |c| of each unit so far.
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
  [changed.h, changed.c] = reading.kept[block].map((state) => state.slice());
  changed.done = done;
  return changed;
}

// At one step: a gate or the memory of a unit, and the probabilities of the answer.
const trace = (reading, name, step, unit) => reading.traces[name][(step - 1) * network.units.length + unit];
const probability = (reading, step) => reading.answers.subarray(10 * (step - 1), 10 * step);
