// @ts-check
// Of a running cluster one sees how far each member is, not what is in its log: a row for each.

import { html } from "./dom.js";
import { hue, seenRole } from "./look.js";
import { nameOf } from "./ring.js";
import { word } from "./words.js";

/** @typedef {import("./session.js").Session} Session */

const columns = ["term", "last", "commit", "applied", "lag", "rate", "address"];

export class Positions {
  /** @param {HTMLElement} place @param {Session} session @param {(id: number) => void} select */
  constructor(place, session, select) {
    this.session = session;
    this.select = select;
    this.table = html("table", { class: "positions" });
    place.append(html("div", { class: "scroller", tabindex: 0, role: "region", "data-title": "positions.title" }, this.table));
    this.drawn = "";
  }

  forget() {
    this.drawn = "";
  }

  draw() {
    const { members, committed } = this.session.state;
    const key = JSON.stringify(members.map((m) => [m.id, m.process, m.role, m.term, m.last, m.commit, m.applied, m.lag, Math.round(m.rate ?? 0), m.name, m.address]));
    if (key === this.drawn) return;
    this.drawn = key;
    const head = html("tr", {}, html("td"), ...columns.map((c) => html("th", { scope: "col" }, word(`positions.${c}`))));
    const body = members.map((m) => {
      const role = seenRole(m);
      const up = m.process === "running";
      /** @type {Record<string, string | number>} */
      const cells = { term: m.term, last: m.last, commit: m.commit, applied: m.applied, lag: m.lag ?? 0, rate: Math.round(m.rate ?? 0), address: m.address ?? "" };
      const row = html("tr", {}, html("th", { scope: "row", class: "who" }, html("button", { class: "plain", click: () => this.select(m.id) }, html("b", {}, nameOf(m.id)), html("small", {}, m.name ? `${m.name} · ${word(`role.${role}`)}` : word(`role.${role}`)))));
      row.append(...columns.map((c) => html("td", {}, up || c === "address" ? String(cells[c]) : "–")));
      // The bar is how much of what is committed this member has applied.
      const bar = html("span", { class: "bar" }, html("span"));
      const share = committed ? Math.min(m.applied / committed, 1) : 1;
      /** @type {HTMLElement} */ (bar.firstChild).style.cssText = `width: ${(share * 100).toFixed(1)}%; background: ${hue(m.term)}`;
      row.append(html("td", {}, bar));
      return row;
    });
    this.table.replaceChildren(html("caption", { class: "unseen" }, word("positions.title")), html("thead", {}, head), html("tbody", {}, ...body));
  }
}
