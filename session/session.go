// Package session makes commands happen exactly once, however often they are retried (thesis §6.3): a machine that remembers, for each client's session,
// the last command and its answer, and the client's end of it.
//
// Invariants: what a Machine does depends on nothing but its entries, so members forget the same sessions; a session's commands are applied in the order of
// their numbers, each at most once; the sessions are part of the machine's snapshots. The package does not know what a command means, and is not for
// machines that keep their state themselves, since the sessions could not be saved together with it.
package session

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// ErrExpired says that the group has forgotten the session: it was idle while as many others were opened as the machine remembers. Whether the last
// command of it happened is unknown.
var ErrExpired = errors.New("balsa: session expired")

// ErrNone says that the group's machine knows no sessions. Nothing was proposed.
var ErrNone = errors.New("balsa: no sessions: the machine that the group was started with has to come from WithSessions, on all members")

// Limit is how many sessions a machine remembers if nobody says otherwise; the one that was used longest ago goes first, on every member alike.
const Limit = 10_000

// NewMachine wraps a machine so that commands proposed through a Session are applied exactly once, however often they are retried. It remembers up to
// limit sessions. All members have to wrap, with the same limit. Commands proposed directly on the group are not understood any more.
func NewMachine(inner engine.StateMachine, limit int) *Machine {
	return &Machine{inner: inner, limit: limit, sessions: map[uint64]*state{}}
}

// Session is one client's line of commands. It may be used by one goroutine at a time.
type Session struct {
	group *engine.Group
	id    uint64
	next  uint64
}

// What the machine is asked: the kind, the session's id and the command's number, 8 bytes each, little endian, and then the command. It answers with a
// byte that says whether it knows the session, and then what the inner machine said.
const (
	kindOpen     = 1
	kindCommand  = 2
	head         = 1 + 8 + 8
	replyOK      = 0
	replyExpired = 1
)

// OpenCommand is what opens a session: for those who propose by themselves. The id is the caller's to draw, and nobody else's.
func OpenCommand(id uint64) []byte { return encode(kindOpen, id, 0, nil) }

// Command is a session's command of a number, from 1 on. A retry has the same number and the same command.
func Command(id, number uint64, command []byte) []byte {
	return encode(kindCommand, id, number, command)
}

func encode(kind byte, id, number uint64, command []byte) []byte {
	data := make([]byte, 0, head+len(command))
	data = append(data, kind)
	data = binary.LittleEndian.AppendUint64(data, id)
	data = binary.LittleEndian.AppendUint64(data, number)
	return append(data, command...)
}

// Answer is what the inner machine said; ErrExpired if the session is forgotten.
func Answer(reply []byte) ([]byte, error) {
	if len(reply) == 0 || reply[0] == replyExpired {
		return nil, ErrExpired
	}
	return reply[1:], nil
}

// Open registers a session with the group, whose machine has to be a Machine. It retries by itself until ctx ends: opening twice does no harm.
func Open(ctx context.Context, group *engine.Group) (*Session, error) {
	if _, knows := group.Machine().(*Machine); !knows {
		return nil, ErrNone // Others would take what opens a session for a command.
	}
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	s := &Session{group: group, id: binary.LittleEndian.Uint64(random[:])}
	_, err := s.propose(ctx, OpenCommand(s.id))
	return s, err
}

// Propose applies the command exactly once, and retries by itself for as long as ctx lets it, also where a plain Propose would have
// to say ErrIndeterminate. When ctx ends first the error wraps ErrIndeterminate, and the session goes on: the next command is not affected.
func (s *Session) Propose(ctx context.Context, command []byte) (engine.Result, error) {
	s.next++
	return s.propose(ctx, Command(s.id, s.next, command))
}

func (s *Session) propose(ctx context.Context, data []byte) (engine.Result, error) {
	for unknown := false; ; {
		result, err := s.group.Propose(ctx, data)
		if errors.Is(err, engine.ErrIndeterminate) {
			unknown = true
			if ctx.Err() == nil {
				continue // it was applied, or it was not: asking again tells, and applies it at most once
			}
		}
		if err != nil {
			if unknown && !errors.Is(err, engine.ErrIndeterminate) {
				err = fmt.Errorf("%w: %w", engine.ErrIndeterminate, err) // An earlier attempt may have happened, whatever came of the last one.
			}
			return engine.Result{}, err
		}
		answer, err := Answer(result.Data)
		return engine.Result{Data: answer}, err
	}
}

// state is what the machine remembers of one session: the last command and its answer.
type state struct {
	used     raft.Index // when it was last used, in log positions
	sequence uint64
	reply    []byte
}

// Machine keeps the sessions beside the machine it wraps, and in its snapshots.
type Machine struct {
	inner    engine.StateMachine
	limit    int
	sessions map[uint64]*state
}

