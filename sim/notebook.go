package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// Verb is what a client of a steered world wants of a key.
type Verb uint8

// The verbs. Read never goes into the log.
const (
	VerbSet Verb = iota + 1
	VerbAdd
	VerbDelete
	VerbCompareAndSet
	VerbRead
)

// Command is an entry of a notebook, as people read it.
type Command struct {
	// Client and Request say who asked, and make the second copy of a request known; Attempt tells the copies apart.
	Client, Request, Attempt uint64
	Verb                     Verb
	Key, Value, Expect       string
}

const commandMark = 'n'

func (c *Command) encode() []byte {
	b := []byte{commandMark, byte(c.Verb)}
	for _, n := range []uint64{c.Client, c.Request, c.Attempt} {
		b = binary.AppendUvarint(b, n)
	}
	for _, s := range []string{c.Key, c.Value, c.Expect} {
		b = appendText(b, s)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader takes a record apart; after the first thing that is not there, nothing is.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) text() string {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// ParseCommand reads the data of an entry of a notebook.
func ParseCommand(b []byte) (Command, error) {
	if len(b) < 2 || b[0] != commandMark {
		return Command{}, errNoCommand
	}
	r := reader{b: b[2:]}
	c := Command{Verb: Verb(b[1]), Client: r.number(), Request: r.number(), Attempt: r.number(), Key: r.text(), Value: r.text(), Expect: r.text()}
	if r.bad || len(r.b) > 0 {
		return Command{}, errNoCommand
	}
	return c, nil
}

// String is the command in words.
func (c *Command) String() string {
	switch c.Verb {
	case VerbSet:
		return "set " + c.Key + " " + c.Value
	case VerbAdd:
		return "add " + c.Key + " " + c.Value
	case VerbDelete:
		return "delete " + c.Key
	case VerbCompareAndSet:
		return "cas " + c.Key + " " + c.Expect + " " + c.Value
	case VerbRead:
		return "read " + c.Key
	}
	return "?"
}

// Reply is what a command found and did.
type Reply struct {
	// Before is what the key had, if Found. Wrote says that the command took place. Index is where it is in the log; Version is where the value is from that
	// the key has now.
	Before         string
	Found, Wrote   bool
	Index, Version raft.Index
}

func (r *Reply) encode() []byte {
	flags := byte(0)
	if r.Found {
		flags |= 1
	}
	if r.Wrote {
		flags |= 2
	}
	b := binary.AppendUvarint([]byte{flags}, uint64(r.Index))
	return appendText(binary.AppendUvarint(b, uint64(r.Version)), r.Before)
}

func decodeReply(b []byte) (Reply, error) {
	if len(b) == 0 {
		return Reply{}, errors.New("not a reply")
	}
	r := reader{b: b[1:]}
	reply := Reply{Found: b[0]&1 != 0, Wrote: b[0]&2 != 0, Index: raft.Index(r.number()), Version: raft.Index(r.number()), Before: r.text()}
	if r.bad {
		return Reply{}, errors.New("not a reply")
	}
	return reply, nil
}

// notebook is the machine of a steered world: texts by key. It remembers the last request of every client with its reply, so that a request which comes
// twice happens once (thesis §6.3), unless the world is told not to.
type notebook struct {
	machine
	pages    map[string]page
	sessions map[uint64]session
}

// page is a key's value and where it is from; a deleted key keeps its place.
type page struct {
	text    string
	version raft.Index
	deleted bool
}

type session struct {
	request uint64
	reply   Reply
}

var _ engine.StateMachine = (*notebook)(nil)

// Apply implements engine.StateMachine.
func (n *notebook) Apply(entries []engine.Entry) []engine.Result {
	results := make([]engine.Result, len(entries))
	for i := range entries {
		e := &entries[i]
		c, err := ParseCommand(e.Data)
		if err != nil {
			n.member.world.fail("state machine", "n%d: entry %d: %v", n.member.host.id, e.Index, err)
			return results
		}
		reply := n.once(e.Index, &c)
		results[i].Data = reply.encode()
		n.chain = chained(n.chain, e.Index, raft.Sum(e.Data))
		n.last = e.Index
		n.member.applied(e, &command{id: c.Request<<16 | c.Attempt}, n.chain)
	}
	return results
}

func (n *notebook) once(index raft.Index, c *Command) Reply {
	if n.pages == nil {
		n.pages, n.sessions = map[string]page{}, map[uint64]session{}
	}
	if n.member.world.steering.setup.NoSessions {
		return n.write(index, c)
	}
	if s, ok := n.sessions[c.Client]; ok && s.request == c.Request {
		return s.reply
	}
	reply := n.write(index, c)
	n.sessions[c.Client] = session{request: c.Request, reply: reply}
	return reply
}

// write is the one place that says what a command does.
func (n *notebook) write(index raft.Index, c *Command) Reply {
	p, known := n.pages[c.Key]
	r := Reply{Before: p.text, Found: known && !p.deleted, Index: index, Version: p.version}
	next := page{text: c.Value, version: index}
	switch c.Verb {
	case VerbAdd:
		have, errHave := strconv.ParseInt(p.text, 10, 64)
		more, errMore := strconv.ParseInt(c.Value, 10, 64)
		if r.Found && errHave != nil || errMore != nil {
			return r
		}
		next.text = strconv.FormatInt(have+more, 10)
	case VerbDelete:
		next.text, next.deleted = "", true
	case VerbCompareAndSet:
		if !r.Found || p.text != c.Expect {
			return r
		}
	}
	n.pages[c.Key] = next
	r.Wrote, r.Version = true, index
	return r
}

// read finds what a key has.
func (n *notebook) read(key string) Reply {
	p, known := n.pages[key]
	return Reply{Before: p.text, Found: known && !p.deleted, Index: n.last, Version: p.version}
}

func (n *notebook) list() []KeyValue {
	pairs := []KeyValue{}
	for _, key := range slices.Sorted(maps.Keys(n.pages)) {
		if !n.pages[key].deleted {
			pairs = append(pairs, KeyValue{Key: key, Value: n.pages[key].text})
		}
	}
	return pairs
}

// list shows the registers of a campaign's machine.
func (m *machine) list() []KeyValue {
	pairs := []KeyValue{}
	for i, v := range m.value {
		if v != 0 {
			pairs = append(pairs, KeyValue{Key: fmt.Sprintf("r%d", i), Value: fmt.Sprintf("%x", v)})
		}
	}
	return pairs
}

// Snapshot implements engine.StateMachine.
func (n *notebook) Snapshot() (engine.SnapshotWriter, error) {
	b := n.encode()
	b = binary.AppendUvarint(b, uint64(len(n.pages)))
	for _, key := range slices.Sorted(maps.Keys(n.pages)) {
		p := n.pages[key]
		b = appendText(appendText(b, key), p.text)
		b = binary.AppendUvarint(b, uint64(p.version)<<1|flag(p.deleted))
	}
	b = binary.AppendUvarint(b, uint64(len(n.sessions)))
	for _, client := range slices.Sorted(maps.Keys(n.sessions)) {
		s := n.sessions[client]
		b = binary.AppendUvarint(binary.AppendUvarint(b, client), s.request)
		b = appendText(b, string(s.reply.encode()))
	}
	return &capture{body: b}, nil
}

func flag(on bool) uint64 {
	if on {
		return 1
	}
	return 0
}

// Restore implements engine.StateMachine.
func (n *notebook) Restore(r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	const head = 8 * (registers + 2)
	if len(body) < head {
		return fmt.Errorf("a snapshot of %d bytes is too short", len(body))
	}
	var s state
	if err := s.decode(body[:head]); err != nil {
		return err
	}
	in := reader{b: body[head:]}
	pages, sessions := map[string]page{}, map[uint64]session{}
	for range in.number() {
		key, text, version := in.text(), in.text(), in.number()
		if in.bad {
			return errors.New("a snapshot of a notebook is cut off")
		}
		pages[key] = page{text: text, version: raft.Index(version >> 1), deleted: version&1 == 1}
	}
	for range in.number() {
		client, request := in.number(), in.number()
		reply, err := decodeReply([]byte(in.text()))
		if in.bad || err != nil {
			return errors.New("a snapshot of a notebook is cut off")
		}
		sessions[client] = session{request: request, reply: reply}
	}
	n.state, n.pages, n.sessions = s, pages, sessions
	n.member.restored(&s)
	return nil
}
