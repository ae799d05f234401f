// The generator and the classifier.
let generator, classifier; // lists of layers {weight, bias}: weight holds one row after the other

// What explore.py stored.
function load(model) {
  const layers = (pairs) => pairs.map(([weight, bias]) => ({ weight: numbers(weight), bias: numbers(bias) }));
  [generator, classifier] = [layers(model.generator), layers(model.classifier)];
}

// y = max(a, slope · a) with a = W x + b. A slope of 0.2 makes it LeakyReLU, 0 ReLU, and 1 leaves a as it is.
function product({ weight, bias }, x, slope) {
  const y = new Float32Array(bias.length);
  for (let row = 0, k = 0; row < y.length; row++) {
    let a = bias[row];
    for (let column = 0; column < x.length; column++, k++) a += weight[k] * x[column];
    y[row] = Math.max(a, slope * a);
  }
  return y;
}

// G(z): latent → 784 numbers in [−1, 1].
function draw(z) {
  const hidden = generator.slice(0, -1).reduce((h, layer) => product(layer, h, 0.2), z);
  return product(generator.at(-1), hidden, 1).map(Math.tanh);
}

// A convolution 3 × 3 with a border of zeros, ReLU, and the greatest of each 2 × 2. Of (maps, side, side) it makes as
// many maps as the layer has biases, half as wide.
function convolve(layer, maps, side) {
  const patch = new Float32Array(layer.weight.length / layer.bias.length); // (maps, 3, 3)
  const half = side / 2, pooled = new Float32Array(layer.bias.length * half * half);
  for (let pixel = 0; pixel < side * side; pixel++) {
    const y = Math.floor(pixel / side), x = pixel % side;
    for (let k = 0; k < patch.length; k++) {
      const row = y + (Math.floor(k / 3) % 3) - 1, column = x + (k % 3) - 1;
      const inside = row >= 0 && row < side && column >= 0 && column < side;
      patch[k] = inside ? maps[(Math.floor(k / 9) * side + row) * side + column] : 0;
    }
    product(layer, patch, 0).forEach((value, map) => {
      const k = (map * half + (y >> 1)) * half + (x >> 1);
      pooled[k] = Math.max(pooled[k], value);
    });
  }
  return pooled;
}

// The classifier's probabilities of the ten digits, for an image in [−1, 1].
function read(image) {
  const [first, second, third, last] = classifier;
  const features = product(third, convolve(second, convolve(first, image, 28), 14), 0);
  return softmax(product(last, features, 1));
}
