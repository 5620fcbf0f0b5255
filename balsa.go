// Package balsa is Raft that you can embed: it makes a durable, replicated state machine out of any Go type.
package balsa

import "github.com/balsa-raft/balsa/engine"

// The types that a replicated state machine is written against. They are the engine's; see there for their contracts.
type (
	StateMachine        = engine.StateMachine
	DurableStateMachine = engine.DurableStateMachine
	SnapshotWriter      = engine.SnapshotWriter
	Entry               = engine.Entry
	Result              = engine.Result
)
