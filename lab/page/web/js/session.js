// @ts-check
// A session is one run on the screen: where it is, how it plays, what can be done to it, and the branches that it left behind.

import { Timeline } from "./timeline.js";

/** @typedef {import("./protocol.js").Run} Run */
/** @typedef {import("./protocol.js").State} State */
/** @typedef {import("./protocol.js").Input} Input */
/** @typedef {import("./protocol.js").Point} Point */
/** @typedef {import("./protocol.js").Answer} Answer */
/** @typedef {import("./protocol.js").Member} Member */
/** @typedef {import("./protocol.js").Operation} Operation */
/** @typedef {{ask(request: object): Promise<Answer>, close(): void}} Engine what a host's engine.js connects to */

/**
 * A branch is a run with all that is known of it. Acting in the past leaves the old branch as it was, and goes on in a new one.
 * @typedef {object} Branch
 * @property {number} number from 1
 * @property {Run} run
 * @property {Timeline} timeline
 * @property {number} horizon how far it was ever played, in nanoseconds
 * @property {{branch: number, t: number} | null} from where it left another branch
 */

/** Speeds: virtual seconds in a real one. */
export const speeds = [1, 1 / 2, 1 / 5, 1 / 10, 1 / 20, 1 / 50, 1 / 100, 1 / 200, 1 / 500, 1 / 1000];

export const ms = 1_000_000;

/**
 * It tells "state" when there is a new state, "run" when another run, branch or setting of the player is in force, and "error" when something was refused.
 */
export class Session extends EventTarget {
  /** @param {Engine} engine @param {import("./protocol.js").Hello} hello */
  constructor(engine, hello) {
    super();
    this.engine = engine;
    this.hello = hello;
    this.live = hello.host === "live";
    /** @type {State} */
    this.state = /** @type {any} */ (null);
    /** @type {Map<number, Operation>} */
    this.ops = new Map();
    /** @type {Branch[]} */
    this.branches = [];
    /** @type {Branch} */
    this.branch = /** @type {any} */ (null);
    this.playing = false;
    this.speed = 1 / 20;
    /** the last event that has happened at the moment on the screen */
    this.cursor = 0;
    /** the player stops by itself here */
    this.stopAt = Infinity;
    /** @type {Promise<unknown>} requests go one after the other, in the order they were made */
    this.queue = Promise.resolve();
    this.busy = 0;
  }

  get timeline() {
    return this.branch.timeline;
  }

  /** Whether there is more to come that is known already. */
  get inThePast() {
    return this.state.t < this.branch.horizon || this.cursor < this.timeline.last;
  }

