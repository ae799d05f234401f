// The page: what is read and shown, its controls, and when it computes.
const MOST = 100000; // digits, and at most as many
const LENGTHS = [10, 100, 1000, 10000, 100000];
const NARROWEST = 17, WIDEST = 120; // of a column, in pixels
const GAP = 10; // after the first column, where those that follow it are out of sight
const MARGIN = 3; // columns that stay in sight on both sides of the one just read
const KEYS = { home: "Home", back: "ArrowLeft", play: " ", next: "ArrowRight", end: "End", raise: "+" }; // of buttons
const PLAY = "M7 4v16l13-8z", PAUSE = "M6 4h4v16H6zM14 4h4v16h-4z";

let now, before; // readings: of the digits, and of what they were when they were typed or drawn
let changed = []; // the positions at which these two differ
let at = 1, wanted = 1; // the step that is shown, and the one to show as soon as it is computed
let left = 1; // the step of the first column; where that is not 1, the first column is step 1 all the same
let unit = 0; // of the units shown, the one close up
let playing = null; // {from, began}: the step and the time at which it began
let timer; // of the computation

// What is to be drawn and said. Columns: one more than there are digits, for the answer, or those that have room.
function look() {
  const width = page.tape.clientWidth, all = now.digits.length + 1, fits = width / all >= NARROWEST;
  const count = fits ? all : Math.max(Math.floor((width - GAP) / NARROWEST), 2 * MARGIN + 2);
  const cell = fits ? Math.min(width / all, WIDEST) : (width - GAP) / count;
  left = Math.max(left, at - (count - 1 - MARGIN));
  left = Math.max(Math.min(left, at - 1 - MARGIN, all + 1 - count), 1);
  const columns = Array.from({ length: count }, (_, k) => ({
    step: k ? left + k : 1,
    x: Math.round(k * cell + (k && left > 1 ? GAP : 0)),
    wide: Math.round((k + 1) * cell) - Math.round(k * cell),
  }));
  const read = columns.filter(({ step }) => step <= now.done);
  return { now, before, changed, at, unit, left, cell, columns, read, end: columns.at(-1).x + cell };
}

// After every move, every change, and every piece of computation.
function redraw() {
  const view = look(), last = now.digits.length, answers = probability(now, at);
  drawAll(view);
  for (const [id, text] of Object.entries(tell(view))) page[id].textContent = text;
  page.said.className = now.said[at - 1] === now.digits[0] ? "right" : "";
  page.undo.hidden = page.ghost.hidden = !changed.length;
  showBars(page.bars, [...answers], brief);
  [...page.bars.children].forEach((bar, digit) => {
    if (digit === now.digits[0]) bar.className += " first";
    const was = at > before.done ? 0 : probability(before, at)[digit];
    bar.children[4].hidden = Math.abs(was - answers[digit]) < 0.005;
    bar.children[4].style.width = `${100 * was}%`;
  });
  drawCode(page.code, network.units.map((_, k) => Math.tanh(trace(now, "c", at, k))));
  for (const id of ["home", "back"]) page[id].setAttribute("aria-disabled", at === 1);
  for (const id of ["next", "end"]) page[id].setAttribute("aria-disabled", at === last);
  page.pad.setAttribute("aria-valuenow", at);
  page.pad.setAttribute("aria-valuemax", last);
  page.pad.setAttribute("aria-valuetext", `${grouped(at)} of ${grouped(last)}, a ${now.digits[at - 1]}`);
}

function move(step) {
  wanted = Math.min(Math.max(step, 1), now.digits.length);
  at = Math.min(wanted, now.done);
  redraw();
}

// Compute what is missing, a little at a time.
function compute() {
  const until = performance.now() + 25, missing = [now, before].filter((one) => one.done < one.digits.length);
  clearTimeout(timer);
  for (const reading of missing)
    while (reading.done < reading.digits.length && performance.now() < until) advance(reading, reading.done + 20);
  if (!now.done) advance(now, 1);
  move(wanted);
  if (missing.some((one) => one.done < one.digits.length)) timer = setTimeout(compute);
}

function show(digits, step = digits.length) {
  pause();
  now = before = begin(digits);
  [changed, left, wanted] = [[], 1, step];
  compute();
}

// Another digit at a position; the step shown stays.
function put(position, digit) {
  pause();
  now = change(now, position, digit);
  changed = changed.filter((other) => other !== position);
  if (before.digits[position] !== digit) changed = [...changed, position].sort((a, b) => a - b);
  if (!changed.length) now = before;
  fill();
  compute();
}

const raise = (position, by = 1) => put(position, (now.digits[position] + by) % 10);

function fill() {
  page.text.value = now.digits.join("");
  complain("");
}

function complain(line) {
  page.wrong.textContent = line;
  page.text.setAttribute("aria-invalid", line !== "");
}

function label() {
  page.sign.setAttribute("d", playing ? PAUSE : PLAY);
  page.play.setAttribute("aria-label", playing ? "Pause" : "Play");
  page.status.setAttribute("aria-live", playing ? "off" : "polite"); // else it would talk without end
}

function play() {
  if (at === now.digits.length) move(1);
  playing = { from: at, began: performance.now() };
  label();
  requestAnimationFrame(tick);
}

