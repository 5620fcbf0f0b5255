// Package sim is a deterministic simulation of a whole deployment: one seed, one world. The world runs the production engine (the stages of
// engine.Host), the production write-ahead log and the production core of every host; only the clock, the network, the disks and all randomness
// are its own. Everything happens on the caller's goroutine, as events in virtual time, so that the same seed gives the same trace, event by event.
//
// A run has three phases: clients and faults together; then the faults end, everything is healed, and the group has to become live again
// within a bounded time; then the history is judged. Checkers look on from the first event to the last:
//
//   - the five properties of the paper's figure 3 (check_election.go, check_log.go, check_commit.go, check_machine.go),
//   - that no member breaks after a crash what it said before it (check_promise.go),
//   - that every answer is the oracle's, in the order of the log, that none stands before what had ended when it began, that nothing happens twice, and
//     nothing that was refused (check_answers.go, ledger.go),
//   - that the group is live again after healing (check_live.go).
//
// Invariants: nothing here reads the wall clock, starts a goroutine, or iterates a map in an order that matters. A checker never changes the
// world. Each fault counts how often it was injected and how often it had an effect.
//
// Faults, workloads and checkers are files of their own with one job each: to add one, write its file and name it in faults.go, world.go or
// check.go. The package does not shrink failing runs, and knows no sockets and no files: it compiles for WebAssembly.
package sim