  /** @param {string} what */
  #tell(what) {
    this.dispatchEvent(new Event(what));
  }

  /**
   * Has the engine do something, after what it was asked before, and takes in the answer.
   * @param {string} what
   * @param {() => object} fields made when its turn comes
   * @param {(answer: Answer) => Promise<Answer>} [then] what else to ask, before anybody else does
   * @returns {Promise<Answer | null>} null if it was refused
   */
  #ask(what, fields, then) {
    this.busy++;
    const answer = this.queue.then(() => this.engine.ask({ do: what, ...fields() })).then((a) => (then && !a.error ? then(a) : a));
    this.queue = answer.catch(() => {});
    return answer.then(
      (a) => {
        this.busy--;
        if (!a.error) return a;
        this.dispatchEvent(new CustomEvent("error", { detail: a.error }));
        return null;
      },
      (error) => {
        this.busy--;
        this.dispatchEvent(new CustomEvent("error", { detail: error.message }));
        return null;
      },
    );
  }

  /**
   * Begins with a run, as a new tree of branches.
   * @param {Run} run
   * @param {Point} [until]
   */
  async open(run, until) {
    this.pause();
    /** @type {Branch} */
    const branch = { number: 1, run: structuredClone(run), timeline: new Timeline(), horizon: 0, from: null };
    const answer = await this.#ask("load", () => ({ run, until }));
    if (!answer) return false;
    this.branches = [branch];
    this.branch = branch;
    this.cursor = 0;
    this.ops = new Map();
    this.#take(answer, true);
    this.#tell("run");
    this.#tell("state");
    return true;
  }

  /**
   * Shows another branch, at its end or at a moment.
   * @param {number} number
   * @param {Point} [until]
   */
  async show(number, until) {
    const branch = this.branches.find((b) => b.number === number);
    if (!branch) return;
    this.pause();
    const answer = await this.#ask("load", () => ({ run: branch.run, until: until ?? { t: branch.horizon } }));
    if (!answer) return;
    this.branch = branch;
    this.cursor = 0;
    this.ops = new Map();
    this.#take(answer, true);
    this.#tell("run");
    this.#tell("state");
  }

  /**
   * Goes to a moment of this branch, forward or back.
   * @param {number} t
   * @param {number} [n] after how many happenings, if t alone does not say
   */
  async seek(t, n) {
    t = Math.max(0, Math.round(t));
    if (this.live) return;
    if (!n && t >= this.state.t) {
      await this.advance(t);
      return;
    }
    const answer = await this.#ask("load", () => ({ run: this.branch.run, until: n ? { t, n } : { t } }));
    if (!answer) return;
    this.cursor = 0;
    this.ops = new Map();
    this.#take(answer, true);
    this.#tell("state");
  }

  /** @param {number} to */
  async advance(to) {
    const answer = await this.#ask("advance", () => ({ to: Math.max(Math.round(to), this.state.t) }));
    if (answer) {
      this.#take(answer, false);
      this.#tell("state");
    }
  }

  /**
   * Goes on by one event, or to the next message that arrives.
   * @param {"event" | "message"} by
   */
  async step(by) {
    this.pause();
    const answer = await this.#ask("advance", () => ({ by }));
    if (answer) {
      this.#take(answer, false);
      this.#tell("state");
    }
  }

  /** Goes back to before the last event that stands in the feed, or if there is none to the beginning. */
  async stepBack() {
    this.pause();
    const known = this.timeline.events;
    let i = known.findIndex((e) => e.id > this.cursor);
    i = (i < 0 ? known.length : i) - 1;
    const t = this.state.t;
    while (i >= 0 && known[i].t >= t) i--;
    await this.seek(i < 0 ? 0 : known[i].t);
  }

  /**
   * Does something to the world, now. In the past this begins another branch.
   * @param {Input} input
   * @returns {Promise<boolean>}
   */
  async give(input) {
    const answer = await this.#ask("input", () => ({ input }), async (answer) => {
      // The engine knows which inputs came before this one, since of one moment there may be several. Nothing may come in between.
      answer.run = (await this.engine.ask({ do: "run" })).run;
      return answer;
    });
    if (!answer?.input) return false;
    if (this.inThePast) this.#fork();
    if (answer.run) this.branch.run = answer.run;
    this.#take(answer, false);
    this.#tell("run");
    this.#tell("state");
    return true;
  }

  #fork() {
    const old = this.branch;
    const { t } = this.state;
    const number = Math.max(...this.branches.map((b) => b.number)) + 1;
    this.branch = { number, run: { ...old.run }, timeline: old.timeline.cut(this.cursor, t), horizon: t, from: { branch: old.number, t } };
    this.branches.push(this.branch);
  }

  /**
   * Takes in an answer: what it leaves out is as it was.
   * @param {Answer} answer
   * @param {boolean} afresh whether it tells everything, from the first event on
   */
  #take(answer, afresh) {
    const { state, events } = answer;
    if (!state) return;
    state.messages ??= [];
    state.members ??= [];
    for (const m of state.members) {
      const before = afresh ? undefined : this.state?.members.find((o) => o.id === m.id);
      m.log ??= before?.log ?? [];
      m.machine ??= before?.machine ?? [];
    }
    for (const op of state.ops ?? []) this.ops.set(op.id, op);
    if (events?.length) {
      this.timeline.add(events);
      this.cursor = events[events.length - 1].id;
    }
    this.state = state;
    this.branch.horizon = Math.max(this.branch.horizon, state.t);
    this.timeline.until = Math.max(this.timeline.until, state.t);
  }

  /** What a live cluster tells. @param {Answer} answer */
  told(answer) {
    if (!this.branch) {
      this.branch = { number: 1, run: { v: this.hello.v, seed: 0 }, timeline: new Timeline(), horizon: 0, from: null };
      this.branches = [this.branch];
      this.#take(answer, true);
      this.#tell("run");
    } else {
      const before = new Map(this.state.members.map((m) => [m.id, m.process]));
      this.#take(answer, false);
      // A process that is killed cannot say so.
      for (const m of this.state.members) if (before.get(m.id) !== m.process) this.timeline.process(m.id, this.state.t, m.process);
    }
    this.#tell("state");
  }

  play() {
    if (this.playing || this.live || this.state.ended) return;
    this.playing = true;
    this.#tell("run");
    let last = performance.now();
    let target = this.state.t;
    const frame = (/** @type {number} */ now) => {
      if (!this.playing) return;
      target = Math.min(target + Math.min(now - last, 100) * ms * this.speed, this.stopAt);
      last = now;
      if (!this.busy) {
        if (target <= this.state.t && this.stopAt <= this.state.t) {
          this.pause();
          return;
        }
        this.advance(target);
        if (this.state.ended) this.pause();
      } else {
        target = Math.min(target, this.state.t + 200 * ms * this.speed); // The engine is slower than asked for: no debts.
      }
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  pause() {
    this.stopAt = Infinity;
    if (!this.playing) return;
    this.playing = false;
    this.#tell("run");
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** @param {number} speed */
  setSpeed(speed) {
    this.speed = speed;
    this.#tell("run");
  }

  /** @param {number} id @returns {Member | undefined} */
  member(id) {
    return this.state.members.find((m) => m.id === id);
  }

  /** The member that leads the highest term, if any does. */
  leader() {
    /** @type {Member | undefined} */
    let best;
    for (const m of this.state.members) {
      if (m.role === "leader" && m.process === "running" && (!best || m.term > best.term)) best = m;
    }
    return best;
  }

  /** Whether this host takes such an input. @param {string} what */
  can(what) {
    return !this.hello.controls || this.hello.controls.includes(what);
  }
}
