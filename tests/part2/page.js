// Runs the scripts of the page that is named first, with a stub of the document, in node. Standard input holds
// {function, given}: what that function makes of `given` is printed as JSON.

class Element {
  children = []; style = {}; attributes = {};
  append(...children) { this.children.push(...children); }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  getBoundingClientRect() { return { left: 10, top: 20, width: 200 }; }
  getContext() { return { putImageData: ({ data }) => { this.grey = [...data].filter((_, k) => k % 4 === 0); } }; }
  setPointerCapture() { this.captured = true; }
  hasPointerCapture() { return this.captured === true; }
}

const elements = {}, { readFileSync } = require("fs"), vm = require("vm");
globalThis.ImageData = class { data = new Uint8ClampedArray(4 * 28 * 28); };
globalThis.location = { hash: "" };
globalThis.document = { createElement: () => new Element(), getElementById: (id) => (elements[id] ??= new Element()) };
for (const id of ["end0", "end1", "end2"]) document.getElementById(id).append(new Element(), new Element());

// What tests call: each step is done, then it is told what the page shows.
const tools = `
function follow(steps) {
  const key = (name) => pad.onkeydown({ key: name, preventDefault() {} });
  const point = (event, x, y) => pad["onpointer" + event]({ clientX: 10 + 2 * x, clientY: 20 + 2 * y });
  return steps.map((step) => {
    eval(step);
    const z = latent(weights), alike = picture.grey.join() === generate(z).join();
    const said_of = (k) => digits.children[k].attributes["aria-disabled"];
    const idle = Object.keys(digits.children).filter((k) => said_of(k) === "true");
    const { "aria-valuetext": said, "aria-valuenow": now } = pad.attributes;
    return { chosen, weights, z: [...z], which: [...which], alike, said, now, idle };
  });
}`;

const html = readFileSync(process.argv[2], "utf8"), input = JSON.parse(readFileSync(0, "utf8"));
for (const [, script] of html.matchAll(/<script[^>]*>(.*?)<\/script>/gs)) vm.runInThisContext(script);
vm.runInThisContext(tools);
console.log(JSON.stringify(vm.runInThisContext(input.function)(input.given)));
