// @ts-check
// The logs of all members, aligned by index: what is committed is solid, what is not is dashed, what has just been truncated is struck through for
// a moment before it goes. The leader's marks show what it knows of each follower: match below an entry, next before one.

import { html, set } from "./dom.js";
import { hue, seenRole } from "./look.js";
import { nameOf } from "./ring.js";
import { word } from "./words.js";

/** @typedef {import("./protocol.js").Entry} Entry */
/** @typedef {import("./protocol.js").Member} Member */
/** @typedef {import("./session.js").Session} Session */

/** How many indexes are shown at most: the newest ones. */
const most = 60;
/** How long what was truncated stays, in milliseconds of the reader's time. */
const farewell = 1400;

export class Logs {
  /** @param {HTMLElement} place @param {Session} session @param {(id: number) => void} select */
  constructor(place, session, select) {
    this.session = session;
    this.select = select;
    this.scroller = html("div", { class: "scroller", tabindex: 0, role: "region", "data-title": "logs.title" });
    this.table = html("table", { class: "logs" });
    this.scroller.append(this.table);
    this.empty = html("p", { class: "note", "data-word": "logs.empty" });
    place.append(this.scroller, this.empty);
    /** @type {Map<number, Map<number, {entry: Entry, gone: number}>>} what was truncated lately, by member and index */
    this.gone = new Map();
    /** @type {Map<number, Entry[]>} the logs as they were drawn last */
    this.before = new Map();
    this.drawn = "";
    /** @type {unknown} */
    this.of = null;
    this.t = 0;
  }

  draw() {
    const { members } = this.session.state;
    this.#notice(members);
    let last = 0;
    let first = Infinity;
    for (const m of members) {
      last = Math.max(last, m.last, ...(this.gone.get(m.id)?.keys() ?? []));
      first = Math.min(first, (m.prefix?.index ?? 0) + 1);
    }
    first = Math.max(1, Math.min(first, last), last - most + 1);
    const key = members.map((m) => `${m.id}${m.process[0]}${m.role}${m.term}:${m.prefix?.index ?? 0},${m.commit},${m.applied},${m.durable}|${(m.log ?? []).map((e) => `${e.index}.${e.term}`)}|${(m.peers ?? []).map((p) => `${p.id}.${p.match}.${p.next}`)}|${[...(this.gone.get(m.id)?.keys() ?? [])]}`).join(";");
    if (key === this.drawn) return;
    this.drawn = key;
    this.empty.hidden = last > 0;
    this.scroller.hidden = last === 0;
    if (last === 0) return;
    const atEnd = this.scroller.scrollLeft + this.scroller.clientWidth >= this.scroller.scrollWidth - 40;
    this.#fill(members, first, last);
    if (atEnd) this.scroller.scrollLeft = this.scroller.scrollWidth;
  }

  /** Redraws at the next chance, because the language or the run is another. */
  forget() {
    this.drawn = "";
    this.before.clear();
    this.gone.clear();
  }

