"use strict";
const MOST = 100000; // digits, and at most as many
const LENGTHS = [10, 100, 1000, 10000, 100000];
const MARGIN = 3; // columns that stay in sight on both sides of the one just read
const PLAY = "M7 4v16l13-8z", PAUSE = "M6 4h4v16H6zM14 4h4v16h-4z";
const IDS = `view pad head tape memory i f o c unit whole all curve blocks part read said sure first why undo status
  size home back play next end raise sign code bars text wrong lengths drawn count ghost i-now f-now o-now c-now`;
const page = Object.fromEntries(IDS.split(/\s+/).map((id) => [id, document.getElementById(id)]));

let now, before; // readings: of the digits, and of what they were when they were typed or drawn
let changed = []; // the positions at which these two differ
let at = 1, wanted = 1; // the step that is shown, and the one to show as soon as it is computed
let left = 1; // the step of the first column; where that is not 1, the first column is step 1 all the same
let chosen = 0; // of the units, the one close up
let playing = null; // {from, began}: the step and the time at which it began
let timer; // of the computation

// In plain words.
function tell() {
  const says = now.said[at - 1], first = now.digits[0], sure = probability(now, at)[says];
  let since = at;
  while (since > 1 && now.said[since - 2] === says) since--;
  const digits = at === 1 ? "one digit" : `${grouped(at)} digits`;
  page.read.textContent = `After ${digits} it ${since < at && says === first ? "still says" : "says"}`;
  page.said.textContent = says;
  page.said.className = says === first ? "right" : "";
  page.sure.textContent = fine(sure);
  page.first.textContent = says === first ? "." : `. The first digit was ${first}.`;
  page.undo.hidden = page.ghost.hidden = !changed.length;
  page.undo.textContent = changed.length > 1 ? `Undo ${grouped(changed.length)} changes` : "Undo the change";
  if (changed.length) {
    const [p] = changed, what = changed.length > 1 ? `${grouped(changed.length)} digits are changed` :
      `Digit ${grouped(p + 1)} was ${before.digits[p]} and is ${now.digits[p]} now`;
    const old = before.said[at - 1], was = fine(probability(before, at)[old]);
    page.why.textContent = at <= p ? `${what}; it has not come to that yet.` : at > before.done ? `${what}.` :
      `${what}. Before, it said ${old} here: ${was}.`;
  } else if (says !== first) {
    const knew = now.said.subarray(0, at).includes(first);
    page.why.textContent = knew ? "It has lost it again." : "It does not know it yet.";
  } else if (since === at) page.why.textContent = "It has just begun to say so.";
  else page.why.textContent = `It has said so at every step${since > 1 ? ` since digit ${grouped(since)}` : ""}.`;
}

// After every move, every change, and every piece of computation.
function redraw() {
  const view = layout(), { cell, count } = view, last = now.digits.length;
  if (at - left > count - 1 - MARGIN) left = at - (count - 1 - MARGIN);
  if (at - left < 1 + MARGIN) left = at - 1 - MARGIN;
  left = Math.max(Math.min(left, last + 2 - count), 1);
  drawTape(view);
  drawMemory(view);
  for (const name of "ifoc") drawGate(name, view);
  drawWhole(view);
  page.head.style.left = `${placeOf(at === 1 ? 0 : at - left, cell) - 1}px`;
  page.head.style.width = `${cell + 2}px`;
  const [i, f, o, c] = [..."ifoc"].map((name) => trace(now, name, at, chosen));
  [i, f, o].forEach((value, k) => (page[`${"ifo"[k]}-now`].textContent = `${(100 * value).toFixed(1)} %`));
  page["c-now"].textContent = c.toFixed(2).replace("-", "−");
  showBars(page.bars, [...probability(now, at)]);
  [...page.bars.children].forEach((bar, digit) => {
    if (digit === now.digits[0]) bar.className += " first";
    bar.children[2].textContent = brief(probability(now, at)[digit]);
    const was = at > before.done ? 0 : probability(before, at)[digit];
    bar.children[4].hidden = Math.abs(was - probability(now, at)[digit]) < 0.005;
    bar.children[4].style.width = `${100 * was}%`;
  });
  drawCode(page.code, network.units.map((_, k) => Math.tanh(trace(now, "c", at, k))));
  tell();
  page.raise.textContent = `Digit ${grouped(at)}: ${now.digits[at - 1]}\u00a0→\u00a0${(now.digits[at - 1] + 1) % 10}`;
  for (const name of ["back", "home"]) page[name].setAttribute("aria-disabled", at === 1);
  for (const name of ["next", "end"]) page[name].setAttribute("aria-disabled", at === last);
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

const raise = (position) => put(position, (now.digits[position] + 1) % 10);

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

function press(event) {
  const many = layout().count - 1, last = now.digits.length;
  const steps = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, Home: 1, End: last };
  Object.assign(steps, { PageUp: at - many, PageDown: at + many });
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key in steps) go(steps[event.key]);
  else if (event.key === " ") playing ? pause() : play();
  else if (event.key === "+" || event.key === "-") put(at - 1, (now.digits[at - 1] + (event.key === "+" ? 1 : 9)) % 10);
  else if (/^[0-9]$/.test(event.key)) put(at - 1, Number(event.key));
  else return;
  event.preventDefault();
}

