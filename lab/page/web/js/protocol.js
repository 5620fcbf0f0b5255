// @ts-check
// The types of the protocol, as lab/protocol.go has them. There is no code here.

/** @typedef {{t: number, n?: number}} Point */
/**
 * @typedef {object} Settings
 * @property {number} [heartbeat] all times are in nanoseconds
 * @property {number} [electionMin]
 * @property {number} [electionMax]
 * @property {number} [delayMin]
 * @property {number} [delayMax]
 * @property {number} [diskMin]
 * @property {number} [diskMax]
 * @property {number} [loss] per thousand
 * @property {boolean} [preVote]
 * @property {boolean} [checkQuorum]
 * @property {boolean} [leaseReads]
 */
/** @typedef {Settings & {members?: number, compactEntries?: number, keepEntries?: number, noSessions?: boolean}} Setup */
/**
 * @typedef {object} Op
 * @property {number} client
 * @property {number} [member]
 * @property {"set" | "add" | "delete" | "cas" | "read"} kind
 * @property {string} key
 * @property {string} [value]
 * @property {string} [expect]
 * @property {"" | "linearizable" | "serializable" | "lease"} [read]
 * @property {boolean} [retry]
 * @property {number} [patience]
 */
/**
 * @typedef {object} Input
 * @property {Point} [at]
 * @property {string} do
 * @property {number} [member]
 * @property {number} [message]
 * @property {number} [from]
 * @property {number} [to]
 * @property {number} [by]
 * @property {number[][]} [groups]
 * @property {boolean} [learner]
 * @property {number} [index]
 * @property {Op} [op]
 * @property {Settings} [set]
 */
/** @typedef {{v: number, seed: number, setup?: Setup, inputs?: Input[], campaign?: object, moment?: Point}} Run */
/** @typedef {{index: number, term: number}} EntryID */
/** @typedef {{index: number, term: number, kind: "command" | "noop" | "configuration" | "session", text?: string}} Entry */
/** @typedef {{index: number, voters: number[], learners?: number[], outgoing?: number[]}} Configuration */
/** @typedef {{id: number, match: number, next: number, state: string, inflight?: number, active: boolean}} Peer */
/** @typedef {{key: string, value: string}} Pair */
/**
 * @typedef {object} Member
 * @property {number} id
 * @property {"running" | "paused" | "stopped" | "crashed"} process
 * @property {"voter" | "learner" | ""} in
 * @property {"follower" | "pre-candidate" | "candidate" | "leader"} role
 * @property {number} term
 * @property {number} [vote]
 * @property {number} [leader]
 * @property {{from: number, to: number}} [timer]
 * @property {number} commit
 * @property {number} applied
 * @property {number} durable
 * @property {{term: number, vote?: number}} disk
 * @property {EntryID} [prefix]
 * @property {number} last
 * @property {Entry[]} [log] missing if it is as before
 * @property {Configuration} configuration
 * @property {number[]} [granted]
 * @property {number[]} [refused]
 * @property {Peer[]} [peers]
 * @property {number} [transfer]
 * @property {Pair[]} [machine] missing if it is as before
 * @property {boolean} [syncing]
 * @property {boolean} [faulty]
 * @property {boolean} [quiet]
 * @property {boolean} [lying]
 * @property {number} [waiting]
 * @property {number} [rate]
 * @property {number} [lag]
 * @property {string} [address]
 * @property {string} [name]
 */
/**
 * @typedef {object} MessageFields
 * @property {EntryID} [last]
 * @property {EntryID} [prev]
 * @property {Entry[]} [entries]
 * @property {number} [commit]
 * @property {number} [round]
 * @property {number} [match]
 * @property {EntryID} [conflict]
 * @property {number} [campaign]
 * @property {boolean} [transfer]
 * @property {EntryID} [snapshot]
 * @property {number} [offset]
 * @property {number} [size]
 * @property {number} [index]
 * @property {string} [text]
 * @property {number} [op]
 */
/**
 * @typedef {object} Message
 * @property {number} id
 * @property {string} from "n1" is a member, "c1" a client
 * @property {string} to
 * @property {string} kind
 * @property {boolean} [reply]
 * @property {boolean} [refused]
 * @property {number} sent
 * @property {number} arrives
 * @property {number} [term]
 * @property {boolean} [lost]
 * @property {number} [of]
 * @property {MessageFields} [fields]
 */
/**
 * @typedef {object} Operation
 * @property {number} id
 * @property {number} client
 * @property {number} [member]
 * @property {string} kind
 * @property {string} key
 * @property {string} [value]
 * @property {string} [expect]
 * @property {string} [read]
 * @property {boolean} [retry]
 * @property {number} call
 * @property {number} [return]
 * @property {number} [attempts]
 * @property {"" | "ok" | "refused" | "unknown"} [outcome]
 * @property {string} [error]
 * @property {string} [result]
 * @property {boolean} [found]
 * @property {boolean} [wrote]
 * @property {number} [index]
 * @property {boolean} [stale]
 */
/** @typedef {{name: string, violated?: boolean, text?: string, at?: number}} Property */
/**
 * @typedef {object} State
 * @property {number} t
 * @property {number} n
 * @property {string} hash
 * @property {number} [next]
 * @property {string} [ended]
 * @property {Settings} settings
 * @property {Member[]} members
 * @property {Message[]} messages
 * @property {[number, number][]} [cuts]
 * @property {Operation[]} [ops]
 * @property {Property[]} safety
 * @property {number} committed
 */
/**
 * @typedef {object} Event
 * @property {number} id
 * @property {number} t
 * @property {string} kind
 * @property {number} [member]
 * @property {number} [term]
 * @property {number} [peer]
 * @property {number} [index]
 * @property {number} [count]
 * @property {string} [rule]
 * @property {string} [section]
 * @property {Message} [message]
 * @property {Operation} [op]
 * @property {string} [why]
 */
/** @typedef {{v: number, host: string, open?: Run, controls?: string[]}} Hello */
/**
 * @typedef {object} Answer
 * @property {number} id
 * @property {string} [error]
 * @property {Hello} [hello]
 * @property {Run} [run]
 * @property {Input} [input]
 * @property {State} [state]
 * @property {Event[]} [events]
 * @property {number} [skipped]
 */

export {};
