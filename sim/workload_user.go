package sim

import (
	"fmt"
	"math/rand/v2"

	"github.com/balsa-raft/balsa/engine"
)

// Workload is what clients do with a state machine of one's own: see Check.
type Workload struct {
	// Command makes up the next command of a client. All chance has to come from rng, and nothing may be kept between calls.
	Command func(rng *rand.Rand) []byte
	// Query makes up a question, and Read asks a machine: by methods of its own, without changing it. Without them clients only send commands.
	Query func(rng *rand.Rand) []byte
	Read  func(machine engine.StateMachine, query []byte) []byte
}

// own is the application that makes a user's machine replicated. Its oracle is such a machine, too: one that is asked alone, command by command, in the
// order of the log.
type own struct {
	make func() engine.StateMachine
	work Workload
}

// Name implements Application.
func (own) Name() string { return "own machine" }

// Machine implements Application.
func (a own) Machine(Place) (engine.StateMachine, error) { return a.make(), nil }

// Model implements Application.
func (a own) Model() Model { return &alone{application: a, machine: a.make()} }

// Read implements Application.
func (a own) Read(machine engine.StateMachine, query []byte) []byte {
	return a.work.Read(machine, query)
}

// Client implements Application.
func (a own) Client(_ int, rng *rand.Rand) Client { return &ownClient{work: a.work, rng: rng} }

// ownClient asks what the user's functions make up.
type ownClient struct {
	work Workload
	rng  *rand.Rand
}

// Next implements Client.
func (c *ownClient) Next() Action {
	if c.work.Query != nil && c.rng.IntN(3) == 0 {
		query := c.work.Query(c.rng)
		return Action{Query: query, Stale: c.rng.IntN(3) == 0, Text: "query " + describeBytes(query)}
	}
	command := c.work.Command(c.rng)
	if command == nil {
		command = []byte{}
	}
	return Action{Command: command, Text: describeBytes(command)}
}

// Ended implements Client.
func (c *ownClient) Ended(*Action, Outcome, []byte) {}

// Crashed implements Client.
func (c *ownClient) Crashed() {}

// alone is a machine as an oracle.
type alone struct {
	application own
	machine     engine.StateMachine
}

// Apply implements Model.
func (m *alone) Apply(e engine.Entry) []byte {
	results := m.machine.Apply([]engine.Entry{e})
	if len(results) != 1 {
		panic(fmt.Sprintf("the machine gave %d results for one entry", len(results)))
	}
	return results[0].Data
}

// Read implements Model.
func (m *alone) Read(query []byte) []byte { return m.application.work.Read(m.machine, query) }

// Hash implements Hasher.
func (m *alone) Hash() uint64 {
	hash, err := stateHash(m.machine)
	if err != nil {
		panic(fmt.Sprintf("the machine cannot capture its state: %v", err))
	}
	return hash
}

// Clone implements Model: by a snapshot and its restoration.
func (m *alone) Clone() Model {
	c := &alone{application: m.application, machine: m.application.make()}
	if err := transplant(m.machine, c.machine); err != nil {
		panic(fmt.Sprintf("a snapshot of the machine cannot be restored: %v", err))
	}
	return c
}
