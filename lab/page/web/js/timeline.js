// @ts-check
// What is known of a run's history: every event once, and what follows from them for the space-time diagram, the flights of messages and the stretches
// of time that a member spent in a role.

/** @typedef {import("./protocol.js").Event} Event */
/** @typedef {import("./protocol.js").Message} Message */
/** @typedef {{message: Message, sent: number, ended: number, outcome: "" | "delivered" | "lost", why: string}} Flight */
/** @typedef {{t: number, role: string, term: number, process: string}} Stretch */

const roles = new Set(["follower", "pre-candidate", "candidate", "leader"]);

/** Where one's attention goes: what the feed tells and marks are made for. The rest is told by flights. */
export const quietKinds = new Set(["sent", "delivered", "synced", "applied", "appended", "ignored", "leader-known", "vote-received", "phase"]);

export class Timeline {
  constructor() {
    /** @type {Event[]} ascending by id; the first ones may be missing */
    this.events = [];
    /** @type {Map<number, Flight>} by message */
    this.flights = new Map();
    /** @type {Map<number, Stretch[]>} by member */
    this.lanes = new Map();
    /** @type {Map<number, {t: number, index: number}[]>} by member: when its commit index reached what */
    this.commits = new Map();
    /** how far in time it reaches */
    this.until = 0;
  }

  get last() {
    return this.events.length ? this.events[this.events.length - 1].id : 0;
  }

  /**
   * Adds what is not known yet.
   * @param {Event[]} events
   */
  add(events) {
    for (const event of events) {
      if (event.id > this.last) {
        this.events.push(event);
        this.#follow(event);
      }
    }
  }

  /**
   * The same history up to an event.
   * @param {number} id
   * @param {number} t
   */
  cut(id, t) {
    const copy = new Timeline();
    copy.add(this.events.filter((e) => e.id <= id));
    copy.until = t;
    return copy;
  }

  /**
   * Notes that a process is in another state than its events say.
   * @param {number} member
   * @param {number} t
   * @param {string} process
   */
  process(member, t, process) {
    const lane = this.#of(this.lanes, member);
    const now = lane.length ? lane[lane.length - 1] : { t: 0, role: "follower", term: 0, process: "running" };
    if (now.process !== process) lane.push({ ...now, t: Math.max(t, now.t), process, role: "follower" });
  }

  /** @param {Event} e */
  #follow(e) {
    this.until = Math.max(this.until, e.t);
    switch (e.kind) {
      case "sent":
        if (e.message) this.flights.set(e.message.id, { message: e.message, sent: e.t, ended: 0, outcome: "", why: "" });
        return;
      case "delivered":
      case "lost": {
        const flight = e.message && this.flights.get(e.message.id);
        if (flight) Object.assign(flight, { ended: e.t, outcome: e.kind, why: e.why ?? "" });
        return;
      }
      case "committed":
        if (e.member) this.#of(this.commits, e.member).push({ t: e.t, index: e.index ?? 0 });
        return;
    }
    if (e.member) this.#stretch(e, e.member);
  }

  /**
   * @template T
   * @param {Map<number, T[]>} map
   * @param {number} member
   * @returns {T[]}
   */
  #of(map, member) {
    let list = map.get(member);
    if (!list) map.set(member, (list = []));
    return list;
  }

  /**
   * @param {Event} e
   * @param {number} member
   */
  #stretch(e, member) {
    const lane = this.#of(this.lanes, member);
    const now = lane.length ? lane[lane.length - 1] : { t: 0, role: "follower", term: 0, process: "running" };
    const next = { ...now, t: e.t };
    if (roles.has(e.kind)) next.role = e.kind;
    if (e.kind === "stepped-down" || e.kind === "started") next.role = "follower";
    if (e.term) next.term = e.term;
    if (e.kind === "started" || e.kind === "resumed") next.process = "running";
    if (e.kind === "stopped" || e.kind === "crashed" || e.kind === "paused") next.process = e.kind;
    if (lane.length && next.role === now.role && next.term === now.term && next.process === now.process) return;
    if (lane.length && now.t === e.t) lane[lane.length - 1] = next;
    else lane.push(next);
  }
}