function pause() {
  if (playing) wanted = at; // else it may still be computed
  playing = null;
  label();
}

// Six steps a second at first, then faster and faster: 100,000 are played in half a minute.
function tick(time) {
  if (!playing) return;
  const step = playing.from + Math.floor(18 * Math.expm1(Math.max(time - playing.began, 0) / 3000));
  if (step !== wanted) move(step);
  if (at === now.digits.length) pause();
  else requestAnimationFrame(tick);
}

function go(step) {
  pause();
  move(step);
}

function choose(k) {
  unit = page.unit.value = k;
  redraw();
}

// What a key does, and the button of that key; false if it does nothing.
function act(key) {
  const last = now.digits.length, many = look().columns.length - 1, moves = { ArrowLeft: -1, ArrowRight: 1 };
  Object.assign(moves, { ArrowDown: -1, ArrowUp: 1, Home: -last, End: last, PageUp: -many, PageDown: many });
  if (key in moves) go(at + moves[key]);
  else if (key === " ") playing ? pause() : play();
  else if (key === "+" || key === "-") raise(at - 1, key === "+" ? 1 : 9);
  else if (/^[0-9]$/.test(key)) put(at - 1, Number(key));
  else return false;
  return true;
}

function press(event) {
  if (!event.ctrlKey && !event.altKey && !event.metaKey && act(event.key)) event.preventDefault();
}

// Where a pointer is: the step of its column, and whether it is on the digits or on a unit's row.
function under(event) {
  const box = page.pad.getBoundingClientRect(), rows = page.memory.getBoundingClientRect(), { columns } = look();
  const { step } = columns.findLast(({ x }) => x <= event.clientX - box.left) ?? columns[0];
  const row = Math.floor(((event.clientY - rows.top) / rows.height) * network.units.length);
  return { step, row, onDigits: event.clientY - box.top < page.tape.clientHeight };
}

// On the digits a tap raises one, elsewhere it moves there; to drag moves in both. A finger may be about to scroll the
// page, so what is tapped is settled when the pointer leaves.
function tap({ row, onDigits, step }) {
  if (row in network.units) choose(row);
  if (!onDigits) go(step);
  else if (step <= now.digits.length) raise(step - 1);
}

function listen(pad) {
  let began = null; // where, and on what, the pointer was pressed
  pad.onpointerdown = (event) => {
    if (event.button) return;
    pad.setPointerCapture(event.pointerId);
    began = { x: event.clientX, dragged: false, ...under(event) };
  };
  pad.onpointermove = (event) => {
    pad.className = under(event).onDigits ? "digits" : "";
    if (began && Math.abs(event.clientX - began.x) >= 6) began.dragged = true;
    if (began?.dragged) go(under(event).step);
  };
  pad.onpointerup = () => {
    if (began && !began.dragged) tap(began);
    began = null;
  };
  pad.onpointercancel = () => (began = null);
  pad.onkeydown = press;
}

function scrub(event) {
  const { left: edge, width } = page.whole.getBoundingClientRect();
  go(Math.ceil(((event.clientX - edge) / width) * now.digits.length));
}

// The first `length` digits of a random palindrome of one digit more.
function palindrome(length) {
  const digits = Uint8Array.from({ length }, () => Math.floor(10 * Math.random()));
  for (let k = Math.ceil((length + 1) / 2); k < length; k++) digits[k] = digits[length - k];
  return digits;
}

function drawNew(length) {
  page.count.value = length;
  present(palindrome(length));
}

function present(digits) {
  show(digits, 1);
  fill();
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) go(digits.length);
  else play();
}

function start(model) {
  load(model);
  const rows = network.units.length;
  page.size.textContent = network.hidden;
  page.code.width = rows;
  addBars(page.bars);
  for (const bar of page.bars.children) {
    add(bar, "canvas", { className: "code", width: rows, height: 1, ariaHidden: "true" });
    add(bar, "div", { className: "was", hidden: true });
  }
  const paint = () => {
    readColours();
    [...page.bars.children].forEach((bar, digit) =>
      drawCode(bar.children[3], network.codes.subarray(digit * rows, (digit + 1) * rows)));
    redraw();
  };
  network.units.forEach((name, k) => add(page.unit, "option", { value: k, textContent: name }));
  LENGTHS.forEach((n) => add(page.lengths, "button", { textContent: grouped(n), onclick: () => drawNew(n) }));
  page.unit.onchange = () => choose(Number(page.unit.value));
  for (const id in KEYS) page[id].onclick = () => act(KEYS[id]);
  page.undo.onclick = () => {
    [now, changed] = [before, []];
    fill();
    compute();
    page.pad.focus(); // the button that had it is hidden now
  };
  page.text.oninput = () => {
    const { digits, wrong = "" } = parse(page.text.value, MOST);
    complain(wrong);
    if (digits) show(digits);
  };
  page.drawn.onsubmit = (event) => {
    event.preventDefault();
    drawNew(Math.min(Math.max(Math.floor(page.count.value) || 1, 1), MOST));
  };
  listen(page.pad);
  onDrag(page.whole, scrub);
  readColours();
  present(Uint8Array.from(model.digits));
  paint();
  matchMedia("(prefers-color-scheme: dark)").onchange = paint;
  globalThis.onresize = redraw;
}
