// @ts-check
// What one does to the world as a whole: what clients ask, what becomes of the network, which timings are in force. What is done to one member or one message
// is in the inspector and in the menu.

import { html, set } from "./dom.js";
import { nameOf } from "./ring.js";
import { ms } from "./session.js";
import { dress, word } from "./words.js";

/** @typedef {import("./protocol.js").Input} Input */
/** @typedef {import("./session.js").Session} Session */

export class Controls {
  /** @param {HTMLElement} place @param {Session} session @param {(input: Input) => Promise<boolean>} give */
  constructor(place, session, give) {
    this.place = place;
    this.session = session;
    this.give = give;
    this.written = 0;
    this.drawn = "";
    this.build();
  }

  /** Makes the forms, in the language in force. */
  build() {
    const values = this.form ? Object.fromEntries(new FormData(this.form)) : {};
    const form = html("form", { submit: (/** @type {SubmitEvent} */ e) => e.preventDefault() });
    form.append(this.#client(), this.#network(), this.#timing(), this.#members());
    this.form = form;
    this.place.replaceChildren(form);
    dress(form);
    for (const [name, value] of Object.entries(values)) {
      const field = form.elements.namedItem(name);
      if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) field.value = String(value);
    }
    this.drawn = "";
    this.draw();
  }

