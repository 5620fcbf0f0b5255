package sim

import (
	"math/rand/v2"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// Application is what the groups of a world replicate, what their clients ask, and what the answers should be: the seam between a world and a
// kind of state machine. The world brings hosts, faults, time and every check that needs no knowledge of commands; it puts each command
// into an envelope of its own (command.go), so that a machine sees only what its clients have made.
//
// A watch or a lease fits in here without a change of the seam: what a client is told without having asked is an answer to an earlier Action, which the
// Client remembers and the Model can be asked for by index; what time brings about is a Command like any other.
type Application interface {
	// Name is what reports call it.
	Name() string
	// Machine makes the state machine of a member, at each start of its process.
	Machine(at Place) (engine.StateMachine, error)
	// Model makes the oracle of one group.
	Model() Model
	// Client makes one client, by its number; all chance has to come from rng.
	Client(number int, rng *rand.Rand) Client
	// Read asks a machine of this application, as it is. Every member may be asked.
	Read(machine engine.StateMachine, query []byte) []byte
}

// Place says whose machine one is.
type Place struct {
	Group raft.GroupID
	Host  raft.MemberID
	// Durable asks for an engine.DurableStateMachine, where the application has one.
	Durable bool
	// Previous is this member's machine in the life of the process before, after its Crash; nil in the first.
	Previous engine.StateMachine
	// Rand is for what the machine does by chance, such as saving its state by itself.
	Rand *rand.Rand
}

// Crasher is a machine with storage of its own, which has to forget at a crash what it had not made durable. What is left is its
// successor's to find, by Place.Previous. When the world is over, all that are left crash, and have no successor.
type Crasher interface {
	Crash()
}

// Hasher is a machine that can hash its state faster than by writing a snapshot. Equal states have equal hashes. A Model that is one, too, has the
// hash of a machine in the same state.
type Hasher interface {
	Hash() uint64
}

// Model is a group's oracle: it gets each command once, in the order of the log, and says what the answer has to be. It must not share anything
// that changes with a machine.
type Model interface {
	// Apply carries out the next command, and returns what every machine answers to it.
	Apply(e engine.Entry) []byte
	// Read returns what a machine that has applied as much answers to a query.
	Read(query []byte) []byte
	// Clone returns a model of its own in the same state.
	Clone() Model
}

// Client makes up what one client asks, one request after the other.
type Client interface {
	// Next returns the next request.
	Next() Action
	// Ended tells how the last request ended; the answer comes with OutcomeDone.
	Ended(r *Action, outcome Outcome, answer []byte)
	// Crashed says that the client's process ended in the middle of its last request: its successor knows nothing.
	Crashed()
}

// Action is one thing that a client asks: a Command that is to be replicated or, if that is nil, a Query of the machine of the member that is asked.
type Action struct {
	Command, Query []byte
	// Stale says that the query is answered as the machine is at that moment, without a barrier before it: a serializable read.
	Stale bool
	// Text says for the story what is asked.
	Text string
}

// hashWriter hashes what is written to it.
type hashWriter struct {
	hash uint64
	size int64
}

func newHashWriter() *hashWriter { return &hashWriter{hash: 14695981039346656037} }

// Write implements io.Writer.
func (w *hashWriter) Write(p []byte) (int, error) {
	for _, c := range p {
		w.hash = (w.hash ^ uint64(c)) * 1099511628211
	}
	w.size += int64(len(p))
	return len(p), nil
}

// stateHash hashes a machine's state: as the machine says, or else by what its snapshot has.
func stateHash(m engine.StateMachine) (uint64, error) {
	if h, ok := m.(Hasher); ok {
		return h.Hash(), nil
	}
	snapshot, err := m.Snapshot()
	if err != nil {
		return 0, err
	}
	w := newHashWriter()
	_, err = snapshot.WriteTo(w)
	if closeErr := snapshot.Close(); err == nil {
		err = closeErr
	}
	return scramble(w.hash), err
}

// builtIn lists the applications that a seed may draw.
func builtIn() []Application {
	return []Application{registers{}, registers{transactions: true}, sessions{}}
}

// WorkloadNames lists the names that Options.Workload knows.
func WorkloadNames() []string {
	var names []string
	for _, a := range builtIn() {
		names = append(names, a.Name())
	}
	return names
}

// applicationNamed returns a built-in application, nil if there is none of that name.
func applicationNamed(name string) Application {
	for _, a := range builtIn() {
		if a.Name() == name {
			return a
		}
	}
	return nil
}
