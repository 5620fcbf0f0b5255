// Package sim is a deterministic simulation of a whole deployment: one seed, one world. The world runs the production engine (the stages of
// engine.Host), the production write-ahead log and the production core of every host; only the clock, the network, the disks and all randomness
// are its own. Everything happens on the caller's goroutine, as events in virtual time, so that the same seed gives the same trace, event by event.
//
// A run has two phases: clients and faults together; then the faults end, everything is healed, and the groups have to become live again
// within a bounded time. Checkers look on from the first event to the last:
//
//   - the five properties of the paper's figure 3 (check_election.go, check_log.go, check_commit.go, check_machine.go),
//   - that no member breaks after a crash what it said before it (check_promise.go), and that a majority has what was acknowledged whenever a process
//     starts (check_durable.go),
//   - that machines which have applied the same are equal, and answer what the oracle does (check_machine.go, ledger.go),
//   - that every answer is the oracle's at its place in the log, that none stands before what had ended when it began, that nothing happens twice, and
//     nothing that was refused (check_answers.go),
//   - that there are leaders and commits whenever a connected majority has lasted, under faults and after them (check_progress.go), and that the groups are
//     live and quiet in the end (check_live.go),
//   - that what a host holds stays within its limits (check_bounds.go).
//
// What the groups replicate is an Application (application.go); registers, transactions and sessions are built in, and Check puts anybody's own
// state machine in their place.
//
// Invariants: nothing here reads the wall clock, starts a goroutine, or iterates a map in an order that matters. A checker never changes the
// world. Each fault counts how often it was injected and how often it had an effect.
//
// Faults, workloads and checkers are files of their own with one job each: to add one, write its file and name it in faults.go, world.go or
// check.go. The package knows no sockets and no files: it compiles for WebAssembly.
package sim
