package sim

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
	layer "github.com/balsa-raft/balsa/session"
)

// sessions is registers behind production's session layer, asked by clients that retry: a request without a clear answer is made again, at any member, until
// there is one, and takes place once (thesis §6.3). The oracle does not share a line with the layer.
type sessions struct{}

// sessionLimit is how many sessions a machine remembers here: so few that some expire while their clients still use them.
const sessionLimit = 6

// Name implements Application.
func (sessions) Name() string { return "sessions" }

// Machine implements Application.
func (sessions) Machine(Place) (engine.StateMachine, error) {
	return layer.NewMachine(&registerMachine{}, sessionLimit), nil
}

// Model implements Application.
func (sessions) Model() Model { return &sessionModel{known: map[uint64]remembered{}} }

// Read implements Application.
func (sessions) Read(machine engine.StateMachine, query []byte) []byte {
	return machine.(*layer.Machine).Inner().(*registerMachine).read(query)
}

// Client implements Application.
func (sessions) Client(number int, rng *rand.Rand) Client {
	return &sessionClient{registerClient: registerClient{number: number, rng: rng, transactions: true}}
}

// remembered is what the oracle knows of a session: its last command, the answer to it, and when it was used.
type remembered struct {
	number uint64
	answer []byte
	used   raft.Index
}

// sessionModel is the oracle: registers, and what was answered last to whom.
type sessionModel struct {
	registers values
	known     map[uint64]remembered
}

// What sessions are asked and answer, as their format says.
const (
	sessionOpens   = 1
	sessionKnown   = 0
	sessionUnknown = 1
)

// Apply implements Model.
func (m *sessionModel) Apply(e engine.Entry) []byte {
	id, number := binary.LittleEndian.Uint64(e.Data[1:]), binary.LittleEndian.Uint64(e.Data[9:])
	s, open := m.known[id]
	switch {
	case e.Data[0] == sessionOpens:
		if !open && len(m.known) == sessionLimit {
			delete(m.known, m.longestIdle())
		}
		s.used = e.Index
		m.known[id] = s
		return []byte{sessionKnown}
	case !open || number < s.number:
		return []byte{sessionUnknown}
	case number > s.number:
		s.number, s.answer = number, append([]byte{sessionKnown}, m.registers.apply(e.Data[17:])...)
	}
	s.used = e.Index
	m.known[id] = s
	return s.answer
}

// longestIdle is the session that was used longest ago.
func (m *sessionModel) longestIdle() (id uint64) {
	least := raft.Index(1<<64 - 1)
	for other, s := range m.known { // No two were used at the same index, so the order of the map does not matter.
		if s.used < least {
			id, least = other, s.used
		}
	}
	return id
}

// Read implements Model.
func (m *sessionModel) Read(query []byte) []byte { return m.registers.read(query) }

// Clone implements Model.
func (m *sessionModel) Clone() Model {
	return &sessionModel{registers: m.registers, known: maps.Clone(m.known)}
}

// sessionClient opens a session, and repeats what was not answered. Now and then, between two commands, a copy of an earlier request gets through that was on
// its way for long: it must not do anything, whatever has happened in the session since.
type sessionClient struct {
	registerClient
	id     uint64 // 0 without a session
	number uint64
	// open says that the session is known to be open; again is the command that has no answer yet.
	open  bool
	again *registerCommand
	// sent are the commands with the last two numbers, the last one first; late says that a copy is under way, whose answer nobody waits for.
	sent [2]*registerCommand
	late bool
}

// Next implements Client.
func (c *sessionClient) Next() Action {
	switch {
	case c.id == 0:
		c.id, c.number, c.open, c.again, c.sent = c.rng.Uint64()|1, 0, false, nil, [2]*registerCommand{}
		fallthrough
	case !c.open:
		return Action{Command: layer.OpenCommand(c.id), Text: fmt.Sprintf("open session %x", c.id)}
	case c.again != nil:
		return c.attempt("again, ", c.number, c.again)
	case c.number > 0 && c.rng.IntN(8) == 0:
		return c.copy()
	}
	a := c.registerClient.Next()
	if a.Command == nil {
		return a
	}
	cmd, err := decodeRegisterCommand(a.Command)
	if err != nil {
		panic(err)
	}
	c.again = &cmd
	c.number++
	c.sent[0], c.sent[1] = &cmd, c.sent[0]
	return c.attempt("", c.number, c.again)
}

func (c *sessionClient) attempt(how string, number uint64, cmd *registerCommand) Action {
	return Action{
		Command: layer.Command(c.id, number, cmd.encode()), Text: fmt.Sprintf("in session %x, number %d: %s%s", c.id, number, how, cmd),
	}
}

// copy is an earlier request that arrives late: what opened the session, its last command, or the one before.
func (c *sessionClient) copy() Action {
	c.late = true
	switch back := c.rng.IntN(3); {
	case back == 2:
		return Action{Command: layer.OpenCommand(c.id), Text: fmt.Sprintf("late, open session %x", c.id)}
	case back == 1 && c.number > 1:
		return c.attempt("late, ", c.number-1, c.sent[1])
	}
	return c.attempt("late, ", c.number, c.sent[0])
}

// Ended implements Client.
func (c *sessionClient) Ended(a *Action, outcome Outcome, answer []byte) {
	if c.late {
		c.late = false
		return
	}
	switch {
	case outcome != OutcomeDone: // It is made again.
	case a.Command == nil:
		c.registerClient.Ended(a, outcome, answer)
	default:
		inner, err := layer.Answer(answer)
		if err != nil {
			c.id = 0
			return
		}
		if !c.open {
			c.open = true
			return
		}
		c.registerClient.Ended(&Action{Command: c.again.encode()}, outcome, inner)
		c.again = nil
	}
}

// Crashed implements Client: a session ends with its client, whatever became of the last command.
func (c *sessionClient) Crashed() {
	c.registerClient.Crashed()
	c.id, c.late = 0, false
}
