"use strict";
// The walk between the chosen digits as a file: a GIF that goes there and back for ever, or a PNG strip of its images.
const STEPS = 10; // from one digit to the next, as in interpolate.py
const SCALE = 8; // a pixel of the generator is 8 × 8 in the file
const SIDE = 28 * SCALE;

// The grey images at z = (1 − α) z_1 + α z_2 from each point to the next; one at a point in between comes once.
function walkThrough(points) {
  const legs = points.length - 1;
  return Array.from({ length: legs * STEPS + 1 }, (_, step) => {
    const leg = Math.min(Math.floor(step / STEPS), legs - 1), alpha = step / STEPS - leg;
    return generate(mix([1 - alpha, alpha], points.slice(leg, leg + 2)));
  });
}

// LZW as in GIF. A code stands for a run of pixels: 0 to 255 for a single one; from 258 on for a run that was put
// before and the pixel after it. Codes fill the bytes from the lowest bit up, 9 bits wide at first and 12 at last.
function compress(pixels) {
  const CLEAR = 256, END = 257, FULL = 4096, bytes = [];
  let codes, next, width, held = 0, bits = 0; // the last `bits` bits, held until they fill a byte
  const clear = () => ([codes, next, width] = [new Map(), END + 1, 9]);
  const put = (code) => {
    held |= code << bits;
    for (bits += width; bits >= 8; bits -= 8, held >>= 8) bytes.push(held & 255);
    if (next === 1 << width && next < FULL) width++;
  };
  clear();
  put(CLEAR);
  let run = pixels[0];
  for (const pixel of pixels.subarray(1)) {
    const longer = 256 * run + pixel;
    if (codes.has(longer)) {
      run = codes.get(longer);
      continue;
    }
    put(run);
    run = pixel;
    if (next < FULL) codes.set(longer, next++);
    else {
      put(CLEAR);
      clear();
    }
  }
  put(run);
  put(END);
  return [...bytes, held];
}

const two = (number) => [number & 255, number >> 8]; // bytes, the low one first
const letters = (text) => Array.from(text, (letter) => letter.charCodeAt(0));

// One image of a GIF, enlarged: its place and size, then its codes in blocks of at most 255 bytes.
function encodeImage(image) {
  const large = new Uint8Array(SIDE * SIDE);
  for (let k = 0; k < large.length; k++)
    large[k] = image[28 * Math.floor(k / SIDE / SCALE) + Math.floor((k % SIDE) / SCALE)];
  const bytes = compress(large), blocks = [];
  for (let k = 0; k < bytes.length; k += 255) {
    const block = bytes.slice(k, k + 255);
    blocks.push(block.length, ...block);
  }
  return [0x2c, ...two(0), ...two(0), ...two(SIDE), ...two(SIDE), 0, 8, ...blocks, 0];
}

// The bytes of a GIF in 256 greys: 0.12 s an image, 0.6 s at a chosen digit.
function makeGif(images) {
  const there = images.map(encodeImage), thereAndBack = [...there, ...there.slice(1, -1).reverse()];
  const greys = Array.from({ length: 768 }, (_, k) => Math.floor(k / 3)); // red, green, blue of each
  const forever = [0x21, 0xff, 11, ...letters("NETSCAPE2.0"), 3, 1, ...two(0), 0];
  const timed = thereAndBack.map((image, k) => [0x21, 0xf9, 4, 4, ...two(k % STEPS ? 12 : 60), 0, 0, ...image]);
  const head = [...letters("GIF89a"), ...two(SIDE), ...two(SIDE), 0xf7, 0, 0, ...greys, ...forever];
  return Uint8Array.from([...head, ...timed.flat(), 0x3b]);
}

function gifAddress(images) {
  return `data:image/gif;base64,${btoa(Array.from(makeGif(images), (byte) => String.fromCharCode(byte)).join(""))}`;
}

// The browser writes the PNG: the images in a row, two light pixels between them, as in interpolate.py's picture.
function stripAddress(images) {
  const [strip, one] = [document.createElement("canvas"), document.createElement("canvas")];
  one.width = one.height = 28;
  strip.width = SCALE * (30 * images.length - 2);
  strip.height = SIDE;
  const pen = strip.getContext("2d");
  pen.fillStyle = "#a0a0a0";
  pen.fillRect(0, 0, strip.width, SIDE);
  pen.imageSmoothingEnabled = false;
  images.forEach((image, k) => {
    paint(one, image);
    pen.drawImage(one, SCALE * 30 * k, 0, SIDE, SIDE);
  });
  return strip.toDataURL();
}

// Saves what lies at the address under a name that says the digits: walk-3-4.gif.
function save(address, ending) {
  const name = `walk-${chosen.join("-")}.${ending}`;
  Object.assign(document.createElement("a"), { download: name, href: address }).click();
}