  /** @param {string} name @param {string} title @param {...(Node | string)} children */
  #set(name, title, ...children) {
    return html("fieldset", { id: name }, html("legend", { "data-word": title }), ...children);
  }

  #client() {
    const choice = (/** @type {string} */ name, /** @type {string[]} */ values, /** @type {string} */ words) =>
      html("select", { name, "data-title": `${words}.title` }, ...values.map((v) => html("option", { value: v, "data-word": `${words}.${v || "any"}` })));
    this.kind = choice("kind", ["set", "add", "cas", "delete", "read"], "op");
    this.read = choice("read", ["linearizable", "serializable", "lease"], "read");
    this.key = html("input", { type: "text", name: "key", value: "x", "data-title": "op.key", maxlength: 16 });
    this.value = html("input", { type: "text", name: "value", value: "1", "data-title": "op.value", maxlength: 32 });
    this.expect = html("input", { type: "text", name: "expect", value: "", "data-title": "op.expect", maxlength: 32 });
    this.asked = html("select", { name: "member", "data-title": "op.member" });
    this.by = html("select", { name: "client", "data-title": "op.client" }, ...[1, 2, 3, 4].map((c) => html("option", { value: c }, word("client", { n: c }))));
    this.retry = html("input", { type: "checkbox", name: "retry", checked: true });
    const show = () => {
      const kind = this.kind?.value;
      if (this.read) this.read.hidden = kind !== "read";
      if (this.value) this.value.hidden = kind === "read" || kind === "delete";
      if (this.expect) this.expect.hidden = kind !== "cas";
    };
    this.kind.addEventListener("change", show);
    show();
    return this.#set(
      "do-client", "do.client", this.by, this.kind, this.key, this.expect, this.value, this.read, this.asked,
      html("label", {}, this.retry, html("span", { "data-word": "op.retry" })),
      html("button", { type: "button", class: "main", id: "ask", click: () => this.ask(), "data-word": "op.ask" }),
    );
  }

  /** Has a client do what the form says. */
  async ask() {
    const { kind, read, key, value, expect, asked, by, retry } = this;
    if (!kind || !read || !key || !value || !expect || !asked || !by || !retry) return;
    /** @type {import("./protocol.js").Op} */
    const op = { client: Number(by.value), kind: /** @type {any} */ (kind.value), key: key.value || "x" };
    if (Number(asked.value)) op.member = Number(asked.value);
    if (op.kind === "read") op.read = /** @type {any} */ (read.value);
    else if (op.kind !== "delete") op.value = value.value;
    if (op.kind === "cas") op.expect = expect.value;
    if (retry.checked) op.retry = true;
    if ((await this.give({ do: "client", op })) && op.kind === "set" && /^\d+$/.test(value.value)) value.value = String(Number(value.value) + 1);
  }

  /** The next write, with one key press: set x 1, set x 2, ... at the leader or whoever runs. @param {number} [member] */
  quickWrite(member) {
    this.written++;
    const busy = new Set([...this.session.ops.values()].filter((op) => !op.outcome).map((op) => op.client));
    const client = [1, 2, 3, 4].find((c) => !busy.has(c)) ?? 1;
    return this.give({ do: "client", op: { client, kind: "set", key: "x", value: String(this.written), retry: true, ...(member ? { member } : {}) } });
  }

  #network() {
    this.loss = html("input", { type: "range", name: "loss", min: 0, max: 500, step: 10, "data-title": "net.loss" });
    this.lossText = html("output", { class: "figure" });
    this.delay = html("input", { type: "range", name: "delay", min: 0, max: 100, step: 1, "data-title": "net.delay" });
    this.delayText = html("output", { class: "figure" });
    this.loss.addEventListener("change", () => this.give({ do: "set", set: { loss: Number(this.loss?.value) } }));
    this.delay.addEventListener("change", () => {
      const mean = Number(this.delay?.value) * ms;
      this.give({ do: "set", set: { delayMin: Math.round((mean * 2) / 3), delayMax: Math.round((mean * 4) / 3) } });
    });
    this.from = html("select", { name: "from", "data-title": "net.from" });
    this.to = html("select", { name: "to", "data-title": "net.to" });
    const link = (/** @type {string} */ what) => () => this.give({ do: what, from: Number(this.from?.value), to: Number(this.to?.value) });
    return this.#set(
      "do-network", "do.network",
      html("label", {}, html("span", { "data-word": "net.loss" }), this.loss, this.lossText),
      html("label", {}, html("span", { "data-word": "net.delay" }), this.delay, this.delayText),
      html("span", { class: "row" }, this.from, " → ", this.to),
      html("button", { type: "button", click: link("cut"), "data-action": "cut", "data-word": "net.cut" }),
      html("button", { type: "button", click: link("mend"), "data-action": "mend", "data-word": "net.mend" }),
      html("span", { id: "parts", class: "row" }),
      html("button", { type: "button", click: () => this.#partition(), "data-action": "partition", "data-word": "net.partition" }),
      html("button", { type: "button", click: () => this.give({ do: "heal" }), "data-action": "heal", "data-word": "net.heal" }),
      html("span", { class: "note", "data-word": "net.lasso" }),
    );
  }

  /** Splits the group as the ticks say: the ticked on one side, the others on the other. */
  #partition() {
    const ticked = [...(this.form?.querySelectorAll('input[name="part"]:checked') ?? [])].map((e) => Number(/** @type {HTMLInputElement} */ (e).value));
    this.split(ticked);
  }

  /** @param {number[]} inside */
  split(inside) {
    const others = this.session.state.members.map((m) => m.id).filter((id) => !inside.includes(id));
    return this.give({ do: "partition", groups: [inside, others] });
  }

  #timing() {
    const number = (/** @type {string} */ name, /** @type {string} */ field) => {
      const input = html("input", { type: "number", name, min: 1, max: 60000, step: 1, "data-title": `time.${name}` });
      input.addEventListener("change", () => this.give({ do: "set", set: { [field]: Math.round(Number(input.value) * ms) } }));
      return input;
    };
    const tick = (/** @type {string} */ field) => {
      const input = html("input", { type: "checkbox", name: field });
      input.addEventListener("change", () => this.give({ do: "set", set: { [field]: input.checked } }));
      return html("label", { "data-title": `time.${field}-help` }, input, html("span", { "data-word": `time.${field}` }));
    };
    // Both bounds of the election timeout change together, or the one would be refused before the other is set.
    const election = () => this.give({ do: "set", set: { electionMin: Math.round(Number(min.value) * ms), electionMax: Math.round(Number(max.value) * ms) } });
    const min = html("input", { type: "number", name: "electionMin", min: 1, max: 60000, "data-title": "time.electionMin" });
    const max = html("input", { type: "number", name: "electionMax", min: 1, max: 60000, "data-title": "time.electionMax" });
    min.addEventListener("change", election);
    max.addEventListener("change", election);
    return this.#set(
      "do-timing", "do.timing",
      html("label", {}, html("span", { "data-word": "time.heartbeat" }), number("heartbeat", "heartbeat")),
      html("label", {}, html("span", { "data-word": "time.election" }), min, "–", max),
      tick("preVote"), tick("checkQuorum"), tick("leaseReads"),
    );
  }

  #members() {
    return this.#set(
      "do-members", "do.members",
      html("button", { type: "button", click: () => this.give({ do: "add" }), "data-action": "add-new", "data-word": "members.add" }),
      html("button", { type: "button", click: () => this.give({ do: "add", learner: true }), "data-action": "add-learner", "data-word": "members.learner" }),
      html("span", { class: "note", "data-word": "members.note" }),
    );
  }

  /** Brings the forms in line with the state, but not under the reader's hands. */
  draw() {
    const { state } = this.session;
    if (!state || !this.form) return;
    const key = JSON.stringify([state.settings, state.members.map((m) => m.id)]);
    if (key === this.drawn) return;
    this.drawn = key;
    const s = state.settings ?? {};
    const put = (/** @type {string} */ name, /** @type {string | number} */ value) => {
      const field = this.form?.elements.namedItem(name);
      if (field instanceof HTMLInputElement && document.activeElement !== field) field.value = String(value);
    };
    const milli = (/** @type {number | undefined} */ t) => +((t ?? 0) / ms).toFixed(3);
    put("loss", s.loss ?? 0);
    put("delay", Math.round(milli(((s.delayMin ?? 0) + (s.delayMax ?? 0)) / 2)));
    put("heartbeat", milli(s.heartbeat));
    put("electionMin", milli(s.electionMin));
    put("electionMax", milli(s.electionMax));
    if (this.lossText) this.lossText.textContent = `${((s.loss ?? 0) / 10).toFixed(0)} %`;
    if (this.delayText) this.delayText.textContent = `${milli(s.delayMin)}–${milli(s.delayMax)} ms`;
    for (const name of ["preVote", "checkQuorum", "leaseReads"]) {
      const box = /** @type {HTMLInputElement | null} */ (this.form.elements.namedItem(name));
      if (box) box.checked = Boolean(/** @type {any} */ (s)[name]);
    }
    const ids = state.members.map((m) => m.id);
    const fill = (/** @type {HTMLSelectElement | undefined} */ select, /** @type {string[]} */ first, /** @type {number} */ otherwise) => {
      if (!select) return;
      const was = select.value;
      select.replaceChildren(...first.map((text) => html("option", { value: 0 }, text)), ...ids.map((id) => html("option", { value: id }, nameOf(id))));
      select.value = ids.includes(Number(was)) ? was : String(otherwise);
    };
    fill(this.asked, [word("op.leader")], 0);
    fill(this.from, [], ids[0] ?? 0);
    fill(this.to, [], ids[1] ?? 0);
    const parts = this.form.querySelector("#parts");
    const ticked = new Set([...this.form.querySelectorAll('input[name="part"]:checked')].map((e) => /** @type {HTMLInputElement} */ (e).value));
    parts?.replaceChildren(
      ...ids.map((id) => {
        const box = html("input", { type: "checkbox", name: "part", value: id });
        box.checked = ticked.has(String(id));
        return html("label", {}, box, nameOf(id));
      }),
    );
    for (const button of this.form.querySelectorAll("button[data-action]")) {
      const what = /** @type {HTMLElement} */ (button).dataset.action ?? "";
      /** @type {HTMLButtonElement} */ (button).disabled = !this.session.can(what.replace(/-new|-learner/, ""));
    }
    for (const set of ["do-client", "do-timing"]) {
      const field = /** @type {HTMLFieldSetElement | null} */ (this.form.querySelector(`#${set}`));
      if (field) field.disabled = !this.session.can(set === "do-client" ? "client" : "set");
    }
    set(this.form, {});
  }
}
