// @ts-check
// The chapters that the literature has, too.

import { paper, read, run, write } from "./runs.js";

/** @typedef {import("../js/tour.js").Chapter} Chapter */

/** One node agrees with itself; several have to agree with each other. @type {Chapter} */
export const consensus = {
  name: "consensus",
  runs: [run(3, { members: 1, ...paper }, [[400, write(1, "x", 8)]]), run(16, { members: 3, ...paper }, [[400, write(1, "x", 8)]])],
  ends: [600, 800],
  steps: [
    { say: "node", until: { at: 350 }, show: ["n1"] },
    { say: "client", until: { kind: "sent", message: "request", plus: 6 }, show: ["c1"], speed: 1 / 50 },
    { say: "one", until: { kind: "answered", plus: 1 }, speed: 1 / 50 },
    { say: "many", run: 1, until: { at: 0 } },
    { say: "agree", run: 1, until: { at: 390 }, speed: 1 / 20 },
    { say: "spread", run: 1, until: { kind: "answered", plus: 60 }, tab: "log", speed: 1 / 50 },
    { say: "try", run: 1, try: true },
  ],
};

/** Follower, candidate, leader. @type {Chapter} */
export const roles = {
  name: "roles",
  runs: [run(16, { members: 3, ...paper }, [[500, write(1, "x", 5)]])],
  ends: [900],
  steps: [
    { say: "three", until: { at: 0 }, tab: "inspect" },
    { say: "follower", until: { at: 40 }, show: ["n1", "n2", "n3"] },
    { say: "candidate", until: { kind: "candidate", plus: 1 }, show: ["n1"], speed: 1 / 30 },
    { say: "ask", until: { kind: "sent", message: "vote", plus: 6 }, speed: 1 / 200 },
    { say: "reply", until: { kind: "sent", message: "vote-reply", plus: 5 }, speed: 1 / 200 },
    { say: "leader", until: { kind: "leader", plus: 0.5 }, show: ["n1"], speed: 1 / 200 },
    { say: "changes", until: { kind: "sent", message: "request", plus: 8 }, show: ["c1", "n1"], speed: 1 / 20 },
    { say: "entry", until: { kind: "proposed", plus: 4 }, tab: "log", show: ["n1"], speed: 1 / 200 },
    { say: "commit", until: { kind: "answered", plus: 0.5 }, speed: 1 / 100 },
    { say: "followers", until: { kind: "answered", plus: 40 }, speed: 1 / 100 },
    { say: "try", try: true },
  ],
};

/** Three nodes elect a leader. @type {Chapter} */
export const election = {
  name: "election",
  runs: [run(1, { members: 3, ...paper })],
  ends: [900],
  steps: [
    { say: "followers", until: { at: 0 } },
    { say: "timer", until: { at: 60 }, show: ["n1", "n2", "n3"] },
    { say: "timeout", until: { kind: "timeout", plus: 0.1 }, speed: 1 / 40, show: ["n2"] },
    { say: "candidate", until: { kind: "sent", message: "vote", plus: 4 }, speed: 1 / 200, show: ["n2"] },
    { say: "vote", until: { kind: "vote-granted", plus: 1 }, speed: 1 / 200 },
    { say: "reset", until: { kind: "sent", message: "vote-reply", plus: 8 }, speed: 1 / 200 },
    { say: "leader", until: { kind: "leader", plus: 1 }, speed: 1 / 200, show: ["n2"] },
    { say: "heartbeats", until: { kind: "leader", plus: 160 }, speed: 1 / 20 },
    { say: "answers", until: { kind: "leader", plus: 330 }, speed: 1 / 20 },
    { say: "term", until: { kind: "leader", plus: 331 }, tab: "time" },
    { say: "try", try: true },
  ],
};

/** The leader A of ABC stops, and B takes over. @type {Chapter} */
export const takeover = {
  name: "takeover",
  runs: [run(16, { members: 3, ...paper }, [[430, { do: "stop", member: 1 }], [900, { do: "restart", member: 1 }]])],
  ends: [1200],
  steps: [
    { say: "start", until: { at: 425 }, show: ["n1"] },
    { say: "stop", until: { kind: "stopped", plus: 1 }, show: ["n1"], speed: 1 / 50 },
    { say: "silence", until: { at: 540 }, show: ["n2", "n3"], speed: 1 / 40 },
    { say: "timeout", until: { kind: "timeout", member: 2, plus: 0.1 }, show: ["n2"], speed: 1 / 60 },
    { say: "candidate", until: { kind: "sent", message: "vote", term: 2, from: "n2", plus: 6 }, show: ["n2"], speed: 1 / 200 },
    { say: "lost", until: { kind: "lost", message: "vote", plus: 0.5 }, show: ["n1"], speed: 1 / 200 },
    { say: "vote", until: { kind: "vote-granted", member: 3, peer: 2, plus: 0.5 }, show: ["n3"], speed: 1 / 200 },
    { say: "leader", until: { kind: "leader", member: 2, plus: 0.5 }, show: ["n2"], speed: 1 / 200 },
    { say: "follows", until: { kind: "leader-known", member: 3, peer: 2, plus: 10 }, show: ["n3"], speed: 1 / 100 },
    { say: "majority", until: { at: 780 }, speed: 1 / 20 },
    { say: "back", until: { kind: "leader-known", member: 1, peer: 2, plus: 20 }, show: ["n1"], speed: 1 / 20 },
    { say: "try", try: true },
  ],
};

