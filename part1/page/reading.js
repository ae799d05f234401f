// Digits that all networks of the page read, and what is kept of it. Digits that are not typed come from an attack.
const MOST = 100000; // digits
const EVERY = 50; // steps from one state that is kept to the next

// What an attack is called, and its digit at position t. `other`: only where there is a second network.
const ATTACKS = {
  none: { name: "none: only what you type" },
  zeros: { name: "all 0s", next: () => 0 },
  alternate: { name: "0 9 0 9 …", next: ({ typed }, t) => ((t - typed) % 2 ? 9 : 0) },
  random: { name: "random", next: (_, t) => Math.floor(chance(t)) },
  greedy: { name: "greedy: the worst digit for the network", next: (story) => worstFor(story, 0) },
  other: { name: "greedy: the worst digit for the one beside it", next: (story) => worstFor(story, 1) },
};
const chance = (t) => (1e5 * (1 + Math.sin(12.9898 * (t + 1)))) % 10; // the same for everybody who opens an address
const worstFor = ({ readings, digits }, k) => worst(readings[k].network, readings[k].state, digits[0]);

// `typed` digits are given, `last` are wanted, `done` are read. Of each step are kept the margin and what was said.
function begin(networks) {
  const of = (network) => ({ network, kept: [], margins: new Float32Array(MOST), said: new Uint8Array(MOST) });
  const digits = new Uint8Array(MOST), readings = networks.map(of);
  return rewind({ digits, typed: 0, last: 0, done: Infinity, attack: "none", readings }, 0);
}

// Forget what was read from this position on.
function rewind(story, position) {
  if (story.done <= position) return story;
  story.done = Math.floor(position / EVERY) * EVERY;
  for (const reading of story.readings)
    reading.state = reading.kept[story.done / EVERY] ?? blankState(reading.network);
  return story;
}

// Other digits from a position on, or more of them.
function put(story, digits, position = 0) {
  rewind(story, position);
  story.digits.set(digits, position);
  story.typed = Math.max(story.typed, position + digits.length);
  story.last = Math.max(story.last, story.typed);
  return story;
}

// Read on to step `to`, or to the last.
function advance(story, to = story.last) {
  const { digits, readings, typed } = story;
  for (; story.done < Math.min(to, story.last); story.done++) {
    const t = story.done;
    if (t >= typed) digits[t] = ATTACKS[story.attack].next(story, t);
    for (const reading of readings) {
      if (t % EVERY === 0) reading.kept[t / EVERY] = reading.state;
      reading.state = step(reading.network, digits[t], reading.state);
      const logits = answer(reading.network, reading.state.h);
      reading.margins[t] = margin(logits, digits[0]);
      reading.said[t] = logits.indexOf(Math.max(...logits));
    }
  }
  return story;
}

// The states after the steps `from` … `to`, which were read, computed again.
function states({ network, kept }, digits, from, to) {
  const block = Math.floor((from - 1) / EVERY), found = [];
  for (let t = block * EVERY, state = kept[block]; t < to; t++) {
    state = step(network, digits[t], state);
    if (t + 1 >= from) found.push(state);
  }
  return found;
}
