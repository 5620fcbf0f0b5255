// @ts-check
// A whole run in the address: a version, then the run's JSON, deflated and in base64url. What is too long for an address goes into a file.

/** @typedef {import("./protocol.js").Run} Run */
/** @typedef {import("./protocol.js").Point} Point */

/** What browsers and chat programs carry without cutting it short. */
const longest = 8000;

/** @param {Uint8Array} bytes @param {"compress" | "decompress"} way */
async function through(bytes, way) {
  const stream = way === "compress" ? new CompressionStream("deflate-raw") : new DecompressionStream("deflate-raw");
  const answer = new Response(new Blob([/** @type {any} */ (bytes)]).stream().pipeThrough(stream));
  return new Uint8Array(await answer.arrayBuffer());
}

/**
 * The run as the part of an address behind #, or null if that would be too long.
 * @param {Run} run @param {Point} at @returns {Promise<string | null>}
 */
export async function fragment(run, at) {
  const packed = await through(new TextEncoder().encode(JSON.stringify({ run, at })), "compress");
  let text = "";
  for (const byte of packed) text += String.fromCharCode(byte);
  const code = `run=1.${btoa(text).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "")}`;
  return code.length > longest ? null : code;
}

/**
 * The run in an address, or null if there is none in it. It throws if there is one that cannot be read.
 * @param {string} hash @returns {Promise<{run: Run, at?: Point} | null>}
 */
export async function parse(hash) {
  const found = /(?:^#?|&)run=(\d+)\.([\w-]+)/.exec(hash);
  if (!found) return null;
  if (found[1] !== "1") throw new Error(`version ${found[1]}`);
  const text = atob(found[2].replace(/-/g, "+").replace(/_/g, "/"));
  const bytes = await through(Uint8Array.from(text, (c) => c.charCodeAt(0)), "decompress");
  return read(new TextDecoder().decode(bytes));
}

/** A run from a file: one of the lab's own. @param {string} text @returns {{run: Run, at?: Point}} */
export function read(text) {
  const o = JSON.parse(text);
  const run = o.run ?? o;
  if (typeof run !== "object" || typeof run.v !== "number" || typeof run.seed !== "number") throw new Error("not a run of the lab");
  return { run, at: o.at };
}

/** Has the browser save a text as a file. @param {string} name @param {string} text @param {string} type */
export function save(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/**
 * A drawing that stands alone: with the styles that the page gives it.
 * @param {SVGSVGElement} root
 */
export function standalone(root) {
  const copy = /** @type {SVGSVGElement} */ (root.cloneNode(true));
  const names = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "opacity", "font-family", "font-size", "font-weight", "text-anchor", "visibility"];
  const from = [root, ...root.querySelectorAll("*")];
  const to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    for (const name of names) {
      const value = style.getPropertyValue(name);
      if (value) to[i].setAttribute(name, value);
    }
    for (const name of ["class", "tabindex", "role", "aria-label", "aria-pressed", "style"]) to[i].removeAttribute(name);
  });
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", "600");
  copy.setAttribute("height", "600");
  const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  paper.setAttribute("width", "600");
  paper.setAttribute("height", "600");
  paper.setAttribute("fill", getComputedStyle(document.body).backgroundColor);
  copy.prepend(paper);
  return new XMLSerializer().serializeToString(copy);
}
