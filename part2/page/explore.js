// The page: three corners, the point between them, one's own digit, and the controls.
const CORNERS = [[13, 78], [50, 15], [87, 78]], MIDDLE = [1 / 3, 1 / 3, 1 / 3]; // in a field 100 wide
const MOVES = { ArrowLeft: [-2, 0], ArrowRight: [2, 0], ArrowUp: [0, -2], ArrowDown: [0, 2] };
const LEG = 2000; // milliseconds from corner to corner when the walk is played
const MINE = 10; // stands where a digit stands, for one's own

let model, ends; // of each digit, latent points whose images are read as it; then one's own
let corners, selected = 0, weights = MIDDLE; // each corner is {digit, which of its latent points}
let strokes = [], began = null; // when play began
let timer, busy; // until the address is written; while there are jobs
const jobs = {}; // generators, carried on a little in every frame

const point = ({ digit, which }) => ends[digit][which];
const name = ({ digit }) => (digit === MINE ? "mine" : digit);
const called = (digit) => (digit === MINE ? "your digit" : digit === 8 ? "an 8" : `a ${digit}`);

function begin(title, job) {
  jobs[title] = job;
  busy ||= requestAnimationFrame(work);
}

function work() {
  const until = performance.now() + 12, open = () => Object.keys(jobs).length > 0;
  while (open() && performance.now() < until) for (const title in jobs) if (jobs[title].next().done) delete jobs[title];
  busy = open() && requestAnimationFrame(work);
}

// After every move of the point: z = w_1 z_1 + w_2 z_2 + w_3 z_3.
function redraw() {
  const [image] = draw([mix(weights, corners.map(point))]), [probability] = read([image]);
  const [first, second] = [...probability.keys()].sort((a, b) => probability[b] - probability[a]);
  paint(page.picture, image);
  page.said.textContent = first;
  page.surely.textContent = `${percent(probability[first])}, then ${second}: ${percent(probability[second])}`;
  page.dot.setAttribute("transform", `translate(${mix(weights, CORNERS)})`);
  const shares = corners.map((corner, k) => `${name(corner)}: ${percent(weights[k])}`).join(", ");
  page.pad.setAttribute("aria-valuenow", Math.round(100 * weights[2]));
  page.pad.setAttribute("aria-valuetext", `${shares}; read as ${first}, ${percent(probability[first])}`);
  clearTimeout(timer); // a browser takes few addresses a second
  timer = setTimeout(() => history.replaceState(null, "", toAddress()), 300);
}

// After every change of the corners.
function arrange() {
  const [a, b, c] = corners.map(({ digit }) => called(digit)), points = corners.map(point);
  const middle = greatest(read(draw([mix(MIDDLE, points)]))[0]);
  page.middle.textContent = `half way between ${a}, ${b} and ${c} stands ${called(middle)}.`;
  [...page.digits.children].forEach((button, digit) => {
    button.setAttribute("aria-pressed", corners[selected].digit === digit);
    button.disabled = !ends[digit].length;
  });
  draw(points).forEach((image, k) => {
    paint(page[`corner${k}`].children[0], image);
    page[`corner${k}`].setAttribute("aria-label", `Corner ${k + 1}: ${called(corners[k].digit)}`);
    page[`corner${k}`].setAttribute("aria-pressed", k === selected);
  });
  begin("map", chart(points));
  halt();
  redraw();
}

// The map, first a coarse one, and what there is to read on it.
function* chart(points) {
  for (const n of [3, 24]) {
    const map = yield* survey(points, n), digits = map.seen.map(greatest);
    yield* drawMap(page.map, CORNERS, map);
    const shares = COLOURS.map((_, digit) => digits.filter((one) => one === digit).length / digits.length);
    const parts = shares.map((share, digit) => `${digit}: ${percent(share)}`).filter((_, digit) => shares[digit]);
    page.shares.textContent = `Read in the triangle: ${parts.join(", ")}`;
  }
}

// Another digit at the selected corner, or another of the same digit.
function choose(digit) {
  const { digit: old, which } = corners[selected];
  corners[selected] = { digit, which: digit === old ? (which + 1) % ends[digit].length : 0 };
  arrange();
}

function moveTo(p) {
  weights = weigh(p, CORNERS);
  halt();
  redraw();
}

function placeIn(element, { clientX, clientY }) {
  const { left, top, width } = element.getBoundingClientRect();
  return [(100 * (clientX - left)) / width, (100 * (clientY - top)) / width];
}

function press(event) {
  const [x, y] = mix(weights, CORNERS), move = MOVES[event.key];
  if (event.key === "Home" || event.key === "End") moveTo(CORNERS[event.key === "Home" ? 0 : 2]);
  else if (move && !event.ctrlKey && !event.altKey && !event.metaKey) moveTo([x + move[0], y + move[1]]);
  else return;
  event.preventDefault();
}