// Inner is the machine that is wrapped.
func (m *Machine) Inner() engine.StateMachine { return m.inner }

// Apply filters out what was applied before, and hands the rest to the machine in one batch where it can.
func (m *Machine) Apply(entries []engine.Entry) []engine.Result {
	results := make([]engine.Result, len(entries))
	var run []engine.Entry
	var at []int
	flush := func() {
		if len(run) == 0 {
			return
		}
		for i, r := range m.inner.Apply(run) {
			reply := append([]byte{replyOK}, r.Data...)
			results[at[i]] = engine.Result{Data: reply}
			m.session(entries[at[i]].Data).reply = reply
		}
		run, at = run[:0], at[:0]
	}
	for i := range entries {
		e := &entries[i]
		if len(e.Data) < head {
			results[i] = engine.Result{Data: []byte{replyExpired}}
			continue
		}
		s := m.session(e.Data)
		sequence := binary.LittleEndian.Uint64(e.Data[9:])
		switch {
		case e.Data[0] == kindOpen:
			flush()
			m.open(binary.LittleEndian.Uint64(e.Data[1:]), e.Index)
			results[i] = engine.Result{Data: []byte{replyOK}}
		case s == nil || sequence < s.sequence:
			results[i] = engine.Result{Data: []byte{replyExpired}}
		case sequence == s.sequence:
			flush() // the first copy may be in this very batch
			s.used = e.Index
			results[i] = engine.Result{Data: s.reply}
		default:
			s.sequence, s.used = sequence, e.Index
			run = append(run, engine.Entry{Index: e.Index, Term: e.Term, Data: e.Data[head:], Local: true}) // the reply is part of the state
			at = append(at, i)
		}
	}
	flush()
	return results
}

func (m *Machine) session(data []byte) *state {
	return m.sessions[binary.LittleEndian.Uint64(data[1:])]
}

// open adds a session, and forgets the one that was used longest ago when there are too many. Indexes are unique, so every member forgets the same.
func (m *Machine) open(id uint64, at raft.Index) {
	if s := m.sessions[id]; s != nil {
		s.used = at
		return
	}
	if len(m.sessions) >= m.limit {
		var oldest uint64
		var used raft.Index
		for other, s := range m.sessions { // the smallest index is the same in any order
			if used == 0 || s.used < used {
				oldest, used = other, s.used
			}
		}
		delete(m.sessions, oldest)
	}
	m.sessions[id] = &state{used: at}
}

// Snapshot captures the sessions and the machine.
func (m *Machine) Snapshot() (engine.SnapshotWriter, error) {
	inner, err := m.inner.Snapshot()
	if err != nil {
		return nil, err
	}
	ids := make([]uint64, 0, len(m.sessions))
	for id := range m.sessions {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, cmp.Compare[uint64])
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(ids)))
	for _, id := range ids {
		s := m.sessions[id]
		for _, v := range []uint64{id, uint64(s.used), s.sequence, uint64(len(s.reply))} {
			head = binary.LittleEndian.AppendUint64(head, v)
		}
		head = append(head, s.reply...)
	}
	return &snapshot{head: head, inner: inner}, nil
}

// Restore is the reverse of what a snapshot writes.
func (m *Machine) Restore(r io.Reader) error {
	var count [4]byte
	if _, err := io.ReadFull(r, count[:]); err != nil {
		return fmt.Errorf("balsa: read sessions: %w", err)
	}
	sessions := map[uint64]*state{}
	for range binary.LittleEndian.Uint32(count[:]) {
		var fixed [32]byte
		if _, err := io.ReadFull(r, fixed[:]); err != nil {
			return fmt.Errorf("balsa: read sessions: %w", err)
		}
		s := &state{used: raft.Index(binary.LittleEndian.Uint64(fixed[8:])), sequence: binary.LittleEndian.Uint64(fixed[16:])}
		var reply bytes.Buffer
		n := binary.LittleEndian.Uint64(fixed[24:])
		got, err := io.CopyN(&reply, r, int64(min(n, 1<<40)))
		if err == io.EOF || err == nil && uint64(got) != n {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("balsa: read sessions: %w", err)
		}
		s.reply = reply.Bytes()
		sessions[binary.LittleEndian.Uint64(fixed[:])] = s
	}
	if err := m.inner.Restore(r); err != nil {
		return err
	}
	m.sessions = sessions
	return nil
}

// snapshot writes the sessions, then the machine.
type snapshot struct {
	head  []byte
	inner engine.SnapshotWriter
	once  sync.Once
}

// WriteTo implements io.WriterTo.
func (s *snapshot) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(s.head)
	if err != nil {
		return int64(n), err
	}
	m, err := s.inner.WriteTo(w)
	return int64(n) + m, err
}

// Close implements io.Closer.
func (s *snapshot) Close() (err error) {
	s.once.Do(func() { err = s.inner.Close() })
	return err
}
