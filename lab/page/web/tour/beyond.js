// @ts-check
// The chapters beyond the literature's tours.

import { paper, read, run, write } from "./runs.js";

/** @typedef {import("../js/tour.js").Chapter} Chapter */
/** @typedef {import("../js/protocol.js").Input} Input */

/** Why a member asks before it raises the term. @type {Chapter} */
export const prevote = {
  name: "prevote",
  runs: [
    run(16, { members: 3, ...paper }, [[400, { do: "partition", groups: [[1, 2], [3]] }], [1400, { do: "heal" }]]),
    run(16, { members: 3 }, [[400, { do: "partition", groups: [[1, 2], [3]] }], [1400, { do: "heal" }]]),
  ],
  ends: [2200, 2000],
  steps: [
    { say: "start", until: { at: 390 } },
    { say: "cut", until: { kind: "candidate", member: 3, nth: 1, plus: 0.5 }, show: ["n3"], speed: 1 / 20 },
    { say: "climb", until: { at: 1390 }, show: ["n3"], speed: 1 / 5 },
    { say: "heal", until: { kind: "stepped-down", plus: 1 }, show: ["n1"], speed: 1 / 40 },
    { say: "harm", until: { kind: "leader", nth: 2, plus: 30 }, speed: 1 / 20 },
    { say: "with", run: 1, until: { at: 390 } },
    { say: "asks", run: 1, until: { kind: "pre-candidate", member: 3, nth: 1, plus: 1 }, show: ["n3"], speed: 1 / 20 },
    { say: "stays", run: 1, until: { at: 1390 }, show: ["n3"], speed: 1 / 5 },
    { say: "calm", run: 1, until: { at: 1600 }, show: ["n3"], speed: 1 / 20 },
    { say: "try", run: 1, try: true },
  ],
};

const eight = { members: 5, ...paper, checkQuorum: false };

/** Up to the moment at which S1 leads again and brings the old entry to a majority. @type {[number, Omit<Input, "at">][]} */
const figure = [
  [390, { do: "cut", from: 1, to: 3 }], [390, { do: "cut", from: 1, to: 4 }], [390, { do: "cut", from: 1, to: 5 }],
  [400, write(1, "x", 1, { member: 1, patience: 200e6 })],
  [470, { do: "crash", member: 1 }],
  [560, { do: "heal" }],
  [591.2, { do: "partition", groups: [[1, 2, 3, 4], [5]] }],
  [592, write(2, "x", 9, { member: 5, patience: 30e6 })],
  [625, { do: "crash", member: 5 }],
  [626, { do: "heal" }],
  [640, { do: "restart", member: 1 }],
  [642, { do: "timeout", member: 1 }], [686, { do: "timeout", member: 1 }],
];

