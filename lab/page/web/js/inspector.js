// @ts-check
// The inspector: all there is to know of a member or a message, and what can be done to it.

import { html } from "./dom.js";
import { clock, hue, mark, seenRole } from "./look.js";
import { endName, nameOf } from "./ring.js";
import { svg } from "./dom.js";
import { word } from "./words.js";

/** @typedef {import("./protocol.js").Member} Member */
/** @typedef {import("./protocol.js").Message} Message */
/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./ring.js").Selection} Selection */

export class Inspector {
  /** @param {HTMLElement} place @param {Session} session @param {(input: import("./protocol.js").Input) => void} give @param {() => void} close */
  constructor(place, session, give, close) {
    this.place = place;
    this.session = session;
    this.give = give;
    this.close = close;
    /** @type {Selection} */
    this.selection = null;
    this.drawn = "";
  }

  /** @param {Selection} selection */
  select(selection) {
    this.selection = selection;
    this.drawn = "";
    this.draw();
  }

  forget() {
    this.drawn = "";
  }

  draw() {
    const s = this.selection;
    if (!s) {
      if (this.drawn !== "none") this.place.replaceChildren(html("p", { class: "note" }, word("inspect.nothing")), ...legend());
      this.drawn = "none";
      return;
    }
    if (s.kind === "member") {
      const m = this.session.member(s.id);
      if (m) this.#memberPanel(m);
    } else if (s.kind === "message") {
      this.#messagePanel(s.id);
    }
  }

