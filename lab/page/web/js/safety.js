// @ts-check
// Live badges for the properties that must always hold, and the strip of client operations in which one sees whether they are linearizable.

import { html, set, svg } from "./dom.js";
import { operationText } from "./spacetime.js";
import { clock } from "./look.js";
import { word } from "./words.js";

/** @typedef {import("./session.js").Session} Session */

export class Badges {
  /** @param {HTMLElement} place @param {Session} session */
  constructor(place, session) {
    this.place = place;
    this.session = session;
    this.drawn = "";
  }

  forget() {
    this.drawn = "";
  }

  draw() {
    const { safety } = this.session.state;
    const key = JSON.stringify(safety);
    if (key === this.drawn) return;
    this.drawn = key;
    this.place.replaceChildren(
      ...(safety ?? []).map((p) => {
        const name = word(`safety.${p.name}`);
        const shown = name === `safety.${p.name}` ? p.name : name;
        return html(
          "li",
          { class: p.violated ? "violated" : "kept", title: p.violated ? `${p.text ?? ""} (${clock(p.at ?? 0)})` : word(`safety.${p.name}-help`) },
          html("span", { "aria-hidden": "true" }, p.violated ? "✕" : "✓"),
          ` ${shown}`,
          html("span", { class: "unseen" }, `: ${word(p.violated ? "safety.violated" : "safety.kept")}`),
        );
      }),
    );
  }
}

const rowHeight = 22;

/**
 * Every operation is a bar from its call to its return, and a point on it where it took effect in the one order of the log. The points of operations that end before
 * others begin have to lie before theirs: then the history is linearizable. An order line joins the points by their index.
 */
export class Strip {
  /** @param {HTMLElement} place @param {Session} session */
  constructor(place, session) {
    this.session = session;
    this.root = svg("svg", { class: "strip", role: "img" });
    this.empty = html("p", { class: "note", "data-word": "strip.empty" });
    place.append(this.root, this.empty);
    this.drawn = "";
  }

  forget() {
    this.drawn = "";
  }

  draw() {
    const { state } = this.session;
    const ops = [...this.session.ops.values()].slice(-40);
    const width = Math.max(this.root.parentElement?.clientWidth ?? 600, 280);
    const running = ops.some((op) => !op.return);
    const key = `${ops.map((op) => `${op.id}${op.outcome}${op.attempts}`)}|${running ? Math.round(state.t / 2e6) : ""}|${width}`;
    if (key === this.drawn) return;
    this.drawn = key;
    this.empty.hidden = ops.length > 0;
    set(this.root, { visibility: ops.length ? null : "hidden", "aria-label": word("strip.label", { n: ops.length }) });
    this.root.replaceChildren();
    if (!ops.length) {
      set(this.root, { height: 0, width: 0 });
      return;
    }
    const from = Math.min(...ops.map((op) => op.call));
    const to = Math.max(...ops.map((op) => op.return || state.t), from + 1);
    const clients = [...new Set(ops.map((op) => op.client))].sort((a, b) => a - b);
    const height = clients.length * rowHeight + 12;
    set(this.root, { viewBox: `0 0 ${width} ${height}`, height, width });
    const x = (/** @type {number} */ t) => 34 + ((t - from) / (to - from)) * (width - 46);
    const y = (/** @type {number} */ client) => 8 + clients.indexOf(client) * rowHeight + rowHeight / 2;
    for (const c of clients) this.root.append(svg("text", { x: 4, y: y(c) + 4, class: "soft" }, word("clientShort", { n: c })));
    /** @type {{x: number, y: number, index: number, write: boolean}[]} */
    const points = [];
    for (const op of ops) {
      const a = x(op.call);
      const b = Math.max(x(op.return || state.t), a + 3);
      const bar = svg("rect", { x: a, y: y(op.client) - 8, width: b - a, height: 16, rx: 2, class: `op ${op.outcome || "open"}${op.stale ? " stale" : ""}` });
      bar.append(svg("title", {}, `${operationText(op)} · ${clock(op.call)} – ${op.return ? clock(op.return) : "…"}${op.stale ? ` · ${word("strip.stale")}` : ""}`));
      this.root.append(bar);
      if ((b - a) > 26) this.root.append(svg("text", { x: a + 4, y: y(op.client) + 4, class: "cell" }, operationText(op).slice(0, Math.floor((b - a - 6) / 6.2))));
      if (op.index && op.outcome === "ok") points.push({ x: op.kind === "read" ? b - 2 : (a + b) / 2, y: y(op.client), index: op.index, write: op.kind !== "read" });
    }
    points.sort((p, q) => p.index - q.index || Number(q.write) - Number(p.write));
    this.root.append(svg("path", { class: "order", d: points.map((p, i) => `${i ? "L" : "M"}${p.x.toFixed(1)} ${p.y}`).join("") }));
    for (const p of points) this.root.append(svg("circle", { cx: p.x, cy: p.y, r: 2.6, class: p.write ? "effect" : "effect read" }));
  }
}
