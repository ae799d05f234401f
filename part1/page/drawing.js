// The pictures: the digits with what is said after each, the margins, the sets, and one network from inside. They are
// drawn from a `view`, which explore.js makes: the story, the step shown, the columns in sight, the states in them.
const GUTTER = 58; // for the names of the rows, in pixels
let colours; // by their names in the style

const readColours = () => colours = Object.fromEntries(["paper", "ink", "faint", "line", "mark", "less", "more"].map(
  (name) => [name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()]));
const colourOf = (k) => (k ? colours.mark : colours.less); // of a network

// A canvas to draw on in CSS pixels, emptied.
function blank(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, ratio = globalThis.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.textBaseline = "middle";
  return { pen, width, height };
}

function write(pen, text, x, y, colour, { size = 12, weight = 400, align = "left", halo } = {}) {
  pen.font = `${weight} ${size}px system-ui, sans-serif`;
  pen.textAlign = align;
  Object.assign(pen, { fillStyle: colour, strokeStyle: colours.paper, lineWidth: 4 });
  if (halo) pen.strokeText(text, x, y);
  pen.fillText(text, x, y);
}

function line(pen, points, colour, { dash = [], wide = 1 } = {}) {
  pen.beginPath();
  points.forEach(([x, y], k) => (k ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  Object.assign(pen, { strokeStyle: colour, lineWidth: wide, lineJoin: "round" });
  pen.setLineDash(dash);
  pen.stroke();
  pen.setLineDash([]);
}

function dot(pen, [x, y], radius, colour, hollow) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  Object.assign(pen, { fillStyle: colour, strokeStyle: colour, lineWidth: 1.5 });
  hollow ? pen.stroke() : pen.fill();
}

// A row of digits, and for each network a row of what it says after each of them; what is wrong is filled.
function drawTape({ story, at, left, cell, count }) {
  const { digits, typed, last, done, readings } = story;
  page.tape.style.height = `${34 + 24 * readings.length}px`;
  const { pen, height } = blank(page.tape), { ink, paper, faint, mark } = colours, size = 17, align = "center";
  write(pen, "digit", 0, 17, faint);
  const names = readings.length > 1 ? ["network", "beside"] : ["it says"];
  names.forEach((name, k) => write(pen, name, 0, 46 + 24 * k, colourOf(k)));
  for (let step = left + 1; step <= Math.min(left + count, last); step++) {
    const x = GUTTER + (step - left - 1) * cell, centre = x + cell / 2, current = step === at;
    const weight = current || step === 1 ? 700 : 400, colour = step === 1 ? paper : step <= at ? ink : faint;
    if (step === 1) {
      pen.fillStyle = ink;
      pen.fillRect(x + 1, 3, cell - 2, 28);
    }
    if (step <= Math.max(done, typed)) write(pen, digits[step - 1], centre, 18, colour, { size, align, weight });
    readings.forEach(({ said }, k) => {
      if (step > at) return;
      const y = 34 + 24 * k, wrong = said[step - 1] !== digits[0];
      pen.fillStyle = mark;
      if (wrong) pen.fillRect(x + 1, y, cell - 2, 22);
      write(pen, said[step - 1], centre, y + 12, wrong ? paper : faint, { size: 14, align, weight: wrong ? 700 : 400 });
    });
    if (current) line(pen, [[x, 1], [x + cell, 1], [x + cell, height - 1], [x, height - 1], [x, 1]], ink, { wide: 2 });
  }
}

// The margin after every digit read, of many digits in one pixel the least; what is proved of it; and the step shown.
function drawChart({ story, at, span }) {
  const { pen, width, height } = blank(page.chart), { ink, faint, line: rule } = colours, { readings, done } = story;
  const bins = Math.min(done, width), edge = (bin) => Math.floor((bin * done) / bins);
  const curves = readings.map(({ margins }) => Array.from({ length: bins }, (_, bin) => {
    const from = edge(bin), to = edge(bin + 1);
    return [((from + to) / 2 / span) * width, leastOf(margins.subarray(from, to))];
  }));
  const values = [-2, 2, ...curves.flat().map(([, value]) => value)];
  const least = leastOf(values), most = Math.max(...values);
  const y = (value) => 3 + ((most - value) / (most - least)) * (height - 6);
  const level = (value) => [[0, y(value)], [width, y(value)]];
  pen.fillStyle = rule;
  pen.globalAlpha = 0.5;
  pen.fillRect(0, y(0), width, height);
  pen.globalAlpha = 1;
  line(pen, level(0), faint);
  readings.forEach(({ network }, k) => network.sets && line(pen, level(network.margin), colourOf(k), { dash: [2, 3] }));
  curves.forEach((curve, k) =>
    line(pen, curve.map(([x, value]) => [x, y(value)]), colourOf(k), { wide: 2, dash: k ? [5, 3] : [] }));
  const x = ((at - 0.5) / span) * width, end = { align: "right", halo: true };
  line(pen, [[x, 0], [x, height]], ink, { wide: 1.5 });
  readings.forEach(({ margins }, k) => dot(pen, [x, y(margins[at - 1])], 4, colourOf(k)));
  write(pen, "below this line: wrong", width - 10, Math.min(y(0) + 9, height - 7), faint, end);
  const { network } = readings[0];
  const proved = `proved: never below ${signed(network.margin ?? 0)}`;
  if (network.sets) write(pen, proved, width - 10, y(network.margin) - 9, colours.less, end);
}

// The plane: sets as they are, or where none is proved the mean state after each first digit; the states of the steps
// in sight, and the one shown. `close`: only the first digit's set. Returns how many pixels are a unit of length.
function drawMap(canvas, { network, first, path }, k, close) {
  const { pen, width } = blank(canvas), { ink, faint, less } = colours, { middles } = network;
  const centre = close ? middles.subarray(2 * first) : [0, 0], from = ([x, y]) => [x - centre[0], y - centre[1]];
  const reach = close && Math.max(...network.outlines[first].map(from).flat().map(Math.abs));
  const scale = close ? width / 2.3 / reach : width / 2 - 30;
  const to = (point) => from(point).map((value, axis) => width / 2 + (axis ? -scale : scale) * value);
  for (let digit = 0; digit < 10; digit++) {
    const [x, y] = middles.subarray(2 * digit), chosen = digit === first;
    const colour = chosen ? ink : faint;
    if (network.sets && (chosen || !close)) line(pen, network.outlines[digit].map(to), less);
    if (close) continue;
    const outside = 1 + 19 / scale / (Math.hypot(x, y) || 1);
    dot(pen, to([x, y]), 6, colour, true);
    write(pen, digit, ...to([x * outside, y * outside]), colour,
      { size: chosen ? 18 : 14, weight: chosen ? 700 : 400, align: "center" });
  }
  const points = path.map(to);
  pen.globalAlpha = 0.35;
  if (!close) line(pen, points, colourOf(k), { wide: 1.5 });
  points.forEach((point) => dot(pen, point, 2.5, colourOf(k)));
  pen.globalAlpha = 1;
  const shown = points.at(-1).map((value) => Math.min(Math.max(value, 6), width - 6));
  dot(pen, shown, 5, ink, shown.some((value, axis) => value !== points.at(-1)[axis]));
  return scale;
}

// Each unit's h between the bounds of the set.
function drawStrip({ network, first, state, nearest }) {
  const { pen, width, height } = blank(page.strip), { hidden, sets } = network, [low, high] = sets.h;
  const cell = width / hidden;
  line(pen, [[0, 1], [width, 1]], colours.less, { wide: 2 });
  line(pen, [[0, height - 1], [width, height - 1]], colours.less, { wide: 2 });
  state.h.forEach((h, unit) => {
    const k = first * hidden + unit, share = Math.min(Math.max((h - low[k]) / (high[k] - low[k]), -0.05), 1.05);
    const own = unit === nearest, x = (unit + 0.5) * cell, colour = own ? colours.mark : colours.ink;
    if (own) line(pen, [[x, 0], [x, height]], colour);
    dot(pen, [x, height - 4 - share * (height - 8)], own ? 4 : Math.min(cell / 2, 2.5), colour);
  });
}

// Twelve units' c, a row each; the gates i, f, o and c of one of them, a row each.
function drawInside({ at, left, count }, { units }, states, unit) {
  const name = units[unit], most = Math.max(...states.map(({ c }) => Math.abs(c[name])), 1e-6);
  const rows = (id, names, paint) => {
    const { pen, width, height } = blank(page[id]), cell = width / count, tall = height / names.length;
    states.forEach((state, k) => names.forEach((row, j) => {
      const x = Math.round(k * cell), wide = Math.max(Math.round((k + 1) * cell) - x - 1, 1);
      const [colour, strength, from, to] = paint(state, row);
      Object.assign(pen, { fillStyle: colour, globalAlpha: strength * (left + k < at ? 1 : 0.3) });
      pen.fillRect(x, (j + 1 - Math.max(from, to)) * tall, wide, Math.abs(to - from) * tall - 1);
    }));
    pen.globalAlpha = 1;
    line(pen, [[(at - left) * cell, 0], [(at - left) * cell, height]], colours.mark, { wide: 2 });
    const frame = (j) => [[1, j], [width - 1, j], [width - 1, j + 1], [1, j + 1], [1, j]];
    return (j) => line(pen, frame(j).map(([x, y]) => [x, y * tall]), colours.ink);
  };
  const signOf = (value) => (value < 0 ? colours.less : colours.more);
  rows("memory", units, ({ c }, row) => {
    const share = 0.6 * Math.tanh(c[row]) + 0.4 * Math.asinh(c[row]) / Math.asinh(1000); // it saturates late
    return [signOf(share), Math.min(Math.abs(share) + 0.03, 1), 0, 1];
  })(unit);
  rows("gates", [0, 1, 3, "c"], ({ c, gates }, row) => row === "c" ?
    [signOf(c[name]), 1, 0.5, 0.5 + c[name] / most / 2] : [colours.faint, 1, 0, 0.9 * gates[4 * name + row] + 0.05]);
}