/** Figure 8: why only entries of the leader's own term are committed by counting. @type {Chapter} */
export const figure8 = {
  name: "figure8",
  runs: [
    run(2, eight, [
      ...figure,
      [718.2, { do: "cut", from: 1, to: 2 }], [718.2, { do: "cut", from: 1, to: 4 }], [718.2, { do: "cut", from: 1, to: 5 }],
      [766, { do: "crash", member: 1 }], [767, { do: "heal" }],
      [780, { do: "restart", member: 5 }], [782, { do: "timeout", member: 5 }], [826, { do: "timeout", member: 5 }],
    ]),
    run(2, eight, [...figure, [840, { do: "crash", member: 1 }], [850, { do: "restart", member: 5 }], [852, { do: "timeout", member: 5 }], [896, { do: "timeout", member: 5 }]]),
  ],
  ends: [1010, 1160],
  steps: [
    { say: "start", until: { at: 385 }, show: ["n1"] },
    { say: "a", until: { kind: "crashed", member: 1, nth: 1, plus: 1 }, tab: "log", show: ["n1", "n2"], speed: 1 / 50 },
    { say: "b", until: { kind: "proposed", member: 5, plus: 5 }, tab: "log", show: ["n5"], speed: 1 / 50 },
    { say: "b2", until: { kind: "crashed", member: 5, plus: 1 }, tab: "log", show: ["n5"], speed: 1 / 50 },
    { say: "back", until: { kind: "leader", member: 1, term: 3, plus: 0.1 }, show: ["n1"], speed: 1 / 50 },
    { say: "c", until: { kind: "appended", member: 3, index: 3, term: 3, plus: 3 }, tab: "log", show: ["n1", "n2", "n3"], speed: 1 / 100 },
    { say: "rule", until: { kind: "appended", member: 3, index: 3, term: 3, plus: 4 }, tab: "log", show: ["n1"] },
    { say: "d", until: { kind: "leader", member: 5, term: 4, plus: 0.5 }, show: ["n5"], speed: 1 / 50 },
    { say: "d2", until: { kind: "truncated", member: 2, plus: 3 }, tab: "log", show: ["n2", "n3"], speed: 1 / 60 },
    { say: "so", until: { at: 1000 }, tab: "log", speed: 1 / 50 },
    { say: "e", run: 1, until: { kind: "appended", member: 3, index: 4, term: 3, plus: 40 }, tab: "log", show: ["n1", "n2", "n3"], speed: 1 / 50 },
    { say: "e2", run: 1, until: { kind: "candidate", member: 5, term: 4, plus: 40 }, show: ["n5"], speed: 1 / 50 },
    { say: "e3", run: 1, until: { at: 1150 }, tab: "log", speed: 1 / 50 },
    { say: "try", run: 1, try: true },
  ],
};

/** How a log stays short, and what becomes of who needs what is gone. @type {Chapter} */
export const snapshots = {
  name: "snapshots",
  runs: [
    run(16, { members: 3, ...paper, compactEntries: 4, keepEntries: 1 }, [
      [400, { do: "stop", member: 3 }],
      ...[420, 520, 620, 720, 820, 920, 1020].map((t, i) => /** @type {[number, any]} */ ([t, write(1, i % 2 ? "y" : "x", i + 1)])),
      [1250, { do: "restart", member: 3 }],
    ]),
  ],
  ends: [1900],
  steps: [
    { say: "start", until: { at: 390 } },
    { say: "away", until: { kind: "stopped", plus: 5 }, show: ["n3"], speed: 1 / 20 },
    { say: "grow", until: { at: 815 }, tab: "log", speed: 1 / 20 },
    { say: "compact", until: { at: 1200 }, tab: "log", show: ["n1", "n2"], speed: 1 / 20 },
    { say: "back", until: { kind: "started", member: 3, nth: 2, plus: 5 }, tab: "log", show: ["n3"], speed: 1 / 20 },
    { say: "gone", until: { kind: "snapshot-needed", plus: 1 }, show: ["n1", "n3"], speed: 1 / 30 },
    { say: "send", until: { kind: "sent", message: "snapshot", plus: 6 }, speed: 1 / 100 },
    { say: "install", until: { kind: "snapshot-installed", plus: 1 }, tab: "log", show: ["n3"], speed: 1 / 100 },
    { say: "goes-on", until: { kind: "snapshot-installed", plus: 120 }, tab: "log", speed: 1 / 20 },
    { say: "try", try: true },
  ],
};

/** Adding a member, and removing the leader. @type {Chapter} */
export const membership = {
  name: "membership",
  runs: [
    run(16, { members: 3, ...paper }, [
      [400, write(1, "x", 1)], [520, write(1, "x", 2)],
      [650, { do: "add" }],
      [1300, { do: "remove", member: 1 }],
    ]),
  ],
  ends: [2100],
  steps: [
    { say: "start", until: { at: 640 } },
    { say: "danger", until: { at: 645 } },
    { say: "add", until: { kind: "started", member: 4, plus: 2 }, show: ["n4"], speed: 1 / 20 },
    { say: "learner", until: { kind: "configuration", member: 1, count: 4, nth: 1, plus: 4 }, tab: "log", show: ["n4"], speed: 1 / 60 },
    { say: "catch-up", until: { kind: "appended", member: 4, plus: 4 }, tab: "log", show: ["n4"], speed: 1 / 60 },
    { say: "voter", until: { at: 1250 }, tab: "log", show: ["n4"], speed: 1 / 20 },
    { say: "remove", until: { kind: "configuration", member: 1, count: 3, nth: 2, plus: 2 }, tab: "log", show: ["n1"], speed: 1 / 30 },
    { say: "steps-down", until: { kind: "stepped-down", member: 1, plus: 1 }, show: ["n1"], speed: 1 / 60 },
    { say: "next", until: { kind: "leader", nth: 2, plus: 80 }, speed: 1 / 60 },
    { say: "joint", until: { at: 2050 }, speed: 1 / 10 },
    { say: "try", try: true },
  ],
};