  /** Fills the panel, and keeps the buttons while only figures change, so that a press is not lost. @param {string} key @param {string} title @param {HTMLElement[]} facts @param {() => HTMLElement[]} buttons */
  #show(key, title, facts, buttons) {
    if (this.drawn !== key) {
      this.drawn = key;
      this.facts = html("div", { class: "facts" });
      const head = html("header", {}, html("h2", {}, title), html("button", { class: "plain", "aria-label": word("inspect.close"), title: word("inspect.close"), click: () => this.close() }, "×"));
      this.place.replaceChildren(head, html("div", { class: "actions" }, ...buttons()), this.facts);
    }
    this.facts?.replaceChildren(...facts);
  }

  /** @param {Member} m */
  #memberPanel(m) {
    const { state } = this.session;
    const role = seenRole(m);
    const name = m.name ? `${nameOf(m.id)} · ${m.name}` : nameOf(m.id); // a running cluster has names of its own
    const list = (/** @type {number[] | undefined} */ ids) => (ids?.length ? ids.map(nameOf).join(" ") : "–");
    const volatile = facts([
      ["role", word(`role.${role}`)],
      ["leader", m.leader ? nameOf(m.leader) : "–"],
      ["commit", m.commit],
      ["applied", m.applied],
      ["timer", m.timer && m.process === "running" ? clock(Math.max(m.timer.to - state.t, 0)) : "–"],
      ...(m.granted?.length || m.refused?.length ? [["granted", list(m.granted)], ["refused", list(m.refused)]] : []),
      ...(m.transfer ? [["transfer", nameOf(m.transfer)]] : []),
      ...(m.waiting ? [["waiting", m.waiting]] : []),
      ...(m.faulty ? [["faulty", word("yes")]] : []),
      ...(m.quiet ? [["quiet", word("yes")]] : []),
    ]);
    const durable = facts([
      ["term", m.disk.term],
      ["vote", m.disk.vote ? nameOf(m.disk.vote) : "–"],
      ["log", m.durable > (m.prefix?.index ?? 0) ? `${(m.prefix?.index ?? 0) + 1}–${m.durable}` : "–"],
      ...(m.prefix?.index ? [["snapshot", `${m.prefix.index} @ ${m.prefix.term}`]] : []),
      ...(m.syncing ? [["syncing", word("yes")]] : []),
      ...(m.lying ? [["lying", word("yes")]] : []),
    ]);
    const unsynced = m.term !== m.disk.term || m.last > m.durable || (m.vote ?? 0) !== (m.disk.vote ?? 0);
    const parts = [
      html("h3", {}, word("inspect.volatile")), volatile,
      html("h3", {}, word("inspect.durable")), durable,
      ...(unsynced && m.process === "running" ? [html("p", { class: "note" }, word("inspect.unsynced", { term: m.term, last: m.last }))] : []),
      html("h3", {}, word("inspect.configuration")),
      facts([
        ["voters", list(m.configuration.voters)],
        ...(m.configuration.learners?.length ? [["learners", list(m.configuration.learners)]] : []),
        ...(m.configuration.outgoing?.length ? [["outgoing", list(m.configuration.outgoing)]] : []),
      ]),
    ];
    if (m.machine?.length) parts.push(html("h3", {}, word("inspect.machine")), facts(m.machine.map((p) => [`=${p.key}`, p.value])));
    if (m.peers?.length) {
      const table = html("table", { class: "peers" }, html("thead", {}, row("th", ["", word("fact.match"), word("fact.next"), word("fact.state"), word("fact.inflight")])));
      table.append(html("tbody", {}, ...m.peers.map((p) => row("td", [nameOf(p.id), p.match, p.next, word(`peer.${p.state}`), p.inflight ?? 0]))));
      parts.push(html("h3", {}, word("inspect.peers")), table);
    }
    const key = `member ${m.id} ${name} ${m.process} ${m.in} ${m.role} ${m.lying ?? ""} ${m.durable > (m.prefix?.index ?? 0)}`;
    this.#show(key, word("inspect.member", { name }), parts, () => this.#memberButtons(m));
    /** @type {HTMLElement} */ (this.place.querySelector("h2")).style.borderBottomColor = hue(m.term);
  }

  /** @param {Member} m */
  #memberButtons(m) {
    const running = m.process === "running";
    const up = running || m.process === "paused";
    const wants = [
      ["timeout", running && m.role !== "leader"], ["stop", up], ["crash", up], ["pause", running], ["resume", m.process === "paused"],
      ["restart", true], ["wipe", true], ["lie", up && !m.lying], ["honest", Boolean(m.lying)], ["rot", m.durable > (m.prefix?.index ?? 0)], ["transfer", running && m.role !== "leader" && m.in === "voter"],
      ["add", !m.in], ["promote", m.in === "learner"], ["demote", m.in === "voter"], ["remove", Boolean(m.in)],
    ];
    return wants
      .filter(([what, makesSense]) => makesSense && this.session.can(String(what)))
      .map(([what]) =>
        html("button", { title: word(`action.${what}-help`), "data-action": what, click: () => this.give({ do: String(what), member: m.id, ...(what === "rot" ? { index: this.#rottable(m.id) } : {}) }) }, word(`action.${what}`)),
      );
  }

  /** The entry of a member that rots: the last command that is on its disk. @param {number} id */
  #rottable(id) {
    const m = this.session.member(id);
    const commands = (m?.log ?? []).filter((e) => e.kind !== "noop" && e.index <= (m?.durable ?? 0));
    return commands.length ? commands[commands.length - 1].index : (m?.durable ?? 0);
  }

  /** @param {number} id */
  #messagePanel(id) {
    const now = this.session.state.messages.find((m) => m.id === id);
    const flight = this.session.timeline.flights.get(id);
    const m = now ?? flight?.message;
    if (!m) return;
    const fields = m.fields ?? flight?.message.fields ?? {};
    const pair = (/** @type {import("./protocol.js").EntryID | undefined} */ e) => (e ? `${e.index} @ ${e.term}` : undefined);
    /** @type {[string, any][]} */
    const list = [
      ["from", endName(m.from)], ["to", endName(m.to)], ["term", m.term || undefined], ["sent", clock(m.sent)],
      [flight?.outcome === "lost" ? "vanished" : "arrives", clock(flight?.ended || m.arrives)],
      ["last-entry", pair(fields.last)], ["prev-entry", pair(fields.prev)],
      ["entries", fields.entries?.map((e) => `${e.index}@${e.term} ${e.kind === "command" ? (e.text ?? "") : word(`entry.${e.kind}`)}`).join(", ")],
      ["leader-commit", fields.commit], ["round", fields.round], ["match", fields.match], ["conflict", pair(fields.conflict)],
      ["campaign", fields.campaign], ["snapshot", pair(fields.snapshot)],
      ["bytes", fields.size ? `${fields.offset ?? 0} / ${fields.size}` : undefined], ["index", fields.index], ["says", fields.text],
      ["copy-of", m.of],
    ];
    const kind = word(`message.${m.kind}${m.reply ? "-reply" : ""}`);
    const fate = flight?.outcome === "lost" ? word("inspect.lost", { why: word(`lost.${flight.why}`) }) : flight?.outcome === "delivered" ? word("inspect.delivered") : word("inspect.inflight");
    const picture = svg("svg", { viewBox: "-14 -14 28 28", width: 28, height: 28, "aria-hidden": "true" }, mark(m, 8));
    const parts = [
      html("p", { class: "kind" }, picture, html("span", {}, `${kind}${m.refused ? ` · ${word("inspect.refused")}` : ""}`)),
      html("p", { class: "note" }, word(`about.${m.kind}${m.reply ? "-reply" : ""}`)),
      html("p", {}, fate),
      facts(list.filter(([, v]) => v !== undefined && v !== "")),
    ];
    this.#show(`message ${id} ${now ? "flies" : "done"}`, word("inspect.message", { id }), parts, () =>
      now
        ? [["deliver", {}], ["drop", {}], ["duplicate", {}], ["delay", { by: 50_000_000 }]]
            .filter(([what]) => this.session.can(String(what)))
            .map(([what, more]) => html("button", { title: word(`action.${what}-help`), "data-action": what, click: () => this.give({ do: String(what), message: id, .../** @type {object} */ (more) }) }, word(`action.${what}`)))
        : [],
    );
  }
}

/** @param {any[][]} list names and values; a name that begins with = is not a word of ours */
function facts(list) {
  const dl = html("dl");
  for (const [name, value] of list) {
    const label = String(name).startsWith("=") ? String(name).slice(1) : word(`fact.${name}`);
    dl.append(html("dt", {}, label), html("dd", {}, String(value)));
  }
  return dl;
}

/** @param {"th" | "td"} cell @param {any[]} values */
function row(cell, values) {
  return html("tr", {}, ...values.map((v) => html(v === "" ? "td" : cell, {}, String(v))));
}

/** What the signs mean. */
function legend() {
  const sign = (/** @type {any} */ m, /** @type {string} */ text) =>
    html("li", {}, svg("svg", { viewBox: "-14 -14 28 28", width: 26, height: 26, "aria-hidden": "true" }, mark({ term: 1, ...m }, 7)), html("span", {}, word(text)));
  const role = (/** @type {string} */ name) =>
    html(
      "li", {},
      svg("svg", { viewBox: "-20 -20 40 40", width: 26, height: 26, "aria-hidden": "true", class: "ring" },
        svg("g", { class: `member ${name}` },
          svg("circle", { class: "disc", r: 15, fill: name === "stopped" ? "url(#hatch)" : "var(--paper)", stroke: name === "stopped" ? "var(--faint)" : hue(1) }),
          svg("circle", { class: "inner", r: 10.5, fill: "none", stroke: name === "leader" ? hue(1) : "none" }))),
      html("span", {}, word(`role.${name}`)),
    );
  return [
    html("h3", {}, word("legend.roles")),
    html("ul", { class: "legend" }, role("follower"), role("pre-candidate"), role("candidate"), role("leader"), role("stopped")),
    html("h3", {}, word("legend.messages")),
    html("ul", { class: "legend" },
      sign({ kind: "vote" }, "message.vote"), sign({ kind: "prevote" }, "message.prevote"), sign({ kind: "append" }, "message.append"), sign({ kind: "heartbeat" }, "message.heartbeat"),
      sign({ kind: "snapshot" }, "message.snapshot"), sign({ kind: "append", reply: true }, "legend.reply"), sign({ kind: "vote", reply: true, refused: true }, "legend.refused"),
      sign({ kind: "timeout" }, "message.timeout"), sign({ kind: "request", term: 0 }, "message.request")),
    html("p", { class: "note" }, word("legend.term")),
  ];
}
