// @ts-check
// How things look, wherever they are drawn: the hue of a term, the outline of a role, the shape of a message.

import { svg, set } from "./dom.js";

/** @typedef {import("./protocol.js").Message} Message */
/** @typedef {import("./protocol.js").Member} Member */

/** Okabe and Ito's colours, which colour-blind people can tell apart. A hue never stands alone: the term's number is beside it. */
const hues = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"];

/** @param {number | undefined} term */
export const hue = (term) => (term ? hues[(term - 1) % hues.length] : "var(--soft)");

/** Time in words: 1.234 s, 56.7 ms. @param {number} t nanoseconds */
export function clock(t) {
  if (Math.abs(t) >= 1e9) return `${(t / 1e9).toFixed(3)} s`;
  return `${(t / 1e6).toFixed(1)} ms`;
}

/** The shape that a kind of message has. @param {string} kind */
export function shapeOf(kind) {
  switch (kind) {
    case "vote":
    case "prevote":
      return "diamond";
    case "append":
      return "disc";
    case "heartbeat":
      return "small";
    case "snapshot":
      return "square";
    case "request":
    case "answer":
      return "triangle";
    case "timeout":
      return "star";
    default:
      return "ring";
  }
}

/** @param {string} shape @param {number} r */
export function path(shape, r) {
  switch (shape) {
    case "diamond":
      return `M0 ${-r * 1.25}L${r * 1.25} 0L0 ${r * 1.25}L${-r * 1.25} 0Z`;
    case "square":
      return `M${-r} ${-r}H${r}V${r}H${-r}Z`;
    case "triangle":
      return `M0 ${-r * 1.15}L${r * 1.1} ${r * 0.85}H${-r * 1.1}Z`;
    case "star": {
      let d = "";
      for (let i = 0; i < 10; i++) {
        const a = (Math.PI * i) / 5 - Math.PI / 2;
        const q = i % 2 ? r * 0.55 : r * 1.3;
        d += `${i ? "L" : "M"}${(q * Math.cos(a)).toFixed(2)} ${(q * Math.sin(a)).toFixed(2)}`;
      }
      return d + "Z";
    }
    case "small":
      r *= 0.6;
  }
  return `M${-r} 0A${r} ${r} 0 1 0 ${r} 0A${r} ${r} 0 1 0 ${-r} 0Z`;
}

/**
 * A message's mark: filled in its term's hue, hollow for a reply, crossed for a rejection, dashed for a pre-vote.
 * @param {Message} m
 * @param {number} r
 */
export function mark(m, r) {
  const group = svg("g", { class: "mark" });
  drawMark(group, m, r);
  return group;
}

/** @param {SVGGElement} group @param {Message} m @param {number} r */
export function drawMark(group, m, r) {
  group.replaceChildren();
  const colour = m.term ? hue(m.term) : "var(--ink)";
  const hollow = m.reply || m.kind === "answer";
  const body = svg("path", { d: path(shapeOf(m.kind), r), fill: hollow ? "var(--paper)" : colour, stroke: colour, "stroke-width": 1.6 });
  if (m.kind === "prevote") set(body, { "stroke-dasharray": "1.5 1.5", fill: "var(--paper)" });
  group.append(body);
  if (m.refused) group.append(svg("path", { d: `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}`, stroke: colour, "stroke-width": 1.6 }));
}

/** The role that a member is seen in: a process that does not run has none. @param {Member} m */
export const seenRole = (m) => (m.process === "running" || m.process === "paused" ? m.role : m.process);

/** Small pictures for buttons, drawn, because not every font has the signs. @type {Record<string, string>} */
const icons = {
  start: "M3 3v10M13 3L5 8l8 5z", back: "M11 3L4 8l7 5z", play: "M4 2.5l9 5.5-9 5.5z", pause: "M4 3h3v10H4zM9 3h3v10H9z", step: "M5 3l7 5-7 5z",
  message: "M2 3l6 5-6 5zM11 8a2 2 0 1 0 4 0a2 2 0 1 0-4 0z", end: "M3 3l8 5-8 5zM13 3v10", theme: "M8 2a6 6 0 1 0 0 12zM8 2a6 6 0 0 1 0 12",
};

/** @param {Element} button @param {string} name */
export function icon(button, name) {
  if (button.getAttribute("data-icon") === name) return;
  button.setAttribute("data-icon", name);
  button.replaceChildren(svg("svg", { viewBox: "0 0 16 16", width: 15, height: 15, "aria-hidden": "true" }, svg("path", { d: icons[name], fill: name === "theme" ? "none" : "currentColor", stroke: "currentColor", "stroke-width": 1.3, "stroke-linejoin": "round" })));
  if (name === "theme") button.firstElementChild?.append(svg("path", { d: "M8 2a6 6 0 0 1 0 12z", fill: "currentColor" }));
}
