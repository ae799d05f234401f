// The equations of lstm.py. The four numbers that belong to one unit lie side by side, in the order i, f, g, o.

// A network that explore.py stored. `ten` holds what each of the ten digits becomes, so that W_x x + b of each is known
// at once. Of a proved network `sets` holds the bounds of h and c for each first digit, row after row.
function load({ weight_ih, weight_hh, bias, ten, readout, plane, sets, ...rest }) {
  const [wide, square, biases, digits] = [weight_ih, weight_hh, bias, ten].map(numbers);
  const hidden = biases.length / 4, width = digits.length / 10, [h, c] = (sets ?? []).map((one) => one.map(numbers));
  const inputs = new Float64Array(40 * hidden), recurrent = new Float64Array(4 * hidden * hidden);
  for (let row = 0; row < 4 * hidden; row++) {
    const gate = Math.floor(row / hidden), unit = row % hidden;
    for (let digit = 0; digit < 10; digit++) {
      let a = biases[row];
      for (let k = 0; k < width; k++) a += wide[row * width + k] * digits[digit * width + k];
      inputs[4 * (digit * hidden + unit) + gate] = a;
    }
    for (let k = 0; k < hidden; k++) recurrent[4 * (unit * hidden + k) + gate] = square[row * hidden + k];
  }
  const [weight, offset] = readout.map(numbers), [across, centre, middles] = plane.map(numbers);
  const network = { ...rest, hidden, inputs, recurrent, weight, offset, across, centre, middles };
  if (sets) network.sets = { h, c };
  if (sets) network.outlines = Array.from({ length: 10 }, (_, digit) => outline(network, digit));
  return network;
}

const sigmoid = (a) => 1 / (1 + Math.exp(-a));

// h(0) = c(0) = 0.
const blankState = ({ hidden }) => ({ h: new Float64Array(hidden), c: new Float64Array(hidden) });

// W_·h h(t−1), which is the same for every digit.
function recall({ hidden, recurrent }, h) {
  const sums = new Float64Array(4 * hidden);
  for (let unit = 0, k = 0; unit < hidden; unit++) {
    let i = 0, f = 0, g = 0, o = 0;
    for (let other = 0; other < hidden; other++, k += 4) {
      i += recurrent[k] * h[other];
      f += recurrent[k + 1] * h[other];
      g += recurrent[k + 2] * h[other];
      o += recurrent[k + 3] * h[other];
    }
    [sums[4 * unit], sums[4 * unit + 1], sums[4 * unit + 2], sums[4 * unit + 3]] = [i, f, g, o];
  }
  return sums;
}

// One step: x(t), h(t−1), c(t−1) → h(t), c(t), and i, f, g, o of each unit.
function step(network, digit, { h: before, c: kept }, sums = recall(network, before)) {
  const { hidden, inputs } = network, { h, c } = blankState(network), gates = new Float64Array(4 * hidden);
  for (let unit = 0, k = 0, at = 4 * digit * hidden; unit < hidden; unit++, k += 4, at += 4) {
    const i = sigmoid(inputs[at] + sums[k]), f = sigmoid(inputs[at + 1] + sums[k + 1]);
    const g = Math.tanh(inputs[at + 2] + sums[k + 2]), o = sigmoid(inputs[at + 3] + sums[k + 3]);
    c[unit] = g * i + kept[unit] * f;
    h[unit] = Math.tanh(c[unit]) * o;
    [gates[k], gates[k + 1], gates[k + 2], gates[k + 3]] = [i, f, g, o];
  }
  return { h, c, gates };
}

// The ten logits of an answer now.
function answer({ weight, offset }, h) {
  return Array.from(offset, (b, digit) => {
    let logit = b;
    for (let k = 0; k < h.length; k++) logit += weight[digit * h.length + k] * h[k];
    return logit;
  });
}

// By how much the logit of the right digit exceeds every other one.
const margin = (logits, right) => logits[right] - Math.max(...logits.filter((_, digit) => digit !== right));

// The digit that leaves the least margin if it is read next.
function worst(network, state, right) {
  const sums = recall(network, state.h), after = (digit) => answer(network, step(network, digit, state, sums).h);
  const margins = Array.from({ length: 10 }, (_, digit) => margin(after(digit), right));
  return margins.indexOf(Math.min(...margins));
}

// How far inside the set of a digit a state is: the least distance to a bound, and whose. Negative: outside.
function slack({ sets, hidden }, digit, state) {
  let least = { by: Infinity };
  for (const name of ["h", "c"]) {
    const [low, high] = sets[name];
    state[name].forEach((value, unit) => {
      const k = digit * hidden + unit, by = Math.min(value - low[k], high[k] - value);
      if (by < least.by) least = { by, unit, name };
    });
  }
  return least;
}

// Where a state is in the plane: P h + p.
function place({ across, centre, hidden }, h) {
  return [0, 1].map((axis) => h.reduce((sum, value, k) => sum + value * across[axis * hidden + k], centre[axis]));
}

// What the box of a digit's h becomes in the plane: a polygon around its middle. Unit k gives it the side 2 r_k P_k.
function outline(network, digit) {
  const { sets, hidden, across } = network, from = digit * hidden;
  const [low, high] = sets.h.map((row) => row.subarray(from, from + hidden));
  const sides = Array.from(low, (least, k) => {
    const [x, y] = [across[k], across[hidden + k]].map((p) => p * (high[k] - least));
    return y < 0 ? [-x, -y] : [x, y];
  }).sort((a, b) => Math.atan2(a[1], a[0]) - Math.atan2(b[1], b[0]));
  let [x, y] = place(network, Float64Array.from(low, (least, k) => (least + high[k]) / 2));
  for (const side of sides) [x, y] = [x - side[0] / 2, y - side[1] / 2];
  return [...sides, ...sides.map(([a, b]) => [-a, -b])].map(([a, b]) => ([x, y] = [x + a, y + b]));
}
