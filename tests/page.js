// Runs the scripts of the page that is named first, with a stub of the document, in node. Standard input holds
// {tools, function, given}: what that function makes of `given` is printed as JSON; `tools` is JavaScript that the test
// brings with it. Every id of the page has an element. A canvas takes all that is drawn, and keeps its pixels, its
// texts and the images drawn on it; what a link would save is kept in `saved`.

const { readFileSync } = require("fs"), vm = require("vm");
const html = readFileSync(process.argv[2], "utf8"), input = JSON.parse(readFileSync(0, "utf8"));
const frames = [];
globalThis.saved = {};

class Element {
  children = []; style = {}; attributes = {}; textContent = ""; value = ""; hidden = false;
  clientWidth = 360; clientHeight = 48; width = 360; height = 48;
  append(...children) { this.children.push(...children); }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  getBoundingClientRect() { return { left: 10, top: 20, width: 200, height: 120 }; }
  getContext() { return this.pen ??= pen(this); }
  toDataURL() { return { width: this.width, height: this.height, scale: this.scale, images: this.images }; }
  focus() { document.activeElement = this; }
  click() { saved[this.download] = this.href; }
  setPointerCapture() { this.captured = true; }
  hasPointerCapture() { return this.captured === true; }
}

// What a canvas draws with; all but this is ignored. scale() begins a new picture.
function pen(canvas) {
  const known = {
    putImageData: ({ data }) => { [canvas.grey, canvas.texts] = [[...data.filter((_, k) => k % 4 === 0)], []]; },
    scale: (ratio) => { [canvas.scale, canvas.texts, canvas.images] = [ratio, [], []]; },
    fillText: (text, x, y) => canvas.texts.push([String(text), x, y]),
    drawImage: (image, x, y) => canvas.images.push([x, y, image.grey]),
  };
  return new Proxy(known, { get: (all, name) => (name in all ? all[name] : () => {}), set: () => true });
}

globalThis.ImageData = class {
  constructor(width, height) { this.data = new Uint8ClampedArray(4 * width * height); }
};
const elements = [...html.matchAll(/ id="([^"]*)"/g)].map(([, id]) => Object.assign(new Element(), { id }));
globalThis.document = { createElement: () => new Element(), querySelectorAll: () => elements };
globalThis.getComputedStyle = () => ({ getPropertyValue: (name) => (name === "--mark" ? "#b41" : " #1c1c1e") });
globalThis.location = { hash: process.argv[4] ?? "" };
globalThis.history = { replaceState: (state, title, hash) => (location.hash = hash) };
globalThis.matchMedia = (query) => ({ matches: query.includes("reduced-motion") && process.argv[3] === "calm" });
let milliseconds = 0; // a clock that moves when it is asked, so that a busy machine changes nothing
Object.defineProperty(globalThis, "performance", { value: { now: () => (milliseconds += 0.1) } });
globalThis.requestAnimationFrame = (callback) => frames.push(callback);
globalThis.frame = (time) => frames.splice(0).forEach((callback) => callback(time));
for (const { id, children } of elements) if (/^corner\d$/.test(id)) children.push(new Element());

for (const [, script] of html.matchAll(/<script>(.*?)<\/script>/gs)) vm.runInThisContext(script);
vm.runInThisContext(input.tools);
const said = JSON.stringify(vm.runInThisContext(input.function)(input.given));
process.stdout.write(`${said}\n`, () => process.exit()); // without what the page would still do later
