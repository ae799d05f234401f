// The generator and the classifier, for four images at a time: of x[4 i + k], i counts units and k images.
let generator, transposed, classifier; // lists of layers {weight, bias}: weight holds one row after the other

// What explore.py stored.
function load(model) {
  const layers = (pairs) => pairs.map(([weight, bias]) => ({ weight: numbers(weight), bias: numbers(bias) }));
  [generator, classifier] = [layers(model.generator), layers(model.classifier)];
  transposed = generator.map(({ weight, bias }) => {
    const n = bias.length, m = weight.length / n;
    return { weight: weight.map((_, k) => weight[(k % n) * m + Math.floor(k / n)]), bias: new Float32Array(m) };
  });
}

// Up to four rows side by side, in the form above; and back.
const weave = (rows) => Float32Array.from({ length: 4 * rows[0].length }, (_, i) => (rows[i % 4] ?? rows[0])[i >> 2]);
const unweave = (x, count = 4) => [0, 1, 2, 3].slice(0, count).map((lane) => x.filter((_, i) => i % 4 === lane));

// y = max(a, slope · a) with a = W x + b, two rows of W at once. A slope of 0.2 makes it LeakyReLU, 0 ReLU, and 1
// leaves a as it is. (The last of an odd number of rows has no partner: that one's values lie outside y and are lost.)
function product({ weight, bias }, x, slope) {
  const rows = bias.length, columns = x.length / 4, y = new Float32Array(4 * rows);
  for (let row = 0; row < rows; row += 2) {
    let a = bias[row], b = a, c = a, d = a, e = bias[row + 1], f = e, g = e, h = e;
    for (let j = 0, k = row * columns, l = k + columns; j < x.length; j += 4, k++, l++) {
      const v = weight[k], w = weight[l], p = x[j], q = x[j + 1], r = x[j + 2], s = x[j + 3];
      a += v * p; b += v * q; c += v * r; d += v * s;
      e += w * p; f += w * q; g += w * r; h += w * s;
    }
    const k = 4 * row;
    y[k] = a; y[k + 1] = b; y[k + 2] = c; y[k + 3] = d; y[k + 4] = e; y[k + 5] = f; y[k + 6] = g; y[k + 7] = h;
  }
  for (let k = 0; k < y.length; k++) if (y[k] < 0) y[k] *= slope;
  return y;
}

// z, what each layer makes of it, and at last G(z): 784 numbers in [−1, 1].
const forward = (z) => generator.reduce((outputs, layer) => [...outputs, layer === generator.at(-1) ?
  product(layer, outputs.at(-1), 1).map(Math.tanh) : product(layer, outputs.at(-1), 0.2)], [z]);

// G(z), and the gradient of |G(z) − x|² by z: from the last layer back, with tanh′ = 1 − tanh².
function gradient(z, x) {
  const outputs = forward(z), image = outputs.pop();
  let d = image.map((value, i) => 2 * (value - x[i]) * (1 - value * value));
  for (let k = outputs.length - 1; k >= 0; k--) {
    d = product(transposed[k], d, 1);
    if (k) d = d.map((value, i) => (outputs[k][i] < 0 ? 0.2 * value : value));
  }
  return { image, d };
}

// The images of up to four latent points.
const draw = (points) => unweave(forward(weave(points)).at(-1), points.length);

// A convolution 3 × 3 with a border of zeros, ReLU, and the greatest of each 2 × 2: these are the four at a time. Of
// (maps, side, side) it makes as many maps as the layer has biases, half as wide.
function convolve(layer, maps, side) {
  const patch = new Float32Array((4 * layer.weight.length) / layer.bias.length); // (maps, 3, 3), four of them
  const half = side / 2, area = half * half, pooled = new Float32Array(layer.bias.length * area);
  for (let cell = 0; cell < area; cell++) {
    const top = 2 * Math.floor(cell / half) - 1, left = 2 * (cell % half) - 1;
    for (let k = 0; k < patch.length; k++) {
      const tap = k >> 2, row = top + (Math.floor(tap / 3) % 3) + ((k >> 1) & 1), column = left + (tap % 3) + (k & 1);
      const inside = row >= 0 && row < side && column >= 0 && column < side;
      patch[k] = inside ? maps[(Math.floor(tap / 9) * side + row) * side + column] : 0;
    }
    product(layer, patch, 0).forEach((value, k) => {
      const place = (k >> 2) * area + cell;
      pooled[place] = Math.max(pooled[place], value);
    });
  }
  return pooled;
}

// The classifier's probabilities of the ten digits, for up to four images in [−1, 1].
function read(images) {
  const [first, second, third, last] = classifier;
  const features = images.map((image) => convolve(second, convolve(first, image, 28), 14));
  return unweave(product(last, product(third, weave(features), 0), 1), images.length).map(softmax);
}
