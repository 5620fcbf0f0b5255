// @ts-check
// Why: what happened, in plain words, each with the rule that made it happen and the section where it stands. A line is also a way back to its moment.

import { html } from "./dom.js";
import { clock, hue } from "./look.js";
import { endName, nameOf } from "./ring.js";
import { operationText } from "./spacetime.js";
import { quietKinds } from "./timeline.js";
import { lookUp, ruleText, word } from "./words.js";

/** @typedef {import("./protocol.js").Event} Event */
/** @typedef {import("./session.js").Session} Session */

const most = 120;

/** Whether an event stands in the feed: what is sent, delivered and lost as a matter of routine is seen in the ring. @param {Event} e */
export const told = (e) => !quietKinds.has(e.kind) && !(e.kind === "lost" && e.message && (e.message.kind === "heartbeat" || e.message.reply));

/** An event in a sentence. @param {Event} e */
export function sentence(e) {
  const values = {
    n: e.member ? nameOf(e.member) : "", p: e.peer ? nameOf(e.peer) : "", term: e.term ?? 0, index: e.index ?? 0, count: e.count ?? 0,
    last: (e.index ?? 0) + Math.max((e.count ?? 1) - 1, 0), why: e.why ?? "", op: e.op ? operationText(e.op) : "",
    client: e.op ? word("client", { n: e.op.client }) : "",
    kind: e.message ? word(`message.${e.message.kind}${e.message.reply ? "-reply" : ""}`) : "",
    from: e.message ? endName(e.message.from) : "", to: e.message ? endName(e.message.to) : "",
  };
  if (e.kind === "lost") values.why = word(`lost.${e.why}`);
  let name = `event.${e.kind}`;
  if (e.kind === "follower" && e.peer) name = "event.follower-of";
  if (e.kind === "answered" && e.op) name = `event.answered-${e.op.outcome || "unknown"}`;
  if ((e.kind === "proposed" || e.kind === "truncated") && (e.count ?? 0) > 1) name += "-many";
  if (e.kind === "configuration" && e.count === 1) name += "-one";
  return lookUp(name) === undefined ? `${values.n} ${e.kind} ${e.why ?? ""}` : word(name, values);
}

export class Feed {
  /** @param {HTMLElement} place @param {Session} session */
  constructor(place, session) {
    this.session = session;
    this.list = html("ol", { class: "feed", "data-title": "feed.title", tabindex: 0 });
    place.append(this.list);
    this.from = 0;
    this.to = 0;
    /** @type {unknown} */
    this.of = null;
  }

  forget() {
    this.of = null;
  }

  draw() {
    const { timeline, cursor } = this.session;
    if (this.of !== timeline || cursor < this.to) {
      this.list.replaceChildren();
      this.of = timeline;
      this.to = 0;
    }
    if (cursor === this.to) return;
    const { events } = timeline;
    // From the end back to what is drawn already, or to as many as there is room for.
    const fresh = [];
    for (let i = events.length - 1; i >= 0 && fresh.length < most; i--) {
      const e = events[i];
      if (e.id > cursor || !told(e)) continue;
      if (e.id <= this.to) break;
      fresh.push(e);
    }
    const atEnd = this.list.scrollTop < 4;
    for (const e of fresh.reverse()) this.list.prepend(this.#line(e));
    while (this.list.children.length > most) this.list.lastChild?.remove();
    if (atEnd) this.list.scrollTop = 0;
    this.to = cursor;
  }

  /** @param {Event} e */
  #line(e) {
    const when = html("button", { class: "plain when", title: word("feed.back"), click: () => { this.session.pause(); this.session.seek(e.t); } }, clock(e.t));
    const item = html("li", { class: `kind-${e.kind}` }, when, html("span", { class: "what" }, sentence(e)));
    if (e.term) item.style.setProperty("--hue", hue(e.term));
    const rule = e.rule ?? "";
    if (rule) item.append(html("span", { class: "rule" }, ruleText(rule)));
    return item;
  }
}
