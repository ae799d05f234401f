// The page: what is read and shown, its controls, and when it computes.
const LENGTHS = [100, 1000, 10000, MOST];
const SPEEDS = { slow: 1.5, normal: 8, fast: 60 }; // digits a second
const NARROWEST = 20; // of a column, in pixels
const AHEAD = 3; // columns that stay in sight on both sides of the one just read
const OPENING = 40; // steps
const BUTTONS = [ // the key that does the same, the name, the sign
  ["Home", "To the first digit", "M5 5h3v14H5zM20 5v14L9 12z"], ["ArrowLeft", "One digit back", "M16 5v14L6 12z"],
  [" ", "Play", "M7 4v16l13-8z"], ["ArrowRight", "One digit on", "M8 5v14l10-7z"],
  ["End", "To the last digit", "M16 5h3v14h-3zM4 5v14l11-7z"]];
const PAUSE = "M6 4h4v16H6zM14 4h4v16h-4z";

let story; // the digits, and how all networks read them
let at = 1, wanted = 1; // the step that is shown, and the one to show as soon as it is computed
let left = 0; // the step before the first column
let which = 0, unit = 0; // the network that is seen from inside, and which of its units
let brush = 9; // the digit to paint with
let playing = null; // {from, began}: the step and the time at which it began
let timer; // of the computation, and of the address

const most = () => (ATTACKS[story.attack].next ? MOST : story.last); // steps that can be shown

// What is to be drawn and said.
function look() {
  const width = page.tape.clientWidth - GUTTER, count = Math.max(Math.floor(width / NARROWEST), 2 * AHEAD + 2);
  left = Math.min(Math.max(left, at + AHEAD - count), Math.max(at - 1 - AHEAD, 0));
  const sights = story.readings.map((reading) => {
    const { network } = reading, first = story.digits[0], to = Math.min(left + count, story.done);
    const seen = states(reading, story.digits, left + 1, to), state = seen[at - left - 1];
    const path = seen.slice(0, at - left).map(({ h }) => place(network, h));
    return { network, first, seen, state, path, nearest: network.sets && slack(network, first, state).unit };
  });
  return { story, at, left, count, cell: width / count, span: Math.max(story.last, count), sights };
}

// After every move, every change, and every piece of computation.
function redraw() {
  const view = look(), { sights } = view, first = story.digits[0], digit = story.digits[at - 1];
  drawTape(view);
  drawChart(view);
  const scales = sights.map((sight, k) => {
    const said = story.readings[k].said[at - 1];
    page[`said${k}`].textContent = said;
    page[`said${k}`].className = said === first ? "" : "wrong";
    page[`near${k}`].textContent = distance(story.readings[k], first, at, sight.state);
    return drawMap(page[`map${k}`], sight, k);
  });
  const { network } = sights[0];
  if (network.sets) {
    const larger = drawMap(page.lens, sights[0], 0, true) / scales[0];
    page.lensed.textContent = `The set of ${first}, ${grouped(Number(larger.toPrecision(1)))} times larger`;
    drawStrip(sights[0]);
  }
  if (page.details.open) showInside(view);
  const rest = story.done < story.last ? ` Computing: ${grouped(story.done)} of ${grouped(story.last)}.` : "";
  page.sentence.textContent = sentence(story, at) + rest;
  const ends = [at === 1, at === 1, false, at === most(), at === story.last];
  ends.forEach((end, k) => page.buttons.children[k].setAttribute("aria-disabled", end));
  const value = { now: at, max: story.last, text: `${grouped(at)} of ${grouped(story.last)}, a ${digit}` };
  for (const name in value) page.pad.setAttribute(`aria-value${name}`, value[name]);
}

function showInside(view) {
  const { seen, state, network } = view.sights[which], name = network.units[unit];
  const [i, f, , o] = state.gates.subarray(4 * name);
  drawInside(view, network, seen, unit);
  showBars(page.bars, softmax(answer(network, state.h)), brief);
  page.now.textContent = `Unit ${name}, from above: i lets in ${tenths(i)} of the new content, f keeps ${tenths(f)} of
    the memory, o shows ${tenths(o)} of it, the memory c = f · c + i · g is ${signed(state.c[name])}.`;
}

function move(step) {
  wanted = Math.min(Math.max(step, 1), most());
  story.last = Math.max(story.last, wanted);
  compute();
}

// Compute what is missing, a little at a time; then it goes into the address, of which a browser takes few a second.
function compute() {
  const until = performance.now() + 25;
  clearTimeout(timer);
  advance(story, 1);
  while (story.done < story.last && performance.now() < until) advance(story, story.done + 10);
  at = Math.min(wanted, story.done);
  redraw();
  if (story.done < story.last) timer = setTimeout(compute);
  else if (!playing) timer = setTimeout(() => history.replaceState(null, "", toAddress(story, at)), 300);
}

// Other digits from a position on. Those typed are in the text field; `keep` leaves it as it is.
function change(digits, position, step, keep) {
  if (position + digits.length > MOST) return;
  pause();
  put(story, digits, position);
  if (!keep) page.text.value = story.digits.subarray(0, story.typed).join("");
  complain("");
  move(step);
}

function show(digits, step = digits.length, keep = false) {
  story.typed = story.last = left = 0;
  change(digits, 0, step, keep);
}

function feed(digit) {
  brush = digit;
  [...page.digits.children].forEach((button, k) => button.setAttribute("aria-current", k === brush));
  change([digit], at, at + 1);
}

