// What all pages share. page.ID is the element with that id.
const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));

// Numbers that common/pages.py stored: float32 in base64.
function numbers(text) {
  const characters = atob(text), bytes = new Uint8Array(characters.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = characters.charCodeAt(k);
  return new Float32Array(bytes.buffer);
}

// The probabilities that logits stand for.
function softmax(logits) {
  const greatest = Math.max(...logits), powers = logits.map((logit) => Math.exp(logit - greatest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

const percent = (share) => `${Math.round(100 * share)} %`;

function add(parent, name, properties) {
  const element = Object.assign(document.createElement(name), properties);
  parent.append(element);
  return element;
}

// Ten bars, one for each digit: its name, the bar, its probability.
function addBars(bars) {
  for (let digit = 0; digit < 10; digit++) {
    const bar = add(bars, "div");
    add(bar, "span", { textContent: digit });
    add(bar, "div", { className: "fill" });
    add(bar, "span");
  }
}

// Returns the digit with the greatest probability.
function showBars(bars, probability, write = percent) {
  const greatest = probability.indexOf(Math.max(...probability));
  [...bars.children].forEach((bar, digit) => {
    bar.className = digit === greatest ? "bar greatest" : "bar";
    bar.children[1].style.transform = `scaleX(${probability[digit]})`;
    bar.children[2].textContent = write(probability[digit]);
  });
  return greatest;
}

// Calls `follow` with every place of the pointer from its press on the element to its release.
function onDrag(element, follow) {
  element.onpointerdown = (event) => {
    element.setPointerCapture(event.pointerId);
    follow(event);
  };
  element.onpointermove = (event) => element.hasPointerCapture(event.pointerId) && follow(event);
}
