// @ts-check
// The tour: chapters of steps, forward and back. A chapter has one or more runs, written down with all their inputs; a step is a moment of a run, a text, and what to
// look at. Going forward plays to the moment, going back goes there at once, so that every step looks the same however one came to it.

import { chapters } from "../tour/chapters.js";
import { html } from "./dom.js";
import { ms } from "./session.js";
import { lookUp, word } from "./words.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./protocol.js").Event} Event */

/**
 * A moment: that of the nth event which is like this one, and some milliseconds after; or a time.
 * @typedef {object} Moment
 * @property {string} [kind]
 * @property {number} [member]
 * @property {number} [peer]
 * @property {number} [term]
 * @property {number} [index]
 * @property {number} [count]
 * @property {number} [nth] from 1
 * @property {string} [message] of "sent", "delivered" and "lost": the message's kind, with -reply for a reply
 * @property {string} [from] of such: the message's ends
 * @property {string} [to]
 * @property {number} [plus] milliseconds after it
 * @property {number} [at] instead of an event: milliseconds since the run began
 */
/**
 * @typedef {object} Step
 * @property {string} say the name of its text within the chapter's
 * @property {number} [run] which of the chapter's runs: the first, unless it says
 * @property {Moment} [until] where the step ends; without, where the one before did
 * @property {string[]} [show] what to point at: "n1", "c1"
 * @property {"log" | "why" | "do" | "inspect" | "time"} [tab] what to have open
 * @property {number} [speed] how fast to play there: 1/20 if it does not say
 * @property {boolean} [try] the reader's turn: everything can be touched now
 */
/** @typedef {{name: string, runs: import("./protocol.js").Run[], ends: number[], steps: Step[]}} Chapter */

export class Tour {
  /**
   * @param {Session} session
   * @param {{caption: HTMLElement, scenario: HTMLSelectElement, ring: import("./ring.js").Ring, tab: (name: string) => void, select: (s: null) => void, draw: () => void}} page
   */
  constructor(session, page) {
    this.session = session;
    this.page = page;
    /** @type {Chapter | null} */
    this.chapter = null;
    this.step = 0;
    /** @type {number[]} the moment of each step */
    this.moments = [];
    this.run = -1;
    /** whether a chapter is being looked through for its moments */
    this.starting = false;
    page.scenario.addEventListener("change", () => (page.scenario.value ? this.start(page.scenario.value) : this.free(true)));
    this.words();
  }

  get active() {
    return this.chapter !== null;
  }

  /** Fills in the words, in the language in force. */
  words() {
    const { scenario } = this.page;
    scenario.replaceChildren(
      html("option", { value: "" }, word("chapter.free")),
      ...chapters.map((c, i) => html("option", { value: c.name }, `${i + 1}. ${word(`tour.${c.name}.title`)}`)),
    );
    scenario.value = this.chapter?.name ?? "";
    this.#caption();
  }

  /** Leaves the tour: the run is the reader's. @param {boolean} [afresh] with a new run of five */
  free(afresh = false) {
    this.chapter = null;
    if (location.hash.startsWith("#scene=")) history.replaceState(null, "", location.pathname + location.search);
    this.page.scenario.value = "";
    this.page.ring.highlit.clear();
    this.#caption();
    if (!this.session.live && (afresh || !this.session.state)) this.session.open({ v: this.session.hello.v, seed: Math.floor(Math.random() * 1000), setup: { members: 5 } }, { t: 0 });
    this.page.draw();
  }

  /** Begins a chapter; "name.3" at its third step. @param {string} scene */
  async start(scene) {
    const [name, number] = scene.split(".");
    const chapter = /** @type {Chapter | undefined} */ (chapters.find((c) => c.name === name)) ?? /** @type {Chapter} */ (chapters[0]);
    if (this.starting) return;
    this.starting = true;
    this.session.pause();
    this.session.busy++;
    try {
      this.moments = await this.#find(chapter);
    } finally {
      this.session.busy--;
      this.starting = false;
    }
    this.chapter = chapter;
    this.page.scenario.value = chapter.name;
    this.page.select(null);
    this.run = -1;
    await this.#go(Math.min(Math.max(Number(number ?? 1) - 1, 0), chapter.steps.length - 1), false);
  }