/** A split vote among ABCD, twice, and why it ends. @type {Chapter} */
export const split = {
  name: "split",
  runs: [
    run(15, { members: 4, ...paper }, [
      [120, { do: "timeout", member: 1 }], [120, { do: "timeout", member: 2 }],
      [240, { do: "timeout", member: 1 }], [240, { do: "timeout", member: 2 }], [241, { do: "timeout", member: 3 }], [242, { do: "timeout", member: 4 }],
    ]),
  ],
  ends: [700],
  steps: [
    { say: "start", until: { at: 100 } },
    { say: "both", until: { kind: "candidate", nth: 2, plus: 0.5 }, show: ["n1", "n2"], speed: 1 / 100 },
    { say: "requests", until: { kind: "sent", message: "vote", nth: 6, plus: 5 }, speed: 1 / 200 },
    { say: "votes", until: { kind: "vote-granted", nth: 2, plus: 0.3 }, show: ["n3", "n4"], speed: 1 / 200 },
    { say: "late", until: { at: 146 }, speed: 1 / 200 },
    { say: "nobody", until: { at: 180 }, show: ["n1", "n2"], speed: 1 / 100 },
    { say: "again", until: { kind: "candidate", term: 2, nth: 4, plus: 0.5 }, show: ["n1", "n2", "n3", "n4"], speed: 1 / 100 },
    { say: "self", until: { at: 275 }, speed: 1 / 200 },
    { say: "none", until: { at: 330 }, speed: 1 / 50 },
    { say: "random", until: { kind: "timeout", nth: 7, plus: 0.2 }, show: ["n2"], speed: 1 / 50 },
    { say: "alone", until: { kind: "leader", plus: 1 }, show: ["n2"], speed: 1 / 100 },
    { say: "why", until: { kind: "leader", plus: 120 }, speed: 1 / 30 },
    { say: "try", try: true },
  ],
};

/** What becomes of "set x". @type {Chapter} */
export const replication = {
  name: "replication",
  runs: [run(16, { members: 3, ...paper }, [[460, write(1, "x", 5)], [640, { do: "client", op: { client: 1, kind: "add", key: "x", value: "2" } }]])],
  ends: [1000],
  steps: [
    { say: "start", until: { at: 455 }, tab: "log", show: ["n1"] },
    { say: "request", until: { kind: "sent", message: "request", plus: 8 }, show: ["c1"], speed: 1 / 200 },
    { say: "entry", until: { kind: "proposed", index: 3, plus: 0.2 }, tab: "log", show: ["n1"], speed: 1 / 200 },
    { say: "uncommitted", until: { kind: "proposed", index: 3, plus: 1 }, tab: "log" },
    { say: "append", until: { kind: "sent", message: "append", nth: 5, plus: 6 }, speed: 1 / 300 },
    { say: "appended", until: { kind: "appended", index: 3, plus: 0.2 }, tab: "log", speed: 1 / 300 },
    { say: "durable", until: { kind: "appended", index: 3, plus: 4 }, speed: 1 / 300 },
    { say: "committed", until: { kind: "committed", index: 3, member: 1, plus: 0.1 }, show: ["n1"], tab: "log", speed: 1 / 300 },
    { say: "answer", until: { kind: "answered", plus: 0.2 }, show: ["c1"], speed: 1 / 300 },
    { say: "told", until: { kind: "committed", index: 3, nth: 3, plus: 1 }, tab: "log", speed: 1 / 200 },
    { say: "consensus", until: { at: 630 }, tab: "log" },
    { say: "add", until: { kind: "answered", nth: 2, plus: 60 }, tab: "log", speed: 1 / 60 },
    { say: "try", try: true },
  ],
};

/** A partition of five, and its healing. @type {Chapter} */
export const partition = {
  name: "partition",
  runs: [
    run(20, { members: 5, ...paper, checkQuorum: false }, [
      [420, { do: "partition", groups: [[1, 2], [3, 4, 5]] }],
      [900, write(1, "x", 3, { member: 2, patience: 350e6 })],
      [1100, write(2, "x", 8, { member: 3 })],
      [1400, { do: "heal" }],
    ]),
  ],
  ends: [1900],
  steps: [
    { say: "start", until: { at: 410 }, show: ["n2"] },
    { say: "cut", until: { at: 430 } },
    { say: "timeout", until: { kind: "candidate", term: 2, plus: 0.5 }, speed: 1 / 30 },
    { say: "two", until: { kind: "leader", term: 2, plus: 60 }, speed: 1 / 60 },
    { say: "terms", until: { at: 890 }, show: ["n2"], speed: 1 / 10 },
    { say: "minority", until: { at: 990 }, tab: "log", show: ["c1", "n2"], speed: 1 / 60 },
    { say: "majority", until: { kind: "answered", nth: 1, plus: 20 }, tab: "log", show: ["c2"], speed: 1 / 60 },
    { say: "unknown", until: { kind: "answered", nth: 2, plus: 1 }, show: ["c1"], speed: 1 / 30 },
    { say: "heal", until: { at: 1410 }, speed: 1 / 20 },
    { say: "down", until: { kind: "stepped-down", member: 2, plus: 1 }, show: ["n2"], speed: 1 / 60 },
    { say: "rollback", until: { kind: "truncated", plus: 1 }, tab: "log", show: ["n1", "n2"], speed: 1 / 100 },
    { say: "same", until: { at: 1800 }, tab: "log", speed: 1 / 20 },
    { say: "client", until: { at: 1810 }, show: ["c1"] },
    { say: "try", try: true },
  ],
};

export const basics = [consensus, roles, election, takeover, split, replication, partition];

void read;
