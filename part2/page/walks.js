// Mixtures of latent points; the map of what lies between three; a walk from one point to the next as a picture.
const STEPS = 10; // from one digit to the next, as in interpolate.py
const SCALE = 8; // a pixel of the generator is 8 × 8 in the file
const COLOURS = [ // of the digits on the map (ColorBrewer's Set3); black is legible on all of them
  [141, 211, 199], [255, 255, 179], [190, 186, 218], [251, 128, 114], [128, 177, 211], [253, 180, 98], [179, 222, 105],
  [252, 205, 229], [217, 217, 217], [188, 128, 189]];

const greatest = (values) => values.indexOf(Math.max(...values));

// Σ w_k x_k, number by number.
const mix = (weights, points) => points[0].map((_, i) => weights.reduce((sum, w, k) => sum + w * points[k][i], 0));

// The weights in sum 1 with which three corners mix to the point p; some are below 0 if it lies outside.
function sharesAt(p, [a, b, c]) {
  const area = (p, q, r) => (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]);
  return [area(p, b, c), area(a, p, c), area(a, b, p)].map((part) => part / area(a, b, c));
}

// The same, none below 0: a point outside moves to the edge, towards the corner opposite.
function weigh(p, corners) {
  const positive = sharesAt(p, corners).map((share) => Math.max(share, 0)), sum = positive.reduce((a, b) => a + b);
  return positive.map((share) => share / sum);
}

// What is read at (i, j, n − i − j) / n of three points: {n, places: those numbers, seen: log probabilities at each}.
function* survey(points, n) {
  const places = [], seen = [];
  for (let i = 0; i <= n; i++) for (let j = 0; i + j <= n; j++) places.push([i, j, n - i - j]);
  for (let k = 0; k < places.length; k += 4, yield) {
    const four = places.slice(k, k + 4).map((place) => mix(place.map((part) => part / n), points));
    seen.push(...read(draw(four)).map((probability) => probability.map((p) => Math.log(p + 1e-9))));
  }
  return { n, places, seen };
}

// Paints each pixel by its likeliest digit, paler where that is less likely; between the places, logarithms run
// straight. Then writes its digit into each region, in the middle or where there is more room. The canvas is 100 wide.
function* drawMap(canvas, corners, { n, places, seen }) {
  const { width, height } = canvas, pixels = new ImageData(width, height), unit = 100 / width;
  const known = Object.fromEntries(places.map((place, k) => [place, seen[k]])), none = seen[0];
  const at = (i, j) => known[[i, j, n - i - j]] ?? none, digits = seen.map(greatest);
  for (let y = 0; y < height; y++, yield) for (let x = 0; x < width; x++) {
    const [u, v, w] = sharesAt([x * unit, y * unit], corners).map((share) => n * share);
    if (Math.min(u, v, w) < 0) continue;
    const i = Math.floor(u), j = Math.floor(v), s = u - i, t = v - j, corner = [at(i + 1, j), at(i, j + 1)];
    const here = s + t < 1 ? mix([1 - s - t, s, t], [at(i, j), ...corner])
      : mix([s + t - 1, 1 - t, 1 - s], [at(i + 1, j + 1), ...corner]);
    const digit = greatest(here), sure = softmax(here)[digit], rgb = COLOURS[digit].map((c) => 255 - sure * (255 - c));
    pixels.data.set([...rgb, 255], 4 * (y * width + x));
  }
  const pen = canvas.getContext("2d"), apart = (p, q) => Math.hypot(...p.map((part, a) => part - q[a])) / Math.SQRT2;
  pen.putImageData(pixels, 0, 0);
  Object.assign(pen, { strokeStyle: "#fff", lineWidth: 4, textAlign: "center", textBaseline: "middle" });
  const room = places.map((p, k) => Math.min(Math.min(...p) + 0.5,
    ...places.map((q, l) => (digits[l] === digits[k] ? n : apart(p, q) - 0.5))));
  const done = new Set();
  for (const k of places.keys()) {
    if (done.has(k)) continue;
    const region = new Set([k]); // it grows while it is walked through
    for (const a of region)
      places.forEach((q, b) => digits[b] === digits[a] && apart(places[a], q) < 1.1 && region.add(b));
    region.forEach((a) => done.add(a));
    const all = [...region], mean = mix(all.map(() => 1 / all.length), all.map((a) => places[a]));
    const worth = all.map((a) => room[a] - apart(places[a], mean) / 9), best = all[greatest(worth)];
    const [x, y] = mix(places[best].map((part) => part / n / unit), corners);
    Object.assign(pen, { fillStyle: "#000", font: `600 ${Math.min(12 + 9 * room[best], 44)}px system-ui` });
    if (all.length > 2) ["strokeText", "fillText"].forEach((draws) => pen[draws](digits[best], x, y));
  }
}

// The weights of three points, so many legs on the way from the first to the last; and the images on it.
const along = (legs) => [0, 1, 2].map((k) => Math.max(1 - Math.abs(legs - k), 0));
const walk = (points) =>
  Array.from({ length: 2 * STEPS + 1 }, (_, step) => draw([mix(along(step / STEPS), points)])[0]);

// An image in [−1, 1] on a canvas of 28 × 28 pixels; its clamped bytes round by themselves.
function paint(canvas, image) {
  const pixels = new ImageData(28, 28);
  image.forEach((value, k) => pixels.data.fill((value + 1) * 127.5, 4 * k, 4 * k + 3).fill(255, 4 * k + 3, 4 * k + 4));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

// The address of a PNG: the images in a row, two light pixels between them, as in interpolate.py's picture.
function drawStrip(images) {
  const canvas = (width, height) => Object.assign(document.createElement("canvas"), { width, height });
  const one = canvas(28, 28), strip = canvas(SCALE * (30 * images.length - 2), SCALE * 28);
  const pen = strip.getContext("2d");
  pen.scale(SCALE, SCALE);
  Object.assign(pen, { fillStyle: "#a0a0a0", imageSmoothingEnabled: false });
  pen.fillRect(0, 0, 30 * images.length, 28);
  images.forEach((image, k) => {
    paint(one, image);
    pen.drawImage(one, 30 * k, 0);
  });
  return strip.toDataURL();
}