function complain(text) {
  page.wrong.textContent = text;
  page.text.setAttribute("aria-invalid", text !== "");
}

const drawn = (path) => `<svg viewBox="0 0 24 24"><path d="${path}"/></svg>`;

function label() {
  const button = page.buttons.children[2], [, name, sign] = BUTTONS[2];
  button.setAttribute("aria-label", playing ? "Pause" : name);
  button.innerHTML = drawn(playing ? PAUSE : sign);
  page.status.setAttribute("aria-live", playing ? "off" : "polite"); // else it would talk without end
}

function play() {
  if (at === most()) move(1);
  playing = { from: at, began: performance.now() };
  label();
  requestAnimationFrame(tick);
}

function pause() {
  if (playing) wanted = at; // else it may still be computed
  playing = null;
  label();
}

function tick(time) {
  if (!playing) return;
  const step = playing.from + Math.floor((SPEEDS[page.speed.value] * Math.max(time - playing.began, 0)) / 1000);
  if (step !== wanted) move(step);
  if (at < most()) requestAnimationFrame(tick);
  else go(at);
}

function go(step) {
  pause();
  move(step);
}

// What a key does, and its button; false if it does nothing.
function act(key) {
  const { count } = look(), moves = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1 };
  Object.assign(moves, { PageUp: -count, PageDown: count });
  if (key in moves) go(at + moves[key]);
  else if (key === "Home") go(1);
  else if (key === "End") go(story.last);
  else if (key === " ") playing ? go(at) : play();
  else if (/^[0-9]$/.test(key)) feed(Number(key));
  else return false;
  return true;
}

// Where a pointer is: the step of its column in the row of digits, or on the curves.
function paint({ clientX }) {
  const { cell } = look(), x = clientX - page.tape.getBoundingClientRect().left - GUTTER;
  const step = left + 1 + Math.floor(x / cell), same = step <= story.last && story.digits[step - 1] === brush;
  if (step > left && step <= story.last + 1 && !same) change([brush], step - 1, at);
}

function scrub({ clientX }) {
  const { left: edge, width } = page.pad.getBoundingClientRect();
  go(Math.min(Math.ceil(((clientX - edge) / width) * look().span), story.last));
}

// The units of the network that is seen from inside.
function lookInto(k) {
  [which, unit] = [k, 0];
  page.unit.textContent = "";
  story.readings[k].network.units.forEach((name, row) =>
    add(page.unit, "option", { value: row, textContent: row ? name : `${name}, which knows the first digit best` }));
}

function present({ digits, attack, step, wrong }) {
  if (wrong) return complain(wrong);
  story.attack = page.attack.value = attack;
  show(digits, step);
}

function start(model) {
  const networks = model.networks.map(load), two = networks.length > 1;
  story = begin(networks);
  networks.forEach((network, k) => {
    page[`title${k}`].textContent = two ? (k ? "The one beside it says" : "The network says") : "It says";
    page[`proof${k}`].textContent = proof(network);
    page[`seen${k}`].textContent = network.sets ? SETS : NO_SETS;
    add(page.which, "option", { value: k, textContent: k ? "the one beside it" : "the network" });
  });
  page.beside.hidden = !two;
  page.close.hidden = page.bounds.hidden = !networks[0].sets;
  page.cards.className = two ? "two" : "";
  addBars(page.bars);
  for (const [value, { name }] of Object.entries(ATTACKS))
    if (two || value !== "other") add(page.attack, "option", { value, textContent: name });
  for (const value in SPEEDS) add(page.speed, "option", { value, textContent: value, selected: value === "normal" });
  for (let digit = 0; digit < 10; digit++)
    add(page.digits, "button", { textContent: digit, onclick: () => feed(digit) });
  LENGTHS.forEach((n) => add(page.lengths, "button", { textContent: grouped(n), onclick: () => go(n) }));
  lookInto(0);
  page.attack.onchange = () => {
    story.attack = page.attack.value;
    if (!ATTACKS[story.attack].next) story.last = story.typed;
    rewind(story, story.typed);
    go(at);
  };
  page.speed.onchange = () => playing && (playing = { from: at, began: performance.now() });
  page.which.onchange = () => (lookInto(Number(page.which.value)), redraw());
  page.unit.onchange = () => ((unit = Number(page.unit.value)), redraw());
  page.details.ontoggle = redraw;
  for (const [key, ariaLabel, sign] of BUTTONS)
    add(page.buttons, "button", { ariaLabel, innerHTML: drawn(sign), onclick: () => act(key) });
  page.text.oninput = () => {
    const { digits, wrong = "" } = parse(page.text.value, MOST);
    if (digits) show(digits, digits.length, true);
    complain(wrong);
  };
  page.pad.onkeydown = (event) =>
    !event.ctrlKey && !event.altKey && !event.metaKey && act(event.key) && event.preventDefault();
  onDrag(page.tape, paint);
  onDrag(page.pad, scrub);
  readColours();
  const { digits } = model, step = Math.max(digits.length, OPENING);
  const opening = { digits, attack: two ? "other" : "greedy", step };
  const attacks = [...page.attack.children].map(({ value }) => value);
  present(opening);
  globalThis.onhashchange = () => present(fromAddress(location.hash, attacks) ?? opening);
  onhashchange();
  matchMedia("(prefers-color-scheme: dark)").onchange = () => (readColours(), redraw());
  globalThis.onresize = redraw;
}