  /** Finds what logs have lost since they were drawn last. @param {Member[]} members */
  #notice(members) {
    const now = performance.now();
    const { state, timeline } = this.session;
    const onward = this.of === timeline && state.t >= this.t;
    this.of = timeline;
    this.t = state.t;
    if (!onward) this.gone.clear(); // Who goes back in time sees logs shrink that lose nothing.
    for (const m of members) {
      const log = m.log ?? [];
      const before = onward ? this.before.get(m.id) : undefined;
      const gone = this.gone.get(m.id) ?? new Map();
      if (before && before !== log) {
        const base = m.prefix?.index ?? 0;
        for (const e of before) {
          const here = log[e.index - base - 1];
          if (e.index > base && (!here || here.term !== e.term)) gone.set(e.index, { entry: e, gone: now });
        }
      }
      for (const [index, g] of gone) if (now - g.gone > farewell) gone.delete(index);
      this.gone.set(m.id, gone);
      this.before.set(m.id, log);
    }
  }

  /** @param {Member[]} members @param {number} first @param {number} last */
  #fill(members, first, last) {
    const leader = this.session.leader();
    const head = html("tr", {}, html("th", { scope: "col", class: "who" }, word("logs.index")));
    for (let i = first; i <= last; i++) head.append(html("th", { scope: "col" }, String(i)));
    head.append(html("td", { class: "tail" }));
    const body = html("tbody");
    for (const m of members) body.append(this.#row(m, leader, first, last));
    this.table.replaceChildren(html("caption", { class: "unseen" }, word("logs.title")), html("thead", {}, head), body);
  }

  /** @param {Member} m @param {Member | undefined} leader @param {number} first @param {number} last */
  #row(m, leader, first, last) {
    const role = seenRole(m);
    const peer = leader && leader.id !== m.id ? leader.peers?.find((p) => p.id === m.id) : undefined;
    const button = html("button", { class: "plain", click: () => this.select(m.id) }, html("b", {}, nameOf(m.id)), html("small", {}, word(`role.${role}`)));
    const row = html("tr", { class: role }, html("th", { scope: "row", class: "who" }, button));
    const base = m.prefix?.index ?? 0;
    const gone = this.gone.get(m.id);
    for (let i = first; i <= last + 1; i++) {
      const cell = html("td", { class: i > last ? "tail" : null });
      const entry = i > base ? (m.log ?? [])[i - base - 1] : undefined;
      const lost = gone?.get(i);
      if (i <= base && i <= last) {
        cell.append(html("span", { class: "entry prefix", title: word("logs.prefix", { index: base, term: m.prefix?.term ?? 0 }) }, i === base || i === first ? "▤" : ""));
      } else if (lost && !entry) {
        cell.append(this.#entry(lost.entry, m, true));
      } else if (entry) {
        cell.append(this.#entry(entry, m, false));
      }
      if (i <= last && i === m.commit) set(cell, { class: "commit" });
      const marks = html("span", { class: "marks" });
      if (peer && peer.match === i && i > 0) marks.append(html("span", { class: "match", title: word("logs.match", { leader: nameOf(leader?.id ?? 0), name: nameOf(m.id), index: i }) }, "•"));
      if (peer && peer.next === i) marks.append(html("span", { class: "next", title: word("logs.next", { leader: nameOf(leader?.id ?? 0), name: nameOf(m.id), index: i }) }, "↑"));
      cell.append(marks);
      row.append(cell);
    }
    return row;
  }

  /** @param {Entry} e @param {Member} m @param {boolean} struck */
  #entry(e, m, struck) {
    const state = struck ? "struck" : e.index <= m.commit ? "committed" : "uncommitted";
    const durable = e.index <= m.durable;
    const what = e.kind === "command" ? (e.text ?? "") : word(`entry.${e.kind}`);
    const cell = html("span", {
      class: `entry ${state}${durable || struck ? "" : " volatile"}${e.index <= m.applied ? " applied" : ""}`,
      title: word("logs.entry", {
        index: e.index, term: e.term, what: e.kind === "configuration" ? `${what}: ${e.text ?? ""}` : what,
        state: word(`entry.${state}`) + (struck ? "" : ` · ${word(durable ? "entry.durable" : "entry.volatile")}`),
      }),
    });
    cell.style.setProperty("--hue", hue(e.term));
    cell.append(html("i", {}, String(e.term)), html("span", {}, short(e, what)));
    return cell;
  }
}

/** @param {Entry} e @param {string} what */
function short(e, what) {
  switch (e.kind) {
    case "command":
      return what.replace(/^set (\S+) /, "$1←").replace(/^add (\S+) /, "$1+").replace(/^delete /, "−");
    case "configuration":
      return `{${e.text ?? ""}}`;
    case "noop":
      return "∅";
    default:
      return "·";
  }
}
