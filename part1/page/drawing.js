// The pictures: the digits, the memory, the gates, and all of it at a glance. They are drawn from a `view`, which
// explore.js makes: what is read, the step and the unit shown, and the columns in sight.
let paper, ink, faint, mark, less, more; // colours as [red, green, blue]
let drawnWhole; // what the overview shows

const css = (colour, alpha = 1) => `rgb(${colour} / ${alpha})`.replaceAll(",", " ");
const blend = (from, to, share) => from.map((value, k) => Math.round(value + (to[k] - value) * share));
const tint = (share) => blend(paper, share < 0 ? less : more, Math.min(Math.abs(share), 1));
const tintOf = (c) => tint(0.6 * Math.tanh(c) + 0.4 * Math.asinh(c) / Math.asinh(1000)); // it saturates late

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["--paper", "--ink", "--faint", "--mark", "--less", "--more"];
  [paper, ink, faint, mark, less, more] = names.map((name) => {
    const hex = style.getPropertyValue(name).trim().slice(1), full = hex.length > 3 ? hex : hex.replace(/./g, "$&$&");
    return [0, 2, 4].map((k) => parseInt(full.slice(k, k + 2), 16));
  });
}

// A canvas to draw on in CSS pixels, emptied.
function blank(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, ratio = globalThis.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  return { pen, width, height };
}

function drawAll(view) {
  drawTape(view);
  drawMemory(view);
  for (const name of "ifoc") drawGate(name, view);
  drawWhole(view);
  page.head.style.left = `${view.columns.find(({ step }) => step === view.at).x - 1}px`;
  page.head.style.width = `${view.cell + 2}px`;
}

function drawTape({ now, before, changed, at, cell, columns }) {
  const { pen, height } = blank(page.tape), middle = height * 0.6, last = now.digits.length, first = now.digits[0];
  const size = Math.min(cell * 1.1, 23), tall = height * 0.68, top = middle - tall / 2;
  const write = (text, x, y, size, colour, weight = 400) => {
    pen.font = `${weight} ${size}px system-ui, sans-serif`;
    pen.fillStyle = css(colour);
    pen.fillText(text, x, y);
  };
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (const { step, x } of columns) {
    const position = step - 1, digit = now.digits[position], centre = x + cell / 2, other = changed.includes(position);
    if (step > last) { // the answer
      const done = at === last, right = now.said[at - 1] === first;
      pen.strokeStyle = css(done ? mark : faint);
      pen.fillStyle = css(done && right ? mark : paper);
      pen.setLineDash(done ? [] : [3, 3]);
      pen.fillRect(x + 1, top, cell - 2, tall);
      pen.strokeRect(x + 1, top, cell - 2, tall);
      write(done ? now.said[at - 1] : "?", centre, middle + 1, size, done ? (right ? paper : mark) : faint, 700);
      continue;
    }
    if (step === 1) {
      pen.fillStyle = css(mark);
      pen.fillRect(x + 1, top, cell - 2, tall);
    }
    const colour = step === 1 ? paper : other ? mark : step <= at ? ink : blend(paper, faint, 0.7);
    write(digit, centre, middle + 1, size, colour, step === 1 || step === at || other ? 700 : 400);
    if (other) {
      write(before.digits[position], centre, top - 4, size * 0.62, faint);
      pen.fillRect(centre - 4, top - 4, 8, 1);
    } else if (step === at) write(grouped(at), centre, top - 6, 11, mark, 600);
    else if (step === 1 && at > 3) write("first", Math.max(centre, 14), top - 6, 11, mark, 600);
  }
  if (columns[1].step > 2) write("⋮", (cell + columns[1].x) / 2, middle, 14, faint);
}

