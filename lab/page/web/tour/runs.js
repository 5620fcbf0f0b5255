// @ts-check
// How the runs of the chapters are written down: inputs with their moments in milliseconds.

/** @typedef {import("../js/protocol.js").Run} Run */
/** @typedef {import("../js/protocol.js").Input} Input */

const ms = 1_000_000;

/**
 * @param {number} seed
 * @param {import("../js/protocol.js").Setup} setup
 * @param {[number, Omit<Input, "at">][]} [inputs]
 * @returns {Run}
 */
export const run = (seed, setup, inputs = []) => ({ v: 1, seed, setup, inputs: inputs.map(([t, input]) => ({ at: { t: Math.round(t * ms) }, .../** @type {Input} */ (input) })) });

/** @param {number} client @param {string} key @param {string | number} value @param {object} [more] @returns {Omit<Input, "at">} */
export const write = (client, key, value, more = {}) => ({ do: "client", op: { client, kind: "set", key, value: String(value), ...more } });

/** @param {number} client @param {string} key @param {object} [more] @returns {Omit<Input, "at">} */
export const read = (client, key, more = {}) => ({ do: "client", op: { client, kind: "read", key, ...more } });

/** What the paper has: no pre-vote, which comes in a chapter of its own. */
export const paper = { preVote: false };
