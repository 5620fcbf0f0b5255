// @ts-check
// The ring: members on a circle, clients outside of it, messages on their way between them.

import { svg, set, Keyed } from "./dom.js";
import { hue, drawMark, seenRole } from "./look.js";
import { word } from "./words.js";

/** @typedef {import("./protocol.js").Member} Member */
/** @typedef {import("./protocol.js").Message} Message */
/** @typedef {import("./session.js").Session} Session */
/** @typedef {{kind: "member" | "message" | "client", id: number} | null} Selection */

const size = 600;
const middle = size / 2;
const discRadius = 38;

/** Letters as in the literature: A to I. @param {number} id */
export const nameOf = (id) => (id >= 1 && id <= 26 ? String.fromCharCode(64 + id) : `#${id}`);

/** The name of an end of a message. @param {string} end */
export const endName = (end) => (end.startsWith("c") ? word("client", { n: end.slice(1) }) : nameOf(Number(end.slice(1))));

export class Ring {
  /**
   * @param {HTMLElement} place
   * @param {Session} session
   * @param {{select: (s: Selection) => void, menu: (s: Selection, at: {x: number, y: number}) => void, partition: (inside: number[]) => void}} callbacks
   */
  constructor(place, session, callbacks) {
    this.session = session;
    this.callbacks = callbacks;
    /** @type {Selection} */
    this.selection = null;
    /** @type {Set<string>} what the tour points at: "n1", "m12" */
    this.highlit = new Set();
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.root = svg("svg", { viewBox: `0 0 ${size} ${size}`, class: "ring", role: "group" });
    const hatch = svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
    hatch.append(svg("rect", { width: 6, height: 6, fill: "var(--paper)" }), svg("path", { d: "M0 0V6", stroke: "var(--faint)", "stroke-width": 1.5 }));
    this.root.append(svg("defs", {}, hatch));
    this.links = svg("g", { class: "links" });
    this.flights = svg("g", { class: "flights" });
    this.people = svg("g", { class: "members" });
    this.askers = svg("g", { class: "clients" });
    this.lasso = svg("path", { class: "lasso", fill: "none" });
    this.root.append(this.links, this.askers, this.people, this.flights, this.lasso);
    place.append(this.root);
    this.members = new Keyed(this.people, (m) => this.#makeMember(m), (e, m) => this.#drawMember(e, m));
    this.messages = new Keyed(this.flights, (m) => this.#makeMessage(m), (e, m) => this.#drawMessage(e, m));
    this.clients = new Keyed(this.askers, (c) => this.#makeClient(c), (e, c) => this.#drawClient(e, c));
    this.lines = new Keyed(this.links, () => svg("path", { class: "link" }), (e, l) => set(e, { d: l.d, class: l.cut ? "link cut" : "link" }));
    this.#listen();
  }

  /** Where a member stands, or a client. @param {string} end */
  place(end) {
    const id = Number(end.slice(1));
    const count = Math.max(this.session.state.members.length, 1);
    if (end.startsWith("n")) {
      const i = this.session.state.members.findIndex((m) => m.id === id);
      const angle = (2 * Math.PI * (i < 0 ? id - 1 : i)) / count - Math.PI / 2;
      const radius = count === 1 ? 0 : 205;
      return { x: middle + radius * Math.cos(angle), y: middle + radius * Math.sin(angle) - 8 };
    }
    const corners = [
      { x: 56, y: 48 },
      { x: size - 56, y: 48 },
      { x: 56, y: size - 40 },
      { x: size - 56, y: size - 40 },
    ];
    return corners[(id - 1) % corners.length];
  }

  /** Draws the state. */
  draw() {
    const { state } = this.session;
    set(this.root, { "aria-label": word("ring.label", { n: state.members.length }) });
    this.lines.show(this.#linkLines(), (l) => l.key);
    const clients = new Set([...this.session.ops.values()].map((op) => op.client));
    for (const m of state.messages) for (const end of [m.from, m.to]) if (end.startsWith("c")) clients.add(Number(end.slice(1)));
    this.clients.show([...clients].sort((a, b) => a - b).slice(0, 4), (c) => c);
    this.members.show(state.members, (m) => m.id);
    this.messages.show(state.messages, (m) => m.id);
  }

  #linkLines() {
    const { members, cuts } = this.session.state;
    const cut = new Set((cuts ?? []).map(([from, to]) => `${from}-${to}`));
    const lines = [];
    for (const a of members) {
      for (const b of members) {
        if (a.id >= b.id) continue;
        const there = cut.has(`${a.id}-${b.id}`);
        const back = cut.has(`${b.id}-${a.id}`);
        const p = this.place(`n${a.id}`);
        const q = this.place(`n${b.id}`);
        let d = `M${p.x} ${p.y}L${q.x} ${q.y}`;
        if (there !== back) {
          // One way: the half that does not get through is missing at the receiver's end.
          const [from, to] = there ? [p, q] : [q, p];
          d = `M${from.x} ${from.y}L${from.x + (to.x - from.x) * 0.45} ${from.y + (to.y - from.y) * 0.45}`;
        }
        lines.push({ key: `${a.id}-${b.id}`, d, cut: there || back });
      }
    }
    return lines;
  }

  /** @param {Member} m */
  #makeMember(m) {
    const group = svg("g", { class: "member", "data-member": m.id });
    const hit = svg("g", { class: "hit", tabindex: 0, role: "button" });
    const select = (/** @type {any} */ e) => {
      this.callbacks.select({ kind: "member", id: m.id });
      e.stopPropagation();
    };
    group.addEventListener("click", select);
    group.addEventListener("contextmenu", (e) => {
      e.preventDefault();
      select(e);
      this.callbacks.menu({ kind: "member", id: m.id }, { x: e.clientX, y: e.clientY });
    });
    group.addEventListener("keydown", (e) => {
      if (e.key === "Enter" || e.key === " ") {
        e.preventDefault();
        select(e);
      }
    });
    hit.append(
      svg("circle", { class: "focus", r: discRadius + 13, fill: "none" }),
      svg("circle", { class: "disc", r: discRadius }),
      svg("circle", { class: "inner", r: discRadius - 5, fill: "none" }),
      svg("path", { class: "timer", fill: "none" }),
    );
    // What these say is in the button's label.
    const words = svg("g", { "aria-hidden": "true" });
    words.append(
      svg("text", { class: "name", y: -8, "text-anchor": "middle" }),
      svg("text", { class: "term", y: 15, "text-anchor": "middle" }),
      svg("g", { class: "votes" }),
      svg("text", { class: "role", y: discRadius + 28, "text-anchor": "middle" }),
      svg("g", { class: "minilog" }),
    );
    group.append(hit, words);
    return group;
  }

  /** @param {SVGGElement} group @param {Member} m */
  #drawMember(group, m) {
    const { x, y } = this.place(`n${m.id}`);
    const role = seenRole(m);
    const [hit, words] = group.children;
    const [focus, disc, inner, timer] = hit.children;
    const [name, term, votes, label, minilog] = words.children;
    const selected = this.selection?.kind === "member" && this.selection.id === m.id;
    set(group, {
      transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`,
      class: `member ${role}${m.process === "paused" ? " paused" : ""}${selected ? " selected" : ""}${this.highlit.has(`n${m.id}`) ? " lit" : ""}${m.in ? "" : " outside"}`,
    });
    set(hit, {
      "aria-label": word("ring.member", { name: nameOf(m.id), role: word(`role.${role}`), term: m.term }),
      "aria-pressed": String(selected),
    });
    const colour = hue(m.term);
    set(focus, { stroke: selected ? "var(--ink)" : null });
    const down = m.process === "stopped" || m.process === "crashed";
    set(disc, { stroke: down ? "var(--faint)" : colour, fill: down ? "url(#hatch)" : "var(--paper)" });
    set(inner, { stroke: role === "leader" ? colour : "none" });
    set(name, { text: nameOf(m.id) });
    set(term, { text: down && !m.term ? "" : word("ring.term", { term: m.term }), fill: down ? "var(--soft)" : colour });
    set(label, { text: word(`role.${role}`) + (m.in === "learner" ? ` · ${word("role.learner")}` : m.in ? "" : ` · ${word("role.outside")}`) });
    this.#drawTimer(timer, m);
    this.#drawVotes(/** @type {SVGGElement} */ (votes), m);
    this.#drawMiniLog(/** @type {SVGGElement} */ (minilog), m);
  }

  /** The arc that is left of the election timeout, or of a leader's time to its next heartbeat. @param {Element} timer @param {Member} m */
  #drawTimer(timer, m) {
    const { t } = this.session.state;
    let left = 0;
    if (m.timer && (m.process === "running" || m.process === "paused") && m.timer.to > m.timer.from) {
      left = Math.min(Math.max((m.timer.to - t) / (m.timer.to - m.timer.from), 0), 0.9999);
    }
    const r = discRadius + 6;
    const a = 2 * Math.PI * left - Math.PI / 2;
    const d = left > 0 ? `M0 ${-r}A${r} ${r} 0 ${left > 0.5 ? 1 : 0} 1 ${(r * Math.cos(a)).toFixed(2)} ${(r * Math.sin(a)).toFixed(2)}` : "M0 0";
    set(timer, { d, class: m.role === "leader" ? "timer beat" : "timer" });
  }

  /** A dot for each vote that a candidate has, crossed for a refusal. @param {SVGGElement} votes @param {Member} m */
  #drawVotes(votes, m) {
    const key = `${m.role}/${m.term}/${m.granted ?? ""}/${m.refused ?? ""}`;
    if (votes.dataset.key === key) return;
    votes.dataset.key = key;
    votes.replaceChildren();
    const all = [...(m.granted ?? []).map((id) => ({ id, yes: true })), ...(m.refused ?? []).map((id) => ({ id, yes: false }))];
    all.forEach((v, i) => {
      const x = (i - (all.length - 1) / 2) * 11;
      votes.append(svg("circle", { cx: x, cy: 25, r: 3.6, stroke: hue(m.term), "stroke-width": 1.4, fill: v.yes ? hue(m.term) : "var(--paper)" }));
      if (!v.yes) votes.append(svg("path", { d: `M${x - 2.5} 22.5l5 5m0 -5l-5 5`, stroke: hue(m.term), "stroke-width": 1.2 }));
    });
  }

  /** The end of the log: a box for each entry, dashed until committed, struck out when it is about to go. @param {SVGGElement} group @param {Member} m */
  #drawMiniLog(group, m) {
    const log = m.log ?? [];
    const shown = log.slice(-6);
    const key = `${shown.map((e) => `${e.index}.${e.term}`)}|${m.commit}|${m.prefix?.index ?? 0}|${log.length}`;
    if (group.dataset.key === key) return;
    group.dataset.key = key;
    group.replaceChildren();
    const w = 15;
    const more = log.length > shown.length || (m.prefix?.index ?? 0) > 0;
    const width = shown.length * w;
    const top = discRadius + 36;
    if (more) group.append(svg("text", { x: -width / 2 - 7, y: top + 10, class: "more", "text-anchor": "middle" }, "…"));
    shown.forEach((e, i) => {
      const committed = e.index <= m.commit;
      group.append(
        svg("rect", {
          x: -width / 2 + i * w + 1, y: top, width: w - 2, height: 13, rx: 1.5, stroke: hue(e.term), "stroke-width": 1.2,
          fill: committed ? hue(e.term) : "var(--paper)", "fill-opacity": committed ? 0.28 : 1, "stroke-dasharray": committed ? null : "2 2",
        }),
        svg("text", { x: -width / 2 + i * w + w / 2, y: top + 10, class: "cell", "text-anchor": "middle" }, String(e.term)),
      );
    });
  }

  /** @param {Message} m */
  #makeMessage(m) {
    const group = svg("g", { class: "flight", tabindex: 0, role: "button", "data-message": m.id });
    group.append(svg("line", { class: "arrow" }), svg("circle", { class: "grip", r: 15, fill: "transparent" }), svg("g"));
    drawMark(/** @type {SVGGElement} */ (group.lastChild), m, 8);
    const select = (/** @type {any} */ e) => {
      this.callbacks.select({ kind: "message", id: m.id });
      e.stopPropagation();
    };
    group.addEventListener("click", select);
    group.addEventListener("contextmenu", (e) => {
      e.preventDefault();
      select(e);
      this.callbacks.menu({ kind: "message", id: m.id }, { x: e.clientX, y: e.clientY });
    });
    group.addEventListener("keydown", (e) => {
      if (e.key === "Enter" || e.key === " ") {
        e.preventDefault();
        select(e);
      }
    });
    set(group, { "aria-label": word("ring.message", { kind: word(`message.${m.kind}${m.reply ? "-reply" : ""}`), from: endName(m.from), to: endName(m.to) }) });
    return group;
  }

  /** Where a message is now. @param {Message} m */
  position(m) {
    const { t } = this.session.state;
    const from = this.place(m.from);
    const to = this.place(m.to);
    const way = m.arrives > m.sent ? Math.min(Math.max((t - m.sent) / (m.arrives - m.sent), 0), 1) : 1;
    const distance = Math.hypot(to.x - from.x, to.y - from.y) || 1;
    const ux = (to.x - from.x) / distance;
    const uy = (to.y - from.y) / distance;
    const margin = Math.min(discRadius + 10, distance / 3);
    // The two directions keep a little apart, so that a reply does not hide what it answers.
    const aside = 7;
    const along = margin + (distance - 2 * margin) * way * (m.lost ? 0.66 : 1);
    return { x: from.x + ux * along - uy * aside, y: from.y + uy * along + ux * aside, from, to, ux, uy };
  }

  /** @param {SVGGElement} group @param {Message} m */
  #drawMessage(group, m) {
    const { x, y, ux, uy } = this.position(m);
    const selected = this.selection?.kind === "message" && this.selection.id === m.id;
    set(group, {
      transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`,
      class: `flight${selected ? " selected" : ""}${this.highlit.has(`m${m.id}`) ? " lit" : ""}${m.lost ? " lost" : ""}`,
    });
    // Without motion an arrow says where it is going.
    const arrow = group.children[0];
    if (this.still.matches || selected) set(arrow, { x1: -ux * 26, y1: -uy * 26, x2: ux * 26, y2: uy * 26, visibility: null });
    else set(arrow, { visibility: "hidden" });
  }

  /** @param {number} c */
  #makeClient(c) {
    const group = svg("g", { class: "client", "data-client": c });
    group.append(svg("rect", { x: -30, y: -15, width: 60, height: 30, rx: 4, class: "desk" }), svg("text", { y: 4.5, "text-anchor": "middle" }));
    return group;
  }