// A row for each unit. What it was before the change is the lower third of its row.
function drawMemory({ now, before, changed, at, unit, read, end }) {
  const { pen, height } = blank(page.memory), rows = network.units.length, row = height / rows;
  for (const { step, x, wide } of read) {
    pen.globalAlpha = step <= at ? 1 : 0.3;
    for (let k = 0; k < rows; k++) {
      pen.fillStyle = css(tintOf(trace(now, "c", step, k)));
      pen.fillRect(x, k * row, wide, row - 1);
      if (!changed.length || step > before.done) continue;
      pen.fillStyle = css(tintOf(trace(before, "c", step, k)));
      pen.fillRect(x, k * row + row * 0.62, wide, row * 0.38 - 1);
    }
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = css(ink);
  pen.strokeRect(0.5, unit * row - 0.5, end - 1, row);
}

// A gate or the memory of the unit close up; a line where it ran before the change.
function drawGate(name, { now, before, changed, at, unit, cell, read, end }) {
  const { pen, height } = blank(page[name]), most = Math.max(now.greatest[unit], before.greatest[unit], 1e-6);
  const base = name === "c" ? height / 2 : height - 0.5;
  const rise = (value) => (name === "c" ? (Math.asinh(value) / Math.asinh(most)) * base : value * (height - 1));
  pen.fillStyle = css(blend(paper, ink, 0.07));
  pen.fillRect(0, 0, end, height);
  for (const { step, x, wide } of read) {
    const value = trace(now, name, step, unit);
    pen.globalAlpha = step <= at ? 1 : 0.3;
    pen.fillStyle = css(name === "c" ? (value < 0 ? less : more) : blend(paper, ink, 0.55));
    pen.fillRect(x, base - Math.max(rise(value), 0), wide - 1, Math.abs(rise(value)));
    if (!changed.length || step <= changed[0] || step > before.done) continue;
    pen.fillStyle = css(mark, 0.75);
    pen.fillRect(x, base - rise(trace(before, name, step, unit)) - 1, cell, 2);
  }
  pen.globalAlpha = 1;
}

// All digits, as many to a pixel as there must be: of the probability the least, of the memory one.
function drawWhole({ now, before, changed, left, columns }) {
  const steps = now.digits.length, units = network.units.length, count = columns.length;
  page.whole.hidden = count > steps;
  if (page.whole.hidden) return;
  const share = (step) => `${(100 * step) / steps}%`, first = Math.max(left - 1, 0);
  page.part.style.left = share(first);
  page.part.style.width = share(Math.min(count, steps - first));
  const shown = [now.digits, now.done, before.done, page.curve.clientWidth, paper];
  if (drawnWhole?.every((value, k) => value === shown[k])) return;
  drawnWhole = shown;
  page.all.textContent = grouped(steps);
  const { pen, width, height } = blank(page.curve), image = new ImageData(width, units);
  const least = ({ answers, digits }, from, to) =>
    1 + (height - 1) * Math.min(...answers.subarray(10 * from, 10 * to).filter((_, k) => k % 10 === digits[0]));
  for (let x = 0; x < width; x++) {
    const from = Math.floor((x * steps) / width), to = Math.max(Math.floor(((x + 1) * steps) / width), from + 1);
    if (to > now.done) break;
    pen.fillStyle = css(mark, 0.85);
    pen.fillRect(x, height - least(now, from, to), 1, height);
    for (let k = 0; k < units; k++)
      image.data.set([...tintOf(trace(now, "c", from + 1, k)), 255], 4 * (k * width + x));
    if (!changed.length || to > before.done) continue;
    pen.fillStyle = css(ink, 0.5);
    pen.fillRect(x, height - least(before, from, to), 1, 1.5);
  }
  pen.fillStyle = css(ink);
  for (const position of changed) pen.fillRect((position / steps) * width - 1, 0, 2, height);
  page.blocks.width = width;
  page.blocks.height = units;
  page.blocks.getContext("2d").putImageData(image, 0, 0);
}

// A code is a strip of as many pixels as there are units.
function drawCode(canvas, values) {
  const pen = canvas.getContext("2d");
  values.forEach((value, k) => {
    pen.fillStyle = css(tint(value));
    pen.fillRect(k, 0, 1, 1);
  });
}
