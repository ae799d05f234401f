// The page: the digits chosen, the point between them, its controls.
const CORNERS = { 2: [[27, 36], [73, 36]], 3: [[27, 67], [50, 27], [73, 67]] }; // in a field 100 wide and 72 high
const BUTTONS = { 2: [[12, 36], [88, 36]], 3: [[12, 61], [50, 11], [88, 61]] };
const MOVES = { ArrowLeft: [-2, 0], ArrowRight: [2, 0], ArrowUp: [0, -2], ArrowDown: [0, 2] };

let ends; // of each digit, latent points whose images are read as it
let chosen; // two or three digits
let weights; // and how much of each
const which = Array(10).fill(0); // of each digit's latent points, the one in use

const point = (digit) => ends[digit][which[digit]];

// After every move of the point: z = w_1 z_1 + w_2 z_2 (+ w_3 z_3).
function redraw() {
  const image = draw(mix(weights, chosen.map(point))), probability = read(image);
  const greatest = showBars(page.bars, probability);
  paint(page.picture, image);
  page.dot.setAttribute("transform", `translate(${mix(weights, CORNERS[chosen.length])})`);
  const shares = chosen.map((digit, k) => `${digit}: ${percent(weights[k])}`).join(", ");
  page.pad.setAttribute("aria-valuenow", Math.round(100 * weights.at(-1)));
  page.pad.setAttribute("aria-valuetext", `${shares}; read as ${greatest}, ${percent(probability[greatest])}`);
}

// After every change of the digits, or of their latent points.
function arrange() {
  page.shape.setAttribute("points", CORNERS[chosen.length].join(" "));
  [...page.digits.children].forEach((button, digit) => {
    button.setAttribute("aria-pressed", chosen.includes(digit));
    button.setAttribute("aria-disabled", chosen.includes(digit) && chosen.length === 2); // two must remain
  });
  page.way.textContent = chosen.join("\u00a0→\u00a0");
  [page.end0, page.end1, page.end2].forEach((button, k) => {
    const digit = chosen[k];
    button.hidden = k >= chosen.length;
    if (button.hidden) return;
    button.onclick = () => {
      which[digit] = (which[digit] + 1) % ends[digit].length;
      arrange();
    };
    const [x, y] = BUTTONS[chosen.length][k];
    Object.assign(button.style, { left: `${x}%`, top: `${(100 * y) / 72}%` });
    button.disabled = ends[digit].length < 2;
    paint(button.children[0], draw(point(digit)));
    button.children[1].textContent = `another ${digit}`;
  });
  redraw();
}

// One digit more, for which of three the one that matters least makes room; or one less, if two remain.
function pick(digit) {
  const k = chosen.indexOf(digit), least = weights.indexOf(Math.min(...weights));
  if (k < 0 && chosen.length < 3) [chosen, weights] = [[...chosen, digit], [...weights, 0]];
  else if (k < 0) chosen = chosen.toSpliced(least, 1, digit);
  else if (chosen.length > 2) [chosen, weights] = [chosen.toSpliced(k, 1), [0.5, 0.5]];
  arrange();
}

function moveTo(p) {
  weights = weigh(p, CORNERS[chosen.length]);
  redraw();
}

function drag(event) {
  const { left, top, width } = page.pad.getBoundingClientRect();
  moveTo([((event.clientX - left) * 100) / width, ((event.clientY - top) * 100) / width]);
}

function press(event) {
  const corners = CORNERS[chosen.length], [x, y] = mix(weights, corners), move = MOVES[event.key];
  if (event.key === "Home") moveTo(corners[0]);
  else if (event.key === "End") moveTo(corners.at(-1));
  else if (move && !event.ctrlKey && !event.altKey && !event.metaKey) // on a line, up is right
    moveTo([x + move[0] - (corners.length === 2 ? move[1] : 0), y + move[1]]);
  else return;
  event.preventDefault();
}

// Saves the walk under a name that says the digits: walk-9-3-2.png.
function save() {
  const file = { download: `walk-${chosen.join("-")}.png`, href: drawStrip(walk(chosen.map(point))) };
  Object.assign(document.createElement("a"), file).click();
}

function start(model) {
  load(model);
  ends = model.ends.map((points) => points.map(numbers));
  ends.forEach((points, digit) =>
    add(page.digits, "button", { textContent: digit, disabled: !points.length, onclick: () => pick(digit) }));
  addBars(page.bars);
  onDrag(page.pad, drag);
  page.pad.onkeydown = press;
  page.png.onclick = save;
  chosen = [9, 3, 2, 0, 1, 4, 5, 6, 7, 8].filter((digit) => ends[digit].length).slice(0, 3);
  weights = chosen.map(() => 1 / chosen.length);
  arrange();
}