// Where a pointer is: the step of its column, and whether it is on the digits or on a unit's row.
function under(event) {
  const { cell, count } = layout(), box = page.pad.getBoundingClientRect(), rows = page.memory.getBoundingClientRect();
  const x = event.clientX - box.left, gap = left > 1 && x > cell ? GAP : 0;
  const column = Math.min(Math.max(Math.floor((x - gap) / cell), 0), count - 1);
  const row = Math.floor(((event.clientY - rows.top) / rows.height) * network.units.length);
  const onDigits = event.clientY - box.top < page.tape.clientHeight;
  return { step: stepOf(column), onDigits, row: row >= 0 && row < network.units.length ? row : null };
}

// On the digits a tap raises one, elsewhere it moves there; to drag moves in both. A finger may be about to scroll the
// page, so what it taps is settled when it leaves.
function listen() {
  const { pad, whole } = page;
  let began = null; // where, and on what, the pointer was pressed
  const settle = () => {
    if (began.row !== null) choose(began.row);
    if (!began.onDigits) go(began.step);
  };
  pad.onpointerdown = (event) => {
    if (event.button) return;
    pad.setPointerCapture(event.pointerId);
    began = { x: event.clientX, dragged: false, ...under(event) };
    if (event.pointerType !== "touch") settle();
  };
  pad.onpointermove = (event) => {
    pad.className = under(event).onDigits ? "digits" : "";
    if (!began || (!began.dragged && Math.abs(event.clientX - began.x) < 6)) return;
    began.dragged = true;
    go(under(event).step);
  };
  pad.onpointerup = () => {
    if (began && !began.dragged) settle();
    if (began?.onDigits && !began.dragged && began.step <= now.digits.length) raise(began.step - 1);
    began = null;
  };
  pad.onpointercancel = () => (began = null);
  pad.onkeydown = press;
  const scrub = (event) => {
    const { left: edge, width } = whole.getBoundingClientRect();
    go(Math.ceil(((event.clientX - edge) / width) * now.digits.length));
  };
  whole.onpointerdown = (event) => {
    whole.setPointerCapture(event.pointerId);
    scrub(event);
  };
  whole.onpointermove = (event) => whole.hasPointerCapture(event.pointerId) && scrub(event);
}

function choose(unit) {
  chosen = unit;
  page.unit.value = unit;
  redraw();
}

function drawNew(length) {
  page.count.value = length;
  show(palindrome(length), 1);
  fill();
  if (calm()) go(length);
  else play();
}

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function start() {
  readColours();
  page.size.textContent = network.hidden;
  addBars(page.bars);
  const add = (parent, name, properties) => parent.append(Object.assign(document.createElement(name), properties));
  [...page.bars.children].forEach((bar, digit) => {
    add(bar, "canvas", { className: "code", width: network.units.length, height: 1, ariaHidden: "true" });
    add(bar, "div", { className: "was", hidden: true });
    bar.codes = network.codes.subarray(digit * network.units.length, (digit + 1) * network.units.length);
  });
  page.code.width = network.units.length;
  network.units.forEach((unit, k) => add(page.unit, "option", { value: k, textContent: unit }));
  LENGTHS.forEach((n) => add(page.lengths, "button", { textContent: grouped(n), onclick: () => drawNew(n) }));
  const paint = () => {
    readColours();
    [...page.bars.children].forEach((bar) => drawCode(bar.children[3], bar.codes));
    redraw();
  };
  page.unit.onchange = () => choose(Number(page.unit.value));
  page.home.onclick = () => go(1);
  page.back.onclick = () => go(at - 1);
  page.play.onclick = () => (playing ? pause() : play());
  page.next.onclick = () => go(at + 1);
  page.end.onclick = () => go(now.digits.length);
  page.raise.onclick = () => raise(at - 1);
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
  listen();
  show(Uint8Array.from(network.opening), 1);
  fill();
  paint();
  matchMedia("(prefers-color-scheme: dark)").onchange = paint;
  globalThis.onresize = redraw;
  if (calm()) go(now.digits.length);
  else play();
  if (location.hash === "#selftest") selftest();
}

// Reads 1,000 digits, then shows as JSON, in place of the page, what came of it, the milliseconds that reading and a
// redraw took, and how wide the page is on a phone.
function selftest() {
  const digits = Uint8Array.from({ length: 1000 }, (_, k) => (k * k + 7) % 10), began = performance.now();
  const reading = advance(begin(digits)), read = performance.now() - began, main = document.querySelector("main");
  main.style.width = "360px";
  show(digits);
  while (now.done < digits.length) compute();
  const drawing = performance.now();
  for (let k = 0; k < 50; k++) move(900 + k);
  const redrawn = (performance.now() - drawing) / 50, wide = main.scrollWidth;
  const c = [...reading.traces.c], answers = [...reading.answers];
  document.body.textContent = JSON.stringify({ digits: [...digits], c, answers, read, redrawn, wide });
}
