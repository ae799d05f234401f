// One's own digit: strokes in MNIST's form, and the latent point whose image comes closest to them.
const PEN = 1.2; // half the width of a line, in pixels of the image
const PLACES = Array.from({ length: 784 }, (_, k) => [(k % 28) + 0.5, Math.floor(k / 28) + 0.5]); // of these pixels

const within = (value, low, high) => Math.min(Math.max(value, low), high);
const distance = (a, b) => Math.hypot(...a.map((value, i) => value - b[i]));

// Strokes, lists of points [x, y], as an image in [−1, 1] in MNIST's form: scaled into 20 × 20 of the 28 × 28 pixels,
// its centre of mass where MNIST has it, at (14.5, 14.5).
function centre(strokes) {
  const values = [0, 1].map((axis) => strokes.flat().map((p) => p[axis])), low = values.map((all) => Math.min(...all));
  const size = values.map((all, axis) => Math.max(...all) - low[axis]);
  const scale = (20 - 2 * PEN) / Math.max(...size, 1e-9);
  let from = size.map((side) => 14 - (scale * side) / 2), image;
  for (let time = 0; time < 2; time++) {
    image = ink(strokes.map((stroke) => stroke.map((p) => p.map((v, axis) => scale * (v - low[axis]) + from[axis]))));
    const light = image.map((value) => value + 1), sum = light.reduce((a, b) => a + b), mass = mix(light, PLACES);
    from = from.map((v, axis) => v + within(14.5 - mass[axis] / sum, -4, 4));
  }
  return image;
}

// Lines through the points, 2 PEN wide, with soft edges.
function ink(strokes) {
  const image = new Float32Array(784).fill(-1);
  for (const stroke of strokes) stroke.forEach((to, n) => {
    const from = stroke[Math.max(n - 1, 0)], [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    PLACES.forEach(([x, y], k) => {
      const share = within(((x - from[0]) * dx + (y - from[1]) * dy) / (dx * dx + dy * dy) || 0, 0, 1);
      const far = Math.hypot(x - from[0] - share * dx, y - from[1] - share * dy);
      image[k] = Math.max(image[k], 2 * within(PEN + 0.5 - far, 0, 1) - 1);
    });
  });
  return image;
}

// A latent point as text, to a precision of 1/32, and back.
const toText = (z) => btoa(String.fromCharCode(...Array.from(z, (v) => within(Math.round(32 * v), -127, 127) & 255)));
const fromText = (text) => Float32Array.from(atob(text), (one) => ((one.charCodeAt(0) << 24) >> 24) / 32);

// Draws the images of all candidates, once.
function* prepare({ candidates, images }) {
  for (; images.length < candidates.length; yield)
    images.push(...draw(candidates.slice(images.length, images.length + 4)));
}

// Steps of Adam down |G(z) − x|² + weight · |z|² from the four candidates whose images are nearest, as in inverse.py.
// Only the numbers from free[0] to free[1] change, not z's signs and its label. Yields an image as it comes closer.
function* find(x, { candidates, images, steps, rate, weight, free }) {
  yield* prepare({ candidates, images });
  const far = images.map((image) => distance(image, x)), order = [...far.keys()].sort((a, b) => far[a] - far[b]);
  const z = weave(order.slice(0, 4).map((k) => candidates[k])), target = weave([x]);
  const m = new Float32Array(z.length), v = new Float32Array(z.length);
  for (let step = 1; step <= steps; step++) {
    const { image, d } = gradient(z, target);
    for (let i = 4 * free[0]; i < 4 * free[1]; i++) {
      const slope = d[i] + 2 * weight * z[i];
      m[i] += 0.1 * (slope - m[i]);
      v[i] += 0.001 * (slope * slope - v[i]);
      z[i] -= (rate * m[i]) / (1 - 0.9 ** step) / (Math.sqrt(v[i] / (1 - 0.999 ** step)) + 1e-8);
    }
    yield unweave(image, 1)[0];
  }
  const points = unweave(z).map((point) => fromText(toText(point))), found = draw(points);
  const off = found.map((image) => distance(image, x)), best = off.indexOf(Math.min(...off));
  return { z: points[best], image: found[best], off: off[best], nearest: far[order[0]] };
}