  /** @param {SVGGElement} group @param {number} c */
  #drawClient(group, c) {
    const { x, y } = this.place(`c${c}`);
    set(group, { transform: `translate(${x} ${y})` });
    set(group.children[1], { text: word("client", { n: c }) });
  }

  /** Dragging on the background draws a lasso; the members within are cut off from the others. */
  #listen() {
    /** @type {{x: number, y: number}[] | null} */
    let points = null;
    const at = (/** @type {PointerEvent} */ e) => {
      const box = this.root.getBoundingClientRect();
      return { x: ((e.clientX - box.left) / box.width) * size, y: ((e.clientY - box.top) / box.height) * size };
    };
    this.root.addEventListener("pointerdown", (e) => {
      if (e.button !== 0 || /** @type {Element} */ (e.target).closest(".member, .flight, .client")) return;
      points = [at(e)];
      this.root.setPointerCapture(e.pointerId);
    });
    this.root.addEventListener("pointermove", (e) => {
      if (!points) return;
      points.push(at(e));
      set(this.lasso, { d: `M${points.map((p) => `${p.x.toFixed(1)} ${p.y.toFixed(1)}`).join("L")}Z` });
    });
    const end = (/** @type {boolean} */ cancelled) => {
      if (!points) return;
      const drawn = points;
      points = null;
      set(this.lasso, { d: null });
      const inside = drawn.length < 8 || cancelled ? [] : this.session.state.members.filter((m) => within(this.place(`n${m.id}`), drawn)).map((m) => m.id);
      if (inside.length > 0 && inside.length < this.session.state.members.length) this.callbacks.partition(inside);
      else if (!cancelled && drawn.length < 4) this.callbacks.select(null);
    };
    this.root.addEventListener("pointerup", () => end(false));
    this.root.addEventListener("pointercancel", () => end(true));
  }
}

/** Whether a point is within a polygon. @param {{x: number, y: number}} p @param {{x: number, y: number}[]} polygon */
export function within(p, polygon) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const a = polygon[i];
    const b = polygon[j];
    if (a.y > p.y !== b.y > p.y && p.x < ((b.x - a.x) * (p.y - a.y)) / (b.y - a.y) + a.x) inside = !inside;
  }
  return inside;
}
