// @ts-check

/** Three nodes elect a leader. @type {import("../js/tour.js").Chapter} */
export const election = {
  name: "election",
  runs: [{ v: 1, seed: 1, setup: { members: 3, preVote: false } }],
  ends: [900],
  steps: [
    { say: "followers", until: { at: 0 } },
    { say: "timer", until: { at: 60 } },
    { say: "timeout", until: { kind: "timeout", plus: 0.1 }, speed: 1 / 40 },
    { say: "candidate", until: { kind: "sent", message: "vote", plus: 4 }, speed: 1 / 200 },
    { say: "vote", until: { kind: "vote-granted", plus: 1 }, speed: 1 / 100 },
    { say: "leader", until: { kind: "leader", plus: 1 }, speed: 1 / 100 },
    { say: "heartbeats", until: { kind: "leader", plus: 160 }, speed: 1 / 20 },
    { say: "try", try: true },
  ],
};
