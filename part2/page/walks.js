// Mixtures of latent points, and a walk from one point to the next as a picture.
const STEPS = 10; // from one digit to the next, as in interpolate.py
const SCALE = 8; // a pixel of the generator is 8 × 8 in the file

// Σ w_k x_k, number by number.
function mix(weights, points) {
  return points[0].map((_, i) => weights.reduce((sum, w, k) => sum + w * points[k][i], 0));
}

// The weights, none below 0 and in sum 1, with which the corners of a line or a triangle mix to the point p; of a point
// outside, those of the nearest point of an edge that it lies beyond.
function weigh(p, corners) {
  const [a, b, c] = corners;
  if (!c) {
    const [x, y] = [b[0] - a[0], b[1] - a[1]], along = ((p[0] - a[0]) * x + (p[1] - a[1]) * y) / (x * x + y * y);
    const share = Math.min(Math.max(along, 0), 1);
    return [1 - share, share];
  }
  const area = (p, q, r) => (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]);
  const weights = [area(p, b, c), area(a, p, c), area(a, b, p)].map((part) => part / area(a, b, c));
  const beyond = weights.findIndex((w) => w < 0);
  return beyond < 0 ? weights : weigh(p, corners.toSpliced(beyond, 1)).toSpliced(beyond, 0, 0);
}

// The images at z = (1 − α) z_1 + α z_2 from each point to the next; one at a point in between comes once.
function walk(points) {
  const legs = points.length - 1;
  return Array.from({ length: legs * STEPS + 1 }, (_, step) => {
    const leg = Math.min(Math.floor(step / STEPS), legs - 1), alpha = step / STEPS - leg;
    return draw(mix([1 - alpha, alpha], points.slice(leg, leg + 2)));
  });
}

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
  pen.fillStyle = "#a0a0a0";
  pen.fillRect(0, 0, 30 * images.length, 28);
  pen.imageSmoothingEnabled = false;
  images.forEach((image, k) => {
    paint(one, image);
    pen.drawImage(one, 30 * k, 0);
  });
  return strip.toDataURL();
}