/** What a read may see. @type {Chapter} */
export const reads = {
  name: "reads",
  runs: [
    run(16, { members: 3 }, [
      [450, write(1, "x", 1)],
      [600, read(2, "x", { member: 1 })],
      [700, { do: "partition", groups: [[1], [2, 3]] }],
      [760, read(2, "x", { member: 1, patience: 1500e6 })],
      [1150, write(1, "x", 2, { member: 2, retry: true })],
      [1400, read(3, "x", { member: 1, read: "serializable" })],
      [1500, read(4, "x", { member: 3 })],
      [1800, { do: "heal" }],
    ]),
  ],
  ends: [2500],
  steps: [
    { say: "start", until: { at: 595 }, show: ["n1"] },
    { say: "ask", until: { at: 622 }, show: ["n1"], speed: 1 / 50 },
    { say: "round", until: { kind: "answered", nth: 2, plus: 1 }, show: ["c2"], speed: 1 / 60 },
    { say: "cut", until: { at: 755 }, show: ["n1"], speed: 1 / 20 },
    { say: "wait", until: { at: 860 }, show: ["c2", "n1"], speed: 1 / 20 },
    { say: "next", until: { kind: "leader", nth: 2, plus: 40 }, speed: 1 / 20 },
    { say: "write", until: { kind: "answered", nth: 3, plus: 1 }, speed: 1 / 20 },
    { say: "stale", until: { at: 1440 }, show: ["c3"], speed: 1 / 20 },
    { say: "fresh", until: { at: 1600 }, show: ["c4"], speed: 1 / 20 },
    { say: "strip", until: { at: 1700 }, tab: "time" },
    { say: "heal", until: { at: 2300 }, show: ["c2"], speed: 1 / 10 },
    { say: "try", try: true },
  ],
};

/** What a disk may do, and why nobody believes it too much. @type {Chapter} */
export const disk = {
  name: "disk",
  runs: [
    run(16, { members: 3, ...paper, diskMin: 12e6, diskMax: 16e6 }, [
      [520, write(1, "x", 1)],
      [552, { do: "crash", member: 2 }],
      [700, { do: "restart", member: 2 }],
      [1000, { do: "wipe", member: 3 }],
      [1100, { do: "restart", member: 3 }],
    ]),
  ],
  ends: [2400],
  steps: [
    { say: "start", until: { at: 515 } },
    { say: "memory", until: { kind: "appended", member: 2, index: 3, plus: 1 }, tab: "log", show: ["n2"], speed: 1 / 100 },
    { say: "crash", until: { kind: "crashed", member: 2, plus: 1 }, tab: "log", show: ["n2"], speed: 1 / 200 },
    { say: "promise", until: { kind: "answered", plus: 1 }, show: ["c1"], speed: 1 / 60 },
    { say: "back", until: { at: 900 }, tab: "log", show: ["n2"], speed: 1 / 20 },
    { say: "wipe", until: { kind: "crashed", member: 3, plus: 2 }, show: ["n3"], speed: 1 / 20 },
    { say: "danger", until: { at: 1090 }, show: ["n3"], speed: 1 / 20 },
    { say: "fenced", until: { at: 1250 }, show: ["n3"], tab: "inspect", speed: 1 / 20 },
    { say: "admitted", until: { at: 2000 }, tab: "log", show: ["n3"], speed: 1 / 10 },
    { say: "rot", until: { at: 2010 } },
    { say: "try", try: true },
  ],
};

export const beyond = [prevote, figure8, snapshots, membership, reads, disk];
