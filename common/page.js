"use strict";

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

// Ten bars, one for each digit: its name, the bar, its probability.
function addBars(bars) {
  for (let digit = 0; digit < 10; digit++) {
    const bar = document.createElement("div");
    bar.append(...["span", "div", "span"].map((name) => document.createElement(name)));
    bar.children[0].textContent = digit;
    bar.children[1].className = "fill";
    bars.append(bar);
  }
}

function showBars(bars, probability) {
  const greatest = probability.indexOf(Math.max(...probability));
  [...bars.children].forEach((bar, digit) => {
    bar.className = digit === greatest ? "bar greatest" : "bar";
    bar.children[1].style.transform = `scaleX(${probability[digit]})`;
    bar.children[2].textContent = percent(probability[digit]);
  });
  return greatest;
}
