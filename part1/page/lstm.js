// The equations of lstm.py. The four numbers that belong to one unit lie side by side, in the order i, f, g, o.
let network; // {hidden, inputs, recurrent, readout, units, codes}

// What explore.py stored. `ten` holds what each of the ten digits becomes, so that W_x x + b of each is known at once.
function load(model) {
  const [weight_ih, weight_hh, ten, bias] = [model.weight_ih, model.weight_hh, model.ten, model.bias].map(numbers);
  const hidden = bias.length / 4, width = ten.length / 10;
  network = { hidden, units: model.units, codes: numbers(model.codes) };
  network.readout = { weight: Float64Array.from(numbers(model.readout[0])), bias: numbers(model.readout[1]) };
  network.inputs = new Float64Array(40 * hidden);
  network.recurrent = new Float64Array(4 * hidden * hidden);
  for (let row = 0; row < 4 * hidden; row++) {
    const gate = Math.floor(row / hidden), unit = row % hidden;
    for (let digit = 0; digit < 10; digit++) {
      let a = bias[row];
      for (let k = 0; k < width; k++) a += weight_ih[row * width + k] * ten[digit * width + k];
      network.inputs[4 * (digit * hidden + unit) + gate] = a;
    }
    for (let k = 0; k < hidden; k++) network.recurrent[4 * (unit * hidden + k) + gate] = weight_hh[row * hidden + k];
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
