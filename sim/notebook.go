package sim

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
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

var errNoNotebookCommand = errors.New("not a command of a notebook")

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
		return Command{}, errNoNotebookCommand
	}
	r := reader{b: b[2:]}
	c := Command{Verb: Verb(b[1]), Client: r.number(), Request: r.number(), Attempt: r.number(), Key: r.text(), Value: r.text(), Expect: r.text()}
	if r.bad || len(r.b) > 0 {
		return Command{}, errNoNotebookCommand
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
	contents
}

// contents is what a notebook holds.
type contents struct {
	pages    map[string]page
	sessions map[uint64]session
	// forgets says that requests which come twice happen twice.
	forgets bool
}

func newContents(forgets bool) contents {
	return contents{pages: map[string]page{}, sessions: map[uint64]session{}, forgets: forgets}
}

// newNotebook makes a member's notebook for a new process.
func newNotebook(m *member) *notebook {
	n := &notebook{machine: machine{member: m}, contents: newContents(m.world.steering.setup.NoSessions)}
	n.inner = n
	return n
}

// notebooks is the application of steered worlds, as far as they need one: their clients are whoever steers.
type notebooks struct {
	Application
	forgets bool
}

// Model implements Application.
func (a notebooks) Model() Model { return &notebookModel{newContents(a.forgets)} }

// notebookModel is the oracle of a notebook.
type notebookModel struct{ contents }

// Apply implements Model.
func (m *notebookModel) Apply(e engine.Entry) []byte {
	c, err := ParseCommand(e.Data)
	if err != nil {
		return nil
	}
	reply := m.once(e.Index, &c)
	return reply.encode()
}

// Read implements Model.
func (m *notebookModel) Read([]byte) []byte { return nil }

// Clone implements Model.
func (m *notebookModel) Clone() Model {
	return &notebookModel{contents{pages: maps.Clone(m.pages), sessions: maps.Clone(m.sessions), forgets: m.forgets}}
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
		n.member.applied(&applied{entry: e, id: c.Request<<16 | c.Attempt, command: e.Data, answer: results[i].Data, chain: n.chain})
	}
	return results
}

func (n *contents) once(index raft.Index, c *Command) Reply {
	if n.forgets {
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
func (n *contents) write(index raft.Index, c *Command) Reply {
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

// list shows what a machine of a campaign has, if it can tell.
func (m *machine) list() []KeyValue {
	if l, ok := m.inner.(interface{ list() []KeyValue }); ok {
		return l.list()
	}
	return []KeyValue{}
}

// Snapshot implements engine.StateMachine.
func (n *notebook) Snapshot() (engine.SnapshotWriter, error) {
	b := binary.AppendUvarint(binary.AppendUvarint(nil, n.chain), uint64(n.last))
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
	return snapshotBytes(b), nil
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
	in := reader{b: body}
	h := head{chain: in.number(), last: raft.Index(in.number())}
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
	n.head, n.pages, n.sessions = h, pages, sessions
	n.member.restored(h)
	return nil
}

// CommandText is the data of a command's entry in words, of a steered world or of a campaign.
func CommandText(data []byte) string {
	if c, err := ParseCommand(data); err == nil {
		return c.String()
	}
	_, inner, err := openCommand(data)
	if err != nil {
		return hex.EncodeToString(data)
	}
	if c, err := decodeRegisterCommand(inner); err == nil {
		return c.String()
	}
	return hex.EncodeToString(inner)
}