function halt(now = null) {
  began = now;
  page.play.textContent = now === null ? `Play ${corners.map(name).join(" → ")}` : "Stop";
}

function play(time) {
  if (began === null) return;
  weights = along(within((time - began) / LEG, 0, 2));
  if (weights[2] === 1) halt();
  redraw();
  requestAnimationFrame(play);
}

// Saves the walk under a name that says the digits: walk-9-3-2.png.
function save() {
  const file = { download: `walk-${corners.map(name).join("-")}.png`, href: drawStrip(walk(corners.map(point))) };
  Object.assign(document.createElement("a"), file).click();
}

// A line on the sheet, to where the pointer is.
function sketch(event) {
  if (event.type === "pointerdown") strokes.push([]);
  const p = placeIn(page.sheet, event), pen = page.sheet.getContext("2d"), stroke = strokes.at(-1);
  Object.assign(pen, { lineWidth: 24, lineCap: "round", strokeStyle: "#fff" });
  pen.beginPath();
  for (const [x, y] of [stroke.at(-1) ?? p, p]) pen.lineTo(3 * x, 3 * y);
  pen.stroke();
  stroke.push(p);
}

function clear() {
  strokes = [];
  delete jobs.find;
  for (const canvas of [page.sheet, page.centred, page.found]) canvas.getContext("2d").clearRect(0, 0, 300, 300);
  page.result.textContent = "";
}

// Finds what is drawn, shows it as it comes closer, and puts it at the selected corner.
function* seek() {
  const x = centre(strokes), search = find(x, model.search);
  paint(page.centred, x);
  page.result.textContent = "Searching …";
  let step;
  for (; !(step = search.next()).done; yield) if (step.value) paint(page.found, step.value);
  const { z, image, off, nearest } = step.value, count = model.search.images.length;
  const [drawn, found] = read([x, image]).map(greatest);
  paint(page.found, image);
  page.result.textContent = `Distance of the picture found from your drawing: ${off.toFixed(1)}; of the nearest of
    ${count.toLocaleString("en")} random pictures: ${nearest.toFixed(1)}. Your drawing is read as ${called(drawn)}, the
    picture found as ${called(found)}. It stands at the corner now: drag the point, or play the walk.`;
  ends[MINE] = [z];
  weights = MIDDLE.map((_, k) => Number(k === selected));
  choose(MINE);
}

const toAddress = () => `#${new URLSearchParams({
  seed: model.seed,
  corners: corners.map(({ digit, which }) => `${digit}.${which}`).join("_"),
  at: mix(weights, CORNERS).map((part) => part.toFixed(2)).join("_"),
  mine: ends[MINE].map(toText).join() })}`;

// Takes from an address what belongs to this page and can be read; the rest stays.
function present(hash) {
  const { seed, corners: asked = "", at = "", mine = "" } = Object.fromEntries(new URLSearchParams(hash.slice(1)));
  if (seed !== String(model.seed)) return;
  let z = [];
  try { z = fromText(mine); } catch {} // it is no text of toText
  if (z.length === model.search.candidates[0].length) ends[MINE] = [z];
  const parts = asked.split("_").map((one) => one.split(".").map(Number)), shares = weigh(at.split("_"), CORNERS);
  if (parts.length === 3 && parts.every(([digit, which]) => ends[digit]?.[which]))
    corners = parts.map(([digit, which]) => ({ digit, which }));
  if (shares.every(Number.isFinite)) weights = shares;
}

function start(given) {
  model = given;
  load(model);
  ends = [...model.ends.map((points) => points.map(numbers)), []];
  Object.assign(model.search, { candidates: model.search.candidates.map(fromText), images: [] });
  const digits = [9, 3, 2, 0, 1, 4, 5, 6, 7, 8].filter((digit) => ends[digit].length);
  corners = MIDDLE.map((_, k) => ({ digit: digits[k % digits.length], which: 0 }));
  ends.forEach((_, digit) =>
    add(page.digits, "button", { textContent: name({ digit }), onclick: () => choose(digit) }));
  COLOURS.forEach((colour, digit) => (page.digits.children[digit].style.borderBottomColor = `rgb(${colour})`));
  MIDDLE.forEach((_, k) => (page[`corner${k}`].onclick = () => ((selected = k), arrange())));
  page.about.textContent = model.about;
  onDrag(page.pad, (event) => moveTo(placeIn(page.pad, event)));
  onDrag(page.sheet, sketch);
  page.sheet.onlostpointercapture = () => begin("find", seek());
  page.pad.onkeydown = press;
  page.clear.onclick = clear;
  page.png.onclick = save;
  page.play.onclick = () => (began === null ? (halt(performance.now()), requestAnimationFrame(play)) : halt());
  globalThis.onhashchange = () => (present(location.hash), arrange());
  onhashchange();
  begin("candidates", prepare(model.search));
}