  /** Plays every run of the chapter to its end once, unseen, to find the moments of the steps. @param {Chapter} chapter */
  async #find(chapter) {
    /** @type {number[]} */
    const moments = [];
    let t = 0;
    for (let r = 0; r < chapter.runs.length; r++) {
      const answer = await this.session.engine.ask({ do: "load", run: chapter.runs[r], until: { t: chapter.ends[r] * ms } });
      if (answer.error) throw new Error(`${chapter.name}: ${answer.error}`);
      t = 0;
      chapter.steps.forEach((step, i) => {
        if ((step.run ?? 0) !== r) return;
        if (step.until) t = moment(step.until, answer.events ?? [], `${chapter.name}, step ${i + 1}`);
        moments[i] = t;
      });
    }
    return moments;
  }

  next() {
    const { chapter } = this;
    if (!chapter || this.starting) return;
    if (this.session.playing) {
      // Who does not want to wait need not.
      this.session.pause();
      this.session.seek(this.moments[this.step]);
    } else if (this.step + 1 < chapter.steps.length) {
      this.#go(this.step + 1, true);
    } else {
      const i = chapters.findIndex((c) => c.name === chapter.name);
      if (i + 1 < chapters.length) this.start(chapters[i + 1].name);
      else this.free(true);
    }
  }

  back() {
    const { chapter } = this;
    if (!chapter || this.starting) return;
    if (this.step > 0) {
      this.#go(this.step - 1, false);
      return;
    }
    const i = chapters.findIndex((c) => c.name === chapter.name);
    if (i > 0) this.start(`${chapters[i - 1].name}.99`);
  }

  /** @param {number} number @param {boolean} playing whether to play there rather than jump */
  async #go(number, playing) {
    const { chapter, session } = this;
    if (!chapter) return;
    const step = chapter.steps[number];
    const run = step.run ?? 0;
    this.step = number;
    session.pause();
    const t = this.moments[number];
    const foreign = session.branch?.run !== this.opened;
    if (run !== this.run || foreign) {
      await session.open(chapter.runs[run], { t: playing && run === this.run ? (this.moments[number - 1] ?? 0) : playing ? 0 : t });
      this.run = run;
      this.opened = session.branch.run;
    }
    session.speed = step.speed ?? 1 / 20;
    this.page.ring.highlit = new Set(step.show ?? []);
    if (step.tab) this.page.tab(step.tab);
    this.#caption();
    history.replaceState(null, "", `#scene=${chapter.name}.${number + 1}`);
    if (playing && t > session.state.t) {
      const from = session.state.t;
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      if (still || t - from > 20_000 * ms) await session.seek(t);
      else {
        session.play();
        session.stopAt = t;
      }
    } else {
      await session.seek(t);
    }
    this.page.draw();
  }

  #caption() {
    const { caption } = this.page;
    const { chapter } = this;
    if (!chapter) {
      caption.replaceChildren(html("p", { class: "note" }, word(this.session.live ? (this.session.can("crash") ? "free.demo" : "free.live") : "free.hint")));
      return;
    }
    const step = chapter.steps[this.step];
    const text = lookUp(`tour.${chapter.name}.${step.say}`);
    const lines = Array.isArray(text) ? text : [text ?? step.say];
    const last = this.step + 1 === chapter.steps.length;
    const focused = document.activeElement?.id;
    caption.replaceChildren(
      html("div", { class: "steps" },
        html("h2", {}, word(`tour.${chapter.name}.title`)),
        html("span", { class: "soft figure" }, `${this.step + 1} / ${chapter.steps.length}`),
        html("span", { class: "spring" }),
        html("button", { id: "tour-leave", class: "plain soft", click: () => this.free() }, word("tour.leave")),
        html("button", { id: "tour-back", click: () => this.back(), disabled: this.step === 0 && chapter === chapters[0] }, word("tour.back")),
        html("button", { id: "tour-next", class: "main", click: () => this.next() }, word(last ? "tour.next-chapter" : "tour.next"))),
      html("div", { class: "text", "aria-live": "polite" }, ...lines.map((l) => html("p", {}, String(l)))),
    );
    if (focused?.startsWith("tour-")) document.getElementById(focused)?.focus();
  }
}

/** @param {Moment} m @param {Event[]} events @param {string} where */
function moment(m, events, where) {
  if (m.at !== undefined) return m.at * ms;
  let left = m.nth ?? 1;
  for (const e of events) {
    const kind = e.message ? `${e.message.kind}${e.message.reply ? "-reply" : ""}` : "";
    const alike =
      e.kind === m.kind && (m.member === undefined || e.member === m.member) && (m.peer === undefined || e.peer === m.peer) && (m.term === undefined || (e.message?.term ?? e.term) === m.term) && (m.count === undefined || e.count === m.count) &&
      (m.index === undefined || e.index === m.index) && (m.message === undefined || kind === m.message) && (m.from === undefined || e.message?.from === m.from) && (m.to === undefined || e.message?.to === m.to);
    if (alike && --left === 0) return e.t + (m.plus ?? 0) * ms;
  }
  throw new Error(`the tour, ${where}: there is no event like ${JSON.stringify(m)}`);
}
